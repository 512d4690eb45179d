/*
 * raft/driver.h - runs one node: step, persist, send, apply, in the only safe order.
 *
 * Pure like the core; the same object code in the daemon and in the simulator. It
 * hands persists to the store, holds the messages that must wait for them, and tells
 * its owner what to send and what to apply. No step happens inside a step: what the
 * owner does in a callback that leads to another event is queued by the owner.
 */
#ifndef PGBATON_RAFT_DRIVER_H
#define PGBATON_RAFT_DRIVER_H

#include "raft/raft.h"
#include "raft/store.h"

#define DRIVER_HELD_MAX 256 /* Answers waiting for the disk; the oldest are dropped when full. */

struct driver_ops {
    /* Encode or copy at once: the message lives until the callback returns. */
    void (*send)(void *owner, const struct raft_message *message);
    /* Log changes, before anything of the same step is applied. */
    void (*truncated)(void *owner, uint64_t from_index);
    void (*appended)(void *owner, const struct raft_entry *entry);
    void (*durable)(void *owner, uint64_t index);
    void (*restore)(void *owner, const struct raft_snapshot *snapshot);
    void (*apply)(void *owner, const struct raft_entry *entry);
    void (*read_done)(void *owner, uint64_t read_number, bool ok);
    void (*note)(void *owner, const struct raft_note *note);
    void (*lost_memory)(void *owner);
};

struct driver {
    struct raft *raft;
    struct store *store;
    const struct driver_ops *ops;
    void *owner;
    bool busy;
    uint64_t wake_ms;
    uint64_t submitted_number;
    uint64_t done_number;
    uint64_t durable_index; /* As last told to the owner. */
    uint32_t held_count;
    struct driver_held {
        uint64_t number; /* Of the persist it waits for. */
        struct raft_message message;
    } * held; /* DRIVER_HELD_MAX of them, the caller's memory. */
};

void driver_init(
    struct driver *driver, struct raft *raft, struct store *store, const struct driver_ops *ops,
    void *owner, struct driver_held *held);

/* Steps the core once and carries out what it asks for. `result` may be NULL; it gets the
 * proposal fields of the update. */
struct driver_result {
    enum raft_proposal_result proposal;
    uint64_t index;
    uint64_t term;
};
void driver_feed(
    struct driver *driver, const struct raft_event *event, struct driver_result *result);

/* The store's completion. */
void driver_persisted(struct driver *driver, uint64_t number, uint64_t now_ms);

#endif
