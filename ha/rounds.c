/*
 * Lease rounds as messages: what lease.c decides, applied to the log view and the facts of
 * this node. Suspicion goes by completed rounds, which the primary names in each round: a
 * primary that is heard but hears nothing is suspected too (rule 6).
 */
#include "base/assert.h"
#include "base/time.h"
#include "ha/ha_impl.h"

/* For an immediate stop to get through, and for a hand-over: then the rounds end, and the others
 * may suspect. */
#define PLANNED_STOP_MS 10000

uint64_t rounds_kill_budget(const struct ha *ha)
{
    if (ha->settings.kill_budget_ms != 0) {
        return ha->settings.kill_budget_ms;
    }
    return time_min(time_max(ha_ttl(ha) / 8, 50), 500);
}

/* What this node's log says about the grant that a round names. */
static struct lease_log look_up(const struct ha *ha, const struct ha_round *round)
{
    const struct cluster_grant *last = &ha->cluster.last;
    struct lease_log log = {
        .epoch = ha_log_epoch(ha),
        .ttl_max_ms = cluster_ttl_max(&ha->cluster),
        /* A store that was emptied gets the log from its beginning, with memberships that mean the
         * store before: what that one pledged it does not know yet. */
        .position_checked = ha->raft.position_checked && ha->raft.member,
    };

    if (last->epoch == round->epoch && last->grant_term == round->grant_term &&
        last->grant_index == round->grant_index && last->grant_index <= ha->durable_index) {
        log.holds_grant = true;
        log.fenced = last->fenced;
        log.holds_serving = last->served && ha->serving_index <= ha->durable_index;
    }
    for (uint32_t i = 0; i < ha->tail_count; i++) {
        const struct ha_tail_entry *entry = &ha->tail[i];
        const bool on_disk = entry->index <= ha->durable_index;

        log.ttl_max_ms = time_max(log.ttl_max_ms, entry->ttl_ms);
        if (entry->epoch != round->epoch || !on_disk) {
            continue;
        }
        if ((entry->kind == COMMAND_GRANT || entry->kind == COMMAND_HANDOVER) &&
            entry->term == round->grant_term && entry->index == round->grant_index) {
            log.holds_grant = true;
            log.fenced = entry->fenced;
        }
        if (entry->kind == COMMAND_SERVING) {
            log.holds_serving = true;
        }
    }
    return log;
}

static enum lease_verdict judge(
    struct ha *ha, uint64_t node, const struct ha_round *round, uint64_t ttl_ms)
{
    const struct lease_log log = look_up(ha, round);
    const enum lease_verdict verdict =
        lease_voter_judge(&ha->voter, &log, node, round->epoch, ttl_ms, ha->now_ms);

    if (verdict != LEASE_ANSWER) {
        ha_note(ha, HA_NOTE_ROUND_REFUSED, round->epoch, node, "%s", lease_verdict_name(verdict));
    }
    return verdict;
}

static void see_completed(struct ha *ha, uint64_t start_id, uint64_t completed_number)
{
    if (start_id != ha->seen_start_id) {
        ha->seen_start_id = start_id;
        ha->seen_number = 0;
    }
    if (completed_number > ha->seen_number) {
        ha->seen_number = completed_number;
        ha->seen_ms = ha->now_ms;
    }
}

void rounds_receive(struct ha *ha, const struct ha_message *message)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct ha_round *round = &message->round;

    if (round->epoch == 0) {
        return;
    }
    if (round->epoch == last->epoch && message->from == last->node &&
        round->grant_index == last->grant_index) {
        see_completed(ha, round->start_id, message->completed_number);
    }
    if (judge(ha, message->from, round, message->ttl_ms) == LEASE_ANSWER) {
        struct ha_message *answer = ha_message_new(ha, HA_MESSAGE_ANSWER, message->from);

        answer->round = *round;
        answer->served = look_up(ha, round).holds_serving;
    }
}

static void add_failsafe(const struct ha *ha, struct lease_members *members, uint64_t node)
{
    if (!ha_is_witness(ha, node)) {
        ASSERT(members->failsafe_count < 2 * CLUSTER_MEMBERS_MAX);
        members->failsafe[members->failsafe_count++] = node;
    }
}

static struct lease_members lease_membership(const struct ha *ha)
{
    struct lease_members members = {.voter_count = 0};

    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (ha->raft.members[i].voter) {
            members.voters[members.voter_count++] = ha->raft.members[i].id;
        }
    }
    if (ha->dynamic.failsafe_mode) {
        for (uint32_t i = 0; i < ha->raft.member_count; i++) {
            add_failsafe(ha, &members, ha->raft.members[i].id);
        }
        for (uint32_t i = 0; i < ha->raft.decided_count; i++) {
            add_failsafe(ha, &members, ha->raft.decided_ids[i]);
        }
    }
    return members;
}

/* PostgreSQL runs writable under the holder's epoch, or is just being started so. */
static bool guard_is_armed(const struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;
    const bool starting =
        (ha->action.kind == PG_ACTION_START_PRIMARY || ha->action.kind == PG_ACTION_PROMOTE) &&
        ha->action.epoch == ha->holder.epoch;

    return starting || (facts->writable_start && facts->start_epoch == ha->holder.epoch &&
                        facts->run != PG_RUN_STOPPED);
}

static void take_answer(struct ha *ha, uint64_t node, const struct ha_round *round)
{
    const struct lease_members members = lease_membership(ha);

    if (!lease_holder_answer(&ha->holder, node, round, &members, ha->now_ms)) {
        return;
    }
    see_completed(ha, ha->holder.start_id, ha->holder.completed_number);
    if (!ha->lease_was_running && lease_holder_runs(&ha->holder, ha->now_ms)) {
        ha->lease_was_running = true;
        ha_note(
            ha, HA_NOTE_LEASE_TAKEN, ha->holder.epoch, ha->self, "round %llu",
            (unsigned long long)ha->holder.completed_number);
    }
    if (guard_is_armed(ha)) {
        ha->update->renew = true;
        ha->update->guard_epoch = ha->holder.epoch;
        ha->update->deadline_ms = ha->holder.expires_ms;
        ha->update->fence_at_ms = ha->holder.expires_ms - rounds_kill_budget(ha);
    }
}

void rounds_answer(struct ha *ha, const struct ha_message *message)
{
    if (message->served && message->round.epoch >= ha->served_epoch) {
        ha->served_epoch = message->round.epoch;
        ha->served_ms = ha->now_ms;
    }
    take_answer(ha, message->from, &message->round);
}

/*
 * The grantee waits for what it answered itself, whoever else would answer it: with failsafe_mode
 * the lease before may run on that, and not on a majority (rule 16).
 */
static bool has_waited(const struct ha *ha)
{
    const struct cluster_grant *last = &ha->cluster.last;
    const struct ha_round round = {
        .epoch = last->epoch,
        .grant_term = last->grant_term,
        .grant_index = last->grant_index,
    };
    const struct lease_log log = look_up(ha, &round);

    return last->fenced ||
           ha->now_ms >= lease_voter_wait_until(
                             &ha->voter, ha->self, last->epoch, log.holds_serving, log.ttl_max_ms);
}

/* As long as is borne, and then for what comes after it; see grantee.c. */
static bool stops_in_time(const struct ha *ha)
{
    const uint64_t over_ms = ha->facts.run == PG_RUN_STOPPED
                                 ? ha->facts.stopped_since_ms
                                 : time_add(ha->stopping_ms, grantee_stop_patience(ha));

    return time_since(ha->now_ms, over_ms) < PLANNED_STOP_MS;
}

/*
 * From GRANT on, while preparing (the wait of the voters and the replay run side by side);
 * after SERVING only while PostgreSQL is writable, or stopped on purpose for the time that this and
 * a hand-over take. Else the others must be able to suspect this node.
 */
static bool may_send(const struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;
    const uint64_t epoch = ha->cluster.epoch;

    if (!ha_is_granted(ha) || !ha->facts_known || ha->refused_epoch == epoch ||
        ha->failed_epoch == epoch || facts->guard_fenced >= epoch) {
        return false;
    }
    if (ha->cluster.phase == CLUSTER_GRANTED) {
        return has_waited(ha);
    }
    if (ha->stopping_epoch == epoch) {
        return stops_in_time(ha);
    }
    /* A server that takes no connections for a moment is still the writable one. */
    return facts->writable_start && facts->start_epoch == epoch && facts->run != PG_RUN_STOPPED &&
           facts->run != PG_RUN_DYING && !(facts->sql_ok && facts->in_recovery);
}

static void send_round(struct ha *ha)
{
    struct ha_message *message = ha_message_new(ha, HA_MESSAGE_RENEW, 0);

    message->completed_number = ha->holder.completed_number;
    message->ttl_ms = ha_ttl(ha);
    lease_holder_send(&ha->holder, message->ttl_ms, ha->now_ms, &message->round);
    if (judge(ha, ha->self, &message->round, message->ttl_ms) == LEASE_ANSWER) {
        take_answer(ha, ha->self, &message->round);
    }
}

void rounds_tick(struct ha *ha)
{
    const struct cluster *cluster = &ha->cluster;

    if (ha->holder.epoch != 0 && ha->lease_was_running &&
        !lease_holder_runs(&ha->holder, ha->now_ms)) {
        ha->lease_was_running = false;
        if (ha->holder.epoch == cluster->epoch && ha->stopped.epoch != cluster->epoch) {
            ha_note(
                ha, HA_NOTE_LEASE_LOST, ha->holder.epoch, ha->self,
                "no majority answered for %llu ms",
                (unsigned long long)time_since(ha->now_ms, ha->holder.completed_sent_ms));
        }
    }
    if (ha->holder.epoch != 0 && cluster->epoch > ha->holder.epoch &&
        cluster->phase != CLUSTER_REVOKED) {
        lease_holder_drop(&ha->holder); /* Another grant; if it is ours again, a new lease. */
        ha->lease_was_running = false;
    }
    if (!may_send(ha)) {
        return;
    }
    if (ha->holder.epoch != cluster->epoch) {
        lease_holder_grant(&ha->holder, &cluster->last);
        ha->lease_was_running = false;
    }
    if (ha->now_ms >= ha->holder.next_send_ms) {
        send_round(ha);
    }
}

uint64_t rounds_wake(const struct ha *ha)
{
    if (!may_send(ha)) {
        return TIME_NEVER;
    }
    return time_max(ha->holder.next_send_ms, ha->now_ms + 1);
}

uint64_t rounds_silent_ms(const struct ha *ha)
{
    return time_since(ha->now_ms, time_max(ha->seen_ms, ha->start_ms));
}

bool rounds_suspect(const struct ha *ha)
{
    return cluster_grantee(&ha->cluster) != 0 &&
           rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 2;
}

uint64_t rounds_wait_left(const struct ha *ha)
{
    /* Node 0 is nobody's id: the wait for any node that was not answered before. */
    const uint64_t until_ms = lease_voter_wait_until(
        &ha->voter, 0, ha_log_epoch(ha), false, cluster_ttl_max(&ha->cluster));

    return time_since(until_ms, ha->now_ms);
}
