/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/elision.h"

#include "base/mem.h"

#define TABLE_MIN 64u
#define ROOM_KEPT ((size_t)16 << 10) /* a cleared run keeps no more than that */
/* Operations are kept in segments, so that no step takes long however large the run is. */
#define SEGMENT_OPS 2048u
#define SEGMENT_BYTES ((size_t)256 << 10)

/* An operation that is still in the run, or was. Behind `at` lie its bytes as they travel, without
 * the stamp: a head (how many elements), kind and flags, key and so on. Links are references. */
struct kept {
    stamp_t stamp;
    uint32_t at, n;
    uint32_t same_key;   /* the one before of the same key */
    uint32_t same_place; /* ... of the same register, element or deadline */
    uint8_t kind, flags, place;
    bool dead;
};

/* A reference is segment * SEGMENT_OPS + operation + 1, 0: none. What it refers to is never moved,
 * but all of it goes with the last operation of its segment that is left out. */
struct segment {
    struct buf ops;   /* struct kept */
    struct buf bytes; /* what they point to; without dead ones now and then */
    uint32_t live;
    size_t live_bytes;
};

/* Newest operation by hash; open addressing. */
struct slot {
    uint32_t ref, hash; /* ref 0: free */
};
struct index {
    struct slot *at;
    uint32_t n, cap;
};

struct elision {
    struct hash_key key;
    size_t bytes_max;
    uint32_t partition;
    uint8_t flags;
    bool solid; /* its taker has no way to take it in slices */
    stamp_t prev, last;
    int64_t wall_ms;
    struct context deps;
    struct segment *segments; /* owned */
    uint32_t segments_n, segments_cap;
    struct index keys, places;
    uint32_t wasteful; /* a segment with many bytes of dead ones, + 1 */
    uint32_t live;
    size_t live_bytes, memory; /* memory: of the segments */
    uint64_t elided;
    uint32_t next; /* of elision_next: the reference to go on with */
    stamp_t base;
};

/* What an operation assigns, removes or adds to, within its key. */
enum place {
    PLACE_NONE, /* only the whole key leaves it out */
    PLACE_STRING,
    PLACE_DEADLINE,
    PLACE_SET,
    PLACE_HASH,
    PLACE_ZSET,
    PLACE_LIST,
    PLACE_HLL,
};

/* A whole SET leaves out by its key alone. */
static bool is_whole(const struct kept *k)
{
    return k->kind == OP_DEL || (k->kind == OP_SET && !(k->flags & OPF_KEEPTTL));
}

static enum place place_of(const struct kept *k)
{
    switch (k->kind) {
    case OP_SET:
        return is_whole(k) ? PLACE_NONE : PLACE_STRING;
    case OP_PATCH:
    case OP_INCR:
    case OP_INCRF:
        return PLACE_STRING;
    case OP_EXPIRE:
        return PLACE_DEADLINE;
    case OP_SADD:
    case OP_SREM:
        return PLACE_SET;
    case OP_HSET:
    case OP_HINCR:
    case OP_HINCRF:
    case OP_HDEL:
        return PLACE_HASH;
    case OP_ZADD:
    case OP_ZINCR:
    case OP_ZREM:
        return PLACE_ZSET;
    case OP_LINS:
    case OP_LREM:
        return PLACE_LIST;
    case OP_PFADD:
        return PLACE_HLL;
    default:
        return PLACE_NONE;
    }
}

static bool has_elem(enum place place) { return place >= PLACE_SET && place <= PLACE_LIST; }

static bool is_amount(uint8_t kind)
{
    return kind == OP_INCR || kind == OP_INCRF || kind == OP_HINCR || kind == OP_HINCRF ||
           kind == OP_ZINCR || kind == OP_PFADD;
}

struct elision *elision_new(struct hash_key key, size_t bytes_max)
{
    struct elision *r = mem_zalloc(sizeof *r);
    r->key = key;
    r->bytes_max = bytes_max;
    return r;
}

static void index_clear(struct index *x)
{
    mem_free(x->at);
    *x = (struct index){0};
}

static void segment_clear(struct elision *r, struct segment *g, size_t keep)
{
    r->memory -= g->ops.cap + g->bytes.cap;
    buf_reuse(&g->ops, keep);
    buf_reuse(&g->bytes, keep);
    r->memory += g->ops.cap + g->bytes.cap;
    g->live = 0;
    g->live_bytes = 0;
}

void elision_clear(struct elision *r)
{
    for (uint32_t i = 0; i < r->segments_n; i++)
        segment_clear(r, &r->segments[i], i == 0 ? ROOM_KEPT : 0);
    r->segments_n = r->segments_n > 0;
    context_clear(&r->deps);
    index_clear(&r->keys);
    index_clear(&r->places);
    r->live = r->next = 0;
    r->live_bytes = 0;
    r->flags = 0;
    r->solid = false;
}

void elision_free(struct elision *r)
{
    if (r == NULL)
        return;
    elision_clear(r);
    if (r->segments_n > 0)
        segment_clear(r, &r->segments[0], 0);
    mem_free(r->segments);
    context_deinit(&r->deps);
    mem_free(r);
}

bool elision_empty(const struct elision *r) { return r->live == 0; }

uint64_t elision_elided(const struct elision *r) { return r->elided; }

size_t elision_bytes(const struct elision *r)
{
    return r->memory + r->segments_cap * sizeof *r->segments +
           (r->keys.cap + r->places.cap) * sizeof(struct slot);
}

static uint32_t count(const struct segment *g)
{
    return (uint32_t)(buf_len(&g->ops) / sizeof(struct kept));
}

static struct kept *kept_in(const struct segment *g, uint32_t i)
{
    return (struct kept *)(void *)(g->ops.p + g->ops.head) + i;
}

static struct segment *segment_of(const struct elision *r, uint32_t ref)
{
    return &r->segments[(ref - 1) / SEGMENT_OPS];
}

/* NULL: there is none, or it was left out long ago. */
static struct kept *kept_at(const struct elision *r, uint32_t ref)
{
    if (ref == 0 || segment_of(r, ref)->live == 0)
        return NULL;
    return kept_in(segment_of(r, ref), (ref - 1) % SEGMENT_OPS);
}

/* ------------------------------------------------------------ finding */

static void read_names(const struct segment *g, const struct kept *k, struct bytes *key,
                       struct bytes *elem)
{
    struct mp m = mp_read(bytes_of(g->bytes.p + g->bytes.head + k->at, k->n));
    mp_array(&m);
    mp_uint(&m);
    *key = k->kind == OP_FLUSH ? bytes_of(NULL, 0) : mp_bin(&m);
    *elem = has_elem((enum place)k->place) ? mp_bin(&m) : bytes_of(NULL, 0);
}

/* What an index is asked for. */
struct name {
    uint32_t hash;
    uint8_t place; /* PLACE_NONE: a key */
    struct bytes key, elem;
};

/* Dead ones are like nothing: their names may have gone. Nothing is lost by it: an operation that
 * is like a dead one has left it out itself, or follows what did. */
static bool is_like(const struct elision *r, uint32_t ref, const struct name *name)
{
    struct bytes key, elem;
    const struct kept *k = kept_at(r, ref);
    if (k == NULL || k->dead || (name->place != PLACE_NONE && k->place != name->place))
        return false;
    read_names(segment_of(r, ref), k, &key, &elem);
    return bytes_eq(key, name->key) && (name->place == PLACE_NONE || bytes_eq(elem, name->elem));
}

static bool is_dead(const struct elision *r, uint32_t ref)
{
    const struct kept *k = kept_at(r, ref);
    return k == NULL || k->dead;
}

/* Makes room for one more; dead ones go. */
static void index_grow(const struct elision *r, struct index *x)
{
    struct index old = *x;
    if (2 * (x->n + 1) <= x->cap)
        return;
    x->n = 0;
    for (uint32_t i = 0; i < old.cap; i++)
        x->n += old.at[i].ref != 0 && !is_dead(r, old.at[i].ref);
    for (x->cap = TABLE_MIN; x->cap < 4 * (x->n + 1);)
        x->cap *= 2;
    x->at = mem_zalloc(x->cap * sizeof *x->at);
    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.at[i].ref == 0 || is_dead(r, old.at[i].ref))
            continue;
        uint32_t s = old.at[i].hash & (x->cap - 1);
        while (x->at[s].ref != 0)
            s = (s + 1) & (x->cap - 1);
        x->at[s] = old.at[i];
    }
    mem_free(old.at);
}

/* Makes `ref` the newest of its like; returns the one before, 0 none. */
static uint32_t index_put(const struct elision *r, struct index *x, const struct name *name,
                          uint32_t ref)
{
    index_grow(r, x);
    uint32_t s = name->hash & (x->cap - 1);
    while (x->at[s].ref != 0 && (x->at[s].hash != name->hash || !is_like(r, x->at[s].ref, name)))
        s = (s + 1) & (x->cap - 1);
    uint32_t before = x->at[s].ref;
    x->n += before == 0;
    x->at[s] = (struct slot){.ref = ref, .hash = name->hash};
    return before;
}

/* ------------------------------------------------------------ leaving out */

static void kill(struct elision *r, uint32_t ref)
{
    struct segment *g = segment_of(r, ref);
    struct kept *k = kept_at(r, ref);
    if (k == NULL || k->dead)
        return;
    k->dead = true;
    g->live--;
    g->live_bytes -= k->n;
    r->live--;
    r->live_bytes -= k->n;
    r->elided++;
    if (g->live == 0)
        segment_clear(r, g, 0);
    else if (buf_len(&g->bytes) > g->live_bytes + g->live_bytes / 4 + 4096)
        r->wasteful = (uint32_t)(g - r->segments) + 1;
}

/* Adds to what is there, and so needs it. */
static bool adds(const struct kept *by)
{
#ifdef MUTANT_elides_increments
    return is_amount(by->kind) && by->flags == UINT8_MAX;
#else
    return is_amount(by->kind) && !(by->flags & OPF_ABSORB);
#endif
}

/* Does `by`, of the same place, remove whatever `k` does? */
static bool removes(const struct kept *by, const struct kept *k)
{
    if ((k->flags & OPF_FRESH) && !(by->flags & OPF_FRESH))
        return false;
    if (is_amount(by->kind))
        return !adds(by) && is_amount(k->kind);
    return by->kind != OP_PATCH;
}

/* A patch needs the assignment that it changes: it may only go before that does. */
static bool may_part(const struct elision *r, const struct kept *by)
{
    const struct kept *k;
    for (uint32_t i = by->same_place; by->place == PLACE_STRING && (k = kept_at(r, i)) != NULL;
         i = k->same_place)
        if (k->kind == OP_PATCH && !k->dead && !removes(by, k))
            return false;
    return true;
}

static void leave_out_place(struct elision *r, struct kept *by)
{
    if (adds(by) || by->kind == OP_PATCH || !may_part(r, by))
        return;
    uint32_t *link = &by->same_place;
    const struct kept *k;
    while ((k = kept_at(r, *link)) != NULL) {
        uint32_t at = *link, before = k->same_place;
        if (k->dead || removes(by, k)) {
            kill(r, at);
            *link = before;
        } else {
            link = &kept_at(r, at)->same_place;
        }
    }
    *link = 0;
}

static void leave_out_key(struct elision *r, struct kept *by)
{
    const struct kept *k;
    for (uint32_t i = by->same_key, before; (k = kept_at(r, i)) != NULL; i = before) {
        before = k->same_key;
        kill(r, i);
    }
    by->same_key = by->same_place = 0;
}

static void leave_out_all(struct elision *r, uint32_t by)
{
    for (uint32_t s = 0; s < r->segments_n; s++)
        for (uint32_t i = 0; r->segments[s].live > 0 && i < count(&r->segments[s]); i++)
            if (s * SEGMENT_OPS + i + 1 != by)
                kill(r, s * SEGMENT_OPS + i + 1);
    index_clear(&r->keys);
    index_clear(&r->places);
}

static void link_in(struct elision *r, uint32_t ref)
{
    struct kept *k = kept_at(r, ref);
    struct name name = {.place = PLACE_NONE};
    if (k->kind == OP_FLUSH) {
        leave_out_all(r, ref);
        return;
    }
    read_names(segment_of(r, ref), k, &name.key, &name.elem);
    uint64_t hash = hash_sip(name.key, r->key);
    name.hash = (uint32_t)hash;
    k->same_key = index_put(r, &r->keys, &name, ref);
    if (k->place != PLACE_NONE) {
        struct hash_key of_key = {.k0 = hash, .k1 = r->key.k1 + k->place};
        name.hash = (uint32_t)hash_sip(name.elem, of_key);
        name.place = k->place;
        k->same_place = index_put(r, &r->places, &name, ref);
    }
    if (is_whole(k))
        leave_out_key(r, k);
    else if (k->place != PLACE_NONE)
        leave_out_place(r, k);
}

/* ------------------------------------------------------------ adding */

static bool same_deps(const struct elision *r, const struct frame *f)
{
    return r->deps.n == f->deps_count &&
           (f->deps_count == 0 ||
            memcmp(r->deps.at, f->deps, f->deps_count * sizeof *f->deps) == 0);
}

bool elision_fits(const struct elision *r, const struct frame *f)
{
    size_t bytes_max = r->bytes_max;
    if (elision_empty(r))
        return true;
    if (r->solid && bytes_max > ELISION_SOLID_BYTES)
        bytes_max = ELISION_SOLID_BYTES;
    return f->partition == r->partition && f->prev == r->last && same_deps(r, f) &&
           r->live + f->ops_count <= (r->solid ? ELISION_SOLID_OPS : ELISION_OPS_MAX) &&
           r->live_bytes + f->ops.n <= bytes_max;
}

/* Appends an operation's bytes, without its stamp; the stamp's distance is returned. 0: malformed.
 */
static uint64_t put_op(struct segment *g, struct mp *m, struct kept *k)
{
    uint32_t n = mp_array(m);
    uint64_t delta = mp_uint(m);
    const uint8_t *rest = m->p;
    uint64_t head = mp_uint(m);
    for (uint32_t i = 2; i < n && !m->bad; i++)
        mp_skip(m);
    if (m->bad || n < 2 || n > 5)
        return 0;
    k->kind = head & 31u;
    k->flags = (uint8_t)(head >> 5);
    k->place = (uint8_t)place_of(k);
    k->at = (uint32_t)buf_len(&g->bytes);
    mp_put_array(&g->bytes, n);
    buf_put(&g->bytes, rest, (size_t)(m->p - rest));
    k->n = (uint32_t)(buf_len(&g->bytes) - k->at);
    return delta;
}

static size_t room_of(const struct segment *g) { return g->ops.cap + g->bytes.cap; }

/* What was left out takes no more room. */
static void compact(struct elision *r, struct segment *g)
{
    struct buf bytes = {0};
    if (g->live == 0)
        return;
    r->memory -= room_of(g);
    buf_grow(&bytes, g->live_bytes);
    for (uint32_t i = 0; i < count(g); i++) {
        struct kept *k = kept_in(g, i);
        uint32_t at = (uint32_t)buf_len(&bytes);
        if (k->dead)
            continue;
        buf_put(&bytes, g->bytes.p + g->bytes.head + k->at, k->n);
        k->at = at;
    }
    buf_deinit(&g->bytes);
    g->bytes = bytes;
    r->memory += room_of(g);
}

/* Where the next operation goes. */
static struct segment *newest(struct elision *r)
{
    struct segment *g = r->segments_n > 0 ? &r->segments[r->segments_n - 1] : NULL;
    if (g != NULL && count(g) < SEGMENT_OPS && buf_len(&g->bytes) < SEGMENT_BYTES)
        return g;
    if (g != NULL)
        compact(r, g);
    if (r->segments_n == r->segments_cap) {
        r->segments_cap = r->segments_cap ? 2 * r->segments_cap : 1;
        r->segments = mem_realloc(r->segments, r->segments_cap * sizeof *r->segments);
    }
    g = &r->segments[r->segments_n++];
    *g = (struct segment){0};
    if (r->segments_n > 1)
        buf_grow(&g->bytes, SEGMENT_BYTES + SEGMENT_BYTES / 16);
    r->memory += room_of(g);
    return g;
}

static uint64_t add_op(struct elision *r, struct mp *m, stamp_t base)
{
    struct segment *g = newest(r);
    struct kept k = {0};
    size_t room = room_of(g);
    uint64_t delta = put_op(g, m, &k);
    if (delta == 0)
        return 0;
    k.stamp = base + delta;
    buf_put(&g->ops, &k, sizeof k);
    g->live++;
    g->live_bytes += k.n;
    r->live++;
    r->live_bytes += k.n;
    r->memory += room_of(g) - room;
    r->solid |= k.kind == OP_PATCH || k.kind == OP_FLUSH;
    link_in(r, (r->segments_n - 1) * SEGMENT_OPS + count(g));
    if (r->wasteful != 0)
        compact(r, &r->segments[r->wasteful - 1]);
    r->wasteful = 0;
    return delta;
}

bool elision_add(struct elision *r, const struct frame *f)
{
    struct mp m = mp_read(f->ops);
    stamp_t base = f->first - 1;
    if (elision_empty(r)) {
        elision_clear(r);
        r->partition = f->partition;
        r->prev = f->prev;
        for (uint32_t i = 0; i < f->deps_count; i++)
            context_raise(&r->deps, f->deps[i]);
    }
    while (m.p < m.end) {
        uint64_t delta = add_op(r, &m, base);
        if (delta == 0)
            return false;
        base += delta;
    }
    r->flags |= f->flags;
    r->last = f->last;
    r->wall_ms = f->wall_ms;
    return base == f->last;
}

/* ------------------------------------------------------------ the frame */

/* The first operation from there on that is still in the run; 0: none. */
static uint32_t living(const struct elision *r, uint32_t ref)
{
    for (uint32_t s = (ref - 1) / SEGMENT_OPS, i = (ref - 1) % SEGMENT_OPS; s < r->segments_n;
         s++, i = 0)
        for (; r->segments[s].live > 0 && i < count(&r->segments[s]); i++)
            if (!kept_in(&r->segments[s], i)->dead)
                return s * SEGMENT_OPS + i + 1;
    return 0;
}

void elision_head(struct elision *r, struct frame *out)
{
    r->next = living(r, 1);
    *out = (struct frame){.partition = r->partition,
                          .ops_count = r->live,
                          .flags = r->flags,
                          .prev = r->prev,
                          .first = kept_at(r, r->next)->stamp,
                          .last = r->last,
                          .wall_ms = r->wall_ms,
                          .deps = r->deps.at,
                          .deps_count = r->deps.n};
    r->base = out->first - 1;
}

stamp_t elision_last(const struct elision *r) { return r->last; }

size_t elision_size(const struct elision *r)
{
    return r->live_bytes + r->live * (size_t)9; /* stamps: MessagePack's longest numbers */
}

bool elision_next(struct elision *r, struct buf *out, size_t bytes)
{
    size_t end = buf_len(out) + bytes;
    while (r->next != 0 && buf_len(out) < end) {
        const struct segment *g = segment_of(r, r->next);
        const struct kept *k = kept_at(r, r->next);
        const uint8_t *p = g->bytes.p + g->bytes.head + k->at;
        buf_put_u8(out, p[0]);
        mp_put_uint(out, k->stamp - r->base);
        buf_put(out, p + 1, k->n - 1);
        r->base = k->stamp;
        r->next = living(r, r->next + 1);
    }
    return r->next != 0;
}

void elision_frame(struct elision *r, struct buf *room, struct frame *out)
{
    elision_head(r, out);
    buf_clear(room);
    elision_next(r, room, SIZE_MAX / 2);
    out->ops = buf_bytes(room);
}
