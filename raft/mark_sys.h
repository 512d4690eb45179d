/*
 * raft/mark_sys.h - one number that must never be forgotten, in a file of its own.
 *
 * The highest epoch a node has seen is kept here a second time, outside the store:
 * a store that was wiped or rolled back shows less than its mark. The file "epoch"
 * is replaced as a whole and synced; after a crash it has the old or the new number.
 */
#ifndef PGBATON_RAFT_MARK_SYS_H
#define PGBATON_RAFT_MARK_SYS_H

#include <stdint.h>

#include "base/status.h"

/* NOT_FOUND if none was ever written, CORRUPT if the file is not what mark_write() left. */
MUST_CHECK enum status mark_read(const char *dir, uint64_t *value, struct err *err);

/* Blocks for the disk. The directory exists. FULL or IO; the old mark is then still there. */
MUST_CHECK enum status mark_write(const char *dir, uint64_t value, struct err *err);

#endif
