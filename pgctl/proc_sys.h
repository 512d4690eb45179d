/*
 * pgctl/proc_sys.h - PostgreSQL's processes as the kernel shows them, for when SQL cannot tell.
 */
#ifndef PGBATON_PGCTL_PROC_SYS_H
#define PGBATON_PGCTL_PROC_SYS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

#define PROC_TITLE_SIZE 256

/*
 * The child of `parent` whose title names this kind of process, such as "walreceiver" or
 * "startup": its pid and, if `title` is not NULL, what it says it does. 0 if there is none.
 */
pid_t proc_find_child(pid_t parent, const char *kind, char title[PROC_TITLE_SIZE]);

/* Calls `visit` for every child of that kind. */
typedef void proc_visit(void *context, pid_t pid, const char *title);
void proc_each_child(pid_t parent, const char *kind, proc_visit *visit, void *context);

/*
 * Where a link below /proc/<pid>, "exe" or "cwd", leads to: the path as it was when what is there
 * was opened, also if it was replaced since. False: gone, a zombie, or not ours to see.
 */
bool proc_read_link(pid_t pid, const char *name, char target[PATH_MAX]);

/*
 * Kills every process of PostgreSQL with `dir`, a real path, for its working directory, until
 * none is left or the time is over; false in that case. It is known by its title, or by the last
 * part of its program's path, `program`. Waits: for a worker thread.
 */
MUST_CHECK bool proc_end_all(const char *dir, const char *program, uint64_t limit_ms);

/*
 * Waits until nobody has that number; false if the time is over. A dead process keeps it until
 * its parent has asked for its end, and a new server takes it for alive as long.
 */
MUST_CHECK bool proc_wait_gone(pid_t pid, uint64_t limit_ms);

/*
 * A number that changes with what is still to be received by those who are connected to this TCP
 * port of the process's machine; 0 if they have it all.
 */
uint32_t proc_hash_unsent(pid_t pid, uint16_t port);

/* Whether it has been stopped, by a signal or a debugger. */
bool proc_is_stopped(pid_t pid);

/*
 * What systemd gives the daemon is for the guard alone: PostgreSQL's programs are not to pass over
 * the limits of its user. Keeps the calling thread's ambient capabilities from programs that it
 * starts, and returns them, to be lent again afterwards.
 */
uint64_t proc_keep_capabilities(void);
void proc_lend_capabilities(uint64_t kept);

/* Whether the process has any child. */
bool proc_has_children(pid_t pid);

/* False if there is no such process; 0 is none. */
bool proc_signal(pid_t pid, int signal_number);

#endif
