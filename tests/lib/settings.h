/*
 * tests/lib/settings.h - settings written as YAML in a test, and what is wrong with them.
 */
#ifndef PGBATON_TESTS_LIB_SETTINGS_H
#define PGBATON_TESTS_LIB_SETTINGS_H

#include <stdio.h>
#include <string.h>

#include "conf/problem.h"
#include "conf/tree_yaml.h"
#include "tests/lib/test.h"

struct settings {
    struct tree tree;
    struct problems problems;
    _Alignas(8) char memory[256 << 10];
};

/* Empty, without problems; the same one at every call. */
static inline struct settings *settings_new(void)
{
    static struct settings settings;

    tree_init(&settings.tree, settings.memory, sizeof settings.memory);
    problems_init(&settings.problems);
    return &settings;
}

/* Fails the test if the text is not YAML. Messages name the file "s.yaml". */
static inline struct node *settings_parse(struct settings *settings, const char *yaml)
{
    struct node *root = NULL;
    struct err err;

    test_ok(tree_yaml_parse(&settings->tree, yaml, strlen(yaml), "s.yaml", &root, &err), &err);
    return root;
}

static inline bool settings_has_problem(
    const struct settings *settings, bool is_error, const char *part)
{
    for (uint32_t i = 0; i < settings->problems.count; i++) {
        const struct problem *problem = &settings->problems.items[i];

        if (problem->is_error == is_error && strstr(problem->text, part) != NULL) {
            return true;
        }
    }
    return false;
}

static inline void settings_print(const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->problems.count; i++) {
        print_message("  problem: %s\n", settings->problems.items[i].text);
    }
}

/* Some error has `part` in its text. */
static inline void settings_assert_error(const struct settings *settings, const char *part)
{
    if (!settings_has_problem(settings, true, part)) {
        settings_print(settings);
        fail_msg("no error with \"%s\"", part);
    }
}

static inline void settings_assert_warning(const struct settings *settings, const char *part)
{
    if (!settings_has_problem(settings, false, part)) {
        settings_print(settings);
        fail_msg("no warning with \"%s\"", part);
    }
}

static inline void settings_assert_counts(
    const struct settings *settings, uint32_t errors, uint32_t warnings)
{
    if (settings->problems.error_count != errors || settings->problems.warning_count != warnings) {
        settings_print(settings);
    }
    assert_int_equal(settings->problems.error_count, errors);
    assert_int_equal(settings->problems.warning_count, warnings);
}

#endif
