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

bool claims_is_retired(const struct syncer *s, uint32_t actor)
{
    return s->retired[actor / 64] >> actor % 64 & 1;
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

#ifndef MUTANT_no_fence
/* Nothing more is taken from the actor's own connection, nor is anything given to it. */
static void fence(struct syncer *s, struct port *port, uint32_t actor, struct moment now)
{
    struct peer *peer = &s->peers[actor_region(actor)];
    for (struct pull *p = peer->pulls; p != NULL; p = p->next)
        if (p->phase == PHASE_LIVE && p->actor == actor)
            pull_fail(p, port, now, "this incarnation of the region was replaced by a newer one");
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        if (f->puller.actor == actor)
            feed_close(f, port, "this incarnation of the region was replaced by a newer one");
}
#endif

void claims_retire(struct syncer *s, struct port *port, uint32_t actor, struct moment now)
{
    if (claims_is_retired(s, actor))
        return;
    if (actor == s->config.actor) {
        port_log(port, 'E', "a newer incarnation of this region is at work: stop this process");
        return;
    }
    s->retired[actor / 64] |= UINT64_C(1) << actor % 64;
    s->any_retired = true;
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *part = &s->parts[i];
        if (stability_retire(part->stability, actor, shard_context(s->shard, s->first + i)))
            news_changed(s, s->first + i, now);
    }
#ifndef MUTANT_no_fence
    if (port != NULL)
        fence(s, port, actor, now);
#endif
}

/* The number of an old life is handed out again. False: that life is not over here yet, as far as
 * can be judged. The region itself may know better (`known`): a peer that has restarted waits for
 * reports of lives that can only come over the link which it would refuse. */
static bool reuse(struct syncer *s, uint32_t actor, bool known)
{
    bool over = true;
    for (uint32_t i = 0; i < s->count; i++)
        over &= stability_reuse(s->parts[i].stability, actor, shard_context(s->shard, s->first + i),
                                known);
    if (over)
        s->retired[actor / 64] &= ~(UINT64_C(1) << actor % 64);
    return over;
}

bool claims_life(struct syncer *s, struct port *port, const struct wire_hello *h, struct moment now)
{
    uint32_t incarnation = h->incarnation, region = h->region;
    struct peer *peer = &s->peers[region];
    if (peer->lived && incarnation <= peer->incarnation)
        return true;
    uint32_t actor = actor_make(region, incarnation);
    uint32_t back = incarnation < INCARNATIONS_BACK ? incarnation : INCARNATIONS_BACK;
    if (incarnation >= INCARNATIONS && claims_is_retired(s, actor) && !reuse(s, actor, h->free))
        return false;
    for (uint32_t i = incarnation - back; i < incarnation; i++)
        claims_retire(s, port, actor_make(region, i), now);
    peer->lived = true;
    peer->incarnation = incarnation;
    return true;
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

void syncer_set_lasting(struct syncer *s, syncer_lasting *lasting, void *arg)
{
    s->lasting = lasting;
    s->lasting_arg = arg;
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
    return context_covers(mine, context_get(&p->parts[index].announced, p->actor));
}

static void count_claim(struct pull *p, uint32_t index)
{
    struct syncer *s = p->peer->s;
    struct part *part = syncer_part(s, p->first + index);
    stability_claim(part->stability, p->actor, &p->parts[index].announced);
    part->restable = true;
    s->dirty = true;
    s->learnt++;
}

bool claims_take(struct pull *p, struct bytes body)
{
    struct mp m = mp_read(body);
    while (!m.bad && m.p < m.end) {
        uint64_t index = mp_uint(&m) - p->first;
        if (m.bad || index >= p->count)
            return false;
        struct pull_part *part = &p->parts[index];
        if (!context_decode(&m, &part->announced))
            return false;
        part->has_claim = true;
        if (part->want_target) {
            context_copy(&part->target, &part->announced);
            part->want_target = false;
            part->has_target = true;
        }
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

/* Connections of actors that the partition's news call retired. */
static void find_retired(struct syncer *s, struct port *port, struct part *part, struct moment now)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (uint32_t i = 0; i < INCARNATIONS; i++) {
            uint32_t actor = actor_make(r, i);
            if ((s->peers[r].member || r == s->config.region) && !claims_is_retired(s, actor) &&
                !stability_may_take(part->stability, actor, stamp_make(0, 1, actor), true))
                claims_retire(s, port, actor, now);
        }
}

void claims_report(struct syncer *s, struct moment now)
{
    for (uint32_t i = 0; i < s->count; i++)
        news_changed(s, s->first + i, now);
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
        news_changed(s, partition, now);
        find_retired(s, port, part, now);
        if (p->conn == 0)
            return true; /* it was the feeder itself that retired */
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
