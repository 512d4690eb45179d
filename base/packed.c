/*
 * The walk keeps, for each array or map it is inside, how many parts are still to
 * come; a part of size n moves n bytes on. Nothing is interpreted but lengths.
 */
#include "base/packed.h"

#include "base/assert.h"

struct head {
    size_t header_bytes; /* 0: no such first byte, or cut off in the header. */
    uint64_t body_bytes; /* Of a scalar or a string. */
    uint64_t parts;      /* Of an array or a map, keys and values. */
};

/* Reads a big-endian length of 1, 2 or 4 bytes behind the first byte. */
static bool read_length(const uint8_t *bytes, size_t size, size_t width, uint64_t *length)
{
    if (size < 1 + width) {
        return false;
    }
    *length = 0;
    for (size_t i = 1; i <= width; i++) {
        *length = *length << 8 | bytes[i];
    }
    return true;
}

static struct head sized(
    const uint8_t *bytes, size_t size, size_t width, uint64_t extra_bytes, uint64_t parts_each)
{
    uint64_t length;

    if (!read_length(bytes, size, width, &length)) {
        return (struct head){0};
    }
    if (parts_each > 0) {
        return (struct head){.header_bytes = 1 + width, .parts = length * parts_each};
    }
    return (struct head){.header_bytes = 1 + width, .body_bytes = length + extra_bytes};
}

/* First bytes from 0xc0 to 0xdf: see the table in msgpack's specification. */
static struct head read_wide(const uint8_t *bytes, size_t size)
{
    static const uint8_t scalar_bytes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* 0xca to 0xd3 */
    static const uint8_t ext_bytes[] = {2, 3, 5, 9, 17};                  /* 0xd4 to 0xd8 */
    const uint8_t first = bytes[0];

    if (first == 0xc0 || first == 0xc2 || first == 0xc3) {
        return (struct head){.header_bytes = 1}; /* nil, false, true */
    }
    if (first >= 0xc4 && first <= 0xc6) {
        return sized(bytes, size, (size_t)1 << (first - 0xc4), 0, 0); /* bin */
    }
    if (first >= 0xc7 && first <= 0xc9) {
        return sized(bytes, size, (size_t)1 << (first - 0xc7), 1, 0); /* ext: and its type */
    }
    if (first >= 0xca && first <= 0xd3) {
        return (struct head){.header_bytes = 1, .body_bytes = scalar_bytes[first - 0xca]};
    }
    if (first >= 0xd4 && first <= 0xd8) {
        return (struct head){.header_bytes = 1, .body_bytes = ext_bytes[first - 0xd4]};
    }
    if (first >= 0xd9 && first <= 0xdb) {
        return sized(bytes, size, (size_t)1 << (first - 0xd9), 0, 0); /* str */
    }
    if (first == 0xdc || first == 0xdd) {
        return sized(bytes, size, (size_t)2 << (first - 0xdc), 0, 1); /* array */
    }
    if (first == 0xde || first == 0xdf) {
        return sized(bytes, size, (size_t)2 << (first - 0xde), 0, 2); /* map */
    }
    return (struct head){0}; /* 0xc1 is never used. */
}

static struct head read_head(const uint8_t *bytes, size_t size)
{
    const uint8_t first = bytes[0];

    if (first <= 0x7f || first >= 0xe0) {
        return (struct head){.header_bytes = 1}; /* Small integers. */
    }
    if (first <= 0x8f) {
        return (struct head){.header_bytes = 1, .parts = (uint64_t)(first & 0x0f) * 2};
    }
    if (first <= 0x9f) {
        return (struct head){.header_bytes = 1, .parts = first & 0x0f};
    }
    if (first <= 0xbf) {
        return (struct head){.header_bytes = 1, .body_bytes = first & 0x1f};
    }
    return read_wide(bytes, size);
}

bool packed_check(const uint8_t *bytes, size_t size, struct packed_limits limits)
{
    uint64_t waiting[PACKED_DEPTH_MAX + 1] = {1}; /* By depth; outermost: the one object. */
    uint64_t promised = 1;                        /* All parts that were announced so far. */
    uint32_t depth = 0;
    size_t at = 0;

    ASSERT(limits.depth <= PACKED_DEPTH_MAX);
    while (waiting[depth] > 0) {
        struct head head;

        if (at == size) {
            return false;
        }
        head = read_head(&bytes[at], size - at);
        if (head.header_bytes == 0 || head.body_bytes > size - at - head.header_bytes) {
            return false;
        }
        at += head.header_bytes + (size_t)head.body_bytes;
        waiting[depth]--;
        promised += head.parts;
        if (promised > limits.parts || head.parts > size - at) {
            return false; /* Each part takes a byte at least. */
        }
        if (head.parts > 0) {
            if (depth == limits.depth) {
                return false;
            }
            waiting[++depth] = head.parts;
        }
        while (depth > 0 && waiting[depth] == 0) {
            depth--;
        }
    }
    return at == size;
}
