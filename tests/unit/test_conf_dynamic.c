/*
 * Cluster-wide settings, conf/dynamic.c.
 */
#include "conf/conf.h"

#include "tests/lib/settings.h"

static struct conf_dynamic read_yaml(struct settings *settings, const char *yaml)
{
    struct conf_dynamic dynamic;

    conf_dynamic_read(
        &dynamic, &settings->tree, settings_parse(settings, yaml), &settings->problems);
    return dynamic;
}

static void test_nothing_gives_the_defaults(void **state)
{
    struct settings *settings = settings_new();
    struct conf_dynamic dynamic;

    (void)state;
    conf_dynamic_read(&dynamic, &settings->tree, NULL, &settings->problems);
    settings_assert_counts(settings, 0, 0);
    assert_int_equal(dynamic.ttl_ms, 2000);
    assert_int_equal(dynamic.synchronous_node_count, 1);
    assert_false(dynamic.standby_cluster.active);
    assert_int_equal(dynamic.permanent.count, 0);
}

static void test_values_with_fractions_and_units(void **state)
{
    struct settings *settings = settings_new();
    const struct conf_dynamic dynamic = read_yaml(
        settings, "ttl: 1.5\nmaximum_lag_on_failover: 16MB\nmember_slots_ttl: 1h\n"
                  "primary_start_timeout: '0'\nsynchronous_mode: Quorum\npause: yes\n");

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_int_equal(dynamic.ttl_ms, 1500);
    assert_int_equal(dynamic.maximum_lag_on_failover_bytes, 16 << 20);
    assert_int_equal(dynamic.member_slots_ttl_ms, 3600000);
    assert_int_equal(dynamic.primary_start_timeout_ms, 0);
    assert_int_equal(dynamic.synchronous_mode, CONF_SYNC_QUORUM);
    assert_true(dynamic.pause);
}

static void test_a_wrong_value_is_an_error_and_its_default(void **state)
{
    static const struct {
        const char *yaml;
        const char *error;
    } cases[] = {
        {"ttl: 0",                                           "ttl: \"0\" is not right; give seconds (or 500ms, 5min), 1.."},
        {"ttl: 0.999",                                       "ttl: \"0.999\""                                             },
        {"ttl: ten",                                         "ttl: \"ten\""                                               },
        {"ttl: [2]",                                         "ttl: a list is not right"                                   },
        {"ttl: -5",                                          "ttl: \"-5\""                                                },
        {"ttl: 86401",                                       "ttl: \"86401\""                                             },
        {"synchronous_mode: some",                           "give one of off|on|quorum"                                  },
        {"synchronous_node_count: 0",                        "synchronous_node_count: \"0\""                              },
        {"failsafe_mode: 2",                                 "failsafe_mode: \"2\""                                       },
        {"maximum_lag_on_failover: -1",                      "maximum_lag_on_failover: \"-1\""                            },
        {"slots: [a]",                                       "slots: a list is not right; give a map"                     },
        {"slots: {Bad-Name: {}}",                            "slots.Bad-Name: \"Bad-Name\" cannot be a slot"              },
        {"slots: {s: text}",                                 "slots.s: text is not right; give a map"                     },
        {"slots: {s: {type: odd}}",                          "slots.s.type: \"odd\" is not right"                         },
        {"slots: {s: {type: logical}}",                      "needs database and plugin"                                  },
        {"slots: {s: {cluster_type: x}}",                    "give primary or standby"                                    },
        {"ignore_slots: {a: b}",                             "ignore_slots: a map is not right; give a list"              },
        {"ignore_slots: [a]",                                "ignore_slots[0]: text is not right"                         },
        {"standby_cluster: text",                            "standby_cluster: text is not right; give a map"             },
        {"postgresql: {pg_ctl_timeout: x}",                  "postgresql.pg_ctl_timeout: \"x\""                           },
        {"postgresql: {parameters: {wal_level: minimal}}",   "give replica or logical"                                    },
        {"postgresql: {parameters: {wal_keep_size: 1MB}}",   "at least 16MB"                                              },
        {"postgresql: {parameters: {work_mem: [1]}}",
         "work_mem: a list is not right; give one value"                                                                  },
        {"postgresql: {parameters: {wal_log_hints: maybe}}", "give true or false"                                         },
        {"[a]",                                              "a list is not right; give a map"                            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        const struct conf_dynamic dynamic = read_yaml(settings, cases[i].yaml);

        settings_assert_error(settings, cases[i].error);
        settings_assert_counts(settings, 1, 0);
        assert_int_equal(dynamic.ttl_ms, 2000);
        assert_int_equal(dynamic.synchronous_mode, CONF_SYNC_OFF);
        assert_int_equal(dynamic.permanent.count, 0);
    }
}

static void test_both_ends_of_a_range_are_inside(void **state)
{
    static const struct {
        const char *yaml;
        int64_t ttl_ms;
        int64_t node_count;
    } cases[] = {
        {"{ttl: 1, synchronous_node_count: 1}",     1000,     1},
        {"{ttl: 86400, synchronous_node_count: 8}", 86400000, 8},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        const struct conf_dynamic dynamic = read_yaml(settings, cases[i].yaml);

        settings_assert_counts(settings, 0, 0);
        assert_int_equal(dynamic.ttl_ms, cases[i].ttl_ms);
        assert_int_equal(dynamic.synchronous_node_count, cases[i].node_count);
    }
}

static void test_validate_is_false_only_for_errors(void **state)
{
    struct settings *settings = settings_new();
    const struct node *good = settings_parse(settings, "ttl: 3\nunheard_of: 1\n");
    const struct node *bad = settings_parse(settings, "ttl: 0\n");

    (void)state;
    assert_true(conf_dynamic_validate(&settings->tree, good, &settings->problems));
    settings_assert_warning(settings, "unheard_of: unknown setting, kept and without effect");
    assert_false(conf_dynamic_validate(&settings->tree, bad, &settings->problems));
    /* Errors from before do not count against what is looked at now. */
    assert_true(conf_dynamic_validate(&settings->tree, good, &settings->problems));
}

static void test_old_names_count_where_the_new_one_is_absent(void **state)
{
    struct settings *settings = settings_new();
    struct conf_dynamic dynamic =
        read_yaml(settings, "master_start_timeout: 10\nmaster_stop_timeout: 20\n");

    (void)state;
    assert_int_equal(dynamic.primary_start_timeout_ms, 10000);
    assert_int_equal(dynamic.primary_stop_timeout_ms, 20000);
    dynamic = read_yaml(settings, "master_start_timeout: 10\nprimary_start_timeout: 30\n");
    assert_int_equal(dynamic.primary_start_timeout_ms, 30000);
    settings_assert_counts(settings, 0, 0);
}

static void test_slots_are_what_patroni_takes_them_for(void **state)
{
    struct settings *settings = settings_new();
    const struct conf_dynamic dynamic = read_yaml(
        settings, "slots:\n"
                  "  a:\n"
                  "  b: false\n"
                  "  c: {type: physical, cluster_type: standby}\n"
                  "  d: {database: app, plugin: pgoutput}\n"
                  "  e: {type: logical, database: app, plugin: pgoutput}\n");
    static const int types[] = {
        CONF_SLOT_PHYSICAL, CONF_SLOT_PHYSICAL, CONF_SLOT_PHYSICAL, CONF_SLOT_LOGICAL,
        CONF_SLOT_LOGICAL};

    (void)state;
    settings_assert_counts(settings, 0, 2);
    settings_assert_warning(settings, "e: without effect in this version: no logical slot is made");
    assert_int_equal(dynamic.permanent.count, ARRAY_SIZE(types));
    for (uint32_t i = 0; i < ARRAY_SIZE(types); i++) {
        assert_int_equal(dynamic.permanent.items[i].type, types[i]);
        assert_int_equal(dynamic.permanent.items[i].name[0], "abcde"[i]);
    }
    assert_string_equal(dynamic.permanent.items[2].cluster_type, "standby");
    assert_string_equal(dynamic.permanent.items[3].database, "app");
}

static void test_the_first_name_of_slots_that_holds_any_wins(void **state)
{
    struct settings *settings = settings_new();
    const struct conf_dynamic dynamic = read_yaml(
        settings, "slots: {}\npermanent_slots: {p: {}}\npermanent_replication_slots: {r: {}}\n");

    (void)state;
    assert_int_equal(dynamic.permanent.count, 1);
    assert_string_equal(dynamic.permanent.items[0].name, "p");
}

static void test_an_empty_matcher_takes_any_slot(void **state)
{
    struct settings *settings = settings_new();
    const struct conf_dynamic dynamic =
        read_yaml(settings, "ignore_slots: [{}, {name: n, type: logical, database: d}]");

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_int_equal(dynamic.ignored_slots.count, 2);
    assert_null(dynamic.ignored_slots.items[0].name);
    assert_int_equal(dynamic.ignored_slots.items[0].type, -1);
    assert_int_equal(dynamic.ignored_slots.items[1].type, CONF_SLOT_LOGICAL);
    assert_null(dynamic.ignored_slots.items[1].plugin);
}

static void test_a_standby_cluster_has_no_synchronous_mode(void **state)
{
    struct settings *settings = settings_new();
    struct conf_dynamic dynamic =
        read_yaml(settings, "synchronous_mode: on\nstandby_cluster: {restore_command: cp}\n");

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_true(dynamic.standby_cluster.active);
    assert_int_equal(dynamic.synchronous_mode, CONF_SYNC_OFF);
    dynamic = read_yaml(
        settings, "synchronous_mode: on\nstandby_cluster: {primary_slot_name: s, host: ''}\n");
    assert_false(dynamic.standby_cluster.active);
    assert_int_equal(dynamic.synchronous_mode, CONF_SYNC_ON);
}

static void test_more_slots_than_there_is_room_for_are_refused(void **state)
{
    struct settings *settings = settings_new();
    char yaml[4096] = "slots:\n";
    struct conf_dynamic dynamic;

    (void)state;
    for (int i = 0; i <= CONF_SLOTS_MAX; i++) {
        const size_t length = strlen(yaml);

        (void)snprintf(yaml + length, sizeof yaml - length, "  s%d: {}\n", i);
    }
    dynamic = read_yaml(settings, yaml);
    settings_assert_error(settings, "slots.s64: more than 64 slots");
    assert_int_equal(dynamic.permanent.count, CONF_SLOTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_gives_the_defaults),
        cmocka_unit_test(test_values_with_fractions_and_units),
        cmocka_unit_test(test_a_wrong_value_is_an_error_and_its_default),
        cmocka_unit_test(test_both_ends_of_a_range_are_inside),
        cmocka_unit_test(test_validate_is_false_only_for_errors),
        cmocka_unit_test(test_old_names_count_where_the_new_one_is_absent),
        cmocka_unit_test(test_slots_are_what_patroni_takes_them_for),
        cmocka_unit_test(test_the_first_name_of_slots_that_holds_any_wins),
        cmocka_unit_test(test_an_empty_matcher_takes_any_slot),
        cmocka_unit_test(test_a_standby_cluster_has_no_synchronous_mode),
        cmocka_unit_test(test_more_slots_than_there_is_room_for_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
