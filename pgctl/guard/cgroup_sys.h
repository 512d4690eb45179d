/*
 * pgctl/guard/cgroup_sys.h - a cgroup of PostgreSQL's own, so that one write kills all of it.
 *
 * Below the cgroup v2 the guard is in, if that lets us make one (root, or a delegated unit) and
 * the kernel knows cgroup.kill (5.14). It sets no limits; those of the cgroups above still hold.
 */
#ifndef PGBATON_PGCTL_GUARD_CGROUP_SYS_H
#define PGBATON_PGCTL_GUARD_CGROUP_SYS_H

#include <limits.h>
#include <stdbool.h>

#include "base/attr.h"

struct cgroup {
    int procs_fd; /* -1 if there is no such cgroup. */
    int kill_fd;
    char path[PATH_MAX];
};

/* Makes the cgroup if it can be made. */
void cgroup_open(struct cgroup *cgroup);

bool cgroup_usable(const struct cgroup *cgroup);

/*
 * Moves the calling process, a child on its way to become the postmaster, into the cgroup.
 * False, with errno, if it stays where it is: the sweep over the processes finds it there.
 */
MUST_CHECK bool cgroup_enter(const struct cgroup *cgroup);

/* SIGKILL to all in it, also to frozen ones and to those born meanwhile. */
void cgroup_kill(const struct cgroup *cgroup);

/* Removes the cgroup, which must be empty. */
void cgroup_close(struct cgroup *cgroup);

#endif
