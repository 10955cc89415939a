/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STATE_H
#define MERIDIAN_CRDT_STATE_H

#include "crdt/apply.h"
#include "crdt/coll.h"

/*
 * Writing a key's state in parts, for slicer.c; the bytes are described in state.c, reading them is
 * value_decode's (apply.h).
 */

enum { PART_FIRST, PART_MORE };

/* Everything but the elements of large collections, and the first few of one of those: of the one
 * that has just been opened for reading. */
struct reading;
void value_encode_head(struct buf *out, const struct cell *key, struct reading *first);

/*
 * A string whose value is written a piece at a time, for shard/transfer.c: a key that is nothing
 * but one string of more than `bytes`. Its record, framed, is what value_encode_long appends, the
 * value, and VALUE_LONG_END.
 */
bool value_is_long(const struct cell *key, size_t bytes);
struct bytes value_long_text(const struct cell *key); /* points into it */
void value_encode_long(struct buf *out, const struct cell *key);
#define VALUE_LONG_END 0x90u

/* A record with some elements of a large collection, one after the other. */
struct part_writer {
    struct buf *out;
    enum type type;
    size_t at;       /* of the record */
    size_t count_at; /* of the number of elements */
    uint32_t n;
};
void part_begin(struct part_writer *w, struct buf *out, struct bytes name, enum type type);
void part_add(struct part_writer *w, const struct cell *elem);
void part_end(struct part_writer *w); /* writes nothing when there are no elements */

#endif
