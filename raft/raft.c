/*
 * A step from end to end: the event goes to the file that knows it, then every file
 * looks whether its time has come, and the update is put together from what they left
 * behind. The deadlines are looked at after every event, so that a busy loop cannot
 * starve them.
 */
#include "raft/raft.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/text.h"
#include "base/time.h"
#include "raft/raft_impl.h"

/* --- Set-up --- */

size_t raft_size(void)
{
    return sizeof(struct raft);
}

uint64_t raft_id(const char *address)
{
    const uint64_t id = hash64(HASH64_SEED, address, strlen(address));

    return id == 0 ? 1 : id;
}

static void load_snapshot(struct raft *raft, const struct raft_snapshot *loaded)
{
    ASSERT(loaded->size_bytes <= RAFT_SNAPSHOT_BYTES_MAX);
    raft->snapshot = *loaded;
    raft->snapshot.data = raft->snapshot_bytes;
    if (loaded->size_bytes > 0) {
        memcpy(raft->snapshot_bytes, loaded->data, loaded->size_bytes);
    }
}

static void load_entries(struct raft *raft, const struct raft_loaded *loaded)
{
    const uint64_t snapshot_index = loaded->snapshot.index;
    uint32_t begin = 0;

    entries_init(&raft->entries, snapshot_index, loaded->snapshot.term);
    if (loaded->entry_count == 0 ||
        loaded->entries[loaded->entry_count - 1].index < snapshot_index) {
        return;
    }
    if (loaded->entries[0].index <= snapshot_index) {
        /* Some were kept in front of the snapshot. What is in front of the first is not
         * known any more, so the first serves as what is in front of the second. */
        entries_init(&raft->entries, loaded->entries[0].index, loaded->entries[0].term);
        begin = 1;
    }
    for (uint32_t i = begin; i < loaded->entry_count; i++) {
        entries_append(&raft->entries, &loaded->entries[i]);
    }
    ASSERT(entries_term(&raft->entries, snapshot_index) == loaded->snapshot.term);
}

static void load(struct raft *raft, const struct raft_loaded *loaded)
{
    ASSERT(loaded->hard.incarnation != 0);
    raft->mark = loaded->mark;
    raft->hard = loaded->hard;
    raft->loaded_term = loaded->hard.term;
    load_snapshot(raft, &loaded->snapshot);
    load_entries(raft, loaded);

    raft->commit_index = raft->snapshot.index;
    raft->verified_index = raft->snapshot.index;
    raft->durable_index = raft_last_index(raft);
    raft->restore_wanted = raft->snapshot.index > 0;
    raft->config_committed = raft->snapshot.config;
}

struct raft *raft_init(
    void *memory, const struct raft_settings *settings, const struct raft_loaded *loaded,
    uint64_t now_ms)
{
    struct raft *raft = memory;
    struct raft_config config;

    ASSERT(settings->seed_count <= RAFT_MEMBERS_MAX);
    ASSERT(settings->election_min_ms > settings->heartbeat_ms);
    ASSERT(settings->election_max_ms >= settings->election_min_ms);
    memset(raft, 0, offsetof(struct raft, messages));
    raft->settings = *settings;
    raft->self = raft_id(settings->self_address);
    raft->now_ms = now_ms;
    prng_init(&raft->prng, settings->random_seed);
    load(raft, loaded);

    for (uint32_t i = 0; i < settings->seed_count; i++) {
        const uint64_t id = raft_id(settings->seeds[i]);

        if (id != raft->self) {
            raft_peer_ensure(raft, id, settings->seeds[i])->seed = true;
        }
    }
    raft_member_config_at(raft, raft_last_index(raft), &config);
    raft_member_set_config(raft, &config);
    raft->position_checked = raft_form_is_empty(raft); /* It has nothing to forget. */
    raft_election_reset(raft);
    return raft;
}

/* --- Notes and messages --- */

void raft_note_add(struct raft *raft, enum raft_note_kind kind, uint64_t a, uint64_t b)
{
    struct raft_update *update = raft->update;

    if (update->note_count < RAFT_NOTES_MAX) {
        update->notes[update->note_count++] = (struct raft_note){.kind = kind, .a = a, .b = b};
    }
}

struct raft_message *raft_message_add(
    struct raft *raft, enum raft_message_kind kind, uint64_t to, uint64_t to_incarnation)
{
    struct raft_message *message = &raft->messages[raft->message_count];

    if (raft->message_count < RAFT_MESSAGES_MAX) {
        raft->message_count++;
    }
    /* The entries are as large as all the rest, and covered by their count. */
    memset(message, 0, offsetof(struct raft_message, entries));
    memset(&message->snapshot, 0, offsetof(struct raft_snapshot, config));
    message->snapshot.config.count = 0;
    message->snapshot.size_bytes = 0;
    message->snapshot.data = NULL;

    message->kind = kind;
    message->from = raft->self;
    message->to = to;
    message->cluster_id = raft->hard.cluster_id;
    message->from_incarnation = raft->hard.incarnation;
    message->to_incarnation = to_incarnation;
    message->term = raft->hard.term;
    return message;
}

struct raft_message *raft_answer_add(
    struct raft *raft, enum raft_message_kind kind, const struct raft_message *question)
{
    struct raft_message *answer =
        raft_message_add(raft, kind, question->from, question->from_incarnation);

    answer->round = question->round;
    return answer;
}

/* --- Changes of state that several files make --- */

bool raft_hard_is_durable(const struct raft *raft)
{
    return !raft->hard_changed && raft->persisted_number >= raft->hard_number;
}

void raft_set_hard(struct raft *raft, uint64_t term, uint64_t voted_for)
{
    ASSERT(term >= raft->hard.term);
    ASSERT(
        term > raft->hard.term || raft->hard.voted_for == 0 || raft->hard.voted_for == voted_for);
    raft->hard.term = term;
    raft->hard.voted_for = voted_for;
    raft->hard_changed = true;
}

void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader)
{
    ASSERT(term >= raft->hard.term);
    if (raft->role == RAFT_LEADER) {
        raft_leader_stop(raft);
    }
    if (term > raft->hard.term) {
        /*
         * Whoever leads the term has won it: to note our vote as given to it costs
         * nothing, and a store that forgot the vote it gave cannot give it twice.
         */
        raft_set_hard(raft, term, leader);
        raft->verified_index = raft->commit_index;
        raft->leader = 0;
    }
    if (raft->role != RAFT_FOLLOWER || raft->leader != leader) {
        raft_note_add(raft, RAFT_NOTE_BECAME_FOLLOWER, term, leader);
    }
    raft->role = RAFT_FOLLOWER;
    raft->prevoting = false;
    raft->leader = leader;
    raft_election_reset(raft);
}

void raft_log_append(struct raft *raft, const struct raft_entry *entry)
{
    struct raft_update *update = raft->update;

    entries_append(&raft->entries, entry);
    if (update->appended_from == 0) {
        update->appended_from = entry->index;
        update->persist.first_index = entry->index;
    }
    update->appended_to = entry->index;
    update->persist.last_index = entry->index;

    if (entry->kind == RAFT_ENTRY_CONFIG) {
        struct raft_config config;

        /* What others sent was checked before it came here. */
        ASSERT(raft_member_decode(entry, &config));
        raft_member_set_config(raft, &config);
        raft_note_add(raft, RAFT_NOTE_CONFIG_APPENDED, entry->index, config.count);
    }
}

/* Nothing from `index` on is on disk any more, whatever write of it is still under way. */
static void forget_durable(struct raft *raft, uint64_t index)
{
    if (raft->durable_index >= index) {
        raft->durable_index = index - 1;
    }
    for (uint32_t i = 0; i < raft->in_flight_count; i++) {
        if (raft->in_flight[i].last_index >= index) {
            raft->in_flight[i].last_index = index - 1;
        }
    }
}

void raft_log_truncate(struct raft *raft, uint64_t from_index)
{
    struct raft_update *update = raft->update;

    ASSERT(from_index > raft->commit_index);
    ASSERT(from_index > raft->applied_index);
    ASSERT(from_index > raft->verified_index);
    ASSERT(update->appended_from == 0); /* The store cuts first and appends then. */
    ASSERT(raft->role == RAFT_FOLLOWER);
    entries_truncate(&raft->entries, from_index);
    forget_durable(raft, from_index);
    update->truncated_from = from_index;
    update->persist.truncate_from = from_index;
    raft_note_add(raft, RAFT_NOTE_TRUNCATED, from_index, raft->hard.term);

    if (raft->config.index >= from_index) {
        struct raft_config config;

        raft_member_config_at(raft, from_index - 1, &config);
        raft_member_set_config(raft, &config);
        raft_note_add(raft, RAFT_NOTE_CONFIG_ROLLED_BACK, config.index, config.count);
    }
}

void raft_log_compact(struct raft *raft, uint64_t first_index)
{
    ASSERT(first_index <= raft->snapshot.index + 1);
    entries_compact(&raft->entries, first_index);
    raft->update->persist.keep_from = first_index;
}

bool raft_log_fits(
    struct raft *raft, uint32_t size_bytes, uint32_t spare_entries, uint32_t spare_bytes)
{
    if (entries_fits(&raft->entries, size_bytes, spare_entries, spare_bytes)) {
        return true;
    }
    /* Not while a batch that borrows the log is on its way out of this step. */
    if (raft->message_count == 0 && raft->entries.base_index < raft->snapshot.index) {
        raft_log_compact(raft, raft->snapshot.index + 1);
    }
    return entries_fits(&raft->entries, size_bytes, spare_entries, spare_bytes);
}

void raft_commit_to(struct raft *raft, uint64_t index)
{
    ASSERT(index <= raft_last_index(raft));
    if (index <= raft->commit_index) {
        return;
    }
    raft->commit_index = index;
    if (raft->verified_index < index) {
        raft->verified_index = index;
    }
    raft->heartbeat_wanted = raft->role == RAFT_LEADER; /* The others want to know. */

    if (raft->config_committed.index < raft->config.index) {
        const uint64_t before = raft->config_committed.index;

        raft_member_config_at(raft, index, &raft->config_committed);
        if (raft->config_committed.index != before) {
            raft_note_add(
                raft, RAFT_NOTE_CONFIG_COMMITTED, raft->config_committed.index,
                raft->config_committed.count);
        }
    }
}

void raft_lose_memory(struct raft *raft, enum raft_note_kind why, uint64_t a, uint64_t b)
{
    raft_note_add(raft, why, a, b);
    raft->lost = true;
}

/* --- Receiving --- */

/* Votes do not count: who asks for them may be a member only in its own eyes, and has to go on
 * saying HELLO until somebody tells it otherwise. */
static bool is_sign_of_life(enum raft_message_kind kind)
{
    return kind == RAFT_HELLO || kind == RAFT_HELLO_ANSWER || kind == RAFT_APPEND ||
           kind == RAFT_APPEND_ANSWER || kind == RAFT_SNAPSHOT || kind == RAFT_SNAPSHOT_ANSWER;
}

static bool is_answer(enum raft_message_kind kind)
{
    return kind == RAFT_PREVOTE_ANSWER || kind == RAFT_VOTE_ANSWER || kind == RAFT_APPEND_ANSWER ||
           kind == RAFT_SNAPSHOT_ANSWER;
}

/* A node that belongs to no cluster yet joins that of the first who knows it by its incarnation. */
static bool admit_cluster(struct raft *raft, const struct raft_message *message)
{
    if (message->cluster_id == raft->hard.cluster_id) {
        return message->cluster_id != 0;
    }
    if (message->cluster_id == 0) {
        /* An empty node answers a pre-vote without joining: it has promised nothing. */
        return message->kind == RAFT_PREVOTE_ANSWER;
    }
    if (raft->hard.cluster_id != 0) {
        raft_note_add(raft, RAFT_NOTE_WRONG_CLUSTER, message->from, message->cluster_id);
        return false;
    }
    if (message->kind == RAFT_VOTE || message->kind == RAFT_APPEND ||
        message->kind == RAFT_SNAPSHOT) {
        raft->hard.cluster_id = message->cluster_id;
        raft->hard_changed = true;
        raft_note_add(raft, RAFT_NOTE_JOINED, message->cluster_id, message->from);
        return true;
    }
    return message->kind == RAFT_PREVOTE;
}

/* Whether the message is between the two that it names, in one cluster. */
static bool admit(struct raft *raft, const struct raft_message *message)
{
    const struct raft_member *sender = raft_config_find(&raft->config, message->from);

    if (message->to != raft->self || message->from == raft->self || message->from == 0) {
        return false;
    }
    if (message->kind == RAFT_HELLO) {
        return true;
    }
    if (message->to_incarnation != raft->hard.incarnation) {
        /* For who we were before the store was lost: we know nothing of its promises. */
        raft_note_add(raft, RAFT_NOTE_WRONG_INCARNATION, message->from, message->to_incarnation);
        raft_form_introduce(raft, message->from);
        return false;
    }
    if (message->kind == RAFT_HELLO_ANSWER) {
        return true;
    }
    if (is_answer(message->kind) &&
        (sender == NULL || sender->incarnation != message->from_incarnation)) {
        raft_note_add(raft, RAFT_NOTE_WRONG_INCARNATION, message->from, message->from_incarnation);
        return false;
    }
    return admit_cluster(raft, message);
}

static void receive(struct raft *raft, const struct raft_message *message)
{
    struct peer *peer;

    if (!admit(raft, message)) {
        return;
    }
    peer = raft_peer_find(raft, message->from);
    if (peer != NULL && is_sign_of_life(message->kind)) {
        peer->heard_ms = raft->now_ms;
    }
    if (message->kind != RAFT_PREVOTE) { /* Its term is one that the sender does not have yet. */
        raft_form_remember(raft, message->from, message->from_incarnation, message->term, 0);
    }
    switch (message->kind) {
    case RAFT_HELLO:
        raft_form_hello(raft, message);
        return;
    case RAFT_HELLO_ANSWER:
        raft_form_hello_answer(raft, message);
        return;
    case RAFT_PREVOTE:
        raft_election_prevote(raft, message);
        return;
    case RAFT_PREVOTE_ANSWER:
        raft_election_prevote_answer(raft, message);
        return;
    case RAFT_VOTE:
        raft_election_vote(raft, message);
        return;
    case RAFT_VOTE_ANSWER:
        raft_election_vote_answer(raft, message);
        return;
    case RAFT_APPEND:
        raft_follower_append(raft, message);
        return;
    case RAFT_APPEND_ANSWER:
        raft_leader_append_answer(raft, message);
        return;
    case RAFT_SNAPSHOT:
        raft_follower_snapshot(raft, message);
        return;
    case RAFT_SNAPSHOT_ANSWER:
        raft_leader_snapshot_answer(raft, message);
        return;
    case RAFT_TIMEOUT_NOW:
        raft_election_timeout_now(raft, message);
        return;
    case RAFT_MESSAGE_KINDS:
        break;
    }
    UNREACHABLE();
}

/* --- The disk --- */

static void persisted(struct raft *raft, uint64_t number)
{
    const uint64_t durable_before = raft->durable_index;
    uint32_t done = 0;

    ASSERT(number > raft->persisted_number);
    ASSERT(number <= raft->persist_number);
    raft->persisted_number = number;
    while (done < raft->in_flight_count && raft->in_flight[done].number <= number) {
        if (raft->durable_index < raft->in_flight[done].last_index) {
            raft->durable_index = raft->in_flight[done].last_index;
        }
        done++;
    }
    raft->in_flight_count -= done;
    memmove(
        raft->in_flight, &raft->in_flight[done], raft->in_flight_count * sizeof *raft->in_flight);
    ASSERT(raft->durable_index <= raft_last_index(raft));

    switch (raft->role) {
    case RAFT_FOLLOWER:
        raft_follower_persisted(raft, durable_before);
        return;
    case RAFT_CANDIDATE:
        raft_election_tally(raft);
        return;
    case RAFT_LEADER:
        raft->seen_version++;
        return;
    }
    UNREACHABLE();
}

static void add_in_flight(struct raft *raft, uint64_t number)
{
    struct in_flight *newest;

    if (raft->in_flight_count < RAFT_IN_FLIGHT_MAX) {
        newest = &raft->in_flight[raft->in_flight_count++];
        newest->since_ms = raft->now_ms;
    } else {
        /* The disk is far behind. The last two become one that is done when both are. */
        newest = &raft->in_flight[RAFT_IN_FLIGHT_MAX - 1];
    }
    newest->number = number;
    newest->last_index = raft_last_index(raft);
}

/* After a start it takes a while until as much is verified again as was acknowledged before. */
static void raise_mark(struct raft *raft)
{
    struct raft_memory *mark = &raft->mark;

    if (mark->incarnation != raft->hard.incarnation || mark->term < raft->hard.term ||
        mark->index < raft->verified_index) {
        *mark = (struct raft_memory){
            .incarnation = raft->hard.incarnation,
            .term = raft->hard.term,
            .index = raft->verified_index,
            .entry_term = raft_term_at(raft, raft->verified_index),
        };
    }
}

static void put_persist(struct raft *raft)
{
    struct raft_persist *persist = &raft->update->persist;

    persist->hard_changed = raft->hard_changed;
    if (!persist->hard_changed && !persist->snapshot_changed && persist->truncate_from == 0 &&
        persist->first_index == 0 && persist->keep_from == 0) {
        return;
    }
    persist->number = ++raft->persist_number;
    persist->hard = raft->hard;
    raise_mark(raft);
    persist->mark = raft->mark;
    if (persist->hard_changed) {
        raft->hard_number = persist->number;
    }
    add_in_flight(raft, persist->number);
}

/* --- A step --- */

static void handle(struct raft *raft, const struct raft_event *event)
{
    struct raft_update *update = raft->update;

    switch (event->kind) {
    case RAFT_EVENT_TICK:
        return;
    case RAFT_EVENT_MESSAGE:
        receive(raft, event->message);
        return;
    case RAFT_EVENT_PERSISTED:
        persisted(raft, event->persist_number);
        return;
    case RAFT_EVENT_PROPOSE:
        update->proposal =
            raft_leader_propose(raft, RAFT_ENTRY_DATA, event->data, event->size_bytes);
        return;
    case RAFT_EVENT_TRANSFER:
        update->proposal = raft_leader_transfer(raft, event->member_id);
        return;
    case RAFT_EVENT_READ:
        update->proposal = raft_read_add(raft, event->read_number);
        return;
    case RAFT_EVENT_ADD_LEARNER:
        update->proposal = raft_member_add_learner(raft, &event->member);
        return;
    case RAFT_EVENT_PROMOTE:
        update->proposal = raft_member_promote(raft, event->member_id);
        return;
    case RAFT_EVENT_REMOVE:
        update->proposal = raft_member_remove(raft, event->member_id);
        return;
    case RAFT_EVENT_SNAPSHOT_TAKEN:
        raft_follower_snapshot_taken(raft, event->index, event->data, event->size_bytes);
        return;
    case RAFT_EVENT_PEER_LOST:
        raft_leader_reset_peer(raft, event->member_id, false);
        raft_election_peer_lost(raft, event->member_id);
        return;
    case RAFT_EVENT_PEER_FOUND:
        raft_leader_reset_peer(raft, event->member_id, true);
        raft_form_greet(raft, event->member_id);
        return;
    case RAFT_EVENT_KINDS:
        break;
    }
    UNREACHABLE();
}

static void put_applied(struct raft *raft)
{
    struct raft_update *update = raft->update;
    const uint64_t target =
        raft->commit_index < raft->durable_index ? raft->commit_index : raft->durable_index;

    if (raft->restore_wanted && raft->durable_index >= raft->snapshot.index) {
        ASSERT(raft->snapshot.index >= raft->applied_index);
        update->apply_snapshot = true;
        raft->applied_index = raft->snapshot.index;
        raft->restore_wanted = false;
    }
    if (!raft->restore_wanted && target > raft->applied_index) {
        update->apply_from = raft->applied_index + 1;
        update->apply_to = target;
        raft->applied_index = target;
        ASSERT(entries_has(&raft->entries, update->apply_from));
    }
}

static void put_messages(struct raft *raft)
{
    const bool durable = raft_hard_is_durable(raft);

    for (uint32_t i = 0; i < raft->message_count; i++) {
        struct raft_message *message = &raft->messages[i];

        /* Whoever waits is kept as a copy without the log's bytes; a leader never waits. */
        ASSERT(durable || (message->entry_count == 0 && message->kind != RAFT_SNAPSHOT));
        message->after_persist = !durable;
    }
    raft->update->message_count = raft->message_count;
    raft->update->messages = raft->messages;
}

/* The first update tells what the store held, as if it had just come in. */
static void put_loaded(struct raft *raft)
{
    struct raft_update *update = raft->update;
    const uint64_t last_index = raft_last_index(raft);

    raft->started = true;
    if (last_index > raft->snapshot.index) {
        update->appended_from = raft->snapshot.index + 1;
        update->appended_to = last_index;
    }
}

static uint64_t wake_ms(const struct raft *raft)
{
    uint64_t wake = time_min(raft_form_wake_ms(raft), raft_election_wake_ms(raft));

    wake = time_min(wake, raft_leader_wake_ms(raft));
    return time_max(wake, raft->now_ms + 1);
}

void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    const uint64_t commit_before = raft->commit_index;
    const uint64_t term_before = raft->hard.term;

    ASSERT(event->now_ms >= raft->now_ms);
    ASSERT(event->kind < RAFT_EVENT_KINDS);
    *update = (struct raft_update){.wake_ms = TIME_NEVER};
    if (raft->lost) {
        return; /* Its owner is emptying the store. */
    }
    raft->now_ms = event->now_ms;
    raft->update = update;
    raft->message_count = 0;
    raft->hard_changed = false;

    if (!raft->started) {
        raft_form_check_mark(raft); /* Before anything changes what it is compared with. */
    }
    if (!raft->lost) {
        handle(raft, event);
    }
    if (!raft->lost) {
        raft_form_tick(raft);
    }
    if (raft->lost) {
        update->persist = (struct raft_persist){0};
        update->truncated_from = 0;
        update->appended_from = 0;
        update->lost_memory = true;
        raft->update = NULL;
        return;
    }
    raft_election_tick(raft);
    raft_leader_tick(raft);
    raft_leader_commit(raft);
    raft_leader_send(raft);
    put_persist(raft);
    put_messages(raft);
    put_applied(raft);
    raft_read_finish(raft);
    if (!raft->started) {
        put_loaded(raft);
    }
    update->wake_ms = wake_ms(raft);
    raft->update = NULL;

    ASSERT(raft->commit_index >= commit_before);
    ASSERT(raft->hard.term >= term_before);
    ASSERT(raft->applied_index <= raft->commit_index);
    ASSERT(raft->commit_index <= raft_last_index(raft));
    ASSERT(raft->config_committed.index <= raft->commit_index);
}
