/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>

/* The feed of conflicts: what is told of them, once in every region that sees both sides. */

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

TestSuite(conflicts, .init = start, .fini = stop);

/* "kind type key field: region:value > region:value; " of each */
static const char *told(const struct run *r, const char *prefix)
{
    static const char *const kinds[] = {"register", "type", "deadline"};
    static struct buf text;
    struct buf records = {0};
    shard_conflicts(r->shard, 0, bytes_str(prefix), 1000, false, &records);
    buf_clear(&text);
    for (size_t at = 0; at < buf_len(&records);) {
        struct conflict_record x;
        memcpy(&x, records.p + at, sizeof x);
        at += sizeof x;
        const char *t[4];
        for (unsigned i = 0; i < 4; at += x.len[i++])
            t[i] = (const char *)records.p + at;
        buf_putf(&text, "%s %s %.*s %.*s: %u:%.*s > %u:%.*s; ", kinds[x.kind],
                 type_name((enum type)x.type), x.len[0], t[0], x.type == TYPE_LIST ? 0 : x.len[1],
                 t[1], actor_region(stamp_actor(x.won)), x.len[2], t[2],
                 actor_region(stamp_actor(x.lost)), x.len[3], t[3]);
    }
    buf_put_u8(&text, 0);
    buf_deinit(&records);
    return (const char *)text.p;
}

static void expect_told(const char *prefix, const char *wanted)
{
    for (unsigned i = 0; i < 3; i++)
        cr_expect_str_eq(told(all[i], prefix), wanted, "region %u: %s", i + 1,
                         told(all[i], prefix));
}

Test(conflicts, registers_that_lost)
{
    run(&a, "SET s from-a");
    run(&b, "SET s from-b"); /* later */
    run(&b, "HSET h f 1 g 1");
    run_wait(&a, 10);
    run(&a, "HSET h f 2");
    run(&a, "ZADD z 1.5 m");
    run_wait(&b, 20);
    run(&b, "ZADD z 2 m");
    run_sync(all, 3);
    expect_told("s", "register string s : 2:from-b > 1:from-a; ");
    expect_told("h", "register hash h f: 1:2 > 2:1; ");
    expect_told("z", "register zset z m: 2:2 > 1:1.5; ");
}

Test(conflicts, equal_values_lose_nothing)
{
    run(&a, "SET s same");
    run(&b, "SET s same");
    run(&a, "SADD m x");
    run(&b, "SADD m x");
    run(&a, "INCR n");
    run(&b, "INCRBY n 5");
    run_sync(all, 3);
    expect_told("", "");
}

Test(conflicts, what_was_seen_is_none)
{
    run(&a, "SET s 1");
    run_sync(all, 3);
    run(&b, "SET s 2");
    run_sync(all, 3);
    run(&a, "DEL s");
    run_sync(all, 3);
    expect_told("", "");
}

Test(conflicts, types_that_hide_each_other)
{
    run(&a, "RPUSH k x");
    run(&b, "SADD k y");
    run_sync(all, 3);
    expect_told("", "type set k : 2:set > 1:list; ");
}

Test(conflicts, deadlines_that_lost)
{
    run(&a, "SET k v");
    run_sync(all, 3);
    run(&a, "PEXPIREAT k 1900000000000");
    run(&b, "PEXPIREAT k 1800000000000");
    run(&c, "PERSIST k"); /* nothing to do: there is no deadline there */
    run_sync(all, 3);
    expect_told("", "deadline string k : 1:1900000000000 > 2:1800000000000; ");
}

Test(conflicts, met_in_a_joined_state)
{
    struct buf state = {0};
    run(&a, "SET s from-a");
    run(&a, "RPUSH k x");
    run(&b, "SET s from-b");
    run(&b, "SADD k y");
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++) {
        struct transfer *t = transfer_begin(b.shard, p, b.now);
        buf_clear(&state);
        while (transfer_next(t, &state, SIZE_MAX))
            continue;
        cr_assert(shard_join(a.shard, p, buf_bytes(&state), transfer_context(t), a.now));
        transfer_end(t);
    }
    buf_deinit(&state);
    cr_expect_str_eq(told(&a, "s"), "register string s : 2:from-b > 1:from-a; ");
    cr_expect_str_eq(told(&a, "k"), "type set k : 2:set > 1:list; ");
}

Test(conflicts, the_feed_is_bounded_and_its_ids_grow)
{
    char line[400], value[301];
    memset(value, 'v', 300);
    value[300] = 0;
    for (unsigned i = 0; i < CONFLICTS_MAX + 50; i++) {
        snprintf(line, sizeof line, "SET key%u a%s", i, value);
        run(&a, line);
        snprintf(line, sizeof line, "SET key%u b%s", i, value);
        run(&b, line);
    }
    cr_assert(run_ship(&b, &a));
    struct shard_stats stats;
    shard_stats(a.shard, &stats);
    cr_expect_eq(stats.conflicts.register_lost, CONFLICTS_MAX + 50);
    struct buf records = {0};
    shard_conflicts(a.shard, 0, bytes_of(NULL, 0), SIZE_MAX, false, &records);
    cr_expect_lt(buf_len(&records), CONFLICTS_BYTES);
    uint64_t last = 0, third = 0;
    unsigned n = 0;
    for (size_t at = 0; at < buf_len(&records); n++) {
        struct conflict_record x;
        memcpy(&x, records.p + at, sizeof x);
        cr_assert_gt(x.id, last);
        cr_expect(x.len[CONFLICT_WON] == CONFLICT_TEXT_MAX && (x.cut >> CONFLICT_WON & 1));
        last = x.id;
        third = n == 2 ? last : third;
        at += sizeof x + x.len[0] + x.len[1] + x.len[2] + x.len[3];
    }
    cr_expect(n > 1000 && n <= CONFLICTS_MAX, "%u", n);
    buf_clear(&records);
    struct conflict_record first;
    shard_conflicts(a.shard, third, bytes_of(NULL, 0), 1, false, &records);
    memcpy(&first, records.p, sizeof first);
    cr_expect_gt(first.id, third);
    buf_clear(&records);
    shard_conflicts(a.shard, 0, bytes_str("key"), 1, true, &records);
    memcpy(&first, records.p, sizeof first);
    cr_expect_eq(first.id, last);
    buf_deinit(&records);
}

/* ------------------------------------------------------------ CRDT.INSPECT */

Test(inspect, shows_what_concurrent_writes_left, .init = start, .fini = stop)
{
    run(&a, "SET s one");
    run(&b, "SET s two");
    run(&b, "EXPIRE s 100");
    cr_assert(run_ship(&b, &a));
    const char *got = run(&a, "CRDT.INSPECT s");
    cr_expect_not_null(strstr(got, "[type string siblings [[region 2 stamp "), "%s", got);
    cr_expect_not_null(strstr(got, "length 3 value two] [region 1 stamp "), "%s", got);
    cr_expect_not_null(strstr(got, "length 3 value one]] increments []]"), "%s", got);
    cr_expect_not_null(strstr(got, "deadlines [[region 2 stamp "), "%s", got);
    cr_expect_not_null(strstr(got, "shown 1]] settled 0 waits-for-regions []]"), "%s", got);
    run(&a, "INCRBY n 5");
    run(&b, "INCRBY n 7");
    cr_assert(run_ship(&b, &a));
    got = run(&a, "CRDT.INSPECT n");
    cr_expect_not_null(strstr(got, "siblings [] increments [[region 1 stamp "), "%s", got);
    cr_expect_not_null(strstr(got, "amount 5] [region 2 stamp "), "%s", got);
}

Test(inspect, shows_elements_on_demand, .init = start, .fini = stop)
{
    run(&a, "SADD k x");
    run(&b, "RPUSH k y");
    cr_assert(run_ship(&b, &a));
    const char *got = run(&a, "CRDT.INSPECT k");
    cr_expect_not_null(strstr(got, " type set bytes "), "%s", got);
    cr_expect_not_null(strstr(got, "[type set length 1 elements [[element x bytes "), "%s", got);
    cr_expect_not_null(strstr(got, "[type list length 1 elements [[element y bytes "), "%s", got);
    for (unsigned i = 0; i < 200; i++) {
        char line[64];
        snprintf(line, sizeof line, "HSET h f%u %u", i, i);
        run(&a, line);
    }
    got = run(&a, "CRDT.INSPECT h");
    unsigned n = 0;
    for (const char *p = got; (p = strstr(p, "[element f")) != NULL; p++)
        n++;
    cr_expect_eq(n, 64);
    got = run(&a, "CRDT.INSPECT h f77");
    cr_expect_not_null(strstr(got, "length 200 elements [[element f77 bytes "), "%s", got);
    cr_expect_not_null(strstr(got, "length 2 value 77]]"), "%s", got);
    expect(&a, "CRDT.INSPECT none", "nil");
    expect(&a, "CRDT.INSPECT h f77 x", "error ERR syntax error");
}
