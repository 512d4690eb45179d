/*
 * raft/conn_uv.h - one connection between two nodes: TLS, greeting, frames.
 *
 * Who connected greets first, who accepted answers with a greeting of its own; only then
 * the connection is up, so neither side believes in a peer that is about to refuse it.
 * A greeting carries the sender's address, from which its id follows, and which its
 * certificate, if there is one, must be for.
 *
 * The struct is the owner's memory from conn_init() to the `closed` event, and must not
 * move. No event is called from inside a function of this file.
 */
#ifndef PGBATON_RAFT_CONN_UV_H
#define PGBATON_RAFT_CONN_UV_H

#include <uv.h>

#include "base/status.h"
#include "raft/buffer_sys.h"
#include "raft/frame.h"
#include "raft/raft.h"
#include "raft/tls_gnutls.h"

#define CONN_QUEUE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define CONN_GREETING_MS     3000 /* From the first byte to the greeting. */
#define CONN_STALL_MS        2000 /* Data waited so long and not a byte was taken. */
#define CONN_USER_TIMEOUT_MS 2500 /* Data was sent and for so long not acknowledged. */

enum conn_state {
    CONN_NEW,      /* Has a socket, is not connected. */
    CONN_GREETING, /* TLS handshake, then greetings. */
    CONN_UP,
    CONN_CLOSING,
    CONN_CLOSED,
};

struct conn;

struct conn_events {
    void (*up)(void *owner, struct conn *conn);
    /* The payload lives until the callback returns. */
    void (*frame)(void *owner, struct conn *conn, const struct frame *frame);
    /* `why` is NULL if conn_close() was called. The conn may be freed or used anew from here. */
    void (*closed)(void *owner, struct conn *conn, const struct err *why);
};

/* Who we are; borrowed, and read whenever a frame is sent. */
struct conn_self {
    uint64_t id;
    uint64_t cluster_id;
    uint64_t incarnation;
    char address[RAFT_ADDRESS_SIZE];
};

struct conn_settings {
    uv_loop_t *loop;
    const struct tls_keys *keys; /* NULL: plain text. */
    const struct conn_self *self;
    enum tls_side side;
    uv_buf_t scratch; /* Filled by the network and emptied at once: many can share it. */
};

struct conn {
    uv_tcp_t tcp;
    uv_write_t write;
    struct conn_settings settings;
    const struct conn_events *events;
    void *owner;
    enum conn_state state;
    bool writing;
    bool tls_seen; /* The first byte was one of TLS. */
    bool failed;   /* `why` says how. */
    struct err why;
    struct tls *tls;
    struct buffer input;   /* Plain text, when there is no TLS. */
    struct buffer output;  /* The same, to be sent. */
    struct buffer sending; /* What libuv has. */
    uint64_t deadline_ms;  /* For the greeting. */
    uint64_t progress_ms;  /* When a byte of `sending` was last taken. */
    size_t unsent_bytes;   /* Of `sending`, at that time. */
    uint64_t peer_id;      /* From the greeting on. */
    char peer_address[RAFT_ADDRESS_SIZE];
};

void conn_init(
    struct conn *conn, const struct conn_settings *settings, const struct conn_events *events,
    void *owner);

/* The socket is connected or accepted: begins. */
void conn_start(struct conn *conn);

/*
 * False if the frame was not taken: the connection is not up, or its queue is full. The
 * newest is dropped, since a queue this long means that the peer hears nothing anyway.
 */
MUST_CHECK bool conn_send(
    struct conn *conn, enum frame_channel channel, const uint8_t *bytes, uint32_t size);

/* Has something that was sent not been acknowledged yet? */
bool conn_is_behind(const struct conn *conn);

/* To be called some times a second: closes what is overdue. */
void conn_check(struct conn *conn, uint64_t now_ms);

/* Both may be called again while it closes; the first reason counts. */
void conn_fail(struct conn *conn, const struct err *why);
void conn_close(struct conn *conn);

#endif
