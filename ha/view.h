/*
 * ha/view.h - what the outside may see of the ha part, filled from memory on request.
 *
 * Pure. The structs are copies or borrow from struct ha until its next step. api/ turns
 * them into health codes, JSON and metrics, and posts asks (ha.h) back.
 */
#ifndef PGBATON_HA_VIEW_H
#define PGBATON_HA_VIEW_H

#include "ha/cluster.h"
#include "ha/message.h"

struct ha;

/* Small and cheap: for the health checks, thousands of times a second. */
struct ha_health {
    bool lease;   /* This node holds the running lease and its epoch is SERVING. */
    bool primary; /* lease, and PostgreSQL is up and writable under that epoch. */
    bool running; /* PostgreSQL accepts connections. */
    bool replica; /* In recovery. */
    bool streaming;
    bool noloadbalance;
    bool paused;        /* Dynamic `pause`. */
    bool cluster_known; /* A leader was heard within ttl. */
    bool unlocked;      /* No serving primary is known. */
    bool starting;      /* UP is on its way. */
    bool witness;
    uint64_t received_lsn;
    uint64_t replayed_lsn;
    uint64_t leader_lsn;           /* Newest position of the primary known here; 0 unknown. */
    uint64_t maximum_lag_bytes;    /* Dynamic `maximum_lag_on_failover`. */
    const char *replication_state; /* "streaming", "in archive recovery" or "" */
    const char *tags;              /* JSON object text */
};
void ha_health(const struct ha *ha, uint64_t now_ms, struct ha_health *health);

struct ha_member_view {
    uint64_t id;
    struct cluster_member member;
    bool self;
    bool in_raft; /* Member of Raft's newest membership ... */
    bool voter;   /* ... with a vote. */
    bool known;   /* A status was heard since this daemon started ... */
    bool fresh;   /* ... and within the last ttl. */
    uint64_t heard_ago_ms;
    bool leader;             /* Grantee of a SERVING epoch. */
    struct ha_status status; /* Zero unless known. */
};

struct ha_view {
    const struct cluster *cluster;
    uint64_t self;
    uint64_t now_ms;
    bool is_raft_leader;
    uint64_t raft_leader;
    uint64_t raft_term;
    uint64_t log_epoch;
    uint64_t applied_index;
    uint64_t primary; /* Node id of the grantee of a SERVING epoch; 0 none. */
    bool lease_runs;
    uint64_t lease_left_ms;
    uint64_t round_number;
    uint64_t completed_number;
    uint64_t completed_ago_ms;
    const char *no_grant_reason;  /* "" or why nobody is granted. */
    const struct pg_facts *facts; /* Of this node. */
    uint32_t member_count;
    struct ha_member_view members[CLUSTER_MEMBERS_MAX]; /* Sorted by name. */
};

/* Large: the caller keeps one. */
void ha_view(const struct ha *ha, uint64_t now_ms, struct ha_view *view);

/*
 * What would be answered to a switchover or failover asked for now: 0 if it can be tried, else
 * the HTTP code, with the reason in `text`. `from_name` and `to_name` may be NULL or empty.
 * Fills `request` (but not its id).
 */
uint32_t ha_check_request(
    const struct ha *ha, enum cluster_request_kind kind, const char *from_name, const char *to_name,
    uint64_t scheduled_wall_ms, uint64_t now_ms, uint64_t now_wall_ms,
    struct cluster_request *request, char *text, unsigned long text_size);

const char *ha_state_name(enum ha_member_state state); /* "running", as in compat */
const char *ha_role_name(enum ha_member_role role);    /* "primary", "replica", ... */

#endif
