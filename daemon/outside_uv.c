/*
 * The HTTP server's questions, answered from ha's memory; its requests, handed to ha.
 */
#include <string.h>

#include "api/server_uv.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/log_sys.h"
#include "base/text.h"
#include "daemon/daemon_impl_uv.h"

static void on_health(void *owner, struct ha_health *health)
{
    const struct daemon *daemon = owner;

    ha_health(daemon->ha, clock_boot_ms(), health);
}

static void on_view(void *owner, struct ha_view *view)
{
    const struct daemon *daemon = owner;

    ha_view(daemon->ha, clock_boot_ms(), view);
}

static void on_raft(void *owner, struct api_raft *raft)
{
    const struct daemon *daemon = owner;
    struct store_stats store;
    struct mesh_stats mesh;

    store_uv_stats(daemon->store, &store);
    mesh_stats(daemon->mesh, &mesh);
    *raft = (struct api_raft){
        .commit_index = raft_commit_index(daemon->raft),
        .last_index = raft_last_index(daemon->raft),
        .commit_last_ms = store.commit_last_us / 1000,
        .commit_max_ms = store.commit_max_us / 1000,
        .peers_up = mesh.links_up,
        .left_out = raft_is_left_out(daemon->raft),
        .log_lines_lost = log_sys_lost(),
    };
}

static uint32_t on_check_request(
    void *owner, enum cluster_request_kind kind, const char *from, const char *to,
    uint64_t scheduled_wall_ms, struct cluster_request *request, char *text, size_t size)
{
    const struct daemon *daemon = owner;

    return ha_check_request(
        daemon->ha, kind, from, to, scheduled_wall_ms, clock_boot_ms(), clock_wall_ms(), request,
        text, size);
}

static bool on_ask(void *owner, const struct command *command, uint64_t id)
{
    struct daemon *daemon = owner;

    (void)id; /* It is in the command. */
    if (daemon->closing || daemon->stepping) {
        return false;
    }
    decide_event(daemon, (struct ha_event){.kind = HA_EVENT_ASK, .ask = command});
    return true;
}

static bool on_local(void *owner, const struct ha_local *request)
{
    struct daemon *daemon = owner;

    if (daemon->closing || daemon->stepping) {
        return false;
    }
    if (request->kind == HA_LOCAL_RELOAD) {
        daemon_reload(daemon);
    }
    decide_event(daemon, (struct ha_event){.kind = HA_EVENT_LOCAL, .local = request});
    return true;
}

static const struct api_ops api_ops = {
    .health = on_health,
    .view = on_view,
    .raft = on_raft,
    .check_request = on_check_request,
    .ask = on_ask,
    .local = on_local,
};

enum status outside_open(struct daemon *daemon, struct err *err)
{
    return api_server_open(&daemon->loop, &api_ops, daemon, &daemon->conf.conf, &daemon->api, err);
}

void outside_reload(struct daemon *daemon)
{
    api_server_set_conf(daemon->api, &daemon->conf.conf);
}

static void on_closed(void *owner)
{
    daemon_closed_part(owner);
}

void outside_close(struct daemon *daemon)
{
    if (daemon->api != NULL) {
        api_server_close(daemon->api, on_closed);
        daemon->api = NULL;
    }
}

void outside_replies(struct daemon *daemon, const struct ha_update *update)
{
    for (uint32_t i = 0; i < update->reply_count && daemon->api != NULL; i++) {
        api_reply(
            daemon->api, update->replies[i].id, update->replies[i].code, update->replies[i].text);
    }
}
