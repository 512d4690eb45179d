/*
 * ha/command_msgpack.h - commands and the whole state to bytes and back.
 *
 * Maps with short keys: a field that is missing is zero, one that is unknown is
 * skipped, so a newer version may add. Every size is checked before it is used.
 */
#ifndef PGBATON_HA_COMMAND_MSGPACK_H
#define PGBATON_HA_COMMAND_MSGPACK_H

#include <stddef.h>

#include "base/status.h"
#include "ha/cluster.h"

/* Bytes written, or 0 if `size` is too small. */
size_t command_encode(const struct command *command, uint8_t *bytes, size_t size);

/* `command->config` points into `config_buffer` (CLUSTER_CONFIG_SIZE bytes). */
MUST_CHECK enum status command_decode(
    const uint8_t *bytes, size_t size, struct command *command, char *config_buffer,
    struct err *err);

/* The state machine's snapshot. */
size_t cluster_encode(const struct cluster *cluster, uint8_t *bytes, size_t size);
MUST_CHECK enum status cluster_decode(
    const uint8_t *bytes, size_t size, struct cluster *cluster, struct err *err);

#endif
