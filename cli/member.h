/*
 * cli/member.h - members as GET /cluster describes them: fields, roles, who may be promoted.
 *
 * Pure.
 */
#ifndef PGBATON_CLI_MEMBER_H
#define PGBATON_CLI_MEMBER_H

#include <stdbool.h>

#include "conf/tree.h"

/* The text of a member's field, "" if it has none. */
const char *member_field(const struct node *member, const char *key);

/* True for the roles of the holder of the lease. */
bool member_is_leader(const struct node *member);

/* The member that holds the lease; NULL if nobody does. */
const struct node *member_find_leader(const struct node *cluster);

/* The member of that name; NULL if there is none. */
const struct node *member_find(const struct node *cluster, const char *name);

/* True for leader, primary, standby-leader, replica, standby, any. */
bool member_is_role(const char *role);

/* Whether the member plays a role a user named: one of those above. */
bool member_has_role(const struct node *member, const char *role);

/* True if the member may be promoted: not the leader, no witness, not tagged otherwise. */
bool member_is_candidate(const struct node *member);

#endif
