/*
 * base/packed.h - looks over msgpack bytes before a decoder builds objects from them.
 *
 * The library allocates what an array's count promises, and a count costs an attacker
 * five bytes. So untrusted bytes are walked first, without allocating: one whole object,
 * no deeper and with no more parts than the caller expects, and every count covered by
 * bytes that are there. Pure.
 */
#ifndef PGBATON_BASE_PACKED_H
#define PGBATON_BASE_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKED_DEPTH_MAX 16

struct packed_limits {
    uint32_t depth; /* Arrays and maps in each other; at most PACKED_DEPTH_MAX. */
    uint32_t parts; /* All objects together, the outermost included. */
};

/* True if the bytes are exactly one msgpack object within the limits. */
bool packed_check(const uint8_t *bytes, size_t size, struct packed_limits limits);

#endif
