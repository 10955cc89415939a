/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_POUR_H
#define MERIDIAN_SHARD_POUR_H

#include "shard/inside.h"

/* Inside shard/: a large frame under way (pour.c; from outside: shard_pour). */
void pour_free(struct shard *s);
/* What the key, of that partition and hash, gets of it. */
void pour_key(struct shard *s, const struct part *p, uint64_t hash);
/* To be called before anything looks at the key. It may move the cell of that key, of no other. */
static inline void pour_touch(struct shard *s, const struct part *p, uint64_t hash)
{
    if (__builtin_expect(s->pour != NULL, 0))
        pour_key(s, p, hash);
}
/* All of it at once, if it has happened: before anything looks at the partition as a whole. */
void pour_end(struct shard *s);
void pour_end_part(struct shard *s, const struct part *p);

#endif
