#include "api/show_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/stamp.h"
#include "base/assert.h"
#include "base/attr.h"
#include "base/name.h"
#include "base/text.h"

#define TEXT_MAX 512

/* Putting values. What cannot be had for want of memory ends the process. */

static void put(json_t *object, const char *key, json_t *value)
{
    int rc;

    ASSERT(value != NULL);
    rc = json_object_set_new(object, key, value);
    ASSERT(rc == 0);
}

static json_t *integer(uint64_t number)
{
    /* JSON has no larger ones that every program understands. */
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

/* Texts come from other programs too: what is not UTF-8 is shown as question marks. */
static json_t *string(const char *text)
{
    json_t *value = json_string(text);
    char clean[TEXT_MAX];

    if (value != NULL) {
        return value;
    }
    text_copy_cut(clean, sizeof clean, text);
    for (char *c = clean; *c != '\0'; c++) {
        *c = (*c & 0x80) != 0 ? '?' : *c;
    }
    return json_string(clean);
}

static void put_number(json_t *object, const char *key, uint64_t number)
{
    put(object, key, integer(number));
}

static void put_text(json_t *object, const char *key, const char *text)
{
    put(object, key, string(text));
}

static void put_flag(json_t *object, const char *key, bool flag)
{
    put(object, key, json_boolean(flag));
}

/* Only where it is true: that is how users know it. */
static void put_if(json_t *object, const char *key, bool flag)
{
    if (flag) {
        put(object, key, json_true());
    }
}

static void put_stamp(json_t *object, const char *key, uint64_t wall_ms, char separator)
{
    char text[STAMP_SIZE];

    stamp_print(wall_ms, separator, text);
    put_text(object, key, text);
}

static void put_u64_text(json_t *object, const char *key, uint64_t number)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    put_text(object, key, text);
}

/* Random 64 bits, which not every program can hold as a number. */
static void put_id(json_t *object, const char *key, uint64_t id)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%016" PRIx64, id);
    put_text(object, key, text);
}

static void put_lsn(json_t *object, const char *key, uint64_t lsn)
{
    char text[PG_LSN_TEXT_SIZE];

    (void)snprintf(text, sizeof text, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
    put_text(object, key, text);
}

/* JSON text made elsewhere; left out if it is none or has nothing in it. */
static void put_object_text(json_t *object, const char *key, const char *text)
{
    json_t *value = text[0] == '\0' ? NULL : json_loads(text, 0, NULL);

    if (value != NULL && json_is_object(value) && json_object_size(value) > 0) {
        put(object, key, value);
    } else {
        json_decref(value);
    }
}

static json_t *new_object(void)
{
    json_t *object = json_object();

    ASSERT(object != NULL);
    return object;
}

static json_t *new_array(void)
{
    json_t *array = json_array();

    ASSERT(array != NULL);
    return array;
}

static void append(json_t *array, json_t *value)
{
    int rc;

    ASSERT(value != NULL);
    rc = json_array_append_new(array, value);
    ASSERT(rc == 0);
}

/* ", " and ": " between things, as users' scripts search for them. */
static char *finish(json_t *root)
{
    char *text = json_dumps(root, 0);

    ASSERT(text != NULL);
    json_decref(root);
    return text;
}

/* GET /patroni */

static json_t *make_xlog(const struct show *show)
{
    const struct pg_facts *facts = show->view->facts;
    json_t *xlog = new_object();

    if (!facts->in_recovery) {
        put_number(xlog, "location", facts->position.lsn);
        return xlog;
    }
    put_number(
        xlog, "received_location",
        facts->received_lsn != 0 ? facts->received_lsn : facts->replayed_lsn);
    put_number(xlog, "replayed_location", facts->replayed_lsn);
    if (facts->replayed_wall_ms > 0) {
        put_stamp(xlog, "replayed_timestamp", (uint64_t)facts->replayed_wall_ms, ' ');
    } else {
        put(xlog, "replayed_timestamp", json_null());
    }
    put_flag(xlog, "paused", facts->replay_paused);
    return xlog;
}

static void put_replication(json_t *root, const struct pg_facts *facts)
{
    json_t *replication;

    if (facts->replica_count == 0) {
        return;
    }
    replication = new_array();
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        const struct pg_replica *replica = &facts->replicas[i];
        json_t *item = new_object();

        put_text(item, "usename", replica->user_name);
        put_text(item, "application_name", replica->application_name);
        put_text(item, "client_addr", replica->client_address);
        put_text(item, "state", replica->state);
        put_text(item, "sync_state", replica->sync_state);
        put(item, "sync_priority", json_integer(replica->sync_priority));
        append(replication, item);
    }
    put(root, "replication", replication);
}

static void put_live(json_t *root, const struct show *show)
{
    const struct pg_facts *facts = show->view->facts;

    if (!show_is_live(show)) {
        return;
    }
    put_stamp(root, "postmaster_start_time", facts->postmaster_start_wall_ms, ' ');
    put_number(root, "server_version", facts->server_version);
    put(root, "xlog", make_xlog(show));
    if (facts->position.timeline != 0) {
        put_number(root, "timeline", facts->position.timeline);
    } else {
        put(root, "timeline", json_null());
    }
    if (show->health->replication_state[0] != '\0') {
        put_text(root, "replication_state", show->health->replication_state);
    }
    put_replication(root, facts);
}

static json_t *make_about(const struct show *show)
{
    json_t *about = new_object();

    put_text(about, "version", PRODUCT_VERSION);
    put_text(about, "scope", show->scope);
    put_text(about, "name", show->name);
    return about;
}

static void put_version(json_t *object, const char *key, uint32_t version)
{
    char text[32];

    if (version >= 100000) {
        (void)snprintf(text, sizeof text, "%u.%u", version / 10000, version % 10000);
    } else {
        (void)snprintf(
            text, sizeof text, "%u.%u.%u", version / 10000, version / 100 % 100, version % 100);
    }
    put_text(object, key, text);
}

static void put_scheduled_restart(json_t *root, const struct ha_member_view *member)
{
    const struct ha_restart *restart = &member->status.restart;
    json_t *scheduled;

    if (!member->known || restart->at_wall_ms == 0) {
        return;
    }
    scheduled = new_object();
    put_stamp(scheduled, "schedule", restart->at_wall_ms, 'T');
    put_if(scheduled, "restart_pending", restart->pending_only);
    if (restart->role[0] != '\0') {
        put_text(scheduled, "role", restart->role);
    }
    if (restart->below_version != 0) {
        put_version(scheduled, "postgres_version", restart->below_version);
    }
    if (restart->timeout_ms != 0) {
        put_number(scheduled, "timeout", restart->timeout_ms / 1000);
    }
    put(root, "scheduled_restart", scheduled);
}

char *show_patroni(const struct show *show)
{
    const struct ha_member_view *self = show_self(show);
    const struct pg_facts *facts = show->view->facts;
    const uint64_t system = show->view->cluster->system_identifier;
    json_t *root = new_object();

    put_text(root, "state", ha_state_name(show_state(show)));
    put_text(root, "role", show_role(show));
    put_live(root, show);
    put_if(root, "pause", show->health->paused);
    put_if(root, "cluster_unlocked", show->health->unlocked || !show->health->cluster_known);
    put_number(root, "dcs_last_seen", show_last_seen_s(show));
    put_object_text(root, "tags", show->health->tags);
    if (facts->system_identifier != 0 || system != 0) {
        put_u64_text(
            root, "database_system_identifier",
            facts->system_identifier != 0 ? facts->system_identifier : system);
    }
    put_if(root, "pending_restart", facts->pending_restart);
    put_object_text(root, "pending_restart_reason", facts->pending_restart_reason);
    if (self != NULL) {
        put_scheduled_restart(root, self);
    }
    put_if(root, "watchdog_failed", facts->watchdog_failed);
    put(root, "patroni", make_about(show));
    return finish(root);
}

/* GET /cluster */

static const char *member_role(const struct ha_member_view *member)
{
    if (member->leader) {
        return "leader";
    }
    return member->member.witness ? ha_role_name(HA_ROLE_WITNESS) : ha_role_name(HA_ROLE_REPLICA);
}

/* What a silent member did last is known only if it said that it stops. */
static const char *member_state(const struct ha_member_view *member)
{
    const struct ha_status *status = &member->status;

    if (!member->known || (!member->fresh && status->state != HA_STATE_STOPPED)) {
        return "unknown";
    }
    if (!member->leader && status->state == HA_STATE_RUNNING && status->in_recovery) {
        return status->streaming ? "streaming" : "in archive recovery";
    }
    return ha_state_name(status->state);
}

static void put_lsn_and_lag(
    json_t *item, const char *lsn_key, const char *lag_key, const struct show *show, uint64_t lsn)
{
    if (lsn == 0) {
        put_text(item, lsn_key, "unknown");
        put_text(item, lag_key, "unknown");
        return;
    }
    put_lsn(item, lsn_key, lsn);
    put_number(item, lag_key, show_lag(show, lsn));
}

static void put_positions(
    json_t *item, const struct show *show, const struct ha_member_view *member)
{
    const struct ha_status *status = &member->status;
    const bool heard = member->known && member->fresh;
    const uint64_t received = heard ? status->received_lsn : 0;
    const uint64_t replayed = heard ? status->replayed_lsn : 0;

    put_lsn_and_lag(item, "receive_lsn", "receive_lag", show, received);
    put_lsn_and_lag(item, "replay_lsn", "replay_lag", show, replayed);
    put_lsn_and_lag(item, "lsn", "lag", show, received > replayed ? received : replayed);
}

static json_t *make_member(const struct show *show, const struct ha_member_view *member)
{
    const struct ha_status *status = &member->status;
    json_t *item = new_object();

    put_text(item, "name", member->member.name);
    put_text(item, "role", member_role(member));
    put_text(item, "state", member_state(member));
    put_text(item, "api_url", member->member.api_url);
    if (member->member.pg_host[0] != '\0') {
        put_text(item, "host", member->member.pg_host);
        put_number(item, "port", member->member.pg_port);
    }
    if (status->position.timeline != 0) {
        put_number(item, "timeline", status->position.timeline);
    }
    put_if(item, "pending_restart", status->pending_restart);
    put_object_text(item, "pending_restart_reason", status->pending_restart_reason);
    put_scheduled_restart(item, member);
    put_object_text(item, "tags", status->tags);
    if (!member->leader && !member->member.witness) {
        put_positions(item, show, member);
    }
    return item;
}

static void put_scheduled(json_t *root, const struct show *show)
{
    const struct cluster_request *request = &show->view->cluster->request;
    json_t *scheduled;

    if (request->kind == CLUSTER_REQUEST_NONE || request->scheduled_wall_ms == 0) {
        return;
    }
    scheduled = new_object();
    put_stamp(scheduled, "at", request->scheduled_wall_ms, 'T');
    if (request->from != 0) {
        put_text(scheduled, "from", show_name(show, request->from));
    }
    if (request->to != 0) {
        put_text(scheduled, "to", show_name(show, request->to));
    }
    put(root, "scheduled_switchover", scheduled);
}

char *show_cluster(const struct show *show)
{
    json_t *root = new_object();
    json_t *members = new_array();

    for (uint32_t i = 0; i < show->view->member_count; i++) {
        append(members, make_member(show, &show->view->members[i]));
    }
    put(root, "members", members);
    put_text(root, "scope", show->scope);
    if (show->view->cluster->system_identifier != 0) {
        put_u64_text(root, "system_identifier", show->view->cluster->system_identifier);
    }
    put_if(root, "pause", show->health->paused);
    put_scheduled(root, show);
    return finish(root);
}

/* GET /history */

char *show_history(const struct show *show)
{
    const struct cluster *cluster = show->view->cluster;
    json_t *root = new_array();
    uint32_t timeline =
        0; /* That was left: what the standby that was chosen knew of it may be old. */

    for (uint32_t i = 0; i < cluster->history_count; i++) {
        const struct cluster_grant *grant = &cluster->history[i];
        const uint32_t before = timeline != 0 ? timeline : grant->start.timeline;
        char stamp[STAMP_SIZE];
        json_t *entry;

        if (!grant->served) {
            continue;
        }
        timeline = grant->served_at.timeline;
        /* A restart in place goes on on its timeline; the first grant had none before it. */
        if (before == 0 || before == timeline) {
            continue;
        }
        stamp_print(grant->wall_ms, 'T', stamp);
        entry = new_array();
        append(entry, integer(before));
        append(entry, integer(grant->start.lsn));
        append(entry, string(grant->reason));
        append(entry, string(stamp));
        append(entry, string(grant->name));
        append(root, entry);
    }
    return finish(root);
}

char *show_failsafe(const struct show *show)
{
    json_t *root = new_object();

    for (uint32_t i = 0; i < show->view->member_count; i++) {
        const struct cluster_member *member = &show->view->members[i].member;

        if (!member->witness) {
            put_text(root, member->name, member->api_url);
        }
    }
    return finish(root);
}

/* GET /state */

static json_t *make_position(struct pg_position position)
{
    json_t *item = new_object();

    put_number(item, "timeline", position.timeline);
    put_lsn(item, "lsn", position.lsn);
    return item;
}

static json_t *make_grant(const struct cluster_grant *grant)
{
    json_t *item = new_object();

    put_number(item, "epoch", grant->epoch);
    put_text(item, "name", grant->name);
    put_id(item, "node", grant->node);
    put_id(item, "data_dir", grant->data_dir_id);
    put_number(item, "parent", grant->parent);
    put(item, "start", make_position(grant->start));
    put_flag(item, "fenced", grant->fenced);
    put_flag(item, "served", grant->served);
    put(item, "served_at", make_position(grant->served_at));
    put_stamp(item, "at", grant->wall_ms, 'T');
    put_text(item, "reason", grant->reason);
    return item;
}

static json_t *make_epoch(const struct show *show)
{
    const struct cluster *cluster = show->view->cluster;
    json_t *item = new_object();

    put_number(item, "number", cluster->epoch);
    put_text(item, "phase", cluster_phase_name(cluster->phase));
    put_text(item, "grantee", show_name(show, cluster_grantee(cluster)));
    put_text(item, "revoke_reason", cluster->revoke_reason);
    put_text(item, "no_grant_reason", show->view->no_grant_reason);
    put_number(item, "in_log", show->view->log_epoch);
    return item;
}

static json_t *make_lease(const struct show *show)
{
    const struct ha_view *view = show->view;
    json_t *item = new_object();

    put_flag(item, "runs", view->lease_runs);
    put_number(item, "left_ms", view->lease_runs ? view->lease_left_ms : 0);
    put_number(item, "ttl_ms", view->cluster->ttl_ms);
    put_number(item, "ttl_beside_ms", view->cluster->ttl_other_ms);
    put_number(item, "round", view->round_number);
    put_number(item, "completed_round", view->completed_number);
    put_number(item, "completed_ago_ms", view->completed_ago_ms);
    return item;
}

static json_t *make_raft(const struct show *show)
{
    json_t *item = new_object();

    put_flag(item, "is_leader", show->view->is_raft_leader);
    put_text(item, "leader", show_name(show, show->view->raft_leader));
    put_number(item, "term", show->view->raft_term);
    put_number(item, "last_index", show->raft->last_index);
    put_number(item, "commit_index", show->raft->commit_index);
    put_number(item, "applied_index", show->view->applied_index);
    put_number(item, "store_commit_last_ms", show->raft->commit_last_ms);
    put_number(item, "store_commit_max_ms", show->raft->commit_max_ms);
    put_number(item, "peers_up", show->raft->peers_up);
    put_flag(item, "left_out", show->raft->left_out);
    return item;
}

static json_t *make_postgresql(const struct pg_facts *facts)
{
    json_t *item = new_object();

    put_text(item, "data", pg_data_name(facts->data));
    put_id(item, "data_dir", facts->record.data_dir_id);
    put_number(item, "marker_epoch", facts->record.marker_epoch);
    put_text(item, "run", pg_run_name(facts->run));
    put_number(item, "writable_epoch", facts->writable_start ? facts->start_epoch : 0);
    put_flag(item, "answers", facts->sql_ok);
    put_flag(item, "in_recovery", facts->in_recovery);
    put_flag(item, "writable", facts->writable);
    put(item, "position", make_position(facts->position));
    put_lsn(item, "received", facts->received_lsn);
    put_lsn(item, "replayed", facts->replayed_lsn);
    put_text(item, "receiver", facts->receiver_state);
    put_text(item, "progress", facts->progress);
    return item;
}

static json_t *make_guard(const struct pg_facts *facts)
{
    const char *names[SHOW_RINGS_MAX];
    const uint32_t count = show_rings(facts->guard_rings, names);
    json_t *rings = new_array();
    json_t *item = new_object();

    for (uint32_t i = 0; i < count; i++) {
        append(rings, json_string(names[i]));
    }
    put_flag(item, "ok", facts->guard_ok);
    put(item, "rings", rings);
    put_number(item, "epoch", facts->guard_epoch);
    put_number(item, "fenced_epoch", facts->guard_fenced);
    put_flag(item, "watchdog_failed", facts->watchdog_failed);
    return item;
}

static json_t *make_request(const struct show *show)
{
    const struct cluster_request *request = &show->view->cluster->request;
    json_t *item;

    if (request->kind == CLUSTER_REQUEST_NONE) {
        return json_null();
    }
    item = new_object();
    put_text(item, "kind", request->kind == CLUSTER_REQUEST_FAILOVER ? "failover" : "switchover");
    put_id(item, "id", request->id);
    put_text(item, "from", show_name(show, request->from));
    put_text(item, "to", show_name(show, request->to));
    if (request->scheduled_wall_ms != 0) {
        put_stamp(item, "at", request->scheduled_wall_ms, 'T');
    }
    return item;
}

static json_t *make_state_member(const struct ha_member_view *member)
{
    const struct ha_status *status = &member->status;
    json_t *item = new_object();

    put_text(item, "name", member->member.name);
    put_id(item, "node", member->id);
    put_flag(item, "witness", member->member.witness);
    put_flag(item, "in_raft", member->in_raft);
    put_flag(item, "voter", member->voter);
    put_flag(item, "known", member->known);
    put_flag(item, "fresh", member->fresh);
    if (!member->known) {
        return item;
    }
    put_number(item, "heard_ago_ms", member->heard_ago_ms);
    put_text(item, "version", status->version);
    put_text(item, "state", ha_state_name(status->state));
    put_text(item, "role", ha_role_name(status->role));
    put_text(item, "data", pg_data_name(status->data));
    put_text(item, "run", pg_run_name(status->run));
    put(item, "position", make_position(status->position));
    put_number(item, "marker_epoch", status->marker_epoch);
    put_number(item, "follows_epoch", status->follows_epoch);
    put_number(item, "log_epoch", status->log_epoch);
    put_number(item, "applied_index", status->applied_index);
    put_flag(item, "position_checked", status->position_checked);
    put_number(item, "suspects_epoch", status->suspects_epoch);
    put_number(item, "wait_left_ms", status->wait_left_ms);
    put_number(item, "pledged_epoch", status->pledged_epoch);
    put_number(item, "ready_epoch", status->ready_epoch);
    put_number(item, "refused_epoch", status->refused_epoch);
    put_number(item, "failed_epoch", status->failed_epoch);
    put_text(item, "why_failed", status->why_failed);
    put_text(item, "progress", status->progress);
    put_flag(item, "leaving", status->leaving);
    put_flag(item, "stopping", status->stopping);
    return item;
}

char *show_state_text(const struct show *show)
{
    const struct cluster *cluster = show->view->cluster;
    json_t *root = new_object();
    json_t *members = new_array();
    json_t *grants = new_array();

    for (uint32_t i = 0; i < show->view->member_count; i++) {
        append(members, make_state_member(&show->view->members[i]));
    }
    for (uint32_t i = 0; i < cluster->history_count; i++) {
        append(grants, make_grant(&cluster->history[i]));
    }
    put_text(root, "name", show->name);
    put_text(root, "scope", show->scope);
    put_text(root, "version", PRODUCT_VERSION);
    put_id(root, "node", show->view->self);
    put(root, "epoch", make_epoch(show));
    put(root, "lease", make_lease(show));
    put(root, "raft", make_raft(show));
    put(root, "postgresql", make_postgresql(show->view->facts));
    put(root, "guard", make_guard(show->view->facts));
    put(root, "request", make_request(show));
    put_number(root, "config_version", cluster->config_version);
    put(root, "members", members);
    put(root, "grants", grants);
    return finish(root);
}
