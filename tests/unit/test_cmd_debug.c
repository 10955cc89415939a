/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_debug, .init = start, .fini = stop);

static void same(const char *a, const char *b, bool wanted)
{
    char first[128];
    snprintf(first, sizeof first, "%s", run(&r, a));
    cr_expect((strcmp(first, run(&r, b)) == 0) == wanted, "%s, %s", a, b);
}

Test(cmd_debug, equal_values_have_equal_digests)
{
    run(&r, "RPUSH a 1 2 3");
    run(&r, "LPUSH b 3 2 1");
    run(&r, "RPUSH c 3 2 1");
    same("DEBUG DIGEST-VALUE a", "DEBUG DIGEST-VALUE b", true);
    same("DEBUG DIGEST-VALUE a", "DEBUG DIGEST-VALUE c", false);
    run(&r, "HSET h f 1 g 2");
    run(&r, "HSET i g 2 f 0");
    same("DEBUG DIGEST-VALUE h", "DEBUG DIGEST-VALUE i", false);
    run(&r, "HINCRBY i f 1");
    same("DEBUG DIGEST-VALUE h", "DEBUG DIGEST-VALUE i", true);
    run(&r, "ZADD z 1 m");
    run(&r, "ZADD y 2 m");
    same("DEBUG DIGEST-VALUE z", "DEBUG DIGEST-VALUE y", false);
    run(&r, "SET s 12");
    run(&r, "COPY s t");
    same("DEBUG DIGEST-VALUE s", "DEBUG DIGEST-VALUE t", true);
    expect(&r, "DEBUG DIGEST-VALUE none", "[0000000000000000000000000000000000000000]");
}

Test(cmd_debug, digest_covers_all_keys)
{
    char before[64];
    expect(&r, "DEBUG DIGEST", "0000000000000000000000000000000000000000");
    run(&r, "SET a 1");
    snprintf(before, sizeof before, "%s", run(&r, "DEBUG DIGEST"));
    run(&r, "SET b 1");
    cr_expect(strcmp(before, run(&r, "DEBUG DIGEST")) != 0);
    run(&r, "DEL b");
    cr_expect_str_eq(run(&r, "DEBUG DIGEST"), before);
    run(&r, "EXPIRE a 100");
    cr_expect(strcmp(before, run(&r, "DEBUG DIGEST")) != 0);
}

Test(cmd_debug, reload_changes_nothing)
{
    char before[64], line[64];
    for (int i = 0; i < 700; i++) {
        snprintf(line, sizeof line, "RPUSH l element-%d", i);
        run(&r, line);
        snprintf(line, sizeof line, "HSET h f%d %d", i, i);
        run(&r, line);
        snprintf(line, sizeof line, "ZINCRBY z %d m%d", i, i / 2);
        run(&r, line);
        snprintf(line, sizeof line, "SET k%d %d PX 100000", i, i);
        run(&r, line);
    }
    run(&r, "PFADD p a b c");
    snprintf(before, sizeof before, "%s", run(&r, "DEBUG DIGEST"));
    expect(&r, "DEBUG RELOAD", "OK");
    cr_expect_str_eq(run(&r, "DEBUG DIGEST"), before);
    expect(&r, "INCR k5", "6");
    expect(&r, "LINDEX l 500", "element-500");
    expect(&r, "PFCOUNT p", "3");
    run_wait(&r, 200000);
    expect(&r, "DBSIZE", "4");
    run(&r, "DEL l h z p"); /* takes away what large collections remember of their own digests */
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
        cr_expect(hash128_eq(shard_digest(r.shard, p), (struct hash128){0}));
}

Test(cmd_debug, expiry_can_wait)
{
    expect(&r, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    run(&r, "SET a 1 PX 10");
    run_wait(&r, 1000);
    expect(&r, "DBSIZE", "1");
    expect(&r, "GET a", "nil");
    expect(&r, "DEBUG SET-ACTIVE-EXPIRE 1", "OK");
    run_wait(&r, 1000);
    expect(&r, "DBSIZE", "0");
}

Test(cmd_debug, others)
{
    expect(&r, "DEBUG POPULATE 10 x 20", "OK");
    expect(&r, "DBSIZE", "10");
    expect(&r, "STRLEN x:3", "20");
    expect(&r, "DEBUG OBJECT x:3",
           "\"Value at:0x0 refcount:1 encoding:embstr serializedlength:21 lru:0 "
           "lru_seconds_idle:0\"");
    expect(&r, "DEBUG OBJECT none", "error ERR no such key");
    expect(&r, "DEBUG QUICKLIST-PACKED-THRESHOLD 100b", "OK");
    expect(&r, "DEBUG QUICKLIST-PACKED-THRESHOLD many",
           "error ERR argument must be a memory value");
}
