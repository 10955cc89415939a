/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/* What a feeder is told of how far we are: bytes every few milliseconds, for its window and its
 * lag, and, while frames change only a few partitions, contexts of these with them, for clients
 * that wait until their writes are here; all contexts at each beat, so that it sends nothing that
 * came another way. */

void ack_touch(struct pull *p, uint32_t partition)
{
    for (unsigned i = 0; i < p->touched_n && i < PULL_TOUCHED; i++)
        if (p->touched[i] == partition)
            return;
    if (p->touched_n < PULL_TOUCHED)
        p->touched[p->touched_n] = partition;
    if (p->touched_n <= PULL_TOUCHED)
        p->touched_n++;
}

static void put_context(struct pull *p, struct buf *body, uint32_t index)
{
    const struct context *mine = shard_context(p->peer->s->shard, p->first + index);
    if (context_eq(mine, &p->parts[index].acked))
        return;
    mp_put_uint(body, p->first + index);
    context_encode(body, mine);
    context_copy(&p->parts[index].acked, mine);
}

/* Bytes; with `contexts` also all that we have, where that has changed. */
static void ack(struct pull *p, struct port *port, bool contexts, struct moment now)
{
    struct syncer *s = p->peer->s;
    struct buf *body = &s->scratch;
    buf_clear(body);
    mp_put_uint(body, p->received);
    for (uint32_t i = 0; contexts && i < p->count; i++)
        put_context(p, body, i);
    for (unsigned i = 0; !contexts && p->touched_n <= PULL_TOUCHED && i < p->touched_n; i++)
        put_context(p, body, p->touched[i] - p->first);
    p->touched_n = 0;
    struct buf *out = port->ops->out(port, p->conn);
    if (out == NULL)
        return;
    wire_put(out, WIRE_ACK, buf_bytes(body));
    p->acked = p->received;
    p->ack_us = now.mono_us;
}

void ack_turn(struct pull *p, struct port *port, struct moment now)
{
    if (p->phase != PHASE_LIVE || p->received == p->acked)
        return;
    if (p->received - p->acked >= ACK_BYTES || now.mono_us >= p->ack_us + ACK_EVERY)
        ack(p, port, false, now);
    else if (p->peer->s->turn_us > p->ack_us + ACK_EVERY)
        p->peer->s->turn_us = p->ack_us + ACK_EVERY;
}

static bool contexts_changed(const struct pull *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (!context_eq(shard_context(p->peer->s->shard, p->first + i), &p->parts[i].acked))
            return true;
    return false;
}

void ack_tick(struct pull *p, struct port *port, struct moment now)
{
    if (contexts_changed(p))
        ack(p, port, true, now);
    else if (now.mono_us >= p->ack_us + HEARTBEAT - BEAT)
        ack(p, port, false, now);
}
