#include "pgctl/pgctl.h"

#include <string.h>

#include "tests/lib/test.h"

static void assert_slot(const char *member, const char *expected)
{
    char slot[PG_NAME_SIZE];

    pg_slot_name(member, slot, sizeof slot);
    assert_string_equal(slot, expected);
}

static void test_slot_names_are_patronis(void **state)
{
    (void)state;
    assert_slot("n1", "n1");
    assert_slot("N1-East.example", "n1_east_example");
    assert_slot("a b", "au0032b");
    assert_slot("p\xc3\xa9", "pu0233");         /* e with acute accent */
    assert_slot("\xe2\x82\xac", "u8364");       /* euro sign */
    assert_slot("\xf0\x9f\x98\x80", "u128512"); /* outside of the first plane */
    assert_slot("x\xff", "xu0255");             /* no UTF-8 */
    assert_slot("x\xc3", "xu0195");             /* cut off */
    assert_slot("", "");
}

static void test_long_slot_names_are_cut_to_an_identifier(void **state)
{
    char member[200];
    char slot[PG_NAME_SIZE];

    (void)state;
    memset(member, 'a', sizeof member - 1);
    member[sizeof member - 1] = '\0';
    pg_slot_name(member, slot, sizeof slot);
    assert_int_equal(strlen(slot), 63);
}

static void test_everything_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(pg_data_name(PG_DATA_PARTIAL), "partial");
    assert_string_equal(pg_run_name(PG_RUN_UP), "running");
    assert_string_equal(pg_result_name(PG_RESULT_REFUSED), "refused");
    for (int kind = PG_ACTION_NONE; kind <= PG_ACTION_BOOTSTRAP_SQL; kind++) {
        assert_true(strlen(pg_action_name((enum pg_action_kind)kind)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_names_are_patronis),
        cmocka_unit_test(test_long_slot_names_are_cut_to_an_identifier),
        cmocka_unit_test(test_everything_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
