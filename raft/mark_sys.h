/*
 * raft/mark_sys.h - the most that the store has acknowledged, in a file beside it.
 *
 * A store that was rolled back shows less than its mark, and must not go on as the member
 * it was (raft.h, struct raft_memory). The file "mark" has one record with a checksum, and is
 * written over in place, so that it costs one sync of one sector. Should a power cut tear
 * it, it is damaged and says nothing; what it would say was not told to anybody yet.
 */
#ifndef PGBATON_RAFT_MARK_SYS_H
#define PGBATON_RAFT_MARK_SYS_H

#include "base/status.h"
#include "raft/raft.h"

/* NOT_FOUND if none was ever written, CORRUPT if the file is not what mark_write() left; `mark` is
 * all zero then. */
MUST_CHECK enum status mark_read(const char *dir, struct raft_memory *mark, struct err *err);

/* Blocks for the disk. The directory exists. FULL, or IO: then the outcome is unknown. */
MUST_CHECK enum status mark_write(const char *dir, const struct raft_memory *mark, struct err *err);

#endif
