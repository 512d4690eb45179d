/*
 * pgctl/guard/deadline.h - what the guard decides: who may start, and when everything must go.
 *
 * Pure: an event with the time goes in, what to do comes out. Deadlines that have passed are
 * served before the event is looked at, so a renewal that lay in a socket while the guard was
 * stopped comes too late, as it should.
 *
 * An epoch is armed by a writable start or by a promotion, once, and only above every epoch seen
 * before. It is over for good when its PostgreSQL is gone, or when the next one is armed. Nothing
 * is remembered beyond the life of the guard: the caller's own log knows which epochs it may still
 * use.
 */
#ifndef PGBATON_PGCTL_GUARD_DEADLINE_H
#define PGBATON_PGCTL_GUARD_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "pgctl/guard_proto.h"

enum deadline_event_kind {
    DEADLINE_EVENT_TICK,
    DEADLINE_EVENT_START,
    DEADLINE_EVENT_ADOPT,
    DEADLINE_EVENT_PROMOTED,
    DEADLINE_EVENT_RENEW,
    DEADLINE_EVENT_STOP,
    DEADLINE_EVENT_SHUTDOWN,    /* Exit, if nothing runs. */
    DEADLINE_EVENT_LEAVE,       /* Stop PostgreSQL and exit: the guard was sent SIGTERM. */
    DEADLINE_EVENT_SERVER_GONE, /* The postmaster has ended. */
    DEADLINE_EVENT_TREE,        /* The processes of PostgreSQL were counted. */
};

/* Fields that the kind does not need are 0. */
struct deadline_event {
    enum deadline_event_kind kind;
    uint64_t now_ms;
    uint64_t epoch;
    struct guard_deadline deadline;
    enum guard_start_mode start_mode;
    enum guard_stop_mode stop_mode;
    bool by_signal;      /* Server gone: it crashed or was killed, and took leave of nobody. */
    uint32_t tree_count; /* Tree. */
    bool all_signalled;  /* Tree: none of them will run an instruction of its own again. */
};

/* Open, for tests and for the status; only deadline_*() write it. */
struct deadline {
    enum guard_phase phase;
    uint64_t now_ms;
    uint64_t kill_margin_ms; /* How long before the end the killing begins at the latest. */
    uint64_t armed_epoch;
    struct guard_deadline armed;
    uint64_t highest_epoch;
    uint64_t ended_epoch;
    uint64_t fenced_epoch;
    uint64_t fenced_ms;
    uint64_t gone_ms;
    uint64_t sweep_ms;     /* When SWEEPING becomes KILLING. */
    uint64_t next_kill_ms; /* When KILLING kills again. */
    bool adopted;
    bool all_signalled;
    bool leaving;
};

/* What the caller must do now, in the order of the fields, and when to call again at the latest. */
struct deadline_update {
    enum guard_refusal refusal; /* Of the event's request; nothing was changed by it. */
    bool kill;                  /* SIGKILL to every process, then report DEADLINE_EVENT_TREE. */
    bool signal;                /* `signal_mode` to the postmaster. */
    enum guard_stop_mode signal_mode;
    uint64_t timer_ms; /* When the kernel shall kill the guard itself; TIME_NEVER for not at all. */
    bool watchdog;     /* Whether the watchdog shall be open. */
    bool feed;         /* A lease was begun or renewed: feed the watchdog. */
    bool exit;
    uint64_t wake_ms; /* TIME_NEVER if only an event can change anything. */
};

void deadline_init(struct deadline *deadline, uint64_t now_ms, uint64_t kill_margin_ms);

/* How long before the end the killing begins, now that it is known what a sweep takes. */
void deadline_set_kill_margin(struct deadline *deadline, uint64_t kill_margin_ms);

/* What deadline_step() would answer to this request. */
enum guard_refusal deadline_check(
    const struct deadline *deadline, const struct deadline_event *event);

/* `event->now_ms` never goes back. */
void deadline_step(
    struct deadline *deadline, const struct deadline_event *event, struct deadline_update *update);

#endif
