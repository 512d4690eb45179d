/*
 * What a cluster does, from outside. tests/lib/ha_lab.h has the toys it does it with; that no two
 * nodes are ever writable, and none without a guard, is checked there after every step.
 */
#include "tests/lib/ha_lab.h"

#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "ha/ha_impl.h"

#define TTL_MS 2000

static struct lab *lab;

static void settle(void)
{
    lab_until(lab, lab_all_is_well, 10000);
    lab_run(lab, 2 * TTL_MS);
    assert_true(lab_all_is_well(lab));
}

static void running(uint32_t nodes)
{
    lab = lab_new(nodes);
    settle();
}

static uint64_t epoch(void)
{
    return lab_cluster(lab)->epoch;
}

static uint32_t membership_changes(void)
{
    return lab_node(lab, lab->leader)->noted[HA_NOTE_MEMBER_CHANGE];
}

static bool another_serves(const struct lab *any)
{
    const struct cluster *cluster = lab_cluster(any);

    return cluster->epoch >= 2 && cluster->phase == CLUSTER_SERVING &&
           lab_primary(any) == cluster->last.node;
}

/* In the log, whatever its primary knows. */
static bool second_epoch_serves(const struct lab *any)
{
    return lab_cluster(any)->epoch == 2 && lab_cluster(any)->phase == CLUSTER_SERVING;
}

static bool third_epoch_serves(const struct lab *any)
{
    return another_serves(any) && lab_cluster(any)->epoch == 3;
}

static bool first_server_stops(const struct lab *any)
{
    return any->nodes[0].pg.action.kind == PG_ACTION_STOP;
}

static bool first_server_is_stopped(const struct lab *any)
{
    return any->nodes[0].pg.facts.run == PG_RUN_STOPPED;
}

static bool a_standby_is_cut(const struct lab *any)
{
    return !any->nodes[1].pg.facts.conninfo_set || !any->nodes[2].pg.facts.conninfo_set;
}

static bool second_grant_is_decided(const struct lab *any)
{
    return lab_count(any, COMMAND_GRANT) == 2;
}

static bool second_node_has_failed(const struct lab *any)
{
    return any->nodes[1].noted[HA_NOTE_ACTION_FAILED] > 0;
}

static bool is_handed_over(const struct lab *any)
{
    return lab_count(any, COMMAND_HANDOVER) == 1;
}

static void assert_reply(uint64_t at, uint64_t id, uint32_t code)
{
    const struct ha_reply *reply = lab_reply(lab, at, id);

    assert_non_null(reply);
    if (reply->code != code) {
        fail_msg("answered %u: %s", reply->code, reply->text);
    }
}

/* --- Beginnings. --- */

static void test_exactly_one_node_initialises_the_cluster(void **state)
{
    (void)state;
    running(3);
    assert_int_equal(lab_count(lab, COMMAND_INIT), 1);
    assert_int_equal(lab_count(lab, COMMAND_GRANT), 1);
    assert_int_equal(lab_cluster(lab)->last.node, lab_cluster(lab)->init_node);
    assert_int_equal(epoch(), 1);
}

static bool somebody_initialises(const struct lab *any)
{
    for (uint32_t i = 0; i < any->node_count; i++) {
        if (any->nodes[i].pg.action.kind == PG_ACTION_INITDB) {
            return true;
        }
    }
    return false;
}

/* In the middle of its initdb; returns who it was. */
static uint64_t cut_initdb_off(void)
{
    uint64_t id;

    lab_until(lab, somebody_initialises, 10000);
    id = lab_newest(lab, COMMAND_INIT)->command.node;
    lab_power_off(lab, id);
    assert_int_equal(lab_node(lab, id)->pg.facts.data, PG_DATA_PARTIAL);
    return id;
}

static void test_an_initdb_that_was_cut_off_is_made_again(void **state)
{
    uint64_t id;

    (void)state;
    lab = lab_new(3);
    id = cut_initdb_off();
    lab_run(lab, 1000);
    lab_power_on(lab, id);
    settle();
    assert_int_equal(lab_primary(lab), id);
    assert_int_equal(lab_count(lab, COMMAND_INIT), 1);
    lab = lab_new(1);
    lab_power_on(lab, cut_initdb_off());
    settle();
}

static void test_who_was_to_initialise_and_comes_too_late_follows(void **state)
{
    (void)state;
    lab = lab_new(3);
    assert_int_equal(cut_initdb_off(), 1);
    lab_run(lab, 5000);
    assert_string_equal(
        lab_node(lab, lab->leader)->ha->no_grant_reason,
        "waiting for \"n1\", which was to initialise the cluster");
    lab_run(lab, 70000);
    assert_int_not_equal(lab_newest(lab, COMMAND_INIT)->command.node, 1);
    assert_true(lab_somebody_serves(lab));
    lab_node(lab, 1)->gets_no_log = true; /* It hears of all that later. */
    lab_power_on(lab, 1);
    lab_run(lab, 1000);
    assert_int_equal(lab_node(lab, 1)->pg.facts.data, PG_DATA_PARTIAL);
    lab_node(lab, 1)->gets_no_log = false;
    settle();
    assert_int_not_equal(lab_primary(lab), 1);
}

static void test_a_node_alone_is_a_cluster(void **state)
{
    (void)state;
    running(1);
    lab_postgres_dies(lab, 1);
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 1);
}

static void test_clusters_of_two_and_of_five_form(void **state)
{
    (void)state;
    running(2);
    running(5);
}

static void test_in_peace_nothing_is_written_to_the_log(void **state)
{
    uint32_t entries;

    (void)state;
    running(3);
    entries = lab->log_count;
    lab_run(lab, 60000);
    assert_int_equal(lab->log_count, entries);
}

/* Settings that are given anew with the same values, and other bytes between them. */
static uint32_t count_statuses(struct ha_settings *settings, uint32_t steps, bool new_tags)
{
    uint8_t *padding = (uint8_t *)&settings->member + offsetof(struct cluster_member, witness) + 1;
    struct lab_node *node = lab_node(lab, 2);
    uint32_t count = 0;

    for (uint32_t i = 0; i < steps; i++) {
        const struct ha_event event = {
            .kind = HA_EVENT_SETTINGS, .now_ms = lab->now_ms += 1, .settings = settings};

        *padding ^= 0xff;
        settings->tags[0] = new_tags && i == steps - 1 ? 'x' : settings->tags[0];
        ha_step(node->ha, &event, &node->update);
        for (uint32_t j = 0; j < node->update.message_count; j++) {
            count += node->update.messages[j].kind == HA_MESSAGE_STATUS ? 1 : 0;
        }
    }
    return count;
}

static void test_a_status_is_sent_at_once_when_something_changes_and_only_then(void **state)
{
    struct ha_settings settings;

    (void)state;
    running(3);
    settings = lab_node(lab, 2)->settings;
    assert_in_range(count_statuses(&settings, 100, false), 0, 1);
    while (count_statuses(&settings, 1, false) == 0) { /* Now the next regular one is far. */
    }
    assert_int_equal(count_statuses(&settings, 20, true), 1);
}

/* The daemon's newest status on its way to another node, with all messages of a step. */
static struct ha_message catch_status(uint64_t from, uint64_t to)
{
    for (uint32_t steps = 0; steps < 200; steps++) {
        for (uint32_t i = 0; i < lab->message_count; i++) {
            const struct ha_message *message = &lab->messages[i];

            if (message->kind == HA_MESSAGE_STATUS && message->from == from && message->to == to) {
                return *message;
            }
        }
        lab_step(lab);
    }
    fail_msg("n%llu says nothing", (unsigned long long)from);
    return (struct ha_message){.kind = HA_MESSAGE_NONE};
}

static uint64_t start_known_after(const struct ha_message *message)
{
    struct lab_node *node = lab_node(lab, message->to);

    ha_step(
        node->ha,
        &(struct ha_event){
            .kind = HA_EVENT_MESSAGE, .now_ms = lab->now_ms += 1, .message = message},
        &node->update);
    return ha_known_status(node->ha, message->from)->start_id;
}

static void test_a_late_status_of_an_earlier_start_is_not_believed(void **state)
{
    struct ha_message early;
    struct ha_message late;

    (void)state;
    running(3);
    early = catch_status(2, 1);
    lab_run(lab, 200);
    lab_daemon_dies(lab, 2);
    lab_node(lab, 2)->settings.start_wall_ms = lab->now_ms;
    lab_daemon_starts(lab, 2);
    late = catch_status(2, 1);
    assert_int_not_equal(early.status.start_id, late.status.start_id);
    assert_int_equal(start_known_after(&late), late.status.start_id);
    early.status.number += 1000;
    assert_int_equal(start_known_after(&early), late.status.start_id);
}

static void test_a_daemon_whose_clock_was_set_back_is_heard_when_its_last_start_is_silent(
    void **state)
{
    struct ha_message message;

    (void)state;
    running(3);
    lab_daemon_dies(lab, 2);
    lab_node(lab, 2)->settings.start_wall_ms = lab->now_ms;
    lab_daemon_starts(lab, 2);
    lab_run(lab, 1000);
    lab_daemon_dies(lab, 2);
    lab_node(lab, 2)->settings.start_wall_ms = 1000;
    lab_daemon_starts(lab, 2);
    lab_run(lab, TTL_MS / 2 + 500);
    message = catch_status(2, 1);
    assert_int_equal(message.status.start_wall_ms, 1000);
    assert_int_equal(start_known_after(&message), message.status.start_id);
    lab_until(lab, lab_all_is_well, 1000);
}

static void test_data_of_another_cluster_is_left_alone(void **state)
{
    struct lab_pg *pg;

    (void)state;
    lab = lab_new(3);
    pg = &lab_node(lab, 3)->pg;
    lab_daemon_dies(lab, 3);
    lab_until(lab, lab_all_is_well, 10000);
    pg->facts.data = PG_DATA_VALID;
    pg->facts.system_identifier = 42;
    lab_daemon_starts(lab, 3);
    lab_run(lab, 1000);
    assert_true(lab_node(lab, 3)->fatal);
    assert_int_equal(lab_node(lab, 3)->noted[HA_NOTE_WRONG_SYSTEM], 1);
    assert_int_equal(lab_node(lab, 3)->noted[HA_NOTE_ACTION], 0);
}

/* A server that was there before its daemon. What it is nobody told yet. */
static struct lab_pg *server_from_before(uint64_t id, uint64_t upstream)
{
    struct lab_pg *pg = &lab_node(lab, id)->pg;

    pg->facts.data = PG_DATA_VALID;
    pg->facts.system_identifier = 4711;
    pg->facts.record.data_dir_id = id;
    pg->facts.run = PG_RUN_UP;
    pg->facts.in_recovery = true;
    pg->facts.sql_ok = true;
    pg->facts.conninfo_set = upstream != 0;
    pg->upstream = upstream;
    pg->lsn = 100;
    pg->timeline = 1;
    return pg;
}

static void test_nobody_is_granted_while_a_primary_without_a_daemon_is_streamed_from(void **state)
{
    (void)state;
    lab = lab_new(3);
    (void)server_from_before(1, 3);
    (void)server_from_before(2, 3);
    (void)server_from_before(3, 0);
    lab_daemon_dies(lab, 3);
    lab_run(lab, 20000);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_NONE);
    assert_true(lab_node(lab, 1)->pg.facts.conninfo_set);
    assert_int_equal(
        lab_node(lab, 1)->noted[HA_NOTE_NO_CANDIDATE] +
            lab_node(lab, 2)->noted[HA_NOTE_NO_CANDIDATE],
        1);
    lab_node(lab, 3)->lost_its_store = true; /* It comes as a stranger, and is let in. */
    lab_run(lab, TTL_MS);
    assert_true(membership_changes() > 0);
    lab_postgres_dies(lab, 3);
    lab_until(lab, lab_somebody_serves, 5000);
}

static void test_nobody_is_granted_before_each_server_has_told_what_it_is(void **state)
{
    struct lab_pg *silent;

    (void)state;
    lab = lab_new(3);
    (void)server_from_before(1, 0);
    (void)server_from_before(2, 0);
    silent = server_from_before(3, 0);
    silent->facts.run = PG_RUN_STARTING;
    silent->facts.in_recovery = silent->facts.sql_ok = false;
    lab_run(lab, 20000);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_NONE);
    silent->facts.run = PG_RUN_UP;
    silent->facts.in_recovery = silent->facts.sql_ok = true;
    lab_until(lab, lab_somebody_serves, 5000);
}

static void test_a_primary_that_is_taken_over_is_never_called_a_replica(void **state)
{
    struct lab_node *node;
    struct pg_facts facts;
    struct ha_event event = {.kind = HA_EVENT_FACTS, .facts = &facts};

    (void)state;
    running(1);
    node = lab_node(lab, 1);
    node->ha->callback_start_id = 0; /* Nobody heard of this server yet. */
    facts = node->pg.facts;
    facts.writable_start = false;
    event.now_ms = lab->now_ms += 1;
    ha_step(node->ha, &event, &node->update);
    assert_int_equal(node->update.callback, PG_CALLBACK_NONE);
    facts.writable_start = true;
    node->ha->action.kind = PG_ACTION_PROMOTE;
    event.now_ms = lab->now_ms += 1;
    ha_step(node->ha, &event, &node->update);
    assert_int_equal(node->update.callback, PG_CALLBACK_NONE);
    node->ha->action.kind = PG_ACTION_NONE;
    event.now_ms = lab->now_ms += 1;
    ha_step(node->ha, &event, &node->update);
    assert_int_equal(node->update.callback, PG_CALLBACK_START);
    assert_string_equal(node->update.callback_role, "primary");
}

/* --- The primary's node is gone. --- */

static void test_when_the_primarys_node_is_gone_nobody_is_granted_before_the_wait(void **state)
{
    uint64_t old_deadline_ms;
    uint64_t gone_ms;

    (void)state;
    running(3);
    old_deadline_ms = lab_node(lab, 1)->pg.deadline_ms;
    gone_ms = lab->now_ms;
    lab_power_off(lab, 1);
    /* Till then they could still have got what it had written. */
    lab_until(lab, a_standby_is_cut, 2 * TTL_MS);
    assert_true(lab->now_ms >= old_deadline_ms);
    lab_until(lab, another_serves, TTL_MS + 500);

    assert_int_equal(epoch(), 2);
    assert_false(lab_cluster(lab)->last.fenced);
    /* Suspicion after half a ttl, the grant when the waits are nearly over. */
    assert_true(lab_newest(lab, COMMAND_REVOKE)->at_ms >= gone_ms + TTL_MS / 2 - TTL_MS / 10);
    assert_true(lab_newest(lab, COMMAND_GRANT)->at_ms + 50 >= old_deadline_ms);
    assert_true(lab_node(lab, lab_primary(lab))->lease_from_ms >= old_deadline_ms);
}

/* Else its node, if it has lost its Raft store meanwhile, could never come and say that it ended.
 */
static void test_the_membership_may_change_while_a_server_without_a_guard_is_waited_for(
    void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 1)->pg.facts.writable_start = false;
    lab_node(lab, 1)->pg.facts.start_epoch = 0;
    lab_run(lab, 2 * LAB_STEP_MS); /* It says so, and has no time for more. */
    lab_power_off(lab, 1);
    lab_run(lab, 5 * TTL_MS);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_REVOKED);
    assert_int_equal(lab_count(lab, COMMAND_GRANT), 1);
    assert_true(lab_node(lab, lab->leader)->ha->nobody_ms != 0);
}

static const struct command revoke = {.kind = COMMAND_REVOKE, .epoch = 2};

/* An entry that is in the node's log and not decided yet; returns its index. */
static uint64_t append_revoke(struct ha *ha)
{
    const uint64_t next = lab->log_count + 1;

    ha_log_appended(ha, next, lab->log[next - 2].term, &revoke);
    return next;
}

static void test_a_newer_epoch_in_the_log_ends_a_grant_before_it_is_decided(void **state)
{
    struct ha *ha;

    (void)state;
    running(3);
    ha = lab_node(lab, lab_primary(lab))->ha;
    assert_true(ha_is_mine(ha));
    (void)append_revoke(ha);
    assert_false(ha_is_mine(ha));
}

static void test_a_pledge_counts_from_when_it_is_on_disk(void **state)
{
    struct ha_status status;
    uint64_t index;
    struct ha *ha;

    (void)state;
    running(3);
    ha = lab_node(lab, 2)->ha;
    index = append_revoke(ha);
    status_fill(ha, &status);
    assert_int_equal(status.log_epoch, 1);
    ha_apply(ha, index, lab->term, &revoke); /* The disks of the others were quicker. */
    status_fill(ha, &status);
    assert_int_equal(status.log_epoch, 1);
    ha_log_durable(ha, index);
    status_fill(ha, &status);
    assert_int_equal(status.log_epoch, 2);
}

static void test_an_old_primary_that_comes_back_follows_the_new_one(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 1)->cut = true;
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_not_equal(lab_primary(lab), 1);
    lab_node(lab, 1)->cut = false;
    lab_until(lab, lab_all_is_well, 5000);
    assert_int_equal(epoch(), 2);
    assert_true(lab_node(lab, 1)->noted[HA_NOTE_DIVERGED] > 0); /* It wrote until its fence. */
}

static bool third_is_told_to_follow(const struct lab *any)
{
    return any->nodes[2].pg.action.kind == PG_ACTION_FOLLOW;
}

static void test_what_an_old_upstream_still_sent_is_seen_when_nothing_comes_from_the_new_one(
    void **state)
{
    (void)state;
    running(3);
    lab_power_off(lab, 1);
    lab_until(lab, third_is_told_to_follow, 3 * TTL_MS);
    assert_int_equal(lab_node(lab, 3)->noted[HA_NOTE_DIVERGED], 0);
    lab_node(lab, 3)->pg.lsn += 1U << 20;
    lab_run(lab, 5000);
    assert_true(lab_node(lab, 3)->noted[HA_NOTE_DIVERGED] > 0);
    lab_power_on(lab, 1);
    lab_until(lab, lab_all_is_well, 5000);
}

/* Two failovers within one restart point: the control files still name the first timeline. */
static void test_a_standby_that_tells_an_old_timeline_is_not_taken_for_diverged(void **state)
{
    uint64_t second;

    (void)state;
    running(3);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, 2 * TTL_MS);
    second = lab_primary(lab);
    lab_power_on(lab, 1);
    lab_until(lab, lab_all_is_well, 10000);
    for (uint64_t id = 1; id <= 3; id++) {
        lab_node(lab, id)->pg.control_timeline = 1;
        lab_node(lab, id)->noted[HA_NOTE_DIVERGED] = 0;
    }
    lab->write_bytes = 0;
    lab_power_off(lab, second);
    lab_until(lab, third_epoch_serves, 2 * TTL_MS);
    assert_int_equal(lab_cluster(lab)->last.start.timeline, 2);
    lab_until(lab, lab_all_is_well, 5000);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(lab_node(lab, id)->noted[HA_NOTE_DIVERGED], 0);
    }
}

/* It is heard again, and its server neither starts nor fails. */
static void test_an_old_primary_that_hangs_is_not_waited_for_by_who_has_all_of_it(void **state)
{
    (void)state;
    running(3);
    lab->write_bytes = 0;
    lab_run(lab, 100);
    lab_node(lab, 1)->cut = true;
    lab_until(lab, first_server_is_stopped, 2 * TTL_MS);
    lab_node(lab, 1)->pg.hangs = true;
    lab_node(lab, 1)->cut = false;
    lab_until(lab, another_serves, TTL_MS);
    assert_int_not_equal(lab_primary(lab), 1);
    assert_true(lab_cluster(lab)->last.fenced); /* That it was heard is what fenced it. */
}

static void test_an_old_primary_that_has_more_is_waited_for(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 1)->cut = true; /* It writes until its fence. */
    lab_until(lab, first_server_is_stopped, 2 * TTL_MS);
    lab_node(lab, 1)->pg.hangs = true;
    lab_node(lab, 1)->cut = false;
    lab_run(lab, 5 * TTL_MS);
    assert_int_equal(lab_primary(lab), 0);
    assert_int_equal(lab_count(lab, COMMAND_GRANT), 1);
    lab_node(lab, 1)->pg.action_ends_ms = lab->now_ms; /* It has come up after all. */
    lab_node(lab, 1)->pg.hangs = false;
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 1);
}

static void test_a_cut_that_ends_in_time_changes_nothing(void **state)
{
    uint32_t entries;

    (void)state;
    running(3);
    entries = lab->log_count;
    lab_node(lab, 1)->cut = true;
    lab_run(lab, TTL_MS / 2 - 300);
    lab_node(lab, 1)->cut = false;
    lab_run(lab, 5000);
    assert_true(lab_all_is_well(lab));
    assert_int_equal(epoch(), 1);
    assert_int_equal(lab->log_count, entries);
}

static void test_a_primary_that_is_heard_but_hears_nothing_is_replaced(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 1)->deaf = true;
    lab_run(lab, TTL_MS / 2 + 300);
    assert_int_equal(lab_newest(lab, COMMAND_REVOKE)->command.epoch, 2);
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_not_equal(lab_primary(lab), 1);
}

static void test_a_primary_serves_on_while_the_log_decides_nothing(void **state)
{
    const struct command waiting = {.kind = COMMAND_MEMBER_SET, .member = {.id = 3}};

    (void)state;
    running(3);
    lab->log_stalled = true;
    lab_run(lab, 5000);
    assert_int_equal(lab_primary(lab), 1);
    /* Also with an entry in its log that waits for a decision. */
    ha_log_appended(lab_node(lab, 1)->ha, lab->log_count + 1, lab->term, &waiting);
    lab_run(lab, 5000);
    assert_int_equal(lab_primary(lab), 1);
    ha_log_truncated(lab_node(lab, 1)->ha, lab->log_count + 1);
    lab->log_stalled = false;
    lab_until(lab, lab_all_is_well, 5000);
    assert_int_equal(epoch(), 1);
}

/* Suspected for a moment only: the others could not hear it, and now they do. */
static void test_a_primary_that_still_serves_is_granted_again(void **state)
{
    uint64_t old_start;

    (void)state;
    running(3);
    old_start = lab_node(lab, 1)->pg.facts.start_id;
    lab_node(lab, 1)->cut = true;
    while (lab_newest(lab, COMMAND_REVOKE)->command.epoch < 2) {
        lab_step(lab);
    }
    lab_node(lab, 1)->cut = false;
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(lab_node(lab, 1)->pg.facts.start_id, old_start);
    assert_int_equal(epoch(), 2);
    lab_until(lab, lab_all_is_well, 3000);
}

static void test_after_a_power_cut_of_all_the_old_primary_goes_on_without_a_loss(void **state)
{
    uint64_t end_lsn;

    (void)state;
    running(3);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 100);
    end_lsn = lab_node(lab, 1)->pg.lsn;
    for (uint64_t id = 1; id <= 3; id++) {
        lab_power_off(lab, id);
    }
    lab_run(lab, 1000);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = false;
    for (uint64_t id = 1; id <= 3; id++) {
        lab_power_on(lab, id);
    }
    lab_until(lab, lab_all_is_well, 20000);
    assert_int_equal(lab_primary(lab), 1);
    assert_true(lab_cluster(lab)->last.fenced);
    assert_true(lab_cluster(lab)->last.start.lsn >= end_lsn);
}

/* --- PostgreSQL alone. --- */

static void test_when_postgres_dies_a_complete_standby_takes_over(void **state)
{
    uint64_t died_ms;

    (void)state;
    running(3);
    lab->write_bytes = 0;
    lab_run(lab, 1000);
    died_ms = lab->now_ms;
    lab_postgres_dies(lab, 1);
    lab_until(lab, is_handed_over, 300);
    lab_until(lab, another_serves, 300);
    assert_int_not_equal(lab_primary(lab), 1);
    assert_true(lab_cluster(lab)->last.fenced); /* It waits for no clock. */
    assert_true(lab->now_ms - died_ms < TTL_MS / 4);
    lab_until(lab, lab_all_is_well, 5000);
}

static void test_when_postgres_dies_and_nobody_has_all_of_it_it_starts_in_place(void **state)
{
    uint64_t died_ms;

    (void)state;
    running(3);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 1000);
    lab_postgres_dies(lab, 1);
    died_ms = lab->now_ms;
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(lab_cluster(lab)->last.node, 1);
    assert_int_equal(epoch(), 2); /* One start per epoch. */
    /* Nothing comes in any more at either of them, so nothing is waited for. */
    assert_in_range(lab_newest(lab, COMMAND_HANDOVER)->at_ms - died_ms, 0, 120);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = false;
    lab_until(lab, lab_all_is_well, 5000);
}

/* 7 GB are more than 20 MB/s get through in 300 s. */
static void test_a_start_that_would_take_too_long_is_not_begun(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 1000);
    lab_node(lab, 1)->pg.facts.redo_bytes = 7000000000;
    lab_node(lab, 1)->pg.hangs = true; /* So long does it replay. */
    lab_postgres_dies(lab, 1);
    lab_until(lab, another_serves, 1000);
    assert_int_not_equal(lab_primary(lab), 1);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 0);
    assert_int_equal(lab_newest(lab, COMMAND_REVOKE)->command.epoch, 2);
    assert_true(lab_cluster(lab)->last.fenced);
}

static void test_a_long_start_is_begun_when_the_others_lack_too_much(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 11000); /* More than maximum_lag_on_failover. */
    lab_node(lab, 1)->pg.facts.redo_bytes = 7000000000;
    lab_postgres_dies(lab, 1);
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 1);
}

static void test_with_no_time_to_start_a_standby_takes_over_whatever_it_lacks(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab->dynamic.primary_start_timeout_ms = 0;
    settle();
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 100);
    lab_postgres_dies(lab, 1);
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_equal(lab_count(lab, COMMAND_REVOKE), 2);
}

static void test_a_primary_that_does_not_answer_for_too_long_gives_way(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab->dynamic.primary_start_timeout_ms = 20000;
    settle();
    lab_node(lab, 1)->pg.facts.hung_since_ms = lab->now_ms;
    lab_run(lab, 19900);
    assert_int_equal(epoch(), 1);
    lab_until(lab, another_serves, 2000);
    assert_int_not_equal(lab_primary(lab), 1);
    assert_int_equal(lab_count(lab, COMMAND_REVOKE), 1); /* Handed over: nothing is lost. */
}

static void test_a_primary_that_answers_again_in_time_stays(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab->dynamic.primary_start_timeout_ms = 0; /* It has some seconds all the same. */
    settle();
    lab_node(lab, 1)->pg.facts.hung_since_ms = lab->now_ms;
    lab_run(lab, 9900);
    lab_node(lab, 1)->pg.facts.hung_since_ms = 0;
    lab_run(lab, 10000);
    assert_int_equal(epoch(), 1);
}

static void test_a_restart_is_a_new_epoch_of_the_same_node(void **state)
{
    uint64_t old_start;

    (void)state;
    running(3);
    old_start = lab_node(lab, 1)->pg.facts.start_id;
    lab_local(lab, 1, HA_LOCAL_RESTART, 7);
    lab_until(lab, is_handed_over, 1000);
    lab_until(lab, lab_all_is_well, 2000);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(epoch(), 2);
    assert_int_not_equal(lab_node(lab, 1)->pg.facts.start_id, old_start);
    assert_reply(1, 7, 200);
}

static void test_a_restart_is_told_as_one(void **state)
{
    (void)state;
    running(3);
    lab_local(lab, 1, HA_LOCAL_RESTART, 7);
    lab_until(lab, is_handed_over, 1000);
    lab_until(lab, lab_all_is_well, 2000);
    lab_run(lab, 1000);
    assert_string_equal(lab_node(lab, 1)->callbacks, "start primary, restart primary");
}

static void test_a_crash_that_is_mended_in_place_is_a_start(void **state)
{
    (void)state;
    running(1);
    lab_postgres_dies(lab, 1);
    lab_run(lab, 2 * LAB_STEP_MS);
    lab_until(lab, lab_somebody_serves, 5000);
    assert_string_equal(lab_node(lab, 1)->callbacks, "start primary, start primary");
}

static void test_who_loses_its_address_is_told_of_the_stop(void **state)
{
    (void)state;
    running(3);
    lab_switchover(lab, 2, 1, 3, 7);
    lab_until(lab, another_serves, 500);
    lab_until(lab, lab_all_is_well, 3000);
    assert_string_equal(
        lab_node(lab, 1)->callbacks, "start primary, stop primary, role_change replica");
    assert_string_equal(lab_node(lab, 3)->callbacks, "start replica, role_change primary");
}

static void test_a_fenced_primary_that_stays_down_is_told_of_the_stop(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 1)->cut = true;
    lab_until(lab, another_serves, 3 * TTL_MS);
    assert_string_equal(lab_node(lab, 1)->callbacks, "start primary, stop primary");
}

static void test_a_daemon_that_restarts_adopts_its_server(void **state)
{
    uint64_t old_start;

    (void)state;
    running(3);
    old_start = lab_node(lab, 1)->pg.facts.start_id;
    lab_daemon_dies(lab, 1);
    lab_run(lab, TTL_MS / 2 - 300);
    lab_daemon_starts(lab, 1);
    lab_until(lab, lab_all_is_well, 3000);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(lab_node(lab, 1)->pg.facts.start_id, old_start);
    assert_int_equal(epoch(), 1);
    assert_int_equal(lab_node(lab, 1)->noted[HA_NOTE_ADOPTED], 1);
}

static void test_a_dead_daemon_ends_its_server_by_the_deadline(void **state)
{
    uint64_t deadline_ms;

    (void)state;
    running(3);
    deadline_ms = lab_node(lab, 1)->pg.deadline_ms;
    lab_daemon_dies(lab, 1);
    while (lab->now_ms + LAB_STEP_MS < deadline_ms) {
        lab_step(lab);
    }
    assert_int_equal(lab_node(lab, 1)->pg.facts.run, PG_RUN_STOPPED);
    lab_until(lab, another_serves, TTL_MS);
}

/* --- What people ask for. --- */

static void test_a_switchover_loses_nothing(void **state)
{
    const struct cluster_grant *grant;

    (void)state;
    running(3);
    lab_switchover(lab, 2, 1, 3, 7);
    lab_until(lab, another_serves, 500);
    assert_int_equal(lab_primary(lab), 3);
    grant = &lab_cluster(lab)->last;
    assert_true(grant->start.lsn == lab_node(lab, 1)->pg.lsn);
    lab_until(lab, lab_all_is_well, 3000);
    assert_reply(2, 7, 200);
    assert_int_equal(lab_count(lab, COMMAND_REVOKE), 1); /* The first epoch's alone. */
    assert_int_equal(lab_node(lab, 1)->noted[HA_NOTE_DIVERGED], 0);
}

static void test_a_switchover_goes_to_nobody_who_has_more_than_the_primary_wrote(void **state)
{
    (void)state;
    running(2);
    lab_switchover(lab, 1, 1, 2, 7);
    lab_until(lab, first_server_stops, 100);
    lab_node(lab, 2)->pg.lsn += 1u << 20;
    lab_node(lab, 2)->pg.facts.received_lsn = lab_node(lab, 2)->pg.lsn;
    lab_until(lab, another_serves, 20000);
    assert_int_equal(lab_primary(lab), 1);
    assert_reply(1, 7, 503);
}

static void test_a_switchover_that_is_broken_off_leaves_the_old_primary_under_a_new_epoch(
    void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 3)->pg.stalled = true; /* It streams, and never gets the last of it. */
    lab_switchover(lab, 1, 1, 3, 7);
    lab_until(lab, is_handed_over, 6000);
    lab_until(lab, lab_somebody_serves, 500);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(epoch(), 2);
    lab_run(lab, 300);
    assert_reply(1, 7, 503);
}

static void test_a_planned_stop_that_fails_is_made_harder_once(void **state)
{
    (void)state;
    running(3);
    lab->write_bytes = 0;
    lab_node(lab, 1)->pg.fails_to_stop = true;
    lab_switchover(lab, 2, 1, 3, 7);
    lab_until(lab, another_serves, 500);
    assert_int_equal(lab_primary(lab), 3);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 1);
    assert_int_equal(lab_node(lab, 1)->noted[HA_NOTE_ACTION_FAILED], 1);
    lab_until(lab, lab_all_is_well, 3000);
    assert_reply(2, 7, 200);
}

static void test_a_request_that_nobody_can_carry_out_is_answered(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 3)->cut = true;
    lab_run(lab, TTL_MS); /* Till the primary knows. */
    lab_switchover(lab, 1, 1, 3, 7);
    lab_run(lab, 16000);
    assert_reply(1, 7, 503);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(epoch(), 1);
    assert_int_equal(lab_cluster(lab)->request.kind, CLUSTER_REQUEST_NONE);
}

static void test_a_switchover_waits_for_a_candidate_that_lags_too_much(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 3)->pg.stalled = true;
    lab->write_bytes = 20000;
    lab_run(lab, 11000); /* More than may be sent meanwhile. */
    lab_switchover(lab, 1, 1, 3, 7);
    lab_run(lab, 5000);
    assert_int_equal(lab_primary(lab), 1);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 0);
    lab_node(lab, 3)->pg.stalled = false;
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 3);
    lab_until(lab, lab_all_is_well, 3000);
    assert_reply(1, 7, 200);
}

/* Only who stops for it loses nothing by it. */
static void test_a_switchover_that_has_not_begun_is_no_reason_to_lose_more(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 3)->pg.upstream = 0;
    lab_run(lab, 11000);
    lab_switchover(lab, 2, 1, 3, 7);
    lab_run(lab, 1000);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, 3 * TTL_MS);
    assert_int_equal(lab_primary(lab), 2);
    lab_run(lab, 1000);
    assert_reply(2, 7, 200);
    assert_string_equal(lab_reply(lab, 2, 7)->text, "Switched over to \"n2\" instead of \"n3\"");
}

/* Who was named lacks the last of it, the other one has it all, and nobody comes back. */
static void test_a_switchover_whose_primary_is_lost_meanwhile_goes_to_who_has_all(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 500);
    lab_switchover(lab, 2, 1, 3, 7);
    lab_until(lab, first_server_is_stopped, 1000);
    lab_run(lab, 100);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, TTL_MS);
    assert_int_equal(lab_primary(lab), 2);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 1);
}

/* Nor is it handed back to a node that is not there. */
static void test_a_switchover_whose_primary_is_lost_meanwhile_is_not_handed_back(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.stalled = lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 500);
    lab_switchover(lab, 2, 1, 3, 7);
    lab_until(lab, first_server_is_stopped, 1000);
    lab_run(lab, 100);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 0);
}

static void test_a_failover_to_a_node_that_was_named_is_made_whatever_it_lacks(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 3)->pg.upstream = 0;
    lab_run(lab, 11000);
    lab_power_off(lab, 1);
    lab_ask(
        lab, 3,
        &(struct command){
            .kind = COMMAND_REQUEST_SET,
            .request = {.kind = CLUSTER_REQUEST_FAILOVER, .id = 7, .to = 3},
    });
    lab_until(lab, another_serves, 3 * TTL_MS);
    assert_int_equal(lab_primary(lab), 3);
}

static void test_a_switchover_planned_for_later_decides_nothing_now(void **state)
{
    (void)state;
    running(3);
    lab_ask(
        lab, 1,
        &(struct command){
            .kind = COMMAND_REQUEST_SET,
            .request =
                {.kind = CLUSTER_REQUEST_SWITCHOVER,
                          .id = 7,
                          .from = 1,
                          .to = 3,
                          .scheduled_wall_ms = lab->now_ms + 3600000},
    });
    lab_run(lab, 1000);
    assert_reply(1, 7, 202);
    assert_false(lab_node(lab, 1)->update.watch_closely); /* Nor is anybody in a hurry. */
    lab_node(lab, 3)->pg.stalled = true;
    lab_run(lab, 1000);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_equal(lab_primary(lab), 2);
}

static void test_a_switchover_planned_for_later_begins_at_its_hour(void **state)
{
    (void)state;
    running(3);
    lab_ask(
        lab, 1,
        &(struct command){
            .kind = COMMAND_REQUEST_SET,
            .request =
                {.kind = CLUSTER_REQUEST_SWITCHOVER,
                          .id = 7,
                          .from = 1,
                          .to = 3,
                          .scheduled_wall_ms = lab->now_ms + 5000},
    });
    lab_run(lab, 4500);
    assert_int_equal(lab_primary(lab), 1);
    lab_until(lab, another_serves, 1000);
    assert_int_equal(lab_primary(lab), 3);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 1);
}

static void test_a_primary_that_leaves_hands_over(void **state)
{
    (void)state;
    running(3);
    lab_local(lab, 1, HA_LOCAL_LEAVE, 0);
    lab_until(lab, another_serves, 1000);
    assert_int_not_equal(lab_primary(lab), 1);
    assert_int_equal(lab_count(lab, COMMAND_HANDOVER), 1);
    lab_run(lab, 1000);
    assert_true(lab_node(lab, 1)->left);
}

static void test_the_ttl_changes_in_two_steps(void **state)
{
    const char *config = "{\"ttl\":4}";
    uint64_t beside_ms;

    (void)state;
    running(3);
    lab->dynamic.ttl_ms = 4000;
    lab_ask(
        lab, 1,
        &(struct command){
            .kind = COMMAND_CONFIG_SET,
            .id = 7,
            .config_version = lab_cluster(lab)->config_version,
            .config = config,
            .config_size = (uint32_t)strlen(config),
        });
    lab_run(lab, 500);
    assert_reply(1, 7, 200);
    beside_ms = lab_newest(lab, COMMAND_TTL_BESIDE)->at_ms;
    assert_int_equal(lab_cluster(lab)->ttl_ms, TTL_MS);
    assert_int_equal(lab_cluster(lab)->ttl_other_ms, 4000);
    lab_run(lab, 5000);
    assert_int_equal(lab_cluster(lab)->ttl_ms, 4000);
    assert_true(lab_newest(lab, COMMAND_TTL_ALONE)->at_ms >= beside_ms + 4040);
    assert_int_equal(epoch(), 1);
}

static void test_a_shorter_ttl_stands_alone_only_when_no_longer_lease_can_run(void **state)
{
    const char *config = "{\"ttl\":1}";

    (void)state;
    running(3);
    lab->dynamic.ttl_ms = 1000;
    lab_ask(
        lab, 1,
        &(struct command){
            .kind = COMMAND_CONFIG_SET,
            .id = 7,
            .config_version = lab_cluster(lab)->config_version,
            .config = config,
            .config_size = (uint32_t)strlen(config),
        });
    while (lab_cluster(lab)->ttl_ms == TTL_MS) {
        lab_step(lab);
    }
    assert_true(lab_node(lab, 1)->pg.deadline_ms <= lab->now_ms + 1000);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, TTL_MS + 1000);
}

/* --- The grantee. --- */

static void test_a_grantee_that_lost_wal_refuses(void **state)
{
    uint64_t chosen;

    (void)state;
    running(3);
    lab_power_off(lab, 1);
    lab_until(lab, second_grant_is_decided, 2 * TTL_MS);
    chosen = lab_newest(lab, COMMAND_GRANT)->command.node;
    lab_node(lab, chosen)->pg.lsn -= 500;
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_not_equal(lab_primary(lab), chosen);
    assert_int_equal(lab_node(lab, chosen)->noted[HA_NOTE_REFUSES_GRANT], 1);
}

static void test_a_grantee_with_another_data_directory_refuses(void **state)
{
    uint64_t chosen;

    (void)state;
    running(3);
    lab_power_off(lab, 1);
    lab_until(lab, second_grant_is_decided, 2 * TTL_MS);
    chosen = lab_newest(lab, COMMAND_GRANT)->command.node;
    lab_node(lab, chosen)->pg.facts.record.data_dir_id++;
    lab_until(lab, another_serves, 2 * TTL_MS);
    assert_int_not_equal(lab_primary(lab), chosen);
    assert_int_equal(lab_node(lab, chosen)->noted[HA_NOTE_REFUSES_GRANT], 1);
}

static void test_a_grantee_that_fails_is_left_out(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.fails_to_promote = true;
    lab_node(lab, 2)->settings.failover_priority = 2;
    lab_daemon_dies(lab, 2);
    lab_daemon_starts(lab, 2);
    lab_run(lab, 2000);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, 4 * TTL_MS);
    assert_int_equal(lab_primary(lab), 3);
    assert_int_equal(lab_node(lab, 2)->noted[HA_NOTE_ACTION_FAILED], 1);
    /* Rule 11: that it is gone says nothing of the lease before, which it never took over. */
    assert_false(lab_cluster(lab)->last.fenced);
}

/* What may be lost is counted from the last epoch that served, not from the one that failed. */
static void test_after_a_failed_grant_nobody_is_chosen_who_lacks_too_much(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.stalled = true;
    lab_run(lab, 11000); /* More than maximum_lag_on_failover. */
    lab_node(lab, 3)->pg.fails_to_promote = true;
    lab_power_off(lab, 1);
    lab_run(lab, 6 * TTL_MS);
    assert_int_equal(lab_newest(lab, COMMAND_GRANT)->command.node, 3);
    assert_int_equal(lab_primary(lab), 0);
    lab_node(lab, 3)->pg.fails_to_promote = false;
    lab_until(lab, lab_somebody_serves, 15000);
    assert_int_equal(lab_primary(lab), 3);
}

static void test_a_position_that_comes_late_counts_all_the_same(void **state)
{
    (void)state;
    running(3);
    for (uint64_t to = 2; to <= 3; to++) {
        struct ha_message *late = &lab->messages[lab->message_count++];

        *late = (struct ha_message){.kind = HA_MESSAGE_STATUS, .from = 1, .to = to};
        late->status = *ha_known_status(lab_node(lab, to)->ha, 1);
        late->status.number = 1;
        late->status.position.lsn += 2U << 20;
    }
    lab_step(lab);
    lab_power_off(lab, 1);
    lab_run(lab, 6 * TTL_MS);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_REVOKED);
    assert_int_equal(lab_count(lab, COMMAND_GRANT), 1);
}

static void test_the_only_grantee_tries_again_after_a_failure(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.fails_to_promote = true;
    lab_node(lab, 3)->settings.nofailover = true;
    lab_daemon_dies(lab, 3);
    lab_daemon_starts(lab, 3);
    lab_run(lab, 2000);
    lab_power_off(lab, 1);
    lab_until(lab, second_node_has_failed, 3 * TTL_MS);
    lab_run(lab, 4000);
    assert_int_equal(lab_primary(lab), 0);
    assert_int_equal(lab_count(lab, COMMAND_GRANT), 2); /* It does not try in a frenzy. */
    lab_node(lab, 2)->pg.fails_to_promote = false;
    lab_until(lab, lab_somebody_serves, 10000);
    assert_int_equal(lab_primary(lab), 2);
}

/* It answers nobody for a whole ttl, and without it there is no majority. */
static void test_a_grant_outlives_the_wait_of_a_voter_that_restarts(void **state)
{
    uint64_t voter;

    (void)state;
    running(3);
    lab_power_off(lab, 1);
    lab_until(lab, second_grant_is_decided, 4 * TTL_MS);
    voter = lab_cluster(lab)->last.node == 2 ? 3 : 2;
    lab_daemon_dies(lab, voter);
    lab_daemon_starts(lab, voter);
    lab_until(lab, another_serves, 4 * TTL_MS);
    assert_int_equal(epoch(), 2);
}

static void test_a_grantee_whose_promotion_hangs_gives_up_in_time(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab->dynamic.primary_start_timeout_ms = 10000;
    settle();
    lab_node(lab, 2)->settings.failover_priority = 2;
    lab_daemon_dies(lab, 2);
    lab_daemon_starts(lab, 2);
    lab_run(lab, 2000);
    lab_power_off(lab, 1);
    lab_until(lab, second_grant_is_decided, 2 * TTL_MS);
    lab_node(lab, 2)->pg.hangs = true;
    lab_run(lab, 9000);
    assert_int_equal(lab_primary(lab), 0);
    lab_until(lab, another_serves, 3 * TTL_MS + 2000);
    assert_int_equal(lab_primary(lab), 3);
}

/* Its server is in recovery when the daemon comes back, and not gone for that. */
static void test_a_promotion_that_outlives_its_daemon_is_not_taken_for_gone(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->pg.promote_ms = 1650;
    lab_switchover(lab, 1, 1, 2, 7);
    lab_until(lab, is_handed_over, 1000);
    while (lab_node(lab, 2)->pg.action.kind != PG_ACTION_PROMOTE) {
        lab_step(lab);
    }
    lab_daemon_dies(lab, 2);
    lab_node(lab, 2)->pg.hangs = true; /* Nobody can stop it either; its guard will. */
    lab_run(lab, 1200);
    lab_daemon_starts(lab, 2);
    while (lab_node(lab, 2)->pg.facts.run != PG_RUN_STOPPED) {
        assert_int_equal(lab_count(lab, COMMAND_GRANT), 1); /* The first of all. */
        lab_step(lab);
    }
    lab_run(lab, 1000);
    lab_node(lab, 2)->pg.hangs = false;
    lab_daemon_dies(lab, 2);
    lab_daemon_starts(lab, 2);
    lab_until(lab, lab_all_is_well, 10000);
    assert_int_not_equal(lab_primary(lab), 2);
}

/* Rule 19. */
static void test_a_daemon_that_applies_its_log_anew_does_nothing_about_old_entries(void **state)
{
    struct lab_node *node;

    (void)state;
    running(3);
    lab_power_off(lab, 1);
    lab_until(lab, another_serves, 2 * TTL_MS);
    lab_power_on(lab, 1);
    lab_until(lab, lab_all_is_well, 10000);
    node = lab_node(lab, lab_primary(lab) == 2 ? 3 : 2);
    memset(node->noted, 0, sizeof node->noted);
    node->applies_slowly = true;
    lab_daemon_dies(lab, node->id);
    lab_daemon_starts(lab, node->id);
    for (uint32_t i = 0; i < 100; i++) {
        lab_step(lab);
        assert_true(node->pg.facts.conninfo_set);
    }
    assert_int_equal(node->applied_count, lab->log_count);
    assert_int_equal(node->noted[HA_NOTE_PLEDGED], 0);
    assert_true(lab_all_is_well(lab));
}

static bool second_node_is_writable(const struct lab *any)
{
    return any->nodes[1].pg.facts.writable;
}

/* Rule 14: the power went before it had SERVING on its own disk, and the others decided it. */
static void test_a_grantee_that_does_not_know_that_it_served_does_not_start_again(void **state)
{
    struct lab_node *grantee;

    (void)state;
    running(3);
    lab_switchover(lab, 1, 1, 2, 7);
    lab_until(lab, is_handed_over, 2000);
    lab_step(lab);
    grantee = lab_node(lab, 2);
    grantee->gets_no_log = true;
    lab_until(lab, second_node_is_writable, 2000);
    lab_until(lab, second_epoch_serves, 2000);
    lab_power_off(lab, 2);
    lab_power_on(lab, 2);
    for (uint32_t i = 0; i < 300; i++) {
        lab_step(lab);
        assert_false(grantee->pg.facts.writable);
    }
    grantee->gets_no_log = false;
    lab_until(lab, lab_all_is_well, 10000);
    assert_true(epoch() > 2);
}

/* Nobody answers the primary any more; the other one that it believes in is a witness. */
static bool lasts_alone(uint32_t decided_count)
{
    struct ha_raft raft = {
        .leader = true,
        .leader_id = 1,
        .position_checked = true,
        .member = true,
        .member_count = 2,
        .members = {{.id = 1, .voter = true}, {.id = 2, .voter = true}},
        .decided_count = decided_count,
        .decided_ids = { 1,                       2,                        3},
    };
    struct lab_node *primary;

    lab = lab_new(3);
    lab->dynamic.failsafe_mode = true;
    settle();
    primary = lab_node(lab, lab_primary(lab));
    assert_int_equal(primary->id, 1);
    raft.term = lab->term;
    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        primary->ha->cluster.members[i].witness = primary->ha->cluster.members[i].id == 2;
    }
    for (uint64_t now_ms = lab->now_ms; now_ms < lab->now_ms + 2 * TTL_MS; now_ms += 10) {
        ha_step(
            primary->ha, &(struct ha_event){.kind = HA_EVENT_RAFT, .now_ms = now_ms, .raft = &raft},
            &primary->update);
    }
    return ha_lease_runs(primary->ha, lab->now_ms + 2 * TTL_MS);
}

static void make_witness(uint64_t id)
{
    lab_power_off(lab, id);
    lab_node(lab, id)->settings.witness = true;
    lab_power_on(lab, id);
    lab_run(lab, TTL_MS);
}

static void test_before_the_first_epoch_members_come_in(void **state)
{
    (void)state;
    lab = lab_new(3);
    lab_power_off(lab, 1);
    make_witness(2);
    make_witness(3);
    assert_int_equal(membership_changes(), 0);
    lab_node(lab, 1)->lost_its_store = true;
    lab_run(lab, TTL_MS);
    assert_true(membership_changes() > 0);
    assert_int_equal(epoch(), 0);
}

/* Two witnesses do not hear the primary; nobody else could be granted. */
static void lose_only_primary(void)
{
    running(3);
    assert_int_equal(lab_primary(lab), 1);
    make_witness(2);
    make_witness(3);
    lab_power_off(lab, 1);
    lab_run(lab, 5 * TTL_MS);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_REVOKED);
    assert_int_equal(membership_changes(), 0);
}

/* With failsafe_mode it may need no other's answer, and the mode may be on for it alone. */
static void test_the_membership_stays_while_a_failsafe_lease_may_run(void **state)
{
    (void)state;
    lose_only_primary();
    lab_node(lab, 3)->lost_its_store = true;
    lab_run(lab, 5 * TTL_MS);
    assert_int_equal(membership_changes(), 0);
    lab_node(lab, 1)->lost_its_store = true;
    lab_run(lab, TTL_MS);
    assert_int_equal(membership_changes(), 0); /* Its server may run that long. */
    lab_run(lab, TTL_MS / 2);
    assert_true(membership_changes() > 0);
}

static void test_a_failsafe_lease_ends_when_one_that_runs_postgresql_has_pledged(void **state)
{
    (void)state;
    running(3);
    assert_int_equal(lab_primary(lab), 1);
    make_witness(2);
    lab_node(lab, 3)->settings.nofailover = true;
    lab_node(lab, 2)->lost_its_store = true;
    lab_daemon_dies(lab, 3);
    lab_daemon_starts(lab, 3);
    lab_run(lab, TTL_MS);
    lab_power_off(lab, 1);
    lab_run(lab, 6 * TTL_MS);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_REVOKED);
    assert_true(membership_changes() > 0);
}

/* Its PostgreSQL would be none that the primary's failsafe quorum needs. */
static void test_a_witness_is_none_any_more_when_the_primary_has_decided_it(void **state)
{
    (void)state;
    lose_only_primary();
    lab_power_off(lab, 3);
    lab_node(lab, 3)->settings.witness = false;
    lab_power_on(lab, 3);
    lab_run(lab, 5 * TTL_MS);
    assert_int_equal(lab_cluster(lab)->phase, CLUSTER_REVOKED);
    assert_true(lab_cluster(lab)->members[2].witness);
    lab_power_on(lab, 1);
    lab_until(lab, lab_somebody_serves, 5 * TTL_MS);
    lab_run(lab, 2 * TTL_MS);
    assert_int_equal(lab_primary(lab), 1);
    assert_false(lab_cluster(lab)->members[2].witness);
}

static bool is_revoked(const struct lab *any)
{
    return lab_cluster(any)->phase == CLUSTER_REVOKED;
}

/* Three witnesses are a majority, and do not hear the primary; its standby answers it until it gets
 * to know of the revocation, and can pledge at once, for it does not stream. */
static void test_a_grantee_takes_no_lease_before_its_own_wait_is_over(void **state)
{
    (void)state;
    lab = lab_new(5);
    lab->dynamic.failsafe_mode = true;
    settle();
    assert_int_equal(lab_primary(lab), 1);
    for (uint64_t witness = 2; witness <= 4; witness++) {
        make_witness(witness);
    }
    assert_int_equal(lab_primary(lab), 1);
    lab_node(lab, 1)->parted = 1u << 2 | 1u << 3 | 1u << 4;
    lab_until(lab, is_revoked, 2 * TTL_MS);
    assert_true(ha_lease_runs(lab_node(lab, 1)->ha, lab->now_ms + TTL_MS / 2));
    lab_postgres_dies(lab, 5);
    lab_until(lab, another_serves, 4 * TTL_MS);
    assert_int_equal(lab_primary(lab), 5);
}

static void test_a_store_that_the_membership_does_not_mean_answers_no_round(void **state)
{
    (void)state;
    running(3);
    lab_node(lab, 2)->unnamed = true;
    lab_run(lab, TTL_MS);
    assert_int_equal(lab_primary(lab), 1);
    lab_node(lab, 3)->unnamed = true;
    lab_run(lab, TTL_MS);
    assert_int_equal(lab_primary(lab), 0);
}

/* Who is taken in while a failsafe lease runs was not asked for it, and may be the next grantee. */
static void test_a_node_that_becomes_a_member_waits_like_one_that_starts(void **state)
{
    struct lab_node *node;

    (void)state;
    running(3);
    node = lab_node(lab, 3);
    node->unnamed = true;
    lab_run(lab, 2 * TTL_MS);
    assert_int_equal(rounds_wait_left(node->ha), 0);
    node->unnamed = false;
    node->cut = true; /* It answers nothing either. */
    lab_run(lab, LAB_STEP_MS);
    assert_in_range(rounds_wait_left(node->ha), TTL_MS, 2 * TTL_MS);
}

static void test_a_failsafe_quorum_needs_who_is_not_removed_yet(void **state)
{
    (void)state;
    assert_true(lasts_alone(2));
    assert_false(lasts_alone(3));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exactly_one_node_initialises_the_cluster),
        TEST(test_an_initdb_that_was_cut_off_is_made_again),
        TEST(test_who_was_to_initialise_and_comes_too_late_follows),
        TEST(test_a_node_alone_is_a_cluster),
        TEST(test_clusters_of_two_and_of_five_form),
        TEST(test_in_peace_nothing_is_written_to_the_log),
        TEST(test_a_status_is_sent_at_once_when_something_changes_and_only_then),
        TEST(test_a_late_status_of_an_earlier_start_is_not_believed),
        TEST(test_a_daemon_whose_clock_was_set_back_is_heard_when_its_last_start_is_silent),
        TEST(test_data_of_another_cluster_is_left_alone),
        TEST(test_nobody_is_granted_while_a_primary_without_a_daemon_is_streamed_from),
        TEST(test_nobody_is_granted_before_each_server_has_told_what_it_is),
        TEST(test_a_primary_that_is_taken_over_is_never_called_a_replica),
        TEST(test_when_the_primarys_node_is_gone_nobody_is_granted_before_the_wait),
        TEST(test_the_membership_may_change_while_a_server_without_a_guard_is_waited_for),
        TEST(test_a_newer_epoch_in_the_log_ends_a_grant_before_it_is_decided),
        TEST(test_a_pledge_counts_from_when_it_is_on_disk),
        TEST(test_an_old_primary_that_comes_back_follows_the_new_one),
        TEST(test_what_an_old_upstream_still_sent_is_seen_when_nothing_comes_from_the_new_one),
        TEST(test_a_standby_that_tells_an_old_timeline_is_not_taken_for_diverged),
        TEST(test_an_old_primary_that_hangs_is_not_waited_for_by_who_has_all_of_it),
        TEST(test_an_old_primary_that_has_more_is_waited_for),
        TEST(test_a_cut_that_ends_in_time_changes_nothing),
        TEST(test_a_primary_that_is_heard_but_hears_nothing_is_replaced),
        TEST(test_a_primary_serves_on_while_the_log_decides_nothing),
        TEST(test_a_primary_that_still_serves_is_granted_again),
        TEST(test_after_a_power_cut_of_all_the_old_primary_goes_on_without_a_loss),
        TEST(test_when_postgres_dies_a_complete_standby_takes_over),
        TEST(test_when_postgres_dies_and_nobody_has_all_of_it_it_starts_in_place),
        TEST(test_a_start_that_would_take_too_long_is_not_begun),
        TEST(test_a_long_start_is_begun_when_the_others_lack_too_much),
        TEST(test_with_no_time_to_start_a_standby_takes_over_whatever_it_lacks),
        TEST(test_a_primary_that_does_not_answer_for_too_long_gives_way),
        TEST(test_a_primary_that_answers_again_in_time_stays),
        TEST(test_a_restart_is_a_new_epoch_of_the_same_node),
        TEST(test_a_restart_is_told_as_one),
        TEST(test_a_crash_that_is_mended_in_place_is_a_start),
        TEST(test_who_loses_its_address_is_told_of_the_stop),
        TEST(test_a_fenced_primary_that_stays_down_is_told_of_the_stop),
        TEST(test_a_daemon_that_restarts_adopts_its_server),
        TEST(test_a_dead_daemon_ends_its_server_by_the_deadline),
        TEST(test_a_switchover_loses_nothing),
        TEST(test_a_switchover_goes_to_nobody_who_has_more_than_the_primary_wrote),
        TEST(test_a_switchover_that_is_broken_off_leaves_the_old_primary_under_a_new_epoch),
        TEST(test_a_planned_stop_that_fails_is_made_harder_once),
        TEST(test_a_request_that_nobody_can_carry_out_is_answered),
        TEST(test_a_switchover_waits_for_a_candidate_that_lags_too_much),
        TEST(test_a_switchover_that_has_not_begun_is_no_reason_to_lose_more),
        TEST(test_a_switchover_whose_primary_is_lost_meanwhile_goes_to_who_has_all),
        TEST(test_a_switchover_whose_primary_is_lost_meanwhile_is_not_handed_back),
        TEST(test_a_failover_to_a_node_that_was_named_is_made_whatever_it_lacks),
        TEST(test_a_switchover_planned_for_later_decides_nothing_now),
        TEST(test_a_switchover_planned_for_later_begins_at_its_hour),
        TEST(test_a_primary_that_leaves_hands_over),
        TEST(test_the_ttl_changes_in_two_steps),
        TEST(test_a_shorter_ttl_stands_alone_only_when_no_longer_lease_can_run),
        TEST(test_a_grantee_that_lost_wal_refuses),
        TEST(test_a_grantee_with_another_data_directory_refuses),
        TEST(test_a_grantee_that_fails_is_left_out),
        TEST(test_after_a_failed_grant_nobody_is_chosen_who_lacks_too_much),
        TEST(test_a_position_that_comes_late_counts_all_the_same),
        TEST(test_the_only_grantee_tries_again_after_a_failure),
        TEST(test_a_grant_outlives_the_wait_of_a_voter_that_restarts),
        TEST(test_a_grantee_that_does_not_know_that_it_served_does_not_start_again),
        TEST(test_before_the_first_epoch_members_come_in),
        TEST(test_the_membership_stays_while_a_failsafe_lease_may_run),
        TEST(test_a_failsafe_lease_ends_when_one_that_runs_postgresql_has_pledged),
        TEST(test_a_witness_is_none_any_more_when_the_primary_has_decided_it),
        TEST(test_a_grantee_takes_no_lease_before_its_own_wait_is_over),
        TEST(test_a_store_that_the_membership_does_not_mean_answers_no_round),
        TEST(test_a_node_that_becomes_a_member_waits_like_one_that_starts),
        TEST(test_a_failsafe_quorum_needs_who_is_not_removed_yet),
        TEST(test_a_grantee_whose_promotion_hangs_gives_up_in_time),
        TEST(test_a_promotion_that_outlives_its_daemon_is_not_taken_for_gone),
        TEST(test_a_daemon_that_applies_its_log_anew_does_nothing_about_old_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
