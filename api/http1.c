/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/http1.h"

#include "base/mem.h"

#include <llhttp/llhttp.h>
#include <stdio.h>

struct http1 {
    struct http_codec codec; /* first */
    llhttp_t parser;
    llhttp_settings_t settings;
    struct exchange *x;     /* being read or answered; NULL between requests */
    struct buf kept;        /* pipelined bytes behind it */
    struct buf name, value; /* the header under way */
    bool in_value, has_length, has_chunks, expects;
    bool keep_alive;
    bool reading; /* inside input(): answers do not call back */
};

/* ------------------------------------------------------------ parser callbacks */

/* Stops the parser; what is wrong is answered when it has returned. */
static int stop(struct http1 *h, int status)
{
    if (h->x->refused == 0)
        h->x->refused = status;
    return -1;
}

static int on_begin(llhttp_t *p)
{
    struct http1 *h = p->data;
    h->x = exchange_new(&h->codec);
    buf_clear(&h->name);
    buf_clear(&h->value);
    h->in_value = h->has_length = h->has_chunks = h->expects = false;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;
    if (buf_len(&h->x->target) + n > HTTP_TARGET_MAX)
        return stop(h, 414);
    buf_put(&h->x->target, at, n);
    return 0;
}

static int end_header(struct http1 *h)
{
    struct bytes name = buf_bytes(&h->name), value = buf_bytes(&h->value);
    if (name.n == 0)
        return 0;
    if (!exchange_header(h->x, name, value))
        return stop(h, 431);
    h->has_length |= bytes_is_nocase(name, "content-length");
    h->has_chunks |= bytes_is_nocase(name, "transfer-encoding");
    if (bytes_is_nocase(name, "expect")) {
        if (!bytes_is_nocase(value, "100-continue"))
            return stop(h, 417);
        h->expects = true;
    }
    buf_clear(&h->name);
    buf_clear(&h->value);
    h->in_value = false;
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;
    if (h->in_value && end_header(h) != 0)
        return -1;
    if (buf_len(&h->name) + n > HTTP_HEADER_MAX)
        return stop(h, 431);
    buf_put(&h->name, at, n);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;
    h->in_value = true;
    if (buf_len(&h->value) + n > HTTP_HEADER_MAX)
        return stop(h, 431);
    buf_put(&h->value, at, n);
    return 0;
}

static int on_headers(llhttp_t *p)
{
    struct http1 *h = p->data;
    struct buf *out;
    if (end_header(h) != 0)
        return -1;
    if (h->has_length && h->has_chunks)
        return stop(h, 400);
    if ((h->has_length || h->has_chunks) && h->codec.sink.admit != NULL)
        h->codec.sink.admit(h->codec.sink.arg, h->x);
    if (h->has_length && p->content_length > h->x->body_max)
        return stop(h, exchange_too_big(h->x));
    p->upgrade = 0; /* no other protocol is spoken here: the request is answered as it stands */
    if (h->expects && (h->has_length || h->has_chunks) &&
        (out = h->codec.sink.out(h->codec.sink.arg)) != NULL)
        buf_put_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;
    if (buf_len(&h->x->body) + n > h->x->body_max)
        return stop(h, exchange_too_big(h->x));
    buf_put(&h->x->body, at, n);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct http1 *h = p->data;
    const char *method = llhttp_method_name((llhttp_method_t)p->method);
    h->x->method = http_method_of(bytes_str(method));
    h->keep_alive = llhttp_should_keep_alive(p) != 0;
    return HPE_PAUSED; /* one at a time: the next is read when this one is answered */
}

/* ------------------------------------------------------------ answers */

static void put_answer(struct http1 *h, struct exchange *x)
{
    struct buf *out = h->codec.sink.out(h->codec.sink.arg);
    if (out == NULL)
        return;
    buf_putf(out, "HTTP/1.1 %d %s\r\n", x->status, http_reason(x->status));
    if (x->status == 401)
        buf_put_str(out, "WWW-Authenticate: Basic realm=\"meridian\"\r\n");
    if (x->allow[0])
        buf_putf(out, "Allow: %s\r\n", x->allow);
    if (x->state_id != 0)
        buf_putf(out, "cluster-state-id: %llu\r\n", (unsigned long long)x->state_id);
    if (x->status != 204)
        buf_putf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                 x->content_type ? x->content_type : "application/json", buf_len(&x->reply));
    buf_putf(out, "Cache-Control: no-store\r\nConnection: %s\r\n\r\n",
             h->keep_alive ? "keep-alive" : "close");
    if (x->method != METHOD_HEAD && x->status != 204)
        buf_put_bytes(out, buf_bytes(&x->reply));
}

static void h1_answer(struct http_codec *c, struct exchange *x)
{
    struct http1 *h = (struct http1 *)c;
    put_answer(h, x);
    exchange_free(x);
    h->x = NULL;
    if (!h->keep_alive)
        c->closing = true;
    if (!h->reading)
        c->sink.answered(c->sink.arg);
}

/* What was sent is refused by the codec itself; nothing behind it can be trusted. */
static void refuse_input(struct http1 *h)
{
    struct exchange *x = h->x != NULL ? h->x : exchange_new(&h->codec);
    const char *why = llhttp_get_error_reason(&h->parser);
    char text[160] = "malformed request";
    h->x = x;
    switch (x->refused) {
    case 401:
        snprintf(text, sizeof text, "user name and password of this cluster are needed");
        break;
    case 413:
        snprintf(text, sizeof text, "a body has at most %u bytes", HTTP_BODY_MAX);
        break;
    case 414:
        snprintf(text, sizeof text, "a URL has at most %u bytes", HTTP_TARGET_MAX);
        break;
    case 417:
        snprintf(text, sizeof text, "only Expect: 100-continue is understood");
        break;
    case 431:
        snprintf(text, sizeof text, "headers have at most %u bytes", HTTP_HEADER_MAX);
        break;
    default:
        if (h->has_length && h->has_chunks)
            snprintf(text, sizeof text, "Content-Length and Transfer-Encoding exclude each other");
        else if (why != NULL && strpbrk(why, "\"\\") == NULL)
            snprintf(text, sizeof text, "malformed request: %s", why);
        break;
    }
    exchange_refuse(x, x->refused ? x->refused : 400,
                    x->refused == 401 ? "unauthorized" : "bad_request", text);
    h->keep_alive = false;
    x->handed = x->answered = true;
    h1_answer(&h->codec, x);
}

/* ------------------------------------------------------------ input */

/* Reads one request from the front of `in`; how many bytes it took. */
static size_t read_some(struct http1 *h, struct bytes in)
{
    llhttp_errno_t e = llhttp_execute(&h->parser, (const char *)in.p, in.n);
    if (e == HPE_OK)
        return in.n;
    if (e != HPE_PAUSED) {
        refuse_input(h);
        return in.n;
    }
    size_t used = (size_t)(llhttp_get_error_pos(&h->parser) - (const char *)in.p);
    llhttp_resume(&h->parser);
    h->x->handed = true;
    h->codec.sink.request(h->codec.sink.arg, h->x);
    return used;
}

static bool answering(const struct http1 *h) { return h->x != NULL && h->x->handed; }

static void h1_input(struct http_codec *c, struct bytes in, struct moment now)
{
    struct http1 *h = (struct http1 *)c;
    (void)now;
    h->reading = true;
    if (buf_len(&h->kept) + in.n > HTTP_INPUT_MAX && answering(h)) {
        c->closing = true; /* the connection's owner does not read so far ahead */
        h->reading = false;
        return;
    }
    if (buf_len(&h->kept) > 0 || answering(h)) {
        buf_put_bytes(&h->kept, in);
        while (!c->closing && !answering(h) && buf_len(&h->kept) > 0) {
            size_t used = read_some(h, buf_bytes(&h->kept));
            buf_consume(&h->kept, used);
        }
    } else {
        while (!c->closing && !answering(h) && in.n > 0) {
            size_t used = read_some(h, in);
            in = bytes_of(in.p + used, in.n - used);
        }
        if (!c->closing)
            buf_put_bytes(&h->kept, in);
    }
    h->reading = false;
}

static void h1_drained(struct http_codec *c) { (void)c; }

static void h1_goodbye(struct http_codec *c)
{
    struct http1 *h = (struct http1 *)c;
    h->keep_alive = false;
    if (!answering(h))
        c->closing = true;
}

static bool h1_idle(const struct http_codec *c)
{
    return ((const struct http1 *)(const void *)c)->x == NULL;
}

static void h1_free(struct http_codec *c)
{
    struct http1 *h = (struct http1 *)c;
    http_codec_cut(c);
    buf_deinit(&h->kept);
    buf_deinit(&h->name);
    buf_deinit(&h->value);
    mem_free(h);
}

static const struct http_codec_ops http1_ops = {
    .input = h1_input,
    .answer = h1_answer,
    .drained = h1_drained,
    .goodbye = h1_goodbye,
    .idle = h1_idle,
    .free = h1_free,
};

struct http_codec *http1_new(const struct http_sink *sink)
{
    struct http1 *h = mem_zalloc(sizeof *h);
    h->codec.ops = &http1_ops;
    h->codec.sink = *sink;
    llhttp_settings_init(&h->settings);
    h->settings.on_message_begin = on_begin;
    h->settings.on_url = on_url;
    h->settings.on_header_field = on_field;
    h->settings.on_header_value = on_value;
    h->settings.on_headers_complete = on_headers;
    h->settings.on_body = on_body;
    h->settings.on_message_complete = on_complete;
    llhttp_init(&h->parser, HTTP_REQUEST, &h->settings);
    h->parser.data = h;
    return &h->codec;
}
