/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/api.h"

#include "api/http1.h"
#include "api/http2.h"
#include "api/rest.h"
#include "base/mem.h"

#include <stdio.h>

/* A connection of the REST listener: hands bytes to its codec and times it. */
struct http_conn {
    struct conn_owner owner; /* first */
    struct http_conn *next;
    struct api *api;
    conn_id id;
    struct http_codec *codec;
    uint64_t opened_us, heard_us;
    uint64_t busy_us;    /* since when a request is being read or answered; 0 none */
    uint64_t stalled_us; /* since when output waits without getting less; 0 not */
    size_t waiting;
    bool inside; /* in its step: whoever called looks after closing */
};

struct api {
    struct manager *m;
    struct http_conn *conns;
    uint32_t count;
};

static void admit(void *arg, struct exchange *x);
static void request(void *arg, struct exchange *x);

/* ------------------------------------------------------------ connections */

static void conn_free(struct http_conn *h)
{
    for (struct http_conn **at = &h->api->conns; *at != NULL; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            h->api->count--;
            break;
        }
    h->codec->ops->free(h->codec);
    mem_free(h);
}

static void conn_close(struct http_conn *h, bool flush)
{
    struct port *port = manager_port(h->api->m);
    port->ops->close(port, h->id, flush);
    conn_free(h);
}

static struct buf *sink_out(void *arg)
{
    struct http_conn *h = arg;
    struct port *port = manager_port(h->api->m);
    return port->ops->out(port, h->id);
}

/* After an answer that came later: what was kept behind the request is read now. */
static void sink_answered(void *arg)
{
    struct http_conn *h = arg;
    if (h->inside)
        return;
    h->inside = true;
    if (!h->codec->closing)
        h->codec->ops->input(h->codec, bytes_of(NULL, 0), manager_now(h->api->m));
    h->inside = false;
    if (h->codec->closing)
        conn_close(h, true);
}

static void conn_step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct http_conn *h = (struct http_conn *)self;
    (void)port;
    if (ev->kind == EV_CLOSED) {
        conn_free(h);
        return;
    }
    h->inside = true;
    h->heard_us = ev->now.mono_us;
    if (ev->kind == EV_DATA)
        h->codec->ops->input(h->codec, ev->data, ev->now);
    else if (ev->kind == EV_DRAINED)
        h->codec->ops->drained(h->codec);
    h->inside = false;
    if (h->codec->closing)
        conn_close(h, true);
}

/* Makes room for one more: the oldest connection goes of those on which nothing is being answered.
 * Strangers that open connections and say little thus cannot lock an operator out. */
static bool make_room(struct api *a)
{
    struct http_conn *oldest = NULL;
    for (struct http_conn *h = a->conns; h != NULL; h = h->next) { /* newest first */
        bool answering = h->inside;
        for (const struct exchange *x = h->codec->open; x != NULL; x = x->next)
            answering |= x->handed;
        if (!answering)
            oldest = h;
    }
    if (oldest != NULL)
        conn_close(oldest, false);
    return oldest != NULL;
}

static void api_open(void *self, const struct event *ev)
{
    struct api *a = self;
    struct port *port = manager_port(a->m);
    char alpn[16] = "";
    if (a->count >= API_CONNS_MAX && !make_room(a)) {
        port->ops->close(port, ev->conn, false);
        return;
    }
    struct http_conn *h = mem_zalloc(sizeof *h);
    struct http_sink sink = {
        .arg = h, .admit = admit, .request = request, .out = sink_out, .answered = sink_answered};
    *h = (struct http_conn){.owner = {.step = conn_step},
                            .api = a,
                            .id = ev->conn,
                            .opened_us = ev->now.mono_us,
                            .heard_us = ev->now.mono_us,
                            .next = a->conns};
    a->conns = h;
    a->count++;
    port->ops->alpn(port, ev->conn, alpn, sizeof alpn);
    h->codec = strcmp(alpn, "h2") == 0 ? http2_new(&sink) : http1_new(&sink);
    port->ops->own(port, ev->conn, &h->owner);
}

/* Slow and idle clients; false: the connection is gone. */
static bool conn_tick(struct http_conn *h, uint64_t now)
{
    struct port *port = manager_port(h->api->m);
    size_t waiting = port->ops->pending(port, h->id);
    if (waiting == 0 || waiting < h->waiting)
        h->stalled_us = 0;
    else if (h->stalled_us == 0)
        h->stalled_us = now;
    h->waiting = waiting;
    if (h->codec->ops->idle(h->codec))
        h->busy_us = 0;
    else if (h->busy_us == 0)
        h->busy_us = now;
    bool reading = false; /* a request that is not whole yet */
    for (const struct exchange *x = h->codec->open; x != NULL; x = x->next)
        reading |= !x->handed;
    if ((h->stalled_us != 0 && now - h->stalled_us > API_STALL_US) ||
        (reading && now - h->busy_us > API_REQUEST_US) ||
        (h->busy_us == 0 && now - h->heard_us > API_IDLE_US)) {
        conn_close(h, false);
        return false;
    }
    return true;
}

static void api_tick(void *self)
{
    struct api *a = self;
    uint64_t now = manager_now(a->m).mono_us;
    for (struct http_conn *h = a->conns, *next; h != NULL; h = next) {
        next = h->next;
        conn_tick(h, now);
    }
}

static void api_stop(void *self)
{
    struct api *a = self;
    for (struct http_conn *h = a->conns, *next; h != NULL; h = next) {
        next = h->next;
        if (h->inside)
            continue;
        h->codec->ops->goodbye(h->codec);
        if (h->codec->closing)
            conn_close(h, true);
    }
}

struct api *api_new(struct manager *m)
{
    struct api *a = mem_zalloc(sizeof *a);
    a->m = m;
    manager_serve(
        m, (struct manager_hooks){.self = a, .open = api_open, .tick = api_tick, .stop = api_stop});
    return a;
}

void api_free(struct api *a)
{
    if (a == NULL)
        return;
    while (a->conns != NULL)
        conn_free(a->conns);
    manager_serve(a->m, (struct manager_hooks){0});
    mem_free(a);
}

/* ------------------------------------------------------------ a request */

static void fail(struct call *c, enum route_result r)
{
    switch (r) {
    case ROUTE_NO_PATH:
        call_fail(c, 404, "not_found", "no such resource: see docs/rest-api.md");
        break;
    case ROUTE_NO_METHOD:
        snprintf(c->x->allow, sizeof c->x->allow, "%s", c->match.allow);
        call_fail(c, 405, "method_not_allowed", "this resource knows %s", c->match.allow);
        break;
    default:
        call_fail(c, 400, "bad_request", "malformed URL");
        break;
    }
}

static enum auth_result check_credentials(struct manager *m, const struct exchange *x,
                                          const struct user **who)
{
    struct buf scratch = {0};
    struct bytes name, password;
    enum auth_result r = AUTH_WRONG;
    if (auth_basic_decode(buf_bytes(&x->authorization), &scratch, &name, &password))
        r = auth_check(manager_auth(m), manager_cluster(m), name, password, manager_now(m).mono_us,
                       who);
    buf_deinit(&scratch);
    return r;
}

/* A body is only taken in from who may send one; others' are read just far enough for an answer. */
static void admit(void *arg, struct exchange *x)
{
    struct http_conn *h = arg;
    const struct user *who;
    if (check_credentials(h->api->m, x, &who) != AUTH_OK)
        x->body_max = HTTP_BODY_STRANGER;
}

/* True when the call may go on; otherwise it has been answered. */
static bool authorised(struct call *c)
{
    if (!manager_cluster(c->m)->bootstrapped) {
        if (c->match.route->flags & ROUTE_BOOTSTRAP)
            return true;
        call_fail(c, 503, "not_bootstrapped",
                  "this node is in no cluster: POST /v1/bootstrap/create_cluster first");
        return false;
    }
    enum auth_result r = check_credentials(c->m, c->x, &c->user);
    if (r == AUTH_WRONG)
        call_fail(c, 401, "unauthorized", "user name and password of this cluster are needed");
    else if (r == AUTH_TOO_MANY)
        call_fail(c, 429, "too_many_attempts", "too many wrong passwords: wait a few seconds");
    return r == AUTH_OK;
}

static bool parse_body(struct call *c)
{
    json_error_t at;
    struct bytes b = buf_bytes(&c->x->body);
    if (b.n == 0)
        return true;
    c->body = json_loadb((const char *)b.p, b.n, JSON_REJECT_DUPLICATES, &at);
    if (c->body == NULL) {
        call_fail(c, 400, "invalid_json", "body, line %d column %d: %s", at.line, at.column,
                  at.text);
        return false;
    }
    if (!json_is_object(c->body)) {
        call_fail(c, 400, "invalid_schema", "body: an object is expected");
        return false;
    }
    return true;
}

static void request(void *arg, struct exchange *x)
{
    struct http_conn *h = arg;
    struct call *c = mem_zalloc(sizeof *c);
    struct bytes target = buf_bytes(&x->target);
    const uint8_t *mark = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
    size_t n = mark != NULL ? (size_t)(mark - target.p) : target.n;
    c->m = h->api->m;
    c->x = x;
    if (mark != NULL)
        c->query = bytes_of(mark + 1, target.n - n - 1);
    enum route_result r = router_find(rest_routes, x->method, bytes_of(target.p, n), &c->match);
    if (x->method == METHOD_OPTIONS && (r == ROUTE_NO_METHOD || r == ROUTE_FOUND)) {
        snprintf(x->allow, sizeof x->allow, "%s", c->match.allow);
        call_json(c, 204, NULL);
    } else if (r != ROUTE_FOUND) {
        fail(c, r);
    } else if (authorised(c) && parse_body(c)) {
        c->match.route->fn(c);
    }
}
