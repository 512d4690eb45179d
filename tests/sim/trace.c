/*
 * What happened, in lines for people, and what was reached at all.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "raft/describe.h"
#include "tests/sim/world.h"

#define RING_LINES 200
#define LINE_BYTES 320

struct coverage *coverage;

static enum trace_mode mode;
static char (*ring)[LINE_BYTES];
static uint64_t ring_count;

void trace_open(enum trace_mode wanted)
{
    mode = wanted;
    if (mode == TRACE_RING) {
        ring = calloc(RING_LINES, sizeof *ring);
        ASSERT(ring != NULL);
    }
}

bool trace_wanted(void)
{
    return mode != TRACE_OFF;
}

void trace(const struct world *world, const struct sim_node *node, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    int used;

    if (mode == TRACE_OFF) {
        return;
    }
    used = snprintf(
        line, sizeof line, "%10.3f %-2s ", (double)world->now_us / 1e6,
        node == NULL ? "" : node->name);
    ASSERT(used > 0);
    va_start(args, format);
    (void)vsnprintf(&line[used], sizeof line - (size_t)used, format, args);
    va_end(args);
    if (mode == TRACE_ALL) {
        (void)puts(line);
    } else {
        memcpy(ring[ring_count++ % RING_LINES], line, sizeof line);
    }
}

void trace_dump(void)
{
    const uint64_t first = ring_count > RING_LINES ? ring_count - RING_LINES : 0;

    for (uint64_t i = first; mode == TRACE_RING && i < ring_count; i++) {
        (void)puts(ring[i % RING_LINES]);
    }
    (void)fflush(stdout);
}

/* Where everybody stands, behind the trace. */
static void print_node(const struct sim_node *node)
{
    const struct pg_model *pg = &node->pg;

    (void)printf(
        "  %s%s%s: PostgreSQL %s, data %d, timeline %u, %" PRIu64 " records, %" PRIu64
        " replayed, marker %" PRIu64 ", follow %" PRIu64 " %u/%" PRIu64 "%s%s%s",
        node->name, node->powered ? "" : " without power", node->damaged ? " damaged" : "",
        pg_model_server_name(pg->server), (int)pg->data, pg_model_timeline(pg), pg->wal.count,
        pg->replayed, pg->record.marker_epoch, pg->record.follow_epoch, pg->record.follow_timeline,
        pg->record.follow_lsn, pg->conninfo ? ", follows " : "",
        pg->conninfo ? pg->upstream.name : "", pg->streaming ? ", streams" : "");
    if (node->up) {
        const struct cluster *cluster = ha_cluster(node->ha);

        (void)printf(
            "; %s of term %" PRIu64 "%s, log to %" PRIu64 ", epoch %" PRIu64 " %s, grantee %s, "
            "action %s, refused %" PRIu64 ", failed %" PRIu64 " %s, %s",
            raft_role_name(raft_role(node->raft)), raft_term(node->raft),
            raft_is_voter(node->raft) ? "" : " without a vote", raft_last_index(node->raft),
            cluster->epoch, cluster_phase_name(cluster->phase), cluster->last.name,
            pg_action_name(node->ha->action.kind), node->ha->refused_epoch, node->ha->failed_epoch,
            node->ha->why_failed, node->ha->no_grant_reason);
    } else {
        (void)printf("; daemon is down");
    }
    (void)printf("\n");
}

void sim_fail(const struct world *world, const struct sim_node *node, const char *format, ...)
{
    va_list args;

    if (mode != TRACE_OFF) {
        trace_dump();
        for (uint32_t i = 0; i < world->node_count; i++) {
            print_node(&world->nodes[i]);
        }
        (void)printf(
            "seed %" PRIu64 ", %.3f s, %s: VIOLATED: ", world->seed, (double)world->now_us / 1e6,
            node == NULL ? "all" : node->name);
        va_start(args, format);
        (void)vprintf(format, args);
        va_end(args);
        (void)printf("\n");
        (void)fflush(stdout);
    }
    _exit(1);
}

static void print_missing(const char *what, const char *name, uint64_t count)
{
    if (count == 0) {
        (void)printf("never reached: %s %s\n", what, name);
    }
}

static void print_actions(void)
{
    for (int kind = PG_ACTION_NONE + 1; kind <= PG_ACTION_BOOTSTRAP_SQL; kind++) {
        for (int result = PG_RESULT_OK; result <= PG_RESULT_CANCELLED; result++) {
            char name[80];

            (void)snprintf(
                name, sizeof name, "%s: %s", pg_action_name((enum pg_action_kind)kind),
                pg_result_name((enum pg_result)result));
            print_missing("action", name, coverage->actions[kind][result]);
        }
    }
}

static void print_edges(void)
{
    for (int from = CLUSTER_NONE; from <= CLUSTER_SERVING; from++) {
        for (int to = CLUSTER_NONE; to <= CLUSTER_SERVING; to++) {
            char name[40];

            (void)snprintf(
                name, sizeof name, "%s -> %s", cluster_phase_name((enum cluster_phase)from),
                cluster_phase_name((enum cluster_phase)to));
            print_missing("phase", name, coverage->phase_edges[from][to]);
        }
    }
}

void coverage_print_missing(void)
{
    static const char *const ha_notes[] = {
#define X(code, level, text) [HA_NOTE_##code] = text,
        HA_NOTE_MAP(X)
#undef X
    };
    static const char *const raft_notes[] = {
#define X(code, text) [RAFT_NOTE_##code] = text,
        RAFT_NOTE_MAP(X)
#undef X
    };

    for (size_t i = 1; i < HA_NOTE_KINDS; i++) {
        print_missing("ha note", ha_notes[i], coverage->ha_notes[i]);
    }
    for (size_t i = 1; i < RAFT_NOTE_KINDS; i++) {
        print_missing("raft note", raft_notes[i], coverage->raft_notes[i]);
    }
    for (int kind = COMMAND_NONE + 1; kind < COMMAND_KINDS; kind++) {
        print_missing("command", command_name((enum command_kind)kind), coverage->commands[kind]);
    }
    for (int verdict = 1; verdict <= LEASE_REFUSE_WAIT; verdict++) {
        print_missing(
            "refusal", lease_verdict_name((enum lease_verdict)verdict),
            coverage->verdicts[verdict]);
    }
    for (int fault = 0; fault < SIM_FAULTS; fault++) {
        print_missing("fault", fault_name((enum sim_fault)fault), coverage->faults[fault]);
    }
    print_edges();
    print_actions();
}
