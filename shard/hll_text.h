/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_HLL_TEXT_H
#define MERIDIAN_SHARD_HLL_TEXT_H

#include "base/buf.h"
#include "crdt/value.h"

/*
 * A HyperLogLog as the string that Redis holds for it: what GET, DUMP and their kin show, and what
 * PFADD and PFCOUNT accept in a string key.
 *
 *   "HYLL"  encoding u8 (0 dense, 1 sparse)  3 bytes of zeros  cached cardinality u64, little
 *   endian: its top bit says that it is out of date  registers
 *
 *   dense   16384 ranks of 6 bits, the lowest bits of a byte first: 12288 bytes
 *   sparse  runs: 00nnnnnn: n + 1 zeros   01nnnnnn nnnnnnnn: n + 1 zeros   1vvvvvnn: n + 1 times
 *           the rank v + 1
 */
#define HLL_SPARSE_MAX 3000u /* Redis' hll-sparse-max-bytes: what is longer is written dense */

enum hll_read { HLL_READ, HLL_NO_TEXT /* something else */, HLL_CORRUPT };

/* Appends it: sparse where that can be and `dense` is not asked for. `counted`: with the cached
 * cardinality. */
void hll_text_put(struct buf *out, const uint8_t ranks[HLL_REGISTERS], bool dense, bool counted);
/* ranks := what the text says, but for HLL_READ undefined. */
enum hll_read hll_text_read(struct bytes text, uint8_t ranks[HLL_REGISTERS]);
/* Of a text that hll_text_read has read. */
bool hll_text_is_dense(struct bytes text);
/* Appends a sparse text's runs in words, as PFDEBUG DECODE shows them. */
void hll_text_decode(struct buf *out, struct bytes text);

#endif
