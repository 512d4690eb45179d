/*
 * One daemon: the real cores and the driver, joined in the order of daemon/consensus_uv.c and
 * daemon/decide_uv.c, with the simulator's disk, network and PostgreSQL in place of the adapters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "daemon/raft_view.h"
#include "ha/command_msgpack.h"
#include "ha/message_msgpack.h"
#include "raft/describe.h"
#include "raft/wire.h"
#include "tests/sim/world.h"

#define STEPS_MAX  32
#define RESTART_US (100 * 1000) /* A daemon that starts itself over. */
#define DATA_RETRY 32

#define FRESH_RECORDS 1 /* In the WAL of a data directory that was never written to. */

/* --- Commands as bytes --- */

static const struct command *decode(struct sim_node *node, const struct raft_entry *entry)
{
    struct world *world = node->world;
    struct err err;

    if (entry->kind != RAFT_ENTRY_DATA) {
        return NULL;
    }
    CHECK(
        node,
        command_decode(entry->data, entry->size_bytes, &world->command, world->config_text, &err) ==
            STATUS_OK,
        "entry %llu cannot be read: %s", (unsigned long long)entry->index, err.text);
    return &world->command;
}

uint64_t node_log_epoch(struct sim_node *node)
{
    uint64_t epoch = ha_cluster(node->ha)->epoch;
    /* What a snapshot has replaced is known when it has come to disk and to ha. */
    const uint64_t from = time_max(node->applied_index + 1, raft_first_index(node->raft));

    for (uint64_t i = from; i <= raft_last_index(node->raft); i++) {
        const struct raft_entry entry = raft_entry_get(node->raft, i);
        const struct command *command = decode(node, &entry);

        if (command != NULL) {
            epoch = time_max(epoch, command_epoch(command));
        }
    }
    return epoch;
}

/* --- Driver callbacks --- */

static void on_send(void *owner, const struct raft_message *message)
{
    struct sim_node *node = owner;
    struct world *world = node->world;
    const struct sim_node *to = sim_find(world, message->to);
    size_t size;

    if (trace_wanted()) {
        char line[400];
        struct text text;

        text_init(&text, line, sizeof line);
        raft_describe_message(&text, message);
        trace(world, node, "-> %s", line);
    }
    check_sent(node, message);
    if (to == NULL) {
        return;
    }
    size = wire_encode(message, world->frame, SIM_FRAME_BYTES);
    net_send(node, to->number, false, world->frame, size);
}

static void on_truncated(void *owner, uint64_t from_index)
{
    struct sim_node *node = owner;

    CHECK(node, from_index > node->applied_index, "an applied entry is truncated");
    ha_log_truncated(node->ha, from_index);
}

static void on_appended(void *owner, const struct raft_entry *entry)
{
    struct sim_node *node = owner;

    ha_log_appended(node->ha, entry->index, entry->term, decode(node, entry));
}

static void on_durable(void *owner, uint64_t index)
{
    struct sim_node *node = owner;

    CHECK(
        node, index <= time_max(disk_last(&node->disk), node->disk.snapshot.index),
        "index %llu is called durable and is not on disk", (unsigned long long)index);
    ha_log_durable(node->ha, index);
}

static void on_restore(void *owner, const struct raft_snapshot *snapshot)
{
    struct sim_node *node = owner;
    struct world *world = node->world;
    struct err err;

    CHECK(
        node,
        cluster_decode(snapshot->data, snapshot->size_bytes, world->restored, &err) == STATUS_OK,
        "a snapshot cannot be read: %s", err.text);
    check_snapshot(node, snapshot->index, snapshot->data, snapshot->size_bytes);
    node->applied_index = snapshot->index;
    ha_restore(node->ha, snapshot->index, snapshot->term, world->restored);
}

static void on_apply(void *owner, const struct raft_entry *entry)
{
    struct sim_node *node = owner;
    const struct cluster *cluster = ha_cluster(node->ha);
    const enum cluster_phase phase = cluster->phase;
    const uint64_t epoch = cluster->epoch;
    const struct command *command;

    check_applied(node, entry);
    node->applied_index = entry->index;
    command = decode(node, entry);
    ha_apply(node->ha, entry->index, entry->term, command);
    CHECK(node, cluster->epoch >= epoch, "the epoch falls");
    if (command != NULL) {
        coverage->commands[command->kind]++;
        if (command_epoch(command) == 0 || cluster->phase != phase || cluster->epoch != epoch) {
            check_command(node, entry->term, entry->index, command);
        }
    }
}

static void on_read_done(void *owner, uint64_t read_number, bool ok)
{
    (void)owner;
    (void)read_number;
    (void)ok;
}

static void on_note(void *owner, const struct raft_note *note)
{
    struct sim_node *node = owner;

    coverage->raft_notes[note->kind]++;
    if (trace_wanted()) {
        char line[200];
        struct text text;

        text_init(&text, line, sizeof line);
        raft_describe_note(&text, note);
        trace(node->world, node, "raft: %s", line);
    }
}

static void on_lost_memory(void *owner)
{
    struct sim_node *node = owner;

    trace(node->world, node, "lost its memory: starts over with an empty store");
    node->start_over = true;
    node->ended = true;
}

static const struct driver_ops driver_ops = {
    .send = on_send,
    .truncated = on_truncated,
    .appended = on_appended,
    .durable = on_durable,
    .restore = on_restore,
    .apply = on_apply,
    .read_done = on_read_done,
    .note = on_note,
    .lost_memory = on_lost_memory,
};

/* --- Raft --- */

static void take_snapshot(struct sim_node *node)
{
    struct world *world = node->world;
    const uint64_t applied = raft_applied_index(node->raft);
    size_t size;

    if ((raft_log_entries(node->raft) < world->swarm.snapshot_entries &&
         raft_log_bytes(node->raft) < RAFT_LOG_BYTES_MAX / 2) ||
        applied <= raft_snapshot(node->raft)->index ||
        applied < node->snapshot_index + DATA_RETRY) {
        return;
    }
    node->snapshot_index = applied;
    size = cluster_encode(ha_cluster(node->ha), world->frame, SIM_FRAME_BYTES);
    ASSERT(size > 0 && size <= RAFT_SNAPSHOT_BYTES_MAX);
    check_snapshot(node, applied, world->frame, size);
    driver_feed(
        &node->driver,
        &(struct raft_event){
            .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
            .now_ms = clock_ms(node),
            .index = applied,
            .data = world->frame,
            .size_bytes = (uint32_t)size,
        },
        NULL);
}

void node_raft_event(struct sim_node *node, struct raft_event event, struct driver_result *result)
{
    if (node->ended) {
        return;
    }
    event.now_ms = clock_ms(node);
    driver_feed(&node->driver, &event, result);
    if (node->ended) {
        return;
    }
    take_snapshot(node);
    check_raft(node);
    check_ha_log(node);
    node_ha_event(node, (struct ha_event){.kind = HA_EVENT_TICK});
}

void node_persisted(struct sim_node *node)
{
    disk_finish_write(node);
    if (node->ended) {
        return;
    }
    take_snapshot(node);
    check_raft(node);
    check_ha_log(node);
    node_ha_event(node, (struct ha_event){.kind = HA_EVENT_TICK});
}

static bool view_raft(const struct sim_node *node, struct ha_raft *view)
{
    raft_view_fill(node->raft, view);
    return memcmp(view, &node->ha_raft, sizeof *view) != 0;
}

/* --- Carrying out --- */

static void trace_ha_message(const struct sim_node *node, const struct ha_message *message)
{
    static const char *const names[] = {"NONE", "RENEW", "ANSWER", "STATUS", "FORWARD", "REFUSED"};
    const struct sim_node *to = sim_find(node->world, message->to);
    const struct ha_status *status = &message->status;

    if (message->kind == HA_MESSAGE_STATUS) {
        trace(
            node->world, node,
            "=> all STATUS log %llu, suspects %llu, wait %llu, run %d%s, marker %llu, %u/%llu, "
            "pledged %llu, ready %llu, stopped %llu%s",
            (unsigned long long)status->log_epoch, (unsigned long long)status->suspects_epoch,
            (unsigned long long)status->wait_left_ms, (int)status->run,
            status->writable ? " writable" : "", (unsigned long long)status->marker_epoch,
            status->position.timeline, (unsigned long long)status->position.lsn,
            (unsigned long long)status->pledged_epoch, (unsigned long long)status->ready_epoch,
            (unsigned long long)status->stopped.epoch,
            status->stopped.end_final ? ", end known" : "");
        return;
    }
    trace(
        node->world, node, "=> %s %s epoch %llu, round %llu, completed %llu",
        to == NULL ? "all" : to->name, names[message->kind],
        (unsigned long long)message->round.epoch, (unsigned long long)message->round.number,
        (unsigned long long)message->completed_number);
}

static void send_messages(struct sim_node *node)
{
    struct world *world = node->world;
    const struct ha_update *update = &node->update;
    const struct raft_config *config = raft_config(node->raft);

    for (uint32_t i = 0; i < update->message_count; i++) {
        const struct ha_message *message = &update->messages[i];
        const size_t size = ha_message_encode(message, world->frame, SIM_FRAME_BYTES);

        if (trace_wanted()) {
            trace_ha_message(node, message);
        }
        check_ha_sent(node, message);
        for (uint32_t j = 0; j < config->count; j++) {
            const uint64_t id = config->members[j].id;
            const struct sim_node *to = sim_find(world, id);

            if (to != NULL && id != node->id && (message->to == 0 || message->to == id)) {
                net_send(node, to->number, true, world->frame, size);
            }
        }
    }
}

static void propose(struct sim_node *node)
{
    struct world *world = node->world;
    const struct ha_update *update = &node->update;

    for (uint32_t i = 0; i < update->proposal_count && !node->ended; i++) {
        const struct command *command = &update->proposals[i];
        const size_t size = command_encode(command, world->frame, RAFT_ENTRY_BYTES_MAX);
        struct driver_result result = {.proposal = RAFT_PROPOSAL_NONE};

        ASSERT(size > 0);
        trace(
            world, node, "proposes %s, epoch %llu: %s", command_name(command->kind),
            (unsigned long long)command->epoch, command->reason);
        check_grant_proposed(node, command);
        node_raft_event(
            node,
            (struct raft_event){
                .kind = RAFT_EVENT_PROPOSE, .data = world->frame, .size_bytes = (uint32_t)size},
            &result);
        if (result.proposal != RAFT_PROPOSAL_TAKEN) {
            trace(world, node, "not taken: %s", raft_proposal_result_name(result.proposal));
            ha_proposal_refused(node->ha, command->kind);
        }
    }
}

static void change_raft(struct sim_node *node)
{
    const struct ha_update *update = &node->update;
    struct raft_stranger strangers[RAFT_MEMBERS_MAX];
    const uint32_t count = raft_strangers(node->raft, strangers, RAFT_MEMBERS_MAX);

    if (update->add_learner != 0 || update->promote_voter != 0 || update->remove_member != 0) {
        check_membership_change(node, update->promote_voter);
    }
    if (update->transfer_to != 0) {
        node_raft_event(
            node,
            (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member_id = update->transfer_to},
            NULL);
    }
    for (uint32_t i = 0; i < count && update->add_learner != 0; i++) {
        if (strangers[i].member.id == update->add_learner) {
            node_raft_event(
                node,
                (struct raft_event){.kind = RAFT_EVENT_ADD_LEARNER, .member = strangers[i].member},
                NULL);
            break;
        }
    }
    if (update->promote_voter != 0) {
        node_raft_event(
            node,
            (struct raft_event){.kind = RAFT_EVENT_PROMOTE, .member_id = update->promote_voter},
            NULL);
    }
    if (update->remove_member != 0) {
        node_raft_event(
            node,
            (struct raft_event){.kind = RAFT_EVENT_REMOVE, .member_id = update->remove_member},
            NULL);
    }
}

static void count_notes(struct sim_node *node)
{
    const struct ha_update *update = &node->update;

    for (uint32_t i = 0; i < update->note_count; i++) {
        const struct ha_note *note = &update->notes[i];

        coverage->ha_notes[note->kind]++;
        if (note->kind == HA_NOTE_ROUND_REFUSED) {
            for (int verdict = 0; verdict <= LEASE_REFUSE_WAIT; verdict++) {
                coverage->verdicts[verdict] +=
                    text_equal(note->text, lease_verdict_name((enum lease_verdict)verdict));
            }
            if (text_equal(note->text, lease_verdict_name(LEASE_REFUSE_WAIT))) {
                check_wait(node, note->epoch);
            }
        }
        trace(
            node->world, node, "epoch %llu: %s: %s", (unsigned long long)note->epoch,
            ha_note_text(note->kind), note->text);
    }
}

static void drive_postgres(struct sim_node *node)
{
    const struct ha_update *update = &node->update;
    const uint64_t now_ms = clock_ms(node);

    if (node->witness) {
        return;
    }
    if (update->renew) {
        check_lease(node, update->deadline_ms);
        pg_model_renew(
            &node->pg, update->guard_epoch, update->fence_at_ms, update->deadline_ms, now_ms);
    }
    if (update->action != NULL) {
        if (update->action->kind == PG_ACTION_START_PRIMARY ||
            update->action->kind == PG_ACTION_PROMOTE) {
            check_lease(node, update->action->deadline_ms);
            check_start(node, update->action);
        }
        pg_model_start(&node->pg, update->action, now_ms);
    }
    pg_model_watch_closely(&node->pg, update->watch_closely);
}

static bool read_dynamic(const char *config, struct ha_dynamic *dynamic)
{
    unsigned long long ttl_ms;
    unsigned long long lag_bytes;
    unsigned long long start_ms;
    unsigned long long stop_ms;
    unsigned failsafe;
    unsigned rewind;

    if (sscanf(
            config, SIM_CONFIG_READ, &ttl_ms, &lag_bytes, &start_ms, &stop_ms, &failsafe,
            &rewind) != 6) {
        return false;
    }
    *dynamic = (struct ha_dynamic){
        .ttl_ms = ttl_ms,
        .maximum_lag_bytes = lag_bytes,
        .primary_start_timeout_ms = start_ms,
        .primary_stop_timeout_ms = stop_ms,
        .failsafe_mode = failsafe != 0,
        .use_pg_rewind = rewind != 0,
        .remove_on_diverged = true,
    };
    return true;
}

static void take_dynamic(struct sim_node *node)
{
    const struct cluster *cluster = ha_cluster(node->ha);

    if (cluster->config_version == 0) {
        return;
    }
    CHECK(node, read_dynamic(cluster->config, &node->dynamic), "the configuration is damaged");
    node->again = true;
}

static void take_replies(struct sim_node *node)
{
    const struct ha_update *update = &node->update;

    for (uint32_t i = 0; i < update->reply_count; i++) {
        trace(node->world, node, "reply %u: %s", update->replies[i].code, update->replies[i].text);
        node->world->reply_id = update->replies[i].id;
        node->world->reply_code = update->replies[i].code;
    }
}

static void carry_out(struct sim_node *node)
{
    const struct ha_update *update = &node->update;

    count_notes(node);
    if (update->config_changed) {
        take_dynamic(node);
    }
    send_messages(node);
    drive_postgres(node);
    propose(node);
    if (!node->ended) {
        change_raft(node);
    }
    take_replies(node);
    node->ha_wake_ms = update->wake_ms;
    /* Or one that its own initdb has made when it was another node's turn already. */
    CHECK(
        node, !update->fatal || node->strange || node->pg.wal.count == FRESH_RECORDS,
        "the daemon gives up: another system identifier");
    node->gave_up = update->fatal;
    if (update->left || update->fatal) {
        node->ended = true;
    }
}

static void step(struct sim_node *node, struct ha_event event)
{
    event.now_ms = clock_ms(node);
    event.wall_ms = node->wall_ms + event.now_ms;
    ha_step(node->ha, &event, &node->update);
    carry_out(node);
}

void node_ha_event(struct sim_node *node, struct ha_event event)
{
    if (node->ended) {
        return;
    }
    if (node->stepping) {
        ASSERT(event.kind == HA_EVENT_TICK);
        node->again = true;
        return;
    }
    node->stepping = true;
    step(node, event);
    for (uint32_t i = 0; i < STEPS_MAX && !node->ended; i++) {
        struct ha_raft view;

        if (view_raft(node, &view)) {
            node->ha_raft = view;
            step(node, (struct ha_event){.kind = HA_EVENT_RAFT, .raft = &node->ha_raft});
        } else if (node->again) {
            node->again = false;
            step(node, (struct ha_event){.kind = HA_EVENT_DYNAMIC, .dynamic = &node->dynamic});
        } else {
            break;
        }
    }
    node->stepping = false;
}

/* --- What comes in --- */

void node_received(struct sim_node *node, const struct sim_packet *packet)
{
    struct world *world = node->world;
    const struct sim_node *from = &world->nodes[packet->from];
    struct err err;

    if (!packet->ha) {
        CHECK(
            node, wire_decode(packet->bytes, packet->size, world->raft_message, &err) == STATUS_OK,
            "a message cannot be read: %s", err.text);
        node_raft_event(
            node, (struct raft_event){.kind = RAFT_EVENT_MESSAGE, .message = world->raft_message},
            NULL);
        return;
    }
    CHECK(
        node,
        ha_message_decode(
            packet->bytes, packet->size, world->ha_message, world->message_text, &err) == STATUS_OK,
        "a message cannot be read: %s", err.text);
    if (raft_config_find(raft_config(node->raft), from->id) == NULL) {
        return;
    }
    world->ha_message->from = from->id;
    world->ha_message->to = node->id;
    check_ha_received(node, world->ha_message);
    node_ha_event(node, (struct ha_event){.kind = HA_EVENT_MESSAGE, .message = world->ha_message});
}

/* --- PostgreSQL's events --- */

static void on_facts(void *owner, const struct pg_facts *facts)
{
    struct sim_node *node = owner;

    if (node->up) {
        trace(
            node->world, node, "facts: data %d, run %d%s%s, %u/%llu, marker %llu, armed %llu",
            (int)facts->data, (int)facts->run, facts->sql_ok ? ", sql" : "",
            facts->in_recovery ? ", in recovery" : "", facts->position.timeline,
            (unsigned long long)facts->position.lsn, (unsigned long long)facts->record.marker_epoch,
            (unsigned long long)facts->guard_epoch);
        node_ha_event(node, (struct ha_event){.kind = HA_EVENT_FACTS, .facts = facts});
    }
}

static void on_done(void *owner, const struct pg_action_done *done)
{
    struct sim_node *node = owner;

    if (node->up && !node->ended) {
        coverage->actions[done->kind][done->result]++;
        trace(
            node->world, node, "done: %s: %s %s", pg_action_name(done->kind),
            pg_result_name(done->result), done->text);
        node_ha_event(node, (struct ha_event){.kind = HA_EVENT_DONE, .done = done});
    }
}

static const struct pg_model *reach(void *owner, uint64_t id)
{
    const struct sim_node *node = owner;
    const struct sim_node *to = sim_find(node->world, id);

    return to != NULL && !to->witness && !sim_is_frozen(to) && !sim_is_frozen(node) &&
                   net_reaches(node->world, node->number, to->number)
               ? &to->pg
               : NULL;
}

static uint64_t new_id(void *owner)
{
    const struct sim_node *node = owner;

    return ++node->world->next_record_id;
}

static void on_armed(void *owner, uint64_t epoch)
{
    check_armed(owner, epoch);
}

static void on_writable(void *owner, uint64_t epoch)
{
    check_writable(owner, epoch);
}

static void on_fenced(void *owner, uint64_t epoch)
{
    check_fenced(owner, epoch);
}

/* Nobody has applied more of the epochs. */
static bool is_up_to_date(const struct sim_node *node)
{
    const struct world *world = node->world;
    uint64_t newest = 1;

    for (uint32_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].up) {
            newest = time_max(newest, ha_cluster(world->nodes[i].ha)->epoch);
        }
    }
    return ha_cluster(node->ha)->epoch == newest;
}

static void on_diverged(void *owner, uint64_t upstream)
{
    struct sim_node *node = owner;

    /* A server whose daemon is away, or has not yet found its way, follows what it followed. */
    if (!sim_is_awake(node) || !is_up_to_date(node) ||
        node->ha->followed_epoch != ha_cluster(node->ha)->epoch) {
        return;
    }
    sim_fail(
        node->world, node, "streams from %s although its own WAL is not part of that one's",
        sim_find(node->world, upstream)->name);
}

PRINTF(2, 3) static void on_trace(void *owner, const char *format, ...)
{
    const struct sim_node *node = owner;
    char line[200];
    va_list args;

    if (!trace_wanted()) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    trace(node->world, node, "%s", line);
}

static const struct pg_model_ops pg_ops = {
    .facts = on_facts,
    .done = on_done,
    .reach = reach,
    .new_id = new_id,
    .armed = on_armed,
    .writable = on_writable,
    .fenced = on_fenced,
    .diverged = on_diverged,
    .trace = on_trace,
};

/* --- Life --- */

static void fill_raft_settings(struct sim_node *node, struct raft_settings *settings)
{
    struct world *world = node->world;

    *settings = (struct raft_settings){
        .heartbeat_ms = world->swarm.heartbeat_ms,
        .election_min_ms = 5 * world->swarm.heartbeat_ms,
        .election_max_ms = 10 * world->swarm.heartbeat_ms,
        .random_seed = prng_next(&world->prng),
    };
    settings->new_cluster_id = prng_next(&world->prng) | 1;
    text_copy_cut(settings->self_address, sizeof settings->self_address, node->address);
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (i != node->number) {
            text_copy_cut(
                settings->seeds[settings->seed_count++], sizeof settings->seeds[0],
                world->nodes[i].address);
        }
    }
}

static void fill_ha_settings(struct sim_node *node, struct ha_settings *settings)
{
    struct world *world = node->world;

    memset(settings, 0, sizeof *settings);
    settings->self = node->id;
    settings->start_id = prng_next(&world->prng) | 1;
    settings->member.id = node->id;
    settings->member.witness = node->witness;
    settings->member.pg_port = 5432;
    text_copy_cut(settings->member.name, sizeof settings->member.name, node->name);
    text_copy_cut(settings->member.pg_host, sizeof settings->member.pg_host, node->name);
    settings->witness = node->witness;
    settings->can_bootstrap = true;
    settings->clonefrom = node->number % 2 == 1;
    settings->initial_config = world->first_config;
    CHECK(
        node, read_dynamic(world->first_config, &settings->initial_dynamic),
        "the first configuration is damaged");
}

static void empty_store(struct sim_node *node)
{
    disk_deinit(&node->disk);
    disk_init(&node->disk, prng_next(&node->world->prng) | 1);
    node->damaged = true;
}

void node_init(struct sim_node *node)
{
    node->raft_memory = malloc(raft_size());
    node->ha_memory = malloc(ha_size());
    node->held = calloc(DRIVER_HELD_MAX, sizeof *node->held);
    ASSERT(node->raft_memory != NULL && node->ha_memory != NULL && node->held != NULL);
    node->id = raft_id(node->address);
    node->store.ops = &disk_store_ops;
    node->wall_ms = SIM_WALL_MS;
    node->powered = true;
    disk_init(&node->disk, prng_next(&node->world->prng) | 1);
    disk_init(&node->old_disk, node->disk.hard.incarnation);
    pg_model_init(
        &node->pg, &pg_ops, node, &node->world->swarm.pg, prng_next(&node->world->prng),
        clock_ms(node));
}

void node_start(struct sim_node *node)
{
    struct raft_settings raft_settings;
    struct ha_settings ha_settings;
    struct raft_loaded loaded;

    ASSERT(!node->up);
    if (node->gave_up) {
        trace(node->world, node, "its operator removes the data directory that is not ours");
        pg_model_crash_node(&node->pg, clock_ms(node));
        pg_model_wipe(&node->pg);
        node->strange = node->gave_up = false;
    }
    if (node->start_over) {
        empty_store(node);
        node->start_over = false;
    }
    if (node->disk.rotten) {
        trace(node->world, node, "its store is damaged: emptied");
        empty_store(node);
    }
    fill_raft_settings(node, &raft_settings);
    fill_ha_settings(node, &ha_settings);
    loaded = (struct raft_loaded){
        .hard = node->disk.hard,
        .snapshot = node->disk.snapshot,
        .entry_count = node->disk.entry_count,
        .entries = node->disk.entries,
        .mark = node->mark,
    };
    trace(
        node->world, node, "daemon starts, term %llu, log to %llu",
        (unsigned long long)loaded.hard.term, (unsigned long long)disk_last(&node->disk));
    node->raft = raft_init(node->raft_memory, &raft_settings, &loaded, clock_ms(node));
    node->ha = ha_init(node->ha_memory, &ha_settings, clock_ms(node));
    node->dynamic = ha_settings.initial_dynamic;
    memset(&node->ha_raft, 0, sizeof node->ha_raft);
    memset(&node->update, 0, sizeof node->update);
    driver_init(&node->driver, node->raft, &node->store, &driver_ops, node, node->held);
    node->up = true;
    node->boot++;
    node->ended = node->stepping = node->again = false;
    node->paused_us = 0;
    node->snapshot_index = node->applied_index = node->commit_seen = 0;
    node->ha_wake_ms = 0;
    memset(node->reported_epoch, 0, sizeof node->reported_epoch);
    node->told_gave_up = 0;
    node->disturbed_us = node->world->now_us;
    if (!node->witness) {
        pg_model_attach(&node->pg, clock_ms(node));
    }
    node_raft_event(node, (struct raft_event){.kind = RAFT_EVENT_TICK}, NULL);
}

static void tell_peers(struct sim_node *node)
{
    for (uint32_t i = 0; i < node->world->node_count; i++) {
        struct sim_node *other = &node->world->nodes[i];

        if (other != node && sim_is_awake(other) && net_reaches(node->world, node->number, i)) {
            node_raft_event(
                other, (struct raft_event){.kind = RAFT_EVENT_PEER_LOST, .member_id = node->id},
                NULL);
        }
    }
}

void node_stop(struct sim_node *node, uint64_t restart_after_us)
{
    ASSERT(node->up);
    trace(node->world, node, "daemon ends");
    disk_drop_writes(node, !node->start_over);
    node->up = false;
    node->ended = false;
    node->paused_us = 0;
    node->disk_fails = false;
    node->start_us = node->world->now_us + restart_after_us;
    node->disturbed_us = node->world->now_us;
    if (!node->witness) {
        pg_model_detach(&node->pg);
    }
    tell_peers(node);
}

void node_power_off(struct sim_node *node, uint64_t off_us)
{
    trace(node->world, node, "loses power");
    if (node->up) {
        node_stop(node, 0);
    }
    node->suspended_us = 0;
    node->powered = false;
    node->power_us = node->world->now_us + off_us;
    /* A daemon that its operator keeps down is not started by that. */
    node->start_us = time_max(node->start_us, node->power_us + RESTART_US);
    pg_model_crash_node(&node->pg, clock_ms(node));
}

/* --- Time --- */

void node_tick(struct sim_node *node)
{
    const uint64_t now_ms = clock_ms(node);

    if (sim_is_frozen(node)) {
        return;
    }
    /* Guard and server first: they wait for nobody. */
    if (!node->witness && now_ms >= pg_model_wake_ms(&node->pg)) {
        if (node->paused_us != 0) {
            pg_model_tick_apart(&node->pg, now_ms);
        } else {
            pg_model_tick(&node->pg, now_ms);
        }
    }
    if (sim_is_awake(node) && !node->ended && now_ms >= node->driver.wake_ms) {
        node_raft_event(node, (struct raft_event){.kind = RAFT_EVENT_TICK}, NULL);
    }
    if (sim_is_awake(node) && !node->ended && now_ms >= node->ha_wake_ms) {
        node_ha_event(node, (struct ha_event){.kind = HA_EVENT_TICK});
    }
    if (node->ended) {
        node_stop(node, RESTART_US);
    }
}

uint64_t node_wake_us(const struct sim_node *node)
{
    uint64_t wake_us = TIME_NEVER;

    if (sim_is_frozen(node)) {
        return wake_us;
    }
    if (!node->witness) {
        const uint64_t wake_ms =
            node->paused_us != 0 ? pg_model_wake_apart_ms(&node->pg) : pg_model_wake_ms(&node->pg);

        wake_us = clock_when_us(node, wake_ms);
    }
    if (sim_is_awake(node)) {
        if (node->ended) {
            return node->world->now_us;
        }
        wake_us = time_min(
            wake_us, clock_when_us(node, time_min(node->driver.wake_ms, node->ha_wake_ms)));
    }
    return wake_us;
}
