/*
 * ha/fields_msgpack.h - structs to msgpack maps and back by tables; for the codecs of ha/ only.
 *
 * A table says for each field of a struct under which key it travels, what it is and where
 * it lies. Fields of structs inside are listed with the key of the inner struct before
 * their own ("at." and "lsn"), so that a table is flat and no walk needs recursion. A field
 * that is zero is left out; the order is that of the table, so equal structs give equal
 * bytes. Keys are for ever: never used again for something else.
 */
#ifndef PGBATON_HA_FIELDS_MSGPACK_H
#define PGBATON_HA_FIELDS_MSGPACK_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/packed.h"
#include "base/status.h"
#include "ha/cluster.h"

enum field_kind {
    FIELD_UINT, /* Of 2, 4 or 8 bytes. */
    FIELD_INT,  /* Of 4 or 8 bytes. */
    FIELD_BOOL,
    FIELD_ENUM, /* A value whose bit is set in `valid`. */
    FIELD_TEXT, /* A NUL-terminated array. */
};

struct field {
    const char *key;
    enum field_kind kind;
    uint32_t valid;
    size_t offset;
    size_t size;
};

#define FIELD(kind_, key_, type, member, valid_)                                \
    {                                                                           \
        .key = (key_), .kind = FIELD_##kind_, .offset = offsetof(type, member), \
        .size = sizeof(((type *)NULL)->member), .valid = (valid_)               \
    }
#define FIELD_UINT(key, type, member)        FIELD(UINT, key, type, member, 0)
#define FIELD_INT(key, type, member)         FIELD(INT, key, type, member, 0)
#define FIELD_BOOL(key, type, member)        FIELD(BOOL, key, type, member, 0)
#define FIELD_TEXT(key, type, member)        FIELD(TEXT, key, type, member, 0)
#define FIELD_ENUM(key, type, member, valid) FIELD(ENUM, key, type, member, valid)

/* For `valid`: all from 0 to `last`. */
#define FIELD_UP_TO(last) ((UINT32_C(2) << (last)) - 1)

/* The structs that others contain. `member` is where it lies in `type`. */
#define FIELDS_POSITION(key, type, member) \
    FIELD_UINT(key "timeline", type, member.timeline), FIELD_UINT(key "lsn", type, member.lsn)
#define FIELDS_MEMBER(key, type, member)                                                         \
    FIELD_UINT(key "id", type, member.id), FIELD_UINT(key "dir", type, member.data_dir_id),      \
        FIELD_BOOL(key "witness", type, member.witness),                                         \
        FIELD_UINT(key "port", type, member.pg_port), FIELD_TEXT(key "name", type, member.name), \
        FIELD_TEXT(key "host", type, member.pg_host), FIELD_TEXT(key "api", type, member.api_url)
#define FIELDS_REQUEST(key, type, member)                                                 \
    FIELD_ENUM(key "kind", type, member.kind, FIELD_UP_TO(CLUSTER_REQUEST_FAILOVER)),     \
        FIELD_UINT(key "id", type, member.id), FIELD_UINT(key "from", type, member.from), \
        FIELD_UINT(key "to", type, member.to),                                            \
        FIELD_UINT(key "at", type, member.scheduled_wall_ms),                             \
        FIELD_UINT(key "granted", type, member.granted_epoch)
#define FIELDS_OUTCOME(key, type, member)                                             \
    FIELD_UINT(key "id", type, member.id), FIELD_UINT(key "code", type, member.code), \
        FIELD_TEXT(key "text", type, member.text)

struct field_table {
    const char *what; /* For error texts: "command". */
    const struct field *fields;
    size_t count;
};

#define FIELD_TABLE(what, fields)            \
    {                                        \
        (what), (fields), ARRAY_SIZE(fields) \
    }

/* Bytes that are written into memory of the caller. */
struct fields_sink {
    uint8_t *bytes;
    size_t size;
    size_t length;
    bool overflow;
};
void fields_begin(struct fields_sink *sink, msgpack_packer *packer, uint8_t *bytes, size_t size);

/* What was written, or 0 if there was not enough room. */
size_t fields_end(const struct fields_sink *sink);

void fields_pack_text(msgpack_packer *packer, const char *text, size_t length);
void fields_pack_key(msgpack_packer *packer, const char *key);

/* How many keys fields_pack() will write; the caller opens the map, and may add others. */
uint32_t fields_count(const struct field_table *table, const void *object);
void fields_pack(msgpack_packer *packer, const struct field_table *table, const void *object);

/* The map with nothing else in it. */
void fields_pack_map(msgpack_packer *packer, const struct field_table *table, const void *object);

/* Unpacks one whole object that is a map. Destroy `unpacked` in any case. */
MUST_CHECK enum status fields_unpack(
    const uint8_t *bytes, size_t size, struct packed_limits limits, const char *what,
    msgpack_unpacked *unpacked, struct err *err);

/* The value of a key, or NULL. `map` is a map. */
const msgpack_object *fields_find(const msgpack_object *map, const char *key);

/* Reads what the table knows into `object`, which is zero before; skips other keys. */
MUST_CHECK enum status fields_read(
    const msgpack_object *map, const struct field_table *table, void *object, struct err *err);

/* Text of at most `size - 1` bytes without a NUL; false if it is anything else. */
bool fields_read_text(const msgpack_object *value, char *target, size_t size);

/* command_msgpack.c: a command inside of something else. */
void command_pack(msgpack_packer *packer, const struct command *command);
MUST_CHECK enum status command_read(
    const msgpack_object *map, struct command *command, char *config_buffer, struct err *err);

#endif
