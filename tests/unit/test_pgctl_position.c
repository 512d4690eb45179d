#include "pgctl/position.h"

#include "tests/lib/test.h"

static void test_lsn_is_printed_as_postgresql_does(void **state)
{
    static const struct {
        uint64_t lsn;
        const char *text;
    } cases[] = {
        {0,                      "0/0"              },
        {UINT64_C(0x1000028),    "0/1000028"        },
        {UINT64_C(0x16B374D848), "16/B374D848"      },
        {UINT64_MAX,             "FFFFFFFF/FFFFFFFF"},
        {UINT64_C(0x100000000),  "1/0"              },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[PG_LSN_TEXT_SIZE];
        uint64_t lsn = 1;

        pg_lsn_print(cases[i].lsn, text);
        assert_string_equal(text, cases[i].text);
        assert_true(pg_lsn_parse(text, &lsn));
        assert_int_equal(lsn, cases[i].lsn);
    }
}

static void test_lsn_takes_small_letters_and_leading_zeroes(void **state)
{
    uint64_t lsn = 0;

    (void)state;
    assert_true(pg_lsn_parse("00000016/0b374d84", &lsn));
    assert_int_equal(lsn, UINT64_C(0x160B374D84));
}

static void test_what_is_no_lsn_is_refused_and_writes_nothing(void **state)
{
    static const char *const cases[] = {
        "",    "/",   "0",    "0/",   "/0",    "0/0 ",  " 0/0",        "0/0/0",
        "g/0", "0/x", "-1/0", "0/-1", "0x1/0", "1/0\n", "000000001/0", "0/000000001"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t lsn = 42;

        if (pg_lsn_parse(cases[i], &lsn)) {
            fail_msg("\"%s\" was taken for an LSN", cases[i]);
        }
        assert_int_equal(lsn, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lsn_is_printed_as_postgresql_does),
        cmocka_unit_test(test_lsn_takes_small_letters_and_leading_zeroes),
        cmocka_unit_test(test_what_is_no_lsn_is_refused_and_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
