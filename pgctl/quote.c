#include "pgctl/quote.h"

#include <string.h>

/* Appends `value` with `escape` before each byte that is in `special`. */
static void add_escaped(struct text *text, const char *value, const char *special, char escape)
{
    for (; *value != '\0'; value++) {
        if (strchr(special, *value) != NULL) {
            text_add_bytes(text, &escape, 1);
        }
        text_add_bytes(text, value, 1);
    }
}

void quote_conninfo(struct text *text, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0') {
        return;
    }
    text_addf(text, "%s%s='", text->length == 0 ? "" : " ", key);
    add_escaped(text, value, "'\\", '\\');
    text_add(text, "'");
}

void quote_setting(struct text *text, const char *value)
{
    text_add(text, "'");
    for (; *value != '\0'; value++) {
        const bool is_break = *value == '\n' || *value == '\r';

        if (*value == '\'' || *value == '\\') {
            text_add_bytes(text, value, 1);
        }
        text_add_bytes(text, is_break ? " " : value, 1);
    }
    text_add(text, "'");
}

void quote_passfile(struct text *text, const char *value)
{
    if (value == NULL) {
        text_add(text, "*");
        return;
    }
    add_escaped(text, value, ":\\", '\\');
}
