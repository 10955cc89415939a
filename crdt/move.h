/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_MOVE_H
#define MERIDIAN_CRDT_MOVE_H

#include "crdt/value.h"

/*
 * Moving what a key holds to other places in memory, for defragmentation. Nothing but addresses
 * changes.
 */
struct mover {
    /* Says where the block is from now on: where it was, or where its copy is (mem_move). */
    void *(*move)(void *block, void *arg);
    void *arg;
};

/* The key's cell and what hangs on it, but for the elements of large collections. The table that
 * holds the cell has to be told: returns where it is now. */
struct cell *move_key(struct cell *key, const struct mover *m);
/* The elements of a large collection of the key with cells of their own, about `want` of them from
 * `cursor` on: returns the next cursor, 0 when done. Start with 0. Several types under one name go
 * one after the other, as `*type` says; start with TYPE_NONE. */
uint64_t move_elements(const struct cell *key, enum type *type, uint64_t cursor, size_t want,
                       const struct mover *m);
bool move_has_elements(const struct cell *key); /* is there such a collection? */

#endif
