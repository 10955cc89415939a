/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/batch.h"

#include "base/resp.h"
#include "base/resp_reply.h"

#include <stdio.h>

#define KEEP_BYTES (2u << 20)
#define WORD_SHOWN 40u
#define WORDS_SHOWN 3u

void batch_deinit(struct batch *b)
{
    buf_deinit(&b->apart);
    buf_deinit(&b->commands);
    *b = (struct batch){0};
}

void batch_clear(struct batch *b)
{
    buf_reuse(&b->apart, KEEP_BYTES);
    buf_reuse(&b->commands, KEEP_BYTES);
    b->aparts = b->count = 0;
    b->since_us = 0;
}

void batch_add(struct batch *b, bool apart, uint32_t argc, const struct bytes *argv)
{
    resp_request_put(apart ? &b->apart : &b->commands, argc, argv);
    if (apart)
        b->aparts++;
    else
        b->count++;
}

bool batch_is_empty(const struct batch *b) { return b->count == 0 && b->aparts == 0; }

bool batch_is_full(const struct batch *b)
{
    size_t bytes = buf_len(&b->commands) + buf_len(&b->apart);
    return bytes >= (b->open ? BATCH_WHOLE_BYTES : BATCH_BYTES) ||
           b->count >= (b->open ? BATCH_WHOLE_COMMANDS : BATCH_COMMANDS);
}

void batch_round_deinit(struct batch_round *r)
{
    buf_deinit(&r->requests);
    *r = (struct batch_round){0};
}

void batch_make_round(const struct batch *b, const struct mark *m, bool loose,
                      struct batch_round *r)
{
    static const char multi[] = "*1\r\n$5\r\nMULTI\r\n", exec[] = "*1\r\n$4\r\nEXEC\r\n";
    buf_reuse(&r->requests, KEEP_BYTES);
    r->aparts = b->aparts;
    r->count = b->count;
    r->loose = loose;
    r->replies = b->aparts + b->count + 1 + (loose ? 0 : 2);
    buf_put_bytes(&r->requests, buf_bytes(&b->apart));
    if (!loose)
        buf_put_str(&r->requests, multi);
    buf_put_bytes(&r->requests, buf_bytes(&b->commands));
    mark_put_request(&r->requests, m);
    if (!loose)
        buf_put_str(&r->requests, exec);
}

static const struct resp_limits no_limits = {
    .bulk_max = UINT64_MAX / 4, .args_max = UINT32_MAX, .query_max = UINT64_MAX / 4};

void batch_round_without(struct batch_round *r, const uint32_t *at, size_t n)
{
    struct resp p = {0};
    struct resp_args args = {0};
    struct buf out = {0};
    struct bytes in = buf_bytes(&r->requests);
    uint32_t first = r->aparts + (r->loose ? 0 : 1);
    size_t next = 0;
    for (uint32_t i = 0; resp_parse(&p, in, &no_limits, &args) == RESP_DONE; i++) {
        if (next < n && i == first + at[next])
            next++;
        else
            buf_put_bytes(&out, bytes_of(in.p, p.used));
        in = bytes_of(in.p + p.used, in.n - p.used);
        resp_args_clear(&args);
        resp_next(&p);
    }
    resp_args_deinit(&args);
    buf_deinit(&r->requests);
    r->requests = out;
    r->count -= (unsigned)next;
    r->replies -= (unsigned)next;
}

enum batch_part batch_round_part(const struct batch_round *r, unsigned i, unsigned *command)
{
    *command = i;
    if (i < r->aparts)
        return BATCH_APART;
    i -= r->aparts;
    if (!r->loose && i-- == 0)
        return BATCH_MULTI;
    *command = i;
    if (i < r->count)
        return r->loose ? BATCH_COMMAND : BATCH_QUEUED;
    return i == r->count ? BATCH_MARK : BATCH_EXEC;
}

static void show_word(struct buf *out, struct bytes w)
{
    for (size_t i = 0; i < w.n && i < WORD_SHOWN; i++)
        buf_put_u8(out, w.p[i] >= 32 && w.p[i] < 127 ? w.p[i] : '?');
    if (w.n > WORD_SHOWN)
        buf_put_str(out, "...");
}

void batch_round_name(const struct batch_round *r, bool apart, unsigned command, char *out,
                      size_t size)
{
    struct resp p = {0};
    struct resp_args args = {0};
    struct buf text = {0};
    struct bytes in = buf_bytes(&r->requests);
    unsigned at = apart ? command : command + r->aparts + (r->loose ? 0 : 1);
    for (unsigned i = 0; resp_parse(&p, in, &no_limits, &args) == RESP_DONE && i < at; i++) {
        in = bytes_of(in.p + p.used, in.n - p.used);
        resp_args_clear(&args);
        resp_next(&p);
    }
    for (uint32_t i = 0; i < p.argc && i < WORDS_SHOWN; i++) {
        if (i > 0)
            buf_put_u8(&text, ' ');
        show_word(&text, args.at[p.first + i]);
    }
    if (p.argc > WORDS_SHOWN)
        buf_put_str(&text, " ...");
    snprintf(out, size, "%.*s", (int)buf_len(&text), text.p ? (const char *)text.p : "");
    buf_deinit(&text);
    resp_args_deinit(&args);
}
