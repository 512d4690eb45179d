#include "cli/client_curl.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/lib/test.h"

#define TIMEOUT_MS 30000

/* Takes one connection, reads one request, sends `answer`, and hangs up. */
struct server {
    pthread_t thread;
    int listener;
    char url[64];
    char request[4096];
    const char *answer;
    size_t body_bytes; /* So many more are sent behind the answer. */
    bool silent;       /* The request is read, and nothing is sent until the other side goes. */
};

static bool request_is_whole(const char *request)
{
    const char *body = strstr(request, "\r\n\r\n");
    const char *length = strstr(request, "Content-Length: ");

    if (body == NULL) {
        return false;
    }
    return length == NULL || strlen(body + 4) >= strtoul(length + 16, NULL, 10);
}

static void send_body(int fd, size_t bytes)
{
    static const char block[1 << 16];

    while (bytes > 0) {
        const size_t size = bytes < sizeof block ? bytes : sizeof block;
        const ssize_t sent = send(fd, block, size, MSG_NOSIGNAL);

        if (sent <= 0) {
            return; /* The client has had enough. */
        }
        bytes -= (size_t)sent;
    }
}

static void *serve(void *user)
{
    struct server *server = user;
    const int fd = accept(server->listener, NULL, NULL);
    size_t used = 0;

    while (fd != -1 && !request_is_whole(server->request)) {
        const ssize_t got = recv(fd, server->request + used, sizeof server->request - 1 - used, 0);

        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    if (fd != -1 && server->silent) {
        char byte;

        (void)recv(fd, &byte, 1, 0);
    } else if (fd != -1) {
        (void)send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
        send_body(fd, server->body_bytes);
    }
    (void)close(fd);
    return NULL;
}

static void server_listen(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    struct text text;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_not_equal(server->listener, -1);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    text_init(&text, server->url, sizeof server->url);
    text_addf(&text, "http://127.0.0.1:%u/x", (unsigned)ntohs(address.sin_port));
}

static void server_start(struct server *server)
{
    server_listen(server);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
}

/* One call with a client of its own. */
static enum status call(
    const struct client_settings *settings, const struct client_request *request,
    struct client_answer *answer, struct err *err)
{
    struct client *client = NULL;
    enum status status;

    test_ok(client_create(settings, &client, err), err);
    status = client_call(client, request, answer, err);
    client_destroy(client);
    return status;
}

static void test_request_and_answer_arrive_whole(void **state)
{
    const struct client_settings settings = {.username = "u", .password = "secret"};
    struct server server = {
        .answer = "HTTP/1.1 409 Conflict\r\netag:  \"7\" \r\nContent-Length: 4\r\n\r\nlate"};
    struct client_request request = {
        .method = "PATCH",
        .url = server.url,
        .body = "{\"ttl\": 2}",
        .if_match = "\"6\"",
        .timeout_ms = TIMEOUT_MS,
    };
    struct client_answer answer;
    struct err err;

    (void)state;
    server_start(&server);
    test_ok(call(&settings, &request, &answer, &err), &err);
    server_stop(&server);

    assert_int_equal(answer.code, 409);
    assert_string_equal(answer.etag, "\"7\"");
    assert_string_equal(answer.body, "late");
    assert_int_equal(answer.length, 4);
    client_answer_deinit(&answer);

    assert_true(text_starts_with(server.request, "PATCH /x HTTP/1.1\r\n"));
    assert_non_null(strstr(server.request, "\r\nIf-Match: \"6\"\r\n"));
    assert_non_null(strstr(server.request, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(server.request, "\r\nAuthorization: Basic dTpzZWNyZXQ=\r\n"));
    assert_true(text_ends_with(server.request, "\r\n\r\n{\"ttl\": 2}"));
}

static void test_an_old_answer_without_length_ends_with_the_connection(void **state)
{
    const struct client_settings settings = {.username = NULL};
    struct server server = {.answer = "HTTP/1.0 200 OK\r\n\r\n{\"a\": 1}"};
    const struct client_request request = {
        .method = "GET", .url = server.url, .timeout_ms = TIMEOUT_MS};
    struct client_answer answer;
    struct err err;

    (void)state;
    server_start(&server);
    test_ok(call(&settings, &request, &answer, &err), &err);
    server_stop(&server);
    assert_string_equal(answer.body, "{\"a\": 1}");
    assert_string_equal(answer.etag, "");
    assert_null(strstr(server.request, "Authorization"));
    client_answer_deinit(&answer);
}

static void test_an_entity_tag_that_does_not_fit_is_none(void **state)
{
    const struct client_settings settings = {.username = NULL};
    char text[512] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: ";
    struct server server = {.answer = text};
    const struct client_request request = {
        .method = "GET", .url = server.url, .timeout_ms = TIMEOUT_MS};
    struct client_answer answer;
    struct err err;
    const size_t start = strlen(text);

    (void)state;
    memset(text + start, 'x', CLIENT_ETAG_SIZE);
    memcpy(text + start + CLIENT_ETAG_SIZE, "\r\n\r\n", 5);
    server_start(&server);
    test_ok(call(&settings, &request, &answer, &err), &err);
    server_stop(&server);
    assert_string_equal(answer.etag, "");
    assert_string_equal(answer.body, "");
    client_answer_deinit(&answer);
}

static void test_nobody_listening_means_that_nothing_was_sent(void **state)
{
    const struct client_settings settings = {.username = NULL};
    struct server server = {.answer = ""};
    const struct client_request request = {
        .method = "POST", .url = server.url, .body = "{}", .timeout_ms = TIMEOUT_MS};
    struct client_answer answer;
    struct err err;

    (void)state;
    server_listen(&server);
    (void)close(server.listener);
    assert_int_equal(call(&settings, &request, &answer, &err), STATUS_IO);
    assert_non_null(strstr(err.text, server.url));
    client_answer_deinit(&answer);
}

static void test_silence_after_the_request_means_that_it_may_have_been_heard(void **state)
{
    const struct client_settings settings = {.username = NULL};
    struct server server = {.answer = "", .silent = true};
    const struct client_request request = {
        .method = "POST", .url = server.url, .body = "{}", .timeout_ms = 200};
    struct client_answer answer;
    struct err err;

    (void)state;
    server_start(&server);
    assert_int_equal(call(&settings, &request, &answer, &err), STATUS_TIMEOUT);
    server_stop(&server);
    client_answer_deinit(&answer);
}

static void test_a_connection_that_breaks_means_the_same(void **state)
{
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"};
    const struct client_settings settings = {.username = NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct server server = {.answer = answers[i]};
        const struct client_request request = {
            .method = "POST", .url = server.url, .body = "{}", .timeout_ms = TIMEOUT_MS};
        struct client_answer answer;
        struct err err;

        server_start(&server);
        assert_int_equal(call(&settings, &request, &answer, &err), STATUS_TIMEOUT);
        server_stop(&server);
        client_answer_deinit(&answer);
    }
}

static void test_an_answer_without_end_is_cut_off(void **state)
{
    const struct client_settings settings = {.username = NULL};
    struct server server = {.answer = "HTTP/1.0 200 OK\r\n\r\n", .body_bytes = (size_t)64 << 20};
    const struct client_request request = {
        .method = "GET", .url = server.url, .timeout_ms = TIMEOUT_MS};
    struct client_answer answer;
    struct err err;

    (void)state;
    server_start(&server);
    assert_int_equal(call(&settings, &request, &answer, &err), STATUS_INVALID);
    server_stop(&server);
    client_answer_deinit(&answer);
}

static void test_only_http_is_spoken(void **state)
{
    const struct client_settings settings = {.username = NULL};
    const struct client_request request = {
        .method = "GET", .url = "file:///etc/hostname", .timeout_ms = TIMEOUT_MS};
    struct client_answer answer;
    struct err err;

    (void)state;
    assert_int_equal(call(&settings, &request, &answer, &err), STATUS_IO);
    client_answer_deinit(&answer);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_answer_arrive_whole),
        cmocka_unit_test(test_an_old_answer_without_length_ends_with_the_connection),
        cmocka_unit_test(test_an_entity_tag_that_does_not_fit_is_none),
        cmocka_unit_test(test_nobody_listening_means_that_nothing_was_sent),
        cmocka_unit_test(test_silence_after_the_request_means_that_it_may_have_been_heard),
        cmocka_unit_test(test_a_connection_that_breaks_means_the_same),
        cmocka_unit_test(test_an_answer_without_end_is_cut_off),
        cmocka_unit_test(test_only_http_is_spoken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
