#include "raft/describe.h"

#include "tests/lib/test.h"

static void test_every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < RAFT_MESSAGE_KINDS; i++) {
        assert_non_null(raft_message_kind_name((enum raft_message_kind)i));
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(
                raft_message_kind_name((enum raft_message_kind)i),
                raft_message_kind_name((enum raft_message_kind)k));
        }
    }
    for (uint32_t i = 0; i < RAFT_EVENT_KINDS; i++) {
        assert_non_null(raft_event_kind_name((enum raft_event_kind)i));
    }
    for (uint32_t i = 0; i < RAFT_NOTE_KINDS; i++) {
        assert_non_null(raft_note_kind_name((enum raft_note_kind)i));
        assert_non_null(raft_note_kind_text((enum raft_note_kind)i));
    }
    assert_string_equal(raft_role_name(RAFT_LEADER), "leader");
    assert_string_equal(raft_entry_kind_name(RAFT_ENTRY_CONFIG), "config");
    assert_string_equal(raft_proposal_result_name(RAFT_PROPOSAL_FULL), "log full");
    assert_string_equal(raft_note_kind_name(RAFT_NOTE_FORMED), "FORMED");
}

static void check_message(const struct raft_message *message, const char *want)
{
    char bytes[512];
    struct text text;

    text_init(&text, bytes, sizeof bytes);
    raft_describe_message(&text, message);
    assert_string_equal(bytes, want);
}

static void test_messages_are_lines(void **state)
{
    struct raft_message message = {
        .kind = RAFT_APPEND,
        .from = 1,
        .to = 0xabc,
        .term = 3,
        .prev_term = 2,
        .prev_index = 7,
        .round = 9,
        .commit_index = 6,
        .entry_count = 2,
        .entries =
            {
                      {.term = 3, .index = 8, .kind = RAFT_ENTRY_NOOP},
                      {.term = 3, .index = 9, .kind = RAFT_ENTRY_DATA},
                      },
    };

    (void)state;
    check_message(
        &message, "APPEND from=0000000000000001 to=0000000000000abc term=3 round=9 commit=6 "
                  "prev=2/7 noop(3/8) data(3/9)");
    message = (struct raft_message){.kind = RAFT_VOTE_ANSWER, .term = 4, .round = 4};
    check_message(&message, "VOTE_ANSWER term=4 of=4 refused");
    message = (struct raft_message){
        .kind = RAFT_HELLO_ANSWER,
        .cluster_id = 5,
        .from_incarnation = 6,
        .last_term = 1,
        .last_index = 2,
        .seen_term = 1,
        .seen_index = 2,
    };
    check_message(
        &message, "HELLO_ANSWER cluster=0000000000000005 incarnation=0000000000000006 last=1/2 "
                  "seen=1/2");
}

/* Whatever the kind, in a buffer of whatever size. */
static void test_all_kinds_are_described_in_any_buffer(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < RAFT_MESSAGE_KINDS; kind++) {
        const struct raft_message message = {.kind = (enum raft_message_kind)kind, .from = 1};

        for (size_t size = 1; size < 100; size++) {
            char bytes[100];
            struct text text;

            text_init(&text, bytes, size);
            raft_describe_message(&text, &message);
        }
    }
    for (uint32_t kind = 0; kind < RAFT_EVENT_KINDS; kind++) {
        const struct raft_message message = {.kind = RAFT_VOTE};
        const struct raft_event event = {
            .kind = (enum raft_event_kind)kind,
            .message = &message,
            .member_id = 1,
        };
        char bytes[256];
        struct text text;

        text_init(&text, bytes, sizeof bytes);
        raft_describe_event(&text, &event);
        assert_true(text.length > 0);
    }
}

static void test_notes_say_what_their_numbers_are(void **state)
{
    static const struct {
        struct raft_note note;
        const char *want;
    } cases[] = {
        {{RAFT_NOTE_BECAME_LEADER, 3, 17},   "became leader term=3 index=17"                  },
        {{RAFT_NOTE_BECAME_FOLLOWER, 3, 0},  "became follower term=3"                         },
        {{RAFT_NOTE_GRANTED_VOTE, 4, 0xfff}, "grants a vote term=4 candidate=0000000000000fff"},
        {{RAFT_NOTE_AMNESIA, 5, 6},
         "its store shows less than it has acknowledged seen_term=5 seen_index=6"             },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char bytes[256];
        struct text text;

        text_init(&text, bytes, sizeof bytes);
        raft_describe_note(&text, &cases[i].note);
        assert_string_equal(bytes, cases[i].want);
    }
}

static void test_a_membership_is_a_line(void **state)
{
    const struct raft_config config = {
        .term = 2,
        .index = 9,
        .count = 2,
        .members =
            {
                      {.kind = RAFT_MEMBER_VOTER, .address = "a:1"},
                      {.kind = RAFT_MEMBER_LEARNER, .address = "b:1"},
                      },
    };
    char bytes[256];
    struct text text;

    (void)state;
    text_init(&text, bytes, sizeof bytes);
    raft_describe_config(&text, &config);
    assert_string_equal(bytes, "membership 2/9: voter a:1, learner b:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_has_a_name_of_its_own),
        cmocka_unit_test(test_messages_are_lines),
        cmocka_unit_test(test_all_kinds_are_described_in_any_buffer),
        cmocka_unit_test(test_notes_say_what_their_numbers_are),
        cmocka_unit_test(test_a_membership_is_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
