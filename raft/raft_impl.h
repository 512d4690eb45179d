/*
 * raft/raft_impl.h - struct raft, and what the files of the core share; for raft/ and
 * its tests only.
 *
 * Reading order: raft.c (a step from end to end), election.c, leader.c, follower.c,
 * member.c, read.c, form.c. All of them work on the one struct and put what has to
 * happen into the update of the running step. The rules that hold everywhere:
 *
 * - applied <= min(commit, durable) <= last index. What is handed to the state machine
 *   is on this node's own disk: a restart never shows less than what was acted on.
 * - A message carries the sender's term; as long as that term (or vote, or cluster id)
 *   is not durable, no message leaves. raft.c sees to it for all kinds at once.
 * - Messages that borrow the log's memory are made at the end of a step, after
 *   everything that could move it.
 */
#ifndef PGBATON_RAFT_RAFT_IMPL_H
#define PGBATON_RAFT_RAFT_IMPL_H

#include "raft/config.h"
#include "raft/entries.h"
#include "raft/quorum.h"
#include "raft/raft.h"

#define RAFT_PEERS_MAX     (3 * RAFT_MEMBERS_MAX) /* Seeds, members, and as many strangers. */
#define RAFT_IN_FLIGHT_MAX 32

/* Kept free for what must always fit: the entries that open terms, and memberships. */
#define RAFT_SPARE_ENTRIES 256u
#define RAFT_SPARE_BYTES   (64u * 1024)

/* Entries kept in front of a snapshot, so that a slow follower needs none. */
#define RAFT_TRAILING_ENTRIES 64u
#define RAFT_TRAILING_BYTES   (RAFT_LOG_BYTES_MAX / 4)

#define RAFT_BATCH_BYTES      (256u * 1024) /* A batch is closed when it has reached this. */
#define RAFT_BATCHES_PER_STEP 2             /* To one peer; the answers fetch more. */

#define RAFT_HELLO_MS         1000u
#define RAFT_HELLO_START_MS   300u  /* While something is waited for. */
#define RAFT_HELLO_ANSWERS_MS 900u  /* For the minority of answers, after the majority's. */
#define RAFT_POSITION_WAIT_MS 5000u /* For a majority of answers, when one is ahead of us. */
#define RAFT_FORM_WAIT_MS     3000u /* For listed nodes that are missing. */
#define RAFT_FRESH_MS         2500u /* A HELLO older than this is no proof of being reachable. */
#define RAFT_SEEN_MS          1000u

enum peer_mode {
    PEER_PROBE,     /* Looking for the end of the common part; one message at a time. */
    PEER_REPLICATE, /* Found; entries are sent without waiting for answers. */
    PEER_SNAPSHOT,  /* Was sent a snapshot, not heard of it yet. */
};

/* What a leader knows of a member. Valid in one term. */
struct progress {
    enum peer_mode mode;
    uint64_t match_index; /* On the member's disk, and the same as ours. */
    uint64_t next_index;  /* To be sent next; greater than match_index. */
    uint64_t heard_ms;    /* Its last answer in this term, or the begin of the term. */
    uint64_t answered_round;
    uint64_t valid_round; /* Answers to older rounds say nothing about next_index. */
    uint64_t probe_round; /* The probe that carried entries ... */
    uint64_t probe_end;   /* ... up to this one. */
    bool probe_sent;
    uint64_t snapshot_index;
    uint64_t snapshot_ms; /* When it was sent. */
    uint64_t seen_version;
    uint64_t seen_ms; /* When it was last told what everybody has. */
};

struct peer {
    uint64_t id; /* 0: the slot is free. */
    bool seed;
    char address[RAFT_ADDRESS_SIZE];
    uint64_t heard_ms; /* A sign of life; 0: never. */

    /* What its last HELLO or answer to one said. */
    uint64_t hello_ms; /* When; 0: never. */
    uint64_t incarnation;
    uint64_t cluster_id;
    bool empty;
    bool blank; /* It may have joined, but no entry ever came: who called it in was deposed. */
    uint32_t formed_count;
    uint64_t formed_ids[RAFT_MEMBERS_MAX];

    uint64_t greeted_ms;           /* When it was last sent a HELLO; 0: never. */
    uint64_t answered_incarnation; /* It answered a HELLO of ours as this one; 0: not yet. */
    enum quorum_vote vote;
    struct raft_memory memory;
    struct progress progress;
};

struct in_flight {
    uint64_t number;
    uint64_t last_index; /* On disk when it is done, unless cut off since. */
    uint64_t since_ms;
};

struct read {
    uint64_t number;
    uint64_t index; /* To be applied first; 0 until an entry of this term is committed. */
    uint64_t round; /* A majority must answer a later one. */
};

struct raft {
    struct raft_settings settings;
    uint64_t self;
    uint64_t now_ms;
    struct prng prng;
    struct raft_update *update; /* Of the running step; NULL between steps. */
    bool started;               /* The first step has told what the store held. */
    bool lost;                  /* Lost its memory: does nothing more. */

    struct raft_memory mark; /* As loaded, then raised by each persist. */
    struct raft_hard hard;
    uint64_t loaded_term; /* No vote is given in it after a start; see election.c. */
    struct raft_config config;
    struct raft_config config_committed;

    enum raft_role role;
    bool prevoting; /* A candidate that has not raised its term yet. */
    uint64_t leader;
    uint64_t leader_incarnation; /* As it said itself. */
    uint64_t leader_heard_ms;
    uint64_t election_ms; /* When to campaign. */

    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t durable_index;
    uint64_t verified_index; /* Up to here the log is known to be that of the term's leader. */
    bool restore_wanted;     /* A snapshot is in the log but not in the state machine yet. */

    uint64_t persist_number; /* Last one given out. */
    uint64_t persisted_number;
    uint64_t hard_number; /* The persist that has the newest hard state. */
    bool hard_changed;    /* In this step. */
    uint32_t in_flight_count;
    struct in_flight in_flight[RAFT_IN_FLIGHT_MAX];

    /* Leader. */
    uint64_t term_start_index; /* Of the entry that opened the term. */
    uint64_t round;
    bool heartbeat_wanted;
    uint64_t heartbeat_ms;
    uint64_t transfer_to; /* 0: no hand-over of leadership under way. */
    uint64_t transfer_ms; /* When to give it up. */
    uint64_t seen_version;
    uint32_t read_count;
    struct read reads[RAFT_READS_MAX];

    /* Start and formation. */
    bool position_checked;
    uint64_t majority_ms; /* When a majority had answered; 0: not yet. */
    uint64_t ahead_ms;    /* When somebody with a longer log had first answered; 0: not yet. */
    uint64_t hello_ms;    /* When to look whom to greet. */
    uint64_t form_ms;     /* When a new cluster may be formed without the missing; 0: not ready. */
    uint64_t left_out_ms; /* When somebody last said that we are no member; 0: never. */
    uint64_t dead_ms;     /* When to start over, because this store leads nowhere; 0: it may. */
    uint32_t peer_count;
    struct peer peers[RAFT_PEERS_MAX];

    /* Large, and touched only as far as they are used: raft_init() leaves them alone. */
    uint32_t message_count;
    struct raft_message messages[RAFT_MESSAGES_MAX + 1]; /* The last takes what does not fit. */
    struct raft_snapshot snapshot;
    uint8_t snapshot_bytes[RAFT_SNAPSHOT_BYTES_MAX];
    struct entries entries;
};

/* --- raft.c --- */

void raft_note_add(struct raft *raft, enum raft_note_kind kind, uint64_t a, uint64_t b);

/*
 * A message to `to`, addressed to that incarnation, with everything filled in that all
 * kinds have and the rest zero. Never NULL: when there is no room it is a message that
 * will not be sent, which is what networks do.
 */
struct raft_message *raft_message_add(
    struct raft *raft, enum raft_message_kind kind, uint64_t to, uint64_t to_incarnation);
struct raft_message *raft_answer_add(
    struct raft *raft, enum raft_message_kind kind, const struct raft_message *question);

void raft_set_hard(struct raft *raft, uint64_t term, uint64_t voted_for);
void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader);

/* Log changes. The membership follows the log by itself. */
void raft_log_append(struct raft *raft, const struct raft_entry *entry);
void raft_log_truncate(struct raft *raft, uint64_t from_index);
void raft_log_compact(struct raft *raft, uint64_t first_index);

/* Whether an entry fits; drops what only slow followers need when it does not. */
bool raft_log_fits(
    struct raft *raft, uint32_t size_bytes, uint32_t spare_entries, uint32_t spare_bytes);

void raft_commit_to(struct raft *raft, uint64_t index);
void raft_lose_memory(struct raft *raft, enum raft_note_kind why, uint64_t a, uint64_t b);
bool raft_hard_is_durable(const struct raft *raft);

/* --- view.c --- */

struct peer *raft_peer_find(struct raft *raft, uint64_t id);
/* The slot of the id, made if need be at the cost of the stranger heard longest ago; NULL if none
 * can be had. */
struct peer *raft_peer_ensure(struct raft *raft, uint64_t id, const char *address);

/* Of a member that is not ourselves: it always has one. */
struct peer *raft_member_peer(struct raft *raft, const struct raft_member *member);

/* --- election.c --- */

void raft_election_tick(struct raft *raft);
uint64_t raft_election_wake_ms(const struct raft *raft);
void raft_election_reset(struct raft *raft);
void raft_election_campaign(struct raft *raft); /* With a pre-vote, at once. */
/* The connection to a member broke; if it is the leader, an election is not long in coming. */
void raft_election_peer_lost(struct raft *raft, uint64_t id);
/*
 * A formation is a wish of one node until somebody leads it. Two of them, made by nodes
 * that do not see each other, must not both find leaders. Each node votes in one
 * cluster only; so the first leader needs a majority of all listed nodes, not only of
 * those that were reachable when the cluster was formed.
 */
uint32_t raft_election_votes_needed(const struct raft *raft, uint32_t voter_count);

/* Counts the votes; nobody leads before its own vote is durable. */
void raft_election_tally(struct raft *raft);
void raft_election_prevote(struct raft *raft, const struct raft_message *message);
void raft_election_prevote_answer(struct raft *raft, const struct raft_message *message);
void raft_election_vote(struct raft *raft, const struct raft_message *message);
void raft_election_vote_answer(struct raft *raft, const struct raft_message *message);
void raft_election_timeout_now(struct raft *raft, const struct raft_message *message);

/* --- leader.c --- */

void raft_leader_start(struct raft *raft);
void raft_leader_stop(struct raft *raft);
void raft_leader_tick(struct raft *raft);
uint64_t raft_leader_wake_ms(const struct raft *raft);
void raft_leader_track(struct raft *raft, struct peer *peer); /* A new member. */
void raft_leader_commit(struct raft *raft);
void raft_leader_send(struct raft *raft);
void raft_leader_append_answer(struct raft *raft, const struct raft_message *message);
void raft_leader_snapshot_answer(struct raft *raft, const struct raft_message *message);
/* The connection broke, or is there again: sends from what has surely arrived, at once or with the
 * next heartbeat. */
void raft_leader_reset_peer(struct raft *raft, uint64_t id, bool at_once);
enum raft_proposal_result raft_leader_propose(
    struct raft *raft, enum raft_entry_kind kind, const uint8_t *data, uint32_t size_bytes);
enum raft_proposal_result raft_leader_transfer(struct raft *raft, uint64_t id);

/* The value that a majority of voters has reached; fields of struct progress, own_value for us. */
uint64_t raft_leader_quorum(struct raft *raft, size_t progress_offset, uint64_t own_value);

/* --- follower.c --- */

void raft_follower_append(struct raft *raft, const struct raft_message *message);
void raft_follower_snapshot(struct raft *raft, const struct raft_message *message);
void raft_follower_persisted(struct raft *raft, uint64_t durable_before);
void raft_follower_snapshot_taken(
    struct raft *raft, uint64_t index, const uint8_t *data, uint32_t size_bytes);

/* --- member.c --- */

/* Decodes the entry's membership; false if it is none or names another entry. */
MUST_CHECK bool raft_member_decode(const struct raft_entry *entry, struct raft_config *config);
/* The membership at `index`, newest first; for the log behind the snapshot. */
void raft_member_config_at(const struct raft *raft, uint64_t index, struct raft_config *config);
void raft_member_set_config(struct raft *raft, const struct raft_config *config);
enum raft_proposal_result raft_member_add_learner(
    struct raft *raft, const struct raft_member *member);
enum raft_proposal_result raft_member_promote(struct raft *raft, uint64_t id);
enum raft_proposal_result raft_member_remove(struct raft *raft, uint64_t id);

/* --- read.c --- */

enum raft_proposal_result raft_read_add(struct raft *raft, uint64_t number);
void raft_read_finish(struct raft *raft);
void raft_read_fail_all(struct raft *raft);

/* --- form.c --- */

/* In the first step: whether the store shows less than the mark outside it. */
void raft_form_check_mark(struct raft *raft);
void raft_form_tick(struct raft *raft);
uint64_t raft_form_wake_ms(const struct raft *raft);
void raft_form_hello(struct raft *raft, const struct raft_message *message);
void raft_form_hello_answer(struct raft *raft, const struct raft_message *message);
void raft_form_greet(struct raft *raft, uint64_t id);
/* Says HELLO to a node that does not know us as who we are, unless that was done just now. */
void raft_form_introduce(struct raft *raft, uint64_t id);
bool raft_form_is_empty(const struct raft *raft);

/* Remembers what the member is known to have on disk; not for strangers. */
void raft_form_remember(
    struct raft *raft, uint64_t id, uint64_t incarnation, uint64_t term, uint64_t index);

#endif
