#include "pgctl/wal.h"

#include "tests/lib/test.h"

static const struct wal_shape usual = {.segment_bytes = 16777216, .page_bytes = 8192};

static void test_segment_names_are_places(void **state)
{
    uint32_t timeline = 0;
    uint64_t lsn = 0;

    (void)state;
    assert_true(wal_segment_parse("000000010000000000000001", usual, &timeline, &lsn));
    assert_int_equal(timeline, 1);
    assert_int_equal(lsn, 0x1000000);
    assert_true(wal_segment_parse("0000000A00000002000000FF", usual, &timeline, &lsn));
    assert_int_equal(timeline, 10);
    assert_int_equal(lsn, UINT64_C(0x2FF000000));
}

static void test_a_place_has_the_name_of_its_segment(void **state)
{
    static const struct wal_shape largest = {.segment_bytes = 1073741824, .page_bytes = 8192};
    char name[WAL_SEGMENT_NAME_SIZE];

    (void)state;
    wal_segment_print(1, 0x1511A88, usual, name);
    assert_string_equal(name, "000000010000000000000001");
    wal_segment_print(10, UINT64_C(0x2FF000000), usual, name);
    assert_string_equal(name, "0000000A00000002000000FF");
    wal_segment_print(UINT32_MAX, UINT64_MAX, largest, name);
    assert_string_equal(name, "FFFFFFFFFFFFFFFF00000003");
}

static void test_other_names_are_no_segments(void **state)
{
    static const char *const names[] = {
        "",
        "archive_status",
        "00000002.history",
        "000000010000000000000001.partial",
        "00000001000000000000000g",
        "000000010000000000000001.00000028.backup",
        "00000001000000000000001",
        "00000001000000000000000a"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        uint32_t timeline = 0;
        uint64_t lsn = 0;

        assert_false(wal_segment_parse(names[i], usual, &timeline, &lsn));
    }
}

static void test_a_record_ends_behind_its_bytes_and_the_headers_between(void **state)
{
    static const struct {
        uint64_t lsn;
        uint32_t bytes;
        uint64_t end;
    } cases[] = {
        {0x1511A88, 114,        0x1511B00}, /* Padded to 8. */
        {0x1511A88, 120,        0x1511B00},
        {0x1001F88, 120,        0x1002000}, /* To the last byte of the page. */
        {0x1001F88, 121,        0x1002020}, /* One byte more: a header, and the byte padded. */
        {0x1001F88, 120 + 8168, 0x1004000}, /* A whole page more. */
        {0x1001F88, 120 + 8169, 0x1004020},
        {0x1FFFF88, 121,        0x2000030}, /* The first page of a segment has a longer one. */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(wal_record_end(cases[i].lsn, cases[i].bytes, usual), cases[i].end);
    }
}

static void test_the_next_record_is_behind_this_one_or_in_the_next_segment(void **state)
{
    (void)state;
    assert_int_equal(wal_record_next(0x1511A88, 114, usual), 0x1511B00);
    assert_int_equal(wal_record_next(0x1511A88, 25, usual), 0x1511AA8);
    assert_int_equal(wal_record_next(UINT64_C(0x203000148), 24, usual), UINT64_C(0x204000000));
    assert_int_equal(wal_record_next(UINT64_C(0x203FFFFE8), 24, usual), UINT64_C(0x204000000));
}

static void test_the_end_of_wal_is_in_the_complaint(void **state)
{
    static const struct {
        const char *words;
        enum wal_stop stop;
        uint64_t lsn;
    } cases[] = {
        {"pg_waldump: error: error in WAL record at 0/1511A88: invalid record length at 0/1511B00: "
         "wanted 24, got 0\n",                                                         WAL_STOP_AT_END,  0x1511B00},
        {"pg_waldump: fatal: error in WAL record at 0/1511A88: record with incorrect prev-link "
         "0/1 at 0/1511B00\n",                                                         WAL_STOP_AFTER,   0x1511A88},
        {"pg_waldump: error: error in WAL record at 0/1511A88: unexpected pageaddr 0/0 in log "
         "segment 000000010000000000000001, offset 8192\n",                            WAL_STOP_AFTER,   0x1511A88},
        {"pg_waldump: error: could not find file \"000000010000000000000004\": No such file\n",
         WAL_STOP_AT_END,                                                                                         0x4000000},
        {"pg_waldump: error: could not find file \"0004\": No such file\n",                     WAL_STOP_UNKNOWN, 0        },
        {"pg_waldump: error: could not find a valid record after 0/1000000\n",                  WAL_STOP_UNKNOWN, 0        },
        {"",                                                                                    WAL_STOP_UNKNOWN, 0        },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t lsn = 0;

        assert_int_equal(wal_stop_parse(cases[i].words, usual, &lsn), cases[i].stop);
        assert_int_equal(lsn, cases[i].lsn);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segment_names_are_places),
        cmocka_unit_test(test_a_place_has_the_name_of_its_segment),
        cmocka_unit_test(test_other_names_are_no_segments),
        cmocka_unit_test(test_a_record_ends_behind_its_bytes_and_the_headers_between),
        cmocka_unit_test(test_the_next_record_is_behind_this_one_or_in_the_next_segment),
        cmocka_unit_test(test_the_end_of_wal_is_in_the_complaint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
