/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_ELEM_H
#define MERIDIAN_CRDT_ELEM_H

#include "crdt/digest.h"
#include "crdt/multi.h"

/*
 * Changing one element of a collection, or all that a removal has seen, with what hangs on it: the
 * digest, counts of conflicts, word of what became unsettled.
 */
struct change {
    const struct op *op; /* NULL in joins and compaction */
    const struct seen *seen;
    const struct context *vv; /* after the change */
    const struct surroundings *s;
    struct bytes key;
    struct applied *out; /* `changed` is set where something is stored or goes */
    stamp_t patched;     /* the base of a patch, which has been kept */
};

/* The digest goes by `minus` and `plus`. */
void change_digest(const struct surroundings *s, struct hash128 minus, struct hash128 plus);
/* The digest's term for the deadline that the opened key shows; 0 where none is, or digests are
 * off. */
struct hash128 multi_deadline_term(const struct multi *m, const struct change *ch);
/* Tells that a register waits for compaction, once: r->queued remembers. */
void change_queue(const struct change *ch, struct reg *r, struct bytes elem);
/* The increment that an operation carries. */
void op_amount(const struct op *op, struct segment *out);

/* Everything a register's cell (NULL: nothing) or a collection holds is seen. For large collections
 * "no" may be wrong: their bound also knows dots that are gone. A local writer has seen all. */
bool cell_seen(const struct cell *e, stamp_t base, const struct seen *seen);
bool coll_seen(const struct coll *c, const struct seen *seen);

/* Applies ch->op to its element; c may be NULL. Returns the collection now, NULL when empty. */
struct coll *elem_apply(struct coll *c, enum type type, const struct change *ch);
/* The same for the operations of streams that change several elements (stream_apply.c). */
struct coll *stream_apply(struct coll *c, const struct change *ch);
/* Removes what ch->seen covers from all elements. */
struct coll *elem_remove_seen(struct coll *c, const struct change *ch);
/* Writes an opened register back: at->cell is its present cell (NULL: none), `minus` that one's
 * digest term. Used by apply, join and compaction. */
struct coll *elem_store(struct coll *c, enum type type, struct place *at, struct bytes name,
                        const struct image *im, const struct change *ch);
/* A collection turned large, or was changed by a pass: its own sum follows. */
void coll_sum(struct coll *c, bool was_large, const struct change *ch, struct hash128 minus,
              struct hash128 plus);

#endif
