/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/wire.h"

#include "base/mem.h"

#define VARINT_MAX 10u
#define TICK_MAX (UINT64_MAX >> 10)

/* ------------------------------------------------------------ numbers */

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static inline uint64_t unzigzag(uint64_t v) { return v >> 1 ^ (0 - (v & 1)); }

struct reader {
    const uint8_t *p, *end;
    bool bad;
};

static inline uint64_t get_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint8_t b = *r->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            r->bad |= shift == 63 && b > 1;
            return v;
        }
    }
    r->bad = true;
    return 0;
}

void wire_put_varint(struct buf *out, uint64_t v)
{
    uint8_t *p = buf_reserve(out, VARINT_MAX);
    buf_added(out, (size_t)(put_varint(p, v) - p));
}

/* ------------------------------------------------------------ messages */

enum wire_result wire_get(struct bytes in, uint8_t *kind, struct bytes *body, size_t *used)
{
    uint64_t n = 0;
    size_t at = 0;
    for (;; at++) {
        if (at == 5)
            return WIRE_BAD;
        if (at == in.n)
            return WIRE_MORE;
        n |= (uint64_t)(in.p[at] & 0x7f) << (7 * at);
        if (in.p[at] < 0x80)
            break;
    }
    at++;
    if (n == 0 || n > WIRE_MESSAGE_MAX)
        return WIRE_BAD;
    if (in.n - at < n)
        return WIRE_MORE;
    *kind = in.p[at];
    *body = bytes_of(in.p + at + 1, (size_t)n - 1);
    *used = at + (size_t)n;
    return WIRE_OK;
}

void wire_put(struct buf *out, uint8_t kind, struct bytes body)
{
    buf_reserve(out, VARINT_MAX + 1 + body.n);
    wire_put_varint(out, 1 + (uint64_t)body.n);
    buf_put_u8(out, kind);
    buf_put_bytes(out, body);
}

/* ------------------------------------------------------------ frames: writing */

void wire_coder_init(struct wire_coder *c, uint32_t first, uint32_t count)
{
    *c = (struct wire_coder){.first = first, .count = count};
    c->parts = mem_zalloc(count * sizeof *c->parts);
}

void wire_coder_deinit(struct wire_coder *c)
{
    for (uint32_t i = 0; c->parts != NULL && i < c->count; i++)
        context_deinit(&c->parts[i].deps);
    mem_free(c->parts);
    *c = (struct wire_coder){0};
}

/* Every entry of `old` is still there: then the difference can be told by raising entries. */
static bool deps_only_grew(const struct context *old, const struct frame *f)
{
    uint32_t j = 0;
    for (unsigned i = 0; i < old->n; i++) {
        while (j < f->deps_count && stamp_actor(f->deps[j]) < stamp_actor(old->at[i]))
            j++;
        if (j == f->deps_count || stamp_actor(f->deps[j]) != stamp_actor(old->at[i]) ||
            f->deps[j] < old->at[i])
            return false;
    }
    return true;
}

static bool deps_same(const struct context *old, const struct frame *f)
{
    return old->n == f->deps_count &&
           (old->n == 0 || memcmp(old->at, f->deps, old->n * sizeof *old->at) == 0);
}

/* Appends the differences, and makes `old` the frame's deps. */
static uint8_t *put_deps(uint8_t *p, struct context *old, const struct frame *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->deps_count; i++)
        n += context_get(old, stamp_actor(f->deps[i])) != f->deps[i];
    p = put_varint(p, n);
    for (uint32_t i = 0; i < f->deps_count; i++) {
        uint32_t actor = stamp_actor(f->deps[i]);
        stamp_t was = context_get(old, actor);
        if (was == f->deps[i])
            continue;
        p = put_varint(p, actor);
        p = put_varint(p, zigzag((f->deps[i] >> 10) - (was >> 10)));
    }
    context_clear(old);
    for (uint32_t i = 0; i < f->deps_count; i++)
        context_raise(old, f->deps[i]);
    return p;
}

void wire_put_frame(struct buf *out, struct wire_coder *c, const struct frame *f)
{
    struct wire_part *part = &c->parts[f->partition - c->first];
    uint32_t actor = stamp_actor(f->last);
    uint8_t kind = WIRE_FRAME;
    if (part->last == 0 || stamp_actor(part->last) != actor || !deps_only_grew(&part->deps, f)) {
        kind |= WIRE_ACTOR | WIRE_PREV;
        context_clear(&part->deps);
    } else if (f->prev != part->last) {
        kind |= WIRE_PREV;
    }
    if (f->first != f->last || f->ops_count != 1)
        kind |= WIRE_MANY;
    if (f->wall_ms != stamp_wall_ms(f->last))
        kind |= WIRE_WALL;
    if (!deps_same(&part->deps, f))
        kind |= WIRE_DEPS;
    if (f->flags & FRAME_ATOMIC)
        kind |= WIRE_ATOMIC;
    if (f->ops.n == 0)
        kind |= WIRE_AHEAD;

    /* the numbers, into their own room: their length stands before them */
    uint8_t numbers[(8 + 2 * (STAMP_ACTOR_MAX + 1)) * VARINT_MAX];
    uint8_t *p = numbers;
    *p++ = kind;
    p = put_varint(p, f->partition - c->first);
    p = put_varint(p, zigzag((f->first >> 10) - c->base));
    if (kind & WIRE_ACTOR)
        p = put_varint(p, actor);
    if (kind & WIRE_PREV)
        p = put_varint(p, (f->first >> 10) - (f->prev >> 10));
    if (kind & WIRE_MANY) {
        p = put_varint(p, (f->last >> 10) - (f->first >> 10));
        p = put_varint(p, f->ops_count);
    }
    if (kind & WIRE_WALL)
        p = put_varint(p, zigzag((uint64_t)f->wall_ms - (uint64_t)stamp_wall_ms(f->last)));
    if (kind & WIRE_DEPS)
        p = put_deps(p, &part->deps, f);
    part->last = f->last;
    c->base = f->last >> 10;

    size_t n = (size_t)(p - numbers);
    uint8_t *to = buf_reserve(out, VARINT_MAX + n + f->ops.n);
    uint8_t *end = put_varint(to, n + f->ops.n);
    memcpy(end, numbers, n);
    if (f->ops.n)
        memcpy(end + n, f->ops.p, f->ops.n);
    buf_added(out, (size_t)(end - to) + n + f->ops.n);
}

/* ------------------------------------------------------------ frames: reading */

static void get_deps(struct reader *r, struct context *deps, uint32_t own)
{
    uint64_t n = get_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        uint64_t actor = get_varint(r);
        uint64_t difference = unzigzag(get_varint(r));
        if (r->bad || actor > STAMP_ACTOR_MAX || actor == own) {
            r->bad = true;
            return;
        }
        stamp_t was = context_get(deps, (uint32_t)actor);
        uint64_t tick = (was >> 10) + difference;
        if (tick <= was >> 10 || tick > TICK_MAX) {
            r->bad = true;
            return;
        }
        context_raise(deps, tick << 10 | actor);
    }
}

/* Fills the stamps from the numbers that were read as differences; false when one is out of range.
 */
static bool set_stamps(struct frame *f, uint64_t first, uint64_t back, uint64_t more,
                       uint32_t actor)
{
    if (first == 0 || first > TICK_MAX || back == 0 || back > first || more > TICK_MAX - first)
        return false;
    f->first = first << 10 | actor;
    f->last = (first + more) << 10 | actor;
    f->prev = (first - back) << 10 | actor;
    return true;
}

bool wire_get_frame(struct wire_coder *c, uint8_t kind, struct bytes body, struct frame *f)
{
    struct reader r = {.p = body.p, .end = body.p + body.n};
    uint64_t index = get_varint(&r);
    if (r.bad || index >= c->count)
        return false;
    struct wire_part *part = &c->parts[index];
    uint64_t first = c->base + unzigzag(get_varint(&r));
    uint64_t actor = kind & WIRE_ACTOR ? get_varint(&r) : stamp_actor(part->last);
    uint64_t back = kind & WIRE_PREV ? get_varint(&r) : first - (part->last >> 10);
    uint64_t more = 0, ops = 1;
    if (kind & WIRE_MANY) {
        more = get_varint(&r);
        ops = get_varint(&r);
    }
    uint64_t wall = kind & WIRE_WALL ? unzigzag(get_varint(&r)) : 0;
    bool known = part->last != 0 || (kind & (WIRE_ACTOR | WIRE_PREV)) == (WIRE_ACTOR | WIRE_PREV);
    if (r.bad || !known || actor > STAMP_ACTOR_MAX || actor_region((uint32_t)actor) == 0)
        return false;
    if (!set_stamps(f, first, back, more, (uint32_t)actor))
        return false;
    if (kind & WIRE_ACTOR)
        context_clear(&part->deps);
    if (kind & WIRE_DEPS)
        get_deps(&r, &part->deps, (uint32_t)actor);
    f->ops = bytes_of(r.p, (size_t)(r.end - r.p));
    bool ahead = kind & WIRE_AHEAD;
    if (r.bad || ops == 0 || ops > UINT32_MAX || (ahead ? f->ops.n > 0 : ops > f->ops.n))
        return false;
    part->last = f->last;
    c->base = f->last >> 10;
    f->partition = c->first + (uint32_t)index;
    f->ops_count = (uint32_t)ops;
    f->flags = kind & WIRE_ATOMIC ? FRAME_ATOMIC : 0;
    f->wall_ms = (int64_t)((uint64_t)stamp_wall_ms(f->last) + wall);
    f->deps = part->deps.at;
    f->deps_count = part->deps.n;
    return true;
}

void wire_put_large(struct buf *out, uint64_t bytes)
{
    uint8_t number[VARINT_MAX];
    wire_put(out, WIRE_LARGE, bytes_of(number, (size_t)(put_varint(number, bytes) - number)));
}

bool wire_get_large(struct bytes body, uint64_t *bytes)
{
    struct reader r = {.p = body.p, .end = body.p + body.n};
    *bytes = get_varint(&r);
    return !r.bad && r.p == r.end && *bytes <= WIRE_LARGE_MAX;
}

struct bytes wire_peek_ops(uint8_t kind, struct bytes body)
{
    struct reader r = {.p = body.p, .end = body.p + body.n};
    unsigned numbers = 2; /* partition and first */
    numbers += kind & WIRE_ACTOR ? 1 : 0;
    numbers += kind & WIRE_PREV ? 1 : 0;
    numbers += kind & WIRE_MANY ? 2 : 0;
    numbers += kind & WIRE_WALL ? 1 : 0;
    for (; numbers > 0; numbers--)
        get_varint(&r);
    if (kind & WIRE_DEPS)
        for (uint64_t n = get_varint(&r); n > 0 && !r.bad; n--) {
            get_varint(&r);
            get_varint(&r);
        }
    return r.bad ? bytes_of(NULL, 0) : bytes_of(r.p, (size_t)(r.end - r.p));
}
