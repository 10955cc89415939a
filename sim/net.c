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

static struct endpoint *end_new(struct world *w, struct node *node)
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

static uint64_t travel_us(struct world *w, const struct world_link *l, size_t n)
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

static void pump_later(struct world *w, struct endpoint *e)
{
    if (e->pumping || e->first == NULL || !e->up || e->paused || e->moving)
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
    uint64_t due = w->now_us + travel_us(w, &w->links[e->node->host][peer->node->host], n);
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
    pump_later(w, peer);
}

static void flush_end(struct world *w, struct endpoint *e)
{
    struct endpoint *peer = end_get(w, e->peer);
    if (peer == NULL || e->moving)
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

static void mark_dirty(struct world *w, struct endpoint *e)
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

static void fail_later(struct world *w, struct endpoint *e, uint64_t after_us, enum err err)
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
    if (e->first == NULL || !e->up || e->paused || e->moving || e->dead || is_cut(w, e))
        return; /* woken by net_wake, resume, EV_MOVED */
    struct piece *p = e->first;
    if (p->due_us > w->now_us) {
        pump_later(w, e);
        return;
    }
    e->first = p->next;
    if (e->first == NULL)
        e->last = NULL;
    struct endpoint *peer = end_get(w, e->peer);
    if (peer != NULL) {
        peer->flying -= p->n;
        mark_dirty(w, peer);
        if (peer->high && buf_len(&peer->out) + peer->flying < PORT_LOW) {
            peer->high = false;
            agenda_put(w, (struct agenda){.at_us = w->now_us,
                                          .kind = AG_DRAINED,
                                          .node = peer->node,
                                          .conn = peer->id});
        }
    }
    pump_later(w, e);
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
            pump_later(w, e);
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

static int find_host(const struct world *w, const char *name)
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
    fail_later(w, e, after, err);
}

void net_dial(struct world *w, struct agenda *a)
{
    struct endpoint *e = end_get(w, a->conn);
    if (e == NULL)
        return;
    uint32_t from = e->node->host;
    int to = strncmp(e->dial_host, "unix:", 5) == 0 ? (int)from : find_host(w, e->dial_host);
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
    struct endpoint *peer = end_new(w, l->node);
    peer->listener = l->id;
    peer->tag = l->tag;
    peer->tls = e->tls;
    peer->peer = e->id;
    e->peer = peer->id;
    agenda_put(
        w, (struct agenda){.at_us = w->now_us, .kind = AG_OPEN, .node = l->node, .conn = peer->id});
    agenda_put(w, (struct agenda){.at_us = w->now_us + travel_us(w, &w->links[to][from], 0),
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
        fail_later(w, e, 0, ERR_RESET);
        return;
    }
    e->up = true;
    mark_dirty(w, e); /* what was appended before the connection was up */
    node_deliver(e->node, &(struct event){.kind = EV_OPEN,
                                          .conn = e->id,
                                          .listener = e->listener,
                                          .tag = e->tag,
                                          .owner = e->owner});
    e = end_get(w, a->conn);
    if (e != NULL)
        pump_later(w, e);
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
    mark_dirty(w, e);
    net_flush(w);
    pump_later(w, e);
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
            fail_later(w, e, 0, ERR_RESET);
    }
}

/* A machine died: its endpoints are gone; peers see a reset after the travel time, or nothing. */
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
                fail_later(w, peer, w->links[n->host][peer->node->host].latency_us, ERR_RESET);
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

/* ---------------------------------------------------------------- the port's calls */

static struct node *node_of(struct port *p)
{
    return (struct node *)p; /* port is the node's first member */
}

static uint32_t op_listen(struct port *p, const struct listen_opts *o)
{
    struct node *n = node_of(p);
    struct world *w = n->world;
    uint32_t id = ++w->next_listener;
    enum err err = ERR_OK;
    for (size_t i = 0; i < w->listeners_n; i++)
        if (w->listeners[i].port == o->port && w->listeners[i].node->host == n->host &&
            !(o->shared && w->listeners[i].node != n))
            err = ERR_IN_USE;
    if (err == ERR_OK) {
        if (w->listeners_n == w->listeners_cap) {
            w->listeners_cap = w->listeners_cap ? 2 * w->listeners_cap : 16;
            w->listeners = mem_realloc(w->listeners, w->listeners_cap * sizeof *w->listeners);
        }
        w->listeners[w->listeners_n++] =
            (struct listener){.id = id, .tag = o->tag, .port = o->port, .node = n};
    }
    agenda_put(w, (struct agenda){.at_us = w->now_us,
                                  .kind = AG_LISTEN,
                                  .node = n,
                                  .listener = id,
                                  .tag = o->tag,
                                  .err = err,
                                  .status = o->port});
    return id;
}

static void op_unlisten(struct port *p, uint32_t listener)
{
    struct world *w = node_of(p)->world;
    for (size_t i = 0; i < w->listeners_n; i++)
        if (w->listeners[i].id == listener) {
            w->listeners[i] = w->listeners[--w->listeners_n];
            return;
        }
}

static conn_id op_dial(struct port *p, const struct dial_opts *o)
{
    struct node *n = node_of(p);
    struct world *w = n->world;
    struct endpoint *e = end_new(w, n);
    e->owner = o->owner;
    e->tls = o->tls != 0;
    e->tag = o->tag;
    snprintf(e->dial_host, sizeof e->dial_host, "%s", o->host);
    e->dial_port = o->port;
    e->dial_until_us = w->now_us + 1000ull * (o->timeout_ms ? o->timeout_ms : 10000);
    int to = find_host(w, o->host);
    uint64_t us = to < 0 ? 100 : travel_us(w, &w->links[n->host][to], 0);
    agenda_put(w,
               (struct agenda){.at_us = w->now_us + us, .kind = AG_DIAL, .node = n, .conn = e->id});
    return e->id;
}

/* The endpoint, if it is this machine's and still open for it. */
static struct endpoint *own_end(struct port *p, conn_id c)
{
    struct endpoint *e = end_get(node_of(p)->world, c);
    return e == NULL || e->node != node_of(p) || e->closing || e->moving ? NULL : e;
}

static struct buf *op_out(struct port *p, conn_id c)
{
    struct endpoint *e = own_end(p, c);
    if (e == NULL)
        return NULL;
    mark_dirty(node_of(p)->world, e);
    return &e->out;
}

static size_t op_pending(struct port *p, conn_id c)
{
    struct endpoint *e = own_end(p, c);
    return e == NULL ? 0 : buf_len(&e->out) + e->flying;
}

static void op_own(struct port *p, conn_id c, struct conn_owner *kept)
{
    struct endpoint *e = own_end(p, c);
    if (e != NULL)
        e->owner = kept;
}

static void op_pause(struct port *p, conn_id c, bool paused)
{
    struct endpoint *e = own_end(p, c);
    if (e == NULL)
        return;
    e->paused = paused;
    pump_later(node_of(p)->world, e);
}

static void op_close(struct port *p, conn_id c, bool flush)
{
    struct world *w = node_of(p)->world;
    struct endpoint *e = own_end(p, c);
    if (e == NULL)
        return;
    struct endpoint *peer = end_get(w, e->peer);
    if (peer == NULL) {
        net_drop_end(w, e);
    } else if (!flush || !e->up) {
        peer->peer = 0;
        fail_later(w, peer, w->links[e->node->host][peer->node->host].latency_us, ERR_RESET);
        net_drop_end(w, e);
    } else {
        e->closing = true;
        e->owner = NULL;
        mark_dirty(w, e);
        fail_later(w, e, 5000000, ERR_TIMEOUT);
        e->dead = false; /* it still sends until then */
    }
}

static void op_move(struct port *p, conn_id c, uint32_t neighbour, struct msg *taken)
{
    struct node *n = node_of(p);
    struct world *w = n->world;
    struct endpoint *e = own_end(p, c);
    struct node *to = NULL;
    for (size_t i = 0; i < w->nodes_n; i++)
        if (w->nodes[i]->host == n->host && w->nodes[i]->port.self == neighbour &&
            !w->nodes[i]->dead)
            to = w->nodes[i];
    if (e == NULL || to == NULL) {
        msg_free(taken);
        return;
    }
    e->moving = true;
    e->node = to;
    e->owner = NULL;
    taken->from = p->self;
    agenda_put(w,
               (struct agenda){
                   .at_us = w->now_us + 20, .kind = AG_MOVED, .node = to, .conn = c, .msg = taken});
}

static void op_post(struct port *p, uint32_t neighbour, struct msg *taken)
{
    struct node *n = node_of(p);
    struct world *w = n->world;
    taken->from = p->self;
    for (size_t i = 0; i < w->nodes_n; i++) {
        struct node *to = w->nodes[i];
        if (to->host != n->host || to->port.self != neighbour || to->dead)
            continue;
        /* one fixed delay: messages between two neighbours never overtake each other */
        agenda_put(w, (struct agenda){
                          .at_us = w->now_us + 10, .kind = AG_MESSAGE, .node = to, .msg = taken});
        return;
    }
    msg_free(taken);
}

static void op_file(struct port *p, struct file_req *taken)
{
    struct node *n = node_of(p);
    agenda_put(n->world,
               (struct agenda){.at_us = n->world->now_us + 100 + rng_below(&n->world->rng, 2000),
                               .kind = AG_FILE,
                               .node = n,
                               .file = taken});
}

/* Bytes travel as they are: the virtual network has no eavesdroppers. */
static uint32_t op_tls(struct port *p, const struct tls_opts *o, char *why, size_t why_size)
{
    (void)p, (void)o, (void)why, (void)why_size;
    return 1;
}

static void op_tls_free(struct port *p, uint32_t tls) { (void)p, (void)tls; }

static int op_spawn(struct port *p, const char *const *argv, uint32_t tag)
{
    (void)p, (void)argv, (void)tag;
    return -1; /* processes are the simulation's business: it adds machines itself */
}

static void op_kill(struct port *p, int pid, int sig) { (void)p, (void)pid, (void)sig; }

static void op_random(struct port *p, void *out, size_t n)
{
    uint8_t *b = out;
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)rng_next(&node_of(p)->world->rng);
}

static void op_log(struct port *p, char level, const char *line)
{
    struct node *n = node_of(p);
    world_note(n->world, "%s.%u %c %s", n->world->hosts[n->host].name, p->self, level, line);
    if (n->world->opts.log != NULL)
        n->world->opts.log(n->world->opts.arg, n->world->hosts[n->host].name, level, line);
}

static void op_stop(struct port *p)
{
    world_note(node_of(p)->world, "%s.%u stops", node_of(p)->world->hosts[node_of(p)->host].name,
               p->self);
}

static size_t op_peer_name(struct port *p, conn_id c, char *out, size_t size)
{
    struct world *w = node_of(p)->world;
    struct endpoint *e = end_get(w, c), *peer = e ? end_get(w, e->peer) : NULL;
    int n = snprintf(out, size, "%s:%u", peer ? w->hosts[peer->node->host].name : "?", (unsigned)c);
    return n < 0 ? 0 : (size_t)n;
}

static bool op_is_tls(struct port *p, conn_id c)
{
    const struct endpoint *e = end_get(node_of(p)->world, c);
    return e != NULL && e->tls;
}

static size_t op_alpn(struct port *p, conn_id c, char *out, size_t size)
{
    (void)p, (void)c;
    if (size > 0)
        out[0] = 0;
    return 0;
}

const struct port_ops world_port_ops = {
    .listen = op_listen,
    .unlisten = op_unlisten,
    .dial = op_dial,
    .out = op_out,
    .pending = op_pending,
    .own = op_own,
    .pause = op_pause,
    .close = op_close,
    .move = op_move,
    .post = op_post,
    .file = op_file,
    .tls = op_tls,
    .tls_free = op_tls_free,
    .spawn = op_spawn,
    .kill = op_kill,
    .random = op_random,
    .log = op_log,
    .stop = op_stop,
    .peer_name = op_peer_name,
    .is_tls = op_is_tls,
    .alpn = op_alpn,
};
