/*
 * base/file_sys.h - whole files: read with a limit, replace atomically.
 */
#ifndef PGBATON_BASE_FILE_SYS_H
#define PGBATON_BASE_FILE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

/*
 * Reads at most `size - 1` bytes of the file into `data` and ends them with NUL.
 * `length` may be NULL. NOT_FOUND if there is no such file, INVALID if it is longer.
 */
MUST_CHECK enum status file_read(
    const char *path, char *data, size_t size, size_t *length, struct err *err);

/* The same into a heap block that the caller frees. */
MUST_CHECK enum status file_read_alloc(
    const char *path, size_t limit, char **data, size_t *length, struct err *err);

/*
 * Writes "<path>.new", syncs it, renames it over `path`, syncs the directory: after
 * a crash the file is the old one or the new one, whole.
 */
MUST_CHECK enum status file_replace(
    const char *path, const void *data, size_t size, mode_t mode, struct err *err);

/* As file_replace(), but leaves a file alone that has these very bytes. `changed` may be NULL. */
MUST_CHECK enum status file_replace_if_changed(
    const char *path, const void *data, size_t size, mode_t mode, bool *changed, struct err *err);

/* Removes the file and syncs its directory. A missing file is no error. */
MUST_CHECK enum status file_remove(const char *path, struct err *err);

bool file_exists(const char *path);

/*
 * Removes a tree below and including `path`; symbolic links are removed, not followed. A
 * missing tree is no error.
 */
MUST_CHECK enum status file_remove_tree(const char *path, struct err *err);

/* mkdir -p with `mode` for what is created. */
MUST_CHECK enum status file_make_dirs(const char *path, mode_t mode, struct err *err);

#endif
