/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/join.h"

#include "base/mem.h"

static const struct coll *large_of(const struct cell *key)
{
    if (key == NULL || cell_form(key) != CELL_COLL)
        return NULL;
    const struct coll *c = key_coll(key, (enum type)cell_low(key));
    return c->is_large ? c : NULL;
}

bool value_joins_in_steps(const struct cell *key, const struct cell *theirs, size_t elements)
{
    const struct coll *c = large_of(key), *o = large_of(theirs);
    return c != NULL && o != NULL && cell_low(key) == cell_low(theirs) &&
           coll_count(c) + coll_count(o) > elements;
}

struct taking {
    struct join *join;
    struct coll *coll;
};

static void take(const struct cell *e, void *arg)
{
    struct taking *t = arg;
    t->coll = join_theirs(t->join, t->coll, e);
}

/* An element that was theirs alone: of mine I had seen all. To join it again would count its
 * increments twice. */
static bool is_taken(const struct join *j, const struct cell *e)
{
    struct reg r;
    reg_open(&r, coll_reg_type(j->type, cell_name(e)), e, 0);
    bool taken = !context_covers(j->mine, reg_newest(&r));
    reg_close(&r);
    return taken;
}

static enum fate join_held(const struct cell *e, stamp_t base, struct reg *r, void *arg)
{
    struct join *j = arg;
    return cell_form(e) >= CELL_COUNT && is_taken(j, e) ? FATE_KEEP : join_mine(e, base, r, j);
}

/* Theirs that are new come first: so the collection is never empty before the end. */
static struct coll *step(struct join *j, struct coll *c, struct join_steps *at, size_t elements)
{
    if (!at->taken) {
        struct taking t = {.join = j, .coll = c};
        coll_visit_some(j->other, &at->cursor, elements, take, &t);
        at->taken = at->cursor == 0;
        return t.coll;
    }
    c = coll_pass_some(c, j->ch.s->hash_key, &at->cursor, elements, join_held, j);
    change_digest(j->ch.s, j->minus, j->plus);
    coll_sum(c, true, &j->ch, j->minus, j->plus);
    at->done = at->cursor == 0 || c == NULL;
    return c;
}

struct cell *value_join_step(struct cell *key, const struct context *mine, struct cell *theirs,
                             const struct context *their_context, const struct context *vv_after,
                             const struct surroundings *s, struct join_steps *at, size_t elements,
                             struct applied *out)
{
    *out = (struct applied){.is_empty = true};
    enum type type = (enum type)cell_low(key);
    struct bytes name = cell_name(key);
    struct join j = {.ch = {.vv = vv_after, .s = s, .key = name, .out = out},
                     .mine = mine,
                     .theirs = their_context};
    struct multi m, o;
    multi_open(&m, key);
    multi_open(&o, theirs);
    struct hash128 minus = multi_deadline_term(&m, &j.ch);
    join_begin(&j, type, o.part[type].coll);
    m.part[type].coll = step(&j, m.part[type].coll, at, elements);
    if (at->done)
        join_deadlines(&j, &m, &o);
    change_digest(s, minus, multi_deadline_term(&m, &j.ch));
    out->is_empty = multi_types(&m) == 0;
    key = multi_close(&m, key, name, vv_after, s);
    if (at->done) {
        coll_discard(o.part[type].coll, s);
        mem_free(theirs);
    }
    mem_free(o.deadlines);
    context_deinit(&o.bare_since);
    return key;
}
