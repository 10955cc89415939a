/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "crdt/apply.h"
#include "crdt/patch.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The rule of docs/patches.md: a patch shows what the assignment of the whole value would have
 * shown. Two worlds live the same history, one where strings are patched and one where they are
 * assigned; every region of the one must at any time show the same as that of the other.
 */

#define REGIONS 3u
#define MIN 16u

struct pair {
    struct run patched, whole;
};

struct worlds {
    struct pair region[REGIONS];
    struct rng rng;
    uint64_t baseless;
};

static void start(struct worlds *w, uint64_t seed, size_t kept_bytes_max)
{
    *w = (struct worlds){0};
    rng_init(&w->rng, seed);
    for (unsigned i = 0; i < REGIONS; i++) {
        struct shard_opts o = {.region = i + 1, .geo = true, .kept_bytes_max = kept_bytes_max};
        o.patch_min = MIN;
        run_start_with(&w->region[i].patched, &o);
        o.patch_min = SIZE_MAX;
        run_start_with(&w->region[i].whole, &o);
    }
}

static void stop(struct worlds *w)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        run_stop(&w->region[i].patched);
        run_stop(&w->region[i].whole);
    }
}

static void sum_key(const struct cell *key, void *arg)
{
    struct hash128 *sum = arg;
    *sum = hash128_add(*sum, value_digest(key));
}

/* Digests are of all that is shown; the patched world's are kept up patch by patch. */
static void compare(const struct worlds *w, const char *when)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        const struct run *a = &w->region[i].patched, *b = &w->region[i].whole;
        for (uint32_t p = 0; p < RUN_PARTITIONS; p++) {
            struct hash128 sum = {0};
            shard_each(a->shard, p, sum_key, &sum);
            cr_assert(hash128_eq(shard_digest(a->shard, p), sum), "digest not kept up %s", when);
            cr_assert(hash128_eq(shard_digest(a->shard, p), shard_digest(b->shard, p)),
                      "region %u shows something else %s", i + 1, when);
            cr_assert(context_eq(shard_context(a->shard, p), shard_context(b->shard, p)));
        }
    }
}

static void learn(struct run *to, const struct frame *f)
{
    struct context seen = {0};
    for (uint32_t i = 0; i < f->deps_count; i++)
        context_raise(&seen, f->deps[i]);
    context_raise(&seen, f->last);
    run_learn(to, actor_region(stamp_actor(f->last)), f->partition, &seen);
    context_deinit(&seen);
}

static void join(struct worlds *w, unsigned from, unsigned to, uint32_t partition)
{
    run_join(&w->region[from].patched, &w->region[to].patched, partition);
    run_join(&w->region[from].whole, &w->region[to].whole, partition);
}

/* Up to `max` frames that are new there, the same in both worlds. */
static void deliver(struct worlds *w, unsigned from, unsigned to, unsigned max)
{
    struct pair *a = &w->region[from], *b = &w->region[to];
    struct frame p, q;
    uint64_t at_p = 0, at_q = 0;
    shard_close_frames(a->patched.shard, a->patched.now);
    shard_close_frames(a->whole.shard, a->whole.now);
    while (max > 0 && log_read(shard_log(a->patched.shard), &at_p, &p)) {
        cr_assert(log_read(shard_log(a->whole.shard), &at_q, &q) && p.last == q.last);
        enum take how = shard_take(b->patched.shard, &p, b->patched.now);
        if (how == TAKE_BASELESS) {
            w->baseless++;
            join(w, from, to, p.partition);
            continue;
        }
        cr_assert_eq(shard_take(b->whole.shard, &q, b->whole.now), how);
        if (how != TAKE_DONE)
            continue;
        learn(&b->patched, &p);
        learn(&b->whole, &q);
        max--;
    }
}

static void settle(struct worlds *w)
{
    struct run *patched[REGIONS], *whole[REGIONS];
    for (unsigned i = 0; i < REGIONS; i++) {
        patched[i] = &w->region[i].patched;
        whole[i] = &w->region[i].whole;
    }
    run_stable(patched, REGIONS);
    run_stable(whole, REGIONS);
}

static void text(struct rng *rng, char out[64], unsigned max)
{
    size_t n = 1 + (size_t)rng_below(rng, max);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + rng_below(rng, 26));
    out[n] = 0;
}

static void command(struct worlds *w, unsigned at, bool flush)
{
    struct rng *rng = &w->rng;
    char line[160], val[64];
    unsigned k = (unsigned)rng_below(rng, 3), n = (unsigned)rng_below(rng, 40);
    text(rng, val, 12);
    switch (rng_below(rng, flush ? 17 : 16)) {
    case 0:
    case 1:
        text(rng, val, 60);
        snprintf(line, sizeof line, "SET k%u %s", k, val);
        break;
    case 2:
        snprintf(line, sizeof line, "SET k%u %u", k, n);
        break;
    case 3:
    case 4:
    case 5:
        snprintf(line, sizeof line, "SETRANGE k%u %u %s", k, n % 16, val);
        break;
    case 6:
    case 7:
        snprintf(line, sizeof line, "APPEND k%u %s", k, val);
        break;
    case 8:
    case 9:
    case 10:
        snprintf(line, sizeof line, "SETBIT k%u %u %u", k, 3 * n, n % 2);
        break;
    case 11:
        snprintf(line, sizeof line, "BITFIELD k%u SET u8 %u 77 INCRBY i13 %u 5", k, n, n / 2);
        break;
    case 12:
        snprintf(line, sizeof line, "DEL k%u", k);
        break;
    case 13:
        snprintf(line, sizeof line, "INCRBY k%u %u", k, n);
        break;
    case 14:
        snprintf(line, sizeof line, n % 2 ? "PEXPIRE k%u 100000000" : "PERSIST k%u", k);
        break;
    case 15:
        snprintf(line, sizeof line, n % 4 ? "SET k%u %s KEEPTTL" : "SADD k%u %s", k, val);
        break;
    default:
        snprintf(line, sizeof line, "FLUSHALL");
    }
    char *reply = mem_strdup(run(&w->region[at].patched, line));
    cr_assert_str_eq(run(&w->region[at].whole, line), reply, "%s", line);
    mem_free(reply);
}

static void finish(struct worlds *w)
{
    for (unsigned round = 0; round < REGIONS + 1; round++)
        for (unsigned i = 0; i < REGIONS; i++)
            for (unsigned j = 0; j < REGIONS; j++)
                if (i != j)
                    deliver(w, i, j, UINT32_MAX);
    compare(w, "at the end");
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
        for (unsigned i = 1; i < REGIONS; i++)
            cr_assert(hash128_eq(shard_digest(w->region[0].patched.shard, p),
                                 shard_digest(w->region[i].patched.shard, p)));
    settle(w);
    settle(w);
    compare(w, "when all is settled");
    for (unsigned i = 0; i < REGIONS; i++) {
        struct shard_stats stats;
        shard_stats(w->region[i].patched.shard, &stats);
        cr_assert_eq(stats.kept, 0, "what everybody has seen dropped is still kept");
        cr_assert_eq(stats.kept_bytes, 0);
    }
}

/* Whether joins or flushes may happen, and how much may be kept. Returns how often a base was
 * missing. */
static uint64_t history(uint64_t seed, bool joins, bool flushes, size_t kept_bytes_max)
{
    struct worlds w;
    start(&w, seed, kept_bytes_max);
    for (unsigned step = 0; step < 120; step++) {
        unsigned a = (unsigned)rng_below(&w.rng, REGIONS);
        unsigned b = (a + 1 + (unsigned)rng_below(&w.rng, REGIONS - 1)) % REGIONS;
        unsigned what = (unsigned)rng_below(&w.rng, 20);
        if (what < 12) {
            command(&w, a, flushes);
        } else if (what < 17) {
            deliver(&w, a, b, 1 + (unsigned)rng_below(&w.rng, 3));
        } else if (what < 19 || !joins) {
            settle(&w);
        } else {
            join(&w, a, b, (uint32_t)rng_below(&w.rng, RUN_PARTITIONS));
        }
        compare(&w, "under way");
    }
    finish(&w);
    stop(&w);
    return w.baseless;
}

#define SEEDS 400u

Test(patch, shows_what_the_whole_assignment_would)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        cr_assert_eq(history(seed, false, false, 0), 0, "seed %llu: a base was not kept",
                     (unsigned long long)seed);
}

Test(patch, states_carry_what_is_kept)
{
    for (uint64_t seed = 0; seed < 2 * SEEDS; seed++)
        cr_assert_eq(history(3000 + seed, true, false, 0), 0, "seed %llu: a base was not kept",
                     (unsigned long long)seed);
}

Test(patch, with_joins_and_flushes_too)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        history(1000 + seed, true, true, 0);
}

Test(patch, where_too_little_is_kept_the_state_is_joined)
{
    uint64_t baseless = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        baseless += history(2000 + seed, seed % 2, false, 600);
    cr_expect_gt(baseless, 0);
}

/* ------------------------------------------------------------ one region */

static struct run r;

static void start_one(void) { run_start(&r, 1, true); }

static void stop_one(void) { run_stop(&r); }

TestSuite(patching, .init = start_one, .fini = stop_one);

static void find_key(const struct cell *key, void *arg)
{
    const struct cell **found = arg;
    *found = key;
}

/* The only key there is. */
static const struct cell *only_key(void)
{
    const struct cell *found = NULL;
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
        shard_each(r.shard, p, find_key, &found);
    return found;
}

static size_t shipped(void)
{
    struct frame f;
    size_t n = 0;
    shard_close_frames(r.shard, r.now);
    for (uint64_t at = 0; log_read(shard_log(r.shard), &at, &f);)
        n += f.ops.n;
    return n;
}

Test(patching, a_bit_of_a_large_bitmap_travels_as_a_bit)
{
    expect(&r, "SETBIT b 80000000 1", "0"); /* as zeros that nobody has to be told of */
    cr_expect_lt(shipped(), 100);
    for (unsigned i = 0; i < 100; i++)
        run(&r, "SETBIT b 40000000 1");
    cr_expect_lt(shipped(), 6000);
    expect(&r, "STRLEN b", "10000001");
    expect(&r, "BITCOUNT b", "2");
    expect(&r, "BITPOS b 1", "40000000");
}

Test(patching, short_strings_travel_whole)
{
    run(&r, "SET s abc");
    run(&r, "APPEND s def");
    struct frame f;
    uint64_t at = 0;
    shard_close_frames(r.shard, r.now);
    while (log_read(shard_log(r.shard), &at, &f)) {
        struct mp m = mp_read(f.ops);
        struct op op;
        for (stamp_t base = f.first - 1; m.p < m.end; base = op.stamp) {
            cr_assert(op_decode(&m, &op, base));
            cr_expect_eq(op.kind, OP_SET);
        }
    }
    expect(&r, "GET s", "abcdef");
}

Test(patching, appending_adds_up)
{
    run(&r, "SETBIT a 40000 0");
    for (unsigned i = 0; i < 20000; i++)
        run(&r, "APPEND a 0123456789abcdef");
    expect(&r, "STRLEN a", "325001");
    expect(&r, "GETRANGE a -20 -1", "cdef0123456789abcdef");
    expect(&r, "GETRANGE a 4999 5004", "\"\\x00\\x000123\"");
    size_t held = value_memory(only_key());
    cr_expect_lt(held, 325001 * 3 / 2); /* room to spare, and not too much */
}

Test(patching, the_deadline_stays)
{
    run(&r, "SETBIT a 80000 1");
    run(&r, "EXPIRE a 100");
    run(&r, "SETBIT a 80001 1");
    run(&r, "APPEND a xyz");
    expect(&r, "TTL a", "100");
    expect(&r, "STRLEN a", "10004");
}

Test(patching, what_was_replaced_is_kept_until_all_have_seen_it)
{
    struct run peer, *both[] = {&r, &peer};
    struct shard_stats stats;
    run_start(&peer, 2, true);
    run(&r, "SETBIT a 800000 1");
    run_sync(both, 2);
    run(&r, "SETBIT a 1 1");
    shard_close_frames(r.shard, r.now);
    run(&r, "DEL a");
    run(&peer, "SETBIT a 3 1");
    run(&peer, "SETBIT a 5 1");
    shard_stats(r.shard, &stats);
    cr_expect_eq(stats.kept, 2);
    run_sync(both, 2); /* the patches survive the removal, which had not seen them */
    expect(&r, "BITPOS a 1", "3");
    expect(&r, "BITCOUNT a", "3");
    run_stable(both, 2);
    shard_stats(r.shard, &stats);
    cr_expect_eq(stats.kept, 0);
    cr_expect_eq(stats.baseless, 0);
    run_stop(&peer);
}

/* The removal is in the state; the patches that had not seen it come later. */
Test(patching, a_state_carries_what_is_kept)
{
    struct run peer, third, *all[] = {&r, &peer, &third};
    struct shard_stats stats;
    run_start(&peer, 2, true);
    run_start(&third, 3, true);
    run(&r, "SETBIT a 800000 1");
    run_ship(&r, &peer);
    run(&r, "SETBIT a 1 1");
    shard_close_frames(r.shard, r.now);
    run(&r, "DEL a");
    run(&peer, "SETBIT a 3 1");
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
        run_join(&r, &third, p);
    shard_stats(third.shard, &stats);
    cr_expect_eq(stats.kept, 2);
    run_sync(all, 3);
    expect(&third, "BITPOS a 1", "3");
    expect(&third, "BITCOUNT a", "2");
    shard_stats(third.shard, &stats);
    cr_expect_eq(stats.baseless, 0);
    run_stop(&peer);
    run_stop(&third);
}

Test(patching, the_kept_stay_below_their_limit)
{
    struct run few;
    struct shard_stats stats;
    run_start_with(&few, &(struct shard_opts){.region = 1, .geo = true, .kept_bytes_max = 100000});
    run(&few, "SETBIT a 400000 1");
    for (unsigned i = 0; i < 50; i++) {
        shard_close_frames(few.shard, few.now);
        run(&few, "COPY a b REPLACE");
        shard_stats(few.shard, &stats);
        cr_assert_lt(stats.kept_bytes, 100000);
    }
    cr_expect_gt(stats.kept_bytes, 40000);
    run(&few, "SETBIT a 40000000 1");
    shard_close_frames(few.shard, few.now);
    run(&few, "DEL a"); /* the newest stays, however large */
    shard_stats(few.shard, &stats);
    cr_expect_eq(stats.kept, 1);
    cr_expect_gt(stats.kept_bytes, 5000000);
    run_stop(&few);
}
