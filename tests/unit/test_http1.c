/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/http1.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What a server sees and sends, without a network. */
struct side {
    struct http_codec *codec;
    struct buf out;
    struct buf seen;       /* "METHOD target body;" of each request */
    struct exchange *last; /* not answered yet when `later` */
    bool later;
    unsigned answered;
};

static void answer(struct exchange *x)
{
    x->status = 200;
    buf_put_str(&x->reply, "{}");
    exchange_answer(x);
}

static void request(void *arg, struct exchange *x)
{
    struct side *s = arg;
    buf_putf(&s->seen, "%s ", http_method_name(x->method));
    buf_put_bytes(&s->seen, buf_bytes(&x->target));
    buf_put_str(&s->seen, " ");
    buf_put_bytes(&s->seen, buf_bytes(&x->body));
    buf_put_str(&s->seen, ";");
    if (s->later)
        s->last = x;
    else
        answer(x);
}

static struct buf *out_of(void *arg) { return &((struct side *)arg)->out; }

static void answered(void *arg)
{
    struct side *s = arg;
    s->answered++;
    s->codec->ops->input(s->codec, bytes_of(NULL, 0), (struct moment){0});
}

static struct side side;

static void start(void)
{
    side = (struct side){0};
    side.codec = http1_new(
        &(struct http_sink){.arg = &side, .request = request, .out = out_of, .answered = answered});
}

static void end(void)
{
    side.codec->ops->free(side.codec);
    buf_deinit(&side.out);
    buf_deinit(&side.seen);
}

TestSuite(http1, .init = start, .fini = end);

static void feed(const char *text)
{
    side.codec->ops->input(side.codec, bytes_str(text), (struct moment){0});
}

static const char *text_of(struct buf *b)
{
    buf_put_u8(b, 0);
    b->tail--;
    return (const char *)b->p + b->head;
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        n++;
    return n;
}

Test(http1, answers_requests_of_one_connection_in_order)
{
    feed("GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: "
         "2\r\n\r\nhiPUT /c HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_expect_str_eq(text_of(&side.seen), "GET /a ;POST /b hi;PUT /c ;");
    cr_expect_eq(count(text_of(&side.out), "HTTP/1.1 200 OK"), 3);
    cr_expect(!side.codec->closing);
}

Test(http1, reads_requests_split_at_any_byte)
{
    const char *text = "POST /b?x=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for (const char *p = text; *p; p++)
        side.codec->ops->input(side.codec, bytes_of(p, 1), (struct moment){0});
    cr_expect_str_eq(text_of(&side.seen), "POST /b?x=1 abcde;");
}

Test(http1, reads_the_next_request_only_when_one_is_answered)
{
    side.later = true;
    feed("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_expect_str_eq(text_of(&side.seen), "GET /a ;");
    feed("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_expect_str_eq(text_of(&side.seen), "GET /a ;");
    side.later = false;
    answer(side.last);
    cr_expect_str_eq(text_of(&side.seen), "GET /a ;GET /b ;GET /c ;");
    cr_expect_eq(side.answered, 1);
}

Test(http1, sends_no_body_to_head)
{
    feed("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n");
    const char *text = text_of(&side.out);
    cr_expect(strstr(text, "Content-Length: 2"));
    cr_expect_str_eq(strstr(text, "\r\n\r\n"), "\r\n\r\n");
}

Test(http1, closes_when_asked_and_after_http_1_0)
{
    feed("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    cr_expect(side.codec->closing);
    cr_expect(strstr(text_of(&side.out), "Connection: close"));
    end();
    start();
    feed("GET /a HTTP/1.0\r\n\r\n");
    cr_expect(side.codec->closing);
}

Test(http1, says_continue_to_who_waits_for_it)
{
    feed("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    cr_expect_str_eq(text_of(&side.out), "HTTP/1.1 100 Continue\r\n\r\n");
    feed("ok");
    cr_expect(strstr(text_of(&side.out), "200 OK"));
}

static void refused(const char *text, const char *status)
{
    feed(text);
    cr_expect_eq(strncmp(text_of(&side.out), status, strlen(status)), 0, "%s: %s", text,
                 text_of(&side.out));
    cr_expect(side.codec->closing);
    cr_expect_eq(buf_len(&side.seen), 0);
    end();
    start();
}

Test(http1, refuses_what_is_malformed)
{
    refused("nonsense\r\n\r\n", "HTTP/1.1 400");
    refused("GET /a HTTP/1.1\r\nbad header\r\n\r\n", "HTTP/1.1 400");
    refused("\x16\x03\x01\x02 a TLS greeting", "HTTP/1.1 400");
    refused("POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400");
    refused("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 400");
    refused("POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "HTTP/1.1 400");
    refused("POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400");
    refused("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "HTTP/1.1 400");
    refused("POST /a HTTP/1.1\r\nExpect: coffee\r\n\r\n", "HTTP/1.1 417");
}

Test(http1, keeps_its_limits)
{
    char line[64];
    struct buf text = {0};
    refused("POST /a HTTP/1.1\r\nContent-Length: 16777217\r\n\r\n", "HTTP/1.1 413");
    buf_put_str(&text, "GET /");
    for (unsigned i = 0; i < HTTP_TARGET_MAX; i++)
        buf_put_u8(&text, 'a');
    refused(text_of(&text), "HTTP/1.1 414");
    buf_clear(&text);
    buf_put_str(&text, "GET / HTTP/1.1\r\n");
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "header-%u: %020u\r\n", i, i);
        buf_put_str(&text, line);
    }
    refused(text_of(&text), "HTTP/1.1 431");
    buf_clear(&text);
    buf_put_str(&text, "GET / HTTP/1.1\r\nx: ");
    for (unsigned i = 0; i < HTTP_HEADER_MAX + 1; i++)
        buf_put_u8(&text, 'a');
    refused(text_of(&text), "HTTP/1.1 431");
    buf_deinit(&text);
}

Test(http1, stops_who_sends_ahead_without_end)
{
    side.later = true;
    feed("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    for (unsigned i = 0; i < 10000 && !side.codec->closing; i++)
        feed("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_expect(side.codec->closing);
    answer(side.last);
}

Test(http1, an_answer_to_who_has_gone_is_thrown_away)
{
    side.later = true;
    feed("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    end();
    answer(side.last);
    start();
    cr_expect_eq(side.answered, 0);
}
