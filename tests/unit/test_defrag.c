/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "tests/unit/run.h"

#include <stdio.h>

/* Blocks that move beneath the keyspace. */

static uint32_t any(struct rng *r, uint32_t n) { return (uint32_t)rng_below(r, n); }

/* All types, small and large, several under one name, deadlines, removals. */
static void write_one(struct rng *rng, struct run *r)
{
    char line[256];
    uint32_t k = any(rng, 24), e = any(rng, 400), v = any(rng, 1000);
    switch (any(rng, 12)) {
    case 0:
        snprintf(line, sizeof line, "SET s%u value-%u", k, v);
        break;
    case 1:
        snprintf(line, sizeof line, "INCR n%u", k);
        break;
    case 2:
        snprintf(line, sizeof line, "HSET h%u field%u value-%u", k % 5, e, v);
        break;
    case 3:
        snprintf(line, sizeof line, "SADD m%u member%u", k % 5, e);
        break;
    case 4:
        snprintf(line, sizeof line, "ZADD z%u %u member%u", k % 5, v, e);
        break;
    case 5:
        snprintf(line, sizeof line, "RPUSH l%u element-%u", k % 5, v);
        break;
    case 6:
        snprintf(line, sizeof line, "XADD x%u * field value-%u", k % 5, v);
        break;
    case 7:
        snprintf(line, sizeof line, "PFADD p%u element-%u", k % 3, v);
        break;
    case 8:
        snprintf(line, sizeof line, "HDEL h%u field%u", k % 5, e);
        break;
    case 9:
        snprintf(line, sizeof line, "ZREM z%u member%u", k % 5, e);
        break;
    case 10: /* concurrently with the others: another type under a name of theirs */
        snprintf(line, sizeof line, k % 3 == 0 ? "DEL h%u" : "EXPIRE z%u 100000", k % 5);
        break;
    default:
        snprintf(line, sizeof line, k % 2 ? "SADD both%u a%u" : "HSET both%u f%u 1", k % 4, e);
        break;
    }
    run(r, line);
}

Test(defrag, nothing_but_addresses_changes)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct run a, b;
        struct run *all[] = {&a, &b};
        struct rng rng;
        rng_init(&rng, seed);
        run_start(&a, 1, true);
        run_start(&b, 2, true);
        shard_set_defrag(a.shard, 4, true);
        for (unsigned i = 0; i < 4000; i++) {
            write_one(&rng, all[any(&rng, 2)]);
            if (i % 20 == 0)
                run_wait(&a, 100);
            if (i % 500 == 0)
                run_sync(all, 2);
        }
        run_sync(all, 2); /* compares what both show, one moved about and the other not */
        struct shard_stats stats;
        shard_stats(a.shard, &stats);
        cr_expect_gt(stats.defrag.rounds, 2);
        cr_expect_gt(stats.defrag.key_hits, 1000);
        cr_expect_gt(stats.defrag.hits, stats.defrag.key_hits);
        shard_stats(b.shard, &stats);
        cr_expect_eq(stats.defrag.hits + stats.defrag.misses, 0);
        run_stop(&a);
        run_stop(&b);
    }
}

#ifdef MERIDIAN_JEMALLOC
Test(defrag, pages_that_hold_little_are_given_back)
{
    struct run r;
    char line[256];
    struct mem_heap full, sparse, after;
    run_start(&r, 1, false);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(line, sizeof line, "SET key%u %0*u", i, (int)(50 + i % 3 * 40), i);
        run(&r, line);
    }
    cr_assert(mem_heap(&full));
    for (unsigned i = 0; i < 100000; i++) {
        if (i % 8 == 0)
            continue;
        snprintf(line, sizeof line, "DEL key%u", i);
        run(&r, line);
    }
    run_wait(&r, 1000);
    cr_assert(mem_heap(&sparse));
    shard_set_defrag(r.shard, 1000, false);
    for (unsigned i = 0; i < 30; i++)
        run_wait(&r, 100);
    cr_assert(mem_heap(&after));
    size_t waste = sparse.active - sparse.allocated, left = after.active - after.allocated;
    cr_expect_gt(waste, 5u << 20, "the test made no holes: %zu", waste);
    cr_expect_lt(left, waste / 3, "%zu of %zu bytes of holes are left", left, waste);
    expect(&r, "STRLEN key8", "130");
    run_stop(&r);
}
#endif

/* Large collections are read in slices while they, and what they lie in, move. */
Test(defrag, what_is_being_transferred_moves)
{
    struct run a, b;
    struct rng rng;
    char line[64];
    rng_init(&rng, 7);
    run_start_with(&a, &(struct shard_opts){.region = 1, .geo = true, .slice_bytes = 500});
    run_start(&b, 2, true);
    for (unsigned k = 0; k < 5; k++)
        for (unsigned i = 0; i < 600; i++) {
            snprintf(line, sizeof line, "HSET h%u field%u value-%u", k, i, i);
            run(&a, line);
            snprintf(line, sizeof line, "ZADD z%u %u member%u", k, i, i);
            run(&a, line);
        }
    shard_set_defrag(a.shard, 50, true);
    for (unsigned round = 0; round < 3; round++)
        for (uint32_t p = 0; p < RUN_PARTITIONS; p++) {
            struct transfer *t = transfer_begin(a.shard, p, a.now);
            struct buf state = {0};
            for (bool more = true; more;) {
                more = transfer_next(t, &state, 2000);
                for (unsigned i = 0; i < 5; i++)
                    write_one(&rng, &a);
                run_wait(&a, 100);
            }
            cr_assert(shard_join(b.shard, p, buf_bytes(&state), transfer_context(t), b.now));
            transfer_end(t);
            buf_deinit(&state);
        }
    struct shard_stats stats;
    shard_stats(a.shard, &stats);
    cr_expect_gt(stats.defrag.rounds, 2);
    run_sync((struct run *[]){&a, &b}, 2);
    run_stop(&a);
    run_stop(&b);
}
