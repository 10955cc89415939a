/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "worker/inside.h"

/*
 * How much of its time a worker gives to active defragmentation (CONFIG activedefrag): nothing
 * below active-defrag-threshold-lower percent of holes or active-defrag-ignore-bytes, then from
 * active-defrag-cycle-min percent up to cycle-max at threshold-upper, as Redis. Holes are known of
 * the process as a whole; each worker moves what its shards hold. Where blocks lie is no part of a
 * history that can be run again: tests have everything moved (opts.defrag_slices).
 */
#define LOOK_US UINT64_C(1000000)
#define SLICES_A_PERCENT 3u /* of a tenth of a second: a slice takes some 300 us */

static int64_t percent(const struct settings *s, const struct mem_heap *heap)
{
    int64_t lower = s->number[CONFIG_ACTIVE_DEFRAG_THRESHOLD_LOWER],
            upper = s->number[CONFIG_ACTIVE_DEFRAG_THRESHOLD_UPPER],
            least = s->number[CONFIG_ACTIVE_DEFRAG_CYCLE_MIN],
            most = s->number[CONFIG_ACTIVE_DEFRAG_CYCLE_MAX];
    size_t holes = heap->active > heap->allocated ? heap->active - heap->allocated : 0;
    int64_t part = heap->allocated ? (int64_t)(holes * 100 / heap->allocated) : 0;
    if (part < lower || (int64_t)holes < s->number[CONFIG_ACTIVE_DEFRAG_IGNORE_BYTES])
        return 0;
    if (part >= upper || upper <= lower)
        return most;
    return most <= least ? least : least + (most - least) * (part - lower) / (upper - lower);
}

void defrag_look(struct worker *w, struct moment now)
{
    struct mem_heap heap;
    bool known = false, asked = false;
    if (now.mono_us < w->defrag_us)
        return;
    w->defrag_us = now.mono_us + LOOK_US;
    for (struct database *d = w->databases; d != NULL; d = d->next) {
        const struct settings *s = &d->front->kept;
        bool on = s->number[CONFIG_ACTIVEDEFRAG] != 0;
        if (on && !asked) {
            asked = true;
            known = mem_heap(&heap);
        }
        d->front->defrag_percent = on && known ? (uint32_t)percent(s, &heap) : 0;
        for (uint32_t i = 0; i < d->members_count; i++)
            if (d->members[i].open && w->opts.defrag_slices > 0)
                shard_set_defrag(d->members[i].shard, w->opts.defrag_slices, true);
            else if (d->members[i].open)
                shard_set_defrag(d->members[i].shard, d->front->defrag_percent * SLICES_A_PERCENT,
                                 false);
    }
}
