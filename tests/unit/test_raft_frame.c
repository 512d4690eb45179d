#include "raft/frame.h"

#include <string.h>

#include "base/prng.h"
#include "tests/lib/test.h"

#define PAYLOAD_BYTES 300

static size_t make_frame(uint8_t *bytes, uint8_t *payload, uint32_t size, struct frame *frame)
{
    for (uint32_t i = 0; i < size; i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    *frame = (struct frame){
        .channel = FRAME_CHANNEL_HA,
        .sender_id = UINT64_C(0x0102030405060708),
        .cluster_id = UINT64_MAX,
        .incarnation = 77,
        .size_bytes = size,
        .payload = payload,
    };
    frame_put_header(frame, bytes);
    memcpy(bytes + FRAME_HEADER_BYTES, payload, size);
    return FRAME_HEADER_BYTES + (size_t)size;
}

static void test_a_frame_comes_out_as_it_went_in(void **state)
{
    static const uint32_t sizes[] = {0, 1, 39, PAYLOAD_BYTES};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES];
        uint8_t payload[PAYLOAD_BYTES];
        struct frame in;
        struct frame out;
        const size_t size = make_frame(bytes, payload, sizes[i], &in);

        assert_int_equal(frame_parse(bytes, size, &out), FRAME_READY);
        assert_int_equal(out.channel, in.channel);
        assert_true(out.sender_id == in.sender_id);
        assert_true(out.cluster_id == in.cluster_id);
        assert_true(out.incarnation == in.incarnation);
        assert_int_equal(out.size_bytes, sizes[i]);
        assert_ptr_equal(out.payload, bytes + FRAME_HEADER_BYTES);
        assert_memory_equal(out.payload, payload, sizes[i]);
    }
}

static void test_every_beginning_of_a_frame_asks_for_more(void **state)
{
    uint8_t bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES];
    uint8_t payload[PAYLOAD_BYTES];
    struct frame frame;
    const size_t size = make_frame(bytes, payload, PAYLOAD_BYTES, &frame);

    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(frame_parse(bytes, cut, &frame), FRAME_MORE);
    }
}

/* The reserved bytes are under the checksum, too. */
static void test_every_flipped_bit_is_noticed(void **state)
{
    uint8_t bytes[FRAME_HEADER_BYTES + 20];
    uint8_t payload[20];
    struct frame frame;
    const size_t size = make_frame(bytes, payload, sizeof payload, &frame);

    (void)state;
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(frame_parse(bytes, size, &frame), FRAME_READY);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(frame_parse(bytes, size, &frame), FRAME_READY);
}

static void test_what_is_not_ours_is_refused_as_early_as_can_be(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum frame_result want;
    } cases[] = {
        {"G",                          1, FRAME_NOT_OURS     }, /* GET / HTTP/1.1 */
        {"\x16\x03\x01",               3, FRAME_NOT_OURS     }, /* TLS */
        {"\xb7",                       1, FRAME_MORE         },
        {"\xb7R",                      2, FRAME_MORE         },
        {"\xb7X",                      2, FRAME_NOT_OURS     },
        {"\xb7RM",                     3, FRAME_MORE         },
        {"\xb7RM\x01",                 4, FRAME_MORE         },
        {"\xb7RM\x02",                 4, FRAME_OTHER_VERSION},
        {"\xb7RM\x00",                 4, FRAME_OTHER_VERSION},
        {"\xb7RM\x01\xff\xff\xff\xff", 8, FRAME_TOO_LONG     },
        {"\xb7RM\x01\x00\x10\x00\x01", 8, FRAME_TOO_LONG     },
        {"\xb7RM\x01\x00\x10\x00\x00", 8, FRAME_MORE         },
    };
    struct frame frame;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(
            frame_parse((const uint8_t *)cases[i].bytes, cases[i].size, &frame), cases[i].want);
        if (cases[i].want == FRAME_OTHER_VERSION) {
            assert_int_equal(
                frame_version((const uint8_t *)cases[i].bytes), (uint8_t)cases[i].bytes[3]);
        }
    }
}

static void test_random_bytes_are_never_a_frame(void **state)
{
    struct prng prng;
    struct frame frame;

    (void)state;
    prng_init(&prng, 1);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[64] = {0xb7, 'R', 'M', 1};
        const size_t size = prng_between(&prng, 0, sizeof bytes);

        for (size_t i = prng_between(&prng, 0, 8); i < size; i++) {
            bytes[i] = (uint8_t)prng_next(&prng);
        }
        assert_int_not_equal(frame_parse(bytes, size, &frame), FRAME_READY);
    }
}

static void test_every_result_has_words(void **state)
{
    (void)state;
    for (int result = 0; result < FRAME_RESULTS; result++) {
        assert_true(strlen(frame_result_text((enum frame_result)result)) > 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_comes_out_as_it_went_in),
        cmocka_unit_test(test_every_beginning_of_a_frame_asks_for_more),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_what_is_not_ours_is_refused_as_early_as_can_be),
        cmocka_unit_test(test_random_bytes_are_never_a_frame),
        cmocka_unit_test(test_every_result_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
