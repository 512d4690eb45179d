/*
 * pgctl/sql_uv.h - an asynchronous SQL connection on the libuv loop.
 *
 * Life: sql_open() connects; events->connected or events->failed tells how it went. A
 * connection that was up can fail at any time, also while nothing is asked. After `failed`
 * it is the owner's choice to call sql_reconnect(), at once or later, or sql_close(); nothing
 * is tried again by itself. No callback comes from inside a call of these functions.
 *
 * Queries run one at a time, in order. Every accepted query ends in exactly one callback,
 * except those that sql_close() overtakes. Never blocks the loop: names are looked up on
 * libuv's thread pool, all else is non-blocking. (GSSAPI could talk to a key server in our
 * thread, so `gssencmode` is "disable" unless it is set.)
 */
#ifndef PGBATON_PGCTL_SQL_UV_H
#define PGBATON_PGCTL_SQL_UV_H

#include <uv.h>

#include "base/status.h"
#include "pgctl/sql_pq.h"

struct sql;

struct sql_settings {
    /*
     * Borrowed for the call. `host` is one host; `options` is kept and added to ours; a
     * value of NULL counts as not given.
     */
    const struct sql_setting *settings;
    size_t setting_count;
    uint32_t connect_timeout_ms;
    /* Enforced by the server, so that a query we gave up does not go on there; 0: none. */
    uint32_t statement_timeout_ms;
};

struct sql_events {
    void (*connected)(void *owner);
    /* All waiting queries have been called back before, with the same failure. */
    void (*failed)(void *owner, enum sql_failure failure, const struct err *err);
    void (*closed)(void *owner); /* May be NULL. */
};

/* The result is borrowed for the call. */
typedef void sql_callback(void *owner, const struct sql_result *result);

/* How many queries may wait or run; one more is refused. */
#define SQL_QUEUE_MAX 8

/*
 * Copies the settings and starts to connect. INVALID: too many settings, a list of hosts, or a
 * value that is too long.
 * `events` is borrowed until the connection is closed.
 */
MUST_CHECK enum status sql_open(
    struct sql **sql, uv_loop_t *loop, const struct sql_settings *settings,
    const struct sql_events *events, void *owner, struct err *err);

/*
 * Queues a query; the text is copied. It may be queued while the connection is still coming
 * up. `timeout_ms` counts from when it is sent, 0 is no limit; past it the query ends with
 * SQL_FAILURE_TIMEOUT and the connection fails, since nobody knows what the server still does.
 * FULL: the queue is. REFUSED: there is no connection and none is coming up.
 */
MUST_CHECK enum status sql_query(
    struct sql *sql, const char *text, uint32_t timeout_ms, sql_callback *callback, void *owner,
    struct err *err);

/* Connects again with the same settings. Only after events->failed (also from inside it). */
void sql_reconnect(struct sql *sql);

/* Connected: a query would be sent, or wait only for those before it. */
bool sql_is_up(const struct sql *sql);

/* The socket's server: 150018; 0 when not connected. */
uint32_t sql_server_version(const struct sql *sql);

/*
 * Drops the connection and what is queued: no callback of a query comes any more. Ends in
 * events->closed, after which `sql` is gone. Not twice. May be called from any callback.
 */
void sql_close(struct sql *sql);

#endif
