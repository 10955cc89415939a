/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/regions.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Comparing regions: equal, different (which cannot be, and is therefore forged), not comparable.
 */

static struct buf told; /* "region/partition:result[keys] " */
static struct regions *g;

static void verified(void *arg, uint64_t ticket, struct bytes records)
{
    static const char *const results[] = {"equal", "differs", "unlike", "no-link"};
    (void)arg;
    cr_expect_eq(ticket, 42);
    while (records.n > 0) {
        struct compare_record r;
        memcpy(&r, records.p, sizeof r);
        buf_putf(&told, "%u/%u:%s", r.region, r.partition, results[r.result]);
        struct bytes names = bytes_of(records.p + sizeof r, r.bytes);
        records = bytes_of(names.p + r.bytes, records.n - sizeof r - r.bytes);
        for (uint32_t i = 0; i < r.keys; i++) {
            uint32_t n;
            memcpy(&n, names.p, sizeof n);
            buf_putf(&told, "%c%.*s", i ? ',' : '=', (int)n, (const char *)names.p + sizeof n);
            names = bytes_of(names.p + sizeof n + n, names.n - sizeof n - n);
        }
        buf_put_u8(&told, ' ');
    }
}

/* Region 3 is a member that is not there: what it wrote is forged. */
static void start(void)
{
    g = regions_new(&(struct regions_opts){.n = 3, .partitions = 2, .seed = 5, .off = 1u << 3});
    syncer_hear_verified(g->at[1].syncers[0], verified, NULL);
    regions_run(g, 2000);
}

static void stop(void)
{
    regions_free(g);
    buf_deinit(&told);
}

TestSuite(verify, .init = start, .fini = stop);

static const char *verify(uint32_t region, uint32_t keys_max)
{
    buf_clear(&told);
    syncer_verify(g->at[1].syncers[0], g->at[1].port, region, 42, keys_max);
    regions_run(g, 1000);
    buf_put_u8(&told, 0);
    return (const char *)told.p;
}

/* One frame of region 3 that only region `r` gets so: SETs of the words, which share a partition.
 */
static void forge(uint32_t r, unsigned n, const char *const *keys, const char *value)
{
    struct buf ops = {0};
    uint64_t ms = (uint64_t)(world_wall_ms(g->world, g->at[r].host) - STAMP_EPOCH_MS);
    static uint64_t same;
    same = same == 0 ? ms : same;
    stamp_t first = stamp_make(same, 1, actor_make(3, 0)), base = first - 1;
    for (unsigned i = 0; i < 4; i++) { /* as many operations everywhere: some are repeated */
        struct op op = {.stamp = stamp_make(same, 1 + i, actor_make(3, 0)),
                        .kind = OP_SET,
                        .key = bytes_str(keys[i % n]),
                        .val = bytes_str(value)};
        op_encode(&ops, &op, base);
        base = op.stamp;
    }
    struct frame f = {.partition = slot_partition(hash_slot(bytes_str(keys[0])), 2),
                      .ops_count = 4,
                      .prev = stamp_make(0, 0, actor_make(3, 0)),
                      .first = first,
                      .last = base,
                      .ops = buf_bytes(&ops)};
    cr_assert_eq(shard_take(g->at[r].shards[0], &f,
                            (struct moment){.wall_ms = (int64_t)ms + STAMP_EPOCH_MS}),
                 TAKE_DONE);
    buf_deinit(&ops);
}

Test(verify, regions_that_show_the_same_are_equal)
{
    char line[64];
    for (unsigned i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "SET key%u value%u", i, i);
        regions_do(g, 1 + i % 2, line);
    }
    regions_run(g, 1000);
    cr_expect_str_eq(verify(2, 16), "2/0:equal 2/1:equal 2/2:equal ");
    cr_expect_str_eq(verify(3, 16), "3/0:no-link 3/1:no-link 3/2:no-link ");
}

Test(verify, what_differs_is_named)
{
    char wanted[128];
    unsigned p = slot_partition(hash_slot(bytes_str("{k}")), 2);
    forge(1, 3, (const char *const[]){"{k}1", "{k}2", "{k}mine"}, "x");
    forge(2, 4, (const char *const[]){"{k}1", "{k}2", "{k}theirs", "{k}3"}, "x");
    regions_do(g, 1, "SET {k}equal 1");
    regions_run(g, 1000);
    const char *got = verify(2, 16);
    snprintf(wanted, sizeof wanted, "2/%u:differs=", p);
    cr_assert_not_null(strstr(got, wanted), "%s", got);
    cr_expect_not_null(strstr(got, "{k}theirs"), "%s", got);
    cr_expect_not_null(strstr(got, "{k}3"), "%s", got);
    cr_expect_not_null(strstr(got, "{k}mine"), "%s", got);
    cr_expect_null(strstr(got, "{k}1"), "%s", got);
    cr_expect_null(strstr(got, "{k}equal"), "%s", got);
    snprintf(wanted, sizeof wanted, "2/%u:equal ", 1 - p);
    cr_expect_not_null(strstr(got, wanted), "%s", got);
    got = verify(2, 1);
    cr_expect_null(strchr(got, ','), "one key at most: %s", got);
}

Test(verify, what_was_not_exchanged_cannot_be_compared)
{
    regions_pause(g, 2, 1, true); /* 2 hears nothing of 1 */
    regions_run(g, 100);
    regions_do(g, 1, "SET k v");
    char wanted[32];
    snprintf(wanted, sizeof wanted, "2/%u:unlike ", slot_partition(hash_slot(bytes_str("k")), 2));
    const char *got = verify(2, 16);
    cr_expect_not_null(strstr(got, wanted), "%s", got);
}
