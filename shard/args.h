/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_ARGS_H
#define MERIDIAN_SHARD_ARGS_H

#include "shard/keys.h"

/*
 * Reading the arguments of commands: the forms that several groups share. Each replies Redis' error
 * and returns false when the argument does not fit.
 */

/* An integer in min..max; `message` (with its code) for anything else, NULL: Redis' two standard
 * sentences. */
bool arg_range(struct call *c, struct bytes arg, int64_t min, int64_t max, const char *message,
               int64_t *out);
/* A count that may be 0; `message` NULL: Redis' standard sentence. */
bool arg_positive(struct call *c, struct bytes arg, const char *message, int64_t *out);
/* The count of HRANDFIELD and its kind: negative allows repetition. `pairs`: each pick replies two
 * elements. */
bool arg_random_count(struct call *c, struct bytes arg, bool pairs, int64_t *out);
/* The rest of ZMPOP and LMPOP from argument `i` on: nothing, or COUNT and a number above 0. */
bool arg_pop_count(struct call *c, uint32_t i, int64_t *out);

/* Start and stop as LRANGE and its kin give them (negative: from the end) to a first rank and a
 * count. */
struct span {
    size_t first, count;
};
struct span span_of(int64_t start, int64_t stop, size_t len);

/* `command.keys` of "numkeys key [key ...]" from the first argument on, from the second on, of the
 * same behind a destination key, ... */
unsigned args_numkeys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max);
unsigned args_numkeys_second(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max);
unsigned args_store_numkeys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max);

#endif
