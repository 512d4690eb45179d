/*
 * pg_rewind: the directory goes back to where its WAL left the source's, and takes on the rest.
 *
 * The source is asked first: whether it is writable, of this cluster, and has had a checkpoint
 * since its promotion, without which pg_rewind takes its old timeline for the current one. The
 * record says `partial` while pg_rewind writes: what it leaves half done must be cloned.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"

#define CHECKPOINT_WAIT_MS 120000
#define CHECKPOINT_POLL_MS 250

static const struct conf_user *rewind_user(const struct local *local)
{
    return local->pg.rewind_user.username != NULL ? &local->pg.rewind_user : &local->pg.superuser;
}

/* --- 4. Afterwards. --- */

/* The rewound directory has the source's WAL, so the source's record says what is in it. */
static enum status work_finish(struct job *job, struct err *err)
{
    struct pg_record *record = &job->record;           /* As it was before. */
    enum status status = files_sync(&job->files, err); /* Also what recovery before it wrote. */

    if (status != STATUS_OK) {
        return status;
    }
    if (job->fresh) {
        files_look_at(&job->files, &job->look);
        if (!job->look.record.partial && job->look.record.data_dir_id != 0) {
            *record = job->look.record;
        } else {
            record->marker_epoch = 0; /* The source has no record: nothing is known. */
        }
        record->data_dir_id = clock_random_u64();
        record->follow_epoch = 0;
        status = files_clean_copied(&job->files, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    record->partial = false;
    status = files_write_settings(&job->files, &job->settings, err);
    return status != STATUS_OK ? status : files_write_record(&job->files, record, err);
}

static void after_finish(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    if (job->fresh) {
        log_info(
            "data directory has a new identity, %016" PRIx64 ", with the WAL of epoch %" PRIu64,
            job->record.data_dir_id, job->record.marker_epoch);
    }
    action_end_with_look(local);
}

static void finish_rewind(struct local *local, bool has_rewound)
{
    struct err err;
    struct job *job = local_conf_job(local, after_finish, &err);

    job->work = work_finish;
    job->fresh = has_rewound;
    job->record = local->old_record;
    job->settings.keep_signal = false;
    job->settings.standby = true;
    step_files(local, job, &err);
}

/* Nothing was written: it never got as far as reading the source's files. */
static bool is_untouched(const struct run_result *result)
{
    return strstr(result->errors, "connected to server") == NULL &&
           strstr(result->errors, "rewinding from") == NULL;
}

static enum status work_record(struct job *job, struct err *err)
{
    return files_write_record(&job->files, &job->record, err);
}

static void after_undo(struct local *local, struct job *job)
{
    local_fail(local, "pg_rewind could not begin: %s", job->text);
}

static void after_rewind(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE - 40];
    struct job *job;

    if (run_succeeded(result)) {
        finish_rewind(local, strstr(result->errors, "no rewind required") == NULL);
        return;
    }
    run_explain(result, why, sizeof why);
    if (!is_untouched(result)) {
        local->facts.data = PG_DATA_PARTIAL;
        local_fail(local, "pg_rewind failed: %s", why);
        return;
    }
    job = job_new(local, work_record, after_undo);
    job->record = local->old_record;
    job->text = strdup(why);
    record_begin(job);
    job_submit_action(job);
}

/* --- 3. pg_rewind. --- */

static bool is_forbidden(const char *option)
{
    static const char *const forbidden[] = {
        "target-pgdata", "source-pgdata",
        "source-server", "write-recovery-conf",
        "dry-run",       "restore-target-wal",
        "config-file",   "no-ensure-shutdown",
        "version",       "help",
        "progress",      "debug",
        "no-sync",
    };

    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
        if (text_equal(option, forbidden[i])) {
            log_warning("option \"%s\" of rewind is not yours to set, left out", option);
            return true;
        }
    }
    return false;
}

static bool has_restore_command(const struct local *local)
{
    const struct node *map = local->pg.recovery_conf;

    return map != NULL && tree_child(map, "restore_command") != NULL;
}

static void run_rewind(struct local *local)
{
    const struct pg_upstream *upstream = &local->action.upstream;
    const bool own_config_dir = !text_equal(local->files.config_dir, local->files.data_dir);
    struct run_spec spec;
    char conninfo[1024];
    struct text text;

    text_init(&text, conninfo, sizeof conninfo);
    local_conninfo(
        local, upstream->host, upstream->port, rewind_user(local),
        local->pg.database != NULL ? local->pg.database : "postgres", &text);
    text_add(&text, " connect_timeout=10");
    local_spec(local, &spec, 0);
    local_spec_password(&spec, rewind_user(local));
    run_spec_env(&spec, "PGOPTIONS=-c statement_timeout=0");
    local_program(local, local->pg.bin_name.pg_rewind, "pg_rewind", &spec);
    run_spec_arg(&spec, "--target-pgdata=%s", local->files.data_dir);
    run_spec_arg(&spec, "--source-server=%s", conninfo);
    run_spec_arg(&spec, "--progress");
    action_leave_sync(&spec);
    /* Needs to find restore_command: in the data directory's files, or (15+) where we say. */
    if (has_restore_command(local) && (!own_config_dir || local->data_version >= 15)) {
        run_spec_arg(&spec, "--restore-target-wal");
    }
    if (own_config_dir && local->data_version >= 15) {
        run_spec_arg(
            &spec, "--config-file=%s/%s.conf", local->files.config_dir, local->files.base_name);
    }
    action_add_options(local->pg.rewind, is_forbidden, &spec);
    step_run_line(local, &spec, after_rewind);
}

/*
 * Files for the single-user recovery that pg_rewind runs after a crash: no upstream, and no
 * standby.signal, which that mode refuses.
 */
static enum status work_prepare(struct job *job, struct err *err)
{
    enum status status = files_write_settings(&job->files, &job->settings, err);

    if (status != STATUS_OK) {
        return status;
    }
    job->record.partial = true;
    return files_write_record(&job->files, &job->record, err);
}

static void after_prepare(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    run_rewind(local);
}

static void prepare(struct local *local)
{
    struct err err;
    struct job *job;

    local->following = false;
    local->cut = true;
    local->old_record = local->record;
    job = local_conf_job(local, after_prepare, &err);
    job->work = work_prepare;
    job->settings.keep_signal = false;
    job->settings.standby = false;
    job->record = local->old_record;
    step_files(local, job, &err);
}

/* --- 2. The source's checkpoint. --- */

static void ask_source(struct local *local);

/* Whether it was allowed or not: the control file tells. */
static void after_checkpoint(struct local *local, const struct sql_result *result)
{
    if (result->failure == SQL_FAILURE_NONE) {
        ask_source(local);
        return;
    }
    log_warning("the source refused a checkpoint, waiting for its own: %s", result->text);
    step_poll(local, CHECKPOINT_POLL_MS, ask_source);
}

static void on_source(struct local *local, const struct sql_result *result)
{
    char expected[24];

    if (result->failure != SQL_FAILURE_NONE || result->row_count != 1) {
        local_fail(local, "could not ask the source: %s", result->text);
        return;
    }
    (void)snprintf(expected, sizeof expected, "%" PRIu64, local->facts.system_identifier);
    if (!text_equal(sql_cell(result, 0, 1), expected)) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0},
            "the source has the system identifier of another cluster");
    } else if (!text_equal(sql_cell(result, 0, 0), "f")) {
        local_fail(local, "the source is in recovery");
    } else if (text_equal(sql_cell(result, 0, 2), "t")) {
        prepare(local);
    } else if (time_since(clock_boot_ms(), local->step_ms) > CHECKPOINT_WAIT_MS) {
        local_fail(local, "the source has had no checkpoint since its promotion");
    } else if (local->attempt++ == 0) {
        step_sql(local, local->work, "CHECKPOINT", CHECKPOINT_WAIT_MS, after_checkpoint);
    } else {
        step_poll(local, CHECKPOINT_POLL_MS, ask_source);
    }
}

static void ask_source(struct local *local)
{
    step_sql(
        local, local->work,
        "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),"
        " CASE WHEN NOT pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())"
        " = ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END",
        LOCAL_QUERY_MS, on_source);
}

/* --- 1. Preconditions. --- */

void action_rewind(struct local *local)
{
    const struct pg_upstream *upstream = &local->action.upstream;

    if (!watch_is_gone(local)) {
        local_fail(local, "PostgreSQL is %s, cannot rewind", pg_run_name(local->facts.run));
        return;
    }
    if (local->facts.data != PG_DATA_VALID || !local->control_known) {
        local_fail(
            local, "the data directory is %s: nothing to rewind", pg_data_name(local->facts.data));
        return;
    }
    if (!local->control.data_checksums && !local->control.wal_log_hints) {
        local_fail(local, "pg_rewind needs data checksums or wal_log_hints");
        return;
    }
    step_connect(local, upstream->host, upstream->port, rewind_user(local), NULL, ask_source);
}
