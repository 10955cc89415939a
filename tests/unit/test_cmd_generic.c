/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_generic, .init = start, .fini = stop);

Test(cmd_generic, deleting_and_counting)
{
    expect(&r, "MSET a 1 b 2 c 3", "OK");
    expect(&r, "EXISTS a b a none", "3");
    expect(&r, "TOUCH a none", "1");
    expect(&r, "DBSIZE", "3");
    expect(&r, "DEL a a none", "1");
    expect(&r, "UNLINK b c", "2");
    expect(&r, "DBSIZE", "0");
    expect(&r, "TYPE a", "none");
    expect(&r, "RANDOMKEY", "nil");
    expect(&r, "SET only 1", "OK");
    expect(&r, "RANDOMKEY", "only");
}

Test(cmd_generic, rename)
{
    expect(&r, "SET a v EX 100", "OK");
    expect(&r, "RENAME none b", "error ERR no such key");
    expect(&r, "RENAME a b", "OK");
    expect(&r, "GET b", "v");
    expect(&r, "TTL b", "100");
    expect(&r, "EXISTS a", "0");
    expect(&r, "RENAME b b", "OK");
    expect(&r, "RENAMENX b b", "0");
    expect(&r, "RENAMENX none b", "error ERR no such key");
    expect(&r, "SET c w", "OK");
    expect(&r, "RENAMENX b c", "0");
    expect(&r, "RENAME c b", "OK");
    expect(&r, "GET b", "w");
    expect(&r, "TTL b", "-1");
}

Test(cmd_generic, copies_every_type)
{
    expect(&r, "RPUSH l 1 2 3 2", "4");
    expect(&r, "HSET h f v g w", "2");
    expect(&r, "ZADD z 1.5 m 2 n", "2");
    expect(&r, "SADD s a", "1");
    expect(&r, "PFADD p a b c", "1");
    expect(&r, "INCRBY n 5", "5");
    expect(&r, "COPY l l2", "1");
    expect(&r, "LRANGE l2 0 -1", "[1 2 3 2]");
    expect(&r, "COPY h h2", "1");
    expect(&r, "HMGET h2 f g", "[v w]");
    expect(&r, "COPY z z2", "1");
    expect(&r, "ZRANGE z2 0 -1 WITHSCORES", "[m 1.5 n 2]");
    expect(&r, "COPY s s2", "1");
    expect(&r, "SMEMBERS s2", "[a]");
    expect(&r, "COPY p p2", "1");
    expect(&r, "PFCOUNT p2", "3");
    expect(&r, "COPY n n2", "1");
    expect(&r, "INCR n2", "6");
    expect(&r, "GET n", "5");
    expect(&r, "COPY n l2", "0");
    expect(&r, "COPY n l2 REPLACE", "1");
    expect(&r, "TYPE l2", "string");
    expect(&r, "COPY h l2 REPLACE DB 0", "1");
    expect(&r, "TYPE l2", "hash");
    expect(&r, "COPY none x", "0");
    expect(&r, "COPY n n", "error ERR source and destination objects are the same");
    expect(&r, "COPY n x DB 3", "error ERR DB index is out of range");
    expect(&r, "COPY n x FOO", "error ERR syntax error");
}

Test(cmd_generic, object)
{
    expect(&r, "SET k 123", "OK");
    expect(&r, "OBJECT ENCODING k", "int");
    expect(&r, "OBJECT REFCOUNT k", "1");
    expect(&r, "OBJECT ENCODING none", "nil");
    expect(&r, "RPUSH l a", "1");
    expect(&r, "OBJECT ENCODING l", "quicklist");
    expect(&r, "SADD s 1 2", "2");
    expect(&r, "OBJECT ENCODING s", "intset");
    expect(&r, "SADD s x", "1");
    expect(&r, "OBJECT ENCODING s", "hashtable");
    expect(&r, "HSET h f v", "1");
    expect(&r, "OBJECT ENCODING h", "listpack");
    expect(&r, "ZADD z 1 m", "1");
    expect(&r, "OBJECT ENCODING z", "listpack");
    struct shard_looks looks = {.hash_value = 64, .zset_entries = 128, .zset_value = 0};
    shard_set_looks(r.shard, &looks);
    expect(&r, "OBJECT ENCODING h", "hashtable");
    expect(&r, "OBJECT ENCODING z", "skiplist");
    expect(&r, "SREM s x", "1");
    expect(&r, "OBJECT ENCODING s", "hashtable");
}

Test(cmd_generic, keys_by_pattern)
{
    expect(&r, "MSET one 1 two 2 three 3 four 4", "OK");
    expect(&r, "KEYS t*e", "[three]");
    expect(&r, "KEYS none*", "[]");
    expect(&r, "SET one 1 PX 1", "OK");
    expect(&r, "KEYS *n*", "[]");
    expect(&r, "FLUSHALL FOO", "error ERR syntax error");
    expect(&r, "FLUSHALL ASYNC", "OK");
    expect(&r, "KEYS *", "[]");
}

#define SCAN_KEYS 3000u

/* Scans to the end, counting how often each of "key:<i>" is returned; between the calls `churn`
 * adds and removes others. */
static void scan_all(const char *options, uint8_t *seen, bool churn)
{
    char line[128];
    unsigned long long cursor = 0;
    unsigned calls = 0, other = 0;
    do {
        snprintf(line, sizeof line, "SCAN %llu %s", cursor, options);
        const char *reply = run(&r, line);
        cr_assert_eq(reply[0], '[', "%s", reply);
        cursor = strtoull(reply + 1, NULL, 10);
        cr_assert_lt(cursor, 1ull << 53);
        for (const char *at = reply; (at = strstr(at, "key:")) != NULL; at += 4)
            seen[strtoul(at + 4, NULL, 10)] = 1;
        for (unsigned i = 0; churn && i < 50; i++, other++) {
            snprintf(line, sizeof line, other % 200 < 100 ? "SET other:%u x" : "DEL other:%u",
                     other % 100);
            run(&r, line);
        }
        cr_assert_lt(++calls, 2 * SCAN_KEYS);
    } while (cursor != 0);
}

Test(cmd_generic, scan_returns_every_key_that_stays)
{
    uint8_t seen[SCAN_KEYS] = {0};
    char line[64];
    for (unsigned i = 0; i < SCAN_KEYS; i++) {
        snprintf(line, sizeof line, "SET key:%u x", i);
        run(&r, line);
    }
    scan_all("", seen, true);
    for (unsigned i = 0; i < SCAN_KEYS; i++)
        cr_assert(seen[i], "key:%u was never returned", i);
    memset(seen, 0, sizeof seen);
    scan_all("COUNT 1000 TYPE string MATCH key:1*", seen, false);
    for (unsigned i = 0; i < SCAN_KEYS; i++) {
        snprintf(line, sizeof line, "%u", i);
        cr_assert_eq(seen[i], line[0] == '1', "key:%u", i);
    }
    memset(seen, 0, sizeof seen);
    scan_all("TYPE hash", seen, false);
    for (unsigned i = 0; i < SCAN_KEYS; i++)
        cr_assert(!seen[i]);
}

Test(cmd_generic, scan_refuses_nonsense)
{
    expect(&r, "SCAN x", "error ERR invalid cursor");
    expect(&r, "SCAN 0 COUNT 0", "error ERR syntax error");
    expect(&r, "SCAN 0 COUNT", "error ERR syntax error");
    expect(&r, "SCAN 0 COUNT x", "error ERR value is not an integer or out of range");
    expect(&r, "SCAN 0 FOO 1", "error ERR syntax error");
    expect(&r, "SCAN 9007199254740991", "[0 []]");
    expect(&r, "SCAN 9223372036854775807", "[0 []]");
}

Test(cmd_generic, memory)
{
    expect(&r, "MEMORY USAGE none", "nil");
    expect(&r, "SET k v", "OK");
    cr_expect_gt(atoi(run(&r, "MEMORY USAGE k")), 0);
}

/* ------------------------------------------------------------ RENAME without other regions */

/* The state of all partitions goes to another region, as it would when one is added. */
static void hand_over(struct run *from, struct run *to)
{
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++) {
        struct buf state = {0};
        struct transfer *t = transfer_begin(from->shard, p, from->now);
        while (transfer_next(t, &state, 1000))
            continue;
        cr_assert(shard_join(to->shard, p, buf_bytes(&state), transfer_context(t), to->now));
        transfer_end(t);
        buf_deinit(&state);
    }
}

Test(rename, moves_keys_as_they_are)
{
    struct run alone, peer;
    struct run *both[] = {&alone, &peer};
    char line[64];
    run_start(&alone, 1, false);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "HSET h f%d %d", i, i);
        run(&alone, line);
        snprintf(line, sizeof line, "RPUSH l e%d", i);
        run(&alone, line);
    }
    run(&alone, "SET s value EX 1000");
    run(&alone, "INCRBY n 5");
    run(&alone, "ZADD z 1 a 2 b");
    run(&alone, "SET taken x EX 5");
    expect(&alone, "RENAME h h2", "OK");
    expect(&alone, "RENAME l a-longer-name-than-before", "OK");
    expect(&alone, "RENAME s taken", "OK");
    expect(&alone, "RENAME n m", "OK");
    expect(&alone, "RENAMENX z taken", "0");
    expect(&alone, "RENAMENX z y", "1");
    expect(&alone, "DBSIZE", "5");
    expect(&alone, "HGET h2 f999", "999");
    expect(&alone, "LINDEX a-longer-name-than-before -1", "e999");
    expect(&alone, "GET taken", "value");
    cr_expect(atoi(run(&alone, "TTL taken")) > 900);
    expect(&alone, "INCR m", "6");
    expect(&alone, "ZRANGE y 0 -1", "[a b]");
    expect(&alone, "EXISTS h l s n z", "0");
    shard_set_geo(alone.shard, true); /* from now on with digests, and others */
    run_start(&peer, 2, true);
    hand_over(&alone, &peer);
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
        cr_expect(hash128_eq(shard_digest(alone.shard, p), shard_digest(peer.shard, p)));
    expect(&peer, "HLEN h2", "1000");
    expect(&peer, "INCR m", "7");
    run(&alone, "HSET h2 f1 new");
    run(&alone, "DEL y");
    run_sync(both, 2);
    expect(&peer, "HGET h2 f1", "new");
    expect(&alone, "GET m", "7");
    run_wait(&alone, 2000000);
    expect(&alone, "EXISTS taken", "0");
    run_stop(&alone);
    run_stop(&peer);
}

/* ------------------------------------------------------------ removals that have not seen all */

static void removed_while_added(const char *add, int before, int meanwhile, const char *count)
{
    struct run a, b;
    struct run *both[] = {&a, &b};
    char line[64], want[16];
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    for (int i = 0; i < before; i++) {
        snprintf(line, sizeof line, "%s%d%s", add, i, add[0] == 'H' ? " v" : "");
        run(&a, line);
    }
    run_sync(both, 2);
    for (int i = 0; i < meanwhile; i++) {
        snprintf(line, sizeof line, "%s%d%s", add, before - 2 + i,
                 add[0] == 'H' ? " v" : ""); /* two of them are there already */
        run(&b, line);
    }
    run(&a, "DEL k");
    run_sync(both, 2);
    snprintf(want, sizeof want, "%d", meanwhile);
    expect(&a, count, want);
    expect(&b, count, want);
    run(&a, "DEL k");
    run_sync(both, 2);
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
        cr_expect(hash128_eq(shard_digest(b.shard, p), (struct hash128){0}));
    run_wait(&b, 1000);
    run_stop(&a);
    run_stop(&b);
}

Test(removal, leaves_what_it_had_not_seen)
{
    static const int meanwhile[] = {2, 3, 100, 700};
    for (size_t i = 0; i < sizeof meanwhile / sizeof meanwhile[0]; i++) {
        removed_while_added("HSET k f", 1000, meanwhile[i], "HLEN k");
        removed_while_added("SADD k m", 1000, meanwhile[i], "SCARD k");
        removed_while_added("ZADD k 1 m", 1000, meanwhile[i], "ZCARD k");
        removed_while_added("RPUSH k e", 1000, meanwhile[i], "LLEN k");
    }
}
