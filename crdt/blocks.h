/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_BLOCKS_H
#define MERIDIAN_CRDT_BLOCKS_H

#include "crdt/coll.h"

/*
 * The elements of a large ordered collection without a table (list, stream): a weighted tree of
 * blocks, each a page of cells. For crdt/ only.
 *
 * A block is a slotted page (Ramakrishnan and Gehrke, Database Management Systems, 9.6.2): cells
 * lie in the order in which they came, a directory has them in order of their names. So adding at
 * either end, or in the middle, moves no other cell; room that a removed cell leaves is won back
 * when the block would be full. A cell that no block could hold has one of its own. Dots stand in
 * full.
 */
#define BLOCK_CELLS 128u
#define BLOCK_BYTES 3824u /* of cells: the whole block is 4 KiB */

struct block {
    uint16_t count;
    uint32_t cap;  /* bytes for cells: BLOCK_BYTES, more where a single cell needs it */
    uint32_t used; /* up to where cells have been put */
    uint32_t live; /* bytes of those that are there */
    uint16_t at[BLOCK_CELLS];
    uint8_t cells[];
};

static inline struct cell *block_cell(const struct block *b, unsigned slot)
{
    union {
        const uint8_t *in;
        struct cell *out;
    } u = {.in = b->cells + b->at[slot]};
    return u.out;
}

void blocks_init(struct large *l);
/* Where the name is, or would be. */
void blocks_seek(const struct large *l, struct bytes name, struct place *out);
/* Adds the cell at the place found, or replaces the one that is there; at->cell is where it is now.
 */
void blocks_put(struct large *l, struct place *at, const struct heading *h, const struct image *im);
void blocks_cut(struct large *l, const struct place *at);
/* Removes the `n` cells (at least one) from `rank` on. */
void blocks_cut_run(struct large *l, size_t rank, size_t n);
/* Stands on a rank; a rank outside: at the end. */
void blocks_iter(struct block_iter *it, const struct large *l, size_t rank);
const struct cell *blocks_next(struct block_iter *it);
const struct cell *blocks_prev(struct block_iter *it);
/* Rank of the first element for which below(cell, arg) is false; it must be true for a prefix. */
size_t blocks_partition(const struct large *l, bool (*below)(const void *cell, const void *arg),
                        const void *arg);
/* Passes over about `n` elements from `rank` on; returns how far that got: at the count all is
 * done. */
size_t blocks_pass(struct large *l, size_t rank, size_t n, coll_change *change, void *arg);
/* Frees blocks until `budget` elements are freed and lowers it; false: nothing is left. */
bool blocks_free_step(struct large *l, size_t *budget);

#endif
