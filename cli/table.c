#include "cli/table.h"

#include <string.h>

#include "base/assert.h"

static uint32_t code_points(const char *string, size_t bytes)
{
    uint32_t count = 0;

    for (size_t i = 0; i < bytes; i++) {
        count += ((unsigned char)string[i] & 0xC0u) != 0x80u; /* Not a continuation byte. */
    }
    return count;
}

/* The bytes in which the first `count` code points of `string` are written. */
static size_t bytes_of_code_points(const char *string, uint32_t count)
{
    const size_t length = strlen(string);
    size_t bytes = 0;

    while (bytes < length && code_points(string, bytes + 1) <= count) {
        bytes++;
    }
    return bytes;
}

static uint32_t line_count(const char *cell)
{
    uint32_t count = 1;

    for (; *cell != '\0'; cell++) {
        count += *cell == '\n';
    }
    return count;
}

/* Line `index` of the cell, and its length in bytes; empty past the end. */
static const char *cell_line(const char *cell, uint32_t index, size_t *length)
{
    for (; index > 0; index--) {
        const char *end = strchr(cell, '\n');

        if (end == NULL) {
            *length = 0;
            return cell;
        }
        cell = end + 1;
    }
    *length = strcspn(cell, "\n");
    return cell;
}

static uint32_t cell_width(const char *cell)
{
    const uint32_t lines = line_count(cell);
    uint32_t width = 0;

    for (uint32_t i = 0; i < lines; i++) {
        size_t length;
        const char *line = cell_line(cell, i, &length);
        const uint32_t count = code_points(line, length);

        width = count > width ? count : width;
    }
    return width;
}

static const char *cell_at(const struct table *table, uint32_t row, uint32_t column)
{
    return table->cells[(size_t)row * table->column_count + column];
}

static void measure(const struct table *table, uint32_t widths[])
{
    for (uint32_t column = 0; column < table->column_count; column++) {
        widths[column] = cell_width(table->columns[column].title);
        for (uint32_t row = 0; row < table->row_count; row++) {
            const uint32_t width = cell_width(cell_at(table, row, column));

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
}

static bool has_cell_of_several_lines(const struct table *table)
{
    const size_t count = (size_t)table->row_count * table->column_count;

    for (size_t i = 0; i < count; i++) {
        if (strchr(table->cells[i], '\n') != NULL) {
            return true;
        }
    }
    return false;
}

static void add_repeated(struct text *out, const char *string, uint32_t count)
{
    for (; count > 0; count--) {
        text_add(out, string);
    }
}

/* The part of the rule from its second character on is covered by the header, up to the end. */
static void add_rule(
    const struct table *table, const uint32_t widths[], const char *header, struct text *out)
{
    uint32_t width = 1;
    uint32_t position = 1;
    uint32_t covered;

    for (uint32_t column = 0; column < table->column_count; column++) {
        width += widths[column] + 3;
    }
    covered = code_points(header, strlen(header));
    covered = covered > width - 2 ? width - 2 : covered;

    text_add(out, "+");
    text_add_bytes(out, header, bytes_of_code_points(header, covered));
    for (uint32_t column = 0; column < table->column_count; column++) {
        for (uint32_t i = 0; i < widths[column] + 3; i++, position++) {
            if (position > covered) {
                text_add(out, i == widths[column] + 2 ? "+" : "-");
            }
        }
    }
    text_add(out, "\n");
}

static void add_cell_line(
    const char *line, size_t length, uint32_t width, enum table_align align, struct text *out)
{
    const uint32_t padding = width - code_points(line, length);

    add_repeated(out, " ", align == TABLE_RIGHT ? padding + 1 : 1);
    text_add_bytes(out, line, length);
    add_repeated(out, " ", align == TABLE_RIGHT ? 1 : padding + 1);
}

/* One row, or the titles, as as many lines as its tallest cell has. */
static void add_row(
    const struct table *table, const uint32_t widths[], const char *const cells[], struct text *out)
{
    uint32_t lines = 1;

    for (uint32_t column = 0; column < table->column_count; column++) {
        const uint32_t count = line_count(cells[column]);

        lines = count > lines ? count : lines;
    }
    for (uint32_t line = 0; line < lines; line++) {
        text_add(out, "|");
        for (uint32_t column = 0; column < table->column_count; column++) {
            size_t length;
            const char *start = cell_line(cells[column], line, &length);

            add_cell_line(start, length, widths[column], table->columns[column].align, out);
            text_add(out, "|");
        }
        text_add(out, "\n");
    }
}

void table_render(const struct table *table, struct text *out)
{
    const bool rule_per_row = has_cell_of_several_lines(table);
    uint32_t widths[TABLE_COLUMNS_MAX];
    const char *titles[TABLE_COLUMNS_MAX];

    ASSERT(table->column_count > 0);
    ASSERT(table->column_count <= TABLE_COLUMNS_MAX);
    measure(table, widths);
    for (uint32_t column = 0; column < table->column_count; column++) {
        titles[column] = table->columns[column].title;
    }

    add_rule(table, widths, table->header == NULL ? "" : table->header, out);
    add_row(table, widths, titles, out);
    add_rule(table, widths, "", out);
    for (uint32_t row = 0; row < table->row_count; row++) {
        add_row(table, widths, &table->cells[(size_t)row * table->column_count], out);
        if (rule_per_row && row + 1 < table->row_count) {
            add_rule(table, widths, "", out);
        }
    }
    /* Also below a table without rows, where it doubles the rule under the titles: known shape. */
    add_rule(table, widths, "", out);
}

void table_render_tsv(const struct table *table, struct text *out)
{
    for (uint32_t column = 0; column < table->column_count; column++) {
        text_addf(out, "%s%s", column == 0 ? "" : "\t", table->columns[column].title);
    }
    text_add(out, "\n");
    for (uint32_t row = 0; row < table->row_count; row++) {
        for (uint32_t column = 0; column < table->column_count; column++) {
            text_addf(out, "%s%s", column == 0 ? "" : "\t", cell_at(table, row, column));
        }
        text_add(out, "\n");
    }
}
