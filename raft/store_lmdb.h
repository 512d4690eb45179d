/*
 * raft/store_lmdb.h - term, vote, log and snapshot in LMDB; synchronous.
 *
 * Every call blocks for the disk: it belongs on the store's own thread (store_uv.h), but
 * for opening and loading at start. LMDB is used in its default durable mode: a write
 * that returned OK survives a power cut, one that failed left nothing behind.
 *
 * The file is mapped, so a read error of the disk is SIGBUS, not a status; so is much of
 * what rot does to LMDB's own pages, which have no checksum. store_lmdb_open() therefore
 * reads everything in a child process first; should that die, reading without a map tells
 * which of the two it was. Later a SIGBUS ends the process, which is
 * what a failed disk deserves: the lease and the guard do the rest.
 */
#ifndef PGBATON_RAFT_STORE_LMDB_H
#define PGBATON_RAFT_STORE_LMDB_H

#include "base/status.h"
#include "raft/raft.h"

#define STORE_MAP_BYTES     ((size_t)256 * 1024 * 1024)
#define STORE_RESERVE_BYTES ((size_t)16 * 1024 * 1024)

struct store_lmdb;

struct store_lmdb_settings {
    const char *dir;      /* Exists; one owner at a time. */
    size_t map_bytes;     /* The most the file may grow to. 0: STORE_MAP_BYTES */
    size_t reserve_bytes; /* Taken from the disk at once. 0: STORE_RESERVE_BYTES */
};

/*
 * What raft_init() is to know; all memory is in this one block. The entries are all that
 * the log has: some may be in front of the snapshot's index.
 */
struct store_image {
    struct raft_loaded loaded;
};

/* One persist and the bytes it is about; borrowed. Linked, so that many are one transaction. */
struct store_write {
    struct store_write *next;
    struct raft_persist persist;
    const struct raft_snapshot *snapshot; /* When persist.snapshot_changed. */
    const struct raft_entry *entries;     /* persist.first_index to last_index. */
};

/*
 * Opens the store, creates it with a new incarnation if the directory has none. To be
 * called before the process starts its second thread, because it forks.
 * REFUSED: another process has it. CORRUPT: what is there cannot be used; the caller
 * decides whether to store_lmdb_reset() and to come back as a new member. INVALID: another
 * version of LMDB or of ours has written it. FULL, IO or TIMEOUT: the disk or the machine;
 * nothing is known about the store, which stays as it is.
 */
MUST_CHECK enum status store_lmdb_open(
    const struct store_lmdb_settings *settings, struct store_lmdb **store, struct err *err);
void store_lmdb_close(struct store_lmdb *store); /* NULL is allowed. */

/*
 * Reads and verifies everything: the checksum of each value, the chain through all
 * entries, the head at its end. A commit is atomic, so what does not fit is rot, never
 * a torn tail: CORRUPT, and nothing is cut off. The image is the caller's.
 */
MUST_CHECK enum status store_lmdb_load(
    struct store_lmdb *store, struct store_image **image, struct err *err);
void store_image_destroy(struct store_image *image); /* NULL is allowed. */

/*
 * Carries out the writes, from `first` on, in one transaction. FULL: nothing happened,
 * it can be tried again. Anything else: the outcome is unknown, the process must end.
 */
MUST_CHECK enum status store_lmdb_write(
    struct store_lmdb *store, const struct store_write *first, struct err *err);

/*
 * Sets the database in `dir` aside as "data.mdb.damaged"; the next open creates one, with
 * another incarnation. Not while it is open. One set aside before is replaced.
 */
MUST_CHECK enum status store_lmdb_reset(const char *dir, struct err *err);

#endif
