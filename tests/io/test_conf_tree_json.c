#include "conf/tree_json.h"

#include <string.h>

#include "tests/lib/settings.h"

static enum status parse(
    struct settings *settings, const char *json, struct node **root, struct err *err)
{
    return tree_json_parse(&settings->tree, json, strlen(json), root, err);
}

static void test_json_and_yaml_make_the_same_tree(void **state)
{
    static const char json[] = "{\"a\": 1, \"b\": {\"c\": [true, null, \"x\", 1.5, {}, []]}, "
                               "\"d\": -7}";
    static const char yaml[] = "{a: 1, b: {c: [true, null, x, 1.5, {}, []]}, d: -7}";
    struct settings *settings = settings_new();
    struct node *root = NULL;
    struct err err;

    (void)state;
    test_ok(parse(settings, json, &root, &err), &err);
    assert_true(tree_equal(root, settings_parse(settings, yaml)));
    assert_int_equal(tree_get(root, "b.c")->first->kind, NODE_BOOL);
}

static void test_printing_keeps_kinds_order_and_numbers(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"text\"",
        "{\"z\": 1, \"a\": 1.5, \"m\": [true, false, null, \"1\"]}",
        "{\"a\": {\"b\": {\"c\": [[[]], {\"d\": \"\\\"\\n\"}]}}}",
        "{\"n\": 999999999999999999}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct settings *settings = settings_new();
        struct node *root = NULL;
        struct err err;
        char printed[256];
        struct text out;

        test_ok(parse(settings, texts[i], &root, &err), &err);
        text_init(&out, printed, sizeof printed);
        test_ok(tree_json_print(root, 0, &out, &err), &err);
        assert_string_equal(printed, texts[i]);
    }
}

static void test_yaml_words_become_json_values(void **state)
{
    const struct node *root =
        settings_parse(settings_new(), "{a: on, b: 'on', c: no, d: 0644, e: 2.0, f: ~}");
    char printed[256];
    struct text out;
    struct err err;

    (void)state;
    text_init(&out, printed, sizeof printed);
    test_ok(tree_json_print(root, 0, &out, &err), &err);
    assert_string_equal(
        printed,
        "{\"a\": true, \"b\": \"on\", \"c\": false, \"d\": \"0644\", \"e\": 2.0, \"f\": null}");
}

static void test_an_indented_form_for_people(void **state)
{
    const struct node *root = settings_parse(settings_new(), "{a: [1]}");
    char printed[64];
    struct text out;
    struct err err;

    (void)state;
    text_init(&out, printed, sizeof printed);
    test_ok(tree_json_print(root, 2, &out, &err), &err);
    assert_string_equal(printed, "{\n  \"a\": [\n    1\n  ]\n}");
}

static void test_bad_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "{\"a\"}",
        "{\"a\": 1, \"a\": 2}",
        "{\"a\": 1} x",
        "{a: 1}",
        "\"\\u0000\"",
        "{\"n\": 99999999999999999999}",
        "\"\xff\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct node *root = NULL;
        struct err err;

        assert_int_equal(parse(settings_new(), texts[i], &root, &err), STATUS_INVALID);
        assert_non_null(strstr(err.text, "not valid JSON: line "));
    }
}

static void test_nesting_has_a_limit(void **state)
{
    struct node *root = NULL;
    struct err err;
    char json[4 * TREE_DEPTH_MAX];

    (void)state;
    for (size_t depth = TREE_DEPTH_MAX; depth <= TREE_DEPTH_MAX + 1; depth++) {
        const bool fits = depth == TREE_DEPTH_MAX;
        json_t *value = NULL;

        memset(json, '[', depth);
        memset(json + depth, ']', depth);
        json[2 * depth] = '\0';
        assert_int_equal(
            parse(settings_new(), json, &root, &err), fits ? STATUS_OK : STATUS_INVALID);
        if (fits) {
            value = tree_json_value(root);
            assert_non_null(value);
            json_decref(value);
        }
    }
}

static void test_too_little_memory_is_full_whatever_the_size(void **state)
{
    static const char json[] = "{\"a\": {\"b\": [1, 2, {\"c\": \"text\"}]}, \"d\": \"more\"}";
    static _Alignas(8) char memory[2048];
    bool fitted = false;

    (void)state;
    for (size_t size = 1; size <= sizeof memory; size++) {
        struct tree tree;
        struct node *root = NULL;
        struct err err;
        enum status status = STATUS_OK;

        tree_init(&tree, memory, size);
        status = tree_json_parse(&tree, json, strlen(json), &root, &err);
        assert_true(status == STATUS_OK || status == STATUS_FULL);
        fitted = fitted || status == STATUS_OK;
    }
    assert_true(fitted);
}

static void test_a_text_that_does_not_fit_is_full(void **state)
{
    const struct node *root = settings_parse(settings_new(), "a: 1\nb: 2\n");
    char printed[8];
    struct text out;
    struct err err;

    (void)state;
    text_init(&out, printed, sizeof printed);
    assert_int_equal(tree_json_print(root, 0, &out, &err), STATUS_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_and_yaml_make_the_same_tree),
        cmocka_unit_test(test_printing_keeps_kinds_order_and_numbers),
        cmocka_unit_test(test_yaml_words_become_json_values),
        cmocka_unit_test(test_an_indented_form_for_people),
        cmocka_unit_test(test_bad_json_is_refused),
        cmocka_unit_test(test_nesting_has_a_limit),
        cmocka_unit_test(test_too_little_memory_is_full_whatever_the_size),
        cmocka_unit_test(test_a_text_that_does_not_fit_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
