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
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(line, sizeof line, "SETRANGE s%u %u end", k, 1 + pick(rng, 5000));
        run_raw(r, line);
    }
}

static void draw_command(struct rng *rng, char line[100])
{
    static const char *const lines[] = {
        "SADD k%u m%u",
        "SREM k%u m%u",
        "SETRANGE s%u %u patched",
        "APPEND s%u tail%u",
        "SETRANGE s%u 9%u far",
        "EXPIRE s%u 1%u",
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
    unsigned what = pick(rng, 300), n = sizeof lines / sizeof lines[0];
    if (what == 0)
        snprintf(line, 100, "FLUSHALL");
    else if (what < 4)
        snprintf(line, 100, "DEL k%u", pick(rng, KEYS));
    else if (what < 6)
        snprintf(line, 100, "RENAME k%u k%u", pick(rng, KEYS), pick(rng, KEYS));
    else if (what < 8)
        snprintf(line, 100, "SET k%u string", pick(rng, KEYS));
    else if (what < 9)
        snprintf(line, 100, "DEBUG RELOAD");
    else if (what < 11)
        snprintf(line, 100, "RENAME s%u s%u", pick(rng, KEYS), pick(rng, KEYS));
    else if (what < 13)
        snprintf(line, 100, "DEL s%u", pick(rng, KEYS));
    else if (what < 15)
        snprintf(line, 100, "SET s%u another", pick(rng, KEYS));
    else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, 100, lines[pick(rng, n)], pick(rng, KEYS), pick(rng, 150));
#pragma GCC diagnostic pop
}

static void random_command(struct rng *rng, struct run *r)
{
    char line[100];
    draw_command(rng, line);
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

static size_t records_of(struct bytes state)
{
    struct bytes record;
    size_t n = 0;
    while (value_record_next(&state, &record))
        n++;
    cr_assert_eq(state.n, 0u);
    return n;
}

Test(slices, a_long_string_goes_in_pieces_and_is_copied_only_when_it_changes)
{
    static const char *const changes[] = {
        "SETRANGE s 500000 x", "DEL s",    "EXPIRE s 100", "RENAME s t",
        "SET s short",         "FLUSHALL", "PING"};
    for (unsigned c = 0; c < sizeof changes / sizeof *changes; c++) {
        struct run b;
        struct buf state = {0}, slice = {0};
        start_with(&a, 1, 0);
        start_with(&b, 2, 0);
        expect(&a, "SETRANGE s 999999 z", "1000000");
        expect(&a, "SETRANGE s 700000 y", "1000000");
        expect(&a, "SET other o", "OK");
        struct transfer *t = transfer_begin(a.shard, 0, a.now);
        bool more = true;
        for (unsigned i = 0; more; i++) {
            buf_clear(&slice);
            more = transfer_next(t, &slice, 10000);
            cr_assert_leq(buf_len(&slice), 10000u, "a piece is as long as it was asked for");
            buf_put_bytes(&state, buf_bytes(&slice));
            cr_expect_lt(transfer_buffered(t), 1000u, "one string may be copied");
            if (i == 30)
                run_raw(&a, changes[c]);
            run_wait(&a, 1);
        }
        cr_expect_eq(records_of(buf_bytes(&state)), 2u);
        cr_assert(shard_join(b.shard, 0, buf_bytes(&state), transfer_context(t), b.now));
        transfer_end(t);
        expect(&b, "GET other", "o");
        expect(&b, "TTL s", "-1");
        expect(&b, "STRLEN s", "1000000");
        expect(&b, "GETRANGE s 700000 700000", "y");
        expect(&b, "GETRANGE s 999999 999999", "z");
        expect(&b, "GETRANGE s 500000 500000", "\"\\x00\"");
        buf_deinit(&state);
        buf_deinit(&slice);
        run_stop(&b);
        run_stop(&a);
    }
}

/* ------------------------------------------------------------ joining */

static void random_line(struct rng *rng, char line[100])
{
    static const char *const all[] = {"KEYS *",         "SCAN 0 COUNT 3", "EXISTS k%u", "HLEN k%u",
                                      "LRANGE k%u 0 9", "ZCARD k%u",      "XLEN k%u",   "SCARD k%u",
                                      "TTL k%u",        "WATCH k%u",      "DBSIZE"};
    unsigned what = pick(rng, 30), n = sizeof all / sizeof *all;
    if (what >= n) {
        draw_command(rng, line);
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, 100, all[what], pick(rng, KEYS));
#pragma GCC diagnostic pop
}

static void both(struct run *x, struct run *y, const char *line)
{
    struct buf one = {0};
    buf_put_str(&one, run_raw(x, line));
    buf_put_u8(&one, 0);
    const char *two = run_raw(y, line);
    /* KEYS and SCAN tell in the order of tables, which the order of joining may change */
    if (line[0] != 'K' && strncmp(line, "SCAN", 4) != 0)
        cr_assert_str_eq((const char *)one.p, two, "%s", line);
    buf_deinit(&one);
}

/* `x` joins in steps, `y` at once; both do the same before and meanwhile. */
static void join_history(unsigned seed, unsigned *steps)
{
    struct rng rng;
    struct run from, x, y;
    struct buf state = {0};
    char line[100];
    rng_init(&rng, seed);
    struct hash_key key = {.k0 = 3, .k1 = 4};
    struct shard_opts o = {.region = 2, .geo = true, .partitions = 1, .count = 1, .hash_key = key};
    start_with(&from, 1, 1);
    o.slice_bytes = 1;
    run_start_with(&x, &o);
    run_start_with(&y, &o);
    if (pick(&rng, 4) > 0) /* else the first copy */
        grow(&from, &rng);
    if (pick(&rng, 3) > 0) {
        run_ship(&from, &x);
        run_ship(&from, &y);
        from.now.wall_ms += 10000;
        for (unsigned i = pick(&rng, 60); i > 0; i--) {
            draw_command(&rng, line);
            both(&x, &y, line);
        }
    }
    for (unsigned i = pick(&rng, 60); i > 0; i--)
        random_command(&rng, &from);
    struct transfer *t = transfer_begin(from.shard, 0, from.now);
    struct joiner *j = joiner_new(x.shard, 0);
    bool more = true;
    size_t at = 0, most = 1 + pick(&rng, 3000);
    while (more) {
        more = transfer_next(t, &state, 1 + pick(&rng, 3000));
        while (at < buf_len(&state)) { /* cut anywhere */
            size_t left = buf_len(&state) - at, n = 1 + pick(&rng, (unsigned)most);
            n = n < left ? n : left;
            cr_assert(joiner_add(j, bytes_of(state.p + at, n)));
            at += n;
        }
    }
    cr_assert_eq(joiner_bytes(j), buf_len(&state));
    cr_assert(shard_join(y.shard, 0, buf_bytes(&state), transfer_context(t), y.now));
    cr_assert(joiner_join(j, transfer_context(t), x.now));
    for (unsigned i = pick(&rng, 40); i > 0; i--) {
        *steps += shard_is_joining(x.shard, 0);
        if (pick(&rng, 6) == 0)
            shard_tick(x.shard, x.now);
        random_line(&rng, line);
        both(&x, &y, line);
        if (pick(&rng, 8) == 0) { /* what the other writes meanwhile */
            random_command(&rng, &from);
            cr_assert_eq(run_ship(&from, &x), run_ship(&from, &y));
        }
    }
    while (shard_tick(x.shard, x.now))
        continue;
    cr_expect(!shard_is_joining(x.shard, 0));
    cr_assert(context_eq(shard_context(x.shard, 0), shard_context(y.shard, 0)), "seed %u", seed);
    cr_assert(hash128_eq(shard_digest(x.shard, 0), shard_digest(y.shard, 0)), "seed %u", seed);
    struct buf one = {0}, two = {0};
    struct sums a_sum, b_sum;
    take_whole(&x, &one);
    take_whole(&y, &two);
    sum_state(buf_bytes(&one), &a_sum);
    sum_state(buf_bytes(&two), &b_sum);
    cr_assert(hash128_eq(a_sum.of, b_sum.of), "seed %u", seed);
    transfer_end(t);
    buf_deinit(&one);
    buf_deinit(&two);
    buf_deinit(&state);
    run_stop(&x);
    run_stop(&y);
    run_stop(&from);
}

Test(slices, joining_in_steps_is_joining_at_once)
{
    const char *only = getenv("SEED");
    unsigned steps = 0, from = only != NULL ? (unsigned)atoi(only) : 1;
    unsigned to = only != NULL ? from : SEEDS;
    for (unsigned seed = from; seed <= to; seed++)
        join_history(seed, &steps);
    cr_expect_gt(steps, 50u, "commands ran while keys were being joined");
}

/* Elements that go while a table is passed over make it smaller, and its buckets begin earlier:
 * none is joined twice for that, which would count its increments twice. */
Test(slices, increments_are_joined_once_while_others_go)
{
    for (unsigned left = 2; left < 30; left++) {
        struct run from, y;
        struct buf state = {0};
        char line[100];
        start_with(&from, 1, 1);
        start_with(&y, 2, 1);
        for (unsigned i = 0; i < 3000; i++) {
            snprintf(line, sizeof line, "HINCRBY h f%u 1", i);
            run_raw(&from, line);
        }
        run_ship(&from, &y);
        for (unsigned i = 0; i < 3000; i++) {
            snprintf(line, sizeof line, i % left ? "HDEL h f%u" : "HINCRBY h f%u 5", i);
            run_raw(&from, line);
        }
        take_whole(&from, &state);
        cr_assert(shard_join(y.shard, 0, buf_bytes(&state), shard_context(from.shard, 0), y.now));
        cr_assert(hash128_eq(shard_digest(from.shard, 0), shard_digest(y.shard, 0)), "%u", left);
        buf_deinit(&state);
        run_stop(&y);
        run_stop(&from);
    }
}
