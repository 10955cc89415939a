/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/peers.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "crdt/stream.h"

static const struct hash_key hash_key = {3, 4};
static const char *const key_names[PEERS_KEYS] = {"key:one", "two"};

struct peers *peers_new(uint64_t seed, unsigned regions)
{
    struct peers *w = mem_zalloc(sizeof *w);
    rng_init(&w->rng, seed);
    w->n = regions;
    for (unsigned i = 0; i < regions; i++) {
        w->at[i].actor = actor_make(i + 1, 0);
        w->at[i].clock.actor = w->at[i].actor;
        w->at[i].runs = position_runs_new();
    }
    return w;
}

void peers_region_deinit(struct peers_region *r)
{
    for (unsigned k = 0; k < PEERS_KEYS; k++)
        value_free(r->keys[k]);
    for (unsigned i = 0; i < PEERS_REGIONS; i++)
        context_deinit(&r->seen_by[i]);
    context_deinit(&r->vv);
    if (r->runs)
        position_runs_free(r->runs);
}

void peers_free(struct peers *w)
{
    for (unsigned i = 0; i < w->n; i++)
        peers_region_deinit(&w->at[i]);
    for (unsigned i = 0; i < w->nops; i++) {
        context_deinit(&w->ops[i].deps);
        buf_deinit(&w->ops[i].room);
    }
    mem_free(w);
}

static void on_unsettled(void *arg, struct bytes key, enum type type, struct bytes elem,
                         stamp_t newest)
{
    struct peers_region *r = arg;
    (void)elem;
    assert(key.n > 0 && type != TYPE_NONE && newest != 0);
    r->unsettled++;
}

static void on_discard(void *arg, struct cell *garbage)
{
    (void)arg;
    while (value_free_step(garbage, 17))
        ;
}

struct surroundings peers_around(struct peers *w, struct peers_region *r)
{
    return (struct surroundings){.digest = &r->digest,
                                 .hash_key = hash_key,
                                 .conflicts = &w->conflicts,
                                 .unsettled = on_unsettled,
                                 .discard = on_discard,
                                 .arg = r};
}

/* ------------------------------------------------------------ writing */

static struct bytes keep(struct buf *room, struct bytes s)
{
    size_t at = room->tail;
    buf_put_bytes(room, s);
    return bytes_of(room->p + at, s.n);
}

static bool is_increment(uint8_t kind)
{
    return kind == OP_INCR || kind == OP_INCRF || kind == OP_HINCR || kind == OP_HINCRF ||
           kind == OP_ZINCR || kind == OP_PFADD;
}

static enum type increment_type(uint8_t kind)
{
    return kind == OP_PFADD                        ? TYPE_HLL
           : kind == OP_INCR || kind == OP_INCRF   ? TYPE_STRING
           : kind == OP_HINCR || kind == OP_HINCRF ? TYPE_HASH
                                                   : TYPE_ZSET;
}

static void choose_flags(struct peers_region *r, const struct cell *cell, struct op *op)
{
    int64_t i = 0;
    long double x = 0;
    if (is_increment(op->kind))
        op->flags |= value_increment_flags(cell, increment_type(op->kind), op->elem, r->actor,
                                           r->closed, &i, &x);
    if (op->kind == OP_PFADD)
        op->flags &= (uint8_t)~OPF_ABSORB; /* its union is the shard's to make */
    if ((op->flags & OPF_ABSORB) && (op->kind == OP_INCR || op->kind == OP_HINCR))
        op->num += i;
    else if (op->flags & OPF_ABSORB)
        op->real += x;
    if (value_type(cell) == TYPE_NONE)
        op->flags |= OPF_FRESH;
}

const struct cell *peers_write(struct peers *w, unsigned at, unsigned key, struct op op)
{
    struct peers_region *r = &w->at[at];
    assert(w->nops < PEERS_OPS);
    struct peers_op *o = &w->ops[w->nops++];
    struct surroundings s = peers_around(w, r);
    struct applied out;
    op.key = bytes_str(key_names[key]);
    choose_flags(r, r->keys[key], &op);
    op.stamp = clock_tick(&r->clock, STAMP_EPOCH_MS + 1000 + w->nops / 4);
    *o = (struct peers_op){.op = op, .prev = context_get(&r->vv, r->actor), .frame = r->frame};
    o->prev = o->prev ? o->prev : stamp_make(0, 0, r->actor);
    buf_reserve(&o->room, op.key.n + op.elem.n + op.val.n + 1);
    o->op.key = keep(&o->room, op.key);
    o->op.elem = keep(&o->room, op.elem);
    o->op.val = keep(&o->room, op.val);
    context_copy(&o->deps, &r->vv);
    context_drop(&o->deps, r->actor);
    struct seen seen = {.prev = o->prev};
    context_raise(&r->vv, op.stamp);
    r->keys[key] = value_apply(r->keys[key], &o->op, &seen, &r->vv, &s, &out);
    if (out.is_empty)
        o->op.flags |= OPF_FRESH;
    return r->keys[key];
}

/* ------------------------------------------------------------ delivery */

static unsigned key_of(const struct op *op)
{
    for (unsigned k = 0; k < PEERS_KEYS; k++)
        if (bytes_is(op->key, key_names[k]))
            return k;
    assert(false);
    return 0;
}

static void apply_foreign(struct peers *w, struct peers_region *r, const struct peers_op *o,
                          unsigned writer)
{
    struct buf wire = {0};
    struct op op;
    struct applied out;
    struct surroundings s = peers_around(w, r);
    op_encode(&wire, &o->op, o->op.stamp - 1);
    struct mp m = mp_read(buf_bytes(&wire));
    bool ok = op_decode(&m, &op, o->op.stamp - 1) && mp_done(&m);
    assert(ok);
    struct seen seen = {.deps = &o->deps, .prev = o->prev};
    unsigned k = key_of(&op);
    context_raise(&r->vv, op.stamp);
    r->keys[k] = value_apply(r->keys[k], &op, &seen, &r->vv, &s, &out);
    clock_seen(&r->clock, op.stamp);
    context_join(&r->seen_by[writer], &o->deps);
    context_raise(&r->seen_by[writer], op.stamp);
    buf_deinit(&wire);
}

static void close_frame(struct peers_region *r)
{
    r->closed = context_get(&r->vv, r->actor);
    r->frame++;
}

void peers_deliver(struct peers *w, unsigned a, unsigned b, unsigned limit)
{
    struct peers_region *to = &w->at[b], *from = &w->at[a];
    close_frame(from);
    close_frame(to);
    const struct peers_op *last = NULL;
    for (unsigned i = 0; i < w->nops; i++) {
        const struct peers_op *o = &w->ops[i];
        if (stamp_actor(o->op.stamp) != from->actor || context_covers(&to->vv, o->op.stamp))
            continue;
        bool same = last != NULL && o->frame == last->frame;
        if (!context_le(&o->deps, &to->vv) || (limit == 0 && !same))
            return;
        apply_foreign(w, to, o, a);
        limit -= limit > 0;
        last = o;
    }
}

void peers_deliver_all(struct peers *w)
{
    /* A chain of causes is at most as long as there are operations; each round delivers what is
     * ready. */
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned a = 0; a < w->n; a++) {
            for (unsigned b = 0; b < w->n; b++) {
                stamp_t was = context_get(&w->at[b].vv, w->at[a].actor);
                if (a != b)
                    peers_deliver(w, a, b, UINT32_MAX);
                moved |= context_get(&w->at[b].vv, w->at[a].actor) != was;
            }
        }
    }
}

/* ------------------------------------------------------------ join, compact */

static struct cell *copy_key(const struct cell *key)
{
    struct buf b = {0};
    if (key == NULL)
        return NULL;
    value_encode(&b, key);
    struct cell *c = value_decode(buf_bytes(&b), hash_key);
    assert(c != NULL);
    buf_deinit(&b);
    return c;
}

struct peers_region peers_copy(const struct peers_region *r)
{
    struct peers_region c = {.actor = r->actor, .digest = r->digest};
    context_copy(&c.vv, &r->vv);
    for (unsigned k = 0; k < PEERS_KEYS; k++) {
        c.keys[k] = copy_key(r->keys[k]);
        if (c.keys[k])
            value_redigest(c.keys[k]);
    }
    return c;
}

void peers_join_region(struct peers *w, struct peers_region *to, const struct peers_region *from)
{
    struct context vv = {0};
    struct applied out;
    struct surroundings s = peers_around(w, to);
    context_copy(&vv, &to->vv);
    context_join(&vv, &from->vv);
    for (unsigned k = 0; k < PEERS_KEYS; k++)
        to->keys[k] =
            value_join(to->keys[k], &to->vv, copy_key(from->keys[k]), &from->vv, &vv, &s, &out);
    context_deinit(&to->vv);
    to->vv = vv;
}

void peers_join(struct peers *w, unsigned a, unsigned b)
{
    struct peers_region *to = &w->at[b], *from = &w->at[a];
    close_frame(from);
    close_frame(to);
    peers_join_region(w, to, from);
    for (unsigned i = 0; i < w->n; i++)
        if (i != b)
            context_join(&to->seen_by[i], &from->seen_by[i]);
    context_join(&to->seen_by[a], &from->vv);
    for (unsigned i = 0; i < to->vv.n; i++)
        clock_seen(&to->clock, to->vv.at[i]);
}

void peers_compact(struct peers *w, unsigned at)
{
    struct peers_region *r = &w->at[at];
    struct context stable = {0};
    struct surroundings s = peers_around(w, r);
    context_copy(&stable, &r->vv);
    for (unsigned i = 0; i < w->n; i++)
        if (i != at)
            context_meet(&stable, &r->seen_by[i]);
    for (unsigned k = 0; k < PEERS_KEYS; k++) {
        bool settled;
        stamp_t newest;
        r->keys[k] =
            value_compact(r->keys[k], TYPE_NONE, bytes_of(NULL, 0), &stable, &s, &settled, &newest);
        assert(settled == value_is_settled(r->keys[k]));
    }
    context_deinit(&stable);
}

struct hash128 peers_digest(const struct peers_region *r)
{
    struct hash128 sum = {0};
    for (unsigned k = 0; k < PEERS_KEYS; k++)
        if (r->keys[k])
            sum = hash128_add(sum, value_digest(r->keys[k]));
    return sum;
}

const char *peers_text(struct peers_region *r, unsigned key, char *room)
{
    struct shown s;
    if (!string_show(r->keys[key], &s))
        return "(none)";
    snprintf(room, 64, "%.*s", (int)s.text.n, (const char *)s.text.p);
    return room;
}

/* ------------------------------------------------------------ random operations */

static const uint8_t any_kind[] = {OP_SET,   OP_SET,    OP_INCR,   OP_INCR,  OP_INCR,  OP_INCRF,
                                   OP_DEL,   OP_EXPIRE, OP_EXPIRE, OP_SADD,  OP_SREM,  OP_HSET,
                                   OP_HINCR, OP_HINCRF, OP_HDEL,   OP_ZADD,  OP_ZINCR, OP_ZREM,
                                   OP_LINS,  OP_LINS,   OP_LREM,   OP_PFADD, OP_XADD,  OP_XADD,
                                   OP_XSET,  OP_XSET,   OP_XREM,   OP_XCUT,  OP_XTRIM};

static void random_list(struct peers *w, unsigned at, unsigned key, struct op *op)
{
    struct peers_region *r = &w->at[at];
    struct buf p = {0};
    size_t n = coll_len(r->keys[key], TYPE_LIST), i = n ? (size_t)rng_below(&w->rng, n + 1) : 0;
    if (n > 0 && (op->kind == OP_LREM || rng_below(&w->rng, 4) == 0)) {
        buf_put_bytes(&p, cell_name(coll_at(r->keys[key], TYPE_LIST, i < n ? i : n - 1)));
    } else {
        struct clock next = r->clock;
        struct bytes none = {NULL, 0};
        op->kind = OP_LINS;
        bool ok =
            position_between(&p, i > 0 ? cell_name(coll_at(r->keys[key], TYPE_LIST, i - 1)) : none,
                             i < n ? cell_name(coll_at(r->keys[key], TYPE_LIST, i)) : none,
                             clock_tick(&next, STAMP_EPOCH_MS + 1000 + (w->nops + 1) / 4), r->runs);
        assert(ok);
    }
    op->elem = buf_bytes(&p);
    peers_write(w, at, key, *op);
    buf_deinit(&p);
}

/* An element of one of two groups, or (OP_XSET) what its value may be. */
static void group_element(struct peers *w, unsigned at, struct buf *elem, struct buf *val)
{
    struct buf prefix = {0};
    uint8_t room[24];
    struct stream_id id = {.ms = 1 + rng_below(&w->rng, 40), .seq = rng_below(&w->rng, 3)};
    struct bytes group = bytes_str(rng_below(&w->rng, 3) ? "g" : "group two");
    struct bytes consumer = bytes_str(rng_below(&w->rng, 2) ? "alice" : "bob");
    uint8_t region = (uint8_t)(1 + rng_below(&w->rng, w->n));
    struct stream_delivered d = {.id = id, .read = (int64_t)rng_below(&w->rng, 9) - 1};
    stream_group_prefix(&prefix, group);
    switch (rng_below(&w->rng, 4)) {
    case 0:
        stream_group_name(elem, buf_bytes(&prefix));
        buf_put_bytes(val, stream_delivered_put(room, d));
        buf_put_u8(val, 0);
        buf_put_bytes(val, group);
        break;
    case 1:
        stream_delivered_name(elem, buf_bytes(&prefix), region);
        buf_put_bytes(val, stream_delivered_put(room, d));
        break;
    case 2:
        stream_consumer_name(elem, buf_bytes(&prefix), consumer);
        stream_consumer_put(val, 1000 + (int64_t)rng_below(&w->rng, 50), consumer);
        break;
    default:
        stream_pending_name(elem, buf_bytes(&prefix), id, region);
        stream_pending_put(val, 1000 + at, 1 + rng_below(&w->rng, 3), consumer);
    }
    buf_deinit(&prefix);
}

void peers_xadd(struct peers *w, unsigned at, unsigned key)
{
    struct peers_region *r = &w->at[at];
    struct stream_last own;
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    struct buf val = {0};
    struct stream_id id = stream_last_id(r->keys[key], r->actor, &own);
    id.ms += rng_below(&w->rng, 2);
    id.seq++;
    stream_added_begin(&val, own.added + 1);
    stream_fields_begin(&val, 1);
    stream_fields_add(&val, bytes_str("field"));
    stream_fields_add(&val, bytes_str(at == 0 ? "a" : "a value"));
    peers_write(w, at, key,
                (struct op){.kind = OP_XADD,
                            .elem = stream_entry_name(room, (uint8_t)(at + 1), id),
                            .val = buf_bytes(&val)});
    buf_deinit(&val);
}

static void random_stream(struct peers *w, unsigned at, unsigned key, struct op *op)
{
    const struct cell *c = w->at[at].keys[key];
    struct buf elem = {0}, val = {0};
    struct stream_entry e;
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    size_t n = coll_len(c, TYPE_STREAM), len = stream_len(c);
    if (op->kind == OP_XREM && n > 0) {
        buf_put_bytes(&elem, cell_name(coll_at(c, TYPE_STREAM, (size_t)rng_below(&w->rng, n))));
    } else if (op->kind == OP_XTRIM && len > 0) {
        stream_entry_at(c, (size_t)rng_below(&w->rng, len), &e);
        buf_put_bytes(&elem, stream_entry_name(room, e.region, e.id));
    } else if (op->kind == OP_XCUT) {
        stream_group_prefix(&elem, bytes_str("g"));
        buf_put_bytes(&val, buf_bytes(&elem));
        buf_put_u8(&elem, (uint8_t)rng_below(&w->rng, 5));
        buf_put_u8(&val, 5);
    } else {
        op->kind = OP_XSET;
        group_element(w, at, &elem, &val);
    }
    op->elem = buf_bytes(&elem);
    op->val = buf_bytes(&val);
    peers_write(w, at, key, *op);
    buf_deinit(&elem);
    buf_deinit(&val);
}

void peers_random_write(struct peers *w, unsigned at)
{
    static const char *const texts[] = {"text", "7", "-3", "2.5", "a longer text that is no number",
                                        ""};
    struct peers_region *r = &w->at[at];
    unsigned key = (unsigned)rng_below(&w->rng, PEERS_KEYS);
    struct op op = {.kind = any_kind[rng_below(&w->rng, sizeof any_kind)]};
    char member[16];
    uint8_t pair[3] = {(uint8_t)rng_below(&w->rng, 64), (uint8_t)rng_below(&w->rng, 256), 0};
    pair[2] = (uint8_t)(1 + rng_below(&w->rng, 50));
    uint64_t members = rng_below(&w->rng, 8) == 0 ? 300 : 3;
    op.elem = bytes_of(member, (size_t)snprintf(member, sizeof member, "m%u",
                                                (unsigned)rng_below(&w->rng, members)));
    op.val =
        op.kind == OP_PFADD ? bytes_of(pair, sizeof pair) : bytes_str(texts[rng_below(&w->rng, 6)]);
    op.num = (int64_t)rng_below(&w->rng, 100) - 40;
    op.real = ((long double)rng_below(&w->rng, 1000) - 400) / 8;
    if (op.kind == OP_SET && rng_below(&w->rng, 4) == 0)
        op.flags = OPF_KEEPTTL;
    if (op.kind == OP_EXPIRE) {
        op.num = rng_below(&w->rng, 4) == 0 ? DEADLINE_NEVER : 1000 + op.num;
        if (value_type(r->keys[key]) == TYPE_NONE)
            return;
    }
    if (op.kind == OP_LINS || op.kind == OP_LREM)
        random_list(w, at, key, &op);
    else if (op.kind == OP_XADD)
        peers_xadd(w, at, key);
    else if (op.kind >= OP_XSET && op.kind <= OP_XTRIM)
        random_stream(w, at, key, &op);
    else
        peers_write(w, at, key, op);
}
