/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/driver.h"

#include "base/mem.h"

struct vconn {
    struct conn_owner owner;
    struct driver *driver;
    struct vconn *next, **link;
    conn_id id;
    bool open;
    struct buf in, early; /* early: sent before the connection was up */
    vconn_handler *handler;
    void *arg;
};

struct driver {
    struct world *world;
    struct port *port;
    uint32_t host;
    struct vconn *conns;
};

static void vconn_free(struct vconn *c)
{
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    buf_deinit(&c->in);
    buf_deinit(&c->early);
    mem_free(c);
}

static void vconn_step(struct conn_owner *self, struct port *p, const struct event *ev)
{
    struct vconn *c = (struct vconn *)self;
    switch (ev->kind) {
    case EV_OPEN:
        c->open = true;
        buf_put_bytes(p->ops->out(p, c->id), buf_bytes(&c->early));
        buf_deinit(&c->early);
        c->handler(c, VCONN_OPEN, &c->in, c->arg);
        break;
    case EV_DATA:
        buf_put_bytes(&c->in, ev->data);
        c->handler(c, VCONN_DATA, &c->in, c->arg);
        break;
    case EV_CLOSED:
        c->open = false;
        c->id = 0;
        c->handler(c, VCONN_CLOSED, &c->in, c->arg);
        vconn_free(c);
        break;
    default:
        break;
    }
}

static void driver_step(void *self, struct port *port, const struct event *ev)
{
    (void)self;
    if (ev->owner != NULL)
        ev->owner->step(ev->owner, port, ev);
}

static void driver_drop(void *self, struct port *p)
{
    (void)p;
    struct driver *d = self;
    while (d->conns != NULL)
        vconn_free(d->conns);
    mem_free(d);
}

struct driver *driver_new(struct world *w, const char *name)
{
    struct driver *d = mem_zalloc(sizeof *d);
    d->world = w;
    d->host = world_host(w, name);
    d->port =
        world_machine(w, d->host, 1, (struct machine){.self = d, .step = driver_step}, driver_drop);
    return d;
}

struct vconn *driver_dial(struct driver *d, const char *host, uint16_t port, vconn_handler *handler,
                          void *arg)
{
    struct vconn *c = mem_zalloc(sizeof *c);
    *c = (struct vconn){.owner = {.step = vconn_step},
                        .driver = d,
                        .next = d->conns,
                        .link = &d->conns,
                        .handler = handler,
                        .arg = arg};
    if (c->next != NULL)
        c->next->link = &c->next;
    d->conns = c;
    c->id = d->port->ops->dial(
        d->port,
        &(struct dial_opts){.host = host, .port = port, .owner = &c->owner, .timeout_ms = 3000});
    return c;
}

void vconn_send(struct vconn *c, struct bytes s)
{
    if (!c->open) {
        buf_put_bytes(&c->early, s);
        return;
    }
    struct buf *out = c->driver->port->ops->out(c->driver->port, c->id);
    if (out != NULL)
        buf_put_bytes(out, s);
    world_flush(c->driver->world);
}

void vconn_pause(struct vconn *c, bool paused)
{
    if (c->id != 0)
        c->driver->port->ops->pause(c->driver->port, c->id, paused);
}

void vconn_close(struct vconn *c)
{
    if (c->id != 0)
        c->driver->port->ops->close(c->driver->port, c->id, false);
    vconn_free(c);
}
