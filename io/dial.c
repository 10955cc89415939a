/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* Outgoing connections: host name, addresses tried one after the other, TLS settings. */
#include "io/conn.h"

#include "base/mem.h"
#include "io/tls.h"
#include "io/uverr.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

#define ADDRESSES_MAX 8u

struct dialing {
    struct conn *conn; /* NULL: gone while the name was looked up */
    uv_getaddrinfo_t lookup;
    uv_connect_t req;
    struct sockaddr_storage addr[ADDRESSES_MAX];
    unsigned n, next;
    bool looking; /* `lookup` is under way and this belongs to libuv: the callback frees it */
};

void dial_free(struct dialing *d)
{
    if (d == NULL)
        return;
    d->conn = NULL;
    if (d->looking)
        uv_cancel((uv_req_t *)&d->lookup);
    else
        mem_free(d);
}

static void fail_later(struct conn *c, enum err err, const char *detail)
{
    struct later *a = loop_later(c->loop, LATER_LOST);
    if (a == NULL)
        return;
    a->conn = c->id;
    a->err = err;
    snprintf(a->detail, sizeof a->detail, "%s", detail);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = req->data;
    if (c->state != CONN_CONNECTING)
        return;
    if (status == 0) {
        dial_free(c->dialing);
        c->dialing = NULL;
        conn_connected(c);
    } else if (c->dialing->next < c->dialing->n) {
        conn_handle_close(c);
    } else {
        conn_lost(c, uverr(status), uv_strerror(status));
    }
}

/* Begins with the next address; failures are told later. */
static void connect_next(struct conn *c)
{
    struct dialing *d = c->dialing;
    c->state = CONN_CONNECTING;
    int rc = conn_handle_init(c);
    if (rc == 0)
        rc = uv_tcp_connect(&d->req, &c->u.tcp, (const struct sockaddr *)&d->addr[d->next++],
                            on_connected);
    if (rc == 0)
        return;
    if (c->handle && d->next < d->n)
        conn_handle_close(c);
    else
        conn_break(c, rc);
}

bool dial_again(struct conn *c)
{
    if (c->dialing == NULL || c->dialing->next >= c->dialing->n)
        return false;
    connect_next(c);
    return true;
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct dialing *d = req->data;
    struct conn *c = d->conn;
    d->looking = false;
    for (struct addrinfo *a = list; a != NULL && d->n < ADDRESSES_MAX; a = a->ai_next)
        if (a->ai_addrlen <= sizeof d->addr[0])
            memcpy(&d->addr[d->n++], a->ai_addr, a->ai_addrlen);
    uv_freeaddrinfo(list);
    if (c == NULL) {
        mem_free(d);
        return;
    }
    if (status == 0 && d->n > 0)
        connect_next(c);
    else
        conn_lost(c, uverr(status ? status : UV_EAI_NONAME),
                  uv_strerror(status ? status : UV_EAI_NONAME));
}

static void connect_local(struct conn *c, const char *path)
{
    c->state = CONN_CONNECTING;
    int rc = strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) ? conn_handle_init(c)
                                                                        : UV_ENAMETOOLONG;
    if (rc == 0)
        uv_pipe_connect(&c->dialing->req, &c->u.pipe, path, on_connected);
    else
        conn_break(c, rc);
}

static void connect_host(struct conn *c, const char *host, uint16_t port)
{
    struct dialing *d = c->dialing;
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&d->addr[0]) == 0 ||
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&d->addr[0]) == 0) {
        d->n = 1;
        connect_next(c);
        return;
    }
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    c->state = CONN_RESOLVING;
    int rc = uv_getaddrinfo(&c->loop->uv, &d->lookup, on_lookup, host, service, &hints);
    d->looking = rc == 0;
    if (rc != 0)
        conn_break(c, rc);
}

conn_id dial_start(struct loop *l, const struct dial_opts *o)
{
    const char *host = o->host ? o->host : "";
    bool local = strncmp(host, "unix:", 5) == 0;
    struct conn *c = conn_new(l, local);
    struct dialing *d = mem_zalloc(sizeof *d);
    c->tag = o->tag;
    c->owner = o->owner;
    c->dialing = d;
    d->conn = c;
    d->lookup.data = d;
    d->req.data = c;
    conn_deadline(c, (uint64_t)(o->timeout_ms ? o->timeout_ms : CONN_DIAL_MS) * 1000u);
    struct tls_context *ctx = loop_tls(l, o->tls);
    if (o->tls != 0 && ctx == NULL) {
        fail_later(c, ERR_TLS, "these TLS settings are not in use any more");
        return c->id;
    }
    if (ctx != NULL) {
        c->tls = tls_new(ctx, false, o->server_name ? o->server_name : local ? NULL : host);
        c->tls->sink = &c->out;
    }
    if (local)
        connect_local(c, host + 5);
    else
        connect_host(c, host, o->port);
    return c->id;
}
