/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_TALLY_H
#define MERIDIAN_SHARD_TALLY_H

#include "base/hash.h"
#include "base/rng.h"

/*
 * A list of different names, each with a number, found by name in constant time: what set algebra
 * adds up in. Names are borrowed: they must stay where they are while the tally lives.
 */
struct tally_row {
    struct bytes name;
    double score;
    uint32_t hash; /* only in a tally with an index */
    bool dropped;
};

struct tally {
    struct tally_row *at; /* owned; in the order added */
    size_t n, cap;
    uint32_t *index; /* open addressing: row + 1, 0 free; NULL until the first tally_find_or_add */
    size_t index_cap;
    struct hash_key key;
    uint8_t *names; /* owned: tally_keep's copies */
};

/* The hash key is drawn from `rng`, so that nobody can choose names that collide; NULL if only
 * tally_push is used. */
void tally_init(struct tally *t, struct rng *rng);
void tally_deinit(struct tally *t);
/* Adds a row without looking whether the name is there already; its score is 0. */
struct tally_row *tally_push(struct tally *t, struct bytes name);
/* The row of the name, new (score 0) when t->n grew. Not to be mixed with tally_push. */
struct tally_row *tally_find_or_add(struct tally *t, struct bytes name);
struct tally_row *tally_find(struct tally *t, struct bytes name); /* NULL when absent */
/* Removes the rows marked as dropped. Afterwards rows can no longer be found by name. */
void tally_sweep(struct tally *t);
/* Orders rows by score, then name: a sorted set's order. Afterwards rows can no longer be found by
 * name. */
void tally_sort(struct tally *t);

/* Copies the names, so that what they were borrowed from may go. */
void tally_keep(struct tally *t);

#endif
