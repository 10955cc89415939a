/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/respond.h"

#include <string.h>

struct respond_conn *respond_at(const struct respond *r, unsigned i)
{
    return (struct respond_conn *)(void *)((char *)r->conns + i * r->size);
}

static struct respond_conn *find(const struct respond *r, conn_id id)
{
    for (unsigned i = 0; i < r->count; i++)
        if (respond_at(r, i)->id == id)
            return respond_at(r, i);
    return NULL;
}

static void forget(const struct respond *r, struct respond_conn *c)
{
    if (r->drop != NULL)
        r->drop(c);
    buf_deinit(&c->in);
    resp_args_deinit(&c->args);
    memset(c, 0, r->size);
}

void respond_forget(const struct respond *r)
{
    for (unsigned i = 0; i < r->count; i++)
        forget(r, respond_at(r, i));
}

static void received(const struct respond *r, struct respond_conn *c, struct bytes data)
{
    static const struct resp_limits limits = {
        .bulk_max = 1 << 20, .args_max = 100, .query_max = 1 << 20};
    buf_put_bytes(&c->in, data);
    while (resp_parse(&c->resp, buf_bytes(&c->in), &limits, &c->args) == RESP_DONE) {
        r->answer(r->arg, c, c->resp.argc, c->args.at + c->resp.first);
        buf_consume(&c->in, c->resp.used);
        resp_next(&c->resp);
        resp_args_clear(&c->args);
    }
}

void respond_event(const struct respond *r, struct port *port, const struct event *ev)
{
    struct respond_conn *c = find(r, ev->kind == EV_OPEN ? 0 : ev->conn);
    if (ev->kind == EV_OPEN && c == NULL)
        port->ops->close(port, ev->conn, false);
    if (c == NULL || (ev->kind != EV_OPEN && ev->conn == 0))
        return;
    if (ev->kind == EV_OPEN)
        c->id = ev->conn;
    else if (ev->kind == EV_DATA)
        received(r, c, ev->data);
    else if (ev->kind == EV_CLOSED)
        forget(r, c);
}
