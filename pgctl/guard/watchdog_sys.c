#include "pgctl/guard/watchdog_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

void watchdog_init(struct watchdog *watchdog)
{
    *watchdog = (struct watchdog){.fd = -1};
}

PRINTF(2, 3) static void note(struct watchdog *watchdog, const char *format, ...)
{
    char before[GUARD_TEXT_MAX];
    struct text text;
    va_list args;

    memcpy(before, watchdog->text, sizeof before);
    text_init(&text, watchdog->text, sizeof watchdog->text);
    va_start(args, format);
    text_addv(&text, format, args);
    va_end(args);
    /* It is opened again and again while it fails; once is enough for the log. */
    if (!text_equal(before, watchdog->text)) {
        log_warning("watchdog: %s", watchdog->text);
    }
}

static void set_timeout_testing(struct watchdog *watchdog)
{
    char line[32];
    const int length = snprintf(line, sizeof line, "Ctimeout=%u\n", watchdog->wanted.timeout_s);

    if (write(watchdog->fd, line, (size_t)length) != length) {
        note(watchdog, "could not set the timeout: %s", strerror(errno));
        return;
    }
    watchdog->timeout_s = watchdog->wanted.timeout_s;
}

static void set_timeout_device(struct watchdog *watchdog)
{
    int seconds = (int)watchdog->wanted.timeout_s;

    if (ioctl(watchdog->fd, WDIOC_SETTIMEOUT, &seconds) == -1) {
        note(watchdog, "could not set the timeout: %s", strerror(errno));
    }
    /* Devices round, and some have one timeout only: what counts is what they say. */
    if (ioctl(watchdog->fd, WDIOC_GETTIMEOUT, &seconds) == -1 || seconds < 0) {
        note(watchdog, "could not read the timeout: %s", strerror(errno));
        seconds = 0;
    }
    watchdog->timeout_s = (uint32_t)seconds;
}

static void set_timeout(struct watchdog *watchdog)
{
    watchdog->timeout_s = 0;
    watchdog->asked_s = watchdog->wanted.timeout_s;
    if (watchdog->wanted.driver == GUARD_WATCHDOG_TESTING) {
        set_timeout_testing(watchdog);
    } else {
        set_timeout_device(watchdog);
    }
}

static void look_at_device(struct watchdog *watchdog)
{
    struct watchdog_info info = {0};

    if (watchdog->wanted.driver == GUARD_WATCHDOG_DEFAULT &&
        ioctl(watchdog->fd, WDIOC_GETSUPPORT, &info) == 0 &&
        (info.options & WDIOF_MAGICCLOSE) == 0) {
        note(watchdog, "the device cannot be stopped: the machine is reset when PostgreSQL stops");
    }
}

/* Whether the device acts in time. A timeout it did not tell does not count as one. */
static bool is_quick_enough(const struct watchdog *watchdog)
{
    return watchdog->timeout_s > 0 && watchdog->timeout_s <= watchdog->wanted.timeout_s;
}

/* Closes without having become of use, or not being so any more. */
static void disarm(struct watchdog *watchdog)
{
    if (write(watchdog->fd, "V", 1) != 1) {
        log_error("watchdog: could not disarm it: %s", strerror(errno));
    }
    (void)close(watchdog->fd);
    watchdog->fd = -1;
    watchdog->timeout_s = 0;
}

bool watchdog_open(struct watchdog *watchdog)
{
    const bool required = watchdog->wanted.mode == GUARD_WATCHDOG_REQUIRED;
    const bool was_open = watchdog->fd != -1;

    if (watchdog->wanted.mode == GUARD_WATCHDOG_OFF) {
        return true;
    }
    if (!was_open) {
        /* O_NONBLOCK for the FIFO: without a reader it is not usable, rather than worth a wait. */
        watchdog->fd = open(watchdog->wanted.device, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        if (watchdog->fd == -1) {
            watchdog->state = GUARD_WATCHDOG_IS_FAILED;
            note(
                watchdog, "could not open \"%.128s\": %s", watchdog->wanted.device,
                strerror(errno));
            return !required;
        }
        watchdog->text[0] = '\0';
        watchdog->state = GUARD_WATCHDOG_IS_ARMED;
        look_at_device(watchdog);
    }
    if (!was_open || watchdog->asked_s != watchdog->wanted.timeout_s) {
        set_timeout(watchdog);
    }
    if (!is_quick_enough(watchdog)) {
        note(
            watchdog, "it has a timeout of %u seconds, wanted are %u", watchdog->timeout_s,
            watchdog->wanted.timeout_s);
        if (required) {
            watchdog->state = GUARD_WATCHDOG_IS_FAILED;
            if (!was_open) {
                disarm(watchdog); /* Nothing depends on it yet. */
            }
            return false;
        }
    }
    return watchdog->state == GUARD_WATCHDOG_IS_ARMED || !required;
}

void watchdog_feed(struct watchdog *watchdog)
{
    if (watchdog->wanted.mode == GUARD_WATCHDOG_OFF) {
        return;
    }
    /* A failure is in the status; the daemon decides what becomes of a running primary. */
    (void)!watchdog_open(watchdog);
    if (watchdog->fd == -1) {
        return;
    }
    if (write(watchdog->fd, "1", 1) != 1) {
        watchdog->state = GUARD_WATCHDOG_IS_FAILED;
        note(watchdog, "could not feed it: %s", strerror(errno));
    } else if (is_quick_enough(watchdog) || watchdog->wanted.mode != GUARD_WATCHDOG_REQUIRED) {
        watchdog->state = GUARD_WATCHDOG_IS_ARMED;
    }
}

void watchdog_close(struct watchdog *watchdog)
{
    if (watchdog->fd != -1) {
        disarm(watchdog);
        watchdog->state = GUARD_WATCHDOG_IS_OFF;
        watchdog->text[0] = '\0';
    }
}

void watchdog_configure(struct watchdog *watchdog, const struct guard_watchdog *wanted)
{
    const bool other = wanted->driver != watchdog->wanted.driver ||
                       !text_equal(wanted->device, watchdog->wanted.device);

    if (wanted->mode == GUARD_WATCHDOG_OFF || other) {
        watchdog_close(watchdog);
        watchdog->state = GUARD_WATCHDOG_IS_OFF;
        watchdog->text[0] = '\0';
    }
    watchdog->wanted = *wanted;
}
