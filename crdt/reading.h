/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_READING_H
#define MERIDIAN_CRDT_READING_H

#include "base/hashes.h"
#include "crdt/coll.h"

/*
 * A large collection read a slice at a time while it changes, for crdt/ only: each element exactly
 * once, as it was at the beginning. Hash and set are read in the order of their tables, the others
 * in their own: what is before the cursor has been read. An element at or behind it that is about
 * to change is told first (`early`), and its hash is remembered, so that neither the changed
 * element nor one that was not there at the beginning is read when the cursor comes by. A score may
 * bring a member from before the cursor to behind it: of sorted sets everything that changes is
 * remembered.
 *
 * The collection knows its readings; whoever frees it while there are some has had all its elements
 * told. A collection that goes as a whole is read on: it must be freed later (coll_is_read).
 */
struct reading {
    struct reading *next; /* of the same collection */
    struct large *coll;   /* NULL: nothing is left to read */
    struct hash_key key;
    uint64_t cursor; /* of the table: below it everything has been read */
    struct buf name; /* ordered: that of the element at which to go on ... */
    double score;    /* ... and its score, of a sorted set */
    bool begun;
    struct hashes changed;
    void (*early)(void *arg, enum type type, const struct cell *elem);
    void *arg;
};

/* `c` is large; `early` is called in the midst of changes and must make none. */
void reading_open(struct reading *r, struct coll *c, struct hash_key key,
                  void (*early)(void *arg, enum type type, const struct cell *elem), void *arg);
void reading_close(struct reading *r);
/* Visits elements that were not read yet until `visit` says that it has enough, by false, or a few
 * more; false when all are read. */
bool reading_next(struct reading *r, bool (*visit)(void *arg, const struct cell *elem), void *arg);

#endif
