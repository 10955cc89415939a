/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_LONG_H
#define MERIDIAN_CRDT_LONG_H

#include "crdt/state.h"

/*
 * A key that is nothing but one long string, read as its record comes (value_encode_long wrote
 * it): what is here of the value already lies where the key will have it, so no step copies or
 * touches all of it.
 */
struct long_reader; /* opaque */

/* `begin`: what is here of a record, from its length on. NULL: not such a record, or too little of
 * it to tell, or longer than `bytes_max`. *used gets how many bytes stand before the value. */
struct long_reader *long_reader_new(struct bytes begin, size_t bytes_max, size_t *used);
void long_reader_free(struct long_reader *r); /* NULL is allowed */
/* Takes what of `more` belongs to the record; returns how many bytes that is. */
size_t long_reader_add(struct long_reader *r, struct bytes more);
bool long_reader_is_whole(const struct long_reader *r);
/* Of a whole one: the key, taken by the caller; NULL: its end is malformed. *of, zeroed, gets what
 * is known of it. Frees the reader. */
struct cell *long_reader_end(struct long_reader *r, struct gathered *of);

#endif
