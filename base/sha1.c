/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/sha1.h"

#define BLOCK 64u

static uint32_t rotate(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }

static uint32_t load_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned i = 0; i < 16; i++)
        w[i] = load_be(p + 4 * i);
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void sha1_hex(struct bytes s, char out[SHA1_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t at = 0;
    for (; s.n - at >= BLOCK; at += BLOCK)
        block(h, s.p + at);
    uint8_t last[2 * BLOCK] = {0};
    size_t left = s.n - at, total = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    if (left > 0)
        memcpy(last, s.p + at, left);
    last[left] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        last[total - 1 - i] = (uint8_t)((uint64_t)s.n * 8 >> (8 * i));
    for (size_t i = 0; i < total; i += BLOCK)
        block(h, last + i);
    for (unsigned i = 0; i < SHA1_HEX; i++)
        out[i] = digits[h[i / 8] >> (28 - i % 8 * 4) & 15];
    out[SHA1_HEX] = 0;
}
