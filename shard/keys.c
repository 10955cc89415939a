/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

#include "shard/deferred.h"
#include "shard/events.h"
#include "shard/stream_write.h"

/* ------------------------------------------------------------ finding */

static void locate(struct call *c, struct bytes name, struct key *out)
{
    struct shard *s = c->shard;
    uint32_t slot;
    if (c->hashed && name.p == c->argv[c->command->first_key].p) {
        slot = c->key_slot;
        out->hash = c->key_hash;
    } else {
        slot = hash_slot(name);
        out->hash = shard_hash(s, name);
    }
    out->name = name;
    out->partition = slot_partition(slot, s->partitions);
    assert(out->partition - s->first < s->count);
    struct part *p = shard_part(s, out->partition);
    deferred_touch(s, p, out->hash);
    out->cell = out->held = table_get(&p->keys, out->hash, name);
}

static void miss(struct call *c, const struct key *k)
{
    struct shard *s = c->shard;
    s->stats.misses++;
    key_event(c, EVENT_KEY_MISS, "keymiss", k->name);
    /* Past its deadline and not removed yet: who has the value cached hears of it now. */
    if (s->tracked && k->held != NULL)
        shard_tell_changed(s, k->name, 0);
}

/* What comes from a source finds there what it found at the source (shard_set_importing). */
static inline bool is_past(const struct call *c, const struct cell *key)
{
    bool follows = c->shard->importing && (c->command->flags & CMD_WRITE) != 0;
    return key_expired(key, c->now.wall_ms) && !follows;
}

bool call_is_past(const struct call *c, int64_t at_ms)
{
    return at_ms <= c->now.wall_ms && !c->shard->importing;
}

static inline void find(struct call *c, struct bytes name, struct key *out)
{
    locate(c, name, out);
    if (out->held != NULL && (value_type(out->held) == TYPE_NONE || is_past(c, out->held)))
        out->cell = NULL;
    if (out->cell != NULL)
        c->shard->stats.hits++;
    else
        miss(c, out);
}

void key_read(struct call *c, struct bytes name, struct key *out)
{
    find(c, name, out);
    if (out->cell != NULL)
        evict_touch(c->shard, out->cell);
}

void key_peek(struct call *c, struct bytes name, struct key *out) { find(c, name, out); }

uint32_t call_access(const struct key *k) { return access_get(k->cell); }

void call_set_access(const struct key *k, uint32_t access) { access_set(k->cell, access); }

static void remove_expired(struct call *c, struct key *k)
{
    key_del(c, k);
    c->shard->stats.expired++;
    key_event(c, EVENT_EXPIRED, "expired", k->name);
}

void key_write(struct call *c, struct bytes name, struct key *out)
{
    locate(c, name, out);
    if (out->held == NULL)
        return;
    if (value_type(out->held) == TYPE_NONE)
        out->cell = NULL;
    else if (is_past(c, out->held))
        remove_expired(c, out);
}

bool key_is(struct call *c, const struct key *k, enum type type)
{
    if (k->cell == NULL || value_type(k->cell) == type)
        return true;
    reply_error(c->reply, WRONGTYPE);
    return false;
}

struct rng *call_rng(struct call *c) { return &c->shard->rng; }

uint64_t call_publish(struct call *c, struct bytes channel, struct bytes text, bool sharded)
{
    const struct shard *s = c->shard;
    if (s->publish == NULL)
        return 0;
    struct mem_account *mine = mem_account_enter(NULL);
    uint64_t heard = s->publish(s->arg, channel, text, sharded);
    mem_account_leave(mine);
    return heard;
}

uint64_t call_lacking(const struct call *c, uint32_t partition, stamp_t stamp)
{
    const struct shard *s = c->shard;
    if (s->lacking == NULL)
        return 0;
    struct mem_account *mine = mem_account_enter(NULL);
    uint64_t regions = s->lacking(s->arg, partition, stamp);
    mem_account_leave(mine);
    return regions;
}

bool call_is_shared(const struct call *c) { return c->shard->geo; }

const struct shard_looks *call_looks(const struct call *c) { return &c->shard->looks; }

bool call_owns_all(const struct call *c) { return c->shard->shown == c->shard->partitions; }

uint32_t call_region(const struct call *c) { return c->shard->region; }

uint32_t call_actor(const struct call *c) { return c->shard->clock.actor; }

/* What comes from a source has IDs already; nobody else gives any meanwhile. */
enum xadd_ids call_xadd_ids(const struct call *c)
{
    if (c->shard->importing)
        return XADD_IDS_SEMI_STRICT;
    if (c->shard->xadd_ids != XADD_IDS_DEFAULT)
        return c->shard->xadd_ids;
    return c->shard->geo ? XADD_IDS_STRICT : XADD_IDS_LIBERAL;
}

size_t call_stream_node(const struct call *c)
{
    int64_t n = c->shard->looks.stream_entries;
    return n > 0 ? (size_t)n : 100;
}

#define ROOM_KEEP (64u << 10)

struct buf *call_room(struct call *c)
{
    buf_reuse(&c->shard->room, ROOM_KEEP);
    return &c->shard->room;
}

void key_event_send(struct call *c, enum event_class class, const char *name, struct bytes key)
{
    struct mem_account *mine = mem_account_enter(NULL);
    c->shard->event(c->shard->arg, class, name, key);
    mem_account_leave(mine);
}

void key_event_left(struct call *c, enum event_class class, const char *name, const struct key *k)
{
    key_event(c, class, name, k->name);
    if (value_type(k->cell) == TYPE_NONE)
        key_event(c, EVENT_GENERIC, "del", k->name);
}

/* ------------------------------------------------------------ changing */

void key_op(struct call *c, struct key *k, struct op *op)
{
    struct shard *s = c->shard;
    op->key = k->name;
    struct applied applied;
    k->held =
        local_op(s, shard_part(s, k->partition), k->hash, k->held, op, c->now.wall_ms, &applied);
    k->elem_new = applied.elem_new;
    k->cell = k->held;
}

void key_set(struct call *c, struct key *k, struct bytes val, bool keep_ttl)
{
    key_op(c, k, &(struct op){.kind = OP_SET, .flags = keep_ttl ? OPF_KEEPTTL : 0, .val = val});
}

void key_del(struct call *c, struct key *k) { key_op(c, k, &(struct op){.kind = OP_DEL}); }

void key_expire(struct call *c, struct key *k, int64_t at_ms)
{
    key_op(c, k, &(struct op){.kind = OP_EXPIRE, .num = at_ms});
}

/* Every field by name: compilers clear a struct of this size as a string of bytes otherwise, which
 * shows in profiles. */
static void elem_op(struct call *c, struct key *k, enum op_kind kind, struct bytes elem,
                    struct bytes val, long double real)
{
    struct op op;
    op.stamp = 0;
    op.kind = (uint8_t)kind;
    op.flags = 0;
    op.key = k->name;
    op.elem = elem;
    op.val = val;
    op.num = 0;
    op.real = real;
    key_op(c, k, &op);
}

void key_elem(struct call *c, struct key *k, enum op_kind kind, struct bytes elem, struct bytes val)
{
    elem_op(c, k, kind, elem, val, 0);
}

void key_elem_real(struct call *c, struct key *k, enum op_kind kind, struct bytes elem,
                   long double real)
{
    elem_op(c, k, kind, elem, bytes_of(NULL, 0), real);
}

bool key_position(struct call *c, const struct key *k, struct bytes left, struct bytes right,
                  struct buf *out)
{
    struct clock next = c->shard->clock; /* the operation will get this stamp */
    (void)k;
    return position_between(out, left, right, clock_tick(&next, c->now.wall_ms), c->shard->runs);
}

/* ------------------------------------------------------------ copying */

static void copy_list(struct call *c, const struct key *from, struct key *to)
{
    struct order_iter it;
    const struct cell *elem;
    struct shown shown;
    struct buf last = {0}, fresh = {0};
    order_iter(&it, from->cell, TYPE_LIST, 0);
    while ((elem = order_next(&it)) != NULL) {
        cell_show(elem, &shown);
        buf_clear(&fresh);
        key_position(c, to, buf_bytes(&last), bytes_of(NULL, 0),
                     &fresh); /* at the end: never deep */
        key_elem(c, to, OP_LINS, buf_bytes(&fresh), shown.text);
        struct buf swap = last;
        last = fresh;
        fresh = swap;
    }
    buf_deinit(&last);
    buf_deinit(&fresh);
}

static void copy_coll(struct call *c, const struct key *from, struct key *to, enum type type)
{
    struct coll_iter it;
    const struct cell *elem;
    struct shown shown;
    coll_iter(&it, from->cell, type);
    while ((elem = coll_next(&it)) != NULL) {
        struct bytes name = cell_name(elem);
        if (type == TYPE_SET) {
            key_elem(c, to, OP_SADD, name, bytes_of(NULL, 0));
        } else if (type == TYPE_ZSET) {
            key_elem_real(c, to, OP_ZADD, name, (long double)cell_score(elem));
        } else {
            cell_show(elem, &shown);
            key_elem(c, to, OP_HSET, name, shown.text);
        }
    }
}

static void copy_hll(struct call *c, const struct key *from, struct key *to)
{
    uint8_t ranks[HLL_REGISTERS];
    struct buf pairs = {0};
    if (!hll_show(from->cell, ranks))
        return;
    for (unsigned i = 0; i < HLL_REGISTERS; i++) {
        if (ranks[i] == 0)
            continue;
        buf_put_u8(&pairs, (uint8_t)(i >> 8));
        buf_put_u8(&pairs, (uint8_t)i);
        buf_put_u8(&pairs, ranks[i]);
    }
    key_op(c, to, &(struct op){.kind = OP_PFADD, .val = buf_bytes(&pairs)});
    buf_deinit(&pairs);
}

void key_copy(struct call *c, const struct key *from, struct key *to)
{
    struct shown shown;
    int64_t deadline = value_deadline(from->cell);
    enum type type = value_type(from->cell);
    if (to->cell != NULL && type != TYPE_STRING) /* an assignment removes what was there itself */
        key_del(c, to);
    else if (to->cell != NULL)
        key_event(c, EVENT_NEW, "new", to->name);
    switch (type) {
    case TYPE_STRING:
        if (string_show(from->cell, &shown))
            key_set(c, to, shown.text, false);
        break;
    case TYPE_HASH:
    case TYPE_SET:
    case TYPE_ZSET:
        copy_coll(c, from, to, type);
        break;
    case TYPE_LIST:
        copy_list(c, from, to);
        break;
    case TYPE_HLL:
        copy_hll(c, from, to);
        break;
    case TYPE_STREAM:
        stream_copy(c, from, to);
        break;
    case TYPE_NONE:
    case TYPE_COUNT:
        break;
    }
    if (deadline != DEADLINE_NEVER && to->cell != NULL)
        key_expire(c, to, deadline);
}

void key_move(struct call *c, struct key *from, struct key *to)
{
    struct shard *s = c->shard;
    if (!s->logged && to->cell != NULL)
        key_del(c, to);
    if (s->logged || to->held != NULL) {
        key_copy(c, from, to);
        key_del(c, from);
        return;
    }
    to->cell = to->held =
        local_move(s, (struct key_at){shard_part(s, from->partition), from->hash, from->name},
                   from->held, (struct key_at){shard_part(s, to->partition), to->hash, to->name});
    from->cell = from->held = NULL;
}

/* ------------------------------------------------------------ arguments */

bool arg_i64(struct call *c, struct bytes arg, int64_t *out)
{
    if (num_parse_i64(arg, out))
        return true;
    reply_error(c->reply, ERR_NOT_INT);
    return false;
}

bool arg_double(struct call *c, struct bytes arg, double *out)
{
    if (num_parse_double(arg, out))
        return true;
    reply_error(c->reply, ERR_NOT_FLOAT);
    return false;
}

/* What Redis takes, which is what strtoul takes whole: a sign may stand before, nothing at all is
 * 0. A cursor that no scan has returned only starts somewhere. */
bool cursor_arg(struct call *c, struct bytes arg, uint64_t *cursor)
{
    bool is_signed = arg.n > 1 && (arg.p[0] == '-' || arg.p[0] == '+');
    uint64_t v = 0;
    for (size_t i = is_signed; i < arg.n; i++) {
        uint8_t digit = (uint8_t)(arg.p[i] - '0');
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            reply_error(c->reply, "ERR invalid cursor");
            return false;
        }
        v = v * 10 + digit;
    }
    *cursor = is_signed && arg.p[0] == '-' ? 0 - v : v;
    return true;
}

void cursor_reply(struct call *c, uint64_t cursor) { reply_bulk_i64(c->reply, (int64_t)cursor); }
