/*
 * cli/zone_sys.h - the machine's clock and time zone, for times that people type and read.
 */
#ifndef PGBATON_CLI_ZONE_SYS_H
#define PGBATON_CLI_ZONE_SYS_H

#include <stdint.h>

#include "cli/when.h"

/* The time `ahead_ms` from now, in the machine's zone. */
void zone_now(int64_t ahead_ms, struct when *when);

/* Fills in what was not typed: the date of today, the machine's offset on that day. */
void zone_complete(struct when *when);

#endif
