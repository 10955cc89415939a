/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_MULTI_H
#define MERIDIAN_CRDT_MULTI_H

#include "crdt/apply.h"
#include "crdt/coll.h"

/*
 * A key opened up: every type under its name and all its deadlines, as the model's Key. Most keys
 * have one type and one deadline at most and are stored without it; whoever needs the general case
 * opens the key, changes the parts and closes it into the smallest form again. A CELL_MULTI points
 * to one of these.
 */
struct deadline {
    stamp_t dot;
    int64_t ms;
};

struct part {
    struct cell *reg;  /* TYPE_STRING, TYPE_HLL: a register's cell */
    struct coll *coll; /* the others */
};

struct multi {
    struct part part[TYPE_COUNT];
    struct deadline *deadlines; /* owned; ascending dots */
    uint32_t ndeadlines;
    bool bare;                 /* only deadlines are left */
    bool queued;               /* deadlines await compaction */
    struct context bare_since; /* owned; what had been seen when a bare key last changed */
};

static inline bool type_is_register(enum type t) { return t == TYPE_STRING || t == TYPE_HLL; }

static inline bool part_present(const struct part *p) { return p->reg != NULL || p->coll != NULL; }

/* The parts of a key for reading; NULL absent. */
const struct cell *key_register(const struct cell *key, enum type type);

/* NULL: not of that form. */
static inline const struct multi *key_multi(const struct cell *key)
{
    if (key == NULL || cell_form(key) != CELL_MULTI)
        return NULL;
    struct view v = cell_view(key);
    return view_pointer(&v);
}

static inline const struct coll *key_coll(const struct cell *key, enum type type)
{
    const struct multi *m = key_multi(key);
    if (m)
        return m->part[type].coll;
    if (key == NULL || cell_low(key) != type || cell_form(key) != CELL_COLL)
        return NULL;
    struct view v = cell_view(key);
    return view_pointer(&v);
}

/* Takes the key's contents out; a register of a simple key stays where it is: m->part[].reg == key
 * then. The cell itself is needed until multi_close. */
void multi_open(struct multi *m, struct cell *key);
/* Puts the parts under `name` (which may be the old cell's) and frees what is left of the old cell.
 * `vv`, what has been seen with this change, is for keys that are bare; NULL: nothing came. Tells
 * s->unsettled about deadlines. */
struct cell *multi_close(struct multi *m, struct cell *key, struct bytes name,
                         const struct context *vv, const struct surroundings *s);
/* Another register for a part; the old one is freed unless it is the key's own cell. reg NULL:
 * none. */
void multi_set_register(struct multi *m, enum type type, struct cell *reg, const struct cell *key);
enum type multi_type(const struct multi *m);
unsigned multi_types(const struct multi *m); /* how many */

bool deadlines_remove(struct multi *m, const struct seen *seen);
void deadlines_assign(struct multi *m, stamp_t dot, const struct seen *seen, int64_t ms);
void deadlines_insert(struct multi *m, struct deadline d);
/* The visible one; NULL none. */
const struct deadline *deadlines_shown(const struct multi *m);

/* A cell of its own for a register, under the empty name. */
struct cell *register_cell(const struct reg *r);
/* The same key with another deadline (NULL none); the old cell is freed. */
struct cell *key_with_deadline(struct cell *key, const uint8_t *deadline);
static inline struct deadline deadline_load(const uint8_t *p)
{
    return (struct deadline){.dot = load_u64(p), .ms = (int64_t)load_u64(p + 8)};
}
static inline void deadline_store(uint8_t *p, struct deadline d)
{
    store_u64(p, d.dot);
    store_u64(p + 8, (uint64_t)d.ms);
}

/* Frees a collection now, or hands it to s->discard when it is large. */
void coll_discard(struct coll *c, const struct surroundings *s);

#endif
