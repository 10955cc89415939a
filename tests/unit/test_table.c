/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/table.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct item {
    uint32_t n;
    char name[12];
    unsigned seen;
};

static struct bytes name_of(const void *item)
{
    const struct item *i = item;
    return bytes_str(i->name);
}

static const struct table_type type = {.name_of = name_of};
static const struct hash_key key = {.k0 = 7, .k1 = 9};

static struct item *items_new(uint32_t n)
{
    struct item *items = mem_zalloc(n * sizeof *items);
    for (uint32_t i = 0; i < n; i++) {
        items[i].n = i;
        snprintf(items[i].name, sizeof items[i].name, "k%u", i);
    }
    return items;
}

static void put(struct table *t, struct item *i) { table_put(t, table_hash(t, name_of(i)), i); }

static struct item *get(const struct table *t, const struct item *i)
{
    return table_get(t, table_hash(t, name_of(i)), name_of(i));
}

static struct item *take(struct table *t, const struct item *i)
{
    return table_take(t, table_hash(t, name_of(i)), name_of(i));
}

static void mark(void *item, void *arg)
{
    struct item *i = item;
    i->seen++;
    if (arg != NULL)
        ++*(size_t *)arg;
}

Test(table, is_empty_at_first)
{
    struct table t;
    table_init(&t, &type, key);
    struct item a = {.name = "a"};
    table_prefetch(&t, 1);
    table_prefetch_item(&t, 1);
    cr_assert_null(get(&t, &a));
    cr_assert_null(take(&t, &a));
    cr_assert_null(table_get_hash(&t, 5));
    cr_assert_null(table_random(&t, 1));
    cr_assert_eq(table_scan(&t, 0, 10, mark, NULL), 0);
    cr_assert_eq(table_memory(&t), 0);
    table_deinit(&t, NULL, NULL);
}

Test(table, finds_what_was_put_at_every_size_and_gives_memory_back)
{
    enum { N = 100000 };
    struct item *items = items_new(N);
    size_t before = mem_used();
    struct table t;
    table_init(&t, &type, key);
    for (uint32_t i = 0; i < N; i++) {
        cr_assert_null(get(&t, &items[i]));
        put(&t, &items[i]);
        cr_assert_eq(t.count, i + 1);
        cr_assert_eq(get(&t, &items[i / 2]), &items[i / 2]);
    }
    cr_assert_eq(table_memory(&t), mem_used() - before);
    cr_assert_lt(table_memory(&t) / N, 24, "%zu bytes an item", table_memory(&t) / N);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(get(&t, &items[i]), &items[i]);
    size_t full = table_memory(&t);
    for (uint32_t i = 0; i < N; i++) {
        cr_assert_eq(take(&t, &items[i]), &items[i]);
        cr_assert_null(get(&t, &items[i]));
        cr_assert_eq(get(&t, &items[N - 1]) != NULL, i < N - 1);
        if (i == N - N / 100)
            cr_assert_lt(table_memory(&t), full / 10, "%zu of %zu", table_memory(&t), full);
    }
    cr_assert_eq(t.count, 0);
    cr_assert_eq(mem_used(), before);
    mem_free(items);
}

Test(table, agrees_with_a_plain_array_under_random_changes)
{
    enum { N = 5000 };
    struct item *items = items_new(N), *copies = items_new(N);
    bool here[N] = {false};
    struct table t;
    table_init(&t, &type, key);
    struct rng rng;
    rng_init(&rng, 1);
    size_t count = 0;
    for (unsigned step = 0; step < 300000; step++) {
        /* tides: mostly puts, then mostly takes, so that splits and merges of all depths happen */
        bool high = step / 20000 % 2 == 0;
        uint32_t i = (uint32_t)rng_below(&rng, N);
        bool add = rng_below(&rng, 10) < (high ? 9u : 1u);
        if (add && !here[i]) {
            put(&t, &items[i]);
            here[i] = true;
            count++;
        } else if (!add && here[i]) {
            struct item *got = get(&t, &items[i]);
            cr_assert(got == &items[i] || got == &copies[i]);
            if (step % 2 == 0)
                cr_assert_eq(take(&t, &items[i]), got);
            else
                table_remove(&t, table_hash(&t, name_of(got)), got);
            cr_assert_null(get(&t, &items[i]));
            here[i] = false;
            count--;
        } else if (here[i]) {
            struct item *old = get(&t, &items[i]);
            struct item *new = old == &items[i] ? &copies[i] : &items[i];
            table_replace(&t, table_hash(&t, name_of(old)), old, new);
            cr_assert_eq(get(&t, &items[i]), new);
        } else {
            cr_assert_null(take(&t, &items[i]));
        }
        cr_assert_eq(t.count, count);
    }
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(get(&t, &items[i]) != NULL, here[i]);
    table_deinit(&t, NULL, NULL);
    mem_free(items);
    mem_free(copies);
}

Test(table, iterates_everything_once_in_hash_order_of_buckets)
{
    enum { N = 3000 };
    struct item *items = items_new(N);
    struct table t;
    table_init(&t, &type, key);
    for (uint32_t i = 0; i < N; i++)
        put(&t, &items[i]);
    struct table_iter it;
    table_iter(&it, &t);
    uint64_t last = 0;
    for (struct item *i; (i = table_next(&it)) != NULL;) {
        i->seen++;
        uint64_t prefix = table_hash(&t, name_of(i)) >> (64 - 6);
        cr_assert_geq(prefix, last);
        last = prefix;
    }
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(items[i].seen, 1);
    table_deinit(&t, mark, NULL);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(items[i].seen, 2);
    mem_free(items);
}

Test(table, scan_sees_all_that_stays_while_the_table_grows_and_shrinks)
{
    enum { N = 4000, STAY = 500 };
    struct item *items = items_new(N);
    for (unsigned seed = 0; seed < 20; seed++) {
        struct table t;
        table_init(&t, &type, key);
        struct rng rng;
        rng_init(&rng, seed);
        for (uint32_t i = 0; i < STAY; i++) {
            put(&t, &items[i]);
            items[i].seen = 0;
        }
        bool full = false;
        uint64_t cursor = 0, before = 0;
        do {
            size_t visited = 0;
            before = cursor;
            cursor = table_scan(&t, cursor, 10, mark, &visited);
            cr_assert(cursor == 0 || (cursor > before && cursor < UINT64_C(1) << 48));
            cr_assert(cursor == 0 || visited >= 10);
            if (rng_below(&rng, 4) == 0) {
                for (uint32_t i = STAY; i < N; i++) {
                    if (full)
                        take(&t, &items[i]);
                    else
                        put(&t, &items[i]);
                }
                full = !full;
            }
        } while (cursor != 0);
        for (uint32_t i = 0; i < STAY; i++)
            cr_assert_geq(items[i].seen, 1);
        table_deinit(&t, NULL, NULL);
    }
    mem_free(items);
}

Test(table, a_quiet_scan_sees_each_item_once)
{
    enum { N = 2000 };
    struct item *items = items_new(N);
    struct table t;
    table_init(&t, &type, key);
    for (uint32_t i = 0; i < N; i++)
        put(&t, &items[i]);
    uint64_t cursor = 0;
    do
        cursor = table_scan(&t, cursor, 1, mark, NULL);
    while (cursor != 0);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(items[i].seen, 1);
    table_deinit(&t, NULL, NULL);
    mem_free(items);
}

Test(table, equal_hashes_chain_without_growing_the_directory)
{
    enum { N = 9000 };
    struct item *items = mem_zalloc(N * sizeof *items);
    struct table t;
    table_init(&t, &type, key);
    size_t before = mem_used();
    for (uint32_t i = 0; i < N; i++) {
        items[i].name[0] = 'x'; /* the same name breaks put's contract, but hashes alike */
        put(&t, &items[i]);
    }
    cr_assert_eq(t.count, N);
    cr_assert_leq(t.depth, 9u); /* no deeper than that many items may make it */
    cr_assert_not_null(table_get_hash(&t, table_hash(&t, bytes_str("x"))));
    size_t seen = 0;
    cr_assert_eq(table_scan(&t, 0, SIZE_MAX, mark, &seen), 0);
    cr_assert_eq(seen, N);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_not_null(take(&t, &items[0]));
    cr_assert_eq(mem_used(), before);
    mem_free(items);
}

Test(table, random_is_close_to_uniform)
{
    static const uint32_t sizes[] = {1, 3, 7, 50, 400, 1000};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t n = sizes[s];
        struct item *items = items_new(n);
        struct table t;
        table_init(&t, &type, key);
        for (uint32_t i = 0; i < n; i++)
            put(&t, &items[i]);
        struct rng rng;
        rng_init(&rng, n);
        enum { DRAWS = 200 };
        for (uint32_t i = 0; i < DRAWS * n; i++) {
            struct item *got = table_random(&t, rng_next(&rng));
            cr_assert_not_null(got);
            got->seen++;
        }
        double chi2 = 0; /* of n - 1 degrees of freedom: mean n - 1, deviation sqrt(2n) */
        for (uint32_t i = 0; i < n; i++) {
            double off = (double)items[i].seen - DRAWS;
            chi2 += off * off / DRAWS;
        }
        cr_assert_lt(chi2, n + 60 + 0.3 * n, "%u items: %f", n, chi2);
        table_deinit(&t, NULL, NULL);
        mem_free(items);
    }
}

Test(table, random_finds_the_last_items_of_a_table_that_was_large)
{
    enum { N = 50000 };
    struct item *items = items_new(N);
    struct table t;
    table_init(&t, &type, key);
    for (uint32_t i = 0; i < N; i++)
        put(&t, &items[i]);
    for (uint32_t i = 0; i < N - 2; i++)
        take(&t, &items[i]);
    for (uint64_t r = 0; r < 200; r++)
        ((struct item *)table_random(&t, r))->seen++;
    cr_assert_gt(items[N - 1].seen, 20);
    cr_assert_gt(items[N - 2].seen, 20);
    table_deinit(&t, NULL, NULL);
    mem_free(items);
}

Test(table, is_freed_in_slices)
{
    struct table t;
    table_init(&t, &type, key);
    uint32_t n = 50000;
    struct item *items = items_new(n);
    size_t before = mem_used();
    for (uint32_t i = 0; i < n; i++)
        put(&t, &items[i]);
    size_t budget = 10, steps = 0, held = mem_used();
    uint64_t at = 0;
    for (; !table_deinit_step(&t, &at, &budget); budget = 10, steps++) {
        cr_assert_eq(budget, 0);
        cr_assert_lt(mem_used(), held);
        held = mem_used();
    }
    cr_assert_gt(steps, 10);
    cr_assert_eq(mem_used(), before);
    cr_assert_eq(table_memory(&t), 0);
    put(&t, &items[7]); /* empty, as at first */
    cr_assert_eq(get(&t, &items[7]), &items[7]);
    table_deinit(&t, NULL, NULL);
    mem_free(items);
}
