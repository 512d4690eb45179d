/*
 * tests/model/steps.h - everything that may happen next in a state.
 *
 * Time is one tick for all. A lease lasts `ttl` ticks from the send time of its round, a wait
 * `ttl` ticks from the answer: the worst that the margins for drifting clocks allow. Answers may
 * be given, arrive and be counted at any time until their round is too old to matter: loss, delay,
 * reordering and duplication are all in that. Entries are decided when a majority of voters has
 * them on disk; nodes lag in receiving and in applying; what lost stays in a log until it is cut
 * off.
 */
#ifndef PGBATON_TESTS_MODEL_STEPS_H
#define PGBATON_TESTS_MODEL_STEPS_H

#include <algorithm>

#include "tests/model/state.h"

enum step_kind {
    STEP_TICK,
    STEP_ROUND,
    STEP_ANSWER,
    STEP_START,
    STEP_REPORT,
    STEP_STOP,
    STEP_DEATH,
    STEP_CRASH,
    STEP_POWER,
    STEP_UP,
    STEP_WIPE,
    STEP_ROLLBACK,
    STEP_PROPOSE,
    STEP_HOLD,
    STEP_RECEIVE,
    STEP_APPLY,
    STEP_DROP,
};

static const char *step_fault;

/* Five bits for the kind; then who, and what. */
static uint32_t step_of(int kind, int node = 0, int what = 0)
{
    return static_cast<uint32_t>(kind) << 27 | static_cast<uint32_t>(node) << 24 |
           static_cast<uint32_t>(what);
}

static int step_kind_of(uint32_t step)
{
    return static_cast<int>(step >> 27);
}

static int step_node(uint32_t step)
{
    return static_cast<int>(step >> 24 & 7);
}

static int step_what(uint32_t step)
{
    return static_cast<int>(step & 0xffffff);
}

/* For PROPOSE: which entry; of a membership, two bits for what changes and then who. */
enum change_kind {
    CHANGE_JOIN,
    CHANGE_PROMOTE,
    CHANGE_REMOVE
};

static int pack_entry(const entry &e, int change)
{
    return e.type == ENTRY_MEMBERS ? e.type | change << 4
                                   : e.type | e.node << 4 | e.epoch << 8 | e.fenced << 12;
}

/* --- Small changes of a state --- */

static void end_lease(node &n)
{
    n.lease_left = 0;
    n.lease_epoch = 0;
    n.is_late = 0;
    n.writable = 0; /* By the guard. */
}

static void forget_answers(node &n)
{
    for (u8 &ago : n.answered_ago) {
        ago = static_cast<u8>(opt.ttl);
    }
}

static void become_writable(state &s, int i, int epoch)
{
    s.nodes[i].writable = 1;
    s.nodes[i].started = static_cast<u8>(epoch);
    s.ready = static_cast<u8>(std::max<int>(s.ready, epoch));
}

static void take_lease(state &s, int i, int epoch)
{
    node &n = s.nodes[i];
    const round &r = s.rounds[epoch];

    /* The answers that would tell it may be the ones that have not arrived. */
    if (!is_quorum(s, i, epoch, r.answered & ~r.served)) {
        n.served = static_cast<u8>(epoch);
    }
    if (n.writable && n.lease_epoch != epoch) {
        become_writable(s, i, epoch); /* It serves on. */
    }
    n.lease_epoch = static_cast<u8>(epoch);
    n.lease_left = static_cast<u8>(opt.ttl - r.age);
    n.is_late = r.is_late;
}

static void answer(state &s, int i, int epoch)
{
    s.rounds[epoch].answered |= bit(i);
    s.rounds[epoch].served |= holds_serving(s, i, epoch) ? bit(i) : u8{0};
    s.nodes[i].answered_ago[epoch] = 0;
}

/* Decides what a majority holds. */
static void settle(state &s)
{
    for (int j = 0; j < PROPOSALS_MAX; j++) {
        const proposal won = s.proposals[j];
        const proposal lost = s.proposals[1 - j];
        const config now =
            won.what.type == ENTRY_MEMBERS ? won.what.members : config_at(s, s.decided);

        if (!won.used || !is_majority(won.holders, now.voters)) {
            continue;
        }
        s.log[s.decided++] = won.what;
        for (int i = 0; i < opt.nodes; i++) {
            if (has_bit(won.holders, i)) {
                s.nodes[i].has++;
            } else if (lost.used && has_bit(lost.holders, i) && has_epoch(lost.what)) {
                s.nodes[i].stale = std::max(s.nodes[i].stale, lost.what.epoch);
            }
        }
        memset(s.proposals, 0, sizeof s.proposals);
        return;
    }
}

static void stop_daemon(state &s, int i)
{
    node &n = s.nodes[i];

    n.up = 0;
    n.applied = 0;
    n.age = 0;
    n.stopping = 0;
    n.served = 0;
    forget_answers(n);
    if (n.lease_left == 0) {
        end_lease(n);
    }
    for (int epoch = 1; epoch <= opt.epochs && opt.start_id; epoch++) {
        if (grantee(s, epoch) == i) {
            s.rounds[epoch] = {}; /* Nothing that is answered to it counts any more. */
        }
    }
}

static void cut_power(state &s, int i)
{
    end_lease(s.nodes[i]);
    s.nodes[i].started = 0;
    stop_daemon(s, i);
}

static void lose_proposals(state &s, int i)
{
    s.nodes[i].stale = 0;
    for (proposal &p : s.proposals) {
        p.holders &= static_cast<u8>(~bit(i));
    }
}

static void wipe_store(state &s, int i)
{
    stop_daemon(s, i);
    lose_proposals(s, i);
    s.nodes[i].has = 0;
    s.nodes[i].incarnation = 1;
}

/* --- States that differ in nothing that matters are made one --- */

/* A leader may know at once, and remembers. */
static void observe_pledges(state &s)
{
    if (phase(s) != ENTRY_REVOKE) {
        s.pledged = s.nobody = 0;
        return;
    }
    for (int i = 0; i < opt.nodes; i++) {
        if (s.nodes[i].up && in_log(s, ENTRY_REVOKE, top_epoch(s, s.decided), s.nodes[i].has)) {
            s.pledged |= bit(i);
        }
    }
    if (s.changes == 0) {
        s.nobody = 0;
    } else if (s.nobody == 0 && has_nobody(s)) {
        s.nobody = 1;
    }
}

/* Who has not got anything newer yet may still answer it. */
static unsigned may_still_answer(const state &s, int epoch)
{
    unsigned mask = 0;

    for (int i = 0; i < opt.nodes; i++) {
        const node &n = s.nodes[i];

        mask |= top_epoch(s, opt.pledge_in_log ? n.has : n.applied) <= epoch ? bit(i) : u8{0};
    }
    return mask;
}

/* A round of `epoch` that those have answered may give a lease, by some membership that its
 * sender may come to have. */
static bool may_matter(const state &s, int epoch, unsigned answered)
{
    const int i = grantee(s, epoch);

    if (s.wipes > 0 || s.rollbacks > 0 || i == NOBODY) {
        return true;
    }
    if (top_epoch(s, s.decided) <= epoch && s.changes > 0) {
        return true;
    }
    answered |= may_still_answer(s, epoch);
    if (is_quorum_in(s, i, epoch, answered, newest_config(s, i))) {
        return true;
    }
    for (int count = s.nodes[i].has + 1; count <= s.decided; count++) {
        if (is_quorum_in(s, i, epoch, answered, config_at(s, count))) {
            return true;
        }
    }
    for (const proposal &p : s.proposals) {
        if (p.used && p.what.type == ENTRY_MEMBERS &&
            is_quorum_in(s, i, epoch, answered, p.what.members)) {
            return true;
        }
    }
    return false;
}

static void simplify(state &s)
{
    for (int i = 0; i < opt.nodes; i++) {
        for (int epoch = opt.epochs; epoch <= EPOCHS_MAX; epoch++) {
            s.nodes[i].answered_ago[epoch] = static_cast<u8>(opt.ttl); /* Nothing waits for it. */
        }
        if (s.nodes[i].up && !opt.lag) {
            s.nodes[i].applied = s.nodes[i].has;
        }
        if (opt.one_start) {
            s.nodes[i].stopping = 0;
        }
        if (s.nodes[i].writable || opt.power == 0) {
            s.nodes[i].is_late = 0;
        }
    }
    for (int epoch = 1; epoch <= opt.epochs; epoch++) {
        const int i = grantee(s, epoch);

        if (!s.rounds[epoch].on || i == NOBODY) {
            continue;
        }
        /* A lease is taken as soon as it can be: later, it would end at the same time. */
        if (may_take(s, i, epoch)) {
            take_lease(s, i, epoch);
        }
        if (!may_matter(s, epoch, s.rounds[epoch].answered)) {
            s.rounds[epoch] = {};
        }
    }
    observe_pledges(s);
}

static u8 rename_nodes(unsigned mask, const u8 *to)
{
    u8 renamed = 0;

    for (int i = 0; i < opt.nodes; i++) {
        renamed |= has_bit(mask, i) ? bit(to[i]) : u8{0};
    }
    return renamed;
}

static void rename_entry(entry &e, const u8 *to)
{
    if (e.type == ENTRY_MEMBERS) {
        e.members = {
            rename_nodes(e.members.voters, to), rename_nodes(e.members.members, to),
            rename_nodes(e.members.incarnations, to)};
    } else if (e.type != 0 && e.type != ENTRY_REVOKE) {
        e.node = to[e.node];
    }
}

static state renamed_state(const state &s, const u8 *to)
{
    state t = s;

    for (int i = 0; i < opt.nodes; i++) {
        t.nodes[to[i]] = s.nodes[i];
    }
    for (int i = 0; i < s.decided; i++) {
        rename_entry(t.log[i], to);
    }
    for (proposal &p : t.proposals) {
        if (p.used) {
            p.holders = rename_nodes(p.holders, to);
            p.author = to[p.author];
            rename_entry(p.what, to);
        }
    }
    for (round &r : t.rounds) {
        r.answered = rename_nodes(r.answered, to);
        r.served = rename_nodes(r.served, to);
    }
    t.pledged = rename_nodes(s.pledged, to);
    return t;
}

/* Which nodes are alike is said by the settings; a is the first primary and stays a. */
static bool keeps_kinds(const u8 *to)
{
    const int kinds[] = {opt.voters, opt.members, opt.postgres, opt.leaders,
                         opt.join,   opt.promote, opt.remove,   opt.silent};

    for (int kind : kinds) {
        for (int i = 0; i < opt.nodes; i++) {
            if (has_bit(static_cast<unsigned>(kind), i) !=
                has_bit(static_cast<unsigned>(kind), to[i])) {
                return false;
            }
        }
    }
    return true;
}

static state smallest_renamed(const state &s)
{
    u8 to[NODES_MAX] = {0, 1, 2, 3, 4};
    state best = s;

    while (std::next_permutation(to + 1, to + opt.nodes)) {
        if (keeps_kinds(to)) {
            const state candidate = renamed_state(s, to);

            if (memcmp(&candidate, &best, sizeof best) < 0) {
                best = candidate;
            }
        }
    }
    return best;
}

/* --- Steps --- */

/* Calls `emit` with each state that may follow `s`. */
template <class F> class stepper
{
  public:
    stepper(const state &from, F &emit_to) : s(from), emit(emit_to)
    {
    }

    void all()
    {
        tick();
        for (int i = 0; i < opt.nodes; i++) {
            if (s.nodes[i].up) {
                rounds(i);
                server(i);
                log(i);
                if (may_lead(s, i)) {
                    lead(i);
                }
            } else {
                start_daemon(i);
            }
            faults(i);
        }
        for (int j = 0; j < PROPOSALS_MAX; j++) {
            const proposal &p = s.proposals[j];

            if (p.used && p.holders == 0) {
                state t = s;

                t.proposals[j] = {};
                next(t, step_of(STEP_DROP, 0, j));
            }
        }
    }

  private:
    const state &s;
    F &emit;

    void next(state &t, uint32_t step)
    {
        for (int i = 0; i < opt.nodes && opt.wait_after_join; i++) {
            if (!is_named(s, i) && is_named(t, i)) {
                t.nodes[i].age = 0;
            }
        }
        simplify(t);
        if (opt.alike) {
            t = smallest_renamed(t);
        }
        if (step_fault != NULL || memcmp(&t, &s, sizeof t) != 0) {
            emit(t, step);
        }
    }

    void tick()
    {
        state t = s;

        for (int i = 0; i < opt.nodes; i++) {
            node &n = t.nodes[i];

            if (n.lease_left > 0 && --n.lease_left == 0) {
                end_lease(n);
            }
            if (n.up && n.age < opt.ttl) {
                n.age++;
            }
            for (u8 &ago : n.answered_ago) {
                ago = static_cast<u8>(std::min(ago + 1, opt.ttl));
            }
        }
        if (t.nobody > 0 && t.nobody <= opt.ttl) {
            t.nobody++;
        }
        for (round &r : t.rounds) {
            if (r.on && ++r.age >= opt.ttl) {
                r = {};
            }
        }
        next(t, step_of(STEP_TICK));
    }

    void rounds(int i)
    {
        const int own = own_epoch(s, i);

        if (own != 0 && may_matter(s, own, 0)) {
            state t = s;
            /* Numbers that are used again: old answers are taken for answers to this one. */
            const bool again = !opt.start_id && s.nodes[i].age < opt.ttl;

            t.rounds[own] = {
                1, 0, again ? s.rounds[own].answered : u8{0}, 0,
                in_log(s, ENTRY_SERVING, own, s.decided)};
            if (may_answer(s, i, own)) {
                answer(t, i, own); /* Itself at once, or not at all. */
            }
            next(t, step_of(STEP_ROUND, i, own));
        }
        for (int epoch = 1; epoch <= opt.epochs; epoch++) {
            const round &r = s.rounds[epoch];

            if (r.on && !has_bit(r.answered, i) && grantee(s, epoch) != i &&
                may_answer(s, i, epoch)) {
                state t = s;

                answer(t, i, epoch);
                next(t, step_of(STEP_ANSWER, i, epoch));
            }
        }
    }

    void server(int i)
    {
        const int own = own_epoch(s, i);

        if (may_start(s, i)) {
            state t = s;

            become_writable(t, i, own);
            if (has_bit(s.gone, own)) {
                step_fault = "PostgreSQL is started, and its node has said that it is gone";
            } else if (s.nodes[i].is_late) {
                step_fault = "PostgreSQL is started in an epoch that had served";
            }
            next(t, step_of(STEP_START, i, own));
            step_fault = NULL;
        }
        for (int epoch = 1; epoch < opt.epochs; epoch++) {
            if (may_report_gone(s, i, epoch)) {
                state t = s;

                t.gone |= bit(epoch);
                next(t, step_of(STEP_REPORT, i, epoch));
            }
        }
        if (opt.handover && s.nodes[i].writable && own == s.nodes[i].lease_epoch &&
            own < opt.epochs && in_log(s, ENTRY_SERVING, own, s.nodes[i].applied)) {
            state t = s;

            t.nodes[i].writable = 0;
            t.nodes[i].stopping = 1;
            next(t, step_of(STEP_STOP, i, own));
        }
    }

    void log(int i)
    {
        const node &n = s.nodes[i];

        if (n.has < s.decided) {
            if (is_known(s, config_at(s, s.decided), i)) {
                state t = s;

                t.nodes[i].stale = 0; /* Cut off. */
                t.nodes[i].has++;
                settle(t);
                next(t, step_of(STEP_RECEIVE, i));
            }
        } else {
            hold(i);
        }
        if (n.applied < n.has) {
            state t = s;

            t.nodes[i].applied++;
            next(t, step_of(STEP_APPLY, i));
        }
    }

    /* A proposal comes to its disk, in the place of another one. */
    void hold(int i)
    {
        for (int j = 0; j < PROPOSALS_MAX; j++) {
            const proposal &p = s.proposals[j];
            const config now =
                p.what.type == ENTRY_MEMBERS ? p.what.members : config_at(s, s.decided);

            if (p.used && p.holders != 0 && !has_bit(p.holders, i) && is_known(s, now, i)) {
                state t = s;

                lose_proposals(t, i);
                t.proposals[j].holders |= bit(i);
                if (t.proposals[1 - j].holders == 0) {
                    t.proposals[1 - j] = {};
                }
                settle(t);
                next(t, step_of(STEP_HOLD, i, j));
            }
        }
    }

    void faults(int i)
    {
        const node &n = s.nodes[i];

        if (n.up && s.crashes > 0) {
            state t = s;

            t.crashes--;
            stop_daemon(t, i);
            next(t, step_of(STEP_CRASH, i));
        }
        if (n.up && s.power > 0) {
            state t = s;

            t.power--;
            cut_power(t, i);
            next(t, step_of(STEP_POWER, i));
        }
        if (n.writable && s.deaths > 0) {
            state t = s;

            t.deaths--;
            t.nodes[i].writable = 0;
            next(t, step_of(STEP_DEATH, i));
        }
        if (s.wipes > 0 && n.incarnation == 0) {
            state t = s;

            t.wipes--;
            wipe_store(t, i);
            next(t, step_of(STEP_WIPE, i));
        }
        if (s.rollbacks > 0 && n.incarnation == 0) {
            roll_back(i);
        }
    }

    /* The database is put back; the mark, a file beside it, is not. */
    void roll_back(int i)
    {
        for (u8 has = 0; has < s.nodes[i].has; has++) {
            state t = s;

            t.rollbacks--;
            stop_daemon(t, i);
            lose_proposals(t, i);
            if (opt.mark) {
                wipe_store(t, i); /* It is found out, and starts over. */
            } else {
                t.nodes[i].has = has;
            }
            next(t, step_of(STEP_ROLLBACK, i, has));
        }
    }

    /* A majority, this node included, remembers no more of it than it has itself. */
    bool is_not_found_out(int i) const
    {
        u8 unaware = bit(i);

        for (int j = 0; j < opt.nodes; j++) {
            unaware |= s.nodes[j].up && s.nodes[j].has <= s.nodes[i].has ? bit(j) : u8{0};
        }
        return is_majority(unaware, config_at(s, s.nodes[i].has).voters);
    }

    void start_daemon(int i)
    {
        state t = s;

        if (opt.rollbacks > 0 && !opt.mark && !is_not_found_out(i)) {
            return;
        }
        t.nodes[i].up = 1;
        t.nodes[i].applied = std::min<u8>(t.nodes[i].has, 2); /* Its snapshot. */
        next(t, step_of(STEP_UP, i));
    }

    void lead(int i)
    {
        const int epoch = top_epoch(s, s.decided);
        const int now = phase(s);
        const int holder = grantee(s, epoch);

        if (now == ENTRY_REVOKE) {
            grant(i, epoch);
        } else if (epoch < opt.epochs && s.revokes > 0) {
            propose(i, make(ENTRY_REVOKE, epoch + 1, 0, false));
        }
        if ((now == ENTRY_GRANT || now == ENTRY_HANDOVER) && s.ready == epoch) {
            propose(i, make(ENTRY_SERVING, epoch, holder, false));
        }
        if (opt.handover && now == ENTRY_SERVING && has_bit(s.gone, epoch) && epoch < opt.epochs) {
            const unsigned candidates = run_postgres(config_at(s, s.decided));

            for (int to = 0; to < opt.nodes; to++) {
                if (has_bit(candidates, to)) {
                    propose(i, make(ENTRY_HANDOVER, epoch + 1, to, true));
                }
            }
        }
        if (s.changes > 0) {
            change_members(i, epoch);
        }
    }

    static entry make(int type, int epoch, int node, bool fenced)
    {
        entry e = {};

        e.type = static_cast<u8>(type);
        e.epoch = static_cast<u8>(epoch);
        e.node = static_cast<u8>(node);
        e.fenced = fenced;
        return e;
    }

    void grant(int i, int epoch)
    {
        const config now = config_at(s, s.decided);

        if (!is_majority(s.pledged, now.voters)) {
            return;
        }
        for (int to = 0; to < opt.nodes; to++) {
            if (has_bit(run_postgres(now) & s.pledged, to)) {
                propose(i, make(ENTRY_GRANT, epoch, to, false));
                if (is_over(s, epoch - 1)) {
                    propose(i, make(ENTRY_GRANT, epoch, to, true));
                }
            }
        }
    }

    /* Rule 15, and the two exceptions of decision 0013. For the second ha/ asks for more: that the
     * primary has applied all that its leader has. */
    void change_members(int i, int epoch)
    {
        const bool free = !opt.primary_changes || is_serving_primary(s, i);
        const int primary = grantee(s, epoch);

        for (int j = 0; j < opt.nodes; j++) {
            const bool its_vote = phase(s) == ENTRY_SERVING && j == primary && i != j;

            if (free || may_change_without_primary(s)) {
                change(i, j, CHANGE_JOIN);
            }
            if (free || may_change_without_primary(s) || its_vote) {
                change(i, j, CHANGE_PROMOTE);
            }
            if (free && i != j) {
                change(i, j, CHANGE_REMOVE);
            }
        }
    }

    void change(int i, int who, int kind)
    {
        config after = config_at(s, s.decided);
        const bool known = has_bit(after.members, who) && is_known(s, after, who);
        const int allowed = kind == CHANGE_JOIN      ? opt.join
                            : kind == CHANGE_PROMOTE ? opt.promote
                                                     : opt.remove;
        entry e = {};

        if (!has_bit(static_cast<unsigned>(allowed), who)) {
            return;
        }
        if (kind == CHANGE_JOIN && !known) {
            after.members |= bit(who);
            after.voters &= static_cast<u8>(~bit(who));
            after.incarnations &= static_cast<u8>(~bit(who));
            after.incarnations |= s.nodes[who].incarnation ? bit(who) : u8{0};
        } else if (kind == CHANGE_PROMOTE && known && !has_bit(after.voters, who)) {
            after.voters |= bit(who);
        } else if (kind == CHANGE_REMOVE && has_bit(after.members, who)) {
            after.members &= static_cast<u8>(~bit(who));
            after.voters &= static_cast<u8>(~bit(who));
        } else {
            return;
        }
        e.type = ENTRY_MEMBERS;
        e.members = after;
        propose(i, e, kind | who << 2);
    }

    void propose(int i, const entry &what, int change = 0)
    {
        for (const proposal &p : s.proposals) {
            if (p.used && memcmp(&p.what, &what, sizeof what) == 0) {
                return;
            }
        }
        for (int j = 0; j < (opt.rivals ? PROPOSALS_MAX : 1); j++) {
            if (!s.proposals[j].used) {
                state t = s;

                t.proposals[j] = {1, static_cast<u8>(i), bit(i), what};
                t.changes -= what.type == ENTRY_MEMBERS;
                t.revokes -= what.type == ENTRY_REVOKE;
                settle(t);
                next(t, step_of(STEP_PROPOSE, i, pack_entry(what, change)));
                return;
            }
        }
    }
};

#endif
