/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_BITS_H
#define MERIDIAN_SHARD_CMD_BITS_H

#include "shard/text.h"

/* The bit commands that have files of their own, and what they share. */

/* The offset of a bit, below 8 * STRING_MAX. `width` not 0: "#n" means n * width. Replies Redis'
 * error and returns false when it is none. */
bool arg_bit_offset(struct call *c, struct bytes arg, unsigned width, uint64_t *out);

void bitfield(struct call *c);
void bitfield_ro(struct call *c);
void bitop(struct call *c);

#endif
