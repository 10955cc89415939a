/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_HLL_H
#define MERIDIAN_CRDT_HLL_H

#include "base/buf.h"

/*
 * HyperLogLog contributions: the ranks that one segment raises. Either sparse, pairs of (uint16 big
 * endian register index, uint8 rank) sorted by index, or, where that would be longer, dense: one
 * byte a register. The length tells which: 16384 is no multiple of 3. A rank is 1..64; 0 stands
 * only in the dense form.
 */
#define RANKS_DENSE 16384u
#define RANKS_PAIR 3u
#define RANK_MAX 64u

bool ranks_valid(struct bytes s);
/* out := the greater of both, by register. */
void ranks_join(struct buf *out, struct bytes a, struct bytes b);
/* Raises ranks[16384]. */
void ranks_raise(uint8_t *ranks, struct bytes s);

#endif
