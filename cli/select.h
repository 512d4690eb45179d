/*
 * cli/select.h - the members a command is about: by name, by role, or all.
 */
#ifndef PGBATON_CLI_SELECT_H
#define PGBATON_CLI_SELECT_H

#include <stdint.h>

#include "cli/ctl.h"

#define SELECT_MAX 256

struct selection {
    const struct node *members[SELECT_MAX];
    uint32_t count;
};

/*
 * Members of the cluster with these names (none: all) and this role (NULL: any). Says what is
 * wrong and returns an exit status if a name or role is unknown or nobody is left.
 */
MUST_CHECK int select_members(
    const struct node *cluster, char *const names[], int name_count, const char *role,
    struct selection *selection);

/* "n1, n2" */
void select_names(const struct selection *selection, struct text *out);

#endif
