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
