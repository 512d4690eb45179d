/*
 * Two threads meet in the fields below `mutex`. The loop puts jobs in and takes results
 * out; the disk thread takes all jobs at once and puts results in. The loop is woken by
 * a uv_async_t, the disk thread by a condition variable; neither waits for the other
 * except for the mutex, which nobody holds during I/O.
 */
#include "raft/store_uv.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/text.h"
#include "base/thread_sys.h"
#include "base/time.h"
#include "raft/mark_sys.h"

#define RETRY_NS          UINT64_C(1000000000)
#define REMIND_MS         60000
#define THREAD_STACK_SIZE ((size_t)256 * 1024) /* Eight megabytes is the default. */

/* A persist with copies of all it is about, in one block. */
struct job {
    struct store_write write; /* Its `next` is the next job's write. */
    struct raft_snapshot snapshot;
    size_t bytes;
    uint64_t submitted_ms;
};

struct queue {
    struct job *first;
    struct job *last;
};

struct store_uv {
    struct store store;
    uv_async_t async;
    uv_thread_t thread;
    struct store_lmdb *db;
    const struct store_uv_events *events;
    void *owner;
    char mark_dir[PATH_MAX];
    uint64_t remind_ms;

    /* Of the loop alone. */
    bool closing;
    bool failure_told;
    uint64_t submitted_number;
    uint64_t delivered_number;
    uint64_t full_since_ms; /* The owner knows of it; 0: the disk has room, as far as it knows. */
    uint64_t reminded_ms;

    /* Of the disk thread alone. */
    uint64_t committed_number; /* The last persist that is in the database. */
    struct raft_memory mark;   /* As it was last written. */

    uv_mutex_t mutex;
    uv_cond_t work;
    struct queue queue;
    bool stop;

    uint64_t done_number;
    bool failed;
    bool ended;
    struct err err; /* Of the last full or failed. */
    struct store_stats stats;
};

/* ------------------------------------------------------------------------- jobs */

static struct job *job_after(const struct job *job)
{
    /* Every write in a queue is the first field of a job. */
    return container_of(job->write.next, struct job, write);
}

static struct job *job_next(const struct job *job)
{
    return job->write.next == NULL ? NULL : job_after(job);
}

static void queue_add(struct queue *queue, struct job *job)
{
    ASSERT(job->write.next == NULL);
    if (queue->last == NULL) {
        queue->first = job;
    } else {
        queue->last->write.next = &job->write;
    }
    queue->last = job;
}

/* Puts `front` before what came in the meantime. */
static void queue_put_back(struct queue *queue, const struct queue *front)
{
    if (queue->first != NULL) {
        front->last->write.next = &queue->first->write;
    } else {
        queue->last = front->last;
    }
    queue->first = front->first;
}

/* Frees the jobs; returns their bytes. */
static size_t queue_free(struct queue *queue)
{
    size_t bytes = 0;

    for (struct job *job = queue->first; job != NULL;) {
        struct job *next = job_next(job);

        bytes += job->bytes;
        free(job);
        job = next;
    }
    *queue = (struct queue){0};
    return bytes;
}

static size_t job_bytes(
    const struct raft *raft, const struct raft_persist *persist, uint64_t entry_count)
{
    size_t bytes = sizeof(struct job) + (size_t)entry_count * sizeof(struct raft_entry);

    for (uint64_t i = 0; i < entry_count; i++) {
        bytes += raft_entry_get(raft, persist->first_index + i).size_bytes;
    }
    return persist->snapshot_changed ? bytes + raft_snapshot(raft)->size_bytes : bytes;
}

static const uint8_t *copy_bytes(uint8_t **target, const uint8_t *source, uint32_t size_bytes)
{
    const uint8_t *copy = *target;

    if (size_bytes > 0) {
        memcpy(*target, source, size_bytes);
        *target += size_bytes;
    }
    return copy;
}

static struct job *job_create(const struct raft *raft, const struct raft_persist *persist)
{
    const uint64_t count =
        persist->first_index == 0 ? 0 : persist->last_index - persist->first_index + 1;
    const size_t bytes = job_bytes(raft, persist, count);
    struct job *job = malloc(bytes);
    struct raft_entry *entries;
    uint8_t *data;

    ASSERT(job != NULL);
    entries = (struct raft_entry *)(void *)(job + 1);
    data = (uint8_t *)(entries + count);
    *job = (struct job){.bytes = bytes, .submitted_ms = clock_boot_ms()};
    job->write.persist = *persist;
    job->write.entries = entries;
    job->write.snapshot = &job->snapshot;
    for (uint64_t i = 0; i < count; i++) {
        entries[i] = raft_entry_get(raft, persist->first_index + i);
        entries[i].data = copy_bytes(&data, entries[i].data, entries[i].size_bytes);
    }
    if (persist->snapshot_changed) {
        job->snapshot = *raft_snapshot(raft);
        job->snapshot.data = copy_bytes(&data, job->snapshot.data, job->snapshot.size_bytes);
    }
    ASSERT(data == (uint8_t *)job + bytes);
    return job;
}

/* ------------------------------------------------------------------ disk thread */

static void wake_loop(struct store_uv *self)
{
    const int rc = uv_async_send(&self->async);

    ASSERT(rc == 0); /* It refuses only what is no async handle. */
}

static bool is_same(const struct raft_memory *a, const struct raft_memory *b)
{
    return a->incarnation == b->incarnation && a->term == b->term && a->index == b->index &&
           a->entry_term == b->entry_term;
}

/* The mutex is held, but not while waiting. Wakes early only to stop. */
static void wait_for_space(struct store_uv *self)
{
    const uint64_t until_ns = uv_hrtime() + RETRY_NS;
    uint64_t now_ns = uv_hrtime();

    while (!self->stop && now_ns < until_ns) {
        (void)uv_cond_timedwait(&self->work, &self->mutex, until_ns - now_ns);
        now_ns = uv_hrtime();
    }
}

/* The transaction; not again for what was committed when its mark could not be written. */
static enum status write_entries(struct store_uv *self, const struct queue *batch, struct err *err)
{
    const struct job *job = batch->first;
    enum status status = STATUS_OK;

    while (job != NULL && job->write.persist.number <= self->committed_number) {
        job = job_next(job);
    }
    if (job != NULL) {
        status = store_lmdb_write(self->db, &job->write, err);
    }
    if (status == STATUS_OK) {
        self->committed_number = batch->last->write.persist.number;
    }
    return status;
}

/*
 * The mark behind the transaction: a power cut between the two must not leave a mark that
 * the store does not come up to. And before the batch is done: no vote and no acknowledgement
 * leaves that a rolled-back store could deny.
 */
static enum status write_batch(struct store_uv *self, const struct queue *batch, struct err *err)
{
    const struct raft_memory *mark = &batch->last->write.persist.mark;
    enum status status = write_entries(self, batch, err);

    if (status == STATUS_OK && !is_same(mark, &self->mark)) {
        status = mark_write(self->mark_dir, mark, err);
        if (status == STATUS_OK) {
            self->mark = *mark;
        }
    }
    return status;
}

static void note_commit(struct store_stats *stats, uint64_t took_us)
{
    stats->commit_count++;
    stats->commit_last_us = took_us;
    if (took_us > stats->commit_max_us) {
        stats->commit_max_us = took_us;
    }
}

/* The mutex is held. */
static void note_done(struct store_uv *self, struct queue *batch, uint64_t took_us)
{
    self->done_number = batch->last->write.persist.number;
    self->stats.queued_bytes -= queue_free(batch);
    note_commit(&self->stats, took_us);
    self->stats.full_since_ms = 0;
    self->stats.waiting_since_ms = self->queue.first == NULL ? 0 : self->queue.first->submitted_ms;
}

/* The mutex is held. */
static void note_trouble(
    struct store_uv *self, const struct queue *batch, enum status status, const struct err *err)
{
    queue_put_back(&self->queue, batch);
    self->err = *err;
    if (status != STATUS_FULL) {
        self->failed = true;
        return;
    }
    if (self->stats.full_since_ms == 0) {
        self->stats.full_since_ms = clock_boot_ms();
    }
}

/* Takes all there is to do and does it. The mutex is held, but not while the disk works. */
static void do_work(struct store_uv *self)
{
    struct queue batch = self->queue;
    uint64_t began_ns;
    enum status status;
    struct err err;

    self->queue = (struct queue){0};
    uv_mutex_unlock(&self->mutex);
    began_ns = uv_hrtime();
    status = write_batch(self, &batch, &err);
    uv_mutex_lock(&self->mutex);
    if (status == STATUS_OK) {
        note_done(self, &batch, (uv_hrtime() - began_ns) / 1000);
    } else {
        note_trouble(self, &batch, status, &err);
    }
    wake_loop(self);
}

static void run_thread(void *argument)
{
    struct store_uv *self = argument;

    thread_set_name("raft-store");
    uv_mutex_lock(&self->mutex);
    while (!self->failed) {
        if (self->queue.first != NULL) {
            do_work(self);
            if (self->stats.full_since_ms != 0) {
                if (self->stop) {
                    break; /* Nobody was told that it was written. */
                }
                wait_for_space(self);
            }
        } else if (self->stop) {
            break;
        } else {
            uv_cond_wait(&self->work, &self->mutex);
        }
    }
    self->ended = true;
    wake_loop(self); /* Before the mutex is free: behind it the loop may close the handle. */
    uv_mutex_unlock(&self->mutex);
}

/* ------------------------------------------------------------------------- loop */

static void on_async_closed(uv_handle_t *handle)
{
    struct store_uv *self = container_of((uv_async_t *)handle, struct store_uv, async);
    const struct store_uv_events *events = self->events;
    void *owner = self->owner;

    uv_cond_destroy(&self->work);
    uv_mutex_destroy(&self->mutex);
    (void)queue_free(&self->queue);
    store_lmdb_close(self->db);
    free(self);
    events->closed(owner);
}

static void deliver(struct store_uv *self, uint64_t done_number)
{
    while (self->delivered_number < done_number) {
        self->delivered_number++;
        self->events->done(self->owner, self->delivered_number);
    }
}

/* Each try wakes the loop, also the one that shows that there is room again. */
static void tell_space(struct store_uv *self, uint64_t full_since_ms, const struct err *err)
{
    const uint64_t now_ms = clock_boot_ms();
    const uint64_t known_since_ms = self->full_since_ms;

    if (full_since_ms == 0 && known_since_ms == 0) {
        return;
    }
    self->full_since_ms = full_since_ms;
    if (full_since_ms == 0) {
        self->events->has_room(self->owner, time_since(now_ms, known_since_ms));
    } else if (known_since_ms == 0 || time_since(now_ms, self->reminded_ms) >= self->remind_ms) {
        self->reminded_ms = now_ms;
        self->events->full(self->owner, err);
    }
}

static void end_thread(struct store_uv *self)
{
    const int rc = uv_thread_join(&self->thread);

    ASSERT(rc == 0);
    uv_close((uv_handle_t *)&self->async, on_async_closed);
}

static void on_async(uv_async_t *handle)
{
    struct store_uv *self = container_of(handle, struct store_uv, async);
    uint64_t done_number;
    uint64_t full_since_ms;
    struct err err;
    bool failed;
    bool ended;

    uv_mutex_lock(&self->mutex);
    done_number = self->done_number;
    err = self->err;
    full_since_ms = self->stats.full_since_ms;
    failed = self->failed;
    ended = self->ended;
    uv_mutex_unlock(&self->mutex);

    if (!self->failure_told) {
        deliver(self, done_number);
    }
    if (!failed) {
        tell_space(self, full_since_ms, &err);
    }
    if (failed && !self->failure_told) {
        self->failure_told = true;
        self->events->failed(self->owner, &err);
    }
    /* A thread that failed has ended before anybody asked for it: then we wait for the asking. */
    if (ended && self->closing && !uv_is_closing((uv_handle_t *)&self->async)) {
        end_thread(self);
    }
}

static void submit(struct store *store, const struct raft *raft, const struct raft_persist *persist)
{
    struct store_uv *self = container_of(store, struct store_uv, store);
    struct job *job = job_create(raft, persist);

    ASSERT(!self->closing);
    ASSERT(self->submitted_number == 0 || persist->number == self->submitted_number + 1);
    if (self->submitted_number == 0) {
        self->delivered_number = persist->number - 1;
    }
    self->submitted_number = persist->number;

    uv_mutex_lock(&self->mutex);
    queue_add(&self->queue, job);
    self->stats.queued_bytes += job->bytes;
    if (self->stats.waiting_since_ms == 0) {
        self->stats.waiting_since_ms = job->submitted_ms;
    }
    if (self->stats.queued_bytes > STORE_QUEUE_BYTES_MAX && !self->failed) {
        ERR(&self->err, FULL, "too much waits for the disk: %zu bytes", self->stats.queued_bytes);
        self->failed = true;
        wake_loop(self);
    }
    uv_cond_signal(&self->work);
    uv_mutex_unlock(&self->mutex);
}

static const struct store_ops ops = {.submit = submit};

static enum status uv_err(struct err *err, const char *what, int rc)
{
    return ERR(err, IO, "could not %s: %s", what, uv_strerror(rc));
}

static enum status start_thread(struct store_uv *self, struct err *err)
{
    const uv_thread_options_t options = {
        .flags = UV_THREAD_HAS_STACK_SIZE,
        .stack_size = THREAD_STACK_SIZE,
    };
    const int rc = uv_thread_create_ex(&self->thread, &options, run_thread, self);

    return rc == 0 ? STATUS_OK : uv_err(err, "start the thread of the store", rc);
}

/* An uv_async_t that was initialised must be closed through the loop, also on failure: last. */
static enum status set_up(struct store_uv *self, uv_loop_t *loop, struct err *err)
{
    int rc = uv_mutex_init(&self->mutex);

    ASSERT(rc == 0);
    rc = uv_cond_init(&self->work);
    ASSERT(rc == 0);
    rc = uv_async_init(loop, &self->async, on_async);
    return rc == 0 ? start_thread(self, err) : uv_err(err, "set up the wake-up of the store", rc);
}

enum status store_uv_open(
    uv_loop_t *loop, const struct store_uv_settings *settings, const struct store_uv_events *events,
    void *owner, struct store_uv **store, struct err *err)
{
    struct store_uv *self = calloc(1, sizeof *self);
    enum status status;

    ASSERT(self != NULL);
    *store = NULL;
    self->store.ops = &ops;
    self->db = settings->db;
    self->events = events;
    self->owner = owner;
    self->remind_ms = settings->remind_ms == 0 ? REMIND_MS : settings->remind_ms;
    if (!text_copy(self->mark_dir, sizeof self->mark_dir, settings->mark_dir)) {
        free(self);
        return ERR(err, INVALID, "the name of directory \"%s\" is too long", settings->mark_dir);
    }
    status = set_up(self, loop, err);
    /* A process that cannot start a thread does not go on: what is half set up ends with it. */
    if (status == STATUS_OK) {
        *store = self;
    }
    return status;
}

struct store *store_uv_store(struct store_uv *store)
{
    return &store->store;
}

void store_uv_stats(struct store_uv *store, struct store_stats *stats)
{
    uv_mutex_lock(&store->mutex);
    *stats = store->stats;
    uv_mutex_unlock(&store->mutex);
}

void store_uv_close(struct store_uv *store)
{
    ASSERT(!store->closing);
    store->closing = true;
    uv_mutex_lock(&store->mutex);
    store->stop = true;
    uv_cond_signal(&store->work);
    wake_loop(store); /* The thread may have ended already. */
    uv_mutex_unlock(&store->mutex);
}
