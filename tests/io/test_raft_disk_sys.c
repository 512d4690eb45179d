#include "raft/disk_sys.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/lib/test.h"

static void do_nothing(void *argument)
{
    (void)argument;
}

static void end_by(void *argument)
{
    const int *number = argument;

    (void)signal(*number, SIG_DFL); /* Not a sanitizer's report. */
    (void)raise(*number);
}

static void end_with(void *argument)
{
    const int *code = argument;

    _exit(*code);
}

static void test_work_that_returns_is_well(void **state)
{
    struct err err;

    (void)state;
    test_ok(disk_try_apart(do_nothing, NULL, &err), &err);
}

static void test_an_end_is_told_with_its_likely_cause(void **state)
{
    static const struct {
        int number;
        enum status status;
        const char *text;
    } cases[] = {
        {SIGBUS,  STATUS_CORRUPT, "ended the reader with signal 7"                               },
        {SIGSEGV, STATUS_CORRUPT, "ended the reader with signal 11"                              },
        {SIGABRT, STATUS_CORRUPT, "ended the reader with signal 6"                               },
        {SIGXCPU, STATUS_CORRUPT, "ended the reader with signal 24"                              },
        {SIGALRM, STATUS_TIMEOUT, "within 60 s; the disk may be slow"                            },
        {SIGKILL, STATUS_IO,      "for want of memory, ended the process that reads it: signal 9"},
        {SIGTERM, STATUS_IO,      "signal 15 (Terminated)"                                       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int number = cases[i].number;
        struct err err;

        assert_int_equal(disk_try_apart(end_by, &number, &err), cases[i].status);
        if (strstr(err.text, cases[i].text) == NULL) {
            fail_msg("signal %d: %s", number, err.text);
        }
    }
}

static void test_work_that_exits_met_something_damaged(void **state)
{
    struct err err;
    int code = 3;

    (void)state;
    assert_int_equal(disk_try_apart(end_with, &code, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "code 3"));
}

/* Exits with what is missing. */
static void look_for_bounds(void *argument)
{
    struct rlimit cpu = {0};
    struct rlimit core = {0};
    int death_signal = 0;

    (void)argument;
    if (alarm(0) == 0) {
        _exit(1);
    }
    if (getrlimit(RLIMIT_CPU, &cpu) == -1 || cpu.rlim_cur == RLIM_INFINITY) {
        _exit(2);
    }
    if (getrlimit(RLIMIT_CORE, &core) == -1 || core.rlim_cur != 0) {
        _exit(3);
    }
    if (prctl(PR_GET_PDEATHSIG, &death_signal) == -1 || death_signal != SIGKILL) {
        _exit(4);
    }
}

static void test_the_child_has_an_end_whatever_it_meets(void **state)
{
    struct err err;

    (void)state;
    test_ok(disk_try_apart(look_for_bounds, NULL, &err), &err);
}

/* A process has nothing at its address 0, so reading its memory from there fails. */
static void test_a_file_that_cannot_be_read_to_its_end_is_told(void **state)
{
    struct err err;

    (void)state;
    test_ok(disk_read_through("/proc/self", "status", &err), &err);
    assert_int_equal(disk_read_through("/proc/self", "mem", &err), STATUS_IO);
    assert_non_null(strstr(err.text, "could not read a file: Input/output error"));
    assert_int_equal(disk_read_through("/proc/self", "no such file", &err), STATUS_IO);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_that_returns_is_well),
        cmocka_unit_test(test_an_end_is_told_with_its_likely_cause),
        cmocka_unit_test(test_work_that_exits_met_something_damaged),
        cmocka_unit_test(test_the_child_has_an_end_whatever_it_meets),
        cmocka_unit_test(test_a_file_that_cannot_be_read_to_its_end_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
