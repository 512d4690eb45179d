/*
 * The HTTP server on real sockets, with a fake daemon behind it. Client and server share
 * one thread: while a client waits, it turns the server's loop.
 */
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/server_uv.h"
#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/text.h"
#include "tests/fake/api_node.h"

#define PATIENCE_MS  UINT64_C(10000)
#define ANSWER_SIZE  65536
#define IDLE_CLIENTS 1000

static struct api_node node;
static uv_loop_t loop;
static struct api_server *server;
static bool server_closed;
static uint64_t deadline_ms;

/* Time goes on: the loop turns, at most until the deadline. */
static void turn(void)
{
    const struct timespec pause = {.tv_nsec = 200000};

    (void)uv_run(&loop, UV_RUN_NOWAIT);
    if (clock_boot_ms() > deadline_ms) {
        fail_msg("nothing happened in time");
    }
    (void)nanosleep(&pause, NULL);
}

static void be_patient(void)
{
    deadline_ms = clock_boot_ms() + PATIENCE_MS;
}

static void open_server(void)
{
    struct err err;

    test_ok(api_server_open(&loop, &api_node_ops, &node, &node.conf, &server, &err), &err);
    assert_true(api_server_port(server) != 0);
}

static void note_closed(void *owner)
{
    assert_ptr_equal(owner, &node);
    server_closed = true;
}

static void close_server(void)
{
    server_closed = false;
    api_server_close(server, note_closed);
    server = NULL;
    be_patient();
    while (!server_closed) {
        turn();
    }
}

static int set_up(void **state)
{
    (void)state;
    api_node_init(&node);
    assert_int_equal(uv_loop_init(&loop), 0);
    server = NULL;
    be_patient();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (server != NULL) {
        close_server();
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* A client. */

static int dial(void)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(api_server_port(server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* All of it, however long the server takes to read; false if it hangs up. */
static bool say_bytes(int fd, const char *bytes, size_t size)
{
    be_patient();
    while (size > 0) {
        const ssize_t sent = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent == -1 && errno != EAGAIN) {
            return false;
        }
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
        turn();
    }
    return true;
}

static void say(int fd, const char *text)
{
    assert_true(say_bytes(fd, text, strlen(text)));
}

struct answer {
    int code;
    char head[8192];
    char body[ANSWER_SIZE];
};
static struct answer answer;

/* What has been read from a connection and belongs to no answer yet. */
struct inbox {
    int fd;
    bool ended;
    size_t size;
    char bytes[ANSWER_SIZE];
};
static struct inbox inbox;

static void listen_to(int fd)
{
    inbox = (struct inbox){.fd = fd};
}

static void read_some(void)
{
    const ssize_t got =
        recv(inbox.fd, &inbox.bytes[inbox.size], sizeof inbox.bytes - 1 - inbox.size, MSG_DONTWAIT);

    if (got > 0) {
        inbox.size += (size_t)got;
        inbox.bytes[inbox.size] = '\0';
    } else if (got == 0 || errno != EAGAIN) {
        inbox.ended = true;
    }
}

static size_t body_size(const char *head)
{
    const char *length = strstr(head, "\r\nContent-Length: ");

    return length == NULL ? 0 : strtoul(length + 18, NULL, 10);
}

/* The next answer; `bare`: to a HEAD, which names a length but has no body. */
static void hear(bool bare)
{
    char *end;
    size_t size;

    be_patient();
    while ((end = strstr(inbox.bytes, "\r\n\r\n")) == NULL) {
        assert_false(inbox.ended);
        turn();
        read_some();
    }
    end += 4;
    assert_true((size_t)(end - inbox.bytes) < sizeof answer.head);
    memcpy(answer.head, inbox.bytes, (size_t)(end - inbox.bytes));
    answer.head[end - inbox.bytes] = '\0';
    size = bare ? 0 : body_size(answer.head);
    while (inbox.size < (size_t)(end - inbox.bytes) + size) {
        assert_false(inbox.ended);
        turn();
        read_some();
    }
    memcpy(answer.body, end, size);
    answer.body[size] = '\0';
    inbox.size -= (size_t)(end - inbox.bytes) + size;
    memmove(inbox.bytes, end + size, inbox.size);
    inbox.bytes[inbox.size] = '\0';
    assert_int_equal(sscanf(answer.head, "HTTP/1.%*d %d ", &answer.code), 1);
}

static void hear_end(void)
{
    be_patient();
    while (!inbox.ended) {
        turn();
        read_some();
    }
}

/* One call on a connection of its own. */
static void call_with(const char *head, const char *body)
{
    char text[2048];
    const int fd = dial();

    (void)snprintf(
        text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", head,
        strlen(body), body);
    listen_to(fd);
    say(fd, text);
    hear(strncmp(head, "HEAD", 4) == 0);
    (void)close(fd);
}

static void call(const char *head)
{
    call_with(head, "");
}

static bool has_header(const char *line)
{
    char wanted[256];

    (void)snprintf(wanted, sizeof wanted, "\r\n%s\r\n", line);
    return strstr(answer.head, wanted) != NULL;
}

/* Health checks. */

static void test_a_connection_serves_many_calls(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    for (int i = 0; i < 50; i++) {
        say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n");
        hear(false);
        assert_int_equal(answer.code, 200);
        assert_non_null(strstr(answer.body, "\"role\": \"primary\""));
        say(fd, "GET /replica HTTP/1.1\r\nHost: x\r\n\r\n");
        hear(false);
        assert_int_equal(answer.code, 503);
        assert_non_null(strstr(answer.body, "\"role\": \"primary\""));
    }
    assert_true(has_header("Content-Type: application/json"));
    (void)close(fd);
}

static void test_calls_sent_in_one_go_are_answered_in_their_order(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /history HTTP/1.1\r\nHost: x\r\n\r\n"
            "OPTIONS /replica HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /config HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 200);
    hear(false);
    assert_int_equal(answer.body[0], '[');
    hear(false);
    assert_int_equal(answer.code, 503);
    hear(false);
    assert_string_equal(answer.body, node.cluster.config);
    assert_true(has_header("ETag: \"1\""));
    (void)close(fd);
}

static void test_head_and_options_are_a_status_and_nothing_else(void **state)
{
    (void)state;
    open_server();
    call("HEAD /primary");
    assert_int_equal(answer.code, 200);
    call("OPTIONS /master");
    assert_int_equal(answer.code, 200);
    assert_int_equal(body_size(answer.head), 0);
    call("HEAD /patroni");
    assert_int_equal(answer.code, 503);
    call("GET /liveness");
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "");
    call("GET /readiness");
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "");
}

static void test_arguments_narrow_a_health_check(void **state)
{
    (void)state;
    api_node_be_standby(&node);
    node.health.tags = "{\"dc\": \"east side\"}";
    open_server();
    call("GET /replica?lag=1MB");
    assert_int_equal(answer.code, 200);
    call("GET /replica?lag=10");
    assert_int_equal(answer.code, 503);
    call("GET /replica?tag_dc=east%20side&lag=1MB");
    assert_int_equal(answer.code, 200);
    call("GET /replica?tag_dc=west");
    assert_int_equal(answer.code, 503);
    call("GET /replica?tag_dc");
    assert_int_equal(answer.code, 503);
    call("GET /readiness?mode=write&lag=10");
    assert_int_equal(answer.code, 503);
    call("GET /");
    assert_int_equal(answer.code, 503);
}

static void test_a_lost_lease_shows_in_the_very_next_answer(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 200);
    node.health.primary = false;
    node.health.lease = false;
    node.health.unlocked = true;
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 503);
    assert_non_null(strstr(answer.body, "\"cluster_unlocked\": true"));
    (void)close(fd);
}

static void test_positions_in_the_body_are_not_old(void **state)
{
    (void)state;
    open_server();
    call("GET /primary");
    assert_non_null(strstr(answer.body, "\"location\": 83886176"));
    node.facts.position.lsn = 1234;
    be_patient();
    do {
        call("GET /primary");
        turn();
    } while (strstr(answer.body, "\"location\": 1234") == NULL);
}

static void test_old_clients_are_served_and_sent_away(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "OPTIONS /primary HTTP/1.0\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 200);
    hear_end();
    (void)close(fd);
}

static void test_the_server_says_what_it_is_and_what_it_was_told_to_say(void **state)
{
    struct node *headers;

    (void)state;
    headers = tree_map(&node.tree);
    tree_put(&node.tree, headers, "X-Frame-Options", tree_string(&node.tree, "SAMEORIGIN"));
    tree_put(&node.tree, headers, "Bad\nName", tree_string(&node.tree, "x"));
    node.conf.restapi.http_extra_headers = headers;
    open_server();
    call("GET /cluster");
    assert_true(has_header("Server: pgbaton/0.1.0"));
    assert_true(has_header("X-Frame-Options: SAMEORIGIN"));
    node.conf.restapi.server_tokens = CONF_TOKENS_PRODUCT_ONLY;
    node.conf.restapi.http_extra_headers = NULL;
    api_server_set_conf(server, &node.conf);
    call("GET /primary");
    assert_true(has_header("Server: pgbaton"));
    assert_false(has_header("X-Frame-Options: SAMEORIGIN"));
}

/* Bad callers. */

static void test_garbage_is_refused_and_the_server_lives(void **state)
{
    static const struct {
        const char *text;
        int want; /* 0: hung up without a word. */
    } cases[] = {
        {"\x16\x03\x01\r\n\r\n",                                                             0  },
        {"GET\r\n\r\n",                                                                      0  },
        {"GET / HTTP/9.9\r\n\r\n",                                                           505},
        {"POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",               400},
        {"POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",             400},
        {"POST /switchover HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
    };

    (void)state;
    open_server();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const int fd = dial();

        listen_to(fd);
        say(fd, cases[i].text);
        if (cases[i].want != 0) {
            hear(false);
            assert_int_equal(answer.code, cases[i].want);
        }
        hear_end();
        (void)close(fd);
        call("GET /primary");
        assert_int_equal(answer.code, 200);
    }
    assert_int_equal(node.ask_count, 0);
}

static void test_who_hangs_up_in_the_middle_is_forgotten(void **state)
{
    static const char whole[] = "POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n"
                                "{\"leader\": \"n1\"}";

    (void)state;
    open_server();
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        const int fd = dial();

        assert_true(say_bytes(fd, whole, size));
        (void)close(fd);
    }
    call("GET /primary");
    assert_int_equal(answer.code, 200);
    assert_int_equal(node.ask_count, 0);
}

static void test_headers_without_end_are_cut_off(void **state)
{
    static char header[4096];
    int fd;

    (void)state;
    open_server();
    memset(header, 'x', sizeof header);
    fd = dial();
    listen_to(fd);
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\nX-Long: ");
    be_patient();
    for (int i = 0; i < 64; i++) {
        if (!say_bytes(fd, header, sizeof header)) {
            break;
        }
    }
    hear_end();
    (void)close(fd);
    call("GET /primary");
    assert_int_equal(answer.code, 200);
}

static void test_a_body_that_is_too_large_is_told_so(void **state)
{
    const size_t size = 70000;
    char *body = malloc(size);
    char head[200];
    int fd;

    (void)state;
    open_server();
    memset(body, 'x', size);
    (void)snprintf(
        head, sizeof head, "PATCH /config HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
        size);
    fd = dial();
    listen_to(fd);
    say(fd, head);
    assert_true(say_bytes(fd, body, size));
    hear(false);
    assert_int_equal(answer.code, 413);
    (void)close(fd);
    free(body);
}

static void test_a_body_without_end_is_cut_off(void **state)
{
    static char chunk[65536];
    bool open = true;
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "PATCH /config HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    for (int i = 0; i < 1000 && open; i++) {
        open = say_bytes(fd, chunk, sizeof chunk);
    }
    assert_false(open);
    (void)close(fd);
}

static void test_a_call_without_a_length_is_411(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "POST /switchover HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 411);
    (void)close(fd);
    call("POST /nothing");
    assert_int_equal(answer.code, 501);
}

static void test_a_body_of_a_get_is_not_taken_for_the_next_call(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n"
            "GET /history HTTP/1.1\r\nHost: smuggler\r\n\r"
            "GET /config HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 200);
    hear(false);
    assert_string_equal(answer.body, node.cluster.config);
    (void)close(fd);
}

static void test_a_body_may_come_in_chunks(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    say(fd, "PATCH /config HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\n{\"ttl\r\n5\r\n\": 2}\r\n0\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, node.cluster.config); /* Nothing has changed. */
    (void)close(fd);
}

static void test_a_thousand_idle_connections_keep_nobody_out(void **state)
{
    static int idle[IDLE_CLIENTS];
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 4000) {
        assert_true(limit.rlim_max >= 4000);
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    open_server();
    for (size_t i = 0; i < IDLE_CLIENTS; i++) {
        idle[i] = dial();
        be_patient();
        turn();
    }
    call("GET /primary");
    assert_int_equal(answer.code, 200);
    for (size_t i = 0; i < IDLE_CLIENTS; i++) {
        listen_to(idle[i]);
        if (i % 100 == 0) { /* They are all served still. */
            say(idle[i], "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n");
            hear(false);
            assert_int_equal(answer.code, 200);
        }
        (void)close(idle[i]);
    }
}

/* Who may do what. */

static void test_changes_want_a_password_and_checks_do_not(void **state)
{
    (void)state;
    node.conf.restapi.authentication.username = "admin";
    node.conf.restapi.authentication.password = "secret";
    open_server();
    call("POST /reload");
    assert_int_equal(answer.code, 401);
    assert_true(has_header("WWW-Authenticate: Basic realm=\"pgbaton\""));
    assert_string_equal(answer.body, "no auth header received");
    call("POST /reload HTTP/1.1\r\nAuthorization: Basic YWRtaW46d3Jvbmc=\r\nX:");
    assert_int_equal(answer.code, 401);
    assert_string_equal(answer.body, "not authenticated");
    call("POST /reload HTTP/1.1\r\nAuthorization: Basic %%%\r\nX:");
    assert_int_equal(answer.code, 401);
    assert_int_equal(node.local_count, 0);
    call("POST /reload HTTP/1.1\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\nX:");
    assert_int_equal(answer.code, 202);
    assert_int_equal(node.local_count, 1);
    call("GET /config");
    assert_int_equal(answer.code, 200);
    /* Another password after a reload. */
    node.conf.restapi.authentication.password = "wrong";
    api_server_set_conf(server, &node.conf);
    call("POST /reload HTTP/1.1\r\nAuthorization: Basic YWRtaW46d3Jvbmc=\r\nX:");
    assert_int_equal(answer.code, 202);
}

static void set_allowlist(const char *entry)
{
    struct node *list = tree_list(&node.tree);

    tree_append(list, tree_string(&node.tree, entry));
    node.conf.restapi.allowlist = list;
    api_server_set_conf(server, &node.conf);
}

static void test_changes_come_from_where_they_may(void **state)
{
    (void)state;
    open_server();
    set_allowlist("10.0.0.0/8");
    call("POST /reload");
    assert_int_equal(answer.code, 403);
    call("GET /primary");
    assert_int_equal(answer.code, 200);
    set_allowlist("127.0.0.0/8");
    call("POST /reload");
    assert_int_equal(answer.code, 202);
    /* A name is looked up behind our back. */
    set_allowlist("localhost");
    be_patient();
    do {
        turn();
        call("POST /reload");
    } while (answer.code == 403);
    assert_int_equal(answer.code, 202);
}

/* Answers that wait. */

static int ask_for_switchover(void)
{
    static const char body[] = "{\"leader\": \"n1\"}";
    const uint32_t before = node.ask_count;
    char text[256];
    const int fd = dial();

    (void)snprintf(
        text, sizeof text, "POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    listen_to(fd);
    say(fd, text);
    be_patient();
    while (node.ask_count == before) {
        turn();
    }
    return fd;
}

static void test_an_answer_waits_for_its_reply(void **state)
{
    struct inbox waiting;
    int fd;

    (void)state;
    open_server();
    fd = ask_for_switchover();
    waiting = inbox;
    for (int i = 0; i < 20; i++) { /* Others are served meanwhile. */
        call("GET /primary");
        assert_int_equal(answer.code, 200);
    }
    inbox = waiting;
    read_some();
    assert_int_equal(inbox.size, 0);
    api_reply(server, node.asked_id + 1, 200, "for somebody else");
    api_reply(server, node.asked_id, 200, "Successfully switched over to \"n2\"");
    hear(false);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "Successfully switched over to \"n2\"");
    assert_true(has_header("Content-Type: text/html"));
    /* The connection goes on, and a second reply finds nobody. */
    api_reply(server, node.asked_id, 503, "too late");
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(false);
    assert_int_equal(answer.code, 200);
    (void)close(fd);
}

static void test_calls_behind_one_that_waits_wait_too(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = ask_for_switchover();
    say(fd, "GET /history HTTP/1.1\r\nHost: x\r\n\r\n");
    api_reply(server, node.asked_id, 503, "Switchover failed");
    hear(false);
    assert_int_equal(answer.code, 503);
    hear(false);
    assert_int_equal(answer.body[0], '[');
    (void)close(fd);
}

static void reply_at_once(struct api_node *asked, uint64_t id)
{
    assert_ptr_equal(asked, &node);
    api_reply(server, id, 412, "at once");
}

static void test_a_reply_may_come_from_inside_the_call(void **state)
{
    int fd;

    (void)state;
    node.on_asked = reply_at_once;
    open_server();
    fd = ask_for_switchover();
    hear(false);
    assert_int_equal(answer.code, 412);
    assert_string_equal(answer.body, "at once");
    (void)close(fd);
}

static void test_what_cannot_be_started_is_503(void **state)
{
    (void)state;
    node.refuses = true;
    open_server();
    call_with("POST /switchover", "{\"leader\": \"n1\"}");
    assert_int_equal(answer.code, 503);
    call("POST /reload");
    assert_int_equal(answer.code, 503);
}

static void test_who_has_hung_up_is_forgotten(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = ask_for_switchover();
    (void)close(fd);
    call("GET /primary");
    api_reply(server, node.asked_id, 200, "done");
    call("GET /primary");
    assert_int_equal(answer.code, 200);
}

static void test_a_new_configuration_is_shown_when_it_is_decided(void **state)
{
    static const char body[] = "{\"loop_wait\": 5}";
    char text[256];
    int fd;

    (void)state;
    open_server();
    fd = dial();
    listen_to(fd);
    (void)snprintf(
        text, sizeof text, "PATCH /config HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    for (uint32_t round = 0; round < 2; round++) {
        say(fd, text);
        be_patient();
        while (node.ask_count == round) {
            turn();
        }
        api_reply(server, node.asked_id, round == 0 ? 200 : 409, "changed meanwhile");
        hear(false);
        if (round == 0) {
            assert_int_equal(answer.code, 200);
            assert_string_equal(answer.body, node.config);
            assert_true(has_header("ETag: \"2\""));
            assert_true(has_header("Content-Type: application/json"));
        } else {
            assert_int_equal(answer.code, 409);
            assert_string_equal(answer.body, "changed meanwhile");
            assert_null(strstr(answer.head, "ETag"));
        }
    }
    (void)close(fd);
}

static void test_without_a_reply_the_status_is_unknown(void **state)
{
    (void)state;
    api_node_be_standby(&node);
    open_server();
    call("POST /reinitialize");
    assert_int_equal(node.local_count, 1);
    assert_int_equal(answer.code, 503);
    assert_string_equal(answer.body, "status unknown");
}

static void test_only_so_many_may_wait(void **state)
{
    static int fds[64];
    int fd;

    (void)state;
    open_server();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = ask_for_switchover();
    }
    call_with("POST /switchover", "{\"leader\": \"n1\"}");
    assert_int_equal(answer.code, 503);
    listen_to(fds[63]);
    api_reply(server, node.asked_id, 200, "done");
    hear(false);
    assert_int_equal(answer.code, 200);
    fd = ask_for_switchover(); /* There is a place again. */
    (void)close(fd);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        (void)close(fds[i]);
    }
}

static void test_who_waits_is_told_when_the_server_ends(void **state)
{
    int fd;

    (void)state;
    open_server();
    fd = ask_for_switchover();
    close_server();
    hear(false);
    assert_int_equal(answer.code, 503);
    hear_end();
    (void)close(fd);
}

/* Opening. */

static void test_an_address_in_use_is_refused(void **state)
{
    struct api_server *second = NULL;
    struct conf conf;
    struct err err;

    (void)state;
    open_server();
    conf = node.conf;
    conf.restapi.listen.port = api_server_port(server);
    assert_int_equal(
        api_server_open(&loop, &api_node_ops, &node, &conf, &second, &err), STATUS_REFUSED);
    assert_non_null(strstr(err.text, "127.0.0.1"));
}

static void test_several_addresses_are_listened_on(void **state)
{
    struct err err;

    (void)state;
    text_copy_cut(
        node.conf.restapi.listen.host, sizeof node.conf.restapi.listen.host, "127.0.0.1,127.0.0.2");
    open_server();
    call("GET /primary");
    assert_int_equal(answer.code, 200);
    close_server();
    text_copy_cut(
        node.conf.restapi.listen.host, sizeof node.conf.restapi.listen.host,
        "127.0.0.1,no-such-host.invalid");
    assert_int_equal(
        api_server_open(&loop, &api_node_ops, &node, &node.conf, &server, &err), STATUS_IO);
    server = NULL;
    text_copy_cut(node.conf.restapi.listen.host, sizeof node.conf.restapi.listen.host, "*");
    open_server();
    call("GET /primary");
    assert_int_equal(answer.code, 200);
}

/* TLS. */

struct identity {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
};

static void check(int rc)
{
    if (rc < 0) {
        fail_msg("%s", gnutls_strerror(rc));
    }
}

/* Signed by `authority`, or by itself and an authority if that is NULL. */
static void make_identity(struct identity *id, const char *name, const struct identity *authority)
{
    const struct identity *signer = authority == NULL ? id : authority;
    static unsigned char serial = 0;

    serial++;
    check(gnutls_x509_privkey_init(&id->key));
    check(gnutls_x509_privkey_generate(
        id->key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    check(gnutls_x509_crt_init(&id->certificate));
    check(gnutls_x509_crt_set_version(id->certificate, 3));
    check(gnutls_x509_crt_set_serial(id->certificate, &serial, 1));
    check(gnutls_x509_crt_set_activation_time(id->certificate, time(NULL) - 3600));
    check(gnutls_x509_crt_set_expiration_time(id->certificate, time(NULL) + 3600));
    check(gnutls_x509_crt_set_dn_by_oid(
        id->certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name)));
    check(gnutls_x509_crt_set_key(id->certificate, id->key));
    check(gnutls_x509_crt_set_ca_status(id->certificate, authority == NULL));
    check(gnutls_x509_crt_sign2(
        id->certificate, signer->certificate, signer->key, GNUTLS_DIG_SHA256, 0));
}

static void drop_identity(struct identity *id)
{
    gnutls_x509_crt_deinit(id->certificate);
    gnutls_x509_privkey_deinit(id->key);
}

static void write_pem(const char *path, const gnutls_datum_t *pem)
{
    struct err err;

    test_ok(file_replace(path, pem->data, pem->size, 0600, &err), &err);
}

struct tls_files {
    char dir[TEST_PATH_SIZE];
    char certificate[TEST_PATH_SIZE];
    char key[TEST_PATH_SIZE];
    char authority[TEST_PATH_SIZE];
    struct identity root;
    struct identity server;
    struct identity client;
    struct identity stranger;
};
static struct tls_files tls;

static void make_files(void)
{
    gnutls_datum_t pem;

    test_dir_make(tls.dir);
    test_path(tls.certificate, tls.dir, "server.crt");
    test_path(tls.key, tls.dir, "server.key");
    test_path(tls.authority, tls.dir, "ca.crt");
    make_identity(&tls.root, "authority", NULL);
    make_identity(&tls.server, "server", &tls.root);
    make_identity(&tls.client, "client", &tls.root);
    make_identity(&tls.stranger, "stranger", NULL);
    check(gnutls_x509_crt_export2(tls.server.certificate, GNUTLS_X509_FMT_PEM, &pem));
    write_pem(tls.certificate, &pem);
    gnutls_free(pem.data);
    check(gnutls_x509_privkey_export2(tls.server.key, GNUTLS_X509_FMT_PEM, &pem));
    write_pem(tls.key, &pem);
    gnutls_free(pem.data);
    check(gnutls_x509_crt_export2(tls.root.certificate, GNUTLS_X509_FMT_PEM, &pem));
    write_pem(tls.authority, &pem);
    gnutls_free(pem.data);
    node.conf.restapi.certfile = tls.certificate;
    node.conf.restapi.keyfile = tls.key;
}

static int set_up_tls(void **state)
{
    (void)set_up(state);
    make_files();
    return 0;
}

static int tear_down_tls(void **state)
{
    (void)tear_down(state);
    drop_identity(&tls.root);
    drop_identity(&tls.server);
    drop_identity(&tls.client);
    drop_identity(&tls.stranger);
    test_dir_remove(tls.dir);
    return 0;
}

static bool again(ssize_t rc)
{
    return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
}

/* One call over TLS; 0 if the server would not speak with us. `id` NULL: no certificate. */
static int call_tls(const char *head, const struct identity *id)
{
    gnutls_certificate_credentials_t credentials;
    struct identity copy;
    gnutls_session_t session;
    char text[512];
    ssize_t rc;
    int code = 0;
    const int fd = dial();

    check(gnutls_certificate_allocate_credentials(&credentials));
    if (id != NULL) {
        copy = *id;
        check(gnutls_certificate_set_x509_key(credentials, &copy.certificate, 1, copy.key));
    }
    check(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL));
    check(gnutls_set_default_priority(session));
    check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    gnutls_transport_set_int(session, fd);
    be_patient();
    while (again(rc = gnutls_handshake(session))) {
        turn();
    }
    if (rc < 0) {
        goto out;
    }
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", head);
    while (again(rc = gnutls_record_send(session, text, strlen(text)))) {
        turn();
    }
    while (rc > 0 && again(rc = gnutls_record_recv(session, answer.head, 500))) {
        turn();
        rc = 1;
    }
    if (rc > 0) {
        answer.head[rc] = '\0';
        assert_int_equal(sscanf(answer.head, "HTTP/1.1 %d ", &code), 1);
    }

out:
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    (void)close(fd);
    return code;
}

static void test_https_is_spoken_where_there_is_a_certificate(void **state)
{
    int fd;

    (void)state;
    open_server();
    assert_int_equal(call_tls("GET /primary", NULL), 200);
    assert_int_equal(call_tls("POST /reload", NULL), 202);
    fd = dial(); /* Plain HTTP is not. */
    listen_to(fd);
    say(fd, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n");
    hear_end();
    assert_null(strstr(inbox.bytes, "200 OK"));
    (void)close(fd);
    assert_int_equal(call_tls("GET /primary", NULL), 200);
}

static void test_optional_certificates_are_for_changes(void **state)
{
    (void)state;
    node.conf.restapi.cafile = tls.authority;
    node.conf.restapi.verify_client = CONF_VERIFY_OPTIONAL;
    open_server();
    assert_int_equal(call_tls("GET /primary", NULL), 200);
    assert_int_equal(call_tls("POST /reload", NULL), 403);
    assert_int_equal(call_tls("POST /reload", &tls.client), 202);
    assert_int_equal(call_tls("POST /reload", &tls.stranger), 403);
}

static void test_required_certificates_are_for_everything(void **state)
{
    (void)state;
    node.conf.restapi.cafile = tls.authority;
    node.conf.restapi.verify_client = CONF_VERIFY_REQUIRED;
    open_server();
    assert_int_equal(call_tls("GET /primary", NULL), 0);
    assert_int_equal(call_tls("GET /primary", &tls.stranger), 0);
    assert_int_equal(call_tls("GET /primary", &tls.client), 200);
    assert_int_equal(call_tls("POST /reload", &tls.client), 202);
}

static void test_certificates_that_cannot_be_used_are_refused(void **state)
{
    char missing[TEST_PATH_SIZE];
    struct err err;

    (void)state;
    test_path(missing, tls.dir, "missing.crt");
    node.conf.restapi.certfile = missing;
    assert_int_equal(
        api_server_open(&loop, &api_node_ops, &node, &node.conf, &server, &err), STATUS_NOT_FOUND);
    server = NULL;
    node.conf.restapi.certfile = tls.certificate;
    node.conf.restapi.keyfile = tls.authority; /* No key. */
    assert_int_equal(
        api_server_open(&loop, &api_node_ops, &node, &node.conf, &server, &err), STATUS_INVALID);
    server = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TLS(name)  cmocka_unit_test_setup_teardown(name, set_up_tls, tear_down_tls)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_connection_serves_many_calls),
        TEST(test_calls_sent_in_one_go_are_answered_in_their_order),
        TEST(test_head_and_options_are_a_status_and_nothing_else),
        TEST(test_arguments_narrow_a_health_check),
        TEST(test_a_lost_lease_shows_in_the_very_next_answer),
        TEST(test_positions_in_the_body_are_not_old),
        TEST(test_old_clients_are_served_and_sent_away),
        TEST(test_the_server_says_what_it_is_and_what_it_was_told_to_say),
        TEST(test_garbage_is_refused_and_the_server_lives),
        TEST(test_who_hangs_up_in_the_middle_is_forgotten),
        TEST(test_headers_without_end_are_cut_off),
        TEST(test_a_body_that_is_too_large_is_told_so),
        TEST(test_a_body_without_end_is_cut_off),
        TEST(test_a_call_without_a_length_is_411),
        TEST(test_a_body_of_a_get_is_not_taken_for_the_next_call),
        TEST(test_a_body_may_come_in_chunks),
        TEST(test_a_thousand_idle_connections_keep_nobody_out),
        TEST(test_changes_want_a_password_and_checks_do_not),
        TEST(test_changes_come_from_where_they_may),
        TEST(test_an_answer_waits_for_its_reply),
        TEST(test_calls_behind_one_that_waits_wait_too),
        TEST(test_a_reply_may_come_from_inside_the_call),
        TEST(test_what_cannot_be_started_is_503),
        TEST(test_who_has_hung_up_is_forgotten),
        TEST(test_a_new_configuration_is_shown_when_it_is_decided),
        TEST(test_without_a_reply_the_status_is_unknown),
        TEST(test_only_so_many_may_wait),
        TEST(test_who_waits_is_told_when_the_server_ends),
        TEST(test_an_address_in_use_is_refused),
        TEST(test_several_addresses_are_listened_on),
        TLS(test_https_is_spoken_where_there_is_a_certificate),
        TLS(test_optional_certificates_are_for_changes),
        TLS(test_required_certificates_are_for_everything),
        TLS(test_certificates_that_cannot_be_used_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
