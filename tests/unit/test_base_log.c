#include "base/log.h"

#include <string.h>

#include "base/text.h"
#include "tests/lib/test.h"

static char last_message[8192];
static enum log_level last_level;
static uint32_t record_count;

static void remember(enum log_level level, const char *message)
{
    text_copy_cut(last_message, sizeof last_message, message);
    last_level = level;
    record_count++;
}

static int set_up(void **state)
{
    (void)state;
    log_set_sink(remember);
    log_set_level(LOG_DEBUG);
    last_message[0] = '\0';
    record_count = 0;
    return 0;
}

static void test_a_record_reaches_the_sink(void **state)
{
    (void)state;
    log_warning("lag=%d of \"%s\"", 7, "n2");
    assert_int_equal(last_level, LOG_WARNING);
    assert_string_equal(last_message, "lag=7 of \"n2\"");
}

static void test_records_below_the_level_are_dropped(void **state)
{
    (void)state;
    log_set_level(LOG_WARNING);
    log_debug("no");
    log_info("no");
    assert_int_equal(record_count, 0);
    assert_false(log_enabled(LOG_INFO));
    log_warning("yes");
    log_error("yes");
    log_critical("yes");
    assert_int_equal(record_count, 3);
    assert_true(log_enabled(LOG_WARNING));
}

static void test_a_record_is_one_line(void **state)
{
    static const struct {
        const char *message;
        const char *want;
    } cases[] = {
        {"plain",                   "plain"                },
        {"connection refused\n",    "connection refused"   },
        {"two\nlines\n\n",          "two lines"            },
        {"a\tb",                    "a\tb"                 },
        {"forged\r\n2024 ERROR: x", "forged  2024 ERROR: x"},
        {"\x1b[31mred\x7f",         " [31mred "            },
        {"gr\xc3\xbc\xc3\x9f"
         "e",              "gr\xc3\xbc\xc3\x9f"
         "e"                         }, /* UTF-8 stays. */
        {"\n",                      ""                     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        log_info("%s", cases[i].message);
        assert_string_equal(last_message, cases[i].want);
    }
}

static void test_long_records_are_cut(void **state)
{
    char longer[8000];

    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    log_info("%s", longer);
    assert_int_equal(strlen(last_message), 4095);
}

static void test_levels_have_names_and_names_have_levels(void **state)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
    enum log_level level;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_string_equal(log_level_name((enum log_level)i), names[i]);
        assert_true(log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    assert_true(log_level_parse("Warning", &level));
    assert_int_equal(level, LOG_WARNING);
}

static void test_other_names_are_no_levels(void **state)
{
    static const char *const names[] = {"", "INF", "INFOS", " INFO", "loud"};
    enum log_level level = LOG_ERROR;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_false(log_level_parse(names[i], &level));
        assert_int_equal(level, LOG_ERROR);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_record_reaches_the_sink, set_up),
        cmocka_unit_test_setup(test_records_below_the_level_are_dropped, set_up),
        cmocka_unit_test_setup(test_a_record_is_one_line, set_up),
        cmocka_unit_test_setup(test_long_records_are_cut, set_up),
        cmocka_unit_test_setup(test_levels_have_names_and_names_have_levels, set_up),
        cmocka_unit_test_setup(test_other_names_are_no_levels, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
