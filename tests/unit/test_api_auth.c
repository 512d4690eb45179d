#include "tests/lib/test.h"

#include <string.h>

#include "api/auth.h"

static const struct auth_rules with_password = {.username = "admin", .password = "secret"};

static enum auth_verdict judge_login(const char *username, const char *password)
{
    const struct auth_caller caller = {
        .has_login = username != NULL, .username = username, .password = password};

    return auth_judge(&with_password, &caller);
}

static void test_only_the_right_name_and_password_pass(void **state)
{
    (void)state;
    assert_int_equal(judge_login("admin", "secret"), AUTH_OK);
    assert_int_equal(judge_login(NULL, NULL), AUTH_NO_LOGIN);
    assert_int_equal(judge_login("admin", NULL), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("admin", ""), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("", "secret"), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("admin", "secreT"), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("admin", "secre"), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("admin", "secretsecret"), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("admin", "secret secret"), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("Admin", "secret"), AUTH_WRONG_LOGIN);
    assert_int_equal(judge_login("secret", "admin"), AUTH_WRONG_LOGIN);
}

static void test_a_name_without_a_password_is_asked_for_the_name(void **state)
{
    const struct auth_rules rules = {.username = "admin"};
    const struct auth_caller right = {.has_login = true, .username = "admin", .password = ""};
    const struct auth_caller wrong = {.has_login = true, .username = "admin", .password = "x"};

    (void)state;
    assert_int_equal(auth_judge(&rules, &right), AUTH_OK);
    assert_int_equal(auth_judge(&rules, &wrong), AUTH_WRONG_LOGIN);
}

static void test_checks_come_in_their_order(void **state)
{
    const struct auth_rules rules = {
        .check_address = true,
        .check_certificate = true,
        .username = "admin",
        .password = "secret",
    };
    struct auth_caller caller = {0};

    (void)state;
    assert_int_equal(auth_judge(&rules, &caller), AUTH_ADDRESS);
    caller.address_allowed = true;
    assert_int_equal(auth_judge(&rules, &caller), AUTH_CERTIFICATE);
    caller.certificate_ok = true;
    assert_int_equal(auth_judge(&rules, &caller), AUTH_NO_LOGIN);
    caller.has_login = true;
    assert_int_equal(auth_judge(&rules, &caller), AUTH_WRONG_LOGIN);
    caller.username = "admin";
    caller.password = "secret";
    assert_int_equal(auth_judge(&rules, &caller), AUTH_OK);
}

static void test_without_rules_everybody_passes(void **state)
{
    const struct auth_rules rules = {0};
    const struct auth_caller caller = {0};

    (void)state;
    assert_int_equal(auth_judge(&rules, &caller), AUTH_OK);
}

static void test_verdicts_have_codes_and_words(void **state)
{
    (void)state;
    assert_int_equal(auth_code(AUTH_OK), 200);
    assert_int_equal(auth_code(AUTH_ADDRESS), 403);
    assert_int_equal(auth_code(AUTH_CERTIFICATE), 403);
    assert_int_equal(auth_code(AUTH_NO_LOGIN), 401);
    assert_int_equal(auth_code(AUTH_WRONG_LOGIN), 401);
    for (int verdict = AUTH_OK; verdict <= AUTH_WRONG_LOGIN; verdict++) {
        assert_true(strlen(auth_text((enum auth_verdict)verdict)) > 0);
    }
    assert_string_not_equal(auth_text(AUTH_NO_LOGIN), auth_text(AUTH_WRONG_LOGIN));
}

static void test_a_network_contains_what_shares_its_first_bits(void **state)
{
    struct auth_net net = {.address = {{0x20, 0x01, 0xff}}, .prefix_bits = 0};
    struct auth_address address = {{0}};

    (void)state;
    assert_true(auth_net_contains(&net, &address));
    for (uint8_t bits = 1; bits <= 128; bits++) {
        net.prefix_bits = bits;
        address = net.address;
        assert_true(auth_net_contains(&net, &address));
        /* Its last bit counts, the one behind it does not. */
        address.bytes[(bits - 1) / 8] ^= (uint8_t)(0x80u >> ((bits - 1) % 8));
        assert_false(auth_net_contains(&net, &address));
        address = net.address;
        if (bits < 128) {
            address.bytes[bits / 8] ^= (uint8_t)(0x80u >> (bits % 8));
            assert_true(auth_net_contains(&net, &address));
        }
    }
}

static void test_the_host_of_a_url(void **state)
{
    static const struct {
        const char *url;
        const char *want; /* NULL: none. */
    } cases[] = {
        {"http://10.0.0.1:8008/patroni",                  "10.0.0.1"  },
        {"https://n1.example/patroni",                    "n1.example"},
        {"https://n1",                                    "n1"        },
        {"http://[fd00::1]:8008/x",                       "fd00::1"   },
        {"http://:8008/",                                 NULL        },
        {"n1:8008",                                       NULL        },
        {"",                                              NULL        },
        {"http://a-name-that-is-longer-than-the-buffer/", NULL        },
    };
    char host[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(auth_url_host(cases[i].url, host, sizeof host), cases[i].want != NULL);
        if (cases[i].want != NULL) {
            assert_string_equal(host, cases[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_right_name_and_password_pass),
        cmocka_unit_test(test_a_name_without_a_password_is_asked_for_the_name),
        cmocka_unit_test(test_checks_come_in_their_order),
        cmocka_unit_test(test_without_rules_everybody_passes),
        cmocka_unit_test(test_verdicts_have_codes_and_words),
        cmocka_unit_test(test_a_network_contains_what_shares_its_first_bits),
        cmocka_unit_test(test_the_host_of_a_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
