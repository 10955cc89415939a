/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"

#include <criterion/criterion.h>

Test(buf, is_a_queue_of_bytes)
{
    struct buf b = {0};
    struct rng rng;
    rng_init(&rng, 1);
    uint8_t in = 0, out = 0;
    size_t len = 0;
    for (unsigned round = 0; round < 5000; round++) {
        size_t n = rng_below(&rng, 300);
        for (size_t i = 0; i < n; i++)
            buf_put_u8(&b, in++);
        len += n;
        cr_assert_eq(buf_len(&b), len);
        n = rng_below(&rng, len + 1);
        struct bytes s = buf_bytes(&b);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(s.p[i], out++);
        buf_consume(&b, n);
        len -= n;
    }
    buf_deinit(&b);
    cr_assert_eq(buf_len(&b), 0);
}

Test(buf, reserve_gives_room_and_keeps_what_is_there)
{
    struct buf b = {0};
    buf_put_str(&b, "abc");
    buf_consume(&b, 1);
    uint8_t *p = buf_reserve(&b, 100000);
    memset(p, 'x', 100000);
    buf_added(&b, 100000);
    struct bytes s = buf_bytes(&b);
    cr_assert_eq(s.n, 100002);
    cr_assert_eq(memcmp(s.p, "bcx", 3), 0);
    cr_assert_eq(s.p[100001], 'x');
    buf_clear(&b);
    cr_assert_eq(buf_len(&b), 0);
    buf_put_bytes(&b, bytes_of(NULL, 0));
    buf_putf(&b, "%s %d", "n", 42);
    cr_assert(bytes_is(buf_bytes(&b), "n 42"));
    buf_deinit(&b);
}

Test(buf, growing_is_amortised)
{
    struct buf b = {0};
    size_t moves = 0, cap = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        buf_put_u8(&b, 1);
        moves += b.cap != cap;
        cap = b.cap;
    }
    cr_assert_lt(moves, 40);
    cr_assert_leq(b.cap, 1600000u);
    buf_deinit(&b);
}

Test(buf, reuse_gives_large_memory_back)
{
    struct buf b = {0};
    buf_put_str(&b, "small");
    buf_reuse(&b, 4096);
    cr_assert_eq(buf_len(&b), 0);
    cr_assert_not_null(b.p);
    buf_reserve(&b, 10000);
    buf_reuse(&b, 4096);
    cr_assert_null(b.p);
    cr_assert_eq(b.cap, 0);
}
