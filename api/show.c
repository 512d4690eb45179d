#include "api/show.h"

#include "base/assert.h"
#include "base/time.h"

const struct ha_member_view *show_self(const struct show *show)
{
    for (uint32_t i = 0; i < show->view->member_count; i++) {
        if (show->view->members[i].self) {
            return &show->view->members[i];
        }
    }
    return NULL;
}

const char *show_name(const struct show *show, uint64_t node)
{
    const struct cluster_member *member = cluster_find(show->view->cluster, node);

    return member == NULL ? "" : member->name;
}

bool show_is_live(const struct show *show)
{
    return show->view->facts->run == PG_RUN_UP && show->view->facts->sql_ok;
}

static enum ha_member_state state_of_run(enum pg_run run)
{
    switch (run) {
    case PG_RUN_UP:
        return HA_STATE_RUNNING;
    case PG_RUN_STARTING:
        return HA_STATE_STARTING;
    case PG_RUN_STOPPING:
    case PG_RUN_DYING:
        return HA_STATE_STOPPING;
    case PG_RUN_UNKNOWN:
    case PG_RUN_STOPPED:
        return HA_STATE_STOPPED;
    }
    UNREACHABLE();
}

enum ha_member_state show_state(const struct show *show)
{
    const struct ha_member_view *self = show_self(show);

    return self != NULL && self->known ? self->status.state : state_of_run(show->view->facts->run);
}

const char *show_role(const struct show *show)
{
    const struct ha_member_view *self = show_self(show);

    if (show_is_live(show)) {
        return ha_role_name(show->view->facts->in_recovery ? HA_ROLE_REPLICA : HA_ROLE_PRIMARY);
    }
    if (self != NULL && self->known) {
        return ha_role_name(self->status.role);
    }
    return ha_role_name(show->health->witness ? HA_ROLE_WITNESS : HA_ROLE_UNINITIALIZED);
}

uint64_t show_last_seen_s(const struct show *show)
{
    return time_since(show->wall_ms, show->view->completed_ago_ms) / 1000;
}

uint64_t show_lag(const struct show *show, uint64_t lsn)
{
    const uint64_t leader_lsn = show->health->leader_lsn;

    return leader_lsn > lsn ? leader_lsn - lsn : 0;
}

uint32_t show_rings(uint32_t rings, const char *names[SHOW_RINGS_MAX])
{
    static const char *const all[SHOW_RINGS_MAX] = {"timer", "pidns", "cgroup", "watchdog"};
    uint32_t count = 0;

    for (uint32_t i = 0; i < SHOW_RINGS_MAX; i++) {
        if ((rings >> i & 1) != 0) {
            names[count++] = all[i];
        }
    }
    return count;
}
