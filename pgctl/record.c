#include "pgctl/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/text.h"

#define HEADING      "# Written by pgbaton; belongs to this data directory. Do not edit.\n"
#define CHECKSUM_KEY "checksum: "

void record_print(const struct pg_record *record, char text[RECORD_TEXT_SIZE])
{
    char lsn[PG_LSN_TEXT_SIZE];
    struct text out;

    pg_lsn_print(record->follow_lsn, lsn);
    text_init(&out, text, RECORD_TEXT_SIZE);
    text_add(&out, HEADING);
    text_addf(&out, "data_dir_id: %016" PRIx64 "\n", record->data_dir_id);
    text_addf(&out, "marker_epoch: %" PRIu64 "\n", record->marker_epoch);
    text_addf(&out, "follow_epoch: %" PRIu64 "\n", record->follow_epoch);
    text_addf(&out, "follow_timeline: %" PRIu32 "\n", record->follow_timeline);
    text_addf(&out, "follow_lsn: %s\n", lsn);
    text_addf(&out, "partial: %s\n", record->partial ? "yes" : "no");
    text_addf(&out, CHECKSUM_KEY "%08" PRIx32 "\n", crc32c(0, text, out.length));
    ASSERT(!text_overflowed(&out));
}

/* Copies the value of a key that must be there; the keys are in no order. */
static bool get_value(const char *text, const char *key, char *value, size_t size)
{
    const size_t key_length = strlen(key);

    for (const char *line = text; *line != '\0';) {
        const size_t length = strcspn(line, "\n");

        if (strncmp(line, key, key_length) == 0 && strncmp(&line[key_length], ": ", 2) == 0) {
            const size_t value_length = length - key_length - 2;

            if (value_length >= size) {
                return false;
            }
            memcpy(value, &line[key_length + 2], value_length);
            value[value_length] = '\0';
            return true;
        }
        line += length;
        line += *line == '\n' ? 1 : 0;
    }
    return false;
}

static bool get_number(
    const char *text, const char *key, int base, uint64_t maximum, uint64_t *number)
{
    char value[32];
    char *end;

    if (!get_value(text, key, value, sizeof value) || value[0] == '-' || value[0] == '\0') {
        return false;
    }
    errno = 0;
    *number = strtoull(value, &end, base);
    return errno == 0 && *end == '\0' && *number <= maximum;
}

static bool parse_fields(const char *text, struct pg_record *record)
{
    char value[32];
    uint64_t timeline = 0;

    if (!get_number(text, "data_dir_id", 16, UINT64_MAX, &record->data_dir_id) ||
        !get_number(text, "marker_epoch", 10, UINT64_MAX, &record->marker_epoch) ||
        !get_number(text, "follow_epoch", 10, UINT64_MAX, &record->follow_epoch) ||
        !get_number(text, "follow_timeline", 10, UINT32_MAX, &timeline)) {
        return false;
    }
    record->follow_timeline = (uint32_t)timeline;
    if (!get_value(text, "follow_lsn", value, sizeof value) ||
        !pg_lsn_parse(value, &record->follow_lsn)) {
        return false;
    }
    if (!get_value(text, "partial", value, sizeof value)) {
        return false;
    }
    record->partial = text_equal(value, "yes");
    return record->partial || text_equal(value, "no");
}

enum status record_parse(const char *text, struct pg_record *record, struct err *err)
{
    const char *checksum = strstr(text, "\n" CHECKSUM_KEY);
    uint64_t expected = 0;

    *record = (struct pg_record){0};
    if (checksum == NULL || !get_number(&checksum[1], "checksum", 16, UINT32_MAX, &expected)) {
        return ERR(err, INVALID, "the data directory's record has no checksum");
    }
    if (crc32c(0, text, (size_t)(&checksum[1] - text)) != (uint32_t)expected) {
        return ERR(err, CORRUPT, "the data directory's record does not match its checksum");
    }
    if (!parse_fields(text, record) || record->data_dir_id == 0) {
        *record = (struct pg_record){0};
        return ERR(err, INVALID, "the data directory's record is not understood");
    }
    return STATUS_OK;
}

uint64_t record_epoch_at(const struct pg_record *record, struct pg_position position)
{
    if (record->follow_epoch > record->marker_epoch && record->follow_lsn != 0 &&
        position.timeline == record->follow_timeline && position.lsn >= record->follow_lsn) {
        return record->follow_epoch;
    }
    return record->marker_epoch;
}
