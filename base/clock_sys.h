/*
 * base/clock_sys.h - the two clocks, read at the point of use.
 */
#ifndef PGBATON_BASE_CLOCK_SYS_H
#define PGBATON_BASE_CLOCK_SYS_H

#include <stdint.h>

/* CLOCK_BOOTTIME, in milliseconds: counts suspend, is never set. Leases live on it. */
uint64_t clock_boot_ms(void);

/* CLOCK_REALTIME, in milliseconds since 1970: for people, never for a decision of safety. */
uint64_t clock_wall_ms(void);

/* 64 bits from the kernel's generator: identifiers, not keys. Ends the process if it fails. */
uint64_t clock_random_u64(void);

#endif
