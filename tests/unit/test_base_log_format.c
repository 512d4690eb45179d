#include "base/log_format.h"

#include <string.h>

#include "tests/lib/test.h"

static const struct log_record stop = {
    .time = "2024-05-06 07:08:09,123",
    .level = "ERROR",
    .process = 4711,
    .message = "stop",
};

static void test_every_field_and_width_is_known(void **state)
{
    static const struct {
        const char *format;
        const char *want;
    } cases[] = {
        {LOG_FORMAT_DEFAULT,              "2024-05-06 07:08:09,123 ERROR: stop"},
        {"%(message)s",                   "stop"                               },
        {"%(levelname)s %(message)s",     "ERROR stop"                         },
        {"%(levelname)-8s|%(message)6s|", "ERROR   |  stop|"                   },
        {"%(name)s: %(message)s",         "pgbaton: stop"                      },
        {"%(process)d %(process)6s",      "4711   4711"                        },
        {"100%% %(message)s",             "100% stop"                          },
        {"no field",                      "no field"                           },
        {"",                              ""                                   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct log_format format;
        char line[256];
        struct text text;
        struct err err;

        test_ok(log_format_parse(&format, cases[i].format, &err), &err);
        text_init(&text, line, sizeof line);
        log_format_add(&format, &stop, &text);
        assert_string_equal(line, cases[i].want);
    }
}

static void test_formats_that_are_not_understood_are_refused(void **state)
{
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

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct log_format format;
        struct err err;

        assert_int_equal(log_format_parse(&format, cases[i].format, &err), STATUS_INVALID);
        assert_non_null(strstr(err.text, cases[i].want));
    }
}

/* Each "%%" is a part. */
static void test_formats_of_too_many_parts_are_refused(void **state)
{
    struct log_format format;
    char percents[128];
    struct err err;

    (void)state;
    memset(percents, '%', sizeof percents);
    percents[2 * LOG_FORMAT_PARTS_MAX] = '\0';
    test_ok(log_format_parse(&format, percents, &err), &err);
    percents[2 * LOG_FORMAT_PARTS_MAX] = '%';
    percents[2 * LOG_FORMAT_PARTS_MAX + 2] = '\0';
    assert_int_equal(log_format_parse(&format, percents, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "more than 32 parts"));
}

static void test_long_formats_are_refused(void **state)
{
    struct log_format format;
    char longer[LOG_FORMAT_SIZE + 1];
    struct err err;

    (void)state;
    memset(longer, 'f', sizeof longer);
    longer[LOG_FORMAT_SIZE] = '\0';
    assert_int_equal(log_format_parse(&format, longer, &err), STATUS_INVALID);
    longer[LOG_FORMAT_SIZE - 1] = '\0';
    test_ok(log_format_parse(&format, longer, &err), &err);
}

/* As when the settings of a daemon are read again. */
static void test_a_copy_does_not_need_its_original(void **state)
{
    struct log_format format;
    struct log_format copy;
    char line[64];
    struct text text;
    struct err err;

    (void)state;
    test_ok(log_format_parse(&format, "<%(message)s>", &err), &err);
    copy = format;
    memset(&format, 'x', sizeof format);
    text_init(&text, line, sizeof line);
    log_format_add(&copy, &stop, &text);
    assert_string_equal(line, "<stop>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_and_width_is_known),
        cmocka_unit_test(test_formats_that_are_not_understood_are_refused),
        cmocka_unit_test(test_formats_of_too_many_parts_are_refused),
        cmocka_unit_test(test_long_formats_are_refused),
        cmocka_unit_test(test_a_copy_does_not_need_its_original),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
