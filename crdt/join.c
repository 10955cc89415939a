/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/join.h"

#include "base/mem.h"

static stamp_t coll_base(const struct coll *c) { return c && !c->is_large ? c->base : 0; }

/* Joins into *r; counts who lost. */
static void join_register(struct join *j, struct reg *r, const struct reg *o, struct bytes elem)
{
    unsigned met = reg_join(r, j->mine, o, j->theirs);
    if (met && r->type != TYPE_SET)
        conflict_register(&j->ch, r, elem, 0);
    change_queue(&j->ch, r, elem);
}

/* An element of mine that is to stay as it is, by its looks: one dot, and they hold the same or
 * have not seen it. */
static bool stays(const struct join *j, const struct cell *e, stamp_t base, const struct cell *o)
{
    if (cell_form(e) >= CELL_COUNT || (o && cell_form(o) >= CELL_COUNT))
        return false;
    struct view v = cell_view(e);
    stamp_t dot = view_dot(e, &v, base);
#ifdef MUTANT_join_keeps_removed
    if (o == NULL)
        return true;
#endif
    if (o == NULL)
        return !context_covers(j->theirs, dot);
    struct view w = cell_view(o);
    return dot == view_dot(o, &w, coll_base(j->other));
}

enum fate join_mine(const struct cell *e, stamp_t base, struct reg *r, void *arg)
{
    struct join *j = arg;
    struct place there;
    coll_seek(j->other, cell_name(e), &there);
    if (stays(j, e, base, there.cell))
        return FATE_KEEP;
    struct reg o;
    uint8_t type = coll_reg_type(j->type, cell_name(e));
    reg_open(r, type, e, base);
    reg_open(&o, type, there.cell, coll_base(j->other));
    join_register(j, r, &o, cell_name(e));
    if (!j->ch.s->digest_off) {
        j->minus = hash128_add(j->minus, digest_element(j->seed, j->type, e));
        if (!reg_empty(r))
            j->plus = hash128_add(j->plus, digest_open(j->seed, cell_name(e), r));
    }
    reg_close(&o);
    j->ch.out->changed = true;
    return reg_empty(r) ? FATE_DROP : FATE_REPLACE;
}

struct coll *join_theirs(struct join *j, struct coll *c, const struct cell *e)
{
    struct place at;
    struct reg r, o;
    struct image im;
    coll_seek(c, cell_name(e), &at);
    if (at.cell)
        return c;
    reg_init(&r, coll_reg_type(j->type, cell_name(e)));
    reg_open(&o, r.type, e, coll_base(j->other));
    join_register(j, &r, &o, cell_name(e));
    if (!reg_empty(&r)) {
        image_of_reg(&im, &r);
        c = elem_store(c, j->type, &at, cell_name(e), &im, &j->ch);
    }
    reg_close(&r);
    reg_close(&o);
    return c;
}

static struct coll *join_new(struct join *j, struct coll *c)
{
    struct coll_iter it;
    const struct cell *e;
    coll_walk(&it, j->other);
    while ((e = coll_next(&it)) != NULL)
        c = join_theirs(j, c, e);
    return c;
}

void join_begin(struct join *j, enum type type, const struct coll *other)
{
    j->type = type;
    j->other = other;
    j->seed = digest_seed(j->ch.key, type);
    j->minus = j->plus = (struct hash128){0};
}

static struct coll *join_coll(struct join *j, enum type type, struct coll *c,
                              const struct coll *other)
{
    bool was_large = c && c->is_large;
    join_begin(j, type, other);
    c = coll_pass(c, j->ch.s->hash_key, join_mine, j);
    change_digest(j->ch.s, j->minus, j->plus);
    coll_sum(c, was_large, &j->ch, j->minus, j->plus);
    return join_new(j, c);
}

static void join_part(struct join *j, struct multi *m, enum type type, const struct cell *key,
                      const struct cell *other)
{
    struct cell *old = m->part[type].reg;
    struct hash128 minus = {0}, plus = {0};
    struct reg r, o;
    if (!j->ch.s->digest_off)
        minus = digest_register(j->ch.key, type, old);
    reg_open(&r, (uint8_t)type, old, 0);
    reg_open(&o, (uint8_t)type, other, 0);
    join_register(j, &r, &o, bytes_of(NULL, 0));
    struct cell *now = register_cell(&r);
    reg_close(&r);
    reg_close(&o);
    multi_set_register(m, type, now, key);
    if (!j->ch.s->digest_off)
        plus = digest_register(j->ch.key, type, now);
    change_digest(j->ch.s, minus, plus);
    j->ch.out->changed = true;
}

static bool has_deadline(const struct deadline *d, uint32_t n, stamp_t dot)
{
    for (uint32_t i = 0; i < n; i++)
        if (d[i].dot == dot)
            return true;
    return false;
}

void join_deadlines(struct join *j, struct multi *m, const struct multi *o)
{
    uint32_t n = 0, was = m->ndeadlines;
    for (uint32_t i = 0; i < was; i++)
        if (has_deadline(o->deadlines, o->ndeadlines, m->deadlines[i].dot) ||
            !context_covers(j->theirs, m->deadlines[i].dot))
            m->deadlines[n++] = m->deadlines[i];
    m->ndeadlines = n;
    for (uint32_t i = 0; i < o->ndeadlines; i++) {
        struct deadline d = o->deadlines[i];
        if (has_deadline(m->deadlines, m->ndeadlines, d.dot) || context_covers(j->mine, d.dot))
            continue;
        deadlines_insert(m, d);
        conflict_deadline(&j->ch, m, d.dot);
    }
}

static void join_parts(struct join *j, struct multi *m, const struct multi *o,
                       const struct cell *key)
{
    unsigned types = multi_types(m);
    struct hash128 minus = multi_deadline_term(m, &j->ch);
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        if (!part_present(&m->part[t]) && !part_present(&o->part[t]))
            continue;
        if (type_is_register(t))
            join_part(j, m, t, key, o->part[t].reg);
        else
            m->part[t].coll = join_coll(j, t, m->part[t].coll, o->part[t].coll);
    }
    join_deadlines(j, m, o);
    change_digest(j->ch.s, minus, multi_deadline_term(m, &j->ch));
    unsigned now = multi_types(m);
    if (now > 1 && now > types)
        conflict_type(&j->ch, m, TYPE_NONE, 0);
    j->ch.out->is_empty = now == 0;
}

/* ------------------------------------------------------------ what nobody has seen here */

static bool is_settled(const struct cell *c, uint8_t type, stamp_t base)
{
    struct reg r;
    if (cell_form(c) != CELL_WIDE)
        return true;
    reg_open(&r, type, c, base);
    bool settled = reg_settled(&r);
    reg_close(&r);
    return settled;
}

/* Has one type, one deadline at most, and nothing that has to be told of for compaction. */
static bool is_plain(const struct cell *key)
{
    if (cell_form(key) == CELL_MULTI)
        return false;
    if (cell_form(key) != CELL_COLL)
        return is_settled(key, cell_low(key), 0);
    enum type type = (enum type)cell_low(key);
    const struct coll *c = key_coll(key, type);
    stamp_t base = coll_base(c);
    struct coll_iter it;
    const struct cell *e;
    coll_walk(&it, c);
    while ((e = coll_next(&it)) != NULL)
        if (!is_settled(e, coll_reg_type(type, cell_name(e)), base))
            return false;
    return true;
}

/* The join with nothing, where nothing had been seen, is what came: opening a snapshot and the
 * first copy of a partition are mostly made of that. */
static struct cell *take_whole(struct cell *theirs, const struct surroundings *s,
                               struct applied *out)
{
    struct hash128 none = {0};
    *out = (struct applied){.was_empty = true, .changed = true};
    if (!s->digest_off)
        change_digest(s, none, value_redigest(theirs));
    return theirs;
}

bool value_take_gathered(struct cell *theirs, const struct gathered *of, const struct context *mine,
                         const struct surroundings *s, struct applied *out)
{
    enum type type = (enum type)cell_low(theirs);
    const struct coll *c = NULL;
    if (cell_form(theirs) == CELL_COLL)
        c = key_coll(theirs, type);
    if ((c == NULL || !c->is_large) && (cell_form(theirs) != CELL_ONE || type != TYPE_STRING))
        return false;
    bool deadline = cell_has_deadline(theirs);
    if (of->unsettled || context_meets(&of->oldest, mine) ||
        (deadline && context_covers(mine, value_deadline_dot(theirs))))
        return false;
    struct hash128 none = {0};
    *out = (struct applied){.was_empty = true, .changed = true};
    if (s->digest_off)
        return true;
    if (c != NULL)
        coll_large(c)->sum = of->sum;
    change_digest(s, none,
                  hash128_add(of->sum, digest_deadline(cell_name(theirs), value_deadline(theirs))));
    return true;
}

/* ------------------------------------------------------------ strings */

/* Nothing but one string, and one deadline at most: what is left of it is all or, mostly, nothing.
 */
static bool is_text(const struct cell *key)
{
    return key == NULL || (cell_form(key) == CELL_ONE && cell_low(key) == TYPE_STRING);
}

struct dots {
    stamp_t value, deadline; /* 0: there is none */
};

static struct dots dots_of(const struct cell *key)
{
    struct view v = cell_view(key);
    return (struct dots){.value = view_dot(key, &v, 0),
                         .deadline = v.deadline ? deadline_load(v.deadline).dot : 0};
}

/* All of it has been seen by who does not have it any more. */
static bool is_removed(const struct cell *key, const struct context *by)
{
#ifdef MUTANT_join_keeps_removed
    (void)by;
    return key == NULL;
#else
    if (key == NULL)
        return true;
    struct dots d = dots_of(key);
    return context_covers(by, d.value) && (d.deadline == 0 || context_covers(by, d.deadline));
#endif
}

static bool is_unseen(const struct cell *key, const struct context *by)
{
    struct dots d = dots_of(key);
    return !context_covers(by, d.value) && (d.deadline == 0 || !context_covers(by, d.deadline));
}

static bool same_dots(const struct cell *a, const struct cell *b)
{
    struct dots d = dots_of(a), e = dots_of(b);
    return d.value == e.value && d.deadline == e.deadline;
}

/* Of two strings of which one stays as it is no byte is copied, however long they are. False: they
 * are to be joined as anything else. */
static bool join_texts(struct cell **key, const struct context *mine, struct cell *theirs,
                       const struct context *their_context, const struct surroundings *s,
                       struct applied *out)
{
    bool both = *key != NULL && theirs != NULL;
    if ((both && same_dots(*key, theirs)) ||
        (*key != NULL && is_removed(theirs, mine) && is_unseen(*key, their_context))) {
        mem_free(theirs);
        out->is_empty = false;
        return true;
    }
    if (theirs == NULL || !is_removed(*key, their_context) || !is_unseen(theirs, mine))
        return false;
    if (!s->digest_off) {
        struct hash128 none = {0};
        change_digest(s, *key != NULL ? value_digest(*key) : none, value_digest(theirs));
    }
    mem_free(*key);
    *key = theirs;
    out->is_empty = false;
    out->changed = true;
    return true;
}

struct cell *value_join(struct cell *key, const struct context *mine, struct cell *theirs,
                        const struct context *their_context, const struct context *vv_after,
                        const struct surroundings *s, struct applied *out)
{
    *out = (struct applied){.was_empty = value_type(key) == TYPE_NONE, .is_empty = true};
    if (key == NULL && theirs == NULL)
        return NULL;
    if (key == NULL && mine->n == 0 && is_plain(theirs))
        return take_whole(theirs, s, out);
    if (is_text(key) && is_text(theirs) && join_texts(&key, mine, theirs, their_context, s, out))
        return key;
    struct bytes name = cell_name(key ? key : theirs);
    struct join j = {.ch = {.vv = vv_after, .s = s, .key = name, .out = out},
                     .mine = mine,
                     .theirs = their_context};
    struct multi m, o;
    multi_open(&m, key);
    multi_open(&o, theirs);
    join_parts(&j, &m, &o, key);
    key = multi_close(&m, key, name, vv_after, s);
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        if (o.part[t].reg != theirs)
            mem_free(o.part[t].reg);
        coll_discard(o.part[t].coll, s);
    }
    mem_free(o.deadlines);
    context_deinit(&o.bare_since);
    mem_free(theirs);
    return key;
}
