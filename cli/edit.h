/*
 * cli/edit.h - changes to the cluster's configuration, before it is sent.
 *
 * Pure. Memory is the tree's; look at tree_full() before using what was built.
 */
#ifndef PGBATON_CLI_EDIT_H
#define PGBATON_CLI_EDIT_H

#include "base/attr.h"
#include "conf/tree.h"

/* Sorts the keys of every map: what is shown does not depend on who wrote it. */
void edit_sort(struct node *root);

/* Removes the keys without a value, which mean the same as no key at all. */
void edit_drop_nulls(struct node *root);

/*
 * Puts `value` at a dotted path; below "postgresql.parameters" the rest of the path is one key,
 * because names of parameters may have dots. A value of null deletes, and with it the maps that
 * this leaves empty. False if the path is empty somewhere or leads through what is no map.
 */
MUST_CHECK bool edit_set(
    struct tree *tree, struct node *root, const char *path, struct node *value);

/* The patch that, merged into the map `before`, gives the map `after`. */
struct node *edit_difference(
    struct tree *tree, const struct node *before, const struct node *after);

#endif
