/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/http2.h"

#include <criterion/criterion.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

/* The server's codec and nghttp2 as its client, joined without a network. */
struct side {
    struct http_codec *codec;
    struct buf out;
    struct exchange *waiting[256];
    unsigned waiting_n, requests;
    bool later;
    size_t reply_size, body_size;
    nghttp2_session *client;
    unsigned responses, resets;
    size_t data;
    int status;
    bool goaway;
    uint32_t goaway_code;
};

static struct side side;

static void answer(struct exchange *x)
{
    x->status = 200;
    for (size_t i = 0; i < side.reply_size; i++)
        buf_put_u8(&x->reply, 'r');
    exchange_answer(x);
}

static void request(void *arg, struct exchange *x)
{
    struct side *s = arg;
    s->requests++;
    s->body_size = buf_len(&x->body);
    if (s->later && s->waiting_n < 256)
        s->waiting[s->waiting_n++] = x;
    else
        answer(x);
}

static struct buf *out_of(void *arg) { return &((struct side *)arg)->out; }
static void answered(void *arg) { (void)arg; }

static int client_header(nghttp2_session *c, const nghttp2_frame *f, const uint8_t *name, size_t n,
                         const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    (void)c;
    (void)f;
    (void)value_n;
    (void)flags;
    if (bytes_is(bytes_of(name, n), ":status"))
        ((struct side *)user)->status = atoi((const char *)value);
    return 0;
}

static int client_data(nghttp2_session *c, uint8_t flags, int32_t stream, const uint8_t *p,
                       size_t n, void *user)
{
    (void)c;
    (void)flags;
    (void)stream;
    (void)p;
    ((struct side *)user)->data += n;
    return 0;
}

static int client_close(nghttp2_session *c, int32_t stream, uint32_t code, void *user)
{
    struct side *s = user;
    (void)c;
    (void)stream;
    if (code == 0)
        s->responses++;
    else
        s->resets++;
    return 0;
}

static int client_frame(nghttp2_session *c, const nghttp2_frame *f, void *user)
{
    struct side *s = user;
    (void)c;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        s->goaway = true;
        s->goaway_code = f->goaway.error_code;
    }
    return 0;
}

/* Carries bytes both ways until nothing moves. */
static void pump(void)
{
    const uint8_t *p;
    ssize_t n;
    for (bool moved = true; moved;) {
        moved = false;
        while ((n = nghttp2_session_mem_send(side.client, &p)) > 0) {
            side.codec->ops->input(side.codec, bytes_of(p, (size_t)n),
                                   (struct moment){.mono_us = 1});
            moved = true;
        }
        if (buf_len(&side.out) > 0) {
            struct buf got = side.out;
            side.out = (struct buf){0};
            nghttp2_session_mem_recv(side.client, got.p + got.head, buf_len(&got));
            buf_deinit(&got);
            side.codec->ops->drained(side.codec);
            moved = true;
        }
    }
}

static void start(void)
{
    nghttp2_session_callbacks *cb;
    side = (struct side){.reply_size = 10};
    side.codec = http2_new(
        &(struct http_sink){.arg = &side, .request = request, .out = out_of, .answered = answered});
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, client_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, client_frame);
    nghttp2_session_client_new(&side.client, cb, &side);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(side.client, NGHTTP2_FLAG_NONE, NULL, 0);
    pump();
}

static void end(void)
{
    side.codec->ops->free(side.codec);
    nghttp2_session_del(side.client);
    buf_deinit(&side.out);
}

TestSuite(http2, .init = start, .fini = end);

static nghttp2_nv pair(char *name, char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)value,
                        .valuelen = strlen(value)};
}

static size_t body_left;

static ssize_t read_body(nghttp2_session *c, int32_t stream, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    size_t n = body_left < room ? body_left : room;
    (void)c;
    (void)stream;
    (void)source;
    (void)user;
    memset(to, 'b', n);
    body_left -= n;
    if (body_left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int32_t send_request(char *method, char *path, size_t body)
{
    char m[] = ":method", p[] = ":path", s[] = ":scheme", https[] = "https", a[] = ":authority",
         x[] = "x";
    nghttp2_nv nv[] = {pair(m, method), pair(p, path), pair(s, https), pair(a, x)};
    nghttp2_data_provider from = {.read_callback = read_body};
    body_left = body;
    return nghttp2_submit_request(side.client, NULL, nv, 4, body ? &from : NULL, NULL);
}

static char get[] = "GET", post[] = "POST", head[] = "HEAD", path[] = "/v1/bdbs";

Test(http2, answers_many_streams)
{
    for (unsigned i = 0; i < 50; i++)
        send_request(get, path, 0);
    pump();
    cr_expect_eq(side.requests, 50);
    cr_expect_eq(side.responses, 50);
    cr_expect_eq(side.status, 200);
    cr_expect_eq(side.data, 500);
}

Test(http2, carries_large_bodies_both_ways)
{
    side.reply_size = 3000000;
    send_request(post, path, 2000000);
    pump();
    cr_expect_eq(side.body_size, 2000000);
    cr_expect_eq(side.data, 3000000);
}

Test(http2, refuses_a_body_beyond_its_limit)
{
    send_request(post, path, HTTP_BODY_MAX + 1);
    pump();
    cr_expect_eq(side.requests, 0);
    cr_expect_eq(side.status, 413);
}

Test(http2, refuses_headers_beyond_their_limit)
{
    static char target[HTTP_TARGET_MAX + 10];
    memset(target, 'a', sizeof target - 1);
    target[0] = '/';
    send_request(get, target, 0);
    pump();
    cr_expect_eq(side.requests, 0);
    cr_expect_eq(side.status, 414);
}

Test(http2, sends_no_body_to_head)
{
    send_request(head, path, 0);
    pump();
    cr_expect_eq(side.responses, 1);
    cr_expect_eq(side.data, 0);
}

Test(http2, answers_later_in_any_order)
{
    side.later = true;
    for (unsigned i = 0; i < 3; i++)
        send_request(get, path, 0);
    pump();
    cr_assert_eq(side.waiting_n, 3);
    for (unsigned i = 3; i > 0; i--)
        answer(side.waiting[i - 1]);
    pump();
    cr_expect_eq(side.responses, 3);
}

Test(http2, an_answer_to_a_reset_stream_is_thrown_away)
{
    side.later = true;
    int32_t stream = send_request(get, path, 0);
    pump();
    nghttp2_submit_rst_stream(side.client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    pump();
    answer(side.waiting[0]);
    pump();
    cr_expect_eq(side.responses, 0);
    cr_expect(side.codec->ops->idle(side.codec));
}

Test(http2, sends_away_who_only_opens_and_resets)
{
    side.later = true;
    for (unsigned i = 0; i <= RESETS_MAX && !side.goaway; i++) {
        int32_t stream = send_request(get, path, 0);
        pump();
        nghttp2_submit_rst_stream(side.client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        pump();
    }
    cr_expect(side.goaway);
    cr_expect_eq(side.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    cr_expect(side.codec->closing);
    for (unsigned i = 0; i < side.waiting_n; i++)
        answer(side.waiting[i]);
}

Test(http2, closes_on_bytes_that_are_no_http2)
{
    side.codec->ops->input(side.codec, bytes_str("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
                           (struct moment){0});
    cr_expect(side.codec->closing || buf_len(&side.out) > 0);
    cr_expect_eq(side.requests, 0);
}

Test(http2, says_goodbye_and_ends_when_all_is_answered)
{
    side.later = true;
    send_request(get, path, 0);
    pump();
    side.codec->ops->goodbye(side.codec);
    pump();
    cr_expect(side.goaway);
    cr_expect(!side.codec->closing);
    answer(side.waiting[0]);
    pump();
    cr_expect_eq(side.responses, 1);
}
