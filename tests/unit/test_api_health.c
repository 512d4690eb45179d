#include "tests/lib/test.h"

#include <string.h>

#include "api/health.h"

/* The nodes a load balancer meets. */
static const struct ha_health primary = {
    .lease = true,
    .primary = true,
    .running = true,
    .cluster_known = true,
    .replication_state = "",
};
static const struct ha_health broken_primary = {
    .lease = true, /* It holds the baton, but PostgreSQL is not up and writable. */
    .cluster_known = true,
    .replication_state = "",
};
static const struct ha_health stale_primary = {
    .running = true, /* Its lease has ended. */
    .cluster_known = true,
    .unlocked = true,
    .replication_state = "",
};
static const struct ha_health standby = {
    .running = true,
    .replica = true,
    .streaming = true,
    .cluster_known = true,
    .received_lsn = 1000,
    .replayed_lsn = 900,
    .leader_lsn = 1000,
    .maximum_lag_bytes = 50,
    .replication_state = "streaming",
};
static const struct ha_health quiet_standby = {
    .running = true,
    .replica = true,
    .streaming = true,
    .cluster_known = true,
    .noloadbalance = true,
    .replication_state = "streaming",
};
static const struct ha_health lonely_standby = {
    .running = true, /* Hears nobody. */
    .replica = true,
    .unlocked = true,
    .replication_state = "in archive recovery",
};
static const struct ha_health starting = {
    .starting = true,
    .cluster_known = true,
    .replication_state = "",
};
static const struct ha_health witness = {
    .witness = true,
    .cluster_known = true,
    .replication_state = "",
};

static uint32_t check(const char *path, const struct ha_health *health)
{
    struct health_query query;

    health_query_init(&query, path);
    return health_check(&query, health, NULL);
}

static void test_every_path_in_every_state(void **state)
{
    static const struct ha_health *const nodes[] = {&primary,  &broken_primary, &stale_primary,
                                                    &standby,  &quiet_standby,  &lonely_standby,
                                                    &starting, &witness};
    static const struct {
        const char *path;
        const char *yes; /* One letter for each node above, '.' for 503. */
    } cases[] = {
        {"/",                      "p......."},
        {"/primary",               "p......."},
        {"/master",                "p......."},
        {"/read-write",            "p......."},
        {"/my-primary-check",      "p......."},
        {"/leader",                "pb......"},
        {"/standby-leader",        "........"},
        {"/standby_leader",        "........"},
        {"/replica",               "...s.l.."},
        {"/replica/x",             "...s.l.."},
        {"/read-only",             "p..s.l.."},
        {"/health",                "p.sssl.."},
        {"/async",                 "...s...."},
        {"/asynchronous",          "...s...."},
        {"/sync",                  "........"},
        {"/synchronous",           "........"},
        {"/quorum",                "........"},
        {"/read-only-sync",        "p......."},
        {"/read-only-synchronous", "p......."},
        {"/read-only-quorum",      "p......."},
        {"/async/x",               "........"},
        {"/no-such-thing",         "........"},
        {"/patroni",               "........"},
        {"/liveness",              "........"},
        {"",                       "........"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(nodes); j++) {
            const uint32_t want = cases[i].yes[j] == '.' ? 503 : 200;

            if (check(cases[i].path, nodes[j]) != want) {
                fail_msg("%s of node %zu is not %u", cases[i].path, j, want);
            }
        }
    }
}

static uint32_t check_with(
    const char *path, const struct ha_health *health, const char *name, const char *value)
{
    struct health_query query;

    health_query_init(&query, path);
    health_query_add(&query, name, value);
    return health_check(&query, health, NULL);
}

static void test_a_limit_to_the_lag_is_measured_at_what_was_replayed(void **state)
{
    struct ha_health unknown = standby;

    (void)state;
    unknown.leader_lsn = 0;
    assert_int_equal(check_with("/replica", &standby, "lag", "100"), 200);
    assert_int_equal(check_with("/replica", &standby, "lag", "99"), 503);
    assert_int_equal(check_with("/replica", &standby, "lag", "1kB"), 200);
    assert_int_equal(check_with("/replica", &standby, "lag", "0"), 503);
    assert_int_equal(check_with("/replica", &standby, "lag", "much"), 200); /* No limit. */
    assert_int_equal(check_with("/replica", &standby, "lag", ""), 200);
    assert_int_equal(check_with("/replica", &standby, "lag", "-1"), 200);
    assert_int_equal(check_with("/replica", &unknown, "lag", "0"), 200);
    assert_int_equal(check_with("/read-only", &standby, "lag", "99"), 503);
    assert_int_equal(check_with("/read-only", &primary, "lag", "0"), 200);
    assert_int_equal(check_with("/async", &standby, "lag", "99"), 503);
}

static void test_the_state_of_replication_can_be_asked_for(void **state)
{
    (void)state;
    assert_int_equal(check_with("/replica", &standby, "replication_state", "streaming"), 200);
    assert_int_equal(
        check_with("/replica", &lonely_standby, "replication_state", "streaming"), 503);
    assert_int_equal(
        check_with("/replica", &lonely_standby, "replication_state", "in archive recovery"), 200);
}

static void test_tags_filter_what_is_not_about_the_leader(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        uint32_t want;
    } cases[] = {
        {"tag_dc",      "east", 200},
        {"tag_dc",      "East", 503},
        {"tag_dc",      "",     503},
        {"tag_ssd",     "true", 200},
        {"tag_ssd",     "True", 503},
        {"tag_rack",    "12",   200},
        {"tag_rack",    "012",  503},
        {"tag_missing", "x",    503},
        {"tag_nothing", "",     200},
        {"tag_",        "x",    503},
        {"untagged",    "x",    200},
    };
    char memory[2048];
    struct tree tree;
    struct node *tags;

    (void)state;
    tree_init(&tree, memory, sizeof memory);
    tags = tree_map(&tree);
    tree_put(&tree, tags, "dc", tree_string(&tree, "east"));
    tree_put(&tree, tags, "ssd", tree_scalar(&tree, NODE_BOOL, "True"));
    tree_put(&tree, tags, "rack", tree_scalar(&tree, NODE_INT, "12"));
    tree_put(&tree, tags, "nothing", tree_string(&tree, ""));
    assert_false(tree_full(&tree));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct health_query query;

        health_query_init(&query, "/replica");
        health_query_add(&query, cases[i].name, cases[i].value);
        assert_int_equal(health_check(&query, &standby, tags), cases[i].want);

        /* The leader's paths do not look at tags. */
        health_query_init(&query, "/primary");
        health_query_add(&query, cases[i].name, cases[i].value);
        assert_int_equal(health_check(&query, &primary, tags), 200);
    }
}

static void test_all_tags_must_match_and_there_may_not_be_too_many(void **state)
{
    char memory[2048];
    struct tree tree;
    struct node *tags;
    struct health_query query;

    (void)state;
    tree_init(&tree, memory, sizeof memory);
    tags = tree_map(&tree);
    tree_put(&tree, tags, "a", tree_string(&tree, "1"));
    tree_put(&tree, tags, "b", tree_string(&tree, "2"));
    health_query_init(&query, "/health");
    health_query_add(&query, "tag_a", "1");
    health_query_add(&query, "tag_b", "2");
    assert_int_equal(health_check(&query, &standby, tags), 200);
    health_query_add(&query, "tag_b", "3");
    assert_int_equal(health_check(&query, &standby, tags), 503);

    health_query_init(&query, "/health");
    for (uint32_t i = 0; i < HEALTH_TAGS_MAX; i++) {
        health_query_add(&query, "tag_a", "1");
    }
    assert_int_equal(health_check(&query, &standby, tags), 200);
    health_query_add(&query, "tag_a", "1");
    assert_int_equal(health_check(&query, &standby, tags), 503);
}

static uint32_t readiness(const struct ha_health *health, const char *lag, const char *mode)
{
    struct health_query query;

    health_query_init(&query, "/readiness");
    if (lag != NULL) {
        health_query_add(&query, "lag", lag);
    }
    if (mode != NULL) {
        health_query_add(&query, "mode", mode);
    }
    return health_readiness(&query, health);
}

static void test_ready_is_the_lease_holder_or_a_standby_that_keeps_up(void **state)
{
    struct ha_health alone = standby;

    (void)state;
    assert_int_equal(readiness(&primary, NULL, NULL), 200);
    assert_int_equal(readiness(&broken_primary, NULL, NULL), 200);
    assert_int_equal(readiness(&stale_primary, NULL, NULL), 503);
    assert_int_equal(readiness(&standby, NULL, NULL), 503); /* 100 behind, 50 by default. */
    assert_int_equal(readiness(&standby, "100", NULL), 200);
    assert_int_equal(readiness(&standby, "99", NULL), 503);
    assert_int_equal(readiness(&standby, "0", "write"), 200);
    assert_int_equal(readiness(&standby, "0", "apply"), 503);
    assert_int_equal(readiness(&quiet_standby, NULL, NULL), 200);
    assert_int_equal(readiness(&lonely_standby, NULL, NULL), 503);
    assert_int_equal(readiness(&starting, NULL, NULL), 503);
    assert_int_equal(readiness(&witness, NULL, NULL), 503);
    alone.cluster_known = false;
    alone.leader_lsn = 0;
    assert_int_equal(readiness(&alone, NULL, NULL), 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_path_in_every_state),
        cmocka_unit_test(test_a_limit_to_the_lag_is_measured_at_what_was_replayed),
        cmocka_unit_test(test_the_state_of_replication_can_be_asked_for),
        cmocka_unit_test(test_tags_filter_what_is_not_about_the_leader),
        cmocka_unit_test(test_all_tags_must_match_and_there_may_not_be_too_many),
        cmocka_unit_test(test_ready_is_the_lease_holder_or_a_standby_that_keeps_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
