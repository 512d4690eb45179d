#include "conf/tree.h"

#include <string.h>

#include "base/text.h"
#include "tests/lib/settings.h"

static void test_plain_words_have_the_kind_that_people_mean(void **state)
{
    static const struct {
        const char *text;
        enum node_kind want;
    } cases[] = {
        {"",                    NODE_NULL  },
        {"~",                   NODE_NULL  },
        {"Null",                NODE_NULL  },
        {"on",                  NODE_BOOL  },
        {"OFF",                 NODE_BOOL  },
        {"yes",                 NODE_BOOL  },
        {"True",                NODE_BOOL  },
        {"y",                   NODE_STRING},
        {"0",                   NODE_INT   },
        {"-17",                 NODE_INT   },
        {"123456789012345678",  NODE_INT   },
        {"1234567890123456789", NODE_STRING},
        {"+5",                  NODE_STRING},
        {"0644",                NODE_STRING},
        {"0x10",                NODE_STRING},
        {"1_000",               NODE_STRING},
        {"12:30",               NODE_STRING},
        {"1.5",                 NODE_REAL  },
        {"-0.25",               NODE_REAL  },
        {"1.",                  NODE_STRING},
        {".5",                  NODE_STRING},
        {"1.5.6",               NODE_STRING},
        {"1e3",                 NODE_STRING},
        {"-",                   NODE_STRING},
        {"text",                NODE_STRING},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(tree_plain_kind(cases[i].text), cases[i].want);
    }
}

static void test_get_follows_a_dotted_path(void **state)
{
    struct settings *settings = settings_new();
    const struct node *root =
        settings_parse(settings, "a: {b: {c: 1}, bb: 2, n: null}\nl: [x, y]\n");

    (void)state;
    assert_string_equal(node_text(tree_get(root, "a.b.c")), "1");
    assert_string_equal(node_text(tree_get(root, "a.bb")), "2");
    assert_null(tree_get(root, "a.b.c.d"));
    assert_null(tree_get(root, "a.bbb"));
    assert_null(tree_get(root, "a.n"));                    /* Null is as good as absent ... */
    assert_non_null(tree_child(tree_get(root, "a"), "n")); /* ... unless one asks for it. */
    assert_null(tree_get(root, "l.x"));
    assert_ptr_equal(tree_get(root, ""), root);
    assert_null(tree_get(NULL, "a"));
}

static void test_path_names_the_way_from_the_root(void **state)
{
    struct settings *settings = settings_new();
    const struct node *root = settings_parse(settings, "a: {l: [x, {k: v}]}\n");
    const struct node *list = tree_get(root, "a.l");
    char path[TREE_PATH_MAX];

    (void)state;
    tree_path(root, path);
    assert_string_equal(path, "");
    tree_path(list, path);
    assert_string_equal(path, "a.l");
    tree_path(list->first, path);
    assert_string_equal(path, "a.l[0]");
    tree_path(tree_child(list->last, "k"), path);
    assert_string_equal(path, "a.l[1].k");
}

static void test_put_replaces_in_place_and_appends_what_is_new(void **state)
{
    struct settings *settings = settings_new();
    struct node *root = settings_parse(settings, "a: 1\nb: 2\nc: 3\n");
    const char *want[] = {"a", "b", "c", "d"};
    const struct node *at = NULL;

    (void)state;
    tree_put(&settings->tree, root, "b", tree_string(&settings->tree, "x"));
    tree_put(&settings->tree, root, "d", tree_string(&settings->tree, "4"));
    tree_put(&settings->tree, root, "a", tree_string(&settings->tree, "y"));
    assert_int_equal(root->count, 4);
    at = root->first;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(at->key, want[i]);
        assert_ptr_equal(at->parent, root);
        at = at->next;
    }
    assert_null(at);
    assert_string_equal(node_text(tree_child(root, "a")), "y");
    assert_string_equal(node_text(tree_child(root, "b")), "x");
}

static void test_remove_takes_first_middle_and_last(void **state)
{
    struct settings *settings = settings_new();
    struct node *root = settings_parse(settings, "a: 1\nb: 2\nc: 3\n");

    (void)state;
    assert_true(tree_remove(root, "b"));
    assert_ptr_equal(root->first->next, root->last);
    assert_true(tree_remove(root, "c"));
    assert_ptr_equal(root->first, root->last);
    assert_true(tree_remove(root, "a"));
    assert_null(root->first);
    assert_null(root->last);
    assert_int_equal(root->count, 0);
    assert_false(tree_remove(root, "a"));
}

static void test_put_path_makes_the_maps_on_the_way(void **state)
{
    struct settings *settings = settings_new();
    struct node *root = settings_parse(settings, "a: {b: 1}\ns: text\n");

    (void)state;
    tree_put_path(&settings->tree, root, "a.c.d", tree_string(&settings->tree, "x"));
    tree_put_path(&settings->tree, root, "s.t", tree_string(&settings->tree, "y"));
    assert_string_equal(node_text(tree_get(root, "a.b")), "1");
    assert_string_equal(node_text(tree_get(root, "a.c.d")), "x");
    assert_string_equal(node_text(tree_get(root, "s.t")), "y");
}

static void test_merge(void **state)
{
    static const struct {
        const char *target;
        const char *patch;
        bool changed;
        const char *want;
    } cases[] = {
        {"{a: 1}",                 "{a: 1}",                                  false, "{a: 1}"                       },
        {"{a: 1}",                 "{a: '1'}",                                false, "{a: 1}"                       },
        {"{a: 1}",                 "{a: 2}",                                  true,  "{a: 2}"                       },
        {"{a: 1, b: 2}",           "{a: null}",                               true,  "{b: 2}"                       },
        {"{a: 1}",                 "{b: null}",                               false, "{a: 1}"                       },
        {"{}",                     "{a: {b: {c: 1}}}",                        true,  "{a: {b: {c: 1}}}"             },
        {"{a: {b: 1, c: 2}}",      "{a: {c: 3, d: 4}, e: 5}",                 true,  "{a: {b: 1, c: 3, d: 4}, e: 5}"},
        {"{a: {b: 1}, z: 1}",      "{a: {b: null}, z: 2}",                    true,  "{a: {}, z: 2}"                },
        {"{a: {b: 1}}",            "{a: x}",                                  true,  "{a: x}"                       },
        {"{a: x}",                 "{a: {b: 1}}",                             true,  "{a: {b: 1}}"                  },
        {"{a: [1, 2]}",            "{a: [1, 2]}",                             false, "{a: [1, 2]}"                  },
        {"{a: [1, 2]}",            "{a: [2, 1], b: 1}",                       true,  "{a: [2, 1], b: 1}"            },
        {"{}",                     "{a: {b: null, c: 1}, d: {e: {f: null}}}", true,  "{a: {c: 1}, d: {e: {}}}"      },
        {"{a: {}}",                "{a: {}}",                                 false, "{a: {}}"                      },
        {"{}",                     "{}",                                      false, "{}"                           },
        {"{a: {b: {c: 1}}, d: 1}", "{a: {b: {c: 2}}, d: 2}",                  true,  "{a: {b: {c: 2}}, d: 2}"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        struct node *target = settings_parse(settings, cases[i].target);
        const struct node *patch = settings_parse(settings, cases[i].patch);
        const struct node *want = settings_parse(settings, cases[i].want);

        assert_int_equal(tree_merge(&settings->tree, target, patch), cases[i].changed);
        if (!tree_equal(target, want)) {
            fail_msg("case %zu: not %s", i, cases[i].want);
        }
        /* What was merged is in; merging it once more changes nothing. */
        assert_false(tree_merge(&settings->tree, target, patch));
    }
}

static void test_a_merge_shares_nothing_with_the_patch(void **state)
{
    struct settings *settings = settings_new();
    struct node *target = settings_parse(settings, "{}");
    struct node *patch = settings_parse(settings, "{a: {b: 1}}");

    (void)state;
    assert_true(tree_merge(&settings->tree, target, patch));
    assert_true(tree_remove(tree_child_mutable(patch, "a"), "b"));
    assert_string_equal(node_text(tree_get(target, "a.b")), "1");
}

static void test_equal(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool want;
    } cases[] = {
        {"{a: 1, b: 2}",                  "{b: 2, a: 1}",                  true },
        {"{a: 1}",                        "{a: '1'}",                      true },
        {"{a: 1}",                        "{a: 1, b: 2}",                  false},
        {"{a: 1, b: 2}",                  "{a: 1, c: 2}",                  false},
        {"[1, 2]",                        "[1, 2]",                        true },
        {"[1, 2]",                        "[2, 1]",                        false},
        {"[{a: 1}, {b: 2}]",              "[{a: 1}, {b: 2}]",              true },
        {"[{a: 1}, {b: 2}]",              "[{a: 1}, {b: 3}]",              false},
        {"{a: null}",                     "{a: ''}",                       false},
        {"{a: {}}",                       "{a: []}",                       false},
        {"{a: {x: {y: 1}}, b: [1, [2]]}", "{b: [1, [2]], a: {x: {y: 1}}}", true },
        {"{a: {x: {y: 1}}, b: [1, [2]]}", "{b: [1, [3]], a: {x: {y: 1}}}", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings *settings = settings_new();
        const struct node *a = settings_parse(settings, cases[i].a);
        const struct node *b = settings_parse(settings, cases[i].b);

        assert_int_equal(tree_equal(a, b), cases[i].want);
        assert_int_equal(tree_equal(b, a), cases[i].want);
        assert_true(tree_equal(a, a));
        assert_false(tree_equal(a, NULL));
    }
}

static void test_a_walk_enters_and_leaves_in_order(void **state)
{
    struct settings *settings = settings_new();
    const struct node *root = settings_parse(settings, "{a: [1, {b: 2}, []], c: {}}");
    char seen[64];
    struct text text;
    struct tree_walk walk;

    (void)state;
    text_init(&text, seen, sizeof seen);
    tree_walk_init(&walk, root);
    while (tree_walk_next(&walk)) {
        static const char *const marks[][2] = {
            {"{", "}"},
            {"[", "]"}
        };

        if (walk.node->text != NULL) {
            text_add(&text, walk.node->text);
        } else {
            text_add(&text, marks[walk.node->kind == NODE_LIST][walk.leaving]);
        }
    }
    assert_string_equal(seen, "{[1{2}[]]{}}");
}

static void test_a_skipped_map_is_left_out(void **state)
{
    struct settings *settings = settings_new();
    const struct node *root = settings_parse(settings, "{a: {b: 1}, c: 2}");
    uint32_t scalars = 0;
    struct tree_walk walk;

    (void)state;
    tree_walk_init(&walk, root);
    while (tree_walk_next(&walk)) {
        walk.skip = walk.node->key != NULL && text_equal(walk.node->key, "a");
        scalars += walk.node->text != NULL;
    }
    assert_int_equal(scalars, 1);
}

static void test_truth_values(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        bool value;
    } cases[] = {
        {"on",   true,  true },
        {"TRUE", true,  true },
        {"1",    true,  true },
        {"no",   true,  false},
        {"0",    true,  false},
        {"2",    false, false},
        {"",     false, false},
        {"y",    false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct node node = {.kind = NODE_STRING, .text = cases[i].text};
        bool value = false;

        assert_int_equal(node_bool(&node, &value), cases[i].ok);
        if (cases[i].ok) {
            assert_int_equal(value, cases[i].value);
        }
    }
    assert_false(node_bool(NULL, &(bool){false}));
    assert_false(node_bool(&(struct node){.kind = NODE_MAP}, &(bool){false}));
}

/* However little memory there is: a tree that is full says so and writes nowhere else. */
static void test_every_size_of_memory_is_safe(void **state)
{
    struct settings *settings = settings_new();
    const struct node *patch = settings_parse(settings, "{a: {b: [1, 2]}, c: text}");
    static _Alignas(8) char memory[2048 + 1];
    bool fitted = false;

    (void)state;
    for (size_t size = 0; size < sizeof memory - 1; size++) {
        struct tree tree;
        struct node *root = NULL;

        memory[size] = 'X';
        tree_init(&tree, memory, size);
        root = tree_map(&tree);
        if (root != NULL) {
            (void)tree_merge(&tree, root, patch);
            tree_put_path(&tree, root, "x.y", tree_string(&tree, "z"));
        }
        assert_int_equal(memory[size], 'X');
        assert_true(tree_full(&tree) || tree_equal(tree_get(root, "a"), tree_get(patch, "a")));
        fitted = fitted || !tree_full(&tree);
    }
    assert_true(fitted);
}

static void test_a_child_that_did_not_fit_deletes_nothing(void **state)
{
    static _Alignas(8) char memory[256];
    struct tree tree;
    struct node *root = NULL;

    (void)state;
    tree_init(&tree, memory, sizeof memory);
    root = tree_map(&tree);
    tree_put(&tree, root, "a", tree_string(&tree, "1"));
    assert_false(tree_full(&tree));
    tree_put(&tree, root, "a", tree_string(&tree, "2"));
    tree_put(&tree, root, "a", tree_string(&tree, "3"));
    assert_true(tree_full(&tree));
    assert_non_null(tree_child(root, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_words_have_the_kind_that_people_mean),
        cmocka_unit_test(test_get_follows_a_dotted_path),
        cmocka_unit_test(test_path_names_the_way_from_the_root),
        cmocka_unit_test(test_put_replaces_in_place_and_appends_what_is_new),
        cmocka_unit_test(test_remove_takes_first_middle_and_last),
        cmocka_unit_test(test_put_path_makes_the_maps_on_the_way),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_a_merge_shares_nothing_with_the_patch),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_a_walk_enters_and_leaves_in_order),
        cmocka_unit_test(test_a_skipped_map_is_left_out),
        cmocka_unit_test(test_truth_values),
        cmocka_unit_test(test_every_size_of_memory_is_safe),
        cmocka_unit_test(test_a_child_that_did_not_fit_deletes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
