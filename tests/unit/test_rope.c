/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rope.h"

#include "base/mem.h"
#include "base/rng.h"

#include <criterion/criterion.h>

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 131 + i / 251); }

static void put(struct rope *r, size_t n)
{
    uint8_t *bytes = mem_alloc(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(r->bytes + i);
    rope_put(r, bytes_of(bytes, n));
    mem_free(bytes);
}

static void check(const struct rope *r)
{
    size_t at = 0;
    while (at < r->bytes) {
        struct bytes piece = rope_at(r, at);
        cr_assert_gt(piece.n, 0u);
        for (size_t i = 0; i < piece.n; i++)
            cr_assert_eq(piece.p[i], byte_at(at + i));
        at += piece.n;
    }
    cr_assert_eq(at, r->bytes);
}

Test(rope, gives_back_what_was_put)
{
    struct rng rng;
    size_t before = mem_used();
    rng_init(&rng, 7);
    for (unsigned round = 0; round < 30; round++) {
        struct rope r = {0};
        for (unsigned i = 0; i < 40; i++) {
            put(&r, rng_below(&rng, rng_below(&rng, 4) ? 700 : 3 * ROPE_PIECE));
            if (r.bytes > 0) {
                size_t at = rng_below(&rng, r.bytes);
                cr_assert_eq(rope_at(&r, at).p[0], byte_at(at));
            }
        }
        check(&r);
        rope_deinit(&r);
    }
    cr_expect_eq(mem_used(), before);
}

Test(rope, a_short_one_is_small)
{
    struct rope r = {0};
    put(&r, 100);
    cr_expect_lt(rope_memory(&r), 600u);
    put(&r, 300);
    check(&r);
    cr_expect_lt(rope_memory(&r), 1200u);
    rope_deinit(&r);
}

Test(rope, is_freed_a_piece_at_a_time)
{
    struct rope r = {0};
    size_t before = mem_used();
    unsigned steps = 1;
    put(&r, 10 * ROPE_PIECE + 5);
    while (rope_free_step(&r, ROPE_PIECE)) {
        cr_assert_eq(r.pieces, 11 - steps);
        steps++;
    }
    cr_expect_eq(steps, 11u);
    cr_expect_eq(mem_used(), before);
    put(&r, 5); /* valid and empty */
    check(&r);
    rope_deinit(&r);
}
