/*
 * The order of things: an event is taken in, then every part looks at the whole once. No part
 * keeps a step half done: what it does next follows from the log, the facts and the reports.
 */
#include "ha/ha.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

/* Before any entry names one. The same on every node, whatever its settings say: the state is
 * a function of the log alone. */
#define FIRST_TTL_MS 2000

/* A primary_start_timeout of 0 says that nothing is started again in place, not that nobody may
 * be promoted. */
#define PREPARE_LEAST_MS 10000
#define ABSENT_MS        10000

size_t ha_size(void)
{
    return sizeof(struct ha);
}

struct ha *ha_init(void *memory, const struct ha_settings *settings, uint64_t now_ms)
{
    struct ha *ha = memory;

    ASSERT(settings->self != 0 && settings->start_id != 0);
    /* Messages are most of it, and are begun anew one by one. */
    memset(ha, 0, offsetof(struct ha, messages));
    ha->settings = *settings;
    ha->dynamic = settings->initial_dynamic;
    ha->self = settings->self;
    ha->now_ms = now_ms;
    ha->start_ms = now_ms;
    ha->phase_since_ms = now_ms;
    ha->granted_ms = now_ms;
    cluster_init(&ha->cluster, FIRST_TTL_MS);
    lease_voter_init(&ha->voter, now_ms);
    lease_holder_init(&ha->holder, settings->start_id);
    return ha;
}

/* Log view. */

static void after_change(struct ha *ha, uint64_t old_epoch, enum cluster_phase old_phase)
{
    const struct cluster *cluster = &ha->cluster;

    if (cluster->epoch == old_epoch && cluster->phase == old_phase) {
        return;
    }
    ha->phase_index = ha->applied_index;
    ha->phase_since_ms = ha->now_ms;
    ha->majority_ms = 0;
    ha->waits_over_ms = 0;
    ha->nobody_ms = 0;
    ha->handover_ms = 0;
    if (cluster->phase == CLUSTER_GRANTED || cluster->epoch != old_epoch) {
        ha->granted_ms = ha->now_ms;
    }
    ha->seen_ms = ha->now_ms; /* Suspicion counts anew from each GRANT and SERVING. */
    postgres_applied(ha);
}

void ha_log_truncated(struct ha *ha, uint64_t from_index)
{
    while (ha->tail_count > 0 && ha->tail[ha->tail_count - 1].index >= from_index) {
        ha->tail_count--;
    }
    if (ha->durable_index >= from_index) {
        ha->durable_index = from_index - 1;
    }
}

void ha_log_appended(struct ha *ha, uint64_t index, uint64_t term, const struct command *command)
{
    struct ha_tail_entry *entry;

    ASSERT(ha->tail_count < HA_TAIL_MAX);
    ASSERT(ha->tail_count == 0 || ha->tail[ha->tail_count - 1].index < index);
    entry = &ha->tail[ha->tail_count++];
    *entry = (struct ha_tail_entry){.index = index, .term = term};
    if (command != NULL) {
        entry->kind = command->kind;
        entry->epoch = command_epoch(command);
        entry->ttl_ms = command->ttl_ms;
        entry->fenced = command->fenced || command->kind == COMMAND_HANDOVER;
        entry->binding = command_is_binding(command);
    }
}

void ha_log_durable(struct ha *ha, uint64_t index)
{
    ha->durable_index = index;
}

static void drop_applied(struct ha *ha, uint64_t index)
{
    uint32_t keep = 0;

    while (keep < ha->tail_count && ha->tail[keep].index <= index) {
        keep++;
    }
    ha->tail_count -= keep;
    memmove(&ha->tail[0], &ha->tail[keep], ha->tail_count * sizeof ha->tail[0]);
}

static void note_request(struct ha *ha, const struct cluster_request *request)
{
    const char *kind = request->kind == CLUSTER_REQUEST_FAILOVER ? "failover" : "switchover";
    char line[CLUSTER_REASON_SIZE];
    struct text text;

    text_init(&text, line, sizeof line);
    text_add(&text, kind);
    if (request->from != 0) {
        text_addf(&text, " from \"%.40s\"", ha_name(ha, request->from));
    }
    if (request->to != 0) {
        text_addf(&text, " to \"%.40s\"", ha_name(ha, request->to));
    }
    if (request->scheduled_wall_ms > ha->wall_ms) {
        text_addf(
            &text, " in %llu s",
            (unsigned long long)((request->scheduled_wall_ms - ha->wall_ms + 999) / 1000));
    }
    ha_note(ha, HA_NOTE_REQUEST, 0, request->to, "%s", line);
}

/* The line that history and log show: what was decided, and why. */
static void note_applied(struct ha *ha, const struct command *command)
{
    const struct cluster_grant *last = &ha->cluster.last;

    if (command->wall_ms < ha->settings.start_wall_ms) {
        return; /* From the log as it was at the start of this daemon. */
    }
    switch (command->kind) {
    case COMMAND_REVOKE:
        ha_note(ha, HA_NOTE_REVOKED, command->epoch, last->node, "%s", command->reason);
        return;
    case COMMAND_GRANT:
        ha_note(
            ha, HA_NOTE_GRANT_SEEN, command->epoch, command->node, "to \"%s\"%s: %s",
            ha_name(ha, command->node), command->fenced ? ", fenced" : "", command->reason);
        return;
    case COMMAND_HANDOVER:
        ha_note(
            ha, HA_NOTE_HANDED_OVER, command->epoch, command->node, "from \"%s\" to \"%s\": %s",
            ha_name(ha, command->from), ha_name(ha, command->node), command->reason);
        return;
    case COMMAND_SERVING:
        ha_note(
            ha, HA_NOTE_SERVING, command->epoch, last->node, "\"%s\" on timeline %u",
            ha_name(ha, last->node), command->position.timeline);
        return;
    case COMMAND_CONFIG_SET:
        ha_note(
            ha, HA_NOTE_CONFIG_CHANGED, 0, 0, "version %llu",
            (unsigned long long)ha->cluster.config_version);
        return;
    case COMMAND_REQUEST_SET:
        note_request(ha, &command->request);
        return;
    case COMMAND_NONE:
    case COMMAND_MEMBER_SET:
    case COMMAND_MEMBER_REMOVE:
    case COMMAND_INIT:
    case COMMAND_REQUEST_CLEAR:
    case COMMAND_TTL_BESIDE:
    case COMMAND_TTL_ALONE:
    case COMMAND_KINDS:
        return;
    }
    UNREACHABLE();
}

void ha_apply(struct ha *ha, uint64_t index, uint64_t term, const struct command *command)
{
    const uint64_t old_epoch = ha->cluster.epoch;
    const enum cluster_phase old_phase = ha->cluster.phase;
    const uint64_t old_config = ha->cluster.config_version;
    const uint64_t old_node = ha->cluster.last.node;

    ASSERT(index > ha->applied_index);
    ha->applied_index = index;
    drop_applied(ha, index);
    if (command == NULL) {
        return;
    }
    if (!cluster_apply(&ha->cluster, command, term, index)) {
        /* Proposed again at once, it would be void again: the log must not be filled with it. */
        ha_note(
            ha, HA_NOTE_VOID_COMMAND, command->epoch, command->node, "%s",
            command_name(command->kind));
        return;
    }
    ha->proposed[command->kind].at_ms = 0;
    if (command->kind == COMMAND_SERVING) {
        ha->serving_index = index;
    }
    if (command->kind == COMMAND_GRANT && command->node == old_node && ha->raft.leader) {
        ha->regranted_ms = ha->now_ms;
    }
    if (ha->cluster.config_version != old_config) {
        ha->config_dirty = true;
        ha->reload_wanted = true;
    }
    after_change(ha, old_epoch, old_phase);
    note_applied(ha, command);
}

void ha_restore(struct ha *ha, uint64_t index, uint64_t term, const struct cluster *cluster)
{
    const uint64_t old_epoch = ha->cluster.epoch;
    const enum cluster_phase old_phase = ha->cluster.phase;

    (void)term;
    ha->cluster = *cluster;
    ha->applied_index = index;
    ha->serving_index = 0;
    ha->durable_index = time_max(ha->durable_index, index);
    drop_applied(ha, index);
    ha->config_dirty = true;
    ha->reload_wanted = true;
    after_change(ha, old_epoch, old_phase);
}

uint64_t ha_log_epoch(const struct ha *ha)
{
    uint64_t epoch = ha->cluster.epoch;

    for (uint32_t i = 0; i < ha->tail_count; i++) {
        epoch = time_max(epoch, ha->tail[i].epoch);
    }
    return epoch;
}

bool ha_settled(const struct ha *ha)
{
    for (uint32_t i = 0; i < ha->tail_count; i++) {
        if (ha->tail[i].binding) {
            return false;
        }
    }
    return true;
}

bool ha_is_granted(const struct ha *ha)
{
    return cluster_grantee(&ha->cluster) == ha->self;
}

bool ha_is_mine(const struct ha *ha)
{
    return ha_is_granted(ha) && ha_settled(ha) && ha_log_epoch(ha) == ha->cluster.epoch;
}

/* Shared small things. */

void ha_note(
    struct ha *ha, enum ha_note_kind kind, uint64_t epoch, uint64_t node, const char *format, ...)
{
    struct ha_note *note;
    struct text text;
    va_list args;

    /* Between steps, when the log is fed, notes wait in the update of the step that follows. */
    if (ha->pending_notes.count >= HA_NOTES_MAX) {
        return;
    }
    note = &ha->pending_notes.notes[ha->pending_notes.count++];
    note->kind = kind;
    note->epoch = epoch;
    note->node = node;
    text_init(&text, note->text, sizeof note->text);
    va_start(args, format);
    text_addv(&text, format, args);
    va_end(args);
}

struct ha_message *ha_message_new(struct ha *ha, enum ha_message_kind kind, uint64_t to)
{
    struct ha_message *message;

    ASSERT(ha->update->message_count < HA_MESSAGES_MAX);
    message = &ha->messages[ha->update->message_count++];
    *message = (struct ha_message){.kind = kind, .from = ha->self, .to = to};
    return message;
}

const char *ha_name(const struct ha *ha, uint64_t node)
{
    const struct cluster_member *member = cluster_find(&ha->cluster, node);

    if (member != NULL) {
        return member->name;
    }
    return node == ha->self ? ha->settings.member.name : "unknown";
}

uint64_t ha_ttl(const struct ha *ha)
{
    const struct cluster *cluster = &ha->cluster;
    uint64_t ttl_ms = cluster->ttl_ms;

    if (cluster->ttl_other_ms != 0) {
        ttl_ms = time_min(ttl_ms, cluster->ttl_other_ms);
    }
    for (uint32_t i = 0; i < ha->tail_count; i++) {
        if (ha->tail[i].ttl_ms != 0) {
            ttl_ms = time_min(ttl_ms, ha->tail[i].ttl_ms);
        }
    }
    return ttl_ms;
}

uint64_t ha_time_to_prepare(const struct ha *ha)
{
    return time_max(ha->dynamic.primary_start_timeout_ms, PREPARE_LEAST_MS);
}

static const struct ha_peer *find_peer(const struct ha *ha, uint64_t node)
{
    for (uint32_t i = 0; i < ha->peer_count; i++) {
        if (ha->peers[i].id == node) {
            return &ha->peers[i];
        }
    }
    return NULL;
}

bool ha_is_absent(const struct ha *ha, uint64_t node)
{
    const struct ha_peer *peer = find_peer(ha, node);

    return peer == NULL || peer->heard_ms == 0 ||
           time_since(ha->now_ms, peer->heard_ms) >= ABSENT_MS;
}

const struct ha_status *ha_known_status(const struct ha *ha, uint64_t node)
{
    const struct ha_peer *peer = find_peer(ha, node);

    return peer != NULL && peer->heard_ms != 0 ? &peer->status : NULL;
}

uint64_t ha_told_lsn(const struct ha *ha, uint64_t node, uint64_t epoch)
{
    const struct ha_peer *peer = find_peer(ha, node);

    return peer != NULL && peer->told_epoch >= epoch ? peer->told_lsn : 0;
}

const struct ha_status *ha_fresh_status(const struct ha *ha, uint64_t node)
{
    const struct ha_peer *peer = find_peer(ha, node);

    if (peer == NULL || peer->heard_ms == 0 ||
        time_since(ha->now_ms, peer->heard_ms) > ha_ttl(ha) / 2) {
        return NULL;
    }
    return &peer->status;
}

bool ha_is_voter(const struct ha *ha, uint64_t node)
{
    for (uint32_t i = 0; i < ha->raft.member_count; i++) {
        if (ha->raft.members[i].id == node) {
            return ha->raft.members[i].voter;
        }
    }
    return false;
}

bool ha_is_witness(const struct ha *ha, uint64_t node)
{
    const struct cluster_member *member = cluster_find(&ha->cluster, node);

    return member != NULL && member->witness;
}

/* The step. */

static void receive(struct ha *ha, const struct ha_message *message)
{
    switch (message->kind) {
    case HA_MESSAGE_RENEW:
        rounds_receive(ha, message);
        return;
    case HA_MESSAGE_ANSWER:
        rounds_answer(ha, message);
        return;
    case HA_MESSAGE_STATUS:
        status_receive(ha, message);
        return;
    case HA_MESSAGE_FORWARD:
        asks_forwarded(ha, message);
        return;
    case HA_MESSAGE_REFUSED:
        asks_refused(ha, message);
        return;
    case HA_MESSAGE_NONE:
    case HA_MESSAGE_KINDS:
        return;
    }
    UNREACHABLE();
}

static void take_raft(struct ha *ha, const struct ha_raft *raft)
{
    if (raft->leader && (!ha->raft.leader || raft->term != ha->raft.term)) {
        ha->led_since_ms = ha->now_ms;
        ha->majority_ms = 0;
        ha->waits_over_ms = 0;
        ha->nobody_ms = 0;
        ha->handover_ms = 0;
        memset(ha->proposed, 0, sizeof ha->proposed);
    }
    if (raft->member && !ha->raft.member) {
        /* No failsafe quorum before has asked it: it waits for those leases as after a start. */
        ha->voter.start_ms = ha->now_ms;
    }
    ha->raft = *raft;
}

static void take_settings(struct ha *ha, const struct ha_settings *settings)
{
    const uint64_t start_id = ha->settings.start_id;
    const uint64_t start_wall_ms = ha->settings.start_wall_ms;

    ha->settings = *settings;
    ha->settings.self = ha->self;
    ha->settings.start_id = start_id;
    ha->settings.start_wall_ms = start_wall_ms;
}

static void take(struct ha *ha, const struct ha_event *event)
{
    switch (event->kind) {
    case HA_EVENT_TICK:
        return;
    case HA_EVENT_MESSAGE:
        receive(ha, event->message);
        return;
    case HA_EVENT_FACTS:
        postgres_facts(ha, event->facts);
        return;
    case HA_EVENT_DONE:
        postgres_done(ha, event->done);
        return;
    case HA_EVENT_RAFT:
        take_raft(ha, event->raft);
        return;
    case HA_EVENT_ASK:
        asks_add(ha, event->ask);
        return;
    case HA_EVENT_LOCAL:
        local_ask(ha, event->local);
        return;
    case HA_EVENT_SETTINGS:
        take_settings(ha, event->settings);
        return;
    case HA_EVENT_DYNAMIC:
        ha->dynamic = *event->dynamic;
        return;
    }
    UNREACHABLE();
}

/* A change of primary is under way, or is about to be: look often, tell at once. */
bool ha_is_moving(const struct ha *ha)
{
    const struct ha_status *primary = ha_known_status(ha, cluster_grantee(&ha->cluster));

    return ha->cluster.phase != CLUSTER_SERVING || !ha_settled(ha) ||
           cluster_request_stands(&ha->cluster, ha->wall_ms) ||
           (primary != NULL && (primary->stopped.epoch == ha->cluster.epoch || primary->leaving));
}

/* Something of this node alone is under way. */
static bool is_busy(const struct ha *ha)
{
    return ha->action.kind != PG_ACTION_NONE || ha->stopping_epoch == ha->cluster.epoch ||
           ha->leaving || ha->restart_wanted || ha->reinit_wanted;
}

static uint64_t next_wake(const struct ha *ha)
{
    /* While something moves, conditions are looked at again soon; in peace, rounds and
     * statuses set the pace. */
    const uint64_t look_ms = ha_is_moving(ha) || is_busy(ha) ? 20 : ha_ttl(ha) / 8;

    return time_min(ha->now_ms + look_ms, rounds_wake(ha));
}

void ha_step(struct ha *ha, const struct ha_event *event, struct ha_update *update)
{
    ASSERT(event->now_ms >= ha->now_ms);
    ha->now_ms = event->now_ms;
    ha->wall_ms = event->wall_ms;
    update->message_count = 0;
    update->messages = ha->messages;
    update->proposal_count = 0;
    update->proposals = ha->proposals;
    update->action = NULL;
    update->renew = false;
    update->slots_changed = false;
    update->callback = PG_CALLBACK_NONE;
    update->config_changed = false;
    update->transfer_to = 0;
    update->add_learner = 0;
    update->promote_voter = 0;
    update->remove_member = 0;
    update->reply_count = 0;
    update->left = false;
    ha->update = update;

    take(ha, event);
    rounds_tick(ha);
    postgres_tick(ha);
    status_tick(ha); /* Before the leader looks: its own status is one of those it counts. */
    if (ha->raft.leader) {
        leader_tick(ha);
        upkeep_tick(ha);
    }
    asks_tick(ha);

    update->config_changed = ha->config_dirty;
    ha->config_dirty = false;
    update->watch_closely = ha_is_moving(ha) || is_busy(ha);
    update->fatal = ha->fatal;
    update->note_count = ha->pending_notes.count;
    memcpy(
        update->notes, ha->pending_notes.notes, ha->pending_notes.count * sizeof update->notes[0]);
    ha->pending_notes.count = 0;
    update->wake_ms = next_wake(ha);
    ha->update = NULL;
    ASSERT(update->wake_ms > ha->now_ms);
}

void ha_proposal_refused(struct ha *ha, enum command_kind kind)
{
    ha->proposed[kind].at_ms = time_since(ha->now_ms, HA_PROPOSE_AGAIN_MS - HA_REFUSED_AGAIN_MS);
}

const struct cluster *ha_cluster(const struct ha *ha)
{
    return &ha->cluster;
}

uint64_t ha_applied_index(const struct ha *ha)
{
    return ha->applied_index;
}

bool ha_lease_runs(const struct ha *ha, uint64_t now_ms)
{
    return lease_holder_runs(&ha->holder, now_ms);
}

const char *ha_note_text(enum ha_note_kind kind)
{
    static const char *const texts[] = {
#define X(code, level, text) [HA_NOTE_##code] = text,
        HA_NOTE_MAP(X)
#undef X
    };

    ASSERT(kind < HA_NOTE_KINDS);
    return texts[kind];
}
