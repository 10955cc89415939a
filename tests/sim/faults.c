/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

/*
 * Faults: each run draws which kinds it has (swarm testing), then events at intervals. Never more
 * than the design promises to survive: one region that has not lost its memory stays alive.
 */
void faults_draw(struct run *r)
{
    struct plan *p = &r->plan;
    struct rng *g = &r->rng;
    p->regions = 2 + (unsigned)rng_below(g, 4);
    p->clients = 1 + (unsigned)rng_below(g, 3);
    p->keys = 1 + (unsigned)rng_below(g, KEYS_MAX);
    do
        p->kinds = (uint32_t)rng_next(g) & (uint32_t)rng_next(g);
    while (__builtin_popcount(p->kinds) < 3);
    if (rng_below(g, 3) == 0)
        p->kinds = UINT32_MAX;
    p->think_us = 2000u << rng_below(g, 6);
    p->flush = rng_below(g, 8) == 0;
    p->cuts = rng_below(g, 2);
    p->one_way = p->cuts && rng_below(g, 2);
    p->resets = rng_below(g, 2);
    p->slow = rng_below(g, 3) == 0;
    p->crashes = rng_below(g, 2);
    p->silent = rng_below(g, 2);
    p->skew = rng_below(g, 2);
    p->wild_skew = p->skew && rng_below(g, 4) == 0;
    p->membership = p->regions > 2 && rng_below(g, 4) == 0;
    p->fault_every_us = 50000u << rng_below(g, 5);
    p->fault_until_us = 3000000u + rng_below(g, 7000000);
    rng_init(&r->clock_rng, r->seed ^ UINT64_C(0x636c6f636b));
    r->drifts = p->skew && rng_below(&r->clock_rng, 2);
}

/* Up to 5 % fast or slow: a clock that is being slewed runs off by 0.05 %, a virtual machine's may
 * do anything. */
static void draw_drift(struct run *r, unsigned g)
{
    int32_t ppm = (int32_t)rng_below(&r->clock_rng, 100000) - 50000;
    world_note(r->world, "fault: clock of %u runs off by %d ppm", g, (int)ppm);
    world_clock_drift(r->world, deploy_host(r->deploy, g), ppm);
}

static unsigned any_region(struct run *r)
{
    return 1 + (unsigned)rng_below(&r->rng, r->plan.regions);
}

static bool is_member(const struct run *r, unsigned region)
{
    return deploy_members_now(r->deploy) >> region & 1;
}

/* A region that lives, belongs and has all it needs: after losing all others, nothing that they
 * acknowledged and it received is lost. */
bool is_whole(const struct run *r, unsigned g)
{
    struct worker_shard s[64];
    bool whole = living(r, g);
    unsigned count = whole ? deploy_shards(r->deploy, g, s, 64) : 0;
    whole &= count > 0;
    for (unsigned i = 0; i < count; i++)
        whole &= !shard_is_stale(s[i].shard);
    return whole;
}

/* One that has all remains, or comes back with all that it had claimed. */
bool may_die(const struct run *r, uint64_t regions)
{
    for (unsigned g = 1; g <= r->plan.regions; g++)
        if ((regions >> g & 1) && r->deaths[g] + 4 > LIVES_MAX)
            return false;
    for (unsigned g = 1; g <= r->plan.regions; g++)
        if (is_member(r, g) && (disk_returns(r, g) || (!(regions >> g & 1) && is_whole(r, g))))
            return true;
    return false;
}

/* One that has all it needs remains. */
static bool may_leave(const struct run *r, unsigned leaving)
{
    bool whole = false;
    for (unsigned g = 1; g <= r->plan.regions; g++)
        whole |= g != leaving && is_member(r, g) && (is_whole(r, g) || disk_returns(r, g));
    return whole;
}

static void fault_link(struct run *r, bool both)
{
    unsigned a = any_region(r), b = any_region(r);
    if (a == b)
        return;
    uint32_t x = deploy_host(r->deploy, a), y = deploy_host(r->deploy, b);
    struct world_link l = world_link_get(r->world, x, y);
    bool heal = l.cut || rng_below(&r->rng, 2);
    l.cut = !heal && r->plan.cuts;
    if (r->plan.slow) {
        l.latency_us = 100u << rng_below(&r->rng, 10);
        l.jitter_us = l.latency_us / 2;
        l.bytes_per_s = rng_below(&r->rng, 3) ? 0 : 20000u << rng_below(&r->rng, 6);
    }
    world_note(r->world, "fault: link %u -> %u %s latency %u us, %u B/s", a, b,
               l.cut ? "cut" : "up", l.latency_us, (unsigned)l.bytes_per_s);
    world_link(r->world, x, y, l);
    if (both) {
        struct world_link back = world_link_get(r->world, y, x);
        back.cut = l.cut;
        world_link(r->world, y, x, back);
    }
}

void crash_region(struct run *r, unsigned g, bool power, bool silent)
{
    r->deaths[g]++;
    if (r->disk_plan.used) /* in the middle of anything */
        world_run(r->world, world_now_us(r->world) + rng_below(&r->disk_rng, 5000));
    disks_dying(r, g);
    check_dying(r, g);
    workload_forget(r, g);
    messages_forget(r, g);
    fill_forget(r, g);
    large_forget(r, g);
    if (power)
        deploy_power_loss(r->deploy, g);
    else
        deploy_crash(r->deploy, g, silent);
    disks_dead(r, g, power);
    check_crash(r, g);
}

static void fault_crash(struct run *r)
{
    unsigned g = any_region(r);
    if (!deploy_running(r->deploy, g) || !is_member(r, g) || !may_die(r, UINT64_C(1) << g))
        return;
    bool power = r->disk_plan.power && rng_below(&r->disk_rng, 2);
    crash_region(r, g, power, r->plan.silent && rng_below(&r->rng, 2));
    r->restart_us[g] = world_now_us(r->world) + 10000 + rng_below(&r->rng, 3000000);
    if (r->away)
        r->restart_us[g] += AWAY_US;
}

static void fault_clock(struct run *r)
{
    unsigned g = any_region(r);
    int64_t ms = (int64_t)rng_below(&r->rng, 8000) - 4000;
    if (r->plan.wild_skew && rng_below(&r->rng, 3) == 0)
        ms *= 40;
    world_note(r->world, "fault: clock of %u by %d ms", g, (int)ms);
    world_clock_shift(r->world, deploy_host(r->deploy, g), ms);
    r->shift_ms[g] += ms;
    if (r->drifts)
        draw_drift(r, g);
}

/* A region joins that was not there before, or leaves for good. */
static void fault_members(struct run *r)
{
    unsigned g = any_region(r);
    uint64_t now = deploy_members_now(r->deploy), bit = UINT64_C(1) << g;
    if (r->removed & bit)
        return;
    if (!(now & bit)) {
        world_note(r->world, "fault: region %u joins", g);
        deploy_members(r->deploy, now | bit);
        return;
    }
    if (!may_leave(r, g) || __builtin_popcountll(now) < 3 || rng_below(&r->rng, 4) != 0)
        return;
    world_note(r->world, "fault: region %u is removed", g);
    check_dying(r, g);
    workload_forget(r, g);
    messages_forget(r, g);
    fill_forget(r, g);
    large_forget(r, g);
    r->removed |= bit;
    disks_rotten(r, g);
    deploy_members(r->deploy, now & ~bit);
    check_crash(r, g);
}

void start_again(struct run *r, unsigned g)
{
    r->restart_us[g] = 0;
    if (r->drifts && !r->calm && rng_below(&r->clock_rng, 2)) {
        int64_t ms = (int64_t)rng_below(&r->clock_rng, 8000) - 4000;
        world_note(r->world, "fault: clock of %u jumps by %d ms while it is down", g, (int)ms);
        world_clock_shift(r->world, deploy_host(r->deploy, g), ms);
        r->shift_ms[g] += ms;
    }
    world_note(r->world, "region %u restarts", g);
    deploy_start(r->deploy, g);
    disks_started(r, g);
}

void restarts_tick(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        if (r->restart_us[g] == 0 || world_now_us(r->world) < r->restart_us[g])
            continue;
        start_again(r, g);
    }
}

void faults_tick(struct run *r)
{
    restarts_tick(r);
    disks_tick(r);
    switches_tick(r);
    if (rng_below(&r->rng, r->plan.fault_every_us) > 5000) /* called every 5 ms */
        return;
    switch (rng_below(&r->rng, 6)) {
    case 0:
        if (r->plan.cuts || r->plan.slow)
            fault_link(r, !r->plan.one_way || rng_below(&r->rng, 2));
        break;
    case 1:
        if (r->plan.resets)
            world_reset(r->world, deploy_host(r->deploy, any_region(r)),
                        deploy_host(r->deploy, any_region(r)));
        break;
    case 2:
        if (r->plan.crashes)
            fault_crash(r);
        break;
    case 3:
        if (r->plan.skew)
            fault_clock(r);
        break;
    case 4:
        if (r->plan.membership)
            fault_members(r);
        break;
    default:
        break;
    }
}

static void set_right(struct run *r, unsigned g)
{
    uint32_t host = deploy_host(r->deploy, g);
    int64_t right_ms = r->birth_ms + (int64_t)(world_now_us(r->world) / 1000);
    world_clock_drift(r->world, host, 0);
    world_clock_shift(r->world, host, right_ms - world_wall_ms(r->world, host));
}

/* The faults are over: links whole, clocks right, everybody up. */
void faults_end(struct run *r)
{
    world_note(r->world, "the faults are over");
    for (unsigned a = 1; a <= r->plan.regions; a++) {
        for (unsigned b = 1; b <= r->plan.regions; b++)
            if (a != b)
                world_link(r->world, deploy_host(r->deploy, a), deploy_host(r->deploy, b),
                           (struct world_link){.latency_us = 1000});
        world_clock_shift(r->world, deploy_host(r->deploy, a), -r->shift_ms[a]);
        r->shift_ms[a] = 0;
        if (!deploy_running(r->deploy, a))
            start_again(r, a);
        if (r->drifts)
            set_right(r, a);
    }
    disks_end(r);
}
