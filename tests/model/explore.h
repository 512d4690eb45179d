/*
 * tests/model/explore.h - explicit-state search: breadth-first, and random walks for what does
 * not fit.
 *
 * A model M provides
 *   M::state                          plain bytes, all padding zero
 *   M::init(state &)
 *   M::steps(const state &, emit)     emit(const state &next, uint32_t step) for each next state
 *   M::violation(const state &)       NULL, or what is broken
 *   M::fault                          set by steps() before emit() if the step itself is a
 * violation M::describe(const state &, step)  a line for people M::weight(step) how likely a random
 * walk takes it
 *
 * Visited states are kept as 64-bit hashes: two that collide would be taken for one. With 50
 * million states the chance that this hides anything is one in ten thousand.
 */
#ifndef PGBATON_TESTS_MODEL_EXPLORE_H
#define PGBATON_TESTS_MODEL_EXPLORE_H

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

/* Counted, not timed: a run is the same on every machine. */
struct bounds {
    size_t states = 4000000; /* Some 150 bytes each. Of random runs: steps. */
    uint64_t seed = 1;
    int walk_steps = 0; /* Of each random run; 0: breadth-first. */
};

static uint64_t mix(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93ull;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93ull;
    return hash ^ (hash >> 32);
}

static uint64_t hash_bytes(const void *bytes, size_t size)
{
    const uint8_t *next = static_cast<const uint8_t *>(bytes);
    uint64_t hash = 0x9e3779b97f4a7c15ull ^ size;
    uint64_t word;

    for (; size >= sizeof word; size -= sizeof word, next += sizeof word) {
        memcpy(&word, next, sizeof word);
        hash = mix(hash ^ word) + 0x9e3779b97f4a7c15ull;
    }
    word = 0;
    memcpy(&word, next, size);
    hash = mix(hash ^ word);
    return hash != 0 ? hash : 1;
}

/* Open addressing; 0 is an empty place. */
class hash_set
{
  public:
    hash_set() : places(1u << 20)
    {
    }

    /* False if it was there. */
    bool add(uint64_t hash)
    {
        if (used * 10 > places.size() * 7) {
            grow();
        }
        return insert(hash);
    }

  private:
    std::vector<uint64_t> places;
    size_t used = 0;

    bool insert(uint64_t hash)
    {
        size_t i = hash & (places.size() - 1);

        while (places[i] != 0) {
            if (places[i] == hash) {
                return false;
            }
            i = (i + 1) & (places.size() - 1);
        }
        places[i] = hash;
        used++;
        return true;
    }

    void grow()
    {
        std::vector<uint64_t> old(places.size() * 2);

        old.swap(places);
        used = 0;
        for (uint64_t hash : old) {
            if (hash != 0) {
                (void)insert(hash);
            }
        }
    }
};

/* Of this process. */
static double seconds_now()
{
    return static_cast<double>(clock()) / CLOCKS_PER_SEC;
}

/* False if there is no such step. */
template <class M>
bool take_step(const typename M::state &from, uint32_t wanted, typename M::state &to)
{
    bool found = false;

    M::fault = NULL;
    M::steps(from, [&](const typename M::state &next, uint32_t step) {
        if (step == wanted && !found) {
            to = next;
            found = true;
            if (M::fault == NULL) {
                M::fault = M::violation(next);
            }
        } else if (!found) {
            M::fault = NULL;
        }
    });
    if (!found) {
        M::fault = NULL;
    }
    return found;
}

template <class M> void print_trace(const std::vector<uint32_t> &trace)
{
    typename M::state at;
    int line = 0;

    M::init(at);
    for (uint32_t step : trace) {
        typename M::state next;

        printf("  %2d. %s\n", ++line, M::describe(at, step).c_str());
        if (!take_step<M>(at, step, next)) {
            printf("  (the trace breaks off)\n");
            return;
        }
        at = next;
    }
}

/* Every state within the bounds, nearest first: the trace of a violation is a shortest one. */
template <class M> class breadth_first
{
  public:
    bool run(const bounds &limit)
    {
        const double begin = seconds_now();
        bool whole = true;
        int depth = 0;

        start();
        for (; !frontier.empty() && why == NULL && whole; depth++) {
            whole = expand(limit.states);
        }
        printf(
            "%s, %zu states, depth %d, %.1f s\n",
            why != NULL ? "VIOLATION"
            : whole     ? "no violation, exhausted"
                        : "no violation",
            parents.size(), depth, seconds_now() - begin);
        if (why != NULL) {
            printf("%s\n", why);
            print_trace<M>(trace());
        }
        return why == NULL;
    }

  private:
    hash_set seen;
    std::vector<uint32_t> parents; /* Of each state, in the order they were found. */
    std::vector<uint32_t> taken;   /* The step that led there. */
    std::vector<typename M::state> frontier;
    std::vector<uint32_t> frontier_ids;
    const char *why = NULL;

    void start()
    {
        typename M::state first;

        M::init(first);
        (void)seen.add(hash_bytes(&first, sizeof first));
        parents.push_back(UINT32_MAX);
        taken.push_back(0);
        frontier.push_back(first);
        frontier_ids.push_back(0);
    }

    /* False if that many states were found. */
    bool expand(size_t most)
    {
        std::vector<typename M::state> found;
        std::vector<uint32_t> found_ids;

        for (size_t i = 0; i < frontier.size() && why == NULL; i++) {
            M::fault = NULL;
            M::steps(frontier[i], [&](const typename M::state &next, uint32_t step) {
                const char *broken = M::fault;

                M::fault = NULL;
                /* A bad step may lead to a state that a good one has led to before. */
                if (why != NULL || !seen.add(hash_bytes(&next, sizeof next) ^ (broken != NULL))) {
                    return;
                }
                parents.push_back(frontier_ids[i]);
                taken.push_back(step);
                why = broken != NULL ? broken : M::violation(next);
                found.push_back(next);
                found_ids.push_back(static_cast<uint32_t>(parents.size() - 1));
            });
            if (parents.size() >= most) {
                return why != NULL;
            }
        }
        frontier.swap(found);
        frontier_ids.swap(found_ids);
        return true;
    }

    std::vector<uint32_t> trace() const
    {
        std::vector<uint32_t> steps;

        for (size_t i = parents.size() - 1; parents[i] != UINT32_MAX; i = parents[i]) {
            steps.insert(steps.begin(), taken[i]);
        }
        return steps;
    }
};

/* Deeper than a whole search gets; a trace that is found loses the steps it does not need. */
template <class M> class random_walks
{
  public:
    bool run(const bounds &limit)
    {
        const double begin = seconds_now();
        uint64_t walks = 0;
        uint64_t steps = 0;
        const char *why = NULL;

        random_state = mix(limit.seed + 1) | 1;
        while (why == NULL && steps < limit.states) {
            trace.clear();
            why = walk(limit.walk_steps);
            walks++;
            steps += trace.size();
        }
        printf(
            "%s, %llu random runs, %llu steps, %.1f s\n",
            why != NULL ? "VIOLATION" : "no violation", (unsigned long long)walks,
            (unsigned long long)steps, seconds_now() - begin);
        if (why != NULL) {
            printf("%s\n", why);
            shorten();
            print_trace<M>(trace);
        }
        return why == NULL;
    }

  private:
    std::vector<uint32_t> trace;
    uint64_t random_state = 1;

    /* Below 1. */
    double random()
    {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return static_cast<double>(random_state >> 11) * 0x1p-53;
    }

    const char *walk(int length)
    {
        typename M::state at;
        const char *why = NULL;

        M::init(at);
        for (int i = 0; i < length && why == NULL; i++) {
            typename M::state picked;
            uint32_t step = 0;
            double total = 0;

            M::fault = NULL;
            M::steps(at, [&](const typename M::state &next, uint32_t candidate) {
                const double weight = M::weight(candidate);

                total += weight;
                if (random() * total < weight) {
                    picked = next;
                    step = candidate;
                    why = M::fault;
                }
                M::fault = NULL;
            });
            if (total == 0) {
                return NULL;
            }
            at = picked;
            trace.push_back(step);
            why = why != NULL ? why : M::violation(at);
        }
        return why;
    }

    /* Where the violation is within these steps; 0: there is none. */
    static size_t broken_after(const std::vector<uint32_t> &steps)
    {
        typename M::state at;

        M::init(at);
        for (size_t i = 0; i < steps.size(); i++) {
            typename M::state next;

            if (!take_step<M>(at, steps[i], next)) {
                return 0;
            }
            if (M::fault != NULL) {
                return i + 1;
            }
            at = next;
        }
        return 0;
    }

    void shorten()
    {
        for (size_t i = trace.size(); i-- > 0;) {
            std::vector<uint32_t> without(trace);
            size_t length;

            without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
            length = broken_after(without);
            if (length > 0) {
                without.resize(length);
                trace = without;
                i = i < trace.size() ? i : trace.size();
            }
        }
    }
};

#endif
