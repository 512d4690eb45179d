#include "raft/entries.h"

#include <string.h>

#include "base/assert.h"

void entries_init(struct entries *entries, uint64_t base_index, uint64_t base_term)
{
    entries->base_index = base_index;
    entries->base_term = base_term;
    entries->count = 0;
    entries->used_bytes = 0;
}

uint64_t entries_first(const struct entries *entries)
{
    return entries->base_index + 1;
}

uint64_t entries_last(const struct entries *entries)
{
    return entries->base_index + entries->count;
}

bool entries_has(const struct entries *entries, uint64_t index)
{
    return index > entries->base_index && index <= entries_last(entries);
}

static const struct entries_slot *slot_get(const struct entries *entries, uint64_t index)
{
    ASSERT(entries_has(entries, index));
    return &entries->slots[index - entries->base_index - 1];
}

struct raft_entry entries_get(const struct entries *entries, uint64_t index)
{
    const struct entries_slot *slot = slot_get(entries, index);

    return (struct raft_entry){
        .term = slot->term,
        .index = index,
        .kind = slot->kind,
        .size_bytes = slot->size_bytes,
        .data = &entries->bytes[slot->offset],
    };
}

uint64_t entries_term(const struct entries *entries, uint64_t index)
{
    if (index == entries->base_index) {
        return entries->base_term;
    }
    return entries_has(entries, index) ? slot_get(entries, index)->term : 0;
}

bool entries_fits(
    const struct entries *entries, uint32_t size_bytes, uint32_t spare_entries,
    uint32_t spare_bytes)
{
    const uint64_t bytes = (uint64_t)entries->used_bytes + size_bytes + spare_bytes;

    return (uint64_t)entries->count + 1 + spare_entries <= RAFT_LOG_ENTRIES_MAX &&
           bytes <= RAFT_LOG_BYTES_MAX;
}

void entries_append(struct entries *entries, const struct raft_entry *entry)
{
    ASSERT(entry->index == entries_last(entries) + 1);
    ASSERT(entry->term >= entries_term(entries, entries_last(entries)));
    ASSERT(entries_fits(entries, entry->size_bytes, 0, 0));
    entries->slots[entries->count] = (struct entries_slot){
        .term = entry->term,
        .offset = entries->used_bytes,
        .size_bytes = entry->size_bytes,
        .kind = entry->kind,
    };
    if (entry->size_bytes > 0) {
        memcpy(&entries->bytes[entries->used_bytes], entry->data, entry->size_bytes);
    }
    entries->count++;
    entries->used_bytes += entry->size_bytes;
}

void entries_truncate(struct entries *entries, uint64_t from_index)
{
    entries->used_bytes = slot_get(entries, from_index)->offset;
    entries->count = (uint32_t)(from_index - entries->base_index - 1);
}

void entries_compact(struct entries *entries, uint64_t first_index)
{
    const uint64_t last_index = entries_last(entries);
    const uint64_t base_index = first_index - 1;
    uint32_t dropped;
    uint32_t dropped_bytes;

    ASSERT(first_index > entries->base_index);
    ASSERT(base_index <= last_index);
    dropped = (uint32_t)(base_index - entries->base_index);
    dropped_bytes = entries->used_bytes - entries_bytes_from(entries, first_index);

    entries->base_term = entries_term(entries, base_index);
    entries->base_index = base_index;
    entries->count -= dropped;
    entries->used_bytes -= dropped_bytes;
    memmove(&entries->slots[0], &entries->slots[dropped], entries->count * sizeof *entries->slots);
    memmove(&entries->bytes[0], &entries->bytes[dropped_bytes], entries->used_bytes);
    for (uint32_t i = 0; i < entries->count; i++) {
        entries->slots[i].offset -= dropped_bytes;
    }
    ASSERT(entries_last(entries) == last_index);
}

uint32_t entries_bytes_from(const struct entries *entries, uint64_t index)
{
    if (index <= entries->base_index) {
        return entries->used_bytes;
    }
    return entries_has(entries, index) ? entries->used_bytes - slot_get(entries, index)->offset : 0;
}

uint32_t entries_count_from(const struct entries *entries, uint64_t index)
{
    if (index <= entries->base_index) {
        return entries->count;
    }
    return entries_has(entries, index) ? (uint32_t)(entries_last(entries) - index + 1) : 0;
}
