/*
 * cli/topology.h - the members as a tree: who streams from whom.
 *
 * Pure. A replica hangs below the replica its `replicatefrom` tag names, else below the leader.
 */
#ifndef PGBATON_CLI_TOPOLOGY_H
#define PGBATON_CLI_TOPOLOGY_H

#include <stdint.h>

#include "conf/tree.h"

/* Far above what a cluster can have; further members are left out. */
#define TOPOLOGY_MEMBERS_MAX 256

struct topology_place {
    const struct node *member;
    uint32_t level; /* 0: the leader. */
};

/* The members of a list by name, all at level 0; returns how many. */
uint32_t topology_by_name(
    const struct node *members, struct topology_place places[TOPOLOGY_MEMBERS_MAX]);

/* The same members in the order of the tree: each one before those below it. */
uint32_t topology_by_tree(
    const struct node *members, struct topology_place places[TOPOLOGY_MEMBERS_MAX]);

#endif
