/*
 * What the Raft leader does besides: keeps the member table, the configuration's first
 * version, the ttl and Raft's membership, and hands Raft's leadership to the primary.
 */
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

#define TRANSFER_EVERY_MS   2000
#define TRANSFER_LEAVING_MS 300
#define MEMBERSHIP_EVERY_MS 300
#define REQUEST_PATIENCE_MS 15000

static bool same_member(const struct cluster_member *a, const struct cluster_member *b)
{
    return a->data_dir_id == b->data_dir_id && a->witness == b->witness &&
           a->pg_port == b->pg_port && text_equal(a->name, b->name) &&
           text_equal(a->pg_host, b->pg_host) && text_equal(a->api_url, b->api_url);
}

/* Names that differ in case only are one (cluster.c). */
static bool name_is_taken(const struct ha *ha, uint64_t node, const char *name)
{
    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const struct cluster_member *member = &ha->cluster.members[i];

        if (member->id != 0 && member->id != node && text_equal_nocase(member->name, name)) {
            return true;
        }
    }
    return false;
}

bool upkeep_serves(const struct ha *ha)
{
    return ha_is_mine(ha) && ha->cluster.phase == CLUSTER_SERVING &&
           lease_holder_runs(&ha->holder, ha->now_ms);
}

/*
 * Rule 15: the membership is changed only by a leader that is itself the serving primary. Or by
 * one that has nobody to grant: a majority has pledged and its waits are over, and what a failsafe
 * quorum still answered has run out, so that no lease runs or can begin before its next entry.
 * Without that, a node that lost its Raft store and has the only good data could never come back.
 * Before the first epoch there never was a lease; and the only node that runs PostgreSQL, or the
 * one of a primary that is to be taken over, may come after the others.
 */
static bool may_change_members(const struct ha *ha)
{
    const bool nobody_serves =
        ha->cluster.phase == CLUSTER_REVOKED && ha->nobody_ms != 0 &&
        time_since(ha->now_ms, ha->nobody_ms) >= time_lengthen(cluster_ttl_max(&ha->cluster));

    return ha->cluster.phase == CLUSTER_NONE || nobody_serves || upkeep_serves(ha);
}

static void keep_members(struct ha *ha)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const uint64_t node = ha->raft.members[i].id;
        const struct ha_status *status = ha_fresh_status(ha, node);
        const struct cluster_member *known = cluster_find(&ha->cluster, node);

        if (status == NULL || (known != NULL && same_member(known, &status->member))) {
            continue;
        }
        /* Who runs PostgreSQL is part of the membership: a failsafe quorum needs them all. */
        if (known != NULL && known->witness != status->member.witness && !may_change_members(ha)) {
            continue;
        }
        if (name_is_taken(ha, node, status->member.name)) {
            if (ha->named_alike != node) { /* Once is enough. */
                ha->named_alike = node;
                ha_note(
                    ha, HA_NOTE_MEMBER_CHANGE, 0, node, "another member is already named \"%s\"",
                    status->member.name);
            }
            continue;
        }
        (void)leader_propose(
            ha,
            &(struct command){.kind = COMMAND_MEMBER_SET, .node = node, .member = status->member});
        return;
    }
}

static bool in_raft(const struct ha *ha, uint64_t node)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (ha->raft.members[i].id == node) {
            return true;
        }
    }
    return false;
}

static void forget_members(struct ha *ha)
{
    if (!ha->raft.membership_settled) {
        return;
    }
    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        const uint64_t node = ha->cluster.members[i].id;

        if (node != 0 && !in_raft(ha, node) && node != ha->cluster.last.node) {
            (void)leader_propose(
                ha, &(struct command){.kind = COMMAND_MEMBER_REMOVE, .node = node});
            return;
        }
    }
}

/*
 * A serving primary that lost its Raft store comes back as a learner, and cannot lead. Its vote
 * is the one change that another leader makes: by then the primary has applied every membership
 * before it, so that its lease never counts in one that is two changes old.
 */
static void give_primary_its_vote(struct ha *ha)
{
    const uint64_t primary = cluster_grantee(&ha->cluster);
    const struct ha_status *status = ha_fresh_status(ha, primary);

    if (ha->cluster.phase != CLUSTER_SERVING || primary == ha->self || status == NULL ||
        status->applied_index < ha->applied_index) {
        return;
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        const struct ha_raft_member *member = &ha->raft.members[i];

        if (member->id == primary && !member->voter && member->caught_up) {
            ha->update->promote_voter = primary;
            ha->membership_ms = ha->now_ms;
            ha_note(ha, HA_NOTE_MEMBER_CHANGE, 0, primary, "is the primary and gets a vote");
        }
    }
}

static void keep_membership(struct ha *ha)
{
    if (!ha->raft.membership_settled ||
        time_since(ha->now_ms, ha->membership_ms) < MEMBERSHIP_EVERY_MS) {
        return;
    }
    if (!may_change_members(ha)) {
        give_primary_its_vote(ha);
        return;
    }
    for (uint32_t i = 0; i < ha->raft.stranger_count; i++) {
        /* Only an empty store is taken in: one that was removed comes back when it is wiped. */
        if (ha->raft.strangers[i].empty) {
            ha->update->add_learner = ha->raft.strangers[i].id;
            ha->membership_ms = ha->now_ms;
            ha_note(ha, HA_NOTE_MEMBER_CHANGE, 0, ha->update->add_learner, "joins as a learner");
            return;
        }
    }
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (!ha->raft.members[i].voter && ha->raft.members[i].caught_up) {
            ha->update->promote_voter = ha->raft.members[i].id;
            ha->membership_ms = ha->now_ms;
            ha_note(
                ha, HA_NOTE_MEMBER_CHANGE, 0, ha->update->promote_voter,
                "has caught up and gets a vote");
            return;
        }
    }
}

static void keep_first_config(struct ha *ha)
{
    const char *config = ha->settings.initial_config;

    if (ha->cluster.config_version == 0 && config != NULL) {
        (void)leader_propose(
            ha, &(struct command){
                    .kind = COMMAND_CONFIG_SET,
                    .config = config,
                    .config_size = (uint32_t)strlen(config),
                });
    }
}

/*
 * The primary sends rounds of the shorter of the two values for good: it has applied the entry
 * that put them side by side. A lease of an older epoch is over by then, its successor serves.
 */
static bool primary_knows_ttl(const struct ha *ha)
{
    const struct ha_status *primary = ha_fresh_status(ha, ha->cluster.last.node);

    return ha->cluster.phase == CLUSTER_SERVING && primary != NULL &&
           primary->applied_index >= ha->cluster.ttl_index;
}

/* Rule 3: by two entries, the new value beside the old and, when the longer has passed, alone. */
static void keep_ttl(struct ha *ha)
{
    const struct cluster *cluster = &ha->cluster;
    const uint64_t wanted_ms = ha->dynamic.ttl_ms;
    const uint64_t wait_ms = time_lengthen(cluster_ttl_max(cluster));

    if (cluster->config_version == 0 || wanted_ms == 0) {
        return;
    }
    if (cluster->ttl_other_ms == 0) {
        if (wanted_ms != cluster->ttl_ms) {
            (void)leader_propose(
                ha, &(struct command){.kind = COMMAND_TTL_BESIDE, .ttl_ms = wanted_ms});
        }
        return;
    }
    if (ha->ttl_index != cluster->ttl_index || ha->ttl_epoch != cluster->epoch ||
        !primary_knows_ttl(ha)) {
        ha->ttl_index = cluster->ttl_index;
        ha->ttl_epoch = cluster->epoch;
        ha->ttl_seen_ms = ha->now_ms;
    }
    /* Before the first epoch there is no lease to outlive anything. */
    if (cluster->epoch == 0 || time_since(ha->now_ms, ha->ttl_seen_ms) >= wait_ms) {
        (void)leader_propose(
            ha, &(struct command){.kind = COMMAND_TTL_ALONE, .ttl_ms = cluster->ttl_other_ms});
    }
}

/* Its primary is at it, and has limits of its own for that. */
static bool is_being_carried_out(const struct ha *ha)
{
    const struct ha_status *primary = ha_fresh_status(ha, ha->cluster.last.node);

    return primary != NULL && primary->stopping;
}

/* A request that nobody can carry out is answered, not kept for ever. */
static void keep_request(struct ha *ha)
{
    const struct cluster_request *request = &ha->cluster.request;
    struct command command = {.kind = COMMAND_REQUEST_CLEAR, .request = *request};

    if (request->kind == CLUSTER_REQUEST_NONE || request->scheduled_wall_ms > ha->wall_ms ||
        ha->cluster.phase == CLUSTER_GRANTED || ha->handover_ms != 0) {
        ha->request_id = 0;
        return;
    }
    if (ha->request_id != request->id || is_being_carried_out(ha)) {
        ha->request_id = request->id;
        ha->request_due_ms = ha->now_ms;
    }
    if (time_since(ha->now_ms, ha->request_due_ms) < REQUEST_PATIENCE_MS) {
        return;
    }
    command.node = request->id;
    command.outcome = (struct cluster_outcome){.id = request->id, .code = 503};
    text_copy_cut(
        command.outcome.text, sizeof command.outcome.text,
        "failed: no candidate could take over in time");
    (void)leader_propose(ha, &command);
}

/* The leader holds the lease: fewer nodes that matter at a time. */
static void keep_leadership(struct ha *ha)
{
    const uint64_t primary = cluster_grantee(&ha->cluster);
    const struct ha_status *status = ha_fresh_status(ha, primary);

    /* Who leaves hands it over before the new primary has served. */
    if ((ha->cluster.phase != CLUSTER_SERVING && !ha->leaving) || primary == ha->self ||
        status == NULL || !ha_is_voter(ha, primary) || !status->position_checked ||
        status->leaving || rounds_silent_ms(ha) >= ha_ttl(ha) / 4 ||
        time_since(ha->now_ms, ha->transfer_ms) <
            (ha->leaving ? TRANSFER_LEAVING_MS : TRANSFER_EVERY_MS)) {
        return;
    }
    ha->transfer_ms = ha->now_ms;
    ha->update->transfer_to = primary;
    ha_note(ha, HA_NOTE_TRANSFER, ha->cluster.epoch, primary, "\"%s\"", ha_name(ha, primary));
}

void upkeep_tick(struct ha *ha)
{
    if (!ha_settled(ha)) {
        return;
    }
    keep_first_config(ha);
    keep_ttl(ha);
    keep_members(ha);
    forget_members(ha);
    keep_membership(ha);
    keep_request(ha);
    keep_leadership(ha);
}
