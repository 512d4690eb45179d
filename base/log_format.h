/*
 * base/log_format.h - the shape of a log line, as users know it from Python:
 * `%(asctime)s %(levelname)s: %(message)s`. Taken apart once, used for each line.
 */
#ifndef PGBATON_BASE_LOG_FORMAT_H
#define PGBATON_BASE_LOG_FORMAT_H

#include <stddef.h>

#include "base/attr.h"
#include "base/status.h"
#include "base/text.h"

#define LOG_FORMAT_DEFAULT   "%(asctime)s %(levelname)s: %(message)s"
#define LOG_FORMAT_SIZE      512
#define LOG_FORMAT_PARTS_MAX 32

enum log_field {
    LOG_FIELD_LITERAL,
    LOG_FIELD_ASCTIME,
    LOG_FIELD_LEVELNAME,
    LOG_FIELD_MESSAGE,
    LOG_FIELD_NAME,
    LOG_FIELD_PROCESS,
};

struct log_part {
    enum log_field field;
    int width;    /* As printf() takes it after '*': negative aligns left. */
    size_t start; /* LITERAL: its place in `text`, and its length. */
    size_t length;
};

struct log_format {
    char text[LOG_FORMAT_SIZE];
    struct log_part parts[LOG_FORMAT_PARTS_MAX];
    size_t part_count;
};

struct log_record {
    const char *time;  /* "2024-05-06 07:08:09,123" */
    const char *level; /* "ERROR" */
    long process;
    const char *message;
};

/* "asctime", ... ; not of a LITERAL. */
const char *log_field_name(enum log_field field);

/* INVALID, with the place, if the text is no format. */
MUST_CHECK enum status log_format_parse(
    struct log_format *format, const char *text, struct err *err);

/* Adds the line, without a line feed. */
void log_format_add(
    const struct log_format *format, const struct log_record *record, struct text *line);

#endif
