/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rng.h"
#include "tests/unit/regions.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Random histories of regions, with cuts, pauses and deaths: once all is well again, all regions
 * show the same, and everything has been compacted. */

static void random_write(struct regions *g, struct rng *rng, uint32_t r)
{
    static const char *const forms[] = {
        "SET k%u v%u",    "INCRBY n%u %u",    "SADD s%u m%u",   "SREM s%u m%u",
        "HSET h%u f%u v", "HINCRBY c%u f %u", "ZADD z%u 4 m%u", "ZINCRBY z%u 1 m%u",
        "RPUSH l%u e%u",  "LPOP l%u",         "DEL s%u",        "DEL n%u",
        "DEL z%u",        "APPEND k%u x%u",   "PFADD p%u e%u",  "EXPIRE h%u 1000",
    };
    char line[64];
    const char *form = forms[rng_below(rng, sizeof forms / sizeof *forms)];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, sizeof line, form, (unsigned)rng_below(rng, 5), (unsigned)rng_below(rng, 9));
#pragma GCC diagnostic pop
    regions_do(g, r, line);
}

struct history {
    struct regions *g;
    struct rng rng;
    unsigned deaths_max;
    bool cut[REGIONS_MAX + 1][REGIONS_MAX + 1];
};

static void fault(struct history *h)
{
    struct regions *g = h->g;
    uint32_t a = 1 + (uint32_t)rng_below(&h->rng, g->n);
    uint32_t b = 1 + (uint32_t)rng_below(&h->rng, g->n);
    switch (rng_below(&h->rng, 6)) {
    case 0:
    case 1:
        if (a != b)
            regions_cut(g, a, b, h->cut[a][b] = h->cut[b][a] = !h->cut[a][b]);
        break;
    case 2:
    case 3:
        if (a != b && g->at[a].alive)
            regions_pause(g, a, b, !(g->at[a].config.paused >> b & 1));
        break;
    case 4:
        if (a != b)
            world_reset(g->world, g->at[a].host, g->at[b].host);
        break;
    default:
        if (!g->at[a].alive) {
            regions_start(g, a, true);
        } else if (h->deaths_max > 0) {
            regions_kill(g, a);
            h->deaths_max--;
        }
        break;
    }
}

static void mend(struct history *h)
{
    struct regions *g = h->g;
    for (uint32_t a = 1; a <= g->n; a++) {
        if (!g->at[a].alive)
            regions_start(g, a, true);
        for (uint32_t b = 1; b <= g->n; b++) {
            if (b < a)
                regions_cut(g, a, b, false);
            if (b != a)
                regions_pause(g, a, b, false);
        }
    }
}

static void play(uint64_t seed)
{
    struct history h = {0};
    rng_init(&h.rng, seed);
    struct regions_opts o = {.n = 2 + (uint32_t)rng_below(&h.rng, 3),
                             .partitions = 4,
                             .seed = seed,
                             .compression = rng_below(&h.rng, 4) == 0};
    for (uint32_t r = 1; r <= o.n; r++)
        o.shards[r] = 1 + (uint32_t)rng_below(&h.rng, 3);
    if (rng_below(&h.rng, 2))
        o.log_bytes = 1u << (12 + rng_below(&h.rng, 6));
    if (rng_below(&h.rng, 2))
        o.wait_max = 500 + rng_below(&h.rng, 3000);
    if (rng_below(&h.rng, 2))
        o.send_max = 500 + rng_below(&h.rng, 9000);
    h.deaths_max = (unsigned)rng_below(&h.rng, 4);
    h.g = regions_new(&o);
    unsigned calm = 3 + (unsigned)rng_below(&h.rng, 60);
    for (unsigned step = 0; step < 400; step++) {
        uint32_t r = 1 + (uint32_t)rng_below(&h.rng, o.n);
        if (rng_below(&h.rng, calm) == 0)
            fault(&h);
        else if (rng_below(&h.rng, 3) == 0)
            regions_run(h.g, rng_below(&h.rng, 20) ? rng_below(&h.rng, 20) : 3000);
        else if (h.g->at[r].alive)
            random_write(h.g, &h.rng, r);
    }
    mend(&h);
    cr_assert(regions_agree(h.g, 60000), "seed %lu: no agreement\n%.*s%s", seed,
              (int)buf_len(&h.g->log), (const char *)h.g->log.p, regions_describe(h.g));
    cr_assert_not(regions_logged(h.g, "differs from"), "seed %lu: digests differ\n%.*s", seed,
                  (int)buf_len(&h.g->log), (const char *)h.g->log.p);
    regions_free(h.g);
}

Test(syncer_random, regions_agree_after_every_history)
{
    const char *first = getenv("SYNCER_SEED"), *n = getenv("SYNCER_SEEDS");
    uint64_t from = first ? strtoull(first, NULL, 10) : 1;
    uint64_t count = n ? strtoull(n, NULL, 10) : 60;
    for (uint64_t seed = from; seed < from + count; seed++)
        play(seed);
}
