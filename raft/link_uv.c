/*
 * Life of a link: WAITING -> CONNECTING -> UP, and from both of the last back to WAITING
 * when the conn has closed. Closing is a flag next to the state, since it can be asked
 * for in any of them; the link is gone when libuv has given everything back.
 */
#include "raft/link_uv.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/text.h"
#include "base/time.h"

bool link_split_address(
    const char *address, char host[RAFT_ADDRESS_SIZE], char port[RAFT_ADDRESS_SIZE])
{
    const char *colon = strrchr(address, ':');
    size_t length;

    if (colon == NULL || colon == address || colon[1] == '\0' ||
        strlen(address) >= RAFT_ADDRESS_SIZE) {
        return false;
    }
    length = (size_t)(colon - address);
    if (length > 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    return text_copy(port, RAFT_ADDRESS_SIZE, colon + 1) &&
           strspn(port, "0123456789") == strlen(port);
}

static void finish_if_last(struct link *link)
{
    ASSERT(link->handles_open > 0);
    link->handles_open--;
    if (link->closing && link->handles_open == 0) {
        link->events->closed(link->owner, link);
    }
}

static void on_retry(uv_timer_t *timer);

static void wait_for_retry(struct link *link, uint64_t span_ms)
{
    int rc;

    link->state = LINK_WAITING;
    if (link->closing) {
        return;
    }
    rc = uv_timer_start(&link->retry, on_retry, span_ms, 0);
    ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
}

static void wait_a_while(struct link *link)
{
    wait_for_retry(link, prng_between(link->prng, LINK_RETRY_MIN_MS, LINK_RETRY_MAX_MS));
}

/* ------------------------------------------------------------------- connecting */

static void on_conn_up(void *owner, struct conn *conn)
{
    struct link *link = owner;
    struct err err;

    if (conn->peer_id != link->id) {
        ERR(&err, REFUSED, "it calls itself \"%s\"", conn->peer_address);
        conn_fail(conn, &err);
        return;
    }
    link->state = LINK_UP;
    link->events->up(link->owner, link);
}

static void on_conn_frame(void *owner, struct conn *conn, const struct frame *frame)
{
    struct link *link = owner;

    (void)conn;
    if (link->state == LINK_UP) {
        link->events->frame(link->owner, link, frame);
    }
}

static void on_conn_closed(void *owner, struct conn *conn, const struct err *why)
{
    struct link *link = owner;
    const bool was_up = link->state == LINK_UP;

    (void)conn;
    wait_a_while(link);
    if (!link->closing && why != NULL) {
        if (was_up) {
            link->events->down(link->owner, link, why);
        } else {
            link->events->missed(link->owner, link, why);
        }
    }
    finish_if_last(link);
}

static const struct conn_events conn_events = {
    .up = on_conn_up,
    .frame = on_conn_frame,
    .closed = on_conn_closed,
};

static void fail_connect(struct link *link, int rc)
{
    struct err err;

    ERR(&err, REFUSED, "could not connect: %s", uv_strerror(rc));
    conn_fail(&link->conn, &err);
}

static void on_connect(uv_connect_t *request, int rc)
{
    struct link *link = container_of(request, struct link, connect);

    if (rc == UV_ECANCELED) {
        return; /* The conn is being closed, for a reason that is known already. */
    }
    if (rc != 0) {
        fail_connect(link, rc);
        return;
    }
    conn_start(&link->conn);
}

static void try_connect(struct link *link)
{
    const struct sockaddr_storage *address = &link->addresses[link->attempt % link->address_count];
    int rc;

    ASSERT(link->state == LINK_WAITING);
    link->attempt++;
    link->state = LINK_CONNECTING;
    link->deadline_ms = time_add(clock_boot_ms(), LINK_CONNECT_MS);
    link->handles_open++;
    conn_init(&link->conn, &link->settings, &conn_events, link);
    rc = uv_tcp_connect(
        &link->connect, &link->conn.tcp, (const struct sockaddr *)address, on_connect);
    if (rc != 0) {
        fail_connect(link, rc);
    }
}

/* ---------------------------------------------------------------------- lookup */

static void keep_addresses(struct link *link, const struct addrinfo *found)
{
    link->address_count = 0;
    for (; found != NULL && link->address_count < LINK_ADDRESSES_MAX; found = found->ai_next) {
        if (found->ai_addrlen <= sizeof link->addresses[0]) {
            memcpy(&link->addresses[link->address_count], found->ai_addr, found->ai_addrlen);
            link->address_count++;
        }
    }
}

static void miss_lookup(struct link *link, int rc)
{
    struct err err;

    ERR(&err, NOT_FOUND, "could not look up the name: %s", uv_strerror(rc));
    wait_a_while(link);
    link->events->missed(link->owner, link, &err);
}

static void on_lookup(uv_getaddrinfo_t *request, int rc, struct addrinfo *found)
{
    struct link *link = container_of(request, struct link, lookup);
    const bool is_first = link->address_count == 0;

    link->resolving = false;
    if (rc == 0 && found != NULL) {
        keep_addresses(link, found);
    }
    uv_freeaddrinfo(found);
    if (!link->closing && is_first) {
        if (link->address_count > 0) {
            wait_for_retry(link, 0);
        } else {
            miss_lookup(link, rc == 0 ? UV_EAI_NONAME : rc);
        }
    }
    finish_if_last(link);
}

/* libuv's thread pool waits for the name server; the loop does not. */
static void start_lookup(struct link *link)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char host[RAFT_ADDRESS_SIZE];
    char port[RAFT_ADDRESS_SIZE];
    const bool is_split = link_split_address(link->address, host, port);
    int rc;

    ASSERT(is_split); /* link_open() has checked it. */
    rc = uv_getaddrinfo(link->settings.loop, &link->lookup, on_lookup, host, port, &hints);
    if (rc == 0) {
        link->resolving = true;
        link->handles_open++;
    } else if (link->address_count == 0) {
        miss_lookup(link, rc);
    }
}

static void on_retry(uv_timer_t *timer)
{
    struct link *link = container_of(timer, struct link, retry);
    const bool is_known = link->address_count > 0;

    /* The first attempt comes from the lookup itself. */
    if (!link->resolving && (!is_known || link->attempt > 0)) {
        start_lookup(link);
    }
    if (is_known) {
        try_connect(link);
    }
}

/* ------------------------------------------------------------------------ owner */

bool link_open(
    struct link *link, const char *address, const struct conn_settings *settings, struct prng *prng,
    const struct link_events *events, void *owner)
{
    char host[RAFT_ADDRESS_SIZE];
    char port[RAFT_ADDRESS_SIZE];
    int rc;

    if (!link_split_address(address, host, port)) {
        return false;
    }
    *link = (struct link){
        .id = raft_id(address),
        .settings = *settings,
        .prng = prng,
        .events = events,
        .owner = owner,
    };
    text_copy_cut(link->address, sizeof link->address, address);
    link->settings.side = TLS_CLIENT;
    rc = uv_timer_init(settings->loop, &link->retry);
    ASSERT(rc == 0); /* It only fills in the struct. */
    link->handles_open++;
    wait_for_retry(link, 0); /* Through the loop: no event before this call has returned. */
    return true;
}

void link_hurry(struct link *link)
{
    if (link->state == LINK_WAITING && link->attempt > 0) {
        wait_for_retry(link, 0);
    }
}

bool link_send(struct link *link, enum frame_channel channel, const uint8_t *bytes, uint32_t size)
{
    return link->state == LINK_UP && conn_send(&link->conn, channel, bytes, size);
}

bool link_is_behind(const struct link *link)
{
    return link->state != LINK_UP || conn_is_behind(&link->conn);
}

void link_check(struct link *link, uint64_t now_ms)
{
    struct err err;

    if (link->state == LINK_WAITING) {
        return;
    }
    if (link->conn.state == CONN_NEW && now_ms >= link->deadline_ms) {
        ERR(&err, TIMEOUT, "no connection within %d ms", LINK_CONNECT_MS);
        conn_fail(&link->conn, &err);
    } else {
        conn_check(&link->conn, now_ms);
    }
}

static void on_retry_closed(uv_handle_t *handle)
{
    finish_if_last(container_of((uv_timer_t *)handle, struct link, retry));
}

void link_close(struct link *link)
{
    ASSERT(!link->closing);
    link->closing = true;
    uv_close((uv_handle_t *)&link->retry, on_retry_closed);
    if (link->resolving) {
        (void)uv_cancel((uv_req_t *)&link->lookup); /* Too late is fine: it is waited for. */
    }
    if (link->state != LINK_WAITING) {
        conn_close(&link->conn);
    }
}
