/*
 * raft/link_uv.h - the outgoing connection to one peer, kept alive.
 *
 * When it breaks or cannot be made, it is tried again after 100 to 500 ms, drawn anew
 * each time so that nodes do not call each other in step; or at once when it is known to
 * be there. A name is looked up again after each failure, beside the attempt with the
 * addresses known already: without a name server the peers that were found once are found
 * still.
 *
 * The struct is the owner's memory from link_open() to the `closed` event.
 */
#ifndef PGBATON_RAFT_LINK_UV_H
#define PGBATON_RAFT_LINK_UV_H

#include <uv.h>

#include "base/prng.h"
#include "raft/conn_uv.h"

#define LINK_RETRY_MIN_MS  100
#define LINK_RETRY_MAX_MS  500
#define LINK_CONNECT_MS    1000
#define LINK_ADDRESSES_MAX 4 /* Of a name; the rest are not tried. */

struct link;

struct link_events {
    void (*up)(void *owner, struct link *link);
    void (*frame)(void *owner, struct link *link, const struct frame *frame); /* As conn's. */
    void (*down)(void *owner, struct link *link, const struct err *why);      /* It was up. */
    void (*missed)(void *owner, struct link *link, const struct err *why);    /* It was not. */
    void (*closed)(void *owner, struct link *link);
};

enum link_state {
    LINK_WAITING,    /* For the retry timer, or for the name. */
    LINK_CONNECTING, /* The conn has its handle, until it is closed. */
    LINK_UP,
};

struct link {
    char address[RAFT_ADDRESS_SIZE]; /* "host:port" */
    uint64_t id;
    enum link_state state;
    bool closing;
    bool resolving;
    uint32_t handles_open; /* Timer, lookup, conn: gone when it is 0. */
    uint32_t attempt;      /* Which of the addresses is next. */
    uint32_t address_count;
    struct sockaddr_storage addresses[LINK_ADDRESSES_MAX];
    uint64_t deadline_ms; /* To be connected. */
    uv_timer_t retry;
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    struct conn conn;
    struct conn_settings settings;
    struct prng *prng; /* Borrowed. */
    const struct link_events *events;
    void *owner;
};

/* Splits "host:port" or "[host]:port"; false if `address` is neither. */
MUST_CHECK bool link_split_address(
    const char *address, char host[RAFT_ADDRESS_SIZE], char port[RAFT_ADDRESS_SIZE]);

/* False if `address` is not "host:port"; then there is nothing to close. */
MUST_CHECK bool link_open(
    struct link *link, const char *address, const struct conn_settings *settings, struct prng *prng,
    const struct link_events *events, void *owner);

/* The peer has just been heard on a connection of its own: whoever waits to try again need not. */
void link_hurry(struct link *link);

/* As conn_send(). */
MUST_CHECK bool link_send(
    struct link *link, enum frame_channel channel, const uint8_t *bytes, uint32_t size);

/* It is not up, or what was sent before is still on its way. */
bool link_is_behind(const struct link *link);

void link_check(struct link *link, uint64_t now_ms);
void link_close(struct link *link);

#endif
