/*
 * raft/record.h - what the store's values look like.
 *
 * Three kinds: the head (one), entries (one each), the snapshot (at most one). Each
 * begins with the CRC-32C of the rest. Entries are a hash chain: each carries the hash
 * of itself and of the one before, and the head names both ends, so that a record that
 * is whole but old or misplaced is noticed too. Integers are big-endian. Pure.
 */
#ifndef PGBATON_RAFT_RECORD_H
#define PGBATON_RAFT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raft/raft.h"

#define RECORD_VERSION     1
#define RECORD_HEAD_BYTES  80
#define RECORD_ENTRY_BYTES 32 /* In front of the entry's data. */
#define RECORD_CHAIN_SEED  UINT64_C(0x70676c6f67303031)

struct record_head {
    struct raft_hard hard;
    uint64_t first_index; /* Of the log; last_index + 1 when it is empty. */
    uint64_t last_index;
    uint64_t first_chain;    /* Hash in front of the first entry. */
    uint64_t snapshot_index; /* 0: there is none. */
    uint64_t last_chain;     /* Of the last entry; first_chain when the log is empty. */
};

struct record_entry {
    struct raft_entry entry; /* Data borrowed from the decoded bytes. */
    uint64_t chain;
};

/* The hash of `entry` behind one whose hash is `before`. */
uint64_t record_chain(uint64_t before, const struct raft_entry *entry);

void record_put_head(const struct record_head *head, uint8_t bytes[RECORD_HEAD_BYTES]);

/* `bytes` has room for RECORD_ENTRY_BYTES and the entry's data. */
void record_put_entry(const struct raft_entry *entry, uint64_t chain, uint8_t *bytes);

size_t record_snapshot_bytes(const struct raft_snapshot *snapshot);
void record_put_snapshot(const struct raft_snapshot *snapshot, uint8_t *bytes);

/* In what version a head was put, by whatever program; 0 if it is damaged. */
uint32_t record_version(const uint8_t *bytes, size_t size);

/* False if the bytes are not what was put: cut off, changed, or of another version. */
MUST_CHECK bool record_get_head(const uint8_t *bytes, size_t size, struct record_head *head);
MUST_CHECK bool record_get_entry(const uint8_t *bytes, size_t size, struct record_entry *record);

/* The snapshot's data point into `bytes`. */
MUST_CHECK bool record_get_snapshot(
    const uint8_t *bytes, size_t size, struct raft_snapshot *snapshot);

#endif
