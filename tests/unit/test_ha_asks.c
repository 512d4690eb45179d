/* What the outside asks for: carried to the leader, decided once, answered always. */
#include "tests/lib/ha_lab.h"

#include <string.h>

#include "base/text.h"

#define HOUR_MS 3600000u

static struct lab *lab;

static int set_up(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab_until(lab, lab_all_is_well, 10000);
    lab_run(lab, 2000);
    assert_int_equal(lab_primary(lab), 1); /* And it leads. */
    return 0;
}

static void assert_reply(uint64_t at, uint64_t id, uint32_t code, const char *text)
{
    const struct ha_reply *reply = lab_reply(lab, at, id);

    assert_non_null(reply);
    assert_string_equal(reply->text, text);
    assert_int_equal(reply->code, code);
}

static struct command switchover(uint64_t from, uint64_t to, uint64_t id, uint64_t scheduled_ms)
{
    return (struct command){
        .kind = COMMAND_REQUEST_SET,
        .request =
            {.kind = CLUSTER_REQUEST_SWITCHOVER,
                      .id = id,
                      .from = from,
                      .to = to,
                      .scheduled_wall_ms = scheduled_ms},
    };
}

static struct command configuration(const char *text, uint64_t version, uint64_t id)
{
    return (struct command){
        .kind = COMMAND_CONFIG_SET,
        .id = id,
        .config = text,
        .config_size = (uint32_t)strlen(text),
        .config_version = version,
    };
}

static void ask(uint64_t at, struct command command)
{
    lab_ask(lab, at, &command);
}

static void test_a_follower_carries_what_it_is_asked_to_the_leader(void **state)
{
    (void)state;
    ask(3, configuration("{\"ttl\":2,\"loop_wait\":5}", 1, 7));
    assert_null(lab_reply(lab, 3, 7)); /* Not before it is decided. */
    lab_run(lab, 100);
    assert_reply(3, 7, 200, "configuration changed");
    assert_string_equal(lab_cluster(lab)->config, "{\"ttl\":2,\"loop_wait\":5}");
}

static void test_the_text_asked_for_is_kept_while_it_waits(void **state)
{
    char text[] = "{\"ttl\":2}";

    (void)state;
    lab_node(lab, 3)->cut = true;
    ask(3, configuration(text, 1, 7));
    text[2] = '?';
    lab_run(lab, 1000);
    lab_node(lab, 3)->cut = false;
    lab_run(lab, 1000);
    assert_reply(3, 7, 200, "configuration changed");
    assert_string_equal(lab_cluster(lab)->config, "{\"ttl\":2}");
}

static void test_of_two_changes_of_one_version_the_second_is_told(void **state)
{
    (void)state;
    ask(2, configuration("{\"a\":1}", 1, 7));
    ask(3, configuration("{\"b\":1}", 1, 8));
    lab_run(lab, 1000);
    assert_reply(2, 7, 200, "configuration changed");
    assert_reply(3, 8, 409, "the configuration was changed meanwhile");
}

static void test_an_ask_is_decided_once_however_often_it_is_sent(void **state)
{
    (void)state;
    lab_node(lab, 3)->deaf = true; /* It sends, and sends again. */
    ask(3, configuration("{\"a\":1}", 1, 7));
    lab_run(lab, 2000);
    assert_true(lab_count(lab, COMMAND_CONFIG_SET) > 1);
    assert_int_equal(lab_cluster(lab)->config_version, 2);
    lab_node(lab, 3)->deaf = false;
    lab_run(lab, 1000);
    assert_reply(3, 7, 200, "configuration changed");
}

static void test_a_switchover_from_somebody_else_is_refused(void **state)
{
    (void)state;
    ask(3, switchover(2, 3, 7, 0));
    ask(1, switchover(2, 3, 8, 0));
    lab_run(lab, 100);
    assert_reply(3, 7, 412, "leader name does not match");
    assert_reply(1, 8, 412, "leader name does not match");
    assert_int_equal(lab_count(lab, COMMAND_REQUEST_SET), 0);
}

static void test_only_one_request_is_under_way_at_a_time(void **state)
{
    (void)state;
    lab_node(lab, 1)->pg.hangs = true; /* It is never stopped. */
    ask(1, switchover(1, 2, 7, 0));
    lab_run(lab, 100);
    ask(2, switchover(1, 3, 8, lab->now_ms + HOUR_MS));
    lab_run(lab, 100);
    assert_int_equal(lab_cluster(lab)->request.id, 7);
    assert_reply(2, 8, 412, "another switchover or failover is pending");
}

static void test_a_request_replaces_one_that_waits_for_its_hour(void **state)
{
    (void)state;
    ask(1, switchover(1, 2, 7, lab->now_ms + HOUR_MS));
    lab_run(lab, 100);
    assert_reply(1, 7, 202, "Switchover scheduled");
    ask(2, switchover(1, 3, 8, 0));
    lab_run(lab, 3000);
    assert_int_equal(lab_primary(lab), 3);
    assert_int_equal(cluster_outcome(lab_cluster(lab), 7)->code, 409);
    lab_run(lab, HOUR_MS);
    assert_int_equal(lab_primary(lab), 3);
}

/* The follower has not applied yet what was decided; the new primary is not whom it named. */
static void test_a_request_that_is_done_is_not_refused(void **state)
{
    const struct command done = switchover(1, 2, 7, 0);
    struct ha_message message = {.kind = HA_MESSAGE_FORWARD, .from = 3, .forward_id = 7};
    struct lab_node *leader;

    (void)state;
    ask(1, done);
    lab_run(lab, 3000);
    assert_int_equal(lab_primary(lab), 2);
    leader = lab_node(lab, lab->leader);
    message.to = leader->id;
    message.command = done;
    ha_step(
        leader->ha,
        &(struct ha_event){.kind = HA_EVENT_MESSAGE, .now_ms = lab->now_ms, .message = &message},
        &leader->update);
    for (uint32_t i = 0; i < leader->update.message_count; i++) {
        assert_int_not_equal(leader->update.messages[i].kind, HA_MESSAGE_REFUSED);
    }
}

static void test_a_scheduled_switchover_can_be_taken_back(void **state)
{
    struct command clear = {
        .kind = COMMAND_REQUEST_CLEAR,
        .id = 8,
        .outcome = {.id = 7, .code = 503, .text = "scheduled switchover deleted"},
    };

    (void)state;
    ask(1, switchover(1, 2, 7, lab->now_ms + HOUR_MS));
    lab_run(lab, 100);
    clear.request = lab_cluster(lab)->request;
    ask(3, clear);
    lab_run(lab, 100);
    assert_reply(3, 8, 200, "scheduled switchover deleted");
    assert_int_equal(lab_cluster(lab)->request.kind, CLUSTER_REQUEST_NONE);
}

static void test_the_primary_is_not_removed(void **state)
{
    const struct command remove = {.kind = COMMAND_MEMBER_REMOVE, .node = 1, .id = 7};

    (void)state;
    ask(2, remove);
    lab_run(lab, 100);
    assert_reply(2, 7, 412, "the primary cannot be removed");
}

static void test_a_member_is_first_taken_out_of_raft(void **state)
{
    const struct command remove = {.kind = COMMAND_MEMBER_REMOVE, .node = 3, .id = 7};
    struct lab_node *leader = lab_node(lab, 1);

    (void)state;
    lab_ask(lab, 1, &remove);
    assert_int_equal(leader->update.remove_member, 3);
    assert_int_equal(lab_count(lab, COMMAND_MEMBER_REMOVE), 0);
    assert_null(lab_reply(lab, 1, 7));
}

static bool second_node_is_granted(const struct lab *any)
{
    return lab_cluster(any)->phase == CLUSTER_GRANTED && lab_cluster(any)->last.node == 2;
}

/* The lease before may run on in the membership that would be changed. */
static void test_a_grantee_removes_nobody_before_it_serves(void **state)
{
    struct command remove = {.kind = COMMAND_MEMBER_REMOVE, .node = 3, .id = 7};
    struct lab_node *grantee = lab_node(lab, 2);

    (void)state;
    lab_power_off(lab, 1);
    lab_until(lab, second_node_is_granted, 5000);
    assert_int_equal(lab->leader, 2);
    lab_ask(lab, 2, &remove);
    assert_int_equal(grantee->update.remove_member, 0);
    lab_until(lab, lab_somebody_serves, 5000);
    remove.id = 8;
    lab_ask(lab, 2, &remove);
    assert_int_equal(grantee->update.remove_member, 3);
}

static void test_what_may_not_be_asked_for_is_refused(void **state)
{
    const struct command grant = {.kind = COMMAND_GRANT, .node = 3, .id = 7};

    (void)state;
    lab_ask(lab, 1, &grant);
    assert_reply(1, 7, 412, "not something that may be asked for");
}

static void test_without_a_leader_the_one_who_asks_is_told_in_the_end(void **state)
{
    (void)state;
    lab->log_stalled = true;
    ask(2, configuration("{\"a\":1}", 1, 7));
    lab_run(lab, 19000);
    assert_null(lab_reply(lab, 2, 7));
    lab_run(lab, 2000);
    assert_reply(2, 7, 503, "status unknown");
}

static void test_too_many_asks_at_a_time_are_turned_away(void **state)
{
    (void)state;
    lab->log_stalled = true;
    lab_run(lab, 100);
    for (uint64_t id = 1; id <= 5; id++) {
        ask(2, configuration("{}", 1, id));
    }
    assert_null(lab_reply(lab, 2, 4));
    assert_reply(2, 5, 503, "too many requests at a time");
    lab_run(lab, 21000); /* The places become free again. */
    lab->log_stalled = false;
    lab_run(lab, 1000);
    ask(2, configuration("{\"c\":1}", 1, 6));
    lab_run(lab, 1000);
    assert_reply(2, 6, 200, "configuration changed");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_follower_carries_what_it_is_asked_to_the_leader),
        TEST(test_the_text_asked_for_is_kept_while_it_waits),
        TEST(test_of_two_changes_of_one_version_the_second_is_told),
        TEST(test_an_ask_is_decided_once_however_often_it_is_sent),
        TEST(test_a_switchover_from_somebody_else_is_refused),
        TEST(test_only_one_request_is_under_way_at_a_time),
        TEST(test_a_request_replaces_one_that_waits_for_its_hour),
        TEST(test_a_request_that_is_done_is_not_refused),
        TEST(test_a_scheduled_switchover_can_be_taken_back),
        TEST(test_the_primary_is_not_removed),
        TEST(test_a_member_is_first_taken_out_of_raft),
        TEST(test_a_grantee_removes_nobody_before_it_serves),
        TEST(test_what_may_not_be_asked_for_is_refused),
        TEST(test_without_a_leader_the_one_who_asks_is_told_in_the_end),
        TEST(test_too_many_asks_at_a_time_are_turned_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
