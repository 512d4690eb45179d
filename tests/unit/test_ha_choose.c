/* Which node gets the next grant, and why another one does not. */
#include "tests/lib/test.h"

#include "ha/choose.h"

#define A 11
#define B 22
#define C 33

static struct choose_input input;

/* Three nodes that all could: A was primary, at epoch 5, lsn 1000. */
static int set_up(void **state)
{
    const uint64_t nodes[] = {A, B, C};

    (void)state;
    input = (struct choose_input){
        .count = 3,
        .last_marker = 5,
        .last_lsn = 1000,
        .maximum_lag_bytes = 100,
        .old_primary_last = true,
    };
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        input.candidates[i] = (struct choose_candidate){
            .node = nodes[i],
            .pledged = true,
            .has_data = true,
            .old_primary = nodes[i] == A,
            .marker_epoch = 5,
            .position = {.timeline = 3, .lsn = 1000},
            .shared_lsn = UINT64_MAX,
            .priority = 1,
        };
    }
    return 0;
}

static struct choose_candidate *candidate(uint64_t node)
{
    for (uint32_t i = 0; i < input.count; i++) {
        if (input.candidates[i].node == node) {
            return &input.candidates[i];
        }
    }
    fail_msg("no such candidate");
    return NULL;
}

static void test_among_equals_the_old_primary_comes_last(void **state)
{
    (void)state;
    assert_int_equal(choose_primary(&input), B);
    candidate(A)->priority = 100;
    assert_int_equal(choose_primary(&input), B);
    input.old_primary_last = false;
    assert_int_equal(choose_primary(&input), A);
}

static void test_more_wal_goes_before_priority(void **state)
{
    (void)state;
    candidate(B)->priority = 100;
    candidate(C)->position.lsn = 1001;
    assert_int_equal(choose_primary(&input), C);
    candidate(A)->position.lsn = 1002;
    assert_int_equal(choose_primary(&input), A);
}

static void test_priority_decides_between_equal_standbys(void **state)
{
    (void)state;
    candidate(C)->priority = 2;
    assert_int_equal(choose_primary(&input), C);
    candidate(B)->priority = 3;
    assert_int_equal(choose_primary(&input), B);
}

/* Rule 9: the longer branch of an isolated promotion does not win by its length. */
static void test_a_newer_marker_goes_before_more_wal_and_a_higher_timeline(void **state)
{
    (void)state;
    candidate(C)->marker_epoch = 4;
    candidate(C)->position = (struct pg_position){.timeline = 9, .lsn = 999999};
    input.maximum_lag_bytes = UINT64_MAX;
    assert_int_equal(choose_primary(&input), B);
    assert_int_equal(candidate(C)->why_not, CHOOSE_ELIGIBLE);
}

static void test_a_node_that_lacks_too_much_is_left_out(void **state)
{
    (void)state;
    candidate(A)->pledged = false;
    candidate(B)->position.lsn = 900;
    candidate(C)->position.lsn = 899;
    assert_int_equal(choose_primary(&input), B);
    assert_int_equal(candidate(C)->why_not, CHOOSE_TOO_FAR_BEHIND);
    candidate(B)->position.lsn = 899;
    assert_int_equal(choose_primary(&input), 0);
    assert_int_equal(candidate(B)->why_not, CHOOSE_TOO_FAR_BEHIND);
}

static void test_lag_is_counted_from_the_newest_position_known(void **state)
{
    (void)state;
    candidate(B)->position.lsn = 400;
    assert_int_equal(choose_lag(&input, candidate(B)), 600);
    candidate(B)->position.lsn = 1400;
    assert_int_equal(choose_lag(&input, candidate(B)), 0);
    /* Without the last primary's first commit something is missing, whatever the numbers say. */
    candidate(B)->marker_epoch = 4;
    assert_int_equal(choose_lag(&input, candidate(B)), 1);
    candidate(B)->position.lsn = 400;
    assert_int_equal(choose_lag(&input, candidate(B)), 600);
    candidate(B)->marker_epoch = 6;
    assert_int_equal(choose_lag(&input, candidate(B)), 0);
}

static void test_what_lies_past_the_place_where_the_lines_part_counts_for_nothing(void **state)
{
    (void)state;
    candidate(B)->position.lsn = 1400;
    candidate(B)->shared_lsn = 300;
    candidate(B)->marker_epoch = 4;
    assert_int_equal(choose_lag(&input, candidate(B)), 700);
    candidate(B)->position.lsn = 200;
    assert_int_equal(choose_lag(&input, candidate(B)), 800);
    /* Of the same epoch there is one line only. */
    candidate(B)->marker_epoch = 5;
    assert_int_equal(choose_lag(&input, candidate(B)), 800);
}

static void test_what_was_asked_for_wins_whatever_it_lacks(void **state)
{
    (void)state;
    input.requested = C;
    candidate(C)->position.lsn = 1;
    assert_int_equal(choose_primary(&input), C);
    /* Also when it is looked at first. */
    input.requested = A;
    candidate(A)->position.lsn = 1;
    assert_int_equal(choose_primary(&input), A);
}

static void test_what_was_asked_for_and_cannot_is_passed_over(void **state)
{
    (void)state;
    input.requested = C;
    candidate(C)->has_data = false;
    assert_int_equal(choose_primary(&input), B);
}

static void test_each_reason_leaves_a_node_out(void **state)
{
    static const struct {
        size_t offset;
        bool value;
        enum choose_why_not why_not;
    } cases[] = {
        {offsetof(struct choose_candidate, pledged),         false, CHOOSE_NO_PLEDGE   },
        {offsetof(struct choose_candidate, has_data),        false, CHOOSE_NO_DATA     },
        {offsetof(struct choose_candidate, nofailover),      true,  CHOOSE_NOFAILOVER  },
        {offsetof(struct choose_candidate, watchdog_failed), true,  CHOOSE_WATCHDOG    },
        {offsetof(struct choose_candidate, failed),          true,  CHOOSE_FAILED      },
        {offsetof(struct choose_candidate, leaving),         true,  CHOOSE_LEAVING     },
        {offsetof(struct choose_candidate, wrong_system),    true,  CHOOSE_WRONG_SYSTEM},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        (void)set_up(state);
        input.requested = B; /* Nor does asking help. */
        *(bool *)((char *)candidate(B) + cases[i].offset) = cases[i].value;
        assert_int_equal(choose_primary(&input), C);
        assert_int_equal(candidate(B)->why_not, cases[i].why_not);
        assert_true(choose_why_not_text(cases[i].why_not)[0] != '\0');
    }
}

static void test_an_old_primary_tagged_nofailover_may_go_on(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < input.count; i++) {
        input.candidates[i].nofailover = true;
    }
    assert_int_equal(choose_primary(&input), A);
}

static void test_nobody_is_chosen_of_nobody(void **state)
{
    (void)state;
    input.count = 0;
    assert_int_equal(choose_primary(&input), 0);
}

static void test_the_order_of_the_candidates_does_not_matter(void **state)
{
    (void)state;
    candidate(C)->priority = 2;
    for (uint32_t i = 0; i < input.count; i++) {
        const struct choose_candidate first = input.candidates[0];

        assert_int_equal(choose_primary(&input), C);
        input.candidates[0] = input.candidates[1];
        input.candidates[1] = input.candidates[2];
        input.candidates[2] = first;
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_among_equals_the_old_primary_comes_last),
        TEST(test_more_wal_goes_before_priority),
        TEST(test_priority_decides_between_equal_standbys),
        TEST(test_a_newer_marker_goes_before_more_wal_and_a_higher_timeline),
        TEST(test_a_node_that_lacks_too_much_is_left_out),
        TEST(test_lag_is_counted_from_the_newest_position_known),
        TEST(test_what_lies_past_the_place_where_the_lines_part_counts_for_nothing),
        TEST(test_what_was_asked_for_wins_whatever_it_lacks),
        TEST(test_what_was_asked_for_and_cannot_is_passed_over),
        TEST(test_each_reason_leaves_a_node_out),
        TEST(test_an_old_primary_tagged_nofailover_may_go_on),
        TEST(test_nobody_is_chosen_of_nobody),
        TEST(test_the_order_of_the_candidates_does_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
