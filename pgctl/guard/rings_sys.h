/*
 * pgctl/guard/rings_sys.h - what keeps the guard itself running on time, or ends it on time.
 */
#ifndef PGBATON_PGCTL_GUARD_RINGS_SYS_H
#define PGBATON_PGCTL_GUARD_RINGS_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct rings {
    bool memory_locked;
    bool realtime;
    bool has_timer;
    timer_t timer;
    uint64_t timer_ms; /* What the timer is set to; TIME_NEVER if it is not. */
};

/*
 * Takes what is permitted: locked memory, real-time priority, protection from the out-of-memory
 * killer. Failures are logged and visible in the struct; none of them is fatal.
 */
void rings_open(struct rings *rings, bool want_realtime);

/* At that time the kernel kills this process, even a stopped one. TIME_NEVER: it does not. */
void rings_set_timer(struct rings *rings, uint64_t timer_ms);

#endif
