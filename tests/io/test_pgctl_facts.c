/*
 * facts_pq.c: the status query on a real primary with a real standby, and its reader on rows
 * made up here.
 */
#include "pgctl/facts_pq.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock_sys.h"
#include "pgctl/sql_uv.h"
#include "tests/lib/postgres.h"
#include "tests/lib/test.h"

#define DEADLINE_MS 20000

/* A connection that asks for the facts again and again. */
struct watcher {
    struct sql *sql;
    struct facts_pq memory;
    struct pg_facts facts;
    uint32_t connected;
    uint32_t answers;
    uint32_t closed;
};

static struct postgres primary;
static struct postgres standby;
static uv_loop_t loop;

/* --- On a real server --- */

static void note_connected(void *owner)
{
    ((struct watcher *)owner)->connected++;
    uv_stop(&loop);
}

static void note_failed(void *owner, enum sql_failure failure, const struct err *err)
{
    (void)owner;
    fail_msg("%s: %s", sql_failure_name(failure), err->text);
}

static void note_closed(void *owner)
{
    ((struct watcher *)owner)->closed++;
    uv_stop(&loop);
}

static const struct sql_events events = {
    .connected = note_connected, .failed = note_failed, .closed = note_closed};

static void note_facts(void *owner, const struct sql_result *result)
{
    struct watcher *watcher = owner;
    struct err err;

    if (result->failure != SQL_FAILURE_NONE) {
        fail_msg("%s", result->text);
    }
    test_ok(facts_pq_read(&watcher->memory, result, &watcher->facts, &err), &err);
    watcher->answers++;
    uv_stop(&loop);
}

static void run_until(const uint32_t *counter, uint32_t want)
{
    const uint64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;

    while (*counter < want) {
        assert_true(clock_boot_ms() < deadline_ms);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    }
}

static void watch(struct watcher *watcher, const struct postgres *postgres)
{
    const struct sql_setting list[] = {
        {"host", postgres->dir      },
        {"port", postgres->port_text},
        {"user", "postgres"         },
    };
    const struct sql_settings settings = {
        .settings = list,
        .setting_count = ARRAY_SIZE(list),
        .connect_timeout_ms = DEADLINE_MS,
        .statement_timeout_ms = DEADLINE_MS};
    struct err err;

    *watcher = (struct watcher){.sql = NULL};
    test_ok(sql_open(&watcher->sql, &loop, &settings, &events, watcher, &err), &err);
    run_until(&watcher->connected, 1);
}

static void look(struct watcher *watcher)
{
    char buffer[FACTS_PQ_QUERY_SIZE];
    const uint32_t want = watcher->answers + 1;
    struct text text;
    struct err err;

    text_init(&text, buffer, sizeof buffer);
    facts_pq_query(&watcher->memory, "", &text);
    test_ok(sql_query(watcher->sql, buffer, DEADLINE_MS, note_facts, watcher, &err), &err);
    run_until(&watcher->answers, want);
}

static void end_watch(struct watcher *watcher)
{
    sql_close(watcher->sql);
    run_until(&watcher->closed, 1);
}

/* Looks until `holds` says so. */
static void look_until(struct watcher *watcher, bool (*holds)(const struct pg_facts *facts))
{
    const uint64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;

    do {
        assert_true(clock_boot_ms() < deadline_ms);
        look(watcher);
    } while (!holds(&watcher->facts));
}

static bool has_streaming_replica(const struct pg_facts *facts)
{
    return facts->replica_count == 1 && text_equal(facts->replicas[0].state, "streaming") &&
           facts->replicas[0].flush_lsn == facts->position.lsn;
}

static void test_a_primary_tells_where_its_wal_ends_and_who_streams(void **state)
{
    const uint64_t now_ms = clock_wall_ms();
    struct watcher watcher;
    const struct pg_facts *facts = &watcher.facts;

    (void)state;
    watch(&watcher, &primary);
    look_until(&watcher, has_streaming_replica);
    assert_true(facts->sql_ok);
    assert_false(facts->in_recovery);
    assert_int_equal(facts->position.timeline, 1);
    assert_true(facts->position.lsn > 0x1000000);
    assert_int_equal(facts->received_lsn, 0);
    assert_int_equal(facts->replayed_lsn, 0);
    assert_int_equal(facts->replayed_wall_ms, 0);
    assert_false(facts->replay_paused);
    assert_false(facts->receiver_running);
    assert_string_equal(facts->receiver_state, "");
    assert_in_range(facts->server_version, 150000, 159999);
    assert_in_range(facts->postmaster_start_wall_ms, now_ms - 120000, now_ms);
    assert_string_equal(facts->replicas[0].application_name, "walreceiver");
    assert_string_equal(facts->replicas[0].user_name, "postgres");
    assert_string_equal(facts->replicas[0].client_address, ""); /* It comes by the socket. */
    assert_string_equal(facts->replicas[0].sync_state, "async");
    assert_int_equal(watcher.memory.receiver_pid, 0);
    assert_false(watcher.memory.conninfo_in_effect);
    end_watch(&watcher);
}

static bool has_replayed(const struct pg_facts *facts)
{
    return facts->replayed_wall_ms != 0 && facts->received_lsn == facts->replayed_lsn &&
           text_equal(facts->receiver_state, "streaming");
}

static void test_a_standby_tells_what_it_received_and_replayed(void **state)
{
    const uint64_t now_ms = clock_wall_ms();
    struct watcher watcher;
    const struct pg_facts *facts = &watcher.facts;

    (void)state;
    postgres_sql(&primary, "CREATE TABLE IF NOT EXISTS t (a int)");
    watch(&watcher, &standby);
    look_until(&watcher, has_replayed);
    assert_true(facts->in_recovery);
    assert_int_equal(facts->position.timeline, 1);
    assert_int_equal(facts->position.lsn, facts->replayed_lsn);
    assert_in_range((uint64_t)facts->replayed_wall_ms, now_ms - 120000, now_ms + 5000);
    assert_true(facts->receiver_running);
    assert_int_equal(kill(watcher.memory.receiver_pid, 0), 0);
    assert_true(watcher.memory.conninfo_in_effect);
    assert_int_equal(facts->replica_count, 0);
    end_watch(&watcher);
}

static bool is_paused_behind(const struct pg_facts *facts)
{
    return facts->replay_paused && facts->received_lsn > facts->replayed_lsn;
}

static void test_a_paused_standby_is_as_far_as_it_has_received(void **state)
{
    struct watcher watcher;

    (void)state;
    postgres_sql(&standby, "SELECT pg_wal_replay_pause()");
    postgres_sql(&primary, "CREATE TABLE paused (a int); DROP TABLE paused");
    watch(&watcher, &standby);
    look_until(&watcher, is_paused_behind);
    assert_int_equal(watcher.facts.position.lsn, watcher.facts.received_lsn);
    postgres_sql(&standby, "SELECT pg_wal_replay_resume()");
    end_watch(&watcher);
}

static bool has_no_receiver(const struct pg_facts *facts)
{
    return !facts->receiver_running;
}

/* Each process of the server reads the settings again in its own time. */
static void look_until_no_conninfo_is_in_effect(struct watcher *watcher)
{
    const uint64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;

    while (watcher->memory.conninfo_in_effect) {
        assert_true(clock_boot_ms() < deadline_ms);
        look(watcher);
    }
}

/* Ends the stream for good, so it comes last on this standby, before its promotion. */
static void test_a_standby_without_upstream_keeps_position_and_timeline(void **state)
{
    struct watcher watcher;

    (void)state;
    watch(&watcher, &standby);
    look_until(&watcher, has_replayed);
    postgres_sql(&standby, "ALTER SYSTEM SET primary_conninfo = ''");
    postgres_sql(&standby, "SELECT pg_reload_conf()");
    look_until(&watcher, has_no_receiver);
    assert_string_equal(watcher.facts.receiver_state, "");
    assert_int_equal(watcher.facts.position.timeline, 1);
    assert_true(watcher.facts.position.lsn > 0x1000000);
    look_until_no_conninfo_is_in_effect(&watcher);
    end_watch(&watcher);
}

static bool is_writable(const struct pg_facts *facts)
{
    return !facts->in_recovery;
}

static void test_a_promotion_shows_on_an_open_connection_with_the_new_timeline(void **state)
{
    struct watcher watcher;

    (void)state;
    watch(&watcher, &standby);
    look(&watcher);
    assert_true(watcher.facts.in_recovery);
    postgres_sql(&standby, "SELECT pg_promote(false)");
    look_until(&watcher, is_writable);
    assert_int_equal(watcher.facts.position.timeline, 2);
    assert_int_equal(watcher.facts.received_lsn, 0);
    end_watch(&watcher);
}

static bool needs_restart(const struct pg_facts *facts)
{
    return facts->pending_restart;
}

static bool needs_no_restart(const struct pg_facts *facts)
{
    return !facts->pending_restart;
}

static void test_a_change_that_needs_a_restart_is_told_with_old_and_new_value(void **state)
{
    struct watcher watcher;

    (void)state;
    watch(&watcher, &primary);
    look(&watcher);
    assert_false(watcher.facts.pending_restart);
    assert_string_equal(watcher.facts.pending_restart_reason, "");

    postgres_sql(&primary, "ALTER SYSTEM SET shared_buffers = 1024");
    postgres_sql(&primary, "ALTER SYSTEM SET max_connections = 77");
    postgres_sql(&primary, "SELECT pg_reload_conf()");
    look_until(&watcher, needs_restart);
    assert_string_equal(
        watcher.facts.pending_restart_reason,
        "{ \"max_connections\" : {\"old_value\" : \"100\", \"new_value\" : \"77\"}, "
        "\"shared_buffers\" : {\"old_value\" : \"4MB\", \"new_value\" : \"8192kB\"} }");
    look(&watcher); /* Nothing was read again: what is known stays. */
    assert_true(watcher.facts.pending_restart);
    assert_true(watcher.facts.pending_restart_reason[0] == '{');

    postgres_sql(&primary, "ALTER SYSTEM RESET ALL");
    postgres_sql(&primary, "SELECT pg_reload_conf()");
    look_until(&watcher, needs_no_restart);
    assert_string_equal(watcher.facts.pending_restart_reason, "");
    end_watch(&watcher);
}

/* --- On rows made up here, in the order of the query's columns --- */

#define COLUMNS 23

static const char *const standby_row[COLUMNS] = {
    "t",
    NULL,
    "0/2000000",
    "0/3000000",
    "1700000000123",
    "t",
    "f",
    "7",
    "4711",
    "streaming",
    "150018",
    "1700000000000",
    "1700000000001",
    "t",
    "",
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL};

static struct sql_result result_of(const char *const cells[], uint32_t rows)
{
    return (struct sql_result){.row_count = rows, .column_count = COLUMNS, .cells = cells};
}

static void test_what_is_replayed_counts_when_less_is_received(void **state)
{
    const struct sql_result result = result_of(standby_row, 1);
    struct facts_pq memory = {0};
    struct pg_facts facts = {.replica_count = 3, .writable = true, .conninfo_set = true};
    struct err err;

    (void)state;
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    assert_int_equal(facts.position.lsn, 0x3000000);
    assert_int_equal(facts.position.timeline, 7);
    assert_int_equal(facts.received_lsn, 0x2000000);
    assert_int_equal(facts.replayed_wall_ms, 1700000000123);
    assert_int_equal(facts.postmaster_start_wall_ms, 1700000000000);
    assert_int_equal(memory.conf_load_wall_ms, 1700000000001);
    assert_int_equal(memory.receiver_pid, 4711);
    assert_int_equal(facts.replica_count, 0);
    /* Not ours to know. */
    assert_true(facts.writable);
    assert_true(facts.conninfo_set);
}

static void test_the_timeline_does_not_fall_when_the_receiver_is_gone(void **state)
{
    const char *cells[COLUMNS];
    const struct sql_result result = result_of(cells, 1);
    struct facts_pq memory = {0};
    struct pg_facts facts = {0};
    struct err err;

    (void)state;
    memcpy(cells, standby_row, sizeof cells);
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    cells[7] = "3"; /* Of the last restartpoint. */
    cells[8] = "0";
    cells[9] = NULL;
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    assert_false(facts.receiver_running);
    assert_int_equal(facts.position.timeline, 7);
    cells[11] = "1700000000002"; /* Another start: who knows what was done to its files. */
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    assert_int_equal(facts.position.timeline, 3);
}

static void test_a_cell_that_makes_no_sense_changes_nothing(void **state)
{
    static const struct {
        uint32_t column;
        const char *cell;
    } cases[] = {
        {0,  NULL                  },
        {0,  "true"                },
        {0,  ""                    },
        {2,  "0"                   },
        {2,  "0/2000000 "          },
        {3,  "x/1"                 },
        {4,  "-1"                  },
        {4,  "99999999999999999999"},
        {5,  NULL                  },
        {6,  "maybe"               },
        {7,  "0"                   },
        {7,  "4294967296"          },
        {7,  ""                    },
        {7,  "7a"                  },
        {8,  "-4711"               },
        {10, "120018"              },
        {10, "15.18"               },
        {11, "soon"                },
        {12, "0"                   },
        {13, "yes"                 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *cells[COLUMNS];
        const struct sql_result result = result_of(cells, 1);
        const struct facts_pq old_memory = {.receiver_pid = 1};
        const struct pg_facts old_facts = {.server_version = 1};
        struct facts_pq memory = old_memory;
        struct pg_facts facts = old_facts;
        struct err err;

        memcpy(cells, standby_row, sizeof cells);
        cells[cases[i].column] = cases[i].cell;
        assert_int_equal(facts_pq_read(&memory, &result, &facts, &err), STATUS_INVALID);
        assert_memory_equal(&memory, &old_memory, sizeof memory);
        assert_memory_equal(&facts, &old_facts, sizeof facts);
    }
}

static void test_rows_of_another_query_are_refused(void **state)
{
    const struct {
        uint32_t rows;
        uint32_t columns;
    } cases[] = {
        {0,                   COLUMNS    },
        {1,                   COLUMNS - 1},
        {1,                   COLUMNS + 1},
        {PG_REPLICAS_MAX + 1, COLUMNS    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct sql_result result = {
            .row_count = cases[i].rows, .column_count = cases[i].columns};
        struct facts_pq memory = {0};
        struct pg_facts facts = {0};
        struct err err;

        assert_int_equal(facts_pq_read(&memory, &result, &facts, &err), STATUS_INVALID);
    }
}

static void test_as_many_replicas_as_there_is_room_for_are_read(void **state)
{
    static char names[PG_REPLICAS_MAX][8];
    const char *cells[PG_REPLICAS_MAX * COLUMNS];
    const struct sql_result result = result_of(cells, PG_REPLICAS_MAX);
    struct facts_pq memory = {0};
    struct pg_facts facts = {0};
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < PG_REPLICAS_MAX; i++) {
        const char **row = &cells[i * COLUMNS];

        memcpy(row, standby_row, sizeof standby_row);
        (void)snprintf(names[i], sizeof names[i], "n%u", i);
        row[15] = names[i];
        row[17] = "10.0.0.1";
        row[20] = "2";
        row[21] = "1/0";
    }
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    assert_int_equal(facts.replica_count, PG_REPLICAS_MAX);
    assert_string_equal(facts.replicas[0].application_name, "n0");
    assert_string_equal(facts.replicas[15].application_name, "n15");
    assert_string_equal(facts.replicas[15].client_address, "10.0.0.1");
    assert_int_equal(facts.replicas[15].sync_priority, 2);
    assert_int_equal(facts.replicas[15].flush_lsn, UINT64_C(1) << 32);
    assert_int_equal(facts.replicas[15].replay_lsn, 0);
    /* A bad cell is found in a later row, too. */
    cells[5 * COLUMNS + 21] = "1";
    assert_int_equal(facts_pq_read(&memory, &result, &facts, &err), STATUS_INVALID);
}

static void test_a_reason_that_is_too_long_is_left_out_whole(void **state)
{
    char reason[1024];
    const char *cells[COLUMNS];
    const struct sql_result result = result_of(cells, 1);
    struct facts_pq memory = {0};
    struct pg_facts facts = {0};
    struct err err;

    (void)state;
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    memcpy(cells, standby_row, sizeof cells);
    cells[14] = reason;
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    assert_true(facts.pending_restart);
    assert_string_equal(facts.pending_restart_reason, "{}");
    /* Null: not looked at this time. */
    cells[14] = NULL;
    test_ok(facts_pq_read(&memory, &result, &facts, &err), &err);
    assert_true(facts.pending_restart);
}

/* --- The group --- */

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    postgres_create(&primary);
    postgres_start(&primary, true);
    postgres_clone(&standby, &primary);
    postgres_start(&standby, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    postgres_destroy(&standby);
    postgres_destroy(&primary);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_primary_tells_where_its_wal_ends_and_who_streams),
        cmocka_unit_test(test_a_standby_tells_what_it_received_and_replayed),
        cmocka_unit_test(test_a_paused_standby_is_as_far_as_it_has_received),
        cmocka_unit_test(test_a_standby_without_upstream_keeps_position_and_timeline),
        cmocka_unit_test(test_a_promotion_shows_on_an_open_connection_with_the_new_timeline),
        cmocka_unit_test(test_a_change_that_needs_a_restart_is_told_with_old_and_new_value),
        cmocka_unit_test(test_what_is_replayed_counts_when_less_is_received),
        cmocka_unit_test(test_the_timeline_does_not_fall_when_the_receiver_is_gone),
        cmocka_unit_test(test_a_cell_that_makes_no_sense_changes_nothing),
        cmocka_unit_test(test_rows_of_another_query_are_refused),
        cmocka_unit_test(test_as_many_replicas_as_there_is_room_for_are_read),
        cmocka_unit_test(test_a_reason_that_is_too_long_is_left_out_whole),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
