#include "conf/table.h"

#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/env.h"
#include "conf/read.h"
#include "tests/lib/settings.h"

static const enum conf_table_id ids[] = {
    CONF_TABLE_LOCAL, CONF_TABLE_POSTGRESQL_LOCAL, CONF_TABLE_POSTGRESQL_BOTH, CONF_TABLE_DYNAMIC};

static void test_no_key_and_no_variable_is_there_twice(void **state)
{
    (void)state;
    for (size_t t = 0; t < ARRAY_SIZE(ids); t++) {
        const struct conf_table table = conf_table(ids[t]);

        for (size_t i = 0; i < table.count; i++) {
            for (size_t j = i + 1; j < table.count; j++) {
                assert_string_not_equal(table.keys[i].path, table.keys[j].path);
                assert_true(
                    table.keys[i].env[0] == '\0' ||
                    !text_equal(table.keys[i].env, table.keys[j].env));
            }
        }
    }
}

static void test_every_key_has_a_sentence_and_something_to_show(void **state)
{
    (void)state;
    for (size_t t = 0; t < ARRAY_SIZE(ids); t++) {
        const struct conf_table table = conf_table(ids[t]);

        for (size_t i = 0; i < table.count; i++) {
            const struct conf_key *key = &table.keys[i];

            assert_true(text_ends_with(key->sentence, "."));
            assert_true(
                key->fallback != NULL || key->example != NULL || key->type == CONF_TYPE_MAP);
        }
    }
}

/* conf_read_keys() asserts that each default is a value its key takes. */
static void test_every_default_passes_its_own_check(void **state)
{
    struct settings *settings = settings_new();
    struct conf conf = {.root = NULL};
    struct conf_postgresql postgresql = {.root = NULL};
    struct conf_dynamic dynamic = {.root = NULL};
    void *const targets[] = {&conf, &postgresql, &postgresql, &dynamic};

    (void)state;
    for (size_t t = 0; t < ARRAY_SIZE(ids); t++) {
        conf_read_keys(conf_table(ids[t]), targets[t], &settings->tree, NULL, &settings->problems);
    }
    settings_assert_counts(settings, 0, 0);
    assert_int_equal(conf.log.level, LOG_INFO);
    assert_int_equal(conf.watchdog.mode, CONF_WATCHDOG_AUTOMATIC);
    assert_int_equal(conf.watchdog.safety_margin_ms, -1000);
    assert_int_equal(conf.raft.heartbeat_ms, 100);
    assert_int_equal(conf.guard.kill_budget_ms, CONF_UNSET);
    assert_null(conf.scope);
    assert_true(postgresql.use_slots);
    assert_int_equal(postgresql.pg_ctl_timeout_ms, 60000);
    assert_int_equal(dynamic.ttl_ms, 2000);
    assert_int_equal(dynamic.maximum_lag_on_failover_bytes, 1048576);
    assert_int_equal(dynamic.maximum_lag_on_syncnode_bytes, -1);
    assert_int_equal(dynamic.primary_start_timeout_ms, 300000);
    assert_int_equal(dynamic.member_slots_ttl_ms, 1800000);
    assert_int_equal(dynamic.synchronous_mode, CONF_SYNC_OFF);
}

/* The places of the words are what the code reads: they must be the enumerators. */
static void test_words_of_choices_are_in_the_order_of_their_enums(void **state)
{
    const struct conf_key *levels = conf_table_find(conf_table(CONF_TABLE_LOCAL), "log.level");
    const char *at = levels->range;

    (void)state;
    for (int level = LOG_DEBUG; level <= LOG_CRITICAL; level++) {
        const char *name = log_level_name((enum log_level)level);

        assert_memory_equal(at, name, strlen(name));
        at += strlen(name);
        at += *at == '|';
    }
    assert_string_equal(at, "");
    assert_string_equal(
        conf_table_find(conf_table(CONF_TABLE_DYNAMIC), "synchronous_mode")->range,
        "off|on|quorum");
    assert_string_equal(
        conf_table_find(conf_table(CONF_TABLE_LOCAL), "watchdog.mode")->range,
        "off|automatic|required");
    assert_string_equal(
        conf_table_find(conf_table(CONF_TABLE_LOCAL), "restapi.verify_client")->range,
        "none|optional|required");
    assert_int_equal(CONF_SYNC_QUORUM, 2);
    assert_int_equal(CONF_WATCHDOG_REQUIRED, 2);
    assert_int_equal(CONF_VERIFY_REQUIRED, 2);
}

static void test_match_tells_keys_from_sections(void **state)
{
    const struct conf_table local = conf_table(CONF_TABLE_LOCAL);

    (void)state;
    assert_int_equal(conf_table_match(local, "scope"), CONF_MATCH_KEY);
    assert_int_equal(conf_table_match(local, "restapi"), CONF_MATCH_SECTION);
    assert_int_equal(conf_table_match(local, "restapi.authentication"), CONF_MATCH_SECTION);
    assert_int_equal(conf_table_match(local, "tags.anything"), CONF_MATCH_KEY);
    assert_int_equal(conf_table_match(local, "bootstrap.dcs.ttl"), CONF_MATCH_KEY);
    assert_int_equal(conf_table_match(local, "scopes"), CONF_MATCH_NONE);
    assert_int_equal(conf_table_match(local, "restapi.listenn"), CONF_MATCH_NONE);
    assert_int_equal(conf_table_match(local, "scope.below"), CONF_MATCH_NONE);
    assert_int_equal(conf_table_match(local, "rest"), CONF_MATCH_NONE);
}

static void test_variables_name_settings(void **state)
{
    static const struct {
        const char *assignment;
        const char *path; /* NULL: no setting. */
    } cases[] = {
        {"PATRONI_NAME=n1",                        "name"                                       },
        {"PGBATON_NAME=n1",                        "name"                                       },
        {"PATRONI_RESTAPI_USERNAME=u",             "restapi.authentication.username"            },
        {"PATRONI_CTL_PASSWORD=p",                 "ctl.authentication.password"                },
        {"PATRONI_SUPERUSER_SSLMODE=prefer",       "postgresql.authentication.superuser.sslmode"},
        {"PATRONI_REWIND_USERNAME=r",              "postgresql.authentication.rewind.username"  },
        {"PATRONI_POSTGRESQL_BIN_PG_ISREADY=x",    "postgresql.bin_name.pg_isready"             },
        {"PATRONI_POSTGRESQL_DATA_DIR=/d",         "postgresql.data_dir"                        },
        {"PATRONI_RAFT_PARTNER_ADDRS='a:1','b:1'", "raft.partner_addrs"                         },
        {"PATRONI_LOGLEVEL=DEBUG",                 "log.level"                                  },
        {"PATRONI_LOG_DATEFMT=x",                  "log.dateformat"                             },
        {"PATRONI_ETCD_HOSTS=h:2379",              NULL                                         },
        {"PATRONI_TTL=3",                          NULL                                         },
        {"PATRONI_=x",                             NULL                                         },
        {"NAME=n1",                                NULL                                         },
        {"PATRONI",                                NULL                                         },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct env_variable variable = env_split(cases[i].assignment);
        char path[TREE_PATH_MAX] = "";
        const struct conf_key *key = env_find(&variable, path);

        if (cases[i].path == NULL) {
            assert_null(key);
        } else {
            assert_non_null(key);
            assert_string_equal(path, cases[i].path);
        }
    }
}

static void test_variables_of_other_stores_are_recognised(void **state)
{
    const struct env_variable etcd = env_split("PATRONI_ETCD3_HOST=h");
    const struct env_variable name = env_split("PATRONI_NAME=n");
    const struct env_variable whole = env_split("PATRONI_CONFIGURATION=scope: x");

    (void)state;
    assert_true(env_is_dcs(&etcd));
    assert_false(env_is_dcs(&name));
    assert_true(env_is_configuration(&whole));
    assert_string_equal(whole.value, "scope: x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_key_and_no_variable_is_there_twice),
        cmocka_unit_test(test_every_key_has_a_sentence_and_something_to_show),
        cmocka_unit_test(test_every_default_passes_its_own_check),
        cmocka_unit_test(test_words_of_choices_are_in_the_order_of_their_enums),
        cmocka_unit_test(test_match_tells_keys_from_sections),
        cmocka_unit_test(test_variables_name_settings),
        cmocka_unit_test(test_variables_of_other_stores_are_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
