/*
 * ha/ha.h - who should be primary, and what this node does about it: events in, update out.
 *
 * Pure: time and facts come in with the events, effects go out in the update. The same
 * object code runs in the daemon and in the simulator. `struct ha` is large, lives in
 * memory of the caller and holds no pointers into itself.
 *
 * The parts, in reading order: cluster.h (replicated state), lease.h (rounds, waits),
 * choose.h (who), rejoin.h (follow, rewind or clone), then ha.c (order of the checks),
 * grantee.c, standby.c (what this node's PostgreSQL should do), leader.c (what the Raft
 * leader does), view.c (what the outside sees).
 *
 * Feeding it. Log changes are told as they happen, before the step that follows them:
 * ha_log_truncated/appended/durable, ha_restore, ha_apply. Then one ha_step(). What an
 * update asks for is carried out before the next event is fed.
 */
#ifndef PGBATON_HA_HA_H
#define PGBATON_HA_HA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ha/cluster.h"
#include "ha/message.h"
#include "pgctl/pgctl.h"

struct ha;

/* The part of the dynamic configuration that decisions depend on; parsed outside, from
 * cluster.config, whenever update.config_changed says so. */
struct ha_dynamic {
    uint64_t ttl_ms;
    uint64_t maximum_lag_bytes;        /* maximum_lag_on_failover */
    uint64_t primary_start_timeout_ms; /* 0: fail over at once instead of starting in place. */
    uint64_t primary_stop_timeout_ms;  /* Of a planned stop that is not hard; 0: the default. */
    bool failsafe_mode;
    bool pause;
    bool use_pg_rewind;
    bool remove_on_diverged; /* Clone where rewind is not possible or has failed. */
};

struct ha_settings {
    uint64_t self;
    uint64_t start_id;            /* Random, not 0. */
    uint64_t start_wall_ms;       /* What was decided before is not news; 0: everything is. */
    struct cluster_member member; /* Name and addresses as configured; `id` is self. */
    bool witness;
    bool can_bootstrap; /* There is a bootstrap section, or initdb may run with defaults. */
    bool nofailover;
    int32_t failover_priority;
    bool noloadbalance;
    bool clonefrom;          /* Other replicas may be cloned from this one. */
    uint64_t kill_budget_ms; /* Fence begins so long before the lease ends; 0: derived from ttl. */
    struct ha_dynamic initial_dynamic; /* Of initial_config, with defaults. */
    char tags[HA_TAGS_SIZE];
    const char
        *initial_config; /* bootstrap.dcs as JSON text; borrowed as long as struct ha lives. */
};

/* What the ha part must know of Raft; it knows it only as "propose" and "applied". */
struct ha_raft_member {
    uint64_t id;
    bool voter;
    bool caught_up; /* Leader only. */
};

struct ha_raft {
    bool leader;        /* This node leads, and an entry of its term is committed. */
    uint64_t leader_id; /* 0: unknown. */
    uint64_t term;
    bool position_checked;
    bool member; /* The newest membership of the log names this node, with its store of now. */
    uint32_t member_count; /* Newest membership of the log. */
    struct ha_raft_member members[CLUSTER_MEMBERS_MAX];
    uint32_t decided_count; /* Last decided membership: ids only matter for failsafe. */
    uint64_t decided_ids[CLUSTER_MEMBERS_MAX];
    bool membership_settled; /* Newest is decided: another change may be proposed. */
    uint32_t stranger_count; /* Said hello, are not members under that incarnation. */
    struct ha_stranger {
        uint64_t id;
        uint64_t incarnation;
        bool empty;
    } strangers[CLUSTER_MEMBERS_MAX];
};

enum ha_event_kind {
    HA_EVENT_TICK,
    HA_EVENT_MESSAGE,
    HA_EVENT_FACTS, /* PostgreSQL facts changed. */
    HA_EVENT_DONE,  /* The action ended. */
    HA_EVENT_RAFT,
    HA_EVENT_ASK,      /* A command the outside wants decided; see ha_ask. */
    HA_EVENT_LOCAL,    /* Something only this node does. */
    HA_EVENT_SETTINGS, /* Tags and the like were reloaded. */
    HA_EVENT_DYNAMIC,  /* The dynamic configuration was parsed anew. */
};

enum ha_local_kind {
    HA_LOCAL_NONE,
    HA_LOCAL_RESTART,    /* Now, or at the time it names. */
    HA_LOCAL_UNSCHEDULE, /* No restart at that time. */
    HA_LOCAL_REINIT,
    HA_LOCAL_RELOAD,
    HA_LOCAL_LEAVE, /* The daemon stops: hand over if primary, stop PostgreSQL, then update.left. */
};

struct ha_local {
    enum ha_local_kind kind;
    uint64_t id;               /* For the reply; 0: nobody waits. */
    struct ha_restart restart; /* RESTART */
    bool force;                /* REINIT: what is under way is cancelled. */
    bool from_leader;          /* REINIT: from nobody else, and only by pg_basebackup. */
};

struct ha_event {
    enum ha_event_kind kind;
    uint64_t now_ms;
    uint64_t wall_ms;
    const struct ha_message *message;
    const struct pg_facts *facts;
    const struct pg_action_done *done;
    const struct ha_raft *raft;
    const struct command
        *ask; /* REQUEST_SET, REQUEST_CLEAR, CONFIG_SET, MEMBER_REMOVE; with its id. */
    const struct ha_local *local;
    const struct ha_settings *settings;
    const struct ha_dynamic *dynamic;
};

/* The answer to an ask or a local request. */
struct ha_reply {
    uint64_t id;
    uint32_t code; /* As HTTP */
    char text[CLUSTER_REASON_SIZE];
};

#define HA_NOTE_MAP(X)                                        \
    X(NONE, DEBUG, "nothing")                                 \
    X(GRANT_SEEN, INFO, "new grant")                          \
    X(SERVING, INFO, "primary is serving")                    \
    X(REVOKED, INFO, "grant revoked")                         \
    X(HANDED_OVER, INFO, "handed over")                       \
    X(REVOKING, WARNING, "revoking the grant")                \
    X(CHOSEN, INFO, "chose the next primary")                 \
    X(NO_CANDIDATE, WARNING, "nobody can be primary")         \
    X(HANDING_OVER, INFO, "handing over")                     \
    X(LEASE_TAKEN, INFO, "lease runs")                        \
    X(LEASE_LOST, ERROR, "lease ended")                       \
    X(ROUND_REFUSED, DEBUG, "does not answer a lease round")  \
    X(PLEDGED, INFO, "pledged")                               \
    X(ACTION, INFO, "action")                                 \
    X(ACTION_FAILED, ERROR, "action failed")                  \
    X(PG_DIED, ERROR, "PostgreSQL died")                      \
    X(REFUSES_GRANT, ERROR, "cannot take this grant")         \
    X(ADOPTED, INFO, "adopted a running PostgreSQL")          \
    X(INIT_CLAIMED, INFO, "may initialise the cluster")       \
    X(WRONG_SYSTEM, CRITICAL, "system identifier mismatch")   \
    X(DIVERGED, WARNING, "WAL diverged from the primary's")   \
    X(MEMBER_CHANGE, INFO, "membership")                      \
    X(REQUEST, INFO, "request")                               \
    X(CONFIG_CHANGED, INFO, "dynamic configuration changed")  \
    X(VOID_COMMAND, DEBUG, "void command")                    \
    X(TRANSFER, INFO, "hands Raft leadership to the primary") \
    X(LEAVING, INFO, "leaving")

enum ha_note_kind {
#define X(code, level, text) HA_NOTE_##code,
    HA_NOTE_MAP(X)
#undef X
    HA_NOTE_KINDS
};

struct ha_note {
    enum ha_note_kind kind;
    uint64_t epoch;
    uint64_t node;
    char text[200]; /* Inputs and reason, one line. */
};

#define HA_NOTES_MAX     32
#define HA_MESSAGES_MAX  (2 * CLUSTER_MEMBERS_MAX)
#define HA_PROPOSALS_MAX 8
#define HA_REPLIES_MAX   8

struct ha_update {
    uint32_t message_count; /* `to` 0: to every other member. */
    const struct ha_message *messages;
    uint32_t proposal_count; /* Only when this node leads. */
    const struct command *proposals;

    const struct pg_action *action; /* NULL: none. */
    bool renew;                     /* Tell the guard: */
    uint64_t guard_epoch;
    uint64_t fence_at_ms;
    uint64_t deadline_ms;

    bool slots_changed;
    struct pg_slots slots;
    enum pg_callback callback; /* With callback_role. */
    const char *callback_role;
    bool config_changed; /* ha_config() is new: hand it to PostgreSQL's control. */
    bool watch_closely;  /* State, not edge. */

    uint64_t transfer_to;   /* Raft leadership; 0: no. */
    uint64_t add_learner;   /* Id of a stranger; 0: no. */
    uint64_t promote_voter; /* 0: no. */
    uint64_t remove_member; /* From Raft's membership; 0: no. */

    uint32_t reply_count;
    struct ha_reply replies[HA_REPLIES_MAX];
    bool left;  /* LEAVE is done: the process may end. */
    bool fatal; /* See the CRITICAL note: the process must end with status 1. */

    uint32_t note_count;
    struct ha_note notes[HA_NOTES_MAX];
    uint64_t wake_ms;
};

size_t ha_size(void);
struct ha *ha_init(void *memory, const struct ha_settings *settings, uint64_t now_ms);

/* Log changes. `command` is NULL for entries that carry none (Raft's own). */
void ha_log_truncated(struct ha *ha, uint64_t from_index);
void ha_log_appended(struct ha *ha, uint64_t index, uint64_t term, const struct command *command);
void ha_log_durable(struct ha *ha, uint64_t index);
void ha_apply(struct ha *ha, uint64_t index, uint64_t term, const struct command *command);
void ha_restore(struct ha *ha, uint64_t index, uint64_t term, const struct cluster *cluster);

void ha_step(struct ha *ha, const struct ha_event *event, struct ha_update *update);

/* Raft did not take a proposal of the last update: it will be made again soon. */
void ha_proposal_refused(struct ha *ha, enum command_kind kind);

/* Views; valid until the next call that changes something. */
const struct cluster *ha_cluster(const struct ha *ha);
uint64_t ha_applied_index(const struct ha *ha);
uint64_t ha_log_epoch(const struct ha *ha); /* Highest in the log, decided or not. */
bool ha_lease_runs(const struct ha *ha, uint64_t now_ms);

const char *ha_note_text(enum ha_note_kind kind);

#endif
