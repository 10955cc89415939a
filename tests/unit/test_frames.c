/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/unit/run.h"

#include <stdio.h>

static struct run a, b;

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

TestSuite(frames, .init = start, .fini = stop);

static unsigned frames_of(struct run *r)
{
    struct frame f;
    unsigned n = 0;
    shard_close_frames(r->shard, r->now);
    for (uint64_t at = 0; log_read(shard_log(r->shard), &at, &f);)
        n++;
    return n;
}

/* The i-th frame of the log. */
static struct frame frame_at(struct run *r, unsigned i)
{
    struct frame f = {0};
    uint64_t at = 0;
    shard_close_frames(r->shard, r->now);
    for (unsigned n = 0; n <= i; n++)
        cr_assert(log_read(shard_log(r->shard), &at, &f));
    return f;
}

Test(frames, a_run_of_writes_is_one_frame)
{
    expect(&a, "SET {x}1 v", "OK");
    expect(&a, "SET {x}2 v", "OK");
    expect(&a, "INCR {x}3", "1");
    cr_expect_eq(frames_of(&a), 1u);
    struct frame f = frame_at(&a, 0);
    cr_expect(f.ops_count == 3 && f.deps_count == 0 && f.flags == 0);
    cr_expect(f.prev == stamp_make(0, 0, 1) && f.first < f.last);
    expect(&a, "SET {x}1 w", "OK");
    cr_expect_eq(frame_at(&a, 1).prev, f.last);
}

Test(frames, a_foreign_frame_closes_the_open_one)
{
    expect(&b, "SET {x}1 v", "OK");
    expect(&a, "SET {x}2 v", "OK");
    cr_expect(run_ship(&b, &a));
    expect(&a, "SET {x}2 w", "OK");
    cr_expect_eq(frames_of(&a), 3u);
    cr_expect_eq(frame_at(&a, 0).deps_count, 0u);
    cr_expect_eq(stamp_actor(frame_at(&a, 1).last), 2u, "foreign frames are kept for relaying");
    struct frame f = frame_at(&a, 2);
    cr_expect(f.deps_count == 1 && stamp_actor(f.deps[0]) == 2);
}

Test(frames, causes_come_first)
{
    struct run c;
    run_start(&c, 3, true);
    expect(&b, "SET {x}1 v", "OK");
    run_ship(&b, &a);
    expect(&a, "APPEND {x}1 w", "2");
    struct frame cause = frame_at(&a, 0), effect = frame_at(&a, 1);
    cr_expect_eq(shard_take(c.shard, &effect, c.now), TAKE_WAITS);
    expect(&c, "EXISTS {x}1", "0");
    cr_expect_eq(shard_take(c.shard, &cause, c.now), TAKE_DONE);
    cr_expect_eq(shard_take(c.shard, &effect, c.now), TAKE_DONE);
    cr_expect_eq(shard_take(c.shard, &effect, c.now), TAKE_COVERED);
    expect(&c, "GET {x}1", "vw");
    run_stop(&c);
}

Test(frames, a_gap_in_an_actors_history_waits)
{
    expect(&a, "SET {x}1 v", "OK");
    shard_close_frames(a.shard, a.now);
    expect(&a, "SET {x}1 w", "OK");
    struct frame second = frame_at(&a, 1);
    cr_expect_eq(shard_take(b.shard, &second, b.now), TAKE_WAITS);
}

Test(frames, malformed_frames_change_nothing)
{
    expect(&a, "SET {x}1 v", "OK");
    expect(&a, "SET {x}2 v", "OK");
    struct frame f = frame_at(&a, 0), bad;
    uint8_t ops[256];
    for (size_t n = 0; n < f.ops.n; n++) { /* cut off anywhere */
        bad = f;
        bad.ops.n = n;
        cr_expect_eq(shard_take(b.shard, &bad, b.now), TAKE_BAD);
    }
    for (size_t i = 0; i < f.ops.n; i++) { /* any byte changed: refused, or another sound frame */
        struct run other;
        run_start(&other, 2, true);
        memcpy(ops, f.ops.p, f.ops.n);
        ops[i] ^= 0x41;
        bad = f;
        bad.ops.p = ops;
        if (shard_take(other.shard, &bad, other.now) == TAKE_BAD)
            expect(&other, "DBSIZE", "0");
        run_stop(&other);
    }
    bad = f;
    bad.ops_count++;
    cr_expect_eq(shard_take(b.shard, &bad, b.now), TAKE_BAD);
    bad = f;
    bad.partition = RUN_PARTITIONS_ALL;
    cr_expect_eq(shard_take(b.shard, &bad, b.now), TAKE_BAD);
    bad = f;
    bad.partition = (f.partition + 1) % RUN_PARTITIONS;
    cr_expect_eq(shard_take(b.shard, &bad, b.now), TAKE_BAD);
    bad = f;
    bad.last += 1024;
    cr_expect_eq(shard_take(b.shard, &bad, b.now), TAKE_BAD);
    bad = f;
    bad.deps = (const stamp_t[]){stamp_make(1, 0, 9), stamp_make(1, 0, 8)};
    bad.deps_count = 2;
    cr_expect_eq(shard_take(b.shard, &bad, b.now), TAKE_BAD);
    expect(&b, "DBSIZE", "0");
    cr_expect_eq(shard_take(b.shard, &f, b.now), TAKE_DONE);
    expect(&b, "DBSIZE", "2");
}

Test(frames, a_transaction_is_a_frame_of_its_own)
{
    expect(&a, "SET {x}1 v", "OK");
    shard_atomic_begin(a.shard, a.now);
    expect(&a, "SET {x}2 v", "OK");
    expect(&a, "SADD {x}3 m", "1");
    shard_atomic_end(a.shard);
    expect(&a, "SET {x}4 v", "OK");
    cr_expect_eq(frames_of(&a), 3u);
    cr_expect(frame_at(&a, 1).flags == FRAME_ATOMIC && frame_at(&a, 1).ops_count == 2);
    cr_expect(frame_at(&a, 0).flags == 0 && frame_at(&a, 2).flags == 0);
}

Test(frames, a_large_frame_is_closed_but_not_within_a_transaction)
{
    size_t n = 100000;
    char *line = mem_alloc(n + 20);
    memset(line, 'x', n);
    memcpy(line, "SET {x}big ", 11);
    line[n] = 0;
    for (unsigned i = 0; i < 6; i++)
        run_raw(&a, line);
    cr_expect_eq(frames_of(&a), 2u);
    shard_atomic_begin(a.shard, a.now);
    for (unsigned i = 0; i < 6; i++)
        run_raw(&a, line);
    shard_atomic_end(a.shard);
    cr_expect_eq(frames_of(&a), 3u);
    mem_free(line);
}

Test(frames, increments_of_one_frame_are_one_segment)
{
    struct shard_stats s;
    for (unsigned i = 0; i < 100; i++)
        run_raw(&a, "INCR n");
    cr_expect_eq(shard_unsettled(a.shard), 0u);
    for (unsigned i = 0; i < 100; i++) {
        run_raw(&a, "INCR n");
        shard_close_frames(a.shard, a.now);
    }
    cr_expect_leq(shard_unsettled(a.shard), 2u);
    cr_expect(run_ship(&a, &b));
    expect(&b, "GET n", "200");
    struct run *both[] = {&a, &b};
    run_stable(both, 2);
    run_sync(both, 2);
    cr_expect_eq(shard_unsettled(a.shard) + shard_unsettled(b.shard), 0u);
    shard_stats(b.shard, &s);
    cr_expect_gt(s.compacted, 0u);
}

Test(frames, stamps_stay_above_what_was_seen)
{
    b.now.wall_ms += 5000;
    expect(&b, "SET {x}1 b", "OK");
    run_ship(&b, &a);
    expect(&a, "SET {x}1 a", "OK");
    run_ship(&a, &b);
    expect(&b, "GET {x}1", "a");
}
