/*
 * Promotion, and the marker that begins an epoch in the WAL.
 *
 * Replay brought to its end, pre_promote, guard armed, then the file `promote` and SIGUSR1: pg_ctl
 * would look only every tenth of a second whether it is done. Files for the new role come last,
 * unless there is replay to be hurried along by them, or an archive, which a promotion would ask
 * for more. An upstream that is still in them ends with the promotion.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/proc_sys.h"

#define ASK_MS         5   /* How often a server being promoted is asked. */
#define STANDSTILL_MS  200 /* Replay that does not move for so long has come to its end. */
#define REPLAY_POLL_MS 20

/* --- The marker. --- */

static void after_role_files(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        log_error("%s", job->err.text);
        return;
    }
    local_signal_reload(local);
}

/* What was set to hurry replay along has done its work. Beside the next action. */
static void write_role_files(struct local *local)
{
    struct err err;
    struct job *job;

    local->hurry = false;
    job = local_conf_job(local, after_role_files, &err);
    if (job->next == NULL) {
        job->next = after_role_files;
        job->work = job_keep_error;
        job->err = err;
    }
    job_submit(job);
}

static void on_position(struct local *local, const struct sql_result *result)
{
    struct pg_position position = {0};

    if (result->failure != SQL_FAILURE_NONE || result->row_count != 1) {
        local_fail(local, "could not read the position of the marker: %s", result->text);
        return;
    }
    position.timeline = (uint32_t)strtoul(sql_cell(result, 0, 1), NULL, 10);
    if (!pg_lsn_parse(sql_cell(result, 0, 0), &position.lsn) || position.timeline == 0) {
        local_fail(local, "the position of the marker is not understood");
        return;
    }
    local->facts.in_recovery = false;
    local->facts.writable = true;
    local->facts.writable_start = true;
    local->facts.start_epoch = local->action.epoch;
    local->facts.marker_lsn = position.lsn;
    local->facts.position = position;
    write_role_files(local);
    if (local->checkpoint_due) {
        local->checkpoint_due = false;
        checkpoint_begin(local);
    }
    local->slots_ms = 0; /* The others' slots, at once. */
    local_finish(local, PG_RESULT_OK, position, "%s", "");
}

static void on_marked(struct local *local, const struct sql_result *result)
{
    if (result->failure != SQL_FAILURE_NONE) {
        local_fail(local, "could not write the marker: %s", result->text);
        return;
    }
    /* The control file shows the old timeline until a checkpoint; the file's name does not. */
    step_sql(
        local, local->watch,
        "SELECT pg_current_wal_lsn(),"
        " ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int",
        LOCAL_QUERY_MS, on_position);
}

static void send_marker(struct local *local, struct job *job)
{
    char query[160];

    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    /* No standby is waited for: they follow only when this has been written. */
    (void)snprintf(
        query, sizeof query,
        "SET synchronous_commit = local;"
        " SELECT pg_logical_emit_message(true, 'pgbaton', 'epoch=%" PRIu64 "')",
        local->action.epoch);
    step_sql(local, local->watch, query, LOCAL_QUERY_MS, on_marked);
}

static enum status work_record(struct job *job, struct err *err)
{
    return files_write_record(&job->files, &job->record, err);
}

void action_write_marker(struct local *local)
{
    struct job *job = job_new(local, work_record, send_marker);

    /* Before the commit: WAL with the marker beside a record without it would look too old. */
    job->record = local->record;
    if (job->record.data_dir_id == 0) {
        job->record.data_dir_id = clock_random_u64();
    }
    job->record.marker_epoch = local->action.epoch;
    job->record.follow_epoch = 0;
    job->record.follow_timeline = 0;
    job->record.follow_lsn = 0;
    job->record.partial = false;
    record_begin(job);
    job_submit_action(job);
}

/* --- 5. Waiting for the end of recovery. --- */

static void ask_recovery(struct local *local);

static void on_recovery(struct local *local, const struct sql_result *result)
{
    if (result->failure != SQL_FAILURE_NONE || result->row_count != 1) {
        local_fail(local, "lost PostgreSQL while promoting it: %s", result->text);
        return;
    }
    if (text_equal(sql_cell(result, 0, 0), "f")) {
        log_info(
            "promoted after %llu ms",
            (unsigned long long)time_since(clock_boot_ms(), local->step_ms));
        action_write_marker(local);
        return;
    }
    step_poll(local, ASK_MS, ask_recovery);
}

static void ask_recovery(struct local *local)
{
    if (watch_is_gone(local) || local->facts.run == PG_RUN_DYING) {
        local_fail(local, "PostgreSQL ended while it was being promoted; its log says why");
        return;
    }
    step_sql(local, local->watch, "SELECT pg_is_in_recovery()", LOCAL_QUERY_MS, on_recovery);
}

/* --- 4. Armed, then promoted: never the other way round. --- */

static enum status work_promote(struct job *job, struct err *err)
{
    return files_make_promote(&job->files, err);
}

static void signal_promote(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local->step_ms = clock_boot_ms();
    if (!proc_signal((pid_t)local->status.server_pid, SIGUSR1)) {
        local_fail(local, "PostgreSQL is gone");
        return;
    }
    local->checkpoint_due = true;
    step_poll(local, ASK_MS, ask_recovery);
}

static void on_armed(struct local *local, const struct guard_refused *refused)
{
    if (refused != NULL) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0}, "the guard refused: %s",
            refused->text);
        return;
    }
    if (!local->facts.in_recovery) {
        action_write_marker(local); /* It is writable already, and has its new deadline. */
        return;
    }
    job_submit_action(job_new(local, work_promote, signal_promote));
}

static void arm(struct local *local)
{
    const struct guard_deadline deadline = {
        .fence_ms = local->action.fence_at_ms, .end_ms = local->action.deadline_ms};

    step_guard(
        local, guard_client_promoted(&local->guard, local->action.epoch, deadline), on_armed);
}

/* --- 3. pre_promote. --- */

static void after_pre_promote(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE / 2];

    if (!run_succeeded(result)) {
        run_explain(result, why, sizeof why);
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0}, "pre_promote said no: %s", why);
        return;
    }
    arm(local);
}

static void run_pre_promote(struct local *local)
{
    struct run_spec spec;

    if (local->pg.pre_promote == NULL || local->pg.pre_promote[0] == '\0') {
        arm(local);
        return;
    }
    local_script_spec(local, &spec);
    run_spec_shell(&spec, local->pg.pre_promote);
    step_run(local, &spec, after_pre_promote);
}

/* --- 2. Replay. --- */

static void ask_replay(struct local *local);
static void write_hurry_files(struct local *local);

/*
 * What was received may end in the middle of a record, which is never replayed: replay is over
 * when it has all, or stands still and nothing holds it up.
 */
static void on_replay(struct local *local, const struct sql_result *result)
{
    const uint64_t now_ms = clock_boot_ms();
    uint64_t received = 0;
    uint64_t replayed = 0;

    if (result->failure != SQL_FAILURE_NONE || result->row_count != 1 ||
        !pg_lsn_parse(sql_cell(result, 0, 0), &received) ||
        !pg_lsn_parse(sql_cell(result, 0, 1), &replayed)) {
        local_fail(local, "could not read the state of replay: %s", result->text);
        return;
    }
    if (replayed != local->last_replayed) {
        local->last_replayed = replayed;
        local->step_ms = now_ms;
        (void)snprintf(
            local->facts.progress, sizeof local->facts.progress, "replay, %" PRIu64 " kB to go",
            received > replayed ? (received - replayed) / 1024 : 0);
        local->facts.progress_ms = now_ms;
        local_flush(local);
    }
    if (!local->hurry && (replayed < received || text_equal(sql_cell(result, 0, 2), "t"))) {
        write_hurry_files(local);
    } else if (replayed >= received || time_since(now_ms, local->step_ms) >= STANDSTILL_MS) {
        run_pre_promote(local);
    } else {
        step_poll(local, REPLAY_POLL_MS, ask_replay);
    }
}

static void ask_replay(struct local *local)
{
    step_sql(
        local, local->watch,
        "SELECT coalesce(pg_last_wal_receive_lsn(), '0/0'),"
        " coalesce(pg_last_wal_replay_lsn(), '0/0'),"
        " current_setting('restore_command') <> '',"
        " CASE WHEN pg_is_wal_replay_paused() THEN pg_wal_replay_resume() END",
        LOCAL_QUERY_MS, on_replay);
}

/* --- 1. Where it is needed: nothing in the files may hold up replay, or be an archive. --- */

static void after_hurry_files(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local_signal_reload(local);
    local->step_ms = clock_boot_ms();
    ask_replay(local);
}

static void write_hurry_files(struct local *local)
{
    struct err err;
    struct job *job;

    local->hurry = true;
    job = local_conf_job(local, after_hurry_files, &err);
    step_files(local, job, &err);
}

void action_promote(struct local *local)
{
    if (!watch_is_up(local) || !local->facts.sql_ok) {
        local_fail(
            local, "PostgreSQL is not ready to be promoted: %s", pg_run_name(local->facts.run));
        return;
    }
    local->following = false;
    local->last_replayed = 0;
    if (!local->facts.in_recovery) {
        /* The primary of the epoch before, granted again; or one found running at a take-over. */
        arm(local);
    } else {
        ask_replay(local); /* Most likely it has caught up, and nothing is to be written. */
    }
}
