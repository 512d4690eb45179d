/*
 * Raft's safety, watched from outside: what was decided, who led, who voted.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/time.h"
#include "tests/sim/world.h"

static uint64_t hash_entry(const struct raft_entry *entry)
{
    const uint64_t head[3] = {entry->term, entry->index, entry->kind};

    return hash64(hash64(HASH64_SEED, head, sizeof head), entry->data, entry->size_bytes);
}

/* A vote counts only for who is a voter, under this incarnation, to the candidate. */
static void check_vote(struct sim_node *node, const struct raft_message *message)
{
    const struct sim_node *to = sim_find(node->world, message->to);
    const struct raft_member *member;

    CHECK(
        node, node->disk.hard.voted_for == message->to && node->disk.hard.term == message->term,
        "its vote leaves before it is on disk");
    if (to == NULL || !to->up) {
        return;
    }
    member = raft_config_find(raft_config(to->raft), node->id);
    CHECK(
        node,
        member == NULL || member->incarnation == node->disk.hard.incarnation ||
            message->to_incarnation != raft_incarnation(to->raft) ||
            message->from_incarnation != member->incarnation,
        "votes in the name of a store that it lost");
    CHECK(
        node, message->from_incarnation == node->disk.hard.incarnation,
        "votes in another name than its store's");
}

void check_sent(struct sim_node *node, const struct raft_message *message)
{
    CHECK(node, message->from == node->id, "sends in another name");
    if (message->kind != RAFT_PREVOTE) {
        CHECK(
            node, message->term <= node->disk.hard.term, "term %llu leaves before it is on disk",
            (unsigned long long)message->term);
    }
    if (message->kind == RAFT_APPEND_ANSWER || message->kind == RAFT_SNAPSHOT_ANSWER) {
        CHECK(
            node,
            message->match_index <= time_max(disk_last(&node->disk), node->disk.snapshot.index),
            "acknowledges entries that are not on disk");
    }
    if (message->kind == RAFT_VOTE_ANSWER && message->accepted) {
        check_vote(node, message);
    }
}

/* Nothing that was decided is ever decided otherwise. */
void check_applied(struct sim_node *node, const struct raft_entry *entry)
{
    struct world *world = node->world;
    const uint64_t index = entry->index;

    CHECK(node, index == node->applied_index + 1, "applies with a gap");
    CHECK(node, index + 1 < SIM_LOG_MAX, "the run is too long for its tables");
    if (index > world->committed_count) {
        CHECK(node, index == world->committed_count + 1, "decides with a gap");
        world->committed_count = index;
        world->committed[index].term = entry->term;
        world->committed[index].decided_term = raft_term(node->raft);
        world->committed[index].hash = hash_entry(entry);
    }
    CHECK(
        node,
        world->committed[index].term == entry->term &&
            world->committed[index].hash == hash_entry(entry),
        "STATE MACHINE SAFETY: entry %llu is another one here", (unsigned long long)index);
}

void check_snapshot(struct sim_node *node, uint64_t index, const uint8_t *bytes, size_t size)
{
    struct world *world = node->world;
    const uint64_t hash = hash64(HASH64_SEED, bytes, size);

    CHECK(node, index <= world->committed_count, "a snapshot of what was never decided");
    if (world->committed[index].snapshot_hash == 0) {
        world->committed[index].snapshot_hash = hash;
    }
    CHECK(
        node, world->committed[index].snapshot_hash == hash,
        "STATE MACHINE SAFETY: the state at %llu is another one here", (unsigned long long)index);
}

static void check_leader(struct sim_node *node)
{
    struct world *world = node->world;
    const uint64_t term = raft_term(node->raft);
    const uint64_t incarnation = raft_incarnation(node->raft);

    if (raft_role(node->raft) != RAFT_LEADER) {
        return;
    }
    CHECK(node, term < SIM_LOG_MAX, "the run is too long for its tables");
    CHECK(
        node, world->leaders[term] == 0 || world->leaders[term] == incarnation,
        "ELECTION SAFETY: term %llu has two leaders", (unsigned long long)term);
    if (world->leaders[term] != 0) {
        return;
    }
    world->leaders[term] = incarnation;
    /* A node that was paused may become leader of a term that is over: what was decided in a later
     * one it need not have. */
    for (uint64_t i = raft_first_index(node->raft); i <= world->committed_count; i++) {
        CHECK(
            node,
            world->committed[i].decided_term > term ||
                (i < raft_last_index(node->raft) &&
                 raft_term_at(node->raft, i) == world->committed[i].term),
            "LEADER COMPLETENESS: entry %llu is not the decided one", (unsigned long long)i);
    }
}

/* If two logs hold the same term at an index, they are the same up to there. */
static void check_logs_match(struct sim_node *node, const struct sim_node *other)
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

        CHECK(node, hash_entry(&a) == hash_entry(&b), "LOG MATCHING: not so with %s", other->name);
    }
}

void check_raft(struct sim_node *node)
{
    struct world *world = node->world;
    const uint64_t commit = raft_commit_index(node->raft);

    check_leader(node);
    CHECK(node, commit >= node->commit_seen, "the commit index falls");
    CHECK(node, raft_applied_index(node->raft) == node->applied_index, "applied otherwise");
    node->commit_seen = commit;
    if (node->config_seen != raft_config(node->raft)->index) {
        node->config_seen = raft_config(node->raft)->index;
        node->config_us = world->now_us;
    }
    for (uint64_t i = node->applied_index + 1; i <= commit; i++) {
        const uint64_t term = raft_term_at(node->raft, i);

        CHECK(
            node, i > world->committed_count || term == 0 || world->committed[i].term == term,
            "STATE MACHINE SAFETY: entry %llu is decided otherwise", (unsigned long long)i);
    }
    if (world->steps % 32 == 0) {
        const struct sim_node *other = &world->nodes[world->steps / 32 % world->node_count];

        if (other->up && !other->ended && other != node &&
            raft_cluster_id(other->raft) == raft_cluster_id(node->raft)) {
            check_logs_match(node, other);
        }
    }
}
