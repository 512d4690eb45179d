#include "pgctl/record.h"

#include <string.h>

#include "tests/lib/test.h"

static const struct pg_record full = {
    .data_dir_id = UINT64_MAX,
    .marker_epoch = UINT64_MAX,
    .follow_epoch = UINT64_MAX,
    .follow_timeline = UINT32_MAX,
    .follow_lsn = UINT64_MAX,
    .partial = true,
};

static void test_a_record_comes_back_as_it_was(void **state)
{
    char text[RECORD_TEXT_SIZE];
    struct pg_record back;
    struct err err;

    (void)state;
    record_print(&full, text);
    test_ok(record_parse(text, &back, &err), &err);
    assert_int_equal(back.data_dir_id, full.data_dir_id);
    assert_int_equal(back.marker_epoch, full.marker_epoch);
    assert_int_equal(back.follow_epoch, full.follow_epoch);
    assert_int_equal(back.follow_timeline, full.follow_timeline);
    assert_int_equal(back.follow_lsn, full.follow_lsn);
    assert_true(back.partial);
}

static void test_any_changed_byte_is_noticed(void **state)
{
    char text[RECORD_TEXT_SIZE];
    size_t length;

    (void)state;
    record_print(&full, text);
    length = strlen(text);
    for (size_t i = 0; i < length - 1; i++) {
        struct pg_record back;
        struct err err;
        const char kept = text[i];

        text[i] = (char)(kept ^ 1);
        assert_int_not_equal(record_parse(text, &back, &err), STATUS_OK);
        assert_int_equal(back.data_dir_id, 0);
        text[i] = kept;
    }
}

static void test_any_cut_is_noticed(void **state)
{
    char text[RECORD_TEXT_SIZE];

    (void)state;
    record_print(&full, text);
    for (size_t length = strlen(text) - 2; length > 0; length--) {
        struct pg_record back;
        struct err err;

        text[length] = '\0';
        assert_int_not_equal(record_parse(text, &back, &err), STATUS_OK);
    }
}

static void test_a_followed_epoch_counts_once_its_first_commit_is_there(void **state)
{
    const struct pg_record record = {
        .data_dir_id = 1,
        .marker_epoch = 4,
        .follow_epoch = 5,
        .follow_timeline = 7,
        .follow_lsn = 1000};

    (void)state;
    assert_int_equal(record_epoch_at(&record, (struct pg_position){7, 999}), 4);
    assert_int_equal(record_epoch_at(&record, (struct pg_position){7, 1000}), 5);
    assert_int_equal(record_epoch_at(&record, (struct pg_position){6, 5000}), 4);
    assert_int_equal(record_epoch_at(&record, (struct pg_position){8, 5000}), 4);
    assert_int_equal(record_epoch_at(&record, (struct pg_position){0}), 4);
}

static void test_an_older_or_unknown_upstream_counts_for_nothing(void **state)
{
    struct pg_record record = {
        .data_dir_id = 1,
        .marker_epoch = 6,
        .follow_epoch = 5,
        .follow_timeline = 7,
        .follow_lsn = 1000};

    (void)state;
    assert_int_equal(record_epoch_at(&record, (struct pg_position){7, 2000}), 6);
    record.follow_epoch = 7;
    record.follow_lsn = 0; /* Where its first commit ended is not known. */
    assert_int_equal(record_epoch_at(&record, (struct pg_position){7, 2000}), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_comes_back_as_it_was),
        cmocka_unit_test(test_any_changed_byte_is_noticed),
        cmocka_unit_test(test_any_cut_is_noticed),
        cmocka_unit_test(test_a_followed_epoch_counts_once_its_first_commit_is_there),
        cmocka_unit_test(test_an_older_or_unknown_upstream_counts_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
