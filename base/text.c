#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void text_init(struct text *text, char *data, size_t size)
{
    ASSERT(size > 0);
    *text = (struct text){.data = data, .size = size};
    data[0] = '\0';
}

void text_add(struct text *text, const char *string)
{
    text_add_bytes(text, string, strlen(string));
}

void text_add_bytes(struct text *text, const char *bytes, size_t count)
{
    const size_t room = text->size - 1 - text->length;
    const size_t kept = count < room ? count : room;

    ASSERT(text->length < text->size);
    if (text->overflow || count == 0) {
        return; /* What follows a gap would read as if there were none. */
    }
    memcpy(&text->data[text->length], bytes, kept);
    text->length += kept;
    text->data[text->length] = '\0';
    text->overflow = kept < count;
}

void text_addf(struct text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_addv(text, format, args);
    va_end(args);
}

void text_addv(struct text *text, const char *format, va_list args)
{
    const size_t room = text->size - text->length;
    int wanted;

    ASSERT(text->length < text->size);
    if (text->overflow) {
        return;
    }
    wanted = vsnprintf(&text->data[text->length], room, format, args);
    ASSERT(wanted >= 0); /* Only a wide character that has no encoding fails, and we print none. */
    text->overflow = (size_t)wanted >= room;
    text->length += text->overflow ? room - 1 : (size_t)wanted;
}

bool text_overflowed(const struct text *text)
{
    return text->overflow;
}

bool text_copy(char *target, size_t size, const char *source)
{
    const size_t length = strlen(source);

    ASSERT(size > 0);
    if (length >= size) {
        target[0] = '\0';
        return false;
    }
    memcpy(target, source, length + 1);
    return true;
}

void text_copy_cut(char *target, size_t size, const char *source)
{
    const size_t length = strnlen(source, size - 1);

    ASSERT(size > 0);
    memcpy(target, source, length);
    target[length] = '\0';
}

bool text_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Not tolower(), which depends on the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_equal_nocase(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool text_starts_with(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *string, const char *suffix)
{
    const size_t length = strlen(string);
    const size_t suffix_length = strlen(suffix);

    return suffix_length <= length && strcmp(&string[length - suffix_length], suffix) == 0;
}
