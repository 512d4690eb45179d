/*
 * Actions of this node's PostgreSQL: one in flight, its result, and what the facts mean for
 * the reports to the leader. What should be done next is decided in grantee.c and standby.c.
 */
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

#define RETRY_FIRST_MS      500
#define RETRY_MOST_MS       10000
#define LEAVE_PATIENCE_MS   20000
#define LEAVE_LEADER_MS     2000
#define LEAVE_HANDOVER_MS   3000 /* PostgreSQL is stopped, and nobody takes over. */
#define MEASURE_PATIENCE_MS 2000
#define SLOTS_EVERY_MS      5000
#define FAILED_MS           5000 /* Left out of the choice so long, where others can be chosen. */

bool action_may_start(const struct ha *ha)
{
    return (ha->action.kind == PG_ACTION_NONE || ha->action.kind == PG_ACTION_PREPARE_STOP) &&
           ha->update->action == NULL && ha->now_ms >= ha->retry_ms;
}

void action_start(struct ha *ha, struct pg_action action, const char *why)
{
    ASSERT(ha->update->action == NULL);
    ASSERT(
        ha->action.kind == PG_ACTION_NONE || ha->action.kind == PG_ACTION_PREPARE_STOP ||
        action.kind == PG_ACTION_STOP);
    action.id = ++ha->action_id;
    ha->action = action;
    ha->action_since_ms = ha->now_ms;
    ha->update->action = &ha->action;
    ha_note(
        ha, HA_NOTE_ACTION, action.epoch, action.upstream.node, "%s: %s",
        pg_action_name(action.kind), why);
}

static void fail(struct ha *ha, const struct pg_action_done *done)
{
    const uint64_t wait_ms =
        time_min((uint64_t)RETRY_FIRST_MS << time_min(ha->failures, 5), RETRY_MOST_MS);

    ha->failures = ha->failed_kind == done->kind ? ha->failures + 1 : 1;
    ha->failed_kind = done->kind;
    ha->retry_ms = ha->now_ms + wait_ms;
    text_copy_cut(ha->why_failed, sizeof ha->why_failed, done->text);
    if (ha->restart_wanted &&
        (done->kind == PG_ACTION_START_STANDBY || done->kind == PG_ACTION_START_PRIMARY)) {
        local_restart_failed(ha);
    }
    ha_note(
        ha, HA_NOTE_ACTION_FAILED, ha->action.epoch, ha->action.upstream.node, "%s: %s",
        pg_action_name(done->kind), done->text);
}

void postgres_give_up_grant(struct ha *ha, uint64_t epoch, const char *why)
{
    ha->failed_epoch = epoch;
    ha->failed_ms = ha->now_ms;
    ha->retry_ms = ha->now_ms; /* What comes next is another kind of action. */
    text_copy_cut(ha->why_failed, sizeof ha->why_failed, why);
}

/* This node made the cluster, and no epoch of it has served yet: roles and users are missing. */
bool postgres_needs_bootstrap(const struct ha *ha)
{
    if (ha->cluster.init_node != ha->self || ha->bootstrapped_epoch != 0) {
        return false;
    }
    for (uint32_t i = 0; i < ha->cluster.history_count; i++) {
        if (ha->cluster.history[i].served) {
            return false;
        }
    }
    return true;
}

static void became_writable(struct ha *ha, const struct pg_action_done *done)
{
    ha->ready_at = done->position;
    if (postgres_needs_bootstrap(ha)) {
        return; /* Roles and users first; see grantee_plan(). */
    }
    ha->ready_epoch = ha->action.epoch;
}

static void succeed(struct ha *ha, const struct pg_action_done *done)
{
    ha->failures = 0;
    ha->failed_kind = PG_ACTION_NONE;
    switch (done->kind) {
    case PG_ACTION_START_PRIMARY:
    case PG_ACTION_PROMOTE:
        became_writable(ha, done);
        return;
    case PG_ACTION_BOOTSTRAP_SQL:
        ha->bootstrapped_epoch = ha->action.epoch;
        ha->ready_epoch = ha->action.epoch;
        return;
    case PG_ACTION_PREPARE_STOP:
        ha->prepared_epoch = ha->action.epoch;
        ha->prepared_ms = ha->now_ms;
        return;
    case PG_ACTION_STOP:
        /* Else the position is only the end that is sure, and there may be more behind it. */
        if (ha->facts.wal_end.lsn != 0) {
            ha->stopped.end = done->position;
            ha->stopped.end_final = done->position.lsn != 0;
        }
        return;
    case PG_ACTION_CLONE:
        ha->reinit_wanted = false;
        return;
    case PG_ACTION_INITDB:
        ha->initdb_failed = false;
        return;
    case PG_ACTION_NONE:
    case PG_ACTION_START_STANDBY:
    case PG_ACTION_CUT:
        ha->cut_epoch = ha->action.epoch;
        return;
    case PG_ACTION_REWIND:
        ha->rewound_epoch = ha->action.epoch;
        return;
    case PG_ACTION_FOLLOW:
        ha->followed_epoch = ha->action.epoch;
        return;
    case PG_ACTION_RELOAD:
        ha->update->callback = PG_CALLBACK_RELOAD;
        ha->update->callback_role = ha_role_name(ha->callback_role);
        return;
    }
    UNREACHABLE();
}

/* The lease is being kept for a planned stop, and no other action may begin under its epoch: what
 * a fast stop could not end has to go all the same. If this fails as well the rounds end, and the
 * guard fences. */
static void stop_harder(struct ha *ha, const struct pg_action *failed)
{
    if (failed->kind == PG_ACTION_STOP && failed->stop == PG_STOP_FAST && ha->stopping_epoch != 0 &&
        ha->stopping_epoch == failed->epoch) {
        action_start(
            ha,
            (struct pg_action){
                .kind = PG_ACTION_STOP, .epoch = failed->epoch, .stop = PG_STOP_IMMEDIATE},
            "the fast stop failed");
    }
}

void postgres_done(struct ha *ha, const struct pg_action_done *done)
{
    const struct pg_action ended = ha->action;

    if (done->id != ha->action.id) {
        return; /* Cancelled by one that took its place. */
    }
    if (done->result == PG_RESULT_OK) {
        succeed(ha, done);
    } else {
        fail(ha, done);
        switch (done->kind) {
        case PG_ACTION_START_PRIMARY:
        case PG_ACTION_PROMOTE:
        case PG_ACTION_BOOTSTRAP_SQL:
            postgres_give_up_grant(ha, ha->action.epoch, done->text);
            break;
        case PG_ACTION_INITDB:
            ha->initdb_failed = true;
            break;
        case PG_ACTION_START_STANDBY:
            if (ha_is_mine(ha) && ha->cluster.phase == CLUSTER_GRANTED) {
                postgres_give_up_grant(ha, ha->cluster.epoch, done->text);
            }
            break;
        case PG_ACTION_NONE:
        case PG_ACTION_FOLLOW:
        case PG_ACTION_CUT:
        case PG_ACTION_PREPARE_STOP:
        case PG_ACTION_STOP:
        case PG_ACTION_CLONE:
        case PG_ACTION_REWIND:
        case PG_ACTION_RELOAD:
            break;
        }
    }
    ha->action.kind = PG_ACTION_NONE;
    if (done->result != PG_RESULT_OK) {
        stop_harder(ha, &ended);
    }
}

/*
 * "No process of a writable PostgreSQL of mine is left": true when none runs at all, or when
 * the one that runs is in recovery, since two cannot run on one data directory - unless the
 * guard was armed for it: then it is about to be promoted, by a daemon that died meanwhile
 * perhaps. It stays true for its epoch, because nothing is started writable again under it
 * (rule 14).
 */
static bool writable_is_gone(const struct pg_facts *facts)
{
    return facts->run == PG_RUN_STOPPED || (facts->run == PG_RUN_UP && facts->sql_ok &&
                                            facts->in_recovery && !facts->writable_start);
}

/* The files of a stopped server were looked at: where its WAL ends is known, or will not be. */
bool postgres_is_measured(const struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;

    return facts->control_end.lsn != 0 &&
           (facts->wal_end.lsn != 0 ||
            time_since(ha->now_ms, facts->stopped_since_ms) >= MEASURE_PATIENCE_MS);
}

struct pg_position postgres_position(const struct ha *ha)
{
    const struct pg_record *record = &ha->facts.record;
    const struct cluster_grant *grant = cluster_grant_of(&ha->cluster, record->marker_epoch);
    struct pg_position position = ha->facts.position;

    if (position.timeline == 0) {
        return position;
    }
    /* Without a receiver a standby goes by its control file, which names the timeline before
     * until its next restart point. */
    if (record->marker_epoch != 0 && record->marker_epoch == record->follow_epoch &&
        record->follow_timeline > position.timeline) {
        position.timeline = record->follow_timeline;
    }
    if (grant != NULL && grant->served_at.timeline > position.timeline) {
        position.timeline = grant->served_at.timeline;
    }
    return position;
}

static void report_stopped(struct ha *ha)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct pg_facts *facts = &ha->facts;
    struct ha_stopped *stopped = &ha->stopped;
    /* Rule 14: while its own log, on its disk, does not hold that this epoch served or was revoked,
     * this node may start it again, after a power cut say, and must not have said "gone". */
    const bool is_over = (last->served || ha->cluster.phase == CLUSTER_REVOKED) &&
                         ha->phase_index <= ha->durable_index;

    if (last->node != ha->self || last->epoch == 0 || !is_over || !writable_is_gone(facts) ||
        ha->action.kind == PG_ACTION_PROMOTE || ha->action.kind == PG_ACTION_START_PRIMARY) {
        return;
    }
    if (stopped->epoch != last->epoch) {
        *stopped = (struct ha_stopped){
            .epoch = last->epoch,
            .planned = ha->stopping_epoch == last->epoch,
            .restart = ha->restart_wanted,
            .end = stopped->end_final && ha->stopping_epoch == last->epoch
                       ? stopped->end
                       : (struct pg_position){.lsn = 0},
        };
        stopped->end_final = stopped->end.lsn != 0;
        if (!stopped->planned && ha->ready_epoch == last->epoch) {
            ha_note(
                ha, HA_NOTE_PG_DIED, last->epoch, ha->self, "no writable process of it is left");
        }
    }
    if (stopped->end_final) {
        return;
    }
    if (facts->run == PG_RUN_STOPPED && facts->wal_end.lsn != 0) {
        stopped->end = facts->wal_end;
        stopped->redo_bytes = facts->redo_bytes;
        stopped->end_final = true;
    }
}

void postgres_facts(struct ha *ha, const struct pg_facts *facts)
{
    const bool first = !ha->facts_known;

    ha->facts_known = facts->data != PG_DATA_UNKNOWN && facts->run != PG_RUN_UNKNOWN &&
                      (facts->guard_ok || ha->settings.witness);
    ha->facts = *facts;
    if (first && ha->facts_known && facts->run == PG_RUN_UP) {
        ha_note(
            ha, HA_NOTE_ADOPTED, facts->start_epoch, ha->self, "%s",
            facts->writable_start ? "writable" : "standby");
    }
}

/* A grant, revocation or serving was applied: what belongs to older epochs is over. */
void postgres_applied(struct ha *ha)
{
    const struct cluster *cluster = &ha->cluster;

    if (ha->stopping_epoch != 0 && ha->stopping_epoch < cluster->last.epoch) {
        ha->stopping_epoch = 0;
    }
    if (cluster->phase == CLUSTER_GRANTED) {
        ha->retry_ms = ha->now_ms;
    }
}

static void check_system(struct ha *ha)
{
    const uint64_t ours = ha->cluster.system_identifier;
    const uint64_t theirs = ha->facts.system_identifier;

    if (!ha->fatal && ours != 0 && theirs != 0 && ha->facts.data == PG_DATA_VALID &&
        ours != theirs) {
        ha_note(
            ha, HA_NOTE_WRONG_SYSTEM, 0, ha->self,
            "data directory has system identifier %llu, the cluster has %llu; nothing was touched",
            (unsigned long long)theirs, (unsigned long long)ours);
        ha->fatal = true;
    }
}

/*
 * A server that crashed is started again where it is, and its start is told; but whoever holds an
 * address must let it go when the grant goes to another node meanwhile.
 */
static bool is_stop_to_tell(const struct ha *ha)
{
    const bool stays =
        ha->facts.crashed && (ha_is_mine(ha) || ha->callback_role != HA_ROLE_PRIMARY);

    return ha->facts.run == PG_RUN_STOPPED && ha->callback_start_id != 0 && !stays;
}

static void tell_callbacks(struct ha *ha)
{
    const enum ha_member_role role = member_role_now(ha);
    const bool up = ha->facts.run == PG_RUN_UP && ha->facts.sql_ok;
    /* A primary that is taken over: by its role it is none before it is granted, and whoever
     * moves an address must not hear of a replica meanwhile. */
    const bool undecided =
        up && !ha->facts.in_recovery &&
        (!ha->facts.writable_start || (role == HA_ROLE_PROMOTED && ha->callback_start_id == 0));

    if (ha->update->callback != PG_CALLBACK_NONE || ha->restart_wanted || undecided) {
        return;
    }
    if (is_stop_to_tell(ha)) {
        ha->callback_start_id = 0;
        ha->update->callback = PG_CALLBACK_STOP;
        ha->update->callback_role = ha_role_name(ha->callback_role);
        return;
    }
    if (up && ha->callback_start_id != ha->facts.start_id) {
        const bool changed = ha->callback_role != HA_ROLE_UNINITIALIZED &&
                             ha->callback_role != role && ha->callback_role != HA_ROLE_DEMOTED;

        ha->callback_start_id = ha->facts.start_id;
        ha->update->callback = changed ? PG_CALLBACK_ROLE_CHANGE : PG_CALLBACK_START;
    } else if (
        up && ha->callback_role != role && (role == HA_ROLE_PRIMARY || role == HA_ROLE_REPLICA)) {
        ha->update->callback = PG_CALLBACK_ROLE_CHANGE;
    } else {
        return;
    }
    ha->callback_role = role;
    ha->update->callback_role = ha_role_name(role);
}

static void list_slots(const struct ha *ha, struct pg_slots *slots)
{
    *slots = (struct pg_slots){.count = 0};
    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const struct cluster_member *member = &ha->cluster.members[i];
        const struct ha_status *status;
        struct pg_slot *slot;

        if (member->id == 0 || member->id == ha->self || member->witness ||
            slots->count == PG_SLOTS_MAX) {
            continue;
        }
        slot = &slots->items[slots->count++];
        pg_slot_name(member->name, slot->name, PG_NAME_SIZE);
        status = ha_known_status(ha, member->id);
        slot->absent = ha_is_absent(ha, member->id);
        slot->lsn = status == NULL ? 0 : status->position.lsn;
    }
}

static bool same_slots(const struct pg_slots *a, const struct pg_slots *b)
{
    bool same = a->count == b->count;

    for (uint32_t i = 0; i < a->count && same; i++) {
        same = a->items[i].absent == b->items[i].absent &&
               text_equal(a->items[i].name, b->items[i].name);
    }
    return same;
}

/* Slots for the other members that run PostgreSQL, wherever one may follow from next. */
static void keep_slots(struct ha *ha)
{
    struct pg_slots slots = {.count = 0};
    const uint64_t grantee = cluster_grantee(&ha->cluster);

    if (grantee == 0 || (grantee == ha->self && ha->ready_epoch != ha->cluster.epoch)) {
        return; /* Between two epochs the slots stay: the same node may go on. */
    }
    if (grantee == ha->self || !ha->settings.nofailover) {
        list_slots(ha, &slots);
    }
    if (!same_slots(&slots, &ha->slots) ||
        time_since(ha->now_ms, ha->slots_told_ms) >= SLOTS_EVERY_MS) {
        ha->slots = slots;
        ha->slots_told_ms = ha->now_ms;
        ha->update->slots_changed = true;
        ha->update->slots = slots;
    }
}

/* Leadership is worth a moment: without a leader nothing is decided for an election time. */
static bool leads_others(const struct ha *ha)
{
    return ha->raft.leader && ha->raft.member_count > 1 &&
           time_since(ha->now_ms, time_max(ha->leaving_ms, ha->facts.stopped_since_ms)) <
               LEAVE_LEADER_MS;
}

/* Stop what runs and go. A primary hands over first; see grantee.c. */
static void leave(struct ha *ha)
{
    const bool handed_over = cluster_grantee(&ha->cluster) != ha->self;
    const uint64_t patience_ms =
        LEAVE_PATIENCE_MS + (ha->action.kind == PG_ACTION_PREPARE_STOP ? HA_PREPARE_STOP_MS : 0);
    const bool too_long = time_since(ha->now_ms, ha->leaving_ms) > patience_ms;

    if (ha->settings.witness || !ha->facts_known) {
        ha->update->left = true;
        return;
    }
    if (ha->action.kind != PG_ACTION_NONE && !too_long) {
        return;
    }
    if (ha->facts.run == PG_RUN_STOPPED) {
        ha->update->left =
            ha->raft.member_count <= 1 ||
            time_since(ha->now_ms, ha->facts.stopped_since_ms) >= LEAVE_HANDOVER_MS ||
            ((handed_over || ha->cluster.phase == CLUSTER_NONE) && !leads_others(ha));
    } else if ((handed_over || too_long) && ha->action.kind != PG_ACTION_STOP) {
        action_start(
            ha, (struct pg_action){.kind = PG_ACTION_STOP, .stop = PG_STOP_FAST},
            "the daemon is being stopped");
    }
}

/* When nothing else is to be done: what starts or changes its role gets new files anyway. */
static void reload(struct ha *ha)
{
    if (!ha->reload_wanted || ha->facts.run != PG_RUN_UP || !ha->facts.sql_ok ||
        ha->cluster.phase != CLUSTER_SERVING || ha->action.kind != PG_ACTION_NONE ||
        !action_may_start(ha) ||
        (ha->facts.in_recovery && ha->followed_epoch != ha->cluster.epoch)) {
        return; /* Files without the upstream would end the stream. */
    }
    ha->reload_wanted = false;
    action_start(
        ha, (struct pg_action){.kind = PG_ACTION_RELOAD, .epoch = ha->cluster.epoch},
        "settings have changed");
}

void postgres_tick(struct ha *ha)
{
    if (!ha->facts_known && !ha->leaving) {
        return;
    }
    check_system(ha);
    if (ha->fatal || ha->settings.witness) {
        if (ha->leaving) {
            leave(ha);
        }
        return;
    }
    if (time_since(ha->now_ms, ha->failed_ms) >= FAILED_MS) {
        ha->failed_epoch = ha->failed_epoch < ha->cluster.epoch ? 0 : ha->failed_epoch;
        ha->refused_epoch = ha->refused_epoch < ha->cluster.epoch ? 0 : ha->refused_epoch;
    }
    report_stopped(ha);
    local_tick(ha);
    if (ha_is_mine(ha)) {
        grantee_plan(ha);
    } else if (!ha->leaving) {
        standby_plan(ha);
    }
    if (ha->leaving) {
        leave(ha);
    }
    reload(ha);
    keep_slots(ha);
    tell_callbacks(ha);
}
