/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/rdb.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Writing streams; the format stands in read_stream.c. A node holds up to 100 entries or 4 KiB, as
 * by Redis' defaults; its fields are those of its first entry.
 */
#define NODE_ENTRIES 100u
#define NODE_BYTES 4096u
#define ID_BYTES 16u
#define ENTRY_SAME_FIELDS 2

struct pending {
    struct rdb_id id;
    int64_t time;
    uint64_t count;
};

struct rdb_stream {
    /* the node being written; its entries gather in the writer's `pack` */
    struct rdb_id node;
    struct listpack fields; /* of its first entry */
    uint64_t entries, nfields;
    uint64_t live;
    /* the group being written */
    struct buf group;     /* its head, up to entries read */
    struct buf pending;   /* struct pending, of all consumers */
    struct buf consumers; /* finished ones */
    uint64_t nconsumers;
    struct buf ids; /* of the last consumer's pending entries */
    struct buf groups;
    uint64_t ngroups;
    bool in_group, in_consumer;
};

static void put_id(struct buf *out, struct rdb_id id)
{
    for (unsigned i = 8; i-- > 0;)
        buf_put_u8(out, (uint8_t)(id.ms >> (8 * i)));
    for (unsigned i = 8; i-- > 0;)
        buf_put_u8(out, (uint8_t)(id.seq >> (8 * i)));
}

static void put_id_lengths(struct buf *out, struct rdb_id id)
{
    rdb_put_length(out, id.ms);
    rdb_put_length(out, id.seq);
}

void rdb_stream_begin(struct rdb_writer *w) { w->stream = mem_zalloc(sizeof *w->stream); }

/* ------------------------------------------------------------ entries */

/* The node's head goes before its entries. */
static void end_node(struct rdb_writer *w)
{
    struct rdb_stream *s = w->stream;
    struct listpack whole = {0};
    struct buf packed = {0}, id = {0};
    if (s->entries == 0)
        return;
    listpack_add_number(&whole, (int64_t)s->entries);
    listpack_add_number(&whole, 0);
    listpack_add_number(&whole, (int64_t)s->nfields);
    buf_put_bytes(&whole.entries, buf_bytes(&s->fields.entries));
    whole.count += s->fields.count;
    listpack_add_number(&whole, 0);
    buf_put_bytes(&whole.entries, buf_bytes(&w->pack.entries));
    whole.count += w->pack.count;
    listpack_finish(&whole, &packed);
    put_id(&id, s->node);
    rdb_put_text(&w->nodes, buf_bytes(&id));
    rdb_put_text(&w->nodes, buf_bytes(&packed));
    w->nnodes++;
    s->entries = 0;
    buf_clear(&s->fields.entries);
    buf_clear(&w->pack.entries);
    s->fields.count = w->pack.count = 0;
    listpack_deinit(&whole);
    buf_deinit(&packed);
    buf_deinit(&id);
}

static void put_entry(struct rdb_writer *w, const struct rdb_item *item)
{
    struct rdb_stream *s = w->stream;
    struct listpack names = {0};
    if (s->entries == NODE_ENTRIES || listpack_size(&w->pack) >= NODE_BYTES)
        end_node(w);
    for (size_t i = 0; i < item->npairs; i++)
        listpack_add(&names, item->pairs[2 * i]);
    if (s->entries == 0) {
        s->node = item->id;
        s->nfields = item->npairs;
        struct listpack swap = s->fields;
        s->fields = names;
        names = swap;
    }
    bool same =
        s->entries == 0 || (names.count == s->fields.count &&
                            bytes_eq(buf_bytes(&names.entries), buf_bytes(&s->fields.entries)));
    listpack_add_number(&w->pack, same ? ENTRY_SAME_FIELDS : 0);
    listpack_add_number(&w->pack, (int64_t)(item->id.ms - s->node.ms));
    listpack_add_number(&w->pack, (int64_t)(item->id.seq - s->node.seq));
    if (!same)
        listpack_add_number(&w->pack, (int64_t)item->npairs);
    for (size_t i = 0; i < item->npairs; i++) {
        if (!same)
            listpack_add(&w->pack, item->pairs[2 * i]);
        listpack_add(&w->pack, item->pairs[2 * i + 1]);
    }
    listpack_add_number(&w->pack, (int64_t)(same ? item->npairs + 3 : 2 * item->npairs + 4));
    s->entries++;
    s->live++;
    listpack_deinit(&names);
}

static void put_ends(struct rdb_writer *w, const struct rdb_item *item)
{
    end_node(w);
    rdb_put_length(w->out, w->nnodes);
    buf_put_bytes(w->out, buf_bytes(&w->nodes));
    rdb_put_length(w->out, w->stream->live);
    put_id_lengths(w->out, item->id);
    put_id_lengths(w->out, item->first);
    put_id_lengths(w->out, item->deleted);
    rdb_put_length(w->out, item->added);
}

/* ------------------------------------------------------------ groups */

static void end_consumer(struct rdb_stream *s)
{
    if (!s->in_consumer)
        return;
    s->in_consumer = false;
    rdb_put_length(&s->consumers, buf_len(&s->ids) / ID_BYTES);
    buf_put_bytes(&s->consumers, buf_bytes(&s->ids));
    buf_clear(&s->ids);
}

static int pending_cmp(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    if (x->id.ms != y->id.ms)
        return x->id.ms < y->id.ms ? -1 : 1;
    return x->id.seq < y->id.seq ? -1 : x->id.seq > y->id.seq;
}

static void end_group(struct rdb_stream *s)
{
    if (!s->in_group)
        return;
    end_consumer(s);
    s->in_group = false;
    size_t n = buf_len(&s->pending) / sizeof(struct pending);
    buf_put_bytes(&s->groups, buf_bytes(&s->group));
    rdb_put_length(&s->groups, n);
    if (n > 1)
        qsort(s->pending.p, n, sizeof(struct pending), pending_cmp);
    for (size_t i = 0; i < n; i++) {
        struct pending p;
        memcpy(&p, s->pending.p + i * sizeof p, sizeof p);
        put_id(&s->groups, p.id);
        rdb_put_fixed(&s->groups, (uint64_t)p.time, 8);
        rdb_put_length(&s->groups, p.count);
    }
    rdb_put_length(&s->groups, s->nconsumers);
    buf_put_bytes(&s->groups, buf_bytes(&s->consumers));
    s->ngroups++;
    buf_clear(&s->group);
    buf_clear(&s->pending);
    buf_clear(&s->consumers);
    s->nconsumers = 0;
}

static void put_group(struct rdb_stream *s, const struct rdb_item *item)
{
    end_group(s);
    s->in_group = true;
    rdb_put_text(&s->group, item->name);
    put_id_lengths(&s->group, item->id);
    rdb_put_length(&s->group, (uint64_t)item->read);
}

static void put_consumer(struct rdb_stream *s, const struct rdb_item *item)
{
    end_consumer(s);
    s->in_consumer = true;
    s->nconsumers++;
    rdb_put_text(&s->consumers, item->name);
    rdb_put_fixed(&s->consumers, (uint64_t)item->time, 8);
}

static void put_pending(struct rdb_stream *s, const struct rdb_item *item)
{
    struct pending p = {.id = item->id, .time = item->time, .count = item->count};
    buf_put(&s->pending, &p, sizeof p);
    put_id(&s->ids, item->id);
}

void rdb_stream_item(struct rdb_writer *w, const struct rdb_item *item)
{
    struct rdb_stream *s = w->stream;
    switch (item->kind) {
    case RDB_ITEM_ENTRY:
        put_entry(w, item);
        break;
    case RDB_ITEM_STREAM:
        put_ends(w, item);
        break;
    case RDB_ITEM_GROUP:
        put_group(s, item);
        break;
    case RDB_ITEM_CONSUMER:
        put_consumer(s, item);
        break;
    case RDB_ITEM_PENDING:
        put_pending(s, item);
        break;
    case RDB_ITEM_VALUE:
    case RDB_ITEM_ELEMENT:
    case RDB_ITEM_MEMBER:
    case RDB_ITEM_FIELD:
        assert(false); /* none of a stream's */
        break;
    }
}

void rdb_stream_end(struct rdb_writer *w)
{
    struct rdb_stream *s = w->stream;
    end_group(s);
    rdb_put_length(w->out, s->ngroups);
    buf_put_bytes(w->out, buf_bytes(&s->groups));
    listpack_deinit(&s->fields);
    buf_deinit(&s->group);
    buf_deinit(&s->pending);
    buf_deinit(&s->consumers);
    buf_deinit(&s->ids);
    buf_deinit(&s->groups);
    mem_free(s);
    w->stream = NULL;
}
