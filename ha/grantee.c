/*
 * What the grantee does: become writable under its lease, once per epoch, and stop when it is
 * asked to. Called only while ha_is_mine(): its grant is applied, nothing of a higher epoch is
 * in the log, and every binding entry of the log is applied (rules 1, 14, 19).
 */
#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

/* A disk that stands still for some seconds is no reason to give the baton away. */
#define HANG_LEAST_MS 10000

/* Sent in a moment, whatever maximum_lag_on_failover says: nothing is lost by a planned stop. */
#define CATCH_UP_BYTES (16U << 20)

/* Of a fast stop: who still fetches WAL then does not get the rest of it. */
#define STOP_PATIENCE_MS 30000

/* What is written in this time the stop may have to write; a wish may be no wish for a moment,
 * while a candidate lags. */
#define PREPARED_FOR_MS 10000

/* How far its WAL goes is known when all of it is replayed. */
static bool replays_still(const struct pg_facts *facts)
{
    return facts->in_recovery && !facts->replay_idle &&
           (facts->received_lsn == 0 || facts->received_lsn < facts->replayed_lsn);
}

/* Rule 12: a grantee that has less than the position, or another data directory, refuses. */
static const char *why_refused(const struct ha *ha)
{
    const struct cluster_grant *grant = &ha->cluster.last;
    const struct pg_facts *facts = &ha->facts;
    const struct pg_position *end = &facts->position;

    if (facts->data != PG_DATA_VALID) {
        return "there is no usable data directory";
    }
    if (grant->data_dir_id != 0 && facts->record.data_dir_id != grant->data_dir_id) {
        return "the data directory is another one";
    }
    if (facts->record.marker_epoch < grant->parent) {
        return "its WAL lacks the first commit of the epoch that the grant continues";
    }
    if (facts->run == PG_RUN_STOPPED) {
        end = &facts->wal_end; /* Not known: it is before it has replayed. */
    } else if (facts->run != PG_RUN_UP || !facts->sql_ok || replays_still(facts)) {
        return NULL;
    }
    return end->lsn != 0 && end->lsn < grant->start.lsn ? "its WAL ends before the grant's position"
                                                        : NULL;
}

static struct pg_action writable_action(const struct ha *ha, enum pg_action_kind kind)
{
    return (struct pg_action){
        .kind = kind,
        .epoch = ha->cluster.epoch,
        .deadline_ms = ha->holder.expires_ms,
        .fence_at_ms = ha->holder.expires_ms - rounds_kill_budget(ha),
    };
}

/* Time enough under the lease for the guard to be armed and the start to be worth while. */
static bool lease_is_good(const struct ha *ha)
{
    return ha->holder.epoch == ha->cluster.epoch &&
           lease_holder_runs(&ha->holder, ha->now_ms + rounds_kill_budget(ha) + ha_ttl(ha) / 10);
}

/* A promotion that hangs, a replay that leads nowhere: somebody else shall try. A restart may have
 * been given another time; see local.c. */
static bool takes_too_long(const struct ha *ha)
{
    return !(ha->restart_wanted && ha->restart_timeout_ms != 0) &&
           time_since(ha->now_ms, ha->granted_ms) > ha_time_to_prepare(ha) &&
           !postgres_needs_bootstrap(ha);
}

/*
 * Rule 14 for who lost power before it had SERVING on its own disk. If it was decided, one of
 * each majority that answers a round has it; an entry that was cut off is told of no longer.
 */
static bool has_served(const struct ha *ha)
{
    return ha->served_epoch == ha->cluster.epoch &&
           time_since(ha->now_ms, ha->served_ms) < cluster_ttl_max(&ha->cluster);
}

static void prepare(struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;
    const uint64_t epoch = ha->cluster.epoch;
    const char *refusal;

    if (ha->ready_epoch == epoch || ha->failed_epoch == epoch || ha->refused_epoch == epoch) {
        return;
    }
    if (takes_too_long(ha)) {
        postgres_give_up_grant(ha, epoch, "it did not become writable in time");
        return;
    }
    if (!action_may_start(ha)) {
        return;
    }
    if (facts->run == PG_RUN_STOPPED && facts->data == PG_DATA_VALID && !postgres_is_measured(ha)) {
        return;
    }
    refusal = why_refused(ha);
    if (refusal != NULL) {
        ha->refused_epoch = epoch;
        ha->failed_ms = ha->now_ms;
        text_copy_cut(ha->why_failed, sizeof ha->why_failed, refusal);
        ha_note(ha, HA_NOTE_REFUSES_GRANT, epoch, ha->self, "%s", refusal);
        return;
    }
    if (ha->ready_at.lsn != 0 && facts->writable_start && facts->start_epoch == epoch &&
        postgres_needs_bootstrap(ha)) {
        action_start(
            ha, (struct pg_action){.kind = PG_ACTION_BOOTSTRAP_SQL, .epoch = epoch}, "new cluster");
        return;
    }
    if (facts->run == PG_RUN_STOPPED && !facts->was_primary) {
        action_start(
            ha, (struct pg_action){.kind = PG_ACTION_START_STANDBY, .epoch = epoch},
            "to replay what is here before promotion");
        return;
    }
    if (!lease_is_good(ha) || has_served(ha)) {
        return;
    }
    if (facts->run == PG_RUN_STOPPED) {
        action_start(ha, writable_action(ha, PG_ACTION_START_PRIMARY), ha->cluster.last.reason);
    } else if (
        facts->run == PG_RUN_UP && facts->sql_ok &&
        (!replays_still(facts) || facts->position.lsn >= ha->cluster.last.start.lsn)) {
        /* Also of a server that is writable under the epoch before: it gets the new marker, and
         * the guard the new epoch. */
        action_start(ha, writable_action(ha, PG_ACTION_PROMOTE), ha->cluster.last.reason);
    }
}

/* A switchover or restart begins with a stop; from then on only a newer epoch lets anyone serve. */
static void stop_planned(struct ha *ha, const char *why)
{
    ha->stopping_epoch = ha->cluster.epoch;
    ha->stopping_ms = ha->now_ms;
    ha->stopped.end_final = false;
    action_start(
        ha,
        (struct pg_action){
            .kind = PG_ACTION_STOP,
            .epoch = ha->cluster.epoch,
            .stop = PG_STOP_FAST,
            .prepared = true,
        },
        why);
}

uint64_t grantee_stop_patience(const struct ha *ha)
{
    const uint64_t wanted_ms = ha->dynamic.primary_stop_timeout_ms;

    return wanted_ms != 0 ? wanted_ms : STOP_PATIENCE_MS;
}

/* Nobody can write any more. That it takes long is borne under the lease, but not for ever: ended
 * by the fence it would be a failure, with a revocation and its waits. */
static void press_stop(struct ha *ha)
{
    if (ha->action.kind == PG_ACTION_STOP && ha->action.stop == PG_STOP_FAST &&
        ha->update->action == NULL &&
        time_since(ha->now_ms, ha->stopping_ms) >= grantee_stop_patience(ha)) {
        action_start(
            ha,
            (struct pg_action){
                .kind = PG_ACTION_STOP, .epoch = ha->cluster.epoch, .stop = PG_STOP_IMMEDIATE},
            "the fast stop takes too long");
    }
}

static bool is_prepared(const struct ha *ha)
{
    return ha->prepared_epoch == ha->cluster.epoch &&
           time_since(ha->now_ms, ha->prepared_ms) < PREPARED_FOR_MS;
}

/* What takes long is done first: /primary answers 200 meanwhile, and it is not too late yet for
 * anything else. */
static void prepare_stop(struct ha *ha, const char *why)
{
    const bool under_way = ha->action.kind == PG_ACTION_PREPARE_STOP;
    const bool is_overdue =
        under_way && time_since(ha->now_ms, ha->action_since_ms) >= HA_PREPARE_STOP_MS;

    if (is_prepared(ha) || is_overdue) {
        stop_planned(ha, why);
    } else if (!under_way) {
        action_start(
            ha, (struct pg_action){.kind = PG_ACTION_PREPARE_STOP, .epoch = ha->cluster.epoch},
            why);
    }
}

/* Not from far behind: all clients would wait until it has the rest, or for nothing. */
static bool is_near(const struct ha *ha, uint64_t lsn)
{
    const uint64_t own_lsn = ha->facts.position.lsn;

    return own_lsn <= lsn || own_lsn - lsn <= CATCH_UP_BYTES ||
           own_lsn - lsn <= ha->dynamic.maximum_lag_bytes;
}

static bool may_take_over(const struct ha *ha, uint64_t node, bool asked_for)
{
    const struct ha_status *status = ha_fresh_status(ha, node);

    return status != NULL && node != ha->self && status->run == PG_RUN_UP && status->in_recovery &&
           status->streaming && (asked_for || !status->nofailover) && !status->watchdog_failed &&
           !status->leaving && status->marker_epoch == ha->facts.record.marker_epoch &&
           is_near(ha, status->position.lsn);
}

static bool has_successor(const struct ha *ha, uint64_t wanted)
{
    for (uint32_t i = 0; i < ha->peer_count; i++) {
        const uint64_t node = ha->peers[i].id;

        if ((wanted == 0 || wanted == node) && may_take_over(ha, node, wanted == node)) {
            return true;
        }
    }
    return false;
}

static bool request_is_due(const struct ha *ha)
{
    const struct cluster_request *request = &ha->cluster.request;

    return request->kind != CLUSTER_REQUEST_NONE &&
           (request->from == 0 || request->from == ha->self) && request->to != ha->self &&
           request->scheduled_wall_ms <= ha->wall_ms;
}

/* Its processes live, and nobody gets an answer out of it: to clients that is as good as dead. */
static bool hangs(const struct ha *ha)
{
    const uint64_t patience_ms = time_max(ha->dynamic.primary_start_timeout_ms, HANG_LEAST_MS);

    return ha->facts.hung_since_ms != 0 &&
           time_since(ha->now_ms, ha->facts.hung_since_ms) >= patience_ms;
}

static void stop_at_once(struct ha *ha, const char *why)
{
    action_start(
        ha,
        (struct pg_action){
            .kind = PG_ACTION_STOP, .epoch = ha->cluster.epoch, .stop = PG_STOP_KILL},
        why);
}

/* NULL: nobody wants it to stop. */
static const char *why_stop(const struct ha *ha)
{
    if (request_is_due(ha) && has_successor(ha, ha->cluster.request.to)) {
        return "switchover";
    }
    if (ha->restart_wanted && ha->facts.start_id == ha->restart_start_id) {
        return "restart";
    }
    return ha->leaving ? "the daemon is being stopped" : NULL;
}

static void serve(struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;
    const uint64_t epoch = ha->cluster.epoch;
    const char *why = why_stop(ha);

    if (facts->writable_start && facts->start_epoch == epoch && facts->run == PG_RUN_UP) {
        ha->ready_epoch = epoch; /* Also after a restart of this daemon. */
    }
    if (ha->stopping_epoch == epoch) {
        press_stop(ha);
        return;
    }
    if (facts->run != PG_RUN_UP || !action_may_start(ha)) {
        return;
    }
    if (facts->writable_start && facts->start_epoch != epoch) {
        /* Started under a grant that was given up: not ours to serve with. */
        stop_at_once(ha, "it was started under another epoch");
    } else if (hangs(ha)) {
        stop_at_once(ha, "it has not answered for too long");
    } else if (why != NULL) {
        prepare_stop(ha, why);
    }
}

void grantee_plan(struct ha *ha)
{
    if (ha->facts.run == PG_RUN_DYING && ha->action.kind != PG_ACTION_STOP &&
        ha->update->action == NULL) {
        stop_at_once(ha, "the postmaster is gone, processes of it are not");
    } else if (ha->cluster.phase == CLUSTER_GRANTED) {
        prepare(ha);
    } else {
        serve(ha);
    }
}
