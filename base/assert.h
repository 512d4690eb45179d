/*
 * base/assert.h - checks of our own code; on in release builds.
 *
 * Input from disk, network, files and users is never asserted: it is validated
 * once, where it enters. A failed assert prints file, line and condition to
 * standard error and aborts: a stopped node is the case a cluster is built for.
 */
#ifndef PGBATON_BASE_ASSERT_H
#define PGBATON_BASE_ASSERT_H

#include "base/attr.h"

NORETURN void assert_failed(const char *condition, const char *file, int line);

#define ASSERT(condition)                                  \
    do {                                                   \
        if (!(condition)) {                                \
            assert_failed(#condition, __FILE__, __LINE__); \
        }                                                  \
    } while (0)

/* Stands behind a switch that handles every enumerator. */
#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__)

#endif
