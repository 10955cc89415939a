/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/stream_write.h"

#include "base/mem.h"
#include "shard/names.h"

static void set(struct call *c, struct key *k, struct bytes elem, struct bytes val)
{
    key_elem(c, k, OP_XSET, elem, val);
}

static void drop(struct call *c, struct key *k, struct bytes elem)
{
    key_elem(c, k, OP_XREM, elem, bytes_of(NULL, 0));
}

/* ------------------------------------------------------------ entries */

void stream_add(struct call *c, struct key *k, struct stream_id id, uint64_t added,
                const struct bytes *argv, size_t pairs)
{
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    struct buf *val = call_room(c);
    stream_added_begin(val, added + 1);
    stream_fields_begin(val, pairs);
    for (size_t i = 0; i < 2 * pairs; i++)
        stream_fields_add(val, argv[i]);
    key_elem(c, k, OP_XADD, stream_entry_name(room, (uint8_t)call_region(c), id), buf_bytes(val));
}

void stream_put_entry(struct call *c, struct key *k, struct stream_id id, uint8_t region,
                      struct bytes fields)
{
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    set(c, k, stream_entry_name(room, region, id), fields);
}

void stream_remove_entry(struct call *c, struct key *k, struct stream_id id, uint8_t region)
{
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    drop(c, k, stream_entry_name(room, region, id));
}

void stream_trim(struct call *c, struct key *k, size_t n)
{
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    struct stream_entry last;
    if (stream_entry_at(k->cell, n - 1, &last))
        key_elem(c, k, OP_XTRIM, stream_entry_name(room, last.region, last.id), bytes_of(NULL, 0));
}

/* ------------------------------------------------------------ metadata */

/* Others' words about the stream go, all but our own. */
static void forget_others(struct call *c, struct key *k, enum stream_kind kind)
{
    uint16_t actors[STAMP_ACTOR_MAX + 1];
    uint8_t room[4];
    unsigned n = stream_actors(k->cell, kind, actors);
    for (unsigned i = 0; i < n; i++)
        if (actors[i] != call_actor(c))
            drop(c, k, stream_meta_name(room, kind, actors[i]));
}

void stream_put_gone(struct call *c, struct key *k, struct stream_id id)
{
    uint8_t name[4], val[16];
    set(c, k, stream_meta_name(name, STREAM_GONE, call_actor(c)), stream_gone_put(val, id));
}

void stream_put_info(struct call *c, struct key *k, struct stream_id last, uint64_t added,
                     struct stream_id gone)
{
    uint8_t name[4], val[24];
    set(c, k, stream_meta_name(name, STREAM_LAST, call_actor(c)),
        stream_last_put(val, (struct stream_last){.id = last, .added = added}));
    forget_others(c, k, STREAM_LAST);
    if (stream_id_is_zero(gone))
        return;
    stream_put_gone(c, k, gone);
    forget_others(c, k, STREAM_GONE);
}

/* ------------------------------------------------------------ groups */

static void put_id(struct buf *out, struct stream_id id)
{
    uint8_t room[16];
    buf_put_bytes(out, stream_gone_put(room, id));
}

static void begin_put(struct buf *out, const struct stream_begin *begin, struct bytes group)
{
    uint8_t room[24], n = 0;
    struct stream_delivered base = {.id = begin->last, .read = begin->read};
    for (unsigned r = 1; r <= REGION_MAX && begin->by != NULL; r++)
        n = (uint8_t)(n + !stream_id_is_zero(begin->by[r]));
    buf_put_bytes(out, stream_delivered_put(room, base));
    buf_put_u8(out, n);
    for (unsigned r = 1; r <= REGION_MAX && n > 0; r++) {
        if (stream_id_is_zero(begin->by[r]))
            continue;
        buf_put_u8(out, (uint8_t)r);
        put_id(out, begin->by[r]);
    }
    buf_put_bytes(out, group);
}

/* Removes what has names from the prefix and kind `from` to the end of kind `to`. */
static void cut_kinds(struct call *c, struct key *k, struct bytes prefix, enum stream_kind from,
                      enum stream_kind to)
{
    size_t n = 0;
    struct buf lo = {0}, hi = {0};
    for (unsigned kind = from; kind <= (unsigned)to; kind++)
        n += stream_count(k->cell, prefix, (enum stream_kind)kind);
    stream_kind_prefix(&lo, prefix, from);
    stream_kind_prefix(&hi, prefix, (enum stream_kind)(to + 1));
    if (n > 0)
        key_elem(c, k, OP_XCUT, buf_bytes(&lo), buf_bytes(&hi));
    buf_deinit(&lo);
    buf_deinit(&hi);
}

void stream_put_group(struct call *c, struct key *k, struct bytes group,
                      const struct stream_begin *begin)
{
    struct stream_group was;
    struct buf prefix = {0}, name = {0}, val = {0};
    bool is_new = !stream_group(k->cell, group, &was);
    stream_group_prefix(&prefix, group);
    stream_group_name(&name, buf_bytes(&prefix));
    begin_put(&val, begin, group);
    set(c, k, buf_bytes(&name), buf_bytes(&val));
    /* A new one must not take over what was delivered, elsewhere, while an old one was destroyed */
    cut_kinds(c, k, buf_bytes(&prefix), STREAM_DELIVERED,
              is_new ? STREAM_PENDING : STREAM_DELIVERED);
    buf_deinit(&prefix);
    buf_deinit(&name);
    buf_deinit(&val);
}

void stream_remove_group(struct call *c, struct key *k, struct bytes group)
{
    struct buf prefix = {0};
    stream_group_prefix(&prefix, group);
    cut_kinds(c, k, buf_bytes(&prefix), STREAM_GROUP, STREAM_PENDING);
    buf_deinit(&prefix);
}

void stream_put_delivered(struct call *c, struct key *k, struct bytes prefix, uint8_t region,
                          struct stream_delivered v)
{
    uint8_t val[24];
    struct buf *name = call_room(c);
    stream_delivered_name(name, prefix, region);
    set(c, k, buf_bytes(name), stream_delivered_put(val, v));
}

void stream_put_consumer(struct call *c, struct key *k, struct bytes prefix, struct bytes consumer,
                         int64_t seen_ms)
{
    struct buf *room = call_room(c);
    stream_consumer_name(room, prefix, consumer);
    size_t n = buf_len(room);
    stream_consumer_put(room, seen_ms, consumer);
    struct bytes both = buf_bytes(room);
    set(c, k, bytes_of(both.p, n), bytes_of(both.p + n, both.n - n));
}

void stream_remove_consumer(struct call *c, struct key *k, struct bytes prefix,
                            struct bytes consumer)
{
    struct buf *name = call_room(c);
    stream_consumer_name(name, prefix, consumer);
    drop(c, k, buf_bytes(name));
}

void stream_put_pending(struct call *c, struct key *k, struct bytes prefix,
                        const struct stream_pending *p)
{
    struct buf *room = call_room(c);
    stream_pending_name(room, prefix, p->id, p->region);
    size_t n = buf_len(room);
    stream_pending_put(room, p->time_ms, p->count, p->consumer);
    struct bytes both = buf_bytes(room);
    set(c, k, bytes_of(both.p, n), bytes_of(both.p + n, both.n - n));
}

void stream_remove_pending(struct call *c, struct key *k, struct bytes prefix, struct stream_id id,
                           uint8_t region)
{
    struct buf *name = call_room(c);
    stream_pending_name(name, prefix, id, region);
    drop(c, k, buf_bytes(name));
}

/* ------------------------------------------------------------ copying */

/* Entries keep their regions, so that groups keep what they have had. */
void stream_copy(struct call *c, const struct key *from, struct key *to)
{
    struct coll_iter it;
    struct stream_name name;
    struct stream_info info;
    struct shown val;
    const struct cell *e;
    stream_info(from->cell, &info);
    stream_put_info(c, to, info.last, info.added, info.gone);
    coll_iter(&it, from->cell, TYPE_STREAM);
    while ((e = coll_next(&it)) != NULL) {
        stream_name_read(cell_name(e), &name);
        if (name.kind == STREAM_LAST || name.kind == STREAM_GONE)
            continue;
        cell_show(e, &val);
        set(c, to, cell_name(e), val.text);
    }
}
