/*
 * base/time.h - points in time and spans, in milliseconds; reads no clock.
 *
 * A point in time is CLOCK_BOOTTIME in milliseconds unless its name says
 * otherwise (`wall_ms` is since 1970, UTC).
 */
#ifndef PGBATON_BASE_TIME_H
#define PGBATON_BASE_TIME_H

#include <stdint.h>

#define TIME_NEVER UINT64_MAX

/* a + span, never past TIME_NEVER. */
static inline uint64_t time_add(uint64_t a_ms, uint64_t span_ms)
{
    return a_ms > TIME_NEVER - span_ms ? TIME_NEVER : a_ms + span_ms;
}

/* a - b, or 0 when b is the later one. */
static inline uint64_t time_since(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms - b_ms : 0;
}

static inline uint64_t time_min(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static inline uint64_t time_max(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

/*
 * Clocks of two nodes drift apart by at most 1 %. What must be over before
 * something happens elsewhere is shortened, what waits for it is lengthened.
 */
#define TIME_DRIFT_PERCENT 1

/* The most of `span_ms` that surely has not ended on any other clock; rounded down. */
static inline uint64_t time_shorten(uint64_t span_ms)
{
    return span_ms * (100 - TIME_DRIFT_PERCENT) / 100;
}

/* The least that surely covers `span_ms` on any other clock; rounded up. */
static inline uint64_t time_lengthen(uint64_t span_ms)
{
    return (span_ms * (100 + TIME_DRIFT_PERCENT) + 99) / 100;
}

#endif
