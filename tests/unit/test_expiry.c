/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>

static struct run a, b;
static struct run *both[] = {&a, &b};

static void start(void)
{
    run_start(&a, 1, true);
    run_start(&b, 2, true);
}

static void stop(void)
{
    run_stop(&a);
    run_stop(&b);
}

TestSuite(expiry, .init = start, .fini = stop);

static struct shard_stats stats(const struct run *r)
{
    struct shard_stats s;
    shard_stats(r->shard, &s);
    return s;
}

Test(expiry, the_region_that_set_the_deadline_deletes)
{
    expect(&a, "SET k v PX 500", "OK");
    run_sync(both, 2);
    run_wait(&b, 1000);
    expect(&b, "GET k", "nil");
    expect(&b, "DBSIZE", "1");
    cr_expect_eq(stats(&b).expired, 0u, "the other region waits for the deletion");
    run_wait(&a, 1000);
    expect(&a, "DBSIZE", "0");
    cr_expect_eq(stats(&a).expired, 1u);
    run_sync(both, 2);
    expect(&b, "DBSIZE", "0");
}

Test(expiry, another_does_when_that_one_is_out_of_reach)
{
    expect(&a, "SET k v PX 500", "OK");
    run_sync(both, 2);
    shard_set_reachable(b.shard, ~(UINT64_C(1) << 1));
    run_wait(&b, 60000); /* it counts from the first upkeep after */
    run_wait(&b, 29000);
    cr_expect_eq(stats(&b).expired, 0u);
    for (unsigned i = 0; i < 5; i++)
        run_wait(&b, 1000);
    cr_expect_eq(stats(&b).expired, 1u);
    run_sync(both, 2);
    expect(&a, "DBSIZE", "0");
}

Test(expiry, a_writer_removes_it_first)
{
    expect(&a, "SADD s old", "1");
    expect(&a, "PEXPIRE s 500", "1");
    run_sync(both, 2);
    b.now.wall_ms += 1000;
    a.now.wall_ms += 1000;
    expect(&b, "SADD s new", "1");
    run_sync(both, 2);
    expect(&a, "SMEMBERS s", "[new]");
    expect(&a, "TTL s", "-1");
}

Test(expiry, a_write_that_did_not_see_the_deadline_keeps_the_key)
{
    expect(&a, "HSET h f 1", "1");
    run_sync(both, 2);
    expect(&a, "EXPIRE h 10", "1");
    run_wait(&a, 11000);
    run_wait(&b, 11000);
    expect(&a, "EXISTS h", "0");
    expect(&b, "HSET h g 2", "1");
    run_sync(both, 2);
    expect(&a, "HGETALL h", "[g 2]");
    expect(&b, "HGETALL h", "[g 2]");
    expect(&b, "TTL h", "-1");
}

Test(expiry, the_longer_of_two_concurrent_deadlines_counts)
{
    expect(&a, "SET k v", "OK");
    run_sync(both, 2);
    expect(&a, "EXPIRE k 10", "1");
    expect(&b, "EXPIRE k 50", "1");
    run_sync(both, 2);
    run_wait(&a, 11000);
    run_wait(&b, 11000);
    expect(&a, "EXISTS k", "1");
    run_wait(&b, 40000);
    run_wait(&a, 40000);
    expect(&a, "EXISTS k", "0");
    run_sync(both, 2);
    expect(&a, "DBSIZE", "0");
}

Test(expiry, many_keys_in_time)
{
    char line[64];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(line, sizeof line, "SET k%u v PX %u", i, 10000 + i);
        run_raw(&a, line);
    }
    cr_expect_eq(stats(&a).expires, 5000u);
    run_wait(&a, 4000); /* 5 s for the commands */
    cr_expect(stats(&a).keys <= 5000);
    run_wait(&a, 20000);
    cr_expect_eq(stats(&a).keys, 0u);
    cr_expect_eq(stats(&a).expired, 5000u);
    cr_expect_eq(stats(&a).expires, 0u);
}

Test(expiry, overwritten_deadlines_do_not_pile_up)
{
    char line[64];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "SET k%u v EX %u", i % 10, 100000 + i);
        run_raw(&a, line);
    }
    run_wait(&a, 1);
    cr_expect_eq(stats(&a).expires, 10u);
    run_wait(&a, 300000000);
    cr_expect_eq(stats(&a).keys, 0u);
    cr_expect_eq(stats(&a).expired, 10u);
}

Test(expiry, a_bare_deadline_is_no_key)
{
    expect(&a, "HSET h f 1", "1");
    expect(&a, "EXPIRE h 100", "1");
    expect(&a, "HSET h g 1", "1");
    run_sync(both, 2);
    expect(&a, "HDEL h f", "1");
    expect(&b, "HDEL h g", "1");
    run_sync(both, 2); /* nobody emptied it alone: the deadline stays, hidden */
    expect(&a, "EXISTS h", "0");
    expect(&a, "DBSIZE", "0");
    expect(&a, "KEYS *", "[]");
    expect(&a, "RANDOMKEY", "nil");
    expect(&a, "SCAN 0", "[0 []]");
    run_stable(both, 2);
    cr_expect_eq(shard_unsettled(a.shard), 0u);
    expect(&a, "HSET h f 1", "1");
    expect(&a, "TTL h", "-1");
    run_sync(both, 2);
}
