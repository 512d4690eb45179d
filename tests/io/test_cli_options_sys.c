#include "cli/options_sys.h"

#include <string.h>

#include "tests/lib/test.h"

#define WORDS_MAX 80

struct values {
    bool force;
    const char *role;
    struct options_list set;
};

/* Parses words that are separated by single spaces. */
static enum options_result parse(
    const char *line, bool stop_early, struct values *values, char *words[], int *count, int *first)
{
    static char copy[1024];
    const struct options_spec specs[] = {
        {"force", 'f', &values->force, NULL,          NULL        },
        {"role",  'r', NULL,           &values->role, NULL        },
        {"set",   0,   NULL,           NULL,          &values->set},
    };
    char *rest = copy;

    assert_true(strlen(line) < sizeof copy);
    memcpy(copy, line, strlen(line) + 1);
    *values = (struct values){.force = false};
    for (*count = 0; rest != NULL; (*count)++) {
        assert_true(*count < WORDS_MAX);
        words[*count] = strsep(&rest, " ");
    }
    words[*count] = NULL;
    return options_parse(*count, words, specs, ARRAY_SIZE(specs), stop_early, first);
}

static void test_values_go_where_the_table_says(void **state)
{
    static const char *const lines[] = {
        "x --force --role any --set a=1 --set b=2 one two",
        "x one -f -r any two --set=a=1 --set=b=2",
        "x -fr any --set a=1 --set b=2 -- one two",
        "x --ro any --fo --set a=1 one --set b=2 two",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct values values;
        char *words[WORDS_MAX + 1];
        int count;
        int first;

        assert_int_equal(parse(lines[i], false, &values, words, &count, &first), OPTIONS_OK);
        assert_true(values.force);
        assert_string_equal(values.role, "any");
        assert_int_equal(values.set.count, 2);
        assert_string_equal(values.set.values[0], "a=1");
        assert_string_equal(values.set.values[1], "b=2");
        assert_int_equal(count - first, 2);
        assert_string_equal(words[first], "one");
        assert_string_equal(words[first + 1], "two");
    }
}

static void test_options_of_a_command_are_left_for_the_command(void **state)
{
    struct values values;
    char *words[WORDS_MAX + 1];
    int count;
    int first;

    (void)state;
    assert_int_equal(
        parse("x -r any list -f --role all", true, &values, words, &count, &first), OPTIONS_OK);
    assert_string_equal(values.role, "any");
    assert_false(values.force);
    assert_string_equal(words[first], "list");
    assert_string_equal(words[first + 1], "-f");
}

static void test_help_and_mistakes_are_told_apart(void **state)
{
    static const struct {
        const char *line;
        enum options_result want;
    } cases[] = {
        {"x",             OPTIONS_OK   },
        {"x --help",      OPTIONS_HELP },
        {"x one --help",  OPTIONS_HELP },
        {"x --none",      OPTIONS_WRONG},
        {"x -z",          OPTIONS_WRONG},
        {"x --role",      OPTIONS_WRONG},
        {"x --force=yes", OPTIONS_WRONG},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct values values;
        char *words[WORDS_MAX + 1];
        int count;
        int first;

        assert_int_equal(
            parse(cases[i].line, false, &values, words, &count, &first), cases[i].want);
    }
}

static void test_a_list_that_is_too_long_is_refused(void **state)
{
    char line[1024] = "x";
    struct values values;
    char *words[WORDS_MAX + 1];
    int count;
    int first;

    (void)state;
    for (size_t i = 0; i < OPTIONS_LIST_MAX; i++) {
        memcpy(line + strlen(line), " --set=a", sizeof " --set=a");
    }
    assert_int_equal(parse(line, false, &values, words, &count, &first), OPTIONS_OK);
    assert_int_equal(values.set.count, OPTIONS_LIST_MAX);
    memcpy(line + strlen(line), " --set=a", sizeof " --set=a");
    assert_int_equal(parse(line, false, &values, words, &count, &first), OPTIONS_WRONG);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_go_where_the_table_says),
        cmocka_unit_test(test_options_of_a_command_are_left_for_the_command),
        cmocka_unit_test(test_help_and_mistakes_are_told_apart),
        cmocka_unit_test(test_a_list_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
