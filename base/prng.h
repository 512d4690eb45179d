/*
 * base/prng.h - a small seeded generator (xoshiro256**, Blackman and Vigna); the
 * only randomness a pure file may use. Not for secrets.
 */
#ifndef PGBATON_BASE_PRNG_H
#define PGBATON_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_init(struct prng *prng, uint64_t seed);
uint64_t prng_next(struct prng *prng);

/* Uniform in [low, high], both included. */
uint64_t prng_between(struct prng *prng, uint64_t low, uint64_t high);

/* True with a probability of `percent` / 100. */
bool prng_chance(struct prng *prng, uint32_t percent);

#endif
