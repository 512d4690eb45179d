#include "tests/lib/test.h"

#include <string.h>

#include "api/request.h"
#include "base/text.h"

static char memory[16384];
static struct tree tree;
static struct node *body;

static int set_up(void **state)
{
    (void)state;
    tree_init(&tree, memory, sizeof memory);
    body = tree_map(&tree);
    return 0;
}

static void put_text(const char *key, const char *value)
{
    tree_put(&tree, body, key, tree_string(&tree, value));
}

static void put(const char *key, enum node_kind kind, const char *value)
{
    tree_put(&tree, body, key, tree_scalar(&tree, kind, value));
}

static void test_a_switchover_names_who_and_whom_and_when(void **state)
{
    struct request_change change;
    struct request_refusal refusal;

    (void)state;
    put_text("leader", "n1");
    put_text("candidate", "n2");
    put_text("scheduled_at", "2026-08-01T03:00:00+00:00");
    put_text("something", "else");
    assert_true(request_change_read(body, CLUSTER_REQUEST_SWITCHOVER, &change, &refusal));
    assert_int_equal(change.kind, CLUSTER_REQUEST_SWITCHOVER);
    assert_string_equal(change.leader, "n1");
    assert_string_equal(change.candidate, "n2");
    assert_true(change.scheduled_wall_ms == UINT64_C(1785553200000));
}

static void test_what_is_not_said_is_not_there(void **state)
{
    struct request_change change;
    struct request_refusal refusal;

    (void)state;
    put_text("leader", "");
    put("candidate", NODE_NULL, "");
    put_text("scheduled_at", "");
    assert_true(request_change_read(body, CLUSTER_REQUEST_FAILOVER, &change, &refusal));
    assert_int_equal(change.kind, CLUSTER_REQUEST_FAILOVER);
    assert_null(change.leader);
    assert_null(change.candidate);
    assert_int_equal(change.scheduled_wall_ms, 0);
}

static void test_the_candidate_may_be_called_member(void **state)
{
    struct request_change change;
    struct request_refusal refusal;

    (void)state;
    put_text("member", "n3");
    assert_true(request_change_read(body, CLUSTER_REQUEST_FAILOVER, &change, &refusal));
    assert_string_equal(change.candidate, "n3");
    put_text("candidate", "n2");
    assert_true(request_change_read(body, CLUSTER_REQUEST_FAILOVER, &change, &refusal));
    assert_string_equal(change.candidate, "n2");
}

static void test_a_failover_that_names_the_leader_is_a_switchover(void **state)
{
    struct request_change change;
    struct request_refusal refusal;

    (void)state;
    put_text("candidate", "n2");
    put_text("leader", "n1");
    assert_true(request_change_read(body, CLUSTER_REQUEST_FAILOVER, &change, &refusal));
    assert_int_equal(change.kind, CLUSTER_REQUEST_SWITCHOVER);
}

static void test_a_time_without_zone_is_400_and_no_time_is_422(void **state)
{
    struct request_change change;
    struct request_refusal refusal;

    (void)state;
    put_text("leader", "n1");
    put_text("scheduled_at", "2026-08-01T03:00:00");
    assert_false(request_change_read(body, CLUSTER_REQUEST_SWITCHOVER, &change, &refusal));
    assert_int_equal(refusal.code, 400);
    put_text("scheduled_at", "soon");
    assert_false(request_change_read(body, CLUSTER_REQUEST_SWITCHOVER, &change, &refusal));
    assert_int_equal(refusal.code, 422);
}

static void test_a_restart_without_a_body_is_for_everybody(void **state)
{
    struct ha_restart restart;
    struct request_refusal refusal;

    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_true(request_restart_read(round == 0 ? NULL : body, &restart, &refusal));
        assert_false(restart.pending_only);
        assert_string_equal(restart.role, "");
        assert_int_equal(restart.below_version, 0);
        assert_int_equal(restart.timeout_ms, 0);
    }
}

static void test_fields_of_a_restart_are_checked(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        uint32_t want; /* 0: taken. */
    } cases[] = {
        {"role",             "primary",              0  },
        {"role",             "master",               0  },
        {"role",             "replica",              0  },
        {"role",             "standby_leader",       0  },
        {"role",             "leader",               400},
        {"role",             "",                     400},
        {"postgres_version", "15.2",                 0  },
        {"postgres_version", "9.6.3",                0  },
        {"postgres_version", "15",                   400},
        {"postgres_version", "15.",                  400},
        {"postgres_version", "15.2.1.1",             400},
        {"postgres_version", "15.x",                 400},
        {"postgres_version", "15.100",               400},
        {"postgres_version", "99999.1",              400},
        {"postgres_version", "",                     400},
        {"timeout",          "30",                   0  },
        {"timeout",          "2min",                 0  },
        {"timeout",          "0",                    400},
        {"timeout",          "-1",                   400},
        {"timeout",          "long",                 400},
        {"restart_pending",  "",                     0  },
        {"schedule",         "2026-08-01T03:00:00Z", 0  },
        {"schedule",         "2026-08-01T03:00:00",  400},
        {"schedule",         "soon",                 422},
        {"schedule",         "",                     422},
        {"rolle",            "primary",              400},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ha_restart restart;
        struct request_refusal refusal = {.code = 0};

        (void)set_up(state);
        put_text(cases[i].key, cases[i].value);
        assert_int_equal(request_restart_read(body, &restart, &refusal), cases[i].want == 0);
        assert_int_equal(refusal.code, cases[i].want);
    }
}

static void test_a_timeout_has_units(void **state)
{
    struct ha_restart restart;
    struct request_refusal refusal;

    (void)state;
    put_text("timeout", "2min");
    assert_true(request_restart_read(body, &restart, &refusal));
    assert_int_equal(restart.timeout_ms, 120000);
}

static void test_filters_of_a_restart(void **state)
{
    struct ha_restart restart;
    struct request_refusal refusal;

    (void)state;
    put_text("role", "master");
    put_text("postgres_version", "9.6.4");
    put_text("restart_pending", "false"); /* That it is there counts. */
    assert_true(request_restart_read(body, &restart, &refusal));
    assert_string_equal(restart.role, "primary");
    assert_int_equal(restart.below_version, 90604);
    assert_true(restart.pending_only);
    assert_int_equal(restart.at_wall_ms, 0);
    put_text("postgres_version", "15.4");
    put_text("schedule", "1970-01-01T00:01:00Z");
    assert_true(request_restart_read(body, &restart, &refusal));
    assert_int_equal(restart.below_version, 150004);
    assert_int_equal(restart.at_wall_ms, 60000);
}

static void test_a_reinitialization_may_be_forced(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        bool force;
        bool from_leader;
    } cases[] = {
        {"force",       "true",  true,  false},
        {"force",       "false", false, false},
        {"from_leader", "true",  false, true },
        {"from-leader", "true",  false, true },
        {"other",       "true",  false, false},
    };
    struct ha_local local = {.force = false};
    struct request_refusal refusal;

    assert_true(request_reinit_read(NULL, &local, &refusal));
    assert_false(local.force || local.from_leader);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        (void)set_up(state);
        put(cases[i].key, NODE_BOOL, cases[i].value);
        assert_true(request_reinit_read(body, &local, &refusal));
        assert_int_equal(local.force, cases[i].force);
        assert_int_equal(local.from_leader, cases[i].from_leader);
    }
    put_text("force", "maybe");
    assert_false(request_reinit_read(body, &local, &refusal));
    assert_int_equal(refusal.code, 400);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_switchover_names_who_and_whom_and_when),
        TEST(test_what_is_not_said_is_not_there),
        TEST(test_the_candidate_may_be_called_member),
        TEST(test_a_failover_that_names_the_leader_is_a_switchover),
        TEST(test_a_time_without_zone_is_400_and_no_time_is_422),
        TEST(test_a_restart_without_a_body_is_for_everybody),
        TEST(test_fields_of_a_restart_are_checked),
        TEST(test_a_timeout_has_units),
        TEST(test_filters_of_a_restart),
        TEST(test_a_reinitialization_may_be_forced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
