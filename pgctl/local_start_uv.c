/*
 * Starting: as a standby without upstream, or writable under an epoch.
 *
 * Control file known, files written, guard asked, then waiting for connections. A writable
 * start ends with the marker, see local_promote_uv.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/proc_sys.h"

/*
 * A standby that has not reached consistency may need WAL of its upstream for that, which it is
 * given only after this action: so it does not wait longer than this for connections.
 */
#define STANDBY_WAIT_MS 1500
#define STANDSTILL_MS   100 /* It waits for more WAL; or its disk is slow, and nothing is lost. */

static bool is_writable_start(const struct local *local)
{
    return local->action.kind == PG_ACTION_START_PRIMARY;
}

void local_signal_reload(const struct local *local)
{
    if (local->status.server_pid != 0) {
        (void)proc_signal((pid_t)local->status.server_pid, SIGHUP);
    }
}

/* --- 4. Waiting. --- */

static bool has_waited_enough(const struct local *local)
{
    const struct pg_facts *facts = &local->facts;
    const uint64_t now_ms = clock_boot_ms();
    const bool stands_still = strstr(facts->progress, "recovering") != NULL &&
                              time_since(now_ms, facts->progress_ms) >= STANDSTILL_MS;

    return stands_still || time_since(now_ms, local->step_ms) >= STANDBY_WAIT_MS;
}

static void wait_until_up(struct local *local)
{
    const struct pg_facts *facts = &local->facts;

    if (watch_is_gone(local) || facts->run == PG_RUN_DYING) {
        local_fail(local, "PostgreSQL ended while it was starting; its log says why");
        return;
    }
    if (facts->run == PG_RUN_UP && facts->sql_ok) {
        if (!is_writable_start(local)) {
            local_ok(local);
        } else if (facts->in_recovery) {
            local_fail(local, "PostgreSQL was started writable, and is in recovery");
        } else {
            action_write_marker(local);
        }
        return;
    }
    if (!is_writable_start(local) && has_waited_enough(local)) {
        local_finish(
            local, PG_RESULT_OK, (struct pg_position){0}, "accepts no connections yet: %s",
            facts->progress);
        return;
    }
    step_poll(local, LOCAL_POLL_MS, wait_until_up);
}

/* --- 3. The guard starts it. --- */

static void on_started(struct local *local, const struct guard_refused *refused)
{
    if (refused != NULL) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0}, "the guard refused: %s",
            refused->text);
        return;
    }
    local->step_ms = clock_boot_ms();
    wait_until_up(local);
}

/* Parameters that must not depend on the files, such as those a standby compares. */
static bool add_params(struct local *local, struct guard_start *start)
{
    struct pgparams *pgparams = calloc(1, sizeof *pgparams);
    const size_t used = local->tree.used;
    bool fits = true;

    ASSERT(pgparams != NULL);
    local_conf_params(local, local_role(local), &local->check.refused, pgparams);
    for (uint32_t i = 0; i < pgparams->count && fits; i++) {
        char pair[512];
        struct text text;

        if (!pgparams->items[i].on_command_line) {
            continue;
        }
        text_init(&text, pair, sizeof pair);
        text_addf(&text, "--%s=%s", pgparams->items[i].name, pgparams->items[i].value);
        fits = !text_overflowed(&text) && guard_start_add_arg(start, pair);
    }
    free(pgparams);
    local->tree.used = used;
    return fits;
}

static bool fill_start(struct local *local, struct guard_start *start)
{
    struct run_spec spec;
    char conf[FILES_PATH_SIZE + 96];
    char krb[128];

    /* Its first argument is the path of the program. */
    run_spec_init(&spec);
    local_program(local, local->pg.bin_name.postgres, "postgres", &spec);
    (void)snprintf(
        conf, sizeof conf, "--config_file=%s/%s.conf", local->files.config_dir,
        local->files.base_name);
    start->change_user = local->files.change_user;
    start->uid = local->files.uid;
    start->gid = local->files.gid;
    if (spec.overflow || !guard_start_set(start, spec.args[0], local->files.data_dir, "") ||
        !guard_start_add_arg(start, spec.args[0]) || !guard_start_add_arg(start, "-D") ||
        !guard_start_add_arg(start, local->files.data_dir) || !guard_start_add_arg(start, conf) ||
        !add_params(local, start)) {
        return false;
    }
    if (local->pg.krbsrvname == NULL) {
        return true;
    }
    (void)snprintf(krb, sizeof krb, "PGKRBSRVNAME=%s", local->pg.krbsrvname);
    return guard_start_add_env(start, krb);
}

static void ask_guard(struct local *local, struct job *job)
{
    struct guard_start *start;
    uint32_t request;

    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    start = calloc(1, sizeof *start);
    ASSERT(start != NULL);
    start->mode = is_writable_start(local) ? GUARD_START_WRITABLE : GUARD_START_STANDBY;
    start->epoch = is_writable_start(local) ? local->action.epoch : 0;
    if (is_writable_start(local)) {
        start->deadline = (struct guard_deadline){
            .fence_ms = local->action.fence_at_ms, .end_ms = local->action.deadline_ms};
    }
    if (!fill_start(local, start)) {
        local_fail(local, "the command line of PostgreSQL is too long");
    } else {
        request = guard_client_start(&local->guard, start);
        step_guard(local, request, on_started);
    }
    free(start);
}

/* --- 2. Files. --- */

static bool was_standby(const struct local *local)
{
    return local->standby_signal || local->control.state == CONTROL_STATE_SHUT_DOWN_IN_RECOVERY ||
           local->control.state == CONTROL_STATE_IN_ARCHIVE_RECOVERY;
}

static void write_files(struct local *local)
{
    struct err err;
    struct job *job;

    if (!local->control_known) {
        local_fail(local, "the control file could not be read");
        return;
    }
    /* It would go on writing on a timeline that is another server's. */
    if (is_writable_start(local) && was_standby(local)) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0},
            "it was a standby: to be started as one, and promoted");
        return;
    }
    local->following = false;
    local->cut = true;
    job = local_conf_job(local, ask_guard, &err);
    job->settings.keep_signal = false;
    job->settings.standby = !is_writable_start(local);
    step_files(local, job, &err);
}

/* --- 1. What is known. --- */

static void begin_start(struct local *local)
{
    if (local->facts.data != PG_DATA_VALID) {
        local_fail(
            local, "the data directory is %s: nothing to start", pg_data_name(local->facts.data));
        return;
    }
    if (!watch_is_gone(local)) {
        local_fail(local, "PostgreSQL is %s, cannot start it", pg_run_name(local->facts.run));
        return;
    }
    if (check_holds_up(local, begin_start)) {
        return; /* With a parameter that it refuses it would not start. */
    }
    if (local->control_known) {
        write_files(local);
    } else {
        local->measured = write_files;
        measure_start(local);
    }
}

void action_start_standby(struct local *local)
{
    if (local->facts.run == PG_RUN_UP && local->facts.sql_ok && local->facts.in_recovery) {
        local_ok(local); /* A standby that was taken over. */
        return;
    }
    begin_start(local);
}

/* --- A server that was taken over and is writable already: only the guard must be armed. --- */

static void on_armed(struct local *local, const struct guard_refused *refused)
{
    if (refused != NULL) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0}, "the guard refused: %s",
            refused->text);
        return;
    }
    action_write_marker(local);
}

void action_start_primary(struct local *local)
{
    const struct guard_deadline deadline = {
        .fence_ms = local->action.fence_at_ms, .end_ms = local->action.deadline_ms};

    if (local->facts.run == PG_RUN_UP && local->facts.sql_ok && !local->facts.in_recovery) {
        step_guard(
            local, guard_client_promoted(&local->guard, local->action.epoch, deadline), on_armed);
        return;
    }
    begin_start(local);
}
