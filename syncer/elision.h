/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SYNCER_ELISION_H
#define MERIDIAN_SYNCER_ELISION_H

#include "base/hash.h"
#include "shard/log.h"

/*
 * A run: frames of one actor in one partition, each following on the one before, between which its
 * writer saw no foreign operation there. They make one frame, and in that frame operations are left
 * out whose effects later ones of it remove in any case: whoever takes the frame, which it takes as
 * a whole, holds then what it would hold had it taken all of them. So a peer that was away gets
 * what has changed, not what was written.
 *
 * What leaves out what, always of the same run and of the same key:
 *   DEL, and SET without KEEPTTL     everything before
 *   FLUSH                            everything before, of all keys
 *   an assignment or removal of an   assignments, removals and increments of that element before
 *   element (SADD SREM HSET HDEL
 *   ZADD ZREM LINS LREM)
 *   SET with KEEPTTL                 such SETs, patches and increments before
 *   an absorbing increment (PFADD)   increments (PFADDs) of that register before
 *   EXPIRE                           EXPIREs before
 * An operation that found or made its key empty (OPF_FRESH: it also removes the deadline) is left
 * out only for another one that does.
 */
struct elision; /* opaque */

#define ELISION_OPS_MAX (1u << 18)
/* Of runs that their taker cannot take in slices (shard/pour.h): with a patch or a flush. */
#define ELISION_SOLID_OPS 4096u
#define ELISION_SOLID_BYTES ((size_t)512 << 10)

/* key: of its tables, since the writer's clients choose the keys. bytes_max: of what it holds. */
struct elision *elision_new(struct hash_key key, size_t bytes_max);
void elision_free(struct elision *r);
bool elision_empty(const struct elision *r);
/* May the frame be added: it follows on the run, and there is room? An empty run takes any. */
bool elision_fits(const struct elision *r, const struct frame *f);
/* Adds it. False: malformed; the run is as before only if it was empty, and must be dropped. */
bool elision_add(struct elision *r, const struct frame *f);
/* The run as one frame, which borrows from `room` and the run until either changes. */
void elision_frame(struct elision *r, struct buf *room, struct frame *out);
/* Likewise a piece at a time: the frame without its operations (borrows from the run), then these,
 * by calls that append about `bytes` of them each; false: these were all. Nothing may be added
 * meanwhile. */
void elision_head(struct elision *r, struct frame *out);
bool elision_next(struct elision *r, struct buf *out, size_t bytes);
stamp_t elision_last(const struct elision *r); /* of what was added */
size_t elision_size(const struct elision *r);  /* bytes of the operations, at most */
void elision_clear(struct elision *r);
size_t elision_bytes(const struct elision *r); /* memory that it takes */
uint64_t
elision_elided(const struct elision *r); /* operations left out so far, of all its frames */

#endif
