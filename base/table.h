/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_TABLE_H
#define MERIDIAN_BASE_TABLE_H

#include "base/bytes.h"
#include "base/hash.h"

/*
 * A hash table of pointers that never stalls: extendible hashing. The top bits of a 64-bit hash
 * choose a segment of at most 64 buckets of one cache line (7 items with 8-bit.. 16-bit tags in the
 * pointers' spare bits, and a link to an overflow bucket); a full segment splits alone. Inside a
 * segment the bucket is given by the NEXT bits of the hash, so that the whole table is ordered by
 * hash: a scan cursor is simply "all hashes below this one have been seen", which gives SCAN its
 * guarantees through every growth and split. Small tables start with one bucket and double up to 64
 * first.
 *
 * The table owns no item. Items carry their name; `name_of` reads it, `hash_of` is computed from it
 * with the key given at init (SipHash). Items are at most 2^48 (x86-64, AArch64 user pointers).
 */
struct table_type {
    struct bytes (*name_of)(const void *item);
};

struct table {
    const struct table_type *type; /* kept */
    struct hash_key key;
    void **dir; /* segments by the top `depth` bits */
    unsigned depth;
    size_t count;
};

void table_init(struct table *t, const struct table_type *type, struct hash_key key);
/* Frees the table's own memory; each item is given to `drop` (NULL: not at all). */
void table_deinit(struct table *t, void (*drop)(void *item, void *arg), void *arg);

static inline uint64_t table_hash(const struct table *t, struct bytes name)
{
    return hash_sip(name, t->key);
}

void table_prefetch(const struct table *t, uint64_t hash);      /* the bucket's cache line */
void table_prefetch_item(const struct table *t, uint64_t hash); /* then the likely item's */
/* Address of the slot's item for `name`; NULL when absent. The item is read and replaced by the two
 * calls below. */
void *table_get(const struct table *t, uint64_t hash, struct bytes name);
/* Replaces the item of that hash that is `old` by `item` (same name, moved by a realloc). `old`
 * must be present; it is compared as an address only, so it may be freed already. */
void table_replace(struct table *t, uint64_t hash, const void *old, void *item);
/* Adds; the name must not be present. May split one segment (bounded work). */
void table_put(struct table *t, uint64_t hash, void *item);
/* Takes the item out and returns it; NULL when absent. Shrinks lazily (bounded work). */
void *table_take(struct table *t, uint64_t hash, struct bytes name);
/* Takes out the item of that hash that is `old`, which must be present and is compared as an
 * address only: it may be freed already. */
void table_remove(struct table *t, uint64_t hash, const void *old);
/* Any item with exactly this hash, or NULL. */
void *table_get_hash(const struct table *t, uint64_t hash);

/* Visits all items of at least one whole bucket from `cursor` on, in ascending hash order by
 * bucket, until `want` or more were visited. Returns the next cursor, 0 when done. Start with 0.
 * Every item present during the whole scan is visited at least once, whatever is added, removed,
 * split or merged between calls. The callback must not change the table. */
uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want,
                    void (*visit)(void *item, void *arg), void *arg);
/* An item chosen by `random` (64 random bits), close to uniformly; NULL when empty. */
void *table_random(const struct table *t, uint64_t random);
size_t table_memory(const struct table *t); /* bytes held by the table itself */

/* Plain iteration in hash order; the table must not change meanwhile. */
struct table_iter {
    const struct table *t;
    uint64_t dir;
    void *bucket;
    unsigned b, i;
};
void table_iter(struct table_iter *it, const struct table *t);
void *table_next(struct table_iter *it); /* NULL at the end */

#endif
