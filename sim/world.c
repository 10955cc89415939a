/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/world.h"

#include "base/hash.h"
#include "base/mem.h"
#include "sim/world_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* 2026-01-01: any instant after the stamps' epoch will do. */
#define WORLD_BIRTH_MS INT64_C(1767225600000)

struct world *world_new(const struct world_opts *o)
{
    struct world *w = mem_zalloc(sizeof *w);
    w->opts = *o;
    w->now_us = 1000000;
    rng_init(&w->rng, o->seed);
    if (o->trace > 0)
        w->trace = mem_zalloc(o->trace * sizeof *w->trace);
    for (unsigned i = 0; i < WORLD_HOSTS_MAX; i++)
        for (unsigned j = 0; j < WORLD_HOSTS_MAX; j++)
            w->links[i][j] = (struct world_link){.latency_us = i == j ? 20 : o->latency_us,
                                                 .jitter_us = i == j ? 10 : o->jitter_us};
    return w;
}

static void agenda_drop(struct agenda *a)
{
    msg_free(a->msg);
    file_req_free(a->file);
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    for (uint32_t h = 0; h < w->hosts_n; h++) {
        if (w->hosts[h].alive)
            world_kill(w, h, true);
        files_free(&w->hosts[h]);
    }
    for (size_t i = 0; i < w->agenda_n; i++)
        agenda_drop(&w->agenda[i]);
    net_free(w);
    for (size_t i = 0; i < w->nodes_n; i++)
        mem_free(w->nodes[i]);
    for (size_t i = 0; i < w->graves_n; i++)
        mem_free(w->graves[i]);
    mem_free(w->agenda);
    mem_free(w->nodes);
    mem_free(w->graves);
    mem_free(w->trace);
    mem_free(w);
}

/* ---------------------------------------------------------------- the agenda */

static bool agenda_before(const struct agenda *a, const struct agenda *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void agenda_put(struct world *w, struct agenda a)
{
    a.order = w->order++;
    if (w->agenda_n == w->agenda_cap) {
        w->agenda_cap = w->agenda_cap ? 2 * w->agenda_cap : 256;
        w->agenda = mem_realloc(w->agenda, w->agenda_cap * sizeof *w->agenda);
    }
    size_t i = w->agenda_n++;
    while (i > 0 && agenda_before(&a, &w->agenda[(i - 1) / 2])) {
        w->agenda[i] = w->agenda[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->agenda[i] = a;
}

static struct agenda agenda_take(struct world *w)
{
    struct agenda top = w->agenda[0], last = w->agenda[--w->agenda_n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= w->agenda_n)
            break;
        if (c + 1 < w->agenda_n && agenda_before(&w->agenda[c + 1], &w->agenda[c]))
            c++;
        if (!agenda_before(&w->agenda[c], &last))
            break;
        w->agenda[i] = w->agenda[c];
        i = c;
    }
    if (w->agenda_n > 0)
        w->agenda[i] = last;
    return top;
}

/* ---------------------------------------------------------------- history */

void world_record(struct world *w, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t x[4] = {w->hash, a, b, c};
    w->hash = hash_64(bytes_of(x, sizeof x), 0x6d65726964);
}

static struct trace *trace_next(struct world *w)
{
    struct trace *t = &w->trace[w->trace_n++ % w->opts.trace];
    t->at_us = w->now_us;
    return t;
}

void world_note(struct world *w, const char *fmt, ...)
{
    char line[140];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    world_record(w, w->now_us, hash_64(bytes_of(line, len), 1), 0);
    if (w->opts.trace == 0)
        return;
    struct trace *t = trace_next(w);
    t->note = true;
    memcpy(t->text, line, len);
    t->text[len] = 0;
}

static const char *const event_names[] = {"start",  "listen", "open",    "data", "drained",
                                          "closed", "moved",  "message", "file", "child",
                                          "signal", "timer",  "turn"};

void world_trace(const struct world *w, struct buf *out)
{
    uint64_t from = w->trace_n > w->opts.trace ? w->trace_n - w->opts.trace : 0;
    for (uint64_t i = from; i < w->trace_n; i++) {
        const struct trace *t = &w->trace[i % w->opts.trace];
        buf_putf(out, "%12.6f  ", (double)t->at_us / 1e6);
        if (t->note)
            buf_putf(out, "%s\n", t->text);
        else
            buf_putf(out, "%s.%u %s conn %" PRIu64 " %zu bytes %s\n", w->hosts[t->host].name,
                     t->self, event_names[t->kind], t->conn, t->bytes,
                     t->err ? err_name(t->err) : "");
    }
}

static void trace_event(struct node *n, const struct event *ev)
{
    struct world *w = n->world;
    world_record(w, w->now_us << 8 | (uint64_t)ev->kind, (uint64_t)n->host << 32 | n->port.self,
                 ev->kind == EV_DATA ? hash_64(ev->data, ev->conn) : ev->conn);
    if (w->opts.trace == 0 || ev->kind == EV_TURN || ev->kind == EV_TIMER)
        return;
    struct trace *t = trace_next(w);
    t->note = false;
    t->kind = ev->kind;
    t->err = ev->err;
    t->host = n->host;
    t->self = n->port.self;
    t->conn = ev->conn;
    t->bytes = ev->data.n;
}

/* ---------------------------------------------------------------- hosts, clocks, machines */

uint32_t world_host(struct world *w, const char *name)
{
    assert(w->hosts_n < WORLD_HOSTS_MAX);
    struct host *h = &w->hosts[w->hosts_n];
    snprintf(h->name, sizeof h->name, "%s", name);
    h->alive = true;
    return w->hosts_n++;
}

int64_t host_wall_ms(const struct world *w, uint32_t host)
{
    const struct host *h = &w->hosts[host];
    int64_t ms = (int64_t)(w->now_us / 1000);
    if (w->frozen)
        ms = w->frozen_ms;
    return WORLD_BIRTH_MS + ms + ms * h->ppm / 1000000 + h->shift_ms;
}

int64_t world_wall_ms(const struct world *w, uint32_t host) { return host_wall_ms(w, host); }

void world_clock_shift(struct world *w, uint32_t host, int64_t ms)
{
    w->hosts[host].shift_ms += ms;
}

void world_clock_drift(struct world *w, uint32_t host, int32_t ppm)
{
    /* A change of rate must not make the clock jump. */
    int64_t before = host_wall_ms(w, host);
    w->hosts[host].ppm = ppm;
    w->hosts[host].shift_ms += before - host_wall_ms(w, host);
}

void world_clock_freeze(struct world *w, bool frozen)
{
    w->frozen = frozen;
    w->frozen_ms = (int64_t)(w->now_us / 1000);
}

static void nodes_put(struct node ***all, size_t *n, size_t *cap, struct node *one)
{
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 32;
        *all = mem_realloc(*all, *cap * sizeof **all);
    }
    (*all)[(*n)++] = one;
}

struct port *world_machine(struct world *w, uint32_t host, uint32_t neighbours, struct machine m,
                           void (*drop)(void *self, struct port *p))
{
    uint32_t self = 0;
    for (size_t i = 0; i < w->nodes_n; i++)
        self += w->nodes[i]->host == host;
    assert(self < neighbours);
    w->hosts[host].alive = true;
    struct node *n = mem_zalloc(sizeof *n);
    *n = (struct node){.port = {.ops = &world_port_ops, .self = self, .neighbours = neighbours},
                       .world = w,
                       .machine = m,
                       .drop = drop,
                       .host = host,
                       .timer_us = UINT64_MAX};
    nodes_put(&w->nodes, &w->nodes_n, &w->nodes_cap, n);
    agenda_put(w, (struct agenda){.at_us = w->now_us, .kind = AG_START, .node = n});
    return &n->port;
}

bool world_stopped(const struct world *w, uint32_t host)
{
    unsigned n = 0, stopped = 0;
    for (size_t i = 0; i < w->nodes_n; i++)
        if (w->nodes[i]->host == host) {
            n++;
            stopped += w->nodes[i]->stopped;
        }
    return n > 0 && n == stopped;
}

/* Whoever looks through the nodes finds only those that live. */
static void bury(struct world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->nodes_n; i++) {
        struct node *n = w->nodes[i];
        if (!n->dead) {
            w->nodes[kept++] = n;
            continue;
        }
        w->turns -= n->turn;
        n->turn = false;
        nodes_put(&w->graves, &w->graves_n, &w->graves_cap, n);
    }
    w->nodes_n = kept;
}

void world_kill(struct world *w, uint32_t host, bool silent)
{
    world_note(w, "host %s dies", w->hosts[host].name);
    w->hosts[host].alive = false;
    for (size_t i = 0; i < w->agenda_n; i++) {
        struct agenda *a = &w->agenda[i];
        if (a->kind == AG_FILE && a->node->host == host && !a->node->dead)
            files_interrupted(a->node, a->file);
    }
    for (size_t i = 0; i < w->nodes_n; i++) {
        struct node *n = w->nodes[i];
        if (n->host != host)
            continue;
        if (n->drop != NULL)
            n->drop(n->machine.self, &n->port);
        n->dead = true;
        net_kill(w, n, silent);
    }
    bury(w);
}

/* ---------------------------------------------------------------- delivering */

static void rearm(struct node *n)
{
    uint64_t at = n->machine.deadline ? n->machine.deadline(n->machine.self) : UINT64_MAX;
    if (at == UINT64_MAX)
        return;
    if (at <= n->world->now_us)
        at = n->world->now_us + (n->world->opts.spin_us > 0 ? n->world->opts.spin_us : 1);
    if (n->timer_us <= at)
        return;
    n->timer_us = at;
    agenda_put(n->world, (struct agenda){.at_us = at, .kind = AG_TIMER, .node = n});
}

void node_deliver(struct node *n, struct event *ev)
{
    struct world *w = n->world;
    ev->now = (struct moment){.wall_ms = host_wall_ms(w, n->host), .mono_us = w->now_us};
    trace_event(n, ev);
    w->events++;
    n->looked_us = 0;
    n->machine.step(n->machine.self, &n->port, ev);
    if (ev->kind != EV_TURN && !n->turn) {
        n->turn = true;
        w->turns++;
    }
    net_flush(w);
    if (ev->kind == EV_TURN)
        rearm(n);
}

static void timer_due(struct agenda *a)
{
    struct node *n = a->node;
    if (n->timer_us != a->at_us)
        return; /* an earlier one took its place */
    n->timer_us = UINT64_MAX;
    uint64_t at = n->machine.deadline(n->machine.self);
    if (at <= n->world->now_us)
        node_deliver(n, &(struct event){.kind = EV_TIMER});
    rearm(n);
}

static void run_agenda(struct world *w, struct agenda *a)
{
    if (a->node != NULL && a->node->dead) {
        agenda_drop(a);
        return;
    }
    switch (a->kind) {
    case AG_START:
        node_deliver(a->node, &(struct event){.kind = EV_START});
        break;
    case AG_LISTEN:
        node_deliver(a->node, &(struct event){.kind = EV_LISTEN,
                                              .listener = a->listener,
                                              .tag = a->tag,
                                              .err = a->err,
                                              .status = a->status});
        break;
    case AG_MESSAGE:
        node_deliver(a->node, &(struct event){.kind = EV_MESSAGE, .msg = a->msg});
        break;
    case AG_FILE:
        files_run(a->node, a->file);
        node_deliver(a->node, &(struct event){.kind = EV_FILE, .file = a->file});
        break;
    case AG_TIMER:
        timer_due(a);
        break;
    case AG_OPEN:
        net_open(w, a);
        break;
    case AG_PUMP:
        net_pump(w, a);
        break;
    case AG_DRAINED:
        net_drained(w, a);
        break;
    case AG_FAIL:
        net_fail(w, a);
        break;
    case AG_MOVED:
        net_moved(w, a);
        break;
    case AG_DIAL:
        net_dial(w, a);
        break;
    }
}

/* Before time moves on, every machine that had an event gets its end of turn. */
static bool run_turns(struct world *w)
{
    bool any = w->turns > 0;
    for (size_t i = 0; i < w->nodes_n && w->turns > 0; i++) {
        struct node *n = w->nodes[i];
        if (!n->turn)
            continue;
        n->turn = false;
        w->turns--;
        node_deliver(n, &(struct event){.kind = EV_TURN});
    }
    return any;
}

bool world_step(struct world *w, uint64_t until_us)
{
    if (w->agenda_n == 0 || w->agenda[0].at_us > w->now_us) {
        if (run_turns(w))
            return true;
        if (w->agenda_n == 0 || w->agenda[0].at_us > until_us) {
            w->now_us = until_us;
            return false;
        }
        w->now_us = w->agenda[0].at_us;
    }
    struct agenda a = agenda_take(w);
    run_agenda(w, &a);
    return true;
}

void world_run(struct world *w, uint64_t until_us)
{
    while (world_step(w, until_us))
        continue;
}

uint64_t world_now_us(const struct world *w) { return w->now_us; }

uint64_t world_hash(const struct world *w) { return w->hash; }

uint64_t world_events(const struct world *w) { return w->events; }
