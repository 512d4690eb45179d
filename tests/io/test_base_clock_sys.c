#include "base/clock_sys.h"

#include <time.h>

#include "tests/lib/test.h"

static void test_the_boot_clock_is_the_kernels(void **state)
{
    struct timespec boot;
    uint64_t now_ms;

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &boot), 0);
    now_ms = clock_boot_ms();
    assert_true(now_ms >= (uint64_t)boot.tv_sec * 1000);
    assert_true(now_ms < (uint64_t)boot.tv_sec * 1000 + 60000);
}

static void test_the_boot_clock_never_goes_back(void **state)
{
    uint64_t before_ms = clock_boot_ms();

    (void)state;
    for (int i = 0; i < 10000; i++) {
        const uint64_t now_ms = clock_boot_ms();

        assert_true(now_ms >= before_ms);
        before_ms = now_ms;
    }
}

static void test_the_wall_clock_counts_from_1970(void **state)
{
    const uint64_t seconds = (uint64_t)time(NULL);
    const uint64_t now_ms = clock_wall_ms();

    (void)state;
    /* time() may lag behind by a tick of the kernel. */
    assert_true(now_ms + 1000 > seconds * 1000);
    assert_true(now_ms < (seconds + 60) * 1000);
}

static void test_random_values_differ_in_every_bit(void **state)
{
    uint64_t ones = 0;
    uint64_t zeros = 0;

    (void)state;
    for (int i = 0; i < 128; i++) {
        const uint64_t value = clock_random_u64();

        ones |= value;
        zeros |= ~value;
    }
    assert_int_equal(ones, UINT64_MAX);
    assert_int_equal(zeros, UINT64_MAX);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_boot_clock_is_the_kernels),
        cmocka_unit_test(test_the_boot_clock_never_goes_back),
        cmocka_unit_test(test_the_wall_clock_counts_from_1970),
        cmocka_unit_test(test_random_values_differ_in_every_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
