/*
 * One writer, leases that exclude each other, nothing lost that must not be: watched from
 * outside, in true time.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/time.h"
#include "tests/sim/world.h"

#define ROUNDING_US   20           /* Of clocks turned into true time. */
#define WAIT_SLACK_US (SECOND / 4) /* What a wait is lengthened by, and a slow clock adds. */

/* --- After every event --- */

static void check_one_writer(struct world *world)
{
    struct sim_node *writer = NULL;

    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        const struct deadline *guard = &node->pg.guard;

        if (node->witness || sim_is_frozen(node) || !pg_model_can_acknowledge(&node->pg)) {
            continue;
        }
        CHECK(
            node, writer == NULL, "ONE WRITER: %s and %s can both acknowledge a commit",
            writer->name, node->name);
        writer = node;
        /* In the millisecond in which it ends the kernel's timer is still to come. */
        CHECK(
            node, guard->armed_epoch != 0 && clock_ms(node) <= guard->armed.end_ms,
            "PostgreSQL is writable without a running lease");
    }
}

/* Its lease runs, and it was not yet told to anybody that its PostgreSQL is gone. */
static bool holds_lease(const struct sim_node *node)
{
    const uint64_t now_ms = clock_ms(node);
    const struct deadline *guard = &node->pg.guard;

    if (node->witness || !node->powered) {
        return false;
    }
    if (pg_model_has_writable_process(&node->pg)) {
        return guard->armed_epoch != 0 && now_ms < guard->armed.end_ms;
    }
    return node->up && lease_holder_runs(&node->ha->holder, now_ms) &&
           node->ha->stopped.epoch < node->ha->holder.epoch;
}

static void check_exclusive(struct world *world)
{
    const struct sim_node *holder = NULL;

    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];

        if (holds_lease(node)) {
            CHECK(
                node, holder == NULL, "LEASE EXCLUSIVITY: %s holds a running lease too",
                holder->name);
            holder = node;
        }
    }
}

void check_world(struct world *world)
{
    check_one_writer(world);
    check_exclusive(world);
}

/* --- The log --- */

static void check_fenced_is_true(struct sim_node *node, const struct command *command)
{
    struct world *world = node->world;

    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *other = &world->nodes[i];

        CHECK(
            other,
            other->witness || !pg_model_has_writable_process(&other->pg) ||
                other->pg.guard.armed_epoch >= command->epoch ||
                clock_ms(other) >= other->pg.guard.armed.end_ms,
            "FENCED: epoch %llu is granted as fenced while a writable server has its lease here",
            (unsigned long long)command->epoch);
    }
}

static struct sim_epoch *epoch_of(struct sim_node *node, uint64_t epoch)
{
    CHECK(node, epoch < SIM_EPOCHS_MAX, "the run is too long for its tables");
    return &node->world->epochs[epoch];
}

void check_command(
    struct sim_node *node, uint64_t term, uint64_t index, const struct command *command)
{
    struct sim_epoch *epoch = epoch_of(node, command_epoch(command));

    (void)index;
    if (command->kind == COMMAND_SERVING) {
        epoch->served = true;
    }
    if ((command->kind != COMMAND_GRANT && command->kind != COMMAND_HANDOVER) ||
        epoch->kind != COMMAND_NONE) {
        return;
    }
    epoch->kind = command->kind;
    epoch->node = command->node;
    for (uint32_t i = 0; i < epoch->proposal_count; i++) {
        if (epoch->proposals[i].term == term) {
            epoch->proposal = epoch->proposals[i];
        }
    }
    if (command->kind == COMMAND_HANDOVER || command->fenced) {
        check_fenced_is_true(node, command);
    }
}

/* A store that was lost or rolled back since never answers a round again: that keeps its promise.
 */
static bool has_pledged(
    const struct sim_node *node, const struct raft_member *voter, uint64_t epoch)
{
    const struct sim_disk *disk = &node->disk;
    const bool is_lost = disk->hard.incarnation != voter->incarnation ||
                         node->mark.term > disk->hard.term || node->mark.index > disk_last(disk);

    return is_lost || disk_holds(node, epoch);
}

void check_grant_proposed(struct sim_node *node, const struct command *command)
{
    const struct cluster *cluster = ha_cluster(node->ha);
    const struct cluster_grant *served = cluster_last_served(cluster);
    const struct sim_node *old = served == NULL ? NULL : sim_find(node->world, served->node);
    const struct ha_status *status = ha_known_status(node->ha, command->node);
    struct sim_epoch *epoch;
    uint32_t pledged = 0;
    uint32_t reported = 0;
    uint32_t voters = 0;

    if (command->kind != COMMAND_GRANT) {
        return;
    }
    for (uint32_t i = 0; i < raft_config(node->raft)->count; i++) {
        const struct raft_member *voter = &raft_config(node->raft)->members[i];
        const struct sim_node *member = sim_find(node->world, voter->id);
        const struct ha_status *told = ha_known_status(node->ha, voter->id);

        if (voter->kind == RAFT_MEMBER_VOTER) {
            voters++;
            reported += told != NULL && told->log_epoch >= command->epoch ? 1 : 0;
            pledged += member != NULL && has_pledged(member, voter, command->epoch) ? 1 : 0;
        }
    }
    CHECK(
        node,
        cluster->last.epoch == 0 || status == NULL ||
            (status->failed_epoch != cluster->last.epoch &&
             status->refused_epoch != cluster->last.epoch),
        "grants epoch %llu to the node that has just given up", (unsigned long long)command->epoch);
    CHECK(
        node, 2 * reported > voters, "grants epoch %llu, and %u of %u voters have reported to it",
        (unsigned long long)command->epoch, reported, voters);
    CHECK(
        node, 2 * pledged > voters, "grants epoch %llu, and %u of %u voters have pledged",
        (unsigned long long)command->epoch, pledged, voters);
    epoch = epoch_of(node, command->epoch);
    epoch->proposals[epoch->proposal_count++ % 4] = (struct sim_proposal){
        .term = raft_term(node->raft),
        .known_epoch = served == NULL ? 0 : served->epoch,
        .known_lsn = old != NULL && node->reported_epoch[old->number] == served->epoch
                         ? node->reported_lsn[old->number]
                         : 0,
        .maximum_lag_bytes = node->dynamic.maximum_lag_bytes,
        .requested = cluster->request.kind == CLUSTER_REQUEST_FAILOVER &&
                     cluster->request.to == command->node,
    };
    epoch->proposal_count = epoch->proposal_count > 4 ? 4 : epoch->proposal_count;
}

/* Rule 15. A leader that another one has followed decides nothing any more. */
void check_membership_change(struct sim_node *node, uint64_t promoted)
{
    const struct world *world = node->world;

    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *other = &world->nodes[i];

        if (other->up && raft_term(other->raft) > raft_term(node->raft)) {
            return;
        }
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *other = &world->nodes[i];

        CHECK(
            node, other == node || other->id == promoted || !holds_lease(other),
            "changes the membership while %s holds a running lease", other->name);
    }
}

/* --- Lease rounds --- */

static void give(struct sim_node *node, uint32_t to, uint64_t epoch, uint64_t ttl_ms)
{
    node->given_us[to] = time_max(node->given_us[to], node->world->now_us + ttl_ms * 1000);
    node->given_epoch[to] = epoch;
}

static void note_own_answer(struct sim_node *node, const struct ha_message *message)
{
    const struct lease_holder *holder = &node->ha->holder;
    const struct lease_flight *flight = &holder->flights[message->round.number % LEASE_ROUNDS_MAX];

    for (uint32_t i = 0; i < flight->count; i++) {
        if (flight->answered[i] == node->id) {
            give(node, node->number, message->round.epoch, message->ttl_ms);
        }
    }
}

/* Decided or not: it was proposed under a lease of that epoch, so those before it had ended. */
static bool log_has_serving(const struct sim_node *node, uint64_t epoch)
{
    const struct ha *ha = node->ha;

    for (uint32_t i = 0; i < ha->tail_count; i++) {
        if (ha->tail[i].kind == COMMAND_SERVING && ha->tail[i].epoch == epoch) {
            return true;
        }
    }
    return ha->cluster.last.epoch == epoch && ha->cluster.last.served;
}

/* What a voter gave must have ended before it gives to another: in true time, and whatever the
 * voter itself remembers. */
static void check_answer(struct sim_node *node, const struct ha_message *message)
{
    struct world *world = node->world;
    const struct sim_node *to = sim_find(world, message->to);
    const struct sim_round *round = &to->rounds[message->round.number % SIM_ROUNDS];
    const struct cluster_grant *last = &ha_cluster(node->ha)->last;
    const uint64_t epoch = message->round.epoch;
    const bool exempt = last->epoch != epoch || last->fenced || log_has_serving(node, epoch);
    const uint64_t log_epoch = node_log_epoch(node);

    CHECK(
        node, log_epoch <= epoch, "answers epoch %llu, its log holds epoch %llu",
        (unsigned long long)epoch, (unsigned long long)log_epoch);
    for (uint32_t i = 0; i < world->node_count && !exempt; i++) {
        CHECK(
            node,
            i == to->number || node->given_epoch[i] >= epoch || world->now_us >= node->given_us[i],
            "answers %s in epoch %llu, %.3f ms before what it gave %s in epoch %llu is over",
            to->name, (unsigned long long)epoch, (double)(node->given_us[i] - world->now_us) / 1e3,
            world->nodes[i].name, (unsigned long long)node->given_epoch[i]);
    }
    if (round->number == message->round.number && round->start_id == message->round.start_id) {
        give(node, to->number, epoch, round->ttl_ms);
    }
    node->answered_us[to->number] = world->now_us;
    node->answered_epoch[to->number] = epoch;
}

/* Rule 4, its other half: whoever waits has given something to another node, or does not know that
 * the epoch has served. Else each restart of a voter would silence a healthy primary. */
void check_wait(struct sim_node *node, uint64_t epoch)
{
    const struct world *world = node->world;
    const struct ha *ha = node->ha;
    const uint64_t ttl_us = cluster_ttl_max(&ha->cluster) * 1000;
    bool has_given = false;

    for (uint32_t i = 0; i < world->node_count; i++) {
        /* A round that came too late to count is waited for like any other. */
        const uint64_t until_us = time_max(node->given_us[i], node->answered_us[i] + ttl_us);
        const bool was_older = node->given_epoch[i] < epoch ||
                               (node->answered_us[i] != 0 && node->answered_epoch[i] < epoch);

        has_given = has_given || (was_older && world->now_us < until_us + WAIT_SLACK_US);
    }
    CHECK(
        node,
        has_given || ha->cluster.last.epoch != epoch || !ha->cluster.last.served ||
            ha->serving_index > ha->durable_index,
        "lets a primary wait that has served in epoch %llu, for nothing that it gave",
        (unsigned long long)epoch);
}

/* Nothing of an older primary comes in any more: what is told is the end. */
static void check_pledge(struct sim_node *node, const struct ha_status *status)
{
    const struct cluster *cluster = ha_cluster(node->ha);
    const uint64_t end_lsn = pg_model_lsn(node->pg.wal.count);

    if (status->pledged_epoch == 0 || status->pledged_epoch != cluster->epoch ||
        cluster->phase != CLUSTER_REVOKED || node->pg.server != PG_MODEL_RECOVERY) {
        return;
    }
    CHECK(node, !node->pg.receiver, "has pledged, and its WAL receiver runs");
    CHECK(
        node, status->pledged_position.lsn == end_lsn, "has pledged %llu, its WAL ends at %llu",
        (unsigned long long)status->pledged_position.lsn, (unsigned long long)end_lsn);
}

static bool has_quorum(const struct sim_node *node, const struct sim_round *round)
{
    const struct raft_config *config = raft_config(node->raft);
    const struct raft_config *decided = raft_config_committed(node->raft);
    uint32_t voters = 0;
    uint32_t answered = 0;
    bool all = round->failsafe || node->dynamic.failsafe_mode;

    for (uint32_t i = 0; i < config->count; i++) {
        const struct sim_node *member = sim_find(node->world, config->members[i].id);
        const bool has = (round->answered >> member->number & 1) != 0;

        voters += config->members[i].kind == RAFT_MEMBER_VOTER ? 1 : 0;
        answered += config->members[i].kind == RAFT_MEMBER_VOTER && has ? 1 : 0;
        all = all && (has || member->witness);
    }
    for (uint32_t i = 0; i < decided->count; i++) {
        const struct sim_node *member = sim_find(node->world, decided->members[i].id);

        all = all && ((round->answered >> member->number & 1) != 0 || member->witness);
    }
    return 2 * answered > voters || all;
}

/* By the membership of that moment: who joins later takes no lease back that was given. */
static void note_completed(const struct sim_node *node, struct sim_round *round)
{
    round->completed = round->completed || has_quorum(node, round);
}

void check_ha_sent(struct sim_node *node, const struct ha_message *message)
{
    if (message->kind == HA_MESSAGE_STATUS && !node->witness) {
        check_pledge(node, &message->status);
        node->told_gave_up = time_max(message->status.failed_epoch, message->status.refused_epoch);
        node->told_gone = time_max(node->told_gone, message->status.stopped.epoch);
    }
    if (message->kind == HA_MESSAGE_RENEW) {
        /* Rule 6: else nobody would suspect a primary that is none any more. */
        CHECK(
            node,
            node->pg.facts_told.guard_fenced < message->round.epoch &&
                node->told_gave_up < message->round.epoch,
            "sends rounds of epoch %llu, which it has given up",
            (unsigned long long)message->round.epoch);
        node->rounds[message->round.number % SIM_ROUNDS] = (struct sim_round){
            .number = message->round.number,
            .start_id = message->round.start_id,
            .sent_us = node->world->now_us,
            .ttl_ms = message->ttl_ms,
            .answered = 1U << node->number,
            .failsafe = node->dynamic.failsafe_mode,
        };
        note_own_answer(node, message);
        note_completed(node, &node->rounds[message->round.number % SIM_ROUNDS]);
    }
    if (message->kind == HA_MESSAGE_ANSWER) {
        check_answer(node, message);
    }
}

void check_ha_received(struct sim_node *node, const struct ha_message *message)
{
    const struct sim_node *from = sim_find(node->world, message->from);
    const struct ha_status *status = &message->status;

    if (message->kind == HA_MESSAGE_ANSWER) {
        struct sim_round *round = &node->rounds[message->round.number % SIM_ROUNDS];

        if (round->number == message->round.number && round->start_id == message->round.start_id) {
            round->answered |= 1U << from->number;
            note_completed(node, round);
        }
    }
    if (message->kind == HA_MESSAGE_STATUS && status->writable && status->writable_epoch != 0) {
        if (status->writable_epoch > node->reported_epoch[from->number]) {
            node->reported_epoch[from->number] = status->writable_epoch;
            node->reported_lsn[from->number] = 0;
        }
        if (status->writable_epoch == node->reported_epoch[from->number]) {
            node->reported_lsn[from->number] =
                time_max(node->reported_lsn[from->number], status->position.lsn);
        }
    }
}

/* A lease ends before `ttl` has passed since a round was sent that a majority has answered. */
void check_lease(struct sim_node *node, uint64_t deadline_ms)
{
    const uint64_t end_us = clock_when_us(node, deadline_ms);

    for (uint32_t i = 0; i < SIM_ROUNDS; i++) {
        const struct sim_round *round = &node->rounds[i];

        if (round->start_id == node->ha->holder.start_id && round->number != 0 &&
            end_us <= round->sent_us + round->ttl_ms * 1000 + ROUNDING_US &&
            (round->completed || has_quorum(node, round))) {
            return;
        }
    }
    sim_fail(
        node->world, node,
        "its lease runs %.3f ms more, and no majority has answered a round for it",
        (double)(end_us - node->world->now_us) / 1e3);
}

/* --- PostgreSQL --- */

void check_start(struct sim_node *node, const struct pg_action *action)
{
    const struct cluster *cluster = ha_cluster(node->ha);

    CHECK(
        node,
        cluster->epoch == action->epoch && cluster->phase == CLUSTER_GRANTED &&
            cluster->last.node == node->id && node_log_epoch(node) == action->epoch,
        "makes PostgreSQL writable under epoch %llu, which is not its to use",
        (unsigned long long)action->epoch);
    CHECK(
        node, ha_lease_runs(node->ha, clock_ms(node)),
        "makes PostgreSQL writable without a running lease");
    CHECK(
        node, !log_has_serving(node, action->epoch),
        "makes PostgreSQL writable although SERVING is in its log");
}

void check_armed(struct sim_node *node, uint64_t epoch)
{
    struct sim_epoch *known = epoch_of(node, epoch);

    known->armed |= 1U << node->number;
    CHECK(
        node, known->armed == 1U << node->number, "epoch %llu has two writable nodes",
        (unsigned long long)epoch);
    CHECK(
        node, !node->ha->reinit_wanted,
        "becomes the primary in epoch %llu, and is still to be rebuilt", (unsigned long long)epoch);
    CHECK(
        node, node->told_gone < epoch,
        "a writable start under epoch %llu, of which it has said that nothing is left",
        (unsigned long long)epoch);
}

static void check_loss(struct sim_node *node, uint64_t number, uint64_t lost, uint64_t lost_known)
{
    const struct sim_epoch *epoch = epoch_of(node, number);
    const struct sim_proposal *proposal = &epoch->proposal;

    if (lost == 0) {
        return;
    }
    trace(
        node->world, node, "%llu acknowledged commits are lost, %llu of them known of",
        (unsigned long long)lost, (unsigned long long)lost_known);
    CHECK(
        node, epoch->kind != COMMAND_HANDOVER, "LOSS: %llu acknowledged commits, by a hand-over",
        (unsigned long long)lost);
    CHECK(
        node,
        proposal->requested || lost_known * PG_MODEL_RECORD_BYTES <= proposal->maximum_lag_bytes,
        "LOSS: %llu bytes that the leader knew of, with maximum_lag %llu",
        (unsigned long long)lost_known * PG_MODEL_RECORD_BYTES,
        (unsigned long long)proposal->maximum_lag_bytes);
}

void check_writable(struct sim_node *node, uint64_t epoch)
{
    struct world *world = node->world;
    const struct sim_proposal *proposal = &epoch_of(node, epoch)->proposal;
    uint64_t kept = 0;
    uint64_t lost_known = 0;

    for (uint64_t i = 0; i < world->commit_count; i++) {
        const struct sim_commit commit = world->commits[i];

        if (pg_model_contains(&node->pg, commit.at, commit.id)) {
            world->commits[kept++] = commit;
        } else if (
            commit.epoch <= proposal->known_epoch &&
            pg_model_lsn(commit.at + 1) <= proposal->known_lsn) {
            lost_known++;
        }
    }
    world->lost += world->commit_count - kept;
    check_loss(node, epoch, world->commit_count - kept, lost_known);
    world->commit_count = kept;
}

/* --- No demotion without need --- */

static bool is_quiet_link(const struct world *world, uint32_t a, uint32_t b, uint64_t since_us)
{
    return net_reaches(world, a, b) && world->link_bad_us[a][b] < since_us &&
           world->link_bad_us[b][a] < since_us;
}

/* Index of the newest grant that is on its disk. */
static uint64_t find_grant(const struct ha *ha)
{
    const uint64_t applied = ha->cluster.last.grant_index;
    uint64_t found = applied <= ha->durable_index ? applied : 0;

    for (uint32_t i = 0; i < ha->tail_count && ha->tail[i].index <= ha->durable_index; i++) {
        const enum command_kind kind = ha->tail[i].kind;

        found = kind == COMMAND_GRANT || kind == COMMAND_HANDOVER ? ha->tail[i].index : found;
    }
    return found;
}

void check_ha_log(struct sim_node *node)
{
    const uint64_t found = find_grant(node->ha);

    if (node->grant_seen != found) {
        node->grant_seen = found;
        node->grant_us = node->world->now_us;
    }
}

/* For a whole lease, that is: who got the grant later had no round to answer in time, perhaps. */
static bool would_answer(
    const struct sim_node *node, const struct sim_node *voter, uint64_t since_us)
{
    const struct world *world = node->world;
    const struct cluster *cluster = ha_cluster(node->ha);

    return sim_is_awake(voter) && !voter->ended && voter->disturbed_us < since_us &&
           raft_position_checked(voter->raft) && ha_log_epoch(voter->ha) <= cluster->epoch &&
           voter->grant_seen == cluster->last.grant_index &&
           voter->grant_us + world->swarm.ttl_ms * 1000 <= world->now_us &&
           (voter == node || is_quiet_link(world, node->number, voter->number, since_us));
}

/* Also while it is stopped as planned, however long that takes. */
static bool has_server(const struct sim_node *node, uint64_t epoch)
{
    return node->pg.server == PG_MODEL_WRITABLE ||
           (node->ha->stopping_epoch == epoch && pg_model_has_writable_process(&node->pg));
}

/* It serves, and has been left alone; so has the network but for cuts. */
static bool should_serve(const struct sim_node *node, uint64_t epoch, uint64_t since_us)
{
    const struct world *world = node->world;

    return sim_is_awake(node) && !node->ended && node->disturbed_us < since_us &&
           node->config_us < since_us && world->epochs[epoch].served && has_server(node, epoch) &&
           ha_cluster(node->ha)->epoch == epoch && ha_log_epoch(node->ha) == epoch &&
           (world->swarm.loss == 0 || world->calm) && world->storm_us <= since_us &&
           world->swarm.delay_max_us * 20 <= world->swarm.ttl_ms * 1000;
}

/* No demotion without need, whatever the log's disks do. */
void check_fenced(struct sim_node *node, uint64_t epoch)
{
    const struct world *world = node->world;
    const uint64_t since_us = time_since(world->now_us, 3 * world->swarm.ttl_ms * 1000);
    const struct raft_config *config;
    uint32_t voters = 0;
    uint32_t answering = 0;

    if (!should_serve(node, epoch, since_us)) {
        return;
    }
    config = raft_config(node->raft);
    for (uint32_t i = 0; i < config->count; i++) {
        const struct sim_node *voter = sim_find(node->world, config->members[i].id);

        if (config->members[i].kind == RAFT_MEMBER_VOTER) {
            voters++;
            answering += would_answer(node, voter, since_us) ? 1 : 0;
        }
    }
    CHECK(
        node, 2 * answering <= voters,
        "NEEDLESS DEMOTION: %u of %u voters could have answered all the time", answering, voters);
}
