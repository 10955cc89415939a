/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

/* What is forgotten when memory is full, and what is not. */

#define LIMIT ((size_t)400 << 10)
static const char *const names[FORGET_KINDS] = {
    [FORGET_NOTHING] = "noeviction",
    [FORGET_ALL_LRU] = "allkeys-lru",
    [FORGET_ALL_LFU] = "allkeys-lfu",
    [FORGET_ALL_RANDOM] = "allkeys-random",
    [FORGET_VOLATILE_LRU] = "volatile-lru",
    [FORGET_VOLATILE_LFU] = "volatile-lfu",
    [FORGET_VOLATILE_RANDOM] = "volatile-random",
    [FORGET_VOLATILE_TTL] = "volatile-ttl",
};

static void limit(struct run *r, enum forget policy, size_t bytes)
{
    shard_set_memory_max(r->shard, bytes);
    shard_set_eviction(r->shard, &(struct evict_settings){.policy = policy,
                                                          .samples = 10,
                                                          .lfu_log_factor = 10,
                                                          .lfu_decay_minutes = 1});
}

/* Sets a key of about 100 bytes; false: -OOM. */
static bool put(struct run *r, const char *prefix, unsigned i, unsigned ttl_s)
{
    char line[160], expiry[32] = "";
    if (ttl_s > 0)
        snprintf(expiry, sizeof expiry, " EX %u", ttl_s);
    snprintf(line, sizeof line, "SET %s:%06u %060u%s", prefix, i, i, expiry);
    const char *got = run(r, line);
    if (strcmp(got, "OK") == 0)
        return true;
    cr_assert_str_eq(got, "error " OOM_TEXT);
    return false;
}

static unsigned long long evicted(const struct run *r)
{
    struct shard_stats stats;
    shard_stats(r->shard, &stats);
    return stats.evicted;
}

static unsigned count(struct run *r, const char *prefix, unsigned from, unsigned to)
{
    unsigned n = 0;
    char line[64];
    for (unsigned i = from; i < to; i++) {
        snprintf(line, sizeof line, "EXISTS %s:%06u", prefix, i);
        n += strcmp(run(r, line), "1") == 0;
    }
    return n;
}

Test(evict, every_policy_keeps_the_limit)
{
    for (enum forget policy = FORGET_ALL_LRU; policy < FORGET_KINDS; policy++) {
        struct run r;
        run_start(&r, 1, false);
        limit(&r, policy, LIMIT);
        for (unsigned i = 0; i < 10000; i++)
            cr_assert(put(&r, "key", i, 1000 + i), "%s: key %u", names[policy], i);
        cr_assert_leq(shard_held(r.shard), LIMIT + 1024, "%s", names[policy]);
        cr_assert_gt(shard_held(r.shard), LIMIT / 10 * 9, "%s: too much went", names[policy]);
        cr_assert_gt(evicted(&r), 5000, "%s", names[policy]);
        run_stop(&r);
    }
}

Test(evict, volatile_policies_leave_what_has_no_deadline)
{
    for (enum forget policy = FORGET_VOLATILE_LRU; policy < FORGET_KINDS; policy++) {
        struct run r;
        run_start(&r, 1, false);
        limit(&r, policy, LIMIT);
        unsigned stay = 0, more = 0;
        for (; stay < 1000; stay++)
            cr_assert(put(&r, "stay", stay, 0));
        for (unsigned i = 0; i < 5000; i++)
            cr_assert(put(&r, "go", i, 1000), "%s", names[policy]);
        cr_assert_eq(count(&r, "stay", 0, stay), stay, "%s", names[policy]);
        while (put(&r, "more", more, 0))
            more++;
        cr_assert_eq(count(&r, "go", 0, 5000), 0, "%s: refused while there was something to evict",
                     names[policy]);
        cr_assert_eq(count(&r, "stay", 0, stay), stay, "%s", names[policy]);
        cr_assert_eq(count(&r, "more", 0, more), more, "%s", names[policy]);
        run_stop(&r);
    }
}

Test(evict, nothing_goes_without_a_policy)
{
    struct run r;
    unsigned n = 0;
    run_start(&r, 1, false);
    limit(&r, FORGET_NOTHING, LIMIT);
    while (put(&r, "key", n, 100))
        n++;
    cr_assert_eq(count(&r, "key", 0, n), n);
    cr_assert_eq(evicted(&r), 0);
    run_stop(&r);
}

Test(evict, lru_keeps_what_is_used)
{
    struct run r;
    char line[64];
    run_start(&r, 1, false);
    limit(&r, FORGET_ALL_LRU, LIMIT);
    for (unsigned i = 0; i < 500; i++)
        put(&r, "hot", i, 0);
    for (unsigned i = 0; i < 20000; i++) {
        put(&r, "cold", i, 0);
        if (i % 100 == 0)
            run_wait(&r, 2000);
        snprintf(line, sizeof line, "GET hot:%06u", i % 500);
        run(&r, line);
    }
    unsigned left = count(&r, "hot", 0, 500);
    cr_assert_gt(left, 480, "%u of 500 keys that are used are left", left);
    run_stop(&r);
}

Test(evict, lfu_keeps_what_is_used_often)
{
    struct run r;
    char line[64];
    run_start(&r, 1, false);
    limit(&r, FORGET_ALL_LFU, LIMIT);
    for (unsigned i = 0; i < 300; i++)
        put(&r, "hot", i, 0);
    for (unsigned round = 0; round < 30; round++)
        for (unsigned i = 0; i < 300; i++) {
            snprintf(line, sizeof line, "GET hot:%06u", i);
            run(&r, line);
        }
    for (unsigned i = 0; i < 10000; i++) /* each is newer than all the hot ones */
        put(&r, "cold", i, 0);
    unsigned left = count(&r, "hot", 0, 300);
    cr_assert_gt(left, 285, "%u of 300 keys that were used often are left", left);
    run_stop(&r);
}

Test(evict, the_next_deadline_goes_first)
{
    struct run r;
    run_start(&r, 1, false);
    for (unsigned i = 0; i < 2000; i++)
        put(&r, "key", i, 10000 - i);
    limit(&r, FORGET_VOLATILE_TTL, (size_t)shard_held(r.shard) - 50000);
    put(&r, "new", 0, 100000);
    expect(&r, "EXISTS new:000000", "1"); /* makes room for what has come */
    unsigned gone = (unsigned)evicted(&r);
    cr_assert_gt(gone, 300);
    cr_assert_eq(count(&r, "key", 0, 2000 - gone), 2000 - gone);
    cr_assert_eq(count(&r, "key", 2000 - gone, 2000), 0);
    run_stop(&r);
}

Test(evict, large_collections_go_whole_and_not_too_many)
{
    struct run r;
    char line[100];
    run_start(&r, 1, false);
    limit(&r, FORGET_ALL_LRU, (size_t)4 << 20);
    for (unsigned k = 0; k < 60; k++) {
        for (unsigned i = 0; i < 2000; i++) {
            snprintf(line, sizeof line, "HSET h:%02u field:%08u value:%08u", k, i, i);
            expect(&r, line, "1");
        }
        run_wait(&r, 1000);
    }
    cr_assert_leq(shard_held(r.shard), ((size_t)4 << 20) + 4096);
    cr_assert_gt(shard_held(r.shard), (size_t)3 << 20, "more went than had to");
    run_stop(&r);
}

/* Memory is not given back at once by what other regions may still need: no reason to evict more.
 */
Test(evict, two_regions_evict_to_their_threshold_and_agree)
{
    for (enum forget policy = FORGET_ALL_LRU; policy < FORGET_KINDS; policy++) {
        struct run a, b, *all[] = {&a, &b};
        run_start(&a, 1, true);
        run_start(&b, 2, true);
        limit(&a, policy, LIMIT * 3);
        limit(&b, policy, LIMIT * 3);
        for (unsigned i = 0; i < 12000; i++) {
            cr_assert(put(&a, "a", i, 1000 + i), "%s", names[policy]);
            cr_assert(put(&b, "b", i, 1000 + i), "%s", names[policy]);
            if (i % 50 == 49) {
                while (!run_ship(&a, &b) || !run_ship(&b, &a))
                    continue;
                run_stable(all, 2);
            }
        }
        run_sync(all, 2);
        run_stable(all, 2);
        run_wait(&a, 100);
        run_wait(&b, 100);
        run_sync(all, 2);
        /* Together: who holds a few bytes more comes to the threshold first, and evicts for both.
         */
        cr_assert_gt(evicted(&a) + evicted(&b), 14000, "%s", names[policy]);
        for (unsigned i = 0; i < 2; i++) {
            uint64_t held = shard_held(all[i]->shard);
            cr_assert_lt(held, LIMIT * 3 / 100 * 81, "%s", names[policy]);
            cr_assert_gt(held, LIMIT * 3 / 100 * 60, "%s: %zu", names[policy], (size_t)held);
        }
        run_stop(&a);
        run_stop(&b);
    }
}

Test(evict, a_concurrent_write_survives)
{
    struct run a, b, *all[] = {&a, &b};
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    expect(&a, "SET old 1 EX 100", "OK");
    run_sync(all, 2);
    limit(&a, FORGET_VOLATILE_TTL, (size_t)shard_held(a.shard));
    expect(&b, "SET old 2", "OK");
    expect(&a, "SET new 1", "OK"); /* evicts what it has seen of `old` */
    cr_assert_eq(evicted(&a), 1);
    expect(&a, "EXISTS old", "0");
    run_sync(all, 2);
    expect(&a, "GET old", "2");
    expect(&b, "GET old", "2");
    run_stop(&a);
    run_stop(&b);
}

Test(evict, what_others_write_is_taken_when_it_is_full)
{
    struct run a, b, *all[] = {&a, &b};
    unsigned n = 0;
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    limit(&a, FORGET_NOTHING, LIMIT);
    while (put(&a, "a", n, 0))
        if (n++ % 50 == 49)
            run_sync(all, 2); /* the ring is small */
    for (unsigned i = 0; i < 3000; i++) {
        put(&b, "b", i, 0);
        if (i % 50 == 49)
            run_sync(all, 2);
    }
    run_sync(all, 2);
    cr_assert_gt(shard_held(a.shard), LIMIT, "it goes beyond, for the regions to be equal");
    cr_assert_not(put(&a, "a", n, 0));
    expect(&b, "FLUSHALL", "OK"); /* and what frees memory comes through */
    run_sync(all, 2);
    run_stable(all, 2);
    run_wait(&a, 1000);
    expect(&a, "DBSIZE", "0");
    run_stop(&a);
    run_stop(&b);
}

Test(evict, scripts_and_transactions_are_not_stopped_in_the_middle)
{
    struct run r;
    run_start(&r, 1, false);
    limit(&r, FORGET_ALL_LRU, LIMIT);
    for (unsigned i = 0; i < 5000; i++)
        put(&r, "key", i, 0);
    for (unsigned i = 0; i < 300; i++) {
        char line[200];
        snprintf(line, sizeof line,
                 "EVAL \"for i = 1, 10 do redis.call('SET', KEYS[1] .. i, string.rep('x', 200)) "
                 "end return 1\" 1 s%u",
                 i);
        expect(&r, line, "1");
    }
    cr_assert_leq(shard_held(r.shard), LIMIT + 4096);
    run_stop(&r);
}

/* ------------------------------------------------------------ OBJECT */

Test(evict, idle_time)
{
    struct run r;
    run_start(&r, 1, true);
    run_wait(&r, 100);
    expect(&r, "SET k v", "OK");
    expect(&r, "HSET h f v", "1");
    run_wait(&r, 12000);
    expect(&r, "OBJECT IDLETIME k", "12");
    expect(&r, "EXISTS k", "1");
    expect(&r, "TTL k", "-1");
    expect(&r, "TYPE k", "string");
    expect(&r, "OBJECT ENCODING k", "embstr");
    expect(&r, "OBJECT IDLETIME k", "12");
    expect(&r, "GET k", "v");
    expect(&r, "OBJECT IDLETIME k", "0");
    expect(&r, "OBJECT IDLETIME h", "12");
    expect(&r, "EXPIRE h 1000", "1");
    expect(&r, "OBJECT IDLETIME h", "0");
    run_wait(&r, 3000);
    expect(&r, "TOUCH k h", "2");
    expect(&r, "OBJECT IDLETIME h", "0");
    expect(&r, "OBJECT IDLETIME none", "nil");
    expect(&r, "OBJECT FREQ k",
           "error ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
           "Please note that when switching between policies at runtime LRU and LFU data will take "
           "some time to adjust.");
    run_stop(&r);
}

/* Compaction writes cells anew; that is not a use. */
Test(evict, compaction_is_no_use)
{
    struct run a, b, *all[] = {&a, &b};
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    run_wait(&a, 100);
    expect(&a, "INCR n", "1");
    shard_close_frames(a.shard, a.now);
    expect(&a, "INCR n", "2");
    run_sync(all, 2);
    run_wait(&a, 30000);
    run_sync(all, 2);
    run_stable(all, 2);
    run_wait(&a, 1000);
    cr_assert_eq(shard_unsettled(a.shard), 0);
    expect(&a, "OBJECT IDLETIME n", "31");
    run_stop(&a);
    run_stop(&b);
}

Test(evict, frequency_grows_and_decays)
{
    struct run r;
    run_start(&r, 1, false);
    limit(&r, FORGET_ALL_LFU, 0);
    run_wait(&r, 100);
    expect(&r, "SET k v", "OK");
    expect(&r, "OBJECT FREQ k", "5");
    for (unsigned i = 0; i < 1000; i++)
        run(&r, "GET k");
    unsigned often = (unsigned)atoi(run(&r, "OBJECT FREQ k"));
    cr_assert(often > 12 && often < 30, "%u after 1000 uses; Redis tells of about 18", often);
    run_wait(&r, 60000 * 7);
    unsigned later = (unsigned)atoi(run(&r, "OBJECT FREQ k"));
    cr_assert(often - later == 7 || often - later == 6, "%u after %u", later, often);
    run_stop(&r);
}
