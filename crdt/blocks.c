/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/blocks.h"

#include <assert.h>

#include "base/mem.h"

#define SPARSE_BYTES (BLOCK_BYTES / 4)     /* below this a block looks for a neighbour to join */
#define JOINED_BYTES (BLOCK_BYTES / 4 * 3) /* what two of them may have together */
#define JOINED_CELLS (BLOCK_CELLS / 4 * 3)

static struct bytes first_name(const struct block *b) { return cell_view(block_cell(b, 0)).name; }

static int block_cmp(const void *a, const void *b, void *arg)
{
    (void)arg;
    return bytes_cmp(first_name(a), first_name(b));
}

static size_t block_weight(const void *item) { return ((const struct block *)item)->count; }

void blocks_init(struct large *l) { tree_init_weighted(&l->tree, block_cmp, NULL, block_weight); }

static struct block *block_new(struct large *l, size_t cap)
{
    struct block *b = mem_alloc(sizeof *b + cap);
    b->count = 0;
    b->cap = (uint32_t)cap;
    b->used = b->live = 0;
    l->held += sizeof *b + cap;
    return b;
}

static void block_free(struct large *l, struct block *b)
{
    l->held -= sizeof *b + b->cap;
    mem_free(b);
}

/* ------------------------------------------------------------ finding */

static bool begins_at_or_below(const void *item, const void *arg)
{
    return bytes_cmp(first_name(item), *(const struct bytes *)arg) <= 0;
}

/* The first slot whose name is not below; *equal tells whether it is the one. */
static unsigned block_seek(const struct block *b, struct bytes name, bool *equal)
{
    unsigned low = 0, high = b->count;
    *equal = false;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        int order = bytes_cmp(cell_view(block_cell(b, mid)).name, name);
        if (order == 0) {
            *equal = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Pushes and pops are at the ends: look there before descending. */
void blocks_seek(const struct large *l, struct bytes name, struct place *out)
{
    struct block *b = tree_last(&l->tree);
    bool equal;
    size_t rank;
    if (b == NULL)
        return;
    int order = bytes_cmp(name, cell_view(block_cell(b, b->count - 1u)).name);
    if (order >= 0) {
        out->end = order > 0 ? PLACE_LAST : PLACE_UNKNOWN;
        out->slot = order > 0 ? b->count : b->count - 1u;
    } else {
        struct block *head = tree_first(&l->tree);
        order = bytes_cmp(name, first_name(head));
        if (order <= 0) {
            b = head;
            out->end = order < 0 ? PLACE_FIRST : PLACE_UNKNOWN;
            out->slot = 0;
        } else {
            b = tree_floor(&l->tree, begins_at_or_below, &name, &rank);
            out->slot = block_seek(b, name, &equal);
            order = equal ? 0 : 1;
        }
    }
    out->block = b;
    out->cell = order == 0 ? block_cell(b, out->slot) : NULL;
}

/* ------------------------------------------------------------ the directory */

static void slot_open(struct block *b, unsigned slot, size_t offset)
{
    memmove(b->at + slot + 1, b->at + slot, (b->count - slot) * sizeof b->at[0]);
    b->at[slot] = (uint16_t)offset;
    b->count++;
}

static void slot_close(struct block *b, unsigned slot)
{
    b->count--;
    memmove(b->at + slot, b->at + slot + 1, (b->count - slot) * sizeof b->at[0]);
}

/* Room for `n` bytes of cells at the end; none is there: NULL. Moves the cells together if that
 * helps. What a block has beyond BLOCK_BYTES is for one cell alone, even when a small one has taken
 * the place of the large one it was made for. */
static uint8_t *block_room(struct block *b, size_t n)
{
    size_t most = b->count == 0 ? b->cap : BLOCK_BYTES;
    if (b->live + n > most)
        return NULL;
    if (b->used + n > most) {
        uint8_t kept[BLOCK_BYTES];
        size_t used = 0;
        assert(b->live <= sizeof kept);
        for (unsigned i = 0; i < b->count; i++) {
            const struct cell *c = block_cell(b, i);
            size_t size = cell_size(c);
            memcpy(kept + used, c, size);
            b->at[i] = (uint16_t)used;
            used += size;
        }
        memcpy(b->cells, kept, used);
        b->used = (uint32_t)used;
    }
    return b->cells + b->used;
}

static void block_drop(struct block *b, unsigned slot)
{
    size_t size = cell_size(block_cell(b, slot));
    b->live -= (uint32_t)size;
    if (b->at[slot] + size == b->used)
        b->used -= (uint32_t)size;
    slot_close(b, slot);
}

/* Copies the cells from `slot` on behind those of another block. */
static void block_append(struct block *to, const struct block *from, unsigned slot)
{
    for (unsigned i = slot; i < from->count; i++) {
        const struct cell *c = block_cell(from, i);
        size_t size = cell_size(c);
        uint8_t *p = block_room(to, size);
        memcpy(p, c, size);
        slot_open(to, to->count, to->used);
        to->used += (uint32_t)size;
        to->live += (uint32_t)size;
    }
}

/* ------------------------------------------------------------ adding */

/* A cell that was put together elsewhere, into a block that has room. */
static struct cell *block_add(struct block *b, unsigned slot, const uint8_t *cell, size_t need)
{
    uint8_t *p = block_room(b, need);
    assert(p != NULL && b->count < BLOCK_CELLS);
    memcpy(p, cell, need);
    slot_open(b, slot, b->used);
    b->used += (uint32_t)need;
    b->live += (uint32_t)need;
    return block_cell(b, slot);
}

/* Moves the cells from `slot` on, at least one and not all, into a new block behind. */
static struct block *block_split(struct large *l, struct block *b, unsigned slot)
{
    struct block *right = block_new(l, BLOCK_BYTES);
    unsigned moved = b->count - slot;
    block_append(right, b, slot);
    b->count = (uint16_t)slot;
    b->live -= right->live;
    tree_reweigh(&l->tree, b, -(ptrdiff_t)moved);
    tree_put(&l->tree, right);
    return right;
}

/* A new block with this cell alone, next to the others of the tree. */
static struct cell *add_alone(struct large *l, struct place *at, const uint8_t *cell, size_t need)
{
    struct block *b = block_new(l, need > BLOCK_BYTES ? need : BLOCK_BYTES);
    at->block = b;
    at->slot = 0;
    struct cell *c = block_add(b, 0, cell, need);
    if (at->end == PLACE_LAST)
        tree_put_last(&l->tree, b);
    else if (at->end == PLACE_FIRST)
        tree_put_first(&l->tree, b);
    else
        tree_put(&l->tree, b);
    return c;
}

/* Behind all of a full block that is not the last: in front of the next one, or alone. So a run
 * that grows in the middle leaves full blocks behind, as one at the end does. */
static struct cell *add_behind(struct large *l, struct place *at, const uint8_t *cell, size_t need)
{
    void *before, *after;
    tree_beside(&l->tree, at->block, &before, &after);
    struct block *next = after;
    if (next == NULL || next->count >= BLOCK_CELLS || next->live + need > BLOCK_BYTES)
        return add_alone(l, at, cell, need);
    at->block = next;
    at->slot = 0;
    struct cell *c = block_add(next, 0, cell, need);
    tree_reweigh(&l->tree, next, 1);
    return c;
}

/* Into a block that is full, or too small for it: at either end of all the full block stays full,
 * in between it is halved. */
static struct cell *add_splitting(struct large *l, struct place *at, const uint8_t *cell,
                                  size_t need)
{
    struct block *b = at->block;
    bool fits = need <= BLOCK_BYTES / 2 && b->cap == BLOCK_BYTES && b->count > 1;
    if (at->end != PLACE_UNKNOWN)
        return add_alone(l, at, cell, need);
    if (at->slot == b->count)
        return add_behind(l, at, cell, need);
    if (!fits) {
        if (at->slot > 0 && at->slot < b->count)
            block_split(l, b, at->slot);
        return add_alone(l, at, cell, need);
    }
    unsigned half = b->count / 2u;
    struct block *right = block_split(l, b, half);
    if (at->slot > half) {
        at->block = right;
        at->slot -= half;
    }
    b = at->block;
    if (b->live + need > b->cap) /* halves by number need not be halves by bytes */
        return add_splitting(l, at, cell, need);
    struct cell *c = block_add(b, at->slot, cell, need);
    tree_reweigh(&l->tree, b, 1);
    return c;
}

/* Room for a cell that is put together before anything moves. */
struct scratch {
    uint8_t *p;
    uint8_t room[512];
};

static void scratch_put(struct scratch *s, size_t need, const struct heading *h,
                        const struct image *im)
{
    s->p = need <= sizeof s->room ? s->room : mem_alloc(need);
    cell_put(s->p, h, im);
}

static void scratch_end(struct scratch *s)
{
    if (s->p != s->room)
        mem_free(s->p);
}

static void insert(struct large *l, struct place *at, const struct heading *h,
                   const struct image *im)
{
    struct block *b = at->block;
    size_t need = cell_need(h, im);
    if (b != NULL && b->count < BLOCK_CELLS && b->used + need <= BLOCK_BYTES) {
        cell_put(b->cells + b->used, h, im);
        slot_open(b, at->slot, b->used);
        b->used += (uint32_t)need;
        b->live += (uint32_t)need;
        tree_reweigh(&l->tree, b, 1);
        at->cell = block_cell(b, at->slot);
        return;
    }
    struct scratch s;
    scratch_put(&s, need, h, im);
    if (b == NULL) {
        at->cell = add_alone(l, at, s.p, need);
    } else if (b->count < BLOCK_CELLS && b->live + need <= BLOCK_BYTES) {
        at->cell = block_add(b, at->slot, s.p, need);
        tree_reweigh(&l->tree, b, 1);
    } else {
        at->cell = add_splitting(l, at, s.p, need);
    }
    scratch_end(&s);
}

/* The cell at the place gives way to another of the same name. */
static void replace(struct large *l, struct place *at, const uint8_t *cell, size_t need)
{
    struct block *b = at->block;
    size_t was = cell_size(at->cell);
    if (b->live - was + need <= (b->count == 1 ? b->cap : BLOCK_BYTES)) {
        block_drop(b, at->slot);
        at->cell = block_add(b, at->slot, cell, need);
    } else if (b->count == 1) {
        tree_take(&l->tree, b);
        block_free(l, b);
        at->cell = add_alone(l, at, cell, need);
    } else {
        tree_reweigh(&l->tree, b, -1);
        block_drop(b, at->slot);
        if (at->slot == 0) /* what is left begins later: the cell goes before it */
            at->cell = add_alone(l, at, cell, need);
        else
            at->cell = add_splitting(l, at, cell, need);
    }
}

void blocks_put(struct large *l, struct place *at, const struct heading *h, const struct image *im)
{
    if (at->cell == NULL) {
        insert(l, at, h, im);
        return;
    }
    size_t need = cell_need(h, im);
    if (need == cell_size(at->cell) && !im->borrows) {
        cell_put(&at->cell->b0, h, im);
        return;
    }
    struct scratch s;
    scratch_put(&s, need, h, im);
    replace(l, at, s.p, need);
    scratch_end(&s);
}

/* ------------------------------------------------------------ removing */

static bool join_two(struct large *l, struct block *b, struct block *next)
{
    if (b == NULL || next == NULL || next->count + b->count > JOINED_CELLS ||
        next->live + b->live > JOINED_BYTES)
        return false;
    tree_take(&l->tree, next);
    block_append(b, next, 0);
    tree_reweigh(&l->tree, b, next->count);
    block_free(l, next);
    return true;
}

/* A block that has become sparse joins a neighbour when both are small. The outermost are left
 * alone: a queue empties them anyway. */
static void join_neighbour(struct large *l, struct block *b)
{
    void *before, *after;
    if (b->live >= SPARSE_BYTES || b->cap != BLOCK_BYTES || b == tree_first(&l->tree) ||
        b == tree_last(&l->tree))
        return;
    tree_beside(&l->tree, b, &before, &after);
    if (!join_two(l, b, after))
        join_two(l, before, b);
}

void blocks_cut(struct large *l, const struct place *at)
{
    struct block *b = at->block;
    if (b->count == 1) {
        tree_take(&l->tree, b);
        block_free(l, b);
        return;
    }
    block_drop(b, at->slot);
    tree_reweigh(&l->tree, b, -1);
    join_neighbour(l, b);
}

/* Up to `n` cells from the slot on go; returns how many did. */
static size_t cut_slots(struct large *l, struct block *b, unsigned slot, size_t n)
{
    size_t left = b->count - slot, gone = n < left ? n : left;
    if (gone == b->count) {
        tree_take(&l->tree, b);
        block_free(l, b);
        return gone;
    }
    for (unsigned i = slot; i < slot + gone; i++)
        b->live -= (uint32_t)cell_size(block_cell(b, i));
    tree_reweigh(&l->tree, b, -(ptrdiff_t)gone);
    memmove(b->at + slot, b->at + slot + gone, (left - gone) * sizeof b->at[0]);
    b->count = (uint16_t)(b->count - gone);
    join_neighbour(l, b);
    return gone;
}

void blocks_cut_run(struct large *l, size_t rank, size_t n)
{
    while (n > 0) {
        struct block_iter it;
        blocks_iter(&it, l, rank);
        n -= cut_slots(l, tree_item(&it.tree), it.slot, n);
    }
}

/* ------------------------------------------------------------ reading */

void blocks_iter(struct block_iter *it, const struct large *l, size_t rank)
{
    size_t offset;
    tree_iter_into(&it->tree, &l->tree, rank, &offset);
    it->block = tree_item(&it->tree);
    it->slot = (unsigned)offset;
}

const struct cell *blocks_next(struct block_iter *it)
{
    if (it->block == NULL)
        return NULL;
    const struct cell *c = block_cell(it->block, it->slot++);
    if (it->slot == it->block->count) {
        tree_next(&it->tree);
        it->block = tree_item(&it->tree);
        it->slot = 0;
    }
    return c;
}

const struct cell *blocks_prev(struct block_iter *it)
{
    if (it->block == NULL)
        return NULL;
    const struct cell *c = block_cell(it->block, it->slot);
    if (it->slot-- == 0) {
        tree_prev(&it->tree);
        it->block = tree_item(&it->tree);
        it->slot = it->block != NULL ? it->block->count - 1u : 0;
    }
    return c;
}

struct bound {
    bool (*below)(const void *cell, const void *arg);
    const void *arg;
};

static bool begins_below(const void *item, const void *arg)
{
    const struct bound *k = arg;
    return k->below(block_cell(item, 0), k->arg);
}

size_t blocks_partition(const struct large *l, bool (*below)(const void *cell, const void *arg),
                        const void *arg)
{
    size_t rank;
    const struct block *b =
        tree_floor(&l->tree, begins_below, &(struct bound){.below = below, .arg = arg}, &rank);
    if (b == NULL)
        return 0;
    unsigned low = 1, high = b->count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (below(block_cell(b, mid), arg))
            low = mid + 1;
        else
            high = mid;
    }
    return rank + low;
}

/* ------------------------------------------------------------ passing over all */

/* Takes the marked cells out in one go. */
static void drop_marked(struct large *l, struct block *b, const bool *drop, unsigned n)
{
    if (n == b->count) {
        tree_take(&l->tree, b);
        block_free(l, b);
        return;
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < b->count; i++) {
        if (drop[i])
            b->live -= (uint32_t)cell_size(block_cell(b, i));
        else
            b->at[kept++] = b->at[i];
    }
    b->count = (uint16_t)kept;
    tree_reweigh(&l->tree, b, -(ptrdiff_t)n);
}

/* An element's register was changed; before it in its block `dropped` cells go. */
static void pass_replace(struct large *l, struct block *b, unsigned slot, const bool *drop,
                         unsigned dropped, const struct reg *r)
{
    struct image im;
    struct scratch s;
    struct cell *cell = block_cell(b, slot);
    struct heading h = {.name = cell_name(cell)};
    image_of_reg(&im, r);
    image_raise(&l->newest, &im);
    size_t need = cell_need(&h, &im);
    scratch_put(&s, need, &h, &im);
    if (dropped > 0)
        drop_marked(l, b, drop, dropped);
    slot -= dropped;
    struct place at = {.cell = block_cell(b, slot), .block = b, .slot = slot};
    replace(l, &at, s.p, need);
    scratch_end(&s);
}

#define PASS_COST 8u /* of a block, in elements */

/* Passes over a block from `slot` on until its end, or until a cell was replaced, after which
 * nothing is where it was. Returns how many cells stay of those that were looked at. */
static size_t pass_block(struct large *l, struct block *b, unsigned slot, coll_change *change,
                         void *arg)
{
    bool drop[BLOCK_CELLS] = {false};
    unsigned dropped = 0;
    size_t kept = 0;
    for (; slot < b->count; slot++) {
        struct reg r;
        reg_init(&r, l->head.type);
        enum fate fate = change(block_cell(b, slot), 0, &r, arg);
        if (fate != FATE_KEEP)
            large_changes(l, cell_name(block_cell(b, slot)), block_cell(b, slot));
        if (fate == FATE_REPLACE)
            pass_replace(l, b, slot, drop, dropped, &r);
        reg_close(&r);
        if (fate == FATE_REPLACE)
            return kept + 1;
        drop[slot] = fate == FATE_DROP;
        dropped += fate == FATE_DROP;
        kept += fate == FATE_KEEP;
    }
    if (dropped == 0)
        return kept;
    bool stays = dropped < b->count;
    drop_marked(l, b, drop, dropped);
    if (stays)
        join_neighbour(l, b);
    return kept;
}

size_t blocks_pass(struct large *l, size_t rank, size_t n, coll_change *change, void *arg)
{
    while (rank < l->tree.count && n > 0) {
        struct tree_iter it;
        size_t offset;
        tree_iter_into(&it, &l->tree, rank, &offset);
        size_t kept = pass_block(l, tree_item(&it), (unsigned)offset, change, arg);
        rank += kept;
        n -= kept + PASS_COST < n ? kept + PASS_COST : n;
    }
    return rank;
}

bool blocks_free_step(struct large *l, size_t *budget)
{
    struct block *b;
    while (*budget > 0 && (b = tree_last(&l->tree)) != NULL) {
        *budget -= b->count < *budget ? b->count : *budget;
        tree_take(&l->tree, b);
        block_free(l, b);
    }
    return tree_last(&l->tree) != NULL;
}
