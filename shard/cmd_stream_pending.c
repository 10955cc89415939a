/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_stream.h"

#include "shard/args.h"
#include "shard/events.h"
#include "shard/stream_roster.h"

/* What waits for acknowledgement: XPENDING, XCLAIM, XAUTOCLAIM. */

static bool no_group(struct call *c, const struct stream_at *at)
{
    reply_errorf(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'", (int)at->k.name.n,
                 (const char *)at->k.name.p, (int)at->name.n, (const char *)at->name.p);
    return false;
}

/* ------------------------------------------------------------ XPENDING */

struct pending_args {
    bool all; /* the short form */
    struct stream_id from, to;
    int64_t min_idle, count;
    struct bytes consumer; /* p NULL: all */
};

static bool pending_args(struct call *c, struct pending_args *a)
{
    uint32_t first = 3;
    *a = (struct pending_args){.all = c->argc == 3};
    if (a->all)
        return true;
    bool ok = c->argc >= 6 && c->argc <= 9;
    if (ok && bytes_is_nocase(c->argv[3], "idle")) {
        if (!arg_i64(c, c->argv[4], &a->min_idle))
            return false;
        ok = c->argc >= 8;
        first = 5;
    }
    if (!ok) {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    if (first + 3 < c->argc)
        a->consumer = c->argv[first + 3];
    return arg_i64(c, c->argv[first + 2], &a->count) &&
           arg_stream_from(c, c->argv[first], &a->from) &&
           arg_stream_to(c, c->argv[first + 1], &a->to);
}

static void reply_pending(struct call *c, const struct stream_pending *p)
{
    int64_t idle = c->now.wall_ms - p->time_ms;
    reply_array(c->reply, 4);
    reply_stream_id(c->reply, p->id);
    reply_bulk(c->reply, p->consumer);
    reply_int(c->reply, idle > 0 ? idle : 0);
    reply_int(c->reply, (int64_t)p->count);
}

static void pending_list(struct call *c, const struct stream_at *at, const struct pending_args *a)
{
    struct stream_walk w;
    struct stream_pending p;
    int64_t n = 0;
    size_t mark = reply_mark(c->reply);
    stream_pendings(&w, at->k.cell, buf_bytes(&at->prefix), a->from);
    while (n < a->count && stream_pending_next(&w, &p) && stream_id_cmp(p.id, a->to) <= 0) {
        if (a->consumer.p != NULL && !bytes_eq(p.consumer, a->consumer))
            continue;
        if (a->min_idle != 0 && c->now.wall_ms - p.time_ms < a->min_idle)
            continue;
        reply_pending(c, &p);
        n++;
    }
    reply_array_at(c->reply, mark, (size_t)n);
}

static void pending_sum(struct call *c, const struct stream_at *at)
{
    struct stream_roster roster;
    struct stream_walk w;
    struct stream_pending p;
    struct stream_consumer consumer;
    size_t count;
    stream_pendings(&w, at->k.cell, buf_bytes(&at->prefix), (struct stream_id){0});
    reply_array(c->reply, 4);
    if (!stream_pending_next(&w, &p)) {
        reply_int(c->reply, 0);
        reply_nil(c->reply);
        reply_nil(c->reply);
        reply_nil_array(c->reply);
        return;
    }
    stream_roster_init(&roster, c, at);
    reply_int(c->reply, (int64_t)roster.pending);
    reply_stream_id(c->reply, p.id);
    reply_stream_id(c->reply, roster.last);
    reply_array(c->reply, roster.busy);
    while (stream_roster_next(&roster, &consumer, &count)) {
        if (count == 0)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, consumer.name);
        reply_bulk_i64(c->reply, (int64_t)count);
    }
    stream_roster_deinit(&roster);
}

void xpending(struct call *c)
{
    struct stream_at at;
    struct pending_args a;
    if (!pending_args(c, &a))
        return;
    if (stream_at_read(c, c->argv[1], c->argv[2], &at) && (at.found || no_group(c, &at))) {
        if (a.all)
            pending_sum(c, &at);
        else
            pending_list(c, &at, &a);
    }
    stream_at_deinit(&at);
}

/* ------------------------------------------------------------ claiming */

struct claim_args {
    int64_t min_idle, time_ms, retry; /* retry -1: not given */
    bool force, just_id;
    struct stream_id last;
    uint32_t first, end; /* of the IDs */
    struct bytes consumer;
};

/* One entry changes hands: `p` is what it was (consumer empty, count 0: it was not pending). */
static void claim(struct call *c, struct stream_at *at, const struct claim_args *a,
                  struct stream_pending p)
{
    struct stream_entry e;
    stream_seen(c, at, a->consumer);
    p.consumer = a->consumer;
    p.time_ms = a->time_ms;
    if (a->retry >= 0)
        p.count = (uint64_t)a->retry;
    else if (!a->just_id)
        p.count++;
    if (a->just_id)
        reply_stream_id(c->reply, p.id);
    else if (stream_entry_find(at->k.cell, p.id, p.region, &e))
        reply_stream_entry(c->reply, &e);
    stream_put_pending(c, &at->k, buf_bytes(&at->prefix), &p);
}

static bool option(struct call *c, uint32_t *i, struct claim_args *a)
{
    struct bytes word = c->argv[*i];
    bool more = *i + 1 < c->argc;
    int64_t n;
    if (bytes_is_nocase(word, "force"))
        return a->force = true;
    if (bytes_is_nocase(word, "justid"))
        return a->just_id = true;
    if (more && bytes_is_nocase(word, "lastid"))
        return arg_stream_id(c, c->argv[++*i], &a->last);
    const char *names[] = {"idle", "time", "retrycount"};
    const char *errors[] = {"ERR Invalid IDLE option argument for XCLAIM",
                            "ERR Invalid TIME option argument for XCLAIM",
                            "ERR Invalid RETRYCOUNT option argument for XCLAIM"};
    for (unsigned o = 0; o < 3 && more; o++) {
        if (!bytes_is_nocase(word, names[o]))
            continue;
        if (!num_parse_i64(c->argv[++*i], &n)) {
            reply_error(c->reply, errors[o]);
            return false;
        }
        if (o == 2)
            a->retry = n;
        else if (o == 1 || __builtin_sub_overflow(c->now.wall_ms, n, &a->time_ms))
            a->time_ms = o == 1 ? n : -1;
        return true;
    }
    reply_errorf(c->reply, "ERR Unrecognized XCLAIM option '%.*s'", (int)word.n,
                 (const char *)word.p);
    return false;
}

static bool claim_args(struct call *c, struct claim_args *a)
{
    struct stream_id id;
    int64_t now = c->now.wall_ms;
    *a = (struct claim_args){.time_ms = now, .retry = -1, .first = 5, .consumer = c->argv[3]};
    if (!num_parse_i64(c->argv[4], &a->min_idle)) {
        reply_error(c->reply, "ERR Invalid min-idle-time argument for XCLAIM");
        return false;
    }
    for (a->end = 5; a->end < c->argc && stream_id_read(c->argv[a->end], 0, false, &id);)
        a->end++;
    for (uint32_t i = a->end; i < c->argc; i++)
        if (!option(c, &i, a))
            return false;
    if (a->time_ms < 0 || a->time_ms > now)
        a->time_ms = now;
    return true;
}

/* Claims what has that ID; returns how many. */
static size_t claim_id(struct call *c, struct stream_at *at, const struct claim_args *a,
                       struct stream_id id)
{
    struct bytes prefix = buf_bytes(&at->prefix);
    uint64_t entries;
    size_t n = 0;
    stream_count_id(at->k.cell, id, &entries);
    for (unsigned r = 1; r <= REGION_MAX; r++) {
        struct stream_pending p = {.id = id, .region = (uint8_t)r};
        bool exists = entries >> r & 1, pending = false;
        pending = stream_pending_find(at->k.cell, prefix, id, (uint8_t)r, &p);
        if (pending && !exists) {
            stream_remove_pending(c, &at->k, prefix, id, (uint8_t)r);
            continue;
        }
        if (!exists || (!pending && !a->force) ||
            (pending && a->min_idle > 0 && c->now.wall_ms - p.time_ms < a->min_idle))
            continue;
        p.count = pending ? p.count : 1;
        claim(c, at, a, p);
        n++;
    }
    return n;
}

/* LASTID raises what the group has had, of every region's entries. */
static void raise_last(struct call *c, struct stream_at *at, struct stream_id last)
{
    struct stream_info info;
    if (stream_id_cmp(last, at->group.last) <= 0)
        return;
    stream_info(at->k.cell, &info);
    struct stream_delivered d = {.id = last, .read = at->group.read};
    for (unsigned r = 1; r <= REGION_MAX; r++)
        if (!stream_id_is_zero(info.by[r]) || r == call_region(c))
            stream_put_delivered(c, &at->k, buf_bytes(&at->prefix), (uint8_t)r, d);
}

void xclaim(struct call *c)
{
    struct stream_at at;
    struct claim_args a;
    struct stream_id id;
    if (stream_at_write(c, c->argv[1], c->argv[2], &at) && (at.found || no_group(c, &at)) &&
        claim_args(c, &a)) {
        size_t n = 0, mark = reply_mark(c->reply);
        raise_last(c, &at, a.last);
        for (uint32_t i = a.first; i < a.end; i++) {
            stream_id_read(c->argv[i], 0, false, &id);
            n += claim_id(c, &at, &a, id);
        }
        reply_array_at(c->reply, mark, n);
    }
    stream_at_deinit(&at);
}

/* ------------------------------------------------------------ XAUTOCLAIM */

#define ATTEMPTS 10 /* pending entries looked at for each that is asked for */

struct auto_args {
    struct claim_args claim;
    struct stream_id from;
    int64_t count;
};

static bool auto_args(struct call *c, struct auto_args *a)
{
    *a = (struct auto_args){.count = 100};
    a->claim = (struct claim_args){.time_ms = c->now.wall_ms, .retry = -1, .consumer = c->argv[3]};
    if (!num_parse_i64(c->argv[4], &a->claim.min_idle)) {
        reply_error(c->reply, "ERR Invalid min-idle-time argument for XAUTOCLAIM");
        return false;
    }
    if (!arg_stream_from(c, c->argv[5], &a->from))
        return false;
    for (uint32_t i = 6; i < c->argc; i++) {
        if (i + 1 < c->argc && bytes_is_nocase(c->argv[i], "count")) {
            if (!arg_range(c, c->argv[++i], 1, INT64_MAX / 16, "ERR COUNT must be > 0", &a->count))
                return false;
        } else if (bytes_is_nocase(c->argv[i], "justid")) {
            a->claim.just_id = true;
        } else {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* What an XAUTOCLAIM will do, found before anything changes. */
struct finds {
    struct buf claimed, deleted; /* of struct stream_pending, without the consumer */
    struct stream_id next;       /* where to go on; 0-0: all was seen */
};

static void find_pending(struct call *c, const struct stream_at *at, const struct auto_args *a,
                         struct finds *f)
{
    struct stream_walk w;
    struct stream_pending p;
    struct stream_entry e;
    int64_t left = a->count, attempts = a->count * ATTEMPTS;
    *f = (struct finds){0};
    stream_pendings(&w, at->k.cell, buf_bytes(&at->prefix), a->from);
    while (stream_pending_next(&w, &p)) {
        if (left == 0 || attempts-- == 0) {
            f->next = p.id;
            return;
        }
        bool exists = stream_entry_find(at->k.cell, p.id, p.region, &e);
        if (exists && a->claim.min_idle > 0 && c->now.wall_ms - p.time_ms < a->claim.min_idle)
            continue;
        buf_put(exists ? &f->claimed : &f->deleted, &p, sizeof p);
        left--;
    }
}

static bool take(struct buf *b, struct stream_pending *out)
{
    if (buf_len(b) == 0)
        return false;
    memcpy(out, buf_bytes(b).p, sizeof *out);
    buf_consume(b, sizeof *out);
    return true;
}

static void claim_found(struct call *c, struct stream_at *at, const struct auto_args *a)
{
    struct finds f;
    struct stream_pending p;
    find_pending(c, at, a, &f);
    reply_array(c->reply, 3);
    reply_stream_id(c->reply, f.next);
    reply_array(c->reply, buf_len(&f.claimed) / sizeof p);
    while (take(&f.claimed, &p))
        claim(c, at, &a->claim, p);
    reply_array(c->reply, buf_len(&f.deleted) / sizeof p);
    while (take(&f.deleted, &p)) {
        reply_stream_id(c->reply, p.id);
        stream_remove_pending(c, &at->k, buf_bytes(&at->prefix), p.id, p.region);
    }
    buf_deinit(&f.claimed);
    buf_deinit(&f.deleted);
}

void xautoclaim(struct call *c)
{
    struct stream_at at;
    struct auto_args a;
    if (!auto_args(c, &a))
        return;
    if (stream_at_write(c, c->argv[1], c->argv[2], &at) && (at.found || no_group(c, &at)))
        claim_found(c, &at, &a);
    stream_at_deinit(&at);
}
