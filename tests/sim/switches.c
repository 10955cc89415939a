/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

/*
 * Disks that are switched off and on, while a region runs and while it is down. Switched off,
 * nothing is promised any more, and what is in the files must not come back. Switched on, nothing
 * is promised before the region says that its files are founded; then all that it has is in them.
 * Half of the regions die in the midst of it, and some are switched back before they return.
 */
#define MIDST_US 20000u
#define BACK_US 300000u

/* Drawn on its own, so that a seed's other draws are what they are without. */
void switches_draw(struct run *r)
{
    struct rng *g = &r->switch_rng;
    rng_init(g, r->seed ^ UINT64_C(0x737769746368));
    if (r->disk_plan.used && rng_below(g, 3) == 0)
        r->switch_every_us = 400000u << rng_below(g, 3);
}

static bool others_stay(const struct run *r, unsigned but)
{
    bool stay = false;
    for (unsigned g = 1; g <= r->plan.regions; g++)
        stay |= g != but && (deploy_members_now(r->deploy) >> g & 1) &&
                (is_whole(r, g) || disk_returns(r, g));
    return stay;
}

static void switch_off(struct run *r, unsigned g)
{
    bool runs = living(r, g);
    if (!runs && !others_stay(r, g))
        return;
    world_note(r->world, "fault: region %u's disk is switched off", g);
    if (!runs)
        check_dying(r, g);
    deploy_persist(r->deploy, g, PERSIST_OFF);
    disks_forget(r, g);
    r->disks[g].founding = false;
    if (!runs)
        check_crash(r, g); /* what only its files had is lost */
}

static void switch_on(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    uint32_t policy = 1 + (uint32_t)rng_below(&r->switch_rng, PERSIST_KINDS - 1);
    world_note(r->world, "fault: region %u's disk is switched on, policy %u", g, policy);
    d->policy_us = world_now_us(r->world);
    d->founding = true;
    deploy_persist(r->deploy, g, policy);
}

/* Before it has heard of it the files are still those of the time before it was switched off. */
static bool in_force(const struct run *r, unsigned g)
{
    struct worker_shard s[64];
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    bool all = living(r, g) && deploy_heard(r->deploy, g) && n > 0;
    for (unsigned i = 0; i < n; i++)
        all &= s[i].storage != NULL && storage_in_force(s[i].storage);
    return all;
}

static void look(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    if (!d->founding || !in_force(r, g))
        return;
    world_note(r->world, "region %u's disk is founded", g);
    d->founding = false;
    d->policy_us = world_now_us(r->world) - DISK_POLICY_US; /* at once */
}

/* What is being brought back refuses it. */
static bool may_flip(const struct run *r, unsigned g)
{
    return (deploy_members_now(r->deploy) >> g & 1) && r->disks[g].stop_us == 0 &&
           (!deploy_running(r->deploy, g) || living(r, g));
}

static void flip(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    if (deploy_persistence(r->deploy, g) != PERSIST_OFF)
        switch_off(r, g);
    else
        switch_on(r, g);
    d->flip_us = world_now_us(r->world);
    if (deploy_running(r->deploy, g) && rng_below(&r->switch_rng, 2))
        d->again_us = d->flip_us + 1 + rng_below(&r->switch_rng, MIDST_US);
}

void switches_tick(struct run *r)
{
    struct rng *n = &r->switch_rng;
    uint64_t now = world_now_us(r->world);
    if (r->switch_every_us == 0)
        return;
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        const struct region_disk *d = &r->disks[g];
        look(r, g);
        if (!r->calm && d->flip_us != 0 && now < d->flip_us + BACK_US &&
            !deploy_running(r->deploy, g) && may_flip(r, g) && rng_below(n, 16) == 0)
            flip(r, g);
    }
    if (r->calm || rng_below(n, r->switch_every_us) > 5000) /* called every 5 ms */
        return;
    unsigned g = 1 + (unsigned)rng_below(n, r->plan.regions);
    if (may_flip(r, g))
        flip(r, g);
}
