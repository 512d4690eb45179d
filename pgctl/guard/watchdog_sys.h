/*
 * pgctl/guard/watchdog_sys.h - the machine's watchdog: the ring that needs nobody's cooperation.
 *
 * Open means armed. It is fed only when a lease is begun or renewed, so a machine on which the
 * guard hangs, too, is reset after the timeout. It is closed with the magic "V", which disarms
 * it, only when nothing of PostgreSQL is left.
 */
#ifndef PGBATON_PGCTL_GUARD_WATCHDOG_SYS_H
#define PGBATON_PGCTL_GUARD_WATCHDOG_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "pgctl/guard_proto.h"

struct watchdog {
    struct guard_watchdog wanted;
    int fd; /* -1 if it is not open. */
    enum guard_watchdog_state state;
    uint32_t asked_s;          /* The timeout it was last asked for. */
    uint32_t timeout_s;        /* The timeout it said it has. */
    char text[GUARD_TEXT_MAX]; /* What is wrong or odd. */
};

void watchdog_init(struct watchdog *watchdog);

/* New settings. An open device is closed if it is not wanted any more, or another one is. */
void watchdog_configure(struct watchdog *watchdog, const struct guard_watchdog *wanted);

/*
 * Opens it if it is wanted and not open, and applies a changed timeout. False only if nothing may
 * become writable without it: `text` says why.
 */
MUST_CHECK bool watchdog_open(struct watchdog *watchdog);

/* Opens it if need be, and feeds it. */
void watchdog_feed(struct watchdog *watchdog);

/* Disarms and closes it. */
void watchdog_close(struct watchdog *watchdog);

#endif
