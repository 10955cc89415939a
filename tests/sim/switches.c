/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

/*
 * Disks whose policy changes, and that are switched off and on, while a region runs and while it is
 * down. Switched off, nothing is promised any more, and what is in the files must not come back.
 * Switched on, nothing is promised before the region says that its files are founded; then all that
 * it has is in them. Half of the regions die in the midst of it, and some are switched back before
 * they return.
 *
 * A region that runs is asked first, as a manager does: until it has agreed nothing has changed,
 * for whatever reason one of its workers refuses, and whenever it dies. Whoever has agreed does it,
 * and all of its shards are kept in the same way.
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

static void switch_on(struct run *r, unsigned g, uint32_t policy)
{
    struct region_disk *d = &r->disks[g];
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

static void change_policy(struct run *r, unsigned g, uint32_t policy)
{
    struct region_disk *d = &r->disks[g];
    world_note(r->world, "fault: region %u's disk: policy %u", g, policy);
    d->policy_us = world_now_us(r->world);
    d->honest &= policy >= PERSIST_SECOND;
    d->always &= policy == PERSIST_ALWAYS;
    deploy_persist(r->deploy, g, policy);
}

static void change(struct run *r, unsigned g, uint32_t policy)
{
    bool was_on = deploy_persistence(r->deploy, g) != PERSIST_OFF;
    if (policy == PERSIST_OFF)
        switch_off(r, g);
    else if (was_on)
        change_policy(r, g, policy);
    else
        switch_on(r, g, policy);
    if (was_on == (policy == PERSIST_OFF))
        r->disks[g].flip_us = world_now_us(r->world);
}

void switches_ask(struct run *r, unsigned g, uint32_t policy)
{
    uint32_t other;
    if (deploy_wish(r->deploy, g, &other) != DEPLOY_NO_WISH || !deploy_heard(r->deploy, g))
        return;
    world_note(r->world, "region %u is asked for policy %u", g, policy);
    deploy_ask(r->deploy, g, policy);
}

/* Some die before they have answered, and what they were has to be there; some between the answer
 * and the change. */
static void flip(struct run *r, unsigned g)
{
    struct region_disk *d = &r->disks[g];
    bool off = deploy_persistence(r->deploy, g) != PERSIST_OFF;
    uint32_t policy =
        off ? PERSIST_OFF : 1 + (uint32_t)rng_below(&r->switch_rng, PERSIST_KINDS - 1);
    if (deploy_running(r->deploy, g))
        switches_ask(r, g, policy);
    else
        change(r, g, policy);
    if (deploy_running(r->deploy, g) && rng_below(&r->switch_rng, 2))
        d->again_us = world_now_us(r->world) + 1 + rng_below(&r->switch_rng, MIDST_US);
}

/* What became of a wish. */
static void answered(struct run *r, unsigned g)
{
    uint32_t policy;
    enum deploy_wish wish = deploy_wish(r->deploy, g, &policy);
    if (wish != DEPLOY_AGREED && wish != DEPLOY_REFUSED)
        return;
    deploy_forget(r->deploy, g);
    if (wish == DEPLOY_REFUSED)
        world_note(r->world, "region %u refuses policy %u: %s", g, policy,
                   deploy_refusal(r->deploy, g));
    else if (r->disks[g].stop_us == 0 && (deploy_members_now(r->deploy) >> g & 1))
        change(r, g, policy);
}

/* All shards are kept as the configuration says, whatever was refused. */
static void check_same(struct run *r, unsigned g)
{
    static const enum sync_policy policies[PERSIST_KINDS] = {SYNC_NONE, SYNC_NONE, SYNC_SECOND,
                                                             SYNC_ALWAYS};
    struct worker_shard s[64];
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    uint32_t is = deploy_persistence(r->deploy, g);
    if (!living(r, g) || !deploy_heard(r->deploy, g) || r->disks[g].stop_us != 0)
        return;
    for (unsigned i = 0; i < n; i++)
        if ((s[i].storage != NULL) != (is != PERSIST_OFF) ||
            (is != PERSIST_OFF && storage_policy(s[i].storage) != policies[is]))
            fail(r, "region %u is kept by policy %u, but its shard %u is not", g, is, i);
}

void switches_tick(struct run *r)
{
    struct rng *n = &r->switch_rng;
    uint64_t now = world_now_us(r->world);
    if (!r->disk_plan.used)
        return;
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        const struct region_disk *d = &r->disks[g];
        answered(r, g);
        check_same(r, g);
        look(r, g);
        if (!r->calm && d->flip_us != 0 && now < d->flip_us + BACK_US &&
            !deploy_running(r->deploy, g) && may_flip(r, g) && rng_below(n, 16) == 0)
            flip(r, g);
    }
    if (r->calm || r->switch_every_us == 0 ||
        rng_below(n, r->switch_every_us) > 5000) /* called every 5 ms */
        return;
    unsigned g = 1 + (unsigned)rng_below(n, r->plan.regions);
    if (may_flip(r, g))
        flip(r, g);
}
