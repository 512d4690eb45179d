/*
 * pgctl/wal.h - names of WAL segments, where a record ends, what `pg_waldump` says.
 *
 * Pure. Together these find the end of valid WAL in the files of a server that is down: the
 * last record that can be read begins somewhere, and its length, its first four bytes, says where
 * it ends.
 */
#ifndef PGBATON_PGCTL_WAL_H
#define PGBATON_PGCTL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* Sizes a WAL has been made with; both are powers of two. */
struct wal_shape {
    uint32_t segment_bytes;
    uint32_t page_bytes;
};

/* "000000010000000000000003" -> timeline and first LSN; false for any other name. */
MUST_CHECK bool wal_segment_parse(
    const char *name, struct wal_shape shape, uint32_t *timeline, uint64_t *lsn);

#define WAL_SEGMENT_NAME_SIZE 25

/* The name of the segment that has `lsn`. */
void wal_segment_print(
    uint32_t timeline, uint64_t lsn, struct wal_shape shape, char name[WAL_SEGMENT_NAME_SIZE]);

/*
 * The LSN behind a record that begins at `lsn` and is `total_bytes` long: across pages, each
 * of which begins with a header, and padded to 8 bytes.
 */
uint64_t wal_record_end(uint64_t lsn, uint32_t total_bytes, struct wal_shape shape);

#define WAL_RECORD_BYTES_MIN 24         /* A header and nothing else. */
#define WAL_RECORD_BYTES_MAX 1073741824 /* PostgreSQL makes none that is longer. */

/*
 * Where the next record begins. Only one that leaves the rest of its segment unused has no
 * content.
 */
uint64_t wal_record_next(uint64_t lsn, uint32_t total_bytes, struct wal_shape shape);

/* How a `pg_waldump` that was to read to the end of WAL has ended. */
enum wal_stop {
    WAL_STOP_UNKNOWN,
    WAL_STOP_AT_END, /* `lsn` is the first place where there is no record. */
    WAL_STOP_AFTER,  /* `lsn` is where the last valid record begins. */
};

enum wal_stop wal_stop_parse(const char *messages, struct wal_shape shape, uint64_t *lsn);

#endif
