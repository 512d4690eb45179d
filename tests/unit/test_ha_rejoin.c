/*
 * Follow, rewind or clone: lines of grants as they come about, and nodes whose WAL lies on them,
 * before them and beside them.
 */
#include "tests/lib/test.h"

#include <string.h>

#include "ha/rejoin.h"

#define A 11
#define B 22
#define C 33

static struct cluster cluster;

static int set_up(void **state)
{
    (void)state;
    cluster_init(&cluster, 2000);
    return 0;
}

/* Appends a grant that continued `parent` at `start_lsn`; it served on `timeline`, 0: it did not.
 */
static void grant(
    uint64_t epoch, uint64_t node, uint64_t parent, uint64_t start_lsn, uint32_t timeline)
{
    const struct cluster_grant *before = cluster_grant_of(&cluster, parent);
    const struct pg_position start = {
        .timeline = before != NULL ? before->served_at.timeline : timeline, /* Not the new one. */
        .lsn = start_lsn,
    };

    cluster.last = (struct cluster_grant){
        .epoch = epoch,
        .node = node,
        .data_dir_id = node * 10,
        .parent = parent,
        .start = start,
        .served = timeline != 0,
        .served_at = {.timeline = timeline, .lsn = timeline == 0 ? 0 : start_lsn + 8},
    };
    cluster.history[cluster.history_count++] = cluster.last;
}

static enum rejoin decide(
    uint32_t primary_timeline, uint64_t marker, uint32_t timeline, uint64_t lsn)
{
    return rejoin_decide(
        &cluster, primary_timeline, &(struct pg_record){.marker_epoch = marker},
        (struct pg_position){.timeline = timeline, .lsn = lsn});
}

/* Of a node that was told to follow the grantee of `follow` on `timeline`, and ends there. */
static enum rejoin decide_on_the_way(
    uint32_t primary_timeline, uint64_t marker, uint64_t follow, uint32_t timeline, uint64_t lsn)
{
    const struct pg_record record = {
        .data_dir_id = C * 10,
        .marker_epoch = marker,
        .follow_epoch = follow,
        .follow_timeline = timeline,
        .follow_lsn = lsn + 1,
    };

    return rejoin_decide(
        &cluster, primary_timeline, &record,
        (struct pg_position){.timeline = timeline, .lsn = lsn});
}

static void test_who_has_the_newest_marker_follows(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    assert_int_equal(decide(1, 1, 1, 100), REJOIN_FOLLOW);
    assert_int_equal(decide(1, 1, 1, 999999), REJOIN_FOLLOW);
}

static void test_who_is_before_the_switch_point_follows_who_is_past_it_rewinds(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 2);
    assert_int_equal(decide(2, 1, 1, 499), REJOIN_FOLLOW);
    assert_int_equal(decide(2, 1, 1, 500), REJOIN_FOLLOW);
    assert_int_equal(decide(2, 1, 1, 501), REJOIN_REWIND);
}

static void test_the_earliest_switch_point_after_a_marker_counts(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 2);
    grant(3, C, 2, 900, 3);
    assert_int_equal(decide(3, 1, 1, 500), REJOIN_FOLLOW);
    assert_int_equal(decide(3, 1, 1, 501), REJOIN_REWIND);
    assert_int_equal(decide(3, 2, 2, 900), REJOIN_FOLLOW);
    assert_int_equal(decide(3, 2, 2, 901), REJOIN_REWIND);
}

/* The same files on the same timeline went on: whoever streamed from them is on the line. */
static void test_a_restart_in_place_leaves_no_line(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, A, 1, 500, 1);
    assert_int_equal(decide(1, 1, 1, 501), REJOIN_FOLLOW);
    grant(3, B, 2, 900, 2);
    assert_int_equal(decide(2, 1, 1, 900), REJOIN_FOLLOW);
    assert_int_equal(decide(2, 1, 1, 901), REJOIN_REWIND);
}

static void test_a_restart_on_another_directory_or_timeline_is_a_switch(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, A, 1, 500, 2);
    assert_int_equal(decide(2, 1, 1, 501), REJOIN_REWIND);
    (void)set_up(state);
    grant(1, A, 0, 100, 1);
    grant(2, A, 1, 500, 1);
    cluster.last.data_dir_id++;
    assert_int_equal(decide(1, 1, 1, 500), REJOIN_FOLLOW);
    assert_int_equal(decide(1, 1, 1, 501), REJOIN_CLONE);
}

/* Rule 9: B was promoted and died before anybody streamed; C took the same timeline. pg_rewind
 * goes by timelines and would see nothing amiss. */
static void test_an_isolated_promotion_on_the_same_timeline_is_cloned(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 0);
    grant(3, C, 1, 500, 2);
    assert_int_equal(decide(2, 2, 2, 700), REJOIN_CLONE);
    /* Also if it is shorter than the branch that was kept. */
    assert_int_equal(decide(2, 2, 2, 510), REJOIN_CLONE);
    /* On another timeline pg_rewind can tell. */
    assert_int_equal(decide(3, 2, 2, 700), REJOIN_REWIND);
    /* And who never saw that branch follows. */
    assert_int_equal(decide(2, 1, 1, 500), REJOIN_FOLLOW);
}

/* C was promoted and died before its first commit: its WAL is of epoch 1, its timeline is not. */
static void test_a_promotion_without_its_first_commit_is_off_the_line(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, C, 1, 500, 0);
    grant(3, B, 1, 500, 2);
    assert_int_equal(decide(2, 1, 2, 500), REJOIN_CLONE);
    assert_int_equal(decide(3, 1, 2, 500), REJOIN_REWIND);
    assert_int_equal(decide(2, 1, 1, 500), REJOIN_FOLLOW);
}

/* C was promoted, to timeline 2, and died before its first commit; then it was granted again, from
 * that timeline. Its grant says where its WAL ended, not where it left the line. */
static void test_a_grant_that_continues_a_promotion_without_a_commit_hides_the_switch(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, C, 1, 500, 0);
    grant(3, C, 1, 600, 3);
    assert_int_equal(decide(3, 1, 1, 550), REJOIN_FOLLOW); /* Had it begun on timeline 1. */
    cluster.last.start.timeline = 2;
    assert_int_equal(decide(3, 1, 1, 550), REJOIN_REWIND);
    assert_int_equal(decide(1, 1, 1, 550), REJOIN_CLONE);
    assert_int_equal(decide(3, 3, 3, 700), REJOIN_FOLLOW);
}

/* The same, and the epoch before wrote its marker and was never decided to serve: on which timeline
 * it did so only those with that marker can tell. */
static void test_a_switch_hidden_behind_an_epoch_that_never_served_is_seen(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 0); /* On timeline 2, with its marker. */
    grant(3, C, 2, 550, 0); /* On timeline 3, without. */
    grant(4, C, 2, 600, 4);
    cluster.last.start.timeline = 3;
    assert_int_equal(decide(4, 2, 2, 560), REJOIN_REWIND);
    assert_int_equal(decide(4, 2, 3, 600), REJOIN_FOLLOW);
    /* Or it is C that is left behind, and B went on from timeline 2 to a timeline 3 of its own. */
    cluster.last.start.timeline = 2;
    assert_int_equal(decide(3, 2, 2, 600), REJOIN_FOLLOW);
    assert_int_equal(decide(3, 2, 3, 560), REJOIN_CLONE);
}

static void test_a_hidden_switch_counts_past_restarts_in_place_and_not_past_a_known_one(
    void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, A, 1, 500, 1); /* In place. */
    grant(3, C, 2, 600, 3);
    cluster.last.start.timeline = 2;
    cluster.history[cluster.history_count - 1] = cluster.last;
    assert_int_equal(decide(3, 1, 1, 550), REJOIN_REWIND);
    (void)set_up(state);
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 2);
    grant(3, C, 2, 900, 4);
    cluster.last.start.timeline = 3;
    cluster.history[cluster.history_count - 1] = cluster.last;
    assert_int_equal(decide(4, 1, 1, 500), REJOIN_FOLLOW);
    assert_int_equal(decide(4, 2, 2, 850), REJOIN_REWIND);
}

/* A slow link: it restarts between the new timeline and the first commit on it. */
static void test_who_streams_and_has_not_got_the_first_commit_follows(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 2);
    assert_int_equal(decide_on_the_way(2, 1, 2, 2, 504), REJOIN_FOLLOW);
    grant(3, B, 2, 900, 2); /* Its source went on in place meanwhile. */
    assert_int_equal(decide_on_the_way(2, 1, 2, 2, 504), REJOIN_FOLLOW);
    assert_int_equal(decide_on_the_way(2, 1, 2, 3, 504), REJOIN_REWIND); /* Of no grant at all. */
}

static void test_who_streamed_from_a_branch_that_was_given_up_does_not_follow(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 2);
    grant(3, A, 1, 600, 2);
    assert_int_equal(decide_on_the_way(2, 1, 2, 2, 504), REJOIN_CLONE);
    assert_int_equal(decide_on_the_way(3, 1, 2, 2, 504), REJOIN_REWIND);
}

/* C was told to follow, got nothing, and was promoted itself: to a timeline of the same number. */
static void test_a_timeline_of_its_own_making_is_not_taken_for_the_one_it_followed(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 2);
    grant(3, C, 1, 500, 0);
    grant(4, B, 2, 900, 3);
    assert_int_equal(decide_on_the_way(3, 1, 2, 2, 504), REJOIN_REWIND);
    assert_int_equal(decide_on_the_way(2, 1, 2, 2, 504), REJOIN_CLONE);
}

static void test_a_followed_epoch_that_the_history_does_not_tell_any_more_proves_nothing(
    void **state)
{
    (void)state;
    grant(70, A, 69, 5000, 9);
    grant(71, B, 70, 6000, 10);
    assert_int_equal(decide_on_the_way(10, 50, 60, 9, 5500), REJOIN_CLONE);
}

static void test_a_branch_given_up_is_seen_past_later_grants(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, B, 1, 500, 0);
    grant(3, C, 1, 500, 2);
    grant(4, A, 3, 900, 3);
    grant(5, C, 4, 1200, 4);
    assert_int_equal(decide(4, 2, 2, 700), REJOIN_REWIND);
    assert_int_equal(decide(4, 3, 2, 900), REJOIN_FOLLOW);
    assert_int_equal(decide(4, 3, 2, 901), REJOIN_REWIND);
}

static void test_before_the_first_epoch_positions_decide(void **state)
{
    (void)state;
    grant(1, A, 0, 500, 1);
    assert_int_equal(decide(1, 0, 1, 500), REJOIN_FOLLOW);
    assert_int_equal(decide(1, 0, 1, 501), REJOIN_FOLLOW); /* It streamed from that very server. */
    assert_int_equal(decide(2, 0, 1, 501), REJOIN_CLONE);
    assert_int_equal(decide(2, 0, 1, 500), REJOIN_FOLLOW);
}

/* A cluster made around the data of another one: its first grant continued that one's epoch 3. */
static void test_a_walk_along_the_grants_ends_also_where_the_first_continued_a_later_number(
    void **state)
{
    (void)state;
    grant(1, A, 3, 100, 1);
    grant(2, B, 1, 200, 2);
    grant(3, C, 2, 300, 3);
    grant(4, A, 3, 400, 4);
    assert_int_equal(decide(4, 0, 1, 90), REJOIN_CLONE);
    assert_int_equal(decide(4, 3, 3, 400), REJOIN_FOLLOW);
    assert_int_equal(cluster_shared_lsn(&cluster, 4, 0), 100);
}

static void test_two_lines_are_one_up_to_where_the_first_of_them_left(void **state)
{
    (void)state;
    grant(1, A, 0, 100, 1);
    grant(2, A, 1, 500, 1);
    grant(3, B, 1, 300, 2); /* A branch: A went on to 500 before. */
    grant(4, C, 2, 700, 3);
    assert_true(cluster_shared_lsn(&cluster, 4, 4) == UINT64_MAX);
    assert_int_equal(cluster_shared_lsn(&cluster, 4, 2), 700);
    assert_int_equal(cluster_shared_lsn(&cluster, 4, 1), 500);
    assert_int_equal(cluster_shared_lsn(&cluster, 4, 3), 300);
    assert_int_equal(cluster_shared_lsn(&cluster, 3, 4), 300);
    assert_int_equal(cluster_shared_lsn(&cluster, 4, 0), 100);
    assert_int_equal(cluster_shared_lsn(&cluster, 4, 99), 100); /* Of no grant of ours. */
}

static void test_what_the_history_does_not_tell_any_more_is_cloned(void **state)
{
    (void)state;
    grant(70, A, 69, 5000, 9);
    grant(71, B, 70, 6000, 10);
    assert_int_equal(decide(10, 40, 5, 100), REJOIN_CLONE);
    assert_int_equal(decide(10, 69, 8, 5000), REJOIN_FOLLOW);
    assert_int_equal(decide(10, 69, 8, 5001), REJOIN_CLONE);
}

/* Every point on a line of many grants: follow up to the switch, never past it. */
static void test_a_long_line_holds_everywhere(void **state)
{
    const uint64_t nodes[] = {A, B, C};

    (void)state;
    for (uint64_t epoch = 1; epoch <= 40; epoch++) {
        grant(epoch, nodes[epoch % 3], epoch - 1, epoch * 100, (uint32_t)epoch);
    }
    for (uint64_t marker = 1; marker < 40; marker++) {
        const uint64_t left_at = (marker + 1) * 100;

        assert_int_equal(decide(40, marker, (uint32_t)marker, left_at), REJOIN_FOLLOW);
        assert_int_equal(decide(40, marker, (uint32_t)marker, left_at + 1), REJOIN_REWIND);
    }
}

static void test_each_decision_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(rejoin_name(REJOIN_FOLLOW), "follow");
    assert_string_equal(rejoin_name(REJOIN_REWIND), "rewind");
    assert_string_equal(rejoin_name(REJOIN_CLONE), "clone");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_has_the_newest_marker_follows),
        TEST(test_who_is_before_the_switch_point_follows_who_is_past_it_rewinds),
        TEST(test_the_earliest_switch_point_after_a_marker_counts),
        TEST(test_a_restart_in_place_leaves_no_line),
        TEST(test_a_restart_on_another_directory_or_timeline_is_a_switch),
        TEST(test_an_isolated_promotion_on_the_same_timeline_is_cloned),
        TEST(test_a_promotion_without_its_first_commit_is_off_the_line),
        TEST(test_a_grant_that_continues_a_promotion_without_a_commit_hides_the_switch),
        TEST(test_a_switch_hidden_behind_an_epoch_that_never_served_is_seen),
        TEST(test_a_hidden_switch_counts_past_restarts_in_place_and_not_past_a_known_one),
        TEST(test_who_streams_and_has_not_got_the_first_commit_follows),
        TEST(test_who_streamed_from_a_branch_that_was_given_up_does_not_follow),
        TEST(test_a_timeline_of_its_own_making_is_not_taken_for_the_one_it_followed),
        TEST(test_a_followed_epoch_that_the_history_does_not_tell_any_more_proves_nothing),
        TEST(test_a_branch_given_up_is_seen_past_later_grants),
        TEST(test_before_the_first_epoch_positions_decide),
        TEST(test_a_walk_along_the_grants_ends_also_where_the_first_continued_a_later_number),
        TEST(test_two_lines_are_one_up_to_where_the_first_of_them_left),
        TEST(test_what_the_history_does_not_tell_any_more_is_cloned),
        TEST(test_a_long_line_holds_everywhere),
        TEST(test_each_decision_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
