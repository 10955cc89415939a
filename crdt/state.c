/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/state.h"

#include <math.h>

#include "base/mem.h"
#include "crdt/digest.h"
#include "crdt/elem.h"
#include "crdt/hll.h"
#include "crdt/position.h"
#include "crdt/reading.h"

/*
 * A key's full state as MessagePack, for state transfer:
 *   key        [name, [dot, ms, ...], [type, body, ...]]     deadlines by dot; types ascending
 *   part       [name, [dot, ms, ...], [type, body, ...], k]  of a key that is too large for one
 *   body       register, or [name, register, ...]            by type
 *   register   [[dot, value, ...], [from, to, kind, amount, ...]]
 *   amount     kind 0: int; 1: bin(16) big endian; 2: bin(10), see real_put; 3: bin, see hll.h
 * A key comes as a whole or in parts, one with k 0 first, which has the deadlines, and any number
 * with k 1; no type's register and no element is in two of them. Where the first is lost (a damaged
 * file), the others are still good.
 * What only this region needs to know (since when a deadline is bare, what awaits compaction) does
 * not travel.
 */

/* ------------------------------------------------------------ writing */

static void put_int(struct buf *out, __int128 v)
{
    uint8_t p[16];
    for (int i = 0; i < 16; i++)
        p[i] = (uint8_t)((unsigned __int128)v >> (120 - 8 * i));
    mp_put_bin(out, bytes_of(p, sizeof p));
}

/* One sibling and no increments, which most are: written from where it stands. */
static void put_single(struct buf *out, const struct cell *c, const struct view *v, stamp_t base)
{
    mp_put_array(out, 2);
    mp_put_array(out, 2);
    mp_put_uint(out, view_dot(c, v, base));
    mp_put_bin(out, view_rest(c, v));
    mp_put_array(out, 0);
}

static void put_register(struct buf *out, const struct cell *c, enum type type, stamp_t base)
{
    struct reg r;
    struct view v = cell_view(c);
    if (v.form < CELL_COUNT) {
        put_single(out, c, &v, base);
        return;
    }
    reg_open(&r, (uint8_t)type, c, base);
    mp_put_array(out, 2);
    mp_put_array(out, 2 * r.nsib);
    for (uint32_t i = 0; i < r.nsib; i++) {
        mp_put_uint(out, r.sib[i].dot);
        mp_put_bin(out, r.sib[i].val);
    }
    mp_put_array(out, 4 * r.nseg);
    for (uint32_t i = 0; i < r.nseg; i++) {
        const struct segment *s = &r.seg[i];
        mp_put_uint(out, s->from);
        mp_put_uint(out, s->to);
        mp_put_uint(out, s->kind);
        if (s->kind == AMOUNT_INT64)
            mp_put_int(out, (int64_t)s->num);
        else if (s->kind == AMOUNT_INT)
            put_int(out, s->num);
        else if (s->kind == AMOUNT_REAL)
            real_put(out, s->real);
        else
            mp_put_bin(out, s->ranks);
    }
    reg_close(&r);
}

static void put_coll(struct buf *out, const struct coll *c)
{
    struct coll_iter it;
    const struct cell *e;
    mp_put_array(out, (uint32_t)(2 * coll_count(c)));
    coll_walk(&it, c);
    while ((e = coll_next(&it)) != NULL) {
        mp_put_bin(out, cell_name(e));
        put_register(out, e, c->type, c->is_large ? 0 : c->base);
    }
}

static void put_deadlines(struct buf *out, const struct cell *key)
{
    const struct multi *m = key_multi(key);
    if (m) {
        mp_put_array(out, 2 * m->ndeadlines);
        for (uint32_t i = 0; i < m->ndeadlines; i++) {
            mp_put_uint(out, m->deadlines[i].dot);
            mp_put_int(out, m->deadlines[i].ms);
        }
        return;
    }
    mp_put_array(out, cell_has_deadline(key) ? 2 : 0);
    if (cell_has_deadline(key)) {
        mp_put_uint(out, value_deadline_dot(key));
        mp_put_int(out, value_deadline(key));
    }
}

size_t value_record_begin(struct buf *out)
{
    size_t at = buf_len(out);
    buf_put(out, (const uint8_t[4]){0}, 4);
    return at;
}

/* Over four bytes that were left for it, big endian. */
static void fill_in(struct buf *out, size_t at, uint32_t n)
{
    uint8_t *p = out->p + out->head + at;
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(n >> (24 - 8 * i));
}

void value_record_end(struct buf *out, size_t at)
{
    fill_in(out, at, (uint32_t)(buf_len(out) - at - 4));
}

size_t value_record_size(const uint8_t p[4])
{
    return 4 + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
}

bool value_record_next(struct bytes *state, struct bytes *record)
{
    if (state->n < 4)
        return false;
    size_t n = value_record_size(state->p);
    if (state->n < n)
        return false;
    *record = bytes_of(state->p + 4, n - 4);
    *state = bytes_of(state->p + n, state->n - n);
    return true;
}

/* ------------------------------------------------------------ writing long strings */

bool value_is_long(const struct cell *key, size_t bytes)
{
    return key != NULL && cell_form(key) == CELL_ONE && cell_low(key) == TYPE_STRING &&
           value_long_text(key).n > bytes;
}

struct bytes value_long_text(const struct cell *key)
{
    struct view v = cell_view(key);
    return view_rest(key, &v);
}

void value_encode_long(struct buf *out, const struct cell *key)
{
    struct view v = cell_view(key);
    size_t at = value_record_begin(out), n = view_rest(key, &v).n;
    mp_put_array(out, 3);
    mp_put_bin(out, cell_name(key));
    put_deadlines(out, key);
    mp_put_array(out, 2);
    mp_put_uint(out, TYPE_STRING);
    mp_put_array(out, 2);
    mp_put_array(out, 2);
    mp_put_uint(out, view_dot(key, &v, 0));
    mp_put_bin_head(out, (uint32_t)n);
    fill_in(out, at, (uint32_t)(buf_len(out) - at - 4 + n + 1)); /* and VALUE_LONG_END */
}

/* ------------------------------------------------------------ writing parts */

/* An array of which it is not known yet how many it will have. */
static size_t open_array(struct buf *out)
{
    buf_put(out, (const uint8_t[5]){0xdd}, 5);
    return buf_len(out) - 4;
}

void part_begin(struct part_writer *w, struct buf *out, struct bytes name, enum type type)
{
    *w = (struct part_writer){.out = out, .type = type, .at = value_record_begin(out)};
    mp_put_array(out, 4);
    mp_put_bin(out, name);
    mp_put_array(out, 0);
    mp_put_array(out, 2);
    mp_put_uint(out, type);
    w->count_at = open_array(out);
}

void part_add(struct part_writer *w, const struct cell *elem)
{
    mp_put_bin(w->out, cell_name(elem));
    put_register(w->out, elem, w->type, 0);
    w->n++;
}

void part_end(struct part_writer *w)
{
    if (w->n == 0) {
        w->out->tail -= buf_len(w->out) - w->at;
        return;
    }
    fill_in(w->out, w->count_at, 2 * w->n);
    mp_put_uint(w->out, PART_MORE);
    value_record_end(w->out, w->at);
}

static bool add_one(void *arg, const struct cell *elem)
{
    part_add(arg, elem);
    return false;
}

/* A large collection is never empty. */
static void put_first(struct buf *out, struct reading *r, enum type type)
{
    struct part_writer w = {.out = out, .type = type, .count_at = open_array(out)};
    reading_next(r, add_one, &w);
    fill_in(out, w.count_at, 2 * w.n);
}

/* `read`: which collection goes in parts; NULL: none. */
static bool is_put(const struct coll *c, const struct coll *read)
{
    return c != NULL && (read == NULL || c == read || !c->is_large);
}

/* All of a key; with `first` without its large collections, but for some of that one. */
static void put_key(struct buf *out, const struct cell *key, struct reading *first)
{
    const struct coll *read = first != NULL ? &first->coll->head : NULL;
    uint32_t types = 0;
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
        types += key_register(key, t) != NULL || is_put(key_coll(key, t), read);
    mp_put_bin(out, cell_name(key));
    put_deadlines(out, key);
    mp_put_array(out, 2 * types);
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        const struct cell *reg = key_register(key, t);
        const struct coll *c = key_coll(key, t);
        if (reg == NULL && !is_put(c, read))
            continue;
        mp_put_uint(out, t);
        if (reg != NULL)
            put_register(out, reg, t, 0);
        else if (c == read)
            put_first(out, first, t);
        else
            put_coll(out, c);
    }
}

void value_encode(struct buf *out, const struct cell *key)
{
    mp_put_array(out, 3);
    put_key(out, key, NULL);
}

void value_encode_head(struct buf *out, const struct cell *key, struct reading *first)
{
    mp_put_array(out, 4);
    put_key(out, key, first);
    mp_put_uint(out, PART_FIRST);
}

/* ------------------------------------------------------------ reading */

static bool read_int(struct mp *m, __int128 *out)
{
    struct bytes b = mp_bin(m);
    unsigned __int128 v = 0;
    if (m->bad || b.n != 16)
        return false;
    for (int i = 0; i < 16; i++)
        v = v << 8 | b.p[i];
    *out = (__int128)v;
    __int128 limit =
        (__int128)1 << 100; /* sums of more than any register holds must not overflow */
    return *out<limit && * out> - limit;
}

static bool value_valid(enum type type, struct bytes val)
{
    if (type == TYPE_SET)
        return val.n == 0;
    if (type == TYPE_ZSET)
        return score_size_valid(val.n) && !isnan(score_load(val));
    return type != TYPE_HLL;
}

static bool read_siblings(struct mp *m, struct reg *r)
{
    uint32_t n = mp_array(m);
    if (n % 2 != 0)
        return false;
    for (uint32_t i = 0; i < n && !m->bad; i += 2) {
        stamp_t dot = mp_uint(m);
        struct bytes val = mp_bin(m);
        bool ascends = r->nsib == 0 || dot > r->sib[r->nsib - 1].dot;
        if (m->bad || stamp_is_zero(dot) || !ascends || !value_valid((enum type)r->type, val))
            return false;
        reg_push_sibling(r, dot, val);
    }
    return !m->bad;
}

/* Segments ascend by actor, and one actor's do not overlap. */
static bool segment_follows(const struct reg *r, const struct segment *s)
{
    if (stamp_is_zero(s->from) || s->from > s->to || stamp_actor(s->from) != stamp_actor(s->to))
        return false;
    if (r->nseg == 0)
        return true;
    const struct segment *last = &r->seg[r->nseg - 1];
    uint32_t a = stamp_actor(last->to), b = stamp_actor(s->to);
    return a < b || (a == b && s->from > last->to);
}

static bool read_amount(struct mp *m, enum type type, struct segment *s)
{
    if (s->kind > AMOUNT_RANKS || (s->kind == AMOUNT_RANKS) != (type == TYPE_HLL))
        return false;
    switch (s->kind) {
    case AMOUNT_INT64:
        s->num = mp_int(m);
        return !m->bad;
    case AMOUNT_INT:
        return read_int(m, &s->num);
    case AMOUNT_REAL:
        return real_read(m, &s->real);
    default:
        s->ranks = mp_bin(m);
        return !m->bad && ranks_valid(s->ranks);
    }
}

static bool no_segments(enum type type)
{
    return type == TYPE_SET || type == TYPE_LIST || type == TYPE_STREAM;
}

static bool read_segments(struct mp *m, struct reg *r)
{
    uint32_t n = mp_array(m);
    if (n % 4 != 0 || (n > 0 && no_segments(reg_type(r))))
        return false;
    for (uint32_t i = 0; i < n && !m->bad; i += 4) {
        struct segment s = {0};
        s.from = mp_uint(m);
        s.to = mp_uint(m);
        uint64_t kind = mp_uint(m);
        s.kind = kind <= AMOUNT_RANKS ? (uint8_t)kind : UINT8_MAX;
        if (m->bad || !segment_follows(r, &s) || !read_amount(m, (enum type)r->type, &s))
            return false;
        *reg_push_segment(r) = s;
    }
    return !m->bad;
}

/* Opens *r; the caller closes it in any case. */
static bool read_register(struct mp *m, uint8_t type, struct reg *r)
{
    reg_init(r, type);
    return mp_array(m) == 2 && read_siblings(m, r) && read_segments(m, r) && !reg_empty(r);
}

static bool name_valid(enum type type, struct bytes name, const struct reg *r)
{
    if (type == TYPE_LIST)
        return position_valid(name);
    for (uint32_t i = 0; i < r->nsib && type == TYPE_STREAM; i++)
        if (!stream_elem_valid(name, r->sib[i].val))
            return false;
    return true;
}

/* What put_single writes, in the form that every stamp of our time has; false, and nothing read: it
 * is to be read as any register. */
static bool read_single(struct mp *m, enum type type, struct image *im)
{
    const uint8_t *p = m->p;
    size_t left = mp_left(m);
    stamp_t dot;
    if (left < 14 || p[0] != 0x92 || p[1] != 0x92 || p[2] != 0xcf || p[11] != 0xc4 ||
        left < 14u + p[12] || p[13 + p[12]] != 0x90)
        return false;
    memcpy(&dot, p + 3, sizeof dot);
    dot = __builtin_bswap64(dot);
    struct bytes val = bytes_of(p + 13, p[12]);
    if (stamp_is_zero(dot) || !value_valid(type, val))
        return false;
    image_one(im,
              type == TYPE_SET    ? CELL_DOT
              : type == TYPE_ZSET ? CELL_SCORE
                                  : CELL_ONE,
              dot, val);
    m->p += 14 + val.n;
    return true;
}

/* A collection that is being read. */
struct gathering {
    enum type type;
    struct hash_key key;
    struct coll_builder built;
    struct gathered *of; /* NULL: nobody asks */
    uint64_t seed;       /* of its digest */
};

static void note_register(struct gathering *g, struct bytes name, const struct reg *r)
{
    g->of->unsettled |= !reg_settled(r);
    for (uint32_t i = 0; i < r->nsib; i++)
        context_lower(&g->of->oldest, r->sib[i].dot);
    for (uint32_t i = 0; i < r->nseg; i++)
        context_lower(&g->of->oldest, r->seg[i].from);
    g->of->sum = hash128_add(g->of->sum, digest_open(g->seed, name, r));
}

static void note_single(struct gathering *g, struct bytes name, const struct image *im)
{
    context_lower(&g->of->oldest, im->dot);
    g->of->sum = hash128_add(g->of->sum, digest_single(g->seed, g->type, name, im->rest));
}

static bool read_elem(struct mp *m, struct gathering *g)
{
    struct bytes name = mp_bin(m);
    struct image im;
    struct reg r;
    enum type type = g->type;
    if (type != TYPE_STREAM && read_single(m, type, &im)) {
        if (g->of != NULL)
            note_single(g, name, &im);
        return (type != TYPE_LIST || position_valid(name)) &&
               coll_build(&g->built, type, name, &im, g->key);
    }
    bool ok = read_register(m, coll_reg_type(type, name), &r) && name_valid(type, name, &r);
    if (ok) {
        if (g->of != NULL)
            note_register(g, name, &r);
        image_of_reg(&im, &r);
        ok = coll_build(&g->built, type, name, &im, g->key);
    }
    reg_close(&r);
    return ok;
}

static bool read_coll(struct mp *m, struct gathering *g, struct coll **out)
{
    uint32_t n = mp_array(m);
    g->built = coll_build_on(*out);
    bool ok = n > 0 && n % 2 == 0;
    for (uint32_t i = 0; i < n && ok && !m->bad; i += 2)
        ok = read_elem(m, g);
    *out = coll_built(&g->built);
    return ok && !m->bad;
}

static bool read_deadlines(struct mp *m, struct multi *parts)
{
    uint32_t n = mp_array(m);
    if (n % 2 != 0)
        return false;
    for (uint32_t i = 0; i < n && !m->bad; i += 2) {
        struct deadline d = {.dot = mp_uint(m)};
        d.ms = mp_int(m);
        if (m->bad || stamp_is_zero(d.dot) ||
            (parts->ndeadlines && d.dot <= parts->deadlines[parts->ndeadlines - 1].dot))
            return false;
        deadlines_insert(parts, d);
    }
    return !m->bad;
}

static bool read_types(struct mp *m, struct multi *parts, struct bytes name, struct gathering *g,
                       uint32_t *n)
{
    uint64_t last = TYPE_NONE;
    *n = mp_array(m);
    if (*n % 2 != 0)
        return false;
    for (uint32_t i = 0; i < *n && !m->bad; i += 2) {
        uint64_t t = mp_uint(m);
        if (t <= last || t >= TYPE_COUNT)
            return false;
        last = t;
        enum type type = (enum type)t;
        if (!type_is_register(type)) {
            g->type = type;
            if (g->of != NULL)
                g->seed = digest_seed(name, type);
            if (!read_coll(m, g, &parts->part[type].coll))
                return false;
            continue;
        }
        struct reg r;
        bool ok = read_register(m, (uint8_t)type, &r) && parts->part[type].reg == NULL;
        if (ok)
            parts->part[type].reg = register_cell(&r);
        reg_close(&r);
        if (!ok)
            return false;
    }
    return !m->bad;
}

bool value_record_name(struct bytes record, struct bytes *name)
{
    struct mp m = mp_read(record);
    mp_array(&m);
    *name = mp_bin(&m);
    return !m.bad;
}

/* Adds what a record says to `*key`, whose name it has; *part gets which part it is. */
static bool read_key(struct bytes record, struct gathering *g, struct cell **key, uint64_t *part)
{
    struct mp m = mp_read(record);
    struct multi parts;
    uint32_t items = mp_array(&m);
    struct bytes name = mp_bin(&m);
    if (m.bad || (items != 3 && items != 4))
        return false;
    if (items == 3)
        g->of = NULL;
    if (g->of != NULL)
        g->of->any = true;
    multi_open(&parts, *key);
    uint32_t types, deadlines = parts.ndeadlines;
    bool ok = read_deadlines(&m, &parts) && read_types(&m, &parts, name, g, &types) &&
              (types > 0 || parts.ndeadlines > deadlines); /* nobody writes an empty one */
    *part = items == 4 ? mp_uint(&m) : PART_FIRST;
    *key = multi_close(&parts, *key, name, NULL, NULL);
    return ok && mp_done(&m) && *part <= PART_MORE && *key != NULL;
}

bool value_gather(struct cell **key, struct bytes record, struct hash_key hash_key,
                  struct gathered *of)
{
    uint64_t part;
    bool held = *key != NULL;
    struct gathering g = {.key = hash_key, .of = of};
    return read_key(record, &g, key, &part) && (!held || part == PART_MORE);
}

struct cell *value_decode_part(struct bytes record, struct hash_key hash_key, bool *more)
{
    uint64_t part;
    struct cell *key = NULL;
    struct gathering g = {.key = hash_key};
    if (read_key(record, &g, &key, &part)) {
        *more = part == PART_MORE;
        return key;
    }
    value_free(key);
    return NULL;
}

struct cell *value_adopt(struct cell *key, const struct context *vv, const struct surroundings *s)
{
    struct multi m;
    if (cell_form(key) != CELL_MULTI)
        return key;
    multi_open(&m, key);
    return multi_close(&m, key, cell_name(key), vv, s);
}

struct cell *value_decode(struct bytes s, struct hash_key hash_key)
{
    bool more;
    struct mp m = mp_read(s);
    return mp_array(&m) == 3 ? value_decode_part(s, hash_key, &more) : NULL;
}
