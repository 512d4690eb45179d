#include "base/text.h"

#include <string.h>

#include "tests/lib/test.h"

static void test_builder_joins_what_it_is_given(void **state)
{
    char data[32];
    struct text text;

    (void)state;
    text_init(&text, data, sizeof data);
    assert_string_equal(data, "");
    text_add(&text, "node ");
    text_addf(&text, "%s=%d", "lag", 7);
    text_add_bytes(&text, ", and more", 5);
    assert_string_equal(data, "node lag=7, and");
    assert_int_equal(text.length, strlen(data));
    assert_false(text_overflowed(&text));
}

/* One room after the other: what fits exactly is whole, one byte less is an overflow. */
static void test_builder_keeps_what_fits_and_remembers_the_rest(void **state)
{
    static const char want[] = "abcdef";

    (void)state;
    for (size_t size = 1; size <= sizeof want + 1; size++) {
        const size_t kept = size - 1 < 6 ? size - 1 : 6;
        char by_add[16];
        char by_format[16];
        struct text added;
        struct text formatted;

        memset(by_add, '#', sizeof by_add);
        memset(by_format, '#', sizeof by_format);
        text_init(&added, by_add, size);
        text_add(&added, want);
        text_init(&formatted, by_format, size);
        text_addf(&formatted, "%s", want);

        assert_int_equal(text_overflowed(&added), size < sizeof want);
        assert_int_equal(text_overflowed(&formatted), size < sizeof want);
        assert_int_equal(added.length, kept);
        assert_int_equal(formatted.length, kept);
        assert_memory_equal(by_add, want, kept);
        assert_string_equal(by_add, by_format);
        assert_int_equal(by_add[size], '#');
        assert_int_equal(by_format[size], '#');
    }
}

static void test_nothing_is_added_behind_a_gap(void **state)
{
    char data[8];
    struct text text;

    (void)state;
    text_init(&text, data, sizeof data);
    text_add(&text, "12345");
    text_add(&text, "6789");
    text_add(&text, "");
    text_add(&text, "x");
    text_addf(&text, "%d", 1);
    assert_string_equal(data, "1234567");
    assert_true(text_overflowed(&text));
}

static void test_adding_nothing_to_a_full_builder_is_no_overflow(void **state)
{
    char data[4];
    struct text text;

    (void)state;
    text_init(&text, data, sizeof data);
    text_add(&text, "123");
    text_add(&text, "");
    text_addf(&text, "%s", "");
    assert_false(text_overflowed(&text));
}

static void test_copy_takes_all_or_nothing(void **state)
{
    char target[4];

    (void)state;
    assert_true(text_copy(target, sizeof target, "abc"));
    assert_string_equal(target, "abc");
    assert_false(text_copy(target, sizeof target, "abcd"));
    assert_string_equal(target, "");
    assert_true(text_copy(target, 1, ""));
    assert_false(text_copy(target, 1, "a"));
}

static void test_copy_cut_cuts_at_the_end(void **state)
{
    char target[4];

    (void)state;
    text_copy_cut(target, sizeof target, "ab");
    assert_string_equal(target, "ab");
    text_copy_cut(target, sizeof target, "abc");
    assert_string_equal(target, "abc");
    text_copy_cut(target, sizeof target, "abcdef");
    assert_string_equal(target, "abc");
    text_copy_cut(target, 1, "abcdef");
    assert_string_equal(target, "");
}

static void test_comparisons(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool equal;
        bool nocase;
        bool starts;
        bool ends;
    } cases[] = {
        {"",        "",        true,  true,  true,  true },
        {"a",       "",        false, false, true,  true },
        {"",        "a",       false, false, false, false},
        {"primary", "primary", true,  true,  true,  true },
        {"Primary", "pRIMARY", false, true,  false, false},
        {"primary", "prim",    false, false, true,  false},
        {"primary", "mary",    false, false, false, true },
        {"prim",    "primary", false, false, false, false},
        {"aab",     "ab",      false, false, false, true },
        {"[",       "{",       false, false, false, false}, /* Differ by the bit that case does. */
        {"\xc4",    "\xe4",    false, false, false, false}, /* Only ASCII has a case here. */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(text_equal(cases[i].a, cases[i].b), cases[i].equal);
        assert_int_equal(text_equal_nocase(cases[i].a, cases[i].b), cases[i].nocase);
        assert_int_equal(text_starts_with(cases[i].a, cases[i].b), cases[i].starts);
        assert_int_equal(text_ends_with(cases[i].a, cases[i].b), cases[i].ends);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builder_joins_what_it_is_given),
        cmocka_unit_test(test_builder_keeps_what_fits_and_remembers_the_rest),
        cmocka_unit_test(test_nothing_is_added_behind_a_gap),
        cmocka_unit_test(test_adding_nothing_to_a_full_builder_is_no_overflow),
        cmocka_unit_test(test_copy_takes_all_or_nothing),
        cmocka_unit_test(test_copy_cut_cuts_at_the_end),
        cmocka_unit_test(test_comparisons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
