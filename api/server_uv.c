/*
 * Each socket's events are behind one descriptor, which is polled; one timer stands for the
 * nearest deadline of all. A second timer looks up the hosts of the allowlist, one after the
 * other, on libuv's threads: nothing on the loop may block.
 */
#include "api/server_uv.h"

#include <stdlib.h>
#include <string.h>

#include "api/listen_sys.h"
#include "api/server_mhd.h"
#include "base/assert.h"
#include "base/attr.h"
#include "base/log.h"
#include "base/text.h"

#define LOOKUP_EVERY_MS 30000
#define LOOKUP_FIRST_MS 100

struct poller {
    uv_poll_t poll;
    struct api_server *server;
};

struct api_server {
    struct server *http; /* NULL once it is being closed. */
    void *owner;
    void (*closed)(void *owner);
    uint32_t handles_open;

    struct poller pollers[LISTEN_MAX];
    uv_timer_t deadline;

    uv_timer_t lookup_timer;
    uv_getaddrinfo_t lookup;
    bool looking_up;
    uint32_t lookup_next;
    char lookup_host[CONF_HOST_MAX];
};

/* Running. */

static void arm(struct api_server *server);

static void on_deadline(uv_timer_t *timer)
{
    struct api_server *server = container_of(timer, struct api_server, deadline);

    server_run(server->http);
    arm(server);
}

static void arm(struct api_server *server)
{
    const uint64_t timeout_ms = server_timeout_ms(server->http);
    int rc;

    if (timeout_ms == UINT64_MAX) {
        rc = uv_timer_stop(&server->deadline);
    } else {
        uv_update_time(server->deadline.loop);
        rc = uv_timer_start(&server->deadline, on_deadline, timeout_ms, 0);
    }
    ASSERT(rc == 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct api_server *server = container_of(poll, struct poller, poll)->server;

    (void)events;
    if (status < 0) {
        log_error("could not wait for HTTP requests: %s", uv_strerror(status));
    }
    server_run(server->http);
    arm(server);
}

void api_reply(struct api_server *server, uint64_t id, uint32_t code, const char *text)
{
    int rc;

    if (server->http == NULL) {
        return;
    }
    server_reply(server->http, id, code, text);
    /* Sent from the loop: this may have come from inside the call that is to be answered. */
    rc = uv_timer_start(&server->deadline, on_deadline, 0, 0);
    ASSERT(rc == 0);
}

/* Hosts of the allowlist. */

static void look_up_next(struct api_server *server);

static void finish_if_last(struct api_server *server)
{
    if (server->http == NULL && server->handles_open == 0 && !server->looking_up) {
        void (*closed)(void *owner) = server->closed;
        void *owner = server->owner;

        free(server);
        if (closed != NULL) {
            closed(owner);
        }
    }
}

static void keep_addresses(struct allow_host *host, const struct addrinfo *found)
{
    host->count = 0;
    for (; found != NULL && host->count < ALLOW_ADDRESSES_MAX; found = found->ai_next) {
        if (allow_address(found->ai_addr, &host->addresses[host->count])) {
            host->count++;
        }
    }
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct api_server *server = container_of(request, struct api_server, lookup);
    struct allow *allow;

    server->looking_up = false;
    if (server->http == NULL) {
        uv_freeaddrinfo(found);
        finish_if_last(server);
        return;
    }
    if (status != 0) {
        log_debug("could not look up \"%s\": %s", server->lookup_host, uv_strerror(status));
    }
    allow = server_allow(server->http);
    for (uint32_t i = 0; status == 0 && i < allow->host_count; i++) {
        if (text_equal_nocase(allow->hosts[i].name, server->lookup_host)) {
            keep_addresses(&allow->hosts[i], found);
        }
    }
    uv_freeaddrinfo(found);
    look_up_next(server);
}

static void look_up_next(struct api_server *server)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct allow *allow = server_allow(server->http);

    ASSERT(!server->looking_up);
    if (server->lookup_next >= allow->host_count) {
        return;
    }
    text_copy_cut(
        server->lookup_host, sizeof server->lookup_host, allow->hosts[server->lookup_next].name);
    server->lookup_next++;
    /* What cannot even be tried is tried again the next time round. */
    server->looking_up = uv_getaddrinfo(
                             server->deadline.loop, &server->lookup, on_looked_up,
                             server->lookup_host, NULL, &hints) == 0;
}

static void on_lookup_timer(uv_timer_t *timer)
{
    struct api_server *server = container_of(timer, struct api_server, lookup_timer);

    if (!server->looking_up) {
        server->lookup_next = 0;
        look_up_next(server);
    }
}

static void start_lookups(struct api_server *server, const struct conf *conf)
{
    const struct node *list = conf->restapi.allowlist;
    const bool needed =
        (list != NULL && list->count > 0) || conf->restapi.allowlist_include_members;
    const int rc =
        needed ? uv_timer_start(
                     &server->lookup_timer, on_lookup_timer, LOOKUP_FIRST_MS, LOOKUP_EVERY_MS)
               : uv_timer_stop(&server->lookup_timer);

    ASSERT(rc == 0);
}

/* Opening and closing. */

static void init_timer(struct api_server *server, uv_loop_t *loop, uv_timer_t *timer)
{
    const int rc = uv_timer_init(loop, timer);

    ASSERT(rc == 0);
    server->handles_open++;
}

static enum status poll_all(struct api_server *server, uv_loop_t *loop, struct err *err)
{
    for (uint32_t i = 0; i < server_count(server->http); i++) {
        struct poller *poller = &server->pollers[i];
        int rc = uv_poll_init(loop, &poller->poll, server_fd(server->http, i));

        if (rc != 0) {
            return ERR(err, IO, "could not watch the HTTP server: %s", uv_strerror(rc));
        }
        poller->server = server;
        server->handles_open++;
        rc = uv_poll_start(&poller->poll, UV_READABLE, on_ready);
        if (rc != 0) {
            return ERR(err, IO, "could not watch the HTTP server: %s", uv_strerror(rc));
        }
    }
    return STATUS_OK;
}

enum status api_server_open(
    uv_loop_t *loop, const struct api_ops *ops, void *owner, const struct conf *conf,
    struct api_server **out, struct err *err)
{
    struct api_server *server = calloc(1, sizeof *server);
    enum status status;

    ASSERT(server != NULL);
    server->owner = owner;
    status = server_open(ops, owner, conf, &server->http, err);
    if (status != STATUS_OK) {
        free(server);
        return status;
    }
    init_timer(server, loop, &server->deadline);
    init_timer(server, loop, &server->lookup_timer);
    status = poll_all(server, loop, err);
    if (status != STATUS_OK) {
        api_server_close(server, NULL);
        return status;
    }
    start_lookups(server, conf);
    arm(server);
    *out = server;
    return STATUS_OK;
}

void api_server_set_conf(struct api_server *server, const struct conf *conf)
{
    server_set_conf(server->http, conf);
    start_lookups(server, conf);
}

uint16_t api_server_port(const struct api_server *server)
{
    return server_port(server->http, 0);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct api_server *server = handle->data;

    server->handles_open--;
    finish_if_last(server);
}

static void close_handle(struct api_server *server, uv_handle_t *handle)
{
    handle->data = server;
    uv_close(handle, on_handle_closed);
}

void api_server_close(struct api_server *server, void (*closed)(void *owner))
{
    struct server *http = server->http;

    ASSERT(http != NULL);
    server->closed = closed;
    server->http = NULL;
    for (uint32_t i = 0; i < server_count(http); i++) {
        /* One that was never initialised: the opening failed before it. */
        if (server->pollers[i].server != NULL) {
            close_handle(server, (uv_handle_t *)&server->pollers[i].poll);
        }
    }
    close_handle(server, (uv_handle_t *)&server->deadline);
    close_handle(server, (uv_handle_t *)&server->lookup_timer);
    server_close(http);
}
