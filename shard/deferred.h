/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_DEFERRED_H
#define MERIDIAN_SHARD_DEFERRED_H

#include "shard/inside.h"

/*
 * What a partition has taken as a whole and its keys get one by one: a state of another region
 * (join.c), and a large frame that came later (pour.c). It has happened, the context and the log
 * say so; nobody finds a key as it was before. So whoever looks a key up calls deferred_touch
 * first, whoever looks at all keys deferred_end_part or deferred_end, and slices do the rest.
 */
void deferred_key(struct shard *s, struct part *p, uint64_t hash);
/* Before anything looks at the key. It may move or free the cell of that key, of no other. */
static inline void deferred_touch(struct shard *s, struct part *p, uint64_t hash)
{
    if (__builtin_expect(s->deferred != 0, 0))
        deferred_key(s, p, hash);
}
void deferred_end_part(struct shard *s, struct part *p);
void deferred_end(struct shard *s);

/* A frame (from outside: shard_pour). */
void pour_free(struct shard *s);
void pour_key(struct shard *s, const struct part *p, uint64_t hash);
void pour_end(struct shard *s);
void pour_end_part(struct shard *s, const struct part *p);

/* A state (from outside: joiner_join). */
void join_key(struct part *p, uint64_t hash);
void join_end_part(struct part *p);
void join_drop(struct part *p); /* what has not been joined is lost: the shard goes */
/* The next slice of any partition; false when none is left. */
bool join_some(struct shard *s);

#endif
