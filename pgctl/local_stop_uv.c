/*
 * Stopping, and the checkpoint before it.
 *
 * A fast stop ends when the last WAL sender has sent the shutdown checkpoint, which one that
 * hangs may never do: meanwhile the control file says already that it is shut down, so it is
 * read again and again and shown in the facts. Whoever asked decides how long to wait.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"

#define CONTROL_EVERY_MS 200

/* --- 4. The end of WAL. --- */

static void report(struct local *local)
{
    const struct pg_facts *facts = &local->facts;

    local_finish(
        local, PG_RESULT_OK, facts->wal_end.lsn != 0 ? facts->wal_end : facts->control_end, "%s",
        facts->wal_end.lsn != 0 ? "" : "the end of WAL could not be found");
}

static void measure_end(struct local *local)
{
    if (local->facts.data != PG_DATA_VALID) {
        local_ok(local);
        return;
    }
    local->measured = report;
    measure_start(local);
}

/* --- 3. Waiting. --- */

static void wait_until_gone(struct local *local)
{
    if (watch_is_gone(local)) {
        measure_end(local);
        return;
    }
    if (time_since(clock_boot_ms(), local->step_ms) >= CONTROL_EVERY_MS) {
        local->step_ms = clock_boot_ms();
        measure_start(local);
    }
    (void)guard_client_query(&local->guard); /* Counts the processes again. */
    step_poll(local, LOCAL_POLL_MS, wait_until_gone);
}

static void on_stopping(struct local *local, const struct guard_refused *refused)
{
    if (refused != NULL && refused->refusal != GUARD_REFUSAL_NOT_RUNNING &&
        refused->refusal != GUARD_REFUSAL_ENDING) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0}, "the guard refused: %s",
            refused->text);
        return;
    }
    local->step_ms = clock_boot_ms();
    wait_until_gone(local);
}

/* --- 2. The guard stops it. --- */

static enum guard_stop_mode guard_mode(enum pg_stop stop)
{
    switch (stop) {
    case PG_STOP_FAST:
        return GUARD_STOP_FAST;
    case PG_STOP_IMMEDIATE:
        return GUARD_STOP_IMMEDIATE;
    case PG_STOP_KILL:
        return GUARD_STOP_KILL;
    }
    UNREACHABLE();
}

static void ask_guard(struct local *local)
{
    local->stop_asked = true;
    local->facts.run = PG_RUN_STOPPING;
    local_flush(local);
    step_guard(
        local, guard_client_stop(&local->guard, guard_mode(local->action.stop)), on_stopping);
}

/* --- 1. Before: checkpoint, script. --- */

static void after_script(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE];

    if (!run_succeeded(result)) {
        run_explain(result, why, sizeof why);
        log_warning("before_stop failed: %s", why);
    }
    ask_guard(local);
}

static void run_script(struct local *local)
{
    struct run_spec spec;

    if (local->action.stop != PG_STOP_FAST || local->pg.before_stop == NULL ||
        local->pg.before_stop[0] == '\0') {
        ask_guard(local);
        return;
    }
    local_script_spec(local, &spec);
    run_spec_shell(&spec, local->pg.before_stop);
    step_run(local, &spec, after_script);
}

static void after_checkpoint(struct local *local, const struct sql_result *result)
{
    if (result->failure != SQL_FAILURE_NONE) {
        log_warning("checkpoint failed: %s", result->text);
    }
    if (local->action.kind == PG_ACTION_STOP) {
        run_script(local); /* Without it the stop only takes longer. */
    } else if (result->failure != SQL_FAILURE_NONE) {
        local_fail(local, "%s", result->text);
    } else {
        local_ok(local);
    }
}

static void send_checkpoint(struct local *local)
{
    step_sql(local, local->work, "CHECKPOINT", 0, after_checkpoint);
}

/* On its own connection: the status query goes on beside it. */
static void connect_for_checkpoint(struct local *local)
{
    step_connect(local, NULL, local->pg.listen.port, &local->pg.superuser, NULL, send_checkpoint);
}

void action_stop(struct local *local)
{
    checkpoint_cancel(local);
    if (watch_is_gone(local)) {
        measure_end(local);
    } else if (local->action.checkpoint_first && watch_is_up(local)) {
        connect_for_checkpoint(local);
    } else {
        run_script(local);
    }
}

void action_checkpoint(struct local *local)
{
    if (!watch_is_up(local)) {
        local_fail(local, "PostgreSQL is %s", pg_run_name(local->facts.run));
        return;
    }
    connect_for_checkpoint(local);
}
