#include "cli/nodes.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/lib/test.h"

static void test_addresses_become_the_base_of_a_url(void **state)
{
    static const struct {
        const char *address;
        const char *want; /* NULL: refused. */
    } cases[] = {
        {"http://10.0.0.1:8008/patroni", "http://10.0.0.1:8008" },
        {"https://h:443",                "https://h:443"        },
        {"https://h/patroni",            "https://h:8008"       },
        {"h:1",                          "http://h:1"           },
        {"h",                            "http://h:8008"        },
        {"h:",                           "http://h:8008"        },
        {"[::1]:8009",                   "http://[::1]:8009"    },
        {"http://[fe80::1]/x",           "http://[fe80::1]:8008"},
        {"",                             NULL                   },
        {":8008",                        NULL                   },
        {"http://",                      NULL                   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char url[NODES_URL_SIZE];
        const bool ok = nodes_base(cases[i].address, "http", "8008", url);

        assert_int_equal(ok, cases[i].want != NULL);
        if (ok) {
            assert_string_equal(url, cases[i].want);
        }
    }
}

static void test_an_address_that_is_too_long_is_left_out(void **state)
{
    struct nodes *nodes = calloc(1, sizeof *nodes);
    char address[2 * NODES_URL_SIZE];

    (void)state;
    memset(address, 'a', sizeof address - 1);
    address[sizeof address - 1] = '\0';
    nodes_add(nodes, address, "http", "8008");
    nodes_add_list(nodes, address, "http", "8008");
    nodes_prefer(nodes, address, "http", "8008");
    assert_int_equal(nodes->count, 0);
    free(nodes);
}

static void test_lists_are_taken_apart_and_nobody_is_asked_twice(void **state)
{
    struct nodes *nodes = calloc(1, sizeof *nodes);

    (void)state;
    nodes_add_list(nodes, "http://a:1/, b,,c:3 ,http://b:8008", "http", "8008");
    assert_int_equal(nodes->count, 3);
    assert_string_equal(nodes->urls[0], "http://a:1");
    assert_string_equal(nodes->urls[1], "http://b:8008");
    assert_string_equal(nodes->urls[2], "http://c:3");
    free(nodes);
}

static void test_the_preferred_node_comes_first_and_the_others_keep_their_order(void **state)
{
    struct nodes *nodes = calloc(1, sizeof *nodes);

    (void)state;
    nodes_add_list(nodes, "a,b,c", "http", "1");
    nodes_prefer(nodes, "http://c:1/patroni", "http", "1");
    assert_string_equal(nodes->urls[0], "http://c:1");
    assert_string_equal(nodes->urls[1], "http://a:1");
    assert_string_equal(nodes->urls[2], "http://b:1");
    nodes_prefer(nodes, "d", "http", "1");
    assert_int_equal(nodes->count, 4);
    assert_string_equal(nodes->urls[0], "http://d:1");
    assert_string_equal(nodes->urls[3], "http://b:1");
    free(nodes);
}

static void test_a_full_list_takes_no_more(void **state)
{
    struct nodes *nodes = calloc(1, sizeof *nodes);

    (void)state;
    for (unsigned i = 0; i <= NODES_MAX; i++) {
        char address[32];
        struct text text;

        text_init(&text, address, sizeof address);
        text_addf(&text, "n%u", i);
        nodes_add(nodes, address, "http", "1");
    }
    assert_int_equal(nodes->count, NODES_MAX);
    nodes_prefer(nodes, "late", "http", "1");
    assert_string_equal(nodes->urls[0], "http://n0:1");
    free(nodes);
}

static void test_hosts_and_ports_are_found(void **state)
{
    static const struct {
        const char *address;
        const char *host;
        const char *port;
    } cases[] = {
        {"10.0.0.1:2222", "10.0.0.1", "2222"},
        {"h",             "h",        "9"   },
        {"[::1]:2222",    "[::1]",    "2222"},
        {"http://h:1",    "h",        "1"   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char host[32];

        assert_true(nodes_host(cases[i].address, host, sizeof host));
        assert_string_equal(host, cases[i].host);
        assert_string_equal(nodes_port(cases[i].address, "9"), cases[i].port);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_become_the_base_of_a_url),
        cmocka_unit_test(test_an_address_that_is_too_long_is_left_out),
        cmocka_unit_test(test_lists_are_taken_apart_and_nobody_is_asked_twice),
        cmocka_unit_test(test_the_preferred_node_comes_first_and_the_others_keep_their_order),
        cmocka_unit_test(test_a_full_list_takes_no_more),
        cmocka_unit_test(test_hosts_and_ports_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
