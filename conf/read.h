/*
 * conf/read.h - from a map of settings to the fields of a struct, by a table of keys.
 */
#ifndef PGBATON_CONF_READ_H
#define PGBATON_CONF_READ_H

#include "conf/problem.h"
#include "conf/table.h"
#include "conf/tree.h"

/*
 * Sets the field of every key of `table` in `target`: from `root` (may be NULL), else
 * from the key's default. What is wrong is a problem and leaves the default.
 */
void conf_read_keys(
    struct conf_table table, void *target, struct tree *tree, const struct node *root,
    struct problems *problems);

/* Why a setting that is in no table is not used; NULL if it is used after all. */
typedef const char *conf_why_unknown(const void *owner, const struct node *node, const char *path);

/*
 * Warns of everything below `root` that none of the tables knows, once for each map that
 * is unknown as a whole. `path` in `why` is relative to `root`.
 */
void conf_read_unknown(
    const struct conf_table *tables, size_t table_count, const struct node *root,
    conf_why_unknown *why, const void *owner, struct problems *problems);

#endif
