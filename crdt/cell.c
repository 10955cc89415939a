/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/form.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "short dots are stored little-endian");

struct bytes cell_name(const struct cell *c)
{
    struct view v = cell_view(c);
    return v.name;
}

size_t cell_size(const struct cell *c)
{
    struct view v = cell_view(c);
    return (size_t)(v.payload.p + v.payload.n - &c->b0);
}

/* ------------------------------------------------------------ writing */

/* How many bytes a dot takes relative to `base` (0: always 8). */
static size_t short_size(stamp_t dot, stamp_t base)
{
    if (base == 0 || dot < base)
        return 8;
    uint64_t d = dot - base;
    size_t n = d == 0 ? 0 : (size_t)(71 - __builtin_clzll(d)) / 8;
    return n;
}

static bool has_dot(uint8_t form) { return form <= CELL_COUNT; }

static size_t payload_size(const struct heading *h, const struct image *im)
{
    if (has_dot(im->form))
        return short_size(im->dot, h->base) + im->rest.n;
    return im->form == CELL_WIDE ? reg_wide_size(im->reg) : sizeof(void *);
}

size_t cell_need(const struct heading *h, const struct image *im)
{
    size_t n = payload_size(h, im);
    return 1 + varint_size(h->name.n) + varint_size(n) + (h->deadline ? DEADLINE_BYTES : 0) +
           h->name.n + n;
}

static void copy(uint8_t *to, const void *from, size_t n)
{
    if (n && to != from) /* the name of a cell that is rewritten in its place */
        memcpy(to, from, n);
}

uint8_t *cell_put(uint8_t *p, const struct heading *h, const struct image *im)
{
    size_t n = payload_size(h, im);
    size_t dot = has_dot(im->form) ? n - im->rest.n : 8;
    uint8_t low = dot < 8 ? (uint8_t)(CELL_SHORT_BIT | dot) : h->low;
    *p++ = (uint8_t)((unsigned)im->form << 5 | (h->deadline ? CELL_DEADLINE_BIT : 0u) | low);
    p = varint_write(p, h->name.n);
    p = varint_write(p, n);
    if (h->deadline) {
        copy(p, h->deadline, DEADLINE_BYTES);
        p += DEADLINE_BYTES;
    }
    copy(p, h->name.p, h->name.n);
    p += h->name.n;
    if (has_dot(im->form)) {
        uint64_t d = dot < 8 ? im->dot - h->base : im->dot;
        memcpy(p, &d, dot);
        copy(p + dot, im->rest.p, im->rest.n);
    } else if (im->form == CELL_WIDE) {
        reg_wide_write(im->reg, p);
    } else {
        memcpy(p, &im->pointer, sizeof im->pointer);
    }
    return p + n;
}

struct cell *cell_new(const struct heading *h, const struct image *im)
{
    assert(h->base == 0);
    uint8_t *p = mem_alloc(cell_need(h, im) + cell_slack(h, im));
    cell_put(p, h, im);
    return (struct cell *)p;
}

struct cell *cell_new_long(const struct heading *h, stamp_t dot, size_t n, uint8_t **text)
{
    struct image im = {.form = CELL_ONE, .dot = dot, .rest = {NULL, n}};
    assert(h->base == 0);
    uint8_t *start = mem_alloc(cell_need(h, &im) + cell_slack(h, &im)), *p = start;
    *p++ = (uint8_t)((unsigned)CELL_ONE << 5 | (h->deadline ? CELL_DEADLINE_BIT : 0u) | h->low);
    p = varint_write(p, h->name.n);
    p = varint_write(p, sizeof dot + n);
    if (h->deadline) {
        memcpy(p, h->deadline, DEADLINE_BYTES);
        p += DEADLINE_BYTES;
    }
    copy(p, h->name.p, h->name.n);
    memcpy(p + h->name.n, &dot, sizeof dot);
    *text = p + h->name.n + sizeof dot;
    return (struct cell *)start;
}

struct cell *cell_renew(struct cell *c, const struct heading *h, const struct image *im)
{
    if (c != NULL && !im->borrows) {
        struct view v = cell_view(c);
        size_t need = cell_need(h, im), n = payload_size(h, im);
        size_t slack = cell_slack(h, im), held = cell_size(c);
        bool stays = varint_size(n) == varint_size(v.payload.n); /* and so does the name */
        if (stays &&
            (need == held || mem_class_size(need + slack) == mem_class_size(held + slack))) {
            cell_put(&c->b0, h, im);
            return c;
        }
    }
    struct cell *fresh = cell_new(h, im);
    mem_free(c);
    return fresh;
}

struct cell *cell_copy(const struct heading *h, const struct cell *c)
{
    struct view v = cell_view(c);
    struct image im = {.form = v.form, .rest = v.payload};
    assert(h->base == 0 && !(v.low & CELL_SHORT_BIT));
    /* The payload is copied whole: as the rest behind a dot that is its first eight bytes. */
    size_t head =
        1 + varint_size(h->name.n) + varint_size(v.payload.n) + (h->deadline ? DEADLINE_BYTES : 0);
    uint8_t *start = mem_alloc(head + h->name.n + v.payload.n + cell_slack(h, &im)), *p = start;
    *p++ = (uint8_t)((unsigned)im.form << 5 | (h->deadline ? CELL_DEADLINE_BIT : 0u) | h->low);
    p = varint_write(p, h->name.n);
    p = varint_write(p, v.payload.n);
    if (h->deadline) {
        memcpy(p, h->deadline, DEADLINE_BYTES);
        p += DEADLINE_BYTES;
    }
    copy(p, h->name.p, h->name.n);
    copy(p + h->name.n, v.payload.p, v.payload.n);
    return (struct cell *)start;
}

struct cell *cell_rename(struct cell *c, struct bytes name)
{
    struct view v = cell_view(c);
    uint8_t deadline[DEADLINE_BYTES], *p = &c->b0;
    bool has_deadline = v.deadline != NULL;
    size_t n = v.payload.n, from = (size_t)(v.payload.p - p);
    size_t to =
        1 + varint_size(name.n) + varint_size(n) + (has_deadline ? DEADLINE_BYTES : 0) + name.n;
    assert(!(v.low & CELL_SHORT_BIT));
    if (has_deadline)
        memcpy(deadline, v.deadline, sizeof deadline);
    if (to > from)
        p = mem_realloc(p, to + n + ACCESS_BYTES);
    if (to != from)
        memmove(p + to, p + from, n);
    if (to < from)
        p = mem_realloc(p, to + n + ACCESS_BYTES);
    uint8_t *at = varint_write(varint_write(p + 1, name.n), n);
    if (has_deadline) {
        memcpy(at, deadline, sizeof deadline);
        at += sizeof deadline;
    }
    copy(at, name.p, name.n);
    return (struct cell *)p;
}

static bool fits_count(const struct reg *r)
{
    return r->nsib == 0 && r->nseg == 1 && r->seg[0].kind == AMOUNT_INT64 && r->type != TYPE_ZSET;
}

void image_of_reg(struct image *im, const struct reg *r)
{
    assert(!reg_empty(r));
    im->borrows = r->nsib > 0 || r->type == TYPE_HLL; /* numbers are no longer in the cell */
    im->reg = NULL;
    if (r->nsib == 1 && r->nseg == 0) {
        im->form = r->type == TYPE_SET ? CELL_DOT : r->type == TYPE_ZSET ? CELL_SCORE : CELL_ONE;
        im->dot = r->sib[0].dot;
        im->rest = r->sib[0].val;
    } else if (fits_count(r)) {
        im->form = CELL_COUNT;
        im->dot = r->seg[0].from;
        store_u64(im->room, r->seg[0].to);
        store_u64(im->room + 8, (uint64_t)(int64_t)r->seg[0].num);
        im->rest = bytes_of(im->room, 16);
    } else {
        im->form = CELL_WIDE;
        im->reg = r;
    }
}

/* `p` stands at a segment's `to`, behind which is its int64. */
static bool extend_at(uint8_t *p, stamp_t stamp, int64_t amount)
{
    int64_t sum;
    if (__builtin_add_overflow((int64_t)load_u64(p + 8), amount, &sum))
        return false;
    store_u64(p, stamp);
    store_u64(p + 8, (uint64_t)sum);
    return true;
}

bool cell_extend(struct cell *c, stamp_t stamp, int64_t amount, stamp_t base)
{
    struct view v = cell_view(c);
    uint8_t *p = &c->b0 + (v.payload.p - &c->b0);
    uint32_t actor = stamp_actor(stamp);
    if (v.form == CELL_COUNT)
        return stamp_actor(view_dot(c, &v, base)) == actor &&
               extend_at(p + cell_dot_size(c), stamp, amount);
    return v.form == CELL_WIDE && reg_wide_extend(p, stamp, amount);
}

void image_raise(struct context *ctx, const struct image *im)
{
    if (im->form != CELL_WIDE) {
        context_raise(ctx, im->form == CELL_COUNT ? load_u64(im->rest.p) : im->dot);
        return;
    }
    for (uint32_t i = 0; i < im->reg->nsib; i++)
        context_raise(ctx, im->reg->sib[i].dot);
    for (uint32_t i = 0; i < im->reg->nseg; i++)
        context_raise(ctx, im->reg->seg[i].to);
}

/* ------------------------------------------------------------ reading */

struct sum {
    enum number_kind kind; /* NONE: the text counts */
    struct bytes text;
    int64_t i;
    long double r;
};

static long double not_nan(long double x) { return isnan(x) ? 0 : x; }

/* The visible sibling plus the increments, when it is a number. `need`: parse the text although
 * there is nothing to add. */
static void sum_text(struct bytes text, const struct total *t, bool need, struct sum *out)
{
    *out = (struct sum){.text = text};
    if (t == NULL && !need)
        return;
    int64_t i = 0;
    long double r = 0;
    if (num_parse_i64(text, &i)) {
        if (t == NULL || !t->real) {
            out->kind = NUMBER_INT;
            out->i = clamp_i64((__int128)i + (t ? t->num : 0));
            return;
        }
        r = (long double)i;
    } else if (!num_parse_ld(text, &r) || isinf(r)) {
        return;
    }
    out->kind = NUMBER_REAL;
    out->r = t == NULL ? r : not_nan(r + (t->real ? t->x : (long double)t->num));
}

static void sum_reg(const struct reg *r, bool need, struct sum *out)
{
    struct total t;
    if (r->nseg)
        reg_total(r, &t);
    if (r->nsib) {
        sum_text(reg_top(r)->val, r->nseg ? &t : NULL, need, out);
    } else if (r->nseg && t.real) {
        *out = (struct sum){.kind = NUMBER_REAL, .r = not_nan(t.x)};
    } else {
        *out = (struct sum){.kind = NUMBER_INT, .i = r->nseg ? clamp_i64(t.num) : 0};
    }
}

static void sum_cell(const struct cell *c, bool need, struct sum *out)
{
    struct view v = cell_view(c);
    if (v.form == CELL_ONE) {
        sum_text(view_rest(c, &v), NULL, need, out);
    } else if (v.form == CELL_COUNT) {
        *out = (struct sum){.kind = NUMBER_INT, .i = (int64_t)load_u64(view_rest(c, &v).p + 8)};
    } else if (v.form == CELL_WIDE && reg_wide_count(v.payload.p, &out->i)) {
        out->kind = NUMBER_INT;
    } else if (v.form == CELL_WIDE) {
        struct reg r;
        reg_open(&r, TYPE_NONE, c, 0);
        sum_reg(&r, need, out);
        reg_close(&r);
    } else {
        *out = (struct sum){.text = {NULL, 0}};
    }
}

static bool is_score(const struct view *v)
{
    return v->form == CELL_SCORE ||
           (v->form == CELL_WIDE && reg_wide_type(v->payload.p) == TYPE_ZSET);
}

static void sum_show(const struct sum *s, struct shown *out)
{
    size_t n = 0;
    if (s->kind == NUMBER_INT)
        n = num_format_i64(out->room, s->i);
    else if (s->kind == NUMBER_REAL)
        n = num_format_ld(out->room, s->r);
    out->text = s->kind == NUMBER_NONE ? s->text : bytes_of(out->room, n);
}

void reg_show(const struct reg *r, struct shown *out)
{
    struct sum s;
    if (r->type == TYPE_ZSET) {
        out->text = bytes_of(out->room, num_format_double(out->room, reg_score(r)));
        return;
    }
    sum_reg(r, false, &s);
    sum_show(&s, out);
}

void cell_show(const struct cell *c, struct shown *out)
{
    struct view v = cell_view(c);
    if (v.form == CELL_ONE) {
        out->text = view_rest(c, &v);
        return;
    }
    if (is_score(&v)) {
        out->text = bytes_of(out->room, num_format_double(out->room, cell_score(c)));
        return;
    }
    struct sum s;
    sum_cell(c, false, &s);
    sum_show(&s, out);
}

size_t cell_show_len(const struct cell *c)
{
    struct shown s;
    cell_show(c, &s);
    return s.text.n;
}

double reg_score(const struct reg *r)
{
    struct total t = {0};
    if (r->nseg)
        reg_total(r, &t);
    double score = (double)(t.real ? t.x : (long double)t.num);
    if (r->nsib) {
        double base = score_load(r->sib[r->nsib - 1].val);
        score = r->nseg ? base + score : base;
    }
    return isnan(score) ? 0 : score;
}

double cell_score(const struct cell *c)
{
    struct view v = cell_view(c);
    if (v.form == CELL_SCORE)
        return score_load(view_rest(c, &v));
    if (v.form != CELL_WIDE)
        return 0;
    struct reg r;
    reg_open(&r, TYPE_NONE, c, 0);
    double score = reg_score(&r);
    reg_close(&r);
    return score;
}

enum number_kind cell_number(const struct cell *c, int64_t *i, long double *r)
{
    struct sum s;
    struct view v = cell_view(c);
    if (is_score(&v)) {
        *r = cell_score(c);
        return NUMBER_REAL;
    }
    sum_cell(c, true, &s);
    if (s.kind == NUMBER_INT) {
        *i = s.i;
        *r = (long double)s.i;
    } else if (s.kind == NUMBER_REAL) {
        *r = s.r;
    }
    return s.kind;
}
