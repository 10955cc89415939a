/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_ZSET_RANGE_H
#define MERIDIAN_SHARD_ZSET_RANGE_H

#include "shard/args.h"

/*
 * Ranges of a sorted set, by index, score or member: first parsed, then turned into ranks, so that
 * every command works on "count members from rank first on" in O(log N).
 */
enum zset_by { BY_RANK, BY_SCORE, BY_LEX };

struct lex_bound {
    struct bytes member;
    int end;   /* -1 before all members ("-"), 1 behind all ("+"), 0 at `member` */
    bool open; /* the member itself is outside */
};

struct zset_range {
    enum zset_by by;
    int64_t start, stop;
    double min, max;
    bool min_open, max_open;
    struct lex_bound lex_min, lex_max;
};

/* Parses both ends (lower first, unless by rank); replies Redis' error and returns false when they
 * do not fit. */
bool zset_range_parse(struct call *c, enum zset_by by, struct bytes min, struct bytes max,
                      struct zset_range *out);
/* Ranks in ascending order. `reverse`: indexes count from the highest score (only matters by rank).
 */
struct span zset_range_span(const struct zset_range *r, const struct cell *key, bool reverse);

#endif
