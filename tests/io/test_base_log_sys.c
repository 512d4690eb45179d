#include "base/log_sys.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/text.h"
#include "tests/lib/test.h"

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

static void test_every_field_and_width_is_known(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *format;
        const char *want;
    } cases[] = {
        {"%(message)s",                   "stop\n"            },
        {"%(levelname)s %(message)s",     "ERROR stop\n"      },
        {"%(levelname)-8s|%(message)6s|", "ERROR   |  stop|\n"},
        {"%(name)s: %(message)s",         "pgbaton: stop\n"   },
        {"100%% %(message)s",             "100% stop\n"       },
        {"no field",                      "no field\n"        },
        {"",                              "\n"                },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        open_log(world, cases[i].format);
        log_error("stop");
        assert_content(world, world->log, cases[i].want);
        test_ok(file_remove(world->log, &world->err), &world->err);
    }
}

static void test_the_process_is_a_number(void **state)
{
    struct world *world = *state;
    char want[64];

    (void)snprintf(want, sizeof want, "%ld %ld\n", (long)getpid(), (long)getpid());
    open_log(world, "%(process)d %(process)s");
    log_error("x");
    assert_content(world, world->log, want);
}

static void test_formats_that_are_not_understood_are_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *format;
        const char *want;
    } cases[] = {
        {"%(colour)s",      "no field at \"%(colour)s\""},
        {"%(message",       "no field at \"%(message\"" },
        {"%()s",            "no field at \"%()s\""      },
        {"%(message)",      "expected \"s\" at \"\""    },
        {"%(message)d",     "expected \"s\" at \"d\""   },
        {"%(message)9999s", "expected \"s\" at \"9s\""  },
        {"50% of it",       "at \"% of it\""            },
        {"%",               "at \"%\""                  },
        {"%s",              "at \"%s\""                 },
    };

    open_log(world, "%(message)s");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct log_settings settings = {.format = cases[i].format, .dir = world->dir};

        assert_int_equal(log_sys_open(&settings, &world->err), STATUS_INVALID);
        assert_non_null(strstr(world->err.text, cases[i].want));
    }
    log_info("the old one stays");
    assert_content(world, world->log, "the old one stays\n");
}

static void test_formats_of_too_many_parts_are_refused(void **state)
{
    struct world *world = *state;
    char format[128];
    const struct log_settings settings = {.format = format, .dir = world->dir};

    memset(format, '%', sizeof format);
    format[64] = '\0'; /* Each two of them are one part. */
    test_ok(log_sys_open(&settings, &world->err), &world->err);
    format[64] = '%';
    format[66] = '\0';
    assert_int_equal(log_sys_open(&settings, &world->err), STATUS_INVALID);
    assert_non_null(strstr(world->err.text, "more than 32 parts"));
}

static void test_long_formats_are_refused(void **state)
{
    struct world *world = *state;
    char format[600];
    const struct log_settings settings = {.format = format, .dir = world->dir};

    memset(format, 'f', sizeof format);
    format[sizeof format - 1] = '\0';
    assert_int_equal(log_sys_open(&settings, &world->err), STATUS_INVALID);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_the_default_format_is_time_level_message),
        TEST(test_every_field_and_width_is_known),
        TEST(test_the_process_is_a_number),
        TEST(test_formats_that_are_not_understood_are_refused),
        TEST(test_formats_of_too_many_parts_are_refused),
        TEST(test_long_formats_are_refused),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
