/*
 * pgctl/pgctl.h - one PostgreSQL instance: what we observe of it, what we can ask for.
 *
 * This is vocabulary, pure, shared by ha/ (which decides), by pgctl/local_uv.h (the
 * real thing) and by the simulator's model of PostgreSQL. Facts are pushed whenever
 * they change; actions are asked for one at a time and end in exactly one result.
 */
#ifndef PGBATON_PGCTL_PGCTL_H
#define PGBATON_PGCTL_PGCTL_H

#include <stdbool.h>
#include <stdint.h>

#include "pgctl/position.h"

#define PG_NAME_SIZE 64
#define PG_HOST_SIZE 128
#define PG_TEXT_SIZE 160

enum pg_data {
    PG_DATA_UNKNOWN, /* Not looked at yet. */
    PG_DATA_EMPTY,   /* No directory, or nothing in it. */
    PG_DATA_VALID,   /* A control file that can be read. */
    PG_DATA_PARTIAL, /* An initdb, clone or rewind that did not end: must be made anew. */
    PG_DATA_BROKEN,  /* Something else is in there, or it cannot be read: hands off. */
};

/* The state of the server process; `member state` of the outside is derived from it. */
enum pg_run {
    PG_RUN_UNKNOWN,
    PG_RUN_STOPPED,  /* No process of the tree is left. */
    PG_RUN_STARTING, /* Does not accept connections yet. */
    PG_RUN_UP,       /* Accepts connections (or did, and all slots are taken). */
    PG_RUN_STOPPING,
    PG_RUN_DYING, /* The postmaster is gone, some process of its tree is not. */
};

/*
 * The daemon's own record in the data directory, synced before it matters; it travels
 * with a clone or rewind and is given a new data_dir_id there. It says which epoch's
 * first commit the WAL in this directory contains: `marker_epoch`, or `follow_epoch`
 * once the WAL has come past follow_lsn on follow_timeline while streaming from the
 * grantee of follow_epoch.
 */
struct pg_record {
    uint64_t data_dir_id; /* Random; 0: there is no record. */
    uint64_t marker_epoch;
    uint64_t follow_epoch;
    uint32_t follow_timeline;
    uint64_t follow_lsn;
    bool partial; /* A clone or rewind is under way or was broken off. */
};

struct pg_replica {
    char application_name[PG_NAME_SIZE];
    char user_name[PG_NAME_SIZE];
    char client_address[PG_NAME_SIZE];
    char state[16];
    char sync_state[16];
    int sync_priority;
    uint64_t flush_lsn; /* 0 if null */
    uint64_t replay_lsn;
};

#define PG_REPLICAS_MAX 16

struct pg_facts {
    enum pg_data data;
    uint64_t system_identifier; /* From the control file; 0 unknown. */
    struct pg_record record;

    enum pg_run run;
    uint64_t start_id;   /* Of the guard: new for every start of a postmaster; 0 none. */
    bool writable_start; /* It was started or promoted under `start_epoch`. */
    uint64_t start_epoch;
    bool crashed; /* STOPPED without having been asked to. */
    uint64_t stopped_since_ms;

    /* From the control file, while STOPPED. */
    bool shut_down_cleanly;         /* "shut down" or "shut down in recovery". */
    bool was_primary;               /* State "in production" or "shut down", no standby.signal. */
    struct pg_position control_end; /* Checkpoint's redo or min recovery point: end that is sure. */
    struct pg_position wal_end; /* End of valid WAL found in the files; lsn 0: not determined. */
    uint64_t redo_bytes;        /* From the last checkpoint's redo to wal_end. */

    /* From SQL, while UP. */
    bool sql_ok; /* The status query succeeded lately. */
    /* Since when it lives and answers nothing, no connection and no query; 0: it answers. */
    uint64_t hung_since_ms;
    bool in_recovery;
    bool writable;               /* Not in recovery and the marker of start_epoch is written. */
    struct pg_position position; /* Primary: written and flushed. Standby: the greater of received
                                    and replayed; timeline of the WAL that was received last. */
    uint64_t received_lsn;       /* Flushed by the receiver; 0 null. */
    uint64_t replayed_lsn;
    int64_t replayed_wall_ms; /* Commit time of the last replayed transaction; 0 null. */
    bool replay_paused;
    bool replay_idle; /* The startup process waits for more WAL: all that is here is replayed. */
    bool receiver_running;   /* A WAL receiver process exists. */
    char receiver_state[16]; /* "streaming", ... */
    bool conninfo_set;       /* primary_conninfo or restore_command is in a file or in effect. */
    uint64_t marker_lsn;     /* Primary: where the first commit of start_epoch ended. */
    uint32_t server_version; /* 150018 */
    uint64_t postmaster_start_wall_ms;
    bool pending_restart;
    char pending_restart_reason[512]; /* JSON object text as in compat, "" if none */
    uint32_t replica_count;           /* pg_stat_replication of this server. */
    struct pg_replica replicas[PG_REPLICAS_MAX];

    char progress[PG_TEXT_SIZE]; /* Of a clone, rewind, replay: "35 % of 12 GB"; "" if none. */
    uint64_t progress_ms;        /* When it last moved. */

    /* Guard. */
    bool guard_ok;
    uint64_t guard_epoch;  /* Armed for it; 0 disarmed. */
    uint64_t guard_fenced; /* Highest epoch whose fence has begun; 0 none. */
    uint32_t guard_rings;  /* GUARD_RING_* bits of guard_proto.h. */
    bool watchdog_failed;  /* Required and unusable. */
};

enum pg_action_kind {
    PG_ACTION_NONE,
    PG_ACTION_INITDB,        /* Creates the cluster's first data directory; does not start it. */
    PG_ACTION_START_STANDBY, /* Without upstream: no primary_conninfo, no restore_command. */
    PG_ACTION_START_PRIMARY, /* Writable, under `epoch`; then writes the marker. */
    PG_ACTION_PROMOTE, /* Replay finished, pre_promote run, promoted under `epoch`, marker written.
                        */
    PG_ACTION_FOLLOW,  /* Point the standby at `upstream`, by reload where possible. */
    PG_ACTION_CUT, /* Remove primary_conninfo and restore_command everywhere, end the receiver. */
    /* Of a planned stop all that may take long, while it serves: CHECKPOINT, then before_stop. The
     * one action that not only STOP but any other may take the place of. */
    PG_ACTION_PREPARE_STOP,
    PG_ACTION_STOP,          /* `stop`; ends when no process of the tree is left. */
    PG_ACTION_REWIND,        /* From `upstream`; server stopped. On failure data becomes PARTIAL. */
    PG_ACTION_CLONE,         /* Empties the directory, base backup from `upstream`. */
    PG_ACTION_RELOAD,        /* Write the configuration files anew and reload. */
    PG_ACTION_BOOTSTRAP_SQL, /* After initdb, writable: roles, users, post_bootstrap. */
};

enum pg_stop {
    PG_STOP_FAST,
    PG_STOP_IMMEDIATE,
    PG_STOP_KILL, /* Every process, now. */
};

struct pg_upstream {
    uint64_t node; /* Raft id. */
    char name[PG_NAME_SIZE];
    char host[PG_HOST_SIZE];
    uint16_t port;
    uint64_t epoch;      /* It is the grantee of this epoch ... */
    uint32_t timeline;   /* ... on this timeline ... */
    uint64_t marker_lsn; /* ... and its first commit ended here. Into pg_record.follow_*. */
};

struct pg_action {
    enum pg_action_kind kind;
    uint64_t id; /* From 1, growing. */
    uint64_t epoch;
    /* START_PRIMARY, PROMOTE: the guard is armed with these before anything starts. */
    uint64_t fence_at_ms;
    uint64_t deadline_ms;
    enum pg_stop stop;
    bool prepared;        /* STOP: PREPARE_STOP came before it, before_stop is not run again. */
    bool basebackup_only; /* CLONE: by no other method of the settings. */
    struct pg_upstream upstream;
    uint64_t system_identifier; /* CLONE, FOLLOW: refuse another one. */
};

enum pg_result {
    PG_RESULT_OK,
    PG_RESULT_FAILED,  /* See text; may be tried again. */
    PG_RESULT_REFUSED, /* By the guard, by pre_promote, by another system identifier. */
    PG_RESULT_CANCELLED,
};

struct pg_action_done {
    uint64_t id;
    enum pg_action_kind kind;
    enum pg_result result;
    struct pg_position
        position; /* STOP: end of WAL (the shutdown checkpoint's end when clean);
                     START_PRIMARY, PROMOTE: timeline and end of the marker commit. */
    char text[PG_TEXT_SIZE];
};

/*
 * Slots that should exist on this server: one per other member that runs PostgreSQL, on the
 * primary and on standbys alike, where they keep the WAL that a member lacks after a failover.
 */
#define PG_SLOTS_MAX 16
struct pg_slot {
    char name[PG_NAME_SIZE];
    bool absent;  /* Nothing is heard of the member: kept for member_slots_ttl. */
    uint64_t lsn; /* On a standby it is moved on to here: the member has the WAL before; 0: no. */
};

struct pg_slots {
    uint32_t count;
    struct pg_slot items[PG_SLOTS_MAX];
};

/* Callbacks of the settings: on_start, on_stop, on_restart, on_reload, on_role_change. */
enum pg_callback {
    PG_CALLBACK_NONE,
    PG_CALLBACK_START,
    PG_CALLBACK_STOP,
    PG_CALLBACK_RESTART,
    PG_CALLBACK_RELOAD,
    PG_CALLBACK_ROLE_CHANGE,
};

const char *pg_data_name(enum pg_data data);
const char *pg_run_name(enum pg_run run);
const char *pg_action_name(enum pg_action_kind kind);
const char *pg_result_name(enum pg_result result);

/* The replication slot's name for a member's name (lower case, - and . to _, others u<code>). */
void pg_slot_name(const char *member, char *slot, unsigned long size);

#endif
