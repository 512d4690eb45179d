#include "base/log_line_json.h"

#include <string.h>

#include "base/log.h"
#include "tests/lib/test.h"

static void print(
    char *line, size_t size, const char *shape, const char *message, const char *static_fields)
{
    const struct log_record record = {
        .time = "2024-05-06 07:08:09,123",
        .level = "ERROR",
        .process = 4711,
        .message = message,
    };
    struct log_format format;
    struct text text;
    struct err err;

    test_ok(log_format_parse(&format, shape, &err), &err);
    text_init(&text, line, size);
    log_line_add_json(&format, &record, static_fields, &text);
    assert_false(text_overflowed(&text));
}

static void test_a_line_is_an_object_with_the_fields_of_the_format(void **state)
{
    static const struct {
        const char *format;
        const char *message;
        const char *static_fields;
        const char *want;
    } cases[] = {
        {LOG_FORMAT_DEFAULT,         "stop",              "{}",
         "{\"asctime\":\"2024-05-06 07:08:09,123\",\"levelname\":\"ERROR\",\"message\":\"stop\"}"                                 },
        {"%(process)d-%(name)s",     "stop",              "{}",                       "{\"process\":4711,\"name\":\"pgbaton\"}"   },
        {"%(message)s",              "stop",              "{\"app\":\"db\",\"n\":1}",
         "{\"message\":\"stop\",\"app\":\"db\",\"n\":1}"                                                                          },
        {"%(message)s",              "stop",              "{\"message\":\"mine\"}",   "{\"message\":\"stop\"}"                    },
        {"%(message)-9s%(message)s", "stop",              "{}",                       "{\"message\":\"stop\"}"                    },
        {"no field",                 "stop",              "{}",                       "{}"                                        },
        {"%(message)s",              "say \"a\\b\"\tnow", "{}",                       "{\"message\":\"say \\\"a\\\\b\\\"\\tnow\"}"},
        {"%(message)s",
         "Stra\xc3\x9f"
         "e",                                             "{}",
         "{\"message\":\"Stra\xc3\x9f"
         "e\"}"                                                                                                                   },
        {"%(message)s",
         "Stra\xdf"
         "e, Stra\xc3",                                   "{}",                       "{\"message\":\"Stra?e, Stra?\"}"           },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char line[512];

        print(line, sizeof line, cases[i].format, cases[i].message, cases[i].static_fields);
        assert_string_equal(line, cases[i].want);
    }
}

/* What log_sys.c has room for. */
static void test_the_longest_message_is_whole_when_all_of_it_is_escaped(void **state)
{
    char message[LOG_MESSAGE_SIZE];
    char line[2 * LOG_MESSAGE_SIZE + 1024];

    (void)state;
    memset(message, '"', sizeof message);
    message[sizeof message - 1] = '\0';
    print(line, sizeof line, "%(message)s", message, "{}");
    assert_int_equal(strlen(line), 2 * (sizeof message - 1) + strlen("{\"message\":\"\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_an_object_with_the_fields_of_the_format),
        cmocka_unit_test(test_the_longest_message_is_whole_when_all_of_it_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
