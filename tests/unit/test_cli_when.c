#include "cli/when.h"

#include "tests/lib/test.h"

static const char *format(const struct when *when)
{
    static char out[WHEN_SIZE];
    struct text text;

    text_init(&text, out, sizeof out);
    when_format(when, &text);
    assert_false(text_overflowed(&text));
    return out;
}

static void test_times_are_understood_as_people_write_them(void **state)
{
    static const struct {
        const char *typed;
        const char *want;
        bool has_date;
        bool has_zone;
    } cases[] = {
        {"2026-08-01T03:00:00+00:00",        "2026-08-01T03:00:00+00:00",        true,  true },
        {"2026-08-01T03:00Z",                "2026-08-01T03:00:00+00:00",        true,  true },
        {"2026-08-01 03:00",                 "2026-08-01T03:00:00+00:00",        true,  false},
        {"2026-08-01 03:00 UTC",             "2026-08-01T03:00:00+00:00",        true,  true },
        {"2026-08-01 3:00 gmt",              "2026-08-01T03:00:00+00:00",        true,  true },
        {"2026-08-01T03:00:30.25+02",        "2026-08-01T03:00:30.250000+02:00", true,  true },
        {"2026-08-01T03:00:30.1234567-0330", "2026-08-01T03:00:30.123456-03:30", true,  true },
        {"20260801T03:00",                   "2026-08-01T03:00:00+00:00",        true,  false},
        {"2026-08-01",                       "2026-08-01T00:00:00+00:00",        true,  false},
        {"2024-02-29 12:00",                 "2024-02-29T12:00:00+00:00",        true,  false},
        {"1 Aug 2026 03:00",                 "2026-08-01T03:00:00+00:00",        true,  false},
        {"August 1, 2026 23:59:59 +05:45",   "2026-08-01T23:59:59+05:45",        true,  true },
        {"03:00 1 Sept 2026",                "2026-09-01T03:00:00+00:00",        true,  false},
        {"03:00",                            "0000-00-00T03:00:00+00:00",        false, false},
        {"03:00:05-08:00",                   "0000-00-00T03:00:05-08:00",        false, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct when when;

        if (!when_parse(cases[i].typed, &when)) {
            fail_msg("\"%s\" was not understood", cases[i].typed);
        }
        assert_string_equal(format(&when), cases[i].want);
        assert_int_equal(when.has_date, cases[i].has_date);
        assert_int_equal(when.has_zone, cases[i].has_zone);
    }
}

static void test_what_is_wrong_or_ambiguous_is_refused(void **state)
{
    static const char *const cases[] = {
        "tomorrow",
        "01/08/2026 03:00",
        "01-08-2026",
        "2026-13-01",
        "2026-00-01",
        "2026-08-00",
        "2026-08-32",
        "2026-02-29",
        "1900-02-29 00:00",
        "2026-08-01 24:00",
        "2026-08-01 03:60",
        "2026-08-01 03:00:60",
        "2026-08-01 03",
        "2026-08-01 03:00 03:00",
        "2026-08-01 2026-08-02",
        "2026-08-01 03:00 UTC Z",
        "2026-08-01 03:00+",
        "2026-08-01 03:00+25:00",
        "2026-08-01 03:00+02:60",
        "2026-08-01 03:00+02:0",
        "2026-08-01 03:00.",
        "2026-08-01 03:00:00.",
        "2026-08-01 UTC 03:00",
        "1 Aug 03:00",
        "Aug 2026 03:00",
        "1 Au 2026 03:00",
        "1 Augustus 2026 03:00",
        "123456789012",
        ":",
        "2026-08-01T03:00:00+00:00;",
        "+02:00",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct when when;

        if (when_parse(cases[i], &when)) {
            fail_msg("\"%s\" was taken for %s", cases[i], format(&when));
        }
    }
}

static void test_now_is_nothing_or_the_word(void **state)
{
    (void)state;
    assert_true(when_is_now(""));
    assert_true(when_is_now("now"));
    assert_true(when_is_now("NOW"));
    assert_false(when_is_now("nowadays"));
}

static void test_milliseconds_count_from_1970_and_back(void **state)
{
    static const struct {
        const char *typed;
        int64_t wall_ms;
    } cases[] = {
        {"1970-01-01T00:00:00+00:00",        0            },
        {"1970-01-01T02:00:00+02:00",        0            },
        {"2000-03-01T00:00:00+00:00",        951868800000 },
        {"2026-08-01T03:00:00+00:00",        1785553200000},
        {"2026-07-31T21:30:00.500000-05:30", 1785553200500},
        {"2100-03-01T00:00:00+00:00",        4107542400000},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct when when;
        struct when back;

        assert_true(when_parse(cases[i].typed, &when));
        assert_int_equal(when_to_wall_ms(&when), cases[i].wall_ms);
        when_from_wall_ms(cases[i].wall_ms, when.zone_minutes, &back);
        assert_string_equal(format(&back), cases[i].typed);
    }
}

/* Every day of 400 years, which is when the calendar repeats. */
static void test_every_day_comes_back_as_it_went(void **state)
{
    const int64_t day_ms = 86400000;
    struct when before = {0};

    (void)state;
    for (int64_t day = 0; day < 146097; day++) {
        struct when when;

        when_from_wall_ms(day * day_ms, 0, &when);
        assert_int_equal(when_to_wall_ms(&when), day * day_ms);
        assert_true(when.day == before.day + 1 || when.day == 1);
        before = when;
    }
    assert_int_equal(before.year, 2369);
    assert_int_equal(before.month, 12);
    assert_int_equal(before.day, 31);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_are_understood_as_people_write_them),
        cmocka_unit_test(test_what_is_wrong_or_ambiguous_is_refused),
        cmocka_unit_test(test_now_is_nothing_or_the_word),
        cmocka_unit_test(test_milliseconds_count_from_1970_and_back),
        cmocka_unit_test(test_every_day_comes_back_as_it_went),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
