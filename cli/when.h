/*
 * cli/when.h - points in time as people type them, and as the API wants them.
 *
 * Pure: neither the clock nor the zone of the machine is read here. What was not typed is
 * reported as missing and filled in by the caller.
 *
 * Accepted, in any order, separated by spaces, commas or a "T":
 *   2026-08-01   20260801   1 Aug 2026   August 1, 2026
 *   03:00   03:00:30   03:00:30.250
 *   Z   UTC   GMT   +02   +0200   +02:00
 * Dates like 01/08/2026 mean different days to different people and are refused.
 */
#ifndef PGBATON_CLI_WHEN_H
#define PGBATON_CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define WHEN_SIZE 48 /* Of a buffer that holds when_format()'s text. */

struct when {
    int year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
    int hour;
    int minute;
    int second;
    int microsecond;
    int zone_minutes; /* East of UTC. */
    bool has_date;
    bool has_zone;
};

/* True for what means "immediately": nothing, or "now" in any case. */
bool when_is_now(const char *string);

/* False if `string` is no date and time, or an ambiguous one. A missing time is midnight. */
MUST_CHECK bool when_parse(const char *string, struct when *when);

/* "2026-08-01T03:00:00+00:00"; microseconds only where there are some. */
void when_format(const struct when *when, struct text *out);

/* Milliseconds since 1970, UTC; of a time that has its date and zone. */
int64_t when_to_wall_ms(const struct when *when);

/* The same point in time with `zone_minutes` as its zone. */
void when_from_wall_ms(int64_t wall_ms, int zone_minutes, struct when *when);

#endif
