/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/sim/run.h"

/*
 * What regions had some moments ago. After a crash a disk must have all that the region had when
 * its policy's window began (docs/durability.md): of everything, not only of what the ledger knows.
 */
#define EVERY_US 20000u
#define SAMPLES 80u        /* longer than any window */
#define STATE_BYTES 16384u /* of the log: states that are shorter share a segment */
#define REQUEST_US 1000u

struct sample {
    uint64_t at_us;       /* 0: none */
    uint64_t behind;      /* bytes of a shard's log that were not durable, at most */
    struct context *have; /* by partition */
};

struct window {
    struct sample samples[SAMPLES];
    unsigned next;
    uint64_t next_us;
};

void windows_start(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions && r->disk_plan.used; g++) {
        struct window *w = mem_zalloc(sizeof *w);
        for (unsigned i = 0; i < SAMPLES; i++)
            w->samples[i].have =
                mem_zalloc(deploy_partitions_all(r->deploy) * sizeof(struct context));
        r->windows[g] = w;
    }
}

void windows_deinit(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions && r->disk_plan.used; g++) {
        for (unsigned i = 0; i < SAMPLES; i++) {
            struct sample *s = &r->windows[g]->samples[i];
            for (uint32_t p = 0; p < deploy_partitions_all(r->deploy); p++)
                context_deinit(&s->have[p]);
            mem_free(s->have);
        }
        mem_free(r->windows[g]);
    }
}

void windows_forget(struct run *r, unsigned g)
{
    for (unsigned i = 0; r->disk_plan.used && i < SAMPLES; i++)
        r->windows[g]->samples[i].at_us = 0;
}

void windows_tick(struct run *r)
{
    uint64_t now = world_now_us(r->world);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        struct window *w = r->windows[g];
        if (deploy_persistence(r->deploy, g) == PERSIST_OFF || now < w->next_us || !living(r, g))
            continue;
        struct sample *s = &w->samples[w->next];
        struct worker_shard shards[64];
        unsigned n = deploy_shards(r->deploy, g, shards, 64);
        w->next = (w->next + 1) % SAMPLES;
        w->next_us = now + EVERY_US;
        s->at_us = now;
        s->behind = 0;
        for (unsigned i = 0; i < n; i++) {
            struct storage_stats stats = {0};
            if (shards[i].storage != NULL)
                storage_stats(shards[i].storage, &stats);
            if (stats.journal.behind > s->behind)
                s->behind = stats.journal.behind;
            for (uint32_t p = 0; p < shards[i].count; p++)
                context_copy(&s->have[shards[i].first_partition + p],
                             shard_context(shards[i].shard, shards[i].first_partition + p));
        }
    }
}

/* States wait for the disk: here, where segments are tiny, each larger one fills a segment of its
 * own, which is synced before the next begins. */
static uint64_t states_us(const struct run *r, unsigned g, uint64_t window_us)
{
    uint64_t behind = 0, now = world_now_us(r->world);
    for (unsigned i = 0; i < SAMPLES; i++) {
        const struct sample *s = &r->windows[g]->samples[i];
        if (s->at_us != 0 && now - s->at_us <= window_us + EVERY_US && s->behind > behind)
            behind = s->behind;
    }
    return behind / STATE_BYTES * (REQUEST_US + r->disks[g].slow_us);
}

void windows_check(struct run *r, unsigned g, const struct revived *v, uint64_t window_us)
{
    const struct sample *newest = NULL;
    uint64_t now = world_now_us(r->world);
    if (window_us != UINT64_MAX)
        window_us += states_us(r, g, window_us);
    for (unsigned i = 0; i < SAMPLES; i++) {
        const struct sample *s = &r->windows[g]->samples[i];
        if (s->at_us != 0 && now - s->at_us >= window_us &&
            (newest == NULL || s->at_us > newest->at_us))
            newest = s;
    }
    for (uint32_t p = 0; newest != NULL && p < deploy_partitions_all(r->deploy); p++)
        if (!context_le(&newest->have[p], shard_context(revived_shard(v, r, p), p)))
            fail(r, "region %u's disk lacks of partition %u what it had %u us before it died", g, p,
                 (unsigned)(now - newest->at_us));
}
