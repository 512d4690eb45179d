#include "cli/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/tree_json.h"
#include "tests/lib/test.h"

struct fixture {
    struct tree tree;
    char memory[1 << 17];
    char out[1 << 14];
};

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void start(struct fixture *fixture)
{
    tree_init(&fixture->tree, fixture->memory, sizeof fixture->memory);
}

static struct node *parse(struct fixture *fixture, const char *json)
{
    struct node *root = NULL;
    struct err err = {.text = ""};

    if (tree_json_parse(&fixture->tree, json, strlen(json), &root, &err) != STATUS_OK) {
        fail_msg("%s: %s", json, err.text);
    }
    return root;
}

static const char *print(struct fixture *fixture, const struct node *root)
{
    struct text text;
    struct err err;

    text_init(&text, fixture->out, sizeof fixture->out);
    assert_int_equal(tree_json_print(root, 0, &text, &err), STATUS_OK);
    assert_false(tree_full(&fixture->tree));
    return fixture->out;
}

static void test_keys_are_sorted_at_every_level(void **state)
{
    static const struct {
        const char *json;
        const char *want;
    } cases[] = {
        {"{}",                                                                   "{}"                                      },
        {"{\"a\": 1}",                                                           "{\"a\": 1}"                              },
        {"{\"c\": 1, \"b\": 2, \"a\": 3}",                                       "{\"a\": 3, \"b\": 2, \"c\": 1}"          },
        {"{\"b\": 1, \"a\": 2, \"d\": 3, \"c\": 4}",                             "{\"a\": 2, \"b\": 1, \"c\": 4, \"d\": 3}"},
        {"{\"z\": {\"y\": 1, \"x\": [{\"b\": 1, \"a\": 2}, 3, {}]}, \"a\": {}}",
         "{\"a\": {}, \"z\": {\"x\": [{\"a\": 2, \"b\": 1}, 3, {}], \"y\": 1}}"                                            },
        {"[{\"b\": 1, \"a\": 2}]",                                               "[{\"a\": 2, \"b\": 1}]"                  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct node *root;

        start(*state);
        root = parse(*state, cases[i].json);
        edit_sort(root);
        assert_string_equal(print(*state, root), cases[i].want);
    }
}

static void test_a_sorted_map_can_be_added_to(void **state)
{
    struct fixture *fixture = *state;
    struct node *root;

    start(fixture);
    root = parse(fixture, "{\"b\": 1, \"c\": 2, \"a\": 3}");
    edit_sort(root);
    tree_put(&fixture->tree, root, "z", tree_string(&fixture->tree, "new"));
    assert_string_equal(print(fixture, root), "{\"a\": 3, \"b\": 1, \"c\": 2, \"z\": \"new\"}");
}

static void test_keys_without_value_are_dropped(void **state)
{
    struct node *root;

    start(*state);
    root = parse(
        *state, "{\"a\": null, \"b\": {\"c\": null, \"d\": 1, \"e\": null}, \"f\": [null],"
                " \"g\": null}");
    edit_drop_nulls(root);
    assert_string_equal(print(*state, root), "{\"b\": {\"d\": 1}, \"f\": [null]}");
}

static void test_values_are_set_by_their_path(void **state)
{
    static const struct {
        const char *before;
        const char *path;
        const char *value;
        const char *want;
    } cases[] = {
        {"{}",                                               "ttl",                                                 "{\"v\": 20}",           "{\"ttl\": 20}"               },
        {"{\"ttl\": 30, \"a\": 1}",                          "ttl",                                                 "{\"v\": 20}",           "{\"ttl\": 20, \"a\": 1}"     },
        {"{}",                                               "a.b.c",                                               "{\"v\": 1}",            "{\"a\": {\"b\": {\"c\": 1}}}"},
        {"{\"a\": null}",                                    "a.b",                                                 "{\"v\": 1}",            "{\"a\": {\"b\": 1}}"         },
        {"{}",                                               "postgresql.parameters.auto_explain.log_min_duration", "{\"v\": 7}",
         "{\"postgresql\": {\"parameters\": {\"auto_explain.log_min_duration\": 7}}}"                                                                                      },
        {"{}",                                               "slots.a.type",                                        "{\"v\": \"physical\"}",
         "{\"slots\": {\"a\": {\"type\": \"physical\"}}}"                                                                                                                  },
 /* Null deletes, and what it leaves empty with it. */
        {"{\"a\": {\"b\": {\"c\": 1}}, \"d\": 2}",           "a.b.c",                                               "{\"v\": null}",         "{\"d\": 2}"                  },
        {"{\"a\": {\"b\": {\"c\": 1}, \"e\": 2}}",           "a.b.c",                                               "{\"v\": null}",         "{\"a\": {\"e\": 2}}"         },
        {"{\"a\": 1}",                                       "a",                                                   "{\"v\": null}",         "{}"                          },
        {"{\"a\": 1}",                                       "b.c",                                                 "{\"v\": null}",         "{\"a\": 1}"                  },
        {"{\"a\": {\"b\": 1}}",                              "a.c",                                                 "{\"v\": null}",         "{\"a\": {\"b\": 1}}"         },
        {"{\"postgresql\": {\"parameters\": {\"x.y\": 1}}}", "postgresql.parameters.x.y",
         "{\"v\": null}",                                                                                                                    "{}"                          },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture *fixture = *state;
        struct node *root;
        struct node *holder;

        start(fixture);
        root = parse(fixture, cases[i].before);
        holder = parse(fixture, cases[i].value);
        assert_true(edit_set(&fixture->tree, root, cases[i].path, tree_child_mutable(holder, "v")));
        assert_string_equal(print(fixture, root), cases[i].want);
    }
}

static void test_paths_that_lead_nowhere_are_refused(void **state)
{
    static const char *const paths[] = {
        "", ".", "a.", ".a", "a..b", "scalar.b", "list.b", "postgresql.parameters.",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct node *root;

        start(fixture);
        root = parse(fixture, "{\"scalar\": 1, \"list\": [1]}");
        assert_false(edit_set(&fixture->tree, root, paths[i], tree_string(&fixture->tree, "x")));
    }
}

static void test_the_difference_is_as_small_as_can_be(void **state)
{
    static const struct {
        const char *before;
        const char *after;
        const char *want;
    } cases[] = {
        {"{}",                                     "{}",                                     "{}"                    },
        {"{\"a\": 1}",                             "{\"a\": 1}",                             "{}"                    },
        {"{\"a\": 1}",                             "{\"a\": \"1\"}",                         "{}"                    },
        {"{\"a\": 1, \"b\": 2}",                   "{\"a\": 3, \"b\": 2}",                   "{\"a\": 3}"            },
        {"{\"a\": 1, \"b\": 2}",                   "{\"b\": 2}",                             "{\"a\": null}"         },
        {"{\"b\": 2}",                             "{\"a\": {\"c\": 1}, \"b\": 2}",          "{\"a\": {\"c\": 1}}"   },
        {"{\"a\": {\"x\": 1, \"y\": 2}}",          "{\"a\": {\"x\": 1, \"z\": 3}}",
         "{\"a\": {\"y\": null, \"z\": 3}}"                                                                          },
        {"{\"a\": {\"x\": 1}}",                    "{\"a\": {}}",                            "{\"a\": {\"x\": null}}"},
        {"{\"a\": {\"x\": 1}}",                    "{\"a\": 7}",                             "{\"a\": 7}"            },
        {"{\"a\": 7}",                             "{\"a\": {\"x\": 1}}",                    "{\"a\": {\"x\": 1}}"   },
        {"{\"a\": [1, 2]}",                        "{\"a\": [2, 1]}",                        "{\"a\": [2, 1]}"       },
        {"{\"a\": {\"b\": {\"c\": 1}}, \"d\": 1}", "{\"a\": {\"b\": {\"c\": 2}}, \"d\": 2}",
         "{\"a\": {\"b\": {\"c\": 2}}, \"d\": 2}"                                                                    },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct node *before;
        struct node *after;
        struct node *patch;

        start(fixture);
        before = parse(fixture, cases[i].before);
        after = parse(fixture, cases[i].after);
        patch = edit_difference(&fixture->tree, before, after);
        assert_string_equal(print(fixture, patch), cases[i].want);

        /* And it does what it is for. */
        (void)tree_merge(&fixture->tree, before, patch);
        assert_true(tree_equal(before, after));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_sorted_at_every_level),
        cmocka_unit_test(test_a_sorted_map_can_be_added_to),
        cmocka_unit_test(test_keys_without_value_are_dropped),
        cmocka_unit_test(test_values_are_set_by_their_path),
        cmocka_unit_test(test_paths_that_lead_nowhere_are_refused),
        cmocka_unit_test(test_the_difference_is_as_small_as_can_be),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
