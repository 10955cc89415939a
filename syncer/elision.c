/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/elision.h"

#include "base/mem.h"

#define TABLE_MIN 64u
#define ROOM_KEPT ((size_t)16 << 10) /* a cleared run keeps no more than that */

/* An operation that is still in the run, or was. Behind `at` lie its bytes as they travel, without
 * the stamp: a head (how many elements), kind and flags, key and so on. Links are indexes + 1. */
struct kept {
    stamp_t stamp;
    uint32_t at, n;
    uint32_t key_hash, place_hash;
    uint32_t same_key;   /* the one before of the same key */
    uint32_t same_place; /* ... of the same register, element or deadline */
    uint8_t kind, flags, place;
    bool dead;
};

/* Newest operation by hash; open addressing, 0 is free. */
struct index {
    uint32_t *at;
    uint32_t n, cap;
};

struct elision {
    struct hash_key key;
    uint32_t partition;
    uint8_t flags;
    stamp_t prev, last;
    int64_t wall_ms;
    struct context deps;
    struct buf ops;   /* struct kept */
    struct buf bytes; /* what they point to */
    struct index keys, places;
    uint32_t live;
    size_t live_bytes;
    uint64_t elided;
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

struct elision *elision_new(struct hash_key key)
{
    struct elision *r = mem_zalloc(sizeof *r);
    r->key = key;
    return r;
}

void elision_free(struct elision *r)
{
    if (r == NULL)
        return;
    context_deinit(&r->deps);
    buf_deinit(&r->ops);
    buf_deinit(&r->bytes);
    mem_free(r->keys.at);
    mem_free(r->places.at);
    mem_free(r);
}

static uint32_t count(const struct elision *r)
{
    return (uint32_t)(buf_len(&r->ops) / sizeof(struct kept));
}

static struct kept *kept_at(const struct elision *r, uint32_t i)
{
    return (struct kept *)(void *)(r->ops.p + r->ops.head) + i;
}

bool elision_empty(const struct elision *r) { return count(r) == 0; }

uint64_t elision_elided(const struct elision *r) { return r->elided; }

size_t elision_bytes(const struct elision *r)
{
    return r->ops.cap + r->bytes.cap + (r->keys.cap + r->places.cap) * sizeof(uint32_t);
}

static void index_clear(struct index *x)
{
    mem_free(x->at);
    *x = (struct index){0};
}

void elision_clear(struct elision *r)
{
    context_clear(&r->deps);
    buf_reuse(&r->ops, ROOM_KEPT);
    buf_reuse(&r->bytes, ROOM_KEPT);
    index_clear(&r->keys);
    index_clear(&r->places);
    r->live = 0;
    r->live_bytes = 0;
    r->flags = 0;
}

/* ------------------------------------------------------------ finding */

static void read_names(const struct elision *r, const struct kept *k, struct bytes *key,
                       struct bytes *elem)
{
    struct mp m = mp_read(bytes_of(r->bytes.p + r->bytes.head + k->at, k->n));
    mp_array(&m);
    mp_uint(&m);
    *key = k->kind == OP_FLUSH ? bytes_of(NULL, 0) : mp_bin(&m);
    *elem = has_elem((enum place)k->place) ? mp_bin(&m) : bytes_of(NULL, 0);
}

static bool is_same(const struct elision *r, const struct kept *a, const struct kept *b, bool place)
{
    struct bytes key_a, key_b, elem_a, elem_b;
    if (place ? a->place_hash != b->place_hash || a->place != b->place : a->key_hash != b->key_hash)
        return false;
    read_names(r, a, &key_a, &elem_a);
    read_names(r, b, &key_b, &elem_b);
    return bytes_eq(key_a, key_b) && (!place || bytes_eq(elem_a, elem_b));
}

/* The slot of the newest operation like kept_at(r, i), or a free one. */
static uint32_t *slot_of(const struct elision *r, const struct index *x, uint32_t i, bool place)
{
    const struct kept *k = kept_at(r, i);
    uint32_t s = (place ? k->place_hash : k->key_hash) & (x->cap - 1);
    while (x->at[s] != 0 && !is_same(r, kept_at(r, x->at[s] - 1), k, place))
        s = (s + 1) & (x->cap - 1);
    return &x->at[s];
}

static void index_grow(const struct elision *r, struct index *x, bool place)
{
    struct index old = *x;
    if (2 * (x->n + 1) <= x->cap)
        return;
    x->cap = old.cap ? old.cap * 2 : TABLE_MIN;
    x->at = mem_zalloc(x->cap * sizeof *x->at);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.at[i] != 0)
            *slot_of(r, x, old.at[i] - 1, place) = old.at[i];
    mem_free(old.at);
}

/* Makes operation i the newest of its like; returns the one before + 1, 0 none. */
static uint32_t index_put(const struct elision *r, struct index *x, uint32_t i, bool place)
{
    index_grow(r, x, place);
    uint32_t *slot = slot_of(r, x, i, place), before = *slot;
    x->n += before == 0;
    *slot = i + 1;
    return before;
}

/* ------------------------------------------------------------ leaving out */

static void kill(struct elision *r, struct kept *k)
{
    if (k->dead)
        return;
    k->dead = true;
    r->live--;
    r->live_bytes -= k->n;
    r->elided++;
}

/* Does `by`, of the same place, remove whatever `k` does? */
static bool removes(const struct kept *by, const struct kept *k)
{
    if ((k->flags & OPF_FRESH) && !(by->flags & OPF_FRESH))
        return false;
    if (is_amount(by->kind))
        return (by->flags & OPF_ABSORB) && is_amount(k->kind);
    return by->kind != OP_PATCH;
}

/* A patch needs the assignment that it changes: it may only go before that does. */
static bool may_part(const struct elision *r, const struct kept *by)
{
    for (uint32_t i = by->same_place; by->place == PLACE_STRING && i != 0;) {
        const struct kept *k = kept_at(r, i - 1);
        if (k->kind == OP_PATCH && !k->dead && !removes(by, k))
            return false;
        i = k->same_place;
    }
    return true;
}

static void leave_out_place(struct elision *r, struct kept *by)
{
    bool amount = is_amount(by->kind);
    if ((amount && !(by->flags & OPF_ABSORB)) || by->kind == OP_PATCH || !may_part(r, by))
        return;
    uint32_t *link = &by->same_place;
    while (*link != 0) {
        struct kept *k = kept_at(r, *link - 1);
        if (!k->dead && removes(by, k))
            kill(r, k);
        if (k->dead)
            *link = k->same_place;
        else
            link = &k->same_place;
    }
}

static void leave_out_key(struct elision *r, struct kept *by)
{
    for (uint32_t i = by->same_key; i != 0;) {
        struct kept *k = kept_at(r, i - 1);
        kill(r, k);
        i = k->same_key;
    }
    by->same_key = by->same_place = 0;
}

static void leave_out_all(struct elision *r, const struct kept *by)
{
    for (struct kept *k = kept_at(r, 0); k != by; k++)
        kill(r, k);
    index_clear(&r->keys);
    index_clear(&r->places);
}

static void link_in(struct elision *r, uint32_t i)
{
    struct kept *k = kept_at(r, i);
    struct bytes key, elem;
    if (k->kind == OP_FLUSH) {
        leave_out_all(r, k);
        return;
    }
    read_names(r, k, &key, &elem);
    uint64_t hash = hash_sip(key, r->key);
    k->key_hash = (uint32_t)hash;
    k->same_key = index_put(r, &r->keys, i, false);
    if (k->place != PLACE_NONE) {
        struct hash_key of_key = {.k0 = hash, .k1 = r->key.k1 + k->place};
        k->place_hash = (uint32_t)hash_sip(elem, of_key);
        k->same_place = index_put(r, &r->places, i, true);
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
    if (elision_empty(r))
        return true;
    return f->partition == r->partition && f->prev == r->last && same_deps(r, f) &&
           r->live + f->ops_count <= ELISION_OPS_MAX &&
           r->live_bytes + f->ops.n <= ELISION_BYTES_MAX;
}

/* Appends an operation's bytes, without its stamp; the stamp's distance is returned. 0: malformed.
 */
static uint64_t put_op(struct elision *r, struct mp *m, struct kept *k)
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
    k->at = (uint32_t)buf_len(&r->bytes);
    mp_put_array(&r->bytes, n);
    buf_put(&r->bytes, rest, (size_t)(m->p - rest));
    k->n = (uint32_t)(buf_len(&r->bytes) - k->at);
    return delta;
}

/* The nearest operation of a chain that is still there, by its new index + 1. */
static uint32_t living(const struct kept *all, const uint32_t *moved, uint32_t i, bool place)
{
    while (i != 0 && all[i - 1].dead)
        i = place ? all[i - 1].same_place : all[i - 1].same_key;
    return i == 0 ? 0 : moved[i - 1] + 1;
}

/* The newest of its like is never left out, so every entry stays, with another number. */
static void index_move(struct index *x, const uint32_t *moved)
{
    for (uint32_t i = 0; i < x->cap; i++)
        if (x->at[i] != 0)
            x->at[i] = moved[x->at[i] - 1] + 1;
}

/* A third of what the run holds was left out: it is written anew, into no more room than it will
 * need until then again. */
static void compact(struct elision *r)
{
    size_t more = r->live + r->live / 2 + 32, more_bytes = r->live_bytes + r->live_bytes / 2 + 4096;
    uint32_t n = count(r), to = 0;
    if (n < more && buf_len(&r->bytes) < more_bytes)
        return;
    struct buf ops = r->ops, bytes = r->bytes;
    r->ops = r->bytes = (struct buf){0};
    buf_grow(&r->ops, more * sizeof(struct kept));
    buf_grow(&r->bytes, more_bytes);
    const struct kept *all = (const struct kept *)(const void *)(ops.p + ops.head);
    uint32_t *moved = mem_alloc(n * sizeof *moved);
    for (uint32_t i = 0; i < n; i++)
        moved[i] = all[i].dead ? 0 : to++;
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].dead)
            continue;
        struct kept k = all[i];
        k.at = (uint32_t)buf_len(&r->bytes);
        k.same_key = living(all, moved, k.same_key, false);
        k.same_place = living(all, moved, k.same_place, true);
        buf_put(&r->bytes, bytes.p + bytes.head + all[i].at, all[i].n);
        buf_put(&r->ops, &k, sizeof k);
    }
    index_move(&r->keys, moved);
    index_move(&r->places, moved);
    mem_free(moved);
    buf_deinit(&ops);
    buf_deinit(&bytes);
}

bool elision_add(struct elision *r, const struct frame *f)
{
    struct mp m = mp_read(f->ops);
    stamp_t base = f->first - 1;
    if (elision_empty(r)) {
        r->partition = f->partition;
        r->prev = f->prev;
        for (uint32_t i = 0; i < f->deps_count; i++)
            context_raise(&r->deps, f->deps[i]);
    }
    while (m.p < m.end) {
        struct kept k = {0};
        uint64_t delta = put_op(r, &m, &k);
        if (delta == 0)
            return false;
        base = k.stamp = base + delta;
        buf_put(&r->ops, &k, sizeof k);
        r->live++;
        r->live_bytes += k.n;
        link_in(r, count(r) - 1);
    }
    r->flags |= f->flags;
    r->last = f->last;
    r->wall_ms = f->wall_ms;
    compact(r);
    return base == f->last;
}

void elision_frame(const struct elision *r, struct buf *room, struct frame *out)
{
    stamp_t base = 0;
    *out = (struct frame){.partition = r->partition,
                          .ops_count = r->live,
                          .flags = r->flags,
                          .prev = r->prev,
                          .last = r->last,
                          .wall_ms = r->wall_ms,
                          .deps = r->deps.at,
                          .deps_count = r->deps.n};
    buf_clear(room);
    for (uint32_t i = 0; i < count(r); i++) {
        const struct kept *k = kept_at(r, i);
        const uint8_t *p = r->bytes.p + r->bytes.head + k->at;
        if (k->dead)
            continue;
        if (base == 0) {
            out->first = k->stamp;
            base = k->stamp - 1;
        }
        buf_put_u8(room, p[0]);
        mp_put_uint(room, k->stamp - base);
        buf_put(room, p + 1, k->n - 1);
        base = k->stamp;
    }
    out->ops = buf_bytes(room);
}
