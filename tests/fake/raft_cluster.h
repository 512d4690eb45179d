/*
 * tests/fake/raft_cluster.h - a few nodes of the real core and driver in one process: a
 * network that loses, doubles, delays and reorders, disks that forget at a crash what
 * was not yet synced, and Raft's safety properties checked after every event.
 *
 * For the tests of raft/; the whole program has its own simulator. Everything follows
 * from the seed. A check that fails says which and ends the program; with TRACE in the
 * environment everything that happens is printed.
 */
#ifndef PGBATON_TESTS_FAKE_RAFT_CLUSTER_H
#define PGBATON_TESTS_FAKE_RAFT_CLUSTER_H

#include "base/prng.h"
#include "raft/driver.h"

#define CLUSTER_NODES_MAX   7
#define CLUSTER_PACKETS_MAX 4096
#define CLUSTER_LOG_MAX     8192 /* Indexes and terms that a run may reach. */

struct raft_cluster_packet {
    uint64_t due_ms;
    struct raft_message *message; /* A copy with its data, on the heap. */
};

/* What is on the way to a node's disk, and what is there. */
struct raft_cluster_write {
    struct raft_cluster_write *next;
    uint64_t due_ms;
    struct raft_persist persist;
    struct raft_snapshot snapshot; /* Data on the heap. */
    uint32_t entry_count;
    struct raft_entry *entries; /* The same. */
};

struct raft_cluster_disk {
    struct raft_hard hard;
    struct raft_snapshot snapshot;
    uint64_t first_index;
    uint32_t entry_count;
    struct raft_entry entries[RAFT_LOG_ENTRIES_MAX];
};

struct raft_cluster_node {
    struct raft_cluster *cluster;
    uint32_t number; /* Place in the cluster's list. */
    char address[32];
    uint64_t id;
    bool up;
    bool wipe;    /* Lost its memory in the last step: to be emptied and started again. */
    bool removed; /* For the test: its removal was asked for. */
    void *memory;
    struct raft *raft;
    struct driver driver;
    struct driver_held *held;
    struct store store;
    bool disk_stuck; /* Writes are taken and do not end. */
    struct raft_cluster_disk disk;
    struct raft_cluster_disk old_disk; /* As raft_cluster_copy_disk() found it. */
    struct raft_memory mark;           /* Outside the store. */
    struct raft_memory old_mark;
    struct raft_cluster_write *writes; /* Oldest first. */
    uint64_t state_hash;               /* The state machine: a hash over what was applied. */
    uint64_t applied_index;
    uint64_t reads_done;
    uint64_t reads_failed;
    uint64_t last_read;
    uint32_t notes[RAFT_NOTE_KINDS]; /* How often each was given, over all starts. */
};

/* Per hundred, and milliseconds. */
struct raft_cluster_weather {
    uint32_t loss;
    uint32_t twice;
    uint64_t delay_min_ms;
    uint64_t delay_max_ms;
    uint64_t disk_min_ms;
    uint64_t disk_max_ms;
};

struct raft_cluster {
    uint64_t seed;
    struct prng prng;
    uint64_t now_ms;
    struct raft_cluster_weather weather;
    uint32_t node_count;
    struct raft_cluster_node nodes[CLUSTER_NODES_MAX];
    bool blocked[CLUSTER_NODES_MAX][CLUSTER_NODES_MAX]; /* From, to. */
    uint32_t packet_count;
    struct raft_cluster_packet packets[CLUSTER_PACKETS_MAX];
    uint64_t next_value;    /* Data of the next proposal. */
    uint64_t next_read;     /* Number of the next read. */
    bool admits;            /* Leaders add empty strangers as learners and promote them. */
    uint64_t snapshot_each; /* Entries behind the snapshot at which the next is taken; 0: never. */

    /* What has happened, whoever saw it. */
    uint64_t committed_count;
    struct {
        uint64_t term;
        uint64_t hash;
        uint64_t state_hash;           /* After it. */
    } committed[CLUSTER_LOG_MAX];      /* By index. */
    uint64_t leaders[CLUSTER_LOG_MAX]; /* Incarnation, by term. */
    uint64_t steps;
};

/* `count` empty nodes that list each other; none is up. The cluster is on the heap. */
struct raft_cluster *raft_cluster_create(uint32_t count, uint64_t seed);
void raft_cluster_destroy(struct raft_cluster *cluster);

/* Another empty node that lists the others, without being listed by those already up. */
struct raft_cluster_node *raft_cluster_add_node(struct raft_cluster *cluster);

void raft_cluster_start(struct raft_cluster_node *node);
void raft_cluster_start_all(struct raft_cluster *cluster);
/* A power cut: what was not synced is gone, but for a random number of the oldest writes. */
void raft_cluster_crash(struct raft_cluster_node *node);
void raft_cluster_wipe(struct raft_cluster_node *node); /* Of a node that is down. */
void raft_cluster_copy_disk(struct raft_cluster_node *node);
/* To that copy, of a node that is down: the store alone, or the whole machine with its mark. */
void raft_cluster_roll_back(struct raft_cluster_node *node, bool whole_machine);

void raft_cluster_block(struct raft_cluster *cluster, uint32_t from, uint32_t to, bool blocked);
void raft_cluster_isolate(struct raft_cluster *cluster, uint32_t number, bool isolated);
void raft_cluster_heal(struct raft_cluster *cluster);

/* Runs for that long, or up to a leader, ready and followed by every voter that is up. */
void raft_cluster_run(struct raft_cluster *cluster, uint64_t span_ms);
struct raft_cluster_node *raft_cluster_run_to_leader(
    struct raft_cluster *cluster, uint64_t limit_ms);

struct raft_cluster_node *raft_cluster_leader(
    struct raft_cluster *cluster); /* Of the highest term, or NULL. */

struct driver_result raft_cluster_feed(struct raft_cluster_node *node, struct raft_event event);
struct driver_result raft_cluster_propose(struct raft_cluster_node *node);
struct driver_result raft_cluster_request(
    struct raft_cluster_node *node, enum raft_event_kind kind, uint64_t member_id);
struct driver_result raft_cluster_read(struct raft_cluster_node *node);

/* Every node that is up has applied `index`. */
bool raft_cluster_all_applied(const struct raft_cluster *cluster, uint64_t index);
uint32_t raft_cluster_notes(const struct raft_cluster *cluster, enum raft_note_kind kind);

#endif
