#include "cli/show.h"

#include <stdlib.h>

#include "cli/edit.h"
#include "conf/tree_json.h"
#include "conf/tree_yaml.h"

static int show_table(
    struct ctl *ctl, const struct node *rows, const struct rows_layout *layout, const char *header,
    enum rows_form form)
{
    struct table table = {
        .header = header,
        .columns = layout->columns,
        .column_count = layout->count,
        .row_count = rows->count,
    };
    const char **cells = calloc((size_t)rows->count * layout->count + 1, sizeof *cells);

    if (cells == NULL) {
        return ctl_error("out of memory");
    }
    rows_cells(&ctl->tree, rows, layout, form, cells);
    table.cells = cells;
    if (form == ROWS_TSV) {
        table_render_tsv(&table, &ctl->text);
    } else {
        table_render(&table, &ctl->text);
    }
    free(cells);
    return CTL_OK;
}

/* JSON keeps the order of the columns; YAML has its keys sorted, as users know it. */
static int show_data(struct ctl *ctl, struct node *rows, enum rows_form form)
{
    enum status status;
    struct err err;

    if (form == ROWS_JSON) {
        status = tree_json_print(rows, 0, &ctl->text, &err);
        text_add(&ctl->text, "\n");
    } else {
        edit_sort(rows);
        status = tree_yaml_print(rows, &ctl->text, &err);
    }
    return status == STATUS_OK ? CTL_OK : ctl_fail(&err);
}

int show_members(struct ctl *ctl, const struct node *cluster, enum rows_form form, bool extended)
{
    struct node *rows = rows_members(&ctl->tree, cluster, form);
    struct rows_layout layout;
    char header[512];
    struct text text;
    int status;

    if (rows == NULL || tree_full(&ctl->tree)) {
        return ctl_error("the cluster is too large to be shown");
    }
    if (form == ROWS_JSON || form == ROWS_YAML) {
        status = show_data(ctl, rows, form);
        return status != CTL_OK ? status : ctl_print(ctl);
    }
    text_init(&text, header, sizeof header);
    rows_header(cluster, &text);
    rows_members_layout(rows, form, extended, &layout);
    status = show_table(ctl, rows, &layout, header, form);
    if (form != ROWS_TSV) {
        rows_footer(cluster, &ctl->text);
    }
    return status != CTL_OK ? status : ctl_print(ctl);
}

int show_history_table(struct ctl *ctl, const struct node *history, enum rows_form form)
{
    struct node *rows = rows_history(&ctl->tree, history);
    struct rows_layout layout;
    int status;

    if (rows == NULL || tree_full(&ctl->tree)) {
        return ctl_error("the history is too long to be shown");
    }
    rows_history_layout(&layout);
    status = form == ROWS_JSON || form == ROWS_YAML ? show_data(ctl, rows, form)
                                                    : show_table(ctl, rows, &layout, NULL, form);
    return status != CTL_OK ? status : ctl_print(ctl);
}
