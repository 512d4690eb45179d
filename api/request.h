/*
 * api/request.h - bodies of calls that change something, checked.
 *
 * Pure: bodies are trees, parsed from JSON elsewhere. A reading function answers false
 * and fills in what to tell the caller. Texts are borrowed from the tree.
 */
#ifndef PGBATON_API_REQUEST_H
#define PGBATON_API_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/tree.h"
#include "ha/ha.h"
#include "ha/view.h"

struct request_refusal {
    uint32_t code; /* As HTTP. */
    char text[200];
};

/* A switchover or a failover; texts NULL where nothing was said. */
struct request_change {
    enum cluster_request_kind kind;
    const char *leader;
    const char *candidate;
    uint64_t scheduled_wall_ms; /* 0: now. */
};

/* `kind` as the path says; a failover that names a leader is a switchover. */
bool request_change_read(
    const struct node *body, enum cluster_request_kind kind, struct request_change *change,
    struct request_refusal *refusal);

/* `body` may be NULL: none was sent. */
bool request_restart_read(
    const struct node *body, struct ha_restart *restart, struct request_refusal *refusal);

/* Fills in what it says of how; `body` may be NULL. */
bool request_reinit_read(
    const struct node *body, struct ha_local *local, struct request_refusal *refusal);

#endif
