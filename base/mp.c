/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mp.h"

/* ------------------------------------------------------------ writing */

void mp_put_int(struct buf *b, int64_t v)
{
    if (v >= 0)
        mp_put_uint(b, (uint64_t)v);
    else if (v >= -32)
        buf_put_u8(b, (uint8_t)v);
    else if (v >= INT8_MIN)
        mp_put_tag(b, 0xd0, (uint64_t)v, 1);
    else if (v >= INT16_MIN)
        mp_put_tag(b, 0xd1, (uint64_t)v, 2);
    else if (v >= INT32_MIN)
        mp_put_tag(b, 0xd2, (uint64_t)v, 4);
    else
        mp_put_tag(b, 0xd3, (uint64_t)v, 8);
}

void mp_put_double(struct buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    mp_put_tag(b, 0xcb, bits, 8);
}

void mp_put_map(struct buf *b, uint32_t n)
{
    if (n < 16)
        buf_put_u8(b, (uint8_t)(0x80 | n));
    else if (n <= UINT16_MAX)
        mp_put_tag(b, 0xde, n, 2);
    else
        mp_put_tag(b, 0xdf, n, 4);
}

void mp_put_nil(struct buf *b) { buf_put_u8(b, 0xc0); }

void mp_put_bool(struct buf *b, bool v) { buf_put_u8(b, v ? 0xc3 : 0xc2); }

/* ------------------------------------------------------------ reading */

static void fail(struct mp *m)
{
    m->bad = true;
    m->p = m->end;
}

/* The next n (1..8) bytes as a big-endian number. */
static uint64_t number(struct mp *m, unsigned n)
{
    if (mp_left(m) < n) {
        fail(m);
        return 0;
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | m->p[i];
    m->p += n;
    return v;
}

static uint8_t tag(struct mp *m)
{
    return (uint8_t)number(
        m, 1); /* 0, a valid fixint, at the end: the caller's result is 0 then, too */
}

/* A number of any integer form: its 64 bits, and whether they are a negative int64. */
static uint64_t integer(struct mp *m, uint8_t t, bool *negative)
{
    *negative = false;
    if (t < 0x80)
        return t;
    if (t >= 0xcc && t <= 0xcf)
        return number(m, 1u << (t - 0xcc));
    int64_t v;
    if (t >= 0xe0) {
        v = (int8_t)t;
    } else if (t == 0xd0) {
        v = (int8_t)number(m, 1);
    } else if (t == 0xd1) {
        v = (int16_t)number(m, 2);
    } else if (t == 0xd2) {
        v = (int32_t)number(m, 4);
    } else if (t == 0xd3) {
        v = (int64_t)number(m, 8);
    } else {
        fail(m);
        return 0;
    }
    *negative = v < 0;
    return (uint64_t)v;
}

uint64_t mp_uint_long(struct mp *m)
{
    bool negative;
    uint64_t v = integer(m, tag(m), &negative);
    if (!negative)
        return v;
    fail(m);
    return 0;
}

int64_t mp_int(struct mp *m)
{
    bool negative;
    uint64_t v = integer(m, tag(m), &negative);
    if (negative || v <= INT64_MAX)
        return (int64_t)v;
    fail(m);
    return 0;
}

double mp_double(struct mp *m)
{
    uint8_t t = tag(m);
    if (t == 0xcb) {
        uint64_t bits = number(m, 8);
        return load_double(&bits);
    }
    if (t == 0xca) {
        uint32_t bits = (uint32_t)number(m, 4);
        float v;
        memcpy(&v, &bits, sizeof v);
        return (double)v;
    }
    bool negative;
    uint64_t v = integer(m, t, &negative);
    return negative ? (double)(int64_t)v : (double)v;
}

static struct bytes take(struct mp *m, uint64_t n)
{
    if (m->bad || n > mp_left(m)) {
        fail(m);
        return bytes_of(NULL, 0);
    }
    struct bytes v = bytes_of(m->p, (size_t)n);
    m->p += n;
    return v;
}

struct bytes mp_bin_long(struct mp *m)
{
    uint8_t t = tag(m);
    if (m->bad)
        return bytes_of(NULL, 0);
    if (t >= 0xa0 && t <= 0xbf)
        return take(m, t & 31u);
    if (t >= 0xc4 && t <= 0xc6)
        return take(m, number(m, 1u << (t - 0xc4)));
    if (t >= 0xd9 && t <= 0xdb)
        return take(m, number(m, 1u << (t - 0xd9)));
    fail(m);
    return bytes_of(NULL, 0);
}

/* The count of an array (fix 0x90, long 0xdc) or map (0x80, 0xde); each of its entries takes
 * `least` bytes or more. */
static uint32_t count(struct mp *m, uint8_t fix, uint8_t longer, unsigned least)
{
    uint8_t t = tag(m);
    uint64_t n = 0;
    if ((t & 0xf0) == fix)
        n = t & 15u;
    else if (t == longer)
        n = number(m, 2);
    else if (t == longer + 1)
        n = number(m, 4);
    else
        fail(m);
    if (n * least > mp_left(m)) {
        fail(m);
        n = 0;
    }
    return (uint32_t)n;
}

uint32_t mp_array(struct mp *m) { return count(m, 0x90, 0xdc, 1); }

uint32_t mp_map(struct mp *m) { return count(m, 0x80, 0xde, 2); }

bool mp_bool(struct mp *m)
{
    uint8_t t = tag(m);
    if (t != 0xc2 && t != 0xc3)
        fail(m);
    return t == 0xc3;
}

bool mp_is_nil(struct mp *m)
{
    if (m->p == m->end || *m->p != 0xc0)
        return false;
    m->p++;
    return true;
}

/* Steps over one value that is not an array or a map; for those it returns how many values they
 * hold. */
static uint32_t skip_head(struct mp *m)
{
    uint8_t t = *m->p;
    if ((t & 0xf0) == 0x90 || t == 0xdc || t == 0xdd)
        return mp_array(m);
    if ((t & 0xf0) == 0x80 || t == 0xde || t == 0xdf)
        return 2 * mp_map(m); /* at most the bytes left: fits */
    if (t < 0x80 || t >= 0xe0 || (t >= 0xcc && t <= 0xd3)) {
        bool negative;
        integer(m, tag(m), &negative);
    } else if (t == 0xca || t == 0xcb) {
        mp_double(m);
    } else if (t >= 0xd4 && t <= 0xd8) { /* fixext: a type and 1, 2, 4, 8 or 16 bytes */
        take(m, 2 + (1u << (t - 0xd4)));
    } else if (t >= 0xc7 && t <= 0xc9) { /* ext: a length, a type and the bytes */
        m->p++;
        take(m, 1 + number(m, 1u << (t - 0xc7)));
    } else if (t == 0xc0 || t == 0xc2 || t == 0xc3) {
        m->p++;
    } else {
        mp_bin(m); /* also refuses 0xc1, which is no value */
    }
    return 0;
}

void mp_skip(struct mp *m)
{
    uint32_t left[MP_DEPTH_MAX] = {1}; /* values still to skip, by depth */
    unsigned depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0)
                return;
            depth--;
        }
        if (m->p == m->end) {
            fail(m);
            return;
        }
        left[depth]--;
        uint32_t inside = skip_head(m);
        if (m->bad)
            return;
        if (inside == 0)
            continue;
        if (++depth == MP_DEPTH_MAX) {
            fail(m);
            return;
        }
        left[depth] = inside;
    }
}
