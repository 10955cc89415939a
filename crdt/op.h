/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_OP_H
#define MERIDIAN_CRDT_OP_H

#include "crdt/context.h"

/*
 * Operations: what travels. Everything a command does is expressed in these; docs in
 * ../shared/design/crdt.md. key, elem and val borrow their bytes. On the wire an operation is a
 * MessagePack array, see op_encode.
 */
enum op_kind {
    OP_SET = 1, /* val: assigns the string; removes every type it had seen, and the deadline unless
                   OPF_KEEPTTL */
    OP_INCR,    /* num: adds to the string's counter */
    OP_INCRF,   /* real: the same with floats */
    OP_DEL,     /* removes what was seen of all types, and the deadline */
    OP_EXPIRE,  /* num: deadline in Unix ms; DEADLINE_NEVER = PERSIST */
    OP_SADD,    /* elem */
    OP_SREM,    /* elem */
    OP_HSET,    /* elem: field, val */
    OP_HINCR,   /* elem, num */
    OP_HINCRF,  /* elem, real */
    OP_HDEL,    /* elem */
    OP_ZADD,    /* elem: member, real: score */
    OP_ZINCR,   /* elem, real */
    OP_ZREM,    /* elem */
    OP_LINS,    /* elem: position (crdt/position.h), val; also LSET */
    OP_LREM,    /* elem: position */
    OP_PFADD,   /* val: pairs (uint16 big endian register index, uint8 rank), sorted by index */
    OP_FLUSH,   /* no key: removes what was seen of every key of the partition */
    OP_PATCH,   /* elem: base and offset, val: assigns the string that is another one with val
                   written into it; see crdt/patch.h */
    OP_XADD,  /* elem: an entry's name (crdt/stream_name.h), val: see stream_added_read; also writes
                 what its actor knows of the stream: this ID is the last, so many were added */
    OP_XSET,  /* elem, val: assigns any element of a stream */
    OP_XREM,  /* elem: removes any element of a stream */
    OP_XCUT,  /* elem, val: removes what was seen of the elements from elem up to, without, val */
    OP_XTRIM, /* elem: an entry's name: removes what was seen of the entries up to it, of all
                 regions, in the order of (ID, region) */
    OP_KIND_MAX
};

enum op_flag {
    OPF_FRESH = 1,   /* the key was, or becomes, empty: its deadline goes too */
    OPF_KEEPTTL = 2, /* OP_SET: leave the deadline */
    OPF_EXTEND =
        4, /* increments, OP_PFADD: merge into the writer's own newest segment (same open frame) */
    OPF_ABSORB = 8, /* increments: num/real is the sum of all own segments, which it replaces;
                       OP_PFADD: val is their union */
};

#define DEADLINE_NEVER INT64_MAX
#define ABSORB_AT 64u /* own segments in one register before the next increment absorbs them */

struct op {
    stamp_t stamp;
    uint8_t kind, flags;
    struct bytes key, elem, val;
    int64_t num;
    long double real;
};

/* Appends [stamp - base, kind | flags << 5, key, (elem), (val | num | real)]; elem and val stand
 * only where the kind has them (op_has_elem ...). Reals travel as bin(10): sign+exponent, mantissa,
 * big endian (IEEE 754 extended). */
void op_encode(struct buf *out, const struct op *op, stamp_t base);
/* Reads one; false on malformed bytes, unknown kind or flag, a stamp not above `base`, NaN, bad
 * position or pairs. */
bool op_decode(struct mp *m, struct op *op, stamp_t base);
const char *op_kind_name(uint8_t kind);

/* A long double on the wire: bin(10). Reading: false on another length or NaN. */
void real_put(struct buf *out, long double v);
bool real_read(struct mp *m, long double *out);

#endif
