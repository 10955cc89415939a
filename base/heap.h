/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_HEAP_H
#define MERIDIAN_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A binary min-heap of (when, what, which): deadlines. Entries are never removed from the middle:
 * whoever pops one checks that it still holds. */
struct heap_entry {
    int64_t when;
    uint64_t what;
    uint64_t which;
};

struct heap {
    struct heap_entry *at; /* owned */
    size_t n, cap;
};

void heap_deinit(struct heap *h);
void heap_push(struct heap *h, struct heap_entry e);
bool heap_pop(struct heap *h, struct heap_entry *out); /* false when empty */
/* Keeps the entries for which `keep` is true and restores the order: O(n). */
void heap_filter(struct heap *h, bool (*keep)(const struct heap_entry *e, void *arg), void *arg);

static inline const struct heap_entry *heap_min(const struct heap *h)
{
    return h->n ? &h->at[0] : NULL;
}

#endif
