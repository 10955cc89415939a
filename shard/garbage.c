/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/inside.h"

#include "base/mem.h"
#include "crdt/slicer.h"

/*
 * What is gone but not yet freed: whole tables after a flush, large collections after a DEL. Freed
 * in slices, so that a removal costs the same whatever it removes.
 */
#define TABLE_SLICE 64u /* keys taken out of a table at a time */

void garbage_cell(void *arg, struct cell *cell)
{
    struct shard *s = arg;
    struct garbage *g = mem_zalloc(sizeof *g);
    g->cell = cell;
    g->next = s->garbage;
    s->garbage = g;
    s->garbage_keys++;
}

static void drop_cell(void *item, void *arg)
{
    (void)arg;
    value_free(item);
}

void garbage_free(struct shard *s)
{
    while (s->garbage != NULL) {
        struct garbage *g = s->garbage;
        s->garbage = g->next;
        if (g->cell != NULL)
            value_free(g->cell);
        else
            table_deinit(&g->keys, drop_cell, NULL);
        mem_free(g);
    }
}

struct slice {
    struct cell *at[TABLE_SLICE * 8];
    size_t n;
};

static void pick(void *item, void *arg)
{
    struct slice *slice = arg;
    if (slice->n == sizeof slice->at / sizeof slice->at[0])
        return;
    prefetch(item);
    slice->at[slice->n++] = item;
}

/* Takes a slice of keys out of a discarded table. Large ones become garbage of their own. */
static size_t free_table_step(struct shard *s, struct garbage *g)
{
    struct slice slice = {.n = 0};
    table_scan(&g->keys, 0, TABLE_SLICE, pick, &slice);
    for (size_t i = 0; i < slice.n; i++) {
        struct bytes name = cell_name(slice.at[i]);
        table_take(&g->keys, table_hash(&g->keys, name), name);
        if (value_is_read(slice.at[i]) || value_free_step(slice.at[i], TABLE_SLICE))
            garbage_cell(s, slice.at[i]);
    }
    return slice.n;
}

static bool is_read(const struct cell *removed)
{
#ifdef MUTANT_read_collection_freed
    (void)removed;
    return false;
#else
    return value_is_read(removed);
#endif
}

bool garbage_tick(struct shard *s, size_t budget)
{
    struct garbage **at = &s->garbage; /* new garbage goes in front of it */
    while (*at != NULL && budget > 0) {
        struct garbage *g = *at;
        if (g->holds > 0 || is_read(g->cell)) { /* a transfer still reads it */
            at = &g->next;
            continue;
        }
        size_t done;
        bool more;
        if (g->cell != NULL) {
            done = budget;
            more = value_free_step(g->cell, budget);
            s->garbage_keys -= !more;
        } else {
            done = free_table_step(s, g);
            more = g->keys.count > 0;
            s->garbage_keys -= done;
        }
        budget -= done < budget ? done : budget;
        if (more)
            continue;
        while (*at != g) /* what the step has put in front */
            at = &(*at)->next;
        *at = g->next;
        if (g->cell == NULL)
            table_deinit(&g->keys, NULL, NULL);
        mem_free(g);
    }
    return *at != NULL;
}
