/*
 * raft/mesh_uv.h - frames to and from the other nodes.
 *
 * To each peer there is one connection of ours, on which we send, and one of its own, on
 * which we receive. A frame is delivered once or not at all, in order as long as a
 * connection lasts; Raft is built for that. What is of channel HA has to be there in
 * time: while our connection is held up it goes over the peer's as well, so it may come
 * twice and out of order, and the lease is built for that. Whoever knows the password
 * or has a certificate may send, member or not, under any cluster id: whom to listen to
 * is decided above.
 */
#ifndef PGBATON_RAFT_MESH_UV_H
#define PGBATON_RAFT_MESH_UV_H

#include <uv.h>

#include "base/status.h"
#include "raft/frame.h"
#include "raft/raft.h"

#define MESH_PEERS_MAX     (2 * RAFT_MEMBERS_MAX) /* Members, and those who want to be. */
#define MESH_STRANGERS_MAX 32    /* Have not greeted yet; for one more the oldest is closed. */
#define MESH_WARN_AGAIN_MS 60000 /* The same trouble with the same host is said this often. */

struct mesh_settings {
    const char *bind_addr; /* "host:port", the host "*" for all of IPv4; NULL: self_addr */
    const char *self_addr; /* By which the others know us; its hash is our id. */
    const char *password;  /* One of three: password, the three files, or insecure. */
    const char *certfile;
    const char *keyfile;
    const char *cafile;
    bool insecure;
    const char *scope;
};

struct mesh_events {
    void (*received)(
        void *owner, uint64_t from_id, enum frame_channel channel, const uint8_t *bytes,
        uint32_t size);
    void (*peer_up)(void *owner, uint64_t id); /* From now on mesh_send() reaches it. */
    void (*peer_down)(void *owner, uint64_t id, const struct err *why);
    void (*closed)(void *owner); /* The last event; the mesh is gone. */
};

struct mesh_stats {
    uint64_t sent_count;
    uint64_t received_count;
    uint64_t dropped_count;       /* Peer down or its queue full. */
    uint64_t wrong_cluster_count; /* Delivered all the same. */
    uint64_t refused_count;       /* Connections that did not get past the greeting. */
    uint32_t strangers;           /* Connections that have not greeted yet, now. */
    uint32_t accepted;            /* All incoming connections, now. */
    uint32_t links_up;
};

struct mesh;

/*
 * Copies the settings. Blocks: it looks up the name to bind, and derives the key from the
 * password, which takes some tens of milliseconds. INVALID: settings; IO: the address cannot be
 * bound.
 */
MUST_CHECK enum status mesh_open(
    uv_loop_t *loop, const struct mesh_settings *settings, const struct mesh_events *events,
    void *owner, struct mesh **mesh, struct err *err);

/* What our frames say from now on; 0 for what is not known yet. */
void mesh_set_identity(struct mesh *mesh, uint64_t cluster_id, uint64_t incarnation);

/*
 * Whom to keep connections to: all others are closed, without an event. Our own address
 * is skipped, and one that is not "host:port" is logged and skipped.
 */
void mesh_set_peers(struct mesh *mesh, const char *const addresses[], uint32_t count);

/*
 * True if the frame was queued: `channel` is not GREETING, `size` at most
 * FRAME_PAYLOAD_MAX. The bytes are copied. Nothing is queued for a peer that is down; what
 * is of channel HA still goes over its own connection to us.
 */
MUST_CHECK bool mesh_send(
    struct mesh *mesh, uint64_t to_id, enum frame_channel channel, const uint8_t *bytes,
    uint32_t size);

bool mesh_peer_is_up(const struct mesh *mesh, uint64_t id);
void mesh_stats(const struct mesh *mesh, struct mesh_stats *stats);

/* The port that is bound: for those who asked for port 0. */
uint16_t mesh_port(const struct mesh *mesh);

void mesh_close(struct mesh *mesh);

#endif
