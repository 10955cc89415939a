/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_dump.h"

#include "shard/stream_write.h"

#include <stdlib.h>

/*
 * Streams in Redis' format. It knows no regions: entries are restored as this region's own, and a
 * group's place is one ID for all. Of entries that two regions gave the same ID both are dumped;
 * of such pending entries one, since Redis refuses two.
 */

static struct rdb_id rdb_id(struct stream_id id) { return (struct rdb_id){id.ms, id.seq}; }

static struct stream_id stream_id(struct rdb_id id) { return (struct stream_id){id.ms, id.seq}; }

/* ------------------------------------------------------------ DUMP */

static void give_entries(const struct cell *key, struct rdb_writer *w)
{
    struct stream_iter it;
    struct stream_entry e;
    struct buf pairs = {0};
    stream_range(&it, key, (struct stream_id){0}, STREAM_ID_MAX, false);
    while (stream_next(&it, &e)) {
        struct bytes fields = e.fields;
        size_t n = stream_fields(&fields);
        buf_clear(&pairs);
        for (size_t i = 0; i < 2 * n; i++) {
            struct bytes text = stream_field_take(&fields);
            buf_put(&pairs, &text, sizeof text);
        }
        union {
            uint8_t *raw;
            const struct bytes *pairs;
        } at = {.raw = pairs.p};
        rdb_write_item(
            w, &(struct rdb_item){
                   .kind = RDB_ITEM_ENTRY, .id = rdb_id(e.id), .pairs = at.pairs, .npairs = n});
    }
    buf_deinit(&pairs);
}

struct waiting {
    struct stream_pending p;
    bool given;
};

/* By consumer, then ID: a consumer's are one run. */
static int waiting_cmp(const void *a, const void *b)
{
    const struct waiting *x = a, *y = b;
    int c = bytes_cmp(x->p.consumer, y->p.consumer);
    return c != 0 ? c : stream_id_cmp(x->p.id, y->p.id);
}

static size_t collect_waiting(const struct cell *key, struct bytes prefix, struct buf *out)
{
    struct stream_walk walk;
    struct waiting w = {0};
    struct stream_id last = {0};
    size_t n = 0;
    stream_pendings(&walk, key, prefix, (struct stream_id){0});
    while (stream_pending_next(&walk, &w.p)) {
        if (n > 0 && stream_id_cmp(w.p.id, last) == 0)
            continue;
        last = w.p.id;
        buf_put(out, &w, sizeof w);
        n++;
    }
    if (n > 1)
        qsort(out->p, n, sizeof w, waiting_cmp);
    return n;
}

/* A consumer with its pending entries, from the first of them on; returns the one behind them. */
static size_t give_consumer(struct rdb_writer *w, struct bytes name, int64_t seen_ms,
                            struct waiting *at, size_t i, size_t n)
{
    rdb_write_item(w, &(struct rdb_item){.kind = RDB_ITEM_CONSUMER, .name = name, .time = seen_ms});
    for (; i < n && bytes_eq(at[i].p.consumer, name); i++) {
        at[i].given = true;
        rdb_write_item(w, &(struct rdb_item){.kind = RDB_ITEM_PENDING,
                                             .id = rdb_id(at[i].p.id),
                                             .time = at[i].p.time_ms,
                                             .count = at[i].p.count});
    }
    return i;
}

/* The first of the consumer's, by halving; n when it has none. */
static size_t first_of(const struct waiting *at, size_t n, struct bytes name)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bytes_cmp(at[mid].p.consumer, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* A consumer may have been removed while it was given entries elsewhere: then those name it again.
 */
static void give_consumers(const struct cell *key, struct bytes group, struct rdb_writer *w)
{
    struct stream_walk walk;
    struct stream_consumer c;
    struct buf prefix = {0}, all = {0};
    stream_group_prefix(&prefix, group);
    size_t n = collect_waiting(key, buf_bytes(&prefix), &all);
    union {
        uint8_t *raw;
        struct waiting *at;
    } u = {.raw = all.p};
    stream_consumers(&walk, key, buf_bytes(&prefix));
    while (stream_consumer_next(&walk, &c))
        give_consumer(w, c.name, c.seen_ms, u.at, first_of(u.at, n, c.name), n);
    for (size_t i = 0; i < n;)
        i = u.at[i].given ? i + 1
                          : give_consumer(w, u.at[i].p.consumer, u.at[i].p.time_ms, u.at, i, n);
    buf_deinit(&prefix);
    buf_deinit(&all);
}

void dump_stream(const struct cell *key, struct rdb_writer *w)
{
    struct stream_info info;
    struct stream_group g;
    size_t rank = 0;
    give_entries(key, w);
    stream_info(key, &info);
    rdb_write_item(w, &(struct rdb_item){.kind = RDB_ITEM_STREAM,
                                         .id = rdb_id(info.last),
                                         .first = rdb_id(info.first),
                                         .deleted = rdb_id(info.gone),
                                         .added = info.added});
    while (stream_group_next(key, &rank, &g)) {
        rdb_write_item(
            w, &(struct rdb_item){
                   .kind = RDB_ITEM_GROUP, .name = g.name, .id = rdb_id(g.last), .read = g.read});
        give_consumers(key, g.name, w);
    }
}

/* ------------------------------------------------------------ RESTORE */

void restore_stream_begin(struct restore_stream *r, struct call *c, struct key *k)
{
    stream_put_info(c, k, stream_id(r->info.id), r->info.added, stream_id(r->info.deleted));
}

static void put_entry(struct call *c, struct key *k, const struct rdb_item *item)
{
    struct buf fields = {0};
    stream_fields_begin(&fields, item->npairs);
    for (size_t i = 0; i < 2 * item->npairs; i++)
        stream_fields_add(&fields, item->pairs[i]);
    stream_put_entry(c, k, stream_id(item->id), (uint8_t)call_region(c), buf_bytes(&fields));
    buf_deinit(&fields);
}

static void keep_text(struct buf *b, struct bytes text)
{
    buf_clear(b);
    buf_put_bytes(b, text);
}

void restore_stream_item(struct restore_stream *r, struct call *c, struct key *k,
                         const struct rdb_item *item)
{
    struct stream_begin begin = {.last = stream_id(item->id), .read = item->read};
    struct stream_pending p = {.id = stream_id(item->id),
                               .region = (uint8_t)call_region(c),
                               .time_ms = item->time,
                               .count = item->count,
                               .consumer = buf_bytes(&r->consumer)};
    switch (item->kind) {
    case RDB_ITEM_ENTRY:
        put_entry(c, k, item);
        break;
    case RDB_ITEM_GROUP:
        stream_put_group(c, k, item->name, &begin);
        buf_clear(&r->prefix);
        stream_group_prefix(&r->prefix, item->name);
        break;
    case RDB_ITEM_CONSUMER:
        keep_text(&r->consumer, item->name);
        stream_put_consumer(c, k, buf_bytes(&r->prefix), item->name, item->time);
        break;
    case RDB_ITEM_PENDING:
        stream_put_pending(c, k, buf_bytes(&r->prefix), &p);
        break;
    default:
        break; /* RDB_ITEM_STREAM was written at first */
    }
}

void restore_stream_end(struct restore_stream *r)
{
    buf_deinit(&r->prefix);
    buf_deinit(&r->consumer);
}
