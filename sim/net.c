/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/world_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/*
 * Connections of the virtual world. Each is a pair of endpoints; what one appends to `out` becomes
 * pieces under way to the other, in order, due after latency + size / bandwidth. A cut direction
 * keeps its pieces until it heals.
 */
#define PIECE_MAX (64u << 10)
#define WINDOW (512u << 10) /* under way in one direction at most: the rest stays in `out` */

struct endpoint *end_get(const struct world *w, conn_id id)
{
    return id == 0 || id > w->ends_n ? NULL : w->ends[id - 1];
}

struct endpoint *net_end_new(struct world *w, struct node *node)
{
    if (w->ends_n == w->ends_cap) {
        w->ends_cap = w->ends_cap ? 2 * w->ends_cap : 64;
        w->ends = mem_realloc(w->ends, w->ends_cap * sizeof(struct endpoint *));
    }
    struct endpoint *e = mem_zalloc(sizeof *e);
    e->node = node;
    w->ends[w->ends_n++] = e;
    e->id = w->ends_n;
    return e;
}

static void drop_pieces(struct endpoint *e)
{
    while (e->first != NULL) {
        struct piece *p = e->first;
        e->first = p->next;
        mem_free(p);
    }
    e->last = NULL;
}

void net_drop_end(struct world *w, struct endpoint *e)
{
    drop_pieces(e);
    buf_deinit(&e->out);
    w->ends[e->id - 1] = NULL;
    for (size_t i = 0; i < w->dirty_n; i++)
        if (w->dirty[i] == e)
            w->dirty[i] = NULL;
    mem_free(e);
}

void net_free(struct world *w)
{
    for (size_t i = 0; i < w->ends_n; i++)
        if (w->ends[i] != NULL)
            net_drop_end(w, w->ends[i]);
    mem_free(w->ends);
    mem_free(w->listeners);
    mem_free(w->dirty);
}

uint64_t net_travel_us(struct world *w, const struct world_link *l, size_t n)
{
    uint64_t us = l->latency_us;
    if (l->jitter_us > 0)
        us += rng_below(&w->rng, l->jitter_us);
    if (l->bytes_per_s > 0)
        us += n * 1000000 / l->bytes_per_s;
    return us;
}

static bool is_cut(const struct world *w, const struct endpoint *to)
{
    const struct endpoint *from = end_get(w, to->peer);
    return from != NULL && w->links[from->node->host][to->node->host].cut;
}

void net_pump_later(struct world *w, struct endpoint *e)
{
    if (e->pumping || e->first == NULL || !e->up || e->paused || e->held || e->moving)
        return;
    e->pumping = true;
    uint64_t at = e->first->due_us > w->now_us ? e->first->due_us : w->now_us;
    agenda_put(w, (struct agenda){.at_us = at, .kind = AG_PUMP, .node = e->node, .conn = e->id});
}

/* Puts one piece under way from `e` to its peer. */
static void send_piece(struct world *w, struct endpoint *e, struct endpoint *peer,
                       const void *bytes, size_t n, bool fin)
{
    struct piece *p = mem_alloc(sizeof *p + n);
    uint64_t due = w->now_us + net_travel_us(w, &w->links[e->node->host][peer->node->host], n);
    if (due < peer->last_due_us)
        due = peer->last_due_us;
    *p = (struct piece){.due_us = due, .n = n, .fin = fin};
    if (n > 0)
        memcpy(p->bytes, bytes, n);
    peer->last_due_us = due;
    if (peer->last != NULL)
        peer->last->next = p;
    else
        peer->first = p;
    peer->last = p;
    e->flying += n;
    net_pump_later(w, peer);
}

static void flush_end(struct world *w, struct endpoint *e)
{
    struct endpoint *peer = end_get(w, e->peer);
    if (peer == NULL || e->moving || e->held)
        return;
    while (buf_len(&e->out) > 0 && e->flying < WINDOW) {
        size_t n = buf_len(&e->out);
        if (n > PIECE_MAX)
            n = PIECE_MAX;
        if (w->opts.split && n > 1 && rng_below(&w->rng, 4) == 0)
            n = 1 + rng_below(&w->rng, n);
        send_piece(w, e, peer, buf_bytes(&e->out).p, n, false);
        buf_consume(&e->out, n);
    }
    if (e->closing && buf_len(&e->out) == 0 && !e->fin_sent) {
        e->fin_sent = true;
        send_piece(w, e, peer, NULL, 0, true);
    }
    if (buf_len(&e->out) + e->flying > PORT_HIGH)
        e->high = true;
}

void net_dirty(struct world *w, struct endpoint *e)
{
    if (e->dirty)
        return;
    e->dirty = true;
    if (w->dirty_n == w->dirty_cap) {
        w->dirty_cap = w->dirty_cap ? 2 * w->dirty_cap : 64;
        w->dirty = mem_realloc(w->dirty, w->dirty_cap * sizeof(struct endpoint *));
    }
    w->dirty[w->dirty_n++] = e;
}

void net_flush(struct world *w)
{
    for (size_t i = 0; i < w->dirty_n; i++) {
        struct endpoint *e = w->dirty[i];
        if (e == NULL)
            continue;
        e->dirty = false;
        if (e->up)
            flush_end(w, e);
    }
    w->dirty_n = 0;
}

void world_flush(struct world *w) { net_flush(w); }

/* The endpoint goes down on this side only: the machine hears it, the endpoint is gone. */
static void end_closed(struct world *w, struct endpoint *e, enum err err, const char *detail)
{
    struct endpoint *peer = end_get(w, e->peer);
    if (peer != NULL)
        peer->peer = 0;
    struct event ev = {.kind = EV_CLOSED,
                       .conn = e->id,
                       .tag = e->tag,
                       .owner = e->owner,
                       .err = err,
                       .detail = detail};
    struct node *n = e->node;
    bool silent = e->closing;
    net_drop_end(w, e);
    if (!silent)
        node_deliver(n, &ev);
}

void net_fail_later(struct world *w, struct endpoint *e, uint64_t after_us, enum err err)
{
    if (e == NULL || e->dead)
        return;
    e->dead = true;
    agenda_put(w, (struct agenda){.at_us = w->now_us + after_us,
                                  .kind = AG_FAIL,
                                  .node = e->node,
                                  .conn = e->id,
                                  .err = err});
}

void net_fail(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e != NULL)
        end_closed(w, e, a->err, NULL);
}

/* Hands over the oldest piece, and says when the next is due. */
void net_pump(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e == NULL)
        return;
    e->pumping = false;
    if (e->first == NULL || !e->up || e->paused || e->held || e->moving || e->dead || is_cut(w, e))
        return; /* woken by net_wake, resume, EV_MOVED */
    struct piece *p = e->first;
    if (p->due_us > w->now_us) {
        net_pump_later(w, e);
        return;
    }
    e->first = p->next;
    if (e->first == NULL)
        e->last = NULL;
    struct endpoint *peer = end_get(w, e->peer);
    if (peer != NULL) {
        peer->flying -= p->n;
        net_dirty(w, peer);
        if (peer->high && buf_len(&peer->out) + peer->flying < PORT_LOW) {
            peer->high = false;
            agenda_put(w, (struct agenda){.at_us = w->now_us,
                                          .kind = AG_DRAINED,
                                          .node = peer->node,
                                          .conn = peer->id});
        }
    }
    net_pump_later(w, e);
    bool fin = p->fin;
    if (fin)
        end_closed(w, e, ERR_CLOSED, NULL);
    else if (!e->closing)
        node_deliver(e->node, &(struct event){.kind = EV_DATA,
                                              .conn = e->id,
                                              .tag = e->tag,
                                              .owner = e->owner,
                                              .data = bytes_of(p->bytes, p->n)});
    mem_free(p);
    if (fin && peer != NULL && end_get(w, a->conn) == NULL && peer->closing)
        net_drop_end(w, peer);
    net_flush(w);
}

void net_drained(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e != NULL && !e->closing)
        node_deliver(
            e->node,
            &(struct event){.kind = EV_DRAINED, .conn = e->id, .tag = e->tag, .owner = e->owner});
}

void net_wake(struct world *w, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < w->ends_n; i++) {
        struct endpoint *e = w->ends[i], *peer = e ? end_get(w, e->peer) : NULL;
        if (peer != NULL && peer->node->host == from && e->node->host == to)
            net_pump_later(w, e);
    }
}

/* ---------------------------------------------------------------- opening */

static struct listener *find_listener(struct world *w, uint32_t host, uint16_t port)
{
    struct listener *chosen = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; i < w->listeners_n; i++) {
        struct listener *l = &w->listeners[i];
        if (l->node->dead || l->node->host != host || l->port != port)
            continue;
        seen++;
        if (rng_below(&w->rng, seen) == 0)
            chosen = l; /* any of those that share the port, as SO_REUSEPORT */
    }
    return chosen;
}

int net_find_host(const struct world *w, const char *name)
{
    for (uint32_t i = 0; i < w->hosts_n; i++)
        if (strcmp(w->hosts[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void dial_fails(struct world *w, struct endpoint *e, enum err err)
{
    uint64_t after =
        err == ERR_TIMEOUT && e->dial_until_us > w->now_us ? e->dial_until_us - w->now_us : 0;
    net_fail_later(w, e, after, err);
}

void net_dial(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e == NULL)
        return;
    uint32_t from = e->node->host;
    int to = strncmp(e->dial_host, "unix:", 5) == 0 ? (int)from : net_find_host(w, e->dial_host);
    if (to < 0) {
        dial_fails(w, e, ERR_ADDRESS);
        return;
    }
    if (w->links[from][to].cut || w->links[to][from].cut || !w->hosts[to].alive) {
        /* a dead process refuses, a cut network says nothing; SYNs are repeated until the time is
         * up */
        bool refused = !w->hosts[to].alive && !w->links[from][to].cut && !w->links[to][from].cut;
        uint64_t again = w->now_us + 200000;
        if (refused || again >= e->dial_until_us)
            dial_fails(w, e, refused ? ERR_REFUSED : ERR_TIMEOUT);
        else
            agenda_put(w, (struct agenda){
                              .at_us = again, .kind = AG_DIAL, .node = e->node, .conn = e->id});
        return;
    }
    struct listener *l = find_listener(w, (uint32_t)to, e->dial_port);
    if (l == NULL) {
        dial_fails(w, e, ERR_REFUSED);
        return;
    }
    struct endpoint *peer = net_end_new(w, l->node);
    peer->listener = l->id;
    peer->tag = l->tag;
    peer->tls = e->tls;
    peer->peer = e->id;
    e->peer = peer->id;
    agenda_put(
        w, (struct agenda){.at_us = w->now_us, .kind = AG_OPEN, .node = l->node, .conn = peer->id});
    agenda_put(w, (struct agenda){.at_us = w->now_us + net_travel_us(w, &w->links[to][from], 0),
                                  .kind = AG_OPEN,
                                  .node = e->node,
                                  .conn = e->id});
}

void net_open(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e == NULL)
        return;
    if (e->peer == 0) { /* the other side went meanwhile */
        net_fail_later(w, e, 0, ERR_RESET);
        return;
    }
    e->up = true;
    net_dirty(w, e); /* what was appended before the connection was up */
    node_deliver(e->node, &(struct event){.kind = EV_OPEN,
                                          .conn = e->id,
                                          .listener = e->listener,
                                          .tag = e->tag,
                                          .owner = e->owner});
    e = end_get(w, a->conn);
    if (e != NULL)
        net_pump_later(w, e);
}

void net_moved(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e == NULL) {
        msg_free(a->msg);
        return;
    }
    e->moving = false;
    node_deliver(a->node,
                 &(struct event){.kind = EV_MOVED, .conn = e->id, .tag = e->tag, .msg = a->msg});
    e = end_get(w, a->conn);
    if (e == NULL)
        return;
    net_dirty(w, e);
    net_flush(w);
    net_pump_later(w, e);
}

/* ---------------------------------------------------------------- ends */

void world_link(struct world *w, uint32_t from, uint32_t to, struct world_link link)
{
    bool healed = w->links[from][to].cut && !link.cut;
    w->links[from][to] = link;
    if (healed)
        net_wake(w, from, to);
}

struct world_link world_link_get(const struct world *w, uint32_t from, uint32_t to)
{
    return w->links[from][to];
}

void world_reset(struct world *w, uint32_t a, uint32_t b)
{
    size_t n = w->ends_n;
    for (size_t i = 0; i < n; i++) {
        struct endpoint *e = w->ends[i], *peer = e ? end_get(w, e->peer) : NULL;
        if (peer == NULL)
            continue;
        uint32_t x = e->node->host, y = peer->node->host;
        if ((x == a && y == b) || (x == b && y == a))
            net_fail_later(w, e, 0, ERR_RESET);
    }
}

/* A machine died: its endpoints are gone; peers see a reset after the travel time, or nothing
 * before keepalive tells. */
void net_kill(struct world *w, struct node *n, bool silent)
{
    for (size_t i = 0; i < w->ends_n; i++) {
        struct endpoint *e = w->ends[i];
        if (e == NULL || e->node != n)
            continue;
        struct endpoint *peer = end_get(w, e->peer);
        if (peer != NULL) {
            peer->peer = 0;
            if (!silent && !w->links[n->host][peer->node->host].cut)
                net_fail_later(w, peer, w->links[n->host][peer->node->host].latency_us, ERR_RESET);
            else if (w->opts.keepalive_us > 0)
                net_fail_later(w, peer, w->opts.keepalive_us, ERR_TIMEOUT);
        }
        net_drop_end(w, e);
    }
    for (size_t i = 0; i < w->listeners_n;) {
        if (w->listeners[i].node == n)
            w->listeners[i] = w->listeners[--w->listeners_n];
        else
            i++;
    }
}
