#include "raft/quorum.h"

#include "tests/lib/test.h"

static void test_any_two_majorities_share_a_member(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= RAFT_VOTERS_MAX; count++) {
        assert_true(2 * quorum_size(count) > count);
        assert_true(2 * (quorum_size(count) - 1) <= count);
    }
}

static void test_what_a_majority_has_is_the_median(void **state)
{
    static const struct {
        uint64_t reached[RAFT_VOTERS_MAX];
        uint32_t voter_count;
        uint64_t want;
    } cases[] = {
        {{7},                         1, 7},
        {{7, 5},                      2, 5},
        {{0, 9, 9},                   3, 9},
        {{1, 2, 3, 4},                4, 2},
        {{5, 1, 4, 2, 3},             5, 3},
        {{9, 8, 7, 6, 5, 4, 3, 2, 1}, 9, 5},
        {{0},                         0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(quorum_reached(cases[i].reached, cases[i].voter_count), cases[i].want);
    }
}

/* The definition, word for word: some value that a majority has reached, and none higher. */
static uint64_t reached_model(const uint64_t reached[], uint32_t voter_count)
{
    for (uint64_t value = 4; value > 0; value--) {
        uint32_t have = 0;

        for (uint32_t i = 0; i < voter_count; i++) {
            have += reached[i] >= value;
        }
        if (have * 2 > voter_count) {
            return value;
        }
    }
    return 0;
}

static void test_reached_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint32_t voter_count = 1; voter_count <= 5; voter_count++) {
        for (uint32_t code = 0; code < 3125; code++) { /* 5^5: each voter has 0 to 4. */
            uint64_t reached[5];
            uint32_t rest = code;

            for (uint32_t i = 0; i < 5; i++) {
                reached[i] = rest % 5;
                rest /= 5;
            }
            assert_int_equal(
                quorum_reached(reached, voter_count), reached_model(reached, voter_count));
        }
    }
}

/* Decided exactly when whatever the silent voters say makes no difference. */
static void test_tally_agrees_with_what_can_still_happen(void **state)
{
    (void)state;
    for (uint32_t voter_count = 1; voter_count <= 5; voter_count++) {
        for (uint32_t needed = quorum_size(voter_count); needed <= voter_count; needed++) {
            for (uint32_t code = 0; code < 243; code++) { /* 3^5 */
                enum quorum_vote votes[5];
                uint32_t granted = 0;
                uint32_t pending = 0;
                uint32_t rest = code;
                enum quorum_result want = QUORUM_PENDING;

                for (uint32_t i = 0; i < 5; i++) {
                    votes[i] = (enum quorum_vote)(rest % 3);
                    rest /= 3;
                }
                for (uint32_t i = 0; i < voter_count; i++) {
                    granted += votes[i] == QUORUM_VOTE_GRANTED;
                    pending += votes[i] == QUORUM_VOTE_PENDING;
                }
                if (granted >= needed) {
                    want = QUORUM_WON;
                } else if (granted + pending < needed) {
                    want = QUORUM_LOST;
                }
                assert_int_equal(quorum_tally(votes, voter_count, needed), want);
            }
        }
    }
}

static void test_no_voters_never_win(void **state)
{
    const enum quorum_vote none[1] = {QUORUM_VOTE_GRANTED};

    (void)state;
    assert_int_equal(quorum_tally(none, 0, 1), QUORUM_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_two_majorities_share_a_member),
        cmocka_unit_test(test_what_a_majority_has_is_the_median),
        cmocka_unit_test(test_reached_agrees_with_the_model),
        cmocka_unit_test(test_tally_agrees_with_what_can_still_happen),
        cmocka_unit_test(test_no_voters_never_win),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
