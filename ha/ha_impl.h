/*
 * ha/ha_impl.h - struct ha and what its files share; for ha/ and its tests only.
 */
#ifndef PGBATON_HA_HA_IMPL_H
#define PGBATON_HA_HA_IMPL_H

#include "ha/choose.h"
#include "ha/ha.h"
#include "ha/lease.h"
#include "ha/view.h"

#define HA_TAIL_MAX 1024 /* As many entries as Raft's log may hold. */
#define HA_ASKS_MAX 4

/* A checkpoint and a script of the user's, while the primary serves: that they take long harms
 * nobody, but they may hang, and somebody waits for the stop. As long as checkpoint_timeout is by
 * default: what gathers in that time can be written in it. */
#define HA_PREPARE_STOP_MS 300000

/* The same proposal is made again when it was not decided in this time, or not taken by Raft. */
#define HA_PROPOSE_AGAIN_MS 1000
#define HA_REFUSED_AGAIN_MS 20

/* One entry of the log that is not applied yet, as far as it matters here. */
struct ha_tail_entry {
    uint64_t index;
    uint64_t term;
    enum command_kind kind;
    uint64_t epoch;
    uint64_t ttl_ms;
    bool fenced;
    bool binding;
};

struct ha_peer {
    uint64_t id;
    uint64_t heard_ms; /* 0: never. */
    struct ha_status status;
    /* The newest epoch that it was writable in, and the most that it said to have written then: its
     * next daemon knows nothing of it. */
    uint64_t told_epoch;
    uint64_t told_lsn;
};

/* Something the outside waits for. */
struct ha_ask {
    uint64_t id; /* 0: free place. */
    uint64_t since_ms;
    uint64_t next_send_ms;
    struct command command;
    char config[CLUSTER_CONFIG_SIZE];
};

struct ha {
    struct ha_settings settings;
    struct ha_dynamic dynamic;
    uint64_t self;
    uint64_t now_ms;
    uint64_t wall_ms;
    uint64_t start_ms;

    /* The log. */
    struct cluster cluster;
    uint64_t applied_index;
    uint64_t serving_index; /* Entry that made cluster.last served; 0: a snapshot did. */
    uint64_t durable_index;
    uint32_t tail_count;
    struct ha_tail_entry tail[HA_TAIL_MAX];
    uint64_t phase_index;    /* Of the entry that made the present epoch and phase. */
    uint64_t phase_since_ms; /* When the newest grant, revoke or SERVING was applied here. */
    uint64_t granted_ms;     /* When the newest GRANT or HANDOVER was applied here. */

    struct ha_raft raft;
    uint64_t led_since_ms; /* Leader since; meaningful while raft.leader. */

    /* Lease. */
    struct lease_voter voter;
    struct lease_holder holder;
    bool lease_was_running;
    uint64_t seen_start_id; /* Of the primary: its newest completed round known here. */
    uint64_t seen_number;
    uint64_t seen_ms;

    /* The others. */
    uint32_t peer_count;
    struct ha_peer peers[CLUSTER_MEMBERS_MAX];

    /* PostgreSQL. */
    bool facts_known;
    struct pg_facts facts;
    struct pg_action action; /* In flight; kind NONE: none. */
    uint64_t action_since_ms;
    uint64_t action_id;
    uint64_t retry_ms; /* No new action before: the last one failed. */
    uint32_t failures; /* In a row, of the kind `failed_kind`. */
    enum pg_action_kind failed_kind;

    /* Reports; they go into the status. */
    uint64_t followed_epoch; /* This daemon has set the upstream of it. */
    uint64_t rewound_epoch;  /* pg_rewind was successful under it. */
    uint64_t cut_epoch;      /* The upstream was removed while this one was being decided. */
    uint64_t pledged_epoch;
    struct pg_position pledged_position;
    uint64_t ready_epoch;
    struct pg_position ready_at;
    uint64_t refused_epoch;
    uint64_t served_epoch; /* Of which somebody has told ... */
    uint64_t served_ms;    /* ... at this time that SERVING is in its log. */
    uint64_t failed_epoch;
    uint64_t failed_ms;
    char why_failed[PG_TEXT_SIZE];
    struct ha_stopped stopped;
    uint64_t bootstrapped_epoch; /* BOOTSTRAP_SQL was done under it. */
    bool initdb_failed;

    /* What this node alone was asked for. */
    uint64_t prepared_epoch; /* PREPARE_STOP was done under it ... */
    uint64_t prepared_ms;    /* ... at this time. */
    uint64_t stopping_epoch; /* A planned stop of this epoch's primary has begun ... */
    uint64_t stopping_ms;    /* ... at this time. */
    bool restart_wanted;
    uint64_t restart_reply;      /* Id of the request; 0: nobody waits. */
    uint64_t restart_start_id;   /* The server that is to be replaced, ... */
    uint64_t restart_gone_ms;    /* ... gone since; 0: not yet. */
    uint64_t restart_timeout_ms; /* 0: as configured. */
    struct ha_restart scheduled; /* The one restart for later. */
    uint64_t scheduled_start_id; /* The server that it was asked for. */
    bool reload_wanted;          /* PostgreSQL's files are to be written anew. */
    bool reinit_wanted;
    bool reinit_forced; /* What is under way is to be cancelled for it. */
    bool reinit_from_leader;
    bool leaving;
    uint64_t leaving_ms;
    bool fatal;

    /* Leader. */
    struct {
        uint64_t key;
        uint64_t at_ms;        /* 0: none under way. */
    } proposed[COMMAND_KINDS]; /* Not again before it is applied or some time has passed. */
    uint64_t request_id;       /* The pending request that ... */
    uint64_t request_due_ms;   /* ... is due since, as this leader saw it. */
    uint64_t suspected_epoch;  /* It was said why. */
    uint64_t majority_ms;      /* A majority has pledged since; 0: not yet. */
    uint64_t waits_over_ms;    /* The waits of a majority are nearly over since; 0: not yet. */
    uint64_t nobody_ms;        /* Nobody can be granted, the waits being over, since; 0: no. */
    uint64_t handover_ms;      /* A stopped report of the current epoch is known since; 0: no. */
    uint64_t regranted_ms;     /* The old primary was granted again at; 0: never. */
    uint64_t transfer_ms;
    uint64_t membership_ms;
    uint64_t named_alike;  /* This node cannot be a member: its name is taken. */
    uint64_t bootstrap_ms; /* Nothing stood in the way of a first epoch since; 0: not yet. */
    uint64_t ttl_index;    /* The change of ttl that the primary of ... */
    uint64_t ttl_epoch;    /* ... this epoch ... */
    uint64_t ttl_seen_ms;  /* ... knows since. */
    char no_grant_reason[CLUSTER_REASON_SIZE];

    /* Status. */
    uint64_t status_number;
    uint64_t status_sent_ms;
    struct ha_status status_sent;

    struct ha_ask asks[HA_ASKS_MAX];

    /* Role as the callbacks know it. */
    enum ha_member_role callback_role;
    uint64_t callback_start_id;
    bool config_dirty;
    struct pg_slots slots;
    uint64_t slots_told_ms;

    struct {
        uint32_t count;
        struct ha_note notes[HA_NOTES_MAX];
    } pending_notes;

    /* Update under construction. */
    struct ha_update *update;
    struct ha_message messages[HA_MESSAGES_MAX];
    struct command proposals[HA_PROPOSALS_MAX];
};

/* ha.c */
PRINTF(5, 6)
void ha_note(
    struct ha *ha, enum ha_note_kind kind, uint64_t epoch, uint64_t node, const char *format, ...);
struct ha_message *ha_message_new(struct ha *ha, enum ha_message_kind kind, uint64_t to);
const char *ha_name(const struct ha *ha, uint64_t node);
/* The shortest ttl that the log names: what rounds are sent with. Who waits takes the longest
 * (cluster_ttl_max()), so that no lease outlives a wait while the two stand side by side (rule 3).
 */
uint64_t ha_ttl(const struct ha *ha);
/* Every epoch, rule and membership entry that the log holds is applied (rule 19). */
bool ha_settled(const struct ha *ha);
/* The newest status of a node if it was heard within ttl / 2, this node's own included. */
const struct ha_status *ha_fresh_status(const struct ha *ha, uint64_t node);
const struct ha_status *ha_known_status(const struct ha *ha, uint64_t node);
/* Not heard for longer than a status takes to come, whatever the ttl. */
bool ha_is_absent(const struct ha *ha, uint64_t node);
/* The most that the node said to have written in this epoch, or since; 0: it was not heard. */
uint64_t ha_told_lsn(const struct ha *ha, uint64_t node, uint64_t epoch);
bool ha_is_voter(const struct ha *ha, uint64_t node);
/* As decided. Who is not known yet is taken for one that runs PostgreSQL. */
bool ha_is_witness(const struct ha *ha, uint64_t node);
bool ha_is_moving(const struct ha *ha);
/* How long a grantee may take to become writable. */
uint64_t ha_time_to_prepare(const struct ha *ha);
/* The applied grant names this node. Enough to go on serving: whether the lease goes on is for the
 * voters' logs to say, and a log that cannot decide must not stop a primary. */
bool ha_is_granted(const struct ha *ha);
/* The applied grant names this node, nothing newer is in the log, and all of it is applied. */
bool ha_is_mine(const struct ha *ha);
/* rounds.c: lease rounds, both sides, and suspicion. */
void rounds_receive(struct ha *ha, const struct ha_message *message);
void rounds_answer(struct ha *ha, const struct ha_message *message);
void rounds_tick(struct ha *ha);
bool rounds_suspect(const struct ha *ha);
uint64_t rounds_silent_ms(const struct ha *ha);
uint64_t rounds_wait_left(const struct ha *ha);
uint64_t rounds_wake(const struct ha *ha);
uint64_t rounds_kill_budget(const struct ha *ha);

/* status.c */
enum ha_member_role member_role_now(const struct ha *ha);
void status_fill(struct ha *ha, struct ha_status *status);
void status_receive(struct ha *ha, const struct ha_message *message);
void status_tick(struct ha *ha);

/* postgres.c: what this node's PostgreSQL should do. */
void postgres_facts(struct ha *ha, const struct pg_facts *facts);
void postgres_done(struct ha *ha, const struct pg_action_done *done);
void postgres_tick(struct ha *ha);
bool postgres_is_measured(const struct ha *ha);
/* Where the WAL of the running server ends, on the timeline that its marker proves at least. */
struct pg_position postgres_position(const struct ha *ha);
bool postgres_needs_bootstrap(const struct ha *ha);
/* The grantee could not become writable: the leader has to choose somebody else. */
void postgres_give_up_grant(struct ha *ha, uint64_t epoch, const char *why);
void postgres_applied(struct ha *ha);
void action_start(struct ha *ha, struct pg_action action, const char *why);
bool action_may_start(const struct ha *ha);

/* local.c: what only this node was asked for. */
void local_ask(struct ha *ha, const struct ha_local *local);
void local_tick(struct ha *ha);
void local_restart_failed(struct ha *ha);

/* grantee.c, standby.c: the two halves of postgres.c. */
void grantee_plan(struct ha *ha);
/* How long a planned stop may take before it is made an immediate one. */
uint64_t grantee_stop_patience(const struct ha *ha);
void standby_plan(struct ha *ha);

/* leader.c: change of primary. */
void leader_tick(struct ha *ha);

/* upkeep.c: members, configuration, ttl, where Raft's leadership belongs. */
void upkeep_tick(struct ha *ha);

/* Rule 15: this node is the serving primary, and its lease runs. */
bool upkeep_serves(const struct ha *ha);

/* asks.c */
void asks_add(struct ha *ha, const struct command *command);
void asks_forwarded(struct ha *ha, const struct ha_message *message);
void asks_refused(struct ha *ha, const struct ha_message *message);
void asks_tick(struct ha *ha);
void asks_reply(struct ha *ha, uint64_t id, uint32_t code, const char *text);
/* Leader: proposes unless the same thing is already on its way. */
bool leader_propose(struct ha *ha, const struct command *command);

#endif
