/*
 * pgctl/guard_uv.c - one connection to the guard, kept alive.
 *
 * WAITING -> CONNECTING -> GREETING -> UP; from any of the last three to RESETTING when the
 * socket fails, then WAITING again. `down` is told from the close callback, so that a send that
 * fails inside a call of the owner does not call the owner back from there.
 */
#include "pgctl/guard_uv.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/assert.h"
#include "base/text.h"

#define RETRY_MS 50

static void try_connect(struct guard_client *client);

static void finish_if_last(struct guard_client *client)
{
    ASSERT(client->handles_open > 0);
    client->handles_open--;
    if (client->closing && client->handles_open == 0) {
        client->events->closed(client->owner);
    }
}

static void on_retry(uv_timer_t *timer)
{
    try_connect(container_of(timer, struct guard_client, retry));
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct guard_client *client = container_of((uv_pipe_t *)handle, struct guard_client, pipe);

    client->state = GUARD_CLIENT_WAITING;
    if (!client->closing) {
        const int rc = uv_timer_start(&client->retry, on_retry, RETRY_MS, 0);

        ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
        client->handles_open--;
        client->events->down(client->owner, &client->down_err);
        return;
    }
    finish_if_last(client);
}

/* `down_err` is set. */
static void reset(struct guard_client *client)
{
    client->state = GUARD_CLIENT_RESETTING;
    uv_close((uv_handle_t *)&client->pipe, on_pipe_closed);
}

static void reset_with(struct guard_client *client, const char *what, int uv_status)
{
    struct err *err = &client->down_err;

    if (uv_status == UV_ENOENT || uv_status == UV_ECONNREFUSED) {
        ERR(err, NOT_FOUND, "no guard listens at \"%s\"", client->path);
    } else if (uv_status == UV_EOF) {
        ERR(err, IO, "the guard has closed the connection");
    } else {
        ERR(err, IO, "could not %s the guard: %s", what, uv_strerror(uv_status));
    }
    reset(client);
}

static uint32_t send_message(struct guard_client *client, struct guard_message *message)
{
    uint8_t bytes[GUARD_BYTES_MAX];
    uv_buf_t buf;
    int sent;

    client->last_request++;
    if (client->last_request == 0) {
        client->last_request = 1; /* 0 means "not sent". */
    }
    message->request = client->last_request;
    buf = uv_buf_init((char *)bytes, (unsigned)guard_encode(message, bytes));
    sent = uv_try_write((uv_stream_t *)&client->pipe, &buf, 1);
    if (sent < 0) {
        reset_with(client, "write to", sent);
        return 0;
    }
    if ((size_t)sent != buf.len) {
        reset_with(client, "write to", UV_EAGAIN);
        return 0;
    }
    return message->request;
}

static uint32_t request(struct guard_client *client, struct guard_message *message)
{
    return client->state == GUARD_CLIENT_UP && !client->closing ? send_message(client, message) : 0;
}

/* Hands a message on. The owner may close the client meanwhile. */
static void deliver(struct guard_client *client, const struct guard_message *message)
{
    switch (message->type) {
    case GUARD_STATUS:
        if (client->state == GUARD_CLIENT_GREETING) {
            client->state = GUARD_CLIENT_UP;
            client->events->up(client->owner);
        }
        if (!client->closing) {
            client->events->status(client->owner, &message->status);
        }
        return;
    case GUARD_ACK:
        client->events->answer(client->owner, message->request, message->ack.request_type, NULL);
        return;
    case GUARD_REFUSED:
        client->events->answer(
            client->owner, message->request, message->refused.request_type, &message->refused);
        return;
    case GUARD_NONE:
    case GUARD_HELLO:
    case GUARD_START:
    case GUARD_PROMOTED:
    case GUARD_RENEW:
    case GUARD_STOP:
    case GUARD_WATCHDOG:
    case GUARD_SHUTDOWN:
    case GUARD_ADOPT:
        return; /* A newer guard may say what we do not know. */
    }
    UNREACHABLE();
}

static bool is_connected(const struct guard_client *client)
{
    return !client->closing &&
           (client->state == GUARD_CLIENT_GREETING || client->state == GUARD_CLIENT_UP);
}

static void take_messages(struct guard_client *client)
{
    while (is_connected(client)) {
        size_t used = 0;

        if (guard_decode(
                client->bytes, client->filled, &client->message, &used, &client->down_err) !=
            STATUS_OK) {
            reset(client);
            return;
        }
        if (used == 0) {
            return;
        }
        memmove(client->bytes, client->bytes + used, client->filled - used);
        client->filled -= used;
        deliver(client, &client->message);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct guard_client *client = container_of((uv_pipe_t *)handle, struct guard_client, pipe);

    (void)suggested;
    *buf = uv_buf_init(
        (char *)client->bytes + client->filled, (unsigned)(sizeof client->bytes - client->filled));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct guard_client *client = container_of((uv_pipe_t *)stream, struct guard_client, pipe);

    (void)buf;
    if (count < 0) {
        reset_with(client, "read from", (int)count);
        return;
    }
    client->filled += (size_t)count;
    take_messages(client);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct guard_client *client = container_of(connect, struct guard_client, connect);
    struct guard_message hello = {.type = GUARD_HELLO, .hello = {.pid = (uint32_t)uv_os_getpid()}};

    if (client->state != GUARD_CLIENT_CONNECTING) {
        return; /* It was closed first; this is libuv cancelling the request. */
    }
    if (status == 0) {
        status = uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
    }
    if (status != 0) {
        reset_with(client, "connect to", status);
        return;
    }
    client->state = GUARD_CLIENT_GREETING;
    (void)send_message(client, &hello);
}

static void try_connect(struct guard_client *client)
{
    const int rc = uv_pipe_init(client->retry.loop, &client->pipe, 0);

    ASSERT(rc == 0); /* It only fills in the struct. */
    ASSERT(client->state == GUARD_CLIENT_WAITING);
    client->handles_open++;
    client->state = GUARD_CLIENT_CONNECTING;
    client->filled = 0;
    uv_pipe_connect(&client->connect, &client->pipe, client->path, on_connect);
}

enum status guard_client_open(
    struct guard_client *client, uv_loop_t *loop, const char *path,
    const struct guard_client_events *events, void *owner, struct err *err)
{
    int rc;

    *client = (struct guard_client){.events = events, .owner = owner};
    if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path ||
        !text_copy(client->path, sizeof client->path, path)) {
        return ERR(
            err, INVALID, "\"%s\" is too long for a socket: at most %zu bytes", path,
            sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
    }
    rc = uv_timer_init(loop, &client->retry);
    ASSERT(rc == 0);
    client->handles_open = 1;
    /* Through the timer, so that no event comes before this call returns. */
    rc = uv_timer_start(&client->retry, on_retry, 0, 0);
    ASSERT(rc == 0);
    return STATUS_OK;
}

static void on_retry_closed(uv_handle_t *handle)
{
    finish_if_last(container_of((uv_timer_t *)handle, struct guard_client, retry));
}

static void on_process_closed(uv_handle_t *handle)
{
    struct guard_client *client =
        container_of((uv_process_t *)handle, struct guard_client, process);

    client->process_open = false;
    finish_if_last(client);
}

void guard_client_close(struct guard_client *client)
{
    ASSERT(!client->closing);
    client->closing = true;
    uv_close((uv_handle_t *)&client->retry, on_retry_closed);
    if (client->state != GUARD_CLIENT_WAITING && client->state != GUARD_CLIENT_RESETTING) {
        reset(client);
    }
    if (client->process_open && !uv_is_closing((uv_handle_t *)&client->process)) {
        uv_close((uv_handle_t *)&client->process, on_process_closed);
    }
}

bool guard_client_is_up(const struct guard_client *client)
{
    return client->state == GUARD_CLIENT_UP && !client->closing;
}

static void on_exit(uv_process_t *process, int64_t exit_code, int term_signal)
{
    struct guard_client *client = container_of(process, struct guard_client, process);

    uv_close((uv_handle_t *)process, on_process_closed);
    client->events->exited(client->owner, exit_code, term_signal);
}

static uv_stdio_container_t inherit(int fd, int own_fd)
{
    return (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fd == -1 ? own_fd : fd};
}

enum status guard_client_spawn(
    struct guard_client *client, const struct guard_spawn *spawn, struct err *err)
{
    char no_realtime[] = "--no-realtime";
    char no_cgroup[] = "--no-cgroup";
    char program[GUARD_PATH_MAX];
    char socket_option[GUARD_PATH_MAX + 16];
    char margin_option[40];
    char *args[6];
    size_t count = 0;
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE}, inherit(spawn->out_fd, 1), inherit(spawn->err_fd, 2)};
    uv_process_options_t options = {
        .exit_cb = on_exit,
        .file = spawn->program,
        .args = args,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    int rc;

    ASSERT(!client->closing);
    if (client->process_open) {
        return STATUS_OK;
    }
    if (!text_copy(program, sizeof program, spawn->program)) {
        return ERR(err, INVALID, "the path of the guard is too long");
    }
    (void)snprintf(socket_option, sizeof socket_option, "--socket=%s", client->path);
    (void)snprintf(
        margin_option, sizeof margin_option, "--kill-margin-ms=%llu",
        (unsigned long long)spawn->kill_margin_ms);
    args[count++] = program;
    args[count++] = socket_option;
    if (spawn->kill_margin_ms > 0) {
        args[count++] = margin_option;
    }
    if (spawn->no_realtime) {
        args[count++] = no_realtime;
    }
    if (spawn->no_cgroup) {
        args[count++] = no_cgroup;
    }
    args[count] = NULL;

    rc = uv_spawn(client->retry.loop, &client->process, &options);
    /* Also after a failure the handle has to be closed. */
    client->process_open = true;
    client->handles_open++;
    if (rc != 0) {
        uv_close((uv_handle_t *)&client->process, on_process_closed);
        return ERR(err, IO, "could not run \"%s\": %s", spawn->program, uv_strerror(rc));
    }
    uv_unref((uv_handle_t *)&client->process); /* It outlives us. */
    return STATUS_OK;
}

uint32_t guard_client_start(struct guard_client *client, const struct guard_start *start)
{
    struct guard_message message = {.type = GUARD_START, .start = *start};

    return request(client, &message);
}

uint32_t guard_client_adopt(struct guard_client *client, const struct guard_adopt *adopt)
{
    struct guard_message message = {.type = GUARD_ADOPT, .adopt = *adopt};

    return request(client, &message);
}

uint32_t guard_client_promoted(
    struct guard_client *client, uint64_t epoch, struct guard_deadline deadline)
{
    struct guard_message message = {
        .type = GUARD_PROMOTED, .promoted = {.epoch = epoch, .deadline = deadline}
    };

    return request(client, &message);
}

uint32_t guard_client_renew(
    struct guard_client *client, uint64_t epoch, struct guard_deadline deadline)
{
    struct guard_message message = {
        .type = GUARD_RENEW, .renew = {.epoch = epoch, .deadline = deadline}
    };

    return request(client, &message);
}

uint32_t guard_client_stop(struct guard_client *client, enum guard_stop_mode mode)
{
    struct guard_message message = {.type = GUARD_STOP, .stop = {.mode = mode}};

    return request(client, &message);
}

uint32_t guard_client_watchdog(struct guard_client *client, const struct guard_watchdog *watchdog)
{
    struct guard_message message = {.type = GUARD_WATCHDOG, .watchdog = *watchdog};

    return request(client, &message);
}

uint32_t guard_client_shutdown(struct guard_client *client)
{
    struct guard_message message = {.type = GUARD_SHUTDOWN};

    return request(client, &message);
}
