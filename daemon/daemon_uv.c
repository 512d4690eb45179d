/*
 * The loop and the life of the process: start, reload, stop, start over.
 */
#include "daemon/daemon_uv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/log_sys.h"
#include "base/name.h"
#include "base/text.h"
#include "base/time.h"
#include "conf/tree_json.h"
#include "daemon/daemon_impl_uv.h"
#include "daemon/limit_sys.h"
#include "daemon/memory_sys.h"
#include "daemon/notify_sys.h"
#include "raft/store_lmdb.h"

#define SLOW_TURN_MS 50

/* So long the last lines of the log are waited for. */
#define LAST_LINES_MS 1000

/* So long nothing was done with PostgreSQL: what was done before is over. */
#define CALM_MS 10000

static void report_problems(const struct problems *problems)
{
    for (uint32_t i = 0; i < problems->count; i++) {
        if (problems->items[i].is_error) {
            log_error("%s", problems->items[i].text);
        } else {
            log_warning("%s", problems->items[i].text);
        }
    }
}

static enum status open_log(const struct conf *conf, struct err *err)
{
    char static_fields[1024];
    struct text text;
    const struct log_settings settings = {
        .level = (enum log_level)conf->log.level,
        .format = conf->log.format,
        .json = conf->log.type == CONF_LOG_JSON,
        .static_fields = conf->log.static_fields != NULL ? static_fields : NULL,
        .dir = conf->log.dir,
        .file_size = (uint64_t)conf->log.file_size_bytes,
        .file_num = (uint32_t)conf->log.file_num,
        .mode = conf->log.mode == CONF_UNSET ? 0 : (uint32_t)conf->log.mode,
    };

    text_init(&text, static_fields, sizeof static_fields);
    if (conf->log.static_fields != NULL) {
        const enum status status = tree_json_print(conf->log.static_fields, 0, &text, err);

        if (status != STATUS_OK) {
            err_add_context(err, "log.static_fields");
            return status;
        }
    }
    return log_sys_open(&settings, err);
}

/* bootstrap.dcs as the first version of the dynamic configuration: checked, as text. */
static enum status take_initial_config(struct daemon *daemon, struct err *err)
{
    const struct node *dcs = daemon->conf.conf.bootstrap.dcs;
    struct text text;

    free(daemon->initial_config);
    daemon->initial_config = malloc(CLUSTER_CONFIG_SIZE);
    ASSERT(daemon->initial_config != NULL);
    text_init(&text, daemon->initial_config, CLUSTER_CONFIG_SIZE);
    if (dcs == NULL) {
        text_add(&text, "{}");
    } else {
        const enum status status = tree_json_print(dcs, 0, &text, err);

        if (status != STATUS_OK) {
            return status;
        }
    }
    if (text_overflowed(&text)) {
        return ERR(err, INVALID, "bootstrap.dcs: longer than %u bytes", CLUSTER_CONFIG_SIZE);
    }
    return decide_dynamic(daemon, daemon->initial_config, text.length, &daemon->dynamic, err);
}

/* guard.program, or else the one beside this program. */
static enum status find_guard(struct daemon *daemon, struct err *err)
{
    char self[sizeof daemon->guard_path];
    size_t size = sizeof self;
    char *slash;
    int rc;

    if (daemon->conf.conf.guard.program != NULL) {
        return text_copy(
                   daemon->guard_path, sizeof daemon->guard_path, daemon->conf.conf.guard.program)
                   ? STATUS_OK
                   : ERR(err, INVALID, "guard.program: too long");
    }
    rc = uv_exepath(self, &size);
    if (rc != 0) {
        return ERR(err, IO, "could not find the path of this program: %s", uv_strerror(rc));
    }
    slash = strrchr(self, '/');
    ASSERT(slash != NULL);
    *slash = '\0';
    rc = snprintf(daemon->guard_path, sizeof daemon->guard_path, "%s/" GUARD_NAME, self);
    return rc > 0 && (size_t)rc < sizeof daemon->guard_path
               ? STATUS_OK
               : ERR(err, INVALID, "the path of this program is too long");
}

/* Timer: one for both cores. */

static void on_wake(uv_timer_t *timer)
{
    struct daemon *daemon = container_of(timer, struct daemon, wake);
    const uint64_t now_ms = clock_boot_ms();

    if (now_ms >= daemon->driver.wake_ms) {
        consensus_feed(daemon, &(struct raft_event){.kind = RAFT_EVENT_TICK}, NULL);
    } else {
        decide_event(daemon, (struct ha_event){.kind = HA_EVENT_TICK});
    }
}

void daemon_arm(struct daemon *daemon)
{
    const uint64_t now_ms = clock_boot_ms();
    const uint64_t wake_ms = time_min(daemon->driver.wake_ms, daemon->ha_wake_ms);
    int rc;

    if (daemon->closing) {
        return;
    }
    /* libuv's clock only wakes us; what is due is decided by CLOCK_BOOTTIME, in the cores. */
    uv_update_time(&daemon->loop);
    rc = uv_timer_start(&daemon->wake, on_wake, time_since(wake_ms, now_ms), 0);
    ASSERT(rc == 0);
}

/* Memory. What a start, a clone or a failover needed, peace does not: it is given back later, so
 * that nothing waits for it. */

static void on_calm(uv_timer_t *timer)
{
    (void)timer;
    memory_trim();
}

void daemon_await_calm(struct daemon *daemon)
{
    const int rc = uv_timer_start(&daemon->calm, on_calm, CALM_MS, 0);

    ASSERT(rc == 0);
}

/* Signals. */

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;

    log_info("signal %d: stopping", number);
    notify_state("STOPPING=1");
    decide_event(
        daemon, (struct ha_event){
                    .kind = HA_EVENT_LOCAL, .local = &(struct ha_local){.kind = HA_LOCAL_LEAVE}});
}

static void on_reload_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;

    (void)number;
    daemon_reload(daemon);
}

/* Takes the new settings over; wrong ones are refused and the old ones stay. */
void daemon_reload(struct daemon *daemon)
{
    struct conf_file fresh;
    struct conf_file old = daemon->conf;
    struct conf_change changes[32];
    struct ha_settings settings;
    struct err err;
    size_t count;

    notify_reloading();
    problems_init(&daemon->problems);
    if (conf_load(
            &fresh, daemon->conf_path, (const char *const *)environ, CONF_CHECK_START,
            &daemon->problems) != STATUS_OK) {
        report_problems(&daemon->problems);
        log_error("settings were not reloaded, the old ones stay in force");
        notify_state("READY=1");
        return;
    }
    report_problems(&daemon->problems);
    count = conf_diff(&old.conf, &fresh.conf, changes, ARRAY_SIZE(changes));
    for (size_t i = 0; i < count; i++) {
        log_info(
            "setting %s has changed%s", changes[i].path,
            changes[i].needs_restart ? "; it takes effect at the next start of this daemon" : "");
    }
    daemon->conf = fresh;
    if (open_log(&fresh.conf, &err) != STATUS_OK) {
        log_error("%s", err.text);
    }
    decide_settings(daemon, &settings);
    if (daemon->local != NULL) {
        local_reload(daemon->local, &daemon->conf.conf);
    }
    outside_reload(daemon);
    conf_unload(&old);
    decide_event(daemon, (struct ha_event){.kind = HA_EVENT_SETTINGS, .settings = &settings});
    notify_state("READY=1");
}

static void open_signal(
    struct daemon *daemon, uv_signal_t *handle, uv_signal_cb on_signal, int number)
{
    int rc = uv_signal_init(&daemon->loop, handle);

    ASSERT(rc == 0);
    handle->data = daemon;
    rc = uv_signal_start(handle, on_signal, number);
    ASSERT(rc == 0);
}

/* Stopping: each part reports closed, then the loop has nothing left to do. */

void daemon_closed_part(struct daemon *daemon)
{
    (void)daemon; /* The loop ends by itself when the last handle is gone. */
}

void daemon_stop(struct daemon *daemon, int exit_status)
{
    if (daemon->closing) {
        return;
    }
    daemon->closing = true;
    daemon->exit_status = exit_status;
    uv_close((uv_handle_t *)&daemon->wake, NULL);
    uv_close((uv_handle_t *)&daemon->calm, NULL);
    uv_close((uv_handle_t *)&daemon->on_term, NULL);
    uv_close((uv_handle_t *)&daemon->on_int, NULL);
    uv_close((uv_handle_t *)&daemon->on_hup, NULL);
    outside_close(daemon);
    if (daemon->local != NULL) {
        if (exit_status == 0 && !daemon->start_over) {
            local_dismiss_guard(daemon->local);
        }
        local_close(daemon->local);
    }
    consensus_close(daemon);
}

static void allocate(struct daemon *daemon)
{
    daemon->frame = malloc(DAEMON_FRAME_MAX);
    daemon->command = malloc(sizeof *daemon->command);
    daemon->command_config = malloc(CLUSTER_CONFIG_SIZE);
    daemon->restored = malloc(sizeof *daemon->restored);
    daemon->raft_message = malloc(sizeof *daemon->raft_message);
    daemon->ha_message = malloc(sizeof *daemon->ha_message);
    daemon->message_config = malloc(CLUSTER_CONFIG_SIZE);
    daemon->dynamic_memory = malloc(CONF_MEMORY_BYTES);
    ASSERT(daemon->frame != NULL && daemon->command != NULL && daemon->command_config != NULL);
    ASSERT(daemon->restored != NULL && daemon->raft_message != NULL);
    ASSERT(daemon->ha_message != NULL && daemon->message_config != NULL);
    ASSERT(daemon->dynamic_memory != NULL);
}

static void release(struct daemon *daemon)
{
    free(daemon->frame);
    free(daemon->command);
    free(daemon->command_config);
    free(daemon->restored);
    free(daemon->raft_message);
    free(daemon->ha_message);
    free(daemon->message_config);
    free(daemon->dynamic_memory);
    free(daemon->initial_config);
    free(daemon->raft_memory);
    free(daemon->held);
    free(daemon->ha);
    conf_unload(&daemon->conf);
}

static enum status start(struct daemon *daemon, struct err *err)
{
    enum status status;
    int rc;

    problems_init(&daemon->problems);
    status = conf_load(
        &daemon->conf, daemon->conf_path, (const char *const *)environ, CONF_CHECK_START,
        &daemon->problems);
    report_problems(&daemon->problems);
    if (status != STATUS_OK) {
        return ERR(err, INVALID, "the settings cannot be used");
    }
    if (!text_copy(daemon->data_dir, sizeof daemon->data_dir, daemon->conf.conf.raft.data_dir)) {
        return ERR(err, INVALID, "raft.data_dir: too long");
    }
    status = open_log(&daemon->conf.conf, err);
    if (status != STATUS_OK) {
        return status;
    }
    log_info(
        PRODUCT_NAME " " PRODUCT_VERSION ", member \"%s\" of cluster \"%s\"",
        daemon->conf.conf.name, daemon->conf.conf.scope);
    status = take_initial_config(daemon, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = find_guard(daemon, err);
    if (status != STATUS_OK) {
        return status;
    }
    rc = uv_timer_init(&daemon->loop, &daemon->wake);
    ASSERT(rc == 0);
    rc = uv_timer_init(&daemon->loop, &daemon->calm);
    ASSERT(rc == 0);
    daemon_await_calm(daemon);
    open_signal(daemon, &daemon->on_term, on_stop_signal, SIGTERM);
    open_signal(daemon, &daemon->on_int, on_stop_signal, SIGINT);
    open_signal(daemon, &daemon->on_hup, on_reload_signal, SIGHUP);

    status = consensus_open(daemon, err);
    if (status == STATUS_OK) {
        status = decide_open(daemon, err);
    }
    if (status == STATUS_OK) {
        status = outside_open(daemon, err);
    }
    return status;
}

/* A turn that took long delays lease rounds: say so, with how long. */
static void run_loop(struct daemon *daemon)
{
    uint64_t before_ms = clock_boot_ms();

    while (uv_run(&daemon->loop, UV_RUN_ONCE) != 0) {
        const uint64_t after_ms = clock_boot_ms();
        const uint64_t idle_ms = uv_metrics_idle_time(&daemon->loop) / 1000000;
        const uint64_t busy_ms =
            time_since(time_since(after_ms, before_ms), time_since(idle_ms, daemon->idle_ms));

        if (busy_ms > SLOW_TURN_MS) {
            log_warning(
                "the loop was busy or not scheduled for %llu ms", (unsigned long long)busy_ms);
        }
        daemon->idle_ms = idle_ms;
        before_ms = after_ms;
    }
}

int daemon_main(const char *conf_path, char *const argv[])
{
    struct daemon *daemon;
    char data_dir[sizeof daemon->data_dir];
    struct err err;
    bool start_over;
    int exit_status;
    int rc;

    memory_limit_heap();
    daemon = calloc(1, sizeof *daemon);
    ASSERT(daemon != NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    limit_raise_files();
    daemon->conf_path = conf_path;
    rc = uv_loop_init(&daemon->loop);
    ASSERT(rc == 0);
    rc = uv_loop_configure(&daemon->loop, UV_METRICS_IDLE_TIME);
    ASSERT(rc == 0);
    allocate(daemon);
    if (start(daemon, &err) != STATUS_OK) {
        log_critical("%s", err.text);
        return 1;
    }
    notify_state("READY=1");
    consensus_feed(daemon, &(struct raft_event){.kind = RAFT_EVENT_TICK}, NULL);
    run_loop(daemon);

    exit_status = daemon->exit_status;
    start_over = daemon->start_over;
    memcpy(data_dir, daemon->data_dir, sizeof data_dir);
    rc = uv_loop_close(&daemon->loop);
    if (rc != 0) {
        log_warning("the loop did not end cleanly: %s", uv_strerror(rc));
    }
    release(daemon);
    free(daemon);
    if (start_over) {
        if (store_lmdb_reset(data_dir, &err) != STATUS_OK) {
            log_critical("%s", err.text);
            return 1;
        }
        (void)log_sys_flush(LAST_LINES_MS);
        (void)execv("/proc/self/exe", argv);
        log_critical("could not start over: %s", strerror(errno));
        return 1;
    }
    log_info("stopped");
    (void)log_sys_flush(LAST_LINES_MS);
    return exit_status;
}
