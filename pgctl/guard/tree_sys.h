/*
 * pgctl/guard/tree_sys.h - finds and kills every process that belongs to a postmaster.
 *
 * Of a postmaster that is our child, that is every descendant of ours: the guard is the reaper
 * of their orphans and has no other children, so own sessions and double forks do not help
 * anybody out. Of an adopted one it is whoever descends from it, and, for its orphans, whoever
 * runs its program in its working directory, which is the data directory.
 *
 * Reads /proc only: no disk, no allocation, nothing that waits for another process.
 */
#ifndef PGBATON_PGCTL_GUARD_TREE_SYS_H
#define PGBATON_PGCTL_GUARD_TREE_SYS_H

#include <dirent.h>
#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

struct tree {
    int proc_fd;
    pid_t guard_pid;
    pid_t server_pid; /* Killed first: it is the one that starts others. 0 if it is gone. */
    bool adopted;
    pid_t adopted_pid; /* Stays when the adopted postmaster is gone. */
    uid_t adopted_uid;
    pid_t reaper_pid;   /* Whose children its orphans become. */
    char exe[PATH_MAX]; /* Of an adopted postmaster. */
    char cwd[PATH_MAX];
    alignas(struct dirent64) char entries[8192]; /* Of /proc, as the kernel writes them. */
};

struct tree_count {
    uint32_t found;       /* Processes in the tree, zombies not counted. */
    uint32_t unsignalled; /* Of these, those that were still free to run when they were seen. */
    uint32_t kept;        /* Those that we were not permitted to signal. */
};

/* Opens /proc and makes this process the reaper of orphans. For the life of the process. */
MUST_CHECK enum status tree_open(struct tree *tree, struct err *err);

/* From now on the tree is that of our child `server_pid`. */
void tree_own(struct tree *tree, pid_t server_pid);

/*
 * From now on the tree is that of a postmaster of somebody else. INVALID if the process is not
 * there, may not be signalled by us, or does not run in `data_dir` ("" for no such check).
 */
MUST_CHECK enum status tree_adopt(
    struct tree *tree, pid_t server_pid, const char *data_dir, struct err *err);

/* The postmaster was reaped, its number may come back as somebody else's. */
void tree_server_gone(struct tree *tree);

/*
 * Counts; with `kill_all` sends SIGKILL to each. Is broken off at `until_ms`, or a few hundred
 * processes later; TIME_NEVER: goes to the end.
 */
void tree_sweep(struct tree *tree, bool kill_all, uint64_t until_ms, struct tree_count *count);

#endif
