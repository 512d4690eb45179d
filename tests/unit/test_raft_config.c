#include "raft/config.h"

#include <string.h>

#include "base/text.h"
#include "tests/lib/test.h"

static struct raft_config make(uint32_t count)
{
    struct raft_config config = {.term = 3, .index = 17, .count = count};

    for (uint32_t i = 0; i < count; i++) {
        struct raft_member *member = &config.members[i];

        member->id = 100 + i;
        member->incarnation = UINT64_MAX - i;
        member->kind = i < RAFT_VOTERS_MAX ? RAFT_MEMBER_VOTER : RAFT_MEMBER_LEARNER;
        memset(member->address, 'a', i + 1);
    }
    return config;
}

static enum status decode(const uint8_t *bytes, size_t size)
{
    struct raft_config config;
    struct err err;

    return raft_config_decode(bytes, size, &config, &err);
}

static void test_what_was_encoded_is_decoded(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= RAFT_MEMBERS_MAX; count++) {
        const struct raft_config config = make(count);
        uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
        const uint32_t size = raft_config_encode(&config, bytes);
        struct raft_config back;
        struct err err;

        assert_int_equal(raft_config_decode(bytes, size, &back, &err), STATUS_OK);
        assert_int_equal(back.term, 3);
        assert_int_equal(back.index, 17);
        assert_int_equal(back.count, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(back.members[i].id, config.members[i].id);
            assert_int_equal(back.members[i].incarnation, config.members[i].incarnation);
            assert_int_equal(back.members[i].kind, config.members[i].kind);
            assert_string_equal(back.members[i].address, config.members[i].address);
        }
    }
}

static void test_the_largest_fits(void **state)
{
    struct raft_config config = make(RAFT_MEMBERS_MAX);
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];

    (void)state;
    for (uint32_t i = 0; i < config.count; i++) {
        memset(config.members[i].address, 'x', RAFT_ADDRESS_SIZE - 1);
    }
    assert_int_equal(raft_config_encode(&config, bytes), RAFT_CONFIG_BYTES_MAX);
    assert_int_equal(decode(bytes, sizeof bytes), STATUS_OK);
}

static void test_every_part_of_it_is_refused(void **state)
{
    const struct raft_config config = make(3);
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
    const uint32_t size = raft_config_encode(&config, bytes);

    (void)state;
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(decode(bytes, i), STATUS_INVALID);
    }
    assert_int_equal(decode(bytes, size + 1), STATUS_INVALID);
}

static void test_what_no_leader_writes_is_refused(void **state)
{
    static const struct {
        uint32_t offset;
        uint8_t value;
        const char *what;
    } cases[] = {
        {0,  2,                    "a version that we do not know"   },
        {1,  RAFT_MEMBERS_MAX + 1, "too many members"                },
        {25, 0,                    "no id"                           },
        {34, 2,                    "a kind that we do not know"      },
        {34, 0,                    "no voter"                        },
        {35, 0,                    "no address"                      },
        {35, RAFT_ADDRESS_SIZE,    "an address that is too long"     },
        {36, 0,                    "an address that ends before that"},
    };
    const struct raft_config config = make(1);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
        const uint32_t size = raft_config_encode(&config, bytes);

        bytes[cases[i].offset] = cases[i].value;
        if (decode(bytes, size) != STATUS_INVALID) {
            fail_msg("took %s", cases[i].what);
        }
    }
}

static void test_nobody_is_there_twice_and_voters_are_few(void **state)
{
    struct raft_config config = make(3);
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];

    (void)state;
    config.members[2].id = config.members[0].id;
    assert_int_equal(decode(bytes, raft_config_encode(&config, bytes)), STATUS_INVALID);
    config = make(RAFT_VOTERS_MAX + 1);
    config.members[RAFT_VOTERS_MAX].kind = RAFT_MEMBER_VOTER;
    assert_int_equal(decode(bytes, raft_config_encode(&config, bytes)), STATUS_INVALID);
}

static void test_members_are_found_by_id(void **state)
{
    const struct raft_config config = make(12);

    (void)state;
    assert_ptr_equal(raft_config_find(&config, 103), &config.members[3]);
    assert_null(raft_config_find(&config, 112));
    assert_int_equal(raft_config_position(&config, 112), 12);
    assert_int_equal(raft_config_voter_count(&config), RAFT_VOTERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_encoded_is_decoded),
        cmocka_unit_test(test_the_largest_fits),
        cmocka_unit_test(test_every_part_of_it_is_refused),
        cmocka_unit_test(test_what_no_leader_writes_is_refused),
        cmocka_unit_test(test_nobody_is_there_twice_and_voters_are_few),
        cmocka_unit_test(test_members_are_found_by_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
