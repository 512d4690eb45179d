#include "raft/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/text.h"
#include "tests/lib/test.h"

#define BYTES_MAX 65536

static const uint8_t blob[] = "bytes of an entry, or of a snapshot";

static void set_snapshot(struct raft_snapshot *snapshot)
{
    *snapshot = (struct raft_snapshot){
        .index = 40,
        .term = 6,
        .config = {.term = 5, .index = 30, .count = 2},
        .size_bytes = sizeof blob,
        .data = blob,
    };
    for (uint32_t i = 0; i < 2; i++) {
        struct raft_member *member = &snapshot->config.members[i];

        *member = (struct raft_member){.id = 90 + i, .incarnation = 9, .kind = RAFT_MEMBER_VOTER};
        text_copy_cut(member->address, sizeof member->address, "db1.example:2380");
    }
}

/* Every field has a value of its own, so that two that are mixed up are noticed. */
static void set_all(struct raft_message *message)
{
    *message = (struct raft_message){
        .kind = RAFT_APPEND,
        .from = UINT64_MAX,
        .to = 2,
        .cluster_id = 3,
        .from_incarnation = 4,
        .to_incarnation = UINT64_MAX - 1,
        .term = 1006,
        .last_index = 7,
        .last_term = 8,
        .commit_index = 9,
        .transfer = true,
        .accepted = true,
        .empty = true,
        .address = "10.1.2.3:5010",
        .seen_term = 10,
        .seen_index = WIRE_NUMBER_MAX,
        .seen_count = 3,
        .seen_indexes = {11,          12, 13},
        .seen_ids = {14,           15,            UINT64_MAX},
        .formed_count = 2,
        .formed_ids = {17, 18},
        .prev_index = 19,
        .prev_term = 20,
        .round = 21,
        .match_index = 22,
        .hint_index = 23,
        .hint_term = 24,
        .entry_count = 3,
    };
    for (uint32_t i = 0; i < 3; i++) {
        message->entries[i] = (struct raft_entry){
            .term = 30 + i,
            .index = 20 + i,
            .kind = (enum raft_entry_kind)i,
            .size_bytes = i * 10,
            .data = blob,
        };
    }
    set_snapshot(&message->snapshot);
}

static void assert_snapshots_equal(const struct raft_snapshot *a, const struct raft_snapshot *b)
{
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->term, b->term);
    assert_int_equal(a->size_bytes, b->size_bytes);
    if (a->size_bytes > 0) {
        assert_memory_equal(a->data, b->data, a->size_bytes);
    }
    assert_memory_equal(&a->config, &b->config, sizeof a->config);
}

/* All but the borrowed pointers can be compared as bytes: both began as zero. */
static void assert_messages_equal(const struct raft_message *a, const struct raft_message *b)
{
    struct raft_message left = *a;
    struct raft_message right = *b;

    assert_snapshots_equal(&a->snapshot, &b->snapshot);
    for (uint32_t i = 0; i < a->entry_count && i < b->entry_count; i++) {
        assert_int_equal(a->entries[i].size_bytes, b->entries[i].size_bytes);
        if (a->entries[i].size_bytes > 0) {
            assert_memory_equal(a->entries[i].data, b->entries[i].data, a->entries[i].size_bytes);
        }
        left.entries[i].data = NULL;
        right.entries[i].data = NULL;
    }
    left.snapshot.data = NULL;
    right.snapshot.data = NULL;
    assert_int_equal(left.kind, right.kind);
    assert_memory_equal(&left.from, &right.from, sizeof left - offsetof(struct raft_message, from));
}

static void test_all_fields_come_out_as_they_went_in(void **state)
{
    static uint8_t bytes[BYTES_MAX];
    static struct raft_message in;
    static struct raft_message out;
    struct err err;
    size_t size;

    (void)state;
    set_all(&in);
    assert_true(wire_bound_bytes(&in) <= sizeof bytes);
    size = wire_encode(&in, bytes, wire_bound_bytes(&in));
    test_ok(wire_decode(bytes, size, &out, &err), &err);
    assert_messages_equal(&in, &out);
    assert_true(out.entries[1].data > bytes); /* Borrowed from the input. */
    assert_true(out.entries[1].data < bytes + size);
}

static void test_the_emptiest_message_of_each_kind_is_small(void **state)
{
    static struct raft_message out;
    struct err err;

    (void)state;
    for (int kind = 0; kind < RAFT_MESSAGE_KINDS; kind++) {
        static struct raft_message in;
        uint8_t bytes[BYTES_MAX];
        size_t size;

        in = (struct raft_message){.kind = (enum raft_message_kind)kind, .from = 1, .term = 9};
        if (kind == RAFT_SNAPSHOT) {
            set_snapshot(&in.snapshot);
        }
        size = wire_encode(&in, bytes, sizeof bytes);
        test_ok(wire_decode(bytes, size, &out, &err), &err);
        assert_messages_equal(&in, &out);
        if (kind != RAFT_SNAPSHOT) {
            assert_true(size <= 8);
        }
    }
}

/* The largest batch and the largest snapshot there can be. */
static void test_the_largest_message_fits_its_bound(void **state)
{
    static struct raft_message in;
    static struct raft_message out;
    uint8_t *data = calloc(1, RAFT_SNAPSHOT_BYTES_MAX);
    uint8_t *bytes;
    size_t bound;
    size_t size;
    struct err err;

    (void)state;
    assert_non_null(data);
    set_all(&in);
    in.term = WIRE_NUMBER_MAX;
    in.prev_index = WIRE_NUMBER_MAX - 100;
    in.prev_term = WIRE_NUMBER_MAX;
    in.seen_count = RAFT_MEMBERS_MAX;
    in.formed_count = RAFT_MEMBERS_MAX;
    memset(in.address, 'x', sizeof in.address - 1);
    in.entry_count = RAFT_BATCH_MAX;
    for (uint32_t i = 0; i < RAFT_BATCH_MAX; i++) {
        in.entries[i] = (struct raft_entry){
            .term = WIRE_NUMBER_MAX,
            .index = in.prev_index + 1 + i,
            .kind = RAFT_ENTRY_DATA,
            .size_bytes = i == 0 ? RAFT_ENTRY_BYTES_MAX : 70000,
            .data = data,
        };
    }
    in.snapshot.term = WIRE_NUMBER_MAX;
    in.snapshot.size_bytes = RAFT_SNAPSHOT_BYTES_MAX;
    in.snapshot.data = data;
    bound = wire_bound_bytes(&in);
    bytes = malloc(bound);
    assert_non_null(bytes);
    size = wire_encode(&in, bytes, bound);
    test_ok(wire_decode(bytes, size, &out, &err), &err);
    assert_messages_equal(&in, &out);
    free(bytes);
    free(data);
}

static void test_no_beginning_of_a_message_is_a_message(void **state)
{
    static struct raft_message message;
    static uint8_t bytes[BYTES_MAX];
    struct err err;
    size_t size;

    (void)state;
    set_all(&message);
    size = wire_encode(&message, bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1); /* So that a sanitizer sees what is read behind it. */

        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        assert_int_equal(wire_decode(copy, cut, &message, &err), STATUS_INVALID);
        assert_true(strlen(err.text) > 0);
        free(copy);
    }
}

/* One field of a good message made bad, each by a sentence of the contract. */
static void test_what_breaks_the_contract_is_refused(void **state)
{
    static struct raft_message good;
    static uint8_t bytes[BYTES_MAX];
    struct err err;

    (void)state;
    for (int which = 0; which < 10; which++) {
        static struct raft_message out;
        size_t size;

        set_all(&good);
        switch (which) {
        case 0:
            good.from = 0;
            break;
        case 1:
            good.term = WIRE_NUMBER_MAX + 1;
            break;
        case 2:
            good.entries[1].index++;
            break;
        case 3:
            good.entries[2].term = 1;
            break;
        case 4:
            good.entries[2].term = good.term + 1;
            break;
        case 5:
            text_copy_cut(good.address, sizeof good.address, "a host:1");
            break;
        case 6:
            good.kind = RAFT_SNAPSHOT;
            good.snapshot.index = 0;
            break;
        case 7:
            good.kind = RAFT_SNAPSHOT;
            good.snapshot.config.index = good.snapshot.index + 1;
            break;
        case 8:
            good.snapshot.config.count = 0;
            break;
        default:
            good.prev_index++;
            break;
        }
        size = wire_encode(&good, bytes, sizeof bytes);
        if (wire_decode(bytes, size, &out, &err) != STATUS_INVALID) {
            fail_msg("case %d is accepted", which);
        }
    }
}

static void test_bytes_that_lie_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"",                                             0 },
        {"\xc0",                                         1 }, /* Not a map. */
        {"\x80",                                         1 }, /* Neither kind nor sender. */
        {"\x81\x01\x00",                                 3 }, /* No sender. */
        {"\x82\x01\x0b\x02\x01",                         5 }, /* A kind that does not exist. */
        {"\x82\x01\x00\x02\xff",                         5 }, /* A negative id. */
        {"\x82\x01\x00\x02\xa1"
         "1",                                   6 }, /* A number as text. */
        {"\x83\x01\x00\x02\x01\x0b\x01",                 7 }, /* A flag as number. */
        {"\x83\x01\x00\x02\x01\x1a\xdd\xff\xff\xff\xff", 11}, /* Entries without end. */
        {"\x83\x01\x00\x02\x01\x1a\x91\x90",             8 }, /* An entry of nothing. */
        {"\x83\x01\x00\x02\x01\x12\x91\x05",             8 }, /* Ids without indexes. */
        {"\x83\x01\x00\x02\x01\x0e\xc4\x01\x78",         9 }, /* An address as bytes. */
    };
    static struct raft_message message;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (wire_decode((const uint8_t *)cases[i].bytes, cases[i].size, &message, &err) !=
            STATUS_INVALID) {
            fail_msg("case %zu is accepted", i);
        }
    }
}

static void test_a_newer_node_may_say_more(void **state)
{
    /* Kind 0, from 5, key 99 with an array, a key that is text, an entry with a fifth part. */
    static const uint8_t bytes[] = {0x86, 0x01, 0x06, 0x02, 0x05, 0x63, 0x92, 0x01,
                                    0xc0, 0xa1, 'k',  0xc3, 0x07, 0x01, 0x1a, 0x91,
                                    0x95, 0x01, 0x01, 0x02, 0xc4, 0x01, 'd',  0xc3};
    static struct raft_message message;
    struct err err;

    (void)state;
    test_ok(wire_decode(bytes, sizeof bytes, &message, &err), &err);
    assert_int_equal(message.kind, RAFT_APPEND);
    assert_int_equal(message.from, 5);
    assert_int_equal(message.entry_count, 1);
    assert_int_equal(message.entries[0].size_bytes, 1);
    assert_int_equal(message.entries[0].data[0], 'd');
}

/* Damaged messages end in a refusal or in a message that keeps the contract. */
static void test_damaged_messages_do_no_harm(void **state)
{
    static struct raft_message message;
    static uint8_t good[BYTES_MAX];
    static uint8_t bytes[BYTES_MAX];
    static uint8_t again[BYTES_MAX];
    struct prng prng;
    struct err err;
    size_t size;

    (void)state;
    prng_init(&prng, 3);
    set_all(&message);
    size = wire_encode(&message, good, sizeof good);
    for (int round = 0; round < 20000; round++) {
        const uint64_t changes = prng_between(&prng, 1, 4);

        memcpy(bytes, good, size);
        for (uint64_t i = 0; i < changes; i++) {
            bytes[prng_between(&prng, 0, size - 1)] = (uint8_t)prng_next(&prng);
        }
        if (wire_decode(bytes, size, &message, &err) == STATUS_OK) {
            assert_true(message.entry_count <= RAFT_BATCH_MAX);
            assert_true(message.seen_count <= RAFT_MEMBERS_MAX);
            assert_true(message.snapshot.config.count <= RAFT_MEMBERS_MAX);
            assert_true(wire_encode(&message, again, sizeof again) > 0);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields_come_out_as_they_went_in),
        cmocka_unit_test(test_the_emptiest_message_of_each_kind_is_small),
        cmocka_unit_test(test_the_largest_message_fits_its_bound),
        cmocka_unit_test(test_no_beginning_of_a_message_is_a_message),
        cmocka_unit_test(test_what_breaks_the_contract_is_refused),
        cmocka_unit_test(test_bytes_that_lie_are_refused),
        cmocka_unit_test(test_a_newer_node_may_say_more),
        cmocka_unit_test(test_damaged_messages_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
