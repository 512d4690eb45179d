/*
 * pgctl/guard_uv.h - the daemon's end of the guard: a connection that comes back by itself.
 *
 * The client connects to the guard's Unix socket and tries again for ever, every 50 ms. It is up
 * when the guard has said its status; until then, and after a loss, requests are not sent and
 * get number 0. What the guard says comes as events, never from inside a call of the owner. A
 * request that was sent gets exactly one answer, unless the connection is lost before: then the
 * status that comes with the next connection tells what became of it (start_id, armed_epoch).
 *
 * The socket's buffer holds hundreds of renewals. If even that is full the guard does not run;
 * the connection is dropped, which the owner sees as going down. The process must ignore SIGPIPE,
 * as every user of libuv's streams.
 */
#ifndef PGBATON_PGCTL_GUARD_UV_H
#define PGBATON_PGCTL_GUARD_UV_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "pgctl/guard_proto.h"

struct guard_client_events {
    /* The guard has answered; its status follows at once. */
    void (*up)(void *owner);

    /*
     * The connection was lost, or an attempt to connect failed. NOT_FOUND: no guard listens, so
     * one may be spawned. INVALID: it speaks another version of the protocol.
     */
    void (*down)(void *owner, const struct err *err);

    /* Something in it has changed, or it was asked for. Valid during the call. */
    void (*status)(void *owner, const struct guard_status *status);

    /* The answer to the request of that number; `refused` is NULL if it was accepted. */
    void (*answer)(
        void *owner, uint32_t request, enum guard_type type, const struct guard_refused *refused);

    /* A guard that this client spawned has ended; exit code 3: another one holds the lock. */
    void (*exited)(void *owner, int64_t exit_code, int term_signal);

    /* After guard_client_close(): the struct may be freed. */
    void (*closed)(void *owner);
};

enum guard_client_state {
    GUARD_CLIENT_WAITING,
    GUARD_CLIENT_CONNECTING,
    GUARD_CLIENT_GREETING, /* Connected; no status yet. */
    GUARD_CLIENT_UP,
    GUARD_CLIENT_RESETTING,
};

/* Must not move while it is open. */
struct guard_client {
    uv_timer_t retry;
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_process_t process;
    const struct guard_client_events *events;
    void *owner;
    enum guard_client_state state;
    bool closing;
    bool process_open; /* The handle of a spawned guard is in use. */
    uint32_t handles_open;
    uint32_t last_request;
    struct err down_err; /* Why it is RESETTING. */
    char path[GUARD_PATH_MAX];
    size_t filled;
    uint8_t bytes[GUARD_BYTES_MAX];
    struct guard_message message;
};

/* `events` is borrowed until closed. INVALID if `path` is too long for a socket. */
MUST_CHECK enum status guard_client_open(
    struct guard_client *client, uv_loop_t *loop, const char *path,
    const struct guard_client_events *events, void *owner, struct err *err);

/* Ends the connection, not the guard; the event `closed` follows. */
void guard_client_close(struct guard_client *client);

bool guard_client_is_up(const struct guard_client *client);

/* How to run a guard that nobody runs yet. */
struct guard_spawn {
    const char *program;     /* Path of pgbaton-guard. */
    uint64_t kill_margin_ms; /* 0 for the guard's own default. */
    bool no_realtime;
    bool no_cgroup;
    int out_fd; /* What guard and PostgreSQL get as stdout and stderr; -1: that of the caller. */
    int err_fd;
};

/*
 * Starts a guard for this client's socket, in a session of its own, so that it outlives the
 * caller. Does nothing if one that was spawned here still runs. The client connects by itself.
 */
MUST_CHECK enum status guard_client_spawn(
    struct guard_client *client, const struct guard_spawn *spawn, struct err *err);

/*
 * Requests: guard_proto.h says what they mean. Each returns the number its answer will carry, or
 * 0 if it was not sent. The answer to a start comes when the program runs or could not be run.
 */
uint32_t guard_client_start(struct guard_client *client, const struct guard_start *start);
uint32_t guard_client_adopt(struct guard_client *client, const struct guard_adopt *adopt);
uint32_t guard_client_promoted(
    struct guard_client *client, uint64_t epoch, struct guard_deadline deadline);
uint32_t guard_client_renew(
    struct guard_client *client, uint64_t epoch, struct guard_deadline deadline);
uint32_t guard_client_stop(struct guard_client *client, enum guard_stop_mode mode);
uint32_t guard_client_watchdog(struct guard_client *client, const struct guard_watchdog *watchdog);
uint32_t guard_client_shutdown(struct guard_client *client);

#endif
