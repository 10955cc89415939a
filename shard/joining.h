/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_JOINING_H
#define MERIDIAN_SHARD_JOINING_H

#include "shard/deferred.h"

/* What is known of a large key that has come, found by its name. */
struct known {
    struct gathered of; /* its context is owned */
    size_t n;
    uint8_t name[];
};
extern const struct table_type known_type;

/* The partition joins what is in `states` (keys) and `known`, which are empty afterwards. It must
 * have no other joining. `theirs` is their context, which the partition's contains from now on. */
void joining_begin(struct shard *s, struct part *p, struct table *states, struct table *known,
                   const struct context *theirs);
void joining_drop_tables(struct table *states, struct table *known);

#endif
