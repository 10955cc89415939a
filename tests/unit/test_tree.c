/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/tree.h"

#include <criterion/criterion.h>
#include <string.h>

struct item {
    uint32_t n;
};

static int cmp(const void *a, const void *b, void *arg)
{
    const struct item *x = a, *y = b;
    if (arg != NULL)
        ++*(size_t *)arg;
    return x->n < y->n ? -1 : x->n > y->n;
}

static bool below(const void *item, const void *arg)
{
    return ((const struct item *)item)->n < *(const uint32_t *)arg;
}

/* Every rank, both ways of walking, and the searches show exactly the present numbers in order. */
static void check(const struct tree *t, const bool *here, uint32_t n)
{
    struct tree_iter it;
    tree_iter(&it, t, 0);
    size_t rank = 0;
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_eq(tree_partition(t, below, &i), rank);
        if (!here[i])
            continue;
        struct item *at = tree_at(t, rank++);
        cr_assert_eq(at->n, i);
        cr_assert_eq(tree_next(&it), at);
    }
    cr_assert_null(tree_next(&it));
    cr_assert_eq(t->count, rank);
    cr_assert_null(tree_at(t, rank));
    tree_iter(&it, t, rank - 1);
    for (uint32_t i = n; rank > 0 && i-- > 0;)
        if (here[i])
            cr_assert_eq(((struct item *)tree_prev(&it))->n, i);
    cr_assert_null(tree_prev(&it));
}

Test(tree, is_empty_at_first)
{
    struct tree t;
    tree_init(&t, cmp, NULL);
    struct item a = {.n = 1};
    struct tree_iter it;
    tree_iter(&it, &t, 0);
    cr_assert_null(tree_next(&it));
    cr_assert_null(tree_prev(&it));
    cr_assert_null(tree_take(&t, &a));
    cr_assert_null(tree_at(&t, 0));
    cr_assert_eq(tree_partition(&t, below, &a.n), 0);
    tree_deinit(&t, NULL, NULL);
}

Test(tree, agrees_with_a_plain_array_under_random_changes)
{
    enum { N = 6000 };
    static bool here[N];
    size_t before = mem_used();
    struct tree t;
    tree_init(&t, cmp, NULL);
    struct rng rng;
    rng_init(&rng, 3);
    for (unsigned step = 0; step < 120000; step++) {
        bool high = step / 15000 % 2 == 0;
        struct item key = {.n = (uint32_t)rng_below(&rng, N)};
        bool add = rng_below(&rng, 10) < (high ? 9u : 1u);
        if (add && !here[key.n]) {
            tree_put(&t, mem_dup(&key, sizeof key));
        } else if (!add) {
            struct item *got = tree_take(&t, &key);
            cr_assert_eq(got != NULL, here[key.n]);
            mem_free(got);
        }
        here[key.n] = add;
        if (step % 5000 == 0)
            check(&t, here, N);
    }
    check(&t, here, N);
    for (struct item key = {.n = 0}; key.n < N; key.n++) {
        struct item *got = tree_take(&t, &key);
        cr_assert_eq(got != NULL, here[key.n]);
        mem_free(got);
    }
    cr_assert_eq(t.count, 0);
    cr_assert_eq(mem_used(), before);
}

Test(tree, replaces_by_address_even_what_is_freed)
{
    enum { N = 5000 };
    static bool here[N];
    struct tree t;
    tree_init(&t, cmp, NULL);
    for (uint32_t i = 0; i < N; i++) {
        struct item a = {.n = i * 7 % N};
        here[i] = true;
        tree_put(&t, mem_dup(&a, sizeof a));
    }
    for (uint32_t i = 0; i < N; i++) {
        struct item *old = tree_at(&t, i), *new = mem_dup(old, sizeof *old);
        memset(old, 0xff, sizeof *old);
        mem_free(old);
        tree_replace(&t, old, new);
    }
    check(&t, here, N);
    for (struct item key = {.n = 0}; key.n < N; key.n++)
        mem_free(tree_take(&t, &key));
    cr_assert_null(t.root);
}

static void pushes(bool front)
{
    enum { N = 61 * 1000 };
    static struct item items[N];
    size_t compared = 0;
    struct tree t;
    tree_init(&t, cmp, &compared);
    for (uint32_t i = 0; i < N; i++) {
        items[i].n = front ? N - i : i;
        tree_put(&t, &items[i]);
        cr_assert_eq(tree_at(&t, front ? 0 : i), &items[i]);
    }
    cr_assert_lt(compared / N, 8, "%zu comparisons a push", compared / N);
    cr_assert_lt(tree_memory(&t), N * 10, "%zu bytes a push", tree_memory(&t) / N);
    for (uint32_t i = 0; i < N; i++) /* as a queue */
        cr_assert_eq(tree_take(&t, &items[i]), &items[i]);
    cr_assert_eq(tree_memory(&t), 0);
}

Test(tree, appending_compares_little_and_fills_leaves) { pushes(false); }

Test(tree, prepending_compares_little_and_fills_leaves) { pushes(true); }

/* Numbers low..high - 1 are there: pushed and popped at either end as chance has it. */
Test(tree, ends_agree_with_a_plain_array)
{
    enum { N = 40000, MID = N / 2 };
    static struct item items[N];
    static bool here[N];
    uint32_t low = MID, high = MID;
    struct tree t;
    struct rng rng;
    rng_init(&rng, 5);
    tree_init(&t, cmp, NULL);
    for (uint32_t i = 0; i < N; i++)
        items[i].n = i;
    for (unsigned step = 0; step < 60000; step++) {
        bool front = rng_below(&rng, 2) == 0, grow = rng_below(&rng, 10) < (step < 40000 ? 7u : 2u);
        if (!grow && low < high) {
            uint32_t n = front ? low++ : --high;
            cr_assert_eq(tree_take(&t, &items[n]), &items[n]);
            here[n] = false;
        } else if (front && low > 0) {
            here[--low] = true;
            tree_put_first(&t, &items[low]);
        } else if (high < N) {
            here[high] = true;
            tree_put_last(&t, &items[high++]);
        }
        cr_assert_eq(t.count, high - low);
        cr_assert_eq(tree_at(&t, 0), low < high ? &items[low] : NULL);
        cr_assert_eq(tree_at(&t, t.count - 1), low < high ? &items[high - 1] : NULL);
        if (step % 5000 == 0 && low < high)
            check(&t, here, N);
    }
    tree_deinit(&t, NULL, NULL);
}

static void drop(void *item, void *arg)
{
    cr_assert_eq(((struct item *)item)->n, (*(uint32_t *)arg)++);
}

Test(tree, deinit_gives_items_in_order)
{
    enum { N = 3000 };
    static struct item items[N];
    size_t before = mem_used();
    struct tree t;
    tree_init(&t, cmp, NULL);
    for (uint32_t i = 0; i < N; i++) {
        items[i].n = i * 1001 % N;
        tree_put(&t, &items[i]);
    }
    uint32_t next = 0;
    tree_deinit(&t, drop, &next);
    cr_assert_eq(next, N);
    cr_assert_eq(mem_used(), before);
}

Test(tree, takes_by_partial_deletes_from_the_middle)
{
    enum { N = 20000 };
    static struct item items[N];
    static bool here[N];
    struct tree t;
    tree_init(&t, cmp, NULL);
    for (uint32_t i = 0; i < N; i++) {
        items[i].n = i;
        tree_put(&t, &items[i]);
        here[i] = true;
    }
    for (uint32_t i = N / 4; i < N - N / 4; i++) {
        cr_assert_eq(tree_take(&t, &items[i]), &items[i]);
        here[i] = false;
    }
    check(&t, here, N);
    cr_assert_lt(tree_memory(&t), N / 2 * 10);
    tree_deinit(&t, NULL, NULL);
}

Test(tree, survives_deletes_that_leave_single_children)
{
    enum { N = 61 * 42 * 4 };
    static struct item items[N];
    static bool here[N];
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned round = 0; round < 12; round++) {
        struct tree t;
        tree_init(&t, cmp, NULL);
        for (uint32_t i = 0; i < N; i++) {
            items[i].n = i;
            tree_put(&t, &items[i]);
            here[i] = true;
        }
        for (unsigned cut = 0; cut < 30;
             cut++) { /* runs of neighbours, so that whole subtrees go beside full ones */
            uint32_t from = (uint32_t)rng_below(&rng, N), n = (uint32_t)rng_below(&rng, N / 8);
            for (uint32_t i = from; i < from + n && i < N; i++) {
                cr_assert_eq(tree_take(&t, &items[i]) != NULL, here[i]);
                here[i] = false;
            }
            check(&t, here, N);
        }
        tree_deinit(&t, NULL, NULL);
    }
}

Test(tree, is_freed_in_slices)
{
    struct tree t;
    tree_init(&t, cmp, NULL);
    uint32_t n = 50000;
    struct item *items = mem_zalloc(n * sizeof *items);
    size_t before = mem_used();
    for (uint32_t i = 0; i < n; i++) {
        items[i].n = i;
        tree_put(&t, &items[i]);
    }
    size_t budget = 10, steps = 0, held = mem_used();
    for (; !tree_deinit_step(&t, &budget); budget = 10, steps++) {
        cr_assert_eq(budget, 0);
        cr_assert_lt(mem_used(), held);
        held = mem_used();
    }
    cr_assert_gt(steps, 50);
    cr_assert_eq(mem_used(), before);
    cr_assert_null(t.root);
    budget = 1;
    cr_assert(tree_deinit_step(&t, &budget)); /* an empty one is freed */
    tree_put(&t, &items[7]);
    cr_assert_eq(t.count, 1);
    tree_deinit(&t, NULL, NULL);
    mem_free(items);
}
