/*
 * What happened, in lines for people.
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
