#include "cli/when.h"

#include <ctype.h>
#include <string.h>

#include "base/assert.h"

/* A walk over the typed text that knows what it has already found. */
struct scan {
    const char *at;
    struct when *when;
    int day;
    int month;
    int year;
    bool has_time;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static uint32_t digits_at(const char *string)
{
    uint32_t count = 0;

    while (is_digit(string[count])) {
        count++;
    }
    return count;
}

/* Takes exactly `count` digits as a number. */
static bool take_number(const char **at, uint32_t count, int *number)
{
    *number = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_digit((*at)[i])) {
            return false;
        }
        *number = *number * 10 + ((*at)[i] - '0');
    }
    *at += count;
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c) {
        return false;
    }
    (*at)++;
    return true;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* "2026-08-01" or "20260801". */
static bool take_iso_date(struct scan *scan)
{
    const bool dashes = digits_at(scan->at) == 4;

    if (scan->year != 0 || scan->month != 0 || scan->day != 0) {
        return false;
    }
    return take_number(&scan->at, 4, &scan->year) && (!dashes || take_char(&scan->at, '-')) &&
           take_number(&scan->at, 2, &scan->month) && (!dashes || take_char(&scan->at, '-')) &&
           take_number(&scan->at, 2, &scan->day) && scan->year != 0 && scan->month != 0 &&
           scan->day != 0;
}

/* ".25" after the seconds; digits past the sixth are below what anybody can ask for. */
static bool take_fraction(struct scan *scan)
{
    int scale = 100000;

    if (digits_at(scan->at) == 0) {
        return false;
    }
    for (; is_digit(*scan->at); scan->at++, scale /= 10) {
        scan->when->microsecond += (*scan->at - '0') * scale;
    }
    return true;
}

/* "3:00", "03:00:30" or "03:00:30.25". */
static bool take_time(struct scan *scan)
{
    struct when *when = scan->when;

    if (scan->has_time || !take_number(&scan->at, digits_at(scan->at), &when->hour) ||
        !take_char(&scan->at, ':') || !take_number(&scan->at, 2, &when->minute)) {
        return false;
    }
    scan->has_time = true;
    if (take_char(&scan->at, ':')) {
        if (!take_number(&scan->at, 2, &when->second)) {
            return false;
        }
        if (take_char(&scan->at, '.') && !take_fraction(scan)) {
            return false;
        }
    }
    return when->hour < 24 && when->minute < 60 && when->second < 60;
}

/* "+02", "+0200" or "+02:00"; only after a time, where it cannot be part of a date. */
static bool take_offset(struct scan *scan)
{
    const int sign = *scan->at == '-' ? -1 : 1;
    int hours;
    int minutes = 0;

    scan->at++;
    if (!scan->has_time || scan->when->has_zone || !take_number(&scan->at, 2, &hours)) {
        return false;
    }
    if ((take_char(&scan->at, ':') || is_digit(*scan->at)) &&
        !take_number(&scan->at, 2, &minutes)) {
        return false;
    }
    scan->when->has_zone = true;
    scan->when->zone_minutes = sign * (hours * 60 + minutes);
    return hours < 15 && minutes < 60;
}

/* 1 to 12 for the name of a month or its first three letters or more; else 0. */
static int month_of(const char *word, size_t length)
{
    static const char *const names[] = {
        "january", "february", "march",     "april",   "may",      "june",
        "july",    "august",   "september", "october", "november", "december",
    };

    for (int month = 1; month <= 12; month++) {
        const char *name = names[month - 1];
        size_t i = 0;

        while (i < length && tolower((unsigned char)word[i]) == name[i]) {
            i++;
        }
        if (length >= 3 && i == length) {
            return month;
        }
    }
    return 0;
}

static bool is_word(const char *word, size_t length, const char *name)
{
    char copy[8];

    if (length >= sizeof copy) {
        return false;
    }
    memcpy(copy, word, length);
    copy[length] = '\0';
    return text_equal_nocase(copy, name);
}

/* The name of a month, or of the zone without an offset. */
static bool take_word(struct scan *scan)
{
    const char *word = scan->at;
    size_t length;
    int month;

    while (isalpha((unsigned char)*scan->at)) {
        scan->at++;
    }
    length = (size_t)(scan->at - word);
    if (is_word(word, length, "z") || is_word(word, length, "utc") ||
        is_word(word, length, "gmt")) {
        const bool first = !scan->when->has_zone;

        scan->when->has_zone = true;
        return first && scan->has_time;
    }
    month = month_of(word, length);
    if (month == 0 || scan->month != 0) {
        return false;
    }
    scan->month = month;
    return true;
}

/* A day or a year next to the name of a month. */
static bool take_day_or_year(struct scan *scan, uint32_t digits)
{
    if (digits == 4 && scan->year == 0) {
        return take_number(&scan->at, 4, &scan->year) && scan->year != 0;
    }
    if (digits <= 2 && scan->day == 0) {
        return take_number(&scan->at, digits, &scan->day) && scan->day != 0;
    }
    return false;
}

static bool take_digits(struct scan *scan)
{
    const uint32_t digits = digits_at(scan->at);
    const char next = scan->at[digits];

    if (digits == 8 || (digits == 4 && next == '-')) {
        return take_iso_date(scan);
    }
    if (digits <= 2 && next == ':') {
        return take_time(scan);
    }
    return take_day_or_year(scan, digits);
}

static bool is_separator(const struct scan *scan)
{
    /* The "T" of ISO 8601 stands between a date and a time, nowhere else. */
    return *scan->at == ' ' || *scan->at == ',' ||
           ((*scan->at == 'T' || *scan->at == 't') && scan->day != 0 && is_digit(scan->at[1]));
}

static bool take_item(struct scan *scan)
{
    if (is_digit(*scan->at)) {
        return take_digits(scan);
    }
    if (*scan->at == '+' || *scan->at == '-') {
        return take_offset(scan);
    }
    return isalpha((unsigned char)*scan->at) && take_word(scan);
}

/* All of a date, or nothing of it and a time. */
static bool finish(const struct scan *scan)
{
    struct when *when = scan->when;

    when->has_date = scan->year != 0 && scan->month != 0 && scan->day != 0;
    if (!when->has_date) {
        return scan->has_time && scan->year == 0 && scan->month == 0 && scan->day == 0;
    }
    when->year = scan->year;
    when->month = scan->month;
    when->day = scan->day;
    return when->month <= 12 && when->day <= days_in_month(when->year, when->month);
}

bool when_parse(const char *string, struct when *when)
{
    struct scan scan = {.at = string, .when = when};

    *when = (struct when){0};
    while (*scan.at != '\0') {
        if (is_separator(&scan)) {
            scan.at++;
        } else if (!take_item(&scan)) {
            return false;
        }
    }
    return finish(&scan);
}

bool when_is_now(const char *string)
{
    return string[0] == '\0' || text_equal_nocase(string, "now");
}

void when_format(const struct when *when, struct text *out)
{
    const int zone = when->zone_minutes < 0 ? -when->zone_minutes : when->zone_minutes;

    text_addf(
        out, "%04d-%02d-%02dT%02d:%02d:%02d", when->year, when->month, when->day, when->hour,
        when->minute, when->second);
    if (when->microsecond != 0) {
        text_addf(out, ".%06d", when->microsecond);
    }
    text_addf(out, "%c%02d:%02d", when->zone_minutes < 0 ? '-' : '+', zone / 60, zone % 60);
}

static int64_t days_in_year(int year)
{
    return is_leap(year) ? 366 : 365;
}

/* Days from 1970-01-01 to the date; years are few enough to be counted. */
static int64_t days_since_1970(const struct when *when)
{
    int64_t days = when->day - 1;

    for (int year = 1970; year < when->year; year++) {
        days += days_in_year(year);
    }
    for (int year = when->year; year < 1970; year++) {
        days -= days_in_year(year);
    }
    for (int month = 1; month < when->month; month++) {
        days += days_in_month(when->year, month);
    }
    return days;
}

int64_t when_to_wall_ms(const struct when *when)
{
    int64_t minutes;

    ASSERT(when->has_date);
    ASSERT(when->has_zone);
    minutes = (days_since_1970(when) * 24 + when->hour) * 60 + when->minute - when->zone_minutes;
    return (minutes * 60 + when->second) * 1000 + when->microsecond / 1000;
}

void when_from_wall_ms(int64_t wall_ms, int zone_minutes, struct when *when)
{
    const int64_t local_ms = wall_ms + (int64_t)zone_minutes * 60000;
    int64_t days = local_ms / 86400000;
    int64_t rest_ms = local_ms % 86400000;

    ASSERT(local_ms >= 0); /* Only ever the clock's own time, long past 1970. */
    *when = (struct when){
        .year = 1970,
        .month = 1,
        .hour = (int)(rest_ms / 3600000),
        .minute = (int)(rest_ms / 60000 % 60),
        .second = (int)(rest_ms / 1000 % 60),
        .microsecond = (int)(rest_ms % 1000) * 1000,
        .zone_minutes = zone_minutes,
        .has_date = true,
        .has_zone = true,
    };
    for (; days >= days_in_year(when->year); when->year++) {
        days -= days_in_year(when->year);
    }
    for (; days >= days_in_month(when->year, when->month); when->month++) {
        days -= days_in_month(when->year, when->month);
    }
    when->day = (int)days + 1;
}
