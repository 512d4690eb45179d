#include "pgctl/controldata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

#define VALUE_SIZE 128

static const char *const state_names[] = {
    [CONTROL_STATE_UNKNOWN] = "unknown",
    [CONTROL_STATE_STARTING_UP] = "starting up",
    [CONTROL_STATE_SHUT_DOWN] = "shut down",
    [CONTROL_STATE_SHUT_DOWN_IN_RECOVERY] = "shut down in recovery",
    [CONTROL_STATE_SHUTTING_DOWN] = "shutting down",
    [CONTROL_STATE_IN_CRASH_RECOVERY] = "in crash recovery",
    [CONTROL_STATE_IN_ARCHIVE_RECOVERY] = "in archive recovery",
    [CONTROL_STATE_IN_PRODUCTION] = "in production",
};

const char *control_state_name(enum control_state state)
{
    ASSERT((size_t)state < ARRAY_SIZE(state_names));
    return state_names[state];
}

/* The value behind "<label>:" at the start of a line; false if there is no such line. */
static bool find_value(const char *text, const char *label, char value[VALUE_SIZE])
{
    const size_t length = strlen(label);
    const char *line = text;

    while (line != NULL && *line != '\0') {
        if (strncmp(line, label, length) == 0 && line[length] == ':') {
            const char *from = &line[length + 1];
            size_t size;

            from += strspn(from, " \t");
            size = strcspn(from, "\r\n");
            if (size >= VALUE_SIZE) {
                return false;
            }
            memcpy(value, from, size);
            value[size] = '\0';
            return true;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : &line[1];
    }
    return false;
}

static bool get_u64(const char *text, const char *label, uint64_t *number)
{
    char value[VALUE_SIZE];
    char *end;

    if (!find_value(text, label, value) || value[0] < '0' || value[0] > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(value, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool get_u32(const char *text, const char *label, uint32_t *number)
{
    uint64_t wide = 0;

    if (!get_u64(text, label, &wide) || wide > UINT32_MAX) {
        return false;
    }
    *number = (uint32_t)wide;
    return true;
}

static bool get_lsn(const char *text, const char *label, uint64_t *lsn)
{
    char value[VALUE_SIZE];

    return find_value(text, label, value) && pg_lsn_parse(value, lsn);
}

static bool get_state(const char *text, enum control_state *state)
{
    char value[VALUE_SIZE];

    if (!find_value(text, "Database cluster state", value)) {
        return false;
    }
    *state = CONTROL_STATE_UNKNOWN;
    for (size_t i = 1; i < ARRAY_SIZE(state_names); i++) {
        if (text_equal(value, state_names[i])) {
            *state = (enum control_state)i;
        }
    }
    return *state != CONTROL_STATE_UNKNOWN;
}

static bool get_switches(const char *text, struct controldata *control)
{
    char value[VALUE_SIZE];
    uint32_t checksum_version = 0;

    if (!find_value(text, "wal_log_hints setting", value)) {
        return false;
    }
    control->wal_log_hints = text_equal(value, "on");
    if (!get_u32(text, "Data page checksum version", &checksum_version)) {
        return false;
    }
    control->data_checksums = checksum_version != 0;
    return true;
}

enum status controldata_parse(const char *text, struct controldata *control, struct err *err)
{
    const struct {
        const char *label;
        uint64_t *lsn;
    } lsns[] = {
        {"Latest checkpoint location",        &control->checkpoint_lsn  },
        {"Latest checkpoint's REDO location", &control->redo_lsn        },
        {"Minimum recovery ending location",  &control->min_recovery.lsn},
    };
    const struct {
        const char *label;
        uint32_t *number;
    } numbers[] = {
        {"Latest checkpoint's TimeLineID",     &control->timeline                 },
        {"Min recovery ending loc's timeline", &control->min_recovery.timeline    },
        {"WAL block size",                     &control->page_bytes               },
        {"Bytes per WAL segment",              &control->segment_bytes            },
        {"max_connections setting",            &control->max_connections          },
        {"max_worker_processes setting",       &control->max_worker_processes     },
        {"max_wal_senders setting",            &control->max_wal_senders          },
        {"max_prepared_xacts setting",         &control->max_prepared_transactions},
        {"max_locks_per_xact setting",         &control->max_locks_per_transaction},
    };

    *control = (struct controldata){0};
    if (!get_u64(text, "Database system identifier", &control->system_identifier)) {
        return ERR(err, INVALID, "pg_controldata printed no system identifier");
    }
    if (!get_state(text, &control->state)) {
        return ERR(err, INVALID, "pg_controldata printed no state that is known");
    }
    for (size_t i = 0; i < ARRAY_SIZE(lsns); i++) {
        if (!get_lsn(text, lsns[i].label, lsns[i].lsn)) {
            return ERR(err, INVALID, "pg_controldata printed no \"%s\"", lsns[i].label);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (!get_u32(text, numbers[i].label, numbers[i].number)) {
            return ERR(err, INVALID, "pg_controldata printed no \"%s\"", numbers[i].label);
        }
    }
    if (!get_switches(text, control)) {
        return ERR(err, INVALID, "pg_controldata printed nothing about hints and checksums");
    }
    if (control->page_bytes < 512 || control->segment_bytes < control->page_bytes) {
        return ERR(err, INVALID, "pg_controldata printed impossible sizes of WAL");
    }
    return STATUS_OK;
}

bool controldata_is_clean(const struct controldata *control)
{
    return control->state == CONTROL_STATE_SHUT_DOWN ||
           control->state == CONTROL_STATE_SHUT_DOWN_IN_RECOVERY;
}

struct pg_position controldata_end(const struct controldata *control)
{
    if (control->min_recovery.lsn > control->redo_lsn) {
        return control->min_recovery;
    }
    return (struct pg_position){.timeline = control->timeline, .lsn = control->redo_lsn};
}
