/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/vault.h"
#include "tests/sim/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * What was promised of a region's disk. When a region dies, a copy of its disk is opened on its
 * own, in another world, where nobody can help it: it must have all that had been promised.
 */
/* As docs/durability.md says: */
#define WRITE_US 5000u     /* from the write to the system's memory */
#define SECOND_US 1000000u /* SYNC_SECOND: from the write to the sync ... */
#define REQUEST_US 10000u  /* ... and what requests take beside syncing */
#define WELL_US 2500000u   /* after a disk was not well, until all is written again */

struct copy {
    struct world *to;
    uint32_t host;
    const char *folder;
};

static void copy_file(void *arg, const char *path, struct bytes content)
{
    const struct copy *c = arg;
    if (strncmp(path, c->folder, strlen(c->folder)) == 0)
        world_file_put(c->to, c->host, path, content);
}

void revive(const struct run *r, unsigned g, struct revived *v)
{
    *v = (struct revived){.world = world_new(&(struct world_opts){.seed = 1}),
                          .n = r->disks[g].shards,
                          .opened = true,
                          .orderly = true,
                          .error = ""};
    const struct deploy_opts *o = deploy_options(r->deploy);
    uint32_t partitions = o->partitions;
    for (unsigned i = 0; i < v->n; i++) {
        char folder[64];
        struct storage_stats stats;
        uint32_t first = i * partitions / v->n, end = (i + 1) * partitions / v->n;
        deploy_folder(r->deploy, g, i, folder, sizeof folder);
        struct copy copy = {.to = v->world, .host = world_host(v->world, folder), .folder = folder};
        world_files(r->world, deploy_host(r->deploy, g), copy_file, &copy);
        v->at[i] = vault_start(v->world, copy.host,
                               &(struct vault_opts){.folder = folder,
                                                    .db_uid = 1,
                                                    .shard = i,
                                                    .partitions = partitions,
                                                    .first = first,
                                                    .count = end - first + (i + 1 == v->n),
                                                    .actor = actor_make(REGION_MAX, 0),
                                                    .patch_min = o->patch_min,
                                                    .kept_bytes_max = o->kept_bytes_max});
        if (!vault_open(v->at[i])) {
            v->opened = false;
            v->error = storage_error(vault_storage(v->at[i]));
        }
        storage_stats(vault_storage(v->at[i]), &stats);
        v->orderly &= stats.opening.orderly;
    }
}

struct shard *revived_shard(const struct revived *v, const struct run *r, uint32_t partition)
{
    uint32_t partitions = deploy_partitions(r->deploy);
    for (unsigned i = 0; i + 1 < v->n; i++)
        if (partition < (i + 1) * partitions / v->n)
            return vault_shard(v->at[i]);
    return vault_shard(v->at[v->n - 1]);
}

/* ------------------------------------------------------------ promises */

static bool has_disk(const struct run *r, unsigned g)
{
    return r->disk_plan.used && deploy_persistence(r->deploy, g) != PERSIST_OFF;
}

static bool in_force(const struct run *r, unsigned g, uint64_t now)
{
    const struct region_disk *d = &r->disks[g];
    return !d->founding && (now >= d->policy_us + DISK_POLICY_US || d->policy_us == 0);
}

bool disk_acks(const struct run *r, unsigned g)
{
    return has_disk(r, g) && !r->disks[g].rotten &&
           deploy_persistence(r->deploy, g) == PERSIST_ALWAYS &&
           in_force(r, g, world_now_us(r->world));
}

bool disk_returns(const struct run *r, unsigned g)
{
    const struct region_disk *d = &r->disks[g];
    if (!has_disk(r, g) || d->rotten || deploy_persistence(r->deploy, g) < PERSIST_SECOND ||
        !in_force(r, g, world_now_us(r->world)))
        return false;
    return living(r, g) ? is_whole(r, g) : d->whole;
}

void disks_dying(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    struct worker_shard s[64];
    if (!has_disk(r, g) || !living(r, g))
        return; /* it was not brought back: what was promised before holds */
    d->whole = disk_returns(r, g);
    /* It has not heard yet that its disk was switched off and on: its files are no longer its. */
    bool heard = !d->founding || deploy_heard(r->deploy, g);
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    for (unsigned i = 0; i < n; i++)
        for (uint32_t p = s[i].first_partition; p < s[i].first_partition + s[i].count; p++) {
            const struct context *c =
                heard && s[i].storage != NULL ? storage_context(s[i].storage, p) : NULL;
            d->promises[p] = c != NULL;
            if (c != NULL)
                context_copy(&d->promised[p], c);
        }
}

/* Every region that lives knows something of what the dead one has: by its claims. */
static void check_claims(struct run *r, unsigned g, uint32_t p, const struct context *have)
{
    for (unsigned h = 1; h <= r->plan.regions; h++) {
        struct worker_shard s[64];
        unsigned n = h != g && living(r, h) ? deploy_shards(r->deploy, h, s, 64) : 0;
        for (unsigned i = 0; i < n; i++) {
            if (p < s[i].first_partition || p >= s[i].first_partition + s[i].count ||
                s[i].syncer == NULL)
                continue;
            const struct context *c = shard_context(s[i].shard, p);
            for (unsigned k = 0; k < c->n; k++)
                if ((syncer_have(s[i].syncer, p, c->at[k], true) >> g & 1) &&
                    !context_covers(have, c->at[k]))
                    fail(r,
                         "region %u believes that region %u will always have %016" PRIx64
                         " of partition %u: it is not on its disk",
                         h, g, c->at[k], p);
        }
    }
}

static void check_contexts(struct run *r, unsigned g, const struct revived *v)
{
    struct region_disk *d = &r->disks[g];
    for (uint32_t p = 0; p < deploy_partitions_all(r->deploy); p++) {
        const struct context *have = shard_context(revived_shard(v, r, p), p);
        if (d->promises[p] && !context_le(&d->promised[p], have))
            fail(r, "region %u's disk lacks of partition %u what had been durable", g, p);
        if (d->promises[p] && d->honest)
            check_claims(r, g, p, have);
    }
}

/* How long ago something must have been acknowledged to be on the disk now; UINT64_MAX: whatever it
 * was, it may be lost. */
static uint64_t window_us(const struct run *r, unsigned g, bool power)
{
    const struct region_disk *d = &r->disks[g];
    uint64_t now = world_now_us(r->world),
             slack = REQUEST_US + 2 * (uint64_t)d->slow_us; /* one may be under way */
    if (!in_force(r, g, now) || now < d->sick_us + WELL_US)
        return UINT64_MAX;
    if (!power)
        return WRITE_US + slack;
    return deploy_persistence(r->deploy, g) >= PERSIST_SECOND ? SECOND_US + slack : UINT64_MAX;
}

static const struct cell *revived_key(const struct run *r, const struct revived *v,
                                      const char *name)
{
    struct bytes key = bytes_str(name);
    uint32_t p = slot_partition(hash_slot(key), deploy_partitions(r->deploy));
    return shard_key(revived_shard(v, r, p), p, key);
}

static void note_content(struct run *r, unsigned g, const struct revived *v)
{
    struct region_disk *d = &r->disks[g];
    const struct cell *keys[LEDGER_KEYS];
    char name[32];
    memset(d->has, 0, sizeof d->has);
    for (unsigned k = 0; k < LEDGER_KEYS; k++) {
        snprintf(name, sizeof name, LEDGER_KEY, k);
        keys[k] = revived_key(r, v, name);
    }
    for (unsigned i = 0; i < r->ledger_n; i++) {
        snprintf(name, sizeof name, "m%u", i);
        if (coll_find(keys[i % LEDGER_KEYS], TYPE_SET, bytes_str(name)) != NULL)
            d->has[i / 8] |= (uint8_t)(1u << i % 8);
    }
    for (unsigned k = 0; k <= r->plan.regions; k++) {
        long double real;
        d->counters[k] = 0;
        snprintf(name, sizeof name, "counter%u", k);
        if (string_number(revived_key(r, v, name), &d->counters[k], &real) != NUMBER_INT)
            d->counters[k] = 0;
        uint32_t p = slot_partition(hash_slot(bytes_str(name)), deploy_partitions(r->deploy));
        context_copy(&d->seen[k], shard_context(revived_shard(v, r, p), p));
    }
    d->known = true;
}

static void check_writes(struct run *r, unsigned g, bool power, bool orderly)
{
    const struct region_disk *d = &r->disks[g];
    uint64_t now = world_now_us(r->world), window = orderly ? 0 : window_us(r, g, power);
    if (r->plan.flush)
        return;
    for (unsigned i = 0; i < r->ledger_n; i++) {
        const struct ledger_entry *e = &r->ledger[i];
        if (e->fate != FATE_ACKED || e->region != g || (d->has[i / 8] >> i % 8 & 1))
            continue;
        if (e->kept || (e->life == d->lives && window <= now && e->acked_us <= now - window))
            fail(r,
                 "lost write: ledger entry m%u, acknowledged by region %u %u us ago, is not on its "
                 "disk after %s",
                 i, g, (unsigned)(now - e->acked_us),
                 orderly ? "an orderly end"
                 : power ? "the power failed"
                         : "its process died");
    }
    if (d->always && d->counters[g] < r->counters[g].low)
        fail(r, "lost increments: counter%u is %" PRId64 " on region %u's disk, not %" PRId64, g,
             d->counters[g], g, r->counters[g].low);
}

void disks_dead(struct run *r, unsigned g, bool power)
{
    struct region_disk *d = &r->disks[g];
    bool ended = d->stop_us != 0 && d->ended;
    struct revived v;
    d->stop_us = 0;
    d->ended = false;
    d->lives++;
    if (!has_disk(r, g) || d->rotten) {
        windows_forget(r, g);
        return;
    }
    revive(r, g, &v);
    if (!v.opened) {
        fail(r, "region %u can't be brought back: %s", g, v.error);
    } else {
        if (ended && !v.orderly && world_now_us(r->world) > d->sick_us + WELL_US)
            fail(r, "region %u was ended in order, and its disk does not say so", g);
        check_contexts(r, g, &v);
        note_content(r, g, &v);
        if (ended)
            check_dying(r, g); /* it was gone already: what it had is here, and may rot now */
        check_writes(r, g, power, ended && v.orderly);
        windows_check(r, g, &v, window_us(r, g, power));
        d->whole |= ended && v.orderly; /* a disk that only failed any more was not waited for */
    }
    windows_forget(r, g);
    world_free(v.world);
    if (r->disk_plan.rot && rng_below(&r->disk_rng, 4) == 0 && r->failure[0] == 0)
        disks_rot(r, g);
    else if (r->disk_plan.rot && r->failure[0] == 0)
        disks_rot_lives(r, g);
}
