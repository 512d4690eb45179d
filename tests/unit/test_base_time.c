#include "base/time.h"

#include "tests/lib/test.h"

static void test_sums_end_at_never(void **state)
{
    (void)state;
    assert_int_equal(time_add(5, 7), 12);
    assert_int_equal(time_add(TIME_NEVER, 0), TIME_NEVER);
    assert_int_equal(time_add(TIME_NEVER, 1), TIME_NEVER);
    assert_int_equal(time_add(TIME_NEVER - 1, 1), TIME_NEVER);
    assert_int_equal(time_add(TIME_NEVER - 1, 2), TIME_NEVER);
    assert_int_equal(time_add(1, TIME_NEVER), TIME_NEVER);
}

static void test_differences_begin_at_zero(void **state)
{
    (void)state;
    assert_int_equal(time_since(12, 5), 7);
    assert_int_equal(time_since(5, 5), 0);
    assert_int_equal(time_since(5, 12), 0);
}

static void test_min_and_max(void **state)
{
    (void)state;
    assert_int_equal(time_min(1, 2), 1);
    assert_int_equal(time_min(2, 1), 1);
    assert_int_equal(time_max(1, 2), 2);
    assert_int_equal(time_max(2, TIME_NEVER), TIME_NEVER);
}

/*
 * What makes leases not overlap: seen from a clock that runs 1 % fast, the shortened span is over
 * before one of 1 % slow has counted the lengthened one. In hundredths, so that nothing is rounded.
 */
static void test_a_shortened_span_ends_before_a_lengthened_one_on_any_clock(void **state)
{
    (void)state;
    for (uint64_t span_ms = 0; span_ms <= 20000; span_ms++) {
        const uint64_t shorter_ms = time_shorten(span_ms);
        const uint64_t longer_ms = time_lengthen(span_ms);

        assert_true(shorter_ms * 100 <= span_ms * 99);
        assert_true(shorter_ms * 100 + 100 > span_ms * 99);
        assert_true(longer_ms * 100 >= span_ms * 101);
        assert_true(longer_ms * 100 < span_ms * 101 + 100);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_end_at_never),
        cmocka_unit_test(test_differences_begin_at_zero),
        cmocka_unit_test(test_min_and_max),
        cmocka_unit_test(test_a_shortened_span_ends_before_a_lengthened_one_on_any_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
