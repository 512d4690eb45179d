#include "pgctl/pgctl.h"

#include <string.h>

#include "base/assert.h"
#include "base/text.h"

/* A name of PostgreSQL (NAMEDATALEN) is at most this long, without NUL. */
#define IDENTIFIER_MAX 63

const char *pg_data_name(enum pg_data data)
{
    switch (data) {
    case PG_DATA_UNKNOWN:
        return "unknown";
    case PG_DATA_EMPTY:
        return "empty";
    case PG_DATA_VALID:
        return "valid";
    case PG_DATA_PARTIAL:
        return "partial";
    case PG_DATA_BROKEN:
        return "broken";
    }
    UNREACHABLE();
}

const char *pg_run_name(enum pg_run run)
{
    switch (run) {
    case PG_RUN_UNKNOWN:
        return "unknown";
    case PG_RUN_STOPPED:
        return "stopped";
    case PG_RUN_STARTING:
        return "starting";
    case PG_RUN_UP:
        return "running";
    case PG_RUN_STOPPING:
        return "stopping";
    case PG_RUN_DYING:
        return "dying";
    }
    UNREACHABLE();
}

const char *pg_action_name(enum pg_action_kind kind)
{
    switch (kind) {
    case PG_ACTION_NONE:
        return "none";
    case PG_ACTION_INITDB:
        return "initdb";
    case PG_ACTION_START_STANDBY:
        return "start as standby";
    case PG_ACTION_START_PRIMARY:
        return "start as primary";
    case PG_ACTION_PROMOTE:
        return "promote";
    case PG_ACTION_FOLLOW:
        return "follow";
    case PG_ACTION_CUT:
        return "cut";
    case PG_ACTION_PREPARE_STOP:
        return "prepare stop";
    case PG_ACTION_STOP:
        return "stop";
    case PG_ACTION_REWIND:
        return "rewind";
    case PG_ACTION_CLONE:
        return "clone";
    case PG_ACTION_RELOAD:
        return "reload";
    case PG_ACTION_BOOTSTRAP_SQL:
        return "bootstrap";
    }
    UNREACHABLE();
}

const char *pg_result_name(enum pg_result result)
{
    switch (result) {
    case PG_RESULT_OK:
        return "ok";
    case PG_RESULT_FAILED:
        return "failed";
    case PG_RESULT_REFUSED:
        return "refused";
    case PG_RESULT_CANCELLED:
        return "cancelled";
    }
    UNREACHABLE();
}

/*
 * Decodes one character of UTF-8 and returns how many bytes it has. A byte that is not part of
 * a valid sequence stands for itself, so that every name has a slot name.
 */
static size_t decode_character(const char *bytes, uint32_t *code)
{
    const uint8_t first = (uint8_t)bytes[0];
    size_t length = 1;
    uint32_t value = first;

    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
        value = first & 0x1fu;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        value = first & 0x0fu;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        value = first & 0x07u;
    }
    for (size_t i = 1; i < length; i++) {
        const uint8_t next = (uint8_t)bytes[i];

        if ((next & 0xc0u) != 0x80) {
            *code = first;
            return 1;
        }
        value = (value << 6) | (next & 0x3fu);
    }
    *code = value;
    return length;
}

void pg_slot_name(const char *member, char *slot, unsigned long size)
{
    char name[IDENTIFIER_MAX + 1];
    struct text text;

    text_init(&text, name, sizeof name);
    while (*member != '\0') {
        uint32_t code = 0;

        member += decode_character(member, &code);
        if (code >= 'A' && code <= 'Z') {
            code += 'a' - 'A';
        }
        if ((code >= 'a' && code <= 'z') || (code >= '0' && code <= '9') || code == '_') {
            text_addf(&text, "%c", (char)code);
        } else if (code == '-' || code == '.') {
            text_add(&text, "_");
        } else {
            text_addf(&text, "u%04u", code);
        }
    }
    text_copy_cut(slot, size, name);
}
