/*
 * pgctl/sql_pq.h - one non-blocking libpq connection as a state machine.
 *
 * No loop, no clock, no socket calls of its own: the caller (sql_uv.c) asks what to wait
 * for, waits, and calls sql_pq_step(). Deadlines are the caller's. Nothing here blocks,
 * provided that `host` is a numeric address or a socket directory, or that `hostaddr` is
 * given: libpq would look a name up in this thread.
 *
 * A connection is used once: after SQL_PQ_FAILED it can only be destroyed.
 */
#ifndef PGBATON_PGCTL_SQL_PQ_H
#define PGBATON_PGCTL_SQL_PQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"

#define SQL_SETTINGS_MAX 32

/* Why there is no connection, or no result. */
#define SQL_FAILURE_MAP(X)                                                                    \
    X(NONE, "none")                                                                           \
    X(REFUSED, "refused")     /* Nobody listens there. */                                     \
    X(STARTING, "starting")   /* 57P03: starting up, in recovery, or shutting down. */        \
    X(TOO_MANY, "too many")   /* 53300: it lives, but every connection is taken. */           \
    X(AUTH, "authentication") /* Class 28, or a password was asked for and not given. */      \
    X(TIMEOUT, "timeout")     /* Our deadline, statement_timeout, or a cancel. */             \
    X(LOST, "lost")           /* The connection broke, or the server ended it. */             \
    X(STATEMENT, "statement") /* The server refused this statement; nothing else is wrong. */ \
    X(OTHER, "other")

enum sql_failure {
#define X(code, text) SQL_FAILURE_##code,
    SQL_FAILURE_MAP(X)
#undef X
    SQL_FAILURE_COUNT
};

const char *sql_failure_name(enum sql_failure failure);

/* One parameter of a connection, by libpq's keyword. Handed over as it is: nothing to quote. */
struct sql_setting {
    const char *key;
    const char *value;
};

/*
 * What became of a query text. Of several statements in one text, the rows are those of the
 * last one; the first error ends the text. Borrowed: gone when the callback returns.
 */
struct sql_result {
    enum sql_failure failure; /* NONE: it succeeded. */
    char sqlstate[6];         /* Of the error; "" if there is none. */
    char text[256];           /* The error in one line; "" if there is none. */
    /*
     * The first WARNING on the way. A commit whose wait for synchronous standbys was
     * cancelled succeeds with one; it may be on no standby.
     */
    char warning_sqlstate[6];
    char warning[160];
    uint32_t row_count;
    uint32_t column_count;
    const char *const *cells; /* Row by row, text format; NULL is SQL's null. */
};

static inline const char *sql_cell(const struct sql_result *result, uint32_t row, uint32_t column)
{
    ASSERT(row < result->row_count);
    ASSERT(column < result->column_count);
    return result->cells[(size_t)row * result->column_count + column];
}

enum sql_pq_state {
    SQL_PQ_CONNECTING,
    SQL_PQ_IDLE,   /* Ready for a query. Readable all the same when the server goes away. */
    SQL_PQ_BUSY,   /* A query is under way. */
    SQL_PQ_DONE,   /* Its result is here; sql_pq_release() makes the connection idle. */
    SQL_PQ_FAILED, /* See sql_pq_failure(). If it was busy, the result says the same. */
};

enum sql_pq_wait {
    SQL_PQ_WAIT_NOTHING,
    SQL_PQ_WAIT_READ,
    SQL_PQ_WAIT_WRITE,
    SQL_PQ_WAIT_BOTH,
};

struct sql_pq;

/*
 * Begins to connect with `count` (at most SQL_SETTINGS_MAX) settings, borrowed for the call.
 * A setting that libpq rejects shows in the state, as FAILED; so does all else. Call
 * sql_pq_step() when the socket is as sql_pq_wait() says.
 */
struct sql_pq *sql_pq_create(const struct sql_setting settings[], size_t count);

/* Ends the connection; the server is told if the socket takes it. NULL is allowed. */
void sql_pq_destroy(struct sql_pq *pq);

/*
 * Goes on as far as it can without waiting. While connecting the socket may be closed and
 * another one opened, perhaps with the same number: stop watching before this call.
 */
enum sql_pq_state sql_pq_step(struct sql_pq *pq);

enum sql_pq_state sql_pq_state(const struct sql_pq *pq);
enum sql_pq_wait sql_pq_wait(const struct sql_pq *pq);
int sql_pq_socket(const struct sql_pq *pq); /* -1: none */

/* Only when IDLE: becomes BUSY, or FAILED. The text is copied. */
void sql_pq_send(struct sql_pq *pq, const char *text);

/* Only when DONE, or FAILED: the result of the text sent last. */
const struct sql_result *sql_pq_result(const struct sql_pq *pq);

/* Only when DONE: frees the result. */
void sql_pq_release(struct sql_pq *pq);

/* Only when FAILED. Fills `err` with a text without secrets. */
enum sql_failure sql_pq_failure(const struct sql_pq *pq, struct err *err);

/* 150018; 0 before the server has said so. */
uint32_t sql_pq_server_version(const struct sql_pq *pq);

/*
 * Adds the string as an SQL literal (E'' form where it holds a backslash) or as a quoted
 * identifier. For statements that take no parameters, such as CREATE ROLE.
 */
void sql_add_literal(struct text *text, const char *string);
void sql_add_identifier(struct text *text, const char *string);

#endif
