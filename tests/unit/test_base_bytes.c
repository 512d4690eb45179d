#include "base/bytes.h"

#include <string.h>

#include "tests/lib/test.h"

static void test_integers_are_stored_with_the_highest_byte_first(void **state)
{
    static const uint8_t want[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    uint8_t bytes[8] = {0};

    (void)state;
    put_u64(bytes, UINT64_C(0x0123456789abcdef));
    assert_memory_equal(bytes, want, 8);
    put_u32(bytes, 0x89abcdef);
    assert_memory_equal(bytes, &want[4], 4);
}

static void test_integers_come_back_as_they_went(void **state)
{
    static const uint64_t values[] = {0, 1, 0x7f, 0x80, 0xff, UINT32_MAX, INT64_MAX, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        uint8_t bytes[8];

        put_u64(bytes, values[i]);
        assert_int_equal(get_u64(bytes), values[i]);
        put_u32(bytes, (uint32_t)values[i]);
        assert_int_equal(get_u32(bytes), (uint32_t)values[i]);
    }
}

static void test_put_writes_no_byte_too_many(void **state)
{
    uint8_t bytes[10];

    (void)state;
    memset(bytes, 0x55, sizeof bytes);
    put_u64(&bytes[1], 0);
    assert_int_equal(bytes[0], 0x55);
    assert_int_equal(bytes[9], 0x55);
    memset(bytes, 0x55, sizeof bytes);
    put_u32(&bytes[1], 0);
    assert_int_equal(bytes[5], 0x55);
}

/* RFC 3720, appendix B.4. */
static void test_crc32c_gives_the_published_values(void **state)
{
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    uint8_t rising[32];
    uint8_t falling[32];

    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        ones[i] = 0xff;
        rising[i] = i;
        falling[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(crc32c(0, rising, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, falling, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
}

/* The definition: a division, one bit at a time. */
static uint32_t crc32c_model(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
        }
    }
    return ~crc;
}

static void test_crc32c_of_every_byte_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint32_t value = 0; value <= UINT8_MAX; value++) {
        const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)~value};

        assert_int_equal(crc32c(0, bytes, 2), crc32c_model(bytes, 2));
    }
}

static void test_crc32c_can_be_taken_in_pieces(void **state)
{
    static const char data[] = "the baton is passed on";

    (void)state;
    for (size_t cut = 0; cut < sizeof data; cut++) {
        const uint32_t first = crc32c(0, data, cut);

        assert_int_equal(
            crc32c(first, &data[cut], sizeof data - cut), crc32c(0, data, sizeof data));
    }
}

static void test_crc32c_sees_every_flipped_bit(void **state)
{
    uint8_t data[16] = "flip one of me";
    const uint32_t whole = crc32c(0, data, sizeof data);

    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_not_equal(crc32c(0, data, sizeof data), whole);
        data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void test_hash64_gives_the_published_values(void **state)
{
    (void)state;
    assert_int_equal(hash64(HASH64_SEED, "", 0), UINT64_C(0xcbf29ce484222325));
    assert_int_equal(hash64(HASH64_SEED, "a", 1), UINT64_C(0xaf63dc4c8601ec8c));
    assert_int_equal(hash64(HASH64_SEED, "foobar", 6), UINT64_C(0x85944171f73967e8));
}

static void test_hash64_can_be_chained(void **state)
{
    (void)state;
    assert_int_equal(
        hash64(hash64(HASH64_SEED, "foo", 3), "bar", 3), hash64(HASH64_SEED, "foobar", 6));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_stored_with_the_highest_byte_first),
        cmocka_unit_test(test_integers_come_back_as_they_went),
        cmocka_unit_test(test_put_writes_no_byte_too_many),
        cmocka_unit_test(test_crc32c_gives_the_published_values),
        cmocka_unit_test(test_crc32c_of_every_byte_agrees_with_the_model),
        cmocka_unit_test(test_crc32c_can_be_taken_in_pieces),
        cmocka_unit_test(test_crc32c_sees_every_flipped_bit),
        cmocka_unit_test(test_hash64_gives_the_published_values),
        cmocka_unit_test(test_hash64_can_be_chained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
