#include "raft/record.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "raft/config.h"

#define CRC_BYTES      4
#define SNAPSHOT_BYTES 28 /* In front of the membership and the data. */

static void seal(uint8_t *bytes, size_t size)
{
    put_u32(bytes, crc32c(0, bytes + CRC_BYTES, size - CRC_BYTES));
}

static bool is_whole(const uint8_t *bytes, size_t size)
{
    return get_u32(bytes) == crc32c(0, bytes + CRC_BYTES, size - CRC_BYTES);
}

uint64_t record_chain(uint64_t before, const struct raft_entry *entry)
{
    uint8_t fixed[32];
    uint64_t hash;

    put_u64(&fixed[0], before);
    put_u64(&fixed[8], entry->term);
    put_u64(&fixed[16], entry->index);
    put_u64(&fixed[24], (uint64_t)entry->kind);
    hash = hash64(HASH64_SEED, fixed, sizeof fixed);
    return entry->size_bytes == 0 ? hash : hash64(hash, entry->data, entry->size_bytes);
}

void record_put_head(const struct record_head *head, uint8_t bytes[RECORD_HEAD_BYTES])
{
    put_u32(&bytes[4], RECORD_VERSION);
    put_u64(&bytes[8], head->first_index);
    put_u64(&bytes[16], head->last_index);
    put_u64(&bytes[24], head->first_chain);
    put_u64(&bytes[32], head->last_chain);
    put_u64(&bytes[40], head->hard.term);
    put_u64(&bytes[48], head->hard.voted_for);
    put_u64(&bytes[56], head->hard.cluster_id);
    put_u64(&bytes[64], head->hard.incarnation);
    put_u64(&bytes[72], head->snapshot_index);
    seal(bytes, RECORD_HEAD_BYTES);
}

uint32_t record_version(const uint8_t *bytes, size_t size)
{
    return size >= 8 && is_whole(bytes, size) ? get_u32(&bytes[4]) : 0;
}

bool record_get_head(const uint8_t *bytes, size_t size, struct record_head *head)
{
    if (size != RECORD_HEAD_BYTES || record_version(bytes, size) != RECORD_VERSION) {
        return false;
    }
    *head = (struct record_head){
        .first_index = get_u64(&bytes[8]),
        .last_index = get_u64(&bytes[16]),
        .first_chain = get_u64(&bytes[24]),
        .last_chain = get_u64(&bytes[32]),
        .snapshot_index = get_u64(&bytes[72]),
        .hard =
            {
                   .term = get_u64(&bytes[40]),
                   .voted_for = get_u64(&bytes[48]),
                   .cluster_id = get_u64(&bytes[56]),
                   .incarnation = get_u64(&bytes[64]),
                   },
    };
    return head->first_index > 0 && head->first_index - 1 <= head->last_index &&
           head->hard.incarnation != 0 &&
           (head->first_index <= head->last_index || head->first_chain == head->last_chain);
}

void record_put_entry(const struct raft_entry *entry, uint64_t chain, uint8_t *bytes)
{
    ASSERT(entry->size_bytes <= RAFT_ENTRY_BYTES_MAX);
    put_u32(&bytes[4], (uint32_t)entry->kind);
    put_u64(&bytes[8], entry->term);
    put_u64(&bytes[16], entry->index);
    put_u64(&bytes[24], chain);
    if (entry->size_bytes > 0) {
        memcpy(&bytes[RECORD_ENTRY_BYTES], entry->data, entry->size_bytes);
    }
    seal(bytes, RECORD_ENTRY_BYTES + (size_t)entry->size_bytes);
}

bool record_get_entry(const uint8_t *bytes, size_t size, struct record_entry *record)
{
    uint32_t kind;

    if (size < RECORD_ENTRY_BYTES || size - RECORD_ENTRY_BYTES > (uint32_t)RAFT_ENTRY_BYTES_MAX ||
        !is_whole(bytes, size)) {
        return false;
    }
    kind = get_u32(&bytes[4]);
    if (kind > RAFT_ENTRY_DATA) {
        return false;
    }
    *record = (struct record_entry){
        .entry =
            {
                    .kind = (enum raft_entry_kind)kind,
                    .term = get_u64(&bytes[8]),
                    .index = get_u64(&bytes[16]),
                    .size_bytes = (uint32_t)(size - RECORD_ENTRY_BYTES),
                    .data = &bytes[RECORD_ENTRY_BYTES],
                    },
        .chain = get_u64(&bytes[24]),
    };
    return true;
}

size_t record_snapshot_bytes(const struct raft_snapshot *snapshot)
{
    uint8_t config[RAFT_CONFIG_BYTES_MAX];

    return SNAPSHOT_BYTES + (size_t)raft_config_encode(&snapshot->config, config) +
           snapshot->size_bytes;
}

void record_put_snapshot(const struct raft_snapshot *snapshot, uint8_t *bytes)
{
    uint8_t config[RAFT_CONFIG_BYTES_MAX];
    const uint32_t config_bytes = raft_config_encode(&snapshot->config, config);
    const size_t data_at = SNAPSHOT_BYTES + (size_t)config_bytes;

    put_u32(&bytes[4], config_bytes);
    put_u64(&bytes[8], snapshot->index);
    put_u64(&bytes[16], snapshot->term);
    put_u32(&bytes[24], snapshot->size_bytes);
    memcpy(&bytes[SNAPSHOT_BYTES], config, config_bytes);
    if (snapshot->size_bytes > 0) {
        memcpy(&bytes[data_at], snapshot->data, snapshot->size_bytes);
    }
    seal(bytes, data_at + snapshot->size_bytes);
}

bool record_get_snapshot(const uint8_t *bytes, size_t size, struct raft_snapshot *snapshot)
{
    size_t config_bytes;
    struct err err;

    if (size < SNAPSHOT_BYTES || !is_whole(bytes, size)) {
        return false;
    }
    config_bytes = get_u32(&bytes[4]);
    *snapshot = (struct raft_snapshot){
        .index = get_u64(&bytes[8]),
        .term = get_u64(&bytes[16]),
        .size_bytes = get_u32(&bytes[24]),
    };
    if (snapshot->index == 0 || snapshot->size_bytes > RAFT_SNAPSHOT_BYTES_MAX ||
        config_bytes > RAFT_CONFIG_BYTES_MAX ||
        size != SNAPSHOT_BYTES + config_bytes + snapshot->size_bytes) {
        return false;
    }
    snapshot->data = &bytes[SNAPSHOT_BYTES + config_bytes];
    return raft_config_decode(&bytes[SNAPSHOT_BYTES], config_bytes, &snapshot->config, &err) ==
           STATUS_OK;
}
