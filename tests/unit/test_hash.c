/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hash.h"
#include "base/rng.h"

#include <criterion/criterion.h>

/* SipHash-c-d as the paper describes it, byte by byte: held against the paper's vector, then
 * against ours. */
static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

static void rounds(uint64_t *v, int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[2] = rotl(v[2], 32);
    }
}

static uint64_t sip(struct bytes s, struct hash_key k, int c, int d)
{
    uint64_t v[4] = {k.k0 ^ 0x736f6d6570736575, k.k1 ^ 0x646f72616e646f6d,
                     k.k0 ^ 0x6c7967656e657261, k.k1 ^ 0x7465646279746573};
    uint64_t m = 0;
    for (size_t i = 0; i <= s.n; i++) {
        uint8_t byte = i < s.n ? s.p[i] : 0;
        m |= (uint64_t)byte << 8 * (i % 8);
        if (i == s.n)
            m |= (uint64_t)s.n << 56;
        if (i % 8 == 7 || i == s.n) {
            v[3] ^= m;
            rounds(v, c);
            v[0] ^= m;
            m = 0;
        }
    }
    v[2] ^= 0xff;
    rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

Test(hash, sip_is_siphash_1_2_at_every_length_and_alignment)
{
    uint8_t text[80];
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)i;
    struct hash_key paper = {.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
    cr_assert_eq(sip(bytes_of(text, 15), paper, 2, 4), 0xa129ca6149be45e5);
    for (unsigned off = 0; off < 8; off++)
        for (unsigned n = 0; n <= 72; n++)
            cr_assert_eq(hash_sip(bytes_of(text + off, n), paper),
                         sip(bytes_of(text + off, n), paper, 1, 2), "length %u at %u", n, off);
}

static uint16_t crc_by_bits(struct bytes s)
{
    uint16_t c = 0;
    for (size_t i = 0; i < s.n; i++) {
        c = (uint16_t)(c ^ s.p[i] << 8);
        for (int b = 0; b < 8; b++)
            c = (uint16_t)(c & 0x8000 ? c << 1 ^ 0x1021 : c << 1);
    }
    return c;
}

Test(hash, crc16_is_xmodem)
{
    cr_assert_eq(hash_crc16(bytes_str("123456789")), 0x31c3);
    cr_assert_eq(hash_crc16(bytes_str("")), 0);
    uint8_t text[100];
    struct rng rng;
    rng_init(&rng, 1);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < sizeof text; i++)
            text[i] = (uint8_t)rng_next(&rng);
        struct bytes s = bytes_of(text, rng_below(&rng, sizeof text));
        cr_assert_eq(hash_crc16(s), crc_by_bits(s));
    }
}

/* The values are redis-server's (CLUSTER KEYSLOT). */
Test(hash, slots_follow_the_hash_tag)
{
    cr_assert_eq(hash_slot(bytes_str("foo")), 12182);
    cr_assert_eq(hash_slot(bytes_str("{foo}bar")), 12182);
    cr_assert_eq(hash_slot(bytes_str("x{foo}{bar}")), 12182);
    cr_assert_eq(hash_slot(bytes_str("")), 0);
    cr_assert_eq(hash_slot(bytes_str("{user1000}.following")), hash_slot(bytes_str("user1000")));
    /* nothing between the braces, or no closing one: the whole key counts */
    cr_assert_eq(hash_slot(bytes_str("a{}foo")), hash_crc16(bytes_str("a{}foo")) % SLOTS);
    cr_assert_eq(hash_slot(bytes_str("a{}{foo}")), hash_crc16(bytes_str("a{}{foo}")) % SLOTS);
    cr_assert_eq(hash_slot(bytes_str("a{foo")), hash_crc16(bytes_str("a{foo")) % SLOTS);
    cr_assert_eq(hash_slot(bytes_str("a}foo{")), hash_crc16(bytes_str("a}foo{")) % SLOTS);
    cr_assert_eq(hash_slot(bytes_str("foo{{bar}}")), hash_crc16(bytes_str("{bar")) % SLOTS);
}

Test(hash, sums_of_128_bits_carry_and_undo)
{
    struct hash128 a = hash_128(bytes_str("a"), 1), b = {.lo = UINT64_MAX, .hi = 5};
    struct hash128 sum = hash128_add(hash128_add(a, b), b);
    cr_assert_eq(hash128_add(b, b).hi, 11);
    cr_assert(hash128_eq(hash128_sub(hash128_sub(sum, b), b), a));
    cr_assert(!hash128_eq(a, hash_128(bytes_str("b"), 1)));
    cr_assert(!hash128_eq(a, hash_128(bytes_str("a"), 2)));
    cr_assert_neq(hash_64(bytes_str("a"), 1), hash_64(bytes_str("a"), 2));
}
