/*
 * tests/model/state.h - the model's settings and state, and what the protocol asks of a state.
 *
 * Each question is one rule of docs/architecture.md, or a condition that ha/ puts the same way.
 */
#ifndef PGBATON_TESTS_MODEL_STATE_H
#define PGBATON_TESTS_MODEL_STATE_H

#include <cstdint>
#include <cstring>

typedef uint8_t u8;

/* name, value, what it is. Sets of nodes are bit masks: a is 1, b is 2, c is 4 ... */
#define MODEL_BOUNDS(X)                                                                    \
    X(nodes, 3, "how many there are")                                                      \
    X(voters, 7, "at the start")                                                           \
    X(members, 7, "at the start, voters included")                                         \
    X(postgres, 7, "nodes that run PostgreSQL; the others are witnesses")                  \
    X(silent, 0, "nodes that have not heard the primary for long")                         \
    X(leaders, 31, "nodes that may lead Raft")                                             \
    X(ttl, 2, "in ticks")                                                                  \
    X(epochs, 2, "the first one included")                                                 \
    X(revokes, 9, "proposals of REVOKE")                                                   \
    X(crashes, 0, "of a daemon; its guard and PostgreSQL go on")                           \
    X(power, 0, "cuts of a node's power")                                                  \
    X(deaths, 0, "of a PostgreSQL")                                                        \
    X(wipes, 0, "of a node's Raft store")                                                  \
    X(rollbacks, 0, "of a node's Raft store to an older copy")                             \
    X(changes, 0, "proposals of a membership")                                             \
    X(join, 0, "nodes that may be taken in as learners")                                   \
    X(promote, 0, "nodes that may be given a vote")                                        \
    X(remove, 0, "nodes that may be removed")                                              \
    X(handover, 0, "planned stops, and HANDOVER after a stop or a death")                  \
    X(failsafe, 0, "failsafe_mode")                                                        \
    X(lag, 1, "a decided entry may lie on a node's disk for a while before it is applied") \
    X(rivals, 1, "a second leader's proposal may compete for the next place")              \
    X(alike, 0, "nodes of one kind are interchangeable; traces rename them")

/* 1: in force. 0: taken away. */
#define MODEL_RULES(X)                                                                            \
    X(pledge_in_log, 1, "1: a voter's epoch is the highest in its log, not the highest applied")  \
    X(grant_in_log, 1, "1: answers only with that very grant in the log")                         \
    X(start_id, 1, "2: no round is ever named twice")                                             \
    X(wait_for_older, 1, "(iii): waits for the leases that its answers gave to another node")     \
    X(wait_after_start, 1, "4: a voter that restarted waits, unless SERVING is in its log")       \
    X(named, 1, "5: acts by a membership only if it names its own store, not one before")         \
    X(wait_after_join, 1, "4, 16: becoming a member is a start: that member waits, too")          \
    X(older_is_over, 1, "11: fenced only if the epoch before served, or was fenced itself")       \
    X(one_start, 1, "14: one writable start per epoch, between GRANT and SERVING")                \
    X(told_served, 1, "14: who does not know that it served is told with the answers")            \
    X(sure_of_gone, 1, "14: \"gone\" is said when SERVING or REVOKE is on the own disk")          \
    X(primary_changes, 1,                                                                         \
      "15: only the serving primary changes the membership, and the exceptions")                  \
    X(nobody_waits, 1, "0013: with nobody to grant, ttl has passed since a majority has pledged") \
    X(nobody_failsafe, 1, "0013: and since somebody with PostgreSQL has, or lost its store")      \
    X(failsafe_extends, 1, "16: failsafe answers only extend a lease of the same epoch")          \
    X(failsafe_decided, 1, "16: also those of the last decided membership are needed")            \
    X(own_wait, 1, "16: a grantee takes no lease before its own wait is over")                    \
    X(mark, 1, "0016: who was rolled back knows it by its mark")

struct settings {
#define MODEL_FIELD(name, value, text) int name = value;
    MODEL_BOUNDS(MODEL_FIELD)
    MODEL_RULES(MODEL_FIELD)
#undef MODEL_FIELD
};

static settings opt;

enum {
    NODES_MAX = 5,
    EPOCHS_MAX = 4,
    LOG_MAX = 12,
    PROPOSALS_MAX = 2
};

static const int NOBODY = -1;

enum entry_type {
    ENTRY_REVOKE = 1,
    ENTRY_GRANT,
    ENTRY_SERVING,
    ENTRY_HANDOVER,
    ENTRY_MEMBERS
};

struct config {
    u8 voters;
    u8 members;      /* Voters and learners. */
    u8 incarnations; /* Which store of each node is meant: the first (0), or one that is newer. */
};

struct entry {
    u8 type;
    union {
        struct {
            u8 epoch;
            u8 node;
            u8 fenced;
        };
        config members; /* Of ENTRY_MEMBERS. */
    };
};

struct proposal {
    u8 used;
    u8 author;
    u8 holders; /* Who has it on disk. */
    entry what;
};

struct node {
    u8 up;
    u8 has;     /* Entries of the decided log on its disk; behind them there may be a proposal. */
    u8 applied; /* Of those, since its start. */
    u8 stale;   /* Epoch of an entry that lost and has not been cut off yet; 0: none. */
    u8 age;     /* Ticks since its start, ttl at most. */
    u8 incarnation; /* Of its store. */
    u8 lease_epoch; /* What its guard goes by; ends at 0 ticks left. */
    u8 lease_left;
    u8 is_late;  /* The epoch had served when the round of this lease was sent. */
    u8 writable; /* Its PostgreSQL runs so. */
    u8 started;  /* The guard's memory: newest epoch with a writable start. */
    u8 stopping; /* The daemon's memory of a planned stop. Only without rule 14. */
    u8 served;   /* The daemon was told that this epoch has served. */
    u8 answered_ago[EPOCHS_MAX + 1]; /* Ticks since its last answer to each epoch, ttl at most. */
};

/* The round of an epoch that matters: the newest one sent. */
struct round {
    u8 on;
    u8 age;
    u8 answered; /* By whom; they may arrive at any time after. */
    u8 served;   /* Who said with its answer that the epoch has served. */
    u8 is_late;  /* It had, when this round was sent. */
};

struct state {
    u8 decided; /* Entries. */
    entry log[LOG_MAX];
    proposal proposals[PROPOSALS_MAX];
    node nodes[NODES_MAX];
    round rounds[EPOCHS_MAX + 1];
    u8 gone;  /* Bit e: the grantee of e has said that no writable PostgreSQL of its own is left. */
    u8 ready; /* Newest epoch whose grantee has said that it is writable. */
    u8 pledged; /* While revoked: who was seen with the REVOKE on its disk. */
    u8 nobody;  /* The leader has nobody to grant: one more than the ticks since; 0: it has. */
    u8 crashes, power, deaths, wipes, rollbacks, changes, revokes; /* What is left. */
};

static bool has_bit(unsigned mask, int i)
{
    return (mask >> i & 1) != 0;
}

static u8 bit(int i)
{
    return static_cast<u8>(1u << i);
}

static bool is_majority(unsigned mask, unsigned voters)
{
    return 2 * __builtin_popcount(mask & voters) > __builtin_popcount(voters);
}

/* --- The log --- */

static bool has_epoch(const entry &e)
{
    return e.type != ENTRY_MEMBERS;
}

static bool is_grant(const entry &e)
{
    return e.type == ENTRY_GRANT || e.type == ENTRY_HANDOVER;
}

/* Highest epoch of the first `count` entries; it never falls from one to the next. */
static int top_epoch(const state &s, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        if (has_epoch(s.log[i])) {
            return s.log[i].epoch;
        }
    }
    return 0;
}

/* Type of the newest entry about an epoch. */
static int phase(const state &s)
{
    for (int i = s.decided - 1; i >= 0; i--) {
        if (has_epoch(s.log[i])) {
            return s.log[i].type;
        }
    }
    return 0;
}

static bool in_log(const state &s, int type, int epoch, int count)
{
    for (int i = 0; i < count; i++) {
        if (s.log[i].type == type && s.log[i].epoch == epoch) {
            return true;
        }
    }
    return false;
}

/* Position of the entry that grants it, or -1. */
static int find_grant(const state &s, int epoch)
{
    for (int i = s.decided - 1; i >= 0; i--) {
        if (is_grant(s.log[i]) && s.log[i].epoch == epoch) {
            return i;
        }
    }
    return -1;
}

static int grantee(const state &s, int epoch)
{
    const int at = find_grant(s, epoch);

    return at < 0 ? NOBODY : s.log[at].node;
}

/* What node i has behind the decided entries, or NULL. */
static const entry *tail(const state &s, int i)
{
    for (const proposal &p : s.proposals) {
        if (p.used && has_bit(p.holders, i)) {
            return &p.what;
        }
    }
    return NULL;
}

static int log_epoch(const state &s, int i)
{
    const node &n = s.nodes[i];
    const entry *held = tail(s, i);
    int epoch = top_epoch(s, n.has);

    epoch = n.stale > epoch ? n.stale : epoch;
    return held != NULL && has_epoch(*held) && held->epoch > epoch ? held->epoch : epoch;
}

static bool holds_serving(const state &s, int i, int epoch)
{
    const entry *held = tail(s, i);

    return in_log(s, ENTRY_SERVING, epoch, s.nodes[i].has) ||
           (held != NULL && held->type == ENTRY_SERVING && held->epoch == epoch);
}

/* The epoch that node i knows itself to be granted; 0: none. */
static int own_epoch(const state &s, int i)
{
    const int epoch = top_epoch(s, s.nodes[i].applied);
    const int at = find_grant(s, epoch);

    return at >= 0 && at < s.nodes[i].applied && s.log[at].node == i ? epoch : 0;
}

/* --- Membership --- */

static config config_at(const state &s, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        if (s.log[i].type == ENTRY_MEMBERS) {
            return s.log[i].members;
        }
    }
    return {static_cast<u8>(opt.voters), static_cast<u8>(opt.members), 0};
}

static config newest_config(const state &s, int i)
{
    const entry *held = tail(s, i);

    return held != NULL && held->type == ENTRY_MEMBERS ? held->members
                                                       : config_at(s, s.nodes[i].has);
}

static unsigned run_postgres(const config &c)
{
    return c.members & static_cast<unsigned>(opt.postgres);
}

/* Its store is the one that is meant. */
static bool is_known(const state &s, const config &c, int i)
{
    return has_bit(c.incarnations, i) == (s.nodes[i].incarnation != 0);
}

/* Its newest membership means this very store. */
static bool is_named(const state &s, int i)
{
    const config newest = newest_config(s, i);

    return has_bit(newest.members, i) && is_known(s, newest, i);
}

/* --- Lease rounds --- */

static bool lease_runs(const node &n, int epoch)
{
    return n.lease_left > 0 && n.lease_epoch == epoch;
}

/* A majority, or everybody with PostgreSQL (rule 16). */
static bool is_quorum_in(const state &s, int i, int epoch, unsigned mask, const config &newest)
{
    unsigned needed;

    if (is_majority(mask, newest.voters)) {
        return true;
    }
    if (!opt.failsafe || (opt.failsafe_extends && !lease_runs(s.nodes[i], epoch))) {
        return false;
    }
    needed = run_postgres(newest);
    if (opt.failsafe_decided) {
        needed |= run_postgres(config_at(s, s.nodes[i].has));
    }
    return (mask & needed) == needed;
}

static bool is_quorum(const state &s, int i, int epoch, unsigned mask)
{
    return is_quorum_in(s, i, epoch, mask, newest_config(s, i));
}

/* Rule 4: what it answered before its start it does not know. */
static bool waited_after_start(const node &n)
{
    return !opt.wait_after_start || n.age >= opt.ttl;
}

/* Condition (iii). */
static bool may_follow_older(const state &s, int i, int epoch)
{
    const node &n = s.nodes[i];
    const entry &grant = s.log[find_grant(s, epoch)];

    if (grant.fenced) {
        return true;
    }
    for (int older = 1; older < epoch && opt.wait_for_older; older++) {
        if (n.answered_ago[older] < opt.ttl && grantee(s, older) != grant.node) {
            return false;
        }
    }
    return waited_after_start(n) || holds_serving(s, i, epoch);
}

static bool may_answer(const state &s, int i, int epoch)
{
    const node &n = s.nodes[i];
    const int own = opt.pledge_in_log ? log_epoch(s, i) : top_epoch(s, n.applied);

    return n.up && own <= epoch && (!opt.named || is_named(s, i)) &&
           (!opt.grant_in_log || find_grant(s, epoch) < n.has) && may_follow_older(s, i, epoch);
}

/* The grantee may take a lease that reaches further than what it has. */
static bool may_take(const state &s, int i, int epoch)
{
    const node &n = s.nodes[i];
    const round &r = s.rounds[epoch];

    return n.up && r.on && r.age < opt.ttl && n.lease_epoch <= epoch &&
           (own_epoch(s, i) == epoch || lease_runs(n, epoch)) &&
           !(lease_runs(n, epoch) && n.lease_left >= opt.ttl - r.age) &&
           is_quorum(s, i, epoch, r.answered) &&
           !(opt.failsafe && opt.own_wait && !may_follow_older(s, i, epoch));
}

/* Rule 14, and 19: everything that the log holds is applied, and nothing newer is in it. */
static bool may_start(const state &s, int i)
{
    const node &n = s.nodes[i];
    const int epoch = n.lease_epoch;

    if (!n.up || n.lease_left == 0 || n.writable || own_epoch(s, i) != epoch ||
        (opt.told_served && n.served == epoch)) {
        return false;
    }
    if (!opt.one_start) {
        return !n.stopping;
    }
    return log_epoch(s, i) == epoch && !holds_serving(s, i, epoch) && n.started != epoch;
}

/* "No process of a writable PostgreSQL of mine is left": said when it stays true (rule 14). */
static bool may_report_gone(const state &s, int i, int epoch)
{
    const node &n = s.nodes[i];

    return n.up && grantee(s, epoch) == i && !n.writable && !has_bit(s.gone, epoch) &&
           (!opt.sure_of_gone || in_log(s, ENTRY_SERVING, epoch, n.applied) ||
            in_log(s, ENTRY_REVOKE, epoch + 1, n.applied));
}

/* --- What a leader does --- */

/* Any live voter that has applied all that is decided: more than Raft would let lead. */
static bool may_lead(const state &s, int i)
{
    const node &n = s.nodes[i];
    const config now = config_at(s, s.decided);

    return n.up && has_bit(static_cast<unsigned>(opt.leaders), i) && n.applied == s.decided &&
           tail(s, i) == NULL && s.decided < LOG_MAX && has_bit(now.voters, i) &&
           is_known(s, now, i);
}

/* Rule 11: nothing that was started under `epoch` or before can still run. */
static bool is_over(const state &s, int epoch)
{
    const int at = find_grant(s, epoch);

    if (!has_bit(s.gone, epoch) || !has_bit(s.pledged, grantee(s, epoch))) {
        return false;
    }
    return !opt.older_is_over || in_log(s, ENTRY_SERVING, epoch, s.decided) || s.log[at].fenced;
}

/* Somebody of a failsafe quorum answers no more; only rounds under way extend that lease. */
static bool failsafe_ends(const state &s)
{
    const config now = config_at(s, s.decided);

    for (int i = 0; i < opt.nodes; i++) {
        const bool lost_store = s.nodes[i].up && !is_known(s, now, i) && s.nodes[i].has == 0;

        if (has_bit(run_postgres(now), i) && (has_bit(s.pledged, i) || lost_store)) {
            return true;
        }
    }
    return false;
}

/* Decision 0013. That nobody is eligible is not modelled: it may be so at any time. Nor that ha/
 * counts only from when the waits of a majority are over. */
static bool has_nobody(const state &s)
{
    const config now = config_at(s, s.decided);

    return is_majority(s.pledged, now.voters) &&
           (is_over(s, top_epoch(s, s.decided) - 1) || !opt.failsafe || !opt.nobody_failsafe ||
            failsafe_ends(s));
}

static bool may_change_without_primary(const state &s)
{
    return s.nobody > (opt.nobody_waits ? opt.ttl : 0);
}

static bool is_serving_primary(const state &s, int i)
{
    const int epoch = top_epoch(s, s.decided);

    return phase(s) == ENTRY_SERVING && grantee(s, epoch) == i && s.nodes[i].writable &&
           lease_runs(s.nodes[i], epoch);
}

/* --- What must hold --- */

/* A lease that does not count any more has its node's word that nothing runs under it. */
static bool holds_lease(const state &s, int i)
{
    const node &n = s.nodes[i];

    return n.lease_left > 0 && (n.writable || !has_bit(s.gone, n.lease_epoch));
}

static const char *find_violation(const state &s)
{
    for (int i = 0; i < opt.nodes; i++) {
        for (int j = i + 1; j < opt.nodes; j++) {
            if (s.nodes[i].writable && s.nodes[j].writable) {
                return "two nodes run a writable PostgreSQL";
            }
            if (holds_lease(s, i) && holds_lease(s, j)) {
                return "two nodes hold a running lease";
            }
        }
    }
    return NULL;
}

#endif
