#include "pgctl/guard_proto.h"

#include <string.h>

#include "base/bytes.h"
#include "tests/lib/test.h"

static uint8_t bytes[GUARD_BYTES_MAX];
static struct guard_message out;
static struct guard_message in;
static struct err err;

/* There and back; the whole of it, and no byte more. */
static void send_through(void)
{
    const size_t size = guard_encode(&out, bytes);
    size_t used = 0;

    memset(&in, 0xa5, sizeof in);
    test_ok(guard_decode(bytes, size, &in, &used, &err), &err);
    assert_int_equal(used, size);
    assert_int_equal(in.type, out.type);
    assert_int_equal(in.request, out.request);
}

static void make_start(struct guard_start *start)
{
    *start = (struct guard_start){
        .mode = GUARD_START_WRITABLE,
        .epoch = UINT64_C(0x0102030405060708),
        .deadline = {.fence_ms = 1000, .end_ms = 1300},
        .change_user = true,
        .uid = 104,
        .gid = 110,
        .group_count = 2,
        .groups = {110,              111           },
    };
    assert_true(guard_start_set(start, "/usr/bin/postgres", "", "/var/log/pg.log"));
    assert_true(guard_start_add_arg(start, "postgres"));
    assert_true(guard_start_add_arg(start, "-D"));
    assert_true(guard_start_add_arg(start, ""));
    assert_true(guard_start_add_env(start, "LC_ALL=C"));
}

static void test_a_start_comes_through_with_all_its_strings(void **state)
{
    struct guard_start_view view;

    (void)state;
    out = (struct guard_message){.type = GUARD_START, .request = 7};
    make_start(&out.start);
    send_through();
    assert_int_equal(in.start.mode, GUARD_START_WRITABLE);
    assert_true(in.start.epoch == out.start.epoch);
    assert_int_equal(in.start.deadline.fence_ms, 1000);
    assert_int_equal(in.start.deadline.end_ms, 1300);
    assert_true(in.start.change_user);
    assert_int_equal(in.start.uid, 104);
    assert_int_equal(in.start.gid, 110);
    assert_int_equal(in.start.group_count, 2);
    assert_int_equal(in.start.groups[1], 111);

    guard_start_view(&in.start, &view);
    assert_string_equal(view.program, "/usr/bin/postgres");
    assert_string_equal(view.cwd, "");
    assert_string_equal(view.log_path, "/var/log/pg.log");
    assert_string_equal(view.argv[0], "postgres");
    assert_string_equal(view.argv[1], "-D");
    assert_string_equal(view.argv[2], "");
    assert_null(view.argv[3]);
    assert_string_equal(view.env[0], "LC_ALL=C");
    assert_null(view.env[1]);
}

static void test_a_status_comes_through_with_all_its_fields(void **state)
{
    struct guard_status want = {
        .guard_pid = 1,
        .server_pid = 2,
        .tree_count = 3,
        .phase = GUARD_PHASE_FENCING,
        .adopted = true,
        .memory_locked = true,
        .realtime = true,
        .rings = GUARD_RING_TIMER | GUARD_RING_CGROUP,
        .start_id = UINT64_MAX,
        .armed_epoch = 5,
        .deadline = {.fence_ms = 6, .end_ms = 7},
        .highest_epoch = 8,
        .ended_epoch = 9,
        .fenced_epoch = 10,
        .fenced_ms = 11,
        .gone_ms = 12,
        .exit_known = true,
        .exit_status = -13,
        .exit_ms = 14,
        .exit_start_id = 15,
        .watchdog_mode = GUARD_WATCHDOG_REQUIRED,
        .watchdog_state = GUARD_WATCHDOG_IS_FAILED,
        .watchdog_timeout_s = 16,
        .watchdog_text = "no such device",
    };
    uint8_t again[GUARD_BYTES_MAX];
    size_t size;

    (void)state;
    out = (struct guard_message){.type = GUARD_STATUS, .status = want};
    send_through();
    /* What was read is written as the same bytes, so every field came through. */
    size = guard_encode(&in, again);
    assert_memory_equal(again, bytes, size);
    assert_int_equal(in.status.exit_status, -13);
    assert_int_equal(in.status.exit_start_id, 15);
    assert_int_equal(in.status.watchdog_state, GUARD_WATCHDOG_IS_FAILED);
    assert_string_equal(in.status.watchdog_text, "no such device");
}

static void test_small_messages_come_through(void **state)
{
    (void)state;
    out = (struct guard_message){
        .type = GUARD_RENEW, .request = UINT32_MAX, .renew = {.epoch = 3, .deadline = {4, 5}}
    };
    send_through();
    assert_int_equal(in.renew.epoch, 3);
    assert_int_equal(in.renew.deadline.fence_ms, 4);
    assert_int_equal(in.renew.deadline.end_ms, 5);

    out = (struct guard_message){
        .type = GUARD_PROMOTED, .promoted = {.epoch = 6, .deadline = {7, 8}}
    };
    send_through();
    assert_int_equal(in.promoted.epoch, 6);
    assert_int_equal(in.promoted.deadline.end_ms, 8);

    out = (struct guard_message){.type = GUARD_STOP, .stop = {.mode = GUARD_STOP_KILL}};
    send_through();
    assert_int_equal(in.stop.mode, GUARD_STOP_KILL);

    out = (struct guard_message){
        .type = GUARD_WATCHDOG,
        .watchdog = {
                     .mode = GUARD_WATCHDOG_AUTOMATIC,
                     .driver = GUARD_WATCHDOG_TESTING,
                     .timeout_s = 5,
                     .device = "/dev/watchdog"}
    };
    send_through();
    assert_int_equal(in.watchdog.driver, GUARD_WATCHDOG_TESTING);
    assert_int_equal(in.watchdog.timeout_s, 5);
    assert_string_equal(in.watchdog.device, "/dev/watchdog");

    out = (struct guard_message){
        .type = GUARD_ADOPT, .adopt = {.pid = 77, .data_dir = "/d"}
    };
    send_through();
    assert_int_equal(in.adopt.pid, 77);
    assert_string_equal(in.adopt.data_dir, "/d");

    out = (struct guard_message){.type = GUARD_HELLO, .hello = {.pid = 78}};
    send_through();
    assert_int_equal(in.hello.pid, 78);

    out = (struct guard_message){.type = GUARD_ACK, .ack = {.request_type = GUARD_STOP}};
    send_through();
    assert_int_equal(in.ack.request_type, GUARD_STOP);

    out = (struct guard_message){
        .type = GUARD_REFUSED,
        .refused = {
                    .request_type = GUARD_START, .refusal = GUARD_REFUSAL_EPOCH_LOW, .text = "why"}
    };
    send_through();
    assert_int_equal(in.refused.request_type, GUARD_START);
    assert_int_equal(in.refused.refusal, GUARD_REFUSAL_EPOCH_LOW);
    assert_string_equal(in.refused.text, "why");

    out = (struct guard_message){.type = GUARD_SHUTDOWN, .request = 2};
    send_through();
}

static void test_every_beginning_of_a_message_asks_for_more(void **state)
{
    size_t size;

    (void)state;
    out = (struct guard_message){.type = GUARD_START};
    make_start(&out.start);
    size = guard_encode(&out, bytes);
    for (size_t part = 0; part < size; part++) {
        size_t used = 1;

        test_ok(guard_decode(bytes, part, &in, &used, &err), &err);
        assert_int_equal(used, 0);
    }
}

static void test_of_two_messages_the_first_is_taken(void **state)
{
    uint8_t both[256];
    size_t first;
    size_t used = 0;

    (void)state;
    out = (struct guard_message){.type = GUARD_SHUTDOWN, .request = 1};
    first = guard_encode(&out, bytes);
    memcpy(both, bytes, first);
    memcpy(both + first, bytes, first);
    test_ok(guard_decode(both, 2 * first, &in, &used, &err), &err);
    assert_int_equal(used, first);
}

/* Encodes `out`, changes one 32-bit number of it, and wants it refused. */
static void assert_damage_is_seen(size_t offset, uint32_t value)
{
    const size_t size = guard_encode(&out, bytes);
    size_t used = 0;

    put_u32(bytes + offset, value);
    assert_int_equal(guard_decode(bytes, size, &in, &used, &err), STATUS_INVALID);
    assert_int_equal(used, 0);
}

#define BODY GUARD_HEADER_BYTES

static void test_what_is_no_message_is_refused(void **state)
{
    (void)state;
    out = (struct guard_message){.type = GUARD_STOP};
    assert_damage_is_seen(0, 0x12345678);        /* Not our protocol. */
    assert_damage_is_seen(4, GUARD_VERSION + 1); /* Another version of it. */
    assert_damage_is_seen(16, UINT32_MAX);       /* Longer than any message. */
    assert_damage_is_seen(16, 3);                /* Shorter than its fields. */
    assert_damage_is_seen(BODY, GUARD_STOP_KILL + 1);

    out = (struct guard_message){.type = GUARD_ADOPT, .adopt = {.data_dir = "/data"}};
    assert_damage_is_seen(BODY + 4, 6);              /* A string that ends behind the body. */
    assert_damage_is_seen(BODY + 4, GUARD_PATH_MAX); /* One that does not fit. */
    assert_damage_is_seen(BODY + 8, 0);              /* One with NULs within. */

    out = (struct guard_message){.type = GUARD_START};
    make_start(&out.start);
    assert_damage_is_seen(BODY, GUARD_START_WRITABLE + 1);
    assert_damage_is_seen(BODY + 28, 2); /* A bool that is neither. */
    assert_damage_is_seen(BODY + 40, GUARD_GROUPS_MAX + 1);
    assert_damage_is_seen(BODY + 52, GUARD_ARGS_MAX + 1);
    assert_damage_is_seen(BODY + 52, 2); /* Fewer arguments than strings. */
    assert_damage_is_seen(BODY + 52, 0);
    assert_damage_is_seen(BODY + 56, GUARD_ENV_MAX + 1);
    assert_damage_is_seen(BODY + 60, GUARD_STRINGS_MAX + 1);
    assert_damage_is_seen(BODY + 64, 0); /* The program is no absolute path. */
}

static void test_a_longer_body_of_a_newer_side_is_read_as_far_as_known(void **state)
{
    size_t size;
    size_t used = 0;

    (void)state;
    out = (struct guard_message){.type = GUARD_STOP, .stop = {.mode = GUARD_STOP_FAST}};
    size = guard_encode(&out, bytes);
    put_u32(bytes + 16, (uint32_t)(size - GUARD_HEADER_BYTES) + 8);
    memset(bytes + size, 0xff, 8);
    test_ok(guard_decode(bytes, size + 8, &in, &used, &err), &err);
    assert_int_equal(used, size + 8);
    assert_int_equal(in.stop.mode, GUARD_STOP_FAST);
}

static void test_a_type_that_is_not_known_is_no_error(void **state)
{
    size_t size;
    size_t used = 0;

    (void)state;
    out = (struct guard_message){.type = GUARD_STOP, .request = 9};
    size = guard_encode(&out, bytes);
    put_u32(bytes + 8, 4711);
    test_ok(guard_decode(bytes, size, &in, &used, &err), &err);
    assert_int_equal(used, size);
    assert_int_equal(in.type, GUARD_NONE);
    assert_int_equal(in.request, 9);
}

static void test_what_does_not_fit_into_a_start_is_refused(void **state)
{
    static char big[GUARD_STRINGS_MAX];
    struct guard_start start = {0};

    (void)state;
    memset(big, 'x', sizeof big - 1);
    assert_false(guard_start_set(&start, "/p", big, ""));

    assert_true(guard_start_set(&start, "/p", "", ""));
    for (uint32_t i = 0; i < GUARD_ARGS_MAX; i++) {
        assert_true(guard_start_add_arg(&start, "a"));
    }
    assert_false(guard_start_add_arg(&start, "a"));
    for (uint32_t i = 0; i < GUARD_ENV_MAX; i++) {
        assert_true(guard_start_add_env(&start, "a=b"));
    }
    assert_false(guard_start_add_env(&start, "a=b"));
    assert_false(guard_start_add_env(&start, big));
}

/* Whatever one byte is changed to, the decoder takes it or refuses it, within its bounds. */
static void test_any_changed_byte_is_taken_or_refused(void **state)
{
    size_t size;

    (void)state;
    out = (struct guard_message){.type = GUARD_START};
    make_start(&out.start);
    size = guard_encode(&out, bytes);
    for (size_t at = 0; at < size; at++) {
        for (uint32_t value = 0; value < 256; value++) {
            const uint8_t before = bytes[at];
            struct guard_start_view view;
            size_t used = 0;

            bytes[at] = (uint8_t)value;
            if (guard_decode(bytes, size, &in, &used, &err) == STATUS_OK && used != 0 &&
                in.type == GUARD_START) {
                guard_start_view(&in.start, &view);
                assert_non_null(view.argv[0]);
            }
            assert_true(used <= size);
            bytes[at] = before;
        }
    }
}

static void test_every_code_has_words(void **state)
{
    (void)state;
    assert_string_equal(guard_type_name(GUARD_RENEW), "renew");
    assert_string_equal(guard_type_name(GUARD_NONE), "unknown");
    assert_string_equal(guard_refusal_text(GUARD_REFUSAL_NONE), "accepted");
    assert_string_equal(guard_phase_name(GUARD_PHASE_KILLING), "killing");
    for (int i = 0; i <= GUARD_REFUSAL_UNKNOWN; i++) {
        assert_true(strlen(guard_refusal_text((enum guard_refusal)i)) > 0);
    }
    for (int i = 0; i <= GUARD_PHASE_KILLING; i++) {
        assert_true(strlen(guard_phase_text((enum guard_phase)i)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_start_comes_through_with_all_its_strings),
        cmocka_unit_test(test_a_status_comes_through_with_all_its_fields),
        cmocka_unit_test(test_small_messages_come_through),
        cmocka_unit_test(test_every_beginning_of_a_message_asks_for_more),
        cmocka_unit_test(test_of_two_messages_the_first_is_taken),
        cmocka_unit_test(test_what_is_no_message_is_refused),
        cmocka_unit_test(test_a_longer_body_of_a_newer_side_is_read_as_far_as_known),
        cmocka_unit_test(test_a_type_that_is_not_known_is_no_error),
        cmocka_unit_test(test_what_does_not_fit_into_a_start_is_refused),
        cmocka_unit_test(test_any_changed_byte_is_taken_or_refused),
        cmocka_unit_test(test_every_code_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
