/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "tests/sim/run.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * A story of its own, for a quarter of the seeds and in another world: regions, most of them
 * without disks, that lose their memory often, several at a time, also while they catch up, while
 * links are cut or held, and with one that is removed by force. What is lost then is lost; what is
 * promised is that nobody takes writes with less than what others have compacted, and that all take
 * writes, and agree, once the faults are over.
 */
#define STORY_REGIONS 4u
#define STEP_US 5000u
#define AGREE_US 120000000u

static const char *const names[] = {"", "north", "south", "west", "east"};

struct mouth {
    struct vconn *conn; /* NULL: closed */
};

struct story {
    struct run *run;
    struct rng rng;
    struct world *world;
    struct driver *driver;
    struct deploy *deploy;
    unsigned regions;
    bool removes;
    uint64_t members;
    uint64_t start_us[STORY_REGIONS + 1]; /* 0: it runs */
    struct mouth mouths[STORY_REGIONS + 1];
};

static void heard(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    struct mouth *m = arg;
    (void)v;
    if (in != NULL)
        buf_consume(in, buf_len(in));
    if (what == VCONN_CLOSED)
        m->conn = NULL;
}

static void hang_up(struct story *s, unsigned g)
{
    if (s->mouths[g].conn != NULL)
        vconn_close(s->mouths[g].conn);
    s->mouths[g].conn = NULL;
}

/* Takes so long at least; whoever is due is started, and all is looked at. */
static void pass(struct story *s, uint64_t us)
{
    uint64_t until = world_now_us(s->world) + us;
    while (world_now_us(s->world) < until && s->run->failure[0] == 0) {
        world_flush(s->world);
        world_run(s->world, world_now_us(s->world) + STEP_US);
        for (unsigned g = 1; g <= s->regions; g++) {
            if (s->start_us[g] == 0 || world_now_us(s->world) < s->start_us[g])
                continue;
            s->start_us[g] = 0;
            deploy_start(s->deploy, g);
        }
        check_early(s->run, s->deploy, s->regions);
    }
}

static unsigned any(struct story *s) { return 1 + (unsigned)rng_below(&s->rng, s->regions); }

static void write_one(struct story *s, unsigned g)
{
    static const char *const said[][2] = {
        {"incr n", ""}, {"del n", ""}, {"sadd s", "a b"}, {"srem s", "a"}, {"del s", ""}};
    const char *const *words = said[rng_below(&s->rng, 5)];
    struct mouth *m = &s->mouths[g];
    char text[32];
    if (!deploy_running(s->deploy, g))
        return;
    if (m->conn == NULL)
        m->conn = driver_dial(s->driver, names[g], DEPLOY_PORT, heard, m);
    snprintf(text, sizeof text, "%s%u %s\r\n", words[0], (unsigned)rng_below(&s->rng, 4), words[1]);
    vconn_send(m->conn, bytes_str(text));
}

static void lose(struct story *s, unsigned g)
{
    if (!deploy_running(s->deploy, g) || !(s->members >> g & 1) ||
        deploy_incarnation(s->deploy, g) + 4 > LIVES_MAX)
        return;
    hang_up(s, g);
    if (rng_below(&s->rng, 2))
        deploy_power_loss(s->deploy, g);
    else
        deploy_crash(s->deploy, g, false);
    if (rng_below(&s->rng, 4) == 0)
        world_files_wipe(s->world, deploy_host(s->deploy, g), "data/");
    s->start_us[g] = world_now_us(s->world) + 1 + rng_below(&s->rng, 1u << rng_below(&s->rng, 21));
}

static void link_fault(struct story *s)
{
    unsigned a = any(s), b = any(s);
    if (a == b)
        return;
    bool cut = rng_below(&s->rng, 2);
    for (unsigned way = 0; way < 2; way++) {
        uint32_t x = deploy_host(s->deploy, way ? b : a), y = deploy_host(s->deploy, way ? a : b);
        struct world_link l = world_link_get(s->world, x, y);
        l.cut = cut;
        world_link(s->world, x, y, l);
        if (!cut)
            world_reset(s->world, x, y); /* it is dialled again soon */
    }
}

/* For good, dead or alive. */
static void remove_one(struct story *s)
{
    unsigned g = any(s);
    if (!s->removes || !(s->members >> g & 1) || __builtin_popcountll(s->members) < 3)
        return;
    s->removes = false;
    s->members &= ~(UINT64_C(1) << g);
    s->start_us[g] = 0;
    hang_up(s, g);
    deploy_members(s->deploy, s->members);
}

static void happen(struct story *s)
{
    unsigned a = any(s), b = any(s);
    switch (rng_below(&s->rng, 8)) {
    case 0:
    case 1:
        lose(s, a);
        break;
    case 2:
        link_fault(s);
        break;
    case 3:
        if (rng_below(&s->rng, 4) == 0)
            remove_one(s);
        else if (a != b && deploy_running(s->deploy, a) && (s->members >> a & s->members >> b & 1))
            deploy_pause(s->deploy, a, b, rng_below(&s->rng, 3) == 0);
        break;
    default:
        for (uint64_t n = rng_below(&s->rng, 6); n > 0; n--) {
            write_one(s, any(s));
            pass(s, 1);
        }
    }
    pass(s, 1 + rng_below(&s->rng, 1u << (10 + rng_below(&s->rng, 9))));
}

static void begin(struct story *s, bool verbose)
{
    s->regions = 2 + (unsigned)rng_below(&s->rng, STORY_REGIONS - 1);
    s->removes = rng_below(&s->rng, 2);
    uint64_t disks = rng_below(&s->rng, 2) ? 0 : rng_below(&s->rng, 32);
    uint32_t latency = 200u << rng_below(&s->rng, 7);
    s->world = world_new(&(struct world_opts){.seed = s->run->seed,
                                              .latency_us = latency,
                                              .jitter_us = latency / 2,
                                              .trace = verbose ? 400000 : 60});
    s->run->world = s->world;
    s->driver = driver_new(s->world, "outside");
    struct deploy_opts o = {.regions = s->regions, .partitions = 4, .seed = s->run->seed};
    for (unsigned g = 1; g <= s->regions; g++) {
        o.names[g] = names[g];
        o.workers[g] = 1;
        o.shards[g] = 1 + (unsigned)rng_below(&s->rng, 2);
        o.persistence[g] = disks >> g & 1 ? PERSIST_SECOND : PERSIST_OFF;
        s->members |= UINT64_C(1) << g;
    }
    s->deploy = deploy_new(s->world, s->driver, &o);
    for (unsigned g = 1; g <= s->regions; g++)
        deploy_start(s->deploy, g);
    pass(s, 500000);
}

static void heal(struct story *s)
{
    for (unsigned a = 1; a <= s->regions; a++)
        for (unsigned b = 1; b <= s->regions; b++) {
            if (a == b)
                continue;
            world_link(s->world, deploy_host(s->deploy, a), deploy_host(s->deploy, b),
                       (struct world_link){.latency_us = 1000});
            if (s->members >> a & s->members >> b & 1)
                deploy_pause(s->deploy, a, b, false);
        }
    for (unsigned g = 1; g <= s->regions; g++)
        if (!deploy_running(s->deploy, g) && (s->members >> g & 1))
            s->start_us[g] = world_now_us(s->world);
}

static bool all_well(const struct story *s)
{
    for (unsigned g = 1; g <= s->regions; g++) {
        struct worker_shard at[8];
        if (!(s->members >> g & 1))
            continue;
        if (!deploy_running(s->deploy, g) || !deploy_open(s->deploy, g))
            return false;
        unsigned n = deploy_shards(s->deploy, g, at, 8);
        for (unsigned i = 0; i < n; i++)
            if (shard_is_stale(at[i].shard))
                return false;
    }
    return deploy_settled(s->deploy) && deploy_converged(s->deploy);
}

static void play(struct story *s)
{
    for (uint64_t n = 20 + rng_below(&s->rng, 60); n > 0 && s->run->failure[0] == 0; n--)
        happen(s);
    heal(s);
    uint64_t until = world_now_us(s->world) + AGREE_US;
    while (s->run->failure[0] == 0 && !all_well(s) && world_now_us(s->world) < until)
        pass(s, 10 * STEP_US);
    if (!all_well(s))
        fail(s->run, "memories: not all regions take writes and agree %u s after the faults ended",
             AGREE_US / 1000000);
    check_equal(s->run, s->deploy, s->regions);
}

bool memories_drawn(uint64_t seed)
{
    struct rng g;
    rng_init(&g, seed ^ UINT64_C(0x6d656d6f7279));
    return rng_below(&g, 4) == 0;
}

bool memories_seed(uint64_t seed, bool verbose, struct buf *report)
{
    struct run *r = mem_zalloc(sizeof *r);
    struct story s = {.run = r};
    r->seed = seed;
    rng_init(&s.rng, seed ^ UINT64_C(0x6d656d6f));
    begin(&s, verbose);
    play(&s);
    bool ok = r->failure[0] == 0;
    if (!ok)
        buf_putf(report, "FINDING: %s\n", r->failure);
    if (!ok || verbose) {
        tell_regions(s.world, s.deploy, s.regions, report);
        world_trace(s.world, report);
    }
    buf_putf(report, "seed %" PRIu64 " memories  hash %016" PRIx64 "  %" PRIu64 " events  %.1f s\n",
             seed, world_hash(s.world), world_events(s.world), (double)world_now_us(s.world) / 1e6);
    for (unsigned g = 1; g <= s.regions; g++)
        hang_up(&s, g);
    deploy_free(s.deploy);
    world_free(s.world);
    mem_free(r);
    return ok;
}
