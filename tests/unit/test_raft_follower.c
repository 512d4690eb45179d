#include "base/bytes.h"
#include "raft/raft_impl.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

/* Three voters in term 2, the log ending in (2, 3), nothing known to be committed. */
static struct raft_solo *follower(void)
{
    static const uint64_t terms[] = {2, 2};
    struct raft_solo *solo = raft_solo_create(3, 0, 2, terms, 2);

    raft_solo_check_position(solo);
    return solo;
}

/* Of member 1, with `count` entries of `entry_term`. */
static struct raft_message append(
    const struct raft_solo *solo, uint64_t term, uint64_t prev_term, uint64_t prev_index,
    uint64_t entry_term, uint32_t count)
{
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, term);

    message.prev_term = prev_term;
    message.prev_index = prev_index;
    message.entry_count = count;
    for (uint32_t i = 0; i < count; i++) {
        message.entries[i] = (struct raft_entry){
            .term = entry_term,
            .index = prev_index + 1 + i,
            .kind = RAFT_ENTRY_DATA,
        };
    }
    return message;
}

static const struct raft_message *answer(const struct raft_solo *solo)
{
    const struct raft_message *message = raft_solo_sent(solo, RAFT_APPEND_ANSWER, 1);

    assert_non_null(message);
    return message;
}

/* Hears of the leader of term 3 and has its first entry, 4, on disk. */
static void settle(struct raft_solo *solo)
{
    const struct raft_message message = append(solo, 3, 2, 3, 3, 1);

    raft_solo_receive(solo, &message);
    raft_solo_persisted(solo);
    assert_int_equal(answer(solo)->match_index, 4);
}

static void test_one_answer_comes_at_once_and_one_from_the_disk(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message;

    (void)state;
    settle(solo);
    message = append(solo, 3, 3, 4, 3, 2);
    message.round = 55;
    raft_solo_receive(solo, &message);
    assert_false(answer(solo)->after_persist);
    assert_true(answer(solo)->accepted);
    assert_int_equal(answer(solo)->round, 55);
    assert_int_equal(answer(solo)->match_index, 4);
    raft_solo_persisted(solo);
    assert_int_equal(answer(solo)->match_index, 6);
    raft_solo_destroy(solo);
}

static void test_a_new_term_is_on_disk_before_the_answer(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message message = append(solo, 3, 2, 3, 3, 0);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_true(answer(solo)->after_persist);
    assert_int_equal(answer(solo)->term, 3);
    assert_true(solo->update.persist.hard_changed);
    /* The leader's term is its own: nobody else gets a vote in it. */
    assert_int_equal(solo->update.persist.hard.voted_for, raft_solo_id(1));
    raft_solo_destroy(solo);
}

/* What is on disk, but not known to be the leader's, is not acknowledged. */
static void test_only_what_is_verified_is_acknowledged(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message message = append(solo, 3, 1, 1, 3, 0);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_true(answer(solo)->accepted);
    assert_int_equal(answer(solo)->match_index, 1);
    assert_int_equal(raft_durable_index(solo->raft), 3);
    raft_solo_destroy(solo);
}

static void test_an_old_leader_is_told_the_term(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message message = append(solo, 1, 1, 1, 1, 0);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_false(answer(solo)->accepted);
    assert_int_equal(answer(solo)->term, 2);
    assert_int_equal(raft_leader(solo->raft), 0);
    raft_solo_destroy(solo);
}

static void test_a_refusal_names_where_they_may_agree(void **state)
{
    static const struct {
        uint64_t prev_term;
        uint64_t prev_index;
        uint64_t hint_index;
        uint64_t hint_term;
    } cases[] = {
        {3, 9, 3, 2}, /* Our end. */
        {3, 3, 2, 2},
        {1, 3, 1, 1}, /* The entries of term 2 are all too new. */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct raft_solo *solo = follower();
        const struct raft_message message =
            append(solo, 3, cases[i].prev_term, cases[i].prev_index, 3, 0);

        raft_solo_receive(solo, &message);
        assert_false(answer(solo)->accepted);
        assert_int_equal(answer(solo)->hint_index, cases[i].hint_index);
        assert_int_equal(answer(solo)->hint_term, cases[i].hint_term);
        raft_solo_destroy(solo);
    }
}

static void test_a_conflicting_tail_is_replaced_in_one_write(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message message = append(solo, 3, 2, 2, 3, 2);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_int_equal(solo->update.persist.truncate_from, 3);
    assert_int_equal(solo->update.persist.first_index, 3);
    assert_int_equal(solo->update.persist.last_index, 4);
    assert_int_equal(solo->update.truncated_from, 3);
    assert_int_equal(solo->update.appended_from, 3);
    assert_int_equal(solo->update.appended_to, 4);
    assert_int_equal(raft_durable_index(solo->raft), 2);
    assert_int_equal(raft_term_at(solo->raft, 3), 3);
    raft_solo_destroy(solo);
}

static void test_what_is_there_already_is_not_written_again(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = append(solo, 3, 2, 3, 3, 3);

    (void)state;
    raft_solo_receive(solo, &message);
    raft_solo_persisted(solo);
    message = append(solo, 3, 2, 3, 3, 2); /* An older one, arriving late. */
    raft_solo_receive(solo, &message);
    assert_int_equal(solo->update.persist.number, 0);
    assert_int_equal(raft_last_index(solo->raft), 6);
    assert_int_equal(answer(solo)->match_index, 6);
    raft_solo_destroy(solo);
}

/*
 * The write of an entry is under way when it is cut off and another with the same index
 * comes: that the first is done says nothing about the second.
 */
static void test_a_write_that_was_overtaken_does_not_count(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = append(solo, 3, 2, 3, 3, 2);
    uint64_t first;

    (void)state;
    raft_solo_receive(solo, &message);
    first = solo->persist_number;
    message = append(solo, 4, 2, 3, 4, 2);
    message.from = raft_solo_id(2);
    message.from_incarnation = raft_solo_incarnation(2);
    raft_solo_receive(solo, &message);
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PERSISTED, .persist_number = first});
    assert_int_equal(raft_durable_index(solo->raft), 3);
    assert_null(raft_solo_sent(solo, RAFT_APPEND_ANSWER, 2));
    raft_solo_persisted(solo);
    assert_int_equal(raft_durable_index(solo->raft), 5);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND_ANSWER, 2)->match_index, 5);
    raft_solo_destroy(solo);
}

static void test_a_disk_that_is_far_behind_is_not_believed_too_early(void **state)
{
    struct raft_solo *solo = follower();
    const uint64_t count = 3 * RAFT_IN_FLIGHT_MAX;

    (void)state;
    settle(solo);
    for (uint64_t i = 0; i < count; i++) {
        const struct raft_message message = append(solo, 3, 3, 4 + i, 3, 1);

        raft_solo_receive(solo, &message);
    }
    for (uint64_t number = solo->persist_number - count + 1; number <= solo->persist_number;
         number++) {
        const uint64_t written = 4 + number - (solo->persist_number - count);

        raft_solo_feed(
            solo, (struct raft_event){.kind = RAFT_EVENT_PERSISTED, .persist_number = number});
        assert_true(raft_durable_index(solo->raft) <= written);
    }
    assert_int_equal(raft_durable_index(solo->raft), 4 + count);
    raft_solo_destroy(solo);
}

static void test_what_is_committed_is_applied_when_it_is_on_disk(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = append(solo, 3, 2, 3, 3, 2);

    (void)state;
    message.commit_index = 5;
    raft_solo_receive(solo, &message);
    assert_int_equal(raft_commit_index(solo->raft), 5);
    assert_int_equal(solo->update.apply_to, 3);
    raft_solo_persisted(solo);
    assert_int_equal(solo->update.apply_from, 4);
    assert_int_equal(solo->update.apply_to, 5);
    raft_solo_destroy(solo);
}

static void test_commit_goes_no_further_than_what_is_verified(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = append(solo, 3, 1, 1, 3, 0);

    (void)state;
    message.commit_index = 9;
    raft_solo_receive(solo, &message);
    assert_int_equal(raft_commit_index(solo->raft), 1);
    message = append(solo, 3, 2, 2, 3, 0);
    message.commit_index = 0; /* Overtaken on the way: it does not fall. */
    raft_solo_receive(solo, &message);
    assert_int_equal(raft_commit_index(solo->raft), 1);
    raft_solo_destroy(solo);
}

static void test_what_no_leader_sends_is_dropped(void **state)
{
    static const uint8_t garbage[3] = {1, 2, 3};
    struct raft_message cases[9];
    struct raft_solo *solo = follower();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cases[i] = append(solo, 3, 2, 3, 3, 2);
    }
    cases[0].entries[1].index = 9;
    cases[1].entries[0].term = 1;
    cases[2].entries[1].term = 4;
    cases[3].entries[0].size_bytes = RAFT_ENTRY_BYTES_MAX + 1;
    cases[4].entry_count = RAFT_BATCH_MAX + 1;
    cases[5].seen_count = RAFT_MEMBERS_MAX + 1;
    cases[6].prev_term = 0;
    cases[7].prev_term = 4;
    cases[8].entries[0].kind = RAFT_ENTRY_CONFIG;
    cases[8].entries[0].data = garbage;
    cases[8].entries[0].size_bytes = sizeof garbage;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        raft_solo_receive(solo, &cases[i]);
        assert_int_equal(solo->update.message_count, 0);
        assert_int_equal(raft_term(solo->raft), 2);
        assert_int_equal(raft_last_index(solo->raft), 3);
    }
    raft_solo_destroy(solo);
}

/* Appends a membership of two voters in the place of entry `index`. */
static struct raft_message append_config(
    const struct raft_solo *solo, uint64_t term, uint64_t prev_term, uint64_t prev_index,
    uint8_t *bytes)
{
    struct raft_message message = append(solo, term, prev_term, prev_index, term, 1);
    struct raft_config config = {.term = term, .index = prev_index + 1, .count = 2};

    config.members[0] = raft_solo_member(0, RAFT_MEMBER_VOTER);
    config.members[1] = raft_solo_member(1, RAFT_MEMBER_VOTER);
    message.entries[0].kind = RAFT_ENTRY_CONFIG;
    message.entries[0].data = bytes;
    message.entries[0].size_bytes = raft_config_encode(&config, bytes);
    return message;
}

static void test_a_membership_counts_from_the_log_and_goes_with_it(void **state)
{
    struct raft_solo *solo = follower();
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
    struct raft_message message = append_config(solo, 3, 2, 3, bytes);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_int_equal(raft_config(solo->raft)->count, 2);
    assert_int_equal(raft_config(solo->raft)->index, 4);
    assert_int_equal(raft_config_committed(solo->raft)->index, 0);

    message = append(solo, 4, 2, 3, 4, 1);
    raft_solo_receive(solo, &message);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_CONFIG_ROLLED_BACK));
    assert_int_equal(raft_config(solo->raft)->count, 3);
    assert_int_equal(raft_config(solo->raft)->index, 1);

    message = append(solo, 4, 4, 4, 4, 0);
    message.commit_index = 4;
    raft_solo_receive(solo, &message);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_CONFIG_COMMITTED));
    assert_int_equal(raft_config_committed(solo->raft)->index, 1);
    raft_solo_destroy(solo);
}

/* --- Snapshots --- */

static struct raft_message snapshot(
    const struct raft_solo *solo, uint64_t term, uint64_t snapshot_term, uint64_t index)
{
    struct raft_message message = raft_solo_message(solo, 1, RAFT_SNAPSHOT, term);

    message.snapshot = (struct raft_snapshot){
        .index = index,
        .term = snapshot_term,
        .config = solo->config,
        .size_bytes = 5,
        .data = (const uint8_t *)"state",
    };
    return message;
}

static void test_a_snapshot_replaces_a_log_that_is_another(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message message = snapshot(solo, 3, 3, 9);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_true(solo->update.persist.snapshot_changed);
    assert_int_equal(solo->update.persist.keep_from, 10);
    assert_int_equal(solo->update.persist.truncate_from, 1); /* Nothing of it was committed. */
    assert_int_equal(raft_last_index(solo->raft), 9);
    assert_int_equal(raft_commit_index(solo->raft), 9);
    assert_int_equal(raft_term_at(solo->raft, 9), 3);
    assert_false(solo->update.apply_snapshot); /* Not before it is on disk. */
    assert_int_equal(raft_solo_sent(solo, RAFT_SNAPSHOT_ANSWER, 1)->match_index, 0);

    raft_solo_persisted(solo);
    assert_true(solo->update.apply_snapshot);
    assert_int_equal(solo->update.apply_from, 0);
    assert_int_equal(raft_applied_index(solo->raft), 9);
    assert_memory_equal(raft_snapshot(solo->raft)->data, "state", 5);
    assert_int_equal(answer(solo)->match_index, 9);
    raft_solo_destroy(solo);
}

static void test_a_snapshot_keeps_the_tail_that_matches(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message message = snapshot(solo, 3, 2, 2);

    (void)state;
    raft_solo_receive(solo, &message);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_KEPT_TAIL));
    assert_int_equal(solo->update.persist.truncate_from, 0);
    assert_int_equal(solo->update.persist.keep_from, 3);
    assert_int_equal(raft_last_index(solo->raft), 3);
    assert_int_equal(raft_durable_index(solo->raft), 3);
    assert_int_equal(raft_term_at(solo->raft, 3), 2);
    assert_int_equal(raft_term_at(solo->raft, 2), 2);
    raft_solo_destroy(solo);
}

/* The write of committed entries ends when a snapshot has already taken their place. */
static void test_what_a_snapshot_replaces_is_not_applied_any_more(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = append(solo, 3, 2, 3, 3, 2);
    uint64_t first;

    (void)state;
    message.commit_index = 5;
    raft_solo_receive(solo, &message);
    first = solo->persist_number;
    message = snapshot(solo, 3, 3, 9);
    raft_solo_receive(solo, &message);
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PERSISTED, .persist_number = first});
    assert_int_equal(solo->update.apply_from, 0);
    raft_solo_persisted(solo);
    assert_true(solo->update.apply_snapshot);
    assert_int_equal(raft_applied_index(solo->raft), 9);
    raft_solo_destroy(solo);
}

static void test_an_old_snapshot_changes_nothing(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = append(solo, 3, 2, 3, 3, 0);

    (void)state;
    message.commit_index = 3;
    raft_solo_receive(solo, &message);
    raft_solo_persisted(solo);
    message = snapshot(solo, 3, 2, 3);
    raft_solo_receive(solo, &message);
    assert_int_equal(solo->update.persist.number, 0);
    assert_int_equal(raft_solo_sent(solo, RAFT_SNAPSHOT_ANSWER, 1)->match_index, 3);
    raft_solo_destroy(solo);
}

static void test_a_snapshot_that_cannot_be_is_dropped(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message cases[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cases[i] = snapshot(solo, 3, 3, 9);
    }
    cases[0].snapshot.index = 0;
    cases[1].snapshot.size_bytes = RAFT_SNAPSHOT_BYTES_MAX + 1;
    cases[2].snapshot.config.count = 0;
    cases[3].snapshot.config.index = 10;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        raft_solo_receive(solo, &cases[i]);
        assert_int_equal(raft_last_index(solo->raft), 3);
        assert_int_equal(solo->update.message_count, 0);
    }
    raft_solo_destroy(solo);
}

static void test_a_snapshot_taken_leaves_some_entries_for_the_slow(void **state)
{
    struct raft_solo *solo = follower();
    uint64_t index = 3;

    (void)state;
    while (index < 300) {
        struct raft_message message = append(solo, 3, index == 3 ? 2 : 3, index, 3, RAFT_BATCH_MAX);

        index += RAFT_BATCH_MAX;
        message.commit_index = index;
        raft_solo_receive(solo, &message);
        raft_solo_persisted(solo);
    }
    assert_int_equal(raft_applied_index(solo->raft), index);
    raft_solo_feed(
        solo, (struct raft_event){
                  .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
                  .index = 200,
                  .data = (const uint8_t *)"abc",
                  .size_bytes = 3,
              });
    assert_true(solo->update.persist.snapshot_changed);
    assert_int_equal(solo->update.persist.keep_from, 200 + 1 - RAFT_TRAILING_ENTRIES);
    assert_int_equal(raft_first_index(solo->raft), 200 + 1 - RAFT_TRAILING_ENTRIES);
    assert_int_equal(raft_log_entries(solo->raft), index - 200);
    assert_int_equal(raft_snapshot(solo->raft)->config.index, 1);
    assert_int_equal(raft_snapshot(solo->raft)->term, 3);

    /* One that comes late is not taken. */
    raft_solo_feed(solo, (struct raft_event){.kind = RAFT_EVENT_SNAPSHOT_TAKEN, .index = 150});
    assert_int_equal(solo->update.persist.number, 0);
    assert_int_equal(raft_snapshot(solo->raft)->index, 200);
    raft_solo_destroy(solo);
}

/* --- Start --- */

static void test_the_first_update_tells_what_the_store_held(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_entry entries[4];
    struct raft_loaded loaded = {
        .hard = {.term = 4, .cluster_id = SOLO_CLUSTER, .incarnation = raft_solo_incarnation(0)},
        .snapshot =
            {
                 .index = 6,
                 .term = 3,
                 .config = solo->config,
                 .size_bytes = 5,
                 .data = (const uint8_t *)"state",
                 },
        .entry_count = ARRAY_SIZE(entries),
        .entries = entries,
    };

    (void)state;
    raft_solo_destroy(solo);
    for (uint32_t i = 0; i < ARRAY_SIZE(entries); i++) { /* Two of them in front of it. */
        entries[i] = (struct raft_entry){.term = 3, .index = 5 + i};
    }
    solo = raft_solo_create_loaded(&loaded, 2);
    assert_true(solo->update.apply_snapshot);
    assert_int_equal(solo->update.appended_from, 7);
    assert_int_equal(solo->update.appended_to, 8);
    assert_int_equal(solo->update.persist.number, 0);
    assert_int_equal(raft_applied_index(solo->raft), 6);
    assert_int_equal(raft_durable_index(solo->raft), 8);
    assert_int_equal(raft_first_index(solo->raft), 6);
    assert_int_equal(raft_config(solo->raft)->count, 3);
    raft_solo_tick(solo, 1);
    assert_false(solo->update.apply_snapshot);
    assert_int_equal(solo->update.appended_from, 0);
    raft_solo_destroy(solo);

    loaded.entry_count = 0;
    solo = raft_solo_create_loaded(&loaded, 2);
    assert_int_equal(raft_last_index(solo->raft), 6);
    assert_int_equal(solo->update.appended_from, 0);
    raft_solo_destroy(solo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_answer_comes_at_once_and_one_from_the_disk),
        cmocka_unit_test(test_a_new_term_is_on_disk_before_the_answer),
        cmocka_unit_test(test_only_what_is_verified_is_acknowledged),
        cmocka_unit_test(test_an_old_leader_is_told_the_term),
        cmocka_unit_test(test_a_refusal_names_where_they_may_agree),
        cmocka_unit_test(test_a_conflicting_tail_is_replaced_in_one_write),
        cmocka_unit_test(test_what_is_there_already_is_not_written_again),
        cmocka_unit_test(test_a_write_that_was_overtaken_does_not_count),
        cmocka_unit_test(test_a_disk_that_is_far_behind_is_not_believed_too_early),
        cmocka_unit_test(test_what_is_committed_is_applied_when_it_is_on_disk),
        cmocka_unit_test(test_commit_goes_no_further_than_what_is_verified),
        cmocka_unit_test(test_what_no_leader_sends_is_dropped),
        cmocka_unit_test(test_a_membership_counts_from_the_log_and_goes_with_it),
        cmocka_unit_test(test_a_snapshot_replaces_a_log_that_is_another),
        cmocka_unit_test(test_a_snapshot_keeps_the_tail_that_matches),
        cmocka_unit_test(test_an_old_snapshot_changes_nothing),
        cmocka_unit_test(test_a_snapshot_that_cannot_be_is_dropped),
        cmocka_unit_test(test_a_snapshot_taken_leaves_some_entries_for_the_slow),
        cmocka_unit_test(test_the_first_update_tells_what_the_store_held),
        cmocka_unit_test(test_what_a_snapshot_replaces_is_not_applied_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
