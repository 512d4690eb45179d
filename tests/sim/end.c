/*
 * When the faults have stopped: within a bounded time there is one primary, everybody streams
 * from it and votes, and an operator can move it.
 */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "ha/view.h"
#include "tests/sim/world.h"

#define RECOVERY_US   (150 * SECOND)
#define HELP_EVERY_US (20 * SECOND)
#define SWITCHOVER_US (40 * SECOND)
#define LAG_RECORDS   200

static struct sim_node *find_serving(struct world *world)
{
    struct sim_node *found = NULL;

    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        struct ha_health health;

        if (!sim_is_awake(node) || node->ended) {
            continue;
        }
        ha_health(node->ha, clock_ms(node), &health);
        if (health.primary) {
            found = node;
        }
    }
    return found;
}

/* NULL if the node is as it should be. */
static const char *what_is_wrong(const struct sim_node *node, const struct sim_node *primary)
{
    const struct pg_model *pg = &node->pg;

    if (!sim_is_awake(node) || node->ended) {
        return "is not up";
    }
    if (!raft_is_voter(node->raft)) {
        return "is no voter";
    }
    if (raft_leader(node->raft) == 0) {
        return "knows no leader";
    }
    if (ha_cluster(node->ha)->epoch != ha_cluster(primary->ha)->epoch) {
        return "is behind in the log";
    }
    if (node->witness || node == primary) {
        return NULL;
    }
    if (!pg->streaming || pg->upstream.node != primary->id) {
        return "does not stream from the primary";
    }
    if (pg->replayed + LAG_RECORDS < primary->pg.wal.count) {
        return "does not keep up";
    }
    if (!pg_model_same_history(pg, &primary->pg)) {
        return "has another history than the primary";
    }
    return node->ha->facts.record.marker_epoch == primary->ha->cluster.epoch
               ? NULL
               : "has not seen the first commit of the epoch";
}

static const char *whole_is_wrong(struct world *world, const struct sim_node **who)
{
    const struct sim_node *primary = find_serving(world);

    *who = NULL;
    if (primary == NULL) {
        return "nobody serves";
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        const char *wrong = what_is_wrong(&world->nodes[i], primary);

        if (wrong != NULL) {
            *who = &world->nodes[i];
            return wrong;
        }
    }
    return NULL;
}

/* Where nobody may be chosen because all lag too much, an operator has to say who. */
static void help(struct world *world)
{
    struct sim_node *best = NULL;
    struct sim_node *leader = NULL;

    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];

        if (!sim_is_awake(node) || node->ended) {
            continue;
        }
        if (node->ha->raft.leader && strstr(node->ha->no_grant_reason, "lags more") != NULL) {
            leader = node;
        }
        if (!node->witness && node->pg.data == PG_DATA_VALID &&
            (best == NULL || node->pg.wal.count > best->pg.wal.count)) {
            best = node;
        }
    }
    if (leader != NULL && best != NULL) {
        faults_ask(
            leader, &(struct command){
                        .kind = COMMAND_REQUEST_SET,
                        .request = {.kind = CLUSTER_REQUEST_FAILOVER, .to = best->id}
        });
    }
}

static void await_whole(struct world *world, const char *when)
{
    const uint64_t end_us = world->now_us + RECOVERY_US;
    uint64_t help_us = world->now_us + HELP_EVERY_US;
    const struct sim_node *who;
    const char *wrong = whole_is_wrong(world, &who);

    while (wrong != NULL && world->now_us < end_us) {
        world_run_to(world, world->now_us + SECOND / 4);
        if (world->now_us >= help_us) {
            help(world);
            help_us = world->now_us + HELP_EVERY_US;
        }
        wrong = whole_is_wrong(world, &who);
    }
    if (wrong != NULL) {
        sim_fail(world, who, "LIVENESS: %.0f s %s: %s", (double)RECOVERY_US / 1e6, when, wrong);
    }
}

static uint32_t count_standbys(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->node_count; i++) {
        count += world->nodes[i].witness ? 0 : 1;
    }
    return count - 1;
}

/* Its answer comes after 20 s at the latest. What has been decided by then goes on. */
static uint32_t await_outcome(struct world *world, uint64_t id, uint64_t end_us)
{
    while (world->now_us < end_us) {
        bool pending = world->reply_id != id;

        for (uint32_t i = 0; i < world->node_count; i++) {
            const struct cluster *cluster = ha_cluster(world->nodes[i].ha);
            const struct cluster_outcome *outcome = cluster_outcome(cluster, id);

            if (outcome != NULL) {
                return outcome->code;
            }
            pending |= cluster->request.id == id;
        }
        if (!pending) {
            return world->reply_code;
        }
        world_run_to(world, world->now_us + SECOND / 10);
    }
    return 0;
}

/* One request may still be pending from before; then it is asked again. */
static void switch_over(struct world *world)
{
    /* Each of some tries has its checkpoint, and writing the rest may take the same again. The
     * second may fail because the first has left the lines apart. */
    const uint64_t most_us =
        SWITCHOVER_US +
        3 * (uint64_t)(world->swarm.pg.checkpoint_ms + world->swarm.pg.stop_ms) * 1000;
    const uint64_t end_us = world->now_us + most_us;

    while (world->now_us < end_us) {
        struct sim_node *primary = find_serving(world);
        const uint64_t id = world->next_ask_id + 1;
        const uint64_t lost = world->lost; /* By a try before: its primary may have failed. */

        if (primary == NULL) {
            world_run_to(world, world->now_us + SECOND / 4);
            continue;
        }
        faults_ask(
            primary, &(struct command){
                         .kind = COMMAND_REQUEST_SET,
                         .request = {.kind = CLUSTER_REQUEST_SWITCHOVER, .from = primary->id}
        });
        if (await_outcome(world, id, end_us) == 200) {
            if (world->lost != lost) {
                sim_fail(world, primary, "LOSS: by the switchover");
            }
            return;
        }
        world_run_to(world, world->now_us + SECOND);
    }
    sim_fail(world, NULL, "LIVENESS: no switchover within %.0f s", (double)most_us / 1e6);
}

void end_check(struct world *world)
{
    /* What the last faults have begun comes to its end: a fence, say. */
    world_run_to(world, world->now_us + world->swarm.ttl_ms * 1000);
    await_whole(world, "after the faults");
    if (count_standbys(world) > 0) {
        switch_over(world);
        await_whole(world, "after the switchover");
    }
}
