/*
 * Which parameters of the settings PostgreSQL would refuse: names it does not know, values it
 * does not take. One of them in its files, and its next start fails.
 *
 * Asked is the program itself, `postgres -C` with a file of nothing but these parameters, after
 * each change of the settings, beside actions. Lists of names, such as --describe-config,
 * lack the developer options. It complains of unknown names first and of values only when all
 * names are known, so it is asked again until it is content; and once more if the other role has
 * parameters of its own. If it cannot be asked nothing is left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/settings.h"

#define TEXT_BYTES ((size_t)256 * 1024)
#define ROUNDS_MAX 8

static void begin_round(struct local *local);
static void begin_first_role(struct local *local);

bool check_is_known(const void *refused, const char *name)
{
    const struct check_refused *list = refused;

    for (uint32_t i = 0; i < list->count; i++) {
        if (text_equal_nocase(list->names[i], name)) {
            return false;
        }
    }
    return true;
}

/* --- 4. The end. --- */

static void end(struct local *local)
{
    struct check *check = &local->check;
    local_step *checked = local->checked;

    if (check->again && !local->closing) {
        check->again = false;
        begin_first_role(local);
        return;
    }
    check->running = false;
    check->refused = check->found;
    if (checked != NULL && local->busy) {
        local->checked = NULL;
        checked(local);
    }
}

static void after_removal(struct local *local, struct job *job)
{
    if (job->status != STATUS_OK) {
        log_warning("%s", job->err.text);
    }
    end(local);
}

static enum status work_remove(struct job *job, struct err *err)
{
    return files_remove_private(&job->files, job->settings.passfile, err);
}

static char *file_path(const struct local *local)
{
    char path[FILES_PATH_SIZE + 8];
    char *copy;

    (void)snprintf(path, sizeof path, "%s.check", local->files.passfile_path);
    copy = strdup(path);
    ASSERT(copy != NULL);
    return copy;
}

static void finish(struct local *local)
{
    struct job *job = job_new(local, work_remove, after_removal);

    job->settings.passfile = file_path(local);
    job_submit(job);
}

/* --- 3. What it says. --- */

/* LOG:  unrecognized configuration parameter "work_men" in file ... */
static bool note_line(struct check *check, const char *line, size_t length)
{
    static const char word[] = "parameter \"";
    char text[256];
    const char *message;
    const char *file;
    char *name;
    size_t name_length;

    (void)snprintf(text, sizeof text, "%.*s", (int)length, line);
    name = strstr(text, word);
    if (!text_starts_with(text, "LOG:") || name == NULL ||
        check->found.count == CHECK_REFUSED_MAX) {
        return false;
    }
    name += strlen(word);
    name_length = strcspn(name, "\"");
    if (name_length >= PG_NAME_SIZE) {
        return false;
    }
    message = text + strlen("LOG:") + strspn(text + strlen("LOG:"), " ");
    file = strstr(message, " in file \""); /* That one is gone in a moment. */
    log_warning(
        "postgresql.parameters: PostgreSQL says: %.*s; left out",
        (int)(file == NULL ? strlen(message) : (size_t)(file - message)), message);
    (void)snprintf(
        check->found.names[check->found.count++], PG_NAME_SIZE, "%.*s", (int)name_length, name);
    return true;
}

static bool note_refused(struct check *check, const char *errors)
{
    bool any = false;

    for (const char *line = errors; *line != '\0';) {
        const size_t length = strcspn(line, "\n");

        any = note_line(check, line, length) || any;
        line += length + (line[length] == '\n');
    }
    return any;
}

/* What only the other role has would be met when this node takes it on: at a promotion. */
static bool has_second_role(const struct local *local)
{
    return !local->check.is_second &&
           (local->pg.parameters_primary != NULL || local->pg.parameters_replica != NULL);
}

static void begin_second_role(struct local *local)
{
    struct check *check = &local->check;

    check->is_second = true;
    check->role =
        check->role == PGPARAMS_ROLE_PRIMARY ? PGPARAMS_ROLE_REPLICA : PGPARAMS_ROLE_PRIMARY;
    check->round = 0;
    begin_round(local);
}

static void on_run_done(void *owner, const struct run_result *result)
{
    struct local *local = owner;
    struct check *check = &local->check;
    char why[PG_TEXT_SIZE];

    check->run = NULL;
    if (local->closing || (run_succeeded(result) && !has_second_role(local))) {
        finish(local);
    } else if (run_succeeded(result)) {
        begin_second_role(local);
    } else if (note_refused(check, result->errors) && ++check->round < ROUNDS_MAX) {
        begin_round(local);
    } else {
        run_explain(result, why, sizeof why);
        log_warning("could not check the parameters of PostgreSQL: %s", why);
        finish(local);
    }
    local_unhold(local);
}

/* --- 2. The program. --- */

static void run_postgres(struct local *local, struct job *job)
{
    static const struct run_events events = {.done = on_run_done};
    struct run_spec spec;

    if (job->status == STATUS_NOT_FOUND) {
        local->check.is_due = true;
        end(local);
        return;
    }
    if (job->status != STATUS_OK || local->closing) {
        if (job->status != STATUS_OK) {
            log_warning("could not check the parameters of PostgreSQL: %s", job->err.text);
        }
        finish(local);
        return;
    }
    local_spec(local, &spec, LOCAL_PROGRAM_MS);
    local_program(local, local->pg.bin_name.postgres, "postgres", &spec);
    run_spec_arg(&spec, "-C");
    run_spec_arg(&spec, "data_directory");
    run_spec_arg(&spec, "-D");
    run_spec_arg(&spec, "/"); /* Any directory: there need be no data directory yet. */
    run_spec_arg(&spec, "--config_file=%s", job->settings.passfile);
    /* Whatever the file says, we are to hear of it. */
    run_spec_arg(&spec, "--log_destination=stderr");
    run_spec_arg(&spec, "--log_line_prefix=");
    run_spec_arg(&spec, "--log_min_messages=warning");
    run_spec_arg(&spec, "--log_error_verbosity=default");
    run_spec_arg(&spec, "--lc_messages=C");
    local_hold(local);
    local->check.run = run_start(local->loop, &spec, &events, local);
}

/* --- 1. The file. --- */

/* Before there is a data directory there is no place for the file, and no need. */
static enum status work_write(struct job *job, struct err *err)
{
    files_look_at(&job->files, &job->look);
    if (job->look.data == PG_DATA_EMPTY) {
        return ERR(err, NOT_FOUND, "there is no data directory");
    }
    return files_write_private(&job->files, job->settings.passfile, job->text, err);
}

static char *print_params(struct local *local)
{
    struct pgparams *pgparams = calloc(1, sizeof *pgparams);
    const size_t used = local->tree.used;
    char *data = malloc(TEXT_BYTES);
    struct text text;

    ASSERT(pgparams != NULL);
    ASSERT(data != NULL);
    text_init(&text, data, TEXT_BYTES);
    local_conf_params(local, local->check.role, &local->check.found, pgparams);
    for (uint32_t i = 0; i < pgparams->count; i++) {
        settings_add(&text, pgparams->items[i].name, pgparams->items[i].value);
    }
    for (uint32_t i = 0; i < pgparams->recovery_count; i++) {
        if (check_is_known(&local->check.found, pgparams->recovery[i].name)) {
            settings_add(&text, pgparams->recovery[i].name, pgparams->recovery[i].value);
        }
    }
    free(pgparams);
    local->tree.used = used; /* What was computed is printed. */
    return data;
}

static void begin_round(struct local *local)
{
    struct job *job = job_new(local, work_write, run_postgres);

    job->settings.passfile = file_path(local);
    job->text = print_params(local);
    job_submit(job);
}

static void begin_first_role(struct local *local)
{
    struct check *check = &local->check;

    check->is_due = false;
    check->role = local_role(local);
    check->is_second = false;
    check->found.count = check->round = 0;
    begin_round(local);
}

void check_start(struct local *local)
{
    struct check *check = &local->check;

    if (check->running) {
        check->again = true;
        return;
    }
    check->running = true;
    begin_first_role(local);
}

bool check_holds_up(struct local *local, local_step *next)
{
    if (local->check.is_due) {
        check_start(local);
    }
    if (local->check.running) {
        local->checked = next;
    }
    return local->check.running;
}
