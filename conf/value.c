#include "conf/value.h"

#include <string.h>

#include "base/text.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Of microseconds, so that us and ms stay whole numbers. */
static const struct unit time_units[] = {
    {"us",  1                       },
    {"ms",  1000                    },
    {"s",   1000000                 },
    {"",    1000000                 },
    {"min", INT64_C(60) * 1000000   },
    {"h",   INT64_C(3600) * 1000000 },
    {"d",   INT64_C(86400) * 1000000},
};

static const struct unit size_units[] = {
    {"",   1               },
    {"B",  1               },
    {"kB", INT64_C(1) << 10},
    {"MB", INT64_C(1) << 20},
    {"GB", INT64_C(1) << 30},
    {"TB", INT64_C(1) << 40},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits at `*at`, as a number, at most 18 of them; `*at` moves behind them. */
static bool take_digits(const char **at, int64_t *value, int *count)
{
    *value = 0;
    *count = 0;
    while (is_digit(**at)) {
        if (++*count > 18) {
            return false;
        }
        *value = *value * 10 + (**at - '0');
        (*at)++;
    }
    return *count > 0;
}

static const struct unit *find_unit(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (text_equal(units[i].name, name)) {
            return &units[i];
        }
    }
    return NULL;
}

static bool scaled(const char *text, const struct unit *units, size_t unit_count, int64_t *value)
{
    const bool negative = text[0] == '-';
    const char *at = negative ? text + 1 : text;
    const struct unit *unit = NULL;
    int64_t whole = 0;
    int64_t part = 0;
    int64_t part_scale = 1;
    int count = 0;

    if (!take_digits(&at, &whole, &count)) {
        return false;
    }
    if (*at == '.') {
        at++;
        if (!take_digits(&at, &part, &count) || count > 6) {
            return false; /* Six digits are more than anyone needs and cannot overflow below. */
        }
        for (int i = 0; i < count; i++) {
            part_scale *= 10;
        }
    }
    at += strspn(at, " ");
    unit = find_unit(units, unit_count, at);
    if (unit == NULL || whole > INT64_MAX / 2 / unit->factor) {
        return false;
    }
    whole = whole * unit->factor + part * unit->factor / part_scale;
    *value = negative ? -whole : whole;
    return true;
}

bool value_count(const char *text, int64_t *count)
{
    static const struct unit none = {"", 1};

    return strchr(text, '.') == NULL && scaled(text, &none, 1, count);
}

bool value_seconds(const char *text, int64_t *ms)
{
    int64_t us = 0;

    if (!scaled(text, time_units, ARRAY_SIZE(time_units), &us)) {
        return false;
    }
    *ms = us / 1000;
    return true;
}

bool value_bytes(const char *text, int64_t *bytes)
{
    return scaled(text, size_units, ARRAY_SIZE(size_units), bytes);
}

bool value_mode(const char *text, int64_t *mode)
{
    const char *at = text_starts_with(text, "0o") ? text + 2 : text;
    int64_t value = 0;

    if (*at == '\0' || strlen(at) > 5) {
        return false;
    }
    for (; *at != '\0'; at++) {
        if (*at < '0' || *at > '7') {
            return false;
        }
        value = value * 8 + (*at - '0');
    }
    *mode = value;
    return true;
}

static bool split(const char *text, size_t *host_length, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    const char *at = NULL;
    int64_t value = 0;
    int count = 0;

    if (colon == NULL || colon == text) {
        return false;
    }
    at = colon + 1;
    if (!take_digits(&at, &value, &count) || *at != '\0' || value < 1 || value > 65535) {
        return false;
    }
    *host_length = (size_t)(colon - text);
    *port = (uint16_t)value;
    return true;
}

/* A host name, an IPv4 address, or an IPv6 address without brackets. */
static bool is_host(const char *host)
{
    return host[0] != '\0' &&
           host[strspn(
               host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%")] ==
               '\0';
}

bool value_address(const char *text, struct conf_address *address)
{
    struct conf_address parsed = {.port = 0};
    size_t length = 0;
    bool bracketed = false;

    if (!split(text, &length, &parsed.port) || length >= sizeof parsed.host) {
        return false;
    }
    bracketed = text[0] == '[' && text[length - 1] == ']' && length > 2;
    memcpy(parsed.host, bracketed ? text + 1 : text, bracketed ? length - 2 : length);
    /* Unbracketed colons would leave open where the address ends and the port begins. */
    if (!is_host(parsed.host) || (!bracketed && strchr(parsed.host, ':') != NULL)) {
        return false;
    }
    *address = parsed;
    return true;
}

bool value_listen(const char *text, struct conf_address *address)
{
    struct conf_address parsed = {.port = 0};
    size_t length = 0;
    size_t into = 0;

    if (!split(text, &length, &parsed.port) || length >= sizeof parsed.host) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (strchr("[] ", text[i]) == NULL) {
            parsed.host[into++] = text[i];
        }
    }
    if (parsed.host[0] == '\0' || parsed.host[0] == ',' || parsed.host[into - 1] == ',' ||
        strstr(parsed.host, ",,") != NULL) {
        return false;
    }
    for (const char *at = parsed.host; *at != '\0'; at++) {
        const char one[2] = {*at, '\0'};

        if (*at != ',' && *at != '*' && !is_host(one)) {
            return false;
        }
    }
    *address = parsed;
    return true;
}

bool value_is_wildcard(const char *host)
{
    return text_equal(host, "*") || text_equal(host, "0.0.0.0") || text_equal(host, "::");
}

bool value_is_loopback(const char *host)
{
    return text_equal_nocase(host, "localhost") || text_starts_with(host, "127.") ||
           text_equal(host, "::1");
}
