/*
 * The store's thread, with a real LMDB behind it. The core is replaced by a log of this
 * file; the commit and the sync of the mark are replaced by ones that wait or fail when
 * told to.
 */
#include "raft/store_uv.h"

#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock_sys.h"
#include "raft/mark_sys.h"
#include "tests/lib/test.h"

#define DEADLINE_MS 10000

/* ------------------------------------------------------------------- in place of raft */

struct raft {
    struct raft_entry entries[8];
};

static const uint8_t blob[100] = "entry";

struct raft_entry raft_entry_get(const struct raft *raft, uint64_t index)
{
    struct raft_entry entry = raft->entries[0];

    entry.index = index;
    return entry;
}

const struct raft_snapshot *raft_snapshot(const struct raft *raft)
{
    (void)raft;
    return NULL;
}

/* ------------------------------------------------------------------------- bad disk */

static atomic_int commit_failure; /* 0: none. */
static atomic_int commit_held;    /* While it is 1 a commit does not end. */
static atomic_int commits_begun;
static atomic_int mark_failure; /* What the sync of the mark fails with. */
static atomic_int marks_synced;

static void *find_real(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    assert_non_null(symbol);
    return symbol;
}

int mdb_txn_commit(MDB_txn *txn)
{
    int (*real)(MDB_txn *);
    void *symbol = find_real("mdb_txn_commit");

    memcpy(&real, &symbol, sizeof real);
    atomic_fetch_add(&commits_begun, 1);
    while (atomic_load(&commit_held) != 0) {
        uv_sleep(1);
    }
    if (atomic_load(&commit_failure) != 0) {
        mdb_txn_abort(txn);
        return atomic_load(&commit_failure);
    }
    return real(txn);
}

/* fsync() when it is created, fdatasync() when it is written over; LMDB uses that, too. */
static int sync_mark(const char *name, int fd)
{
    int (*real)(int);
    void *symbol = find_real(name);
    struct stat info;

    memcpy(&real, &symbol, sizeof real);
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size < 100) {
        atomic_fetch_add(&marks_synced, 1);
        if (atomic_load(&mark_failure) != 0) {
            errno = atomic_load(&mark_failure);
            return -1;
        }
    }
    return real(fd);
}

int fsync(int fd)
{
    return sync_mark("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_mark("fdatasync", fd);
}

/* ------------------------------------------------------------------------- helpers */

struct world {
    char dir[TEST_PATH_SIZE];
    uv_loop_t loop;
    uv_timer_t tick; /* So that the loop comes back to look at the deadline. */
    struct raft raft;
    struct store_uv *store;
    uint64_t incarnation;
    uint64_t submitted;
    uint64_t done;
    uint32_t full_count;
    uint32_t has_room_count;
    uint32_t failed_count;
    struct err failure;
    bool closed;
    uint64_t marked_index; /* What the file said at the last report. */
};

static uint64_t marked_index(const struct world *world)
{
    struct raft_memory mark;
    struct err err;
    const enum status status = mark_read(world->dir, &mark, &err);

    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    return mark.index;
}

static void on_done(void *owner, uint64_t number)
{
    struct world *world = owner;

    assert_int_equal(number, world->done + 1); /* Each one, in order. */
    assert_int_equal(world->failed_count, 0);
    world->done = number;
    world->marked_index = marked_index(world);
    assert_true(world->marked_index >= number); /* Each has one entry. */
}

static void on_full(void *owner, const struct err *err)
{
    struct world *world = owner;

    assert_int_equal(err->status, STATUS_FULL);
    world->full_count++;
}

static void on_has_room(void *owner, uint64_t full_ms)
{
    struct world *world = owner;

    assert_true(full_ms < DEADLINE_MS);
    world->has_room_count++;
}

static void on_failed(void *owner, const struct err *err)
{
    struct world *world = owner;

    world->failure = *err;
    world->failed_count++;
}

static void on_closed(void *owner)
{
    struct world *world = owner;

    world->closed = true;
    world->store = NULL;
}

static const struct store_uv_events events = {
    .done = on_done,
    .full = on_full,
    .has_room = on_has_room,
    .failed = on_failed,
    .closed = on_closed,
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Turns the loop until the condition holds; fails the test if it never does. */
#define RUN_UNTIL(world, condition)                              \
    do {                                                         \
        const uint64_t until_ms = clock_boot_ms() + DEADLINE_MS; \
                                                                 \
        while (!(condition)) {                                   \
            assert_true(clock_boot_ms() < until_ms);             \
            (void)uv_run(&(world)->loop, UV_RUN_ONCE);           \
        }                                                        \
    } while (0)

static void open_store(struct world *world, uint64_t remind_ms)
{
    const struct store_lmdb_settings lmdb = {.dir = world->dir, .reserve_bytes = 65536};
    struct store_uv_settings settings = {.mark_dir = world->dir, .remind_ms = remind_ms};
    struct store_image *image;
    struct err err;

    test_ok(store_lmdb_open(&lmdb, &settings.db, &err), &err);
    test_ok(store_lmdb_load(settings.db, &image, &err), &err);
    world->incarnation = image->loaded.hard.incarnation;
    store_image_destroy(image);
    test_ok(store_uv_open(&world->loop, &settings, &events, world, &world->store, &err), &err);
}

static int set_up_world(void **state, uint64_t remind_ms)
{
    static struct world world;

    world = (struct world){
        .raft.entries[0] = {
                            .term = 1, .kind = RAFT_ENTRY_DATA, .size_bytes = sizeof blob, .data = blob}
    };
    atomic_store(&commit_failure, 0);
    atomic_store(&commit_held, 0);
    atomic_store(&mark_failure, 0);
    atomic_store(&marks_synced, 0);
    test_dir_make(world.dir);
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(uv_timer_init(&world.loop, &world.tick), 0);
    assert_int_equal(uv_timer_start(&world.tick, on_tick, 5, 5), 0);
    open_store(&world, remind_ms);
    *state = &world;
    return 0;
}

static int set_up(void **state)
{
    return set_up_world(state, 0);
}

static int set_up_that_reminds(void **state)
{
    return set_up_world(state, 1);
}

static void close_store(struct world *world)
{
    if (world->store != NULL) {
        store_uv_close(world->store);
        RUN_UNTIL(world, world->closed);
    }
}

static int tear_down(void **state)
{
    struct world *world = *state;

    atomic_store(&commit_held, 0);
    close_store(world);
    uv_close((uv_handle_t *)&world->tick, NULL);
    (void)uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0); /* Nothing was left open. */
    test_dir_remove(world->dir);
    return 0;
}

static void submit_marked(struct world *world, uint64_t marked_index)
{
    const uint64_t number = ++world->submitted;
    const struct raft_persist persist = {
        .number = number,
        .hard_changed = true,
        .hard = {.term = 1,  .incarnation = world->incarnation},
        .first_index = number,
        .last_index = number,
        .mark = { .incarnation = world->incarnation, .term = 1,             .index = marked_index},
    };

    store_submit(store_uv_store(world->store), &world->raft, &persist);
}

/* One entry each. */
static void submit(struct world *world)
{
    submit_marked(world, world->submitted + 1);
}

/* --------------------------------------------------------------------------- tests */

static void test_what_is_submitted_is_done_later_and_in_order(void **state)
{
    struct world *world = *state;
    struct store_stats stats;

    for (int i = 0; i < 200; i++) {
        submit(world);
        assert_int_equal(world->done, 0); /* Never from inside submit. */
    }
    RUN_UNTIL(world, world->done == 200);
    store_uv_stats(world->store, &stats);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.waiting_since_ms, 0);
    assert_true(stats.commit_count >= 1);
    assert_true(stats.commit_max_us >= stats.commit_last_us);
    assert_true(stats.commit_last_us > 0);
}

static void test_what_waits_for_a_slow_disk_is_one_transaction(void **state)
{
    struct world *world = *state;
    struct store_stats stats;
    const int begun = atomic_load(&commits_begun);

    atomic_store(&commit_held, 1);
    submit(world);
    RUN_UNTIL(world, atomic_load(&commits_begun) == begun + 1);
    for (int i = 0; i < 50; i++) {
        submit(world);
    }
    store_uv_stats(world->store, &stats);
    assert_true(stats.waiting_since_ms > 0);
    assert_true(stats.queued_bytes > 50 * sizeof blob);
    assert_int_equal(world->done, 0);
    atomic_store(&commit_held, 0);
    RUN_UNTIL(world, world->done == 51);
    assert_int_equal(atomic_load(&commits_begun), begun + 2);
}

static void test_a_full_disk_is_tried_again_and_nothing_is_done_before(void **state)
{
    struct world *world = *state;
    struct store_stats stats;
    const int begun = atomic_load(&commits_begun);

    atomic_store(&commit_failure, ENOSPC);
    submit(world);
    RUN_UNTIL(world, world->full_count == 1);
    submit(world);
    RUN_UNTIL(world, atomic_load(&commits_begun) == begun + 2);
    assert_int_equal(world->done, 0);
    store_uv_stats(world->store, &stats);
    assert_true(stats.full_since_ms > 0);
    atomic_store(&commit_failure, 0);
    RUN_UNTIL(world, world->done == 2);
    store_uv_stats(world->store, &stats);
    assert_int_equal(stats.full_since_ms, 0);
    assert_int_equal(world->failed_count, 0);
}

static void test_a_full_disk_is_told_when_it_begins_and_when_it_is_over(void **state)
{
    struct world *world = *state;

    for (uint32_t time = 1; time <= 2; time++) {
        const int begun = atomic_load(&commits_begun);

        atomic_store(&commit_failure, ENOSPC);
        submit(world);
        RUN_UNTIL(world, atomic_load(&commits_begun) == begun + 2);
        assert_int_equal(world->full_count, time);
        assert_int_equal(world->has_room_count, time - 1);
        atomic_store(&commit_failure, 0);
        RUN_UNTIL(world, world->has_room_count == time);
        assert_int_equal(world->full_count, time);
        assert_int_equal(world->done, world->submitted);
    }
    submit(world);
    RUN_UNTIL(world, world->done == world->submitted);
    assert_int_equal(world->has_room_count, 2);
}

static void test_a_full_disk_is_told_again_when_it_lasts(void **state)
{
    struct world *world = *state;

    atomic_store(&commit_failure, ENOSPC);
    submit(world);
    RUN_UNTIL(world, world->full_count == 2);
    assert_int_equal(world->has_room_count, 0);
    assert_int_equal(world->done, 0);
}

static void test_a_failed_commit_is_told_once_and_ends_all_completions(void **state)
{
    struct world *world = *state;

    submit(world);
    RUN_UNTIL(world, world->done == 1);
    atomic_store(&commit_failure, EIO);
    submit(world);
    RUN_UNTIL(world, world->failed_count == 1);
    atomic_store(&commit_failure, 0);
    assert_int_equal(world->failure.status, STATUS_IO);
    submit(world);
    for (int turn = 0; turn < 20; turn++) {
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
    assert_int_equal(world->done, 1);
    assert_int_equal(world->failed_count, 1);
}

static void test_nothing_is_done_before_its_mark_is_on_disk(void **state)
{
    struct world *world = *state;

    /* on_done() looks; one at a time, so that no later one's mark is taken for it. */
    for (uint64_t round = 1; round <= 20; round++) {
        submit(world);
        RUN_UNTIL(world, world->done == world->submitted);
        assert_int_equal(world->marked_index, round);
    }
    assert_int_equal(atomic_load(&marks_synced), 20);
}

/* A power cut between the two must not make a sound store look rolled back. */
static void test_a_mark_never_says_more_than_the_database(void **state)
{
    struct world *world = *state;

    submit(world);
    RUN_UNTIL(world, world->done == 1);
    atomic_store(&commit_failure, ENOSPC);
    submit(world);
    RUN_UNTIL(world, world->full_count == 1);
    assert_int_equal(marked_index(world), 1);
    atomic_store(&commit_failure, 0);
    RUN_UNTIL(world, world->done == 2);
    assert_int_equal(marked_index(world), 2);
}

static void test_what_is_committed_and_not_marked_is_not_committed_again(void **state)
{
    struct world *world = *state;
    int begun;

    submit(world);
    RUN_UNTIL(world, world->done == 1);
    atomic_store(&mark_failure, ENOSPC);
    begun = atomic_load(&commits_begun);
    submit(world);
    RUN_UNTIL(world, world->full_count == 1);
    submit(world);
    RUN_UNTIL(world, atomic_load(&commits_begun) == begun + 2);
    assert_int_equal(world->done, 1);
    atomic_store(&mark_failure, 0);
    RUN_UNTIL(world, world->done == 3);
    assert_int_equal(atomic_load(&commits_begun), begun + 2);
    assert_int_equal(world->failed_count, 0);
}

static void test_a_mark_that_fails_is_a_failure_of_the_store(void **state)
{
    struct world *world = *state;

    atomic_store(&mark_failure, EIO);
    submit(world);
    RUN_UNTIL(world, world->failed_count == 1);
    assert_int_equal(world->done, 0);
}

static void test_what_the_mark_says_already_costs_no_write(void **state)
{
    struct world *world = *state;

    submit_marked(world, 9);
    RUN_UNTIL(world, world->done == 1);
    submit_marked(world, 9);
    RUN_UNTIL(world, world->done == 2);
    assert_int_equal(atomic_load(&marks_synced), 1);
}

static void test_closing_writes_what_was_submitted(void **state)
{
    struct world *world = *state;
    struct store_lmdb_settings lmdb = {.dir = world->dir};
    struct store_lmdb *db;
    struct store_image *image;
    struct err err;

    for (int i = 0; i < 30; i++) {
        submit(world);
    }
    close_store(world);
    assert_int_equal(marked_index(world), 30);
    test_ok(store_lmdb_open(&lmdb, &db, &err), &err);
    test_ok(store_lmdb_load(db, &image, &err), &err);
    assert_int_equal(image->loaded.entry_count, 30);
    store_image_destroy(image);
    store_lmdb_close(db);
}

static void test_closing_does_not_wait_for_a_full_disk(void **state)
{
    struct world *world = *state;

    atomic_store(&commit_failure, ENOSPC);
    submit(world);
    RUN_UNTIL(world, world->full_count == 1);
    close_store(world);
    assert_int_equal(world->done, 0);
}

int main(void)
{
#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        STORE_TEST(test_what_is_submitted_is_done_later_and_in_order),
        STORE_TEST(test_what_waits_for_a_slow_disk_is_one_transaction),
        STORE_TEST(test_a_full_disk_is_tried_again_and_nothing_is_done_before),
        STORE_TEST(test_a_full_disk_is_told_when_it_begins_and_when_it_is_over),
        cmocka_unit_test_setup_teardown(
            test_a_full_disk_is_told_again_when_it_lasts, set_up_that_reminds, tear_down),
        STORE_TEST(test_a_failed_commit_is_told_once_and_ends_all_completions),
        STORE_TEST(test_nothing_is_done_before_its_mark_is_on_disk),
        STORE_TEST(test_a_mark_never_says_more_than_the_database),
        STORE_TEST(test_what_is_committed_and_not_marked_is_not_committed_again),
        STORE_TEST(test_a_mark_that_fails_is_a_failure_of_the_store),
        STORE_TEST(test_what_the_mark_says_already_costs_no_write),
        STORE_TEST(test_closing_writes_what_was_submitted),
        STORE_TEST(test_closing_does_not_wait_for_a_full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
