/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_CELL_H
#define MERIDIAN_CRDT_CELL_H

#include "base/hash.h"
#include "base/num.h"
#include "crdt/op.h"

/*
 * A cell: one named datum with its register, in one run of bytes. The same form serves as
 *   - a key of the keyspace (name = key; a string's register, or a pointer to its collection),
 *   - a hash field, a set member, a sorted-set member (value = score), a list element (name = position),
 * alone in an allocation (large collections, the keyspace) or packed one behind the other (small collections).
 *
 *   byte 0        form:3 | deadline:1 | type:4 (type only in the keyspace)
 *   varint        length of the name
 *   varint        length of the payload
 *   [16 bytes]    deadline: dot, Unix ms       (only in the keyspace, one settled deadline)
 *   name
 *   payload, by form:
 *     CELL_DOT    dot                                  a set member with one dot
 *     CELL_ONE    dot, value bytes                     a register with one sibling and no increments
 *     CELL_SCORE  dot, double                          a sorted-set member with one sibling and no increments
 *     CELL_COUNT  from, to, int64                      a counter of one segment, never assigned
 *     CELL_WIDE   pointer to struct wide               everything else: siblings, increments, several dots
 *     CELL_BIG    dot, pointer to struct big           one sibling whose value is large (own allocation, room to grow)
 *     CELL_COLL   pointer to struct coll               keyspace only: a collection
 *     CELL_MULTI  pointer to struct multi              keyspace only: several types, several or bare deadlines
 *
 * The first six are what commands read through the accessors below; nobody outside crdt/ looks at the bytes.
 */
struct cell; /* opaque */

enum cell_form {
    CELL_DOT,
    CELL_ONE,
    CELL_SCORE,
    CELL_COUNT,
    CELL_WIDE,
    CELL_BIG,
    CELL_COLL,
    CELL_MULTI
};

struct bytes cell_name(const struct cell *c);
size_t cell_size(const struct cell *c); /* bytes of the run itself */

/* What a register shows: its greatest sibling, plus its increments when that is a number. */
struct shown {
    struct bytes text;        /* always set; may point into `room` or the cell: valid until the cell changes */
    char room[NUM_TEXT_MAX];
};
void cell_show(const struct cell *c, struct shown *out);
/* The length of the shown text, without building it where that can be avoided. */
size_t cell_show_len(const struct cell *c);
double cell_score(const struct cell *c); /* sorted-set member's shown score */

/* The shown value as a number: what INCR-like commands start from. */
enum number_kind { NUMBER_NONE, NUMBER_INT, NUMBER_REAL };
enum number_kind cell_number(const struct cell *c, int64_t *i, long double *r);

#endif
