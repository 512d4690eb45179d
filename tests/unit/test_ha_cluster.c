#include "tests/lib/test.h"

#include <string.h>

#include "base/text.h"
#include "ha/cluster.h"

#define TTL_MS 2000

#define A 11
#define B 22
#define C 33

static struct cluster cluster; /* Too large for some stacks. */
static struct cluster before;

static bool apply(const struct command *command)
{
    static uint64_t index = 100;

    before = cluster;
    return cluster_apply(&cluster, command, 7, ++index);
}

/* Void, and nothing has changed. */
static void apply_void(const struct command *command)
{
    assert_false(apply(command));
    assert_memory_equal(&cluster, &before, sizeof cluster);
}

static void apply_ok(const struct command *command)
{
    assert_true(apply(command));
}

static struct command member_set(uint64_t id, const char *name)
{
    struct command command = {
        .kind = COMMAND_MEMBER_SET, .member = {.id = id, .pg_port = 5432}
    };

    text_copy_cut(command.member.name, sizeof command.member.name, name);
    return command;
}

static struct command revoke(uint64_t epoch)
{
    return (struct command){.kind = COMMAND_REVOKE, .epoch = epoch, .reason = "no rounds"};
}

static struct command grant(uint64_t epoch, uint64_t node, bool fenced)
{
    return (struct command){
        .kind = COMMAND_GRANT,
        .epoch = epoch,
        .node = node,
        .data_dir_id = node + 1000,
        .parent = epoch - 1,
        .position = {.timeline = 3, .lsn = 0x3000000},
        .fenced = fenced,
        .system_identifier = 77,
        .wall_ms = 5000,
        .reason = "most WAL",
    };
}

static struct command serving(uint64_t epoch)
{
    return (struct command){
        .kind = COMMAND_SERVING, .epoch = epoch, .position = {.timeline = 4, .lsn = 0x3000100}
    };
}

static struct command hand_over(uint64_t epoch, uint64_t from, uint64_t to)
{
    return (struct command){
        .kind = COMMAND_HANDOVER,
        .epoch = epoch,
        .from = from,
        .node = to,
        .wall_ms = 6000,
        .reason = "asked for",
    };
}

static struct command request(
    enum cluster_request_kind kind, uint64_t id, uint64_t from, uint64_t to)
{
    return (struct command){
        .kind = COMMAND_REQUEST_SET,
        .request = {.kind = kind, .id = id, .from = from, .to = to},
    };
}

#define APPLY(...) apply_ok(&(struct command[]){__VA_ARGS__}[0])
#define VOID(...)  apply_void(&(struct command[]){__VA_ARGS__}[0])

static void fill_members(void)
{
    cluster_init(&cluster, TTL_MS);
    APPLY(member_set(A, "n1"));
    APPLY(member_set(B, "n2"));
    APPLY(member_set(C, "n3"));
}

/* The cluster in which A serves epoch 1. */
static void serve_first(void)
{
    fill_members();
    APPLY(revoke(1));
    APPLY(grant(1, A, false));
    APPLY(serving(1));
}

static int set_up(void **state)
{
    (void)state;
    serve_first();
    return 0;
}

static void check_outcome(uint64_t id, uint32_t code, const char *text)
{
    const struct cluster_outcome *outcome = cluster_outcome(&cluster, id);

    assert_non_null(outcome);
    assert_int_equal(outcome->code, code);
    assert_string_equal(outcome->text, text);
}

/* Epochs: each state of the protocol against each command about epochs. */

struct place {
    enum cluster_phase phase;
    bool fenced;
};

/* Brings the cluster to epoch 2 (0 for NONE), A being the newest grantee. */
static void go_to(struct place place)
{
    fill_members();
    if (place.phase == CLUSTER_NONE) {
        return;
    }
    APPLY(revoke(1));
    APPLY(grant(1, A, false));
    APPLY(revoke(2));
    if (place.phase == CLUSTER_REVOKED) {
        return;
    }
    APPLY(grant(2, A, place.fenced));
    if (place.phase == CLUSTER_SERVING) {
        APPLY(serving(2));
    }
}

/* The rules of the header, in other words than those of the code. */
static bool is_expected(struct place place, const struct command *command)
{
    const uint64_t epoch = place.phase == CLUSTER_NONE ? 0 : 2;
    const bool this_one = command->epoch == epoch;
    const bool next_one = command->epoch == epoch + 1;

    switch (command->kind) {
    case COMMAND_REVOKE:
        return next_one && place.phase != CLUSTER_REVOKED;
    case COMMAND_GRANT:
        return this_one && place.phase == CLUSTER_REVOKED && command->node != 0;
    case COMMAND_SERVING:
        return this_one && place.phase == CLUSTER_GRANTED;
    case COMMAND_HANDOVER:
        return next_one && command->from == A && command->node != 0 &&
               (place.phase == CLUSTER_SERVING || (place.phase == CLUSTER_GRANTED && place.fenced));
    default:
        fail();
        return false;
    }
}

static void test_commands_about_epochs_are_void_in_all_states_but_those_they_expect(void **state)
{
    static const struct place places[] = {
        {CLUSTER_NONE,    false},
        {CLUSTER_REVOKED, false},
        {CLUSTER_GRANTED, false},
        {CLUSTER_GRANTED, true },
        {CLUSTER_SERVING, false},
        {CLUSTER_SERVING, true },
    };
    static const enum command_kind kinds[] = {
        COMMAND_REVOKE, COMMAND_GRANT, COMMAND_SERVING, COMMAND_HANDOVER};
    static const uint64_t nodes[] = {0, A, B};
    uint32_t done = 0;

    (void)state;
    for (size_t i = 0; i < 6 * 4 * 5 * 3 * 3; i++) {
        const struct place place = places[i % 6];
        const struct command command = {
            .kind = kinds[i / 6 % 4],
            .epoch = i / 24 % 5,
            .node = nodes[i / 120 % 3],
            .from = nodes[i / 360 % 3],
        };

        go_to(place);
        if (is_expected(place, &command)) {
            apply_ok(&command);
            assert_int_equal(cluster.epoch, command.epoch);
            done++;
        } else {
            apply_void(&command);
        }
        /* Whatever was done: a second copy does nothing. */
        apply_void(&command);
    }
    assert_int_equal(done, 5 * 9 + 2 * 3 + 2 * 9 + 3 * 2);
}

static void test_a_new_cluster_has_nothing(void **state)
{
    (void)state;
    cluster_init(&cluster, TTL_MS);
    assert_int_equal(cluster.phase, CLUSTER_NONE);
    assert_int_equal(cluster_grantee(&cluster), 0);
    assert_int_equal(cluster_ttl_max(&cluster), TTL_MS);
    assert_null(cluster_find(&cluster, 0));
    assert_null(cluster_grant_of(&cluster, 0));
    assert_null(cluster_outcome(&cluster, 0));
}

static void test_a_grant_is_kept_with_all_it_names(void **state)
{
    const struct cluster_grant *last = &cluster.last;

    (void)state;
    APPLY(revoke(2));
    assert_int_equal(cluster_grantee(&cluster), 0);
    assert_string_equal(cluster.revoke_reason, "no rounds");
    assert_int_equal(last->epoch, 1); /* Still the newest. */
    assert_int_equal(cluster_apply(&cluster, &(struct command[]){grant(2, B, true)}[0], 9, 55), 1);
    assert_int_equal(cluster_grantee(&cluster), B);
    assert_string_equal(cluster.revoke_reason, "");
    assert_int_equal(last->epoch, 2);
    assert_int_equal(last->node, B);
    assert_int_equal(last->data_dir_id, B + 1000);
    assert_int_equal(last->grant_term, 9);
    assert_int_equal(last->grant_index, 55);
    assert_int_equal(last->parent, 1);
    assert_int_equal(last->start.timeline, 3);
    assert_int_equal(last->start.lsn, 0x3000000);
    assert_true(last->fenced);
    assert_false(last->served);
    assert_int_equal(last->served_at.lsn, 0);
    assert_int_equal(last->wall_ms, 5000);
    assert_string_equal(last->name, "n2");
    assert_string_equal(last->reason, "most WAL");
    assert_int_equal(cluster.history_count, 2);
    assert_memory_equal(&cluster.history[1], last, sizeof *last);
}

static void test_serving_is_noted_in_the_history_too(void **state)
{
    (void)state;
    assert_int_equal(cluster.phase, CLUSTER_SERVING);
    assert_true(cluster.last.served);
    assert_int_equal(cluster.last.served_at.timeline, 4);
    assert_int_equal(cluster.last.served_at.lsn, 0x3000100);
    assert_memory_equal(&cluster.history[0], &cluster.last, sizeof cluster.last);
}

static void test_a_handover_is_fenced_whatever_it_says(void **state)
{
    (void)state;
    APPLY(hand_over(2, A, B));
    assert_true(cluster.last.fenced);
    assert_int_equal(cluster.phase, CLUSTER_GRANTED);
    assert_int_equal(cluster_grantee(&cluster), B);
    APPLY(hand_over(3, B, B)); /* The grant before was fenced: it may go on unserved. */
    assert_int_equal(cluster.epoch, 3);
}

static void test_a_grantee_unknown_by_name_is_no_error(void **state)
{
    (void)state;
    APPLY(hand_over(2, A, 99));
    assert_string_equal(cluster.last.name, "");
}

static void test_the_first_system_identifier_stays(void **state)
{
    struct command second = grant(2, B, false);

    (void)state;
    assert_int_equal(cluster.system_identifier, 77);
    second.system_identifier = 88;
    APPLY(revoke(2));
    apply_ok(&second);
    assert_int_equal(cluster.system_identifier, 77);
}

static void test_a_full_history_drops_the_oldest(void **state)
{
    (void)state;
    for (uint64_t epoch = 2; epoch <= CLUSTER_HISTORY_MAX + 3; epoch++) {
        APPLY(hand_over(epoch, epoch % 2 == 0 ? A : B, epoch % 2 == 0 ? B : A));
        APPLY(serving(epoch));
    }
    assert_int_equal(cluster.history_count, CLUSTER_HISTORY_MAX);
    assert_null(cluster_grant_of(&cluster, 3));
    for (uint64_t epoch = 4; epoch <= CLUSTER_HISTORY_MAX + 3; epoch++) {
        assert_int_equal(cluster_grant_of(&cluster, epoch)->epoch, epoch);
        assert_true(cluster_grant_of(&cluster, epoch)->served);
    }
    assert_int_equal(cluster.history[CLUSTER_HISTORY_MAX - 1].epoch, cluster.last.epoch);
}

/* Members. */

static void test_members_are_found_by_id_and_by_name(void **state)
{
    (void)state;
    assert_string_equal(cluster_find(&cluster, B)->name, "n2");
    assert_int_equal(cluster_find_name(&cluster, "n3")->id, C);
    assert_null(cluster_find_name(&cluster, "N3"));
    assert_null(cluster_find_name(&cluster, ""));
    assert_null(cluster_find(&cluster, 99));
}

static void test_a_member_is_replaced_in_its_place(void **state)
{
    struct command command = member_set(B, "other");

    (void)state;
    command.member.pg_port = 6000;
    apply_ok(&command);
    assert_int_equal(cluster.members[1].pg_port, 6000);
    assert_null(cluster_find_name(&cluster, "n2"));
    assert_int_equal(cluster.members[3].id, 0);
}

static void test_a_member_needs_an_id_and_a_name_of_its_own(void **state)
{
    (void)state;
    VOID(member_set(0, "n4"));
    VOID(member_set(44, ""));
    VOID(member_set(44, "n1"));
    VOID(member_set(44, "N1")); /* One slot, one application_name. */
    VOID(member_set(B, "n1"));
}

static void test_there_are_so_many_places_and_no_more(void **state)
{
    char name[] = "m0";

    (void)state;
    for (uint64_t i = 3; i < CLUSTER_MEMBERS_MAX; i++) {
        name[1]++;
        APPLY(member_set(100 + i, name));
    }
    VOID(member_set(500, "last"));
    APPLY(((struct command){.kind = COMMAND_MEMBER_REMOVE, .node = B}));
    APPLY(member_set(500, "last"));
    assert_int_equal(cluster.members[1].id, 500);
}

static void test_who_asks_to_remove_a_member_hears_how_it_ended(void **state)
{
    (void)state;
    VOID((struct command){.kind = COMMAND_MEMBER_REMOVE, .node = 0});
    VOID((struct command){.kind = COMMAND_MEMBER_REMOVE, .node = 99});
    APPLY(((struct command){.kind = COMMAND_MEMBER_REMOVE, .node = B, .id = 5}));
    check_outcome(5, 200, "member removed");
    VOID((struct command){.kind = COMMAND_MEMBER_REMOVE, .node = B, .id = 5});
    assert_false(apply(&(struct command){.kind = COMMAND_MEMBER_REMOVE, .node = B, .id = 6}));
    check_outcome(6, 404, "no such member");
}

static void test_initdb_is_for_clusters_without_a_system_identifier(void **state)
{
    (void)state;
    VOID((struct command){.kind = COMMAND_INIT, .node = B});
    fill_members();
    APPLY(((struct command){.kind = COMMAND_INIT, .node = B}));
    APPLY(((struct command){.kind = COMMAND_INIT, .node = C}));
    assert_int_equal(cluster.init_node, C);
}

/* Requests. */

static void test_one_request_at_a_time(void **state)
{
    (void)state;
    VOID(request(CLUSTER_REQUEST_NONE, 1, A, B));
    VOID(request(CLUSTER_REQUEST_SWITCHOVER, 0, A, B));
    APPLY(request(CLUSTER_REQUEST_SWITCHOVER, 1, A, B));
    APPLY(request(CLUSTER_REQUEST_SWITCHOVER, 1, A, B)); /* A retry. */
    VOID(request(CLUSTER_REQUEST_FAILOVER, 2, A, C));
}

static void test_a_late_copy_of_a_request_that_ended_does_nothing(void **state)
{
    (void)state;
    APPLY(request(CLUSTER_REQUEST_SWITCHOVER, 1, A, B));
    APPLY(hand_over(2, A, B));
    APPLY(serving(2));
    VOID(request(CLUSTER_REQUEST_SWITCHOVER, 1, A, B));
}

static void test_what_a_grant_means_for_the_request(void **state)
{
    enum {
        KEPT
    };
    static const struct {
        enum cluster_request_kind kind;
        uint64_t from;
        uint64_t to;
        uint64_t winner;
        bool handed_over;
        uint32_t code;
        const char *text;
    } cases[] = {
        {CLUSTER_REQUEST_SWITCHOVER, A, B, B, true,  200,  "Successfully switched over to \"n2\""   },
        {CLUSTER_REQUEST_SWITCHOVER, A, 0, C, true,  200,  "Successfully switched over to \"n3\""   },
        {CLUSTER_REQUEST_SWITCHOVER, A, B, C, true,  200,
         "Switched over to \"n3\" instead of \"n2\""                                                },
        {CLUSTER_REQUEST_SWITCHOVER, A, B, B, false, 200,  "Successfully switched over to \"n2\""   },
        {CLUSTER_REQUEST_FAILOVER,   A, B, B, false, 200,  "Successfully failed over to \"n2\""     },
        {CLUSTER_REQUEST_FAILOVER,   0, B, B, false, 200,  "Successfully failed over to \"n2\""     },
        {CLUSTER_REQUEST_FAILOVER,   0, B, C, false, 200,  "Failed over to \"n3\" instead of \"n2\""},
        {CLUSTER_REQUEST_FAILOVER,   0, A, A, false, 200,  "Successfully failed over to \"n1\""     },
        {CLUSTER_REQUEST_SWITCHOVER, A, B, A, true,  503,  "Switchover failed: asked for"           },
        {CLUSTER_REQUEST_FAILOVER,   0, B, A, true,  503,  "Failover failed: asked for"             },
        {CLUSTER_REQUEST_SWITCHOVER, A, B, A, false, KEPT, NULL                                     },
        {CLUSTER_REQUEST_SWITCHOVER, C, B, B, true,  KEPT, NULL                                     },
        {CLUSTER_REQUEST_SWITCHOVER, C, B, A, true,  KEPT, NULL                                     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        serve_first();
        APPLY(request(cases[i].kind, 9, cases[i].from, cases[i].to));
        if (cases[i].handed_over) {
            APPLY(hand_over(2, A, cases[i].winner));
        } else {
            APPLY(revoke(2));
            APPLY(grant(2, cases[i].winner, false));
        }
        if (cases[i].code == 200) { /* Not before the one that was granted serves. */
            assert_int_equal(cluster.request.id, 9);
            assert_null(cluster_outcome(&cluster, 9));
        }
        APPLY(serving(2));
        if (cases[i].code == KEPT) {
            assert_int_equal(cluster.request.id, 9);
            assert_null(cluster_outcome(&cluster, 9));
        } else {
            assert_int_equal(cluster.request.kind, CLUSTER_REQUEST_NONE);
            assert_int_equal(cluster.request.id, 0);
            check_outcome(9, cases[i].code, cases[i].text);
        }
    }
}

static void test_a_restart_keeps_the_switchover_that_is_not_due(void **state)
{
    struct command later = request(CLUSTER_REQUEST_SWITCHOVER, 9, A, B);

    (void)state;
    later.request.scheduled_wall_ms = 6001;
    apply_ok(&later);
    APPLY(hand_over(2, A, A)); /* At 6000. */
    assert_int_equal(cluster.request.id, 9);
    serve_first();
    later.request.scheduled_wall_ms = 6000;
    apply_ok(&later);
    APPLY(hand_over(2, A, A));
    assert_int_equal(cluster.request.id, 0);
    check_outcome(9, 503, "Switchover failed: asked for");
}

static void test_revoke_and_serving_leave_the_request_alone(void **state)
{
    (void)state;
    APPLY(request(CLUSTER_REQUEST_SWITCHOVER, 9, A, B));
    APPLY(revoke(2));
    assert_int_equal(cluster.request.id, 9);
    APPLY(grant(2, A, true));
    APPLY(serving(2));
    assert_int_equal(cluster.request.id, 9);
}

static void test_a_request_is_cleared_by_its_id(void **state)
{
    struct command clear = {
        .kind = COMMAND_REQUEST_CLEAR, .outcome = {.id = 9, .code = 503, .text = "no candidate"}
    };

    (void)state;
    apply_void(&clear);
    APPLY(request(CLUSTER_REQUEST_SWITCHOVER, 8, A, B));
    apply_void(&clear);
    clear.outcome.id = 8;
    apply_ok(&clear);
    assert_int_equal(cluster.request.kind, CLUSTER_REQUEST_NONE);
    check_outcome(8, 503, "no candidate");
}

static void test_who_clears_a_request_hears_how_it_ended(void **state)
{
    struct command clear = {
        .kind = COMMAND_REQUEST_CLEAR,
        .outcome = {.id = 8, .code = 503, .text = "cancelled"},
        .id = 70,
    };

    (void)state;
    APPLY(request(CLUSTER_REQUEST_SWITCHOVER, 8, A, B));
    apply_ok(&clear);
    check_outcome(8, 503, "cancelled");
    check_outcome(70, 200, "cancelled");
    apply_void(&clear); /* A late copy does not turn it into a 404. */
    clear.id = 71;
    assert_false(apply(&clear));
    check_outcome(71, 404, "no such request is pending");
}

/* Outcomes and settings. */

static void test_the_newest_outcomes_are_kept(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= CLUSTER_OUTCOMES_MAX + 2; id++) {
        APPLY(request(CLUSTER_REQUEST_SWITCHOVER, id, A, B));
        APPLY(((struct command){
            .kind = COMMAND_REQUEST_CLEAR, .outcome = {.id = id, .code = 200, .text = "done"}
        }));
    }
    assert_null(cluster_outcome(&cluster, 2));
    check_outcome(3, 200, "done");
    check_outcome(CLUSTER_OUTCOMES_MAX + 2, 200, "done");
}

static struct command config_set(uint64_t version, const char *text, uint64_t id)
{
    return (struct command){
        .kind = COMMAND_CONFIG_SET,
        .config_version = version,
        .config = text,
        .config_size = (uint32_t)strlen(text),
        .id = id,
    };
}

static void test_the_configuration_is_replaced_whole(void **state)
{
    (void)state;
    APPLY(config_set(0, "{\"ttl\":30}", 0));
    APPLY(config_set(1, "{}", 0));
    assert_int_equal(cluster.config_version, 2);
    assert_int_equal(cluster.config_size, 2);
    assert_string_equal(cluster.config, "{}");
    assert_int_equal(cluster.config[3], 0); /* Nothing of the longer text is left. */
}

static void test_of_two_changes_of_one_version_one_is_told_to_look_again(void **state)
{
    (void)state;
    APPLY(config_set(0, "{\"a\":1}", 1));
    assert_false(apply(&(struct command[]){config_set(0, "{\"b\":1}", 2)}[0]));
    assert_string_equal(cluster.config, "{\"a\":1}");
    check_outcome(1, 200, "configuration changed");
    check_outcome(2, 409, "the configuration was changed meanwhile");
    VOID(config_set(0, "{\"a\":1}", 1)); /* A late copy does not take the 200 back. */
    check_outcome(1, 200, "configuration changed");
    VOID(config_set(0, "{\"a\":1}", 0));
}

static void test_the_ttl_changes_in_two_steps(void **state)
{
    const struct command beside = {.kind = COMMAND_TTL_BESIDE, .ttl_ms = 5000};
    const struct command alone = {.kind = COMMAND_TTL_ALONE, .ttl_ms = 5000};

    (void)state;
    apply_void(&alone);
    VOID((struct command){.kind = COMMAND_TTL_BESIDE, .ttl_ms = 0});
    VOID((struct command){.kind = COMMAND_TTL_BESIDE, .ttl_ms = TTL_MS});
    VOID((struct command){.kind = COMMAND_TTL_ALONE, .ttl_ms = 0});
    assert_true(cluster_apply(&cluster, &beside, 7, 900));
    assert_int_equal(cluster.ttl_ms, TTL_MS);
    assert_int_equal(cluster.ttl_other_ms, 5000);
    assert_int_equal(cluster.ttl_index, 900);
    assert_int_equal(cluster_ttl_max(&cluster), 5000);
    apply_void(&beside);
    VOID((struct command){.kind = COMMAND_TTL_BESIDE, .ttl_ms = 7000});
    VOID((struct command){.kind = COMMAND_TTL_ALONE, .ttl_ms = 7000});
    apply_ok(&alone);
    assert_int_equal(cluster.ttl_ms, 5000);
    assert_int_equal(cluster.ttl_other_ms, 0);
    assert_int_equal(cluster.ttl_index, 0);
    apply_void(&alone);
    /* A shorter one: until it stands alone, waits cover the longer. */
    APPLY(((struct command){.kind = COMMAND_TTL_BESIDE, .ttl_ms = 1000}));
    assert_int_equal(cluster_ttl_max(&cluster), 5000);
}

static void test_no_command_is_void_always(void **state)
{
    (void)state;
    VOID((struct command){.kind = COMMAND_NONE});
    VOID((struct command){.kind = COMMAND_KINDS});
}

static void test_what_commands_are_about(void **state)
{
    (void)state;
    for (enum command_kind kind = COMMAND_NONE; kind < COMMAND_KINDS; kind++) {
        const struct command command = {.kind = kind, .epoch = 5};
        const bool about_epoch = kind == COMMAND_REVOKE || kind == COMMAND_GRANT ||
                                 kind == COMMAND_SERVING || kind == COMMAND_HANDOVER;
        const bool about_members =
            kind == COMMAND_MEMBER_SET || kind == COMMAND_MEMBER_REMOVE || kind == COMMAND_INIT;

        assert_int_equal(command_epoch(&command), about_epoch ? 5 : 0);
        assert_int_equal(command_is_binding(&command), about_epoch || about_members);
        assert_true(strlen(command_name(kind)) > 0);
    }
    assert_string_equal(command_name(COMMAND_TTL_ALONE), "ttl alone");
    assert_string_equal(cluster_phase_name(CLUSTER_NONE), "none");
    assert_string_equal(cluster_phase_name(CLUSTER_REVOKED), "revoked");
    assert_string_equal(cluster_phase_name(CLUSTER_GRANTED), "granted");
    assert_string_equal(cluster_phase_name(CLUSTER_SERVING), "serving");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commands_about_epochs_are_void_in_all_states_but_those_they_expect),
        TEST(test_a_new_cluster_has_nothing),
        TEST(test_a_grant_is_kept_with_all_it_names),
        TEST(test_serving_is_noted_in_the_history_too),
        TEST(test_a_handover_is_fenced_whatever_it_says),
        TEST(test_a_grantee_unknown_by_name_is_no_error),
        TEST(test_the_first_system_identifier_stays),
        TEST(test_a_full_history_drops_the_oldest),
        TEST(test_members_are_found_by_id_and_by_name),
        TEST(test_a_member_is_replaced_in_its_place),
        TEST(test_a_member_needs_an_id_and_a_name_of_its_own),
        TEST(test_there_are_so_many_places_and_no_more),
        TEST(test_who_asks_to_remove_a_member_hears_how_it_ended),
        TEST(test_initdb_is_for_clusters_without_a_system_identifier),
        TEST(test_one_request_at_a_time),
        TEST(test_a_late_copy_of_a_request_that_ended_does_nothing),
        TEST(test_what_a_grant_means_for_the_request),
        TEST(test_a_restart_keeps_the_switchover_that_is_not_due),
        TEST(test_revoke_and_serving_leave_the_request_alone),
        TEST(test_a_request_is_cleared_by_its_id),
        TEST(test_who_clears_a_request_hears_how_it_ended),
        TEST(test_the_newest_outcomes_are_kept),
        TEST(test_the_configuration_is_replaced_whole),
        TEST(test_of_two_changes_of_one_version_one_is_told_to_look_again),
        TEST(test_the_ttl_changes_in_two_steps),
        TEST(test_no_command_is_void_always),
        TEST(test_what_commands_are_about),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
