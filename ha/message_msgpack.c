#include "ha/message_msgpack.h"

#include <string.h>

#include "base/assert.h"
#include "ha/fields_msgpack.h"

/* 7 is a state that others know and we never have. */
#define MEMBER_STATES (FIELD_UP_TO(HA_STATE_CRASHED) & ~(UINT32_C(1) << 7))

static const struct field message_fields[] = {
    FIELD_ENUM("kind", struct ha_message, kind, FIELD_UP_TO(HA_MESSAGE_KINDS - 1)),
    FIELD_UINT("epoch", struct ha_message, round.epoch),
    FIELD_UINT("term", struct ha_message, round.grant_term),
    FIELD_UINT("index", struct ha_message, round.grant_index),
    FIELD_UINT("start", struct ha_message, round.start_id),
    FIELD_UINT("number", struct ha_message, round.number),
    FIELD_UINT("completed", struct ha_message, completed_number),
    FIELD_UINT("ttl", struct ha_message, ttl_ms),
    FIELD_BOOL("served", struct ha_message, served),
    FIELD_UINT("forward", struct ha_message, forward_id),
    FIELDS_OUTCOME("refusal.", struct ha_message, refusal),
};
static const struct field_table message_table = FIELD_TABLE("message", message_fields);

static const struct field status_fields[] = {
    FIELD_UINT("start", struct ha_status, start_id),
    FIELD_UINT("started", struct ha_status, start_wall_ms),
    FIELD_UINT("number", struct ha_status, number),
    FIELDS_MEMBER("member.", struct ha_status, member),

    FIELD_UINT("log.epoch", struct ha_status, log_epoch),
    FIELD_UINT("applied", struct ha_status, applied_index),
    FIELD_BOOL("checked", struct ha_status, position_checked),

    FIELD_UINT("suspects", struct ha_status, suspects_epoch),
    FIELD_UINT("silent", struct ha_status, silent_ms),
    FIELD_UINT("wait", struct ha_status, wait_left_ms),

    FIELD_ENUM("data", struct ha_status, data, FIELD_UP_TO(PG_DATA_BROKEN)),
    FIELD_ENUM("run", struct ha_status, run, FIELD_UP_TO(PG_RUN_DYING)),
    FIELD_UINT("system", struct ha_status, system_identifier),
    FIELD_BOOL("writable", struct ha_status, writable),
    FIELD_UINT("writable.epoch", struct ha_status, writable_epoch),
    FIELD_BOOL("recovery", struct ha_status, in_recovery),
    FIELDS_POSITION("", struct ha_status, position),
    FIELD_UINT("received", struct ha_status, received_lsn),
    FIELD_UINT("replayed", struct ha_status, replayed_lsn),
    FIELD_INT("replayed.wall", struct ha_status, replayed_wall_ms),
    FIELD_BOOL("receiver", struct ha_status, receiver_running),
    FIELD_BOOL("streaming", struct ha_status, streaming),
    FIELD_BOOL("paused", struct ha_status, replay_paused),
    FIELD_UINT("marker", struct ha_status, marker_epoch),
    FIELD_UINT("follows", struct ha_status, follows_epoch),
    FIELD_TEXT("progress", struct ha_status, progress),
    FIELD_UINT("progressed", struct ha_status, progressed_ago_ms),

    FIELD_UINT("pledged", struct ha_status, pledged_epoch),
    FIELDS_POSITION("pledged.", struct ha_status, pledged_position),

    FIELD_UINT("ready", struct ha_status, ready_epoch),
    FIELDS_POSITION("ready.", struct ha_status, ready_at),
    FIELD_UINT("refused", struct ha_status, refused_epoch),
    FIELD_UINT("stopped", struct ha_status, stopped.epoch),
    FIELD_BOOL("stopped.planned", struct ha_status, stopped.planned),
    FIELD_BOOL("stopped.restart", struct ha_status, stopped.restart),
    FIELDS_POSITION("stopped.", struct ha_status, stopped.end),
    FIELD_BOOL("stopped.final", struct ha_status, stopped.end_final),
    FIELD_UINT("stopped.redo", struct ha_status, stopped.redo_bytes),

    FIELD_BOOL("nofailover", struct ha_status, nofailover),
    FIELD_INT("priority", struct ha_status, failover_priority),
    FIELD_BOOL("noloadbalance", struct ha_status, noloadbalance),
    FIELD_BOOL("clonefrom", struct ha_status, clonefrom),
    FIELD_BOOL("bootstrap", struct ha_status, can_bootstrap),
    FIELD_BOOL("watchdog.failed", struct ha_status, watchdog_failed),
    FIELD_UINT("rings", struct ha_status, guard_rings),
    FIELD_UINT("server", struct ha_status, server_version),
    FIELD_ENUM("state", struct ha_status, state, MEMBER_STATES),
    FIELD_ENUM("role", struct ha_status, role, FIELD_UP_TO(HA_ROLE_WITNESS)),
    FIELD_BOOL("pending", struct ha_status, pending_restart),
    FIELD_BOOL("leaving", struct ha_status, leaving),
    FIELD_BOOL("stopping", struct ha_status, stopping),
    FIELD_UINT("restart.at", struct ha_status, restart.at_wall_ms),
    FIELD_BOOL("restart.pending", struct ha_status, restart.pending_only),
    FIELD_TEXT("restart.role", struct ha_status, restart.role),
    FIELD_UINT("restart.below", struct ha_status, restart.below_version),
    FIELD_UINT("restart.timeout", struct ha_status, restart.timeout_ms),
    FIELD_UINT("failed", struct ha_status, failed_epoch),
    FIELD_TEXT("failed.why", struct ha_status, why_failed),
    FIELD_TEXT("pending.reason", struct ha_status, pending_restart_reason),
    FIELD_TEXT("tags", struct ha_status, tags),
    FIELD_TEXT("version", struct ha_status, version),
};
static const struct field_table status_table = FIELD_TABLE("status", status_fields);

/* More than what we write ourselves; a newer node may add some. */
static const struct packed_limits limits = {.depth = 6, .parts = 2048};

size_t ha_message_encode(const struct ha_message *message, uint8_t *bytes, size_t size)
{
    const bool has_status = fields_count(&status_table, &message->status) > 0;
    const bool has_command = message->command.kind != COMMAND_NONE;
    struct fields_sink sink;
    msgpack_packer packer;

    fields_begin(&sink, &packer, bytes, size);
    (void)msgpack_pack_map(
        &packer,
        fields_count(&message_table, message) + (has_status ? 1 : 0) + (has_command ? 1 : 0));
    fields_pack(&packer, &message_table, message);
    if (has_status) {
        fields_pack_key(&packer, "status");
        fields_pack_map(&packer, &status_table, &message->status);
    }
    if (has_command) {
        fields_pack_key(&packer, "command");
        command_pack(&packer, &message->command);
    }
    return fields_end(&sink);
}

static enum status check_message(const struct ha_message *message, struct err *err)
{
    if (message->kind == HA_MESSAGE_NONE) {
        return ERR(err, INVALID, "\"kind\" of the message is missing");
    }
    if (message->kind == HA_MESSAGE_FORWARD && message->command.kind == COMMAND_NONE) {
        return ERR(err, INVALID, "\"command\" of the message is missing");
    }
    return STATUS_OK;
}

static enum status read_message(
    const msgpack_object *map, struct ha_message *message, char *config_buffer, struct err *err)
{
    const msgpack_object *status_map = fields_find(map, "status");
    const msgpack_object *command_map = fields_find(map, "command");
    enum status status = fields_read(map, &message_table, message, err);

    if (status == STATUS_OK && status_map != NULL) {
        status = fields_read(status_map, &status_table, &message->status, err);
    }
    if (status == STATUS_OK && command_map != NULL) {
        status = command_read(command_map, &message->command, config_buffer, err);
    }
    return status == STATUS_OK ? check_message(message, err) : status;
}

enum status ha_message_decode(
    const uint8_t *bytes, size_t size, struct ha_message *message, char *config_buffer,
    struct err *err)
{
    msgpack_unpacked unpacked;
    enum status status = fields_unpack(bytes, size, limits, "message", &unpacked, err);

    memset(message, 0, sizeof *message);
    if (status == STATUS_OK) {
        status = read_message(&unpacked.data, message, config_buffer, err);
    }
    msgpack_unpacked_destroy(&unpacked);
    return status;
}
