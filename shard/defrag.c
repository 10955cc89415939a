/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/inside.h"

#include "base/mem.h"
#include "crdt/move.h"

/*
 * Active defragmentation: walks the keyspace, a slice at a time, and moves blocks out of sparse
 * slabs (base/mem.h). The walk needs no snapshot: keys that come or go meanwhile are met or not,
 * like by SCAN. A large collection's elements are moved in slices of their own; until these are
 * done the walk waits.
 */
#define SLICE 1024u /* blocks looked at: some hundred microseconds */
#define REFILL_US UINT64_C(100000)

void defrag_deinit(struct defrag *d) { buf_deinit(&d->larges); }

void shard_set_defrag(struct shard *s, unsigned slices, bool all)
{
    s->defrag.slices = slices;
    s->defrag.all = all;
}

struct walk {
    struct shard *s;
    struct mover mover;
    struct mem_probe probe;
    size_t moved; /* blocks of the key at hand */
};

static void *move_block(void *block, void *arg)
{
    struct walk *w = arg;
    struct defrag *d = &w->s->defrag;
    if (!d->all && !mem_is_sparse(&w->probe, block)) {
        d->stats.misses++;
        return block;
    }
    d->stats.hits++;
    w->moved++;
    return mem_move(block);
}

static void *visit(void *item, void *arg)
{
    struct walk *w = arg;
    struct defrag *d = &w->s->defrag;
    w->moved = 0;
    struct cell *key = move_key(item, &w->mover);
    if (w->moved > 0)
        d->stats.key_hits++;
    else
        d->stats.key_misses++;
    if (move_has_elements(key)) {
        uint64_t hash = shard_hash(w->s, cell_name(key));
        buf_put(&d->larges, &hash, sizeof hash);
    }
    return key;
}

/* Some elements of the first large collection that waits. */
static void walk_large(struct walk *w, struct part *p)
{
    struct defrag *d = &w->s->defrag;
    uint64_t hash;
    memcpy(&hash, buf_bytes(&d->larges).p, sizeof hash);
    const struct cell *key = table_get_hash(&p->keys, hash);
    if (key != NULL)
        d->element = move_elements(key, &d->type, d->element, SLICE, &w->mover);
    if (key == NULL || d->element == 0) {
        buf_consume(&d->larges, sizeof hash);
        d->element = 0;
        d->type = TYPE_NONE;
    }
}

static void walk_slice(struct walk *w)
{
    struct defrag *d = &w->s->defrag;
    struct part *p = &w->s->parts[d->part];
    if (buf_len(&d->larges) > 0) {
        walk_large(w, p);
        return;
    }
    d->cursor = table_move(&p->keys, d->cursor, SLICE, visit, w);
    d->next = d->cursor == 0;
}

/* The next partition, once this one's collections are done, too. */
static void step_on(struct shard *s)
{
    struct defrag *d = &s->defrag;
    if (!d->next || buf_len(&d->larges) > 0)
        return;
    d->next = false;
    d->part = (d->part + 1) % s->count;
    if (d->part == 0)
        d->stats.rounds++;
}

bool defrag_tick(struct shard *s)
{
    struct defrag *d = &s->defrag;
    if (d->slices == 0)
        return false;
    if (s->mono_us - d->refilled_us >= REFILL_US) {
        d->refilled_us = s->mono_us;
        d->left = d->slices;
    }
    if (d->left == 0)
        return false;
    struct walk w = {.s = s, .mover = {.move = move_block}};
    w.mover.arg = &w;
    if (!d->all && !mem_probe_init(&w.probe))
        return false;
    d->left--;
    size_t before = d->stats.hits + d->stats.misses;
    /* Empty partitions cost nothing: some of them go into one slice. */
    for (unsigned i = 0; i < 16 && d->stats.hits + d->stats.misses - before < SLICE; i++) {
        walk_slice(&w);
        step_on(s);
    }
    return d->left > 0;
}
