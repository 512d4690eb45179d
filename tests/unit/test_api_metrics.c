#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#include "api/metrics.h"
#include "pgctl/guard_proto.h"
#include "tests/fake/api_node.h"

static struct api_node node;
static char output[METRICS_SIZE];

static const char *print(const struct show *show)
{
    struct text text;

    text_init(&text, output, sizeof output);
    metrics_print(show, &text);
    assert_false(text_overflowed(&text));
    return output;
}

static const char *print_node(void)
{
    const struct show show = api_node_show(&node);

    return print(&show);
}

/* The lines of all samples, in their order. */
struct sample {
    const char *name;
    const char *primary;
    const char *standby;
    const char *empty; /* A node that has nothing yet; NULL: there is no sample. */
};

static const struct sample samples[] = {
    {"patroni_version",                      "000100",         "000100",         "000100"    },
    {"patroni_postgres_running",             "1",              "1",              "0"         },
    {"patroni_postmaster_start_time",        "1785553140.250", "1785553140.250", "0"         },
    {"patroni_primary",                      "1",              "0",              "0"         },
    {"patroni_xlog_location",                "83886176",       "0",              "0"         },
    {"patroni_standby_leader",               "0",              "0",              "0"         },
    {"patroni_replica",                      "0",              "1",              "0"         },
    {"patroni_sync_standby",                 "0",              "0",              "0"         },
    {"patroni_quorum_standby",               "0",              "0",              "0"         },
    {"patroni_xlog_received_location",       "0",              "83886080",       "0"         },
    {"patroni_xlog_replayed_location",       "0",              "83885824",       "0"         },
    {"patroni_xlog_replayed_timestamp",      "0",              "1785553199.250", "0"         },
    {"patroni_xlog_paused",                  "0",              "0",              "0"         },
    {"patroni_postgres_streaming",           "0",              "1",              NULL        },
    {"patroni_postgres_in_archive_recovery", "0",              "0",              NULL        },
    {"patroni_postgres_server_version",      "150020",         "150020",         "0"         },
    {"patroni_cluster_unlocked",             "0",              "0",              "1"         },
    {"patroni_failsafe_mode_is_active",      "0",              "0",              "0"         },
    {"patroni_failsafe_mode_enabled",        "0",              "0",              "0"         },
    {"patroni_failsafe_member",              "0",              "0",              "0"         },
    {"patroni_postgres_timeline",            "3",              "3",              "0"         },
    {"patroni_dcs_last_seen",                "1785553200",     "1785553200",     "1785553200"},
    {"patroni_pending_restart",              "0",              "0",              "0"         },
    {"patroni_is_paused",                    "0",              "0",              "0"         },
    {"patroni_postgres_state",               "5",              "5",              "12"        },
    {"patroni_failover_priority",            "1",              "1",              "0"         },
    {"pgbaton_epoch",                        "4",              "4",              "0"         },
    {"pgbaton_lease",                        "1",              "0",              "0"         },
    {"pgbaton_lease_left_seconds",           "1.900",          "0",              "0"         },
    {"pgbaton_round_age_seconds",            "0.250",          "0.250",          "0"         },
    {"pgbaton_raft_leader",                  "1",              "0",              "0"         },
    {"pgbaton_raft_term",                    "7",              "7",              "0"         },
    {"pgbaton_raft_commit_index",            "120",            "120",            "0"         },
    {"pgbaton_raft_applied_index",           "119",            "119",            "0"         },
    {"pgbaton_raft_last_index",              "121",            "121",            "0"         },
    {"pgbaton_raft_peers_up",                "2",              "2",              "0"         },
    {"pgbaton_store_commit_seconds",         "0.002",          "0.002",          "0"         },
    {"pgbaton_store_commit_max_seconds",     "1.250",          "1.250",          "0"         },
    {"pgbaton_log_lines_lost",               "7",              "7",              "0"         },
    {"pgbaton_guard_rings",                  "2",              "2",              "0"         },
    {"pgbaton_watchdog_failed",              "0",              "0",              "0"         },
};

static const char *value_of(const struct sample *sample, size_t which)
{
    const char *const values[] = {sample->primary, sample->standby, sample->empty};

    return values[which];
}

static void test_all_samples_of_three_nodes_in_their_order(void **state)
{
    static void (*const make[])(struct api_node *) = {
        api_node_init, api_node_be_standby, api_node_be_new};

    (void)state;
    for (size_t which = 0; which < ARRAY_SIZE(make); which++) {
        const char *at;
        char line[200];

        make[which](&node);
        at = print_node();
        for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
            const char *value = value_of(&samples[i], which);

            if (value == NULL) {
                assert_null(strstr(output, samples[i].name));
                continue;
            }
            (void)snprintf(
                line, sizeof line, "\n%s{scope=\"demo\",name=\"n1\"} %s\n", samples[i].name, value);
            at = strstr(at, line);
            if (at == NULL) {
                fail_msg("no%s behind the ones before", line);
            }
            at += strlen(line) - 1;
        }
        assert_string_equal(at, "\n"); /* Nothing behind. */
    }
}

static void test_each_sample_is_explained(void **state)
{
    uint32_t counters = 0;

    (void)state;
    api_node_init(&node);
    (void)print_node();
    assert_true(text_starts_with(
        output, "# HELP patroni_version Version, two digits for each part.\n"
                "# TYPE patroni_version gauge\n"
                "patroni_version{scope=\"demo\",name=\"n1\"} 000100\n"
                "# HELP patroni_postgres_running "));
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        char line[200];

        (void)snprintf(line, sizeof line, "# TYPE %s gauge\n", samples[i].name);
        if (strstr(output, line) == NULL) {
            (void)snprintf(line, sizeof line, "# TYPE %s counter\n", samples[i].name);
            assert_non_null(strstr(output, line));
            counters++;
        }
        (void)snprintf(line, sizeof line, "# HELP %s ", samples[i].name);
        assert_non_null(strstr(output, line));
    }
    assert_int_equal(counters, 7); /* Three positions in the WAL, three of Raft, lost lines. */
}

static void test_the_numbers_of_the_state_are_explained(void **state)
{
    (void)state;
    api_node_init(&node);
    assert_non_null(strstr(
        print_node(), "\n# Values: -1=unknown, 0=initializing new cluster, 1=initdb failed, "));
    assert_non_null(
        strstr(output, ", 4=creating replica, 5=running, 6=starting, 8=start failed, "));
    assert_non_null(strstr(output, ", 14=crashed\n"));
}

static void test_a_postgresql_that_does_not_answer_is_unknown(void **state)
{
    (void)state;
    api_node_init(&node);
    node.facts.sql_ok = false;
    assert_non_null(strstr(print_node(), "postgres_state{scope=\"demo\",name=\"n1\"} -1\n"));
    assert_non_null(strstr(output, "patroni_primary{scope=\"demo\",name=\"n1\"} 0\n"));
    node.view.members[0].status.state = HA_STATE_STARTING;
    assert_non_null(strstr(print_node(), "postgres_state{scope=\"demo\",name=\"n1\"} 6\n"));
}

static void test_flags_follow_what_they_stand_for(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    node.health.paused = true;
    node.facts.pending_restart = true;
    node.facts.watchdog_failed = true;
    node.facts.replay_paused = true; /* Means nothing on a primary. */
    node.health.cluster_known = false;
    node.view.members[0].status.nofailover = true;
    show = api_node_show(&node);
    show.failsafe_mode = true;
    (void)print(&show);
    assert_non_null(strstr(output, "patroni_is_paused{scope=\"demo\",name=\"n1\"} 1\n"));
    assert_non_null(strstr(output, "patroni_pending_restart{scope=\"demo\",name=\"n1\"} 1\n"));
    assert_non_null(strstr(output, "pgbaton_watchdog_failed{scope=\"demo\",name=\"n1\"} 1\n"));
    assert_non_null(strstr(output, "patroni_xlog_paused{scope=\"demo\",name=\"n1\"} 0\n"));
    assert_non_null(strstr(output, "patroni_cluster_unlocked{scope=\"demo\",name=\"n1\"} 1\n"));
    assert_non_null(strstr(output, "patroni_failover_priority{scope=\"demo\",name=\"n1\"} 0\n"));
    assert_non_null(strstr(output, "failsafe_mode_enabled{scope=\"demo\",name=\"n1\"} 1\n"));
    assert_non_null(strstr(output, "patroni_failsafe_member{scope=\"demo\",name=\"n1\"} 1\n"));
}

static void test_labels_are_escaped(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = api_node_show(&node);
    show.scope = "a\"b\\c\nd";
    assert_non_null(
        strstr(print(&show), "pgbaton_epoch{scope=\"a\\\"b\\\\c\\nd\",name=\"n1\"} 4\n"));
}

static void test_rings_have_the_guards_numbers(void **state)
{
    static const struct {
        uint32_t ring;
        const char *name;
    } cases[] = {
        {GUARD_RING_TIMER,    "timer"   },
        {GUARD_RING_PIDNS,    "pidns"   },
        {GUARD_RING_CGROUP,   "cgroup"  },
        {GUARD_RING_WATCHDOG, "watchdog"},
    };
    const char *names[SHOW_RINGS_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(show_rings(cases[i].ring, names), 1);
        assert_string_equal(names[0], cases[i].name);
    }
    assert_int_equal(show_rings(0, names), 0);
    assert_int_equal(show_rings(UINT32_MAX, names), SHOW_RINGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_samples_of_three_nodes_in_their_order),
        cmocka_unit_test(test_each_sample_is_explained),
        cmocka_unit_test(test_the_numbers_of_the_state_are_explained),
        cmocka_unit_test(test_a_postgresql_that_does_not_answer_is_unknown),
        cmocka_unit_test(test_flags_follow_what_they_stand_for),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_rings_have_the_guards_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
