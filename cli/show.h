/*
 * cli/show.h - rows on standard output, in the form the user chose.
 */
#ifndef PGBATON_CLI_SHOW_H
#define PGBATON_CLI_SHOW_H

#include "cli/ctl.h"
#include "cli/rows.h"

/* Prints the members with header and footer; returns an exit status. */
MUST_CHECK int show_members(
    struct ctl *ctl, const struct node *cluster, enum rows_form form, bool extended);

/* Prints the history; returns an exit status. */
MUST_CHECK int show_history_table(struct ctl *ctl, const struct node *history, enum rows_form form);

#endif
