/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * A region that lost its memory takes no writes until it has caught up, because what it once
 * claimed to have seen may have been compacted away elsewhere: a write with a smaller context would
 * tell apart what others no longer can. Each partition is caught up when it has all that one region
 * had which is not catching up itself; that region is asked for the whole partition. Where all
 * members are connected and in all of them whoever has the partition is catching up, nobody
 * remembers more than they do together, and the region with the lowest number goes first, once it
 * has all that each of them has. A connection that is lost meanwhile may have been a memory that
 * was lost: then all are asked again.
 *
 * A region whose disk brought everything back need not catch up. Whether the disk did is known for
 * certain only to the peers, who remember what was claimed: they tell when a subscription shows
 * less (RECALL).
 */

bool catchup_wants(struct pull *p, uint32_t partition)
{
    struct syncer *s = p->peer->s;
    struct part *part = syncer_part(s, partition);
    if (s->caught_up || part->caught_up || p->stale)
        return false;
    if (part->donor != 0 && part->donor != p->peer->region) {
        const struct pull *other = peer_pull(&s->peers[part->donor], partition);
        if (other != NULL && pull_works(other) && !other->stale)
            return false;
    }
    part->donor = p->peer->region;
    return true;
}

/* Everything that the peers there are had, or recalled that we had? */
static bool targets_are_here(const struct syncer *s, uint32_t partition)
{
    const struct context *mine = shard_context(s->shard, partition);
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        const struct pull *p = peer_pull(&s->peers[r], partition);
        if (p != NULL && !p->stale && !context_le(&p->parts[partition - p->first].target, mine))
            return false;
    }
    return true;
}

/* Does it have everything that its donor had? */
static bool part_is_here(const struct syncer *s, struct part *part, uint32_t partition)
{
    if (part->caught_up || part->donor == 0)
        return part->caught_up;
    const struct pull *p = peer_pull(&s->peers[part->donor], partition);
    if (p == NULL || p->stale) {
        part->donor = 0;
        return false;
    }
    const struct pull_part *asked = &p->parts[partition - p->first];
    if (!asked->want_target && (!asked->has_target || asked->from_stale)) {
        part->donor = 0; /* it answered while it was catching up: to be asked again */
        return false;
    }
    part->caught_up = !asked->want_target && targets_are_here(s, partition);
    return part->caught_up;
}

/* Finds a donor for what has none, and asks it by subscribing again. */
static bool wants_whole(const struct pull_part *part) { return part->want_target; }

static void find_donors(struct syncer *s)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next) {
            if (!pull_works(p) || p->stale)
                continue;
            bool any = false;
            for (uint32_t i = 0; i < p->count; i++) {
                struct part *part = syncer_part(s, p->first + i);
                if (part->caught_up || part->donor != 0)
                    continue;
                part->donor = r;
                p->parts[i].want_target = any = true;
            }
            p->asks |= any;
        }
}

static void ask(struct syncer *s, struct port *port)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next) {
            if (p->asks && p->phase == PHASE_LIVE)
                pull_subscribe(p, port, wants_whole);
            p->asks = false;
        }
}

/* Every member is connected, and whoever serves the partition there is catching up, too. */
static bool all_are_stale(const struct syncer *s, uint32_t partition)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        if (!s->peers[r].member)
            continue;
        const struct pull *p = peer_pull(&s->peers[r], partition);
        if (p == NULL || !p->stale || p->waits)
            return false;
    }
    return true;
}

/* Of a partition that nobody has caught up with: is here what they all have? Asks who was not. */
static bool gathered(struct syncer *s, uint32_t partition)
{
    bool all = true;
#ifdef MUTANT_first_with_less
    return true; /* the planted bug */
#endif
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        struct pull *p = peer_pull(&s->peers[r], partition);
        if (p == NULL)
            continue;
        struct pull_part *part = &p->parts[partition - p->first];
        bool answered = part->has_target && !part->want_target;
        if (part->losses != s->losses || (!answered && !part->want_target)) {
            part->want_target = p->asks = true;
            all = false;
        }
        all &= answered && context_le(&part->target, shard_context(s->shard, partition));
    }
    return all;
}

static bool is_lowest(const struct syncer *s)
{
    for (uint32_t r = 1; r < s->config.region; r++)
        if (s->peers[r].member)
            return false;
    return true;
}

/* What the disk brought back is less than this region had claimed to have: somebody put an older
 * copy of the files there. From here on it is as if the memory had been lost. Whoever remembers is
 * the donor: it has what we had. */
static void fall_back(struct pull *p, struct port *port, uint32_t partition)
{
    struct syncer *s = p->peer->s;
    if (s->config.sole && s->copy == COPY_NONE)
        s->copy = COPY_OLD;
    if (s->caught_up) {
        s->caught_up = false;
        s->dirty = true;
        for (uint32_t i = 0; i < s->count; i++)
            s->parts[i].caught_up = true;
        shard_set_stale(s->shard, true);
        port_log(port, 'W',
                 "region %u remembers that we had more of partition %u than our files have: an "
                 "older copy of them? Writes wait until this region has caught up",
                 p->peer->region, partition);
    }
    struct part *part = syncer_part(s, partition);
    part->caught_up = false;
    part->donor =
        p->stale ? 0 : p->peer->region; /* whoever can be asked is found at the next tick */
    p->parts[partition - p->first].want_target = !p->stale;
}

bool catchup_recalled(struct pull *p, struct port *port, struct bytes body)
{
    struct syncer *s = p->peer->s;
    struct context had = {0};
    bool fell = false;
    struct mp m = mp_read(body);
    while (!m.bad && m.p < m.end) {
        uint64_t partition = mp_uint(&m);
        if (m.bad || partition - p->first >= p->count || !context_decode(&m, &had))
            break;
        copies_look(p->peer->s, port, p->peer->region, (uint32_t)partition, &had);
        /* What we claimed after we had subscribed is no fall. */
        if (context_le(&had, shard_context(s->shard, (uint32_t)partition)))
            continue;
        context_join(&p->parts[partition - p->first].target, &had);
        fall_back(p, port, (uint32_t)partition);
        fell = true;
    }
    context_deinit(&had);
    if (fell && !p->stale)
        pull_subscribe(p, port, wants_whole);
    return mp_done(&m);
}

bool catchup_target(struct pull *p, struct port *port, struct bytes body)
{
    struct context has = {0};
    struct mp m = mp_read(body);
    while (!m.bad && m.p < m.end) {
        uint64_t index = mp_uint(&m) - p->first;
        if (m.bad || index >= p->count || !context_decode(&m, &has))
            break;
        struct pull_part *part = &p->parts[index];
        copies_look(p->peer->s, port, p->peer->region, p->first + (uint32_t)index, &has);
        context_join(&part->target, &has);
        part->has_target |= part->want_target;
        if (part->want_target)
            part->from_stale = p->stale;
        part->want_target = false;
    }
    p->peer->s->dirty = true;
    context_deinit(&has);
    return mp_done(&m);
}

void catchup_tick(struct syncer *s, struct port *port, struct moment now)
{
    (void)now;
    if (s->caught_up)
        return;
    s->dirty = true;
    uint32_t here = 0, nobodys = 0;
    bool lowest = is_lowest(s);
    for (uint32_t i = 0; i < s->count; i++) {
        bool is_here = part_is_here(s, &s->parts[i], s->first + i);
        here += is_here;
        nobodys +=
            !is_here && lowest && all_are_stale(s, s->first + i) && gathered(s, s->first + i);
    }
    bool first = nobodys > 0 && here + nobodys == s->count;
    if (here < s->count && !first) {
        find_donors(s);
        ask(s, port);
        return;
    }
    s->caught_up = true;
    shard_set_stale(s->shard, false);
    port_log(port, 'I', "partitions %u..%u %s: this region takes writes", s->first,
             s->first + s->count - 1,
             first ? "have caught up, or nobody remembers them and this is the lowest region"
                   : "have caught up");
}
