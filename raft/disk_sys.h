/*
 * raft/disk_sys.h - what the store needs of the operating system around its database.
 */
#ifndef PGBATON_RAFT_DISK_SYS_H
#define PGBATON_RAFT_DISK_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Children must not inherit the file: theirs would outlive us and hold its locks. */
MUST_CHECK enum status disk_close_on_exec(int fd, struct err *err);

/* Takes blocks for the first `bytes` of the file, so that they need not be found later. */
MUST_CHECK enum status disk_reserve(int fd, uint64_t bytes, struct err *err);

MUST_CHECK enum status disk_size(int fd, uint64_t *bytes, struct err *err);

/* Whether the volume that the file is on has no block left for us. */
bool disk_is_full(int fd);

/* Syncs a directory and the one above it: a new directory is a name in its parent. */
MUST_CHECK enum status disk_sync_dirs(const char *dir, struct err *err);

/*
 * Makes this process the one owner of `dir`, until the descriptor in `*fd` is closed or
 * the process ends. REFUSED if there is an owner.
 */
MUST_CHECK enum status disk_lock(const char *dir, int *fd, struct err *err);
void disk_unlock(int fd); /* -1 is allowed. */

/*
 * Runs `work` in a child process and waits for it. To be called while the process has one
 * thread. What the child does to its memory is lost.
 * CORRUPT: the work itself was the child's end, by SIGBUS, by SIGSEGV, by an assert of a
 * library that met damaged pages; or it went round in circles for 20 s of CPU time.
 * TIMEOUT: it took more than 60 s. IO: somebody else ended the child, like the kernel when
 * memory is short. Neither says anything about the data.
 */
MUST_CHECK enum status disk_try_apart(void (*work)(void *), void *argument, struct err *err);

/* Reads a file to its end, for nothing but whether that can be done. IO: it cannot. */
MUST_CHECK enum status disk_read_through(const char *dir, const char *name, struct err *err);

/* Renames `from` to `to`, both in `dir`, which is synced. A missing file is no error. */
MUST_CHECK enum status disk_set_aside(
    const char *dir, const char *from, const char *to, struct err *err);

#endif
