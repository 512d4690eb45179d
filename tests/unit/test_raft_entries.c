#include "raft/entries.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

static int set_up(void **state)
{
    struct entries *entries = malloc(sizeof *entries);

    entries_init(entries, 0, 0);
    *state = entries;
    return entries == NULL;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* An entry whose data are `size_bytes` times its index. */
static void append(struct entries *entries, uint64_t term, uint32_t size_bytes)
{
    static uint8_t bytes[RAFT_ENTRY_BYTES_MAX];
    const uint64_t index = entries_last(entries) + 1;

    memset(bytes, (int)(index & 0xff), size_bytes);
    entries_append(
        entries, &(struct raft_entry){
                     .term = term,
                     .index = index,
                     .kind = RAFT_ENTRY_DATA,
                     .size_bytes = size_bytes,
                     .data = bytes,
                 });
}

static void check(const struct entries *entries, uint64_t index, uint64_t term, uint32_t size_bytes)
{
    const struct raft_entry entry = entries_get(entries, index);

    assert_int_equal(entry.index, index);
    assert_int_equal(entry.term, term);
    assert_int_equal(entry.kind, RAFT_ENTRY_DATA);
    assert_int_equal(entry.size_bytes, size_bytes);
    for (uint32_t i = 0; i < size_bytes; i++) {
        assert_int_equal(entry.data[i], index & 0xff);
    }
}

static void test_an_empty_log_knows_what_is_in_front_of_it(void **state)
{
    struct entries *entries = *state;

    entries_init(entries, 7, 3);
    assert_int_equal(entries_first(entries), 8);
    assert_int_equal(entries_last(entries), 7);
    assert_int_equal(entries_term(entries, 7), 3);
    assert_int_equal(entries_term(entries, 6), 0);
    assert_int_equal(entries_term(entries, 8), 0);
    assert_false(entries_has(entries, 7));
    assert_false(entries_has(entries, 8));
}

static void test_entries_keep_their_data_when_both_ends_go(void **state)
{
    struct entries *entries = *state;

    for (uint32_t i = 1; i <= 20; i++) {
        append(entries, 1 + i / 10, i * 3);
    }
    entries_compact(entries, 6);
    entries_truncate(entries, 16);
    assert_int_equal(entries_first(entries), 6);
    assert_int_equal(entries_last(entries), 15);
    assert_int_equal(entries_term(entries, 5), 1);
    for (uint32_t i = 6; i <= 15; i++) {
        check(entries, i, 1 + i / 10, i * 3);
    }
    append(entries, 9, 100);
    check(entries, 16, 9, 100);
    entries_compact(entries, 17);
    assert_int_equal(entries_first(entries), 17);
    assert_int_equal(entries_term(entries, 16), 9);
    assert_int_equal(entries->used_bytes, 0);
}

static void test_what_is_counted_from_an_index_on(void **state)
{
    struct entries *entries = *state;

    for (uint32_t i = 1; i <= 5; i++) {
        append(entries, 1, 10);
    }
    entries_compact(entries, 3);
    assert_int_equal(entries_bytes_from(entries, 1), 30);
    assert_int_equal(entries_bytes_from(entries, 4), 20);
    assert_int_equal(entries_bytes_from(entries, 6), 0);
    assert_int_equal(entries_count_from(entries, 1), 3);
    assert_int_equal(entries_count_from(entries, 5), 1);
    assert_int_equal(entries_count_from(entries, 6), 0);
}

static void test_it_is_full_by_number_or_by_bytes(void **state)
{
    struct entries *entries = *state;

    while (entries_fits(entries, 0, 0, 0)) {
        append(entries, 1, 0);
    }
    assert_int_equal(entries->count, RAFT_LOG_ENTRIES_MAX);
    entries_init(entries, 0, 0);
    while (entries_fits(entries, RAFT_ENTRY_BYTES_MAX, 0, 1000)) {
        append(entries, 1, RAFT_ENTRY_BYTES_MAX);
    }
    assert_true(entries->used_bytes + RAFT_ENTRY_BYTES_MAX + 1000 > RAFT_LOG_BYTES_MAX);
    assert_true(entries->used_bytes + 1000 <= RAFT_LOG_BYTES_MAX);
    assert_false(entries_fits(entries, 0, RAFT_LOG_ENTRIES_MAX, 0));
}

/* Random changes, beside a plain array of terms. */
static void test_it_agrees_with_a_model(void **state)
{
    struct entries *entries = *state;
    uint64_t terms[600] = {0}; /* By index. */
    uint64_t first = 1;
    uint64_t last = 0;
    uint64_t term = 1;
    struct prng prng;

    prng_init(&prng, 5);
    for (uint32_t round = 0; round < 2000; round++) {
        switch (prng_between(&prng, 0, 5)) {
        case 0:
            if (last >= first) {
                const uint64_t from = prng_between(&prng, first, last);

                entries_truncate(entries, from);
                last = from - 1;
            }
            break;
        case 1:
            if (last >= first && prng_chance(&prng, 20)) {
                first = prng_between(&prng, first + 1, last + 1);
                entries_compact(entries, first);
            }
            break;
        default:
            if (last + 1 < ARRAY_SIZE(terms)) {
                terms[++last] = ++term;
                append(entries, term, (uint32_t)prng_between(&prng, 0, 50));
            }
            break;
        }
        assert_int_equal(entries_first(entries), first);
        assert_int_equal(entries_last(entries), last);
        for (uint64_t i = first; i <= last; i++) {
            check(entries, i, terms[i], entries_get(entries, i).size_bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_an_empty_log_knows_what_is_in_front_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_entries_keep_their_data_when_both_ends_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_counted_from_an_index_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_is_full_by_number_or_by_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_agrees_with_a_model, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
