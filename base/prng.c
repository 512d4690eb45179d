#include "base/prng.h"

#include "base/assert.h"

static uint64_t rotate_left(uint64_t value, unsigned int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/* splitmix64: spreads a seed of few bits over a state that must not be all zero. */
static uint64_t spread(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void prng_init(struct prng *prng, uint64_t seed)
{
    for (unsigned int i = 0; i < 4; i++) {
        prng->s[i] = spread(&seed);
    }
}

uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->s;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_between(struct prng *prng, uint64_t low, uint64_t high)
{
    const uint64_t count = high - low + 1;
    uint64_t value;

    ASSERT(low <= high);
    if (count == 0) {
        return prng_next(prng); /* The whole range of 64 bits. */
    }
    /*
     * The lowest 2^64 mod count values are drawn again: without them the rest
     * is a whole number of times `count`, and no remainder is likelier.
     */
    do {
        value = prng_next(prng);
    } while (value < (0 - count) % count);
    return low + value % count;
}

bool prng_chance(struct prng *prng, uint32_t percent)
{
    return prng_between(prng, 0, 99) < percent;
}
