/*
 * conf/tree_yaml.h - YAML text to a tree of settings and back.
 *
 * Refused, with the line: anchors and aliases (a small file must not grow into a
 * large tree), tags of programs, a key given twice, keys that are not plain text,
 * and more than one document.
 */
#ifndef PGBATON_CONF_TREE_YAML_H
#define PGBATON_CONF_TREE_YAML_H

#include <stddef.h>

#include "base/status.h"
#include "base/text.h"
#include "conf/tree.h"

/*
 * Parses `length` bytes. `file` is for messages and may be NULL; it must live as long
 * as the tree. An empty text gives an empty map. INVALID with "file:line: reason";
 * FULL if the tree has no room left.
 */
MUST_CHECK enum status tree_yaml_parse(
    struct tree *tree, const char *text, size_t length, const char *file, struct node **root,
    struct err *err);

/*
 * Adds the block form of the tree to `out`. Texts that would read as something else
 * are quoted. FULL if it does not fit.
 */
MUST_CHECK enum status tree_yaml_print(const struct node *root, struct text *out, struct err *err);

#endif
