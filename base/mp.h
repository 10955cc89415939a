/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_MP_H
#define MERIDIAN_BASE_MP_H

#include "base/buf.h"

/*
 * MessagePack, written and read directly (the hot path): the smallest form of each number, bin (never str) for bytes.
 * tests/unit/test_mp.c holds it against msgpack-c byte for byte. Specification: msgpack/spec.md.
 */
void mp_put_uint(struct buf *b, uint64_t v);
void mp_put_int(struct buf *b, int64_t v);
void mp_put_double(struct buf *b, double v);
void mp_put_bin(struct buf *b, struct bytes v);
void mp_put_array(struct buf *b, uint32_t n);
void mp_put_map(struct buf *b, uint32_t n);
void mp_put_nil(struct buf *b);
void mp_put_bool(struct buf *b, bool v);

/* A reader over borrowed bytes. The first error sticks (`bad`), later reads return zero; check once at the end. */
struct mp {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct mp mp_read(struct bytes s)
{
    return (struct mp){.p = s.p, .end = s.p + s.n};
}

uint64_t mp_uint(struct mp *m);
int64_t mp_int(struct mp *m);
double mp_double(struct mp *m);      /* also takes integers */
struct bytes mp_bin(struct mp *m);   /* bin or str; points into the input */
uint32_t mp_array(struct mp *m);     /* count; bad when more than the bytes left could hold */
uint32_t mp_map(struct mp *m);
bool mp_bool(struct mp *m);
bool mp_is_nil(struct mp *m);        /* consumes a nil if it is next */
void mp_skip(struct mp *m);          /* one value, nested to depth 32 */

static inline bool mp_done(const struct mp *m)
{
    return !m->bad && m->p == m->end;
}

#endif
