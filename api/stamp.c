/*
 * Days are counted with the year beginning in March, so that the leap day is its last
 * (Howard Hinnant, "chrono-compatible low-level date algorithms").
 */
#include "api/stamp.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

#define DAY_MS      UINT64_C(86400000)
#define ERA_DAYS    146097 /* 400 years. */
#define EPOCH_SHIFT 719468 /* From 0000-03-01 to 1970-01-01. */

struct date {
    uint32_t year;
    uint32_t month; /* 1 to 12 */
    uint32_t day;
};

static uint64_t days_from(struct date date)
{
    const uint32_t year = date.month <= 2 ? date.year - 1 : date.year;
    const uint64_t era = year / 400;
    const uint64_t of_era = year % 400;
    const uint32_t month = (date.month + 9) % 12;
    const uint64_t of_year = (153 * month + 2) / 5 + date.day - 1;

    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_SHIFT;
}

static struct date date_from(uint64_t days)
{
    const uint64_t shifted = days + EPOCH_SHIFT;
    const uint64_t era = shifted / ERA_DAYS;
    const uint64_t of_era = shifted % ERA_DAYS;
    const uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const uint64_t month = (5 * of_year + 2) / 153;

    return (struct date){
        .year = (uint32_t)(year + era * 400 + (month >= 10 ? 1 : 0)),
        .month = (uint32_t)(month < 10 ? month + 3 : month - 9),
        .day = (uint32_t)(of_year - (153 * month + 2) / 5 + 1),
    };
}

void stamp_print(uint64_t wall_ms, char separator, char text[STAMP_SIZE])
{
    const struct date date = date_from(wall_ms / DAY_MS);
    const uint32_t ms = (uint32_t)(wall_ms % DAY_MS);
    struct text out;

    ASSERT(separator == 'T' || separator == ' ');
    text_init(&out, text, STAMP_SIZE);
    text_addf(
        &out, "%04" PRIu32 "-%02" PRIu32 "-%02" PRIu32 "%c%02" PRIu32 ":%02" PRIu32 ":%02" PRIu32,
        date.year, date.month, date.day, separator, ms / 3600000, ms / 60000 % 60, ms / 1000 % 60);
    if (separator == ' ' || ms % 1000 != 0) {
        text_addf(&out, ".%03" PRIu32 "000", ms % 1000);
    }
    text_add(&out, "+00:00");
}

/* Exactly `count` digits; moves on. */
static bool take_number(const char **at, uint32_t count, uint32_t *number)
{
    *number = 0;
    for (uint32_t i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        *number = *number * 10 + (uint32_t)(**at - '0');
    }
    return true;
}

static bool take_char(const char **at, char wanted)
{
    if (**at != wanted) {
        return false;
    }
    (*at)++;
    return true;
}

static uint32_t month_days(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(const char **at, struct date *date)
{
    return take_number(at, 4, &date->year) && take_char(at, '-') &&
           take_number(at, 2, &date->month) && take_char(at, '-') &&
           take_number(at, 2, &date->day) && date->year >= 1970 && date->month >= 1 &&
           date->month <= 12 && date->day >= 1 && date->day <= month_days(date->year, date->month);
}

/* ".25" and the like as milliseconds; at least one digit. */
static bool take_fraction(const char **at, uint32_t *ms)
{
    uint32_t worth = 100;

    if (**at < '0' || **at > '9') {
        return false;
    }
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        *ms += (uint32_t)(**at - '0') * worth;
        worth /= 10;
    }
    return true;
}

static bool take_time(const char **at, uint32_t *ms)
{
    uint32_t hour;
    uint32_t minute;
    uint32_t second = 0;

    *ms = 0;
    if (!take_number(at, 2, &hour) || !take_char(at, ':') || !take_number(at, 2, &minute)) {
        return false;
    }
    if (take_char(at, ':')) {
        if (!take_number(at, 2, &second) || (take_char(at, '.') && !take_fraction(at, ms))) {
            return false;
        }
    }
    *ms += (hour * 3600 + minute * 60 + second) * 1000;
    return hour < 24 && minute < 60 && second < 60;
}

/* Minutes east of UTC. */
static enum stamp_result take_zone(const char *at, int64_t *minutes)
{
    const bool west = *at == '-';
    uint32_t hour;
    uint32_t minute = 0;

    *minutes = 0;
    if (*at == '\0') {
        return STAMP_NO_ZONE;
    }
    if (text_equal_nocase(at, "Z") || text_equal_nocase(at, "UTC") ||
        text_equal_nocase(at, "GMT")) {
        return STAMP_OK;
    }
    if (*at != '+' && *at != '-') {
        return STAMP_INVALID;
    }
    at++;
    if (!take_number(&at, 2, &hour)) {
        return STAMP_INVALID;
    }
    (void)take_char(&at, ':');
    if ((*at != '\0' && !take_number(&at, 2, &minute)) || *at != '\0' || hour > 15 || minute > 59) {
        return STAMP_INVALID;
    }
    *minutes = (int64_t)hour * 60 + minute;
    *minutes = west ? -*minutes : *minutes;
    return STAMP_OK;
}

enum stamp_result stamp_parse(const char *text, uint64_t *wall_ms)
{
    struct date date;
    int64_t zone_minutes;
    enum stamp_result result;
    uint32_t of_day_ms;
    int64_t ms;

    if (!take_date(&text, &date) || (!take_char(&text, 'T') && !take_char(&text, ' ')) ||
        !take_time(&text, &of_day_ms)) {
        return STAMP_INVALID;
    }
    (void)take_char(&text, ' ');
    result = take_zone(text, &zone_minutes);
    ms = (int64_t)(days_from(date) * DAY_MS + of_day_ms) - zone_minutes * 60000;
    if (result == STAMP_OK && ms < 0) {
        return STAMP_INVALID;
    }
    *wall_ms = (uint64_t)ms;
    return result;
}
