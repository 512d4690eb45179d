/*
 * raft/quorum.h - majority arithmetic over a set of voters.
 *
 * Pure: every function depends on its arguments alone, so a test can try whole input
 * spaces. An empty set of voters never wins and never agrees on anything: a node that
 * knows of no voters must not elect itself.
 */
#ifndef PGBATON_RAFT_QUORUM_H
#define PGBATON_RAFT_QUORUM_H

#include <stdint.h>

#include "raft/raft.h"

enum quorum_vote {
    QUORUM_VOTE_PENDING, /* No answer yet. */
    QUORUM_VOTE_GRANTED,
    QUORUM_VOTE_REFUSED,
};

enum quorum_result {
    QUORUM_PENDING, /* The voters still silent decide. */
    QUORUM_WON,
    QUORUM_LOST, /* Lost for this term, whatever the silent voters say. */
};

/* The least number of voters such that any two groups of it share a member. */
uint32_t quorum_size(uint32_t voter_count);

/* `needed` votes win: quorum_size() of them, or more where a caller has reason to be stricter. */
enum quorum_result quorum_tally(
    const enum quorum_vote votes[], uint32_t voter_count, uint32_t needed);

/*
 * The highest value that a majority has reached: of log indexes it is what may be
 * committed, of rounds what is confirmed, of times when a majority was last heard.
 * `reached[i]` is 0 for nothing; the order of the voters does not matter. At most
 * RAFT_VOTERS_MAX voters.
 */
uint64_t quorum_reached(const uint64_t reached[], uint32_t voter_count);

#endif
