/*
 * pgctl/position.h - a place in the WAL: timeline and LSN, never a bare integer alone.
 */
#ifndef PGBATON_PGCTL_POSITION_H
#define PGBATON_PGCTL_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct pg_position {
    uint32_t timeline; /* 0: unknown */
    uint64_t lsn;      /* bytes; 0: unknown */
};

/* "16/B374D848" without leading zeroes, as PostgreSQL prints it. Holds 18 bytes with NUL. */
#define PG_LSN_TEXT_SIZE 18
void pg_lsn_print(uint64_t lsn, char text[PG_LSN_TEXT_SIZE]);

/* Parses "X/X"; false, and nothing written, if it is anything else. */
MUST_CHECK bool pg_lsn_parse(const char *text, uint64_t *lsn);

#endif
