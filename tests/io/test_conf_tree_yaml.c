#include "conf/tree_yaml.h"

#include <string.h>

#include "tests/lib/settings.h"

static enum status parse(
    struct settings *settings, const char *yaml, struct node **root, struct err *err)
{
    return tree_yaml_parse(&settings->tree, yaml, strlen(yaml), "f.yaml", root, err);
}

static void test_bad_yaml_is_refused_with_file_and_line(void **state)
{
    static const struct {
        const char *yaml;
        const char *reason;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n",     "f.yaml:3: \"a\" is given twice in one map"},
        {"a: {b: 1, b: 2}\n",      "f.yaml:1: \"b\" is given twice"           },
        {"a: &x 1\n",              "f.yaml:1: anchors are not supported"      },
        {"a: &x {b: 1}\n",         "f.yaml:1: anchors are not supported"      },
        {"a: &x [1]\n",            "f.yaml:1: anchors are not supported"      },
        {"a: 1\nb: *x\n",          "f.yaml:2: aliases are not supported"      },
        {"a: !!python/object x\n", "f.yaml:1: tags are not supported"         },
        {"a: !mine x\n",           "f.yaml:1: tags are not supported"         },
        {"? [a, b]\n: 1\n",        "f.yaml:1: a key must be plain text"       },
        {"? {a: b}\n: 1\n",        "f.yaml:1: a key must be plain text"       },
        {"a: 1\n---\nb: 2\n",      "f.yaml:2: more than one document"         },
        {"a: 1\n  b: 2\n",         "f.yaml:2: not valid YAML: "               },
        {"a: [1, 2\n",             "f.yaml:2: not valid YAML: "               },
        {"a: \"x\\0y\"\n",         "f.yaml:1: text with a zero byte"          },
        {"\tb: 1\n",               "f.yaml:1: not valid YAML: "               },
        {"a: 'open\n",             "not valid YAML: "                         },
        {"a: \xff\xfe\n",          "not valid YAML: "                         },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        struct node *root = NULL;
        struct err err;

        assert_int_equal(parse(settings, cases[i].yaml, &root, &err), STATUS_INVALID);
        assert_null(root);
        if (strstr(err.text, cases[i].reason) == NULL) {
            fail_msg("\"%s\" instead of \"%s\"", err.text, cases[i].reason);
        }
    }
}

static void test_nothing_is_an_empty_map(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# only a remark\n", "---\n", "~\n", "{}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct node *root = settings_parse(settings_new(), texts[i]);

        assert_int_equal(root->kind, NODE_MAP);
        assert_int_equal(root->count, 0);
    }
}

static void test_nodes_know_their_lines(void **state)
{
    const struct node *root = settings_parse(settings_new(), "a: 1\nb:\n  c:\n    - x\n    - y\n");

    (void)state;
    assert_int_equal(tree_get(root, "a")->line, 1);
    assert_int_equal(tree_get(root, "b.c")->last->line, 5);
    assert_string_equal(tree_get(root, "b.c")->last->file, "s.yaml");
}

static void test_quotes_make_text(void **state)
{
    const struct node *root = settings_parse(
        settings_new(), "a: 1\nb: '1'\nc: \"on\"\nd: on\ne: !!str 5\nf: |\n  x\n  y\n");

    (void)state;
    assert_int_equal(tree_get(root, "a")->kind, NODE_INT);
    assert_int_equal(tree_get(root, "b")->kind, NODE_STRING);
    assert_int_equal(tree_get(root, "c")->kind, NODE_STRING);
    assert_int_equal(tree_get(root, "d")->kind, NODE_BOOL);
    assert_int_equal(tree_get(root, "e")->kind, NODE_STRING);
    assert_string_equal(tree_get(root, "f")->text, "x\ny\n");
}

static void nest(char *yaml, int depth)
{
    memset(yaml, '[', (size_t)depth);
    memset(yaml + depth, ']', (size_t)depth);
    yaml[2 * depth] = '\0';
}

static void test_nesting_has_a_limit(void **state)
{
    struct settings *settings = settings_new();
    struct node *root = NULL;
    struct err err;
    char yaml[4 * TREE_DEPTH_MAX];

    (void)state;
    nest(yaml, TREE_DEPTH_MAX);
    test_ok(parse(settings, yaml, &root, &err), &err);
    nest(yaml, TREE_DEPTH_MAX + 1);
    assert_int_equal(parse(settings, yaml, &root, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "nested too deep"));
}

static void test_too_little_memory_is_full_whatever_the_size(void **state)
{
    static const char yaml[] = "a: {b: [1, 2, {c: text}]}\nd: more text\n";
    static _Alignas(8) char memory[2048];
    bool fitted = false;

    (void)state;
    for (size_t size = 1; size <= sizeof memory; size++) {
        struct tree tree;
        struct node *root = NULL;
        struct err err;
        enum status status = STATUS_OK;

        tree_init(&tree, memory, size);
        status = tree_yaml_parse(&tree, yaml, strlen(yaml), "f", &root, &err);
        assert_true(status == STATUS_OK || status == STATUS_FULL);
        assert_int_equal(root != NULL, status == STATUS_OK);
        fitted = fitted || status == STATUS_OK;
    }
    assert_true(fitted);
}

static void test_every_prefix_of_a_text_is_parsed_or_refused(void **state)
{
    static const char yaml[] = "scope: demo\nlist: [a, 'b', \"c\\n\"]\nmap:\n  ? k\n  : v\n"
                               "block: >\n  folded\n# end\n";

    (void)state;
    for (size_t length = 0; length < sizeof yaml; length++) {
        struct settings *settings = settings_new();
        struct node *root = NULL;
        struct err err;
        const enum status status = tree_yaml_parse(&settings->tree, yaml, length, "f", &root, &err);

        assert_true(status == STATUS_OK ? root != NULL : status == STATUS_INVALID);
    }
}

static void test_what_is_printed_reads_back_the_same(void **state)
{
    static const char *const texts[] = {
        "{}",
        "a: 1\nb: -1.5\nc: on\nd: null\ne: ''\n",
        "quoted: ['1', 'on', 'null', '~', '', '1.5', 'a: b', '# x', '- y', \"x\\ny\", ' s ']\n",
        "'on': x\n'1': y\n'a.b': z\n",
        "deep: {a: [{b: [1, [2, {}], []]}]}\n",
        "utf: größe\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct settings *settings = settings_new();
        const struct node *root = settings_parse(settings, texts[i]);
        const struct node *again = NULL;
        struct tree_walk walk;
        char printed[1024];
        struct text out;
        struct err err;

        text_init(&out, printed, sizeof printed);
        test_ok(tree_yaml_print(root, &out, &err), &err);
        again = settings_parse(settings, printed);
        assert_true(tree_equal(root, again));
        /* Also the kinds: text must not come back as a number. */
        tree_walk_init(&walk, root);
        while (tree_walk_next(&walk)) {
            if (walk.node->key != NULL && walk.node->parent == root) {
                assert_int_equal(tree_child(again, walk.node->key)->kind, walk.node->kind);
            }
        }
    }
}

static void test_the_printed_form_is_the_one_people_write(void **state)
{
    const struct node *root = settings_parse(
        settings_new(), "{ttl: 2, postgresql: {parameters: {wal_level: 'logical'}, "
                        "pg_hba: ['host all all 0.0.0.0/0 md5']}, text: '5'}");
    char printed[512];
    struct text out;
    struct err err;

    (void)state;
    text_init(&out, printed, sizeof printed);
    test_ok(tree_yaml_print(root, &out, &err), &err);
    assert_string_equal(
        printed, "ttl: 2\npostgresql:\n  parameters:\n    wal_level: logical\n  pg_hba:\n"
                 "  - host all all 0.0.0.0/0 md5\ntext: '5'\n");
}

static void test_a_text_that_does_not_fit_is_full(void **state)
{
    const struct node *root = settings_parse(settings_new(), "a: 1\nb: 2\n");
    char printed[8];
    struct text out;
    struct err err;

    (void)state;
    text_init(&out, printed, sizeof printed);
    assert_int_equal(tree_yaml_print(root, &out, &err), STATUS_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_yaml_is_refused_with_file_and_line),
        cmocka_unit_test(test_nothing_is_an_empty_map),
        cmocka_unit_test(test_nodes_know_their_lines),
        cmocka_unit_test(test_quotes_make_text),
        cmocka_unit_test(test_nesting_has_a_limit),
        cmocka_unit_test(test_too_little_memory_is_full_whatever_the_size),
        cmocka_unit_test(test_every_prefix_of_a_text_is_parsed_or_refused),
        cmocka_unit_test(test_what_is_printed_reads_back_the_same),
        cmocka_unit_test(test_the_printed_form_is_the_one_people_write),
        cmocka_unit_test(test_a_text_that_does_not_fit_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
