/*
 * api/stamp.h - points in time as HTTP carries them.
 *
 * Pure: neither the clock nor the machine's zone is read.
 */
#ifndef PGBATON_API_STAMP_H
#define PGBATON_API_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define STAMP_SIZE 48

/* "2026-08-01T03:00:00.250+00:00"; `separator` is 'T' or a space. UTC, six digits behind the
 * point, or none for a full second where `separator` is 'T'. */
void stamp_print(uint64_t wall_ms, char separator, char text[STAMP_SIZE]);

enum stamp_result {
    STAMP_OK,
    STAMP_INVALID,
    STAMP_NO_ZONE,
};

/*
 * YYYY-MM-DD[T ]HH:MM[:SS[.digits]][ ][Z|UTC|GMT|+HH[[:]MM]], from 1970 on. Digits past the
 * millisecond are cut off.
 */
MUST_CHECK enum stamp_result stamp_parse(const char *text, uint64_t *wall_ms);

#endif
