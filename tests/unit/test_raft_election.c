#include "raft/config.h"
#include "tests/fake/raft_cluster.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

static struct raft_message vote(
    const struct raft_solo *solo, enum raft_message_kind kind, uint64_t term, uint64_t last_term,
    uint64_t last_index)
{
    struct raft_message message = raft_solo_message(solo, 1, kind, term);

    message.last_term = last_term;
    message.last_index = last_index;
    return message;
}

/* The answer to member 1, which has to be there. */
static bool granted(const struct raft_solo *solo, enum raft_message_kind kind)
{
    const struct raft_message *answer = raft_solo_sent(solo, kind, 1);

    assert_non_null(answer);
    return answer->accepted;
}

/* Three voters in term 2, the log ending in (2, 3); the position is checked. */
static struct raft_solo *follower(void)
{
    static const uint64_t terms[] = {2, 2};
    struct raft_solo *solo = raft_solo_create(3, 0, 2, terms, 2);

    raft_solo_check_position(solo);
    return solo;
}

static void hear_leader(struct raft_solo *solo)
{
    struct raft_message append = raft_solo_message(solo, 2, RAFT_APPEND, raft_term(solo->raft));

    append.prev_term = 2;
    append.prev_index = 3;
    raft_solo_receive(solo, &append);
    assert_int_equal(raft_leader(solo->raft), raft_solo_id(2));
}

static void test_a_lost_connection_to_the_leader_brings_the_election_near(void **state)
{
    struct raft_solo *solo = follower();

    (void)state;
    hear_leader(solo);
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PEER_LOST, .member_id = raft_solo_id(1)});
    raft_solo_tick(solo, 120);
    assert_null(raft_solo_sent(solo, RAFT_PREVOTE, 1)); /* Not the leader. */
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PEER_LOST, .member_id = raft_solo_id(2)});
    raft_solo_tick(solo, 120);
    assert_non_null(raft_solo_sent(solo, RAFT_PREVOTE, 1));
    assert_int_equal(raft_term(solo->raft), 2);
    raft_solo_destroy(solo);
}

static void test_a_prevote_is_given_when_the_connection_to_the_leader_is_lost(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message;

    (void)state;
    hear_leader(solo);
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PEER_LOST, .member_id = raft_solo_id(2)});
    message = vote(solo, RAFT_PREVOTE, 3, 2, 3);
    raft_solo_receive(solo, &message);
    assert_true(granted(solo, RAFT_PREVOTE_ANSWER));
    hear_leader(solo); /* It was the connection alone. */
    raft_solo_receive(solo, &message);
    assert_false(granted(solo, RAFT_PREVOTE_ANSWER));
    raft_solo_destroy(solo);
}

static void test_a_prevote_raises_no_term(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message *asked;

    (void)state;
    raft_solo_tick(solo, 1000);
    asked = raft_solo_sent(solo, RAFT_PREVOTE, 1);
    assert_non_null(asked);
    assert_int_equal(asked->term, 3);
    assert_int_equal(asked->last_index, 3);
    assert_int_equal(asked->last_term, 2);
    assert_false(asked->after_persist);
    assert_int_equal(raft_term(solo->raft), 2);
    assert_int_equal(solo->update.persist.number, 0);
    raft_solo_destroy(solo);
}

static void test_granting_a_prevote_changes_nothing(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message prevote = vote(solo, RAFT_PREVOTE, 3, 2, 3);

    (void)state;
    raft_solo_receive(solo, &prevote);
    assert_true(granted(solo, RAFT_PREVOTE_ANSWER));
    assert_int_equal(raft_solo_sent(solo, RAFT_PREVOTE_ANSWER, 1)->term, 2);
    assert_int_equal(raft_term(solo->raft), 2);
    assert_int_equal(solo->update.persist.number, 0);
    raft_solo_destroy(solo);
}

static void test_a_vote_leaves_behind_the_disk(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message asked = vote(solo, RAFT_VOTE, 3, 2, 3);

    (void)state;
    raft_solo_receive(solo, &asked);
    assert_true(granted(solo, RAFT_VOTE_ANSWER));
    assert_true(raft_solo_sent(solo, RAFT_VOTE_ANSWER, 1)->after_persist);
    assert_true(solo->update.persist.hard_changed);
    assert_int_equal(solo->update.persist.hard.term, 3);
    assert_int_equal(solo->update.persist.hard.voted_for, raft_solo_id(1));
    raft_solo_destroy(solo);
}

static void test_there_is_one_vote_in_a_term(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message asked = vote(solo, RAFT_VOTE, 3, 2, 3);

    (void)state;
    raft_solo_receive(solo, &asked);
    raft_solo_receive(solo, &asked);
    assert_true(granted(solo, RAFT_VOTE_ANSWER)); /* The same one, once more. */
    asked.from = raft_solo_id(2);
    asked.from_incarnation = raft_solo_incarnation(2);
    raft_solo_receive(solo, &asked);
    assert_false(raft_solo_sent(solo, RAFT_VOTE_ANSWER, 2)->accepted);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_REFUSED_VOTE_GIVEN));
    raft_solo_destroy(solo);
}

static void test_a_shorter_log_gets_no_vote(void **state)
{
    static const struct {
        uint64_t last_term;
        uint64_t last_index;
        bool want;
    } cases[] = {
        {2, 3, true },
        {2, 4, true },
        {3, 1, true },
        {2, 2, false},
        {1, 9, false},
        {0, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct raft_solo *solo = follower();
        const struct raft_message prevote =
            vote(solo, RAFT_PREVOTE, 4, cases[i].last_term, cases[i].last_index);
        const struct raft_message asked =
            vote(solo, RAFT_VOTE, 4, cases[i].last_term, cases[i].last_index);

        raft_solo_receive(solo, &prevote);
        assert_int_equal(granted(solo, RAFT_PREVOTE_ANSWER), cases[i].want);
        raft_solo_receive(solo, &asked);
        assert_int_equal(granted(solo, RAFT_VOTE_ANSWER), cases[i].want);
        assert_int_equal(raft_term(solo->raft), 4); /* The term is taken all the same. */
        raft_solo_destroy(solo);
    }
}

static void test_an_old_term_gets_no_vote(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message prevote = vote(solo, RAFT_PREVOTE, 2, 2, 3);
    const struct raft_message asked = vote(solo, RAFT_VOTE, 1, 2, 3);

    (void)state;
    raft_solo_receive(solo, &prevote);
    assert_false(granted(solo, RAFT_PREVOTE_ANSWER));
    raft_solo_receive(solo, &asked);
    assert_false(granted(solo, RAFT_VOTE_ANSWER));
    assert_int_equal(raft_solo_sent(solo, RAFT_VOTE_ANSWER, 1)->term, 2);
    raft_solo_destroy(solo);
}

/* Rolled back by just the vote, the store would look the same and the vote be given twice. */
static void test_no_vote_is_given_in_the_term_that_was_loaded(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message same = vote(solo, RAFT_VOTE, 2, 2, 3);
    const struct raft_message next = vote(solo, RAFT_VOTE, 3, 2, 3);

    (void)state;
    raft_solo_receive(solo, &same);
    assert_false(granted(solo, RAFT_VOTE_ANSWER));
    raft_solo_receive(solo, &next);
    assert_true(granted(solo, RAFT_VOTE_ANSWER));
    raft_solo_destroy(solo);
}

static void test_no_vote_while_a_leader_is_heard(void **state)
{
    struct raft_solo *solo = follower();
    const struct raft_message prevote = vote(solo, RAFT_PREVOTE, 3, 2, 3);
    const struct raft_message asked = vote(solo, RAFT_VOTE, 3, 2, 3);

    (void)state;
    hear_leader(solo);
    raft_solo_tick(solo, 499);
    raft_solo_receive(solo, &prevote);
    assert_false(granted(solo, RAFT_PREVOTE_ANSWER));
    raft_solo_receive(solo, &asked);
    assert_false(granted(solo, RAFT_VOTE_ANSWER));
    assert_true(raft_solo_noted(solo, RAFT_NOTE_REFUSED_VOTE_LEADER_HEARD));
    assert_int_equal(raft_term(solo->raft), 2);
    assert_int_equal(raft_leader(solo->raft), raft_solo_id(2));
    raft_solo_tick(solo, 1);
    raft_solo_receive(solo, &prevote);
    assert_true(granted(solo, RAFT_PREVOTE_ANSWER));
    raft_solo_destroy(solo);
}

static void test_a_hand_over_is_no_disturbance(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message asked = vote(solo, RAFT_VOTE, 3, 2, 3);

    (void)state;
    hear_leader(solo);
    asked.transfer = true;
    raft_solo_receive(solo, &asked);
    assert_true(granted(solo, RAFT_VOTE_ANSWER));
    raft_solo_destroy(solo);
}

static void test_a_leader_gives_no_vote_and_keeps_its_term(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message asked;

    (void)state;
    raft_solo_elect(solo);
    raft_solo_persisted(solo);
    asked = vote(solo, RAFT_VOTE, 9, 9, 99);
    raft_solo_receive(solo, &asked);
    assert_false(granted(solo, RAFT_VOTE_ANSWER));
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER);
    asked.transfer = true;
    raft_solo_receive(solo, &asked);
    assert_true(granted(solo, RAFT_VOTE_ANSWER));
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    raft_solo_destroy(solo);
}

static void test_nothing_is_asked_or_granted_before_the_position_is_checked(void **state)
{
    static const uint64_t terms[] = {2, 2};
    struct raft_solo *solo = raft_solo_create(3, 0, 2, terms, 2);
    const struct raft_message prevote = vote(solo, RAFT_PREVOTE, 3, 2, 3);
    struct raft_message asked = vote(solo, RAFT_VOTE, 3, 2, 3);
    struct raft_message timeout_now = raft_solo_message(solo, 2, RAFT_TIMEOUT_NOW, 2);

    (void)state;
    raft_solo_tick(solo, 5000);
    assert_null(raft_solo_sent(solo, RAFT_PREVOTE, 1));
    raft_solo_receive(solo, &prevote);
    assert_false(granted(solo, RAFT_PREVOTE_ANSWER));
    asked.transfer = true;
    raft_solo_receive(solo, &asked);
    assert_false(granted(solo, RAFT_VOTE_ANSWER));
    assert_true(raft_solo_noted(solo, RAFT_NOTE_REFUSED_NOT_CHECKED));
    assert_int_equal(raft_term(solo->raft), 2);
    hear_leader(solo); /* It may be repaired meanwhile. */
    raft_solo_receive(solo, &timeout_now);
    assert_null(raft_solo_sent(solo, RAFT_VOTE, 1));
    raft_solo_destroy(solo);
}

static void test_the_own_vote_counts_when_it_is_on_disk(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message answer;

    (void)state;
    raft_solo_tick(solo, 1000);
    answer = raft_solo_message(solo, 1, RAFT_PREVOTE_ANSWER, 2);
    answer.round = 3;
    answer.accepted = true;
    raft_solo_receive(solo, &answer);
    assert_int_equal(raft_term(solo->raft), 3);
    assert_true(raft_solo_sent(solo, RAFT_VOTE, 2)->after_persist);

    answer = raft_solo_message(solo, 1, RAFT_VOTE_ANSWER, 3);
    answer.accepted = true;
    raft_solo_receive(solo, &answer);
    assert_int_equal(raft_role(solo->raft), RAFT_CANDIDATE);
    raft_solo_persisted(solo);
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER);
    raft_solo_destroy(solo);
}

static void test_answers_of_another_round_do_not_count(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message answer = raft_solo_message(solo, 1, RAFT_PREVOTE_ANSWER, 2);

    (void)state;
    raft_solo_tick(solo, 1000);
    answer.accepted = true;
    for (uint64_t round = 1; round <= 5; round++) {
        answer.round = round == 3 ? 6 : round;
        raft_solo_receive(solo, &answer);
        assert_int_equal(raft_term(solo->raft), 2);
    }
    raft_solo_destroy(solo);
}

static void test_strangers_and_old_incarnations_have_no_vote(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message answer = raft_solo_message(solo, 1, RAFT_PREVOTE_ANSWER, 2);

    (void)state;
    raft_solo_tick(solo, 1000);
    answer.accepted = true;
    answer.round = 3;
    answer.from_incarnation++;
    raft_solo_receive(solo, &answer);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_WRONG_INCARNATION));
    answer = raft_solo_message(solo, 7, RAFT_PREVOTE_ANSWER, 2);
    answer.accepted = true;
    answer.round = 3;
    raft_solo_receive(solo, &answer);
    answer = raft_solo_message(solo, 1, RAFT_PREVOTE_ANSWER, 2);
    answer.accepted = true;
    answer.round = 3;
    answer.to_incarnation++; /* To who we were before. */
    raft_solo_receive(solo, &answer);
    answer.to_incarnation--;
    answer.cluster_id++;
    raft_solo_receive(solo, &answer);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_WRONG_CLUSTER));
    assert_int_equal(raft_term(solo->raft), 2);
    raft_solo_destroy(solo);
}

static void test_a_refusal_teaches_the_higher_term(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message answer = raft_solo_message(solo, 1, RAFT_PREVOTE_ANSWER, 8);

    (void)state;
    raft_solo_receive(solo, &answer);
    assert_int_equal(raft_term(solo->raft), 2); /* We did not ask. */
    raft_solo_tick(solo, 1000);
    raft_solo_receive(solo, &answer);
    assert_int_equal(raft_term(solo->raft), 8);
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    raft_solo_destroy(solo);
}

static void test_a_majority_of_refusals_ends_the_attempt(void **state)
{
    struct raft_solo *solo = follower();

    (void)state;
    raft_solo_tick(solo, 1000);
    for (uint32_t i = 1; i <= 2; i++) {
        struct raft_message answer = raft_solo_message(solo, i, RAFT_PREVOTE_ANSWER, 2);

        answer.round = 3;
        raft_solo_receive(solo, &answer);
    }
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    raft_solo_destroy(solo);
}

static void test_a_learner_never_campaigns(void **state)
{
    struct raft_config config = {.term = 1, .index = 1, .count = 2};
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
    struct raft_entry entry = {.term = 1, .index = 1, .kind = RAFT_ENTRY_CONFIG, .data = bytes};
    const struct raft_loaded loaded = {
        .hard = {.term = 2, .cluster_id = SOLO_CLUSTER, .incarnation = raft_solo_incarnation(0)},
        .entry_count = 1,
        .entries = &entry,
    };
    struct raft_solo *solo;
    struct raft_message message;

    (void)state;
    config.members[0] = raft_solo_member(1, RAFT_MEMBER_VOTER);
    config.members[1] = raft_solo_member(0, RAFT_MEMBER_LEARNER);
    entry.size_bytes = raft_config_encode(&config, bytes);
    solo = raft_solo_create_loaded(&loaded, 1);
    message = raft_solo_message(solo, 1, RAFT_HELLO_ANSWER, 2);
    raft_solo_receive(solo, &message);
    assert_true(raft_position_checked(solo->raft));
    assert_false(raft_is_voter(solo->raft));
    raft_solo_tick(solo, 5000);
    assert_null(raft_solo_sent(solo, RAFT_PREVOTE, 1));

    /* But it answers: it may have been promoted and not know of it yet. */
    message = vote(solo, RAFT_VOTE, 3, 2, 9);
    raft_solo_receive(solo, &message);
    assert_true(granted(solo, RAFT_VOTE_ANSWER));
    message = vote(solo, RAFT_VOTE, 4, 2, 9);
    message.to_incarnation++;
    raft_solo_receive(solo, &message);
    assert_null(raft_solo_sent(solo, RAFT_VOTE_ANSWER, 1));
    raft_solo_destroy(solo);
}

static void test_who_is_told_to_campaigns_at_once(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message message = raft_solo_message(solo, 2, RAFT_TIMEOUT_NOW, 2);

    (void)state;
    hear_leader(solo);
    raft_solo_receive(solo, &message);
    assert_non_null(raft_solo_sent(solo, RAFT_VOTE, 1));
    assert_true(raft_solo_sent(solo, RAFT_VOTE, 1)->transfer);
    assert_int_equal(raft_term(solo->raft), 3);
    raft_solo_destroy(solo);

    solo = follower();
    hear_leader(solo);
    message = raft_solo_message(solo, 1, RAFT_TIMEOUT_NOW, 2); /* Not by the leader. */
    raft_solo_receive(solo, &message);
    assert_null(raft_solo_sent(solo, RAFT_VOTE, 1));
    raft_solo_destroy(solo);
}

static void test_no_new_term_while_the_disk_has_not_the_last(void **state)
{
    struct raft_solo *solo = follower();
    struct raft_message answer;

    (void)state;
    raft_solo_tick(solo, 1000);
    answer = raft_solo_message(solo, 1, RAFT_PREVOTE_ANSWER, 2);
    answer.round = 3;
    answer.accepted = true;
    raft_solo_receive(solo, &answer);
    assert_int_equal(raft_term(solo->raft), 3);
    for (uint32_t i = 0; i < 20; i++) {
        raft_solo_tick(solo, 1000);
    }
    assert_int_equal(raft_term(solo->raft), 3);
    assert_int_equal(raft_role(solo->raft), RAFT_CANDIDATE);
    raft_solo_destroy(solo);
}

static void test_a_single_voter_elects_itself(void **state)
{
    struct raft_solo *solo = raft_solo_create(1, 0, 4, NULL, 0);

    (void)state;
    assert_true(raft_position_checked(solo->raft));
    raft_solo_tick(solo, 1000);
    raft_solo_persisted(solo);
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER);
    assert_int_equal(raft_term(solo->raft), 5);
    assert_int_equal(raft_commit_index(solo->raft), 0);
    raft_solo_persisted(solo);
    assert_int_equal(raft_commit_index(solo->raft), 2);
    raft_solo_destroy(solo);
}

/* A node that is cut off does not depose a leader when it comes back. */
static void test_a_returning_node_does_not_disturb(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 1);
    struct raft_cluster_node *leader;
    uint64_t term;

    (void)state;
    raft_cluster_start_all(cluster);
    leader = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader);
    term = raft_term(leader->raft);
    raft_cluster_isolate(cluster, (leader->number + 1) % 3, true);
    raft_cluster_run(cluster, 10000);
    raft_cluster_heal(cluster);
    raft_cluster_run(cluster, 3000);
    assert_ptr_equal(raft_cluster_leader(cluster), leader);
    assert_int_equal(raft_term(leader->raft), term);
    raft_cluster_destroy(cluster);
}

/* A node whose one link to the leader is cut, in both directions, does not either. */
static void test_a_node_that_alone_misses_the_leader_does_not_disturb(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 2);
    struct raft_cluster_node *leader;
    uint32_t other;

    (void)state;
    raft_cluster_start_all(cluster);
    leader = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader);
    other = (leader->number + 1) % 3;
    raft_cluster_block(cluster, leader->number, other, true);
    raft_cluster_block(cluster, other, leader->number, true);
    raft_cluster_run(cluster, 20000);
    assert_ptr_equal(raft_cluster_leader(cluster), leader);
    raft_cluster_destroy(cluster);
}

/* A leader that hears nobody, though it is heard, gives way to one that is in touch. */
static void test_a_leader_that_hears_nobody_is_replaced(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 3);
    struct raft_cluster_node *leader;

    (void)state;
    raft_cluster_start_all(cluster);
    leader = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader);
    for (uint32_t i = 0; i < 3; i++) {
        if (i != leader->number) {
            raft_cluster_block(cluster, i, leader->number, true);
        }
    }
    raft_cluster_run(cluster, 5000);
    assert_true(leader->notes[RAFT_NOTE_LOST_QUORUM] > 0);
    assert_non_null(raft_cluster_leader(cluster));
    assert_ptr_not_equal(raft_cluster_leader(cluster), leader);
    raft_cluster_destroy(cluster);
}

/* Of five that are listed three have formed: two of them are no majority of five. */
static void test_the_first_leader_has_a_majority_of_all_that_are_listed(void **state)
{
    struct raft_config config = {.term = 1, .index = 1, .count = 3};
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
    struct raft_entry entry = {.term = 1, .index = 1, .kind = RAFT_ENTRY_CONFIG, .data = bytes};
    const struct raft_loaded loaded = {
        .hard = {.term = 1, .cluster_id = SOLO_CLUSTER, .incarnation = raft_solo_incarnation(0)},
        .entry_count = 1,
        .entries = &entry,
    };
    struct raft_solo *solo;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        config.members[i] = raft_solo_member(i, RAFT_MEMBER_VOTER);
    }
    entry.size_bytes = raft_config_encode(&config, bytes);
    solo = raft_solo_create_loaded(&loaded, 4);
    raft_solo_check_position(solo);
    raft_solo_tick(solo, 1000);
    for (uint32_t i = 1; i <= 2; i++) {
        struct raft_message answer = raft_solo_message(solo, i, RAFT_PREVOTE_ANSWER, 1);

        assert_int_equal(raft_term(solo->raft), 1);
        answer.round = 2;
        answer.accepted = true;
        raft_solo_receive(solo, &answer);
    }
    assert_int_equal(raft_term(solo->raft), 2);
    raft_solo_destroy(solo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lost_connection_to_the_leader_brings_the_election_near),
        cmocka_unit_test(test_a_prevote_is_given_when_the_connection_to_the_leader_is_lost),
        cmocka_unit_test(test_a_prevote_raises_no_term),
        cmocka_unit_test(test_granting_a_prevote_changes_nothing),
        cmocka_unit_test(test_a_vote_leaves_behind_the_disk),
        cmocka_unit_test(test_there_is_one_vote_in_a_term),
        cmocka_unit_test(test_a_shorter_log_gets_no_vote),
        cmocka_unit_test(test_an_old_term_gets_no_vote),
        cmocka_unit_test(test_no_vote_is_given_in_the_term_that_was_loaded),
        cmocka_unit_test(test_no_vote_while_a_leader_is_heard),
        cmocka_unit_test(test_a_hand_over_is_no_disturbance),
        cmocka_unit_test(test_a_leader_gives_no_vote_and_keeps_its_term),
        cmocka_unit_test(test_nothing_is_asked_or_granted_before_the_position_is_checked),
        cmocka_unit_test(test_the_own_vote_counts_when_it_is_on_disk),
        cmocka_unit_test(test_answers_of_another_round_do_not_count),
        cmocka_unit_test(test_strangers_and_old_incarnations_have_no_vote),
        cmocka_unit_test(test_a_refusal_teaches_the_higher_term),
        cmocka_unit_test(test_a_majority_of_refusals_ends_the_attempt),
        cmocka_unit_test(test_a_learner_never_campaigns),
        cmocka_unit_test(test_who_is_told_to_campaigns_at_once),
        cmocka_unit_test(test_no_new_term_while_the_disk_has_not_the_last),
        cmocka_unit_test(test_a_single_voter_elects_itself),
        cmocka_unit_test(test_a_returning_node_does_not_disturb),
        cmocka_unit_test(test_a_node_that_alone_misses_the_leader_does_not_disturb),
        cmocka_unit_test(test_a_leader_that_hears_nobody_is_replaced),
        cmocka_unit_test(test_the_first_leader_has_a_majority_of_all_that_are_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
