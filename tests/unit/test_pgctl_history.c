#include "pgctl/history.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tests/lib/test.h"

static struct history history;

static void test_a_history_has_a_line_for_each_timeline(void **state)
{
    uint64_t lsn = 0;
    struct err err;

    (void)state;
    test_ok(
        history_parse(
            "# comment\n\n1\t0/3000148\tno recovery target specified\n"
            "3\t16/B374D848\tbefore 2026-01-01 00:00:00\n",
            &history, &err),
        &err);
    assert_int_equal(history.count, 2);
    assert_int_equal(history.entries[1].switched.timeline, 3);
    assert_string_equal(history.entries[0].reason, "no recovery target specified");
    assert_true(history_switch_lsn(&history, 3, &lsn));
    assert_int_equal(lsn, UINT64_C(0x16B374D848));
    assert_false(history_switch_lsn(&history, 2, &lsn));
}

static void test_a_history_needs_neither_reason_nor_last_line_break(void **state)
{
    struct err err;

    (void)state;
    test_ok(history_parse("1 0/3000148", &history, &err), &err);
    assert_int_equal(history.count, 1);
    assert_string_equal(history.entries[0].reason, "");
    test_ok(history_parse("", &history, &err), &err);
    assert_int_equal(history.count, 0);
}

static void test_a_history_that_makes_no_sense_is_refused(void **state)
{
    static const char *const texts[] = {"x\t0/1\tr\n",      "1\n",
                                        "1\t0\tr\n",        "0\t0/1\tr\n",
                                        "-1\t0/1\n",        "2\t0/1\n1\t0/2\n",
                                        "1\t0/1\n1\t0/2\n", "4294967296\t0/1\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err err;

        assert_int_equal(history_parse(texts[i], &history, &err), STATUS_INVALID);
    }
}

static void test_of_a_long_history_the_newest_are_kept(void **state)
{
    static char data[(HISTORY_MAX + 10) * 24];
    struct text text;
    struct err err;

    (void)state;
    text_init(&text, data, sizeof data);
    for (unsigned i = 1; i <= HISTORY_MAX + 10; i++) {
        text_addf(&text, "%u\t0/%X\tr\n", i, i);
    }
    test_ok(history_parse(data, &history, &err), &err);
    assert_int_equal(history.count, HISTORY_MAX);
    assert_int_equal(history.entries[0].switched.timeline, 11);
}

static void test_a_history_file_is_named_after_its_timeline(void **state)
{
    char name[HISTORY_NAME_SIZE];

    (void)state;
    history_file_name(26, name);
    assert_string_equal(name, "0000001A.history");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_history_has_a_line_for_each_timeline),
        cmocka_unit_test(test_a_history_needs_neither_reason_nor_last_line_break),
        cmocka_unit_test(test_a_history_that_makes_no_sense_is_refused),
        cmocka_unit_test(test_of_a_long_history_the_newest_are_kept),
        cmocka_unit_test(test_a_history_file_is_named_after_its_timeline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
