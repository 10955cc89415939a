/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/heap.h"
#include "base/mem.h"
#include "base/rng.h"

#include <criterion/criterion.h>

Test(heap, pops_in_order_and_ties_by_what_and_which)
{
    struct heap h = {0};
    struct rng rng;
    rng_init(&rng, 1);
    size_t before = mem_used();
    cr_assert_null(heap_min(&h));
    for (unsigned i = 0; i < 3 * HEAP_CHUNK; i++)
        heap_push(&h, (struct heap_entry){.when = (int64_t)rng_below(&rng, 100) - 50,
                                          .what = rng_below(&rng, 5),
                                          .which = rng_below(&rng, 3)});
    struct heap_entry last = {.when = INT64_MIN}, e;
    for (unsigned i = 0; i < 3 * HEAP_CHUNK; i++) {
        cr_assert(heap_pop(&h, &e));
        cr_assert_geq(e.when, last.when);
        if (e.when == last.when) {
            cr_assert_geq(e.what, last.what);
            if (e.what == last.what)
                cr_assert_geq(e.which, last.which);
        }
        last = e;
    }
    cr_assert(!heap_pop(&h, &e));
    cr_assert_eq(mem_used(), before, "an empty heap holds no memory");
}

static bool odd(const struct heap_entry *e, void *arg)
{
    ++*(unsigned *)arg;
    return e->what % 2 == 1;
}

Test(heap, filter_keeps_order_and_gives_memory_back)
{
    struct heap h = {0};
    for (uint64_t i = 0; i < 1001; i++)
        heap_push(&h, (struct heap_entry){.when = (int64_t)(i * 7919 % 1001), .what = i});
    unsigned asked = 0;
    heap_filter(&h, odd, &asked);
    cr_assert_eq(asked, 1001);
    cr_assert_eq(h.n, 500);
    struct heap_entry e;
    int64_t last = -1;
    for (unsigned i = 0; i < 500; i++) {
        cr_assert(heap_pop(&h, &e));
        cr_assert_gt(e.when, last);
        cr_assert_eq(e.what % 2, 1);
        last = e.when;
    }
    heap_deinit(&h);
}

Test(heap, taking_the_last_leaves_a_heap)
{
    struct heap h = {0}, moved = {0};
    struct heap_entry e;
    const uint64_t n = 5 * HEAP_CHUNK / 2;
    size_t before = mem_used();
    for (uint64_t i = 0; i < n; i++)
        heap_push(&h, (struct heap_entry){.when = (int64_t)(i * 7919 % n), .what = i});
    for (uint64_t i = 0; i < n / 2; i++) {
        cr_assert(heap_take_last(&h, &e));
        heap_push(&moved, e);
    }
    for (uint64_t i = 0; i < n; i++) { /* all of them, from whichever has the next */
        bool here = heap_min(&h) != NULL && heap_min(&h)->when == (int64_t)i;
        cr_assert(heap_pop(here ? &h : &moved, &e));
        cr_assert_eq(e.when, (int64_t)i);
    }
    cr_assert(!heap_take_last(&h, &e));
    cr_assert_eq(mem_used(), before);
}
