/*
 * Meshes that talk to each other on the loopback device, on one loop; and clients that
 * are none of theirs, on plain sockets.
 */
#include "raft/mesh_uv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/log.h"
#include "raft/link_uv.h"
#include "tests/lib/test.h"

#define DEADLINE_MS 20000
#define NODES_MAX   3

struct node {
    struct world *world;
    struct mesh *mesh;
    char address[64];
    uint64_t id;
    uint32_t ups;
    uint32_t downs;
    struct err why;
    uint32_t received;
    uint64_t from_id;
    enum frame_channel channel;
    uint8_t bytes[64];
    uint32_t size;
    bool in_order; /* Frames carried 1, 2, 3 ... */
    bool close_when_received;
    bool closed;
};

struct world {
    uv_loop_t loop;
    uv_timer_t tick;
    struct node nodes[NODES_MAX];
    char dir[TEST_PATH_SIZE];
};

/* ------------------------------------------------------------------------- log lines */

static char log_text[8192];

static void keep_log(enum log_level level, const char *message)
{
    const size_t used = strlen(log_text);

    (void)level;
    (void)snprintf(&log_text[used], sizeof log_text - used, "%s\n", message);
}

static int count_in_log(const char *words)
{
    int count = 0;

    for (const char *at = strstr(log_text, words); at != NULL; at = strstr(at + 1, words)) {
        count++;
    }
    return count;
}

/* ------------------------------------------------------------------------- the world */

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Turns the loop until the condition holds; fails the test if it never does. */
#define RUN_UNTIL(world, condition)                                    \
    do {                                                               \
        const uint64_t until_ms = clock_boot_ms() + DEADLINE_MS;       \
                                                                       \
        while (!(condition)) {                                         \
            if (clock_boot_ms() > until_ms) {                          \
                fail_msg("not in time: %s\n%s", #condition, log_text); \
            }                                                          \
            (void)uv_run(&(world)->loop, UV_RUN_ONCE);                 \
        }                                                              \
    } while (0)

static void on_received(
    void *owner, uint64_t from_id, enum frame_channel channel, const uint8_t *bytes, uint32_t size)
{
    struct node *node = owner;
    uint32_t number = 0;

    node->received++;
    node->from_id = from_id;
    node->channel = channel;
    node->size = size;
    memcpy(node->bytes, bytes, size < sizeof node->bytes ? size : sizeof node->bytes);
    if (size >= sizeof number) {
        memcpy(&number, bytes, sizeof number);
    }
    node->in_order = node->in_order && number == node->received;
    if (node->close_when_received) {
        node->close_when_received = false;
        mesh_close(node->mesh);
    }
}

static void on_peer_up(void *owner, uint64_t id)
{
    struct node *node = owner;

    assert_true(mesh_peer_is_up(node->mesh, id));
    node->ups++;
}

static void on_peer_down(void *owner, uint64_t id, const struct err *why)
{
    struct node *node = owner;

    assert_false(mesh_peer_is_up(node->mesh, id));
    node->why = *why;
    node->downs++;
}

static void on_closed(void *owner)
{
    struct node *node = owner;

    node->mesh = NULL;
    node->closed = true;
}

static const struct mesh_events events = {
    .received = on_received,
    .peer_up = on_peer_up,
    .peer_down = on_peer_down,
    .closed = on_closed,
};

/* A port that was free a moment ago: the address must be known before it is bound. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd != -1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    static struct world world;

    world = (struct world){0};
    log_text[0] = '\0';
    log_set_sink(keep_log);
    test_dir_make(world.dir);
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(uv_timer_init(&world.loop, &world.tick), 0);
    assert_int_equal(uv_timer_start(&world.tick, on_tick, 5, 5), 0);
    for (int i = 0; i < NODES_MAX; i++) {
        struct node *node = &world.nodes[i];

        node->world = &world;
        (void)snprintf(node->address, sizeof node->address, "127.0.0.1:%u", free_port());
        node->id = raft_id(node->address);
    }
    *state = &world;
    return 0;
}

static void close_node(struct node *node)
{
    if (node->mesh != NULL) {
        mesh_close(node->mesh);
        RUN_UNTIL(node->world, node->closed);
    }
}

static int tear_down(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < NODES_MAX; i++) {
        close_node(&world->nodes[i]);
    }
    uv_close((uv_handle_t *)&world->tick, NULL);
    (void)uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0); /* Nothing was left open. */
    test_dir_remove(world->dir);
    return 0;
}

static const struct mesh_settings insecure = {.insecure = true, .scope = "demo"};
static const struct mesh_settings secret = {.password = "secret", .scope = "demo"};

static void open_node(struct node *node, const struct mesh_settings *how)
{
    struct mesh_settings settings = *how;
    struct err err;

    settings.self_addr = node->address;
    node->closed = false;
    node->in_order = true;
    node->received = 0;
    test_ok(mesh_open(&node->world->loop, &settings, &events, node, &node->mesh, &err), &err);
    mesh_set_identity(node->mesh, 42, node->id ^ 1);
}

static void connect_to(struct node *node, const struct node *peer)
{
    const char *const addresses[] = {node->address, peer->address}; /* Our own is skipped. */

    mesh_set_peers(node->mesh, addresses, 2);
}

static void open_pair(struct world *world, const struct mesh_settings *how)
{
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    open_node(a, how);
    open_node(b, how);
    connect_to(a, b);
    connect_to(b, a);
    RUN_UNTIL(world, a->ups == 1 && b->ups == 1);
}

static void send_text(struct node *from, const struct node *to, const char *words)
{
    assert_true(mesh_send(
        from->mesh, to->id, FRAME_CHANNEL_HA, (const uint8_t *)words, (uint32_t)strlen(words)));
}

static void assert_pair_talks(struct world *world)
{
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    send_text(a, b, "from a to b");
    send_text(b, a, "from b to a");
    RUN_UNTIL(world, a->received == 1 && b->received == 1);
    assert_true(b->from_id == a->id);
    assert_true(a->from_id == b->id);
    assert_int_equal(b->channel, FRAME_CHANNEL_HA);
    assert_int_equal(b->size, strlen("from a to b"));
    assert_memory_equal(b->bytes, "from a to b", b->size);
    assert_memory_equal(a->bytes, "from b to a", a->size);
}

static uint64_t refused(const struct node *node)
{
    struct mesh_stats stats;

    mesh_stats(node->mesh, &stats);
    return stats.refused_count;
}

/* ------------------------------------------------------------------------ two meshes */

static void test_two_nodes_talk_in_plain_text(void **state)
{
    open_pair(*state, &insecure);
    assert_pair_talks(*state);
}

static void test_two_nodes_talk_with_a_password(void **state)
{
    open_pair(*state, &secret);
    assert_pair_talks(*state);
}

/* Opens two meshes that will not agree, and waits until both have noticed. */
static void assert_pair_refused(
    struct world *world, const struct mesh_settings *a_how, const struct mesh_settings *b_how,
    const char *words)
{
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    open_node(a, a_how);
    open_node(b, b_how);
    connect_to(a, b);
    RUN_UNTIL(world, refused(b) >= 3 && count_in_log("no connection to peer") > 0);
    assert_int_equal(a->ups + b->ups, 0);
    assert_false(mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, (const uint8_t *)"x", 1));
    if (strstr(log_text, words) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", words, log_text);
    }
    assert_int_equal(count_in_log("refused a peer connection from 127.0.0.1"), 1); /* Not thrice. */
}

static void test_a_wrong_password_is_refused_and_named(void **state)
{
    const struct mesh_settings wrong = {.password = "guess", .scope = "demo"};

    assert_pair_refused(
        *state, &wrong, &secret,
        "refused a peer connection from 127.0.0.1: wrong password, or not of scope \"demo\"");
    assert_null(strstr(log_text, "guess"));
    assert_null(strstr(log_text, "secret"));
}

static void test_another_scope_is_refused_and_named(void **state)
{
    const struct mesh_settings other = {.password = "secret", .scope = "another"};

    assert_pair_refused(
        *state, &other, &secret, "it is of scope \"another\", this node of \"demo\"");
}

static void test_a_scope_that_is_no_text_does_not_break_the_log(void **state)
{
    const struct mesh_settings other = {.password = "secret", .scope = "a\n\"b\x1b"};

    assert_pair_refused(*state, &other, &secret, "it is of scope \"a??b?\", this node of \"demo\"");
}

static void test_plain_text_is_refused_by_tls(void **state)
{
    assert_pair_refused(
        *state, &insecure, &secret, "refused a peer connection from 127.0.0.1: not TLS");
}

static void test_tls_is_refused_by_plain_text(void **state)
{
    assert_pair_refused(*state, &secret, &insecure, "it speaks TLS");
}

static void test_a_thousand_frames_arrive_in_order(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    uint8_t bytes[3000] = {0};

    open_pair(world, &secret);
    for (uint32_t i = 1; i <= 1000; i++) {
        memcpy(bytes, &i, sizeof i);
        assert_true(mesh_send(
            a->mesh, b->id, FRAME_CHANNEL_RAFT, bytes, (uint32_t)(sizeof i + i * 7 % 2900)));
    }
    RUN_UNTIL(world, b->received == 1000);
    assert_true(b->in_order);
}

static void test_the_largest_frame_passes_and_a_larger_one_is_not_taken(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    uint8_t *bytes = calloc(1, FRAME_PAYLOAD_MAX + 1);

    assert_non_null(bytes);
    open_pair(world, &secret);
    assert_false(mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, bytes, FRAME_PAYLOAD_MAX + 1));
    assert_true(mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, bytes, FRAME_PAYLOAD_MAX));
    RUN_UNTIL(world, b->received == 1);
    assert_int_equal(b->size, FRAME_PAYLOAD_MAX);
    free(bytes);
}

/* The loop does not turn, so nothing is taken away: the newest are dropped and counted. */
static void test_a_full_queue_drops_the_newest(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    uint8_t *bytes = calloc(1, FRAME_PAYLOAD_MAX);
    struct mesh_stats stats;
    uint32_t taken = 0;

    assert_non_null(bytes);
    open_pair(world, &insecure);
    for (uint32_t i = 1; i <= 100; i++) {
        memcpy(bytes, &i, sizeof i);
        taken += mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, bytes, FRAME_PAYLOAD_MAX);
    }
    assert_in_range(taken, 3, 20);
    mesh_stats(a->mesh, &stats);
    assert_int_equal(stats.dropped_count, 100 - taken);
    RUN_UNTIL(world, b->received == taken);
    assert_true(b->in_order); /* What was taken are the first ones. */
    assert_true(mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, bytes, 10));
    free(bytes);
}

static void test_a_node_that_comes_back_is_found_again(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    open_pair(world, &secret);
    for (uint32_t round = 1; round <= 3; round++) {
        close_node(b);
        RUN_UNTIL(world, a->downs == round);
        assert_true(strlen(a->why.text) > 0);
        assert_false(mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, (const uint8_t *)"x", 1));
        open_node(b, &secret);
        RUN_UNTIL(world, a->ups == round + 1);
        send_text(a, b, "again");
        RUN_UNTIL(world, b->received == 1);
    }
}

/* Milliseconds from the loss of `b` to the connection to its next start. */
static uint64_t time_to_call_back(struct world *world, struct node *a, struct node *b)
{
    const uint32_t ups = a->ups;
    const uint32_t downs = a->downs;
    uint64_t lost_ms;

    close_node(b);
    RUN_UNTIL(world, a->downs > downs);
    lost_ms = clock_boot_ms();
    open_node(b, &insecure);
    connect_to(b, a);
    RUN_UNTIL(world, a->ups > ups);
    return clock_boot_ms() - lost_ms;
}

static void test_a_peer_that_comes_back_is_called_back_at_once(void **state)
{
    struct world *world = *state;
    uint64_t least_ms = UINT64_MAX;

    open_pair(world, &insecure);
    for (int i = 0; i < 10; i++) {
        const uint64_t took_ms = time_to_call_back(world, &world->nodes[0], &world->nodes[1]);

        least_ms = took_ms < least_ms ? took_ms : least_ms;
    }
    /* Whoever waits for the next attempt never does it in less. */
    assert_true(least_ms < LINK_RETRY_MIN_MS);
}

static void test_what_is_urgent_goes_over_the_peers_own_connection_while_ours_is_down(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    struct mesh_settings elsewhere = secret;

    elsewhere.bind_addr = world->nodes[2].address; /* Where `a` does not look for it. */
    open_node(a, &secret);
    open_node(b, &elsewhere);
    connect_to(a, b);
    connect_to(b, a);
    RUN_UNTIL(world, b->ups == 1);
    assert_int_equal(a->ups, 0);
    assert_false(mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, (const uint8_t *)"x", 1));
    assert_pair_talks(world);
}

static void test_a_peer_that_is_not_listed_any_more_is_left(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    struct mesh_stats stats;

    open_pair(world, &insecure);
    mesh_set_peers(a->mesh, NULL, 0);
    assert_false(mesh_peer_is_up(a->mesh, b->id));
    assert_false(mesh_send(a->mesh, b->id, FRAME_CHANNEL_HA, (const uint8_t *)"x", 1));
    do {
        (void)uv_run(&world->loop, UV_RUN_ONCE);
        mesh_stats(b->mesh, &stats);
    } while (stats.accepted > 0);
    assert_int_equal(a->downs, 0); /* It was asked for: no event. */
    connect_to(a, b);
    RUN_UNTIL(world, a->ups == 2);
}

static void test_a_name_is_looked_up(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    (void)snprintf(b->address, sizeof b->address, "localhost:%s", strrchr(b->address, ':') + 1);
    b->id = raft_id(b->address);
    open_pair(world, &secret);
    assert_pair_talks(world);
    assert_true(a->id != b->id);
}

static void test_a_peer_under_another_name_is_not_the_peer(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    char other[64];
    const char *const addresses[] = {other};

    (void)snprintf(other, sizeof other, "localhost:%s", strrchr(b->address, ':') + 1);
    open_node(a, &secret);
    open_node(b, &secret);
    mesh_set_peers(a->mesh, addresses, 1);
    RUN_UNTIL(world, count_in_log("it calls itself") > 0);
    assert_int_equal(a->ups, 0);
}

static void test_frames_of_another_cluster_are_delivered_and_counted(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    struct mesh_stats stats;

    open_pair(world, &insecure);
    mesh_set_identity(a->mesh, 43, 1);
    send_text(a, b, "hello");
    RUN_UNTIL(world, b->received == 1);
    mesh_stats(b->mesh, &stats);
    assert_int_equal(stats.wrong_cluster_count, 1);
    assert_int_equal(
        count_in_log("belongs to another cluster: its id is 000000000000002b, that of this node's"),
        1);
}

/* ----------------------------------------------------------------------- certificates */

/* An authority "ca", certificates "good" for the loopback address and "other" for a name. */
static const char make_certificates[] =
    "cd %s && exec >openssl.log 2>&1 && "
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    "  -subj /CN=ca -keyout ca.key -out ca.pem && "
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    "  -subj /CN=foreign -keyout foreign.key -out foreign.pem && "
    "for pair in good=IP:127.0.0.1 other=DNS:db9.example; do name=${pair%%%%=*}; "
    "  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$name "
    "    -keyout $name.key -out $name.csr && "
    "  printf 'subjectAltName=%%s\\n' ${pair#*=} >$name.ext && "
    "  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
    "    -extfile $name.ext -out $name.pem || exit 1; "
    "done";

struct certificate_paths {
    char cert[2 * TEST_PATH_SIZE];
    char key[2 * TEST_PATH_SIZE];
    char ca[2 * TEST_PATH_SIZE];
};

static void make_all_certificates(const struct world *world)
{
    char command[2048];

    (void)snprintf(command, sizeof command, make_certificates, world->dir);
    assert_int_equal(system(command), 0);
}

static struct mesh_settings with_certificate(
    const struct world *world, const char *name, const char *authority,
    struct certificate_paths *paths)
{
    (void)snprintf(paths->cert, sizeof paths->cert, "%s/%s.pem", world->dir, name);
    (void)snprintf(paths->key, sizeof paths->key, "%s/%s.key", world->dir, name);
    (void)snprintf(paths->ca, sizeof paths->ca, "%s/%s.pem", world->dir, authority);
    return (struct mesh_settings){
        .certfile = paths->cert, .keyfile = paths->key, .cafile = paths->ca, .scope = "demo"};
}

static void test_two_nodes_talk_with_certificates(void **state)
{
    struct world *world = *state;
    struct certificate_paths paths;
    struct mesh_settings good;

    make_all_certificates(world);
    good = with_certificate(world, "good", "ca", &paths);
    open_pair(world, &good);
    assert_pair_talks(world);
}

static void test_a_certificate_of_another_authority_is_refused(void **state)
{
    struct world *world = *state;
    struct certificate_paths good_paths;
    struct certificate_paths foreign_paths;
    struct mesh_settings good;
    struct mesh_settings foreign;

    make_all_certificates(world);
    good = with_certificate(world, "good", "ca", &good_paths);
    /* It trusts the others, but they do not trust it. */
    foreign = with_certificate(world, "foreign", "ca", &foreign_paths);
    assert_pair_refused(
        world, &foreign, &good, "refused a peer connection from 127.0.0.1: its certificate is not");
}

static void test_a_node_does_not_call_one_of_another_authority(void **state)
{
    struct world *world = *state;
    struct certificate_paths good_paths;
    struct certificate_paths foreign_paths;
    struct mesh_settings good;
    struct mesh_settings foreign;

    make_all_certificates(world);
    good = with_certificate(world, "good", "ca", &good_paths);
    foreign = with_certificate(world, "foreign", "ca", &foreign_paths);
    assert_pair_refused(world, &good, &foreign, "its certificate is not good");
}

static void test_a_certificate_for_another_host_is_refused(void **state)
{
    struct world *world = *state;
    struct certificate_paths good_paths;
    struct certificate_paths other_paths;
    struct mesh_settings good;
    struct mesh_settings other;

    make_all_certificates(world);
    good = with_certificate(world, "good", "ca", &good_paths);
    other = with_certificate(world, "other", "ca", &other_paths);
    assert_pair_refused(world, &other, &good, "its certificate is not for \"127.0.0.1\"");
}

static void test_a_password_is_no_certificate(void **state)
{
    struct world *world = *state;
    struct certificate_paths paths;
    struct mesh_settings good;

    make_all_certificates(world);
    good = with_certificate(world, "good", "ca", &paths);
    assert_pair_refused(world, &secret, &good, "refused a peer connection from 127.0.0.1");
}

/* -------------------------------------------------------------------------- strangers */

static int connect_from(const struct node *node, in_addr_t host)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    from.sin_addr.s_addr = htonl(host);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(mesh_port(node->mesh));
    assert_true(fd != -1);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int connect_plainly(const struct node *node)
{
    return connect_from(node, INADDR_LOOPBACK);
}

static bool is_hung_up(int fd)
{
    char byte;

    /* An alert may come first; a reset is an end, too. */
    for (;;) {
        const ssize_t count = recv(fd, &byte, 1, MSG_DONTWAIT);

        if (count == 0) {
            return true;
        }
        if (count == -1) {
            return errno != EAGAIN;
        }
    }
}

static void assert_hung_up_on(struct node *node, const char *bytes, size_t size, const char *words)
{
    const int fd = connect_plainly(node);
    const uint64_t before = refused(node);

    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    RUN_UNTIL(node->world, refused(node) == before + 1 && is_hung_up(fd));
    if (strstr(log_text, words) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", words, log_text);
    }
    assert_int_equal(close(fd), 0);
}

static void test_garbage_is_hung_up_on(void **state)
{
    struct world *world = *state;
    struct node *plain = &world->nodes[0];
    struct node *safe = &world->nodes[1];

    open_node(plain, &insecure);
    open_node(safe, &secret);
    assert_hung_up_on(plain, "GET / HTTP/1.1\r\n\r\n", 18, "not our protocol");
    assert_hung_up_on(
        plain, "\xb7RM\x02", 4, "another version of the protocol: it speaks 2, this node 1");
    assert_hung_up_on(plain, "\xb7RM\x01\xff\xff\xff\xff", 8, "longer than allowed");
    assert_hung_up_on(safe, "GET / HTTP/1.1\r\n\r\n", 18, "not TLS");
    assert_hung_up_on(safe, "\x17\x03\x03\x00\x05hello", 10, "TLS failed");
}

static void test_a_frame_that_lies_about_its_sender_is_hung_up_on(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    char bytes[FRAME_HEADER_BYTES + 64];
    struct frame frame = {
        .channel = FRAME_CHANNEL_GREETING,
        .sender_id = 4711,
        .size_bytes = 3,
        .payload = (const uint8_t *)"a:1",
    };

    open_node(node, &insecure);
    frame_put_header(&frame, (uint8_t *)bytes);
    memcpy(&bytes[FRAME_HEADER_BYTES], "a:1", 3);
    assert_hung_up_on(node, bytes, FRAME_HEADER_BYTES + 3, "not that of its address");

    frame.channel = FRAME_CHANNEL_RAFT;
    frame.sender_id = raft_id("a:1");
    frame_put_header(&frame, (uint8_t *)bytes);
    assert_hung_up_on(node, bytes, FRAME_HEADER_BYTES + 3, "did not greet");
    assert_int_equal(node->received, 0);
}

static void test_a_silent_client_is_hung_up_on(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    int fd;

    open_node(node, &secret);
    fd = connect_plainly(node);
    RUN_UNTIL(world, refused(node) == 1 && is_hung_up(fd));
    assert_non_null(strstr(log_text, "no greeting within"));
    assert_int_equal(close(fd), 0);
}

#define FLOOD (MESH_STRANGERS_MAX + 8)

static uint32_t strangers(const struct node *node)
{
    struct mesh_stats stats;

    mesh_stats(node->mesh, &stats);
    return stats.strangers;
}

/* More silent clients than are borne. */
static void flood(struct node *node, int fds[FLOOD])
{
    const uint64_t before = refused(node);

    for (size_t i = 0; i < FLOOD; i++) {
        fds[i] = connect_plainly(node);
    }
    RUN_UNTIL(node->world, refused(node) == before + 8);
    assert_int_equal(strangers(node), MESH_STRANGERS_MAX);
}

static void end_flood(const int fds[FLOOD])
{
    for (size_t i = 0; i < FLOOD; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
}

static void test_silent_clients_are_few_and_do_not_keep_known_peers_out(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    int fds[FLOOD];

    open_pair(world, &secret);
    flood(node, fds);
    assert_pair_talks(world);
    end_flood(fds);
}

static void test_silent_clients_do_not_keep_a_peer_out_that_comes_back(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct node *peer = &world->nodes[1];
    int fds[FLOOD];

    open_pair(world, &secret);
    close_node(peer);
    flood(node, fds);
    open_node(peer, &secret);
    connect_to(peer, node);
    RUN_UNTIL(world, mesh_peer_is_up(peer->mesh, node->id));
    /* Not because the others have been given up meanwhile. */
    assert_true(strangers(node) >= MESH_STRANGERS_MAX - 1);
    end_flood(fds);
}

static void test_of_many_silent_clients_those_of_one_host_go_first(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    int fds[FLOOD];
    int other;

    open_node(node, &secret);
    other = connect_from(node, INADDR_LOOPBACK + 1);
    RUN_UNTIL(world, strangers(node) == 1);
    for (size_t i = 0; i < FLOOD; i++) {
        fds[i] = connect_plainly(node);
    }
    RUN_UNTIL(world, refused(node) == 9);
    assert_false(is_hung_up(other));
    assert_true(is_hung_up(fds[0]));
    assert_false(is_hung_up(fds[FLOOD - 1]));
    assert_int_equal(close(other), 0);
    end_flood(fds);
}

static void test_a_client_that_sends_a_byte_at_a_time_is_understood(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    uint8_t bytes[2 * (FRAME_HEADER_BYTES + 3)];
    struct frame frame = {
        .channel = FRAME_CHANNEL_GREETING,
        .sender_id = raft_id("a:1"),
        .size_bytes = 3,
        .payload = (const uint8_t *)"a:1",
    };
    int fd;

    open_node(node, &insecure);
    frame_put_header(&frame, bytes);
    memcpy(&bytes[FRAME_HEADER_BYTES], "a:1", 3);
    frame.channel = FRAME_CHANNEL_HA;
    frame_put_header(&frame, &bytes[FRAME_HEADER_BYTES + 3]);
    memcpy(&bytes[2 * FRAME_HEADER_BYTES + 3], "a:1", 3);
    fd = connect_plainly(node);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(send(fd, &bytes[i], 1, MSG_NOSIGNAL), 1);
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
    RUN_UNTIL(world, node->received == 1);
    assert_true(node->from_id == raft_id("a:1"));
    assert_int_equal(close(fd), 0);
}

/* A peer of ours in all but that it never reads again. */
static int accept_and_greet(struct world *world, int listener, const struct node *as)
{
    uint8_t bytes[FRAME_HEADER_BYTES + sizeof as->address];
    struct frame frame = {
        .channel = FRAME_CHANNEL_GREETING,
        .sender_id = as->id,
        .size_bytes = (uint32_t)strlen(as->address),
        .payload = (const uint8_t *)as->address,
    };
    int fd = -1;

    RUN_UNTIL(world, (fd = accept(listener, NULL, NULL)) != -1);
    frame_put_header(&frame, bytes);
    memcpy(&bytes[FRAME_HEADER_BYTES], as->address, frame.size_bytes);
    assert_true(send(fd, bytes, FRAME_HEADER_BYTES + frame.size_bytes, MSG_NOSIGNAL) > 0);
    return fd;
}

static int listen_plainly(const struct node *node)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strrchr(node->address, ':') + 1));
    assert_true(fd != -1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void test_a_peer_that_takes_no_data_is_given_up_and_called_again(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    const int listener = listen_plainly(b);
    uint8_t *bytes = calloc(1, FRAME_PAYLOAD_MAX);
    uint64_t began_ms;
    int stuck;
    int fresh;

    assert_non_null(bytes);
    open_node(a, &insecure);
    connect_to(a, b);
    stuck = accept_and_greet(world, listener, b);
    RUN_UNTIL(world, a->ups == 1);
    began_ms = clock_boot_ms();
    do { /* Until the kernel takes no more, and our own queue is full. */
        (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    } while (mesh_send(a->mesh, b->id, FRAME_CHANNEL_RAFT, bytes, FRAME_PAYLOAD_MAX));
    RUN_UNTIL(world, a->downs == 1);
    assert_non_null(strstr(a->why.text, "takes no data"));
    assert_true(clock_boot_ms() - began_ms < 5000);
    fresh = accept_and_greet(world, listener, b);
    RUN_UNTIL(world, a->ups == 2);
    assert_int_equal(close(stuck) + close(fresh) + close(listener), 0);
    free(bytes);
}

static void test_a_peer_that_does_not_greet_is_given_up(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    const int listener = listen_plainly(b);

    open_node(a, &secret);
    connect_to(a, b);
    RUN_UNTIL(world, count_in_log("no greeting within") == 1);
    assert_int_equal(a->ups, 0);
    assert_int_equal(close(listener), 0);
}

static void test_a_mesh_can_be_closed_at_any_time(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    /* After each number of turns of the loop: while looking up, connecting, greeting, up. */
    (void)snprintf(b->address, sizeof b->address, "localhost:%s", strrchr(b->address, ':') + 1);
    b->id = raft_id(b->address);
    open_node(b, &secret);
    for (int turns = 0; turns < 25; turns++) {
        open_node(a, &secret);
        connect_to(a, b);
        connect_to(b, a);
        for (int i = 0; i < turns; i++) {
            (void)uv_run(&world->loop, UV_RUN_ONCE);
        }
        close_node(a);
    }
    assert_true(a->ups > 0); /* The last ones got as far as that. */
}

static void test_a_mesh_can_be_closed_by_what_it_receives(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];

    open_pair(world, &secret);
    b->close_when_received = true;
    send_text(a, b, "one");
    send_text(a, b, "two");
    RUN_UNTIL(world, b->closed && a->downs == 1);
    assert_int_equal(b->received, 1);
}

/* ---------------------------------------------------------------------------- settings */

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        struct mesh_settings settings;
        enum status want;
    } cases[] = {
        {{.self_addr = "127.0.0.1:0"},                                       STATUS_INVALID}, /* Neither secret nor insecure. */
        {{.self_addr = "127.0.0.1:0", .password = "", .scope = "x"},         STATUS_INVALID},
        {{.self_addr = "127.0.0.1:0", .certfile = "/nonexistent"},           STATUS_INVALID},
        {{.self_addr = "127.0.0.1:0",
          .certfile = "/nonexistent",
          .keyfile = "/nonexistent",
          .cafile = "/nonexistent"},
         STATUS_INVALID                                                                    },
        {{.self_addr = "127.0.0.1", .insecure = true},                       STATUS_INVALID},
        {{.self_addr = "127.0.0.1:http", .insecure = true},                  STATUS_INVALID},
        {{.self_addr = "a:1", .bind_addr = "192.0.2.1:1", .insecure = true}, STATUS_IO     },
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct mesh *mesh;
        struct err err;
        const enum status status =
            mesh_open(&world->loop, &cases[i].settings, &events, &world->nodes[0], &mesh, &err);

        if (status != cases[i].want) {
            fail_msg("case %zu: %s", i, status_name(status));
        }
        assert_null(mesh);
    }
    assert_false(world->nodes[0].closed); /* The handles go without an event. */
}

static void test_an_address_that_is_none_is_skipped(void **state)
{
    struct world *world = *state;
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    const char *const addresses[] = {"nonsense", ":5", "x:", "x:y", b->address};

    open_node(a, &insecure);
    open_node(b, &insecure);
    mesh_set_peers(a->mesh, addresses, ARRAY_SIZE(addresses));
    RUN_UNTIL(world, a->ups == 1);
    assert_int_equal(count_in_log("it is not host:port"), 4);
}

int main(void)
{
#define MESH_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        MESH_TEST(test_two_nodes_talk_in_plain_text),
        MESH_TEST(test_two_nodes_talk_with_a_password),
        MESH_TEST(test_a_wrong_password_is_refused_and_named),
        MESH_TEST(test_another_scope_is_refused_and_named),
        MESH_TEST(test_a_scope_that_is_no_text_does_not_break_the_log),
        MESH_TEST(test_plain_text_is_refused_by_tls),
        MESH_TEST(test_tls_is_refused_by_plain_text),
        MESH_TEST(test_a_thousand_frames_arrive_in_order),
        MESH_TEST(test_the_largest_frame_passes_and_a_larger_one_is_not_taken),
        MESH_TEST(test_a_full_queue_drops_the_newest),
        MESH_TEST(test_a_node_that_comes_back_is_found_again),
        MESH_TEST(test_a_peer_that_comes_back_is_called_back_at_once),
        MESH_TEST(test_what_is_urgent_goes_over_the_peers_own_connection_while_ours_is_down),
        MESH_TEST(test_a_peer_that_is_not_listed_any_more_is_left),
        MESH_TEST(test_a_name_is_looked_up),
        MESH_TEST(test_a_peer_under_another_name_is_not_the_peer),
        MESH_TEST(test_frames_of_another_cluster_are_delivered_and_counted),
        MESH_TEST(test_two_nodes_talk_with_certificates),
        MESH_TEST(test_a_certificate_of_another_authority_is_refused),
        MESH_TEST(test_a_node_does_not_call_one_of_another_authority),
        MESH_TEST(test_a_certificate_for_another_host_is_refused),
        MESH_TEST(test_a_password_is_no_certificate),
        MESH_TEST(test_garbage_is_hung_up_on),
        MESH_TEST(test_a_frame_that_lies_about_its_sender_is_hung_up_on),
        MESH_TEST(test_a_silent_client_is_hung_up_on),
        MESH_TEST(test_silent_clients_are_few_and_do_not_keep_known_peers_out),
        MESH_TEST(test_silent_clients_do_not_keep_a_peer_out_that_comes_back),
        MESH_TEST(test_of_many_silent_clients_those_of_one_host_go_first),
        MESH_TEST(test_a_client_that_sends_a_byte_at_a_time_is_understood),
        MESH_TEST(test_a_peer_that_takes_no_data_is_given_up_and_called_again),
        MESH_TEST(test_a_peer_that_does_not_greet_is_given_up),
        MESH_TEST(test_a_mesh_can_be_closed_at_any_time),
        MESH_TEST(test_a_mesh_can_be_closed_by_what_it_receives),
        MESH_TEST(test_settings_that_make_no_sense_are_refused),
        MESH_TEST(test_an_address_that_is_none_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
