#include "raft/buffer_sys.h"

#include <string.h>

#include "base/prng.h"
#include "tests/lib/test.h"

/* The model: a stream of numbered bytes, of which some were put in and some taken out. */
static void test_bytes_come_out_in_the_order_they_went_in(void **state)
{
    struct buffer buffer = {0};
    uint64_t put = 0;
    uint64_t taken = 0;
    struct prng prng;

    (void)state;
    prng_init(&prng, 1);
    for (int round = 0; round < 5000; round++) {
        const size_t size = prng_between(&prng, 0, round % 100 == 0 ? 20000 : 300);
        uint8_t bytes[20000];
        size_t out;

        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)((put + i) % 251);
        }
        if (prng_chance(&prng, 50)) {
            buffer_add(&buffer, bytes, size);
        } else {
            memcpy(buffer_room(&buffer, size + 100), bytes, size); /* Not all room is used. */
            buffer_added(&buffer, size);
        }
        put += size;
        assert_int_equal(buffer.length, put - taken);
        for (size_t i = 0; i < buffer.length; i++) {
            assert_int_equal(buffer_bytes(&buffer)[i], (taken + i) % 251);
        }
        out = prng_chance(&prng, 30) ? buffer.length : prng_between(&prng, 0, buffer.length);
        buffer_consume(&buffer, out);
        taken += out;
    }
    buffer_free(&buffer);
}

static void test_an_empty_buffer_keeps_little(void **state)
{
    struct buffer buffer = {0};
    uint8_t bytes[100000] = {0};

    (void)state;
    assert_null(buffer_bytes(&buffer));
    buffer_add(&buffer, bytes, 0);
    assert_null(buffer.data);
    buffer_add(&buffer, bytes, 10);
    buffer_consume(&buffer, 10);
    assert_true(buffer.capacity > 0); /* The next small one needs no new memory. */
    buffer_add(&buffer, bytes, sizeof bytes);
    assert_true(buffer.capacity >= sizeof bytes);
    buffer_consume(&buffer, sizeof bytes);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
    buffer_free(&buffer);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(test_an_empty_buffer_keeps_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
