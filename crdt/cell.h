/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_CELL_H
#define MERIDIAN_CRDT_CELL_H

#include "base/hash.h"
#include "base/num.h"
#include "crdt/op.h"

/*
 * A cell: one named datum with its register, in one run of bytes. The same form serves as a key of
 * the keyspace (name = key; a string's register, or a pointer to its collection), a hash field, a
 * set member, a sorted-set member (value = score) and a list element (name = position): alone in an
 * allocation (large collections, the keyspace) or packed one behind the other (small collections).
 *
 *   byte 0       form:3 | deadline:1 | low:4
 *                low: a key's type; of an element 0, or 8 + n: its dot is stored in n < 8 bytes
 *   varint       length of the name
 *   varint       length of the payload
 *   [16 bytes]   deadline: dot, Unix ms; keyspace only, the one deadline of a key with a value
 *   name
 *   payload, by form:
 *     CELL_DOT     dot                              a set member with one dot
 *     CELL_ONE     dot, value                       a register with one sibling, no increments
 *     CELL_SCORE   dot, score (see score_pack)      a sorted-set member, likewise
 *     CELL_COUNT   dot (from), to, int64            a counter of one segment, never assigned
 *     CELL_WIDE    siblings, segments (see reg.h)   everything else
 *     CELL_COLL    pointer to struct coll           keyspace only: a collection
 *     CELL_MULTI   pointer to struct multi          keyspace only: several types, several or bare
 *                                                   deadlines
 *
 * In a packed collection a dot is stored as its difference from the collection's base dot where
 * that is shorter: elements written together differ by two or three bytes. Only CELL_COLL and
 * CELL_MULTI hold pointers, so an element is freed, moved and copied as plain bytes.
 *
 * The first five are what commands read through the accessors below; nobody outside crdt/ looks at
 * the bytes.
 */
struct cell {
    uint8_t b0; /* and what follows: form.h */
};

enum cell_form { CELL_DOT, CELL_ONE, CELL_SCORE, CELL_COUNT, CELL_WIDE, CELL_COLL, CELL_MULTI };
#define CELL_DEADLINE_BIT 0x10u

static inline uint8_t cell_form(const struct cell *c) { return c->b0 >> 5; }

static inline uint8_t cell_low(const struct cell *c) { return c->b0 & 15u; }

static inline bool cell_has_deadline(const struct cell *c)
{
    return (c->b0 & CELL_DEADLINE_BIT) != 0;
}

struct bytes cell_name(const struct cell *c);
size_t cell_size(const struct cell *c); /* bytes of the run itself */

/* What a register shows: its greatest sibling, plus its increments when that is a number. */
struct shown {
    struct bytes text; /* may point into `room` or the cell: valid until the cell changes */
    char room[NUM_TEXT_MAX];
};
void cell_show(const struct cell *c, struct shown *out);
/* The length of the shown text, without building it where that can be avoided. */
size_t cell_show_len(const struct cell *c);
/* Sorted-set member's shown score: never NaN (inf and -inf assigned and added concurrently show 0).
 */
double cell_score(const struct cell *c);

/* The shown value as a number: what INCR-like commands start from. */
enum number_kind { NUMBER_NONE, NUMBER_INT, NUMBER_REAL };
enum number_kind cell_number(const struct cell *c, int64_t *i, long double *r);

#endif
