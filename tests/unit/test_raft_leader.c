#include "base/bytes.h"
#include "raft/raft_impl.h"
#include "tests/fake/raft_cluster.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

/* A leader of three voters and one learner in term 3; its first entry is 4, not on disk yet. */
static struct raft_solo *leader(void)
{
    static const uint64_t terms[] = {2, 2};
    struct raft_solo *solo = raft_solo_create(3, 1, 2, terms, 2);

    raft_solo_elect(solo);
    return solo;
}

static enum raft_proposal_result propose(struct raft_solo *solo, uint32_t size_bytes)
{
    static const uint8_t bytes[RAFT_ENTRY_BYTES_MAX + 1];

    raft_solo_feed(
        solo, (struct raft_event){
                  .kind = RAFT_EVENT_PROPOSE,
                  .data = bytes,
                  .size_bytes = size_bytes,
              });
    return solo->update.proposal;
}

static void test_a_term_opens_with_an_entry_that_leaves_before_it_is_on_disk(void **state)
{
    struct raft_solo *solo = leader();
    const struct raft_message *append = raft_solo_sent(solo, RAFT_APPEND, 1);

    (void)state;
    assert_non_null(append);
    assert_false(append->after_persist);
    assert_int_equal(append->prev_index, 3);
    assert_int_equal(append->prev_term, 2);
    assert_int_equal(append->entry_count, 1);
    assert_int_equal(append->entries[0].kind, RAFT_ENTRY_NOOP);
    assert_int_equal(append->entries[0].term, 3);
    assert_non_null(raft_solo_sent(solo, RAFT_APPEND, 3)); /* The learner gets it, too. */
    assert_int_equal(solo->update.persist.first_index, 4);
    assert_false(raft_leader_ready(solo->raft));
    raft_solo_destroy(solo);
}

static void test_the_leader_counts_itself_when_its_disk_has_it(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_acknowledge(solo, 1, 4);
    assert_int_equal(raft_commit_index(solo->raft), 0);
    raft_solo_persisted(solo);
    assert_int_equal(raft_commit_index(solo->raft), 4);
    assert_true(raft_leader_ready(solo->raft));
    assert_int_equal(solo->update.apply_from, 1);
    assert_int_equal(solo->update.apply_to, 4);
    raft_solo_destroy(solo);
}

static void test_what_others_decide_is_applied_when_the_own_disk_has_it(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_acknowledge(solo, 1, 4);
    raft_solo_acknowledge(solo, 2, 4);
    assert_int_equal(raft_commit_index(solo->raft), 4);
    assert_int_equal(raft_applied_index(solo->raft), 3);
    raft_solo_persisted(solo);
    assert_int_equal(raft_applied_index(solo->raft), 4);
    raft_solo_destroy(solo);
}

static void test_a_learner_is_not_counted(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 3, 4);
    assert_int_equal(raft_commit_index(solo->raft), 0);
    raft_solo_destroy(solo);
}

/* Figure 8 of the Raft paper. */
static void test_entries_of_older_terms_are_not_decided_by_counting(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 3);
    raft_solo_acknowledge(solo, 2, 3);
    assert_int_equal(raft_commit_index(solo->raft), 0);
    raft_solo_acknowledge(solo, 2, 4);
    assert_int_equal(raft_commit_index(solo->raft), 4);
    raft_solo_destroy(solo);
}

static void test_what_cannot_be_is_not_counted(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 5); /* More than we have. */
    assert_int_equal(raft_commit_index(solo->raft), 0);
    raft_solo_destroy(solo);
}

static void test_entries_follow_each_other_without_waiting(void **state)
{
    struct raft_solo *solo = leader();
    const struct raft_message *append;

    (void)state;
    raft_solo_acknowledge(solo, 1, 3);
    for (uint64_t i = 5; i < 10; i++) {
        assert_int_equal(propose(solo, 10), RAFT_PROPOSAL_TAKEN);
        assert_int_equal(solo->update.proposed_index, i);
        assert_int_equal(solo->update.proposed_term, 3);
        append = raft_solo_sent(solo, RAFT_APPEND, 1);
        assert_non_null(append);
        assert_int_equal(append->entry_count, 1);
        assert_int_equal(append->entries[0].index, i);
    }
    /* Member 2 has not answered its probe: one message at a time. */
    assert_null(raft_solo_sent(solo, RAFT_APPEND, 2));
    raft_solo_destroy(solo);
}

static void test_a_refusal_is_followed_by_a_step_back(void **state)
{
    struct raft_solo *solo = leader();
    struct raft_message refusal = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, 3);
    const struct raft_message *append = raft_solo_sent(solo, RAFT_APPEND, 1);

    (void)state;
    refusal.round = append->round;
    refusal.hint_index = 2;
    refusal.hint_term = 1; /* Its entry 2 is older than ours, so they differ. */
    raft_solo_receive(solo, &refusal);
    append = raft_solo_sent(solo, RAFT_APPEND, 1);
    assert_non_null(append);
    assert_int_equal(append->prev_index, 1);
    assert_int_equal(append->entry_count, 3);

    /* The same refusal again is one of a message sent before: nothing new. */
    raft_solo_receive(solo, &refusal);
    assert_null(raft_solo_sent(solo, RAFT_APPEND, 1));
    raft_solo_destroy(solo);
}

static void test_a_refusal_that_comes_late_is_no_step_back(void **state)
{
    struct raft_solo *solo = leader();
    struct raft_message refusal = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, 3);

    (void)state;
    refusal.round = raft_solo_sent(solo, RAFT_APPEND, 1)->round;
    refusal.hint_index = 1;
    refusal.hint_term = 1;
    raft_solo_receive(solo, &refusal);
    raft_solo_acknowledge(solo, 1, 1);
    raft_solo_receive(solo, &refusal); /* Once more, by another way. */
    assert_null(raft_solo_sent(solo, RAFT_APPEND, 1));
    assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 1)->prev_index, 4);
    raft_solo_destroy(solo);
}

/* A member that has lost what it acknowledged is asked with the heartbeats, not in a circle. */
static void test_a_member_that_refuses_what_it_acknowledged_is_not_asked_in_a_circle(void **state)
{
    struct raft_solo *solo = leader();
    uint32_t sent = 0;

    (void)state;
    raft_solo_acknowledge(solo, 1, 4);
    for (uint32_t i = 0; i < 50; i++) {
        struct raft_message refusal = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, 3);

        refusal.round = solo->raft->round;
        refusal.hint_index = 1;
        refusal.hint_term = 1;
        raft_solo_receive(solo, &refusal);
        sent += raft_solo_sent(solo, RAFT_APPEND, 1) != NULL;
    }
    assert_in_range(sent, 1, 2);
    raft_solo_destroy(solo);
}

static void test_a_higher_term_ends_the_leadership(void **state)
{
    struct raft_solo *solo = leader();
    const struct raft_message answer = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, 9);

    (void)state;
    raft_solo_receive(solo, &answer);
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    assert_int_equal(raft_term(solo->raft), 9);
    assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_NOT_LEADER);
    raft_solo_destroy(solo);
}

static void test_heartbeats_come_at_their_time_and_carry_no_entries(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_acknowledge(solo, 1, 3);
    raft_solo_tick(solo, 99);
    assert_null(raft_solo_sent(solo, RAFT_APPEND, 1));
    raft_solo_tick(solo, 1);
    assert_non_null(raft_solo_sent(solo, RAFT_APPEND, 1));
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 1)->entry_count, 0);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 2)->entry_count, 0);
    assert_int_equal(solo->update.persist.number, 0); /* Silent in peace. */
    raft_solo_destroy(solo);
}

static void test_what_is_decided_is_told_at_once(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 4);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 1)->commit_index, 4);
    raft_solo_destroy(solo);
}

static void test_it_steps_down_when_a_majority_is_silent(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_persisted(solo);
    for (uint32_t i = 0; i < 30; i++) {
        raft_solo_tick(solo, 100);
        raft_solo_acknowledge(solo, 1, 4);
    }
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER);
    raft_solo_tick(solo, 900);
    raft_solo_acknowledge(solo, 3, 4); /* A learner is no company. */
    raft_solo_tick(solo, 99);
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER);
    raft_solo_tick(solo, 1);
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_LOST_QUORUM));
    raft_solo_destroy(solo);
}

static void test_it_steps_down_when_its_disk_hangs(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    for (uint32_t i = 0; i < 29; i++) {
        raft_solo_tick(solo, 100);
        raft_solo_acknowledge(solo, 1, 3);
    }
    assert_int_equal(raft_role(solo->raft), RAFT_LEADER);
    raft_solo_tick(solo, 100);
    assert_int_equal(raft_role(solo->raft), RAFT_FOLLOWER);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_DISK_STALLED));
    raft_solo_destroy(solo);
}

static void test_a_stuck_disk_costs_the_leadership_and_nothing_else(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 4);
    struct raft_cluster_node *first;
    struct raft_cluster_node *second;
    struct driver_result result;

    (void)state;
    raft_cluster_start_all(cluster);
    first = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(first);
    first->disk_stuck = true;
    assert_int_equal(raft_cluster_propose(first).proposal, RAFT_PROPOSAL_TAKEN);
    raft_cluster_run(cluster, 8000);
    second = raft_cluster_leader(cluster);
    assert_non_null(second);
    assert_ptr_not_equal(second, first);
    result = raft_cluster_propose(second);
    first->disk_stuck = false;
    raft_cluster_run(cluster, 3000);
    assert_true(raft_cluster_all_applied(cluster, result.index));
    raft_cluster_destroy(cluster);
}

static void test_leadership_is_handed_over(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 5);
    struct raft_cluster_node *first;
    struct raft_cluster_node *second;
    uint64_t begin_ms;

    (void)state;
    raft_cluster_start_all(cluster);
    first = raft_cluster_run_to_leader(cluster, 5000);
    assert_non_null(first);
    second = &cluster->nodes[(first->number + 1) % 3];
    assert_int_equal(raft_cluster_propose(first).proposal, RAFT_PROPOSAL_TAKEN);
    assert_int_equal(
        raft_cluster_request(first, RAFT_EVENT_TRANSFER, second->id).proposal, RAFT_PROPOSAL_TAKEN);
    assert_int_equal(raft_cluster_propose(first).proposal, RAFT_PROPOSAL_BUSY);
    assert_int_equal(
        raft_cluster_request(first, RAFT_EVENT_TRANSFER, second->id).proposal, RAFT_PROPOSAL_BUSY);
    begin_ms = cluster->now_ms;
    raft_cluster_run(cluster, 20);
    assert_ptr_equal(raft_cluster_leader(cluster), second);
    assert_in_range(cluster->now_ms - begin_ms, 0, 20);
    raft_cluster_destroy(cluster);
}

static void test_a_hand_over_that_fails_is_given_up(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 4);
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member_id = raft_solo_id(2)});
    assert_int_equal(solo->update.proposal, RAFT_PROPOSAL_TAKEN);
    assert_null(raft_solo_sent(solo, RAFT_TIMEOUT_NOW, 2)); /* It is behind. */
    raft_solo_tick(solo, 500);
    raft_solo_acknowledge(solo, 1, 4);
    assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_BUSY);
    raft_solo_tick(solo, 500);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_TRANSFER_ABORTED));
    assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_TAKEN);
    raft_solo_destroy(solo);
}

static void test_only_another_voter_can_be_handed_to(void **state)
{
    struct raft_solo *solo = leader();
    const uint64_t ids[] = {raft_solo_id(0), raft_solo_id(3), raft_solo_id(9)};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        raft_solo_feed(solo, (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member_id = ids[i]});
        assert_int_equal(solo->update.proposal, RAFT_PROPOSAL_INVALID);
    }
    raft_solo_destroy(solo);
}

static void test_who_has_caught_up_is_told_to_campaign(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member_id = raft_solo_id(1)});
    assert_null(raft_solo_sent(solo, RAFT_TIMEOUT_NOW, 1));
    raft_solo_acknowledge(solo, 1, 4);
    assert_non_null(raft_solo_sent(solo, RAFT_TIMEOUT_NOW, 1));
    raft_solo_destroy(solo);
}

static void test_a_full_log_takes_no_data_but_what_must_fit(void **state)
{
    struct raft_solo *solo = leader();
    uint32_t taken = 0;

    (void)state;
    raft_solo_persisted(solo);
    assert_int_equal(propose(solo, RAFT_ENTRY_BYTES_MAX + 1), RAFT_PROPOSAL_INVALID);
    while (propose(solo, 10) == RAFT_PROPOSAL_TAKEN) {
        taken++;
    }
    assert_int_equal(solo->update.proposal, RAFT_PROPOSAL_FULL);
    assert_int_equal(taken + 4 + RAFT_SPARE_ENTRIES, RAFT_LOG_ENTRIES_MAX);
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, raft_last_index(solo->raft));
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_REMOVE, .member_id = raft_solo_id(3)});
    assert_int_equal(solo->update.proposal, RAFT_PROPOSAL_TAKEN);

    /* A snapshot makes room. */
    raft_solo_feed(
        solo, (struct raft_event){
                  .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
                  .index = raft_applied_index(solo->raft),
              });
    assert_int_equal(propose(solo, 10), RAFT_PROPOSAL_TAKEN);
    raft_solo_destroy(solo);
}

static void test_large_entries_fill_the_log_by_their_bytes(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    while (propose(solo, RAFT_ENTRY_BYTES_MAX) == RAFT_PROPOSAL_TAKEN) {
        assert_true(raft_log_bytes(solo->raft) + RAFT_SPARE_BYTES <= RAFT_LOG_BYTES_MAX);
    }
    assert_int_equal(solo->update.proposal, RAFT_PROPOSAL_FULL);
    raft_solo_destroy(solo);
}

/* A long log goes out in batches that are bounded in number and bytes. */
static void test_a_late_follower_gets_all_in_batches(void **state)
{
    struct raft_solo *solo = leader();
    struct raft_message answer = raft_solo_message(solo, 1, RAFT_APPEND_ANSWER, 3);
    uint64_t reached = 3;

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        assert_int_equal(propose(solo, 2000), RAFT_PROPOSAL_TAKEN);
    }
    answer.accepted = true;
    answer.match_index = 3;
    for (uint32_t step = 0; step < 20 && reached < 304; step++) {
        answer.round = solo->raft->round;
        raft_solo_receive(solo, &answer);
        for (uint32_t i = 0; i < solo->update.message_count; i++) {
            const struct raft_message *message = &solo->update.messages[i];

            if (message->kind == RAFT_APPEND && message->to == raft_solo_id(1)) {
                assert_true(message->entry_count <= RAFT_BATCH_MAX);
                assert_int_equal(message->prev_index, reached);
                reached += message->entry_count;
            }
        }
    }
    assert_int_equal(reached, 304);
    raft_solo_destroy(solo);
}

static void compact_all(struct raft_solo *solo)
{
    uint8_t bytes[4] = {1, 2, 3, 4};

    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_TAKEN);
    }
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, raft_last_index(solo->raft));
    raft_solo_feed(
        solo, (struct raft_event){
                  .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
                  .index = raft_applied_index(solo->raft),
                  .data = bytes,
                  .size_bytes = sizeof bytes,
              });
    assert_true(raft_first_index(solo->raft) > 4);
}

static void refuse_all(struct raft_solo *solo)
{
    struct raft_message refusal = raft_solo_message(solo, 2, RAFT_APPEND_ANSWER, 3);

    refusal.round = solo->raft->round;
    raft_solo_receive(solo, &refusal);
}

static void test_who_is_too_far_behind_gets_a_snapshot(void **state)
{
    struct raft_solo *solo = leader();
    const struct raft_message *snapshot;
    struct raft_message answer;

    (void)state;
    compact_all(solo);
    refuse_all(solo);
    snapshot = raft_solo_sent(solo, RAFT_SNAPSHOT, 2);
    assert_non_null(snapshot);
    assert_int_equal(snapshot->snapshot.index, 204);
    assert_int_equal(snapshot->snapshot.size_bytes, 4);
    assert_memory_equal(snapshot->snapshot.data, "\1\2\3\4", 4);
    assert_int_equal(snapshot->snapshot.config.count, 4);

    /* It is not sent again before it can have arrived; meanwhile there are heartbeats. */
    raft_solo_tick(solo, 100);
    assert_null(raft_solo_sent(solo, RAFT_SNAPSHOT, 2));
    assert_non_null(raft_solo_sent(solo, RAFT_APPEND, 2));
    for (uint32_t i = 0; i < 19; i++) {
        raft_solo_acknowledge(solo, 1, 204);
        raft_solo_tick(solo, 100);
    }
    assert_non_null(raft_solo_sent(solo, RAFT_SNAPSHOT, 2));

    answer = raft_solo_message(solo, 2, RAFT_SNAPSHOT_ANSWER, 3);
    answer.accepted = true;
    answer.match_index = 204;
    raft_solo_receive(solo, &answer);
    assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_TAKEN);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 2)->entries[0].index, 205);
    raft_solo_destroy(solo);
}

static void test_a_slightly_late_follower_needs_no_snapshot(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_acknowledge(solo, 2, 4);
    compact_all(solo);
    assert_int_equal(raft_first_index(solo->raft), 204 + 1 - RAFT_TRAILING_ENTRIES);
    assert_int_equal(raft_log_entries(solo->raft), 0); /* Behind the snapshot. */
    assert_int_equal(raft_log_bytes(solo->raft), 0);
    raft_solo_destroy(solo);
}

static void test_after_a_broken_connection_it_begins_with_what_surely_arrived(void **state)
{
    struct raft_solo *solo = leader();

    (void)state;
    raft_solo_acknowledge(solo, 1, 4);
    assert_int_equal(propose(solo, 1), RAFT_PROPOSAL_TAKEN);
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PEER_LOST, .member_id = raft_solo_id(1)});
    assert_null(raft_solo_sent(solo, RAFT_APPEND, 1));
    raft_solo_feed(
        solo, (struct raft_event){.kind = RAFT_EVENT_PEER_FOUND, .member_id = raft_solo_id(1)});
    assert_non_null(raft_solo_sent(solo, RAFT_HELLO, 1));
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 1)->prev_index, 4);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 1)->entry_count, 1);
    raft_solo_destroy(solo);
}

static void test_what_is_known_of_members_can_be_seen(void **state)
{
    struct raft_solo *solo = leader();
    struct raft_peer_view view;

    (void)state;
    raft_solo_persisted(solo);
    assert_true(raft_peer_view(solo->raft, raft_solo_id(1), &view));
    assert_int_equal(view.heard_ms, 0);
    raft_solo_acknowledge(solo, 1, 4);
    assert_true(raft_peer_view(solo->raft, raft_solo_id(1), &view));
    assert_int_equal(view.match_index, 4);
    assert_int_equal(view.heard_ms, solo->now_ms);
    assert_true(view.caught_up);
    assert_true(raft_peer_view(solo->raft, raft_solo_id(2), &view));
    assert_false(view.caught_up);
    assert_false(raft_peer_view(solo->raft, raft_solo_id(0), &view));
    assert_false(raft_peer_view(solo->raft, raft_solo_id(9), &view));
    raft_solo_destroy(solo);
}

static void test_others_are_told_what_each_has(void **state)
{
    struct raft_solo *solo = leader();
    const struct raft_message *append;

    (void)state;
    raft_solo_persisted(solo);
    raft_solo_acknowledge(solo, 1, 4);
    append = raft_solo_sent(solo, RAFT_APPEND, 2);
    assert_int_equal(append->seen_count, 4);
    assert_int_equal(append->seen_ids[1], raft_solo_id(1));
    assert_int_equal(append->seen_indexes[0], 4);
    assert_int_equal(append->seen_indexes[1], 4);
    assert_int_equal(append->seen_indexes[2], 0);
    raft_solo_tick(solo, 100);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 2)->seen_count, 0); /* Nothing new. */
    raft_solo_tick(solo, 899);
    raft_solo_acknowledge(solo, 1, 4);
    raft_solo_tick(solo, 101);
    assert_int_equal(raft_solo_sent(solo, RAFT_APPEND, 2)->seen_count, 4);
    raft_solo_destroy(solo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_term_opens_with_an_entry_that_leaves_before_it_is_on_disk),
        cmocka_unit_test(test_the_leader_counts_itself_when_its_disk_has_it),
        cmocka_unit_test(test_what_others_decide_is_applied_when_the_own_disk_has_it),
        cmocka_unit_test(test_a_learner_is_not_counted),
        cmocka_unit_test(test_entries_of_older_terms_are_not_decided_by_counting),
        cmocka_unit_test(test_what_cannot_be_is_not_counted),
        cmocka_unit_test(test_entries_follow_each_other_without_waiting),
        cmocka_unit_test(test_a_refusal_is_followed_by_a_step_back),
        cmocka_unit_test(test_a_member_that_refuses_what_it_acknowledged_is_not_asked_in_a_circle),
        cmocka_unit_test(test_a_higher_term_ends_the_leadership),
        cmocka_unit_test(test_heartbeats_come_at_their_time_and_carry_no_entries),
        cmocka_unit_test(test_what_is_decided_is_told_at_once),
        cmocka_unit_test(test_it_steps_down_when_a_majority_is_silent),
        cmocka_unit_test(test_it_steps_down_when_its_disk_hangs),
        cmocka_unit_test(test_a_stuck_disk_costs_the_leadership_and_nothing_else),
        cmocka_unit_test(test_leadership_is_handed_over),
        cmocka_unit_test(test_a_hand_over_that_fails_is_given_up),
        cmocka_unit_test(test_only_another_voter_can_be_handed_to),
        cmocka_unit_test(test_who_has_caught_up_is_told_to_campaign),
        cmocka_unit_test(test_a_full_log_takes_no_data_but_what_must_fit),
        cmocka_unit_test(test_large_entries_fill_the_log_by_their_bytes),
        cmocka_unit_test(test_a_late_follower_gets_all_in_batches),
        cmocka_unit_test(test_who_is_too_far_behind_gets_a_snapshot),
        cmocka_unit_test(test_a_slightly_late_follower_needs_no_snapshot),
        cmocka_unit_test(test_after_a_broken_connection_it_begins_with_what_surely_arrived),
        cmocka_unit_test(test_what_is_known_of_members_can_be_seen),
        cmocka_unit_test(test_others_are_told_what_each_has),
        cmocka_unit_test(test_a_refusal_that_comes_late_is_no_step_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
