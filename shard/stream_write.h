/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_STREAM_WRITE_H
#define MERIDIAN_SHARD_STREAM_WRITE_H

#include "crdt/stream.h"
#include "shard/keys.h"

/*
 * Writing streams: each call is one operation, or a few. Reading: crdt/stream.h. `k` must show no
 * other type. Every call moves the key's cell: what was read from it before is no longer valid.
 *
 * RESTORE and the like write a stream anew so, on a key that is absent: stream_put_info first (it
 * alone makes the key exist), then entries, groups, consumers and pending entries in any order.
 */

/* Adds an entry of this region, as XADD: also counts it and remembers its ID as the last one.
 * `added` is what this actor had added before (stream_last_id); `argv` holds fields and values. */
void stream_add(struct call *c, struct key *k, struct stream_id id, uint64_t added,
                const struct bytes *argv, size_t pairs);
/* Puts an entry and counts nothing. `fields` as stream_fields_begin and _add write them. */
void stream_put_entry(struct call *c, struct key *k, struct stream_id id, uint8_t region,
                      struct bytes fields);
/* What is known of the whole stream, whichever regions said so before. `gone` 0-0: leaves what is
 * known of deletions. */
void stream_put_info(struct call *c, struct key *k, struct stream_id last, uint64_t added,
                     struct stream_id gone);
/* Notes that an entry with this ID was deleted. */
void stream_put_gone(struct call *c, struct key *k, struct stream_id id);

void stream_remove_entry(struct call *c, struct key *k, struct stream_id id, uint8_t region);
/* Removes the first `n` entries (at least one, at most all): one operation. */
void stream_trim(struct call *c, struct key *k, size_t n);

/* Where a group begins: it has had everything up to `last`. `by`, unless NULL: up to by[r] of
 * region r's entries instead, and `last` is 0-0. `read` -1: unknown. */
struct stream_begin {
    struct stream_id last;
    int64_t read;
    const struct stream_id *by; /* [REGION_MAX + 1] */
};
/* Makes a group, or sets it to another place: what it was delivered since goes. */
void stream_put_group(struct call *c, struct key *k, struct bytes group,
                      const struct stream_begin *begin);
/* Removes the group with all that belongs to it. */
void stream_remove_group(struct call *c, struct key *k, struct bytes group);
/* Below, `prefix` is the group's (stream_group_prefix). */
void stream_put_delivered(struct call *c, struct key *k, struct bytes prefix, uint8_t region,
                          struct stream_delivered v);
void stream_put_consumer(struct call *c, struct key *k, struct bytes prefix, struct bytes consumer,
                         int64_t seen_ms);
void stream_remove_consumer(struct call *c, struct key *k, struct bytes prefix,
                            struct bytes consumer);
void stream_put_pending(struct call *c, struct key *k, struct bytes prefix,
                        const struct stream_pending *p);
void stream_remove_pending(struct call *c, struct key *k, struct bytes prefix, struct stream_id id,
                           uint8_t region);

/* Rewrites all of `from`, with groups, under `to`, which is absent: key_copy. */
void stream_copy(struct call *c, const struct key *from, struct key *to);

#endif
