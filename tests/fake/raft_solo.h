/*
 * tests/fake/raft_solo.h - one core alone, driven by hand: the test plays the others,
 * the disk and the clock, and looks at the update of the last step.
 */
#ifndef PGBATON_TESTS_FAKE_RAFT_SOLO_H
#define PGBATON_TESTS_FAKE_RAFT_SOLO_H

#include "raft/raft.h"

#define SOLO_CLUSTER 77 /* Cluster id. */

struct raft_solo {
    void *memory;
    struct raft *raft;
    uint64_t now_ms;
    uint64_t persist_number; /* The newest one asked for. */
    struct raft_update update;
    struct raft_config config; /* That the log begins with. */
};

/* Member number `i`; we are number 0. */
uint64_t raft_solo_id(uint32_t i);
uint64_t raft_solo_incarnation(uint32_t i);
struct raft_member raft_solo_member(uint32_t i, enum raft_member_kind kind);

/*
 * A node whose store holds `term` and a log: its membership of `voters` voters and
 * `learners` learners in term 1, then one entry for each of `terms`. It has not
 * compared its position yet.
 */
struct raft_solo *raft_solo_create(
    uint32_t voters, uint32_t learners, uint64_t term, const uint64_t terms[], uint32_t count);

/* The same with a mark beside the store. */
struct raft_solo *raft_solo_create_marked(
    uint32_t voters, uint32_t learners, uint64_t term, const uint64_t terms[], uint32_t count,
    const struct raft_memory *mark);

/* The same from what a store held; borrows `loaded` for the call. */
struct raft_solo *raft_solo_create_loaded(const struct raft_loaded *loaded, uint32_t seeds);
void raft_solo_destroy(struct raft_solo *solo);

void raft_solo_feed(struct raft_solo *solo, struct raft_event event);
void raft_solo_tick(struct raft_solo *solo, uint64_t span_ms);
void raft_solo_receive(struct raft_solo *solo, const struct raft_message *message);
void raft_solo_persisted(struct raft_solo *solo); /* All that was asked for. */

/* A message of member `from` to us with all that the kinds have in common. */
struct raft_message raft_solo_message(
    const struct raft_solo *solo, uint32_t from, enum raft_message_kind kind, uint64_t term);

/* The others answer the HELLOs and remember nothing: the position is checked. */
void raft_solo_check_position(struct raft_solo *solo);

/* Up to the first step as a leader, by the votes of all; the entry is not on disk yet. */
void raft_solo_elect(struct raft_solo *solo);

/* As the leader: member `from` has all up to `index` on disk. */
void raft_solo_acknowledge(struct raft_solo *solo, uint32_t from, uint64_t index);

/* The last message of that kind to member `to` in the last step, or NULL. */
const struct raft_message *raft_solo_sent(
    const struct raft_solo *solo, enum raft_message_kind kind, uint32_t to);
bool raft_solo_noted(const struct raft_solo *solo, enum raft_note_kind kind);

#endif
