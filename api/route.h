/*
 * api/route.h - method and path to what is to be done.
 *
 * Pure. Only the method and the first segment of the path count, as users know it:
 * "/restart/x" is "/restart". A GET of anything unknown is a health check, and so is every
 * HEAD and OPTIONS: there is no 404.
 */
#ifndef PGBATON_API_ROUTE_H
#define PGBATON_API_ROUTE_H

#include <stdbool.h>

enum route_kind {
    ROUTE_UNKNOWN, /* 501 */
    ROUTE_HEALTH,
    ROUTE_LIVENESS,
    ROUTE_READINESS,
    ROUTE_PATRONI,
    ROUTE_CLUSTER,
    ROUTE_HISTORY,
    ROUTE_STATE,
    ROUTE_METRICS,
    ROUTE_FAILSAFE,
    ROUTE_CONFIG,
    ROUTE_CONFIG_PATCH,
    ROUTE_CONFIG_PUT,
    ROUTE_SWITCHOVER,
    ROUTE_SWITCHOVER_DELETE,
    ROUTE_FAILOVER,
    ROUTE_RESTART,
    ROUTE_RESTART_DELETE,
    ROUTE_RELOAD,
    ROUTE_REINITIALIZE,
    ROUTE_MEMBER_DELETE,
};

enum route_body {
    ROUTE_BODY_NONE, /* Whatever comes is ignored. */
    ROUTE_BODY_OPTIONAL,
    ROUTE_BODY_REQUIRED,
};

struct route {
    const char *method;
    const char *segment;
    enum route_kind kind;
    enum route_body body;
    bool safe; /* Changes nothing: never asks for a password. */
};

/* Never NULL. */
const struct route *route_find(const char *method, const char *path);

/* What follows the first segment: "n1" of "/members/n1", "" if nothing does. */
const char *route_rest(const char *path);

#endif
