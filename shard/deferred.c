/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

/* A frame is poured into what was joined before; a state ends the frame before it is joined. */

void deferred_key(struct shard *s, struct part *p, uint64_t hash)
{
    join_key(p, hash);
    pour_key(s, p, hash);
}

void deferred_end_part(struct shard *s, struct part *p)
{
    if (s->deferred == 0)
        return;
    join_end_part(p);
    pour_end_part(s, p);
}

void deferred_end(struct shard *s)
{
    for (uint32_t i = 0; s->deferred > 0 && i < s->count; i++)
        deferred_end_part(s, &s->parts[i]);
}
