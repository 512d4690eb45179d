#include "base/file_sys.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

struct world {
    char dir[TEST_PATH_SIZE];
    char path[TEST_PATH_SIZE]; /* A file in it, which does not exist yet. */
    struct err err;
};

static int set_up(void **state)
{
    static struct world world;

    test_dir_make(world.dir);
    test_path(world.path, world.dir, "file");
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    test_dir_remove(world->dir);
    return 0;
}

static void write_file(struct world *world, const char *path, const char *text)
{
    test_ok(file_replace(path, text, strlen(text), 0644, &world->err), &world->err);
}

static void assert_content(struct world *world, const char *path, const char *want)
{
    char data[256];
    size_t length = 0;

    test_ok(file_read(path, data, sizeof data, &length, &world->err), &world->err);
    assert_string_equal(data, want);
    assert_int_equal(length, strlen(want));
}

static uint32_t count_entries(const char *dir)
{
    DIR *stream = opendir(dir);
    uint32_t count = 0;

    assert_non_null(stream);
    while (readdir(stream) != NULL) {
        count++;
    }
    (void)closedir(stream);
    return count - 2; /* "." and ".." */
}

static void test_a_file_is_read_whole_or_not_at_all(void **state)
{
    struct world *world = *state;
    char data[8];
    size_t length = 99;

    write_file(world, world->path, "1234567");
    test_ok(file_read(world->path, data, sizeof data, &length, &world->err), &world->err);
    assert_string_equal(data, "1234567");
    assert_int_equal(length, 7);
    test_ok(file_read(world->path, data, sizeof data, NULL, &world->err), &world->err);

    assert_int_equal(file_read(world->path, data, 7, &length, &world->err), STATUS_INVALID);
    assert_string_equal(data, "");
    assert_non_null(strstr(world->err.text, world->path));
}

static void test_a_missing_file_is_not_found(void **state)
{
    struct world *world = *state;
    char small[8];
    char *data = small;

    assert_int_equal(
        file_read(world->path, small, sizeof small, NULL, &world->err), STATUS_NOT_FOUND);
    assert_int_equal(file_read_alloc(world->path, 100, &data, NULL, &world->err), STATUS_NOT_FOUND);
    assert_null(data);
}

static void test_a_directory_cannot_be_read(void **state)
{
    struct world *world = *state;
    char *data = NULL;
    char small[8];

    assert_int_equal(file_read(world->dir, small, sizeof small, NULL, &world->err), STATUS_IO);
    assert_int_equal(file_read_alloc(world->dir, 100, &data, NULL, &world->err), STATUS_IO);
    assert_null(data);
}

/* Around the sizes at which the block grows, and at the limit. */
static void test_allocating_read_takes_every_size_up_to_its_limit(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 20000};
    struct world *world = *state;
    char *want = malloc(20000);

    assert_non_null(want);
    memset(want, 'w', 20000);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        const size_t size = sizes[i];
        char *data = NULL;
        size_t length = 0;

        test_ok(file_replace(world->path, want, size, 0600, &world->err), &world->err);
        for (size_t limit = size; limit <= 40000; limit += 20000) {
            test_ok(file_read_alloc(world->path, limit, &data, &length, &world->err), &world->err);
            assert_int_equal(length, size);
            assert_memory_equal(data, want, size);
            assert_int_equal(data[size], '\0');
            free(data);
        }
        if (size > 0) {
            assert_int_equal(
                file_read_alloc(world->path, size - 1, &data, &length, &world->err),
                STATUS_INVALID);
            assert_null(data);
        }
    }
    free(want);
}

static void test_allocating_read_takes_files_that_do_not_tell_their_size(void **state)
{
    struct world *world = *state;
    char *data = NULL;
    size_t length = 0;

    test_ok(file_read_alloc("/proc/self/stat", 65536, &data, &length, &world->err), &world->err);
    assert_true(length > 0);
    assert_int_equal(strtol(data, NULL, 10), getpid());
    free(data);
}

static void test_replacing_puts_the_new_file_in_the_place_of_the_old(void **state)
{
    struct world *world = *state;

    write_file(world, world->path, "old and longer");
    write_file(world, world->path, "new");
    assert_content(world, world->path, "new");
    write_file(world, world->path, "");
    assert_content(world, world->path, "");
    assert_int_equal(count_entries(world->dir), 1);
}

static void test_the_mode_is_the_one_asked_for_whatever_the_umask(void **state)
{
    struct world *world = *state;
    const mode_t old_mask = umask(0077);
    struct stat info;

    write_file(world, world->path, "x");
    (void)umask(old_mask);
    assert_int_equal(stat(world->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0644);
}

static void test_what_a_crash_left_is_not_in_the_way(void **state)
{
    struct world *world = *state;
    char left[TEST_PATH_SIZE];
    char victim[TEST_PATH_SIZE];

    test_path(left, world->dir, "file.new");
    test_path(victim, world->dir, "victim");
    write_file(world, victim, "precious");
    assert_int_equal(symlink(victim, left), 0);
    write_file(world, world->path, "new");
    assert_content(world, world->path, "new");
    assert_content(world, victim, "precious");
}

static void test_a_failed_replacement_leaves_the_old_file(void **state)
{
    struct world *world = *state;
    char sub[TEST_PATH_SIZE];

    /* A directory that is not empty cannot be replaced by a file. */
    test_ok(file_make_dirs(world->path, 0755, &world->err), &world->err);
    test_path(sub, world->path, "inside");
    write_file(world, sub, "old");
    assert_int_equal(file_replace(world->path, "new", 3, 0644, &world->err), STATUS_IO);
    assert_content(world, sub, "old");
    assert_int_equal(count_entries(world->dir), 1);
}

static void test_replacing_in_a_missing_directory_says_so(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];

    test_path(path, world->path, "inside");
    assert_int_equal(file_replace(path, "x", 1, 0644, &world->err), STATUS_NOT_FOUND);
    assert_non_null(strstr(world->err.text, strerror(ENOENT)));
}

/* A limit on the size of files makes write() fail half way. */
static void test_a_write_that_fails_half_way_leaves_the_old_file(void **state)
{
    struct world *world = *state;
    struct rlimit limit;
    struct rlimit old_limit;
    static char big[8192];
    enum status status;

    write_file(world, world->path, "old");
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    limit = old_limit;
    limit.rlim_cur = sizeof big / 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    status = file_replace(world->path, big, sizeof big, 0644, &world->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old_limit), 0);

    assert_int_equal(status, STATUS_IO);
    assert_content(world, world->path, "old");
    assert_int_equal(count_entries(world->dir), 1);
}

static void test_a_full_file_system_is_told_apart(void **state)
{
    struct world *world = *state;
    static char big[1024 * 1024];
    enum status status;

    if (mount("none", world->dir, "tmpfs", 0, "size=64k") == -1) {
        skip(); /* Only root can make a small file system. */
    }
    status = file_replace(world->path, big, sizeof big, 0644, &world->err);
    assert_int_equal(count_entries(world->dir), 0);
    assert_int_equal(umount2(world->dir, MNT_DETACH), 0);
    assert_int_equal(status, STATUS_FULL);
}

static ino_t inode_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static void test_a_file_with_these_bytes_is_left_alone(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *old;
        const char *fresh;
        bool changes;
    } cases[] = {
        {"same", "same",  false},
        {"",     "",      false},
        {"same", "sane",  true },
        {"same", "sam",   true },
        {"same", "same+", true },
        {"same", "",      true },
        {"",     "same",  true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *fresh = cases[i].fresh;
        bool changed = !cases[i].changes;
        ino_t before;

        write_file(world, world->path, cases[i].old);
        before = inode_of(world->path);
        test_ok(
            file_replace_if_changed(world->path, fresh, strlen(fresh), 0644, &changed, &world->err),
            &world->err);
        assert_int_equal(changed, cases[i].changes);
        assert_int_equal(inode_of(world->path) != before, cases[i].changes);
        assert_content(world, world->path, fresh);
    }
}

static void test_a_missing_file_counts_as_changed(void **state)
{
    struct world *world = *state;
    bool changed = false;

    test_ok(file_replace_if_changed(world->path, "", 0, 0644, &changed, &world->err), &world->err);
    assert_true(changed);
    assert_true(file_exists(world->path));
    test_ok(file_replace_if_changed(world->path, "", 0, 0644, NULL, &world->err), &world->err);
}

static void test_removing_is_done_once_and_may_be_asked_for_twice(void **state)
{
    struct world *world = *state;

    write_file(world, world->path, "x");
    assert_true(file_exists(world->path));
    test_ok(file_remove(world->path, &world->err), &world->err);
    assert_false(file_exists(world->path));
    test_ok(file_remove(world->path, &world->err), &world->err);
    assert_int_equal(file_remove(world->dir, &world->err), STATUS_IO);
}

static void test_directories_are_made_with_their_parents(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    struct stat info;

    test_path(path, world->dir, "a//b/c/");
    test_ok(file_make_dirs(path, 0700, &world->err), &world->err);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 07777, 0700);
    test_ok(file_make_dirs(path, 0755, &world->err), &world->err);
    test_ok(file_make_dirs("/", 0755, &world->err), &world->err);
}

static void test_a_file_in_the_way_of_a_directory_is_an_error(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];

    write_file(world, world->path, "x");
    assert_int_equal(file_make_dirs(world->path, 0755, &world->err), STATUS_IO);
    test_path(path, world->path, "below");
    assert_int_not_equal(file_make_dirs(path, 0755, &world->err), STATUS_OK);
    assert_content(world, world->path, "x");
}

static void test_a_tree_is_removed_and_links_are_not_followed(void **state)
{
    struct world *world = *state;
    char tree[TEST_PATH_SIZE];
    char deep[TEST_PATH_SIZE];
    char outside[TEST_PATH_SIZE];
    char kept[TEST_PATH_SIZE];
    char path[TEST_PATH_SIZE];

    test_path(outside, world->dir, "outside");
    test_ok(file_make_dirs(outside, 0755, &world->err), &world->err);
    test_path(kept, outside, "kept");
    write_file(world, kept, "precious");

    test_path(tree, world->dir, "tree");
    test_path(deep, tree, "pg_wal/archive_status");
    test_ok(file_make_dirs(deep, 0700, &world->err), &world->err);
    test_path(path, deep, "1.ready");
    write_file(world, path, "x");
    test_path(path, tree, "pg_tblspc");
    assert_int_equal(symlink(outside, path), 0);
    test_path(path, tree, "dangling");
    assert_int_equal(symlink("/nowhere/at/all", path), 0);

    test_ok(file_remove_tree(tree, &world->err), &world->err);
    assert_false(file_exists(tree));
    assert_content(world, kept, "precious");
    test_ok(file_remove_tree(tree, &world->err), &world->err);
}

static void test_a_link_to_a_tree_is_removed_itself(void **state)
{
    struct world *world = *state;
    char outside[TEST_PATH_SIZE];
    char link[TEST_PATH_SIZE];

    test_path(outside, world->dir, "outside");
    test_path(link, world->dir, "link");
    test_ok(file_make_dirs(outside, 0755, &world->err), &world->err);
    assert_int_equal(symlink(outside, link), 0);
    test_ok(file_remove_tree(link, &world->err), &world->err);
    assert_false(file_exists(link));
    assert_true(file_exists(outside));
}

static void test_paths_that_are_too_long_are_refused(void **state)
{
    struct world *world = *state;
    char path[5000];
    bool changed;

    memset(path, 'p', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(file_replace(path, "x", 1, 0644, &world->err), STATUS_INVALID);
    assert_int_equal(
        file_replace_if_changed(path, "x", 1, 0644, &changed, &world->err), STATUS_INVALID);
    assert_int_equal(file_make_dirs(path, 0755, &world->err), STATUS_INVALID);
    assert_int_equal(file_remove_tree(path, &world->err), STATUS_INVALID);
    assert_int_equal(file_remove(path, &world->err), STATUS_IO);
    assert_false(file_exists(path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_a_file_is_read_whole_or_not_at_all),
        TEST(test_a_missing_file_is_not_found),
        TEST(test_a_directory_cannot_be_read),
        TEST(test_allocating_read_takes_every_size_up_to_its_limit),
        TEST(test_allocating_read_takes_files_that_do_not_tell_their_size),
        TEST(test_replacing_puts_the_new_file_in_the_place_of_the_old),
        TEST(test_the_mode_is_the_one_asked_for_whatever_the_umask),
        TEST(test_what_a_crash_left_is_not_in_the_way),
        TEST(test_a_failed_replacement_leaves_the_old_file),
        TEST(test_replacing_in_a_missing_directory_says_so),
        TEST(test_a_write_that_fails_half_way_leaves_the_old_file),
        TEST(test_a_full_file_system_is_told_apart),
        TEST(test_a_file_with_these_bytes_is_left_alone),
        TEST(test_a_missing_file_counts_as_changed),
        TEST(test_removing_is_done_once_and_may_be_asked_for_twice),
        TEST(test_directories_are_made_with_their_parents),
        TEST(test_a_file_in_the_way_of_a_directory_is_an_error),
        TEST(test_a_tree_is_removed_and_links_are_not_followed),
        TEST(test_a_link_to_a_tree_is_removed_itself),
        TEST(test_paths_that_are_too_long_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
