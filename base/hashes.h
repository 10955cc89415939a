/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_HASHES_H
#define MERIDIAN_BASE_HASHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A set of 64-bit hashes, of which none is taken out again: open addressing. The hashes are keyed
 * (base/hash.h), so nobody can make them meet on purpose. Zero-initialised it is empty.
 */
struct hashes {
    uint64_t *at; /* owned; 0 is free */
    size_t n, cap;
};

void hashes_deinit(struct hashes *h);
bool hashes_has(const struct hashes *h, uint64_t hash);
/* False: it was there already. */
bool hashes_add(struct hashes *h, uint64_t hash);

#endif
