/*
 * How a world is made. Every seed leaves some faults out and has others often: what hides in the
 * crowd shows alone.
 */
#include "base/assert.h"
#include "tests/sim/world.h"

static uint64_t one_of(struct prng *prng, const uint64_t *values, uint32_t count)
{
    return values[prng_between(prng, 0, count - 1)];
}

#define ONE_OF(prng, ...)                        \
    one_of(                                      \
        (prng), (const uint64_t[]){__VA_ARGS__}, \
        (uint32_t)(sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)))

static void draw_nodes(struct swarm *swarm, struct prng *prng)
{
    static const uint32_t counts[] = {3, 3, 3, 3, 3, 3, 2, 4, 5, 5};

    swarm->node_count = counts[prng_between(prng, 0, 9)];
    if (swarm->node_count > 2 && prng_chance(prng, 30)) {
        swarm->witness_mask = 1U << prng_between(prng, 0, swarm->node_count - 1);
    }
    if (swarm->node_count > 2 && prng_chance(prng, 30)) {
        swarm->witness_mask |= 1U << prng_between(prng, 0, swarm->node_count - 1);
    }
    if (swarm->node_count > 4 && prng_chance(prng, 50)) {
        swarm->witness_mask |= 1U << prng_between(prng, 0, swarm->node_count - 1);
    }
    if (prng_chance(prng, 30)) {
        swarm->late_mask = 1U << prng_between(prng, 0, swarm->node_count - 1);
    }
}

static void draw_net(struct swarm *swarm, struct prng *prng)
{
    swarm->delay_min_us = ONE_OF(prng, 50, 100, 500, 2000);
    swarm->delay_max_us = swarm->delay_min_us + ONE_OF(prng, 100, 1000, 5000, 30000);
    swarm->loss = prng_chance(prng, 50) ? 0 : (uint32_t)prng_between(prng, 1, 5);
    swarm->twice = prng_chance(prng, 50) ? 0 : (uint32_t)prng_between(prng, 1, 5);
    swarm->disk_min_us = ONE_OF(prng, 100, 1000, 5000);
    swarm->disk_max_us = swarm->disk_min_us * ONE_OF(prng, 1, 2, 10);
}

static void draw_faults(struct swarm *swarm, struct prng *prng)
{
    for (uint32_t i = 0; i < SIM_FAULTS; i++) {
        swarm->fault_weight[i] = prng_chance(prng, 50) ? 0 : (uint32_t)ONE_OF(prng, 1, 1, 2, 5);
    }
    swarm->fault_every_us = ONE_OF(prng, 500, 1500, 1500, 4000) * 1000;
    swarm->fault_span_us = ONE_OF(prng, 1, 3, 6) * SECOND;
    swarm->faults_us = ONE_OF(prng, 20, 30, 60) * SECOND;
}

static uint32_t draw_percent(struct prng *prng, uint32_t most)
{
    return prng_chance(prng, 50) ? 0 : (uint32_t)prng_between(prng, 1, most);
}

static void draw_postgres(struct pg_model_weather *pg, struct prng *prng)
{
    pg->start_ms = (uint32_t)ONE_OF(prng, 100, 500, 2500);
    pg->promote_ms = (uint32_t)ONE_OF(prng, 20, 100, 800);
    pg->stop_ms = (uint32_t)ONE_OF(prng, 20, 200, 1500, 15000);
    pg->kill_ms = 15;
    pg->kill_margin_ms = 30;
    pg->copy_ms = (uint32_t)ONE_OF(prng, 200, 1000, 4000);
    pg->stream_ms = (uint32_t)ONE_OF(prng, 4, 10, 50, 200);
    pg->replay_records = (uint32_t)ONE_OF(prng, 2, 20, 1000);
    pg->fail_start = draw_percent(prng, 10);
    pg->fail_promote = draw_percent(prng, 20);
    pg->fail_copy = draw_percent(prng, 20);
    pg->fail_cut = draw_percent(prng, 20);
    pg->hang_stop = draw_percent(prng, 30);
    pg->no_end = draw_percent(prng, 20);
}

void swarm_draw(struct swarm *swarm, uint64_t seed)
{
    struct prng prng;

    *swarm = (struct swarm){.node_count = 0};
    prng_init(&prng, seed ^ UINT64_C(0x5eed));
    draw_nodes(swarm, &prng);
    draw_net(swarm, &prng);
    draw_faults(swarm, &prng);
    draw_postgres(&swarm->pg, &prng);
    swarm->ttl_ms = ONE_OF(&prng, 1000, 2000, 2000, 2000, 5000);
    swarm->maximum_lag_bytes = ONE_OF(&prng, 500, 5000, 1048576, 1048576);
    swarm->primary_start_timeout_ms = ONE_OF(&prng, 0, 3000, 300000);
    swarm->failsafe_mode = prng_chance(&prng, 40);
    swarm->use_pg_rewind = prng_chance(&prng, 70);
    swarm->heartbeat_ms = ONE_OF(&prng, 50, 100, 100);
    swarm->client_us = ONE_OF(&prng, 5, 20, 100) * 1000;
    swarm->drift_ppm = (uint32_t)ONE_OF(&prng, 0, 500, 10000);
    swarm->snapshot_entries = (uint32_t)ONE_OF(&prng, 40, 100, 256);
    swarm->primary_stop_timeout_ms = ONE_OF(&prng, 0, 0, 1000, 8000);
    swarm->pg.checkpoint_ms = (uint32_t)ONE_OF(&prng, 10, 1000, 15000, 60000);
}
