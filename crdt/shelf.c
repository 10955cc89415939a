/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/shelf.h"

#include "base/mem.h"
#include "crdt/form.h"

/*
 * Values go in the order in which they came, in each partition and, when there are too many, in the
 * shard. So a value never outlives what it was before: of what is kept of one key, each is rebuilt
 * from a later one.
 */
#define UNDO_END_MAX ((uint64_t)1 << 40)

struct kept_key {
    struct kept *oldest, *newest;
    uint64_t hash;
    size_t name_n;
    uint8_t name[];
};

struct kept {
    struct kept *older, *newer;  /* of the key */
    struct kept *next;           /* of the partition */
    struct kept *before, *after; /* of the shard */
    struct shelf *shelf;
    struct kept_key *key;
    stamp_t dot, until;
    stamp_t from;      /* undo: rebuilt from that value; 0: it is here */
    struct cell *cell; /* owned; NULL: in `bytes` */
    struct buf bytes;  /* the value, or what undoes patches, see put_undo */
    size_t size;
};

static struct bytes name_of(const void *item)
{
    const struct kept_key *k = item;
    return bytes_of(k->name, k->name_n);
}

static const struct table_type keys_type = {.name_of = name_of};

void shelf_init(struct shelf *f, struct shelf_total *total, struct hash_key key)
{
    *f = (struct shelf){.total = total};
    table_init(&f->keys, &keys_type, key);
}

/* ------------------------------------------------------------ coming and going */

static const struct kept_key *key_of(const struct shelf *f, struct bytes name)
{
    return f->keys.count == 0 ? NULL : table_get(&f->keys, table_hash(&f->keys, name), name);
}

static struct kept_key *key_make(struct shelf *f, struct bytes name)
{
    uint64_t hash = table_hash(&f->keys, name);
    struct kept_key *k = table_get(&f->keys, hash, name);
    if (k != NULL)
        return k;
    k = mem_alloc(sizeof *k + name.n);
    *k = (struct kept_key){.hash = hash, .name_n = name.n};
    if (name.n > 0)
        memcpy(k->name, name.p, name.n);
    table_put(&f->keys, hash, k);
    return k;
}

/* The oldest of a partition is the oldest of its key. */
static void drop_first(struct shelf *f)
{
    struct kept *e = f->first;
    struct shelf_total *t = f->total;
    f->first = e->next;
    if (f->first == NULL)
        f->last = NULL;
    *(e->before ? &e->before->after : &t->oldest) = e->after;
    *(e->after ? &e->after->before : &t->newest) = e->before;
    t->bytes -= e->size;
    t->n--;
    struct kept_key *k = e->key;
    k->oldest = e->newer;
    if (k->oldest != NULL) {
        k->oldest->older = NULL;
    } else {
        table_remove(&f->keys, k->hash, k);
        mem_free(k);
    }
    mem_free(e->cell);
    buf_deinit(&e->bytes);
    mem_free(e);
}

void shelf_clear(struct shelf *f)
{
    while (f->first != NULL)
        drop_first(f);
    table_deinit(&f->keys, NULL, NULL);
    if (f->total != NULL)
        shelf_init(f, f->total, f->keys.key);
}

void shelf_release(struct shelf *f, const struct context *stable)
{
    while (f->first != NULL && context_covers(stable, f->first->until))
        drop_first(f);
}

static void resize(struct kept *e)
{
    size_t size = sizeof *e + e->bytes.cap + (e->cell ? mem_block_size(e->cell) : 0);
    e->shelf->total->bytes += size - e->size;
    e->size = size;
}

/* The newest stays in any case: one value may be larger than the limit. */
static void evict(struct shelf_total *t)
{
    while (t->held == 0 && t->bytes > t->bytes_max && t->oldest != t->newest) {
        drop_first(t->oldest->shelf);
        t->evicted++;
    }
}

void shelf_hold(struct shelf_total *t) { t->held++; }

void shelf_unhold(struct shelf_total *t)
{
    t->held--;
    evict(t);
}

static struct kept *add(struct shelf *f, struct bytes name, stamp_t dot, stamp_t until)
{
    struct shelf_total *t = f->total;
    struct kept *e = mem_alloc(sizeof *e);
    *e = (struct kept){.shelf = f, .key = key_make(f, name), .dot = dot, .until = until};
    e->bytes.charged = true;
    e->older = e->key->newest;
    *(e->older ? &e->older->newer : &e->key->oldest) = e;
    e->key->newest = e;
    *(f->last ? &f->last->next : &f->first) = e;
    f->last = e;
    e->before = t->newest;
    *(t->newest ? &t->newest->after : &t->oldest) = e;
    t->newest = e;
    t->n++;
    return e;
}

/* ------------------------------------------------------------ keeping */

void shelf_keep(struct shelf *f, struct bytes key, struct sibling value, stamp_t until)
{
    struct kept *e = add(f, key, value.dot, until);
    buf_put_bytes(&e->bytes, value.val);
    resize(e);
    evict(f->total);
}

void shelf_take(struct shelf *f, struct cell *cell, stamp_t until)
{
    struct view v = cell_view(cell);
    struct kept *e = add(f, v.name, view_dot(cell, &v, 0), until);
    e->cell = cell;
    resize(e);
    evict(f->total);
}

/* What undoes one patch stands behind the bytes that it overwrote: a list of them is read from its
 * end. Its numbers are of 8 bytes each, big endian. */
#define UNDO_TAIL 24u

static void put_u64(struct buf *out, uint64_t v)
{
    uint8_t *p = buf_reserve(out, 8);
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
    buf_added(out, 8);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static void put_undo(struct buf *out, const struct undo *u)
{
    buf_put_bytes(out, u->was);
    put_u64(out, u->offset);
    put_u64(out, u->len);
    put_u64(out, u->was.n);
}

/* Takes the last one off the list; false when it is malformed. */
static bool take_undo(struct bytes *list, struct undo *u)
{
    if (list->n < UNDO_TAIL)
        return false;
    const uint8_t *tail = list->p + list->n - UNDO_TAIL;
    uint64_t offset = get_u64(tail), len = get_u64(tail + 8), n = get_u64(tail + 16);
    if (n > list->n - UNDO_TAIL || offset > UNDO_END_MAX || len > UNDO_END_MAX)
        return false;
    if (n > 0 && offset + n > len)
        return false;
    list->n -= UNDO_TAIL + (size_t)n;
    *u = (struct undo){.offset = (size_t)offset, .len = (size_t)len};
    u->was = bytes_of(list->p + list->n, (size_t)n);
    return true;
}

/* False when it cannot have been made from this text. */
static bool take_back(struct bytes list, struct buf *text)
{
    struct undo u;
    while (list.n > 0) {
        if (!take_undo(&list, &u) || u.len > buf_len(text))
            return false;
        if (u.was.n > 0)
            memcpy(text->p + text->head + u.offset, u.was.p, u.was.n);
        text->tail = text->head + u.len;
    }
    return true;
}

bool shelf_needs(const struct shelf *f, struct bytes key, stamp_t dot)
{
    const struct kept_key *k = key_of(f, key);
    for (const struct kept *e = k ? k->newest : NULL; e != NULL; e = e->older)
        if (e->from == dot)
            return true;
    return false;
}

void shelf_keep_undo(struct shelf *f, struct bytes key, stamp_t dot, const struct undo *undo,
                     stamp_t now, bool merge)
{
    const struct kept_key *k = merge ? key_of(f, key) : NULL;
    struct kept *e = k ? k->newest : NULL;
    if (merge && (e == NULL || e->from != dot)) {
        if (!shelf_needs(f, key, dot))
            return;
        e = NULL; /* a step on the way to something older */
    }
    if (e == NULL)
        e = add(f, key, dot, now);
    put_undo(&e->bytes, undo);
    e->from = now;
    resize(e);
    evict(f->total);
}

/* ------------------------------------------------------------ rebuilding */

static const struct sibling *present_value(const struct reg *present, stamp_t dot)
{
    for (uint32_t i = 0; i < present->nsib; i++)
        if (present->sib[i].dot == dot)
            return &present->sib[i];
    return NULL;
}

static const struct kept *find(const struct kept_key *k, stamp_t dot)
{
    const struct kept *e = k->newest;
    while (e != NULL && e->dot != dot)
        e = e->older;
    return e;
}

static struct bytes whole_value(const struct kept *e)
{
    if (e->cell == NULL)
        return buf_bytes(&e->bytes);
    struct view v = cell_view(e->cell);
    return view_rest(e->cell, &v);
}

/* The way from a value that is here whole, *start, back to `dot`: appended to `path`, last step
 * first. */
static bool find_path(const struct shelf *f, struct bytes key, stamp_t dot,
                      const struct reg *present, struct buf *path, struct bytes *start)
{
    const struct kept_key *k = key_of(f, key);
    const struct kept *e = k ? find(k, dot) : NULL;
    while (e != NULL && e->from != 0) {
        buf_put(path, &e, sizeof e);
        const struct sibling *s = present_value(present, e->from);
        if (s != NULL) {
            *start = s->val;
            return true;
        }
        e = find(k, e->from);
    }
    if (e != NULL)
        *start = whole_value(e);
    return e != NULL;
}

bool shelf_has(const struct shelf *f, struct bytes key, stamp_t dot, const struct reg *present)
{
    struct buf path = {0};
    struct bytes start;
    bool found = find_path(f, key, dot, present, &path, &start);
    buf_deinit(&path);
    return found;
}

bool shelf_show(const struct shelf *f, struct bytes key, stamp_t dot, const struct reg *present,
                struct buf *out)
{
    struct buf path = {0};
    struct bytes start;
    bool found = find_path(f, key, dot, present, &path, &start);
    if (found)
        buf_put_bytes(out, start);
    for (size_t at = found ? buf_len(&path) : 0; at > 0; at -= sizeof(struct kept *)) {
        const struct kept *e;
        memcpy(&e, path.p + at - sizeof e, sizeof e);
        found = found && take_back(buf_bytes(&e->bytes), out);
    }
    if (!found)
        buf_clear(out);
    buf_deinit(&path);
    return found;
}

/* ------------------------------------------------------------ travelling */

#define RECORD_ITEMS 5u

void shelf_encode(const struct shelf *f, void (*put)(void *arg, struct bytes record), void *arg)
{
    struct buf out = {0};
    for (const struct kept *e = f->first; e != NULL; e = e->next) {
        buf_clear(&out);
        mp_put_array(&out, RECORD_ITEMS);
        mp_put_bin(&out, name_of(e->key));
        mp_put_uint(&out, e->dot);
        mp_put_uint(&out, e->until);
        mp_put_uint(&out, e->from);
        mp_put_bin(&out, whole_value(e));
        put(arg, buf_bytes(&out));
    }
    buf_deinit(&out);
}

struct record {
    struct bytes key, bytes;
    stamp_t dot, until, from;
};

static bool read_record(struct bytes s, struct record *r)
{
    struct mp m = mp_read(s);
    if (mp_array(&m) != RECORD_ITEMS)
        return false;
    r->key = mp_bin(&m);
    r->dot = mp_uint(&m);
    r->until = mp_uint(&m);
    r->from = mp_uint(&m);
    r->bytes = mp_bin(&m);
    return mp_done(&m);
}

bool shelf_is_record(struct bytes record)
{
    struct mp m = mp_read(record);
    return mp_array(&m) == RECORD_ITEMS && !m.bad;
}

bool shelf_record_valid(struct bytes record)
{
    struct record r;
    struct undo u;
    if (!read_record(record, &r) || stamp_is_zero(r.dot) || r.until <= r.dot ||
        (r.from != 0 && r.from <= r.dot))
        return false;
    while (r.from != 0 && r.bytes.n > 0)
        if (!take_undo(&r.bytes, &u))
            return false;
    return true;
}

void shelf_merge(struct shelf *f, struct bytes record, const struct context *stable)
{
    struct record r;
    if (!read_record(record, &r) || context_covers(stable, r.until))
        return;
    const struct kept_key *k = key_of(f, r.key);
    if (k != NULL && find(k, r.dot) != NULL)
        return;
    struct kept *e = add(f, r.key, r.dot, r.until);
    e->from = r.from;
    buf_put_bytes(&e->bytes, r.bytes);
    resize(e);
    evict(f->total);
}
