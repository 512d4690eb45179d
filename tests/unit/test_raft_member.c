#include <string.h>

#include "raft/raft_impl.h"
#include "tests/fake/raft_cluster.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

/* A leader whose first entry is not committed yet. */
static struct raft_solo *fresh_leader(uint32_t voters, uint32_t learners)
{
    struct raft_solo *solo = raft_solo_create(voters, learners, 2, NULL, 0);

    raft_solo_elect(solo);
    raft_solo_persisted(solo);
    return solo;
}

static void commit_all(struct raft_solo *solo)
{
    const uint64_t last_index = raft_last_index(solo->raft);

    raft_solo_persisted(solo);
    for (uint32_t i = 1; i < solo->config.count; i++) {
        if (raft_config_find(raft_config(solo->raft), raft_solo_id(i)) != NULL) {
            raft_solo_acknowledge(solo, i, last_index);
        }
    }
    assert_int_equal(raft_commit_index(solo->raft), last_index);
}

static struct raft_solo *leader(uint32_t voters, uint32_t learners)
{
    struct raft_solo *solo = raft_solo_create(voters, learners, 2, NULL, 0);

    raft_solo_elect(solo);
    commit_all(solo);
    assert_true(raft_leader_ready(solo->raft));
    return solo;
}

static enum raft_proposal_result add(struct raft_solo *solo, struct raft_member member)
{
    raft_solo_feed(solo, (struct raft_event){.kind = RAFT_EVENT_ADD_LEARNER, .member = member});
    return solo->update.proposal;
}

static enum raft_proposal_result request(
    struct raft_solo *solo, enum raft_event_kind kind, uint32_t i)
{
    raft_solo_feed(solo, (struct raft_event){.kind = kind, .member_id = raft_solo_id(i)});
    return solo->update.proposal;
}

static enum raft_member_kind kind_of(const struct raft_solo *solo, uint32_t i)
{
    const struct raft_member *member = raft_config_find(raft_config(solo->raft), raft_solo_id(i));

    assert_non_null(member);
    return member->kind;
}

/* Without this rule two changes made by two leaders may have no voter in common. */
static void test_no_change_before_an_entry_of_the_own_term_is_committed(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 1, 2, NULL, 0);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 2);

    (void)state;
    /* The membership is committed, and known to be. */
    message.prev_term = 1;
    message.prev_index = 1;
    message.commit_index = 1;
    raft_solo_receive(solo, &message);
    raft_solo_elect(solo);
    raft_solo_persisted(solo);
    assert_int_equal(raft_config_committed(solo->raft)->index, 1);
    assert_int_equal(add(solo, raft_solo_member(7, RAFT_MEMBER_LEARNER)), RAFT_PROPOSAL_BUSY);
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 1), RAFT_PROPOSAL_BUSY);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 3), RAFT_PROPOSAL_BUSY);
    raft_solo_acknowledge(solo, 1, 2);
    assert_int_equal(add(solo, raft_solo_member(7, RAFT_MEMBER_LEARNER)), RAFT_PROPOSAL_TAKEN);
    raft_solo_destroy(solo);
}

static void test_changes_are_made_one_at_a_time(void **state)
{
    struct raft_solo *solo = leader(3, 0);

    (void)state;
    assert_int_equal(add(solo, raft_solo_member(7, RAFT_MEMBER_VOTER)), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(raft_config(solo->raft)->count, 4); /* In effect at once. */
    assert_int_equal(kind_of(solo, 7), RAFT_MEMBER_LEARNER);
    assert_int_equal(raft_config_committed(solo->raft)->count, 3);
    assert_non_null(raft_solo_sent(solo, RAFT_APPEND, 7));
    assert_int_equal(
        raft_solo_sent(solo, RAFT_APPEND, 7)->to_incarnation, raft_solo_incarnation(7));
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 1), RAFT_PROPOSAL_BUSY);
    commit_all(solo);
    assert_int_equal(raft_config_committed(solo->raft)->count, 4);
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 1), RAFT_PROPOSAL_TAKEN);
    raft_solo_destroy(solo);
}

static void test_only_a_leader_changes_the_membership(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);

    (void)state;
    assert_int_equal(add(solo, raft_solo_member(7, RAFT_MEMBER_LEARNER)), RAFT_PROPOSAL_NOT_LEADER);
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 1), RAFT_PROPOSAL_NOT_LEADER);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 1), RAFT_PROPOSAL_NOT_LEADER);
    raft_solo_destroy(solo);
}

static void test_a_new_incarnation_takes_the_place_of_the_voter_it_was(void **state)
{
    struct raft_solo *solo = leader(3, 0);
    struct raft_member member = raft_solo_member(1, RAFT_MEMBER_LEARNER);
    struct raft_message answer;

    (void)state;
    assert_int_equal(add(solo, member), RAFT_PROPOSAL_INVALID); /* It is one already. */
    member.incarnation = 5555;
    assert_int_equal(add(solo, member), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(raft_config(solo->raft)->count, 3);
    assert_int_equal(raft_config_voter_count(raft_config(solo->raft)), 2);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 1)->to_incarnation, 5555);

    /* What the old one had is not what the new one has. */
    raft_solo_acknowledge(solo, 1, raft_last_index(solo->raft));
    raft_solo_persisted(solo);
    assert_true(raft_config(solo->raft)->index > raft_commit_index(solo->raft));
    raft_solo_acknowledge(solo, 2, raft_last_index(solo->raft));
    assert_int_equal(raft_config(solo->raft)->index, raft_commit_index(solo->raft));
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 1), RAFT_PROPOSAL_INVALID);

    answer = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, raft_term(solo->raft));
    answer.from_incarnation = 5555;
    answer.accepted = true;
    answer.match_index = raft_last_index(solo->raft);
    answer.round = solo->raft->round;
    raft_solo_receive(solo, &answer);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 1), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(kind_of(solo, 1), RAFT_MEMBER_VOTER);
    raft_solo_destroy(solo);
}

static void test_what_is_no_member_is_not_added(void **state)
{
    struct raft_solo *solo = leader(3, 0);
    struct raft_member cases[5];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cases[i] = raft_solo_member(7, RAFT_MEMBER_LEARNER);
    }
    cases[0].id++; /* Not that of its address. */
    cases[1].incarnation = 0;
    cases[2].id = 0;
    memset(cases[3].address, 'a', sizeof cases[3].address);
    cases[4] = raft_solo_member(0, RAFT_MEMBER_LEARNER);
    cases[4].incarnation++; /* Ourselves. */
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(add(solo, cases[i]), RAFT_PROPOSAL_INVALID);
    }
    raft_solo_destroy(solo);
}

static void test_who_has_not_caught_up_or_is_silent_is_not_promoted(void **state)
{
    struct raft_solo *solo = fresh_leader(3, 1);

    (void)state;
    raft_solo_acknowledge(solo, 1, 2);
    raft_solo_acknowledge(solo, 2, 2);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 3), RAFT_PROPOSAL_INVALID);
    raft_solo_acknowledge(solo, 3, 1);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 3), RAFT_PROPOSAL_INVALID);
    raft_solo_acknowledge(solo, 3, 2);
    raft_solo_tick(solo, 600);
    raft_solo_acknowledge(solo, 1, 2);
    raft_solo_tick(solo, 600);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 3), RAFT_PROPOSAL_INVALID);
    raft_solo_acknowledge(solo, 3, 2);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 9), RAFT_PROPOSAL_INVALID);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 1), RAFT_PROPOSAL_INVALID);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, 3), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(raft_config_voter_count(raft_config(solo->raft)), 4);
    raft_solo_destroy(solo);
}

static void test_there_are_bounds(void **state)
{
    struct raft_solo *solo = leader(RAFT_VOTERS_MAX, RAFT_MEMBERS_MAX - RAFT_VOTERS_MAX);

    (void)state;
    assert_int_equal(add(solo, raft_solo_member(20, RAFT_MEMBER_LEARNER)), RAFT_PROPOSAL_INVALID);
    assert_int_equal(request(solo, RAFT_EVENT_PROMOTE, RAFT_VOTERS_MAX), RAFT_PROPOSAL_INVALID);
    raft_solo_destroy(solo);
}

static void test_the_last_voter_stays(void **state)
{
    struct raft_solo *solo = leader(1, 1);

    (void)state;
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 0), RAFT_PROPOSAL_INVALID);
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 9), RAFT_PROPOSAL_INVALID);
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 1), RAFT_PROPOSAL_TAKEN);
    raft_solo_destroy(solo);
}

static void test_who_removes_itself_leads_until_that_is_decided(void **state)
{
    struct raft_solo *solo = leader(3, 0);

    (void)state;
    assert_int_equal(request(solo, RAFT_EVENT_REMOVE, 0), RAFT_PROPOSAL_TAKEN);
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, raft_last_index(solo->raft));
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER); /* It does not count itself. */
    raft_solo_acknowledge(solo, 2, raft_last_index(solo->raft));
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    assert_int_equal(raft_commit_index(solo->raft), raft_config(solo->raft)->index);
    assert_int_equal(
        raft_solo_sent(solo, RAFT_APPEND, 1)->commit_index, raft_commit_index(solo->raft));
    assert_true(
        raft_solo_sent(solo, RAFT_TIMEOUT_NOW, 1) != NULL ||
        raft_solo_sent(solo, RAFT_TIMEOUT_NOW, 2) != NULL);
    raft_solo_tick(solo, 5000);
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER); /* And never campaigns. */
    raft_solo_destroy(solo);
}

static void test_a_wiped_member_comes_back_as_a_learner_and_a_voter(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 6);
    struct raft_cluster_node *leader_node;
    struct raft_cluster_node *node;
    uint64_t old_incarnation;

    (void)state;
    cluster->admits = true;
    raft_cluster_start_all(cluster);
    leader_node = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader_node);
    node = &cluster->nodes[(leader_node->number + 1) % 3];
    raft_cluster_run(cluster, 1000);
    old_incarnation = raft_incarnation(node->raft);
    raft_cluster_crash(node);
    raft_cluster_wipe(node);
    raft_cluster_start(node);
    raft_cluster_run(cluster, 3000);
    assert_true(raft_is_voter(node->raft));
    assert_int_not_equal(raft_incarnation(node->raft), old_incarnation);
    assert_int_equal(raft_config_voter_count(raft_config(node->raft)), 3);
    assert_true(raft_cluster_notes(cluster, RAFT_NOTE_JOINED) >= 3);
    raft_cluster_destroy(cluster);
}

/* The leader calls in the wiped node and is cut off from all others before that is decided. */
static struct raft_cluster_node *call_in_vain(struct raft_cluster *cluster)
{
    struct raft_cluster_node *leader = raft_cluster_run_to_leader(cluster, 5000);
    struct raft_cluster_node *node;
    struct raft_stranger stranger;

    assert_non_null(leader);
    raft_cluster_run(cluster, 1000);
    node = &cluster->nodes[(leader->number + 1) % 5];
    raft_cluster_crash(node);
    raft_cluster_wipe(node);
    raft_cluster_start(node);
    raft_cluster_run(cluster, 500);
    raft_cluster_isolate(cluster, leader->number, true);
    raft_cluster_block(cluster, leader->number, node->number, false);
    raft_cluster_block(cluster, node->number, leader->number, false);
    assert_int_equal(raft_strangers(leader->raft, &stranger, 1), 1);
    raft_cluster_feed(
        leader, (struct raft_event){.kind = RAFT_EVENT_ADD_LEARNER, .member = stranger.member});
    raft_cluster_run(cluster, 100);
    assert_true(raft_last_index(node->raft) >= raft_config(leader->raft)->index);
    raft_cluster_crash(leader);
    raft_cluster_run(cluster, 5000);
    assert_non_null(raft_cluster_leader(cluster)); /* Of the three that are left. */
    return node;
}

static void test_who_was_called_in_by_a_lost_leader_is_called_in_again(void **state)
{
    (void)state;
    for (uint32_t restarted = 0; restarted < 2; restarted++) {
        struct raft_cluster *cluster = raft_cluster_create(5, 8);
        struct raft_cluster_node *node;

        raft_cluster_start_all(cluster);
        node = call_in_vain(cluster);
        if (restarted == 1) {
            raft_cluster_crash(node);
        }
        raft_cluster_heal(cluster);
        raft_cluster_start_all(cluster);
        cluster->admits = true;
        raft_cluster_run(cluster, 10000);
        assert_int_equal(node->notes[RAFT_NOTE_LEFT_OUT], 1);
        assert_true(raft_is_voter(node->raft));
        assert_int_equal(raft_config_voter_count(raft_config(node->raft)), 5);
        raft_cluster_destroy(cluster);
    }
}

/* Three nodes; one of them leads, and has done so for that long. */
static struct raft_cluster_node *lead_three(struct raft_cluster *cluster, uint64_t span_ms)
{
    struct raft_cluster_node *leader;

    raft_cluster_start_all(cluster);
    leader = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader);
    raft_cluster_run(cluster, span_ms);
    return leader;
}

/* Its HELLO, from when it had nothing, is still fresh then. */
static void test_who_is_removed_soon_after_the_cluster_was_formed_stays_out(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 9);
    struct raft_cluster_node *leader = lead_three(cluster, 200);
    struct raft_cluster_node *node = &cluster->nodes[(leader->number + 1) % 3];

    (void)state;
    raft_cluster_crash(node);
    cluster->admits = true;
    assert_int_equal(
        raft_cluster_request(leader, RAFT_EVENT_REMOVE, node->id).proposal, RAFT_PROPOSAL_TAKEN);
    raft_cluster_run(cluster, 5000);
    assert_null(raft_config_find(raft_config(leader->raft), node->id));
    raft_cluster_destroy(cluster);
}

/* It had a vote: nobody but its operator can say that it may come back. */
static void test_who_was_removed_stays_out(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 9);
    struct raft_cluster_node *leader = lead_three(cluster, 1000);
    struct raft_cluster_node *node = &cluster->nodes[(leader->number + 1) % 3];

    (void)state;
    assert_int_equal(
        raft_cluster_request(leader, RAFT_EVENT_REMOVE, node->id).proposal, RAFT_PROPOSAL_TAKEN);
    raft_cluster_run(cluster, 4000);
    cluster->admits = true;
    raft_cluster_run(cluster, 20000);
    assert_int_equal(node->notes[RAFT_NOTE_LEFT_OUT], 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(raft_is_left_out(cluster->nodes[i].raft), &cluster->nodes[i] == node);
    }
    assert_null(raft_config_find(raft_config(leader->raft), node->id));
    raft_cluster_destroy(cluster);
}

static void test_a_fourth_node_joins_and_one_of_the_old_leaves(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 7);
    struct raft_cluster_node *leader_node;
    struct raft_cluster_node *node;

    (void)state;
    cluster->snapshot_each = 10; /* So that it joins by a snapshot. */
    raft_cluster_start_all(cluster);
    leader_node = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(leader_node);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(raft_cluster_propose(leader_node).proposal, RAFT_PROPOSAL_TAKEN);
        raft_cluster_run(cluster, 20);
    }
    node = raft_cluster_add_node(cluster);
    cluster->admits = true;
    raft_cluster_start(node);
    raft_cluster_run(cluster, 5000);
    assert_true(raft_is_voter(node->raft));
    assert_true(node->notes[RAFT_NOTE_INSTALLED_SNAPSHOT] > 0);
    assert_true(raft_cluster_all_applied(cluster, 200));
    cluster->admits = false;
    leader_node = raft_cluster_leader(cluster);
    assert_int_equal(
        raft_cluster_request(leader_node, RAFT_EVENT_REMOVE, leader_node->id).proposal,
        RAFT_PROPOSAL_TAKEN);
    raft_cluster_run(cluster, 5000);
    assert_ptr_not_equal(raft_cluster_leader(cluster), leader_node);
    assert_int_equal(
        raft_config_voter_count(raft_config_committed(raft_cluster_leader(cluster)->raft)), 3);
    raft_cluster_destroy(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_change_before_an_entry_of_the_own_term_is_committed),
        cmocka_unit_test(test_changes_are_made_one_at_a_time),
        cmocka_unit_test(test_only_a_leader_changes_the_membership),
        cmocka_unit_test(test_a_new_incarnation_takes_the_place_of_the_voter_it_was),
        cmocka_unit_test(test_what_is_no_member_is_not_added),
        cmocka_unit_test(test_who_has_not_caught_up_or_is_silent_is_not_promoted),
        cmocka_unit_test(test_there_are_bounds),
        cmocka_unit_test(test_the_last_voter_stays),
        cmocka_unit_test(test_who_removes_itself_leads_until_that_is_decided),
        cmocka_unit_test(test_a_wiped_member_comes_back_as_a_learner_and_a_voter),
        cmocka_unit_test(test_who_was_called_in_by_a_lost_leader_is_called_in_again),
        cmocka_unit_test(test_who_is_removed_soon_after_the_cluster_was_formed_stays_out),
        cmocka_unit_test(test_who_was_removed_stays_out),
        cmocka_unit_test(test_a_fourth_node_joins_and_one_of_the_old_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
