/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "worker/inside.h"

#include <stdio.h>

/*
 * A peer's connection arrives at any worker. Its handshake names the database and the first
 * partition it wants; then the connection moves to the worker of that partition's shard, whose
 * syncer takes over.
 */
#define HANDSHAKE_BYTES_MAX (80u << 10)
#define HANDSHAKE_US UINT64_C(10000000)

struct incoming {
    struct conn_owner owner; /* first */
    struct worker *worker;
    struct incoming *prev, *next;
    uint32_t uid;
    conn_id conn;
    uint64_t since_us;
    struct buf in;
};

static void link_drop(struct msg *msg)
{
    struct link_msg *m = (struct link_msg *)msg;
    buf_deinit(&m->first);
    mem_free(m);
}

static void incoming_free(struct incoming *i)
{
    if (i->prev != NULL)
        i->prev->next = i->next;
    else
        i->worker->incoming = i->next;
    if (i->next != NULL)
        i->next->prev = i->prev;
    buf_deinit(&i->in);
    mem_free(i);
}

/* Tells the peer why and closes. */
static void refuse(struct port *port, conn_id conn, enum err why, const char *text)
{
    struct buf *out = port->ops->out(port, conn);
    if (out != NULL)
        syncer_refuse(out, why, text);
    char peer[64] = "?";
    port->ops->peer_name(port, conn, peer, sizeof peer);
    port_log(port, 'W', "link from %s refused: %s", peer, text);
    port->ops->close(port, conn, true);
}

/* The syncer here that serves the partition takes the connection over. */
static void hand_over(struct worker *w, struct port *port, conn_id conn, uint32_t uid,
                      uint32_t partition, struct bytes first, struct moment now)
{
    struct database *d = database_find(w, uid);
    struct member *m = d != NULL ? database_member(d, partition) : NULL;
    if (m != NULL && !m->open && database_is_geo(&d->config)) {
        port->ops->own(port, conn, NULL);
        refuse(port, conn, ERR_BUSY, "the region is loading its data: try again");
        return;
    }
    if (m != NULL && m->split) {
        port->ops->own(port, conn, NULL);
        refuse(port, conn, ERR_STOPPED,
               "this region went on from an older copy of its files, beside what it has written "
               "since: see its INFO persistence");
        return;
    }
    if (m == NULL || m->syncer == NULL) {
        port->ops->own(port, conn, NULL);
        refuse(port, conn, ERR_NOT_FOUND, "the database is not geo-distributed here (any more)");
        return;
    }
    syncer_accept(m->syncer, port, conn, first, now);
}

static void route(struct incoming *i, struct port *port, struct database *d,
                  const struct handshake *h, struct moment now)
{
    struct worker *w = i->worker;
    uint32_t to = database_shard_worker(w, &d->config, h->first_partition);
    conn_id conn = i->conn;
    if (to == w->opts.index) {
        struct buf in = i->in;
        i->in = (struct buf){0};
        incoming_free(i);
        hand_over(w, port, conn, d->config.uid, h->first_partition, buf_bytes(&in), now);
        buf_deinit(&in);
        return;
    }
    struct link_msg *m = mem_zalloc(sizeof *m);
    m->msg = (struct msg){.kind = MSG_LINK, .drop = link_drop};
    m->uid = d->config.uid;
    m->partition = h->first_partition;
    m->first = i->in;
    i->in = (struct buf){0};
    incoming_free(i);
    port->ops->own(port, conn, NULL);
    port->ops->move(port, conn, to, &m->msg);
}

static void give_up(struct incoming *i, struct port *port, enum err why, const char *text)
{
    conn_id conn = i->conn;
    incoming_free(i);
    port->ops->own(port, conn, NULL);
    refuse(port, conn, why, text);
}

static void judge(struct incoming *i, struct port *port, struct moment now)
{
    struct database *d = database_find(i->worker, i->uid);
    struct handshake h;
    char text[256];
    switch (syncer_handshake(buf_bytes(&i->in), &h)) {
    case HANDSHAKE_MORE:
        if (buf_len(&i->in) > HANDSHAKE_BYTES_MAX)
            give_up(i, port, ERR_TOO_BIG, "the handshake is too long");
        return;
    case HANDSHAKE_BAD:
        give_up(i, port, ERR_BAD_BYTES,
                "the handshake is malformed: is the peer of another release?");
        return;
    case HANDSHAKE_OK:
        break;
    }
    if (h.protocol != SYNCER_PROTOCOL) {
        bool newer = h.protocol > SYNCER_PROTOCOL; /* short: what a peer shows has 127 bytes */
        snprintf(text, sizeof text,
                 "link protocol %u meets %u of the dialled region: upgrade the %s, which is older; "
                 "both take writes meanwhile",
                 h.protocol, SYNCER_PROTOCOL, newer ? "dialled" : "dialling");
        give_up(i, port, ERR_VERSION, text);
    } else if (d == NULL || !database_is_geo(&d->config)) {
        give_up(i, port, ERR_NOT_FOUND, "the database on this port is not geo-distributed");
    } else if (d->config.link_tls && !port->ops->is_tls(port, i->conn)) {
        give_up(i, port, ERR_TLS, "links of this database are encrypted: dial with TLS");
    } else if (strcmp(h.guid, d->config.guid) != 0) {
        snprintf(text, sizeof text, "the database on this port is %s, not %s", d->config.guid,
                 h.guid);
        give_up(i, port, ERR_CONFIG, text);
    } else if (h.count == 0 || h.first_partition > d->config.partitions ||
               h.count > d->config.partitions + 1 - h.first_partition) {
        snprintf(text, sizeof text, "there are %u partitions here, %u..%u were asked for",
                 d->config.partitions, h.first_partition, h.first_partition + h.count - 1);
        give_up(i, port, ERR_CONFIG, text);
    } else {
        route(i, port, d, &h, now);
    }
}

static void incoming_step(struct conn_owner *owner, struct port *port, const struct event *ev)
{
    struct incoming *i = (struct incoming *)owner;
    if (ev->kind == EV_CLOSED) {
        incoming_free(i);
    } else if (ev->kind == EV_DATA) {
        buf_put_bytes(&i->in, ev->data);
        judge(i, port, ev->now);
    }
}

void link_open(void *worker, struct front *f, struct port *port, conn_id conn, struct bytes first,
               struct moment now)
{
    struct worker *w = worker;
    struct incoming *i = mem_zalloc(sizeof *i);
    i->owner.step = incoming_step;
    i->worker = w;
    i->uid = f->db_uid;
    i->conn = conn;
    i->since_us = now.mono_us;
    i->next = w->incoming;
    if (i->next != NULL)
        i->next->prev = i;
    w->incoming = i;
    buf_put_bytes(&i->in, first);
    port->ops->own(port, conn, &i->owner);
    judge(i, port, now);
}

void link_moved(struct worker *w, struct port *port, conn_id conn, struct msg *msg,
                struct moment now)
{
    struct link_msg *m = (struct link_msg *)msg;
    if (w->stopped) {
        port->ops->close(port, conn, false);
        msg_free(msg);
        return;
    }
    hand_over(w, port, conn, m->uid, m->partition, buf_bytes(&m->first), now);
    msg_free(msg);
}

void link_tick(struct worker *w, struct port *port, struct moment now)
{
    for (struct incoming *i = w->incoming, *next; i != NULL; i = next) {
        next = i->next;
        if (now.mono_us - i->since_us > HANDSHAKE_US)
            give_up(i, port, ERR_TIMEOUT, "the handshake took too long");
    }
}

void link_free_all(struct worker *w, struct port *port)
{
    while (w->incoming != NULL) {
        port->ops->close(port, w->incoming->conn, false);
        incoming_free(w->incoming);
    }
}
