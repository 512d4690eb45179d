#include "base/clock_sys.h"

#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

static uint64_t read_ms(clockid_t clock)
{
    struct timespec now;
    const int rc = clock_gettime(clock, &now);

    ASSERT(rc == 0); /* It refuses only clocks that the kernel does not have. */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_boot_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

uint64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

uint64_t clock_random_u64(void)
{
    uint64_t value = 0;
    /* Requests of up to 256 bytes are neither cut short nor interrupted, see getrandom(2). */
    const ssize_t count = getrandom(&value, sizeof value, 0);

    ASSERT(count == (ssize_t)sizeof value);
    return value;
}
