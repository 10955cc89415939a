/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/psync.h"

#include "base/num.h"

#include <assert.h>
#include <stdio.h>

#define HEADER_MAX 64u
#define ARGS_MAX (1u << 24)
#define KEEP_BYTES (256u << 10)

void psync_deinit(struct psync *p)
{
    buf_deinit(&p->in);
    resp_args_deinit(&p->args);
    *p = (struct psync){0};
}

void psync_reset(struct psync *p)
{
    struct buf in = p->in;
    struct resp_args args = p->args;
    *p = (struct psync){.in = in, .args = args};
    buf_reuse(&p->in, KEEP_BYTES);
    resp_args_clear(&p->args);
}

void psync_push(struct psync *p, struct bytes data) { buf_put_bytes(&p->in, data); }

size_t psync_held(const struct psync *p) { return buf_len(&p->in) - p->given; }

void psync_snapshot(struct psync *p)
{
    assert(p->mode == PSYNC_REPLIES);
    p->mode = PSYNC_HEADER;
}

void psync_commands(struct psync *p, uint64_t offset)
{
    assert(p->mode == PSYNC_REPLIES || p->mode == PSYNC_HEADER);
    p->mode = PSYNC_COMMANDS;
    p->offset = offset;
    resp_next(&p->resp);
}

static void bad(struct psync *p, const char *why) { p->why = why; }

static void skip_newlines(struct psync *p)
{
    while (buf_len(&p->in) > 0 && p->in.p[p->in.head] == '\n')
        buf_consume(&p->in, 1);
}

static void give(struct psync *p, struct psync_event *out, enum psync_kind kind, size_t n)
{
    out->kind = kind;
    out->text = bytes_of(p->in.p + p->in.head, n);
    p->given = n;
}

static void next_reply(struct psync *p, struct psync_event *out)
{
    skip_newlines(p);
    struct bytes in = buf_bytes(&p->in);
    if (in.n == 0)
        return;
    if (memchr("+-:$*_,#(=~%>", in.p[0], 13) == NULL) {
        bad(p, "it does not answer as a Redis server does");
        return;
    }
    size_t n = resp_value_len(in);
    if (n > 0)
        give(p, out, PSYNC_REPLY, n);
    else if (in.n > PSYNC_REPLY_MAX)
        bad(p, "a reply is malformed or too long");
}

/* "$EOF:<mark>" or "$<bytes>". */
static bool read_header(struct psync *p, struct bytes line, struct psync_event *out)
{
    int64_t size;
    if (line.n == 5 + PSYNC_MARK && memcmp(line.p, "$EOF:", 5) == 0) {
        memcpy(p->mark, line.p + 5, PSYNC_MARK);
        p->mode = PSYNC_MARKED;
        return true;
    }
    if (line.n < 2 || line.p[0] != '$' || !num_parse_i64(bytes_of(line.p + 1, line.n - 1), &size) ||
        size <= 0)
        return false;
    p->mode = PSYNC_SIZED;
    p->left = out->size = (uint64_t)size;
    return true;
}

static void next_header(struct psync *p, struct psync_event *out)
{
    skip_newlines(p);
    struct bytes in = buf_bytes(&p->in);
    const uint8_t *eol =
        in.n > 0 ? memchr(in.p, '\n', in.n < HEADER_MAX ? in.n : HEADER_MAX) : NULL;
    if (eol == NULL) {
        if (in.n >= HEADER_MAX)
            bad(p, "what should be a snapshot has no header");
        return;
    }
    size_t n = (size_t)(eol - in.p);
    struct bytes line = bytes_of(in.p, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n);
    if (line.n > 0 && line.p[0] == '-') {
        snprintf(p->room, sizeof p->room, "it gives no snapshot: %.*s", (int)line.n,
                 (const char *)line.p);
        bad(p, p->room);
    } else if (!read_header(p, line, out)) {
        bad(p, "what should be a snapshot has another header");
    } else {
        give(p, out, PSYNC_BEGIN, n + 1);
    }
}

static void next_sized(struct psync *p, struct psync_event *out)
{
    size_t n = buf_len(&p->in);
    if (p->left == 0) {
        p->mode = PSYNC_HEADER;
        give(p, out, PSYNC_LOADED, 0);
        return;
    }
    if (n > p->left)
        n = (size_t)p->left;
    if (n == 0)
        return;
    p->left -= n;
    give(p, out, PSYNC_DATA, n);
}

/* The mark is random: it stands nowhere in the snapshot. What may be its beginning is held back. */
static void next_marked(struct psync *p, struct psync_event *out)
{
    struct bytes in = buf_bytes(&p->in);
    const uint8_t *at = in.n >= PSYNC_MARK ? memmem(in.p, in.n, p->mark, PSYNC_MARK) : NULL;
    if (at == in.p && at != NULL) {
        p->mode = PSYNC_HEADER;
        give(p, out, PSYNC_LOADED, PSYNC_MARK);
        return;
    }
    size_t n = at != NULL ? (size_t)(at - in.p) : in.n >= PSYNC_MARK ? in.n - (PSYNC_MARK - 1) : 0;
    if (n > 0)
        give(p, out, PSYNC_DATA, n);
}

static void next_command(struct psync *p, struct psync_event *out)
{
    static const struct resp_limits limits = {
        .bulk_max = PSYNC_COMMAND_MAX, .args_max = ARGS_MAX, .query_max = PSYNC_COMMAND_MAX};
    struct bytes in = buf_bytes(&p->in);
    if (in.n == 0)
        return;
    enum resp_result r = resp_parse(&p->resp, in, &limits, &p->args);
    if (r == RESP_BAD) {
        snprintf(p->room, sizeof p->room, "its stream of commands is malformed (%.60s)",
                 p->resp.why);
        bad(p, p->room);
    } else if (r == RESP_DONE) {
        give(p, out, PSYNC_COMMAND, p->resp.used);
        p->offset += p->resp.used;
        out->offset = p->offset;
        out->argc = p->resp.argc;
        out->argv = p->args.at != NULL ? p->args.at + p->resp.first : NULL;
    }
}

void psync_next(struct psync *p, struct psync_event *out)
{
    static void (*const next[])(struct psync *, struct psync_event *) = {
        next_reply, next_header, next_sized, next_marked, next_command};
    *out = (struct psync_event){.kind = PSYNC_MORE};
    if (p->given > 0) {
        buf_consume(&p->in, p->given);
        p->given = 0;
        if (p->mode == PSYNC_COMMANDS && p->resp.used > 0) {
            resp_next(&p->resp);
            resp_args_clear(&p->args);
        }
    }
    if (p->why == NULL)
        next[p->mode](p, out);
    if (p->why != NULL)
        *out = (struct psync_event){.kind = PSYNC_BAD, .text = bytes_str(p->why)};
    if (out->kind == PSYNC_MORE && buf_len(&p->in) == 0)
        buf_reuse(&p->in, KEEP_BYTES);
}
