/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_HLL_ESTIMATE_H
#define MERIDIAN_SHARD_HLL_ESTIMATE_H

#include "crdt/value.h"

/*
 * HyperLogLog (Flajolet et al. 2007) with Redis' parameters: 16384 registers, a 64-bit hash of
 * which the low 14 bits choose the register and the other 50 give the rank.
 */
#define HLL_INDEX_BITS 14u
#define HLL_RANK_MAX 51u /* 50 bits without a one, plus one */

/* MurmurHash64A (Austin Appleby, public domain). */
uint64_t hll_hash(struct bytes s);
/* Register and rank (1..HLL_RANK_MAX) of an element. */
void hll_place(struct bytes element, uint16_t *index, uint8_t *rank);
/* How many different elements the registers have seen: the improved raw estimator of Otmar Ertl,
 * "New cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithm 6. */
uint64_t hll_estimate(const uint8_t ranks[HLL_REGISTERS]);

#endif
