/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/events.h"

#include "crdt/stream_name.h"
#include "shard/inside.h"

/*
 * Events of changes that no command made here. An operation of another region tells its kind, not
 * the command it came from: RPUSH and LPUSH are one. So each kind has the event of its plainest
 * command (docs/decisions.md).
 */

struct happening {
    enum event_class class;
    const char *name;
};

static const struct happening of_op[OP_KIND_MAX] = {
    [OP_SET] = {EVENT_STRING, "set"},
    [OP_INCR] = {EVENT_STRING, "incrby"},
    [OP_INCRF] = {EVENT_STRING, "incrbyfloat"},
    [OP_DEL] = {EVENT_GENERIC, "del"},
    [OP_EXPIRE] = {EVENT_GENERIC, "expire"},
    [OP_SADD] = {EVENT_SET, "sadd"},
    [OP_SREM] = {EVENT_SET, "srem"},
    [OP_HSET] = {EVENT_HASH, "hset"},
    [OP_HINCR] = {EVENT_HASH, "hincrby"},
    [OP_HINCRF] = {EVENT_HASH, "hincrbyfloat"},
    [OP_HDEL] = {EVENT_HASH, "hdel"},
    [OP_ZADD] = {EVENT_ZSET, "zadd"},
    [OP_ZINCR] = {EVENT_ZSET, "zincr"},
    [OP_ZREM] = {EVENT_ZSET, "zrem"},
    [OP_LINS] = {EVENT_LIST, "rpush"},
    [OP_LREM] = {EVENT_LIST, "lrem"},
    [OP_PFADD] = {EVENT_STRING, "pfadd"},
    [OP_PATCH] = {EVENT_STRING, "setrange"},
    [OP_XADD] = {EVENT_STREAM, "xadd"},
    [OP_XTRIM] = {EVENT_STREAM, "xtrim"},
};

/* A stream's entries, groups and consumers; of what is pending and delivered Redis tells nothing.
 */
static struct happening of_stream(const struct op *op, bool is_new)
{
    struct stream_name name;
    bool set = op->kind == OP_XSET;
    const char *what = NULL;
    if (!stream_name_read(op->elem, &name))
        return (struct happening){0};
    if (name.kind == STREAM_ENTRY)
        what = set ? NULL : "xdel";
    else if (name.kind == STREAM_GROUP)
        what = !set ? "xgroup-destroy" : is_new ? "xgroup-create" : "xgroup-setid";
    else if (name.kind == STREAM_CONSUMER)
        what = !set ? "xgroup-delconsumer" : is_new ? "xgroup-createconsumer" : NULL;
    return what == NULL ? (struct happening){0} : (struct happening){EVENT_STREAM, what};
}

/* A key that changed in an unknown way: elements came (`more`), or went. */
static struct happening of_type(enum type type, bool more)
{
    switch (type) {
    case TYPE_STRING:
        return (struct happening){EVENT_STRING, "set"};
    case TYPE_HASH:
        return (struct happening){EVENT_HASH, more ? "hset" : "hdel"};
    case TYPE_SET:
        return (struct happening){EVENT_SET, more ? "sadd" : "srem"};
    case TYPE_ZSET:
        return (struct happening){EVENT_ZSET, more ? "zadd" : "zrem"};
    case TYPE_LIST:
        return (struct happening){EVENT_LIST, more ? "rpush" : "lrem"};
    case TYPE_HLL:
        return (struct happening){EVENT_STRING, "pfadd"};
    case TYPE_STREAM:
        return (struct happening){EVENT_STREAM, more ? "xadd" : "xdel"};
    case TYPE_NONE:
    case TYPE_COUNT:
        break;
    }
    return (struct happening){EVENT_GENERIC, "del"};
}

static void raise(const struct shard *s, struct happening e, struct bytes key)
{
    if (!(s->wants.events & (uint32_t)e.class))
        return;
    struct mem_account *mine = mem_account_enter(NULL);
    s->event(s->arg, e.class, e.name, key);
    mem_account_leave(mine);
}

void events_created(const struct shard *s, struct bytes key)
{
    raise(s, (struct happening){EVENT_NEW, "new"}, key);
}

void events_removed(const struct shard *s, struct bytes key, bool expired)
{
    raise(s, expired ? (struct happening){EVENT_EXPIRED, "expired"} : of_op[OP_DEL], key);
}

void events_evicted(const struct shard *s, struct bytes key)
{
    raise(s, (struct happening){EVENT_EVICTED, "evicted"}, key);
}

void events_of_op(const struct shard *s, const struct op *op, const struct event_before *before,
                  const struct cell *now, const struct applied *applied)
{
    enum type type = value_type(now);
    bool gone = before->shown && type == TYPE_NONE;
    if (!before->shown && type != TYPE_NONE)
        events_created(s, op->key);
    if (op->kind == OP_DEL) {
        if (gone) /* the region that set the deadline deletes what is past it */
            events_removed(s, op->key, stamp_wall_ms(op->stamp) >= before->deadline);
        else
            raise(s, of_type(type, false), op->key);
        return;
    }
    struct happening e = of_op[op->kind];
    if (op->kind == OP_XSET || op->kind == OP_XREM)
        e = of_stream(op, applied->elem_new);
    if (op->kind == OP_EXPIRE && op->num == DEADLINE_NEVER)
        e.name = "persist";
    else if (op->kind == OP_LINS && !applied->elem_new)
        e.name = "lset";
    raise(s, e, op->key);
    if (gone)
        events_removed(s, op->key, false);
}

void events_of_join(const struct shard *s, struct bytes key, const struct event_before *before,
                    const struct cell *now)
{
    enum type type = value_type(now);
    if (before->shown && type == TYPE_NONE) {
        events_removed(s, key, s->wall_ms >= before->deadline);
        return;
    }
    if (!before->shown && type != TYPE_NONE)
        events_created(s, key);
    raise(s, of_type(type, true), key);
}
