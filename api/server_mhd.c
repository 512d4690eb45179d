/*
 * Life of a call: the library calls on_request() once when the headers are there, then for
 * each part of a body, then once more when all of it is there. The first time it is judged
 * whether the caller may do this; the last time it is answered, or set aside until a reply
 * comes. A connection that was set aside is taken up again in server_run() only, so that a
 * reply may come at any moment, also from inside on_request().
 */
#include "api/server_mhd.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/auth.h"
#include "api/health.h"
#include "api/listen_sys.h"
#include "api/peer_gnutls.h"
#include "api/route.h"
#include "base/assert.h"
#include "base/attr.h"
#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/log.h"
#include "base/name.h"
#include "base/text.h"
#include "base/time.h"

#define STATUS_BODY_MS   50
#define CONNECTION_BYTES ((size_t)16384) /* Headers of one call, both ways. */
#define FILE_BYTES_MAX   ((size_t)1 << 20)
#define BACKLOG_MIN      64

/* Of a caller who goes on sending what will not be read. */
#define DRAIN_BYTES_MAX ((size_t)4 << 20)

struct call {
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route;
    enum auth_verdict verdict;
    char *body;
    size_t body_bytes;
    size_t seen_bytes; /* Also of what was not kept. */
    struct api_answer answer;

    /* While a reply is awaited; `next` and `previous` link those that are. */
    bool waiting;
    bool replied;
    uint64_t deadline_ms;
    struct call *next;
    struct call *previous;
};

/* What of a node's health shows in the body; positions may be 50 ms old. */
struct face {
    bool lease;
    bool primary;
    bool running;
    bool replica;
    bool paused;
    bool unlocked;
};

struct server {
    struct api *api;
    const struct conf *conf;
    bool tls;
    struct allow allow;

    uint32_t count;
    struct MHD_Daemon *daemons[LISTEN_MAX];
    uint16_t ports[LISTEN_MAX];

    struct MHD_Response *empty;  /* A status line is all there is. */
    struct MHD_Response *status; /* NULL: to be made. */
    struct face status_face;
    uint64_t status_ms;

    uint32_t waiting_count;
    struct call *waiting;

    /* PEM texts; the library wants them for as long as it listens. */
    char *certificate;
    char *key;
    char *authorities;
};

/* Responses. */

static const char *server_token(int tokens)
{
    return tokens == CONF_TOKENS_PRODUCT_ONLY ? PRODUCT_NAME : PRODUCT_NAME "/" PRODUCT_VERSION;
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    /* A header that HTTP does not allow is left out: it is the operator's, not ours. */
    if (MHD_add_response_header(response, name, value) != MHD_YES) {
        log_debug("header \"%s\" cannot be sent", name);
    }
}

static void add_headers_of(struct MHD_Response *response, const struct node *headers)
{
    for (const struct node *item = headers == NULL ? NULL : headers->first; item != NULL;
         item = item->next) {
        const char *value = node_text(item);

        if (value != NULL) {
            add_header(response, item->key, value);
        }
    }
}

static void add_common_headers(const struct server *server, struct MHD_Response *response)
{
    const struct conf_restapi *settings = &server->conf->restapi;

    add_header(response, MHD_HTTP_HEADER_SERVER, server_token(settings->server_tokens));
    add_headers_of(response, settings->http_extra_headers);
    if (server->tls) {
        add_headers_of(response, settings->https_extra_headers);
    }
}

/* Takes `body`, which is on the heap; NULL: none. */
static struct MHD_Response *new_response(const struct server *server, const char *type, char *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body == NULL ? 0 : strlen(body), body,
        body == NULL ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);

    ASSERT(response != NULL);
    if (type != NULL) {
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    }
    add_common_headers(server, response);
    return response;
}

static void drop_responses(struct server *server)
{
    if (server->empty != NULL) {
        MHD_destroy_response(server->empty);
    }
    if (server->status != NULL) {
        MHD_destroy_response(server->status);
    }
    server->empty = NULL;
    server->status = NULL;
}

/* Health checks. */

static struct face face_of(const struct ha_health *health)
{
    return (struct face){
        .lease = health->lease,
        .primary = health->primary,
        .running = health->running,
        .replica = health->replica,
        .paused = health->paused,
        .unlocked = health->unlocked,
    };
}

static bool same_face(const struct face *a, const struct face *b)
{
    return a->lease == b->lease && a->primary == b->primary && a->running == b->running &&
           a->replica == b->replica && a->paused == b->paused && a->unlocked == b->unlocked;
}

static struct MHD_Response *status_response(struct server *server, const struct ha_health *health)
{
    const uint64_t now_ms = clock_boot_ms();
    const struct face face = face_of(health);

    if (server->status != NULL && now_ms - server->status_ms < STATUS_BODY_MS &&
        same_face(&face, &server->status_face)) {
        return server->status;
    }
    if (server->status != NULL) {
        MHD_destroy_response(server->status);
    }
    server->status = new_response(server, API_TYPE_JSON, api_status_body(server->api));
    server->status_face = face;
    server->status_ms = now_ms;
    return server->status;
}

static enum MHD_Result add_argument(
    void *data, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    health_query_add(data, name, value == NULL ? "" : value);
    return MHD_YES;
}

static enum MHD_Result answer_health(
    struct server *server, struct MHD_Connection *connection, const struct route *route,
    const char *path, bool with_body)
{
    struct health_query query;
    struct ha_health health;
    uint32_t code;

    api_health(server->api, &health);
    health_query_init(&query, path);
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_argument, &query);
    switch (route->kind) {
    case ROUTE_LIVENESS: /* The loop turns, or nobody would answer. */
        return MHD_queue_response(connection, 200, server->empty);
    case ROUTE_READINESS:
        code = health_readiness(&query, &health);
        return MHD_queue_response(connection, code, server->empty);
    default:
        code = api_check(&query, &health);
        return MHD_queue_response(
            connection, code, with_body ? status_response(server, &health) : server->empty);
    }
}

/* Who calls. */

static bool address_is_allowed(struct server *server, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct auth_address address;

    return info != NULL && info->client_addr != NULL &&
           allow_address(info->client_addr, &address) &&
           allow_contains(server_allow(server), &address);
}

static bool has_certificate(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info != NULL && info->tls_session != NULL && peer_certificate_ok(info->tls_session);
}

static enum auth_verdict judge(struct server *server, struct MHD_Connection *connection)
{
    const struct conf_restapi *settings = &server->conf->restapi;
    const struct auth_rules rules = {
        .check_address = (settings->allowlist != NULL && settings->allowlist->count > 0) ||
                         settings->allowlist_include_members,
        .check_certificate = server->tls && settings->verify_client != CONF_VERIFY_NONE,
        .username = settings->authentication.username,
        .password = settings->authentication.password,
    };
    char *password = NULL;
    char *username = MHD_basic_auth_get_username_password(connection, &password);
    const struct auth_caller caller = {
        .address_allowed = !rules.check_address || address_is_allowed(server, connection),
        .certificate_ok = !rules.check_certificate || has_certificate(connection),
        .has_login = username != NULL,
        .username = username,
        .password = password,
    };
    const enum auth_verdict verdict = auth_judge(&rules, &caller);

    MHD_free(username);
    MHD_free(password);
    return verdict;
}

/* Calls that are not health checks. */

static struct call *new_call(
    struct server *server, struct MHD_Connection *connection, const struct route *route)
{
    struct call *call = calloc(1, sizeof *call);

    ASSERT(call != NULL);
    call->server = server;
    call->connection = connection;
    call->route = route;
    call->verdict = route->safe ? AUTH_OK : judge(server, connection);
    return call;
}

static void unlink_waiting(struct call *call)
{
    struct server *server = call->server;

    if (!call->waiting) {
        return;
    }
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        server->waiting = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    call->waiting = false;
    server->waiting_count--;
}

static void link_waiting(struct call *call)
{
    struct server *server = call->server;

    call->waiting = true;
    call->replied = false;
    call->deadline_ms = time_add(clock_boot_ms(), call->answer.wait_ms);
    call->previous = NULL;
    call->next = server->waiting;
    if (server->waiting != NULL) {
        server->waiting->previous = call;
    }
    server->waiting = call;
    server->waiting_count++;
}

static void destroy_call(struct call *call)
{
    unlink_waiting(call);
    free(call->body);
    free(call->answer.body);
    free(call);
}

/* Keeps what will be read, within limits; false: the caller does not stop, hang up. */
static bool take_body(struct call *call, const char *data, size_t size)
{
    const bool wanted = call->verdict == AUTH_OK && call->route->body != ROUTE_BODY_NONE;

    call->seen_bytes += size;
    if (call->seen_bytes > DRAIN_BYTES_MAX) {
        return false;
    }
    if (!wanted || call->seen_bytes > SERVER_BODY_MAX) {
        return true;
    }
    if (call->body == NULL) {
        call->body = malloc(SERVER_BODY_MAX + 1);
        ASSERT(call->body != NULL);
    }
    memcpy(&call->body[call->body_bytes], data, size);
    call->body_bytes += size;
    return true;
}

static enum MHD_Result send_answer(struct call *call)
{
    struct api_answer *answer = &call->answer;
    struct MHD_Response *response = new_response(call->server, answer->type, answer->body);
    enum MHD_Result result;

    answer->body = NULL; /* It is the response's now. */
    if (answer->etag[0] != '\0') {
        add_header(response, MHD_HTTP_HEADER_ETAG, answer->etag);
    }
    if (answer->code == 401) {
        add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"" PRODUCT_NAME "\"");
    }
    result = MHD_queue_response(call->connection, answer->code, response);
    MHD_destroy_response(response);
    return result;
}

static void replace_answer(struct call *call, uint32_t code, const char *text)
{
    free(call->answer.body);
    call->answer = (struct api_answer){0};
    api_answer_text(&call->answer, code, text);
}

/* The reply is known: as the answer, unless a better one is ready. */
static void settle(struct call *call, uint32_t code, const char *text)
{
    call->replied = true;
    if (code == 200 && call->answer.keep_body) {
        call->answer.code = code;
        return;
    }
    replace_answer(call, code, text);
}

static const char *header(struct call *call, const char *name)
{
    return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

static bool has_body(struct call *call)
{
    return header(call, MHD_HTTP_HEADER_CONTENT_LENGTH) != NULL ||
           header(call, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
}

/* Sets the call aside and starts what it asks for. The reply may come before this returns. */
static enum MHD_Result await_reply(struct call *call, const struct api_action *action)
{
    struct server *server = call->server;

    if (server->waiting_count >= SERVER_PENDING_MAX) {
        replace_answer(call, 503, "too many requests at a time");
        return send_answer(call);
    }
    link_waiting(call);
    MHD_suspend_connection(call->connection);
    if (!api_start(server->api, action) && !call->replied) {
        settle(call, 503, "not possible now");
    }
    return MHD_YES;
}

static enum MHD_Result handle(struct call *call, const char *path)
{
    struct server *server = call->server;
    const struct api_call api_call = {
        .route = call->route,
        .path = path,
        .body = call->body == NULL ? "" : call->body,
        .body_bytes = call->body_bytes,
        .has_body = has_body(call),
        .if_match = header(call, MHD_HTTP_HEADER_IF_MATCH),
    };
    struct api_action action;

    if (call->verdict != AUTH_OK) {
        api_answer_text(&call->answer, auth_code(call->verdict), auth_text(call->verdict));
        return send_answer(call);
    }
    if (call->route->body != ROUTE_BODY_NONE && call->seen_bytes > SERVER_BODY_MAX) {
        api_answer_text(&call->answer, 413, "the body is too large");
        return send_answer(call);
    }
    if (call->body != NULL) {
        call->body[call->body_bytes] = '\0';
    }
    api_handle(server->api, &api_call, &call->answer, &action);
    if (call->answer.wait_id != 0) {
        return await_reply(call, &action);
    }
    if (!api_start(server->api, &action)) {
        replace_answer(call, 503, "not possible now");
    }
    return send_answer(call);
}

static bool is_health(const struct route *route)
{
    return route->kind == ROUTE_HEALTH || route->kind == ROUTE_LIVENESS ||
           route->kind == ROUTE_READINESS;
}

static enum MHD_Result on_request(
    void *data, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **context)
{
    struct server *server = data;
    const struct route *route = route_find(method, url);
    struct call *call = *context;

    (void)version;
    if (call == NULL) {
        *context = new_call(server, connection, route);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        const bool go_on = take_body(call, upload, *upload_size);

        *upload_size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    if (is_health(route)) {
        return answer_health(server, connection, route, url, text_equal(method, "GET"));
    }
    return call->replied ? send_answer(call) : handle(call, url);
}

static void on_completed(
    void *data, struct MHD_Connection *connection, void **context,
    enum MHD_RequestTerminationCode code)
{
    (void)data;
    (void)connection;
    (void)code;
    if (*context != NULL) {
        destroy_call(*context);
        *context = NULL;
    }
}

/* TLS with `verify_client: required`: told to each session before its handshake. */
static void on_connection(
    void *data, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code)
{
    const struct server *server = data;
    const union MHD_ConnectionInfo *info;

    (void)context;
    if (code != MHD_CONNECTION_NOTIFY_STARTED || !server->tls ||
        server->conf->restapi.verify_client != CONF_VERIFY_REQUIRED) {
        return;
    }
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info != NULL && info->tls_session != NULL) {
        peer_require(info->tls_session);
    }
}

PRINTF(2, 0) static void on_log(void *data, const char *format, va_list args)
{
    char line[400];
    struct text text;

    (void)data;
    text_init(&text, line, sizeof line);
    text_addv(&text, format, args);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line);
}

/* Opening. */

static enum status read_pem(const char *path, char **text, struct err *err)
{
    size_t length;

    return path == NULL ? STATUS_OK : file_read_alloc(path, FILE_BYTES_MAX, text, &length, err);
}

static enum status read_certificates(struct server *server, struct err *err)
{
    const struct conf_restapi *settings = &server->conf->restapi;
    const char *key = settings->keyfile == NULL ? settings->certfile : settings->keyfile;
    enum status status = read_pem(settings->certfile, &server->certificate, err);

    server->tls = settings->certfile != NULL;
    if (status == STATUS_OK) {
        status = read_pem(key, &server->key, err);
    }
    if (status == STATUS_OK && server->tls) {
        status = read_pem(settings->cafile, &server->authorities, err);
    }
    return status;
}

#define OPTIONS_MAX 8

/* Ends with the terminator, wherever it stops. */
static void tls_options(const struct server *server, struct MHD_OptionItem options[OPTIONS_MAX])
{
    const struct conf_restapi *settings = &server->conf->restapi;
    const struct {
        enum MHD_OPTION option;
        const char *value;
    } all[] = {
        {MHD_OPTION_HTTPS_MEM_CERT,     server->certificate       },
        {MHD_OPTION_HTTPS_MEM_KEY,      server->key               },
        {MHD_OPTION_HTTPS_KEY_PASSWORD, settings->keyfile_password},
        {MHD_OPTION_HTTPS_MEM_TRUST,    server->authorities       },
        {MHD_OPTION_HTTPS_PRIORITIES,   settings->ciphers         },
    };
    uint32_t count = 0;

    for (size_t i = 0; server->tls && i < ARRAY_SIZE(all); i++) {
        char *value = NULL;

        if (all[i].value != NULL) {
            memcpy(&value, &all[i].value, sizeof value); /* The library only reads it. */
            options[count++] = (struct MHD_OptionItem){.option = all[i].option, .ptr_value = value};
        }
    }
    options[count] = (struct MHD_OptionItem){.option = MHD_OPTION_END};
}

/* `fd` is the daemon's from here on. */
static struct MHD_Daemon *start(struct server *server, int fd)
{
    const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                           (server->tls ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem options[OPTIONS_MAX];

    tls_options(server, options);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        listen_connection_cap(SERVER_CONNECTIONS_MAX), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SERVER_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static int backlog_of(const struct conf_restapi *settings)
{
    return settings->request_queue_size > BACKLOG_MIN ? (int)settings->request_queue_size
                                                      : BACKLOG_MIN;
}

static enum status start_all(struct server *server, struct err *err)
{
    const struct conf_restapi *settings = &server->conf->restapi;
    struct listen_sockets sockets;
    enum status status = listen_open(
        settings->listen.host, settings->listen.port, backlog_of(settings), &sockets, err);

    if (status != STATUS_OK) {
        return status;
    }
    while (server->count < sockets.count) {
        const uint32_t i = server->count;

        server->ports[i] = listen_port(sockets.fds[i]);
        server->daemons[i] = start(server, sockets.fds[i]);
        if (server->daemons[i] == NULL) {
            /* The library says why only in its log, and only for TLS there is much to say. */
            memmove(&sockets.fds[0], &sockets.fds[i], (sockets.count - i) * sizeof sockets.fds[0]);
            sockets.count -= i;
            listen_close(&sockets);
            return ERR(
                err, INVALID,
                server->tls ? "could not start HTTPS: certfile, keyfile, cafile or "
                              "ciphers cannot be used"
                            : "could not start HTTP");
        }
        server->count++;
    }
    return STATUS_OK;
}

enum status server_open(
    const struct api_ops *ops, void *owner, const struct conf *conf, struct server **out,
    struct err *err)
{
    struct server *server = calloc(1, sizeof *server);
    enum status status;

    ASSERT(server != NULL);
    server->api = api_create(ops, owner, conf);
    server->conf = conf;
    status = read_certificates(server, err);
    if (status == STATUS_OK) {
        server->empty = new_response(server, NULL, NULL);
        status = start_all(server, err);
    }
    if (status != STATUS_OK) {
        server_close(server);
        return status;
    }
    *out = server;
    return STATUS_OK;
}

void server_set_conf(struct server *server, const struct conf *conf)
{
    server->conf = conf;
    api_set_conf(server->api, conf);
    drop_responses(server);
    server->empty = new_response(server, NULL, NULL);
}

/* Running. */

uint32_t server_count(const struct server *server)
{
    return server->count;
}

int server_fd(const struct server *server, uint32_t which)
{
    const union MHD_DaemonInfo *info;

    ASSERT(which < server->count);
    info = MHD_get_daemon_info(server->daemons[which], MHD_DAEMON_INFO_EPOLL_FD);
    ASSERT(info != NULL);
    return info->epoll_fd;
}

uint16_t server_port(const struct server *server, uint32_t which)
{
    ASSERT(which < server->count);
    return server->ports[which];
}

struct allow *server_allow(struct server *server)
{
    if (!allow_set(&server->allow, &server->conf->restapi, api_view(server->api))) {
        log_warning("restapi.allowlist has more entries than fit; the last ones are left out");
    }
    return &server->allow;
}

uint64_t server_timeout_ms(const struct server *server)
{
    const uint64_t now_ms = clock_boot_ms();
    uint64_t timeout_ms = UINT64_MAX;

    for (uint32_t i = 0; i < server->count; i++) {
        MHD_UNSIGNED_LONG_LONG wanted_ms;

        if (MHD_get_timeout(server->daemons[i], &wanted_ms) == MHD_YES) {
            timeout_ms = time_min(timeout_ms, wanted_ms);
        }
    }
    for (const struct call *call = server->waiting; call != NULL; call = call->next) {
        timeout_ms =
            time_min(timeout_ms, call->replied ? 0 : time_since(call->deadline_ms, now_ms));
    }
    return timeout_ms;
}

static void take_up(struct call *call)
{
    unlink_waiting(call);
    MHD_resume_connection(call->connection);
}

static void take_up_ready(struct server *server)
{
    const uint64_t now_ms = clock_boot_ms();
    struct call *next;

    for (struct call *call = server->waiting; call != NULL; call = next) {
        next = call->next;
        if (!call->replied && now_ms >= call->deadline_ms) {
            settle(call, 503, "status unknown");
        }
        if (call->replied) {
            take_up(call);
        }
    }
}

void server_run(struct server *server)
{
    take_up_ready(server);
    for (uint32_t i = 0; i < server->count; i++) {
        if (MHD_run(server->daemons[i]) != MHD_YES) {
            log_error("the HTTP server on port %u cannot go on", server->ports[i]);
        }
    }
}

void server_reply(struct server *server, uint64_t id, uint32_t code, const char *text)
{
    for (struct call *call = server->waiting; call != NULL; call = call->next) {
        if (call->answer.wait_id == id && !call->replied) {
            settle(call, code, text);
            return;
        }
    }
}

void server_close(struct server *server)
{
    for (struct call *call = server->waiting; call != NULL; call = call->next) {
        if (!call->replied) {
            settle(call, 503, "the server is being stopped");
        }
    }
    if (server->count > 0) {
        server_run(server); /* Sets free who waited, */
        server_run(server); /* and sends what they are told. */
    }
    for (uint32_t i = 0; i < server->count; i++) {
        MHD_stop_daemon(server->daemons[i]);
    }
    drop_responses(server);
    api_destroy(server->api);
    free(server->certificate);
    free(server->key);
    free(server->authorities);
    free(server);
}
