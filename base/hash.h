/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_HASH_H
#define MERIDIAN_BASE_HASH_H

#include "base/bytes.h"

/* SipHash-1-2 with a 128-bit key: for tables whose keys clients choose (Aumasson & Bernstein 2012).
 */
struct hash_key {
    uint64_t k0, k1;
};
uint64_t hash_sip(struct bytes s, struct hash_key key);

/* Redis Cluster's slot of a key: CRC16 (XMODEM) of the key or of its {tag}, mod 16384. Redis
 * Cluster specification. */
#define SLOTS 16384u
uint16_t hash_crc16(struct bytes s);
unsigned hash_slot(struct bytes key); /* 0 .. SLOTS-1 */

/* 128-bit content hash for digests (XXH3). Never used where clients could profit from collisions.
 */
struct hash128 {
    uint64_t lo, hi;
};
struct hash128 hash_128(struct bytes s, uint64_t seed);
uint64_t hash_64(struct bytes s, uint64_t seed); /* XXH3, for checksums */
/* The same of what comes in pieces. */
struct hash_stream; /* opaque */
struct hash_stream *hash_stream_new(uint64_t seed);
void hash_stream_add(struct hash_stream *h, struct bytes s);
uint64_t hash_stream_64(const struct hash_stream *h);
void hash_stream_free(struct hash_stream *h); /* NULL is allowed */

static inline struct hash128 hash128_add(struct hash128 a, struct hash128 b)
{
    uint64_t lo = a.lo + b.lo;
    return (struct hash128){.lo = lo, .hi = a.hi + b.hi + (lo < a.lo)};
}

static inline struct hash128 hash128_sub(struct hash128 a, struct hash128 b)
{
    return (struct hash128){.lo = a.lo - b.lo, .hi = a.hi - b.hi - (a.lo < b.lo)};
}

static inline bool hash128_eq(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

#endif
