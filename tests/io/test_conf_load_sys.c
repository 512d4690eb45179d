#include "conf/load_sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "conf/sample.h"
#include "tests/lib/settings.h"

struct world {
    char dir[TEST_PATH_SIZE];
    char path[TEST_PATH_SIZE];
    struct settings *settings; /* For its problems. */
    struct conf_file file;
};

static const char *const no_environment[] = {NULL};

static int set_up(void **state)
{
    static struct world world;

    test_dir_make(world.dir);
    test_path(world.path, world.dir, "pgbaton.yaml");
    world.settings = settings_new();
    world.file = (struct conf_file){.memory = NULL};
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    conf_unload(&world->file);
    conf_unload(&world->file);
    test_dir_remove(world->dir);
    return 0;
}

static void write_file(const struct world *world, const char *name, const char *text)
{
    char path[TEST_PATH_SIZE];
    struct err err;

    test_path(path, world->dir, name);
    test_ok(file_replace(path, text, strlen(text), 0644, &err), &err);
}

static enum status load(struct world *world, const char *path, const char *const *environment)
{
    conf_unload(&world->file);
    problems_init(&world->settings->problems);
    return conf_load(&world->file, path, environment, CONF_CHECK_CTL, &world->settings->problems);
}

static void test_a_file(void **state)
{
    struct world *world = *state;

    write_file(world, "pgbaton.yaml", "scope: demo\nname: n1\n");
    assert_int_equal(load(world, world->path, no_environment), STATUS_OK);
    assert_string_equal(world->file.conf.scope, "demo");
    settings_assert_counts(world->settings, 0, 0);
}

static void test_a_directory_in_the_order_of_names(void **state)
{
    struct world *world = *state;

    write_file(world, "10-base.yml", "scope: demo\nname: n1\nlog: {level: DEBUG, file_num: 9}\n");
    write_file(world, "20-node.yaml", "name: n2\nlog: {file_num: null, dir: /x}\n");
    write_file(world, "99-other.txt", "name: wrong\n");
    write_file(world, ".hidden.yml", "name: wrong\n");
    assert_int_equal(load(world, world->dir, no_environment), STATUS_OK);
    assert_string_equal(world->file.conf.name, "n2");
    assert_string_equal(world->file.conf.scope, "demo");
    assert_int_equal(world->file.conf.log.level, 0);
    assert_int_equal(world->file.conf.log.file_num, 4);
    assert_string_equal(world->file.conf.log.dir, "/x");
}

static void test_a_bad_file_does_not_hide_the_next_one(void **state)
{
    struct world *world = *state;

    write_file(world, "a.yml", "a: 1\na: 2\n");
    write_file(world, "b.yml", "b: [\n");
    assert_int_equal(load(world, world->dir, no_environment), STATUS_INVALID);
    settings_assert_error(world->settings, "/a.yml:2: \"a\" is given twice");
    settings_assert_error(world->settings, "/b.yml:2: not valid YAML");
    settings_assert_counts(world->settings, 2, 0);
}

static void test_what_is_not_there_is_said_and_nothing_else(void **state)
{
    struct world *world = *state;

    assert_int_equal(load(world, world->path, no_environment), STATUS_NOT_FOUND);
    settings_assert_counts(world->settings, 1, 0);
    settings_assert_error(world->settings, world->path);
    assert_int_equal(load(world, world->dir, no_environment), STATUS_NOT_FOUND);
    settings_assert_error(world->settings, "no *.yml or *.yaml");
    assert_null(world->file.memory);
}

static void test_a_file_that_is_no_map_is_refused(void **state)
{
    struct world *world = *state;

    write_file(world, "pgbaton.yaml", "- a\n- b\n");
    assert_int_equal(load(world, world->path, no_environment), STATUS_INVALID);
    settings_assert_error(world->settings, "settings are a map");
}

static void test_variables_stand_over_the_file(void **state)
{
    struct world *world = *state;
    const char *const environment[] = {
        "PATH=/bin",
        "PGBATON_NAME=winner",
        "PATRONI_NAME=loser",
        "PATRONI_SCOPE=",
        "PATRONI_RAFT_PARTNER_ADDRS='10.0.0.2:2222','10.0.0.3:2222'",
        "PATRONI_RESTAPI_ALLOWLIST=10.0.0.0/8, host",
        "PATRONI_RESTAPI_HTTP_EXTRA_HEADERS=X-A: b, X-C: d",
        "PATRONI_SUPERUSER_PASSWORD=1234",
        "PATRONI_LOGLEVEL=ERROR",
        NULL,
    };

    write_file(world, "pgbaton.yaml", "scope: demo\nname: n1\n");
    assert_int_equal(load(world, world->path, environment), STATUS_OK);
    settings_assert_counts(world->settings, 0, 0);
    assert_string_equal(world->file.conf.name, "winner");
    assert_string_equal(world->file.conf.scope, "demo");
    assert_int_equal(world->file.conf.raft.partner_addrs.count, 2);
    assert_string_equal(world->file.conf.raft.partner_addrs.items[1].host, "10.0.0.3");
    assert_int_equal(world->file.conf.restapi.allowlist->count, 2);
    assert_string_equal(
        node_text(tree_child(world->file.conf.restapi.http_extra_headers, "X-C")), "d");
    assert_string_equal(world->file.conf.postgresql.superuser.password, "1234");
    assert_int_equal(world->file.conf.log.level, 3);
}

static void test_a_wrong_variable_is_named(void **state)
{
    struct world *world = *state;
    const char *const environment[] = {
        "PATRONI_RAFT_HEARTBEAT=never", "PATRONI_ETCD_HOSTS=h:2379", "PGBATON_COLOUR=blue",
        "PATRONI_LOG_LOGGERS=a: [", NULL};

    assert_int_equal(load(world, NULL, environment), STATUS_INVALID);
    settings_assert_error(world->settings, "PATRONI_LOG_LOGGERS:1: not valid YAML");
    settings_assert_warning(world->settings, "PATRONI_ETCD_HOSTS: no store outside is used");
    settings_assert_warning(world->settings, "PGBATON_COLOUR: unknown variable, ignored");

    assert_int_equal(
        load(world, NULL, (const char *const[]){"PATRONI_RAFT_HEARTBEAT=never", NULL}),
        STATUS_INVALID);
    settings_assert_error(
        world->settings, "PATRONI_RAFT_HEARTBEAT: raft.heartbeat: \"never\" is not right");
}

static void test_one_variable_may_hold_everything(void **state)
{
    struct world *world = *state;
    const char *const environment[] = {
        "PATRONI_NAME=ignored", "PATRONI_CONFIGURATION=scope: s\nname: inner\n", NULL};

    assert_int_equal(load(world, NULL, environment), STATUS_OK);
    assert_string_equal(world->file.conf.name, "inner");

    /* With a file named on the command line it does not count. */
    write_file(world, "pgbaton.yaml", "name: outer\n");
    assert_int_equal(load(world, world->path, environment), STATUS_OK);
    assert_string_equal(world->file.conf.name, "ignored");
}

static void test_without_a_file_variables_are_enough(void **state)
{
    struct world *world = *state;

    assert_int_equal(load(world, NULL, (const char *const[]){"PATRONI_NAME=n1", NULL}), STATUS_OK);
    assert_string_equal(world->file.conf.name, "n1");
}

static void test_a_file_that_is_too_long_is_refused(void **state)
{
    struct world *world = *state;
    static char text[CONF_FILE_BYTES + 16];

    memset(text, '#', sizeof text - 1);
    write_file(world, "pgbaton.yaml", text);
    assert_int_equal(load(world, world->path, no_environment), STATUS_INVALID);
    settings_assert_counts(world->settings, 1, 0);
}

static void test_a_file_that_fills_the_memory_is_refused(void **state)
{
    struct world *world = *state;
    static char text[CONF_FILE_BYTES];

    /* Short entries: each costs a node, many times its own length. */
    for (size_t i = 0; i + 5 < sizeof text; i += 4) {
        memcpy(&text[i], i == 0 ? "a: [" : "1,1,", 5);
    }
    memcpy(&text[strlen(text)], "]", 2);
    write_file(world, "pgbaton.yaml", text);
    assert_int_equal(load(world, world->path, no_environment), STATUS_FULL);
    settings_assert_error(world->settings, "settings larger than");
}

/* Standard error of conf_check_main() into a file; returns its exit status. */
static int check_into(const char *settings, const char *output)
{
    const int saved = dup(STDERR_FILENO);
    int status = 0;

    assert_int_not_equal(saved, -1);
    assert_non_null(freopen(output, "w", stderr));
    status = conf_check_main(settings, no_environment);
    assert_int_equal(fflush(stderr), 0);
    assert_int_not_equal(dup2(saved, STDERR_FILENO), -1);
    assert_int_equal(close(saved), 0);
    return status;
}

static void test_checking_prints_one_line_per_problem(void **state)
{
    struct world *world = *state;
    char output[TEST_PATH_SIZE];
    char text[4096];
    struct err err;

    test_path(output, world->dir, "stderr");
    write_file(world, "pgbaton.yaml", "scope: demo\nname: n1\nlog: {level: LOUD}\nodd: 1\n");
    assert_int_equal(check_into(world->path, output), 1);
    test_ok(file_read(output, text, sizeof text, NULL, &err), &err);
    assert_non_null(strstr(text, "pgbaton.yaml:3: log.level: \"LOUD\" is not right"));
    assert_non_null(strstr(text, "warning: "));
    assert_non_null(strstr(text, "raft.self_addr: missing"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_the_shipped_samples_pass_the_check(void **state)
{
    struct world *world = *state;
    static const char *const samples[] = {
        "conf/n1.yaml", "conf/n2.yaml", "conf/n3.yaml", "conf/pgbaton.yaml"};
    char output[TEST_PATH_SIZE];
    char text[4096];
    struct err err;

    test_path(output, world->dir, "stderr");
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        assert_int_equal(check_into(samples[i], output), 0);
        test_ok(file_read(output, text, sizeof text, NULL, &err), &err);
        assert_string_equal(text, "");
    }
}

/*
 * REWRITE=1 in the environment writes the example anew; `make docs` does that. Without it
 * the test fails when keys.h has changed and the example has not.
 */
static void test_the_example_is_what_the_list_of_keys_says(void **state)
{
    static const char path[] = "conf/pgbaton.yaml";
    static char want[CONF_SAMPLE_BYTES];
    static char have[CONF_SAMPLE_BYTES];
    struct text text;
    struct err err;

    (void)state;
    text_init(&text, want, sizeof want);
    conf_sample(&text);
    assert_false(text_overflowed(&text));
    if (getenv("REWRITE") != NULL) {
        test_ok(file_replace_if_changed(path, want, strlen(want), 0644, NULL, &err), &err);
    }
    test_ok(file_read(path, have, sizeof have, NULL, &err), &err);
    if (strcmp(want, have) != 0) {
        fail_msg("%s is stale: run \"make docs\"", path);
    }
}

/* Each "#key: value" of the example is a setting that is known and a value that is right. */
static void test_everything_in_the_example_may_be_set(void **state)
{
    struct world *world = *state;
    static char sample[CONF_SAMPLE_BYTES];
    static char all[CONF_SAMPLE_BYTES];
    struct text text;
    size_t length = 0;

    text_init(&text, sample, sizeof sample);
    conf_sample(&text);
    for (const char *at = sample; *at != '\0'; at++) {
        const bool comment = at[0] == '#' && at[1] != ' ';

        if (!comment) {
            all[length++] = *at;
        }
    }
    write_file(world, "pgbaton.yaml", all);
    assert_int_equal(
        conf_load(
            &world->file, world->path, no_environment, CONF_CHECK_STRICT,
            &world->settings->problems),
        STATUS_INVALID); /* Not everything that is known can be had in this version. */
    for (uint32_t i = 0; i < world->settings->problems.count; i++) {
        const char *line = world->settings->problems.items[i].text;

        assert_true(
            strstr(line, "without effect here") != NULL || strstr(line, "in this version") != NULL);
    }
    assert_true(world->settings->problems.warning_count > 0);
    assert_true(world->settings->problems.warning_count < PROBLEMS_MAX);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_a_file),
        test(test_a_directory_in_the_order_of_names),
        test(test_a_bad_file_does_not_hide_the_next_one),
        test(test_what_is_not_there_is_said_and_nothing_else),
        test(test_a_file_that_is_no_map_is_refused),
        test(test_variables_stand_over_the_file),
        test(test_a_wrong_variable_is_named),
        test(test_one_variable_may_hold_everything),
        test(test_without_a_file_variables_are_enough),
        test(test_a_file_that_is_too_long_is_refused),
        test(test_a_file_that_fills_the_memory_is_refused),
        test(test_checking_prints_one_line_per_problem),
        test(test_the_shipped_samples_pass_the_check),
        test(test_the_example_is_what_the_list_of_keys_says),
        test(test_everything_in_the_example_may_be_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
