/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/rdb.h"

#include "base/mem.h"

#include <stdlib.h>

/*
 * A stream:
 *
 *   length of what follows: nodes
 *     text         16 bytes, big-endian: the node's ID (ms, seq)
 *     text         listpack: live, deleted, nfields, field.., 0, then for each entry
 *                  flags (1 deleted, 2 same fields as the node), ms and seq above the node's,
 *                  [nfields], [field] value.., how many numbers and texts that were
 *   length         of live entries
 *   length length  last ID; from version 2 on first ID, greatest deleted ID, entries added
 *   length of what follows: groups
 *     text, length length (last delivered), from version 2 on length (entries read)
 *     length of what follows: pending entries: 16 bytes ID, ms:64 (delivery), length (deliveries)
 *     length of what follows: consumers
 *       text, ms:64 (last seen), from version 3 on ms:64 (last active)
 *       length of what follows: 16 bytes ID of its pending entries
 */
#define ID_BYTES 16u
#define ENTRY_DELETED 1
#define ENTRY_SAME_FIELDS 2

struct pending {
    struct rdb_id id;
    int64_t time;
    uint64_t count;
    bool owned; /* a consumer has it */
};

struct stream_reading {
    struct rdb_in *in;
    rdb_take *item;
    void *arg;
    uint8_t code;
    uint64_t live;
    struct rdb_id first; /* entry; 0-0: none yet */
    struct rdb_id last;  /* ID ever given */
    /* the node being read */
    struct pack pack;
    struct rdb_id node;
    struct pack_item *slots; /* owned: texts of the node and of an entry */
    size_t nfields, room;
    struct buf pairs; /* struct bytes: what an item's pairs point to */
    /* the group being read */
    struct pending *pending; /* owned */
    size_t npending;
};

static bool bad(struct stream_reading *r) { return rdb_bad(r->in, RDB_BAD); }

static void give(struct stream_reading *r, const struct rdb_item *item)
{
    if (r->item != NULL)
        r->item(r->arg, item);
}

static struct rdb_id id_of(const uint8_t *p)
{
    struct rdb_id id = {0};
    for (unsigned i = 0; i < 8; i++) {
        id.ms = id.ms << 8 | p[i];
        id.seq = id.seq << 8 | p[8 + i];
    }
    return id;
}

static int id_cmp(struct rdb_id a, struct rdb_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

static struct rdb_id read_id(struct rdb_in *in)
{
    uint64_t ms = rdb_read_length(in);
    return (struct rdb_id){.ms = ms, .seq = rdb_read_length(in)};
}

/* ------------------------------------------------------------ nodes */

static bool next_number(struct stream_reading *r, int64_t *out)
{
    struct pack_item item;
    if (!pack_next(&r->pack, &item) || !item.is_number)
        return bad(r);
    *out = item.number;
    return true;
}

/* The next n texts into the slots from `first` on. */
static bool next_texts(struct stream_reading *r, size_t first, uint64_t n)
{
    for (size_t slot = first; n > 0; slot++, n--) {
        if (slot == r->room) {
            r->room = r->room ? r->room * 2 : 64;
            r->slots = mem_realloc(r->slots, r->room * sizeof *r->slots);
        }
        if (!pack_next(&r->pack, &r->slots[slot]))
            return bad(r);
    }
    return true;
}

/* A number's text is in its slot, which may have moved. */
static struct bytes slot_text(const struct stream_reading *r, size_t slot)
{
    const struct pack_item *v = &r->slots[slot];
    return v->is_number ? bytes_of(v->room, v->text.n) : v->text;
}

/* n fields, from the slots `name` and `value` on, each `step` apart. */
static void give_entry(struct stream_reading *r, struct rdb_id id, size_t name, size_t value,
                       size_t step, size_t n)
{
    if (r->live++ == 0)
        r->first = id;
    if (r->item == NULL)
        return;
    buf_clear(&r->pairs);
    for (size_t i = 0; i < n; i++) {
        struct bytes pair[2] = {slot_text(r, name + i * step), slot_text(r, value + i * step)};
        buf_put(&r->pairs, pair, sizeof pair);
    }
    union {
        uint8_t *raw;
        const struct bytes *pairs;
    } at = {.raw = r->pairs.p};
    give(r, &(struct rdb_item){.kind = RDB_ITEM_ENTRY, .id = id, .pairs = at.pairs, .npairs = n});
}

/* The node's own fields are in the first slots, the entry's texts behind them. */
static void read_entry(struct stream_reading *r, int64_t *live, int64_t *deleted)
{
    int64_t flags, ms, seq, parts, n = (int64_t)r->nfields;
    if (!next_number(r, &flags) || !next_number(r, &ms) || !next_number(r, &seq))
        return;
    bool same = (flags & ENTRY_SAME_FIELDS) != 0;
    if (!same && (!next_number(r, &n) || n < 0 || n > INT32_MAX)) {
        bad(r);
        return;
    }
    if (!next_texts(r, r->nfields, (uint64_t)(same ? n : 2 * n)) || !next_number(r, &parts) ||
        parts != (same ? n + 3 : 2 * n + 4)) {
        bad(r);
        return;
    }
    if (flags & ENTRY_DELETED) {
        ++*deleted;
        return;
    }
    struct rdb_id id = {.ms = r->node.ms + (uint64_t)ms, .seq = r->node.seq + (uint64_t)seq};
    ++*live;
    if (same)
        give_entry(r, id, 0, r->nfields, 1, (size_t)n);
    else
        give_entry(r, id, r->nfields, r->nfields + 1, 2, (size_t)n);
}

static void read_listpack(struct stream_reading *r, struct bytes s)
{
    size_t count;
    int64_t live, deleted, n, zero, got_live = 0, got_deleted = 0;
    if (!pack_open(&r->pack, PACK_LISTPACK, s, &count) || !next_number(r, &live) ||
        !next_number(r, &deleted) || !next_number(r, &n) || n < 0 || (uint64_t)n > count) {
        bad(r);
        return;
    }
    r->nfields = (size_t)n;
    if (!next_texts(r, 0, r->nfields) || !next_number(r, &zero) || zero != 0) {
        bad(r);
        return;
    }
    while (r->in->fault == RDB_OK && r->pack.at < r->pack.end)
        read_entry(r, &got_live, &got_deleted);
    if (got_live != live || got_deleted != deleted)
        bad(r);
}

static void read_node(struct stream_reading *r)
{
    struct rdb_text id, pack;
    if (!rdb_read_text(r->in, &id))
        return;
    if (id.text.n != ID_BYTES)
        bad(r);
    else
        r->node = id_of(id.text.p);
    rdb_text_free(&id);
    if (!rdb_read_text(r->in, &pack))
        return;
    read_listpack(r, pack.text);
    rdb_text_free(&pack);
}

/* ------------------------------------------------------------ groups */

static int pending_cmp(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    return id_cmp(x->id, y->id);
}

/* The group's pending entries: who has them is only said later. Each takes 25 bytes at least, which
 * bounds what is allocated by what is there. */
static void read_pending(struct stream_reading *r)
{
    uint64_t n = rdb_read_length(r->in);
    if (n > (uint64_t)(r->in->end - r->in->p) / (ID_BYTES + 9)) {
        rdb_bad(r->in, RDB_SHORT);
        return;
    }
    mem_free(r->pending);
    r->pending = n == 0 ? NULL : mem_alloc(n * sizeof *r->pending);
    r->npending = n;
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *id = rdb_read_bytes(r->in, ID_BYTES);
        struct pending *p = &r->pending[i];
        *p = (struct pending){.time = (int64_t)rdb_read_fixed(r->in, 8)};
        p->count = rdb_read_length(r->in);
        if (r->in->fault != RDB_OK || id == NULL) {
            r->npending = 0;
            return;
        }
        p->id = id_of(id);
    }
    if (n > 1)
        qsort(r->pending, n, sizeof *r->pending, pending_cmp);
    for (uint64_t i = 1; i < n; i++)
        if (pending_cmp(&r->pending[i - 1], &r->pending[i]) == 0)
            bad(r);
}

static void read_owned(struct stream_reading *r)
{
    const uint8_t *id = rdb_read_bytes(r->in, ID_BYTES);
    if (id == NULL)
        return;
    struct pending key = {.id = id_of(id)};
    struct pending *p =
        r->npending == 0 ? NULL : bsearch(&key, r->pending, r->npending, sizeof key, pending_cmp);
    if (p == NULL || p->owned) {
        bad(r);
        return;
    }
    p->owned = true;
    give(r, &(struct rdb_item){
                .kind = RDB_ITEM_PENDING, .id = p->id, .time = p->time, .count = p->count});
}

static void read_consumer(struct stream_reading *r)
{
    struct rdb_text name;
    if (!rdb_read_text(r->in, &name))
        return;
    struct rdb_item item = {.kind = RDB_ITEM_CONSUMER, .name = name.text, .active = -1};
    item.time = (int64_t)rdb_read_fixed(r->in, 8);
    if (r->code == RDB_CODE_STREAM_3)
        item.active = (int64_t)rdb_read_fixed(r->in, 8);
    if (r->in->fault == RDB_OK)
        give(r, &item);
    rdb_text_free(&name);
    uint64_t n = rdb_read_length(r->in);
    for (uint64_t i = 0; i < n && r->in->fault == RDB_OK; i++)
        read_owned(r);
}

/* Streams of before Redis 7.0 do not say how many entries a group has read: what is there counts as
 * all that was ever added. -1: it cannot be told. */
static int64_t read_before(const struct stream_reading *r, struct rdb_id id)
{
    if (r->live == 0)
        return 0;
    int to_first = id_cmp(id, r->first), to_last = id_cmp(id, r->last);
    if (to_last == 0)
        return (int64_t)r->live;
    return to_last > 0 || to_first > 0 ? -1 : to_first == 0;
}

static void read_group(struct stream_reading *r)
{
    struct rdb_text name;
    if (!rdb_read_text(r->in, &name))
        return;
    struct rdb_item item = {.kind = RDB_ITEM_GROUP, .name = name.text};
    item.id = read_id(r->in);
    item.read =
        r->code == RDB_CODE_STREAM ? read_before(r, item.id) : (int64_t)rdb_read_length(r->in);
    if (r->in->fault == RDB_OK)
        give(r, &item);
    rdb_text_free(&name);
    read_pending(r);
    uint64_t n = rdb_read_length(r->in);
    for (uint64_t i = 0; i < n && r->in->fault == RDB_OK; i++)
        read_consumer(r);
    for (size_t i = 0; i < r->npending; i++)
        if (!r->pending[i].owned)
            bad(r);
}

/* ------------------------------------------------------------ all */

static void read_ends(struct stream_reading *r)
{
    struct rdb_item item = {.kind = RDB_ITEM_STREAM, .first = r->first, .added = r->live};
    if (rdb_read_length(r->in) != r->live)
        bad(r);
    item.id = r->last = read_id(r->in);
    if (r->code != RDB_CODE_STREAM) {
        item.first = read_id(r->in);
        item.deleted = read_id(r->in);
        item.added = rdb_read_length(r->in);
    }
    if (r->in->fault == RDB_OK)
        give(r, &item);
}

void rdb_read_stream(struct rdb_in *in, uint8_t code, rdb_take *item, void *arg)
{
    struct stream_reading r = {.in = in, .item = item, .arg = arg, .code = code};
    uint64_t n = rdb_read_length(in);
    for (uint64_t i = 0; i < n && in->fault == RDB_OK; i++)
        read_node(&r);
    read_ends(&r);
    n = rdb_read_length(in);
    for (uint64_t i = 0; i < n && in->fault == RDB_OK; i++)
        read_group(&r);
    mem_free(r.pending);
    mem_free(r.slots);
    buf_deinit(&r.pairs);
}
