/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/resp_reply.h"

#include "base/mem.h"
#include "base/num.h"

#define DEPTH_MAX 32

struct cursor {
    const uint8_t *p, *end;
};

static bool line(struct cursor *c, struct bytes *out)
{
    const uint8_t *nl = c->p < c->end ? memchr(c->p, '\n', (size_t)(c->end - c->p)) : NULL;
    if (nl == NULL)
        return false;
    size_t n = (size_t)(nl - c->p);
    *out = bytes_of(c->p, n > 0 && nl[-1] == '\r' ? n - 1 : n);
    c->p = nl + 1;
    return true;
}

static enum resp_reply_result read_one(struct cursor *c, struct resp_reply *out, int depth);

static enum resp_reply_result read_bulk(struct cursor *c, struct resp_reply *out, int64_t n)
{
    if (n == -1) {
        out->type = '_';
        out->text = bytes_of(NULL, 0);
        return RESP_REPLY_OK;
    }
    if (n < 0)
        return RESP_REPLY_BAD;
    if (c->end - c->p < n + 2)
        return RESP_REPLY_MORE;
    if (c->p[n] != '\r' || c->p[n + 1] != '\n')
        return RESP_REPLY_BAD;
    out->text = bytes_of(c->p, (size_t)n);
    c->p += n + 2;
    if (out->type == '=' && out->text.n >= 4) /* verbatim: "txt:" before the text */
        out->text = bytes_of(out->text.p + 4, out->text.n - 4);
    return RESP_REPLY_OK;
}

static enum resp_reply_result read_items(struct cursor *c, struct resp_reply *out, int64_t n,
                                         int depth)
{
    if (n == -1) {
        out->type = '_';
        return RESP_REPLY_OK;
    }
    if (n < 0 || depth >= DEPTH_MAX)
        return RESP_REPLY_BAD;
    uint64_t want = out->type == '%' ? 2 * (uint64_t)n : (uint64_t)n;
    if (want > (uint64_t)(c->end - c->p)) /* each takes bytes: these cannot all be here yet */
        return RESP_REPLY_MORE;
    out->items = want ? mem_zalloc((size_t)want * sizeof *out->items) : NULL;
    for (out->n = 0; out->n < want; out->n++) {
        enum resp_reply_result r = read_one(c, &out->items[out->n], depth + 1);
        if (r == RESP_REPLY_OK)
            continue;
        resp_reply_deinit(out);
        return r;
    }
    return RESP_REPLY_OK;
}

static enum resp_reply_result read_one(struct cursor *c, struct resp_reply *out, int depth)
{
    struct bytes l;
    if (!line(c, &l))
        return RESP_REPLY_MORE;
    if (l.n == 0)
        return RESP_REPLY_BAD;
    *out = (struct resp_reply){.type = (char)l.p[0], .text = bytes_of(l.p + 1, l.n - 1)};
    int64_t n = 0;
    switch (out->type) {
    case '+':
    case '-':
    case ':':
    case ',':
    case '#':
    case '(':
    case '_':
        return RESP_REPLY_OK;
    case '$':
    case '=':
        return num_parse_i64(out->text, &n) ? read_bulk(c, out, n) : RESP_REPLY_BAD;
    case '*':
    case '~':
    case '%':
    case '>':
        return num_parse_i64(out->text, &n) ? read_items(c, out, n, depth) : RESP_REPLY_BAD;
    default:
        return RESP_REPLY_BAD;
    }
}

enum resp_reply_result resp_reply_read(struct bytes in, struct resp_reply *out, size_t *used)
{
    struct cursor c = {.p = in.p, .end = in.p + in.n};
    enum resp_reply_result r = read_one(&c, out, 0);
    *used = r == RESP_REPLY_OK ? (size_t)(c.p - in.p) : 0;
    return r;
}

void resp_reply_deinit(struct resp_reply *r)
{
    for (size_t i = 0; i < r->n; i++)
        resp_reply_deinit(&r->items[i]);
    mem_free(r->items);
    *r = (struct resp_reply){0};
}

static void print_text(struct buf *out, struct bytes s)
{
    bool plain = s.n > 0;
    for (size_t i = 0; i < s.n; i++)
        plain &= s.p[i] > ' ' && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '\\';
    if (plain) {
        buf_put_bytes(out, s);
        return;
    }
    buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t ch = s.p[i];
        if (ch == '"' || ch == '\\')
            buf_putf(out, "\\%c", ch);
        else if (ch >= ' ' && ch < 0x7f)
            buf_put_u8(out, ch);
        else
            buf_putf(out, "\\x%02x", ch);
    }
    buf_put_u8(out, '"');
}

void resp_reply_print(struct buf *out, const struct resp_reply *r)
{
    switch (r->type) {
    case '_':
        buf_put_str(out, "nil");
        break;
    case '-':
        buf_put_str(out, "error ");
        buf_put_bytes(out, r->text);
        break;
    case '*':
    case '~':
    case '%':
    case '>':
        buf_put_u8(out, '[');
        for (size_t i = 0; i < r->n; i++) {
            if (i > 0)
                buf_put_u8(out, ' ');
            resp_reply_print(out, &r->items[i]);
        }
        buf_put_u8(out, ']');
        break;
    default:
        print_text(out, r->text);
        break;
    }
}

void resp_request_put(struct buf *out, size_t argc, const struct bytes *argv)
{
    buf_putf(out, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc; i++) {
        buf_putf(out, "$%zu\r\n", argv[i].n);
        buf_put_bytes(out, argv[i]);
        buf_put_str(out, "\r\n");
    }
}
