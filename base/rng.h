/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_RNG_H
#define MERIDIAN_BASE_RNG_H

#include <stdint.h>

/* Deterministic random numbers (xoshiro256**, seeded by splitmix64). Not for secrets: those come
 * through the port. */
struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 .. n-1, n > 0, unbiased */

#endif
