/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/evict.h"

#include "shard/deferred.h"

/*
 * Redis' approximations: of a few keys at random those that were unused for the longest time (LRU)
 * or least often (LFU) stand in a pool of candidates, the best of which goes. A key's 24 bits are
 * the second of its last use, or the minute of it (16 bits) and a count (8 bits) that grows the
 * slower the greater it is and shrinks with time.
 * https://redis.io/docs/latest/develop/reference/eviction/
 */
#define SAMPLES 5u
#define LFU_LOG_FACTOR 10u
#define LFU_DECAY_MINUTES 1u
#define TRIES 16u       /* to find a key, where few are like that */
#define BARE_BYTES 160u /* what of a removed key waits, at most, for others to hear of it */
#define FREE_STEP 512u  /* elements freed at a time */
#define FREE_COST 64u   /* of that, in keys */
#define TAKE_BUDGET 16u /* keys evicted beyond two for each operation taken */
#define OWN_SHARE_NUM                                                                              \
    7u /* a shard that holds less than 7/8 of its share leaves it to the others                    \
        */
#define OWN_SHARE_DEN 8u

/* ------------------------------------------------------------ how keys are used */

bool evict_is_lfu(const struct shard *s)
{
    return s->evict.set.policy == FORGET_ALL_LFU || s->evict.set.policy == FORGET_VOLATILE_LFU;
}

uint32_t evict_idle_s(const struct shard *s, uint32_t access)
{
    return (s->evict.seconds - access) & ACCESS_MASK;
}

uint32_t evict_frequency(const struct shard *s, uint32_t access)
{
    uint32_t count = access & 0xff, minutes = (s->evict.minutes - (access >> 8)) & 0xffff;
    uint32_t decay = s->evict.set.lfu_decay_minutes;
    uint32_t less = decay > 0 ? minutes / decay : 0;
    return less < count ? count - less : 0;
}

uint32_t evict_access_of_idle(const struct shard *s, uint64_t idle_s)
{
    return (s->evict.seconds - (uint32_t)(idle_s < ACCESS_MASK ? idle_s : ACCESS_MASK)) &
           ACCESS_MASK;
}

uint32_t evict_access_of_frequency(const struct shard *s, uint32_t frequency)
{
    return s->evict.minutes << 8 | frequency;
}

static uint32_t used_again(struct shard *s, uint32_t count)
{
    if (count == 255)
        return count;
    uint64_t beyond = count > LFU_FIRST ? count - LFU_FIRST : 0;
    uint64_t one_of = beyond * s->evict.set.lfu_log_factor + 1;
    return count + (one_of == 1 || rng_below(&s->evict.rng, one_of) == 0);
}

uint32_t evict_used(struct shard *s, const struct cell *held)
{
    if (!s->evict.lfu)
        return s->evict.seconds;
    if (held == NULL)
        return evict_access_of_frequency(s, LFU_FIRST);
    return evict_access_of_frequency(s, used_again(s, evict_frequency(s, access_get(held))));
}

/* What moves slowly is looked at in ticks. */
void evict_clock(struct shard *s)
{
    s->evict.seconds = (uint32_t)(s->wall_ms / 1000) & ACCESS_MASK;
    s->evict.minutes = (uint32_t)(s->wall_ms / 60000) & 0xffff;
    s->bare = 0;
    for (uint32_t i = 0; i < s->shown; i++)
        s->bare += s->parts[i].bare;
}

/* ------------------------------------------------------------ settings, thresholds */

void evict_init(struct shard *s, uint64_t seed)
{
    rng_init(&s->evict.rng, seed ^ UINT64_C(0x6576696374));
    s->evict.set.refuse_percent = 100;
    shard_set_eviction(s, &(struct evict_settings){.lfu_log_factor = LFU_LOG_FACTOR,
                                                   .lfu_decay_minutes = LFU_DECAY_MINUTES});
}

void shard_set_eviction(struct shard *s, const struct evict_settings *set)
{
    s->evict.set = *set;
    if (set->samples == 0)
        s->evict.set.samples = SAMPLES;
    if (set->refuse_percent == 0)
        s->evict.set.refuse_percent = 100;
    s->evict.lfu = evict_is_lfu(s);
    s->evict.pool_n = 0;
    evict_thresholds(s);
}

static int64_t own_part(const struct shard *s, uint64_t percent)
{
    uint64_t max = s->memory_max;
    return (int64_t)(max / 100 * percent + max % 100 * percent / 100) - (int64_t)s->elsewhere;
}

void evict_thresholds(struct shard *s)
{
    struct evictor *e = &s->evict;
    bool limited = s->memory_max != 0 && s->memory_max < INT64_MAX / 200;
    bool forgets = limited && e->set.policy != FORGET_NOTHING;
    e->start = forgets ? own_part(s, s->geo ? EVICT_GEO_PERCENT : 100) : INT64_MAX;
    e->refuse = limited ? own_part(s, e->set.refuse_percent) : INT64_MAX;
    e->margin = limited ? own_part(s, EVICT_MARGIN_PERCENT) : INT64_MAX;
    e->guard = e->start < e->refuse ? e->start : e->refuse;
}

/* What is gone as soon as others have heard of it, and would not go sooner by evicting more. */
static int64_t pending(const struct shard *s)
{
    return (int64_t)(s->kept.bytes + s->bare * BARE_BYTES);
}

static bool is_above(const struct shard *s)
{
    return s->account.held - pending(s) > s->evict.start;
}

/* Is the shard as large as the others, so that what goes should go from here? */
static bool is_ours(const struct shard *s)
{
    uint64_t held = shard_held(s), all = held + s->elsewhere;
    return held / OWN_SHARE_NUM * OWN_SHARE_DEN >= all / s->partitions * s->shown;
}

/* ------------------------------------------------------------ candidates */

static uint64_t badness(const struct shard *s, uint32_t access)
{
    return s->evict.lfu ? 255 - evict_frequency(s, access) : evict_idle_s(s, access);
}

/* Into its place, the best at the end; the worst makes room. */
static void pool_put(struct evictor *e, const struct candidate *c)
{
    size_t at = 0;
    for (size_t i = 0; i < e->pool_n; i++)
        if (e->pool[i].hash == c->hash)
            return;
    while (at < e->pool_n && e->pool[at].bad < c->bad)
        at++;
    if (e->pool_n < EVICT_POOL) {
        memmove(e->pool + at + 1, e->pool + at, (e->pool_n - at) * sizeof *c);
        e->pool[at] = *c;
        e->pool_n++;
    } else if (at > 0) {
        memmove(e->pool, e->pool + 1, (at - 1) * sizeof *c);
        e->pool[at - 1] = *c;
    }
}

static void consider(struct shard *s, const struct part *p, const struct cell *key)
{
    struct evictor *e = &s->evict;
    if (value_type(key) == TYPE_NONE)
        return;
    struct candidate c = {.bad = badness(s, access_get(key)), .part = p->number};
    if (e->pool_n == EVICT_POOL && c.bad <= e->pool[0].bad)
        return;
    c.hash = shard_hash(s, cell_name(key));
    pool_put(e, &c);
}

struct sampling {
    struct shard *shard;
    const struct part *part;
    size_t seen;
    struct cell *any;
};

static void look(void *item, void *arg)
{
    struct sampling *g = arg;
    g->seen++;
    if (g->part != NULL)
        consider(g->shard, g->part, item);
    else if (value_type(item) != TYPE_NONE && rng_below(&g->shard->evict.rng, g->seen) == 0)
        g->any = item;
}

/* A partition, each by the number of its keys; NULL: there are none. */
static struct part *any_part(struct shard *s)
{
    size_t most = s->evict.part_most, all = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        struct part *p = &s->parts[rng_below(&s->evict.rng, s->shown)];
        if (p->keys.count > most)
            most = s->evict.part_most = p->keys.count;
        if (p->keys.count > 0 && rng_below(&s->evict.rng, most) < p->keys.count)
            return p;
    }
    s->evict.part_most = 0;
    for (uint32_t i = 0; i < s->shown; i++)
        all += s->parts[i].keys.count;
    uint64_t nth = all > 0 ? rng_below(&s->evict.rng, all) : 0;
    for (uint32_t i = 0; i < s->shown && all > 0; i++) {
        if (nth < s->parts[i].keys.count)
            return &s->parts[i];
        nth -= s->parts[i].keys.count;
    }
    return NULL;
}

/* Whole buckets from a random place on: their order is that of hashes, so they are as good as
 * chosen one by one. */
static void scan_some(struct part *p, uint64_t random, size_t want, struct sampling *g)
{
    uint64_t at = random >> 16;
    while (g->seen < want && (at = table_scan(&p->keys, at, want - g->seen, look, g)) != 0)
        continue;
    if (g->seen == 0)
        (void)table_scan(&p->keys, 0, want, look, g);
}

static bool is_volatile(const struct shard *s)
{
    return s->evict.set.policy >= FORGET_VOLATILE_LRU;
}

static void fill_pool(struct shard *s)
{
    struct evictor *e = &s->evict;
    struct part *p;
    uint64_t hash;
    if (!is_volatile(s)) {
        p = any_part(s);
        struct sampling g = {.shard = s, .part = p};
        if (p != NULL)
            scan_some(p, rng_next(&e->rng), e->set.samples, &g);
        return;
    }
    for (size_t i = 0, n = 0; n < e->set.samples && i < (size_t)e->set.samples * 4; i++) {
        const struct cell *key = expiry_any(s, rng_next(&e->rng), &p, &hash);
        n += key != NULL;
        if (key != NULL)
            consider(s, p, key);
    }
}

static struct cell *pool_best(struct shard *s, struct part **p, uint64_t *hash)
{
    struct evictor *e = &s->evict;
    for (unsigned i = 0; i < TRIES; i++) {
        fill_pool(s);
        while (e->pool_n > 0) {
            struct candidate best = e->pool[--e->pool_n];
            *p = shard_part(s, best.part);
            *hash = best.hash;
            struct cell *key = table_get_hash(&(*p)->keys, best.hash);
            if (key != NULL && value_type(key) != TYPE_NONE &&
                (!is_volatile(s) || value_deadline(key) != DEADLINE_NEVER))
                return key;
        }
    }
    return is_volatile(s) ? expiry_soonest(s, p, hash) : NULL; /* few among many stale entries */
}

static struct cell *any_key(struct shard *s, struct part **p, uint64_t *hash)
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct sampling g = {.shard = s};
        if ((*p = any_part(s)) == NULL)
            return NULL;
        scan_some(*p, rng_next(&s->evict.rng), 1, &g);
        if (g.any == NULL)
            continue;
        *hash = shard_hash(s, cell_name(g.any));
        return g.any;
    }
    return NULL;
}

static struct cell *any_volatile(struct shard *s, struct part **p, uint64_t *hash)
{
    for (unsigned i = 0; i < TRIES * 4; i++) {
        struct cell *key = expiry_any(s, rng_next(&s->evict.rng), p, hash);
        if (key != NULL)
            return key;
    }
    return expiry_soonest(s, p, hash);
}

static struct cell *choose(struct shard *s, struct part **p, uint64_t *hash)
{
    switch (s->evict.set.policy) {
    case FORGET_ALL_LRU:
    case FORGET_ALL_LFU:
        return pool_best(s, p, hash);
    case FORGET_VOLATILE_LRU:
    case FORGET_VOLATILE_LFU:
        return s->expiry.live > 0 ? pool_best(s, p, hash) : NULL;
    case FORGET_ALL_RANDOM:
        return any_key(s, p, hash);
    case FORGET_VOLATILE_RANDOM:
        return s->expiry.live > 0 ? any_volatile(s, p, hash) : NULL;
    case FORGET_VOLATILE_TTL:
        return expiry_soonest(s, p, hash);
    case FORGET_NOTHING:
    case FORGET_KINDS:
        break;
    }
    return NULL;
}

/* ------------------------------------------------------------ evicting */

static bool evict_one(struct shard *s, int64_t wall_ms)
{
    struct part *p;
    uint64_t hash;
    struct cell *key = choose(s, &p, &hash);
    if (key == NULL)
        return false;
    deferred_touch(s, p, hash);
    key = table_get_hash(&p->keys, hash);
    if (key == NULL || value_type(key) == TYPE_NONE)
        return true; /* gone by that */
    buf_clear(&s->name);
    buf_put_bytes(&s->name, cell_name(key)); /* the cell goes while the operation still names it */
    struct op op = {.kind = OP_DEL, .key = buf_bytes(&s->name)};
    struct applied applied;
    s->caller = 0;
    local_op(s, p, hash, key, &op, wall_ms, &applied);
    s->stats.evicted++;
    if (s->wants.events != 0)
        events_evicted(s, op.key);
    return true;
}

/* Collections that are gone already are freed first. False: nothing came of it. */
static bool free_some(struct shard *s)
{
    int64_t before = s->account.held;
    return s->garbage != NULL && (garbage_tick(s, FREE_STEP), s->account.held < before);
}

/* True when something was evicted or freed. */
static bool evict_some(struct shard *s, size_t budget, int64_t wall_ms)
{
    bool done = false;
    if (s->stale || s->leaving || s->refusal != NULL || s->atomic || s->busy != NULL ||
        s->kept.held > 0)
        return false;
    while (budget > 0 && is_above(s)) {
        size_t cost = 1;
        if (free_some(s))
            cost = FREE_COST;
        else if (!evict_one(s, wall_ms))
            break;
        done = true;
        budget -= cost < budget ? cost : budget;
    }
    if (s->open_big && done)
        frame_close_big(s, wall_ms);
    return done;
}

bool evict_refuses(struct shard *s)
{
    const struct evictor *e = &s->evict;
    bool helps = is_above(s) && (is_ours(s) || s->account.held > e->refuse) &&
                 evict_some(s, EVICT_BUDGET, s->wall_ms);
    /* What is under way has begun when there was room, and is made room for when it is over. */
    if (helps && s->account.held > e->margin)
        helps = evict_some(s, EVICT_BUDGET_MOST, s->wall_ms);
    helps |= s->atomic && e->set.policy != FORGET_NOTHING;
    return s->account.held > (helps ? e->margin : e->refuse);
}

void evict_taken(struct shard *s, size_t ops, int64_t wall_ms)
{
    if (s->account.held > s->evict.start && is_above(s))
        (void)evict_some(s, 2 * ops + TAKE_BUDGET, wall_ms);
}

bool evict_tick(struct shard *s, int64_t wall_ms)
{
    evict_clock(s);
    return is_above(s) && is_ours(s) && evict_some(s, EVICT_BUDGET, wall_ms) && is_above(s);
}
