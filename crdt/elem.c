/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/elem.h"

#include "base/mem.h"
#include "crdt/conflict.h"

void change_digest(const struct surroundings *s, struct hash128 minus, struct hash128 plus)
{
    if (!s->digest_off)
        *s->digest = hash128_add(hash128_sub(*s->digest, minus), plus);
}

struct hash128 multi_deadline_term(const struct multi *m, const struct change *ch)
{
    const struct deadline *d = deadlines_shown(m);
    if (d == NULL || ch->s->digest_off || multi_type(m) == TYPE_NONE)
        return (struct hash128){0};
    return digest_deadline(ch->key, d->ms);
}

void coll_sum(struct coll *c, bool was_large, const struct change *ch, struct hash128 minus,
              struct hash128 plus)
{
    if (ch->s->digest_off || c == NULL || !c->is_large)
        return;
    struct large *l = coll_large(c);
    l->sum = was_large ? hash128_add(hash128_sub(l->sum, minus), plus) : digest_walk(ch->key, c);
}

void change_queue(const struct change *ch, struct reg *r, struct bytes elem)
{
    if (r->queued || reg_settled(r) || ch->s->unsettled == NULL)
        return;
    r->queued = true;
    enum type t = type_is_register(reg_type(r)) ? TYPE_STRING : reg_type(r);
    ch->s->unsettled(ch->s->arg, ch->key, t, elem, reg_newest(r));
}

void op_amount(const struct op *op, struct segment *out)
{
    *out = (struct segment){0};
    switch (op->kind) {
    case OP_INCR:
    case OP_HINCR:
        out->kind = AMOUNT_INT64;
        out->num = op->num;
        break;
    case OP_PFADD:
        out->kind = AMOUNT_RANKS;
        out->ranks = op->val;
        break;
    default:
        out->kind = AMOUNT_REAL;
        out->real = op->real;
    }
}

/* ------------------------------------------------------------ storing with the digest */

struct coll *elem_store(struct coll *c, enum type type, struct place *at, struct bytes name,
                        const struct image *im, const struct change *ch)
{
    bool was_large = c && c->is_large;
    struct hash128 minus = {0}, plus = {0};
    uint64_t seed = ch->s->digest_off ? 0 : digest_seed(ch->key, type);
    ch->out->changed = true;
    if (at->cell && !ch->s->digest_off)
        minus = digest_element(seed, type, at->cell);
    if (im == NULL) {
        change_digest(ch->s, minus, plus);
        c = coll_cut(c, at);
        coll_sum(c, was_large, ch, minus, plus);
        return c;
    }
    c = coll_put(c, type, at, name, im, ch->s->hash_key);
    if (!ch->s->digest_off)
        plus = digest_element(seed, type, at->cell);
    change_digest(ch->s, minus, plus);
    coll_sum(c, was_large, ch, minus, plus);
    return c;
}

/* ------------------------------------------------------------ one operation on one element */

enum deed { DEED_REMOVE, DEED_ASSIGN, DEED_ADD };

static enum deed op_deed(uint8_t kind)
{
    switch (kind) {
    case OP_SREM:
    case OP_HDEL:
    case OP_ZREM:
    case OP_LREM:
    case OP_XREM:
        return DEED_REMOVE;
    case OP_HINCR:
    case OP_HINCRF:
    case OP_ZINCR:
        return DEED_ADD;
    default:
        return DEED_ASSIGN;
    }
}

/* What an assignment stores. `room` holds a score. */
static struct bytes op_value(const struct op *op, uint8_t room[8])
{
    if (op->kind == OP_SADD)
        return bytes_of(NULL, 0);
    if (op->kind != OP_ZADD)
        return op->val;
    return score_pack((double)op->real, room);
}

bool cell_seen(const struct cell *e, stamp_t base, const struct seen *seen)
{
    if (e == NULL || seen->deps == NULL)
        return true;
    struct view v = cell_view(e);
    if (v.form < CELL_COUNT)
        return seen_covers(seen, view_dot(e, &v, base));
    if (v.form == CELL_COUNT)
        return seen_covers(seen, load_u64(view_rest(e, &v).p));
    struct reg r;
    reg_open(&r, TYPE_NONE, e, base);
    reg_remove(&r, seen);
    bool all = reg_empty(&r);
    reg_close(&r);
    return all;
}

bool coll_seen(const struct coll *c, const struct seen *seen)
{
    if (c == NULL || seen->deps == NULL)
        return true;
    if (c->is_large)
        return seen_covers_all(seen, &coll_large(c)->newest);
    const struct cell *end = coll_end(c);
    for (const struct cell *e = coll_begin(c); e < end; e = cell_after(e))
        if (!cell_seen(e, c->base, seen))
            return false;
    return true;
}

static uint8_t one_form(enum type type)
{
    return type == TYPE_SET ? CELL_DOT : type == TYPE_ZSET ? CELL_SCORE : CELL_ONE;
}

static struct coll *apply_open(struct coll *c, enum type type, struct place *at, enum deed deed,
                               const struct change *ch)
{
    const struct op *op = ch->op;
    struct reg r;
    struct image im;
    struct segment amount;
    uint8_t room[8];
    reg_open(&r, coll_reg_type(type, op->elem), at->cell, c ? c->base : 0);
    if (deed == DEED_REMOVE) {
        reg_remove(&r, ch->seen);
    } else if (deed == DEED_ASSIGN) {
        reg_assign(&r, op->stamp, ch->seen, op_value(op, room));
        if (type != TYPE_SET)
            conflict_register(ch, &r, op->elem, op->stamp);
    } else {
        op_amount(op, &amount);
        reg_add(&r, op->stamp, &amount, op->flags);
    }
    change_queue(ch, &r, op->elem);
    bool empty = reg_empty(&r);
    if (!empty)
        image_of_reg(&im, &r);
    if (!empty || at->cell)
        c = elem_store(c, type, at, op->elem, empty ? NULL : &im, ch);
    reg_close(&r);
    return c;
}

/* A counter's own newest segment grows where it stands. */
static bool extend(struct coll *c, enum type type, struct place *at, const struct change *ch)
{
    const struct op *op = ch->op;
    if (op->kind != OP_HINCR)
        return false;
    struct hash128 minus = {0}, plus = {0};
    uint64_t seed = ch->s->digest_off ? 0 : digest_seed(ch->key, type);
    if (!ch->s->digest_off)
        minus = digest_element(seed, type, at->cell);
    if (c->is_large)
        large_changes(coll_large(c), op->elem, at->cell);
    if (!cell_extend(at->cell, op->stamp, op->num, c->base))
        return false;
    if (c->is_large)
        context_raise(&coll_large(c)->newest, op->stamp);
    if (!ch->s->digest_off)
        plus = digest_element(seed, type, at->cell);
    change_digest(ch->s, minus, plus);
    coll_sum(c, c->is_large, ch, minus, plus);
    ch->out->changed = true;
    return true;
}

struct coll *elem_apply(struct coll *c, enum type type, const struct change *ch)
{
    const struct op *op = ch->op;
    enum deed deed = op_deed(op->kind);
    struct place at;
    struct image im;
    uint8_t room[8];
    if (op->kind == OP_XADD || op->kind == OP_XCUT || op->kind == OP_XTRIM)
        return stream_apply(c, ch);
    coll_seek(c, op->elem, &at);
    ch->out->elem_new = at.cell == NULL;
    if (deed == DEED_REMOVE && at.cell == NULL)
        return c;
    if (deed == DEED_ADD && at.cell && (op->flags & OPF_EXTEND) && extend(c, type, &at, ch))
        return c;
    if (deed == DEED_ADD || !cell_seen(at.cell, c ? c->base : 0, ch->seen))
        return apply_open(c, type, &at, deed, ch);
    if (deed == DEED_REMOVE)
        return elem_store(c, type, &at, op->elem, NULL, ch);
    image_one(&im, one_form(type), op->stamp, op_value(op, room));
    return elem_store(c, type, &at, op->elem, &im, ch);
}

/* ------------------------------------------------------------ removal of all that was seen */

struct removal {
    const struct change *ch;
    uint64_t seed;
    enum type type;
    struct hash128 minus, plus;
};

static enum fate remove_seen(const struct cell *e, stamp_t base, struct reg *r, void *arg)
{
    struct removal *rm = arg;
    reg_open(r, coll_reg_type(rm->type, cell_name(e)), e, base);
    if (!reg_remove(r, rm->ch->seen))
        return FATE_KEEP;
    if (!rm->ch->s->digest_off) {
        rm->minus = hash128_add(rm->minus, digest_element(rm->seed, rm->type, e));
        if (!reg_empty(r))
            rm->plus = hash128_add(rm->plus, digest_open(rm->seed, cell_name(e), r));
    }
    if (reg_empty(r))
        return FATE_DROP;
    return FATE_REPLACE;
}

static enum fate outlives(const struct cell *e, stamp_t base, struct reg *r, void *arg)
{
    struct removal *rm = arg;
    if (cell_seen(e, base, rm->ch->seen))
        return FATE_DROP;
    reg_open(r, coll_reg_type(rm->type, cell_name(e)), e, base);
    reg_remove(r, rm->ch->seen);
    return FATE_REPLACE;
}

#define REST_SHARE 8u /* at most one element of so many outlives the removal */

/* Of a large collection mostly nearly all goes: the rest is written anew, the old one freed later.
 */
static bool remove_most(struct coll *c, const struct change *ch, struct removal *rm,
                        struct coll **left)
{
    struct hash128 none = {0};
    if (!c->is_large || !coll_has_table(c->type) ||
        !coll_rest(c, ch->s->hash_key, coll_count(c) / REST_SHARE, outlives, rm, left))
        return false;
    coll_sum(*left, false, ch, none, none);
    if (!ch->s->digest_off)
        change_digest(ch->s, digest_coll(ch->key, c), digest_coll(ch->key, *left));
    coll_discard(c, ch->s);
    return true;
}

struct coll *elem_remove_seen(struct coll *c, const struct change *ch)
{
    if (c == NULL)
        return NULL;
    bool was_large = c->is_large;
    struct hash128 none = {0};
    ch->out->changed = true;
    if (coll_seen(c, ch->seen)) {
        if (!ch->s->digest_off)
            change_digest(ch->s, digest_coll(ch->key, c), none);
        coll_discard(c, ch->s);
        return NULL;
    }
    struct removal rm = {.ch = ch, .seed = digest_seed(ch->key, c->type), .type = c->type};
    struct coll *left;
    if (remove_most(c, ch, &rm, &left))
        return left;
    c = coll_pass(c, ch->s->hash_key, remove_seen, &rm);
    change_digest(ch->s, rm.minus, rm.plus);
    coll_sum(c, was_large, ch, rm.minus, rm.plus);
    return c;
}
