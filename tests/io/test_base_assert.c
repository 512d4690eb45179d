#include "base/assert.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

/* Runs `body` in a child with standard error in a pipe; what it said is in `said`. */
static int run_child(void (*body)(void), char *said, size_t size)
{
    const struct rlimit no_core = {0};
    ssize_t count;
    size_t length = 0;
    int ends[2];
    int status = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child != -1);
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it. */
        (void)dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    (void)close(ends[1]);
    while (length < size - 1 && (count = read(ends[0], &said[length], size - 1 - length)) > 0) {
        length += (size_t)count;
    }
    said[length] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_true_things(void)
{
    ASSERT(1 + 1 == 2);
}

static void assert_false_things(void)
{
    ASSERT(1 + 1 == 3);
}

static void reach_the_unreachable(void)
{
    UNREACHABLE();
}

static void test_what_holds_is_passed_in_silence(void **state)
{
    char said[256];
    const int status = run_child(assert_true_things, said, sizeof said);

    (void)state;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(said, "");
}

static void test_what_does_not_hold_ends_the_process_and_says_where(void **state)
{
    char said[256];
    const int status = run_child(assert_false_things, said, sizeof said);

    (void)state;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, __FILE__));
    assert_non_null(strstr(said, "assertion failed: 1 + 1 == 3\n"));
}

static void test_the_unreachable_ends_the_process(void **state)
{
    char said[256];
    const int status = run_child(reach_the_unreachable, said, sizeof said);

    (void)state;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, "unreachable"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_holds_is_passed_in_silence),
        cmocka_unit_test(test_what_does_not_hold_ends_the_process_and_says_where),
        cmocka_unit_test(test_the_unreachable_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
