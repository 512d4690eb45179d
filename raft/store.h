/*
 * raft/store.h - what the driver needs from stable storage.
 *
 * Two implementations: store_lmdb.c for production, and the simulator's, which
 * forgets on a crash whatever was not yet synced and fails when told to.
 *
 * A submit returns at once and copies what it needs; completions arrive later, in
 * order, through the `done` callback the implementation was opened with, never from
 * inside submit. "Done" means: would survive a power cut. There is one caller, on
 * one thread. After a failure that is not FULL the store never completes anything
 * again: the process has to end.
 */
#ifndef PGBATON_RAFT_STORE_H
#define PGBATON_RAFT_STORE_H

#include "base/status.h"
#include "raft/raft.h"

struct store;

struct store_ops {
    void (*submit)(
        struct store *store, const struct raft *raft, const struct raft_persist *persist);
};

struct store {
    const struct store_ops *ops;
};

static inline void store_submit(
    struct store *store, const struct raft *raft, const struct raft_persist *persist)
{
    store->ops->submit(store, raft, persist);
}

#endif
