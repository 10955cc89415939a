/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_SHELF_H
#define MERIDIAN_CRDT_SHELF_H

#include "base/table.h"
#include "crdt/reg.h"

/*
 * Large strings of one partition that an operation has replaced or removed here, and which a patch
 * written elsewhere meanwhile may still be based on (docs/patches.md). No part of what is shown, of
 * the digest or of a state that is transferred. What is kept goes when the operation that dropped
 * it is causally stable, or earlier when all shelves of the shard hold too much: then a patch that
 * comes for it finds nothing, and its region asks for the state instead.
 *
 * A value that a patch has replaced in place is kept as what undoes the patch, so it is rebuilt
 * from the value after it: one that is kept, too, or the present one.
 */
struct kept; /* opaque: one value */

/* What the shelves of one shard have in common. */
struct shelf_total {
    size_t bytes, bytes_max;
    size_t value_min; /* shorter values are not kept: nobody patches them */
    size_t n;         /* values */
    uint64_t evicted;
    unsigned held; /* not 0: nothing goes for being too much */
    struct kept *oldest, *newest;
};

/* Zero-initialised it is empty and must only be cleared. */
struct shelf {
    struct shelf_total *total; /* kept */
    struct table keys;         /* of what is kept under each name */
    struct kept *first, *last; /* in the order kept */
};

void shelf_init(struct shelf *f, struct shelf_total *total, struct hash_key key);
void shelf_clear(struct shelf *f);
/* Lets go of what was dropped by an operation that is now stable. */
void shelf_release(struct shelf *f, const struct context *stable);

/* Until it is released as often: while a frame is applied of which it was found that its patches
 * have their bases, none goes. */
void shelf_hold(struct shelf_total *t);
void shelf_unhold(struct shelf_total *t);

/* Keeps the value `dot` of `key`, which the operation `until` drops: copied, or in its own cell of
 * the form CELL_ONE under the key's name (taken). */
void shelf_keep(struct shelf *f, struct bytes key, struct sibling value, stamp_t until);
void shelf_take(struct shelf *f, struct cell *cell, stamp_t until);

/* What a patch overwrites in a value: `was` stood at `offset`, and the value had `len` bytes. */
struct undo {
    size_t offset, len;
    struct bytes was;
};
/* Keeps the value `dot` of `key` that the patch `now` replaces. With `merge`, `dot` was written in
 * the same frame, so nobody else has seen it: it is kept only as a step to what was before it. */
void shelf_keep_undo(struct shelf *f, struct bytes key, stamp_t dot, const struct undo *undo,
                     stamp_t now, bool merge);
/* Something kept is rebuilt from the value `dot`, which is present. */
bool shelf_needs(const struct shelf *f, struct bytes key, stamp_t dot);

/*
 * All of it as it travels with a partition's state, each value a record of its own for `put`, the
 * oldest first: MessagePack [key, dot, until, from, bytes]. from 0: the bytes are the value; else
 * they undo patches, back from the value `from`.
 */
void shelf_encode(const struct shelf *f, void (*put)(void *arg, struct bytes record), void *arg);
bool shelf_is_record(struct bytes record); /* and not a key's state (crdt/state.c) */
/* False on a malformed one. */
bool shelf_record_valid(struct bytes record);
/* Keeps what is in a valid record, unless it is kept already, or no patch can come for it any more.
 */
void shelf_merge(struct shelf *f, struct bytes record, const struct context *stable);

/* Is the value `dot` of `key` kept, and can it be rebuilt? `present` is the key's string. */
bool shelf_has(const struct shelf *f, struct bytes key, stamp_t dot, const struct reg *present);
/* Writes it to `out`, which is empty; false when shelf_has is. */
bool shelf_show(const struct shelf *f, struct bytes key, stamp_t dot, const struct reg *present,
                struct buf *out);

#endif
