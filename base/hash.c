/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hash.h"

#include "base/mem.h"

#define XXH_STATIC_LINKING_ONLY /* the state's size */
#include <xxhash.h>

/* ------------------------------------------------------------ SipHash-1-2 */

static inline uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t v = load_u64(p);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

/* The last n % 8 bytes, little endian. With eight bytes or more they are the top of the last whole
 * word. */
static inline uint64_t sip_tail(struct bytes s)
{
    unsigned rest = (unsigned)(s.n & 7);
    if (rest == 0)
        return 0;
    if (s.n >= 8)
        return load_le64(s.p + s.n - 8) >> (64 - 8 * rest);
    uint64_t v = 0;
    for (unsigned i = 0; i < rest; i++)
        v |= (uint64_t)s.p[i] << (8 * i);
    return v;
}

uint64_t hash_sip(struct bytes s, struct hash_key key)
{
    uint64_t v[4] = {key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL,
                     key.k0 ^ 0x6c7967656e657261ULL, key.k1 ^ 0x7465646279746573ULL};
    size_t whole = s.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t m = load_le64(s.p + i);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t m = (uint64_t)s.n << 56 | sip_tail(s);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ------------------------------------------------------------ CRC16 and slots */

/*
 * CRC16 XMODEM (x^16 + x^12 + x^5 + 1, start 0, not reflected), eight bytes at a time: table k
 * holds what a byte adds that has k bytes behind it. The CRC is linear, so the entry of byte i is
 * the sum of its bits' entries, and the entry of bit b in table k is x^(16 + 8k + b) modulo the
 * polynomial: the arguments of TABLE below.
 */
#define BIT(i, b, x) ((i) >> (b)&1 ? (x) : 0)
#define ENTRY(i, x0, x1, x2, x3, x4, x5, x6, x7)                                                   \
    BIT(i, 0, x0) ^ BIT(i, 1, x1) ^ BIT(i, 2, x2) ^ BIT(i, 3, x3) ^ BIT(i, 4, x4) ^                \
        BIT(i, 5, x5) ^ BIT(i, 6, x6) ^ BIT(i, 7, x7)
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__),                   \
        ENTRY(i + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4(i + 4, __VA_ARGS__), ENTRIES_4(i + 8, __VA_ARGS__),       \
        ENTRIES_4(i + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16(i + 16, __VA_ARGS__), ENTRIES_16(i + 32, __VA_ARGS__),  \
        ENTRIES_16(i + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__),     \
            ENTRIES_64(192, __VA_ARGS__)                                                           \
    }

static const uint16_t crc[8][256] = {
    TABLE(0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48c4, 0x9188),
    TABLE(0x3331, 0x6662, 0xccc4, 0x89a9, 0x0373, 0x06e6, 0x0dcc, 0x1b98),
    TABLE(0x3730, 0x6e60, 0xdcc0, 0xa9a1, 0x4363, 0x86c6, 0x1dad, 0x3b5a),
    TABLE(0x76b4, 0xed68, 0xcaf1, 0x85c3, 0x1ba7, 0x374e, 0x6e9c, 0xdd38),
    TABLE(0xaa51, 0x4483, 0x8906, 0x022d, 0x045a, 0x08b4, 0x1168, 0x22d0),
    TABLE(0x45a0, 0x8b40, 0x06a1, 0x0d42, 0x1a84, 0x3508, 0x6a10, 0xd420),
    TABLE(0xb861, 0x60e3, 0xc1c6, 0x93ad, 0x377b, 0x6ef6, 0xddec, 0xabf9),
    TABLE(0x47d3, 0x8fa6, 0x0f6d, 0x1eda, 0x3db4, 0x7b68, 0xf6d0, 0xfd81),
};

uint16_t hash_crc16(struct bytes s)
{
    uint16_t c = 0;
    const uint8_t *p = s.p;
    size_t n = s.n;
    for (; n >= 8; n -= 8, p += 8)
        c = crc[7][p[0] ^ c >> 8] ^ crc[6][p[1] ^ (c & 0xff)] ^ crc[5][p[2]] ^ crc[4][p[3]] ^
            crc[3][p[4]] ^ crc[2][p[5]] ^ crc[1][p[6]] ^ crc[0][p[7]];
    for (; n > 0; n--, p++)
        c = (uint16_t)(c << 8 ^ crc[0][*p ^ c >> 8]);
    return c;
}

/* Only what stands between the first '{' and the first '}' behind it counts, unless that is
 * nothing. */
static struct bytes hash_tag(struct bytes key)
{
    const uint8_t *open = key.n ? memchr(key.p, '{', key.n) : NULL;
    if (open == NULL)
        return key;
    size_t left = (size_t)(key.p + key.n - open) - 1;
    const uint8_t *close = left ? memchr(open + 1, '}', left) : NULL;
    if (close == NULL || close == open + 1)
        return key;
    return bytes_of(open + 1, (size_t)(close - open) - 1);
}

unsigned hash_slot(struct bytes key) { return hash_crc16(hash_tag(key)) % SLOTS; }

/* ------------------------------------------------------------ content hashes */

struct hash128 hash_128(struct bytes s, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(s.p, s.n, seed);
    return (struct hash128){.lo = h.low64, .hi = h.high64};
}

uint64_t hash_64(struct bytes s, uint64_t seed) { return XXH3_64bits_withSeed(s.p, s.n, seed); }

struct hash_stream {
    XXH3_state_t state; /* wants a boundary of 64 */
};

struct hash_stream *hash_stream_new(uint64_t seed)
{
    struct hash_stream *h = mem_lines((sizeof *h + 63) / 64);
    XXH3_INITSTATE(&h->state);
    XXH3_64bits_reset_withSeed(&h->state, seed);
    return h;
}

void hash_stream_add(struct hash_stream *h, struct bytes s)
{
    XXH3_64bits_update(&h->state, s.p, s.n);
}

uint64_t hash_stream_64(const struct hash_stream *h) { return XXH3_64bits_digest(&h->state); }

void hash_stream_free(struct hash_stream *h) { mem_free(h); }
