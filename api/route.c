#include "api/route.h"

#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/text.h"

static const struct route routes[] = {
    {"GET",    "liveness",     ROUTE_LIVENESS,          ROUTE_BODY_NONE,     true },
    {"GET",    "readiness",    ROUTE_READINESS,         ROUTE_BODY_NONE,     true },
    {"GET",    "patroni",      ROUTE_PATRONI,           ROUTE_BODY_NONE,     true },
    {"GET",    "cluster",      ROUTE_CLUSTER,           ROUTE_BODY_NONE,     true },
    {"GET",    "history",      ROUTE_HISTORY,           ROUTE_BODY_NONE,     true },
    {"GET",    "state",        ROUTE_STATE,             ROUTE_BODY_NONE,     true },
    {"GET",    "metrics",      ROUTE_METRICS,           ROUTE_BODY_NONE,     true },
    {"GET",    "failsafe",     ROUTE_FAILSAFE,          ROUTE_BODY_NONE,     true },
    {"GET",    "config",       ROUTE_CONFIG,            ROUTE_BODY_NONE,     true },
    {"PATCH",  "config",       ROUTE_CONFIG_PATCH,      ROUTE_BODY_REQUIRED, false},
    {"PUT",    "config",       ROUTE_CONFIG_PUT,        ROUTE_BODY_REQUIRED, false},
    {"POST",   "switchover",   ROUTE_SWITCHOVER,        ROUTE_BODY_REQUIRED, false},
    {"DELETE", "switchover",   ROUTE_SWITCHOVER_DELETE, ROUTE_BODY_NONE,     false},
    {"POST",   "failover",     ROUTE_FAILOVER,          ROUTE_BODY_REQUIRED, false},
    {"POST",   "restart",      ROUTE_RESTART,           ROUTE_BODY_OPTIONAL, false},
    {"DELETE", "restart",      ROUTE_RESTART_DELETE,    ROUTE_BODY_NONE,     false},
    {"POST",   "reload",       ROUTE_RELOAD,            ROUTE_BODY_NONE,     false},
    {"POST",   "reinitialize", ROUTE_REINITIALIZE,      ROUTE_BODY_OPTIONAL, false},
    {"DELETE", "members",      ROUTE_MEMBER_DELETE,     ROUTE_BODY_NONE,     false},
};

static const struct route health = {"GET", "", ROUTE_HEALTH, ROUTE_BODY_NONE, true};
static const struct route unknown = {"", "", ROUTE_UNKNOWN, ROUTE_BODY_NONE, true};

static bool has_segment(const char *path, const char *segment)
{
    const size_t length = strlen(segment);

    return path[0] == '/' && strncmp(path + 1, segment, length) == 0 &&
           (path[1 + length] == '\0' || path[1 + length] == '/');
}

const struct route *route_find(const char *method, const char *path)
{
    if (text_equal(method, "HEAD") || text_equal(method, "OPTIONS")) {
        return &health;
    }
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (text_equal(method, routes[i].method) && has_segment(path, routes[i].segment)) {
            return &routes[i];
        }
    }
    return text_equal(method, "GET") ? &health : &unknown;
}

const char *route_rest(const char *path)
{
    const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;

    return slash == NULL ? "" : slash + 1;
}
