/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hashes.h"

#include "base/mem.h"

#define CAP_FIRST 64u

void hashes_deinit(struct hashes *h)
{
    mem_free(h->at);
    *h = (struct hashes){0};
}

/* 0 says that a place is free. */
static uint64_t name_of(uint64_t hash) { return hash ? hash : 1; }

static size_t slot_of(const struct hashes *h, uint64_t name)
{
    size_t i = name & (h->cap - 1);
    while (h->at[i] != 0 && h->at[i] != name)
        i = (i + 1) & (h->cap - 1);
    return i;
}

bool hashes_has(const struct hashes *h, uint64_t hash)
{
    return h->n > 0 && h->at[slot_of(h, name_of(hash))] != 0;
}

static void grow(struct hashes *h)
{
    struct hashes old = *h;
    h->cap = old.cap ? old.cap * 2 : CAP_FIRST;
    h->at = mem_zalloc(h->cap * sizeof *h->at);
    for (size_t i = 0; i < old.cap; i++)
        if (old.at[i] != 0)
            h->at[slot_of(h, old.at[i])] = old.at[i];
    mem_free(old.at);
}

bool hashes_add(struct hashes *h, uint64_t hash)
{
    if (2 * (h->n + 1) > h->cap)
        grow(h);
    uint64_t *at = &h->at[slot_of(h, name_of(hash))];
    if (*at != 0)
        return false;
    *at = name_of(hash);
    h->n++;
    return true;
}
