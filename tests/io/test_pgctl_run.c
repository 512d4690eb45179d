/* run_uv.c with real programs. */
#include "pgctl/run_uv.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock_sys.h"
#include "base/text.h"
#include "base/time.h"
#include "tests/lib/test.h"

#define PATIENCE_MS 20000

struct outcome {
    bool done;
    struct run_result result;
    char output[RUN_OUTPUT_SIZE];
    char errors[RUN_OUTPUT_SIZE];
    char lines[256]; /* Each in brackets. */
    uint64_t took_ms;
};

static uv_loop_t loop;
static struct outcome outcome;

static void on_line(void *owner, const char *line)
{
    struct outcome *out = owner;
    const size_t length = strlen(out->lines);

    (void)snprintf(&out->lines[length], sizeof out->lines - length, "[%s]", line);
}

static void on_done(void *owner, const struct run_result *result)
{
    struct outcome *out = owner;

    assert_false(out->done);
    out->done = true;
    out->result = *result;
    text_copy_cut(out->output, sizeof out->output, result->output);
    text_copy_cut(out->errors, sizeof out->errors, result->errors);
    out->result.output = out->output;
    out->result.errors = out->errors;
}

static const struct run_events events = {.line = on_line, .done = on_done};

static void on_patience(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the program did not end");
}

/* Runs to the end; all handles are closed then, or the loop would go on. */
static void finish(struct run *run, bool kills)
{
    const uint64_t began_ms = clock_boot_ms();
    uv_timer_t patience;

    assert_int_equal(uv_timer_init(&loop, &patience), 0);
    assert_int_equal(uv_timer_start(&patience, on_patience, PATIENCE_MS, 0), 0);
    uv_unref((uv_handle_t *)&patience);
    assert_false(outcome.done); /* Never from within run_start(). */
    if (kills) {
        run_kill(run);
        run_kill(run); /* A second time changes nothing. */
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&patience, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(outcome.done);
    outcome.took_ms = time_since(clock_boot_ms(), began_ms);
}

static struct run *start(const struct run_spec *spec)
{
    memset(&outcome, 0, sizeof outcome);
    return run_start(&loop, spec, &events, &outcome);
}

static void run_shell(const char *command, uint64_t limit_ms, bool kills)
{
    static struct run_spec spec;

    run_spec_init(&spec);
    spec.limit_ms = limit_ms;
    run_spec_env(&spec, "RUN_TEST=from us");
    run_spec_shell(&spec, command);
    run_spec_arg(&spec, "%s", "it's $HOME");
    finish(start(&spec), kills);
}

static int open_loop(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

static int close_loop(void **state)
{
    (void)state;
    return uv_loop_close(&loop);
}

static void test_output_and_exit_code_come_back(void **state)
{
    (void)state;
    run_shell("echo to out; echo to err >&2; exit 3 #", 0, false);
    assert_int_equal(outcome.result.exit_code, 3);
    assert_string_equal(outcome.output, "to out\n");
    assert_string_equal(outcome.errors, "to err\n");
    assert_false(run_succeeded(&outcome.result));
}

static void test_arguments_and_environment_arrive_untouched(void **state)
{
    (void)state;
    run_shell("printf '%s|%s' \"$RUN_TEST\"", 0, false);
    assert_true(run_succeeded(&outcome.result));
    assert_string_equal(outcome.output, "from us|it's $HOME");
}

static void test_our_own_settings_do_not_reach_programs(void **state)
{
    (void)state;
    assert_int_equal(setenv("PATRONI_SECRET", "x", 1), 0);
    assert_int_equal(setenv("PGBATON_SECRET", "x", 1), 0);
    run_shell("env | grep -c _SECRET #", 0, false);
    assert_string_equal(outcome.output, "0\n");
}

static void test_the_daemons_capabilities_do_not_reach_programs(void **state)
{
    (void)state;
    if (!test_lend_capability()) {
        skip();
    }
    run_shell("grep CapAmb /proc/self/status #", 0, false);
    assert_string_equal(outcome.output, "CapAmb:\t0000000000000000\n");
    /* The guard is to have them, whenever it is started. */
    assert_int_equal(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_NICE, 0, 0), 1);
    assert_int_equal(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 0);
}

static void test_lines_come_as_they_are_written(void **state)
{
    (void)state;
    run_shell("printf 'a\\rb\\n\\nc' >&2 #", 0, false);
    assert_string_equal(outcome.lines, "[a][b]");
    assert_string_equal(outcome.errors, "a\rb\n\nc");
}

static void test_of_long_output_the_end_is_kept(void **state)
{
    (void)state;
    run_shell("seq 1 200000 #", 0, false);
    assert_true(run_succeeded(&outcome.result));
    assert_int_equal(strlen(outcome.output), RUN_OUTPUT_SIZE - 1);
    assert_true(text_ends_with(outcome.output, "199999\n200000\n"));
}

static void test_a_program_that_takes_too_long_is_ended(void **state)
{
    char text[128];

    (void)state;
    run_shell("echo waiting >&2; sleep 100 #", 100, false);
    assert_true(outcome.result.timed_out);
    run_explain(&outcome.result, text, sizeof text);
    assert_string_equal(text, "it took too long; last words: waiting");
    assert_true(outcome.took_ms < PATIENCE_MS / 2);
}

static void test_who_ignores_sigterm_is_killed_with_its_children(void **state)
{
    (void)state;
    run_shell("trap '' TERM; (trap '' TERM; sleep 100) & sleep 100; sleep 100 #", 0, true);
    assert_true(outcome.result.killed);
    assert_true(outcome.took_ms < PATIENCE_MS / 2);
}

static void test_a_descendant_that_keeps_the_pipe_is_not_waited_for(void **state)
{
    (void)state;
    run_shell("setsid sleep 5 & echo left #", 0, false);
    assert_true(run_succeeded(&outcome.result));
    assert_string_equal(outcome.output, "left\n");
    assert_true(outcome.took_ms < 4000);
}

static void test_a_program_that_is_not_there_is_a_result_too(void **state)
{
    static struct run_spec spec;
    char text[128];

    (void)state;
    run_spec_init(&spec);
    run_spec_arg(&spec, "/nowhere/to/be/found");
    finish(start(&spec), false);
    assert_int_equal(outcome.result.exit_code, 127);
    run_explain(&outcome.result, text, sizeof text);
    assert_string_equal(
        text, "could not start \"/nowhere/to/be/found\": no such file or directory");
}

static void test_a_command_line_that_does_not_fit_is_not_run_in_part(void **state)
{
    static struct run_spec spec;

    (void)state;
    run_spec_init(&spec);
    run_spec_arg(&spec, "/bin/true");
    for (int i = 0; i < RUN_ARGS_MAX; i++) {
        run_spec_arg(&spec, "%d", i);
    }
    assert_true(spec.overflow);
    finish(start(&spec), false);
    assert_int_equal(outcome.result.exit_code, 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_exit_code_come_back),
        cmocka_unit_test(test_arguments_and_environment_arrive_untouched),
        cmocka_unit_test(test_our_own_settings_do_not_reach_programs),
        cmocka_unit_test(test_the_daemons_capabilities_do_not_reach_programs),
        cmocka_unit_test(test_lines_come_as_they_are_written),
        cmocka_unit_test(test_of_long_output_the_end_is_kept),
        cmocka_unit_test(test_a_program_that_takes_too_long_is_ended),
        cmocka_unit_test(test_who_ignores_sigterm_is_killed_with_its_children),
        cmocka_unit_test(test_a_descendant_that_keeps_the_pipe_is_not_waited_for),
        cmocka_unit_test(test_a_program_that_is_not_there_is_a_result_too),
        cmocka_unit_test(test_a_command_line_that_does_not_fit_is_not_run_in_part),
    };

    return cmocka_run_group_tests(tests, open_loop, close_loop);
}
