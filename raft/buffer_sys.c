#include "raft/buffer_sys.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define KEEP_BYTES ((size_t)4096)

static void grow(struct buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity == 0 ? KEEP_BYTES : buffer->capacity;
    uint8_t *data;

    while (capacity < needed) {
        ASSERT(capacity <= SIZE_MAX / 2);
        capacity *= 2;
    }
    data = realloc(buffer->data, capacity);
    ASSERT(data != NULL);
    buffer->data = data;
    buffer->capacity = capacity;
}

uint8_t *buffer_room(struct buffer *buffer, size_t size)
{
    ASSERT(size <= SIZE_MAX / 4);
    if (buffer->start > 0 && buffer->start + buffer->length + size > buffer->capacity) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->length);
        buffer->start = 0;
    }
    if (buffer->data == NULL || buffer->start + buffer->length + size > buffer->capacity) {
        grow(buffer, buffer->start + buffer->length + size);
    }
    return buffer->data + buffer->start + buffer->length;
}

void buffer_added(struct buffer *buffer, size_t size)
{
    ASSERT(buffer->start + buffer->length + size <= buffer->capacity);
    buffer->length += size;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(buffer_room(buffer, size), bytes, size);
        buffer_added(buffer, size);
    }
}

const uint8_t *buffer_bytes(const struct buffer *buffer)
{
    return buffer->data == NULL ? NULL : buffer->data + buffer->start;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    ASSERT(size <= buffer->length);
    buffer->start += size;
    buffer->length -= size;
    if (buffer->length > 0) {
        return;
    }
    buffer->start = 0;
    if (buffer->capacity > KEEP_BYTES) {
        buffer_free(buffer);
    }
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
