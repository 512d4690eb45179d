/*
 * conf/load_sys.h - the settings of a node from files and the environment.
 */
#ifndef PGBATON_CONF_LOAD_SYS_H
#define PGBATON_CONF_LOAD_SYS_H

#include "base/status.h"
#include "conf/conf.h"
#include "conf/problem.h"
#include "conf/tree.h"

/* Room for the texts of all files and what is made of them. */
#define CONF_MEMORY_BYTES ((size_t)1 << 20)

/* One file is at most so long. */
#define CONF_FILE_BYTES ((size_t)256 << 10)

/* Owns what `conf` points into. */
struct conf_file {
    struct conf conf;
    struct tree tree;
    void *memory; /* NULL if nothing is loaded. */
};

/*
 * Reads `path`: a file, or a directory with all its *.yml and *.yaml in the order of
 * their names, later ones over earlier ones, null deletes. Then the variables in
 * `environment` (as `environ`) over it. Without `path` (NULL) the text in
 * PGBATON_CONFIGURATION or PATRONI_CONFIGURATION, other variables then ignored; else
 * the variables alone.
 *
 * OK, also with warnings among the problems; else INVALID, NOT_FOUND or IO with the
 * reasons among the problems as errors. After OK, and only then, call conf_unload().
 */
MUST_CHECK enum status conf_load(
    struct conf_file *file, const char *path, const char *const *environment, enum conf_check check,
    struct problems *problems);

/* Frees what conf_load() allocated. Allowed on a zeroed struct, and twice. */
void conf_unload(struct conf_file *file);

/*
 * pgbaton --validate-config: loads strictly and prints one line per problem to standard
 * error. Returns the exit status of the program: 1 if there was any error.
 */
int conf_check_main(const char *path, const char *const *environment);

#endif
