/*
 * raft/entries.h - the log in memory: a run of entries without a gap, and their bytes.
 *
 * Two fixed arrays, filled from the front. Cutting the end is free; dropping the front
 * moves the rest, which happens once per snapshot. Called `entries` because base/log.h
 * is the log that people read.
 */
#ifndef PGBATON_RAFT_ENTRIES_H
#define PGBATON_RAFT_ENTRIES_H

#include "raft/raft.h"

struct entries_slot {
    uint64_t term;
    uint32_t offset; /* Of the data in `bytes`. */
    uint32_t size_bytes;
    enum raft_entry_kind kind;
};

struct entries {
    uint64_t base_index; /* The entry in front of the first one: gone, but its term is known. */
    uint64_t base_term;
    uint32_t count;
    uint32_t used_bytes;
    struct entries_slot slots[RAFT_LOG_ENTRIES_MAX];
    uint8_t bytes[RAFT_LOG_BYTES_MAX];
};

/* An empty log behind (base_index, base_term); touches no memory beyond the first fields. */
void entries_init(struct entries *entries, uint64_t base_index, uint64_t base_term);

uint64_t entries_first(const struct entries *entries); /* entries_last() + 1 if empty. */
uint64_t entries_last(const struct entries *entries);  /* base_index if empty. */
bool entries_has(const struct entries *entries, uint64_t index);

/* Asserts that it is there; the data are borrowed until the log changes. */
struct raft_entry entries_get(const struct entries *entries, uint64_t index);

/* 0 where it is not known: in front of the base, or behind the end. */
uint64_t entries_term(const struct entries *entries, uint64_t index);

/* True if an entry of `size_bytes` can be appended and so much stays free for others. */
bool entries_fits(
    const struct entries *entries, uint32_t size_bytes, uint32_t spare_entries,
    uint32_t spare_bytes);

/* `entry` follows the last one, its term is not lower, and it fits. Copies the data. */
void entries_append(struct entries *entries, const struct raft_entry *entry);

void entries_truncate(struct entries *entries, uint64_t from_index);

/* Drops what is in front of `first_index`, which is at most entries_last() + 1. */
void entries_compact(struct entries *entries, uint64_t first_index);

/* Bytes and number of the entries from `index` on. */
uint32_t entries_bytes_from(const struct entries *entries, uint64_t index);
uint32_t entries_count_from(const struct entries *entries, uint64_t index);

#endif
