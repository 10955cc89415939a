/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_DIGEST_H
#define MERIDIAN_CRDT_DIGEST_H

#include "crdt/coll.h"

/*
 * Terms of the partition's digest: a hash for each shown element of every type a key has, hidden
 * types too, and one for a shown deadline. They depend on what is shown and on nothing that
 * compaction may drop: numbers count by their text, scores by their double.
 */
uint64_t digest_seed(struct bytes key, enum type type);
struct hash128 digest_element(uint64_t seed, enum type type, const struct cell *c);
struct hash128 digest_open(uint64_t seed, struct bytes name, const struct reg *r);
/* Of an element with one sibling and no increments. */
struct hash128 digest_single(uint64_t seed, enum type type, struct bytes name, struct bytes value);
/*
 * A string's term is the sum of those of its chunks, each hashed with its number, so that a patch
 * costs no more than the chunks it changes. The empty string has one, empty chunk. `seed` is
 * digest_seed's; a part is what the chunks with bytes from..to-1 add to the sum.
 */
#define DIGEST_CHUNK ((size_t)2048)
struct hash128 digest_text(uint64_t seed, struct bytes text);
struct hash128 digest_text_part(uint64_t seed, struct bytes text, size_t from, size_t to);
/* Of a string or HyperLogLog register; c NULL: 0. */
struct hash128 digest_register(struct bytes key, enum type type, const struct cell *c);
struct hash128 digest_deadline(struct bytes key, int64_t ms);       /* DEADLINE_NEVER: 0 */
struct hash128 digest_walk(struct bytes key, const struct coll *c); /* from scratch; c NULL: 0 */

/* A large collection's own sum, a small one's walked over. */
static inline struct hash128 digest_coll(struct bytes key, const struct coll *c)
{
    return c && c->is_large ? coll_large(c)->sum : digest_walk(key, c);
}

#endif
