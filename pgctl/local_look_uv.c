/*
 * Facts from the data directory: its state, and the daemon's own record in it.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/record.h"

/* --- The record. --- */

static enum status work_write_record(struct job *job, struct err *err)
{
    return files_write_record(&job->files, &job->record, err);
}

void record_begin(struct job *job)
{
    struct local *local = job->local;

    job->writes_record = true;
    local->record = job->record;
    local->record_jobs++;
}

void record_written(struct local *local, const struct job *job)
{
    ASSERT(local->record_jobs > 0);
    local->record_jobs--;
    if (job->status == STATUS_OK) {
        watch_set_record(local, &job->record);
    }
    if (local->record_jobs == 0) {
        local->record = local->facts.record; /* Nothing more is under way: this is what is there. */
    }
}

static void after_record(struct local *local, struct job *job)
{
    (void)local;
    if (job->status != STATUS_OK) {
        log_error("%s", job->err.text);
    }
}

void watch_set_record(struct local *local, const struct pg_record *record)
{
    local->facts.record = *record;
    local->has_record = true;
    local_flush(local);
}

static void write_record(struct local *local, const struct pg_record *record)
{
    struct job *job = job_new(local, work_write_record, after_record);

    job->record = *record;
    record_begin(job);
    job_submit(job);
}

/* A data directory that somebody else made, or whose record is damaged, gets one. */
static void adopt_directory(struct local *local)
{
    const struct pg_record record = {.data_dir_id = clock_random_u64()};

    log_info("data directory gets a record, as %016llx", (unsigned long long)record.data_dir_id);
    write_record(local, &record);
}

/* The followed epoch's first commit is here: from now on this WAL contains that epoch. */
void watch_check_record(struct local *local, struct pg_position position)
{
    struct pg_record record = local->record;
    const uint64_t epoch = record_epoch_at(&record, position);

    if (record.data_dir_id == 0 || record.partial || local->busy || epoch == record.marker_epoch) {
        return;
    }
    record.marker_epoch = epoch;
    write_record(local, &record);
}

/* --- A look at the directory. --- */

static enum status work_look(struct job *job, struct err *err)
{
    (void)err;
    files_look_at(&job->files, &job->look);
    return STATUS_OK;
}

void watch_look_done(struct local *local, const struct files_look *look)
{
    struct pg_facts *facts = &local->facts;

    if (look->data == PG_DATA_BROKEN && facts->data != PG_DATA_BROKEN) {
        log_error("data directory \"%s\": %s", local->files.data_dir, look->broken);
    }
    facts->data = look->data;
    if (local->record_jobs == 0) {
        facts->record = local->record = look->record;
    }
    local->conninfo_in_files = look->conninfo_set;
    facts->conninfo_set =
        look->conninfo_set || (facts->run == PG_RUN_UP && local->memory.conninfo_in_effect);
    local->has_record = look->has_record && look->record.data_dir_id != 0;
    local->standby_signal = look->standby_signal;
    local->data_version = look->version;
    if (look->data != PG_DATA_VALID && look->data != PG_DATA_PARTIAL) {
        facts->system_identifier = 0;
        facts->control_end = facts->wal_end = (struct pg_position){0};
        facts->shut_down_cleanly = facts->was_primary = false;
        local->control_known = false;
        local->control_mtime_ns = 0;
    } else if (look->control_mtime_ns != local->control_mtime_ns && !local->busy) {
        /* The control file also changes at each checkpoint of a server that runs. */
        if (facts->run == PG_RUN_STOPPED || !local->control_known) {
            local->control_mtime_ns = look->control_mtime_ns;
            measure_start(local);
        }
    }
    local_flush(local);
}

/* The action at hand makes or remakes the data directory: what is in it means nothing yet. */
static bool makes_directory(const struct local *local)
{
    return local->busy &&
           (local->action.kind == PG_ACTION_INITDB || local->action.kind == PG_ACTION_CLONE ||
            local->action.kind == PG_ACTION_REWIND);
}

static void after_look(struct local *local, struct job *job)
{
    local->look_running = false;
    if (makes_directory(local)) {
        return; /* It looks by itself when it is done. */
    }
    watch_look_done(local, &job->look);
    if (job->look.server_runs && watch_is_gone(local) && !local->busy) {
        watch_adopt(local);
    }
    if (job->look.data == PG_DATA_VALID && !local->has_record && !local->busy) {
        adopt_directory(local);
    }
}

void watch_look(struct local *local)
{
    if (local->look_running || local->closing) {
        return;
    }
    local->look_running = true;
    job_submit(job_new(local, work_look, after_look));
}
