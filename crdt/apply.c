/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/apply.h"

#include <assert.h>

#include "base/mem.h"
#include "crdt/conflict.h"
#include "crdt/elem.h"
#include "crdt/hll.h"
#include "crdt/patch.h"

/*
 * Two ways lead through every operation: the short ones, for a key of one type (or none) where
 * little is concurrent, change the cell in place or write one new cell; the long one opens the key
 * into all its parts (multi.h) and can do everything. What is short is decided by what the key
 * holds, never by who calls.
 */

static bool is_simple(const struct cell *key)
{
    return key == NULL || cell_form(key) != CELL_MULTI;
}

static bool deadline_seen(const struct cell *key, const struct seen *seen)
{
    if (key == NULL || !cell_has_deadline(key) || seen->deps == NULL)
        return true;
    struct view v = cell_view(key);
    return seen_covers(seen, deadline_load(v.deadline).dot);
}

/* All that a simple key holds, its deadline apart, is seen. */
static bool contents_seen(const struct cell *key, const struct seen *seen)
{
    if (key == NULL || seen->deps == NULL)
        return true;
    if (cell_form(key) != CELL_COLL)
        return cell_seen(key, 0, seen);
    struct view v = cell_view(key);
    return coll_seen(view_pointer(&v), seen);
}

static struct hash128 contents_digest(const struct cell *key, const struct surroundings *s,
                                      struct bytes name)
{
    if (key == NULL || s->digest_off)
        return (struct hash128){0};
    enum type t = (enum type)cell_low(key);
    return type_is_register(t) ? digest_register(name, t, key)
                               : digest_coll(name, key_coll(key, t));
}

static struct hash128 shown_deadline(const struct cell *key, const struct surroundings *s,
                                     struct bytes name)
{
    if (key == NULL || s->digest_off || !cell_has_deadline(key))
        return (struct hash128){0};
    return digest_deadline(name, value_deadline(key));
}

static void drop_contents(struct cell *key, const struct surroundings *s)
{
    if (key != NULL && cell_form(key) == CELL_COLL) {
        struct view v = cell_view(key);
        coll_discard(view_pointer(&v), s);
    }
}

static enum type op_type(uint8_t kind)
{
    switch (kind) {
    case OP_SADD:
    case OP_SREM:
        return TYPE_SET;
    case OP_HSET:
    case OP_HINCR:
    case OP_HINCRF:
    case OP_HDEL:
        return TYPE_HASH;
    case OP_ZADD:
    case OP_ZINCR:
    case OP_ZREM:
        return TYPE_ZSET;
    case OP_LINS:
    case OP_LREM:
        return TYPE_LIST;
    case OP_PFADD:
        return TYPE_HLL;
    case OP_XADD:
    case OP_XSET:
    case OP_XREM:
    case OP_XCUT:
    case OP_XTRIM:
        return TYPE_STREAM;
    default:
        return TYPE_STRING;
    }
}

/* ------------------------------------------------------------ the long way */

/* What of a register the operation changes: removal of what is seen, and then what the operation
 * adds. */
static void change_register(struct multi *m, enum type type, const struct cell *key,
                            const struct change *ch, bool remove)
{
    const struct op *op = ch->op;
    struct cell *old = m->part[type].reg;
    struct reg r;
    struct segment amount;
    if (remove && old == NULL)
        return;
    struct hash128 minus = {0}, plus = {0};
    reg_open(&r, (uint8_t)type, old, 0);
    if (remove || op->kind == OP_SET)
        keep_seen(ch, &r);
    ch->out->changed = true;
    if (remove) {
        if (!reg_remove(&r, ch->seen)) {
            reg_close(&r);
            return;
        }
    } else if (op->kind == OP_SET) {
        reg_assign(&r, op->stamp, ch->seen, op->val);
        conflict_register(ch, &r, bytes_of(NULL, 0), op->stamp);
    } else {
        op_amount(op, &amount);
        reg_add(&r, op->stamp, &amount, op->flags);
    }
    change_queue(ch, &r, bytes_of(NULL, 0));
    struct cell *now = register_cell(&r);
    reg_close(&r);
    if (!ch->s->digest_off)
        minus = digest_register(ch->key, type, old);
    multi_set_register(m, type, now, key);
    if (!ch->s->digest_off)
        plus = digest_register(ch->key, type, now);
    change_digest(ch->s, minus, plus);
}

static void remove_types(struct multi *m, const struct cell *key, const struct change *ch)
{
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        if (type_is_register(t))
            change_register(m, t, key, ch, true);
        else
            m->part[t].coll = elem_remove_seen(m->part[t].coll, ch);
    }
}

static void change_deadline(struct multi *m, const struct change *ch)
{
    const struct op *op = ch->op;
    deadlines_assign(m, op->stamp, ch->seen, op->num);
    ch->out->changed = true;
    conflict_deadline(ch, m, op->stamp);
}

static void change_parts(struct multi *m, const struct cell *key, const struct change *ch)
{
    const struct op *op = ch->op;
    enum type type = op_type(op->kind);
    switch (op->kind) {
    case OP_SET:
        remove_types(m, key, ch);
        if (!(op->flags & OPF_KEEPTTL))
            deadlines_remove(m, ch->seen);
        change_register(m, type, key, ch, false);
        break;
    case OP_DEL:
        remove_types(m, key, ch);
        deadlines_remove(m, ch->seen);
        break;
    case OP_INCR:
    case OP_INCRF:
    case OP_PFADD:
        change_register(m, type, key, ch, false);
        break;
    case OP_EXPIRE:
        change_deadline(m, ch);
        break;
    default:
        m->part[type].coll = elem_apply(m->part[type].coll, type, ch);
    }
    if (op->flags & OPF_FRESH)
        deadlines_remove(m, ch->seen);
}

static struct cell *apply_long(struct cell *key, const struct change *ch)
{
    struct multi m;
    struct hash128 minus, plus;
    multi_open(&m, key);
    unsigned types = multi_types(&m);
    minus = multi_deadline_term(&m, ch);
    change_parts(&m, key, ch);
    unsigned now = multi_types(&m);
    if (now > 1 && now > types)
        conflict_type(ch, &m, op_type(ch->op->kind), ch->op->stamp);
    /* A local operation that empties the key is FRESH: it is just being found out (key_op flags it
     * for the others). */
    if (now == 0 && ch->seen->deps == NULL && ch->op->kind != OP_EXPIRE)
        m.ndeadlines = 0;
    plus = multi_deadline_term(&m, ch);
    change_digest(ch->s, minus, plus);
    ch->out->is_empty = now == 0;
    return multi_close(&m, key, ch->key, ch->vv, ch->s);
}

/* ------------------------------------------------------------ short ways */

/* A string's cell is written anew: in its old block where that has the right size. */
static struct cell *rewrite(struct cell *key, const struct heading *h, const struct image *im)
{
    size_t need = cell_need(h, im);
    if (key != NULL && cell_form(key) == CELL_ONE &&
        (need == cell_size(key) || mem_class_size(need + ACCESS_BYTES) == mem_block_size(key))) {
        cell_put(&key->b0, h, im);
        return key;
    }
    struct cell *c = cell_new(h, im);
    mem_free(key);
    return c;
}

static struct cell *apply_set(struct cell *key, const struct change *ch)
{
    const struct op *op = ch->op;
    struct heading h = {.name = ch->key, .low = TYPE_STRING};
    struct image im;
    uint8_t deadline[DEADLINE_BYTES];
    struct hash128 minus = contents_digest(key, ch->s, ch->key);
    if (key != NULL && cell_has_deadline(key)) {
        if ((op->flags & OPF_KEEPTTL) && !(op->flags & OPF_FRESH))
            h.deadline = memcpy(deadline, cell_view(key).deadline, DEADLINE_BYTES);
        else
            minus = hash128_add(minus, shown_deadline(key, ch->s, ch->key));
    }
    drop_contents(key, ch->s);
    image_one(&im, CELL_ONE, op->stamp, op->val);
    key = rewrite(keep_cell(ch, key) ? NULL : key, &h, &im);
    change_digest(ch->s, minus, contents_digest(key, ch->s, ch->key));
    ch->out->changed = true;
    return key;
}

static struct cell *apply_del(struct cell *key, const struct change *ch)
{
    ch->out->is_empty = true;
    if (key == NULL)
        return NULL;
    struct hash128 minus = contents_digest(key, ch->s, ch->key);
    minus = hash128_add(minus, shown_deadline(key, ch->s, ch->key));
    change_digest(ch->s, minus, (struct hash128){0});
    drop_contents(key, ch->s);
    if (!keep_cell(ch, key))
        mem_free(key);
    ch->out->changed = true;
    return NULL;
}

/* An increment or HyperLogLog contribution to a key that is absent or of that type. */
static struct cell *apply_amount(struct cell *key, enum type type, const struct change *ch)
{
    const struct op *op = ch->op;
    struct hash128 minus = contents_digest(key, ch->s, ch->key);
    ch->out->changed = true;
    if (key != NULL && op->kind == OP_INCR && (op->flags & OPF_EXTEND) &&
        cell_extend(key, op->stamp, op->num, 0)) {
        change_digest(ch->s, minus, contents_digest(key, ch->s, ch->key));
        return key;
    }
    struct reg r;
    struct segment amount;
    struct image im;
    struct heading h = {.name = ch->key, .low = (uint8_t)type};
    if (key != NULL)
        h.deadline = cell_view(key).deadline;
    reg_open(&r, (uint8_t)type, key, 0);
    op_amount(op, &amount);
    reg_add(&r, op->stamp, &amount, op->flags);
    change_queue(ch, &r, bytes_of(NULL, 0));
    image_of_reg(&im, &r);
    key = cell_renew(key, &h, &im);
    reg_close(&r);
    change_digest(ch->s, minus, contents_digest(key, ch->s, ch->key));
    return key;
}

static void set_pointer(struct cell *key, void *pointer)
{
    struct view v = cell_view(key);
    memcpy(&key->b0 + (v.payload.p - &key->b0), &pointer, sizeof pointer);
}

/* The last element of a collection went. */
static struct cell *emptied(struct cell *key, const struct change *ch)
{
    ch->out->is_empty = true;
    change_digest(ch->s, shown_deadline(key, ch->s, ch->key), (struct hash128){0});
    if (!cell_has_deadline(key) || ch->seen->deps == NULL) {
        mem_free(key);
        return NULL;
    }
    struct multi m = {0};
    deadlines_insert(&m, deadline_load(cell_view(key).deadline));
    return multi_close(&m, key, ch->key, ch->vv, ch->s);
}

static struct cell *apply_element(struct cell *key, enum type type, const struct change *ch)
{
    struct coll *was = NULL;
    if (key != NULL) {
        struct view v = cell_view(key);
        was = view_pointer(&v);
    }
    struct coll *c = elem_apply(was, type, ch);
    ch->out->is_empty = c == NULL;
    if (key != NULL && c == NULL)
        return emptied(key, ch);
    if (c == was)
        return key;
    if (key != NULL) {
        set_pointer(key, c);
        return key;
    }
    struct image im = {.form = CELL_COLL, .pointer = c};
    return cell_new(&(struct heading){.name = ch->key, .low = (uint8_t)type}, &im);
}

static struct cell *apply_expire(struct cell *key, const struct change *ch)
{
    uint8_t deadline[DEADLINE_BYTES];
    deadline_store(deadline, (struct deadline){.dot = ch->op->stamp, .ms = ch->op->num});
    struct hash128 minus = shown_deadline(key, ch->s, ch->key);
    key = key_with_deadline(key, deadline);
    change_digest(ch->s, minus, shown_deadline(key, ch->s, ch->key));
    ch->out->changed = true;
    return key;
}

/* The key is absent, or holds `type` alone and nothing that FRESH would remove. */
static bool fits(const struct cell *key, enum type type, const struct op *op)
{
    if (key == NULL)
        return true;
    return cell_low(key) == type && !((op->flags & OPF_FRESH) && cell_has_deadline(key));
}

static struct cell *apply(struct cell *key, const struct change *ch);

/* An assignment to a string of which not everything is seen, or to an absent key; the deadline
 * stays. */
static struct cell *assign_beside(struct cell *key, const struct change *ch)
{
    struct reg r;
    struct image im;
    struct heading h = {.name = ch->key, .low = TYPE_STRING};
    struct hash128 minus = contents_digest(key, ch->s, ch->key);
    if (key != NULL)
        h.deadline = cell_view(key).deadline;
    reg_open(&r, TYPE_STRING, key, 0);
    keep_seen(ch, &r);
    reg_assign(&r, ch->op->stamp, ch->seen, ch->op->val);
    if (r.nsib > 1 && ch->s->conflicts)
        ch->s->conflicts->register_lost++;
    change_queue(ch, &r, bytes_of(NULL, 0));
    image_of_reg(&im, &r);
    key = cell_renew(key, &h, &im);
    reg_close(&r);
    change_digest(ch->s, minus, contents_digest(key, ch->s, ch->key));
    ch->out->changed = true;
    return key;
}

/* As the assignment that it is, with a copy of the whole value, where it cannot be done in place.
 */
static struct cell *apply_patch(struct cell *key, const struct change *ch)
{
    const struct op *op = ch->op;
    if (patch_in_place(&key, ch))
        return key;
    struct buf whole = {0};
    patch_whole(key, ch, &whole);
    struct op set = {.stamp = op->stamp,
                     .kind = OP_SET,
                     .flags = op->flags | OPF_KEEPTTL,
                     .key = op->key,
                     .val = buf_bytes(&whole)};
    struct change as_set = *ch;
    as_set.op = &set;
    as_set.patched = patch_get(op->elem).base;
    if (is_simple(key) && (key == NULL || cell_low(key) == TYPE_STRING))
        key = assign_beside(key, &as_set);
    else
        key = apply(key, &as_set);
    buf_deinit(&whole);
    return key;
}

static struct cell *apply(struct cell *key, const struct change *ch)
{
    const struct op *op = ch->op;
    enum type type = op_type(op->kind);
    if (op->kind == OP_PATCH)
        return apply_patch(key, ch);
    if (!is_simple(key))
        return apply_long(key, ch);
    switch (op->kind) {
    case OP_SET:
        if (contents_seen(key, ch->seen) && deadline_seen(key, ch->seen))
            return apply_set(key, ch);
        break;
    case OP_DEL:
        if (contents_seen(key, ch->seen) && deadline_seen(key, ch->seen))
            return apply_del(key, ch);
        break;
    case OP_EXPIRE:
        if (key != NULL && deadline_seen(key, ch->seen) && !(op->flags & OPF_FRESH))
            return apply_expire(key, ch);
        break;
    case OP_INCR:
    case OP_INCRF:
    case OP_PFADD:
        if (fits(key, type, op))
            return apply_amount(key, type, ch);
        break;
    default:
        if (fits(key, type, op))
            return apply_element(key, type, ch);
    }
    return apply_long(key, ch);
}

struct cell *value_apply(struct cell *key, const struct op *op, const struct seen *seen,
                         const struct context *vv_after, const struct surroundings *s,
                         struct applied *out)
{
    assert(op->kind != OP_FLUSH);
    *out = (struct applied){.was_empty = value_type(key) == TYPE_NONE};
    struct change ch = {.op = op, .seen = seen, .vv = vv_after, .s = s, .key = op->key, .out = out};
    return apply(key, &ch);
}

struct cell *value_remove(struct cell *key, const struct seen *seen, const struct context *vv_after,
                          const struct surroundings *s, struct applied *out)
{
    *out = (struct applied){.was_empty = value_type(key) == TYPE_NONE, .is_empty = true};
    if (key == NULL)
        return NULL;
    /* The removal's own stamp is the last that its writer is known by here. */
    struct op op = {.stamp = context_get(vv_after, stamp_actor(seen->prev)),
                    .kind = OP_DEL,
                    .key = cell_name(key)};
    struct change ch = {.op = &op, .seen = seen, .vv = vv_after, .s = s, .key = op.key, .out = out};
    return apply(key, &ch);
}

struct cell *value_drop_deadline(struct cell *key, const struct surroundings *s)
{
    if (key == NULL || (is_simple(key) && !cell_has_deadline(key)))
        return key;
    struct multi m;
    struct applied out;
    struct hash128 minus;
    struct change ch = {.s = s, .key = cell_name(key), .out = &out};
    multi_open(&m, key);
    minus = multi_deadline_term(&m, &ch);
    change_digest(s, minus, (struct hash128){0});
    m.ndeadlines = 0;
    return multi_close(&m, key, cell_name(key), NULL, s);
}

uint8_t value_increment_flags(const struct cell *key, enum type type, struct bytes elem,
                              uint32_t actor, stamp_t closed, int64_t *sum_i, long double *sum_r)
{
    const struct coll *c = key_coll(key, type);
    const struct cell *e =
        type_is_register(type) ? key_register(key, type) : coll_find(key, type, elem);
    if (e == NULL || (cell_form(e) != CELL_COUNT && cell_form(e) != CELL_WIDE))
        return 0;
    struct view v = cell_view(e);
    if (v.form == CELL_COUNT) { /* one segment: it is extended or stands */
        stamp_t to = load_u64(view_rest(e, &v).p);
        return stamp_actor(to) == actor && to > closed ? OPF_EXTEND : 0;
    }
    struct reg r;
    struct total sum = {0};
    uint32_t own = 0;
    stamp_t newest = 0;
    reg_open(&r, (uint8_t)type, e, c ? c->base : 0);
    for (uint32_t i = 0; i < r.nseg; i++) {
        if (stamp_actor(r.seg[i].to) != actor)
            continue;
        own++;
        newest = r.seg[i].to;
        if (type != TYPE_HLL)
            total_add(&sum, &r.seg[i], type == TYPE_ZSET);
    }
    reg_close(&r);
    if (own > 0 && newest > closed)
        return OPF_EXTEND;
    /* A sum that no operation could carry goes on as separate segments. */
    __int128 limit = INT64_MAX / 2;
    if (own < ABSORB_AT || (!sum.real && (sum.num > limit || sum.num < -limit)))
        return 0;
    *sum_i = sum.real ? 0 : (int64_t)sum.num;
    *sum_r = sum.real ? sum.x : (long double)sum.num;
    return OPF_ABSORB;
}

void value_own_ranks(const struct cell *key, uint32_t actor, struct bytes ranks, struct buf *out)
{
    struct reg r;
    struct buf joined = {0};
    buf_put_bytes(out, ranks);
    reg_open(&r, TYPE_HLL, key_register(key, TYPE_HLL), 0);
    for (uint32_t i = 0; i < r.nseg; i++) {
        if (stamp_actor(r.seg[i].to) != actor)
            continue;
        buf_clear(&joined);
        ranks_join(&joined, buf_bytes(out), r.seg[i].ranks);
        struct buf swap = *out;
        *out = joined;
        joined = swap;
    }
    reg_close(&r);
    buf_deinit(&joined);
}
