#include "tests/lib/test.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/show_json.h"
#include "base/text.h"
#include "tests/fake/api_node.h"

static struct api_node node;

/* Compares, and frees what was shown. */
static void expect(char *shown, const char *want)
{
    assert_string_equal(shown, want);
    free(shown);
}

static void expect_part(char *shown, const char *part)
{
    if (strstr(shown, part) == NULL) {
        fail_msg("no %s in %s", part, shown);
    }
    free(shown);
}

static void expect_no_part(char *shown, const char *part)
{
    assert_null(strstr(shown, part));
    free(shown);
}

static struct show show_of_node(void)
{
    return api_node_show(&node);
}

static void test_a_primary_shows_where_it_writes_and_who_reads(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    expect(
        show_patroni(&show),
        "{\"state\": \"running\", \"role\": \"primary\", \"postmaster_start_time\": "
        "\"2026-08-01 02:59:00.250000+00:00\", \"server_version\": 150020, \"xlog\": "
        "{\"location\": 83886176}, \"timeline\": 3, \"replication\": [{\"usename\": "
        "\"replicator\", \"application_name\": \"n2\", \"client_addr\": \"10.0.0.2\", \"state\": "
        "\"streaming\", \"sync_state\": \"async\", \"sync_priority\": 0}], \"dcs_last_seen\": "
        "1785553200, \"database_system_identifier\": \"7415036829190013573\", \"patroni\": "
        "{\"version\": \"0.1.0\", \"scope\": \"demo\", \"name\": \"n1\"}}");
}

static void test_a_standby_shows_what_it_has(void **state)
{
    struct show show;

    (void)state;
    api_node_be_standby(&node);
    show = show_of_node();
    expect(
        show_patroni(&show),
        "{\"state\": \"running\", \"role\": \"replica\", \"postmaster_start_time\": "
        "\"2026-08-01 02:59:00.250000+00:00\", \"server_version\": 150020, \"xlog\": "
        "{\"received_location\": 83886080, \"replayed_location\": 83885824, "
        "\"replayed_timestamp\": \"2026-08-01 02:59:59.250000+00:00\", \"paused\": false}, "
        "\"timeline\": 3, \"replication_state\": \"streaming\", \"dcs_last_seen\": 1785553200, "
        "\"database_system_identifier\": \"7415036829190013573\", \"patroni\": {\"version\": "
        "\"0.1.0\", \"scope\": \"demo\", \"name\": \"n1\"}}");
    node.facts.replayed_wall_ms = 0;
    node.facts.replay_paused = true;
    expect_part(show_patroni(&show), "\"replayed_timestamp\": null, \"paused\": true}");
}

static void test_a_node_without_postgresql_shows_the_short_form(void **state)
{
    struct show show;

    (void)state;
    api_node_be_new(&node);
    show = show_of_node();
    expect(
        show_patroni(&show),
        "{\"state\": \"stopped\", \"role\": \"uninitialized\", \"cluster_unlocked\": true, "
        "\"dcs_last_seen\": 1785553200, \"patroni\": {\"version\": \"0.1.0\", \"scope\": "
        "\"demo\", \"name\": \"n1\"}}");
    node.health.witness = true;
    expect_part(show_patroni(&show), "\"role\": \"witness\"");
    node.facts.run = PG_RUN_STARTING;
    expect_part(show_patroni(&show), "\"state\": \"starting\"");
}

static void test_what_is_unusual_shows(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    node.health.paused = true;
    node.health.tags = "{\"dc\": \"east\"}";
    node.facts.pending_restart = true;
    text_copy_cut(
        node.facts.pending_restart_reason, sizeof node.facts.pending_restart_reason,
        "{\"max_connections\": {\"old_value\": \"100\", \"new_value\": \"200\"}}");
    node.facts.watchdog_failed = true;
    expect_part(
        show_patroni(&show),
        "\"pause\": true, \"dcs_last_seen\": 1785553200, \"tags\": {\"dc\": \"east\"}, "
        "\"database_system_identifier\": \"7415036829190013573\", \"pending_restart\": true, "
        "\"pending_restart_reason\": {\"max_connections\": {\"old_value\": \"100\", "
        "\"new_value\": \"200\"}}, \"watchdog_failed\": true, \"patroni\"");
    node.health.tags = "not JSON";
    expect_no_part(show_patroni(&show), "tags");
    node.health.tags = "[1]";
    expect_no_part(show_patroni(&show), "tags");
}

static void test_texts_that_are_not_utf8_do_not_spoil_the_rest(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    text_copy_cut(
        node.facts.replicas[0].application_name, sizeof node.facts.replicas[0].application_name,
        "m\xfcller");
    expect_part(show_patroni(&show), "\"application_name\": \"m?ller\"");
}

static void test_the_cluster_as_others_list_it(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    node.view.member_count = 2;
    expect(
        show_cluster(&show),
        "{\"members\": [{\"name\": \"n1\", \"role\": \"leader\", \"state\": \"running\", "
        "\"api_url\": \"http://10.0.0.1:8008/patroni\", \"host\": \"10.0.0.1\", \"port\": 5432, "
        "\"timeline\": 3}, {\"name\": \"n2\", \"role\": \"replica\", \"state\": \"streaming\", "
        "\"api_url\": \"http://10.0.0.2:8008/patroni\", \"host\": \"10.0.0.2\", \"port\": 5432, "
        "\"timeline\": 3, \"receive_lsn\": \"0/5000000\", \"receive_lag\": 96, \"replay_lsn\": "
        "\"0/4FFFF00\", \"replay_lag\": 352, \"lsn\": \"0/5000000\", \"lag\": 96}], \"scope\": "
        "\"demo\", \"system_identifier\": \"7415036829190013573\"}");
}

static void test_a_silent_member_is_unknown_unless_it_said_goodbye(void **state)
{
    static const char lag_unknown[] =
        "\"receive_lsn\": \"unknown\", \"receive_lag\": \"unknown\", \"replay_lsn\": "
        "\"unknown\", \"replay_lag\": \"unknown\", \"lsn\": \"unknown\", \"lag\": \"unknown\"}";
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    node.view.members[1].fresh = false;
    expect_part(
        show_cluster(&show), "\"name\": \"n2\", \"role\": \"replica\", \"state\": \"unknown\"");
    expect_part(show_cluster(&show), lag_unknown);
    node.view.members[1].status.state = HA_STATE_STOPPED;
    expect_part(
        show_cluster(&show), "\"name\": \"n2\", \"role\": \"replica\", \"state\": \"stopped\"");
    node.view.members[1].known = false;
    expect_part(
        show_cluster(&show), "\"name\": \"n2\", \"role\": \"replica\", \"state\": \"unknown\"");
}

static void test_a_scheduled_restart_shows_with_its_conditions(void **state)
{
    struct ha_status *status = &node.view.members[0].status;
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    assert_true(node.view.members[0].self);
    expect_no_part(show_patroni(&show), "scheduled_restart");
    expect_no_part(show_cluster(&show), "scheduled_restart");
    status->restart.at_wall_ms = UINT64_C(1785542400000);
    expect_part(
        show_cluster(&show),
        "\"scheduled_restart\": {\"schedule\": \"2026-08-01T00:00:00+00:00\"}");
    status->restart.pending_only = true;
    status->restart.below_version = 160004;
    status->restart.timeout_ms = 90000;
    text_copy_cut(status->restart.role, sizeof status->restart.role, "primary");
    expect_part(
        show_patroni(&show),
        "\"scheduled_restart\": {\"schedule\": \"2026-08-01T00:00:00+00:00\", "
        "\"restart_pending\": true, \"role\": \"primary\", \"postgres_version\": \"16.4\", "
        "\"timeout\": 90}");
    status->restart.below_version = 90603;
    expect_part(show_patroni(&show), "\"postgres_version\": \"9.6.3\"");
}

static void test_what_members_are_and_do_shows_in_the_list(void **state)
{
    struct ha_member_view *second = &node.view.members[1];
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    second->status.streaming = false;
    second->status.pending_restart = true;
    text_copy_cut(second->status.tags, sizeof second->status.tags, "{\"nofailover\": true}");
    expect_part(show_cluster(&show), "\"state\": \"in archive recovery\"");
    expect_part(show_cluster(&show), "\"pending_restart\": true, \"tags\": {\"nofailover\": true}");
    second->status.state = HA_STATE_CREATING_REPLICA;
    expect_part(show_cluster(&show), "\"state\": \"creating replica\"");
    second->member.witness = true;
    expect_part(show_cluster(&show), "\"role\": \"witness\"");
}

static void test_a_scheduled_switchover_shows_with_the_cluster(void **state)
{
    struct cluster_request *request = &node.cluster.request;
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    *request = (struct cluster_request){
        .kind = CLUSTER_REQUEST_SWITCHOVER, .id = 9, .from = API_NODE_N1, .to = API_NODE_N2};
    expect_no_part(show_cluster(&show), "scheduled_switchover");
    request->scheduled_wall_ms = UINT64_C(1785553200000);
    expect_part(
        show_cluster(&show),
        "\"scheduled_switchover\": {\"at\": \"2026-08-01T03:00:00+00:00\", \"from\": \"n1\", "
        "\"to\": \"n2\"}}");
    request->to = 0;
    node.health.paused = true;
    expect_part(
        show_cluster(&show),
        "\"pause\": true, \"scheduled_switchover\": {\"at\": \"2026-08-01T03:00:00+00:00\", "
        "\"from\": \"n1\"}}");
}

static void test_history_lists_changes_of_timeline(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    expect(
        show_history(&show),
        "[[2, 67108864, \"switchover\", \"2026-08-01T02:00:00+00:00\", \"n1\"]]");
    node.cluster.history[1].served = false;
    expect(show_history(&show), "[]");
}

static void test_the_failsafe_members_are_those_with_postgresql(void **state)
{
    struct show show;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    node.view.members[2].member.witness = true;
    expect(
        show_failsafe(&show),
        "{\"n1\": \"http://10.0.0.1:8008/patroni\", \"n2\": \"http://10.0.0.2:8008/patroni\"}");
}

static void test_the_state_tells_the_rings_and_the_protocol(void **state)
{
    struct show show;
    json_t *root;
    char *text;

    (void)state;
    api_node_init(&node);
    show = show_of_node();
    node.cluster.request = (struct cluster_request){
        .kind = CLUSTER_REQUEST_FAILOVER,
        .id = 9,
        .to = API_NODE_N2,
        .scheduled_wall_ms = UINT64_C(1785553200000),
    };
    text = show_state_text(&show);
    root = json_loads(text, 0, NULL);
    assert_non_null(root);
    free(text);
    text = json_dumps(json_object_get(json_object_get(root, "guard"), "rings"), 0);
    assert_string_equal(text, "[\"timer\", \"watchdog\"]");
    free(text);
    text = json_dumps(json_object_get(root, "epoch"), 0);
    assert_string_equal(
        text, "{\"number\": 4, \"phase\": \"serving\", \"grantee\": \"n1\", \"revoke_reason\": "
              "\"\", \"no_grant_reason\": \"\", \"in_log\": 4}");
    free(text);
    text = json_dumps(json_object_get(root, "request"), 0);
    assert_string_equal(
        text, "{\"kind\": \"failover\", \"id\": \"0000000000000009\", \"from\": \"\", \"to\": "
              "\"n2\", \"at\": \"2026-08-01T03:00:00+00:00\"}");
    free(text);
    assert_int_equal(json_array_size(json_object_get(root, "members")), 3);
    assert_int_equal(json_array_size(json_object_get(root, "grants")), 2);
    json_decref(root);
}

static void test_the_state_of_a_new_node_is_whole(void **state)
{
    struct show show;
    json_t *root;
    char *text;

    (void)state;
    api_node_be_new(&node);
    show = show_of_node();
    text = show_state_text(&show);
    root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_true(json_is_null(json_object_get(root, "request")));
    free(text);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_primary_shows_where_it_writes_and_who_reads),
        cmocka_unit_test(test_a_standby_shows_what_it_has),
        cmocka_unit_test(test_a_node_without_postgresql_shows_the_short_form),
        cmocka_unit_test(test_what_is_unusual_shows),
        cmocka_unit_test(test_texts_that_are_not_utf8_do_not_spoil_the_rest),
        cmocka_unit_test(test_the_cluster_as_others_list_it),
        cmocka_unit_test(test_a_silent_member_is_unknown_unless_it_said_goodbye),
        cmocka_unit_test(test_a_scheduled_restart_shows_with_its_conditions),
        cmocka_unit_test(test_what_members_are_and_do_shows_in_the_list),
        cmocka_unit_test(test_a_scheduled_switchover_shows_with_the_cluster),
        cmocka_unit_test(test_history_lists_changes_of_timeline),
        cmocka_unit_test(test_the_failsafe_members_are_those_with_postgresql),
        cmocka_unit_test(test_the_state_tells_the_rings_and_the_protocol),
        cmocka_unit_test(test_the_state_of_a_new_node_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
