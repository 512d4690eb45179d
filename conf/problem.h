/*
 * conf/problem.h - everything that is wrong with some settings, not only the first thing.
 *
 * Pure. Each problem is one line: "file:line: path: what is wrong; what would be
 * right". What comes from no file begins with the path.
 */
#ifndef PGBATON_CONF_PROBLEM_H
#define PGBATON_CONF_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "conf/tree.h"

#define PROBLEMS_MAX 64

struct problem {
    bool is_error; /* Else a warning: the settings can be used. */
    char text[400];
};

struct problems {
    uint32_t error_count; /* Counted also when there was no place left in `items`. */
    uint32_t warning_count;
    uint32_t count; /* Of `items`. */
    struct problem items[PROBLEMS_MAX];
};

void problems_init(struct problems *problems);

/* About a value that is there. */
PRINTF(3, 4)
void problem_error(struct problems *problems, const struct node *node, const char *format, ...);
PRINTF(3, 4)
void problem_warning(struct problems *problems, const struct node *node, const char *format, ...);

/* About something no line stands for: an error, a warning. `file` may be NULL. */
PRINTF(3, 4)
void problem_missing(struct problems *problems, const char *file, const char *format, ...);

PRINTF(3, 4)
void problem_notice(struct problems *problems, const char *file, const char *format, ...);

#endif
