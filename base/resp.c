/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/resp.h"

#include "base/mem.h"

#include <stdio.h>

#define STRANGER_ARGS 10u
#define STRANGER_BULK 16384u

/* Texts of quoted inline arguments: a chain of blocks, freed with the batch. */
struct copy {
    struct copy *next;
    uint8_t text[];
};

static void copies_free(struct resp_args *a)
{
    struct copy *c = a->copies;
    while (c != NULL) {
        struct copy *next = c->next;
        mem_free(c);
        c = next;
    }
    a->copies = NULL;
}

void resp_args_clear(struct resp_args *a)
{
    a->n = 0;
    if (a->copies != NULL)
        copies_free(a);
}

void resp_args_deinit(struct resp_args *a)
{
    copies_free(a);
    mem_free(a->at);
    *a = (struct resp_args){0};
}

static inline void args_add(struct resp_args *a, const uint8_t *p, size_t n)
{
    if (a->n == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 16;
        a->at = mem_realloc(a->at, a->cap * sizeof a->at[0]);
    }
    a->at[a->n++] = bytes_of(p, n);
}

static enum resp_result bad(struct resp *r, const char *what)
{
    snprintf(r->why, sizeof r->why, "Protocol error: %s", what);
    return RESP_BAD;
}

/* ------------------------------------------------------------ inline */

static bool is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == 0; }

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escaped byte of a "..." argument; p stands behind the backslash. Returns how many bytes it
 * took. */
static size_t unescape(const uint8_t *p, const uint8_t *end, uint8_t *out)
{
    if (end - p >= 3 && *p == 'x' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        *out = (uint8_t)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
        return 3;
    }
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    const char *at = memchr(from, *p, sizeof from - 1);
    *out = at != NULL ? (uint8_t)to[at - from] : *p;
    return 1;
}

/* Copies one argument with its quotes resolved; NULL: unbalanced. A closing quote must end the
 * argument. */
static const uint8_t *unquote(const uint8_t *p, const uint8_t *end, uint8_t *out, size_t *n)
{
    uint8_t quote = 0;
    *n = 0;
    for (; p < end; p++) {
        if (quote == 0) {
            if (is_blank(*p))
                return p;
            if (*p == '"' || *p == '\'')
                quote = *p;
            else
                out[(*n)++] = *p;
        } else if (*p == '\\' && quote == '"' && p + 1 < end) {
            p += unescape(p + 1, end, &out[(*n)++]);
        } else if (*p == '\\' && quote == '\'' && p + 1 < end && p[1] == '\'') {
            out[(*n)++] = *++p;
        } else if (*p == quote) {
            if (p + 1 < end && !is_blank(p[1]))
                return NULL;
            quote = 0;
        } else {
            out[(*n)++] = *p;
        }
    }
    return quote == 0 ? p : NULL;
}

static enum resp_result parse_inline(struct resp *r, struct bytes in, const struct resp_limits *l,
                                     struct resp_args *args)
{
    const uint8_t *eol =
        memchr(in.p, '\n', in.n < RESP_INLINE_MAX + 2 ? in.n : RESP_INLINE_MAX + 2);
    if (eol == NULL)
        return in.n > RESP_INLINE_MAX ? bad(r, "too big inline request") : RESP_MORE;
    const uint8_t *p = in.p, *end = eol;
    if (end > p && end[-1] == '\r')
        end--;
    struct copy *copy = NULL;
    size_t copied = 0;
    r->first = args->n;
    for (;;) {
        while (p < end && is_blank(*p))
            p++;
        if (p == end)
            break;
        const uint8_t *from = p;
        while (p < end && !is_blank(*p) && *p != '"' && *p != '\'')
            p++;
        size_t n = (size_t)(p - from);
        if (p < end && !is_blank(*p)) {
            if (copy == NULL) {
                copy = mem_alloc(sizeof *copy + (size_t)(end - in.p));
                copy->next = args->copies;
                args->copies = copy;
            }
            p = unquote(from, end, copy->text + copied, &n);
            if (p == NULL)
                return bad(r, "unbalanced quotes in request");
            from = copy->text + copied;
            copied += n;
        }
        if (l->unauthenticated && r->argc == STRANGER_ARGS)
            return bad(r, "unauthenticated multibulk length");
        args_add(args, from, n);
        r->argc++;
    }
    r->used = (size_t)(eol - in.p) + 1;
    return RESP_DONE;
}

/* ------------------------------------------------------------ arrays */

enum number_result { NUMBER_OK, NUMBER_MORE, NUMBER_BAD };

/* The number between p and the next CR; *used counts it with CR and LF. */
static inline enum number_result read_number(const uint8_t *p, const uint8_t *end, int64_t *out,
                                             size_t *used)
{
    if (end - p >= 3 && p[0] >= '1' && p[0] <= '9') { /* nearly all have one digit or two */
        if (p[1] == '\r') {
            *out = p[0] - '0';
            *used = 3;
            return NUMBER_OK;
        }
        if (p[1] >= '0' && p[1] <= '9' && p[2] == '\r' && end - p >= 4) {
            *out = (p[0] - '0') * 10 + (p[1] - '0');
            *used = 4;
            return NUMBER_OK;
        }
    }
    const uint8_t *at = p;
    bool minus = at < end && *at == '-';
    if (minus)
        at++;
    const uint8_t *digits = at;
    int64_t v = 0;
    while (at < end && *at >= '0' && *at <= '9') {
        if (at - digits >= 18)
            return NUMBER_BAD;
        v = v * 10 + (*at++ - '0');
    }
    if (end - at < 2)
        return at == end || *at == '\r' ? NUMBER_MORE : NUMBER_BAD;
    if (*at != '\r' || at == digits || (*digits == '0' && (at - digits > 1 || minus)))
        return NUMBER_BAD;
    *out = minus ? -v : v;
    *used = (size_t)(at - p) + 2;
    return NUMBER_OK;
}

static enum resp_result parse_header(struct resp *r, struct bytes in, const struct resp_limits *l,
                                     struct resp_args *args)
{
    int64_t n = 0;
    size_t used = 0;
    switch (read_number(in.p + 1, in.p + in.n, &n, &used)) {
    case NUMBER_MORE:
        return RESP_MORE;
    case NUMBER_BAD:
        return bad(r, "invalid multibulk length");
    case NUMBER_OK:
        break;
    }
    if (n > (int64_t)l->args_max)
        return bad(r, "invalid multibulk length");
    if (l->unauthenticated && n > (int64_t)STRANGER_ARGS)
        return bad(r, "unauthenticated multibulk length");
    r->used = used + 1;
    r->missing = n > 0 ? (uint32_t)n : 0;
    r->first = args->n;
    r->begun = true;
    return RESP_DONE;
}

static enum resp_result parse_bulk_len(struct resp *r, struct bytes in, const struct resp_limits *l)
{
    const uint8_t *p = in.p + r->used, *end = in.p + in.n;
    if (p == end)
        return RESP_MORE;
    if (*p != '$') {
        char text[32];
        snprintf(text, sizeof text, "expected '$', got '%c'", *p >= 32 && *p < 127 ? *p : '?');
        return bad(r, text);
    }
    int64_t n = 0;
    size_t used = 0;
    switch (read_number(p + 1, end, &n, &used)) {
    case NUMBER_MORE:
        return RESP_MORE;
    case NUMBER_BAD:
        return bad(r, "invalid bulk length");
    case NUMBER_OK:
        break;
    }
    if (n < 0 || (uint64_t)n > l->bulk_max)
        return bad(r, "invalid bulk length");
    if (r->used + (uint64_t)n > l->query_max)
        return bad(r, "above client-query-buffer-limit");
    if (l->unauthenticated && n > (int64_t)STRANGER_BULK)
        return bad(r, "unauthenticated bulk length");
    r->used += used + 1;
    r->bulk = (uint64_t)n;
    r->in_bulk = true;
    return RESP_DONE;
}

/* The input has moved since the last call: so do the arguments that point into it. */
static void rebase(struct resp *r, const uint8_t *base, struct resp_args *args)
{
    if (r->argc > 0 && r->base != base)
        for (size_t i = r->first; i < r->first + r->argc; i++)
            args->at[i].p = base + (args->at[i].p - r->base);
    r->base = base;
}

enum resp_result resp_parse(struct resp *r, struct bytes in, const struct resp_limits *limits,
                            struct resp_args *args)
{
    if (in.n == 0)
        return RESP_MORE;
    if (!r->begun) {
        if (in.p[0] != '*')
            return parse_inline(r, in, limits, args);
        enum resp_result header = parse_header(r, in, limits, args);
        if (header != RESP_DONE)
            return header;
    }
    rebase(r, in.p, args);
    while (r->missing > 0) {
        if (!r->in_bulk) {
            enum resp_result len = parse_bulk_len(r, in, limits);
            if (len != RESP_DONE)
                return len;
        }
        if (in.n - r->used < r->bulk + 2)
            return RESP_MORE;
        args_add(args, in.p + r->used, (size_t)r->bulk);
        r->used += (size_t)r->bulk + 2;
        r->in_bulk = false;
        r->argc++;
        r->missing--;
    }
    return RESP_DONE;
}

/* ------------------------------------------------------------ replies, for merging */

int64_t resp_header(struct bytes in, uint8_t *type, size_t *used)
{
    if (in.n < 4)
        return -1;
    *type = in.p[0];
    if (memchr("*%~>", in.p[0], 4) == NULL)
        return -1;
    int64_t n = -1;
    size_t len = 0;
    if (read_number(in.p + 1, in.p + in.n, &n, &len) != NUMBER_OK || n < 0)
        return -1;
    *used = len + 1;
    return n;
}

static size_t value_len(struct bytes in, unsigned depth)
{
    uint8_t type = 0;
    size_t used = 0;
    int64_t n = resp_header(in, &type, &used);
    if (n >= 0) {
        uint64_t left = type == '%' ? (uint64_t)n * 2 : (uint64_t)n;
        for (; left > 0; left--) {
            size_t one = depth < 32 ? value_len(bytes_of(in.p + used, in.n - used), depth + 1) : 0;
            if (one == 0)
                return 0;
            used += one;
        }
        return used;
    }
    const uint8_t *eol = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;
    if (eol == NULL)
        return 0;
    used = (size_t)(eol - in.p) + 1;
    if (in.p[0] != '$' && in.p[0] != '=')
        return used;
    if (read_number(in.p + 1, in.p + in.n, &n, &used) != NUMBER_OK)
        return 0;
    used++;
    if (n < 0)
        return used;
    return in.n - used >= (uint64_t)n + 2 ? used + (size_t)n + 2 : 0;
}

size_t resp_value_len(struct bytes in) { return value_len(in, 0); }
