/*
 * conf/value.h - texts of settings to values: numbers with units, addresses.
 *
 * Pure. Every function returns false, and leaves the value alone, for a text that is
 * not wholly what it should be.
 */
#ifndef PGBATON_CONF_VALUE_H
#define PGBATON_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define CONF_HOST_MAX 256

struct conf_address {
    char host[CONF_HOST_MAX]; /* Without brackets; "" if the setting is absent. */
    uint16_t port;
};

MUST_CHECK bool value_count(const char *text, int64_t *count);

/* Seconds, "1.5", or with a unit: us, ms, s, min, h, d. Into milliseconds, rounded down. */
MUST_CHECK bool value_seconds(const char *text, int64_t *ms);

/* Bytes, or with a unit: B, kB, MB, GB, TB (powers of 1024). */
MUST_CHECK bool value_bytes(const char *text, int64_t *bytes);

/* Octal digits, with or without a 0 or 0o before them. */
MUST_CHECK bool value_mode(const char *text, int64_t *mode);

/* host:port, [v6]:port; one host. */
MUST_CHECK bool value_address(const char *text, struct conf_address *address);

/* host[,host...]:port; "*" and the wildcard addresses are hosts too. */
MUST_CHECK bool value_listen(const char *text, struct conf_address *address);

/* Listens everywhere: *, 0.0.0.0, :: */
bool value_is_wildcard(const char *host);

/* Reaches only the own machine: localhost, 127.x.x.x, ::1 */
bool value_is_loopback(const char *host);

#endif
