/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_ENCODING_H
#define MERIDIAN_SHARD_ENCODING_H

#include "shard/keys.h"

/*
 * The name of the encoding in which Redis 7.0 would hold a value of this content, which OBJECT
 * ENCODING answers and tools go by. How values are kept here is another matter (crdt/coll.h).
 * A value that Redis once unpacked stays so there; here only what it holds now counts.
 */
const char *encoding_name(struct call *c, const struct key *k);

#endif
