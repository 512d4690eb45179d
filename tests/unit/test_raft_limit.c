#include "raft/limit.h"

#include "tests/lib/test.h"

static void test_a_key_is_silent_until_its_time_is_over(void **state)
{
    struct limit limit = {.span_ms = 100};

    (void)state;
    assert_true(limit_allows(&limit, 7, 1000));
    assert_false(limit_allows(&limit, 7, 1000));
    assert_false(limit_allows(&limit, 7, 1099));
    assert_true(limit_allows(&limit, 8, 1099));
    assert_true(limit_allows(&limit, 7, 1100));
    assert_false(limit_allows(&limit, 7, 1101));
}

static void test_more_keys_than_places_are_silent(void **state)
{
    struct limit limit = {.span_ms = 100};

    (void)state;
    for (uint64_t key = 0; key < LIMIT_KEYS_MAX; key++) {
        assert_true(limit_allows(&limit, key, 50));
    }
    assert_false(limit_allows(&limit, 1000, 50));
    assert_false(limit_allows(&limit, 0, 149));
    assert_true(limit_allows(&limit, 1000, 150));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_silent_until_its_time_is_over),
        cmocka_unit_test(test_more_keys_than_places_are_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
