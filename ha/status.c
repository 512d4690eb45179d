/*
 * What this node tells the others about itself, and what it remembers of them.
 */
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/attr.h"
#include "base/name.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

#define STATUS_EVERY_MS 1000
#define STATUS_GAP_MS   5 /* Two changes within it travel in one status. */

static enum ha_member_state member_state(const struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;

    if (ha->initdb_failed && facts->data != PG_DATA_VALID) { /* Else it was cloned meanwhile. */
        return HA_STATE_INITDB_FAILED;
    }
    switch (ha->action.kind) {
    case PG_ACTION_INITDB:
        return HA_STATE_INITDB;
    case PG_ACTION_CLONE:
        return HA_STATE_CREATING_REPLICA;
    case PG_ACTION_NONE:
    case PG_ACTION_START_STANDBY:
    case PG_ACTION_START_PRIMARY:
    case PG_ACTION_PROMOTE:
    case PG_ACTION_FOLLOW:
    case PG_ACTION_CUT:
    case PG_ACTION_PREPARE_STOP:
    case PG_ACTION_STOP:
    case PG_ACTION_REWIND:
    case PG_ACTION_RELOAD:
    case PG_ACTION_BOOTSTRAP_SQL:
        break;
    }
    if (ha->restart_wanted && facts->run != PG_RUN_UP) {
        return HA_STATE_RESTARTING;
    }
    switch (facts->run) {
    case PG_RUN_UP:
        return HA_STATE_RUNNING;
    case PG_RUN_STARTING:
        return HA_STATE_STARTING;
    case PG_RUN_STOPPING:
        return HA_STATE_STOPPING;
    case PG_RUN_DYING:
        return HA_STATE_CRASHED;
    case PG_RUN_UNKNOWN:
    case PG_RUN_STOPPED:
        break;
    }
    if (ha->failed_kind == PG_ACTION_START_STANDBY || ha->failed_kind == PG_ACTION_START_PRIMARY) {
        return HA_STATE_START_FAILED;
    }
    return facts->crashed ? HA_STATE_CRASHED : HA_STATE_STOPPED;
}

enum ha_member_role member_role_now(const struct ha *ha)
{
    const struct pg_facts *facts = &ha->facts;

    if (ha->settings.witness) {
        return HA_ROLE_WITNESS;
    }
    if (facts->data == PG_DATA_EMPTY || facts->data == PG_DATA_UNKNOWN ||
        facts->data == PG_DATA_PARTIAL) {
        return HA_ROLE_UNINITIALIZED;
    }
    if (ha->action.kind == PG_ACTION_PROMOTE) {
        return HA_ROLE_PROMOTED;
    }
    if (facts->run == PG_RUN_UP && facts->writable_start && !facts->in_recovery) {
        return HA_ROLE_PRIMARY;
    }
    if (facts->run == PG_RUN_STOPPED && ha->cluster.last.node == ha->self) {
        return HA_ROLE_DEMOTED;
    }
    return HA_ROLE_REPLICA;
}

static uint64_t marker_epoch(const struct ha *ha)
{
    return ha->facts.record.marker_epoch;
}

static void fill_postgres(const struct ha *ha, struct ha_status *status)
{
    const struct pg_facts *facts = &ha->facts;

    status->data = facts->data;
    status->run = facts->run;
    status->system_identifier = facts->system_identifier;
    status->writable = facts->run == PG_RUN_UP && !facts->in_recovery && facts->sql_ok;
    status->writable_epoch = facts->writable_start ? facts->start_epoch : 0;
    status->in_recovery = facts->in_recovery;
    status->position = postgres_position(ha);
    status->received_lsn = facts->received_lsn;
    status->replayed_lsn = facts->replayed_lsn;
    status->replayed_wall_ms = facts->replayed_wall_ms;
    status->receiver_running = facts->receiver_running;
    status->streaming = text_equal(facts->receiver_state, "streaming");
    status->replay_paused = facts->replay_paused;
    status->marker_epoch = marker_epoch(ha);
    status->follows_epoch = facts->conninfo_set ? facts->record.follow_epoch : 0;
    text_copy_cut(status->progress, sizeof status->progress, facts->progress);
    status->progressed_ago_ms = time_since(ha->now_ms, facts->progress_ms);
    status->watchdog_failed = facts->watchdog_failed;
    status->guard_rings = facts->guard_rings;
    status->server_version = facts->server_version;
    status->pending_restart = facts->pending_restart;
    text_copy_cut(
        status->pending_restart_reason, sizeof status->pending_restart_reason,
        facts->pending_restart_reason);
}

void status_fill(struct ha *ha, struct ha_status *status)
{
    const struct ha_settings *settings = &ha->settings;

    *status = (struct ha_status){
        .start_id = settings->start_id,
        .start_wall_ms = settings->start_wall_ms,
        .member = settings->member,
        .applied_index = ha->applied_index,
        .position_checked = ha->raft.position_checked,
        .suspects_epoch = rounds_suspect(ha) ? ha->cluster.epoch : 0,
        .silent_ms = rounds_silent_ms(ha),
        .wait_left_ms = rounds_wait_left(ha),
        .pledged_epoch = ha->pledged_epoch,
        .pledged_position = ha->pledged_position,
        .ready_epoch = ha->ready_epoch,
        .ready_at = ha->ready_at,
        .refused_epoch = ha->refused_epoch,
        .stopped = ha->stopped,
        .nofailover = settings->nofailover,
        .failover_priority = settings->failover_priority,
        .noloadbalance = settings->noloadbalance,
        .clonefrom = settings->clonefrom,
        .can_bootstrap = settings->can_bootstrap,
        .leaving = ha->leaving,
        .stopping = ha->action.kind == PG_ACTION_PREPARE_STOP ||
                    (ha->stopping_epoch != 0 && ha->stopping_epoch == ha->cluster.epoch),
        .restart = ha->scheduled,
        .failed_epoch = ha->failed_epoch,
        .state = member_state(ha),
        .role = member_role_now(ha),
    };
    status->member.id = ha->self;
    status->member.witness = settings->witness;
    status->member.data_dir_id = ha->facts.record.data_dir_id;
    /* The pledge of a voter is what is on its disk, also if the others have decided it. */
    status->log_epoch = ha->cluster.epoch;
    if (ha->cluster.phase == CLUSTER_REVOKED && ha->phase_index > ha->durable_index) {
        status->log_epoch--;
    }
    for (uint32_t i = 0; i < ha->tail_count && ha->tail[i].index <= ha->durable_index; i++) {
        status->log_epoch = time_max(status->log_epoch, ha->tail[i].epoch);
    }
    fill_postgres(ha, status);
    text_copy_cut(status->why_failed, sizeof status->why_failed, ha->why_failed);
    text_copy_cut(status->tags, sizeof status->tags, settings->tags);
    text_copy_cut(status->version, sizeof status->version, PRODUCT_VERSION);
}

static struct ha_peer *peer_of(struct ha *ha, uint64_t node)
{
    struct ha_peer *oldest = &ha->peers[0];

    for (uint32_t i = 0; i < ha->peer_count; i++) {
        if (ha->peers[i].id == node) {
            return &ha->peers[i];
        }
        if (ha->peers[i].heard_ms < oldest->heard_ms) {
            oldest = &ha->peers[i];
        }
    }
    if (ha->peer_count < CLUSTER_MEMBERS_MAX) {
        oldest = &ha->peers[ha->peer_count++];
    }
    *oldest = (struct ha_peer){.id = node};
    return oldest;
}

static void remember_lsn(struct ha_peer *peer, uint64_t epoch, uint64_t lsn)
{
    if (epoch > peer->told_epoch) {
        peer->told_epoch = epoch;
        peer->told_lsn = 0;
    }
    if (epoch == peer->told_epoch) {
        peer->told_lsn = time_max(peer->told_lsn, lsn);
    }
}

/* What was written stays written, whatever comes later, and however late this comes. */
static void remember_position(struct ha_peer *peer, const struct ha_status *status)
{
    if (status->writable) {
        remember_lsn(peer, status->writable_epoch, status->position.lsn);
    }
    if (status->stopped.end_final) {
        remember_lsn(peer, status->stopped.epoch, status->stopped.end.lsn);
    }
}

/*
 * An older one says nothing new: what its pledges and reports say stays true, what it says of the
 * server does not. That of an earlier start is known by the wall clock of the starts; it may have
 * been set back between them, so a start that is heard no more stands in nobody's way.
 */
static bool was_overtaken(
    const struct ha *ha, const struct ha_peer *peer, const struct ha_status *status)
{
    if (peer->heard_ms == 0) {
        return false;
    }
    if (peer->status.start_id == status->start_id) {
        return status->number <= peer->status.number;
    }
    return status->start_wall_ms < peer->status.start_wall_ms &&
           ha_fresh_status(ha, peer->id) != NULL;
}

void status_receive(struct ha *ha, const struct ha_message *message)
{
    struct ha_peer *peer = peer_of(ha, message->from);
    const struct ha_status *status = &message->status;

    remember_position(peer, status);
    if (was_overtaken(ha, peer, status)) {
        return;
    }
    peer->heard_ms = ha->now_ms;
    peer->status = *status;
    peer->status.member.id = message->from;
}

/*
 * What is told at once when it changes. Field by field: the bytes between fields are anything, and
 * would be news each time. Left out is what moves all the time, and goes along each second.
 */
struct news {
    size_t offset;
    size_t size;
};

#define NEWS(member)                                                                         \
    {                                                                                        \
        offsetof(struct ha_status, member), sizeof(((const struct ha_status *)NULL)->member) \
    }

static const struct news news[] = {
    NEWS(start_id),
    NEWS(member.id),
    NEWS(member.data_dir_id),
    NEWS(member.witness),
    NEWS(member.pg_port),
    NEWS(member.name),
    NEWS(member.pg_host),
    NEWS(member.api_url),
    NEWS(log_epoch),
    NEWS(position_checked),
    NEWS(suspects_epoch),
    NEWS(data),
    NEWS(run),
    NEWS(system_identifier),
    NEWS(writable),
    NEWS(writable_epoch),
    NEWS(in_recovery),
    NEWS(position.timeline),
    NEWS(receiver_running),
    NEWS(streaming),
    NEWS(replay_paused),
    NEWS(marker_epoch),
    NEWS(follows_epoch),
    NEWS(pledged_epoch),
    NEWS(pledged_position.timeline),
    NEWS(pledged_position.lsn),
    NEWS(ready_epoch),
    NEWS(ready_at.timeline),
    NEWS(ready_at.lsn),
    NEWS(refused_epoch),
    NEWS(stopped.epoch),
    NEWS(stopped.planned),
    NEWS(stopped.restart),
    NEWS(stopped.end.timeline),
    NEWS(stopped.end.lsn),
    NEWS(stopped.end_final),
    NEWS(stopped.redo_bytes),
    NEWS(nofailover),
    NEWS(failover_priority),
    NEWS(noloadbalance),
    NEWS(clonefrom),
    NEWS(can_bootstrap),
    NEWS(watchdog_failed),
    NEWS(guard_rings),
    NEWS(server_version),
    NEWS(state),
    NEWS(role),
    NEWS(pending_restart),
    NEWS(leaving),
    NEWS(stopping),
    NEWS(restart.at_wall_ms),
    NEWS(failed_epoch),
    NEWS(why_failed),
    NEWS(pending_restart_reason),
    NEWS(tags),
    NEWS(version),
};

/* While a change of primary is under way, who gets what decides it. */
static const struct news urgent_news[] = {
    NEWS(position.lsn),
    NEWS(received_lsn),
    NEWS(replayed_lsn),
    NEWS(replayed_wall_ms),
};

static bool differ(
    const struct ha_status *a, const struct ha_status *b, const struct news *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(
                (const uint8_t *)a + fields[i].offset, (const uint8_t *)b + fields[i].offset,
                fields[i].size) != 0) {
            return true;
        }
    }
    return false;
}

static bool is_news(const struct ha *ha, const struct ha_status *status)
{
    const struct ha_status *sent = &ha->status_sent;
    const bool urgent = ha_is_moving(ha) || ha->stopping_epoch == ha->cluster.epoch;

    return differ(status, sent, news, ARRAY_SIZE(news)) ||
           (status->wait_left_ms == 0) != (sent->wait_left_ms == 0) || /* That it is over. */
           (urgent && differ(status, sent, urgent_news, ARRAY_SIZE(urgent_news)));
}

void status_tick(struct ha *ha)
{
    struct ha_peer *own = peer_of(ha, ha->self);
    const uint64_t age_ms = time_since(ha->now_ms, ha->status_sent_ms);
    struct ha_status status;

    status_fill(ha, &status);
    own->heard_ms = ha->now_ms;
    own->status = status;
    remember_position(own, &status);
    if (ha->status_sent_ms != 0 &&
        age_ms < time_min(STATUS_EVERY_MS, time_max(ha_ttl(ha) / 5, 1)) &&
        !(age_ms >= STATUS_GAP_MS && is_news(ha, &status))) {
        return;
    }
    status.number = ++ha->status_number;
    own->status.number = status.number;
    ha->status_sent = status;
    ha->status_sent_ms = ha->now_ms;
    ha_message_new(ha, HA_MESSAGE_STATUS, 0)->status = status;
}
