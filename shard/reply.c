/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/reply.h"

#include "base/num.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* Type byte, number, CRLF: 1 + 20 + 2 bytes at most. */
#define HEAD_MAX 24u
#define ERROR_MAX 512u

static void head(struct buf *out, char type, int64_t v)
{
    char *at = (char *)buf_reserve(out, HEAD_MAX);
    at[0] = type;
    size_t n = 1;
    if (v >= 0 && v < 10)
        at[n++] = (char)('0' + v);
    else
        n += num_format_i64(at + 1, v);
    at[n++] = '\r';
    at[n++] = '\n';
    buf_added(out, n);
}

void reply_ok(struct reply *r) { buf_put(r->out, "+OK\r\n", 5); }

void reply_simple(struct reply *r, const char *text)
{
    buf_put_u8(r->out, '+');
    buf_put_str(r->out, text);
    buf_put(r->out, "\r\n", 2);
}

void reply_error(struct reply *r, const char *text)
{
    size_t n = strlen(text);
    r->errors++;
    r->error_at = buf_len(r->out);
    char *at = (char *)buf_reserve(r->out, n + 3);
    *at++ = '-';
    for (size_t i = 0; i < n; i++)
        *at++ = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
    *at++ = '\r';
    *at++ = '\n';
    buf_added(r->out, n + 3);
}

void reply_errorf(struct reply *r, const char *fmt, ...)
{
    char text[ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    reply_error(r, text);
}

bool reply_limit(struct reply *r, size_t at)
{
    if (!r->over)
        return false;
    r->over = false;
    r->out->tail = r->out->head + at;
    r->errors = 0;
    reply_error(r, "ERR the reply is larger than the output buffer may be "
                   "(client-output-buffer-limit): the command has run, but its reply is left out; "
                   "ask for less at a time");
    return true;
}

void reply_int(struct reply *r, int64_t v) { head(r->out, ':', v); }

void reply_bulk(struct reply *r, struct bytes s)
{
    if (!reply_fits(r, s.n))
        return;
    buf_reserve(r->out, s.n + HEAD_MAX + 2); /* once, so that a long value moves the buffer once */
    head(r->out, '$', (int64_t)s.n);
    buf_put_bytes(r->out, s);
    buf_put(r->out, "\r\n", 2);
}

void reply_bulk_str(struct reply *r, const char *s) { reply_bulk(r, bytes_str(s)); }

void reply_bulk_i64(struct reply *r, int64_t v)
{
    char text[NUM_TEXT_MAX];
    reply_bulk(r, bytes_of(text, num_format_i64(text, v)));
}

void reply_verbatim(struct reply *r, struct bytes s)
{
    if (r->resp < 3) {
        reply_bulk(r, s);
        return;
    }
    if (!reply_fits(r, s.n))
        return;
    head(r->out, '=', (int64_t)s.n + 4);
    buf_put(r->out, "txt:", 4);
    buf_put_bytes(r->out, s);
    buf_put(r->out, "\r\n", 2);
}

static void number(struct reply *r, struct bytes text)
{
    if (r->resp < 3) {
        reply_bulk(r, text);
        return;
    }
    buf_put_u8(r->out, ',');
    buf_put_bytes(r->out, text);
    buf_put(r->out, "\r\n", 2);
}

/* Replies show integers from 1e17 on as 1e+17, unlike scores elsewhere. */
static size_t format_score(char *out, double v)
{
    if (isinf(v) || (v > -1e17 && v < 1e17))
        return num_format_double(out, v);
    return num_format_shortest(out, v);
}

void reply_double(struct reply *r, double v)
{
    char text[NUM_TEXT_MAX];
    number(r, bytes_of(text, format_score(text, v)));
}

void reply_real(struct reply *r, long double v)
{
    char text[NUM_TEXT_MAX];
    number(r, bytes_of(text, num_format_ld(text, v)));
}

void reply_bool(struct reply *r, bool v)
{
    if (r->resp < 3)
        reply_int(r, v);
    else
        buf_put(r->out, v ? "#t\r\n" : "#f\r\n", 4);
}

void reply_nil(struct reply *r) { buf_put_str(r->out, r->resp < 3 ? "$-1\r\n" : "_\r\n"); }

void reply_nil_array(struct reply *r) { buf_put_str(r->out, r->resp < 3 ? "*-1\r\n" : "_\r\n"); }

void reply_array(struct reply *r, size_t n) { head(r->out, '*', (int64_t)n); }

void reply_map(struct reply *r, size_t pairs)
{
    if (r->resp < 3)
        head(r->out, '*', (int64_t)pairs * 2);
    else
        head(r->out, '%', (int64_t)pairs);
}

/* Moves the head, which was just written behind the rest, to where it belongs. */
static void head_to(struct buf *out, size_t at, size_t from)
{
    uint8_t room[HEAD_MAX], *p = out->p + out->head;
    size_t end = buf_len(out), n = end - from;
    memcpy(room, p + from, n);
    memmove(p + at + n, p + at, from - at);
    memcpy(p + at, room, n);
}

void reply_array_at(struct reply *r, size_t at, size_t n)
{
    size_t from = reply_mark(r);
    reply_array(r, n);
    head_to(r->out, at, from);
}

void reply_map_at(struct reply *r, size_t at, size_t pairs)
{
    size_t from = reply_mark(r);
    reply_map(r, pairs);
    head_to(r->out, at, from);
}

void reply_set(struct reply *r, size_t n) { head(r->out, r->resp < 3 ? '*' : '~', (int64_t)n); }

void reply_push(struct reply *r, size_t n) { head(r->out, r->resp < 3 ? '*' : '>', (int64_t)n); }

void reply_lines(struct reply *r, const char *const *lines, size_t n)
{
    reply_array(r, n);
    for (size_t i = 0; i < n; i++)
        reply_simple(r, lines[i]);
}
