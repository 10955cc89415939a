/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/http2.h"

#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

struct http2 {
    struct http_codec codec; /* first */
    nghttp2_session *session;
    bool reading;
    uint32_t resets;
    uint64_t window_us; /* when counting resets began */
    struct moment now;
};

static struct exchange *exchange_of(struct http2 *h, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h->session, stream);
}

/* ------------------------------------------------------------ output */

/* Moves what the session has to send to the connection, as far as there is room. */
static void flush(struct http2 *h)
{
    struct http_codec *c = &h->codec;
    struct buf *out = c->sink.out(c->sink.arg);
    const uint8_t *p;
    ssize_t n;
    if (out == NULL)
        return;
    while (buf_len(out) < PORT_HIGH && (n = nghttp2_session_mem_send(h->session, &p)) != 0) {
        if (n < 0) {
            c->closing = true;
            return;
        }
        buf_put(out, p, (size_t)n);
    }
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
        c->closing = true;
}

static ssize_t read_reply(nghttp2_session *s, int32_t stream, uint8_t *to, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct exchange *x = source->ptr;
    struct bytes left = buf_bytes(&x->reply);
    size_t n = left.n < room ? left.n : room;
    (void)s;
    (void)stream;
    (void)user;
    if (n > 0)
        memcpy(to, left.p, n);
    buf_consume(&x->reply, n);
    if (buf_len(&x->reply) == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* nghttp2 takes names and values without const, but copies them. */
static nghttp2_nv pair(const char *name, const char *value)
{
    union {
        const char *in;
        uint8_t *out;
    } n = {.in = name}, v = {.in = value};
    return (nghttp2_nv){.name = n.out,
                        .namelen = strlen(name),
                        .value = v.out,
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

static void submit(struct http2 *h, struct exchange *x)
{
    nghttp2_nv nv[8];
    size_t n = 0;
    char status[8], length[24], state[24];
    snprintf(status, sizeof status, "%d", x->status);
    snprintf(length, sizeof length, "%zu", buf_len(&x->reply));
    nv[n++] = pair(":status", status);
    nv[n++] = pair("cache-control", "no-store");
    if (x->status != 204) {
        nv[n++] = pair("content-type", x->content_type ? x->content_type : "application/json");
        nv[n++] = pair("content-length", length);
    }
    if (x->status == 401)
        nv[n++] = pair("www-authenticate", "Basic realm=\"meridian\"");
    if (x->allow[0])
        nv[n++] = pair("allow", x->allow);
    if (x->state_id != 0) {
        snprintf(state, sizeof state, "%llu", (unsigned long long)x->state_id);
        nv[n++] = pair("cluster-state-id", state);
    }
    nghttp2_data_provider body = {.source = {.ptr = x}, .read_callback = read_reply};
    bool empty = x->method == METHOD_HEAD || x->status == 204 || buf_len(&x->reply) == 0;
    if (nghttp2_submit_response(h->session, x->stream, nv, n, empty ? NULL : &body) != 0)
        h->codec.closing = true;
}

static void h2_answer(struct http_codec *c, struct exchange *x)
{
    struct http2 *h = (struct http2 *)c;
    submit(h, x);
    if (h->reading)
        return;
    flush(h);
    c->sink.answered(c->sink.arg);
}

/* ------------------------------------------------------------ session callbacks */

static int on_begin(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct http2 *h = user;
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct exchange *x = exchange_new(&h->codec);
    x->stream = f->hd.stream_id;
    nghttp2_session_set_stream_user_data(s, f->hd.stream_id, x);
    return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct exchange *x = exchange_of(user, f->hd.stream_id);
    struct bytes n = bytes_of(name, name_n), v = bytes_of(value, value_n);
    (void)s;
    (void)flags;
    if (x == NULL || x->handed)
        return 0;
    if (bytes_is(n, ":method"))
        x->method = http_method_of(v);
    else if (bytes_is(n, ":path") && v.n > HTTP_TARGET_MAX)
        x->refused = 414;
    else if (bytes_is(n, ":path"))
        buf_put_bytes(&x->target, v);
    else if (!exchange_header(x, n, v))
        x->refused = 431;
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                   void *user)
{
    struct exchange *x = exchange_of(user, stream);
    (void)s;
    (void)flags;
    if (x == NULL || x->handed)
        return 0;
    if (buf_len(&x->body) + n > x->body_max) {
        x->refused = exchange_too_big(x);
        buf_deinit(&x->body);
    } else if (x->refused == 0) {
        buf_put(&x->body, p, n);
    }
    return 0;
}

static void whole(struct http2 *h, struct exchange *x)
{
    x->handed = true;
    if (x->refused == 0) {
        h->codec.sink.request(h->codec.sink.arg, x);
        return;
    }
    exchange_refuse(x, x->refused, x->refused == 401 ? "unauthorized" : "bad_request",
                    x->refused == 401   ? "user name and password of this cluster are needed"
                    : x->refused == 413 ? "the body is too large"
                    : x->refused == 414 ? "the URL is too long"
                                        : "the headers are too large");
    exchange_answer(x);
}

static void count_reset(struct http2 *h)
{
    if (h->now.mono_us - h->window_us > RESETS_WINDOW_US) {
        h->window_us = h->now.mono_us;
        h->resets = 0;
    }
    if (++h->resets > RESETS_MAX)
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct http2 *h = user;
    bool ends = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    (void)s;
    if (f->hd.type == NGHTTP2_RST_STREAM)
        count_reset(h);
    if (!ends && f->hd.type == NGHTTP2_HEADERS && h->codec.sink.admit != NULL) {
        struct exchange *x = exchange_of(h, f->hd.stream_id);
        if (x != NULL && !x->handed)
            h->codec.sink.admit(h->codec.sink.arg, x);
    }
    if (ends && (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA)) {
        struct exchange *x = exchange_of(h, f->hd.stream_id);
        if (x != NULL && !x->handed)
            whole(h, x);
    }
    return 0;
}

/* The stream is over: sent whole, or reset while its answer is still being made. */
static int on_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user)
{
    struct exchange *x = exchange_of(user, stream);
    (void)code;
    if (x == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(s, stream, NULL);
    if (!x->handed || x->answered) {
        exchange_free(x);
        return 0;
    }
    struct exchange **at = &x->codec->open;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    x->codec = NULL;
    return 0;
}

/* ------------------------------------------------------------ the codec */

static void h2_input(struct http_codec *c, struct bytes in, struct moment now)
{
    struct http2 *h = (struct http2 *)c;
    h->now = now;
    h->reading = true;
    if (in.n > 0 && nghttp2_session_mem_recv(h->session, in.p, in.n) < 0)
        c->closing = true;
    h->reading = false;
    flush(h);
}

static void h2_drained(struct http_codec *c) { flush((struct http2 *)c); }

static void h2_goodbye(struct http_codec *c)
{
    struct http2 *h = (struct http2 *)c;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    flush(h);
    if (c->open == NULL)
        c->closing = true;
}

static bool h2_idle(const struct http_codec *c) { return c->open == NULL; }

static void h2_free(struct http_codec *c)
{
    struct http2 *h = (struct http2 *)c;
    /* First the exchanges: the session must not call back about streams it closes now. */
    http_codec_cut(c);
    nghttp2_session_del(h->session);
    mem_free(h);
}

static const struct http_codec_ops http2_ops = {
    .input = h2_input,
    .answer = h2_answer,
    .drained = h2_drained,
    .goodbye = h2_goodbye,
    .idle = h2_idle,
    .free = h2_free,
};

struct http_codec *http2_new(const struct http_sink *sink)
{
    struct http2 *h = mem_zalloc(sizeof *h);
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP_STREAMS_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_MAX},
    };
    h->codec.ops = &http2_ops;
    h->codec.sink = *sink;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_server_new(&h->session, cb, h);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, 2);
    return &h->codec;
}
