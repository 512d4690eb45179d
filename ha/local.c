/*
 * What only this node is asked for: to restart its PostgreSQL, to rebuild it, to read its
 * settings anew, to leave. Nothing of it is in the log, and it is forgotten when the daemon ends.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

/* A time that is over for longer is not made up for: the machine slept, or its clock was set. */
#define SCHEDULE_LATE_MS 15000

/* Nobody was granted for so long: a standby that keeps its pledge is not stopped meanwhile. */
#define NOBODY_MS 10000

static const char *why_no_restart(const struct ha *ha, const struct ha_restart *restart)
{
    const struct pg_facts *facts = &ha->facts;
    const char *role = ha_role_name(facts->in_recovery ? HA_ROLE_REPLICA : HA_ROLE_PRIMARY);

    if (ha->restart_wanted) {
        return "restart already in progress";
    }
    if (ha->reinit_wanted) {
        return "reinitialize already in progress";
    }
    if (facts->run != PG_RUN_UP) {
        return "PostgreSQL is not running";
    }
    if (restart->role[0] != '\0' && !text_equal(restart->role, role)) {
        return "server role does not match";
    }
    if (restart->below_version != 0 && facts->server_version >= restart->below_version) {
        return "server version is not lower than the one given";
    }
    if (restart->pending_only && !facts->pending_restart) {
        return "no restart is pending";
    }
    return NULL;
}

static void begin_restart(struct ha *ha, const struct ha_restart *restart, uint64_t reply)
{
    ha->restart_wanted = true;
    ha->restart_reply = reply;
    ha->restart_start_id = ha->facts.start_id;
    ha->restart_gone_ms = 0;
    ha->restart_timeout_ms = restart->timeout_ms;
}

static void end_restart(struct ha *ha, uint32_t code, const char *text)
{
    ha->restart_wanted = false;
    asks_reply(ha, ha->restart_reply, code, text);
    ha->restart_reply = 0;
}

void local_restart_failed(struct ha *ha)
{
    end_restart(ha, 503, "restart failed");
}

static void schedule(struct ha *ha, const struct ha_local *local)
{
    if (ha->dynamic.pause) {
        asks_reply(ha, local->id, 500, "Can't schedule restart in the paused state");
    } else if (local->restart.at_wall_ms <= ha->wall_ms) {
        asks_reply(ha, local->id, 422, "Cannot schedule restart in the past");
    } else if (ha->facts.run != PG_RUN_UP) {
        asks_reply(ha, local->id, 503, "PostgreSQL is not running");
    } else if (ha->scheduled.at_wall_ms != 0) {
        asks_reply(ha, local->id, 409, "Another restart is already scheduled");
    } else {
        ha->scheduled = local->restart;
        ha->scheduled_start_id = ha->facts.start_id;
        asks_reply(ha, local->id, 202, "Restart scheduled");
    }
}

static void unschedule(struct ha *ha, const struct ha_local *local)
{
    if (ha->scheduled.at_wall_ms == 0) {
        asks_reply(ha, local->id, 404, "no restarts are scheduled");
    } else {
        ha->scheduled.at_wall_ms = 0;
        asks_reply(ha, local->id, 200, "scheduled restart deleted");
    }
}

static void ask_restart(struct ha *ha, const struct ha_local *local)
{
    const char *why = why_no_restart(ha, &local->restart);

    if (local->restart.at_wall_ms != 0) {
        schedule(ha, local);
    } else if (why != NULL) {
        asks_reply(ha, local->id, 503, why);
    } else {
        begin_restart(ha, &local->restart, local->id);
    }
}

/* What may take for ever. The rest ends by itself before anybody could call it off. */
static bool is_long(enum pg_action_kind kind)
{
    return kind == PG_ACTION_CLONE || kind == PG_ACTION_REWIND || kind == PG_ACTION_START_STANDBY;
}

static void ask_reinit(struct ha *ha, const struct ha_local *local)
{
    const uint64_t grantee = cluster_grantee(&ha->cluster);
    char text[CLUSTER_REASON_SIZE];

    if (grantee == ha->self) {
        asks_reply(ha, local->id, 503, "I am the leader, can not reinitialize");
        return;
    }
    if (grantee == 0) {
        asks_reply(ha, local->id, 503, "Cluster has no leader, can not reinitialize");
        return;
    }
    if (!local->force && (ha->reinit_wanted || is_long(ha->action.kind))) {
        (void)snprintf(
            text, sizeof text, "%s already in progress",
            ha->reinit_wanted ? "reinitialize" : pg_action_name(ha->action.kind));
        asks_reply(ha, local->id, 503, text);
        return;
    }
    ha->reinit_wanted = true;
    ha->reinit_forced = local->force;
    ha->reinit_from_leader = local->from_leader;
    asks_reply(ha, local->id, 200, "reinitialize started");
}

void local_ask(struct ha *ha, const struct ha_local *local)
{
    switch (local->kind) {
    case HA_LOCAL_NONE:
        return;
    case HA_LOCAL_RESTART:
        ask_restart(ha, local);
        return;
    case HA_LOCAL_UNSCHEDULE:
        unschedule(ha, local);
        return;
    case HA_LOCAL_REINIT:
        ask_reinit(ha, local);
        return;
    case HA_LOCAL_RELOAD:
        ha->reload_wanted = true;
        asks_reply(ha, local->id, 202, "reload scheduled");
        return;
    case HA_LOCAL_LEAVE:
        if (!ha->leaving) {
            ha->leaving = true;
            ha->leaving_ms = ha->now_ms;
            ha_note(ha, HA_NOTE_LEAVING, ha->cluster.epoch, ha->self, "asked to stop");
        }
        return;
    }
    UNREACHABLE();
}

/* Who holds the grant lets another node try, as where a start takes longer than configured. */
static void give_up_restart(struct ha *ha)
{
    end_restart(ha, 503, "postgres is still starting");
    if (ha_is_mine(ha) && ha->cluster.phase == CLUSTER_GRANTED) {
        postgres_give_up_grant(
            ha, ha->cluster.epoch, "PostgreSQL did not start in the time given for its restart");
    }
}

/*
 * What was asked of a replica and has not begun is not done to the primary that it became: nobody
 * asked for that outage, and what it has may be all there is.
 */
static void forget_as_grantee(struct ha *ha)
{
    if (cluster_grantee(&ha->cluster) != ha->self) {
        return;
    }
    if (ha->reinit_wanted) {
        ha->reinit_wanted = false;
        ha_note(
            ha, HA_NOTE_REQUEST, ha->cluster.epoch, ha->self,
            "reinitialize is dropped: became the primary before it began");
    }
    if (ha->restart_wanted && ha->restart_gone_ms == 0 && ha->facts.in_recovery) {
        end_restart(ha, 503, "became the primary before the restart began");
    }
}

static bool waits_in_vain(const struct ha *ha)
{
    return ha->restart_gone_ms == 0 && cluster_grantee(&ha->cluster) == 0 &&
           time_since(ha->now_ms, ha->phase_since_ms) >= NOBODY_MS;
}

static void look_after_restart(struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;

    if (ha->restart_gone_ms == 0 &&
        (facts->run == PG_RUN_STOPPED || facts->start_id != ha->restart_start_id)) {
        ha->restart_gone_ms = ha->now_ms;
    }
    if (facts->start_id != ha->restart_start_id && facts->run == PG_RUN_UP && facts->sql_ok &&
        ha->action.kind == PG_ACTION_NONE) {
        end_restart(ha, 200, "restarted successfully");
        ha->callback_start_id = facts->start_id; /* Instead of on_stop and on_start. */
        ha->update->callback = PG_CALLBACK_RESTART;
        ha->update->callback_role = ha_role_name(ha->callback_role);
    } else if (
        ha->restart_timeout_ms != 0 && ha->restart_gone_ms != 0 &&
        time_since(ha->now_ms, ha->restart_gone_ms) >= ha->restart_timeout_ms) {
        give_up_restart(ha);
    } else if (waits_in_vain(ha)) {
        end_restart(ha, 503, "there is no primary to follow");
    }
}

/* Its conditions are looked at when its time has come; then it is made, or is no more. */
static void look_at_schedule(struct ha *ha)
{
    const struct ha_restart *restart = &ha->scheduled;
    const bool replaced =
        ha->facts.run == PG_RUN_UP && ha->facts.start_id != ha->scheduled_start_id;
    const char *why;

    if (restart->at_wall_ms == 0 || (!replaced && ha->wall_ms < restart->at_wall_ms)) {
        return;
    }
    if (replaced) {
        why = "PostgreSQL was started anew since";
    } else if (time_since(ha->wall_ms, restart->at_wall_ms) > SCHEDULE_LATE_MS) {
        why = "its time is over";
    } else {
        why = why_no_restart(ha, restart);
    }
    if (why == NULL) {
        ha_note(ha, HA_NOTE_REQUEST, ha->cluster.epoch, ha->self, "scheduled restart");
        begin_restart(ha, restart, 0);
    } else {
        ha_note(
            ha, HA_NOTE_REQUEST, ha->cluster.epoch, ha->self, "scheduled restart is dropped: %s",
            why);
    }
    ha->scheduled.at_wall_ms = 0;
}

/* Called off: a stop takes the place of what is under way. */
static void make_way_for_reinit(struct ha *ha)
{
    if (ha->reinit_forced && is_long(ha->action.kind) &&
        cluster_grantee(&ha->cluster) != ha->self) {
        action_start(
            ha,
            (struct pg_action){
                .kind = PG_ACTION_STOP, .epoch = ha->cluster.epoch, .stop = PG_STOP_KILL},
            "to be rebuilt, whatever is under way");
    }
    ha->reinit_forced = false;
}

void local_tick(struct ha *ha)
{
    look_at_schedule(ha);
    forget_as_grantee(ha);
    if (ha->restart_wanted) {
        look_after_restart(ha);
    }
    make_way_for_reinit(ha);
}
