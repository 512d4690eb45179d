/*
 * tests/sim/world.h - a few nodes of the real raft/ and ha/ in one process, with virtual time and
 * everything that can go wrong around them.
 *
 * One seed decides everything: how the world is made (swarm.c), what fails and when (faults.c),
 * and each delay. Reading order: world.c (time and its events), node.c (one daemon, joined as
 * daemon/ joins it), disk.c, net.c, check_raft.c and check_ha.c (what must always hold), end.c
 * (what must come true when the faults stop), coverage.c, trace.c, main.c.
 *
 * True time is in microseconds; a node sees milliseconds of its own clock. A check that fails
 * ends the process.
 */
#ifndef PGBATON_TESTS_SIM_WORLD_H
#define PGBATON_TESTS_SIM_WORLD_H

#include "base/attr.h"
#include "base/prng.h"
#include "ha/ha.h"
#include "ha/ha_impl.h"
#include "raft/driver.h"
#include "tests/fake/pg_model.h"

#define SIM_NODES_MAX   5
#define SIM_LOG_MAX     16384 /* Indexes and terms that a run may reach. */
#define SIM_EPOCHS_MAX  4096
#define SIM_FRAME_BYTES (512u * 1024)
#define SIM_ROUNDS      128
#define SIM_STATES_MAX  12 /* Of one state machine. */
#define SECOND          UINT64_C(1000000)
#define SIM_WALL_MS     UINT64_C(1700000000000)

/* The dynamic configuration, in place of JSON. */
#define SIM_CONFIG_READ \
    "ttl_ms=%llu lag_bytes=%llu start_ms=%llu stop_ms=%llu failsafe=%u rewind=%u"
#define SIM_CONFIG_BYTES 120

/* --- How a world is made, drawn from the seed --- */

enum sim_fault {
    SIM_FAULT_ISOLATE,
    SIM_FAULT_ONE_WAY,
    SIM_FAULT_SPLIT,
    SIM_FAULT_NO_WITNESS, /* Between it and one node: what failsafe_mode is for. */
    SIM_FAULT_FLAP,
    SIM_FAULT_STORM, /* Loss and delay for a while. */
    SIM_FAULT_STALL, /* What is sent one way arrives much later, all at once. */
    SIM_FAULT_KILL_DAEMON,
    SIM_FAULT_PAUSE_DAEMON,
    SIM_FAULT_CRASH_NODE,
    SIM_FAULT_POWER_CUT, /* Of all nodes. */
    SIM_FAULT_SUSPEND,
    SIM_FAULT_DISK_SLOW,
    SIM_FAULT_DISK_STUCK,
    SIM_FAULT_DISK_FAILS,
    SIM_FAULT_WIPE_STORE,
    SIM_FAULT_ROLL_BACK_STORE,
    SIM_FAULT_ROT,             /* Of a store; its next start finds it. */
    SIM_FAULT_ALL_DISKS_STUCK, /* And the leader's daemon killed, if it is not the primary's. */
    SIM_FAULT_PG_CRASH,
    SIM_FAULT_PG_POSTMASTER,
    SIM_FAULT_PG_SQL_STUCK,
    SIM_FAULT_PG_REPLAY_STUCK,
    SIM_FAULT_PG_NO_START,
    SIM_FAULT_PG_NO_STOP,
    SIM_FAULT_PG_NO_PROMOTE,
    SIM_FAULT_PG_WIPE,
    SIM_FAULT_PG_SWAP,    /* A grantee's data directory, before it has used its grant. */
    SIM_FAULT_PG_STRANGE, /* Another cluster's data directory. */
    SIM_FAULT_GUARD_PAUSE,
    SIM_FAULT_GUARD_KILL,
    SIM_FAULT_DRIFT,
    SIM_FAULT_WALL_CLOCK, /* Somebody sets it. */
    SIM_FAULT_SWITCHOVER,
    SIM_FAULT_FAILOVER,
    SIM_FAULT_RESTART,
    SIM_FAULT_REINIT,
    SIM_FAULT_LEAVE, /* The daemon is asked to stop, and started again. */
    SIM_FAULT_CONFIG,
    SIM_FAULT_REMOVE_MEMBER,
    SIM_FAULTS,
};

struct swarm {
    uint32_t node_count;
    uint32_t late_mask; /* Nodes that are started late, perhaps after the cluster was formed. */
    uint32_t witness_mask;
    uint64_t ttl_ms;
    uint64_t maximum_lag_bytes;
    uint64_t primary_start_timeout_ms;
    uint64_t primary_stop_timeout_ms;
    bool failsafe_mode;
    bool use_pg_rewind;
    uint64_t heartbeat_ms;
    uint32_t fault_weight[SIM_FAULTS]; /* 0: never. */
    uint64_t fault_every_us;
    uint64_t fault_span_us; /* How long what passes by itself lasts, at most. */
    uint64_t faults_us;     /* The phase of faults. */
    uint32_t loss;          /* Percent. */
    uint32_t twice;
    uint64_t delay_min_us;
    uint64_t delay_max_us;
    uint64_t disk_min_us;
    uint64_t disk_max_us;
    uint64_t client_us; /* Between commits. */
    uint32_t drift_ppm; /* Clocks go wrong by as much, at most. */
    uint32_t snapshot_entries;
    struct pg_model_weather pg;
};

void swarm_draw(struct swarm *swarm, uint64_t seed);

/* --- Parts --- */

struct sim_clock {
    uint64_t from_us;  /* True time at which ... */
    uint64_t local_us; /* ... it showed this; it goes on ... */
    int32_t ppm;       /* ... too fast or too slow by so much. */
};

struct sim_write {
    struct sim_write *next;
    uint64_t due_us;
    struct raft_persist persist;
    struct raft_snapshot snapshot; /* Data on the heap. */
    uint32_t entry_count;
    struct raft_entry *entries; /* The same. */
};

struct sim_disk {
    bool rotten; /* A checksum does not fit any more. */
    struct raft_hard hard;
    struct raft_snapshot snapshot;
    uint64_t first_index;
    uint32_t entry_count;
    struct raft_entry entries[RAFT_LOG_ENTRIES_MAX];
};

struct sim_packet {
    uint64_t due_us;
    uint64_t number; /* Decides between equals. */
    uint32_t from;
    uint32_t to;
    bool ha; /* Else Raft's. */
    uint32_t size;
    uint8_t *bytes;
};

/* A lease round as the grantee sent it, in true time. */
struct sim_round {
    uint64_t number;
    uint64_t start_id;
    uint64_t sent_us;
    uint64_t ttl_ms;
    uint32_t answered; /* Nodes whose answer was delivered. */
    bool failsafe; /* failsafe_mode was on when it was sent: it may have been completed by it. */
    bool completed;
};

/* State machines whose edges are counted, as each node goes through them. */
enum sim_machine {
    SIM_MACHINE_ROLE,   /* Raft's role and the phase of the epoch. */
    SIM_MACHINE_GRANT,  /* The phase, and whether the newest grant is this node's. */
    SIM_MACHINE_SERVER, /* PostgreSQL. */
    SIM_MACHINES,
};

struct world;

struct sim_node {
    struct world *world;
    uint32_t number;
    uint64_t id;
    char name[16];
    char address[32];
    bool witness;
    uint64_t due_us; /* When something is to be done here. */
    struct sim_clock clock;
    uint64_t wall_ms; /* What the clock on the wall is ahead of its own. */

    /* Machine. */
    bool powered;
    uint64_t power_us;     /* When it comes back. */
    uint64_t suspended_us; /* Until; 0: not. */

    /* Disk of the raft store. */
    struct store store;
    struct sim_disk disk;
    struct sim_disk old_disk; /* As it was some time ago. */
    struct raft_memory mark;  /* Outside the store. */
    struct raft_memory old_mark;
    struct sim_write *writes; /* Oldest first. */
    uint64_t disk_slow_us;    /* Until. */
    uint64_t disk_stuck_us;   /* Until. */
    bool disk_fails;          /* The next write. */
    bool damaged;             /* Its store was lost; not a voter again yet. */
    bool strange;             /* Its data directory is another cluster's. */

    /* Daemon. */
    bool up;
    uint64_t start_us;  /* When it is started again. */
    uint64_t paused_us; /* Until; 0: not. */
    bool start_over;
    bool ended;   /* In this step: to be taken down. */
    bool gave_up; /* So that its operator has to look. */
    uint64_t boot;
    void *raft_memory;
    struct raft *raft;
    struct driver driver;
    struct driver_held *held;
    void *ha_memory;
    struct ha *ha;
    struct ha_raft ha_raft;
    struct ha_update update;
    struct ha_dynamic dynamic;
    bool stepping;
    bool again;
    uint64_t ha_wake_ms;
    uint64_t snapshot_index;
    uint64_t applied_index;
    uint64_t commit_seen;
    uint64_t config_seen;
    uint64_t config_us; /* Since when its log has this membership. */
    uint64_t grant_seen;
    uint64_t grant_us; /* Since when its disk has this grant. */

    struct pg_model pg;

    /* Watched from outside. */
    bool observed;
    uint32_t states[SIM_MACHINES];
    struct sim_round rounds[SIM_ROUNDS];
    uint64_t told_gave_up; /* Epoch that its newest status gives up. */
    uint64_t told_gone;    /* Rule 14: newest epoch whose server it has reported as gone. */
    uint64_t disturbed_us; /* Since then nothing is wrong with daemon, machine or PostgreSQL. */
    uint64_t given_us[SIM_NODES_MAX];       /* A lease that it answered for may run so long, ... */
    uint64_t given_epoch[SIM_NODES_MAX];    /* ... and for which epoch that was. */
    uint64_t answered_us[SIM_NODES_MAX];    /* Its last answer, also to a round of long ago, ... */
    uint64_t answered_epoch[SIM_NODES_MAX]; /* ... and for which epoch that was. */
    uint64_t reported_lsn[SIM_NODES_MAX];   /* What each node was last heard to have written, ... */
    uint64_t reported_epoch[SIM_NODES_MAX]; /* ... as the writable server of this epoch. */
};

struct sim_commit {
    uint64_t id;
    uint64_t at; /* Place in the WAL. */
    uint64_t epoch;
};

/* What a leader knew of the last primary that served when it proposed a grant. */
struct sim_proposal {
    uint64_t term; /* 0: a free place. */
    uint64_t known_epoch;
    uint64_t known_lsn;
    uint64_t maximum_lag_bytes;
    bool requested;
};

/* What is known of an epoch, whoever saw it. */
struct sim_epoch {
    uint32_t armed;         /* Nodes that began to be writable under it. */
    enum command_kind kind; /* Of its grant; NONE: not decided yet. */
    uint64_t node;
    bool served;
    uint32_t proposal_count;
    struct sim_proposal proposals[4];
    struct sim_proposal proposal; /* The one that was decided. */
};

struct world {
    uint64_t seed;
    struct swarm swarm;
    struct prng prng;
    uint64_t now_us;
    uint64_t steps;
    bool calm; /* No faults any more. */

    uint32_t node_count;
    struct sim_node nodes[SIM_NODES_MAX];

    bool blocked[SIM_NODES_MAX][SIM_NODES_MAX];         /* From, to. */
    uint64_t blocked_us[SIM_NODES_MAX][SIM_NODES_MAX];  /* Heals at. */
    uint64_t link_bad_us[SIM_NODES_MAX][SIM_NODES_MAX]; /* Was last not perfect at. */
    uint64_t stalled_us[SIM_NODES_MAX][SIM_NODES_MAX];  /* Nothing arrives before. */
    uint64_t storm_us;
    struct sim_node *restoring; /* From a copy of the whole machine; NULL: none. */
    bool swap_wanted;           /* Of the next grantee's data directory. */
    uint32_t packet_count;
    uint32_t packet_space;
    struct sim_packet *packets; /* A heap. */
    uint64_t packet_number;

    uint64_t next_fault_us;
    uint64_t next_client_us;
    uint64_t next_copy_us;
    uint64_t removal_us; /* Until then somebody may go on asking for a member to be removed. */
    struct {
        uint32_t from, to;
        uint64_t next_us, until_us;
    } flap;

    /* History. */
    uint64_t next_record_id;
    uint64_t commit_count; /* Acknowledged and not known to be lost. */
    uint64_t commit_space;
    struct sim_commit *commits;
    uint64_t acknowledged;
    uint64_t lost;
    uint64_t config_number;
    uint64_t next_ask_id;
    uint64_t reply_id; /* The newest reply to anybody. */
    uint32_t reply_code;

    uint64_t committed_count;
    struct {
        uint64_t term;
        uint64_t decided_term; /* Of who was the first to apply it. */
        uint64_t hash;
        uint64_t snapshot_hash;
    } committed[SIM_LOG_MAX];
    uint64_t leaders[SIM_LOG_MAX]; /* Incarnation, by term. */
    struct sim_epoch epochs[SIM_EPOCHS_MAX];

    /* Buffers. */
    uint8_t *frame;
    struct raft_message *raft_message;
    struct ha_message *ha_message;
    char *config_text;
    char *message_text;
    char first_config[SIM_CONFIG_BYTES];
    struct command command;
    struct cluster *restored;
};

/* --- world.c --- */

struct world *world_create(uint64_t seed);
void world_run_faults(struct world *world);
void world_run_to(struct world *world, uint64_t end_us);
void world_run_one(struct world *world, uint64_t end_us); /* The next event, or none till then. */

uint64_t clock_ms(const struct sim_node *node);
/* True time at which the node's clock will show `ms`. */
uint64_t clock_when_us(const struct sim_node *node, uint64_t ms);
void clock_set_drift(struct sim_node *node, int32_t ppm);

/* Nothing of it runs for now. */
static inline bool sim_is_frozen(const struct sim_node *node)
{
    return !node->powered || node->suspended_us != 0;
}

/* Its daemon takes events. */
static inline bool sim_is_awake(const struct sim_node *node)
{
    return node->up && !sim_is_frozen(node) && node->paused_us == 0;
}

struct sim_node *sim_find(struct world *world, uint64_t id);

/* --- node.c --- */

void node_init(struct sim_node *node);
void node_start(struct sim_node *node);
/* The daemon ends, of itself or not; what it had not on disk is gone. */
void node_stop(struct sim_node *node, uint64_t restart_after_us);
void node_power_off(struct sim_node *node, uint64_t off_us);
void node_raft_event(struct sim_node *node, struct raft_event event, struct driver_result *result);
void node_ha_event(struct sim_node *node, struct ha_event event);
void node_persisted(struct sim_node *node);
void node_received(struct sim_node *node, const struct sim_packet *packet);
void node_tick(struct sim_node *node);
uint64_t node_wake_us(const struct sim_node *node);
/* Highest epoch of the log as Raft has it, applied or not, on disk or not. */
uint64_t node_log_epoch(struct sim_node *node);

/* --- disk.c --- */

void disk_init(struct sim_disk *disk, uint64_t incarnation);
void disk_copy(struct sim_disk *to, const struct sim_disk *from);
void disk_deinit(struct sim_disk *disk);
uint64_t disk_last(const struct sim_disk *disk);
bool disk_holds(const struct sim_node *node, uint64_t epoch);
extern const struct store_ops disk_store_ops;
void disk_finish_write(struct sim_node *node);
void disk_drop_writes(struct sim_node *node, bool some_survive);

/* Fills `text` with a configuration like the first one, but for these two. */
void world_config(const struct world *world, uint64_t ttl_ms, bool failsafe, char *text);

/* --- net.c --- */

void net_send(struct sim_node *from, uint32_t to, bool ha, const uint8_t *bytes, size_t size);
void net_deliver(struct world *world);
bool net_reaches(const struct world *world, uint32_t from, uint32_t to);
void net_block(struct world *world, uint32_t from, uint32_t to, uint64_t span_us);
void net_stall(struct world *world, uint32_t from, uint32_t to, uint64_t span_us);
void net_end_stalls(struct world *world);
void net_heal(struct world *world);
void net_clear(struct world *world);

/* --- faults.c --- */

void faults_inject(struct world *world);
void faults_tick(struct world *world);
uint64_t faults_wake_us(const struct world *world);
void faults_end(struct world *world);
void faults_ask(struct sim_node *node, struct command *command);
const char *fault_name(enum sim_fault fault);

/* --- end.c --- */

void end_check(struct world *world);

/* --- check_raft.c --- */

void check_sent(struct sim_node *node, const struct raft_message *message);
void check_applied(struct sim_node *node, const struct raft_entry *entry);
void check_snapshot(struct sim_node *node, uint64_t index, const uint8_t *bytes, size_t size);
void check_raft(struct sim_node *node);

/* --- check_ha.c --- */

void check_world(struct world *world); /* After every event. */
void check_command(
    struct sim_node *node, uint64_t term, uint64_t index, const struct command *command);
void check_grant_proposed(struct sim_node *node, const struct command *command);
void check_membership_change(struct sim_node *node, uint64_t promoted);
void check_ha_sent(struct sim_node *node, const struct ha_message *message);
void check_ha_received(struct sim_node *node, const struct ha_message *message);
void check_ha_log(struct sim_node *node); /* When it may have changed. */
void check_wait(struct sim_node *node, uint64_t epoch);
void check_lease(struct sim_node *node, uint64_t deadline_ms);
void check_start(struct sim_node *node, const struct pg_action *action);
void check_armed(struct sim_node *node, uint64_t epoch);
void check_writable(struct sim_node *node, uint64_t epoch);
void check_fenced(struct sim_node *node, uint64_t epoch);

/* --- coverage.c --- */

/* Nothing but numbers: coverage_add() goes through them. */
struct coverage {
    uint64_t runs;
    uint64_t events;
    uint64_t virtual_us;
    uint64_t ha_notes[HA_NOTE_KINDS];
    uint64_t raft_notes[RAFT_NOTE_KINDS];
    uint64_t commands[COMMAND_KINDS];
    uint64_t actions[PG_ACTION_BOOTSTRAP_SQL + 1][PG_RESULT_CANCELLED + 1];
    uint64_t verdicts[LEASE_REFUSE_WAIT + 1];
    uint64_t faults[SIM_FAULTS];
    uint64_t edges[SIM_MACHINES][SIM_STATES_MAX][SIM_STATES_MAX];
    uint64_t acknowledged;
    uint64_t lost;
};

extern struct coverage *coverage; /* Of this process. */

void coverage_add(struct coverage *to, const struct coverage *from);
void coverage_observe(struct sim_node *node); /* After every event. */
void coverage_report(void);                   /* How much was reached, and what never was. */

/* --- trace.c --- */

enum trace_mode {
    TRACE_OFF,
    TRACE_RING, /* The last lines are kept, and printed when a check fails. */
    TRACE_ALL,
};

void trace_open(enum trace_mode mode);
bool trace_wanted(void);
PRINTF(3, 4)
void trace(const struct world *world, const struct sim_node *node, const char *format, ...);
void trace_dump(void);
NORETURN PRINTF(3, 4) void sim_fail(
    const struct world *world, const struct sim_node *node, const char *format, ...);

#define CHECK(node, condition, ...)                       \
    do {                                                  \
        if (!(condition)) {                               \
            sim_fail((node)->world, (node), __VA_ARGS__); \
        }                                                 \
    } while (0)

#endif
