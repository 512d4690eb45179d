#include "cli/table.h"

#include "tests/lib/test.h"

static const struct table_column columns[] = {
    {"Name", TABLE_LEFT },
    {"TL",   TABLE_RIGHT}
};

static const char *render(const char *header, const char *const cells[], uint32_t row_count)
{
    static char out[4096];
    const struct table table = {
        .header = header,
        .columns = columns,
        .column_count = ARRAY_SIZE(columns),
        .cells = cells,
        .row_count = row_count,
    };
    struct text text;

    text_init(&text, out, sizeof out);
    table_render(&table, &text);
    assert_false(text_overflowed(&text));
    return out;
}

static void test_columns_are_as_wide_as_their_widest_cell(void **state)
{
    static const char *const cells[] = {"a", "1", "longer", "12345"};

    (void)state;
    assert_string_equal(
        render(NULL, cells, 2), "+--------+-------+\n"
                                "| Name   |    TL |\n"
                                "+--------+-------+\n"
                                "| a      |     1 |\n"
                                "| longer | 12345 |\n"
                                "+--------+-------+\n");
}

static void test_a_table_without_rows_ends_in_two_rules(void **state)
{
    (void)state;
    assert_string_equal(
        render("", NULL, 0), "+------+----+\n"
                             "| Name | TL |\n"
                             "+------+----+\n"
                             "+------+----+\n");
}

static void test_header_covers_the_border_and_is_cut_to_it(void **state)
{
    static const char *const cells[] = {"a", "1"};

    (void)state;
    assert_string_equal(
        render(" c ", cells, 1), "+ c ---+----+\n"
                                 "| Name | TL |\n"
                                 "+------+----+\n"
                                 "| a    |  1 |\n"
                                 "+------+----+\n");
    assert_string_equal(
        render(" Cluster: demo (1) ", cells, 1), "+ Cluster: d+\n"
                                                 "| Name | TL |\n"
                                                 "+------+----+\n"
                                                 "| a    |  1 |\n"
                                                 "+------+----+\n");
}

static void test_one_cell_of_two_lines_puts_rules_between_all_rows(void **state)
{
    static const char *const cells[] = {"a", "1", "b", "2\n34", "c", ""};

    (void)state;
    assert_string_equal(
        render(NULL, cells, 3), "+------+----+\n"
                                "| Name | TL |\n"
                                "+------+----+\n"
                                "| a    |  1 |\n"
                                "+------+----+\n"
                                "| b    |  2 |\n"
                                "|      | 34 |\n"
                                "+------+----+\n"
                                "| c    |    |\n"
                                "+------+----+\n");
}

static void test_width_is_counted_in_characters_not_bytes(void **state)
{
    static const char *const cells[] = {"\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac!", "1"};

    (void)state;
    assert_string_equal(
        render(
            " \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc"
            "\xc3\xa4\xc3\xb6\xc3\xbc",
            cells, 1),
        "+ \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc"
        "\xc3\xa4\xc3\xb6+\n"
        "| Name  | TL |\n"
        "+-------+----+\n"
        "| \xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac! |  1 |\n"
        "+-------+----+\n");
}

static void test_tsv_has_a_line_of_titles_and_one_per_row(void **state)
{
    static const char *const cells[] = {"a", "1", "", "2"};
    const struct table table = {
        .columns = columns,
        .column_count = ARRAY_SIZE(columns),
        .cells = cells,
        .row_count = 2,
    };
    char out[128];
    struct text text;

    (void)state;
    text_init(&text, out, sizeof out);
    table_render_tsv(&table, &text);
    assert_string_equal(out, "Name\tTL\na\t1\n\t2\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(test_a_table_without_rows_ends_in_two_rules),
        cmocka_unit_test(test_header_covers_the_border_and_is_cut_to_it),
        cmocka_unit_test(test_one_cell_of_two_lines_puts_rules_between_all_rows),
        cmocka_unit_test(test_width_is_counted_in_characters_not_bytes),
        cmocka_unit_test(test_tsv_has_a_line_of_titles_and_one_per_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
