/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/reg.h"

/* Compaction and join of registers: the model's compact and join of Register, DotSet and Segments.
 */

/* ------------------------------------------------------------ compaction */

static bool may_forget(const struct context *stable, stamp_t dot)
{
#ifdef MUTANT_compact_unstable
    (void)stable;
    return dot != 0;
#else
    return context_covers(stable, dot);
#endif
}

static void wait_for(stamp_t *waits, stamp_t dot)
{
    if (dot > *waits)
        *waits = dot;
}

/* Losing siblings go once every operation concurrent to them is here. */
static void compact_siblings(struct reg *r, const struct context *stable, stamp_t *waits)
{
    stamp_t winner = 0;
    struct bytes best = {NULL, 0};
    for (uint32_t i = 0; i < r->nsib; i++) {
        bool beats = winner == 0 || !(r->type & REG_MAX) || bytes_cmp(r->sib[i].val, best) >= 0;
        if (!beats || !may_forget(stable, r->sib[i].dot))
            continue;
        winner = r->sib[i].dot;
        best = r->sib[i].val;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nsib; i++)
        if (r->sib[i].dot == winner || !may_forget(stable, r->sib[i].dot))
            r->sib[n++] = r->sib[i];
    r->nsib = n;
    for (uint32_t i = 0; i < n && n > 1; i++)
        if (r->sib[i].dot != winner)
            wait_for(waits, r->sib[i].dot);
}

/* One actor's stable segments, a prefix of its list, become one. */
static void compact_segments(struct reg *r, const struct context *stable, stamp_t *waits)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nseg; i++) {
        struct segment s = r->seg[i];
        uint32_t actor = stamp_actor(s.to);
        bool same = n > 0 && stamp_actor(r->seg[n - 1].to) == actor;
        if (same && may_forget(stable, s.to)) {
            reg_merge_amount(r, &r->seg[n - 1], &s);
            r->seg[n - 1].to = s.to;
            continue;
        }
        if (same)
            wait_for(waits, s.to);
        r->seg[n++] = s;
    }
    r->nseg = n;
}

bool reg_compact(struct reg *r, const struct context *stable, stamp_t *waits)
{
    uint32_t nsib = r->nsib, nseg = r->nseg;
    compact_siblings(r, stable, waits);
    compact_segments(r, stable, waits);
    return r->nsib != nsib || r->nseg != nseg;
}

/* ------------------------------------------------------------ join */

static bool has_sibling(const struct reg *r, stamp_t dot)
{
    for (uint32_t i = 0; i < r->nsib; i++)
        if (r->sib[i].dot == dot)
            return true;
    return false;
}

/* What both hold stays, and what the other side has not seen yet. */
static bool survives(const struct reg *other, const struct context *octx, stamp_t dot)
{
#ifdef MUTANT_join_keeps_removed
    (void)other;
    (void)octx;
    return dot != 0;
#else
    return has_sibling(other, dot) || !context_covers(octx, dot);
#endif
}

static unsigned join_siblings(struct reg *r, const struct context *rctx, const struct reg *o,
                              const struct context *octx)
{
    uint32_t n = 0, mine = 0, theirs = 0;
    for (uint32_t i = 0; i < r->nsib; i++) {
        if (!survives(o, octx, r->sib[i].dot))
            continue;
        mine += !has_sibling(o, r->sib[i].dot);
        r->sib[n++] = r->sib[i];
    }
    r->nsib = n;
    for (uint32_t i = 0; i < o->nsib; i++) {
        if (has_sibling(r, o->sib[i].dot) || context_covers(rctx, o->sib[i].dot))
            continue;
        reg_insert_sibling(r, o->sib[i].dot, o->sib[i].val);
        theirs++;
    }
    return mine > 0 && theirs > 0 ? 1 : theirs > 0 && r->nsib > theirs ? 1 : 0;
}

/* Two lists of one actor's segments: a removal takes a prefix of them, so of what both sides know
 * the list whose first survivor is later knows more removals; behind it comes what only one side
 * knows. */
static void join_actor(struct reg *out, const struct segment *a, uint32_t an,
                       const struct segment *b, uint32_t bn, stamp_t both)
{
    uint32_t ca = 0, cb = 0;
    while (ca < an && a[ca].to <= both)
        ca++;
    while (cb < bn && b[cb].to <= both)
        cb++;
    stamp_t first_a = ca ? a[0].from : UINT64_MAX, first_b = cb ? b[0].from : UINT64_MAX;
    const struct segment *common = first_a >= first_b ? a : b;
    uint32_t n = first_a >= first_b ? ca : cb;
    for (uint32_t i = 0; i < n; i++)
        *reg_push_segment(out) = common[i];
    for (uint32_t i = ca; i < an; i++)
        *reg_push_segment(out) = a[i];
    for (uint32_t i = cb; i < bn; i++)
        *reg_push_segment(out) = b[i];
}

static void join_segments(struct reg *r, const struct context *rctx, const struct reg *o,
                          const struct context *octx)
{
    struct reg out;
    reg_init(&out, r->type);
    uint32_t i = 0, j = 0;
    while (i < r->nseg || j < o->nseg) {
        uint32_t ai = i < r->nseg ? stamp_actor(r->seg[i].to) : UINT32_MAX;
        uint32_t aj = j < o->nseg ? stamp_actor(o->seg[j].to) : UINT32_MAX;
        uint32_t actor = ai < aj ? ai : aj, i0 = i, j0 = j;
        while (i < r->nseg && stamp_actor(r->seg[i].to) == actor)
            i++;
        while (j < o->nseg && stamp_actor(o->seg[j].to) == actor)
            j++;
        stamp_t mine = context_get(rctx, actor), theirs = context_get(octx, actor);
        join_actor(&out, r->seg + i0, i - i0, o->seg + j0, j - j0, mine < theirs ? mine : theirs);
    }
    r->nseg = 0;
    for (i = 0; i < out.nseg; i++)
        *reg_push_segment(r) = out.seg[i];
    reg_close(&out);
}

unsigned reg_join(struct reg *r, const struct context *rctx, const struct reg *o,
                  const struct context *octx)
{
    unsigned met = join_siblings(r, rctx, o, octx);
    if (r->nseg || o->nseg)
        join_segments(r, rctx, o, octx);
    return met;
}
