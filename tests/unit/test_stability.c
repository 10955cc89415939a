/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "crdt/stability.h"

#include <criterion/criterion.h>

/*
 * The world of failover_model.py without values: what compaction relies on is that every operation
 * still to arrive has seen what was called stable. So that is what `take` checks, and a rule is
 * shown to be needed by leaving it out.
 */
enum { REGIONS = 3, OPS = 1500, ACTORS = 1024, LIVES = 80 };

struct op {
    stamp_t stamp, prev;
    life_t life;
    struct context deps, claim;
    struct buf news;
};

/* What survives a fall-back. */
struct durable {
    struct context vv, base, relied;
    struct context claims[ACTORS];
    life_t claimers[ACTORS];
    struct buf news;
    struct clock clock;
    unsigned log_n, settled;
};

struct region {
    uint32_t id;
    struct stability *stability;
    struct clock clock;
    struct context vv;
    struct context relied; /* everything compaction ever relied on */
    struct context claims[ACTORS];
    life_t claimers[ACTORS];
    unsigned log[OPS], log_n; /* operations as applied */
    unsigned incarnation;
    unsigned settled; /* all lives before this one are over */
    struct durable durable;
};

struct world {
    struct region at[REGIONS + 1];
    struct op ops[OPS];
    unsigned ops_n;
    bool no_claim, no_fence; /* rules left out */
    unsigned broken;         /* operations that had not seen what was relied on */
};

static void set_regions(struct stability *s)
{
    stability_regions(s, (const uint8_t[]){1, 2, 3}, REGIONS);
}

static void save(struct region *r)
{
    struct durable *d = &r->durable;
    stability_save(r->stability, &r->vv);
    context_copy(&d->vv, &r->vv);
    if (stability_settled(r->stability, &r->vv))
        r->settled = r->incarnation;
    d->settled = r->settled;
    memcpy(d->claimers, r->claimers, sizeof d->claimers);
    context_copy(&d->relied, &r->relied);
    stability_seen(r->stability, &r->vv, &d->base);
    for (unsigned a = 0; a < ACTORS; a++)
        if (r->claims[a].n > 0 || d->claims[a].n > 0)
            context_copy(&d->claims[a], &r->claims[a]);
    buf_clear(&d->news);
    stability_encode_news(&d->news, r->stability);
    d->clock = r->clock;
    d->log_n = r->log_n;
}

static struct world *world_new(void)
{
    struct world *w = mem_zalloc(sizeof *w);
    for (uint32_t i = 1; i <= REGIONS; i++) {
        struct region *r = &w->at[i];
        r->id = i;
        r->clock.actor = actor_make(i, 0);
        r->stability = stability_new(i);
        set_regions(r->stability);
        stability_begin(r->stability, r->clock.actor, NULL);
        save(r);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (uint32_t i = 1; i <= REGIONS; i++) {
        struct region *r = &w->at[i];
        stability_free(r->stability);
        context_deinit(&r->vv);
        context_deinit(&r->relied);
        context_deinit(&r->durable.vv);
        context_deinit(&r->durable.base);
        context_deinit(&r->durable.relied);
        buf_deinit(&r->durable.news);
        for (unsigned a = 0; a < ACTORS; a++) {
            context_deinit(&r->claims[a]);
            context_deinit(&r->durable.claims[a]);
        }
    }
    for (unsigned i = 0; i < w->ops_n; i++) {
        context_deinit(&w->ops[i].deps);
        context_deinit(&w->ops[i].claim);
        buf_deinit(&w->ops[i].news);
    }
    mem_free(w);
}

static bool admit(struct stability *s, life_t life, const struct context *vv, bool known)
{
    bool news = false;
    return stability_admit(s, life, vv, known, &news);
}

/* The region compacts. */
static void rely(struct region *r)
{
    struct context stable = {0};
    stability_stable(r->stability, &r->vv, &stable);
    cr_assert(context_le(&stable, &r->vv));
    context_join(&r->relied, &stable);
    context_deinit(&stable);
}

static void hear(struct region *r, struct bytes news)
{
    struct mp m = mp_read(news);
    bool fresh;
    cr_assert(stability_decode_news(&m, r->stability, &r->vv, &fresh));
    cr_assert(mp_done(&m));
    rely(r);
}

static unsigned write_op(struct world *w, uint32_t i, int64_t ms)
{
    struct region *r = &w->at[i];
    cr_assert_lt(w->ops_n, OPS);
    struct op *op = &w->ops[w->ops_n];
    op->stamp = clock_tick(&r->clock, STAMP_EPOCH_MS + ms);
    op->prev = context_get(&r->vv, r->clock.actor);
    op->life = life_make(i, r->incarnation);
    context_copy(&op->deps, &r->vv);
    context_copy(&op->claim, w->no_claim ? &r->vv : &r->durable.vv);
    stability_encode_news(&op->news, r->stability);
    context_raise(&r->vv, op->stamp);
    r->log[r->log_n++] = w->ops_n;
    rely(r);
    return w->ops_n++;
}

/* The greeting of a life that has it on disk that its number is free. */
static bool greet(struct region *r, life_t life)
{
    uint32_t n = life_incarnation(life), region = life_region(life);
    if (stability_outlived(r->stability, life))
        return false;
    for (uint32_t k = n < INCARNATIONS ? 0 : n - INCARNATIONS + 1; k < n; k++)
        stability_retire(r->stability, life_make(region, k), &r->vv);
    return admit(r->stability, life, &r->vv, true);
}

/* False when it has to wait, or is refused. */
static bool take(struct world *w, uint32_t i, unsigned n, bool direct)
{
    struct region *r = &w->at[i];
    struct op *op = &w->ops[n];
    uint32_t actor = stamp_actor(op->stamp);
    if (context_covers(&r->vv, op->stamp))
        return true;
    if (!w->no_fence && direct && !greet(r, op->life))
        return false;
    if (!w->no_fence && !stability_may_take(r->stability, actor, op->stamp, direct))
        return false;
    if (!context_le(&op->deps, &r->vv))
        return false;
    if (!w->no_fence && !w->no_claim)
        cr_assert(context_get(&r->vv, actor) <= op->prev, "not its own beginning");
    if (!context_le(&r->relied, &op->deps))
        w->broken++;
    context_raise(&r->vv, op->stamp);
    clock_seen(&r->clock, op->stamp);
    r->log[r->log_n++] = n;
    stability_claim(r->stability, op->life, &op->claim);
    context_join(&r->claims[actor], &op->claim);
    if (op->life > r->claimers[actor])
        r->claimers[actor] = op->life;
    hear(r, buf_bytes(&op->news));
    return true;
}

/* Region i loses what is not durable and goes on as its next incarnation. */
static void fall_back(struct region *r)
{
    struct durable *d = &r->durable;
    life_t old = life_make(r->id, r->incarnation), now = life_make(r->id, ++r->incarnation);
    stability_free(r->stability);
    r->stability = stability_new(r->id);
    set_regions(r->stability);
    context_copy(&r->vv, &d->vv);
    context_copy(&r->relied, &d->relied);
    stability_begin(r->stability, now, &d->base);
    r->settled = d->settled;
    memcpy(r->claimers, d->claimers, sizeof r->claimers);
    cr_assert(admit(r->stability, now, &r->vv, true));
    hear(r, buf_bytes(&d->news));
    for (unsigned a = 0; a < ACTORS; a++) {
        if (d->claims[a].n > 0)
            stability_claim(r->stability, d->claimers[a], &d->claims[a]);
        if (r->claims[a].n > 0)
            context_copy(&r->claims[a], &d->claims[a]);
    }
    r->log_n = d->log_n;
    r->clock = d->clock;
    r->clock.actor = life_actor(now);
    cr_assert(stability_retire(r->stability, old, &r->vv));
    cr_assert(!stability_retire(r->stability, old, &r->vv));
    for (unsigned k = r->incarnation < INCARNATIONS ? 0 : r->incarnation - INCARNATIONS + 1;
         k < r->incarnation; k++)
        stability_retire(r->stability, life_make(r->id, k), &r->vv);
    save(r);
    rely(r);
}

static void hear_from(struct world *w, uint32_t i, uint32_t j)
{
    struct buf news = {0};
    stability_encode_news(&news, w->at[j].stability);
    hear(&w->at[i], buf_bytes(&news));
    buf_deinit(&news);
}

/* Region i asks j for what it lacks. Returns how many operations came. */
static unsigned pull(struct world *w, uint32_t i, uint32_t j, unsigned limit)
{
    unsigned moved = 0;
    hear_from(w, i, j);
    for (unsigned k = 0; k < w->at[j].log_n && moved < limit; k++) {
        unsigned n = w->at[j].log[k];
        if (context_covers(&w->at[i].vv, w->ops[n].stamp))
            continue;
        if (!take(w, i, n, false))
            break;
        moved++;
    }
    return moved;
}

/* ------------------------------------------------------------ the model's three stories */

static void give(struct world *w, uint32_t to, unsigned op) { cr_assert(take(w, to, op, true)); }

/* 3 claims an operation that it then forgets, and writes without having seen it. */
static unsigned story_claim(bool without)
{
    struct world *w = world_new();
    w->no_claim = without;
    unsigned d0 = write_op(w, 1, 1);
    give(w, 2, d0);
    give(w, 3, d0);
    save(&w->at[2]);
    save(&w->at[3]);
    unsigned d1 = write_op(w, 1, 1);
    give(w, 2, d1);
    give(w, 3, d1);
    save(&w->at[1]);
    save(&w->at[2]);
    unsigned b = write_op(w, 2, 1), c = write_op(w, 3, 1);
    give(w, 1, b);
    give(w, 1, c);
    fall_back(&w->at[3]);
    give(w, 1, write_op(w, 3, 1));
    unsigned broken = w->broken;
    world_free(w);
    return broken;
}

Test(stability, a_number_is_free_when_its_region_knows)
{
    stamp_t last = stamp_make(8, 0, 3);
    struct context vv = {0};
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    stability_retire(s, 3, &vv);
    stability_save(s, &vv);
    stability_report(s, 3, 2, last);
    cr_assert(!admit(s, life_make(3, 16), &vv, false), "the third region has not reported");
    cr_assert(admit(s, life_make(3, 16), &vv, true));
    cr_assert(stability_may_take(s, 3, last, false), "what is missing of the old life may come");
    cr_assert(stability_may_take(s, 3, stamp_make(20, 0, 3), true));
    context_deinit(&vv);
    stability_free(s);
}

Test(stability, only_what_is_durable_is_claimed)
{
    cr_assert_eq(story_claim(false), 0);
    cr_assert_gt(story_claim(true), 0);
}

/* 3 writes without having seen d1 and dies; that arrives at 1 after 3's successor claimed d1, from
 * its own connection or through 2. Returns whether 1 took it. */
static bool story_late(struct world *w, bool through_a_friend)
{
    unsigned d0 = write_op(w, 1, 1);
    give(w, 2, d0);
    give(w, 3, d0);
    for (uint32_t i = 1; i <= REGIONS; i++)
        save(&w->at[i]);
    unsigned x = write_op(w, 3, 1);
    fall_back(&w->at[3]);
    unsigned d1 = write_op(w, 1, 1);
    give(w, 2, d1);
    give(w, 3, d1);
    for (uint32_t i = 1; i <= REGIONS; i++)
        save(&w->at[i]);
    unsigned b = write_op(w, 2, 1);
    if (through_a_friend)
        give(w, 2, x); /* 2 has not yet heard that 3 fell back */
    unsigned c = write_op(w, 3, 1);
    give(w, 1, b);
    give(w, 1, c);
    give(w, 2, c);
    for (uint32_t i = 1; i <= REGIONS; i++)
        save(&w->at[i]);
    for (uint32_t i = 1; i <= REGIONS; i++)
        for (uint32_t j = 1; j <= REGIONS; j++)
            hear_from(w, i, j);
    return take(w, 1, x, !through_a_friend);
}

Test(stability, a_fenced_actor_is_not_listened_to)
{
    struct world *w = world_new();
    cr_assert(!story_late(w, false));
    cr_assert_eq(w->broken, 0);
    world_free(w);
    w = world_new();
    w->no_fence = true;
    story_late(w, false);
    cr_assert_gt(w->broken, 0, "without the fence");
    world_free(w);
}

Test(stability, claims_count_once_the_actors_before_are_cut_and_complete)
{
    struct world *w = world_new();
    cr_assert(story_late(w, true), "what a friend reported must be taken");
    cr_assert_eq(w->broken, 0);
    world_free(w);
}

/* The same facts told one by one, to see that the cut is what holds the claim back. */
Test(stability, a_claim_waits_for_every_report_and_for_the_operations)
{
    stamp_t d1 = stamp_make(5, 0, 1), x = stamp_make(6, 0, 3);
    struct context vv = {0}, claim = {0}, stable = {0}, known = {0};
    context_raise(&vv, d1);
    context_raise(&claim, d1);
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    stability_claim(s, 2, &claim);
    stability_claim(s, actor_make(3, 1), &claim);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, d1), "nobody knows that 3 had an earlier actor");
    cr_assert(stability_retire(s, 3, &vv));
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0, "no reports");
    cr_assert_eq(stability_laggard(s, &vv), 2, "2 and 3 owe a report");
    stability_save(s, &vv);
    stability_report(s, 3, actor_make(3, 1), 0);
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0, "one report is missing");
    cr_assert(!stability_may_take(s, 3, x, false), "nobody has reported it");
    stability_report(s, 3, 2, x);
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0, "cut, but not complete");
    stability_known(s, &known);
    cr_assert(context_covers(&known, x), "to be asked for");
    cr_assert(stability_may_take(s, 3, x, false));
    cr_assert(!stability_may_take(s, 3, x + 1024, false), "beyond the cut");
    cr_assert(!stability_may_take(s, 3, x, true), "from itself");
    cr_assert(stability_has(s, 2, x));
    cr_assert(!stability_has(s, 3, x));
    context_raise(&vv, x);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, d1));
    cr_assert(!context_covers(&stable, x), "nobody claims it yet");
    context_deinit(&vv);
    context_deinit(&claim);
    context_deinit(&stable);
    context_deinit(&known);
    stability_free(s);
}

/* ------------------------------------------------------------ random histories */

/* Its next life's number is known to be free. */
static bool may_fall(const struct region *r)
{
    unsigned next = r->incarnation + 1;
    return next < LIVES && (next < INCARNATIONS || next - INCARNATIONS < r->durable.settled);
}

static void random_steps(struct world *w, struct rng *rng, unsigned steps, unsigned falls)
{
    unsigned crashes = 0;
    /* one connection for each life and receiver: what it delivered last */
    static unsigned sent[REGIONS + 1][LIVES][REGIONS + 1];
    memset(sent, 0, sizeof sent);
    unsigned crash = (unsigned)rng_below(rng, falls / 3) + 1, arrive = 15 << rng_below(rng, 3);
    for (unsigned step = 0; step < steps; step++) {
        uint32_t i = 1 + (uint32_t)rng_below(rng, REGIONS),
                 j = 1 + (uint32_t)rng_below(rng, REGIONS);
        uint64_t what = rng_below(rng, 60u + arrive + crash);
        if (what < 40) {
            write_op(w, i, step / 3 + (int64_t)rng_below(rng, 9));
        } else if (what < 45) {
            save(&w->at[i]);
        } else if (what < 60) {
            pull(w, i, j, (unsigned)rng_below(rng, 9));
        } else if (what < 60 + arrive) {
            unsigned now = w->at[j].incarnation, back = (unsigned)rng_below(rng, now + 1u);
            life_t life = life_make(j, rng_below(rng, 3) ? now : back);
            unsigned *n = &sent[j][life_incarnation(life)][i];
            for (uint64_t k = rng_below(rng, 6); k > 0 && *n < w->ops_n;) {
                bool his = w->ops[*n].life == life;
                if (his && !take(w, i, *n, true))
                    break;
                k -= his;
                ++*n;
            }
        } else if (crashes < falls && may_fall(&w->at[i])) {
            crashes++;
            fall_back(&w->at[i]);
        }
    }
}

/* Everybody saves, writes and exchanges until nothing moves: then compaction must get through. */
static void calm_down(struct world *w)
{
    stamp_t early[REGIONS + 1] = {0};
    for (unsigned round = 0; round < 6; round++) {
        for (uint32_t i = 1; i <= REGIONS; i++) {
            save(&w->at[i]);
            stamp_t s = w->ops[write_op(w, i, 1000 + round)].stamp;
            early[i] = round == 1 ? s : early[i];
        }
        unsigned moved;
        do {
            moved = 0;
            for (uint32_t i = 1; i <= REGIONS; i++)
                for (uint32_t j = 1; j <= REGIONS; j++)
                    moved += i != j ? pull(w, i, j, OPS) : 0;
        } while (moved > 0);
    }
    for (uint32_t i = 1; i <= REGIONS; i++) {
        struct region *r = &w->at[i];
        cr_assert(context_eq(&r->vv, &w->at[1].vv), "all have the same");
        for (uint32_t j = 1; j <= REGIONS; j++) {
            cr_assert(context_covers(&r->relied, early[j]), "compaction gets through");
            cr_assert(stability_has(r->stability, j, early[i]) || j == i);
            unsigned n = w->at[j].incarnation;
            for (unsigned k = n < INCARNATIONS ? 0 : n - INCARNATIONS + 1; k < n; k++)
                cr_assert(admit(r->stability, life_make(j, k + INCARNATIONS), &r->vv, false),
                          "every old life is over");
        }
    }
}

static unsigned histories(unsigned seeds, bool no_claim, bool no_fence, unsigned falls)
{
    unsigned broken = 0, round = 0;
    for (unsigned seed = 1; seed <= seeds; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct world *w = world_new();
        w->no_claim = no_claim;
        w->no_fence = no_fence;
        random_steps(w, &rng, falls > 12 ? 1000 : 250, falls);
        if (!no_claim && !no_fence) {
            calm_down(w);
            cr_assert_eq(w->broken, 0, "seed %u", seed);
        }
        broken += w->broken > 0;
        round += w->at[1].incarnation >= 2 * INCARNATIONS;
        world_free(w);
    }
    cr_assert(falls <= 12 || round > 0, "numbers were used again");
    return broken;
}

Test(stability, what_is_stable_has_been_seen_by_all_that_still_arrives)
{
    cr_assert_eq(histories(400, false, false, 12), 0);
}

Test(stability, so_it_is_when_numbers_come_round)
{
    cr_assert_eq(histories(20, false, false, 200), 0);
}

Test(stability, random_histories_notice_a_rule_left_out)
{
    cr_assert_gt(histories(100, true, false, 12), 0, "claim");
    cr_assert_gt(histories(100, false, true, 12), 0, "fence");
}

/* Where nothing is kept on disk, a report can be lost with the memory that it speaks of. */
Test(stability, what_only_a_lost_life_had_is_waited_for_by_nobody)
{
    stamp_t mine = stamp_make(5, 0, 1), x = stamp_make(6, 0, 3);
    struct context vv = {0}, stable = {0};
    context_raise(&vv, mine);
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    stability_retire(s, 3, &vv);
    stability_save(s, &vv);
    stability_report(s, 3, actor_make(3, 1), 0);
    stability_report(s, 3, 2, x); /* region 2 has it, and loses its memory */
    cr_assert(stability_may_take(s, 3, x, false));
    stability_retire(s, 2, &vv);
    stability_save(s, &vv);
    stability_report(s, 3, actor_make(2, 1), 0);
    stability_claim(s, actor_make(2, 1), &vv);
    stability_claim(s, actor_make(3, 1), &vv);
    cr_assert(!stability_may_take(s, 3, x, false), "nobody has it any more");
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0, "who does not know that 2 died may still take it on 2's word");
    stability_report(s, 2, actor_make(2, 1), 0);
    stability_report(s, 2, actor_make(3, 1), 0);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, mine));
    stability_report(s, 3, actor_make(3, 1), x); /* it had been taken over in time after all */
    cr_assert(stability_may_take(s, 3, x, false));
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0, "cut there, and not complete");
    context_deinit(&vv);
    context_deinit(&stable);
    stability_free(s);
}

/* Region 3 keeps nothing on disk: what it claimed to have of region 2 it has forgotten, and the
 * region that it caught up with did not have it either. */
Test(stability, what_a_life_had_claimed_counts_no_further_once_it_has_ended)
{
    stamp_t first = stamp_make(5, 0, 2), later = stamp_make(6, 0, 2);
    struct context vv = {0}, claim = {0}, had = {0}, stable = {0};
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    context_raise(&vv, first);
    context_raise(&claim, first);
    stability_claim(s, 2, &claim);
    context_raise(&claim, later);
    stability_claim(s, 3, &claim);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, first));
    stability_retire(s, 3, &vv);
    context_raise(&vv, later);
    stability_claim(s, 2, &claim);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, first), "relied on: all had it when the life ended");
    cr_assert(!context_covers(&stable, later), "forgotten by now");
    stability_recall(s, 3, &vv, &had);
    cr_assert(context_covers(&had, later), "but it is remembered that it had it");
    stability_save(s, &vv);
    stability_report(s, 3, 2, 0);
    stability_report(s, 3, actor_make(3, 1), 0);
    stability_claim(s, actor_make(3, 1), &claim);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, later), "the new life has it, too");
    context_deinit(&vv);
    context_deinit(&claim);
    context_deinit(&had);
    context_deinit(&stable);
    stability_free(s);
}

/* ------------------------------------------------------------ members, numbers, news */

Test(stability, a_removed_region_holds_back_nothing_once_its_actor_is_cut)
{
    stamp_t mine = stamp_make(9, 0, 1), last = stamp_make(8, 0, 3);
    struct context vv = {0}, claim = {0}, stable = {0};
    context_raise(&vv, mine);
    context_raise(&claim, mine);
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    stability_claim(s, 2, &claim);
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0);
    cr_assert_eq(stability_laggard(s, &vv), 3);
    stability_retire(s, 3, &vv);
    stability_regions(s, (const uint8_t[]){1, 2}, 2);
    stability_save(s, &vv);
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0, "its last words may be under way through 2");
    stability_report(s, 3, 2, last);
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0);
    context_raise(&vv, last);
    stability_stable(s, &vv, &stable);
    cr_assert(context_covers(&stable, mine));
    cr_assert_eq(stability_laggard(s, &vv), 2, "2 has not claimed the last words");
    context_deinit(&vv);
    context_deinit(&claim);
    context_deinit(&stable);
    stability_free(s);
}

Test(stability, alone_a_region_relies_on_all_it_has)
{
    struct context vv = {0}, base = {0}, stable = {0};
    context_raise(&vv, stamp_make(9, 0, 1));
    struct stability *s = stability_new(1);
    stability_begin(s, 1, NULL);
    stability_stable(s, &vv, &stable);
    cr_assert(context_eq(&stable, &vv));
    cr_assert_eq(stability_laggard(s, &vv), 0);
    /* reborn: until its own old actor is cut, only what the durable state had seen */
    stability_begin(s, actor_make(1, 1), &base);
    cr_assert(stability_retire(s, 1, &vv));
    cr_assert(!stability_retire(s, actor_make(1, 1), &vv), "the present actor is not retired");
    stability_stable(s, &vv, &stable);
    cr_assert_eq(stable.n, 0);
    stability_save(s, &vv);
    stability_stable(s, &vv, &stable);
    cr_assert(context_eq(&stable, &vv));
    context_deinit(&vv);
    context_deinit(&stable);
    stability_free(s);
}

Test(stability, a_number_starts_a_new_life_only_when_the_old_one_is_over)
{
    stamp_t last = stamp_make(8, 0, 3);
    struct context vv = {0};
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    cr_assert(admit(s, life_make(3, 0), &vv, false), "the number's first");
    stability_retire(s, 3, &vv);
    stability_save(s, &vv);
    stability_report(s, 3, 2, last);
    cr_assert(!admit(s, life_make(3, 16), &vv, false), "not cut");
    stability_report(s, 3, actor_make(3, 1), last);
    cr_assert(!admit(s, life_make(3, 16), &vv, false), "not complete");
    struct buf old_news = {0}, fresh_news = {0};
    stability_encode_news(&old_news, s);
    context_raise(&vv, last);
    cr_assert(admit(s, life_make(3, 16), &vv, false));
    stamp_t next = stamp_make(20, 0, 3);
    cr_assert(stability_may_take(s, 3, next, true));
    bool news = false;
    struct mp m = mp_read(buf_bytes(&old_news));
    cr_assert(stability_decode_news(&m, s, &vv, &news));
    cr_assert(!news, "news of the old life are stale");
    cr_assert(stability_may_take(s, 3, next, true));
    /* the new life ends as well: somebody reports more than the old one ever had */
    struct stability *other = stability_new(2);
    stability_retire(other, life_make(3, INCARNATIONS), &vv);
    stability_report(other, life_make(3, INCARNATIONS), 2, next);
    stability_encode_news(&fresh_news, other);
    m = mp_read(buf_bytes(&fresh_news));
    cr_assert(stability_decode_news(&m, s, &vv, &news));
    cr_assert(news);
    cr_assert(!stability_may_take(s, 3, next, true));
    cr_assert(stability_may_take(s, 3, next, false));
    buf_deinit(&old_news);
    buf_deinit(&fresh_news);
    context_deinit(&vv);
    stability_free(other);
    stability_free(s);
}

Test(stability, what_a_region_alone_had_reported_of_its_old_life_keeps_nobody_waiting)
{
    stamp_t last = stamp_make(8, 0, 3);
    struct context vv = {0};
    struct stability *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    context_raise(&vv, last);
    stability_retire(s, 3, &vv);
    stability_save(s, &vv);
    stability_report(s, 3, 2, last);
    life_t between = life_make(3, 5); /* its files were lost with it */
    stability_report(s, 3, between, stamp_make(9, 0, 3));
    cr_assert(stability_retire(s, between, &vv));
    cr_assert(!admit(s, life_make(3, 16), &vv, false), "others may have got more from that one");
    stability_save(s, &vv);
    stability_report(s, between, 2, 0);
    cr_assert(admit(s, life_make(3, 16), &vv, false));
    cr_assert(admit(s, life_make(3, 16), &vv, false), "nothing else has to come");
    context_deinit(&vv);
    stability_free(s);
}

/* Whoever remembers the old life spreads what it knows of it. */
Test(stability, news_of_an_old_life_say_nothing_of_the_new_one)
{
    stamp_t last = stamp_make(8, 0, 3);
    life_t anew = life_make(3, INCARNATIONS);
    struct context vv = {0}, nothing = {0};
    struct buf news = {0};
    bool fresh;
    context_raise(&vv, last);
    struct stability *slow = stability_new(2), *s = stability_new(1);
    set_regions(s);
    stability_begin(s, 1, NULL);
    stability_retire(slow, 3, &vv);
    stability_report(slow, 3, 2, last);
    stability_report(slow, 3, 1, stamp_make(9, 0, 3));
    stability_encode_news(&news, slow);
    cr_assert(admit(s, anew, &nothing, true));
    struct mp m = mp_read(buf_bytes(&news));
    cr_assert(stability_decode_news(&m, s, &nothing, &fresh));
    cr_assert(!fresh);
    cr_assert(!stability_outlived(s, anew));
    cr_assert(stability_outlived(s, 3));
    cr_assert(stability_may_take(s, 3, stamp_make(20, 0, 3), true));
    /* the slow one hears of the new life before its end, or only of that */
    struct stability *told = stability_new(2);
    bool ignored = false;
    cr_assert(stability_admit(told, anew, &vv, true, &ignored));
    cr_assert(stability_retire(told, anew, &vv));
    buf_clear(&news);
    stability_encode_news(&news, told);
    m = mp_read(buf_bytes(&news));
    cr_assert(stability_decode_news(&m, slow, &vv, &fresh));
    cr_assert(fresh && stability_outlived(slow, anew));
    cr_assert(!stability_may_take(slow, 3, stamp_make(9, 0, 3), false),
              "what was reported of the old life says nothing of the new one");
    buf_deinit(&news);
    context_deinit(&vv);
    stability_free(told);
    stability_free(slow);
    stability_free(s);
}

/* One that has judged tells the others, who may know nothing to judge by. */
Test(stability, that_a_number_is_free_is_told_on)
{
    stamp_t last = stamp_make(8, 0, 3);
    life_t anew = life_make(3, INCARNATIONS);
    struct context vv = {0}, nothing = {0};
    struct buf news = {0};
    bool fresh;
    context_raise(&vv, last);
    struct stability *judge = stability_new(1), *s = stability_new(2);
    set_regions(judge);
    set_regions(s);
    stability_begin(judge, 1, NULL);
    stability_begin(s, 2, NULL);
    cr_assert(!admit(judge, anew, &vv, false), "2 has not reported");
    stability_save(judge, &vv);
    stability_report(judge, 3, 2, 0);
    cr_assert(admit(judge, anew, &vv, false));
    cr_assert(!admit(s, anew, &nothing, false), "it knows of nobody's reports");
    stability_encode_news(&news, judge);
    struct mp m = mp_read(buf_bytes(&news));
    cr_assert(stability_decode_news(&m, s, &nothing, &fresh) && fresh);
    cr_assert(!admit(s, anew, &nothing, false), "something of the old life is not here");
    cr_assert(admit(s, anew, &vv, false));
    /* a life that says itself that its number is free has to tell where the old one was cut */
    struct context claim = {0}, stable = {0};
    stamp_t mine = stamp_make(5, 0, 2);
    context_raise(&claim, mine);
    struct stability *told = stability_new(2);
    stability_regions(told, (const uint8_t[]){2, 3}, 2);
    stability_begin(told, 2, NULL);
    stability_claim(told, life_make(3, 1), &claim);
    cr_assert(admit(told, anew, &claim, true));
    stability_stable(told, &claim, &stable);
    cr_assert_eq(stable.n, 0, "an operation of the old life may be missing");
    m = mp_read(buf_bytes(&news));
    cr_assert(stability_decode_news(&m, told, &claim, &fresh) && fresh);
    stability_stable(told, &claim, &stable);
    cr_assert_eq(stable.n, 0, "it is");
    context_raise(&claim, last);
    stability_stable(told, &claim, &stable);
    cr_assert(context_covers(&stable, mine));
    buf_deinit(&news);
    context_deinit(&vv);
    context_deinit(&claim);
    context_deinit(&stable);
    stability_free(judge);
    stability_free(s);
    stability_free(told);
}

Test(stability, news_travel_and_bad_news_are_refused_whole)
{
    struct context vv = {0};
    struct stability *a = stability_new(1), *b = stability_new(2);
    static const uint32_t retired[] = {3, 67, 2};
    for (unsigned i = 0; i < 3; i++) {
        stability_retire(a, retired[i], &vv);
        stability_report(a, retired[i], 1, stamp_make(4, 0, retired[i]));
        stability_report(a, retired[i], 3, 0);
    }
    struct buf news = {0}, again = {0};
    stability_encode_news(&news, a);
    bool fresh;
    for (size_t n = 0; n < buf_len(&news); n++) {
        uint8_t *exact = mem_dup(news.p, n);
        struct mp m = mp_read(bytes_of(exact, n));
        cr_assert(!stability_decode_news(&m, b, &vv, &fresh), "cut at %zu", n);
        cr_assert(m.bad);
        mem_free(exact);
    }
    stability_encode_news(&again, b);
    cr_assert_eq(buf_len(&again), 1, "nothing was taken");
    struct mp m = mp_read(buf_bytes(&news));
    cr_assert(stability_decode_news(&m, b, &vv, &fresh) && fresh);
    m = mp_read(buf_bytes(&news));
    cr_assert(stability_decode_news(&m, b, &vv, &fresh) && !fresh);
    buf_clear(&again);
    stability_encode_news(&again, b);
    cr_assert(bytes_eq(buf_bytes(&news), buf_bytes(&again)));
    static const char *const bad[] = {
        "\x91\x94\x00\x00\x00\x90",                                 /* a life of region 0 */
        "\x91\x94\x40\x00\x00\x90",                                 /* likewise, a later one */
        "\x91\x94\xcf\x00\x00\x00\x40\x00\x00\x00\x01\x00\x00\x90", /* beyond all */
        "\x91\x94\x03\x04\x00\x90",                                 /* admitted after another's */
        "\x91\x94\x03\x03\x00\x90",                                 /* ... or after itself */
        "\x91\x94\x03\x00\x01\x90",                                 /* cut at another's stamp */
        "\x91\x94\x03\x00\x00\x91\x92\x40\x01",                     /* a reporter of region 0 */
        "\x91\x94\x03\x00\x00\x91\x92\x01\x01",                     /* another actor's record */
        "\x91\x95\x03\x00\x00\x90\x01",                             /* five things */
    };
    static const size_t lengths[] = {6, 6, 14, 6, 6, 6, 9, 9, 7};
    for (unsigned i = 0; i < 9; i++) {
        m = mp_read(bytes_of(bad[i], lengths[i]));
        cr_assert(!stability_decode_news(&m, b, &vv, &fresh), "%u", i);
    }
    buf_deinit(&news);
    buf_deinit(&again);
    stability_free(a);
    stability_free(b);
}
