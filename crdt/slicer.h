/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_SLICER_H
#define MERIDIAN_CRDT_SLICER_H

#include "crdt/value.h"

/*
 * A key's state as of one moment, written in parts while the key changes: for keys that are too
 * large to be written in one go. The head (deadlines, and whatever is small) is written at once;
 * elements of large collections follow, a slice at a time, and those that are about to change
 * before. It goes on whatever becomes of the key: renamed, removed, written again.
 *
 * All records are framed as value_record_begin does.
 */
struct slicer;

/* The key has a collection that takes more than `bytes`. */
bool value_is_big(const struct cell *key, size_t bytes);
/* Writes the head to `early`, which is kept: what is about to change is written there later. */
struct slicer *slicer_new(const struct cell *key, struct hash_key hash_key, struct buf *early);
/* Writes parts until `out` has `end` bytes or a little more; false when nothing is left. */
bool slicer_next(struct slicer *l, struct buf *out, size_t end);
void slicer_free(struct slicer *l);

/* A slicer still reads a collection of the key: it must not be freed yet. */
bool value_is_read(const struct cell *key);

#endif
