/*
 * Planned stops of a serving primary, for a switchover, a restart or because its daemon leaves:
 * what takes long is done while it serves, and the stop itself under its lease. The cluster around
 * it is that of tests/lib/ha_lab.h.
 */
#include "ha/ha.h"

#include "ha/ha_impl.h"
#include "tests/lib/ha_lab.h"

#define TTL_MS      2000
#define PRIMARY     1
#define CANDIDATE   3
#define SWITCHOVER  7
#define PATIENCE_MS 30000 /* With a fast stop, unless the settings say otherwise. */

static struct lab *lab;

static int set_up(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab_until(lab, lab_all_is_well, 10000);
    lab_run(lab, 2 * TTL_MS);
    assert_int_equal(lab_primary(lab), PRIMARY);
    return 0;
}

static struct lab_pg *pg(void)
{
    return &lab_node(lab, PRIMARY)->pg;
}

static uint64_t epoch(void)
{
    return lab_cluster(lab)->epoch;
}

static bool is_prepared(const struct lab *any)
{
    return any->nodes[PRIMARY - 1].pg.action.kind == PG_ACTION_PREPARE_STOP;
}

static bool is_stopped(const struct lab *any)
{
    const enum pg_action_kind kind = any->nodes[PRIMARY - 1].pg.action.kind;

    return kind == PG_ACTION_STOP || any->nodes[PRIMARY - 1].pg.facts.run == PG_RUN_STOPPED;
}

static bool another_serves(const struct lab *any)
{
    return lab_somebody_serves(any) && lab_primary(any) != PRIMARY;
}

static bool next_epoch_serves(const struct lab *any)
{
    return lab_somebody_serves(any) && lab_cluster(any)->epoch == 2;
}

static bool has_left(const struct lab *any)
{
    return any->nodes[PRIMARY - 1].left;
}

/* The node answers /primary with 200 and is not asked to stop for so long. */
static void assert_serves_for(uint64_t span_ms)
{
    const uint64_t end_ms = lab->now_ms + span_ms;

    while (lab->now_ms < end_ms) {
        lab_step(lab);
        assert_int_equal(lab_primary(lab), PRIMARY);
        assert_false(is_stopped(lab));
    }
    assert_int_equal(epoch(), 1);
}

/* Nobody takes the lease of a stop that goes on for its loss, for so long. */
static void assert_stops_for(uint64_t span_ms)
{
    const uint64_t end_ms = lab->now_ms + span_ms;

    while (lab->now_ms < end_ms) {
        lab_step(lab);
        assert_int_equal(lab_primary(lab), 0);
        assert_int_equal(pg()->facts.run, PG_RUN_STOPPING);
        assert_true(pg()->deadline_ms > lab->now_ms);
    }
    assert_int_equal(epoch(), 1);
}

/* Nothing was revoked but before the first epoch, nobody fenced, and the change lost nothing. */
static void assert_was_planned(void)
{
    assert_int_equal(lab_count(lab, COMMAND_REVOKE), 1);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 1);
    assert_int_equal(pg()->facts.guard_fenced, 0);
    assert_int_equal(lab_node(lab, PRIMARY)->noted[HA_NOTE_LEASE_LOST], 0);
}

static void withdraw(uint64_t id)
{
    struct command clear = {
        .kind = COMMAND_REQUEST_CLEAR,
        .id = id,
        .outcome = {.id = SWITCHOVER, .code = 503, .text = "taken back"},
    };

    clear.request = lab_cluster(lab)->request;
    clear.node = clear.request.id;
    lab_ask(lab, PRIMARY, &clear);
}

/* --- Before the stop. --- */

static void test_a_primary_serves_while_its_checkpoint_takes_a_minute(void **state)
{
    const struct cluster_outcome *outcome;
    uint64_t lsn;

    (void)state;
    pg()->prepare_ms = 60000;
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_prepared, 100);
    lsn = pg()->lsn;
    assert_serves_for(59900);
    assert_true(pg()->lsn > lsn); /* Clients wrote on. */
    lab_until(lab, another_serves, 500);
    assert_int_equal(lab_primary(lab), CANDIDATE);
    assert_was_planned();
    assert_int_equal(lab_cluster(lab)->last.start.lsn, pg()->lsn);
    lab_run(lab, 100);
    outcome = cluster_outcome(lab_cluster(lab), SWITCHOVER);
    assert_non_null(outcome); /* Though whoever asked for it was told before that nobody knows. */
    assert_int_equal(outcome->code, 200);
}

static void test_a_checkpoint_that_hangs_holds_up_a_stop_for_five_minutes(void **state)
{
    (void)state;
    pg()->prepare_ms = 100 * (uint64_t)HA_PREPARE_STOP_MS;
    lab_local(lab, PRIMARY, HA_LOCAL_RESTART, 9);
    lab_until(lab, is_prepared, 100);
    assert_serves_for(299900);
    lab_until(lab, next_epoch_serves, 1000);
    assert_int_equal(lab_primary(lab), PRIMARY);
    assert_was_planned();
}

static void test_a_switchover_that_is_withdrawn_stops_nothing(void **state)
{
    (void)state;
    pg()->prepare_ms = 10000;
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_prepared, 100);
    lab_run(lab, 1000);
    withdraw(8);
    assert_serves_for(20000);
    /* What was written since is not in that checkpoint: the next wish has its own. */
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER + 2);
    lab_until(lab, is_prepared, 100);
    assert_serves_for(9900);
    lab_until(lab, another_serves, 500);
    assert_was_planned();
}

static void test_a_checkpoint_holds_up_no_failover(void **state)
{
    (void)state;
    pg()->prepare_ms = 60000;
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_prepared, 100);
    lab_node(lab, PRIMARY)->cut = true;
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_equal(pg()->facts.guard_fenced, 1);
    lab_node(lab, PRIMARY)->cut = false;
    lab_until(lab, lab_all_is_well, 5000);
}

static void test_a_checkpoint_holds_up_nobody_when_postgresql_dies(void **state)
{
    (void)state;
    pg()->prepare_ms = 60000;
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_prepared, 100);
    lab_postgres_dies(lab, PRIMARY);
    lab_until(lab, another_serves, 1000);
    lab_until(lab, lab_all_is_well, 2000);
}

/* It could reach nobody, and had its grant revoked; then it was heard again before its lease ended.
 */
static void test_a_primary_that_is_granted_again_takes_the_grant_at_once(void **state)
{
    const uint64_t start_id = pg()->facts.start_id;

    (void)state;
    pg()->prepare_ms = 60000;
    lab_local(lab, PRIMARY, HA_LOCAL_RESTART, 9);
    lab_until(lab, is_prepared, 100);
    lab_node(lab, PRIMARY)->deaf = true;
    while (lab_cluster(lab)->phase == CLUSTER_SERVING) {
        lab_step(lab);
    }
    lab_node(lab, PRIMARY)->deaf = false;
    lab_until(lab, next_epoch_serves, 1000);
    assert_int_equal(lab_primary(lab), PRIMARY);
    assert_int_equal(pg()->facts.guard_fenced, 0);
    assert_int_equal(pg()->facts.start_id, start_id);
    lab_until(lab, is_prepared, 100); /* The restart is still wanted. */
}

static void test_settings_are_read_after_the_checkpoint(void **state)
{
    (void)state;
    pg()->prepare_ms = 10000;
    lab_local(lab, PRIMARY, HA_LOCAL_RESTART, 9);
    lab_until(lab, is_prepared, 100);
    lab_local(lab, PRIMARY, HA_LOCAL_RELOAD, 10);
    lab_run(lab, 9000);
    assert_true(is_prepared(lab));
    lab_until(lab, next_epoch_serves, 2000);
}

static void test_a_primary_whose_daemon_leaves_has_its_checkpoint(void **state)
{
    (void)state;
    pg()->prepare_ms = 60000;
    lab_local(lab, PRIMARY, HA_LOCAL_LEAVE, 0);
    lab_until(lab, is_prepared, 100);
    assert_serves_for(59900);
    lab_until(lab, another_serves, 500);
    assert_was_planned();
    lab_until(lab, has_left, 1000);
}

/* --- The stop. --- */

static void test_a_stop_that_takes_long_keeps_its_lease(void **state)
{
    (void)state;
    pg()->stop_ms = 25000; /* A far replica fetches WAL, say. */
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_stopped, 100);
    assert_stops_for(24900);
    lab_until(lab, another_serves, 500);
    assert_int_equal(lab_primary(lab), CANDIDATE);
    assert_was_planned();
    assert_true(pg()->facts.shut_down_cleanly);
}

static void test_a_stop_that_takes_too_long_is_made_an_immediate_one(void **state)
{
    static const struct {
        uint64_t setting_ms;
        uint64_t expected_ms;
    } cases[] = {
        {0,     PATIENCE_MS},
        {5000,  5000       },
        {60000, 60000      },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)set_up(state);
        lab->dynamic.primary_stop_timeout_ms = cases[i].setting_ms;
        lab_node(lab, PRIMARY)->ha->dynamic = lab->dynamic;
        lab->write_bytes = 0; /* What the candidate lacks it does not get any more. */
        pg()->stop_ms = 10 * PATIENCE_MS;
        lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
        lab_until(lab, is_stopped, 100);
        assert_stops_for(cases[i].expected_ms - 100);
        lab_until(lab, another_serves, 1000);
        assert_was_planned();
        assert_false(pg()->facts.shut_down_cleanly);
    }
}

/* Not even an immediate stop ends it: the guard does, when the rounds have ended. */
static void test_a_stop_that_never_ends_ends_with_the_lease(void **state)
{
    (void)state;
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_prepared, 100);
    lab_run(lab, 20);
    pg()->stop_ms = 10 * PATIENCE_MS;
    lab_until(lab, is_stopped, 100);
    pg()->hangs = true;
    lab_until(lab, another_serves, PATIENCE_MS + 10000 + 2 * TTL_MS);
    assert_int_equal(pg()->facts.guard_fenced, 1);
}

/* Else a node that was not asked for may take over, and who asked be told that nobody could. */
static void test_the_request_stays_while_the_primary_stops(void **state)
{
    (void)state;
    lab->dynamic.primary_stop_timeout_ms = 60000;
    lab_node(lab, PRIMARY)->ha->dynamic = lab->dynamic;
    pg()->stop_ms = 50000;
    lab_switchover(lab, 2, PRIMARY, CANDIDATE, SWITCHOVER);
    lab_until(lab, is_stopped, 100);
    assert_stops_for(49000);
    assert_int_equal(lab_cluster(lab)->request.id, SWITCHOVER);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_a_primary_serves_while_its_checkpoint_takes_a_minute),
        TEST(test_a_checkpoint_that_hangs_holds_up_a_stop_for_five_minutes),
        TEST(test_a_switchover_that_is_withdrawn_stops_nothing),
        TEST(test_a_checkpoint_holds_up_no_failover),
        TEST(test_a_checkpoint_holds_up_nobody_when_postgresql_dies),
        TEST(test_a_primary_that_is_granted_again_takes_the_grant_at_once),
        TEST(test_settings_are_read_after_the_checkpoint),
        TEST(test_a_primary_whose_daemon_leaves_has_its_checkpoint),
        TEST(test_a_stop_that_takes_long_keeps_its_lease),
        TEST(test_a_stop_that_takes_too_long_is_made_an_immediate_one),
        TEST(test_a_stop_that_never_ends_ends_with_the_lease),
        TEST(test_the_request_stays_while_the_primary_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
