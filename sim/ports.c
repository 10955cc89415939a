/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/world_private.h"

#include <stdio.h>
#include <string.h>

/* What a machine asks of its port, in the virtual world (base/port.h). */

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
    struct endpoint *e = net_end_new(w, n);
    e->owner = o->owner;
    e->tls = o->tls != 0;
    e->tag = o->tag;
    snprintf(e->dial_host, sizeof e->dial_host, "%s", o->host);
    e->dial_port = o->port;
    e->dial_until_us = w->now_us + 1000ull * (o->timeout_ms ? o->timeout_ms : 10000);
    int to = net_find_host(w, o->host);
    uint64_t us = to < 0 ? 100 : net_travel_us(w, &w->links[n->host][to], 0);
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
    net_dirty(node_of(p)->world, e);
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
    net_pump_later(node_of(p)->world, e);
}

static void op_hold(struct port *p, conn_id c, bool held)
{
    struct endpoint *e = own_end(p, c);
    if (e == NULL)
        return;
    e->held = held;
    net_dirty(node_of(p)->world, e);
    net_pump_later(node_of(p)->world, e);
}

static void op_close(struct port *p, conn_id c, bool flush)
{
    struct world *w = node_of(p)->world;
    struct endpoint *e = own_end(p, c);
    if (e == NULL)
        return;
    flush = flush && !e->held;
    struct endpoint *peer = end_get(w, e->peer);
    if (peer == NULL) {
        net_drop_end(w, e);
    } else if (!flush || !e->up) {
        peer->peer = 0;
        net_fail_later(w, peer, w->links[e->node->host][peer->node->host].latency_us, ERR_RESET);
        net_drop_end(w, e);
    } else {
        e->closing = true;
        e->owner = NULL;
        net_dirty(w, e);
        net_fail_later(w, e, 5000000, ERR_TIMEOUT);
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
    agenda_put(n->world, (struct agenda){.at_us = n->world->now_us + files_travel_us(n, taken),
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
    node_of(p)->stopped = true;
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

static size_t op_local_name(struct port *p, conn_id c, char *out, size_t size)
{
    const struct node *at = node_of(p);
    int n = snprintf(out, size, "%s:%u", at->world->hosts[at->host].name, (unsigned)c);
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

/* Time stands still within a step of the virtual world. */
static uint64_t op_clock_us(struct port *p)
{
    struct node *n = node_of(p);
    if (n->world->opts.look_us > 0 && rng_below(&n->world->rng, 2) == 0)
        n->looked_us += n->world->opts.look_us;
    return n->world->now_us + n->looked_us;
}

static void op_sleep_us(struct port *p, uint64_t us)
{
    (void)p;
    (void)us;
}

/* Nothing is used up in the virtual world. */
static void op_usage(struct port *p, struct port_usage *out)
{
    (void)p;
    *out = (struct port_usage){.pid = 1};
}

const struct port_ops world_port_ops = {
    .listen = op_listen,
    .unlisten = op_unlisten,
    .dial = op_dial,
    .out = op_out,
    .pending = op_pending,
    .own = op_own,
    .pause = op_pause,
    .hold = op_hold,
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
    .local_name = op_local_name,
    .is_tls = op_is_tls,
    .alpn = op_alpn,
    .clock_us = op_clock_us,
    .usage = op_usage,
    .sleep_us = op_sleep_us,
};
