/*
 * Two databases in one file: "log" from index to entry, "meta" with "head" and
 * "snapshot". Keys of the log are eight bytes, big-endian: they sort, and the file can
 * be read on any machine. The values are described in record.h.
 *
 * How it can fail. No space (map or disk): the transaction is gone, the file as before.
 * A failed sync: LMDB may go on, but the kernel has forgotten which pages it did not
 * write; store_uv.c ends the process. A failed write of the meta page: LMDB refuses all
 * further work with MDB_PANIC; the same. ENOSPC from a sync cannot be told from ENOSPC
 * of a write, and need not be: a transaction that is tried again writes all its pages
 * again, and what was committed earlier does not depend on them. LMDB calls a write that
 * was cut short EIO, which is what the last free blocks do to one.
 */
#include "raft/store_lmdb.h"

#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "raft/disk_sys.h"
#include "raft/record.h"

#define KEY_BYTES 8

struct store_lmdb {
    MDB_env *env;
    MDB_dbi log;
    MDB_dbi meta;
    int lock_fd; /* -1: not locked. */
    struct record_head head;
};

/* One write transaction, and what the head will be if it commits. */
struct session {
    MDB_txn *txn;
    MDB_dbi log;
    MDB_dbi meta;
    struct record_head head;
};

static char head_name[] = "head"; /* Not const: MDB_val serves both ways. */
static char snapshot_name[] = "snapshot";

static enum status lmdb_err(struct err *err, const char *what, int rc)
{
    switch (rc) {
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL:
        return ERR(err, FULL, "could not %s: %s", what, mdb_strerror(rc));
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND: /* Only what the head says is there is asked for. */
        return ERR(err, CORRUPT, "could not %s: %s", what, mdb_strerror(rc));
    case MDB_VERSION_MISMATCH: /* Written by another LMDB: whole, for that one. */
        return ERR(err, INVALID, "could not %s: %s", what, mdb_strerror(rc));
    default: /* The rest of LMDB's codes and all of errno. */
        return ERR(err, IO, "could not %s: %s", what, mdb_strerror(rc));
    }
}

static MDB_val name_key(char *name)
{
    return (MDB_val){.mv_size = strlen(name), .mv_data = name};
}

static MDB_val index_key(uint64_t index, uint8_t bytes[KEY_BYTES])
{
    put_u64(bytes, index);
    return (MDB_val){.mv_size = KEY_BYTES, .mv_data = bytes};
}

/* ----------------------------------------------------------------------- reading */

/* NOT_FOUND only where nothing was ever stored. */
static enum status read_head(MDB_txn *txn, MDB_dbi meta, struct record_head *head, struct err *err)
{
    MDB_val key = name_key(head_name);
    MDB_val value;
    const int rc = mdb_get(txn, meta, &key, &value);
    uint32_t version;

    if (rc == MDB_NOTFOUND) {
        return ERR(err, NOT_FOUND, "the store has no head");
    }
    if (rc != 0) {
        return lmdb_err(err, "read the head", rc);
    }
    version = record_version(value.mv_data, value.mv_size);
    if (version != 0 && version != RECORD_VERSION) {
        return ERR(
            err, INVALID, "it is of format %u, and this program knows %d only", version,
            RECORD_VERSION);
    }
    if (!record_get_head(value.mv_data, value.mv_size, head)) {
        return ERR(err, CORRUPT, "the head is damaged");
    }
    return STATUS_OK;
}

/* The data of the entry are in the map: valid until the transaction ends. */
static enum status read_entry(
    MDB_txn *txn, MDB_dbi log, uint64_t index, struct record_entry *record, struct err *err)
{
    uint8_t bytes[KEY_BYTES];
    MDB_val key = index_key(index, bytes);
    MDB_val value;
    const int rc = mdb_get(txn, log, &key, &value);

    if (rc != 0) {
        const enum status status = lmdb_err(err, "read an entry", rc);

        err_add_context(err, "entry %" PRIu64, index);
        return status;
    }
    if (!record_get_entry(value.mv_data, value.mv_size, record) || record->entry.index != index) {
        return ERR(err, CORRUPT, "entry %" PRIu64 " is damaged", index);
    }
    return STATUS_OK;
}

/* `*snapshot` is as before if there is none. */
static enum status read_snapshot(
    MDB_txn *txn, MDB_dbi meta, const struct record_head *head, struct raft_snapshot *snapshot,
    struct err *err)
{
    MDB_val key = name_key(snapshot_name);
    MDB_val value;
    const int rc = mdb_get(txn, meta, &key, &value);

    if (rc == MDB_NOTFOUND && head->snapshot_index == 0 && head->first_index == 1) {
        return STATUS_OK;
    }
    if (rc != 0) {
        return lmdb_err(err, "read the snapshot", rc);
    }
    if (!record_get_snapshot(value.mv_data, value.mv_size, snapshot) ||
        snapshot->index != head->snapshot_index) {
        return ERR(err, CORRUPT, "the snapshot is damaged");
    }
    if (snapshot->index < head->first_index - 1 || snapshot->index > head->last_index) {
        return ERR(
            err, CORRUPT, "the snapshot at %" PRIu64 " does not meet the log", snapshot->index);
    }
    return STATUS_OK;
}

/* Follows the chain through the whole log, and adds up the bytes of its entries. */
static enum status verify_log(
    MDB_txn *txn, MDB_dbi log, const struct record_head *head, size_t *data_bytes, struct err *err)
{
    const uint64_t count = head->last_index - head->first_index + 1;
    uint64_t chain = head->first_chain;
    uint64_t term = 0;
    MDB_stat stat;
    const int rc = mdb_stat(txn, log, &stat);

    if (rc != 0) {
        return lmdb_err(err, "count the entries", rc);
    }
    if (stat.ms_entries != count) {
        return ERR(
            err, CORRUPT, "the log has %zu entries, the head says %" PRIu64, stat.ms_entries,
            count);
    }
    *data_bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct record_entry record = {0};
        const enum status status = read_entry(txn, log, head->first_index + i, &record, err);

        if (status != STATUS_OK) {
            return status;
        }
        chain = record_chain(chain, &record.entry);
        if (record.chain != chain || record.entry.term < term ||
            record.entry.term > head->hard.term) {
            return ERR(
                err, CORRUPT, "entry %" PRIu64 " does not follow the one before",
                record.entry.index);
        }
        term = record.entry.term;
        *data_bytes += record.entry.size_bytes;
    }
    if (chain != head->last_chain) {
        return ERR(err, CORRUPT, "the log does not end as the head says");
    }
    return STATUS_OK;
}

/* One block: the image, the entries, then all bytes. */
static enum status fill_image(
    MDB_txn *txn, MDB_dbi log, const struct record_head *head, const struct raft_snapshot *snapshot,
    size_t data_bytes, struct store_image **image, struct err *err)
{
    const uint64_t count = head->last_index - head->first_index + 1;
    const size_t entries_bytes = (size_t)count * sizeof(struct raft_entry);
    struct store_image *made =
        malloc(sizeof *made + entries_bytes + data_bytes + snapshot->size_bytes);
    struct raft_entry *entries;
    uint8_t *bytes;

    ASSERT(made != NULL);
    entries = (struct raft_entry *)(void *)(made + 1);
    bytes = (uint8_t *)(entries + count);
    *made = (struct store_image){
        .loaded = {
                   .hard = head->hard,
                   .snapshot = *snapshot,
                   .entry_count = (uint32_t)count,
                   .entries = entries,
                   }
    };
    if (snapshot->size_bytes > 0) {
        memcpy(bytes, snapshot->data, snapshot->size_bytes);
    }
    made->loaded.snapshot.data = bytes;
    bytes += snapshot->size_bytes;
    for (uint64_t i = 0; i < count; i++) {
        struct record_entry record = {0};
        const enum status status = read_entry(txn, log, head->first_index + i, &record, err);

        if (status != STATUS_OK) {
            free(made);
            return status;
        }
        memcpy(bytes, record.entry.data, record.entry.size_bytes);
        entries[i] = record.entry;
        entries[i].data = bytes;
        bytes += record.entry.size_bytes;
    }
    *image = made;
    return STATUS_OK;
}

static enum status load_in(
    MDB_txn *txn, const struct store_lmdb *store, struct store_image **image, struct err *err)
{
    struct raft_snapshot snapshot = {0};
    struct record_head head = {0};
    size_t data_bytes = 0;
    enum status status = read_head(txn, store->meta, &head, err);

    if (status == STATUS_OK) {
        status = read_snapshot(txn, store->meta, &head, &snapshot, err);
    }
    if (status == STATUS_OK) {
        status = verify_log(txn, store->log, &head, &data_bytes, err);
    }
    if (status == STATUS_OK) {
        status = fill_image(txn, store->log, &head, &snapshot, data_bytes, image, err);
    }
    return status;
}

enum status store_lmdb_load(struct store_lmdb *store, struct store_image **image, struct err *err)
{
    enum status status;
    MDB_txn *txn = NULL;
    const int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    *image = NULL;
    if (rc != 0) {
        return lmdb_err(err, "begin to read the store", rc);
    }
    status = load_in(txn, store, image, err);
    mdb_txn_abort(txn);
    return status;
}

void store_image_destroy(struct store_image *image)
{
    free(image);
}

/* ----------------------------------------------------------------------- writing */

static enum status put_head(struct session *session, struct err *err)
{
    uint8_t bytes[RECORD_HEAD_BYTES];
    MDB_val key = name_key(head_name);
    MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
    int rc;

    record_put_head(&session->head, bytes);
    rc = mdb_put(session->txn, session->meta, &key, &value, 0);
    return rc == 0 ? STATUS_OK : lmdb_err(err, "store the head", rc);
}

static enum status put_snapshot(
    struct session *session, const struct raft_snapshot *snapshot, struct err *err)
{
    MDB_val key = name_key(snapshot_name);
    MDB_val value = {.mv_size = record_snapshot_bytes(snapshot)};
    int rc;

    ASSERT(snapshot->index >= session->head.snapshot_index);
    /* MDB_RESERVE: the record is built in the page, not copied there. */
    rc = mdb_put(session->txn, session->meta, &key, &value, MDB_RESERVE);
    if (rc != 0) {
        return lmdb_err(err, "store the snapshot", rc);
    }
    record_put_snapshot(snapshot, value.mv_data);
    session->head.snapshot_index = snapshot->index;
    return STATUS_OK;
}

static enum status delete_entries(
    struct session *session, uint64_t from_index, uint64_t to_index, struct err *err)
{
    for (uint64_t index = from_index; index <= to_index; index++) {
        uint8_t bytes[KEY_BYTES];
        MDB_val key = index_key(index, bytes);
        const int rc = mdb_del(session->txn, session->log, &key, NULL);

        if (rc != 0) {
            return lmdb_err(err, "remove an entry", rc);
        }
    }
    return STATUS_OK;
}

/* The hash up to and including `index`, which is in the log or just in front of it. */
static enum status chain_at(
    struct session *session, uint64_t index, uint64_t *chain, struct err *err)
{
    struct record_entry record = {0};
    enum status status;

    if (index == session->head.first_index - 1) {
        *chain = session->head.first_chain;
        return STATUS_OK;
    }
    status = read_entry(session->txn, session->log, index, &record, err);
    if (status == STATUS_OK) {
        *chain = record.chain;
    }
    return status;
}

/* Drops what is before `keep_from`; a snapshot may be ahead of the whole log. */
static enum status compact(struct session *session, uint64_t keep_from, struct err *err)
{
    struct record_head *head = &session->head;
    enum status status;
    uint64_t chain = RECORD_CHAIN_SEED;

    if (keep_from <= head->first_index) {
        return STATUS_OK;
    }
    ASSERT(keep_from <= head->snapshot_index + 1);
    if (keep_from > head->last_index + 1) {
        /* What follows was never here: the chain begins anew behind the snapshot. */
        status = delete_entries(session, head->first_index, head->last_index, err);
        head->last_index = keep_from - 1;
        head->last_chain = chain;
    } else {
        status = chain_at(session, keep_from - 1, &chain, err);
        if (status == STATUS_OK) {
            status = delete_entries(session, head->first_index, keep_from - 1, err);
        }
    }
    head->first_index = keep_from;
    head->first_chain = chain;
    return status;
}

static enum status truncate(struct session *session, uint64_t from_index, struct err *err)
{
    struct record_head *head = &session->head;
    const uint64_t from = from_index < head->first_index ? head->first_index : from_index;
    uint64_t chain = 0;
    enum status status;

    if (from > head->last_index) {
        return STATUS_OK;
    }
    status = chain_at(session, from - 1, &chain, err);
    if (status == STATUS_OK) {
        status = delete_entries(session, from, head->last_index, err);
    }
    head->last_index = from - 1;
    head->last_chain = chain;
    return status;
}

static enum status append(struct session *session, const struct raft_entry *entry, struct err *err)
{
    struct record_head *head = &session->head;
    const uint64_t chain = record_chain(head->last_chain, entry);
    uint8_t bytes[KEY_BYTES];
    MDB_val key = index_key(entry->index, bytes);
    MDB_val value = {.mv_size = RECORD_ENTRY_BYTES + (size_t)entry->size_bytes};
    int rc;

    ASSERT(entry->index == head->last_index + 1);
    ASSERT(entry->term <= head->hard.term);
    /* MDB_APPEND: LMDB checks for us that there is no later entry. */
    rc = mdb_put(session->txn, session->log, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (rc != 0) {
        return lmdb_err(err, "store an entry", rc);
    }
    record_put_entry(entry, chain, value.mv_data);
    head->last_index = entry->index;
    head->last_chain = chain;
    return STATUS_OK;
}

static void change_hard(struct record_head *head, const struct raft_hard *hard)
{
    ASSERT(hard->term >= head->hard.term);
    ASSERT(
        hard->term > head->hard.term || head->hard.voted_for == 0 ||
        hard->voted_for == head->hard.voted_for);
    ASSERT(hard->incarnation == head->hard.incarnation);
    head->hard = *hard;
}

/* In the order that raft.h gives for a raft_persist. */
static enum status apply_write(
    struct session *session, const struct store_write *write, struct err *err)
{
    const struct raft_persist *persist = &write->persist;
    enum status status = STATUS_OK;

    if (persist->hard_changed) {
        change_hard(&session->head, &persist->hard);
    }
    if (persist->snapshot_changed) {
        status = put_snapshot(session, write->snapshot, err);
    }
    if (status == STATUS_OK && persist->keep_from > 0) {
        status = compact(session, persist->keep_from, err);
    }
    if (status == STATUS_OK && persist->truncate_from > 0) {
        status = truncate(session, persist->truncate_from, err);
    }
    if (persist->first_index > 0) {
        const uint64_t count = persist->last_index - persist->first_index + 1;

        for (uint64_t i = 0; status == STATUS_OK && i < count; i++) {
            status = append(session, &write->entries[i], err);
        }
    }
    return status;
}

static int commit_cause(const struct store_lmdb *store, int rc)
{
    mdb_filehandle_t fd = -1;

    return rc == EIO && mdb_env_get_fd(store->env, &fd) == 0 && disk_is_full(fd) ? ENOSPC : rc;
}

enum status store_lmdb_write(
    struct store_lmdb *store, const struct store_write *first, struct err *err)
{
    struct session session = {.log = store->log, .meta = store->meta, .head = store->head};
    enum status status = STATUS_OK;
    int rc = mdb_txn_begin(store->env, NULL, 0, &session.txn);

    if (rc != 0) {
        return lmdb_err(err, "begin a transaction", rc);
    }
    for (const struct store_write *write = first; write != NULL; write = write->next) {
        status = apply_write(&session, write, err);
        if (status != STATUS_OK) {
            goto out;
        }
    }
    status = put_head(&session, err);
    if (status != STATUS_OK) {
        goto out;
    }
    rc = mdb_txn_commit(session.txn);
    session.txn = NULL; /* A commit ends the transaction even when it fails. */
    if (rc != 0) {
        status = lmdb_err(err, "commit a transaction", commit_cause(store, rc));
        goto out;
    }
    store->head = session.head;

out:
    if (session.txn != NULL) {
        mdb_txn_abort(session.txn);
    }
    return status;
}

/* ----------------------------------------------------------------------- opening */

/* Pages that the file is said to have but has not are SIGBUS when they are touched. */
static enum status check_size(MDB_env *env, int fd, struct err *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    uint64_t bytes = 0;
    enum status status;
    int rc = mdb_env_info(env, &info);

    if (rc == 0) {
        rc = mdb_env_stat(env, &stat);
    }
    if (rc != 0) {
        return lmdb_err(err, "look at the store", rc);
    }
    status = disk_size(fd, &bytes, err);
    if (status == STATUS_OK && bytes / stat.ms_psize <= info.me_last_pgno) {
        status = ERR(err, CORRUPT, "the file has been cut off at %" PRIu64 " bytes", bytes);
    }
    return status;
}

static enum status open_env(
    const struct store_lmdb_settings *settings, unsigned int flags, MDB_env **env, struct err *err)
{
    const size_t map_bytes = settings->map_bytes == 0 ? STORE_MAP_BYTES : settings->map_bytes;
    mdb_filehandle_t fd = -1;
    int dead = 0;
    enum status status;
    int rc = mdb_env_create(env);

    if (rc != 0) {
        *env = NULL;
        return lmdb_err(err, "set LMDB up", rc);
    }
    rc = mdb_env_set_mapsize(*env, map_bytes);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(*env, 2);
    }
    if (rc == 0) {
        /* MDB_NOTLS: a reader belongs to its transaction, not to the thread. */
        rc = mdb_env_open(*env, settings->dir, flags | MDB_NOTLS, 0600);
    }
    if (rc == 0) {
        rc = mdb_env_get_fd(*env, &fd);
    }
    if (rc == 0) {
        rc = mdb_reader_check(*env, &dead); /* Readers of processes that were killed. */
    }
    if (rc != 0) {
        return lmdb_err(err, "open the store", rc);
    }
    status = disk_close_on_exec(fd, err); /* LMDB leaves this one file open to children. */
    return status == STATUS_OK ? check_size(*env, fd, err) : status;
}

static enum status open_tables(struct store_lmdb *store, MDB_txn *txn, bool create, struct err *err)
{
    const unsigned int flags = create ? MDB_CREATE : 0;
    int rc = mdb_dbi_open(txn, "log", flags, &store->log);

    if (rc == 0) {
        rc = mdb_dbi_open(txn, "meta", flags, &store->meta);
    }
    return rc == 0 ? STATUS_OK : lmdb_err(err, "open the tables", rc);
}

/* A store without a head must be empty: the head is in its first transaction. */
static enum status make_head(struct store_lmdb *store, MDB_txn *txn, struct err *err)
{
    struct session session = {
        .txn = txn,
        .log = store->log,
        .meta = store->meta,
        .head =
            {
                   .hard = {.incarnation = clock_random_u64() | 1}, /* 0 means none. */
                .first_index = 1,
                   .first_chain = RECORD_CHAIN_SEED,
                   .last_chain = RECORD_CHAIN_SEED,
                   },
    };
    MDB_stat log_stat;
    MDB_stat meta_stat;
    int rc = mdb_stat(txn, store->log, &log_stat);
    enum status status;

    if (rc == 0) {
        rc = mdb_stat(txn, store->meta, &meta_stat);
    }
    if (rc != 0) {
        return lmdb_err(err, "look at the tables", rc);
    }
    if (log_stat.ms_entries > 0 || meta_stat.ms_entries > 0) {
        return ERR(err, CORRUPT, "the store has entries but no head");
    }
    status = put_head(&session, err);
    store->head = session.head;
    return status;
}

/* `*created` is told so that the caller can make the new file durable. */
static enum status open_head(struct store_lmdb *store, bool *created, struct err *err)
{
    MDB_txn *txn = NULL;
    enum status status;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);

    if (rc != 0) {
        return lmdb_err(err, "begin a transaction", rc);
    }
    status = open_tables(store, txn, true, err);
    if (status == STATUS_OK) {
        status = read_head(txn, store->meta, &store->head, err);
    }
    if (status == STATUS_NOT_FOUND) {
        *created = true;
        status = make_head(store, txn, err);
    }
    if (status != STATUS_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? STATUS_OK : lmdb_err(err, "commit the first transaction", rc);
}

/* LMDB syncs neither the first pages of a new file nor the directory it is in. */
static enum status settle(
    struct store_lmdb *store, const struct store_lmdb_settings *settings, bool created,
    struct err *err)
{
    const size_t bytes =
        settings->reserve_bytes == 0 ? STORE_RESERVE_BYTES : settings->reserve_bytes;
    mdb_filehandle_t fd = -1;
    enum status status;
    int rc = mdb_env_get_fd(store->env, &fd);

    ASSERT(rc == 0); /* It refuses only NULL. */
    status = disk_reserve(fd, bytes, err);
    if (status != STATUS_OK && !created) {
        log_warning("the raft store works without a reserve: %s", err->text);
        return STATUS_OK;
    }
    if (status != STATUS_OK || !created) {
        return status;
    }
    rc = mdb_env_sync(store->env, 1);
    if (rc != 0) {
        return lmdb_err(err, "sync the new store", rc);
    }
    return disk_sync_dirs(settings->dir, err);
}

/* Runs in a child that may die of it; whatever else it finds the parent will find again. */
static void read_all(void *argument)
{
    const struct store_lmdb_settings *settings = argument;
    struct store_lmdb store = {.lock_fd = -1};
    struct store_image *image = NULL;
    MDB_txn *txn = NULL;
    struct err err;

    if (open_env(settings, MDB_RDONLY, &store.env, &err) == STATUS_OK &&
        mdb_txn_begin(store.env, NULL, MDB_RDONLY, &txn) == 0 &&
        open_tables(&store, txn, false, &err) == STATUS_OK &&
        load_in(txn, &store, &image, &err) == STATUS_OK) {
        store_image_destroy(image);
    }
}

/* In a map what rot does to the reader and a read error of the disk are one: SIGBUS. */
static enum status look_for_read_error(const char *dir, struct err *err)
{
    struct err read_err;

    if (disk_read_through(dir, "data.mdb", &read_err) == STATUS_OK) {
        return STATUS_CORRUPT;
    }
    *err = read_err;
    return err->status;
}

enum status store_lmdb_open(
    const struct store_lmdb_settings *settings, struct store_lmdb **store, struct err *err)
{
    struct store_lmdb_settings copy = *settings; /* disk_try_apart() takes no const. */
    struct store_lmdb *made = calloc(1, sizeof *made);
    bool created = false;
    enum status status;

    ASSERT(made != NULL);
    *store = NULL;
    status = disk_lock(settings->dir, &made->lock_fd, err);
    if (status == STATUS_OK) {
        status = disk_try_apart(read_all, &copy, err);
    }
    if (status == STATUS_CORRUPT) {
        status = look_for_read_error(settings->dir, err);
    }
    if (status == STATUS_OK) {
        status = open_env(settings, 0, &made->env, err);
    }
    if (status == STATUS_OK) {
        status = open_head(made, &created, err);
    }
    if (status == STATUS_OK) {
        status = settle(made, settings, created, err);
    }
    if (status != STATUS_OK) {
        err_add_context(err, "raft store in \"%s\"", settings->dir);
        store_lmdb_close(made);
        return status;
    }
    *store = made;
    return STATUS_OK;
}

void store_lmdb_close(struct store_lmdb *store)
{
    if (store == NULL) {
        return;
    }
    if (store->env != NULL) {
        mdb_env_close(store->env);
    }
    disk_unlock(store->lock_fd);
    free(store);
}

enum status store_lmdb_reset(const char *dir, struct err *err)
{
    int lock_fd = -1;
    enum status status = disk_lock(dir, &lock_fd, err);

    if (status == STATUS_OK) {
        status = disk_set_aside(dir, "data.mdb", "data.mdb.damaged", err);
    }
    if (status == STATUS_OK) {
        status = disk_set_aside(dir, "lock.mdb", "lock.mdb.damaged", err);
    }
    disk_unlock(lock_fd);
    return status;
}
