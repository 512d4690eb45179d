#include "ha/fields_msgpack.h"

#include <string.h>

#include "base/assert.h"

/* Encoding. */

/* Once something did not fit nothing more is written: the packer goes on regardless. */
static int write_bytes(void *data, const char *bytes, size_t count)
{
    struct fields_sink *sink = data;

    sink->overflow |= count > sink->size - sink->length;
    if (sink->overflow) {
        return -1;
    }
    memcpy(&sink->bytes[sink->length], bytes, count);
    sink->length += count;
    return 0;
}

void fields_begin(struct fields_sink *sink, msgpack_packer *packer, uint8_t *bytes, size_t size)
{
    sink->bytes = bytes;
    sink->size = size;
    sink->length = 0;
    sink->overflow = false;
    msgpack_packer_init(packer, sink, write_bytes);
}

size_t fields_end(const struct fields_sink *sink)
{
    return sink->overflow ? 0 : sink->length;
}

void fields_pack_text(msgpack_packer *packer, const char *text, size_t length)
{
    (void)msgpack_pack_str(packer, length);
    (void)msgpack_pack_str_body(packer, text, length);
}

void fields_pack_key(msgpack_packer *packer, const char *key)
{
    fields_pack_text(packer, key, strlen(key));
}

static const char *text_of(const struct field *field, const void *object)
{
    const char *text = (const char *)object + field->offset;

    ASSERT(strnlen(text, field->size) < field->size);
    return text;
}

static uint64_t unsigned_of(const struct field *field, const void *object)
{
    const char *at = (const char *)object + field->offset;
    uint16_t value16;
    uint32_t value32;
    uint64_t value64;

    switch (field->size) {
    case sizeof value16:
        memcpy(&value16, at, sizeof value16);
        return value16;
    case sizeof value32:
        memcpy(&value32, at, sizeof value32);
        return value32;
    default:
        ASSERT(field->size == sizeof value64);
        memcpy(&value64, at, sizeof value64);
        return value64;
    }
}

static int64_t signed_of(const struct field *field, const void *object)
{
    const char *at = (const char *)object + field->offset;
    int32_t value32;
    int64_t value64;

    if (field->size == sizeof value32) {
        memcpy(&value32, at, sizeof value32);
        return value32;
    }
    ASSERT(field->size == sizeof value64);
    memcpy(&value64, at, sizeof value64);
    return value64;
}

static bool bool_of(const struct field *field, const void *object)
{
    ASSERT(field->size == sizeof(bool));
    return *((const bool *)object + field->offset);
}

static bool is_zero(const struct field *field, const void *object)
{
    switch (field->kind) {
    case FIELD_UINT:
    case FIELD_ENUM:
        return unsigned_of(field, object) == 0;
    case FIELD_INT:
        return signed_of(field, object) == 0;
    case FIELD_BOOL:
        return !bool_of(field, object);
    case FIELD_TEXT:
        return text_of(field, object)[0] == '\0';
    }
    UNREACHABLE();
}

static void pack_value(msgpack_packer *packer, const struct field *field, const void *object)
{
    const char *text;

    switch (field->kind) {
    case FIELD_UINT:
    case FIELD_ENUM:
        (void)msgpack_pack_uint64(packer, unsigned_of(field, object));
        return;
    case FIELD_INT:
        (void)msgpack_pack_int64(packer, signed_of(field, object));
        return;
    case FIELD_BOOL:
        (void)msgpack_pack_true(packer);
        return;
    case FIELD_TEXT:
        text = text_of(field, object);
        fields_pack_text(packer, text, strlen(text));
        return;
    }
    UNREACHABLE();
}

uint32_t fields_count(const struct field_table *table, const void *object)
{
    uint32_t count = 0;

    for (size_t i = 0; i < table->count; i++) {
        count += is_zero(&table->fields[i], object) ? 0 : 1;
    }
    return count;
}

void fields_pack(msgpack_packer *packer, const struct field_table *table, const void *object)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];

        if (!is_zero(field, object)) {
            fields_pack_key(packer, field->key);
            pack_value(packer, field, object);
        }
    }
}

void fields_pack_map(msgpack_packer *packer, const struct field_table *table, const void *object)
{
    (void)msgpack_pack_map(packer, fields_count(table, object));
    fields_pack(packer, table, object);
}

/* Decoding. */

enum status fields_unpack(
    const uint8_t *bytes, size_t size, struct packed_limits limits, const char *what,
    msgpack_unpacked *unpacked, struct err *err)
{
    size_t at = 0;

    msgpack_unpacked_init(unpacked);
    if (!packed_check(bytes, size, limits)) {
        return ERR(err, INVALID, "the %s is not msgpack, is cut off, or has too many parts", what);
    }
    if (msgpack_unpack_next(unpacked, (const char *)bytes, size, &at) != MSGPACK_UNPACK_SUCCESS) {
        return ERR(err, INVALID, "the %s could not be unpacked", what);
    }
    if (unpacked->data.type != MSGPACK_OBJECT_MAP) {
        return ERR(err, INVALID, "the %s is not a map", what);
    }
    return STATUS_OK;
}

static bool is_key(const msgpack_object *object, const char *key)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(key) &&
           memcmp(object->via.str.ptr, key, object->via.str.size) == 0;
}

const msgpack_object *fields_find(const msgpack_object *map, const char *key)
{
    ASSERT(map->type == MSGPACK_OBJECT_MAP);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        if (is_key(&map->via.map.ptr[i].key, key)) {
            return &map->via.map.ptr[i].val;
        }
    }
    return NULL;
}

bool fields_read_text(const msgpack_object *value, char *target, size_t size)
{
    if (value->type != MSGPACK_OBJECT_STR || value->via.str.size >= size ||
        memchr(value->via.str.ptr, '\0', value->via.str.size) != NULL) {
        return false;
    }
    memcpy(target, value->via.str.ptr, value->via.str.size);
    target[value->via.str.size] = '\0';
    return true;
}

static bool read_unsigned(const msgpack_object *value, const struct field *field, char *at)
{
    const uint64_t number = value->via.u64;
    const uint32_t number32 = (uint32_t)number;
    const uint16_t number16 = (uint16_t)number;

    if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return false;
    }
    switch (field->size) {
    case sizeof number16:
        memcpy(at, &number16, sizeof number16);
        return number == number16;
    case sizeof number32:
        memcpy(at, &number32, sizeof number32);
        return number == number32;
    default:
        memcpy(at, &number, sizeof number);
        return true;
    }
}

static bool read_signed(const msgpack_object *value, const struct field *field, char *at)
{
    int64_t number;
    int32_t number32;

    if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        number = value->via.i64;
    } else if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= INT64_MAX) {
        number = (int64_t)value->via.u64;
    } else {
        return false;
    }
    if (field->size == sizeof number) {
        memcpy(at, &number, sizeof number);
        return true;
    }
    number32 = (int32_t)number;
    memcpy(at, &number32, sizeof number32);
    return number == number32;
}

static bool read_enum(const msgpack_object *value, const struct field *field, char *at)
{
    return value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 < 32 &&
           (field->valid >> value->via.u64 & 1) != 0 && read_unsigned(value, field, at);
}

static bool read_bool(const msgpack_object *value, char *at)
{
    if (value->type != MSGPACK_OBJECT_BOOLEAN) {
        return false;
    }
    memcpy(at, &value->via.boolean, sizeof value->via.boolean);
    return true;
}

static bool read_value(const msgpack_object *value, const struct field *field, void *object)
{
    char *at = (char *)object + field->offset;

    switch (field->kind) {
    case FIELD_UINT:
        return read_unsigned(value, field, at);
    case FIELD_INT:
        return read_signed(value, field, at);
    case FIELD_BOOL:
        return read_bool(value, at);
    case FIELD_ENUM:
        return read_enum(value, field, at);
    case FIELD_TEXT:
        return fields_read_text(value, at, field->size);
    }
    UNREACHABLE();
}

/* Our own maps have their keys in the order of the table: `next` is where the search begins. */
static const struct field *find_field(
    const struct field_table *table, const msgpack_object *key, size_t *next)
{
    for (size_t i = 0; i < table->count; i++) {
        const size_t at = (*next + i) % table->count;

        if (is_key(key, table->fields[at].key)) {
            *next = at + 1;
            return &table->fields[at];
        }
    }
    return NULL;
}

enum status fields_read(
    const msgpack_object *map, const struct field_table *table, void *object, struct err *err)
{
    size_t next = 0;

    if (map->type != MSGPACK_OBJECT_MAP) {
        return ERR(err, INVALID, "the %s is not a map", table->what);
    }
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];
        const struct field *field = find_field(table, &pair->key, &next);

        if (field != NULL && !read_value(&pair->val, field, object)) {
            return ERR(
                err, INVALID, "\"%s\" of the %s is of the wrong type or does not fit", field->key,
                table->what);
        }
    }
    return STATUS_OK;
}
