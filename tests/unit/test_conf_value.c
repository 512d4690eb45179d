#include "conf/value.h"

#include <string.h>

#include "tests/lib/test.h"

static void test_whole_numbers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } cases[] = {
        {"0",                   true,  0                          },
        {"42",                  true,  42                         },
        {"-1",                  true,  -1                         },
        {"007",                 true,  7                          },
        {"999999999999999999",  true,  INT64_C(999999999999999999)},
        {"9999999999999999999", false, 0                          },
        {"",                    false, 0                          },
        {"-",                   false, 0                          },
        {"1.0",                 false, 0                          },
        {"1.5",                 false, 0                          },
        {"1MB",                 false, 0                          },
        {"1 ",                  true,  1                          },
        {" 1",                  false, 0                          },
        {"abc",                 false, 0                          },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t value = 77;

        assert_int_equal(value_count(cases[i].text, &value), cases[i].ok);
        assert_int_equal(value, cases[i].ok ? cases[i].want : 77);
    }
}

static void test_seconds_with_and_without_units(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t ms;
    } cases[] = {
        {"2",              true,  2000    },
        {"1.5",            true,  1500    },
        {"0.1",            true,  100     },
        {"0.0004",         true,  0       },
        {"500ms",          true,  500     },
        {"500 ms",         true,  500     },
        {"1500us",         true,  1       },
        {"10s",            true,  10000   },
        {"30min",          true,  1800000 },
        {"1.5h",           true,  5400000 },
        {"1d",             true,  86400000},
        {"-1",             true,  -1000   },
        {"1m",             false, 0       },
        {"1.",             false, 0       },
        {".5",             false, 0       },
        {"1.1234567",      false, 0       },
        {"9999999999999d", false, 0       },
        {"ten",            false, 0       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t ms = 77;

        assert_int_equal(value_seconds(cases[i].text, &ms), cases[i].ok);
        assert_int_equal(ms, cases[i].ok ? cases[i].ms : 77);
    }
}

static void test_bytes_with_and_without_units(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } cases[] = {
        {"1048576",       true,  1048576         },
        {"1MB",           true,  1048576         },
        {"0.5MB",         true,  524288          },
        {"16kB",          true,  16384           },
        {"2GB",           true,  INT64_C(2) << 30},
        {"1TB",           true,  INT64_C(1) << 40},
        {"-1",            true,  -1              },
        {"1mb",           false, 0               },
        {"MB",            false, 0               },
        {"99999999999TB", false, 0               },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t bytes = 77;

        assert_int_equal(value_bytes(cases[i].text, &bytes), cases[i].ok);
        assert_int_equal(bytes, cases[i].ok ? cases[i].want : 77);
    }
}

static void test_permission_bits_are_octal(void **state)
{
    int64_t mode = 0;

    (void)state;
    assert_true(value_mode("0640", &mode));
    assert_int_equal(mode, 0640);
    assert_true(value_mode("0o600", &mode));
    assert_int_equal(mode, 0600);
    assert_false(value_mode("0648", &mode));
    assert_false(value_mode("", &mode));
    assert_false(value_mode("rw-r--r--", &mode));
}

static void test_addresses_to_connect_to(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"10.0.0.1:5432",        true,  "10.0.0.1",         5432 },
        {"db-1.example.com:1",   true,  "db-1.example.com", 1    },
        {"[fe80::1%eth0]:65535", true,  "fe80::1%eth0",     65535},
        {"[::1]:80",             true,  "::1",              80   },
        {"::1:80",               false, "",                 0    },
        {"10.0.0.1",             false, "",                 0    },
        {"10.0.0.1:",            false, "",                 0    },
        {"10.0.0.1:0",           false, "",                 0    },
        {"10.0.0.1:65536",       false, "",                 0    },
        {"10.0.0.1:5432x",       false, "",                 0    },
        {":5432",                false, "",                 0    },
        {"[]:5432",              false, "",                 0    },
        {"a b:5432",             false, "",                 0    },
        {"a,b:5432",             false, "",                 0    },
        {"*:5432",               false, "",                 0    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_address address = {.host = "unchanged", .port = 9};

        assert_int_equal(value_address(cases[i].text, &address), cases[i].ok);
        assert_string_equal(address.host, cases[i].ok ? cases[i].host : "unchanged");
        assert_int_equal(address.port, cases[i].ok ? cases[i].port : 9);
    }
}

static void test_addresses_to_listen_on(void **state)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused. */
    } cases[] = {
        {"*:8008",                 "*"                 },
        {"0.0.0.0:8008",           "0.0.0.0"           },
        {"10.0.0.1, 127.0.0.1:80", "10.0.0.1,127.0.0.1"},
        {"[::1],10.0.0.1:80",      "::1,10.0.0.1"      },
        {"[::]:80",                "::"                },
        {",a:80",                  NULL                },
        {"a,:80",                  NULL                },
        {"a,,b:80",                NULL                },
        {"a;b:80",                 NULL                },
        {" :80",                   NULL                },
        {"8008",                   NULL                },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_address address = {.port = 0};

        assert_int_equal(value_listen(cases[i].text, &address), cases[i].host != NULL);
        assert_string_equal(address.host, cases[i].host != NULL ? cases[i].host : "");
    }
}

static void test_a_host_longer_than_the_field_is_refused(void **state)
{
    char text[CONF_HOST_MAX + 16];
    struct conf_address address = {.port = 0};

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(&text[CONF_HOST_MAX], ":80", 4);
    assert_false(value_address(text, &address));
    assert_false(value_listen(text, &address));
    memcpy(&text[CONF_HOST_MAX - 1], ":80", 4);
    assert_true(value_address(text, &address));
    assert_int_equal(strlen(address.host), CONF_HOST_MAX - 1);
}

static void test_wildcard_and_loopback(void **state)
{
    (void)state;
    assert_true(value_is_wildcard("*"));
    assert_true(value_is_wildcard("0.0.0.0"));
    assert_true(value_is_wildcard("::"));
    assert_false(value_is_wildcard("10.0.0.1"));
    assert_true(value_is_loopback("127.0.0.2"));
    assert_true(value_is_loopback("LocalHost"));
    assert_true(value_is_loopback("::1"));
    assert_false(value_is_loopback("12.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_seconds_with_and_without_units),
        cmocka_unit_test(test_bytes_with_and_without_units),
        cmocka_unit_test(test_permission_bits_are_octal),
        cmocka_unit_test(test_addresses_to_connect_to),
        cmocka_unit_test(test_addresses_to_listen_on),
        cmocka_unit_test(test_a_host_longer_than_the_field_is_refused),
        cmocka_unit_test(test_wildcard_and_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
