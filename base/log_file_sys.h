/*
 * base/log_file_sys.h - the file, or standard error, that takes the lines of a log. All of it
 * may wait for a disk or a reader for as long as that takes.
 */
#ifndef PGBATON_BASE_LOG_FILE_SYS_H
#define PGBATON_BASE_LOG_FILE_SYS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

struct log_file {
    char path[PATH_MAX];
    int fd; /* -1: standard error. */
    mode_t mode;
    uint64_t size_bytes;
    uint64_t size_max_bytes; /* 0: it is never rotated. */
    uint32_t rotated_max;    /* How many old files are kept; 0 as well. */
};

/* Opens "<dir>/pgbaton.log" with what else `file` says; standard error if `dir` is NULL. */
MUST_CHECK enum status log_file_open(struct log_file *file, const char *dir, struct err *err);
void log_file_close(struct log_file *file);

/* `line` with its line feed. What the file does not take goes to standard error. */
void log_file_write(struct log_file *file, const char *line, size_t length);

#endif
