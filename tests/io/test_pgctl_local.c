/*
 * Two nodes' PostgreSQL, driven through pgctl/local_uv.h: each with its own guard, data
 * directory and port, on loopback. The tests are one story and run in order.
 */
#include "pgctl/local_uv.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "conf/load_sys.h"
#include "pgctl/files_sys.h"
#include "pgctl/proc_sys.h"
#include "pgctl/run_uv.h"
#include "pgctl/wal.h"
#include "tests/lib/postgres.h"
#include "tests/lib/query.h"
#include "tests/lib/test.h"

#define PATIENCE_MS 60000
#define LEASE_MS    UINT64_C(1800000)
#define NODES       2

struct node_under_test {
    char name[8];
    char dir[TEST_PATH_SIZE];
    char data[TEST_PATH_SIZE];
    uint16_t port;
    const char *superuser; /* Of the settings, when they are read next. */
    struct conf_file file;
    struct local *local;
    struct pg_facts facts;
    bool has_facts;
    bool closed;
    uint32_t done_count;
    struct pg_action_done done;      /* The newest. */
    struct pg_action_done cancelled; /* The newest that was cancelled. */
};

static uv_loop_t loop;
static char folder[TEST_PATH_SIZE];
static struct node_under_test nodes[NODES];
static struct node_under_test *const a = &nodes[0];
static struct node_under_test *const b = &nodes[1];
static uint64_t next_id = 1;
static char guard_program[TEST_PATH_SIZE];
static uv_timer_t heartbeat; /* So that waiting looks at its deadline. */

/* --- Log lines. --- */

static char log_text[65536];

static void keep_log(enum log_level level, const char *message)
{
    const size_t used = strlen(log_text);

    (void)fprintf(stderr, "%s: %s\n", log_level_name(level), message);
    (void)snprintf(&log_text[used], sizeof log_text - used, "%s\n", message);
}

static int count_in_log(const char *words)
{
    int count = 0;

    for (const char *at = strstr(log_text, words); at != NULL; at = strstr(at + 1, words)) {
        count++;
    }
    return count;
}

/* --- Events and waiting. --- */

static void on_facts(void *owner, const struct pg_facts *facts)
{
    struct node_under_test *node = owner;

    node->facts = *facts;
    node->has_facts = true;
}

static void on_done(void *owner, const struct pg_action_done *done)
{
    struct node_under_test *node = owner;

    if (done->result == PG_RESULT_CANCELLED) {
        node->cancelled = *done;
        return;
    }
    node->done = *done;
    node->done_count++;
}

static void on_closed(void *owner)
{
    struct node_under_test *node = owner;

    node->closed = true;
    node->local = NULL;
}

static const struct local_events events = {.facts = on_facts, .done = on_done, .closed = on_closed};

static void on_heartbeat(uv_timer_t *timer)
{
    (void)timer;
}

#define WAIT_FOR(node, condition) WAIT_MS(node, PATIENCE_MS, condition)

#define WAIT_MS(node, limit_ms, condition)                                                        \
    do {                                                                                          \
        const uint64_t until_ms = clock_boot_ms() + (limit_ms);                                   \
        while (!(condition)) {                                                                    \
            if (clock_boot_ms() > until_ms) {                                                     \
                fail_msg(                                                                         \
                    "%s: waited in vain for %s; run=%s data=%s done=\"%s\"", (node)->name,        \
                    #condition, pg_run_name((node)->facts.run), pg_data_name((node)->facts.data), \
                    (node)->done.text);                                                           \
            }                                                                                     \
            (void)uv_run(&loop, UV_RUN_ONCE);                                                     \
        }                                                                                         \
    } while (0)

/* --- Actions. --- */

static struct pg_action new_action(enum pg_action_kind kind)
{
    return (struct pg_action){
        .kind = kind,
        .id = next_id++,
        .fence_at_ms = clock_boot_ms() + LEASE_MS - 1000,
        .deadline_ms = clock_boot_ms() + LEASE_MS,
    };
}

static enum pg_result run_action(struct node_under_test *node, const struct pg_action *action)
{
    const uint64_t began_ms = clock_boot_ms();

    local_start(node->local, action);
    WAIT_FOR(node, node->done.id == action->id);
    print_message(
        "    %s: %s %s after %" PRIu64 " ms %s\n", node->name, pg_action_name(action->kind),
        pg_result_name(node->done.result), clock_boot_ms() - began_ms, node->done.text);
    assert_int_equal(node->done.kind, action->kind);
    return node->done.result;
}

static void expect_ok(struct node_under_test *node, const struct pg_action *action)
{
    if (run_action(node, action) != PG_RESULT_OK) {
        fail_msg("%s: %s: %s", node->name, pg_action_name(action->kind), node->done.text);
    }
}

static void do_simple(struct node_under_test *node, enum pg_action_kind kind, uint64_t epoch)
{
    struct pg_action action = new_action(kind);

    action.epoch = epoch;
    expect_ok(node, &action);
}

static void do_stop(struct node_under_test *node, enum pg_stop stop)
{
    struct pg_action action = new_action(PG_ACTION_STOP);

    action.stop = stop;
    expect_ok(node, &action);
}

static struct pg_action towards(enum pg_action_kind kind, const struct node_under_test *source)
{
    struct pg_action action = new_action(kind);

    action.system_identifier = source->facts.system_identifier;
    action.upstream = (struct pg_upstream){
        .node = 1,
        .port = source->port,
        .epoch = source->facts.start_epoch,
        .timeline = source->facts.position.timeline,
        .marker_lsn = source->facts.marker_lsn,
    };
    text_copy_cut(action.upstream.name, sizeof action.upstream.name, source->name);
    text_copy_cut(action.upstream.host, sizeof action.upstream.host, "127.0.0.1");
    return action;
}

static void do_towards(
    struct node_under_test *node, enum pg_action_kind kind, const struct node_under_test *source)
{
    const struct pg_action action = towards(kind, source);

    expect_ok(node, &action);
}

/* --- SQL from outside. --- */

static void sql(const struct node_under_test *node, const char *query, char *cell, size_t cell_size)
{
    query_run(node->port, query, cell, cell_size);
}

static void assert_sql(const struct node_under_test *node, const char *query, const char *expected)
{
    char cell[128];

    sql(node, query, cell, sizeof cell);
    assert_string_equal(cell, expected);
}

static bool shows(const struct node_under_test *node, const char *setting, const char *value)
{
    char query[128];
    char cell[128];

    (void)snprintf(query, sizeof query, "SHOW %s", setting);
    sql(node, query, cell, sizeof cell);
    return text_equal(cell, value);
}

static uint64_t sql_lsn(const struct node_under_test *node, const char *query)
{
    char cell[64];
    uint64_t lsn = 0;

    sql(node, query, cell, sizeof cell);
    assert_true(pg_lsn_parse(cell, &lsn));
    return lsn;
}

/* --- Set-up. --- */

static void write_settings(const struct node_under_test *node, const char *path, bool refuses)
{
    char text[4096];
    struct err err;
    const int length = snprintf(
        text, sizeof text,
        "scope: story\n"
        "name: %s\n"
        "restapi: {listen: '127.0.0.1:18008', connect_address: '127.0.0.1:18008'}\n"
        "raft: {self_addr: '127.0.0.1:12380', data_dir: %s/raft, password: secret}\n"
        "bootstrap:\n"
        "  initdb: [{encoding: UTF8}, data-checksums, {auth: trust}]\n"
        "  pg_hba: ['host replication repl 127.0.0.1/32 trust']\n"
        "  users: {app: {password: 'it''s', options: [createdb]}}\n"
        "  post_bootstrap: 'echo > %s/post_bootstrap; test'\n"
        "postgresql:\n"
        "  listen: 127.0.0.1:%u\n"
        "  connect_address: 127.0.0.1:%u\n"
        "  data_dir: %s\n"
        "  bin_dir: /usr/lib/postgresql/15/bin\n"
        "  use_pg_rewind: true\n"
        "  pre_promote: %s\n"
        "  before_stop: 'test ! -x %s/before_stop.sh || exec %s/before_stop.sh'\n"
        "  callbacks: {on_role_change: '%s/callback.sh'}\n"
        "  authentication:\n"
        "    superuser: {username: %s, password: secret}\n"
        "    replication: {username: repl, password: secret}\n"
        "  parameters_primary: {test.role: primary, no_primary_name: 1}\n"
        "  parameters_replica: {test.role: replica, no_replica_name: 1}\n"
        "  parameters: {unix_socket_directories: '', max_wal_size: 128MB}\n",
        node->name, node->dir, node->dir, (unsigned)node->port, (unsigned)node->port, node->data,
        refuses ? "'false'" : "'true'", node->dir, node->dir, node->dir, node->superuser);

    assert_true(length > 0 && (size_t)length < sizeof text);
    test_ok(file_replace(path, text, (size_t)length, 0600, &err), &err);
}

static void load_settings(struct node_under_test *node, bool refuses)
{
    static const char *const no_environment[] = {NULL};
    static struct problems problems;
    char path[TEST_PATH_SIZE];

    test_path(path, node->dir, "pgbaton.yaml");
    write_settings(node, path, refuses);
    problems_init(&problems);
    if (conf_load(&node->file, path, no_environment, CONF_CHECK_START, &problems) != STATUS_OK) {
        fail_msg("%s", problems.items[0].text);
    }
}

/* The other node's slot, as the daemon would ask for it. */
static void set_slots(struct node_under_test *node)
{
    struct pg_slots slots = {.count = 1};

    pg_slot_name(node == a ? "b" : "a", slots.items[0].name, PG_NAME_SIZE);
    local_set_slots(node->local, &slots);
}

static void open_node(struct node_under_test *node)
{
    struct err err;

    node->has_facts = false;
    node->closed = false;
    test_ok(
        local_open(&node->local, &loop, &node->file.conf, guard_program, &events, node, &err),
        &err);
    local_watch_closely(node->local, true);
    set_slots(node);
}

static void close_node(struct node_under_test *node)
{
    local_close(node->local);
    WAIT_FOR(node, node->closed);
}

static void make_node(struct node_under_test *node, const char *name)
{
    char raft[TEST_PATH_SIZE];
    struct err err;

    text_copy_cut(node->name, sizeof node->name, name);
    test_path(node->dir, folder, name);
    test_path(node->data, node->dir, "pg/data");
    test_path(raft, node->dir, "raft");
    test_ok(file_make_dirs(raft, 0755, &err), &err);
    assert_int_equal(chmod(node->dir, 0777), 0); /* For scripts, which PostgreSQL's user runs. */
    node->port = postgres_free_port();
    node->superuser = "postgres";
    load_settings(node, false);
    open_node(node);
}

static uint32_t refused_renewals;

static void count_refusals(enum log_level level, const char *message)
{
    (void)fprintf(stderr, "%s: %s\n", log_level_name(level), message);
    if (strstr(message, "the guard refused \"renew\"") != NULL) {
        refused_renewals++;
    }
}

static int set_up(void **state)
{
    const char *build = getenv("PGBATON_BUILD");

    (void)state;
    assert_non_null(build);
    (void)snprintf(guard_program, sizeof guard_program, "%s/pgbaton-guard", build);
    assert_true(file_exists(guard_program));
    log_set_sink(count_refusals);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &heartbeat), 0);
    assert_int_equal(uv_timer_start(&heartbeat, on_heartbeat, 100, 100), 0);
    test_dir_make(folder);
    assert_int_equal(chmod(folder, 0755), 0);
    make_node(a, "a");
    make_node(b, "b");
    return 0;
}

/* The guard outlives its daemon on purpose; its number is known to its socket. */
static void signal_guard(const struct node_under_test *node, int signal_number)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.90s/raft/guard.sock", node->dir);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0) {
        (void)kill(peer.pid, signal_number);
    }
    (void)close(fd);
}

static void end_guard(const struct node_under_test *node)
{
    signal_guard(node, SIGTERM);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < NODES; i++) {
        struct node_under_test *node = &nodes[i];
        struct pg_action stop = new_action(PG_ACTION_STOP);

        stop.stop = PG_STOP_KILL;
        if (node->local != NULL) {
            local_start(node->local, &stop);
            WAIT_FOR(node, node->done.id == stop.id);
            end_guard(node);
            close_node(node);
        }
        conf_unload(&node->file);
    }
    uv_close((uv_handle_t *)&heartbeat, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    test_dir_remove(folder);
    return 0;
}

static bool has_file(const struct node_under_test *node, const char *name)
{
    char path[TEST_PATH_SIZE];

    test_path(path, node->dir, name);
    return file_exists(path);
}

static bool file_has(const struct node_under_test *node, const char *name, const char *words)
{
    char path[TEST_PATH_SIZE];
    char *text = NULL;
    struct err err;
    bool found;

    test_path(path, node->data, name);
    test_ok(file_read_alloc(path, 1 << 20, &text, NULL, &err), &err);
    found = strstr(text, words) != NULL;
    free(text);
    return found;
}

static void start_by_hand(const struct node_under_test *node)
{
    char command[TEST_PATH_SIZE * 3];

    (void)snprintf(
        command, sizeof command,
        "setpriv --reuid postgres --regid postgres --clear-groups"
        " /usr/lib/postgresql/15/bin/pg_ctl -s -w -D %s start",
        node->data);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): fixed words. */
}

static pid_t postmaster(const struct node_under_test *node)
{
    char path[TEST_PATH_SIZE];
    char text[512];
    struct err err;

    test_path(path, node->data, "postmaster.pid");
    test_ok(file_read(path, text, sizeof text, NULL, &err), &err);
    return (pid_t)strtol(text, NULL, 10);
}

static pid_t child(const struct node_under_test *node, const char *kind)
{
    const pid_t pid = proc_find_child(postmaster(node), kind, NULL);

    assert_true(pid > 0);
    return pid;
}

/* The files are for the role that the server has. */
static void reload_for_role(struct node_under_test *node, const char *role)
{
    char line[64];

    do_simple(node, PG_ACTION_RELOAD, 0);
    (void)snprintf(line, sizeof line, "test.role = '%s'", role);
    assert_true(file_has(node, "postgresql.conf", line));
}

/* --- The story. --- */

/* A server that has just gone has the number 0, which to kill() is the daemon and its group. */
static void test_who_is_not_there_is_not_signalled(void **state)
{
    (void)state;
    assert_false(proc_signal(0, 0));
    assert_false(proc_signal(-1, 0));
    assert_true(proc_signal(getpid(), 0));
}

static void test_an_empty_directory_is_seen_as_empty(void **state)
{
    (void)state;
    WAIT_FOR(a, a->has_facts && a->facts.guard_ok && a->facts.run == PG_RUN_STOPPED);
    WAIT_FOR(a, a->facts.data == PG_DATA_EMPTY);
    assert_int_equal(a->facts.system_identifier, 0);
    assert_int_equal(a->facts.record.data_dir_id, 0);
    assert_false(a->facts.crashed);
}

static void test_nothing_can_be_started_in_an_empty_directory(void **state)
{
    const struct pg_action action = new_action(PG_ACTION_START_STANDBY);

    (void)state;
    assert_int_equal(run_action(a, &action), PG_RESULT_FAILED);
    assert_string_equal(a->done.text, "the data directory is empty: nothing to start");
}

static void test_initdb_makes_a_directory_with_a_record(void **state)
{
    (void)state;
    do_simple(a, PG_ACTION_INITDB, 0);
    assert_int_equal(a->facts.data, PG_DATA_VALID);
    assert_int_not_equal(a->facts.record.data_dir_id, 0);
    assert_int_equal(a->facts.record.marker_epoch, 0);
    assert_true(a->facts.system_identifier != 0);
    assert_true(file_has(a, "postgresql.conf", "postgresql.base.conf"));
    assert_true(file_has(a, "pg_hba.conf", "host replication repl"));
    assert_false(has_file(a, "raft/partial"));
}

static void test_a_second_initdb_is_refused(void **state)
{
    const struct pg_action action = new_action(PG_ACTION_INITDB);

    (void)state;
    assert_int_equal(run_action(a, &action), PG_RESULT_REFUSED);
    assert_int_equal(a->facts.data, PG_DATA_VALID);
}

static void test_a_writable_start_ends_with_the_marker(void **state)
{
    (void)state;
    do_simple(a, PG_ACTION_START_PRIMARY, 1);
    assert_int_equal(a->facts.run, PG_RUN_UP);
    assert_true(a->facts.writable);
    assert_int_equal(a->facts.start_epoch, 1);
    assert_int_equal(a->facts.guard_epoch, 1);
    assert_int_equal(a->facts.record.marker_epoch, 1);
    assert_int_equal(a->done.position.timeline, 1);
    assert_int_equal(a->done.position.lsn, a->facts.marker_lsn);
    assert_true(file_has(a, "pgbaton.record", "marker_epoch: 1"));
    assert_sql(a, "SHOW restart_after_crash", "off");
}

static void test_bootstrap_makes_roles_and_runs_the_command(void **state)
{
    (void)state;
    do_simple(a, PG_ACTION_BOOTSTRAP_SQL, 0);
    assert_sql(a, "SELECT rolreplication FROM pg_roles WHERE rolname = 'repl'", "t");
    assert_sql(a, "SELECT rolcreatedb FROM pg_roles WHERE rolname = 'app'", "t");
    assert_true(has_file(a, "post_bootstrap"));
    do_simple(a, PG_ACTION_BOOTSTRAP_SQL, 0); /* A second time alters the same roles. */
}

static void reload_with(struct node_under_test *node, const char *dynamic_json)
{
    local_configure(node->local, dynamic_json);
    do_simple(node, PG_ACTION_RELOAD, 0);
}

static void test_parameters_that_postgresql_refuses_are_left_out(void **state)
{
    (void)state;
    reload_with(
        a, "{\"postgresql\": {\"parameters\": {\"no_such_name\": 1, \"work_mem\": \"much\","
           " \"is_superuser\": \"on\", \"zero_damaged_pages\": \"on\", \"my.own\": \"x\","
           " \"log_destination\": \"syslog\", \"log_min_messages\": \"panic\"}}}");
    assert_false(file_has(a, "postgresql.conf", "no_such_name"));
    assert_false(file_has(a, "postgresql.conf", "work_mem"));
    assert_false(file_has(a, "postgresql.conf", "is_superuser"));
    assert_true(file_has(a, "postgresql.conf", "zero_damaged_pages = 'on'")); /* A developer's. */
    assert_true(file_has(a, "postgresql.conf", "my.own = 'x'"));
    assert_true(file_has(a, "postgresql.conf", "log_min_messages = 'panic'"));
    assert_false(has_file(a, "pg/data.pgpass.check"));
    reload_with(a, "{}");
    assert_false(file_has(a, "postgresql.conf", "zero_damaged_pages"));
}

static void test_a_changed_parameter_of_the_command_line_waits_for_a_restart(void **state)
{
    (void)state;
    assert_false(a->facts.pending_restart);
    reload_with(a, "{\"postgresql\": {\"parameters\": {\"max_connections\": 150}}}");
    WAIT_FOR(a, a->facts.pending_restart);
    assert_string_equal(
        a->facts.pending_restart_reason,
        "{ \"max_connections\" : {\"old_value\" : \"100\", \"new_value\" : \"150\"} }");
    reload_with(a, "{}");
    WAIT_FOR(a, !a->facts.pending_restart);
}

static void test_our_defaults_give_way_to_settings(void **state)
{
    (void)state;
    assert_sql(a, "SHOW recovery_init_sync_method", files_syncfs_reports() ? "syncfs" : "fsync");
    reload_with(
        a, "{\"postgresql\": {\"parameters\": {\"recovery_init_sync_method\": \"fsync\","
           " \"wal_retrieve_retry_interval\": 700}}}");
    WAIT_FOR(a, shows(a, "wal_retrieve_retry_interval", "700ms"));
    assert_sql(a, "SHOW recovery_init_sync_method", "fsync");
    reload_with(a, "{}");
    WAIT_FOR(a, shows(a, "wal_retrieve_retry_interval", "500ms"));
}

/* The session reads the new files before it answers a query that was sent before them. */
static void change_superuser(const char *name)
{
    conf_unload(&a->file);
    a->superuser = name;
    load_settings(a, false);
    local_reload(a->local, &a->file.conf);
}

/* It lives, and time alone changes nothing: what does is seen within a second or two. */
static void test_a_refused_connection_is_tried_again_in_peace(void **state)
{
    uint64_t refused_ms;

    (void)state;
    sql(a, "CREATE ROLE boss SUPERUSER LOGIN", NULL, 0);
    log_set_sink(keep_log);
    sql(a,
        "ALTER ROLE postgres NOLOGIN;"
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        NULL, 0);
    WAIT_FOR(a, count_in_log("is not permitted to log in") == 1);
    refused_ms = clock_boot_ms();
    assert_false(a->facts.sql_ok);
    assert_int_equal(a->facts.run, PG_RUN_UP);
    change_superuser("boss");
    WAIT_FOR(a, a->facts.sql_ok);
    assert_true(clock_boot_ms() - refused_ms >= 500);
    assert_int_equal(count_in_log("could not connect to PostgreSQL"), 1);
    assert_int_equal(count_in_log("the state of PostgreSQL is known again"), 1);
    query_run_as("boss", a->port, "ALTER ROLE postgres LOGIN", NULL, 0);
    change_superuser("postgres");
}

/* It would be too late when it is promoted, or started again as a standby. */
static void test_parameters_of_the_other_role_are_asked_about_too(void **state)
{
    (void)state;
    log_text[0] = '\0';
    reload_with(a, "{}");
    assert_true(count_in_log("parameter \"no_primary_name\"") > 0);
    assert_true(count_in_log("parameter \"no_replica_name\"") > 0);
    assert_true(file_has(a, "postgresql.conf", "test.role = 'primary'"));
    assert_false(file_has(a, "postgresql.conf", "no_primary_name"));
}

static void test_a_query_that_new_settings_overtake_is_not_believed_for_long(void **state)
{
    uint64_t stopped_ms;
    char cell[16];
    pid_t session;

    (void)state;
    reload_with(a, "{\"postgresql\": {\"parameters\": {\"max_connections\": 150}}}");
    WAIT_FOR(a, a->facts.pending_restart);
    sql(a, "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbaton'", cell,
        sizeof cell);
    session = (pid_t)strtol(cell, NULL, 10);
    assert_true(session > 0);
    assert_int_equal(kill(session, SIGSTOP), 0);
    stopped_ms = clock_boot_ms();
    WAIT_FOR(a, time_since(clock_boot_ms(), stopped_ms) >= 300); /* A query waits for it by now. */
    reload_with(a, "{}");
    assert_int_equal(kill(session, SIGCONT), 0);
    WAIT_FOR(a, !a->facts.pending_restart);
}

static void test_a_clone_is_a_directory_of_its_own_with_the_same_wal(void **state)
{
    (void)state;
    sql(a, "CREATE TABLE t (n int)", NULL, 0);
    WAIT_FOR(b, b->has_facts && b->facts.data == PG_DATA_EMPTY && b->facts.guard_ok);
    do_towards(b, PG_ACTION_CLONE, a);
    assert_int_equal(b->facts.data, PG_DATA_VALID);
    assert_int_equal(b->facts.system_identifier, a->facts.system_identifier);
    assert_int_equal(b->facts.record.marker_epoch, 1);
    assert_int_not_equal(b->facts.record.data_dir_id, 0);
    assert_int_not_equal(b->facts.record.data_dir_id, a->facts.record.data_dir_id);
    assert_false(has_file(b, "raft/partial"));
}

static void test_a_clone_may_leave_out_the_methods_of_the_settings(void **state)
{
    struct pg_action action = towards(PG_ACTION_CLONE, a);

    (void)state;
    local_configure(
        b->local, "{\"postgresql\": {\"create_replica_methods\": [\"backup\"],"
                  " \"backup\": {\"command\": \"false\"}}}");
    assert_int_equal(run_action(b, &action), PG_RESULT_FAILED);
    action = towards(PG_ACTION_CLONE, a);
    action.basebackup_only = true;
    expect_ok(b, &action);
    assert_int_equal(b->facts.data, PG_DATA_VALID);
    local_configure(b->local, "{}");
}

static void test_a_clone_of_another_cluster_is_refused(void **state)
{
    struct pg_action action = towards(PG_ACTION_CLONE, a);

    (void)state;
    action.system_identifier++;
    assert_int_equal(run_action(b, &action), PG_RESULT_REFUSED);
    assert_int_equal(b->facts.data, PG_DATA_VALID);
}

static void test_a_standby_starts_without_upstream(void **state)
{
    (void)state;
    /* Less than its primary has would end replay: more is used, and a restart is pending. */
    local_configure(b->local, "{\"postgresql\": {\"parameters\": {\"max_connections\": 50}}}");
    do_simple(b, PG_ACTION_START_STANDBY, 0);
    WAIT_FOR(b, b->facts.run == PG_RUN_UP && b->facts.sql_ok);
    WAIT_FOR(b, b->facts.pending_restart);
    assert_non_null(strstr(b->facts.pending_restart_reason, "\"old_value\" : \"100\""));
    assert_non_null(strstr(b->facts.pending_restart_reason, "\"new_value\" : \"50\""));
    local_configure(b->local, "{}");
    assert_true(b->facts.in_recovery);
    assert_false(b->facts.conninfo_set);
    assert_false(b->facts.receiver_running);
    assert_int_equal(b->facts.guard_epoch, 0);
}

static void test_a_standby_follows_by_reload(void **state)
{
    const uint64_t start_id = b->facts.start_id;

    (void)state;
    do_towards(b, PG_ACTION_FOLLOW, a);
    sql(a, "INSERT INTO t VALUES (1)", NULL, 0);
    sql(a, "CREATE TABLE many AS SELECT generate_series(1, 50000) AS n", NULL, 0);
    WAIT_FOR(b, text_equal(b->facts.receiver_state, "streaming"));
    WAIT_FOR(a, a->facts.replica_count == 1);
    assert_string_equal(a->facts.replicas[0].application_name, "b");
    assert_int_equal(b->facts.start_id, start_id);
    assert_int_equal(b->facts.record.follow_epoch, 1);
    assert_true(b->facts.conninfo_set);
    assert_sql(a, "SELECT active FROM pg_replication_slots WHERE slot_name = 'b'", "t");
    {
        const uint64_t lsn = sql_lsn(a, "SELECT pg_current_wal_lsn()");

        WAIT_FOR(b, b->facts.replayed_lsn >= lsn);
    }
    assert_sql(b, "SELECT count(*) FROM t", "1");
}

static void test_another_clusters_primary_is_not_followed(void **state)
{
    struct pg_action action = towards(PG_ACTION_FOLLOW, a);

    (void)state;
    action.system_identifier++;
    assert_int_equal(run_action(b, &action), PG_RESULT_REFUSED);
}

static void promote_in_vain(void)
{
    struct pg_action action = new_action(PG_ACTION_PROMOTE);

    action.epoch = 2;
    conf_unload(&b->file);
    load_settings(b, true);
    local_reload(b->local, &b->file.conf);
    local_start(b->local, &action);
    local_renew(b->local, action.epoch, action.fence_at_ms, action.deadline_ms); /* Too early. */
    WAIT_FOR(b, b->done.id == action.id);
    assert_int_equal(refused_renewals, 0);
    assert_int_equal(b->done.result, PG_RESULT_REFUSED);
    assert_true(text_starts_with(b->done.text, "pre_promote said no"));
    conf_unload(&b->file);
    load_settings(b, false);
    local_reload(b->local, &b->file.conf);
}

/* PostgreSQL asks it for more when it is promoted, and the old primary may have put more there. */
static void test_an_archive_is_out_of_the_files_before_a_promotion(void **state)
{
    (void)state;
    local_configure(
        b->local, "{\"postgresql\": {\"recovery_conf\": {\"restore_command\": \"false\"}}}");
    do_towards(b, PG_ACTION_FOLLOW, a);
    WAIT_FOR(b, shows(b, "restore_command", "false"));
    promote_in_vain();
    assert_true(file_has(b, "postgresql.conf", "restore_command = ''"));
    WAIT_FOR(b, shows(b, "restore_command", ""));
    local_configure(b->local, "{}");
    do_towards(b, PG_ACTION_FOLLOW, a);
    WAIT_FOR(b, text_equal(b->facts.receiver_state, "streaming"));
}

static void test_cut_ends_the_stream_for_good(void **state)
{
    uint64_t lsn;

    (void)state;
    /* The hard case: replay is paused, then a reload alone does not end the receiver. */
    sql(b, "SELECT pg_wal_replay_pause()", NULL, 0);
    sql(b, "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'", NULL, 0);
    do_simple(b, PG_ACTION_CUT, 0);
    assert_false(b->facts.receiver_running);
    assert_false(b->facts.conninfo_set);
    assert_false(file_has(b, "postgresql.auto.conf", "primary_conninfo"));
    lsn = sql_lsn(b, "SELECT pg_last_wal_receive_lsn()");
    sql(a, "INSERT INTO t SELECT generate_series(1, 1000)", NULL, 0);
    sql(a, "SELECT pg_switch_wal()", NULL, 0);
    assert_int_equal(sql_lsn(b, "SELECT pg_last_wal_receive_lsn()"), lsn);
    assert_sql(b, "SELECT count(*) FROM pg_stat_wal_receiver", "0");
    assert_int_equal(b->done.position.lsn, lsn);
}

/* A member's slot on the standby `b`, as the daemon would ask for it. */
static void want_slot(const char *name, uint64_t lsn, bool absent)
{
    struct pg_slots slots = {.count = 1};

    text_copy_cut(slots.items[0].name, PG_NAME_SIZE, name);
    slots.items[0].lsn = lsn;
    slots.items[0].absent = absent;
    local_set_slots(b->local, &slots);
}

#define WAIT_SQL(node, query, expected)                                                       \
    do {                                                                                      \
        char found[64] = "";                                                                  \
        WAIT_FOR(node, (sql(node, query, found, sizeof found), text_equal(found, expected))); \
    } while (0)

static void test_a_standby_keeps_the_wal_that_a_member_lacks(void **state)
{
    const char *count = "SELECT count(*) FROM pg_replication_slots";
    const char *place = "SELECT restart_lsn FROM pg_replication_slots";
    const uint64_t replayed = sql_lsn(b, "SELECT pg_last_wal_replay_lsn()");
    char expected[PG_LSN_TEXT_SIZE];
    uint64_t first;

    (void)state;
    want_slot("c", 0, false);
    WAIT_SQL(b, count, "1");
    first = sql_lsn(b, place);
    assert_true(first != 0 && first < replayed);

    /* Moved on to what the member has ... */
    pg_lsn_print(first + 1000, expected);
    want_slot("c", first + 1000, false);
    WAIT_SQL(b, place, expected);

    /* ... never back, and never past what is here. */
    want_slot("c", first, true);
    want_slot("c", replayed + (UINT64_C(1) << 32), false);
    pg_lsn_print(sql_lsn(b, "SELECT pg_last_wal_replay_lsn()"), expected);
    WAIT_SQL(b, place, expected);
}

static void test_a_slot_is_kept_for_a_member_that_is_absent_but_not_for_ever(void **state)
{
    const char *count = "SELECT count(*) FROM pg_replication_slots";

    (void)state;
    want_slot("c", 0, true);
    WAIT_SQL(b, count, "1");
    local_configure(b->local, "{\"member_slots_ttl\": 1}");
    WAIT_SQL(b, count, "0");
    want_slot("c", 0, false); /* It is back. */
    WAIT_SQL(b, count, "1");
    want_slot("a", 0, false); /* And no member any more. */
    WAIT_SQL(b, "SELECT slot_name FROM pg_replication_slots", "a");
    local_configure(b->local, "{}");
}

static void test_pre_promote_can_refuse(void **state)
{
    (void)state;
    promote_in_vain();
    assert_int_equal(b->facts.guard_epoch, 0);
    assert_sql(b, "SELECT pg_is_in_recovery()", "t");
    reload_for_role(b, "replica");
}

static void test_promotion_makes_a_new_timeline_and_the_marker(void **state)
{
    (void)state;
    /* There is no fence to be moved yet, and the guard would say so. */
    local_renew(b->local, 2, clock_boot_ms() + LEASE_MS - 1000, clock_boot_ms() + LEASE_MS);
    do_simple(b, PG_ACTION_PROMOTE, 2);
    assert_int_equal(count_in_log("the guard refused"), 0);
    assert_int_equal(b->done.position.timeline, 2);
    assert_true(b->facts.writable);
    assert_int_equal(b->facts.guard_epoch, 2);
    assert_int_equal(b->facts.record.marker_epoch, 2);
    assert_false(b->facts.in_recovery);
    WAIT_FOR(b, shows(b, "test.role", "primary"));
    sql(b, "INSERT INTO t VALUES (2)", NULL, 0);
}

/* PostgreSQL's own would take a tenth of a second for each page of the table "many". */
static void test_a_promotion_is_followed_by_a_quick_checkpoint(void **state)
{
    char timeline[16] = "";

    (void)state;
    WAIT_MS(
        b, 5000,
        (sql(b, "SELECT timeline_id FROM pg_control_checkpoint()", timeline, sizeof timeline),
         text_equal(timeline, "2")));
}

static void test_an_epoch_that_is_over_is_refused_by_the_guard(void **state)
{
    struct pg_action action = new_action(PG_ACTION_START_PRIMARY);

    (void)state;
    do_stop(a, PG_STOP_FAST);
    action.epoch = 1;
    assert_int_equal(run_action(a, &action), PG_RESULT_REFUSED);
}

static void test_a_clean_stop_reports_the_end_of_wal(void **state)
{
    (void)state;
    assert_int_equal(a->facts.run, PG_RUN_STOPPED);
    assert_false(a->facts.crashed);
    assert_true(a->facts.shut_down_cleanly);
    assert_true(a->facts.was_primary);
    assert_int_equal(a->facts.wal_end.timeline, 1);
    assert_true(a->facts.wal_end.lsn > a->facts.control_end.lsn);
}

static void test_a_rewound_primary_follows_the_new_one(void **state)
{
    const uint64_t old_id = a->facts.record.data_dir_id;

    (void)state;
    do_towards(a, PG_ACTION_REWIND, b);
    assert_int_equal(a->facts.data, PG_DATA_VALID);
    assert_int_not_equal(a->facts.record.data_dir_id, old_id);
    assert_int_not_equal(a->facts.record.data_dir_id, b->facts.record.data_dir_id);
    assert_int_equal(a->facts.record.marker_epoch, 2);
    do_simple(a, PG_ACTION_START_STANDBY, 0);
    do_towards(a, PG_ACTION_FOLLOW, b);
    WAIT_FOR(a, text_equal(a->facts.receiver_state, "streaming"));
    {
        const uint64_t lsn = sql_lsn(b, "SELECT pg_current_wal_lsn()");

        WAIT_FOR(a, a->facts.replayed_lsn >= lsn);
    }
    assert_sql(a, "SELECT count(*) FROM t", "2");
}

static void test_a_new_daemon_finds_the_server_as_it_was(void **state)
{
    const uint64_t start_id = b->facts.start_id;
    char pid[32];

    (void)state;
    sql(b, "SELECT pg_backend_pid() FROM pg_stat_activity LIMIT 1", pid, sizeof pid);
    close_node(b);
    open_node(b);
    WAIT_FOR(b, b->has_facts && b->facts.run == PG_RUN_UP && b->facts.sql_ok);
    assert_int_equal(b->facts.start_id, start_id);
    assert_int_equal(b->facts.guard_epoch, 2);
    assert_true(b->facts.writable);
    assert_int_equal(b->facts.start_epoch, 2);
    WAIT_FOR(b, b->facts.record.marker_epoch == 2);
}

static void test_a_new_daemon_keeps_the_settings_of_the_servers_role(void **state)
{
    (void)state;
    reload_for_role(b, "primary");
    WAIT_FOR(b, shows(b, "test.role", "primary"));
}

static void test_a_new_daemon_leaves_the_stream_alone(void **state)
{
    const pid_t receiver = child(a, "walreceiver");

    (void)state;
    close_node(a);
    open_node(a);
    WAIT_FOR(
        a, a->has_facts && a->facts.sql_ok && text_equal(a->facts.receiver_state, "streaming"));
    do_towards(a, PG_ACTION_FOLLOW, b);
    reload_for_role(a, "replica");
    sql(a, "CHECKPOINT", NULL, 0);
    assert_int_equal(child(a, "walreceiver"), receiver);
}

static void test_a_clean_stop_is_received_to_its_last_byte(void **state)
{
    (void)state;
    sql(b, "INSERT INTO t SELECT generate_series(1, 5000)", NULL, 0);
    do_stop(b, PG_STOP_FAST);
    WAIT_FOR(a, a->facts.received_lsn >= b->done.position.lsn);
    assert_int_equal(a->facts.received_lsn, b->done.position.lsn);
    assert_int_equal(b->done.position.timeline, 2);
}

static void test_an_old_primary_that_stopped_in_time_needs_no_rewind(void **state)
{
    (void)state;
    do_simple(a, PG_ACTION_CUT, 0);
    do_simple(a, PG_ACTION_PROMOTE, 3);
    assert_int_equal(a->done.position.timeline, 3);
    do_simple(b, PG_ACTION_START_STANDBY, 0);
    do_towards(b, PG_ACTION_FOLLOW, a);
    WAIT_FOR(b, text_equal(b->facts.receiver_state, "streaming"));
    /* The first commit of epoch 3 has come: the record says so. */
    WAIT_FOR(b, b->facts.record.marker_epoch == 3);
    assert_true(file_has(b, "pgbaton.record", "marker_epoch: 3"));
}

static void test_a_crash_is_seen_and_the_end_of_wal_found(void **state)
{
    uint64_t lsn;

    (void)state;
    sql(a, "INSERT INTO t SELECT generate_series(1, 20000)", NULL, 0);
    lsn = sql_lsn(a, "SELECT pg_current_wal_flush_lsn()");
    assert_int_equal(kill(postmaster(a), SIGKILL), 0);
    WAIT_FOR(a, a->facts.run == PG_RUN_STOPPED && a->facts.wal_end.lsn != 0);
    assert_true(a->facts.crashed);
    assert_false(a->facts.shut_down_cleanly);
    assert_true(a->facts.was_primary);
    assert_int_equal(a->facts.wal_end.timeline, 3);
    assert_true(a->facts.wal_end.lsn >= lsn);
    assert_true(a->facts.redo_bytes > 0);
    WAIT_FOR(b, b->facts.received_lsn >= lsn);
    assert_true(b->facts.received_lsn <= a->facts.wal_end.lsn);
}

static void test_a_crashed_server_starts_again_in_place(void **state)
{
    (void)state;
    do_simple(a, PG_ACTION_START_PRIMARY, 4);
    assert_int_equal(a->done.position.timeline, 3);
    assert_true(a->facts.writable);
    assert_int_equal(a->facts.start_epoch, 4);
    assert_false(a->facts.crashed);
    /* Its receiver has found the server again by itself, and stays. */
    WAIT_FOR(b, text_equal(b->facts.receiver_state, "streaming"));
    do_towards(b, PG_ACTION_FOLLOW, a);
    WAIT_FOR(b, b->facts.record.marker_epoch == 4);
}

static void test_a_crashed_primary_is_rewound(void **state)
{
    (void)state;
    do_simple(b, PG_ACTION_CUT, 0);
    sql(a, "INSERT INTO t SELECT generate_series(1, 1000)", NULL, 0);
    do_simple(b, PG_ACTION_PROMOTE, 5);
    do_stop(a, PG_STOP_KILL);
    do_towards(a, PG_ACTION_REWIND, b);
    do_simple(a, PG_ACTION_START_STANDBY, 0);
    do_towards(a, PG_ACTION_FOLLOW, b);
    WAIT_FOR(a, text_equal(a->facts.receiver_state, "streaming"));
    assert_int_equal(a->facts.record.marker_epoch, 5);
}

static void on_load_done(void *owner, const struct run_result *result)
{
    bool *ended = owner;

    (void)result;
    *ended = true;
}

/*
 * What the source writes while pg_rewind works is needed for consistency, and only streaming
 * brings it: the standby is pointed at its upstream before it accepts connections.
 */
static void test_a_rewind_under_load_becomes_consistent_by_streaming(void **state)
{
    static const struct run_events load_events = {.done = on_load_done};
    static struct run_spec spec;
    bool ended = false;
    struct run *load;
    char script[TEST_PATH_SIZE];
    const char *words = "INSERT INTO t SELECT generate_series(1, 50);\n";
    struct err err;

    (void)state;
    do_simple(a, PG_ACTION_CUT, 0);
    do_simple(a, PG_ACTION_PROMOTE, 6);
    sql(a, "INSERT INTO t SELECT generate_series(1, 1000)", NULL, 0);
    do_stop(a, PG_STOP_FAST);
    test_path(script, folder, "load.sql");
    test_ok(file_replace(script, words, strlen(words), 0644, &err), &err);
    run_spec_init(&spec);
    run_spec_env(&spec, "PGPASSWORD=secret");
    run_spec_arg(&spec, "/usr/lib/postgresql/15/bin/pgbench");
    run_spec_arg(&spec, "-n");
    run_spec_arg(&spec, "-c2");
    run_spec_arg(&spec, "-T60");
    run_spec_arg(&spec, "-f%s", script);
    run_spec_arg(&spec, "-h127.0.0.1");
    run_spec_arg(&spec, "-p%u", (unsigned)b->port);
    run_spec_arg(&spec, "-Upostgres");
    run_spec_arg(&spec, "postgres");
    load = run_start(&loop, &spec, &load_events, &ended);
    WAIT_FOR(b, ended || b->facts.position.lsn > b->facts.marker_lsn + 1000000);
    assert_false(ended);
    do_towards(a, PG_ACTION_REWIND, b);
    do_simple(a, PG_ACTION_START_STANDBY, 0);
    do_towards(a, PG_ACTION_FOLLOW, b);
    WAIT_FOR(a, text_equal(a->facts.receiver_state, "streaming"));
    assert_int_equal(a->facts.run, PG_RUN_UP);
    assert_int_equal(a->facts.record.marker_epoch, 5);
    assert_false(ended);
    run_kill(load);
    WAIT_FOR(b, ended);
}

static void test_a_stop_cancels_a_clone_and_leaves_it_partial(void **state)
{
    const struct pg_action clone = towards(PG_ACTION_CLONE, b);
    struct pg_action stop = new_action(PG_ACTION_STOP);

    (void)state;
    do_stop(a, PG_STOP_IMMEDIATE);
    stop.stop = PG_STOP_IMMEDIATE;
    local_start(a->local, &clone);
    WAIT_FOR(a, a->facts.data == PG_DATA_PARTIAL);
    local_start(a->local, &stop);
    WAIT_FOR(a, a->done.id == stop.id);
    assert_int_equal(a->cancelled.id, clone.id);
    assert_int_equal(a->done.result, PG_RESULT_OK);
    WAIT_FOR(a, a->facts.data == PG_DATA_PARTIAL || a->facts.data == PG_DATA_EMPTY);
    do_towards(a, PG_ACTION_CLONE, b);
    assert_int_equal(a->facts.data, PG_DATA_VALID);
    assert_int_equal(a->facts.record.marker_epoch, 5);
}

static void test_a_rewind_that_cannot_reach_its_source_changes_nothing(void **state)
{
    struct pg_action action = towards(PG_ACTION_REWIND, b);
    const uint64_t id = a->facts.record.data_dir_id;

    (void)state;
    action.upstream.port = 1;
    assert_int_equal(run_action(a, &action), PG_RESULT_FAILED);
    assert_true(text_starts_with(a->done.text, "could not connect"));
    WAIT_FOR(a, a->facts.data == PG_DATA_VALID);
    assert_int_equal(a->facts.record.data_dir_id, id);
    assert_false(a->facts.record.partial);
}

static void test_a_server_that_ran_before_is_taken_over(void **state)
{
    (void)state;
    /* Started by somebody else, and not under the guard. */
    close_node(a);
    end_guard(a);
    start_by_hand(a);
    open_node(a);
    WAIT_FOR(a, a->has_facts && a->facts.run == PG_RUN_UP && a->facts.sql_ok);
    assert_true(a->facts.in_recovery);
    reload_for_role(a, "replica");
    do_towards(a, PG_ACTION_FOLLOW, b);
    WAIT_FOR(a, text_equal(a->facts.receiver_state, "streaming"));
    do_stop(a, PG_STOP_FAST);
}

/* Two cannot run on one directory, so it stands in the way of any start of ours. */
static void test_a_server_that_somebody_starts_beside_us_is_taken_over(void **state)
{
    const struct pg_action start = new_action(PG_ACTION_START_STANDBY);

    (void)state;
    start_by_hand(a);
    /* It listens where ours would, and is not taken for it. */
    assert_int_equal(run_action(a, &start), PG_RESULT_FAILED);
    WAIT_FOR(a, a->facts.run == PG_RUN_UP && a->facts.sql_ok);
    assert_true(a->facts.in_recovery);
    do_stop(a, PG_STOP_FAST);
}

static void test_the_guards_death_is_the_servers_and_counts_as_a_crash(void **state)
{
    (void)state;
    assert_int_equal(b->facts.run, PG_RUN_UP);
    signal_guard(b, SIGKILL);
    WAIT_FOR(b, b->facts.guard_ok && b->facts.run == PG_RUN_STOPPED && b->facts.wal_end.lsn != 0);
    assert_true(b->facts.crashed);
    assert_false(b->facts.shut_down_cleanly);
}

static void test_a_primary_that_ran_before_is_taken_over_without_a_restart(void **state)
{
    char before[64];

    (void)state;
    close_node(b);
    end_guard(b);
    start_by_hand(b);
    sql(b, "SELECT pg_postmaster_start_time()", before, sizeof before);
    open_node(b);
    WAIT_FOR(b, b->has_facts && b->facts.run == PG_RUN_UP && b->facts.sql_ok);
    assert_false(b->facts.writable);
    reload_for_role(b, "primary");
    do_simple(b, PG_ACTION_START_PRIMARY, 9);
    assert_true(b->facts.writable);
    assert_int_equal(b->facts.guard_epoch, 9);
    assert_sql(b, "SELECT pg_postmaster_start_time()", before);
}

static void test_a_primary_that_is_granted_again_gets_the_next_marker_and_goes_on(void **state)
{
    char before[64];

    (void)state;
    sql(b, "SELECT pg_postmaster_start_time()", before, sizeof before);
    do_simple(b, PG_ACTION_PROMOTE, 10);
    assert_true(b->facts.writable);
    assert_int_equal(b->facts.start_epoch, 10);
    assert_int_equal(b->facts.guard_epoch, 10);
    assert_int_equal(b->facts.record.marker_epoch, 10);
    assert_int_equal(b->done.position.lsn, b->facts.marker_lsn);
    assert_sql(b, "SELECT pg_postmaster_start_time()", before);
}

static bool sends_to_standby(void)
{
    return b->facts.replica_count == 1 && text_equal(b->facts.replicas[0].state, "streaming");
}

/*
 * Node a streams from b, with a receiver that hangs. That one calls itself streaming before it has
 * asked for WAL, and a sender that was not asked yet is no sender in a stop.
 */
static pid_t stop_receiver(void)
{
    pid_t receiver;

    do_simple(a, PG_ACTION_START_STANDBY, 0);
    do_towards(a, PG_ACTION_FOLLOW, b);
    WAIT_FOR(b, sends_to_standby());
    receiver = child(a, "walreceiver");
    assert_int_equal(kill(receiver, SIGSTOP), 0);
    return receiver;
}

/* With much to send the WAL sender blocks, with little it waits for the last answer. */
static void stop_while_the_standby_hangs(const char *query, uint64_t next_epoch)
{
    const pid_t receiver = stop_receiver();
    uint64_t lsn;

    sql(b, query, NULL, 0);
    lsn = sql_lsn(b, "SELECT pg_current_wal_flush_lsn()");
    WAIT_FOR(b, b->facts.position.lsn >= lsn);
    do_stop(b, PG_STOP_FAST);
    assert_true(b->facts.shut_down_cleanly);
    assert_int_equal(b->done.position.lsn, b->facts.wal_end.lsn);
    assert_true(b->done.position.lsn > b->facts.control_end.lsn);
    assert_true(sql_lsn(a, "SELECT pg_last_wal_receive_lsn()") < b->done.position.lsn);
    assert_int_equal(kill(receiver, SIGCONT), 0);
    do_stop(a, PG_STOP_FAST);
    do_simple(b, PG_ACTION_START_PRIMARY, next_epoch);
}

static void test_a_fast_stop_does_not_wait_for_a_standby_that_hangs(void **state)
{
    (void)state;
    stop_while_the_standby_hangs("INSERT INTO t VALUES (1)", 11);
    stop_while_the_standby_hangs("INSERT INTO t SELECT generate_series(1, 200000)", 12);
}

/* A receiver that has ended has written no more than before. */
static bool has_written_more(uint64_t *written)
{
    char cell[64];
    const uint64_t before = *written;

    sql(a, "SELECT written_lsn FROM pg_stat_wal_receiver", cell, sizeof cell);
    return pg_lsn_parse(cell, written) && *written > before;
}

/*
 * Slower and slower, but never as long without a sign of life as it takes to be given up. One that
 * is quick between two halts may have everything, and end the stop, before the last of them.
 */
static void test_a_fast_stop_waits_for_a_standby_that_still_receives(void **state)
{
    const struct pg_action stop = new_action(PG_ACTION_STOP);
    const pid_t receiver = stop_receiver();
    uint64_t written = 0;

    (void)state;
    sql(b, "INSERT INTO t SELECT generate_series(1, 500000)", NULL, 0);
    (void)has_written_more(&written); /* The point to begin from. */
    local_start(b->local, &stop);
    for (int i = 0; i < 4 && b->done.id != stop.id; i++) {
        const uint64_t began_ms = clock_boot_ms();

        WAIT_FOR(a, time_since(clock_boot_ms(), began_ms) >= 400);
        (void)kill(receiver, SIGCONT); /* If it is still there. */
        WAIT_FOR(a, b->done.id == stop.id || has_written_more(&written));
        (void)kill(receiver, SIGSTOP);
    }
    (void)kill(receiver, SIGCONT);
    WAIT_FOR(b, b->done.id == stop.id);
    assert_int_equal(b->done.result, PG_RESULT_OK);
    assert_true(b->facts.shut_down_cleanly);
    WAIT_FOR(a, a->facts.received_lsn >= b->done.position.lsn);
    do_stop(a, PG_STOP_KILL);
}

/* Its checkpointer hangs, say. */
static void test_a_fast_stop_gives_way_to_an_immediate_one(void **state)
{
    const struct pg_action fast = new_action(PG_ACTION_STOP);
    struct pg_action immediate = new_action(PG_ACTION_STOP);
    uint64_t lsn;

    (void)state;
    immediate.stop = PG_STOP_IMMEDIATE;
    do_simple(b, PG_ACTION_START_PRIMARY, 13);
    sql(b, "INSERT INTO t VALUES (1)", NULL, 0);
    lsn = sql_lsn(b, "SELECT pg_current_wal_flush_lsn()");
    assert_int_equal(kill(child(b, "checkpointer"), SIGSTOP), 0);
    local_start(b->local, &fast);
    WAIT_FOR(b, b->facts.run == PG_RUN_STOPPING);
    expect_ok(b, &immediate);
    assert_int_equal(b->cancelled.id, fast.id);
    assert_false(b->facts.shut_down_cleanly);
    assert_false(b->facts.crashed);
    assert_true(b->done.position.lsn >= lsn);
    do_simple(b, PG_ACTION_START_PRIMARY, 14);
}

/* --- What comes before a planned stop. --- */

static void set_before_stop(const char *script)
{
    char path[TEST_PATH_SIZE];
    struct err err;

    test_path(path, b->dir, "before_stop.sh");
    test_ok(file_replace(path, script, strlen(script), 0755, &err), &err);
    test_path(path, b->dir, "before_stop.out");
    (void)unlink(path);
}

static void remove_before_stop(void)
{
    char path[TEST_PATH_SIZE];

    test_path(path, b->dir, "before_stop.sh");
    assert_int_equal(unlink(path), 0);
}

static void test_a_stop_is_prepared_while_the_server_serves(void **state)
{
    static const char writes[] = "#!/bin/sh\necho >$(dirname $0)/before_stop.out\n";
    struct pg_action stop = new_action(PG_ACTION_STOP);
    uint64_t lsn;
    uint64_t redo_lsn;

    (void)state;
    set_before_stop(writes);
    sql(b, "INSERT INTO t VALUES (1)", NULL, 0);
    lsn = sql_lsn(b, "SELECT pg_current_wal_flush_lsn()");
    do_simple(b, PG_ACTION_PREPARE_STOP, 14);
    assert_int_equal(b->facts.run, PG_RUN_UP);
    redo_lsn = sql_lsn(b, "SELECT redo_lsn FROM pg_control_checkpoint()");
    assert_true(redo_lsn >= lsn);
    assert_true(has_file(b, "before_stop.out"));
    set_before_stop(writes);
    stop.prepared = true;
    expect_ok(b, &stop);
    assert_false(has_file(b, "before_stop.out")); /* Once is enough. */
    do_simple(b, PG_ACTION_START_PRIMARY, 15);
    do_stop(b, PG_STOP_FAST);
    assert_true(has_file(b, "before_stop.out"));
    remove_before_stop();
    do_simple(b, PG_ACTION_START_PRIMARY, 16);
}

static bool waits_for_checkpoint(const struct node_under_test *node)
{
    char count[16];

    sql(node,
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'CHECKPOINT' AND state = 'active'",
        count, sizeof count);
    return text_equal(count, "1");
}

static void test_a_preparation_gives_way_to_whatever_comes(void **state)
{
    const struct pg_action prepare = new_action(PG_ACTION_PREPARE_STOP);
    const pid_t checkpointer = child(b, "checkpointer");

    (void)state;
    assert_int_equal(kill(checkpointer, SIGSTOP), 0);
    local_start(b->local, &prepare);
    WAIT_FOR(b, waits_for_checkpoint(b));
    do_simple(b, PG_ACTION_RELOAD, 16);
    assert_int_equal(b->cancelled.id, prepare.id);
    assert_int_equal(kill(checkpointer, SIGCONT), 0);
}

static void test_a_preparation_ends_with_the_server(void **state)
{
    static const char hangs[] = "#!/bin/sh\necho >$(dirname $0)/before_stop.out\nexec sleep 1000\n";
    struct pg_action prepare = new_action(PG_ACTION_PREPARE_STOP);

    (void)state;
    set_before_stop(hangs);
    local_start(b->local, &prepare);
    WAIT_FOR(b, has_file(b, "before_stop.out"));
    assert_int_equal(kill(postmaster(b), SIGKILL), 0);
    WAIT_FOR(b, b->done.id == prepare.id);
    assert_int_equal(b->done.result, PG_RESULT_FAILED);
    remove_before_stop();
    WAIT_FOR(b, b->facts.run == PG_RUN_STOPPED && b->facts.wal_end.lsn != 0);
    do_simple(b, PG_ACTION_START_PRIMARY, 17);
    prepare = new_action(PG_ACTION_PREPARE_STOP);
    assert_int_equal(kill(child(b, "checkpointer"), SIGSTOP), 0);
    local_start(b->local, &prepare);
    WAIT_FOR(b, waits_for_checkpoint(b));
    assert_int_equal(kill(postmaster(b), SIGKILL), 0);
    WAIT_FOR(b, b->done.id == prepare.id);
    WAIT_FOR(b, b->facts.run == PG_RUN_STOPPED && b->facts.wal_end.lsn != 0);
    do_simple(b, PG_ACTION_START_PRIMARY, 18);
}

static void test_a_standby_is_not_started_writable(void **state)
{
    struct pg_action action = new_action(PG_ACTION_START_PRIMARY);

    (void)state;
    action.epoch = 99;
    assert_int_equal(a->facts.run, PG_RUN_STOPPED);
    assert_int_equal(run_action(a, &action), PG_RESULT_REFUSED);
}

/* What a standby leaves that is killed before it has written to a segment it has made. */
static void make_empty_segments(const struct node_under_test *node, uint32_t timeline)
{
    static const struct wal_shape shape = {.segment_bytes = 16777216, .page_bytes = 8192};
    static const char zeroes[16384];

    for (uint64_t i = 1; i <= 40; i++) {
        char name[WAL_SEGMENT_NAME_SIZE];
        char dir[TEST_PATH_SIZE];
        char path[TEST_PATH_SIZE];
        struct err err;

        wal_segment_print(timeline, (UINT64_C(64) + i) << 24, shape, name);
        test_path(dir, node->data, "pg_wal");
        test_path(path, dir, name);
        test_ok(file_replace(path, zeroes, sizeof zeroes, 0644, &err), &err);
    }
}

static void test_wal_that_ends_with_its_segment_is_measured(void **state)
{
    uint64_t lsn;

    (void)state;
    /* Nor is it searched for, or its shape, in segments that have none. */
    make_empty_segments(b, 250);
    sql(b, "CHECKPOINT", NULL, 0);
    sql(b, "INSERT INTO t VALUES (1)", NULL, 0);
    sql(b, "SELECT pg_switch_wal()", NULL, 0);
    lsn = sql_lsn(b, "SELECT pg_current_wal_flush_lsn()");
    do_stop(b, PG_STOP_KILL);
    assert_true(b->facts.wal_end.lsn >= lsn);
    /* The background writer may have logged its snapshot behind it, but not much more. */
    assert_true(b->facts.wal_end.lsn < lsn + 8192);
    assert_true(b->facts.wal_end.timeline < 250);
    assert_false(b->facts.crashed);
}

static void test_a_callback_is_told_action_role_and_scope(void **state)
{
    static const char script[] = "#!/bin/sh\necho \"$@\" >$(dirname $0)/callback.out.new\n"
                                 "mv $(dirname $0)/callback.out.new $(dirname $0)/callback.out\n";
    char path[TEST_PATH_SIZE];
    char text[128];
    struct err err;

    (void)state;
    test_path(path, a->dir, "callback.sh");
    test_ok(file_replace(path, script, sizeof script - 1, 0755, &err), &err);
    local_callback(a->local, PG_CALLBACK_ROLE_CHANGE, "primary", "story");
    WAIT_FOR(a, has_file(a, "callback.out"));
    test_path(path, a->dir, "callback.out");
    test_ok(file_read(path, text, sizeof text, NULL, &err), &err);
    assert_string_equal(text, "on_role_change primary story\n");
}

static void test_a_callback_that_runs_may_finish_when_the_daemon_ends(void **state)
{
    static const char script[] = "#!/bin/sh\ncd $(dirname $0) && touch callback.begun\n"
                                 "while [ ! -e callback.go ]; do sleep 0.02; done\n"
                                 "touch callback.finished\n";
    char path[TEST_PATH_SIZE];
    struct err err;

    (void)state;
    test_path(path, a->dir, "callback.sh");
    test_ok(file_replace(path, script, sizeof script - 1, 0755, &err), &err);
    local_callback(a->local, PG_CALLBACK_ROLE_CHANGE, "primary", "story");
    WAIT_FOR(a, has_file(a, "callback.begun"));
    local_close(a->local);
    test_path(path, a->dir, "callback.go");
    test_ok(file_replace(path, "", 0, 0644, &err), &err);
    WAIT_FOR(a, a->closed);
    assert_true(has_file(a, "callback.finished"));
    open_node(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_not_there_is_not_signalled),
        cmocka_unit_test(test_an_empty_directory_is_seen_as_empty),
        cmocka_unit_test(test_nothing_can_be_started_in_an_empty_directory),
        cmocka_unit_test(test_initdb_makes_a_directory_with_a_record),
        cmocka_unit_test(test_a_second_initdb_is_refused),
        cmocka_unit_test(test_a_writable_start_ends_with_the_marker),
        cmocka_unit_test(test_bootstrap_makes_roles_and_runs_the_command),
        cmocka_unit_test(test_parameters_that_postgresql_refuses_are_left_out),
        cmocka_unit_test(test_a_changed_parameter_of_the_command_line_waits_for_a_restart),
        cmocka_unit_test(test_our_defaults_give_way_to_settings),
        cmocka_unit_test(test_a_refused_connection_is_tried_again_in_peace),
        cmocka_unit_test(test_parameters_of_the_other_role_are_asked_about_too),
        cmocka_unit_test(test_a_query_that_new_settings_overtake_is_not_believed_for_long),
        cmocka_unit_test(test_a_clone_is_a_directory_of_its_own_with_the_same_wal),
        cmocka_unit_test(test_a_clone_may_leave_out_the_methods_of_the_settings),
        cmocka_unit_test(test_a_clone_of_another_cluster_is_refused),
        cmocka_unit_test(test_a_standby_starts_without_upstream),
        cmocka_unit_test(test_a_standby_follows_by_reload),
        cmocka_unit_test(test_another_clusters_primary_is_not_followed),
        cmocka_unit_test(test_an_archive_is_out_of_the_files_before_a_promotion),
        cmocka_unit_test(test_cut_ends_the_stream_for_good),
        cmocka_unit_test(test_a_standby_keeps_the_wal_that_a_member_lacks),
        cmocka_unit_test(test_a_slot_is_kept_for_a_member_that_is_absent_but_not_for_ever),
        cmocka_unit_test(test_pre_promote_can_refuse),
        cmocka_unit_test(test_promotion_makes_a_new_timeline_and_the_marker),
        cmocka_unit_test(test_a_promotion_is_followed_by_a_quick_checkpoint),
        cmocka_unit_test(test_an_epoch_that_is_over_is_refused_by_the_guard),
        cmocka_unit_test(test_a_clean_stop_reports_the_end_of_wal),
        cmocka_unit_test(test_a_rewound_primary_follows_the_new_one),
        cmocka_unit_test(test_a_new_daemon_finds_the_server_as_it_was),
        cmocka_unit_test(test_a_new_daemon_keeps_the_settings_of_the_servers_role),
        cmocka_unit_test(test_a_new_daemon_leaves_the_stream_alone),
        cmocka_unit_test(test_a_clean_stop_is_received_to_its_last_byte),
        cmocka_unit_test(test_an_old_primary_that_stopped_in_time_needs_no_rewind),
        cmocka_unit_test(test_a_crash_is_seen_and_the_end_of_wal_found),
        cmocka_unit_test(test_a_crashed_server_starts_again_in_place),
        cmocka_unit_test(test_a_crashed_primary_is_rewound),
        cmocka_unit_test(test_a_rewind_under_load_becomes_consistent_by_streaming),
        cmocka_unit_test(test_a_stop_cancels_a_clone_and_leaves_it_partial),
        cmocka_unit_test(test_a_rewind_that_cannot_reach_its_source_changes_nothing),
        cmocka_unit_test(test_a_server_that_ran_before_is_taken_over),
        cmocka_unit_test(test_a_server_that_somebody_starts_beside_us_is_taken_over),
        cmocka_unit_test(test_a_standby_is_not_started_writable),
        cmocka_unit_test(test_the_guards_death_is_the_servers_and_counts_as_a_crash),
        cmocka_unit_test(test_a_primary_that_ran_before_is_taken_over_without_a_restart),
        cmocka_unit_test(test_a_primary_that_is_granted_again_gets_the_next_marker_and_goes_on),
        cmocka_unit_test(test_a_fast_stop_does_not_wait_for_a_standby_that_hangs),
        cmocka_unit_test(test_a_fast_stop_waits_for_a_standby_that_still_receives),
        cmocka_unit_test(test_a_fast_stop_gives_way_to_an_immediate_one),
        cmocka_unit_test(test_a_stop_is_prepared_while_the_server_serves),
        cmocka_unit_test(test_a_preparation_gives_way_to_whatever_comes),
        cmocka_unit_test(test_a_preparation_ends_with_the_server),
        cmocka_unit_test(test_wal_that_ends_with_its_segment_is_measured),
        cmocka_unit_test(test_a_callback_is_told_action_role_and_scope),
        cmocka_unit_test(test_a_callback_that_runs_may_finish_when_the_daemon_ends),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
