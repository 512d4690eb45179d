#include "tests/lib/test.h"

#include <string.h>

#include "api/stamp.h"

static void test_a_stamp_is_printed_as_users_know_it(void **state)
{
    static const struct {
        uint64_t wall_ms;
        char separator;
        const char *want;
    } cases[] = {
        {0,                             'T', "1970-01-01T00:00:00+00:00"       },
        {UINT64_C(1785553200000),       'T', "2026-08-01T03:00:00+00:00"       },
        {UINT64_C(1785553200250),       'T', "2026-08-01T03:00:00.250000+00:00"},
        {UINT64_C(1785553200000),       ' ', "2026-08-01 03:00:00.000000+00:00"},
        {UINT64_C(951782400000),        'T', "2000-02-29T00:00:00+00:00"       },
        {UINT64_C(951868799999),        'T', "2000-02-29T23:59:59.999000+00:00"},
        {UINT64_C(951868800000),        'T', "2000-03-01T00:00:00+00:00"       },
        {UINT64_C(4107542400000),       'T', "2100-03-01T00:00:00+00:00"       },
        {UINT64_C(253402300799) * 1000, 'T', "9999-12-31T23:59:59+00:00"       },
    };
    char text[STAMP_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        stamp_print(cases[i].wall_ms, cases[i].separator, text);
        assert_string_equal(text, cases[i].want);
    }
}

static void test_a_stamp_is_read_in_any_zone(void **state)
{
    static const struct {
        const char *text;
        uint64_t want_ms;
    } cases[] = {
        {"2026-08-01T03:00:00+00:00",        UINT64_C(1785553200000)},
        {"2026-08-01 03:00:00Z",             UINT64_C(1785553200000)},
        {"2026-08-01T03:00Z",                UINT64_C(1785553200000)},
        {"2026-08-01 03:00:00 UTC",          UINT64_C(1785553200000)},
        {"2026-08-01 03:00 gmt",             UINT64_C(1785553200000)},
        {"2026-08-01T05:00:00+02",           UINT64_C(1785553200000)},
        {"2026-08-01T05:30:00+0230",         UINT64_C(1785553200000)},
        {"2026-07-31T21:00:00-06:00",        UINT64_C(1785553200000)},
        {"2026-08-01T03:00:00.25+00:00",     UINT64_C(1785553200250)},
        {"2026-08-01T03:00:00.250999+00:00", UINT64_C(1785553200250)},
        {"1970-01-01T00:00:00Z",             0                      },
        {"2024-02-29T00:00:00Z",             UINT64_C(1709164800000)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t wall_ms = 1;

        assert_int_equal(stamp_parse(cases[i].text, &wall_ms), STAMP_OK);
        assert_true(wall_ms == cases[i].want_ms);
    }
}

static void test_what_was_printed_is_read_again(void **state)
{
    (void)state;
    for (uint64_t ms = 0; ms < UINT64_C(5000000000000); ms += UINT64_C(7776543217)) {
        char text[STAMP_SIZE];
        uint64_t again;

        stamp_print(ms, ms % 2 == 0 ? 'T' : ' ', text);
        assert_int_equal(stamp_parse(text, &again), STAMP_OK);
        assert_true(again == ms);
    }
}

static void test_a_stamp_without_a_zone_is_told_from_nonsense(void **state)
{
    static const char *const nonsense[] = {
        "",
        "now",
        "tomorrow",
        "2026-08-01",
        "2026-08-01T",
        "2026-8-1T03:00Z",
        "01/08/2026 03:00Z",
        "2026-13-01T03:00Z",
        "2026-00-01T03:00Z",
        "2026-02-29T03:00Z",
        "2100-02-29T03:00Z",
        "2026-04-31T03:00Z",
        "2026-08-00T03:00Z",
        "2026-08-01T24:00Z",
        "2026-08-01T03:60Z",
        "2026-08-01T03:00:60Z",
        "2026-08-01T03:00:00.Z",
        "2026-08-01T03:00:00ZZ",
        "2026-08-01T03:00:00+2",
        "2026-08-01T03:00:00+02:0",
        "2026-08-01T03:00:00+02:00x",
        "2026-08-01T03:00:00+16:00",
        "2026-08-01T03:00:00+02:60",
        "2026-08-01T03:00:00 CEST",
        "1969-12-31T23:00:00Z",
        "1970-01-01T00:00:00+01:00",
    };
    uint64_t wall_ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
        if (stamp_parse(nonsense[i], &wall_ms) != STAMP_INVALID) {
            fail_msg("\"%s\" was taken", nonsense[i]);
        }
    }
    assert_int_equal(stamp_parse("2026-08-01T03:00:00", &wall_ms), STAMP_NO_ZONE);
    assert_int_equal(stamp_parse("2026-08-01 03:00", &wall_ms), STAMP_NO_ZONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stamp_is_printed_as_users_know_it),
        cmocka_unit_test(test_a_stamp_is_read_in_any_zone),
        cmocka_unit_test(test_what_was_printed_is_read_again),
        cmocka_unit_test(test_a_stamp_without_a_zone_is_told_from_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
