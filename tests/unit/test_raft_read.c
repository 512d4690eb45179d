#include "raft/raft_impl.h"
#include "tests/fake/raft_cluster.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

static struct raft_solo *fresh_leader(uint32_t voters)
{
    struct raft_solo *solo = raft_solo_create(voters, 0, 2, NULL, 0);

    raft_solo_elect(solo);
    return solo;
}

static enum raft_proposal_result ask(struct raft_solo *solo, uint64_t number)
{
    raft_solo_feed(solo, (struct raft_event){.kind = RAFT_EVENT_READ, .read_number = number});
    return solo->update.proposal;
}

static void answer_round(struct raft_solo *solo, uint32_t from, uint64_t round)
{
    struct raft_message message =
        raft_solo_message(solo, from, RAFT_APPEND_ANSWER, raft_term(solo->raft));

    message.accepted = true;
    message.match_index = 1;
    message.round = round;
    raft_solo_receive(solo, &message);
}

static void test_a_read_needs_answers_to_what_was_sent_after_it(void **state)
{
    struct raft_solo *solo = fresh_leader(3);
    uint64_t before;

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 2);
    before = solo->raft->round;
    assert_int_equal(ask(solo, 42), RAFT_PROPOSAL_TAKEN);
    assert_non_null(raft_solo_sent(solo, RAFT_APPEND, 1)); /* It does not wait for its time. */
    assert_int_equal(solo->update.read_count, 0);
    answer_round(solo, 1, before);
    answer_round(solo, 2, before);
    assert_int_equal(solo->update.read_count, 0);
    answer_round(solo, 2, before + 2);
    assert_int_equal(solo->update.read_count, 1);
    assert_int_equal(solo->update.read_numbers[0], 42);
    answer_round(solo, 1, before + 1);
    assert_int_equal(solo->update.read_count, 0); /* Once. */
    raft_solo_destroy(solo);
}

/* Before that the leader does not know how much is committed. */
static void test_a_read_waits_for_an_entry_of_the_own_term(void **state)
{
    struct raft_solo *solo = fresh_leader(3);

    (void)state;
    assert_int_equal(ask(solo, 1), RAFT_PROPOSAL_TAKEN);
    answer_round(solo, 1, solo->raft->round);
    assert_int_equal(solo->update.read_count, 0);
    raft_solo_acknowledge(solo, 1, 2);
    assert_int_equal(solo->update.read_count, 0);
    raft_solo_persisted(solo); /* Now it is committed and applied. */
    assert_int_equal(solo->update.read_count, 1);
    raft_solo_destroy(solo);
}

static void test_reads_fail_with_the_leadership(void **state)
{
    struct raft_solo *solo = fresh_leader(3);
    const struct raft_message answer = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, 9);

    (void)state;
    assert_int_equal(ask(solo, 1), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(ask(solo, 2), RAFT_PROPOSAL_TAKEN);
    raft_solo_receive(solo, &answer);
    assert_int_equal(solo->update.read_failed_count, 2);
    assert_int_equal(solo->update.read_failed_numbers[1], 2);
    assert_int_equal(ask(solo, 3), RAFT_PROPOSAL_NOT_LEADER);
    raft_solo_destroy(solo);
}

static void test_reads_are_bounded(void **state)
{
    struct raft_solo *solo = fresh_leader(3);

    (void)state;
    for (uint64_t i = 0; i < RAFT_READS_MAX; i++) {
        assert_int_equal(ask(solo, i), RAFT_PROPOSAL_TAKEN);
    }
    assert_int_equal(ask(solo, 99), RAFT_PROPOSAL_FULL);
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 2);
    assert_int_equal(solo->update.read_count, RAFT_READS_MAX);
    raft_solo_destroy(solo);
}

static void test_a_single_voter_answers_at_once(void **state)
{
    struct raft_solo *solo = fresh_leader(1);

    (void)state;
    raft_solo_persisted(solo);
    assert_int_equal(ask(solo, 7), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(solo->update.read_count, 1);
    raft_solo_destroy(solo);
}

/* A leader that was replaced without knowing it must not say what was decided long ago. */
static void test_a_leader_that_is_cut_off_answers_no_read(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 8);
    struct raft_cluster_node *leader;

    (void)state;
    raft_cluster_start_all(cluster);
    leader = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader);
    raft_cluster_isolate(cluster, leader->number, true);
    assert_int_equal(raft_cluster_read(leader).proposal, RAFT_PROPOSAL_TAKEN);
    raft_cluster_run(cluster, 3000);
    assert_int_equal(leader->reads_done, 0);
    assert_int_equal(leader->reads_failed, 1);
    raft_cluster_destroy(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_needs_answers_to_what_was_sent_after_it),
        cmocka_unit_test(test_a_read_waits_for_an_entry_of_the_own_term),
        cmocka_unit_test(test_reads_fail_with_the_leadership),
        cmocka_unit_test(test_reads_are_bounded),
        cmocka_unit_test(test_a_single_voter_answers_at_once),
        cmocka_unit_test(test_a_leader_that_is_cut_off_answers_no_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
