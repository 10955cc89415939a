/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_LZF_H
#define MERIDIAN_RDB_LZF_H

#include "base/bytes.h"

/*
 * LZF, the compression of texts in Redis' formats. A run of instructions:
 *
 *   000nnnnn              n + 1 bytes follow as they are
 *   nnnooooo oooooooo     n + 2 bytes (n 1..6) from o + 1 bytes back
 *   111ooooo n oooooooo   n + 9 bytes, likewise
 *
 * http://oldhome.schmorp.de/marc/liblzf.html
 */

/* Compresses into `out`, `room` bytes; returns how many, 0 when it does not fit. */
size_t lzf_compress(struct bytes in, uint8_t *out, size_t room);
/* Expands to exactly `n` bytes; false when the input is malformed or says something else. */
bool lzf_expand(struct bytes in, uint8_t *out, size_t n);
/* No input expands to more: to be checked before room is allocated. */
static inline size_t lzf_expanded_max(size_t n) { return n < SIZE_MAX / 88 ? n * 88 : SIZE_MAX; }

#endif
