/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/coll.h"

#include <assert.h>

#include "base/mem.h"
#include "crdt/blocks.h"

static struct bytes name_of(const void *item) { return cell_name(item); }

static const struct table_type element_table = {.name_of = name_of};

int coll_order(enum type type, const struct cell *a, const struct cell *b)
{
    if (type == TYPE_ZSET) {
        double x = cell_score(a), y = cell_score(b);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return bytes_cmp(cell_name(a), cell_name(b));
}

static int zset_cmp(const void *a, const void *b, void *arg)
{
    (void)arg;
    return coll_order(TYPE_ZSET, a, b);
}

size_t coll_count(const struct coll *c)
{
    if (!c->is_large)
        return c->count;
    struct large *l = coll_large(c);
    return coll_has_table(c->type) ? l->table.count : l->tree.count;
}

size_t coll_memory(const struct coll *c)
{
    if (!c->is_large)
        return mem_block_size(c);
    struct large *l = coll_large(c);
    size_t sum = sizeof *l + l->held;
    if (coll_has_table(
            c->type)) /* 8: what the allocator's classes add to a small cell on average */
        sum += table_memory(&l->table) + 8 * coll_count(c);
    if (coll_has_tree(c->type))
        sum += tree_memory(&l->tree);
    return sum;
}

/* ------------------------------------------------------------ finding */

static struct cell *packed_find(const struct coll *c, struct bytes name)
{
    union {
        const struct cell *in;
        struct cell *out;
    } u = {.in = coll_begin(c)};
    const struct cell *end = coll_end(c);
    while (u.in < end) {
        struct view v = cell_view(u.in);
        if (v.name.n == name.n && (name.n == 0 || memcmp(v.name.p, name.p, name.n) == 0))
            return u.out;
        u.in = (const struct cell *)(v.payload.p + v.payload.n);
    }
    return NULL;
}

void coll_seek(const struct coll *c, struct bytes name, struct place *out)
{
    *out = (struct place){0};
    if (c == NULL)
        return;
    if (!c->is_large) {
        out->cell = packed_find(c, name);
        return;
    }
    struct large *l = coll_large(c);
    if (coll_has_table(c->type)) {
        out->hash = table_hash(&l->table, name);
        out->cell = table_get(&l->table, out->hash, name);
        return;
    }
    blocks_seek(l, name, out);
}

const struct cell *coll_by_rank(const struct coll *c, size_t rank)
{
    if (rank >= coll_count(c))
        return NULL;
    if (c->is_large) {
        assert(coll_has_tree(c->type));
        if (coll_has_table(c->type))
            return tree_at(&coll_large(c)->tree, rank);
        struct block_iter it;
        blocks_iter(&it, coll_large(c), rank);
        return block_cell(it.block, it.slot);
    }
    const struct cell *at = coll_begin(c);
    while (rank-- > 0)
        at = cell_after(at);
    return at;
}

enum { WALK_PACKED, WALK_TABLE, WALK_TREE, WALK_BLOCKS };

void coll_walk(struct coll_iter *it, const struct coll *c)
{
    it->kind = WALK_PACKED;
    it->at = it->end = NULL;
    if (c == NULL)
        return;
    if (!c->is_large) {
        it->at = coll_begin(c);
        it->end = coll_end(c);
    } else if (!coll_has_table(c->type)) {
        it->kind = WALK_BLOCKS;
        blocks_iter(&it->blocks, coll_large(c), 0);
    } else if (coll_has_tree(c->type)) {
        it->kind = WALK_TREE;
        tree_iter(&it->tree, &coll_large(c)->tree, 0);
    } else {
        it->kind = WALK_TABLE;
        table_iter(&it->table, &coll_large(c)->table);
    }
}

void coll_walk_from(struct coll_iter *it, const struct coll *c, size_t rank)
{
    coll_walk(it, c);
    if (it->kind == WALK_BLOCKS)
        blocks_iter(&it->blocks, coll_large(c), rank);
    else if (it->kind == WALK_TREE)
        tree_iter(&it->tree, &coll_large(c)->tree, rank);
    else
        while (rank-- > 0 && coll_next(it) != NULL)
            continue;
}

const struct cell *coll_next(struct coll_iter *it)
{
    if (it->kind == WALK_BLOCKS)
        return blocks_next(&it->blocks);
    if (it->kind == WALK_TREE)
        return tree_next(&it->tree);
    if (it->kind == WALK_TABLE)
        return table_next(&it->table);
    if (it->at == it->end)
        return NULL;
    const struct cell *c = it->at;
    it->at = cell_after(c);
    return c;
}

/* ------------------------------------------------------------ large */

/* A cell of its own, of a collection with a table. */
static void large_insert(struct large *l, const struct place *at, struct cell *c)
{
    table_put(&l->table, at->hash, c);
    if (coll_has_tree(l->head.type))
        tree_put(&l->tree, c);
    l->held += cell_size(c);
}

/* A packed collection's cell, with its dot in full. */
static void enlarge_one(struct large *l, const struct coll *c, const struct cell *cell)
{
    struct view v = cell_view(cell);
    struct heading h = {.name = v.name};
    struct place at = {.end = PLACE_LAST, .block = tree_last(&l->tree)};
    struct reg r;
    struct image im;
    reg_open(&r, c->type, cell, c->base);
    image_of_reg(&im, &r);
    image_raise(&l->newest, &im);
    if (coll_has_table(c->type)) {
        at.hash = table_hash(&l->table, v.name);
        large_insert(l, &at, cell_new(&h, &im));
    } else {
        at.slot = at.block != NULL ? ((struct block *)at.block)->count : 0;
        blocks_put(l, &at, &h, &im);
    }
    reg_close(&r);
}

static struct large *enlarge(const struct coll *c, struct hash_key key)
{
    struct large *l = mem_zalloc(sizeof *l);
    l->head = (struct coll){.type = c->type, .is_large = true};
    if (!coll_has_table(c->type)) {
        blocks_init(l);
    } else {
        table_init(&l->table, &element_table, key);
        if (coll_has_tree(c->type))
            tree_init(&l->tree, zset_cmp, NULL);
    }
    const struct cell *end = coll_end(c);
    for (const struct cell *at = coll_begin(c); at < end; at = cell_after(at))
        enlarge_one(l, c, at);
    return l;
}

/* The order of the tree after the cell at hand is replaced by an image: unchanged for lists and
 * equal scores. */
static bool order_stays(const struct coll *c, const struct cell *old, const struct image *im)
{
    if (c->type != TYPE_ZSET)
        return true;
    return im->form == CELL_SCORE && cell_form(old) == CELL_SCORE &&
           score_load(im->rest) == cell_score(old);
}

static void large_replace(struct large *l, struct place *at, const struct heading *h,
                          const struct image *im)
{
    struct cell *old = at->cell;
    size_t was = cell_size(old), need = cell_need(h, im);
    bool tree = coll_has_tree(l->head.type), stays = order_stays(&l->head, old, im);
    if (tree && !stays)
        tree_take(&l->tree, old);
    if (need == was && !im->borrows) {
        cell_put(&old->b0, h, im);
        if (tree && !stays)
            tree_put(&l->tree, old);
        return;
    }
    struct cell *c = cell_new(h, im);
    table_replace(&l->table, at->hash, old, c);
    if (tree && stays)
        tree_replace(&l->tree, old, c);
    else if (tree)
        tree_put(&l->tree, c);
    mem_free(old);
    at->cell = c;
    l->held += need - was;
}

static struct coll *large_put(struct large *l, struct place *at, const struct heading *h,
                              const struct image *im)
{
    large_changes(l, h->name, at->cell);
    image_raise(&l->newest, im);
    if (!coll_has_table(l->head.type)) {
        blocks_put(l, at, h, im);
    } else if (at->cell) {
        large_replace(l, at, h, im);
    } else {
        at->cell = cell_new(h, im);
        large_insert(l, at, at->cell);
    }
    return &l->head;
}

/* ------------------------------------------------------------ packed */

/* Where in a packed collection a new cell belongs. */
static size_t packed_slot(const struct coll *c, const struct cell *cell)
{
    if (!coll_has_tree(c->type) || c->count == 0)
        return c->bytes;
    const struct cell *at = coll_begin(c), *end = coll_end(c);
    while (at < end && coll_order(c->type, at, cell) < 0)
        at = cell_after(at);
    return (size_t)(&at->b0 - &coll_begin(c)->b0);
}

static uint8_t *packed_bytes(struct coll *c) { return (uint8_t *)(c + 1); }

static uint32_t packed_last(const struct coll *c)
{
    const struct cell *at = coll_begin(c), *next, *end = coll_end(c);
    while ((next = cell_after(at)) < end)
        at = next;
    return (uint32_t)(&at->b0 - &coll_begin(c)->b0);
}

/* Opens a gap of `n` bytes at `slot`, or closes one of -n. */
static struct coll *packed_shift(struct coll *c, size_t slot, ptrdiff_t n)
{
    size_t bytes = (size_t)((ptrdiff_t)c->bytes + n);
    if (n < 0) {
        uint8_t *p = packed_bytes(c) + slot;
        memmove(p, p - n, c->bytes - slot - (size_t)-n);
    }
    struct coll *moved = mem_realloc(c, sizeof *c + bytes);
    if (n > 0) {
        uint8_t *p = packed_bytes(moved) + slot;
        memmove(p + n, p, moved->bytes - slot);
    }
    moved->bytes = (uint32_t)bytes;
    return moved;
}

/* Room for a cell that is put together before the block it goes into moves. */
struct scratch {
    uint8_t *p;
    uint8_t room[512];
};

static struct coll *packed_put(struct coll *c, struct place *at, const struct heading *h,
                               const struct image *im)
{
    struct scratch s;
    size_t need = cell_need(h, im);
    s.p = need <= sizeof s.room ? s.room : mem_alloc(need);
    cell_put(s.p, h, im);
    const struct cell *fresh = (const struct cell *)s.p;
    size_t slot;
    if (at->cell && order_stays(c, at->cell, im)) {
        slot = (size_t)(&at->cell->b0 - packed_bytes(c));
        size_t was = cell_size(at->cell);
        if (need != was)
            c = packed_shift(c, need > was ? slot + was : slot, (ptrdiff_t)need - (ptrdiff_t)was);
    } else {
        if (at->cell) {
            slot = (size_t)(&at->cell->b0 - packed_bytes(c));
            c = packed_shift(c, slot, -(ptrdiff_t)cell_size(at->cell));
        } else {
            c->count++;
        }
        slot = packed_slot(c, fresh);
        c = packed_shift(c, slot, (ptrdiff_t)need);
    }
    at->cell = memcpy(packed_bytes(c) + slot, s.p, need);
    if (s.p != s.room)
        mem_free(s.p);
    return c;
}

/* `need`: the bytes of the new cell. */
static inline bool outgrown(const struct coll *c, const struct place *at, const struct heading *h,
                            const struct image *im, size_t need)
{
    if (!at->cell && c->count >= COLL_PACKED_MAX)
        return true;
    if (!coll_has_table(c->type))
        return c->bytes + need > COLL_LIST_BYTES_MAX;
    return h->name.n > COLL_ELEM_MAX ||
           (c->type == TYPE_HASH &&
            need - h->name.n > (im->form == CELL_WIDE ? 4 : 1) * (COLL_ELEM_MAX + 12));
}

/* ------------------------------------------------------------ changing */

struct coll *coll_put(struct coll *c, enum type type, struct place *at, struct bytes name,
                      const struct image *im, struct hash_key key)
{
    struct heading h = {.name = name};
    if (c && c->is_large)
        return large_put(coll_large(c), at, &h, im);
    if (c == NULL) {
        c = mem_alloc(sizeof *c);
        *c = (struct coll){.type = (uint8_t)type, .base = im->form == CELL_WIDE ? 0 : im->dot};
    }
    if (!outgrown(c, at, &h, im, cell_need(&h, im))) {
        h.base = c->base;
        return packed_put(c, at, &h, im);
    }
    struct large *l = enlarge(c, key);
    struct place there;
    coll_seek(&l->head, name, &there);
    if (!there.cell && coll_has_table(type))
        there.hash = table_hash(&l->table, name);
    large_put(l, &there, &h, im);
    at->cell = there.cell;
    mem_free(c); /* only now: name and image may point into it */
    return &l->head;
}

/* ------------------------------------------------------------ reading one back */

#define BUILD_FIRST 480u /* a small one is put together without moving on its way */

/* The block has the size that its bytes need: others go by that. */
static void builder_trim(struct coll_builder *b)
{
    if (b->coll != NULL && b->cap > b->coll->bytes)
        b->coll = mem_realloc(b->coll, sizeof *b->coll + b->coll->bytes);
    b->cap = 0;
}

/* May the name be there? No is sure. Marks it. */
static bool builder_meets(struct coll_builder *b, struct bytes name)
{
    uint64_t tail = 0;
    size_t n = name.n < sizeof tail ? name.n : sizeof tail;
    if (n > 0)
        memcpy(&tail, name.p + name.n - n, n);
    tail = (tail ^ name.n) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t bit = UINT64_C(1) << (tail >> 58), *word = &b->names[tail >> 55 & 7];
    bool meets = (*word & bit) != 0;
    *word |= bit;
    return meets;
}

/* Behind the last one, if that is where it belongs and there may be one more. */
static bool builder_append(struct coll_builder *b, const struct heading *heading,
                           const struct image *im)
{
    struct coll *c = b->coll;
    struct heading h = *heading;
    struct place at = {0};
    h.base = c->base;
    size_t need = cell_need(&h, im);
    if (outgrown(c, &at, &h, im, need))
        return false;
    if (b->cap < c->bytes + need) {
        b->cap = (uint32_t)(c->bytes + need + (c->bytes + need) / 2 + 64);
        c = b->coll = mem_realloc(c, sizeof *c + b->cap);
    }
    uint8_t *to = packed_bytes(c) + c->bytes;
    cell_put(to, &h, im);
    const struct cell *last = (const struct cell *)(packed_bytes(c) + b->last);
    if (coll_has_tree(c->type) && c->count > 0 &&
        coll_order(c->type, last, (const struct cell *)to) >= 0)
        return false;
    b->last = c->bytes;
    c->bytes += (uint32_t)need;
    c->count++;
    return true;
}

struct coll_builder coll_build_on(struct coll *c)
{
    struct coll_builder b = {.coll = c};
    if (c != NULL && !c->is_large) {
        b.cap = c->bytes;
        b.last = packed_last(c);
        memset(b.names, 0xff, sizeof b.names); /* each may be there */
    }
    return b;
}

bool coll_build(struct coll_builder *b, enum type type, struct bytes name, const struct image *im,
                struct hash_key key)
{
    struct heading h = {.name = name};
    struct place at;
    if (b->coll == NULL) {
        b->coll = mem_alloc(sizeof *b->coll + BUILD_FIRST);
        b->cap = BUILD_FIRST;
        *b->coll =
            (struct coll){.type = (uint8_t)type, .base = im->form == CELL_WIDE ? 0 : im->dot};
    }
    if (!b->coll->is_large) {
        if (builder_meets(b, name) && packed_find(b->coll, name) != NULL)
            return false;
        if (builder_append(b, &h, im))
            return true;
    }
    builder_trim(b);
    coll_seek(b->coll, name, &at);
    if (at.cell != NULL)
        return false;
    b->coll = coll_put(b->coll, type, &at, name, im, key);
    if (!b->coll->is_large) { /* somewhere in between: the order is not the writers' */
        b->cap = b->coll->bytes;
        b->last = packed_last(b->coll);
    }
    return true;
}

struct coll *coll_built(struct coll_builder *b)
{
    builder_trim(b);
    struct coll *c = b->coll;
    *b = (struct coll_builder){0};
    return c;
}

struct coll *coll_cut(struct coll *c, const struct place *at)
{
    if (!c->is_large) {
        if (c->count == 1) {
            mem_free(c);
            return NULL;
        }
        size_t slot = (size_t)(&at->cell->b0 - packed_bytes(c));
        c->count--;
        return packed_shift(c, slot, -(ptrdiff_t)cell_size(at->cell));
    }
    struct large *l = coll_large(c);
    large_changes(l, cell_name(at->cell), at->cell);
    if (coll_has_table(c->type)) {
        if (coll_has_tree(c->type))
            tree_take(&l->tree, at->cell);
        l->held -= cell_size(at->cell);
        table_remove(&l->table, at->hash, at->cell);
        mem_free(at->cell);
    } else {
        blocks_cut(l, at);
    }
    if (coll_count(c) > 0)
        return c;
    coll_free(c);
    return NULL;
}

static void run_changes(struct large *l, size_t rank, size_t n)
{
    struct block_iter it;
    blocks_iter(&it, l, rank);
    while (n-- > 0) {
        const struct cell *e = blocks_next(&it);
        readings_before(l, cell_name(e), e);
    }
}

struct coll *coll_cut_run(struct coll *c, size_t rank, size_t n)
{
    assert(!coll_has_table(c->type) && rank + n <= coll_count(c));
    if (coll_is_read(c))
        run_changes(coll_large(c), rank, n);
    if (n == coll_count(c)) {
        if (c->is_large)
            readings_end(coll_large(c)); /* they were told of each */
        coll_free(c);
        return NULL;
    }
    if (c->is_large) {
        blocks_cut_run(coll_large(c), rank, n);
        return c;
    }
    const struct cell *first = coll_by_rank(c, rank), *behind = first;
    for (size_t i = 0; i < n; i++)
        behind = cell_after(behind);
    c->count = (uint16_t)(c->count - n);
    return packed_shift(c, (size_t)(&first->b0 - packed_bytes(c)), &first->b0 - &behind->b0);
}
