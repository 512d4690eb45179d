/*
 * The conditions of a voter and the count of the holder, one by one; then all of them together,
 * in every order of events that fits into a short time, on three nodes: no two leases overlap,
 * and without any one of the conditions they do.
 */
#include "tests/lib/test.h"

#include <string.h>

#include "base/time.h"
#include "ha/lease.h"

#define TTL_MS 2000

#define A 1
#define B 2
#define C 3

static struct lease_voter voter;
static struct lease_holder holder;

/* A log that has nothing against epoch 1. */
static struct lease_log plain_log(void)
{
    return (struct lease_log){
        .epoch = 1,
        .holds_grant = true,
        .holds_serving = true,
        .ttl_max_ms = TTL_MS,
        .position_checked = true,
    };
}

static enum lease_verdict judge(struct lease_log log, uint64_t node, uint64_t epoch, uint64_t now)
{
    if (log.epoch < epoch) {
        log.epoch = epoch;
    }
    return lease_voter_judge(&voter, &log, node, epoch, TTL_MS, now);
}

/* --- The voter. --- */

static void test_a_voter_answers_when_nothing_is_against_it(void **state)
{
    (void)state;
    lease_voter_init(&voter, 1000);
    assert_int_equal(judge(plain_log(), A, 1, 1000), LEASE_ANSWER);
}

static void test_each_condition_of_its_own_refuses(void **state)
{
    static const struct {
        struct lease_log log;
        uint64_t ttl_ms;
        enum lease_verdict verdict;
    } cases[] = {
        {{5, true, true, false, TTL_MS, false},    TTL_MS, LEASE_REFUSE_NOT_CHECKED},
        {{6, true, true, false, TTL_MS, true},     TTL_MS, LEASE_REFUSE_NEWER_EPOCH},
        {{5, false, true, false, TTL_MS, true},    TTL_MS, LEASE_REFUSE_NO_GRANT   },
        {{5, true, true, false, TTL_MS - 1, true}, TTL_MS, LEASE_REFUSE_TTL        },
        {{5, true, true, false, TTL_MS, true},     0,      LEASE_REFUSE_TTL        },
        {{5, true, false, false, TTL_MS, true},    TTL_MS, LEASE_REFUSE_WAIT       },
        {{5, true, false, true, TTL_MS, true},     TTL_MS, LEASE_ANSWER            },
        {{5, true, true, false, TTL_MS, true},     TTL_MS, LEASE_ANSWER            },
        {{5, true, true, false, TTL_MS, true},     1,      LEASE_ANSWER            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        lease_voter_init(&voter, 1000);
        assert_int_equal(
            lease_voter_judge(&voter, &cases[i].log, A, 5, cases[i].ttl_ms, 1001),
            cases[i].verdict);
        /* What was refused is not remembered as given. */
        assert_int_equal(voter.count, cases[i].verdict == LEASE_ANSWER ? 1 : 0);
    }
}

static void test_a_restarted_voter_waits_by_the_longest_ttl_of_its_log(void **state)
{
    struct lease_log log = plain_log();

    (void)state;
    lease_voter_init(&voter, 1000);
    log.holds_serving = false;
    log.ttl_max_ms = 3 * TTL_MS;
    assert_int_equal(judge(log, A, 1, 1000 + 6059), LEASE_REFUSE_WAIT);
    assert_int_equal(judge(log, A, 1, 1000 + 6060), LEASE_ANSWER);
}

static void test_another_node_in_a_newer_epoch_waits_the_same_node_does_not(void **state)
{
    struct lease_log log = plain_log();

    (void)state;
    lease_voter_init(&voter, 0);
    assert_int_equal(judge(log, A, 1, 10000), LEASE_ANSWER);
    assert_int_equal(judge(log, B, 2, 10001), LEASE_REFUSE_WAIT);
    assert_int_equal(judge(log, A, 2, 10001), LEASE_ANSWER);
    assert_int_equal(judge(log, B, 3, 10001 + 2019), LEASE_REFUSE_WAIT);
    assert_int_equal(judge(log, B, 3, 10001 + 2020), LEASE_ANSWER);
}

static void test_a_voter_waits_by_what_it_has_given(void **state)
{
    struct lease_log log = plain_log();

    (void)state;
    lease_voter_init(&voter, 0);
    log.ttl_max_ms = 10 * TTL_MS;
    assert_int_equal(lease_voter_judge(&voter, &log, A, 1, 10 * TTL_MS, 30000), LEASE_ANSWER);
    log.ttl_max_ms = TTL_MS;
    assert_int_equal(judge(log, A, 1, 31000), LEASE_ANSWER); /* The longer one still runs. */
    assert_int_equal(judge(log, B, 2, 30000 + 20199), LEASE_REFUSE_WAIT);
    assert_int_equal(judge(log, A, 1, 60000), LEASE_ANSWER); /* And is forgotten when it is over. */
    assert_int_equal(judge(log, B, 2, 60000 + 2019), LEASE_REFUSE_WAIT);
    assert_int_equal(judge(log, B, 2, 60000 + 2020), LEASE_ANSWER);
}

static void test_the_wait_left_is_that_of_a_node_that_was_never_answered(void **state)
{
    (void)state;
    lease_voter_init(&voter, 500);
    assert_int_equal(lease_voter_wait_until(&voter, 0, 2, true, TTL_MS), 0);
    assert_int_equal(lease_voter_wait_until(&voter, 0, 2, false, TTL_MS), 500 + 2020);
    assert_int_equal(judge(plain_log(), A, 1, 10000), LEASE_ANSWER);
    assert_int_equal(lease_voter_wait_until(&voter, 0, 2, false, TTL_MS), 10000 + 2020);
    assert_int_equal(lease_voter_wait_until(&voter, A, 2, true, TTL_MS), 0);
    assert_int_equal(lease_voter_wait_until(&voter, B, 1, true, TTL_MS), 0); /* Not older. */
}

static void test_a_voter_that_forgets_somebody_keeps_the_promise(void **state)
{
    struct lease_log log = plain_log();

    (void)state;
    lease_voter_init(&voter, 0);
    log.fenced = true;
    for (uint64_t node = 1; node <= CLUSTER_MEMBERS_MAX + 1; node++) {
        assert_int_equal(judge(log, node, node, 10000 + node), LEASE_ANSWER);
    }
    assert_int_equal(voter.count, CLUSTER_MEMBERS_MAX);
    assert_int_equal(lease_voter_wait_until(&voter, 0, 1, true, TTL_MS), 10001 + 2020);
}

/* --- The holder. --- */

static struct lease_members members_of(uint32_t voters)
{
    struct lease_members members = {.voter_count = voters};

    for (uint32_t i = 0; i < voters; i++) {
        members.voters[i] = i + 1;
    }
    return members;
}

static struct ha_round begin_round(uint64_t now_ms)
{
    const struct cluster_grant grant = {.epoch = 4, .node = A, .grant_term = 7, .grant_index = 99};
    struct ha_round round;

    lease_holder_init(&holder, 55);
    lease_holder_grant(&holder, &grant);
    lease_holder_send(&holder, TTL_MS, now_ms, &round);
    return round;
}

static uint32_t count_bits(uint32_t set)
{
    uint32_t count = 0;

    for (; set != 0; set &= set - 1) {
        count++;
    }
    return count;
}

static void test_a_round_is_completed_by_every_majority_and_by_nothing_less(void **state)
{
    (void)state;
    for (uint32_t voters = 1; voters <= 7; voters++) {
        const struct lease_members members = members_of(voters);

        /* One more than there are voters: the answer of a learner counts for nothing. */
        for (uint32_t set = 0; set < 1u << (voters + 1); set++) {
            const struct ha_round round = begin_round(1000);
            const uint32_t answered = count_bits(set & ((1u << voters) - 1));

            for (uint32_t i = 0; i <= voters; i++) {
                if ((set >> i & 1) != 0) {
                    lease_holder_answer(&holder, i + 1, &round, &members, 1500);
                    lease_holder_answer(&holder, i + 1, &round, &members, 1500); /* Twice. */
                }
            }
            assert_int_equal(lease_holder_runs(&holder, 1500), answered * 2 > voters);
        }
    }
}

static void test_a_lease_runs_from_the_send_time_of_its_round(void **state)
{
    const struct lease_members members = members_of(3);
    const struct ha_round round = begin_round(1000);

    (void)state;
    assert_false(lease_holder_answer(&holder, A, &round, &members, 1000));
    assert_true(lease_holder_answer(&holder, B, &round, &members, 2900));
    assert_int_equal(holder.expires_ms, 1000 + 1980);
    assert_true(lease_holder_runs(&holder, 2979));
    assert_false(lease_holder_runs(&holder, 2980));
}

static void test_an_answer_counts_for_the_very_round_it_names(void **state)
{
    const struct lease_members members = members_of(1);
    const struct ha_round right = begin_round(1000);
    struct ha_round wrong[6];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        wrong[i] = right;
    }
    wrong[0].epoch++;
    wrong[1].grant_term++;
    wrong[2].grant_index++;
    wrong[3].start_id++;
    wrong[4].number++;
    wrong[5].number = 0;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_false(lease_holder_answer(&holder, A, &wrong[i], &members, 1001));
    }
    assert_true(lease_holder_answer(&holder, A, &right, &members, 1001));
}

static void test_an_answer_does_not_count_for_the_round_that_took_its_place(void **state)
{
    const struct lease_members members = members_of(1);
    const struct ha_round old = begin_round(1000);
    struct ha_round newest = old;

    (void)state;
    for (uint64_t i = 1; i <= LEASE_ROUNDS_MAX; i++) {
        lease_holder_send(&holder, TTL_MS, 1000 + i, &newest);
    }
    assert_false(lease_holder_answer(&holder, A, &old, &members, 1001 + LEASE_ROUNDS_MAX));
    assert_int_equal(holder.completed_number, 0);
    assert_true(lease_holder_answer(&holder, A, &newest, &members, 1001 + LEASE_ROUNDS_MAX));
}

static void test_a_round_too_old_to_give_a_lease_is_not_completed(void **state)
{
    const struct lease_members members = members_of(1);
    const struct ha_round round = begin_round(1000);

    (void)state;
    assert_false(lease_holder_answer(&holder, A, &round, &members, 2980));
    assert_int_equal(holder.completed_number, 0);
}

static void test_an_older_round_never_shortens_the_lease(void **state)
{
    const struct lease_members members = members_of(1);
    const struct ha_round first = begin_round(1000);
    struct ha_round second;

    (void)state;
    lease_holder_send(&holder, TTL_MS, 1200, &second);
    assert_true(lease_holder_answer(&holder, A, &second, &members, 1300));
    assert_false(lease_holder_answer(&holder, A, &first, &members, 1300));
    assert_int_equal(holder.expires_ms, 1200 + 1980);
    /* Nor does a shorter ttl. */
    lease_holder_send(&holder, TTL_MS / 10, 1300, &second);
    assert_true(lease_holder_answer(&holder, A, &second, &members, 1300));
    assert_int_equal(holder.expires_ms, 1200 + 1980);
}

static void test_round_numbers_go_on_across_grants(void **state)
{
    const struct lease_members members = members_of(1);
    const struct ha_round old = begin_round(1000);
    const struct cluster_grant next = {.epoch = 5, .node = A, .grant_term = 7, .grant_index = 120};
    struct ha_round round;

    (void)state;
    lease_holder_grant(&holder, &next);
    assert_false(lease_holder_runs(&holder, 1000));
    lease_holder_send(&holder, TTL_MS, 1100, &round);
    assert_true(round.number > old.number);
    assert_false(lease_holder_answer(&holder, A, &old, &members, 1100));
}

static void test_failsafe_extends_a_lease_and_begins_none(void **state)
{
    struct lease_members members = members_of(5);
    struct ha_round round = begin_round(1000);

    (void)state;
    members.failsafe_count = 2;
    members.failsafe[0] = A;
    members.failsafe[1] = B;
    lease_holder_answer(&holder, A, &round, &members, 1001);
    assert_false(lease_holder_answer(&holder, B, &round, &members, 1001));
    assert_true(lease_holder_answer(&holder, C, &round, &members, 1001)); /* A majority. */

    lease_holder_send(&holder, TTL_MS, 2000, &round);
    assert_false(lease_holder_answer(&holder, A, &round, &members, 2001)); /* Not every one. */
    assert_true(lease_holder_answer(&holder, B, &round, &members, 2001));

    lease_holder_send(&holder, TTL_MS, 3980, &round); /* It has ended. */
    lease_holder_answer(&holder, A, &round, &members, 3981);
    assert_false(lease_holder_answer(&holder, B, &round, &members, 3981));
}

/* --- All of it: A holds epoch 1, B is granted epoch 2. --- */

#define NODES      3
#define SHORT_TTL  2 /* Ticks: a lease of 1, a wait of 3. */
#define LONG_TTL   5 /* A lease of 4, a wait of 6. */
#define TICKS      4
#define FIRST_TICK 100
#define SEEN_SIZE  (1u << 22)

enum without {
    WITHOUT_NOTHING,
    WITHOUT_NEWER_EPOCH, /* Rule 1. */
    WITHOUT_WAIT,        /* Condition (iii). */
    WITHOUT_START_WAIT,  /* Rule 4. */
    WITHOUT_TTL,         /* Rule 3: the holder's ttl is longer than what the log names. */
    WITHOUT_MAJORITY,
};

struct world {
    uint64_t now;
    uint32_t restarts;
    bool knows_2[NODES]; /* Its log holds epoch 2. */
    struct lease_voter voters[NODES];
    struct lease_holder holders[2];
    struct ha_round rounds[2]; /* The newest of each. */
};

static struct {
    enum without without;
    uint64_t seen[SEEN_SIZE]; /* Hashes of the worlds that were looked at. */
    uint32_t seen_count;
    uint64_t steps;
} search;

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    return hash * 0xff51afd7ed558ccdu ^ hash >> 29;
}

static uint64_t hash_world(const struct world *world)
{
    uint64_t hash = mix(world->now, world->restarts);

    for (size_t i = 0; i < NODES; i++) {
        const struct lease_voter *each = &world->voters[i];

        uint64_t until_ms[2] = {0, 0};

        for (uint32_t j = 0; j < each->count; j++) {
            until_ms[each->answers[j].node - 1] = each->answers[j].until_ms;
        }
        hash = mix(mix(hash, world->knows_2[i] ? 1 : 0), each->start_ms);
        hash = mix(mix(hash, until_ms[0]), until_ms[1]);
    }
    for (size_t i = 0; i < 2; i++) {
        const struct lease_holder *each = &world->holders[i];
        const struct lease_flight *flight = &each->flights[each->number % LEASE_ROUNDS_MAX];

        uint64_t answered = 0;

        for (uint32_t j = 0; j < flight->count; j++) {
            answered |= 1u << flight->answered[j]; /* In which order does not matter. */
        }
        hash = mix(mix(mix(hash, each->expires_ms), flight->sent_ms), answered);
    }
    return hash | 1;
}

static bool was_seen(const struct world *world)
{
    const uint64_t hash = hash_world(world);
    uint32_t place = (uint32_t)(hash >> 20) % SEEN_SIZE;

    while (search.seen[place] != 0) {
        if (search.seen[place] == hash) {
            return true;
        }
        place = (place + 1) % SEEN_SIZE;
    }
    search.seen_count++;
    assert_true(search.seen_count < SEEN_SIZE / 2);
    search.seen[place] = hash;
    return false;
}

static uint64_t ttl_of(size_t who)
{
    return who == 0 && search.without == WITHOUT_TTL ? LONG_TTL : SHORT_TTL;
}

static void deliver(struct world *world, size_t who, size_t to)
{
    const uint64_t epoch = who + 1;
    struct lease_members members = members_of(NODES);
    struct lease_log log = {
        .epoch = world->knows_2[to] ? 2 : 1,
        .holds_grant = epoch == 1 || world->knows_2[to],
        .holds_serving = epoch == 1, /* B has not served yet. */
        .ttl_max_ms = search.without == WITHOUT_TTL && who == 0 ? LONG_TTL : SHORT_TTL,
        .position_checked = true,
    };

    if (search.without == WITHOUT_NEWER_EPOCH) {
        log.epoch = epoch;
    }
    log.fenced = search.without == WITHOUT_WAIT;
    log.holds_serving |= search.without == WITHOUT_START_WAIT;
    if (search.without == WITHOUT_MAJORITY) {
        members.voter_count = 1;
        members.voters[0] = who + 1;
    }
    if (lease_voter_judge(&world->voters[to], &log, who + 1, epoch, ttl_of(who), world->now) ==
        LEASE_ANSWER) {
        lease_holder_answer(
            &world->holders[who], to + 1, &world->rounds[who], &members, world->now);
    }
}

/* B was granted epoch 2 when a majority has it in its log, B among them. */
static bool may_send(const struct world *world, size_t who)
{
    uint32_t know = 0;

    for (size_t i = 0; i < NODES; i++) {
        know += world->knows_2[i] ? 1 : 0;
    }
    return who == 0 ? !world->knows_2[0] : world->knows_2[1] && know >= 2;
}

static bool overlaps(const struct world *world);

/* Every world that follows from this one; true if one of them has two leases. */
static bool any_successor_overlaps(const struct world *world)
{
    struct world next;

    for (size_t i = 0; i < NODES; i++) {
        if (!world->knows_2[i]) {
            next = *world;
            next.knows_2[i] = true;
            if (overlaps(&next)) {
                return true;
            }
        }
        if (world->restarts == 0 && i != 0) {
            next = *world;
            next.restarts = 1;
            lease_voter_init(&next.voters[i], next.now);
            if (overlaps(&next)) {
                return true;
            }
        }
        for (size_t who = 0; who < 2; who++) {
            if (world->rounds[who].number != 0 && who != i) {
                next = *world;
                deliver(&next, who, i);
                if (overlaps(&next)) {
                    return true;
                }
            }
        }
    }
    for (size_t who = 0; who < 2; who++) {
        const struct lease_holder *each = &world->holders[who];

        if (may_send(world, who) &&
            each->flights[each->number % LEASE_ROUNDS_MAX].sent_ms != world->now) {
            next = *world;
            lease_holder_send(&next.holders[who], ttl_of(who), next.now, &next.rounds[who]);
            deliver(&next, who, who); /* A holder asks itself at once. */
            if (overlaps(&next)) {
                return true;
            }
        }
    }
    if (world->now < FIRST_TICK + TICKS) {
        next = *world;
        next.now++;
        return overlaps(&next);
    }
    return false;
}

static bool overlaps(const struct world *world)
{
    if (was_seen(world)) {
        return false;
    }
    if (lease_holder_runs(&world->holders[0], world->now) &&
        lease_holder_runs(&world->holders[1], world->now)) {
        return true;
    }
    return any_successor_overlaps(world);
}

static bool two_leases_are_possible(enum without without)
{
    static struct world world;

    memset(&search, 0, sizeof search);
    memset(&world, 0, sizeof world);
    search.without = without;
    world.now = FIRST_TICK;
    for (size_t i = 0; i < NODES; i++) {
        lease_voter_init(&world.voters[i], 0);
    }
    for (uint64_t who = 0; who < 2; who++) {
        const struct cluster_grant grant = {
            .epoch = who + 1, .node = who + 1, .grant_term = 1, .grant_index = who + 1};

        lease_holder_init(&world.holders[who], who + 1);
        lease_holder_grant(&world.holders[who], &grant);
    }
    return overlaps(&world);
}

static void test_no_two_leases_overlap(void **state)
{
    (void)state;
    assert_false(two_leases_are_possible(WITHOUT_NOTHING));
    assert_true(search.seen_count > 10000); /* It was looked for. */
}

static void test_without_any_one_of_the_conditions_two_leases_overlap(void **state)
{
    (void)state;
    assert_true(two_leases_are_possible(WITHOUT_NEWER_EPOCH));
    assert_true(two_leases_are_possible(WITHOUT_WAIT));
    assert_true(two_leases_are_possible(WITHOUT_START_WAIT));
    assert_true(two_leases_are_possible(WITHOUT_TTL));
    assert_true(two_leases_are_possible(WITHOUT_MAJORITY));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_voter_answers_when_nothing_is_against_it),
        TEST(test_each_condition_of_its_own_refuses),
        TEST(test_a_restarted_voter_waits_by_the_longest_ttl_of_its_log),
        TEST(test_another_node_in_a_newer_epoch_waits_the_same_node_does_not),
        TEST(test_a_voter_waits_by_what_it_has_given),
        TEST(test_the_wait_left_is_that_of_a_node_that_was_never_answered),
        TEST(test_a_voter_that_forgets_somebody_keeps_the_promise),
        TEST(test_a_round_is_completed_by_every_majority_and_by_nothing_less),
        TEST(test_a_lease_runs_from_the_send_time_of_its_round),
        TEST(test_an_answer_counts_for_the_very_round_it_names),
        TEST(test_an_answer_does_not_count_for_the_round_that_took_its_place),
        TEST(test_a_round_too_old_to_give_a_lease_is_not_completed),
        TEST(test_an_older_round_never_shortens_the_lease),
        TEST(test_round_numbers_go_on_across_grants),
        TEST(test_failsafe_extends_a_lease_and_begins_none),
        TEST(test_no_two_leases_overlap),
        TEST(test_without_any_one_of_the_conditions_two_leases_overlap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
