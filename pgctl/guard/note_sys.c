/*
 * pgctl/guard/note_sys.c - a log buffer for one writer.
 *
 * The buffer is static because a sink has no context; there is one log for a process.
 */
#include "pgctl/guard/note_sys.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/log.h"
#include "base/name.h"
#include "base/text.h"

/* A pipe that polls as writable takes this much without waiting (PIPE_BUF). */
#define BUFFER_BYTES 4096

static char buffer[BUFFER_BYTES];
static size_t filled;
static bool is_file;

static void add_line(enum log_level level, const char *message)
{
    const uint64_t wall_ms = clock_wall_ms();
    const time_t seconds = (time_t)(wall_ms / 1000);
    char line[512];
    struct text text;
    struct tm local = {0};

    (void)localtime_r(&seconds, &local);
    text_init(&text, line, sizeof line - 1); /* Leaves room for the end of the line. */
    text_addf(
        &text, "%04d-%02d-%02d %02d:%02d:%02d,%03u %s: " GUARD_NAME ": %s", local.tm_year + 1900,
        local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
        (unsigned)(wall_ms % 1000), log_level_name(level), message);
    line[text.length] = '\n';
    if (BUFFER_BYTES - filled > text.length) {
        memcpy(buffer + filled, line, text.length + 1);
        filled += text.length + 1;
    }
}

void note_open(void)
{
    struct stat info;

    tzset();
    is_file = fstat(STDERR_FILENO, &info) == 0 && S_ISREG(info.st_mode);
    log_set_sink(add_line);
}

static bool takes_it_now(void)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0;
}

void note_flush(bool may_wait)
{
    if (filled == 0 || (is_file && !may_wait) || !takes_it_now()) {
        return;
    }
    /* A log that cannot be written is nothing the guard could act on. */
    (void)!write(STDERR_FILENO, buffer, filled);
    filled = 0;
}
