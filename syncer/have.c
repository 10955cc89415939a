/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/* Who has what: for clients that wait until their writes are elsewhere. Only a region's present
 * life counts: what an earlier one had in memory is gone until it has caught up. */

uint64_t syncer_have(const struct syncer *s, uint32_t partition, stamp_t stamp, bool durable)
{
    uint64_t have = 0;
    const struct part *part = syncer_part(s, partition);
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (s->peers[r].member && stability_claimed(part->stability, r, stamp))
            have |= UINT64_C(1) << r;
    for (const struct feed *f = s->feeds; f != NULL && !durable; f = f->next)
        if (f->conn != 0 && f->proven && partition - f->first < f->count &&
            context_covers(&f->parts[partition - f->first].acked, stamp))
            have |= UINT64_C(1) << f->puller.region;
    return have;
}

uint64_t syncer_learnt(const struct syncer *s) { return s->learnt; }

void syncer_lagging(const struct syncer *s, uint32_t partitions[REGION_MAX + 1])
{
    for (uint32_t i = 0; i < s->count; i++)
        partitions[stability_laggard(s->parts[i].stability,
                                     shard_context(s->shard, s->first + i))]++;
}
