/*
 * The guard: found or started, told about the watchdog, asked to adopt a server that runs.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

static void spawn(struct local *local)
{
    const struct guard_spawn how = {.program = local->guard_path, .out_fd = -1, .err_fd = -1};
    struct err err;

    if (guard_client_spawn(&local->guard, &how, &err) != STATUS_OK) {
        log_error("could not start the guard: %s", err.text);
    }
}

void local_guard_configure(struct local *local)
{
    struct guard_watchdog watchdog = {
        .mode = (enum guard_watchdog_mode)local->conf->watchdog.mode,
        .driver = (enum guard_watchdog_driver)local->conf->watchdog.driver,
    };
    const int64_t ttl_ms = local->dynamic.ttl_ms;
    const int64_t margin_ms = local->conf->watchdog.safety_margin_ms;
    const int64_t timeout_ms =
        margin_ms < 0 || margin_ms >= ttl_ms ? ttl_ms / 2 : ttl_ms - margin_ms;

    /* Whole seconds, and never less than one. */
    watchdog.timeout_s = (uint32_t)(timeout_ms < 1000 ? 1 : timeout_ms / 1000);
    text_copy_cut(
        watchdog.device, sizeof watchdog.device,
        local->conf->watchdog.device != NULL ? local->conf->watchdog.device : "/dev/watchdog");
    (void)guard_client_watchdog(&local->guard, &watchdog); /* Sent again when it comes up. */
}

static void on_up(void *owner)
{
    struct local *local = owner;

    local->facts.guard_ok = true;
    local->adopt_tried = false;
    local->adopt_request = 0;
    local_guard_configure(local);
    local_flush(local);
}

static void on_down(void *owner, const struct err *err)
{
    struct local *local = owner;

    if (local->facts.guard_ok) {
        log_warning("lost the guard: %s", err->text);
    }
    local->facts.guard_ok = false;
    if (err->status == STATUS_NOT_FOUND && !local->closing) {
        spawn(local);
    }
    if (local->guard_request != 0) {
        local->guard_request = 0;
        local_fail(local, "the connection to the guard was lost: %s", err->text);
    }
    local_flush(local);
}

static void on_status(void *owner, const struct guard_status *status)
{
    watch_guard_status(owner, status);
}

static void on_answer(
    void *owner, uint32_t request, enum guard_type type, const struct guard_refused *refused)
{
    struct local *local = owner;

    if (local->guard_request == request && local->guard_generation == local->generation) {
        local->guard_request = 0;
        local->guard_next(local, refused);
        return;
    }
    if (local->adopt_request == request) {
        watch_adoption_answered(local, refused);
        return;
    }
    if (refused != NULL) {
        log_warning("the guard refused \"%s\": %s", guard_type_name(type), refused->text);
    }
}

static void on_exited(void *owner, int64_t exit_code, int term_signal)
{
    (void)owner;
    log_warning(
        "the guard has ended, exit code %lld, signal %d", (long long)exit_code, term_signal);
}

static void on_closed(void *owner)
{
    local_unhold(owner);
}

static const struct guard_client_events events = {
    .up = on_up,
    .down = on_down,
    .status = on_status,
    .answer = on_answer,
    .exited = on_exited,
    .closed = on_closed,
};

enum status local_guard_open(struct local *local, struct err *err)
{
    char path[GUARD_PATH_MAX];
    struct text text;
    enum status status;

    text_init(&text, path, sizeof path);
    text_addf(
        &text, "%s/guard.sock",
        local->conf->raft.data_dir != NULL ? local->conf->raft.data_dir : ".");
    if (text_overflowed(&text)) {
        return ERR(err, INVALID, "raft.data_dir is too long for a socket in it");
    }
    status = guard_client_open(&local->guard, local->loop, path, &events, local, err);
    if (status == STATUS_OK) {
        local->guard_open = true;
        local_hold(local);
    }
    return status;
}

void local_guard_close(struct local *local)
{
    if (local->guard_open) {
        local->guard_open = false;
        guard_client_close(&local->guard);
    }
}

void local_dismiss_guard(struct local *local)
{
    if (guard_client_is_up(&local->guard) && guard_client_shutdown(&local->guard) == 0) {
        log_warning("the guard was not told to end");
    }
}
