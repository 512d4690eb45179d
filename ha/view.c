#include "ha/view.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

const char *ha_state_name(enum ha_member_state state)
{
    switch (state) {
    case HA_STATE_INITDB:
        return "initializing new cluster";
    case HA_STATE_INITDB_FAILED:
        return "initdb failed";
    case HA_STATE_CUSTOM_BOOTSTRAP:
        return "running custom bootstrap script";
    case HA_STATE_CUSTOM_BOOTSTRAP_FAILED:
        return "custom bootstrap failed";
    case HA_STATE_CREATING_REPLICA:
        return "creating replica";
    case HA_STATE_RUNNING:
        return "running";
    case HA_STATE_STARTING:
        return "starting";
    case HA_STATE_START_FAILED:
        return "start failed";
    case HA_STATE_RESTARTING:
        return "restarting";
    case HA_STATE_RESTART_FAILED:
        return "restart failed";
    case HA_STATE_STOPPING:
        return "stopping";
    case HA_STATE_STOPPED:
        return "stopped";
    case HA_STATE_STOP_FAILED:
        return "stop failed";
    case HA_STATE_CRASHED:
        return "crashed";
    }
    UNREACHABLE();
}

const char *ha_role_name(enum ha_member_role role)
{
    switch (role) {
    case HA_ROLE_UNINITIALIZED:
        return "uninitialized";
    case HA_ROLE_REPLICA:
        return "replica";
    case HA_ROLE_PROMOTED:
        return "promoted";
    case HA_ROLE_PRIMARY:
        return "primary";
    case HA_ROLE_DEMOTED:
        return "demoted";
    case HA_ROLE_WITNESS:
        return "witness";
    }
    UNREACHABLE();
}

static const char *replication_state(const struct pg_facts *facts)
{
    if (facts->run != PG_RUN_UP || !facts->in_recovery) {
        return "";
    }
    return text_equal(facts->receiver_state, "streaming") ? "streaming" : "in archive recovery";
}

static uint64_t leader_lsn(const struct ha *ha)
{
    const struct ha_status *status = ha_known_status(ha, cluster_grantee(&ha->cluster));

    return status == NULL ? 0 : status->position.lsn;
}

void ha_health(const struct ha *ha, uint64_t now_ms, struct ha_health *health)
{
    const struct pg_facts *facts = &ha->facts;
    const uint64_t epoch = ha->cluster.epoch;
    const bool serving = ha->cluster.phase == CLUSTER_SERVING && ha_is_granted(ha);
    const bool lease = serving && ha->holder.epoch == epoch &&
                       lease_holder_runs(&ha->holder, now_ms) && facts->guard_fenced < epoch;

    *health = (struct ha_health){
        .lease = lease,
        .primary = lease && facts->run == PG_RUN_UP && facts->writable_start &&
                   facts->start_epoch == epoch && !facts->in_recovery &&
                   ha->stopping_epoch != epoch,
        .running = facts->run == PG_RUN_UP && ha->action.kind != PG_ACTION_STOP,
        .replica =
            facts->run == PG_RUN_UP && facts->in_recovery && ha->action.kind != PG_ACTION_PROMOTE,
        .streaming = text_equal(facts->receiver_state, "streaming"),
        .noloadbalance = ha->settings.noloadbalance,
        .paused = ha->dynamic.pause,
        .cluster_known = time_since(now_ms, time_max(ha->seen_ms, ha->start_ms)) < ha_ttl(ha) ||
                         ha->raft.leader_id != 0,
        .unlocked = ha->cluster.phase != CLUSTER_SERVING,
        .starting = facts->run == PG_RUN_STARTING,
        .witness = ha->settings.witness,
        .received_lsn = facts->received_lsn,
        .replayed_lsn = facts->replayed_lsn,
        .leader_lsn = leader_lsn(ha),
        .maximum_lag_bytes = ha->dynamic.maximum_lag_bytes,
        .replication_state = replication_state(facts),
        .tags = ha->settings.tags,
    };
}

static void fill_member(
    const struct ha *ha, uint64_t id, uint64_t now_ms, struct ha_member_view *view)
{
    const struct cluster_member *member = cluster_find(&ha->cluster, id);

    *view = (struct ha_member_view){.id = id, .self = id == ha->self};
    if (member != NULL) {
        view->member = *member;
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (ha->raft.members[i].id == id) {
            view->in_raft = true;
            view->voter = ha->raft.members[i].voter;
        }
    }
    view->leader = ha->cluster.phase == CLUSTER_SERVING && cluster_grantee(&ha->cluster) == id;
    for (uint32_t i = 0; i < ha->peer_count; i++) {
        const struct ha_peer *peer = &ha->peers[i];

        if (peer->id == id && peer->heard_ms != 0) {
            view->known = true;
            view->heard_ago_ms = time_since(now_ms, peer->heard_ms);
            view->fresh = view->heard_ago_ms <= time_max(ha_ttl(ha), 2000);
            view->status = peer->status;
            if (member == NULL) {
                view->member = peer->status.member;
            }
        }
    }
}

static void sort_members(struct ha_view *view)
{
    for (uint32_t i = 1; i < view->member_count; i++) {
        for (uint32_t j = i;
             j > 0 && strcmp(view->members[j - 1].member.name, view->members[j].member.name) > 0;
             j--) {
            const struct ha_member_view swap = view->members[j];

            view->members[j] = view->members[j - 1];
            view->members[j - 1] = swap;
        }
    }
}

void ha_view(const struct ha *ha, uint64_t now_ms, struct ha_view *view)
{
    view->cluster = &ha->cluster;
    view->self = ha->self;
    view->now_ms = now_ms;
    view->is_raft_leader = ha->raft.leader;
    view->raft_leader = ha->raft.leader_id;
    view->raft_term = ha->raft.term;
    view->log_epoch = ha_log_epoch(ha);
    view->applied_index = ha->applied_index;
    view->primary = ha->cluster.phase == CLUSTER_SERVING ? cluster_grantee(&ha->cluster) : 0;
    view->lease_runs = lease_holder_runs(&ha->holder, now_ms);
    view->lease_left_ms = time_since(ha->holder.expires_ms, now_ms);
    view->round_number = ha->holder.number;
    view->completed_number = ha->holder.completed_number;
    view->completed_ago_ms = time_since(now_ms, time_max(ha->seen_ms, ha->start_ms));
    view->no_grant_reason = ha->no_grant_reason;
    view->facts = &ha->facts;
    view->member_count = 0;
    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        if (ha->cluster.members[i].id != 0) {
            fill_member(
                ha, ha->cluster.members[i].id, now_ms, &view->members[view->member_count++]);
        }
    }
    sort_members(view);
}

static bool is_healthy(const struct ha *ha, const struct cluster_member *member)
{
    const struct ha_status *status = ha_fresh_status(ha, member->id);

    return status != NULL && !member->witness && !status->nofailover && !status->watchdog_failed &&
           !status->leaving && status->run == PG_RUN_UP && status->in_recovery;
}

static uint32_t refuse(char *text, unsigned long size, uint32_t code, const char *why)
{
    text_copy_cut(text, size, why);
    return code;
}

uint32_t ha_check_request(
    const struct ha *ha, enum cluster_request_kind kind, const char *from_name, const char *to_name,
    uint64_t scheduled_wall_ms, uint64_t now_ms, uint64_t now_wall_ms,
    struct cluster_request *request, char *text, unsigned long text_size)
{
    const struct cluster *cluster = &ha->cluster;
    const bool has_from = from_name != NULL && from_name[0] != '\0';
    const bool has_to = to_name != NULL && to_name[0] != '\0';
    const uint64_t primary = cluster_grantee(cluster);
    const struct cluster_member *from = has_from ? cluster_find_name(cluster, from_name) : NULL;
    const struct cluster_member *to = has_to ? cluster_find_name(cluster, to_name) : NULL;
    bool healthy = false;

    (void)now_ms;
    *request = (struct cluster_request){.kind = kind, .scheduled_wall_ms = scheduled_wall_ms};
    if (kind == CLUSTER_REQUEST_FAILOVER && !has_to) {
        return refuse(
            text, text_size, 400, "Failover could be performed only to a specific candidate");
    }
    if (kind == CLUSTER_REQUEST_SWITCHOVER && !has_from) {
        return refuse(
            text, text_size, 400, "Switchover could be performed only from a specific leader");
    }
    if (kind == CLUSTER_REQUEST_FAILOVER && scheduled_wall_ms != 0) {
        return refuse(text, text_size, 400, "Failover can't be scheduled");
    }
    if (ha->dynamic.pause && scheduled_wall_ms != 0) {
        return refuse(text, text_size, 400, "Can't schedule switchover in the paused state");
    }
    if (ha->dynamic.pause && !has_to) {
        return refuse(
            text, text_size, 400,
            "Switchover is possible only to a specific candidate in a paused state");
    }
    if (has_from && has_to && text_equal_nocase(from_name, to_name)) {
        return refuse(text, text_size, 400, "Switchover target and source are the same");
    }
    if (scheduled_wall_ms != 0 && scheduled_wall_ms <= now_wall_ms) {
        return refuse(text, text_size, 422, "Cannot schedule switchover in the past");
    }
    if (has_from && (from == NULL || from->id != primary)) {
        return refuse(text, text_size, 412, "leader name does not match");
    }
    if (has_to && to == NULL) {
        return refuse(text, text_size, 412, "candidate does not exist");
    }
    if (has_to && to->id == primary) {
        return refuse(text, text_size, 412, "candidate is the leader already");
    }
    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];

        if (member->id != 0 && member->id != primary && (!has_to || member == to)) {
            healthy |= is_healthy(ha, member);
        }
    }
    if (scheduled_wall_ms == 0 && !healthy) {
        return refuse(
            text, text_size, 412,
            has_to ? "no good candidates have been found: it is not reachable, not running, or not "
                     "allowed to be promoted"
                   : "no good candidates have been found");
    }
    request->from = from == NULL ? 0 : from->id;
    request->to = to == NULL ? 0 : to->id;
    return 0;
}
