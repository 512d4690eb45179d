/*
 * version (1), count (1), term (8), index (8), then for each member: id (8),
 * incarnation (8), kind (1), length of the address (1), the address. The name of the
 * membership is inside, so that bytes that ended up at another index are noticed.
 */
#include "raft/config.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define CONFIG_VERSION      1
#define CONFIG_HEADER_BYTES 18
#define CONFIG_MEMBER_BYTES 18 /* Without the address. */

static size_t put_member(uint8_t *bytes, const struct raft_member *member)
{
    const size_t length = strnlen(member->address, RAFT_ADDRESS_SIZE);

    ASSERT(length > 0);
    ASSERT(length < RAFT_ADDRESS_SIZE);
    put_u64(&bytes[0], member->id);
    put_u64(&bytes[8], member->incarnation);
    bytes[16] = member->kind == RAFT_MEMBER_VOTER;
    bytes[17] = (uint8_t)length;
    memcpy(&bytes[CONFIG_MEMBER_BYTES], member->address, length);
    return CONFIG_MEMBER_BYTES + length;
}

uint32_t raft_config_encode(const struct raft_config *config, uint8_t *bytes)
{
    size_t size = CONFIG_HEADER_BYTES;

    ASSERT(config->count <= RAFT_MEMBERS_MAX);
    bytes[0] = CONFIG_VERSION;
    bytes[1] = (uint8_t)config->count;
    put_u64(&bytes[2], config->term);
    put_u64(&bytes[10], config->index);
    for (uint32_t i = 0; i < config->count; i++) {
        size += put_member(&bytes[size], &config->members[i]);
    }
    ASSERT(size <= RAFT_CONFIG_BYTES_MAX);
    return (uint32_t)size;
}

/* Bytes used, or 0 if they are no member. */
static size_t get_member(const uint8_t *bytes, size_t size, struct raft_member *member)
{
    size_t length;

    if (size < CONFIG_MEMBER_BYTES) {
        return 0;
    }
    length = bytes[17];
    if (bytes[16] > 1 || length == 0 || length >= RAFT_ADDRESS_SIZE ||
        length > size - CONFIG_MEMBER_BYTES ||
        memchr(&bytes[CONFIG_MEMBER_BYTES], '\0', length) != NULL) {
        return 0;
    }
    *member = (struct raft_member){
        .id = get_u64(&bytes[0]),
        .incarnation = get_u64(&bytes[8]),
        .kind = bytes[16] == 1 ? RAFT_MEMBER_VOTER : RAFT_MEMBER_LEARNER,
    };
    memcpy(member->address, &bytes[CONFIG_MEMBER_BYTES], length);
    return member->id == 0 || member->incarnation == 0 ? 0 : CONFIG_MEMBER_BYTES + length;
}

enum status raft_config_decode(
    const uint8_t *bytes, size_t size, struct raft_config *config, struct err *err)
{
    size_t at = CONFIG_HEADER_BYTES;
    uint32_t count;

    *config = (struct raft_config){0};
    if (size < CONFIG_HEADER_BYTES || bytes[0] != CONFIG_VERSION || bytes[1] > RAFT_MEMBERS_MAX) {
        return ERR(err, INVALID, "membership of an unknown form, %zu bytes", size);
    }
    config->term = get_u64(&bytes[2]);
    config->index = get_u64(&bytes[10]);
    count = bytes[1];
    for (uint32_t i = 0; i < count; i++) {
        const size_t used = get_member(&bytes[at], size - at, &config->members[i]);

        if (used == 0) {
            return ERR(err, INVALID, "member %u of a membership is damaged", i);
        }
        if (raft_config_find(config, config->members[i].id) != NULL) {
            return ERR(err, INVALID, "member %u of a membership is there twice", i);
        }
        config->count++;
        at += used;
    }
    if (at != size || raft_config_voter_count(config) == 0 ||
        raft_config_voter_count(config) > RAFT_VOTERS_MAX) {
        return ERR(err, INVALID, "membership with a wrong length or number of voters");
    }
    return STATUS_OK;
}

uint32_t raft_config_position(const struct raft_config *config, uint64_t id)
{
    uint32_t position = 0;

    while (position < config->count && config->members[position].id != id) {
        position++;
    }
    return position;
}

const struct raft_member *raft_config_find(const struct raft_config *config, uint64_t id)
{
    const uint32_t position = raft_config_position(config, id);

    return position < config->count ? &config->members[position] : NULL;
}

uint32_t raft_config_voter_count(const struct raft_config *config)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < config->count; i++) {
        count += config->members[i].kind == RAFT_MEMBER_VOTER;
    }
    return count;
}
