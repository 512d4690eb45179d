#include <string.h>

#include "raft/raft_impl.h"
#include "tests/fake/raft_cluster.h"
#include "tests/fake/raft_solo.h"
#include "tests/lib/test.h"

/* --- Formation --- */

static uint32_t count_in_a_cluster(const struct raft_cluster *cluster)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < cluster->node_count; i++) {
        count += cluster->nodes[i].up && raft_cluster_id(cluster->nodes[i].raft) != 0;
    }
    return count;
}

static void test_all_listed_nodes_form_a_cluster_at_once(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 5; count++) {
        struct raft_cluster *cluster = raft_cluster_create(count, count);
        struct raft_cluster_node *leader;

        raft_cluster_start_all(cluster);
        leader = raft_cluster_run_to_leader(cluster, 1000);
        assert_non_null(leader);
        assert_int_equal(raft_config_voter_count(raft_config(leader->raft)), count);
        assert_int_equal(raft_cluster_notes(cluster, RAFT_NOTE_FORMED), 1);
        assert_int_equal(leader->notes[RAFT_NOTE_FORMED], 1); /* And its maker leads first. */
        for (uint32_t i = 0; i < count; i++) {
            assert_true(leader->id <= cluster->nodes[i].id); /* The smallest id. */
        }
        raft_cluster_destroy(cluster);
    }
}

static void test_a_majority_waits_for_the_others_and_then_forms(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 11);
    struct raft_cluster_node *leader;

    (void)state;
    raft_cluster_start(&cluster->nodes[0]);
    raft_cluster_start(&cluster->nodes[1]);
    raft_cluster_run(cluster, 2900);
    assert_int_equal(count_in_a_cluster(cluster), 0);
    leader = raft_cluster_run_to_leader(cluster, 2000);
    assert_non_null(leader);
    assert_int_equal(raft_config(leader->raft)->count, 2);

    cluster->admits = true;
    raft_cluster_start(&cluster->nodes[2]);
    raft_cluster_run(cluster, 3000);
    assert_true(raft_is_voter(cluster->nodes[2].raft));
    assert_int_equal(raft_cluster_notes(cluster, RAFT_NOTE_FORMED), 1);
    raft_cluster_destroy(cluster);
}

static void test_a_minority_never_forms(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(4, 12);

    (void)state;
    raft_cluster_start(&cluster->nodes[0]);
    raft_cluster_start(&cluster->nodes[1]); /* Two of four. */
    raft_cluster_run(cluster, 30000);
    assert_int_equal(count_in_a_cluster(cluster), 0);
    raft_cluster_destroy(cluster);
}

static void test_nobody_forms_while_it_is_not_heard(void **state)
{
    (void)state;
    for (uint32_t from = 0; from < 2; from++) { /* Either way. */
        struct raft_cluster *cluster = raft_cluster_create(2, 13);

        raft_cluster_block(cluster, from, 1 - from, true);
        raft_cluster_start_all(cluster);
        raft_cluster_run(cluster, 30000);
        assert_int_equal(count_in_a_cluster(cluster), 0);
        raft_cluster_heal(cluster);
        assert_non_null(raft_cluster_run_to_leader(cluster, 2000));
        raft_cluster_destroy(cluster);
    }
}

/* Two nodes came back empty; the one that holds the data is reachable. */
static void test_nobody_forms_while_somebody_holds_something(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 14);

    (void)state;
    raft_cluster_start_all(cluster);
    assert_non_null(raft_cluster_run_to_leader(cluster, 2000));
    raft_cluster_run(cluster, 1000);
    for (uint32_t i = 0; i < 2; i++) {
        raft_cluster_crash(&cluster->nodes[i]);
        raft_cluster_wipe(&cluster->nodes[i]);
        raft_cluster_start(&cluster->nodes[i]);
    }
    raft_cluster_run(cluster, 30000);
    assert_int_equal(count_in_a_cluster(cluster), 1);
    assert_int_equal(raft_cluster_notes(cluster, RAFT_NOTE_FORMED), 1);
    raft_cluster_destroy(cluster);
}

/* A and B do not see each other, C sees both: there is one cluster, whoever forms it. */
static void test_two_that_do_not_see_each_other_form_one_cluster(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed < 50; seed++) {
        struct raft_cluster *cluster = raft_cluster_create(3, seed);
        struct raft_cluster_node *leader;

        cluster->admits = true;
        cluster->weather.delay_max_ms = 100;
        raft_cluster_block(cluster, seed % 3, (seed + 1) % 3, true);
        raft_cluster_block(cluster, (seed + 1) % 3, seed % 3, true);
        raft_cluster_start_all(cluster);
        raft_cluster_run(cluster, 10000);
        raft_cluster_heal(cluster);
        raft_cluster_run(cluster, 10000);
        leader = raft_cluster_run_to_leader(cluster, 5000);
        assert_non_null(leader);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(raft_is_voter(cluster->nodes[i].raft));
            assert_int_equal(
                raft_cluster_id(cluster->nodes[i].raft), raft_cluster_id(leader->raft));
        }
        raft_cluster_destroy(cluster);
    }
}

/* Formed, and lost before anybody had joined. */
static void test_a_formation_that_leads_nowhere_is_given_up(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 15);
    struct raft_cluster_node *maker = NULL;

    (void)state;
    raft_cluster_start_all(cluster);
    while (maker == NULL) {
        raft_cluster_run(cluster, 1);
        for (uint32_t i = 0; i < 3; i++) {
            if (cluster->nodes[i].notes[RAFT_NOTE_FORMED] > 0) {
                maker = &cluster->nodes[i];
            }
        }
    }
    raft_cluster_isolate(cluster, maker->number, true);
    raft_cluster_run(cluster, 100);
    for (uint32_t i = 0; i < 3; i++) {
        if (&cluster->nodes[i] != maker) {
            raft_cluster_crash(&cluster->nodes[i]);
            raft_cluster_wipe(&cluster->nodes[i]);
            raft_cluster_start(&cluster->nodes[i]);
        }
    }
    cluster->admits = true;
    raft_cluster_run(cluster, 10000); /* The two others form without it. */
    raft_cluster_heal(cluster);
    raft_cluster_run(cluster, 10000);
    assert_int_equal(maker->notes[RAFT_NOTE_FORMATION_DROPPED], 1);
    assert_non_null(raft_cluster_leader(cluster));
    assert_true(raft_is_voter(maker->raft));
    raft_cluster_destroy(cluster);
}

/* Who made a formation, and hears for `span_ms` of member 1 as that incarnation in that cluster. */
static bool maker_gives_up(uint64_t incarnation, uint64_t cluster_id, uint64_t span_ms)
{
    struct raft_solo *solo = raft_solo_create(2, 0, 1, NULL, 0);
    const uint64_t end_ms = solo->now_ms + span_ms;
    struct raft_message hello = raft_solo_message(solo, 1, RAFT_HELLO, 0);
    bool given_up = false;

    hello.from_incarnation = incarnation;
    hello.cluster_id = cluster_id;
    while (solo->now_ms < end_ms && !given_up) {
        raft_solo_receive(solo, &hello);
        raft_solo_tick(solo, 100);
        given_up = raft_solo_noted(solo, RAFT_NOTE_FORMATION_DROPPED);
        assert_int_equal(solo->update.lost_memory, given_up);
    }
    raft_solo_destroy(solo);
    return given_up;
}

static void test_a_maker_gives_up_when_those_it_needs_are_gone(void **state)
{
    const uint64_t same = raft_solo_incarnation(1);

    (void)state;
    assert_false(maker_gives_up(same, 0, 20000)); /* It may still vote for us. */
    assert_false(maker_gives_up(same, SOLO_CLUSTER, 20000));
    assert_false(maker_gives_up(same + 1, 0, RAFT_FORM_WAIT_MS - 200));
    assert_true(maker_gives_up(same + 1, 0, RAFT_FORM_WAIT_MS + 200));
    assert_true(maker_gives_up(same, SOLO_CLUSTER + 1, RAFT_FORM_WAIT_MS + 200));
}

/* Who voted, holds nothing, and hears for 20 s of the two others in these clusters. */
static bool joiner_gives_up(uint64_t first_cluster, uint64_t second_cluster)
{
    const struct raft_loaded loaded = {
        .hard = {.term = 2, .cluster_id = SOLO_CLUSTER, .incarnation = raft_solo_incarnation(0)},
    };
    struct raft_solo *solo = raft_solo_create_loaded(&loaded, 2);
    bool given_up = false;

    for (uint32_t i = 0; i < 200 && !given_up; i++) {
        struct raft_message hello = raft_solo_message(solo, 1, RAFT_HELLO, 0);

        hello.cluster_id = first_cluster;
        raft_solo_receive(solo, &hello);
        hello = raft_solo_message(solo, 2, RAFT_HELLO, 0);
        hello.cluster_id = second_cluster;
        raft_solo_receive(solo, &hello);
        raft_solo_tick(solo, 100);
        given_up = raft_solo_noted(solo, RAFT_NOTE_FORMATION_DROPPED);
    }
    raft_solo_destroy(solo);
    return given_up;
}

static void test_who_joined_gives_up_when_nobody_else_is_there(void **state)
{
    (void)state;
    assert_true(joiner_gives_up(0, 0));
    assert_true(joiner_gives_up(0, SOLO_CLUSTER + 1));
    assert_false(joiner_gives_up(0, SOLO_CLUSTER));
    assert_false(joiner_gives_up(SOLO_CLUSTER, SOLO_CLUSTER + 1));
}

/* --- Memory --- */

static struct raft_message remembers(
    const struct raft_solo *solo, uint32_t from, uint64_t term, uint64_t index, uint64_t entry_term)
{
    struct raft_message message = raft_solo_message(solo, from, RAFT_HELLO_ANSWER, 2);

    message.seen_term = term;
    message.seen_index = index;
    message.hint_term = entry_term;
    return message;
}

static void test_a_store_that_shows_less_is_found_out(void **state)
{
    static const uint64_t terms[] = {2, 2};
    static const struct {
        uint64_t term;
        uint64_t index;
        uint64_t entry_term;
        bool lost;
    } cases[] = {
        {2, 3, 2, false},
        {2, 3, 0, false},
        {2, 2, 2, false},
        {2, 4, 2, true }, /* An entry that is gone. */
        {3, 0, 0, true }, /* A term that is gone, and maybe a vote. */
        {1, 9, 1, false}, /* Cut off since, by a later term. */
        {2, 3, 1, true }, /* The tail is one that was cut off since. */
        {0, 0, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct raft_solo *solo = raft_solo_create(3, 0, 2, terms, 2);
        const struct raft_message message =
            remembers(solo, 1, cases[i].term, cases[i].index, cases[i].entry_term);

        raft_solo_receive(solo, &message);
        assert_int_equal(solo->update.lost_memory, cases[i].lost);
        assert_int_equal(raft_solo_noted(solo, RAFT_NOTE_AMNESIA), cases[i].lost);
        if (cases[i].lost) {
            assert_int_equal(solo->update.message_count, 0);
            raft_solo_tick(solo, 5000); /* And says nothing more. */
            assert_int_equal(solo->update.message_count, 0);
        }
        raft_solo_destroy(solo);
    }
}

static void test_a_store_that_shows_less_than_its_mark_does_nothing_at_all(void **state)
{
    static const uint64_t terms[] = {2, 2};
    static const struct {
        struct raft_memory mark;
        bool lost;
    } cases[] = {
        {{0},             false},
        {{1000, 2, 3, 2}, false},
        {{1000, 2, 2, 2}, false}, /* The power went before the mark was raised. */
        {{1000, 1, 9, 1}, false}, /* Cut off since, by a later term. */
        {{1000, 2, 4, 2}, true }, /* An entry that is gone. */
        {{1000, 3, 0, 0}, true }, /* A term that is gone, and maybe a vote. */
        {{1000, 2, 3, 1}, true }, /* The tail is one that was cut off since. */
        {{7777, 9, 9, 9}, false}, /* Of a store that was set aside. */
    };

    (void)state;
    assert_int_equal(raft_solo_incarnation(0), 1000);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct raft_solo *solo = raft_solo_create_marked(3, 0, 2, terms, 2, &cases[i].mark);

        assert_int_equal(solo->update.lost_memory, cases[i].lost);
        assert_int_equal(raft_solo_noted(solo, RAFT_NOTE_AMNESIA), cases[i].lost);
        raft_solo_tick(solo, 5000);
        assert_int_equal(solo->update.message_count == 0, cases[i].lost);
        raft_solo_destroy(solo);
    }
}

/* Its membership may be that of a time before the others joined. */
static void test_the_mark_is_believed_by_a_single_voter_too(void **state)
{
    const struct raft_memory mark = {raft_solo_incarnation(0), 3, 1, 1};
    struct raft_solo *solo = raft_solo_create_marked(1, 0, 2, NULL, 0, &mark);

    (void)state;
    assert_true(solo->update.lost_memory);
    raft_solo_destroy(solo);
}

static void assert_mark(
    const struct raft_solo *solo, uint64_t term, uint64_t index, uint64_t entry_term)
{
    const struct raft_memory *mark = &solo->update.persist.mark;

    assert_int_not_equal(solo->update.persist.number, 0);
    assert_int_equal(mark->incarnation, raft_solo_incarnation(0));
    assert_int_equal(mark->term, term);
    assert_int_equal(mark->index, index);
    assert_int_equal(mark->entry_term, entry_term);
}

static void test_a_persist_marks_what_its_answers_will_say(void **state)
{
    static const uint64_t terms[] = {2, 2};
    const struct raft_memory loaded = {raft_solo_incarnation(0), 2, 3, 2};
    struct raft_solo *solo = raft_solo_create_marked(3, 0, 2, terms, 2, &loaded);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 2);

    (void)state;
    raft_solo_check_position(solo);
    message.prev_index = 1;
    message.prev_term = 1;
    message.commit_index = 1;
    raft_solo_receive(solo, &message);
    raft_solo_feed(
        solo, (struct raft_event){
                  .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
                  .index = 1,
                  .data = (const uint8_t *)"state",
                  .size_bytes = 5,
              });
    assert_mark(solo, 2, 3, 2); /* Not yet seen again, and not forgotten. */
    message.prev_index = 3;
    message.prev_term = 2;
    message.entry_count = 1;
    message.entries[0] = (struct raft_entry){.term = 2, .index = 4};
    raft_solo_receive(solo, &message);
    assert_mark(solo, 2, 4, 2);
    message = raft_solo_message(solo, 2, RAFT_VOTE, 3);
    message.last_index = 9;
    message.last_term = 2;
    raft_solo_tick(solo, 600);
    raft_solo_receive(solo, &message);
    assert_mark(solo, 3, 1, 1); /* What is not decided may be cut off in the new term. */
    raft_solo_destroy(solo);
}

static void test_what_is_said_to_another_is_not_about_us(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message message = remembers(solo, 1, 9, 9, 9);

    (void)state;
    message.to_incarnation++;
    raft_solo_receive(solo, &message);
    assert_false(solo->update.lost_memory);
    message.to_incarnation--;
    message.cluster_id++;
    raft_solo_receive(solo, &message);
    assert_false(solo->update.lost_memory);
    raft_solo_destroy(solo);
}

static void test_a_single_voter_goes_on_with_what_it_has(void **state)
{
    struct raft_solo *solo = raft_solo_create(1, 1, 2, NULL, 0);
    const struct raft_message message = remembers(solo, 1, 9, 9, 9);

    (void)state;
    assert_true(raft_position_checked(solo->raft));
    raft_solo_receive(solo, &message);
    assert_false(solo->update.lost_memory);
    raft_solo_destroy(solo);
}

static const struct raft_message *ask_memory(struct raft_solo *solo, uint32_t from)
{
    const struct raft_message hello = raft_solo_message(solo, from, RAFT_HELLO, 1);

    raft_solo_receive(solo, &hello);
    assert_non_null(raft_solo_sent(solo, RAFT_HELLO_ANSWER, from));
    return raft_solo_sent(solo, RAFT_HELLO_ANSWER, from);
}

static void test_a_leader_remembers_what_was_acknowledged(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message hello;

    (void)state;
    raft_solo_elect(solo);
    raft_solo_acknowledge(solo, 1, 2);
    assert_int_equal(ask_memory(solo, 1)->seen_term, 3);
    assert_int_equal(ask_memory(solo, 1)->seen_index, 2);
    assert_int_equal(ask_memory(solo, 1)->hint_term, 3);
    hello = raft_solo_message(solo, 1, RAFT_HELLO, 0);
    hello.from_incarnation = 9999; /* Somebody new in the same place. */
    raft_solo_receive(solo, &hello);
    assert_int_equal(raft_solo_sent(solo, RAFT_HELLO_ANSWER, 1)->seen_term, 0);
    assert_int_equal(raft_solo_sent(solo, RAFT_HELLO_ANSWER, 1)->to_incarnation, 9999);
    assert_int_equal(ask_memory(solo, 1)->seen_index, 2); /* Which is not forgotten for that. */
    raft_solo_destroy(solo);
}

static void test_a_follower_remembers_what_the_leader_tells(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 3);

    (void)state;
    raft_solo_check_position(solo);
    message.prev_index = 1;
    message.prev_term = 1;
    message.entry_count = 1;
    message.entries[0] = (struct raft_entry){.term = 3, .index = 2};
    message.seen_count = 3;
    for (uint32_t i = 0; i < 3; i++) {
        message.seen_ids[i] = raft_solo_id(i);
    }
    message.seen_indexes[2] = 2;
    raft_solo_receive(solo, &message);
    raft_solo_receive(solo, &message); /* The next heartbeat, with the entry verified. */
    assert_int_equal(ask_memory(solo, 2)->seen_term, 3);
    assert_int_equal(ask_memory(solo, 2)->seen_index, 2);
    assert_int_equal(ask_memory(solo, 2)->hint_term, 3);
    raft_solo_destroy(solo);
}

/* 0 is what a leader knows of a member that has not answered it. */
static void test_no_answer_is_no_acknowledgement(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 3);

    (void)state;
    message.prev_index = 1;
    message.prev_term = 1;
    message.seen_count = 1;
    message.seen_ids[0] = raft_solo_id(2);
    raft_solo_receive(solo, &message);
    assert_int_equal(ask_memory(solo, 2)->seen_term, 1); /* Of its HELLO. */
    raft_solo_destroy(solo);
}

/* What a leader that does not know the newest membership says may be of who a member was before. */
static void test_a_list_of_an_older_membership_is_not_believed(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 3);

    (void)state;
    message.seen_count = 1;
    message.seen_ids[0] = raft_solo_id(2);
    message.seen_indexes[0] = 1;
    raft_solo_receive(solo, &message); /* In front of the membership, which is entry 1. */
    assert_int_equal(ask_memory(solo, 2)->seen_index, 0);
    message.prev_index = 1;
    message.prev_term = 1;
    raft_solo_receive(solo, &message);
    assert_int_equal(ask_memory(solo, 2)->seen_index, 1);
    raft_solo_destroy(solo);
}

/* The leader of the term has our word for an entry that we do not have. */
static void test_a_leader_that_knows_better_is_believed(void **state)
{
    static const uint64_t terms[] = {2, 2};
    struct raft_solo *solo = raft_solo_create(3, 0, 3, terms, 2);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 3);

    (void)state;
    message.prev_index = 3;
    message.prev_term = 3;
    message.seen_count = 1;
    message.seen_ids[0] = raft_solo_id(0);
    message.seen_indexes[0] = 2; /* Nothing wrong with that. */
    raft_solo_receive(solo, &message);
    assert_false(solo->update.lost_memory);
    message.seen_indexes[0] = 3;
    raft_solo_receive(solo, &message);
    assert_true(solo->update.lost_memory);
    raft_solo_destroy(solo);
}

static void test_a_store_rolled_back_by_its_backup_is_readmitted(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 16);
    struct raft_cluster_node *leader;
    struct raft_cluster_node *node;

    (void)state;
    cluster->admits = true;
    raft_cluster_start_all(cluster);
    leader = raft_cluster_run_to_leader(cluster, 2000);
    assert_non_null(leader);
    node = &cluster->nodes[(leader->number + 1) % 3];
    raft_cluster_run(cluster, 1000);
    raft_cluster_copy_disk(node);
    raft_cluster_propose(leader);
    raft_cluster_run(cluster, 1000);
    raft_cluster_crash(node);
    raft_cluster_roll_back(node, true);
    raft_cluster_start(node);
    raft_cluster_run(cluster, 3000);
    assert_int_equal(node->notes[RAFT_NOTE_AMNESIA], 1);
    assert_true(raft_is_voter(node->raft));
    assert_int_not_equal(raft_incarnation(node->raft), node->old_disk.hard.incarnation);
    raft_cluster_destroy(cluster);
}

/*
 * The vote of node `voter` is known to the candidate alone, which is cut off; then the store of
 * the voter is rolled back to before that vote. The third node finds nothing wrong with it.
 */
static void test_a_vote_that_only_the_cut_off_candidate_knows_is_not_given_again(void **state)
{
    struct raft_cluster *cluster = raft_cluster_create(3, 17);
    struct raft_cluster_node *third;
    struct raft_cluster_node *candidate;
    struct raft_cluster_node *voter;

    (void)state;
    cluster->admits = true;
    raft_cluster_start_all(cluster);
    third = raft_cluster_run_to_leader(cluster, 2000);
    assert_non_null(third);
    raft_cluster_run(cluster, 1000);
    raft_cluster_copy_disk(&cluster->nodes[(third->number + 1) % 3]);
    raft_cluster_copy_disk(&cluster->nodes[(third->number + 2) % 3]);
    raft_cluster_isolate(cluster, third->number, true);
    raft_cluster_run(cluster, 3000);
    candidate = raft_cluster_leader(cluster);
    assert_true(candidate != NULL && candidate != third);
    voter = &cluster->nodes[3 - third->number - candidate->number];
    raft_cluster_crash(voter);
    raft_cluster_heal(cluster);
    raft_cluster_isolate(cluster, candidate->number, true);
    raft_cluster_roll_back(voter, false);
    raft_cluster_start(voter);
    raft_cluster_run(cluster, 20000); /* Two leaders of a term end the test. */
    assert_int_equal(voter->notes[RAFT_NOTE_AMNESIA], 1);
    assert_false(raft_is_voter(voter->raft));
    raft_cluster_heal(cluster);
    raft_cluster_run(cluster, 5000);
    assert_true(raft_is_voter(voter->raft));
    raft_cluster_destroy(cluster);
}

/* --- Position --- */

static void receive_plain_answer(struct raft_solo *solo, uint32_t from)
{
    const struct raft_message message = remembers(solo, from, 0, 0, 0);

    raft_solo_receive(solo, &message);
}

static void test_the_position_is_checked_by_a_majority_and_a_short_wait(void **state)
{
    struct raft_solo *solo = raft_solo_create(5, 0, 2, NULL, 0);

    (void)state;
    receive_plain_answer(solo, 1);
    raft_solo_tick(solo, 20000);
    assert_false(raft_position_checked(solo->raft));
    receive_plain_answer(solo, 2);
    raft_solo_tick(solo, 899);
    assert_false(raft_position_checked(solo->raft));
    raft_solo_tick(solo, 1);
    assert_true(raft_position_checked(solo->raft));
    raft_solo_destroy(solo);
}

static void test_the_position_is_checked_when_all_have_answered(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 1, 2, NULL, 0);

    (void)state;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_false(raft_position_checked(solo->raft));
        receive_plain_answer(solo, i);
    }
    assert_true(raft_position_checked(solo->raft));
    assert_true(raft_solo_noted(solo, RAFT_NOTE_POSITION_CHECKED));
    raft_solo_destroy(solo);
}

static void test_who_lost_its_memory_is_no_witness(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message message = remembers(solo, 1, 0, 0, 0);

    (void)state;
    message.from_incarnation = 9999;
    raft_solo_receive(solo, &message);
    raft_solo_tick(solo, 20000);
    assert_false(raft_position_checked(solo->raft));
    raft_solo_destroy(solo);
}

/* The membership in its log may be an old one, whose majority is gone for good. */
static void test_in_the_end_one_whose_log_is_ahead_will_do(void **state)
{
    struct raft_solo *solo = raft_solo_create(5, 0, 2, NULL, 0);
    struct raft_message message = remembers(solo, 1, 0, 0, 0);

    (void)state;
    message.last_term = 2;
    message.last_index = 9;
    raft_solo_receive(solo, &message);
    raft_solo_tick(solo, RAFT_POSITION_WAIT_MS - 1);
    assert_false(raft_position_checked(solo->raft));
    raft_solo_tick(solo, 1);
    assert_true(raft_position_checked(solo->raft));
    raft_solo_destroy(solo);
}

/* --- HELLO and strangers --- */

static void test_who_is_silent_is_greeted(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);

    (void)state;
    assert_non_null(raft_solo_sent(solo, RAFT_HELLO, 1)); /* In the first step. */
    raft_solo_tick(solo, RAFT_HELLO_START_MS);
    assert_non_null(raft_solo_sent(solo, RAFT_HELLO, 1));
    raft_solo_check_position(solo);
    raft_solo_tick(solo, 999);
    assert_null(raft_solo_sent(solo, RAFT_HELLO, 1));
    receive_plain_answer(solo, 1);
    raft_solo_tick(solo, 1001);
    raft_solo_tick(solo, 1000);
    assert_non_null(raft_solo_sent(solo, RAFT_HELLO, 2));
    assert_int_equal(raft_solo_sent(solo, RAFT_HELLO, 2)->to_incarnation, raft_solo_incarnation(2));
    raft_solo_destroy(solo);
}

static void test_strangers_are_those_who_speak_and_are_not_members(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_stranger strangers[4];
    struct raft_message hello = raft_solo_message(solo, 7, RAFT_HELLO, 0);

    (void)state;
    raft_solo_check_position(solo);
    assert_int_equal(raft_strangers(solo->raft, strangers, 4), 0);
    hello.cluster_id = 0;
    hello.empty = true;
    raft_solo_receive(solo, &hello);
    assert_int_equal(raft_strangers(solo->raft, strangers, 4), 1);
    assert_int_equal(strangers[0].member.id, raft_solo_id(7));
    assert_int_equal(strangers[0].member.incarnation, raft_solo_incarnation(7));
    assert_string_equal(strangers[0].member.address, "member7:7000");
    assert_true(strangers[0].empty);

    hello = raft_solo_message(solo, 1, RAFT_HELLO, 0); /* A member that was wiped. */
    hello.from_incarnation = 9999;
    raft_solo_receive(solo, &hello);
    assert_int_equal(raft_strangers(solo->raft, strangers, 4), 2);
    assert_int_equal(raft_strangers(solo->raft, strangers, 1), 1);

    hello = raft_solo_message(solo, 8, RAFT_HELLO, 0);
    hello.cluster_id++; /* Of another cluster. */
    raft_solo_receive(solo, &hello);
    assert_int_equal(raft_strangers(solo->raft, strangers, 4), 2);
    raft_solo_tick(solo, RAFT_FRESH_MS); /* What was said long ago does not count. */
    assert_int_equal(raft_strangers(solo->raft, strangers, 4), 0);
    raft_solo_destroy(solo);
}

static void test_a_hello_that_cannot_be_is_dropped(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message cases[5];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cases[i] = raft_solo_message(solo, 7, RAFT_HELLO, 0);
    }
    cases[0].from++; /* Not the id of its address. */
    cases[1].from_incarnation = 0;
    memset(cases[2].address, 'a', sizeof cases[2].address);
    cases[3].formed_count = RAFT_MEMBERS_MAX + 1;
    cases[4] = raft_solo_message(solo, 0, RAFT_HELLO, 0); /* Our own, by an echo. */
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        raft_solo_receive(solo, &cases[i]);
        assert_int_equal(solo->update.message_count, 0);
    }
    raft_solo_destroy(solo);
}

/* However many nodes say HELLO, the members keep their places. */
static void test_strangers_are_bounded(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_stranger strangers[2 * RAFT_PEERS_MAX];

    (void)state;
    raft_solo_check_position(solo);
    for (uint32_t i = 10; i < 10 + 2 * RAFT_PEERS_MAX; i++) {
        const struct raft_message hello = raft_solo_message(solo, i, RAFT_HELLO, 0);

        raft_solo_receive(solo, &hello);
    }
    assert_int_equal(
        raft_strangers(solo->raft, strangers, ARRAY_SIZE(strangers)), RAFT_PEERS_MAX - 2);
    raft_solo_elect(solo);
    raft_solo_destroy(solo);
}

static void test_who_is_taken_for_its_old_self_says_who_it_is(void **state)
{
    struct raft_solo *solo = raft_solo_create(3, 0, 2, NULL, 0);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_APPEND, 2);

    (void)state;
    raft_solo_check_position(solo);
    raft_solo_tick(solo, 500);
    message.to_incarnation--;
    raft_solo_receive(solo, &message);
    assert_non_null(raft_solo_sent(solo, RAFT_HELLO, 1));
    raft_solo_receive(solo, &message);
    assert_null(raft_solo_sent(solo, RAFT_HELLO, 1)); /* But not each time. */
    raft_solo_destroy(solo);
}

/* --- Joining --- */

static void test_an_empty_node_joins_who_knows_it(void **state)
{
    const struct raft_loaded loaded = {.hard = {.incarnation = raft_solo_incarnation(0)}};
    struct raft_solo *solo = raft_solo_create_loaded(&loaded, 2);
    struct raft_message message = raft_solo_message(solo, 1, RAFT_PREVOTE, 2);

    (void)state;
    message.last_term = 1;
    message.last_index = 1;
    raft_solo_receive(solo, &message);
    assert_true(raft_solo_sent(solo, RAFT_PREVOTE_ANSWER, 1)->accepted);
    assert_int_equal(raft_cluster_id(solo->raft), 0); /* That was no promise. */
    message.kind = RAFT_VOTE;
    message.to_incarnation++;
    raft_solo_receive(solo, &message);
    assert_int_equal(raft_cluster_id(solo->raft), 0);
    message.to_incarnation--;
    raft_solo_receive(solo, &message);
    assert_true(raft_solo_noted(solo, RAFT_NOTE_JOINED));
    assert_int_equal(solo->update.persist.hard.cluster_id, SOLO_CLUSTER);
    assert_true(raft_solo_sent(solo, RAFT_VOTE_ANSWER, 1)->accepted);
    message.cluster_id++; /* Another one comes too late. */
    message.term++;
    raft_solo_receive(solo, &message);
    assert_null(raft_solo_sent(solo, RAFT_VOTE_ANSWER, 1));
    raft_solo_destroy(solo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_listed_nodes_form_a_cluster_at_once),
        cmocka_unit_test(test_a_majority_waits_for_the_others_and_then_forms),
        cmocka_unit_test(test_a_minority_never_forms),
        cmocka_unit_test(test_nobody_forms_while_it_is_not_heard),
        cmocka_unit_test(test_nobody_forms_while_somebody_holds_something),
        cmocka_unit_test(test_two_that_do_not_see_each_other_form_one_cluster),
        cmocka_unit_test(test_a_formation_that_leads_nowhere_is_given_up),
        cmocka_unit_test(test_a_store_that_shows_less_is_found_out),
        cmocka_unit_test(test_a_store_that_shows_less_than_its_mark_does_nothing_at_all),
        cmocka_unit_test(test_the_mark_is_believed_by_a_single_voter_too),
        cmocka_unit_test(test_a_persist_marks_what_its_answers_will_say),
        cmocka_unit_test(test_what_is_said_to_another_is_not_about_us),
        cmocka_unit_test(test_a_single_voter_goes_on_with_what_it_has),
        cmocka_unit_test(test_a_leader_remembers_what_was_acknowledged),
        cmocka_unit_test(test_a_follower_remembers_what_the_leader_tells),
        cmocka_unit_test(test_no_answer_is_no_acknowledgement),
        cmocka_unit_test(test_a_leader_that_knows_better_is_believed),
        cmocka_unit_test(test_a_store_rolled_back_by_its_backup_is_readmitted),
        cmocka_unit_test(test_a_vote_that_only_the_cut_off_candidate_knows_is_not_given_again),
        cmocka_unit_test(test_the_position_is_checked_by_a_majority_and_a_short_wait),
        cmocka_unit_test(test_the_position_is_checked_when_all_have_answered),
        cmocka_unit_test(test_who_lost_its_memory_is_no_witness),
        cmocka_unit_test(test_in_the_end_one_whose_log_is_ahead_will_do),
        cmocka_unit_test(test_who_is_silent_is_greeted),
        cmocka_unit_test(test_strangers_are_those_who_speak_and_are_not_members),
        cmocka_unit_test(test_a_hello_that_cannot_be_is_dropped),
        cmocka_unit_test(test_strangers_are_bounded),
        cmocka_unit_test(test_who_is_taken_for_its_old_self_says_who_it_is),
        cmocka_unit_test(test_an_empty_node_joins_who_knows_it),
        cmocka_unit_test(test_a_maker_gives_up_when_those_it_needs_are_gone),
        cmocka_unit_test(test_who_joined_gives_up_when_nobody_else_is_there),
        cmocka_unit_test(test_a_list_of_an_older_membership_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
