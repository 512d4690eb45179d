#include "pgctl/controldata.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"

static const char standby[] = "pg_control version number:            1300\n"
                              "Catalog version number:               202209061\n"
                              "Database system identifier:           7710179818768487421\n"
                              "Database cluster state:               in archive recovery\n"
                              "pg_control last modified:             Fri Nov 20 09:15:30 2026\n"
                              "Latest checkpoint location:           0/1511A88\n"
                              "Latest checkpoint's REDO location:    0/1511A00\n"
                              "Latest checkpoint's REDO WAL file:    000000010000000000000001\n"
                              "Latest checkpoint's TimeLineID:       4\n"
                              "Latest checkpoint's PrevTimeLineID:   4\n"
                              "Minimum recovery ending location:     0/3000000\n"
                              "Min recovery ending loc's timeline:   5\n"
                              "wal_level setting:                    replica\n"
                              "wal_log_hints setting:                on\n"
                              "max_connections setting:              100\n"
                              "max_worker_processes setting:         8\n"
                              "max_wal_senders setting:              10\n"
                              "max_prepared_xacts setting:           0\n"
                              "max_locks_per_xact setting:           64\n"
                              "WAL block size:                       8192\n"
                              "Bytes per WAL segment:                16777216\n"
                              "Data page checksum version:           1\n";

static char edited[sizeof standby + 64];

/* The text above with the first `old` replaced. */
static const char *with(const char *old, const char *now)
{
    const char *at = strstr(standby, old);

    assert_non_null(at);
    (void)snprintf(
        edited, sizeof edited, "%.*s%s%s", (int)(at - standby), standby, now, &at[strlen(old)]);
    return edited;
}

static void test_every_field_is_read(void **state)
{
    struct controldata control;
    struct err err;

    (void)state;
    test_ok(controldata_parse(standby, &control, &err), &err);
    assert_int_equal(control.system_identifier, UINT64_C(7710179818768487421));
    assert_int_equal(control.state, CONTROL_STATE_IN_ARCHIVE_RECOVERY);
    assert_int_equal(control.checkpoint_lsn, 0x1511A88);
    assert_int_equal(control.redo_lsn, 0x1511A00);
    assert_int_equal(control.timeline, 4);
    assert_int_equal(control.min_recovery.lsn, 0x3000000);
    assert_int_equal(control.min_recovery.timeline, 5);
    assert_int_equal(control.segment_bytes, 16777216);
    assert_int_equal(control.page_bytes, 8192);
    assert_true(control.wal_log_hints);
    assert_true(control.data_checksums);
    assert_int_equal(control.max_connections, 100);
    assert_int_equal(control.max_worker_processes, 8);
    assert_int_equal(control.max_wal_senders, 10);
    assert_int_equal(control.max_prepared_transactions, 0);
    assert_int_equal(control.max_locks_per_transaction, 64);
}

static void test_the_sure_end_is_the_later_of_redo_and_minimum_recovery(void **state)
{
    struct controldata control;
    struct err err;

    (void)state;
    test_ok(controldata_parse(standby, &control, &err), &err);
    assert_int_equal(controldata_end(&control).lsn, 0x3000000);
    assert_int_equal(controldata_end(&control).timeline, 5);
    test_ok(controldata_parse(with("0/3000000", "0/0"), &control, &err), &err);
    assert_int_equal(controldata_end(&control).lsn, 0x1511A00);
    assert_int_equal(controldata_end(&control).timeline, 4);
}

static void test_only_two_states_are_clean(void **state)
{
    (void)state;
    for (int i = CONTROL_STATE_STARTING_UP; i <= CONTROL_STATE_IN_PRODUCTION; i++) {
        const char *name = control_state_name((enum control_state)i);
        struct controldata control;
        struct err err;

        test_ok(controldata_parse(with("in archive recovery", name), &control, &err), &err);
        assert_int_equal(control.state, i);
        assert_int_equal(
            controldata_is_clean(&control),
            i == CONTROL_STATE_SHUT_DOWN || i == CONTROL_STATE_SHUT_DOWN_IN_RECOVERY);
    }
}

static void test_what_is_missing_or_wrong_is_named(void **state)
{
    static const struct {
        const char *old;
        const char *now;
        const char *words;
    } cases[] = {
        {"Database system identifier",                     "Kennung",                 "system identifier"         },
        {"7710179818768487421",                            "99999999999999999999999", "system identifier"         },
        {"7710179818768487421",                            "-1",                      "system identifier"         },
        {"in archive recovery",                            "im Archiv",               "no state"                  },
        {"0/1511A88",                                      "0",                       "Latest checkpoint location"},
        {"0/3000000",                                      "x",                       "Minimum recovery"          },
        {"max_connections",                                "max_verbindungen",        "max_connections"           },
        {"Bytes per WAL segment:                16777216",
         "Bytes per WAL segment:                4294967296",                          "Bytes per WAL segment"     },
        {"16777216",                                       "1",                       "impossible"                },
        {"Data page checksum version",                     "Pruefsumme",              "checksums"                 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct controldata control;
        struct err err = {0};

        assert_int_equal(
            controldata_parse(with(cases[i].old, cases[i].now), &control, &err), STATUS_INVALID);
        if (strstr(err.text, cases[i].words) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].words);
        }
    }
}

static void test_a_text_that_was_cut_off_is_refused_anywhere(void **state)
{
    char text[sizeof standby];

    (void)state;
    /* All but the last digit is needed. */
    for (size_t length = 0; length < sizeof standby - 3; length++) {
        struct controldata control;
        struct err err;

        memcpy(text, standby, length);
        text[length] = '\0';
        assert_int_equal(controldata_parse(text, &control, &err), STATUS_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_read),
        cmocka_unit_test(test_the_sure_end_is_the_later_of_redo_and_minimum_recovery),
        cmocka_unit_test(test_only_two_states_are_clean),
        cmocka_unit_test(test_what_is_missing_or_wrong_is_named),
        cmocka_unit_test(test_a_text_that_was_cut_off_is_refused_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
