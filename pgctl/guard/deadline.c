#include "pgctl/guard/deadline.h"

#include "base/assert.h"
#include "base/time.h"

/* A postmaster that ended in order leaves its log writer behind, with the last lines to write. */
#define SWEEP_GRACE_MS 100

/* Processes can be born while the others are being killed; what cannot die needs no hurry. */
#define KILL_AGAIN_MS      5
#define KILL_AGAIN_SLOW_MS 50

/* How long a guard that has killed all it can may be silent before the kernel ends it, too. */
#define GUARD_SILENCE_MS 1000

void deadline_init(struct deadline *deadline, uint64_t now_ms, uint64_t kill_margin_ms)
{
    *deadline = (struct deadline){.now_ms = now_ms, .kill_margin_ms = kill_margin_ms};
}

void deadline_set_kill_margin(struct deadline *deadline, uint64_t kill_margin_ms)
{
    deadline->kill_margin_ms = kill_margin_ms;
}

/* When everything is killed that did not stop by itself. */
static uint64_t kill_ms(const struct deadline *deadline)
{
    return time_max(
        deadline->armed.fence_ms, time_since(deadline->armed.end_ms, deadline->kill_margin_ms));
}

static bool is_fenced(const struct deadline *deadline)
{
    return deadline->armed_epoch != 0 && deadline->fenced_epoch >= deadline->armed_epoch;
}

static void begin_killing(struct deadline *deadline)
{
    deadline->phase = GUARD_PHASE_KILLING;
    deadline->next_kill_ms = deadline->now_ms;
}

static void pause_killing(struct deadline *deadline)
{
    deadline->next_kill_ms =
        time_add(deadline->now_ms, deadline->all_signalled ? KILL_AGAIN_SLOW_MS : KILL_AGAIN_MS);
}

/* The armed epoch is over for good. */
static void end_epoch(struct deadline *deadline)
{
    deadline->ended_epoch = time_max(deadline->ended_epoch, deadline->armed_epoch);
    deadline->armed_epoch = 0;
    deadline->armed = (struct guard_deadline){0};
}

static void arm(struct deadline *deadline, uint64_t epoch, struct guard_deadline until)
{
    ASSERT(epoch > deadline->highest_epoch);
    end_epoch(deadline);
    deadline->phase = GUARD_PHASE_ARMED;
    deadline->armed_epoch = epoch;
    deadline->armed = until;
    deadline->highest_epoch = epoch;
}

static enum guard_refusal refuse_deadline(
    const struct deadline *deadline, struct guard_deadline until)
{
    if (until.fence_ms > until.end_ms ||
        until.end_ms > time_add(deadline->now_ms, GUARD_LEASE_MAX_MS)) {
        return GUARD_REFUSAL_DEADLINE_INVALID;
    }
    if (until.fence_ms <= deadline->now_ms) {
        return GUARD_REFUSAL_DEADLINE_PAST;
    }
    return GUARD_REFUSAL_NONE;
}

/* Why `epoch`, which is not the armed one, cannot be renewed. */
static enum guard_refusal refuse_other_epoch(const struct deadline *deadline, uint64_t epoch)
{
    if (epoch != 0 && epoch == deadline->fenced_epoch) {
        return GUARD_REFUSAL_FENCED;
    }
    if (epoch <= deadline->ended_epoch) {
        return GUARD_REFUSAL_EPOCH_ENDED;
    }
    return epoch < deadline->highest_epoch ? GUARD_REFUSAL_EPOCH_LOW : GUARD_REFUSAL_NOT_ARMED;
}

/* Why `epoch` cannot have its one start. */
static enum guard_refusal refuse_new_epoch(const struct deadline *deadline, uint64_t epoch)
{
    if (epoch == 0) {
        return GUARD_REFUSAL_EPOCH_NEEDED;
    }
    if (epoch <= deadline->ended_epoch) {
        return GUARD_REFUSAL_EPOCH_ENDED;
    }
    /* The highest itself is either armed, which is no new one, or it has ended. */
    return epoch < deadline->highest_epoch ? GUARD_REFUSAL_EPOCH_LOW : GUARD_REFUSAL_NONE;
}

/* Why nothing can begin now, whatever it is. */
static enum guard_refusal refuse_beginning(const struct deadline *deadline)
{
    if (deadline->leaving) {
        return GUARD_REFUSAL_LEAVING;
    }
    return deadline->phase == GUARD_PHASE_IDLE ? GUARD_REFUSAL_NONE : GUARD_REFUSAL_TREE_LEFT;
}

static enum guard_refusal start(struct deadline *deadline, const struct deadline_event *event)
{
    enum guard_refusal refusal = refuse_beginning(deadline);

    if (refusal != GUARD_REFUSAL_NONE) {
        return refusal;
    }
    if (event->start_mode == GUARD_START_STANDBY) {
        if (event->epoch != 0) {
            return GUARD_REFUSAL_EPOCH_UNWANTED;
        }
        deadline->phase = GUARD_PHASE_STANDBY;
    } else {
        refusal = refuse_new_epoch(deadline, event->epoch);
        if (refusal == GUARD_REFUSAL_NONE) {
            refusal = refuse_deadline(deadline, event->deadline);
        }
        if (refusal != GUARD_REFUSAL_NONE) {
            return refusal;
        }
        arm(deadline, event->epoch, event->deadline);
    }
    deadline->adopted = false;
    deadline->all_signalled = false;
    return GUARD_REFUSAL_NONE;
}

static enum guard_refusal adopt(struct deadline *deadline)
{
    const enum guard_refusal refusal = refuse_beginning(deadline);

    if (refusal == GUARD_REFUSAL_NONE) {
        deadline->phase = GUARD_PHASE_STANDBY;
        deadline->adopted = true;
        deadline->all_signalled = false;
    }
    return refusal;
}

static enum guard_refusal renew(struct deadline *deadline, const struct deadline_event *event)
{
    enum guard_refusal refusal;

    if (deadline->armed_epoch == 0 || event->epoch != deadline->armed_epoch) {
        return refuse_other_epoch(deadline, event->epoch);
    }
    if (is_fenced(deadline)) {
        return GUARD_REFUSAL_FENCED;
    }
    if (deadline->phase != GUARD_PHASE_ARMED) {
        return GUARD_REFUSAL_ENDING;
    }
    refusal = refuse_deadline(deadline, event->deadline);
    /* An older round, or one with a shorter ttl, does not take back what was promised. */
    if (refusal == GUARD_REFUSAL_NONE && event->deadline.end_ms > deadline->armed.end_ms) {
        deadline->armed = event->deadline;
    }
    return refusal;
}

static enum guard_refusal promoted(struct deadline *deadline, const struct deadline_event *event)
{
    enum guard_refusal refusal;

    switch (deadline->phase) {
    case GUARD_PHASE_IDLE:
        return GUARD_REFUSAL_NOT_RUNNING;
    case GUARD_PHASE_FENCING:
        return GUARD_REFUSAL_FENCED;
    case GUARD_PHASE_SWEEPING:
    case GUARD_PHASE_KILLING:
        return GUARD_REFUSAL_ENDING;
    case GUARD_PHASE_STANDBY:
    case GUARD_PHASE_ARMED:
        break;
    }
    if (deadline->leaving) {
        return GUARD_REFUSAL_LEAVING;
    }
    if (deadline->armed_epoch != 0 && event->epoch == deadline->armed_epoch) {
        return renew(deadline, event); /* Said again, by a daemon that missed the answer. */
    }
    refusal = refuse_new_epoch(deadline, event->epoch);
    if (refusal == GUARD_REFUSAL_NONE) {
        refusal = refuse_deadline(deadline, event->deadline);
    }
    if (refusal == GUARD_REFUSAL_NONE) {
        arm(deadline, event->epoch, event->deadline);
    }
    return refusal;
}

static enum guard_refusal stop(
    struct deadline *deadline, enum guard_stop_mode mode, struct deadline_update *update)
{
    if (mode == GUARD_STOP_KILL) {
        if (deadline->phase != GUARD_PHASE_IDLE && deadline->phase != GUARD_PHASE_KILLING) {
            begin_killing(deadline);
        }
        return GUARD_REFUSAL_NONE;
    }
    switch (deadline->phase) {
    case GUARD_PHASE_IDLE:
        return GUARD_REFUSAL_NOT_RUNNING;
    case GUARD_PHASE_STANDBY:
    case GUARD_PHASE_ARMED:
        update->signal = true;
        update->signal_mode = mode;
        return GUARD_REFUSAL_NONE;
    case GUARD_PHASE_FENCING:
        /* SIGQUIT is on its way already, and a milder signal after it would be a mistake. */
        return mode == GUARD_STOP_IMMEDIATE ? GUARD_REFUSAL_NONE : GUARD_REFUSAL_FENCED;
    case GUARD_PHASE_SWEEPING:
    case GUARD_PHASE_KILLING:
        return GUARD_REFUSAL_ENDING;
    }
    UNREACHABLE();
}

static void server_gone(struct deadline *deadline, bool by_signal)
{
    switch (deadline->phase) {
    case GUARD_PHASE_STANDBY:
    case GUARD_PHASE_ARMED:
        if (by_signal) {
            /* Its backends run on, and could acknowledge commits until they notice. */
            begin_killing(deadline);
        } else {
            deadline->phase = GUARD_PHASE_SWEEPING;
            deadline->sweep_ms = time_add(deadline->now_ms, SWEEP_GRACE_MS);
        }
        return;
    case GUARD_PHASE_FENCING:
        begin_killing(deadline);
        return;
    case GUARD_PHASE_IDLE:
    case GUARD_PHASE_SWEEPING:
    case GUARD_PHASE_KILLING:
        return;
    }
    UNREACHABLE();
}

static void tree_counted(struct deadline *deadline, const struct deadline_event *event)
{
    if (deadline->phase == GUARD_PHASE_IDLE) {
        return;
    }
    if (event->tree_count > 0) {
        /* Only KILLING has signalled anybody, and one who is born later is not among them. */
        deadline->all_signalled = event->all_signalled && deadline->phase == GUARD_PHASE_KILLING;
        /* The sweep may have taken longer than the pause; the dying need the processor, too. */
        pause_killing(deadline);
        return;
    }
    end_epoch(deadline);
    deadline->phase = GUARD_PHASE_IDLE;
    deadline->gone_ms = deadline->now_ms;
    deadline->adopted = false;
    deadline->all_signalled = false;
}

static enum guard_refusal handle(
    struct deadline *deadline, const struct deadline_event *event, struct deadline_update *update)
{
    switch (event->kind) {
    case DEADLINE_EVENT_TICK:
        return GUARD_REFUSAL_NONE;
    case DEADLINE_EVENT_START:
        return start(deadline, event);
    case DEADLINE_EVENT_ADOPT:
        return adopt(deadline);
    case DEADLINE_EVENT_PROMOTED:
        return promoted(deadline, event);
    case DEADLINE_EVENT_RENEW:
        return renew(deadline, event);
    case DEADLINE_EVENT_STOP:
        return stop(deadline, event->stop_mode, update);
    case DEADLINE_EVENT_SHUTDOWN:
        if (deadline->phase != GUARD_PHASE_IDLE) {
            return GUARD_REFUSAL_TREE_LEFT;
        }
        deadline->leaving = true;
        return GUARD_REFUSAL_NONE;
    case DEADLINE_EVENT_LEAVE:
        deadline->leaving = true;
        /* Where it is being stopped or killed already, there is nothing to add. */
        if (deadline->phase == GUARD_PHASE_STANDBY || deadline->phase == GUARD_PHASE_ARMED) {
            return stop(deadline, GUARD_STOP_FAST, update);
        }
        return GUARD_REFUSAL_NONE;
    case DEADLINE_EVENT_SERVER_GONE:
        server_gone(deadline, event->by_signal);
        return GUARD_REFUSAL_NONE;
    case DEADLINE_EVENT_TREE:
        tree_counted(deadline, event);
        return GUARD_REFUSAL_NONE;
    }
    UNREACHABLE();
}

static void check_deadlines(struct deadline *deadline, struct deadline_update *update)
{
    if (deadline->armed_epoch != 0 && !is_fenced(deadline) &&
        deadline->now_ms >= deadline->armed.fence_ms) {
        deadline->fenced_epoch = deadline->armed_epoch;
        deadline->fenced_ms = deadline->now_ms;
        if (deadline->phase == GUARD_PHASE_ARMED) {
            deadline->phase = GUARD_PHASE_FENCING;
            /* Not a fast stop: that one waits for standbys, which may be out of reach. */
            update->signal = true;
            update->signal_mode = GUARD_STOP_IMMEDIATE;
        }
    }
    if (deadline->phase == GUARD_PHASE_SWEEPING &&
        (is_fenced(deadline) || deadline->now_ms >= deadline->sweep_ms)) {
        begin_killing(deadline);
    }
    if (deadline->phase == GUARD_PHASE_FENCING && deadline->now_ms >= kill_ms(deadline)) {
        begin_killing(deadline);
    }
}

static uint64_t next_wake(const struct deadline *deadline)
{
    const bool fence_ahead = deadline->armed_epoch != 0 && !is_fenced(deadline);
    uint64_t wake_ms = fence_ahead ? deadline->armed.fence_ms : TIME_NEVER;

    switch (deadline->phase) {
    case GUARD_PHASE_IDLE:
    case GUARD_PHASE_STANDBY:
    case GUARD_PHASE_ARMED:
        return wake_ms;
    case GUARD_PHASE_FENCING:
        return kill_ms(deadline);
    case GUARD_PHASE_SWEEPING:
        wake_ms = time_min(wake_ms, deadline->sweep_ms);
        /* No signal tells that the last process of a stranger's tree is gone. */
        return deadline->adopted ? time_min(wake_ms, deadline->now_ms + KILL_AGAIN_MS) : wake_ms;
    case GUARD_PHASE_KILLING:
        return time_min(wake_ms, deadline->next_kill_ms);
    }
    UNREACHABLE();
}

/*
 * The guard's own death takes the postmaster along. It is due at the end, unless every process
 * has its SIGKILL: one that hangs in the kernel is then better watched than left alone.
 */
static uint64_t timer_ms(const struct deadline *deadline)
{
    if (deadline->armed_epoch == 0) {
        return TIME_NEVER;
    }
    if (deadline->all_signalled) {
        return time_max(deadline->armed.end_ms, time_add(deadline->now_ms, GUARD_SILENCE_MS));
    }
    return deadline->armed.end_ms;
}

static bool is_lease(enum deadline_event_kind kind, enum guard_start_mode mode)
{
    return kind == DEADLINE_EVENT_RENEW || kind == DEADLINE_EVENT_PROMOTED ||
           (kind == DEADLINE_EVENT_START && mode == GUARD_START_WRITABLE);
}

void deadline_step(
    struct deadline *deadline, const struct deadline_event *event, struct deadline_update *update)
{
    ASSERT(event->now_ms >= deadline->now_ms);
    deadline->now_ms = event->now_ms;
    *update = (struct deadline_update){0};

    check_deadlines(deadline, update);
    update->refusal = handle(deadline, event, update);
    check_deadlines(deadline, update);
    if (deadline->phase == GUARD_PHASE_KILLING && deadline->now_ms >= deadline->next_kill_ms) {
        update->kill = true;
        pause_killing(deadline);
    }

    update->timer_ms = timer_ms(deadline);
    update->watchdog = deadline->armed_epoch != 0;
    update->feed =
        update->refusal == GUARD_REFUSAL_NONE && is_lease(event->kind, event->start_mode);
    update->exit = deadline->leaving && deadline->phase == GUARD_PHASE_IDLE;
    update->wake_ms = next_wake(deadline);
    ASSERT(update->wake_ms > deadline->now_ms);
}

enum guard_refusal deadline_check(
    const struct deadline *deadline, const struct deadline_event *event)
{
    struct deadline copy = *deadline;
    struct deadline_update update;

    deadline_step(&copy, event, &update);
    return update.refusal;
}
