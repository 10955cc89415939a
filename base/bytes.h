/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_BYTES_H
#define MERIDIAN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A run of bytes that somebody else owns. Never NUL-terminated by contract. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){.p = p, .n = n};
}

static inline struct bytes bytes_str(const char *s) { return bytes_of(s, strlen(s)); }

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool bytes_is(struct bytes a, const char *s) { return bytes_eq(a, bytes_str(s)); }

/* memcmp order, a prefix first: -1, 0 or 1. */
static inline int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c < 0 ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

/* Equal, ignoring ASCII case. */
static inline bool bytes_is_nocase(struct bytes a, const char *s)
{
    for (size_t i = 0; i < a.n; i++) {
        uint8_t x = a.p[i], y = (uint8_t)s[i];
        if (y == 0)
            return false;
        if (x >= 'A' && x <= 'Z')
            x = (uint8_t)(x | 0x20);
        if (y >= 'A' && y <= 'Z')
            y = (uint8_t)(y | 0x20);
        if (x != y)
            return false;
    }
    return s[a.n] == 0;
}

/* Unaligned loads and stores in the machine's order (values in memory, never on the wire). */
static inline uint64_t load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_u64(void *p, uint64_t v) { memcpy(p, &v, sizeof v); }

static inline double load_double(const void *p)
{
    double v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_double(void *p, double v) { memcpy(p, &v, sizeof v); }

/* Starts fetching a cache line. The empty statement keeps the compiler from taking a function that
 * does nothing else for one without effect: GCC drops calls of such functions. */
static inline void prefetch(const void *p)
{
    __builtin_prefetch(p);
    __asm__ volatile("");
}

#endif
