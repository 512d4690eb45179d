#include "base/prng.h"

#include "tests/lib/test.h"

/* From the authors' splitmix64.c, whose first four values are the state. */
static void test_seed_zero_is_spread_over_the_state(void **state)
{
    struct prng prng;

    (void)state;
    prng_init(&prng, 0);
    assert_int_equal(prng.s[0], UINT64_C(0xe220a8397b1dcdaf));
    assert_int_equal(prng.s[1], UINT64_C(0x6e789e6aa1b965f4));
    assert_int_equal(prng.s[2], UINT64_C(0x06c45d188009454f));
    assert_int_equal(prng.s[3], UINT64_C(0xf88bb8a8724c81ec));
}

/* The first values of the authors' xoshiro256starstar.c for the state 1, 2, 3, 4. */
static void test_values_are_those_of_the_published_generator(void **state)
{
    static const uint64_t want[] = {
        11520, 0, 1509978240, UINT64_C(1215971899390074240), UINT64_C(1216172134540287360),
    };
    struct prng prng = {
        {1, 2, 3, 4}
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(prng_next(&prng), want[i]);
    }
}

static void test_one_seed_gives_one_sequence(void **state)
{
    struct prng a;
    struct prng b;
    struct prng other;
    uint32_t same = 0;

    (void)state;
    prng_init(&a, 42);
    prng_init(&b, 42);
    prng_init(&other, 43);
    for (int i = 0; i < 1000; i++) {
        const uint64_t value = prng_next(&a);

        assert_int_equal(value, prng_next(&b));
        same += value == prng_next(&other);
    }
    assert_int_equal(same, 0);
}

static void test_between_reaches_every_value_and_no_other(void **state)
{
    uint32_t seen[7] = {0};
    struct prng prng;

    (void)state;
    prng_init(&prng, 1);
    for (int i = 0; i < 7000; i++) {
        const uint64_t value = prng_between(&prng, 10, 16);

        assert_in_range(value, 10, 16);
        seen[value - 10]++;
    }
    /* About ten standard deviations: a right generator stays within, a biased one does not. */
    for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
        assert_in_range(seen[i], 700, 1300);
    }
}

static void test_between_takes_ranges_of_one_and_of_all(void **state)
{
    struct prng prng;
    uint64_t both = 0;

    (void)state;
    prng_init(&prng, 1);
    assert_int_equal(prng_between(&prng, 5, 5), 5);
    assert_int_equal(prng_between(&prng, UINT64_MAX, UINT64_MAX), UINT64_MAX);
    for (int i = 0; i < 64; i++) {
        both |= prng_between(&prng, 0, UINT64_MAX);
        assert_true(prng_between(&prng, 1, UINT64_MAX) >= 1);
    }
    assert_int_equal(both, UINT64_MAX);
}

static void test_chance_keeps_its_percentage(void **state)
{
    uint32_t hits = 0;
    struct prng prng;

    (void)state;
    prng_init(&prng, 9);
    for (int i = 0; i < 10000; i++) {
        assert_false(prng_chance(&prng, 0));
        assert_true(prng_chance(&prng, 100));
        hits += prng_chance(&prng, 25);
    }
    assert_in_range(hits, 2200, 2800);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed_zero_is_spread_over_the_state),
        cmocka_unit_test(test_values_are_those_of_the_published_generator),
        cmocka_unit_test(test_one_seed_gives_one_sequence),
        cmocka_unit_test(test_between_reaches_every_value_and_no_other),
        cmocka_unit_test(test_between_takes_ranges_of_one_and_of_all),
        cmocka_unit_test(test_chance_keeps_its_percentage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
