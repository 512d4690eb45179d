/*
 * Happy path: a timer of 0 ms starts it; a name is looked up; sql_pq_create(); the socket is
 * watched and sql_pq_step() called until the connection is up; then queries, one by one.
 *
 * libpq opens a new socket for each address and for each attempt without TLS, often under
 * the old number. A watch therefore ends before each step of a connect and is set up anew
 * after it; once connected, the socket stays and so does the watch.
 *
 * What fails does so in one place, fail(): the state changes, the queries are called back,
 * and last the owner, who may connect again or close from there.
 */
#include "pgctl/sql_uv.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX      4
#define HOST_LENGTH_MAX    250
#define OPTIONS_LENGTH_MAX 1000
#define OWN_SETTINGS       3 /* options, gssencmode, hostaddr */

enum state {
    STATE_STARTING, /* The timer is about to begin. */
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_UP,
    STATE_FAILING, /* Calling back the queries. */
    STATE_FAILED,
};

struct query {
    char *text;
    uint32_t timeout_ms;
    sql_callback *callback;
    void *owner;
};

/* A copy of a struct sql_setting. */
struct setting {
    char *key;
    char *value;
};

/* One socket under watch. Its handle closes behind our back while the next one is opened. */
struct watch {
    uv_poll_t poll;
    struct sql *sql;
    int socket;
};

/* A lookup cannot always be called off: then it outlives our interest, and `wanted` is false. */
struct lookup {
    uv_getaddrinfo_t request;
    struct sql *sql;
    bool wanted;
};

struct sql {
    uv_loop_t *loop;
    uv_timer_t timer; /* Start, connect deadline, query deadline: never two at once. */
    enum state state;
    bool closing;
    uint32_t holders; /* Timer, watches, lookups: the last one to go frees the struct. */

    struct setting settings[SQL_SETTINGS_MAX];
    size_t setting_count;
    uint32_t connect_timeout_ms;
    struct lookup *lookup; /* NULL unless RESOLVING. */
    char hostaddr[ADDRESSES_MAX * 64];
    char host[ADDRESSES_MAX * (HOST_LENGTH_MAX + 1)]; /* The name, as often as there are addresses.
                                                       */

    struct sql_pq *pq;
    struct watch *watch;

    /* A ring; the first one is running when the connection is busy. Refuses the newest. */
    struct query queue[SQL_QUEUE_MAX];
    uint32_t queue_first;
    uint32_t queue_count;

    const struct sql_events *events;
    void *owner;
};

static void on_timer(uv_timer_t *timer);
static void on_ready(uv_poll_t *poll, int status, int events);

/* --- Memory and handles --- */

static char *copy_string(const char *string)
{
    char *copy = strdup(string);

    ASSERT(copy != NULL);
    return copy;
}

static void pop_query(struct sql *sql)
{
    ASSERT(sql->queue_count > 0);
    free(sql->queue[sql->queue_first].text);
    sql->queue_first = (sql->queue_first + 1) % SQL_QUEUE_MAX;
    sql->queue_count--;
}

static void release(struct sql *sql)
{
    const struct sql_events *events = sql->events;
    void *owner = sql->owner;

    ASSERT(sql->holders > 0);
    sql->holders--;
    if (sql->holders > 0) {
        return;
    }
    ASSERT(sql->closing);
    sql_pq_destroy(sql->pq);
    while (sql->queue_count > 0) {
        pop_query(sql);
    }
    for (size_t i = 0; i < sql->setting_count; i++) {
        free(sql->settings[i].key);
        free(sql->settings[i].value);
    }
    free(sql);
    if (events->closed != NULL) {
        events->closed(owner);
    }
}

static void start_timer(struct sql *sql, uint64_t span_ms)
{
    int rc;

    /* The loop's idea of now may be a long turn old, and a deadline would come too early. */
    uv_update_time(sql->loop);
    rc = uv_timer_start(&sql->timer, on_timer, span_ms, 0);
    ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = container_of((uv_poll_t *)handle, struct watch, poll);
    struct sql *sql = watch->sql;

    free(watch);
    release(sql);
}

static void end_watch(struct sql *sql)
{
    if (sql->watch != NULL) {
        uv_close((uv_handle_t *)&sql->watch->poll, on_watch_closed);
        sql->watch = NULL;
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(container_of((uv_timer_t *)handle, struct sql, timer));
}

static void drop_lookup(struct sql *sql)
{
    if (sql->lookup != NULL) {
        sql->lookup->wanted = false;
        /* A lookup that has begun cannot be called off; it is ignored when it comes. */
        (void)uv_cancel((uv_req_t *)&sql->lookup->request);
        sql->lookup = NULL;
    }
}

/* --- Failure --- */

static void call_back_queries(struct sql *sql, const struct sql_result *running, bool was_running)
{
    struct sql_result waiting = *running;

    waiting.sqlstate[0] = '\0'; /* It was not the server that refused this one. */
    waiting.warning[0] = '\0';
    for (bool first = true; sql->queue_count > 0 && !sql->closing; first = false) {
        const struct query query = sql->queue[sql->queue_first];

        sql->queue[sql->queue_first].text = NULL;
        pop_query(sql);
        free(query.text);
        query.callback(query.owner, first && was_running ? running : &waiting);
    }
}

static void fail(
    struct sql *sql, enum sql_failure failure, const struct err *err,
    const struct sql_result *running)
{
    struct sql_result result = {.failure = failure};

    ASSERT(!sql->closing);
    ASSERT(sql->state != STATE_FAILING && sql->state != STATE_FAILED);
    sql->state = STATE_FAILING;
    (void)uv_timer_stop(&sql->timer);
    drop_lookup(sql);
    end_watch(sql);
    text_copy_cut(result.text, sizeof result.text, err->text);
    if (running != NULL) {
        result = *running;
        ASSERT(result.failure != SQL_FAILURE_NONE);
    }
    /* The watch has ended, so libpq may close the socket. */
    sql_pq_destroy(sql->pq);
    sql->pq = NULL;
    call_back_queries(sql, &result, running != NULL);
    if (sql->closing) {
        return;
    }
    sql->state = STATE_FAILED;
    sql->events->failed(sql->owner, failure, err); /* Last: the owner may do what it likes. */
}

/* The connection says that it has failed. */
static void fail_pq(struct sql *sql)
{
    struct err err;
    const enum sql_failure failure = sql_pq_failure(sql->pq, &err);
    const struct sql_result *result = sql_pq_result(sql->pq);

    fail(sql, failure, &err, result->failure != SQL_FAILURE_NONE ? result : NULL);
}

static void fail_timeout(struct sql *sql)
{
    struct err err;
    struct sql_result result = {.failure = SQL_FAILURE_TIMEOUT};

    if (sql->state == STATE_UP) {
        ERR(&err, TIMEOUT, "no answer to a query in time");
        text_copy_cut(result.text, sizeof result.text, err.text);
        fail(sql, SQL_FAILURE_TIMEOUT, &err, &result);
        return;
    }
    ERR(&err, TIMEOUT, "could not connect in time");
    fail(sql, SQL_FAILURE_TIMEOUT, &err, NULL);
}

/* --- The socket --- */

static bool open_watch(struct sql *sql, struct err *err)
{
    struct watch *watch = calloc(1, sizeof *watch);
    int rc;

    ASSERT(watch != NULL);
    watch->sql = sql;
    watch->socket = sql_pq_socket(sql->pq);
    rc = uv_poll_init(sql->loop, &watch->poll, watch->socket);
    if (rc != 0) {
        free(watch);
        ERR(err, IO, "could not watch the connection: %s", uv_strerror(rc));
        return false;
    }
    sql->watch = watch;
    sql->holders++;
    return true;
}

/* Waits for what the connection wants next. */
static void arm(struct sql *sql)
{
    static const int events[] = {
        [SQL_PQ_WAIT_NOTHING] = 0,
        [SQL_PQ_WAIT_READ] = UV_READABLE,
        [SQL_PQ_WAIT_WRITE] = UV_WRITABLE,
        [SQL_PQ_WAIT_BOTH] = UV_READABLE | UV_WRITABLE,
    };
    const int wanted = events[sql_pq_wait(sql->pq)];
    struct err err;
    int rc;

    ASSERT(wanted != 0);
    if (sql->watch == NULL && !open_watch(sql, &err)) {
        fail(sql, SQL_FAILURE_OTHER, &err, NULL);
        return;
    }
    ASSERT(sql->watch->socket == sql_pq_socket(sql->pq));
    rc = uv_poll_start(&sql->watch->poll, wanted, on_ready);
    ASSERT(rc == 0); /* It refuses only a handle that is being closed. */
}

/* --- Queries --- */

static void send_first(struct sql *sql)
{
    const struct query *query = &sql->queue[sql->queue_first];

    (void)uv_timer_stop(&sql->timer); /* A kick of sql_query() is no deadline. */
    if (query->timeout_ms != 0) {
        start_timer(sql, query->timeout_ms);
    }
    sql_pq_send(sql->pq, query->text);
}

/* Hands on the result. The owner may call anything from its callback. */
static void finish_first(struct sql *sql)
{
    const struct query query = sql->queue[sql->queue_first];

    (void)uv_timer_stop(&sql->timer);
    sql->queue[sql->queue_first].text = NULL;
    pop_query(sql);
    free(query.text);
    query.callback(query.owner, sql_pq_result(sql->pq));
}

static void advance_up(struct sql *sql)
{
    while (!sql->closing) {
        switch (sql_pq_step(sql->pq)) {
        case SQL_PQ_DONE:
            finish_first(sql);
            if (!sql->closing) {
                sql_pq_release(sql->pq);
            }
            continue;
        case SQL_PQ_IDLE:
            if (sql->queue_count == 0) {
                arm(sql);
                return;
            }
            send_first(sql);
            continue;
        case SQL_PQ_BUSY:
            arm(sql);
            return;
        case SQL_PQ_FAILED:
            fail_pq(sql);
            return;
        case SQL_PQ_CONNECTING:
            break;
        }
        UNREACHABLE();
    }
}

/* --- Connecting --- */

static void advance_connecting(struct sql *sql)
{
    end_watch(sql);
    switch (sql_pq_step(sql->pq)) {
    case SQL_PQ_CONNECTING:
        arm(sql);
        return;
    case SQL_PQ_FAILED:
        fail_pq(sql);
        return;
    case SQL_PQ_IDLE:
        (void)uv_timer_stop(&sql->timer);
        sql->state = STATE_UP;
        sql->events->connected(sql->owner);
        advance_up(sql);
        return;
    case SQL_PQ_BUSY:
    case SQL_PQ_DONE:
        break;
    }
    UNREACHABLE();
}

static const char *find_setting(const struct sql *sql, const char *key)
{
    for (size_t i = 0; i < sql->setting_count; i++) {
        if (text_equal(sql->settings[i].key, key)) {
            return sql->settings[i].value;
        }
    }
    return NULL;
}

static void connect_now(struct sql *sql)
{
    struct sql_setting settings[SQL_SETTINGS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < sql->setting_count; i++) {
        const struct setting *setting = &sql->settings[i];
        const bool resolved = sql->hostaddr[0] != '\0' && text_equal(setting->key, "host");

        settings[count++] =
            (struct sql_setting){setting->key, resolved ? sql->host : setting->value};
    }
    if (sql->hostaddr[0] != '\0') {
        settings[count++] = (struct sql_setting){"hostaddr", sql->hostaddr};
    }
    sql->state = STATE_CONNECTING;
    sql->pq = sql_pq_create(settings, count);
    if (sql_pq_state(sql->pq) == SQL_PQ_FAILED) {
        fail_pq(sql);
        return;
    }
    arm(sql);
}

/*
 * libpq tries the addresses in turn. It wants as many host names as addresses; they are
 * what certificates are checked against.
 */
static void note_addresses(struct sql *sql, const char *name, const struct addrinfo *info)
{
    struct text hostaddr;
    struct text host;
    int count = 0;

    text_init(&hostaddr, sql->hostaddr, sizeof sql->hostaddr);
    text_init(&host, sql->host, sizeof sql->host);
    for (; info != NULL && count < ADDRESSES_MAX; info = info->ai_next) {
        char address[64];
        const int rc = uv_ip_name(info->ai_addr, address, sizeof address);

        if (rc == 0) {
            text_addf(&hostaddr, "%s%s", count > 0 ? "," : "", address);
            text_addf(&host, "%s%s", count > 0 ? "," : "", name);
            count++;
        }
    }
    ASSERT(!text_overflowed(&hostaddr));
    ASSERT(!text_overflowed(&host)); /* sql_open() has looked at the name's length. */
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct lookup *lookup = container_of(request, struct lookup, request);
    struct sql *sql = lookup->sql;
    const bool wanted = lookup->wanted;
    struct err err;

    free(lookup);
    if (wanted) {
        sql->lookup = NULL;
        if (status == 0) {
            note_addresses(sql, find_setting(sql, "host"), info);
            connect_now(sql);
        } else {
            ERR(&err, IO, "could not look up the name \"%s\": %s", find_setting(sql, "host"),
                uv_strerror(status));
            fail(sql, SQL_FAILURE_OTHER, &err, NULL);
        }
    }
    uv_freeaddrinfo(info);
    release(sql);
}

static bool is_name(const char *host)
{
    uint8_t address[16];

    return host[0] != '\0' && host[0] != '/' && host[0] != '@' &&
           uv_inet_pton(AF_INET, host, address) != 0 && uv_inet_pton(AF_INET6, host, address) != 0;
}

static void resolve(struct sql *sql, const char *name)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    struct err err;
    int rc;

    ASSERT(lookup != NULL);
    lookup->sql = sql;
    lookup->wanted = true;
    rc = uv_getaddrinfo(sql->loop, &lookup->request, on_resolved, name, NULL, &hints);
    if (rc != 0) {
        free(lookup);
        ERR(&err, IO, "could not look up the name \"%s\": %s", name, uv_strerror(rc));
        fail(sql, SQL_FAILURE_OTHER, &err, NULL);
        return;
    }
    sql->state = STATE_RESOLVING;
    sql->lookup = lookup;
    sql->holders++;
}

static void start(struct sql *sql)
{
    const char *host = find_setting(sql, "host");

    start_timer(sql, sql->connect_timeout_ms);
    sql->hostaddr[0] = '\0';
    if (host != NULL && is_name(host) && find_setting(sql, "hostaddr") == NULL) {
        resolve(sql, host);
        return;
    }
    connect_now(sql);
}

/* --- Callbacks of the loop --- */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct sql *sql = container_of(poll, struct watch, poll)->sql;

    /* A socket in error is ready too: libpq finds out what it is and says it better. */
    (void)status;
    (void)events;
    if (sql->state == STATE_CONNECTING) {
        advance_connecting(sql);
    } else {
        advance_up(sql);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct sql *sql = container_of(timer, struct sql, timer);

    switch (sql->state) {
    case STATE_STARTING:
        start(sql);
        return;
    case STATE_RESOLVING:
    case STATE_CONNECTING:
        fail_timeout(sql);
        return;
    case STATE_UP:
        if (sql_pq_state(sql->pq) == SQL_PQ_BUSY) {
            fail_timeout(sql);
        } else {
            advance_up(sql); /* sql_query() has kicked us. */
        }
        return;
    case STATE_FAILING:
    case STATE_FAILED:
        break;
    }
    UNREACHABLE();
}

/* --- For the owner --- */

static enum status check_settings(const struct sql_settings *settings, struct err *err)
{
    if (settings->setting_count > SQL_SETTINGS_MAX - OWN_SETTINGS) {
        return ERR(err, INVALID, "too many connection settings");
    }
    for (size_t i = 0; i < settings->setting_count; i++) {
        const struct sql_setting *setting = &settings->settings[i];

        if (setting->value == NULL) {
            continue;
        }
        if (text_equal(setting->key, "host") && strchr(setting->value, ',') != NULL) {
            return ERR(err, INVALID, "one host is expected, not \"%s\"", setting->value);
        }
        if (text_equal(setting->key, "host") && strlen(setting->value) > HOST_LENGTH_MAX) {
            return ERR(err, INVALID, "the host has more than %d characters", HOST_LENGTH_MAX);
        }
        if (text_equal(setting->key, "options") && strlen(setting->value) > OPTIONS_LENGTH_MAX) {
            return ERR(
                err, INVALID, "the options have more than %d characters", OPTIONS_LENGTH_MAX);
        }
    }
    return STATUS_OK;
}

static void add_setting(struct sql *sql, const char *key, const char *value)
{
    ASSERT(sql->setting_count < SQL_SETTINGS_MAX);
    sql->settings[sql->setting_count++] = (struct setting){copy_string(key), copy_string(value)};
}

static void copy_settings(struct sql *sql, const struct sql_settings *settings)
{
    const char *user_options = "";
    char options[OPTIONS_LENGTH_MAX + 64];
    struct text text;

    for (size_t i = 0; i < settings->setting_count; i++) {
        const struct sql_setting *setting = &settings->settings[i];

        if (setting->value == NULL) {
            continue;
        }
        if (text_equal(setting->key, "options")) {
            user_options = setting->value;
        } else {
            add_setting(sql, setting->key, setting->value);
        }
    }
    if (find_setting(sql, "gssencmode") == NULL) {
        add_setting(sql, "gssencmode", "disable");
    }
    text_init(&text, options, sizeof options);
    text_addf(&text, "-c statement_timeout=%u %s", settings->statement_timeout_ms, user_options);
    ASSERT(!text_overflowed(&text));
    add_setting(sql, "options", options);
}

enum status sql_open(
    struct sql **sql, uv_loop_t *loop, const struct sql_settings *settings,
    const struct sql_events *events, void *owner, struct err *err)
{
    struct sql *self;
    int rc;

    ASSERT(settings->connect_timeout_ms > 0);
    if (check_settings(settings, err) != STATUS_OK) {
        return err->status;
    }
    self = calloc(1, sizeof *self);
    ASSERT(self != NULL);
    self->loop = loop;
    self->events = events;
    self->owner = owner;
    self->connect_timeout_ms = settings->connect_timeout_ms;
    copy_settings(self, settings);
    rc = uv_timer_init(loop, &self->timer);
    ASSERT(rc == 0); /* It only fills in the struct. */
    self->holders = 1;
    self->state = STATE_STARTING;
    start_timer(self, 0);
    *sql = self;
    return STATUS_OK;
}

enum status sql_query(
    struct sql *sql, const char *text, uint32_t timeout_ms, sql_callback *callback, void *owner,
    struct err *err)
{
    ASSERT(!sql->closing);
    if (sql->state == STATE_FAILING || sql->state == STATE_FAILED) {
        return ERR(err, REFUSED, "there is no connection");
    }
    if (sql->queue_count == SQL_QUEUE_MAX) {
        return ERR(err, FULL, "%d queries are waiting already", SQL_QUEUE_MAX);
    }
    sql->queue[(sql->queue_first + sql->queue_count) % SQL_QUEUE_MAX] = (struct query){
        .text = copy_string(text), .timeout_ms = timeout_ms, .callback = callback, .owner = owner};
    sql->queue_count++;
    /* From the loop, not from here: a send that fails calls the owner. */
    if (sql->state == STATE_UP && sql_pq_state(sql->pq) == SQL_PQ_IDLE) {
        start_timer(sql, 0);
    }
    return STATUS_OK;
}

void sql_reconnect(struct sql *sql)
{
    ASSERT(!sql->closing);
    ASSERT(sql->state == STATE_FAILED);
    ASSERT(sql->queue_count == 0);
    sql->state = STATE_STARTING;
    start_timer(sql, 0);
}

bool sql_is_up(const struct sql *sql)
{
    return sql->state == STATE_UP && !sql->closing;
}

uint32_t sql_server_version(const struct sql *sql)
{
    return sql->state == STATE_UP ? sql_pq_server_version(sql->pq) : 0;
}

void sql_close(struct sql *sql)
{
    ASSERT(!sql->closing);
    sql->closing = true;
    drop_lookup(sql);
    end_watch(sql);
    uv_close((uv_handle_t *)&sql->timer, on_timer_closed);
}
