/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/seen.h"

#include "base/mem.h"

#include <xxhash.h>

#define CAP_FIRST 1024u

/* Its place, or the free one where it belongs. */
static struct seen_hash *find(const struct seen *s, struct seen_hash h)
{
    size_t i = h.high & (s->cap - 1); /* low is always odd */
    while ((s->at[i].low | s->at[i].high) != 0 &&
           (s->at[i].low != h.low || s->at[i].high != h.high))
        i = (i + 1) & (s->cap - 1);
    return &s->at[i];
}

static void grow(struct seen *s)
{
    struct seen old = *s;
    s->cap = old.cap == 0 ? CAP_FIRST : 2 * old.cap;
    s->at = mem_zalloc(s->cap * sizeof *s->at);
    for (size_t i = 0; i < old.cap; i++)
        if ((old.at[i].low | old.at[i].high) != 0)
            *find(s, old.at[i]) = old.at[i];
    mem_free(old.at);
}

bool seen_add(struct seen *s, struct bytes name)
{
    XXH128_hash_t x = XXH3_128bits_withSeed(name.p, name.n, s->seed);
    struct seen_hash h = {.low = x.low64 | 1, .high = x.high64}; /* never the free one */
    if (4 * (s->n + 1) > 3 * s->cap)
        grow(s);
    struct seen_hash *at = find(s, h);
    if ((at->low | at->high) != 0)
        return false;
    *at = h;
    s->n++;
    return true;
}

void seen_deinit(struct seen *s)
{
    mem_free(s->at);
    *s = (struct seen){0};
}
