/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/table.h"

#include "base/mem.h"

#include <assert.h>

/* Segments no deeper than this; what still does not fit makes overflow chains (equal hashes would
 * split for ever). The buckets' first hashes then are multiples of 2^18, and a scan cursor, in
 * units of 2^16, is exact. */
#define DEPTH_MAX 40u
#define CURSOR_SHIFT 16u
/* A split at 80 % of the slots: fuller, too many overflow buckets; emptier, too much memory. */
#define SEGMENT_MAX ((TABLE_SLOTS << TABLE_BITS_MAX) * 4 / 5)
/* Two siblings become one when together they fill a quarter: far from the next split. */
#define MERGE_MAX ((TABLE_SLOTS << TABLE_BITS_MAX) / 4)
#define ITEMS_MAX 8191u /* where an entry's count sticks */

/* ------------------------------------------------------------ entries */

static unsigned entry_items(uint64_t entry) { return (unsigned)(entry >> 48) & ITEMS_MAX; }

static uint64_t entry_make(struct table_bucket *buckets, unsigned bits, unsigned depth)
{
    return (uint64_t)bits << 61 | (uint64_t)(uintptr_t)buckets | depth;
}

/* The first entry of the segment that hash belongs to. */
static uint64_t *first_entry(const struct table *t, uint64_t hash)
{
    uint64_t i = table_top(hash, t->depth);
    unsigned wide = t->depth - table_entry_depth(t->dir[i]);
    return &t->dir[i >> wide << wide];
}

static void count_item(uint64_t *entry, bool add)
{
    unsigned n = entry_items(*entry);
    if (n == ITEMS_MAX)
        return; /* it sticks: such a segment, all of equal hashes, is never split or merged by count
                   again */
    *entry += add ? UINT64_C(1) << 48 : -(UINT64_C(1) << 48);
}

/* ------------------------------------------------------------ memory */

static uint64_t segment_new(struct table *t, unsigned bits, unsigned depth)
{
    t->memory += sizeof(struct table_bucket) << bits;
    return entry_make(mem_lines((size_t)1 << bits), bits, depth);
}

static struct table_bucket *overflow_new(struct table *t)
{
    t->memory += sizeof(struct table_bucket);
    return mem_lines(1);
}

static void overflow_free(struct table *t, struct table_bucket *b)
{
    t->memory -= sizeof *b;
    mem_free(b);
}

static void segment_free(struct table *t, uint64_t entry)
{
    struct table_bucket *buckets = table_entry_buckets(entry);
    for (unsigned b = 0; b < 1u << table_entry_bits(entry); b++) {
        for (struct table_bucket *o = buckets[b].link, *next; o != NULL; o = next) {
            next = o->link;
            overflow_free(t, o);
        }
    }
    t->memory -= sizeof *buckets << table_entry_bits(entry);
    mem_free(buckets);
}

static void dir_resize(struct table *t, unsigned depth)
{
    uint64_t *dir = mem_alloc(sizeof *dir << depth);
    for (uint64_t i = 0; i < UINT64_C(1) << depth; i++)
        dir[i] =
            depth > t->depth ? t->dir[i >> (depth - t->depth)] : t->dir[i << (t->depth - depth)];
    t->memory += sizeof *dir << depth;
    t->memory -= sizeof *dir << t->depth;
    mem_free(t->dir);
    t->dir = dir;
    t->depth = depth;
}

/* Lets all entries of the segment of depth d that `hash` belongs to be `entry`. */
static void dir_set(struct table *t, uint64_t hash, unsigned d, uint64_t entry)
{
    unsigned wide = t->depth - d;
    uint64_t first = table_top(hash, t->depth) >> wide << wide;
    for (uint64_t i = 0; i < UINT64_C(1) << wide; i++)
        t->dir[first + i] = entry;
}

/* ------------------------------------------------------------ placing and moving */

static void place(struct table *t, uint64_t hash, void *item)
{
    uint64_t *entry = first_entry(t, hash), tag = table_tag(*entry, hash);
    struct table_bucket *b = table_bucket(*entry, hash);
    while (b->slot[TABLE_SLOTS - 1] != 0) {
        if (b->link == NULL)
            b->link = overflow_new(t);
        b = b->link;
    }
    unsigned i = 0;
    while (b->slot[i] != 0)
        i++;
    b->slot[i] = tag << 48 | (uint64_t)(uintptr_t)item;
    count_item(entry, true);
}

static void prefetch_items(const struct table_bucket *b)
{
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        prefetch(table_pointer(b->slot[i]));
}

/* Moves all items of a segment, which is no longer in the directory, to where they belong now, and
 * frees it. `prefix`: a hash of the segment. Where tags keep their place (`known`), the hash's bits
 * as far as needed are put together from prefix, bucket and tag; otherwise they are computed from
 * the names. */
static void spill(struct table *t, uint64_t entry, uint64_t prefix, bool known)
{
    unsigned d = table_entry_depth(entry), bits = table_entry_bits(entry), n = 1u << bits;
    prefix = d ? prefix >> (64 - d) << (64 - d) : 0;
    for (unsigned i = 0; i < n; i++) {
        struct table_bucket *first = table_entry_buckets(entry) + i;
        if (!known && i + 1 < n)
            prefetch_items(first + 1);
        for (struct table_bucket *b = first; b != NULL; b = b->link) {
            for (unsigned j = 0; j < TABLE_SLOTS && b->slot[j] != 0; j++) {
                void *item = table_pointer(b->slot[j]);
                uint64_t hash = prefix | (uint64_t)i << (64 - TABLE_BITS_MAX) >> d |
                                b->slot[j] >> 48 << (48 - TABLE_BITS_MAX) >> (d & ~7u);
                place(t, known ? hash : table_hash(t, t->type->name_of(item)), item);
            }
        }
    }
    segment_free(t, entry);
}

static bool same_tags(unsigned depth, unsigned other) { return (depth & ~7u) == (other & ~7u); }

/* ------------------------------------------------------------ growing */

static void segment_resize(struct table *t, unsigned bits)
{
    uint64_t old = t->dir[0];
    t->dir[0] = segment_new(t, bits, 0);
    spill(t, old, 0, false);
}

static void segment_split(struct table *t, uint64_t hash)
{
    uint64_t old = *first_entry(t, hash);
    unsigned d = table_entry_depth(old);
    if (d == t->depth) {
        dir_resize(t, d + 1);
        t->deepest = 0;
    }
    uint64_t half = UINT64_C(1) << (63 - d);
    dir_set(t, hash & ~half, d + 1, segment_new(t, TABLE_BITS_MAX, d + 1));
    dir_set(t, hash | half, d + 1, segment_new(t, TABLE_BITS_MAX, d + 1));
    if (d + 1 == t->depth)
        t->deepest += 2;
    spill(t, old, hash, same_tags(d, d + 1));
}

/* A segment fills far before its time only when hashes are equal or chosen; the directory must not
 * grow for that. */
static bool may_split(const struct table *t, unsigned depth)
{
    return depth < t->depth || (depth < DEPTH_MAX && t->count >> depth >= SEGMENT_MAX / 8);
}

static void make_room(struct table *t, uint64_t hash)
{
    if (t->dir == NULL) {
        t->dir = mem_alloc(sizeof *t->dir);
        t->memory += sizeof *t->dir;
        t->dir[0] = segment_new(t, 0, 0);
        t->depth = 0;
        t->deepest = 1;
        return;
    }
    uint64_t entry = *first_entry(t, hash);
    unsigned bits = table_entry_bits(entry);
    unsigned room = bits == 0 ? TABLE_SLOTS : (TABLE_SLOTS << bits) * 4 / 5;
    if (entry_items(entry) < room)
        return;
    if (bits < TABLE_BITS_MAX)
        segment_resize(t, bits + 1);
    else if (may_split(t, table_entry_depth(entry)))
        segment_split(t, hash);
}

void table_put(struct table *t, uint64_t hash, void *item)
{
    assert((uintptr_t)item >> 48 == 0 && item != NULL);
    make_room(t, hash);
    place(t, hash, item);
    t->count++;
}

/* ------------------------------------------------------------ shrinking */

static void dir_halve(struct table *t)
{
    while (t->deepest == 0 && t->depth > 0) {
        dir_resize(t, t->depth - 1);
        for (uint64_t i = 0; i < UINT64_C(1) << t->depth; i++)
            t->deepest += table_entry_depth(t->dir[i]) == t->depth;
    }
}

static void segment_merge(struct table *t, uint64_t hash)
{
    uint64_t entry = *first_entry(t, hash);
    unsigned d = table_entry_depth(entry);
    uint64_t other_hash = hash ^ UINT64_C(1) << (64 - d);
    uint64_t other = *first_entry(t, other_hash);
    if (table_entry_depth(other) != d || entry_items(entry) + entry_items(other) > MERGE_MAX)
        return;
    dir_set(t, hash, d - 1, segment_new(t, TABLE_BITS_MAX, d - 1));
    spill(t, entry, hash, same_tags(d, d - 1));
    spill(t, other, other_hash, same_tags(d, d - 1));
    if (d == t->depth) {
        t->deepest -= 2;
        dir_halve(t);
    }
}

static void give_back(struct table *t, uint64_t hash)
{
    if (t->count == 0) {
        table_deinit(t, NULL, NULL);
        return;
    }
    uint64_t entry = *first_entry(t, hash);
    unsigned bits = table_entry_bits(entry);
    if (table_entry_depth(entry) > 0) {
        if (entry_items(entry) <= MERGE_MAX / 2)
            segment_merge(t, hash);
    } else if (bits > 0 && entry_items(entry) < (TABLE_SLOTS << bits) / 5) {
        segment_resize(t, bits - 1);
    }
}

/* Empties slot i of `b`: the chain's last item moves there, an overflow bucket left empty is freed.
 */
static void take_slot(struct table *t, uint64_t hash, struct table_bucket *b, unsigned i)
{
    uint64_t *entry = first_entry(t, hash);
    struct table_bucket *last = table_bucket(*entry, hash), *before = NULL;
    while (last->link != NULL) {
        before = last;
        last = last->link;
    }
    unsigned end = TABLE_SLOTS - 1;
    while (last->slot[end] == 0)
        end--;
    b->slot[i] = last->slot[end];
    last->slot[end] = 0;
    if (end == 0 && before != NULL) {
        before->link = NULL;
        overflow_free(t, last);
    }
    count_item(entry, false);
    t->count--;
    give_back(t, hash);
}

void *table_take(struct table *t, uint64_t hash, struct bytes name)
{
    if (t->count == 0)
        return NULL;
    uint64_t entry = t->dir[table_top(hash, t->depth)], tag = table_tag(entry, hash);
    for (struct table_bucket *b = table_bucket(entry, hash); b != NULL; b = b->link) {
        for (unsigned match = table_match(b, tag); match != 0; match &= match - 1) {
            unsigned i = table_match_slot(match);
            void *item = table_pointer(b->slot[i]);
            if (item == NULL || !bytes_eq(t->type->name_of(item), name))
                continue;
            take_slot(t, hash, b, i);
            return item;
        }
    }
    return NULL;
}

/* The slot of `old`, which is there. */
static struct table_bucket *slot_of(const struct table *t, uint64_t hash, const void *old,
                                    unsigned *i)
{
    assert(t->count > 0);
    uint64_t entry = t->dir[table_top(hash, t->depth)];
    uint64_t want = table_tag(entry, hash) << 48 | (uint64_t)(uintptr_t)old;
    for (struct table_bucket *b = table_bucket(entry, hash);; b = b->link) {
        assert(b != NULL);
        for (*i = 0; *i < TABLE_SLOTS; ++*i)
            if (b->slot[*i] == want)
                return b;
    }
}

void table_remove(struct table *t, uint64_t hash, const void *old)
{
    unsigned i;
    struct table_bucket *b = slot_of(t, hash, old, &i);
    take_slot(t, hash, b, i);
}

/* ------------------------------------------------------------ the rest */

void table_init(struct table *t, const struct table_type *type, struct hash_key key)
{
    *t = (struct table){.type = type, .key = key};
}

void table_deinit(struct table *t, void (*drop)(void *item, void *arg), void *arg)
{
    struct table_iter it;
    table_iter(&it, t);
    for (void *item; drop != NULL && (item = table_next(&it)) != NULL;)
        drop(item, arg);
    uint64_t at = 0;
    size_t all = SIZE_MAX;
    (void)table_deinit_step(t, &at, &all);
}

bool table_deinit_step(struct table *t, uint64_t *at, size_t *budget)
{
    uint64_t end = t->dir != NULL ? UINT64_C(1) << t->depth : 0, i = *at;
    for (; i<end && * budget> 0; --*budget) {
        uint64_t entry = t->dir[i];
        i += UINT64_C(1) << (t->depth - table_entry_depth(entry));
        segment_free(t, entry);
    }
    *at = i;
    if (i < end)
        return false;
    mem_free(t->dir);
    table_init(t, t->type, t->key);
    return true;
}

void table_replace(struct table *t, uint64_t hash, const void *old, void *item)
{
    unsigned i;
    struct table_bucket *b = slot_of(t, hash, old, &i);
    b->slot[i] = b->slot[i] >> 48 << 48 | (uint64_t)(uintptr_t)item;
}

void *table_get_hash(const struct table *t, uint64_t hash)
{
    if (t->count == 0)
        return NULL;
    uint64_t entry = t->dir[table_top(hash, t->depth)], tag = table_tag(entry, hash);
    for (struct table_bucket *b = table_bucket(entry, hash); b != NULL; b = b->link) {
        for (unsigned match = table_match(b, tag); match != 0; match &= match - 1) {
            void *item = table_pointer(b->slot[table_match_slot(match)]);
            if (item != NULL && table_hash(t, t->type->name_of(item)) == hash)
                return item;
        }
    }
    return NULL;
}

/* The first hash of the next bucket; 0 behind the last. */
static uint64_t next_bucket(uint64_t entry, uint64_t hash)
{
    unsigned known = table_entry_depth(entry) + table_entry_bits(entry);
    return known ? (table_top(hash, known) + 1) << (64 - known) : 0;
}

uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want,
                    void (*visit)(void *item, void *arg), void *arg)
{
    uint64_t hash = cursor << CURSOR_SHIFT;
    size_t visited = 0;
    if (t->count == 0)
        return 0;
    uint64_t entry = t->dir[table_top(hash, t->depth)];
    prefetch_items(table_bucket(entry, hash));
    do {
        const struct table_bucket *b = table_bucket(entry, hash);
        hash = next_bucket(entry, hash);
        if (hash != 0) { /* also when enough is visited: the next call begins there */
            entry = t->dir[table_top(hash, t->depth)];
            prefetch_items(table_bucket(entry, hash));
        }
        for (; b != NULL; b = b->link) {
            for (unsigned i = 0; i < TABLE_SLOTS && b->slot[i] != 0; i++, visited++)
                visit(table_pointer(b->slot[i]), arg);
        }
    } while (hash != 0 && visited < want);
    return hash >> CURSOR_SHIFT;
}

uint64_t table_move(struct table *t, uint64_t cursor, size_t want,
                    void *(*move)(void *item, void *arg), void *arg)
{
    uint64_t hash = cursor << CURSOR_SHIFT;
    size_t visited = 0;
    if (t->count == 0)
        return 0;
    do {
        uint64_t entry = t->dir[table_top(hash, t->depth)];
        struct table_bucket *first = table_bucket(entry, hash);
        prefetch_items(first);
        for (struct table_bucket *b = first; b != NULL; b = b->link) {
            for (unsigned i = 0; i < TABLE_SLOTS && b->slot[i] != 0; i++, visited++) {
                void *item = move(table_pointer(b->slot[i]), arg);
                b->slot[i] = b->slot[i] >> 48 << 48 | (uint64_t)(uintptr_t)item;
            }
        }
        hash = next_bucket(entry, hash);
    } while (hash != 0 && visited < want);
    return hash >> CURSOR_SHIFT;
}

/* The i-th item of a bucket and its overflow; NULL when it has fewer. */
static void *nth(const struct table_bucket *b, uint64_t i)
{
    for (; b != NULL; b = b->link, i -= TABLE_SLOTS)
        if (i < TABLE_SLOTS)
            return table_pointer(b->slot[i]);
    return NULL;
}

/* Buckets are drawn uniformly from those that the directory's depth could have, then one of CHAIN
 * places in it, until there is an item: so all items are equally likely, but those at the end of
 * chains longer than CHAIN. */
void *table_random(const struct table *t, uint64_t random)
{
    enum { CHAIN = 14, TRIES = 128 };
    if (t->count == 0)
        return NULL;
    uint64_t hash = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        random += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
        hash = (random ^ random >> 30) * 0xbf58476d1ce4e5b9ULL;
        hash = (hash ^ hash >> 27) * 0x94d049bb133111ebULL;
        hash ^= hash >> 31;
        uint64_t entry = t->dir[table_top(hash, t->depth)];
        uint64_t chain = table_entry_bits(entry) == 0 ? TABLE_SLOTS : CHAIN;
        uint64_t places = chain << (t->depth - table_entry_depth(entry));
        void *item = nth(table_bucket(entry, hash), (hash & UINT32_MAX) * places >> 32);
        if (item != NULL)
            return item;
    }
    /* An all but empty table, soon to be merged: the next item there is. */
    struct table_iter it = {.t = t, .dir = (uint64_t)(first_entry(t, hash) - t->dir)};
    void *item = table_next(&it);
    if (item == NULL) {
        table_iter(&it, t);
        item = table_next(&it);
    }
    return item;
}

size_t table_memory(const struct table *t) { return t->memory; }

void table_iter(struct table_iter *it, const struct table *t) { *it = (struct table_iter){.t = t}; }

void *table_next(struct table_iter *it)
{
    const struct table *t = it->t;
    while (t->dir != NULL && it->dir < UINT64_C(1) << t->depth) {
        uint64_t entry = t->dir[it->dir];
        struct table_bucket *b = it->bucket;
        if (b == NULL)
            b = table_entry_buckets(entry) + it->b;
        if (it->i < TABLE_SLOTS && b->slot[it->i] != 0) {
            it->bucket = b;
            return table_pointer(b->slot[it->i++]);
        }
        it->bucket = b->link;
        it->i = 0;
        if (b->link == NULL && ++it->b == 1u << table_entry_bits(entry)) {
            it->b = 0;
            it->dir += UINT64_C(1) << (t->depth - table_entry_depth(entry));
        }
    }
    return NULL;
}
