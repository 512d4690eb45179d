/*
 * api/show.h - what the views of a node are made from, and small things they share.
 *
 * Pure.
 */
#ifndef PGBATON_API_SHOW_H
#define PGBATON_API_SHOW_H

#include "api/api.h"

struct show {
    const struct ha_view *view;
    const struct ha_health *health;
    const struct api_raft *raft;
    const char *scope;
    const char *name;
    bool failsafe_mode; /* Dynamic `failsafe_mode`. */
    uint64_t wall_ms;
};

/* This node among the members; NULL as long as the cluster does not know it. */
const struct ha_member_view *show_self(const struct show *show);

/* A member's name, "" if there is no such member. */
const char *show_name(const struct show *show, uint64_t node);

/* PostgreSQL answers the status query: what it said of itself is known. */
bool show_is_live(const struct show *show);

/* enum ha_member_state, also of a node the cluster does not know yet. */
enum ha_member_state show_state(const struct show *show);

/* "primary", "replica", ...: as PostgreSQL says, else as last known. */
const char *show_role(const struct show *show);

/* When the rest of the cluster was last heard of, in seconds since 1970. */
uint64_t show_last_seen_s(const struct show *show);

/* Bytes between the newest known position of the primary and `lsn`; 0 if that is ahead. */
uint64_t show_lag(const struct show *show, uint64_t lsn);

#define SHOW_RINGS_MAX 4

/* Names of the guard's rings in `rings`, bits of pgctl/guard_proto.h; returns how many. */
uint32_t show_rings(uint32_t rings, const char *names[SHOW_RINGS_MAX]);

#endif
