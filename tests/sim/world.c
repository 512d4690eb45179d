/*
 * True time and what is due next. Each turn one thing happens; then everything that must always
 * hold is looked at.
 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"

#define COPY_EVERY_US (7 * SECOND)

/* --- Clocks --- */

static uint64_t clock_us(const struct sim_node *node)
{
    const struct sim_clock *clock = &node->clock;
    const int64_t span = (int64_t)(node->world->now_us - clock->from_us);

    return clock->local_us + (uint64_t)(span + span * clock->ppm / 1000000);
}

uint64_t clock_ms(const struct sim_node *node)
{
    return clock_us(node) / 1000;
}

uint64_t clock_when_us(const struct sim_node *node, uint64_t ms)
{
    const struct sim_clock *clock = &node->clock;
    const uint64_t now_us = node->world->now_us;
    int64_t ahead;

    if (ms > TIME_NEVER / 2000) {
        return TIME_NEVER;
    }
    if (ms * 1000 <= clock_us(node)) {
        return now_us;
    }
    ahead = (int64_t)(ms * 1000 - clock->local_us);
    return time_max(
        clock->from_us + (uint64_t)(ahead * 1000000 / (1000000 + clock->ppm)) + 1, now_us);
}

void clock_set_drift(struct sim_node *node, int32_t ppm)
{
    node->clock.local_us = clock_us(node);
    node->clock.from_us = node->world->now_us;
    node->clock.ppm = ppm;
}

/* --- Making one --- */

struct sim_node *sim_find(struct world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].id == id) {
            return &world->nodes[i];
        }
    }
    return NULL;
}

static int32_t draw_drift(struct world *world)
{
    return (int32_t)prng_between(&world->prng, 0, 2 * (uint64_t)world->swarm.drift_ppm) -
           (int32_t)world->swarm.drift_ppm;
}

static void make_node(struct world *world, uint32_t number)
{
    struct sim_node *node = &world->nodes[number];

    node->world = world;
    node->number = number;
    node->witness = (world->swarm.witness_mask >> number & 1) != 0;
    (void)snprintf(node->name, sizeof node->name, "%c%u", node->witness ? 'w' : 'n', number);
    (void)snprintf(node->address, sizeof node->address, "%s:7000", node->name);
    node->clock = (struct sim_clock){
        .from_us = world->now_us,
        .local_us = prng_between(&world->prng, 1, 1000) * SECOND,
    };
    node->clock.ppm = draw_drift(world); /* Behind the other draw, whatever the compiler likes. */
    node_init(node);
    node->start_us = prng_between(&world->prng, 0, SECOND / 2);
    if ((world->swarm.late_mask >> number & 1) != 0) {
        node->start_us = prng_between(&world->prng, 3, 15) * SECOND;
    }
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);

    ASSERT(memory != NULL);
    return memory;
}

void world_config(const struct world *world, uint64_t ttl_ms, bool failsafe, char *text)
{
    const int used = snprintf(
        text, SIM_CONFIG_BYTES, SIM_CONFIG_READ, (unsigned long long)ttl_ms,
        (unsigned long long)world->swarm.maximum_lag_bytes,
        (unsigned long long)world->swarm.primary_start_timeout_ms,
        (unsigned long long)world->swarm.primary_stop_timeout_ms, failsafe ? 1U : 0U,
        world->swarm.use_pg_rewind ? 1U : 0U);

    ASSERT(used > 0 && used < SIM_CONFIG_BYTES);
}

struct world *world_create(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);

    ASSERT(world != NULL);
    world->seed = seed;
    prng_init(&world->prng, seed);
    swarm_draw(&world->swarm, seed);
    world->frame = allocate(SIM_FRAME_BYTES);
    world->raft_message = allocate(sizeof *world->raft_message);
    world->ha_message = allocate(sizeof *world->ha_message);
    world->config_text = allocate(CLUSTER_CONFIG_SIZE);
    world->message_text = allocate(CLUSTER_CONFIG_SIZE);
    world->restored = allocate(sizeof *world->restored);
    world_config(world, world->swarm.ttl_ms, world->swarm.failsafe_mode, world->first_config);
    for (uint32_t i = 0; i < world->swarm.node_count; i++) {
        world->node_count++;
        make_node(world, i);
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t j = 0; j < world->node_count; j++) {
            ASSERT(i == j || world->nodes[i].id != world->nodes[j].id);
        }
    }
    return world;
}

/* --- What passes by itself --- */

static bool is_over(uint64_t *until_us, uint64_t now_us)
{
    if (*until_us == 0 || now_us < *until_us) {
        return false;
    }
    *until_us = 0;
    return true;
}

static void wake_node(struct sim_node *node)
{
    struct world *world = node->world;

    if (!node->powered && world->now_us >= node->power_us) {
        node->powered = true;
        node->disturbed_us = world->now_us;
        trace(world, node, "has power again");
    }
    if (is_over(&node->suspended_us, world->now_us) || is_over(&node->paused_us, world->now_us)) {
        node->disturbed_us = world->now_us;
        trace(world, node, "goes on");
    }
    (void)is_over(&node->disk_stuck_us, world->now_us);
    if (!node->up && !sim_is_frozen(node) && world->now_us >= node->start_us) {
        node_start(node);
    }
}

static bool disk_is_due(const struct sim_node *node)
{
    return node->up && !sim_is_frozen(node) && node->paused_us == 0 && node->writes != NULL &&
           node->disk_stuck_us == 0 && node->world->now_us >= node->writes->due_us;
}

static void run_node(struct sim_node *node)
{
    wake_node(node);
    node_tick(node);
    if (!disk_is_due(node) || node->ended) {
        return;
    }
    if (node->disk_fails) {
        trace(node->world, node, "a sync fails: the process ends without an answer");
        node_stop(node, SECOND);
        return;
    }
    node_persisted(node);
    if (node->ended) {
        node_stop(node, SECOND / 10);
    }
}

static uint64_t node_due_us(const struct sim_node *node)
{
    uint64_t due_us = node_wake_us(node);

    if (!node->powered) {
        return node->power_us;
    }
    if (node->suspended_us != 0) {
        return node->suspended_us;
    }
    if (node->paused_us != 0) {
        due_us = time_min(due_us, node->paused_us);
    }
    if (!node->up) {
        return time_min(due_us, node->start_us);
    }
    if (node->disk_stuck_us != 0) {
        due_us = time_min(due_us, node->disk_stuck_us);
    } else if (node->writes != NULL && node->paused_us == 0) {
        due_us = time_min(due_us, node->writes->due_us);
    }
    return due_us;
}

/* --- Clients --- */

static void commit(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        uint64_t id;

        if (node->witness || sim_is_frozen(node)) {
            continue;
        }
        id = pg_model_commit(&node->pg);
        if (id == 0 || prng_chance(&world->prng, 3)) {
            continue; /* Nobody there, or nobody heard that it was done. */
        }
        if (world->commit_count == world->commit_space) {
            world->commit_space = world->commit_space == 0 ? 1024 : 2 * world->commit_space;
            world->commits = realloc(world->commits, world->commit_space * sizeof *world->commits);
            ASSERT(world->commits != NULL);
        }
        world->commits[world->commit_count++] = (struct sim_commit){
            .id = id, .at = node->pg.wal.count - 1, .epoch = node->pg.guard.armed_epoch};
        world->acknowledged++;
    }
    world->next_client_us =
        world->now_us + prng_between(&world->prng, 1, 2 * world->swarm.client_us);
}

/* What a store may be rolled back to: where it was some seconds ago. */
static void copy_disks(struct world *world)
{
    struct sim_node *node = &world->nodes[prng_between(&world->prng, 0, world->node_count - 1)];

    world->next_copy_us = world->now_us + COPY_EVERY_US;
    if (node->disk.hard.cluster_id != 0) {
        disk_copy(&node->old_disk, &node->disk);
        node->old_mark = node->mark;
    }
}

/* --- Turns --- */

static uint64_t find_due(struct world *world, uint64_t end_us)
{
    uint64_t due_us = time_min(end_us, world->next_client_us);

    if (world->packet_count > 0) {
        due_us = time_min(due_us, world->packets[0].due_us);
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        world->nodes[i].due_us = node_due_us(&world->nodes[i]);
        due_us = time_min(due_us, world->nodes[i].due_us);
    }
    return time_min(due_us, faults_wake_us(world));
}

void world_run_one(struct world *world, uint64_t end_us)
{
    world->now_us = time_max(world->now_us, find_due(world, end_us));
    world->steps++;
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].due_us <= world->now_us) {
            run_node(&world->nodes[i]);
        }
    }
    faults_tick(world);
    if (world->packet_count > 0 && world->packets[0].due_us <= world->now_us) {
        net_deliver(world);
    }
    if (world->now_us >= world->next_client_us) {
        commit(world);
    }
    if (world->now_us >= world->next_copy_us) {
        copy_disks(world);
    }
    check_world(world);
    for (uint32_t i = 0; i < world->node_count; i++) {
        coverage_observe(&world->nodes[i]);
    }
}

void world_run_to(struct world *world, uint64_t end_us)
{
    while (world->now_us < end_us) {
        world_run_one(world, end_us);
    }
}

void world_run_faults(struct world *world)
{
    const uint64_t begin_us = prng_between(&world->prng, 2, 12) * SECOND;

    world->next_fault_us = begin_us;
    world_run_to(world, begin_us + world->swarm.faults_us);
    faults_end(world);
}
