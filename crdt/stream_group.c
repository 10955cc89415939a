/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/stream.h"

#include "base/mem.h"
#include "crdt/multi.h"

/* Consumer groups of streams. */

static bool below_name(const void *item, const void *arg)
{
    return bytes_cmp(cell_name(item), *(const struct bytes *)arg) < 0;
}

static size_t rank_of(const struct coll *c, struct bytes name)
{
    return coll_partition(c, below_name, &name);
}

static bool starts_with(struct bytes s, struct bytes prefix)
{
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* ------------------------------------------------------------ a group */

/* base, read, n * (region, ID), name: see stream_name.h. */
static void read_base(struct bytes val, struct stream_group *out)
{
    struct stream_delivered base = stream_delivered_read(val);
    unsigned n = val.p[24];
    out->last = base.id;
    out->read = base.read;
    for (unsigned r = 0; r <= REGION_MAX; r++)
        out->delivered[r] = base.id;
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *p = val.p + 25 + 17 * i;
        struct stream_id id = stream_gone_read(bytes_of(p + 1, 16));
        struct stream_id *had = &out->delivered[*p];
        *had = stream_id_cmp(id, *had) > 0 ? id : *had;
        out->last = stream_id_cmp(id, out->last) > 0 ? id : out->last;
    }
    out->name = bytes_of(val.p + 25 + 17 * n, val.n - 25 - 17 * n);
}

/* What was delivered since raises what the group began with. */
static void read_group(const struct coll *c, size_t rank, struct stream_group *out)
{
    struct stream_name name;
    struct shown val;
    const struct cell *e = coll_by_rank(c, rank);
    cell_show(e, &val);
    read_base(val.text, out);
    while ((e = coll_by_rank(c, ++rank)) != NULL) {
        if (!stream_name_read(cell_name(e), &name) || name.kind != STREAM_DELIVERED)
            break;
        cell_show(e, &val);
        struct stream_delivered d = stream_delivered_read(val.text);
        struct stream_id *had = &out->delivered[name.region];
        *had = stream_id_cmp(d.id, *had) > 0 ? d.id : *had;
        if (stream_id_cmp(d.id, out->last) < 0)
            continue;
        out->last = d.id;
        out->read = d.read;
    }
}

bool stream_group(const struct cell *key, struct bytes name, struct stream_group *out)
{
    const struct coll *c = key_coll(key, TYPE_STREAM);
    struct buf at = {0};
    if (c == NULL)
        return false;
    stream_group_prefix(&at, name);
    stream_group_name(&at, bytes_of(NULL, 0));
    struct bytes full = buf_bytes(&at);
    size_t rank = rank_of(c, full);
    const struct cell *e = coll_by_rank(c, rank);
    bool found = e != NULL && bytes_eq(cell_name(e), full);
    buf_deinit(&at);
    if (found)
        read_group(c, rank, out);
    return found;
}

bool stream_group_next(const struct cell *key, size_t *rank, struct stream_group *out)
{
    const struct coll *c = key_coll(key, TYPE_STREAM);
    struct stream_name name;
    const struct cell *e;
    if (c == NULL)
        return false;
    if (*rank == 0) {
        uint8_t first[1] = {2};
        *rank = rank_of(c, bytes_of(first, 1));
    }
    while ((e = coll_by_rank(c, *rank)) != NULL) {
        if (!stream_name_read(cell_name(e), &name) || name.kind == STREAM_ENTRY)
            return false;
        bool is_group = name.kind == STREAM_GROUP;
        if (is_group)
            read_group(c, *rank, out);
        /* On to what stands behind all elements of this group (a removed one may have left some) */
        struct buf behind = {0};
        buf_put(&behind, cell_name(e).p, name.prefix);
        buf_put_u8(&behind, 0xff);
        *rank = rank_of(c, buf_bytes(&behind));
        buf_deinit(&behind);
        if (is_group)
            return true;
    }
    return false;
}

size_t stream_groups(const struct cell *key)
{
    struct stream_group g;
    size_t rank = 0, n = 0;
    while (stream_group_next(key, &rank, &g))
        n++;
    return n;
}

/* ------------------------------------------------------------ consumers, pending entries */

static void walk_from(struct stream_walk *w, const struct cell *key, struct bytes prefix,
                      enum stream_kind kind, const struct stream_id *from)
{
    struct buf name = {0};
    w->prefix = prefix;
    w->kind = (uint8_t)kind;
    if (from != NULL) {
        stream_pending_name(&name, prefix, *from, 0);
    } else {
        stream_kind_prefix(&name, prefix, kind);
    }
    size_t rank = rank_of(key_coll(key, TYPE_STREAM), buf_bytes(&name));
    order_iter(&w->it, key, TYPE_STREAM, rank);
    buf_deinit(&name);
}

/* The walk's next element; NULL when they are through. */
static const struct cell *walk_next(struct stream_walk *w, struct stream_name *name)
{
    const struct cell *e = order_next(&w->it);
    bool ok = e != NULL && starts_with(cell_name(e), w->prefix) &&
              stream_name_read(cell_name(e), name) && name->kind == w->kind;
    return ok ? e : NULL;
}

void stream_consumers(struct stream_walk *w, const struct cell *key, struct bytes prefix)
{
    walk_from(w, key, prefix, STREAM_CONSUMER, NULL);
}

static void read_consumer(const struct cell *e, struct stream_consumer *out)
{
    struct shown val;
    cell_show(e, &val);
    out->seen_ms = (int64_t)stream_u64(val.text.p);
    out->name = bytes_of(val.text.p + 8, val.text.n - 8);
}

bool stream_consumer_next(struct stream_walk *w, struct stream_consumer *out)
{
    struct stream_name name;
    const struct cell *e = walk_next(w, &name);
    if (e != NULL)
        read_consumer(e, out);
    return e != NULL;
}

void stream_pendings(struct stream_walk *w, const struct cell *key, struct bytes prefix,
                     struct stream_id from)
{
    walk_from(w, key, prefix, STREAM_PENDING, &from);
}

bool stream_pending_next(struct stream_walk *w, struct stream_pending *out)
{
    struct stream_name name;
    struct shown val;
    const struct cell *e = walk_next(w, &name);
    if (e == NULL)
        return false;
    cell_show(e, &val);
    stream_pending_read(val.text, out);
    out->id = name.id;
    out->region = name.region;
    return true;
}

size_t stream_count(const struct cell *key, struct bytes prefix, enum stream_kind kind)
{
    const struct coll *c = key_coll(key, TYPE_STREAM);
    struct buf lo = {0}, hi = {0};
    stream_kind_prefix(&lo, prefix, kind);
    stream_kind_prefix(&hi, prefix, (enum stream_kind)(kind + 1));
    size_t n = rank_of(c, buf_bytes(&hi)) - rank_of(c, buf_bytes(&lo));
    buf_deinit(&lo);
    buf_deinit(&hi);
    return n;
}

bool stream_consumer_find(const struct cell *key, struct bytes prefix, struct bytes name,
                          struct stream_consumer *out)
{
    struct buf full = {0};
    stream_consumer_name(&full, prefix, name);
    const struct cell *e = coll_find(key, TYPE_STREAM, buf_bytes(&full));
    buf_deinit(&full);
    if (e != NULL)
        read_consumer(e, out);
    return e != NULL;
}

bool stream_pending_find(const struct cell *key, struct bytes prefix, struct stream_id id,
                         uint8_t region, struct stream_pending *out)
{
    struct buf full = {0};
    struct shown val;
    stream_pending_name(&full, prefix, id, region);
    const struct cell *e = coll_find(key, TYPE_STREAM, buf_bytes(&full));
    buf_deinit(&full);
    if (e == NULL)
        return false;
    cell_show(e, &val);
    stream_pending_read(val.text, out);
    out->id = id;
    out->region = region;
    return true;
}
