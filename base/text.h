/*
 * base/text.h - text into a bounded buffer, and comparisons of C strings.
 *
 * A builder never writes past its buffer and always leaves a terminating NUL.
 * What did not fit is dropped and remembered: check text_overflowed() before
 * the result is used for more than a log line.
 */
#ifndef PGBATON_BASE_TEXT_H
#define PGBATON_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct text {
    char *data; /* Borrowed; `size` bytes, NUL included. */
    size_t size;
    size_t length;
    bool overflow;
};

/* `size` is at least 1. */
void text_init(struct text *text, char *data, size_t size);
void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const char *bytes, size_t count);
PRINTF(2, 3) void text_addf(struct text *text, const char *format, ...);
PRINTF(2, 0) void text_addv(struct text *text, const char *format, va_list args);
bool text_overflowed(const struct text *text);

/* Copies a C string into `target`; false, and an empty target, if it does not fit. */
MUST_CHECK bool text_copy(char *target, size_t size, const char *source);

/* The same, cut at the end where it does not fit. */
void text_copy_cut(char *target, size_t size, const char *source);

bool text_equal(const char *a, const char *b);
bool text_equal_nocase(const char *a, const char *b);
bool text_starts_with(const char *string, const char *prefix);
bool text_ends_with(const char *string, const char *suffix);

#endif
