/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_POSITION_H
#define MERIDIAN_CRDT_POSITION_H

#include "base/buf.h"
#include "crdt/stamp.h"

/*
 * List positions: a path of steps (base:int64, run stamp, offset:int32), ordered lexicographically,
 * a prefix first. Encoded so that memcmp gives that order: each step is 20 bytes, big endian, sign
 * bits flipped. See between() in
 * ../shared/model/crdt_model.py for what makes it work.
 */
#define POSITION_STEP 20u
#define POSITION_STEPS_MAX 4096u
#define POSITION_BASE_MAX                                                                          \
    (INT64_C(1) << 62) /* no list sees so many pushes; a forged one cannot make sums overflow */

struct position_step {
    int64_t base;
    stamp_t run;
    int32_t offset;
};

/* 1 to POSITION_STEPS_MAX whole steps, bases within POSITION_BASE_MAX either way. */
bool position_valid(struct bytes p);
void position_put(struct buf *out, struct position_step s);
struct position_step position_step(struct bytes p, size_t i); /* i < p.n / POSITION_STEP */

/* Which offsets of one's own runs are taken: {run: lowest, highest}. Never replicated; without it a
 * new run is started, which is always correct. Bounded: forgets the oldest run beyond RUNS_MAX. */
#define RUNS_MAX 1024u
struct position_runs; /* opaque */
struct position_runs *position_runs_new(void);
void position_runs_free(struct position_runs *r);

/*
 * Appends to `out` a position strictly between two neighbours (empty = the end of the list) never
 * used before. `stamp` is the stamp the insertion will carry. Beyond the model it also extends an
 * own run in the middle of a list, where the next offset still lies before `right`: inserting
 * before one pivot again and again makes a run, not ever longer paths.
 *
 * False, and nothing appended, when every position there would be longer than POSITION_STEPS_MAX
 * steps: thousands of insertions each between the two before it. Never at the ends of a list. The
 * command answers an error that tells to write the list anew.
 */
bool position_between(struct buf *out, struct bytes left, struct bytes right, stamp_t stamp,
                      struct position_runs *runs);

#endif
