#include "cli/rows.h"

#include <stdlib.h>
#include <string.h>

#include "cli/member.h"
#include "conf/tree_json.h"
#include "tests/lib/test.h"

#define SYSTEM_IDENTIFIER "\"system_identifier\": \"7415036829190013573\""

/* Everything a case needs; big, so that it lives on the heap of the group. */
struct fixture {
    struct tree tree;
    char memory[1 << 18];
    char out[1 << 16];
    char header[256];
    const char *cells[1024];
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
        fail_msg("%s", err.text);
    }
    return root;
}

/* The table a user would see; in the fixture's memory. */
static const char *render(
    struct fixture *fixture, const char *json, enum rows_form form, bool extended)
{
    const struct node *cluster = parse(fixture, json);
    const struct node *rows = rows_members(&fixture->tree, cluster, form);
    struct rows_layout layout;
    struct table table = {.header = fixture->header};
    struct text text;

    text_init(&text, fixture->header, sizeof fixture->header);
    rows_header(cluster, &text);
    rows_members_layout(rows, form, extended, &layout);
    assert_true(rows->count * layout.count <= ARRAY_SIZE(fixture->cells));
    rows_cells(&fixture->tree, rows, &layout, form, fixture->cells);
    table.columns = layout.columns;
    table.column_count = layout.count;
    table.cells = fixture->cells;
    table.row_count = rows->count;

    text_init(&text, fixture->out, sizeof fixture->out);
    if (form == ROWS_TSV) {
        table_render_tsv(&table, &text);
    } else {
        table_render(&table, &text);
        rows_footer(cluster, &text);
    }
    assert_false(tree_full(&fixture->tree));
    assert_false(text_overflowed(&text));
    return fixture->out;
}

static const char healthy[] =
    "{\"scope\": \"demo\", " SYSTEM_IDENTIFIER ", \"pause\": true,"
    " \"scheduled_switchover\": {\"at\": \"2026-08-01T03:00:00+00:00\", \"from\": \"n1\","
    "  \"to\": \"n2\"},"
    " \"members\": ["
    "{\"name\": \"n3\", \"role\": \"replica\", \"state\": \"streaming\", \"timeline\": 4,"
    " \"host\": \"10.0.0.3\", \"port\": 5432, \"receive_lsn\": \"0/9000148\","
    " \"receive_lag\": 0, \"replay_lsn\": \"0/7F00000\", \"replay_lag\": 17826120},"
    "{\"name\": \"n1\", \"role\": \"leader\", \"state\": \"running\", \"timeline\": 4,"
    " \"host\": \"10.0.0.1\", \"port\": 5432},"
    "{\"name\": \"n2\", \"role\": \"sync_standby\", \"state\": \"streaming\", \"timeline\": 4,"
    " \"host\": \"10.0.0.2\", \"port\": 5432, \"receive_lsn\": \"0/9000148\","
    " \"receive_lag\": 0, \"replay_lsn\": \"0/9000148\", \"replay_lag\": 0}]}";

static void test_list_shows_the_known_table(void **state)
{
    assert_string_equal(
        render(*state, healthy, ROWS_PRETTY, false),
        "+ Cluster: demo (7415036829190013573) "
        "---------+----+-------------+-----+------------+-----+\n"
        "| Member | Host     | Role         | State     | TL | Receive LSN | Lag | Replay LSN | "
        "Lag |\n"
        "+--------+----------+--------------+-----------+----+-------------+-----+------------+----"
        "-+\n"
        "| n1     | 10.0.0.1 | Leader       | running   |  4 |             |     |            |    "
        " |\n"
        "| n2     | 10.0.0.2 | Sync Standby | streaming |  4 |   0/9000148 |   0 |  0/9000148 |   "
        "0 |\n"
        "| n3     | 10.0.0.3 | Replica      | streaming |  4 |   0/9000148 |   0 |  0/7F00000 |  "
        "17 |\n"
        "+--------+----------+--------------+-----------+----+-------------+-----+------------+----"
        "-+\n"
        " Maintenance mode: on\n"
        " Switchover scheduled at: 2026-08-01T03:00:00+00:00\n"
        "                    from: n1\n"
        "                      to: n2\n");
}

static const char busy[] =
    "{\"scope\": \"demo\", " SYSTEM_IDENTIFIER ", \"members\": ["
    "{\"name\": \"n1\", \"role\": \"leader\", \"state\": \"running\", \"timeline\": 4,"
    " \"host\": \"h\", \"port\": 5432, \"pending_restart\": true,"
    " \"pending_restart_reason\": {"
    "\"max_connections\": {\"old_value\": \"100\", \"new_value\": \"200\"},"
    "\"shared_buffers\": {\"old_value\": \"128MB\", \"new_value\": \"1GB\"}},"
    " \"scheduled_restart\": {\"schedule\": \"2026-08-01T03:00:00+00:00\"}},"
    "{\"name\": \"n2\", \"role\": \"replica\", \"state\": \"in archive recovery\","
    " \"timeline\": 4, \"host\": \"h\", \"port\": 5433, \"receive_lsn\": \"unknown\","
    " \"receive_lag\": \"unknown\", \"replay_lsn\": \"0/9000148\", \"replay_lag\": 0,"
    " \"tags\": {\"clonefrom\": true, \"nofailover\": true}}]}";

static void test_cells_of_several_lines_stand_between_rules(void **state)
{

    assert_string_equal(
        render(*state, busy, ROWS_PRETTY, false),
        "+ Cluster: demo (7415036829190013573) "
        "------------+----+-------------+-----+------------+-----+"
        "-----------------+----------------------------+---------------------------+---------------"
        "---+\n"
        "| Member | Host   | Role    | State               | TL | Receive LSN | Lag | Replay LSN | "
        "Lag |"
        " Pending restart | Pending restart reason     | Scheduled restart         | Tags          "
        "   |\n"
        "+--------+--------+---------+---------------------+----+-------------+-----+------------+-"
        "----+"
        "-----------------+----------------------------+---------------------------+---------------"
        "---+\n"
        "| n1     | h:5432 | Leader  | running             |  4 |             |     |            | "
        "    |"
        " *               | max_connections: 100->200  | 2026-08-01T03:00:00+00:00 |               "
        "   |\n"
        "|        |        |         |                     |    |             |     |            | "
        "    |"
        "                 | shared_buffers: 128MB->1GB |                           |               "
        "   |\n"
        "+--------+--------+---------+---------------------+----+-------------+-----+------------+-"
        "----+"
        "-----------------+----------------------------+---------------------------+---------------"
        "---+\n"
        "| n2     | h:5433 | Replica | in archive recovery |  4 |     unknown |     |  0/9000148 | "
        "  0 |"
        "                 |                            |                           | clonefrom: "
        "true  |\n"
        "|        |        |         |                     |    |             |     |            | "
        "    |"
        "                 |                            |                           | nofailover: "
        "true |\n"
        "+--------+--------+---------+---------------------+----+-------------+-----+------------+-"
        "----+"
        "-----------------+----------------------------+---------------------------+---------------"
        "---+\n");
}

static void test_topology_hangs_replicas_below_their_upstream(void **state)
{
    assert_string_equal(
        render(
            *state,
            "{\"scope\": \"dr\", " SYSTEM_IDENTIFIER ", \"members\": ["
            "{\"name\": \"n1\", \"role\": \"standby_leader\", \"state\": \"streaming\","
            " \"timeline\": 4, \"host\": \"10.0.0.1\", \"port\": 5432,"
            " \"receive_lsn\": \"0/9000148\", \"receive_lag\": 0, \"replay_lsn\": \"0/9000148\","
            " \"replay_lag\": 0},"
            "{\"name\": \"n2\", \"role\": \"replica\", \"state\": \"streaming\","
            " \"timeline\": 4, \"host\": \"10.0.0.2\", \"port\": 5432,"
            " \"receive_lsn\": \"0/9000148\", \"receive_lag\": 0, \"replay_lsn\": \"0/9000148\","
            " \"replay_lag\": 0},"
            "{\"name\": \"n3\", \"role\": \"replica\", \"state\": \"streaming\","
            " \"timeline\": 4, \"host\": \"10.0.0.3\", \"port\": 5432,"
            " \"receive_lsn\": \"0/9000148\", \"receive_lag\": 0, \"replay_lsn\": \"0/9000148\","
            " \"replay_lag\": 0, \"tags\": {\"replicatefrom\": \"n2\"}}]}",
            ROWS_TOPOLOGY, false),
        /* The tags are shown as well, which the description's example leaves out. */
        "+ Cluster: dr (7415036829190013573) "
        "-+-----------+----+-------------+-----+------------+-----+---------------------+\n"
        "| Member | Host     | Role           | State     | TL | Receive LSN | Lag | Replay LSN | "
        "Lag | Tags                |\n"
        "+--------+----------+----------------+-----------+----+-------------+-----+------------+--"
        "---+---------------------+\n"
        "| n1     | 10.0.0.1 | Standby Leader | streaming |  4 |   0/9000148 |   0 |  0/9000148 |  "
        " 0 |                     |\n"
        "| + n2   | 10.0.0.2 | Replica        | streaming |  4 |   0/9000148 |   0 |  0/9000148 |  "
        " 0 |                     |\n"
        "|   + n3 | 10.0.0.3 | Replica        | streaming |  4 |   0/9000148 |   0 |  0/9000148 |  "
        " 0 | {replicatefrom: n2} |\n"
        "+--------+----------+----------------+-----------+----+-------------+-----+------------+--"
        "---+---------------------+\n");
}

/* The column of names, one per line, without padding. */
static const char *names_of(struct fixture *fixture, const char *json)
{
    const struct node *rows = rows_members(&fixture->tree, parse(fixture, json), ROWS_TOPOLOGY);
    struct text text;

    text_init(&text, fixture->out, sizeof fixture->out);
    for (const struct node *row = rows->first; row != NULL; row = row->next) {
        text_addf(&text, "%s\n", member_field(row, "Member"));
    }
    return fixture->out;
}

#define MEMBER(name, role) "{\"name\": \"" name "\", \"role\": \"" role "\"}"
#define CASCADE(name, upstream)                       \
    "{\"name\": \"" name "\", \"role\": \"replica\"," \
    " \"tags\": {\"replicatefrom\": \"" upstream "\"}}"
#define MEMBERS(list) "{\"scope\": \"c\", \"members\": [" list "]}"

static void test_topology_keeps_every_member_whatever_the_tags_say(void **state)
{
    static const struct {
        const char *json;
        const char *want;
    } cases[] = {
  /* The leader stands first, whatever its name. */
        {MEMBERS(MEMBER("a",         "replica") "," MEMBER("z",           "leader")), "z\n+ a\n"},
 /* An upstream that does not exist, or is the leader, means the leader. */
        {MEMBERS(MEMBER("a",                "leader") "," CASCADE("b",                                                   "x") "," CASCADE("c", "a")),
         "a\n+ b\n+ c\n"},
 /* A chain against the order of names. */
        {MEMBERS(MEMBER("a","leader") "," CASCADE("b","c") "," CASCADE("c", "d") "," MEMBER(
             "d", "replica")),
         "a\n+ d\n  + c\n    + b\n"},
 /* Branches come back to the right level. */
        {MEMBERS(MEMBER("a",            "leader") "," MEMBER("b",                                               "replica") "," CASCADE("c", "b") "," CASCADE(
             "d", "c") "," CASCADE("e", "b") "," MEMBER("f", "replica")),
         "a\n+ b\n  + c\n    + d\n  + e\n+ f\n"},
 /* Two that name each other are still shown. */
        {MEMBERS(MEMBER("a",                "leader") "," CASCADE("b",                                                                                 "c") "," CASCADE("c", "b")),
         "a\n+ b\n  + c\n"},
 /* One that names itself. */
        {MEMBERS(MEMBER("a",               "leader") "," CASCADE("b",                                      "b")), "a\n+ b\n"},
 /* Nobody leads. */
        {MEMBERS(MEMBER("a",         "replica") "," MEMBER("b",         "replica")), "+ a\n+ b\n"},
        {MEMBERS(""),           ""                         },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(names_of(*state, cases[i].json), cases[i].want);
    }
}

static void test_tsv_names_cluster_and_columns_in_full(void **state)
{
    assert_string_equal(
        render(*state, busy, ROWS_TSV, false),
        "Cluster\tMember\tHost\tRole\tState\tTL\tReceive LSN\tReceive Lag\tReplay LSN\tReplay Lag\t"
        "Pending restart\tPending restart reason\tScheduled restart\tTags\n"
        "demo\tn1\th:5432\tLeader\trunning\t4\t\t\t\t\t*\t"
        "max_connections: 100->200\nshared_buffers: 128MB->1GB\t2026-08-01T03:00:00+00:00\t\n"
        "demo\tn2\th:5433\tReplica\tin archive recovery\t4\tunknown\t\t0/9000148\t0\t\t\t\t"
        "{clonefrom: true, nofailover: true}\n");
}

static void test_json_keeps_types_and_leaves_out_what_is_empty(void **state)
{
    struct fixture *fixture = *state;
    const struct node *rows = rows_members(&fixture->tree, parse(fixture, busy), ROWS_JSON);
    struct text text;
    struct err err;

    text_init(&text, fixture->out, sizeof fixture->out);
    assert_int_equal(tree_json_print(rows, 0, &text, &err), STATUS_OK);
    assert_string_equal(
        fixture->out,
        "[{\"Cluster\": \"demo\", \"Member\": \"n1\", \"Host\": \"h:5432\", \"Role\": \"Leader\","
        " \"State\": \"running\", \"TL\": 4, \"Pending restart\": \"*\","
        " \"Pending restart reason\":"
        " \"max_connections: 100->200\\nshared_buffers: 128MB->1GB\","
        " \"Scheduled restart\": \"2026-08-01T03:00:00+00:00\"},"
        " {\"Cluster\": \"demo\", \"Member\": \"n2\", \"Host\": \"h:5433\","
        " \"Role\": \"Replica\", \"State\": \"in archive recovery\", \"TL\": 4,"
        " \"Receive LSN\": \"unknown\", \"Replay LSN\": \"0/9000148\", \"Replay Lag\": 0,"
        " \"Tags\": {\"clonefrom\": true, \"nofailover\": true}}]");
}

static void test_extended_shows_columns_that_nobody_fills(void **state)
{
    const char *out = render(
        *state, MEMBERS("{\"name\": \"a\", \"rings\": [\"timer\", \"cgroup.kill\"]}"), ROWS_PRETTY,
        true);

    assert_non_null(strstr(
        out, "| Pending restart | Pending restart reason | Scheduled restart | Tags | Rings"));
    assert_non_null(strstr(out, "| timer, cgroup.kill |"));
    assert_null(strstr(render(*state, MEMBERS(MEMBER("a", "leader")), ROWS_PRETTY, false), "Tags"));
}

static void test_long_reasons_are_hidden_in_tables_only(void **state)
{
    static const char json[] =
        MEMBERS("{\"name\": \"a\", \"pending_restart\": true, \"pending_restart_reason\": {\"p\":"
                "{\"old_value\": \"12345678901234567890123456789012345678901234567890\","
                " \"new_value\": \"1\"}}}");

    assert_non_null(strstr(render(*state, json, ROWS_PRETTY, false), "p: [hidden - too long]"));
    assert_non_null(strstr(render(*state, json, ROWS_TSV, false), "67890->1\n"));
}

static void test_header_tells_of_a_cluster_without_data(void **state)
{
    static const struct {
        const char *json;
        const char *want;
    } cases[] = {
        {"{\"scope\": \"c\", \"system_identifier\": \"12\"}", " Cluster: c (12) "           },
        {"{\"scope\": \"c\", \"system_identifier\": \"\"}",   " Cluster: c (initializing) " },
        {"{\"scope\": \"c\", \"system_identifier\": null}",   " Cluster: c (uninitialized) "},
        {"{\"scope\": \"c\"}",                                " Cluster: c (uninitialized) "},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct text text;

        text_init(&text, fixture->out, sizeof fixture->out);
        rows_header(parse(fixture, cases[i].json), &text);
        assert_string_equal(fixture->out, cases[i].want);
    }
}

static void test_a_node_that_knows_nobody_says_why(void **state)
{
    assert_non_null(strstr(
        render(*state, "{\"scope\": \"demo\", \"members\": []}", ROWS_PRETTY, false),
        "+\n No member is known: since its start this node has not heard a majority\n"));
}

static void test_tags_that_read_as_something_else_are_quoted(void **state)
{
    const char *out = render(
        *state,
        MEMBERS("{\"name\": \"a\", \"tags\": {\"a\": \"true\", \"b\": \"it's: so\", \"c\": 7,"
                " \"d\": [1, \"x\"], \"e\": \"plain\"}}"),
        ROWS_TSV, false);

    assert_non_null(strstr(out, "\t{a: 'true', b: 'it''s: so', c: 7, d: [1, x], e: plain}\n"));
}

static void test_history_is_a_table_with_blanks_for_what_is_missing(void **state)
{
    struct fixture *fixture = *state;
    const struct node *history = parse(
        fixture, "[[1, 25623960, \"no recovery target specified\","
                 " \"2026-07-01T10:00:00.123456+00:00\", \"n2\"], [2, 7, \"x\"]]");
    const struct node *rows = rows_history(&fixture->tree, history);
    struct rows_layout layout;
    struct table table = {.header = NULL};
    struct text text;

    rows_history_layout(&layout);
    rows_cells(&fixture->tree, rows, &layout, ROWS_PRETTY, fixture->cells);
    table.columns = layout.columns;
    table.column_count = layout.count;
    table.cells = fixture->cells;
    table.row_count = rows->count;
    text_init(&text, fixture->out, sizeof fixture->out);
    table_render(&table, &text);
    assert_string_equal(
        fixture->out, "+----+----------+------------------------------+----------------------------"
                      "------+------------+\n"
                      "| TL |      LSN | Reason                       | Timestamp                  "
                      "      | New Leader |\n"
                      "+----+----------+------------------------------+----------------------------"
                      "------+------------+\n"
                      "|  1 | 25623960 | no recovery target specified | "
                      "2026-07-01T10:00:00.123456+00:00 | n2         |\n"
                      "|  2 |        7 | x                            |                            "
                      "      |            |\n"
                      "+----+----------+------------------------------+----------------------------"
                      "------+------------+\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_shows_the_known_table),
        cmocka_unit_test(test_cells_of_several_lines_stand_between_rules),
        cmocka_unit_test(test_topology_hangs_replicas_below_their_upstream),
        cmocka_unit_test(test_topology_keeps_every_member_whatever_the_tags_say),
        cmocka_unit_test(test_tsv_names_cluster_and_columns_in_full),
        cmocka_unit_test(test_json_keeps_types_and_leaves_out_what_is_empty),
        cmocka_unit_test(test_extended_shows_columns_that_nobody_fills),
        cmocka_unit_test(test_long_reasons_are_hidden_in_tables_only),
        cmocka_unit_test(test_header_tells_of_a_cluster_without_data),
        cmocka_unit_test(test_a_node_that_knows_nobody_says_why),
        cmocka_unit_test(test_tags_that_read_as_something_else_are_quoted),
        cmocka_unit_test(test_history_is_a_table_with_blanks_for_what_is_missing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
