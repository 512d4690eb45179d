#include "pgctl/wal.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pgctl/position.h"

/* Headers of a WAL page and of the first page of a segment; the same since 9.3. */
#define PAGE_HEADER_BYTES    24
#define SEGMENT_HEADER_BYTES 40
#define RECORD_ALIGN         8
#define SEGMENT_NAME_LENGTH  24

static bool parse_hex8(const char *text, uint32_t *value)
{
    *value = 0;
    for (size_t i = 0; i < 8; i++) {
        const char c = text[i];

        if (c >= '0' && c <= '9') {
            *value = (*value << 4) | (uint32_t)(c - '0');
        } else if (c >= 'A' && c <= 'F') {
            *value = (*value << 4) | (uint32_t)(c - 'A' + 10);
        } else {
            return false;
        }
    }
    return true;
}

bool wal_segment_parse(const char *name, struct wal_shape shape, uint32_t *timeline, uint64_t *lsn)
{
    uint32_t high = 0;
    uint32_t low = 0;

    ASSERT(shape.segment_bytes > 0);
    if (strnlen(name, SEGMENT_NAME_LENGTH + 1) != SEGMENT_NAME_LENGTH) {
        return false;
    }
    if (!parse_hex8(name, timeline) || !parse_hex8(&name[8], &high) ||
        !parse_hex8(&name[16], &low)) {
        return false;
    }
    *lsn = ((uint64_t)high << 32) + (uint64_t)low * shape.segment_bytes;
    return true;
}

void wal_segment_print(
    uint32_t timeline, uint64_t lsn, struct wal_shape shape, char name[WAL_SEGMENT_NAME_SIZE])
{
    const uint32_t low = (uint32_t)lsn;

    ASSERT(shape.segment_bytes > 0);
    (void)snprintf(
        name, WAL_SEGMENT_NAME_SIZE, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, timeline,
        (uint32_t)(lsn >> 32), low / shape.segment_bytes);
}

static uint32_t page_header_bytes(uint64_t page_lsn, struct wal_shape shape)
{
    return page_lsn % shape.segment_bytes == 0 ? SEGMENT_HEADER_BYTES : PAGE_HEADER_BYTES;
}

uint64_t wal_record_end(uint64_t lsn, uint32_t total_bytes, struct wal_shape shape)
{
    uint64_t left = total_bytes;
    uint64_t end = lsn;

    ASSERT(shape.page_bytes > SEGMENT_HEADER_BYTES);
    while (true) {
        const uint64_t room = shape.page_bytes - end % shape.page_bytes;

        if (left <= room) {
            end += left;
            break;
        }
        left -= room;
        end += room;
        end += page_header_bytes(end, shape);
    }
    return (end + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* The LSN that begins at `text`, whatever follows it. */
static bool lsn_at(const char *text, uint64_t *lsn)
{
    char copy[PG_LSN_TEXT_SIZE];
    const size_t length = strspn(text, "0123456789ABCDEFabcdef/");

    if (length == 0 || length >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    return pg_lsn_parse(copy, lsn);
}

uint64_t wal_record_next(uint64_t lsn, uint32_t total_bytes, struct wal_shape shape)
{
    const uint64_t end = wal_record_end(lsn, total_bytes, shape);

    if (total_bytes > WAL_RECORD_BYTES_MIN) {
        return end;
    }
    return (end + shape.segment_bytes - 1) / shape.segment_bytes * shape.segment_bytes;
}

/* A segment that is missing: WAL ends where the one before it does. */
static bool missing_segment(const char *messages, struct wal_shape shape, uint64_t *lsn)
{
    static const char label[] = "could not find file \"";
    const char *name = strstr(messages, label);
    char copy[SEGMENT_NAME_LENGTH + 1];
    uint32_t timeline;

    if (name == NULL) {
        return false;
    }
    name += sizeof label - 1;
    if (strnlen(name, SEGMENT_NAME_LENGTH) < SEGMENT_NAME_LENGTH) {
        return false;
    }
    memcpy(copy, name, SEGMENT_NAME_LENGTH);
    copy[SEGMENT_NAME_LENGTH] = '\0';
    return wal_segment_parse(copy, shape, &timeline, lsn);
}

enum wal_stop wal_stop_parse(const char *messages, struct wal_shape shape, uint64_t *lsn)
{
    static const char no_record[] = "invalid record length at ";
    static const char last_record[] = "error in WAL record at ";
    const char *found = strstr(messages, no_record);

    /* The usual end: zeroes where the next record would be. */
    if (found != NULL && lsn_at(&found[sizeof no_record - 1], lsn)) {
        return WAL_STOP_AT_END;
    }
    /* Left-overs of a recycled segment, a torn record: the record before is the last one. */
    found = strstr(messages, last_record);
    if (found != NULL && lsn_at(&found[sizeof last_record - 1], lsn)) {
        return WAL_STOP_AFTER;
    }
    return missing_segment(messages, shape, lsn) ? WAL_STOP_AT_END : WAL_STOP_UNKNOWN;
}
