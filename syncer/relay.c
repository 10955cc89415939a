/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * What a connected region has announced, and we lack for longer than it takes to arrive, and whose
 * writer's own link does not bring it, is asked for from a region that has it: so regions that
 * cannot reach each other converge through a third, and the last words of a dead one reach
 * everybody.
 */

/* The link works, its feeder gave a sign of life lately, and it says that it has `stamp`. */
static bool has(const struct pull *p, uint32_t partition, stamp_t stamp, struct moment now)
{
    return p != NULL && pull_works(p) && now.mono_us < p->heard_us + HEARTBEAT + HEARTBEAT / 2 &&
           context_covers(&p->parts[partition - p->first].announced, stamp);
}

/* Its writer's own region has it and is on the way to giving it to us. */
static bool comes_directly(const struct syncer *s, uint32_t partition, stamp_t stamp,
                           struct moment now)
{
    return has(peer_pull(&s->peers[actor_region(stamp_actor(stamp))], partition), partition, stamp,
               now);
}

/* The next region, in turn, that announced `stamp`; who was asked last comes last. */
static struct pull *who_has(const struct syncer *s, const struct part *part, uint32_t partition,
                            stamp_t stamp, struct moment now)
{
    for (uint32_t i = 1; i <= REGION_MAX + 1; i++) {
        uint32_t region = (part->asked_region + i) % (REGION_MAX + 1);
        struct pull *p = peer_pull(&s->peers[region], partition);
        if (region != actor_region(stamp_actor(stamp)) && has(p, partition, stamp, now))
            return p;
    }
    return NULL;
}

static void ask(struct syncer *s, struct port *port, struct pull *p, uint32_t partition,
                stamp_t stamp)
{
    struct pull_part *part = &p->parts[partition - p->first];
    uint32_t actor = stamp_actor(stamp);
    struct buf *body = &s->scratch;
    buf_clear(body);
    mp_put_uint(body, partition);
    mp_put_uint(body, actor);
    mp_put_uint(body, context_get(shard_context(s->shard, partition), actor));
    struct buf *out = port->ops->out(port, p->conn);
    if (out == NULL)
        return;
    wire_put(out, WIRE_RELAY, buf_bytes(body));
    if (context_get(&part->relays, actor) == 0)
        port_log(port, 'D', "partition %u: asks region %u to relay region %u's operations",
                 partition, p->peer->region, actor_region(actor));
    context_raise(&part->relays, stamp_make(0, 1, actor));
    p->peer->totals.relays++;
    p->all = false;
}

/* `watch` was announced long enough ago; what of it is still not here? */
static void chase(struct syncer *s, struct port *port, struct pull *from, uint32_t partition,
                  struct moment now)
{
    struct part *part = syncer_part(s, partition);
    struct pull_part *seen = &from->parts[partition - from->first];
    const struct context *mine = shard_context(s->shard, partition);
    bool asked = false;
    for (unsigned i = 0; i < seen->watch.n; i++) {
        stamp_t stamp = seen->watch.at[i];
        if (context_covers(mine, stamp))
            continue;
        if (comes_directly(s, partition, stamp, now)) {
            /* it says that it has sent everything: then something was lost on the way here */
            struct pull *p = peer_pull(&s->peers[actor_region(stamp_actor(stamp))], partition);
            if (p->all && now.mono_us > seen->watch_us + STUCK_AFTER)
                p->parts[partition - p->first].gap = true;
            continue;
        }
        if (asked || now.mono_us >= part->asked_us + ASK_EVERY) {
            struct pull *p = who_has(s, part, partition, stamp, now);
            if (p == NULL)
                continue;
            asked = true;
            ask(s, port, p, partition, stamp);
            part->asked_us = now.mono_us;
            part->asked_region = p->peer->region;
        }
    }
}

static void watch(struct syncer *s, struct port *port, struct pull *p, uint32_t index,
                  struct moment now)
{
    struct pull_part *part = &p->parts[index];
    const struct context *mine = shard_context(s->shard, p->first + index);
    if (context_le(&part->announced, mine)) {
        part->watching = false;
        return;
    }
    s->dirty = true;
    if (!part->watching || context_le(&part->watch, mine)) {
        context_copy(&part->watch, &part->announced);
        part->watch_us = now.mono_us;
        part->watching = true;
    } else if (now.mono_us >= part->watch_us + LACKS_AFTER) {
        chase(s, port, p, p->first + index, now);
    }
}

/* Its own region lives, and says itself to have all that the relaying one has of the actor. */
static bool is_heard_directly(const struct syncer *s, const struct pull *relay, uint32_t index,
                              uint32_t actor, struct moment now)
{
    uint32_t partition = relay->first + index;
    const struct pull *p = peer_pull(&s->peers[actor_region(actor)], partition);
    return has(p, partition, context_get(&relay->parts[index].announced, actor), now) && p->all &&
           life_actor(p->life) == actor;
}

static void stop_relays(struct syncer *s, struct port *port, struct pull *p, uint32_t index,
                        struct moment now)
{
    struct pull_part *part = &p->parts[index];
    struct buf *body = &s->scratch;
    for (unsigned i = 0; i < part->relays.n; i++) {
        uint32_t actor = stamp_actor(part->relays.at[i]);
        if (!is_heard_directly(s, p, index, actor, now))
            continue;
        buf_clear(body);
        mp_put_uint(body, p->first + index);
        mp_put_uint(body, actor);
        struct buf *out = port->ops->out(port, p->conn);
        if (out != NULL)
            wire_put(out, WIRE_UNRELAY, buf_bytes(body));
        context_drop(&part->relays, actor);
        return; /* one at a time: dropping moved the rest */
    }
}

void relay_tick(struct syncer *s, struct port *port, struct moment now)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next) {
            for (uint32_t i = 0; pull_works(p) && i < p->count; i++) {
                watch(s, port, p, i, now);
                if (p->parts[i].relays.n > 0)
                    stop_relays(s, port, p, i, now);
            }
        }
}
