/*
 * conf/tree_json.h - JSON text, or jansson's values, to a tree of settings and back.
 *
 * A key given twice, a zero byte in a text and nesting beyond TREE_DEPTH_MAX are refused.
 */
#ifndef PGBATON_CONF_TREE_JSON_H
#define PGBATON_CONF_TREE_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/status.h"
#include "base/text.h"
#include "conf/tree.h"

/* INVALID with the place and the reason; FULL if the tree has no room left. */
MUST_CHECK enum status tree_json_parse(
    struct tree *tree, const char *text, size_t length, struct node **root, struct err *err);

/* The same from a value that is parsed already; `json` is borrowed. */
MUST_CHECK enum status tree_json_take(
    struct tree *tree, const json_t *json, struct node **root, struct err *err);

/* A new reference that the caller releases; NULL when memory is short. */
json_t *tree_json_value(const struct node *root);

/* Adds the tree to `out`: one line if `indent` is 0, else indented. FULL if it does not fit. */
MUST_CHECK enum status tree_json_print(
    const struct node *root, unsigned indent, struct text *out, struct err *err);

#endif
