/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/move.h"

#include "crdt/multi.h"

static void set_pointer(struct cell *key, void *to)
{
    struct view v = cell_view(key);
    uint8_t *payload = (uint8_t *)key + (v.payload.p - (const uint8_t *)key);
    memcpy(payload, &to, sizeof to);
}

/* A large collection's header is moved like a packed one's whole: only readings point to it. */
static struct coll *move_coll(struct coll *old, const struct mover *m)
{
    struct coll *c = old != NULL ? m->move(old, m->arg) : NULL;
    if (c != old && c->is_large)
        readings_moved(coll_large(c));
    return c;
}

static struct multi *move_multi(struct multi *old, const struct mover *m)
{
    struct multi *multi = m->move(old, m->arg);
    for (unsigned t = 0; t < TYPE_COUNT; t++) {
        struct part *p = &multi->part[t];
        if (p->reg != NULL)
            p->reg = m->move(p->reg, m->arg);
        p->coll = move_coll(p->coll, m);
    }
    if (multi->deadlines != NULL)
        multi->deadlines = m->move(multi->deadlines, m->arg);
    return multi;
}

struct cell *move_key(struct cell *old, const struct mover *m)
{
    struct cell *key = m->move(old, m->arg);
    struct view v = cell_view(key);
#ifdef MUTANT_moved_not_told
    if (v.form == CELL_COLL)
        (void)move_coll(view_pointer(&v), m); /* the planted bug */
#else
    if (v.form == CELL_COLL)
        set_pointer(key, move_coll(view_pointer(&v), m));
#endif
    else if (v.form == CELL_MULTI)
        set_pointer(key, move_multi(view_pointer(&v), m));
    return key;
}

/* ------------------------------------------------------------ elements */

struct elements {
    struct large *large;
    const struct mover *m;
};

static void *move_element(void *item, void *arg)
{
    const struct elements *e = arg;
    void *now = e->m->move(item, e->m->arg);
    if (now != item && coll_has_tree((enum type)e->large->head.type))
        tree_replace(&e->large->tree, item, now);
    return now;
}

/* Lists and streams lie in pages of their own, which fragment nothing. */
static struct large *with_cells(const struct cell *key, enum type type)
{
    const struct coll *c = coll_has_table(type) ? key_coll(key, type) : NULL;
    return c != NULL && c->is_large ? coll_large(c) : NULL;
}

static struct large *next_large(const struct cell *key, enum type *type)
{
    for (unsigned t = *type; t < TYPE_COUNT; t++) {
        if (t == TYPE_NONE || type_is_register((enum type)t))
            continue;
        struct large *l = with_cells(key, (enum type)t);
        if (l != NULL) {
            *type = (enum type)t;
            return l;
        }
    }
    return NULL;
}

bool move_has_elements(const struct cell *key)
{
    enum type type = TYPE_NONE;
    return next_large(key, &type) != NULL;
}

uint64_t move_elements(const struct cell *key, enum type *type, uint64_t cursor, size_t want,
                       const struct mover *m)
{
    enum type began = *type;
    struct elements e = {.large = next_large(key, type), .m = m};
    if (e.large == NULL)
        return 0;
    if (*type != began)
        cursor = 0; /* the one that it belonged to has gone */
    uint64_t next = table_move(&e.large->table, cursor, want, move_element, &e);
    if (next != 0)
        return next;
    *type = (enum type)(*type + 1);
    enum type rest = *type;
    return next_large(key, &rest) != NULL ? 1 : 0;
}
