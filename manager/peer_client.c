/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/peer_client.h"

#include "base/mem.h"
#include "base/num.h"
#include "manager/manager.h"

#include <llhttp/llhttp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct peer_request {
    struct conn_owner owner; /* first */
    struct peer_request *next;
    struct peer_client *peers;
    conn_id conn;
    bool open, sent;
    struct buf request, answer;
    llhttp_t parser;
    bool complete, too_big;
    uint64_t until_us;
    peer_reply_fn *fn;
    void *arg;
};

struct peer_client {
    struct manager *m;
    uint32_t tls;
    struct peer_request *open;
    uint32_t count;
    bool cut;
    llhttp_settings_t settings;
};

static int on_body(llhttp_t *parser, const char *at, size_t n);
static int on_complete(llhttp_t *parser);

struct peer_client *peer_client_new(struct manager *m)
{
    struct peer_client *p = mem_zalloc(sizeof *p);
    p->m = m;
    llhttp_settings_init(&p->settings);
    p->settings.on_body = on_body;
    p->settings.on_message_complete = on_complete;
    return p;
}

bool peer_client_start(struct peer_client *p, const struct tls_opts *tls, struct refusal *why)
{
    char text[256] = "";
    struct port *port = manager_port(p->m);
    p->tls = port->ops->tls(port, tls, text, sizeof text);
    if (p->tls != 0)
        return true;
    return refuse(why, 500, "tls", "TLS settings for other clusters: %s", text);
}

bool peer_url_parse(const char *url, struct peer_url *out)
{
    *out = (struct peer_url){.port = 9443};
    if (strncmp(url, "https://", 8) == 0)
        out->tls = true, url += 8;
    else if (strncmp(url, "http://", 7) == 0)
        url += 7;
    else
        return false;
    const char *end = *url == '[' ? strchr(url, ']') : url + strcspn(url, ":/");
    if (end == NULL)
        return false;
    const char *host = *url == '[' ? url + 1 : url;
    size_t n = (size_t)(end - host);
    if (n == 0 || n >= sizeof out->host || strcspn(host, " \t@?#\\") < n)
        return false;
    memcpy(out->host, host, n);
    end += *end == ']';
    if (*end == ':') {
        int64_t number;
        size_t digits = strcspn(end + 1, "/");
        if (!num_parse_i64(bytes_of(end + 1, digits), &number) || number < 1 || number > 65535)
            return false;
        out->port = (uint16_t)number;
        end += 1 + digits;
    }
    return *end == 0 || strcmp(end, "/") == 0;
}

/* ------------------------------------------------------------ one request */

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct peer_request *r = parser->data;
    if (buf_len(&r->answer) + n > PEER_ANSWER_MAX) {
        r->too_big = true;
        return -1;
    }
    buf_put(&r->answer, at, n);
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct peer_request *r = parser->data;
    r->complete = true;
    return 0;
}

static void unlink_request(struct peer_request *r)
{
    for (struct peer_request **at = &r->peers->open; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            r->peers->count--;
            return;
        }
}

/* Ends it with an answer or with what went wrong, and frees it. */
static void finish(struct peer_request *r, const char *error)
{
    struct port *port = manager_port(r->peers->m);
    struct bytes body = buf_bytes(&r->answer);
    json_t *json = NULL;
    unlink_request(r);
    if (r->conn != 0)
        port->ops->close(port, r->conn, false);
    if (error == NULL && body.n > 0)
        json = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    r->fn(r->arg, error == NULL ? (int)r->parser.status_code : 0, json, error);
    json_decref(json);
    buf_deinit(&r->request);
    buf_deinit(&r->answer);
    mem_free(r);
}

static void received(struct peer_request *r, struct bytes data)
{
    llhttp_errno_t e = llhttp_execute(&r->parser, (const char *)data.p, data.n);
    if (r->complete)
        finish(r, NULL);
    else if (e != HPE_OK)
        finish(r, r->too_big ? "its answer is larger than the limit allows"
                             : "its answer is no HTTP: is this the URL of a REST API?");
}

static void step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct peer_request *r = (struct peer_request *)self;
    char text[256];
    switch (ev->kind) {
    case EV_OPEN: {
        struct buf *out = port->ops->out(port, r->conn);
        if (out != NULL)
            buf_put_bytes(out, buf_bytes(&r->request));
        r->sent = true;
        break;
    }
    case EV_DATA:
        received(r, ev->data);
        break;
    case EV_CLOSED:
        r->conn = 0;
        if (r->sent && llhttp_finish(&r->parser) == HPE_OK && r->complete) {
            finish(r, NULL);
            break;
        }
        snprintf(text, sizeof text, "%s", err_text(ev->err));
        if (ev->detail != NULL && strncmp(text, ev->detail, strlen(ev->detail)) != 0)
            snprintf(text + strlen(text), sizeof text - strlen(text), " (%s)", ev->detail);
        finish(r, text);
        break;
    default:
        break;
    }
}

static void put_request(struct peer_request *r, const struct peer_call *c)
{
    char *text = c->body ? json_dumps(c->body, JSON_COMPACT) : NULL;
    char pair[400];
    uint8_t basic[560];
    int n = snprintf(pair, sizeof pair, "%s:%s", c->username, c->password);
    EVP_EncodeBlock(basic, (const uint8_t *)pair, n);
    buf_putf(&r->request, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nAuthorization: Basic %s\r\n", c->method,
             c->path, c->url.host, c->url.port, (const char *)basic);
    buf_putf(&r->request, "Accept: application/json\r\nConnection: close\r\n");
    if (text != NULL)
        buf_putf(&r->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 strlen(text));
    buf_put_str(&r->request, "\r\n");
    if (text != NULL)
        buf_put_str(&r->request, text);
    free(text);
}

void peer_client_call(struct peer_client *p, const struct peer_call *call, peer_reply_fn *fn,
                      void *arg)
{
    struct port *port = manager_port(p->m);
    uint32_t timeout_ms = call->timeout_ms ? call->timeout_ms : PEER_TIMEOUT_US / 1000;
    if (p->cut) {
        fn(arg, 0, NULL, "this cluster's manager stops");
        return;
    }
    if (p->count >= PEER_CALLS_MAX) {
        fn(arg, 0, NULL, "too many requests to other clusters are under way: try again later");
        return;
    }
    if (call->url.tls && p->tls == 0) { /* never in the clear what was to be encrypted */
        fn(arg, 0, NULL, "this node has no TLS settings: give it a certificate");
        return;
    }
    struct peer_request *r = mem_zalloc(sizeof *r);
    r->owner.step = step;
    r->peers = p;
    r->fn = fn;
    r->arg = arg;
    r->until_us = manager_now(p->m).mono_us + (uint64_t)timeout_ms * 1000;
    llhttp_init(&r->parser, HTTP_RESPONSE, &p->settings);
    r->parser.data = r;
    put_request(r, call);
    r->next = p->open;
    p->open = r;
    p->count++;
    r->conn = port->ops->dial(port, &(struct dial_opts){.host = call->url.host,
                                                        .port = call->url.port,
                                                        .tls = call->url.tls ? p->tls : 0,
                                                        .owner = &r->owner,
                                                        .timeout_ms = timeout_ms});
}

void peer_client_tick(struct peer_client *p)
{
    uint64_t now = manager_now(p->m).mono_us;
    for (struct peer_request *r = p->open, *next; r != NULL; r = next) {
        next = r->next;
        if (now < r->until_us)
            continue;
        finish(r, r->sent ? "timed out: it took the request but did not answer"
                          : "timed out while connecting");
        next = p->open; /* an answer may have begun or ended others */
    }
}

void peer_client_cut(struct peer_client *p)
{
    p->cut = true;
    while (p->open != NULL)
        finish(p->open, "this cluster's manager stops");
}

void peer_client_free(struct peer_client *p) { mem_free(p); }
