/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hash.h"
#include "base/mp.h"
#include "base/rng.h"
#include "crdt/apply.h"
#include "crdt/shelf.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A partition's state in slices while everything changes is the state that was there at the
 * beginning: what is read from many small slices is held against what was written in one go.
 */
#define KEYS 6u
#define SEEDS 120u

static struct run a;

static unsigned pick(struct rng *rng, unsigned n) { return (unsigned)rng_below(rng, n); }

static void start_with(struct run *r, uint32_t region, size_t slice_bytes)
{
    run_start_with(r, &(struct shard_opts){.region = region,
                                           .geo = true,
                                           .partitions = 1,
                                           .count = 1,
                                           .slice_bytes = slice_bytes});
}

/* ------------------------------------------------------------ histories */

/* Fills keys until they are large: of each type one, and one of several types. */
static void grow(struct run *r, struct rng *rng)
{
    static const char *const adds[] = {
        "SADD k%u m%u%s", "HSET k%u f%u%s v",   "ZADD k%u %u m%s",
        "RPUSH k%u %u%s", "XADD k%u %u-1 f %s",
    };
    char line[300], pad[200];
    memset(pad, 'x', sizeof pad - 1);
    pad[sizeof pad - 1] = 0;
    for (unsigned k = 0; k < 5; k++) {
        unsigned n = 40 + pick(rng, 160);
        for (unsigned i = 1; i <= n; i++) {
            const char *tail = k >= 3 ? pad : i == n ? pad : "";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(line, sizeof line, adds[k], k, i, tail);
#pragma GCC diagnostic pop
            if (k == 2)
                snprintf(line, sizeof line, "ZADD k2 %u m%u%s", i / 3, i, tail);
            run_raw(r, line);
        }
    }
}

static void random_command(struct rng *rng, struct run *r)
{
    static const char *const lines[] = {
        "SADD k%u m%u",
        "SREM k%u m%u",
        "HSET k%u f%u v",
        "HINCRBY k%u f%u 3",
        "HDEL k%u f%u",
        "ZADD k%u 5 m%u",
        "ZINCRBY k%u 9 m%u",
        "ZREM k%u m%u",
        "RPUSH k%u %u",
        "LPUSH k%u %u",
        "LPOP k%u",
        "RPOP k%u",
        "LSET k%u %u changed",
        "XADD k%u * f%u v",
        "XTRIM k%u MAXLEN %u",
        "XDEL k%u %u-1",
        "EXPIRE k%u 1%u",
        "PERSIST k%u",
        "ZREMRANGEBYRANK k%u 0 %u",
        "LTRIM k%u %u -2",
        "XGROUP CREATE k%u g%u 0",
        "XREADGROUP GROUP g1 c COUNT 2 STREAMS k%u >",
        "HSET k%u f%u w",
        "ZINCRBY k%u 1 m%u",
        "SADD k%u m%u",
        "RPUSH k%u %u",
    };
    char line[100];
    unsigned what = pick(rng, 300), n = sizeof lines / sizeof lines[0];
    if (what == 0)
        snprintf(line, sizeof line, "FLUSHALL");
    else if (what < 4)
        snprintf(line, sizeof line, "DEL k%u", pick(rng, KEYS));
    else if (what < 6)
        snprintf(line, sizeof line, "RENAME k%u k%u", pick(rng, KEYS), pick(rng, KEYS));
    else if (what < 8)
        snprintf(line, sizeof line, "SET k%u string", pick(rng, KEYS));
    else if (what < 9)
        snprintf(line, sizeof line, "DEBUG RELOAD");
    else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, sizeof line, lines[pick(rng, n)], pick(rng, KEYS), pick(rng, 150));
#pragma GCC diagnostic pop
    run_raw(r, line);
}

/* ------------------------------------------------------------ what a state says */

struct sums {
    struct hash128 of; /* of its elements, registers and deadlines, in any order */
    unsigned parts, keys;
};

static void add_sum(struct sums *sums, struct bytes key, uint64_t type, struct bytes what)
{
    struct buf b = {0};
    mp_put_bin(&b, key);
    mp_put_uint(&b, type);
    buf_put_bytes(&b, what);
    struct hash_key k = {.k0 = 7, .k1 = 8};
    uint64_t low = hash_sip(buf_bytes(&b), k);
    k.k0++;
    struct hash128 term = {.lo = low, .hi = hash_sip(buf_bytes(&b), k)};
    sums->of = hash128_add(sums->of, term);
    buf_deinit(&b);
}

static void sum_record(struct sums *sums, struct bytes record)
{
    struct mp m = mp_read(record);
    uint32_t items = mp_array(&m);
    struct bytes key = mp_bin(&m);
    sums->parts += items == 4;
    const uint8_t *from = m.p;
    mp_skip(&m);
    if (m.p - from > 1)
        add_sum(sums, key, 0, bytes_of(from, (size_t)(m.p - from)));
    for (uint32_t n = mp_array(&m); n > 0; n -= 2) {
        uint64_t type = mp_uint(&m);
        bool reg = type == TYPE_STRING || type == TYPE_HLL;
        for (uint32_t left = reg ? 2 : mp_array(&m); left > 0; left -= 2) {
            from = m.p;
            mp_skip(&m);
            if (!reg)
                mp_skip(&m);
            add_sum(sums, key, type, bytes_of(from, (size_t)(m.p - from)));
        }
    }
    cr_assert(!m.bad);
}

static void sum_state(struct bytes state, struct sums *sums)
{
    *sums = (struct sums){.parts = 0};
    while (state.n > 0) {
        struct bytes record;
        cr_assert(value_record_next(&state, &record));
        if (!shelf_is_record(record))
            sum_record(sums, record);
    }
}

/* ------------------------------------------------------------ tests */

static void take_whole(struct run *r, struct buf *out)
{
    struct transfer *t = transfer_begin(r->shard, 0, r->now);
    while (transfer_next(t, out, SIZE_MAX))
        continue;
    transfer_end(t);
}

/* Joined by a region that has nothing, both give the same. */
static void join_both(struct bytes sliced, struct bytes whole, const struct context *seen,
                      unsigned seed)
{
    struct run x, y;
    start_with(&x, 2, 1);
    start_with(&y, 2, SIZE_MAX);
    cr_assert(shard_join(x.shard, 0, sliced, seen, x.now), "seed %u", seed);
    cr_assert(shard_join(y.shard, 0, whole, seen, y.now), "seed %u", seed);
    cr_expect(hash128_eq(shard_digest(x.shard, 0), shard_digest(y.shard, 0)), "seed %u", seed);
    struct buf again = {0}, plain = {0};
    struct sums s, w;
    take_whole(&x, &again);
    take_whole(&y, &plain);
    sum_state(buf_bytes(&again), &s);
    sum_state(buf_bytes(&plain), &w);
    cr_expect(hash128_eq(s.of, w.of), "seed %u", seed);
    buf_deinit(&again);
    buf_deinit(&plain);
    run_stop(&x);
    run_stop(&y);
}

static void one_history(unsigned seed, unsigned *parts)
{
    struct rng rng;
    struct buf whole = {0}, sliced = {0}, other = {0};
    struct sums w, s;
    rng_init(&rng, seed);
    start_with(&a, 1, 1);
    grow(&a, &rng);
    for (unsigned i = pick(&rng, 100); i > 0; i--)
        random_command(&rng, &a);
    struct transfer *late = transfer_begin(a.shard, 0, a.now); /* begins earlier, is read beside */
    struct transfer *t = transfer_begin(a.shard, 0, a.now);
    take_whole(&a, &whole);
    bool more = true, more_late = true;
    while (more || more_late) {
        for (unsigned i = pick(&rng, 30); i > 0; i--)
            random_command(&rng, &a);
        if (pick(&rng, 10) == 0)
            run_wait(&a, 1);
        if (more)
            more = transfer_next(t, &sliced, 1 + pick(&rng, 2000));
        if (more_late && (!more || pick(&rng, 2) == 0))
            more_late = transfer_next(late, &other, 1 + pick(&rng, 500));
    }
    sum_state(buf_bytes(&whole), &w);
    sum_state(buf_bytes(&sliced), &s);
    cr_assert(hash128_eq(w.of, s.of), "seed %u", seed);
    *parts += s.parts;
    sum_state(buf_bytes(&other), &s);
    cr_assert(hash128_eq(w.of, s.of), "seed %u, the second", seed);
    join_both(buf_bytes(&sliced), buf_bytes(&whole), transfer_context(t), seed);
    transfer_end(t);
    transfer_end(late);
    for (unsigned i = 0; i < 50; i++)
        run_wait(&a, 1);
    buf_deinit(&whole);
    buf_deinit(&sliced);
    buf_deinit(&other);
    run_stop(&a);
}

Test(slices, a_copy_in_slices_is_the_copy_at_its_beginning)
{
    const char *only = getenv("SEED");
    unsigned parts = 0, from = only != NULL ? (unsigned)atoi(only) : 1;
    unsigned to = only != NULL ? from : SEEDS;
    for (unsigned seed = from; seed <= to; seed++)
        one_history(seed, &parts);
    cr_expect_gt(parts, 100u, "large keys were sliced");
}

Test(slices, a_large_key_takes_many_small_slices)
{
    char line[64];
    start_with(&a, 1, 0);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "HSET h field%u value%u", i, i);
        run_raw(&a, line);
    }
    struct transfer *t = transfer_begin(a.shard, 0, a.now);
    expect(&a, "HSET h field5 new", "0");
    cr_expect_lt(transfer_buffered(t), 1000u, "only what was about to change");
    struct buf slice = {0};
    unsigned slices = 0;
    do {
        buf_clear(&slice);
        slices += transfer_next(t, &slice, 4096);
        cr_expect_lt(buf_len(&slice), 3 * 4096u);
        if (slices == 20)
            expect(&a, "DEL h", "1");
        run_wait(&a, 1);
        if (slices == 21)
            cr_expect_lt(transfer_buffered(t), 1000u, "it is read on, not copied");
    } while (buf_len(&slice) > 0);
    cr_expect_gt(slices, 100u);
    transfer_end(t);
    buf_deinit(&slice);
    run_stop(&a);
}
