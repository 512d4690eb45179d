/*
 * Random runs of a small cluster. Safety is checked by the cluster itself after every
 * event; here are the faults, and the demand that all is well when they have stopped.
 * SEED=n runs that one alone, TRACE=1 prints what happens.
 */
#include <stdlib.h>

#include "tests/fake/raft_cluster.h"
#include "tests/lib/test.h"

#define SEEDS 600

static uint32_t seen_notes[RAFT_NOTE_KINDS];

static void require(const struct raft_cluster *cluster, bool condition, const char *text)
{
    if (!condition) {
        fail_msg("SEED=%u: %s", (unsigned int)cluster->seed, text);
    }
}

static struct raft_cluster_node *random_node(struct raft_cluster *cluster)
{
    return &cluster->nodes[prng_between(&cluster->prng, 0, cluster->node_count - 1)];
}

static void draw_weather(struct raft_cluster *cluster)
{
    static const struct raft_cluster_weather weathers[] = {
        {0,  0,  1, 2,   1,  2  },
        {5,  5,  1, 10,  1,  5  },
        {20, 10, 1, 150, 1,  20 },
        {1,  1,  1, 5,   10, 300},
        {40, 30, 5, 400, 1,  50 },
    };

    cluster->weather = weathers[prng_between(&cluster->prng, 0, ARRAY_SIZE(weathers) - 1)];
}

static void draw_partition(struct raft_cluster *cluster)
{
    raft_cluster_heal(cluster);
    for (uint32_t from = 0; from < cluster->node_count; from++) {
        for (uint32_t to = 0; to < cluster->node_count; to++) {
            raft_cluster_block(cluster, from, to, prng_chance(&cluster->prng, 25));
        }
    }
}

/* Nobody's loss must be more than one node at a time, or what was decided may be gone. */
static bool may_lose(struct raft_cluster *cluster)
{
    struct raft_cluster_node *leader = raft_cluster_leader(cluster);

    if (leader == NULL || !raft_leader_ready(leader->raft) ||
        raft_config(leader->raft)->index > raft_commit_index(leader->raft)) {
        return false;
    }
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct raft_cluster_node *node = &cluster->nodes[i];
        const struct raft_member *member = raft_config_find(raft_config(leader->raft), node->id);

        if (!node->up || member == NULL || member->kind != RAFT_MEMBER_VOTER ||
            member->incarnation != raft_incarnation(node->raft) ||
            raft_commit_index(node->raft) == 0) { /* Nobody who could form another cluster. */
            return false;
        }
    }
    return raft_config_voter_count(raft_config(leader->raft)) >= 3;
}

/* By then all that is on a disk has been acknowledged, so its last entry tells. */
static bool holds_last_of(const struct raft_cluster_disk *old, const struct raft_cluster_disk *disk)
{
    const struct raft_entry *last = &disk->entries[disk->entry_count - 1];

    if (disk->entry_count == 0) {
        return old->snapshot.index == disk->snapshot.index;
    }
    return last->index >= old->first_index && last->index < old->first_index + old->entry_count &&
           old->entries[last->index - old->first_index].term == last->term;
}

/*
 * A machine that is rolled back as a whole is found out by the others' memory, so they have
 * to be there, and the leader has to have told them.
 */
static void roll_back_machine(struct raft_cluster *cluster, struct raft_cluster_node *node)
{
    const uint32_t before = node->notes[RAFT_NOTE_AMNESIA];
    struct raft_cluster_node *leader;
    bool shows_less;

    raft_cluster_heal(cluster);
    cluster->weather = (struct raft_cluster_weather){0, 0, 1, 2, 1, 2};
    leader = raft_cluster_run_to_leader(cluster, 20000);
    require(cluster, leader != NULL, "a leader is found");
    raft_cluster_copy_disk(node);
    if (prng_chance(&cluster->prng, 80)) {
        raft_cluster_propose(leader);
    }
    raft_cluster_run(cluster, 2000);
    if (!may_lose(cluster) || node->old_disk.hard.incarnation != raft_incarnation(node->raft)) {
        return;
    }
    shows_less = node->disk.hard.term > node->old_disk.hard.term ||
                 !holds_last_of(&node->old_disk, &node->disk);
    raft_cluster_crash(node);
    raft_cluster_roll_back(node, true);
    raft_cluster_start(node);
    raft_cluster_run(cluster, 3000);
    require(
        cluster, node->notes[RAFT_NOTE_AMNESIA] - before == shows_less,
        "a store that shows less, and only such, is found out");
}

/* The mark beside it tells at once, whoever is there. */
static void roll_back_store(struct raft_cluster *cluster, struct raft_cluster_node *node)
{
    const uint32_t before = node->notes[RAFT_NOTE_AMNESIA];
    const struct raft_hard *old = &node->old_disk.hard;

    if (old->cluster_id == 0 || old->incarnation != raft_incarnation(node->raft)) {
        return;
    }
    raft_cluster_crash(node);
    raft_cluster_roll_back(node, false);
    raft_cluster_start(node);
    raft_cluster_run(cluster, 1);
    require(
        cluster, node->mark.term <= old->term || node->notes[RAFT_NOTE_AMNESIA] > before,
        "a store with an older term than its mark is found out");
}

static void lose_a_store(struct raft_cluster *cluster)
{
    struct raft_cluster_node *node = random_node(cluster);

    if (!may_lose(cluster)) {
        return;
    }
    switch (prng_between(&cluster->prng, 0, 2)) {
    case 0:
        roll_back_machine(cluster, node);
        return;
    case 1:
        roll_back_store(cluster, node);
        return;
    default:
        raft_cluster_crash(node);
        raft_cluster_wipe(node);
        raft_cluster_start(node);
        return;
    }
}

/* Whoever was removed comes back as somebody new, when the cluster has let it go. */
static void empty_removed(struct raft_cluster *cluster)
{
    const struct raft_cluster_node *leader = raft_cluster_leader(cluster);

    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_cluster_node *node = &cluster->nodes[i];

        if (node->removed && node->up && leader != NULL && raft_leader_ready(leader->raft) &&
            raft_config_find(raft_config_committed(leader->raft), node->id) == NULL) {
            raft_cluster_crash(node);
            raft_cluster_wipe(node);
            raft_cluster_start(node);
            node->removed = false;
        }
    }
}

static void change_members(struct raft_cluster *cluster)
{
    struct raft_cluster_node *leader = raft_cluster_leader(cluster);

    if (leader != NULL && raft_config_voter_count(raft_config(leader->raft)) > 2 &&
        may_lose(cluster)) {
        struct raft_cluster_node *node = random_node(cluster);

        if (raft_cluster_request(leader, RAFT_EVENT_REMOVE, node->id).proposal !=
            RAFT_PROPOSAL_TAKEN) {
            return;
        }
        node->removed = true;
        raft_cluster_run(cluster, prng_between(&cluster->prng, 0, 500));
        empty_removed(cluster);
    }
}

static void disturb(struct raft_cluster *cluster)
{
    struct raft_cluster_node *node = random_node(cluster);
    struct raft_cluster_node *leader = raft_cluster_leader(cluster);

    switch (prng_between(&cluster->prng, 0, 10)) {
    case 0:
        draw_weather(cluster);
        break;
    case 1:
        draw_partition(cluster);
        break;
    case 2:
        raft_cluster_heal(cluster);
        break;
    case 3:
    case 4:
        if (node->up) {
            raft_cluster_crash(node);
        }
        break;
    case 5:
    case 6:
        raft_cluster_start_all(cluster);
        break;
    case 7:
        lose_a_store(cluster);
        break;
    case 8:
        change_members(cluster);
        break;
    case 9:
        if (leader != NULL) {
            raft_cluster_request(leader, RAFT_EVENT_TRANSFER, node->id);
        }
        break;
    case 10:
        raft_cluster_copy_disk(node);
        break;
    default:
        break;
    }
}

static void work(struct raft_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_cluster_node *node = &cluster->nodes[i];

        if (node->up && !node->wipe && raft_role(node->raft) == RAFT_LEADER) {
            raft_cluster_propose(node);
            if (prng_chance(&cluster->prng, 30)) {
                raft_cluster_read(node);
            }
        }
    }
}

/* In the eyes of the leader, too: one that was removed may not know it. */
static bool all_are_voters(struct raft_cluster *cluster)
{
    const struct raft_cluster_node *leader = raft_cluster_leader(cluster);

    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct raft_cluster_node *node = &cluster->nodes[i];

        if (leader == NULL || !raft_is_voter(node->raft) ||
            raft_config_find(raft_config(leader->raft), node->id) == NULL) {
            return false;
        }
    }
    return true;
}

/* With the faults over: a leader, all admitted again, and what it proposes reaches everybody. */
static void check_recovery(struct raft_cluster *cluster)
{
    struct raft_cluster_node *leader;
    struct driver_result result;

    raft_cluster_heal(cluster);
    cluster->weather = (struct raft_cluster_weather){0, 0, 1, 2, 1, 2};
    raft_cluster_start_all(cluster);
    for (uint32_t i = 0; i < 30 && !all_are_voters(cluster); i++) {
        raft_cluster_run(cluster, 1000);
        empty_removed(cluster);
    }
    require(cluster, all_are_voters(cluster), "everybody is a voter again");
    raft_cluster_run(cluster, 1500); /* A hand-over that goes nowhere is over by then. */
    leader = raft_cluster_run_to_leader(cluster, 10000);
    require(cluster, leader != NULL, "a leader is found");
    result = raft_cluster_propose(leader);
    require(cluster, result.proposal == RAFT_PROPOSAL_TAKEN, "the leader takes a proposal");
    raft_cluster_run(cluster, 3000);
    require(cluster, raft_cluster_all_applied(cluster, result.index), "it reaches everybody");
}

static void run_seed(uint64_t seed)
{
    const uint32_t count = seed % 4 == 0 ? 5 : 3;
    struct raft_cluster *cluster = raft_cluster_create(count, seed);

    cluster->admits = true;
    cluster->snapshot_each = seed % 2 == 0 ? 0 : prng_between(&cluster->prng, 5, 150);
    draw_weather(cluster);
    if (prng_chance(&cluster->prng, 30)) {
        draw_partition(cluster); /* It has to form under faults, too. */
    }
    raft_cluster_start_all(cluster);
    for (uint32_t round = 0; round < 40; round++) {
        disturb(cluster);
        for (uint32_t i = 0; i < 4; i++) {
            raft_cluster_run(cluster, prng_between(&cluster->prng, 10, 400));
            work(cluster);
        }
    }
    check_recovery(cluster);
    for (uint32_t kind = 0; kind < RAFT_NOTE_KINDS; kind++) {
        seen_notes[kind] += raft_cluster_notes(cluster, (enum raft_note_kind)kind);
    }
    raft_cluster_destroy(cluster);
}

static void test_random_runs_keep_all_promises(void **state)
{
    const char *seed = getenv("SEED");

    (void)state;
    if (seed != NULL) {
        run_seed(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= SEEDS; i++) {
        run_seed(i);
    }
}

/* A part that no seed ever reached would be untested without anybody noticing. */
static void test_random_runs_come_everywhere(void **state)
{
    (void)state;
    if (getenv("SEED") != NULL) {
        skip();
    }
    for (uint32_t kind = 1; kind < RAFT_NOTE_KINDS; kind++) {
        if (kind == RAFT_NOTE_DISK_STALLED || kind == RAFT_NOTE_KEPT_TAIL) {
            continue; /* Have tests of their own. */
        }
        if (seen_notes[kind] == 0) {
            fail_msg("note %u was never given", kind);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_runs_keep_all_promises),
        cmocka_unit_test(test_random_runs_come_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
