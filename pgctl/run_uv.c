/*
 * Happy path: spawn, read both pipes, exit, read what is left in them, close the handles, done.
 *
 * If the program cannot be started, done comes through the timer with exit code 127. At the
 * deadline the group gets SIGTERM, then SIGKILL. After the exit the end of the pipes is not
 * waited for: a descendant may hold them open for ever.
 */
#include "pgctl/run_uv.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/text.h"
#include "pgctl/proc_sys.h"

#define KILL_MS      1000
#define LINE_SIZE    512
#define REST_BYTES   ((size_t)1024 * 1024) /* More than a pipe's buffer. */
#define HANDLE_COUNT 4                     /* Process, two pipes, timer. */

/* Keeps the newest RUN_OUTPUT_SIZE - 1 bytes. */
struct capture {
    uv_pipe_t pipe;
    struct run *run;
    size_t length;
    char data[RUN_OUTPUT_SIZE];
    char chunk[4096];
};

struct run {
    uv_process_t process;
    uv_timer_t timer;
    struct capture out;
    struct capture err;
    const struct run_events *events;
    void *owner;
    int exit_code;
    bool exited;
    bool timed_out;
    bool killed;
    uint32_t handles_open;
    size_t line_length;
    char line[LINE_SIZE];
};

void run_spec_init(struct run_spec *spec)
{
    memset(spec, 0, offsetof(struct run_spec, strings));
}

PRINTF(2, 0)
static char *add_string(struct run_spec *spec, const char *format, va_list args)
{
    const size_t room = RUN_STRINGS_SIZE - spec->used;
    char *string = &spec->strings[spec->used];
    const int length = vsnprintf(string, room, format, args);

    if (length < 0 || (size_t)length >= room) {
        spec->overflow = true;
        return NULL;
    }
    spec->used += (uint32_t)length + 1;
    return string;
}

void run_spec_arg(struct run_spec *spec, const char *format, ...)
{
    va_list args;

    if (spec->arg_count == RUN_ARGS_MAX) {
        spec->overflow = true;
        return;
    }
    va_start(args, format);
    spec->args[spec->arg_count++] = add_string(spec, format, args);
    va_end(args);
}

void run_spec_env(struct run_spec *spec, const char *format, ...)
{
    va_list args;

    if (spec->env_count == RUN_ENV_MAX) {
        spec->overflow = true;
        return;
    }
    va_start(args, format);
    spec->env[spec->env_count++] = add_string(spec, format, args);
    va_end(args);
}

void run_spec_shell(struct run_spec *spec, const char *command)
{
    run_spec_arg(spec, "/bin/sh");
    run_spec_arg(spec, "-c");
    /* The rest of the arguments arrives as "$@", so that nothing of it is parsed again. */
    run_spec_arg(spec, "%s \"$@\"", command);
    run_spec_arg(spec, "sh");
}

bool run_succeeded(const struct run_result *result)
{
    return result->exit_code == 0 && !result->timed_out && !result->killed;
}

/* The last line that is not blank. */
static void last_line(const char *text, char *line, size_t size)
{
    size_t end = strlen(text);
    size_t start;

    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' ')) {
        end--;
    }
    start = end;
    while (start > 0 && text[start - 1] != '\n' && text[start - 1] != '\r') {
        start--;
    }
    (void)snprintf(line, size, "%.*s", (int)(end - start), &text[start]);
}

void run_explain(const struct run_result *result, char *text, size_t size)
{
    char line[256];

    last_line(result->errors[0] != '\0' ? result->errors : result->output, line, sizeof line);
    if (result->timed_out) {
        (void)snprintf(text, size, "it took too long; last words: %s", line);
    } else if (line[0] != '\0') {
        (void)snprintf(text, size, "%s", line);
    } else if (result->exit_code > 128) {
        (void)snprintf(text, size, "ended by signal %d", result->exit_code - 128);
    } else {
        (void)snprintf(text, size, "exit code %d", result->exit_code);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;
    struct run_result result;

    ASSERT(run->handles_open > 0);
    run->handles_open--;
    if (run->handles_open > 0) {
        return;
    }
    run->out.data[run->out.length] = '\0';
    run->err.data[run->err.length] = '\0';
    result = (struct run_result){
        .exit_code = run->exit_code,
        .timed_out = run->timed_out,
        .killed = run->killed,
        .output = run->out.data,
        .errors = run->err.data,
    };
    run->events->done(run->owner, &result);
    free(run);
}

static void finish(struct run *run)
{
    if (run->process.data != NULL) {
        uv_close((uv_handle_t *)&run->process, on_handle_closed);
    }
    uv_close((uv_handle_t *)&run->timer, on_handle_closed);
    uv_close((uv_handle_t *)&run->out.pipe, on_handle_closed);
    uv_close((uv_handle_t *)&run->err.pipe, on_handle_closed);
}

static void on_not_started(uv_timer_t *timer)
{
    finish(timer->data);
}

static void start_timer(struct run *run, uv_timer_cb callback, uint64_t span_ms)
{
    const int rc = uv_timer_start(&run->timer, callback, span_ms, 0);

    ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
}

static void on_kill_time(uv_timer_t *timer)
{
    struct run *run = timer->data;

    (void)kill(-run->process.pid, SIGKILL); /* ESRCH: it is gone, and its exit on the way. */
}

static void terminate(struct run *run)
{
    (void)kill(-run->process.pid, SIGTERM);
    start_timer(run, on_kill_time, KILL_MS);
}

static void on_limit(uv_timer_t *timer)
{
    struct run *run = timer->data;

    run->timed_out = true;
    terminate(run);
}

static void keep(struct capture *capture, const char *data, size_t size)
{
    const size_t room = sizeof capture->data - 1;

    if (size > room) {
        data += size - room;
        size = room;
    }
    if (capture->length + size > room) {
        const size_t drop = capture->length + size - room;

        memmove(capture->data, &capture->data[drop], capture->length - drop);
        capture->length -= drop;
    }
    memcpy(&capture->data[capture->length], data, size);
    capture->length += size;
}

/* Programs that show progress end their lines with a carriage return. */
static void split_lines(struct run *run, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char c = data[i];

        if (c != '\n' && c != '\r') {
            if (run->line_length < sizeof run->line - 1) {
                run->line[run->line_length++] = c;
            }
            continue;
        }
        run->line[run->line_length] = '\0';
        if (run->line_length > 0) {
            run->events->line(run->owner, run->line);
        }
        run->line_length = 0;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct capture *capture = container_of((uv_pipe_t *)handle, struct capture, pipe);

    (void)suggested;
    *buffer = uv_buf_init(capture->chunk, sizeof capture->chunk);
}

static void take(struct capture *capture, size_t count)
{
    struct run *run = capture->run;

    keep(capture, capture->chunk, count);
    if (capture == &run->err && run->events->line != NULL) {
        split_lines(run, capture->chunk, count);
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    (void)buffer;
    if (count < 0) {
        (void)uv_read_stop(stream);
    } else {
        take(container_of((uv_pipe_t *)stream, struct capture, pipe), (size_t)count);
    }
}

/* The loop may tell of the exit before it has looked at the pipe. What the program itself wrote is
 * in the pipe's buffer; a descendant may go on writing for ever. */
static void read_rest(struct capture *capture)
{
    uv_os_fd_t fd;
    ssize_t count;

    if (uv_fileno((uv_handle_t *)&capture->pipe, &fd) != 0) {
        return; /* It was never opened. */
    }
    for (size_t total = 0; total < REST_BYTES; total += (size_t)count) {
        count = read(fd, capture->chunk, sizeof capture->chunk);
        if (count <= 0) {
            return;
        }
        take(capture, (size_t)count);
    }
}

static void on_exited(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct run *run = process->data;

    run->exited = true;
    run->exit_code = term_signal != 0 ? 128 + term_signal : (int)exit_status;
    read_rest(&run->out);
    read_rest(&run->err);
    finish(run);
}

static void init_capture(uv_loop_t *loop, struct run *run, struct capture *capture)
{
    const int rc = uv_pipe_init(loop, &capture->pipe, 0);

    ASSERT(rc == 0);
    capture->run = run;
    capture->pipe.data = run;
}

static void listen_to(struct capture *capture)
{
    const int rc = uv_read_start((uv_stream_t *)&capture->pipe, on_alloc, on_read);

    ASSERT(rc == 0); /* It refuses only a pipe that is not open. */
}

static bool same_name(const char *pair, const char *other)
{
    const size_t length = strcspn(pair, "=");

    return strncmp(pair, other, length) == 0 && other[length] == '=';
}

static bool overridden(const struct run_spec *spec, const char *pair)
{
    for (uint32_t i = 0; i < spec->env_count; i++) {
        if (same_name(spec->env[i], pair)) {
            return true;
        }
    }
    return false;
}

/* The daemon's environment without its own settings, and the pairs of `spec`. Heap array. */
static char **make_environment(const struct run_spec *spec)
{
    size_t count = 0;
    size_t used = 0;
    char **merged;

    while (environ[count] != NULL) {
        count++;
    }
    merged = calloc(count + RUN_ENV_MAX + 1, sizeof *merged);
    ASSERT(merged != NULL);
    for (size_t i = 0; i < count; i++) {
        const bool is_ours =
            text_starts_with(environ[i], "PATRONI_") || text_starts_with(environ[i], "PGBATON_");

        if (!is_ours && !overridden(spec, environ[i])) {
            merged[used++] = environ[i];
        }
    }
    for (uint32_t i = 0; i < spec->env_count; i++) {
        merged[used++] = spec->env[i];
    }
    return merged;
}

static int spawn(struct run *run, uv_loop_t *loop, const struct run_spec *spec)
{
    char *args[RUN_ARGS_MAX + 1]; /* libuv wants them writable, and does not write. */
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE                           },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&run->out.pipe},
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&run->err.pipe},
    };
    uv_process_options_t options = {
        .exit_cb = on_exited,
        .file = spec->args[0],
        .args = args,
        .flags = UV_PROCESS_DETACHED, /* A group of its own, that can be killed as a whole. */
        .stdio_count = 3,
        .stdio = stdio,
    };
    uint64_t kept;
    int rc;

    if (spec->change_user) {
        options.flags |= UV_PROCESS_SETUID | UV_PROCESS_SETGID;
        options.uid = spec->uid;
        options.gid = spec->gid;
    }
    if (spec->inherits_output) {
        stdio[1] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = 1};
        stdio[2] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = 2};
    }
    memcpy(args, spec->args, sizeof args);
    options.env = make_environment(spec);
    kept = proc_keep_capabilities();
    rc = uv_spawn(loop, &run->process, &options);
    proc_lend_capabilities(kept);
    free(options.env);
    return rc;
}

struct run *run_start(
    uv_loop_t *loop, const struct run_spec *spec, const struct run_events *events, void *owner)
{
    struct run *run = calloc(1, sizeof *run);
    int rc;

    ASSERT(run != NULL);
    run->events = events;
    run->owner = owner;
    run->exit_code = 127;
    run->handles_open = HANDLE_COUNT;
    init_capture(loop, run, &run->out);
    init_capture(loop, run, &run->err);
    rc = uv_timer_init(loop, &run->timer);
    ASSERT(rc == 0);
    run->timer.data = run;
    if (spec->overflow || spec->arg_count == 0) {
        rc = UV_E2BIG;
        run->handles_open--; /* The process handle is never initialised. */
    } else {
        rc = spawn(run, loop, spec);
        run->process.data = run;
    }
    if (rc != 0) {
        const int length = snprintf(
            run->err.data, sizeof run->err.data, "could not start \"%s\": %s",
            spec->arg_count > 0 && spec->args[0] != NULL ? spec->args[0] : "", uv_strerror(rc));

        run->err.length = length > 0 ? (size_t)length : 0;
        run->exited = true;
        start_timer(run, on_not_started, 0);
        return run;
    }
    if (!spec->inherits_output) {
        listen_to(&run->out);
        listen_to(&run->err);
    }
    if (spec->limit_ms > 0) {
        start_timer(run, on_limit, spec->limit_ms);
    }
    return run;
}

void run_limit(struct run *run, uint64_t limit_ms)
{
    if (!run->exited && !run->killed) {
        start_timer(run, on_limit, limit_ms);
    }
}

void run_kill(struct run *run)
{
    if (run->exited || run->killed) {
        return;
    }
    run->killed = true;
    terminate(run);
}
