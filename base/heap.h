/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_HEAP_H
#define MERIDIAN_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A binary min-heap of (when, what, which): deadlines. Entries are never removed from the middle:
 * whoever pops one checks that it still holds.
 *
 * It lies in chunks of HEAP_CHUNK entries, of which the first grows up to that size: so growing
 * never copies more than one chunk, however many deadlines there are.
 */
#define HEAP_CHUNK_BITS 10u /* small: it counts against a database's limit */
#define HEAP_CHUNK (1u << HEAP_CHUNK_BITS)

struct heap_entry {
    int64_t when;
    uint64_t what;
    uint64_t which;
};

struct heap {
    struct heap_entry **chunks; /* owned, and each of them */
    size_t n, cap;              /* entries */
    size_t chunks_cap;
};

void heap_deinit(struct heap *h);
void heap_push(struct heap *h, struct heap_entry e);
bool heap_pop(struct heap *h, struct heap_entry *out); /* false when empty */
/* Takes the last in the array, which is none in particular: what is left is a heap. */
bool heap_take_last(struct heap *h, struct heap_entry *out);
/* Keeps the entries for which `keep` is true and restores the order: O(n). */
void heap_filter(struct heap *h, bool (*keep)(const struct heap_entry *e, void *arg), void *arg);
size_t heap_memory(const struct heap *h); /* bytes */

/* Entry `i` of the array, i < n. */
static inline struct heap_entry *heap_at(const struct heap *h, size_t i)
{
    return &h->chunks[i >> HEAP_CHUNK_BITS][i & (HEAP_CHUNK - 1)];
}

static inline const struct heap_entry *heap_min(const struct heap *h)
{
    return h->n ? &h->chunks[0][0] : NULL;
}

#endif
