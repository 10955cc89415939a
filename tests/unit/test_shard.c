/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/shard.h"

#include "base/mem.h"
#include "tests/unit/run.h"

#include <stdio.h>

static struct run a, b, c;
static struct run *all[] = {&a, &b, &c};

static void start(void)
{
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    run_start(&c, 3, true);
}

static void stop(void)
{
    run_stop(&a);
    run_stop(&b);
    run_stop(&c);
}

TestSuite(shard, .init = start, .fini = stop);

Test(shard, two_regions_converge)
{
    expect(&a, "SET k a", "OK");
    expect(&b, "SET k b", "OK");
    expect(&a, "INCRBY n 7", "7");
    expect(&b, "INCRBY n 3", "3");
    expect(&a, "SADD s x", "1");
    expect(&b, "SADD s y", "1");
    run_sync(all, 2);
    expect(&a, "GET k", "b");
    expect(&b, "GET k", "b");
    expect(&a, "GET n", "10");
    expect(&b, "SCARD s", "2");
    expect(&a, "FLUSHALL", "OK");
    expect(&b, "SADD s z", "1");
    run_sync(all, 2);
    expect(&a, "SMEMBERS s", "[z]");
    expect(&b, "DBSIZE", "1");
}

Test(shard, an_unseen_loser_comes_back)
{
    expect(&a, "SET k loser", "OK");
    expect(&b, "SET k winner", "OK");
    run_ship(&b, &c);
    expect(&c, "DEL k", "1");
    run_sync(all, 3);
    expect(&a, "GET k", "loser");
    expect(&c, "GET k", "loser");
}

Test(shard, rename_moves_what_was_seen)
{
    expect(&a, "SADD s a", "1");
    run_sync(all, 2);
    expect(&a, "RENAME s t", "OK");
    expect(&b, "SADD s b", "1");
    run_sync(all, 2);
    expect(&b, "SMEMBERS s", "[b]");
    expect(&b, "SMEMBERS t", "[a]");
}

static unsigned pick(struct rng *rng, unsigned n) { return (unsigned)rng_below(rng, n); }

static void random_command(struct rng *rng, struct run *r)
{
    static const char *const lines[] = {
        "SET k%u %u",
        "SET k%u %u EX 1000",
        "INCRBY k%u %u",
        "INCRBYFLOAT k%u 0.%u",
        "APPEND k%u %u",
        "DEL k%u",
        "EXPIRE k%u 1%u",
        "PERSIST k%u",
        "SADD k%u m%u",
        "SREM k%u m%u",
        "HSET k%u f%u v",
        "HINCRBY k%u f%u 3",
        "HDEL k%u f%u",
        "ZADD k%u 5 m%u",
        "ZINCRBY k%u 2 m%u",
        "ZREM k%u m%u",
        "RPUSH k%u %u",
        "LPUSH k%u %u",
        "LPOP k%u",
        "PFADD k%u e%u",
        "SADD k%u m%u",
        "HSET k%u f%u v",
        "ZADD k%u 5 m%u",
        "RPUSH k%u %u",
        "GETEX k%u EX 9%u",
        "SETNX k%u %u",
        "INCR k%u",
        "UNLINK k%u",
        "XADD k%u * f%u v",
        "XADD k%u MAXLEN 3 * f%u v",
        "XADD k%u * f%u v",
        "XTRIM k%u MAXLEN %u",
        "XGROUP CREATE k%u g%u 0 MKSTREAM",
        "XREADGROUP GROUP g1 c COUNT 2 STREAMS k%u >",
        "XAUTOCLAIM k%u g1 c%u 0 0",
        "XGROUP DESTROY k%u g%u",
    };
    char line[100];
    unsigned what = pick(rng, 100), n = sizeof lines / sizeof lines[0];
    if (what == 0)
        snprintf(line, sizeof line, "FLUSHALL");
    else if (what < 4)
        snprintf(line, sizeof line, "RENAME k%u k%u", pick(rng, 8), pick(rng, 8));
    else if (what < 7)
        snprintf(line, sizeof line, "COPY k%u k%u REPLACE", pick(rng, 8), pick(rng, 8));
    else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, sizeof line, lines[pick(rng, n)], pick(rng, 8), pick(rng, 5));
#pragma GCC diagnostic pop
    run_raw(r, line);
}

/* `from`'s whole state, taken in slices while `from` goes on writing, is joined by `to`. */
static void transfer_all(struct rng *rng, struct run *from, struct run *to)
{
    for (uint32_t p = 0; p < RUN_PARTITIONS_ALL; p++) {
        struct buf state = {0};
        struct transfer *t = transfer_begin(from->shard, p, from->now);
        while (transfer_next(t, &state, 1 + pick(rng, 200)))
            random_command(rng, from);
        cr_assert(shard_join(to->shard, p, buf_bytes(&state), transfer_context(t), to->now));
        run_learn(to, from->region, p, transfer_context(t));
        transfer_end(t);
        buf_deinit(&state);
    }
}

static void random_history(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (unsigned step = 0; step < 300; step++) {
        struct run *x = all[pick(&rng, 3)], *y = all[pick(&rng, 3)];
        unsigned what = pick(&rng, 100);
        if (what < 70) {
            random_command(&rng, x);
        } else if (what < 75) {
            shard_atomic_begin(x->shard, x->now);
            for (unsigned i = 0; i < 4; i++)
                random_command(&rng, x);
            shard_atomic_end(x->shard);
        } else if (what < 90) {
            if (x != y)
                run_ship(x, y);
        } else if (what < 94) {
            run_stable(all, 3);
        } else if (what < 95) {
            if (x != y)
                transfer_all(&rng, x, y);
        } else {
            x->now.wall_ms += pick(&rng, 50);
        }
    }
    run_sync(all, 3);
    run_stable(all, 3);
    run_sync(all, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(shard_unsettled(all[i]->shard), 0u, "region %u is not compacted", i + 1);
}

Test(shard, random_histories_converge)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        stop();
        start();
        random_history(seed);
        for (unsigned i = 0; i < 3; i++)
            for (uint32_t p = 0; p < RUN_PARTITIONS_ALL; p++)
                cr_assert(hash128_eq(shard_digest(a.shard, p), shard_digest(all[i]->shard, p)),
                          "seed %u", (unsigned)seed);
    }
}

static void check_digest(const struct cell *key, void *arg)
{
    struct hash128 *sum = arg;
    *sum = hash128_add(*sum, value_digest(key));
}

Test(shard, digests_are_what_the_keys_add_up_to)
{
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned i = 0; i < 2000; i++)
        random_command(&rng, &a);
    for (uint32_t p = 0; p < RUN_PARTITIONS_ALL; p++) {
        struct hash128 sum = {0};
        shard_each(a.shard, p, check_digest, &sum);
        cr_expect(hash128_eq(sum, shard_digest(a.shard, p)), "partition %u", p);
    }
}

Test(shard, a_one_region_database_becomes_geo_distributed)
{
    struct run one;
    struct rng rng;
    run_start(&one, 4, false);
    rng_init(&rng, 6);
    for (unsigned i = 0; i < 500; i++)
        random_command(&rng, &one);
    cr_expect_eq(log_bytes(shard_log(one.shard)), 0u);
    cr_expect_eq(shard_unsettled(one.shard), 0u);
    shard_set_geo(one.shard, true);
    for (uint32_t p = 0; p < RUN_PARTITIONS_ALL; p++) {
        struct hash128 sum = {0};
        shard_each(one.shard, p, check_digest, &sum);
        cr_expect(hash128_eq(sum, shard_digest(one.shard, p)));
        cr_expect(context_eq(log_floor(shard_log(one.shard), p), shard_context(one.shard, p)));
    }
    struct run *pair[] = {&one, &a};
    transfer_all(&rng, &one, &a);
    run_sync(pair, 2);
    random_command(&rng, &one);
    run_sync(pair, 2);
    run_stop(&one);
}

Test(shard, a_stale_region_refuses_writes_only)
{
    expect(&a, "SET k v", "OK");
    shard_set_stale(a.shard, true);
    cr_expect(shard_is_stale(a.shard));
    cr_expect_eq(strncmp(run(&a, "SET k w"), "error STALE ", 12), 0);
    expect(&a, "GET k", "v");
    shard_set_stale(a.shard, false);
    expect(&a, "SET k w", "OK");
}

Test(shard, a_full_one_refuses_what_needs_memory)
{
    struct run full;
    run_start_with(&full, &(struct shard_opts){.memory_max = 1});
    expect(&full, "SET k v", "error OOM command not allowed when used memory > 'maxmemory'.");
    expect(&full, "DEL k", "0");
    expect(&full, "GET k", "nil");
    run_stop(&full);
}

Test(shard, a_new_actor_goes_on_where_the_old_one_ended)
{
    expect(&a, "INCRBY n 5", "5");
    shard_set_actor(a.shard, actor_make(1, 1));
    expect(&a, "INCRBY n 2", "7");
    run_sync(all, 3);
    expect(&b, "GET n", "7");
    expect(&b, "SET n 1", "OK");
    run_sync(all, 3);
    expect(&a, "GET n", "1");
}

Test(shard, counts)
{
    struct shard_stats s;
    expect(&a, "SET k v EX 100", "OK");
    expect(&a, "SET l v", "OK");
    expect(&a, "GET k", "v");
    expect(&a, "GET none", "nil");
    shard_stats(a.shard, &s);
    cr_expect(s.keys == 2 && s.expires == 1 && s.hits == 1 && s.misses == 1);
    cr_expect(s.commands == 4 && s.writes == 2 && s.ops_own == 3);
    expect(&a, "PERSIST k", "1");
    shard_stats(a.shard, &s);
    cr_expect_eq(s.expires, 0u);
    run_sync(all, 2);
    shard_stats(b.shard, &s);
    cr_expect(s.ops_foreign == 4 && s.frames_foreign > 0 && s.keys == 2);
}

Test(shard, flushing_gives_the_memory_back)
{
    char line[64];
    size_t before = mem_used();
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "SET k%u %u", i, i);
        run_raw(&a, line);
        snprintf(line, sizeof line, "SADD big m%u", i);
        run_raw(&a, line);
    }
    size_t full = mem_used() - before;
    expect(&a, "DEL big", "1");
    expect(&a, "FLUSHDB", "OK");
    run_wait(&a, 1);
    shard_close_frames(a.shard, a.now);
    size_t left = mem_used() - before - log_bytes(shard_log(a.shard));
    cr_expect_lt(left, full / 4, "%zu of %zu bytes stayed", left, full);
    expect(&a, "DBSIZE", "0");
}
