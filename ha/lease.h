/*
 * ha/lease.h - lease rounds: the voter's conditions and the holder's count.
 *
 * Pure. Rounds go from the grantee straight to every member, without the log: while a
 * majority of voters answers, the primary serves, whoever leads Raft and whatever the
 * log's disks do. A lease lasts from the *send* time of its newest completed round, and
 * a voter that has answered one node lets `ttl` pass before it answers another node in a
 * newer epoch: so every majority that answers epoch e+1 has a voter in common with every
 * one that answered e, and no two leases overlap. Spans are shortened for what must end,
 * lengthened for what waits (base/time.h).
 */
#ifndef PGBATON_HA_LEASE_H
#define PGBATON_HA_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "ha/cluster.h"
#include "ha/message.h"

/* The voter's memory of its own answers. It is lost with the process; the wait after a start
 * makes up for that. */
struct lease_voter {
    uint64_t start_ms;           /* Of this daemon, or since it is a member. */
    uint64_t forgotten_until_ms; /* Of answers for which there was no place; 0: none. */
    uint32_t count;
    struct lease_answer {
        uint64_t node;
        uint64_t epoch;    /* Newest epoch of the node that was answered. */
        uint64_t until_ms; /* By then every lease that these answers gave has ended. */
    } answers[CLUSTER_MEMBERS_MAX];
};

/* What the log of this node says, on disk and applied; filled by ha.c from its log view. */
struct lease_log {
    uint64_t epoch;        /* Highest in the log, committed or not, durable or not. */
    bool holds_grant;      /* The entry that grants the round's epoch is in it, on disk ... */
    bool holds_serving;    /* ... and so is SERVING of that epoch. */
    bool fenced;           /* That grant is fenced. */
    uint64_t ttl_max_ms;   /* Largest ttl the log names. */
    bool position_checked; /* Compared with a majority since the start. */
};

enum lease_verdict {
    LEASE_ANSWER,
    LEASE_REFUSE_NOT_CHECKED, /* This store was not yet compared with the others. */
    LEASE_REFUSE_NEWER_EPOCH, /* The log holds something of a higher epoch. */
    LEASE_REFUSE_NO_GRANT,    /* That very grant is not in the log. */
    LEASE_REFUSE_TTL,         /* A longer ttl than the log names. */
    LEASE_REFUSE_WAIT,        /* An older lease of another node may still run. */
};

void lease_voter_init(struct lease_voter *voter, uint64_t now_ms);

/* Judges a round of `epoch` by `node`; if the verdict is LEASE_ANSWER it is remembered as given. */
enum lease_verdict lease_voter_judge(
    struct lease_voter *voter, const struct lease_log *log, uint64_t node, uint64_t epoch,
    uint64_t ttl_ms, uint64_t now_ms);

/* When condition (iii) would be met for `node` in `epoch`; 0 if it is. Fencing not considered. */
uint64_t lease_voter_wait_until(
    const struct lease_voter *voter, uint64_t node, uint64_t epoch, bool holds_serving,
    uint64_t ttl_max_ms);

const char *lease_verdict_name(enum lease_verdict verdict);

#define LEASE_ROUNDS_MAX 64 /* In flight; older ones could hardly extend anything. */

/* The grantee's side. */
struct lease_holder {
    uint64_t epoch; /* 0: no grant is held. */
    uint64_t grant_term;
    uint64_t grant_index;
    uint64_t start_id;
    uint64_t number;           /* Of the newest round sent. */
    uint64_t completed_number; /* Of the newest one completed. */
    uint64_t completed_sent_ms;
    uint64_t expires_ms; /* 0: no lease was ever taken for this grant. */
    uint64_t next_send_ms;
    struct lease_flight {
        uint64_t number;
        uint64_t sent_ms;
        uint64_t ttl_ms;
        uint32_t count;
        uint64_t answered[CLUSTER_MEMBERS_MAX];
    } flights[LEASE_ROUNDS_MAX];
};

/* The membership in which a lease counts: the newest of the log. */
struct lease_members {
    uint32_t voter_count;
    uint64_t voters[CLUSTER_MEMBERS_MAX];
    /* failsafe_mode: every member that runs PostgreSQL, in the last decided membership and in
     * every later one; 0 when the mode is off. */
    uint32_t failsafe_count;
    uint64_t failsafe[2 * CLUSTER_MEMBERS_MAX];
};

void lease_holder_init(struct lease_holder *holder, uint64_t start_id);

/* Another grant: rounds of an older one are forgotten, round numbers go on. */
void lease_holder_grant(struct lease_holder *holder, const struct cluster_grant *grant);
void lease_holder_drop(struct lease_holder *holder);

/* Opens the next round, sent at `now_ms`. */
void lease_holder_send(
    struct lease_holder *holder, uint64_t ttl_ms, uint64_t now_ms, struct ha_round *round);

/* True if the answer completed a round newer than all before: expires_ms has grown. */
bool lease_holder_answer(
    struct lease_holder *holder, uint64_t node, const struct ha_round *round,
    const struct lease_members *members, uint64_t now_ms);

bool lease_holder_runs(const struct lease_holder *holder, uint64_t now_ms);

#endif
