/*
 * cli/rows.h - what GET /cluster answers as rows of named values, and those as a table.
 *
 * Pure. A row is a map from a column's key to its value, without the empty ones: JSON and YAML
 * print the rows as they are, the other forms lay them out in columns. Memory is the tree's;
 * look at tree_full() before using what was built.
 */
#ifndef PGBATON_CLI_ROWS_H
#define PGBATON_CLI_ROWS_H

#include <stdint.h>

#include "base/text.h"
#include "cli/table.h"
#include "conf/tree.h"

enum rows_form {
    ROWS_PRETTY,
    ROWS_TOPOLOGY,
    ROWS_TSV,
    ROWS_JSON,
    ROWS_YAML,
};

/* False if `name` is none of pretty, tsv, json, yaml, yml. */
MUST_CHECK bool rows_form_parse(const char *name, enum rows_form *form);

struct rows_layout {
    struct table_column columns[TABLE_COLUMNS_MAX];
    const char *keys[TABLE_COLUMNS_MAX]; /* In the rows, where titles may be the same. */
    uint32_t count;
};

/*
 * A list of rows, one per member: sorted by name or, for ROWS_TOPOLOGY, as a tree below the
 * leader.
 */
struct node *rows_members(struct tree *tree, const struct node *cluster, enum rows_form form);

/* A list of rows, one per entry of GET /history. */
struct node *rows_history(struct tree *tree, const struct node *history);

/* The columns for rows of members; `extended`: also those that are empty in every row. */
void rows_members_layout(
    const struct node *rows, enum rows_form form, bool extended, struct rows_layout *layout);

void rows_history_layout(struct rows_layout *layout);

/* Fills `cells`, rows->count * layout->count of them. */
void rows_cells(
    struct tree *tree, const struct node *rows, const struct rows_layout *layout,
    enum rows_form form, const char *cells[]);

/* " Cluster: demo (7415036829190013573) ", for the top border. */
void rows_header(const struct node *cluster, struct text *out);

/*
 * Pause, the scheduled switchover, and why there is nobody, as lines below the table; nothing in
 * peace.
 */
void rows_footer(const struct node *cluster, struct text *out);

#endif
