/*
 * pgctl/guard/server_sys.h - the postmaster: started as our child, or adopted from somebody else.
 *
 * A child begins with what a program expects that was started by hand: default signal
 * dispositions, nothing blocked, normal priority, memory not locked, the usual badness for the
 * out-of-memory killer, no descriptors but 0 to 2, a session of its own, no capability that its
 * user does not have. What the guard inherited in limits and environment it passes on. The kernel
 * kills it if the guard dies.
 */
#ifndef PGBATON_PGCTL_GUARD_SERVER_SYS_H
#define PGBATON_PGCTL_GUARD_SERVER_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "pgctl/guard/cgroup_sys.h"
#include "pgctl/guard_proto.h"

struct server {
    pid_t pid; /* 0 if there is no postmaster. */
    bool adopted;
    int pid_fd;   /* Readable when an adopted postmaster is gone; else -1. */
    int start_fd; /* Readable when it is known whether the program could be started; else -1. */
    bool in_cgroup;
    uint64_t start_id;
    bool exit_known;
    int exit_status;
    uint64_t exit_ms;
    uint64_t exit_start_id;
};

void server_init(struct server *server);

/* Forks; whether the program could be started comes later, by server_read_start(). */
MUST_CHECK enum status server_start(
    struct server *server, struct guard_start *start, const struct cgroup *cgroup, struct err *err);

/*
 * To be called when start_fd is readable. False if nothing is known yet. Else start_fd is closed
 * and `result` is STATUS_OK, or `err` says which step failed; the child ends by itself.
 */
bool server_read_start(struct server *server, enum status *result, struct err *err);

MUST_CHECK enum status server_adopt(struct server *server, pid_t pid, struct err *err);

/* To the postmaster only. Does nothing if there is none. */
void server_signal(const struct server *server, enum guard_stop_mode mode);

/* Collects dead children. What became of the postmaster, and whether any child is left. */
struct server_reaped {
    bool server_gone;
    bool by_signal;
    bool none_left; /* The guard has no child, hence no descendant, any more. */
};

void server_reap(struct server *server, uint64_t now_ms, struct server_reaped *reaped);

/* To be called when pid_fd is readable. */
void server_adopted_gone(struct server *server);

#endif
