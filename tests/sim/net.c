/*
 * Packets between the daemons: each may be lost, doubled, delayed and overtaken. What leaves is
 * bytes, made and read by the real codecs.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "tests/sim/world.h"

#define STORM_LOSS     15
#define STORM_DELAY_US (300 * 1000)

static bool before(const struct sim_packet *a, const struct sim_packet *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void swap(struct sim_packet *a, struct sim_packet *b)
{
    const struct sim_packet kept = *a;

    *a = *b;
    *b = kept;
}

static void push(struct world *world, struct sim_packet packet)
{
    uint32_t at = world->packet_count;

    if (at == world->packet_space) {
        world->packet_space = at == 0 ? 256 : 2 * at;
        world->packets = realloc(world->packets, world->packet_space * sizeof *world->packets);
        ASSERT(world->packets != NULL);
    }
    world->packets[world->packet_count++] = packet;
    while (at > 0 && before(&world->packets[at], &world->packets[(at - 1) / 2])) {
        swap(&world->packets[at], &world->packets[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static struct sim_packet pop(struct world *world)
{
    const struct sim_packet first = world->packets[0];
    uint32_t at = 0;

    world->packets[0] = world->packets[--world->packet_count];
    for (;;) {
        const uint32_t left = 2 * at + 1;
        uint32_t least = at;

        if (left < world->packet_count && before(&world->packets[left], &world->packets[least])) {
            least = left;
        }
        if (left + 1 < world->packet_count &&
            before(&world->packets[left + 1], &world->packets[least])) {
            least = left + 1;
        }
        if (least == at) {
            return first;
        }
        swap(&world->packets[at], &world->packets[least]);
        at = least;
    }
}

static bool is_storm(const struct world *world)
{
    return world->now_us < world->storm_us;
}

static void post(
    struct world *world, uint32_t from, uint32_t to, bool ha, const uint8_t *bytes, size_t size)
{
    const uint64_t most_us = is_storm(world) ? STORM_DELAY_US : world->swarm.delay_max_us;
    struct sim_packet packet = {
        .due_us = world->now_us + prng_between(
                                      &world->prng, world->swarm.delay_min_us,
                                      time_max(most_us, world->swarm.delay_min_us)),
        .from = from,
        .to = to,
        .ha = ha,
        .size = (uint32_t)size,
        .number = ++world->packet_number,
        .bytes = malloc(size),
    };

    ASSERT(packet.bytes != NULL);
    memcpy(packet.bytes, bytes, size);
    push(world, packet);
}

void net_send(struct sim_node *from, uint32_t to, bool ha, const uint8_t *bytes, size_t size)
{
    struct world *world = from->world;
    const uint32_t loss = is_storm(world) ? STORM_LOSS : world->calm ? 0 : world->swarm.loss;

    ASSERT(size > 0);
    if (prng_chance(&world->prng, loss)) {
        return;
    }
    post(world, from->number, to, ha, bytes, size);
    if (prng_chance(&world->prng, world->calm ? 0 : world->swarm.twice)) {
        post(world, from->number, to, ha, bytes, size);
    }
}

static void wait_until(struct world *world, struct sim_packet packet, uint64_t until_us)
{
    packet.due_us = until_us + packet.number % 1000;
    push(world, packet);
}

void net_deliver(struct world *world)
{
    struct sim_packet packet = pop(world);
    struct sim_node *to = &world->nodes[packet.to];

    if (to->up && !sim_is_frozen(to) && to->paused_us != 0) {
        wait_until(world, packet, to->paused_us); /* In the socket. */
        return;
    }
    if (world->now_us < world->stalled_us[packet.from][packet.to]) {
        wait_until(world, packet, world->stalled_us[packet.from][packet.to]);
        return;
    }
    if (to->up && !sim_is_frozen(to) && !world->blocked[packet.from][packet.to]) {
        node_received(to, &packet);
    }
    free(packet.bytes);
}

bool net_reaches(const struct world *world, uint32_t from, uint32_t to)
{
    return !world->blocked[from][to] && !world->blocked[to][from];
}

void net_block(struct world *world, uint32_t from, uint32_t to, uint64_t span_us)
{
    world->blocked[from][to] = true;
    world->blocked_us[from][to] = time_max(world->blocked_us[from][to], world->now_us + span_us);
}

void net_stall(struct world *world, uint32_t from, uint32_t to, uint64_t span_us)
{
    const uint64_t until_us = time_max(world->stalled_us[from][to], world->now_us + span_us);

    world->stalled_us[from][to] = until_us;
    world->link_bad_us[from][to] = time_max(world->link_bad_us[from][to], until_us);
}

/* What was held up arrives. */
void net_end_stalls(struct world *world)
{
    const uint32_t count = world->packet_count;

    memset(world->stalled_us, 0, sizeof world->stalled_us);
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t j = 0; j < world->node_count; j++) {
            world->link_bad_us[i][j] = time_min(world->link_bad_us[i][j], world->now_us);
        }
    }
    world->packet_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_packet packet = world->packets[i];

        packet.due_us = time_min(packet.due_us, world->now_us + packet.number % 1000);
        push(world, packet); /* To a place that was read already. */
    }
}

static void heal(struct world *world, uint32_t from, uint32_t to)
{
    struct sim_node *node = &world->nodes[from];

    world->blocked[from][to] = false;
    world->link_bad_us[from][to] = time_max(world->link_bad_us[from][to], world->now_us);
    trace(world, node, "reaches %s again", world->nodes[to].name);
    if (sim_is_awake(node) && net_reaches(world, from, to)) {
        node_raft_event(
            node,
            (struct raft_event){.kind = RAFT_EVENT_PEER_FOUND, .member_id = world->nodes[to].id},
            NULL);
    }
}

void net_heal(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t j = 0; j < world->node_count; j++) {
            if (world->blocked[i][j] && world->now_us >= world->blocked_us[i][j]) {
                heal(world, i, j);
            }
        }
    }
}

void net_clear(struct world *world)
{
    while (world->packet_count > 0) {
        free(world->packets[--world->packet_count].bytes);
    }
    free(world->packets);
    world->packets = NULL;
    world->packet_space = 0;
}
