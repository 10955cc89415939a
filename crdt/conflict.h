/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_CONFLICT_H
#define MERIDIAN_CRDT_CONFLICT_H

#include "crdt/elem.h"

/*
 * Finding conflicts (crdt.md): a pair of concurrent operations of which one lost something visible.
 * Each is told to the surroundings when the second of the two arrives, by an operation or by a
 * join; equal values lose nothing.
 */

/* `r` has got the sibling `dot` (0: one or more, by a join) beside others that its writer had not
 * seen. `elem` is empty for the key's own register. */
void conflict_register(const struct change *ch, const struct reg *r, struct bytes elem,
                       stamp_t dot);
/* The key has got one more type: `dot` by an operation on `type`; by a join both are 0. */
void conflict_type(const struct change *ch, const struct multi *m, enum type type, stamp_t dot);
/* The key has got the deadline `dot` beside others. */
void conflict_deadline(const struct change *ch, const struct multi *m, stamp_t dot);

/* The newest write that a register's cell or a collection holds (the other is NULL); of a large
 * collection it may have gone since. */
stamp_t newest_dot(const struct cell *reg, const struct coll *coll, enum type type);

#endif
