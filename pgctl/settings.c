#include "pgctl/settings.h"

#include <string.h>

#include "pgctl/quote.h"

#define NAME_SIZE 64

bool settings_is_generated(const char *file_text)
{
    return text_starts_with(file_text, SETTINGS_BANNER);
}

bool settings_is_recovery(const char *name)
{
    static const char *const names[] = {
        "archive_cleanup_command",
        "primary_conninfo",
        "primary_slot_name",
        "promote_trigger_file",
        "recovery_end_command",
        "recovery_min_apply_delay",
        "recovery_target",
        "recovery_target_action",
        "recovery_target_inclusive",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_time",
        "recovery_target_timeline",
        "recovery_target_xid",
        "restore_command",
        "standby_mode",
        "trigger_file",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (text_equal_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* Not isalnum(), which asks the locale. */
static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

/* The name a line sets, and where its value begins; an empty name if it sets nothing. */
static const char *line_name(const char *line, size_t length, char name[NAME_SIZE])
{
    size_t at = 0;
    size_t used = 0;

    name[0] = '\0';
    while (at < length && (line[at] == ' ' || line[at] == '\t')) {
        at++;
    }
    while (at < length && is_name(line[at])) {
        if (used < NAME_SIZE - 1) {
            name[used++] = line[at];
        }
        at++;
    }
    name[used] = '\0';
    while (at < length && strchr(" \t=", line[at]) != NULL) {
        at++;
    }
    return &line[at];
}

bool settings_strip_recovery(const char *file_text, struct text *out)
{
    bool stripped = false;

    while (*file_text != '\0') {
        const size_t length = strcspn(file_text, "\n");
        const size_t whole = length + (file_text[length] == '\n' ? 1 : 0);
        char name[NAME_SIZE];

        (void)line_name(file_text, length, name);
        if (settings_is_recovery(name)) {
            stripped = true;
        } else {
            text_add_bytes(out, file_text, whole);
        }
        file_text += whole;
    }
    return stripped;
}

bool settings_has_value(const char *file_text, const char *name)
{
    bool found = false;

    while (*file_text != '\0') {
        const size_t length = strcspn(file_text, "\n");
        char here[NAME_SIZE];
        const char *value = line_name(file_text, length, here);

        if (text_equal_nocase(here, name)) {
            const size_t rest = length - (size_t)(value - file_text);

            found = rest > 0 && *value != '#' && strncmp(value, "''", 2) != 0;
        }
        file_text += length;
        file_text += *file_text == '\n' ? 1 : 0;
    }
    return found;
}

void settings_add(struct text *out, const char *name, const char *value)
{
    text_addf(out, "%s = ", name);
    quote_setting(out, value);
    text_add(out, "\n");
}
