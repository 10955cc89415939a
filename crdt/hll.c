/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/hll.h"

static unsigned pair_index(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }

bool ranks_valid(struct bytes s)
{
    if (s.n == RANKS_DENSE) {
        for (size_t i = 0; i < s.n; i++)
            if (s.p[i] > RANK_MAX)
                return false;
        return true;
    }
    if (s.n % RANKS_PAIR != 0 || s.n > RANKS_PAIR * (size_t)RANKS_DENSE)
        return false;
    for (size_t i = 0; i < s.n; i += RANKS_PAIR) {
        if (pair_index(s.p + i) >= RANKS_DENSE || s.p[i + 2] == 0 || s.p[i + 2] > RANK_MAX)
            return false;
        if (i > 0 && pair_index(s.p + i) <= pair_index(s.p + i - RANKS_PAIR))
            return false;
    }
    return true;
}

/* Written so that compilers use vectors: a fixed count, no aliases, no branch. */
static void raise_dense(uint8_t *restrict to, const uint8_t *restrict from)
{
    for (size_t i = 0; i < RANKS_DENSE; i++)
        to[i] = from[i] > to[i] ? from[i] : to[i];
}

void ranks_raise(uint8_t *ranks, struct bytes s)
{
    if (s.n == RANKS_DENSE) {
        raise_dense(ranks, s.p);
        return;
    }
    for (size_t i = 0; i < s.n; i += RANKS_PAIR) {
        unsigned at = pair_index(s.p + i);
        if (s.p[i + 2] > ranks[at])
            ranks[at] = s.p[i + 2];
    }
}

/* Both sparse, and the result surely shorter than the dense form. */
static void join_sparse(struct buf *out, struct bytes a, struct bytes b)
{
    uint8_t *start = buf_reserve(out, a.n + b.n + 1), *p = start;
    size_t i = 0, j = 0;
    while (i < a.n || j < b.n) {
        unsigned x = i < a.n ? pair_index(a.p + i) : UINT32_MAX;
        unsigned y = j < b.n ? pair_index(b.p + j) : UINT32_MAX;
        const uint8_t *from = x <= y ? a.p + i : b.p + j;
        memcpy(p, from, RANKS_PAIR);
        if (x == y && b.p[j + 2] > p[2])
            p[2] = b.p[j + 2];
        i += x <= y ? RANKS_PAIR : 0;
        j += y <= x ? RANKS_PAIR : 0;
        p += RANKS_PAIR;
    }
    buf_added(out, (size_t)(p - start));
}

void ranks_join(struct buf *out, struct bytes a, struct bytes b)
{
    if (a.n + b.n < RANKS_DENSE) {
        join_sparse(out, a, b);
        return;
    }
    uint8_t *p = buf_reserve(out, RANKS_DENSE);
    memset(p, 0, RANKS_DENSE);
    ranks_raise(p, a);
    ranks_raise(p, b);
    buf_added(out, RANKS_DENSE);
}
