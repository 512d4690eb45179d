#include "cli/schedule.h"

#include "cli/ctl.h"
#include "cli/prompt_sys.h"
#include "cli/zone_sys.h"

#define HOUR_MS 3600000

int schedule_parse(const char *typed, char iso[WHEN_SIZE])
{
    struct when when;
    struct text text;

    iso[0] = '\0';
    if (when_is_now(typed)) {
        return CTL_OK;
    }
    if (!when_parse(typed, &when)) {
        return ctl_error(
            "\"%s\" is no time that can be understood; write it as 2026-08-01T03:00+00:00", typed);
    }
    zone_complete(&when);
    text_init(&text, iso, WHEN_SIZE);
    when_format(&when, &text);
    return CTL_OK;
}

int schedule_ask(const char *action, char iso[WHEN_SIZE])
{
    char question[128];
    char typed[64];
    struct when example;
    struct text text;

    zone_now(HOUR_MS, &example);
    text_init(&text, question, sizeof question);
    text_addf(
        &text, "When should the %s take place (e.g. %04d-%02d-%02dT%02d:%02d)", action,
        example.year, example.month, example.day, example.hour, example.minute);
    if (!prompt_text(question, "now", typed, sizeof typed)) {
        return CTL_FAILED;
    }
    return schedule_parse(typed, iso);
}
