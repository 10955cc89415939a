/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/conflict.h"

static void found(const struct change *ch, struct conflict *c)
{
    struct conflicts *n = ch->s->conflicts;
    c->key = ch->key;
    if (n != NULL) {
        n->register_lost += c->kind == CONFLICT_REGISTER;
        n->type_hidden += c->kind == CONFLICT_TYPE;
        n->deadline_lost += c->kind == CONFLICT_DEADLINE;
    }
    if (ch->s->conflict != NULL)
        ch->s->conflict(ch->s->arg, c);
}

/* ------------------------------------------------------------ registers */

static struct bytes value_text(uint8_t type, struct bytes val, char room[NUM_TEXT_MAX])
{
    if (type != TYPE_ZSET)
        return val;
    return bytes_of(room, num_format_double(room, score_load(val)));
}

void conflict_register(const struct change *ch, const struct reg *r, struct bytes elem, stamp_t dot)
{
    if (r->nsib < 2 || (r->type & REG_MAX) || r->type == TYPE_STREAM)
        return; /* what a stream keeps of groups is no value that somebody wrote */
    const struct sibling *won = &r->sib[r->nsib - 1], *lost = won - 1;
    for (uint32_t i = 0; i < r->nsib && dot != 0; i++)
        if (r->sib[i].dot == dot && &r->sib[i] != won)
            lost = &r->sib[i];
    if (bytes_eq(won->val, lost->val))
        return;
    char won_room[NUM_TEXT_MAX], lost_room[NUM_TEXT_MAX];
    found(ch, &(struct conflict){.kind = CONFLICT_REGISTER,
                                 .type = (enum type)r->type,
                                 .elem = elem,
                                 .won = won->dot,
                                 .lost = lost->dot,
                                 .won_value = value_text(r->type, won->val, won_room),
                                 .lost_value = value_text(r->type, lost->val, lost_room)});
}

/* ------------------------------------------------------------ types */

static stamp_t newest_of_cell(const struct cell *e, uint8_t type, stamp_t base)
{
    struct reg r;
    reg_open(&r, type, e, base);
    stamp_t newest = reg_empty(&r) ? 0 : reg_newest(&r);
    reg_close(&r);
    return newest;
}

stamp_t newest_dot(const struct cell *reg, const struct coll *c, enum type type)
{
    stamp_t newest = 0;
    if (type_is_register(type))
        return reg != NULL ? newest_of_cell(reg, (uint8_t)type, 0) : 0;
    if (c == NULL)
        return 0;
    if (c->is_large) {
        const struct context *seen = &coll_large(c)->newest;
        for (unsigned i = 0; i < seen->n; i++)
            newest = seen->at[i] > newest ? seen->at[i] : newest;
        return newest;
    }
    struct coll_iter it;
    const struct cell *e;
    coll_walk(&it, c);
    while ((e = coll_next(&it)) != NULL) {
        stamp_t dot = newest_of_cell(e, coll_reg_type(type, cell_name(e)), c->base);
        newest = dot > newest ? dot : newest;
    }
    return newest;
}

static stamp_t newest_of(const struct multi *m, enum type type)
{
    return newest_dot(m->part[type].reg, m->part[type].coll, type);
}

void conflict_type(const struct change *ch, const struct multi *m, enum type type, stamp_t dot)
{
    enum type shown = multi_type(m), hidden = type;
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT && (dot == 0 || type == shown); t++)
        if (t != shown && part_present(&m->part[t]))
            hidden = t;
    stamp_t won = dot != 0 && type == shown ? dot : newest_of(m, shown);
    stamp_t lost = dot != 0 && type == hidden ? dot : newest_of(m, hidden);
    found(ch, &(struct conflict){.kind = CONFLICT_TYPE,
                                 .type = shown,
                                 .won = won,
                                 .lost = lost,
                                 .won_value = bytes_str(type_name(shown)),
                                 .lost_value = bytes_str(type_name(hidden))});
}

/* ------------------------------------------------------------ deadlines */

static struct bytes deadline_text(const struct deadline *d, char room[NUM_TEXT_MAX])
{
    if (d->ms == DEADLINE_NEVER)
        return bytes_str("never");
    return bytes_of(room, num_format_i64(room, d->ms));
}

void conflict_deadline(const struct change *ch, const struct multi *m, stamp_t dot)
{
    const struct deadline *won = deadlines_shown(m), *lost = NULL;
    for (uint32_t i = 0; i < m->ndeadlines; i++) {
        const struct deadline *d = &m->deadlines[i];
        if (d != won && (lost == NULL || d->dot == dot || (lost->dot != dot && d->ms > lost->ms)))
            lost = d;
    }
    if (won == NULL || lost == NULL || won->ms == lost->ms)
        return;
    char won_room[NUM_TEXT_MAX], lost_room[NUM_TEXT_MAX];
    found(ch, &(struct conflict){.kind = CONFLICT_DEADLINE,
                                 .type = multi_type(m),
                                 .won = won->dot,
                                 .lost = lost->dot,
                                 .won_value = deadline_text(won, won_room),
                                 .lost_value = deadline_text(lost, lost_room)});
}
