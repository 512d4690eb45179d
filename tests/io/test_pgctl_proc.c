/*
 * proc_sys.c with real processes: this program, copied under the names that PostgreSQL's may have.
 *
 * Called with "--wait" it is one of them.
 */
#include "pgctl/proc_sys.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/lib/test.h"

#define PATIENCE_MS 10000

struct world {
    char data_dir[PATH_MAX];
    char bin_dir[TEST_PATH_SIZE];
    char dir[TEST_PATH_SIZE];
    pid_t pid; /* 0: none is left. */
};

static int set_up(void **state)
{
    static struct world world;
    char path[TEST_PATH_SIZE];

    world = (struct world){0};
    test_dir_make(world.dir);
    test_path(world.bin_dir, world.dir, "bin");
    test_path(path, world.dir, "data");
    assert_int_equal(mkdir(world.bin_dir, 0700), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_non_null(realpath(path, world.data_dir));
    *state = &world;
    return 0;
}

static void end_child(struct world *world)
{
    if (world->pid != 0) {
        (void)kill(world->pid, SIGKILL);
        (void)waitpid(world->pid, NULL, 0);
        world->pid = 0;
    }
}

static int tear_down(void **state)
{
    struct world *world = *state;

    end_child(world);
    test_dir_remove(world->dir);
    return 0;
}

/* Makes a copy of this program, and returns its path. */
static const char *copy_program(struct world *world, const char *name)
{
    static char path[TEST_PATH_SIZE];
    const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char bytes[65536];
    ssize_t count;
    int to;

    test_path(path, world->bin_dir, name);
    to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(from != -1 && to != -1);
    while ((count = read(from, bytes, sizeof bytes)) > 0) {
        assert_int_equal(write(to, bytes, (size_t)count), count);
    }
    assert_int_equal(close(to), 0);
    (void)close(from);
    return path;
}

/* Returns when the program runs: exec has closed the pipe then. */
static void start(struct world *world, const char *program, const char *title, const char *dir)
{
    int fds[2];
    char byte;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    world->pid = fork();
    assert_int_not_equal(world->pid, -1);
    if (world->pid == 0) {
        if (chdir(dir) == 0) {
            (void)execl(program, title, "--wait", (char *)NULL);
        }
        (void)!write(fds[1], "x", 1);
        _exit(127);
    }
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 0);
    (void)close(fds[0]);
}

/* Its end is awaited as a descriptor that becomes readable. */
static bool has_ended(pid_t pid)
{
    struct pollfd fd = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    const bool ended = poll(&fd, 1, PATIENCE_MS) == 1;

    (void)close(fd.fd);
    return ended;
}

static void assert_ended_by_sigkill(struct world *world)
{
    int status;

    assert_true(has_ended(world->pid));
    assert_int_equal(waitpid(world->pid, &status, WNOHANG), world->pid);
    world->pid = 0;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_every_process_of_a_server_is_ended_whatever_became_of_its_program(void **state)
{
    static const struct {
        const char *name;
        const char *title;
        const char *known_as; /* In the settings. */
        bool replaced;
    } cases[] = {
        {"postgres",     "/usr/lib/postgresql/bin/postgres", "postgres",     false},
        {"postgres",     "/usr/lib/postgresql/bin/postgres", "postgres",     true },
        {"edb-postgres", "edb-postgres",                     "edb-postgres", false},
        {"edb-postgres", "edb-postgres",                     "edb-postgres", true },
        {"wrapped",      "postgres: main: alice db [local]", "postgres",     false},
        {"wrapped",      "postgres: checkpointer",           "postgres",     true },
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *program = copy_program(world, cases[i].name);

        start(world, program, cases[i].title, world->data_dir);
        if (cases[i].replaced) {
            assert_int_equal(unlink(program), 0);
        }
        assert_true(proc_end_all(world->data_dir, cases[i].known_as, PATIENCE_MS));
        assert_ended_by_sigkill(world);
    }
}

static void test_others_are_left_alone(void **state)
{
    struct world *world = *state;
    const struct {
        const char *name;
        const char *title;
        const char *dir;
    } cases[] = {
        {"psql",     "psql",                  world->data_dir}, /* Somebody looks around there. */
        {"postgres", "postgres",              world->dir     }, /* Another server. */
        {"postgres", "postgres: startup",     world->bin_dir },
        {"psql",     "my postgres: a script", world->data_dir},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        start(world, copy_program(world, cases[i].name), cases[i].title, cases[i].dir);
        assert_true(proc_end_all(world->data_dir, "postgres", PATIENCE_MS));
        assert_int_equal(waitpid(world->pid, NULL, WNOHANG), 0);
        end_child(world);
    }
}

static void test_a_link_tells_what_was_there_before_it_was_replaced(void **state)
{
    struct world *world = *state;
    const char *program = copy_program(world, "postgres");
    char real[PATH_MAX];
    char target[PATH_MAX];

    assert_non_null(realpath(program, real));
    start(world, program, "postgres", world->data_dir);
    assert_true(proc_read_link(world->pid, "exe", target));
    assert_string_equal(target, real);
    assert_int_equal(unlink(program), 0);
    assert_true(proc_read_link(world->pid, "exe", target));
    assert_string_equal(target, real);
    assert_true(proc_read_link(world->pid, "cwd", target));
    assert_string_equal(target, world->data_dir);

    /* A zombie has neither. */
    assert_int_equal(kill(world->pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)world->pid, NULL, WEXITED | WNOWAIT), 0);
    assert_false(proc_read_link(world->pid, "exe", target));
    assert_false(proc_read_link(world->pid, "cwd", target));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_process_of_a_server_is_ended_whatever_became_of_its_program),
        TEST(test_others_are_left_alone),
        TEST(test_a_link_tells_what_was_there_before_it_was_replaced),
    };

    if (argc == 2 && text_equal(argv[1], "--wait")) {
        for (;;) {
            (void)pause();
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
