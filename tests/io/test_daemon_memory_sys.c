#include "daemon/memory_sys.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "tests/lib/test.h"

#define MAPPED_BYTES 65536
#define PAGE_PRESENT (UINT64_C(1) << 63) /* In /proc/PID/pagemap. */

struct world {
    char dir[TEST_PATH_SIZE];
    char path[TEST_PATH_SIZE];
    char *data; /* A private, writable mapping of a file full of 'f'. */
};

static int set_up(void **state)
{
    static struct world world;
    char content[MAPPED_BYTES];
    struct err err;
    int fd;

    test_dir_make(world.dir);
    test_path(world.path, world.dir, "mapped");
    memset(content, 'f', sizeof content);
    test_ok(file_replace(world.path, content, sizeof content, 0600, &err), &err);
    fd = open(world.path, O_RDONLY | O_CLOEXEC);
    assert_int_not_equal(fd, -1);
    world.data = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(world.data, MAP_FAILED);
    (void)close(fd);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    assert_int_equal(munmap(world->data, MAPPED_BYTES), 0);
    test_dir_remove(world->dir);
    return 0;
}

static void forbid_writes(struct world *world)
{
    assert_int_equal(mprotect(world->data, MAPPED_BYTES, PROT_READ), 0);
}

/* How much of the mapping is in the memory of this process. */
static size_t resident_bytes(const struct world *world)
{
    const size_t page_bytes = (size_t)getpagesize();
    const size_t page_count = MAPPED_BYTES / page_bytes;
    const size_t first = (size_t)((uintptr_t)world->data / page_bytes);
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t pages[MAPPED_BYTES / 4096];
    size_t found = 0;

    assert_int_not_equal(fd, -1);
    assert_int_equal(
        pread(fd, pages, page_count * sizeof pages[0], (off_t)(first * sizeof pages[0])),
        (ssize_t)(page_count * sizeof pages[0]));
    (void)close(fd);
    for (size_t i = 0; i < page_count; i++) {
        found += (pages[i] & PAGE_PRESENT) != 0 ? page_bytes : 0;
    }
    return found;
}

static void assert_all(const struct world *world, char want)
{
    for (size_t i = 0; i < MAPPED_BYTES; i++) {
        assert_int_equal(world->data[i], want);
    }
}

static void test_pages_of_a_file_are_dropped_and_come_back(void **state)
{
    struct world *world = *state;

    forbid_writes(world);
    assert_all(world, 'f');
    assert_int_equal(resident_bytes(world), MAPPED_BYTES);
    memory_trim();
    assert_int_equal(resident_bytes(world), 0);
    assert_all(world, 'f');
}

static void test_a_page_that_was_changed_stays(void **state)
{
    struct world *world = *state;

    world->data[MAPPED_BYTES / 2] = 'x';
    forbid_writes(world);
    memory_trim();
    assert_int_equal(world->data[MAPPED_BYTES / 2], 'x');
    assert_int_equal(world->data[0], 'f');
}

static void test_what_may_be_written_is_left_alone(void **state)
{
    struct world *world = *state;

    assert_all(world, 'f');
    memory_trim();
    assert_int_equal(resident_bytes(world), MAPPED_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages_of_a_file_are_dropped_and_come_back),
        TEST(test_a_page_that_was_changed_stays),
        TEST(test_what_may_be_written_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
