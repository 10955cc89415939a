/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

/* An entry's `when` is deadline << PARTITION_BITS | partition; deadlines too far away to matter are
 * never noted. */
#define PARTITION_BITS 14u
#define WHEN_MAX (INT64_C(1) << 48)
#define EXPIRE_BUDGET 256u         /* keys deleted a tick */
#define SWEEP_BUDGET 2048u         /* entries looked at a tick */
#define SWEEP_SLACK 1024u          /* stale entries tolerated beyond the live ones */
#define SINCE_NEXT_TICK UINT64_MAX /* the caller of shard_set_reachable tells no time */
#define ASK_AGAIN_MS 1000          /* another region's deletion has not come yet */

void expiry_deinit(struct expiry *e)
{
    heap_deinit(&e->now);
    heap_deinit(&e->sweep);
}

static void push(struct expiry *e, int64_t when_ms, uint32_t partition, uint64_t hash, stamp_t dot)
{
    if (when_ms < 0)
        when_ms = 0;
    heap_push(&e->now, (struct heap_entry){.when = when_ms << PARTITION_BITS | partition,
                                           .what = hash,
                                           .which = dot});
}

void expiry_note(struct shard *s, struct part *p, uint64_t hash, const struct cell *key)
{
    int64_t when = value_deadline(key);
    if (when < WHEN_MAX)
        push(&s->expiry, when, p->number, hash, value_deadline_dot(key));
}

/* The key whose visible deadline the entry stands for; NULL when it is stale. */
static struct cell *entry_key(const struct shard *s, const struct heap_entry *e, struct part **p)
{
    *p = shard_part(s, (uint32_t)(e->when & ((1 << PARTITION_BITS) - 1)));
    struct cell *key = table_get_hash(&(*p)->keys, e->what);
    if (key == NULL || value_type(key) == TYPE_NONE || value_deadline_dot(key) != e->which)
        return NULL;
    return key;
}

struct cell *expiry_soonest(struct shard *s, struct part **p, uint64_t *hash)
{
    struct expiry *e = &s->expiry;
    for (;;) {
        const struct heap_entry *a = heap_min(&e->now), *b = heap_min(&e->sweep);
        struct heap *h = a == NULL || (b != NULL && b->when < a->when) ? &e->sweep : &e->now;
        struct heap_entry stale;
        const struct heap_entry *min = heap_min(h);
        struct cell *key = min != NULL ? entry_key(s, min, p) : NULL;
        *hash = min != NULL ? min->what : 0;
        if (min == NULL || key != NULL)
            return key;
        (void)heap_pop(h, &stale);
    }
}

struct cell *expiry_any(const struct shard *s, uint64_t random, struct part **p, uint64_t *hash)
{
    const struct expiry *e = &s->expiry;
    if (e->now.n + e->sweep.n == 0)
        return NULL;
    size_t at = (size_t)(random % (e->now.n + e->sweep.n));
    const struct heap_entry *entry =
        at < e->now.n ? heap_at(&e->now, at) : heap_at(&e->sweep, at - e->now.n);
    *hash = entry->what;
    return entry_key(s, entry, p);
}

/* The region that set the deadline deletes; any other only when that one has been out of reach for
 * long. */
static bool may_delete(const struct shard *s, stamp_t dot)
{
    uint32_t region = actor_region(stamp_actor(dot));
    if (!s->geo || region == s->region)
        return true;
    return !(s->reachable >> region & 1) && s->mono_us >= s->unreachable_since[region] &&
           s->mono_us - s->unreachable_since[region] >= UNREACHABLE_US;
}

void shard_set_reachable(struct shard *s, uint64_t regions)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if ((s->reachable >> r & 1) && !(regions >> r & 1))
            s->unreachable_since[r] = SINCE_NEXT_TICK;
    s->reachable = regions;
    s->reachable_changed = true;
}

static void note_unreachable(struct shard *s)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (s->unreachable_since[r] == SINCE_NEXT_TICK)
            s->unreachable_since[r] = s->mono_us;
    s->reachable_changed = false;
}

static bool pop_due(struct heap *h, int64_t wall_ms, struct heap_entry *out)
{
    const struct heap_entry *min = heap_min(h);
    return min != NULL && min->when >> PARTITION_BITS <= wall_ms && heap_pop(h, out);
}

static void expire(struct shard *s, const struct heap_entry *e, int64_t wall_ms)
{
    struct part *p = shard_part(s, (uint32_t)(e->when & ((1 << PARTITION_BITS) - 1)));
    deferred_touch(s, p, e->what);
    struct cell *key = entry_key(s, e, &p);
    if (key == NULL)
        return;
    if (value_deadline(key) > wall_ms || s->stale || s->refusal != NULL ||
        !may_delete(s, e->which)) {
        int64_t later =
            value_deadline(key) > wall_ms ? value_deadline(key) : wall_ms + ASK_AGAIN_MS;
        push(&s->expiry, later, p->number, e->what, e->which);
        return;
    }
    struct bytes shown = cell_name(key);
    buf_clear(&s->name);
    buf_put_bytes(&s->name, shown); /* the cell goes while the operation still names it */
    struct op op = {.kind = OP_DEL, .key = buf_bytes(&s->name)};
    struct applied applied;
    local_op(s, p, e->what, key, &op, wall_ms, &applied);
    s->stats.expired++;
    if (s->wants.events != 0)
        events_removed(s, op.key, true);
}

/*
 * Stale entries go when they come due, which may be never. When they prevail, `now` is put aside as
 * `sweep` and its entries are moved over, the last first: taking the last entry of a heap's array
 * leaves a heap.
 */
static void sweep(struct shard *s)
{
    struct expiry *e = &s->expiry;
    if (e->sweep.n == 0 && e->now.n > 2 * e->live + SWEEP_SLACK) {
        struct heap empty = e->sweep;
        e->sweep = e->now;
        e->now = empty;
    }
    for (unsigned i = 0; i < SWEEP_BUDGET && e->sweep.n > 0; i++) {
        struct part *p;
        struct heap_entry last;
        if (heap_take_last(&e->sweep, &last) && entry_key(s, &last, &p) != NULL)
            heap_push(&e->now, last);
    }
}

bool expiry_tick(struct shard *s, struct moment now)
{
    struct heap_entry e;
    unsigned n = 0;
    if (s->reachable_changed)
        note_unreachable(s);
    while (
        !s->expiry_off && !s->importing && n < EXPIRE_BUDGET &&
        (pop_due(&s->expiry.now, now.wall_ms, &e) || pop_due(&s->expiry.sweep, now.wall_ms, &e))) {
        expire(s, &e, now.wall_ms);
        n++;
    }
    sweep(s);
    return n == EXPIRE_BUDGET || s->expiry.sweep.n > 0;
}
