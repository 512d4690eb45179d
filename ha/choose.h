/*
 * ha/choose.h - which node gets the next grant: a pure function of what the members report.
 *
 * Nodes are compared by (epoch of the newest first-commit marker in their WAL, LSN), then by
 * failover_priority. Timelines are not compared: two isolated promotions can take the same
 * one (rule 9).
 */
#ifndef PGBATON_HA_CHOOSE_H
#define PGBATON_HA_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "ha/cluster.h"
#include "pgctl/position.h"

enum choose_why_not {
    CHOOSE_ELIGIBLE,
    CHOOSE_NO_PLEDGE, /* Has not (fully) pledged to this epoch. */
    CHOOSE_NO_DATA,   /* No data directory, a witness, PostgreSQL not running. */
    CHOOSE_NOFAILOVER,
    CHOOSE_WATCHDOG, /* Required and unusable. */
    CHOOSE_FAILED,   /* Tried and failed; nothing has changed since. */
    CHOOSE_LEAVING,
    CHOOSE_WRONG_SYSTEM,   /* Another system identifier. */
    CHOOSE_TOO_FAR_BEHIND, /* maximum_lag_on_failover. */
};

struct choose_candidate {
    uint64_t node;
    bool pledged;
    bool has_data;
    bool nofailover;
    bool watchdog_failed;
    bool failed;
    bool leaving;
    bool wrong_system;
    bool old_primary; /* Grantee of the epoch before. */
    uint64_t marker_epoch;
    struct pg_position position;
    uint64_t shared_lsn; /* So far its marker's line and the last primary's are one. */
    int32_t priority;
    enum choose_why_not why_not; /* Result. */
};

struct choose_input {
    uint32_t count;
    struct choose_candidate candidates[CLUSTER_MEMBERS_MAX];
    uint64_t requested;         /* Node asked for; 0: none. Wins if eligible, whatever its lag. */
    uint64_t last_marker;       /* Newest epoch that served, and the newest position known of it: */
    uint64_t last_lsn;          /* the reference of the lag; 0: unknown. */
    uint64_t maximum_lag_bytes; /* UINT64_MAX: no limit. */
    bool old_primary_last;      /* It lost its lease or failed: equal nodes go before it. */
};

/* The node chosen, or 0. Fills why_not of each candidate. */
uint64_t choose_primary(struct choose_input *input);

/* Bytes that `candidate` lacks of the reference: what would be lost by choosing it. */
uint64_t choose_lag(const struct choose_input *input, const struct choose_candidate *candidate);

const char *choose_why_not_text(enum choose_why_not why_not);

#endif
