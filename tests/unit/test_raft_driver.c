/* The order of what leaves a node, written down as a line of words. */
#include "raft/driver.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "raft/describe.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

struct world {
    struct raft_solo *solo; /* For its core and its messages. */
    struct driver driver;
    struct driver_held *held;
    struct store store;
    struct text text;
    char bytes[4096];
};

static struct world world;

static void add(const char *word, uint64_t number)
{
    text_addf(&world.text, "%s%s %u", world.text.length > 0 ? ", " : "", word, (unsigned)number);
}

static void on_submit(
    struct store *store, const struct raft *raft, const struct raft_persist *persist)
{
    (void)store;
    (void)raft;
    add("submit", persist->number);
}

static void on_send(void *owner, const struct raft_message *message)
{
    (void)owner;
    if (message->kind != RAFT_HELLO) {
        add(raft_message_kind_name(message->kind), message->round);
    }
}

static void on_truncated(void *owner, uint64_t from_index)
{
    (void)owner;
    add("truncated", from_index);
}

static void on_appended(void *owner, const struct raft_entry *entry)
{
    (void)owner;
    add("appended", entry->index);
}

static void on_durable(void *owner, uint64_t index)
{
    (void)owner;
    add("durable", index);
}

static void on_restore(void *owner, const struct raft_snapshot *snapshot)
{
    (void)owner;
    add("restore", snapshot->index);
}

static void on_apply(void *owner, const struct raft_entry *entry)
{
    (void)owner;
    add("apply", entry->index);
}

static void on_read_done(void *owner, uint64_t read_number, bool ok)
{
    (void)owner;
    add(ok ? "read" : "read failed", read_number);
}

static void on_note(void *owner, const struct raft_note *note)
{
    (void)owner;
    (void)note;
}

static void on_lost_memory(void *owner)
{
    (void)owner;
    assert_false(world.driver.busy); /* The owner may start over from here. */
    add("lost memory", 0);
}

static const struct driver_ops ops = {
    .send = on_send,
    .truncated = on_truncated,
    .appended = on_appended,
    .durable = on_durable,
    .restore = on_restore,
    .apply = on_apply,
    .read_done = on_read_done,
    .note = on_note,
    .lost_memory = on_lost_memory,
};

static const struct store_ops store_ops = {.submit = on_submit};

static int set_up(void **state)
{
    static const uint64_t terms[] = {2, 2};

    (void)state;
    world = (struct world){.solo = raft_solo_create(3, 0, 2, terms, 2)};
    world.store.ops = &store_ops;
    world.held = calloc(DRIVER_HELD_MAX, sizeof *world.held);
    raft_solo_check_position(world.solo);
    driver_init(&world.driver, world.solo->raft, &world.store, &ops, NULL, world.held);
    text_init(&world.text, world.bytes, sizeof world.bytes);
    return world.held == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    raft_solo_destroy(world.solo);
    free(world.held);
    return 0;
}

static void feed(const struct raft_message *message)
{
    const struct raft_event event = {
        .kind = RAFT_EVENT_MESSAGE,
        .now_ms = world.solo->now_ms,
        .message = message,
    };

    driver_feed(&world.driver, &event, NULL);
}

static void tick(uint64_t span_ms)
{
    const struct raft_event event = {
        .kind = RAFT_EVENT_TICK,
        .now_ms = world.solo->now_ms += span_ms,
    };

    driver_feed(&world.driver, &event, NULL);
}

static void expect(const char *want)
{
    assert_string_equal(world.bytes, want);
    text_init(&world.text, world.bytes, sizeof world.bytes);
}

/* Entries 4 and 5 of the leader of term 3, with the commit index. */
static struct raft_message append(uint64_t round, uint64_t commit_index)
{
    struct raft_message message = raft_solo_message(world.solo, 1, RAFT_APPEND, 3);

    message.round = round;
    message.prev_term = 2;
    message.prev_index = 3;
    message.commit_index = commit_index;
    message.entry_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        message.entries[i] = (struct raft_entry){.term = 3, .index = 4 + i};
    }
    return message;
}

static void test_an_answer_with_a_new_term_waits_for_the_disk(void **state)
{
    const struct raft_message first = append(10, 4);
    const struct raft_message second = append(11, 4);

    (void)state;
    feed(&first);
    expect("submit 1, appended 4, appended 5, durable 3, apply 1, apply 2, apply 3");
    feed(&second); /* Nothing to write, but the term is still on its way. */
    expect("");
    driver_persisted(&world.driver, 1, world.solo->now_ms);
    expect("APPEND_ANSWER 10, APPEND_ANSWER 11, APPEND_ANSWER 0, durable 5, apply 4");
    feed(&second);
    expect("APPEND_ANSWER 11");
}

static void test_a_tail_is_cut_before_the_new_one_is_told(void **state)
{
    struct raft_message message = append(10, 0);

    (void)state;
    tick(0);
    expect("durable 3");
    message.prev_index = 2;
    message.entries[0].index = 3;
    message.entries[1].index = 4;
    feed(&message);
    expect("submit 1, truncated 3, appended 3, appended 4");
    driver_persisted(&world.driver, 1, world.solo->now_ms);
    expect("APPEND_ANSWER 10, APPEND_ANSWER 0, durable 4");
}

static void test_a_snapshot_comes_before_what_follows_it(void **state)
{
    struct raft_message message = raft_solo_message(world.solo, 1, RAFT_SNAPSHOT, 3);

    (void)state;
    message.snapshot = (struct raft_snapshot){
        .index = 7,
        .term = 3,
        .config = world.solo->config,
    };
    tick(0);
    feed(&message);
    expect("durable 3, submit 1, truncated 1");
    message = append(20, 8);
    message.prev_index = 7;
    message.prev_term = 3;
    message.entries[0].index = 8;
    message.entries[1].index = 9;
    feed(&message);
    expect("submit 2, appended 8, appended 9");
    driver_persisted(&world.driver, 2, world.solo->now_ms);
    expect("SNAPSHOT_ANSWER 3, APPEND_ANSWER 20, APPEND_ANSWER 0, durable 9, restore 7, apply 8");
}

static void test_the_oldest_of_those_that_wait_are_dropped(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= DRIVER_HELD_MAX + 3; round++) {
        const struct raft_message message = append(round, 0);

        feed(&message);
    }
    assert_int_equal(world.driver.held_count, DRIVER_HELD_MAX);
    assert_int_equal(world.held[0].message.round, 4);
    driver_persisted(&world.driver, 1, world.solo->now_ms);
    assert_int_equal(world.driver.held_count, 0);
}

static void test_a_request_gets_its_result(void **state)
{
    const struct raft_event event = {.kind = RAFT_EVENT_READ, .now_ms = world.solo->now_ms};
    struct driver_result result;

    (void)state;
    driver_feed(&world.driver, &event, &result);
    assert_int_equal(result.proposal, RAFT_PROPOSAL_NOT_LEADER);
}

static void test_nothing_leaves_after_the_memory_is_lost(void **state)
{
    const struct raft_message message = append(10, 0);
    struct raft_message answer = raft_solo_message(world.solo, 2, RAFT_HELLO_ANSWER, 3);

    (void)state;
    feed(&message);
    assert_int_equal(world.driver.held_count, 1);
    answer.seen_term = 9;
    text_init(&world.text, world.bytes, sizeof world.bytes);
    feed(&answer);
    expect("lost memory 0");
    driver_persisted(&world.driver, 1, world.solo->now_ms);
    tick(5000);
    expect("");
}

static void test_it_knows_when_to_wake(void **state)
{
    (void)state;
    tick(0);
    assert_in_range(world.driver.wake_ms, world.solo->now_ms + 1, world.solo->now_ms + 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_an_answer_with_a_new_term_waits_for_the_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_tail_is_cut_before_the_new_one_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_snapshot_comes_before_what_follows_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_the_oldest_of_those_that_wait_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_gets_its_result, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_nothing_leaves_after_the_memory_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_knows_when_to_wake, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
