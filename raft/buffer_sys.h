/*
 * raft/buffer_sys.h - bytes on the heap that come in at one end and leave at the other.
 *
 * Memory is there while bytes are: a buffer that has run empty keeps a small block and
 * gives a large one back. Without memory the process stops. All zero is an empty buffer.
 */
#ifndef PGBATON_RAFT_BUFFER_SYS_H
#define PGBATON_RAFT_BUFFER_SYS_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t start;  /* Bytes already consumed. */
    size_t length; /* Bytes that wait, from `start` on. */
    size_t capacity;
};

void buffer_add(struct buffer *buffer, const void *bytes, size_t size);

/* Room for `size` bytes behind those that wait; buffer_added() says how many were put there. */
uint8_t *buffer_room(struct buffer *buffer, size_t size);
void buffer_added(struct buffer *buffer, size_t size);

/* The bytes that wait; valid until the next call that changes the buffer. */
const uint8_t *buffer_bytes(const struct buffer *buffer);
void buffer_consume(struct buffer *buffer, size_t size);

/* Gives all memory back; the buffer is empty and can be used again. */
void buffer_free(struct buffer *buffer);

#endif
