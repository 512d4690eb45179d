/*
 * pgctl/guard/link_sys.h - the guard's lock, its Unix socket, and who is connected to it.
 *
 * Nothing here waits: a peer that does not read is dropped, and may come back. Peers are those
 * the kernel vouches for as root or as the user of the guard. A peer that goes away changes
 * nothing; that is what the deadline is for.
 */
#ifndef PGBATON_PGCTL_GUARD_LINK_SYS_H
#define PGBATON_PGCTL_GUARD_LINK_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "pgctl/guard_proto.h"

/* A daemon, the one that replaces it, and somebody who looks on. */
#define LINK_PEERS_MAX 4

struct link_peer {
    int fd;          /* -1 if the place is free. */
    uint64_t serial; /* Names the connection, not the place. */
    size_t filled;
    uint8_t bytes[GUARD_BYTES_MAX];
};

struct link {
    int lock_fd;
    int listen_fd;
    uint64_t next_serial;
    struct link_peer peers[LINK_PEERS_MAX];
    char path[GUARD_PATH_MAX];
};

/*
 * Takes the lock "<path>.lock", then makes the socket. REFUSED if another guard holds the lock,
 * with its process number in the text.
 */
MUST_CHECK enum status link_open(struct link *link, const char *path, struct err *err);
void link_close(struct link *link);

/* To be called when listen_fd is readable. */
void link_accept(struct link *link);

/*
 * To be called when the peer's descriptor is readable: reads once. False if the peer is gone, or
 * was dropped.
 */
bool link_read(struct link_peer *peer);

/* Takes the next whole message out of what was read. A peer that talks nonsense is dropped. */
bool link_next(struct link_peer *peer, struct guard_message *message);

/* To one peer. */
void link_send(struct link_peer *peer, const uint8_t *bytes, size_t size);

/* The peer of that connection, or NULL if it is gone. */
struct link_peer *link_find(struct link *link, uint64_t serial);

#endif
