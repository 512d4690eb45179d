/*
 * base/attr.h - the few compiler attributes and macros every folder uses.
 */
#ifndef PGBATON_BASE_ATTR_H
#define PGBATON_BASE_ATTR_H

#include <stddef.h>

#define MUST_CHECK          __attribute__((warn_unused_result))
#define PRINTF(text, first) __attribute__((format(__printf__, text, first)))
#define NORETURN            __attribute__((noreturn))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of `type` whose field `member` is what `pointer` points at. */
#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
