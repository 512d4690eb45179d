/*
 * raft/limit.h - how often the same thing is said.
 *
 * Whoever can reach the port can make the node refuse him as often as he likes;
 * the log must not grow with it. A key is what a message is about, hashed. Pure.
 */
#ifndef PGBATON_RAFT_LIMIT_H
#define PGBATON_RAFT_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_KEYS_MAX 32

struct limit {
    uint64_t span_ms; /* One message for a key in this time; set by the owner. */
    struct limit_key {
        uint64_t key;
        uint64_t until_ms; /* 0: the place is free. */
    } keys[LIMIT_KEYS_MAX];
};

/*
 * True if the message may be written now. With more keys at a time than there are
 * places all the others are silent: also a flood from many addresses is bounded.
 */
bool limit_allows(struct limit *limit, uint64_t key, uint64_t now_ms);

#endif
