#include "raft/limit.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/time.h"

bool limit_allows(struct limit *limit, uint64_t key, uint64_t now_ms)
{
    struct limit_key *free_place = NULL;

    ASSERT(limit->span_ms > 0);
    for (size_t i = 0; i < LIMIT_KEYS_MAX; i++) {
        struct limit_key *place = &limit->keys[i];

        if (place->until_ms <= now_ms) {
            free_place = place;
        } else if (place->key == key) {
            return false;
        }
    }
    if (free_place == NULL) {
        return false;
    }
    *free_place = (struct limit_key){.key = key, .until_ms = time_add(now_ms, limit->span_ms)};
    return true;
}
