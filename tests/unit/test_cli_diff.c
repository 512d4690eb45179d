#include "cli/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "tests/lib/test.h"

#define OUT_SIZE (1 << 20)

struct fixture {
    struct diff diff;
    char out[OUT_SIZE];
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

static const char *compare(struct fixture *fixture, const char *before, const char *after)
{
    struct text text;

    text_init(&text, fixture->out, sizeof fixture->out);
    diff_unified(&fixture->diff, before, after, &text);
    assert_false(text_overflowed(&text));
    return fixture->out;
}

static void test_equal_texts_have_no_difference(void **state)
{
    assert_string_equal(compare(*state, "", ""), "");
    assert_string_equal(compare(*state, "a\nb\n", "a\nb\n"), "");
}

static void test_a_changed_line_is_shown_with_three_lines_around(void **state)
{
    assert_string_equal(
        compare(*state, "1\n2\n3\n4\nttl: 30\n6\n7\n8\n9\n", "1\n2\n3\n4\nttl: 20\n6\n7\n8\n9\n"),
        "--- before\n+++ after\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-ttl: 30\n+ttl: 20\n 6\n 7\n 8\n");
}

static void test_empty_sides_name_the_line_before(void **state)
{
    assert_string_equal(
        compare(*state, "", "a\nb\n"), "--- before\n+++ after\n@@ -0,0 +1,2 @@\n+a\n+b\n");
    assert_string_equal(compare(*state, "a\n", ""), "--- before\n+++ after\n@@ -1 +0,0 @@\n-a\n");
}

static void test_a_last_line_without_its_end_is_a_line(void **state)
{
    assert_string_equal(
        compare(*state, "a", "a\nb"), "--- before\n+++ after\n@@ -1 +1,2 @@\n-a\n+a\n+b\n");
}

static void test_changes_far_apart_are_hunks_of_their_own(void **state)
{
    assert_string_equal(
        compare(*state, "x\n1\n2\n3\n4\n5\n6\n7\ny\n", "1\n2\n3\n4\n5\n6\n7\ny\nz\n"),
        "--- before\n+++ after\n"
        "@@ -1,4 +1,3 @@\n-x\n 1\n 2\n 3\n"
        "@@ -7,3 +6,4 @@\n 6\n 7\n y\n+z\n");
    /* Six lines between them: the contexts touch, and it is one. */
    assert_string_equal(
        compare(*state, "x\n1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\n5\n6\nz\n"),
        "--- before\n+++ after\n@@ -1,7 +1,7 @@\n-x\n 1\n 2\n 3\n 4\n 5\n 6\n+z\n");
}

/* Takes one line off a text; empty at its end. */
static const char *next_line(const char **text, size_t *length)
{
    const char *line = *text;

    *length = strcspn(line, "\n");
    *text += *length + (line[*length] == '\n');
    return line;
}

/*
 * Applies the difference to `before`, as patch(1) would, by walking the lines outside hunks
 * along; ranges in the hunks' headers must fit.
 */
static void apply(const char *before, const char *difference, char *after, size_t size)
{
    struct text text;
    unsigned long line_number = 1;
    size_t length;

    text_init(&text, after, size);
    for (int i = 0; i < 2 && *difference != '\0'; i++) {
        (void)next_line(&difference, &length); /* The two names. */
    }
    while (*difference != '\0') {
        const char *line = next_line(&difference, &length);

        if (line[0] == '@') {
            char *end = NULL;
            unsigned long start = strtoul(line + 4, &end, 10);

            start += strncmp(end, ",0 ", 3) == 0; /* An empty range names the line before. */
            for (; line_number < start; line_number++) {
                const char *kept = next_line(&before, &length);

                text_add_bytes(&text, kept, length);
                text_add(&text, "\n");
            }
            continue;
        }
        if (line[0] != '+') {
            size_t old_length;
            const char *old = next_line(&before, &old_length);

            assert_int_equal(old_length, length - 1);
            assert_memory_equal(old, line + 1, old_length);
            line_number++;
        }
        if (line[0] != '-') {
            text_add_bytes(&text, line + 1, length - 1);
            text_add(&text, "\n");
        }
    }
    text_add(&text, before);
    assert_false(text_overflowed(&text));
}

static void make_text(struct prng *prng, uint32_t lines, char *data, size_t size)
{
    struct text text;

    text_init(&text, data, size);
    for (uint32_t i = 0; i < lines; i++) {
        text_addf(&text, "%c\n", (char)('a' + prng_between(prng, 0, 3)));
    }
}

static void test_differences_lead_from_one_text_to_the_other(void **state)
{
    static char before[8192];
    static char after[8192];
    static char applied[16384];
    struct prng prng;

    prng_init(&prng, 1);
    for (uint32_t i = 0; i < 2000; i++) {
        make_text(&prng, (uint32_t)prng_between(&prng, 0, 40), before, sizeof before);
        make_text(&prng, (uint32_t)prng_between(&prng, 0, 40), after, sizeof after);
        apply(before, compare(*state, before, after), applied, sizeof applied);
        assert_string_equal(applied, after);
    }
}

static void test_long_differences_are_still_true(void **state)
{
    static char before[4 * DIFF_LINES_MAX];
    static char after[4 * DIFF_LINES_MAX];
    static char applied[8 * DIFF_LINES_MAX];
    struct prng prng;

    prng_init(&prng, 2);
    make_text(&prng, DIFF_LINES_MAX + 9, before, sizeof before);
    make_text(&prng, DIFF_LINES_MAX + 5, after, sizeof after);
    before[0] = 'x';
    before[strlen(before) - 2] = 'x';
    apply(before, compare(*state, before, after), applied, sizeof applied);
    assert_string_equal(applied, after);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_texts_have_no_difference),
        cmocka_unit_test(test_a_changed_line_is_shown_with_three_lines_around),
        cmocka_unit_test(test_empty_sides_name_the_line_before),
        cmocka_unit_test(test_a_last_line_without_its_end_is_a_line),
        cmocka_unit_test(test_changes_far_apart_are_hunks_of_their_own),
        cmocka_unit_test(test_differences_lead_from_one_text_to_the_other),
        cmocka_unit_test(test_long_differences_are_still_true),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
