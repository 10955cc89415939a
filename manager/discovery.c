/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/discovery.h"

#include "base/mem.h"
#include "base/resp.h"
#include "manager/core.h"

#include <stdio.h>

#define IN_MAX (64u << 10)
#define CHANNEL "+switch-master"
#define INTERNAL "@internal"

struct client {
    struct conn_owner owner; /* first */
    struct client *next;
    struct discovery *service;
    conn_id conn;
    struct buf in;
    struct resp parser;
    struct resp_args args;
    uint64_t heard_us;
    bool resp3, to_channel, to_pattern, closing;
    char pattern[64];
};

/* Where a database was when it was last looked at. */
struct place {
    uint32_t uid;
    char name[64];
    uint16_t port;
    char host[256];
};

struct discovery {
    struct manager *m;
    struct client *clients;
    uint32_t count;
    char id[41];
    struct place places[CLUSTER_BDBS_MAX];
    uint32_t places_count;
};

struct discovery *discovery_new(struct manager *m)
{
    struct discovery *d = mem_zalloc(sizeof *d);
    d->m = m;
    return d;
}

static void client_end(struct client *c)
{
    struct discovery *d = c->service;
    for (struct client **at = &d->clients; *at != NULL; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            d->count--;
            break;
        }
    resp_args_deinit(&c->args);
    buf_deinit(&c->in);
    mem_free(c);
}

void discovery_free(struct discovery *d)
{
    if (d == NULL)
        return;
    while (d->clients != NULL) {
        d->m->port->ops->close(d->m->port, d->clients->conn, false);
        client_end(d->clients);
    }
    mem_free(d);
}

/* ------------------------------------------------------------ replies */

static void put_text(struct buf *out, const char *s)
{
    buf_putf(out, "$%zu\r\n%s\r\n", strlen(s), s);
}

static void put_bytes(struct buf *out, struct bytes s)
{
    buf_putf(out, "$%zu\r\n", s.n);
    buf_put_bytes(out, s);
    buf_put_str(out, "\r\n");
}

static void put_map(struct buf *out, const struct client *c, unsigned pairs)
{
    if (c->resp3)
        buf_putf(out, "%%%u\r\n", pairs);
    else
        buf_putf(out, "*%u\r\n", pairs * 2);
}

static void put_push(struct buf *out, const struct client *c, unsigned n)
{
    buf_putf(out, "%c%u\r\n", c->resp3 ? '>' : '*', n);
}

static void put_pair(struct buf *out, const char *name, const char *value)
{
    put_text(out, name);
    put_text(out, value);
}

static void put_pair_u(struct buf *out, const char *name, unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    put_pair(out, name, text);
}

static void put_master(struct buf *out, const struct client *c, const struct bdb *b,
                       const char *suffix)
{
    const struct manager *m = c->service->m;
    char name[96], run[64];
    bool up = bdb_health(m, b, (struct lag_check){.tolerance_ms = -1}, NULL) == BDB_HEALTHY;
    snprintf(name, sizeof name, "%s%s", b->name, suffix);
    snprintf(run, sizeof run, "%.32s%08x", c->service->id, b->uid);
    put_map(out, c, 18);
    put_pair(out, "name", name);
    put_pair(out, "ip", m->opts.advertise);
    put_pair_u(out, "port", b->config.port);
    put_pair(out, "runid", run);
    put_pair(out, "flags", up ? "master" : "master,disconnected");
    put_pair(out, "link-pending-commands", "0");
    put_pair(out, "link-refcount", "1");
    put_pair(out, "last-ping-sent", "0");
    put_pair(out, "last-ok-ping-reply", "0");
    put_pair(out, "last-ping-reply", "0");
    put_pair(out, "down-after-milliseconds", "1000");
    put_pair(out, "role-reported", "master");
    put_pair(out, "config-epoch", "0");
    put_pair(out, "num-slaves", "0");
    put_pair(out, "num-other-sentinels", "0");
    put_pair(out, "quorum", "1");
    put_pair(out, "failover-timeout", "180000");
    put_pair(out, "parallel-syncs", "1");
}

/* ------------------------------------------------------------ SENTINEL ... */

/* "db1" and "db1@internal" alike: one node has one address. */
static const struct bdb *named(const struct client *c, struct bytes name)
{
    const struct cluster *cl = &c->service->m->cluster;
    size_t tail = sizeof INTERNAL - 1;
    if (name.n > tail && bytes_is(bytes_of(name.p + name.n - tail, tail), INTERNAL))
        name.n -= tail;
    for (uint32_t i = 0; i < cl->bdbs_count; i++)
        if (cl->bdbs[i]->status != BDB_PENDING && bytes_is(name, cl->bdbs[i]->name))
            return cl->bdbs[i];
    return NULL;
}

static void masters(struct client *c, struct buf *out)
{
    const struct cluster *cl = &c->service->m->cluster;
    unsigned n = 0;
    for (uint32_t i = 0; i < cl->bdbs_count; i++)
        n += cl->bdbs[i]->status != BDB_PENDING;
    buf_putf(out, "*%u\r\n", n * 2);
    for (uint32_t i = 0; i < cl->bdbs_count; i++) {
        if (cl->bdbs[i]->status == BDB_PENDING)
            continue;
        put_master(out, c, cl->bdbs[i], "");
        put_master(out, c, cl->bdbs[i], INTERNAL);
    }
}

/* The subcommands about one database. */
static void about(struct client *c, struct buf *out, struct bytes sub, struct bytes name)
{
    const struct bdb *b = named(c, name);
    if (bytes_is_nocase(sub, "get-master-addr-by-name")) {
        if (b == NULL) {
            buf_put_str(out, c->resp3 ? "_\r\n" : "*-1\r\n");
            return;
        }
        char port[8];
        snprintf(port, sizeof port, "%u", b->config.port);
        buf_put_str(out, "*2\r\n");
        put_text(out, c->service->m->opts.advertise);
        put_text(out, port);
    } else if (b == NULL) {
        buf_put_str(out, "-ERR No such master with that name\r\n");
    } else if (bytes_is_nocase(sub, "master")) {
        put_master(out, c, b, name.n > strlen(b->name) ? INTERNAL : "");
    } else if (bytes_is_nocase(sub, "ckquorum")) {
        buf_put_str(out, "+OK 1 usable Sentinels. Quorum and failover authorization can be "
                         "reached\r\n");
    } else {
        buf_put_str(out, "*0\r\n"); /* replicas, slaves, sentinels */
    }
}

static void sentinel(struct client *c, struct buf *out, const struct bytes *argv, uint32_t argc)
{
    static const char *const one[] = {
        "get-master-addr-by-name", "master", "replicas", "slaves", "sentinels", "ckquorum"};
    if (argc == 2 && bytes_is_nocase(argv[1], "masters")) {
        masters(c, out);
        return;
    }
    if (argc == 2 && bytes_is_nocase(argv[1], "myid")) {
        put_text(out, c->service->id);
        return;
    }
    for (unsigned i = 0; argc >= 2 && i < sizeof one / sizeof one[0]; i++) {
        if (!bytes_is_nocase(argv[1], one[i]))
            continue;
        if (argc == 3)
            about(c, out, argv[1], argv[2]);
        else
            buf_putf(out, "-ERR wrong number of arguments for 'sentinel|%s' command\r\n", one[i]);
        return;
    }
    buf_put_str(out, "-ERR unknown subcommand: this discovery service knows SENTINEL "
                     "get-master-addr-by-name, masters, master, replicas, sentinels, ckquorum, "
                     "myid\r\n");
}

/* ------------------------------------------------------------ other commands */

static void hello(struct client *c, struct buf *out, const struct bytes *argv, uint32_t argc)
{
    if (argc > 1 && !bytes_is(argv[1], "2") && !bytes_is(argv[1], "3")) {
        buf_put_str(out, "-NOPROTO unsupported protocol version\r\n");
        return;
    }
    if (argc > 1)
        c->resp3 = bytes_is(argv[1], "3");
    put_map(out, c, 5);
    put_pair(out, "server", "redis");
    put_pair(out, "version", "7.0.0");
    put_text(out, "proto");
    buf_putf(out, ":%d\r\n", c->resp3 ? 3 : 2);
    put_pair(out, "mode", "sentinel");
    put_text(out, "modules");
    buf_put_str(out, "*0\r\n");
}

static void info(const struct client *c, struct buf *out)
{
    const struct manager *m = c->service->m;
    struct buf text = {0};
    unsigned n = 0;
    buf_putf(&text, "# Server\r\nredis_version:7.0.0\r\nredis_mode:sentinel\r\nrun_id:%s\r\n\r\n",
             c->service->id);
    buf_putf(&text, "# Sentinel\r\nsentinel_masters:%u\r\nsentinel_tilt:0\r\n",
             m->cluster.bdbs_count);
    for (uint32_t i = 0; i < m->cluster.bdbs_count; i++) {
        const struct bdb *b = m->cluster.bdbs[i];
        bool up = bdb_health(m, b, (struct lag_check){.tolerance_ms = -1}, NULL) == BDB_HEALTHY;
        buf_putf(&text, "master%u:name=%s,status=%s,address=%s:%u,slaves=0,sentinels=1\r\n", n++,
                 b->name, up ? "ok" : "odown", m->opts.advertise, b->config.port);
    }
    put_bytes(out, buf_bytes(&text));
    buf_deinit(&text);
}

static void role(const struct client *c, struct buf *out)
{
    const struct cluster *cl = &c->service->m->cluster;
    buf_put_str(out, "*2\r\n");
    put_text(out, "sentinel");
    buf_putf(out, "*%u\r\n", cl->bdbs_count);
    for (uint32_t i = 0; i < cl->bdbs_count; i++)
        put_text(out, cl->bdbs[i]->name);
}

/* Only one channel ever has anything to say; others may be subscribed to and stay silent. */
static void subscribe(struct client *c, struct buf *out, const struct bytes *argv, uint32_t argc)
{
    bool pattern = bytes_is_nocase(argv[0], "psubscribe");
    for (uint32_t i = 1; i < argc; i++) {
        if (pattern && (bytes_is(argv[i], "*") || bytes_is(argv[i], CHANNEL))) {
            c->to_pattern = true;
            snprintf(c->pattern, sizeof c->pattern, "%.*s", (int)argv[i].n,
                     (const char *)argv[i].p);
        } else if (!pattern && bytes_is(argv[i], CHANNEL)) {
            c->to_channel = true;
        }
        put_push(out, c, 3);
        put_text(out, pattern ? "psubscribe" : "subscribe");
        put_bytes(out, argv[i]);
        buf_putf(out, ":%u\r\n", i);
    }
}

static void unsubscribe(struct client *c, struct buf *out, const struct bytes *argv)
{
    if (bytes_is_nocase(argv[0], "punsubscribe"))
        c->to_pattern = false;
    else
        c->to_channel = false;
    put_push(out, c, 3);
    put_text(out, c->to_pattern || c->to_channel ? "punsubscribe" : "unsubscribe");
    put_text(out, CHANNEL);
    buf_putf(out, ":%u\r\n", (unsigned)c->to_pattern + c->to_channel);
}

static void ping(const struct client *c, struct buf *out, const struct bytes *argv, uint32_t argc)
{
    if ((c->to_channel || c->to_pattern) && !c->resp3) {
        buf_put_str(out, "*2\r\n$4\r\npong\r\n");
        put_bytes(out, argc > 1 ? argv[1] : bytes_str(""));
    } else if (argc > 1) {
        put_bytes(out, argv[1]);
    } else {
        buf_put_str(out, "+PONG\r\n");
    }
}

static void unknown(struct buf *out, struct bytes name)
{
    buf_put_str(out, "-ERR unknown command '");
    for (size_t i = 0; i < name.n && i < 64; i++)
        buf_put_u8(out, name.p[i] >= 0x20 && name.p[i] < 0x7f ? name.p[i] : '.');
    buf_put_str(out, "': this is the discovery service; connect to a database for data\r\n");
}

static void execute(struct client *c, struct buf *out, const struct bytes *argv, uint32_t argc)
{
    struct bytes name = argv[0];
    if (bytes_is_nocase(name, "sentinel"))
        sentinel(c, out, argv, argc);
    else if (bytes_is_nocase(name, "ping"))
        ping(c, out, argv, argc);
    else if (bytes_is_nocase(name, "info"))
        info(c, out);
    else if (bytes_is_nocase(name, "role"))
        role(c, out);
    else if (bytes_is_nocase(name, "hello"))
        hello(c, out, argv, argc);
    else if (bytes_is_nocase(name, "auth") || bytes_is_nocase(name, "client") ||
             bytes_is_nocase(name, "select"))
        buf_put_str(out, "+OK\r\n");
    else if (bytes_is_nocase(name, "command"))
        buf_put_str(out, "*0\r\n");
    else if (argc > 1 &&
             (bytes_is_nocase(name, "subscribe") || bytes_is_nocase(name, "psubscribe")))
        subscribe(c, out, argv, argc);
    else if (bytes_is_nocase(name, "unsubscribe") || bytes_is_nocase(name, "punsubscribe"))
        unsubscribe(c, out, argv);
    else if (bytes_is_nocase(name, "quit")) {
        buf_put_str(out, "+OK\r\n");
        c->closing = true;
    } else
        unknown(out, name);
}

/* ------------------------------------------------------------ connections */

static void read_requests(struct client *c, struct buf *out)
{
    static const struct resp_limits limits = {
        .bulk_max = 4096, .args_max = 64, .query_max = IN_MAX};
    while (!c->closing) {
        struct bytes in = buf_bytes(&c->in);
        enum resp_result r = resp_parse(&c->parser, in, &limits, &c->args);
        if (r == RESP_MORE && in.n < IN_MAX)
            return;
        if (r != RESP_DONE) {
            buf_putf(out, "-ERR %s\r\n", r == RESP_BAD ? c->parser.why : "request too long");
            c->closing = true;
            return;
        }
        if (c->parser.argc > 0)
            execute(c, out, c->args.at + c->parser.first, c->parser.argc);
        buf_consume(&c->in, c->parser.used);
        c->parser = (struct resp){0};
        resp_args_clear(&c->args);
    }
}

static void step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct client *c = (struct client *)self;
    if (ev->kind == EV_CLOSED) {
        client_end(c);
        return;
    }
    struct buf *out = port->ops->out(port, c->conn);
    if (ev->kind != EV_DATA || out == NULL)
        return;
    c->heard_us = ev->now.mono_us;
    buf_put_bytes(&c->in, ev->data);
    read_requests(c, out);
    /* Who asks without reading the answers is let go. */
    if (c->closing || buf_len(out) + port->ops->pending(port, c->conn) > PORT_HIGH) {
        port->ops->close(port, c->conn, c->closing);
        client_end(c);
    }
}

void discovery_open(struct discovery *d, const struct event *ev)
{
    struct port *port = d->m->port;
    if (d->count >= DISCOVERY_CONNS_MAX) {
        port->ops->close(port, ev->conn, false);
        return;
    }
    if (d->id[0] == 0) {
        char hex[65];
        manager_secret(d->m, hex);
        snprintf(d->id, sizeof d->id, "%.40s", hex);
    }
    struct client *c = mem_zalloc(sizeof *c);
    *c = (struct client){.owner = {.step = step},
                         .service = d,
                         .conn = ev->conn,
                         .heard_us = ev->now.mono_us,
                         .next = d->clients};
    d->clients = c;
    d->count++;
    port->ops->own(port, ev->conn, &c->owner);
}

/* ------------------------------------------------------------ moves */

static void publish(struct discovery *d, const struct place *old, const char *host, uint16_t port)
{
    char text[768];
    snprintf(text, sizeof text, "%s %s %u %s %u", old->name, old->host, old->port, host, port);
    for (struct client *c = d->clients; c != NULL; c = c->next) {
        struct buf *out = d->m->port->ops->out(d->m->port, c->conn);
        if (out != NULL && c->to_channel) {
            put_push(out, c, 3);
            put_pair(out, "message", CHANNEL);
            put_text(out, text);
        }
        if (out != NULL && c->to_pattern) {
            put_push(out, c, 4);
            put_pair(out, "pmessage", c->pattern);
            put_pair(out, CHANNEL, text);
        }
    }
}

static void look(struct discovery *d, const struct bdb *b)
{
    const char *host = d->m->opts.advertise;
    struct place *p = NULL;
    for (uint32_t i = 0; p == NULL && i < d->places_count; i++)
        if (strcmp(d->places[i].name, b->name) == 0)
            p = &d->places[i];
    if (p != NULL && (p->port != b->config.port || strcmp(p->host, host) != 0))
        publish(d, p, host, b->config.port);
    if (p == NULL && d->places_count == CLUSTER_BDBS_MAX) { /* forget one that is gone */
        for (p = d->places; cluster_bdb_named(&d->m->cluster, p->name) != NULL;)
            p++;
    } else if (p == NULL) {
        p = &d->places[d->places_count++];
    }
    *p = (struct place){.uid = b->uid, .port = b->config.port};
    snprintf(p->name, sizeof p->name, "%s", b->name);
    snprintf(p->host, sizeof p->host, "%s", host);
}

void discovery_tick(struct discovery *d)
{
    struct manager *m = d->m;
    for (uint32_t i = 0; i < m->cluster.bdbs_count; i++)
        if (m->cluster.bdbs[i]->status != BDB_PENDING)
            look(d, m->cluster.bdbs[i]);
    for (struct client *c = d->clients, *next; c != NULL; c = next) {
        next = c->next;
        if (c->to_channel || c->to_pattern || m->now.mono_us - c->heard_us < DISCOVERY_IDLE_US)
            continue;
        m->port->ops->close(m->port, c->conn, false);
        client_end(c);
    }
}
