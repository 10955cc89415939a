/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_TEXT_H
#define MERIDIAN_SHARD_TEXT_H

#include "shard/keys.h"

/*
 * A key as the string commands see it: a string, or a HyperLogLog, which to them is the string that
 * Redis would hold (hll_text.h). Whoever writes to the latter makes it a string of those bytes.
 */
#define STRING_MAX (512u << 20) /* Redis' proto-max-bulk-len */
#define ERR_TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

/* Finds for reading or writing; replies WRONGTYPE and returns false where no string is. */
bool text_read(struct call *c, struct bytes name, struct key *k);
bool text_write(struct call *c, struct bytes name, struct key *k);
/* The bytes; false, and no bytes, when the key is absent. Valid until the key changes, or the next
 * text_show. */
bool text_show_hll(struct call *c, const struct key *k, struct shown *out);
static inline bool text_show(struct call *c, const struct key *k, struct shown *out)
{
    enum type t = value_type(k->cell);
    if (t == TYPE_STRING)
        return string_show(k->cell, out);
    out->text = bytes_of(NULL, 0);
    return t == TYPE_HLL && text_show_hll(c, k, out);
}
size_t text_len(struct call *c, const struct key *k);
/* Copies of the bytes, appended. */
void text_copy(struct call *c, const struct key *k, struct buf *out);

/* Overwrites what stands at `offset` by `part`, with zeros between the end and `offset` where there
 * is a gap; `part` must not lie within the key. The deadline stays. The result must not be longer
 * than STRING_MAX. */
void text_patch(struct call *c, struct key *k, size_t offset, struct bytes part);

#endif
