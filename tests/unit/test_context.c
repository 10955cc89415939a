/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "crdt/context.h"

#include <criterion/criterion.h>

enum { ACTORS = 12 };

/* The specification: one stamp an actor, in a plain array. */
struct plain {
    stamp_t at[ACTORS];
};

static void draw(struct rng *rng, struct context *c, struct plain *p)
{
    context_clear(c);
    *p = (struct plain){0};
    for (uint64_t i = rng_below(rng, 15); i > 0; i--) {
        uint32_t actor = (uint32_t)rng_below(rng, ACTORS);
        stamp_t s = stamp_make(rng_below(rng, 4), (uint32_t)rng_below(rng, 3), actor);
        context_raise(c, s);
        if (!stamp_is_zero(s) && s > p->at[actor])
            p->at[actor] = s;
    }
}

static void check(const struct context *c, const struct plain *p)
{
    unsigned n = 0;
    for (uint32_t a = 0; a < ACTORS; a++) {
        cr_assert_eq(context_get(c, a), p->at[a]);
        n += p->at[a] != 0;
        for (uint64_t ms = 0; ms < 5; ms++)
            cr_assert_eq(context_covers(c, stamp_make(ms, 1, a)), stamp_make(ms, 1, a) <= p->at[a]);
        cr_assert(context_covers(c, stamp_make(0, 0, a)));
    }
    cr_assert_eq(c->n, n);
}

Test(context, agrees_with_a_plain_array)
{
    struct rng rng;
    rng_init(&rng, 1);
    size_t before = mem_used();
    struct context a = {0}, b = {0}, c = {0};
    for (unsigned round = 0; round < 3000; round++) {
        struct plain x, y, z;
        draw(&rng, &a, &x);
        draw(&rng, &b, &y);
        check(&a, &x);
        bool le = true, eq = true;
        context_copy(&c, &a);
        context_join(&c, &b);
        for (unsigned i = 0; i < ACTORS; i++) {
            z.at[i] = x.at[i] > y.at[i] ? x.at[i] : y.at[i];
            le &= x.at[i] <= y.at[i];
            eq &= x.at[i] == y.at[i];
        }
        check(&c, &z);
        cr_assert(context_le(&a, &c) && context_le(&b, &c));
        cr_assert_eq(context_le(&a, &b), le);
        cr_assert_eq(context_eq(&a, &b), eq);
        context_copy(&c, &a);
        context_meet(&c, &b);
        for (unsigned i = 0; i < ACTORS; i++)
            z.at[i] = x.at[i] < y.at[i] ? x.at[i] : y.at[i];
        check(&c, &z);
        uint32_t gone = (uint32_t)rng_below(&rng, ACTORS);
        context_drop(&c, gone);
        z.at[gone] = 0;
        check(&c, &z);
    }
    context_join(&a, &a);
    context_copy(&a, &a);
    context_deinit(&a);
    context_deinit(&b);
    context_deinit(&c);
    cr_assert_eq(mem_used(), before);
}

Test(context, goes_over_the_wire_and_back)
{
    struct rng rng;
    rng_init(&rng, 2);
    struct context a = {0}, b = {0};
    struct plain x;
    for (unsigned round = 0; round < 500; round++) {
        struct buf out = {0};
        draw(&rng, &a, &x);
        context_encode(&out, &a);
        struct mp m = mp_read(buf_bytes(&out));
        cr_assert(context_decode(&m, &b));
        cr_assert(mp_done(&m));
        cr_assert(context_eq(&a, &b));
        for (size_t n = 0; n < buf_len(&out); n++) {
            m = mp_read(bytes_of(out.p, n));
            cr_assert(!context_decode(&m, &b), "cut at %zu", n);
            cr_assert_eq(b.n, 0);
        }
        buf_deinit(&out);
    }
    context_deinit(&a);
    context_deinit(&b);
}

static bool decodes(const stamp_t *s, uint32_t n)
{
    struct buf out = {0};
    struct context c = {0};
    mp_put_array(&out, n);
    for (uint32_t i = 0; i < n; i++)
        mp_put_uint(&out, s[i]);
    struct mp m = mp_read(buf_bytes(&out));
    bool ok = context_decode(&m, &c);
    context_deinit(&c);
    buf_deinit(&out);
    return ok;
}

Test(context, refuses_what_is_not_in_its_one_form)
{
    stamp_t a1 = stamp_make(9, 0, 1), a2 = stamp_make(5, 0, 2);
    cr_assert(decodes((stamp_t[]){a1, a2}, 2));
    cr_assert(decodes(NULL, 0));
    cr_assert(!decodes((stamp_t[]){a2, a1}, 2), "not sorted by actor");
    cr_assert(!decodes((stamp_t[]){a1, a1 + 1024}, 2), "an actor twice");
    cr_assert(!decodes((stamp_t[]){stamp_make(0, 0, 3)}, 1), "says nothing");
    stamp_t all[1025];
    for (uint32_t i = 0; i < 1024; i++)
        all[i] = stamp_make(1, 0, i);
    all[1024] = stamp_make(1, 0, 1023);
    cr_assert(decodes(all, 1024));
    cr_assert(!decodes(all, 1025));
}

Test(context, what_a_writer_had_seen_includes_its_own_stream)
{
    struct context deps = {0};
    context_raise(&deps, stamp_make(5, 0, 2));
    struct seen seen = {.deps = &deps, .prev = stamp_make(7, 0, 1)};
    cr_assert(seen_covers(&seen, stamp_make(7, 0, 1)));
    cr_assert(!seen_covers(&seen, stamp_make(7, 1, 1)));
    cr_assert(seen_covers(&seen, stamp_make(4, 9, 2)));
    cr_assert(!seen_covers(&seen, stamp_make(6, 0, 2)));
    cr_assert(!seen_covers(&seen, stamp_make(1, 0, 3)));
    struct seen local = {.deps = NULL, .prev = stamp_make(0, 0, 1)};
    cr_assert(seen_covers(&local, stamp_make(100, 0, 3)));
    context_deinit(&deps);
}
