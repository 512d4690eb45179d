/*
 * ha/message.h - what the nodes tell each other outside the log.
 *
 * Nothing in here is ever written to disk. A status is the whole of what a node has
 * to say, so the newest one is enough and a lost one does no harm.
 */
#ifndef PGBATON_HA_MESSAGE_H
#define PGBATON_HA_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "ha/cluster.h"
#include "pgctl/pgctl.h"

#define HA_TAGS_SIZE 512

enum ha_message_kind {
    HA_MESSAGE_NONE,
    HA_MESSAGE_RENEW,   /* Grantee to every member: one round of the lease. */
    HA_MESSAGE_ANSWER,  /* Member to grantee. */
    HA_MESSAGE_STATUS,  /* Everybody to everybody, each second and when something changed. */
    HA_MESSAGE_FORWARD, /* A command somebody asked for, to the leader. */
    HA_MESSAGE_REFUSED, /* The leader to who forwarded: it will not be proposed, and why. */
    HA_MESSAGE_KINDS,
};

/* A round is named by all of it: an old answer is never taken for a new one. */
struct ha_round {
    uint64_t epoch;
    uint64_t grant_term;
    uint64_t grant_index;
    uint64_t start_id; /* Drawn at every start of the grantee's daemon. */
    uint64_t number;   /* From 1. */
};

enum ha_member_role {
    HA_ROLE_UNINITIALIZED,
    HA_ROLE_REPLICA,
    HA_ROLE_PROMOTED, /* Promotion asked for, not done. */
    HA_ROLE_PRIMARY,
    HA_ROLE_DEMOTED,
    HA_ROLE_WITNESS,
};

/* `member state` of the outside (compat: numbers are an interface of the metrics). */
enum ha_member_state {
    HA_STATE_INITDB = 0,
    HA_STATE_INITDB_FAILED = 1,
    HA_STATE_CUSTOM_BOOTSTRAP = 2,
    HA_STATE_CUSTOM_BOOTSTRAP_FAILED = 3,
    HA_STATE_CREATING_REPLICA = 4,
    HA_STATE_RUNNING = 5,
    HA_STATE_STARTING = 6,
    HA_STATE_START_FAILED = 8,
    HA_STATE_RESTARTING = 9,
    HA_STATE_RESTART_FAILED = 10,
    HA_STATE_STOPPING = 11,
    HA_STATE_STOPPED = 12,
    HA_STATE_STOP_FAILED = 13,
    HA_STATE_CRASHED = 14,
};

/* "The PostgreSQL that I ran writable in `epoch` is gone: no process of it is left." */
struct ha_stopped {
    uint64_t epoch;         /* 0: nothing to report. */
    bool planned;           /* For a switchover or restart; else it died. */
    bool restart;           /* Wants to go on itself. */
    struct pg_position end; /* End of its WAL; lsn 0: not known (yet). */
    bool end_final;         /* The end was read from the files: nothing is behind it. */
    uint64_t redo_bytes;    /* What a start in place would have to replay. */
};

#define HA_ROLE_SIZE 16

/* When, on what conditions and how this node's PostgreSQL is restarted. */
struct ha_restart {
    uint64_t at_wall_ms;     /* 0: now; where one is kept for later, that there is none. */
    bool pending_only;       /* Only if settings wait for a restart. */
    char role[HA_ROLE_SIZE]; /* Only a "primary" or a "replica"; "": either. */
    uint32_t below_version;  /* Only a server older than that, 150004; 0: any. */
    uint64_t timeout_ms;     /* To be up again when the old server is gone; 0: as configured. */
};

struct ha_status {
    uint64_t start_id;
    uint64_t start_wall_ms;       /* Tells which of two starts is the older, and nothing else. */
    uint64_t number;              /* Grows with every status of this start. */
    struct cluster_member member; /* Who I am: into the state if it differs. */

    /* Log. */
    uint64_t log_epoch; /* Highest epoch in my log on disk: my pledge as a voter. */
    uint64_t applied_index;
    bool position_checked;

    /* Lease, as seen from here. */
    uint64_t suspects_epoch; /* No completed round of this epoch for ttl / 2; 0: all well. */
    uint64_t silent_ms;      /* Since the newest completed round known here. */
    uint64_t wait_left_ms;   /* Until my own wait (iii) is over; 0: it is. */

    /* PostgreSQL. */
    enum pg_data data;
    enum pg_run run;
    uint64_t system_identifier;
    bool writable;
    uint64_t writable_epoch; /* Started or promoted under; 0 none. */
    bool in_recovery;
    struct pg_position position;
    uint64_t received_lsn;
    uint64_t replayed_lsn;
    int64_t replayed_wall_ms;
    bool receiver_running;
    bool streaming;
    bool replay_paused;
    uint64_t marker_epoch; /* Newest epoch whose first commit is in my WAL. */
    uint64_t follows_epoch;
    char progress[PG_TEXT_SIZE];
    uint64_t progressed_ago_ms;

    /* The standby's half of the pledge: nothing of an older primary comes in any more. */
    uint64_t pledged_epoch;
    struct pg_position pledged_position;

    /* The grantee's reports. */
    uint64_t ready_epoch; /* Writable under it, first commit written at ... */
    struct pg_position ready_at;
    uint64_t refused_epoch; /* Cannot take this grant: too little WAL, another data directory. */
    struct ha_stopped stopped;

    /* For choice and show. */
    bool nofailover;
    int32_t failover_priority;
    bool noloadbalance;
    bool clonefrom;
    bool can_bootstrap;
    bool watchdog_failed;
    uint32_t guard_rings;
    uint32_t server_version;
    enum ha_member_state state;
    enum ha_member_role role;
    bool pending_restart;
    bool leaving;  /* The daemon is being stopped. */
    bool stopping; /* A planned stop of the primary that I am is prepared or under way. */
    struct ha_restart restart; /* That is scheduled here. */
    uint64_t failed_epoch;     /* Tried this grant and failed: left out until facts change. */
    char why_failed[PG_TEXT_SIZE];
    char pending_restart_reason[512];
    char tags[HA_TAGS_SIZE]; /* JSON object text. */
    char version[16];        /* Of the daemon. */
};

struct ha_message {
    enum ha_message_kind kind;
    uint64_t from;
    uint64_t to;
    struct ha_round round;     /* RENEW, ANSWER */
    uint64_t completed_number; /* RENEW: newest round of this start that was completed; 0 none. */
    uint64_t ttl_ms;           /* RENEW */
    bool served;               /* ANSWER: SERVING of that epoch is in my log, on disk. */
    struct ha_status status;   /* STATUS */
    uint64_t forward_id;       /* FORWARD, REFUSED */
    struct command command;    /* FORWARD: REQUEST_SET, REQUEST_CLEAR, CONFIG_SET, MEMBER_REMOVE. */
    struct cluster_outcome refusal; /* REFUSED */
};

#endif
