#include "pgctl/local_uv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

#define TREE_BYTES ((size_t)512 * 1024)

/* --- Counting what must come back. --- */

static void finish_close(struct local *local)
{
    const struct local_events *events = local->events;
    void *owner = local->owner;

    free(local->tree_memory);
    free(local->dynamic_json);
    free(local);
    events->closed(owner);
}

void local_hold(struct local *local)
{
    local->holds++;
}

void local_unhold(struct local *local)
{
    ASSERT(local->holds > 0);
    local->holds--;
    if (local->closing && local->holds == 0) {
        finish_close(local);
    }
}

/* --- Pushing. --- */

static void on_flush(uv_timer_t *timer);

void local_flush(struct local *local)
{
    const int rc = local->closing ? 0 : uv_timer_start(&local->flush, on_flush, 0, 0);

    ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
}

static void begin_action(struct local *local, const struct pg_action *action);

/* It was asked for in place of something that ran, which is over now. */
static void begin_next(struct local *local)
{
    const struct pg_action next = local->next;

    if (!local->next_waits || !step_is_idle(local)) {
        return;
    }
    local->next_waits = false;
    local->busy = false;
    begin_action(local, &next);
}

static bool push_facts(struct local *local)
{
    /* Padding may differ: then the owner is told once more than it needs to be. */
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
    if (local->pushed_once && memcmp(&local->facts, &local->pushed, sizeof local->facts) == 0) {
        return false;
    }
    local->pushed_once = true;
    memcpy(&local->pushed, &local->facts, sizeof local->pushed);
    return true;
}

static void on_flush(uv_timer_t *timer)
{
    struct local *local = timer->data;
    struct pg_action_done dones[LOCAL_DONES_MAX];
    uint32_t count;

    begin_next(local); /* May be done at once. */
    count = local->done_count;
    memcpy(dones, local->dones, sizeof dones);
    local->done_count = 0;
    local_hold(local); /* The owner may close us from its callback. */
    if (push_facts(local)) {
        local->events->facts(local->owner, &local->pushed);
    }
    /* After the facts that led to it. */
    for (uint32_t i = 0; i < count && !local->closing; i++) {
        local->events->done(local->owner, &dones[i]);
    }
    local_unhold(local);
}

/* --- Ends of actions. --- */

static void add_done(
    struct local *local, const struct pg_action *action, enum pg_result result,
    struct pg_position position, const char *text)
{
    struct pg_action_done *done;

    ASSERT(local->done_count < LOCAL_DONES_MAX);
    done = &local->dones[local->done_count++];
    *done = (struct pg_action_done){
        .id = action->id, .kind = action->kind, .result = result, .position = position};
    text_copy_cut(done->text, sizeof done->text, text);
    local_flush(local);
}

void local_finish(
    struct local *local, enum pg_result result, struct pg_position position, const char *format,
    ...)
{
    char text[PG_TEXT_SIZE];
    va_list args;

    ASSERT(local->busy);
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (result == PG_RESULT_OK) {
        log_info("action=\"%s\" done", pg_action_name(local->action.kind));
    } else {
        log_warning(
            "action=\"%s\" %s: %s", pg_action_name(local->action.kind), pg_result_name(result),
            text);
    }
    step_cancel(local);
    local->busy = false;
    local->hurry = false;
    local->facts.progress[0] = '\0';
    add_done(local, &local->action, result, position, text);
    watch_look(local);
    watch_soon(local);
}

void local_fail(struct local *local, const char *format, ...)
{
    char text[PG_TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    local_finish(local, PG_RESULT_FAILED, (struct pg_position){0}, "%s", text);
}

void local_ok(struct local *local)
{
    local_finish(local, PG_RESULT_OK, (struct pg_position){0}, "%s", "");
}

/* --- Begins of actions. --- */

static void dispatch(struct local *local)
{
    switch (local->action.kind) {
    case PG_ACTION_NONE:
        local_ok(local);
        return;
    case PG_ACTION_INITDB:
        action_initdb(local);
        return;
    case PG_ACTION_START_STANDBY:
        action_start_standby(local);
        return;
    case PG_ACTION_START_PRIMARY:
        action_start_primary(local);
        return;
    case PG_ACTION_PROMOTE:
        action_promote(local);
        return;
    case PG_ACTION_FOLLOW:
        action_follow(local);
        return;
    case PG_ACTION_CUT:
        action_cut(local);
        return;
    case PG_ACTION_PREPARE_STOP:
        action_prepare_stop(local);
        return;
    case PG_ACTION_STOP:
        action_stop(local);
        return;
    case PG_ACTION_REWIND:
        action_rewind(local);
        return;
    case PG_ACTION_CLONE:
        action_clone(local);
        return;
    case PG_ACTION_RELOAD:
        action_reload(local);
        return;
    case PG_ACTION_BOOTSTRAP_SQL:
        action_bootstrap_sql(local);
        return;
    }
    UNREACHABLE();
}

static void begin_action(struct local *local, const struct pg_action *action)
{
    ASSERT(!local->busy);
    local->busy = true;
    local->generation++;
    local->action = *action;
    local->attempt = 0;
    local->step_ms = clock_boot_ms();
    log_debug("action=\"%s\" begins", pg_action_name(action->kind));
    dispatch(local);
    watch_soon(local);
}

void local_start(struct local *local, const struct pg_action *action)
{
    if (!local->busy) {
        begin_action(local, action);
        return;
    }
    ASSERT(
        action->kind == PG_ACTION_STOP ||
        (local->action.kind == PG_ACTION_PREPARE_STOP && !local->next_waits));
    if (local->next_waits) {
        add_done(local, &local->next, PG_RESULT_CANCELLED, (struct pg_position){0}, "stopped anew");
    } else {
        add_done(
            local, &local->action, PG_RESULT_CANCELLED, (struct pg_position){0},
            "cancelled by the next");
        step_cancel(local);
        local->hurry = false;
        local->facts.progress[0] = '\0';
    }
    local->next = *action;
    local->next_waits = true;
    local_flush(local); /* It begins when nothing of the cancelled action runs any more. */
}

/* --- Requests that are no actions. --- */

void local_renew(struct local *local, uint64_t epoch, uint64_t fence_at_ms, uint64_t deadline_ms)
{
    struct pg_action *action = &local->action;
    const bool becomes_writable =
        local->busy && action->epoch == epoch &&
        (action->kind == PG_ACTION_START_PRIMARY || action->kind == PG_ACTION_PROMOTE);
    /* Or will be by the time it reads this: that request goes before. */
    const bool is_armed =
        local->status.armed_epoch == epoch || (becomes_writable && local->guard_request != 0);

    /* One that has not armed the guard yet shall arm it with the newest times: it would be
     * refused, or fenced at once, with those it was begun with. */
    if (becomes_writable && deadline_ms > action->deadline_ms) {
        action->fence_at_ms = fence_at_ms;
        action->deadline_ms = deadline_ms;
    }
    if (is_armed) {
        (void)guard_client_renew(
            &local->guard, epoch,
            (struct guard_deadline){.fence_ms = fence_at_ms, .end_ms = deadline_ms});
    }
}

void local_configure(struct local *local, const char *dynamic_json)
{
    struct err err;

    free(local->dynamic_json);
    local->dynamic_json = strdup(dynamic_json);
    ASSERT(local->dynamic_json != NULL);
    if (local_conf_refresh(local, &err) != STATUS_OK) {
        log_error("%s", err.text);
    }
    check_start(local);
    local_guard_configure(local);
}

void local_reload(struct local *local, const struct conf *conf)
{
    struct err err;

    local->conf = conf;
    if (local_conf_refresh(local, &err) != STATUS_OK) {
        log_error("%s", err.text);
    }
    check_start(local);
    local_guard_configure(local);
}

void local_set_synchronous(struct local *local, const char *names)
{
    text_copy_cut(local->sync_names, sizeof local->sync_names, names);
}

void local_watch_closely(struct local *local, bool closely)
{
    if (local->closely != closely) {
        local->closely = closely;
        watch_soon(local);
    }
}

/* --- Life. --- */

static void on_timer_closed(uv_handle_t *handle)
{
    local_unhold(handle->data);
}

static void init_timer(struct local *local, uv_timer_t *timer)
{
    const int rc = uv_timer_init(local->loop, timer);

    ASSERT(rc == 0);
    timer->data = local;
    local_hold(local);
}

static void destroy_unopened(struct local *local)
{
    free(local->tree_memory);
    free(local);
}

enum status local_open(
    struct local **local_out, uv_loop_t *loop, const struct conf *conf, const char *guard_path,
    const struct local_events *events, void *owner, struct err *err)
{
    struct local *local = calloc(1, sizeof *local);
    enum status status;

    ASSERT(local != NULL);
    local->tree_memory = calloc(1, TREE_BYTES);
    ASSERT(local->tree_memory != NULL);
    local->loop = loop;
    local->conf = conf;
    local->events = events;
    local->owner = owner;
    local->generation = 1;
    text_copy_cut(local->guard_path, sizeof local->guard_path, guard_path);
    status = local_conf_refresh(local, err);
    if (status == STATUS_OK) {
        status = files_find_owner(&local->files, err);
    }
    if (status == STATUS_OK) {
        status = local_guard_open(local, err);
    }
    if (status != STATUS_OK) {
        destroy_unopened(local);
        return status;
    }
    init_timer(local, &local->flush);
    init_timer(local, &local->tick);
    init_timer(local, &local->poll);
    watch_open(local);
    local->check.is_due = true; /* Most likely local_configure() follows, and asks for it. */
    *local_out = local;
    return STATUS_OK;
}

void local_close(struct local *local)
{
    ASSERT(!local->closing);
    local_hold(local);
    local->closing = true;
    step_cancel(local);
    callbacks_close(local);
    if (local->measure.run != NULL) {
        run_kill(local->measure.run);
    }
    if (local->check.run != NULL) {
        run_kill(local->check.run);
    }
    watch_close(local);
    local_guard_close(local);
    uv_close((uv_handle_t *)&local->flush, on_timer_closed);
    uv_close((uv_handle_t *)&local->tick, on_timer_closed);
    uv_close((uv_handle_t *)&local->poll, on_timer_closed);
    local_unhold(local);
}
