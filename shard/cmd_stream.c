/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_stream.h"

#include "shard/events.h"

/* Redis commands of the group "stream": https://redis.io/docs/latest/commands/?group=stream. This
 * file: entries. */

/* ------------------------------------------------------------ XADD */

/* Sequences that this region makes: all, or n * 1024 + region. */
#define SEQ_REGIONS 1024u

static bool carries_region(const struct call *c)
{
    return call_is_shared(c) && call_xadd_ids(c) != XADD_IDS_LIBERAL;
}

/* The first sequence to make from `floor` on; false when there is none. */
static bool first_seq(const struct call *c, uint64_t floor, uint64_t *out)
{
    *out = floor;
    if (!carries_region(c))
        return true;
    uint64_t region = call_region(c), seq = floor - floor % SEQ_REGIONS + region;
    if (seq < floor && __builtin_add_overflow(seq, SEQ_REGIONS, &seq))
        return false;
    *out = seq;
    return seq >= floor;
}

/* The next sequence after `last` in the same millisecond; false when there is none. */
static bool next_seq(const struct call *c, uint64_t last, uint64_t *out)
{
    return last != UINT64_MAX && first_seq(c, last + 1, out);
}

/* <ms>-*: false when it is not above the last ID. */
static bool partial_id(const struct call *c, struct stream_id last, struct stream_id *id)
{
    if (id->ms < last.ms)
        return false;
    return id->ms == last.ms ? next_seq(c, last.seq, &id->seq) : first_seq(c, 0, &id->seq);
}

/* *: now, or behind the last ID when that is ahead of the clock; false: there is none left. */
static bool auto_id(const struct call *c, struct stream_id last, struct stream_id *id)
{
    id->ms = c->now.wall_ms > 0 ? (uint64_t)c->now.wall_ms : 0;
    if (id->ms > last.ms)
        return first_seq(c, 0, &id->seq);
    id->ms = last.ms;
    if (next_seq(c, last.seq, &id->seq))
        return true;
    return id->ms++ != UINT64_MAX && first_seq(c, 0, &id->seq);
}

/* Chooses the ID; false when an error was replied. */
static bool choose_id(struct call *c, const struct stream_new *args, struct stream_id last,
                      struct stream_id *id)
{
    *id = args->id;
    if (stream_id_cmp(last, STREAM_ID_MAX) == 0 || (!args->id_given && !auto_id(c, last, id))) {
        reply_error(c->reply, "ERR The stream has exhausted the last possible ID, unable to add "
                              "more items");
        return false;
    }
    bool above = !args->id_given    ? true
                 : !args->seq_given ? partial_id(c, last, id)
                                    : stream_id_cmp(*id, last) > 0;
    if (!above)
        reply_error(c->reply, "ERR The ID specified in XADD is equal or smaller than the target "
                              "stream top item");
    return above;
}

static bool id_allowed(struct call *c, const struct stream_new *args)
{
    if (!args->id_given || !args->seq_given)
        return true;
    if (stream_id_is_zero(args->id)) {
        reply_error(c->reply, "ERR The ID specified in XADD must be greater than 0-0");
        return false;
    }
    if (call_xadd_ids(c) != XADD_IDS_STRICT)
        return true;
    reply_error(c->reply,
                "ERR XADD refuses full IDs, which two regions could give alike: use * or <ms>-*, "
                "or set the database's xadd_id_uniqueness to semi-strict");
    return false;
}

void xadd(struct call *c)
{
    struct stream_new args;
    struct stream_last own;
    struct stream_id id;
    struct key k;
    if (!arg_stream_new(c, true, &args))
        return;
    uint32_t first = args.at + 1;
    if (c->argc < first + 2 || (c->argc - first) % 2 == 1) {
        reply_error(c->reply, "ERR wrong number of arguments for 'xadd' command");
        return;
    }
    if (!id_allowed(c, &args))
        return;
    key_write(c, c->argv[1], &k);
    if (!key_is(c, &k, TYPE_STREAM))
        return;
    if (k.cell == NULL && args.no_mkstream) {
        reply_nil(c->reply);
        return;
    }
    struct stream_id last = stream_last_id(k.cell, call_actor(c), &own);
    if (!choose_id(c, &args, last, &id))
        return;
    stream_add(c, &k, id, own.added, c->argv + first, (c->argc - first) / 2);
    reply_stream_id(c->reply, id);
    key_event(c, EVENT_STREAM, "xadd", k.name);
    if (stream_trim_by(c, &k, &args.trim) > 0)
        key_event(c, EVENT_STREAM, "xtrim", k.name);
}

/* ------------------------------------------------------------ reading */

void xlen(struct call *c)
{
    struct key k;
    key_read(c, c->argv[1], &k);
    if (key_is(c, &k, TYPE_STREAM))
        reply_int(c->reply, (int64_t)stream_len(k.cell));
}

/* COUNT from argument 4 on; false when an error was replied. */
static bool count_arg(struct call *c, size_t *count)
{
    *count = SIZE_MAX;
    for (uint32_t i = 4; i < c->argc; i += 2) {
        int64_t n;
        if (!bytes_is_nocase(c->argv[i], "count") || i + 1 == c->argc) {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
        if (!arg_i64(c, c->argv[i + 1], &n))
            return false;
        *count = n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void range(struct call *c, bool reverse)
{
    struct stream_id from, to;
    struct stream_iter it;
    struct stream_entry e;
    struct key k;
    size_t count;
    if (!arg_stream_from(c, c->argv[reverse ? 3 : 2], &from) ||
        !arg_stream_to(c, c->argv[reverse ? 2 : 3], &to) || !count_arg(c, &count))
        return;
    key_read(c, c->argv[1], &k);
    if (!key_is(c, &k, TYPE_STREAM))
        return;
    if (k.cell != NULL && count == 0) {
        reply_nil_array(c->reply);
        return;
    }
    stream_range(&it, k.cell, from, to, reverse);
    size_t n = it.left < count ? it.left : count;
    reply_array(c->reply, n);
    while (n-- > 0 && stream_next(&it, &e))
        reply_stream_entry(c->reply, &e);
}

void xrange(struct call *c) { range(c, false); }

void xrevrange(struct call *c) { range(c, true); }

/* ------------------------------------------------------------ removing */

/* Removes all entries with that ID; returns how many. */
static unsigned remove_id(struct call *c, struct key *k, struct stream_id id)
{
    uint64_t regions;
    unsigned n = stream_count_id(k->cell, id, &regions);
    for (; regions != 0; regions &= regions - 1)
        stream_remove_entry(c, k, id, (uint8_t)__builtin_ctzll(regions));
    return n;
}

void xdel(struct call *c)
{
    struct key k;
    struct stream_id id;
    key_write(c, c->argv[1], &k);
    if (!key_is(c, &k, TYPE_STREAM))
        return;
    for (uint32_t i = 2; k.cell != NULL && i < c->argc; i++)
        if (!arg_stream_id(c, c->argv[i], &id))
            return;
    struct stream_info info;
    int64_t n = 0;
    stream_info(k.cell, &info);
    struct stream_id gone = info.gone;
    for (uint32_t i = 2; k.cell != NULL && i < c->argc; i++) {
        stream_id_read(c->argv[i], 0, false, &id);
        unsigned removed = remove_id(c, &k, id);
        n += removed;
        if (removed > 0 && stream_id_cmp(id, gone) > 0)
            gone = id;
    }
    if (stream_id_cmp(gone, info.gone) > 0)
        stream_put_gone(c, &k, gone);
    if (n > 0)
        key_event(c, EVENT_STREAM, "xdel", k.name);
    reply_int(c->reply, n);
}

void xtrim(struct call *c)
{
    struct stream_new args;
    struct key k;
    if (!arg_stream_new(c, false, &args))
        return;
    key_write(c, c->argv[1], &k);
    if (!key_is(c, &k, TYPE_STREAM))
        return;
    size_t n = k.cell == NULL ? 0 : stream_trim_by(c, &k, &args.trim);
    if (n > 0)
        key_event(c, EVENT_STREAM, "xtrim", k.name);
    reply_int(c->reply, (int64_t)n);
}

/* ------------------------------------------------------------ XSETID */

struct setid {
    struct stream_id id, gone;
    int64_t added; /* -1: not given */
};

static bool setid_args(struct call *c, struct setid *s)
{
    *s = (struct setid){.added = -1};
    if (!arg_stream_id(c, c->argv[2], &s->id))
        return false;
    for (uint32_t i = 3; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && bytes_is_nocase(c->argv[i], "entriesadded")) {
            if (!arg_i64(c, c->argv[i + 1], &s->added))
                return false;
            if (s->added < 0) {
                reply_error(c->reply, "ERR entries_added must be positive");
                return false;
            }
        } else if (more && bytes_is_nocase(c->argv[i], "maxdeletedid")) {
            if (!arg_stream_id(c, c->argv[i + 1], &s->gone))
                return false;
            if (stream_id_cmp(s->id, s->gone) < 0) {
                reply_error(c->reply, "ERR The ID specified in XSETID is smaller than the provided "
                                      "max_deleted_entry_id");
                return false;
            }
        } else {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

void xsetid(struct call *c)
{
    struct setid s;
    struct key k;
    struct stream_info info;
    struct stream_entry last;
    if (!setid_args(c, &s))
        return;
    key_write(c, c->argv[1], &k);
    if (k.cell == NULL) {
        reply_error(c->reply, ERR_NO_KEY);
        return;
    }
    if (!key_is(c, &k, TYPE_STREAM))
        return;
    stream_info(k.cell, &info);
    if (stream_edge(k.cell, true, &last) && stream_id_cmp(s.id, last.id) < 0) {
        reply_error(c->reply, "ERR The ID specified in XSETID is smaller than the target stream "
                              "top item");
        return;
    }
    if (info.len > 0 && s.added != -1 && info.len > (uint64_t)s.added) {
        reply_error(c->reply, "ERR The entries_added specified in XSETID is smaller than the "
                              "target stream length");
        return;
    }
    stream_put_info(c, &k, s.id, s.added == -1 ? info.added : (uint64_t)s.added, s.gone);
    key_event(c, EVENT_STREAM, "xsetid", k.name);
    reply_ok(c->reply);
}
