/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/reg.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"
#include "crdt/form.h"
#include "crdt/hll.h"

void reg_init(struct reg *r, uint8_t type)
{
    r->type = type;
    r->queued = false;
    r->nsib = r->nseg = r->nowned = 0;
    r->sib = r->sib_room;
    r->seg = r->seg_room;
    r->sib_cap = sizeof r->sib_room / sizeof r->sib_room[0];
    r->seg_cap = sizeof r->seg_room / sizeof r->seg_room[0];
    r->owned = NULL;
}

void reg_close(struct reg *r)
{
    if (r->sib != r->sib_room)
        mem_free(r->sib);
    if (r->seg != r->seg_room)
        mem_free(r->seg);
    for (uint32_t i = 0; i < r->nowned; i++)
        buf_deinit(&r->owned[i]);
    mem_free(r->owned);
}

static void sib_room(struct reg *r)
{
    if (r->nsib < r->sib_cap)
        return;
    r->sib_cap *= 2;
    struct sibling *was = r->sib;
    bool heap = was != r->sib_room;
    r->sib = mem_realloc(heap ? was : NULL, r->sib_cap * sizeof *was);
    if (!heap)
        memcpy(r->sib, was, r->nsib * sizeof *was);
}

static void seg_room(struct reg *r)
{
    if (r->nseg < r->seg_cap)
        return;
    r->seg_cap *= 2;
    struct segment *was = r->seg;
    bool heap = was != r->seg_room;
    r->seg = mem_realloc(heap ? was : NULL, r->seg_cap * sizeof *was);
    if (!heap)
        memcpy(r->seg, was, r->nseg * sizeof *was);
}

void reg_push_sibling(struct reg *r, stamp_t dot, struct bytes val)
{
    sib_room(r);
    r->sib[r->nsib++] = (struct sibling){.dot = dot, .val = val};
}

struct segment *reg_push_segment(struct reg *r)
{
    seg_room(r);
    return &r->seg[r->nseg++];
}

/* A buffer that lives as long as the register. */
static struct buf *own(struct reg *r)
{
    r->owned = mem_realloc(r->owned, (r->nowned + 1) * sizeof *r->owned);
    r->owned[r->nowned] = (struct buf){0};
    return &r->owned[r->nowned++];
}

/* ------------------------------------------------------------ the bytes of CELL_WIDE */

/* A segment: `to`, a tag, the distance to `from` in as many bytes as the tag's low half says, the
 * amount as its high half says: an int64 in 0..8 bytes (zigzag), or one of these. Distances between
 * one actor's stamps are multiples of 1024. */
enum { TAG_INT = 9, TAG_REAL, TAG_RANKS };
#define SPAN_SHIFT 10

static unsigned uint_size(uint64_t v)
{
    return v == 0 ? 0 : (unsigned)(71 - __builtin_clzll(v)) / 8;
}

static uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }

static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1 ^ (0 - (v & 1))); }

static unsigned span_size(const struct segment *s)
{
    return uint_size((s->to - s->from) >> SPAN_SHIFT);
}

static size_t amount_size(const struct segment *s)
{
    switch (s->kind) {
    case AMOUNT_INT64:
        return uint_size(zigzag((int64_t)s->num));
    case AMOUNT_INT:
        return sizeof s->num;
    case AMOUNT_REAL:
        return sizeof s->real;
    default:
        return varint_size(s->ranks.n) + s->ranks.n;
    }
}

size_t reg_wide_size(const struct reg *r)
{
    size_t n = 2 + varint_size(r->nseg) + varint_size(r->nsib);
    for (uint32_t i = 0; i < r->nseg; i++)
        n += 9 + span_size(&r->seg[i]) + amount_size(&r->seg[i]);
    for (uint32_t i = 0; i < r->nsib; i++)
        n += 8 + varint_size(r->sib[i].val.n) + r->sib[i].val.n;
    return n;
}

static void amount_write(uint8_t *p, const struct segment *s)
{
    uint64_t zz = zigzag((int64_t)s->num);
    switch (s->kind) {
    case AMOUNT_INT64:
        memcpy(p, &zz, uint_size(zz));
        break;
    case AMOUNT_INT:
        memcpy(p, &s->num, sizeof s->num);
        break;
    case AMOUNT_REAL:
        memcpy(p, &s->real, sizeof s->real);
        break;
    default:
        p = varint_write(p, s->ranks.n);
        if (s->ranks.n)
            memcpy(p, s->ranks.p, s->ranks.n);
    }
}

static uint8_t *segment_write(uint8_t *p, const struct segment *s)
{
    uint64_t span = (s->to - s->from) >> SPAN_SHIFT;
    unsigned span_n = span_size(s);
    size_t n = amount_size(s);
    unsigned tag = s->kind == AMOUNT_INT64 ? (unsigned)n : TAG_INT + s->kind - (unsigned)AMOUNT_INT;
    store_u64(p, s->to);
    p[8] = (uint8_t)(span_n | tag << 4);
    memcpy(p + 9, &span, span_n);
    amount_write(p + 9 + span_n, s);
    return p + 9 + span_n + n;
}

void reg_wide_write(const struct reg *r, uint8_t *p)
{
    *p++ = r->queued ? WIDE_QUEUED : 0;
    p = varint_write(p, r->nseg);
    p = varint_write(p, r->nsib);
    *p++ = r->type;
    for (uint32_t i = 0; i < r->nseg; i++)
        p = segment_write(p, &r->seg[i]);
    for (uint32_t i = 0; i < r->nsib; i++) {
        struct bytes val = r->sib[i].val;
        store_u64(p, r->sib[i].dot);
        p = varint_write(p + 8, val.n);
        if (val.n)
            memcpy(p, val.p, val.n);
        p += val.n;
    }
}

/* Of n <= 8 bytes; mostly of one or two, so a call of memcpy would cost more. */
static uint64_t uint_read(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static const uint8_t *segment_read(const uint8_t *p, struct segment *s)
{
    unsigned span_n = p[8] & 15u, tag = p[8] >> 4;
    s->to = load_u64(p);
    s->from = s->to - (uint_read(p + 9, span_n) << SPAN_SHIFT);
    p += 9 + span_n;
    switch (tag) {
    case TAG_INT:
        s->kind = AMOUNT_INT;
        memcpy(&s->num, p, sizeof s->num);
        return p + sizeof s->num;
    case TAG_REAL:
        s->kind = AMOUNT_REAL;
        memcpy(&s->real, p, sizeof s->real);
        return p + sizeof s->real;
    case TAG_RANKS:
        s->kind = AMOUNT_RANKS;
        p = varint_read(p, &s->ranks.n);
        s->ranks.p = p;
        return p + s->ranks.n;
    default:
        s->kind = AMOUNT_INT64;
        s->num = unzigzag(uint_read(p, tag));
        return p + tag;
    }
}

bool reg_wide_extend(uint8_t *wide, stamp_t stamp, int64_t amount)
{
    size_t nseg, nsib;
    const uint8_t *p = varint_read(wide + 1, &nseg), *found = NULL;
    struct segment s, last = {0};
    p = varint_read(p, &nsib) + 1;
    for (size_t i = 0; i < nseg; i++) {
        const uint8_t *at = p;
        p = segment_read(p, &s);
        if (stamp_actor(s.to) == stamp_actor(stamp)) {
            found = at;
            last = s;
        }
    }
    int64_t sum;
    if (found == NULL || last.kind != AMOUNT_INT64 ||
        __builtin_add_overflow((int64_t)last.num, amount, &sum))
        return false;
    struct segment grown = {.from = last.from, .to = stamp, .kind = AMOUNT_INT64, .num = sum};
    if (span_size(&grown) != span_size(&last) || amount_size(&grown) != amount_size(&last))
        return false;
    segment_write(wide + (found - wide), &grown);
    return true;
}

uint8_t reg_wide_type(const uint8_t *wide)
{
    size_t n;
    return *varint_read(varint_read(wide + 1, &n), &n);
}

bool reg_wide_count(const uint8_t *wide, int64_t *out)
{
    size_t nseg, nsib;
    const uint8_t *p = varint_read(varint_read(wide + 1, &nseg), &nsib);
    if (nsib > 0 || *p++ == TYPE_ZSET)
        return false;
    __int128 sum = 0;
    for (size_t i = 0; i < nseg; i++) {
        unsigned span_n = p[8] & 15u, tag = p[8] >> 4;
        if (tag >= TAG_INT)
            return false;
        sum += unzigzag(uint_read(p + 9 + span_n, tag));
        p += 9 + span_n + tag;
    }
    *out = clamp_i64(sum);
    return true;
}

static void open_wide(struct reg *r, const uint8_t *p)
{
    uint8_t flags = *p++;
    size_t nseg, nsib;
    p = varint_read(p, &nseg);
    p = varint_read(p, &nsib);
    r->type = *p++;
    r->queued = (flags & WIDE_QUEUED) != 0;
    for (size_t i = 0; i < nseg; i++)
        p = segment_read(p, reg_push_segment(r));
    for (size_t i = 0; i < nsib; i++) {
        stamp_t dot = load_u64(p);
        size_t n;
        p = varint_read(p + 8, &n);
        reg_push_sibling(r, dot, bytes_of(p, n));
        p += n;
    }
}

void reg_open(struct reg *r, uint8_t type, const struct cell *c, stamp_t base)
{
    reg_init(r, type);
    if (c == NULL)
        return;
    struct view v = cell_view(c);
    if (v.form == CELL_WIDE) {
        open_wide(r, v.payload.p);
        return;
    }
    assert(v.form <= CELL_COUNT);
    struct bytes rest = view_rest(c, &v);
    if (v.form != CELL_COUNT) {
        reg_push_sibling(r, view_dot(c, &v, base), rest);
        return;
    }
    struct segment *s = reg_push_segment(r);
    s->from = view_dot(c, &v, base);
    s->to = load_u64(rest.p);
    s->kind = AMOUNT_INT64;
    s->num = (int64_t)load_u64(rest.p + 8);
}

/* ------------------------------------------------------------ questions */

const struct sibling *reg_top(const struct reg *r)
{
    const struct sibling *top = &r->sib[r->nsib - 1];
    if (!(r->type & REG_MAX))
        return top;
    for (uint32_t i = r->nsib - 1; i-- > 0;)
        if (bytes_cmp(r->sib[i].val, top->val) > 0)
            top = &r->sib[i];
    return top;
}

bool reg_settled(const struct reg *r)
{
    if (r->nsib > 1)
        return false;
    for (uint32_t i = 1; i < r->nseg; i++)
        if (stamp_actor(r->seg[i].to) == stamp_actor(r->seg[i - 1].to))
            return false;
    return true;
}

stamp_t reg_newest(const struct reg *r)
{
    stamp_t newest = r->nsib ? r->sib[r->nsib - 1].dot : 0;
    for (uint32_t i = 0; i < r->nseg; i++)
        if (r->seg[i].to > newest)
            newest = r->seg[i].to;
    return newest;
}

int64_t clamp_i64(__int128 v)
{
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

/* Sums go from left to right, so a merged prefix of the list stands for what it merged, bit for
 * bit. */
static void total_plus(struct total *t, bool real, __int128 num, long double x, bool score)
{
    if (!t->real && !real) {
        t->num += num;
        return;
    }
    if (!t->real)
        t->x = (long double)t->num;
    t->real = true;
    long double add = real ? x : (long double)num;
    t->x = score ? (long double)((double)t->x + (double)add) : t->x + add;
}

void total_add(struct total *t, const struct segment *s, bool score)
{
    bool real = s->kind == AMOUNT_REAL;
    total_plus(t, real, real ? 0 : s->num, real ? s->real : 0, score);
}

void reg_total(const struct reg *r, struct total *out)
{
    bool score = r->type == TYPE_ZSET;
    *out = (struct total){0};
    for (uint32_t i = 0; i < r->nseg;) {
        uint32_t actor = stamp_actor(r->seg[i].to);
        struct total one = {0};
        for (; i < r->nseg && stamp_actor(r->seg[i].to) == actor; i++)
            total_add(&one, &r->seg[i], score);
        total_plus(out, one.real, one.num, one.x, score);
    }
}

struct bytes score_pack(double score, uint8_t room[8])
{
    int32_t i = score >= -2147483648.0 && score <= 2147483647.0 ? (int32_t)score : 0;
    if ((double)i != score || (i == 0 && signbit(score))) {
        store_double(room, score);
        return bytes_of(room, 8);
    }
    size_t n = i >= INT8_MIN && i <= INT8_MAX ? 1 : i >= INT16_MIN && i <= INT16_MAX ? 2 : 4;
    memcpy(room, &i, sizeof i);
    return bytes_of(room, n);
}

double score_load(struct bytes val)
{
    switch (val.n) {
    case 1:
        return (int8_t)val.p[0];
    case 2:
        return (int16_t)(val.p[0] | val.p[1] << 8);
    case 4: {
        int32_t i;
        memcpy(&i, val.p, sizeof i);
        return i;
    }
    default:
        return load_double(val.p);
    }
}

/* ------------------------------------------------------------ changes */

bool reg_remove(struct reg *r, const struct seen *seen)
{
    uint32_t n = 0, was_sib = r->nsib, was_seg = r->nseg;
    for (uint32_t i = 0; i < r->nsib; i++)
        if (!seen_covers(seen, r->sib[i].dot))
            r->sib[n++] = r->sib[i];
    r->nsib = n;
    n = 0;
    for (uint32_t i = 0; i < r->nseg; i++)
        if (!seen_covers(seen, r->seg[i].to))
            r->seg[n++] = r->seg[i];
    r->nseg = n;
    return r->nsib != was_sib || r->nseg != was_seg;
}

void reg_insert_sibling(struct reg *r, stamp_t dot, struct bytes val)
{
    reg_push_sibling(r, dot, val);
    uint32_t i = r->nsib - 1;
    for (; i > 0 && r->sib[i - 1].dot > dot; i--)
        r->sib[i] = r->sib[i - 1];
    r->sib[i] = (struct sibling){.dot = dot, .val = val};
}

void reg_assign(struct reg *r, stamp_t stamp, const struct seen *seen, struct bytes val)
{
    reg_remove(r, seen);
    reg_insert_sibling(r, stamp, val);
}

/* The actor's segments stand at [*first, *end). */
static void actor_range(const struct reg *r, uint32_t actor, uint32_t *first, uint32_t *end)
{
    uint32_t i = 0;
    while (i < r->nseg && stamp_actor(r->seg[i].to) < actor)
        i++;
    *first = i;
    while (i < r->nseg && stamp_actor(r->seg[i].to) == actor)
        i++;
    *end = i;
}

/* Narrows what can be an int64 and widens what cannot: the kind is a matter of storage only. */
static void set_int(struct segment *s, __int128 v)
{
    s->num = v;
    s->kind = v >= INT64_MIN && v <= INT64_MAX ? AMOUNT_INT64 : AMOUNT_INT;
}

/* s := s + amount, of one actor. */
void reg_merge_amount(struct reg *r, struct segment *s, const struct segment *amount)
{
    if (s->kind == AMOUNT_RANKS || amount->kind == AMOUNT_RANKS) {
        struct buf *b = own(r);
        ranks_join(b, s->ranks, amount->ranks);
        s->ranks = buf_bytes(b);
        return;
    }
    struct total t = {0};
    total_add(&t, s, r->type == TYPE_ZSET);
    total_add(&t, amount, r->type == TYPE_ZSET);
    if (t.real) {
        s->kind = AMOUNT_REAL;
        s->real = t.x;
    } else {
        set_int(s, t.num);
    }
}

void reg_add(struct reg *r, stamp_t stamp, const struct segment *amount, uint8_t flags)
{
    uint32_t first, end;
    actor_range(r, stamp_actor(stamp), &first, &end);
    if ((flags & OPF_EXTEND) && end > first) {
        reg_merge_amount(r, &r->seg[end - 1], amount);
        r->seg[end - 1].to = stamp;
        return;
    }
    if ((flags & OPF_ABSORB) && end > first) {
        memmove(&r->seg[first], &r->seg[end], (r->nseg - end) * sizeof *r->seg);
        r->nseg -= end - first;
        end = first;
    }
    reg_push_segment(r);
    memmove(&r->seg[end + 1], &r->seg[end], (r->nseg - 1 - end) * sizeof *r->seg);
    r->seg[end] = *amount;
    r->seg[end].from = r->seg[end].to = stamp;
}
