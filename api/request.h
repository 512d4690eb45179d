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

struct request_restart {
    bool pending_only;
    const char *role;       /* NULL: any. */
    uint32_t below_version; /* As server_version_num; 0: any. */
    uint64_t timeout_ms;    /* 0: as configured. */
};

/* `body` may be NULL: none was sent. */
bool request_restart_read(
    const struct node *body, struct request_restart *restart, struct request_refusal *refusal);

/* What a restart's filters are compared with. */
struct request_self {
    const char *role;
    uint32_t server_version; /* 0: unknown. */
    bool pending_restart;
};

/* NULL if this node is meant, else why not. */
const char *request_restart_why_not(
    const struct request_restart *restart, const struct request_self *self);

struct request_reinit {
    bool force;
    bool from_leader;
};

bool request_reinit_read(
    const struct node *body, struct request_reinit *reinit, struct request_refusal *refusal);

#endif
