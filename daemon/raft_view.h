/*
 * daemon/raft_view.h - Raft as the ha part knows it: "propose" and "applied", and who is a member.
 *
 * Pure; the daemon and the simulator share it.
 */
#ifndef PGBATON_DAEMON_RAFT_VIEW_H
#define PGBATON_DAEMON_RAFT_VIEW_H

#include "ha/ha.h"
#include "raft/raft.h"

/* Every byte of `view` is written: two views may be compared with memcmp(). */
void raft_view_fill(const struct raft *raft, struct ha_raft *view);

#endif
