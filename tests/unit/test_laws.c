/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include <criterion/criterion.h>

#include "tests/unit/peers.h"

#include "base/mem.h"

#include <stdio.h>

/* The laws that make regions converge, on random histories: see ../shared/design/crdt.md. */

#define HISTORIES 80

/* A burst makes collections large: many elements at once. */
static void burst(struct peers *w, unsigned at)
{
    static const uint8_t kinds[] = {OP_SADD, OP_HSET, OP_ZADD, OP_SREM, OP_HDEL};
    uint8_t kind = kinds[rng_below(&w->rng, sizeof kinds)];
    unsigned key = (unsigned)rng_below(&w->rng, PEERS_KEYS),
             n = 100 + (unsigned)rng_below(&w->rng, 80);
    for (unsigned i = 0; i < n && w->nops < PEERS_OPS - 500; i++) {
        char member[16];
        struct op op = {.kind = kind, .real = i % 7, .val = bytes_str("v")};
        op.elem = bytes_of(member, (size_t)snprintf(member, sizeof member, "m%u", i));
        peers_write(w, at, key, op);
    }
}

static void push_many(struct peers *w, unsigned at)
{
    struct peers_region *r = &w->at[at];
    for (unsigned i = 0; i < 150 && w->nops < PEERS_OPS - 500; i++) {
        struct buf p = {0};
        struct clock next = r->clock;
        size_t n = coll_len(r->keys[0], TYPE_LIST);
        struct bytes left =
            n ? cell_name(coll_at(r->keys[0], TYPE_LIST, n - 1)) : bytes_of(NULL, 0);
        position_between(&p, left, bytes_of(NULL, 0),
                         clock_tick(&next, STAMP_EPOCH_MS + 1000 + (w->nops + 1) / 4), r->runs);
        peers_write(w, at, 0,
                    (struct op){.kind = OP_LINS, .elem = buf_bytes(&p), .val = bytes_str("item")});
        buf_deinit(&p);
    }
}

static void add_many(struct peers *w, unsigned at)
{
    for (unsigned i = 0; i < 150 && w->nops < PEERS_OPS - 500; i++)
        peers_xadd(w, at, 1);
}

static void step(struct peers *w, bool joins)
{
    unsigned a = (unsigned)rng_below(&w->rng, w->n), b = (unsigned)rng_below(&w->rng, w->n);
    uint64_t what = rng_below(&w->rng, 100);
    if (what < 55)
        peers_random_write(w, a);
    else if (what < 80 && a != b)
        peers_deliver(w, a, b, 1 + (unsigned)rng_below(&w->rng, 6));
    else if (what < 92)
        peers_compact(w, a);
    else if (what < 95 && a != b && joins)
        peers_join(w, a, b);
    else if (what == 96)
        burst(w, a);
    else if (what == 97)
        push_many(w, a);
    else if (what == 98)
        add_many(w, a);
}

static void check_sums(struct peers *w, uint64_t seed)
{
    for (unsigned i = 0; i < w->n; i++)
        cr_assert(hash128_eq(w->at[i].digest, peers_digest(&w->at[i])),
                  "seed %lu region %u: digest", (unsigned long)seed, i);
}

static void run(struct peers *w, unsigned steps, bool joins)
{
    for (unsigned i = 0; i < steps && w->nops < PEERS_OPS - 500; i++)
        step(w, joins);
}

Test(laws, regions_that_have_seen_the_same_show_the_same)
{
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct peers *w = peers_new(seed, 2 + (unsigned)(seed % 3));
        for (unsigned i = 0; i < 200; i++) {
            run(w, 1, true);
            if (i % 20 == 0)
                check_sums(w, seed);
        }
        peers_deliver_all(w);
        check_sums(w, seed);
        for (unsigned i = 1; i < w->n; i++) {
            cr_assert(context_eq(&w->at[0].vv, &w->at[i].vv));
            cr_assert(hash128_eq(w->at[0].digest, w->at[i].digest), "seed %lu region %u",
                      (unsigned long)seed, i);
        }
        peers_free(w);
    }
}

Test(laws, compaction_is_invisible_and_completes)
{
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct peers *w = peers_new(1000 + seed, 3);
        run(w, 150, true);
        for (unsigned i = 0; i < w->n; i++) {
            struct hash128 before = w->at[i].digest;
            peers_compact(w, i);
            cr_assert(hash128_eq(before, peers_digest(&w->at[i])), "seed %lu", (unsigned long)seed);
        }
        /* Two rounds in which everybody writes: then everybody knows that everybody has seen
         * everything before. */
        for (unsigned round = 0; round < 3; round++) {
            peers_deliver_all(w);
            for (unsigned i = 0; i < w->n && round < 2; i++)
                peers_write(w, i, 1, (struct op){.kind = OP_SADD, .elem = bytes_str("done")});
        }
        for (unsigned i = 0; i < w->n; i++) {
            peers_compact(w, i);
            cr_assert(value_is_settled(w->at[i].keys[0]), "seed %lu", (unsigned long)seed);
        }
        peers_free(w);
    }
}

/* Apply = join: a copy that joins another's state shows what a copy shows that applied the
 * operations. */
Test(laws, joining_a_state_equals_applying_its_operations)
{
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct peers *w = peers_new(2000 + seed, 3);
        run(w, 150, false);
        struct peers_region joined = peers_copy(&w->at[0]);
        for (unsigned i = 1; i < w->n; i++)
            peers_join_region(w, &joined, &w->at[i]);
        peers_deliver_all(w);
        cr_assert(context_eq(&joined.vv, &w->at[0].vv));
        cr_assert(hash128_eq(joined.digest, w->at[0].digest), "seed %lu", (unsigned long)seed);
        cr_assert(hash128_eq(joined.digest, peers_digest(&joined)));
        peers_region_deinit(&joined);
        peers_free(w);
    }
}

/* Equal also in what does not show: a further join with anything must not tell them apart. */
static void expect_same(struct peers *w, const struct peers_region *a, const struct peers_region *b,
                        const char *law, uint64_t seed)
{
    cr_assert(context_eq(&a->vv, &b->vv));
    cr_assert(hash128_eq(a->digest, b->digest), "%s, seed %lu", law, (unsigned long)seed);
    for (unsigned i = 0; i < w->n; i++) {
        struct peers_region x = peers_copy(a), y = peers_copy(b);
        peers_join_region(w, &x, &w->at[i]);
        peers_join_region(w, &y, &w->at[i]);
        cr_assert(hash128_eq(x.digest, y.digest), "%s, then joined, seed %lu", law,
                  (unsigned long)seed);
        peers_region_deinit(&x);
        peers_region_deinit(&y);
    }
}

Test(laws, join_is_commutative_associative_idempotent)
{
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct peers *w = peers_new(3000 + seed, 4);
        run(w, 150, true);
        struct peers_region ab = peers_copy(&w->at[0]), ba = peers_copy(&w->at[1]);
        peers_join_region(w, &ab, &w->at[1]);
        peers_join_region(w, &ba, &w->at[0]);
        expect_same(w, &ab, &ba, "commutative", seed);

        struct peers_region bc = peers_copy(&w->at[1]), a_bc = peers_copy(&w->at[0]);
        peers_join_region(w, &bc, &w->at[2]);
        peers_join_region(w, &a_bc, &bc);
        peers_join_region(w, &ab, &w->at[2]);
        expect_same(w, &ab, &a_bc, "associative", seed);

        struct peers_region same = peers_copy(&ab);
        peers_join_region(w, &same, &ab);
        expect_same(w, &ab, &same, "idempotent", seed);
        peers_region_deinit(&ab);
        peers_region_deinit(&ba);
        peers_region_deinit(&bc);
        peers_region_deinit(&a_bc);
        peers_region_deinit(&same);
        peers_free(w);
    }
}

Test(laws, a_state_survives_its_encoding)
{
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct peers *w = peers_new(4000 + seed, 3);
        run(w, 150, true);
        for (unsigned i = 0; i < w->n; i++) {
            struct peers_region copy = peers_copy(&w->at[i]);
            cr_assert(hash128_eq(peers_digest(&copy), w->at[i].digest));
            for (unsigned k = 0; k < PEERS_KEYS; k++)
                cr_assert_eq(value_deadline(copy.keys[k]), value_deadline(w->at[i].keys[k]));
            peers_region_deinit(&copy);
        }
        peers_free(w);
    }
}

Test(laws, conflicts_are_counted_and_nothing_leaks)
{
    size_t before = mem_used();
    struct peers *w = peers_new(5000, 3);
    run(w, 2000, true);
    cr_assert_gt(w->conflicts.register_lost, 0);
    cr_assert_gt(w->conflicts.type_hidden, 0);
    cr_assert_gt(w->conflicts.deadline_lost, 0);
    cr_assert_gt(w->at[0].unsettled, 0);
    peers_free(w);
    cr_assert_eq(mem_used(), before);
}
