#include "tests/lib/test.h"

#include "api/route.h"

static void test_method_and_first_segment_decide(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        enum route_kind want;
    } cases[] = {
        {"GET",     "/",              ROUTE_HEALTH           },
        {"GET",     "/primary",       ROUTE_HEALTH           },
        {"GET",     "/no-such-thing", ROUTE_HEALTH           },
        {"GET",     "/patronix",      ROUTE_HEALTH           },
        {"GET",     "",               ROUTE_HEALTH           },
        {"GET",     "/liveness",      ROUTE_LIVENESS         },
        {"GET",     "/readiness",     ROUTE_READINESS        },
        {"GET",     "/patroni",       ROUTE_PATRONI          },
        {"GET",     "/patroni/x/y",   ROUTE_PATRONI          },
        {"GET",     "/cluster",       ROUTE_CLUSTER          },
        {"GET",     "/history",       ROUTE_HISTORY          },
        {"GET",     "/state",         ROUTE_STATE            },
        {"GET",     "/metrics",       ROUTE_METRICS          },
        {"GET",     "/failsafe",      ROUTE_FAILSAFE         },
        {"GET",     "/config",        ROUTE_CONFIG           },
        {"GET",     "/switchover",    ROUTE_HEALTH           },
        {"PATCH",   "/config",        ROUTE_CONFIG_PATCH     },
        {"PUT",     "/config",        ROUTE_CONFIG_PUT       },
        {"POST",    "/config",        ROUTE_UNKNOWN          },
        {"POST",    "/switchover",    ROUTE_SWITCHOVER       },
        {"DELETE",  "/switchover",    ROUTE_SWITCHOVER_DELETE},
        {"POST",    "/failover",      ROUTE_FAILOVER         },
        {"DELETE",  "/failover",      ROUTE_UNKNOWN          },
        {"POST",    "/restart",       ROUTE_RESTART          },
        {"POST",    "/restart/x",     ROUTE_RESTART          },
        {"DELETE",  "/restart",       ROUTE_RESTART_DELETE   },
        {"POST",    "/reload",        ROUTE_RELOAD           },
        {"POST",    "/reinitialize",  ROUTE_REINITIALIZE     },
        {"DELETE",  "/members/n3",    ROUTE_MEMBER_DELETE    },
        {"POST",    "/",              ROUTE_UNKNOWN          },
        {"POST",    "/primary",       ROUTE_UNKNOWN          },
        {"POST",    "/sigterm",       ROUTE_UNKNOWN          },
        {"BREW",    "/patroni",       ROUTE_UNKNOWN          },
        {"get",     "/patroni",       ROUTE_UNKNOWN          },
        {"HEAD",    "/primary",       ROUTE_HEALTH           },
        {"HEAD",    "/patroni",       ROUTE_HEALTH           },
        {"OPTIONS", "/cluster",       ROUTE_HEALTH           },
        {"OPTIONS", "/liveness",      ROUTE_HEALTH           },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct route *route = route_find(cases[i].method, cases[i].path);

        if (route->kind != cases[i].want) {
            fail_msg("%s %s is %d", cases[i].method, cases[i].path, route->kind);
        }
    }
}

static void test_what_changes_something_is_not_safe(void **state)
{
    static const char *const changes[][2] = {
        {"PATCH",  "/config"      },
        {"PUT",    "/config"      },
        {"POST",   "/switchover"  },
        {"POST",   "/failover"    },
        {"DELETE", "/switchover"  },
        {"POST",   "/restart"     },
        {"DELETE", "/restart"     },
        {"POST",   "/reload"      },
        {"POST",   "/reinitialize"},
        {"DELETE", "/members/n2"  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        assert_false(route_find(changes[i][0], changes[i][1])->safe);
    }
    assert_true(route_find("GET", "/config")->safe);
    assert_true(route_find("HEAD", "/config")->safe);
}

static void test_the_rest_of_a_path_is_what_follows_the_first_segment(void **state)
{
    (void)state;
    assert_string_equal(route_rest("/members/n1"), "n1");
    assert_string_equal(route_rest("/members/a/b"), "a/b");
    assert_string_equal(route_rest("/members/"), "");
    assert_string_equal(route_rest("/members"), "");
    assert_string_equal(route_rest(""), "");
    assert_string_equal(route_rest("members/n1"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_method_and_first_segment_decide),
        cmocka_unit_test(test_what_changes_something_is_not_safe),
        cmocka_unit_test(test_the_rest_of_a_path_is_what_follows_the_first_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
