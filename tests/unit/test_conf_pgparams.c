#include "conf/pgparams.h"

#include <string.h>

#include "base/text.h"
#include "tests/lib/settings.h"

/* Settings of a node and of its cluster, and what they come to. */
struct world {
    struct settings *settings;
    struct conf conf;
    struct conf_postgresql postgresql;
    struct conf_dynamic dynamic;
    struct pgparams_input input;
    struct pgparams got;
};

static struct world *new_world(const char *local, const char *cluster)
{
    static struct world world;
    char yaml[4096];

    world = (struct world){.settings = settings_new()};
    (void)snprintf(
        yaml, sizeof yaml, "postgresql: {listen: '10.0.0.1,127.0.0.1:5433', data_dir: /data%s%s}",
        local[0] == '\0' ? "" : ", ", local);
    conf_read(
        &world.conf, &world.settings->tree, settings_parse(world.settings, yaml), NULL,
        CONF_CHECK_CTL, &world.settings->problems);
    conf_dynamic_read(
        &world.dynamic, &world.settings->tree, settings_parse(world.settings, cluster),
        &world.settings->problems);
    conf_postgresql_read(
        &world.postgresql, &world.settings->tree, &world.conf, world.dynamic.postgresql,
        &world.settings->problems);
    problems_init(&world.settings->problems);
    world.input = (struct pgparams_input){
        .postgresql = &world.postgresql,
        .dynamic_parameters = tree_get(world.dynamic.root, "postgresql.parameters"),
        .standby_cluster = &world.dynamic.standby_cluster,
        .scope = "demo",
        .role = PGPARAMS_ROLE_REPLICA,
        .server_major = 15,
    };
    return &world;
}

static void compute(struct world *world)
{
    pgparams_compute(
        &world->got, &world->settings->tree, &world->input, &world->settings->problems);
}

static void assert_param(const struct world *world, const char *name, const char *want)
{
    const char *value = pgparams_find(&world->got, name);

    if (want == NULL) {
        assert_null(value);
    } else {
        assert_non_null(value);
        assert_string_equal(value, want);
    }
}

static const char *recovery(const struct world *world, const char *name)
{
    for (uint32_t i = 0; i < world->got.recovery_count; i++) {
        if (text_equal(world->got.recovery[i].name, name)) {
            return world->got.recovery[i].value;
        }
    }
    return NULL;
}

static void test_defaults(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        bool on_command_line;
    } want[] = {
        {"listen_addresses",          "10.0.0.1,127.0.0.1",  true },
        {"port",                      "5433",                true },
        {"cluster_name",              "demo",                true },
        {"hot_standby",               "on",                  true },
        {"restart_after_crash",       "off",                 true },
        {"wal_level",                 "replica",             true },
        {"max_connections",           "100",                 true },
        {"max_locks_per_transaction", "64",                  true },
        {"max_worker_processes",      "8",                   true },
        {"max_prepared_transactions", "0",                   true },
        {"max_wal_senders",           "10",                  true },
        {"max_replication_slots",     "10",                  true },
        {"track_commit_timestamp",    "off",                 true },
        {"wal_log_hints",             "on",                  true },
        {"wal_keep_size",             "128MB",               false},
        {"hba_file",                  "/data/pg_hba.conf",   false},
        {"ident_file",                "/data/pg_ident.conf", false},
    };
    struct world *world = new_world("", "{}");

    (void)state;
    compute(world);
    settings_assert_counts(world->settings, 0, 0);
    assert_int_equal(world->got.count, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(world->got.items[i].name, want[i].name);
        assert_string_equal(world->got.items[i].value, want[i].value);
        assert_int_equal(world->got.items[i].on_command_line, want[i].on_command_line);
    }
    assert_true(world->got.hba_managed);
    assert_null(world->got.hba);
    assert_string_equal(recovery(world, "recovery_target_timeline"), "latest");
    assert_string_equal(recovery(world, "recovery_target"), "");
}

static void test_controlled_parameters_come_from_the_cluster_only(void **state)
{
    struct world *world = new_world(
        "parameters: {max_connections: 500, wal_level: logical, wal_keep_size: 1GB}, "
        "parameters_replica: {max_wal_senders: 20}",
        "postgresql: {parameters: {max_connections: '200', wal_log_hints: off, "
        "wal_level: hot_standby}}");

    (void)state;
    compute(world);
    assert_param(world, "max_connections", "200");
    assert_param(world, "wal_log_hints", "off");
    assert_param(world, "wal_level", "replica");
    assert_param(world, "max_wal_senders", "10");
    assert_param(world, "wal_keep_size", "128MB");
    settings_assert_warning(world->settings, "max_wal_senders: the same for all roles");
    settings_assert_counts(world->settings, 0, 1);
}

static void test_a_value_against_its_rule_is_replaced_by_the_default(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *want;
    } cases[] = {
        {"max_connections",           "24",      "100"    },
        {"max_connections",           "25",      "25"     },
        {"max_connections",           "many",    "100"    },
        {"max_locks_per_transaction", "31",      "64"     },
        {"max_worker_processes",      "1",       "8"      },
        {"max_prepared_transactions", "-1",      "0"      },
        {"max_wal_senders",           "2",       "10"     },
        {"max_replication_slots",     "3",       "10"     },
        {"wal_level",                 "minimal", "replica"},
        {"wal_level",                 "logical", "logical"},
        {"track_commit_timestamp",    "maybe",   "off"    },
        {"track_commit_timestamp",    "yes",     "on"     },
        {"wal_keep_size",             "15MB",    "128MB"  },
        {"wal_keep_size",             "16",      "16MB"   },
        {"wal_keep_size",             "1GB",     "1024MB" },
        {"wal_keep_segments",         "4",       NULL     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char cluster[256];
        struct world *world = NULL;

        (void)snprintf(
            cluster, sizeof cluster, "postgresql: {parameters: {%s: %s}}", cases[i].name,
            cases[i].value);
        world = new_world("", cluster);
        compute(world);
        assert_param(world, cases[i].name, cases[i].want);
        if (cases[i].want == NULL) {
            assert_param(world, "wal_keep_size", "64MB");
        }
    }
}

static void test_before_13_wal_is_kept_in_segments(void **state)
{
    struct world *world = new_world("", "postgresql: {parameters: {wal_keep_size: 320MB}}");

    (void)state;
    world->input.server_major = 12;
    compute(world);
    assert_param(world, "wal_keep_segments", "20");
    assert_param(world, "wal_keep_size", NULL);
}

static void test_what_the_daemon_owns_is_left_out_with_a_warning(void **state)
{
    static const char *const names[] = {"primary_conninfo", "primary_slot_name",
                                        "listen_addresses", "port",
                                        "cluster_name",     "recovery_target_lsn"};
    struct world *world = new_world(
        "parameters: {hot_standby: off, restart_after_crash: on, synchronous_standby_names: 'a, "
        "b', primary_conninfo: x, primary_slot_name: x, listen_addresses: x, port: 1, "
        "cluster_name: x, recovery_target_lsn: 0/1}",
        "{}");

    (void)state;
    compute(world);
    assert_param(world, "hot_standby", "on");
    assert_param(world, "restart_after_crash", "off");
    assert_param(world, "synchronous_standby_names", NULL);
    assert_param(world, "primary_conninfo", NULL);
    assert_param(world, "port", "5433");
    assert_string_equal(world->got.synchronous_standby_names, "a, b");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char warning[128];

        (void)snprintf(
            warning, sizeof warning, "postgresql.parameters.%s: set by the daemon", names[i]);
        settings_assert_warning(world->settings, warning);
    }
    settings_assert_counts(world->settings, 0, 9);
}

static void test_the_role_s_parameters_stand_over_the_common_ones(void **state)
{
    static const char local[] = "parameters: {work_mem: 4MB, a.b: 1, jit: off}, "
                                "parameters_primary: {work_mem: 8MB}, "
                                "parameters_replica: {WORK_MEM: 2MB}";
    struct world *world = new_world(local, "postgresql: {parameters: {work_mem: 1MB, x.y: z}}");

    (void)state;
    world->input.role = PGPARAMS_ROLE_PRIMARY;
    compute(world);
    assert_param(world, "work_mem", "8MB");
    assert_param(world, "x.y", "z");
    assert_param(world, "jit", "off");
    world->input.role = PGPARAMS_ROLE_REPLICA;
    compute(world);
    assert_param(world, "work_mem", "2MB");
    world->input.role = PGPARAMS_ROLE_STANDBY_LEADER;
    compute(world);
    assert_param(world, "work_mem", "4MB");
}

static void test_a_standby_starts_with_what_its_primary_had(void **state)
{
    struct world *world = new_world("", "postgresql: {parameters: {max_connections: 50}}");

    (void)state;
    world->input.control = (struct pgparams_control){.max_connections = 200, .max_wal_senders = 10};
    compute(world);
    assert_param(world, "max_connections", "50");
    assert_int_equal(world->got.raised_count, 0);

    world->input.starts_as_standby = true;
    compute(world);
    assert_param(world, "max_connections", "200");
    assert_param(world, "max_wal_senders", "10");
    assert_int_equal(world->got.raised_count, 1);
    assert_string_equal(world->got.raised[0].name, "max_connections");
    assert_string_equal(world->got.raised[0].configured, "50");
    assert_string_equal(world->got.raised[0].used, "200");
}

static bool knows_only_jit(const void *owner, const char *name)
{
    (void)owner;
    return text_equal(name, "jit");
}

static void test_parameters_the_server_does_not_know_are_left_out(void **state)
{
    struct world *world = new_world("parameters: {jit: on, gone_in_15: 1, mod.x: 2}", "{}");

    (void)state;
    world->input.is_known = knows_only_jit;
    compute(world);
    assert_param(world, "jit", "on");
    assert_param(world, "mod.x", "2");
    assert_param(world, "gone_in_15", NULL);
    settings_assert_warning(world->settings, "gone_in_15: refused by PostgreSQL 15");
}

static void test_recovery_settings_move_to_where_they_belong(void **state)
{
    struct world *world = new_world(
        "parameters: {restore_command: from_parameters, recovery_end_command: end}, "
        "recovery_conf: {restore_command: from_conf, recovery_target_time: x, "
        "primary_conninfo: y, recovery_target_timeline: latest}",
        "{}");

    (void)state;
    compute(world);
    assert_param(world, "restore_command", NULL);
    assert_string_equal(recovery(world, "restore_command"), "from_conf");
    assert_string_equal(recovery(world, "recovery_end_command"), "end");
    assert_string_equal(recovery(world, "recovery_target_time"), "");
    assert_null(recovery(world, "primary_conninfo"));
    settings_assert_counts(world->settings, 0, 2);
}

static void test_a_standby_cluster_has_recovery_settings_of_its_own(void **state)
{
    struct world *world = new_world(
        "recovery_conf: {restore_command: mine}",
        "standby_cluster: {host: h, restore_command: theirs, recovery_min_apply_delay: 1h}");

    (void)state;
    compute(world);
    assert_string_equal(recovery(world, "restore_command"), "theirs");
    assert_null(recovery(world, "recovery_min_apply_delay"));
    world->input.role = PGPARAMS_ROLE_STANDBY_LEADER;
    compute(world);
    assert_string_equal(recovery(world, "recovery_min_apply_delay"), "1h");
}

static void test_access_lines_follow_the_role(void **state)
{
    struct world *world =
        new_world("pg_hba: [common], pg_hba_primary: [p1, p2], pg_ident: [i]", "{}");

    (void)state;
    compute(world);
    assert_int_equal(world->got.hba->count, 1);
    assert_string_equal(world->got.ident->first->text, "i");
    world->input.role = PGPARAMS_ROLE_PRIMARY;
    compute(world);
    assert_int_equal(world->got.hba->count, 2);
}

static void test_a_file_the_user_names_is_the_user_s(void **state)
{
    struct world *world = new_world(
        "pg_hba: [x], pg_ident: [y], parameters: {hba_file: /etc/hba, "
        "ident_file: /data/pg_ident.conf}",
        "{}");

    (void)state;
    compute(world);
    assert_param(world, "hba_file", "/etc/hba");
    assert_false(world->got.hba_managed);
    assert_null(world->got.hba);
    assert_true(world->got.ident_managed);
    assert_non_null(world->got.ident);
}

static void test_feedback_is_forced_where_logical_slots_need_it(void **state)
{
    struct world *world = new_world("parameters: {hot_standby_feedback: off}", "{}");

    (void)state;
    world->input.needs_feedback = true;
    compute(world);
    assert_param(world, "hot_standby_feedback", "on");
}

static void test_more_parameters_than_there_is_room_for_are_an_error(void **state)
{
    struct world *world = new_world("", "{}");
    struct node *parameters = tree_map(&world->settings->tree);

    (void)state;
    for (int i = 0; i < PGPARAMS_MAX; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "x.p%d", i);
        tree_put(
            &world->settings->tree, parameters, name, tree_string(&world->settings->tree, "1"));
    }
    world->postgresql.parameters = parameters;
    compute(world);
    assert_int_equal(world->got.count, PGPARAMS_MAX);
    settings_assert_error(world->settings, "is left out");
}

static void test_quotes_keep_a_value_one_value(void **state)
{
    static const struct {
        const char *value;
        const char *want;
    } cases[] = {
        {"",         "''"         },
        {"plain",    "'plain'"    },
        {"it's",     "'it''s'"    },
        {"a\\b",     "'a\\\\b'"   },
        {"x\ny = 1", "'x\\ny = 1'"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char quoted[64];
        struct text text;

        text_init(&text, quoted, sizeof quoted);
        pgparams_quote(&text, cases[i].value);
        assert_string_equal(quoted, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_controlled_parameters_come_from_the_cluster_only),
        cmocka_unit_test(test_a_value_against_its_rule_is_replaced_by_the_default),
        cmocka_unit_test(test_before_13_wal_is_kept_in_segments),
        cmocka_unit_test(test_what_the_daemon_owns_is_left_out_with_a_warning),
        cmocka_unit_test(test_the_role_s_parameters_stand_over_the_common_ones),
        cmocka_unit_test(test_a_standby_starts_with_what_its_primary_had),
        cmocka_unit_test(test_parameters_the_server_does_not_know_are_left_out),
        cmocka_unit_test(test_recovery_settings_move_to_where_they_belong),
        cmocka_unit_test(test_a_standby_cluster_has_recovery_settings_of_its_own),
        cmocka_unit_test(test_access_lines_follow_the_role),
        cmocka_unit_test(test_a_file_the_user_names_is_the_user_s),
        cmocka_unit_test(test_feedback_is_forced_where_logical_slots_need_it),
        cmocka_unit_test(test_more_parameters_than_there_is_room_for_are_an_error),
        cmocka_unit_test(test_quotes_keep_a_value_one_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
