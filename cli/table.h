/*
 * cli/table.h - rows and columns as a framed table or as tab-separated text.
 *
 * Pure. Widths are counted in UTF-8 code points. Cells may have several lines; then every row
 * stands between rules, or nobody could tell where one ends.
 */
#ifndef PGBATON_CLI_TABLE_H
#define PGBATON_CLI_TABLE_H

#include <stdint.h>

#include "base/text.h"

#define TABLE_COLUMNS_MAX 20

enum table_align {
    TABLE_LEFT,
    TABLE_RIGHT,
};

struct table_column {
    const char *title;
    enum table_align align;
};

struct table {
    const char *header; /* Written into the top border; NULL or empty: a plain border. */
    const struct table_column *columns;
    uint32_t column_count;
    const char *const *cells; /* Row by row; an empty cell is "", never NULL. */
    uint32_t row_count;
};

/* Adds the framed table to `out`, every line with its newline. */
void table_render(const struct table *table, struct text *out);

/* Adds a line of titles and a line per row to `out`, cells separated by tabs. */
void table_render_tsv(const struct table *table, struct text *out);

#endif
