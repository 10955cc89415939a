/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_COMBINE_H
#define MERIDIAN_SHARD_COMBINE_H

#include "shard/keys.h"
#include "shard/tally.h"

/*
 * Algebra of several sets and sorted sets: union, intersection, difference; SINTER and ZUNIONSTORE
 * alike. In a sorted set's algebra a plain set's members score 1.
 */
enum combine_how { COMBINE_UNION, COMBINE_INTER, COMBINE_DIFF };
enum combine_score { SCORE_SUM, SCORE_MIN, SCORE_MAX };

struct combine_input {
    const struct cell *cell; /* NULL: absent */
    enum type type;
    size_t len;
    double weight;
    uint32_t order; /* as given */
};

struct combine {
    struct combine_input *at; /* owned */
    uint32_t n;
    enum combine_score score;
    size_t limit; /* an intersection stops after so many; 0: never */
};

/* Reads the keys `n` arguments from `first` on, which are sets or, with `sorted`, sorted sets too.
 * All weights are 1. False when an error was replied; nothing is to be freed then. */
bool combine_read(struct call *c, uint32_t first, uint32_t n, bool sorted, struct combine *out);
void combine_deinit(struct combine *cb);
/* Puts the result into `out` (uninitialised; the caller's to deinit), in no useful order. Its names
 * borrow the keys'. */
void combine_run(struct call *c, struct combine *cb, enum combine_how how, struct tally *out);
/* Replaces the key `name` by the rows as a set or sorted set, says so as `event` (or as "del" where
 * there are none), and replies how many there are. */
void combine_store(struct call *c, struct bytes name, enum type type, const char *event,
                   struct tally *rows);

#endif
