#include "conf/conf.h"

#include <string.h>

#include "tests/lib/settings.h"

#define NAMES "scope: demo\nname: n1\n"
#define API   "restapi: {listen: '0.0.0.0:8008', connect_address: '10.0.0.1:8008'}\n"
#define RAFT  "raft: {self_addr: '10.0.0.1:2222', partner_addrs: ['10.0.0.2:2222'], password: s}\n"
#define USERS "authentication: {superuser: {username: postgres}, replication: {username: rep}}"
#define POSTGRESQL                                                            \
    "postgresql: {listen: '0.0.0.0:5432', connect_address: '10.0.0.1:5432', " \
    "data_dir: /data, " USERS "}\n"
#define GOOD NAMES API RAFT POSTGRESQL

static struct conf read_as(struct settings *settings, const char *yaml, enum conf_check check)
{
    struct conf conf;

    conf_read(
        &conf, &settings->tree, settings_parse(settings, yaml), "s.yaml", check,
        &settings->problems);
    return conf;
}

static struct conf read_yaml(struct settings *settings, const char *yaml)
{
    return read_as(settings, yaml, CONF_CHECK_START);
}

static void test_the_least_settings_are_enough(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_as(settings, GOOD, CONF_CHECK_STRICT);

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_string_equal(conf.scope, "demo");
    assert_string_equal(conf.namespace_, "/service");
    assert_string_equal(conf.raft.bind_addr.host, "10.0.0.1");
    assert_int_equal(conf.raft.bind_addr.port, 2222);
    assert_int_equal(conf.raft.partner_addrs.count, 1);
    assert_string_equal(conf.raft.partner_addrs.items[0].host, "10.0.0.2");
    assert_string_equal(conf.postgresql.config_dir, "/data");
    assert_string_equal(conf.postgresql.rewind_user.username, "postgres");
    assert_false(conf.bootstrap.present);
    assert_int_equal(conf.tags.failover_priority, 1);
}

static void test_everything_that_is_missing_is_named_at_once(void **state)
{
    static const char *const missing[] = {
        "s.yaml: scope: missing",
        "s.yaml: name: missing",
        "s.yaml: restapi.listen: missing",
        "s.yaml: restapi.connect_address: missing",
        "s.yaml: raft.self_addr: missing",
        "s.yaml: raft.password: missing",
        "s.yaml: postgresql.listen: missing",
        "s.yaml: postgresql.connect_address: missing",
        "s.yaml: postgresql.data_dir: missing",
        "s.yaml: postgresql.authentication.superuser.username: missing",
        "s.yaml: postgresql.authentication.replication.username: missing",
    };
    struct settings *settings = settings_new();

    (void)state;
    (void)read_yaml(settings, "{}");
    for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
        settings_assert_error(settings, missing[i]);
    }
    settings_assert_counts(settings, ARRAY_SIZE(missing), 0);
}

static void test_the_command_line_requires_nothing(void **state)
{
    struct settings *settings = settings_new();

    (void)state;
    (void)read_as(settings, "{}", CONF_CHECK_CTL);
    settings_assert_counts(settings, 0, 0);
}

static void test_wrong_values_are_refused_with_place_and_reason(void **state)
{
    static const struct {
        const char *yaml;
        const char *error;
    } cases[] = {
        {GOOD "log: {level: LOUD}",
         "s.yaml:6: log.level: \"LOUD\" is not right; give one of DEBUG|INFO|WARNING"                                                                             },
        {GOOD "log: {file_num: -1}",                                                                 "log.file_num: \"-1\" is not right; give a whole number, 0.."},
        {GOOD "log:\n  file_size: huge\n",                                                           "s.yaml:7: log.file_size: \"huge\" is not right"             },
        {GOOD "log: {format: '%(lineno)d'}",
         "s.yaml:6: log.format: no field at \"%(lineno)d\"; there are asctime"                                                                                    },
        {GOOD "log: [a]",                                                                            "log: a list is not right; give a map"                       },
        {GOOD "log: {mode: 9}",                                                                      "log.mode: \"9\""                                            },
        {GOOD "tags: {nofailover: maybe}",                                                           "tags.nofailover: \"maybe\" is not right; give true"         },
        {GOOD "tags: text",                                                                          "tags: \"text\" is not right; give a map"                    },
        {GOOD "witness: [1]",                                                                        "witness: a list is not right; give true or false"           },
        {GOOD "watchdog: {safety_margin: -2}",                                                       "-1..3600"                                                   },
        {GOOD "bootstrap: {dcs: {ttl: 0.5}}",
         "s.yaml:6: bootstrap.dcs.ttl: \"0.5\" is not right; give seconds"                                                                                        },
        {GOOD "bootstrap: {dcs: {postgresql: {parameters: {max_connections: 3}}}}",
         "bootstrap.dcs.postgresql.parameters.max_connections: \"3\" is not right; give a whole "
         "number, 25 or more"                                                                                                                                     },
        {GOOD "bootstrap: {method: mine}",                                                           "bootstrap.mine has no command"                              },
        {GOOD "bootstrap: {initdb: [{pgdata: x}]}",                                                  "bootstrap.initdb[0]: option \"pgdata\""                     },
        {GOOD "bootstrap: {initdb: [nosync]}",                                                       "option \"nosync\""                                          },
        {GOOD "bootstrap: {initdb: [{a: 1, b: 2}]}",                                                 "is no option"                                               },
        {GOOD "bootstrap: {users: {bob: secret}}",                                                   "bootstrap.users.bob: is no user"                            },
        {NAMES API RAFT "postgresql: [1]",                                                           "postgresql: a list is not right"                            },
        {"scope: 'a b'\nname: n1\n" API RAFT POSTGRESQL,                                             "scope: \"a b\" cannot be a name"                            },
        {"scope: s\nname: __patroni_strict_sync_replica_placeholder__\n" API RAFT POSTGRESQL,
         "cannot be a name"                                                                                                                                       },
        {NAMES RAFT POSTGRESQL "restapi: {listen: '0.0.0.0:8008', connect_address: '0.0.0.0:8008'}",
         "restapi.connect_address: \"0.0.0.0\" is no address to connect to"                                                                                       },
        {NAMES RAFT POSTGRESQL
         "restapi: {listen: '10.0.0.9:5432', connect_address: '10.0.0.1:8008'}",            "port 5432 is also that of restapi.listen"                   },
        {NAMES POSTGRESQL "restapi: {listen: '10.0.0.1:8008', connect_address: 'h:8008'}\n"
                          "raft: {self_addr: 'a:1', bind_addr: '*:8008', password: s}",     "port 8008 is also that of raft.bind_addr"                   },
        {NAMES POSTGRESQL "restapi: {listen: 'h:8008', connect_address: 'h:8008'}\n"
                          "raft: {self_addr: 'h:8008', password: s}",                       "port 8008 is also that of raft.bind_addr"                   },
        {NAMES RAFT POSTGRESQL
         "restapi: {listen: '0.0.0.0:5432', connect_address: '10.0.0.1:8008'}",             "port 5432 is also that of restapi.listen"                   },
        {NAMES RAFT POSTGRESQL "restapi: {listen: '0.0.0.0:8008', connect_address: '10.0.0.1'}",
         "give host:port"                                                                                                                                         },
        {NAMES RAFT POSTGRESQL "restapi: {listen: 'h:1', connect_address: 'h:1', "
                               "authentication: {username: u}}",                            "give both or none"                                          },
        {NAMES RAFT POSTGRESQL
         "restapi: {listen: 'h:1', connect_address: 'h:1', verify_client: required}",       "needs restapi.certfile and restapi.cafile"                  },
        {NAMES API POSTGRESQL "raft: {self_addr: 'a:1', partner_addrs: ['a:1'], password: s}",
         "raft.partner_addrs: contains a:1, which is self_addr"                                                                                                   },
        {NAMES API POSTGRESQL
         "raft: {self_addr: 'a:1', partner_addrs: ['b:1', 'b:1'], password: s}",            "contains b:1 twice"                                         },
        {NAMES API POSTGRESQL "raft: {self_addr: 'a:1', partner_addrs: ['b'], password: s}",
         "raft.partner_addrs[0]: \"b\" is not right; give host:port"                                                                                              },
        {NAMES API POSTGRESQL "raft: {self_addr: 'a:1', partner_addrs: [[x]], password: s}",
         "raft.partner_addrs[0]: \"a list\" is not right"                                                                                                         },
        {NAMES API POSTGRESQL "raft: {self_addr: 'a:1'}",                                            "raft.password: missing"                                     },
        {NAMES API POSTGRESQL "raft: {self_addr: 'a:1', certfile: c}",
         "needs raft.keyfile and raft.cafile"                                                                                                                     },
        {NAMES API POSTGRESQL "raft: {self_addr: '*:1', password: s}",                               "raft.self_addr: \"*:1\""                                    },
        {NAMES API RAFT "witness: true\n" POSTGRESQL,                                                "a witness runs no PostgreSQL"                               },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();

        (void)read_yaml(settings, cases[i].yaml);
        settings_assert_error(settings, cases[i].error);
    }
}

static void test_passwords_are_never_shown(void **state)
{
    struct settings *settings = settings_new();

    (void)state;
    (void)read_yaml(
        settings, NAMES API POSTGRESQL "raft: {self_addr: 'a:1', password: [hush, hush]}");
    settings_assert_error(settings, "raft.password: a list is not right");
    assert_false(settings_has_problem(settings, true, "hush"));
}

static void test_a_loopback_address_is_refused_only_when_validating(void **state)
{
    static const char yaml[] =
        NAMES RAFT POSTGRESQL "restapi: {listen: '*:8008', connect_address: '127.0.0.1:8008'}";
    struct settings *settings = settings_new();

    (void)state;
    (void)read_as(settings, yaml, CONF_CHECK_START);
    settings_assert_counts(settings, 0, 0);
    (void)read_as(settings, yaml, CONF_CHECK_STRICT);
    settings_assert_error(settings, "\"127.0.0.1\" is not reachable from other nodes");
}

static void test_what_is_unknown_is_warned_of_and_told_where_it_belongs(void **state)
{
    static const struct {
        const char *yaml;
        const char *warning;
    } cases[] = {
        {"etcd: {hosts: 'h:2379'}",                         "s.yaml:6: etcd: no store outside is used"   },
        {"consul: {host: h}",                               "see raft:"                                  },
        {"citus: {group: 0}",                               "Citus is not supported"                     },
        {"ttl: 30",                                         "ttl: cluster-wide, ignored here"            },
        {"synchronous_mode: on",                            "edit-config"                                },
        {"restapi.listen: 'h:1'",                           "unknown setting, ignored"                   },
        {"colour: blue",                                    "colour: unknown setting, ignored"           },
        {"log: {colour: blue}",                             "log.colour: unknown setting"                },
        {"bootstrap: {dcs: {colour: blue}}",                "bootstrap.dcs.colour: unknown setting, kept"},
        {"bootstrap: {dcs: {postgresql: {listen: 'h:1'}}}", "different on every node"                    },
        {"thread_pool_size: 9",                             "thread_pool_size: without effect here"      },
        {"tags: {nofailover: true, failover_priority: 5}",
         "tags.nofailover: contradicts tags.failover_priority and wins"                                  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        char yaml[2048];

        (void)snprintf(yaml, sizeof yaml, GOOD "%s\n", cases[i].yaml);
        (void)read_yaml(settings, yaml);
        settings_assert_warning(settings, cases[i].warning);
        settings_assert_counts(settings, 0, 1);
    }
}

static void test_custom_methods_are_no_unknown_settings(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_yaml(
        settings, NAMES API RAFT
        "bootstrap: {method: clone, clone: {command: /c, no_params: true}}\n"
        "postgresql: {listen: 'h:1', connect_address: 'h:1', data_dir: /d, " USERS ",\n"
        " create_replica_methods: [wal_g, basebackup], wal_g: {command: /w, no_leader: true}}");

    (void)state;
    settings_assert_counts(settings, 1, 0);
    settings_assert_error(settings, "custom bootstrap methods are not in this version");
    assert_string_equal(node_text(tree_get(conf.bootstrap.custom, "command")), "/c");
    assert_int_equal(conf.postgresql.create_replica_methods->count, 2);
}

static void test_what_this_version_does_not_carry_out_is_said(void **state)
{
    static const struct {
        const char *yaml;
        const char *part;
        bool is_error;
    } cases[] = {
        {"bootstrap: {dcs: {synchronous_mode: on}}",       "synchronous modes are not in", true },
        {"bootstrap: {dcs: {pause: true}}",                "maintenance mode is not in",   true },
        {"bootstrap: {dcs: {standby_cluster: {host: h}}}", "standby clusters are not in",  true },
        {"tags: {replicatefrom: n2}",                      "tags.replicatefrom",           false},
        {"tags: {replicatefrom: n2}",                      "follows the primary",          false},
        {"tags: {nostream: true}",                         "streams all the same",         false},
        {"tags: {nosync: true}",                           "replication is asynchronous",  false},
        {"tags: {sync_priority: 2}",                       "replication is asynchronous",  false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        char yaml[1024];

        (void)snprintf(
            yaml, sizeof yaml,
            "%s%s\npostgresql: {listen: 'h:1', connect_address: 'h:1', data_dir: "
            "/d, " USERS "}\n",
            NAMES API RAFT, cases[i].yaml);
        (void)read_yaml(settings, yaml);
        if (cases[i].is_error) {
            settings_assert_error(settings, cases[i].part);
        } else {
            settings_assert_warning(settings, cases[i].part);
        }
    }
}

static void test_tags_that_are_false_are_neither_shown_nor_warned_of(void **state)
{
    static const char all[] =
        "{clonefrom: false, nofailover: no, noloadbalance: off, nosync: false, nostream: false}";
    struct settings *settings = settings_new();
    struct conf conf;
    char yaml[1024];

    (void)state;
    (void)snprintf(yaml, sizeof yaml, GOOD "tags: %s\n", all);
    conf = read_yaml(settings, yaml);
    settings_assert_counts(settings, 0, 0);
    assert_int_equal(conf.tags.all->count, 0);
    conf = read_yaml(settings_new(), GOOD "tags: {nofailover: false, failover_priority: 2, a: no}");
    assert_int_equal(conf.tags.all->count, 3);
}

static void test_a_method_without_a_command_is_refused(void **state)
{
    struct settings *settings = settings_new();

    (void)state;
    (void)read_yaml(
        settings, NAMES API RAFT
        "postgresql: {listen: 'h:1', connect_address: 'h:1', data_dir: /d, " USERS ",\n"
        " create_replica_methods: [wal_g]}");
    settings_assert_error(settings, "\"wal_g\" has no command");
}

static void test_an_empty_log_format_means_the_usual_one(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_yaml(settings, GOOD "log: {format: ''}");

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_null(conf.log.format);
}

static void test_a_witness_needs_no_postgresql(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_yaml(settings, NAMES API RAFT "witness: true\n");

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_true(conf.witness);
}

static void test_tags_agree_whichever_way_they_are_written(void **state)
{
    static const struct {
        const char *tags;
        bool nofailover;
        int64_t priority;
    } cases[] = {
        {"{}",                                        false, 1},
        {"{nofailover: true}",                        true,  0},
        {"{failover_priority: 0}",                    true,  0},
        {"{failover_priority: 7}",                    false, 7},
        {"{nofailover: false, failover_priority: 7}", false, 7},
        {"{nofailover: true, failover_priority: 7}",  true,  0},
        {"{nofailover: false, failover_priority: 0}", false, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        struct conf conf;
        char yaml[2048];

        (void)snprintf(yaml, sizeof yaml, GOOD "tags: %s\n", cases[i].tags);
        conf = read_yaml(settings, yaml);
        assert_int_equal(conf.tags.nofailover, cases[i].nofailover);
        assert_int_equal(conf.tags.failover_priority, cases[i].priority);
    }
}

static void test_words_may_be_one_text_with_commas(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_yaml(
        settings, NAMES POSTGRESQL
        "restapi: {listen: 'h:1', connect_address: 'h:1', allowlist: 'a, 10.0.0.0/8 ,b'}\n"
        "raft: {self_addr: 'a:1', partner_addrs: 'b:1,c:1', password: s}\n");

    (void)state;
    settings_assert_counts(settings, 0, 0);
    assert_int_equal(conf.restapi.allowlist->count, 3);
    assert_string_equal(conf.restapi.allowlist->first->next->text, "10.0.0.0/8");
    assert_int_equal(conf.raft.partner_addrs.count, 2);
    assert_string_equal(conf.raft.partner_addrs.items[1].host, "c");
}

static void test_more_partners_than_there_is_room_for_are_refused(void **state)
{
    struct settings *settings = settings_new();
    char yaml[2048] = NAMES API POSTGRESQL "raft: {self_addr: 'a:1', password: s, partner_addrs: [";
    struct conf conf;

    (void)state;
    for (int i = 0; i <= CONF_PARTNERS_MAX; i++) {
        const size_t length = strlen(yaml);

        (void)snprintf(yaml + length, sizeof yaml - length, "'p%d:1', ", i);
    }
    (void)strncat(yaml, "]}\n", sizeof yaml - strlen(yaml) - 1);
    conf = read_yaml(settings, yaml);
    settings_assert_error(settings, "more than 15 addresses");
    assert_int_equal(conf.raft.partner_addrs.count, CONF_PARTNERS_MAX);
}

static void test_ctl_falls_back_to_the_api_s_settings(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_as(
        settings, "restapi: {authentication: {username: u, password: p}, cafile: /ca}\n",
        CONF_CHECK_CTL);

    (void)state;
    assert_string_equal(conf.ctl.authentication.username, "u");
    assert_string_equal(conf.ctl.authentication.password, "p");
    assert_string_equal(conf.ctl.cacert, "/ca");
}

static void test_the_node_s_postgresql_stands_over_the_cluster_s(void **state)
{
    struct settings *settings = settings_new();
    const struct conf conf = read_yaml(
        settings, NAMES API RAFT
        "postgresql: {listen: 'h:1', connect_address: 'h:1', data_dir: /d, " USERS ",\n"
        " use_slots: false, parameters: {work_mem: 8MB}, pg_hba: [local], database: mine}");
    const struct node *cluster = settings_parse(
        settings, "{listen: 'x:9', data_dir: /x, pgpass: /x, proxy_address: 'x:9', use_slots: "
                  "true, use_pg_rewind: true,\n"
                  " parameters: {work_mem: 4MB, max_connections: 50}, pg_hba: [a, b],\n"
                  " pg_ctl_timeout: 90, authentication: {superuser: {username: evil}}}");
    struct conf_postgresql postgresql;

    (void)state;
    conf_postgresql_read(&postgresql, &settings->tree, &conf, cluster, &settings->problems);
    settings_assert_counts(settings, 0, 0);
    assert_string_equal(postgresql.listen.host, "h");
    assert_string_equal(postgresql.data_dir, "/d");
    assert_string_equal(postgresql.superuser.username, "postgres");
    /* Not even where the node says nothing. */
    assert_null(postgresql.pgpass);
    assert_string_equal(postgresql.proxy_address.host, "");
    assert_string_equal(postgresql.database, "mine");
    assert_true(postgresql.use_slots); /* Counts in the cluster-wide settings only. */
    assert_true(postgresql.use_pg_rewind);
    assert_int_equal(postgresql.pg_ctl_timeout_ms, 90000);
    assert_int_equal(postgresql.pg_hba->count, 1);
    assert_string_equal(node_text(tree_get(postgresql.parameters, "work_mem")), "8MB");
    assert_string_equal(node_text(tree_get(postgresql.parameters, "max_connections")), "50");
    /* The cluster's own settings are left as they are. */
    assert_string_equal(node_text(tree_get(cluster, "parameters.work_mem")), "4MB");
}

static void assert_change(
    const struct conf_change *changes, size_t count, const char *path, bool needs_restart)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(changes[i].path, path) == 0) {
            assert_int_equal(changes[i].needs_restart, needs_restart);
            return;
        }
    }
    fail_msg("%s is not among the changes", path);
}

static void test_a_reload_tells_what_changed(void **state)
{
    struct settings *settings = settings_new();
    const struct conf old = read_yaml(settings, GOOD "tags: {a: 1}\nlog: {level: INFO}\n");
    const struct conf now = read_yaml(
        settings, "scope: demo\nname: n2\n" API RAFT
                  "postgresql: {listen: '0.0.0.0:5433', connect_address: '10.0.0.1:5432',\n"
                  " data_dir: /data, " USERS ", parameters: {work_mem: 1MB}}\n"
                  "tags: {a: 2}\nthread_pool_size: 7\nbootstrap: {dcs: {ttl: 5}}\n");
    struct conf_change changes[16];
    const size_t count = conf_diff(&old, &now, changes, ARRAY_SIZE(changes));

    (void)state;
    assert_int_equal(count, 4); /* log.level is the default, written or not. */
    assert_change(changes, count, "name", true);
    assert_change(changes, count, "tags", false);
    assert_change(changes, count, "postgresql.listen", true);
    assert_change(changes, count, "postgresql.parameters", false);
    assert_int_equal(conf_diff(&old, &old, changes, ARRAY_SIZE(changes)), 0);
    assert_int_equal(conf_diff(&old, &now, changes, 2), 2);
}

static void test_a_tree_that_is_full_is_an_error(void **state)
{
    struct settings *settings = settings_new();
    const struct node *root = settings_parse(settings, GOOD);
    struct conf conf;

    (void)state;
    settings->tree.size = settings->tree.used + 100;
    conf_read(&conf, &settings->tree, root, "s.yaml", CONF_CHECK_START, &settings->problems);
    settings_assert_error(settings, "settings larger than");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_settings_are_enough),
        cmocka_unit_test(test_everything_that_is_missing_is_named_at_once),
        cmocka_unit_test(test_the_command_line_requires_nothing),
        cmocka_unit_test(test_wrong_values_are_refused_with_place_and_reason),
        cmocka_unit_test(test_passwords_are_never_shown),
        cmocka_unit_test(test_a_loopback_address_is_refused_only_when_validating),
        cmocka_unit_test(test_what_is_unknown_is_warned_of_and_told_where_it_belongs),
        cmocka_unit_test(test_custom_methods_are_no_unknown_settings),
        cmocka_unit_test(test_what_this_version_does_not_carry_out_is_said),
        cmocka_unit_test(test_tags_that_are_false_are_neither_shown_nor_warned_of),
        cmocka_unit_test(test_a_method_without_a_command_is_refused),
        cmocka_unit_test(test_an_empty_log_format_means_the_usual_one),
        cmocka_unit_test(test_a_witness_needs_no_postgresql),
        cmocka_unit_test(test_tags_agree_whichever_way_they_are_written),
        cmocka_unit_test(test_words_may_be_one_text_with_commas),
        cmocka_unit_test(test_more_partners_than_there_is_room_for_are_refused),
        cmocka_unit_test(test_ctl_falls_back_to_the_api_s_settings),
        cmocka_unit_test(test_the_node_s_postgresql_stands_over_the_cluster_s),
        cmocka_unit_test(test_a_reload_tells_what_changed),
        cmocka_unit_test(test_a_tree_that_is_full_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
