/*
 * How a node becomes leader: a pre-vote that raises no term, then the vote.
 *
 * A voter refuses both while it hears a leader, so that a node which alone hears none
 * cannot disturb the others (Howard and Abraham, 2020); the leader's own wish to hand
 * over is the exception. What a refusal teaches is the higher term, if there is one:
 * without it a node that is behind would ask for the same term for ever.
 *
 * No vote is given in the term that the store held at the start, except to whom it was
 * given before: should the store have been rolled back by just that vote, nobody could
 * tell. It costs nothing, as whoever campaigns after a restart asks for a higher term.
 */
#include "base/assert.h"
#include "base/time.h"
#include "raft/raft_impl.h"

void raft_election_reset(struct raft *raft)
{
    const uint64_t wait_ms =
        prng_between(&raft->prng, raft->settings.election_min_ms, raft->settings.election_max_ms);

    raft->election_ms = time_add(raft->now_ms, wait_ms);
}

static bool may_campaign(struct raft *raft)
{
    /* Whoever wins must be able to open its term; a full log waits for its snapshot. */
    return raft_is_voter(raft) && raft->position_checked && raft_log_fits(raft, 0, 0, 0);
}

static bool leader_is_heard(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        return true; /* It would have stepped down if a majority were silent. */
    }
    return raft->leader != 0 && raft->leader_heard_ms != 0 &&
           raft->now_ms < time_add(raft->leader_heard_ms, raft->settings.election_min_ms);
}

void raft_election_peer_lost(struct raft *raft, uint64_t id)
{
    const uint64_t heartbeat_ms = raft->settings.heartbeat_ms;

    if (raft->role == RAFT_LEADER || raft->leader != id) {
        return;
    }
    /* Most likely its process has ended. If it has not, the pre-vote is refused by those who
     * hear it, and its next heartbeat puts this right. */
    raft->leader_heard_ms = 0;
    raft->election_ms = time_min(
        raft->election_ms,
        time_add(raft->now_ms, prng_between(&raft->prng, heartbeat_ms / 4, heartbeat_ms)));
}

uint32_t raft_election_votes_needed(const struct raft *raft, uint32_t voter_count)
{
    const uint32_t listed = quorum_size(raft->settings.seed_count + 1);
    const uint32_t majority = quorum_size(voter_count);

    if (raft_last_index(raft) > 1 || listed <= majority) {
        return majority; /* Any later entry is a leader's. */
    }
    return listed < voter_count ? listed : voter_count; /* The list may have grown meanwhile. */
}

static void ask(struct raft *raft, enum raft_message_kind kind, uint64_t term, bool transfer)
{
    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];
        struct raft_message *message;

        if (member->kind != RAFT_MEMBER_VOTER || member->id == raft->self) {
            continue;
        }
        raft_member_peer(raft, member)->vote = QUORUM_VOTE_PENDING;
        message = raft_message_add(raft, kind, member->id, member->incarnation);
        message->term = term;
        message->round = term; /* Comes back with the answer. */
        message->last_index = raft_last_index(raft);
        message->last_term = raft_term_at(raft, message->last_index);
        message->transfer = transfer;
    }
}

static void start_vote(struct raft *raft, bool transfer)
{
    ASSERT(raft->role != RAFT_LEADER);
    raft_set_hard(raft, raft->hard.term + 1, raft->self);
    raft->role = RAFT_CANDIDATE;
    raft->prevoting = false;
    raft->leader = 0;
    raft->verified_index = raft->commit_index;
    raft_election_reset(raft);
    raft_note_add(raft, RAFT_NOTE_STARTED_VOTE, raft->hard.term, transfer);
    ask(raft, RAFT_VOTE, raft->hard.term, transfer);
}

void raft_election_tally(struct raft *raft)
{
    enum quorum_vote votes[RAFT_VOTERS_MAX];
    uint32_t count = 0;

    ASSERT(raft->role == RAFT_CANDIDATE);
    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];

        if (member->kind == RAFT_MEMBER_VOTER) {
            votes[count++] = member->id == raft->self ? QUORUM_VOTE_GRANTED
                                                      : raft_member_peer(raft, member)->vote;
        }
    }
    switch (quorum_tally(votes, count, raft_election_votes_needed(raft, count))) {
    case QUORUM_PENDING:
        return;
    case QUORUM_LOST:
        raft_become_follower(raft, raft->hard.term, 0);
        return;
    case QUORUM_WON:
        if (raft->prevoting) {
            start_vote(raft, false);
        } else if (raft_hard_is_durable(raft)) {
            raft_leader_start(raft); /* Else when the own vote is on disk. */
        }
        return;
    }
    UNREACHABLE();
}

void raft_election_campaign(struct raft *raft)
{
    ASSERT(raft->role != RAFT_LEADER);
    raft->role = RAFT_CANDIDATE;
    raft->prevoting = true;
    raft->leader = 0;
    raft_election_reset(raft);
    raft_note_add(raft, RAFT_NOTE_STARTED_PREVOTE, raft->hard.term + 1, 0);
    ask(raft, RAFT_PREVOTE, raft->hard.term + 1, false);
    raft_election_tally(raft); /* A single voter needs nobody else. */
}

void raft_election_tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER || raft->now_ms < raft->election_ms) {
        return;
    }
    if (raft->in_flight_count > 0) {
        /* Votes cannot leave before the disk answers; another term would only be in the way. */
        raft_election_reset(raft);
    } else if (may_campaign(raft)) {
        raft_election_campaign(raft);
    } else {
        raft_become_follower(raft, raft->hard.term, 0);
    }
}

uint64_t raft_election_wake_ms(const struct raft *raft)
{
    return raft->role == RAFT_LEADER ? TIME_NEVER : raft->election_ms;
}

static bool is_up_to_date(const struct raft *raft, const struct raft_message *message)
{
    const uint64_t last_index = raft_last_index(raft);
    const uint64_t last_term = raft_term_at(raft, last_index);

    return message->last_term > last_term ||
           (message->last_term == last_term && message->last_index >= last_index);
}

/* The reasons that a vote and a pre-vote have in common; NONE if there is none. */
static enum raft_note_kind refusal(const struct raft *raft, const struct raft_message *message)
{
    if (!raft->position_checked) {
        return RAFT_NOTE_REFUSED_NOT_CHECKED;
    }
    if (leader_is_heard(raft) && !message->transfer) {
        return RAFT_NOTE_REFUSED_VOTE_LEADER_HEARD;
    }
    return is_up_to_date(raft, message) ? RAFT_NOTE_NONE : RAFT_NOTE_REFUSED_VOTE_LOG;
}

void raft_election_prevote(struct raft *raft, const struct raft_message *message)
{
    struct raft_message *answer = raft_answer_add(raft, RAFT_PREVOTE_ANSWER, message);
    const enum raft_note_kind why = refusal(raft, message);

    answer->accepted = why == RAFT_NOTE_NONE && message->term > raft->hard.term;
    if (why != RAFT_NOTE_NONE) {
        raft_note_add(raft, why, message->term, message->from);
    }
}

static void count_vote(struct raft *raft, const struct raft_message *message)
{
    struct peer *peer = raft_peer_find(raft, message->from);

    ASSERT(peer != NULL); /* Answers are admitted from members only. */
    peer->vote = message->accepted ? QUORUM_VOTE_GRANTED : QUORUM_VOTE_REFUSED;
    raft_election_tally(raft);
}

void raft_election_prevote_answer(struct raft *raft, const struct raft_message *message)
{
    if (raft->role != RAFT_CANDIDATE || !raft->prevoting) {
        return;
    }
    if (message->term > raft->hard.term) {
        raft_become_follower(raft, message->term, 0);
        return;
    }
    if (message->round == raft->hard.term + 1) {
        count_vote(raft, message);
    }
}

static bool vote_is_free(const struct raft *raft, const struct raft_message *message)
{
    if (message->term != raft->hard.term) {
        return false;
    }
    if (raft->hard.voted_for == message->from) {
        return true;
    }
    return raft->hard.voted_for == 0 && raft->hard.term > raft->loaded_term;
}

static void answer_vote(struct raft *raft, const struct raft_message *message, bool accepted)
{
    raft_answer_add(raft, RAFT_VOTE_ANSWER, message)->accepted = accepted;
}

void raft_election_vote(struct raft *raft, const struct raft_message *message)
{
    const enum raft_note_kind why = refusal(raft, message);

    if (why == RAFT_NOTE_REFUSED_NOT_CHECKED || why == RAFT_NOTE_REFUSED_VOTE_LEADER_HEARD) {
        /* The term is not taken either, or the disturbance would be the same. */
        raft_note_add(raft, why, message->term, message->from);
        answer_vote(raft, message, false);
        return;
    }
    if (message->term > raft->hard.term) {
        raft_become_follower(raft, message->term, 0);
    }
    if (why != RAFT_NOTE_NONE) {
        raft_note_add(raft, why, message->term, message->from);
        answer_vote(raft, message, false);
        return;
    }
    if (!vote_is_free(raft, message)) {
        raft_note_add(raft, RAFT_NOTE_REFUSED_VOTE_GIVEN, message->term, message->from);
        answer_vote(raft, message, false);
        return;
    }
    ASSERT(raft->role != RAFT_LEADER); /* Its own vote is given. */
    raft_become_follower(raft, message->term, 0);
    if (raft->hard.voted_for == 0) {
        raft_set_hard(raft, message->term, message->from);
    }
    raft_note_add(raft, RAFT_NOTE_GRANTED_VOTE, message->term, message->from);
    answer_vote(raft, message, true);
}

void raft_election_vote_answer(struct raft *raft, const struct raft_message *message)
{
    if (message->term > raft->hard.term) {
        raft_become_follower(raft, message->term, 0);
        return;
    }
    if (raft->role == RAFT_CANDIDATE && !raft->prevoting && message->round == raft->hard.term) {
        count_vote(raft, message);
    }
}

void raft_election_timeout_now(struct raft *raft, const struct raft_message *message)
{
    if (message->term == raft->hard.term && message->from == raft->leader &&
        raft->role == RAFT_FOLLOWER && may_campaign(raft)) {
        start_vote(raft, true);
    }
}
