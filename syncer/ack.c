/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/* What a feeder is told of how far we are: bytes every few milliseconds, for its window and its
 * lag; contexts at each beat, so that it sends nothing that came another way. */

/* Bytes; with `contexts` also what we have, where that has changed. */
static void ack(struct pull *p, struct port *port, bool contexts, struct moment now)
{
    struct syncer *s = p->peer->s;
    struct buf *body = &s->scratch;
    buf_clear(body);
    mp_put_uint(body, p->received);
    for (uint32_t i = 0; contexts && i < p->count; i++) {
        const struct context *mine = shard_context(s->shard, p->first + i);
        if (context_eq(mine, &p->parts[i].acked))
            continue;
        mp_put_uint(body, p->first + i);
        context_encode(body, mine);
        context_copy(&p->parts[i].acked, mine);
    }
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
