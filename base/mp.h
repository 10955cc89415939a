/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_MP_H
#define MERIDIAN_BASE_MP_H

#include "base/buf.h"

/*
 * MessagePack, written and read directly (the hot path): the smallest form of each number, bin
 * (never str) for bytes. tests/unit/test_mp.c holds it against msgpack-c byte for byte.
 * Specification: msgpack/spec.md.
 */
static inline void mp_put_tag(struct buf *b, uint8_t tag, uint64_t v, unsigned bytes)
{
    uint8_t *p = buf_reserve(b, 9);
    p[0] = tag;
    v = __builtin_bswap64(v << (64 - 8 * bytes)); /* its bytes, big endian, come first */
    memcpy(p + 1, &v, 8);
    buf_added(b, 1 + bytes);
}

static inline void mp_put_uint(struct buf *b, uint64_t v)
{
    if (v < 0x80)
        buf_put_u8(b, (uint8_t)v);
    else if (v <= UINT8_MAX)
        mp_put_tag(b, 0xcc, v, 1);
    else if (v <= UINT16_MAX)
        mp_put_tag(b, 0xcd, v, 2);
    else if (v <= UINT32_MAX)
        mp_put_tag(b, 0xce, v, 4);
    else
        mp_put_tag(b, 0xcf, v, 8);
}

static inline void mp_put_bin_head(struct buf *b, uint32_t n)
{
    if (n <= UINT8_MAX)
        mp_put_tag(b, 0xc4, n, 1);
    else if (n <= UINT16_MAX)
        mp_put_tag(b, 0xc5, n, 2);
    else
        mp_put_tag(b, 0xc6, n, 4);
}

/* The head of a bin of n bytes, and room reserved for them: for a value that is built in place. */
static inline uint8_t *mp_reserve_bin(struct buf *b, uint32_t n)
{
    buf_reserve(b, 9 + (size_t)n);
    mp_put_bin_head(b, n);
    return b->p + b->tail;
}

/* At most 2^32 - 1 bytes, which every limit on keys, values and frames is far below. */
static inline void mp_put_bin(struct buf *b, struct bytes v)
{
    uint8_t *p = mp_reserve_bin(b, (uint32_t)v.n);
    if (v.n)
        memcpy(p, v.p, v.n);
    buf_added(b, v.n);
}

static inline void mp_put_array(struct buf *b, uint32_t n)
{
    if (n < 16)
        buf_put_u8(b, (uint8_t)(0x90 | n));
    else if (n <= UINT16_MAX)
        mp_put_tag(b, 0xdc, n, 2);
    else
        mp_put_tag(b, 0xdd, n, 4);
}

void mp_put_int(struct buf *b, int64_t v);
void mp_put_double(struct buf *b, double v);
void mp_put_map(struct buf *b, uint32_t n);
void mp_put_nil(struct buf *b);
void mp_put_bool(struct buf *b, bool v);

/* A reader over borrowed bytes. The first error sticks (`bad`), later reads return zero; check once
 * at the end. */
struct mp {
    const uint8_t *p, *end; /* after an error p == end: no read finds anything */
    bool bad;
};

static inline struct mp mp_read(struct bytes s)
{
    return (struct mp){.p = s.p, .end = s.n ? s.p + s.n : s.p};
}

static inline size_t mp_left(const struct mp *m) { return (size_t)(m->end - m->p); }

/* The slow ways of the readers below: everything that is not the shortest form. */
uint64_t mp_uint_long(struct mp *m);
struct bytes mp_bin_long(struct mp *m);

/* Also takes a signed form whose value is not negative. */
static inline uint64_t mp_uint(struct mp *m)
{
    if (m->p < m->end && *m->p < 0x80)
        return *m->p++;
    return mp_uint_long(m);
}

/* bin or str; points into the input. */
static inline struct bytes mp_bin(struct mp *m)
{
    if (mp_left(m) >= 2 && m->p[0] == 0xc4 && m->p[1] <= mp_left(m) - 2) {
        struct bytes v = bytes_of(m->p + 2, m->p[1]);
        m->p += 2 + v.n;
        return v;
    }
    return mp_bin_long(m);
}

int64_t mp_int(struct mp *m);
double mp_double(struct mp *m);  /* also takes integers */
uint32_t mp_array(struct mp *m); /* count; bad when more than the bytes left could hold */
uint32_t mp_map(struct mp *m);   /* likewise, of pairs */
bool mp_bool(struct mp *m);
bool mp_is_nil(struct mp *m); /* consumes a nil if it is next */
void mp_skip(struct mp *m);   /* one value, nested to depth MP_DEPTH_MAX */
#define MP_DEPTH_MAX 32u

static inline bool mp_done(const struct mp *m) { return !m->bad && m->p == m->end; }

#endif
