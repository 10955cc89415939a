/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_JOIN_H
#define MERIDIAN_CRDT_JOIN_H

#include "crdt/conflict.h"

/*
 * The join of two states of one key: what both hold, and what one holds and the other has not seen.
 * Element by element, as the model's Key.join. Whole in join.c, in steps in join_steps.c.
 */
struct join {
    struct change ch;
    const struct context *mine, *theirs;
    const struct coll *other; /* their collection of the type at hand */
    enum type type;
    uint64_t seed;
    struct hash128 minus, plus; /* of the elements that join_mine has changed */
};

void join_begin(struct join *j, enum type type, const struct coll *other);
/* What becomes of an element of mine; a coll_change, of the join. */
enum fate join_mine(const struct cell *e, stamp_t base, struct reg *r, void *arg);
/* An element of theirs: into mine, unless I hold one of that name. */
struct coll *join_theirs(struct join *j, struct coll *c, const struct cell *e);
void join_deadlines(struct join *j, struct multi *m, const struct multi *o);

#endif
