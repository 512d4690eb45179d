#include "pgctl/guard/deadline.h"

#include "base/time.h"
#include "tests/lib/test.h"

#define MARGIN_MS 50

/* A core at some time, and what its last step said. */
static struct deadline core;
static struct deadline_update update;

static void begin_at(uint64_t now_ms)
{
    deadline_init(&core, now_ms, MARGIN_MS);
}

static enum guard_refusal step(struct deadline_event event)
{
    deadline_step(&core, &event, &update);
    return update.refusal;
}

static void tick(uint64_t now_ms)
{
    assert_int_equal(
        step((struct deadline_event){.kind = DEADLINE_EVENT_TICK, .now_ms = now_ms}),
        GUARD_REFUSAL_NONE);
}

static struct deadline_event standby(uint64_t now_ms)
{
    return (struct deadline_event){
        .kind = DEADLINE_EVENT_START, .now_ms = now_ms, .start_mode = GUARD_START_STANDBY};
}

/* The fence of these is 300 ms before the end. */
static struct deadline_event lease(
    enum deadline_event_kind kind, uint64_t now_ms, uint64_t epoch, uint64_t end_ms)
{
    return (struct deadline_event){
        .kind = kind,
        .now_ms = now_ms,
        .epoch = epoch,
        .start_mode = GUARD_START_WRITABLE,
        .deadline = {.fence_ms = end_ms - 300, .end_ms = end_ms},
    };
}

static struct deadline_event start(uint64_t now_ms, uint64_t epoch, uint64_t end_ms)
{
    return lease(DEADLINE_EVENT_START, now_ms, epoch, end_ms);
}

static struct deadline_event promoted(uint64_t now_ms, uint64_t epoch, uint64_t end_ms)
{
    return lease(DEADLINE_EVENT_PROMOTED, now_ms, epoch, end_ms);
}

static struct deadline_event renew(uint64_t now_ms, uint64_t epoch, uint64_t end_ms)
{
    return lease(DEADLINE_EVENT_RENEW, now_ms, epoch, end_ms);
}

static struct deadline_event stop(uint64_t now_ms, enum guard_stop_mode mode)
{
    return (struct deadline_event){
        .kind = DEADLINE_EVENT_STOP, .now_ms = now_ms, .stop_mode = mode};
}

static struct deadline_event gone(uint64_t now_ms, bool by_signal)
{
    return (struct deadline_event){
        .kind = DEADLINE_EVENT_SERVER_GONE, .now_ms = now_ms, .by_signal = by_signal};
}

static struct deadline_event tree(uint64_t now_ms, uint32_t count, bool all_signalled)
{
    return (struct deadline_event){
        .kind = DEADLINE_EVENT_TREE,
        .now_ms = now_ms,
        .tree_count = count,
        .all_signalled = all_signalled,
    };
}

static struct deadline_event simple(enum deadline_event_kind kind, uint64_t now_ms)
{
    return (struct deadline_event){.kind = kind, .now_ms = now_ms};
}

static void accept(struct deadline_event event)
{
    assert_int_equal(step(event), GUARD_REFUSAL_NONE);
}

/* Refused for this reason; and a refusal changes neither phase nor epoch nor deadline. */
static void refuse(struct deadline_event event, enum guard_refusal want)
{
    const struct deadline before = core;

    assert_int_equal(deadline_check(&core, &event), want);
    assert_int_equal(step(event), want);
    assert_int_equal(core.phase, before.phase);
    assert_int_equal(core.armed_epoch, before.armed_epoch);
    assert_int_equal(core.armed.end_ms, before.armed.end_ms);
    assert_int_equal(core.armed.fence_ms, before.armed.fence_ms);
    assert_int_equal(core.highest_epoch, before.highest_epoch);
    assert_int_equal(core.ended_epoch, before.ended_epoch);
    assert_false(update.feed);
}

static void test_a_standby_runs_without_a_deadline(void **state)
{
    (void)state;
    begin_at(1000);
    accept(standby(1000));
    assert_int_equal(core.phase, GUARD_PHASE_STANDBY);
    assert_true(update.wake_ms == TIME_NEVER);
    assert_true(update.timer_ms == TIME_NEVER);
    assert_false(update.watchdog);
    assert_false(update.feed);
    tick(1000000);
    assert_int_equal(core.phase, GUARD_PHASE_STANDBY);
}

static void test_a_standby_starts_any_number_of_times(void **state)
{
    (void)state;
    begin_at(1000);
    for (uint64_t now_ms = 1000; now_ms < 1010; now_ms++) {
        accept(standby(now_ms));
        accept(gone(now_ms, false));
        accept(tree(now_ms, 0, false));
        assert_int_equal(core.phase, GUARD_PHASE_IDLE);
    }
}

static void test_a_writable_start_arms_timer_and_watchdog(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    assert_int_equal(core.phase, GUARD_PHASE_ARMED);
    assert_int_equal(core.armed_epoch, 5);
    assert_int_equal(update.wake_ms, 2700);
    assert_int_equal(update.timer_ms, 3000);
    assert_true(update.watchdog);
    assert_true(update.feed);
}

static void test_without_renewal_it_fences_then_kills_then_the_timer_is_due(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    tick(2699);
    assert_false(update.signal);
    tick(2700);
    assert_int_equal(core.phase, GUARD_PHASE_FENCING);
    assert_true(update.signal);
    assert_int_equal(update.signal_mode, GUARD_STOP_IMMEDIATE);
    assert_false(update.kill);
    assert_int_equal(core.fenced_epoch, 5);
    assert_int_equal(core.fenced_ms, 2700);
    assert_int_equal(update.wake_ms, 3000 - MARGIN_MS);
    tick(2949);
    assert_false(update.kill);
    tick(2950);
    assert_int_equal(core.phase, GUARD_PHASE_KILLING);
    assert_true(update.kill);
    assert_int_equal(update.timer_ms, 3000);
    tick(update.wake_ms);
    assert_true(update.kill);
    accept(tree(2960, 0, false));
    assert_int_equal(core.phase, GUARD_PHASE_IDLE);
    assert_int_equal(core.ended_epoch, 5);
    assert_int_equal(core.gone_ms, 2960);
    assert_true(update.timer_ms == TIME_NEVER);
    assert_false(update.watchdog);
}

static void test_a_renewal_moves_fence_and_timer(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    accept(renew(2000, 5, 4000));
    assert_true(update.feed);
    assert_int_equal(update.timer_ms, 4000);
    assert_int_equal(update.wake_ms, 3700);
    tick(3699);
    assert_int_equal(core.phase, GUARD_PHASE_ARMED);
}

static void test_an_older_renewal_takes_nothing_back(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    accept(renew(1500, 5, 2900));
    assert_int_equal(core.armed.end_ms, 3000);
    assert_int_equal(core.armed.fence_ms, 2700);
}

static void test_a_renewal_that_waited_past_the_fence_comes_too_late(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    /* Nobody ticked: the guard was stopped, the renewal lay in the socket. */
    assert_int_equal(step(renew(2700, 5, 9000)), GUARD_REFUSAL_FENCED);
    assert_int_equal(core.phase, GUARD_PHASE_FENCING);
    assert_true(update.signal);
    assert_int_equal(core.armed.end_ms, 3000);
    assert_false(update.feed);
    assert_int_equal(step(renew(9000, 5, 12000)), GUARD_REFUSAL_FENCED);
    assert_true(update.kill);
}

static void test_renewals_are_refused_for_a_reason(void **state)
{
    (void)state;
    begin_at(1000);
    refuse(renew(1000, 0, 3000), GUARD_REFUSAL_EPOCH_ENDED);
    refuse(renew(1000, 4, 3000), GUARD_REFUSAL_NOT_ARMED);
    accept(start(1000, 5, 3000));
    refuse(renew(1000, 4, 3000), GUARD_REFUSAL_EPOCH_LOW);
    refuse(renew(1000, 6, 3000), GUARD_REFUSAL_NOT_ARMED);
    refuse(renew(2500, 5, 2800), GUARD_REFUSAL_DEADLINE_PAST);
    refuse(renew(2500, 5, 2500 + GUARD_LEASE_MAX_MS + 1), GUARD_REFUSAL_DEADLINE_INVALID);
    refuse(
        (struct deadline_event){
            .kind = DEADLINE_EVENT_RENEW,
            .now_ms = 2500,
            .epoch = 5,
            .deadline = {.fence_ms = 4001, .end_ms = 4000}
    },
        GUARD_REFUSAL_DEADLINE_INVALID);
    accept(gone(2500, false));
    refuse(renew(2500, 5, 4000), GUARD_REFUSAL_ENDING);
    accept(tree(2500, 0, false));
    refuse(renew(2500, 5, 4000), GUARD_REFUSAL_EPOCH_ENDED);

    accept(start(2600, 6, 3000));
    tick(2700);
    refuse(renew(2700, 6, 5000), GUARD_REFUSAL_FENCED);
    accept(gone(2700, false));
    accept(tree(2700, 0, false));
    refuse(renew(2700, 6, 5000), GUARD_REFUSAL_FENCED);
}

static void test_an_epoch_has_one_start(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    accept(gone(1000, true));
    accept(tree(1000, 0, false));
    refuse(start(1000, 5, 3000), GUARD_REFUSAL_EPOCH_ENDED);
    refuse(start(1000, 4, 3000), GUARD_REFUSAL_EPOCH_ENDED);
    accept(standby(1000));
    refuse(promoted(1000, 5, 3000), GUARD_REFUSAL_EPOCH_ENDED);
    accept(promoted(1000, 6, 3000));
}

static void test_starts_are_refused_for_a_reason(void **state)
{
    struct deadline_event odd = standby(1000);

    (void)state;
    begin_at(1000);
    odd.epoch = 1;
    refuse(odd, GUARD_REFUSAL_EPOCH_UNWANTED);
    refuse(start(1000, 0, 3000), GUARD_REFUSAL_EPOCH_NEEDED);
    refuse(start(1000, 5, 1300), GUARD_REFUSAL_DEADLINE_PAST);
    refuse(start(1000, 5, 1000 + GUARD_LEASE_MAX_MS + 1), GUARD_REFUSAL_DEADLINE_INVALID);
    accept(start(1000, 5, 3000));
    refuse(start(1000, 6, 3000), GUARD_REFUSAL_TREE_LEFT);
    refuse(standby(1000), GUARD_REFUSAL_TREE_LEFT);
    refuse(simple(DEADLINE_EVENT_ADOPT, 1000), GUARD_REFUSAL_TREE_LEFT);
    accept(gone(1000, false));
    refuse(standby(1000), GUARD_REFUSAL_TREE_LEFT);
    accept(tree(1001, 2, false));
    refuse(standby(1001), GUARD_REFUSAL_TREE_LEFT);
    accept(tree(1002, 0, false));
    accept(standby(1002));
}

static void test_a_promotion_arms_before_it_happens(void **state)
{
    (void)state;
    begin_at(1000);
    refuse(promoted(1000, 5, 3000), GUARD_REFUSAL_NOT_RUNNING);
    accept(standby(1000));
    refuse(promoted(1000, 0, 3000), GUARD_REFUSAL_EPOCH_NEEDED);
    refuse(promoted(1000, 5, 1300), GUARD_REFUSAL_DEADLINE_PAST);
    accept(promoted(1000, 5, 3000));
    assert_int_equal(core.phase, GUARD_PHASE_ARMED);
    assert_int_equal(update.timer_ms, 3000);
    assert_true(update.watchdog);
    assert_true(update.feed);
    /* Said again by a daemon that missed the answer: like a renewal. */
    accept(promoted(1500, 5, 3500));
    assert_int_equal(core.armed.end_ms, 3500);
}

static void test_the_next_epoch_takes_over_a_running_primary(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    refuse(promoted(1000, 4, 3000), GUARD_REFUSAL_EPOCH_LOW);
    accept(promoted(1500, 6, 2500));
    assert_int_equal(core.armed_epoch, 6);
    assert_int_equal(core.ended_epoch, 5);
    assert_int_equal(core.armed.end_ms, 2500);
    refuse(renew(1500, 5, 4000), GUARD_REFUSAL_EPOCH_ENDED);
    accept(renew(1500, 6, 4000));
    tick(3700);
    refuse(promoted(3700, 7, 9000), GUARD_REFUSAL_FENCED);
    accept(gone(3700, false));
    refuse(promoted(3700, 7, 9000), GUARD_REFUSAL_ENDING);
}

static void test_stops_send_their_signal(void **state)
{
    static const enum guard_stop_mode modes[] = {
        GUARD_STOP_SMART, GUARD_STOP_FAST, GUARD_STOP_IMMEDIATE};

    (void)state;
    begin_at(1000);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        refuse(stop(1000, modes[i]), GUARD_REFUSAL_NOT_RUNNING);
    }
    accept(stop(1000, GUARD_STOP_KILL));
    assert_int_equal(core.phase, GUARD_PHASE_IDLE);
    accept(start(1000, 5, 3000));
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        accept(stop(1000, modes[i]));
        assert_true(update.signal);
        assert_int_equal(update.signal_mode, modes[i]);
        assert_int_equal(core.phase, GUARD_PHASE_ARMED);
    }
    accept(renew(1100, 5, 3100)); /* A stop goes on under the lease. */
    tick(2800);
    refuse(stop(2800, GUARD_STOP_SMART), GUARD_REFUSAL_FENCED);
    refuse(stop(2800, GUARD_STOP_FAST), GUARD_REFUSAL_FENCED);
    accept(stop(2800, GUARD_STOP_IMMEDIATE));
    assert_false(update.signal);
    accept(stop(2800, GUARD_STOP_KILL));
    assert_int_equal(core.phase, GUARD_PHASE_KILLING);
    assert_true(update.kill);
    refuse(stop(2800, GUARD_STOP_FAST), GUARD_REFUSAL_ENDING);
}

static void test_a_killed_postmaster_takes_its_backends_at_once(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    accept(gone(1500, true));
    assert_int_equal(core.phase, GUARD_PHASE_KILLING);
    assert_true(update.kill);
    assert_true(update.watchdog); /* Until nothing is left. */
}

static void test_after_an_orderly_end_what_is_left_has_a_moment(void **state)
{
    (void)state;
    begin_at(1000);
    accept(standby(1000));
    accept(gone(1500, false));
    assert_int_equal(core.phase, GUARD_PHASE_SWEEPING);
    assert_false(update.kill);
    assert_int_equal(update.wake_ms, 1600);
    tick(1600);
    assert_int_equal(core.phase, GUARD_PHASE_KILLING);
    assert_true(update.kill);
}

static void test_the_moment_ends_with_the_lease(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    accept(gone(2650, false));
    assert_int_equal(update.wake_ms, 2700);
    tick(2700);
    assert_int_equal(core.phase, GUARD_PHASE_KILLING);
    assert_int_equal(core.fenced_epoch, 5);
}

static void test_a_guard_that_has_killed_all_lives_on_past_the_end(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    tick(2960);
    accept(tree(2961, 1, false));
    assert_int_equal(update.timer_ms, 3000);
    accept(tree(2970, 1, true)); /* It hangs in the kernel, with its SIGKILL. */
    assert_int_equal(update.timer_ms, 3970);
    tick(3400);
    assert_true(update.kill);
    assert_int_equal(update.wake_ms, 3450); /* No hurry. */
    assert_int_equal(update.timer_ms, 4400);
    assert_true(update.watchdog);
    refuse(renew(3400, 5, 9000), GUARD_REFUSAL_FENCED);
}

static void test_a_count_before_the_killing_keeps_no_guard_alive(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    accept(tree(1500, 1, true));
    assert_int_equal(update.timer_ms, 3000);
    assert_int_equal(core.phase, GUARD_PHASE_ARMED);
}

static void test_a_slow_sweep_begins_earlier(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    tick(2700);
    assert_int_equal(core.phase, GUARD_PHASE_FENCING);
    assert_int_equal(update.wake_ms, 3000 - MARGIN_MS);
    deadline_set_kill_margin(&core, 120);
    tick(2710);
    assert_int_equal(core.phase, GUARD_PHASE_FENCING);
    assert_int_equal(update.wake_ms, 2880);
    tick(2880);
    assert_true(update.kill);
}

static void test_a_slow_sweep_is_not_repeated_before_it_was_looked_at(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    tick(2700);
    tick(2950);
    assert_true(update.kill);
    accept(tree(2990, 3, false));
    assert_false(update.kill);
    assert_int_equal(update.timer_ms, 3000);
    assert_int_equal(update.wake_ms, 2995);
    tick(2995);
    assert_true(update.kill);
    accept(tree(2999, 3, true));
    assert_false(update.kill);
    assert_int_equal(update.timer_ms, 3999);
    assert_int_equal(update.wake_ms, 3049);
    tick(3049); /* Also where no report comes. */
    assert_true(update.kill);
    tick(3099);
    assert_true(update.kill);
}

static void test_a_margin_above_the_budget_kills_when_the_fence_begins(void **state)
{
    (void)state;
    begin_at(1000);
    deadline_set_kill_margin(&core, 5000);
    accept(start(1000, 5, 3000));
    assert_int_equal(update.wake_ms, 2700);
    tick(2700);
    assert_int_equal(core.phase, GUARD_PHASE_KILLING);
    assert_true(update.kill);
}

static void test_an_adopted_server_is_a_standby_until_it_is_armed(void **state)
{
    (void)state;
    begin_at(1000);
    accept(simple(DEADLINE_EVENT_ADOPT, 1000));
    assert_int_equal(core.phase, GUARD_PHASE_STANDBY);
    assert_true(core.adopted);
    accept(promoted(1000, 5, 3000));
    assert_true(core.adopted);
    accept(gone(1500, false));
    /* Nobody tells when the last one is gone: it has to be counted. */
    assert_true(update.wake_ms < 1510);
    accept(tree(1502, 0, false));
    assert_int_equal(core.phase, GUARD_PHASE_IDLE);
    assert_false(core.adopted);
}

static void test_it_leaves_only_when_nothing_is_left(void **state)
{
    (void)state;
    begin_at(1000);
    accept(start(1000, 5, 3000));
    refuse(simple(DEADLINE_EVENT_SHUTDOWN, 1000), GUARD_REFUSAL_TREE_LEFT);
    assert_false(update.exit);
    accept(simple(DEADLINE_EVENT_LEAVE, 1000));
    assert_true(update.signal);
    assert_int_equal(update.signal_mode, GUARD_STOP_FAST);
    assert_false(update.exit);
    accept(renew(1100, 5, 3100));
    refuse(promoted(1100, 6, 3100), GUARD_REFUSAL_LEAVING);
    accept(gone(1200, false));
    assert_false(update.exit);
    accept(tree(1200, 0, false));
    assert_true(update.exit);
    refuse(standby(1200), GUARD_REFUSAL_LEAVING);
    refuse(simple(DEADLINE_EVENT_ADOPT, 1200), GUARD_REFUSAL_LEAVING);

    begin_at(1000);
    accept(simple(DEADLINE_EVENT_SHUTDOWN, 1000));
    assert_true(update.exit);

    begin_at(1000);
    accept(simple(DEADLINE_EVENT_LEAVE, 1000));
    assert_false(update.signal);
    assert_true(update.exit);
}

/*
 * Every sequence of these events up to a length, on three epochs and a coarse clock, against what
 * must always hold. The oracle keeps its own, simpler books.
 */
struct oracle {
    uint64_t highest;       /* Highest epoch that had its start. */
    uint64_t fenced;        /* Highest epoch whose fence was seen. */
    struct deadline before; /* The core before the event. */
};

#define CHOICES 21

static struct deadline_event choose(uint32_t choice, uint64_t now_ms)
{
    const uint64_t epoch = choice % 3 + 1;

    switch (choice / 3) {
    case 0:
        return start(now_ms, epoch, now_ms + 500);
    case 1:
        return promoted(now_ms, epoch, now_ms + 500);
    case 2:
        return renew(now_ms, epoch, now_ms + 500);
    default:
        break;
    }
    switch (choice) {
    case 9:
        return standby(now_ms);
    case 10:
        return simple(DEADLINE_EVENT_ADOPT, now_ms);
    case 11:
        return stop(now_ms, GUARD_STOP_FAST);
    case 12:
        return stop(now_ms, GUARD_STOP_KILL);
    case 13:
        return gone(now_ms, false);
    case 14:
        return gone(now_ms, true);
    case 15:
        return tree(now_ms, 0, false);
    case 16:
        return tree(now_ms, 3, true);
    case 17:
        return simple(DEADLINE_EVENT_TICK, now_ms + 201);
    case 18:
        return simple(DEADLINE_EVENT_TICK, now_ms + 455);
    case 19:
        return simple(DEADLINE_EVENT_LEAVE, now_ms);
    default:
        return simple(DEADLINE_EVENT_SHUTDOWN, now_ms);
    }
}

static bool is_start(const struct deadline_event *event)
{
    return (event->kind == DEADLINE_EVENT_START && event->epoch != 0) ||
           event->kind == DEADLINE_EVENT_PROMOTED;
}

static void check_starts(struct oracle *oracle, const struct deadline_event *event)
{
    const bool again =
        event->kind == DEADLINE_EVENT_PROMOTED && oracle->before.armed_epoch == event->epoch;

    if (!is_start(event) || update.refusal != GUARD_REFUSAL_NONE || again) {
        return;
    }
    assert_true(event->epoch > oracle->highest);
    assert_true(event->epoch > oracle->fenced);
    if (event->kind == DEADLINE_EVENT_START) {
        assert_int_equal(oracle->before.phase, GUARD_PHASE_IDLE);
    }
    oracle->highest = event->epoch;
    assert_true(core.armed_epoch == event->epoch);
    assert_true(update.timer_ms == event->deadline.end_ms);
    assert_true(update.watchdog && update.feed);
}

static void check_always(struct oracle *oracle, const struct deadline_event *event)
{
    const bool armed = core.armed_epoch != 0;

    assert_true(update.wake_ms > core.now_ms);
    assert_true(core.ended_epoch <= core.highest_epoch);
    assert_true(core.highest_epoch == oracle->highest);
    assert_true(core.fenced_epoch >= oracle->fenced);
    oracle->fenced = core.fenced_epoch;
    if (event->kind == DEADLINE_EVENT_RENEW && event->epoch <= oracle->fenced) {
        assert_int_not_equal(update.refusal, GUARD_REFUSAL_NONE);
    }
    if (core.phase == GUARD_PHASE_IDLE || core.phase == GUARD_PHASE_STANDBY) {
        assert_false(armed);
        assert_false(update.watchdog);
        assert_true(update.timer_ms == TIME_NEVER);
        return;
    }
    assert_true(update.watchdog == armed);
    if (armed) {
        /* Never out of the kernel's reach, and awake in time for the fence and the killing. */
        assert_true(update.timer_ms == core.armed.end_ms || core.all_signalled);
        assert_true(core.now_ms < core.armed.fence_ms || core.fenced_epoch == core.armed_epoch);
        assert_true(
            core.now_ms < core.armed.end_ms - MARGIN_MS || core.phase == GUARD_PHASE_KILLING);
        assert_true(update.wake_ms <= core.armed.end_ms || core.phase == GUARD_PHASE_KILLING);
    }
    assert_false(update.exit);
}

static void explore(
    const struct deadline *from, const struct oracle *books, uint32_t depth, uint64_t *steps)
{
    for (uint32_t choice = 0; choice < CHOICES; choice++) {
        struct oracle oracle = *books;
        const struct deadline_event event = choose(choice, from->now_ms);
        struct deadline after;

        oracle.before = *from;
        core = *from;
        assert_true(deadline_check(&core, &event) == step(event));
        check_starts(&oracle, &event);
        check_always(&oracle, &event);
        (*steps)++;
        after = core;
        if (depth > 1) {
            explore(&after, &oracle, depth - 1, steps);
        }
    }
}

static void test_no_sequence_of_events_breaks_a_rule(void **state)
{
    const struct oracle books = {0};
    struct deadline from;
    uint64_t steps = 0;

    (void)state;
    deadline_init(&from, 1000, MARGIN_MS);
    explore(&from, &books, 4, &steps);
    assert_int_equal(steps, CHOICES * (1 + CHOICES * (1 + CHOICES * (1 + CHOICES))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_standby_runs_without_a_deadline),
        cmocka_unit_test(test_a_standby_starts_any_number_of_times),
        cmocka_unit_test(test_a_writable_start_arms_timer_and_watchdog),
        cmocka_unit_test(test_without_renewal_it_fences_then_kills_then_the_timer_is_due),
        cmocka_unit_test(test_a_renewal_moves_fence_and_timer),
        cmocka_unit_test(test_an_older_renewal_takes_nothing_back),
        cmocka_unit_test(test_a_renewal_that_waited_past_the_fence_comes_too_late),
        cmocka_unit_test(test_renewals_are_refused_for_a_reason),
        cmocka_unit_test(test_an_epoch_has_one_start),
        cmocka_unit_test(test_starts_are_refused_for_a_reason),
        cmocka_unit_test(test_a_promotion_arms_before_it_happens),
        cmocka_unit_test(test_the_next_epoch_takes_over_a_running_primary),
        cmocka_unit_test(test_stops_send_their_signal),
        cmocka_unit_test(test_a_killed_postmaster_takes_its_backends_at_once),
        cmocka_unit_test(test_after_an_orderly_end_what_is_left_has_a_moment),
        cmocka_unit_test(test_the_moment_ends_with_the_lease),
        cmocka_unit_test(test_a_guard_that_has_killed_all_lives_on_past_the_end),
        cmocka_unit_test(test_a_count_before_the_killing_keeps_no_guard_alive),
        cmocka_unit_test(test_a_slow_sweep_begins_earlier),
        cmocka_unit_test(test_a_slow_sweep_is_not_repeated_before_it_was_looked_at),
        cmocka_unit_test(test_a_margin_above_the_budget_kills_when_the_fence_begins),
        cmocka_unit_test(test_an_adopted_server_is_a_standby_until_it_is_armed),
        cmocka_unit_test(test_it_leaves_only_when_nothing_is_left),
        cmocka_unit_test(test_no_sequence_of_events_breaks_a_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
