/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/multi.h"

#include <assert.h>

#include "base/mem.h"

const struct cell *key_register(const struct cell *key, enum type type)
{
    const struct multi *m = key_multi(key);
    if (m)
        return m->part[type].reg;
    return key && cell_low(key) == type && cell_form(key) != CELL_COLL ? key : NULL;
}

/* ------------------------------------------------------------ deadlines */

bool deadlines_remove(struct multi *m, const struct seen *seen)
{
    uint32_t n = 0, was = m->ndeadlines;
    for (uint32_t i = 0; i < was; i++)
        if (!seen_covers(seen, m->deadlines[i].dot))
            m->deadlines[n++] = m->deadlines[i];
    m->ndeadlines = n;
    return n != was;
}

void deadlines_insert(struct multi *m, struct deadline d)
{
    m->deadlines = mem_realloc(m->deadlines, (m->ndeadlines + 1) * sizeof d);
    uint32_t i = m->ndeadlines++;
    for (; i > 0 && m->deadlines[i - 1].dot > d.dot; i--)
        m->deadlines[i] = m->deadlines[i - 1];
    m->deadlines[i] = d;
}

void deadlines_assign(struct multi *m, stamp_t dot, const struct seen *seen, int64_t ms)
{
    deadlines_remove(m, seen);
    deadlines_insert(m, (struct deadline){.dot = dot, .ms = ms});
}

const struct deadline *deadlines_shown(const struct multi *m)
{
    const struct deadline *best = NULL;
    for (uint32_t i = 0; i < m->ndeadlines; i++)
        if (best == NULL || m->deadlines[i].ms >= best->ms)
            best = &m->deadlines[i];
    return best;
}

struct cell *key_with_deadline(struct cell *key, const uint8_t *deadline)
{
    struct view v = cell_view(key);
    if (v.deadline && deadline) {
        memcpy(&key->b0 + (v.deadline - &key->b0), deadline, DEADLINE_BYTES);
        return key;
    }
    if (!v.deadline && !deadline)
        return key;
    /* In its block where there is room: a value may be hundreds of megabytes. */
    uint8_t *p = &key->b0;
    size_t from = (size_t)(v.name.p - p), n = v.name.n + v.payload.n;
    size_t to = deadline ? from + DEADLINE_BYTES : from - DEADLINE_BYTES;
    if (deadline)
        p = mem_realloc(p, to + n + ACCESS_BYTES);
    memmove(p + to, p + from, n);
    if (!deadline)
        p = mem_realloc(p, to + n + ACCESS_BYTES);
    *p ^= CELL_DEADLINE_BIT;
    if (deadline)
        memcpy(p + from, deadline, DEADLINE_BYTES);
    return (struct cell *)p;
}

/* ------------------------------------------------------------ open, close */

enum type multi_type(const struct multi *m)
{
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
        if (part_present(&m->part[t]))
            return t;
    return TYPE_NONE;
}

void multi_open(struct multi *m, struct cell *key)
{
    *m = (struct multi){0};
    if (key == NULL)
        return;
    struct view v = cell_view(key);
    if (v.form == CELL_MULTI) {
        struct multi *heap = view_pointer(&v);
        *m = *heap;
        mem_free(heap);
        return;
    }
    if (v.form == CELL_COLL)
        m->part[v.low].coll = view_pointer(&v);
    else
        m->part[v.low].reg = key;
    if (v.deadline)
        deadlines_insert(m, deadline_load(v.deadline));
}

void multi_set_register(struct multi *m, enum type type, struct cell *reg, const struct cell *key)
{
    if (m->part[type].reg != key)
        mem_free(m->part[type].reg);
    m->part[type].reg = reg;
}

struct cell *register_cell(const struct reg *r)
{
    struct image im;
    if (reg_empty(r))
        return NULL;
    image_of_reg(&im, r);
    return cell_new(&(struct heading){.name = {NULL, 0}}, &im);
}

unsigned multi_types(const struct multi *m)
{
    unsigned n = 0;
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
        n += part_present(&m->part[t]);
    return n;
}

/* One type, one deadline at most. */
static struct cell *close_simple(struct multi *m, struct cell *key, struct bytes name)
{
    enum type t = multi_type(m);
    uint8_t deadline[DEADLINE_BYTES];
    struct heading h = {.name = name, .low = (uint8_t)t};
    if (m->ndeadlines) {
        deadline_store(deadline, m->deadlines[0]);
        h.deadline = deadline;
    }
    struct cell *c;
    if (type_is_register(t)) {
        struct cell *reg = m->part[t].reg;
        c = cell_copy(&h, reg);
        if (reg != key)
            mem_free(reg);
    } else {
        struct image im = {.form = CELL_COLL, .pointer = m->part[t].coll};
        c = cell_new(&h, &im);
    }
    mem_free(m->deadlines);
    mem_free(key);
    return c;
}

/* The newest dot that compaction of the deadlines has to wait for; 0: they are settled. */
static stamp_t deadlines_wait(const struct multi *m)
{
    stamp_t newest = 0;
    if (m->bare)
        for (unsigned i = 0; i < m->bare_since.n; i++)
            newest = m->bare_since.at[i] > newest ? m->bare_since.at[i] : newest;
    else if (m->ndeadlines > 1)
        newest = m->deadlines[m->ndeadlines - 1].dot;
    return newest;
}

static struct cell *close_multi(struct multi *m, struct cell *key, struct bytes name)
{
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        /* A register that stood in the key's own cell gets one of its own, whose name is empty. */
        if (key != NULL && m->part[t].reg == key)
            m->part[t].reg = cell_copy(&(struct heading){.name = {NULL, 0}}, key);
    }
    struct multi *heap = mem_alloc(sizeof *heap);
    *heap = *m;
    struct image im = {.form = CELL_MULTI, .pointer = heap};
    struct cell *c = cell_new(&(struct heading){.name = name}, &im);
    mem_free(key);
    return c;
}

struct cell *multi_close(struct multi *m, struct cell *key, struct bytes name,
                         const struct context *vv, const struct surroundings *s)
{
    unsigned types = multi_types(m);
    bool bare = types == 0 && m->ndeadlines > 0;
#ifdef MUTANT_bare_once
    if (m->bare)
        vv = NULL;
#endif
    if (bare && vv)
        context_copy(&m->bare_since, vv);
    if (!bare)
        context_deinit(&m->bare_since);
    m->bare = bare;
    if (types == 0 && m->ndeadlines == 0) {
        mem_free(m->deadlines);
        mem_free(key);
        return NULL;
    }
    if (types == 1 && m->ndeadlines <= 1)
        return close_simple(m, key, name);
    stamp_t waits = deadlines_wait(m);
    bool tell = waits != 0 && !m->queued && s != NULL && s->unsettled != NULL;
    m->queued = waits != 0 && (m->queued || tell);
    struct cell *c = close_multi(m, key, name);
    if (tell)
        s->unsettled(s->arg, cell_name(c), TYPE_STRING, bytes_of(NULL, 0), waits);
    return c;
}

/* ------------------------------------------------------------ freeing */

void coll_discard(struct coll *c, const struct surroundings *s)
{
    if (c == NULL)
        return;
    if (!c->is_large || s == NULL || s->discard == NULL) {
        coll_free(c);
        return;
    }
    struct image im = {.form = CELL_COLL, .pointer = c};
    s->discard(s->arg, cell_new(&(struct heading){.low = c->type}, &im));
}

static bool part_free_step(struct part *p, size_t *budget)
{
    mem_free(p->reg);
    p->reg = NULL;
    if (p->coll && coll_free_step(p->coll, budget))
        return true;
    p->coll = NULL;
    return false;
}

bool value_free_step(struct cell *key, size_t elements)
{
    if (key == NULL)
        return false;
    struct view v = cell_view(key);
    if (v.form == CELL_COLL && coll_free_step(view_pointer(&v), &elements))
        return true;
    if (v.form == CELL_MULTI) {
        struct multi *m = view_pointer(&v);
        for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
            if (part_free_step(&m->part[t], &elements))
                return true;
        mem_free(m->deadlines);
        context_deinit(&m->bare_since);
        mem_free(m);
    }
    mem_free(key);
    return false;
}

void value_free(struct cell *key)
{
    while (value_free_step(key, SIZE_MAX))
        ;
}
