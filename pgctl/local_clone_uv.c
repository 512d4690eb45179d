/*
 * A data directory made from another server's: emptied, then filled by the methods of the
 * settings, one after the other until one succeeds.
 *
 * From the moment it is emptied until its record is written it is marked as partial, so that a
 * daemon that comes back does not take half a copy for a database.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

#define BASEBACKUP_TRIES 2
#define RETRY_MS         1000

static void next_method(struct local *local);

/* --- 4. The record, the files, the mark taken away. --- */

static enum status work_look(struct job *job, struct err *err)
{
    (void)err;
    files_look_at(&job->files, &job->look);
    return STATUS_OK;
}

static void after_last_look(struct local *local, struct job *job)
{
    watch_look_done(local, &job->look);
    if (job->look.data != PG_DATA_VALID) {
        local_fail(local, "the new data directory is %s", pg_data_name(job->look.data));
        return;
    }
    local->control_mtime_ns = job->look.control_mtime_ns;
    local->measured = local_ok;
    measure_start(local);
}

/* The action's last step: what the directory is now goes into the facts before the result. */
void action_end_with_look(struct local *local)
{
    local->control_known = false; /* The control file is another one. */
    job_submit_action(job_new(local, work_look, after_last_look));
}

static enum status work_finish(struct job *job, struct err *err)
{
    enum status status = files_sync(&job->files, err);

    if (status == STATUS_OK) {
        status = files_restore_backups(&job->files, err);
    }
    /* The copy of the source's record says what its WAL contains; the directory is a new one. */
    files_look_at(&job->files, &job->look);
    job->record = job->look.record;
    job->record.data_dir_id = clock_random_u64();
    job->record.partial = false;
    if (status == STATUS_OK) {
        status = files_clean_copied(&job->files, err);
    }
    if (status == STATUS_OK) {
        status = files_write_settings(&job->files, &job->settings, err);
    }
    if (status == STATUS_OK) {
        status = files_write_record(&job->files, &job->record, err);
    }
    return status == STATUS_OK ? files_clear_partial(&job->files, err) : status;
}

static void after_finish(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    log_info(
        "data directory has a new identity, %016" PRIx64 ", with the WAL of epoch %" PRIu64,
        job->record.data_dir_id, job->record.marker_epoch);
    action_end_with_look(local);
}

static void finish_clone(struct local *local)
{
    struct err err;
    struct job *job;

    local->following = false;
    local->cut = true;
    job = local_conf_job(local, after_finish, &err);
    job->work = work_finish;
    job->settings.keep_signal = false;
    job->settings.standby = true;
    step_files(local, job, &err);
}

/* --- 3. The methods. --- */

/* NULL: only basebackup. */
static const struct node *methods(const struct local *local)
{
    if (local->action.basebackup_only) {
        return NULL;
    }
    return local->pg.create_replica_methods != NULL ? local->pg.create_replica_methods
                                                    : local->pg.create_replica_method;
}

/* The method whose turn it is; NULL after the last one. */
static const char *method_at(const struct local *local, uint32_t attempt)
{
    const struct node *list = methods(local);
    uint32_t at = 0;

    if (list == NULL) {
        return attempt < BASEBACKUP_TRIES ? "basebackup" : NULL;
    }
    for (const struct node *node = list->first; node != NULL; node = node->next) {
        const char *name = node_text(node);
        const uint32_t tries =
            name != NULL && text_equal(name, "basebackup") ? BASEBACKUP_TRIES : 1;

        if (attempt < at + tries) {
            return name;
        }
        at += tries;
    }
    return NULL;
}

static void wipe_again(struct local *local);

static void after_method(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE - 40];

    if (run_succeeded(result)) {
        finish_clone(local);
        return;
    }
    run_explain(result, why, sizeof why);
    local->attempt++;
    if (method_at(local, local->attempt) == NULL) {
        local_fail(local, "clone failed: %s", why);
        return;
    }
    log_warning("clone failed, trying again: %s", why);
    step_poll(local, RETRY_MS, wipe_again);
}

static bool is_forbidden(const char *option)
{
    static const char *const forbidden[] = {
        "pgdata", "format",   "wal-method", "xlog-method", "gzip", "version",  "dbname",  "host",
        "port",   "username", "password",   "no-clean",    "help", "progress", "no-sync",
    };

    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
        if (text_equal(option, forbidden[i])) {
            log_warning("option \"%s\" of basebackup is not yours to set, left out", option);
            return true;
        }
    }
    return false;
}

static void add_option(
    const struct node *option, bool (*skip)(const char *option), struct run_spec *spec)
{
    const char *value = node_text(option);

    if (option->key == NULL) {
        if (value != NULL && !skip(value)) {
            run_spec_arg(spec, "--%s", value); /* A flag in a list. */
        }
    } else if (!skip(option->key)) {
        if (value == NULL || value[0] == '\0') {
            run_spec_arg(spec, "--%s", option->key);
        } else {
            run_spec_arg(spec, "--%s=%s", option->key, value);
        }
    }
}

void action_add_options(
    const struct node *options, bool (*skip)(const char *option), struct run_spec *spec)
{
    for (const struct node *at = options == NULL ? NULL : options->first; at != NULL;
         at = at->next) {
        if (at->kind != NODE_MAP) {
            add_option(at, skip, spec);
            continue;
        }
        if (at->key != NULL) {
            continue; /* No option has a map for its value. */
        }
        for (const struct node *inner = at->first; inner != NULL; inner = inner->next) {
            add_option(inner, skip, spec);
        }
    }
}

void action_leave_sync(struct run_spec *spec)
{
    if (files_syncfs_reports()) {
        run_spec_arg(spec, "--no-sync");
    }
}

static void run_basebackup(struct local *local)
{
    const struct conf_user *user = &local->pg.replication;
    const struct pg_upstream *upstream = &local->action.upstream;
    struct run_spec spec;
    char conninfo[1024];
    struct text text;

    text_init(&text, conninfo, sizeof conninfo);
    local_conninfo(local, upstream->host, upstream->port, user, NULL, &text);
    text_add(&text, " connect_timeout=10");
    local_spec(local, &spec, 0);
    local_spec_password(&spec, user);
    local_program(local, local->pg.bin_name.pg_basebackup, "pg_basebackup", &spec);
    run_spec_arg(&spec, "--pgdata=%s", local->files.data_dir);
    run_spec_arg(&spec, "--dbname=%s", conninfo);
    run_spec_arg(&spec, "--wal-method=stream");
    run_spec_arg(&spec, "--checkpoint=fast");
    run_spec_arg(&spec, "--progress");
    run_spec_arg(&spec, "--no-password");
    action_leave_sync(&spec);
    action_add_options(local->pg.basebackup, is_forbidden, &spec);
    step_run_line(local, &spec, after_method);
}

static bool is_own_key(const char *key)
{
    return text_equal(key, "command") || text_equal(key, "no_params");
}

/* A command of the settings; what it needs is said in its arguments and environment. */
static void run_custom(struct local *local, const char *name)
{
    const struct node *method = tree_child(local->pg.root, name);
    const struct node *node = method == NULL ? NULL : tree_child(method, "command");
    const char *command = node == NULL ? NULL : node_text(node);
    bool no_params = false;
    struct run_spec spec;
    char conninfo[1024];
    struct text text;

    if (command == NULL) {
        local_fail(local, "replica method \"%s\" has no command", name);
        return;
    }
    node = tree_child(method, "no_params");
    if (node != NULL && !node_bool(node, &no_params)) {
        no_params = false;
    }
    text_init(&text, conninfo, sizeof conninfo);
    local_conninfo(
        local, local->action.upstream.host, local->action.upstream.port, &local->pg.replication,
        NULL, &text);
    local_script_spec(local, &spec);
    run_spec_shell(&spec, command);
    action_add_options(method, is_own_key, &spec);
    if (!no_params) {
        run_spec_arg(&spec, "--scope=%s", local->conf->scope);
        run_spec_arg(&spec, "--role=replica");
        run_spec_arg(&spec, "--datadir=%s", local->files.data_dir);
        run_spec_arg(&spec, "--connstring=%s", conninfo);
    }
    step_run_line(local, &spec, after_method);
}

static void next_method(struct local *local)
{
    const char *method = method_at(local, local->attempt);

    if (method == NULL) {
        local_fail(local, "there is no method to make a replica");
    } else if (text_equal(method, "basebackup")) {
        run_basebackup(local);
    } else {
        run_custom(local, method);
    }
}

/* --- 2. An empty directory. --- */

static enum status work_prepare(struct job *job, struct err *err)
{
    struct files_settings *settings = &job->settings;
    enum status status = files_make_dir(&job->files, err);

    if (status == STATUS_OK) {
        status = files_set_partial(&job->files, err);
    }
    if (status == STATUS_OK) {
        status = files_wipe(&job->files, err);
    }
    /* Only the password file, which a method of the user's may need. */
    return status == STATUS_OK ? files_write_passfile(&job->files, settings->passfile, err)
                               : status;
}

static void after_prepare(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local->facts.data = PG_DATA_PARTIAL;
    local->facts.record = (struct pg_record){.partial = true};
    local_flush(local);
    next_method(local);
}

static void wipe_again(struct local *local)
{
    struct err err;
    struct job *job = local_conf_job(local, after_prepare, &err);

    job->work = work_prepare;
    step_files(local, job, &err);
}

/* --- 1. Whether it is the right source. --- */

static void on_identity(struct local *local, const struct sql_result *result)
{
    char expected[24];

    if (result->failure != SQL_FAILURE_NONE || result->row_count != 1) {
        local_fail(local, "could not ask the source who it is: %s", result->text);
        return;
    }
    (void)snprintf(expected, sizeof expected, "%" PRIu64, local->action.system_identifier);
    if (!text_equal(sql_cell(result, 0, 0), expected)) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0},
            "the source has the system identifier of another cluster");
        return;
    }
    wipe_again(local);
}

/* A command of the replication protocol: its first column is the system identifier. */
static void ask_identity(struct local *local)
{
    step_sql(local, local->work, "IDENTIFY_SYSTEM", LOCAL_QUERY_MS, on_identity);
}

void action_clone(struct local *local)
{
    const struct pg_upstream *upstream = &local->action.upstream;

    if (!watch_is_gone(local)) {
        local_fail(local, "PostgreSQL is %s, cannot clone", pg_run_name(local->facts.run));
        return;
    }
    if (local->facts.data == PG_DATA_BROKEN || local->facts.data == PG_DATA_UNKNOWN) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0},
            "the data directory is %s: it is left alone", pg_data_name(local->facts.data));
        return;
    }
    /* Before anything is emptied: the source is there, and of this cluster. */
    step_connect(
        local, upstream->host, upstream->port, &local->pg.replication, "true",
        local->action.system_identifier != 0 ? ask_identity : wipe_again);
}
