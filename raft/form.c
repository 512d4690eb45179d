/*
 * Who is there, what do they remember of us, and is there a cluster at all.
 *
 * Everybody says HELLO to the listed nodes and the members it does not hear; the answer
 * tells the most that the answerer knows us to have acknowledged. Our own mark tells the
 * same, also while those who know it are cut off; but a machine that was rolled back as a
 * whole has an old mark, and learns it from the others.
 *
 * A new cluster is formed by the smallest id among the listed nodes that see each other,
 * if these are a majority of the list and all empty, and if each of them, too, sees
 * nobody smaller. The others join by answering the vote that follows.
 */
#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "raft/raft_impl.h"

bool raft_form_is_empty(const struct raft *raft)
{
    return raft->hard.term == 0 && raft->hard.cluster_id == 0 && raft_last_index(raft) == 0;
}

/* --- Memory --- */

void raft_form_remember(
    struct raft *raft, uint64_t id, uint64_t incarnation, uint64_t term, uint64_t index)
{
    const struct raft_member *member = raft_config_find(&raft->config, id);
    struct raft_memory *memory;

    if (member == NULL || member->incarnation != incarnation || id == raft->self) {
        return;
    }
    memory = &raft_member_peer(raft, member)->memory;
    if (memory->incarnation != incarnation) {
        *memory = (struct raft_memory){.incarnation = incarnation};
    }
    if (term > memory->term || (term == memory->term && index > memory->index)) {
        memory->term = term;
        memory->index = index;
        memory->entry_term = 0;
    }
    /* Our log tells which entry that was only as far as it is that term's leader's. */
    if (memory->entry_term == 0 && memory->term == raft->hard.term &&
        memory->index <= raft->verified_index) {
        memory->entry_term = raft_term_at(raft, memory->index);
    }
}

/* --- HELLO --- */

static bool is_fresh(const struct raft *raft, const struct peer *peer)
{
    return peer->hello_ms != 0 && raft->now_ms < time_add(peer->hello_ms, RAFT_FRESH_MS);
}

static void put_hello(const struct raft *raft, struct raft_message *message)
{
    message->last_index = raft_last_index(raft);
    message->last_term = raft_term_at(raft, message->last_index);
    message->commit_index = raft->commit_index;
    message->empty = raft_form_is_empty(raft);
    memcpy(message->address, raft->settings.self_address, sizeof message->address);
    if (!message->empty) {
        return;
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct peer *peer = &raft->peers[i];

        if (peer->empty && is_fresh(raft, peer) && message->formed_count < RAFT_MEMBERS_MAX) {
            message->formed_ids[message->formed_count++] = peer->id;
        }
    }
}

static void greet(struct raft *raft, struct peer *peer)
{
    const struct raft_member *member = raft_config_find(&raft->config, peer->id);

    peer->greeted_ms = time_max(raft->now_ms, 1);
    put_hello(
        raft,
        raft_message_add(raft, RAFT_HELLO, peer->id, member == NULL ? 0 : member->incarnation));
}

void raft_form_greet(struct raft *raft, uint64_t id)
{
    struct peer *peer = raft_peer_find(raft, id);

    if (peer != NULL) {
        greet(raft, peer);
    }
}

static bool may_greet_again(const struct raft *raft, const struct peer *peer)
{
    return peer->greeted_ms == 0 ||
           raft->now_ms >= time_add(peer->greeted_ms, raft->settings.heartbeat_ms);
}

void raft_form_introduce(struct raft *raft, uint64_t id)
{
    struct peer *peer = raft_peer_find(raft, id);

    if (peer != NULL && may_greet_again(raft, peer)) {
        greet(raft, peer);
    }
}

/* Waiting for something that only HELLOs bring. */
static bool is_waiting(const struct raft *raft)
{
    return !raft->position_checked || raft_form_is_empty(raft) ||
           (raft->leader == 0 && !raft_is_voter(raft));
}

static bool is_member_or_seed(const struct raft *raft, const struct peer *peer)
{
    return peer->seed || raft_config_find(&raft->config, peer->id) != NULL;
}

static void greet_silent(struct raft *raft)
{
    const uint64_t interval_ms = is_waiting(raft) ? RAFT_HELLO_START_MS : RAFT_HELLO_MS;

    if (raft->now_ms < raft->hello_ms) {
        return;
    }
    raft->hello_ms = time_add(raft->now_ms, interval_ms);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct peer *peer = &raft->peers[i];
        const bool silent =
            peer->heard_ms == 0 || raft->now_ms >= time_add(peer->heard_ms, RAFT_HELLO_MS);

        if (is_member_or_seed(raft, peer) && (silent || is_waiting(raft))) {
            greet(raft, peer);
        }
    }
}

/* Takes in what a HELLO or the answer to one says of its sender. */
static struct peer *meet(struct raft *raft, const struct raft_message *message)
{
    struct peer *peer;

    if (memchr(message->address, '\0', sizeof message->address) == NULL ||
        message->from != raft_id(message->address) || message->from_incarnation == 0 ||
        message->formed_count > RAFT_MEMBERS_MAX) {
        return NULL;
    }
    peer = raft_peer_ensure(raft, message->from, message->address);
    if (peer == NULL) {
        return NULL;
    }
    peer->heard_ms = raft->now_ms;
    peer->hello_ms = time_max(raft->now_ms, 1);
    peer->incarnation = message->from_incarnation;
    peer->cluster_id = message->cluster_id;
    peer->empty = message->empty;
    peer->blank = message->last_index == 0;
    peer->formed_count = message->formed_count;
    memcpy(peer->formed_ids, message->formed_ids, sizeof peer->formed_ids);
    return peer;
}

/* We joined or formed a cluster, and hold nothing yet that a leader of it has written. */
static bool is_undecided(const struct raft *raft)
{
    return raft->hard.cluster_id != 0 && raft_last_index(raft) <= 1 && raft->commit_index == 0 &&
           raft->role != RAFT_LEADER;
}

/* Nobody votes in two clusters: where one has decided something, an undecided one never can. */
static void check_other_cluster(
    struct raft *raft, const struct peer *peer, const struct raft_message *message)
{
    if (message->cluster_id == 0 || raft->hard.cluster_id == 0 ||
        message->cluster_id == raft->hard.cluster_id) {
        return;
    }
    raft_note_add(raft, RAFT_NOTE_WRONG_CLUSTER, message->from, message->cluster_id);
    if (is_undecided(raft) && is_member_or_seed(raft, peer) && message->commit_index > 0) {
        raft_lose_memory(
            raft, RAFT_NOTE_FORMATION_DROPPED, raft->hard.cluster_id, message->cluster_id);
    }
}

void raft_form_hello(struct raft *raft, const struct raft_message *message)
{
    const struct raft_member *member = raft_config_find(&raft->config, message->from);
    struct peer *peer = meet(raft, message);
    struct raft_message *answer;

    if (peer == NULL) {
        return;
    }
    check_other_cluster(raft, peer, message);
    if (raft->lost) {
        return;
    }
    answer = raft_answer_add(raft, RAFT_HELLO_ANSWER, message);
    put_hello(raft, answer);
    answer->accepted = member != NULL && member->incarnation == message->from_incarnation;
    if (peer->memory.incarnation == message->from_incarnation &&
        message->cluster_id == raft->hard.cluster_id) {
        answer->seen_term = peer->memory.term;
        answer->seen_index = peer->memory.index;
        answer->hint_term = peer->memory.entry_term;
    }
    /* It has just come; no need to wait for the next round of greetings. */
    if (is_waiting(raft) && peer->answered_incarnation != peer->incarnation &&
        may_greet_again(raft, peer)) {
        greet(raft, peer);
    }
}

static bool is_ahead(const struct raft *raft, const struct raft_message *message)
{
    const uint64_t last_index = raft_last_index(raft);
    const uint64_t last_term = raft_term_at(raft, last_index);

    return message->cluster_id != 0 &&
           (message->last_term > last_term ||
            (message->last_term == last_term && message->last_index > last_index));
}

/* Nobody else can go on in its place, so it goes on with what it has. */
static bool is_only_voter(const struct raft *raft)
{
    return raft_is_voter(raft) && raft_config_voter_count(&raft->config) == 1;
}

static bool has_forgotten(const struct raft *raft, const struct raft_memory *memory)
{
    const uint64_t entry_term = raft_term_at(raft, memory->index);

    if (memory->term != raft->hard.term) {
        return memory->term > raft->hard.term;
    }
    if (memory->index > raft_last_index(raft)) {
        return true;
    }
    /* Where one of the two is not known any more, it is behind a snapshot. */
    return memory->entry_term != 0 && entry_term != 0 && entry_term != memory->entry_term;
}

/*
 * Also where nobody else could go on: the membership in a store that was rolled back may be
 * that of a time before the others joined. The mark of another incarnation is what is left of
 * a store that was set aside.
 */
void raft_form_check_mark(struct raft *raft)
{
    const struct raft_memory *mark = &raft->mark;

    if (mark->incarnation == raft->hard.incarnation && has_forgotten(raft, mark)) {
        raft_lose_memory(raft, RAFT_NOTE_AMNESIA, mark->term, mark->index);
    }
}

/*
 * The answerer has decided at least as much as our newest membership, and in its own we are
 * not. So the entry that called us in was lost with its leader, or we were removed since.
 */
static bool leaves_out(const struct raft *raft, const struct raft_message *message)
{
    return !message->accepted && message->cluster_id != 0 &&
           message->cluster_id == raft->hard.cluster_id &&
           message->commit_index >= raft->config.index;
}

void raft_form_hello_answer(struct raft *raft, const struct raft_message *message)
{
    const struct raft_memory memory = {
        .incarnation = message->to_incarnation,
        .term = message->seen_term,
        .index = message->seen_index,
        .entry_term = message->hint_term,
    };
    struct peer *peer = meet(raft, message);

    if (peer == NULL) {
        return;
    }
    check_other_cluster(raft, peer, message);
    if (raft->lost || (message->cluster_id != 0 && message->cluster_id != raft->hard.cluster_id)) {
        return; /* Who is in no cluster yet knows nothing of us, and that counts as well. */
    }
    peer->answered_incarnation = message->from_incarnation;
    if (leaves_out(raft, message)) {
        raft->left_out_ms = time_max(raft->now_ms, 1);
    }
    if (raft->ahead_ms == 0 && is_ahead(raft, message)) {
        raft->ahead_ms = time_max(raft->now_ms, 1);
    }
    if (!is_only_voter(raft) && has_forgotten(raft, &memory)) {
        raft_lose_memory(raft, RAFT_NOTE_AMNESIA, memory.term, memory.index);
    }
}

/* --- Position --- */

/* How many of those whose memory counts there are, and how many have answered. */
struct answers {
    uint32_t voters;
    uint32_t voters_answered;
    uint32_t others_missing;
};

static struct answers count_members(struct raft *raft)
{
    struct answers answers = {0};

    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];
        const bool answered =
            member->id == raft->self
                ? member->incarnation == raft->hard.incarnation
                : raft_member_peer(raft, member)->answered_incarnation == member->incarnation;

        answers.voters += member->kind == RAFT_MEMBER_VOTER;
        answers.voters_answered += member->kind == RAFT_MEMBER_VOTER && answered;
        answers.others_missing += member->id != raft->self && !answered;
    }
    return answers;
}

/* It has voted or joined, but has no membership in its log: the listed nodes are asked. */
static struct answers count_listed(const struct raft *raft)
{
    struct answers answers = {.voters = 1, .voters_answered = 1};

    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].seed) {
            answers.voters++;
            answers.voters_answered += raft->peers[i].answered_incarnation != 0;
            answers.others_missing += raft->peers[i].answered_incarnation == 0;
        }
    }
    return answers;
}

static bool majority_has_answered(struct raft *raft)
{
    const struct answers answers =
        raft->config.count > 0 ? count_members(raft) : count_listed(raft);

    if (answers.voters_answered < quorum_size(answers.voters)) {
        return false;
    }
    if (raft->majority_ms == 0) {
        raft->majority_ms = time_max(raft->now_ms, 1);
    }
    return answers.others_missing == 0 ||
           raft->now_ms >= time_add(raft->majority_ms, RAFT_HELLO_ANSWERS_MS);
}

/*
 * The membership in our log may be an old one, whose majority is gone for good; the
 * newer ones cannot come without our vote. So one whose log is ahead will do in the
 * end: in the membership that it knows, it needs a majority for whatever it asks of us.
 */
static bool has_waited_long_enough(const struct raft *raft)
{
    return raft->ahead_ms != 0 && raft->now_ms >= time_add(raft->ahead_ms, RAFT_POSITION_WAIT_MS);
}

static void check_position(struct raft *raft)
{
    if (raft->position_checked ||
        !(is_only_voter(raft) || majority_has_answered(raft) || has_waited_long_enough(raft))) {
        return;
    }
    raft->position_checked = true;
    raft_note_add(raft, RAFT_NOTE_POSITION_CHECKED, raft->hard.term, raft_last_index(raft));
}

/* --- Formation --- */

static bool lists(const struct peer *peer, uint64_t id)
{
    for (uint32_t i = 0; i < peer->formed_count; i++) {
        if (peer->formed_ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* Sees us, is empty like us, and neither is nor sees anybody smaller. */
static bool would_follow(const struct raft *raft, const struct peer *peer)
{
    if (!peer->seed || !peer->empty || !is_fresh(raft, peer) || !lists(peer, raft->self) ||
        peer->id < raft->self) {
        return false;
    }
    for (uint32_t i = 0; i < peer->formed_count; i++) {
        if (peer->formed_ids[i] < raft->self) {
            return false;
        }
    }
    return true;
}

/* Somebody reachable holds something, or is an empty listed node that should form instead. */
static bool is_obstacle(const struct raft *raft, const struct peer *peer)
{
    if (!is_fresh(raft, peer)) {
        return false;
    }
    return !peer->empty || (peer->seed && peer->id < raft->self && lists(peer, raft->self));
}

static void add_member(
    struct raft_config *config, uint64_t id, uint64_t incarnation, const char *address)
{
    struct raft_member *member = &config->members[config->count];

    ASSERT(config->count < RAFT_MEMBERS_MAX);
    member->id = id;
    member->incarnation = incarnation;
    member->kind = config->count < RAFT_VOTERS_MAX ? RAFT_MEMBER_VOTER : RAFT_MEMBER_LEARNER;
    memcpy(member->address, address, sizeof member->address);
    config->count++;
}

static void form(struct raft *raft)
{
    struct raft_config config = {.term = 1, .index = 1};
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
    struct raft_entry entry = {.term = 1, .index = 1, .kind = RAFT_ENTRY_CONFIG, .data = bytes};

    ASSERT(raft_form_is_empty(raft));
    ASSERT(raft->settings.new_cluster_id != 0);
    add_member(&config, raft->self, raft->hard.incarnation, raft->settings.self_address);
    for (uint32_t i = 0; i < raft->peer_count && config.count < RAFT_MEMBERS_MAX; i++) {
        const struct peer *peer = &raft->peers[i];

        if (would_follow(raft, peer)) {
            add_member(&config, peer->id, peer->incarnation, peer->address);
        }
    }
    raft->hard.cluster_id = raft->settings.new_cluster_id;
    raft_set_hard(raft, 1, raft->self);
    entry.size_bytes = raft_config_encode(&config, bytes);
    raft_log_append(raft, &entry);
    raft_note_add(raft, RAFT_NOTE_FORMED, raft->hard.cluster_id, config.count);
    raft_election_campaign(raft);
}

static void try_to_form(struct raft *raft)
{
    const uint32_t listed = raft->settings.seed_count + 1;
    uint32_t willing = 1;
    bool obstacle = false;

    for (uint32_t i = 0; i < raft->peer_count; i++) {
        willing += would_follow(raft, &raft->peers[i]);
        obstacle = obstacle || is_obstacle(raft, &raft->peers[i]);
    }
    if (obstacle || willing < quorum_size(listed)) {
        raft->form_ms = 0;
        return;
    }
    if (raft->form_ms == 0) {
        raft->form_ms = time_add(raft->now_ms, RAFT_FORM_WAIT_MS);
    }
    if (willing == listed || raft->now_ms >= raft->form_ms) {
        form(raft);
    }
}

/* --- Stores that lead nowhere --- */

/* It has been heard of as somebody else than it was, or in another cluster. */
static bool is_gone(const struct raft *raft, const struct peer *peer, uint64_t incarnation)
{
    return is_fresh(raft, peer) &&
           (peer->incarnation != incarnation ||
            (peer->cluster_id != 0 && peer->cluster_id != raft->hard.cluster_id));
}

/* Ours can still win if enough of those we counted on are not gone. */
static bool own_formation_is_dead(struct raft *raft)
{
    const uint32_t voters = raft_config_voter_count(&raft->config);
    uint32_t left = 0;

    for (uint32_t i = 0; i < raft->config.count; i++) {
        const struct raft_member *member = &raft->config.members[i];

        left += member->kind == RAFT_MEMBER_VOTER &&
                (member->id == raft->self ||
                 !is_gone(raft, raft_member_peer(raft, member), member->incarnation));
    }
    return left < raft_election_votes_needed(raft, voters);
}

/* We joined one of which nobody on the list is a part, not even who asked us to join. */
static bool joined_formation_is_dead(const struct raft *raft)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct peer *peer = &raft->peers[i];

        if (peer->seed && (!is_fresh(raft, peer) || peer->cluster_id == raft->hard.cluster_id)) {
            return false;
        }
    }
    return true;
}

bool raft_is_left_out(const struct raft *raft)
{
    return raft_last_index(raft) > 0 && raft->leader == 0 && raft->left_out_ms != 0 &&
           raft->now_ms < time_add(raft->left_out_ms, RAFT_FRESH_MS);
}

/*
 * Called in as a learner by a leader that was deposed before that was decided. Nobody sends
 * us anything any more, and nobody takes in a store that has entries: it looks like that of
 * a member that was removed. But who was removed had a vote, unless it never caught up; we
 * never had one, so nothing that we acknowledged was counted, and we may be somebody new.
 */
static bool may_be_somebody_new(const struct raft *raft)
{
    return raft_is_left_out(raft) && !raft_is_voter(raft);
}

/*
 * Nodes that come and go while a cluster is being formed may leave behind one that will
 * never find a leader. Only the maker of a formation has its first entry before a leader
 * is found.
 */
static bool formation_is_dead(struct raft *raft)
{
    if (!is_undecided(raft) || raft->settings.seed_count == 0) {
        return false;
    }
    return raft_last_index(raft) == 0
               ? joined_formation_is_dead(raft)
               : raft->config.members[0].id == raft->self && own_formation_is_dead(raft);
}

/* Whose store leads nowhere, and is sure of that for a while, starts again as somebody new. */
static void check_future(struct raft *raft)
{
    const bool left_out = may_be_somebody_new(raft);

    if (!left_out && !formation_is_dead(raft)) {
        raft->dead_ms = 0;
        return;
    }
    if (raft->dead_ms == 0) {
        raft->dead_ms = time_add(raft->now_ms, RAFT_FORM_WAIT_MS);
    }
    if (raft->now_ms < raft->dead_ms) {
        return;
    }
    if (left_out) {
        raft_lose_memory(raft, RAFT_NOTE_LEFT_OUT, raft->config.index, 0);
    } else {
        raft_lose_memory(raft, RAFT_NOTE_FORMATION_DROPPED, raft->hard.cluster_id, 0);
    }
}

/* --- Time --- */

void raft_form_tick(struct raft *raft)
{
    check_position(raft);
    if (raft_form_is_empty(raft)) {
        try_to_form(raft);
    }
    check_future(raft);
    if (!raft->lost) {
        greet_silent(raft);
    }
}

uint64_t raft_form_wake_ms(const struct raft *raft)
{
    uint64_t wake_ms = raft->hello_ms;

    if (!raft->position_checked && raft->majority_ms != 0) {
        wake_ms = time_min(wake_ms, time_add(raft->majority_ms, RAFT_HELLO_ANSWERS_MS));
    }
    if (raft->form_ms != 0 && raft_form_is_empty(raft)) {
        wake_ms = time_min(wake_ms, raft->form_ms);
    }
    return wake_ms;
}

/* --- Strangers --- */

uint32_t raft_strangers(const struct raft *raft, struct raft_stranger *strangers, uint32_t max)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < raft->peer_count && count < max; i++) {
        const struct peer *peer = &raft->peers[i];
        const struct raft_member *member = raft_config_find(&raft->config, peer->id);

        /* What was said long ago may be of who it was then. */
        if (!is_fresh(raft, peer) || (member != NULL && member->incarnation == peer->incarnation) ||
            (peer->cluster_id != 0 && peer->cluster_id != raft->hard.cluster_id)) {
            continue;
        }
        strangers[count] = (struct raft_stranger){
            .member = {.id = peer->id, .incarnation = peer->incarnation},
            .heard_ms = peer->hello_ms,
            .empty = peer->blank,
        };
        memcpy(
            strangers[count].member.address, peer->address, sizeof strangers[count].member.address);
        count++;
    }
    return count;
}
