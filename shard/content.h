/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CONTENT_H
#define MERIDIAN_SHARD_CONTENT_H

#include "base/hash.h"
#include "shard/keys.h"

/*
 * A hash of what a key shows, for DEBUG DIGEST and DIGEST-VALUE: equal for equal values, whatever
 * the key is called, whenever and in whichever order it was written. (The partition's digest,
 * crdt/digest.h, is another: it also tells lists apart that show the same at other positions.)
 */
struct hash128 content_hash(struct call *c, const struct key *k);

#define CONTENT_TEXT 40
/* As 40 hexadecimal digits, which Redis' digests have; terminated. */
void content_text(struct hash128 h, char out[CONTENT_TEXT + 1]);

#endif
