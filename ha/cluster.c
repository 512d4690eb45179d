/*
 * Each command has a function that first asks whether the state is the one the command
 * expects, and only then changes anything. The rules' numbers are those of
 * docs/architecture.md.
 */
#include "ha/cluster.h"

#include <string.h>

#include "base/assert.h"
#include "base/attr.h"
#include "base/text.h"

void cluster_init(struct cluster *cluster, uint64_t ttl_ms)
{
    ASSERT(ttl_ms > 0);
    /* Not by assignment: encoded states are compared, and this leaves no byte undecided. */
    memset(cluster, 0, sizeof *cluster);
    cluster->ttl_ms = ttl_ms;
}

/* Finding. */

static struct cluster_member *find_member(struct cluster *cluster, uint64_t id)
{
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        if (cluster->members[i].id == id) {
            return &cluster->members[i];
        }
    }
    return NULL;
}

const struct cluster_member *cluster_find(const struct cluster *cluster, uint64_t id)
{
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        if (id != 0 && cluster->members[i].id == id) {
            return &cluster->members[i];
        }
    }
    return NULL;
}

const struct cluster_member *cluster_find_name(const struct cluster *cluster, const char *name)
{
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];

        if (member->id != 0 && text_equal(member->name, name)) {
            return member;
        }
    }
    return NULL;
}

const struct cluster_grant *cluster_grant_of(const struct cluster *cluster, uint64_t epoch)
{
    if (epoch == 0) {
        return NULL;
    }
    if (cluster->last.epoch == epoch) {
        return &cluster->last;
    }
    for (uint32_t i = 0; i < cluster->history_count; i++) {
        if (cluster->history[i].epoch == epoch) {
            return &cluster->history[i];
        }
    }
    return NULL;
}

const struct cluster_grant *cluster_parent_of(
    const struct cluster *cluster, const struct cluster_grant *grant)
{
    /* The first grant of a cluster may have found data with the marker of another one's epoch, of
     * any number: that is no grant of ours, and a walk must not come back up by it. */
    return grant->parent < grant->epoch ? cluster_grant_of(cluster, grant->parent) : NULL;
}

uint64_t cluster_shared_lsn(const struct cluster *cluster, uint64_t a, uint64_t b)
{
    const struct cluster_grant *one = cluster_grant_of(cluster, a);
    const struct cluster_grant *other = cluster_grant_of(cluster, b);
    uint64_t lsn = UINT64_MAX;

    while (one != other) {
        const bool is_newer = other == NULL || (one != NULL && one->epoch > other->epoch);
        const struct cluster_grant *newer = is_newer ? one : other;

        if (newer->start.lsn != 0 && newer->start.lsn < lsn) {
            lsn = newer->start.lsn;
        }
        *(is_newer ? &one : &other) = cluster_parent_of(cluster, newer);
    }
    return lsn;
}

const struct cluster_grant *cluster_last_served(const struct cluster *cluster)
{
    for (uint32_t i = cluster->history_count; i > 0; i--) {
        if (cluster->history[i - 1].served) {
            return &cluster->history[i - 1];
        }
    }
    return NULL;
}

const struct cluster_outcome *cluster_outcome(const struct cluster *cluster, uint64_t id)
{
    for (size_t i = 0; id != 0 && i < CLUSTER_OUTCOMES_MAX; i++) {
        if (cluster->outcomes[i].id == id) {
            return &cluster->outcomes[i];
        }
    }
    return NULL;
}

uint64_t cluster_grantee(const struct cluster *cluster)
{
    switch (cluster->phase) {
    case CLUSTER_NONE:
    case CLUSTER_REVOKED:
        return 0;
    case CLUSTER_GRANTED:
    case CLUSTER_SERVING:
        return cluster->last.node;
    }
    UNREACHABLE();
}

uint64_t cluster_ttl_max(const struct cluster *cluster)
{
    return cluster->ttl_ms > cluster->ttl_other_ms ? cluster->ttl_ms : cluster->ttl_other_ms;
}

/* Outcomes. */

static void note_outcome(struct cluster *cluster, uint64_t id, uint32_t code, const char *text)
{
    struct cluster_outcome *outcome = &cluster->outcomes[cluster->outcome_next];

    if (id == 0) {
        return; /* Nobody waits. */
    }
    memset(outcome, 0, sizeof *outcome);
    outcome->id = id;
    outcome->code = code;
    text_copy_cut(outcome->text, sizeof outcome->text, text);
    cluster->outcome_next = (cluster->outcome_next + 1) % CLUSTER_OUTCOMES_MAX;
}

static const char *name_of(const struct cluster *cluster, uint64_t id)
{
    const struct cluster_member *member = cluster_find(cluster, id);

    return member != NULL ? member->name : "";
}

/* Members. */

/*
 * Two members whose names differ in case only are one to synchronous_standby_names and
 * share a replication slot.
 */
static bool name_is_taken(const struct cluster *cluster, const struct cluster_member *wanted)
{
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];

        if (member->id != 0 && member->id != wanted->id &&
            text_equal_nocase(member->name, wanted->name)) {
            return true;
        }
    }
    return false;
}

static bool set_member(struct cluster *cluster, const struct command *command)
{
    const struct cluster_member *wanted = &command->member;
    struct cluster_member *place = find_member(cluster, wanted->id);

    if (wanted->id == 0 || wanted->name[0] == '\0' || name_is_taken(cluster, wanted)) {
        return false;
    }
    if (place == NULL) {
        place = find_member(cluster, 0);
    }
    if (place == NULL) {
        return false;
    }
    *place = *wanted;
    return true;
}

static bool remove_member(struct cluster *cluster, const struct command *command)
{
    struct cluster_member *member = find_member(cluster, command->node);

    if (command->node == 0 || member == NULL) {
        if (cluster_outcome(cluster, command->id) == NULL) {
            note_outcome(cluster, command->id, 404, "no such member");
        }
        return false;
    }
    memset(member, 0, sizeof *member);
    note_outcome(cluster, command->id, 200, "member removed");
    return true;
}

static bool init(struct cluster *cluster, const struct command *command)
{
    if (cluster->system_identifier != 0) {
        return false;
    }
    cluster->init_node = command->node;
    return true;
}

/* Requests. */

static const char *request_done_text(enum cluster_request_kind kind)
{
    return kind == CLUSTER_REQUEST_FAILOVER ? "failed over" : "switched over";
}

static void end_request(struct cluster *cluster, uint32_t code, const char *text)
{
    note_outcome(cluster, cluster->request.id, code, text);
    memset(&cluster->request, 0, sizeof cluster->request);
}

static void end_request_won(struct cluster *cluster, uint64_t winner)
{
    const struct cluster_request *request = &cluster->request;
    const char *done = request_done_text(request->kind);
    char line[CLUSTER_REASON_SIZE];
    struct text text;

    text_init(&text, line, sizeof line);
    if (request->to == 0 || request->to == winner) {
        text_addf(&text, "Successfully %s to \"%s\"", done, name_of(cluster, winner));
    } else {
        /* The wish comes last: it may be cut off, the news may not. */
        text_addf(
            &text, "%s to \"%s\" instead of \"%s\"",
            request->kind == CLUSTER_REQUEST_FAILOVER ? "Failed over" : "Switched over",
            name_of(cluster, winner), name_of(cluster, request->to));
    }
    end_request(cluster, 200, line);
}

static void end_request_failed(struct cluster *cluster, const struct command *command)
{
    char line[CLUSTER_REASON_SIZE];
    struct text text;

    text_init(&text, line, sizeof line);
    text_add(
        &text, cluster->request.kind == CLUSTER_REQUEST_FAILOVER ? "Failover failed"
                                                                 : "Switchover failed");
    if (command->reason[0] != '\0') {
        text_addf(&text, ": %s", command->reason);
    }
    end_request(cluster, 503, line);
}

/* What a grant in place of one to `old` means for the request that is pending. */
static void judge_request(struct cluster *cluster, const struct command *command, uint64_t old)
{
    struct cluster_request *request = &cluster->request;
    const bool concerns = request->from == 0 || request->from == old || request->granted_epoch != 0;

    if (request->kind == CLUSTER_REQUEST_NONE || !concerns) {
        return;
    }
    if (command->node != old || command->node == request->to) {
        request->granted_epoch = command->epoch;
        return;
    }
    /* Handed back to itself: broken off. One that is not due yet was not what was tried: a
     * restart of PostgreSQL must not drop the switchover that is planned for the night. */
    if (command->kind == COMMAND_HANDOVER && request->scheduled_wall_ms <= command->wall_ms) {
        end_request_failed(cluster, command);
    }
}

bool cluster_request_stands(const struct cluster *cluster, uint64_t wall_ms)
{
    return cluster->request.kind != CLUSTER_REQUEST_NONE &&
           cluster->request.scheduled_wall_ms <= wall_ms;
}

static bool set_request(struct cluster *cluster, const struct command *command)
{
    const struct cluster_request *request = &command->request;

    if (request->kind == CLUSTER_REQUEST_NONE || request->id == 0) {
        return false;
    }
    if (cluster->request.id == request->id) {
        return true; /* A retry changes nothing. */
    }
    /* A late copy of one that has ended already. */
    if (cluster_outcome(cluster, request->id) != NULL ||
        cluster_request_stands(cluster, command->wall_ms)) {
        return false;
    }
    if (cluster->request.kind != CLUSTER_REQUEST_NONE) {
        end_request(cluster, 409, "replaced by another request");
    }
    cluster->request = *request;
    cluster->request.granted_epoch = 0;
    return true;
}

/* `outcome.id` names the request; `id`, if any, is of whoever asked to clear it. */
static bool clear_request(struct cluster *cluster, const struct command *command)
{
    const struct cluster_outcome *outcome = &command->outcome;

    if (cluster->request.kind == CLUSTER_REQUEST_NONE || outcome->id != cluster->request.id) {
        if (cluster_outcome(cluster, command->id) == NULL) {
            note_outcome(cluster, command->id, 404, "no such request is pending");
        }
        return false;
    }
    end_request(cluster, outcome->code, outcome->text);
    if (command->id != outcome->id) {
        note_outcome(cluster, command->id, 200, outcome->text);
    }
    return true;
}

/* Epochs. */

static bool revoke(struct cluster *cluster, const struct command *command)
{
    if (cluster->phase == CLUSTER_REVOKED || command->epoch != cluster->epoch + 1) {
        return false;
    }
    cluster->epoch = command->epoch;
    cluster->phase = CLUSTER_REVOKED;
    text_copy_cut(cluster->revoke_reason, sizeof cluster->revoke_reason, command->reason);
    return true;
}

static void push_history(struct cluster *cluster)
{
    if (cluster->history_count == CLUSTER_HISTORY_MAX) {
        memmove(
            &cluster->history[0], &cluster->history[1],
            (CLUSTER_HISTORY_MAX - 1) * sizeof cluster->history[0]);
        cluster->history_count--;
    }
    cluster->history[cluster->history_count++] = cluster->last;
}

static void grant_to(
    struct cluster *cluster, const struct command *command, bool fenced, uint64_t term,
    uint64_t index)
{
    struct cluster_grant *grant = &cluster->last;
    const uint64_t old = grant->node;

    memset(grant, 0, sizeof *grant);
    grant->epoch = command->epoch;
    grant->node = command->node;
    grant->data_dir_id = command->data_dir_id;
    grant->grant_term = term;
    grant->grant_index = index;
    grant->parent = command->parent;
    grant->start = command->position;
    grant->fenced = fenced;
    grant->wall_ms = command->wall_ms;
    text_copy_cut(grant->name, sizeof grant->name, name_of(cluster, command->node));
    text_copy_cut(grant->reason, sizeof grant->reason, command->reason);
    push_history(cluster);

    cluster->epoch = command->epoch;
    cluster->phase = CLUSTER_GRANTED;
    memset(cluster->revoke_reason, 0, sizeof cluster->revoke_reason);
    judge_request(cluster, command, old);
}

static bool grant(
    struct cluster *cluster, const struct command *command, uint64_t term, uint64_t index)
{
    if (cluster->phase != CLUSTER_REVOKED || command->epoch != cluster->epoch ||
        command->node == 0) {
        return false;
    }
    if (cluster->system_identifier == 0) {
        cluster->system_identifier = command->system_identifier;
    }
    grant_to(cluster, command, command->fenced, term, index);
    return true;
}

static bool serving(struct cluster *cluster, const struct command *command)
{
    struct cluster_grant *newest;

    if (cluster->phase != CLUSTER_GRANTED || command->epoch != cluster->epoch) {
        return false;
    }
    ASSERT(cluster->history_count > 0);
    newest = &cluster->history[cluster->history_count - 1];
    ASSERT(newest->epoch == cluster->last.epoch);
    cluster->last.served = true;
    cluster->last.served_at = command->position;
    newest->served = true;
    newest->served_at = command->position;
    cluster->phase = CLUSTER_SERVING;
    if (cluster->request.kind != CLUSTER_REQUEST_NONE &&
        cluster->request.granted_epoch == cluster->epoch) {
        end_request_won(cluster, cluster->last.node);
    }
    return true;
}

/* Always fenced: `from` has stopped. That may be built upon only if nothing older can still run
 * either, that is if it served or was granted fenced itself (rule 11). */
static bool hand_over(
    struct cluster *cluster, const struct command *command, uint64_t term, uint64_t index)
{
    const struct cluster_grant *last = &cluster->last;
    const bool nothing_older =
        cluster->phase == CLUSTER_SERVING || (cluster->phase == CLUSTER_GRANTED && last->fenced);

    if (!nothing_older || command->epoch != cluster->epoch + 1 || command->from != last->node ||
        command->node == 0) {
        return false;
    }
    grant_to(cluster, command, true, term, index);
    return true;
}

/* Settings. */

static bool set_config(struct cluster *cluster, const struct command *command)
{
    ASSERT(command->config_size < CLUSTER_CONFIG_SIZE);
    ASSERT(command->config != NULL || command->config_size == 0);
    if (cluster_outcome(cluster, command->id) != NULL) {
        return false; /* A late copy. */
    }
    if (command->config_version != cluster->config_version) {
        note_outcome(cluster, command->id, 409, "the configuration was changed meanwhile");
        return false;
    }
    /* To the end, so that no longer text before it shows through. */
    memset(cluster->config, 0, sizeof cluster->config);
    if (command->config_size > 0) {
        memcpy(cluster->config, command->config, command->config_size);
    }
    cluster->config_size = command->config_size;
    cluster->config_version++;
    note_outcome(cluster, command->id, 200, "configuration changed");
    return true;
}

static bool set_ttl_beside(struct cluster *cluster, const struct command *command, uint64_t index)
{
    if (cluster->ttl_other_ms != 0 || command->ttl_ms == 0 || command->ttl_ms == cluster->ttl_ms) {
        return false;
    }
    cluster->ttl_other_ms = command->ttl_ms;
    cluster->ttl_index = index;
    return true;
}

static bool set_ttl_alone(struct cluster *cluster, const struct command *command)
{
    if (cluster->ttl_other_ms == 0 || command->ttl_ms != cluster->ttl_other_ms) {
        return false;
    }
    cluster->ttl_ms = cluster->ttl_other_ms;
    cluster->ttl_other_ms = 0;
    cluster->ttl_index = 0;
    return true;
}

bool cluster_apply(
    struct cluster *cluster, const struct command *command, uint64_t term, uint64_t index)
{
    switch (command->kind) {
    case COMMAND_MEMBER_SET:
        return set_member(cluster, command);
    case COMMAND_MEMBER_REMOVE:
        return remove_member(cluster, command);
    case COMMAND_INIT:
        return init(cluster, command);
    case COMMAND_REVOKE:
        return revoke(cluster, command);
    case COMMAND_GRANT:
        return grant(cluster, command, term, index);
    case COMMAND_SERVING:
        return serving(cluster, command);
    case COMMAND_HANDOVER:
        return hand_over(cluster, command, term, index);
    case COMMAND_REQUEST_SET:
        return set_request(cluster, command);
    case COMMAND_REQUEST_CLEAR:
        return clear_request(cluster, command);
    case COMMAND_CONFIG_SET:
        return set_config(cluster, command);
    case COMMAND_TTL_BESIDE:
        return set_ttl_beside(cluster, command, index);
    case COMMAND_TTL_ALONE:
        return set_ttl_alone(cluster, command);
    case COMMAND_NONE:
    case COMMAND_KINDS:
        return false;
    }
    UNREACHABLE();
}

/* Facts about commands. */

uint64_t command_epoch(const struct command *command)
{
    switch (command->kind) {
    case COMMAND_REVOKE:
    case COMMAND_GRANT:
    case COMMAND_SERVING:
    case COMMAND_HANDOVER:
        return command->epoch;
    case COMMAND_NONE:
    case COMMAND_MEMBER_SET:
    case COMMAND_MEMBER_REMOVE:
    case COMMAND_INIT:
    case COMMAND_REQUEST_SET:
    case COMMAND_REQUEST_CLEAR:
    case COMMAND_CONFIG_SET:
    case COMMAND_TTL_BESIDE:
    case COMMAND_TTL_ALONE:
    case COMMAND_KINDS:
        return 0;
    }
    UNREACHABLE();
}

/* Rule 19: epochs and membership, and who may run initdb. A ttl is not among them, because what
 * waits for one looks at the log itself (rule 3). */
bool command_is_binding(const struct command *command)
{
    switch (command->kind) {
    case COMMAND_MEMBER_SET:
    case COMMAND_MEMBER_REMOVE:
    case COMMAND_INIT:
    case COMMAND_REVOKE:
    case COMMAND_GRANT:
    case COMMAND_SERVING:
    case COMMAND_HANDOVER:
        return true;
    case COMMAND_NONE:
    case COMMAND_REQUEST_SET:
    case COMMAND_REQUEST_CLEAR:
    case COMMAND_CONFIG_SET:
    case COMMAND_TTL_BESIDE:
    case COMMAND_TTL_ALONE:
    case COMMAND_KINDS:
        return false;
    }
    UNREACHABLE();
}

const char *cluster_phase_name(enum cluster_phase phase)
{
    switch (phase) {
    case CLUSTER_NONE:
        return "none";
    case CLUSTER_REVOKED:
        return "revoked";
    case CLUSTER_GRANTED:
        return "granted";
    case CLUSTER_SERVING:
        return "serving";
    }
    UNREACHABLE();
}

const char *command_name(enum command_kind kind)
{
    static const char *const names[] = {
        [COMMAND_NONE] = "none",
        [COMMAND_MEMBER_SET] = "member set",
        [COMMAND_MEMBER_REMOVE] = "member remove",
        [COMMAND_INIT] = "init",
        [COMMAND_REVOKE] = "revoke",
        [COMMAND_GRANT] = "grant",
        [COMMAND_SERVING] = "serving",
        [COMMAND_HANDOVER] = "handover",
        [COMMAND_REQUEST_SET] = "request set",
        [COMMAND_REQUEST_CLEAR] = "request clear",
        [COMMAND_CONFIG_SET] = "config set",
        [COMMAND_TTL_BESIDE] = "ttl beside",
        [COMMAND_TTL_ALONE] = "ttl alone",
    };

    _Static_assert(ARRAY_SIZE(names) == COMMAND_KINDS, "every command has a name");
    ASSERT(kind < COMMAND_KINDS);
    return names[kind];
}
