/*
 * cli/diff.h - the unified difference of two texts, line by line.
 *
 * Pure. The difference is the smallest one while the part that differs has at most
 * DIFF_LINES_MAX lines on each side; beyond that, that part is shown as replaced as a whole,
 * which is longer to read but as true.
 */
#ifndef PGBATON_CLI_DIFF_H
#define PGBATON_CLI_DIFF_H

#include <stdint.h>

#include "base/text.h"

#define DIFF_LINES_MAX 512
#define DIFF_CONTEXT   3

/* Working memory; of the caller, because it is too large for a stack. */
struct diff {
    const char *old_lines[DIFF_LINES_MAX];
    const char *new_lines[DIFF_LINES_MAX];
    uint16_t common[DIFF_LINES_MAX + 1][DIFF_LINES_MAX + 1];
};

/*
 * Adds the difference with the two file-like names above it to `out`; nothing if the texts are
 * equal.
 */
void diff_unified(struct diff *diff, const char *old_text, const char *new_text, struct text *out);

#endif
