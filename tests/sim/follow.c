/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "migrate/gather.h"
#include "tests/sim/run.h"
#include "tests/sim/source.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * A region that follows live sources (migrate/gather.h): one, several, or a Redis Cluster. A world
 * of its own, drawn apart from a seed's other one. Sources restart, are taken over and lose what
 * they had; followers are killed and ended; regions crash, with and without disks; links are cut.
 * When all that is over each source's keys are in every region as the source has them, and no
 * others.
 */
#define TICK_US 5000u
#define QUIET_MAX_US 120000000u
#define KEEPALIVE_US 10000000u
#define SOURCES_MAX 4u
#define MOVED_US 15000000u /* that slots were moved is seen by then: asked again and given up */

struct stage {
    uint64_t seed;
    struct rng rng;
    struct world *world;
    struct driver *driver;
    struct deploy *deploy;
    struct source sources[SOURCES_MAX];
    unsigned n, regions;
    bool cluster, moves;   /* slots are moved; masters change their addresses */
    unsigned split, ports; /* where the slots divide; bits: who is at its second address */
    uint64_t moved_us;     /* slots have been moved: what it says does not count before; 0: none */
    struct buf slots;
    uint32_t host;
    struct follower *follower; /* NULL: none lives */
    unsigned lives;
    uint64_t again_us; /* another follower begins; 0: there is one */
    bool hasty; /* copies are made although peers may have something of earlier lives, as they do */
    bool flush; /* whoever starts it says that what is there may go */
    uint64_t restart_us[DEPLOY_REGIONS_MAX + 1];
    uint64_t stop_us[DEPLOY_REGIONS_MAX + 1]; /* it ends in order */
    uint64_t until_us;
    uint32_t write_every_us, fault_every_us;
    bool power, silent, stops, cuts, slow, calm;
    char failure[400];
};

struct follower {
    struct stage *stage;
    struct gather *gather;
};

static void finding(struct stage *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void finding(struct stage *t, const char *fmt, ...)
{
    va_list ap;
    if (t->failure[0] != 0)
        return;
    va_start(ap, fmt);
    vsnprintf(t->failure, sizeof t->failure, fmt, ap);
    va_end(ap);
    world_note(t->world, "FINDING: %.200s", t->failure);
}

/* ------------------------------------------------------------ the follower */

static void follower_step(void *self, struct port *port, const struct event *ev)
{
    struct follower *f = self;
    if (ev->owner != NULL)
        ev->owner->step(ev->owner, port, ev);
    else if (ev->kind == EV_START)
        gather_start(f->gather, port, ev->now);
    else if (ev->kind == EV_TURN || ev->kind == EV_TIMER)
        gather_tick(f->gather, ev->now);
}

static uint64_t follower_deadline(void *self)
{
    return gather_deadline(((struct follower *)self)->gather);
}

static void follower_drop(void *self, struct port *port)
{
    struct follower *f = self;
    f->stage->follower = NULL;
    gather_free(f->gather, port);
    mem_free(f);
}

static void follower_start(struct stage *t)
{
    struct follower *f = mem_zalloc(sizeof *f);
    struct gather_source *sources = mem_zalloc(SOURCES_MAX * sizeof *sources);
    struct gather_opts o = {.all = {.target_host = "r1",
                                    .target_port = DEPLOY_PORT,
                                    .flush = t->flush,
                                    .earlier_us = t->hasty ? 1 : 0,
                                    .silence_us = 5000000},
                            .sources = sources,
                            .count = t->cluster ? 1 : t->n};
    for (unsigned i = 0; i < o.count; i++) {
        snprintf(sources[i].uri.host, sizeof sources[i].uri.host, "s%u", i + 1);
        sources[i].uri.port = SOURCE_PORT;
    }
    t->again_us = 0;
    t->lives++;
    *f = (struct follower){.stage = t, .gather = gather_new(&o)};
    world_note(t->world, "follower %u starts%s", t->lives,
               t->flush ? ", what is there may go" : "");
    world_machine(t->world, t->host, 1,
                  (struct machine){.self = f, .step = follower_step, .deadline = follower_deadline},
                  follower_drop);
    t->follower = f;
    t->flush = false;
    mem_free(sources);
}

static void follower_again(struct stage *t)
{
    world_kill(t->world, t->host, t->silent && rng_below(&t->rng, 2));
    t->again_us = world_now_us(t->world) + 1 + rng_below(&t->rng, 1u << rng_below(&t->rng, 22));
}

/* Who has stopped is started again by somebody who has read why. */
static void follower_tick(struct stage *t)
{
    if (t->follower != NULL && gather_is_over(t->follower->gather)) {
        struct follow_status s;
        gather_status(t->follower->gather, &s);
        world_note(t->world, "follower: %s: %.150s", follow_state_name(s.state), s.text);
        t->flush = s.state == FOLLOW_STOPPED;
        follower_again(t);
    }
    if (t->again_us != 0 && world_now_us(t->world) >= t->again_us)
        follower_start(t);
}

static struct moment follower_now(const struct stage *t)
{
    return (struct moment){.mono_us = world_now_us(t->world),
                           .wall_ms = world_wall_ms(t->world, t->host)};
}

/* ------------------------------------------------------------ the cluster */

static void put_range(struct stage *t, unsigned i, unsigned first, unsigned last)
{
    char name[16];
    int n = snprintf(name, sizeof name, "s%u", i + 1);
    buf_putf(&t->slots, "*3\r\n:%u\r\n:%u\r\n*3\r\n$%d\r\n%s\r\n:%u\r\n$2\r\nid\r\n", first, last,
             n, name, SOURCE_PORT + (t->ports >> i & 1));
}

static void make_slots(struct stage *t)
{
    unsigned first = 0;
    buf_clear(&t->slots);
    buf_putf(&t->slots, "*%u\r\n", t->n);
    for (unsigned i = 0; i < t->n; i++) {
        unsigned last = i + 1 == t->n ? 16383 : (i + 1) * 4000 + t->split;
        put_range(t, i, first, last);
        first = last + 1;
    }
}

/* ------------------------------------------------------------ building */

static void draw_regions(struct stage *t, struct deploy_opts *o)
{
    static const char *const names[] = {"", "r1", "r2", "r3"};
    struct rng *g = &t->rng;
    uint32_t one = (uint32_t)rng_below(g, PERSIST_KINDS);
    bool all = rng_below(g, 2);
    *o = (struct deploy_opts){.regions = t->regions,
                              .partitions = 1u << rng_below(g, 4),
                              .seed = rng_next(g),
                              .backlog_bytes = rng_below(g, 3) ? 1u << 20 : 16384,
                              .snapshot_bytes = 4000u << rng_below(g, 7),
                              .segment_bytes = 2000u << rng_below(g, 7)};
    for (unsigned i = 1; i <= t->regions; i++) {
        o->names[i] = names[i];
        o->workers[i] = 1 + (unsigned)rng_below(g, 2);
        o->shards[i] = rng_below(g, 2) ? 1 : 1 + (unsigned)rng_below(g, 3);
        if (o->shards[i] > o->partitions)
            o->shards[i] = o->partitions;
        o->persistence[i] = all ? one : (uint32_t)rng_below(g, PERSIST_KINDS);
    }
}

static void draw(struct stage *t)
{
    struct rng *g = &t->rng;
    t->regions = 1 + (unsigned)rng_below(g, 3);
    t->hasty = t->seed % 3 == 0;
    t->n = rng_below(g, 2) ? 1 : 2 + (unsigned)rng_below(g, SOURCES_MAX - 1);
    t->cluster = t->n > 1 && rng_below(g, 2);
    t->moves = t->cluster && rng_below(g, 2);
    t->power = rng_below(g, 2);
    t->silent = rng_below(g, 2);
    t->stops = rng_below(g, 2);
    t->cuts = rng_below(g, 2);
    t->slow = rng_below(g, 3) == 0;
    t->write_every_us = 5000u << rng_below(g, 6);
    t->fault_every_us = 100000u << rng_below(g, 6);
    t->until_us = 4000000 + rng_below(g, 20000000);
}

static void build(struct stage *t, bool verbose)
{
    struct deploy_opts o;
    struct rng *g = &t->rng;
    t->world = world_new(&(struct world_opts){.seed = rng_next(g),
                                              .latency_us = 200u << rng_below(g, 6),
                                              .jitter_us = 100u << rng_below(g, 6),
                                              .split = rng_below(g, 2),
                                              .keepalive_us = KEEPALIVE_US,
                                              .trace = verbose ? 20000 : 400});
    t->driver = driver_new(t->world, "outside");
    draw_regions(t, &o);
    t->deploy = deploy_new(t->world, t->driver, &o);
    t->host = world_host(t->world, "follower");
    for (unsigned i = 1; i <= t->regions; i++)
        deploy_start(t->deploy, i);
    for (unsigned i = 0; i < t->n; i++) {
        source_init(&t->sources[i], t->world, i + 1, rng_next(g));
        t->sources[i].cluster = t->cluster ? &t->slots : NULL;
        source_start(&t->sources[i]);
    }
    make_slots(t);
    follower_start(t);
}

static void tear_down(struct stage *t)
{
    deploy_free(t->deploy);
    world_free(t->world);
    for (unsigned i = 0; i < t->n; i++)
        source_deinit(&t->sources[i]);
    buf_deinit(&t->slots);
}

/* ------------------------------------------------------------ faults */

/* With nobody else there everything may be lost; with others one of them stays, and has all. */
static bool may_fall(const struct stage *t, unsigned g)
{
    for (unsigned i = 1; i <= t->regions; i++) {
        struct worker_shard s[64];
        unsigned n = deploy_shards(t->deploy, i, s, 64);
        bool whole = deploy_open(t->deploy, i) && t->stop_us[i] == 0;
        for (unsigned k = 0; k < n; k++)
            whole &= !shard_is_stale(s[k].shard);
        if (whole && (i != g || t->regions == 1))
            return true;
    }
    return false;
}

/* What the others have of it and it has not comes back late, on top of what is copied meanwhile. */
static void cut_off(struct stage *t, unsigned g)
{
    for (unsigned i = 1; i <= t->regions; i++) {
        uint32_t a = deploy_host(t->deploy, g), b = deploy_host(t->deploy, i);
        if (i == g)
            continue;
        struct world_link l = world_link_get(t->world, a, b);
        l.cut = true;
        world_link(t->world, a, b, l);
        world_link(t->world, b, a, l);
    }
}

static void die(struct stage *t, unsigned g, bool power)
{
    world_note(t->world, "fault: region %u %s", g, power ? "loses power" : "dies");
    if (!power)
        deploy_crash(t->deploy, g, t->silent && rng_below(&t->rng, 2));
    else
        deploy_power_loss(t->deploy, g);
    if (power && t->hasty)
        cut_off(t, g);
    t->stop_us[g] = 0;
    t->restart_us[g] = world_now_us(t->world) + 1000 + rng_below(&t->rng, 2000000);
}

static void fault_region(struct stage *t)
{
    unsigned g = rng_below(&t->rng, 3) ? 1 : 1 + (unsigned)rng_below(&t->rng, t->regions);
    if (!deploy_running(t->deploy, g) || !deploy_settled(t->deploy) || t->stop_us[g] != 0 ||
        !may_fall(t, g))
        return;
    if (t->stops && rng_below(&t->rng, 2)) {
        world_note(t->world, "fault: region %u is to end", g);
        deploy_stop(t->deploy, g);
        t->stop_us[g] = world_now_us(t->world);
    } else {
        die(t, g, t->power && rng_below(&t->rng, 2));
    }
}

static void fault_link(struct stage *t)
{
    uint32_t a = t->host, b;
    unsigned which = (unsigned)rng_below(&t->rng, t->n + t->regions);
    if (which >= t->n + 1) {
        a = deploy_host(t->deploy, 1);
        b = deploy_host(t->deploy, which - t->n + 1);
    } else {
        b = which == t->n ? deploy_host(t->deploy, 1) : t->sources[which].host;
    }
    if (rng_below(&t->rng, 3) == 0) {
        world_note(t->world, "fault: connections between hosts %u and %u reset", a, b);
        world_reset(t->world, a, b);
        return;
    }
    struct world_link l = world_link_get(t->world, a, b);
    l.cut = !l.cut && t->cuts;
    l.latency_us = 200u << rng_below(&t->rng, 7);
    l.jitter_us = l.latency_us / 2;
    l.bytes_per_s = t->slow ? 2000u << rng_below(&t->rng, 6) : 0;
    world_note(t->world, "fault: link %u - %u %s %u us %u B/s", a, b, l.cut ? "cut" : "up",
               l.latency_us, (unsigned)l.bytes_per_s);
    world_link(t->world, a, b, l);
    world_link(t->world, b, a, l);
}

static void fault_source(struct stage *t)
{
    unsigned i = (unsigned)rng_below(&t->rng, t->n);
    enum source_end how = (enum source_end)rng_below(&t->rng, SOURCE_ENDS);
    if (t->moves && rng_below(&t->rng, 3) == 0) {
        world_note(t->world, "fault: slots are moved");
        t->split = (unsigned)rng_below(&t->rng, 1000);
        t->moved_us = 1; /* heal() says from when on it can be seen */
    } else {
        static const char *const names[] = {"as it was", "with another id", "older", "taken over"};
        world_note(t->world, "fault: source %u comes back %s", i + 1, names[how]);
        t->ports ^= t->moves && how == SOURCE_TAKEN_OVER ? 1u << i : 0;
        source_restart(&t->sources[i], how);
    }
    make_slots(t);
}

static void fault_follower(struct stage *t)
{
    if (t->follower == NULL)
        return;
    if (rng_below(&t->rng, 3) == 0) {
        world_note(t->world, "fault: the follower is ended");
        gather_end(t->follower->gather, false, follower_now(t));
        world_flush(t->world);
        return;
    }
    world_note(t->world, "fault: the follower is killed");
    follower_again(t);
}

static void lives_tick(struct stage *t)
{
    for (unsigned g = 1; g <= t->regions; g++) {
        uint64_t now = world_now_us(t->world);
        if (t->stop_us[g] != 0 && (deploy_stopped(t->deploy, g) || now > t->stop_us[g] + 8000000))
            die(t, g, false);
        if (t->restart_us[g] == 0 || now < t->restart_us[g])
            continue;
        t->restart_us[g] = 0;
        world_note(t->world, "region %u restarts", g);
        deploy_start(t->deploy, g);
    }
    follower_tick(t);
}

static void faults_now(struct stage *t)
{
    if (rng_below(&t->rng, t->fault_every_us) > TICK_US)
        return;
    switch (rng_below(&t->rng, 5)) {
    case 0:
        fault_region(t);
        break;
    case 1:
        fault_source(t);
        break;
    case 2:
        fault_follower(t);
        break;
    default:
        fault_link(t);
        break;
    }
}

static void heal(struct stage *t)
{
    uint32_t hosts[SOURCES_MAX + 1 + DEPLOY_REGIONS_MAX];
    unsigned n = 0;
    world_note(t->world, "the faults are over");
    hosts[n++] = t->host;
    for (unsigned i = 0; i < t->n; i++)
        hosts[n++] = t->sources[i].host;
    for (unsigned g = 1; g <= t->regions; g++)
        hosts[n++] = deploy_host(t->deploy, g);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < n; k++)
            if (i != k)
                world_link(t->world, hosts[i], hosts[k], (struct world_link){.latency_us = 1000});
    t->calm = true;
    if (t->moved_us != 0)
        t->moved_us = world_now_us(t->world) + MOVED_US;
}

/* ------------------------------------------------------------ course */

static void advance(struct stage *t)
{
    lives_tick(t);
    world_run(t->world, world_now_us(t->world) + TICK_US);
    if (deploy_error(t->deploy)[0] != 0)
        finding(t, "configuration: %s", deploy_error(t->deploy));
}

static bool all_there(const struct stage *t)
{
    struct follow_status s;
    uint64_t offsets = 0;
    if (t->follower == NULL || world_now_us(t->world) < t->moved_us)
        return false;
    for (unsigned g = 1; g <= t->regions; g++)
        if (!deploy_open(t->deploy, g) || t->stop_us[g] != 0)
            return false;
    for (unsigned i = 0; i < t->n; i++)
        offsets += t->sources[i].now.offset;
    gather_status(t->follower->gather, &s);
    return s.state == FOLLOW_FOLLOWING && s.in_sync && s.applied == offsets &&
           deploy_settled(t->deploy) && deploy_converged(t->deploy);
}

static void play(struct stage *t)
{
    uint64_t until = world_now_us(t->world) + t->until_us;
    while (world_now_us(t->world) < until && t->failure[0] == 0) {
        faults_now(t);
        for (unsigned i = 0; i < t->n; i++) {
            for (unsigned k = 0; k < 4; k++)
                if (rng_below(&t->rng, t->write_every_us) <= TICK_US / 4)
                    source_write(&t->sources[i]);
            if (rng_below(&t->rng, 1000000) <= TICK_US)
                source_save(&t->sources[i]);
        }
        advance(t);
    }
    heal(t);
    until = world_now_us(t->world) + QUIET_MAX_US;
    while (!all_there(t) && world_now_us(t->world) < until && t->failure[0] == 0)
        advance(t);
    if (!all_there(t))
        finding(t, "what the sources have is not there %u s after the faults ended",
                QUIET_MAX_US / 1000000);
}

/* ------------------------------------------------------------ comparing */

struct question {
    struct buf in;
    bool closed;
};

static void heard(struct vconn *c, enum vconn_event what, struct buf *in, void *arg)
{
    struct question *q = arg;
    (void)c;
    q->closed |= what == VCONN_CLOSED;
    buf_put_bytes(&q->in, buf_bytes(in));
    buf_consume(in, buf_len(in));
}

static void compare_reply(struct stage *t, unsigned region, unsigned at, const struct resp_reply *r,
                          unsigned keys)
{
    struct buf want = {0}, have = {0};
    if (at == t->n * SOURCE_KEYS) {
        buf_putf(&want, "%u", keys + 1);
        resp_reply_print(&have, r);
    } else {
        source_expected(&t->sources[at / SOURCE_KEYS], at % SOURCE_KEYS, &want);
        source_answer(at % SOURCE_KEYS, r, &have);
    }
    if (!bytes_eq(buf_bytes(&want), buf_bytes(&have)))
        finding(t, "region %u has %s %u of source %u as \"%.*s\", the source has \"%.*s\"", region,
                at == t->n * SOURCE_KEYS ? "keys, all" : "key", at % SOURCE_KEYS,
                at / SOURCE_KEYS + 1, (int)buf_len(&have), (const char *)have.p,
                (int)buf_len(&want), (const char *)want.p);
    buf_deinit(&want);
    buf_deinit(&have);
}

/* All keys of all sources, and how many there are, with the mark. */
static void compare_region(struct stage *t, unsigned region)
{
    static const char *const names[] = {"", "r1", "r2", "r3"};
    struct question q = {0};
    struct buf ask = {0};
    struct bytes size = bytes_str("DBSIZE");
    unsigned n = 0, keys = 0;
    for (unsigned i = 0; i < t->n; i++) {
        keys += source_keys_now(&t->sources[i]);
        for (unsigned k = 0; k < SOURCE_KEYS; k++)
            source_question(&t->sources[i], k, &ask);
    }
    resp_request_put(&ask, 1, &size);
    struct vconn *c = driver_dial(t->driver, names[region], DEPLOY_PORT, heard, &q);
    vconn_send(c, buf_bytes(&ask));
    for (unsigned tries = 0; tries < 1000 && n <= t->n * SOURCE_KEYS && !q.closed; tries++) {
        struct resp_reply r;
        size_t used;
        world_run(t->world, world_now_us(t->world) + TICK_US);
        while (resp_reply_read(buf_bytes(&q.in), &r, &used) == RESP_REPLY_OK) {
            compare_reply(t, region, n++, &r, keys);
            resp_reply_deinit(&r);
            buf_consume(&q.in, used);
        }
    }
    if (n <= t->n * SOURCE_KEYS)
        finding(t, "region %u does not answer", region);
    if (!q.closed)
        vconn_close(c);
    buf_deinit(&q.in);
    buf_deinit(&ask);
}

static void describe(const struct stage *t, struct buf *out)
{
    const struct deploy_opts *o = deploy_options(t->deploy);
    struct follow_status s = {.state = FOLLOW_IDLE};
    if (t->follower != NULL)
        gather_status(t->follower->gather, &s);
    buf_putf(out, "seed %" PRIu64 " follows %u source(s)%s: %u follower lives; now %s: %s\n",
             t->seed, t->n, t->cluster ? ", a cluster" : "", t->lives, follow_state_name(s.state),
             s.text);
    for (unsigned g = 1; g <= t->regions; g++)
        buf_putf(out, "  region %u: %s, %u shards, persistence %u\n", g,
                 deploy_open(t->deploy, g) ? "open" : "not open", o->shards[g], o->persistence[g]);
    for (unsigned i = 0; i < t->n; i++)
        buf_putf(out, "  source %u: at %" PRIu64 ", %u lives, %u full, %u partial\n", i + 1,
                 t->sources[i].now.offset, t->sources[i].ids, t->sources[i].fulls,
                 t->sources[i].partials);
}

bool follow_drawn(uint64_t seed)
{
    struct rng g;
    rng_init(&g, seed ^ UINT64_C(0x666f6c6c6f77));
    return rng_below(&g, 4) == 0;
}

bool follow_seed(uint64_t seed, bool verbose, struct buf *report)
{
    struct stage *t = mem_zalloc(sizeof *t);
    t->seed = seed;
    rng_init(&t->rng, seed ^ UINT64_C(0x736f75726365));
    draw(t);
    build(t, verbose);
    play(t);
    for (unsigned g = 1; g <= t->regions && t->failure[0] == 0; g++)
        compare_region(t, g);
    bool ok = t->failure[0] == 0;
    if (!ok)
        buf_putf(report, "FINDING: %s\n", t->failure);
    if (!ok || verbose) {
        describe(t, report);
        world_trace(t->world, report);
    }
    buf_putf(report, "seed %" PRIu64 " follows  hash %016" PRIx64 "  %" PRIu64 " events  %.1f s\n",
             seed, world_hash(t->world), world_events(t->world),
             (double)world_now_us(t->world) / 1e6);
    tear_down(t);
    mem_free(t);
    return ok;
}
