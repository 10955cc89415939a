/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "shard/command.h"
#include "tests/sim/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * A story of its own, after the run of some seeds and in another world, so that these keep their
 * histories: a region ends in order and is copied; it goes on, and everybody hears of that; then
 * the copy is put back without a mark, while peers have been restarted or are away, and perhaps
 * writes.
 *
 * What is promised: what the later life had acknowledged is in all regions for ever. What the copy
 * acknowledged is, too, unless it says that it was split: then it still has it, in each later
 * process, until its files are taken away. All regions agree in the end.
 */
#define STORY_REGIONS 3u
#define WRITES_MAX 400u
#define SETS 5u
#define STEP_US 5000u
#define QUIET_US 60000000u

static const char *const names[] = {"", "north", "south", "west"};

struct write {
    bool acked, copy; /* copy: by the region that was put back, before it was found out */
};

struct mouth {
    struct vconn *conn; /* NULL: closed */
    struct buf got;
};

struct story {
    struct run *run;
    struct rng rng;
    struct world *world;
    struct driver *driver;
    struct deploy *deploy;
    unsigned regions, old; /* old: which is copied */
    bool always;
    struct mouth mouths[STORY_REGIONS + 1];
    struct write writes[WRITES_MAX];
    unsigned n;
    struct buf files; /* of the copy: path, 0, u64 size, content */
    uint32_t incarnation;
};

static void step(struct story *s, uint64_t us)
{
    world_flush(s->world);
    world_run(s->world, world_now_us(s->world) + us);
}

/* ------------------------------------------------------------ clients */

static void heard(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    struct mouth *m = arg;
    (void)v;
    if (in != NULL && buf_len(in) > 0) {
        buf_put_bytes(&m->got, buf_bytes(in));
        buf_consume(in, buf_len(in));
    }
    if (what == VCONN_CLOSED)
        m->conn = NULL;
}

static void hang_up(struct story *s, unsigned g)
{
    if (s->mouths[g].conn != NULL)
        vconn_close(s->mouths[g].conn);
    s->mouths[g].conn = NULL;
}

static void write_one(struct story *s, unsigned g, bool copy)
{
    struct mouth *m = &s->mouths[g];
    char text[64];
    if (s->n == WRITES_MAX)
        return;
    unsigned i = s->n++;
    if (m->conn == NULL)
        m->conn = driver_dial(s->driver, names[g], DEPLOY_PORT, heard, m);
    buf_clear(&m->got);
    snprintf(text, sizeof text, "sadd story%u w%u\r\n", i % SETS, i);
    vconn_send(m->conn, bytes_str(text));
    for (unsigned k = 0; k < 40 && buf_len(&m->got) == 0 && m->conn != NULL; k++)
        step(s, STEP_US);
    s->writes[i].acked = buf_len(&m->got) > 0 && m->got.p[m->got.head] == ':';
    s->writes[i].copy = copy;
    if (buf_len(&m->got) == 0)
        hang_up(s, g); /* the next reply would be taken for the next write's */
}

static bool has(const struct story *s, unsigned g, unsigned i)
{
    char set[16], member[16];
    snprintf(set, sizeof set, "story%u", i % SETS);
    snprintf(member, sizeof member, "w%u", i);
    uint32_t p = slot_partition(hash_slot(bytes_str(set)), deploy_partitions(s->deploy));
    struct shard *shard = deploy_shard(s->deploy, g, p);
    const struct cell *key = shard != NULL ? shard_key(shard, p, bytes_str(set)) : NULL;
    return coll_find(key, TYPE_SET, bytes_str(member)) != NULL;
}

/* ------------------------------------------------------------ lives */

static void end(struct story *s, unsigned g, bool orderly)
{
    hang_up(s, g);
    if (orderly)
        deploy_stop(s->deploy, g);
    for (unsigned i = 0; orderly && i < 400 && !deploy_stopped(s->deploy, g); i++)
        step(s, STEP_US);
    if (rng_below(&s->rng, 2) == 0)
        deploy_power_loss(s->deploy, g);
    else
        deploy_crash(s->deploy, g, false);
    step(s, STEP_US);
}

/* Nothing was lost by its end. */
static void restart(struct story *s, unsigned g)
{
    end(s, g, !s->always || rng_below(&s->rng, 2) == 0);
    deploy_start(s->deploy, g);
    step(s, rng_below(&s->rng, 1000000));
}

/* With a sync a second it goes on as another life. */
static void die(struct story *s, unsigned g)
{
    step(s, 3000000); /* what was acknowledged is on disk by then */
    end(s, g, false);
    deploy_start(s->deploy, g);
    step(s, 200000 + rng_below(&s->rng, 2000000));
}

static void keep_file(void *arg, const char *path, struct bytes content)
{
    struct story *s = arg;
    uint64_t n = content.n;
    buf_put(&s->files, path, strlen(path) + 1);
    buf_put(&s->files, &n, sizeof n);
    buf_put_bytes(&s->files, content);
}

static void put_back(struct story *s)
{
    uint32_t host = deploy_host(s->deploy, s->old);
    world_files_wipe(s->world, host, "data/");
    while (buf_len(&s->files) > 0) {
        const char *path = (const char *)s->files.p + s->files.head;
        size_t named = strlen(path) + 1;
        uint64_t n;
        memcpy(&n, path + named, sizeof n);
        world_file_put(s->world, host, path, bytes_of((const uint8_t *)path + named + sizeof n, n));
        buf_consume(&s->files, named + sizeof n + n);
    }
    deploy_put_back(s->deploy, s->old, s->incarnation);
}

/* ------------------------------------------------------------ what is checked */

static bool is_split(const struct story *s)
{
    struct worker_shard at[8];
    unsigned n = deploy_shards(s->deploy, s->old, at, 8);
    for (unsigned i = 0; i < n; i++) {
        const char *why = shard_refusal(at[i].shard, CMD_WRITE);
        if (why != NULL && strstr(why, "older copy") != NULL)
            return true;
    }
    return false;
}

/* Who has the same context of a partition shows the same. */
static void expect_no_difference(struct story *s)
{
    for (unsigned g = 2; g <= s->regions; g++)
        for (uint32_t p = 0; p < deploy_partitions_all(s->deploy); p++) {
            struct shard *a = deploy_shard(s->deploy, 1, p), *b = deploy_shard(s->deploy, g, p);
            if (a != NULL && b != NULL && context_eq(shard_context(a, p), shard_context(b, p)) &&
                !hash128_eq(shard_digest(a, p), shard_digest(b, p)))
                fail(s->run, "older copy: regions 1 and %u differ in partition %u", g, p);
        }
}

static void expect_writes(struct story *s, unsigned g, bool copy, const char *when)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->writes[i].acked && s->writes[i].copy == copy && !has(s, g, i))
            fail(s->run, "older copy: w%u, which %s had acknowledged, is not in region %u %s", i,
                 copy ? "the copy" : "a region", g, when);
}

static bool agree(struct story *s)
{
    uint64_t stop = world_now_us(s->world) + QUIET_US;
    while (world_now_us(s->world) < stop) {
        bool open = true;
        for (unsigned g = 1; g <= s->regions; g++)
            open &= deploy_running(s->deploy, g) && deploy_open(s->deploy, g);
        if (open && deploy_settled(s->deploy) && deploy_converged(s->deploy))
            return true;
        step(s, 10 * STEP_US);
    }
    return false;
}

/* ------------------------------------------------------------ the story */

static void begin(struct story *s)
{
    s->regions = 2 + (unsigned)rng_below(&s->rng, STORY_REGIONS - 1);
    s->old = 1 + (unsigned)rng_below(&s->rng, s->regions);
    s->always = rng_below(&s->rng, 2);
    s->world = world_new(&(struct world_opts){.seed = s->run->seed, .latency_us = 500});
    s->driver = driver_new(s->world, "outside");
    struct deploy_opts o = {.regions = s->regions, .partitions = 4, .seed = s->run->seed};
    for (unsigned g = 1; g <= s->regions; g++) {
        o.names[g] = names[g];
        o.workers[g] = 1;
        o.shards[g] = 1 + (unsigned)rng_below(&s->rng, 2);
        o.persistence[g] = s->always ? PERSIST_ALWAYS : PERSIST_SECOND;
    }
    s->deploy = deploy_new(s->world, s->driver, &o);
    for (unsigned g = 1; g <= s->regions; g++)
        deploy_start(s->deploy, g);
    step(s, 2000000);
}

static void write_some(struct story *s, unsigned g, unsigned max, bool copy)
{
    for (uint64_t n = rng_below(&s->rng, max + 1); n > 0; n--)
        write_one(s, g != 0 ? g : 1 + (unsigned)rng_below(&s->rng, s->regions), copy);
}

static void cut(struct story *s, unsigned g, bool is_cut)
{
    uint32_t a = deploy_host(s->deploy, s->old), b = deploy_host(s->deploy, g);
    struct world_link link = {.cut = is_cut, .latency_us = 500};
    world_link(s->world, a, b, link);
    world_link(s->world, b, a, link);
}

/* They are ended, or (apart) out of reach: then they remember. */
static void everybody_else(struct story *s, bool apart, bool starts)
{
    for (unsigned g = 1; g <= s->regions; g++) {
        if (g != s->old && apart) {
            cut(s, g, !starts);
            continue;
        }
        if (g != s->old && starts)
            deploy_start(s->deploy, g);
        else if (g != s->old)
            end(s, g, true);
    }
}

/* The copy has been made, and its region goes on. False: a finding. */
static bool go_on(struct story *s)
{
    write_some(s, 0, 20, false);
    bool agreed = agree(s);
    end(s, s->old, true);
    s->incarnation = deploy_incarnation(s->deploy, s->old);
    world_files(s->world, deploy_host(s->deploy, s->old), keep_file, s);
    deploy_start(s->deploy, s->old);
    step(s, 500000);
    write_some(s, s->old, 20, false);
    for (uint64_t n = rng_below(&s->rng, 3); n > 0; n--) {
        restart(s, s->old);
        write_some(s, 0, 10, false);
    }
    uint64_t deaths = rng_below(&s->rng, 2) == 0 ? rng_below(&s->rng, 20) : 0;
    for (; deaths > 0; deaths--) {
        die(s, s->old);
        write_some(s, 0, 5, false);
    }
    agreed = agree(s) && agreed;
    if (!agreed)
        fail(s->run, "older copy: the regions do not agree before it is put back");
    end(s, s->old, true);
    return agreed;
}

/* It says that it is split: it keeps what it has, whatever happens, until its files are gone. */
static void be_split(struct story *s)
{
    for (unsigned life = 0; life < 2; life++) {
        expect_writes(s, s->old, true, "which says that it is split");
        restart(s, life == 0 ? s->old : 1 + s->old % s->regions);
        step(s, 3000000);
        if (!is_split(s))
            fail(s->run, "older copy: region %u was split and has forgotten it", s->old);
    }
    end(s, s->old, true);
    world_files_wipe(s->world, deploy_host(s->deploy, s->old), "data/");
    for (unsigned i = 0; i < s->n; i++)
        s->writes[i].acked &= !s->writes[i].copy;
    deploy_start(s->deploy, s->old);
}

static void play(struct story *s)
{
    bool alone = rng_below(&s->rng, 2), apart = alone && rng_below(&s->rng, 2);
    if (!go_on(s))
        return;
    for (unsigned g = 1; g <= s->regions; g++)
        if (g != s->old && rng_below(&s->rng, 2) == 0)
            restart(s, g);
    put_back(s);
    if (alone)
        everybody_else(s, apart, false);
    deploy_start(s->deploy, s->old);
    step(s, alone ? 500000 : rng_below(&s->rng, 20000));
    write_some(s, s->old, 10, true);
    for (uint64_t n = alone ? rng_below(&s->rng, 3) : 0; n > 0; n--) {
        restart(s, s->old);
        write_some(s, s->old, 5, true);
    }
    if (alone)
        everybody_else(s, apart, true);
    for (unsigned i = 0; i < 600 && !is_split(s); i++)
        step(s, STEP_US);
    if (!alone && is_split(s))
        fail(s->run, "older copy: region %u wrote before it had heard its peers, and is split",
             s->old);
    write_some(s, 1 + s->old % s->regions, 10, false);
    expect_no_difference(s);
    if (is_split(s))
        be_split(s);
    if (!agree(s))
        fail(s->run, "older copy: the regions do not agree after it was put back");
    expect_no_difference(s);
    for (unsigned g = 1; g <= s->regions; g++) {
        expect_writes(s, g, false, "in the end");
        expect_writes(s, g, true, "in the end");
    }
}

void copies_story(struct run *r)
{
    struct story *s = mem_zalloc(sizeof *s);
    s->run = r;
    rng_init(&s->rng, r->seed ^ UINT64_C(0x636f7079));
    if (r->failure[0] == 0 && rng_below(&s->rng, 8) == 0) {
        begin(s);
        play(s);
        for (unsigned g = 1; g <= s->regions; g++) {
            hang_up(s, g);
            buf_deinit(&s->mouths[g].got);
        }
        deploy_free(s->deploy);
        world_free(s->world);
    }
    buf_deinit(&s->files);
    mem_free(s);
}
