/*
 * tests/lib/ha_lab.h - a few nodes of the real ha/ over a log, a network and a PostgreSQL that are
 * toys: for scenarios that read as sentences.
 *
 * Deterministic; time moves in steps of LAB_STEP_MS. The log is one ordered list: what the leader
 * proposes while it reaches a majority is decided, and every node that reaches the leader has it
 * applied one step later. A message takes one step. PostgreSQL is a position in the WAL, and a
 * guard that ends it when its lease does.
 *
 * After every step the laws are checked: no two nodes are writable, and none is without a guard
 * whose deadline lies ahead. A breach fails the test.
 */
#ifndef PGBATON_TESTS_LIB_HA_LAB_H
#define PGBATON_TESTS_LIB_HA_LAB_H

#include "ha/ha.h"
#include "ha/view.h"
#include "tests/lib/test.h"

#define LAB_NODES_MAX   5
#define LAB_STEP_MS     10
#define LAB_LOG_MAX     512
#define LAB_MESSAGES    512
#define LAB_REPLIES_MAX 8

/* The toy server of one node and its guard. */
struct lab_pg {
    struct pg_facts facts;
    struct pg_action action; /* Kind NONE: nothing is under way. */
    uint64_t action_ends_ms;
    uint64_t lsn;
    uint32_t timeline;
    uint64_t upstream; /* Node it streams from; 0: none. */
    uint64_t armed_epoch;
    uint64_t fence_at_ms;
    uint64_t deadline_ms;
    uint64_t start_count;

    /* What the test wants. */
    bool stalled; /* Receives nothing, though connected: it stays behind. */
    bool fails_to_promote;
    bool fails_to_stop;        /* Fast: somebody hangs. */
    bool hangs;                /* The next actions never end. */
    uint32_t control_timeline; /* What it tells while it does not stream; 0: the true one. */
    uint64_t promote_ms;       /* How long a promotion takes; 0: as usual. */
    uint64_t prepare_ms;       /* The same of what comes before a stop ... */
    uint64_t stop_ms;          /* ... and of a fast stop. */
};

struct lab_node {
    uint64_t id;     /* From 1. */
    bool up;         /* The daemon runs. */
    bool cut;        /* No message gets in or out. */
    bool deaf;       /* No message gets in; so it cannot lead. */
    uint32_t parted; /* Bits of nodes: nothing gets there or comes from there. */
    uint64_t start_count;
    void *memory;
    struct ha *ha;
    struct ha_settings settings;
    struct ha_update update;
    struct lab_pg pg;
    uint32_t log_count; /* Entries it has ... */
    uint32_t applied_count;
    bool applies_slowly; /* ... and applies one of in each step. */
    bool unnamed;        /* No membership that it has means its store. */
    bool gets_no_log;    /* Messages come, entries do not. */
    bool lost_its_store; /* It is heard as a stranger. */
    uint32_t reply_count;
    struct ha_reply replies[LAB_REPLIES_MAX];
    bool left;
    bool fatal;
    uint32_t noted[HA_NOTE_KINDS];
    char callbacks[256];    /* As its script is told: "start primary, stop primary". */
    uint64_t lease_from_ms; /* Since when it has held a lease without a break; 0: it has none. */
};

struct lab {
    uint64_t now_ms;
    uint32_t node_count;
    struct lab_node nodes[LAB_NODES_MAX];
    struct ha_dynamic dynamic;
    uint64_t write_bytes; /* By clients, each step, where PostgreSQL is writable. */

    bool log_stalled; /* No leader, nothing is decided; messages of ha/ flow. */
    uint64_t leader;  /* 0: none. */
    uint64_t term;
    uint64_t leaderless_since_ms;
    uint32_t log_count;
    struct lab_entry {
        uint64_t term;
        uint64_t at_ms; /* When it was decided. */
        struct command command;
    } log[LAB_LOG_MAX];

    uint32_t message_count;
    struct ha_message messages[LAB_MESSAGES];
};

/* `count` empty nodes, n1 and so on, with ttl 2000. The same lab at every call. */
struct lab *lab_new(uint32_t count);

void lab_step(struct lab *lab);
void lab_run(struct lab *lab, uint64_t span_ms);

/* Runs until the condition holds; fails the test if it does not within the span. */
typedef bool (*lab_condition)(const struct lab *lab);
void lab_until_(struct lab *lab, lab_condition condition, uint64_t within_ms, const char *words);
#define lab_until(lab, condition, within_ms) lab_until_(lab, condition, within_ms, #condition)

/* Some node serves, all other nodes that are up and not cut stream from it. */
bool lab_all_is_well(const struct lab *lab);
bool lab_somebody_serves(const struct lab *lab);

/* The node that answers /primary with 200; 0: none. */
uint64_t lab_primary(const struct lab *lab);
struct lab_node *lab_node(struct lab *lab, uint64_t id);
const struct cluster *lab_cluster(
    const struct lab *lab); /* Of the node that has most of the log. */

/* The newest entry of a kind in the log; fails if there is none. */
const struct lab_entry *lab_newest(const struct lab *lab, enum command_kind kind);
uint32_t lab_count(const struct lab *lab, enum command_kind kind);

/* Faults. */
void lab_power_off(struct lab *lab, uint64_t id);
void lab_power_on(struct lab *lab, uint64_t id);
void lab_daemon_dies(struct lab *lab, uint64_t id);
void lab_daemon_starts(struct lab *lab, uint64_t id);
void lab_postgres_dies(struct lab *lab, uint64_t id);

/* What people ask for; the answer is the reply of that id. */
void lab_ask(struct lab *lab, uint64_t at, const struct command *command);
void lab_switchover(struct lab *lab, uint64_t at, uint64_t from, uint64_t to, uint64_t id);
void lab_local(struct lab *lab, uint64_t at, enum ha_local_kind kind, uint64_t id);
void lab_local_with(struct lab *lab, uint64_t at, const struct ha_local *local);

/* The reply of that id at that node; NULL: none yet. */
const struct ha_reply *lab_reply(const struct lab *lab, uint64_t at, uint64_t id);

#endif
