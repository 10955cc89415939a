/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_set, .init = start, .fini = stop);

Test(cmd_set, members)
{
    expect(&r, "SADD s a b a", "2");
    expect(&r, "SADD s b c", "1");
    expect(&r, "SCARD s", "3");
    expect(&r, "SISMEMBER s a", "1");
    expect(&r, "SISMEMBER s x", "0");
    expect(&r, "SMISMEMBER s a x c", "[1 0 1]");
    expect(&r, "SMISMEMBER none a b", "[0 0]");
    expect(&r, "SREM s a x a", "1");
    expect(&r, "SREM s b c", "2");
    expect(&r, "EXISTS s", "0");
    expect(&r, "SREM s b", "0");
    expect(&r, "SADD s \"\"", "1");
    expect(&r, "SISMEMBER s \"\"", "1");
}

Test(cmd_set, wrong_type)
{
    expect(&r, "SET k v", "OK");
    expect(&r, "SADD s a", "1");
    const char *wrong = "error WRONGTYPE Operation against a key holding the wrong kind of value";
    expect(&r, "SADD k a", wrong);
    expect(&r, "SMEMBERS k", wrong);
    expect(&r, "SINTER none k", wrong);
    expect(&r, "SUNION s k", wrong);
    expect(&r, "SMOVE s k a", wrong);
    expect(&r, "SMOVE none k a", "0");
    expect(&r, "SUNIONSTORE k s", "1");
    expect(&r, "TYPE k", "set");
}

Test(cmd_set, replies_are_sets_in_resp3)
{
    expect(&r, "SADD s a", "1");
    expect_raw(&r, "SMEMBERS s", "*1\r\n$1\r\na\r\n");
    r.resp = 3;
    expect_raw(&r, "SMEMBERS s", "~1\r\n$1\r\na\r\n");
    expect_raw(&r, "SINTER s none", "~0\r\n");
    expect_raw(&r, "SRANDMEMBER s 5", "*1\r\n$1\r\na\r\n");
    expect_raw(&r, "SPOP s 5", "~1\r\n$1\r\na\r\n");
}

Test(cmd_set, algebra)
{
    expect(&r, "SADD a 1 2 3 4", "4");
    expect(&r, "SADD b 3 4 5", "3");
    expect(&r, "SADD c 4", "1");
    expect(&r, "SINTER a b c", "[4]");
    expect(&r, "SINTER a none", "[]");
    expect(&r, "SDIFF c a", "[]");
    expect(&r, "SUNION c none c", "[4]");
    expect(&r, "SINTERSTORE out a b", "2");
    expect(&r, "SMISMEMBER out 3 4 5", "[1 1 0]");
    expect(&r, "SDIFFSTORE out a b c", "2");
    expect(&r, "SMISMEMBER out 1 2 3", "[1 1 0]");
    expect(&r, "SUNIONSTORE a a b", "5");
    expect(&r, "SMISMEMBER a 1 5 6", "[1 1 0]");
    expect(&r, "SINTERSTORE a a none", "0");
    expect(&r, "EXISTS a", "0");
}

Test(cmd_set, the_result_of_a_store_has_no_deadline)
{
    expect(&r, "SADD a 1", "1");
    expect(&r, "SADD out 2", "1");
    expect(&r, "EXPIRE out 100", "1");
    expect(&r, "SUNIONSTORE out a", "1");
    expect(&r, "TTL out", "-1");
}

Test(cmd_set, differences_of_both_shapes_agree)
{
    char line[64];
    for (int i = 0; i < 700; i++) { /* a small first set is probed, a large one crossed out */
        snprintf(line, sizeof line, "SADD large m%d", i);
        expect(&r, line, "1");
    }
    expect(&r, "SADD small m1 m2 x", "3");
    expect(&r, "SDIFF small large", "[x]");
    expect(&r, "SDIFFSTORE out large small small", "698");
    expect(&r, "SMISMEMBER out m0 m1 m2 m3 x", "[1 0 0 1 0]");
    expect(&r, "SINTERCARD 2 large small", "2");
}

Test(cmd_set, cardinality_of_an_intersection)
{
    expect(&r, "SADD a 1 2 3", "3");
    expect(&r, "SINTERCARD 1 a", "3");
    expect(&r, "SINTERCARD 1 a LIMIT 2", "2");
    expect(&r, "SINTERCARD 1 a LIMIT 0", "3");
    expect(&r, "SINTERCARD 0 a", "error ERR numkeys should be greater than 0");
    expect(&r, "SINTERCARD x a", "error ERR numkeys should be greater than 0");
    expect(&r, "SINTERCARD 2 a", "error ERR Number of keys can't be greater than number of args");
    expect(&r, "SINTERCARD 1 a LIMIT -1", "error ERR LIMIT can't be negative");
    expect(&r, "SINTERCARD 1 a LIMIT", "error ERR syntax error");
    expect(&r, "SINTERCARD 1 a a", "error ERR syntax error");
}

Test(cmd_set, moving)
{
    expect(&r, "SADD a x y", "2");
    expect(&r, "SMOVE a b x", "1");
    expect(&r, "SMOVE a b x", "0");
    expect(&r, "SMEMBERS b", "[x]");
    expect(&r, "SMOVE a a y", "1");
    expect(&r, "SMOVE a a none", "0");
    expect(&r, "SMOVE a b y", "1");
    expect(&r, "EXISTS a", "0");
    expect(&r, "SCARD b", "2");
}

Test(cmd_set, popping)
{
    expect(&r, "SPOP none", "nil");
    expect(&r, "SPOP none 2", "[]");
    expect(&r, "SADD s a b c", "3");
    expect(&r, "SPOP s 0", "[]");
    run(&r, "SPOP s");
    expect(&r, "SCARD s", "2");
    run(&r, "SPOP s 1");
    expect(&r, "SCARD s", "1");
    run(&r, "SPOP s 10");
    expect(&r, "EXISTS s", "0");
    expect(&r, "SPOP s -1", "error ERR value is out of range, must be positive");
    expect(&r, "SPOP s x", "error ERR value is out of range, must be positive");
    expect(&r, "SPOP s 1 2", "error ERR syntax error");
}

/* All different, all from m0 .. m999. */
static void check_sample(const char *text, unsigned wanted)
{
    static bool seen[1000];
    unsigned n = 0;
    memset(seen, 0, sizeof seen);
    for (const char *p = text; (p = strchr(p, 'm')) != NULL; p++, n++) {
        unsigned long i = strtoul(p + 1, NULL, 10);
        cr_assert(i < 1000 && !seen[i], "m%lu is wrong or came twice", i);
        seen[i] = true;
    }
    cr_expect(n == wanted, "%u members instead of %u", n, wanted);
}

Test(cmd_set, random_members_are_different_unless_asked)
{
    char line[64];
    expect(&r, "SRANDMEMBER none", "nil");
    expect(&r, "SRANDMEMBER none 2", "[]");
    expect(&r, "SADD one a", "1");
    expect(&r, "SRANDMEMBER one -3", "[a a a]");
    expect(&r, "SRANDMEMBER one 3", "[a]");
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "SADD s m%d", i);
        expect(&r, line, "1");
    }
    check_sample(run(&r, "SRANDMEMBER s 10"), 10);   /* drawn */
    check_sample(run(&r, "SRANDMEMBER s 900"), 900); /* walked */
    check_sample(run(&r, "SRANDMEMBER s 5000"), 1000);
    check_sample(run(&r, "SPOP s 100"), 100);
    expect(&r, "SCARD s", "900");
    expect(&r, "SRANDMEMBER one 1 2", "error ERR syntax error");
    expect(&r, "SRANDMEMBER one x", "error ERR value is not an integer or out of range");
}

Test(cmd_set, an_endless_sample_is_refused)
{
    expect(&r, "SADD s a", "1");
    expect(&r, "SRANDMEMBER s -9223372036854775807",
           "error ERR value is out of range: the reply would be larger than 512 MB");
}

Test(cmd_set, adding_again_survives_a_concurrent_remove)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "SADD s x y", "2");
    run_sync(both, 2);
    expect(&r, "SREM s x", "1");
    expect(&other, "SADD s x", "0");
    expect(&other, "SREM s y", "1");
    run_sync(both, 2);
    expect(&r, "SMEMBERS s", "[x]");
    expect(&other, "SMEMBERS s", "[x]");
    run_stop(&other);
}

Test(cmd_set, a_store_replaces_only_what_it_had_seen)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "SADD a 1", "1");
    expect(&r, "SADD out old", "1");
    run_sync(both, 2);
    expect(&r, "SUNIONSTORE out a", "1");
    expect(&other, "SADD out new", "1");
    run_sync(both, 2);
    expect(&r, "SMISMEMBER out 1 new old", "[1 1 0]");
    expect(&other, "SMISMEMBER out 1 new old", "[1 1 0]");
    run_stop(&other);
}
