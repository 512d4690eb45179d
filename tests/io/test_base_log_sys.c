#include "base/log_sys.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/text.h"
#include "tests/lib/test.h"

#define DEADLINE_MS 10000

struct world {
    char dir[TEST_PATH_SIZE];
    char log[TEST_PATH_SIZE];
    struct err err;
};

static int set_up(void **state)
{
    static struct world world;

    test_dir_make(world.dir);
    test_path(world.log, world.dir, "pgbaton.log");
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    static const struct log_settings standard_error = {.level = LOG_INFO};
    struct world *world = *state;

    test_ok(log_sys_open(&standard_error, &world->err), &world->err);
    test_dir_remove(world->dir);
    return 0;
}

/* Lines are written behind the back of who logs them. */
static void flush(void)
{
    assert_true(log_sys_flush(DEADLINE_MS));
}

static void open_log(struct world *world, const char *format)
{
    const struct log_settings settings = {
        .level = LOG_DEBUG,
        .format = format,
        .dir = world->dir,
    };

    test_ok(log_sys_open(&settings, &world->err), &world->err);
}

static void assert_content(struct world *world, const char *path, const char *want)
{
    char data[8192];

    flush();
    test_ok(file_read(path, data, sizeof data, NULL, &world->err), &world->err);
    assert_string_equal(data, want);
}

static void test_the_default_format_is_time_level_message(void **state)
{
    static const char shape[] = "dddd-dd-dd dd:dd:dd,ddd INFO: no action\n";
    struct world *world = *state;
    char data[256];

    open_log(world, NULL);
    log_info("no action");
    flush();
    test_ok(file_read(world->log, data, sizeof data, NULL, &world->err), &world->err);
    assert_int_equal(strlen(data), strlen(shape));
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == 'd') {
            assert_true(isdigit((unsigned char)data[i]));
        } else {
            assert_int_equal(data[i], shape[i]);
        }
    }
}

static void test_a_directory_that_cannot_be_used_is_refused(void **state)
{
    struct world *world = *state;
    struct log_settings settings = {.dir = "/nowhere/at/all"};
    char longer[5000];

    assert_int_equal(log_sys_open(&settings, &world->err), STATUS_IO);
    assert_non_null(strstr(world->err.text, "/nowhere/at/all/pgbaton.log"));
    memset(longer, 'd', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    settings.dir = longer;
    assert_int_equal(log_sys_open(&settings, &world->err), STATUS_INVALID);
}

static void test_lines_are_appended_and_the_level_is_kept(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {
        .level = LOG_WARNING,
        .format = "%(message)s",
        .dir = world->dir,
    };

    test_ok(log_sys_open(&settings, &world->err), &world->err);
    log_warning("one");
    log_info("not this");
    test_ok(log_sys_open(&settings, &world->err), &world->err); /* As on reload. */
    log_error("two");
    assert_content(world, world->log, "one\ntwo\n");
}

static void test_the_mode_is_the_one_asked_for(void **state)
{
    struct world *world = *state;
    struct log_settings settings = {.dir = world->dir};
    const mode_t old_mask = umask(0077);
    struct stat info;

    test_ok(log_sys_open(&settings, &world->err), &world->err);
    assert_int_equal(stat(world->log, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
    settings.mode = 0640;
    test_ok(log_sys_open(&settings, &world->err), &world->err);
    assert_int_equal(stat(world->log, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    (void)umask(old_mask);
}

/* Lines of 5 bytes into files of 12: two fit into each. */
static void test_files_are_rotated_before_they_grow_too_big(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {
        .format = "%(message)s",
        .dir = world->dir,
        .file_size = 12,
        .file_num = 2,
    };
    char path[TEST_PATH_SIZE];

    test_ok(log_sys_open(&settings, &world->err), &world->err);
    log_set_level(LOG_INFO);
    for (int i = 1; i <= 9; i++) {
        log_info("rec%d", i);
    }
    assert_content(world, world->log, "rec9\n");
    test_path(path, world->dir, "pgbaton.log.1");
    assert_content(world, path, "rec7\nrec8\n");
    test_path(path, world->dir, "pgbaton.log.2");
    assert_content(world, path, "rec5\nrec6\n");
    test_path(path, world->dir, "pgbaton.log.3");
    assert_false(file_exists(path));
}

static void test_the_size_of_a_file_that_was_there_counts(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {
        .format = "%(message)s",
        .dir = world->dir,
        .file_size = 12,
        .file_num = 1,
    };
    char path[TEST_PATH_SIZE];

    test_ok(file_replace(world->log, "from before\n", 12, 0644, &world->err), &world->err);
    test_ok(log_sys_open(&settings, &world->err), &world->err);
    log_error("new");
    assert_content(world, world->log, "new\n");
    test_path(path, world->dir, "pgbaton.log.1");
    assert_content(world, path, "from before\n");
}

static void test_a_line_longer_than_the_file_gets_one_of_its_own(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {
        .format = "%(message)s",
        .dir = world->dir,
        .file_size = 4,
        .file_num = 3,
    };
    char path[TEST_PATH_SIZE];

    test_ok(log_sys_open(&settings, &world->err), &world->err);
    log_error("longer than four");
    flush();
    test_path(path, world->dir, "pgbaton.log.1");
    assert_false(file_exists(path));
    log_error("and again");
    assert_content(world, world->log, "and again\n");
    assert_content(world, path, "longer than four\n");
}

static void test_without_a_size_or_a_number_nothing_is_rotated(void **state)
{
    struct world *world = *state;
    static const struct {
        uint64_t size;
        uint32_t num;
    } cases[] = {
        {0, 3},
        {4, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct log_settings settings = {
            .format = "%(message)s",
            .dir = world->dir,
            .file_size = cases[i].size,
            .file_num = cases[i].num,
        };

        test_ok(log_sys_open(&settings, &world->err), &world->err);
        log_error("one");
        log_error("two");
        assert_content(world, world->log, "one\ntwo\n");
        test_ok(file_remove(world->log, &world->err), &world->err);
    }
}

static void test_the_longest_line_still_ends_in_a_line_feed(void **state)
{
    struct world *world = *state;
    char longer[5000];
    char data[8192];
    size_t length = 0;

    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    open_log(world, "%(message)s%(message)s");
    log_error("%s", longer);
    flush();
    test_ok(file_read(world->log, data, sizeof data, &length, &world->err), &world->err);
    assert_int_equal(data[length - 1], '\n');
    assert_int_equal(strchr(data, '\n') - data, length - 1);
}

/* Standard error goes to a file for the time of the call. */
static void capture_error(const char *path, const char *message)
{
    const int saved = dup(STDERR_FILENO);
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(saved != -1 && file != -1);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    log_error("%s", message);
    flush();
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    (void)close(saved);
    (void)close(file);
}

static void test_without_a_directory_lines_go_to_standard_error(void **state)
{
    const struct log_settings settings = {.format = "%(levelname)s: %(message)s"};
    struct world *world = *state;
    char path[TEST_PATH_SIZE];

    test_path(path, world->dir, "stderr");
    test_ok(log_sys_open(&settings, &world->err), &world->err);
    capture_error(path, "somebody must act");
    assert_content(world, path, "ERROR: somebody must act\n");
}

static void test_a_line_the_file_does_not_take_goes_to_standard_error(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];

    /* A device that is always full stands in for the file. */
    assert_int_equal(symlink("/dev/full", world->log), 0);
    test_path(path, world->dir, "stderr");
    {
        const struct log_settings settings = {
            .format = "%(message)s",
            .dir = world->dir,
            .mode = 0666, /* What the device has: opening the log sets it. */
        };

        test_ok(log_sys_open(&settings, &world->err), &world->err);
    }
    capture_error(path, "no space");
    assert_content(world, path, "no space\n");
}

#define THREADS 4
#define RECORDS 500

static void *write_records(void *unused)
{
    (void)unused;
    for (int i = 0; i < RECORDS; i++) {
        log_error("0123456789");
    }
    return NULL;
}

/* The thread of the store logs too; no line may be torn or lost, not even by a rotation. */
static void test_threads_do_not_tear_each_others_lines(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {
        .format = "%(message)s",
        .dir = world->dir,
        .file_size = 1100,
        .file_num = 40,
    };
    pthread_t threads[THREADS];
    uint32_t found = 0;

    test_ok(log_sys_open(&settings, &world->err), &world->err);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_records, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    flush();
    for (uint32_t number = 0; number <= 40; number++) {
        char name[64];
        char path[TEST_PATH_SIZE];
        char data[2048];

        (void)snprintf(name, sizeof name, number == 0 ? "pgbaton.log" : "pgbaton.log.%u", number);
        test_path(path, world->dir, name);
        if (!file_exists(path)) {
            continue;
        }
        test_ok(file_read(path, data, sizeof data, NULL, &world->err), &world->err);
        for (char *line = data; *line != '\0'; line += 11) {
            assert_memory_equal(line, "0123456789\n", 11);
            found++;
        }
    }
    assert_int_equal(found, THREADS * RECORDS);
}

/* A settings file that is refused leaves the log as it was. */
static void test_a_wrong_format_is_refused_and_the_old_one_stays(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {.format = "%(colour)s", .dir = world->dir};

    open_log(world, "%(message)s");
    assert_int_equal(log_sys_open(&settings, &world->err), STATUS_INVALID);
    log_info("the old one stays");
    assert_content(world, world->log, "the old one stays\n");
}

static void test_json_lines_have_the_static_fields_too(void **state)
{
    struct world *world = *state;
    const struct log_settings settings = {
        .format = "%(levelname)s%(message)s",
        .json = true,
        .static_fields = "{\"app\":\"db\"}",
        .dir = world->dir,
    };

    test_ok(log_sys_open(&settings, &world->err), &world->err);
    log_error("an \"a\"");
    log_error("b");
    assert_content(
        world, world->log,
        "{\"levelname\":\"ERROR\",\"message\":\"an \\\"a\\\"\",\"app\":\"db\"}\n"
        "{\"levelname\":\"ERROR\",\"message\":\"b\",\"app\":\"db\"}\n");
}

/* --- A log that takes nothing: standard error is a pipe that is full, and nobody reads it. --- */

struct stuck {
    int saved; /* What standard error was. */
    int reader;
    size_t filled;
};

static void get_stuck(struct stuck *stuck, struct world *world)
{
    static const struct log_settings settings = {.format = "%(message)s"};
    int ends[2];
    ssize_t count;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while ((count = write(ends[1], "#", 1)) == 1) {
        stuck->filled++;
    }
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    stuck->reader = ends[0];
    stuck->saved = dup(STDERR_FILENO);
    assert_int_not_equal(stuck->saved, -1);
    test_ok(log_sys_open(&settings, &world->err), &world->err);
    flush();
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    (void)close(ends[1]);
}

/* Reads a line, with its line feed, of what the log has to say: not of the filling. */
static void read_line(struct stuck *stuck, char *line, size_t size)
{
    size_t length = 0;
    char byte;

    do {
        assert_int_equal(read(stuck->reader, &byte, 1), 1);
        if (stuck->filled > 0) {
            stuck->filled--;
        } else {
            assert_true(length + 1 < size);
            line[length++] = byte;
        }
    } while (byte != '\n');
    line[length] = '\0';
}

static void get_free(struct stuck *stuck)
{
    flush();
    assert_int_equal(dup2(stuck->saved, STDERR_FILENO), STDERR_FILENO);
    (void)close(stuck->saved);
    (void)close(stuck->reader);
}

static void *log_one_line(void *unused)
{
    (void)unused;
    log_info("the first of them");
    return NULL;
}

static void test_who_logs_does_not_wait_for_a_log_that_is_stuck(void **state)
{
    struct world *world = *state;
    struct stuck stuck = {0};
    struct timespec deadline;
    char line[256];
    pthread_t thread;

    get_stuck(&stuck, world);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &deadline), 0);
    deadline.tv_sec += DEADLINE_MS / 1000;
    assert_int_equal(pthread_create(&thread, NULL, log_one_line, NULL), 0);
    assert_int_equal(pthread_timedjoin_np(thread, NULL, &deadline), 0);
    assert_false(log_sys_flush(1));
    read_line(&stuck, line, sizeof line);
    assert_string_equal(line, "the first of them\n");
    get_free(&stuck);
}

static void test_a_critical_line_is_waited_for_but_not_for_long(void **state)
{
    struct world *world = *state;
    struct stuck stuck = {0};
    char line[256];
    uint64_t begun_ms;

    get_stuck(&stuck, world);
    begun_ms = clock_boot_ms();
    log_critical("that was it");
    assert_true(clock_boot_ms() - begun_ms < DEADLINE_MS);
    read_line(&stuck, line, sizeof line);
    assert_string_equal(line, "that was it\n");
    get_free(&stuck);
    log_critical("written before the process can end");
    assert_true(log_sys_flush(0));
}

/*
 * 5,000 lines of 100 bytes are more than both buffers and the pipe can hold. The count stands
 * where the lines are missing: once or twice, as the writer may begin when some are lost already.
 */
static void test_lines_that_are_lost_are_counted(void **state)
{
    const unsigned int lines = 5000;
    struct world *world = *state;
    struct stuck stuck = {0};
    unsigned int seen = 0;
    unsigned int lost = 0;
    const uint64_t lost_before = log_sys_lost();

    get_stuck(&stuck, world);
    for (unsigned int i = 0; i < lines; i++) {
        log_info("%099u", i);
    }
    while (seen < lines) {
        char line[256];
        unsigned int number;

        read_line(&stuck, line, sizeof line);
        number = (unsigned int)strtoul(line, NULL, 10);
        if (strstr(line, " lines of the log were lost here") != NULL) {
            lost += number;
            seen += number;
        } else {
            assert_int_equal(number, seen);
            seen++;
        }
    }
    assert_int_equal(seen, lines);
    assert_true(lost > 0 && lost < lines);
    assert_int_equal(log_sys_lost() - lost_before, lost);
    get_free(&stuck);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_the_default_format_is_time_level_message),
        TEST(test_a_directory_that_cannot_be_used_is_refused),
        TEST(test_lines_are_appended_and_the_level_is_kept),
        TEST(test_the_mode_is_the_one_asked_for),
        TEST(test_files_are_rotated_before_they_grow_too_big),
        TEST(test_the_size_of_a_file_that_was_there_counts),
        TEST(test_a_line_longer_than_the_file_gets_one_of_its_own),
        TEST(test_without_a_size_or_a_number_nothing_is_rotated),
        TEST(test_the_longest_line_still_ends_in_a_line_feed),
        TEST(test_without_a_directory_lines_go_to_standard_error),
        TEST(test_a_line_the_file_does_not_take_goes_to_standard_error),
        TEST(test_threads_do_not_tear_each_others_lines),
        TEST(test_a_wrong_format_is_refused_and_the_old_one_stays),
        TEST(test_json_lines_have_the_static_fields_too),
        TEST(test_who_logs_does_not_wait_for_a_log_that_is_stuck),
        TEST(test_a_critical_line_is_waited_for_but_not_for_long),
        TEST(test_lines_that_are_lost_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
