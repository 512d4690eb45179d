#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

#include "api/health.h"
#include "api/route.h"
#include "tests/fake/api_node.h"

static struct api_node node;
static struct api *api;
static struct api_answer answer;
static struct api_action action;

static int set_up(void **state)
{
    (void)state;
    api_node_init(&node);
    api = api_create(&api_node_ops, &node, &node.conf);
    answer = (struct api_answer){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(answer.body);
    api_destroy(api);
    return 0;
}

/* `body` NULL: none is sent. */
static void call_if(const char *method, const char *path, const char *body, const char *if_match)
{
    const struct api_call api_call = {
        .route = route_find(method, path),
        .path = path,
        .body = body == NULL ? "" : body,
        .body_bytes = body == NULL ? 0 : strlen(body),
        .has_body = body != NULL,
        .if_match = if_match,
    };

    free(answer.body);
    api_handle(api, &api_call, &answer, &action);
}

static void call(const char *method, const char *path, const char *body)
{
    call_if(method, path, body, NULL);
}

static void expect(uint32_t code, const char *body)
{
    assert_int_equal(answer.wait_id, 0);
    assert_int_equal(action.kind, API_ACTION_NONE);
    assert_string_equal(answer.body, body);
    assert_int_equal(answer.code, code);
}

static void expect_code(uint32_t code)
{
    assert_int_equal(answer.wait_id, 0);
    assert_int_equal(action.kind, API_ACTION_NONE);
    assert_int_equal(answer.code, code);
    assert_true(strlen(answer.body) > 0);
}

static void expect_asks(enum command_kind kind)
{
    assert_int_equal(action.kind, API_ACTION_ASK);
    assert_int_equal(action.command.kind, kind);
    assert_true(action.id != 0);
    assert_true(answer.wait_id == action.id);
    assert_true(answer.wait_ms > 20000); /* The cluster answers within 20 s by itself. */
}

/* Reading. */

static void test_views_are_json(void **state)
{
    static const char *const paths[] = {"/patroni", "/cluster", "/history", "/state", "/config"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        call("GET", paths[i], NULL);
        assert_int_equal(answer.code, 200);
        assert_string_equal(answer.type, "application/json");
        assert_true(answer.body[0] == '{' || answer.body[0] == '[');
        assert_int_equal(action.kind, API_ACTION_NONE);
    }
    call("GET", "/metrics", NULL);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.type, "text/plain");
}

static void test_the_configuration_is_shown_with_its_version(void **state)
{
    (void)state;
    call("GET", "/config", NULL);
    expect(200, node.cluster.config);
    assert_string_equal(answer.etag, "\"1\"");
    node.cluster.config_size = 0;
    call("GET", "/config", NULL);
    expect_code(502);
}

static void test_failsafe_lists_members_while_the_mode_is_on(void **state)
{
    (void)state;
    call("GET", "/failsafe", NULL);
    expect_code(502);
    api_node_set_config(&node, "{\"failsafe_mode\": \"on\"}");
    call("GET", "/failsafe", NULL);
    assert_int_equal(answer.code, 200);
    assert_non_null(strstr(answer.body, "\"n3\": \"http://10.0.0.3:8008/patroni\""));
    api_node_set_config(&node, "{\"failsafe_mode\": false}");
    call("GET", "/failsafe", NULL);
    expect_code(502);
}

static void test_what_nobody_knows_is_501(void **state)
{
    (void)state;
    call("POST", "/", "{}");
    expect_code(501);
    call("DELETE", "/failover", NULL);
    expect_code(501);
}

static void test_tags_of_a_node_are_compared(void **state)
{
    struct health_query query;

    (void)state;
    node.health.tags = "{\"dc\": \"east\", \"ssd\": true, \"n\": 5}";
    health_query_init(&query, "/health");
    health_query_add(&query, "tag_dc", "east");
    health_query_add(&query, "tag_ssd", "true");
    health_query_add(&query, "tag_n", "5");
    assert_int_equal(api_check(&query, &node.health), 200);
    health_query_add(&query, "tag_dc", "west");
    assert_int_equal(api_check(&query, &node.health), 503);
    node.health.tags = "";
    assert_int_equal(api_check(&query, &node.health), 503);
}

/* Bodies. */

static void test_a_body_is_an_object_or_is_refused(void **state)
{
    static const struct {
        const char *body;
        uint32_t want;
    } cases[] = {
        {NULL,                             411},
        {"",                               400},
        {"{",                              400},
        {"[]",                             400},
        {"\"leader\"",                     400},
        {"{}",                             400},
        {"{\"leader\": \"a\"} x",          400},
        {"{\"leader\": 1, \"leader\": 2}", 400},
    };
    static const char *const paths[][2] = {
        {"POST",  "/switchover"},
        {"POST",  "/failover"  },
        {"PATCH", "/config"    },
        {"PUT",   "/config"    }
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(paths); j++) {
            call(paths[j][0], paths[j][1], cases[i].body);
            expect_code(cases[i].want);
        }
    }
    call("POST", "/restart", "[1]");
    expect_code(400);
    call("POST", "/restart", "{");
    expect_code(400);
}

/* Changes of primary. */

static void test_a_switchover_is_checked_and_then_asked_for(void **state)
{
    (void)state;
    call("POST", "/switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}");
    expect_asks(COMMAND_REQUEST_SET);
    assert_int_equal(node.checked_kind, CLUSTER_REQUEST_SWITCHOVER);
    assert_string_equal(node.checked_from, "n1");
    assert_string_equal(node.checked_to, "n2");
    assert_int_equal(action.command.request.kind, CLUSTER_REQUEST_SWITCHOVER);
    assert_true(action.command.request.id == action.id);
    assert_int_equal(action.command.request.from, API_NODE_N1);
    assert_int_equal(action.command.request.to, API_NODE_N2);
    assert_false(answer.keep_body);
    assert_true(api_start(api, &action));
    assert_int_equal(node.ask_count, 1);
    assert_true(node.asked_id == action.id);
}

static void test_a_failover_is_one_and_no_switchover(void **state)
{
    (void)state;
    call("POST", "/failover", "{\"candidate\": \"n2\"}");
    expect_asks(COMMAND_REQUEST_SET);
    assert_int_equal(node.checked_kind, CLUSTER_REQUEST_FAILOVER);
    assert_string_equal(node.checked_from, "");
    call("POST", "/failover", "{\"candidate\": \"n2\", \"leader\": \"n1\"}");
    expect_asks(COMMAND_REQUEST_SET);
    assert_int_equal(node.checked_kind, CLUSTER_REQUEST_SWITCHOVER);
}

static void test_a_switchover_may_be_scheduled(void **state)
{
    (void)state;
    call(
        "POST", "/switchover",
        "{\"leader\": \"n1\", \"scheduled_at\": \"2026-08-01T03:00:00+00:00\"}");
    expect_asks(COMMAND_REQUEST_SET);
    assert_true(node.checked_wall_ms == UINT64_C(1785553200000));
    assert_true(action.command.request.scheduled_wall_ms == UINT64_C(1785553200000));
    call("POST", "/switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"tonight\"}");
    expect_code(422);
}

static void test_what_the_check_refuses_is_not_asked_for(void **state)
{
    (void)state;
    node.check_code = 412;
    node.check_text = "leader name does not match";
    call("POST", "/switchover", "{\"leader\": \"n2\"}");
    expect(412, "leader name does not match");
}

static void test_two_requests_have_two_names(void **state)
{
    uint64_t first;

    (void)state;
    call("POST", "/switchover", "{\"leader\": \"n1\"}");
    first = action.id;
    call("POST", "/switchover", "{\"leader\": \"n1\"}");
    assert_true(action.id != first);
}

static void test_only_a_scheduled_switchover_can_be_deleted(void **state)
{
    (void)state;
    call("DELETE", "/switchover", NULL);
    expect_code(404);
    node.cluster.request =
        (struct cluster_request){.kind = CLUSTER_REQUEST_SWITCHOVER, .id = 77, .from = 1};
    call("DELETE", "/switchover", NULL);
    expect_code(404);
    node.cluster.request.scheduled_wall_ms = UINT64_C(1785553200000);
    call("DELETE", "/switchover", NULL);
    expect_asks(COMMAND_REQUEST_CLEAR);
    assert_int_equal(action.command.outcome.id, 77);
    assert_int_equal(action.command.request.id, 77);
    assert_true(action.command.id == action.id);
    assert_true(action.id != 77);
}

static void test_a_member_is_removed_by_its_name(void **state)
{
    (void)state;
    call("DELETE", "/members/n9", NULL);
    expect_code(404);
    call("DELETE", "/members/", NULL);
    expect_code(404);
    call("DELETE", "/members/n3", NULL);
    expect_asks(COMMAND_MEMBER_REMOVE);
    assert_int_equal(action.command.node, API_NODE_N3);
    assert_true(action.command.id == action.id);
}

/* The configuration. */

static void test_a_patch_is_merged_into_what_is_there(void **state)
{
    static const char wanted[] =
        "{\"postgresql\": {\"parameters\": {\"work_mem\": \"16MB\"}}, \"loop_wait\": 5}";

    (void)state;
    call(
        "PATCH", "/config",
        "{\"ttl\": null, \"loop_wait\": 5, \"postgresql\": {\"parameters\": {\"work_mem\": "
        "\"16MB\"}}}");
    expect_asks(COMMAND_CONFIG_SET);
    assert_string_equal(action.command.config, wanted);
    assert_int_equal(action.command.config_size, strlen(wanted));
    assert_int_equal(action.command.config_version, 1);
    assert_true(action.command.id == action.id);
    /* Said when the reply is 200. */
    assert_true(answer.keep_body);
    assert_string_equal(answer.body, wanted);
    assert_string_equal(answer.type, "application/json");
    assert_string_equal(answer.etag, "\"2\"");
}

static void test_a_patch_that_changes_nothing_is_done(void **state)
{
    (void)state;
    call("PATCH", "/config", "{\"ttl\": \"2\", \"loop_wait\": null}");
    expect(200, node.cluster.config);
    assert_string_equal(answer.etag, "\"1\"");
}

static void test_a_wrong_value_is_refused_with_the_reason(void **state)
{
    (void)state;
    call("PATCH", "/config", "{\"ttl\": \"soon\", \"maximum_lag_on_failover\": -5}");
    expect_code(400);
    assert_non_null(strstr(answer.body, "ttl"));
    assert_non_null(strstr(answer.body, "maximum_lag_on_failover"));
    call("PUT", "/config", "{\"ttl\": \"soon\"}");
    expect_code(400);
}

static void test_unknown_keys_are_kept(void **state)
{
    (void)state;
    call("PATCH", "/config", "{\"of_a_friend\": {\"x\": 1}}");
    expect_asks(COMMAND_CONFIG_SET);
    assert_non_null(strstr(action.command.config, "\"of_a_friend\": {\"x\": 1}"));
}

static void test_a_put_replaces_everything(void **state)
{
    (void)state;
    call("PUT", "/config", "{\"loop_wait\": 7}");
    expect_asks(COMMAND_CONFIG_SET);
    assert_string_equal(action.command.config, "{\"loop_wait\": 7}");
    api_node_set_config(&node, "{\"loop_wait\": 7}");
    call("PUT", "/config", "{\"loop_wait\": 7}");
    expect(200, "{\"loop_wait\": 7}");
}

static void test_if_match_protects_from_overwriting(void **state)
{
    (void)state;
    call_if("PATCH", "/config", "{\"loop_wait\": 7}", "\"0\"");
    expect_code(412);
    call_if("PATCH", "/config", "{\"loop_wait\": 7}", "1");
    expect_code(412);
    call_if("PUT", "/config", "{\"loop_wait\": 7}", "\"2\"");
    expect_code(412);
    call_if("PATCH", "/config", "{\"loop_wait\": 7}", "\"1\"");
    expect_asks(COMMAND_CONFIG_SET);
    call_if("PATCH", "/config", "{\"loop_wait\": 7}", "*");
    expect_asks(COMMAND_CONFIG_SET);
}

static void test_without_a_configuration_there_is_nothing_to_patch(void **state)
{
    (void)state;
    api_node_be_new(&node);
    call("PATCH", "/config", "{\"loop_wait\": 7}");
    expect_code(503);
    call("PUT", "/config", "{\"loop_wait\": 7}");
    expect_asks(COMMAND_CONFIG_SET);
}

static void test_a_configuration_that_grows_too_large_is_refused(void **state)
{
    const size_t size = CLUSTER_CONFIG_SIZE + 100;
    char *body = malloc(size);

    (void)state;
    memcpy(body, "{\"x\": \"", 7);
    memset(body + 7, 'y', size - 10);
    memcpy(body + size - 3, "\"}", 3);
    call("PATCH", "/config", body);
    expect_code(400);
    free(body);
}

/* This node. */

static void test_a_restart_is_for_this_node(void **state)
{
    (void)state;
    call("POST", "/restart", NULL);
    assert_int_equal(action.kind, API_ACTION_LOCAL);
    assert_int_equal(action.local.kind, HA_LOCAL_RESTART);
    assert_true(action.local.id != 0 && action.local.id == answer.wait_id);
    assert_true(api_start(api, &action));
    assert_int_equal(node.local_count, 1);
    call("POST", "/restart", "{\"timeout\": 30, \"role\": \"primary\"}");
    assert_int_equal(action.kind, API_ACTION_LOCAL);
    assert_int_equal(action.local.restart.timeout_ms, 30000);
    assert_string_equal(action.local.restart.role, "primary");
    assert_int_equal(answer.wait_ms, 90000); /* And a minute for the stop. */
}

static void test_a_restart_that_is_not_understood_is_not_done(void **state)
{
    (void)state;
    call("POST", "/restart", "{\"when\": \"now\"}");
    expect_code(400);
    call("POST", "/restart", "{\"schedule\": \"2026-08-01T03:00:00\"}");
    expect(400, "Timezone information is mandatory for the scheduled restart");
}

static void test_a_restart_may_be_for_later(void **state)
{
    (void)state;
    call("POST", "/restart", "{\"schedule\": \"2026-08-01T00:00:00Z\"}");
    assert_int_equal(action.local.kind, HA_LOCAL_RESTART);
    assert_int_equal(action.local.restart.at_wall_ms, UINT64_C(1785542400000));
    assert_int_equal(answer.wait_ms, 3000); /* That it is taken is known at once. */
    call("DELETE", "/restart", NULL);
    assert_int_equal(action.kind, API_ACTION_LOCAL);
    assert_int_equal(action.local.kind, HA_LOCAL_UNSCHEDULE);
    assert_true(action.local.id != 0 && action.local.id == answer.wait_id);
}

static void test_a_reload_is_promised_at_once(void **state)
{
    (void)state;
    call("POST", "/reload", NULL);
    assert_int_equal(answer.code, 202);
    assert_string_equal(answer.body, "reload scheduled");
    assert_int_equal(answer.wait_id, 0);
    assert_int_equal(action.kind, API_ACTION_LOCAL);
    assert_int_equal(action.local.kind, HA_LOCAL_RELOAD);
}

static void test_the_primary_is_not_reinitialized(void **state)
{
    (void)state;
    call("POST", "/reinitialize", NULL);
    expect(503, "I am the leader, can not reinitialize");
    node.view.primary = 0;
    call("POST", "/reinitialize", NULL);
    expect_code(503);
}

static void test_a_standby_is_reinitialized(void **state)
{
    (void)state;
    api_node_be_standby(&node);
    call("POST", "/reinitialize", "{\"force\": true, \"from_leader\": true}");
    assert_int_equal(action.kind, API_ACTION_LOCAL);
    assert_int_equal(action.local.kind, HA_LOCAL_REINIT);
    assert_true(action.local.force);
    assert_true(action.local.from_leader);
    call("POST", "/reinitialize", "{\"force\": \"perhaps\"}");
    expect_code(400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_views_are_json),
        TEST(test_the_configuration_is_shown_with_its_version),
        TEST(test_failsafe_lists_members_while_the_mode_is_on),
        TEST(test_what_nobody_knows_is_501),
        TEST(test_tags_of_a_node_are_compared),
        TEST(test_a_body_is_an_object_or_is_refused),
        TEST(test_a_switchover_is_checked_and_then_asked_for),
        TEST(test_a_failover_is_one_and_no_switchover),
        TEST(test_a_switchover_may_be_scheduled),
        TEST(test_what_the_check_refuses_is_not_asked_for),
        TEST(test_two_requests_have_two_names),
        TEST(test_only_a_scheduled_switchover_can_be_deleted),
        TEST(test_a_member_is_removed_by_its_name),
        TEST(test_a_patch_is_merged_into_what_is_there),
        TEST(test_a_patch_that_changes_nothing_is_done),
        TEST(test_a_wrong_value_is_refused_with_the_reason),
        TEST(test_unknown_keys_are_kept),
        TEST(test_a_put_replaces_everything),
        TEST(test_if_match_protects_from_overwriting),
        TEST(test_without_a_configuration_there_is_nothing_to_patch),
        TEST(test_a_configuration_that_grows_too_large_is_refused),
        TEST(test_a_restart_is_for_this_node),
        TEST(test_a_restart_that_is_not_understood_is_not_done),
        TEST(test_a_restart_may_be_for_later),
        TEST(test_a_reload_is_promised_at_once),
        TEST(test_the_primary_is_not_reinitialized),
        TEST(test_a_standby_is_reinitialized),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
