/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_SEEN_H
#define MERIDIAN_MIGRATE_SEEN_H

#include "base/bytes.h"

/* A set of names by their 128-bit hashes: SCAN may give a key twice, and a file must not have it
 * twice. 16 bytes a name, in a table that is at least half full. Zero-initialised is empty. */
struct seen {
    struct seen_hash {
        uint64_t low, high; /* both 0: free */
    } * at;                 /* owned */
    size_t n, cap;
    uint64_t seed; /* the caller's, random: names are not ours */
};

/* True if it is new. */
bool seen_add(struct seen *s, struct bytes name);
void seen_deinit(struct seen *s);

#endif
