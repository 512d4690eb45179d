#include "conf/problem.h"

#include <stdarg.h>

#include "base/text.h"

void problems_init(struct problems *problems)
{
    problems->error_count = 0;
    problems->warning_count = 0;
    problems->count = 0;
}

static void add_place(struct text *text, const struct node *node)
{
    char path[TREE_PATH_MAX];

    tree_path(node, path);
    if (node->file != NULL && node->line > 0) {
        text_addf(text, "%s:%u: ", node->file, node->line);
    } else if (node->file != NULL) {
        text_addf(text, "%s: ", node->file);
    }
    if (path[0] != '\0') {
        text_addf(text, "%s: ", path);
    }
}

PRINTF(5, 0)
static void add(
    struct problems *problems, bool is_error, const struct node *node, const char *file,
    const char *format, va_list args)
{
    struct problem *problem = NULL;
    struct text text;

    problems->error_count += is_error;
    problems->warning_count += !is_error;
    if (problems->count == PROBLEMS_MAX) {
        return;
    }
    problem = &problems->items[problems->count++];
    problem->is_error = is_error;
    text_init(&text, problem->text, sizeof problem->text);
    if (node != NULL) {
        add_place(&text, node);
    } else if (file != NULL) {
        text_addf(&text, "%s: ", file);
    }
    text_addv(&text, format, args);
}

void problem_error(struct problems *problems, const struct node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(problems, true, node, NULL, format, args);
    va_end(args);
}

void problem_warning(struct problems *problems, const struct node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(problems, false, node, NULL, format, args);
    va_end(args);
}

void problem_missing(struct problems *problems, const char *file, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(problems, true, NULL, file, format, args);
    va_end(args);
}

void problem_notice(struct problems *problems, const char *file, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(problems, false, NULL, file, format, args);
    va_end(args);
}
