/*
 * The kinds of steps an action is made of. Each remembers the action's generation: what comes
 * back to another generation is dropped, after it was counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"

static void continue_cancelled(struct local *local)
{
    local_flush(local); /* Sees whether a waiting STOP can begin. */
}

/* --- Work on files. --- */

struct job *job_new(struct local *local, job_work *work, job_next *next)
{
    struct job *job = calloc(1, sizeof *job);

    ASSERT(job != NULL);
    job->request.data = job;
    job->local = local;
    job->work = work;
    job->next = next;
    job->files = local->files;
    job->settings.keep_signal = true;
    return job;
}

static void job_free(struct job *job)
{
    free(job->settings.conf);
    free(job->settings.hba);
    free(job->settings.ident);
    free(job->settings.passfile);
    free(job->text);
    free(job);
}

static void do_work(uv_work_t *request)
{
    struct job *job = request->data;

    job->status = job->work(job, &job->err);
}

static void after_work(uv_work_t *request, int uv_status);

static void start_first(struct local *local)
{
    struct job *job = local->job_first;
    int rc;

    if (job != NULL) {
        rc = uv_queue_work(local->loop, &job->request, do_work, after_work);
        ASSERT(rc == 0); /* It refuses only a missing work function. */
    }
}

static void after_work(uv_work_t *request, int uv_status)
{
    struct job *job = request->data;
    struct local *local = job->local;

    ASSERT(uv_status == 0); /* Jobs are never cancelled. */
    ASSERT(local->job_first == job);
    local->job_first = job->behind;
    start_first(local);
    if (job->writes_record) {
        record_written(local, job);
    }
    if (job->generation != 0) {
        ASSERT(local->jobs_in_flight > 0);
        local->jobs_in_flight--;
    }
    if (job->generation == 0 || job->generation == local->generation) {
        job->next(local, job);
    } else {
        continue_cancelled(local);
    }
    job_free(job);
    local_unhold(local);
}

void job_submit(struct job *job)
{
    struct local *local = job->local;

    local_hold(local);
    if (local->job_first == NULL) {
        local->job_first = local->job_last = job;
        start_first(local);
        return;
    }
    local->job_last->behind = job;
    local->job_last = job;
}

void job_submit_action(struct job *job)
{
    ASSERT(job->local->busy);
    job->generation = job->local->generation;
    job->local->jobs_in_flight++;
    job_submit(job);
}

enum status job_keep_error(struct job *job, struct err *err)
{
    (void)err;
    return job->err.status;
}

void step_files(struct local *local, struct job *job, const struct err *err)
{
    if (job->next != NULL) {
        job_submit_action(job);
        return;
    }
    job_free(job);
    local_fail(local, "%s", err->text);
}

/* --- Child programs. --- */

static void on_run_done(void *owner, const struct run_result *result)
{
    struct local *local = owner;

    local->run = NULL;
    if (local->run_generation == local->generation) {
        local->run_next(local, result);
    } else {
        continue_cancelled(local);
    }
    local_unhold(local);
}

/* What a program says about its progress is shown as it is. */
static void on_run_line(void *owner, const char *line)
{
    struct local *local = owner;

    if (local->run_generation != local->generation) {
        return;
    }
    line += strspn(line, " ");
    text_copy_cut(local->facts.progress, sizeof local->facts.progress, line);
    local->facts.progress_ms = clock_boot_ms();
    local_flush(local);
}

static void start_run(
    struct local *local, const struct run_spec *spec, const struct run_events *events,
    run_next *next)
{
    ASSERT(local->busy);
    ASSERT(local->run == NULL);
    local->run_generation = local->generation;
    local->run_next = next;
    local_hold(local);
    local->run = run_start(local->loop, spec, events, local);
}

void step_run(struct local *local, const struct run_spec *spec, run_next *next)
{
    static const struct run_events events = {.done = on_run_done};

    start_run(local, spec, &events, next);
}

void step_run_line(struct local *local, const struct run_spec *spec, run_next *next)
{
    static const struct run_events events = {.line = on_run_line, .done = on_run_done};

    start_run(local, spec, &events, next);
}

/* --- Queries. --- */

static void on_result(void *owner, const struct sql_result *result)
{
    struct ticket *ticket = owner;
    struct local *local = ticket->local;
    const bool wanted = ticket->generation == local->generation;

    ticket->generation = 0;
    ticket->sql = NULL;
    if (wanted) {
        ticket->next(local, result);
    }
}

static struct ticket *take_ticket(struct local *local)
{
    for (size_t i = 0; i < ARRAY_SIZE(local->tickets); i++) {
        if (local->tickets[i].generation == 0) {
            return &local->tickets[i];
        }
    }
    return NULL;
}

void step_sql(
    struct local *local, struct sql *sql, const char *text, uint32_t limit_ms, sql_next *next)
{
    struct ticket *ticket = take_ticket(local);
    struct err err;

    if (sql == NULL || ticket == NULL) {
        local_fail(local, "there is no connection to PostgreSQL");
        return;
    }
    *ticket =
        (struct ticket){.local = local, .sql = sql, .generation = local->generation, .next = next};
    if (sql_query(sql, text, limit_ms, on_result, ticket, &err) != STATUS_OK) {
        *ticket = (struct ticket){0};
        local_fail(local, "%s", err.text);
    }
}

void tickets_drop(struct local *local, const struct sql *sql)
{
    for (size_t i = 0; i < ARRAY_SIZE(local->tickets); i++) {
        if (local->tickets[i].sql == sql) {
            local->tickets[i] = (struct ticket){0};
        }
    }
}

/* --- The action's own connection. --- */

static void on_work_connected(void *owner)
{
    struct local *local = owner;
    local_step *next = local->work_next;

    local->work_up = true;
    local->work_next = NULL;
    if (next != NULL) {
        next(local);
    }
}

static void on_work_failed(void *owner, enum sql_failure failure, const struct err *err)
{
    struct local *local = owner;
    const bool waits = local->work_next != NULL;

    (void)failure;
    local->work_up = false;
    local->work_next = NULL;
    if (waits) {
        local_fail(local, "could not connect: %s", err->text);
    }
}

static void on_connection_closed(void *owner)
{
    local_unhold(owner);
}

/* Its only event: the struct local may have another connection by now. */
static const struct sql_events work_events = {
    .connected = on_work_connected,
    .failed = on_work_failed,
    .closed = on_connection_closed,
};

static size_t add_user_settings(
    const struct conf_user *user, struct sql_setting settings[], size_t count)
{
    const struct sql_setting known[] = {
        {"password",        user->password       },
        {"sslmode",         user->sslmode        },
        {"sslkey",          user->sslkey         },
        {"sslpassword",     user->sslpassword    },
        {"sslcert",         user->sslcert        },
        {"sslrootcert",     user->sslrootcert    },
        {"sslcrl",          user->sslcrl         },
        {"sslcrldir",       user->sslcrldir      },
        {"gssencmode",      user->gssencmode     },
        {"channel_binding", user->channel_binding},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (known[i].value != NULL && known[i].value[0] != '\0') {
            settings[count++] = known[i];
        }
    }
    return count;
}

size_t step_settings(
    const struct local *local, const char *host, const char *port, const struct conf_user *user,
    struct sql_setting settings[SQL_SETTINGS_MAX])
{
    size_t count = 0;

    settings[count++] = (struct sql_setting){"host", host};
    settings[count++] = (struct sql_setting){"port", port};
    settings[count++] = (struct sql_setting){
        "user", user->username != NULL ? user->username : local_superuser(local)};
    settings[count++] = (struct sql_setting){
        "dbname", local->pg.database != NULL ? local->pg.database : "postgres"};
    settings[count++] = (struct sql_setting){"application_name", "pgbaton"};
    return add_user_settings(user, settings, count);
}

void step_connect(
    struct local *local, const char *host, uint16_t port, const struct conf_user *user,
    const char *replication, local_step *next)
{
    struct sql_setting settings[SQL_SETTINGS_MAX];
    char own_host[CONF_HOST_MAX];
    char port_text[8];
    struct sql_settings open = {.settings = settings, .connect_timeout_ms = LOCAL_QUERY_MS};
    struct err err;

    ASSERT(local->work == NULL);
    local_host(local, own_host, sizeof own_host);
    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    open.setting_count =
        step_settings(local, host != NULL ? host : own_host, port_text, user, settings);
    if (replication != NULL) {
        settings[open.setting_count++] = (struct sql_setting){"replication", replication};
    }
    local->work_next = next;
    local->work_up = false;
    if (sql_open(&local->work, local->loop, &open, &work_events, local, &err) != STATUS_OK) {
        local->work = NULL;
        local->work_next = NULL;
        local_fail(local, "%s", err.text);
        return;
    }
    local_hold(local);
}

/* --- The guard. --- */

void step_guard(struct local *local, uint32_t request, guard_next *next)
{
    if (request == 0) {
        local_fail(local, "the guard does not answer");
        return;
    }
    local->guard_request = request;
    local->guard_generation = local->generation;
    local->guard_next = next;
}

/* --- Waiting for a condition. --- */

static void on_poll(uv_timer_t *timer)
{
    struct local *local = timer->data;

    local->poll_check(local);
}

void step_poll(struct local *local, uint64_t every_ms, local_step *check)
{
    const int rc = uv_timer_start(&local->poll, on_poll, every_ms, 0);

    ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
    local->poll_check = check;
}

void step_poll_now(struct local *local)
{
    if (uv_is_active((const uv_handle_t *)&local->poll)) {
        step_poll(local, 0, local->poll_check);
    }
}

/* --- The end. --- */

bool step_is_idle(const struct local *local)
{
    return local->run == NULL && local->jobs_in_flight == 0;
}

void step_cancel(struct local *local)
{
    local->generation++;
    local->measured = NULL;
    local->checked = NULL;
    local->checkpointed = NULL;
    local->guard_request = 0;
    local->work_next = NULL;
    (void)uv_timer_stop(&local->poll);
    if (local->run != NULL) {
        run_kill(local->run);
    }
    if (local->work != NULL) {
        tickets_drop(local, local->work);
        sql_close(local->work);
        local->work = NULL;
        local->work_up = false;
    }
}
