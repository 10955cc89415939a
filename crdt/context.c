/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/context.h"

#include "base/mem.h"

void context_deinit(struct context *c)
{
    mem_free(c->at);
    *c = (struct context){0};
}

static void reserve(struct context *c, unsigned n)
{
    if (n <= c->cap)
        return;
    unsigned cap = n < 4 ? 4 : n + n / 2;
    c->at = mem_realloc(c->at, cap * sizeof *c->at);
    c->cap = (uint16_t)cap;
}

void context_copy(struct context *to, const struct context *from)
{
    if (to == from)
        return;
    reserve(to, from->n);
    if (from->n)
        memcpy(to->at, from->at, from->n * sizeof *to->at);
    to->n = from->n;
}

void context_clear(struct context *c) { c->n = 0; }

/* Place of the first entry whose actor is not below `actor`. Contexts are short: a handful of
 * regions. */
static unsigned place(const struct context *c, uint32_t actor)
{
    unsigned i = 0;
    while (i < c->n && stamp_actor(c->at[i]) < actor)
        i++;
    return i;
}

stamp_t context_get(const struct context *c, uint32_t actor)
{
    unsigned i = place(c, actor);
    return i < c->n && stamp_actor(c->at[i]) == actor ? c->at[i] : 0;
}

void context_add(struct context *c, stamp_t s)
{
    if (stamp_is_zero(s))
        return;
    unsigned i = place(c, stamp_actor(s));
    reserve(c, c->n + 1u);
    memmove(c->at + i + 1, c->at + i, (c->n - i) * sizeof *c->at);
    c->at[i] = s;
    c->n++;
}

void context_lower(struct context *c, stamp_t s)
{
    unsigned i = place(c, stamp_actor(s));
    if (i == c->n || stamp_actor(c->at[i]) != stamp_actor(s))
        context_add(c, s);
    else if (s < c->at[i])
        c->at[i] = s;
}

bool context_meets(const struct context *c, const struct context *by)
{
    for (unsigned i = 0; i < c->n; i++)
        if (context_covers(by, c->at[i]))
            return true;
    return false;
}

void context_drop(struct context *c, uint32_t actor)
{
    unsigned i = place(c, actor);
    if (i == c->n || stamp_actor(c->at[i]) != actor)
        return;
    c->n--;
    memmove(c->at + i, c->at + i + 1, (c->n - i) * sizeof *c->at);
}

void context_join(struct context *c, const struct context *o)
{
    if (c == o)
        return;
    for (unsigned i = 0; i < o->n; i++)
        context_raise(c, o->at[i]);
}

void context_meet(struct context *c, const struct context *o)
{
    unsigned n = 0, j = 0;
    for (unsigned i = 0; i < c->n; i++) {
        stamp_t s = c->at[i];
        while (j < o->n && stamp_actor(o->at[j]) < stamp_actor(s))
            j++;
        if (j < o->n && stamp_actor(o->at[j]) == stamp_actor(s))
            c->at[n++] = s < o->at[j] ? s : o->at[j];
    }
    c->n = (uint16_t)n;
}

bool context_le(const struct context *small, const struct context *big)
{
    unsigned j = 0;
    for (unsigned i = 0; i < small->n; i++) {
        stamp_t s = small->at[i];
        while (j < big->n && stamp_actor(big->at[j]) < stamp_actor(s))
            j++;
        if (j == big->n || stamp_actor(big->at[j]) != stamp_actor(s) || s > big->at[j])
            return false;
    }
    return true;
}

bool context_eq(const struct context *a, const struct context *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n * sizeof *a->at) == 0);
}

void context_encode(struct buf *out, const struct context *c)
{
    mp_put_array(out, c->n);
    for (unsigned i = 0; i < c->n; i++)
        mp_put_uint(out, c->at[i]);
}

bool context_decode(struct mp *m, struct context *c)
{
    context_clear(c);
    uint32_t n = mp_array(m);
    if (m->bad || n > STAMP_ACTOR_MAX + 1)
        return false;
    reserve(c, n);
    for (uint32_t i = 0; i < n; i++) {
        stamp_t s = mp_uint(m);
        bool sorted = c->n == 0 || stamp_actor(s) > stamp_actor(c->at[c->n - 1]);
        if (m->bad || stamp_is_zero(s) || !sorted) {
            context_clear(c);
            return false;
        }
        c->at[c->n++] = s;
    }
    return true;
}
