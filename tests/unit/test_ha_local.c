/*
 * What one node is asked for: restarts with conditions and limits of time, and rebuilding. The
 * cluster around it is that of tests/lib/ha_lab.h.
 */
#include "ha/ha.h"

#include <string.h>

#include "base/text.h"
#include "base/time.h"
#include "tests/lib/ha_lab.h"

#define TTL_MS  2000
#define PRIMARY 1
#define STANDBY 2
#define OTHER   3

static struct lab *lab;
static uint64_t last_id;

static int set_up(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab_until(lab, lab_all_is_well, 10000);
    lab_run(lab, 2 * TTL_MS);
    assert_int_equal(lab_primary(lab), PRIMARY);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        lab->nodes[i].pg.facts.server_version = 150004;
    }
    lab_run(lab, 100);
    return 0;
}

static void ask_restart(uint64_t at, struct ha_restart restart)
{
    lab_local_with(
        lab, at, &(struct ha_local){.kind = HA_LOCAL_RESTART, .id = ++last_id, .restart = restart});
}

static void ask_reinit(uint64_t at, bool force)
{
    lab_local_with(
        lab, at, &(struct ha_local){.kind = HA_LOCAL_REINIT, .id = ++last_id, .force = force});
}

static bool is_answered(const struct lab *any)
{
    return lab_reply(any, PRIMARY, last_id) != NULL || lab_reply(any, STANDBY, last_id) != NULL;
}

/* To what was asked for last. */
static void assert_answer(uint64_t at, uint32_t code, const char *text)
{
    const struct ha_reply *reply = lab_reply(lab, at, last_id);

    assert_non_null(reply);
    assert_string_equal(reply->text, text);
    assert_int_equal(reply->code, code);
}

static bool primary_is_stopped(const struct lab *any)
{
    return any->nodes[PRIMARY - 1].pg.facts.run == PG_RUN_STOPPED;
}

static bool standby_is_stopped(const struct lab *any)
{
    return any->nodes[STANDBY - 1].pg.facts.run == PG_RUN_STOPPED;
}

static bool standby_clones(const struct lab *any)
{
    return any->nodes[STANDBY - 1].pg.action.kind == PG_ACTION_CLONE;
}

static bool primary_starts(const struct lab *any)
{
    return any->nodes[PRIMARY - 1].pg.action.kind == PG_ACTION_START_PRIMARY;
}

static bool another_serves(const struct lab *any)
{
    return lab_primary(any) != PRIMARY && lab_somebody_serves(any);
}

static bool first_serves(const struct lab *any)
{
    return lab_primary(any) == PRIMARY;
}

/* As the standby knows. */
static bool nobody_is_granted(const struct lab *any)
{
    return ha_cluster(any->nodes[STANDBY - 1].ha)->phase == CLUSTER_REVOKED;
}

/* What is under way, and what comes behind it. */
static void hang(uint64_t at)
{
    lab_node(lab, at)->pg.hangs = true;
    lab_node(lab, at)->pg.action_ends_ms = TIME_NEVER;
}

static void go_on(uint64_t at)
{
    lab_node(lab, at)->pg.hangs = false;
    lab_node(lab, at)->pg.action_ends_ms = lab->now_ms;
}

/* --- Restart --- */

static void test_a_restart_happens_only_on_its_conditions(void **state)
{
    static const struct {
        uint64_t at;
        struct ha_restart restart;
        const char *refusal; /* NULL: it is restarted. */
    } cases[] = {
        {PRIMARY, {.role = "replica"},        "server role does not match"                    },
        {STANDBY, {.role = "primary"},        "server role does not match"                    },
        {STANDBY, {.role = "standby_leader"}, "server role does not match"                    },
        {STANDBY, {.below_version = 150004},  "server version is not lower than the one given"},
        {STANDBY, {.pending_only = true},     "no restart is pending"                         },
        {STANDBY, {.role = "replica"},        NULL                                            },
        {STANDBY, {.below_version = 150005},  NULL                                            },
        {PRIMARY, {.role = "primary"},        NULL                                            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const uint64_t start_id = lab_node(lab, cases[i].at)->pg.facts.start_id;

        ask_restart(cases[i].at, cases[i].restart);
        lab_until(lab, is_answered, 5000);
        assert_answer(
            cases[i].at, cases[i].refusal == NULL ? 200 : 503,
            cases[i].refusal == NULL ? "restarted successfully" : cases[i].refusal);
        assert_int_equal(
            lab_node(lab, cases[i].at)->pg.facts.start_id == start_id, cases[i].refusal != NULL);
        lab_until(lab, lab_all_is_well, 5000);
    }
    assert_int_equal(lab_primary(lab), PRIMARY);
}

static void test_a_pending_restart_is_made(void **state)
{
    (void)state;
    lab_node(lab, STANDBY)->pg.facts.pending_restart = true;
    lab_run(lab, 100);
    ask_restart(STANDBY, (struct ha_restart){.pending_only = true});
    lab_until(lab, is_answered, 5000);
    assert_answer(STANDBY, 200, "restarted successfully");
}

static void test_one_restart_at_a_time(void **state)
{
    (void)state;
    ask_restart(STANDBY, (struct ha_restart){.timeout_ms = 0});
    ask_restart(STANDBY, (struct ha_restart){.timeout_ms = 0});
    assert_answer(STANDBY, 503, "restart already in progress");
}

static void test_a_replica_that_does_not_start_in_the_time_given_is_told_of(void **state)
{
    (void)state;
    ask_restart(STANDBY, (struct ha_restart){.timeout_ms = 3000});
    lab_until(lab, standby_is_stopped, 1000);
    hang(STANDBY);
    lab_run(lab, 2900);
    assert_null(lab_reply(lab, STANDBY, last_id));
    lab_run(lab, 200);
    assert_answer(STANDBY, 503, "postgres is still starting");
    assert_int_equal(lab_primary(lab), PRIMARY);
}

static void test_a_primary_that_does_not_start_in_the_time_given_gives_way(void **state)
{
    (void)state;
    ask_restart(PRIMARY, (struct ha_restart){.timeout_ms = 3000});
    lab_until(lab, primary_is_stopped, 1000);
    hang(PRIMARY);
    lab_run(lab, 2500);
    assert_null(lab_reply(lab, PRIMARY, last_id));
    assert_int_equal(lab_cluster(lab)->last.node, PRIMARY);
    lab_until(lab, another_serves, 5000);
    assert_answer(PRIMARY, 503, "postgres is still starting");
}

static void test_a_restart_may_take_longer_than_is_configured(void **state)
{
    const uint64_t configured_ms = 10000;

    (void)state;
    lab->dynamic.primary_start_timeout_ms = configured_ms;
    lab_run(lab, 100);
    ask_restart(PRIMARY, (struct ha_restart){.timeout_ms = 3 * configured_ms});
    lab_until(lab, primary_is_stopped, 1000);
    hang(PRIMARY);
    lab_until(lab, primary_starts, 1000);
    lab_run(lab, 2 * configured_ms);
    go_on(PRIMARY);
    lab_until(lab, is_answered, 1000);
    assert_answer(PRIMARY, 200, "restarted successfully");
    lab_until(lab, lab_all_is_well, 1000);
    assert_int_equal(lab_primary(lab), PRIMARY);
}

/* --- Later --- */

static void ask_restart_in(uint64_t at, uint64_t in_ms, struct ha_restart restart)
{
    restart.at_wall_ms = lab->now_ms + in_ms; /* The lab's wall clock is its clock. */
    ask_restart(at, restart);
}

static void ask_unschedule(uint64_t at)
{
    lab_local_with(lab, at, &(struct ha_local){.kind = HA_LOCAL_UNSCHEDULE, .id = ++last_id});
}

/* As another node shows it. */
static uint64_t scheduled_at(uint64_t node)
{
    static struct ha_view view;

    ha_view(lab_node(lab, OTHER)->ha, lab->now_ms, &view);
    for (uint32_t i = 0; i < view.member_count; i++) {
        if (view.members[i].id == node) {
            return view.members[i].status.restart.at_wall_ms;
        }
    }
    fail_msg("there is no such member");
    return 0;
}

static void test_a_restart_is_made_when_its_time_comes(void **state)
{
    static const uint64_t nodes[] = {STANDBY, PRIMARY};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        const uint64_t start_id = lab_node(lab, nodes[i])->pg.facts.start_id;

        ask_restart_in(nodes[i], 10000, (struct ha_restart){.below_version = 150005});
        assert_answer(nodes[i], 202, "Restart scheduled");
        lab_run(lab, 9900);
        assert_int_not_equal(scheduled_at(nodes[i]), 0);
        assert_int_equal(lab_node(lab, nodes[i])->pg.facts.start_id, start_id);
        lab_run(lab, 500);
        lab_until(lab, lab_all_is_well, 2000);
        assert_int_not_equal(lab_node(lab, nodes[i])->pg.facts.start_id, start_id);
        lab_run(lab, 1000);
        assert_int_equal(scheduled_at(nodes[i]), 0);
    }
    assert_int_equal(lab_primary(lab), PRIMARY);
}

static void test_a_restart_is_scheduled_once_and_can_be_deleted(void **state)
{
    const uint64_t start_id = lab_node(lab, STANDBY)->pg.facts.start_id;

    (void)state;
    ask_unschedule(STANDBY);
    assert_answer(STANDBY, 404, "no restarts are scheduled");
    ask_restart_in(STANDBY, 5000, (struct ha_restart){.timeout_ms = 0});
    ask_restart_in(STANDBY, 6000, (struct ha_restart){.timeout_ms = 0});
    assert_answer(STANDBY, 409, "Another restart is already scheduled");
    ask_unschedule(STANDBY);
    assert_answer(STANDBY, 200, "scheduled restart deleted");
    lab_run(lab, 8000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.facts.start_id, start_id);
}

static void test_a_restart_is_not_scheduled_for_the_past(void **state)
{
    (void)state;
    ask_restart_in(STANDBY, 0, (struct ha_restart){.timeout_ms = 0});
    assert_answer(STANDBY, 422, "Cannot schedule restart in the past");
    assert_int_equal(scheduled_at(STANDBY), 0);
}

static void test_conditions_are_looked_at_when_the_time_has_come(void **state)
{
    const uint64_t start_id = lab_node(lab, STANDBY)->pg.facts.start_id;

    (void)state;
    lab_node(lab, STANDBY)->pg.facts.pending_restart = true;
    lab_run(lab, 100);
    ask_restart_in(STANDBY, 3000, (struct ha_restart){.pending_only = true});
    assert_answer(STANDBY, 202, "Restart scheduled");
    lab_node(lab, STANDBY)->pg.facts.pending_restart = false;
    lab_run(lab, 5000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.facts.start_id, start_id);
    assert_int_equal(scheduled_at(STANDBY), 0);
}

static void test_a_restart_meanwhile_was_the_scheduled_one(void **state)
{
    uint64_t start_id;

    (void)state;
    ask_restart_in(STANDBY, 6000, (struct ha_restart){.timeout_ms = 0});
    ask_restart(STANDBY, (struct ha_restart){.timeout_ms = 0});
    lab_run(lab, 3000);
    start_id = lab_node(lab, STANDBY)->pg.facts.start_id;
    assert_int_equal(scheduled_at(STANDBY), 0);
    lab_run(lab, 6000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.facts.start_id, start_id);
}

static void test_a_time_that_was_slept_through_is_not_made_up_for(void **state)
{
    uint64_t start_id = lab_node(lab, STANDBY)->pg.facts.start_id;

    (void)state;
    ask_restart_in(STANDBY, 3000, (struct ha_restart){.timeout_ms = 0});
    /* Only the daemon's clock sees it: nothing is fed to it meanwhile. */
    lab_node(lab, STANDBY)->up = false;
    lab_run(lab, 20000);
    lab_node(lab, STANDBY)->up = true;
    lab_run(lab, 5000);
    assert_int_equal(scheduled_at(STANDBY), 0);
    assert_int_equal(lab_node(lab, STANDBY)->pg.facts.start_id, start_id);
}

static void test_who_became_the_primary_is_not_restarted_for_what_a_replica_was_asked(void **state)
{
    (void)state;
    lab_power_off(lab, PRIMARY);
    lab_until(lab, nobody_is_granted, 5 * TTL_MS);
    ask_restart(STANDBY, (struct ha_restart){0});
    lab_until(lab, another_serves, 5 * TTL_MS);
    assert_int_equal(lab_primary(lab), STANDBY);
    assert_answer(STANDBY, 503, "became the primary before the restart began");
    lab_run(lab, 1000);
    assert_int_equal(lab_cluster(lab)->epoch, 2);
}

/* It has pledged, and says so as long as somebody may be chosen. */
static void test_a_replica_is_not_restarted_while_nobody_can_be_primary(void **state)
{
    (void)state;
    lab_node(lab, STANDBY)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 11000); /* More than maximum_lag_on_failover. */
    lab_power_off(lab, PRIMARY);
    lab_until(lab, nobody_is_granted, 5 * TTL_MS);
    ask_restart(STANDBY, (struct ha_restart){0});
    lab_until(lab, is_answered, 30000);
    assert_answer(STANDBY, 503, "there is no primary to follow");
    assert_int_equal(lab_primary(lab), 0);
    ask_restart(STANDBY, (struct ha_restart){0});
    assert_answer(STANDBY, 503, "there is no primary to follow");
}

/* --- Reinit --- */

static void test_only_a_replica_is_rebuilt(void **state)
{
    (void)state;
    ask_reinit(PRIMARY, true);
    assert_answer(PRIMARY, 503, "I am the leader, can not reinitialize");
    ask_reinit(STANDBY, false);
    assert_answer(STANDBY, 200, "reinitialize started");
    lab_until(lab, standby_clones, 2000);
    lab_until(lab, lab_all_is_well, 5000);
}

static void test_what_is_under_way_is_cancelled_only_by_force(void **state)
{
    uint64_t first_clone;

    (void)state;
    ask_reinit(STANDBY, false);
    lab_until(lab, standby_is_stopped, 2000);
    hang(STANDBY);
    lab_until(lab, standby_clones, 2000);
    first_clone = lab_node(lab, STANDBY)->pg.action.id;

    ask_reinit(STANDBY, false);
    assert_answer(STANDBY, 503, "reinitialize already in progress");
    lab_run(lab, 1000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.action.id, first_clone);

    lab_node(lab, STANDBY)->pg.hangs = false;
    ask_reinit(STANDBY, true);
    assert_answer(STANDBY, 200, "reinitialize started");
    lab_run(lab, 500);
    assert_true(standby_clones(lab));
    assert_int_not_equal(lab_node(lab, STANDBY)->pg.action.id, first_clone);
    lab_until(lab, lab_all_is_well, 5000);
}

/* Else it would be wiped when it is a replica again, whenever that is. */
static void test_who_became_the_primary_is_not_rebuilt_any_more(void **state)
{
    uint64_t data_dir_id;

    (void)state;
    ask_reinit(STANDBY, false);
    assert_answer(STANDBY, 200, "reinitialize started");
    lab_power_off(lab, PRIMARY);
    lab_until(lab, another_serves, 5 * TTL_MS);
    assert_int_equal(lab_primary(lab), STANDBY);
    data_dir_id = lab_node(lab, STANDBY)->pg.facts.record.data_dir_id;
    lab_power_on(lab, PRIMARY);
    lab_until(lab, lab_all_is_well, 10000);
    assert_false(lab_node(lab, STANDBY)->update.watch_closely);

    ask_restart(STANDBY, (struct ha_restart){0});
    lab_until(lab, is_answered, 5000);
    assert_answer(STANDBY, 200, "restarted successfully");
    lab_switchover(lab, STANDBY, STANDBY, PRIMARY, ++last_id);
    lab_until(lab, first_serves, 5000);
    lab_until(lab, lab_all_is_well, 5000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.facts.record.data_dir_id, data_dir_id);
}

static void test_a_start_that_does_not_end_is_cancelled_by_force(void **state)
{
    (void)state;
    lab_postgres_dies(lab, STANDBY);
    hang(STANDBY);
    lab_run(lab, 5000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.action.kind, PG_ACTION_START_STANDBY);
    ask_reinit(STANDBY, false);
    assert_answer(STANDBY, 503, "start as standby already in progress");
    lab_node(lab, STANDBY)->pg.hangs = false;
    ask_reinit(STANDBY, true);
    lab_until(lab, standby_clones, 2000);
    lab_until(lab, lab_all_is_well, 5000);
}

/* --- The source of a copy --- */

static uint64_t clone_source(void)
{
    lab_until(lab, standby_clones, 2000);
    return lab_node(lab, STANDBY)->pg.action.upstream.node;
}

static bool standby_clones_from_primary(const struct lab *any)
{
    return standby_clones(any) && any->nodes[STANDBY - 1].pg.action.upstream.node == PRIMARY;
}

/* The other standby offers itself. */
static void offer(bool offered)
{
    lab_node(lab, OTHER)->settings.clonefrom = offered;
    lab_daemon_dies(lab, OTHER);
    lab_daemon_starts(lab, OTHER);
    lab_until(lab, lab_all_is_well, 5000);
    lab_run(lab, TTL_MS);
}

static void test_a_replica_is_cloned_from_one_that_offers_itself(void **state)
{
    (void)state;
    offer(true);
    ask_reinit(STANDBY, false);
    assert_int_equal(clone_source(), OTHER);
    lab_until(lab, lab_all_is_well, 5000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.upstream, PRIMARY);
    offer(false);
    ask_reinit(STANDBY, false);
    assert_int_equal(clone_source(), PRIMARY);
}

static void test_who_wants_the_leaders_copy_gets_it(void **state)
{
    (void)state;
    offer(true);
    lab_local_with(
        lab, STANDBY,
        &(struct ha_local){.kind = HA_LOCAL_REINIT, .id = ++last_id, .from_leader = true});
    assert_int_equal(clone_source(), PRIMARY);
    assert_true(lab_node(lab, STANDBY)->pg.action.basebackup_only);
}

static void test_only_a_replica_that_streams_is_copied(void **state)
{
    (void)state;
    offer(true);
    text_copy_cut(
        lab_node(lab, OTHER)->pg.facts.receiver_state,
        sizeof lab_node(lab, OTHER)->pg.facts.receiver_state, "waiting");
    lab_node(lab, OTHER)->pg.upstream = 0;
    lab_run(lab, 1500);
    ask_reinit(STANDBY, false);
    assert_int_equal(clone_source(), PRIMARY);
}

static void test_a_clone_that_fails_is_made_from_the_primary(void **state)
{
    (void)state;
    offer(true);
    ask_reinit(STANDBY, false);
    assert_int_equal(clone_source(), OTHER);
    lab_power_off(lab, OTHER);
    lab_until(lab, standby_clones_from_primary, 5000);
    lab_run(lab, 2000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.upstream, PRIMARY);
}

static void test_a_clone_that_waits_for_a_replica_that_is_gone_is_dropped(void **state)
{
    (void)state;
    offer(true);
    ask_reinit(STANDBY, false);
    assert_int_equal(clone_source(), OTHER);
    lab_node(lab, STANDBY)->pg.action_ends_ms = TIME_NEVER;
    lab_run(lab, 20000);
    assert_int_equal(lab_node(lab, STANDBY)->pg.action.upstream.node, OTHER); /* It may be large. */
    lab_power_off(lab, OTHER);
    lab_until(lab, standby_clones_from_primary, 15000);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_a_restart_happens_only_on_its_conditions),
        TEST(test_a_pending_restart_is_made),
        TEST(test_one_restart_at_a_time),
        TEST(test_a_replica_that_does_not_start_in_the_time_given_is_told_of),
        TEST(test_a_primary_that_does_not_start_in_the_time_given_gives_way),
        TEST(test_a_restart_may_take_longer_than_is_configured),
        TEST(test_a_restart_is_made_when_its_time_comes),
        TEST(test_a_restart_is_scheduled_once_and_can_be_deleted),
        TEST(test_a_restart_is_not_scheduled_for_the_past),
        TEST(test_conditions_are_looked_at_when_the_time_has_come),
        TEST(test_a_restart_meanwhile_was_the_scheduled_one),
        TEST(test_a_time_that_was_slept_through_is_not_made_up_for),
        TEST(test_who_became_the_primary_is_not_restarted_for_what_a_replica_was_asked),
        TEST(test_a_replica_is_not_restarted_while_nobody_can_be_primary),
        TEST(test_only_a_replica_is_rebuilt),
        TEST(test_what_is_under_way_is_cancelled_only_by_force),
        TEST(test_who_became_the_primary_is_not_rebuilt_any_more),
        TEST(test_a_start_that_does_not_end_is_cancelled_by_force),
        TEST(test_a_replica_is_cloned_from_one_that_offers_itself),
        TEST(test_who_wants_the_leaders_copy_gets_it),
        TEST(test_only_a_replica_that_streams_is_copied),
        TEST(test_a_clone_that_fails_is_made_from_the_primary),
        TEST(test_a_clone_that_waits_for_a_replica_that_is_gone_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
