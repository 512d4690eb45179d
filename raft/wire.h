/*
 * raft/wire.h - peer messages to bytes and back.
 *
 * A message is a msgpack map from small numbers to values; fields that are zero are
 * left out. Whoever decodes skips keys it does not know and the tail of arrays that
 * are longer than it expects, so that a newer node may say more to an older one.
 *
 * All limits are checked here: behind wire_decode() every count, size and index can be
 * trusted to be in range, and entries follow each other without a gap.
 */
#ifndef PGBATON_RAFT_WIRE_H
#define PGBATON_RAFT_WIRE_H

#include "base/status.h"
#include "raft/raft.h"

/* No index or term is larger: sums of them do not overflow. */
#define WIRE_NUMBER_MAX (UINT64_MAX / 4)

/* Enough bytes for wire_encode(); a little more than it will use. */
size_t wire_bound_bytes(const struct raft_message *message);

/* Writes at most `size` bytes, at least wire_bound_bytes(); returns how many. */
size_t wire_encode(const struct raft_message *message, uint8_t *bytes, size_t size);

/*
 * INVALID with the reason, or OK; then the data of entries and snapshot points into
 * `bytes`. `after_persist` is false.
 */
MUST_CHECK enum status wire_decode(
    const uint8_t *bytes, size_t size, struct raft_message *message, struct err *err);

#endif
