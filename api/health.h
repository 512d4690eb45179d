/*
 * api/health.h - is this node what a load balancer looks for?
 *
 * Pure. A path is looked through for words, in a fixed order, so that "/standby-leader",
 * "/primary" and "/my-primary-check" all work; arguments narrow it. /primary, and whatever
 * means the same, wants more than the lease: a PostgreSQL that is up and writable under it.
 *
 * A cluster has no synchronous standbys and follows no other cluster: /sync and /quorum
 * find nobody, /async everybody, /standby-leader nobody.
 */
#ifndef PGBATON_API_HEALTH_H
#define PGBATON_API_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/tree.h"
#include "ha/view.h"

#define HEALTH_TAGS_MAX 8

enum health_kind {
    HEALTH_NOTHING, /* No word was found: 503. */
    HEALTH_STANDBY_LEADER,
    HEALTH_LEADER,
    HEALTH_PRIMARY,
    HEALTH_REPLICA,
    HEALTH_READ_ONLY,
    HEALTH_RUNNING,
    HEALTH_SYNC,
    HEALTH_ASYNC,
    HEALTH_READ_ONLY_SYNC,
};

struct health_argument {
    const char *name;
    const char *value;
};

struct health_query {
    enum health_kind kind;
    bool has_lag;
    uint64_t lag_bytes;            /* UINT64_MAX: any, as for what is no number. */
    const char *replication_state; /* NULL: any. Borrowed, as all texts here. */
    bool mode_write;
    bool too_many_tags; /* More than are looked at: the answer is no. */
    uint32_t tag_count;
    struct health_argument tags[HEALTH_TAGS_MAX]; /* Names without "tag_". */
};

enum health_kind health_kind_of(const char *path);
void health_query_init(struct health_query *query, const char *path);
void health_query_add(struct health_query *query, const char *name, const char *value);

/* 200 or 503. `tags` is the node's map of tags, NULL if there is none. */
uint32_t health_check(
    const struct health_query *query, const struct ha_health *health, const struct node *tags);

/* /readiness: the lease holder, or a standby that streams and is not too far behind. */
uint32_t health_readiness(const struct health_query *query, const struct ha_health *health);

#endif
