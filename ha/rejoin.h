/*
 * ha/rejoin.h - follow, rewind or clone: does a node's WAL lie on the primary's line?
 *
 * The line of an epoch is told by the grants: each continued the WAL of its parent epoch
 * from `start` on. A node whose WAL contains the first commit of epoch m, and ends at L, is
 * on the line of epoch e if m is e or an ancestor of e, and L is not past the point where
 * the next grant of that line left it. Timelines are not compared (rule 9), but for promotions
 * without a first commit, of which no grant tells: who streams from one, or is granted after one,
 * has a timeline that is not its marker's.
 */
#ifndef PGBATON_HA_REJOIN_H
#define PGBATON_HA_REJOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "ha/cluster.h"
#include "pgctl/pgctl.h"

enum rejoin {
    REJOIN_FOLLOW, /* On the line: stream. */
    REJOIN_REWIND, /* Off the line: pg_rewind, or a clone where that is not possible. */
    REJOIN_CLONE,  /* Off the line, and rewind could not tell: same timeline, or too old. */
};

/*
 * `record` and `end`: of the node. `cluster->last` is the grant to follow, and `primary_timeline`
 * the timeline its grantee writes on (it is not served yet, perhaps).
 */
enum rejoin rejoin_decide(
    const struct cluster *cluster, uint32_t primary_timeline, const struct pg_record *record,
    struct pg_position end);

const char *rejoin_name(enum rejoin rejoin);

#endif
