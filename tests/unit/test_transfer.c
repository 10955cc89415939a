/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>

#define KEYS 2000u

static struct run a, b;

static void start(void)
{
    struct shard_opts o = {.geo = true, .partitions = 1, .count = 1};
    run_start_with(&a, &o);
    o.region = 2;
    run_start_with(&b, &o);
}

static void stop(void)
{
    run_stop(&a);
    run_stop(&b);
}

TestSuite(transfer, .init = start, .fini = stop);

static void write_keys(struct run *r, const char *value)
{
    char line[64];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "SET k%u %s", i, value);
        run_raw(r, line);
    }
}

static unsigned count_value(struct run *r, const char *value)
{
    char line[64];
    unsigned n = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "GET k%u", i);
        n += strcmp(run(r, line), value) == 0;
    }
    return n;
}

Test(transfer, copies_the_partition_as_it_was)
{
    struct buf state = {0};
    write_keys(&a, "old");
    struct transfer *t = transfer_begin(a.shard, 0, a.now);
    cr_assert(transfer_next(t, &state, 5000));
    cr_expect_lt(buf_len(&state), 6000u, "in slices");
    write_keys(&a, "new");
    expect(&a, "SET born later", "OK");
    expect(&a, "DEL k7 k8", "2");
    cr_expect_gt(transfer_buffered(t), 0u);
    while (transfer_next(t, &state, 5000))
        continue;
    cr_assert(shard_join(b.shard, 0, buf_bytes(&state), transfer_context(t), b.now));
    cr_expect(context_eq(shard_context(b.shard, 0), transfer_context(t)));
    transfer_end(t);
    cr_expect_eq(count_value(&b, "old"), KEYS);
    expect(&b, "EXISTS born", "0");
    cr_expect(run_ship(&a, &b), "what follows the copy fits");
    cr_expect_eq(count_value(&b, "new"), KEYS - 2);
    buf_deinit(&state);
}

Test(transfer, goes_on_over_a_flush)
{
    struct buf state = {0};
    write_keys(&a, "old");
    struct transfer *t = transfer_begin(a.shard, 0, a.now);
    struct transfer *second = transfer_begin(a.shard, 0, a.now);
    cr_assert(transfer_next(t, &state, 5000));
    expect(&a, "SET k3 changed", "OK");
    expect(&a, "FLUSHALL", "OK");
    run_wait(&a, 1);
    expect(&a, "SET k4 after", "OK");
    transfer_end(second);
    while (transfer_next(t, &state, 5000))
        run_wait(&a, 1);
    cr_assert(shard_join(b.shard, 0, buf_bytes(&state), transfer_context(t), b.now));
    transfer_end(t);
    run_wait(&a, 1);
    cr_expect_eq(count_value(&b, "old"), KEYS);
    cr_expect(run_ship(&a, &b));
    expect(&b, "DBSIZE", "1");
    buf_deinit(&state);
}

Test(transfer, joining_keeps_what_the_other_has_not_seen)
{
    struct buf state = {0};
    expect(&a, "SADD s a", "1");
    expect(&a, "SET gone x", "OK");
    cr_expect(run_ship(&a, &b));
    expect(&b, "SADD s b", "1");
    expect(&b, "INCRBY n 5", "5");
    expect(&a, "DEL gone", "1");
    expect(&a, "INCRBY n 2", "2");
    struct transfer *t = transfer_begin(a.shard, 0, a.now);
    while (transfer_next(t, &state, 100))
        continue;
    cr_assert(shard_join(b.shard, 0, buf_bytes(&state), transfer_context(t), b.now));
    transfer_end(t);
    expect(&b, "SCARD s", "2");
    expect(&b, "EXISTS gone", "0");
    expect(&b, "GET n", "7");
    cr_expect(run_ship(&b, &a), "its own writes are still in its log");
    expect(&a, "GET n", "7");
    cr_expect(hash128_eq(shard_digest(a.shard, 0), shard_digest(b.shard, 0)));
    buf_deinit(&state);
}

Test(transfer, malformed_states_change_nothing)
{
    struct buf state = {0};
    expect(&a, "SET k v", "OK");
    expect(&a, "RPUSH l 1 2 3", "3");
    struct transfer *t = transfer_begin(a.shard, 0, a.now);
    while (transfer_next(t, &state, 100))
        continue;
    struct bytes whole = buf_bytes(&state);
    size_t first = 4 + ((size_t)whole.p[2] << 8 | whole.p[3]); /* one whole key: that is sound */
    for (size_t n = 1; n < whole.n; n++)
        cr_expect(n == first ||
                  !shard_join(b.shard, 0, bytes_of(whole.p, n), transfer_context(t), b.now));
    expect(&b, "DBSIZE", "0");
    cr_expect(!shard_join(b.shard, 9, whole, transfer_context(t), b.now), "not a partition");
    struct buf twice = {0};
    buf_put_bytes(&twice, whole);
    buf_put_bytes(&twice, whole);
    cr_expect(!shard_join(b.shard, 0, buf_bytes(&twice), transfer_context(t), b.now));
    buf_deinit(&twice);
    cr_expect_eq(shard_context(b.shard, 0)->n, 0);
    transfer_end(t);
    buf_deinit(&state);
}
