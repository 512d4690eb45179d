/*
 * What was reached at all: notes, commands, results, and the edges of state machines. A fault or
 * a turn that no seed ever came to is one that nothing was shown about.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "raft/describe.h"
#include "tests/sim/world.h"

#define ROLES      3 /* Of Raft. */
#define PHASES     4 /* Of the replicated state. */
#define STATE_SIZE 40

struct coverage *coverage;

void coverage_add(struct coverage *to, const struct coverage *from)
{
    uint64_t *sums = (uint64_t *)to;
    const uint64_t *numbers = (const uint64_t *)from;

    _Static_assert(sizeof *to % sizeof *sums == 0, "a coverage is an array of numbers");
    for (size_t i = 0; i < sizeof *to / sizeof *sums; i++) {
        sums[i] += numbers[i];
    }
}

/* --- State machines --- */

static uint32_t state_of(const struct sim_node *node, enum sim_machine machine)
{
    const struct cluster *cluster = ha_cluster(node->ha);
    const bool mine = cluster->last.node == node->id;

    switch (machine) {
    case SIM_MACHINE_ROLE:
        return (uint32_t)raft_role(node->raft) * PHASES + (uint32_t)cluster->phase;
    case SIM_MACHINE_GRANT:
        return (mine ? PHASES : 0) + (uint32_t)cluster->phase;
    case SIM_MACHINE_SERVER:
        return (uint32_t)node->pg.server;
    case SIM_MACHINES:
        break;
    }
    UNREACHABLE();
}

static uint32_t count_states(enum sim_machine machine)
{
    switch (machine) {
    case SIM_MACHINE_ROLE:
        return ROLES * PHASES;
    case SIM_MACHINE_GRANT:
        return 2 * PHASES;
    case SIM_MACHINE_SERVER:
        return PG_MODEL_ORPHANS + 1;
    case SIM_MACHINES:
        break;
    }
    UNREACHABLE();
}

static const char *machine_name(enum sim_machine machine)
{
    static const char *const names[SIM_MACHINES] = {
        [SIM_MACHINE_ROLE] = "role and phase",
        [SIM_MACHINE_GRANT] = "phase and grantee",
        [SIM_MACHINE_SERVER] = "PostgreSQL",
    };

    return names[machine];
}

static void name_state(enum sim_machine machine, uint32_t state, char *name, size_t size)
{
    const char *const phase = cluster_phase_name((enum cluster_phase)(state % PHASES));

    switch (machine) {
    case SIM_MACHINE_ROLE:
        (void)snprintf(
            name, size, "%s/%s", raft_role_name((enum raft_role)(state / PHASES)), phase);
        return;
    case SIM_MACHINE_GRANT:
        (void)snprintf(name, size, "%s/%s", phase, state / PHASES == 0 ? "not it" : "it");
        return;
    case SIM_MACHINE_SERVER:
        (void)snprintf(name, size, "%s", pg_model_server_name((enum pg_model_server)state));
        return;
    case SIM_MACHINES:
        break;
    }
    UNREACHABLE();
}

void coverage_observe(struct sim_node *node)
{
    for (uint32_t i = 0; node->up && i < SIM_MACHINES; i++) {
        const uint32_t state = state_of(node, (enum sim_machine)i);

        if (node->observed && state != node->states[i]) {
            coverage->edges[i][node->states[i]][state]++;
        }
        node->states[i] = state;
    }
    node->observed = node->up; /* A daemon that starts comes from nowhere. */
}

/* A phase only moves on, and moves while the log does: not with the step to a candidate, nor with
 * the one to a leader. An edge that is left out here is counted all the same if it is seen. */
static bool is_possible(enum sim_machine machine, uint32_t from, uint32_t to)
{
    const uint32_t role = from / PHASES;
    const uint32_t next_role = to / PHASES;
    const bool phase_moves = from % PHASES != to % PHASES;

    switch (machine) {
    case SIM_MACHINE_ROLE:
        return (to % PHASES != CLUSTER_NONE || !phase_moves) &&
               (next_role == RAFT_FOLLOWER || (role == RAFT_LEADER && next_role == RAFT_LEADER) ||
                (next_role == role + 1 && !phase_moves));
    case SIM_MACHINE_GRANT:
        return to % PHASES != CLUSTER_NONE && from != PHASES + CLUSTER_NONE;
    case SIM_MACHINE_SERVER:
        return to == PG_MODEL_GONE ||
               (from == PG_MODEL_GONE
                    ? to == PG_MODEL_STARTING
                    : to > from && !(from == PG_MODEL_STARTING && to == PG_MODEL_PROMOTING) &&
                          !(from == PG_MODEL_RECOVERY && to == PG_MODEL_WRITABLE));
    case SIM_MACHINES:
        break;
    }
    UNREACHABLE();
}

/* --- For people --- */

struct tally {
    uint32_t reached;
    uint32_t all;
    bool in_line; /* Something in this line was not reached. */
};

static void count_one(struct tally *tally, const char *what, const char *name, uint64_t count)
{
    tally->all++;
    if (count > 0) {
        tally->reached++;
        return;
    }
    if (tally->in_line) {
        (void)printf("; %s", name);
    } else {
        (void)printf("never reached: %s: %s", what, name);
    }
    tally->in_line = true;
}

static void end_line(struct tally *tally)
{
    if (tally->in_line) {
        (void)printf("\n");
    }
    tally->in_line = false;
}

static void end_tally(struct tally *tally, const char *what)
{
    end_line(tally);
    (void)printf("reached: %s: %u of %u\n", what, tally->reached, tally->all);
    *tally = (struct tally){0, 0, false};
}

static void report_notes(struct tally *tally)
{
    for (int kind = HA_NOTE_NONE + 1; kind < HA_NOTE_KINDS; kind++) {
        count_one(
            tally, "notes of ha", ha_note_text((enum ha_note_kind)kind), coverage->ha_notes[kind]);
    }
    end_tally(tally, "notes of ha");
    for (int kind = RAFT_NOTE_NONE + 1; kind < RAFT_NOTE_KINDS; kind++) {
        count_one(
            tally, "notes of raft", raft_note_kind_text((enum raft_note_kind)kind),
            coverage->raft_notes[kind]);
    }
    end_tally(tally, "notes of raft");
}

static void report_kinds(struct tally *tally)
{
    for (int kind = COMMAND_NONE + 1; kind < COMMAND_KINDS; kind++) {
        count_one(
            tally, "commands", command_name((enum command_kind)kind), coverage->commands[kind]);
    }
    end_tally(tally, "commands");
    for (int verdict = 1; verdict <= LEASE_REFUSE_WAIT; verdict++) {
        count_one(
            tally, "refusals of rounds", lease_verdict_name((enum lease_verdict)verdict),
            coverage->verdicts[verdict]);
    }
    end_tally(tally, "refusals of rounds");
    for (int fault = 0; fault < SIM_FAULTS; fault++) {
        count_one(tally, "faults", fault_name((enum sim_fault)fault), coverage->faults[fault]);
    }
    end_tally(tally, "faults");
}

static void report_actions(struct tally *tally)
{
    for (int kind = PG_ACTION_NONE + 1; kind <= PG_ACTION_BOOTSTRAP_SQL; kind++) {
        for (int result = PG_RESULT_OK; result <= PG_RESULT_CANCELLED; result++) {
            count_one(
                tally, pg_action_name((enum pg_action_kind)kind),
                pg_result_name((enum pg_result)result), coverage->actions[kind][result]);
        }
        end_line(tally);
    }
    end_tally(tally, "results of actions");
}

static void report_edges(struct tally *tally, enum sim_machine machine)
{
    for (uint32_t from = 0; from < count_states(machine); from++) {
        char name[STATE_SIZE];
        char edges[STATE_SIZE + 40];

        name_state(machine, from, name, sizeof name);
        (void)snprintf(edges, sizeof edges, "%s: from %s to", machine_name(machine), name);
        for (uint32_t to = 0; to < count_states(machine); to++) {
            const uint64_t count = coverage->edges[machine][from][to];

            if (from != to && (count > 0 || is_possible(machine, from, to))) {
                name_state(machine, to, name, sizeof name);
                count_one(tally, edges, name, count);
            }
        }
        end_line(tally);
    }
    end_tally(tally, machine_name(machine));
}

void coverage_report(void)
{
    struct tally tally = {0, 0, false};

    report_notes(&tally);
    report_kinds(&tally);
    report_actions(&tally);
    for (uint32_t i = 0; i < SIM_MACHINES; i++) {
        report_edges(&tally, (enum sim_machine)i);
    }
}
