/*
 * base/log_line_json.h - a log line as a JSON object.
 */
#ifndef PGBATON_BASE_LOG_LINE_JSON_H
#define PGBATON_BASE_LOG_LINE_JSON_H

#include "base/log_format.h"

/* Adds the fields of the format in its order, by their names, and after them those of the object
 * `static_fields`, itself JSON, that are not among them. Nothing if memory is short. */
void log_line_add_json(
    const struct log_format *format, const struct log_record *record, const char *static_fields,
    struct text *line);

#endif
