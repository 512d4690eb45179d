#include "cli/member.h"

#include <stdlib.h>
#include <string.h>

#include "conf/tree_json.h"
#include "tests/lib/test.h"

struct fixture {
    struct tree tree;
    char memory[1 << 14];
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

static struct node *parse(struct fixture *fixture, const char *json)
{
    struct node *root = NULL;
    struct err err = {.text = ""};

    tree_init(&fixture->tree, fixture->memory, sizeof fixture->memory);
    if (tree_json_parse(&fixture->tree, json, strlen(json), &root, &err) != STATUS_OK) {
        fail_msg("%s: %s", json, err.text);
    }
    return root;
}

static void test_roles_users_name_match_roles_members_have(void **state)
{
    static const struct {
        const char *asked;
        const char *member;
        bool want;
    } cases[] = {
        {"leader",         "{\"role\": \"leader\"}",         true },
        {"leader",         "{\"role\": \"standby_leader\"}", true },
        {"leader",         "{\"role\": \"replica\"}",        false},
        {"primary",        "{\"role\": \"leader\"}",         true },
        {"primary",        "{\"role\": \"standby_leader\"}", false},
        {"standby-leader", "{\"role\": \"standby_leader\"}", true },
        {"standby-leader", "{\"role\": \"leader\"}",         false},
        {"replica",        "{\"role\": \"sync_standby\"}",   true },
        {"standby",        "{\"role\": \"quorum_standby\"}", true },
        {"replica",        "{\"role\": \"leader\"}",         false},
        {"replica",        "{\"role\": \"witness\"}",        false},
        {"any",            "{\"role\": \"witness\"}",        true },
        {"leader",         "{}",                             false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(member_is_role(cases[i].asked));
        assert_int_equal(
            member_has_role(parse(*state, cases[i].member), cases[i].asked), cases[i].want);
    }
    assert_false(member_is_role("master of the house"));
    assert_false(member_is_role(""));
}

static void test_candidates_are_replicas_that_are_not_tagged_otherwise(void **state)
{
    static const struct {
        const char *member;
        bool want;
    } cases[] = {
        {"{\"role\": \"replica\"}",                                                              true },
        {"{\"role\": \"sync_standby\", \"tags\": {\"clonefrom\": true}}",                        true },
        {"{\"role\": \"leader\"}",                                                               false},
        {"{\"role\": \"standby_leader\"}",                                                       false},
        {"{\"role\": \"witness\"}",                                                              false},
        {"{\"role\": \"replica\", \"tags\": {\"nofailover\": true}}",                            false},
        {"{\"role\": \"replica\", \"tags\": {\"nofailover\": \"on\"}}",                          false},
        {"{\"role\": \"replica\", \"tags\": {\"nofailover\": false}}",                           true },
        {"{\"role\": \"replica\", \"tags\": {\"failover_priority\": 0}}",                        false},
        {"{\"role\": \"replica\", \"tags\": {\"failover_priority\": \"2\"}}",                    true },
        {"{\"role\": \"replica\", \"tags\": {\"nofailover\": false, \"failover_priority\": 0}}",
         true                                                                                         },
        {"{\"role\": \"replica\", \"tags\": {\"nofailover\": true, \"failover_priority\": 5}}",
         false                                                                                        },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(member_is_candidate(parse(*state, cases[i].member)), cases[i].want);
    }
}

static void test_members_are_found_by_name_and_lease(void **state)
{
    const struct node *cluster = parse(
        *state, "{\"members\": [{\"name\": \"a\", \"role\": \"replica\"},"
                " {\"name\": \"b\", \"role\": \"leader\"}]}");

    assert_string_equal(member_field(member_find_leader(cluster), "name"), "b");
    assert_string_equal(member_field(member_find(cluster, "a"), "role"), "replica");
    assert_null(member_find(cluster, "c"));
    assert_string_equal(member_field(member_find(cluster, "a"), "state"), "");
    assert_string_equal(member_field(NULL, "state"), "");
}

static void test_answers_of_an_unexpected_shape_have_no_members(void **state)
{
    static const char *const cases[] = {
        "{}",
        "[]",
        "{\"members\": null}",
        "{\"members\": 7}",
        "{\"members\": []}",
        "{\"members\": [1, [2], null]}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct node *cluster = parse(*state, cases[i]);

        assert_null(member_find_leader(cluster));
        assert_null(member_find(cluster, "a"));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles_users_name_match_roles_members_have),
        cmocka_unit_test(test_candidates_are_replicas_that_are_not_tagged_otherwise),
        cmocka_unit_test(test_members_are_found_by_name_and_lease),
        cmocka_unit_test(test_answers_of_an_unexpected_shape_have_no_members),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
