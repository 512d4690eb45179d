/*
 * Epochs, leases, grants, membership and failsafe_mode of docs/architecture.md, over an abstract
 * Raft log: can two nodes hold a lease at once? Usage: lease [key=value]...; `lease help` lists
 * the keys. Exits with 0 if no violation was found, 1 with a trace if there was one, 2 if the
 * arguments are wrong.
 */
#include <cstdlib>

#include "tests/model/explore.h"
#include "tests/model/steps.h"

static char name_of(int i)
{
    return static_cast<char>('a' + i);
}

static std::string names_of(unsigned mask)
{
    std::string names;

    for (int i = 0; i < opt.nodes; i++) {
        if (has_bit(mask, i)) {
            names += name_of(i);
        }
    }
    return names;
}

static std::string describe_entry(const entry &e)
{
    switch (e.type) {
    case ENTRY_REVOKE:
        return "REVOKE(" + std::to_string(e.epoch) + ")";
    case ENTRY_SERVING:
        return "SERVING(" + std::to_string(e.epoch) + ")";
    case ENTRY_GRANT:
        return "GRANT(" + std::to_string(e.epoch) + ", " + name_of(e.node) +
               (e.fenced ? ", fenced)" : ")");
    case ENTRY_HANDOVER:
        return "HANDOVER(" + std::to_string(e.epoch) + ", " + name_of(e.node) + ")";
    default:
        return "MEMBERS(voters " + names_of(e.members.voters) + " of " +
               names_of(e.members.members) + ")";
    }
}

static std::string describe_proposal(int what)
{
    static const char *changes[] = {"takes in ", "gives a vote to ", "removes "};
    entry e = {};

    e.type = static_cast<u8>(what & 15);
    if (e.type == ENTRY_MEMBERS) {
        return std::string("a membership that ") + changes[what >> 4 & 3] + name_of(what >> 6);
    }
    e.node = static_cast<u8>(what >> 4 & 15);
    e.epoch = static_cast<u8>(what >> 8 & 15);
    e.fenced = static_cast<u8>(what >> 12 & 1);
    return describe_entry(e);
}

static std::string describe_tick(const state &s)
{
    std::string line = "-- tick --";

    for (int i = 0; i < opt.nodes; i++) {
        if (s.nodes[i].lease_left == 1) {
            line += std::string(" the lease of ") + name_of(i) + " ends, and its PostgreSQL";
        }
    }
    return line;
}

static std::string describe_step(const state &s, uint32_t step)
{
    const int i = step_node(step);
    const int what = step_what(step);
    const std::string who(1, name_of(i));
    const std::string number = std::to_string(what);

    switch (step_kind_of(step)) {
    case STEP_TICK:
        return describe_tick(s);
    case STEP_ROUND:
        return who + " sends a round of epoch " + number;
    case STEP_ANSWER:
        return who + " answers the round of epoch " + number + ", sent " +
               std::to_string(s.rounds[what].age) + " ticks ago";
    case STEP_START:
        return who + " starts PostgreSQL writable under epoch " + number;
    case STEP_REPORT:
        return who + " says that nothing it started under epoch " + number + " is left";
    case STEP_STOP:
        return who + " stops PostgreSQL on purpose";
    case STEP_DEATH:
        return "PostgreSQL of " + who + " dies";
    case STEP_CRASH:
        return "the daemon of " + who + " dies" +
               (s.nodes[i].writable ? "; its guard and PostgreSQL go on" : "");
    case STEP_POWER:
        return who + " loses power";
    case STEP_UP:
        return "the daemon of " + who + " starts";
    case STEP_WIPE:
        return "the Raft store of " + who + " is wiped";
    case STEP_ROLLBACK:
        return "the Raft store of " + who + " is put back to a copy with " + number + " entries";
    case STEP_PROPOSE:
        return who + " leads and proposes " + describe_proposal(what);
    case STEP_HOLD:
        return who + " has " + describe_entry(s.proposals[what].what) + " on disk";
    case STEP_RECEIVE:
        return who + " receives " + describe_entry(s.log[s.nodes[i].has]);
    case STEP_APPLY:
        return who + " applies " + describe_entry(s.log[s.nodes[i].applied]);
    default:
        return "a proposal is lost";
    }
}

/* a serves epoch 1, and everybody that is not silent has just answered it. */
static void make_first(state &s)
{
    memset(&s, 0, sizeof s);
    s.decided = 2;
    s.log[0].type = ENTRY_GRANT;
    s.log[0].epoch = 1;
    s.log[1].type = ENTRY_SERVING;
    s.log[1].epoch = 1;
    s.ready = 1;
    s.rounds[1].on = 1;
    for (int i = 0; i < opt.nodes; i++) {
        node &n = s.nodes[i];

        n.up = 1;
        n.has = n.applied = 2;
        n.age = static_cast<u8>(opt.ttl);
        forget_answers(n);
        if (i == 0 || (has_bit(static_cast<unsigned>(opt.members), i) &&
                       !has_bit(static_cast<unsigned>(opt.silent), i))) {
            n.answered_ago[1] = 0;
            s.rounds[1].answered |= bit(i);
        }
    }
    s.nodes[0].lease_epoch = s.nodes[0].started = s.nodes[0].writable = 1;
    s.nodes[0].lease_left = static_cast<u8>(opt.ttl);
    s.rounds[1].served = s.rounds[1].answered;
    s.crashes = static_cast<u8>(opt.crashes);
    s.power = static_cast<u8>(opt.power);
    s.deaths = static_cast<u8>(opt.deaths);
    s.wipes = static_cast<u8>(opt.wipes);
    s.rollbacks = static_cast<u8>(opt.rollbacks);
    s.changes = static_cast<u8>(opt.changes);
    s.revokes = static_cast<u8>(opt.revokes);
}

/* What explore.h asks for. */
struct lease_model {
    typedef ::state state;
    static const char *&fault;

    static void init(state &s)
    {
        make_first(s);
    }

    template <class F> static void steps(const state &s, F emit)
    {
        stepper<F>(s, emit).all();
    }

    static const char *violation(const state &s)
    {
        return find_violation(s);
    }

    static std::string describe(const state &s, uint32_t step)
    {
        return describe_step(s, step);
    }

    /* Faults and decisions are rare, or nothing ever gets done. */
    static double weight(uint32_t step)
    {
        switch (step_kind_of(step)) {
        case STEP_TICK:
            return 1.5;
        case STEP_ROUND:
            return 0.5;
        case STEP_PROPOSE:
            return 0.25;
        case STEP_CRASH:
        case STEP_POWER:
        case STEP_DEATH:
        case STEP_WIPE:
        case STEP_ROLLBACK:
        case STEP_STOP:
            return 0.15;
        default:
            return 1;
        }
    }
};

const char *&lease_model::fault = step_fault;

static void print_help()
{
    printf("states=4000000 walk=0 (steps of each random run) seed=1\nBounds:\n");
#define MODEL_LINE(name, value, text) printf("  %-17s %2d  %s\n", #name, value, text);
    MODEL_BOUNDS(MODEL_LINE)
    printf("Rules, 0 takes one away:\n");
    MODEL_RULES(MODEL_LINE)
#undef MODEL_LINE
}

static bool set_option(bounds &limit, const std::string &key, const char *value)
{
#define MODEL_SET(name, first, text) \
    if (key == #name) {              \
        opt.name = atoi(value);      \
        return true;                 \
    }
    MODEL_BOUNDS(MODEL_SET)
    MODEL_RULES(MODEL_SET)
#undef MODEL_SET
    if (key == "states") {
        limit.states = strtoull(value, NULL, 10);
    } else if (key == "walk") {
        limit.walk_steps = atoi(value);
    } else if (key == "seed") {
        limit.seed = strtoull(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    bounds limit;
    state first;

    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        const std::string key(argv[i], equals != NULL ? equals - argv[i] : strlen(argv[i]));

        if (key == "help") {
            print_help();
            return 0;
        }
        if (equals == NULL || !set_option(limit, key, equals + 1)) {
            fprintf(stderr, "lease: \"%s\" is not known; see lease help\n", argv[i]);
            return 2;
        }
    }
    if (opt.nodes < 1 || opt.nodes > NODES_MAX || opt.epochs < 1 || opt.epochs > EPOCHS_MAX) {
        fprintf(stderr, "lease: at most %d nodes and %d epochs\n", NODES_MAX, EPOCHS_MAX);
        return 2;
    }
    make_first(first);
    if (!is_majority(first.rounds[1].answered, static_cast<unsigned>(opt.voters))) {
        fprintf(stderr, "lease: too many are silent, nobody could be primary\n");
        return 2;
    }
    if (limit.walk_steps > 0) {
        return random_walks<lease_model>().run(limit) ? 0 : 1;
    }
    return breadth_first<lease_model>().run(limit) ? 0 : 1;
}
