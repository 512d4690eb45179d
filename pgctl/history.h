/*
 * pgctl/history.h - timeline history files: where each timeline was left for the next.
 *
 * Pure. A file NNNNNNNN.history has one line for each timeline before NNNNNNNN:
 * "1<tab>0/3000148<tab>no recovery target specified".
 */
#ifndef PGBATON_PGCTL_HISTORY_H
#define PGBATON_PGCTL_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "pgctl/position.h"

#define HISTORY_MAX         512
#define HISTORY_REASON_SIZE 96

struct history_entry {
    struct pg_position switched; /* The timeline, and the LSN where it was left. */
    char reason[HISTORY_REASON_SIZE];
};

struct history {
    uint32_t count;
    struct history_entry entries[HISTORY_MAX]; /* Oldest first. */
};

/* INVALID if a line is not understood, or timelines do not grow. Keeps the newest HISTORY_MAX. */
MUST_CHECK enum status history_parse(const char *text, struct history *history, struct err *err);

/* Where `timeline` was left; false if it is not in this history. */
MUST_CHECK bool history_switch_lsn(const struct history *history, uint32_t timeline, uint64_t *lsn);

#define HISTORY_NAME_SIZE 17
void history_file_name(uint32_t timeline, char name[HISTORY_NAME_SIZE]);

#endif
