/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_stream.h"

#include "base/mem.h"
#include "shard/args.h"
#include "shard/blocked.h"

/* XREAD and XREADGROUP. */

struct read_args {
    bool grouped, noack;
    struct bytes group, consumer;
    int64_t block_ms;  /* -1: do not wait */
    size_t count;      /* SIZE_MAX: all */
    uint32_t first, n; /* of the keys; the IDs follow */
};

static bool fail(struct call *c, const char *error)
{
    reply_error(c->reply, error);
    return false;
}

static bool read_count(struct call *c, struct bytes arg, size_t *count)
{
    int64_t n;
    if (!arg_i64(c, arg, &n))
        return false;
    *count = n > 0 ? (size_t)n : SIZE_MAX;
    return true;
}

static bool read_streams(struct call *c, uint32_t first, struct read_args *a)
{
    a->first = first;
    a->n = (c->argc - first) / 2;
    return (c->argc - first) % 2 == 0 ||
           fail(c, "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be "
                   "specified.");
}

static bool only_groups(struct call *c, bool xreadgroup, const char *error)
{
    return xreadgroup || fail(c, error);
}

/* One option at argument *i, which is left at its last word. */
static bool read_option(struct call *c, bool xreadgroup, uint32_t *i, struct read_args *a)
{
    struct bytes word = c->argv[*i];
    uint32_t more = c->argc - *i - 1;
    if (bytes_is_nocase(word, "block") && more > 0 && c->in_script) {
        reply_errorf(c->reply, "ERR %s command is not allowed with BLOCK option from scripts",
                     c->command->name);
        return false;
    }
    if (bytes_is_nocase(word, "block") && more > 0)
        return arg_timeout_ms(c, c->argv[++*i], &a->block_ms);
    if (bytes_is_nocase(word, "count") && more > 0)
        return read_count(c, c->argv[++*i], &a->count);
    if (bytes_is_nocase(word, "group") && more > 1) {
        a->grouped = true;
        a->group = c->argv[*i + 1];
        a->consumer = c->argv[*i + 2];
        *i += 2;
        return only_groups(c, xreadgroup,
                           "ERR The GROUP option is only supported by XREADGROUP. "
                           "You called XREAD instead.");
    }
    if (bytes_is_nocase(word, "noack")) {
        a->noack = true;
        return only_groups(c, xreadgroup,
                           "ERR The NOACK option is only supported by XREADGROUP. "
                           "You called XREAD instead.");
    }
    return fail(c, ERR_SYNTAX);
}

/* Run again because a key changed: then all but that key was checked before. */
static bool is_woken(const struct call *c) { return c->block != NULL && c->block->ready.p != NULL; }

/* Whoever waited with an ID far behind, and without COUNT, does not get a huge reply. */
#define WOKEN_COUNT 1000u

static bool parse(struct call *c, bool xreadgroup, struct read_args *a)
{
    *a = (struct read_args){.block_ms = -1, .count = SIZE_MAX};
    for (uint32_t i = 1; i < c->argc && a->first == 0; i++) {
        if (bytes_is_nocase(c->argv[i], "streams") && i + 1 < c->argc) {
            if (!read_streams(c, i + 1, a))
                return false;
        } else if (!read_option(c, xreadgroup, &i, a)) {
            return false;
        }
    }
    if (a->first == 0)
        return fail(c, ERR_SYNTAX);
    if (is_woken(c) && a->count == SIZE_MAX)
        a->count = WOKEN_COUNT;
    return !xreadgroup || a->grouped || fail(c, "ERR Missing GROUP option for XREADGROUP");
}

static struct bytes id_arg(const struct call *c, const struct read_args *a, uint32_t i)
{
    return c->argv[a->first + a->n + i];
}

/* ------------------------------------------------------------ XREAD */

/* Where reading begins: behind the ID; false: nothing can be behind it. */
static bool read_from(const struct call *c, const struct read_args *a, uint32_t i,
                      const struct key *k, struct stream_id *from)
{
    struct bytes arg = id_arg(c, a, i);
    struct stream_last own;
    if (bytes_is(arg, "$"))
        *from = stream_last_id(k->cell, 0, &own);
    else
        stream_id_read(arg, 0, false, from);
    return stream_id_next(from);
}

static bool check_xread(struct call *c, const struct read_args *a)
{
    struct stream_id id;
    struct key k;
    for (uint32_t i = 0; i < a->n; i++) {
        struct bytes arg = id_arg(c, a, i), name = c->argv[a->first + i];
        if (!call_considers(c, name))
            continue;
        key_read(c, name, &k);
        if (!key_is(c, &k, TYPE_STREAM))
            return false;
        if (bytes_is(arg, ">"))
            return fail(c, "ERR The > ID can be specified only when calling XREADGROUP using the "
                           "GROUP <group> <consumer> option.");
        if (!bytes_is(arg, "$") && !arg_stream_id(c, arg, &id))
            return false;
    }
    return true;
}

/* Begins a stream's part of the reply. */
static void reply_stream(struct call *c, const struct read_args *a, uint32_t i)
{
    if (c->reply->resp < 3)
        reply_array(c->reply, 2);
    reply_bulk(c->reply, c->argv[a->first + i]);
}

static bool serve(struct call *c, const struct read_args *a, uint32_t i)
{
    struct stream_iter it;
    struct stream_entry e;
    struct stream_id from;
    struct key k;
    key_read(c, c->argv[a->first + i], &k);
    if (k.cell == NULL || !read_from(c, a, i, &k, &from))
        return false;
    stream_range(&it, k.cell, from, STREAM_ID_MAX, false);
    size_t n = it.left < a->count ? it.left : a->count;
    if (n == 0)
        return false;
    reply_stream(c, a, i);
    reply_array(c->reply, n);
    while (n-- > 0 && stream_next(&it, &e))
        reply_stream_entry(c->reply, &e);
    return true;
}

/* ------------------------------------------------------------ XREADGROUP */

/* The key or the group went while the call waited. */
static bool check_woken(struct call *c, const struct key *k, bool found)
{
    if (value_type(k->cell) != TYPE_STREAM)
        return fail(c, "UNBLOCKED the stream key no longer exists");
    return found ||
           fail(c, "NOGROUP the consumer group this client was blocked on no longer exists");
}

static bool check_group(struct call *c, const struct read_args *a, struct bytes name)
{
    struct stream_at at;
    struct key k;
    if (is_woken(c)) {
        struct stream_group g;
        key_read(c, name, &k);
        return check_woken(c, &k, stream_group(k.cell, a->group, &g));
    }
    bool ok = stream_at_write(c, name, a->group, &at);
    if (ok && !at.found)
        reply_errorf(c->reply,
                     "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP "
                     "option",
                     (int)name.n, (const char *)name.p, (int)a->group.n, (const char *)a->group.p);
    stream_at_deinit(&at);
    return ok && at.found;
}

static bool check_xreadgroup(struct call *c, const struct read_args *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        struct stream_id id;
        struct bytes arg = id_arg(c, a, i), name = c->argv[a->first + i];
        if (!call_considers(c, name))
            continue;
        if (!check_group(c, a, name))
            return false;
        if (bytes_is(arg, "$"))
            return fail(c, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to "
                           "read the history of this consumer by specifying a proper ID, or use "
                           "the > ID to get new messages. The $ ID would just return an empty "
                           "result set.");
        if (!bytes_is(arg, ">") && !arg_stream_id(c, arg, &id))
            return false;
    }
    return true;
}

/* New entries are asked for: by >, or by the greatest ID, which Redis takes for it. */
static bool asks_news(struct bytes arg)
{
    struct stream_id id;
    return bytes_is(arg, ">") ||
           (stream_id_read(arg, 0, false, &id) && stream_id_cmp(id, STREAM_ID_MAX) == 0);
}

/* Entries that were given out, to be noted once they are all replied: the first operation moves the
 * cells that are read. */
struct given {
    struct stream_id id;
    uint64_t count; /* of deliveries */
    uint8_t region;
};

static void note_given(struct call *c, struct stream_at *at, const struct read_args *a,
                       struct buf *all)
{
    for (; buf_len(all) > 0; buf_consume(all, sizeof(struct given))) {
        struct given g;
        memcpy(&g, buf_bytes(all).p, sizeof g);
        struct stream_pending p = {.id = g.id,
                                   .region = g.region,
                                   .time_ms = c->now.wall_ms,
                                   .count = g.count,
                                   .consumer = a->consumer};
        stream_put_pending(c, &at->k, buf_bytes(&at->prefix), &p);
    }
}

/* The group has had what was just read: up to the greatest ID of each region. */
static void note_delivered(struct call *c, struct stream_at *at, uint64_t regions)
{
    for (; regions != 0; regions &= regions - 1) {
        unsigned r = (unsigned)__builtin_ctzll(regions);
        struct stream_delivered d = {.id = at->group.delivered[r], .read = at->group.read};
        stream_put_delivered(c, &at->k, buf_bytes(&at->prefix), (uint8_t)r, d);
    }
}

static bool serve_news(struct call *c, const struct read_args *a, uint32_t i, struct stream_at *at)
{
    struct stream_iter it;
    struct stream_entry e;
    struct stream_info info;
    struct stream_group *g = &at->group;
    struct buf all = {0};
    uint64_t regions = 0;
    stream_news(&it, at->k.cell, g);
    if (it.left == 0)
        return false;
    stream_seen(c, at, a->consumer);
    stream_info(at->k.cell, &info);
    stream_news(&it, at->k.cell, g);
    size_t n = it.left < a->count ? it.left : a->count;
    reply_stream(c, a, i);
    reply_array(c->reply, n);
    while (n-- > 0 && stream_next(&it, &e)) {
        struct given given = {.id = e.id, .region = e.region, .count = 1};
        reply_stream_entry(c->reply, &e);
        if (!a->noack)
            buf_put(&all, &given, sizeof given);
        if (stream_id_cmp(e.id, g->last) > 0) {
            g->read = stream_read_on(&info, g->read, e.id);
            g->last = e.id;
        }
        g->delivered[e.region] = e.id;
        regions |= UINT64_C(1) << e.region;
    }
    note_given(c, at, a, &all);
    note_delivered(c, at, regions);
    buf_deinit(&all);
    return true;
}

/* What the consumer was given and has not acknowledged, from an ID on. */
static void serve_history(struct call *c, const struct read_args *a, uint32_t i,
                          struct stream_at *at, struct stream_id from)
{
    struct stream_walk w;
    struct stream_pending p;
    struct buf all = {0};
    size_t n = 0;
    stream_seen(c, at, a->consumer);
    reply_stream(c, a, i);
    size_t mark = reply_mark(c->reply);
    stream_pendings(&w, at->k.cell, buf_bytes(&at->prefix), from);
    while (n < a->count && stream_pending_next(&w, &p)) {
        struct stream_entry e;
        struct given given = {.id = p.id, .region = p.region, .count = p.count + 1};
        if (!bytes_eq(p.consumer, a->consumer))
            continue;
        n++;
        if (stream_entry_find(at->k.cell, p.id, p.region, &e)) {
            reply_stream_entry(c->reply, &e);
            buf_put(&all, &given, sizeof given);
            continue;
        }
        reply_array(c->reply, 2); /* it was deleted */
        reply_stream_id(c->reply, p.id);
        reply_nil_array(c->reply);
    }
    reply_array_at(c->reply, mark, n);
    note_given(c, at, a, &all);
    buf_deinit(&all);
}

static bool serve_group(struct call *c, const struct read_args *a, uint32_t i)
{
    struct stream_at at;
    struct stream_id from;
    struct bytes arg = id_arg(c, a, i);
    bool served = stream_at_write(c, c->argv[a->first + i], a->group, &at);
    if (served && asks_news(arg)) {
        served = serve_news(c, a, i, &at);
    } else if (served) {
        stream_id_read(arg, 0, false, &from);
        stream_id_next(&from);
        serve_history(c, a, i, &at, from);
    }
    stream_at_deinit(&at);
    return served;
}

/* ------------------------------------------------------------ both */

/* Waits; `$` becomes the ID that it meant at first. */
static void wait(struct call *c, const struct read_args *a)
{
    if (is_woken(c)) { /* it keeps its place */
        call_block(c, &(struct block_on){0});
        return;
    }
    struct bytes *argv = mem_dup(c->argv, c->argc * sizeof *argv);
    struct buf text = {0};
    size_t *at = mem_zalloc(a->n * sizeof *at);
    for (uint32_t i = 0; i < a->n; i++) {
        struct stream_last own;
        struct key k;
        if (!bytes_is(id_arg(c, a, i), "$"))
            continue;
        key_read(c, c->argv[a->first + i], &k);
        struct stream_id id = stream_last_id(k.cell, 0, &own);
        at[i] = buf_len(&text) + 1;
        buf_putf(&text, "%llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);
        argv[a->first + a->n + i].n = buf_len(&text) + 1 - at[i];
    }
    for (uint32_t i = 0; i < a->n; i++)
        if (at[i] != 0)
            argv[a->first + a->n + i].p = buf_bytes(&text).p + at[i] - 1;
    call_block(c, &(struct block_on){.keys = c->argv + a->first,
                                     .count = a->n,
                                     .type = TYPE_STREAM,
                                     .any_change = a->grouped,
                                     .timeout_ms = a->block_ms,
                                     .argv = argv});
    buf_deinit(&text);
    mem_free(at);
    mem_free(argv);
}

static void read_all(struct call *c, bool xreadgroup)
{
    struct read_args a;
    size_t n = 0;
    if (!parse(c, xreadgroup, &a))
        return;
    if (!(xreadgroup ? check_xreadgroup(c, &a) : check_xread(c, &a)))
        return;
    size_t mark = reply_mark(c->reply);
    for (uint32_t i = 0; i < a.n; i++)
        if (call_considers(c, c->argv[a.first + i]))
            n += xreadgroup ? serve_group(c, &a, i) : serve(c, &a, i);
    if (n == 0 && a.block_ms >= 0 && call_may_block(c))
        wait(c, &a);
    else if (n == 0)
        reply_nil_array(c->reply);
    else if (c->reply->resp < 3)
        reply_array_at(c->reply, mark, n);
    else
        reply_map_at(c->reply, mark, n);
}

void xread(struct call *c) { read_all(c, false); }

void xreadgroup(struct call *c) { read_all(c, true); }
