/*
 * ReadIndex (Ongaro's dissertation, 6.4): what was decided before a question came is
 * known to a leader that, after it came, is still answered by a majority. No disk and
 * no clock take part.
 */
#include "base/assert.h"
#include "raft/raft_impl.h"

enum raft_proposal_result raft_read_add(struct raft *raft, uint64_t number)
{
    if (raft->role != RAFT_LEADER) {
        return RAFT_PROPOSAL_NOT_LEADER;
    }
    if (raft->read_count == RAFT_READS_MAX) {
        return RAFT_PROPOSAL_FULL;
    }
    raft->reads[raft->read_count++] = (struct read){.number = number, .round = raft->round};
    raft->heartbeat_wanted = true;
    return RAFT_PROPOSAL_TAKEN;
}

/*
 * A leader without a committed entry of its own term does not know what is committed;
 * its commit index is the answer only from then on.
 */
static bool is_done(const struct raft *raft, struct read *read, uint64_t confirmed_round)
{
    if (read->index == 0 && raft_leader_ready(raft)) {
        read->index = raft->commit_index;
    }
    return read->index != 0 && read->index <= raft->applied_index && confirmed_round > read->round;
}

void raft_read_finish(struct raft *raft)
{
    struct raft_update *update = raft->update;
    uint32_t kept = 0;
    uint64_t confirmed_round;

    if (raft->read_count == 0) {
        return;
    }
    ASSERT(raft->role == RAFT_LEADER);
    confirmed_round =
        raft_leader_quorum(raft, offsetof(struct progress, answered_round), UINT64_MAX);
    for (uint32_t i = 0; i < raft->read_count; i++) {
        struct read *read = &raft->reads[i];

        if (is_done(raft, read, confirmed_round)) {
            update->read_numbers[update->read_count++] = read->number;
        } else {
            raft->reads[kept++] = *read;
        }
    }
    raft->read_count = kept;
}

void raft_read_fail_all(struct raft *raft)
{
    struct raft_update *update = raft->update;

    for (uint32_t i = 0; i < raft->read_count; i++) {
        update->read_failed_numbers[update->read_failed_count++] = raft->reads[i].number;
    }
    raft->read_count = 0;
}
