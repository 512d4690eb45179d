/*
 * What a follower does: makes its log that of the leader, and says how much of it is
 * on its disk.
 *
 * Two answers belong to an APPEND with entries: one at once, so that heartbeats and
 * reads never wait for a disk, and one when the entries are durable. Both name the
 * same thing: what is durable and known to be the leader's.
 */
#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "raft/raft_impl.h"

static uint64_t match_index(const struct raft *raft)
{
    return time_min(raft->durable_index, raft->verified_index);
}

static struct raft_message *answer_append(
    struct raft *raft, const struct raft_message *message, bool accepted)
{
    struct raft_message *answer = raft_answer_add(raft, RAFT_APPEND_ANSWER, message);

    answer->accepted = accepted;
    answer->match_index = match_index(raft);
    return answer;
}

/* Follows the sender if it leads the newest term we know of. */
static bool follow(struct raft *raft, const struct raft_message *message)
{
    if (message->term < raft->hard.term) {
        return false;
    }
    if (message->term > raft->hard.term || raft->leader != message->from) {
        ASSERT(message->term > raft->hard.term || raft->leader == 0); /* One leader in a term. */
        raft_become_follower(raft, message->term, message->from);
    }
    ASSERT(raft->role == RAFT_FOLLOWER);
    raft->leader_incarnation = message->from_incarnation;
    raft->leader_heard_ms = raft->now_ms;
    raft_election_reset(raft);
    return true;
}

/* --- APPEND --- */

/* Whether the entries can be what a leader of ours sends. */
static bool entries_are_valid(const struct raft_message *message)
{
    uint64_t term = message->prev_term;

    if (message->entry_count > RAFT_BATCH_MAX || message->seen_count > RAFT_MEMBERS_MAX ||
        (message->prev_index == 0) != (term == 0) || term > message->term) {
        return false;
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        struct raft_config config;

        if (entry->index != message->prev_index + 1 + i || entry->term < term || entry->term == 0 ||
            entry->term > message->term || entry->size_bytes > RAFT_ENTRY_BYTES_MAX) {
            return false;
        }
        if (entry->kind == RAFT_ENTRY_CONFIG && !raft_member_decode(entry, &config)) {
            return false;
        }
        term = entry->term;
    }
    return true;
}

/* What is committed is the same everywhere; only behind it there is something to compare. */
static bool prev_matches(const struct raft *raft, const struct raft_message *message)
{
    return message->prev_index <= raft->commit_index ||
           raft_term_at(raft, message->prev_index) == message->prev_term;
}

/* Names the last entry that may be the same: of the sender's term there, or older. */
static void refuse(struct raft *raft, const struct raft_message *message)
{
    struct raft_message *answer = answer_append(raft, message, false);
    uint64_t index = time_min(message->prev_index - 1, raft_last_index(raft));

    while (index > raft->commit_index && raft_term_at(raft, index) > message->prev_term) {
        index--;
    }
    answer->hint_index = index;
    answer->hint_term = raft_term_at(raft, index);
}

/* Appends what we do not have; returns the last index that is now the sender's. */
static uint64_t take_entries(struct raft *raft, const struct raft_message *message)
{
    uint64_t last_index = message->prev_index;

    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];

        if (entry->index > raft->commit_index && raft_term_at(raft, entry->index) != entry->term) {
            if (entry->index <= raft_last_index(raft)) {
                raft_log_truncate(raft, entry->index);
            }
            if (!raft_log_fits(raft, entry->size_bytes, 0, 0)) {
                break; /* Until our own snapshot makes room. */
            }
            raft_log_append(raft, entry);
        }
        last_index = entry->index;
    }
    return last_index;
}

/*
 * The list is of the sender's membership. It is believed when that is at least as new
 * as ours: else the memory of who a member was before it lost its store would be taken
 * for that of who it is now.
 */
static void take_memory(struct raft *raft, const struct raft_message *message)
{
    if (message->prev_index < raft->config.index) {
        return;
    }
    for (uint32_t i = 0; i < message->seen_count; i++) {
        const struct raft_member *member = raft_config_find(&raft->config, message->seen_ids[i]);

        /* 0: it has not answered this leader yet, so it may not even know the term. */
        if (member != NULL && member->id != raft->self && message->seen_indexes[i] > 0) {
            raft_form_remember(
                raft, member->id, member->incarnation, message->term, message->seen_indexes[i]);
        }
    }
}

/* The leader of this very term has our word for an entry that we do not have. */
static bool has_forgotten(const struct raft *raft, const struct raft_message *message)
{
    for (uint32_t i = 0; i < message->seen_count; i++) {
        if (message->seen_ids[i] == raft->self) {
            return message->seen_indexes[i] >= message->prev_index;
        }
    }
    return false;
}

void raft_follower_append(struct raft *raft, const struct raft_message *message)
{
    uint64_t last_index;

    if (!entries_are_valid(message)) {
        return;
    }
    if (!follow(raft, message)) {
        answer_append(raft, message, false); /* It learns our term. */
        return;
    }
    if (!prev_matches(raft, message)) {
        if (has_forgotten(raft, message)) {
            raft_lose_memory(raft, RAFT_NOTE_AMNESIA, message->term, message->prev_index);
        } else {
            refuse(raft, message);
        }
        return;
    }
    take_memory(raft, message);
    last_index = take_entries(raft, message);
    raft->verified_index = time_max(raft->verified_index, last_index);
    raft_commit_to(raft, time_min(message->commit_index, raft->verified_index));
    answer_append(raft, message, true);
    ASSERT(raft->verified_index <= raft_last_index(raft));
}

void raft_follower_persisted(struct raft *raft, uint64_t durable_before)
{
    struct raft_message *answer;

    if (raft->leader == 0 || raft->durable_index <= durable_before) {
        return;
    }
    /* It belongs to no round: that we are there was said when the entries came. */
    answer = raft_message_add(raft, RAFT_APPEND_ANSWER, raft->leader, raft->leader_incarnation);
    answer->accepted = true;
    answer->match_index = match_index(raft);
}

/* --- Snapshots --- */

static void copy_snapshot(struct raft *raft, const struct raft_snapshot *snapshot)
{
    raft->snapshot = *snapshot;
    raft->snapshot.data = raft->snapshot_bytes;
    if (snapshot->size_bytes > 0) {
        memcpy(raft->snapshot_bytes, snapshot->data, snapshot->size_bytes);
    }
    raft->update->persist.snapshot_changed = true;
}

static void replace_log(struct raft *raft, const struct raft_snapshot *snapshot)
{
    const uint64_t last_index = raft_last_index(raft);

    raft->verified_index = raft->commit_index; /* The snapshot has whatever follows. */
    if (last_index > raft->commit_index) {
        raft_log_truncate(raft, raft->commit_index + 1);
    }
    copy_snapshot(raft, snapshot);
    entries_init(&raft->entries, snapshot->index, snapshot->term);
    raft->update->persist.keep_from = snapshot->index + 1;
    raft_member_set_config(raft, &snapshot->config);
}

/*
 * Behind a snapshot that our log contains, nothing is dropped: what stands there may be
 * acknowledged, and the leader counts on it.
 */
static void keep_tail(struct raft *raft, const struct raft_snapshot *snapshot)
{
    copy_snapshot(raft, snapshot);
    raft_log_compact(raft, snapshot->index + 1);
    raft_note_add(raft, RAFT_NOTE_KEPT_TAIL, snapshot->index, raft_last_index(raft));
}

static bool snapshot_is_valid(const struct raft_snapshot *snapshot)
{
    return snapshot->index > 0 && snapshot->size_bytes <= RAFT_SNAPSHOT_BYTES_MAX &&
           snapshot->config.index <= snapshot->index &&
           snapshot->config.count <= RAFT_MEMBERS_MAX &&
           raft_config_voter_count(&snapshot->config) > 0 &&
           raft_config_voter_count(&snapshot->config) <= RAFT_VOTERS_MAX;
}

static void install(struct raft *raft, const struct raft_snapshot *snapshot)
{
    ASSERT(snapshot->index > raft->commit_index);
    if (raft_term_at(raft, snapshot->index) == snapshot->term) {
        keep_tail(raft, snapshot);
    } else {
        replace_log(raft, snapshot);
    }
    raft->restore_wanted = true;
    raft->verified_index = time_max(raft->verified_index, snapshot->index);
    raft_commit_to(raft, snapshot->index);
    raft_note_add(raft, RAFT_NOTE_INSTALLED_SNAPSHOT, snapshot->index, snapshot->term);
}

void raft_follower_snapshot(struct raft *raft, const struct raft_message *message)
{
    struct raft_message *answer;
    bool accepted = false;

    if (!snapshot_is_valid(&message->snapshot)) {
        return;
    }
    if (follow(raft, message)) {
        if (message->snapshot.index > raft->commit_index) {
            install(raft, &message->snapshot);
        }
        accepted = true;
    }
    answer = raft_answer_add(raft, RAFT_SNAPSHOT_ANSWER, message);
    answer->accepted = accepted;
    answer->match_index = match_index(raft);
}

/* Where the log begins that is kept for slow followers. */
static uint64_t trailing_from(const struct raft *raft, uint64_t index)
{
    uint64_t from = index + 1;

    while (from > raft_first_index(raft) && index + 1 - from < RAFT_TRAILING_ENTRIES &&
           entries_bytes_from(&raft->entries, from - 1) -
                   entries_bytes_from(&raft->entries, index + 1) <=
               RAFT_TRAILING_BYTES) {
        from--;
    }
    return from;
}

void raft_follower_snapshot_taken(
    struct raft *raft, uint64_t index, const uint8_t *data, uint32_t size_bytes)
{
    struct raft_snapshot snapshot = {
        .index = index,
        .term = raft_term_at(raft, index),
        .size_bytes = size_bytes,
        .data = data,
    };
    uint64_t from;

    ASSERT(size_bytes <= RAFT_SNAPSHOT_BYTES_MAX);
    ASSERT(index <= raft->applied_index);
    if (index <= raft->snapshot.index) {
        return; /* A newer one came from the leader meanwhile. */
    }
    raft_member_config_at(raft, index, &snapshot.config);
    copy_snapshot(raft, &snapshot);
    from = trailing_from(raft, index);
    if (from > raft_first_index(raft)) {
        raft_log_compact(raft, from);
    }
}
