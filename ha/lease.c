/*
 * The three conditions of a voter and the count of the holder. The rules' numbers are
 * those of docs/architecture.md.
 */
#include "ha/lease.h"

#include "base/assert.h"
#include "base/time.h"

void lease_voter_init(struct lease_voter *voter, uint64_t now_ms)
{
    *voter = (struct lease_voter){.start_ms = now_ms};
}

uint64_t lease_voter_wait_until(
    const struct lease_voter *voter, uint64_t node, uint64_t epoch, bool holds_serving,
    uint64_t ttl_max_ms)
{
    uint64_t until_ms = voter->forgotten_until_ms;

    /* Rule 4: what this voter answered before its last start it does not know. SERVING in the
     * log proves that the lease of this epoch ran, so that whatever was older had ended. */
    if (!holds_serving) {
        until_ms = time_max(until_ms, time_add(voter->start_ms, time_lengthen(ttl_max_ms)));
    }
    for (uint32_t i = 0; i < voter->count; i++) {
        const struct lease_answer *answer = &voter->answers[i];

        if (answer->node == node && answer->epoch == epoch) {
            return 0; /* It was over once: a ttl that has grown since then was not waited for. */
        }
        if (answer->node != node && answer->epoch < epoch) {
            until_ms = time_max(until_ms, answer->until_ms);
        }
    }
    return until_ms;
}

static void remember(
    struct lease_voter *voter, uint64_t node, uint64_t epoch, uint64_t ttl_ms, uint64_t now_ms)
{
    const uint64_t until_ms = time_add(now_ms, time_lengthen(ttl_ms));
    struct lease_answer *oldest = &voter->answers[0];

    for (uint32_t i = 0; i < voter->count; i++) {
        struct lease_answer *answer = &voter->answers[i];

        if (answer->node == node) {
            answer->epoch = epoch;
            answer->until_ms = time_max(answer->until_ms, until_ms);
            return;
        }
        if (answer->until_ms < oldest->until_ms) {
            oldest = answer;
        }
    }
    if (voter->count < CLUSTER_MEMBERS_MAX) {
        oldest = &voter->answers[voter->count++];
    } else {
        /* More nodes than a cluster can have within one ttl: the promise is kept to all. */
        voter->forgotten_until_ms = time_max(voter->forgotten_until_ms, oldest->until_ms);
    }
    *oldest = (struct lease_answer){.node = node, .epoch = epoch, .until_ms = until_ms};
}

enum lease_verdict lease_voter_judge(
    struct lease_voter *voter, const struct lease_log *log, uint64_t node, uint64_t epoch,
    uint64_t ttl_ms, uint64_t now_ms)
{
    ASSERT(epoch > 0);
    if (!log->position_checked) {
        return LEASE_REFUSE_NOT_CHECKED; /* Rule 5. */
    }
    if (log->epoch > epoch) {
        return LEASE_REFUSE_NEWER_EPOCH; /* Rule 1. */
    }
    if (!log->holds_grant) {
        return LEASE_REFUSE_NO_GRANT; /* Rule 1. */
    }
    if (ttl_ms == 0 || ttl_ms > log->ttl_max_ms) {
        return LEASE_REFUSE_TTL; /* Rule 3. */
    }
    if (!log->fenced &&
        now_ms < lease_voter_wait_until(voter, node, epoch, log->holds_serving, log->ttl_max_ms)) {
        return LEASE_REFUSE_WAIT;
    }
    remember(voter, node, epoch, ttl_ms, now_ms);
    return LEASE_ANSWER;
}

const char *lease_verdict_name(enum lease_verdict verdict)
{
    switch (verdict) {
    case LEASE_ANSWER:
        return "answered";
    case LEASE_REFUSE_NOT_CHECKED:
        return "own log position not compared with the others yet";
    case LEASE_REFUSE_NEWER_EPOCH:
        return "log holds a newer epoch";
    case LEASE_REFUSE_NO_GRANT:
        return "log does not hold that grant";
    case LEASE_REFUSE_TTL:
        return "log names no such ttl";
    case LEASE_REFUSE_WAIT:
        return "an older lease may still run";
    }
    UNREACHABLE();
}

void lease_holder_init(struct lease_holder *holder, uint64_t start_id)
{
    ASSERT(start_id != 0);
    *holder = (struct lease_holder){.start_id = start_id};
}

void lease_holder_grant(struct lease_holder *holder, const struct cluster_grant *grant)
{
    /* Round numbers go on: together with the start id no round is ever named twice. */
    *holder = (struct lease_holder){
        .epoch = grant->epoch,
        .grant_term = grant->grant_term,
        .grant_index = grant->grant_index,
        .start_id = holder->start_id,
        .number = holder->number,
    };
}

void lease_holder_drop(struct lease_holder *holder)
{
    *holder = (struct lease_holder){.start_id = holder->start_id, .number = holder->number};
}

void lease_holder_send(
    struct lease_holder *holder, uint64_t ttl_ms, uint64_t now_ms, struct ha_round *round)
{
    struct lease_flight *flight;

    ASSERT(holder->epoch != 0);
    holder->number++;
    flight = &holder->flights[holder->number % LEASE_ROUNDS_MAX];
    *flight = (struct lease_flight){.number = holder->number, .sent_ms = now_ms, .ttl_ms = ttl_ms};
    holder->next_send_ms = now_ms + time_max(ttl_ms / 10, 1);
    *round = (struct ha_round){
        .epoch = holder->epoch,
        .grant_term = holder->grant_term,
        .grant_index = holder->grant_index,
        .start_id = holder->start_id,
        .number = holder->number,
    };
}

static bool has_answered(const struct lease_flight *flight, uint64_t node)
{
    for (uint32_t i = 0; i < flight->count; i++) {
        if (flight->answered[i] == node) {
            return true;
        }
    }
    return false;
}

static bool majority_answered(
    const struct lease_flight *flight, const struct lease_members *members)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < members->voter_count; i++) {
        count += has_answered(flight, members->voters[i]) ? 1 : 0;
    }
    return count * 2 > members->voter_count;
}

/* Rule 16: only extends a lease of this very epoch that a majority gave and that still runs. */
static bool failsafe_answered(
    const struct lease_holder *holder, const struct lease_flight *flight,
    const struct lease_members *members, uint64_t now_ms)
{
    if (members->failsafe_count == 0 || !lease_holder_runs(holder, now_ms)) {
        return false;
    }
    for (uint32_t i = 0; i < members->failsafe_count; i++) {
        if (!has_answered(flight, members->failsafe[i])) {
            return false;
        }
    }
    return true;
}

bool lease_holder_answer(
    struct lease_holder *holder, uint64_t node, const struct ha_round *round,
    const struct lease_members *members, uint64_t now_ms)
{
    struct lease_flight *flight = &holder->flights[round->number % LEASE_ROUNDS_MAX];

    /* Rule 2: an answer counts for the very round it names, and for no other. */
    if (holder->epoch == 0 || round->epoch != holder->epoch ||
        round->grant_term != holder->grant_term || round->grant_index != holder->grant_index ||
        round->start_id != holder->start_id || round->number != flight->number ||
        round->number == 0) {
        return false;
    }
    if (!has_answered(flight, node) && flight->count < CLUSTER_MEMBERS_MAX) {
        flight->answered[flight->count++] = node;
    }
    /* An answer that was under way for longer than the lease would last completes nothing: a
     * primary that lives on such rounds serves no one and has to be suspected. */
    if (flight->number <= holder->completed_number ||
        now_ms >= flight->sent_ms + time_shorten(flight->ttl_ms) ||
        !(majority_answered(flight, members) ||
          failsafe_answered(holder, flight, members, now_ms))) {
        return false;
    }
    holder->completed_number = flight->number;
    holder->completed_sent_ms = flight->sent_ms;
    /* From the send time: the voters' waits begin later. A shorter ttl ends no lease early. */
    holder->expires_ms =
        time_max(holder->expires_ms, flight->sent_ms + time_shorten(flight->ttl_ms));
    return true;
}

bool lease_holder_runs(const struct lease_holder *holder, uint64_t now_ms)
{
    return holder->epoch != 0 && now_ms < holder->expires_ms;
}
