/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_CONTEXT_H
#define MERIDIAN_CRDT_CONTEXT_H

#include "base/mp.h"
#include "crdt/stamp.h"

/*
 * A version vector: the newest stamp seen of every actor, of one partition. Because each actor's
 * stamps are delivered in order and without gaps, covering is exact. Stored as stamps sorted by
 * their actor; an absent actor counts as 0, and so does stamp_make(0, 0, actor), which is never
 * stored and always covered. Zero-initialised is the empty context.
 */
struct context {
    stamp_t *at; /* owned */
    uint16_t n, cap;
};

void context_deinit(struct context *c);
void context_copy(struct context *to, const struct context *from); /* `to` is initialised */
void context_clear(struct context *c);
stamp_t context_get(const struct context *c, uint32_t actor); /* 0 when absent */
void context_add(struct context *c, stamp_t s);               /* of an actor that is absent */
/* Raises the entry of the stamp's actor; never lowers. */
static inline void context_raise(struct context *c, stamp_t s)
{
    uint32_t actor = stamp_actor(s);
    for (unsigned i = 0; i < c->n; i++) {
        if (stamp_actor(c->at[i]) != actor)
            continue;
        if (s > c->at[i])
            c->at[i] = s;
        return;
    }
    context_add(c, s);
}
/* Lowers the entry of the stamp's actor, or makes it. */
void context_lower(struct context *c, stamp_t s);
void context_drop(struct context *c, uint32_t actor);
/* Least upper bound: c := max(c, o), by actor. */
void context_join(struct context *c, const struct context *o);
/* Greatest lower bound: c := min(c, o); an actor absent on either side goes. */
void context_meet(struct context *c, const struct context *o);
/* Every stamp that `small` covers is covered by `big`. */
bool context_le(const struct context *small, const struct context *big);
/* Some stamp of `c` is covered by `by`. */
bool context_meets(const struct context *c, const struct context *by);
bool context_eq(const struct context *a, const struct context *b);
void context_encode(struct buf *out, const struct context *c); /* msgpack array of uints */
bool context_decode(struct mp *m,
                    struct context *c); /* false: not sorted, duplicate, zero, over 1024 */

static inline bool context_covers(const struct context *c, stamp_t dot)
{
    uint32_t actor = stamp_actor(dot);
    for (unsigned i = 0; i < c->n; i++)
        if (stamp_actor(c->at[i]) == actor)
            return dot <= c->at[i];
    return stamp_is_zero(dot);
}

/* What the writer of an operation had seen: others' stamps, and its own previous one. deps == NULL
 * stands for "all that is here", which is what a local writer has seen. */
struct seen {
    const struct context *deps;
    stamp_t prev; /* names the writing actor, also when it wrote nothing before: stamp_make(0, 0,
                     actor) */
};

static inline bool seen_covers(const struct seen *s, stamp_t dot)
{
    if (s->deps == NULL)
        return true;
    if (stamp_actor(dot) == stamp_actor(s->prev))
        return dot <= s->prev;
    return context_covers(s->deps, dot);
}

/* Everything that `c` covers. */
static inline bool seen_covers_all(const struct seen *s, const struct context *c)
{
    for (unsigned i = 0; i < c->n; i++)
        if (!seen_covers(s, c->at[i]))
            return false;
    return true;
}

#endif
