/*
 * Callbacks of the settings. A new one ends the one that still runs; on_reload has a place of
 * its own. Nobody waits for them, and what they return is nobody's business. But a daemon that
 * ends lets the last one finish: it may be the one that takes the primary's address away.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

#define LEAVE_MS 5000

static void on_done(void *owner, const struct run_result *result)
{
    struct callback_run *callback = owner;
    struct local *local = callback->local;

    log_debug("callback ended, exit code %d", result->exit_code);
    if (local->callback == callback) {
        local->callback = NULL;
    }
    if (local->callback_reload == callback) {
        local->callback_reload = NULL;
    }
    free(callback);
    local_unhold(local);
}

static const char *command_of(const struct local *local, enum pg_callback callback)
{
    const struct conf_callbacks *callbacks = &local->pg.callbacks;

    switch (callback) {
    case PG_CALLBACK_NONE:
        return NULL;
    case PG_CALLBACK_START:
        return callbacks->on_start;
    case PG_CALLBACK_STOP:
        return callbacks->on_stop;
    case PG_CALLBACK_RESTART:
        return callbacks->on_restart;
    case PG_CALLBACK_RELOAD:
        return callbacks->on_reload;
    case PG_CALLBACK_ROLE_CHANGE:
        return callbacks->on_role_change;
    }
    UNREACHABLE();
}

static const char *action_name(enum pg_callback callback)
{
    switch (callback) {
    case PG_CALLBACK_NONE:
        return "";
    case PG_CALLBACK_START:
        return "on_start";
    case PG_CALLBACK_STOP:
        return "on_stop";
    case PG_CALLBACK_RESTART:
        return "on_restart";
    case PG_CALLBACK_RELOAD:
        return "on_reload";
    case PG_CALLBACK_ROLE_CHANGE:
        return "on_role_change";
    }
    UNREACHABLE();
}

void local_callback(
    struct local *local, enum pg_callback callback, const char *role, const char *scope)
{
    static const struct run_events events = {.done = on_done};
    struct callback_run **place =
        callback == PG_CALLBACK_RELOAD ? &local->callback_reload : &local->callback;
    const char *command = command_of(local, callback);
    struct run_spec spec;

    if (command == NULL || command[0] == '\0' || local->closing) {
        return;
    }
    if (*place != NULL) {
        run_kill((*place)->run);
    }
    *place = calloc(1, sizeof **place);
    ASSERT(*place != NULL);
    local_script_spec(local, &spec);
    spec.inherits_output = true;
    run_spec_shell(&spec, command);
    run_spec_arg(&spec, "%s", action_name(callback));
    run_spec_arg(&spec, "%s", role);
    run_spec_arg(&spec, "%s", scope);
    local_hold(local);
    (*place)->local = local;
    (*place)->run = run_start(local->loop, &spec, &events, *place);
}

void callbacks_close(struct local *local)
{
    if (local->callback != NULL) {
        run_limit(local->callback->run, LEAVE_MS);
    }
    if (local->callback_reload != NULL) {
        run_limit(local->callback_reload->run, LEAVE_MS);
    }
}
