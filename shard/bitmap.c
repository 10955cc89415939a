/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/bitmap.h"

/* ------------------------------------------------------------ counting */

static uint64_t word_at(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* A full adder on 64 bits at once: what of a + b + c weighs twice goes to *high. */
static uint64_t add_carry(uint64_t *high, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t u = a ^ b;
    *high = (a & b) | (u & c);
    return u ^ c;
}

static unsigned count_word(uint64_t w) { return (unsigned)__builtin_popcountll(w); }

#define BLOCK_WORDS 16u

/* Harley and Seal's method: words are added up bit by bit as if by hardware, so that only one word
 * in sixteen has to be counted. */
static uint64_t count_blocks(const uint8_t *p, size_t blocks)
{
    uint64_t total = 0, ones = 0, twos = 0, fours = 0, eights = 0;
    for (; blocks > 0; blocks--, p += BLOCK_WORDS * 8) {
        uint64_t two[8], four[4], eight[2], sixteen;
        for (unsigned i = 0; i < 8; i++)
            ones = add_carry(&two[i], ones, word_at(p + 16 * i), word_at(p + 16 * i + 8));
        for (unsigned i = 0; i < 4; i++)
            twos = add_carry(&four[i], twos, two[2 * i], two[2 * i + 1]);
        for (unsigned i = 0; i < 2; i++)
            fours = add_carry(&eight[i], fours, four[2 * i], four[2 * i + 1]);
        eights = add_carry(&sixteen, eights, eight[0], eight[1]);
        total += count_word(sixteen);
    }
    return 16 * total + 8 * (uint64_t)count_word(eights) + 4 * (uint64_t)count_word(fours) +
           2 * (uint64_t)count_word(twos) + count_word(ones);
}

uint64_t bitmap_count(struct bytes s)
{
    size_t blocks = s.n / (BLOCK_WORDS * 8);
    uint64_t n = count_blocks(s.p, blocks);
    size_t i = blocks * BLOCK_WORDS * 8;
    for (; i + 8 <= s.n; i += 8)
        n += count_word(word_at(s.p + i));
    for (; i < s.n; i++)
        n += count_word(s.p[i]);
    return n;
}

uint64_t bitmap_count_bits(struct bytes s, uint64_t first, uint64_t last)
{
    uint64_t from = first / 8, to = last / 8;
    unsigned before = (0xff00u >> first % 8) & 0xff, after = 0x7fu >> last % 8;
    return bitmap_count(bytes_of(s.p + from, to - from + 1)) - count_word(s.p[from] & before) -
           count_word(s.p[to] & after);
}

/* ------------------------------------------------------------ finding */

/* The first bit of that value in the byte, or 8. */
static unsigned find_in(unsigned byte, bool bit)
{
    byte = (bit ? byte : ~byte) & 0xff;
    return byte == 0 ? 8 : (unsigned)__builtin_clz(byte) - 24;
}

int64_t bitmap_find(struct bytes s, bool bit, uint64_t first, uint64_t last)
{
    uint64_t none = bit ? 0 : UINT64_MAX;
    uint64_t at = first / 8, end = last / 8 + 1;
    /* What lies before the first bit counts as the other value. */
    unsigned mask = (0xff00u >> first % 8) & 0xff;
    unsigned byte = bit ? s.p[at] & ~mask : s.p[at] | mask;
    unsigned found = find_in(byte, bit);
    if (found == 8) {
        for (at++; at + 8 <= end && word_at(s.p + at) == none; at += 8)
            continue;
        while (at < end && s.p[at] == (uint8_t)none)
            at++;
        if (at == end)
            return -1;
        found = find_in(s.p[at], bit);
    }
    uint64_t pos = at * 8 + found;
    return pos <= last ? (int64_t)pos : -1;
}

/* ------------------------------------------------------------ numbers */

uint64_t bitmap_load(struct bytes s, uint64_t at, unsigned width)
{
    uint64_t v = 0;
    uint64_t byte = at / 8;
    unsigned skip = (unsigned)(at % 8), have = 0;
    for (; have < width; byte++, skip = 0) {
        unsigned take = 8 - skip < width - have ? 8 - skip : width - have;
        unsigned b = byte < s.n ? s.p[byte] : 0;
        v = v << take | (b >> (8 - skip - take) & ((1u << take) - 1));
        have += take;
    }
    return v;
}

void bitmap_store(uint8_t *bytes, uint64_t at, unsigned width, uint64_t v)
{
    uint64_t byte = at / 8;
    unsigned skip = (unsigned)(at % 8), left = width;
    for (; left > 0; byte++, skip = 0) {
        unsigned take = 8 - skip < left ? 8 - skip : left;
        unsigned shift = 8 - skip - take, mask = ((1u << take) - 1) << shift;
        left -= take;
        bytes[byte] = (uint8_t)((bytes[byte] & ~mask) | ((unsigned)(v >> left) << shift & mask));
    }
}

/* ------------------------------------------------------------ combining */

/* Loops of a kind that compilers turn into vectors. */
void bitmap_combine(uint8_t *to, size_t n, enum bitmap_op op, struct bytes s)
{
    uint8_t *restrict t = to;
    const uint8_t *restrict from = s.p;
    switch (op) {
    case BITMAP_AND:
        for (size_t i = 0; i < s.n; i++)
            t[i] &= from[i];
        if (n > s.n)
            memset(t + s.n, 0, n - s.n);
        break;
    case BITMAP_OR:
        for (size_t i = 0; i < s.n; i++)
            t[i] |= from[i];
        break;
    case BITMAP_XOR:
        for (size_t i = 0; i < s.n; i++)
            t[i] ^= from[i];
        break;
    case BITMAP_NOT:
        for (size_t i = 0; i < s.n; i++)
            t[i] = (uint8_t)~from[i];
        break;
    }
}
