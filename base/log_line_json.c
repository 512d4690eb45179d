#include "base/log_line_json.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/name.h"

/* A message may be cut within a character, or quote bytes that are none: JSON must be UTF-8. */
static json_t *any_text(const char *text)
{
    json_t *value = json_string(text);

    if (value == NULL) {
        char ascii[LOG_MESSAGE_SIZE];

        text_copy_cut(ascii, sizeof ascii, text);
        for (char *at = ascii; *at != '\0'; at++) {
            *at = (unsigned char)*at < 0x80 ? *at : '?';
        }
        value = json_string(ascii);
    }
    return value;
}

static json_t *value_of(enum log_field field, const struct log_record *record)
{
    switch (field) {
    case LOG_FIELD_LITERAL:
        break;
    case LOG_FIELD_ASCTIME:
        return json_string(record->time);
    case LOG_FIELD_LEVELNAME:
        return json_string(record->level);
    case LOG_FIELD_MESSAGE:
        return any_text(record->message);
    case LOG_FIELD_NAME:
        return json_string(PRODUCT_NAME);
    case LOG_FIELD_PROCESS:
        return json_integer(record->process);
    }
    return NULL;
}

void log_line_add_json(
    const struct log_format *format, const struct log_record *record, const char *static_fields,
    struct text *line)
{
    json_t *object = json_object();
    json_t *more = json_loads(static_fields, 0, NULL);
    char *printed;

    for (size_t i = 0; i < format->part_count; i++) {
        const enum log_field field = format->parts[i].field;

        if (field != LOG_FIELD_LITERAL) {
            (void)json_object_set_new(object, log_field_name(field), value_of(field, record));
        }
    }
    (void)json_object_update_missing(object, more);
    printed = json_dumps(object, JSON_COMPACT);
    if (printed != NULL) {
        text_add(line, printed);
    }
    free(printed);
    json_decref(more);
    json_decref(object);
}
