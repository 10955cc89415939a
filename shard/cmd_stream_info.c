/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_stream.h"

#include "shard/args.h"
#include "shard/stream_roster.h"

/* XINFO: https://redis.io/docs/latest/commands/xinfo-stream/ and the others. */

static void field(struct call *c, const char *name) { reply_bulk_str(c->reply, name); }

static void field_int(struct call *c, const char *name, int64_t v)
{
    field(c, name);
    reply_int(c->reply, v);
}

static void field_id(struct call *c, const char *name, struct stream_id id)
{
    field(c, name);
    reply_stream_id(c->reply, id);
}

static void field_known(struct call *c, const char *name, int64_t v, bool known)
{
    field(c, name);
    if (!known)
        reply_nil(c->reply);
    else
        reply_int(c->reply, v);
}

/* Opens the stream that a subcommand is about; false when an error was replied. */
static bool open_stream(struct call *c, struct key *k)
{
    key_read(c, c->argv[2], k);
    if (k->cell == NULL) {
        reply_error(c->reply, ERR_NO_KEY);
        return false;
    }
    return key_is(c, k, TYPE_STREAM);
}

/* ------------------------------------------------------------ XINFO STREAM */

struct full {
    bool on;
    size_t count; /* of each list */
};

static bool full_args(struct call *c, struct full *f)
{
    int64_t n = 10;
    f->on = c->argc > 3;
    bool ok = c->argc == 3 || c->argc == 4 || c->argc == 6;
    if (ok && f->on)
        ok = bytes_is_nocase(c->argv[3], "full");
    if (ok && c->argc == 6)
        ok = bytes_is_nocase(c->argv[4], "count");
    if (!ok) {
        struct bytes what = c->argv[1];
        reply_errorf(c->reply,
                     "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XINFO "
                     "HELP.",
                     what.n < 128 ? (int)what.n : 128, (const char *)what.p);
        return false;
    }
    if (c->argc == 6 && !arg_i64(c, c->argv[5], &n))
        return false;
    n = n < 0 ? 10 : n;
    f->count = n == 0 ? SIZE_MAX : (size_t)n;
    return true;
}

static void reply_edge(struct call *c, const struct key *k, const char *name, bool last)
{
    struct stream_entry e;
    field(c, name);
    if (stream_edge(k->cell, last, &e))
        reply_stream_entry(c->reply, &e);
    else
        reply_nil(c->reply);
}

static void reply_entries(struct call *c, const struct key *k, size_t count)
{
    struct stream_iter it;
    struct stream_entry e;
    stream_range(&it, k->cell, (struct stream_id){0}, STREAM_ID_MAX, false);
    size_t n = it.left < count ? it.left : count;
    reply_array(c->reply, n);
    while (n-- > 0 && stream_next(&it, &e))
        reply_stream_entry(c->reply, &e);
}

/* Up to `count` pending entries, of one consumer (p NULL: of all, with the consumer's name). */
static void reply_pending(struct call *c, const struct stream_at *at, struct bytes consumer,
                          size_t count)
{
    struct stream_walk w;
    struct stream_pending p;
    size_t n = 0, mark = reply_mark(c->reply);
    bool all = consumer.p == NULL;
    stream_pendings(&w, at->k.cell, buf_bytes(&at->prefix), (struct stream_id){0});
    while (n < count && stream_pending_next(&w, &p)) {
        if (!all && !bytes_eq(p.consumer, consumer))
            continue;
        reply_array(c->reply, all ? 4 : 3);
        reply_stream_id(c->reply, p.id);
        if (all)
            reply_bulk(c->reply, p.consumer);
        reply_int(c->reply, p.time_ms);
        reply_int(c->reply, (int64_t)p.count);
        n++;
    }
    reply_array_at(c->reply, mark, n);
}

static void reply_consumers(struct call *c, const struct stream_at *at, size_t count)
{
    struct stream_roster roster;
    struct stream_consumer consumer;
    size_t pending;
    stream_roster_init(&roster, c, at);
    reply_array(c->reply, roster.n);
    while (stream_roster_next(&roster, &consumer, &pending)) {
        reply_map(c->reply, 4);
        field(c, "name");
        reply_bulk(c->reply, consumer.name);
        field_int(c, "seen-time", consumer.seen_ms);
        field_int(c, "pel-count", (int64_t)pending);
        field(c, "pending");
        reply_pending(c, at, consumer.name, count);
    }
    stream_roster_deinit(&roster);
}

/* The next group with its prefix; false at the end. Follow with stream_at_deinit. */
static bool next_group(struct stream_at *at, size_t *rank)
{
    at->prefix = (struct buf){0};
    if (!stream_group_next(at->k.cell, rank, &at->group))
        return false;
    at->name = at->group.name;
    stream_group_prefix(&at->prefix, at->name);
    return true;
}

static void reply_group_full(struct call *c, const struct stream_at *at,
                             const struct stream_info *info, size_t count)
{
    int64_t read, lag;
    bool known = stream_progress(at->k.cell, info, &at->group, &read, &lag);
    reply_map(c->reply, 7);
    field(c, "name");
    reply_bulk(c->reply, at->name);
    field_id(c, "last-delivered-id", at->group.last);
    field_known(c, "entries-read", read, read != -1);
    field_known(c, "lag", lag, known);
    field_int(c, "pel-count",
              (int64_t)stream_count(at->k.cell, buf_bytes(&at->prefix), STREAM_PENDING));
    field(c, "pending");
    reply_pending(c, at, bytes_of(NULL, 0), count);
    field(c, "consumers");
    reply_consumers(c, at, count);
}

static void reply_groups_full(struct call *c, const struct key *k, const struct stream_info *info,
                              size_t count)
{
    struct stream_at at = {.k = *k};
    size_t rank = 0, n = 0, mark = reply_mark(c->reply);
    for (; next_group(&at, &rank); n++) {
        reply_group_full(c, &at, info, count);
        stream_at_deinit(&at);
    }
    reply_array_at(c->reply, mark, n);
}

void xinfo_stream(struct call *c)
{
    struct key k;
    struct stream_info info;
    struct full full;
    if (!open_stream(c, &k) || !full_args(c, &full))
        return;
    stream_info(k.cell, &info);
    /* What Redis would have: the tree here is another one */
    size_t node = call_stream_node(c);
    int64_t nodes = (int64_t)((info.len + node - 1) / node);
    reply_map(c->reply, full.on ? 9 : 10);
    field_int(c, "length", (int64_t)info.len);
    field_int(c, "radix-tree-keys", nodes);
    field_int(c, "radix-tree-nodes", nodes + 1);
    field_id(c, "last-generated-id", info.last);
    field_id(c, "max-deleted-entry-id", info.gone);
    field_int(c, "entries-added", (int64_t)info.added);
    field_id(c, "recorded-first-entry-id", info.first);
    if (full.on) {
        field(c, "entries");
        reply_entries(c, &k, full.count);
        field(c, "groups");
        reply_groups_full(c, &k, &info, full.count);
        return;
    }
    field_int(c, "groups", (int64_t)stream_groups(k.cell));
    reply_edge(c, &k, "first-entry", false);
    reply_edge(c, &k, "last-entry", true);
}

/* ------------------------------------------------------------ XINFO GROUPS, CONSUMERS */

void xinfo_groups(struct call *c)
{
    struct stream_at at;
    struct stream_info info;
    if (!open_stream(c, &at.k))
        return;
    stream_info(at.k.cell, &info);
    size_t rank = 0, n = 0, mark = reply_mark(c->reply);
    for (; next_group(&at, &rank); n++) {
        int64_t read, lag;
        struct bytes prefix = buf_bytes(&at.prefix);
        bool known = stream_progress(at.k.cell, &info, &at.group, &read, &lag);
        reply_map(c->reply, 6);
        field(c, "name");
        reply_bulk(c->reply, at.name);
        field_int(c, "consumers", (int64_t)stream_count(at.k.cell, prefix, STREAM_CONSUMER));
        field_int(c, "pending", (int64_t)stream_count(at.k.cell, prefix, STREAM_PENDING));
        field_id(c, "last-delivered-id", at.group.last);
        field_known(c, "entries-read", read, read != -1);
        field_known(c, "lag", lag, known);
        stream_at_deinit(&at);
    }
    reply_array_at(c->reply, mark, n);
}

static void consumers(struct call *c, const struct stream_at *at)
{
    struct stream_roster roster;
    struct stream_consumer consumer;
    size_t pending;
    stream_roster_init(&roster, c, at);
    reply_array(c->reply, roster.n);
    while (stream_roster_next(&roster, &consumer, &pending)) {
        int64_t idle = c->now.wall_ms - consumer.seen_ms;
        reply_map(c->reply, 3);
        field(c, "name");
        reply_bulk(c->reply, consumer.name);
        field_int(c, "pending", (int64_t)pending);
        field_int(c, "idle", idle > 0 ? idle : 0);
    }
    stream_roster_deinit(&roster);
}

void xinfo_consumers(struct call *c)
{
    struct stream_at at;
    if (!open_stream(c, &at.k))
        return;
    if (stream_at_read(c, c->argv[2], c->argv[3], &at)) {
        if (at.found)
            consumers(c, &at);
        else
            reply_errorf(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                         (int)at.name.n, (const char *)at.name.p, (int)at.k.name.n,
                         (const char *)at.k.name.p);
    }
    stream_at_deinit(&at);
}

void xinfo_help(struct call *c)
{
    static const char *const lines[] = {
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <groupname>",
        "    Show the consumers of a group.",
        "GROUPS <key>",
        "    Show the consumer groups.",
        "HELP",
        "    Print this help.",
        "STREAM <key> [FULL [COUNT <count>]]",
        "    Show the stream.",
    };
    reply_lines(c->reply, lines, sizeof lines / sizeof lines[0]);
}
