/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_ACCESS_H
#define MERIDIAN_CRDT_ACCESS_H

#include "crdt/form.h"

/*
 * When a key was last used: 24 bits behind its cell, of this region only, of no consequence for
 * what the key shows. What they mean is the keyspace's business (shard/evict.c). They are undefined
 * after every change of the key.
 */
#define ACCESS_MASK 0xffffffu

static inline const uint8_t *access_at(const struct cell *key)
{
    const uint8_t *p = &key->b0;
    if (__builtin_expect((p[1] | p[2]) < 128, 1)) /* short names and payloads */
        return p + 3 + p[1] + p[2] + (*p & CELL_DEADLINE_BIT ? DEADLINE_BYTES : 0);
    struct view v = cell_view(key);
    return v.payload.p + v.payload.n;
}

static inline uint32_t access_get(const struct cell *key)
{
    const uint8_t *p = access_at(key);
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static inline void access_set(struct cell *key, uint32_t v)
{
    uint8_t *p = &key->b0 + (access_at(key) - &key->b0);
    uint16_t low = (uint16_t)v;
    memcpy(p, &low, sizeof low); /* little-endian machines only, asserted in cell.c */
    p[2] = (uint8_t)(v >> 16);
}

#endif
