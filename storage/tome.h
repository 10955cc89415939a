/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_TOME_H
#define MERIDIAN_STORAGE_TOME_H

#include "storage/format.h"

/*
 * A RECORD_STATE that is too long to be summed and written in one go. In the file it is a record
 * like any other: its head holds the checksum of all of it, so that comes first, in slices, and
 * then pieces follow, each in a request of its own. The state stays in the log, which holds it
 * until it is durable; it is given with each call.
 */
struct tome; /* opaque */

/* To be written at `offset` of file `number`, and nowhere else. */
struct tome *tome_new(const struct log_entry *state, uint64_t number, uint64_t offset);
void tome_free(struct tome *t); /* NULL is allowed */
/* Sums about so many bytes more; true when all is summed. */
bool tome_sum(struct tome *t, const struct log_entry *state, size_t bytes);
/* Appends the next piece, at most so many bytes; true: it is the last. Asked again, without
 * tome_written in between, it appends the same. */
bool tome_put(const struct tome *t, const struct log_entry *state, struct buf *out, size_t bytes);
void tome_written(struct tome *t, size_t bytes);
/* Is some of it in the file, and some not? */
bool tome_is_cut(const struct tome *t);

#endif
