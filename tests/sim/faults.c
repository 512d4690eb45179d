/*
 * What goes wrong, and what operators do. Never so much that nothing could be expected any more:
 * of the stores that vote at most one is lost at a time, and one good data directory is left.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "tests/sim/world.h"

#define REMOVAL_US   (21 * SECOND) /* The patience of who asked for one. */
#define WALL_STEP_MS UINT64_C(3600000)

const char *fault_name(enum sim_fault fault)
{
    static const char *const names[] = {
        [SIM_FAULT_ISOLATE] = "isolate",
        [SIM_FAULT_ONE_WAY] = "one way",
        [SIM_FAULT_SPLIT] = "split",
        [SIM_FAULT_NO_WITNESS] = "no witness",
        [SIM_FAULT_FLAP] = "flap",
        [SIM_FAULT_STORM] = "storm",
        [SIM_FAULT_STALL] = "stall",
        [SIM_FAULT_KILL_DAEMON] = "kill daemon",
        [SIM_FAULT_PAUSE_DAEMON] = "pause daemon",
        [SIM_FAULT_CRASH_NODE] = "crash node",
        [SIM_FAULT_POWER_CUT] = "power cut",
        [SIM_FAULT_SUSPEND] = "suspend",
        [SIM_FAULT_DISK_SLOW] = "disk slow",
        [SIM_FAULT_DISK_STUCK] = "disk stuck",
        [SIM_FAULT_DISK_FAILS] = "disk fails",
        [SIM_FAULT_WIPE_STORE] = "wipe store",
        [SIM_FAULT_ROLL_BACK_STORE] = "roll back store",
        [SIM_FAULT_ROT] = "store rots",
        [SIM_FAULT_ALL_DISKS_STUCK] = "all disks stuck",
        [SIM_FAULT_PG_CRASH] = "PostgreSQL crashes",
        [SIM_FAULT_PG_POSTMASTER] = "postmaster killed",
        [SIM_FAULT_PG_SQL_STUCK] = "SQL stuck",
        [SIM_FAULT_PG_REPLAY_STUCK] = "replay stuck",
        [SIM_FAULT_PG_NO_START] = "PostgreSQL does not start",
        [SIM_FAULT_PG_NO_STOP] = "PostgreSQL does not stop",
        [SIM_FAULT_PG_NO_PROMOTE] = "PostgreSQL cannot be promoted",
        [SIM_FAULT_PG_WIPE] = "data directory wiped",
        [SIM_FAULT_PG_SWAP] = "grantee's data directory swapped",
        [SIM_FAULT_PG_STRANGE] = "another cluster's data directory",
        [SIM_FAULT_GUARD_PAUSE] = "guard stopped",
        [SIM_FAULT_GUARD_KILL] = "guard killed",
        [SIM_FAULT_DRIFT] = "drift",
        [SIM_FAULT_WALL_CLOCK] = "wall clock set",
        [SIM_FAULT_SWITCHOVER] = "switchover",
        [SIM_FAULT_FAILOVER] = "failover",
        [SIM_FAULT_RESTART] = "restart",
        [SIM_FAULT_REINIT] = "reinit",
        [SIM_FAULT_LEAVE] = "leave",
        [SIM_FAULT_CONFIG] = "config",
        [SIM_FAULT_REMOVE_MEMBER] = "remove member",
    };

    ASSERT(fault < SIM_FAULTS);
    return names[fault];
}

static uint64_t span(struct world *world)
{
    return prng_between(&world->prng, SECOND / 20, world->swarm.fault_span_us);
}

static struct sim_node *pick(struct world *world)
{
    return &world->nodes[prng_between(&world->prng, 0, world->node_count - 1)];
}

static struct sim_node *find_primary(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (pg_model_can_acknowledge(&world->nodes[i].pg)) {
            return &world->nodes[i];
        }
    }
    return NULL;
}

/* Half of the time the one that hurts. */
static struct sim_node *pick_victim(struct world *world)
{
    struct sim_node *primary = find_primary(world);

    return primary != NULL && prng_chance(&world->prng, 50) ? primary : pick(world);
}

/* --- Network --- */

static void isolate(struct world *world, const struct sim_node *node, uint64_t span_us)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (i != node->number) {
            net_block(world, i, node->number, span_us);
            net_block(world, node->number, i, span_us);
        }
    }
}

static void one_way(struct world *world)
{
    const uint64_t span_us = span(world);
    const struct sim_node *node = pick_victim(world);
    const bool deaf = prng_chance(&world->prng, 50);
    const bool all = prng_chance(&world->prng, 50);

    for (uint32_t i = 0; i < world->node_count; i++) {
        if (i != node->number && (all || prng_chance(&world->prng, 50))) {
            net_block(world, deaf ? i : node->number, deaf ? node->number : i, span_us);
        }
    }
}

static void split(struct world *world)
{
    const uint64_t span_us = span(world);
    const uint64_t sides = prng_next(&world->prng);

    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t j = 0; j < world->node_count; j++) {
            if ((sides >> i & 1) != (sides >> j & 1)) {
                net_block(world, i, j, span_us);
            }
        }
    }
}

static void part_from_witnesses(struct world *world, const struct sim_node *node)
{
    const uint64_t span_us = span(world);

    for (uint32_t i = 0; i < world->node_count; i++) {
        if (i != node->number && world->nodes[i].witness) {
            net_block(world, i, node->number, span_us);
            net_block(world, node->number, i, span_us);
        }
    }
}

/* Longer than a holder remembers its rounds. */
static void stall(struct world *world)
{
    const uint64_t span_us =
        prng_between(&world->prng, SECOND / 20, 8 * world->swarm.ttl_ms * 1000);
    const struct sim_node *node = pick_victim(world);
    const bool deaf = prng_chance(&world->prng, 50);
    const bool all = prng_chance(&world->prng, 50);

    for (uint32_t i = 0; i < world->node_count; i++) {
        if (i != node->number && (all || prng_chance(&world->prng, 50))) {
            net_stall(world, deaf ? i : node->number, deaf ? node->number : i, span_us);
        }
    }
}

static void begin_flap(struct world *world)
{
    const struct sim_node *node = pick_victim(world);

    world->flap.from = node->number;
    world->flap.to = (node->number + 1) % world->node_count;
    world->flap.until_us = world->now_us + 2 * span(world);
    world->flap.next_us = world->now_us;
}

static void flap(struct world *world)
{
    const uint64_t beat_us = prng_between(&world->prng, SECOND / 20, SECOND / 3);

    world->flap.next_us = world->now_us + 2 * beat_us;
    if (world->now_us >= world->flap.until_us) {
        world->flap.next_us = TIME_NEVER;
        return;
    }
    net_block(world, world->flap.from, world->flap.to, beat_us);
    net_block(world, world->flap.to, world->flap.from, beat_us);
}

/* --- Daemons and machines --- */

static void suspend(struct sim_node *node, uint64_t *until_us, const char *what)
{
    if (sim_is_frozen(node) || node->paused_us != 0 || !node->up) {
        return;
    }
    *until_us = node->world->now_us + span(node->world);
    node->disturbed_us = *until_us;
    trace(
        node->world, node, "%s for %.3f s", what, (double)(*until_us - node->world->now_us) / 1e6);
}

static void power_cut(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].powered) {
            node_power_off(&world->nodes[i], span(world));
        }
    }
}

/* --- Stores --- */

/* One store may be lost: all others that should vote do, and they are enough. */
static bool may_damage(const struct sim_node *node)
{
    const struct world *world = node->world;
    uint32_t voters = 0;

    if (world->node_count < 3 || world->now_us < world->removal_us) {
        return false;
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *other = &world->nodes[i];
        const struct raft_member *member;

        if (other->damaged || !other->up || sim_is_frozen(other) || !raft_is_voter(other->raft)) {
            return false;
        }
        member = raft_config_find(raft_config_committed(other->raft), node->id);
        if (member == NULL || member->kind != RAFT_MEMBER_VOTER ||
            raft_config_committed(other->raft)->index != raft_config(other->raft)->index) {
            return false;
        }
        voters++;
    }
    return voters >= 3;
}

static void wipe_store(struct sim_node *node)
{
    if (may_damage(node)) {
        trace(node->world, node, "its store is wiped");
        node->damaged = true;
        node->start_over = true;
        if (prng_chance(&node->world->prng, 50)) {
            node->mark = (struct raft_memory){0};
        }
        node_stop(node, span(node->world));
    }
}

/* All the others will hear what is said to them, and remember what they have heard. */
static bool is_quiet(const struct world *world)
{
    bool quiet = world->swarm.loss == 0 && world->now_us >= world->storm_us &&
                 (world->flap.next_us == 0 || world->flap.next_us == TIME_NEVER);

    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *node = &world->nodes[i];

        quiet = quiet && sim_is_awake(node) && !node->ended && !node->disk_fails &&
                node->disk_stuck_us == 0;
        for (uint32_t j = 0; j < world->node_count; j++) {
            quiet = quiet && !world->blocked[i][j] && world->now_us >= world->stalled_us[i][j];
        }
    }
    return quiet;
}

/* A machine that is restored as a whole brings its old mark along. Only its peers can tell, and
 * whoever restores one has to let it reach them: no fault comes between. */
static bool is_restoring(struct world *world)
{
    const struct sim_node *node = world->restoring;

    if (node != NULL && node->up &&
        (raft_position_checked(node->raft) ||
         raft_incarnation(node->raft) != node->old_disk.hard.incarnation)) {
        world->restoring = NULL;
    }
    return world->restoring != NULL;
}

static void roll_back_store(struct sim_node *node)
{
    const bool whole = is_quiet(node->world) && prng_chance(&node->world->prng, 50);

    if (may_damage(node) && node->old_disk.hard.cluster_id == node->disk.hard.cluster_id &&
        node->old_disk.hard.incarnation == node->disk.hard.incarnation) {
        trace(
            node->world, node, "its %s is rolled back to index %llu", whole ? "machine" : "store",
            (unsigned long long)disk_last(&node->old_disk));
        node->damaged = true;
        node_stop(node, span(node->world));
        disk_copy(&node->disk, &node->old_disk);
        if (whole) {
            node->mark = node->old_mark;
            node->world->restoring = node;
        }
    }
}

static void rot_store(struct sim_node *node)
{
    if (may_damage(node)) {
        trace(node->world, node, "its store rots");
        node->damaged = node->disk.rotten = true;
        if (prng_chance(&node->world->prng, 50)) {
            node_stop(node, span(node->world)); /* Else it runs on until something else ends it. */
        }
    }
}

static void all_disks_stuck(struct world *world)
{
    const uint64_t until_us = world->now_us + 4 * world->swarm.ttl_ms * 1000;
    const struct sim_node *primary = find_primary(world);

    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];

        node->disk_stuck_us = until_us;
        if (sim_is_awake(node) && raft_role(node->raft) == RAFT_LEADER && node != primary &&
            world->node_count > 2) {
            node_stop(node, until_us - world->now_us);
        }
    }
}

/* --- PostgreSQL --- */

static void spoil(struct sim_node *node, enum pg_model_defect defect)
{
    const uint64_t now_ms = clock_ms(node);

    pg_model_spoil(&node->pg, defect, now_ms + span(node->world) / 1000);
    if (defect == PG_MODEL_NO_START && prng_chance(&node->world->prng, 50)) {
        pg_model_crash_server(&node->pg, now_ms);
    }
}

static bool another_serves(const struct sim_node *node)
{
    const struct world *world = node->world;
    uint32_t good = 0;

    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct pg_model *pg = &world->nodes[i].pg;

        good += &world->nodes[i] != node && !world->nodes[i].witness && pg->data == PG_DATA_VALID &&
                        pg_model_can_acknowledge(pg)
                    ? 1
                    : 0;
    }
    return good > 0;
}

static void wipe_data(struct sim_node *node, uint64_t off_us)
{
    node_power_off(node, off_us);
    trace(node->world, node, "its data directory is lost");
    pg_model_wipe(&node->pg);
    node->strange = false;
}

static void wipe_standby(struct sim_node *node, bool strange)
{
    if (!node->powered || node->witness || !another_serves(node)) {
        return;
    }
    wipe_data(node, span(node->world));
    if (strange) {
        trace(node->world, node, "has another cluster's data directory now");
        pg_model_replace(&node->pg);
        node->strange = true;
    }
}

static const struct sim_node *find_twin(const struct sim_node *node)
{
    const struct world *world = node->world;

    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *other = &world->nodes[i];

        if (other != node && other->powered && other->pg.data == PG_DATA_VALID && !other->strange &&
            other->pg.wal.count >= node->pg.wal.count &&
            pg_model_same_history(&other->pg, &node->pg)) {
            return other;
        }
    }
    return NULL;
}

/* A grantee that has not used its grant comes back with another copy of the data. */
static void swap_grantee(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        const struct sim_node *twin;
        const struct cluster *cluster;

        if (!sim_is_awake(node) || node->ended || node->pg.data != PG_DATA_VALID) {
            continue;
        }
        cluster = ha_cluster(node->ha);
        if (cluster->phase != CLUSTER_GRANTED || cluster->last.node != node->id ||
            node->pg.guard.armed_epoch != 0) {
            continue;
        }
        twin = find_twin(node);
        if (twin != NULL) {
            wipe_data(node, SECOND / 20);
            if (prng_chance(&world->prng, 50)) {
                pg_model_copy(&node->pg, &twin->pg); /* Else it comes back empty. */
            }
            world->swap_wanted = false;
            return;
        }
    }
}

static void pause_guard(struct sim_node *node)
{
    const uint64_t span_us = span(node->world);

    pg_model_pause_guard(&node->pg, clock_ms(node) + span_us / 1000 + 1);
    node->disturbed_us = time_max(node->disturbed_us, node->world->now_us + span_us);
}

/* --- Operators --- */

void faults_ask(struct sim_node *node, struct command *command)
{
    const uint64_t id = ++node->world->next_ask_id;

    command->id = id;
    if (command->kind == COMMAND_REQUEST_SET) {
        command->request.id = id;
    }
    trace(node->world, node, "is asked for: %s", command_name(command->kind));
    node_ha_event(node, (struct ha_event){.kind = HA_EVENT_ASK, .ask = command});
}

static void ask_for_primary(struct world *world, enum cluster_request_kind kind)
{
    struct sim_node *node = pick(world);
    const struct sim_node *to = pick(world);
    struct command command = {.kind = COMMAND_REQUEST_SET, .request = {.kind = kind}};

    if (!sim_is_awake(node) || node->ended || to->witness) {
        return;
    }
    command.request.from =
        kind == CLUSTER_REQUEST_SWITCHOVER ? cluster_grantee(ha_cluster(node->ha)) : 0;
    if (kind == CLUSTER_REQUEST_FAILOVER || prng_chance(&world->prng, 50)) {
        command.request.to = to->id;
    }
    if (kind == CLUSTER_REQUEST_FAILOVER || command.request.from != 0) {
        faults_ask(node, &command);
    }
}

static void change_config(struct world *world)
{
    static const uint64_t ttls[] = {1000, 2000, 3000};
    struct sim_node *node = pick(world);
    const uint64_t ttl_ms = ttls[prng_between(&world->prng, 0, 2)];
    char text[SIM_CONFIG_BYTES];
    struct command command = {.kind = COMMAND_CONFIG_SET};

    if (!sim_is_awake(node) || node->ended || ha_cluster(node->ha)->config_version == 0) {
        return;
    }
    world_config(world, ttl_ms, prng_chance(&world->prng, 50), text);
    if (prng_chance(&world->prng, 30)) {
        /* One hears of it late, perhaps from the primary's rounds first. */
        isolate(world, pick(world), 6 * SECOND);
        world->storm_us = world->now_us + 7 * SECOND;
    }
    command.config = text;
    command.config_size = (uint32_t)strlen(text);
    command.config_version = ha_cluster(node->ha)->config_version;
    faults_ask(node, &command);
}

static void remove_member(struct world *world)
{
    struct sim_node *node = pick(world);
    struct sim_node *asked = pick(world);

    if (may_damage(node) && sim_is_awake(asked) && asked != node && !asked->ended) {
        node->damaged = true;
        faults_ask(asked, &(struct command){.kind = COMMAND_MEMBER_REMOVE, .node = node->id});
        /* Whoever is removed is emptied, and comes again when nobody asks for that any more. */
        node->start_over = true;
        world->removal_us = world->now_us + REMOVAL_US;
        node_stop(node, REMOVAL_US + span(world));
    }
}

static void ask_local(struct sim_node *node, enum ha_local_kind kind)
{
    if (sim_is_awake(node) && !node->ended && !node->witness) {
        trace(node->world, node, "local request %d", (int)kind);
        node_ha_event(
            node, (struct ha_event){
                      .kind = HA_EVENT_LOCAL,
                      .local = &(struct ha_local){.kind = kind, .id = ++node->world->next_ask_id},
        });
    }
}

/* --- One fault --- */

static void inject(struct world *world, enum sim_fault fault)
{
    struct sim_node *node = pick_victim(world);
    const uint64_t now_ms = clock_ms(node);
    const bool runs = !node->witness && !sim_is_frozen(node);

    switch (fault) {
    case SIM_FAULT_ISOLATE:
        isolate(world, node, span(world));
        return;
    case SIM_FAULT_ONE_WAY:
        one_way(world);
        return;
    case SIM_FAULT_SPLIT:
        split(world);
        return;
    case SIM_FAULT_NO_WITNESS:
        part_from_witnesses(world, node);
        return;
    case SIM_FAULT_FLAP:
        begin_flap(world);
        return;
    case SIM_FAULT_STORM:
        world->storm_us = world->now_us + span(world);
        return;
    case SIM_FAULT_STALL:
        stall(world);
        return;
    case SIM_FAULT_KILL_DAEMON:
        if (node->up) {
            node_stop(node, span(world) / 2);
        }
        return;
    case SIM_FAULT_PAUSE_DAEMON:
        suspend(node, &node->paused_us, "daemon is stopped");
        return;
    case SIM_FAULT_CRASH_NODE:
        if (node->powered) {
            node_power_off(node, span(world));
        }
        return;
    case SIM_FAULT_POWER_CUT:
        power_cut(world);
        return;
    case SIM_FAULT_SUSPEND:
        suspend(node, &node->suspended_us, "is suspended");
        return;
    case SIM_FAULT_DISK_SLOW:
        node->disk_slow_us = world->now_us + span(world);
        return;
    case SIM_FAULT_DISK_STUCK:
        node->disk_stuck_us = world->now_us + span(world);
        return;
    case SIM_FAULT_DISK_FAILS:
        node->disk_fails = node->up;
        return;
    case SIM_FAULT_WIPE_STORE:
        wipe_store(node);
        return;
    case SIM_FAULT_ROLL_BACK_STORE:
        roll_back_store(node);
        return;
    case SIM_FAULT_ROT:
        rot_store(node);
        return;
    case SIM_FAULT_ALL_DISKS_STUCK:
        all_disks_stuck(world);
        return;
    case SIM_FAULT_PG_CRASH:
        if (runs) {
            pg_model_crash_server(&node->pg, now_ms);
        }
        return;
    case SIM_FAULT_PG_POSTMASTER:
        if (runs) {
            pg_model_kill_postmaster(&node->pg, now_ms);
        }
        return;
    case SIM_FAULT_PG_SQL_STUCK:
        pg_model_stick_sql(&node->pg, now_ms + span(world) / 1000);
        return;
    case SIM_FAULT_PG_REPLAY_STUCK:
        pg_model_stick_replay(&node->pg, now_ms + span(world) / 1000);
        return;
    case SIM_FAULT_PG_NO_START:
        if (runs) {
            spoil(node, PG_MODEL_NO_START);
        }
        return;
    case SIM_FAULT_PG_NO_STOP:
        if (runs) {
            spoil(node, PG_MODEL_NO_STOP);
        }
        return;
    case SIM_FAULT_PG_NO_PROMOTE:
        if (runs) {
            spoil(node, PG_MODEL_NO_PROMOTE);
        }
        return;
    case SIM_FAULT_PG_WIPE:
        wipe_standby(pick(world), false);
        return;
    case SIM_FAULT_PG_SWAP:
        world->swap_wanted = true;
        return;
    case SIM_FAULT_PG_STRANGE:
        wipe_standby(pick(world), true);
        return;
    case SIM_FAULT_GUARD_PAUSE:
        if (runs) {
            pause_guard(node);
        }
        return;
    case SIM_FAULT_GUARD_KILL:
        if (runs) {
            pg_model_kill_guard(&node->pg, now_ms);
        }
        return;
    case SIM_FAULT_DRIFT:
        clock_set_drift(
            node, prng_chance(&world->prng, 50) ? (int32_t)world->swarm.drift_ppm
                                                : -(int32_t)world->swarm.drift_ppm);
        return;
    case SIM_FAULT_WALL_CLOCK:
        node->wall_ms =
            SIM_WALL_MS + prng_between(&world->prng, 0, 2 * WALL_STEP_MS) - WALL_STEP_MS;
        return;
    case SIM_FAULT_SWITCHOVER:
        ask_for_primary(world, CLUSTER_REQUEST_SWITCHOVER);
        return;
    case SIM_FAULT_FAILOVER:
        ask_for_primary(world, CLUSTER_REQUEST_FAILOVER);
        return;
    case SIM_FAULT_RESTART:
        ask_local(node, HA_LOCAL_RESTART);
        return;
    case SIM_FAULT_REINIT:
        ask_local(pick(world), HA_LOCAL_REINIT);
        return;
    case SIM_FAULT_LEAVE:
        ask_local(node, HA_LOCAL_LEAVE);
        return;
    case SIM_FAULT_CONFIG:
        change_config(world);
        return;
    case SIM_FAULT_REMOVE_MEMBER:
        remove_member(world);
        return;
    case SIM_FAULTS:
        break;
    }
    UNREACHABLE();
}

void faults_inject(struct world *world)
{
    uint64_t total = 0;
    uint64_t at;

    for (uint32_t i = 0; i < SIM_FAULTS; i++) {
        total += world->swarm.fault_weight[i];
    }
    if (total == 0) {
        return;
    }
    at = prng_between(&world->prng, 1, total);
    for (uint32_t i = 0; i < SIM_FAULTS; i++) {
        if (at <= world->swarm.fault_weight[i]) {
            coverage->faults[i]++;
            trace(world, NULL, "*** %s", fault_name((enum sim_fault)i));
            inject(world, (enum sim_fault)i);
            return;
        }
        at -= world->swarm.fault_weight[i];
    }
}

/* --- Their time --- */

static void see_repaired(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];

        if (node->damaged && !node->disk.rotten && sim_is_awake(node) && !node->ended &&
            raft_is_voter(node->raft) && raft_position_checked(node->raft) &&
            raft_applied_index(node->raft) > 0) {
            node->damaged = false;
        }
    }
}

void faults_tick(struct world *world)
{
    net_heal(world);
    if (world->flap.next_us != 0 && world->now_us >= world->flap.next_us) {
        flap(world);
    }
    if (is_restoring(world)) {
        world->next_fault_us = time_max(world->next_fault_us, world->now_us + SECOND / 20);
        return;
    }
    if (world->swap_wanted) {
        swap_grantee(world);
    }
    if (world->now_us < world->next_fault_us) {
        return;
    }
    see_repaired(world);
    faults_inject(world);
    world->next_fault_us =
        world->now_us + prng_between(&world->prng, 1, 2 * world->swarm.fault_every_us);
}

uint64_t faults_wake_us(const struct world *world)
{
    uint64_t wake_us = world->next_fault_us;

    if (world->flap.next_us != 0) {
        wake_us = time_min(wake_us, world->flap.next_us);
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t j = 0; j < world->node_count; j++) {
            if (world->blocked[i][j]) {
                wake_us = time_min(wake_us, world->blocked_us[i][j]);
            }
        }
    }
    return wake_us;
}

static void make_well(struct sim_node *node)
{
    struct world *world = node->world;

    node->disk_fails = false;
    node->disk_stuck_us = node->disk_slow_us = 0;
    node->power_us = time_min(node->power_us, world->now_us + SECOND);
    node->start_us =
        time_min(node->start_us, time_max(world->now_us + 2 * SECOND, world->removal_us));
    if (node->suspended_us != 0) {
        node->suspended_us = world->now_us + 1;
    }
    if (node->paused_us != 0) {
        node->paused_us = world->now_us + 1;
    }
    pg_model_stick_sql(&node->pg, 0);
    pg_model_stick_replay(&node->pg, 0);
    pg_model_pause_guard(&node->pg, 0);
    for (int i = 0; i < PG_MODEL_DEFECTS; i++) {
        pg_model_spoil(&node->pg, (enum pg_model_defect)i, 0);
    }
}

void faults_end(struct world *world)
{
    struct pg_model_weather *pg = &world->swarm.pg;

    trace(world, NULL, "*** the faults end");
    world->calm = true;
    world->next_fault_us = TIME_NEVER;
    world->flap.next_us = TIME_NEVER;
    world->storm_us = 0;
    world->swap_wanted = false;
    for (uint32_t i = 0; i < world->node_count; i++) {
        make_well(&world->nodes[i]);
        for (uint32_t j = 0; j < world->node_count; j++) {
            world->blocked_us[i][j] = world->now_us;
        }
    }
    net_heal(world);
    net_end_stalls(world);
    pg->fail_start = pg->fail_promote = pg->fail_copy = pg->fail_cut = pg->hang_stop = 0;
    pg->replay_records = pg->replay_records < 20 ? 20 : pg->replay_records;
    world->swarm.disk_max_us = time_min(world->swarm.disk_max_us, 20000);
    world->swarm.disk_min_us = time_min(world->swarm.disk_min_us, 5000);
}
