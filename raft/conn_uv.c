/*
 * Life of a connection: NEW -> GREETING -> UP -> CLOSING -> CLOSED. Any failure stores
 * its reason and closes the handle; the owner hears of it in the close callback, so he
 * is never called from inside his own call, and only once.
 *
 * Bytes in: libuv -> (TLS) -> input -> frames -> owner. Bytes out: frame -> (TLS) ->
 * output; when no write is under way the whole output becomes `sending`.
 */
#include "raft/conn_uv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/text.h"
#include "base/time.h"

#define TLS_RECORD_FIRST     0x14 /* Kinds of records, see RFC 8446, B.1. */
#define TLS_RECORD_HANDSHAKE 0x16
#define TLS_RECORD_LAST      0x17
#define KEEPALIVE_SECONDS    2

static struct buffer *input_of(struct conn *conn)
{
    return conn->tls == NULL ? &conn->input : tls_input(conn->tls);
}

static struct buffer *output_of(struct conn *conn)
{
    return conn->tls == NULL ? &conn->output : tls_output(conn->tls);
}

static bool is_open(const struct conn *conn)
{
    return conn->state < CONN_CLOSING;
}

/* ---------------------------------------------------------------------- closing */

static void release(struct conn *conn)
{
    tls_destroy(conn->tls);
    conn->tls = NULL;
    buffer_free(&conn->input);
    buffer_free(&conn->output);
    buffer_free(&conn->sending);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = container_of((uv_tcp_t *)handle, struct conn, tcp);

    release(conn);
    conn->state = CONN_CLOSED;
    conn->events->closed(conn->owner, conn, conn->failed ? &conn->why : NULL);
}

/* A last alert that tells the other side why, if the socket takes it at once. */
static void send_farewell(struct conn *conn)
{
    const struct buffer *output = output_of(conn);

    if (conn->tls != NULL && !conn->writing && output->length > 0) {
        char *bytes = (char *)output->data + output->start;
        const uv_buf_t buf = uv_buf_init(bytes, (unsigned int)output->length);

        (void)uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1); /* It is a courtesy. */
    }
}

void conn_close(struct conn *conn)
{
    if (!is_open(conn)) {
        return;
    }
    if (conn->state != CONN_NEW) {
        send_farewell(conn);
    }
    conn->state = CONN_CLOSING;
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

void conn_fail(struct conn *conn, const struct err *why)
{
    if (!is_open(conn)) {
        return;
    }
    conn->failed = true;
    conn->why = *why;
    conn_close(conn);
}

static void fail_uv(struct conn *conn, const char *what, int rc)
{
    struct err err;

    if (rc == UV_EOF) {
        ERR(&err, REFUSED, "closed by the other side");
    } else {
        ERR(&err, IO, "could not %s: %s", what, uv_strerror(rc));
    }
    conn_fail(conn, &err);
}

/* ---------------------------------------------------------------------- sending */

static void flush(struct conn *conn);

static void on_written(uv_write_t *write, int rc)
{
    struct conn *conn = container_of(write, struct conn, write);

    conn->writing = false;
    if (!is_open(conn)) {
        return; /* Being closed; this is libuv giving the request back. */
    }
    if (rc != 0) {
        fail_uv(conn, "send", rc);
        return;
    }
    buffer_consume(&conn->sending, conn->sending.length);
    flush(conn);
}

static void flush(struct conn *conn)
{
    struct buffer *output = output_of(conn);
    const struct buffer empty = conn->sending;
    uv_buf_t buf;
    int rc;

    if (conn->writing || output->length == 0) {
        return;
    }
    ASSERT(empty.length == 0);
    conn->sending = *output; /* They change places: no bytes are copied. */
    *output = empty;
    buf = uv_buf_init(
        (char *)conn->sending.data + conn->sending.start, (unsigned int)conn->sending.length);
    conn->progress_ms = clock_boot_ms();
    conn->unsent_bytes = conn->sending.length;
    rc = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written);
    if (rc != 0) {
        fail_uv(conn, "send", rc);
        return;
    }
    conn->writing = true;
}

/* Encrypts, if need be, and queues. */
static void put_frame(struct conn *conn, const struct frame *frame)
{
    uint8_t header[FRAME_HEADER_BYTES];
    struct err err;

    frame_put_header(frame, header);
    if (conn->tls == NULL) {
        buffer_add(&conn->output, header, sizeof header);
        buffer_add(&conn->output, frame->payload, frame->size_bytes);
    } else if (
        tls_write(conn->tls, header, sizeof header, frame->payload, frame->size_bytes, &err) !=
        STATUS_OK) {
        conn_fail(conn, &err);
        return;
    }
    flush(conn);
}

static struct frame make_frame(
    const struct conn *conn, enum frame_channel channel, const uint8_t *bytes, uint32_t size)
{
    const struct conn_self *self = conn->settings.self;

    return (struct frame){
        .channel = (uint8_t)channel,
        .sender_id = self->id,
        .cluster_id = self->cluster_id,
        .incarnation = self->incarnation,
        .payload = bytes,
        .size_bytes = size,
    };
}

static void send_greeting(struct conn *conn)
{
    const char *address = conn->settings.self->address;
    const struct frame frame = make_frame(
        conn, FRAME_CHANNEL_GREETING, (const uint8_t *)address, (uint32_t)strlen(address));

    put_frame(conn, &frame);
}

bool conn_send(struct conn *conn, enum frame_channel channel, const uint8_t *bytes, uint32_t size)
{
    const size_t queued = output_of(conn)->length + conn->sending.length;
    struct frame frame;

    /* A session that is over has a last frame to be read, and takes none. */
    if (conn->tls != NULL && !tls_ready(conn->tls)) {
        return false;
    }
    if (conn->state != CONN_UP || size > FRAME_PAYLOAD_MAX ||
        queued + FRAME_HEADER_BYTES + size > CONN_QUEUE_BYTES_MAX) {
        return false;
    }
    frame = make_frame(conn, channel, bytes, size);
    put_frame(conn, &frame);
    return is_open(conn);
}

bool conn_is_behind(const struct conn *conn)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    uv_os_fd_t fd = -1;

    return is_open(conn) && uv_fileno((const uv_handle_t *)&conn->tcp, &fd) == 0 &&
           getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked > 0;
}

/* -------------------------------------------------------------------- receiving */

/* The host of "host:port" or "[host]:port"; empty if there is none. */
static void host_of(const char *address, char host[RAFT_ADDRESS_SIZE])
{
    const char *colon = strrchr(address, ':');
    size_t length = colon == NULL ? strlen(address) : (size_t)(colon - address);

    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    ASSERT(length < RAFT_ADDRESS_SIZE);
    memcpy(host, address, length);
    host[length] = '\0';
}

/* An address goes into logs: printable ASCII, without blanks. */
static bool read_address(const struct frame *frame, char address[RAFT_ADDRESS_SIZE])
{
    if (frame->size_bytes == 0 || frame->size_bytes >= RAFT_ADDRESS_SIZE) {
        return false;
    }
    for (uint32_t i = 0; i < frame->size_bytes; i++) {
        if (frame->payload[i] <= ' ' || frame->payload[i] > '~') {
            return false;
        }
    }
    memcpy(address, frame->payload, frame->size_bytes);
    address[frame->size_bytes] = '\0';
    return true;
}

static enum status check_greeting(struct conn *conn, const struct frame *frame, struct err *err)
{
    char host[RAFT_ADDRESS_SIZE];

    if (frame->channel != FRAME_CHANNEL_GREETING || !read_address(frame, conn->peer_address)) {
        return ERR(err, REFUSED, "it did not greet");
    }
    if (frame->sender_id != raft_id(conn->peer_address)) {
        return ERR(err, REFUSED, "its id is not that of its address \"%s\"", conn->peer_address);
    }
    if (frame->sender_id == conn->settings.self->id) {
        return ERR(err, REFUSED, "it has our own address \"%s\"", conn->peer_address);
    }
    host_of(conn->peer_address, host);
    if (conn->tls != NULL && !tls_peer_is(conn->tls, host)) {
        return ERR(err, REFUSED, "its certificate is not for \"%s\"", host);
    }
    return STATUS_OK;
}

static void handle_frame(struct conn *conn, const struct frame *frame)
{
    struct err err;

    if (conn->state == CONN_UP) {
        if (frame->sender_id != conn->peer_id) {
            ERR(&err, REFUSED, "the sender of its frames has changed");
            conn_fail(conn, &err);
        } else if (frame->channel != FRAME_CHANNEL_GREETING && frame->channel < FRAME_CHANNELS) {
            conn->events->frame(conn->owner, conn, frame);
        }
        return;
    }
    if (check_greeting(conn, frame, &err) != STATUS_OK) {
        conn_fail(conn, &err);
        return;
    }
    if (conn->settings.side == TLS_SERVER) {
        send_greeting(conn);
    }
    if (is_open(conn)) {
        conn->peer_id = frame->sender_id;
        conn->state = CONN_UP;
        conn->events->up(conn->owner, conn);
    }
}

static void fail_frame(struct conn *conn, enum frame_result result)
{
    const uint8_t *bytes = buffer_bytes(input_of(conn));
    struct err err;

    if (result == FRAME_NOT_OURS && conn->tls == NULL && bytes[0] == TLS_RECORD_HANDSHAKE) {
        ERR(&err, REFUSED, "it speaks TLS, and this node is set to be insecure");
    } else if (result == FRAME_OTHER_VERSION) {
        ERR(&err, REFUSED, "%s: it speaks %d, this node %d", frame_result_text(result),
            frame_version(bytes), FRAME_VERSION);
    } else {
        ERR(&err, REFUSED, "%s", frame_result_text(result));
    }
    conn_fail(conn, &err);
}

/* The owner may close the connection in each frame; its memory lives on until `closed`. */
static void read_frames(struct conn *conn)
{
    while (is_open(conn)) {
        struct buffer *input = input_of(conn);
        struct frame frame;
        const enum frame_result result = frame_parse(buffer_bytes(input), input->length, &frame);

        if (result == FRAME_MORE) {
            return;
        }
        if (result != FRAME_READY) {
            fail_frame(conn, result);
            return;
        }
        handle_frame(conn, &frame);
        buffer_consume(input, FRAME_HEADER_BYTES + (size_t)frame.size_bytes);
    }
}

/* Says in plain words what GnuTLS would call an unexpected packet. */
static bool looks_like_tls(struct conn *conn, const uint8_t *bytes)
{
    struct err err;

    if (conn->tls_seen || (bytes[0] >= TLS_RECORD_FIRST && bytes[0] <= TLS_RECORD_LAST)) {
        conn->tls_seen = true;
        return true;
    }
    ERR(&err, REFUSED, "not TLS");
    conn_fail(conn, &err);
    return false;
}

static void feed_tls(struct conn *conn, const uint8_t *bytes, size_t size)
{
    const bool was_ready = tls_ready(conn->tls);
    struct err err;

    if (!looks_like_tls(conn, bytes)) {
        return;
    }
    if (tls_feed(conn->tls, bytes, size, &err) != STATUS_OK) {
        if (conn->state == CONN_UP) {
            read_frames(conn); /* What came before the end was said in earnest. */
        }
        conn_fail(conn, &err);
        return;
    }
    if (!was_ready && tls_ready(conn->tls) && conn->settings.side == TLS_CLIENT) {
        send_greeting(conn);
    }
    flush(conn);
    read_frames(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    const struct conn *conn = container_of((uv_tcp_t *)handle, struct conn, tcp);

    (void)suggested;
    *buf = conn->settings.scratch;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct conn *conn = container_of((uv_tcp_t *)stream, struct conn, tcp);
    const uint8_t *bytes = (const uint8_t *)buf->base;

    if (!is_open(conn) || count == 0) {
        return;
    }
    if (count < 0) {
        fail_uv(conn, "receive", (int)count);
    } else if (conn->tls != NULL) {
        feed_tls(conn, bytes, (size_t)count);
    } else {
        buffer_add(&conn->input, bytes, (size_t)count);
        read_frames(conn);
    }
}

/* --------------------------------------------------------------------- starting */

void conn_init(
    struct conn *conn, const struct conn_settings *settings, const struct conn_events *events,
    void *owner)
{
    int rc;

    *conn = (struct conn){.settings = *settings, .events = events, .owner = owner};
    rc = uv_tcp_init(settings->loop, &conn->tcp);
    ASSERT(rc == 0); /* Without flags it only fills in the struct. */
}

/* Without these a peer that lost its power would be noticed after many minutes. */
static int set_options(struct conn *conn)
{
    const unsigned int user_timeout_ms = CONN_USER_TIMEOUT_MS;
    uv_os_fd_t fd = -1;
    int rc = uv_tcp_nodelay(&conn->tcp, 1);

    if (rc == 0) {
        rc = uv_tcp_keepalive(&conn->tcp, 1, KEEPALIVE_SECONDS);
    }
    if (rc == 0) {
        rc = uv_fileno((uv_handle_t *)&conn->tcp, &fd);
    }
    if (rc == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms) ==
            -1) {
        rc = uv_translate_sys_error(errno);
    }
    return rc;
}

static enum status start_tls(struct conn *conn, struct err *err)
{
    enum status status = tls_create(conn->settings.keys, conn->settings.side, &conn->tls, err);

    if (status == STATUS_OK) {
        status = tls_start(conn->tls, err);
    }
    return status;
}

void conn_start(struct conn *conn)
{
    struct err err;
    int rc;

    if (!is_open(conn)) {
        return;
    }
    ASSERT(conn->state == CONN_NEW);
    conn->state = CONN_GREETING;
    conn->deadline_ms = time_add(clock_boot_ms(), CONN_GREETING_MS);
    rc = set_options(conn);
    if (rc == 0) {
        rc = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    }
    if (rc != 0) {
        fail_uv(conn, "set the connection up", rc);
    } else if (conn->settings.keys == NULL) {
        if (conn->settings.side == TLS_CLIENT) {
            send_greeting(conn);
        }
    } else if (start_tls(conn, &err) == STATUS_OK) {
        flush(conn);
    } else {
        conn_fail(conn, &err);
    }
}

/* Counts from the last byte that the kernel took, not from the beginning of a long write. */
static bool is_stalled(struct conn *conn, uint64_t now_ms)
{
    const size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);

    if (!conn->writing) {
        return false;
    }
    if (unsent != conn->unsent_bytes) {
        conn->unsent_bytes = unsent;
        conn->progress_ms = now_ms;
    }
    return time_since(now_ms, conn->progress_ms) > CONN_STALL_MS;
}

void conn_check(struct conn *conn, uint64_t now_ms)
{
    struct err err;

    if (conn->state == CONN_GREETING && now_ms >= conn->deadline_ms) {
        ERR(&err, TIMEOUT, "no greeting within %d ms", CONN_GREETING_MS);
        conn_fail(conn, &err);
    } else if (conn->state == CONN_UP && is_stalled(conn, now_ms)) {
        ERR(&err, TIMEOUT, "it takes no data for %d ms", CONN_STALL_MS);
        conn_fail(conn, &err);
    }
}
