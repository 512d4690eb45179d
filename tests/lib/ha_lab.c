/*
 * One step: the log to those who lag, the messages of the step before, what the toy servers did
 * meanwhile, a tick; then the updates are carried out. Every node in the order of its id.
 */
#include "tests/lib/ha_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/time.h"

#define ELECTION_MS  500
#define FIRST_LSN    0x1000000u
#define MARKER_BYTES 200u
#define SYSTEM       7000000000000000001u
#define CONFIGS_MAX  8
#define CONFIG_SIZE  128

static char configs[CONFIGS_MAX][CONFIG_SIZE];
static uint32_t config_count;

/* Who reaches whom. */

static bool is_connected(const struct lab_node *node)
{
    return node->up && !node->cut;
}

static bool reaches(const struct lab *lab, uint64_t from, uint64_t to)
{
    const struct lab_node *a = &lab->nodes[from - 1];
    const struct lab_node *b = &lab->nodes[to - 1];
    const bool are_parted = (a->parted >> to & 1) != 0 || (b->parted >> from & 1) != 0;

    return from == to || (is_connected(a) && is_connected(b) && !are_parted);
}

static uint32_t count_reached(const struct lab *lab, uint64_t from)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < lab->node_count; i++) {
        count += lab->nodes[i].up && reaches(lab, from, lab->nodes[i].id) ? 1 : 0;
    }
    return count;
}

static bool has_majority(const struct lab *lab, uint64_t from)
{
    return count_reached(lab, from) * 2 > lab->node_count;
}

struct lab_node *lab_node(struct lab *lab, uint64_t id)
{
    assert_in_range(id, 1, lab->node_count);
    return &lab->nodes[id - 1];
}

/* The toy server. */

static void set_running(struct lab_pg *pg, bool writable)
{
    struct pg_facts *facts = &pg->facts;

    facts->run = PG_RUN_UP;
    facts->sql_ok = true;
    facts->in_recovery = !writable;
    facts->writable = writable;
    facts->crashed = false;
    facts->control_end = facts->wal_end = (struct pg_position){.lsn = 0};
}

static void new_start(struct lab_pg *pg)
{
    pg->facts.start_id = ++pg->start_count;
    pg->facts.writable_start = false;
    pg->facts.start_epoch = 0;
    pg->upstream = 0;
    pg->facts.conninfo_set = false;
    pg->facts.received_lsn = 0;
}

static void set_stopped(struct lab *lab, struct lab_pg *pg, bool cleanly, bool asked)
{
    struct pg_facts *facts = &pg->facts;
    const bool primary =
        (facts->run == PG_RUN_UP || facts->run == PG_RUN_STOPPING) && !facts->in_recovery;

    if (facts->run == PG_RUN_STOPPED) {
        return;
    }
    if (primary && cleanly) {
        pg->lsn += MARKER_BYTES; /* The shutdown checkpoint, which its standbys still get. */
    }
    facts->run = PG_RUN_STOPPED;
    facts->hung_since_ms = 0;
    facts->was_primary = primary;
    facts->crashed = !asked;
    facts->shut_down_cleanly = cleanly;
    facts->sql_ok = facts->in_recovery = facts->writable = false;
    facts->stopped_since_ms = lab->now_ms;
    facts->wal_end = (struct pg_position){.timeline = pg->timeline, .lsn = pg->lsn};
    facts->control_end = facts->wal_end;
    pg->armed_epoch = 0;
}

static void write_marker(struct lab_pg *pg, uint64_t epoch)
{
    pg->lsn += MARKER_BYTES;
    pg->facts.record.marker_epoch = epoch;
    pg->facts.marker_lsn = pg->lsn;
    pg->facts.writable_start = true;
    pg->facts.start_epoch = epoch;
    set_running(pg, true);
}

static void copy_from(struct lab *lab, struct lab_node *node, uint64_t upstream)
{
    const struct lab_pg *source = &lab_node(lab, upstream)->pg;
    struct lab_pg *pg = &node->pg;

    pg->lsn = source->lsn;
    pg->timeline = source->timeline;
    pg->facts.data = PG_DATA_VALID;
    pg->facts.system_identifier = source->facts.system_identifier;
    pg->facts.record = source->facts.record;
    pg->facts.record.data_dir_id = node->id * 1000 + ++pg->start_count;
    pg->facts.shut_down_cleanly = true;
    pg->facts.was_primary = false;
    pg->facts.wal_end = (struct pg_position){.timeline = pg->timeline, .lsn = pg->lsn};
    pg->facts.control_end = pg->facts.wal_end;
}

static enum pg_result carry_out(struct lab *lab, struct lab_node *node)
{
    struct lab_pg *pg = &node->pg;
    struct pg_facts *facts = &pg->facts;
    const struct pg_action *action = &pg->action;

    switch (action->kind) {
    case PG_ACTION_INITDB:
        facts->data = PG_DATA_VALID;
        facts->system_identifier = SYSTEM;
        facts->record = (struct pg_record){.data_dir_id = node->id * 1000};
        pg->lsn = FIRST_LSN;
        pg->timeline = 1;
        facts->run = PG_RUN_UP;
        set_stopped(lab, pg, true, true);
        facts->was_primary = true;
        return PG_RESULT_OK;
    case PG_ACTION_START_STANDBY:
        new_start(pg);
        set_running(pg, false);
        return PG_RESULT_OK;
    case PG_ACTION_START_PRIMARY:
        new_start(pg);
        write_marker(pg, action->epoch);
        return PG_RESULT_OK;
    case PG_ACTION_PROMOTE:
        if (pg->fails_to_promote || facts->run != PG_RUN_UP) {
            return PG_RESULT_FAILED;
        }
        if (facts->in_recovery) {
            pg->timeline++;
            facts->conninfo_set = false;
            pg->upstream = 0;
        }
        write_marker(pg, action->epoch);
        return PG_RESULT_OK;
    case PG_ACTION_FOLLOW:
        pg->upstream = action->upstream.node;
        facts->conninfo_set = true;
        facts->record.follow_epoch = action->upstream.epoch;
        facts->record.follow_timeline = action->upstream.timeline;
        facts->record.follow_lsn = action->upstream.marker_lsn;
        return PG_RESULT_OK;
    case PG_ACTION_CUT:
        pg->upstream = 0;
        facts->conninfo_set = false;
        return PG_RESULT_OK;
    case PG_ACTION_STOP:
        if (pg->fails_to_stop && action->stop == PG_STOP_FAST) {
            return PG_RESULT_FAILED;
        }
        set_stopped(lab, pg, action->stop == PG_STOP_FAST, true);
        return PG_RESULT_OK;
    case PG_ACTION_CLONE:
    case PG_ACTION_REWIND:
        if (!reaches(lab, node->id, action->upstream.node)) {
            return PG_RESULT_FAILED;
        }
        copy_from(lab, node, action->upstream.node);
        return PG_RESULT_OK;
    case PG_ACTION_NONE:
    case PG_ACTION_PREPARE_STOP:
    case PG_ACTION_RELOAD:
    case PG_ACTION_BOOTSTRAP_SQL:
    default:
        return PG_RESULT_OK;
    }
}

static uint64_t time_for(enum pg_action_kind kind)
{
    switch (kind) {
    case PG_ACTION_INITDB:
    case PG_ACTION_CLONE:
        return 500;
    case PG_ACTION_REWIND:
        return 200;
    case PG_ACTION_START_STANDBY:
    case PG_ACTION_START_PRIMARY:
    case PG_ACTION_BOOTSTRAP_SQL:
        return 100;
    case PG_ACTION_NONE:
    case PG_ACTION_PROMOTE:
    case PG_ACTION_FOLLOW:
    case PG_ACTION_CUT:
    case PG_ACTION_PREPARE_STOP:
    case PG_ACTION_STOP:
    case PG_ACTION_RELOAD:
    default:
        return 30;
    }
}

static void guard_acts(struct lab *lab, struct lab_pg *pg)
{
    if (pg->armed_epoch != 0 && lab->now_ms >= pg->fence_at_ms) {
        pg->facts.guard_fenced = pg->armed_epoch;
        set_stopped(lab, pg, false, true);
    }
    pg->facts.guard_epoch = pg->armed_epoch;
}

static void stream(struct lab *lab, struct lab_node *node)
{
    struct lab_pg *pg = &node->pg;
    struct pg_facts *facts = &pg->facts;
    const struct lab_node *from = pg->upstream != 0 ? &lab->nodes[pg->upstream - 1] : NULL;
    const struct lab_pg *source = from != NULL ? &from->pg : NULL;
    /* A server that stops sends all it has first, the last record too. */
    const bool streams = facts->run == PG_RUN_UP && facts->in_recovery && source != NULL &&
                         !node->cut && !from->cut && source->lsn >= pg->lsn &&
                         (source->facts.run == PG_RUN_UP || source->facts.run == PG_RUN_STOPPING ||
                          source->facts.shut_down_cleanly);

    facts->receiver_running = streams;
    text_copy_cut(facts->receiver_state, sizeof facts->receiver_state, streams ? "streaming" : "");
    if (streams && !pg->stalled) {
        pg->lsn = source->lsn;
        pg->timeline = source->timeline;
        facts->received_lsn = pg->lsn;
        if (facts->record.follow_epoch != 0 && pg->lsn >= facts->record.follow_lsn) {
            facts->record.marker_epoch = facts->record.follow_epoch;
        }
    }
    facts->replay_idle = facts->in_recovery && !streams;
    facts->replayed_lsn = facts->in_recovery ? pg->lsn : 0;
}

static void server_runs(struct lab *lab, struct lab_node *node)
{
    struct lab_pg *pg = &node->pg;

    guard_acts(lab, pg);
    stream(lab, node);
    if (pg->facts.run == PG_RUN_UP && pg->facts.writable) {
        pg->lsn += lab->write_bytes;
    }
    pg->facts.position = (struct pg_position){.lsn = 0};
    if (pg->facts.run == PG_RUN_UP) {
        pg->facts.position = (struct pg_position){.timeline = pg->timeline, .lsn = pg->lsn};
        if (pg->control_timeline != 0 && pg->facts.in_recovery && !pg->facts.receiver_running) {
            pg->facts.position.timeline = pg->control_timeline;
        }
    }
}

/* The log. */

static void decide(struct lab *lab, const struct command *command)
{
    struct lab_entry *entry = &lab->log[lab->log_count];

    assert_true(lab->log_count < LAB_LOG_MAX);
    *entry = (struct lab_entry){.term = lab->term, .at_ms = lab->now_ms, .command = *command};
    if (command->config != NULL) {
        assert_true(config_count < CONFIGS_MAX);
        text_copy_cut(configs[config_count], CONFIG_SIZE, command->config);
        entry->command.config = configs[config_count++];
    }
    lab->log_count++;
}

static void append(struct lab *lab, struct lab_node *node, uint32_t to)
{
    for (uint32_t i = node->log_count; i < to; i++) {
        ha_log_appended(node->ha, i + 1, lab->log[i].term, &lab->log[i].command);
    }
    node->log_count = to;
    ha_log_durable(node->ha, to);
}

static void apply(struct lab *lab, struct lab_node *node)
{
    while (node->applied_count < node->log_count) {
        const struct lab_entry *entry = &lab->log[node->applied_count++];

        ha_apply(node->ha, node->applied_count, entry->term, &entry->command);
        if (node->applies_slowly) {
            return;
        }
    }
}

static bool may_lead(const struct lab *lab, uint64_t id)
{
    const struct lab_node *node = &lab->nodes[id - 1];

    return node->up && !node->deaf && has_majority(lab, id);
}

static void elect(struct lab *lab)
{
    const bool holds = lab->leader != 0 && !lab->log_stalled && may_lead(lab, lab->leader);

    if (holds) {
        lab->leaderless_since_ms = lab->now_ms;
        return;
    }
    lab->leader = 0;
    if (lab->log_stalled || time_since(lab->now_ms, lab->leaderless_since_ms) < ELECTION_MS) {
        return;
    }
    for (uint64_t id = 1; id <= lab->node_count && lab->leader == 0; id++) {
        if (may_lead(lab, id) && lab_node(lab, id)->log_count == lab->log_count) {
            lab->leader = id;
            lab->term++;
        }
    }
}

static struct ha_raft raft_of(const struct lab *lab, uint64_t node)
{
    struct ha_raft raft = {
        .leader = lab->leader == node,
        .leader_id = lab->leader != 0 && reaches(lab, node, lab->leader) ? lab->leader : 0,
        .term = lab->term,
        .position_checked = true,
        .member = !lab->nodes[node - 1].unnamed,
        .member_count = lab->node_count,
        .decided_count = lab->node_count,
        .membership_settled = true,
    };

    for (uint32_t i = 0; i < lab->node_count; i++) {
        raft.members[i] = (struct ha_raft_member){.id = i + 1, .voter = true, .caught_up = true};
        raft.decided_ids[i] = i + 1;
        if (lab->nodes[i].lost_its_store) {
            raft.strangers[raft.stranger_count++] =
                (struct ha_stranger){.id = i + 1, .empty = true};
        }
    }
    return raft;
}

/* Updates. */

static void send(struct lab *lab, const struct ha_message *message, uint64_t to)
{
    struct ha_message *copy = &lab->messages[lab->message_count];

    assert_true(lab->message_count < LAB_MESSAGES);
    lab->message_count++;
    *copy = *message;
    copy->to = to;
}

static void post(struct lab *lab, struct lab_node *node, const struct ha_message *message)
{
    for (uint64_t id = 1; id <= lab->node_count; id++) {
        if (id != node->id && (message->to == 0 || message->to == id) &&
            reaches(lab, node->id, id)) {
            send(lab, message, id);
        }
    }
}

static void begin_action(struct lab *lab, struct lab_pg *pg, const struct pg_action *action)
{
    if (pg->hangs && action->kind == PG_ACTION_STOP) {
        return; /* Signals get nowhere; what was under way goes on. */
    }
    pg->action = *action;
    pg->action_ends_ms = pg->hangs ? TIME_NEVER : lab->now_ms + time_for(action->kind);
    if (action->kind == PG_ACTION_INITDB) {
        assert_int_not_equal(pg->facts.data, PG_DATA_VALID);
        pg->facts.data = PG_DATA_PARTIAL;
    }
    if (action->kind == PG_ACTION_START_PRIMARY || action->kind == PG_ACTION_PROMOTE) {
        assert_true(action->deadline_ms > lab->now_ms); /* Only under a lease. */
        pg->armed_epoch = action->epoch;
        pg->fence_at_ms = action->fence_at_ms;
        pg->deadline_ms = action->deadline_ms;
        pg->facts.writable_start = true; /* As the guard sees it. */
        pg->facts.start_epoch = action->epoch;
    }
    if (action->kind == PG_ACTION_PROMOTE && pg->promote_ms != 0) {
        pg->action_ends_ms = lab->now_ms + pg->promote_ms;
    } else if (action->kind == PG_ACTION_PREPARE_STOP && pg->prepare_ms != 0) {
        pg->action_ends_ms = lab->now_ms + pg->prepare_ms;
    } else if (action->kind == PG_ACTION_STOP && action->stop == PG_STOP_FAST && pg->stop_ms != 0) {
        pg->action_ends_ms = lab->now_ms + pg->stop_ms;
        pg->facts.run = PG_RUN_STOPPING; /* Nobody can write any more. */
        pg->facts.sql_ok = pg->facts.writable = false;
    }
}

static void propose_all(struct lab *lab, struct lab_node *node)
{
    for (uint32_t i = 0; i < node->update.proposal_count; i++) {
        const struct command *command = &node->update.proposals[i];

        if (lab->leader == node->id && has_majority(lab, node->id)) {
            decide(lab, command);
        } else {
            ha_proposal_refused(node->ha, command->kind);
        }
    }
}

static void note_callback(struct lab_node *node, const struct ha_update *update)
{
    static const char *const names[] = {
        [PG_CALLBACK_START] = "start",
        [PG_CALLBACK_STOP] = "stop",
        [PG_CALLBACK_RESTART] = "restart",
        [PG_CALLBACK_RELOAD] = "reload",
        [PG_CALLBACK_ROLE_CHANGE] = "role_change",
    };
    const size_t length = strlen(node->callbacks);

    if (update->callback != PG_CALLBACK_NONE && update->callback != PG_CALLBACK_RELOAD) {
        (void)snprintf(
            node->callbacks + length, sizeof node->callbacks - length, "%s%s %s",
            length > 0 ? ", " : "", names[update->callback], update->callback_role);
    }
}

static void take_update(struct lab *lab, struct lab_node *node)
{
    const struct ha_update *update = &node->update;
    struct lab_pg *pg = &node->pg;

    for (uint32_t i = 0; i < update->message_count; i++) {
        post(lab, node, &update->messages[i]);
    }
    propose_all(lab, node);
    if (update->action != NULL) {
        begin_action(lab, pg, update->action);
    }
    if (update->renew && update->guard_epoch == pg->armed_epoch) {
        pg->fence_at_ms = update->fence_at_ms;
        pg->deadline_ms = update->deadline_ms;
    }
    if (update->transfer_to != 0 && may_lead(lab, update->transfer_to) &&
        lab_node(lab, update->transfer_to)->log_count == lab->log_count) {
        lab->leader = update->transfer_to;
        lab->term++;
    }
    note_callback(node, update);
    for (uint32_t i = 0; i < update->reply_count; i++) {
        assert_true(node->reply_count < LAB_REPLIES_MAX);
        node->replies[node->reply_count++] = update->replies[i];
    }
    for (uint32_t i = 0; i < update->note_count; i++) {
        const struct ha_note *note = &update->notes[i];

        node->noted[note->kind]++;
        if (getenv("LAB_VERBOSE") != NULL) {
            print_message(
                "# %6llu n%llu e%llu %s: %s\n", (unsigned long long)lab->now_ms,
                (unsigned long long)node->id, (unsigned long long)note->epoch,
                ha_note_text(note->kind), note->text);
        }
    }
    node->left |= update->left;
    node->fatal |= update->fatal;
}

static void feed(struct lab *lab, struct lab_node *node, struct ha_event event)
{
    event.now_ms = lab->now_ms;
    event.wall_ms = lab->now_ms;
    ha_step(node->ha, &event, &node->update);
    take_update(lab, node);
    if (node->update.config_changed) {
        feed(lab, node, (struct ha_event){.kind = HA_EVENT_DYNAMIC, .dynamic = &lab->dynamic});
    }
}

static void end_action(struct lab *lab, struct lab_node *node)
{
    struct lab_pg *pg = &node->pg;
    struct pg_action_done done;

    if (pg->action.kind == PG_ACTION_NONE || lab->now_ms < pg->action_ends_ms) {
        return;
    }
    done = (struct pg_action_done){.id = pg->action.id, .kind = pg->action.kind};
    done.result = carry_out(lab, node);
    done.position = (struct pg_position){.timeline = pg->timeline, .lsn = pg->lsn};
    text_copy_cut(done.text, sizeof done.text, done.result == PG_RESULT_OK ? "" : "it failed");
    pg->action.kind = PG_ACTION_NONE;
    server_runs(lab, node);
    if (node->up) {
        feed(lab, node, (struct ha_event){.kind = HA_EVENT_FACTS, .facts = &pg->facts});
        feed(lab, node, (struct ha_event){.kind = HA_EVENT_DONE, .done = &done});
    }
}

static void node_step(struct lab *lab, struct lab_node *node)
{
    const struct ha_raft raft = raft_of(lab, node->id);

    if (node->log_count < lab->log_count && lab->leader != 0 && !node->deaf && !node->gets_no_log &&
        reaches(lab, node->id, lab->leader)) {
        append(lab, node, lab->log_count);
    }
    apply(lab, node);
    feed(lab, node, (struct ha_event){.kind = HA_EVENT_RAFT, .raft = &raft});
    feed(lab, node, (struct ha_event){.kind = HA_EVENT_FACTS, .facts = &node->pg.facts});
}

/* The laws. */

static void check_laws(struct lab *lab)
{
    uint64_t writable = 0;

    for (uint32_t i = 0; i < lab->node_count; i++) {
        struct lab_node *node = &lab->nodes[i];
        const struct lab_pg *pg = &node->pg;

        if (pg->facts.run != PG_RUN_UP || pg->facts.in_recovery) {
            continue;
        }
        if (writable != 0) {
            fail_msg(
                "at %llu n%llu and n%llu are writable", (unsigned long long)lab->now_ms,
                (unsigned long long)writable, (unsigned long long)node->id);
        }
        writable = node->id;
        if (pg->armed_epoch == 0 || pg->deadline_ms <= lab->now_ms) {
            fail_msg(
                "at %llu n%llu is writable and no guard stands by", (unsigned long long)lab->now_ms,
                (unsigned long long)node->id);
        }
    }
    for (uint32_t i = 0; i < lab->node_count; i++) {
        struct lab_node *node = &lab->nodes[i];
        const bool runs = node->up && ha_lease_runs(node->ha, lab->now_ms);

        node->lease_from_ms = !runs                      ? 0
                              : node->lease_from_ms == 0 ? lab->now_ms
                                                         : node->lease_from_ms;
    }
}

static void deliver(struct lab *lab)
{
    static struct ha_message arriving[LAB_MESSAGES];
    const uint32_t count = lab->message_count;

    memcpy(arriving, lab->messages, count * sizeof arriving[0]);
    lab->message_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct lab_node *node = lab_node(lab, arriving[i].to);

        if (reaches(lab, arriving[i].from, node->id) && !node->deaf) {
            feed(lab, node, (struct ha_event){.kind = HA_EVENT_MESSAGE, .message = &arriving[i]});
        }
    }
}

void lab_step(struct lab *lab)
{
    lab->now_ms += LAB_STEP_MS;
    elect(lab);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        server_runs(lab, &lab->nodes[i]);
    }
    check_laws(lab);
    deliver(lab);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        struct lab_node *node = &lab->nodes[i];

        end_action(lab, node);
        if (node->up) {
            node_step(lab, node);
        }
    }
    check_laws(lab);
}

void lab_run(struct lab *lab, uint64_t span_ms)
{
    for (uint64_t i = 0; i < span_ms / LAB_STEP_MS; i++) {
        lab_step(lab);
    }
}

void lab_until_(struct lab *lab, lab_condition condition, uint64_t within_ms, const char *words)
{
    const uint64_t end_ms = lab->now_ms + within_ms;

    while (!condition(lab)) {
        if (lab->now_ms >= end_ms) {
            fail_msg("not within %llu ms: %s", (unsigned long long)within_ms, words);
        }
        lab_step(lab);
    }
}

/* Looking. */

uint64_t lab_primary(const struct lab *lab)
{
    for (uint32_t i = 0; i < lab->node_count; i++) {
        struct ha_health health;

        if (lab->nodes[i].up) {
            ha_health(lab->nodes[i].ha, lab->now_ms, &health);
            if (health.primary) {
                return lab->nodes[i].id;
            }
        }
    }
    return 0;
}

bool lab_somebody_serves(const struct lab *lab)
{
    return lab_primary(lab) != 0;
}

bool lab_all_is_well(const struct lab *lab)
{
    const uint64_t primary = lab_primary(lab);

    for (uint32_t i = 0; i < lab->node_count; i++) {
        const struct lab_node *node = &lab->nodes[i];

        if (is_connected(node) && node->id != primary &&
            (node->pg.upstream != primary || !node->pg.facts.receiver_running ||
             node->log_count != lab->log_count)) {
            return false;
        }
    }
    return primary != 0 && lab->leader == primary;
}

const struct cluster *lab_cluster(const struct lab *lab)
{
    const struct lab_node *best = NULL;

    for (uint32_t i = 0; i < lab->node_count; i++) {
        const struct lab_node *node = &lab->nodes[i];

        if (node->up && (best == NULL || node->log_count > best->log_count)) {
            best = node;
        }
    }
    if (best == NULL) {
        fail_msg("no node is up");
        return NULL;
    }
    return ha_cluster(best->ha);
}

const struct lab_entry *lab_newest(const struct lab *lab, enum command_kind kind)
{
    for (uint32_t i = lab->log_count; i > 0; i--) {
        if (lab->log[i - 1].command.kind == kind) {
            return &lab->log[i - 1];
        }
    }
    fail_msg("the log holds no \"%s\"", command_name(kind));
    return NULL;
}

uint32_t lab_count(const struct lab *lab, enum command_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < lab->log_count; i++) {
        count += lab->log[i].command.kind == kind ? 1 : 0;
    }
    return count;
}

const struct ha_reply *lab_reply(const struct lab *lab, uint64_t at, uint64_t id)
{
    const struct lab_node *node = &lab->nodes[at - 1];

    for (uint32_t i = 0; i < node->reply_count; i++) {
        if (node->replies[i].id == id) {
            return &node->replies[i];
        }
    }
    return NULL;
}

/* Faults. */

void lab_daemon_dies(struct lab *lab, uint64_t id)
{
    struct lab_node *node = lab_node(lab, id);

    node->up = false;
    if (node->pg.action.kind != PG_ACTION_PROMOTE) { /* That goes on in the server. */
        node->pg.action.kind = PG_ACTION_NONE;
    }
}

void lab_daemon_starts(struct lab *lab, uint64_t id)
{
    struct lab_node *node = lab_node(lab, id);
    const uint32_t had = node->log_count;

    node->up = true;
    node->settings.start_id = id * 100 + ++node->start_count;
    node->settings.initial_dynamic = lab->dynamic;
    node->ha = ha_init(node->memory, &node->settings, lab->now_ms);
    node->log_count = node->applied_count = 0;
    append(lab, node, had);
    apply(lab, node);
}

void lab_postgres_dies(struct lab *lab, uint64_t id)
{
    set_stopped(lab, &lab_node(lab, id)->pg, false, false);
}

void lab_power_off(struct lab *lab, uint64_t id)
{
    lab_daemon_dies(lab, id);
    lab_node(lab, id)->pg.action.kind = PG_ACTION_NONE;
    lab_postgres_dies(lab, id);
    lab_node(lab, id)->pg.facts.guard_fenced = 0;
}

void lab_power_on(struct lab *lab, uint64_t id)
{
    lab_daemon_starts(lab, id);
}

/* Asking. */

void lab_ask(struct lab *lab, uint64_t at, const struct command *command)
{
    feed(lab, lab_node(lab, at), (struct ha_event){.kind = HA_EVENT_ASK, .ask = command});
}

void lab_switchover(struct lab *lab, uint64_t at, uint64_t from, uint64_t to, uint64_t id)
{
    lab_ask(
        lab, at,
        &(struct command){
            .kind = COMMAND_REQUEST_SET,
            .request = {.kind = CLUSTER_REQUEST_SWITCHOVER, .id = id, .from = from, .to = to},
    });
}

void lab_local(struct lab *lab, uint64_t at, enum ha_local_kind kind, uint64_t id)
{
    feed(
        lab, lab_node(lab, at),
        (struct ha_event){
            .kind = HA_EVENT_LOCAL, .local = &(struct ha_local){.kind = kind, .id = id}
    });
}

void lab_local_with(struct lab *lab, uint64_t at, const struct ha_local *local)
{
    feed(lab, lab_node(lab, at), (struct ha_event){.kind = HA_EVENT_LOCAL, .local = local});
}

struct lab *lab_new(uint32_t count)
{
    static struct lab lab;
    static void *memory[LAB_NODES_MAX];

    assert_in_range(count, 1, LAB_NODES_MAX);
    memset(&lab, 0, sizeof lab);
    config_count = 0;
    lab.now_ms = 100000;
    lab.node_count = count;
    lab.write_bytes = 1000;
    lab.dynamic = (struct ha_dynamic){
        .ttl_ms = 2000,
        .maximum_lag_bytes = 1u << 20,
        .primary_start_timeout_ms = 300000,
        .use_pg_rewind = true,
        .remove_on_diverged = true,
    };
    for (uint64_t id = 1; id <= count; id++) {
        struct lab_node *node = &lab.nodes[id - 1];

        if (memory[id - 1] == NULL) {
            memory[id - 1] = malloc(ha_size());
            assert_non_null(memory[id - 1]);
        }
        node->id = id;
        node->memory = memory[id - 1];
        node->settings = (struct ha_settings){
            .self = id,
            .can_bootstrap = true,
            .failover_priority = 1,
            .initial_config = "{\"ttl\":2}",
            .member = {.id = id, .pg_port = 5432, .name = "n?", .pg_host = "127.0.0.1"},
        };
        node->settings.member.name[1] = (char)('0' + id);
        node->pg.facts.data = PG_DATA_EMPTY;
        node->pg.facts.run = PG_RUN_STOPPED;
        node->pg.facts.guard_ok = true;
        lab_daemon_starts(&lab, id);
    }
    return &lab;
}
