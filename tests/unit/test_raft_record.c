#include "raft/record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "tests/lib/test.h"

static const uint8_t blob[] = "some bytes";

static struct record_head a_head(void)
{
    return (struct record_head){
        .hard = {.term = 5, .voted_for = 6, .cluster_id = 7, .incarnation = 8},
        .first_index = 10,
        .last_index = 12,
        .snapshot_index = 11,
        .first_chain = 13,
        .last_chain = 14,
    };
}

static struct raft_entry an_entry(void)
{
    return (struct raft_entry){
        .term = 3,
        .index = 4,
        .kind = RAFT_ENTRY_DATA,
        .size_bytes = sizeof blob,
        .data = blob,
    };
}

static struct raft_snapshot a_snapshot(void)
{
    struct raft_snapshot snapshot = {
        .index = 9,
        .term = 2,
        .config = {.term = 1, .index = 3, .count = 1},
        .size_bytes = sizeof blob,
        .data = blob,
    };
    struct raft_member *member = &snapshot.config.members[0];

    *member = (struct raft_member){.id = 1, .incarnation = 2, .kind = RAFT_MEMBER_VOTER};
    text_copy_cut(member->address, sizeof member->address, "a:1");
    return snapshot;
}

static void test_the_head_is_kept_and_guarded(void **state)
{
    const struct record_head in = a_head();
    uint8_t bytes[RECORD_HEAD_BYTES];
    struct record_head out;

    (void)state;
    record_put_head(&in, bytes);
    assert_true(record_get_head(bytes, sizeof bytes, &out));
    assert_memory_equal(&in, &out, sizeof in);
    assert_false(record_get_head(bytes, sizeof bytes - 1, &out));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x10;
        assert_false(record_get_head(bytes, sizeof bytes, &out));
        bytes[i] ^= 0x10;
    }
}

static void test_a_head_of_another_version_is_no_damaged_one(void **state)
{
    const struct record_head in = a_head();
    uint8_t bytes[RECORD_HEAD_BYTES + 8] = {0};
    struct record_head out;

    (void)state;
    record_put_head(&in, bytes);
    assert_int_equal(record_version(bytes, RECORD_HEAD_BYTES), RECORD_VERSION);
    put_u32(&bytes[4], RECORD_VERSION + 1);
    assert_int_equal(record_version(bytes, RECORD_HEAD_BYTES), 0);
    put_u32(bytes, crc32c(0, &bytes[4], sizeof bytes - 4));
    assert_int_equal(record_version(bytes, sizeof bytes), RECORD_VERSION + 1);
    assert_false(record_get_head(bytes, sizeof bytes, &out));
    assert_int_equal(record_version(bytes, 7), 0);
}

static void test_a_head_that_contradicts_itself_is_refused(void **state)
{
    uint8_t bytes[RECORD_HEAD_BYTES];
    struct record_head out;

    (void)state;
    for (int which = 0; which < 4; which++) {
        struct record_head head = a_head();

        if (which == 0) {
            head.first_index = 0;
        } else if (which == 1) {
            head.last_index = head.first_index - 2;
        } else if (which == 2) {
            head.hard.incarnation = 0;
        } else {
            head.last_index = head.first_index - 1; /* Empty, but with two ends. */
        }
        record_put_head(&head, bytes);
        assert_false(record_get_head(bytes, sizeof bytes, &out));
    }
}

static void test_an_entry_is_kept_and_guarded(void **state)
{
    const struct raft_entry in = an_entry();
    uint8_t bytes[RECORD_ENTRY_BYTES + sizeof blob];
    struct record_entry out;

    (void)state;
    record_put_entry(&in, 99, bytes);
    assert_true(record_get_entry(bytes, sizeof bytes, &out));
    assert_int_equal(out.chain, 99);
    assert_int_equal(out.entry.term, in.term);
    assert_int_equal(out.entry.index, in.index);
    assert_int_equal(out.entry.kind, in.kind);
    assert_int_equal(out.entry.size_bytes, sizeof blob);
    assert_memory_equal(out.entry.data, blob, sizeof blob);
    for (size_t cut = 0; cut < sizeof bytes; cut++) {
        assert_false(record_get_entry(bytes, cut, &out));
        bytes[cut] ^= 0x01;
        assert_false(record_get_entry(bytes, sizeof bytes, &out));
        bytes[cut] ^= 0x01;
    }
}

static void test_a_snapshot_is_kept_and_guarded(void **state)
{
    const struct raft_snapshot in = a_snapshot();
    uint8_t bytes[1024];
    const size_t size = record_snapshot_bytes(&in);
    struct raft_snapshot out;

    (void)state;
    assert_true(size <= sizeof bytes);
    record_put_snapshot(&in, bytes);
    assert_true(record_get_snapshot(bytes, size, &out));
    assert_int_equal(out.index, in.index);
    assert_int_equal(out.term, in.term);
    assert_memory_equal(&out.config, &in.config, sizeof in.config);
    assert_int_equal(out.size_bytes, sizeof blob);
    assert_memory_equal(out.data, blob, sizeof blob);
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(record_get_snapshot(bytes, cut, &out));
        bytes[cut] ^= 0x80;
        assert_false(record_get_snapshot(bytes, size, &out));
        bytes[cut] ^= 0x80;
    }
}

static void test_the_chain_depends_on_all_of_an_entry_and_on_what_is_before(void **state)
{
    static const uint8_t other[] = "SOME bytes";
    const struct raft_entry entry = an_entry();
    const uint64_t chain = record_chain(1, &entry);
    struct raft_entry changed = entry;

    (void)state;
    assert_true(record_chain(1, &entry) == chain);
    assert_true(record_chain(2, &entry) != chain);
    changed.term++;
    assert_true(record_chain(1, &changed) != chain);
    changed = entry;
    changed.index++;
    assert_true(record_chain(1, &changed) != chain);
    changed = entry;
    changed.kind = RAFT_ENTRY_NOOP;
    assert_true(record_chain(1, &changed) != chain);
    changed = entry;
    changed.data = other;
    assert_true(record_chain(1, &changed) != chain);
    changed = entry;
    changed.size_bytes--;
    assert_true(record_chain(1, &changed) != chain);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_head_is_kept_and_guarded),
        cmocka_unit_test(test_a_head_of_another_version_is_no_damaged_one),
        cmocka_unit_test(test_a_head_that_contradicts_itself_is_refused),
        cmocka_unit_test(test_an_entry_is_kept_and_guarded),
        cmocka_unit_test(test_a_snapshot_is_kept_and_guarded),
        cmocka_unit_test(test_the_chain_depends_on_all_of_an_entry_and_on_what_is_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
