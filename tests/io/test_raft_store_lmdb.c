/*
 * The store on a real LMDB in a temporary folder. Some of LMDB's functions, and fsync(),
 * are replaced by ones that fail when told to and else call the real one.
 */
#include "raft/store_lmdb.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/prng.h"
#include "base/text.h"
#include "raft/mark_sys.h"
#include "tests/lib/test.h"

/* ------------------------------------------------------------------- failing calls */

static int calls_to_failure; /* 0: none; 1: the next one. */
static int failure;

static bool fails_now(void)
{
    return calls_to_failure > 0 && --calls_to_failure == 0;
}

/* dlsym() gives an object pointer, which C does not turn into a function's. */
#define CALL_REAL(name, result, ...)                          \
    do {                                                      \
        static __typeof__(&(name)) real;                      \
                                                              \
        if (real == NULL) {                                   \
            void *symbol = dlsym(RTLD_NEXT, #name);           \
                                                              \
            memcpy(&real, &symbol, sizeof real);              \
        }                                                     \
        (result) = fails_now() ? failure : real(__VA_ARGS__); \
    } while (0)

static bool is_unreadable; /* Files are, in the process that opens the store, too. */

ssize_t read(int fd, void *bytes, size_t size)
{
    static __typeof__(&read) real;

    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "read");

        memcpy(&real, &symbol, sizeof real);
    }
    if (is_unreadable) {
        errno = EIO;
        return -1;
    }
    return real(fd, bytes, size);
}

static pid_t spared;      /* The process that raises nothing. */
static int raised_signal; /* 0: none. */

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned int flags, MDB_txn **txn)
{
    int rc;

    if (raised_signal != 0 && getpid() != spared) {
        (void)signal(raised_signal, SIG_DFL); /* Not a sanitizer's report. */
        (void)raise(raised_signal);
    }
    CALL_REAL(mdb_txn_begin, rc, env, parent, flags, txn);
    return rc;
}

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned int flags)
{
    int rc;

    CALL_REAL(mdb_put, rc, txn, dbi, key, data, flags);
    return rc;
}

int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    int rc;

    CALL_REAL(mdb_get, rc, txn, dbi, key, data);
    return rc;
}

int mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    int rc;

    CALL_REAL(mdb_del, rc, txn, dbi, key, data);
    return rc;
}

int mdb_txn_commit(MDB_txn *txn)
{
    int rc;

    if (calls_to_failure == 1) { /* A commit that fails ends its transaction, too. */
        calls_to_failure = 0;
        mdb_txn_abort(txn);
        return failure;
    }
    CALL_REAL(mdb_txn_commit, rc, txn);
    return rc;
}

int mdb_env_sync(MDB_env *env, int force)
{
    int rc;

    CALL_REAL(mdb_env_sync, rc, env, force);
    return rc;
}

int mdb_dbi_open(MDB_txn *txn, const char *name, unsigned int flags, MDB_dbi *dbi)
{
    int rc;

    CALL_REAL(mdb_dbi_open, rc, txn, name, flags, dbi);
    return rc;
}

int mdb_env_open(MDB_env *env, const char *path, unsigned int flags, mdb_mode_t mode)
{
    int rc;

    CALL_REAL(mdb_env_open, rc, env, path, flags, mode);
    return rc;
}

/* ------------------------------------------------------------------------- helpers */

struct world {
    char dir[TEST_PATH_SIZE];
    struct store_lmdb_settings settings;
    struct store_lmdb *store;
};

static int set_up(void **state)
{
    static struct world world;

    world = (struct world){.settings = {.reserve_bytes = 1024 * 1024}};
    test_dir_make(world.dir);
    world.settings.dir = world.dir;
    calls_to_failure = 0;
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    calls_to_failure = 0;
    raised_signal = 0;
    is_unreadable = false;
    store_lmdb_close(world->store);
    test_dir_remove(world->dir);
    return 0;
}

static void open_store(struct world *world)
{
    struct err err;

    test_ok(store_lmdb_open(&world->settings, &world->store, &err), &err);
}

static void close_store(struct world *world)
{
    store_lmdb_close(world->store);
    world->store = NULL;
}

static struct store_image *load(struct world *world)
{
    struct store_image *image;
    struct err err;

    test_ok(store_lmdb_load(world->store, &image, &err), &err);
    return image;
}

static uint64_t incarnation(struct world *world)
{
    struct store_image *image = load(world);
    const uint64_t value = image->loaded.hard.incarnation;

    store_image_destroy(image);
    return value;
}

/* Bytes of the entry at `index` of `term`, so that a test can say what must be there. */
static struct raft_entry make_entry(uint64_t term, uint64_t index)
{
    static uint8_t data[64][3000];
    uint8_t *bytes = data[index % 64];
    struct raft_entry entry = {
        .term = term,
        .index = index,
        .kind = RAFT_ENTRY_DATA,
        .size_bytes = (uint32_t)(index * 211 % sizeof data[0]),
        .data = bytes,
    };

    memset(bytes, (int)(term * 16 + index), sizeof data[0]);
    return entry;
}

/* An append, behind a truncation if `first` is not the end, that also sets the term. */
static enum status append(
    struct world *world, uint64_t term, uint64_t first, uint64_t last, struct err *err)
{
    struct raft_entry entries[64];
    struct store_write write = {
        .persist =
            {
                      .hard_changed = true,
                      .hard = {.term = term, .voted_for = 3, .cluster_id = 9},
                      .truncate_from = first,
                      .first_index = first,
                      .last_index = last,
                      },
        .entries = entries,
    };

    assert_true(last - first < ARRAY_SIZE(entries));
    write.persist.hard.incarnation = incarnation(world);
    for (uint64_t index = first; index <= last; index++) {
        entries[index - first] = make_entry(term, index);
    }
    return store_lmdb_write(world->store, &write, err);
}

static void append_ok(struct world *world, uint64_t term, uint64_t first, uint64_t last)
{
    struct err err;

    test_ok(append(world, term, first, last, &err), &err);
}

static struct raft_snapshot make_snapshot(uint64_t index, uint64_t term)
{
    static const uint8_t bytes[] = "state of the machine";
    struct raft_snapshot snapshot = {
        .index = index,
        .term = term,
        .config = {.term = 1, .index = 1, .count = 1},
        .size_bytes = sizeof bytes,
        .data = bytes,
    };
    struct raft_member *member = &snapshot.config.members[0];

    *member = (struct raft_member){.id = 5, .incarnation = 6, .kind = RAFT_MEMBER_VOTER};
    text_copy_cut(member->address, sizeof member->address, "db1:5010");
    return snapshot;
}

static enum status snapshot(
    struct world *world, uint64_t index, uint64_t term, uint64_t keep_from, struct err *err)
{
    const struct raft_snapshot taken = make_snapshot(index, term);
    const struct store_write write = {
        .persist = {.snapshot_changed = true, .keep_from = keep_from},
        .snapshot = &taken,
    };

    return store_lmdb_write(world->store, &write, err);
}

static void snapshot_ok(struct world *world, uint64_t index, uint64_t term, uint64_t keep_from)
{
    struct err err;

    test_ok(snapshot(world, index, term, keep_from, &err), &err);
}

static void assert_log(struct world *world, uint64_t term, uint64_t first, uint64_t last)
{
    struct store_image *image = load(world);

    assert_int_equal(image->loaded.entry_count, last - first + 1);
    for (uint32_t i = 0; i < image->loaded.entry_count; i++) {
        const struct raft_entry *entry = &image->loaded.entries[i];
        const struct raft_entry want = make_entry(term, first + i);

        assert_int_equal(entry->index, want.index);
        assert_int_equal(entry->term, want.term);
        assert_int_equal(entry->kind, want.kind);
        assert_int_equal(entry->size_bytes, want.size_bytes);
        assert_memory_equal(entry->data, want.data, want.size_bytes);
    }
    store_image_destroy(image);
}

static void assert_snapshot(struct world *world, uint64_t index)
{
    struct store_image *image = load(world);
    const struct raft_snapshot want = make_snapshot(index, image->loaded.snapshot.term);

    assert_int_equal(image->loaded.snapshot.index, index);
    assert_int_equal(image->loaded.snapshot.size_bytes, want.size_bytes);
    assert_memory_equal(image->loaded.snapshot.data, want.data, want.size_bytes);
    assert_memory_equal(&image->loaded.snapshot.config, &want.config, sizeof want.config);
    store_image_destroy(image);
}

static void reopen(struct world *world)
{
    close_store(world);
    open_store(world);
}

/* --------------------------------------------------------------------------- tests */

static void test_a_new_store_is_empty_but_for_its_incarnation(void **state)
{
    struct world *world = *state;
    struct store_image *image;
    uint64_t first;

    open_store(world);
    image = load(world);
    first = image->loaded.hard.incarnation;
    assert_true(first != 0);
    assert_int_equal(image->loaded.hard.term, 0);
    assert_int_equal(image->loaded.hard.voted_for, 0);
    assert_int_equal(image->loaded.hard.cluster_id, 0);
    assert_int_equal(image->loaded.snapshot.index, 0);
    assert_int_equal(image->loaded.entry_count, 0);
    store_image_destroy(image);
    reopen(world);
    assert_true(incarnation(world) == first);
}

static void test_the_file_is_reserved_and_not_inherited(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    struct stat info;
    int left_open = 0;

    open_store(world);
    test_path(path, world->dir, "data.mdb");
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size >= 1024 * 1024);
    assert_true(info.st_blocks >= 1024 * 1024 / 512);
    for (int fd = 3; fd < 64; fd++) {
        char name[64];
        char target[512] = "";

        (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (readlink(name, target, sizeof target - 1) > 0 && text_starts_with(target, world->dir)) {
            left_open += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
        }
    }
    assert_int_equal(left_open, 0);
}

static void test_what_was_written_is_there_after_reopening(void **state)
{
    struct world *world = *state;
    struct store_image *image;

    open_store(world);
    append_ok(world, 2, 1, 20);
    append_ok(world, 2, 21, 40);
    reopen(world);
    assert_log(world, 2, 1, 40);
    image = load(world);
    assert_int_equal(image->loaded.hard.term, 2);
    assert_int_equal(image->loaded.hard.voted_for, 3);
    assert_int_equal(image->loaded.hard.cluster_id, 9);
    store_image_destroy(image);
}

static void test_a_tail_is_replaced_in_one_write(void **state)
{
    struct world *world = *state;
    struct store_image *image;

    open_store(world);
    append_ok(world, 2, 1, 30);
    append_ok(world, 3, 11, 12);
    reopen(world);
    image = load(world);
    assert_int_equal(image->loaded.entry_count, 12);
    assert_int_equal(image->loaded.entries[9].term, 2);
    assert_int_equal(image->loaded.entries[10].term, 3);
    store_image_destroy(image);
    append_ok(world, 4, 1, 3); /* From the very beginning. */
    assert_log(world, 4, 1, 3);
}

static void test_a_snapshot_drops_what_is_before_it(void **state)
{
    static const struct {
        uint64_t keep_from; /* Of a log of 30, with a snapshot at 20. */
        uint64_t first;
        uint64_t last;
    } cases[] = {
        {1,  1,  30}, /* Everything is kept. */
        {15, 15, 30}, /* Some in front of the snapshot. */
        {21, 21, 30}, /* Nothing in front. */
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        open_store(world);
        append_ok(world, 2, 1, 30);
        snapshot_ok(world, 20, 2, cases[i].keep_from);
        reopen(world);
        assert_log(world, 2, cases[i].first, cases[i].last);
        assert_snapshot(world, 20);
        append_ok(world, 2, 31, 33); /* And it goes on. */
        assert_log(world, 2, cases[i].first, 33);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

static void test_a_snapshot_may_be_ahead_of_the_whole_log(void **state)
{
    struct world *world = *state;

    open_store(world);
    append_ok(world, 2, 1, 10);
    snapshot_ok(world, 50, 2, 51);
    reopen(world);
    assert_log(world, 2, 51, 50);
    assert_snapshot(world, 50);
    append_ok(world, 3, 51, 55);
    reopen(world);
    assert_log(world, 3, 51, 55);
}

static void test_many_writes_are_one_transaction(void **state)
{
    struct world *world = *state;
    struct raft_entry entries[3] = {make_entry(1, 1), make_entry(1, 2), make_entry(1, 3)};
    struct store_write writes[3] = {0};
    struct err err;

    open_store(world);
    for (size_t i = 0; i < 3; i++) {
        writes[i] = (struct store_write){
            .next = i < 2 ? &writes[i + 1] : NULL,
            .persist = {.first_index = i + 1, .last_index = i + 1},
            .entries = &entries[i],
        };
    }
    writes[0].persist.hard_changed = true;
    writes[0].persist.hard = (struct raft_hard){.term = 1, .incarnation = incarnation(world)};
    calls_to_failure = 4; /* begin, put, put, the third put */
    failure = EIO;
    assert_int_equal(store_lmdb_write(world->store, writes, &err), STATUS_IO);
    assert_log(world, 1, 1, 0); /* Not even the first. */
    test_ok(store_lmdb_write(world->store, writes, &err), &err);
    assert_log(world, 1, 1, 3);
}

static void test_a_second_owner_is_refused(void **state)
{
    struct world *world = *state;
    struct store_lmdb *second;
    struct err err;

    open_store(world);
    assert_int_equal(store_lmdb_open(&world->settings, &second, &err), STATUS_REFUSED);
    assert_null(second);
    assert_int_equal(store_lmdb_reset(world->dir, &err), STATUS_REFUSED);
}

static void test_a_full_map_is_full_and_leaves_what_was_there(void **state)
{
    struct world *world = *state;
    enum status status = STATUS_OK;
    uint64_t last = 0;
    struct err err;

    world->settings.map_bytes = 256 * 1024;
    world->settings.reserve_bytes = 64 * 1024;
    open_store(world);
    while (status == STATUS_OK && last < 2000) {
        status = append(world, 1, last + 1, last + 10, &err);
        last += status == STATUS_OK ? 10 : 0;
    }
    assert_int_equal(status, STATUS_FULL);
    assert_true(last >= 10);
    assert_log(world, 1, 1, last);
    close_store(world);
    world->settings.map_bytes = 1024 * 1024;
    open_store(world);
    assert_log(world, 1, 1, last);
    append_ok(world, 1, last + 1, last + 10);
}

/* Fails the n-th call of LMDB, for n until none fails: nothing may be half done. */
static void test_each_failing_call_leaves_the_old_state_or_the_new(void **state)
{
    static const struct {
        int rc;
        enum status want;
    } codes[] = {
        {EIO,           STATUS_IO     },
        {ENOSPC,        STATUS_FULL   },
        {MDB_MAP_FULL,  STATUS_FULL   },
        {MDB_CORRUPTED, STATUS_CORRUPT},
        {MDB_PANIC,     STATUS_IO     }
    };

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        struct world *world = *state;
        int failed_calls = 0;
        enum status status;
        struct err err;

        open_store(world);
        append_ok(world, 2, 1, 30);
        for (int call = 1;; call++) {
            calls_to_failure = call;
            failure = codes[i].rc;
            status = snapshot(world, 20, 2, 15, &err);
            calls_to_failure = 0;
            if (status == STATUS_OK) {
                break;
            }
            failed_calls++;
            assert_int_equal(status, codes[i].want);
            assert_log(world, 2, 1, 30);
        }
        assert_true(failed_calls >= 18); /* begin, put, get, 14 deletions, put, commit */
        reopen(world);
        assert_log(world, 2, 15, 30);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

static void test_each_failing_call_of_a_creation_can_be_tried_again(void **state)
{
    struct world *world = *state;
    struct err err;
    int call = 0;

    do {
        calls_to_failure = ++call;
        failure = EIO;
        if (store_lmdb_open(&world->settings, &world->store, &err) != STATUS_OK) {
            assert_null(world->store);
        }
    } while (world->store == NULL && call < 100);
    calls_to_failure = 0;
    assert_true(call > 6);
    append_ok(world, 1, 1, 1);
}

static void test_a_failed_load_says_so(void **state)
{
    struct world *world = *state;
    struct store_image *image;
    struct err err;

    open_store(world);
    append_ok(world, 1, 1, 3);
    calls_to_failure = 3;
    failure = EIO;
    assert_int_equal(store_lmdb_load(world->store, &image, &err), STATUS_IO);
    assert_null(image);
}

static void flip(const char *path, off_t at, uint8_t bits)
{
    const int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd != -1);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* Where the bytes of the newest value of entry `index` are: all of them are its low byte. */
static off_t find_entry(const char *path, uint8_t value)
{
    static uint8_t bytes[1024 * 1024];
    const int fd = open(path, O_RDONLY);
    ssize_t size;
    off_t found = -1;

    assert_true(fd != -1);
    size = read(fd, bytes, sizeof bytes);
    assert_true(size > 200);
    for (ssize_t i = 0; found == -1 && i + 100 < size; i++) {
        bool is_run = true;

        for (ssize_t k = 0; is_run && k < 100; k++) {
            is_run = bytes[i + k] == value;
        }
        found = is_run ? i + 50 : -1;
    }
    assert_int_equal(close(fd), 0);
    assert_true(found != -1);
    return found;
}

static void test_rot_in_an_entry_is_found_and_named(void **state)
{
    struct world *world = *state;
    struct store_image *image;
    char path[TEST_PATH_SIZE];
    struct err err;
    uint64_t old_incarnation;

    open_store(world);
    append_ok(world, 2, 1, 5);
    old_incarnation = incarnation(world);
    close_store(world);
    test_path(path, world->dir, "data.mdb");
    flip(path, find_entry(path, 2 * 16 + 4), 0x04);
    open_store(world);
    assert_int_equal(store_lmdb_load(world->store, &image, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "entry 4"));
    assert_null(image);

    close_store(world);
    test_ok(store_lmdb_reset(world->dir, &err), &err);
    open_store(world);
    assert_log(world, 1, 1, 0);
    assert_true(incarnation(world) != old_incarnation);
    test_path(path, world->dir, "data.mdb.damaged");
    assert_true(file_exists(path));
}

/* Whatever byte is hit: the store is refused, or it has exactly what was written. */
static void test_rot_anywhere_is_found_or_harmless(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    int refused = 0;
    struct prng prng;
    struct stat info;

    open_store(world);
    append_ok(world, 2, 1, 40);
    snapshot_ok(world, 20, 2, 15);
    close_store(world);
    test_path(path, world->dir, "data.mdb");
    assert_int_equal(stat(path, &info), 0);
    prng_init(&prng, 11);
    for (int round = 0; round < 300; round++) {
        /* The tree's first pages are where the structure is. */
        const off_t at = (off_t)prng_between(&prng, 0, round % 2 == 0 ? 200000 : 65535);
        const uint8_t bits = (uint8_t)prng_between(&prng, 1, 255);
        struct store_image *image = NULL;
        struct err err;

        flip(path, at, bits);
        if (store_lmdb_open(&world->settings, &world->store, &err) != STATUS_OK ||
            store_lmdb_load(world->store, &image, &err) != STATUS_OK) {
            assert_true(strlen(err.text) > 0);
            refused++;
        } else {
            assert_int_equal(image->loaded.hard.term, 2);
            assert_int_equal(image->loaded.snapshot.index, 20);
            assert_int_equal(image->loaded.entry_count, 26);
        }
        store_image_destroy(image);
        close_store(world);
        flip(path, at, bits);
    }
    assert_true(refused > 20);
    open_store(world);
    assert_log(world, 2, 15, 40);
}

static void test_a_file_that_was_cut_off_is_refused(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    struct err err;

    open_store(world);
    append_ok(world, 2, 1, 40);
    close_store(world);
    test_path(path, world->dir, "data.mdb");
    assert_int_equal(truncate(path, 5 * 4096), 0);
    assert_int_equal(store_lmdb_open(&world->settings, &world->store, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "cut off"));
    assert_int_equal(truncate(path, 100), 0);
    assert_int_not_equal(store_lmdb_open(&world->settings, &world->store, &err), STATUS_OK);
}

static void test_a_store_of_another_version_is_left_alone(void **state)
{
    struct world *world = *state;
    struct err err;

    open_store(world);
    append_ok(world, 2, 1, 40);
    close_store(world);
    calls_to_failure = 1;
    failure = MDB_VERSION_MISMATCH;
    assert_int_equal(store_lmdb_open(&world->settings, &world->store, &err), STATUS_INVALID);
    assert_int_equal(calls_to_failure, 0);
    open_store(world);
    assert_log(world, 2, 1, 40);
}

/* A slow disk or a killed reader says nothing about a store; what reading it does says all. */
static void test_only_an_end_by_reading_makes_a_store_damaged(void **state)
{
    static const struct {
        int number;
        enum status status;
    } cases[] = {
        {SIGBUS,  STATUS_CORRUPT},
        {SIGSEGV, STATUS_CORRUPT},
        {SIGFPE,  STATUS_CORRUPT},
        {SIGILL,  STATUS_CORRUPT},
        {SIGABRT, STATUS_CORRUPT},
        {SIGXCPU, STATUS_CORRUPT},
        {SIGALRM, STATUS_TIMEOUT},
        {SIGKILL, STATUS_IO     },
        {SIGTERM, STATUS_IO     },
        {SIGINT,  STATUS_IO     },
        {SIGHUP,  STATUS_IO     },
    };
    struct world *world = *state;

    open_store(world);
    append_ok(world, 2, 1, 40);
    close_store(world);
    spared = getpid();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err;

        raised_signal = cases[i].number;
        assert_int_equal(store_lmdb_open(&world->settings, &world->store, &err), cases[i].status);
        raised_signal = 0;
        assert_null(world->store);
        open_store(world);
        assert_log(world, 2, 1, 40);
        close_store(world);
    }
}

/* To who reads a map the two are one signal. */
static void test_a_read_error_of_the_disk_is_no_damage(void **state)
{
    struct world *world = *state;
    struct err err;

    open_store(world);
    append_ok(world, 2, 1, 40);
    close_store(world);
    spared = getpid();
    raised_signal = SIGBUS;
    is_unreadable = true;
    assert_int_equal(store_lmdb_open(&world->settings, &world->store, &err), STATUS_IO);
    is_unreadable = false;
    raised_signal = 0;
    assert_non_null(strstr(err.text, "could not read a file"));
    open_store(world);
    assert_log(world, 2, 1, 40);
}

/* A copy put back later is whole: only the others, and the mark outside, can tell. */
static void test_a_rolled_back_store_is_whole(void **state)
{
    struct world *world = *state;
    char *old = NULL;
    char path[TEST_PATH_SIZE];
    size_t size = 0;
    struct err err;

    open_store(world);
    append_ok(world, 2, 1, 5);
    close_store(world);
    test_path(path, world->dir, "data.mdb");
    test_ok(file_read_alloc(path, 64 * 1024 * 1024, &old, &size, &err), &err);
    open_store(world);
    append_ok(world, 3, 6, 9);
    close_store(world);
    test_ok(file_replace(path, old, size, 0600, &err), &err);
    free(old);
    open_store(world);
    assert_log(world, 2, 1, 5);
}

static void assert_mark(const struct world *world, const struct raft_memory *mark)
{
    struct raft_memory read = {0};
    struct err err;

    test_ok(mark_read(world->dir, &read, &err), &err);
    assert_memory_equal(&read, mark, sizeof read);
}

static void test_a_mark_is_kept_and_its_damage_found(void **state)
{
    static const struct raft_memory none = {0};
    static const struct raft_memory first = {UINT64_C(0x1122334455667788), 2, 3, 1};
    static const struct raft_memory second = {UINT64_C(0x1122334455667788), UINT64_MAX, 4, 5};
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    struct raft_memory read;
    struct err err;

    assert_int_equal(mark_read(world->dir, &read, &err), STATUS_NOT_FOUND);
    assert_memory_equal(&read, &none, sizeof read);
    test_ok(mark_write(world->dir, &first, &err), &err);
    assert_mark(world, &first);
    test_ok(mark_write(world->dir, &second, &err), &err);
    assert_mark(world, &second);
    test_path(path, world->dir, "mark");
    for (off_t at = 0; at < 36; at++) {
        flip(path, at, 0x20);
        assert_int_equal(mark_read(world->dir, &read, &err), STATUS_CORRUPT);
        assert_memory_equal(&read, &none, sizeof read);
        flip(path, at, 0x20);
    }
    for (size_t size = 0; size < 60; size++) {
        static const char zeros[60];

        test_ok(file_replace(path, zeros, size, 0600, &err), &err);
        assert_int_equal(mark_read(world->dir, &read, &err), STATUS_CORRUPT);
        test_ok(mark_write(world->dir, &first, &err), &err);
        assert_mark(world, &first);
    }
    assert_int_not_equal(mark_write("/nonexistent/folder", &first, &err), STATUS_OK);
}

int main(void)
{
#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_new_store_is_empty_but_for_its_incarnation),
        STORE_TEST(test_the_file_is_reserved_and_not_inherited),
        STORE_TEST(test_what_was_written_is_there_after_reopening),
        STORE_TEST(test_a_tail_is_replaced_in_one_write),
        STORE_TEST(test_a_snapshot_drops_what_is_before_it),
        STORE_TEST(test_a_snapshot_may_be_ahead_of_the_whole_log),
        STORE_TEST(test_many_writes_are_one_transaction),
        STORE_TEST(test_a_second_owner_is_refused),
        STORE_TEST(test_a_full_map_is_full_and_leaves_what_was_there),
        STORE_TEST(test_each_failing_call_leaves_the_old_state_or_the_new),
        STORE_TEST(test_each_failing_call_of_a_creation_can_be_tried_again),
        STORE_TEST(test_a_failed_load_says_so),
        STORE_TEST(test_rot_in_an_entry_is_found_and_named),
        STORE_TEST(test_rot_anywhere_is_found_or_harmless),
        STORE_TEST(test_a_file_that_was_cut_off_is_refused),
        STORE_TEST(test_a_store_of_another_version_is_left_alone),
        STORE_TEST(test_only_an_end_by_reading_makes_a_store_damaged),
        STORE_TEST(test_a_read_error_of_the_disk_is_no_damage),
        STORE_TEST(test_a_rolled_back_store_is_whole),
        STORE_TEST(test_a_mark_is_kept_and_its_damage_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
