/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_US 5000u
#define LOOK_US 100000u
#define QUIET_MAX_US 60000000u /* convergence bound after the faults */
#define QUIET_WILD_MAX_US                                                                          \
    600000000u /* ... when stamps far ahead of the clocks must be waited for */

/* Frames are taken an operation at a time (shard/deferred.h), with clients in between: there is
 * time between two turns, and in every other of these runs some passes within a turn, so that what
 * may be left for the next one is. Frames of hundreds of operations would take minutes so. */
static bool pours(const struct run *r) { return r->seed % 4 == 1 && r->weather != WEATHER_LARGE; }
static bool leaves(const struct run *r) { return r->seed % 8 == 1; }

static void build(struct run *r, bool verbose)
{
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"};
    struct rng *g = &r->rng;
    r->world = world_new(&(struct world_opts){.seed = rng_next(g),
                                              .latency_us = 200u << rng_below(g, 8),
                                              .jitter_us = 100u << rng_below(g, 8),
                                              .split = rng_below(g, 2),
                                              .spin_us = leaves(r)  ? 2000
                                                         : pours(r) ? 10000
                                                                    : 0,
                                              .look_us = leaves(r) ? 300 : 0,
                                              .trace = verbose ? 20000 : 400});
    r->driver = driver_new(r->world, "outside");
    struct deploy_opts o = {.regions = r->plan.regions,
                            .partitions = 1u << rng_below(g, 4),
                            .seed = rng_next(g),
                            .backlog_bytes = rng_below(g, 3) ? 1u << 20 : 16384,
                            .xadd_ids = (uint32_t)(r->seed / 2 % 4),
                            .patch_min = 1 + r->seed % 8,
                            .kept_bytes_max = r->seed % 3 ? 0 : 1000 + r->seed % 2000,
                            .reply_bytes_max = r->seed % 7 == 3 ? 1 + r->seed % 100 : 0,
                            .slice_bytes = r->seed % 4 == 0   ? 0
                                           : leaves(r)        ? 100
                                           : r->seed % 4 == 1 ? 1
                                                              : 300,
                            .pour_min = pours(r) ? 2 : 0};
    for (unsigned i = 1; i <= o.regions; i++) {
        o.names[i] = names[i];
        o.workers[i] = 1 + (unsigned)rng_below(g, 2);
        o.shards[i] = 1 + (unsigned)rng_below(g, 3);
        if (o.shards[i] > o.partitions)
            o.shards[i] = o.partitions;
    }
    disks_opts(r, &o);
    fill_opts(r, &o);
    struct rng moves;
    rng_init(&moves, r->seed ^ UINT64_C(0x6d6f766573));
    o.defrag_slices = rng_below(&moves, 4) == 0 ? 1 + (unsigned)rng_below(&moves, 8) : 0;
    o.members = ((UINT64_C(1) << o.regions) - 1) << 1;
    if (r->plan.membership)
        o.members &= ~(UINT64_C(1) << o.regions); /* one may join later */
    r->deploy = deploy_new(r->world, r->driver, &o);
    r->birth_ms = world_wall_ms(r->world, deploy_host(r->deploy, 1)) -
                  (int64_t)(world_now_us(r->world) / 1000);
    disks_start(r);
    messages_start(r);
    for (unsigned i = 1; i <= o.regions; i++) {
        r->before[i] = mem_zalloc((o.partitions + 1) * sizeof(struct context));
        deploy_start(r->deploy, i);
        for (unsigned c = 0; c < r->plan.clients; c++)
            r->clients[i][c] = (struct client){.run = r, .region = i, .number = c};
    }
}

static void clear_before(struct run *r, unsigned g)
{
    for (uint32_t p = 0; p < deploy_partitions_all(r->deploy); p++)
        context_deinit(&r->before[g][p]);
}

static void tear_down(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        workload_forget(r, g);
        messages_forget(r, g);
        fill_forget(r, g);
        large_forget(r, g);
        clear_before(r, g);
        mem_free(r->before[g]);
    }
    for (unsigned k = 0; k <= r->plan.regions; k++)
        context_deinit(&r->dying[k]);
    disks_deinit(r);
    deploy_free(r->deploy);
    world_free(r->world);
}

/* A region that is down has forgotten: its contexts start anew. */
static void forget_dead(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++)
        if (!deploy_running(r->deploy, g) || !(deploy_members_now(r->deploy) >> g & 1))
            clear_before(r, g);
}

static void advance(struct run *r, uint64_t *next_look)
{
    world_run(r->world, world_now_us(r->world) + TICK_US);
    forget_dead(r);
    if (world_now_us(r->world) < *next_look)
        return;
    *next_look = world_now_us(r->world) + LOOK_US;
    check_look(r);
    if (deploy_error(r->deploy)[0] != 0)
        fail(r, "configuration: %s", deploy_error(r->deploy));
}

/* Nothing under way, nothing left to forget. */
static bool all_quiet(struct run *r)
{
    if (!deploy_settled(r->deploy) || !deploy_converged(r->deploy))
        return false;
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        struct worker_shard s[64];
        if (!(deploy_members_now(r->deploy) >> g & 1))
            continue;
        if (!deploy_running(r->deploy, g) || r->disks[g].stop_us != 0)
            return false; /* what only it has is to come back */
        unsigned n = deploy_shards(r->deploy, g, s, 64);
        for (unsigned i = 0; i < n; i++) {
            struct shard_stats stats;
            shard_stats(s[i].shard, &stats);
            if (stats.unsettled > 0 || stats.kept > 0 || shard_is_stale(s[i].shard))
                return false;
        }
    }
    return true;
}

void tell_regions(const struct world *w, const struct deploy *d, unsigned regions, struct buf *out)
{
    for (unsigned g = 1; g <= regions; g++) {
        struct worker_shard s[64];
        unsigned n = deploy_shards(d, g, s, 64);
        for (unsigned i = 0; i < n; i++) {
            struct shard_stats stats;
            shard_stats(s[i].shard, &stats);
            buf_putf(out,
                     "  region %u shard %u: %s%zu unsettled, %zu kept, %" PRIu64
                     " without base, syncer %s; contexts",
                     g, i, shard_is_stale(s[i].shard) ? "stale, " : "", shard_unsettled(s[i].shard),
                     stats.kept, stats.baseless,
                     s[i].syncer && syncer_quiet(s[i].syncer) ? "quiet" : "busy");
            for (uint32_t p = s[i].first_partition; p < s[i].first_partition + s[i].count; p++) {
                const struct context *c = shard_context(s[i].shard, p);
                buf_putf(out, " %u:[", p);
                for (unsigned k = 0; k < c->n; k++)
                    buf_putf(out, "%s%u@%" PRIu64, k ? " " : "", stamp_actor(c->at[k]),
                             c->at[k] >> 10 & 0xffffffff);
                buf_putf(out, "]");
            }
            buf_putf(out, "\n");
            struct link_stats links[REGION_MAX + 1];
            struct moment now = {.mono_us = world_now_us(w),
                                 .wall_ms = world_wall_ms(w, deploy_host(d, g))};
            unsigned m = s[i].syncer ? syncer_stats(s[i].syncer, links, REGION_MAX + 1, now) : 0;
            for (unsigned k = 0; k < m; k++)
                buf_putf(out,
                         "    from region %u: %s, waiting %zu bytes, transfers %" PRIu64
                         ", relays %" PRIu64 " %s\n",
                         links[k].region, link_state_name(links[k].state), links[k].waiting_bytes,
                         links[k].transfers_in, links[k].relays, links[k].error);
        }
    }
}

static void play(struct run *r)
{
    uint64_t next_look = 0, start = world_now_us(r->world);
    for (unsigned i = 0; i < 400 && !deploy_settled(r->deploy); i++)
        world_run(r->world, world_now_us(r->world) + TICK_US);
    while (world_now_us(r->world) < start + r->plan.fault_until_us && r->failure[0] == 0) {
        faults_tick(r);
        workload_tick(r);
        messages_tick(r);
        fill_tick(r);
        large_tick(r);
        advance(r, &next_look);
    }
    faults_end(r);
    r->calm = true;
    uint64_t until =
        world_now_us(r->world) + (r->plan.wild_skew ? QUIET_WILD_MAX_US : QUIET_MAX_US);
    bool quiet = false;
    while (!quiet && world_now_us(r->world) < until && r->failure[0] == 0) {
        restarts_tick(r);
        disks_tick(r);
        workload_tick(r);
        messages_tick(r);
        fill_tick(r);
        large_tick(r);
        advance(r, &next_look);
        quiet = workload_idle(r) && all_quiet(r) && check_reads(r);
    }
    if (r->failure[0] == 0 && !quiet)
        fail(r, "not quiet %u s after the faults ended",
             (unsigned)((r->plan.wild_skew ? QUIET_WILD_MAX_US : QUIET_MAX_US) / 1000000));
    if (r->failure[0] == 0)
        messages_check(r);
    if (r->failure[0] == 0)
        check_end(r);
}

static void describe(const struct run *r, struct buf *out)
{
    const struct plan *p = &r->plan;
    buf_putf(out,
             "seed %" PRIu64
             ": %u regions, %u clients each, %u keys, kinds %08x, faults:%s%s%s%s%s%s%s%s\n",
             r->seed, p->regions, p->clients, p->keys, p->kinds, p->cuts ? " cuts" : "",
             p->one_way ? " one-way" : "", p->resets ? " resets" : "", p->slow ? " slow" : "",
             p->crashes ? " crashes" : "", p->skew ? " skew" : "", p->wild_skew ? " wild" : "",
             p->membership ? " membership" : "");
    for (unsigned g = 1; g <= p->regions; g++) {
        struct worker_shard s[64];
        buf_putf(out, "  region %u: %s, %u shards\n", g,
                 deploy_running(r->deploy, g) ? "up" : "down", deploy_shards(r->deploy, g, s, 64));
    }
    fill_describe(r, out);
}

bool run_seed(uint64_t seed, enum weather weather, bool verbose, const char *save,
              struct buf *report)
{
    struct run *r = mem_zalloc(sizeof *r);
    r->seed = seed;
    r->weather = weather;
    rng_init(&r->rng, seed);
    faults_draw(r);
    disks_draw(r);
    switches_draw(r);
    fill_draw(r);
    large_draw(r);
    build(r, verbose);
    play(r);
    copies_story(r);
    bool ok = r->failure[0] == 0;
    if (!ok || verbose) {
        if (!ok)
            buf_putf(report, "FINDING: %s\n", r->failure);
        describe(r, report);
        tell_regions(r->world, r->deploy, r->plan.regions, report);
        if (!ok && save != NULL)
            disks_save(r, save);
        buf_putf(report, "last events (virtual seconds, host.worker, event):\n");
        world_trace(r->world, report);
    }
    buf_putf(report,
             "seed %" PRIu64 "  hash %016" PRIx64 "  %" PRIu64 " events  %.1f s virtual  %" PRIu64
             " commands  %" PRIu64 " acknowledged\n",
             seed, world_hash(r->world), world_events(r->world),
             (double)world_now_us(r->world) / 1e6, r->commands, r->acked);
    tear_down(r);
    mem_free(r);
    return ok;
}
