/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/hll_estimate.h"

#include <math.h>

#define HLL_SEED UINT64_C(0xadc83b19) /* Redis' */
#define MURMUR_M UINT64_C(0xc6a4a7935bd1e995)
#define ALPHA_INFINITE                                                                             \
    0.721347520444481703680 /* 1 / (2 ln 2): the paper's constant for many registers */

/* Little endian, whatever the machine is: regions must agree on an element's register. */
static uint64_t word_at(const uint8_t *p, size_t n)
{
    uint64_t w = 0;
    for (size_t i = n; i > 0; i--)
        w = w << 8 | p[i - 1];
    return w;
}

uint64_t hll_hash(struct bytes s)
{
    uint64_t h = HLL_SEED ^ (uint64_t)s.n * MURMUR_M;
    size_t whole = s.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t k = word_at(s.p + i, 8) * MURMUR_M;
        k = (k ^ k >> 47) * MURMUR_M;
        h = (h ^ k) * MURMUR_M;
    }
    if (s.n > whole)
        h = (h ^ word_at(s.p + whole, s.n - whole)) * MURMUR_M;
    h = (h ^ h >> 47) * MURMUR_M;
    return h ^ h >> 47;
}

void hll_place(struct bytes element, uint16_t *index, uint8_t *rank)
{
    uint64_t h = hll_hash(element);
    *index = (uint16_t)(h & (HLL_REGISTERS - 1));
    /* A one behind the last bit ends the run of zeros. */
    uint64_t rest = h >> HLL_INDEX_BITS | UINT64_C(1) << (HLL_RANK_MAX - 1);
    *rank = (uint8_t)(__builtin_ctzll(rest) + 1);
}

/* x + sum of x^(2^k) 2^(k-1) for k >= 1 (Ertl, equation 4.7): corrects for registers never touched.
 */
static double sigma(double x)
{
    if (x == 1)
        return (double)INFINITY;
    double sum = x, before, weight = 1;
    do {
        x *= x;
        before = sum;
        sum += x * weight;
        weight += weight;
    } while (sum != before);
    return sum;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 2^-k for k >= 1) / 3 (Ertl, equation 4.8): corrects for full
 * registers. */
static double tau(double x)
{
    if (x == 0 || x == 1)
        return 0;
    double sum = 1 - x, before, weight = 1;
    do {
        x = sqrt(x);
        before = sum;
        weight *= 0.5;
        sum -= (1 - x) * (1 - x) * weight;
    } while (sum != before);
    return sum / 3;
}

uint64_t hll_estimate(const uint8_t ranks[HLL_REGISTERS])
{
    unsigned registers[64];       /* how many there are of each rank */
    unsigned part[4][64] = {{0}}; /* neighbours are often equal: counting them apart is faster */
    for (size_t i = 0; i < HLL_REGISTERS; i++)
        part[i & 3][ranks[i] & 63]++;
    for (size_t i = 0; i < 64; i++)
        registers[i] = part[0][i] + part[1][i] + part[2][i] + part[3][i];
    double m = HLL_REGISTERS;
    double z = m * tau((m - registers[HLL_RANK_MAX]) / m);
    for (unsigned k = HLL_RANK_MAX - 1; k >= 1; k--)
        z = 0.5 * (z + registers[k]);
    z += m * sigma(registers[0] / m);
    return (uint64_t)llroundl((long double)(ALPHA_INFINITE * m * m / z));
}
