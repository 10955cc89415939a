/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_TABLE_H
#define MERIDIAN_BASE_TABLE_H

#include "base/bytes.h"
#include "base/hash.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * A hash table of pointers that never stalls: extendible hashing (Fagin et al. 1979). The top
 * `depth` bits of a 64-bit hash choose an entry of the directory and so a segment; the bits behind
 * the segment's own depth choose a bucket, one cache line. A full segment splits alone. The whole
 * table is ordered by hash, bucket for bucket: a scan cursor is simply "all hashes below this one
 * have been seen", which gives SCAN its guarantees through every growth and split.
 *
 *   hash         |<- segment's depth d ->|<- bucket: 6 ->| ...
 *                |<- d rounded down to 8 ->|  6 bits  |<- tag: 16 ->|
 *   bucket       7 slots, packed from the front, and a link to an overflow bucket (0: none); 0 is
 * an empty slot slot         tag:16 | item:48 entry        buckets in powers of two:3 | items:13 |
 * address of the first bucket:42 | d:6 (items count in the first of a segment's entries only, and
 * stick at 8191)
 *
 * The tag's place moves only with every eighth depth, so seven of eight splits and merges touch no
 * item: bucket and tag tell the hash's bits as far as needed. While there is one segment it may
 * have fewer buckets: 1, 2, 4, .. 64.
 *
 * The table owns no item. Items carry their name; `name_of` reads it, the hash is computed from it
 * with the key given at init (SipHash). Items lie below 2^48 (x86-64, AArch64 user pointers).
 */
struct table_type {
    struct bytes (*name_of)(const void *item);
};

struct table {
    uint64_t *dir; /* owned; 2^depth entries, NULL while the table is empty */
    size_t count;
    const struct table_type *type; /* kept */
    struct hash_key key;
    unsigned depth;
    unsigned deepest; /* segments as deep as the directory */
    size_t memory;
};

void table_init(struct table *t, const struct table_type *type, struct hash_key key);
/* Frees the table's own memory; each item is given to `drop` (NULL: not at all). */
void table_deinit(struct table *t, void (*drop)(void *item, void *arg), void *arg);
/* The same without `drop`, in slices, for tables too large for one step: frees at most *budget
 * segments, and takes them off it. *at: 0 at first, then how far it has got (below 2^48). True when
 * all is freed; until then only this may be called. */
bool table_deinit_step(struct table *t, uint64_t *at, size_t *budget);

static inline uint64_t table_hash(const struct table *t, struct bytes name)
{
    return hash_sip(name, t->key);
}

static inline void table_prefetch(const struct table *t,
                                  uint64_t hash); /* the bucket's cache line */
static inline void table_prefetch_item(const struct table *t,
                                       uint64_t hash); /* then the likely item's */
/* The item of that name; NULL when absent. */
static inline void *table_get(const struct table *t, uint64_t hash, struct bytes name);
/* Replaces the item of that hash that is `old` by `item` (same name, moved by a realloc). `old`
 * must be present; it is compared as an address only, so it may be freed already. */
void table_replace(struct table *t, uint64_t hash, const void *old, void *item);
/* Adds; the name must not be present. May split one segment (bounded work). */
void table_put(struct table *t, uint64_t hash, void *item);
/* Takes the item out and returns it; NULL when absent. May merge two segments (bounded work). */
void *table_take(struct table *t, uint64_t hash, struct bytes name);
/* Takes out the item of that hash that is `old`, which must be present and is compared as an
 * address only: it may be freed already. */
void table_remove(struct table *t, uint64_t hash, const void *old);
/* Any item with exactly this hash, or NULL. */
void *table_get_hash(const struct table *t, uint64_t hash);

/* Visits all items of at least one whole bucket from `cursor` on, in ascending hash order by
 * bucket, until `want` or more were visited. Returns the next cursor (below 2^48), 0 when done.
 * Start with 0. Every item present during the whole scan is visited at least once, whatever is
 * added, removed, split or merged between calls. The callback must not change the table. */
uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want,
                    void (*visit)(void *item, void *arg), void *arg);
/* Likewise, and each item is then where `move` says: the same item, of the same name. */
uint64_t table_move(struct table *t, uint64_t cursor, size_t want,
                    void *(*move)(void *item, void *arg), void *arg);
/* An item chosen by `random` (64 random bits), close to uniformly; NULL when empty. */
void *table_random(const struct table *t, uint64_t random);
size_t table_memory(const struct table *t); /* bytes held by the table itself */

/* Plain iteration in hash order of buckets; the table must not change meanwhile. */
struct table_iter {
    const struct table *t;
    uint64_t dir;
    void *bucket;
    unsigned b, i;
};
void table_iter(struct table_iter *it, const struct table *t);
void *table_next(struct table_iter *it); /* NULL at the end */

/* ------------------------------------------------------------ the fast path: nothing below is for
 * users */

#define TABLE_SLOTS 7u
#define TABLE_BITS_MAX 6u

struct table_bucket {
    uint64_t slot[TABLE_SLOTS];
    struct table_bucket *link;
};

static inline unsigned table_entry_depth(uint64_t entry) { return (unsigned)(entry & 63); }

static inline unsigned table_entry_bits(uint64_t entry) { return (unsigned)(entry >> 61); }

static inline void *table_pointer(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & ((UINT64_C(1) << 48) - 1));
}

static inline struct table_bucket *table_entry_buckets(uint64_t entry)
{
    return table_pointer(entry & ~(uint64_t)63);
}

/* The top n (0..63) bits. */
static inline uint64_t table_top(uint64_t hash, unsigned n) { return hash >> 1 >> (63 - n); }

static inline struct table_bucket *table_bucket(uint64_t entry, uint64_t hash)
{
    return table_entry_buckets(entry) +
           table_top(hash << table_entry_depth(entry), table_entry_bits(entry));
}

static inline uint64_t table_tag(uint64_t entry, uint64_t hash)
{
    return hash << (table_entry_depth(entry) & ~7u) << TABLE_BITS_MAX >> 48;
}

/* A bit for each slot that has this tag: table_match_slot says which the lowest is, m & (m - 1) are
 * the others. An empty slot has tag 0, too. No branch: where the item lies is not predictable. */
static inline unsigned table_match(const struct table_bucket *b, uint64_t tag)
{
#ifdef __SSE2__
    /* All of a bucket's 16-bit words at a time; of each pointer the last word counts, of the eighth
     * pointer, the link, none. */
    const __m128i *v = (const __m128i *)(const void *)b, want = _mm_set1_epi16((short)tag);
    __m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_loadu_si128(v), want),
                                  _mm_cmpeq_epi16(_mm_loadu_si128(v + 1), want));
    __m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_loadu_si128(v + 2), want),
                                   _mm_cmpeq_epi16(_mm_loadu_si128(v + 3), want));
    unsigned words = (unsigned)_mm_movemask_epi8(low) | (unsigned)_mm_movemask_epi8(high) << 16;
    return words & 0x08888888u;
#else
    unsigned match = 0;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        match |= (unsigned)(b->slot[i] >> 48 == tag) << (4 * i + 3);
    return match;
#endif
}

static inline unsigned table_match_slot(unsigned match)
{
    return (unsigned)__builtin_ctz(match) / 4;
}

static inline void table_prefetch(const struct table *t, uint64_t hash)
{
    if (t->count > 0)
        prefetch(table_bucket(t->dir[table_top(hash, t->depth)], hash));
}

static inline void table_prefetch_item(const struct table *t, uint64_t hash)
{
    if (t->count == 0)
        return;
    uint64_t entry = t->dir[table_top(hash, t->depth)];
    const struct table_bucket *b = table_bucket(entry, hash);
    unsigned match = table_match(b, table_tag(entry, hash));
    if (match != 0) { /* two lines: a small key with its value seldom fits into one */
        const uint8_t *item = table_pointer(b->slot[table_match_slot(match)]);
        prefetch(item);
        prefetch(item + 64);
    }
}

static inline void *table_get(const struct table *t, uint64_t hash, struct bytes name)
{
    if (t->count == 0)
        return NULL;
    uint64_t entry = t->dir[table_top(hash, t->depth)], tag = table_tag(entry, hash);
    for (const struct table_bucket *b = table_bucket(entry, hash); b != NULL; b = b->link) {
        for (unsigned match = table_match(b, tag); match != 0; match &= match - 1) {
            void *item = table_pointer(b->slot[table_match_slot(match)]);
            if (item != NULL && bytes_eq(t->type->name_of(item), name))
                return item;
        }
    }
    return NULL;
}

#endif
