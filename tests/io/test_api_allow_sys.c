#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "api/allow_sys.h"
#include "base/text.h"
#include "tests/fake/api_node.h"

static struct api_node node;
static struct allow allow;

static struct auth_address address_of(const char *text)
{
    struct auth_net net;

    assert_true(allow_parse(text, &net));
    return net.address;
}

static bool allows(const char *text)
{
    const struct auth_address address = address_of(text);

    return allow_contains(&allow, &address);
}

static void test_networks_and_addresses_are_read(void **state)
{
    static const struct {
        const char *text;
        int want; /* Bits of the prefix; -1: refused. */
    } cases[] = {
        {"10.0.0.1",                                               128},
        {"10.0.0.0/24",                                            120},
        {"0.0.0.0/0",                                              96 },
        {"::1",                                                    128},
        {"fd00::/8",                                               8  },
        {"::/0",                                                   0  },
        {"10.0.0.0/33",                                            -1 },
        {"10.0.0.0/",                                              -1 },
        {"10.0.0.0/-1",                                            -1 },
        {"10.0.0.0/8x",                                            -1 },
        {"10.0.0",                                                 -1 },
        {"fd00::/129",                                             -1 },
        {"localhost",                                              -1 },
        {"",                                                       -1 },
        {"10.0.0.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", -1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct auth_net net = {.prefix_bits = 200};

        assert_int_equal(allow_parse(cases[i].text, &net), cases[i].want >= 0);
        if (cases[i].want >= 0) {
            assert_int_equal(net.prefix_bits, cases[i].want);
        }
    }
}

static void test_an_ipv4_caller_is_the_same_over_either_protocol(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct auth_address a;
    struct auth_address b;

    (void)state;
    assert_int_equal(inet_pton(AF_INET, "10.1.2.3", &v4.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.2.3", &v6.sin6_addr), 1);
    assert_true(allow_address((struct sockaddr *)&v4, &a));
    assert_true(allow_address((struct sockaddr *)&v6, &b));
    assert_memory_equal(&a, &b, sizeof a);
    assert_false(allow_address(&other, &a));
}

static void allow_list(const char *first, const char *second)
{
    struct node *list = tree_list(&node.tree);

    tree_append(list, tree_string(&node.tree, first));
    if (second != NULL) {
        tree_append(list, tree_string(&node.tree, second));
    }
    node.conf.restapi.allowlist = list;
}

static void test_without_a_list_everybody_is_allowed(void **state)
{
    (void)state;
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_false(allow.active);
    assert_true(allows("192.0.2.1"));
}

static void test_who_is_on_the_list_is_allowed(void **state)
{
    (void)state;
    allow_list("10.0.0.0/24", "fd00::/16");
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_true(allows("10.0.0.7"));
    assert_false(allows("10.0.1.7"));
    assert_true(allows("fd00::1"));
    assert_false(allows("fd01::1"));
    assert_false(allows("::1"));
}

static void test_members_are_allowed_if_the_settings_say_so(void **state)
{
    (void)state;
    node.conf.restapi.allowlist_include_members = true;
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_true(allows("10.0.0.3"));
    assert_false(allows("10.0.0.4"));
    allow_list("192.0.2.1", NULL);
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_true(allows("10.0.0.3"));
    assert_true(allows("192.0.2.1"));
}

static void test_a_host_allows_nobody_before_it_was_found(void **state)
{
    (void)state;
    allow_list("db-admin.example", NULL);
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_int_equal(allow.host_count, 1);
    assert_false(allows("192.0.2.1"));
    allow.hosts[0].addresses[0] = address_of("192.0.2.1");
    allow.hosts[0].count = 1;
    assert_true(allows("192.0.2.1"));
    /* The rules made anew keep what is known of hosts that stay. */
    allow_list("10.0.0.1", "DB-admin.example");
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_true(allows("192.0.2.1"));
    allow_list("10.0.0.1", NULL);
    assert_true(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_false(allows("192.0.2.1"));
}

static void test_too_many_entries_are_told(void **state)
{
    struct node *list = tree_list(&node.tree);

    (void)state;
    for (uint32_t i = 0; i <= ALLOW_HOSTS_MAX; i++) {
        char name[16];
        struct text text;

        text_init(&text, name, sizeof name);
        text_addf(&text, "host%u", i);
        tree_append(list, tree_string(&node.tree, name));
    }
    assert_false(tree_full(&node.tree));
    node.conf.restapi.allowlist = list;
    assert_false(allow_set(&allow, &node.conf.restapi, &node.view));
    assert_int_equal(allow.host_count, ALLOW_HOSTS_MAX);
}

static int set_up(void **state)
{
    (void)state;
    api_node_init(&node);
    memset(&allow, 0, sizeof allow);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_networks_and_addresses_are_read),
        TEST(test_an_ipv4_caller_is_the_same_over_either_protocol),
        TEST(test_without_a_list_everybody_is_allowed),
        TEST(test_who_is_on_the_list_is_allowed),
        TEST(test_members_are_allowed_if_the_settings_say_so),
        TEST(test_a_host_allows_nobody_before_it_was_found),
        TEST(test_too_many_entries_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
