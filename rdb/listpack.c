/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/pack.h"

/* Writing listpacks; the format stands in pack.h. */

#define NUMBER_TEXT_MAX 20u

void listpack_deinit(struct listpack *l)
{
    buf_deinit(&l->entries);
    l->count = 0;
}

/* Ends the entry that began at `from`. */
static void end_entry(struct listpack *l, size_t from)
{
    size_t n = buf_len(&l->entries) - from;
    unsigned size = 1;
    while (size < 5 && n >> (7 * size) > 0)
        size++;
    for (unsigned i = size; i-- > 0;) {
        uint8_t bits = (uint8_t)(n >> (7 * i) & 127u);
        buf_put_u8(&l->entries, i + 1 == size ? bits : (uint8_t)(bits | 128u));
    }
    l->count++;
}

/* A head and n bytes of v, little-endian. */
static void put_tagged(struct listpack *l, uint8_t head, uint64_t v, unsigned n)
{
    buf_put_u8(&l->entries, head);
    for (unsigned i = 0; i < n; i++)
        buf_put_u8(&l->entries, (uint8_t)(v >> (8 * i)));
}

static bool fits(int64_t v, unsigned bits)
{
    return v >= -(INT64_C(1) << (bits - 1)) && v < INT64_C(1) << (bits - 1);
}

void listpack_add_number(struct listpack *l, int64_t v)
{
    size_t from = buf_len(&l->entries);
    uint64_t u = (uint64_t)v;
    if (v >= 0 && v < 128) {
        put_tagged(l, (uint8_t)v, 0, 0);
    } else if (fits(v, 13)) {
        put_tagged(l, (uint8_t)(0xc0u | (u >> 8 & 31u)), u, 1);
    } else if (fits(v, 16)) {
        put_tagged(l, 0xf1, u, 2);
    } else if (fits(v, 24)) {
        put_tagged(l, 0xf2, u, 3);
    } else if (fits(v, 32)) {
        put_tagged(l, 0xf3, u, 4);
    } else {
        put_tagged(l, 0xf4, u, 8);
    }
    end_entry(l, from);
}

void listpack_add(struct listpack *l, struct bytes text)
{
    size_t from = buf_len(&l->entries);
    int64_t v;
    if (text.n <= NUMBER_TEXT_MAX && num_parse_i64(text, &v)) {
        listpack_add_number(l, v);
        return;
    }
    if (text.n < 64)
        put_tagged(l, (uint8_t)(0x80u | text.n), 0, 0);
    else if (text.n < 4096)
        put_tagged(l, (uint8_t)(0xe0u | text.n >> 8), text.n, 1);
    else
        put_tagged(l, 0xf0, text.n, 4);
    buf_put_bytes(&l->entries, text);
    end_entry(l, from);
}

void listpack_finish(struct listpack *l, struct buf *out)
{
    size_t n = listpack_size(l), count = l->count < UINT16_MAX ? l->count : UINT16_MAX;
    for (unsigned i = 0; i < 4; i++)
        buf_put_u8(out, (uint8_t)(n >> (8 * i)));
    buf_put_u8(out, (uint8_t)count);
    buf_put_u8(out, (uint8_t)(count >> 8));
    buf_put_bytes(out, buf_bytes(&l->entries));
    buf_put_u8(out, 0xff);
    buf_clear(&l->entries);
    l->count = 0;
}
