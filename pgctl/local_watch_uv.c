/*
 * Facts: what the guard says, the status query. A look at the data directory: local_look_uv.c.
 *
 * The tick is slow in peace, quick while a change is under way. Events of the guard come by
 * themselves; a postmaster that dies is known at once.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/proc_sys.h"

#define STATEMENT_TIMEOUT_MS 2000
#define CONNECT_TIMEOUT_MS   3000
#define SQL_STALE_MS         3000
#define WARN_AGAIN_MS        60000

bool watch_is_up(const struct local *local)
{
    return local->facts.run == PG_RUN_UP && local->watch_up;
}

bool watch_is_gone(const struct local *local)
{
    return local->facts.guard_ok && local->adopt_tried && local->status.server_pid == 0 &&
           local->status.tree_count == 0;
}

/* --- Whether it answers. --- */

static void note_silence(struct local *local)
{
    if (local->facts.hung_since_ms == 0) {
        local->facts.hung_since_ms = clock_boot_ms();
        log_warning("PostgreSQL lives, and does not answer");
    }
}

/* Sessions that are open do without the postmaster; to all others its silence is the end. */
static void note_answer(struct local *local)
{
    if (proc_is_stopped((pid_t)local->status.server_pid)) {
        note_silence(local);
    } else if (local->facts.hung_since_ms != 0) {
        local->facts.hung_since_ms = 0;
        log_info("PostgreSQL answers again");
    }
}

/* The same words once a minute: what is wrong with an answer is wrong with the next, too. */
static void note_trouble(struct local *local, const char *what, const char *why)
{
    char trouble[sizeof local->trouble];

    (void)snprintf(trouble, sizeof trouble, "%s: %s", what, why);
    if (text_equal(trouble, local->trouble) &&
        time_since(clock_boot_ms(), local->trouble_ms) < WARN_AGAIN_MS) {
        return;
    }
    text_copy_cut(local->trouble, sizeof local->trouble, trouble);
    local->trouble_ms = clock_boot_ms();
    log_warning("%s", trouble);
}

static void note_end_of_trouble(struct local *local)
{
    if (local->trouble[0] != '\0') {
        local->trouble[0] = '\0';
        log_info("the state of PostgreSQL is known again");
    }
}

/* --- The connection. --- */

static void on_connected(void *owner)
{
    struct local *local = owner;

    local->watch_up = true;
    local->watch_refused = false;
    local->was_up = true;
    local->memory = (struct facts_pq){0};
    watch_guard_status(local, &local->status);
    watch_soon(local);
}

static void on_failed(void *owner, enum sql_failure failure, const struct err *err)
{
    struct local *local = owner;

    local->watch_up = false;
    local->watch_failed = true;
    local->query_running = false;
    local->facts.sql_ok = false;
    if (failure == SQL_FAILURE_TOO_MANY) {
        local->was_up = true; /* It lives. */
    }
    if (failure == SQL_FAILURE_TOO_MANY || failure == SQL_FAILURE_AUTH) {
        note_answer(local);
    } else if (failure == SQL_FAILURE_TIMEOUT && local->was_up) {
        note_silence(local);
    }
    local->watch_refused = failure == SQL_FAILURE_TOO_MANY || failure == SQL_FAILURE_AUTH ||
                           failure == SQL_FAILURE_OTHER;
    if (local->watch_refused) {
        note_trouble(local, "could not connect to PostgreSQL", err->text);
    }
    watch_guard_status(local, &local->status);
}

static void on_connection_closed(void *owner)
{
    local_unhold(owner);
}

static const struct sql_events watch_events = {
    .connected = on_connected,
    .failed = on_failed,
    .closed = on_connection_closed,
};

static void open_connection(struct local *local)
{
    struct sql_setting settings[SQL_SETTINGS_MAX];
    char host[CONF_HOST_MAX];
    char port[8];
    struct sql_settings open = {
        .settings = settings,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
    };
    struct err err;

    local_host(local, host, sizeof host);
    (void)snprintf(port, sizeof port, "%u", (unsigned)local->pg.listen.port);
    open.setting_count = step_settings(local, host, port, &local->pg.superuser, settings);
    if (sql_open(&local->watch, local->loop, &open, &watch_events, local, &err) != STATUS_OK) {
        note_trouble(local, "could not connect to PostgreSQL", err.text);
        local->watch = NULL;
        local->watch_refused = true;
        return;
    }
    local_hold(local);
}

static void close_connection(struct local *local)
{
    if (local->watch != NULL) {
        tickets_drop(local, local->watch);
        sql_close(local->watch);
        local->watch = NULL;
    }
    local->watch_up = false;
    local->watch_failed = false;
    local->watch_refused = false;
    local->query_running = false;
    local->slots_running = false;
    local->facts.sql_ok = false;
}

/* --- The status query. --- */

static void on_status_row(void *owner, const struct sql_result *result)
{
    struct local *local = owner;
    struct pg_facts *facts = &local->facts;
    struct err err = {0};

    local->query_running = false;
    if (result->failure != SQL_FAILURE_NONE ||
        facts_pq_read(&local->memory, result, facts, &err) != STATUS_OK) {
        note_trouble(
            local, "status query failed",
            result->failure != SQL_FAILURE_NONE ? result->text : err.text);
        facts->sql_ok = time_since(clock_boot_ms(), local->query_ms) < SQL_STALE_MS;
        local_flush(local);
        return;
    }
    note_end_of_trouble(local);
    local->query_ms = clock_boot_ms();
    facts->sql_ok = true;
    note_answer(local);
    facts->conninfo_set = local->conninfo_in_files || local->memory.conninfo_in_effect;
    facts->progress[0] = '\0';
    /* After a restart of the daemon: the record went to disk just before the marker did. */
    if (!facts->in_recovery && !local->busy && facts->start_epoch != 0 &&
        facts->record.marker_epoch == facts->start_epoch && !facts->writable) {
        facts->writable = true;
        facts->marker_lsn = facts->position.lsn;
    }
    if (facts->in_recovery && text_equal(facts->receiver_state, "streaming") &&
        local->memory.receiver_pid != local->stale_receiver) {
        watch_check_record(
            local,
            (struct pg_position){.timeline = facts->position.timeline, .lsn = facts->received_lsn});
    }
    slots_tend(local);
    step_poll_now(local);
    local_flush(local);
}

static void send_query(struct local *local)
{
    char query[FACTS_PQ_QUERY_SIZE];
    struct text text;
    struct err err;

    /* The query before may have been asked with the old parameters and answered with new files. */
    if (local->wanted_changed) {
        local->wanted_changed = false;
        local->memory.conf_load_wall_ms = 0;
    }
    text_init(&text, query, sizeof query);
    facts_pq_query(&local->memory, local->wanted, &text);
    ASSERT(!text_overflowed(&text));
    if (sql_query(local->watch, query, LOCAL_QUERY_MS, on_status_row, local, &err) == STATUS_OK) {
        local->query_running = true;
    }
}

/* While a standby may have no upstream, a receiver that shows up all the same is ended. */
static void enforce_cut(struct local *local)
{
    const bool is_primary = local->facts.sql_ok && !local->facts.in_recovery;
    pid_t receiver;

    /* A primary has none, and may have a thousand children to look at. */
    if (!local->cut || is_primary || local->status.server_pid == 0) {
        return;
    }
    receiver = proc_find_child((pid_t)local->status.server_pid, "walreceiver", NULL);
    if (receiver != 0) {
        log_warning("a WAL receiver runs although there is no upstream, pid=%ld", (long)receiver);
        (void)proc_signal(receiver, SIGTERM);
    }
}

/* Replay at the start has no other voice than its process title. */
static void show_replay(struct local *local)
{
    char title[PROC_TITLE_SIZE];
    const char *what;

    if (local->facts.run != PG_RUN_STARTING ||
        proc_find_child((pid_t)local->status.server_pid, "startup", title) == 0) {
        return;
    }
    what = strstr(title, "startup");
    if (what != NULL && !text_equal(what, local->facts.progress)) {
        text_copy_cut(local->facts.progress, sizeof local->facts.progress, what);
        local->facts.progress_ms = clock_boot_ms();
        local_flush(local);
    }
}

static bool may_connect(const struct local *local)
{
    const bool overdue = time_since(clock_boot_ms(), local->tried_ms) >= LOCAL_TICK_MS;

    switch (files_ask_server(&local->files, (pid_t)local->status.server_pid)) {
    case FILES_SERVER_READY:
        return overdue || !local->watch_refused;
    case FILES_SERVER_COMING:
        return overdue;
    case FILES_SERVER_ANOTHER:
        return false; /* What it says would be taken for what ours says. */
    }
    UNREACHABLE();
}

static void tend_server(struct local *local)
{
    show_replay(local);
    if (!local->watch_up && !may_connect(local)) {
        return;
    }
    if (local->facts.run == PG_RUN_UP && !local->busy) {
        enforce_cut(local);
    }
    if (local->watch_refused) {
        close_connection(local); /* The settings may have been corrected meanwhile. */
    }
    if (local->watch == NULL) {
        local->tried_ms = clock_boot_ms();
        open_connection(local);
    } else if (local->watch_up && !local->query_running) {
        send_query(local);
    } else if (!local->watch_up && !local->query_running && local->watch_failed) {
        local->watch_failed = false;
        local->tried_ms = clock_boot_ms();
        sql_reconnect(local->watch);
    }
}

static uint64_t tick_period(const struct local *local)
{
    if (local->status.server_pid != 0 && !local->watch_up && !local->watch_refused) {
        /* A server on its way up is asked often, one that is long in recovery less so. */
        return local->busy || local->closely ? LOCAL_TICK_START_MS : LOCAL_TICK_CLOSE_MS;
    }
    return local->closely || local->busy ? LOCAL_TICK_CLOSE_MS : LOCAL_TICK_MS;
}

static void on_tick(uv_timer_t *timer)
{
    struct local *local = timer->data;
    int rc;

    if (local->status.server_pid != 0) {
        tend_server(local);
    } else if (local->facts.guard_ok && !local->adopt_tried) {
        watch_guard_status(local, &local->status);
    } else if (watch_is_gone(local) && !local->busy) {
        watch_look(local);
    }
    rc = uv_timer_start(&local->tick, on_tick, tick_period(local), 0);
    ASSERT(rc == 0); /* It refuses only a timer that is being closed. */
}

void watch_soon(struct local *local)
{
    const int rc = local->closing ? 0 : uv_timer_start(&local->tick, on_tick, 0, 0);

    ASSERT(rc == 0);
}

/* --- What the guard says. --- */

static enum status work_find_server(struct job *job, struct err *err)
{
    pid_t pid = 0;

    job->text = realpath(job->files.data_dir, NULL);
    if (job->text == NULL) {
        return STATUS_OK; /* There is no directory, so there is no server. */
    }
    if (files_running_postmaster(&job->files, &pid)) {
        job->pid = pid;
        return STATUS_OK;
    }
    return files_end_orphans(&job->files, err);
}

static void after_find_server(struct local *local, struct job *job)
{
    struct guard_adopt adopt = {.pid = (uint32_t)job->pid};

    local->find_running = false;
    if (local->closing) {
        return;
    }
    if (job->status != STATUS_OK) {
        log_error("%s", job->err.text);
        local->facts.run = PG_RUN_DYING;
        local_flush(local);
        return; /* Looked for again at the next status. */
    }
    if (adopt.pid != 0 && local->status.tree_count == 0) {
        log_info("PostgreSQL runs already, pid=%lu: taking it over", (unsigned long)adopt.pid);
        text_copy_cut(adopt.data_dir, sizeof adopt.data_dir, job->text);
        local->adopt_ms = clock_boot_ms();
        local->adopt_request = guard_client_adopt(&local->guard, &adopt);
        return; /* Without a connection, all begins anew with the next. */
    }
    local->adopt_tried = true;
    watch_guard_status(local, &local->status);
}

void watch_adoption_answered(struct local *local, const struct guard_refused *refused)
{
    local->adopt_request = 0;
    if (refused != NULL) { /* It has ended meanwhile, or cannot be held: looked for again. */
        note_trouble(local, "the guard does not take PostgreSQL over", refused->text);
    }
}

/* Somebody has started it by hand, or the system has beside us. */
void watch_adopt(struct local *local)
{
    local->adopt_tried = false;
    watch_soon(local);
}

static bool may_find_server(const struct local *local)
{
    return !local->find_running && local->adopt_request == 0 &&
           time_since(clock_boot_ms(), local->adopt_ms) >= LOCAL_TICK_MS;
}

static enum pg_run judge_run(const struct local *local)
{
    const struct guard_status *status = &local->status;

    if (status->server_pid == 0) {
        if (status->tree_count != 0) {
            return PG_RUN_DYING;
        }
        return local->adopt_tried ? PG_RUN_STOPPED : PG_RUN_UNKNOWN;
    }
    if (local->stop_asked || status->phase == GUARD_PHASE_FENCING ||
        status->phase == GUARD_PHASE_KILLING) {
        return PG_RUN_STOPPING;
    }
    return local->was_up ? PG_RUN_UP : PG_RUN_STARTING;
}

static void forget_server(struct local *local)
{
    struct pg_facts *facts = &local->facts;

    close_connection(local);
    checkpoint_cancel(local);
    local->memory = (struct facts_pq){0};
    local->trouble[0] = '\0';
    local->was_up = false;
    facts->in_recovery = facts->writable = facts->receiver_running = false;
    facts->pending_restart = facts->replay_paused = false;
    facts->pending_restart_reason[0] = facts->receiver_state[0] = '\0';
    facts->position = (struct pg_position){0};
    facts->hung_since_ms = 0;
    facts->received_lsn = facts->replayed_lsn = facts->marker_lsn = 0;
    facts->replica_count = 0;
    facts->progress[0] = '\0';
    /* What the control file says of a server that runs is what it was before the start. */
    facts->shut_down_cleanly = facts->was_primary = false;
    facts->control_end = facts->wal_end = (struct pg_position){0};
    facts->redo_bytes = 0;
    local->control_mtime_ns = 0;
}

static void note_new_start(struct local *local)
{
    local->checkpoint_due = false;
    local->seen_start_id = local->status.start_id;
    local->stop_asked = false;
    local->stale_receiver = 0;
    forget_server(local);
    local->facts.start_id = local->status.start_id;
    local->facts.crashed = false;
    local->facts.writable_start = false;
    local->facts.start_epoch = 0;
}

static void note_stopped(struct local *local, bool was_running)
{
    const struct guard_status *status = &local->status;
    const bool fenced =
        status->fenced_epoch != 0 && status->fenced_epoch == local->facts.start_epoch;

    forget_server(local);
    local->facts.crashed = was_running && !fenced;
    local->facts.stopped_since_ms = status->gone_ms != 0 ? status->gone_ms : clock_boot_ms();
    local->following = false; /* A standby starts without upstream. */
    local->cut = true;
    if (local->facts.crashed) {
        log_warning("PostgreSQL is gone, and nobody asked for it");
    }
    if (!local->busy) { /* Else the action will measure, if it is a stop. */
        watch_look(local);
    } else if (local->action.kind == PG_ACTION_PREPARE_STOP && local->run != NULL) {
        run_kill(local->run); /* There is nothing left to stop. */
    }
}

void watch_guard_status(struct local *local, const struct guard_status *status)
{
    struct pg_facts *facts = &local->facts;
    const enum pg_run before = facts->run;
    /* Also if the guard is another one now, which knows of no start: it took the server along. */
    const bool was_running =
        !local->stop_asked && (before == PG_RUN_STARTING || before == PG_RUN_UP ||
                               before == PG_RUN_DYING || before == PG_RUN_STOPPING);

    if (status != &local->status) {
        local->status = *status;
    }
    if (!local->adopt_tried && status->tree_count == 0) {
        if (may_find_server(local)) {
            local->find_running = true;
            job_submit(job_new(local, work_find_server, after_find_server));
        }
        return;
    }
    local->adopt_tried = true;
    if (status->start_id != local->seen_start_id) {
        note_new_start(local);
    }
    if (status->armed_epoch != 0) {
        facts->start_epoch = status->armed_epoch;
        facts->writable_start = true;
    }
    facts->guard_epoch = status->armed_epoch;
    facts->guard_fenced = status->fenced_epoch;
    facts->guard_rings = status->rings;
    facts->watchdog_failed = status->watchdog_mode == GUARD_WATCHDOG_REQUIRED &&
                             status->watchdog_state == GUARD_WATCHDOG_IS_FAILED;
    facts->run = judge_run(local);
    if (facts->run == PG_RUN_STOPPED && before != PG_RUN_STOPPED) {
        note_stopped(local, was_running);
    }
    if (facts->run != before) {
        watch_soon(local);
        step_poll_now(local);
    }
    local_flush(local);
}

void watch_open(struct local *local)
{
    watch_look(local);
    watch_soon(local);
}

void watch_close(struct local *local)
{
    close_connection(local);
    checkpoint_cancel(local);
}
