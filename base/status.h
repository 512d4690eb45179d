/*
 * base/status.h - what a function that can fail returns.
 *
 * The code says what the caller can do about it; the struct err says what
 * happened, in words for a log line. Only functions that touch the outside
 * world return a status, and decoders: pure code asserts or cannot fail.
 *
 * The function that first sees a failure fills the err. Functions on the way up
 * may add context, and pass it on. The one that decides what to do logs it, once.
 */
#ifndef PGBATON_BASE_STATUS_H
#define PGBATON_BASE_STATUS_H

#include "base/attr.h"

#define STATUS_MAP(X)                                   \
    X(OK, "ok")                                         \
    X(IO, "the operating system refused the operation") \
    X(FULL, "no space left")                            \
    X(CORRUPT, "stored data is damaged")                \
    X(INVALID, "input is not valid")                    \
    X(TIMEOUT, "no answer in time")                     \
    X(REFUSED, "the other side said no")                \
    X(NOT_FOUND, "there is no such thing")

enum status {
#define X(code, text) STATUS_##code,
    STATUS_MAP(X)
#undef X
};

struct err {
    enum status status;
    int line;
    const char *file;
    char text[512];
};

const char *status_name(enum status status);
const char *status_text(enum status status);

/* Fills `err` and returns `status`, so that a failing branch is one line. */
PRINTF(5, 6)
enum status err_set(
    struct err *err, enum status status, const char *file, int line, const char *format, ...);

/* Puts "context: " before the text already there. Longer texts are cut at the end. */
PRINTF(2, 3) void err_add_context(struct err *err, const char *format, ...);

#define ERR(err, code, ...) err_set((err), STATUS_##code, __FILE__, __LINE__, __VA_ARGS__)

#endif
