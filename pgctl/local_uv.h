/*
 * pgctl/local_uv.h - the real PostgreSQL of this node, driven from the libuv loop.
 *
 * Everything is asynchronous: facts are pushed through events->facts when they change
 * (a copy of the whole struct), each action ends in one events->done. One action runs at a
 * time; a new one while another runs is an error of the caller, except STOP, which cancels
 * whatever runs (that one ends CANCELLED first).
 *
 * The server is started through the guard, which is its parent. The daemon's death leaves
 * guard and PostgreSQL as they are; local_open() finds and adopts them again.
 */
#ifndef PGBATON_PGCTL_LOCAL_UV_H
#define PGBATON_PGCTL_LOCAL_UV_H

#include <uv.h>

#include "base/status.h"
#include "conf/conf.h"
#include "pgctl/pgctl.h"

struct local;

struct local_events {
    void (*facts)(void *owner, const struct pg_facts *facts);
    void (*done)(void *owner, const struct pg_action_done *done);
    void (*closed)(void *owner);
};

/*
 * `conf` is borrowed until local_reload() or local_close(). `guard_path` is the program;
 * its socket lies in the raft data directory. Starts the guard if none answers.
 */
MUST_CHECK enum status local_open(
    struct local **local, uv_loop_t *loop, const struct conf *conf, const char *guard_path,
    const struct local_events *events, void *owner, struct err *err);

void local_start(struct local *local, const struct pg_action *action);

/* Lease end for the guard; called after every completed round. */
void local_renew(struct local *local, uint64_t epoch, uint64_t fence_at_ms, uint64_t deadline_ms);

/* Dynamic configuration (JSON text) as it is now; takes effect at the next RELOAD or start. */
void local_configure(struct local *local, const char *dynamic_json);

/*
 * synchronous_standby_names while a synchronous mode is on; "" for what the user's settings
 * say. Takes effect at the next RELOAD or start.
 */
void local_set_synchronous(struct local *local, const char *names);

/*
 * Desired slots; made, moved on and dropped in the background while the server is up. To be told
 * anew when members come and go, and every few seconds for their positions.
 */
void local_set_slots(struct local *local, const struct pg_slots *slots);

void local_callback(
    struct local *local, enum pg_callback callback, const char *role, const char *scope);

/* Look more often (100 ms instead of 1 s): a change of primary is under way. */
void local_watch_closely(struct local *local, bool closely);

void local_reload(struct local *local, const struct conf *conf);

/* Tells the guard to end, for a daemon that ends with its PostgreSQL stopped; refused by the
 * guard while anything of a server runs. */
void local_dismiss_guard(struct local *local);

/* Leaves guard and PostgreSQL as they are. Ends in events->closed. */
void local_close(struct local *local);

#endif
