#include "pgctl/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void append(struct history *history, const struct history_entry *entry)
{
    if (history->count == HISTORY_MAX) {
        memmove(
            &history->entries[0], &history->entries[1],
            (HISTORY_MAX - 1) * sizeof history->entries[0]);
        history->count--;
    }
    history->entries[history->count++] = *entry;
}

/* "1<blank>0/3000148<blank>reason" */
static bool parse_line(const char *line, struct history_entry *entry)
{
    char lsn[PG_LSN_TEXT_SIZE];
    unsigned long timeline;
    size_t length;
    char *rest;

    *entry = (struct history_entry){0};
    if (*line < '0' || *line > '9') {
        return false;
    }
    timeline = strtoul(line, &rest, 10);
    if (timeline == 0 || timeline > UINT32_MAX || strspn(rest, " \t") == 0) {
        return false;
    }
    rest += strspn(rest, " \t");
    length = strcspn(rest, " \t");
    if (length >= sizeof lsn) {
        return false;
    }
    memcpy(lsn, rest, length);
    lsn[length] = '\0';
    rest += length;
    rest += strspn(rest, " \t");
    entry->switched.timeline = (uint32_t)timeline;
    text_copy_cut(entry->reason, sizeof entry->reason, rest);
    return pg_lsn_parse(lsn, &entry->switched.lsn);
}

enum status history_parse(const char *text, struct history *history, struct err *err)
{
    uint32_t newest = 0;

    history->count = 0;
    while (*text != '\0') {
        const size_t length = strcspn(text, "\n");
        struct history_entry entry;
        char line[256];
        const char *start = line;

        /* Only the reason can be long, and of that the beginning is enough. */
        (void)snprintf(line, sizeof line, "%.*s", (int)(length < 255 ? length : 255), text);
        line[strcspn(line, "\r")] = '\0';
        start += strspn(start, " \t");
        text += length;
        text += *text == '\n' ? 1 : 0;
        if (*start == '\0' || *start == '#') {
            continue;
        }
        if (!parse_line(start, &entry)) {
            return ERR(err, INVALID, "timeline history has a line \"%s\"", start);
        }
        if (entry.switched.timeline <= newest) {
            return ERR(
                err, INVALID, "timeline %" PRIu32 " of the history is out of order",
                entry.switched.timeline);
        }
        newest = entry.switched.timeline;
        append(history, &entry);
    }
    return STATUS_OK;
}

bool history_switch_lsn(const struct history *history, uint32_t timeline, uint64_t *lsn)
{
    for (uint32_t i = 0; i < history->count; i++) {
        if (history->entries[i].switched.timeline == timeline) {
            *lsn = history->entries[i].switched.lsn;
            return true;
        }
    }
    return false;
}

void history_file_name(uint32_t timeline, char name[HISTORY_NAME_SIZE])
{
    (void)snprintf(name, HISTORY_NAME_SIZE, "%08" PRIX32 ".history", timeline);
}
