/*
 * What the Raft leader does for a change of primary. Every step is decided from the applied
 * state and the members' newest reports alone, so that any later leader goes on where this
 * one stopped; a step proposed twice is void the second time.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

#define PLEDGE_GRACE_MS      100 /* For the rest, when a majority has pledged. */
#define WAIT_NEARLY_OVER_MS  20
#define OLD_PRIMARY_AGAIN_MS 60000
#define CATCH_UP_MS          150 /* A standby that has not yet all of a dead primary's WAL ... */
#define CATCH_UP_LEAST_MS    60  /* ... and its word that nothing comes in any more. */
#define END_PATIENCE_MS      2500 /* Its files are being read; where its WAL ends is not known yet. */
#define REPLAY_BYTES_PER_MS  20000 /* Of crash recovery on a slow disk: 20 MB/s. */
#define START_LEAST_MS       2000  /* Also if nothing is to be started in place. */
#define SWITCHOVER_MS        5000  /* Then the old primary goes on. */
#define WAL_PAGE_BYTES       8192  /* The end of a record may be told with a page's header. */
#define BOOTSTRAP_WAIT_MS    3000  /* For the members that are not there yet. */
#define FAILED_INIT_MS       60000

bool leader_propose(struct ha *ha, const struct command *command)
{
    const uint64_t key = command->epoch != 0 ? command->epoch : command->node;
    const uint64_t at_ms = ha->proposed[command->kind].at_ms;

    if ((at_ms != 0 && ha->proposed[command->kind].key == key &&
         time_since(ha->now_ms, at_ms) < HA_PROPOSE_AGAIN_MS) ||
        ha->update->proposal_count == HA_PROPOSALS_MAX) {
        return false;
    }
    ha->proposed[command->kind].key = key;
    ha->proposed[command->kind].at_ms = ha->now_ms;
    ha->proposals[ha->update->proposal_count] = *command;
    ha->proposals[ha->update->proposal_count].wall_ms = ha->wall_ms;
    ha->update->proposal_count++;
    return true;
}

static void say_no_grant(struct ha *ha, const char *reason)
{
    if (!text_equal(ha->no_grant_reason, reason)) {
        text_copy_cut(ha->no_grant_reason, sizeof ha->no_grant_reason, reason);
        if (reason[0] != '\0') {
            ha_note(ha, HA_NOTE_NO_CANDIDATE, ha->cluster.epoch, 0, "%s", reason);
        }
    }
}

static void revoke(struct ha *ha, const char *reason)
{
    struct command command = {.kind = COMMAND_REVOKE, .epoch = ha->cluster.epoch + 1};

    text_copy_cut(command.reason, sizeof command.reason, reason);
    if (leader_propose(ha, &command) && ha->suspected_epoch != ha->cluster.epoch) {
        ha->suspected_epoch = ha->cluster.epoch;
        ha_note(ha, HA_NOTE_REVOKING, command.epoch, ha->cluster.last.node, "%s", reason);
    }
}

static bool runs_postgres(const struct ha *ha, uint64_t node)
{
    const struct ha_status *status = ha_known_status(ha, node);

    return status != NULL && !status->member.witness;
}

/* The grantee has stopped because it was asked to, and waits for who follows: itself if need be. */
static bool has_stopped_as_planned(const struct ha *ha)
{
    const struct ha_status *grantee = ha_fresh_status(ha, ha->cluster.last.node);

    return grantee != NULL && grantee->stopped.epoch == ha->cluster.epoch &&
           grantee->stopped.planned;
}

/*
 * The node that somebody asked for; 0: none, or its hour has not come, or another change of
 * primary was meant. A switchover is asked for because nothing is lost by it. That holds only for a
 * primary that stops for it: where it dies instead, who lacks much must not win by having been
 * named. A failover is the operator's word.
 */
static uint64_t requested(const struct ha *ha)
{
    const struct cluster_request *request = &ha->cluster.request;

    if (request->kind == CLUSTER_REQUEST_NONE || request->scheduled_wall_ms > ha->wall_ms ||
        (request->from != 0 && request->from != ha->cluster.last.node) ||
        (request->kind == CLUSTER_REQUEST_SWITCHOVER && !has_stopped_as_planned(ha))) {
        return 0;
    }
    return request->to;
}

/* What old lets a grant be fenced: nothing that it or an older one started can still run (11). */
static bool older_is_over(const struct ha *ha)
{
    const struct cluster_grant *last = &ha->cluster.last;

    return last->epoch == 0 || last->served || last->fenced;
}

/* First epoch. */

static uint64_t find_writable(const struct ha *ha, bool *several)
{
    uint64_t found = 0;

    *several = false;
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_status *status = ha_fresh_status(ha, ha->raft.members[i].id);

        if (status != NULL && status->writable) {
            *several = found != 0;
            found = ha->raft.members[i].id;
        }
    }
    return found;
}

/* A primary that ran before the first epoch is under no lease: silent, it may still accept commits.
 */
static uint64_t find_silent_writable(const struct ha *ha)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_known_status(ha, node);

        if (status != NULL && status->writable && ha_fresh_status(ha, node) == NULL) {
            return node;
        }
    }
    return 0;
}

/* The node that may run initdb: this one if it can, else the first that can. */
static uint64_t choose_initialiser(const struct ha *ha)
{
    uint64_t found = 0;

    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);

        if (status == NULL || status->member.witness || !status->can_bootstrap ||
            status->nofailover || status->data != PG_DATA_EMPTY ||
            status->state == HA_STATE_INITDB_FAILED) {
            continue;
        }
        if (node == ha->self) {
            return node;
        }
        found = found == 0 || node < found ? node : found;
    }
    return found;
}

static void initialise(struct ha *ha)
{
    const struct cluster *cluster = &ha->cluster;
    const struct ha_status *status = ha_known_status(ha, cluster->init_node);
    const bool failed = status != NULL &&
                        (status->state == HA_STATE_INITDB_FAILED || status->data == PG_DATA_BROKEN);
    const bool heard = ha_fresh_status(ha, cluster->init_node) != NULL;
    const bool gone = !heard && time_since(ha->now_ms, ha->led_since_ms) > FAILED_INIT_MS;
    struct command command = {.kind = COMMAND_INIT};
    char reason[CLUSTER_REASON_SIZE];

    if (cluster->init_node != 0 && !failed && !gone) {
        (void)snprintf(
            reason, sizeof reason, "waiting for \"%.40s\", which was to initialise the cluster",
            ha_name(ha, cluster->init_node));
        say_no_grant(ha, heard ? "" : reason); /* Who is heard is at work. */
        return;
    }
    command.node = choose_initialiser(ha);
    if (command.node == 0) {
        say_no_grant(ha, "no member is able to initialise the cluster");
        return;
    }
    if (leader_propose(ha, &command)) {
        ha_note(ha, HA_NOTE_INIT_CLAIMED, 0, command.node, "\"%s\"", ha_name(ha, command.node));
    }
}

/* Everybody that can be asked was asked, or the others were given time enough to come. */
static bool all_have_spoken(struct ha *ha)
{
    uint32_t fresh = 0;

    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_status *status = ha_fresh_status(ha, ha->raft.members[i].id);

        if (status != NULL && (status->member.witness || status->data != PG_DATA_UNKNOWN)) {
            fresh++;
        }
    }
    if (fresh * 2 <= ha->raft.member_count) {
        ha->bootstrap_ms = 0;
        return false;
    }
    if (ha->bootstrap_ms == 0) {
        ha->bootstrap_ms = ha->now_ms;
    }
    return fresh == ha->raft.member_count ||
           time_since(ha->now_ms, ha->bootstrap_ms) >= BOOTSTRAP_WAIT_MS;
}

/*
 * Before the first epoch no lease ends anybody. So while a primary may run that no member tells of,
 * because its daemon is not here yet or it does not answer, nobody is granted. The reason, or
 * nothing.
 */
static void find_untold_primary(const struct ha *ha, bool writable_known, char *reason, size_t size)
{
    reason[0] = '\0';
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);

        if (status == NULL || status->data != PG_DATA_VALID) {
            continue;
        }
        if (status->run != PG_RUN_STOPPED && !status->writable && !status->in_recovery) {
            (void)snprintf(
                reason, size, "PostgreSQL of \"%.40s\" does not tell whether it is writable",
                ha_name(ha, node));
            return; /* Perhaps the one that others stream from. */
        }
        if (status->streaming && !writable_known) {
            (void)snprintf(
                reason, size,
                "\"%.30s\" streams from a PostgreSQL whose daemon is not here: start it there, or "
                "end "
                "the stream",
                ha_name(ha, node));
        }
    }
}

static void begin(struct ha *ha)
{
    bool data = false;
    bool several;
    uint64_t writable;
    char reason[CLUSTER_REASON_SIZE];

    if (!all_have_spoken(ha) || ha->cluster.config_version == 0) {
        return;
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_status *status = ha_fresh_status(ha, ha->raft.members[i].id);

        data |= status != NULL && status->data == PG_DATA_VALID;
    }
    writable = find_writable(ha, &several);
    find_untold_primary(ha, writable != 0, reason, sizeof reason);
    if (several) {
        say_no_grant(ha, "more than one PostgreSQL runs writable: stop all but the right one");
    } else if (reason[0] != '\0') {
        /* Most often it answers in a moment. */
        if (time_since(ha->now_ms, ha->bootstrap_ms) >= BOOTSTRAP_WAIT_MS) {
            say_no_grant(ha, reason);
        }
    } else if (writable != 0) {
        revoke(ha, "first epoch: taking over a running primary");
    } else if (data) {
        revoke(
            ha,
            ha->cluster.init_node != 0 ? "first epoch: new cluster" : "first epoch: existing data");
    } else {
        initialise(ha);
    }
}

/* Choice. */

/*
 * The lag's reference: the newest that anybody knows of the WAL of the last epoch that served. What
 * was granted after it and never served is no reason to lose more.
 */
static void find_reference(const struct ha *ha, struct choose_input *input)
{
    const struct cluster_grant *served = cluster_last_served(&ha->cluster);

    input->last_lsn = ha->cluster.last.start.lsn;
    if (served != NULL) {
        input->last_marker = served->epoch;
        input->last_lsn =
            time_max(served->served_at.lsn, ha_told_lsn(ha, served->node, served->epoch));
    }
}

/* It was the grantee and could not do it. */
static bool gave_up(const struct ha *ha, const struct ha_status *status)
{
    const uint64_t epoch = ha->cluster.last.epoch;

    return epoch != 0 && (status->failed_epoch == epoch || status->refused_epoch == epoch);
}

static void add_candidate(const struct ha *ha, struct choose_input *input, uint64_t node)
{
    const struct cluster *cluster = &ha->cluster;
    const struct ha_status *status = ha_fresh_status(ha, node);
    struct choose_candidate *candidate;

    if (status == NULL || status->member.witness || ha_is_witness(ha, node)) {
        return;
    }
    candidate = &input->candidates[input->count++];
    *candidate = (struct choose_candidate){
        .node = node,
        .pledged = status->pledged_epoch == cluster->epoch,
        .has_data = status->data == PG_DATA_VALID,
        .nofailover = status->nofailover,
        .watchdog_failed = status->watchdog_failed,
        .failed = gave_up(ha, status),
        .leaving = status->leaving,
        .wrong_system = cluster->system_identifier != 0 &&
                        status->system_identifier != cluster->system_identifier,
        .old_primary = node == cluster->last.node,
        .marker_epoch = status->marker_epoch,
        .position = status->pledged_position,
        .shared_lsn = cluster_shared_lsn(cluster, input->last_marker, status->marker_epoch),
        .priority = status->failover_priority,
    };
}

static void explain_no_candidate(struct ha *ha, const struct choose_input *input)
{
    char reason[CLUSTER_REASON_SIZE];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_add(&text, input->count == 0 ? "no member that runs PostgreSQL is reachable" : "");
    for (uint32_t i = 0; i < input->count; i++) {
        text_addf(
            &text, "%s%s %s", i == 0 ? "" : "; ", ha_name(ha, input->candidates[i].node),
            choose_why_not_text(input->candidates[i].why_not));
    }
    say_no_grant(ha, reason);
}

static void grant(struct ha *ha, uint64_t node, bool fenced, const char *reason)
{
    const struct ha_status *status = ha_fresh_status(ha, node);
    struct command command = {
        .kind = COMMAND_GRANT,
        .epoch = ha->cluster.epoch,
        .node = node,
        .fenced = fenced,
    };

    ASSERT(status != NULL);
    command.data_dir_id = status->member.data_dir_id;
    command.parent = status->marker_epoch;
    command.position =
        status->pledged_epoch == ha->cluster.epoch ? status->pledged_position : status->position;
    command.system_identifier = status->system_identifier;
    text_copy_cut(command.reason, sizeof command.reason, reason);
    if (leader_propose(ha, &command)) {
        say_no_grant(ha, "");
        ha_note(
            ha, HA_NOTE_CHOSEN, command.epoch, node,
            "\"%s\"%s, marker %llu, timeline %u, lsn %llu: %s", ha_name(ha, node),
            fenced ? " (fenced)" : "", (unsigned long long)command.parent,
            command.position.timeline, (unsigned long long)command.position.lsn, reason);
    }
}

/* Counts the voters that have pledged and, among them, those whose own wait is nearly over. */
static void count_voters(const struct ha *ha, uint32_t *voters, uint32_t *pledged, uint32_t *waited)
{
    *voters = *pledged = *waited = 0;
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_status *status = ha_fresh_status(ha, ha->raft.members[i].id);

        if (!ha->raft.members[i].voter) {
            continue;
        }
        (*voters)++;
        if (status != NULL && status->log_epoch >= ha->cluster.epoch) {
            (*pledged)++;
            *waited += status->wait_left_ms <= WAIT_NEARLY_OVER_MS ? 1 : 0;
        }
    }
}

/* "The grantee of e has reported, pledged to e + 1, that it is gone." */
static bool old_is_gone(const struct ha *ha)
{
    const struct ha_status *old = ha_known_status(ha, ha->cluster.last.node);

    return old != NULL && old->log_epoch >= ha->cluster.epoch &&
           old->stopped.epoch == ha->cluster.last.epoch;
}

/* For the old primary. */
static uint64_t time_to_start(const struct ha *ha)
{
    return time_max(ha->dynamic.primary_start_timeout_ms, START_LEAST_MS);
}

static uint64_t patience_with(const struct ha *ha, const struct ha_status *status, uint64_t node)
{
    if (status->log_epoch < ha->cluster.epoch) {
        return ha_ttl(ha); /* It is heard; the revocation does not get to it. */
    }
    /* Before the first epoch any of them may have been the primary. */
    if (node == ha->cluster.last.node || ha->cluster.last.epoch == 0) {
        return time_to_start(ha);
    }
    return 2 * ha_ttl(ha) + 1000;
}

/* Runs PostgreSQL on the dead or stopped primary's branch, and may be chosen after it. */
static bool may_succeed(const struct ha *ha, uint64_t node)
{
    const struct ha_status *old = ha_known_status(ha, ha->cluster.last.node);
    const struct ha_status *status = ha_fresh_status(ha, node);
    const uint64_t wanted = requested(ha);

    return status != NULL && old != NULL && node != ha->cluster.last.node &&
           status->run == PG_RUN_UP && status->in_recovery && !status->leaving &&
           status->marker_epoch == old->marker_epoch && (wanted == 0 || wanted == node) &&
           (!status->nofailover || wanted == node);
}

static bool is_close(const struct ha *ha, uint64_t node, uint64_t end_lsn)
{
    const struct ha_status *status = ha_fresh_status(ha, node);

    return may_succeed(ha, node) && !status->watchdog_failed &&
           (status->position.lsn >= end_lsn ||
            end_lsn - status->position.lsn <= ha->dynamic.maximum_lag_bytes);
}

/* How far crash recovery has to go is known beforehand. If it cannot be done in the time it is
 * given, and somebody has all but what may be lost, it is not begun. */
static bool is_hopeless_in_place(const struct ha *ha, const struct ha_stopped *stopped)
{
    const struct cluster_grant *last = &ha->cluster.last;

    if (last->epoch == 0 || stopped->epoch != last->epoch || !stopped->end_final ||
        stopped->redo_bytes / REPLAY_BYTES_PER_MS <= time_to_start(ha)) {
        return false;
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (is_close(ha, ha->raft.members[i].id, stopped->end.lsn)) {
            return true;
        }
    }
    return false;
}

/* The old primary is gone, and somebody has pledged all that it had: what it would pledge itself,
 * should it ever come up, adds nothing. */
static bool is_replaceable(const struct ha *ha, const struct ha_status *old)
{
    const struct cluster_grant *last = &ha->cluster.last;

    if (last->epoch == 0 || old->stopped.epoch != last->epoch || !old->stopped.end_final) {
        return false;
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);

        if (status != NULL && node != last->node && status->pledged_epoch == ha->cluster.epoch &&
            status->marker_epoch == old->marker_epoch &&
            status->pledged_position.lsn >= old->stopped.end.lsn && !status->nofailover &&
            !status->watchdog_failed && !status->leaving && !gave_up(ha, status)) {
            return true;
        }
    }
    return false;
}

/* Somebody that is reachable has WAL and is still on its way to tell where it ends. */
static bool worth_waiting(const struct ha *ha)
{
    const uint64_t revoked_for_ms = time_since(ha->now_ms, ha->phase_since_ms);

    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);
        const bool is_old = node == ha->cluster.last.node;

        if (status == NULL || status->member.witness || status->data != PG_DATA_VALID ||
            status->pledged_epoch == ha->cluster.epoch || status->leaving ||
            status->state == HA_STATE_START_FAILED || gave_up(ha, status)) {
            continue;
        }
        if (status->writable && is_old) {
            continue; /* It is cut off from its voters or about to be granted again. */
        }
        if (is_old && (is_replaceable(ha, status) || is_hopeless_in_place(ha, &status->stopped))) {
            continue;
        }
        if (revoked_for_ms < patience_with(ha, status, node)) {
            return true;
        }
    }
    return false;
}

static bool grant_old_again(struct ha *ha)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct ha_status *old = ha_fresh_status(ha, last->node);
    const bool lately =
        ha->regranted_ms != 0 && time_since(ha->now_ms, ha->regranted_ms) < OLD_PRIMARY_AGAIN_MS;

    if (old == NULL || lately || old->log_epoch < ha->cluster.epoch || !old->writable ||
        old->writable_epoch != last->epoch || old->stopped.epoch == last->epoch || old->leaving ||
        !last->served || old->failed_epoch == last->epoch) {
        return false;
    }
    grant(ha, last->node, false, "the primary still serves");
    return true;
}

static void describe_choice(const struct ha *ha, char *reason, size_t size, uint64_t node)
{
    struct text text;

    text_init(&text, reason, size);
    text_addf(&text, "%s", node == requested(ha) ? "asked for; " : "best position; ");
    text_add(&text, ha->cluster.revoke_reason);
}

static bool has_lost_its_store(const struct ha *ha, uint64_t member)
{
    for (uint32_t i = 0; i < ha->raft.stranger_count; i++) {
        if (ha->raft.strangers[i].id == member && ha->raft.strangers[i].empty) {
            return true;
        }
    }
    return false;
}

/*
 * With failsafe_mode a lease runs on without a majority while every member that runs PostgreSQL
 * answers; and whether the mode is on for its holder, which may be cut off, is not known here. When
 * one of them has pledged, or has lost its store, only rounds that are under way extend it.
 */
static bool failsafe_ends(const struct ha *ha)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);
        const bool has_pledged = status != NULL && status->log_epoch >= ha->cluster.epoch;

        if (!ha_is_witness(ha, node) && (has_pledged || has_lost_its_store(ha, node))) {
            return true;
        }
    }
    return false;
}

/* The membership may be changed when the last lease has run out; see may_change_members(). */
static void nobody_can(struct ha *ha, bool fenced)
{
    if (ha->nobody_ms == 0 && (fenced || failsafe_ends(ha))) {
        ha->nobody_ms = ha->now_ms;
    }
}

/* A server that was found running writable and never armed by its guard: no lease ends it. */
static uint64_t find_unguarded(const struct ha *ha)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_status *status = ha_known_status(ha, ha->raft.members[i].id);

        if (status != NULL && status->writable && status->writable_epoch == 0) {
            return ha->raft.members[i].id;
        }
    }
    return 0;
}

static void choose(struct ha *ha, bool fenced)
{
    struct choose_input input = {
        .requested = requested(ha),
        .maximum_lag_bytes = ha->dynamic.maximum_lag_bytes,
        .old_primary_last = true,
    };
    const uint64_t unguarded = find_unguarded(ha);
    char reason[CLUSTER_REASON_SIZE];
    uint64_t node;

    if (ha->cluster.last.epoch == 0 && find_silent_writable(ha) != 0) {
        say_no_grant(ha, "the running primary that was to be taken over is not heard any more");
        return;
    }
    if (unguarded != 0) {
        input.requested = unguarded;
        input.maximum_lag_bytes = UINT64_MAX;
    }
    find_reference(ha, &input);
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        add_candidate(ha, &input, ha->raft.members[i].id);
    }
    node = choose_primary(&input);
    if (node == 0) {
        explain_no_candidate(ha, &input);
        nobody_can(ha, fenced);
        return;
    }
    if (unguarded != 0 && node != unguarded) {
        (void)snprintf(
            reason, sizeof reason, "PostgreSQL of \"%.40s\" runs writable without a guard: stop it",
            ha_name(ha, unguarded));
        say_no_grant(ha, reason);
        nobody_can(ha, fenced); /* It may have stopped, and its node be out of the membership. */
        return;
    }
    describe_choice(ha, reason, sizeof reason, node);
    grant(ha, node, fenced, reason);
}

static void collect(struct ha *ha)
{
    uint32_t voters;
    uint32_t pledged;
    uint32_t waited;
    const bool fenced = ha->cluster.last.epoch == 0 || (old_is_gone(ha) && older_is_over(ha));

    count_voters(ha, &voters, &pledged, &waited);
    if (pledged * 2 <= voters) {
        ha->majority_ms = 0;
        if (time_since(ha->now_ms, ha->phase_since_ms) >= PLEDGE_GRACE_MS) {
            say_no_grant(ha, "no majority of voters has pledged");
        }
        return;
    }
    if (ha->majority_ms == 0) {
        ha->majority_ms = ha->now_ms;
    }
    if (time_since(ha->now_ms, ha->majority_ms) < PLEDGE_GRACE_MS && pledged < voters) {
        return;
    }
    if (ha->cluster.request.kind != CLUSTER_REQUEST_FAILOVER && grant_old_again(ha)) {
        return;
    }
    if (!fenced) {
        /* Decided late: until then the old primary may come back, and the standbys that still
         * reach it go on receiving what it commits. */
        if (waited * 2 <= voters) {
            ha->waits_over_ms = 0;
            return;
        }
        if (ha->waits_over_ms == 0) {
            ha->waits_over_ms = ha->now_ms;
        }
    }
    if (worth_waiting(ha)) {
        return;
    }
    choose(ha, fenced);
}

/* While somebody is granted. */

static void hand_over(
    struct ha *ha, uint64_t node, const struct ha_stopped *stopped, const char *reason)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct ha_status *status = ha_known_status(ha, node);
    const struct ha_status *old = ha_known_status(ha, last->node);
    struct command command = {
        .kind = COMMAND_HANDOVER,
        .epoch = ha->cluster.epoch + 1,
        .from = last->node,
        .node = node,
        .position = stopped->end,
        .fenced = true,
    };

    ASSERT(status != NULL && old != NULL);
    command.parent = old->marker_epoch;
    command.data_dir_id = status->member.data_dir_id;
    text_copy_cut(command.reason, sizeof command.reason, reason);
    if (leader_propose(ha, &command)) {
        ha_note(
            ha, HA_NOTE_HANDING_OVER, command.epoch, node,
            "from \"%s\" to \"%s\" at timeline %u, lsn %llu: %s", ha_name(ha, last->node),
            ha_name(ha, node), stopped->end.timeline, (unsigned long long)stopped->end.lsn, reason);
    }
}

/* Past the last record of a clean shutdown no standby of it can be. This one was ahead on a line of
 * its own, perhaps since before the first epoch, and lacks what the primary wrote there. */
static bool is_past_the_end(const struct ha_status *status, const struct ha_stopped *stopped)
{
    return stopped->planned && status->position.lsn > stopped->end.lsn + WAL_PAGE_BYTES;
}

/* A standby that has everything of the stopped primary, the requested one or the best. */
static uint64_t find_complete(const struct ha *ha, const struct ha_stopped *stopped)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const uint64_t wanted = requested(ha);
    const struct ha_status *old = ha_known_status(ha, last->node);
    const struct ha_status *best = NULL;
    uint64_t found = 0;

    if (!stopped->end_final || old == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);

        if (status == NULL || node == last->node || status->member.witness ||
            status->run != PG_RUN_UP || !status->in_recovery ||
            status->marker_epoch != old->marker_epoch || status->position.lsn < stopped->end.lsn ||
            is_past_the_end(status, stopped) || status->watchdog_failed || status->leaving ||
            (status->nofailover && node != wanted) ||
            (wanted != 0 && stopped->planned && node != wanted)) {
            continue;
        }
        if (best == NULL || status->failover_priority > best->failover_priority) {
            best = status;
            found = node;
        }
    }
    return found;
}

/* A node that could still get everything: it streams, or did a moment ago. */
static bool somebody_may_complete(const struct ha *ha)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (may_succeed(ha, ha->raft.members[i].id)) {
            return true;
        }
    }
    return false;
}

/* As far as their statuses tell: what is on its way from a dead primary still comes in. */
static bool somebody_streams(const struct ha *ha)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;

        if (may_succeed(ha, node) && ha_fresh_status(ha, node)->streaming) {
            return true;
        }
    }
    return false;
}

static void after_planned_stop(
    struct ha *ha, const struct ha_status *old, const struct ha_stopped *stopped)
{
    const uint64_t since_ms = time_since(ha->now_ms, ha->handover_ms);
    const uint64_t complete = stopped->restart ? 0 : find_complete(ha, stopped);

    if (complete != 0) {
        hand_over(
            ha, complete, stopped,
            ha->cluster.request.kind == CLUSTER_REQUEST_FAILOVER ? "failover asked for"
            : ha->cluster.request.kind == CLUSTER_REQUEST_SWITCHOVER
                ? "switchover"
                : "the primary's daemon was stopped");
    } else if (stopped->restart) {
        hand_over(ha, ha->cluster.last.node, stopped, "restart");
    } else if (somebody_may_complete(ha) && since_ms < SWITCHOVER_MS) {
        return;
    } else if (!old->leaving) {
        hand_over(
            ha, ha->cluster.last.node, stopped,
            "switchover broken off: no candidate got all WAL in time");
    } else if (runs_postgres(ha, ha->cluster.last.node) && ha->raft.member_count > 1) {
        revoke(ha, "the primary's daemon was stopped");
    }
}

static void after_death(struct ha *ha, const struct ha_stopped *stopped)
{
    const uint64_t since_ms = time_since(ha->now_ms, ha->handover_ms);
    const bool heard = ha_fresh_status(ha, ha->cluster.last.node) != NULL;
    const bool in_place = heard && ha->dynamic.primary_start_timeout_ms > 0;
    const uint64_t complete = find_complete(ha, stopped);
    /* A start in place needs to know the end as well. */
    const uint64_t patience_ms = in_place && !stopped->end_final ? END_PATIENCE_MS
                                 : somebody_streams(ha)          ? CATCH_UP_MS
                                                                 : CATCH_UP_LEAST_MS;
    char reason[CLUSTER_REASON_SIZE];

    if (!older_is_over(ha)) {
        revoke(ha, "PostgreSQL of the grantee died before it served");
    } else if (complete != 0) {
        hand_over(
            ha, complete, stopped,
            heard ? "PostgreSQL of the primary died; a standby has all WAL"
                  : "the stopped primary is not heard any more; a standby has all WAL");
    } else if (since_ms < patience_ms && (somebody_may_complete(ha) || !stopped->end_final)) {
        return;
    } else if (in_place && is_hopeless_in_place(ha, stopped)) {
        (void)snprintf(
            reason, sizeof reason,
            "PostgreSQL of the primary died; %llu MB of WAL to replay would take too long",
            (unsigned long long)(stopped->redo_bytes / 1000000));
        revoke(ha, reason);
    } else if (in_place) {
        hand_over(
            ha, ha->cluster.last.node, stopped, "PostgreSQL died; starting it again in place");
    } else {
        revoke(
            ha,
            heard ? "PostgreSQL of the primary died" : "the stopped primary is not heard any more");
    }
}

static bool majority_suspects(const struct ha *ha)
{
    uint32_t voters = 0;
    uint32_t suspects = 0;

    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_status *status = ha_fresh_status(ha, ha->raft.members[i].id);

        if (ha->raft.members[i].voter) {
            voters++;
            suspects += status != NULL && status->suspects_epoch == ha->cluster.epoch ? 1 : 0;
        }
    }
    return suspects * 2 > voters;
}

/*
 * Rule 7: slow replay is no failure. A new grantee has the time of the voters' waits, and more
 * while it reports progress; one that is at work without getting answers would stay without. For
 * how long it may prepare under a lease that runs is for itself to end (grantee.c).
 */
static bool is_preparing(const struct ha *ha)
{
    const struct ha_status *status = ha_fresh_status(ha, ha->cluster.last.node);
    const uint64_t granted_for_ms = time_since(ha->now_ms, ha->granted_ms);
    const uint64_t wait_ms = time_lengthen(cluster_ttl_max(&ha->cluster));

    if (ha->cluster.phase != CLUSTER_GRANTED || status == NULL) {
        return false;
    }
    return (!ha->cluster.last.fenced && granted_for_ms < wait_ms + wait_ms / 2) ||
           (status->progressed_ago_ms < ha_ttl(ha) && granted_for_ms < ha_time_to_prepare(ha));
}

static void watch(struct ha *ha)
{
    const struct cluster *cluster = &ha->cluster;
    const struct cluster_grant *last = &cluster->last;
    const struct ha_status *grantee = ha_known_status(ha, last->node);
    char reason[CLUSTER_REASON_SIZE];

    say_no_grant(ha, "");
    if (grantee != NULL &&
        (grantee->refused_epoch == cluster->epoch || grantee->failed_epoch == cluster->epoch)) {
        (void)snprintf(reason, sizeof reason, "the grantee gave up: %.90s", grantee->why_failed);
        revoke(ha, reason);
        return;
    }
    if (grantee != NULL && grantee->stopped.epoch == cluster->epoch) {
        if (ha->handover_ms == 0) {
            ha->handover_ms = ha->now_ms;
        }
        if (has_stopped_as_planned(ha) && older_is_over(ha)) {
            after_planned_stop(ha, grantee, &grantee->stopped);
        } else {
            after_death(ha, &grantee->stopped);
        }
        return;
    }
    if (cluster->phase == CLUSTER_GRANTED && grantee != NULL &&
        grantee->ready_epoch == cluster->epoch) {
        leader_propose(
            ha, &(struct command){
                    .kind = COMMAND_SERVING,
                    .epoch = cluster->epoch,
                    .position = grantee->ready_at,
                });
        return;
    }
    if (time_since(ha->now_ms, ha->led_since_ms) < ha_ttl(ha) / 5 || is_preparing(ha) ||
        !majority_suspects(ha)) {
        return;
    }
    (void)snprintf(
        reason, sizeof reason, "no completed lease round of \"%.40s\" for %llu ms",
        ha_name(ha, last->node), (unsigned long long)rounds_silent_ms(ha));
    revoke(ha, reason);
}

void leader_tick(struct ha *ha)
{
    if (!ha_settled(ha)) {
        return;
    }
    switch (ha->cluster.phase) {
    case CLUSTER_NONE:
        begin(ha);
        return;
    case CLUSTER_REVOKED:
        collect(ha);
        return;
    case CLUSTER_GRANTED:
    case CLUSTER_SERVING:
        watch(ha);
        return;
    }
    UNREACHABLE();
}
