#include "base/log_format.h"

#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/name.h"

static const char *const field_names[] = {
    [LOG_FIELD_ASCTIME] = "asctime", [LOG_FIELD_LEVELNAME] = "levelname",
    [LOG_FIELD_MESSAGE] = "message", [LOG_FIELD_NAME] = "name",
    [LOG_FIELD_PROCESS] = "process",
};

const char *log_field_name(enum log_field field)
{
    ASSERT(field != LOG_FIELD_LITERAL);
    return field_names[field];
}

static bool find_field(const char *name, size_t length, enum log_field *field)
{
    for (size_t i = LOG_FIELD_ASCTIME; i < ARRAY_SIZE(field_names); i++) {
        if (strlen(field_names[i]) == length && memcmp(field_names[i], name, length) == 0) {
            *field = (enum log_field)i;
            return true;
        }
    }
    return false;
}

static int read_width(const char **at)
{
    const bool left = **at == '-';
    int width = 0;

    *at += left;
    while (**at >= '0' && **at <= '9' && width < 100) {
        width = width * 10 + (**at - '0');
        (*at)++;
    }
    return left ? -width : width;
}

/* `at` points behind "%("; moves it behind the field. */
static enum status parse_field(const char **at, struct log_part *part, struct err *err)
{
    const char *name = *at;
    const char *end = strchr(name, ')');

    *part = (struct log_part){0};
    if (end == NULL || !find_field(name, (size_t)(end - name), &part->field)) {
        return ERR(
            err, INVALID,
            "no field at \"%%(%s\"; there are asctime, levelname, message, name "
            "and process",
            name);
    }
    *at = end + 1;
    part->width = read_width(at);
    if (**at != 's' && !(**at == 'd' && part->field == LOG_FIELD_PROCESS)) {
        return ERR(err, INVALID, "expected \"s\" at \"%s\"", *at);
    }
    (*at)++;
    return STATUS_OK;
}

static struct log_part literal(const struct log_format *format, const char *at, size_t length)
{
    return (struct log_part){
        .field = LOG_FIELD_LITERAL,
        .start = (size_t)(at - format->text),
        .length = length,
    };
}

enum status log_format_parse(struct log_format *format, const char *text, struct err *err)
{
    const char *at = format->text;

    if (!text_copy(format->text, sizeof format->text, text)) {
        return ERR(err, INVALID, "longer than %d bytes", LOG_FORMAT_SIZE - 1);
    }
    format->part_count = 0;
    while (*at != '\0') {
        struct log_part *part = &format->parts[format->part_count];

        if (format->part_count == LOG_FORMAT_PARTS_MAX) {
            return ERR(err, INVALID, "more than %d parts", LOG_FORMAT_PARTS_MAX);
        }
        if (text_starts_with(at, "%(")) {
            at += 2;
            if (parse_field(&at, part, err) != STATUS_OK) {
                return err->status;
            }
        } else if (text_starts_with(at, "%%")) {
            *part = literal(format, at, 1);
            at += 2;
        } else if (*at == '%') {
            return ERR(err, INVALID, "expected \"%%(\" or \"%%%%\" at \"%s\"", at);
        } else {
            *part = literal(format, at, strcspn(at, "%"));
            at += part->length;
        }
        format->part_count++;
    }
    return STATUS_OK;
}

static void add_part(
    const struct log_format *format, const struct log_part *part, const struct log_record *record,
    struct text *line)
{
    switch (part->field) {
    case LOG_FIELD_LITERAL:
        text_add_bytes(line, format->text + part->start, part->length);
        return;
    case LOG_FIELD_ASCTIME:
        text_addf(line, "%*s", part->width, record->time);
        return;
    case LOG_FIELD_LEVELNAME:
        text_addf(line, "%*s", part->width, record->level);
        return;
    case LOG_FIELD_MESSAGE:
        text_addf(line, "%*s", part->width, record->message);
        return;
    case LOG_FIELD_NAME:
        text_addf(line, "%*s", part->width, PRODUCT_NAME);
        return;
    case LOG_FIELD_PROCESS:
        text_addf(line, "%*ld", part->width, record->process);
        return;
    }
}

void log_format_add(
    const struct log_format *format, const struct log_record *record, struct text *line)
{
    for (size_t i = 0; i < format->part_count; i++) {
        add_part(format, &format->parts[i], record, line);
    }
}
