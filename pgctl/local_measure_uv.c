/*
 * The control file, and the end of WAL in the files of a server that is down.
 *
 * Runs beside actions, after each stop and whenever the control file of a stopped server was
 * found changed: pg_controldata, a look at pg_wal for the newest timeline, then pg_waldump to
 * the end of what can be read. After a clean shutdown the end is that of the checkpoint's
 * record, and nothing is searched. While the server still runs only the control file is read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

/* Reading WAL goes at some 500 MB/s; whoever has more than this to replay needs not know. */
#define SCAN_LIMIT_MS 20000

static void read_control(struct local *local);

static void finish(struct local *local)
{
    struct measure *measure = &local->measure;
    local_step *measured = local->measured;

    if (measure->again && !local->closing) {
        measure->again = false;
        read_control(local);
        return;
    }
    measure->running = false;
    local_flush(local);
    if (measured != NULL && local->busy) {
        local->measured = NULL;
        measured(local);
    }
}

static void give_up(struct local *local, const struct run_result *result, const char *program)
{
    char why[PG_TEXT_SIZE];

    run_explain(result, why, sizeof why);
    log_warning("%s could not tell: %s", program, why);
    finish(local);
}

static void run(struct local *local, const struct run_spec *spec, const struct run_events *events)
{
    local_hold(local);
    local->measure.run = run_start(local->loop, spec, events, local);
}

/* --- 3. The last record, whose end is the end. --- */

static void publish_end(struct local *local, uint64_t lsn)
{
    struct pg_facts *facts = &local->facts;
    const struct measure *measure = &local->measure;

    facts->wal_end = (struct pg_position){.timeline = measure->start.timeline, .lsn = lsn};
    facts->redo_bytes = lsn > measure->control.redo_lsn ? lsn - measure->control.redo_lsn : 0;
    finish(local);
}

static enum status work_read_record(struct job *job, struct err *err)
{
    return files_read_record_bytes(
        &job->files, job->record_at, job->shape, &job->record_bytes, err);
}

static void after_record(struct local *local, struct job *job)
{
    if (job->status == STATUS_OK) {
        publish_end(local, wal_record_next(job->record_at.lsn, job->record_bytes, job->shape));
    } else {
        log_warning("the end of WAL could not be found: %s", job->err.text);
        finish(local);
    }
}

static void read_last_record(struct local *local, uint64_t lsn)
{
    struct job *job = job_new(local, work_read_record, after_record);

    job->shape = local->measure.shape;
    job->record_at = (struct pg_position){.timeline = local->measure.start.timeline, .lsn = lsn};
    job_submit(job);
}

/* --- 2. Through all of WAL. --- */

static void on_scanned(void *owner, const struct run_result *result)
{
    struct local *local = owner;
    uint64_t lsn = 0;

    local->measure.run = NULL;
    if (result->timed_out || result->killed) {
        give_up(local, result, "pg_waldump");
        local_unhold(local);
        return;
    }
    if (run_succeeded(result)) {
        publish_end(local, local->measure.end_lsn); /* Full to the last byte of the last segment. */
        local_unhold(local);
        return;
    }
    /* Else it ends in an error: where WAL ends there is no record. */
    switch (wal_stop_parse(result->errors, local->measure.shape, &lsn)) {
    case WAL_STOP_AT_END:
        publish_end(local, lsn);
        break;
    case WAL_STOP_AFTER:
        read_last_record(local, lsn);
        break;
    case WAL_STOP_UNKNOWN:
        give_up(local, result, "pg_waldump");
        break;
    }
    local_unhold(local);
}

/*
 * To the end of the last segment; further pg_waldump would wait 5 s for the next. Both segments
 * are named, else it takes their size from any one, also one that has no WAL yet.
 */
static void scan(struct local *local)
{
    static const struct run_events events = {.done = on_scanned};
    const struct measure *measure = &local->measure;
    char first[WAL_SEGMENT_NAME_SIZE];
    char last[WAL_SEGMENT_NAME_SIZE];
    char start[PG_LSN_TEXT_SIZE];
    struct run_spec spec;

    wal_segment_print(measure->start.timeline, measure->start.lsn, measure->shape, first);
    wal_segment_print(measure->start.timeline, measure->end_lsn - 1, measure->shape, last);
    pg_lsn_print(measure->start.lsn, start);
    local_spec(local, &spec, SCAN_LIMIT_MS);
    local_program(local, NULL, "pg_waldump", &spec);
    run_spec_arg(&spec, "--path=%s/pg_wal", local->files.data_dir);
    run_spec_arg(&spec, "--start=%s", start);
    run_spec_arg(&spec, "--stats"); /* Instead of a line for every record. */
    run_spec_arg(&spec, "%s", first);
    run_spec_arg(&spec, "%s", last);
    run(local, &spec, &events);
}

static enum status work_find_timeline(struct job *job, struct err *err)
{
    return files_find_wal(&job->files, job->shape.segment_bytes, &job->wal, err);
}

static void after_timeline(struct local *local, struct job *job)
{
    struct measure *measure = &local->measure;
    const struct controldata *control = &measure->control;

    if (job->status != STATUS_OK) {
        log_warning("%s", job->err.text);
        finish(local);
        return;
    }
    measure->end_lsn = job->wal.end_lsn;
    /* The control file names the old timeline until the first checkpoint on the new one. */
    if (job->wal.timeline > control->timeline) {
        measure->start =
            (struct pg_position){.timeline = job->wal.timeline, .lsn = job->wal.start_lsn};
    }
    scan(local);
}

static void find_end(struct local *local)
{
    struct measure *measure = &local->measure;
    const struct controldata *control = &measure->control;
    struct job *job;

    measure->shape = (struct wal_shape){
        .segment_bytes = control->segment_bytes, .page_bytes = control->page_bytes};
    measure->start = (struct pg_position){.timeline = control->timeline, .lsn = control->redo_lsn};
    if (control->state == CONTROL_STATE_SHUT_DOWN) {
        read_last_record(local, control->checkpoint_lsn);
        return;
    }
    job = job_new(local, work_find_timeline, after_timeline);
    job->shape = measure->shape;
    job_submit(job);
}

/* --- 1. The control file. --- */

static void publish_control(struct local *local)
{
    struct pg_facts *facts = &local->facts;
    const struct controldata *control = &local->measure.control;

    local->control = *control;
    local->control_known = true;
    facts->system_identifier = control->system_identifier;
    facts->shut_down_cleanly = controldata_is_clean(control);
    facts->was_primary = !local->standby_signal && (control->state == CONTROL_STATE_IN_PRODUCTION ||
                                                    control->state == CONTROL_STATE_SHUT_DOWN);
    facts->control_end = controldata_end(control);
    local_flush(local);
}

static void on_control(void *owner, const struct run_result *result)
{
    struct local *local = owner;
    struct measure *measure = &local->measure;
    struct err err;

    measure->run = NULL;
    if (!run_succeeded(result)) {
        local->control_known = false;
        give_up(local, result, "pg_controldata");
    } else if (controldata_parse(result->output, &measure->control, &err) != STATUS_OK) {
        log_error("%s", err.text);
        finish(local);
    } else {
        publish_control(local);
        if (watch_is_gone(local) && !local->closing) {
            watch_check_record(local, measure->control.min_recovery);
            find_end(local);
        } else {
            finish(local);
        }
    }
    local_unhold(local);
}

static void read_control(struct local *local)
{
    static const struct run_events events = {.done = on_control};
    struct run_spec spec;

    local_spec(local, &spec, LOCAL_PROGRAM_MS);
    local_program(local, local->pg.bin_name.pg_controldata, "pg_controldata", &spec);
    run_spec_arg(&spec, "%s", local->files.data_dir);
    run(local, &spec, &events);
}

void measure_start(struct local *local)
{
    if (local->measure.running) {
        local->measure.again = true;
        return;
    }
    local->measure.running = true;
    read_control(local);
}
