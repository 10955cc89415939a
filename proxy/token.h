/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_TOKEN_H
#define MERIDIAN_PROXY_TOKEN_H

#include "base/buf.h"
#include "crdt/stamp.h"

/*
 * What a region has seen of some partitions, as a text that clients carry to another region
 * (CRDT.TOKEN, CRDT.AFTER). Partitions are the same everywhere, whatever actors and shards there
 * are.
 *
 *   "m1" base64url, without padding, of msgpack uints:
 *     hash of the database's GUID (32 bits), number of partitions, newest tick (stamp >> 10),
 *     then for each partition: its number minus the one before, entries,
 *       for each entry: actor, newest tick minus the entry's
 */
struct token_entry {
    stamp_t stamp;
    uint32_t partition;
};

#define TOKEN_TEXT_MAX ((size_t)8 << 20)

/* `entries` in ascending order of their partitions. */
void token_put(struct buf *out, const char *guid, uint32_t partitions,
               const struct token_entry *entries, size_t n);
/* Appends the entries (struct token_entry). Returns NULL, or why the text is no token of this
 * database: a constant sentence. */
const char *token_get(struct bytes text, const char *guid, uint32_t partitions,
                      struct buf *entries);

#endif
