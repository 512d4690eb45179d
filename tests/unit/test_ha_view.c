/* What the outside sees: the health checks' conditions, the member list, and which requests are
 * turned away at the door. */
#include "tests/lib/ha_lab.h"

#include <string.h>

#include "base/text.h"

#define TTL_MS  2000
#define HOUR_MS 3600000u

static struct lab *lab;

static int set_up(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab_until(lab, lab_all_is_well, 10000);
    lab_run(lab, TTL_MS);
    return 0;
}

static struct ha_health health(uint64_t id)
{
    struct ha_health result;

    ha_health(lab_node(lab, id)->ha, lab->now_ms, &result);
    return result;
}

/* Shows a node other facts than its server has, for one look. */
static void show_facts(uint64_t id, const struct pg_facts *facts)
{
    struct lab_node *node = lab_node(lab, id);

    ha_step(
        node->ha, &(struct ha_event){.kind = HA_EVENT_FACTS, .now_ms = lab->now_ms, .facts = facts},
        &node->update);
}

/* --- Health. --- */

static void test_a_serving_primary_holds_the_lease_and_is_primary(void **state)
{
    const struct ha_health primary = health(1);

    (void)state;
    assert_true(primary.lease);
    assert_true(primary.primary);
    assert_true(primary.running);
    assert_true(primary.cluster_known);
    assert_false(primary.replica);
    assert_false(primary.unlocked);
    assert_string_equal(primary.replication_state, "");
}

static void test_a_standby_streams_and_knows_where_the_primary_is(void **state)
{
    const struct ha_health standby = health(2);

    (void)state;
    assert_false(standby.lease);
    assert_false(standby.primary);
    assert_true(standby.running);
    assert_true(standby.replica);
    assert_true(standby.streaming);
    assert_string_equal(standby.replication_state, "streaming");
    assert_true(standby.leader_lsn != 0);
    assert_true(standby.leader_lsn <= lab_node(lab, 1)->pg.lsn);
}

static void test_exactly_one_node_is_primary_at_any_time(void **state)
{
    (void)state;
    lab_switchover(lab, 1, 1, 2, 7);
    for (uint32_t step = 0; step < 300; step++) {
        uint32_t count = 0;

        lab_step(lab);
        for (uint64_t id = 1; id <= 3; id++) {
            count += health(id).primary ? 1 : 0;
        }
        assert_in_range(count, 0, 1);
    }
    assert_true(health(2).primary);
}

static void test_each_condition_of_a_primary_is_needed(void **state)
{
    const struct pg_facts good = lab_node(lab, 1)->pg.facts;
    struct pg_facts bad[5];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        bad[i] = good;
    }
    bad[0].run = PG_RUN_STARTING;
    bad[1].writable_start = false;
    bad[2].start_epoch++;
    bad[3].in_recovery = true;
    bad[4].guard_fenced = good.start_epoch;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        (void)set_up(state);
        show_facts(1, &lab_node(lab, 1)->pg.facts);
        assert_true(health(1).primary);
        show_facts(1, &bad[i]);
        assert_false(health(1).primary);
    }
}

static void test_a_primary_is_none_once_its_lease_has_ended(void **state)
{
    struct lab_node *node = lab_node(lab, 1);
    struct ha_health later;

    (void)state;
    ha_health(node->ha, node->pg.deadline_ms - 1, &later);
    assert_true(later.primary);
    ha_health(node->ha, node->pg.deadline_ms, &later);
    assert_false(later.lease);
    assert_false(later.primary);
}

static void test_a_primary_that_begins_to_stop_is_none_any_more(void **state)
{
    (void)state;
    lab_switchover(lab, 1, 1, 2, 7);
    while (lab_node(lab, 1)->pg.action.kind != PG_ACTION_STOP) {
        lab_step(lab);
    }
    assert_false(health(1).primary);
    assert_false(health(1).running);
}

static void test_a_node_that_hears_nobody_does_not_know_the_cluster(void **state)
{
    (void)state;
    lab_node(lab, 3)->cut = true;
    lab_run(lab, 3 * TTL_MS);
    assert_false(health(3).cluster_known);
    assert_true(health(2).cluster_known);
}

static void test_without_a_serving_primary_the_cluster_is_unlocked(void **state)
{
    (void)state;
    lab_power_off(lab, 1);
    lab_run(lab, TTL_MS);
    assert_true(health(2).unlocked);
}

/* --- The view. --- */

static void test_members_are_sorted_by_name_and_one_leads(void **state)
{
    static struct ha_view view;

    (void)state;
    ha_view(lab_node(lab, 2)->ha, lab->now_ms, &view);
    assert_int_equal(view.member_count, 3);
    for (uint32_t i = 0; i < view.member_count; i++) {
        const struct ha_member_view *member = &view.members[i];

        assert_int_equal(member->id, i + 1);
        assert_int_equal(member->self, i + 1 == 2);
        assert_int_equal(member->leader, i + 1 == 1);
        assert_true(member->known);
        assert_true(member->fresh);
        assert_true(member->voter);
        assert_int_equal(member->status.state, HA_STATE_RUNNING);
        assert_int_equal(member->status.role, i + 1 == 1 ? HA_ROLE_PRIMARY : HA_ROLE_REPLICA);
    }
    assert_int_equal(view.primary, 1);
    assert_int_equal(view.raft_leader, 1);
    assert_string_equal(view.no_grant_reason, "");
}

static void test_a_member_that_fell_silent_is_known_and_not_fresh(void **state)
{
    static struct ha_view view;

    (void)state;
    lab_node(lab, 3)->cut = true;
    lab_run(lab, 2 * TTL_MS);
    ha_view(lab_node(lab, 2)->ha, lab->now_ms, &view);
    assert_true(view.members[2].known);
    assert_false(view.members[2].fresh);
    assert_true(view.members[2].heard_ago_ms >= TTL_MS);
}

/* --- Requests at the door. --- */

static uint32_t check(
    enum cluster_request_kind kind, const char *from, const char *to, uint64_t scheduled_ms,
    const char *text_wanted)
{
    struct cluster_request request;
    char text[CLUSTER_REASON_SIZE] = "";
    const uint32_t code = ha_check_request(
        lab_node(lab, 1)->ha, kind, from, to, scheduled_ms, lab->now_ms, lab->now_ms, &request,
        text, sizeof text);

    assert_string_equal(text, text_wanted);
    return code;
}

static void test_requests_that_make_no_sense_are_turned_away(void **state)
{
    static const struct {
        enum cluster_request_kind kind;
        const char *from;
        const char *to;
        bool scheduled;
        uint32_t code;
        const char *text;
    } cases[] = {
        {CLUSTER_REQUEST_FAILOVER,   NULL,     NULL,     false, 400,
         "Failover could be performed only to a specific candidate"                                   },
        {CLUSTER_REQUEST_FAILOVER,   "",       "",       false, 400,
         "Failover could be performed only to a specific candidate"                                   },
        {CLUSTER_REQUEST_SWITCHOVER, NULL,     "n2",     false, 400,
         "Switchover could be performed only from a specific leader"                                  },
        {CLUSTER_REQUEST_FAILOVER,   NULL,     "n2",     true,  400, "Failover can't be scheduled"    },
        {CLUSTER_REQUEST_SWITCHOVER, "n1",     "n1",     false, 400,
         "Switchover target and source are the same"                                                  },
        {CLUSTER_REQUEST_SWITCHOVER, "n2",     "n3",     false, 412, "leader name does not match"     },
        {CLUSTER_REQUEST_SWITCHOVER, "nobody", "n3",     false, 412, "leader name does not match"     },
        {CLUSTER_REQUEST_SWITCHOVER, "n1",     "nobody", false, 412, "candidate does not exist"       },
        {CLUSTER_REQUEST_FAILOVER,   NULL,     "n1",     false, 412, "candidate is the leader already"},
        {CLUSTER_REQUEST_SWITCHOVER, "n1",     "n2",     false, 0,   ""                               },
        {CLUSTER_REQUEST_SWITCHOVER, "n1",     NULL,     false, 0,   ""                               },
        {CLUSTER_REQUEST_SWITCHOVER, "n1",     "n2",     true,  0,   ""                               },
        {CLUSTER_REQUEST_FAILOVER,   NULL,     "n3",     false, 0,   ""                               },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(
            check(
                cases[i].kind, cases[i].from, cases[i].to,
                cases[i].scheduled ? lab->now_ms + HOUR_MS : 0, cases[i].text),
            cases[i].code);
    }
}

static void test_a_switchover_in_the_past_is_turned_away(void **state)
{
    (void)state;
    assert_int_equal(
        check(
            CLUSTER_REQUEST_SWITCHOVER, "n1", "n2", lab->now_ms,
            "Cannot schedule switchover in the past"),
        422);
}

static void test_a_request_names_whom_it_found(void **state)
{
    struct cluster_request request;
    char text[CLUSTER_REASON_SIZE];

    (void)state;
    assert_int_equal(
        ha_check_request(
            lab_node(lab, 3)->ha, CLUSTER_REQUEST_SWITCHOVER, "n1", "n2", lab->now_ms + HOUR_MS,
            lab->now_ms, lab->now_ms, &request, text, sizeof text),
        0);
    assert_int_equal(request.kind, CLUSTER_REQUEST_SWITCHOVER);
    assert_int_equal(request.from, 1);
    assert_int_equal(request.to, 2);
    assert_int_equal(request.scheduled_wall_ms, lab->now_ms + HOUR_MS);
}

static void test_a_candidate_that_cannot_take_over_is_turned_away(void **state)
{
    const char *why = "no good candidates have been found: it is not reachable, not running, or "
                      "not allowed to be promoted";

    (void)state;
    lab_node(lab, 3)->cut = true;
    lab_run(lab, 2 * TTL_MS);
    assert_int_equal(check(CLUSTER_REQUEST_SWITCHOVER, "n1", "n3", 0, why), 412);
    assert_int_equal(check(CLUSTER_REQUEST_SWITCHOVER, "n1", NULL, 0, ""), 0); /* n2 could. */
    /* By tonight it may be back. */
    assert_int_equal(check(CLUSTER_REQUEST_SWITCHOVER, "n1", "n3", lab->now_ms + HOUR_MS, ""), 0);
    lab_node(lab, 2)->cut = true;
    lab_run(lab, TTL_MS);
    assert_int_equal(check(CLUSTER_REQUEST_FAILOVER, NULL, "n2", 0, why), 412);
}

static void test_a_paused_cluster_schedules_nothing_and_wants_a_name(void **state)
{
    struct lab_node *node = lab_node(lab, 1);

    (void)state;
    lab->dynamic.pause = true;
    ha_step(
        node->ha,
        &(struct ha_event){
            .kind = HA_EVENT_DYNAMIC, .now_ms = lab->now_ms, .dynamic = &lab->dynamic},
        &node->update);
    assert_true(health(1).paused);
    assert_int_equal(
        check(
            CLUSTER_REQUEST_SWITCHOVER, "n1", "n2", lab->now_ms + HOUR_MS,
            "Can't schedule switchover in the paused state"),
        400);
    assert_int_equal(
        check(
            CLUSTER_REQUEST_SWITCHOVER, "n1", NULL, 0,
            "Switchover is possible only to a specific candidate in a paused state"),
        400);
    assert_int_equal(check(CLUSTER_REQUEST_SWITCHOVER, "n1", "n2", 0, ""), 0);
}

/* --- Names that programs read. --- */

static void test_states_and_roles_have_their_known_names(void **state)
{
    static const struct {
        enum ha_member_state state;
        const char *name;
    } states[] = {
        {HA_STATE_INITDB,                  "initializing new cluster"       },
        {HA_STATE_INITDB_FAILED,           "initdb failed"                  },
        {HA_STATE_CUSTOM_BOOTSTRAP,        "running custom bootstrap script"},
        {HA_STATE_CUSTOM_BOOTSTRAP_FAILED, "custom bootstrap failed"        },
        {HA_STATE_CREATING_REPLICA,        "creating replica"               },
        {HA_STATE_RUNNING,                 "running"                        },
        {HA_STATE_STARTING,                "starting"                       },
        {HA_STATE_START_FAILED,            "start failed"                   },
        {HA_STATE_RESTARTING,              "restarting"                     },
        {HA_STATE_RESTART_FAILED,          "restart failed"                 },
        {HA_STATE_STOPPING,                "stopping"                       },
        {HA_STATE_STOPPED,                 "stopped"                        },
        {HA_STATE_STOP_FAILED,             "stop failed"                    },
        {HA_STATE_CRASHED,                 "crashed"                        },
    };
    static const char *const roles[] = {
        [HA_ROLE_UNINITIALIZED] = "uninitialized",
        [HA_ROLE_REPLICA] = "replica",
        [HA_ROLE_PROMOTED] = "promoted",
        [HA_ROLE_PRIMARY] = "primary",
        [HA_ROLE_DEMOTED] = "demoted",
        [HA_ROLE_WITNESS] = "witness",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        assert_string_equal(ha_state_name(states[i].state), states[i].name);
    }
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        assert_string_equal(ha_role_name((enum ha_member_role)i), roles[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_serving_primary_holds_the_lease_and_is_primary),
        TEST(test_a_standby_streams_and_knows_where_the_primary_is),
        TEST(test_exactly_one_node_is_primary_at_any_time),
        TEST(test_each_condition_of_a_primary_is_needed),
        TEST(test_a_primary_is_none_once_its_lease_has_ended),
        TEST(test_a_primary_that_begins_to_stop_is_none_any_more),
        TEST(test_a_node_that_hears_nobody_does_not_know_the_cluster),
        TEST(test_without_a_serving_primary_the_cluster_is_unlocked),
        TEST(test_members_are_sorted_by_name_and_one_leads),
        TEST(test_a_member_that_fell_silent_is_known_and_not_fresh),
        TEST(test_requests_that_make_no_sense_are_turned_away),
        TEST(test_a_switchover_in_the_past_is_turned_away),
        TEST(test_a_request_names_whom_it_found),
        TEST(test_a_candidate_that_cannot_take_over_is_turned_away),
        TEST(test_a_paused_cluster_schedules_nothing_and_wants_a_name),
        TEST(test_states_and_roles_have_their_known_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
