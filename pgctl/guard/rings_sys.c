#include "pgctl/guard/rings_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/time.h"

/*
 * Everything that is mapped now and later is in memory when it is needed: at a fence the disk may
 * hang, and the pages of the code that kills must not have to be read from it.
 */
static bool lock_memory(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == -1) {
        log_warning("could not lock memory: %s", strerror(errno));
        return false;
    }
    return true;
}

/* One above nothing suffices: the rivals are ordinary processes. Children start as such. */
static bool take_realtime(void)
{
    const struct sched_param param = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};

    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) == 0) {
        return true;
    }
    log_warning("could not take a real-time priority: %s", strerror(errno));
    (void)setpriority(PRIO_PROCESS, 0, -20); /* Better than nothing where it is permitted. */
    return false;
}

static void hide_from_oom_killer(void)
{
    static const char value[] = "-1000";
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd == -1 || write(fd, value, sizeof value - 1) == -1) {
        log_warning("could not hide from the out-of-memory killer: %s", strerror(errno));
    }
    if (fd != -1) {
        (void)close(fd);
    }
}

void rings_open(struct rings *rings, bool want_realtime)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};

    *rings = (struct rings){.timer_ms = TIME_NEVER};
    rings->has_timer = timer_create(CLOCK_BOOTTIME, &event, &rings->timer) == 0;
    if (!rings->has_timer) {
        log_warning("could not make the timer of the deadline: %s", strerror(errno));
    }
    hide_from_oom_killer();
    rings->memory_locked = lock_memory();
    rings->realtime = want_realtime && take_realtime();
}

void rings_set_timer(struct rings *rings, uint64_t timer_ms)
{
    struct itimerspec when = {0};
    int rc;

    if (!rings->has_timer || timer_ms == rings->timer_ms) {
        return;
    }
    if (timer_ms != TIME_NEVER) {
        when.it_value.tv_sec = (time_t)(timer_ms / 1000);
        when.it_value.tv_nsec = (long)(timer_ms % 1000) * 1000000;
    }
    rc = timer_settime(rings->timer, TIMER_ABSTIME, &when, NULL);
    ASSERT(rc == 0); /* It refuses only times that are none. */
    rings->timer_ms = timer_ms;
}
