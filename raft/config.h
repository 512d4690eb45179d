/*
 * raft/config.h - a membership as the bytes of a CONFIG entry, and back.
 */
#ifndef PGBATON_RAFT_CONFIG_H
#define PGBATON_RAFT_CONFIG_H

#include "base/status.h"
#include "raft/raft.h"

#define RAFT_CONFIG_BYTES_MAX (2 + 16 + RAFT_MEMBERS_MAX * (8 + 8 + 2 + RAFT_ADDRESS_SIZE - 1))

/* `bytes` has room for RAFT_CONFIG_BYTES_MAX; returns how many were written. */
uint32_t raft_config_encode(const struct raft_config *config, uint8_t *bytes);

/*
 * INVALID, with the reason, if the bytes are no membership that a leader of ours would
 * have written. Checks everything that the core relies on but one: that the term and
 * index inside are those of the entry, which the caller has to compare.
 */
MUST_CHECK enum status raft_config_decode(
    const uint8_t *bytes, size_t size, struct raft_config *config, struct err *err);

/* Position of the member in the list, or `count` if it is not there. */
uint32_t raft_config_position(const struct raft_config *config, uint64_t id);

#endif
