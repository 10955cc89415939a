/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_LOG_H
#define MERIDIAN_SHARD_LOG_H

#include "base/rope.h"
#include "crdt/op.h"

/*
 * A frame: a run of operations of one actor in one partition between which that partition saw no
 * foreign operation. It is the atomic unit everywhere: shipped whole, applied whole, relayed whole;
 * no context ever points into its middle.
 */
struct frame {
    uint32_t partition;
    uint32_t ops_count;
    uint8_t flags;       /* FRAME_ATOMIC */
    stamp_t prev;        /* the actor's previous stamp here; stamp_make(0, 0, actor) if none */
    stamp_t first, last; /* first and last operation's stamps; name the actor */
    int64_t wall_ms;     /* writer's wall clock when it was closed: for lag in milliseconds */
    const stamp_t *deps; /* the writer's context for other actors, sorted by actor; borrowed */
    uint32_t deps_count;
    struct bytes ops; /* op_encode'd one after the other; the first relative to `first` - 1, each
                         next to the one before */
};
#define FRAME_ATOMIC 1 /* a transaction */

/*
 * The memory ring of a shard's log: every closed frame, own and foreign, in the order applied.
 * Positions only grow; the oldest frames go when the ring is full, and `floor` then tells from
 * which context on a reader can still be served.
 */
struct log; /* opaque */

struct log *log_new(uint32_t first_partition, uint32_t partitions, size_t bytes_max);
void log_free(struct log *l);
void log_set_max(struct log *l, size_t bytes_max); /* what is too much goes with the next frame */
void log_append(struct log *l, const struct frame *f); /* copies */
uint64_t log_begin(const struct log *l);               /* position of the oldest frame held */
uint64_t log_end(const struct log *l);                 /* position after the newest */
/* Reads the frame at *pos (>= log_begin) and moves *pos behind it; false at the end. The frame
 * borrows the ring: valid until the next log_append. A *pos that fell out of the ring is moved up
 * to log_begin. */
bool log_read(const struct log *l, uint64_t *pos, struct frame *out);
/* For each actor the last stamp of this partition that is no longer in the ring. */
const struct context *log_floor(const struct log *l, uint32_t partition);
/* Raises the partition's floor to `vv`: operations up to there came as a state, not as frames (a
 * join), so the ring cannot serve them. Actors that are not in `vv` keep their floor: their frames
 * are still here. */
void log_cut(struct log *l, uint32_t partition, const struct context *vv);
size_t log_bytes(const struct log *l);  /* of frames */
size_t log_memory(const struct log *l); /* that the ring holds */

/*
 * For the disk, which must get everything: what it has not yet made durable is held, beyond the
 * ring's size if need be; and partitions' states that were joined stand in the log as entries of
 * their own, which other readers do not see.
 */
void log_hold(struct log *l, uint64_t pos); /* UINT64_MAX: nothing is held */
/* Bytes held beyond the ring's size: the disk does not keep up. */
size_t log_overdue(const struct log *l);
void log_append_state(struct log *l, uint32_t partition, const struct context *theirs,
                      struct rope *state); /* taken, left empty */
struct log_entry {
    bool is_state;
    struct frame frame; /* of a state: partition, deps (the context that came with it), ops (it) */
    const struct rope *state; /* of a large one: ops is empty, this has it; else NULL */
};
/* As log_read, with states. False also when *pos is no longer in the ring: nothing is skipped. */
bool log_read_entry(const struct log *l, uint64_t *pos, struct log_entry *out);
/* Frees some of the states that are no longer held; false when none are left. */
bool log_free_step(struct log *l);

#endif
