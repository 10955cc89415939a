/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * Claims, fences, cuts: what each partition's struct stability is told, and what the peers are told
 * of it. Where nothing is kept on disk a record is a report at once, and a claim is what is in
 * memory: a region that restarts empty therefore catches up before it writes (catchup.c). Where the
 * log is on disk both wait until it is durable.
 */

/* What would survive this process. */
static const struct context *survives(const struct syncer *s, uint32_t partition)
{
#ifdef MUTANT_claim_not_durable
    return shard_context(s->shard, partition); /* the planted bug: the disk is not asked */
#endif
    const struct context *durable =
        s->lasting != NULL ? s->lasting(s->lasting_arg, partition) : NULL;
    return durable != NULL ? durable : shard_context(s->shard, partition);
}

/* Retirements or reports of a partition have changed. Every peer is to know before it is sent
 * anything more; and of what waits, some may have to go. */
static void news_changed(struct syncer *s, uint32_t partition, struct moment now)
{
    struct part *part = syncer_part(s, partition);
    stability_save(part->stability, survives(s, partition));
    wait_retry(s, partition, now);
    part->news++;
    part->restable = true;
    s->dirty = true;
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        f->claim_now = true;
}

/* Nothing more is taken from the own connections of lives that have ended, nor is anything given to
 * them. */
static void fence(struct syncer *s, struct port *port, uint32_t partition, struct moment now)
{
#ifndef MUTANT_no_fence
    static const char *const why = "this incarnation of the region was replaced by a newer one";
    const struct stability *known = syncer_part(s, partition)->stability;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            if (p->phase == PHASE_LIVE && partition - p->first < p->count &&
                stability_outlived(known, p->life))
                pull_fail(p, port, now, why);
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        if (f->conn != 0 && f->proven && partition - f->first < f->count &&
            stability_outlived(known, wire_life(&f->puller)))
            feed_close(f, port, why);
#else
    (void)s;
    (void)port;
    (void)partition;
    (void)now;
#endif
}

bool claims_outlived(const struct syncer *s, const struct wire_hello *h)
{
#ifndef MUTANT_no_fence
    for (uint32_t i = 0; i < h->count && syncer_owns(s, h->first + i); i++)
        if (stability_outlived(syncer_part(s, h->first + i)->stability, wire_life(h)))
            return true;
#else
    (void)s;
    (void)h;
#endif
    return false;
}

uint32_t claims_newest(const struct syncer *s, const struct wire_hello *h)
{
    uint32_t newest = 0;
    for (uint32_t i = 0; i < h->count && syncer_owns(s, h->first + i); i++) {
        life_t life = stability_newest(syncer_part(s, h->first + i)->stability, h->region);
        if (life_incarnation(life) > newest)
            newest = life_incarnation(life);
    }
    return newest;
}

void claims_retire(struct syncer *s, struct port *port, uint32_t partition, life_t life,
                   struct moment now)
{
    s->any_retired = true;
    if (!stability_retire(syncer_part(s, partition)->stability, life,
                          shard_context(s->shard, partition)))
        return;
    news_changed(s, partition, now);
    if (port != NULL)
        fence(s, port, partition, now);
}

/* The lives before this one have ended, here as far as can be told. */
static void retire_earlier(struct syncer *s, struct port *port, uint32_t partition, life_t life,
                           struct moment now)
{
    uint32_t incarnation = life_incarnation(life);
    uint32_t back = incarnation < INCARNATIONS_BACK ? incarnation : INCARNATIONS_BACK;
    for (uint32_t i = incarnation - back; i < incarnation; i++)
        claims_retire(s, port, partition, life_make(life_region(life), i), now);
}

bool claims_life(struct syncer *s, struct port *port, const struct wire_hello *h, struct moment now)
{
    bool admitted = true;
    life_t life = wire_life(h);
    for (uint32_t i = 0; i < h->count && syncer_owns(s, h->first + i); i++) {
        uint32_t partition = h->first + i;
        bool news = false;
        retire_earlier(s, port, partition, life, now);
        admitted &= stability_admit(syncer_part(s, partition)->stability, life,
                                    shard_context(s->shard, partition), h->free, &news);
        s->any_retired |= news;
        if (news)
            news_changed(s, partition, now);
    }
    return admitted;
}

/* Of a life that is known only by frames that wait for their causes. */
static void retire_waiting(struct syncer *s, uint32_t partition, uint32_t region)
{
    const struct part *part = syncer_part(s, partition);
#ifdef MUTANT_waits_for_removed
    return; /* the planted bug */
#endif
    for (unsigned i = 0; i < part->queues_n; i++)
        if (actor_region(part->queues[i].actor) == region)
            stability_retire_actor(part->stability, part->queues[i].actor,
                                   shard_context(s->shard, partition));
}

void claims_leave(struct syncer *s, uint32_t region, struct moment now)
{
    s->any_retired = true;
    for (uint32_t i = 0; i < s->count; i++) {
        retire_waiting(s, s->first + i, region);
        stability_retire_region(s->parts[i].stability, region,
                                shard_context(s->shard, s->first + i));
    }
    for (uint32_t i = 0; i < s->count; i++) /* how far we have got by now, of everybody */
        news_changed(s, s->first + i, now);
}

void claims_members(struct syncer *s)
{
    uint8_t regions[REGION_MAX];
    unsigned n = 0;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (s->config.regions[r].id == r || r == s->config.region)
            regions[n++] = (uint8_t)r;
    for (uint32_t i = 0; i < s->count; i++) {
        stability_regions(s->parts[i].stability, regions, n);
        s->parts[i].restable = true;
    }
    s->dirty = true;
}

bool syncer_settled(const struct syncer *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (!stability_settled(s->parts[i].stability, survives(s, s->first + i)))
            return false;
    return true;
}

/* How far the earlier lives of this region are here. */
static uint64_t earlier_seen(const struct syncer *s, uint32_t partition)
{
    const struct context *mine = shard_context(s->shard, partition);
    uint64_t sum = 0;
    for (unsigned i = 0; i < mine->n; i++) {
        uint32_t actor = stamp_actor(mine->at[i]);
        if (actor_region(actor) == s->config.region && actor != s->config.actor)
            sum += hash_64(bytes_of(&mine->at[i], sizeof mine->at[i]), partition + 1);
    }
    return sum;
}

void syncer_earlier(const struct syncer *s, struct syncer_earlier *out)
{
    *out = (struct syncer_earlier){0};
    for (uint32_t i = 0; i < s->count; i++) {
        const struct stability *known = s->parts[i].stability;
        const struct context *mine = shard_context(s->shard, s->first + i);
        out->seen += earlier_seen(s, s->first + i);
        if (stability_settled(known, mine))
            continue;
        out->open++;
        out->waits[stability_owes(known, mine)]++;
    }
}

void syncer_set_lasting(struct syncer *s, syncer_lasting *lasting, void *arg)
{
    s->lasting = lasting;
    s->lasting_arg = arg;
}

void syncer_set_limit(struct syncer *s, syncer_limit *limit, void *arg)
{
    s->limit = limit;
    s->limit_arg = arg;
}

void syncer_durable(struct syncer *s, struct moment now)
{
    s->dirty = true; /* the next beat claims it */
    syncer_wake(s, now.mono_us + BEAT);
    for (uint32_t i = 0; s->any_retired && i < s->count; i++) {
        struct part *part = &s->parts[i];
        if (!stability_save(part->stability, survives(s, s->first + i)))
            continue;
        part->news++;
        part->restable = true;
        for (struct feed *f = s->feeds; f != NULL; f = f->next)
            f->claim_now = true;
    }
}

/* ------------------------------------------------------------ hearing */

/* In order with the actor's operations: it counts once those that it speaks of are here. */
static bool claim_counts(const struct pull *p, uint32_t index)
{
    const struct context *mine = shard_context(p->peer->s->shard, p->first + index);
    return context_covers(mine, context_get(&p->parts[index].announced, life_actor(p->life)));
}

static void count_claim(struct pull *p, uint32_t index)
{
    struct syncer *s = p->peer->s;
    struct part *part = syncer_part(s, p->first + index);
    stability_claim(part->stability, p->life, &p->parts[index].announced);
    part->restable = true;
    s->dirty = true;
    s->learnt++;
}

bool claims_take(struct pull *p, struct port *port, struct bytes body)
{
    struct mp m = mp_read(body);
    while (!m.bad && m.p < m.end) {
        uint64_t index = mp_uint(&m) - p->first;
        if (m.bad || index >= p->count)
            return false;
        struct pull_part *part = &p->parts[index];
        if (!context_decode(&m, &part->announced))
            return false;
        copies_look(p->peer->s, port, p->peer->region, p->first + (uint32_t)index,
                    &part->announced);
        part->has_claim = true;
        if (claim_counts(p, (uint32_t)index)) {
            count_claim(p, (uint32_t)index);
            p->claims_waiting -= part->claim_waits;
            part->claim_waits = false;
        } else {
            p->claims_waiting += !part->claim_waits;
            part->claim_waits = true;
        }
    }
    p->peer->s->dirty = true;
    return !m.bad;
}

void claims_count(struct pull *p)
{
    for (uint32_t i = 0; p->claims_waiting > 0 && i < p->count; i++) {
        if (!p->parts[i].claim_waits || !claim_counts(p, i))
            continue;
        count_claim(p, i);
        p->parts[i].claim_waits = false;
        p->claims_waiting--;
    }
    p->peer->s->dirty |= p->claims_waiting > 0;
}

bool claims_take_news(struct pull *p, struct port *port, struct bytes body, struct moment now)
{
    struct syncer *s = p->peer->s;
    struct mp m = mp_read(body);
    while (!m.bad && m.p < m.end) {
        uint64_t index = mp_uint(&m) - p->first;
        if (m.bad || index >= p->count)
            return false;
        uint32_t partition = p->first + (uint32_t)index;
        struct part *part = syncer_part(s, partition);
        bool news = false;
        if (!stability_decode_news(&m, part->stability, shard_context(s->shard, partition), &news))
            return false;
        if (!news)
            continue;
        s->any_retired = true;
        news_changed(s, partition, now);
        fence(s, port, partition, now);
        if (p->conn == 0)
            return true; /* it was the feeder itself that had ended */
    }
    return !m.bad;
}

/* ------------------------------------------------------------ telling */

void claims_send_news(struct feed *f, struct port *port)
{
    struct syncer *s = f->s;
    struct buf *body = &s->scratch;
    buf_clear(body);
    for (uint32_t i = 0; i < f->count; i++) {
        struct part *part = syncer_part(s, f->first + i);
        if (f->parts[i].news == part->news)
            continue;
        f->parts[i].news = part->news;
        mp_put_uint(body, f->first + i);
        stability_encode_news(body, part->stability);
    }
    if (buf_len(body) > 0)
        feed_put(f, port, WIRE_NEWS, buf_bytes(body));
}

#ifdef MUTANT_claim_unapplied
/* The planted bug: what was received counts as seen although it waits for its causes. */
static void claim_waiting(struct context *claim, const struct part *part)
{
    for (unsigned i = 0; i < part->queues_n; i++)
        for (const struct waiting *w = part->queues[i].first; w != NULL; w = w->next)
            context_raise(claim, w->frame.last);
}
#endif

void claims_send(struct feed *f, struct port *port)
{
    struct syncer *s = f->s;
    struct buf *body = &s->scratch;
    buf_clear(body);
    for (uint32_t i = 0; i < f->count; i++) {
        struct feed_part *part = &f->parts[i];
        const struct context *mine = survives(s, f->first + i);
#ifdef MUTANT_claim_unapplied
        struct context claim = {0};
        context_copy(&claim, mine);
        claim_waiting(&claim, syncer_part(s, f->first + i));
        mine = &claim;
#endif
        if (part->subscribed && (part->announce || !context_eq(mine, &part->claimed))) {
            part->announce = false;
            context_copy(&part->claimed, mine);
            mp_put_uint(body, f->first + i);
            context_encode(body, mine);
        }
#ifdef MUTANT_claim_unapplied
        context_deinit(&claim);
#endif
    }
    if (buf_len(body) > 0)
        feed_put(f, port, WIRE_CLAIM, buf_bytes(body));
}

/* ------------------------------------------------------------ stability */

void claims_stable(struct syncer *s, struct moment now)
{
    struct context stable = {0};
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *part = &s->parts[i];
        const struct context *mine = shard_context(s->shard, s->first + i);
        if (!part->restable && context_eq(mine, &part->seen))
            continue;
        part->restable = false;
        context_copy(&part->seen, mine);
        stability_stable(part->stability, mine, &stable);
        if (context_eq(&stable, &part->stable))
            continue;
        context_copy(&part->stable, &stable);
        shard_stable(s->shard, s->first + i, &part->stable, now);
    }
    context_deinit(&stable);
}
