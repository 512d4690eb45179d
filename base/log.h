/*
 * base/log.h - levels and the shape of a log line.
 *
 * A message is one lower-case sentence or `key=value` pairs, without full stop;
 * names are quoted. error: somebody must act. warning: degraded, carrying on.
 * info: a role, lease, configuration or membership changed, with why. debug:
 * protocol. Secrets are never put into a message.
 *
 * log_write() goes to the sink the process has set (log_sys.h); before that, and
 * in tests, to standard error.
 */
#ifndef PGBATON_BASE_LOG_H
#define PGBATON_BASE_LOG_H

#include <stdbool.h>

#include "base/attr.h"

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARNING,
    LOG_ERROR,
    LOG_CRITICAL, /* The process is about to end because of it. */
};

const char *log_level_name(enum log_level level); /* "DEBUG" ... "CRITICAL" */

/* False if `name` is none of the names above, in any case. */
MUST_CHECK bool log_level_parse(const char *name, enum log_level *level);

typedef void log_sink(enum log_level level, const char *message);

void log_set_sink(log_sink *sink);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* In bytes, NUL included; what is longer is cut. */
#define LOG_MESSAGE_SIZE 4096

PRINTF(2, 3) void log_write(enum log_level level, const char *format, ...);

#define log_debug(...)    log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)     log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...)  log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...)    log_write(LOG_ERROR, __VA_ARGS__)
#define log_critical(...) log_write(LOG_CRITICAL, __VA_ARGS__)

#endif
