/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * Messages of clients (PUBLISH) to the other regions: at most once, neither logged nor repeated,
 * never passed on. They leave at the end of the turn, behind the operations made before them; one
 * for whom there is no room or no connection is dropped and counted.
 *
 * Until then they wait as records: partition, size of the body, body as on the wire.
 */
#define QUEUE_MAX ((size_t)16 << 20) /* of one turn */
#define SHARDED 1u

struct record {
    uint32_t partition, size;
};

static void count_dropped(struct syncer *s)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        s->peers[r].totals.messages_dropped += s->peers[r].member;
}

void syncer_publish(struct syncer *s, uint32_t partition, const struct syncer_message *m)
{
    struct buf *q = &s->messages;
    if (buf_len(q) + m->channel.n + m->text.n > QUEUE_MAX) {
        count_dropped(s);
        return;
    }
    struct record head = {.partition = partition};
    size_t at = buf_len(q);
    buf_put(q, &head, sizeof head);
    mp_put_bin(q, m->channel);
    mp_put_bin(q, m->text);
    mp_put_uint(q, m->sharded ? SHARDED : 0);
    head.size = (uint32_t)(buf_len(q) - at - sizeof head);
    memcpy(q->p + q->head + at, &head, sizeof head);
}

void syncer_hear(struct syncer *s, syncer_heard *fn, void *arg)
{
    s->heard = fn;
    s->heard_arg = arg;
}

/* The region's newest connection that serves the partition. */
static struct feed *feed_of(const struct syncer *s, uint32_t region, uint32_t partition)
{
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        if (f->conn != 0 && f->proven && f->puller.region == region &&
            partition - f->first < f->count)
            return f;
    return NULL;
}

static void send_one(struct syncer *s, struct port *port, uint32_t partition, struct bytes body)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        struct peer *peer = &s->peers[r];
        if (!peer->member)
            continue;
        struct feed *f = feed_of(s, r, partition);
        if (f == NULL || f->held || feed_blocked(f) ||
            port->ops->pending(port, f->conn) > feed_send_max(s)) {
            peer->totals.messages_dropped++;
            continue;
        }
        feed_put(f, port, WIRE_PUBLISH, body);
        peer->totals.messages_out++;
    }
}

void messages_send(struct syncer *s, struct port *port)
{
    struct buf *q = &s->messages;
    while (buf_len(q) > 0) {
        struct record head;
        memcpy(&head, q->p + q->head, sizeof head);
        buf_consume(q, sizeof head);
        send_one(s, port, head.partition, bytes_of(q->p + q->head, head.size));
        buf_consume(q, head.size);
    }
    buf_reuse(q, MESSAGES_KEPT_MAX);
}

bool messages_take(struct pull *p, struct bytes body)
{
    struct syncer *s = p->peer->s;
    struct mp m = mp_read(body);
    struct syncer_message message = {.channel = mp_bin(&m), .text = mp_bin(&m)};
    message.sharded = mp_uint(&m) & SHARDED;
    if (!mp_done(&m))
        return false;
    p->peer->totals.messages_in++;
    if (s->heard != NULL)
        s->heard(s->heard_arg, &message);
    return true;
}
