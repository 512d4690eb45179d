#include "api/request.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "api/stamp.h"
#include "base/assert.h"
#include "base/text.h"
#include "conf/value.h"

PRINTF(3, 4)
static bool refuse(struct request_refusal *refusal, uint32_t code, const char *format, ...)
{
    struct text text;
    va_list args;

    refusal->code = code;
    text_init(&text, refusal->text, sizeof refusal->text);
    va_start(args, format);
    text_addv(&text, format, args);
    va_end(args);
    return false;
}

/* The text of a field; NULL if it is not there, null or empty. */
static const char *field_text(const struct node *body, const char *key)
{
    const char *text = node_text(tree_child(body, key));

    return text == NULL || text[0] == '\0' ? NULL : text;
}

static bool read_time(
    const char *text, const char *what, uint64_t *wall_ms, struct request_refusal *refusal)
{
    switch (stamp_parse(text, wall_ms)) {
    case STAMP_OK:
        return true;
    case STAMP_NO_ZONE:
        return refuse(refusal, 400, "Timezone information is mandatory for the scheduled %s", what);
    case STAMP_INVALID:
        return refuse(
            refusal, 422,
            "Unable to parse scheduled timestamp. It should be in an unambiguous "
            "format, e.g. ISO 8601");
    }
    UNREACHABLE();
}

bool request_change_read(
    const struct node *body, enum cluster_request_kind kind, struct request_change *change,
    struct request_refusal *refusal)
{
    const char *scheduled = field_text(body, "scheduled_at");

    ASSERT(kind != CLUSTER_REQUEST_NONE);
    *change = (struct request_change){
        .kind = kind,
        .leader = field_text(body, "leader"),
        .candidate = field_text(body, "candidate"),
    };
    if (change->candidate == NULL) {
        change->candidate = field_text(body, "member");
    }
    if (change->leader != NULL) {
        change->kind = CLUSTER_REQUEST_SWITCHOVER;
    }
    return scheduled == NULL || read_time(scheduled, "time", &change->scheduled_wall_ms, refusal);
}

static bool is_role(const char *role)
{
    return text_equal(role, "primary") || text_equal(role, "master") ||
           text_equal(role, "standby_leader") || text_equal(role, "replica");
}

/* "15.2" as 150002, "9.6.3" as 90603; false for anything else. */
static bool parse_version(const char *text, uint32_t *version)
{
    unsigned long parts[3] = {0};
    uint32_t count = 0;

    for (;;) {
        char *end;

        if (*text < '0' || *text > '9' || count == ARRAY_SIZE(parts)) {
            return false;
        }
        parts[count] = strtoul(text, &end, 10);
        if (parts[count] > (count == 0 ? 9999u : 99u)) {
            return false;
        }
        count++;
        if (*end == '\0') {
            break;
        }
        if (*end != '.') {
            return false;
        }
        text = end + 1;
    }
    *version =
        (uint32_t)(count == 3 ? parts[0] * 10000 + parts[1] * 100 + parts[2] : parts[0] * 10000 + parts[1]);
    return count >= 2;
}

static bool read_restart_field(
    const struct node *field, struct ha_restart *restart, struct request_refusal *refusal)
{
    const char *text = node_text(field);
    int64_t timeout_ms;

    if (text_equal(field->key, "restart_pending")) {
        restart->pending_only = true; /* Whatever its value is. */
        return true;
    }
    if (text_equal(field->key, "schedule")) {
        return read_time(text == NULL ? "" : text, "restart", &restart->at_wall_ms, refusal);
    }
    if (text_equal(field->key, "role")) {
        return (text != NULL && is_role(text) &&
                text_copy(
                    restart->role, sizeof restart->role,
                    text_equal(text, "master") ? "primary" : text)) ||
               refuse(
                   refusal, 400,
                   "PostgreSQL role should be either primary, replica, or standby_leader");
    }
    if (text_equal(field->key, "postgres_version")) {
        return (text != NULL && parse_version(text, &restart->below_version)) ||
               refuse(
                   refusal, 400,
                   "PostgreSQL version should be in the first.major.minor or major.minor format");
    }
    if (text_equal(field->key, "timeout")) {
        if (text == NULL || !value_seconds(text, &timeout_ms) || timeout_ms <= 0) {
            return refuse(refusal, 400, "Timeout should be a positive number of seconds");
        }
        restart->timeout_ms = (uint64_t)timeout_ms;
        return true;
    }
    return refuse(refusal, 400, "Unknown filter for the scheduled restart: %s", field->key);
}

bool request_restart_read(
    const struct node *body, struct ha_restart *restart, struct request_refusal *refusal)
{
    *restart = (struct ha_restart){0};
    for (const struct node *field = body == NULL ? NULL : body->first; field != NULL;
         field = field->next) {
        if (!read_restart_field(field, restart, refusal)) {
            return false;
        }
    }
    return true;
}

static bool read_flag(
    const struct node *body, const char *key, bool *flag, struct request_refusal *refusal)
{
    const struct node *field = tree_get(body, key);

    *flag = false;
    return field == NULL || node_bool(field, flag) ||
           refuse(refusal, 400, "\"%s\" should be true or false", key);
}

bool request_reinit_read(
    const struct node *body, struct ha_local *local, struct request_refusal *refusal)
{
    bool from_leader = false;
    bool from_leader_as_documented = false;

    /* Patroni reads the name with "_" and documents the one with "-". */
    if (body != NULL && !(read_flag(body, "force", &local->force, refusal) &&
                          read_flag(body, "from_leader", &from_leader, refusal) &&
                          read_flag(body, "from-leader", &from_leader_as_documented, refusal))) {
        return false;
    }
    local->from_leader = from_leader || from_leader_as_documented;
    return true;
}
