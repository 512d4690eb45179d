#include "raft/quorum.h"

#include "base/assert.h"

uint32_t quorum_size(uint32_t voter_count)
{
    return voter_count / 2 + 1;
}

enum quorum_result quorum_tally(
    const enum quorum_vote votes[], uint32_t voter_count, uint32_t needed)
{
    uint32_t granted = 0;
    uint32_t refused = 0;

    ASSERT(needed >= quorum_size(voter_count));
    for (uint32_t i = 0; i < voter_count; i++) {
        granted += votes[i] == QUORUM_VOTE_GRANTED;
        refused += votes[i] == QUORUM_VOTE_REFUSED;
    }
    if (granted >= needed) {
        return QUORUM_WON;
    }
    return voter_count - refused < needed ? QUORUM_LOST : QUORUM_PENDING;
}

uint64_t quorum_reached(const uint64_t reached[], uint32_t voter_count)
{
    uint64_t sorted[RAFT_VOTERS_MAX]; /* Highest first. */

    ASSERT(voter_count <= RAFT_VOTERS_MAX);
    if (voter_count == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < voter_count; i++) {
        uint32_t at = i;

        for (; at > 0 && sorted[at - 1] < reached[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = reached[i];
    }
    return sorted[quorum_size(voter_count) - 1];
}
