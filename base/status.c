#include "base/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/text.h"

const char *status_name(enum status status)
{
    static const char *const names[] = {
#define X(code, text) [STATUS_##code] = #code,
        STATUS_MAP(X)
#undef X
    };

    ASSERT((size_t)status < ARRAY_SIZE(names));
    return names[status];
}

const char *status_text(enum status status)
{
    static const char *const texts[] = {
#define X(code, text) [STATUS_##code] = text,
        STATUS_MAP(X)
#undef X
    };

    ASSERT((size_t)status < ARRAY_SIZE(texts));
    return texts[status];
}

enum status err_set(
    struct err *err, enum status status, const char *file, int line, const char *format, ...)
{
    /* Formatted aside, because an argument may be the text that is being replaced. */
    char buffer[sizeof err->text];
    struct text text;
    va_list args;

    text_init(&text, buffer, sizeof buffer);
    va_start(args, format);
    text_addv(&text, format, args);
    va_end(args);

    *err = (struct err){.status = status, .file = file, .line = line};
    text_copy_cut(err->text, sizeof err->text, buffer);
    return status;
}

void err_add_context(struct err *err, const char *format, ...)
{
    char buffer[sizeof err->text];
    struct text text;
    va_list args;

    text_init(&text, buffer, sizeof buffer);
    va_start(args, format);
    text_addv(&text, format, args);
    va_end(args);
    text_add(&text, ": ");
    text_add(&text, err->text);
    text_copy_cut(err->text, sizeof err->text, buffer);
}
