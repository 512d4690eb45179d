/*
 * pgctl/local_impl_uv.h - what the local_*_uv.c share; for nobody else.
 *
 * An action is a chain of steps. Each step starts one thing that takes time - work on files in
 * a worker thread, a child program, a query, a request to the guard, or waiting for a condition
 * - and names the function that goes on after it. Every such start belongs to the action's
 * generation: when the action ends or is cancelled, what is still under way comes back to
 * nobody. Facts are written at any time and pushed together, once per turn of the loop.
 *
 *   local_uv.c         life, requests, ends of actions, pushing
 *   local_step_uv.c    the kinds of steps
 *   local_watch_uv.c   facts of the guard and the status query
 *   local_look_uv.c    facts of the data directory, and the record
 *   local_measure_uv.c the end of WAL in the files of a stopped server
 *   local_checkpoint_uv.c  checkpoints after a promotion and before a stop
 *   local_check_uv.c   parameters that PostgreSQL would refuse
 *   local_conf_uv.c    settings in effect, texts of the files
 *   local_*_uv.c       one file for each group of actions
 */
#ifndef PGBATON_PGCTL_LOCAL_IMPL_UV_H
#define PGBATON_PGCTL_LOCAL_IMPL_UV_H

#include <uv.h>

#include "conf/conf.h"
#include "conf/pgparams.h"
#include "pgctl/controldata.h"
#include "pgctl/facts_pq.h"
#include "pgctl/files_sys.h"
#include "pgctl/guard_uv.h"
#include "pgctl/local_uv.h"
#include "pgctl/run_uv.h"
#include "pgctl/sql_uv.h"
#include "pgctl/wal.h"

#define LOCAL_TICK_MS       1000 /* In peace ... */
#define LOCAL_TICK_CLOSE_MS 30   /* ... while a change is under way ... */
#define LOCAL_TICK_START_MS 20   /* ... and while a server comes up. */
#define LOCAL_POLL_MS       10
#define LOCAL_QUERY_MS      3000  /* Deadline of a small query. */
#define LOCAL_PROGRAM_MS    20000 /* Deadline of a program that only looks. */

/*
 * Work on files, off the loop, one job after the other: two never write the same file. Fields
 * are inputs and outputs of the work function.
 */
struct job;
typedef enum status job_work(struct job *job, struct err *err);
typedef void job_next(struct local *local, struct job *job);

struct job {
    uv_work_t request;
    struct local *local;
    struct job *behind;  /* The next one in the queue. */
    uint64_t generation; /* 0: not of an action. */
    job_work *work;
    job_next *next;
    struct files files;
    struct files_settings settings;
    struct pg_record record;
    struct files_look look;
    struct files_wal wal;
    pid_t pid;
    struct wal_shape shape;
    struct pg_position record_at;
    uint32_t record_bytes;
    char *text;         /* Freed with the job. */
    bool writes_record; /* Set by record_begin(). */
    bool fresh;         /* A new data_dir_id is to be drawn. */
    enum status status;
    struct err err;
};

/* Hands on an error found before the work: job->err is filled already. */
enum status job_keep_error(struct job *job, struct err *err);

typedef void run_next(struct local *local, const struct run_result *result);
typedef void sql_next(struct local *local, const struct sql_result *result);
typedef void guard_next(struct local *local, const struct guard_refused *refused);
typedef void local_step(struct local *local);

/* A query that is under way, and who asked. */
struct ticket {
    struct local *local;
    struct sql *sql;
    uint64_t generation; /* 0: free. */
    sql_next *next;
};

/* Finding the end of WAL; runs beside actions, see local_measure_uv.c. */
struct measure {
    bool running;
    bool again; /* Something changed meanwhile. */
    struct run *run;
    struct controldata control;
    struct wal_shape shape;
    struct pg_position start;
    uint64_t end_lsn; /* Of the last segment. */
};

/* A stop that is under way; see local_stop_uv.c. */
struct stop {
    enum guard_stop_mode mode; /* As asked of the guard last. */
    enum control_state state;  /* As the control file had it last. */
    uint64_t began_ms;
    uint64_t pressed_ms; /* When it was made harder last. */
    uint64_t moved_ms;   /* When `state` or `progress` changed last. */
    uint32_t progress;   /* A hash of how far WAL senders and archiver are. */
};

#define CHECK_REFUSED_MAX 32

struct check_refused {
    uint32_t count;
    char names[CHECK_REFUSED_MAX][PG_NAME_SIZE];
};

/* Asking PostgreSQL about the parameters; see local_check_uv.c. */
struct check {
    bool running;
    bool again;  /* The settings have changed meanwhile. */
    bool is_due; /* To be done when it matters, and there is a data directory. */
    struct run *run;
    enum pgparams_role role; /* Whose variants are being asked about. */
    bool is_second;          /* The other role's have been. */
    uint32_t round;
    struct check_refused found;   /* So far, by the one that runs. */
    struct check_refused refused; /* By the last one that has ended: these are left out. */
};

struct callback_run {
    struct local *local;
    struct run *run;
};

#define LOCAL_DONES_MAX 4
#define LOCAL_TEXT_SIZE 16384

struct local {
    uv_loop_t *loop;
    const struct conf *conf;
    const struct local_events *events;
    void *owner;
    bool closing;
    uint32_t holds; /* What must come back before `closed`: handles, jobs, runs, connections. */
    char guard_path[FILES_PATH_SIZE];

    /* Settings in effect; remade by local_conf_refresh(). */
    void *tree_memory;
    struct tree tree;
    char *dynamic_json;
    struct conf_postgresql pg;
    struct conf_dynamic dynamic;
    const struct node *dynamic_parameters;
    struct files files; /* Set once: a change of these paths needs a restart. */
    bool warn;      /* Say what is wrong with the parameters, once for each change of settings. */
    bool following; /* `upstream` goes into the files. */
    bool hurry;     /* About to be promoted: nothing may hold up replay. */
    struct pg_upstream upstream;
    char sync_names[1024];
    char wanted[FACTS_PQ_WANTED_SIZE]; /* See facts_pq_query(). */
    bool wanted_changed;               /* Since the last query was sent. */
    char socket_dir[128];

    /* Guard. */
    struct guard_client guard;
    bool guard_open;
    bool adopt_tried; /* Looked for a server that the guard did not start. */
    bool find_running;
    uint64_t adopt_ms;      /* When it was asked for last. */
    uint32_t adopt_request; /* Until it is answered a status without a server tells nothing. */
    struct guard_status status;
    uint32_t guard_request; /* The action's; 0: none. */
    uint64_t guard_generation;
    guard_next *guard_next;

    /* Facts. */
    struct pg_facts facts;
    struct pg_facts pushed;
    bool pushed_once;
    uv_timer_t flush;
    uint32_t done_count;
    struct pg_action_done dones[LOCAL_DONES_MAX];

    /* Watch. */
    uv_timer_t tick;
    bool closely;
    struct sql *watch;
    bool watch_up;
    bool watch_failed;  /* It can be connected again. */
    bool watch_refused; /* And the server lives: not again at once. */
    uint64_t tried_ms;  /* When a connection was tried last. */
    char trouble[256];  /* Why the status is not known, as warned of last; "" if it is. */
    uint64_t trouble_ms;
    bool query_running;
    bool look_running;
    struct facts_pq memory;
    uint64_t seen_start_id; /* The start the facts below are of. */
    bool was_up;            /* This start has accepted connections. */
    bool stop_asked;
    bool cut;               /* No receiver may run: a CUT, or started here and never followed. */
    int32_t stale_receiver; /* Runs on behalf of an upstream from before the last FOLLOW. */
    uint64_t query_ms;      /* When the last status query succeeded. */
    int64_t control_mtime_ns;
    bool has_record;
    bool standby_signal;
    bool conninfo_in_files;
    uint32_t data_version;
    bool control_known;
    struct controldata control;
    struct measure measure;
    struct check check;
    local_step *checked;      /* The action's; called when a check has ended. */
    local_step *measured;     /* The action's; called when a measurement has ended. */
    local_step *checkpointed; /* The action's; called when a checkpoint has ended. */

    /* Action. */
    bool busy;
    struct pg_action action;
    bool next_waits; /* The current action is being cancelled for `next`. */
    struct pg_action next;
    struct stop stop;
    uint64_t generation;   /* From 1. */
    struct job *job_first; /* The one that runs, and those that wait behind it. */
    struct job *job_last;
    uint32_t jobs_in_flight; /* Of actions, also of those that ended. */
    struct run *run;
    run_next *run_next;
    uint64_t run_generation;
    uv_timer_t poll;
    local_step *poll_check;
    uint64_t poll_until_ms;
    uint64_t step_ms; /* Notes of the action at hand. */
    uint32_t attempt;
    uint64_t last_replayed;
    struct sql *work;
    bool work_up;
    local_step *work_next;
    struct ticket tickets[SQL_QUEUE_MAX * 2];
    struct pg_record record; /* As it will be when all jobs are done; facts have what is synced. */
    uint32_t record_jobs;    /* How many of them are about it. */
    struct pg_record old_record; /* Before a rewind or clone. */

    /* The checkpoint after a promotion, or before a stop. */
    struct sql *checkpoint; /* NULL: none runs. */
    uint64_t checkpoint_ms;
    bool checkpoint_due; /* This server was promoted and is still to be asked for it. */

    /* Callbacks and slots. */
    struct callback_run *callback;
    struct callback_run *callback_reload;
    struct pg_slots slots;
    uint64_t slots_absent_ms[PG_SLOTS_MAX]; /* Since when each of them is absent. */
    bool slots_known;
    bool slots_failed; /* The last statement: the next one makes none. */
    bool slots_running;
    uint64_t slots_ms;
};

/* --- local_uv.c --- */

/* Facts have changed, or something is done: tell the owner in the next turn of the loop. */
void local_flush(struct local *local);

/* Ends the action. `position` may be zero. */
PRINTF(4, 5)
void local_finish(
    struct local *local, enum pg_result result, struct pg_position position, const char *format,
    ...);
PRINTF(2, 3) void local_fail(struct local *local, const char *format, ...);
void local_ok(struct local *local);

/* One thing more, or less, that must come back before the end. */
void local_hold(struct local *local);
void local_unhold(struct local *local);

/* --- local_step_uv.c --- */

struct job *job_new(struct local *local, job_work *work, job_next *next);
void job_submit_action(struct job *job);
void job_submit(struct job *job); /* Comes back whatever the action does. */

/* Submits a job of local_conf_job(), or fails the action if it could not be made. */
void step_files(struct local *local, struct job *job, const struct err *err);

/* The action's child program; `next` is not called if the action was cancelled. */
void step_run(struct local *local, const struct run_spec *spec, run_next *next);
void step_run_line(struct local *local, const struct run_spec *spec, run_next *next);

/* A query over a connection. The action fails if it cannot be sent. */
void step_sql(
    struct local *local, struct sql *sql, const char *text, uint32_t limit_ms, sql_next *next);

/* Forgets the queries of a connection that is being closed. */
void tickets_drop(struct local *local, const struct sql *sql);

/* Settings of a connection as `user`; texts are borrowed. Returns how many. */
size_t step_settings(
    const struct local *local, const char *host, const char *port, const struct conf_user *user,
    struct sql_setting settings[SQL_SETTINGS_MAX]);

/*
 * Opens the action's own connection; host NULL: to the local server. `replication` "true" makes
 * it one that takes replication commands, NULL one that takes SQL.
 */
void step_connect(
    struct local *local, const char *host, uint16_t port, const struct conf_user *user,
    const char *replication, local_step *next);

/* Expects the answer to a request that was just sent; number 0: it was not. */
void step_guard(struct local *local, uint32_t request, guard_next *next);

/* Calls `check` once, after that time; which looks, and polls again or goes on. */
void step_poll(struct local *local, uint64_t every_ms, local_step *check);

/* What a check waits for may have come: it looks in the next turn of the loop. */
void step_poll_now(struct local *local);

/* Nothing of the action is under way any more. */
bool step_is_idle(const struct local *local);

/* Cuts off whatever the action has started. */
void step_cancel(struct local *local);

/* --- local_conf_uv.c --- */

/* Settings were changed: reads them anew. FULL: they are too large, and no file is written. */
MUST_CHECK enum status local_conf_refresh(struct local *local, struct err *err);

/*
 * What the action at hand makes of the server; beside those that make something of it, what the
 * server is, also one that was found running.
 */
enum pgparams_role local_role(const struct local *local);

/*
 * A job that writes all files for the role and upstream as they are now. If they are too large
 * `err` is filled and the job's `next` is NULL.
 */
struct job *local_conf_job(struct local *local, job_next *next, struct err *err);

/*
 * Parameters for the command line and files of this role, without those that are refused.
 * `pgparams` lives until the next refresh.
 */
void local_conf_params(
    struct local *local, enum pgparams_role role, const struct check_refused *refused,
    struct pgparams *pgparams);

const char *local_superuser(const struct local *local);

/* "key='value' ..." for a program; no password. */
void local_conninfo(
    const struct local *local, const char *host, uint16_t port, const struct conf_user *user,
    const char *dbname, struct text *out);

/* Where local connections go. */
void local_host(const struct local *local, char *host, size_t size);

/* A program of PostgreSQL as the first argument. `name` is the one of the settings, or NULL. */
void local_program(
    const struct local *local, const char *name, const char *plain, struct run_spec *spec);

/* Ids, and the environment that programs which connect need. */
void local_spec(const struct local *local, struct run_spec *spec, uint64_t limit_ms);
/* The same for a command of the settings: PostgreSQL's user, the daemon's environment. */
void local_script_spec(const struct local *local, struct run_spec *spec);
void local_spec_password(struct run_spec *spec, const struct conf_user *user);

/* --- local_watch_uv.c, local_look_uv.c --- */

void watch_open(struct local *local);
void watch_close(struct local *local);
void watch_soon(struct local *local);
void watch_guard_status(struct local *local, const struct guard_status *status);
void watch_adopt(struct local *local); /* A server runs that the guard knows nothing of. */
void watch_adoption_answered(struct local *local, const struct guard_refused *refused);
void watch_look(struct local *local);
void watch_look_done(struct local *local, const struct files_look *look);
void watch_set_record(struct local *local, const struct pg_record *record);

/*
 * A change of the record: `job` is about to be submitted and will write job->record. Each such
 * job ends in record_written().
 */
void record_begin(struct job *job);
void record_written(struct local *local, const struct job *job);

void watch_check_record(struct local *local, struct pg_position position);
bool watch_is_up(const struct local *local);
bool watch_is_gone(const struct local *local);

/* --- local_measure_uv.c --- */

void measure_start(struct local *local);

/* --- local_guard_uv.c --- */

MUST_CHECK enum status local_guard_open(struct local *local, struct err *err);
void local_guard_close(struct local *local);
void local_guard_configure(struct local *local);

/* --- local_check_uv.c --- */

/* To be called when settings have changed. */
void check_start(struct local *local);

/* Whether the action has to wait for a check; it goes on with `next` then. */
bool check_holds_up(struct local *local, local_step *next);

/* Whether that parameter may be written; for pgparams_input, with a struct check_refused. */
bool check_is_known(const void *refused, const char *name);

/* --- Actions, each begun by local_start(). --- */

void action_initdb(struct local *local);
void action_bootstrap_sql(struct local *local);
void action_start_standby(struct local *local);
void action_start_primary(struct local *local);
void action_promote(struct local *local);
void action_follow(struct local *local);
void action_cut(struct local *local);
void action_reload(struct local *local);
void action_prepare_stop(struct local *local);
void action_stop(struct local *local);
void action_rewind(struct local *local);
void action_clone(struct local *local);

/* The end of START_PRIMARY and PROMOTE: record, marker, position. */
void action_write_marker(struct local *local);

/* Ends INITDB, CLONE and REWIND: what the directory is now goes into the facts first. */
void action_end_with_look(struct local *local);

/* Options of the settings as arguments: flags and {option: value}, but those to be skipped. */
void action_add_options(
    const struct node *options, bool (*skip)(const char *option), struct run_spec *spec);

/* Tells a program that makes a data directory to leave the syncing to files_sync(), unless the
 * kernel would keep errors to itself there. */
void action_leave_sync(struct run_spec *spec);

/* SIGHUP to the postmaster. */
void local_signal_reload(const struct local *local);

/* --- local_checkpoint_uv.c --- */

/* On a connection of its own; one at a time. What becomes of it is logged, and then
 * local->checkpointed is called. */
void checkpoint_begin(struct local *local);
void checkpoint_cancel(struct local *local);

/* --- local_slots_uv.c, local_callback_uv.c --- */

void slots_tend(struct local *local);
void callbacks_close(struct local *local);

#endif
