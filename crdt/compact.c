/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "crdt/elem.h"

/*
 * Forgetting what no operation still to come can tell apart: losing siblings, boundaries between
 * one actor's contributions, losing deadlines, and bare deadlines that no concurrent write can
 * bring a value back under. Shows nothing: readers and the digest see the same before and after. As
 * the model's compact methods.
 */
struct compaction {
    struct change ch;
    struct applied ignored;
    const struct context *stable;
    bool settled;
    stamp_t newest;
};

/* Compacts an open register; true when it has to be written back. */
static bool compact_open(struct compaction *k, struct reg *r)
{
    stamp_t waits = 0;
    bool queued = r->queued, changed = reg_compact(r, k->stable, &waits);
    r->queued = !reg_settled(r);
    if (r->queued) {
        k->settled = false;
        k->newest = waits > k->newest ? waits : k->newest;
    }
    return changed || r->queued != queued;
}

static enum fate compact_element(const struct cell *e, stamp_t base, struct reg *r, void *arg)
{
    struct compaction *k = arg;
    if (cell_form(e) != CELL_WIDE)
        return FATE_KEEP;
    reg_open(r, TYPE_NONE, e, base);
    return compact_open(k, r) ? FATE_REPLACE : FATE_KEEP;
}

/* Where a key keeps a collection: puts the new place in. */
static void move_coll(struct cell *key, enum type type, struct coll *c)
{
    struct view v = cell_view(key);
    if (v.form == CELL_MULTI) {
        struct multi *m = view_pointer(&v);
        m->part[type].coll = c;
    } else {
        memcpy(&key->b0 + (v.payload.p - &key->b0), &c, sizeof c);
    }
}

static struct coll *coll_of(struct cell *key, enum type type)
{
    struct view v = cell_view(key);
    if (v.form == CELL_MULTI) {
        struct multi *m = view_pointer(&v);
        return m->part[type].coll;
    }
    return v.form == CELL_COLL && v.low == type ? view_pointer(&v) : NULL;
}

static void compact_one(struct compaction *k, struct cell *key, enum type type, struct bytes elem)
{
    struct coll *c = coll_of(key, type);
    struct place at;
    struct reg r;
    struct image im;
    coll_seek(c, elem, &at);
    if (at.cell == NULL || cell_form(at.cell) != CELL_WIDE)
        return;
    reg_open(&r, TYPE_NONE, at.cell, 0);
    if (compact_open(k, &r)) {
        image_of_reg(&im, &r);
        c = elem_store(c, type, &at, elem, &im, &k->ch);
        move_coll(key, type, c);
    }
    reg_close(&r);
}

static void compact_coll(struct compaction *k, struct cell *key, enum type type)
{
    struct coll *c = coll_of(key, type);
    if (c == NULL)
        return;
    bool was_large = c->is_large;
    struct hash128 none = {0};
    c = coll_pass(c, k->ch.s->hash_key, compact_element, k);
    coll_sum(c, was_large, &k->ch, none, none);
    move_coll(key, type, c);
}

/* A register in a cell of its own, or a key that is one. Returns the cell, a new one when it had to
 * be written. */
static struct cell *compact_register(struct compaction *k, struct cell *c)
{
    if (c == NULL || cell_form(c) != CELL_WIDE)
        return c;
    struct view v = cell_view(c);
    struct heading h = {.name = v.name, .low = v.low, .deadline = v.deadline};
    struct reg r;
    struct image im;
    reg_open(&r, TYPE_NONE, c, 0);
    if (compact_open(k, &r)) {
        image_of_reg(&im, &r);
        c = cell_renew(c, &h, &im);
    }
    reg_close(&r);
    return c;
}

static void wait_for(struct compaction *k, stamp_t dot)
{
    k->settled = false;
    if (dot > k->newest)
        k->newest = dot;
}

/* Of the stable deadlines the visible one stays. */
static void compact_deadlines(struct compaction *k, struct multi *m)
{
    const struct deadline *best = NULL;
    for (uint32_t i = 0; i < m->ndeadlines; i++) {
        const struct deadline *d = &m->deadlines[i];
        if (context_covers(k->stable, d->dot) && (best == NULL || d->ms >= best->ms))
            best = d;
    }
    stamp_t keep = best ? best->dot : 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->ndeadlines; i++) {
        struct deadline d = m->deadlines[i];
        if (d.dot == keep || !context_covers(k->stable, d.dot))
            m->deadlines[n++] = d;
    }
    m->ndeadlines = n;
    for (uint32_t i = 0; i < n && n > 1; i++)
        if (m->deadlines[i].dot != keep)
            wait_for(k, m->deadlines[i].dot);
}

/*
 * A deadline outlives the values until every region has seen all the removals that emptied the key,
 * also those whose values never showed here, and the deadline itself: then whatever brings a value
 * back removes it. The model counts from when the key became bare only, and its regions may differ
 * (docs/decisions.md, 76).
 */
static void compact_bare(struct compaction *k, struct multi *m)
{
    bool all = true;
    for (unsigned i = 0; i < m->bare_since.n; i++) {
        if (context_covers(k->stable, m->bare_since.at[i]))
            continue;
        all = false;
        wait_for(k, m->bare_since.at[i]);
    }
    if (all)
        m->ndeadlines = 0;
}

static struct cell *compact_key(struct compaction *k, struct cell *key)
{
    struct view v = cell_view(key);
    if (v.form == CELL_WIDE)
        return compact_register(k, key);
    if (v.form != CELL_MULTI)
        return key;
    struct multi m;
    multi_open(&m, key);
    m.part[TYPE_STRING].reg = compact_register(k, m.part[TYPE_STRING].reg);
    m.part[TYPE_HLL].reg = compact_register(k, m.part[TYPE_HLL].reg);
    compact_deadlines(k, &m);
    if (m.bare)
        compact_bare(k, &m);
    m.queued = true; /* who asked for this compaction is told by *settled whether to ask again */
    return multi_close(&m, key, v.name, NULL, k->ch.s);
}

struct cell *value_compact(struct cell *key, enum type type, struct bytes elem,
                           const struct context *stable, const struct surroundings *s,
                           bool *settled, stamp_t *newest)
{
    struct compaction k = {.stable = stable, .settled = true};
    k.ch = (struct change){.s = s, .out = &k.ignored};
    if (key != NULL) {
        k.ch.key = cell_name(key);
        if (type == TYPE_NONE)
            for (enum type t = TYPE_STREAM; t < TYPE_HLL; t++)
                compact_coll(&k, key, t);
        else if (!type_is_register(type))
            compact_one(&k, key, type, elem);
        if (type == TYPE_NONE || type_is_register(type))
            key = compact_key(&k, key);
    }
    *settled = k.settled;
    *newest = k.newest;
    return key;
}
