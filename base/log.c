/*
 * base/log.c - from a call to a finished message.
 *
 * The sink and the level are the only variables of the program that are global.
 * A log line can be wanted anywhere, also where a failure is being handled, and
 * there is one log for a process: handing it down through every call would put a
 * parameter on each function and choose between no two logs. They are atomic,
 * because the thread of the store logs too. Pure code does not log at all.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/text.h"

static void log_to_stderr(enum log_level level, const char *message)
{
    (void)fprintf(stderr, "%s: %s\n", log_level_name(level), message);
}

static _Atomic(log_sink *) current_sink = log_to_stderr;
static _Atomic(enum log_level) current_level = LOG_INFO;

static const char *const level_names[] = {
    [LOG_DEBUG] = "DEBUG", [LOG_INFO] = "INFO",         [LOG_WARNING] = "WARNING",
    [LOG_ERROR] = "ERROR", [LOG_CRITICAL] = "CRITICAL",
};

const char *log_level_name(enum log_level level)
{
    ASSERT((size_t)level < ARRAY_SIZE(level_names));
    return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
        if (text_equal_nocase(name, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_sink(log_sink *sink)
{
    ASSERT(sink != NULL);
    atomic_store(&current_sink, sink);
}

void log_set_level(enum log_level level)
{
    ASSERT((size_t)level < ARRAY_SIZE(level_names));
    atomic_store(&current_level, level);
}

bool log_enabled(enum log_level level)
{
    return level >= atomic_load(&current_level);
}

/*
 * A record is one line: what libpq and child programs say ends in a line feed and
 * may hold more, and a name from outside must not be able to forge a record.
 */
static void flatten(struct text *text)
{
    while (text->length > 0 && text->data[text->length - 1] == '\n') {
        text->length--;
    }
    text->data[text->length] = '\0';
    for (size_t i = 0; i < text->length; i++) {
        const unsigned char c = (unsigned char)text->data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            text->data[i] = ' ';
        }
    }
}

void log_write(enum log_level level, const char *format, ...)
{
    char buffer[LOG_MESSAGE_SIZE];
    struct text text;
    va_list args;
    log_sink *sink;

    if (!log_enabled(level)) {
        return;
    }
    text_init(&text, buffer, sizeof buffer);
    va_start(args, format);
    text_addv(&text, format, args);
    va_end(args);
    flatten(&text);
    sink = atomic_load(&current_sink);
    sink(level, buffer);
}
