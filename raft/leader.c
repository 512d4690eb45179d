/*
 * What a leader does: sends the log, counts what is on whose disk, commits, and steps
 * down when a majority is silent.
 *
 * It sends while its own disk writes, and counts itself like the others: by what is on
 * disk. Every APPEND has a number of its own, the round, which comes back in the
 * answer: a read is confirmed by answers to later rounds, and an answer to a round from
 * before a change of mind about a member's log is recognised as stale.
 */
#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "raft/raft_impl.h"

#define SNAPSHOT_RETRY_FACTOR 2 /* Times the longest election wait. */
#define DISK_STALL_FACTOR     3

static uint64_t election_wait_ms(const struct raft *raft)
{
    return raft->settings.election_max_ms;
}

/* --- Begin and end of a term --- */

void raft_leader_track(struct raft *raft, struct peer *peer)
{
    peer->progress = (struct progress){
        .mode = PEER_PROBE,
        .next_index = raft_last_index(raft) + 1,
        .heard_ms = raft->now_ms, /* Nobody is silent yet. */
        .valid_round = raft->round + 1,
    };
}

void raft_leader_start(struct raft *raft)
{
    ASSERT(raft->role == RAFT_CANDIDATE);
    ASSERT(!raft->prevoting);
    ASSERT(raft->hard.voted_for == raft->self);
    ASSERT(raft_hard_is_durable(raft));
    ASSERT(raft->read_count == 0);
    for (uint32_t i = 0; i < raft->config.count; i++) {
        if (raft->config.members[i].id != raft->self) {
            raft_leader_track(raft, raft_member_peer(raft, &raft->config.members[i]));
        }
    }
    raft->role = RAFT_LEADER;
    raft->leader = raft->self;
    raft->transfer_to = 0;
    raft->heartbeat_ms = raft->now_ms;
    raft->term_start_index = raft_last_index(raft) + 1;
    raft_note_add(raft, RAFT_NOTE_BECAME_LEADER, raft->hard.term, raft->term_start_index);
    /* What is left of older terms counts as decided only below an entry of this one (5.4.2 of the
     * Raft paper). */
    raft_log_append(
        raft, &(struct raft_entry){
                  .term = raft->hard.term,
                  .index = raft->term_start_index,
                  .kind = RAFT_ENTRY_NOOP,
              });
    raft->verified_index = raft_last_index(raft);
}

void raft_leader_stop(struct raft *raft)
{
    raft_read_fail_all(raft);
    raft->transfer_to = 0;
    raft->heartbeat_wanted = false;
}

/* --- Majorities --- */

uint64_t raft_leader_quorum(struct raft *raft, size_t progress_offset, uint64_t own_value)
{
    uint64_t values[RAFT_VOTERS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];

        if (member->kind != RAFT_MEMBER_VOTER) {
            continue;
        }
        if (member->id == raft->self) {
            values[count++] = own_value;
        } else {
            const struct progress *progress = &raft_member_peer(raft, member)->progress;

            memcpy(&values[count++], (const char *)progress + progress_offset, sizeof *values);
        }
    }
    return quorum_reached(values, count);
}

void raft_leader_commit(struct raft *raft)
{
    uint64_t index;

    if (raft->role != RAFT_LEADER) {
        return;
    }
    index = raft_leader_quorum(raft, offsetof(struct progress, match_index), raft->durable_index);
    if (index > raft->commit_index && raft_term_at(raft, index) == raft->hard.term) {
        raft_commit_to(raft, index);
    }
}

static uint64_t silent_since_ms(struct raft *raft)
{
    return raft_leader_quorum(raft, offsetof(struct progress, heard_ms), raft->now_ms);
}

/* --- Time --- */

static void check_quorum(struct raft *raft)
{
    const uint64_t heard_ms = silent_since_ms(raft);

    if (raft->now_ms >= time_add(heard_ms, election_wait_ms(raft))) {
        raft_note_add(raft, RAFT_NOTE_LOST_QUORUM, raft->hard.term, raft->now_ms - heard_ms);
        raft_become_follower(raft, raft->hard.term, 0);
    }
}

/*
 * Heartbeats do not need the disk, so a leader whose disk hangs would lead for ever
 * and never apply anything. Somebody else can; a single voter has nobody to give way to.
 */
static void check_disk(struct raft *raft)
{
    const uint64_t limit_ms = DISK_STALL_FACTOR * election_wait_ms(raft);

    if (raft->in_flight_count > 0 && raft_config_voter_count(&raft->config) > 1 &&
        raft->now_ms >= time_add(raft->in_flight[0].since_ms, limit_ms)) {
        raft_note_add(
            raft, RAFT_NOTE_DISK_STALLED, raft->hard.term,
            raft->now_ms - raft->in_flight[0].since_ms);
        raft_become_follower(raft, raft->hard.term, 0);
    }
}

static void check_transfer(struct raft *raft)
{
    if (raft->transfer_to != 0 && raft->now_ms >= raft->transfer_ms) {
        raft_note_add(raft, RAFT_NOTE_TRANSFER_ABORTED, raft->transfer_to, 0);
        raft->transfer_to = 0;
    }
}

/* A leader that is no voter any more led until that was decided; now it hands over. */
static void check_removed(struct raft *raft)
{
    const struct raft_member *best = NULL;
    uint64_t best_match = 0;

    if (raft_is_voter(raft) || raft->config.index > raft->commit_index) {
        return;
    }
    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];

        if (member->kind == RAFT_MEMBER_VOTER && member->id != raft->self &&
            raft_member_peer(raft, member)->progress.match_index >= best_match) {
            best = member;
            best_match = raft_member_peer(raft, member)->progress.match_index;
        }
    }
    if (best != NULL) {
        raft_message_add(raft, RAFT_TIMEOUT_NOW, best->id, best->incarnation);
    }
    raft_become_follower(raft, raft->hard.term, 0);
}

void raft_leader_tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        check_quorum(raft);
    }
    if (raft->role == RAFT_LEADER) {
        check_disk(raft);
    }
    if (raft->role == RAFT_LEADER) {
        check_transfer(raft);
    }
    if (raft->role == RAFT_LEADER && raft->now_ms >= raft->heartbeat_ms) {
        raft->heartbeat_wanted = true;
    }
}

uint64_t raft_leader_wake_ms(const struct raft *raft)
{
    /* The heartbeat is the shortest of the leader's spans; the others may be late by one. */
    return raft->role == RAFT_LEADER ? raft->heartbeat_ms : TIME_NEVER;
}

/* --- Sending --- */

/* So that the others remember what each member has, should the leader be gone. */
static void put_seen(struct raft *raft, struct progress *progress, struct raft_message *message)
{
    if (progress->seen_version == raft->seen_version &&
        raft->now_ms < time_add(progress->seen_ms, RAFT_SEEN_MS)) {
        return;
    }
    progress->seen_version = raft->seen_version;
    progress->seen_ms = raft->now_ms;
    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];

        message->seen_ids[i] = member->id;
        message->seen_indexes[i] = member->id == raft->self
                                       ? raft->durable_index
                                       : raft_member_peer(raft, member)->progress.match_index;
    }
    message->seen_count = raft->config.count;
}

static struct raft_message *add_append(
    struct raft *raft, const struct raft_member *member, uint64_t prev_index)
{
    struct raft_message *message =
        raft_message_add(raft, RAFT_APPEND, member->id, member->incarnation);

    message->prev_index = prev_index;
    message->prev_term = raft_term_at(raft, prev_index);
    message->commit_index = raft->commit_index;
    message->round = ++raft->round;
    put_seen(raft, &raft_member_peer(raft, member)->progress, message);
    return message;
}

static void put_entries(struct raft *raft, struct raft_message *message)
{
    const uint64_t last_index = raft_last_index(raft);
    uint32_t size_bytes = 0;

    for (uint64_t index = message->prev_index + 1;
         index <= last_index && message->entry_count < RAFT_BATCH_MAX &&
         size_bytes < RAFT_BATCH_BYTES;
         index++) {
        struct raft_entry *entry = &message->entries[message->entry_count++];

        *entry = raft_entry_get(raft, index);
        size_bytes += entry->size_bytes;
    }
}

static void send_snapshot(
    struct raft *raft, const struct raft_member *member, struct progress *progress)
{
    ASSERT(raft->snapshot.index >= raft->entries.base_index);
    ASSERT(raft->snapshot.index > 0);
    raft_message_add(raft, RAFT_SNAPSHOT, member->id, member->incarnation)->snapshot =
        raft->snapshot;
    progress->mode = PEER_SNAPSHOT;
    progress->snapshot_index = raft->snapshot.index;
    progress->snapshot_ms = raft->now_ms;
    raft_note_add(raft, RAFT_NOTE_SNAPSHOT_SENT, member->id, raft->snapshot.index);
}

/*
 * The first probe carries entries: it is mostly right, and then a round trip is saved.
 * Its repetitions carry none, as they mostly go to somebody who is not there.
 */
static void send_probe(
    struct raft *raft, const struct raft_member *member, struct progress *progress)
{
    struct raft_message *message;

    if (progress->probe_sent && !raft->heartbeat_wanted) {
        return;
    }
    message = add_append(raft, member, progress->next_index - 1);
    if (!progress->probe_sent) {
        put_entries(raft, message);
        progress->probe_sent = true;
        progress->probe_round = message->round;
        progress->probe_end = message->prev_index + message->entry_count;
    }
}

static void send_entries(
    struct raft *raft, const struct raft_member *member, struct progress *progress)
{
    const uint64_t last_index = raft_last_index(raft);
    uint32_t batches = 0;

    while (progress->next_index <= last_index && batches < RAFT_BATCHES_PER_STEP) {
        struct raft_message *message = add_append(raft, member, progress->next_index - 1);

        put_entries(raft, message);
        progress->next_index += message->entry_count;
        batches++;
    }
    if (batches == 0 && raft->heartbeat_wanted) {
        add_append(raft, member, progress->next_index - 1);
    }
}

static void send_to(struct raft *raft, const struct raft_member *member)
{
    struct progress *progress = &raft_member_peer(raft, member)->progress;
    const uint64_t retry_ms = SNAPSHOT_RETRY_FACTOR * election_wait_ms(raft);

    ASSERT(progress->next_index > progress->match_index);
    if (progress->mode == PEER_SNAPSHOT) {
        if (raft->heartbeat_wanted) {
            add_append(raft, member, 0); /* Matches always, and says nothing but: I lead. */
            if (raft->now_ms >= time_add(progress->snapshot_ms, retry_ms)) {
                send_snapshot(raft, member, progress);
            }
        }
        return;
    }
    if (progress->next_index <= raft->entries.base_index) {
        if (!progress->probe_sent || raft->heartbeat_wanted) {
            send_snapshot(raft, member, progress);
        }
    } else if (progress->mode == PEER_PROBE) {
        send_probe(raft, member, progress);
    } else {
        send_entries(raft, member, progress);
    }
}

static void send_timeout_now(struct raft *raft)
{
    const struct raft_member *member = raft_config_find(&raft->config, raft->transfer_to);

    if (member == NULL || member->kind != RAFT_MEMBER_VOTER) {
        raft->transfer_to = 0;
        return;
    }
    if (raft_member_peer(raft, member)->progress.match_index == raft_last_index(raft)) {
        raft_message_add(raft, RAFT_TIMEOUT_NOW, member->id, member->incarnation);
    }
}

void raft_leader_send(struct raft *raft)
{
    if (raft->role != RAFT_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < raft->config.count; i++) {
        if (raft->config.members[i].id != raft->self) {
            send_to(raft, &raft->config.members[i]);
        }
    }
    if (raft->transfer_to != 0) {
        send_timeout_now(raft);
    }
    if (raft->heartbeat_wanted) {
        raft->heartbeat_wanted = false;
        raft->heartbeat_ms = time_add(raft->now_ms, raft->settings.heartbeat_ms);
    }
    check_removed(raft); /* Behind the sending, which tells the others that it is decided. */
}

/* --- Answers --- */

/* The member's progress if the answer counts in this term; a higher term ends ours. */
static struct progress *heard(struct raft *raft, const struct raft_message *message)
{
    struct progress *progress;
    struct peer *peer;

    if (message->term > raft->hard.term) {
        raft_become_follower(raft, message->term, 0);
        return NULL;
    }
    if (raft->role != RAFT_LEADER || message->term < raft->hard.term ||
        message->match_index > raft_last_index(raft)) {
        return NULL;
    }
    peer = raft_peer_find(raft, message->from);
    if (message->match_index > 0 && message->from_incarnation == peer->incarnation) {
        peer->blank = false; /* Its HELLO is of before: removed now, it is nobody new. */
    }
    progress = &peer->progress;
    progress->heard_ms = raft->now_ms;
    progress->answered_round = time_max(progress->answered_round, message->round);
    if (progress->match_index < message->match_index) {
        progress->match_index = message->match_index;
        raft->seen_version++;
    }
    progress->next_index = time_max(progress->next_index, progress->match_index + 1);
    if (progress->mode == PEER_SNAPSHOT && progress->match_index >= progress->snapshot_index) {
        progress->mode = PEER_REPLICATE;
        progress->valid_round = raft->round + 1;
    }
    raft_form_remember(
        raft, message->from, message->from_incarnation, message->term, message->match_index);
    return progress;
}

/* The last entry of ours that can be the same as one of theirs. */
static uint64_t common_index(const struct raft *raft, const struct raft_message *message)
{
    uint64_t index = time_min(message->hint_index, raft_last_index(raft));

    while (index > raft->entries.base_index && raft_term_at(raft, index) > message->hint_term) {
        index--;
    }
    return index;
}

static void probe_from(struct raft *raft, struct progress *progress, uint64_t next_index)
{
    /*
     * Only a step back is tried at once. A member that shows less than it has
     * acknowledged would be asked again and again.
     */
    progress->probe_sent = next_index >= progress->next_index && progress->mode == PEER_PROBE;
    progress->mode = PEER_PROBE;
    progress->next_index = next_index;
    progress->probe_end = 0;
    progress->valid_round = raft->round + 1;
}

void raft_leader_append_answer(struct raft *raft, const struct raft_message *message)
{
    struct progress *progress = heard(raft, message);

    if (progress == NULL || message->round < progress->valid_round) {
        return;
    }
    if (!message->accepted) {
        if (progress->mode != PEER_SNAPSHOT) {
            const uint64_t next_index = common_index(raft, message) + 1;

            probe_from(raft, progress, time_max(next_index, progress->match_index + 1));
        }
        return;
    }
    if (progress->mode == PEER_PROBE) {
        progress->mode = PEER_REPLICATE;
        if (message->round == progress->probe_round) {
            progress->next_index = time_max(progress->next_index, progress->probe_end + 1);
        }
    }
}

void raft_leader_snapshot_answer(struct raft *raft, const struct raft_message *message)
{
    (void)heard(raft, message); /* The position says all there is to say. */
}

void raft_leader_reset_peer(struct raft *raft, uint64_t id, bool at_once)
{
    struct peer *peer = raft_peer_find(raft, id);

    if (raft->role == RAFT_LEADER && peer != NULL && raft_config_find(&raft->config, id) != NULL) {
        /* What was under way is lost; begin again behind what is known to have arrived. */
        probe_from(raft, &peer->progress, peer->progress.match_index + 1);
        peer->progress.probe_sent = !at_once;
    }
}

/* --- Requests --- */

enum raft_proposal_result raft_leader_propose(
    struct raft *raft, enum raft_entry_kind kind, const uint8_t *data, uint32_t size_bytes)
{
    const bool is_data = kind == RAFT_ENTRY_DATA;
    struct raft_entry entry = {
        .term = raft->hard.term,
        .index = raft_last_index(raft) + 1,
        .kind = kind,
        .size_bytes = size_bytes,
        .data = data,
    };

    if (raft->role != RAFT_LEADER) {
        return RAFT_PROPOSAL_NOT_LEADER;
    }
    if (raft->transfer_to != 0) {
        return RAFT_PROPOSAL_BUSY;
    }
    if (size_bytes > RAFT_ENTRY_BYTES_MAX) {
        return RAFT_PROPOSAL_INVALID;
    }
    if (!raft_log_fits(
            raft, size_bytes, is_data ? RAFT_SPARE_ENTRIES : 0, is_data ? RAFT_SPARE_BYTES : 0)) {
        return RAFT_PROPOSAL_FULL;
    }
    raft_log_append(raft, &entry);
    raft->verified_index = entry.index;
    raft->update->proposed_index = entry.index;
    raft->update->proposed_term = entry.term;
    return RAFT_PROPOSAL_TAKEN;
}

enum raft_proposal_result raft_leader_transfer(struct raft *raft, uint64_t id)
{
    const struct raft_member *member = raft_config_find(&raft->config, id);

    if (raft->role != RAFT_LEADER) {
        return RAFT_PROPOSAL_NOT_LEADER;
    }
    if (member == NULL || member->kind != RAFT_MEMBER_VOTER || id == raft->self) {
        return RAFT_PROPOSAL_INVALID;
    }
    if (raft->transfer_to != 0) {
        return RAFT_PROPOSAL_BUSY;
    }
    raft->transfer_to = id;
    raft->transfer_ms = time_add(raft->now_ms, election_wait_ms(raft));
    raft->heartbeat_wanted = true;
    raft_note_add(raft, RAFT_NOTE_TRANSFER_STARTED, id, raft->hard.term);
    return RAFT_PROPOSAL_TAKEN;
}
