/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/coll.h"

#include <assert.h>

#include "base/mem.h"
#include "crdt/blocks.h"

/* Passing over all elements of a collection, to change or to free them. */

#define PASS_BATCH 128u

/* ------------------------------------------------------------ passing over all */

static struct coll *pass_packed(struct coll *c, struct hash_key key, coll_change *change, void *arg)
{
    struct coll *out = NULL;
    const struct cell *end = coll_end(c);
    for (const struct cell *at = coll_begin(c); at < end; at = cell_after(at)) {
        struct reg r;
        struct image im;
        struct place nowhere = {0};
        reg_init(&r, c->type);
        enum fate fate = change(at, c->base, &r, arg);
        if (fate == FATE_KEEP) {
            reg_close(&r);
            reg_open(&r, c->type, at, c->base);
        }
        if (fate != FATE_DROP) {
            image_of_reg(&im, &r);
            if (out && out->is_large && coll_has_table(out->type))
                nowhere.hash = table_hash(&coll_large(out)->table, cell_name(at));
            out = coll_put(out, c->type, &nowhere, cell_name(at), &im, key);
        }
        reg_close(&r);
    }
    mem_free(c);
    return out;
}

struct batch {
    size_t n, cap;
    struct cell **at; /* owned */
};

static void collect(void *item, void *arg)
{
    struct batch *b = arg;
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 2 * PASS_BATCH;
        b->at = mem_realloc(b->at, b->cap * sizeof *b->at);
    }
    b->at[b->n++] = item;
}

/* Returns the collection, NULL when the element was the last. */
static struct coll *pass_one(struct coll *c, struct hash_key key, struct cell *cell,
                             coll_change *change, void *arg)
{
    struct reg r;
    struct image im;
    struct place at = {.cell = cell};
    reg_init(&r, c->type);
    enum fate fate = change(cell, 0, &r, arg);
    if (fate != FATE_KEEP)
        at.hash = table_hash(&coll_large(c)->table, cell_name(cell));
    if (fate == FATE_DROP) {
        c = coll_cut(c, &at);
    } else if (fate == FATE_REPLACE) {
        image_of_reg(&im, &r);
        c = coll_put(c, c->type, &at, cell_name(cell), &im, key);
    }
    reg_close(&r);
    return c;
}

/* The next elements of a large collection with a table: they lie anywhere, so all are waited for
 * at once. */
static void next_batch(const struct coll *c, uint64_t *cursor, struct batch *b)
{
    b->n = 0;
    *cursor = table_scan(&coll_large(c)->table, *cursor, PASS_BATCH, collect, b);
    for (size_t i = 0; i < b->n; i++)
        prefetch(b->at[i]);
}

/* Elements that went may have made the table smaller: then the bucket at the cursor begins with
 * some that have had their turn. */
static bool had_its_turn(const struct coll *c, const struct cell *e, uint64_t cursor)
{
    return cursor > 0 && table_hash(&coll_large(c)->table, cell_name(e)) >> 16 < cursor;
}

static struct coll *pass_table(struct coll *c, struct hash_key key, uint64_t *cursor, size_t n,
                               coll_change *change, void *arg)
{
    struct batch b = {0};
    do {
        uint64_t from = *cursor;
        next_batch(c, cursor, &b);
        n -= b.n < n ? b.n : n;
        for (size_t i = 0; i < b.n; i++)
            if (!had_its_turn(c, b.at[i], from))
                c = pass_one(c, key, b.at[i], change, arg);
    } while (*cursor != 0 && c != NULL && n > 0);
    mem_free(b.at);
    return c;
}

static void visit_table(const struct coll *c, uint64_t *cursor, size_t n,
                        void (*visit)(const struct cell *e, void *arg), void *arg)
{
    struct batch b = {0};
    do {
        next_batch(c, cursor, &b);
        n -= b.n < n ? b.n : n;
        for (size_t i = 0; i < b.n; i++)
            visit(b.at[i], arg);
    } while (*cursor != 0 && n > 0);
    mem_free(b.at);
}

/* The cursor is a rank and one more: all that was before may have gone. */
static struct coll *pass_blocks(struct coll *c, uint64_t *cursor, size_t n, coll_change *change,
                                void *arg)
{
    size_t rank = *cursor > 0 ? (size_t)*cursor - 1 : 0;
    rank = blocks_pass(coll_large(c), rank, n, change, arg);
    *cursor = rank < coll_count(c) ? rank + 1 : 0;
    if (coll_count(c) > 0)
        return c;
    coll_free(c);
    return NULL;
}

struct coll *coll_pass(struct coll *c, struct hash_key key, coll_change *change, void *arg)
{
    if (c == NULL)
        return NULL;
    if (!c->is_large)
        return pass_packed(c, key, change, arg);
    uint64_t cursor = 0;
    return coll_pass_some(c, key, &cursor, SIZE_MAX, change, arg);
}

struct coll *coll_pass_some(struct coll *c, struct hash_key key, uint64_t *cursor, size_t n,
                            coll_change *change, void *arg)
{
    return coll_has_table(c->type) ? pass_table(c, key, cursor, n, change, arg)
                                   : pass_blocks(c, cursor, n, change, arg);
}

void coll_visit_some(const struct coll *c, uint64_t *cursor, size_t n,
                     void (*visit)(const struct cell *e, void *arg), void *arg)
{
    if (coll_has_table(c->type)) {
        visit_table(c, cursor, n, visit, arg);
        return;
    }
    struct coll_iter it;
    const struct cell *e = NULL;
    coll_walk_from(&it, c, (size_t)*cursor);
    for (; n > 0 && (e = coll_next(&it)) != NULL; n--, ++*cursor)
        visit(e, arg);
    if (*cursor == coll_count(c))
        *cursor = 0;
}

static struct coll *add_rest(struct coll *out, enum type type, const struct cell *cell,
                             struct reg *r, struct hash_key key)
{
    struct place at = {0};
    struct image im;
    if (out != NULL)
        coll_seek(out, cell_name(cell), &at);
    image_of_reg(&im, r);
    return coll_put(out, type, &at, cell_name(cell), &im, key);
}

bool coll_rest(const struct coll *c, struct hash_key key, size_t most, coll_change *change,
               void *arg, struct coll **out)
{
    struct batch b = {0};
    uint64_t cursor = 0;
    *out = NULL;
    do {
        next_batch(c, &cursor, &b);
        for (size_t i = 0; i < b.n; i++) {
            struct reg r;
            reg_init(&r, c->type);
            if (change(b.at[i], 0, &r, arg) == FATE_REPLACE)
                *out = add_rest(*out, c->type, b.at[i], &r, key);
            reg_close(&r);
        }
    } while (cursor != 0 && (*out == NULL || coll_count(*out) <= most));
    mem_free(b.at);
    if (cursor == 0)
        return true;
    coll_free(*out);
    *out = NULL;
    return false;
}

/* ------------------------------------------------------------ freeing */

static void free_item(void *item, void *arg)
{
    (void)arg;
    mem_free(item);
}

/* In `freed`: the elements are; what held them goes next, and the rest of the field counts that. */
#define FREED_ALL (UINT64_C(1) << 63)

#define FRAME_COST 4u /* freeing a segment or a node, in elements */

static bool free_frame_step(struct large *l, size_t *elements)
{
    size_t most = *elements / FRAME_COST + 1, left = most;
    readings_end(l);
    uint64_t at = l->freed & ~FREED_ALL;
    bool done = !coll_has_table(l->head.type) || table_deinit_step(&l->table, &at, &left);
    l->freed = FREED_ALL | at;
    done = done && (!coll_has_tree(l->head.type) || tree_deinit_step(&l->tree, &left));
    size_t cost = (most - left) * FRAME_COST;
    *elements -= cost < *elements ? cost : *elements;
    if (!done)
        return true;
    context_deinit(&l->newest);
    mem_free(l);
    return false;
}

void coll_free(struct coll *c)
{
    size_t all = SIZE_MAX;
    if (c)
        coll_free_step(c, &all);
}

struct countdown {
    size_t freed;
};

static void free_counted(void *item, void *arg)
{
    struct countdown *n = arg;
    n->freed++;
    free_item(item, NULL);
}

/* The table keeps the addresses of what is freed; from here on only the cursor moves over it. */
static bool free_table_step(struct large *l, size_t *budget)
{
    while (*budget > 0) {
        struct countdown n = {0};
        size_t want = *budget < PASS_BATCH ? *budget : PASS_BATCH;
        l->freed = table_scan(&l->table, l->freed, want, free_counted, &n);
        *budget -= n.freed < *budget ? n.freed : *budget;
        if (l->freed == 0)
            return false;
    }
    return true;
}

bool coll_free_step(struct coll *c, size_t *budget)
{
    if (!c->is_large) {
        *budget -= *budget > 0;
        mem_free(c);
        return false;
    }
    struct large *l = coll_large(c);
    assert(l->readings == NULL || coll_count(c) == 0);
    if ((l->freed & FREED_ALL) == 0) {
        if (coll_has_table(c->type) ? free_table_step(l, budget) : blocks_free_step(l, budget))
            return true;
        l->freed = FREED_ALL;
    }
    return free_frame_step(l, budget);
}
