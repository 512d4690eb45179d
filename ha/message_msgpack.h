/*
 * ha/message_msgpack.h - messages between the nodes' ha parts to bytes and back.
 *
 * As in command_msgpack.h: maps, missing is zero, unknown is skipped.
 */
#ifndef PGBATON_HA_MESSAGE_MSGPACK_H
#define PGBATON_HA_MESSAGE_MSGPACK_H

#include <stddef.h>

#include "base/status.h"
#include "ha/message.h"

/* Bytes written, or 0 if `size` is too small. `from` and `to` travel in the frame, not here. */
size_t ha_message_encode(const struct ha_message *message, uint8_t *bytes, size_t size);

/* A command's text points into `config_buffer` (CLUSTER_CONFIG_SIZE bytes). */
MUST_CHECK enum status ha_message_decode(
    const uint8_t *bytes, size_t size, struct ha_message *message, char *config_buffer,
    struct err *err);

#endif
