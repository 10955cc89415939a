/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/slowlog.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* An entry's text: what SLOWLOG GET shows of it, so that it need not be put together again; RESP2
 * and RESP3 write it alike. */
struct slow_entry {
    struct slow_entry *older, *newer;
    uint64_t number;
    int64_t time_s;
    size_t n;
    uint8_t text[];
};

/* What stands in front of an entry's text between workers. */
struct travelling {
    uint64_t number;
    int64_t time_s;
    size_t n;
};

static void put_arg(struct reply *r, const struct slow_call *call, uint32_t i)
{
    char note[64];
    struct bytes arg = call->argv[i];
    if (call->argc > SLOW_ARGS_MAX && i == SLOW_ARGS_MAX - 1) {
        snprintf(note, sizeof note, "... (%u more arguments)", call->argc - SLOW_ARGS_MAX + 1);
        reply_bulk_str(r, note);
    } else if (arg.n > SLOW_ARG_BYTES_MAX) {
        struct buf cut = {0};
        buf_put(&cut, arg.p, SLOW_ARG_BYTES_MAX);
        buf_putf(&cut, "... (%zu more bytes)", arg.n - SLOW_ARG_BYTES_MAX);
        reply_bulk(r, buf_bytes(&cut));
        buf_deinit(&cut);
    } else {
        reply_bulk(r, arg);
    }
}

void slowlog_add(struct slowlog *l, const struct slow_call *call, uint64_t max)
{
    struct buf text = {0};
    struct reply r = {.out = &text, .resp = 2};
    uint32_t argc = call->argc < SLOW_ARGS_MAX ? call->argc : SLOW_ARGS_MAX;
    reply_array(&r, 6);
    reply_int(&r, (int64_t)call->number);
    reply_int(&r, call->time_s);
    reply_int(&r, (int64_t)call->took_us);
    reply_array(&r, argc);
    for (uint32_t i = 0; i < argc; i++)
        put_arg(&r, call, i);
    reply_bulk(&r, call->client);
    reply_bulk(&r, call->name);
    struct slow_entry *e = mem_zalloc(sizeof *e + buf_len(&text));
    e->number = call->number;
    e->time_s = call->time_s;
    e->n = buf_len(&text);
    memcpy(e->text, buf_bytes(&text).p, e->n);
    buf_deinit(&text);
    e->older = l->newest;
    if (l->newest != NULL)
        l->newest->newer = e;
    else
        l->oldest = e;
    l->newest = e;
    l->n++;
    slowlog_trim(l, max);
}

void slowlog_trim(struct slowlog *l, uint64_t max)
{
    while (l->n > max) {
        struct slow_entry *e = l->oldest;
        l->oldest = e->newer;
        if (l->oldest != NULL)
            l->oldest->older = NULL;
        else
            l->newest = NULL;
        l->n--;
        mem_free(e);
    }
}

void slowlog_clear(struct slowlog *l) { slowlog_trim(l, 0); }

void slowlog_put(const struct slowlog *l, uint64_t max, struct buf *out)
{
    for (const struct slow_entry *e = l->newest; e != NULL && max > 0; e = e->older, max--) {
        struct travelling head = {.number = e->number, .time_s = e->time_s, .n = e->n};
        buf_put(out, &head, sizeof head);
        buf_put(out, e->text, e->n);
    }
}

/* The newest that is left of one worker's entries. */
static bool peek(struct bytes part, struct travelling *head)
{
    if (part.n < sizeof *head)
        return false;
    memcpy(head, part.p, sizeof *head);
    return true;
}

void slowlog_reply(struct reply *r, const struct buf *parts, uint32_t parts_count, uint64_t max)
{
    struct bytes *left = mem_alloc(parts_count * sizeof left[0]);
    struct buf texts = {0};
    size_t n = 0;
    for (uint32_t i = 0; i < parts_count; i++)
        left[i] = buf_bytes(&parts[i]);
    for (; n < max; n++) {
        struct travelling head, best = {0};
        uint32_t from = parts_count;
        for (uint32_t i = 0; i < parts_count; i++)
            if (peek(left[i], &head) &&
                (from == parts_count || head.time_s > best.time_s ||
                 (head.time_s == best.time_s && head.number > best.number))) {
                best = head;
                from = i;
            }
        if (from == parts_count)
            break;
        buf_put(&texts, left[from].p + sizeof best, best.n);
        size_t used = sizeof best + best.n;
        left[from] = bytes_of(left[from].p + used, left[from].n - used);
    }
    reply_array(r, n);
    buf_put_bytes(r->out, buf_bytes(&texts));
    buf_deinit(&texts);
    mem_free(left);
}
