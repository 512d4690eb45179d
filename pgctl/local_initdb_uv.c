/*
 * The first data directory of a cluster, and the roles in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

#define SQL_BYTES ((size_t)64 * 1024)

/* --- 3. The record, the files. --- */

static enum status work_finish(struct job *job, struct err *err)
{
    enum status status = files_sync(&job->files, err);

    if (status == STATUS_OK && job->text != NULL) {
        status = files_append_hba(&job->files, job->text, err);
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
    action_end_with_look(local);
}

/* Lines of bootstrap.pg_hba for the file that initdb made; NULL if there are none. */
static char *hba_lines(const struct local *local)
{
    const struct node *list = local->conf->bootstrap.pg_hba;
    char *lines;
    struct text text;

    if (list == NULL) {
        return NULL;
    }
    lines = malloc(SQL_BYTES);
    ASSERT(lines != NULL);
    text_init(&text, lines, SQL_BYTES);
    for (const struct node *at = list->first; at != NULL; at = at->next) {
        text_addf(&text, "%s\n", node_text(at) != NULL ? node_text(at) : "");
    }
    return lines;
}

static void finish_initdb(struct local *local, struct job *done)
{
    struct err err;
    struct job *job;

    if (done->status != STATUS_OK) {
        local_fail(local, "%s", done->err.text);
        return;
    }
    local->data_version = done->look.version;
    local->following = false;
    job = local_conf_job(local, after_finish, &err);
    job->work = work_finish;
    job->text = hba_lines(local);
    job->settings.keep_signal = false;
    job->settings.standby = false;
    job->record = (struct pg_record){.data_dir_id = clock_random_u64()};
    step_files(local, job, &err);
}

/* --- 2. initdb. --- */

static void password_path(const struct files *files, char path[FILES_PATH_SIZE])
{
    (void)snprintf(path, FILES_PATH_SIZE, "%.1000s.initdb", files->passfile_path);
}

static enum status work_after_initdb(struct job *job, struct err *err)
{
    char path[FILES_PATH_SIZE];

    password_path(&job->files, path);
    files_look_at(&job->files, &job->look);
    return files_remove_private(&job->files, path, err);
}

static void after_initdb(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE - 40];

    if (!run_succeeded(result)) {
        run_explain(result, why, sizeof why);
        local_fail(local, "making the data directory failed: %s", why);
        return;
    }
    job_submit_action(job_new(local, work_after_initdb, finish_initdb));
}

static bool is_forbidden(const char *option)
{
    static const char *const forbidden[] = {"pgdata",   "nosync",    "no-sync", "pwfile",
                                            "username", "sync-only", "version", "help"};

    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
        if (text_equal(option, forbidden[i])) {
            log_warning("option \"%s\" of initdb is not yours to set, left out", option);
            return true;
        }
    }
    return false;
}

static bool is_own_key(const char *key)
{
    static const char *const own[] = {
        "command", "no_params", "keep_existing_recovery_conf", "recovery_conf"};

    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        if (text_equal(key, own[i])) {
            return true;
        }
    }
    return false;
}

/* bootstrap.method: a command of the user's makes the data directory. */
static void run_custom(struct local *local)
{
    const struct node *custom = local->conf->bootstrap.custom;
    const struct node *command = tree_child(custom, "command");
    const struct node *no_params = tree_child(custom, "no_params");
    bool without = false;
    struct run_spec spec;

    if (command == NULL || node_text(command) == NULL) {
        local_fail(local, "bootstrap method \"%s\" has no command", local->conf->bootstrap.method);
        return;
    }
    if (no_params != NULL && !node_bool(no_params, &without)) {
        without = false;
    }
    local_script_spec(local, &spec);
    run_spec_shell(&spec, node_text(command));
    if (!without) {
        run_spec_arg(&spec, "--scope=%s", local->conf->scope);
        run_spec_arg(&spec, "--datadir=%s", local->files.data_dir);
    }
    action_add_options(custom, is_own_key, &spec);
    step_run(local, &spec, after_initdb);
}

static void run_initdb(struct local *local, struct job *job)
{
    char path[FILES_PATH_SIZE];
    struct run_spec spec;

    if (job->status != STATUS_OK) {
        local_fail(local, "%s", job->err.text);
        return;
    }
    local->facts.data = PG_DATA_PARTIAL;
    if (local->conf->bootstrap.custom != NULL) {
        run_custom(local);
        return;
    }
    local_spec(local, &spec, 0);
    local_program(local, local->pg.bin_name.initdb, "initdb", &spec);
    run_spec_arg(&spec, "--pgdata=%s", local->files.data_dir);
    run_spec_arg(&spec, "--username=%s", local_superuser(local));
    action_leave_sync(&spec);
    if (local->pg.superuser.password != NULL) {
        password_path(&local->files, path);
        run_spec_arg(&spec, "--pwfile=%s", path);
    }
    action_add_options(local->conf->bootstrap.initdb, is_forbidden, &spec);
    step_run(local, &spec, after_initdb);
}

/* --- 1. An empty directory. --- */

static enum status work_prepare(struct job *job, struct err *err)
{
    enum status status = files_make_dir(&job->files, err);
    char path[FILES_PATH_SIZE];

    if (status == STATUS_OK) {
        status = files_set_partial(&job->files, err);
    }
    if (status == STATUS_OK) {
        status = files_wipe(&job->files, err); /* Of a broken-off initdb. */
    }
    if (status == STATUS_OK && job->text != NULL) {
        password_path(&job->files, path);
        status = files_write_private(&job->files, path, job->text, err);
    }
    return status;
}

void action_initdb(struct local *local)
{
    const char *password = local->pg.superuser.password;
    struct job *job;

    if (!watch_is_gone(local) ||
        (local->facts.data != PG_DATA_EMPTY && local->facts.data != PG_DATA_PARTIAL)) {
        local_finish(
            local, PG_RESULT_REFUSED, (struct pg_position){0},
            "the data directory is %s: it is left alone", pg_data_name(local->facts.data));
        return;
    }
    job = job_new(local, work_prepare, run_initdb);
    if (password != NULL) {
        job->text = strdup(password);
        ASSERT(job->text != NULL);
    }
    job_submit_action(job);
}
