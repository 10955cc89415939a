/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/*
 * The driver under ThreadSanitizer (`make tsan`): messages between four loops, in chains and all at
 * once, and connections that travel round while bytes come in. A program of its own: Criterion and
 * TSan do not go together.
 */
#include "base/mem.h"
#include "io/io.h"
#include "io/log.h"

#include <assert.h>
#include <stdio.h>

#define LOOPS 4u
#define CHAINS 200u
#define HOPS 200u
#define CLIENTS 20u
#define ROUNDS 50u

struct note {
    struct msg msg;
    unsigned left;
};

struct part {
    unsigned chains_done, clients_done, rounds[CLIENTS];
    conn_id clients[CLIENTS];
};

static void send_on(struct port *p, unsigned left)
{
    struct note *n = mem_zalloc(sizeof *n);
    n->left = left;
    p->ops->post(p, (p->self + 1) % p->neighbours, &n->msg);
}

static unsigned client_of(const struct part *t, conn_id id)
{
    unsigned i = 0;
    while (i < CLIENTS && t->clients[i] != id)
        i++;
    return i;
}

static void on_message(struct part *t, struct port *p, const struct event *ev)
{
    struct note *n = (struct note *)ev->msg;
    if (n->left > 0)
        send_on(p, n->left - 1);
    else if (p->self == 0)
        t->chains_done++;
    else
        send_on(p, 0); /* ends at loop 0, wherever its hops ran out */
    msg_free(&n->msg);
}

/* A server's connection answers and moves on to the next loop; a client asks again. */
static void on_data(struct part *t, struct port *p, const struct event *ev)
{
    unsigned i = client_of(t, ev->conn);
    if (i == CLIENTS) {
        buf_put_bytes(p->ops->out(p, ev->conn), ev->data);
        struct note *n = mem_zalloc(sizeof *n);
        p->ops->move(p, ev->conn, (p->self + 1) % p->neighbours, &n->msg);
        return;
    }
    if (++t->rounds[i] < ROUNDS)
        buf_put_bytes(p->ops->out(p, ev->conn), ev->data);
    else
        t->clients_done++;
}

static void step(void *self, struct port *p, const struct event *ev)
{
    struct part *t = self;
    if (ev->kind == EV_START)
        for (unsigned i = 0; i < CHAINS; i++)
            send_on(p, HOPS);
    if (ev->kind == EV_START && p->self == 0)
        p->ops->listen(p, &(struct listen_opts){.host = "127.0.0.1"});
    if (ev->kind == EV_LISTEN)
        for (unsigned i = 0; i < CLIENTS; i++)
            t->clients[i] = p->ops->dial(
                p, &(struct dial_opts){.host = "127.0.0.1", .port = (uint16_t)ev->status});
    if (ev->kind == EV_OPEN && client_of(t, ev->conn) < CLIENTS)
        buf_put_str(p->ops->out(p, ev->conn), "x");
    if (ev->kind == EV_DATA)
        on_data(t, p, ev);
    if (ev->kind == EV_MOVED)
        msg_free(ev->msg);
    if (ev->kind == EV_MESSAGE)
        on_message(t, p, ev);
    if (t->clients_done == CLIENTS && t->chains_done == CHAINS * LOOPS)
        p->ops->stop(p);
}

static uint64_t never(void *self)
{
    (void)self;
    return UINT64_MAX;
}

int main(void)
{
    struct part parts[LOOPS] = {0};
    struct machine machines[LOOPS];
    struct log log;
    log_open(&log, NULL, 'W');
    io_process_init();
    struct io *io = io_new(&(struct io_opts){.count = LOOPS, .log = &log, .name = "tsan"});
    for (unsigned i = 0; i < LOOPS; i++)
        machines[i] = (struct machine){.self = &parts[i], .step = step, .deadline = never};
    io_run(io, machines);
    io_free(io);
    log_close(&log);
    assert(parts[0].clients_done == CLIENTS);
    printf("neighbours: %u chains of %u hops, %u connections moved %u times: fine\n",
           CHAINS * LOOPS, HOPS, CLIENTS, ROUNDS);
    return 0;
}
