/*
 * cli/editor_sys.h - a text into the user's editor and back, and text from standard input.
 */
#ifndef PGBATON_CLI_EDITOR_SYS_H
#define PGBATON_CLI_EDITOR_SYS_H

#include <stddef.h>

#include "base/status.h"

/*
 * Opens $EDITOR, else `editor`, else `vi` on a temporary file named after `name` that holds
 * `before`; what was saved is put into `*after`, which the caller frees. REFUSED if the editor
 * ends with another status than 0.
 */
MUST_CHECK enum status editor_run(
    const char *name, const char *before, char **after, size_t *length, struct err *err);

/* All of a file, of standard input if `path` is "-", into memory that the caller frees. */
MUST_CHECK enum status editor_read(const char *path, char **data, size_t *length, struct err *err);

#endif
