/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_APPLY_H
#define MERIDIAN_CRDT_APPLY_H

#include "crdt/value.h"

/*
 * Changing values: apply an operation, join two states, compact. No clock, no randomness, nothing
 * that can fail but on bad bytes. A cell may move when it grows: each call returns where it is now
 * (NULL: the key is gone, memory freed).
 */

/* Told by reference what a change did to the visible content of the partition: the sum of a hash of
 * every shown element. H(key, type, element, shown value) for each element of every type present,
 * and H(key, deadline) where one is shown. Never of dots that compaction may drop, so compaction
 * leaves it alone. */
struct conflict;
struct conflict;
struct conflicts;
struct shelf;
struct surroundings {
    struct hash128 *digest;      /* kept for the call */
    struct hash_key hash_key;    /* for large collections' tables */
    bool digest_off;             /* do not maintain it (one-region database) */
    struct conflicts *conflicts; /* counters, or NULL */
    /* Tells each conflict; what it points to is borrowed. May be NULL. */
    void (*conflict)(void *arg, const struct conflict *c);
    /* Called when a datum stops being settled: compaction must look at (key, elem) once `newest` is
     * stable. elem is empty for the key itself (its registers and deadline; type is TYPE_STRING
     * then). May be NULL. */
    void (*unsettled)(void *arg, struct bytes key, enum type type, struct bytes elem,
                      stamp_t newest);
    /* A large collection that is no longer needed, in a nameless key of its own (taken): for
     * value_free_step at leisure. NULL: freed at once. */
    void (*discard)(void *arg, struct cell *garbage);
    void *arg;
    /* Where large strings that are dropped are kept for patches to come (crdt/shelf.h); NULL: not
     * at all. Dots of frame_actor above frame_prev are in the frame at hand: nobody has seen them
     * without what follows. */
    struct shelf *shelf;
    uint32_t frame_actor;
    stamp_t frame_prev;
};

/* Pairs of concurrent operations of which one lost something visible (crdt.md): each counted once
 * where it is seen. */
struct conflicts {
    uint64_t register_lost; /* a sibling that lost */
    uint64_t type_hidden;   /* a type that hides another */
    uint64_t deadline_lost;
};

enum conflict_kind { CONFLICT_REGISTER, CONFLICT_TYPE, CONFLICT_DEADLINE };
struct conflict {
    enum conflict_kind kind;
    enum type type;         /* of the register; else the one that the key shows */
    struct bytes key, elem; /* elem: a field, member or position; else empty */
    stamp_t won, lost;
    struct bytes won_value, lost_value; /* a deadline: Unix ms or "never"; a type: its name */
};

/* What an application found and left, for the caller (FRESH flag, statistics, expiry index). */
struct applied {
    bool was_empty; /* before: no visible type */
    bool is_empty;  /* after */
    bool changed;   /* something visible changed */
    bool elem_new;  /* the operation is on an element that was not there */
};

/*
 * Applies one operation to `key` (NULL: absent) as seen by `seen` (deps NULL: local; then
 * everything here is covered). `seen_vv` is the partition's context after the operation, for bare
 * deadlines. OP_FLUSH is not for here: the keyspace walks. Returns the key's cell now.
 */
struct cell *value_apply(struct cell *key, const struct op *op, const struct seen *seen,
                         const struct context *vv_after, const struct surroundings *s,
                         struct applied *out);
/* Removes what `seen` covers (the step of OP_FLUSH for one key). */
struct cell *value_remove(struct cell *key, const struct seen *seen, const struct context *vv_after,
                          const struct surroundings *s, struct applied *out);
/* The FRESH part of an operation that turned out to empty the key, for a local writer: removes the
 * deadline. */
struct cell *value_drop_deadline(struct cell *key, const struct surroundings *s);

/* The local writer's question before an increment: may it extend its own newest segment (its dot is
 * above `closed`, the last stamp of the partition's last closed frame), must it absorb (>=
 * ABSORB_AT own segments), or add? For ABSORB, *sum_i / *sum_r get the sum of the own segments.
 * elem is empty for OP_INCR(F)/OP_PFADD. */
uint8_t value_increment_flags(const struct cell *key, enum type type, struct bytes elem,
                              uint32_t actor, stamp_t closed, int64_t *sum_i, long double *sum_r);
/* For OP_PFADD with ABSORB: appends `ranks` joined with all segments of the actor, to be sent
 * instead. */
void value_own_ranks(const struct cell *key, uint32_t actor, struct bytes ranks, struct buf *out);

/*
 * Full state of one key, for state transfer: appended / read back / joined. A state carries all
 * dots, increments, deadlines; joining keeps what both hold, and what the other has not seen
 * (mine/theirs are the contexts). value_decode returns NULL on malformed bytes. `theirs` cell is
 * taken (freed). Either cell may be NULL.
 *
 * A partition's state is a sequence of records, each framed by its length (4 bytes, big endian):
 * whole keys, parts of large ones (crdt/slicer.h), and what a shelf holds (crdt/shelf.h).
 * value_gather adds what a key's record says to what was gathered of that key so far (*key; NULL:
 * nothing). False: malformed, or it does not fit; *key is still to be freed.
 *
 * What is known of all elements of a key that came in parts, or of a long string: noted as they
 * come, so that nobody has to look at all of them at once later. Zeroed to begin with.
 */
struct gathered {
    bool any;
    bool unsettled;        /* something has to be told of for compaction */
    struct context oldest; /* of each actor: whoever has not seen these has seen nothing of it */
    struct hash128 sum;    /* of the digest's terms */
};
void value_encode(struct buf *out, const struct cell *key);
struct cell *value_decode(struct bytes s, struct hash_key hash_key);
/* What was decoded takes the place of what it had been written from, here: what does not travel
 * (since when a deadline is bare) is made anew. `vv`: what the partition has seen. */
struct cell *value_adopt(struct cell *key, const struct context *vv, const struct surroundings *s);
bool value_record_name(struct bytes record, struct bytes *name);
/* `of`: gets what parts say; NULL: nobody asks. */
bool value_gather(struct cell **key, struct bytes record, struct hash_key hash_key,
                  struct gathered *of);
/* A record by itself: a whole key, or one with what a part says; *more: not the first part. NULL:
 * malformed. */
struct cell *value_decode_part(struct bytes record, struct hash_key hash_key, bool *more);
size_t value_record_begin(struct buf *out);
void value_record_end(struct buf *out, size_t at); /* what value_record_begin returned */
size_t value_record_size(const uint8_t head[4]);   /* with its length */
/* Takes the next record off a partition's state; false: it is cut short. Both are borrowed. */
bool value_record_next(struct bytes *state, struct bytes *record);
struct cell *value_join(struct cell *key, const struct context *mine, struct cell *theirs,
                        const struct context *their_context, const struct context *vv_after,
                        const struct surroundings *s, struct applied *out);

/*
 * value_join of two large collections of one type, some elements at a time: of
 * `at`, zeroed to begin with, `done` says that it was the last step, and only then `theirs` is
 * taken. In between the key is neither as before nor joined, and is to be seen by nobody; nothing
 * but its next step may change it. All that is told of a change (digest, unsettled elements) is
 * told with each step.
 */
struct join_steps {
    bool taken, done; /* taken: what they hold and I do not */
    uint64_t cursor;
};
/* Are there more than `elements` to look at, and can they be joined so? */
bool value_joins_in_steps(const struct cell *key, const struct cell *theirs, size_t elements);
struct cell *value_join_step(struct cell *key, const struct context *mine, struct cell *theirs,
                             const struct context *their_context, const struct context *vv_after,
                             const struct surroundings *s, struct join_steps *at, size_t elements,
                             struct applied *out);

/* value_join of a key that is not here, at a cost that does not depend on its size. False, and
 * nothing done: it is for value_join. True: the key is `theirs` as it is. */
bool value_take_gathered(struct cell *theirs, const struct gathered *of, const struct context *mine,
                         const struct surroundings *s, struct applied *out);

/* Compacts one datum, given the causally stable context: the element `elem` of a collection; with
 * TYPE_STRING the key's own registers and deadline; with TYPE_NONE the whole key. Returns the key's
 * cell; *settled tells whether (key, elem) needs no further look; if not, *newest is when to look
 * again (a stamp that must become stable). */
struct cell *value_compact(struct cell *key, enum type type, struct bytes elem,
                           const struct context *stable, const struct surroundings *s,
                           bool *settled, stamp_t *newest);

/* The key under another name, as it is: dots, deadline and all. For a keyspace that nobody else
 * holds; the digest does not follow. */
struct cell *value_rename(struct cell *key, struct bytes name);

/* Frees a key at once / as far as a budget of elements allows: for lazy freeing. value_free_step
 * returns false when done. */
void value_free(struct cell *key);
bool value_free_step(struct cell *key, size_t elements);

/* Recomputes the key's share of the digest from scratch (tests). */
struct hash128 value_digest(const struct cell *key);
/* The same for switching digests on: also makes the sums that large collections keep. */
struct hash128 value_redigest(struct cell *key);

#endif
