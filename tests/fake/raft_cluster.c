#include "tests/fake/raft_cluster.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/text.h"
#include "base/time.h"
#include "raft/config.h"
#include "raft/describe.h"

#define CHECK(node, condition)                                  \
    do {                                                        \
        if (!(condition)) {                                     \
            fail_check((node), #condition, __FILE__, __LINE__); \
        }                                                       \
    } while (0)

NORETURN static void fail_check(
    const struct raft_cluster_node *node, const char *condition, const char *file, int line)
{
    (void)fprintf(
        stderr, "%s:%d: seed %" PRIu64 ", node %u at %" PRIu64 " ms: not so: %s\n", file, line,
        node->cluster->seed, node->number, node->cluster->now_ms, condition);
    abort();
}

/* Set TRACE to see everything that happens. */
PRINTF(2, 3) static void trace(const struct raft_cluster_node *node, const char *format, ...)
{
    static int wanted = -1;
    va_list args;

    if (wanted == -1) {
        wanted = getenv("TRACE") != NULL;
    }
    if (wanted == 0) {
        return;
    }
    (void)printf("%8" PRIu64 " n%u ", node->cluster->now_ms, node->number);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
}

static void *xmalloc(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);

    ASSERT(memory != NULL);
    return memory;
}

static void *copy_bytes(const void *data, size_t size)
{
    void *copy = xmalloc(size);

    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* --- Disk --- */

static void free_data(const uint8_t *data)
{
    union {
        const uint8_t *borrowed;
        void *owned;
    } pointer = {.borrowed = data};

    free(pointer.owned);
}

static struct raft_entry copy_entry(struct raft_entry entry)
{
    entry.data = copy_bytes(entry.data, entry.size_bytes);
    return entry;
}

static void disk_init(struct raft_cluster_disk *disk, uint64_t incarnation)
{
    *disk = (struct raft_cluster_disk){.hard = {.incarnation = incarnation}, .first_index = 1};
}

static void disk_clear(struct raft_cluster_disk *disk)
{
    for (uint32_t i = 0; i < disk->entry_count; i++) {
        free_data(disk->entries[i].data);
    }
    free_data(disk->snapshot.data);
    disk->entry_count = 0;
    disk->snapshot.data = NULL;
}

static void disk_copy(struct raft_cluster_disk *to, const struct raft_cluster_disk *from)
{
    disk_clear(to);
    *to = *from;
    to->snapshot.data = copy_bytes(from->snapshot.data, from->snapshot.size_bytes);
    for (uint32_t i = 0; i < from->entry_count; i++) {
        to->entries[i] = copy_entry(from->entries[i]);
    }
}

static uint64_t disk_last(const struct raft_cluster_disk *disk)
{
    return disk->first_index + disk->entry_count - 1;
}

static void disk_truncate(struct raft_cluster_disk *disk, uint64_t from_index)
{
    while (disk->entry_count > 0 && disk_last(disk) >= from_index) {
        free_data(disk->entries[--disk->entry_count].data);
    }
}

static void disk_drop_front(struct raft_cluster_disk *disk, uint64_t keep_from)
{
    uint32_t count = 0;

    while (count < disk->entry_count && disk->first_index + count < keep_from) {
        free_data(disk->entries[count].data);
        count++;
    }
    disk->entry_count -= count;
    memmove(disk->entries, &disk->entries[count], disk->entry_count * sizeof *disk->entries);
    disk->first_index += count;
    if (disk->entry_count == 0 && disk->first_index < keep_from) {
        disk->first_index = keep_from;
    }
}

/* Takes over what the write owns. */
static void disk_apply(struct raft_cluster_node *node, struct raft_cluster_write *write)
{
    struct raft_cluster_disk *disk = &node->disk;
    const struct raft_persist *persist = &write->persist;

    if (persist->hard_changed) {
        CHECK(node, persist->hard.term >= disk->hard.term);
        CHECK(
            node, persist->hard.term > disk->hard.term || disk->hard.voted_for == 0 ||
                      disk->hard.voted_for == persist->hard.voted_for);
        disk->hard = persist->hard;
    }
    if (persist->snapshot_changed) {
        free_data(disk->snapshot.data);
        disk->snapshot = write->snapshot;
        write->snapshot.data = NULL;
    }
    if (persist->truncate_from != 0) {
        disk_truncate(disk, persist->truncate_from);
    }
    for (uint32_t i = 0; i < write->entry_count; i++) {
        CHECK(node, write->entries[i].index == disk_last(disk) + 1);
        disk->entries[disk->entry_count++] = write->entries[i];
        write->entries[i].data = NULL;
    }
    if (persist->keep_from != 0) {
        disk_drop_front(disk, persist->keep_from);
    }
    CHECK(node, disk->first_index <= disk->snapshot.index + 1);
}

static void write_destroy(struct raft_cluster_write *write)
{
    for (uint32_t i = 0; i < write->entry_count; i++) {
        free_data(write->entries[i].data);
    }
    free(write->entries);
    free_data(write->snapshot.data);
    free(write);
}

static void store_take(
    struct store *store, const struct raft *raft, const struct raft_persist *persist)
{
    struct raft_cluster_node *node = container_of(store, struct raft_cluster_node, store);
    const struct raft_cluster_weather *weather = &node->cluster->weather;
    struct raft_cluster_write *write = xmalloc(sizeof *write);
    struct raft_cluster_write **end = &node->writes;

    *write = (struct raft_cluster_write){.persist = *persist};
    if (persist->snapshot_changed) {
        write->snapshot = *raft_snapshot(raft);
        write->snapshot.data = copy_bytes(write->snapshot.data, write->snapshot.size_bytes);
    }
    if (persist->first_index != 0) {
        write->entry_count = (uint32_t)(persist->last_index - persist->first_index + 1);
        write->entries = xmalloc(write->entry_count * sizeof *write->entries);
        for (uint32_t i = 0; i < write->entry_count; i++) {
            write->entries[i] = copy_entry(raft_entry_get(raft, persist->first_index + i));
        }
    }
    write->due_ms = node->cluster->now_ms +
                    prng_between(&node->cluster->prng, weather->disk_min_ms, weather->disk_max_ms);
    while (*end != NULL) {
        write->due_ms = time_max(write->due_ms, (*end)->due_ms); /* They end in order. */
        end = &(*end)->next;
    }
    *end = write;
}

static const struct store_ops store_ops = {.submit = store_take};

static struct raft_cluster_write *pop_write(struct raft_cluster_node *node)
{
    struct raft_cluster_write *write = node->writes;

    node->writes = write->next;
    return write;
}

/* --- Network --- */

static struct raft_cluster_node *find_node(struct raft_cluster *cluster, uint64_t id)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].id == id) {
            return &cluster->nodes[i];
        }
    }
    return NULL;
}

static struct raft_message *copy_message(const struct raft_message *message)
{
    struct raft_message *copy = xmalloc(sizeof *copy);

    *copy = *message;
    for (uint32_t i = 0; i < copy->entry_count; i++) {
        copy->entries[i] = copy_entry(copy->entries[i]);
    }
    copy->snapshot.data = copy_bytes(copy->snapshot.data, copy->snapshot.size_bytes);
    return copy;
}

static void free_message(struct raft_message *message)
{
    for (uint32_t i = 0; i < message->entry_count; i++) {
        free_data(message->entries[i].data);
    }
    free_data(message->snapshot.data);
    free(message);
}

static void post(struct raft_cluster *cluster, const struct raft_message *message)
{
    const struct raft_cluster_weather *weather = &cluster->weather;

    if (cluster->packet_count < CLUSTER_PACKETS_MAX) {
        cluster->packets[cluster->packet_count++] = (struct raft_cluster_packet){
            .due_ms = cluster->now_ms +
                      prng_between(&cluster->prng, weather->delay_min_ms, weather->delay_max_ms),
            .message = copy_message(message),
        };
    }
}

static void on_send(void *owner, const struct raft_message *message)
{
    struct raft_cluster_node *node = owner;
    struct raft_cluster *cluster = node->cluster;
    char bytes[512];
    struct text text;

    text_init(&text, bytes, sizeof bytes);
    raft_describe_message(&text, message);
    trace(node, "-> %s", bytes);
    CHECK(node, message->from == node->id);
    /* A term that is not on disk is told to no one; nor is what is behind the disk acknowledged. */
    if (message->kind != RAFT_PREVOTE) {
        CHECK(node, message->term <= node->disk.hard.term);
    }
    if (message->kind == RAFT_APPEND_ANSWER || message->kind == RAFT_SNAPSHOT_ANSWER) {
        CHECK(
            node,
            message->match_index <= time_max(disk_last(&node->disk), node->disk.snapshot.index));
    }
    if (message->kind == RAFT_VOTE_ANSWER && message->accepted) {
        CHECK(node, node->disk.hard.voted_for == message->to);
    }
    if (find_node(cluster, message->to) == NULL ||
        prng_chance(&cluster->prng, cluster->weather.loss)) {
        return;
    }
    post(cluster, message);
    if (prng_chance(&cluster->prng, cluster->weather.twice)) {
        post(cluster, message);
    }
}

/* --- State machine --- */

static uint64_t hash_entry(const struct raft_entry *entry)
{
    const uint64_t head[3] = {entry->term, entry->index, entry->kind};

    return hash64(hash64(HASH64_SEED, head, sizeof head), entry->data, entry->size_bytes);
}

/* Nothing that was decided is ever decided otherwise. */
static void check_committed(struct raft_cluster_node *node, const struct raft_entry *entry)
{
    struct raft_cluster *cluster = node->cluster;
    const uint64_t index = entry->index;

    CHECK(node, index + 1 < CLUSTER_LOG_MAX);
    if (index > cluster->committed_count) {
        CHECK(node, index == cluster->committed_count + 1);
        cluster->committed_count = index;
        cluster->committed[index].term = entry->term;
        cluster->committed[index].hash = hash_entry(entry);
        cluster->committed[index].state_hash =
            hash64(cluster->committed[index - 1].state_hash, &cluster->committed[index].hash, 8);
    }
    CHECK(node, cluster->committed[index].term == entry->term);
    CHECK(node, cluster->committed[index].hash == hash_entry(entry));
}

static void on_apply(void *owner, const struct raft_entry *entry)
{
    struct raft_cluster_node *node = owner;
    const uint64_t hash = hash_entry(entry);

    CHECK(node, entry->index == node->applied_index + 1);
    CHECK(node, entry->index <= disk_last(&node->disk));
    check_committed(node, entry);
    node->applied_index = entry->index;
    node->state_hash = hash64(node->state_hash, &hash, 8);
    CHECK(node, node->state_hash == node->cluster->committed[entry->index].state_hash);
}

static void on_restore(void *owner, const struct raft_snapshot *snapshot)
{
    struct raft_cluster_node *node = owner;

    CHECK(node, snapshot->size_bytes == 8);
    CHECK(node, snapshot->index <= node->cluster->committed_count);
    CHECK(node, snapshot->index == node->disk.snapshot.index);
    node->applied_index = snapshot->index;
    node->state_hash = get_u64(snapshot->data);
    CHECK(node, node->state_hash == node->cluster->committed[snapshot->index].state_hash);
}

static void on_truncated(void *owner, uint64_t from_index)
{
    const struct raft_cluster_node *node = owner;

    CHECK(node, from_index > node->applied_index);
}

static void on_appended(void *owner, const struct raft_entry *entry)
{
    const struct raft_cluster_node *node = owner;

    CHECK(node, entry->index > node->applied_index);
}

static void on_durable(void *owner, uint64_t index)
{
    const struct raft_cluster_node *node = owner;

    CHECK(node, index <= time_max(disk_last(&node->disk), node->disk.snapshot.index));
}

static void on_read_done(void *owner, uint64_t read_number, bool ok)
{
    struct raft_cluster_node *node = owner;

    node->reads_done += ok;
    node->reads_failed += !ok;
    node->last_read = read_number;
    if (ok) {
        /* The number says how much had been decided when the read came. */
        CHECK(node, node->applied_index >= read_number >> 32);
    }
}

static void on_note(void *owner, const struct raft_note *note)
{
    struct raft_cluster_node *node = owner;
    char bytes[256];
    struct text text;

    text_init(&text, bytes, sizeof bytes);
    raft_describe_note(&text, note);
    trace(node, "   %s", bytes);
    node->notes[note->kind]++;
}

static void on_lost_memory(void *owner)
{
    struct raft_cluster_node *node = owner;

    node->wipe = true;
}

static const struct driver_ops driver_ops = {
    .send = on_send,
    .truncated = on_truncated,
    .appended = on_appended,
    .durable = on_durable,
    .restore = on_restore,
    .apply = on_apply,
    .read_done = on_read_done,
    .note = on_note,
    .lost_memory = on_lost_memory,
};

/* --- Checks after every step --- */

static void check_leader(struct raft_cluster_node *node)
{
    struct raft_cluster *cluster = node->cluster;
    const uint64_t term = raft_term(node->raft);
    const uint64_t incarnation = raft_incarnation(node->raft);

    if (raft_role(node->raft) != RAFT_LEADER) {
        return;
    }
    CHECK(node, term < CLUSTER_LOG_MAX);
    CHECK(node, node->disk.hard.term == term);
    CHECK(node, cluster->leaders[term] == 0 || cluster->leaders[term] == incarnation);
    if (cluster->leaders[term] != 0) {
        return;
    }
    cluster->leaders[term] = incarnation;
    /* A new leader has everything that was decided, in whatever older term. */
    CHECK(node, raft_last_index(node->raft) > cluster->committed_count);
    for (uint64_t i = raft_first_index(node->raft); i <= cluster->committed_count; i++) {
        CHECK(node, raft_term_at(node->raft, i) == cluster->committed[i].term);
    }
}

/* If two logs hold the same term at an index, they are the same up to there. */
static void check_logs_match(struct raft_cluster_node *node, const struct raft_cluster_node *other)
{
    const uint64_t first_index =
        time_max(raft_first_index(node->raft), raft_first_index(other->raft));
    uint64_t index = time_min(raft_last_index(node->raft), raft_last_index(other->raft));

    while (index >= first_index &&
           raft_term_at(node->raft, index) != raft_term_at(other->raft, index)) {
        index--;
    }
    for (; index >= first_index; index--) {
        const struct raft_entry a = raft_entry_get(node->raft, index);
        const struct raft_entry b = raft_entry_get(other->raft, index);

        CHECK(node, hash_entry(&a) == hash_entry(&b));
    }
}

static void check(struct raft_cluster_node *node)
{
    struct raft_cluster *cluster = node->cluster;

    cluster->steps++;
    if (node->wipe) {
        return;
    }
    check_leader(node);
    CHECK(node, raft_applied_index(node->raft) == node->applied_index);
    CHECK(node, raft_applied_index(node->raft) <= raft_commit_index(node->raft));
    for (uint64_t i = node->applied_index + 1; i <= raft_commit_index(node->raft); i++) {
        const uint64_t term = raft_term_at(node->raft, i);

        if (i <= cluster->committed_count && term != 0) {
            CHECK(node, cluster->committed[i].term == term);
        }
    }
    if (cluster->steps % 16 == 0) {
        const struct raft_cluster_node *other =
            &cluster->nodes[prng_between(&cluster->prng, 0, cluster->node_count - 1)];

        if (other->up && !other->wipe && other != node &&
            raft_cluster_id(other->raft) == raft_cluster_id(node->raft)) {
            check_logs_match(node, other);
        }
    }
}

/* --- Set-up --- */

static void init_node(struct raft_cluster *cluster)
{
    struct raft_cluster_node *node = &cluster->nodes[cluster->node_count];
    struct text text;

    ASSERT(cluster->node_count < CLUSTER_NODES_MAX);
    node->cluster = cluster;
    node->number = cluster->node_count++;
    text_init(&text, node->address, sizeof node->address);
    text_addf(&text, "node%u:7000", node->number);
    node->id = raft_id(node->address);
    node->store.ops = &store_ops;
    node->memory = xmalloc(raft_size());
    node->held = xmalloc(DRIVER_HELD_MAX * sizeof *node->held);
    disk_init(&node->disk, prng_next(&cluster->prng));
    disk_init(&node->old_disk, node->disk.hard.incarnation);
}

struct raft_cluster *raft_cluster_create(uint32_t count, uint64_t seed)
{
    struct raft_cluster *cluster = calloc(1, sizeof *cluster);

    ASSERT(cluster != NULL);
    cluster->seed = seed;
    prng_init(&cluster->prng, seed);
    cluster->now_ms = 1000;
    cluster->next_value = 1;
    cluster->weather = (struct raft_cluster_weather){
        .delay_min_ms = 1,
        .delay_max_ms = 1,
        .disk_min_ms = 1,
        .disk_max_ms = 1,
    };
    for (uint32_t i = 0; i < count; i++) {
        init_node(cluster);
    }
    return cluster;
}

static void drop_writes(struct raft_cluster_node *node)
{
    while (node->writes != NULL) {
        write_destroy(pop_write(node));
    }
}

void raft_cluster_destroy(struct raft_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_cluster_node *node = &cluster->nodes[i];

        drop_writes(node);
        disk_clear(&node->disk);
        disk_clear(&node->old_disk);
        free(node->memory);
        free(node->held);
    }
    for (uint32_t i = 0; i < cluster->packet_count; i++) {
        free_message(cluster->packets[i].message);
    }
    free(cluster);
}

struct raft_cluster_node *raft_cluster_add_node(struct raft_cluster *cluster)
{
    init_node(cluster);
    return &cluster->nodes[cluster->node_count - 1];
}

void raft_cluster_start(struct raft_cluster_node *node)
{
    struct raft_cluster *cluster = node->cluster;
    struct raft_settings settings = {
        .heartbeat_ms = 100,
        .election_min_ms = 500,
        .election_max_ms = 1000,
        .random_seed = prng_next(&cluster->prng),
        .new_cluster_id = prng_next(&cluster->prng),
    };
    const struct raft_loaded loaded = {
        .hard = node->disk.hard,
        .snapshot = node->disk.snapshot,
        .entry_count = node->disk.entry_count,
        .entries = node->disk.entries,
        .mark = node->mark,
    };

    ASSERT(!node->up);
    trace(node, "starts");
    text_copy_cut(settings.self_address, sizeof settings.self_address, node->address);
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (i != node->number) {
            text_copy_cut(
                settings.seeds[settings.seed_count++], sizeof settings.seeds[0],
                cluster->nodes[i].address);
        }
    }
    node->raft = raft_init(node->memory, &settings, &loaded, cluster->now_ms);
    driver_init(&node->driver, node->raft, &node->store, &driver_ops, node, node->held);
    node->up = true;
    node->wipe = false;
    node->applied_index = 0;
    node->state_hash = 0;
}

void raft_cluster_start_all(struct raft_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (!cluster->nodes[i].up) {
            raft_cluster_start(&cluster->nodes[i]);
        }
    }
}

void raft_cluster_crash(struct raft_cluster_node *node)
{
    const bool is_marked = prng_chance(&node->cluster->prng, 50); /* Or cut off just before. */

    ASSERT(node->up);
    trace(node, "crashes");
    while (node->writes != NULL && !node->disk_stuck && prng_chance(&node->cluster->prng, 50)) {
        struct raft_cluster_write *write = pop_write(node);

        disk_apply(node, write);
        node->mark = is_marked ? write->persist.mark : node->mark;
        write_destroy(write);
    }
    drop_writes(node);
    node->up = false;
}

void raft_cluster_wipe(struct raft_cluster_node *node)
{
    ASSERT(!node->up);
    trace(node, "is wiped");
    disk_clear(&node->disk);
    disk_init(&node->disk, prng_next(&node->cluster->prng));
}

void raft_cluster_copy_disk(struct raft_cluster_node *node)
{
    disk_copy(&node->old_disk, &node->disk);
    node->old_mark = node->mark;
}

void raft_cluster_roll_back(struct raft_cluster_node *node, bool whole_machine)
{
    ASSERT(!node->up);
    trace(node, "is rolled back");
    disk_copy(&node->disk, &node->old_disk);
    if (whole_machine) {
        node->mark = node->old_mark;
    }
}

/* --- Faults of the network --- */

void raft_cluster_block(struct raft_cluster *cluster, uint32_t from, uint32_t to, bool blocked)
{
    cluster->blocked[from][to] = blocked;
}

void raft_cluster_isolate(struct raft_cluster *cluster, uint32_t number, bool isolated)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        cluster->blocked[i][number] = isolated;
        cluster->blocked[number][i] = isolated;
    }
}

void raft_cluster_heal(struct raft_cluster *cluster)
{
    memset(cluster->blocked, 0, sizeof cluster->blocked);
}

/* --- Running --- */

static void start_over(struct raft_cluster_node *node)
{
    drop_writes(node);
    node->up = false;
    raft_cluster_wipe(node);
    raft_cluster_start(node);
}

/* What the upper layer does for its part: snapshots, and the admission of strangers. */
static void take_care(struct raft_cluster_node *node)
{
    const struct raft_config *config = raft_config(node->raft);
    struct raft_stranger strangers[CLUSTER_NODES_MAX];
    uint8_t bytes[8];
    uint32_t count;

    if (node->cluster->snapshot_each > 0 &&
        raft_log_entries(node->raft) >= node->cluster->snapshot_each &&
        node->applied_index > raft_snapshot(node->raft)->index) {
        put_u64(bytes, node->state_hash);
        raft_cluster_feed(
            node, (struct raft_event){
                      .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
                      .index = node->applied_index,
                      .data = bytes,
                      .size_bytes = sizeof bytes,
                  });
    }
    if (!node->cluster->admits || node->wipe || !raft_leader_ready(node->raft)) {
        return;
    }
    count = raft_strangers(node->raft, strangers, ARRAY_SIZE(strangers));
    for (uint32_t i = 0; i < count; i++) {
        if (strangers[i].empty) {
            raft_cluster_feed(
                node,
                (struct raft_event){.kind = RAFT_EVENT_ADD_LEARNER, .member = strangers[i].member});
            return;
        }
    }
    for (uint32_t i = 0; i < config->count; i++) {
        if (config->members[i].kind == RAFT_MEMBER_LEARNER) {
            raft_cluster_request(node, RAFT_EVENT_PROMOTE, config->members[i].id);
            return;
        }
    }
}

struct driver_result raft_cluster_feed(struct raft_cluster_node *node, struct raft_event event)
{
    struct driver_result result;
    char bytes[512];
    struct text text;

    text_init(&text, bytes, sizeof bytes);
    raft_describe_event(&text, &event);
    trace(node, "%s", bytes);
    event.now_ms = node->cluster->now_ms;
    driver_feed(&node->driver, &event, &result);
    check(node);
    return result;
}

static void finish_write(struct raft_cluster_node *node)
{
    struct raft_cluster_write *write = pop_write(node);

    trace(node, "on disk: %" PRIu64, write->persist.number);
    disk_apply(node, write);
    node->mark = write->persist.mark;
    driver_persisted(&node->driver, write->persist.number, node->cluster->now_ms);
    write_destroy(write);
    check(node);
}

static void deliver(struct raft_cluster *cluster, uint32_t at)
{
    struct raft_message *message = cluster->packets[at].message;
    struct raft_cluster_node *to = find_node(cluster, message->to);
    const struct raft_cluster_node *from = find_node(cluster, message->from);

    cluster->packets[at] = cluster->packets[--cluster->packet_count];
    if (to != NULL && from != NULL && to->up && !cluster->blocked[from->number][to->number]) {
        raft_cluster_feed(to, (struct raft_event){.kind = RAFT_EVENT_MESSAGE, .message = message});
    }
    free_message(message);
}

static uint32_t next_packet(const struct raft_cluster *cluster)
{
    uint32_t next = 0;

    for (uint32_t i = 1; i < cluster->packet_count; i++) {
        if (cluster->packets[i].due_ms < cluster->packets[next].due_ms) {
            next = i;
        }
    }
    return next;
}

enum cause {
    CAUSE_NONE,
    CAUSE_PACKET,
    CAUSE_DISK,
    CAUSE_WAKE,
};

struct next {
    enum cause cause;
    uint64_t due_ms;
    uint32_t number; /* Of the packet or the node. */
};

static struct next find_next(const struct raft_cluster *cluster, uint64_t end_ms)
{
    struct next next = {CAUSE_NONE, end_ms, 0};

    if (cluster->packet_count > 0) {
        const uint32_t packet = next_packet(cluster);

        if (cluster->packets[packet].due_ms < next.due_ms) {
            next = (struct next){CAUSE_PACKET, cluster->packets[packet].due_ms, packet};
        }
    }
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct raft_cluster_node *node = &cluster->nodes[i];

        if (!node->up) {
            continue;
        }
        if (node->writes != NULL && !node->disk_stuck && node->writes->due_ms < next.due_ms) {
            next = (struct next){CAUSE_DISK, node->writes->due_ms, i};
        }
        if (node->driver.wake_ms < next.due_ms) {
            next = (struct next){CAUSE_WAKE, node->driver.wake_ms, i};
        }
    }
    return next;
}

static void run_next(struct raft_cluster *cluster, struct next next)
{
    cluster->now_ms = time_max(cluster->now_ms, next.due_ms);
    switch (next.cause) {
    case CAUSE_NONE:
        break;
    case CAUSE_PACKET:
        deliver(cluster, next.number);
        break;
    case CAUSE_DISK:
        finish_write(&cluster->nodes[next.number]);
        break;
    case CAUSE_WAKE:
        raft_cluster_feed(
            &cluster->nodes[next.number], (struct raft_event){.kind = RAFT_EVENT_TICK});
        if (!cluster->nodes[next.number].wipe) {
            take_care(&cluster->nodes[next.number]);
        }
        break;
    }
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].up && cluster->nodes[i].wipe) {
            start_over(&cluster->nodes[i]);
        }
    }
}

void raft_cluster_run(struct raft_cluster *cluster, uint64_t span_ms)
{
    const uint64_t end_ms = cluster->now_ms + span_ms;

    for (;;) {
        const struct next next = find_next(cluster, end_ms);

        if (next.cause == CAUSE_NONE) {
            break;
        }
        run_next(cluster, next);
    }
    cluster->now_ms = end_ms;
}

struct raft_cluster_node *raft_cluster_leader(struct raft_cluster *cluster)
{
    struct raft_cluster_node *leader = NULL;

    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_cluster_node *node = &cluster->nodes[i];

        if (node->up && !node->wipe && raft_role(node->raft) == RAFT_LEADER &&
            (leader == NULL || raft_term(node->raft) > raft_term(leader->raft))) {
            leader = node;
        }
    }
    return leader;
}

static bool is_followed(const struct raft_cluster *cluster, const struct raft_cluster_node *leader)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct raft_cluster_node *node = &cluster->nodes[i];
        const struct raft_member *member = raft_config_find(raft_config(leader->raft), node->id);

        if (node->up && member != NULL && member->incarnation == raft_incarnation(node->raft) &&
            raft_leader(node->raft) != leader->id) {
            return false;
        }
    }
    return true;
}

struct raft_cluster_node *raft_cluster_run_to_leader(
    struct raft_cluster *cluster, uint64_t limit_ms)
{
    const uint64_t end_ms = cluster->now_ms + limit_ms;

    while (cluster->now_ms < end_ms) {
        struct raft_cluster_node *leader = raft_cluster_leader(cluster);

        if (leader != NULL && raft_leader_ready(leader->raft) && is_followed(cluster, leader)) {
            return leader;
        }
        raft_cluster_run(cluster, 1);
    }
    return NULL;
}

/* --- Requests --- */

struct driver_result raft_cluster_propose(struct raft_cluster_node *node)
{
    uint8_t bytes[16] = {0};

    put_u64(bytes, node->cluster->next_value++);
    return raft_cluster_feed(
        node,
        (struct raft_event){.kind = RAFT_EVENT_PROPOSE, .data = bytes, .size_bytes = sizeof bytes});
}

struct driver_result raft_cluster_request(
    struct raft_cluster_node *node, enum raft_event_kind kind, uint64_t member_id)
{
    return raft_cluster_feed(node, (struct raft_event){.kind = kind, .member_id = member_id});
}

struct driver_result raft_cluster_read(struct raft_cluster_node *node)
{
    const uint64_t number = node->cluster->committed_count << 32 | ++node->cluster->next_read;

    return raft_cluster_feed(
        node, (struct raft_event){.kind = RAFT_EVENT_READ, .read_number = number});
}

bool raft_cluster_all_applied(const struct raft_cluster *cluster, uint64_t index)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].up && cluster->nodes[i].applied_index < index) {
            return false;
        }
    }
    return true;
}

uint32_t raft_cluster_notes(const struct raft_cluster *cluster, enum raft_note_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < cluster->node_count; i++) {
        count += cluster->nodes[i].notes[kind];
    }
    return count;
}
