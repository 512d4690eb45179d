/*
 * base/log_sys.h - where log lines go: standard error or a rotated file, in the
 * format users know (`%(asctime)s %(levelname)s: %(message)s`).
 */
#ifndef PGBATON_BASE_LOG_SYS_H
#define PGBATON_BASE_LOG_SYS_H

#include <stdint.h>

#include "base/log.h"
#include "base/status.h"

struct log_settings {
    enum log_level level;
    const char *format; /* NULL: "%(asctime)s %(levelname)s: %(message)s" */
    const char *dir;    /* NULL: standard error; else the file "<dir>/pgbaton.log". */
    uint64_t file_size; /* bytes; the file is rotated when it would grow past it */
    uint32_t file_num;  /* how many rotated files are kept */
    uint32_t mode;      /* permission bits of the file; 0: 0644 */
};

/* Sets the process's sink. May be called again on reload. Copies what it needs. */
MUST_CHECK enum status log_sys_open(const struct log_settings *settings, struct err *err);

#endif
