/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <criterion/criterion.h>

/* One shard of region 1, and frames of region 2 that arrive in any order. */
struct bench {
    struct shard *shard;
    struct syncer *s;
    struct moment now;
};

static struct bench bench_new(size_t wait_max)
{
    static struct syncer_config config;
    config = (struct syncer_config){
        .guid = "g", .region = 1, .actor = 1, .partitions = 1, .wait_max = wait_max};
    struct bench b = {.now = {.wall_ms = STAMP_EPOCH_MS + 100000}};
    b.shard = shard_new(
        &(struct shard_opts){.region = 1, .actor = 1, .partitions = 1, .count = 1, .geo = true});
    b.s = syncer_new(b.shard, 0, 1, &config, 1);
    return b;
}

static void bench_free(struct bench *b)
{
    syncer_free(b->s, NULL);
    shard_free(b->shard);
}

/* The n-th operation of an actor, n from 1 on: SADD s <n>. */
static struct frame nth(struct buf *ops, uint32_t actor, uint32_t n, const stamp_t *dep)
{
    stamp_t s = stamp_make(n, 0, actor);
    struct op op = {.stamp = s,
                    .kind = OP_SADD,
                    .key = bytes_str("s"),
                    .elem = bytes_of((uint8_t[]){(uint8_t)actor, (uint8_t)n}, 2)};
    buf_clear(ops);
    op_encode(ops, &op, s - 1);
    return (struct frame){.ops_count = 1,
                          .prev = stamp_make(n - 1, 0, actor),
                          .first = s,
                          .last = s,
                          .wall_ms = stamp_wall_ms(s),
                          .deps = dep,
                          .deps_count = dep != NULL,
                          .ops = buf_bytes(ops)};
}

Test(wait, frames_are_taken_in_their_order_whatever_order_they_came_in)
{
    struct bench b = bench_new(0);
    struct buf ops = {0};
    static const uint32_t order[] = {3, 5, 2, 4, 5, 3};
    for (unsigned i = 0; i < 6; i++) {
        struct frame f = nth(&ops, 2, order[i], NULL);
        cr_assert_eq(syncer_take(b.s, &f, true, b.now), TAKEN_WAITS);
        cr_assert(wait_add(b.s, &f, true, 2));
    }
    cr_assert_eq(b.s->waiting_frames, 4u); /* the same frame by two links is kept once */
    struct frame first = nth(&ops, 2, 1, NULL);
    cr_assert_eq(syncer_take(b.s, &first, true, b.now), TAKEN_DONE);
    wait_retry(b.s, 0, b.now);
    cr_assert_eq(b.s->waiting_frames, 0u);
    cr_assert_eq(b.s->waiting_bytes, 0u);
    cr_assert_eq(context_get(shard_context(b.shard, 0), 2), stamp_make(5, 0, 2));
    buf_deinit(&ops);
    bench_free(&b);
}

Test(wait, causes_release_across_actors)
{
    struct bench b = bench_new(0);
    struct buf ops = {0};
    stamp_t cause = stamp_make(1, 0, 2), effect = stamp_make(1, 0, 3);
    struct frame last = nth(&ops, 4, 1, &effect);
    cr_assert(wait_add(b.s, &last, true, 4));
    struct frame middle = nth(&ops, 3, 1, &cause);
    cr_assert(wait_add(b.s, &middle, true, 3));
    struct frame first = nth(&ops, 2, 1, NULL);
    cr_assert_eq(syncer_take(b.s, &first, true, b.now), TAKEN_DONE);
    wait_retry(b.s, 0, b.now);
    cr_assert_eq(shard_context(b.shard, 0)->n, 3);
    cr_assert_eq(b.s->waiting_frames, 0u);
    buf_deinit(&ops);
    bench_free(&b);
}

Test(wait, there_is_a_limit_and_what_is_over_it_is_not_kept)
{
    struct bench b = bench_new(1000);
    struct buf ops = {0};
    uint32_t n = 2;
    for (;; n++) {
        struct frame f = nth(&ops, 2, n, NULL);
        if (!wait_add(b.s, &f, true, 2))
            break;
        cr_assert_lt(n, 100u);
    }
    cr_assert_leq(b.s->waiting_bytes, 1000u);
    cr_assert_eq(b.s->waiting_frames, n - 2);
    cr_assert_eq(b.s->peers[2].totals.waiting_bytes, b.s->waiting_bytes);
    buf_deinit(&ops);
    bench_free(&b);
}

Test(wait, what_a_fence_forbids_does_not_wait_on)
{
    struct bench b = bench_new(0);
    struct buf ops = {0};
    struct frame f = nth(&ops, 2, 2, NULL);
    cr_assert(wait_add(b.s, &f, true, 2));
    claims_retire(b.s, NULL, 0, life_make(2, 0), b.now);
    cr_assert_eq(b.s->waiting_frames, 0u);
    cr_assert_eq(syncer_take(b.s, &f, true, b.now), TAKEN_FENCED);
    cr_assert_eq(syncer_take(b.s, &f, false, b.now), TAKEN_FENCED); /* beyond all reports */
    buf_deinit(&ops);
    bench_free(&b);
}
