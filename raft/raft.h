/*
 * raft/raft.h - the consensus core: events in, update out.
 *
 * Pure: no I/O, no clock, no randomness but the seed it is given; memory is
 * allocated by the caller once, at set-up (`struct raft` is large and has no
 * pointers into itself). The driver (raft/driver.h) carries the updates out.
 *
 * What is built: pre-vote, check-quorum, votes refused while a leader is heard,
 * log replication with pipelining, snapshots that keep a matching tail, leadership
 * transfer, ReadIndex, learners, membership changed one member at a time and only
 * after an entry of the leader's own term is committed, formation of a new cluster,
 * and members that lost or rolled back their store (amnesia).
 * Sources: Ongaro's dissertation, chapters 3, 4, 6.4, 9.6; Ongaro's note of 2015 on
 * single-server changes; Howard and Abraham's note of 2020 on liveness.
 *
 * Storage is asynchronous. An update may carry a raft_persist with a number; the
 * driver hands it to the store and reports RAFT_EVENT_PERSISTED with that number when
 * it would survive a power cut. Persists complete in order. Messages marked
 * `after_persist` must not leave before the persist of their update (and all before
 * it) is done; the others leave at once: the leader sends while its disk writes,
 * and counts itself only when its own write is done.
 *
 * Identity. A node's id is derived from its peer address (raft_id()). Its store has
 * an incarnation, a random number drawn when the store is created empty. The
 * membership names both: a store that was wiped, or that shows less than it has
 * acknowledged, is not the member it was, does not vote, and comes back as a learner.
 */
#ifndef PGBATON_RAFT_RAFT_H
#define PGBATON_RAFT_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/prng.h"

#define RAFT_MEMBERS_MAX        16
#define RAFT_VOTERS_MAX         9
#define RAFT_ADDRESS_SIZE       128 /* "host:port" with its NUL */
#define RAFT_ENTRY_BYTES_MAX    (96u * 1024)
#define RAFT_SNAPSHOT_BYTES_MAX (256u * 1024)
#define RAFT_LOG_BYTES_MAX      (1024u * 1024) /* entries behind the snapshot, all together */
#define RAFT_LOG_ENTRIES_MAX    1024
#define RAFT_MESSAGES_MAX       (4 * RAFT_MEMBERS_MAX)
#define RAFT_BATCH_MAX          64 /* entries in one APPEND */

enum raft_member_kind {
    RAFT_MEMBER_LEARNER, /* Gets the log, is never counted. */
    RAFT_MEMBER_VOTER,
};

struct raft_member {
    uint64_t id;
    uint64_t incarnation;
    enum raft_member_kind kind;
    char address[RAFT_ADDRESS_SIZE];
};

/* A membership. It is named by the (term, index) of the entry that made it. */
struct raft_config {
    uint64_t term;
    uint64_t index;
    uint32_t count;
    struct raft_member members[RAFT_MEMBERS_MAX];
};

enum raft_entry_kind {
    RAFT_ENTRY_NOOP,   /* Opens a term. */
    RAFT_ENTRY_CONFIG, /* A raft_config, encoded by raft/config codec. */
    RAFT_ENTRY_DATA,   /* Opaque. */
};

struct raft_entry {
    uint64_t term;
    uint64_t index; /* From 1. */
    enum raft_entry_kind kind;
    uint32_t size_bytes;
    const uint8_t *data; /* Borrowed from the core, until the next step. */
};

/* What must be on disk besides the log. All zero: a store that never held anything. */
struct raft_hard {
    uint64_t term;
    uint64_t voted_for;  /* Id of the member voted for in `term`; 0 for nobody. */
    uint64_t cluster_id; /* 0 before the cluster is formed or joined. */
    uint64_t incarnation;
};

/*
 * The most that a store is known to have acknowledged. The term on a disk never falls, and
 * what was acknowledged in a term is not cut off in it; so a store with a lower term, or
 * with the same and without that entry, is not the store that acknowledged it. One with a
 * higher term is younger than the acknowledgement. Peers remember it of each other, and a
 * node of itself: its mark, kept outside the store.
 */
struct raft_memory {
    uint64_t incarnation; /* Of the store; 0: nothing is known. */
    uint64_t term;
    uint64_t index;
    uint64_t entry_term; /* Of the entry at `index`; 0: not known. */
};

struct raft_snapshot {
    uint64_t index; /* 0: there is none. */
    uint64_t term;
    struct raft_config config; /* The membership at `index`. */
    uint32_t size_bytes;
    const uint8_t *data; /* Opaque state machine bytes; borrowed. */
};

enum raft_role {
    RAFT_FOLLOWER, /* Learners and not yet admitted nodes too. */
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

enum raft_message_kind {
    RAFT_HELLO,        /* Who am I, what do I hold; sent at start, on connect, each second. */
    RAFT_HELLO_ANSWER, /* The same of the answerer, and what it remembers of the asker. */
    RAFT_PREVOTE,
    RAFT_PREVOTE_ANSWER,
    RAFT_VOTE,
    RAFT_VOTE_ANSWER,
    RAFT_APPEND, /* Also the heartbeat. */
    RAFT_APPEND_ANSWER,
    RAFT_SNAPSHOT, /* The whole of it, inline. */
    RAFT_SNAPSHOT_ANSWER,
    RAFT_TIMEOUT_NOW,
    RAFT_MESSAGE_KINDS,
};

/* One struct for all kinds; which fields a kind uses is said in raft/describe.c and the codec. */
struct raft_message {
    enum raft_message_kind kind;
    bool after_persist; /* Not sent over the wire. */
    uint64_t from;
    uint64_t to;
    uint64_t cluster_id; /* Of the sender; 0: none yet. */
    uint64_t from_incarnation;
    uint64_t to_incarnation; /* As the sender's membership has it; 0: it has none. */
    uint64_t term;

    uint64_t last_index; /* HELLO, votes: end of the sender's log. */
    uint64_t last_term;
    uint64_t commit_index; /* HELLO, APPEND. */
    bool transfer;         /* VOTE: the leader asked for it, do not refuse because one is heard. */
    bool accepted;         /* All answers; HELLO_ANSWER: the receiver is a member, as who it is. */
    bool empty;            /* HELLO: the store never held anything. */
    char address[RAFT_ADDRESS_SIZE]; /* HELLO: the sender's peer address. */
    uint64_t seen_term;  /* HELLO_ANSWER: the most the receiver is known to have acknowledged */
    uint64_t seen_index; /* under to_incarnation. Also APPEND: what the leader knows, so that */
                         /* the others remember it when the leader is gone. */
    uint32_t seen_count; /* APPEND: memory of every member, in the order of the membership. */
    uint64_t seen_indexes[RAFT_MEMBERS_MAX];
    uint64_t seen_ids[RAFT_MEMBERS_MAX];
    uint32_t formed_count; /* HELLO of an empty node: the ids of empty nodes it can reach. */
    uint64_t formed_ids[RAFT_MEMBERS_MAX];

    uint64_t prev_index; /* APPEND. */
    uint64_t prev_term;
    uint64_t round;       /* APPEND and its answer: number of the heartbeat round. */
    uint64_t match_index; /* Answers: what is on the answerer's disk and matches. */
    uint64_t hint_index;  /* Refused APPEND: where to probe next. */
    uint64_t hint_term;   /* Also HELLO_ANSWER: of the entry at seen_index; 0 if not known. */

    uint32_t entry_count;                      /* APPEND. */
    struct raft_entry entries[RAFT_BATCH_MAX]; /* Data borrowed. */
    struct raft_snapshot snapshot;             /* SNAPSHOT. Data borrowed. */
};

enum raft_event_kind {
    RAFT_EVENT_TICK, /* Time has passed; at the latest when wake_ms is reached. */
    RAFT_EVENT_MESSAGE,
    RAFT_EVENT_PERSISTED,
    RAFT_EVENT_PROPOSE,     /* Only a leader takes it; see raft_update.proposed_index. */
    RAFT_EVENT_TRANSFER,    /* Hand leadership to `member_id`. */
    RAFT_EVENT_READ,        /* ReadIndex: answered by a read_done of the same number. */
    RAFT_EVENT_ADD_LEARNER, /* `member`; replaces a member of the same id, incarnation and all. */
    RAFT_EVENT_PROMOTE,     /* Learner `member_id` becomes a voter; only when it has caught up. */
    RAFT_EVENT_REMOVE,      /* `member_id` leaves. */
    RAFT_EVENT_SNAPSHOT_TAKEN, /* The state machine's bytes at `index` (applied); log is compacted.
                                */
    RAFT_EVENT_PEER_LOST,  /* The connection to `member_id` broke: do not wait for its answers. */
    RAFT_EVENT_PEER_FOUND, /* There is a connection to `member_id` again: say HELLO at once. */
    RAFT_EVENT_KINDS,
};

struct raft_event {
    enum raft_event_kind kind;
    uint64_t now_ms; /* Never goes back. */
    const struct raft_message *message;
    uint64_t persist_number;
    const uint8_t *data; /* PROPOSE, SNAPSHOT_TAKEN; copied. */
    uint32_t size_bytes;
    uint64_t index; /* SNAPSHOT_TAKEN */
    uint64_t read_number;
    uint64_t member_id;
    struct raft_member member;
};

/* What the store must do, in this order and in one transaction. Taken from the core's memory. */
struct raft_persist {
    uint64_t number; /* 0: nothing to do. Grows by one. */
    bool hard_changed;
    struct raft_hard hard;
    bool snapshot_changed;  /* Store raft_snapshot(); drop the log up to keep_from - 1. */
    uint64_t truncate_from; /* 0: nothing; else remove entries from this index on. */
    uint64_t first_index;   /* 0: nothing; else append first_index to last_index. */
    uint64_t last_index;
    uint64_t keep_from; /* First index to keep after compaction or snapshot; 0: no change. */

    /* To be kept outside the store, when all that is on disk and before it is reported done: a
     * store that is sound never shows less than its mark, and no answer leaves that is not in it.
     */
    struct raft_memory mark;
};

enum raft_proposal_result {
    RAFT_PROPOSAL_NONE, /* The event was no proposal, membership change, transfer or read. */
    RAFT_PROPOSAL_TAKEN,
    RAFT_PROPOSAL_NOT_LEADER,
    RAFT_PROPOSAL_BUSY,    /* Transfer under way, another change in flight, no own-term commit. */
    RAFT_PROPOSAL_FULL,    /* The log has no room: a snapshot must be taken first. */
    RAFT_PROPOSAL_INVALID, /* No such member, not caught up, last voter. */
};

/* A numbered reason, for logs, golden scenarios and the simulator's coverage count. */
#define RAFT_NOTE_MAP(X)                                                         \
    X(NONE, "nothing")                                                           \
    X(BECAME_FOLLOWER, "became follower")                                        \
    X(STARTED_PREVOTE, "asks for pre-votes")                                     \
    X(STARTED_VOTE, "asks for votes")                                            \
    X(BECAME_LEADER, "became leader")                                            \
    X(LOST_QUORUM, "steps down: a majority was silent")                          \
    X(REFUSED_VOTE_LEADER_HEARD, "refuses a vote while a leader is heard")       \
    X(REFUSED_VOTE_LOG, "refuses a vote to a shorter log")                       \
    X(REFUSED_VOTE_GIVEN, "refuses a vote, already given")                       \
    X(REFUSED_NOT_CHECKED, "does not vote before its log position is compared")  \
    X(GRANTED_VOTE, "grants a vote")                                             \
    X(TRUNCATED, "removes a conflicting tail")                                   \
    X(INSTALLED_SNAPSHOT, "installs a snapshot")                                 \
    X(KEPT_TAIL, "keeps the tail behind a snapshot")                             \
    X(CONFIG_APPENDED, "membership appended")                                    \
    X(CONFIG_ROLLED_BACK, "membership rolled back")                              \
    X(CONFIG_COMMITTED, "membership committed")                                  \
    X(TRANSFER_STARTED, "hands leadership over")                                 \
    X(TRANSFER_ABORTED, "hand-over of leadership timed out")                     \
    X(FORMED, "forms a new cluster")                                             \
    X(JOINED, "joined a cluster")                                                \
    X(FORMATION_DROPPED, "gives up its own formation for a cluster that exists") \
    X(WRONG_CLUSTER, "message of another cluster")                               \
    X(WRONG_INCARNATION, "message for or from another incarnation")              \
    X(LEFT_OUT, "starts over: its call into the cluster was never decided")      \
    X(AMNESIA, "its store shows less than it has acknowledged")                  \
    X(POSITION_CHECKED, "log position compared with the others")                 \
    X(SNAPSHOT_SENT, "sends a snapshot")                                         \
    X(DISK_STALLED, "steps down: its disk does not answer")

enum raft_note_kind {
#define X(code, text) RAFT_NOTE_##code,
    RAFT_NOTE_MAP(X)
#undef X
    RAFT_NOTE_KINDS
};

struct raft_note {
    enum raft_note_kind kind;
    uint64_t a; /* Term, or what the kind is about; see describe.c. */
    uint64_t b;
};

#define RAFT_NOTES_MAX 32
#define RAFT_READS_MAX 64

struct raft_update {
    struct raft_persist persist;
    uint32_t message_count;
    const struct raft_message *messages; /* In the core's memory, until the next step. */

    uint64_t apply_from; /* 0: nothing; else entries apply_from..apply_to are newly committed. */
    uint64_t apply_to;
    bool apply_snapshot; /* Before them: replace the state machine by raft_snapshot(). */

    /* What entered or left the log in this step, committed or not (rule: a member's epoch is the
     * highest in its log). First truncated_from, then appended_from..appended_to. */
    uint64_t truncated_from; /* 0: nothing */
    uint64_t appended_from;  /* 0: nothing */
    uint64_t appended_to;

    enum raft_proposal_result proposal;
    uint64_t proposed_index; /* When taken: where it will be if it is decided ... */
    uint64_t proposed_term;  /* ... with this term; another term at that index: it is lost. */

    uint32_t read_count; /* Reads whose index is applied and whose leadership is confirmed. */
    uint64_t read_numbers[RAFT_READS_MAX];
    uint32_t read_failed_count; /* No longer leader, or a leader was never found. */
    uint64_t read_failed_numbers[RAFT_READS_MAX];

    bool lost_memory; /* AMNESIA: the driver must empty the store, draw a new incarnation, start
                         over. */
    uint32_t note_count;
    struct raft_note notes[RAFT_NOTES_MAX];
    uint64_t wake_ms;
};

struct raft_settings {
    char self_address[RAFT_ADDRESS_SIZE];
    uint32_t seed_count; /* The other listed members, self not among them. */
    char seeds[RAFT_MEMBERS_MAX][RAFT_ADDRESS_SIZE];
    uint64_t heartbeat_ms;    /* 100 */
    uint64_t election_min_ms; /* 500: a follower that heard nothing for this to ... */
    uint64_t election_max_ms; /* 1000: ... this long campaigns. */
    uint64_t random_seed;
    uint64_t new_cluster_id; /* Random, used if this node forms the cluster. */
};

/* What the store held when it was opened. */
struct raft_loaded {
    struct raft_hard hard; /* `incarnation` never 0. */
    struct raft_snapshot snapshot;
    uint32_t entry_count; /* Behind the snapshot, without a gap. */
    const struct raft_entry *entries;
    struct raft_memory mark; /* As it was kept outside the store. */
};

struct raft;

/* Bytes that a struct raft needs, and its alignment is that of max_align_t. */
size_t raft_size(void);

/* `memory` has raft_size() bytes and never moves. Copies all it needs from the arguments. */
struct raft *raft_init(
    void *memory, const struct raft_settings *settings, const struct raft_loaded *loaded,
    uint64_t now_ms);

/*
 * The first update tells what the store held, as if it had just come in: the snapshot
 * to restore, and the entries behind it as appended. Nothing is ever handed out to be
 * applied that is not on this node's own disk, so a restart never shows less than was
 * acted on. After `lost_memory` every further step does nothing.
 */
void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update);

uint64_t raft_id(const char *address); /* Never 0. */

/* Views; valid until the next step. */
enum raft_role raft_role(const struct raft *raft);
uint64_t raft_self(const struct raft *raft);
uint64_t raft_term(const struct raft *raft);
uint64_t raft_leader(const struct raft *raft); /* Id of the leader of this term, 0 if unknown. */
uint64_t raft_cluster_id(const struct raft *raft);
uint64_t raft_incarnation(const struct raft *raft);
uint64_t raft_last_index(const struct raft *raft);
uint64_t raft_durable_index(const struct raft *raft); /* On this node's disk. */
uint64_t raft_commit_index(const struct raft *raft);
uint64_t raft_applied_index(const struct raft *raft); /* Handed out in updates so far. */
/* First entry in memory: some in front of the snapshot are kept for slow followers. */
uint64_t raft_first_index(const struct raft *raft);

/* Asserts that the entry is in the log: from raft_first_index() to raft_last_index(). */
struct raft_entry raft_entry_get(const struct raft *raft, uint64_t index);
/* 0 if unknown: before the snapshot or behind the end. */
uint64_t raft_term_at(const struct raft *raft, uint64_t index);
const struct raft_snapshot *raft_snapshot(const struct raft *raft);

/* The newest membership in the log, committed or not, and the last committed one. */
const struct raft_config *raft_config(const struct raft *raft);
const struct raft_config *raft_config_committed(const struct raft *raft);
const struct raft_member *raft_config_find(const struct raft_config *config, uint64_t id);
uint32_t raft_config_voter_count(const struct raft_config *config);

/* After a start: the position was compared with a majority and everyone reachable. Before
 * that the node neither votes nor campaigns, and must answer no lease round. */
bool raft_position_checked(const struct raft *raft);

/* This node is a voter, under its own incarnation, of its newest membership. */
bool raft_is_voter(const struct raft *raft);

/*
 * Nobody leads this node, and one of its cluster, who has decided no less than its log's newest
 * membership, said in the last seconds that it is no member: it was removed, or not yet taken in.
 */
bool raft_is_left_out(const struct raft *raft);

/* A committed entry of the current term exists: the leader's state machine is current. */
bool raft_leader_ready(const struct raft *raft);

/* Leader only: what is known of a member; false for strangers and on others. */
struct raft_peer_view {
    uint64_t match_index;
    uint64_t heard_ms; /* 0: never in this term. */
    bool caught_up;    /* Match is at the commit index. */
};
bool raft_peer_view(const struct raft *raft, uint64_t id, struct raft_peer_view *view);

/* Nodes that said HELLO in the last seconds and are not in the newest membership under that
 * incarnation; those of other clusters are left out. */
struct raft_stranger {
    struct raft_member member;
    uint64_t heard_ms;
    bool empty; /* Holds no entry: it may be taken in. */
};
uint32_t raft_strangers(const struct raft *raft, struct raft_stranger *strangers, uint32_t max);

/* Bytes and number of the entries behind the snapshot, to decide when to take the next. */
uint32_t raft_log_bytes(const struct raft *raft);
uint32_t raft_log_entries(const struct raft *raft);

#endif
