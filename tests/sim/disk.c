/*
 * The store of one node: writes end in order after a while, a crash forgets those that have not
 * ended but for a random number of the oldest.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "tests/sim/world.h"

static void *copy_bytes(const void *data, size_t size)
{
    void *copy = malloc(size > 0 ? size : 1);

    ASSERT(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

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

void disk_init(struct sim_disk *disk, uint64_t incarnation)
{
    *disk = (struct sim_disk){.hard = {.incarnation = incarnation}, .first_index = 1};
}

void disk_deinit(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->entry_count; i++) {
        free_data(disk->entries[i].data);
    }
    free_data(disk->snapshot.data);
    disk->entry_count = 0;
    disk->snapshot.data = NULL;
}

void disk_copy(struct sim_disk *to, const struct sim_disk *from)
{
    disk_deinit(to);
    *to = *from;
    to->snapshot.data = copy_bytes(from->snapshot.data, from->snapshot.size_bytes);
    for (uint32_t i = 0; i < from->entry_count; i++) {
        to->entries[i] = copy_entry(from->entries[i]);
    }
}

uint64_t disk_last(const struct sim_disk *disk)
{
    return disk->first_index + disk->entry_count - 1;
}

static void truncate(struct sim_disk *disk, uint64_t from_index)
{
    while (disk->entry_count > 0 && disk_last(disk) >= from_index) {
        free_data(disk->entries[--disk->entry_count].data);
    }
}

static void drop_front(struct sim_disk *disk, uint64_t keep_from)
{
    uint32_t count = 0;

    while (count < disk->entry_count && disk->first_index + count < keep_from) {
        free_data(disk->entries[count].data);
        count++;
    }
    disk->entry_count -= count;
    memmove(disk->entries, &disk->entries[count], disk->entry_count * sizeof *disk->entries);
    disk->first_index = time_max(disk->first_index + count, disk->entry_count == 0 ? keep_from : 0);
}

/* Takes over what the write owns. */
static void apply(struct sim_node *node, struct sim_write *write)
{
    struct sim_disk *disk = &node->disk;
    const struct raft_persist *persist = &write->persist;

    if (persist->hard_changed) {
        CHECK(node, persist->hard.term >= disk->hard.term, "a term on disk falls");
        CHECK(
            node,
            persist->hard.term > disk->hard.term || disk->hard.voted_for == 0 ||
                disk->hard.voted_for == persist->hard.voted_for,
            "a vote on disk changes within its term");
        disk->hard = persist->hard;
    }
    if (persist->snapshot_changed) {
        free_data(disk->snapshot.data);
        disk->snapshot = write->snapshot;
        write->snapshot.data = NULL;
    }
    if (persist->truncate_from != 0) {
        truncate(disk, persist->truncate_from);
    }
    for (uint32_t i = 0; i < write->entry_count; i++) {
        CHECK(node, write->entries[i].index == disk_last(disk) + 1, "the log on disk gets a gap");
        disk->entries[disk->entry_count++] = write->entries[i];
        write->entries[i].data = NULL;
    }
    if (persist->keep_from != 0) {
        drop_front(disk, persist->keep_from);
    }
}

static void destroy(struct sim_write *write)
{
    for (uint32_t i = 0; i < write->entry_count; i++) {
        free_data(write->entries[i].data);
    }
    free(write->entries);
    free_data(write->snapshot.data);
    free(write);
}

static struct sim_write *pop(struct sim_node *node)
{
    struct sim_write *write = node->writes;

    node->writes = write->next;
    return write;
}

static void submit(struct store *store, const struct raft *raft, const struct raft_persist *persist)
{
    struct sim_node *node = container_of(store, struct sim_node, store);
    struct world *world = node->world;
    const uint64_t slow = world->now_us < node->disk_slow_us ? 50 : 1;
    struct sim_write *write = copy_bytes(&(struct sim_write){.persist = *persist}, sizeof *write);
    struct sim_write **end = &node->writes;

    if (persist->snapshot_changed) {
        write->snapshot = *raft_snapshot(raft);
        write->snapshot.data = copy_bytes(write->snapshot.data, write->snapshot.size_bytes);
    }
    if (persist->first_index != 0) {
        write->entry_count = (uint32_t)(persist->last_index - persist->first_index + 1);
        write->entries = malloc(write->entry_count * sizeof *write->entries);
        ASSERT(write->entries != NULL);
        for (uint32_t i = 0; i < write->entry_count; i++) {
            write->entries[i] = copy_entry(raft_entry_get(raft, persist->first_index + i));
        }
    }
    write->due_us =
        world->now_us +
        slow * prng_between(&world->prng, world->swarm.disk_min_us, world->swarm.disk_max_us);
    while (*end != NULL) {
        write->due_us = time_max(write->due_us, (*end)->due_us);
        end = &(*end)->next;
    }
    *end = write;
}

const struct store_ops disk_store_ops = {.submit = submit};

void disk_finish_write(struct sim_node *node)
{
    struct sim_write *write = pop(node);

    trace(node->world, node, "on disk: %llu", (unsigned long long)write->persist.number);
    apply(node, write);
    node->mark = write->persist.mark;
    driver_persisted(&node->driver, write->persist.number, clock_ms(node));
    destroy(write);
}

void disk_drop_writes(struct sim_node *node, bool some_survive)
{
    const bool is_marked = prng_chance(&node->world->prng, 50); /* Or cut off just before. */

    while (node->writes != NULL && some_survive && node->disk_stuck_us == 0 &&
           prng_chance(&node->world->prng, 50)) {
        struct sim_write *write = pop(node);

        apply(node, write);
        if (is_marked) {
            node->mark = write->persist.mark;
        }
        destroy(write);
    }
    while (node->writes != NULL) {
        destroy(pop(node));
    }
}

/* The epoch is in the log of what it runs now, on disk. */
bool disk_holds(const struct sim_node *node, uint64_t epoch)
{
    const struct ha *ha;

    if (!node->up) {
        return true; /* It was; what it had told then is not looked up here. */
    }
    ha = node->ha;
    if (ha->cluster.epoch >= epoch) {
        return true;
    }
    for (uint32_t i = 0; i < ha->tail_count && ha->tail[i].index <= ha->durable_index; i++) {
        if (ha->tail[i].epoch >= epoch) {
            return true;
        }
    }
    return false;
}
