#include "cli/zone_sys.h"

#include <time.h>

#include "base/clock_sys.h"

static int offset_minutes_at(time_t when)
{
    struct tm local;

    /* Fails only for years that do not fit, which no clock shows. */
    return localtime_r(&when, &local) == NULL ? 0 : (int)(local.tm_gmtoff / 60);
}

void zone_now(int64_t ahead_ms, struct when *when)
{
    const int64_t wall_ms = (int64_t)clock_wall_ms() + ahead_ms;

    when_from_wall_ms(wall_ms, offset_minutes_at((time_t)(wall_ms / 1000)), when);
}

/* mktime() knows which offset applies on that day; -1 as its answer is a second in 1969. */
static int offset_minutes_of(const struct when *when)
{
    struct tm local = {
        .tm_year = when->year - 1900,
        .tm_mon = when->month - 1,
        .tm_mday = when->day,
        .tm_hour = when->hour,
        .tm_min = when->minute,
        .tm_sec = when->second,
        .tm_isdst = -1,
    };
    const time_t at = mktime(&local);

    return at == (time_t)-1 ? 0 : offset_minutes_at(at);
}

void zone_complete(struct when *when)
{
    if (!when->has_date) {
        struct when today;

        zone_now(0, &today);
        when->year = today.year;
        when->month = today.month;
        when->day = today.day;
        when->has_date = true;
    }
    if (!when->has_zone) {
        when->zone_minutes = offset_minutes_of(when);
        when->has_zone = true;
    }
}
