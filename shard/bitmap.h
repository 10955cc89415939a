/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_BITMAP_H
#define MERIDIAN_SHARD_BITMAP_H

#include "base/bytes.h"

/*
 * Runs of bits in strings, the first being the highest bit of the first byte. Pure arithmetic over
 * bytes, for the bit commands.
 */

/* How many of `s`'s bits are set. */
uint64_t bitmap_count(struct bytes s);
/* The same of the bits first .. last, which lie within `s`. */
uint64_t bitmap_count_bits(struct bytes s, uint64_t first, uint64_t last);
/* The first bit of that value among first .. last, which lie within `s`; -1: there is none. */
int64_t bitmap_find(struct bytes s, bool bit, uint64_t first, uint64_t last);

static inline bool bitmap_get(struct bytes s, uint64_t bit)
{
    return bit / 8 < s.n && (s.p[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

/* A number of `width` (1..64) bits at bit `at`; bits beyond the end are 0. */
uint64_t bitmap_load(struct bytes s, uint64_t at, unsigned width);
/* Writes one into `bytes`, which hold bit `at` to `at` + width - 1. */
void bitmap_store(uint8_t *bytes, uint64_t at, unsigned width, uint64_t v);

enum bitmap_op { BITMAP_AND, BITMAP_OR, BITMAP_XOR, BITMAP_NOT };
/* to := to op s by bytes, where `s` counts as followed by zeros up to `n`, the length of `to`. NOT:
 * to := not s. */
void bitmap_combine(uint8_t *to, size_t n, enum bitmap_op op, struct bytes s);

#endif
