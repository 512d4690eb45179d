#include "tests/fake/api_node.h"

#include <string.h>

#include "base/text.h"

#define WALL_MS UINT64_C(1785553200250) /* 2026-08-01 03:00:00.250 UTC */

static void fake_health(void *owner, struct ha_health *health)
{
    *health = ((const struct api_node *)owner)->health;
}

static void fake_view(void *owner, struct ha_view *view)
{
    *view = ((const struct api_node *)owner)->view;
}

static void fake_raft(void *owner, struct api_raft *raft)
{
    *raft = ((const struct api_node *)owner)->raft;
}

static uint32_t fake_check_request(
    void *owner, enum cluster_request_kind kind, const char *from, const char *to,
    uint64_t scheduled_wall_ms, struct cluster_request *request, char *text, size_t size)
{
    struct api_node *node = owner;

    node->checked_kind = kind;
    text_copy_cut(node->checked_from, sizeof node->checked_from, from == NULL ? "" : from);
    text_copy_cut(node->checked_to, sizeof node->checked_to, to == NULL ? "" : to);
    node->checked_wall_ms = scheduled_wall_ms;
    text_copy_cut(text, size, node->check_text == NULL ? "" : node->check_text);
    *request = (struct cluster_request){
        .kind = kind,
        .from = API_NODE_N1,
        .to = API_NODE_N2,
        .scheduled_wall_ms = scheduled_wall_ms,
    };
    return node->check_code;
}

static bool fake_ask(void *owner, const struct command *command, uint64_t id)
{
    struct api_node *node = owner;

    if (node->refuses) {
        return false;
    }
    node->ask_count++;
    node->asked_id = id;
    node->command = *command;
    text_copy_cut(
        node->config, sizeof node->config, command->config == NULL ? "" : command->config);
    node->command.config = node->config;
    if (node->on_asked != NULL) {
        node->on_asked(node, id);
    }
    return true;
}

static bool fake_local(void *owner, const struct ha_local *local)
{
    struct api_node *node = owner;

    if (node->refuses) {
        return false;
    }
    node->local_count++;
    node->local = *local;
    node->asked_id = local->id;
    if (node->on_asked != NULL) {
        node->on_asked(node, local->id);
    }
    return true;
}

const struct api_ops api_node_ops = {
    .health = fake_health,
    .view = fake_view,
    .raft = fake_raft,
    .check_request = fake_check_request,
    .ask = fake_ask,
    .local = fake_local,
};

static void set_member(struct api_node *node, uint32_t which, uint64_t id, const char *name)
{
    struct ha_member_view *view = &node->view.members[which];
    struct cluster_member *member = &node->cluster.members[which];
    struct text text;

    member->id = id;
    member->pg_port = 5432;
    text_copy_cut(member->name, sizeof member->name, name);
    text_init(&text, member->pg_host, sizeof member->pg_host);
    text_addf(&text, "10.0.0.%u", which + 1);
    text_init(&text, member->api_url, sizeof member->api_url);
    text_addf(&text, "http://10.0.0.%u:8008/patroni", which + 1);

    *view = (struct ha_member_view){
        .id = id,
        .member = *member,
        .self = id == API_NODE_N1,
        .in_raft = true,
        .voter = true,
        .known = true,
        .fresh = true,
        .heard_ago_ms = 100,
    };
    view->status.state = HA_STATE_RUNNING;
    view->status.role = HA_ROLE_REPLICA;
    view->status.run = PG_RUN_UP;
    view->status.data = PG_DATA_VALID;
    view->status.in_recovery = true;
    view->status.streaming = true;
    view->status.failover_priority = 1;
    view->status.position = (struct pg_position){.timeline = 3, .lsn = 0x5000000};
    view->status.received_lsn = 0x5000000;
    view->status.replayed_lsn = 0x4FFFF00;
    text_copy_cut(view->status.version, sizeof view->status.version, "0.1.0");
}

static void set_primary(struct api_node *node, uint32_t which)
{
    struct ha_member_view *view = &node->view.members[which];

    view->leader = true;
    view->status.role = HA_ROLE_PRIMARY;
    view->status.in_recovery = false;
    view->status.streaming = false;
    view->status.position.lsn = 0x5000060;
    view->status.received_lsn = 0;
    view->status.replayed_lsn = 0;
    node->view.primary = view->id;
    node->cluster.last.node = view->id;
}

static void set_cluster(struct api_node *node)
{
    struct cluster *cluster = &node->cluster;

    cluster_init(cluster, 2000);
    cluster->system_identifier = UINT64_C(7415036829190013573);
    cluster->epoch = 4;
    cluster->phase = CLUSTER_SERVING;
    cluster->history_count = 2;
    cluster->history[0] = (struct cluster_grant){
        .epoch = 1,
        .node = API_NODE_N1,
        .served = true,
        .served_at = {.timeline = 2, .lsn = 0x1000100},
        .wall_ms = WALL_MS - 7200000,
        .name = "n1",
        .reason = "initialised",
    };
    cluster->history[1] = (struct cluster_grant){
        .epoch = 4,
        .node = API_NODE_N1,
        .parent = 1,
        .start = {.timeline = 2, .lsn = 0x4000000},
        .fenced = true,
        .served = true,
        .served_at = {.timeline = 3, .lsn = 0x4000100},
        .wall_ms = WALL_MS - 3600250,
        .name = "n1",
        .reason = "switchover",
    };
    cluster->last = cluster->history[1];
    api_node_set_config(
        node, "{\"ttl\": 2, \"postgresql\": {\"parameters\": {\"work_mem\": "
              "\"8MB\"}}}");
}

static void set_facts(struct api_node *node)
{
    node->facts = (struct pg_facts){
        .data = PG_DATA_VALID,
        .system_identifier = UINT64_C(7415036829190013573),
        .record = {.data_dir_id = 0xd1, .marker_epoch = 4},
        .run = PG_RUN_UP,
        .writable_start = true,
        .start_epoch = 4,
        .sql_ok = true,
        .writable = true,
        .position = {.timeline = 3,       .lsn = 0x5000060 },
        .server_version = 150020,
        .postmaster_start_wall_ms = WALL_MS - 60000,
        .guard_ok = true,
        .guard_epoch = 4,
        .guard_rings = 1 | 8,
        .replica_count = 1,
    };
    node->facts.replicas[0] = (struct pg_replica){
        .application_name = "n2",
        .user_name = "replicator",
        .client_address = "10.0.0.2",
        .state = "streaming",
        .sync_state = "async",
    };
}

void api_node_init(struct api_node *node)
{
    memset(node, 0, sizeof *node);
    tree_init(&node->tree, node->tree_memory, sizeof node->tree_memory);
    node->conf.scope = "demo";
    node->conf.name = "n1";
    text_copy_cut(
        node->conf.restapi.listen.host, sizeof node->conf.restapi.listen.host, "127.0.0.1");
    set_cluster(node);
    set_facts(node);
    node->raft = (struct api_raft){
        .commit_index = 120,
        .last_index = 121,
        .commit_last_ms = 2,
        .commit_max_ms = 1250,
        .peers_up = 2,
        .log_lines_lost = 7,
    };
    node->view = (struct ha_view){
        .cluster = &node->cluster,
        .self = API_NODE_N1,
        .now_ms = 100000,
        .is_raft_leader = true,
        .raft_leader = API_NODE_N1,
        .raft_term = 7,
        .log_epoch = 4,
        .applied_index = 119,
        .lease_runs = true,
        .lease_left_ms = 1900,
        .round_number = 50,
        .completed_number = 49,
        .completed_ago_ms = 250,
        .no_grant_reason = "",
        .facts = &node->facts,
        .member_count = 3,
    };
    set_member(node, 0, API_NODE_N1, "n1");
    set_member(node, 1, API_NODE_N2, "n2");
    set_member(node, 2, API_NODE_N3, "n3");
    set_primary(node, 0);
    node->health = (struct ha_health){
        .lease = true,
        .primary = true,
        .running = true,
        .cluster_known = true,
        .leader_lsn = 0x5000060,
        .maximum_lag_bytes = 1048576,
        .replication_state = "",
        .tags = "{}",
    };
}

void api_node_be_standby(struct api_node *node)
{
    api_node_init(node);
    set_member(node, 0, API_NODE_N1, "n1");
    set_primary(node, 1);
    node->view.is_raft_leader = false;
    node->view.raft_leader = API_NODE_N2;
    node->view.lease_runs = false;
    node->facts.writable_start = false;
    node->facts.start_epoch = 0;
    node->facts.in_recovery = true;
    node->facts.writable = false;
    node->facts.position.lsn = 0x5000000;
    node->facts.received_lsn = 0x5000000;
    node->facts.replayed_lsn = 0x4FFFF00;
    node->facts.replayed_wall_ms = (int64_t)WALL_MS - 1000;
    node->facts.replica_count = 0;
    node->facts.guard_epoch = 0;
    text_copy_cut(node->facts.receiver_state, sizeof node->facts.receiver_state, "streaming");
    node->health.lease = false;
    node->health.primary = false;
    node->health.replica = true;
    node->health.streaming = true;
    node->health.received_lsn = 0x5000000;
    node->health.replayed_lsn = 0x4FFFF00;
    node->health.replication_state = "streaming";
}

void api_node_be_new(struct api_node *node)
{
    api_node_init(node);
    cluster_init(&node->cluster, 2000);
    node->facts = (struct pg_facts){.data = PG_DATA_EMPTY};
    node->raft = (struct api_raft){0};
    node->view = (struct ha_view){
        .cluster = &node->cluster,
        .self = API_NODE_N1,
        .now_ms = 100000,
        .no_grant_reason = "nobody has data",
        .facts = &node->facts,
    };
    node->health = (struct ha_health){
        .unlocked = true,
        .replication_state = "",
        .tags = "",
    };
}

void api_node_set_config(struct api_node *node, const char *json)
{
    text_copy_cut(node->cluster.config, sizeof node->cluster.config, json);
    node->cluster.config_size = (uint32_t)strlen(node->cluster.config);
    node->cluster.config_version++;
}

struct show api_node_show(const struct api_node *node)
{
    return (struct show){
        .view = &node->view,
        .health = &node->health,
        .raft = &node->raft,
        .scope = "demo",
        .name = "n1",
        .wall_ms = WALL_MS,
    };
}
