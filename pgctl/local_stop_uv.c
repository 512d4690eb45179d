/*
 * Stopping, and what comes before it: checkpoint and script, as an action of their own or not at
 * all.
 *
 * A fast stop ends when the archiver is done and the last WAL sender has sent the shutdown
 * checkpoint, which one that hangs may never do. Meanwhile the control file, read again and again,
 * says already that it is shut down: nothing more is written then, and who does not move any more
 * is cut off. One that hangs with its buffers full even keeps that checkpoint from being begun,
 * and is ended before. Whoever still sends is waited for: its standby is to get all there is.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/proc_sys.h"

#define LOOK_EVERY_MS 200
#define STUCK_MS      1000 /* What has not moved for so long will not. */
/* One file may take the archive that long; what is cut off is archived by the next start at best,
 * and after a failover by nobody. */
#define STUCK_ARCHIVER_MS 5000

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

/* --- 3. Waiting, and pressing on. --- */

static bool is_shut_down(const struct local *local)
{
    return local->stop.state == CONTROL_STATE_SHUT_DOWN ||
           local->stop.state == CONTROL_STATE_SHUT_DOWN_IN_RECOVERY;
}

static void hash_title(void *context, pid_t pid, const char *title)
{
    uint32_t *hash = context;

    (void)pid;
    for (const char *byte = title; *byte != '\0'; byte++) {
        *hash = *hash * 31 + (unsigned char)*byte;
    }
}

/*
 * Processes that may hold up the end say in their titles how far they are; what they have sent
 * last the kernel still has.
 */
static void note_movement(struct local *local)
{
    const pid_t server = (pid_t)local->status.server_pid;
    uint32_t progress = proc_hash_unsent(server, local->pg.listen.port);

    proc_each_child(server, "walsender", hash_title, &progress);
    proc_each_child(server, "archiver", hash_title, &progress);
    if (progress != local->stop.progress) {
        local->stop.progress = progress;
        local->stop.moved_ms = clock_boot_ms();
    }
}

/* "... walsender repl 10.0.0.2(4711) streaming 0/3000060" */
static void end_if_behind(void *context, pid_t pid, const char *title)
{
    const struct local *local = context;
    const char *at = strstr(title, " streaming ");
    uint64_t lsn = 0;

    if (at != NULL && pg_lsn_parse(at + strlen(" streaming "), &lsn) &&
        lsn < local->facts.position.lsn) {
        log_warning("a WAL sender hangs and is ended, pid=%ld: %s", (long)pid, at + 1);
        (void)proc_signal(pid, SIGTERM);
    }
}

/*
 * One whose receiver takes nothing in keeps the shutdown checkpoint from being begun. Those that
 * have sent all we know of are to send that checkpoint, and are left alone.
 */
static void end_hung_senders(struct local *local)
{
    if (!is_shut_down(local) && time_since(clock_boot_ms(), local->stop.moved_ms) >= STUCK_MS) {
        proc_each_child((pid_t)local->status.server_pid, "walsender", end_if_behind, local);
        local->stop.moved_ms = clock_boot_ms();
    }
}

static bool is_stuck(const struct local *local)
{
    const uint64_t still_ms = time_since(clock_boot_ms(), local->stop.moved_ms);
    const pid_t archiver = proc_find_child((pid_t)local->status.server_pid, "archiver", NULL);
    const bool archives = archiver != 0 && proc_has_children(archiver);

    return is_shut_down(local) && still_ms >= (archives ? STUCK_ARCHIVER_MS : STUCK_MS);
}

/* Whether a fast stop is to be made a harder one now. */
static bool wants_pressing(struct local *local)
{
    struct stop *stop = &local->stop;

    /* Before a start is through the control file says what it said before that start. */
    if (local->action.stop != PG_STOP_FAST || !local->was_up) {
        return false;
    }
    if (stop->mode == GUARD_STOP_FAST && is_stuck(local)) {
        log_warning("PostgreSQL is shut down, but what it sends or archives hangs: cut off");
        stop->mode = GUARD_STOP_IMMEDIATE;
    } else if (
        stop->mode == GUARD_STOP_IMMEDIATE &&
        time_since(clock_boot_ms(), stop->pressed_ms) >= STUCK_MS) {
        log_warning("PostgreSQL does not end: killed");
        stop->mode = GUARD_STOP_KILL;
    } else {
        return false;
    }
    stop->pressed_ms = clock_boot_ms();
    return true;
}

/* The control file was read since the stop began. */
static void note_state(struct local *local)
{
    if (local->control_known && local->control.state != local->stop.state) {
        local->stop.state = local->control.state;
        local->stop.moved_ms = clock_boot_ms();
    }
}

static void on_stopping(struct local *local, const struct guard_refused *refused);

static void wait_until_gone(struct local *local)
{
    if (watch_is_gone(local)) {
        measure_end(local);
        return;
    }
    if (time_since(clock_boot_ms(), local->step_ms) >= LOOK_EVERY_MS) {
        local->step_ms = clock_boot_ms();
        local->measured = note_state;
        measure_start(local);
        note_movement(local);
        end_hung_senders(local);
        if (wants_pressing(local)) {
            step_guard(local, guard_client_stop(&local->guard, local->stop.mode), on_stopping);
            return;
        }
    }
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
    local->stop = (struct stop){
        .mode = guard_mode(local->action.stop),
        .began_ms = clock_boot_ms(),
        .moved_ms = clock_boot_ms(),
    };
    local->facts.run = PG_RUN_STOPPING;
    local_flush(local);
    step_guard(local, guard_client_stop(&local->guard, local->stop.mode), on_stopping);
}

/* --- 1. Before: script. --- */

static void go_on(struct local *local)
{
    if (local->action.kind != PG_ACTION_PREPARE_STOP) {
        ask_guard(local);
    } else if (local->facts.run == PG_RUN_UP) {
        local_ok(local);
    } else {
        local_fail(local, "PostgreSQL is %s", pg_run_name(local->facts.run));
    }
}

static void after_script(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE];

    if (!run_succeeded(result)) {
        run_explain(result, why, sizeof why);
        log_warning("before_stop failed: %s", why);
    }
    go_on(local);
}

static void run_script(struct local *local)
{
    struct run_spec spec;

    if (local->pg.before_stop == NULL || local->pg.before_stop[0] == '\0') {
        go_on(local);
        return;
    }
    local_script_spec(local, &spec);
    run_spec_shell(&spec, local->pg.before_stop);
    step_run(local, &spec, after_script);
}

void action_stop(struct local *local)
{
    checkpoint_cancel(local);
    if (watch_is_gone(local)) {
        measure_end(local);
    } else if (local->action.stop == PG_STOP_FAST && !local->action.prepared) {
        run_script(local);
    } else {
        ask_guard(local);
    }
}

/* --- 0. Long before: checkpoint, script. --- */

static void after_checkpoint(struct local *local)
{
    if (local->facts.run == PG_RUN_UP) {
        run_script(local); /* Without a checkpoint the stop only takes longer. */
    } else {
        go_on(local);
    }
}

void action_prepare_stop(struct local *local)
{
    checkpoint_cancel(local); /* That of a promotion knows nothing of what was written since. */
    local->checkpointed = after_checkpoint;
    checkpoint_begin(local);
}
