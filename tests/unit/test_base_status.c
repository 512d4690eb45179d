#include "base/status.h"

#include <string.h>

#include "tests/lib/test.h"

static void test_every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
    assert_string_equal(status_name(STATUS_OK), "OK");
    assert_string_equal(status_name(STATUS_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(status_text(STATUS_FULL), "no space left");
    assert_string_equal(status_text(STATUS_NOT_FOUND), "there is no such thing");
}

static void test_err_says_what_happened_and_where(void **state)
{
    struct err err;
    const int line = __LINE__ + 1;
    const enum status status = ERR(&err, TIMEOUT, "no answer from \"%s\" in %d ms", "n2", 500);

    (void)state;
    assert_int_equal(status, STATUS_TIMEOUT);
    assert_int_equal(err.status, STATUS_TIMEOUT);
    assert_int_equal(err.line, line);
    assert_string_equal(err.file, __FILE__);
    assert_string_equal(err.text, "no answer from \"n2\" in 500 ms");
}

static void test_context_goes_before_the_text(void **state)
{
    struct err err;

    (void)state;
    (void)ERR(&err, IO, "disk is gone");
    err_add_context(&err, "could not save \"%s\"", "vote");
    err_add_context(&err, "term %d", 7);
    assert_string_equal(err.text, "term 7: could not save \"vote\": disk is gone");
    assert_int_equal(err.status, STATUS_IO);
}

static void test_err_may_be_made_of_its_own_text(void **state)
{
    struct err err;

    (void)state;
    (void)ERR(&err, IO, "disk is gone");
    (void)ERR(&err, FULL, "rather: %s", err.text);
    assert_string_equal(err.text, "rather: disk is gone");
    assert_int_equal(err.status, STATUS_FULL);
}

static void test_long_texts_are_cut_at_the_end(void **state)
{
    char longer[2 * sizeof((struct err *)0)->text];
    struct err err;

    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    (void)ERR(&err, INVALID, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_add_context(&err, "line %d", 3);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "line 3: xxx", 11);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_a_name_and_a_text),
        cmocka_unit_test(test_err_says_what_happened_and_where),
        cmocka_unit_test(test_context_goes_before_the_text),
        cmocka_unit_test(test_err_may_be_made_of_its_own_text),
        cmocka_unit_test(test_long_texts_are_cut_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
