/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_PACK_H
#define MERIDIAN_RDB_PACK_H

#include "base/buf.h"
#include "base/num.h"

/*
 * Redis' packed runs of texts and numbers, read; and the newest of them, the listpack, written.
 * Numbers inside are little-endian but for the lengths of texts.
 *
 *   listpack   bytes:32 count:16 entry.. ff         count ffff: not kept
 *     entry    0nnnnnnn | 110nnnnn n | f1 n:16 | f2 n:24 | f3 n:32 | f4 n:64          a number
 *              10nnnnnn text | 1110nnnn n text | f0 n:32 text        (14-bit n: high bits first)
 *              and behind it its own length, readable from the end: groups of 7 bits, high first,
 *              all but the first with the top bit set
 *   ziplist    bytes:32 last:32 count:16 entry.. ff
 *     entry    length of the one before: n | fe n:32; then
 *              00nnnnnn text | 01nnnnnn n text | 10...... n:32 text            (high byte first)
 *              c0 n:16 | d0 n:32 | e0 n:64 | f0 n:24 | fe n:8 | f1 .. fd: 0 .. 12
 *   intset     width:32 count:32 number..           ascending
 *   zipmap     count:8 (name value).. ff            a text: n | fe n:32, behind a value's length
 *                                                   the number of unused bytes behind it
 */
enum pack_form { PACK_LISTPACK, PACK_ZIPLIST, PACK_INTSET, PACK_ZIPMAP };

struct pack_item {
    struct bytes text; /* points into the pack, or into `room` for a number */
    bool is_number;
    int64_t number;
    char room[24];
};

struct pack {
    enum pack_form form;
    const uint8_t *at, *end; /* `end`: behind the last entry */
    unsigned width;          /* intset: bytes of a number */
    size_t before;           /* ziplist: length of the entry before */
    bool odd;                /* zipmap: the next one is a value */
};

/* Checks all of it, to the last entry, and stands before the first. *count: how many entries; a
 * zipmap's names and values count one each. False: malformed. */
bool pack_open(struct pack *p, enum pack_form form, struct bytes s, size_t *count);
/* The next entry; false at the end. */
bool pack_next(struct pack *p, struct pack_item *out);

/* ---- inside: one entry, with every length checked against `end` */
bool pack_step_listpack(struct pack *p, struct pack_item *out);
bool pack_step_ziplist(struct pack *p, struct pack_item *out);
bool pack_step_zipmap(struct pack *p, struct pack_item *out);
void pack_number(struct pack_item *out, int64_t v);
void pack_text(struct pack *p, struct pack_item *out, size_t n); /* n bytes are there */

/* n bytes, 1 to 8, little-endian, signed. */
static inline int64_t pack_signed(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n);
}

static inline uint64_t pack_unsigned(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* ------------------------------------------------------------ writing (listpack.c) */

#define LISTPACK_EMPTY 7u /* bytes of one without entries */

struct listpack {
    struct buf entries;
    size_t count;
};
void listpack_deinit(struct listpack *l);
/* A text; one that is a number's shortest text is kept as a number, as Redis does. */
void listpack_add(struct listpack *l, struct bytes text);
void listpack_add_number(struct listpack *l, int64_t v);
static inline size_t listpack_size(const struct listpack *l)
{
    return LISTPACK_EMPTY + buf_len(&l->entries);
}
/* Appends the whole; `l` is empty afterwards. Below 4 GiB: the caller has seen to it. */
void listpack_finish(struct listpack *l, struct buf *out);

#endif
