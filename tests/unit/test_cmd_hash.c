/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_hash, .init = start, .fini = stop);

Test(cmd_hash, set_counts_new_fields)
{
    expect(&r, "HSET h f 1 g 2", "2");
    expect(&r, "HSET h f 3 i 4 i 5", "1");
    expect(&r, "HMGET h f g i none", "[3 2 5 nil]");
    expect(&r, "HLEN h", "3");
    expect(&r, "HSETNX h f 9", "0");
    expect(&r, "HSETNX h j 9", "1");
    expect(&r, "HGET h j", "9");
    expect(&r, "HMSET h a b", "OK");
    expect(&r, "HSTRLEN h a", "1");
    expect(&r, "HSTRLEN h none", "0");
    expect(&r, "HEXISTS h a", "1");
    expect(&r, "HEXISTS none a", "0");
}

Test(cmd_hash, errors)
{
    expect(&r, "HSET h f", "error ERR wrong number of arguments for 'hset' command");
    expect(&r, "HSET h f 1 g", "error ERR wrong number of arguments for 'hset' command");
    expect(&r, "HMSET h f 1 g", "error ERR wrong number of arguments for 'hmset' command");
    expect(&r, "SET s x", "OK");
    expect(&r, "HSET s f 1",
           "error WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(&r, "HGET s f",
           "error WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(&r, "HINCRBY s f x", "error ERR value is not an integer or out of range");
    expect(&r, "HRANDFIELD s 1 x", "error ERR syntax error");
    expect(&r, "HRANDFIELD s -9223372036854775808",
           "error ERR value is out of range, value must between -9223372036854775807 and "
           "9223372036854775807");
    expect(&r, "HRANDFIELD s 9223372036854775807 WITHVALUES", "error ERR value is out of range");
}

Test(cmd_hash, reading_all_pairs_them_up)
{
    expect_raw(&r, "HGETALL none", "*0\r\n");
    expect(&r, "HSET h f v", "1");
    expect_raw(&r, "HGETALL h", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    expect(&r, "HKEYS h", "[f]");
    expect(&r, "HVALS h", "[v]");
    r.resp = 3;
    expect_raw(&r, "HGETALL h", "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    expect_raw(&r, "HGETALL none", "%0\r\n");
    expect_raw(&r, "HGET h none", "_\r\n");
}

Test(cmd_hash, the_key_goes_with_its_last_field)
{
    expect(&r, "HSET h f 1 g 2", "2");
    expect(&r, "EXPIRE h 100", "1");
    expect(&r, "HDEL h f none f", "1");
    expect(&r, "TTL h", "100");
    expect(&r, "HDEL h g", "1");
    expect(&r, "EXISTS h", "0");
    expect(&r, "HSET h f 1", "1");
    expect(&r, "TTL h", "-1");
    expect(&r, "HDEL none f", "0");
}

Test(cmd_hash, integer_counters)
{
    expect(&r, "HINCRBY h n 5", "5");
    expect(&r, "HINCRBY h n -7", "-2");
    expect(&r, "HSET h n 10 t text i 9223372036854775807", "2");
    expect(&r, "HINCRBY h n 1", "11");
    expect(&r, "HGET h n", "11");
    expect(&r, "HINCRBY h t 1", "error ERR hash value is not an integer");
    expect(&r, "HINCRBY h i 1", "error ERR increment or decrement would overflow");
    expect(&r, "HGET h i", "9223372036854775807");
    expect(&r, "HINCRBY h i -1", "9223372036854775806");
}

Test(cmd_hash, float_counters)
{
    expect(&r, "HINCRBYFLOAT h x 10.5", "10.5");
    expect(&r, "HINCRBYFLOAT h x -0.5", "10");
    expect(&r, "HINCRBY h x 3", "13");
    expect(&r, "HSET h y 3.0e3 t text i inf", "3");
    expect(&r, "HINCRBYFLOAT h y 200", "3200");
    expect(&r, "HINCRBYFLOAT h t 1", "error ERR hash value is not a float");
    expect(&r, "HINCRBYFLOAT h y text", "error ERR value is not a valid float");
    expect(&r, "HINCRBYFLOAT h y inf", "error ERR value is NaN or Infinity");
    expect(&r, "HINCRBYFLOAT h i 1", "error ERR increment would produce NaN or Infinity");
}

Test(cmd_hash, random_fields_have_redis_shapes)
{
    expect(&r, "HRANDFIELD none", "nil");
    expect(&r, "HRANDFIELD none 3", "[]");
    expect(&r, "HSET h f v", "1");
    expect(&r, "HRANDFIELD h", "f");
    expect(&r, "HRANDFIELD h 0", "[]");
    expect(&r, "HRANDFIELD h 5 WITHVALUES", "[f v]");
    expect(&r, "HRANDFIELD h -3", "[f f f]");
    r.resp = 3;
    expect(&r, "HRANDFIELD h -2 WITHVALUES", "[[f v] [f v]]");
}

Test(cmd_hash, scanning_a_small_hash_takes_one_call)
{
    expect(&r, "HSCAN none 0", "[0 []]");
    expect(&r, "HSET h f1 a g2 b", "2");
    expect(&r, "HSCAN h 0 MATCH f* COUNT 1", "[0 [f1 a]]");
    expect(&r, "HSCAN h x", "error ERR invalid cursor");
    expect(&r, "HSCAN h 0 COUNT 0", "error ERR syntax error");
    expect(&r, "HSCAN h 0 COUNT x", "error ERR value is not an integer or out of range");
    expect(&r, "HSCAN h 0 MATCH", "error ERR syntax error");
}

/* Follows cursors to the end and counts how often each of f0 .. f<n-1> came. */
static void scan_all(unsigned n, unsigned *seen, unsigned *calls)
{
    char line[64], cursor[32] = "0";
    *calls = 0;
    do {
        snprintf(line, sizeof line, "HSCAN h %s COUNT 20", cursor);
        const char *text = run(&r, line);
        cr_assert(sscanf(text, "[%31[0-9]", cursor) == 1, "%s", text);
        for (const char *p = text; (p = strstr(p, "f")) != NULL; p++) {
            unsigned i = (unsigned)strtoul(p + 1, NULL, 10);
            cr_assert(i < n);
            seen[i]++;
        }
        ++*calls;
    } while (strcmp(cursor, "0") != 0);
}

Test(cmd_hash, scanning_a_large_hash_finds_every_field)
{
    enum { N = 1000 };
    static unsigned seen[N];
    unsigned calls;
    char line[64];
    for (unsigned i = 0; i < N; i++) {
        snprintf(line, sizeof line, "HSET h f%u %u", i, i);
        expect(&r, line, "1");
    }
    scan_all(N, seen, &calls);
    for (unsigned i = 0; i < N; i++)
        cr_expect(seen[i] >= 1, "f%u was not visited", i);
    cr_expect(calls > 10, "all came in %u calls", calls);
    expect(&r, "HLEN h", "1000");
}

Test(cmd_hash, counters_add_up_and_updates_win_over_deletes)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "HSET h n 10 f old", "2");
    run_sync(both, 2);
    expect(&r, "HINCRBY h n 1", "11");
    expect(&other, "HINCRBY h n 2", "12");
    expect(&r, "HDEL h f", "1");
    expect(&other, "HSET h f new", "0");
    run_sync(both, 2);
    expect(&r, "HMGET h n f", "[13 new]");
    expect(&other, "HMGET h n f", "[13 new]");
    run_stop(&other);
}
