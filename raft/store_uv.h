/*
 * raft/store_uv.h - the store on a thread of its own, answering on the loop.
 *
 * A disk that stalls holds up this thread and nothing else. What is submitted while a
 * transaction is under way becomes the next transaction, all of it together. Behind each
 * transaction the mark is written (raft/mark_sys.h), then it is done. All functions and
 * all events belong to the thread of the loop.
 *
 * No space left: nothing is completed, what was submitted is kept and tried again each
 * second. `full` is called when that begins and once a minute while it lasts, `has_room`
 * when it is over. Any other failure: `failed` is called once, nothing is ever completed
 * again, and the process has to end without answering anybody (a failed sync must not be
 * tried again: the kernel has dropped the pages).
 */
#ifndef PGBATON_RAFT_STORE_UV_H
#define PGBATON_RAFT_STORE_UV_H

#include <uv.h>

#include "base/status.h"
#include "raft/store.h"
#include "raft/store_lmdb.h"

/* More than this waiting for a full disk is a failure. */
#define STORE_QUEUE_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct store_uv_events {
    void (*done)(void *owner, uint64_t number); /* In order, each number. */
    void (*full)(void *owner, const struct err *err);
    void (*has_room)(void *owner, uint64_t full_ms); /* Again, after so long. */
    void (*failed)(void *owner, const struct err *err);
    void (*closed)(void *owner); /* The last event; the store_uv is gone. */
};

struct store_uv_settings {
    struct store_lmdb *db; /* Taken: closed when the thread has ended. Already loaded. */
    const char *mark_dir;  /* Copied. Where mark_sys.h keeps its file. */
    uint64_t remind_ms;    /* `full` is repeated so often; 0: each minute. */
};

struct store_stats {
    uint64_t commit_count;
    uint64_t commit_last_us; /* From the beginning of a transaction to its end on disk. */
    uint64_t commit_max_us;
    uint64_t waiting_since_ms; /* When the oldest persist not yet on disk came; 0: there is none. */
    uint64_t full_since_ms;    /* 0: the disk has room. */
    size_t queued_bytes;
};

struct store_uv;

/* On failure `settings->db` is still the caller's. */
MUST_CHECK enum status store_uv_open(
    uv_loop_t *loop, const struct store_uv_settings *settings, const struct store_uv_events *events,
    void *owner, struct store_uv **store, struct err *err);

/* The interface for the driver; lives as long as the store_uv. */
struct store *store_uv_store(struct store_uv *store);

void store_uv_stats(struct store_uv *store, struct store_stats *stats);

/* Writes what was submitted (unless there is no space), ends the thread, then `closed`. */
void store_uv_close(struct store_uv *store);

#endif
