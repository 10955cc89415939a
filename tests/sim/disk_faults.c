/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/sim/run.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * What happens to disks, and who looks after them: disks that fail for a while, run full, are slow,
 * rot; regions that are ended in order; power that fails everywhere at once; regions that die again
 * while they are brought back.
 */
#define FOLDER "data/"
#define STOP_US 8000000u /* an orderly end that takes longer is none */

/* Drawn on its own, so that a seed's other draws are what they are without disks. */
void disks_draw(struct run *r)
{
    struct disk_plan *p = &r->disk_plan;
    struct rng *g = &r->disk_rng;
    rng_init(g, r->seed ^ UINT64_C(0x64697363));
    p->used = rng_below(g, 3) != 0;
    p->power = p->used && rng_below(g, 2);
    p->blackout = p->used && rng_below(g, 3) == 0;
    p->stops = p->used && rng_below(g, 3) == 0;
    p->policies = p->used && rng_below(g, 3) == 0;
    p->fails = p->used && rng_below(g, 3) == 0;
    p->full = p->used && rng_below(g, 4) == 0;
    p->rot = p->used && rng_below(g, 4) == 0;
    p->hasty = p->used && rng_below(g, 3) == 0;
    p->every_us = 100000u << rng_below(g, 4);
}

void disks_opts(struct run *r, struct deploy_opts *o)
{
    struct rng *g = &r->disk_rng;
    bool all = rng_below(g, 3) == 0;
    uint32_t one = 1 + (uint32_t)rng_below(g, PERSIST_KINDS - 1);
    if (!r->disk_plan.used)
        return;
    for (unsigned i = 1; i <= o->regions; i++) {
        o->persistence[i] = all ? one : (uint32_t)rng_below(g, PERSIST_KINDS);
        r->disks[i].shards = o->shards[i];
    }
    o->snapshot_bytes = 2000u << rng_below(g, 7);
    o->segment_bytes = 1000u << rng_below(g, 7);
}

static void set_disk(struct run *r, unsigned g, struct world_disk disk)
{
    disk.sync_us = r->disks[g].slow_us;
    world_disk(r->world, deploy_host(r->deploy, g), disk);
}

void disks_start(struct run *r)
{
    uint32_t partitions = deploy_partitions_all(r->deploy);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        struct region_disk *d = &r->disks[g];
        d->promised = mem_zalloc(partitions * sizeof *d->promised);
        d->promises = mem_zalloc(partitions * sizeof *d->promises);
        d->honest = deploy_persistence(r->deploy, g) >= PERSIST_SECOND;
        d->always = deploy_persistence(r->deploy, g) == PERSIST_ALWAYS;
        d->slow_us = 500u << rng_below(&r->disk_rng, rng_below(&r->disk_rng, 4) ? 3 : 8);
        set_disk(r, g, (struct world_disk){0});
    }
    windows_start(r);
}

void disks_deinit(struct run *r)
{
    windows_deinit(r);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        for (uint32_t p = 0; p < deploy_partitions_all(r->deploy); p++)
            context_deinit(&r->disks[g].promised[p]);
        for (unsigned k = 0; k <= r->plan.regions; k++)
            context_deinit(&r->disks[g].seen[k]);
        mem_free(r->disks[g].promised);
        mem_free(r->disks[g].promises);
    }
}

/* ------------------------------------------------------------ rot */

struct choice {
    char paths[64][96];
    unsigned n;
};

static void list_file(void *arg, const char *path, struct bytes content)
{
    struct choice *c = arg;
    enum file_kind kind;
    uint64_t number;
    if (c->n < 64 && content.n > 0 && strncmp(path, FOLDER, strlen(FOLDER)) == 0 &&
        file_name_read(strrchr(path, '/') + 1, &kind, &number))
        snprintf(c->paths[c->n++], sizeof c->paths[0], "%s", path);
}

/* Any but a folder's newest segment, whose end may be taken for what had never been synced. */
static bool choose_file(struct run *r, unsigned g, char path[96])
{
    struct choice c = {.n = 0};
    unsigned n = 0;
    world_files(r->world, deploy_host(r->deploy, g), list_file, &c);
    for (unsigned i = 0; i < c.n; i++) {
        size_t folder = (size_t)(strrchr(c.paths[i], '/') - c.paths[i]) + 1;
        bool newest = strncmp(c.paths[i] + folder, "log-", 4) == 0;
        for (unsigned k = 0; k < c.n; k++) /* numbers have leading zeros */
            newest &= strncmp(c.paths[k], c.paths[i], folder + 4) != 0 ||
                      strcmp(c.paths[k], c.paths[i]) <= 0;
        if (!newest)
            memmove(c.paths[n++], c.paths[i], sizeof c.paths[0]);
    }
    if (n > 0)
        snprintf(path, 96, "%s", c.paths[rng_below(&r->disk_rng, n)]);
    return n > 0;
}

static bool others_whole(const struct run *r, unsigned but)
{
    bool whole = false;
    for (unsigned g = 1; g <= r->plan.regions; g++)
        whole |= g != but && (deploy_members_now(r->deploy) >> g & 1) &&
                 (is_whole(r, g) || disk_returns(r, g));
    return whole;
}

void disks_forget(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    d->known = d->whole = d->honest = d->always = false;
    d->unread = 0; /* what it was is not opened any more */
    memset(d->promises, 0, deploy_partitions_all(r->deploy) * sizeof *d->promises);
    for (unsigned i = 0; i < r->ledger_n; i++)
        r->ledger[i].kept &= r->ledger[i].region != g;
}

void disks_rotten(struct run *r, unsigned g)
{
    disks_forget(r, g);
    r->disks[g].rotten = true;
}

/* A bit in a file that is not being written: it is found, or nothing needs it. */
void disks_rot(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    char path[96];
    if (!others_whole(r, g) || !choose_file(r, g, path) ||
        !world_disk_rot(r->world, deploy_host(r->deploy, g), path, 0))
        return;
    world_note(r->world, "fault: a bit of region %u's %s flips", g, path);
    struct revived v;
    revive(r, g, &v);
    for (uint32_t p = 0; v.opened && p < deploy_partitions_all(r->deploy); p++)
        if (d->promises[p] &&
            !context_le(&d->promised[p], shard_context(revived_shard(&v, r, p), p)))
            fail(r, "a bit of region %u's %s flipped: what was there is silently missing", g, path);
    if (!v.opened && (strstr(v.error, "offset") == NULL || strstr(v.error, FOLDER) == NULL))
        fail(r, "region %u's disk is damaged, and all it says is: %s", g, v.error);
    world_free(v.world);
    disks_rotten(r, g);
}

/* A bit of what says which life a shard was: nothing is lost, but it is not known any more what it
 * had missed. So it has to catch up, and somebody has to be there for that. */
void disks_rot_lives(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    uint32_t shard = (uint32_t)(r->seed + d->lives) % d->shards;
    char path[96];
    deploy_folder(r->deploy, g, shard, path, sizeof path - 8);
    strcat(path, "/lives");
    if (!others_whole(r, g) || !world_disk_rot(r->world, deploy_host(r->deploy, g), path, 0))
        return;
    world_note(r->world, "fault: a bit of region %u's %s flips", g, path);
    d->unread = shard + 1;
    d->whole = false;
}

static void look_unread(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    struct worker_shard s[64];
    if (d->unread == 0 || !living(r, g))
        return;
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    uint32_t first = (d->unread - 1) * deploy_options(r->deploy)->partitions / d->shards;
    for (unsigned i = 0; i < n; i++)
        if (s[i].first_partition == first && s[i].storage != NULL && !s[i].lacked)
            fail(r, "region %u's shard %u goes on as if its lives file said that it has all", g,
                 d->unread - 1);
    d->unread = 0;
}

/* ------------------------------------------------------------ looking after them */

static const char *broken(const struct run *r, unsigned g)
{
    struct worker_shard s[64];
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    for (unsigned i = 0; i < n; i++)
        if (!s[i].open && s[i].storage != NULL && storage_state(s[i].storage) == STORAGE_BROKEN)
            return storage_error(s[i].storage);
    return NULL;
}

/* A region that does not come up: somebody reads what it says, and does that. */
static void repair(struct run *r, unsigned g, const char *error)
{
    struct region_disk *d = &r->disks[g];
    uint64_t now = world_now_us(r->world);
    world_note(r->world, "region %u does not open: %s", g, error);
    if (!d->rotten && now > d->sick_us + 1000000) {
        fail(r, "region %u does not open: %s", g, error);
        return;
    }
    crash_region(r, g, false, false);
    if (d->rotten) {
        world_files_wipe(r->world, deploy_host(r->deploy, g), FOLDER);
        disks_forget(r, g); /* what it said since then it said of a disk that was not well */
        d->rotten = false;
    }
    r->restart_us[g] = (d->well_us > now ? d->well_us : now) + 200000;
}

static void look_after(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    uint64_t now = world_now_us(r->world);
    if (d->well_us != 0) {
        d->sick_us = now;
        if (now < d->policy_us + DISK_POLICY_US)
            d->policy_us = now; /* it could not be written yet */
    }
    if (d->well_us != 0 && now >= d->well_us) {
        world_note(r->world, "region %u's disk is well", g);
        set_disk(r, g, (struct world_disk){0});
        d->well_us = 0;
    }
    if (!deploy_running(r->deploy, g))
        return;
    const char *error = broken(r, g);
    if (error != NULL) {
        repair(r, g, error);
    } else if (d->stop_us != 0 && (deploy_stopped(r->deploy, g) || now > d->stop_us + STOP_US)) {
        d->ended = deploy_stopped(r->deploy, g);
        crash_region(r, g, r->disk_plan.power && rng_below(&r->disk_rng, 2), false);
        r->restart_us[g] = now + 10000 + rng_below(&r->disk_rng, 500000);
    } else if (d->again_us != 0 && now >= d->again_us) {
        d->again_us = 0;
        if (!may_die(r, UINT64_C(1) << g))
            return;
        crash_region(r, g, r->disk_plan.power && rng_below(&r->disk_rng, 2), false);
        r->restart_us[g] = now + rng_below(&r->disk_rng, 100000);
    }
}

void disks_started(struct run *r, unsigned g)
{
    if (r->disk_plan.hasty && !r->calm && rng_below(&r->disk_rng, 2))
        r->disks[g].again_us = world_now_us(r->world) + 1 + rng_below(&r->disk_rng, 15000);
}

/* ------------------------------------------------------------ faults */

struct space {
    uint64_t used;
};

static void add_space(void *arg, const char *path, struct bytes content)
{
    struct space *s = arg;
    (void)path;
    s->used += content.n;
}

static void sicken(struct run *r, unsigned g, bool full)
{
    struct region_disk *d = &r->disks[g];
    struct rng *n = &r->disk_rng;
    struct world_disk disk = {0};
    if (full) {
        struct space s = {0};
        world_files(r->world, deploy_host(r->deploy, g), add_space, &s);
        disk.bytes_max = s.used + 1 + rng_below(n, 20000);
    } else {
        disk.fail_append_per_64k = (uint32_t)rng_below(n, 30000);
        disk.fail_sync_per_64k = (uint32_t)rng_below(n, 30000);
        disk.fail_read_per_64k = (uint32_t)rng_below(n, 10000);
    }
    world_note(r->world, "fault: region %u's disk %s", g, full ? "runs full" : "fails");
    set_disk(r, g, disk);
    d->sick_us = world_now_us(r->world);
    d->well_us = d->sick_us + 1 + rng_below(n, 1500000);
}

static void stop_region(struct run *r, unsigned g)
{
    if (!living(r, g) || deploy_persistence(r->deploy, g) == PERSIST_OFF ||
        r->disks[g].stop_us != 0 || !may_die(r, UINT64_C(1) << g))
        return;
    world_note(r->world, "fault: region %u is ended in order", g);
    r->disks[g].stop_us = world_now_us(r->world);
    deploy_stop(r->deploy, g);
}

/* Everywhere at once. */
static void black_out(struct run *r)
{
    if (!may_die(r, UINT64_MAX))
        return;
    world_note(r->world, "fault: the power fails everywhere");
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        if (!deploy_running(r->deploy, g) || !(deploy_members_now(r->deploy) >> g & 1))
            continue;
        crash_region(r, g, true, false);
        r->restart_us[g] = world_now_us(r->world) + 10000 + rng_below(&r->disk_rng, 1000000);
    }
}

static void change_policy(struct run *r, unsigned g)
{
    uint32_t next = 1 + (uint32_t)rng_below(&r->disk_rng, PERSIST_KINDS - 1);
    if (living(r, g) && r->disks[g].stop_us == 0 && deploy_persistence(r->deploy, g) != PERSIST_OFF)
        switches_ask(r, g, next);
}

void disks_tick(struct run *r)
{
    struct rng *n = &r->disk_rng;
    struct disk_plan *p = &r->disk_plan;
    if (!p->used)
        return;
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        look_unread(r, g);
        look_after(r, g);
    }
    windows_tick(r);
    if (r->calm || rng_below(n, p->every_us) > 5000) /* called every 5 ms */
        return;
    unsigned g = 1 + (unsigned)rng_below(n, r->plan.regions);
    uint64_t what = rng_below(n, 12);
    if (p->fails && what < 4)
        sicken(r, g, false);
    if (p->full && what >= 4 && what < 6)
        sicken(r, g, true);
    if (p->stops && what >= 6 && what < 8)
        stop_region(r, g);
    if (p->blackout && what == 8)
        black_out(r);
    if (p->policies && what > 8 && what < 11)
        change_policy(r, g);
}

void disks_end(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        r->disks[g].again_us = 0;
        r->disks[g].well_us = 0;
        set_disk(r, g, (struct world_disk){0});
    }
}

/* ------------------------------------------------------------ for people */

static void save_file(void *arg, const char *path, struct bytes content)
{
    char to[512];
    int n = snprintf(to, sizeof to, "%s", (const char *)arg);
    mkdir(to, 0777);
    for (const char *at = path; n > 0 && (size_t)n < sizeof to && *at != 0;) {
        size_t part = strcspn(at, "/");
        n += snprintf(to + n, sizeof to - (size_t)n, "/%.*s", (int)part, at);
        at += part + (at[part] == '/');
        if (*at != 0)
            mkdir(to, 0777);
    }
    FILE *f = fopen(to, "wb");
    if (f == NULL || fwrite(content.p, 1, content.n, f) != content.n)
        fprintf(stderr, "%s: can't be written\n", to);
    if (f != NULL)
        fclose(f);
}

void disks_save(const struct run *r, const char *folder)
{
    char path[256];
    mkdir(folder, 0777);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        snprintf(path, sizeof path, "%s/r%u", folder, g);
        world_files(r->world, deploy_host(r->deploy, g), save_file, path);
    }
}
