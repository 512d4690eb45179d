/*
 * Where a standby takes its WAL from: follow, cut; and writing the files anew.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock_sys.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/proc_sys.h"

#define CUT_LIMIT_MS    5000
#define CUT_QUIET       2 /* How often in a row nothing must be seen. */
#define CUT_QUIET_BLIND 6 /* The same when SQL cannot say whether the files were read. */

/* --- Follow. --- */

static void after_follow_files(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local_signal_reload(local);
    local->conninfo_in_files = true;
    local->facts.conninfo_set = true;
    local_ok(local);
}

static void write_follow_files(struct local *local, struct job *done)
{
    struct err err;
    struct job *job;

    if (done->status != STATUS_OK) {
        local_fail(local, "%s", done->err.text);
        return;
    }
    local->following = true;
    local->cut = false;
    job = local_conf_job(local, after_follow_files, &err);
    step_files(local, job, &err);
}

static enum status work_record(struct job *job, struct err *err)
{
    return files_write_record(&job->files, &job->record, err);
}

/* Of whatever epoch: a server that goes on as primary has all the WAL that it ever sent. */
static bool same_server(const struct pg_upstream *a, const struct pg_upstream *b)
{
    return a->port == b->port && text_equal(a->host, b->host);
}

void action_follow(struct local *local)
{
    const struct pg_upstream *upstream = &local->action.upstream;
    struct job *job;

    if (local->status.server_pid == 0) {
        local_fail(local, "PostgreSQL is %s", pg_run_name(local->facts.run));
        return;
    }
    if (check_holds_up(local, action_follow)) {
        return; /* With a parameter that it refuses the upstream would not take effect either. */
    }
    if (local->facts.run == PG_RUN_UP && local->facts.sql_ok && !local->facts.in_recovery) {
        local_fail(local, "PostgreSQL is writable, not a standby");
        return;
    }
    if (local->action.system_identifier != 0 &&
        local->facts.system_identifier != local->action.system_identifier) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0},
            "system identifier %" PRIu64 " is another cluster's", local->facts.system_identifier);
        return;
    }
    /*
     * A receiver that runs now brings WAL of whom we followed before. One of this very server may
     * have connected again already, and is not replaced.
     */
    if (!local->following || !same_server(&local->upstream, upstream)) {
        local->stale_receiver = local->memory.receiver_pid;
    }
    local->upstream = *upstream;
    job = job_new(local, work_record, write_follow_files);
    job->record = local->record;
    job->record.follow_epoch = upstream->epoch;
    job->record.follow_timeline = upstream->timeline;
    job->record.follow_lsn = upstream->marker_lsn;
    if (job->record.data_dir_id == 0) {
        job->record.data_dir_id = clock_random_u64();
    }
    /* On disk before the first byte of the new upstream is. */
    record_begin(job);
    job_submit_action(job);
}

/* --- Cut. --- */

static void look_for_receiver(struct local *local);

/*
 * The startup process may be busy with restore_command and have read its settings before: then
 * it could still ask for a receiver. Without a child it has seen the reload before it asks.
 */
static bool is_quiet(struct local *local)
{
    const pid_t server = (pid_t)local->status.server_pid;
    const pid_t receiver = proc_find_child(server, "walreceiver", NULL);
    pid_t startup;

    if (receiver != 0) {
        (void)proc_signal(receiver, SIGTERM); /* A reload alone need not end it. */
        return false;
    }
    startup = proc_find_child(server, "startup", NULL);
    return startup == 0 || !proc_has_children(startup);
}

static void on_cut_done(struct local *local)
{
    local->facts.receiver_running = false;
    local->facts.receiver_state[0] = '\0';
    local->conninfo_in_files = false;
    local->memory.conninfo_in_effect = false;
    local->facts.conninfo_set = false;
    local_finish(local, PG_RESULT_OK, local->facts.position, "%s", "");
}

/* The last positions, now that nothing moves them but replay. */
static void on_positions(struct local *local, const struct sql_result *result)
{
    struct pg_facts *facts = &local->facts;
    uint64_t received = 0;
    uint64_t replayed = 0;

    if (result->failure == SQL_FAILURE_NONE && result->row_count == 1 &&
        pg_lsn_parse(sql_cell(result, 0, 0), &received) &&
        pg_lsn_parse(sql_cell(result, 0, 1), &replayed)) {
        facts->received_lsn = received;
        facts->replayed_lsn = replayed;
        if (received > facts->position.lsn || replayed > facts->position.lsn) {
            facts->position.lsn = received > replayed ? received : replayed;
        }
    }
    on_cut_done(local);
}

static void finish_cut(struct local *local)
{
    if (!watch_is_up(local)) {
        on_cut_done(local);
        return;
    }
    step_sql(
        local, local->watch,
        "SELECT coalesce(pg_last_wal_receive_lsn(), '0/0'),"
        " coalesce(pg_last_wal_replay_lsn(), '0/0')",
        LOCAL_QUERY_MS, on_positions);
}

static void look_for_receiver(struct local *local)
{
    const uint32_t wanted = watch_is_up(local) ? CUT_QUIET : CUT_QUIET_BLIND;

    if (local->status.server_pid == 0) {
        on_cut_done(local);
        return;
    }
    local->attempt = is_quiet(local) ? local->attempt + 1 : 0;
    if (local->attempt >= wanted) {
        finish_cut(local);
    } else if (time_since(clock_boot_ms(), local->step_ms) > CUT_LIMIT_MS) {
        local_fail(local, "a WAL receiver or restore_command does not end");
    } else {
        step_poll(local, LOCAL_POLL_MS, look_for_receiver);
    }
}

static void ask_settings(struct local *local);

static void on_settings(struct local *local, const struct sql_result *result)
{
    const bool in_effect = result->failure == SQL_FAILURE_NONE && result->row_count == 1 &&
                           text_equal(sql_cell(result, 0, 0), "t");

    (void)is_quiet(local); /* Ends the receiver meanwhile. */
    if (in_effect || !watch_is_up(local)) {
        local->attempt = 0;
        look_for_receiver(local);
    } else if (time_since(clock_boot_ms(), local->step_ms) > CUT_LIMIT_MS) {
        local_fail(local, "primary_conninfo is still set; is it given on the command line?");
    } else {
        step_poll(local, LOCAL_POLL_MS / 2, ask_settings);
    }
}

/* The postmaster passes the reload on to its sessions before the startup process, or just so. */
static void ask_settings(struct local *local)
{
    step_sql(
        local, local->watch,
        "SELECT current_setting('primary_conninfo') = '' AND"
        " current_setting('restore_command') = ''",
        LOCAL_QUERY_MS, on_settings);
}

static void after_cut_files(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local->step_ms = clock_boot_ms();
    local_signal_reload(local);
    if (watch_is_up(local)) {
        ask_settings(local);
    } else {
        look_for_receiver(local);
    }
}

void action_cut(struct local *local)
{
    struct err err;
    struct job *job;

    local->following = false;
    local->cut = true;
    if (local->facts.data != PG_DATA_VALID) {
        local_ok(local); /* There is nothing that could stream. */
        return;
    }
    job = local_conf_job(local, after_cut_files, &err);
    step_files(local, job, &err);
}

/* --- Reload. --- */

static void after_reload_files(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local_signal_reload(local);
    local_ok(local);
}

void action_reload(struct local *local)
{
    struct err err;
    struct job *job;

    if (local->facts.data != PG_DATA_VALID) {
        local_ok(local); /* Written when there is a data directory. */
        return;
    }
    if (check_holds_up(local, action_reload)) {
        return;
    }
    job = local_conf_job(local, after_reload_files, &err);
    step_files(local, job, &err);
}
