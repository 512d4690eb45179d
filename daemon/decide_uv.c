/*
 * The ha part with what surrounds it: events in, one step, and what it asks for carried out.
 *
 * Carrying out may move the log (a proposal is appended at once, on a single node even
 * decided), which ha is told inside; then it is stepped once more. It is never stepped from
 * inside a step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "conf/tree_json.h"
#include "daemon/daemon_impl_uv.h"
#include "daemon/raft_view.h"
#include "ha/command_msgpack.h"
#include "ha/message_msgpack.h"

#define STEPS_MAX 32 /* In a row, before the loop gets its turn. */

static void write_tags(const struct conf_tags *tags, char *json, size_t size)
{
    struct text text;
    struct err err;

    text_init(&text, json, size);
    if (tags->all == NULL || tree_json_print(tags->all, 0, &text, &err) != STATUS_OK ||
        text_overflowed(&text)) {
        text_copy_cut(json, size, "{}");
    }
}

void decide_settings(const struct daemon *daemon, struct ha_settings *settings)
{
    const struct conf *conf = &daemon->conf.conf;
    struct cluster_member *member;

    memset(settings, 0, sizeof *settings);
    settings->self = raft_id(daemon->self_address);
    settings->start_id = clock_random_u64() | 1;
    settings->start_wall_ms = clock_wall_ms();
    member = &settings->member;
    member->id = settings->self;
    member->witness = conf->witness;
    text_copy_cut(member->name, sizeof member->name, conf->name);
    (void)snprintf(
        member->api_url, sizeof member->api_url, "%s://%.100s:%u/patroni",
        conf->restapi.certfile == NULL ? "http" : "https", conf->restapi.connect_address.host,
        (unsigned)conf->restapi.connect_address.port);
    if (!conf->witness) {
        text_copy_cut(
            member->pg_host, sizeof member->pg_host, conf->postgresql.connect_address.host);
        member->pg_port = (uint16_t)conf->postgresql.connect_address.port;
    }
    settings->witness = conf->witness;
    settings->can_bootstrap = conf->bootstrap.present;
    settings->nofailover = conf->tags.nofailover;
    settings->failover_priority = (int32_t)conf->tags.failover_priority;
    settings->noloadbalance = conf->tags.noloadbalance;
    settings->clonefrom = conf->tags.clonefrom;
    settings->kill_budget_ms =
        conf->guard.kill_budget_ms == CONF_UNSET ? 0 : (uint64_t)conf->guard.kill_budget_ms;
    settings->initial_config = daemon->initial_config;
    settings->initial_dynamic = daemon->dynamic;
    write_tags(&conf->tags, settings->tags, sizeof settings->tags);
}

enum status decide_dynamic(
    struct daemon *daemon, const char *json, size_t size, struct ha_dynamic *dynamic,
    struct err *err)
{
    struct tree tree;
    struct node *root = NULL;
    struct conf_dynamic *read = malloc(sizeof *read);
    struct conf_postgresql *postgresql = malloc(sizeof *postgresql);
    enum status status = STATUS_OK;

    ASSERT(read != NULL && postgresql != NULL);
    tree_init(&tree, daemon->dynamic_memory, CONF_MEMORY_BYTES);
    status = tree_json_parse(&tree, json, size, &root, err);
    if (status == STATUS_OK) {
        problems_init(&daemon->problems);
        conf_dynamic_read(read, &tree, root, &daemon->problems);
        for (uint32_t i = 0; i < daemon->problems.count; i++) {
            log_warning("dynamic configuration: %s", daemon->problems.items[i].text);
        }
        conf_postgresql_read(
            postgresql, &tree, &daemon->conf.conf, read->postgresql, &daemon->problems);
        *dynamic = (struct ha_dynamic){
            .ttl_ms = (uint64_t)read->ttl_ms,
            .maximum_lag_bytes = (uint64_t)read->maximum_lag_on_failover_bytes,
            .primary_start_timeout_ms = (uint64_t)read->primary_start_timeout_ms,
            .primary_stop_timeout_ms = (uint64_t)read->primary_stop_timeout_ms,
            .failsafe_mode = read->failsafe_mode,
            .pause = read->pause,
            .use_pg_rewind = postgresql->use_pg_rewind,
            .remove_on_diverged = postgresql->remove_data_directory_on_diverged_timelines ||
                                  postgresql->remove_data_directory_on_rewind_failure,
        };
    }
    free(read);
    free(postgresql);
    return status;
}

/* Carrying out. */

static void send_messages(struct daemon *daemon, const struct ha_update *update)
{
    const struct raft_config *config = raft_config(daemon->raft);

    for (uint32_t i = 0; i < update->message_count; i++) {
        const struct ha_message *message = &update->messages[i];
        const size_t size = ha_message_encode(message, daemon->frame, DAEMON_FRAME_MAX);

        if (message->to != 0) {
            daemon_send(daemon, message->to, FRAME_CHANNEL_HA, size);
            continue;
        }
        for (uint32_t j = 0; j < config->count; j++) {
            if (config->members[j].id != raft_self(daemon->raft)) {
                daemon_send(daemon, config->members[j].id, FRAME_CHANNEL_HA, size);
            }
        }
    }
}

static void propose(struct daemon *daemon, const struct ha_update *update)
{
    for (uint32_t i = 0; i < update->proposal_count; i++) {
        const size_t size =
            command_encode(&update->proposals[i], daemon->frame, RAFT_ENTRY_BYTES_MAX);
        struct driver_result result = {.proposal = RAFT_PROPOSAL_NONE};

        ASSERT(size > 0);
        consensus_feed(
            daemon,
            &(struct raft_event){
                .kind = RAFT_EVENT_PROPOSE, .data = daemon->frame, .size_bytes = (uint32_t)size},
            &result);
        if (result.proposal != RAFT_PROPOSAL_TAKEN) {
            log_debug("proposal of %s was not taken", command_name(update->proposals[i].kind));
            ha_proposal_refused(daemon->ha, update->proposals[i].kind);
        }
    }
}

static void add_learner(struct daemon *daemon, uint64_t id)
{
    struct raft_stranger strangers[RAFT_MEMBERS_MAX];
    const uint32_t count = raft_strangers(daemon->raft, strangers, RAFT_MEMBERS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        if (strangers[i].member.id == id) {
            consensus_feed(
                daemon,
                &(struct raft_event){.kind = RAFT_EVENT_ADD_LEARNER, .member = strangers[i].member},
                NULL);
            return;
        }
    }
}

static void change_raft(struct daemon *daemon, const struct ha_update *update)
{
    if (update->transfer_to != 0) {
        consensus_feed(
            daemon,
            &(struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member_id = update->transfer_to},
            NULL);
    }
    if (update->add_learner != 0) {
        add_learner(daemon, update->add_learner);
    }
    if (update->promote_voter != 0) {
        consensus_feed(
            daemon,
            &(struct raft_event){.kind = RAFT_EVENT_PROMOTE, .member_id = update->promote_voter},
            NULL);
    }
    if (update->remove_member != 0) {
        consensus_feed(
            daemon,
            &(struct raft_event){.kind = RAFT_EVENT_REMOVE, .member_id = update->remove_member},
            NULL);
    }
}

static enum log_level note_level(enum ha_note_kind kind)
{
    static const enum log_level levels[] = {
#define X(code, level, text) [HA_NOTE_##code] = LOG_##level,
        HA_NOTE_MAP(X)
#undef X
    };

    return levels[kind];
}

static void log_notes(const struct ha_update *update)
{
    for (uint32_t i = 0; i < update->note_count; i++) {
        const struct ha_note *note = &update->notes[i];

        if (note->epoch == 0) {
            log_write(note_level(note->kind), "%s: %s", ha_note_text(note->kind), note->text);
        } else {
            log_write(
                note_level(note->kind), "epoch %llu: %s: %s", (unsigned long long)note->epoch,
                ha_note_text(note->kind), note->text);
        }
    }
}

static void drive_postgres(struct daemon *daemon, const struct ha_update *update)
{
    if (daemon->local == NULL) {
        return;
    }
    if (update->config_changed) {
        local_configure(daemon->local, ha_cluster(daemon->ha)->config);
    }
    if (update->renew) {
        local_renew(daemon->local, update->guard_epoch, update->fence_at_ms, update->deadline_ms);
    }
    if (update->action != NULL) {
        local_start(daemon->local, update->action);
    }
    if (update->slots_changed) {
        local_set_slots(daemon->local, &update->slots);
    }
    if (update->callback != PG_CALLBACK_NONE) {
        local_callback(
            daemon->local, update->callback, update->callback_role, daemon->conf.conf.scope);
    }
    local_watch_closely(daemon->local, update->watch_closely);
}

static void take_dynamic(struct daemon *daemon)
{
    const struct cluster *cluster = ha_cluster(daemon->ha);
    struct err err;

    if (cluster->config_version == 0) {
        return;
    }
    if (decide_dynamic(daemon, cluster->config, cluster->config_size, &daemon->dynamic, &err) !=
        STATUS_OK) {
        log_error("dynamic configuration cannot be used, the one before stays: %s", err.text);
        return;
    }
    daemon->again = true; /* The step that follows brings it to ha. */
}

static void carry_out(struct daemon *daemon)
{
    const struct ha_update *update = &daemon->update;

    log_notes(update);
    if (update->config_changed) {
        take_dynamic(daemon);
    }
    send_messages(daemon, update);
    drive_postgres(daemon, update);
    propose(daemon, update);
    change_raft(daemon, update);
    outside_replies(daemon, update);
    daemon->ha_wake_ms = update->wake_ms;
    if (update->fatal) {
        daemon_stop(daemon, 1);
    } else if (update->left) {
        daemon_stop(daemon, 0);
    }
}

static void step(struct daemon *daemon, struct ha_event event)
{
    event.now_ms = clock_boot_ms();
    event.wall_ms = clock_wall_ms();
    ha_step(daemon->ha, &event, &daemon->update);
    carry_out(daemon);
}

/* What ha has to hear besides the event that came. */
static void step_until_quiet(struct daemon *daemon)
{
    for (uint32_t i = 0; i < STEPS_MAX && !daemon->closing; i++) {
        struct ha_raft view;

        raft_view_fill(daemon->raft, &view);
        if (memcmp(&view, &daemon->ha_raft, sizeof view) != 0) {
            daemon->ha_raft = view;
            step(daemon, (struct ha_event){.kind = HA_EVENT_RAFT, .raft = &daemon->ha_raft});
        } else if (daemon->again) {
            daemon->again = false;
            step(daemon, (struct ha_event){.kind = HA_EVENT_DYNAMIC, .dynamic = &daemon->dynamic});
        } else {
            return;
        }
    }
}

void decide_event(struct daemon *daemon, struct ha_event event)
{
    if (daemon->closing) {
        return;
    }
    if (daemon->stepping) {
        ASSERT(event.kind == HA_EVENT_TICK); /* Only the log moves inside a step. */
        daemon->again = true;
        return;
    }
    daemon->stepping = true;
    step(daemon, event);
    step_until_quiet(daemon);
    daemon->stepping = false;
    daemon_arm(daemon);
}

void decide_received(struct daemon *daemon, uint64_t from, const uint8_t *bytes, uint32_t size)
{
    struct err err;

    if (ha_message_decode(bytes, size, daemon->ha_message, daemon->message_config, &err) !=
        STATUS_OK) {
        log_warning("a peer's message is not understood: %s", err.text);
        return;
    }
    /* Strangers may be heard by Raft; what they say of leases and pledges is nobody's word. */
    if (raft_config_find(raft_config(daemon->raft), from) == NULL) {
        return;
    }
    daemon->ha_message->from = from;
    daemon->ha_message->to = raft_self(daemon->raft);
    decide_event(
        daemon, (struct ha_event){.kind = HA_EVENT_MESSAGE, .message = daemon->ha_message});
}

/* PostgreSQL's events. */

static void on_facts(void *owner, const struct pg_facts *facts)
{
    decide_event(owner, (struct ha_event){.kind = HA_EVENT_FACTS, .facts = facts});
}

static void on_done(void *owner, const struct pg_action_done *done)
{
    struct daemon *daemon = owner;

    decide_event(daemon, (struct ha_event){.kind = HA_EVENT_DONE, .done = done});
    if (!daemon->closing) {
        daemon_await_calm(daemon);
    }
}

static void on_local_closed(void *owner)
{
    daemon_closed_part(owner);
}

static const struct local_events local_events = {
    .facts = on_facts,
    .done = on_done,
    .closed = on_local_closed,
};

enum status decide_open(struct daemon *daemon, struct err *err)
{
    if (daemon->conf.conf.witness) {
        return STATUS_OK;
    }
    return local_open(
        &daemon->local, &daemon->loop, &daemon->conf.conf, daemon->guard_path, &local_events,
        daemon, err);
}
