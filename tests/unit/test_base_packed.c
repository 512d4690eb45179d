#include "base/packed.h"

#include <msgpack.h>

#include "base/prng.h"
#include "tests/lib/test.h"

static const struct packed_limits limits = {.depth = 4, .parts = 64};

static void test_one_whole_object_is_accepted_and_nothing_else(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool want;
    } cases[] = {
        {"",                                     0, false},
        {"\x01",                                 1, true },
        {"\xff",                                 1, true },
        {"\x01\x01",                             2, false}, /* Two objects. */
        {"\xc0",                                 1, true },
        {"\xc1",                                 1, false}, /* Never used. */
        {"\xc3",                                 1, true },
        {"\xcd\x01",                             2, false}, /* Cut off. */
        {"\xcd\x01\x02",                         3, true },
        {"\xcf\x01\x02\x03\x04\x05\x06\x07\x08", 9, true },
        {"\xa3"
         "abc",                         4, true },
        {"\xa3"
         "ab",                          3, false},
        {"\xc4\x02"
         "ab",                          4, true },
        {"\xc6\xff\xff\xff\xff"
         "ab",                          7, false},
        {"\xc7\x01\x05"
         "a",                           4, true }, /* ext: length, type, data */
        {"\xd4\x05"
         "a",                           3, true },
        {"\x92\x01\x02",                         3, true },
        {"\x92\x01",                             2, false},
        {"\x82\x01\x02\x03\x04",                 5, true },
        {"\x82\x01\x02\x03",                     4, false},
        {"\xdc\x00\x01\xc0",                     4, true },
        {"\xdd\xff\xff\xff\xff",                 5, false}, /* Four thousand million parts. */
        {"\xdf\xff\xff\xff\xff",                 5, false},
        {"\x91\x91\x91\x91\xc0",                 5, true },
        {"\x91\x91\x91\x91\x91\xc0",             6, false}, /* Too deep. */
        {"\x91\x91\x91\x91\x90",                 5, true }, /* Nothing inside is no depth. */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (packed_check((const uint8_t *)cases[i].bytes, cases[i].size, limits) != cases[i].want) {
            fail_msg("case %zu is judged wrongly", i);
        }
    }
}

static void test_no_more_parts_than_allowed(void **state)
{
    uint8_t bytes[3 + 64] = {0xdc, 0, 63};

    (void)state;
    assert_true(packed_check(bytes, 3 + 63, limits));
    bytes[2] = 64;
    assert_false(packed_check(bytes, 3 + 64, limits));
}

/* The library is the model: what passes here it unpacks, to the last byte. */
static void test_what_passes_is_unpacked_by_the_library(void **state)
{
    uint32_t passed = 0;
    struct prng prng;

    (void)state;
    prng_init(&prng, 5);
    for (int round = 0; round < 50000; round++) {
        uint8_t bytes[12];
        const size_t size = prng_between(&prng, 1, sizeof bytes);
        msgpack_unpacked unpacked;
        size_t at = 0;

        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)prng_next(&prng);
        }
        if (!packed_check(bytes, size, limits)) {
            continue;
        }
        passed++;
        msgpack_unpacked_init(&unpacked);
        assert_int_equal(
            msgpack_unpack_next(&unpacked, (const char *)bytes, size, &at), MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(at, size);
        msgpack_unpacked_destroy(&unpacked);
    }
    assert_true(passed > 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_whole_object_is_accepted_and_nothing_else),
        cmocka_unit_test(test_no_more_parts_than_allowed),
        cmocka_unit_test(test_what_passes_is_unpacked_by_the_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
