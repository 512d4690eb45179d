/*
 * daemon/daemon_impl_uv.h - the composition root's struct, shared by the files of daemon/.
 *
 * One thread runs the loop and all logic. Adapters hand in events; each goes to the core it
 * is for, and what the cores ask for is carried out before the next event is looked at.
 * consensus_uv.c joins Raft's core, store and transport; decide_uv.c the ha part with
 * PostgreSQL and the guard; outside_uv.c the HTTP server. daemon_uv.c owns the loop.
 */
#ifndef PGBATON_DAEMON_DAEMON_IMPL_UV_H
#define PGBATON_DAEMON_DAEMON_IMPL_UV_H

#include <uv.h>

#include "conf/load_sys.h"
#include "ha/ha.h"
#include "ha/view.h"
#include "pgctl/local_uv.h"
#include "raft/driver.h"
#include "raft/mesh_uv.h"
#include "raft/raft.h"
#include "raft/store_uv.h"

#define DAEMON_FRAME_MAX (512u * 1024)

struct daemon {
    uv_loop_t loop;
    uv_timer_t wake;
    uv_timer_t calm; /* Memory is trimmed. */
    uv_signal_t on_term;
    uv_signal_t on_int;
    uv_signal_t on_hup;
    int exit_status;
    bool closing;
    uint64_t idle_ms; /* Spent waiting in the loop so far. */
    bool start_over;  /* Empty the store and begin anew: its memory was lost. */

    /* Settings. */
    const char *conf_path; /* NULL: from the environment alone. */
    struct conf_file conf;
    struct problems problems;
    char *initial_config; /* bootstrap.dcs as JSON text. */
    char self_address[RAFT_ADDRESS_SIZE];
    uint32_t partner_count;
    char partners[RAFT_MEMBERS_MAX][RAFT_ADDRESS_SIZE];
    char data_dir[1024]; /* raft.data_dir */
    char guard_path[1024];

    /* Consensus. */
    struct raft *raft;
    void *raft_memory;
    struct driver driver;
    struct driver_held *held;
    struct store_uv *store;
    struct mesh *mesh;
    uint64_t mesh_cluster; /* Identity and ... */
    uint64_t peers_index;  /* ... membership that the mesh was told last. */
    uint64_t peers_term;
    uint32_t peers_strangers;
    uint64_t snapshot_index; /* Of the snapshot that was asked for last. */
    bool left_out_told;      /* Since this node last had a leader. */

    /* Decisions. */
    struct ha *ha;
    struct ha_raft ha_raft; /* As ha was told last. */
    struct ha_update update;
    struct local *local; /* NULL on a witness. */
    bool stepping;       /* Inside ha_step() or what it asked for. */
    bool again;          /* The log moved meanwhile: step once more. */
    uint64_t ha_wake_ms;
    struct ha_dynamic dynamic;

    /* Outside. */
    struct api_server *api;
    struct ha_view view;

    /* Buffers, allocated once. */
    uint8_t *frame;           /* DAEMON_FRAME_MAX */
    struct command *command;  /* Decoded entries, one at a time ... */
    char *command_config;     /* ... and their text. */
    struct cluster *restored; /* A snapshot on its way into ha. */
    struct raft_message *raft_message;
    struct ha_message *ha_message;
    char *message_config;
    void *dynamic_memory;
};

/* consensus_uv.c */
MUST_CHECK enum status consensus_open(struct daemon *daemon, struct err *err);
void consensus_close(struct daemon *daemon);
void consensus_feed(
    struct daemon *daemon, const struct raft_event *event, struct driver_result *result);
void consensus_housekeeping(struct daemon *daemon);

/* Sends what is in `frame`; a peer that is down misses it. */
void daemon_send(struct daemon *daemon, uint64_t to, enum frame_channel channel, size_t size);

/* decide_uv.c */
void decide_settings(const struct daemon *daemon, struct ha_settings *settings);
MUST_CHECK enum status decide_dynamic(
    struct daemon *daemon, const char *json, size_t size, struct ha_dynamic *dynamic,
    struct err *err);
void decide_event(struct daemon *daemon, struct ha_event event);
void decide_received(struct daemon *daemon, uint64_t from, const uint8_t *bytes, uint32_t size);
MUST_CHECK enum status decide_open(struct daemon *daemon, struct err *err);

/* outside_uv.c */
MUST_CHECK enum status outside_open(struct daemon *daemon, struct err *err);
void outside_reload(struct daemon *daemon);
void outside_close(struct daemon *daemon);
void outside_replies(struct daemon *daemon, const struct ha_update *update);

/* daemon_uv.c */
void daemon_reload(struct daemon *daemon);
void daemon_arm(struct daemon *daemon);
void daemon_await_calm(struct daemon *daemon); /* Waits anew for a while without actions. */
void daemon_stop(struct daemon *daemon, int exit_status);
void daemon_closed_part(struct daemon *daemon);

#endif
