/*
 * base/log_sys.h - where log lines go: standard error or a rotated file, written by a thread of
 * its own.
 *
 * Who logs never waits: lines are handed over in memory, and if nobody takes them from there -
 * a reader that sleeps, a disk that hangs - the newest are dropped, and counted in the log as
 * soon as it moves again. Only a CRITICAL line is waited for, and not for long, for the process
 * is about to end.
 */
#ifndef PGBATON_BASE_LOG_SYS_H
#define PGBATON_BASE_LOG_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/status.h"

struct log_settings {
    enum log_level level;
    const char *format;        /* NULL: "%(asctime)s %(levelname)s: %(message)s" */
    bool json;                 /* A line is an object with the fields of the format. */
    const char *static_fields; /* An object as JSON, added to each of them; NULL: nothing. */
    const char *dir;           /* NULL: standard error; else the file "<dir>/pgbaton.log". */
    uint64_t file_size;        /* bytes; the file is rotated when it would grow past it */
    uint32_t file_num;         /* how many rotated files are kept */
    uint32_t mode;             /* permission bits of the file; 0: 0644 */
};

/* Sets the process's sink. May be called again on reload. Copies what it needs. */
MUST_CHECK enum status log_sys_open(const struct log_settings *settings, struct err *err);

/* Waits until what was logged is written. False if that took longer than `wait_ms`. */
bool log_sys_flush(uint64_t wait_ms);

/* How many lines have been dropped since the start. */
uint64_t log_sys_lost(void);

#endif
