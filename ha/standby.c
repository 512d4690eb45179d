/*
 * What every other node does with its PostgreSQL: pledge while the grant is revoked, follow
 * the grantee when there is one, rewind or clone where the WAL does not allow that.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"
#include "ha/rejoin.h"

#define STRANDED_MS 3000 /* An action that waits for a node that is primary no more. */

static void stop(struct ha *ha, enum pg_stop how, const char *why)
{
    if (ha->action.kind != PG_ACTION_STOP && ha->update->action == NULL) {
        action_start(
            ha, (struct pg_action){.kind = PG_ACTION_STOP, .epoch = ha->cluster.epoch, .stop = how},
            why);
    }
}

static void start_standby(struct ha *ha, const char *why)
{
    action_start(
        ha, (struct pg_action){.kind = PG_ACTION_START_STANDBY, .epoch = ha->cluster.epoch}, why);
}

/* A directory fresh from initdb: its end is known without starting it, and it is to be started
 * as a primary, on its first timeline. */
static bool is_fresh(const struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;

    return ha->cluster.last.epoch == 0 && ha->cluster.init_node == ha->self &&
           facts->run == PG_RUN_STOPPED && facts->shut_down_cleanly && facts->was_primary;
}

/*
 * In asynchronous mode the receiver is stopped only when the old primary is gone or this
 * voter's own wait is over: what a primary that still serves commits until its fence would
 * otherwise be lost by us.
 */
static bool may_cut(const struct ha *ha)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct ha_status *old = ha_known_status(ha, last->node);

    if (last->epoch == 0 || rounds_wait_left(ha) == 0) {
        return true;
    }
    return old != NULL && old->stopped.epoch == last->epoch;
}

static bool replay_is_told(const struct pg_facts *facts)
{
    /* What was received is known to the byte; without a receiver since the start, the end is
     * known when replay has come to it. */
    return facts->replay_idle ||
           (facts->received_lsn != 0 && facts->received_lsn >= facts->replayed_lsn);
}

static void pledge_with(struct ha *ha, struct pg_position position)
{
    if (ha->pledged_epoch != ha->cluster.epoch) {
        ha->pledged_epoch = ha->cluster.epoch;
        ha_note(
            ha, HA_NOTE_PLEDGED, ha->cluster.epoch, ha->self, "timeline %u, lsn %llu",
            position.timeline, (unsigned long long)position.lsn);
    }
    ha->pledged_position = position;
}

/* The standby's half: nothing of an older primary comes in any more, and this is our end. */
static void pledge(struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;

    if (facts->data != PG_DATA_VALID || !action_may_start(ha)) {
        return;
    }
    if (is_fresh(ha)) {
        pledge_with(ha, facts->wal_end.lsn != 0 ? facts->wal_end : facts->control_end);
        return;
    }
    switch (facts->run) {
    case PG_RUN_STOPPED:
        if (postgres_is_measured(ha)) {
            start_standby(ha, "to report the end of its WAL");
        }
        return;
    case PG_RUN_UP:
    case PG_RUN_STARTING:
        break;
    case PG_RUN_UNKNOWN:
    case PG_RUN_STOPPING:
        return;
    case PG_RUN_DYING:
        stop(ha, PG_STOP_KILL, "the postmaster is gone, processes of it are not");
        return;
    }
    if (facts->run == PG_RUN_UP && facts->sql_ok && !facts->in_recovery) {
        if (ha->cluster.last.epoch == 0) {
            /* Found running before the first epoch: the grant will be for it. */
            pledge_with(ha, postgres_position(ha));
        }
        return; /* The old primary: it pledges as a voter, and its lease runs out. */
    }
    if (facts->run == PG_RUN_UP && facts->sql_ok && facts->writable_start) {
        /* In recovery still, but on its way out of it, under a grant that is no more. */
        stop(ha, PG_STOP_KILL, "its promotion was revoked");
        return;
    }
    /* What was cut stays cut: only this daemon writes an upstream into the files. */
    if ((facts->conninfo_set && ha->cut_epoch != ha->cluster.epoch) || facts->receiver_running) {
        if (may_cut(ha)) {
            action_start(
                ha, (struct pg_action){.kind = PG_ACTION_CUT, .epoch = ha->cluster.epoch},
                "pledge");
        }
        return;
    }
    if (facts->run == PG_RUN_UP && facts->sql_ok && replay_is_told(facts)) {
        pledge_with(ha, postgres_position(ha));
    }
}

static void set_server(struct pg_upstream *upstream, const struct cluster_member *member)
{
    upstream->node = member->id;
    upstream->port = member->pg_port;
    text_copy_cut(upstream->name, sizeof upstream->name, member->name);
    text_copy_cut(upstream->host, sizeof upstream->host, member->pg_host);
}

/* The grantee as its own reports and the log describe it; false if it cannot be followed yet. */
static bool find_upstream(const struct ha *ha, struct pg_upstream *upstream)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct ha_status *status = ha_known_status(ha, last->node);
    const struct cluster_member *member = cluster_find(&ha->cluster, last->node);
    struct pg_position at = last->served_at;

    if (status != NULL && status->ready_epoch == last->epoch && status->ready_at.lsn != 0) {
        at = status->ready_at;
    }
    if (member == NULL || at.lsn == 0) {
        return false;
    }
    *upstream = (struct pg_upstream){
        .epoch = last->epoch,
        .timeline = at.timeline,
        .marker_lsn = at.lsn,
    };
    set_server(upstream, member);
    return true;
}

/* On the line, with the first commit of the epoch. The record in it goes along with its files and
 * says what their WAL has, so a copy of it is as good as one of the primary. */
static bool may_be_copied(const struct ha *ha, uint64_t node)
{
    const struct ha_status *status = ha_fresh_status(ha, node);

    return node != ha->self && status != NULL && status->clonefrom && !status->leaving &&
           status->run == PG_RUN_UP && status->in_recovery && status->streaming &&
           status->follows_epoch == ha->cluster.epoch && status->marker_epoch == ha->cluster.epoch;
}

/* One of the replicas that offer themselves, now this and now that; behind a failure the primary.
 */
static void choose_clone_source(const struct ha *ha, struct pg_upstream *upstream)
{
    const struct cluster_member *offered[CLUSTER_MEMBERS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const struct cluster_member *member = &ha->cluster.members[i];

        if (member->id != 0 && may_be_copied(ha, member->id)) {
            offered[count++] = member;
        }
    }
    if (count > 0 && ha->failed_kind != PG_ACTION_CLONE &&
        !(ha->reinit_wanted && ha->reinit_from_leader)) {
        set_server(upstream, offered[(ha->self + ha->action_id) % count]);
    }
}

static void rebuild(
    struct ha *ha, enum pg_action_kind kind, const struct pg_upstream *upstream, const char *why)
{
    struct pg_action action;
    char reason[CLUSTER_REASON_SIZE];

    if (ha->facts.run != PG_RUN_STOPPED) {
        stop(ha, ha->reinit_wanted ? PG_STOP_IMMEDIATE : PG_STOP_FAST, why);
        return;
    }
    action = (struct pg_action){
        .kind = kind,
        .epoch = ha->cluster.epoch,
        .upstream = *upstream,
        .system_identifier = ha->cluster.system_identifier,
        .basebackup_only = ha->reinit_wanted && ha->reinit_from_leader,
    };
    if (kind == PG_ACTION_CLONE) {
        choose_clone_source(ha, &action.upstream);
    }
    (void)snprintf(reason, sizeof reason, "%s, from \"%s\"", why, action.upstream.name);
    action_start(ha, action, reason);
}

static void mend(struct ha *ha, enum rejoin rejoin, const struct pg_upstream *upstream)
{
    const bool can_rewind = rejoin == REJOIN_REWIND && ha->dynamic.use_pg_rewind &&
                            !(ha->failed_kind == PG_ACTION_REWIND && ha->failures > 1);

    if (!can_rewind && !ha->dynamic.remove_on_diverged) {
        const char *why =
            "WAL diverged; rewind is not possible, cloning is not allowed by settings";

        if (!text_equal(ha->why_failed, why)) {
            text_copy_cut(ha->why_failed, sizeof ha->why_failed, why);
            ha_note(ha, HA_NOTE_ACTION_FAILED, ha->cluster.epoch, ha->self, "%s", why);
        }
        return;
    }
    ha_note(
        ha, HA_NOTE_DIVERGED, ha->cluster.epoch, ha->cluster.last.node, "marker %llu, lsn %llu: %s",
        (unsigned long long)ha->facts.record.marker_epoch,
        (unsigned long long)(ha->facts.run == PG_RUN_STOPPED ? ha->facts.wal_end.lsn
                                                             : ha->facts.position.lsn),
        can_rewind ? "rewind" : "clone");
    rebuild(
        ha, can_rewind ? PG_ACTION_REWIND : PG_ACTION_CLONE, upstream,
        can_rewind ? "its WAL diverged" : "its WAL diverged and cannot be rewound");
}

static void follow_stopped(struct ha *ha, const struct pg_upstream *upstream)
{
    const struct pg_facts *facts = &ha->facts;
    const struct pg_position end = facts->wal_end;
    enum rejoin rejoin = REJOIN_FOLLOW;

    /* What pg_rewind has looked at is in order, also where it found nothing to do. */
    if (end.lsn != 0 && facts->record.data_dir_id != 0 && ha->rewound_epoch != ha->cluster.epoch) {
        rejoin = rejoin_decide(&ha->cluster, upstream->timeline, &facts->record, end);
    }
    if (rejoin == REJOIN_FOLLOW) {
        start_standby(ha, "to follow the primary"); /* If its end is past the line, we shall see. */
    } else {
        mend(ha, rejoin, upstream);
    }
}

static void follow_now(struct ha *ha, const struct pg_upstream *upstream)
{
    action_start(
        ha,
        (struct pg_action){
            .kind = PG_ACTION_FOLLOW,
            .epoch = upstream->epoch,
            .upstream = *upstream,
            .system_identifier = ha->cluster.system_identifier,
        },
        "new primary");
}

/* On the line wherever its WAL ends: what was cloned or rewound from there. */
static bool is_on_line_anyway(const struct ha *ha, const struct pg_upstream *upstream)
{
    const struct pg_position any_end = {
        .timeline = postgres_position(ha).timeline,
        .lsn = UINT64_MAX,
    };

    return ha->rewound_epoch == ha->cluster.epoch ||
           rejoin_decide(&ha->cluster, upstream->timeline, &ha->facts.record, any_end) ==
               REJOIN_FOLLOW;
}

static bool follows_already(const struct ha *ha, const struct pg_upstream *upstream)
{
    const struct pg_record *record = &ha->facts.record;

    /* After a start of this daemon once more: the same files, and the stream goes on. */
    return ha->facts.conninfo_set && ha->followed_epoch == upstream->epoch &&
           record->follow_epoch == upstream->epoch && record->follow_timeline == upstream->timeline;
}

static void follow_running(struct ha *ha, const struct pg_upstream *upstream)
{
    const struct pg_facts *facts = &ha->facts;
    const bool follows = follows_already(ha, upstream);
    enum rejoin rejoin = REJOIN_FOLLOW;

    if (follows && facts->receiver_running) {
        return;
    }
    /* Also of one that follows and gets nothing: what the upstream before still sent while this was
     * decided may lie past the line. */
    if (!is_on_line_anyway(ha, upstream)) {
        if (!replay_is_told(facts)) {
            return; /* Where its own WAL ends is known when it has replayed it. */
        }
        rejoin =
            rejoin_decide(&ha->cluster, upstream->timeline, &facts->record, postgres_position(ha));
    }
    if (rejoin != REJOIN_FOLLOW) {
        mend(ha, rejoin, upstream);
    } else if (!follows) {
        follow_now(ha, upstream);
    }
}

/* Not consistent yet: a rewound directory may need WAL from the primary to become so. */
static void follow_starting(struct ha *ha, const struct pg_upstream *upstream)
{
    if (!follows_already(ha, upstream) && is_on_line_anyway(ha, upstream)) {
        follow_now(ha, upstream);
    }
}

static void follow(struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;
    /* Also one that was found running and was never armed: no deadline would end it. */
    const bool writable = (facts->run == PG_RUN_UP && facts->sql_ok && !facts->in_recovery) ||
                          (facts->writable_start && facts->run != PG_RUN_STOPPED);
    struct pg_upstream upstream;

    if (writable) {
        stop(ha, PG_STOP_KILL, "another node was granted the next epoch");
        return;
    }
    if (!action_may_start(ha) || ha_log_epoch(ha) != ha->cluster.epoch ||
        !find_upstream(ha, &upstream)) {
        return;
    }
    if (facts->run == PG_RUN_DYING) {
        stop(ha, PG_STOP_KILL, "the postmaster is gone, processes of it are not");
        return;
    }
    if (facts->data == PG_DATA_EMPTY || facts->data == PG_DATA_PARTIAL || ha->reinit_wanted) {
        rebuild(ha, PG_ACTION_CLONE, &upstream, ha->reinit_wanted ? "asked for" : "no data yet");
        return;
    }
    if (facts->data != PG_DATA_VALID) {
        return;
    }
    if (ha->restart_wanted && facts->run == PG_RUN_UP && facts->start_id == ha->restart_start_id) {
        stop(ha, PG_STOP_FAST, "restart");
        return;
    }
    switch (facts->run) {
    case PG_RUN_STOPPED:
        if (postgres_is_measured(ha)) {
            follow_stopped(ha, &upstream);
        }
        return;
    case PG_RUN_UP:
        if (facts->sql_ok && facts->in_recovery) {
            follow_running(ha, &upstream);
        }
        return;
    case PG_RUN_STARTING:
        follow_starting(ha, &upstream);
        return;
    case PG_RUN_UNKNOWN:
    case PG_RUN_STOPPING:
    case PG_RUN_DYING:
        return;
    }
    UNREACHABLE();
}

static bool is_replica_there(const struct ha *ha, uint64_t node)
{
    const struct ha_status *status = ha_known_status(ha, node);

    return status != NULL && status->clonefrom && status->run == PG_RUN_UP && status->in_recovery &&
           !ha_is_absent(ha, node);
}

/* A clone or rewind from a node that is gone or primary no more may hang on a dead connection. */
static void drop_stranded(struct ha *ha)
{
    const uint64_t source = ha->action.upstream.node;
    const bool copies = ha->action.kind == PG_ACTION_CLONE || ha->action.kind == PG_ACTION_REWIND;

    if (copies && cluster_grantee(&ha->cluster) != source && !is_replica_there(ha, source) &&
        time_since(ha->now_ms, ha->phase_since_ms) > STRANDED_MS) {
        stop(ha, PG_STOP_KILL, "the node it copies from is not there, or primary no more");
    }
}

/*
 * Also again, where an initdb was cut off: who was named had an empty directory. But somebody else
 * may have been named while this node was away, and it does not know before it has applied what the
 * leader has.
 */
static bool may_initialise(const struct ha *ha)
{
    const struct ha_status *leader = ha_fresh_status(ha, ha->raft.leader_id);

    return ha->cluster.init_node == ha->self && !ha->initdb_failed && leader != NULL &&
           leader->applied_index <= ha->applied_index &&
           (ha->facts.data == PG_DATA_EMPTY || ha->facts.data == PG_DATA_PARTIAL);
}

void standby_plan(struct ha *ha)
{
    if (!ha_settled(ha)) {
        return; /* Rule 19: after a restart the log is applied anew, and old entries mean nothing.
                 */
    }
    drop_stranded(ha);
    switch (ha->cluster.phase) {
    case CLUSTER_NONE:
        if (may_initialise(ha) && action_may_start(ha)) {
            action_start(ha, (struct pg_action){.kind = PG_ACTION_INITDB}, "new cluster");
        }
        return;
    case CLUSTER_REVOKED:
        pledge(ha);
        return;
    case CLUSTER_GRANTED:
    case CLUSTER_SERVING:
        if (cluster_grantee(&ha->cluster) != ha->self) {
            follow(ha);
        }
        return;
    }
    UNREACHABLE();
}
