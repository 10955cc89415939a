/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "base/rng.h"
#include "crdt/blocks.h"

#include <string.h>

/* A list of many elements beside a plain array of the same. Names are numbers, big endian, so that
 * their order as bytes is that of numbers; there is always room between two. */
#define MODEL_MAX 6000u
#define VALUE_MAX 100000u /* larger than what a directory's offsets reach */

struct model {
    struct coll *c;
    struct rng rng;
    uint64_t names[MODEL_MAX];
    uint32_t sizes[MODEL_MAX]; /* of the values */
    size_t n;
    stamp_t next;
};

static const struct hash_key hash_key = {1, 2};

static struct bytes name_of(uint64_t v, uint8_t room[8])
{
    for (int i = 0; i < 8; i++)
        room[i] = (uint8_t)(v >> (56 - 8 * i));
    return bytes_of(room, 8);
}

static struct bytes value_of(uint64_t name, uint32_t size, uint8_t *room)
{
    for (uint32_t i = 0; i < size; i++)
        room[i] = (uint8_t)(name + i);
    return bytes_of(room, size);
}

static uint32_t random_size(struct model *m)
{
    uint64_t what = rng_below(&m->rng, 1000);
    if (what < 4)
        return 4000 + (uint32_t)rng_below(&m->rng, rng_below(&m->rng, 2) ? 8000 : VALUE_MAX - 4000);
    if (what < 20)
        return (uint32_t)rng_below(&m->rng, 2500);
    return (uint32_t)rng_below(&m->rng, 24);
}

static void put(struct model *m, uint64_t v, uint32_t size)
{
    uint8_t name[8], value[VALUE_MAX];
    struct place at;
    struct image im;
    coll_seek(m->c, name_of(v, name), &at);
    image_one(&im, CELL_ONE, m->next++, value_of(v, size, value));
    m->c = coll_put(m->c, TYPE_LIST, &at, bytes_of(name, 8), &im, hash_key);
    struct shown shown;
    cell_show(at.cell, &shown);
    cr_assert(bytes_eq(shown.text, bytes_of(value, size)));
}

static void add(struct model *m, size_t rank)
{
    uint64_t low = rank > 0 ? m->names[rank - 1] : 0;
    uint64_t high = rank < m->n ? m->names[rank] : UINT64_MAX;
    if (m->n == MODEL_MAX || high - low < 2)
        return;
    uint64_t gap = high - low;
    uint64_t v = rank == m->n ? low + (gap < 4096 ? gap / 2 : 1024)
                 : rank == 0  ? high - (gap < 4096 ? gap / 2 : 1024)
                              : low + gap / 2;
    if (m->n == 0)
        v = UINT64_C(1) << 62;
    uint32_t size = random_size(m);
    put(m, v, size);
    memmove(m->names + rank + 1, m->names + rank, (m->n - rank) * sizeof m->names[0]);
    memmove(m->sizes + rank + 1, m->sizes + rank, (m->n - rank) * sizeof m->sizes[0]);
    m->names[rank] = v;
    m->sizes[rank] = size;
    m->n++;
}

static void forget(struct model *m, size_t rank)
{
    m->n--;
    memmove(m->names + rank, m->names + rank + 1, (m->n - rank) * sizeof m->names[0]);
    memmove(m->sizes + rank, m->sizes + rank + 1, (m->n - rank) * sizeof m->sizes[0]);
}

static void take(struct model *m, size_t rank)
{
    uint8_t name[8];
    struct place at;
    coll_seek(m->c, name_of(m->names[rank], name), &at);
    cr_assert_not_null(at.cell);
    m->c = coll_cut(m->c, &at);
    forget(m, rank);
}

static void expect_cell(const struct model *m, size_t rank, const struct cell *cell)
{
    uint8_t name[8], value[VALUE_MAX];
    struct shown shown;
    cr_assert_not_null(cell, "rank %zu of %zu", rank, m->n);
    cr_assert(bytes_eq(cell_name(cell), name_of(m->names[rank], name)), "rank %zu", rank);
    cell_show(cell, &shown);
    cr_assert(bytes_eq(shown.text, value_of(m->names[rank], m->sizes[rank], value)));
}

static bool cell_below(const void *cell, const void *arg)
{
    return bytes_cmp(cell_name(cell), *(const struct bytes *)arg) < 0;
}

static void check(const struct model *m)
{
    struct coll_iter it;
    const struct cell *cell;
    size_t rank = 0;
    coll_walk(&it, m->c);
    while ((cell = coll_next(&it)) != NULL)
        expect_cell(m, rank++, cell);
    cr_assert_eq(rank, m->n);
    cr_assert_eq(m->c ? coll_count(m->c) : 0, m->n);
    for (size_t i = 0; i < m->n; i += 1 + m->n / 37)
        expect_cell(m, i, coll_by_rank(m->c, i));
    if (m->c == NULL || !m->c->is_large)
        return;
    for (size_t i = 0; i < m->n; i += 1 + m->n / 41) {
        uint8_t name[8];
        struct bytes at = name_of(m->names[i] + i % 2, name); /* itself, or just behind it */
        cr_assert_eq(blocks_partition(coll_large(m->c), cell_below, &at), i + i % 2);
    }
    struct block_iter both;
    blocks_iter(&both, coll_large(m->c), m->n - 1);
    for (rank = m->n; rank-- > 0;)
        expect_cell(m, rank, blocks_prev(&both));
    cr_assert_null(blocks_prev(&both));
}

static struct model *model_new(uint64_t seed)
{
    struct model *m = mem_zalloc(sizeof *m);
    rng_init(&m->rng, seed);
    m->next = stamp_make(1, 0, 1);
    return m;
}

static void model_free(struct model *m)
{
    coll_free(m->c);
    mem_free(m);
}

static void fill(struct model *m, size_t n)
{
    while (m->n < n)
        add(m, rng_below(&m->rng, 3)   ? m->n
               : rng_below(&m->rng, 2) ? 0
                                       : rng_below(&m->rng, m->n + 1));
}

Test(blocks, agree_with_a_plain_array_under_random_changes)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct model *m = model_new(seed);
        for (unsigned step = 0; step < 12000; step++) {
            uint64_t what = rng_below(&m->rng, 100), grow = step % 6000 < 3500 ? 60 : 30;
            size_t rank = m->n ? (size_t)rng_below(&m->rng, m->n) : 0;
            if (what < grow / 3)
                add(m, 0);
            else if (what < grow * 2 / 3)
                add(m, m->n);
            else if (what < grow)
                add(m, rank);
            else if (m->n > 0 && what < 95)
                take(m, what < 65 ? 0 : what < 75 ? m->n - 1 : rank);
            else if (m->n > 0)
                put(m, m->names[rank], m->sizes[rank] = random_size(m));
            if (step % 1000 == 0)
                check(m);
        }
        check(m);
        while (m->n > 0)
            take(m, (size_t)rng_below(&m->rng, m->n));
        cr_assert_null(m->c);
        model_free(m);
    }
}

/* ------------------------------------------------------------ passes */

struct pass {
    struct model *m;
    unsigned drop, replace; /* of 100 */
    struct rng rng;
    size_t seen;
    bool gone[MODEL_MAX];
    uint32_t sizes[MODEL_MAX];
    uint8_t value[VALUE_MAX];
};

static size_t model_rank(const struct model *m, struct bytes name)
{
    uint8_t room[8];
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (bytes_cmp(name_of(m->names[mid], room), name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum fate decide(const struct cell *cell, stamp_t base, struct reg *r, void *arg)
{
    struct pass *p = arg;
    size_t rank = model_rank(p->m, cell_name(cell));
    uint64_t what = rng_below(&p->rng, 100);
    cr_assert_eq(base, 0);
    cr_assert_eq(rank, p->seen, "each once, in order");
    p->seen++;
    p->gone[rank] = what < p->drop;
    p->sizes[rank] = p->m->sizes[rank];
    if (p->gone[rank])
        return FATE_DROP;
    if (what >= p->drop + p->replace)
        return FATE_KEEP;
    p->sizes[rank] = random_size(p->m);
    reg_push_sibling(r, p->m->next++, value_of(p->m->names[rank], p->sizes[rank], p->value));
    return FATE_REPLACE;
}

static void pass(struct model *m, uint64_t seed, unsigned drop, unsigned replace)
{
    struct pass *p = mem_zalloc(sizeof *p);
    p->m = m;
    p->drop = drop;
    p->replace = replace;
    rng_init(&p->rng, seed);
    m->c = coll_pass(m->c, hash_key, decide, p);
    cr_assert_eq(p->seen, m->n);
    for (size_t i = m->n; i-- > 0;) {
        m->sizes[i] = p->sizes[i];
        if (p->gone[i])
            forget(m, i);
    }
    mem_free(p);
    check(m);
}

Test(blocks, passing_keeps_drops_and_replaces)
{
    static const unsigned mixes[][2] = {{0, 0}, {50, 0}, {0, 50}, {30, 30}, {95, 2}, {100, 0}};
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        struct model *m = model_new(100 + i);
        fill(m, 3000);
        check(m);
        pass(m, i, mixes[i][0], mixes[i][1]);
        pass(m, i + 50, mixes[i][0], mixes[i][1]);
        if (m->c != NULL)
            fill(m, m->n + 500);
        check(m);
        model_free(m);
    }
}

Test(blocks, sparse_blocks_are_joined)
{
    struct model *m = model_new(7);
    while (m->n < 5000)
        add(m, m->n);
    size_t full = coll_memory(m->c);
    for (size_t rank = 0; rank < m->n; rank++) /* of twenty in a row one stays */
        for (unsigned i = 0; i < 19 && rank < m->n - 1; i++)
            take(m, rank);
    check(m);
    cr_assert_lt(coll_memory(m->c), full / 3, "%zu of %zu bytes", coll_memory(m->c), full);
    model_free(m);
}

Test(blocks, small_elements_are_packed)
{
    struct model *m = model_new(8);
    for (size_t i = 0; i < 5000; i++) {
        put(m, i, 3);
        m->names[i] = i;
        m->sizes[i] = 3;
        m->n++;
    }
    check(m);
    /* name 8, dot 8, value 3, heads 3 */
    cr_assert_lt(coll_memory(m->c) / m->n, 34, "%zu bytes each", coll_memory(m->c) / m->n);
    model_free(m);
}

Test(blocks, are_freed_in_steps)
{
    struct model *m = model_new(9);
    fill(m, 4000);
    unsigned steps = 1;
    for (size_t budget = 500; coll_free_step(m->c, &budget); budget = 500)
        steps++;
    cr_assert_geq(steps, 7);
    mem_free(m);
}

Test(blocks, one_made_for_a_large_cell_is_for_that_alone)
{
    struct model *m = model_new(10);
    while (m->n < 500)
        add(m, m->n);
    for (unsigned large = 0; large < 3; large++) {
        size_t rank = 100 + 50 * large;
        put(m, m->names[rank], m->sizes[rank] = VALUE_MAX - large);
        put(m, m->names[rank], m->sizes[rank] = 3); /* a small one takes its place, others join */
        add(m, rank + 1);
        for (unsigned i = 0; i < 400; i++) {
            size_t near = rank + (size_t)rng_below(&m->rng, 2);
            put(m, m->names[near], m->sizes[near] = 1 + (uint32_t)rng_below(&m->rng, 1500));
        }
        check(m);
    }
    model_free(m);
}
