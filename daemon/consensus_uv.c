/*
 * Raft's core, its store and its transport, joined.
 *
 * The way of an entry: ha proposes a command, it is encoded and fed to the core; the core
 * appends it (ha is told: a member's epoch is the highest in its log), sends it and has it
 * stored; when it is decided the core hands it out and ha applies it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "daemon/daemon_impl_uv.h"
#include "ha/command_msgpack.h"
#include "raft/describe.h"
#include "raft/mark_sys.h"
#include "raft/store_lmdb.h"
#include "raft/wire.h"

#define SNAPSHOT_ENTRIES 256 /* Behind the last snapshot; then the next is taken. */

static const struct command *decode(struct daemon *daemon, const struct raft_entry *entry)
{
    struct err err;

    if (entry->kind != RAFT_ENTRY_DATA) {
        return NULL;
    }
    if (command_decode(
            entry->data, entry->size_bytes, daemon->command, daemon->command_config, &err) !=
        STATUS_OK) {
        /* Every node sees the same bytes: all skip it alike. */
        log_error("entry %llu is not understood: %s", (unsigned long long)entry->index, err.text);
        return NULL;
    }
    return daemon->command;
}

void daemon_send(struct daemon *daemon, uint64_t to, enum frame_channel channel, size_t size)
{
    ASSERT(size > 0);
    if (!mesh_send(daemon->mesh, to, channel, daemon->frame, (uint32_t)size)) {
        /* The peer is down or slow. Whatever was to be said will be said again, newer. */
        log_debug("nothing is sent to peer %016llx now", (unsigned long long)to);
    }
}

/* Driver callbacks. */

static void on_send(void *owner, const struct raft_message *message)
{
    struct daemon *daemon = owner;
    const size_t size = wire_encode(message, daemon->frame, DAEMON_FRAME_MAX);

    daemon_send(daemon, message->to, FRAME_CHANNEL_RAFT, size);
}

static void on_truncated(void *owner, uint64_t from_index)
{
    struct daemon *daemon = owner;

    ha_log_truncated(daemon->ha, from_index);
}

static void on_appended(void *owner, const struct raft_entry *entry)
{
    struct daemon *daemon = owner;

    ha_log_appended(daemon->ha, entry->index, entry->term, decode(daemon, entry));
}

static void on_durable(void *owner, uint64_t index)
{
    struct daemon *daemon = owner;

    ha_log_durable(daemon->ha, index);
}

static void on_restore(void *owner, const struct raft_snapshot *snapshot)
{
    struct daemon *daemon = owner;
    struct err err;

    if (cluster_decode(snapshot->data, snapshot->size_bytes, daemon->restored, &err) != STATUS_OK) {
        log_critical(
            "snapshot at %llu is not understood: %s", (unsigned long long)snapshot->index,
            err.text);
        daemon_stop(daemon, 1);
        return;
    }
    ha_restore(daemon->ha, snapshot->index, snapshot->term, daemon->restored);
}

static void on_apply(void *owner, const struct raft_entry *entry)
{
    struct daemon *daemon = owner;

    ha_apply(daemon->ha, entry->index, entry->term, decode(daemon, entry));
}

static void on_read_done(void *owner, uint64_t read_number, bool ok)
{
    /* No part of the daemon asks for reads: decisions are entries. */
    (void)owner;
    (void)read_number;
    (void)ok;
}

static bool is_news(enum raft_note_kind kind)
{
    switch (kind) {
    case RAFT_NOTE_BECAME_LEADER:
    case RAFT_NOTE_LOST_QUORUM:
    case RAFT_NOTE_INSTALLED_SNAPSHOT:
    case RAFT_NOTE_CONFIG_COMMITTED:
    case RAFT_NOTE_FORMED:
    case RAFT_NOTE_JOINED:
    case RAFT_NOTE_FORMATION_DROPPED:
    case RAFT_NOTE_LEFT_OUT:
    case RAFT_NOTE_AMNESIA:
    case RAFT_NOTE_DISK_STALLED:
        return true;
    case RAFT_NOTE_NONE:
    case RAFT_NOTE_BECAME_FOLLOWER:
    case RAFT_NOTE_STARTED_PREVOTE:
    case RAFT_NOTE_STARTED_VOTE:
    case RAFT_NOTE_REFUSED_VOTE_LEADER_HEARD:
    case RAFT_NOTE_REFUSED_VOTE_LOG:
    case RAFT_NOTE_REFUSED_VOTE_GIVEN:
    case RAFT_NOTE_REFUSED_NOT_CHECKED:
    case RAFT_NOTE_GRANTED_VOTE:
    case RAFT_NOTE_TRUNCATED:
    case RAFT_NOTE_KEPT_TAIL:
    case RAFT_NOTE_CONFIG_APPENDED:
    case RAFT_NOTE_CONFIG_ROLLED_BACK:
    case RAFT_NOTE_TRANSFER_STARTED:
    case RAFT_NOTE_TRANSFER_ABORTED:
    case RAFT_NOTE_WRONG_CLUSTER:
    case RAFT_NOTE_WRONG_INCARNATION:
    case RAFT_NOTE_POSITION_CHECKED:
    case RAFT_NOTE_SNAPSHOT_SENT:
    case RAFT_NOTE_KINDS:
        return false;
    }
    UNREACHABLE();
}

static void on_note(void *owner, const struct raft_note *note)
{
    char line[200];
    struct text text;

    (void)owner;
    text_init(&text, line, sizeof line);
    raft_describe_note(&text, note);
    log_write(is_news(note->kind) ? LOG_INFO : LOG_DEBUG, "raft: %s", line);
}

static void on_lost_memory(void *owner)
{
    struct daemon *daemon = owner;

    log_error(
        "the raft store shows less than this node has acknowledged, or leads nowhere (the line "
        "before says why): it is emptied, and this node joins again as a learner");
    daemon->start_over = true;
    daemon_stop(daemon, 0);
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

/* Store callbacks. */

static void on_persisted(void *owner, uint64_t number)
{
    struct daemon *daemon = owner;

    if (daemon->closing) {
        return; /* What waited for it is not sent any more: the mesh may be gone already. */
    }
    driver_persisted(&daemon->driver, number, clock_boot_ms());
    consensus_housekeeping(daemon);
    decide_event(daemon, (struct ha_event){.kind = HA_EVENT_TICK});
}

static void on_store_full(void *owner, const struct err *err)
{
    const struct daemon *daemon = owner;

    log_warning(
        "raft store: %s; the volume of \"%s\" is full: a primary serves on, nothing new is decided "
        "here until there is room",
        err->text, daemon->data_dir);
}

static void on_store_has_room(void *owner, uint64_t full_ms)
{
    const struct daemon *daemon = owner;

    log_info(
        "raft store: the volume of \"%s\" has room again, after %llu s", daemon->data_dir,
        (unsigned long long)full_ms / 1000);
}

static void on_store_failed(void *owner, const struct err *err)
{
    (void)owner;
    /* The outcome is unknown: no answer may leave this process. The lease and the guard do the
     * rest, and the next start reads what is there. */
    log_critical("raft store: %s", err->text);
    _Exit(1);
}

static void on_store_closed(void *owner)
{
    daemon_closed_part(owner);
}

static const struct store_uv_events store_events = {
    .done = on_persisted,
    .full = on_store_full,
    .has_room = on_store_has_room,
    .failed = on_store_failed,
    .closed = on_store_closed,
};

/* Mesh callbacks. */

static void received_raft(
    struct daemon *daemon, uint64_t from_id, const uint8_t *bytes, uint32_t size)
{
    struct err err;

    if (wire_decode(bytes, size, daemon->raft_message, &err) != STATUS_OK) {
        log_warning("a peer's message is not understood: %s", err.text);
        return;
    }
    if (daemon->raft_message->to != raft_self(daemon->raft) ||
        daemon->raft_message->from != from_id) {
        return; /* For or from the one who had this address before. */
    }
    consensus_feed(
        daemon, &(struct raft_event){.kind = RAFT_EVENT_MESSAGE, .message = daemon->raft_message},
        NULL);
}

static void on_received(
    void *owner, uint64_t from_id, enum frame_channel channel, const uint8_t *bytes, uint32_t size)
{
    struct daemon *daemon = owner;

    if (daemon->closing) {
        return;
    }
    switch (channel) {
    case FRAME_CHANNEL_RAFT:
        received_raft(daemon, from_id, bytes, size);
        return;
    case FRAME_CHANNEL_HA:
        decide_received(daemon, from_id, bytes, size);
        return;
    case FRAME_CHANNEL_GREETING:
    case FRAME_CHANNELS:
        return;
    }
    UNREACHABLE();
}

static void on_peer_up(void *owner, uint64_t id)
{
    struct daemon *daemon = owner;

    log_debug("peer %016llx is connected", (unsigned long long)id);
    consensus_feed(
        daemon, &(struct raft_event){.kind = RAFT_EVENT_PEER_FOUND, .member_id = id}, NULL);
}

static void on_peer_down(void *owner, uint64_t id, const struct err *why)
{
    struct daemon *daemon = owner;

    log_debug("peer %016llx: %s", (unsigned long long)id, why->text);
    consensus_feed(
        daemon, &(struct raft_event){.kind = RAFT_EVENT_PEER_LOST, .member_id = id}, NULL);
}

static void on_mesh_closed(void *owner)
{
    daemon_closed_part(owner);
}

static const struct mesh_events mesh_events = {
    .received = on_received,
    .peer_up = on_peer_up,
    .peer_down = on_peer_down,
    .closed = on_mesh_closed,
};

/* Feeding. */

void consensus_feed(
    struct daemon *daemon, const struct raft_event *event, struct driver_result *result)
{
    struct raft_event timed = *event;

    if (daemon->closing) {
        return;
    }
    timed.now_ms = clock_boot_ms();
    driver_feed(&daemon->driver, &timed, result);
    consensus_housekeeping(daemon);
    decide_event(daemon, (struct ha_event){.kind = HA_EVENT_TICK});
}

static void tell_identity(struct daemon *daemon)
{
    const uint64_t cluster_id = raft_cluster_id(daemon->raft);

    if (cluster_id != daemon->mesh_cluster) {
        daemon->mesh_cluster = cluster_id;
        mesh_set_identity(daemon->mesh, cluster_id, raft_incarnation(daemon->raft));
    }
}

/* Listed partners, members, and those who said hello: a connection is kept to each. */
static void tell_peers(struct daemon *daemon, bool always)
{
    const struct raft_config *config = raft_config(daemon->raft);
    struct raft_stranger strangers[RAFT_MEMBERS_MAX];
    const uint32_t stranger_count = raft_strangers(daemon->raft, strangers, RAFT_MEMBERS_MAX);
    const char *addresses[CONF_PARTNERS_MAX + 2 * RAFT_MEMBERS_MAX];
    uint32_t count = 0;

    if (!always && config->index == daemon->peers_index && config->term == daemon->peers_term &&
        stranger_count == daemon->peers_strangers) {
        return;
    }
    daemon->peers_index = config->index;
    daemon->peers_term = config->term;
    daemon->peers_strangers = stranger_count;
    for (uint32_t i = 0; i < daemon->partner_count; i++) {
        addresses[count++] = daemon->partners[i];
    }
    for (uint32_t i = 0; i < config->count; i++) {
        addresses[count++] = config->members[i].address;
    }
    for (uint32_t i = 0; i < stranger_count; i++) {
        addresses[count++] = strangers[i].member.address;
    }
    mesh_set_peers(daemon->mesh, addresses, count);
}

static void take_snapshot(struct daemon *daemon)
{
    const uint64_t applied = raft_applied_index(daemon->raft);
    size_t size;

    if ((raft_log_entries(daemon->raft) < SNAPSHOT_ENTRIES &&
         raft_log_bytes(daemon->raft) < RAFT_LOG_BYTES_MAX / 2) ||
        applied <= raft_snapshot(daemon->raft)->index || applied < daemon->snapshot_index + 32) {
        return;
    }
    daemon->snapshot_index = applied;
    size = cluster_encode(ha_cluster(daemon->ha), daemon->frame, DAEMON_FRAME_MAX);
    ASSERT(size > 0 && size <= RAFT_SNAPSHOT_BYTES_MAX);
    driver_feed(
        &daemon->driver,
        &(struct raft_event){
            .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
            .now_ms = clock_boot_ms(),
            .index = applied,
            .data = daemon->frame,
            .size_bytes = (uint32_t)size,
        },
        NULL);
}

/* A voter stays out for good: its store looks like that of a member, and it is none. */
static void tell_left_out(struct daemon *daemon)
{
    if (raft_leader(daemon->raft) != 0) {
        daemon->left_out_told = false;
    } else if (
        !daemon->left_out_told && raft_is_voter(daemon->raft) && raft_is_left_out(daemon->raft)) {
        daemon->left_out_told = true;
        log_error(
            "this node was removed from cluster \"%s\": its members do not count it in, and it "
            "takes "
            "no part; to let it join again stop it, empty \"%s\" and start it, otherwise stop it "
            "for "
            "good",
            daemon->conf.conf.scope, daemon->data_dir);
    }
}

void consensus_housekeeping(struct daemon *daemon)
{
    if (daemon->closing) {
        return; /* The step before was the last one. */
    }
    tell_identity(daemon);
    tell_peers(daemon, false);
    tell_left_out(daemon);
    take_snapshot(daemon);
}

/* Opening. */

static void fill_settings(const struct daemon *daemon, struct raft_settings *settings)
{
    const struct conf_raft *conf = &daemon->conf.conf.raft;

    memset(settings, 0, sizeof *settings);
    text_copy_cut(settings->self_address, sizeof settings->self_address, daemon->self_address);
    settings->seed_count = daemon->partner_count;
    memcpy(settings->seeds, daemon->partners, sizeof daemon->partners);
    settings->heartbeat_ms = (uint64_t)conf->heartbeat_ms;
    settings->election_min_ms = 5 * settings->heartbeat_ms;
    settings->election_max_ms = 10 * settings->heartbeat_ms;
    settings->random_seed = clock_random_u64();
    settings->new_cluster_id = clock_random_u64() | 1;
}

/* "host:port" of a setting. */
static enum status join_address(
    const struct conf_address *address, const char *key, char *text, struct err *err)
{
    const int length =
        snprintf(text, RAFT_ADDRESS_SIZE, "%s:%u", address->host, (unsigned)address->port);

    return length > 0 && length < RAFT_ADDRESS_SIZE
               ? STATUS_OK
               : ERR(err, INVALID, "%s: longer than %d characters", key, RAFT_ADDRESS_SIZE - 1);
}

static enum status join_addresses(struct daemon *daemon, char *bind_address, struct err *err)
{
    const struct conf_raft *raft = &daemon->conf.conf.raft;
    enum status status =
        join_address(&raft->self_addr, "raft.self_addr", daemon->self_address, err);

    if (status == STATUS_OK) {
        status = join_address(&raft->bind_addr, "raft.bind_addr", bind_address, err);
    }
    for (uint32_t i = 0; status == STATUS_OK && i < raft->partner_addrs.count; i++) {
        status = join_address(
            &raft->partner_addrs.items[i], "raft.partner_addrs",
            daemon->partners[daemon->partner_count++], err);
    }
    return status;
}

static enum status load(
    const char *dir, struct store_lmdb **db, struct store_image **image, struct err *err)
{
    enum status status = store_lmdb_open(&(struct store_lmdb_settings){.dir = dir}, db, err);

    if (status == STATUS_OK) {
        status = store_lmdb_load(*db, image, err);
    }
    return status;
}

static enum status start_empty(
    const char *dir, struct store_lmdb **db, struct store_image **image, struct err *err)
{
    enum status status;

    store_image_destroy(*image);
    store_lmdb_close(*db);
    *image = NULL;
    *db = NULL;
    status = store_lmdb_reset(dir, err);
    return status == STATUS_OK ? load(dir, db, image, err) : status;
}

/* Opens the store; one that is damaged is set aside, and this node comes back under a new
 * incarnation. Whether it was rolled back is for the core to say, which is given the mark. */
static enum status open_store(
    struct daemon *daemon, struct store_lmdb **db, struct store_image **image, struct err *err)
{
    const char *dir = daemon->conf.conf.raft.data_dir;
    enum status status = load(dir, db, image, err);

    if (status == STATUS_CORRUPT) {
        log_error("raft store: %s; it is set aside, and this node joins again", err->text);
        status = start_empty(dir, db, image, err);
    }
    if (status == STATUS_OK) {
        const enum status read = mark_read(dir, &(*image)->loaded.mark, err);

        if (read != STATUS_OK && read != STATUS_NOT_FOUND) {
            log_warning("%s", err->text);
        }
    }
    return status;
}

enum status consensus_open(struct daemon *daemon, struct err *err)
{
    const struct conf *conf = &daemon->conf.conf;
    struct raft_settings settings;
    struct ha_settings ha_settings;
    struct store_lmdb *db = NULL;
    struct store_image *image = NULL;
    char bind_address[RAFT_ADDRESS_SIZE];
    enum status status;

    status = join_addresses(daemon, bind_address, err);
    if (status != STATUS_OK) {
        return status;
    }
    fill_settings(daemon, &settings);
    decide_settings(daemon, &ha_settings);
    daemon->ha = ha_init(malloc(ha_size()), &ha_settings, clock_boot_ms());

    status = file_make_dirs(conf->raft.data_dir, 0700, err);
    if (status != STATUS_OK) {
        goto out;
    }
    status = open_store(daemon, &db, &image, err);
    if (status != STATUS_OK) {
        goto out;
    }
    daemon->raft_memory = malloc(raft_size());
    daemon->held = calloc(DRIVER_HELD_MAX, sizeof *daemon->held);
    ASSERT(daemon->raft_memory != NULL && daemon->held != NULL);
    daemon->raft = raft_init(daemon->raft_memory, &settings, &image->loaded, clock_boot_ms());

    status = store_uv_open(
        &daemon->loop, &(struct store_uv_settings){.db = db, .mark_dir = conf->raft.data_dir},
        &store_events, daemon, &daemon->store, err);
    if (status != STATUS_OK) {
        goto out;
    }
    db = NULL;
    driver_init(
        &daemon->driver, daemon->raft, store_uv_store(daemon->store), &driver_ops, daemon,
        daemon->held);
    status = mesh_open(
        &daemon->loop,
        &(struct mesh_settings){
            .bind_addr = bind_address,
            .self_addr = daemon->self_address,
            .password = conf->raft.password,
            .certfile = conf->raft.certfile,
            .keyfile = conf->raft.keyfile,
            .cafile = conf->raft.cafile,
            .insecure = conf->raft.insecure,
            .scope = conf->scope,
        },
        &mesh_events, daemon, &daemon->mesh, err);
    if (status != STATUS_OK) {
        goto out;
    }
    mesh_set_identity(daemon->mesh, raft_cluster_id(daemon->raft), raft_incarnation(daemon->raft));
    daemon->mesh_cluster = raft_cluster_id(daemon->raft);
    tell_peers(daemon, true);

out:
    store_image_destroy(image);
    store_lmdb_close(db);
    return status;
}

void consensus_close(struct daemon *daemon)
{
    if (daemon->mesh != NULL) {
        mesh_close(daemon->mesh);
    }
    if (daemon->store != NULL) {
        store_uv_close(daemon->store);
    }
}
