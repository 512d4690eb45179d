#include "api/health.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "conf/value.h"

enum health_kind health_kind_of(const char *path)
{
    /* The order decides: "/standby-leader" contains "leader". */
    static const struct {
        const char *word;
        enum health_kind kind;
    } contained[] = {
        {"standby_leader", HEALTH_STANDBY_LEADER},
        {"standby-leader", HEALTH_STANDBY_LEADER},
        {"leader",         HEALTH_LEADER        },
        {"master",         HEALTH_PRIMARY       },
        {"primary",        HEALTH_PRIMARY       },
        {"read-write",     HEALTH_PRIMARY       },
        {"replica",        HEALTH_REPLICA       },
    };
    static const struct {
        const char *path;
        enum health_kind kind;
    } exact[] = {
        {"/sync",                  HEALTH_SYNC          },
        {"/synchronous",           HEALTH_SYNC          },
        {"/quorum",                HEALTH_SYNC          },
        {"/async",                 HEALTH_ASYNC         },
        {"/asynchronous",          HEALTH_ASYNC         },
        {"/read-only-sync",        HEALTH_READ_ONLY_SYNC},
        {"/read-only-synchronous", HEALTH_READ_ONLY_SYNC},
        {"/read-only-quorum",      HEALTH_READ_ONLY_SYNC},
    };

    if (text_equal(path, "/")) {
        return HEALTH_PRIMARY;
    }
    for (size_t i = 0; i < ARRAY_SIZE(contained); i++) {
        if (strstr(path, contained[i].word) != NULL) {
            return contained[i].kind;
        }
    }
    if (strstr(path, "read-only") != NULL && strstr(path, "sync") == NULL &&
        strstr(path, "quorum") == NULL) {
        return HEALTH_READ_ONLY;
    }
    if (strstr(path, "health") != NULL) {
        return HEALTH_RUNNING;
    }
    for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
        if (text_equal(path, exact[i].path)) {
            return exact[i].kind;
        }
    }
    return HEALTH_NOTHING;
}

void health_query_init(struct health_query *query, const char *path)
{
    query->kind = health_kind_of(path);
    query->has_lag = false;
    query->lag_bytes = UINT64_MAX;
    query->replication_state = NULL;
    query->mode_write = false;
    query->too_many_tags = false;
    query->tag_count = 0;
}

void health_query_add(struct health_query *query, const char *name, const char *value)
{
    int64_t bytes;

    if (text_equal(name, "lag")) {
        query->has_lag = true;
        query->lag_bytes = value_bytes(value, &bytes) && bytes >= 0 ? (uint64_t)bytes : UINT64_MAX;
    } else if (text_equal(name, "replication_state")) {
        query->replication_state = value;
    } else if (text_equal(name, "mode")) {
        query->mode_write = text_equal(value, "write");
    } else if (text_starts_with(name, "tag_")) {
        if (query->tag_count == HEALTH_TAGS_MAX) {
            query->too_many_tags = true;
            return;
        }
        query->tags[query->tag_count++] = (struct health_argument){name + 4, value};
    }
}

/* Values that are no texts are compared in lower case: true, not True. */
static bool tag_equals(const struct node *tag, const char *value)
{
    const char *text;
    bool flag;

    if (tag == NULL) {
        return false;
    }
    if (tag->kind == NODE_BOOL && node_bool(tag, &flag)) {
        return text_equal(value, flag ? "true" : "false");
    }
    text = node_text(tag);
    return text != NULL && text_equal(value, text);
}

static bool tags_match(const struct health_query *query, const struct node *tags)
{
    for (uint32_t i = 0; i < query->tag_count; i++) {
        if (!tag_equals(tree_child(tags, query->tags[i].name), query->tags[i].value)) {
            return false;
        }
    }
    return !query->too_many_tags;
}

/* An unknown position of the leader holds nobody back. */
static bool is_behind(uint64_t leader_lsn, uint64_t lsn, uint64_t limit_bytes)
{
    return leader_lsn > lsn && leader_lsn - lsn > limit_bytes;
}

static bool is_replica(const struct health_query *query, const struct ha_health *health)
{
    return health->replica && health->running && !health->noloadbalance && !health->lease &&
           !(query->has_lag &&
             is_behind(health->leader_lsn, health->replayed_lsn, query->lag_bytes)) &&
           (query->replication_state == NULL ||
            text_equal(query->replication_state, health->replication_state));
}

static bool is_wanted(const struct health_query *query, const struct ha_health *health)
{
    switch (query->kind) {
    case HEALTH_NOTHING:
    case HEALTH_STANDBY_LEADER:
    case HEALTH_SYNC:
        return false;
    case HEALTH_LEADER:
        return health->lease;
    case HEALTH_PRIMARY:
        return health->primary;
    case HEALTH_REPLICA:
        return is_replica(query, health);
    case HEALTH_READ_ONLY:
        return health->primary || is_replica(query, health);
    case HEALTH_RUNNING:
        return health->running;
    case HEALTH_ASYNC:
        return health->cluster_known && is_replica(query, health);
    case HEALTH_READ_ONLY_SYNC:
        return health->cluster_known && health->primary;
    }
    UNREACHABLE();
}

static bool ignores_tags(enum health_kind kind)
{
    return kind == HEALTH_STANDBY_LEADER || kind == HEALTH_LEADER || kind == HEALTH_PRIMARY;
}

uint32_t health_check(
    const struct health_query *query, const struct ha_health *health, const struct node *tags)
{
    const bool yes =
        is_wanted(query, health) && (ignores_tags(query->kind) || tags_match(query, tags));

    return yes ? 200 : 503;
}

uint32_t health_readiness(const struct health_query *query, const struct ha_health *health)
{
    const uint64_t limit_bytes = query->has_lag ? query->lag_bytes : health->maximum_lag_bytes;
    const uint64_t lsn = query->mode_write ? health->received_lsn : health->replayed_lsn;

    if (health->lease) {
        return 200;
    }
    if (!health->running || !health->streaming ||
        (!health->cluster_known && health->leader_lsn == 0)) {
        return 503;
    }
    return is_behind(health->leader_lsn, lsn, limit_bytes) ? 503 : 200;
}
