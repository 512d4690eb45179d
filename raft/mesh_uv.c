/*
 * The listener, the connections it accepted, the links, and one timer that looks after
 * all deadlines. Everything is on the heap, and given back in the close callbacks; the
 * mesh itself is gone when the last of its parts is.
 */
#include "raft/mesh_uv.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/text.h"
#include "raft/limit.h"
#include "raft/link_uv.h"

#define ACCEPTED_MAX  (MESH_PEERS_MAX + MESH_STRANGERS_MAX)
#define SCRATCH_BYTES ((size_t)16 * 1024)
#define CHECK_MS      250
#define BACKLOG       64
#define HOST_SIZE     64

struct accepted {
    struct conn conn;
    struct mesh *mesh;
    char host[HOST_SIZE]; /* Numeric; without the port, which differs each time. */
};

struct mesh {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_timer_t timer;
    bool closing;
    uint32_t parts_open; /* Listener, timer, links (also those being closed), accepted. */
    const struct mesh_events *events;
    void *owner;
    struct conn_self self;
    struct tls_keys *keys; /* NULL: insecure. */
    struct link *links[MESH_PEERS_MAX];
    uint32_t link_count;
    struct accepted *accepted[ACCEPTED_MAX];
    uint32_t accepted_count;
    struct mesh_stats stats;
    struct limit limit;
    struct prng prng;
    uint8_t scratch[SCRATCH_BYTES];
};

static struct link *find_link(const struct mesh *mesh, uint64_t id)
{
    for (uint32_t i = 0; i < mesh->link_count; i++) {
        if (mesh->links[i]->id == id) {
            return mesh->links[i];
        }
    }
    return NULL;
}

static void finish_if_last(struct mesh *mesh)
{
    const struct mesh_events *events = mesh->events;
    void *owner = mesh->owner;

    ASSERT(mesh->parts_open > 0);
    mesh->parts_open--;
    if (!mesh->closing || mesh->parts_open > 0) {
        return;
    }
    tls_keys_destroy(mesh->keys);
    free(mesh);
    events->closed(owner);
}

static struct conn_settings conn_settings(struct mesh *mesh, enum tls_side side)
{
    return (struct conn_settings){
        .loop = mesh->loop,
        .keys = mesh->keys,
        .self = &mesh->self,
        .side = side,
        .scratch = uv_buf_init((char *)mesh->scratch, SCRATCH_BYTES),
    };
}

/* The same words about the same host, once a minute. */
static bool may_warn(struct mesh *mesh, const char *host, const char *text)
{
    const uint64_t key = hash64(hash64(HASH64_SEED, host, strlen(host)), text, strlen(text));

    return limit_allows(&mesh->limit, key, clock_boot_ms());
}

/* --------------------------------------------------------------------- incoming */

static bool is_stranger(const struct accepted *accepted)
{
    return accepted->conn.state <= CONN_GREETING;
}

/* All of them, or those of one host. */
static uint32_t count_strangers(const struct mesh *mesh, const char *host)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        const struct accepted *accepted = mesh->accepted[i];

        count += is_stranger(accepted) && (host == NULL || text_equal(accepted->host, host));
    }
    return count;
}

/* Who is looked after no more; it is freed when it has closed. */
static void forget_accepted(struct mesh *mesh, const struct accepted *accepted)
{
    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        if (mesh->accepted[i] == accepted) {
            mesh->accepted[i] = mesh->accepted[--mesh->accepted_count];
            return;
        }
    }
}

/* The oldest of the host that has most: a flood comes from few hosts. NULL: there are none. */
static struct accepted *least_likely_peer(const struct mesh *mesh)
{
    struct accepted *found = NULL;
    uint32_t most = 0;

    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        struct accepted *accepted = mesh->accepted[i];
        const uint32_t count = count_strangers(mesh, accepted->host);

        if (is_stranger(accepted) &&
            (count > most ||
             (count == most && accepted->conn.deadline_ms < found->conn.deadline_ms))) {
            found = accepted;
            most = count;
        }
    }
    return found;
}

/* A peer greets within milliseconds: who has been silent for longer makes room for the newest. */
static bool make_room(struct mesh *mesh)
{
    struct accepted *silent;
    struct err err;

    if (count_strangers(mesh, NULL) < MESH_STRANGERS_MAX && mesh->accepted_count < ACCEPTED_MAX) {
        return true;
    }
    silent = least_likely_peer(mesh);
    if (silent == NULL) {
        return false;
    }
    ERR(&err, REFUSED, "too many connections that do not greet");
    conn_fail(&silent->conn, &err);
    forget_accepted(mesh, silent);
    return true;
}

/* A peer that comes again has lost the connection it had: the older one is of no use. */
static void close_older(struct mesh *mesh, const struct conn *newest)
{
    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        struct conn *conn = &mesh->accepted[i]->conn;

        if (conn != newest && conn->state == CONN_UP && conn->peer_id == newest->peer_id) {
            conn_close(conn);
        }
    }
}

static uint32_t count_known(const struct mesh *mesh)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        count += mesh->accepted[i]->conn.state == CONN_UP;
    }
    return count;
}

/* A peer that has come back is deaf until it is called back. */
static void call_back(struct mesh *mesh, uint64_t peer_id)
{
    struct link *link = find_link(mesh, peer_id);

    if (link != NULL) {
        link_hurry(link);
    }
}

static void on_accepted_up(void *owner, struct conn *conn)
{
    struct accepted *accepted = owner;
    struct err err;

    close_older(accepted->mesh, conn);
    if (count_known(accepted->mesh) > MESH_PEERS_MAX) {
        ERR(&err, REFUSED, "too many peers");
        conn_fail(conn, &err);
        return;
    }
    call_back(accepted->mesh, conn->peer_id);
}

static void deliver(struct mesh *mesh, const struct conn *conn, const struct frame *frame)
{
    mesh->stats.received_count++;
    if (frame->cluster_id != mesh->self.cluster_id && frame->cluster_id != 0 &&
        mesh->self.cluster_id != 0) {
        mesh->stats.wrong_cluster_count++;
        if (may_warn(mesh, conn->peer_address, "cluster")) {
            log_warning(
                "peer \"%s\" belongs to another cluster: its id is %016" PRIx64
                ", that of this node's %016" PRIx64,
                conn->peer_address, frame->cluster_id, mesh->self.cluster_id);
        }
    }
    mesh->events->received(
        mesh->owner, frame->sender_id, (enum frame_channel)frame->channel, frame->payload,
        frame->size_bytes);
}

static void on_accepted_frame(void *owner, struct conn *conn, const struct frame *frame)
{
    struct accepted *accepted = owner;

    deliver(accepted->mesh, conn, frame);
}

static void warn_refused(struct accepted *accepted, const struct err *why)
{
    accepted->mesh->stats.refused_count++;
    if (may_warn(accepted->mesh, accepted->host, why->text)) {
        log_warning("refused a peer connection from %s: %s", accepted->host, why->text);
    }
}

static void on_accepted_closed(void *owner, struct conn *conn, const struct err *why)
{
    struct accepted *accepted = owner;
    struct mesh *mesh = accepted->mesh;

    if (why != NULL && conn->peer_id == 0) {
        warn_refused(accepted, why);
    }
    forget_accepted(mesh, accepted);
    free(accepted);
    finish_if_last(mesh);
}

static const struct conn_events accepted_events = {
    .up = on_accepted_up,
    .frame = on_accepted_frame,
    .closed = on_accepted_closed,
};

static void name_host(struct accepted *accepted)
{
    struct sockaddr_storage address;
    int size = sizeof address;

    text_copy_cut(accepted->host, sizeof accepted->host, "unknown");
    if (uv_tcp_getpeername(&accepted->conn.tcp, (struct sockaddr *)&address, &size) == 0) {
        (void)uv_ip_name((const struct sockaddr *)&address, accepted->host, sizeof accepted->host);
    }
}

static void on_connection(uv_stream_t *listener, int rc)
{
    struct mesh *mesh = container_of((uv_tcp_t *)listener, struct mesh, listener);
    const struct conn_settings settings = conn_settings(mesh, TLS_SERVER);
    struct accepted *accepted;
    struct err err;

    if (rc != 0 || mesh->closing) {
        return; /* Out of descriptors, or the peer was gone at once: the next one counts. */
    }
    accepted = calloc(1, sizeof *accepted);
    ASSERT(accepted != NULL);
    accepted->mesh = mesh;
    conn_init(&accepted->conn, &settings, &accepted_events, accepted);
    mesh->parts_open++;
    rc = uv_accept(listener, (uv_stream_t *)&accepted->conn.tcp);
    name_host(accepted);
    if (rc != 0) {
        ERR(&err, IO, "could not accept: %s", uv_strerror(rc));
        conn_fail(&accepted->conn, &err);
    } else if (!make_room(mesh)) {
        ERR(&err, REFUSED, "too many connections");
        conn_fail(&accepted->conn, &err);
    } else {
        mesh->accepted[mesh->accepted_count++] = accepted;
        conn_start(&accepted->conn);
    }
}

/* --------------------------------------------------------------------- outgoing */

static void on_link_up(void *owner, struct link *link)
{
    struct mesh *mesh = owner;

    mesh->events->peer_up(mesh->owner, link->id);
}

static void on_link_down(void *owner, struct link *link, const struct err *why)
{
    struct mesh *mesh = owner;

    mesh->events->peer_down(mesh->owner, link->id, why);
}

static void on_link_missed(void *owner, struct link *link, const struct err *why)
{
    struct mesh *mesh = owner;

    if (may_warn(mesh, link->address, why->text)) {
        log_warning("no connection to peer \"%s\": %s", link->address, why->text);
    }
}

static void on_link_closed(void *owner, struct link *link)
{
    free(link);
    finish_if_last(owner);
}

static void on_link_frame(void *owner, struct link *link, const struct frame *frame)
{
    deliver(owner, &link->conn, frame);
}

static const struct link_events link_events = {
    .up = on_link_up,
    .frame = on_link_frame,
    .down = on_link_down,
    .missed = on_link_missed,
    .closed = on_link_closed,
};

static bool is_listed(uint64_t id, const char *const addresses[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (raft_id(addresses[i]) == id) {
            return true;
        }
    }
    return false;
}

static void close_unlisted(struct mesh *mesh, const char *const addresses[], uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < mesh->link_count; i++) {
        if (is_listed(mesh->links[i]->id, addresses, count)) {
            mesh->links[kept++] = mesh->links[i];
        } else {
            link_close(mesh->links[i]); /* Freed when it has closed. */
        }
    }
    mesh->link_count = kept;
}

static void add_link(struct mesh *mesh, const char *address)
{
    const struct conn_settings settings = conn_settings(mesh, TLS_CLIENT);
    struct link *link;

    if (mesh->link_count == MESH_PEERS_MAX) {
        log_warning("no connection to peer \"%s\": there are too many peers", address);
        return;
    }
    link = calloc(1, sizeof *link);
    ASSERT(link != NULL);
    if (!link_open(link, address, &settings, &mesh->prng, &link_events, mesh)) {
        log_warning("no connection to peer \"%s\": it is not host:port", address);
        free(link);
        return;
    }
    mesh->parts_open++;
    mesh->links[mesh->link_count++] = link;
}

void mesh_set_peers(struct mesh *mesh, const char *const addresses[], uint32_t count)
{
    ASSERT(!mesh->closing);
    close_unlisted(mesh, addresses, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t id = raft_id(addresses[i]);

        if (id != mesh->self.id && find_link(mesh, id) == NULL) {
            add_link(mesh, addresses[i]);
        }
    }
}

/* On the connection that the peer has opened to us. */
static bool send_back(
    struct mesh *mesh, uint64_t to_id, enum frame_channel channel, const uint8_t *bytes,
    uint32_t size)
{
    bool sent = false;

    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        struct conn *conn = &mesh->accepted[i]->conn;

        sent |= conn->state == CONN_UP && conn->peer_id == to_id &&
                conn_send(conn, channel, bytes, size);
    }
    return sent;
}

/*
 * TCP sends nothing new behind what a bad network has swallowed a few times in a row, for seconds.
 * That two connections are held up at once is rare.
 */
static bool send_both_ways(
    struct mesh *mesh, struct link *link, enum frame_channel channel, const uint8_t *bytes,
    uint32_t size)
{
    const bool urgent = channel == FRAME_CHANNEL_HA && link_is_behind(link);
    const bool sent = link_send(link, channel, bytes, size);

    return (urgent && send_back(mesh, link->id, channel, bytes, size)) || sent;
}

bool mesh_send(
    struct mesh *mesh, uint64_t to_id, enum frame_channel channel, const uint8_t *bytes,
    uint32_t size)
{
    struct link *link = find_link(mesh, to_id);

    ASSERT(channel != FRAME_CHANNEL_GREETING);
    if (link == NULL || !send_both_ways(mesh, link, channel, bytes, size)) {
        mesh->stats.dropped_count++;
        return false;
    }
    mesh->stats.sent_count++;
    return true;
}

void mesh_set_identity(struct mesh *mesh, uint64_t cluster_id, uint64_t incarnation)
{
    mesh->self.cluster_id = cluster_id;
    mesh->self.incarnation = incarnation;
}

bool mesh_peer_is_up(const struct mesh *mesh, uint64_t id)
{
    const struct link *link = find_link(mesh, id);

    return link != NULL && link->state == LINK_UP;
}

void mesh_stats(const struct mesh *mesh, struct mesh_stats *stats)
{
    *stats = mesh->stats;
    stats->strangers = count_strangers(mesh, NULL);
    stats->accepted = mesh->accepted_count;
    for (uint32_t i = 0; i < mesh->link_count; i++) {
        stats->links_up += mesh->links[i]->state == LINK_UP;
    }
}

/* ---------------------------------------------------------------------- opening */

static void on_timer(uv_timer_t *timer)
{
    struct mesh *mesh = container_of(timer, struct mesh, timer);
    const uint64_t now_ms = clock_boot_ms();

    /* What is overdue is closed, which calls nobody and moves nothing in these lists. */
    for (uint32_t i = 0; i < mesh->link_count; i++) {
        link_check(mesh->links[i], now_ms);
    }
    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        conn_check(&mesh->accepted[i]->conn, now_ms);
    }
}

/* Waits for the name server, which it may: nothing runs yet. */
static enum status look_up(
    uv_loop_t *loop, const char *host, const char *port, struct sockaddr_storage *address,
    struct err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t lookup;
    const int rc = uv_getaddrinfo(loop, &lookup, NULL, host, port, &hints);

    if (rc != 0) {
        return ERR(err, INVALID, "could not look up \"%s\": %s", host, uv_strerror(rc));
    }
    ASSERT(lookup.addrinfo->ai_addrlen <= sizeof *address);
    memcpy(address, lookup.addrinfo->ai_addr, lookup.addrinfo->ai_addrlen);
    uv_freeaddrinfo(lookup.addrinfo);
    return STATUS_OK;
}

static enum status read_bind_address(
    uv_loop_t *loop, const char *text, struct sockaddr_storage *address, struct err *err)
{
    char host[RAFT_ADDRESS_SIZE];
    char port[RAFT_ADDRESS_SIZE];

    if (!link_split_address(text, host, port)) {
        return ERR(err, INVALID, "\"%s\" is not host:port", text);
    }
    if (text_equal(host, "*")) {
        text_copy_cut(host, sizeof host, "0.0.0.0");
    }
    return look_up(loop, host, port, address, err);
}

static enum status listen_on(
    struct mesh *mesh, const struct sockaddr_storage *address, const char *text, struct err *err)
{
    int rc = uv_tcp_bind(&mesh->listener, (const struct sockaddr *)address, 0);

    if (rc == 0) {
        rc = uv_listen((uv_stream_t *)&mesh->listener, BACKLOG, on_connection);
    }
    return rc == 0 ? STATUS_OK
                   : ERR(err, IO, "could not listen on \"%s\": %s", text, uv_strerror(rc));
}

static enum status make_keys(
    struct mesh *mesh, const struct mesh_settings *settings, struct err *err)
{
    const struct tls_settings tls = {
        .password = settings->password,
        .scope = settings->scope,
        .certfile = settings->certfile,
        .keyfile = settings->keyfile,
        .cafile = settings->cafile,
    };

    if (settings->insecure) {
        return STATUS_OK;
    }
    if (settings->password == NULL && settings->certfile == NULL) {
        return ERR(err, INVALID, "peer traffic needs a password or a certificate");
    }
    return tls_keys_create(&tls, &mesh->keys, err);
}

static enum status read_settings(
    struct mesh *mesh, const struct mesh_settings *settings, struct sockaddr_storage *address,
    struct err *err)
{
    const char *bind_addr = settings->bind_addr == NULL ? settings->self_addr : settings->bind_addr;
    enum status status;

    if (!text_copy(mesh->self.address, sizeof mesh->self.address, settings->self_addr)) {
        return ERR(err, INVALID, "the address \"%s\" is too long", settings->self_addr);
    }
    mesh->self.id = raft_id(settings->self_addr);
    status = read_bind_address(mesh->loop, bind_addr, address, err);
    return status == STATUS_OK ? make_keys(mesh, settings, err) : status;
}

/* The handles of a mesh that cannot listen are closed by the loop, silently. */
static void on_closed_silently(void *owner)
{
    (void)owner;
}

static const struct mesh_events no_events = {.closed = on_closed_silently};

enum status mesh_open(
    uv_loop_t *loop, const struct mesh_settings *settings, const struct mesh_events *events,
    void *owner, struct mesh **mesh, struct err *err)
{
    const char *bind_addr = settings->bind_addr == NULL ? settings->self_addr : settings->bind_addr;
    struct mesh *made = calloc(1, sizeof *made);
    struct sockaddr_storage address;
    enum status status;
    int rc;

    ASSERT(made != NULL);
    *mesh = NULL;
    made->loop = loop;
    made->events = events;
    made->owner = owner;
    made->limit.span_ms = MESH_WARN_AGAIN_MS;
    prng_init(&made->prng, clock_random_u64());
    status = read_settings(made, settings, &address, err);
    if (status != STATUS_OK) {
        free(made); /* No handle is open yet, and the keys are made last. */
        return status;
    }
    rc = uv_tcp_init(loop, &made->listener);
    ASSERT(rc == 0); /* Without flags it only fills in the struct. */
    rc = uv_timer_init(loop, &made->timer);
    ASSERT(rc == 0);
    made->parts_open = 2;
    status = listen_on(made, &address, bind_addr, err);
    if (status != STATUS_OK) {
        made->events = &no_events;
        mesh_close(made);
        return status;
    }
    rc = uv_timer_start(&made->timer, on_timer, CHECK_MS, CHECK_MS);
    ASSERT(rc == 0);
    *mesh = made;
    return STATUS_OK;
}

uint16_t mesh_port(const struct mesh *mesh)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    const int rc = uv_tcp_getsockname(&mesh->listener, (struct sockaddr *)&address, &size);

    ASSERT(rc == 0);
    return address.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&address)->sin6_port)
                                         : ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

/* ---------------------------------------------------------------------- closing */

static void on_listener_closed(uv_handle_t *handle)
{
    finish_if_last(container_of((uv_tcp_t *)handle, struct mesh, listener));
}

static void on_timer_closed(uv_handle_t *handle)
{
    finish_if_last(container_of((uv_timer_t *)handle, struct mesh, timer));
}

void mesh_close(struct mesh *mesh)
{
    ASSERT(!mesh->closing);
    mesh->closing = true;
    uv_close((uv_handle_t *)&mesh->listener, on_listener_closed);
    uv_close((uv_handle_t *)&mesh->timer, on_timer_closed);
    close_unlisted(mesh, NULL, 0);
    for (uint32_t i = 0; i < mesh->accepted_count; i++) {
        conn_close(&mesh->accepted[i]->conn);
    }
}
