/*
 * Scalars are described by one table that both directions use; what has structure
 * (address, lists, entries, snapshot) has a function each way.
 */
#include "raft/wire.h"

#include <inttypes.h>
#include <msgpack.h>
#include <string.h>

#include "base/assert.h"
#include "base/packed.h"
#include "raft/config.h"

/* Key numbers are for ever: never used again for something else. */
enum wire_key {
    WIRE_KEY_KIND = 1,
    WIRE_KEY_FROM,
    WIRE_KEY_TO,
    WIRE_KEY_CLUSTER_ID,
    WIRE_KEY_FROM_INCARNATION,
    WIRE_KEY_TO_INCARNATION,
    WIRE_KEY_TERM,
    WIRE_KEY_LAST_INDEX,
    WIRE_KEY_LAST_TERM,
    WIRE_KEY_COMMIT_INDEX,
    WIRE_KEY_TRANSFER,
    WIRE_KEY_ACCEPTED,
    WIRE_KEY_EMPTY,
    WIRE_KEY_ADDRESS,
    WIRE_KEY_SEEN_TERM,
    WIRE_KEY_SEEN_INDEX,
    WIRE_KEY_SEEN_INDEXES,
    WIRE_KEY_SEEN_IDS,
    WIRE_KEY_FORMED_IDS,
    WIRE_KEY_PREV_INDEX,
    WIRE_KEY_PREV_TERM,
    WIRE_KEY_ROUND,
    WIRE_KEY_MATCH_INDEX,
    WIRE_KEY_HINT_INDEX,
    WIRE_KEY_HINT_TERM,
    WIRE_KEY_ENTRIES,
    WIRE_KEY_SNAPSHOT,
    WIRE_KEYS,
};

struct number_field {
    uint8_t key;
    bool is_id; /* Any 64 bits; else a term or an index, and at most WIRE_NUMBER_MAX. */
    uint16_t offset;
};

struct flag_field {
    uint8_t key;
    uint16_t offset;
};

#define NUMBER(key, is_id, field)                                   \
    {                                                               \
        WIRE_KEY_##key, is_id, offsetof(struct raft_message, field) \
    }
#define FLAG(key, field)                                     \
    {                                                        \
        WIRE_KEY_##key, offsetof(struct raft_message, field) \
    }

static const struct number_field number_fields[] = {
    NUMBER(FROM, true, from),
    NUMBER(TO, true, to),
    NUMBER(CLUSTER_ID, true, cluster_id),
    NUMBER(FROM_INCARNATION, true, from_incarnation),
    NUMBER(TO_INCARNATION, true, to_incarnation),
    NUMBER(TERM, false, term),
    NUMBER(LAST_INDEX, false, last_index),
    NUMBER(LAST_TERM, false, last_term),
    NUMBER(COMMIT_INDEX, false, commit_index),
    NUMBER(SEEN_TERM, false, seen_term),
    NUMBER(SEEN_INDEX, false, seen_index),
    NUMBER(PREV_INDEX, false, prev_index),
    NUMBER(PREV_TERM, false, prev_term),
    NUMBER(ROUND, false, round),
    NUMBER(MATCH_INDEX, false, match_index),
    NUMBER(HINT_INDEX, false, hint_index),
    NUMBER(HINT_TERM, false, hint_term),
};

static const struct flag_field flag_fields[] = {
    FLAG(TRANSFER, transfer),
    FLAG(ACCEPTED, accepted),
    FLAG(EMPTY, empty),
};

/* More than any message of ours has; a newer node may add some. */
static const struct packed_limits limits = {.depth = 8, .parts = 4096};

/* The longest form of an integer, and of the header of a string, array or map. */
#define INTEGER_BYTES 9
#define HEADER_BYTES  5

size_t wire_bound_bytes(const struct raft_message *message)
{
    const size_t lists = 2 * (size_t)message->seen_count + message->formed_count;
    size_t bytes = WIRE_KEYS * (INTEGER_BYTES + 2) + RAFT_ADDRESS_SIZE + lists * INTEGER_BYTES;

    bytes += (size_t)32 * HEADER_BYTES; /* Maps and arrays that are there once. */
    for (uint32_t i = 0; i < message->entry_count; i++) {
        bytes += 3 * INTEGER_BYTES + 2 * HEADER_BYTES + message->entries[i].size_bytes;
    }
    if (message->snapshot.index > 0) {
        bytes += 2 * INTEGER_BYTES + RAFT_CONFIG_BYTES_MAX + message->snapshot.size_bytes;
    }
    return bytes;
}

/* ---------------------------------------------------------------------- encoding */

struct sink {
    uint8_t *bytes;
    size_t size;
    size_t length;
};

static int write_bytes(void *data, const char *bytes, size_t count)
{
    struct sink *sink = data;

    ASSERT(count <= sink->size - sink->length); /* Promised by wire_bound_bytes(). */
    memcpy(sink->bytes + sink->length, bytes, count);
    sink->length += count;
    return 0;
}

/* The packer hands on what write_bytes() returns, which is 0: nothing to check here. */
static void pack_number(msgpack_packer *packer, uint64_t value)
{
    (void)msgpack_pack_uint64(packer, value);
}

static void pack_array(msgpack_packer *packer, size_t count)
{
    (void)msgpack_pack_array(packer, count);
}

static void pack_bytes(msgpack_packer *packer, const uint8_t *bytes, size_t size)
{
    (void)msgpack_pack_bin(packer, size);
    if (size > 0) {
        (void)msgpack_pack_bin_body(packer, bytes, size);
    }
}

static void pack_address(msgpack_packer *packer, const char *address)
{
    const size_t length = strlen(address);

    (void)msgpack_pack_str(packer, length);
    (void)msgpack_pack_str_body(packer, address, length);
}

static void pack_numbers(msgpack_packer *packer, const uint64_t *numbers, uint32_t count)
{
    pack_array(packer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_number(packer, numbers[i]);
    }
}

static uint64_t number_of(const struct raft_message *message, const struct number_field *field)
{
    uint64_t value;

    memcpy(&value, (const char *)message + field->offset, sizeof value);
    return value;
}

static bool flag_of(const struct raft_message *message, const struct flag_field *field)
{
    return *((const bool *)message + field->offset);
}

static size_t key_count(const struct raft_message *message)
{
    size_t count = 1; /* The kind. */

    for (size_t i = 0; i < ARRAY_SIZE(number_fields); i++) {
        count += number_of(message, &number_fields[i]) != 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(flag_fields); i++) {
        count += flag_of(message, &flag_fields[i]);
    }
    count += message->address[0] != '\0';
    count += message->seen_count > 0 ? 2 : 0;
    count += message->formed_count > 0;
    count += message->entry_count > 0;
    count += message->snapshot.index > 0;
    return count;
}

static void pack_scalars(msgpack_packer *packer, const struct raft_message *message)
{
    pack_number(packer, WIRE_KEY_KIND);
    pack_number(packer, message->kind);
    for (size_t i = 0; i < ARRAY_SIZE(number_fields); i++) {
        const uint64_t value = number_of(message, &number_fields[i]);

        if (value != 0) {
            pack_number(packer, number_fields[i].key);
            pack_number(packer, value);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(flag_fields); i++) {
        if (flag_of(message, &flag_fields[i])) {
            pack_number(packer, flag_fields[i].key);
            (void)msgpack_pack_true(packer);
        }
    }
    if (message->address[0] != '\0') {
        pack_number(packer, WIRE_KEY_ADDRESS);
        pack_address(packer, message->address);
    }
}

static void pack_lists(msgpack_packer *packer, const struct raft_message *message)
{
    ASSERT(message->seen_count <= RAFT_MEMBERS_MAX);
    ASSERT(message->formed_count <= RAFT_MEMBERS_MAX);
    if (message->seen_count > 0) {
        pack_number(packer, WIRE_KEY_SEEN_INDEXES);
        pack_numbers(packer, message->seen_indexes, message->seen_count);
        pack_number(packer, WIRE_KEY_SEEN_IDS);
        pack_numbers(packer, message->seen_ids, message->seen_count);
    }
    if (message->formed_count > 0) {
        pack_number(packer, WIRE_KEY_FORMED_IDS);
        pack_numbers(packer, message->formed_ids, message->formed_count);
    }
}

static void pack_entries(msgpack_packer *packer, const struct raft_message *message)
{
    ASSERT(message->entry_count <= RAFT_BATCH_MAX);
    if (message->entry_count == 0) {
        return;
    }
    pack_number(packer, WIRE_KEY_ENTRIES);
    pack_array(packer, message->entry_count);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];

        pack_array(packer, 4);
        pack_number(packer, entry->term);
        pack_number(packer, entry->index);
        pack_number(packer, entry->kind);
        pack_bytes(packer, entry->data, entry->size_bytes);
    }
}

static void pack_snapshot(msgpack_packer *packer, const struct raft_snapshot *snapshot)
{
    uint8_t config[RAFT_CONFIG_BYTES_MAX];

    if (snapshot->index == 0) {
        return;
    }
    pack_number(packer, WIRE_KEY_SNAPSHOT);
    pack_array(packer, 4);
    pack_number(packer, snapshot->index);
    pack_number(packer, snapshot->term);
    pack_bytes(packer, config, raft_config_encode(&snapshot->config, config));
    pack_bytes(packer, snapshot->data, snapshot->size_bytes);
}

size_t wire_encode(const struct raft_message *message, uint8_t *bytes, size_t size)
{
    struct sink sink = {.size = size};
    msgpack_packer packer;

    sink.bytes = bytes;
    ASSERT(message->kind < RAFT_MESSAGE_KINDS);
    msgpack_packer_init(&packer, &sink, write_bytes);
    (void)msgpack_pack_map(&packer, key_count(message));
    pack_scalars(&packer, message);
    pack_lists(&packer, message);
    pack_entries(&packer, message);
    pack_snapshot(&packer, &message->snapshot);
    return sink.length;
}

/* ---------------------------------------------------------------------- decoding */

static bool get_number(const msgpack_object *object, uint64_t max, uint64_t *value)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER || object->via.u64 > max) {
        return false;
    }
    *value = object->via.u64;
    return true;
}

static bool get_array(
    const msgpack_object *object, uint32_t min, uint32_t max, const msgpack_object **items,
    uint32_t *count)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < min ||
        object->via.array.size > max) {
        return false;
    }
    *items = object->via.array.ptr;
    *count = object->via.array.size;
    return true;
}

static bool get_bytes(
    const msgpack_object *object, uint32_t max, const uint8_t **bytes, uint32_t *size)
{
    if (object->type != MSGPACK_OBJECT_BIN || object->via.bin.size > max) {
        return false;
    }
    *bytes = (const uint8_t *)object->via.bin.ptr;
    *size = object->via.bin.size;
    return true;
}

/* Printable ASCII, as it goes into logs and name lookups. */
static bool get_address(const msgpack_object *object, char address[RAFT_ADDRESS_SIZE])
{
    if (object->type != MSGPACK_OBJECT_STR || object->via.str.size >= RAFT_ADDRESS_SIZE) {
        return false;
    }
    for (uint32_t i = 0; i < object->via.str.size; i++) {
        if (object->via.str.ptr[i] <= ' ' || object->via.str.ptr[i] > '~') {
            return false;
        }
    }
    memset(address, 0, RAFT_ADDRESS_SIZE);
    memcpy(address, object->via.str.ptr, object->via.str.size);
    return true;
}

static bool get_numbers(
    const msgpack_object *object, uint64_t max, uint64_t numbers[RAFT_MEMBERS_MAX], uint32_t *count)
{
    const msgpack_object *items;

    if (!get_array(object, 0, RAFT_MEMBERS_MAX, &items, count)) {
        return false;
    }
    for (uint32_t i = 0; i < *count; i++) {
        if (!get_number(&items[i], max, &numbers[i])) {
            return false;
        }
    }
    return true;
}

static bool get_entry(const msgpack_object *object, struct raft_entry *entry)
{
    const msgpack_object *items;
    uint32_t count;
    uint64_t kind;

    if (!get_array(object, 4, UINT32_MAX, &items, &count) ||
        !get_number(&items[0], WIRE_NUMBER_MAX, &entry->term) ||
        !get_number(&items[1], WIRE_NUMBER_MAX, &entry->index) ||
        !get_number(&items[2], RAFT_ENTRY_DATA, &kind)) {
        return false;
    }
    entry->kind = (enum raft_entry_kind)kind;
    return get_bytes(&items[3], RAFT_ENTRY_BYTES_MAX, &entry->data, &entry->size_bytes);
}

static bool get_entries(const msgpack_object *object, struct raft_message *message)
{
    const msgpack_object *items;

    if (!get_array(object, 0, RAFT_BATCH_MAX, &items, &message->entry_count)) {
        return false;
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        if (!get_entry(&items[i], &message->entries[i])) {
            return false;
        }
    }
    return true;
}

static bool get_snapshot(const msgpack_object *object, struct raft_snapshot *snapshot)
{
    const msgpack_object *items;
    const uint8_t *config;
    uint32_t config_bytes;
    uint32_t count;
    struct err err;

    return get_array(object, 4, UINT32_MAX, &items, &count) &&
           get_number(&items[0], WIRE_NUMBER_MAX, &snapshot->index) &&
           get_number(&items[1], WIRE_NUMBER_MAX, &snapshot->term) &&
           get_bytes(&items[2], RAFT_CONFIG_BYTES_MAX, &config, &config_bytes) &&
           get_bytes(&items[3], RAFT_SNAPSHOT_BYTES_MAX, &snapshot->data, &snapshot->size_bytes) &&
           raft_config_decode(config, config_bytes, &snapshot->config, &err) == STATUS_OK;
}

static bool get_flag(uint64_t key, const msgpack_object *value, struct raft_message *message)
{
    for (size_t i = 0; i < ARRAY_SIZE(flag_fields); i++) {
        if (flag_fields[i].key == key) {
            if (value->type != MSGPACK_OBJECT_BOOLEAN) {
                return false;
            }
            *((bool *)message + flag_fields[i].offset) = value->via.boolean;
            return true;
        }
    }
    return true; /* A key of a newer version. */
}

/* A scalar, or a key of a newer version, which is skipped. */
static bool get_scalar(uint64_t key, const msgpack_object *value, struct raft_message *message)
{
    for (size_t i = 0; i < ARRAY_SIZE(number_fields); i++) {
        const struct number_field *field = &number_fields[i];
        uint64_t number;

        if (field->key == key) {
            if (!get_number(value, field->is_id ? UINT64_MAX : WIRE_NUMBER_MAX, &number)) {
                return false;
            }
            memcpy((char *)message + field->offset, &number, sizeof number);
            return true;
        }
    }
    return get_flag(key, value, message);
}

struct counts {
    uint32_t seen_ids; /* Must be as many as there are seen_indexes. */
    bool kind;
};

static bool get_field(
    uint64_t key, const msgpack_object *value, struct raft_message *message, struct counts *counts)
{
    uint64_t kind;

    switch (key) {
    case WIRE_KEY_KIND:
        if (!get_number(value, RAFT_MESSAGE_KINDS - 1, &kind)) {
            return false;
        }
        message->kind = (enum raft_message_kind)kind;
        counts->kind = true;
        return true;
    case WIRE_KEY_ADDRESS:
        return get_address(value, message->address);
    case WIRE_KEY_SEEN_INDEXES:
        return get_numbers(value, WIRE_NUMBER_MAX, message->seen_indexes, &message->seen_count);
    case WIRE_KEY_SEEN_IDS:
        return get_numbers(value, UINT64_MAX, message->seen_ids, &counts->seen_ids);
    case WIRE_KEY_FORMED_IDS:
        return get_numbers(value, UINT64_MAX, message->formed_ids, &message->formed_count);
    case WIRE_KEY_ENTRIES:
        return get_entries(value, message);
    case WIRE_KEY_SNAPSHOT:
        return get_snapshot(value, &message->snapshot);
    default:
        return get_scalar(key, value, message);
    }
}

/* What holds between fields: the core relies on it and asserts it. */
static enum status check_message(
    const struct raft_message *message, const struct counts *counts, struct err *err)
{
    uint64_t term = message->prev_term;

    if (!counts->kind || message->from == 0) {
        return ERR(err, INVALID, "the message has no kind or no sender");
    }
    if (counts->seen_ids != message->seen_count) {
        return ERR(
            err, INVALID, "the message names %u ids and %u indexes", counts->seen_ids,
            message->seen_count);
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];

        if (entry->index != message->prev_index + 1 + i) {
            return ERR(err, INVALID, "the message's entries do not follow each other");
        }
        if (entry->term < term || entry->term == 0 || entry->term > message->term) {
            return ERR(err, INVALID, "the message's entries have terms out of order");
        }
        term = entry->term;
    }
    if (message->kind == RAFT_SNAPSHOT &&
        (message->snapshot.index == 0 || message->snapshot.term == 0 ||
         message->snapshot.term > message->term ||
         message->snapshot.config.index > message->snapshot.index)) {
        return ERR(err, INVALID, "the message's snapshot is none");
    }
    return STATUS_OK;
}

static enum status decode_map(
    const msgpack_object *object, struct raft_message *message, struct err *err)
{
    struct counts counts = {0};

    if (object->type != MSGPACK_OBJECT_MAP) {
        return ERR(err, INVALID, "the message is not a map");
    }
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *pair = &object->via.map.ptr[i];

        if (pair->key.type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
            continue; /* A newer version may have reason to name a key. */
        }
        if (!get_field(pair->key.via.u64, &pair->val, message, &counts)) {
            return ERR(
                err, INVALID, "field %" PRIu64 " of the message is not valid", pair->key.via.u64);
        }
    }
    return check_message(message, &counts, err);
}

enum status wire_decode(
    const uint8_t *bytes, size_t size, struct raft_message *message, struct err *err)
{
    msgpack_unpacked unpacked;
    enum status status;
    size_t at = 0;

    *message = (struct raft_message){0};
    if (!packed_check(bytes, size, limits)) {
        return ERR(err, INVALID, "the message is not msgpack, is cut off, or has too many parts");
    }
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, size, &at) != MSGPACK_UNPACK_SUCCESS) {
        status = ERR(err, INVALID, "the message could not be unpacked");
    } else {
        status = decode_map(&unpacked.data, message, err);
    }
    msgpack_unpacked_destroy(&unpacked);
    return status;
}
