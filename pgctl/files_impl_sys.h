/*
 * pgctl/files_impl_sys.h - what the files_*_sys.c share; for nobody else.
 */
#ifndef PGBATON_PGCTL_FILES_IMPL_SYS_H
#define PGBATON_PGCTL_FILES_IMPL_SYS_H

#include "pgctl/files_sys.h"

/* Between these two the calling thread's file accesses are those of PostgreSQL's user. */
void files_act_begin(const struct files *files);
void files_act_end(const struct files *files);

/* "<dir>/<name>" */
MUST_CHECK enum status files_path(
    char path[FILES_PATH_SIZE], const char *dir, const char *name, struct err *err);

enum status files_sys_err(struct err *err, const char *what, const char *path);

#endif
