/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/lzf.h"

#define LITERALS_MAX 32u
#define MATCH_MIN 3u
#define MATCH_MAX 264u
#define BACK_MAX 8192u
#define TABLE_BITS_MAX 13u
#define TABLE_BITS_MIN 6u

/* ------------------------------------------------------------ compressing */

struct packer {
    const uint8_t *in;
    size_t n;
    uint8_t *out;
    size_t at, room;
    unsigned bits;                       /* of the table in use */
    uint32_t seen[1u << TABLE_BITS_MAX]; /* where three bytes of this hash were seen last, plus 1 */
};

static size_t hash_at(const struct packer *k, size_t i)
{
    uint32_t v = (uint32_t)k->in[i] << 16 | (uint32_t)k->in[i + 1] << 8 | k->in[i + 2];
    return v * UINT32_C(2654435761) >> (32 - k->bits);
}

static bool put_literals(struct packer *k, size_t from, size_t to)
{
    while (from < to) {
        size_t n = to - from < LITERALS_MAX ? to - from : LITERALS_MAX;
        if (k->room - k->at < n + 1)
            return false;
        k->out[k->at++] = (uint8_t)(n - 1);
        memcpy(k->out + k->at, k->in + from, n);
        k->at += n;
        from += n;
    }
    return true;
}

static bool put_match(struct packer *k, size_t back, size_t n)
{
    size_t o = back - 1, len = n - 2;
    if (k->room - k->at < 3)
        return false;
    k->out[k->at++] = (uint8_t)((len < 7 ? len : 7) << 5 | o >> 8);
    if (len >= 7)
        k->out[k->at++] = (uint8_t)(len - 7);
    k->out[k->at++] = (uint8_t)o;
    return true;
}

static size_t match_length(const struct packer *k, size_t a, size_t b)
{
    size_t most = k->n - b < MATCH_MAX ? k->n - b : MATCH_MAX, n = 0;
    while (n < most && k->in[a + n] == k->in[b + n])
        n++;
    return n;
}

static size_t pack(struct packer *k)
{
    size_t from = 0, i = 0; /* first byte not written; where we are */
    while (i + MATCH_MIN <= k->n) {
        uint32_t *slot = &k->seen[hash_at(k, i)];
        size_t before = *slot; /* plus 1 */
        *slot = (uint32_t)(i + 1);
        size_t n = before > 0 && i + 1 - before <= BACK_MAX ? match_length(k, before - 1, i) : 0;
        if (n < MATCH_MIN) {
            i++;
            continue;
        }
        if (!put_literals(k, from, i) || !put_match(k, i + 1 - before, n))
            return 0;
        from = i += n;
    }
    return put_literals(k, from, k->n) ? k->at : 0;
}

size_t lzf_compress(struct bytes in, uint8_t *out, size_t room)
{
    struct packer k;
    if (in.n < MATCH_MIN + 1 || in.n > UINT32_MAX - 1)
        return 0;
    k.in = in.p;
    k.n = in.n;
    k.out = out;
    k.at = 0;
    k.room = room;
    for (k.bits = TABLE_BITS_MIN; k.bits < TABLE_BITS_MAX && in.n >> k.bits > 0;)
        k.bits++; /* a short text needs no large table to be cleared */
    memset(k.seen, 0, sizeof k.seen[0] << k.bits);
    return pack(&k);
}

/* ------------------------------------------------------------ expanding */

struct expander {
    struct bytes in;
    size_t i;
    uint8_t *out;
    size_t at, n;
};

static bool take_literals(struct expander *x, size_t n)
{
    if (n > x->in.n - x->i || n > x->n - x->at)
        return false;
    memcpy(x->out + x->at, x->in.p + x->i, n);
    x->i += n;
    x->at += n;
    return true;
}

static bool take_match(struct expander *x, uint8_t head)
{
    size_t n = head >> 5;
    if (n == 7) {
        if (x->i == x->in.n)
            return false;
        n += x->in.p[x->i++];
    }
    n += 2;
    if (x->i == x->in.n)
        return false;
    size_t back = ((size_t)(head & 31u) << 8 | x->in.p[x->i++]) + 1;
    if (back > x->at || n > x->n - x->at)
        return false;
    for (; n > 0; n--, x->at++) /* what it copies may be what it has just written */
        x->out[x->at] = x->out[x->at - back];
    return true;
}

bool lzf_expand(struct bytes in, uint8_t *out, size_t n)
{
    struct expander x = {.in = in, .out = out, .n = n};
    while (x.i < in.n) {
        uint8_t head = in.p[x.i++];
        if (head < LITERALS_MAX ? !take_literals(&x, (size_t)head + 1) : !take_match(&x, head))
            return false;
    }
    return x.at == n;
}
