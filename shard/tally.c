/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/tally.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void tally_init(struct tally *t, struct rng *rng)
{
    *t = (struct tally){0};
    if (rng != NULL) {
        t->key.k0 = rng_next(rng);
        t->key.k1 = rng_next(rng);
    }
}

void tally_deinit(struct tally *t)
{
    mem_free(t->at);
    mem_free(t->index);
    mem_free(t->names);
    *t = (struct tally){0};
}

struct tally_row *tally_push(struct tally *t, struct bytes name)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->at = mem_realloc(t->at, t->cap * sizeof *t->at);
    }
    struct tally_row *row = &t->at[t->n++];
    *row = (struct tally_row){.name = name};
    return row;
}

static void index_put(struct tally *t, size_t row)
{
    size_t mask = t->index_cap - 1, i = t->at[row].hash & mask;
    while (t->index[i] != 0)
        i = (i + 1) & mask;
    t->index[i] = (uint32_t)(row + 1);
}

/* Keeps at least half of the index free. */
static void index_grow(struct tally *t)
{
    if (t->n * 2 < t->index_cap)
        return;
    assert(t->n < UINT32_MAX / 4);
    mem_free(t->index);
    t->index_cap = t->index_cap ? t->index_cap * 2 : 64;
    t->index = mem_zalloc(t->index_cap * sizeof *t->index);
    for (size_t row = 0; row < t->n; row++)
        index_put(t, row);
}

static struct tally_row *find(struct tally *t, struct bytes name, uint32_t hash)
{
    if (t->index == NULL)
        return NULL;
    size_t mask = t->index_cap - 1;
    for (size_t i = hash & mask; t->index[i] != 0; i = (i + 1) & mask) {
        struct tally_row *row = &t->at[t->index[i] - 1];
        if (row->hash == hash && bytes_eq(row->name, name))
            return row;
    }
    return NULL;
}

struct tally_row *tally_find(struct tally *t, struct bytes name)
{
    return find(t, name, (uint32_t)hash_sip(name, t->key));
}

struct tally_row *tally_find_or_add(struct tally *t, struct bytes name)
{
    uint32_t hash = (uint32_t)hash_sip(name, t->key);
    struct tally_row *row = find(t, name, hash);
    if (row != NULL)
        return row;
    index_grow(t);
    row = tally_push(t, name);
    row->hash = hash;
    index_put(t, t->n - 1);
    return row;
}

static void index_drop(struct tally *t)
{
    mem_free(t->index);
    t->index = NULL;
    t->index_cap = 0;
}

void tally_sweep(struct tally *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++)
        if (!t->at[i].dropped)
            t->at[kept++] = t->at[i];
    t->n = kept;
    index_drop(t);
}

static int row_cmp(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return bytes_cmp(x->name, y->name);
}

void tally_sort(struct tally *t)
{
    index_drop(t);
    if (t->n > 1)
        qsort(t->at, t->n, sizeof *t->at, row_cmp);
}

void tally_keep(struct tally *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->n; i++)
        bytes += t->at[i].name.n;
    uint8_t *names = mem_alloc(bytes), *p = names;
    for (size_t i = 0; i < t->n; i++) {
        struct bytes *name = &t->at[i].name;
        if (name->n > 0)
            memcpy(p, name->p, name->n);
        name->p = p;
        p += name->n;
    }
    mem_free(t->names);
    t->names = names;
}
