/*
 * ha/cluster.h - the replicated state and the log entries that change it.
 *
 * A deterministic state machine: the same commands in the same order give the same
 * state on every node. A command names what it expects (an epoch and its phase, a
 * version) and is void in any other state, so every step of a change of primary may
 * be proposed twice, by two leaders, and is done once. Wall clock times are carried
 * by the commands, for people; nothing is decided by them but whether a scheduled
 * request was due.
 */
#ifndef PGBATON_HA_CLUSTER_H
#define PGBATON_HA_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "pgctl/position.h"

#define CLUSTER_MEMBERS_MAX  16
#define CLUSTER_HISTORY_MAX  64
#define CLUSTER_OUTCOMES_MAX 16
#define CLUSTER_NAME_SIZE    64
#define CLUSTER_URL_SIZE     160
#define CLUSTER_HOST_SIZE    128
#define CLUSTER_REASON_SIZE  120
#define CLUSTER_CONFIG_SIZE  49152u

/* What the membership of the cluster says of one node. Raft's own membership is apart. */
struct cluster_member {
    uint64_t id;          /* raft_id() of its peer address; 0: a free place. */
    uint64_t data_dir_id; /* 0: none yet, or a witness. */
    bool witness;         /* Votes, runs no PostgreSQL. */
    uint16_t pg_port;
    char name[CLUSTER_NAME_SIZE];
    char pg_host[CLUSTER_HOST_SIZE];
    char api_url[CLUSTER_URL_SIZE]; /* http[s]://connect_address/patroni */
};

enum cluster_phase {
    CLUSTER_NONE,    /* No epoch was ever revoked or granted. */
    CLUSTER_REVOKED, /* Nobody may serve; pledges are collected. */
    CLUSTER_GRANTED, /* The grantee prepares; it may promote under its lease. */
    CLUSTER_SERVING, /* The grantee is the primary. */
};

/* One grant, as the history keeps it. */
struct cluster_grant {
    uint64_t epoch; /* 0: none. */
    uint64_t node;
    uint64_t data_dir_id;
    uint64_t grant_term; /* The (term, index) of the entry: the name of the grant. */
    uint64_t grant_index;
    uint64_t parent; /* Epoch whose WAL the grantee continued (its marker); 0 for the first. */
    struct pg_position start;     /* Where it continued it: end of its WAL at the grant. */
    bool fenced;                  /* Nothing older can still run: voters need not wait. */
    bool served;                  /* SERVING was decided. */
    struct pg_position served_at; /* Timeline, and the end of the epoch's first commit. */
    uint64_t wall_ms;
    char name[CLUSTER_NAME_SIZE]; /* Of the node, as it was then. */
    char reason[CLUSTER_REASON_SIZE];
};

enum cluster_request_kind {
    CLUSTER_REQUEST_NONE,
    CLUSTER_REQUEST_SWITCHOVER,
    CLUSTER_REQUEST_FAILOVER,
};

struct cluster_request {
    enum cluster_request_kind kind;
    uint64_t id;                /* Random, drawn by whoever asked: makes a retry harmless. */
    uint64_t from;              /* Node that is primary now; 0: any. */
    uint64_t to;                /* Candidate; 0: the best. */
    uint64_t scheduled_wall_ms; /* 0: now. */
    uint64_t granted_epoch;     /* Granted in answer to it; it ends when that one serves. */
};

/* How a request or a change of configuration ended, for the one who waits for it. */
struct cluster_outcome {
    uint64_t id;
    uint32_t code; /* As HTTP. */
    char text[CLUSTER_REASON_SIZE];
};

struct cluster {
    uint64_t system_identifier; /* 0: PostgreSQL was not initialised yet. */
    uint64_t init_node;         /* May run initdb; 0: nobody. */
    struct cluster_member members[CLUSTER_MEMBERS_MAX];

    uint64_t epoch;
    enum cluster_phase phase;
    char revoke_reason[CLUSTER_REASON_SIZE];
    struct cluster_grant last; /* Newest grant: of `epoch`, or of the one before while REVOKED. */
    uint32_t history_count;    /* Oldest first; the newest is `last`. */
    struct cluster_grant history[CLUSTER_HISTORY_MAX];

    uint64_t ttl_ms;       /* In force. */
    uint64_t ttl_other_ms; /* 0, or the value beside it while it changes. */
    uint64_t ttl_index;    /* Index of the entry that put it there. */

    struct cluster_request request;
    uint32_t outcome_next;
    struct cluster_outcome outcomes[CLUSTER_OUTCOMES_MAX]; /* A ring. */

    uint64_t config_version;
    uint32_t config_size;             /* Without the NUL. */
    char config[CLUSTER_CONFIG_SIZE]; /* JSON text of the dynamic configuration. */
};

enum command_kind {
    COMMAND_NONE,
    COMMAND_MEMBER_SET,
    COMMAND_MEMBER_REMOVE,
    COMMAND_INIT,          /* `node` may run initdb; expects no system identifier. */
    COMMAND_REVOKE,        /* epoch; expects epoch - 1, not REVOKED. */
    COMMAND_GRANT,         /* epoch; expects that very epoch REVOKED. */
    COMMAND_SERVING,       /* epoch; expects that very epoch GRANTED. */
    COMMAND_HANDOVER,      /* epoch; expects epoch - 1 GRANTED or SERVING to `from`. */
    COMMAND_REQUEST_SET,   /* Expects none pending, or one of the same id. */
    COMMAND_REQUEST_CLEAR, /* Expects the one of that id. */
    COMMAND_CONFIG_SET,    /* Expects config_version. */
    COMMAND_TTL_BESIDE,    /* Expects no other value beside. */
    COMMAND_TTL_ALONE,     /* Expects that value beside. */
    COMMAND_KINDS,
};

struct command {
    enum command_kind kind;
    uint64_t epoch;
    uint64_t node; /* Grantee, or the member meant. */
    uint64_t from; /* HANDOVER */
    uint64_t data_dir_id;
    uint64_t parent;
    struct pg_position position;
    bool fenced;
    uint64_t system_identifier; /* GRANT: becomes the cluster's if it has none. */
    uint64_t wall_ms;
    uint64_t ttl_ms;
    char reason[CLUSTER_REASON_SIZE];
    struct cluster_member member;
    struct cluster_request request;
    struct cluster_outcome outcome; /* REQUEST_CLEAR: of the request that its id names. */
    uint64_t id; /* CONFIG_SET, REQUEST_CLEAR, MEMBER_REMOVE: of the one who asks; 0: nobody. */
    uint64_t config_version;
    uint32_t config_size;
    const char *config; /* Borrowed; NUL-terminated text. */
};

void cluster_init(struct cluster *cluster, uint64_t ttl_ms);

/* False if the command was void in this state. (term, index): of the entry that carried it. */
bool cluster_apply(
    struct cluster *cluster, const struct command *command, uint64_t term, uint64_t index);

/* The epoch the command is about, 0 if it is about none: rule "highest epoch in its log". */
uint64_t command_epoch(const struct command *command);

/* Commands that must all be applied before anything is acted upon. */
bool command_is_binding(const struct command *command);

const struct cluster_member *cluster_find(const struct cluster *cluster, uint64_t id);
const struct cluster_member *cluster_find_name(const struct cluster *cluster, const char *name);
const struct cluster_grant *cluster_grant_of(const struct cluster *cluster, uint64_t epoch);
const struct cluster_outcome *cluster_outcome(const struct cluster *cluster, uint64_t id);

/* A request that is under way. One that waits for its hour gives way to any other. */
bool cluster_request_stands(const struct cluster *cluster, uint64_t wall_ms);

/* The node that may serve or is to prepare now: grantee of the newest epoch; 0 while REVOKED. */
uint64_t cluster_grantee(const struct cluster *cluster);

/* The largest ttl this state names; what a wait has to cover. */
uint64_t cluster_ttl_max(const struct cluster *cluster);

/* The grant whose WAL it continued; NULL: none, or the history does not go back so far. */
const struct cluster_grant *cluster_parent_of(
    const struct cluster *cluster, const struct cluster_grant *grant);
/* Up to where the WAL of two epochs is one, as far as the history tells; UINT64_MAX: all of it. */
uint64_t cluster_shared_lsn(const struct cluster *cluster, uint64_t a, uint64_t b);
/* The newest grant that served; NULL: none did. */
const struct cluster_grant *cluster_last_served(const struct cluster *cluster);

const char *cluster_phase_name(enum cluster_phase phase);
const char *command_name(enum command_kind kind);

#endif
