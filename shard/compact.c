/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

/* Compaction: data that stopped being settled wait in their partition's queue until their newest
 * stamp is stable. */

void compact_note(void *arg, struct bytes key, enum type type, struct bytes elem, stamp_t newest)
{
    struct shard *s = arg;
    settle_push(
        &s->at->unsettled,
        &(struct settle_entry){
            .key = key, .elem = elem, .hash = s->at_hash, .newest = newest, .type = (uint8_t)type});
}

static void compact_one(struct shard *s, struct part *p, const struct settle_entry *e)
{
    deferred_touch(s, p, e->hash);
    struct cell *held = table_get(&p->keys, e->hash, e->key);
    if (held == NULL)
        return;
    struct change change;
    bool settled = true;
    struct settle_entry again = *e;
    change_begin(s, &change, p, e->hash, held);
    change.access = access_get(held); /* nobody uses it */
    struct cell *now = value_compact(held, (enum type)e->type, e->elem, &p->stable, &s->around,
                                     &settled, &again.newest);
    change_end(s, &change, now);
    s->stats.compacted++;
    if (!settled && now != NULL)
        settle_push(&p->unsettled, &again);
}

#define STABLE_BUDGET 16u /* entries looked at when told: it is told of all partitions at once */
#define FETCH_AHEAD 12u   /* entries whose buckets are brought near */
#define FETCH_ITEM 6u     /* fewer ahead: the buckets are here, now the keys */

static void fetch_ahead(struct part *p, uint64_t ring[FETCH_AHEAD], size_t *n)
{
    uint64_t hash;
    while (settle_ahead(&p->unsettled, FETCH_AHEAD, &hash)) {
        table_prefetch(&p->keys, hash);
        ring[(*n)++ % FETCH_AHEAD] = hash;
        if (*n >= FETCH_ITEM)
            table_prefetch_item(&p->keys, ring[(*n - FETCH_ITEM) % FETCH_AHEAD]);
    }
}

/* In order: what waits behind an entry that is not stable yet is younger, so little is lost by not
 * looking. */
bool compact_part(struct shard *s, struct part *p, size_t *budget)
{
    struct settle_entry e;
    uint64_t ring[FETCH_AHEAD];
    shelf_release(&p->shelf, &p->stable);
    size_t fetched = 0, n = p->unsettled.n; /* what is put back is for the next call */
    while (n-- > 0 && settle_peek(&p->unsettled, &e) && context_covers(&p->stable, e.newest)) {
        if (*budget == 0)
            return true;
        --*budget;
        fetch_ahead(p, ring, &fetched);
        compact_one(s, p, &e);
        settle_pop(&p->unsettled);
    }
    return false;
}

bool compact_tick(struct shard *s, size_t budget)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t at = (s->tick_part + i) % s->count;
        if (compact_part(s, &s->parts[at], &budget)) {
            s->tick_part = at;
            return true;
        }
    }
    return false;
}

void shard_stable(struct shard *s, uint32_t partition, const struct context *stable,
                  struct moment now)
{
    struct part *p = shard_part(s, partition);
    size_t budget = STABLE_BUDGET;
    struct mem_account *outer = shard_enter(s);
    shard_note_time(s, now);
    if (!context_eq(&p->stable, stable))
        context_copy(&p->stable, stable);
    compact_part(s, p, &budget);
    mem_account_leave(outer);
}

const struct context *shard_compacted(const struct shard *s, uint32_t partition)
{
    return &s->parts[partition - s->first].stable;
}

size_t shard_unsettled(const struct shard *s)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        n += s->parts[i].unsettled.n;
    return n;
}
