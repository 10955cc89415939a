/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STREAM_NAME_H
#define MERIDIAN_CRDT_STREAM_NAME_H

#include "base/buf.h"

/*
 * What a stream is made of: a stream is one ordered collection (coll.h) of registers, whose names
 * sort by memcmp into metadata, groups and entries:
 *
 *   01 attribute actor:2               what this actor knows of the stream (stream_meta)
 *   02 group kind ...                  a consumer group; kind is
 *      1                               the group itself: where it began (stream_group)
 *      2 region                        the greatest ID delivered of this region's entries
 *      3 consumer                      when the consumer was last seen
 *      4 id region                     an entry that waits for its acknowledgement
 *   80+region id                       an entry: its fields
 *
 * Entries of one region stand together: their IDs ascend in the order in which the region made
 * them, so one ID a region says exactly what a group has had, however late another region's entries
 * arrive. Readers merge the regions' runs by (ID, region).
 *
 *   id         two numbers (ms, sequence), each: how many bytes, big endian, without leading zeros
 *   group      its bytes, with 00 written as 00 FF, then 00 01: no name is a prefix of another;
 *   consumer   likewise
 *
 * Values, all numbers big endian:
 *   entry      varint number of pairs, then of each field and value: varint length, bytes
 *   stream, attribute 1   ms:8 seq:8 added:8   last generated ID, entries ever added by the actor
 *   stream, attribute 2   ms:8 seq:8           greatest ID deleted
 *   group      ms:8 seq:8 read:8 n:1 n*(region:1 ms:8 seq:8) name   base; entries read, -1 unknown
 *   delivered  ms:8 seq:8 read:8
 *   consumer   seen:8 name                     Unix ms
 *   pending    time:8 varint count, consumer   Unix ms of the last delivery; deliveries
 *
 * Delivered and consumer join by the greatest value (stream_name_is_max), the others by the last
 * writer. A metadata element is only ever written by its actor.
 */
struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})

static inline int stream_id_cmp(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

static inline bool stream_id_is_zero(struct stream_id a) { return a.ms == 0 && a.seq == 0; }

/* The next or previous ID in place; false, and nothing changed, past either end. */
bool stream_id_next(struct stream_id *id);
bool stream_id_prev(struct stream_id *id);

/* ------------------------------------------------------------ names */

enum stream_kind {
    STREAM_LAST, /* metadata, attribute 1 */
    STREAM_GONE, /* metadata, attribute 2 */
    STREAM_GROUP,
    STREAM_DELIVERED,
    STREAM_CONSUMER,
    STREAM_PENDING,
    STREAM_ENTRY,
};

#define STREAM_ENTRY_NAME_MAX 19u

struct stream_name {
    uint8_t kind;    /* enum stream_kind */
    uint8_t region;  /* ENTRY, PENDING, DELIVERED */
    uint16_t actor;  /* LAST, GONE */
    uint32_t prefix; /* of a group: bytes up to the kind */
    struct stream_id id;
};

/* False when it is no stream element's name. */
bool stream_name_read(struct bytes name, struct stream_name *out);
/* Whether siblings join by the greatest value. Takes any bytes. */
bool stream_name_is_max(struct bytes name);
/* Both fit each other and every length inside is sound. */
bool stream_elem_valid(struct bytes name, struct bytes val);

/* Writers of names; the fixed ones into the caller's room, returning what was written. */
struct bytes stream_entry_name(uint8_t room[STREAM_ENTRY_NAME_MAX], uint8_t region,
                               struct stream_id id);
struct bytes stream_meta_name(uint8_t room[4], enum stream_kind kind, uint32_t actor);
/* Appended. A group's prefix stands before all its elements. */
void stream_group_prefix(struct buf *out, struct bytes group);
void stream_group_name(struct buf *out, struct bytes prefix);
void stream_delivered_name(struct buf *out, struct bytes prefix, uint8_t region);
void stream_consumer_name(struct buf *out, struct bytes prefix, struct bytes consumer);
void stream_pending_name(struct buf *out, struct bytes prefix, struct stream_id id, uint8_t region);
/* The beginning of all names of a kind (STREAM_GROUP ... STREAM_PENDING) in the group. */
void stream_kind_prefix(struct buf *out, struct bytes prefix, enum stream_kind kind);

/* ------------------------------------------------------------ values */

struct stream_last {
    struct stream_id id;
    uint64_t added;
};
struct stream_delivered {
    struct stream_id id;
    int64_t read; /* -1: unknown */
};
struct stream_pending {
    struct stream_id id; /* with `region`: of the name */
    uint8_t region;
    int64_t time_ms;
    uint64_t count;
    struct bytes consumer; /* borrowed */
};

/* `val` must be valid. */
struct stream_last stream_last_read(struct bytes val);
struct stream_id stream_gone_read(struct bytes val);
struct stream_delivered stream_delivered_read(struct bytes val);
void stream_pending_read(struct bytes val, struct stream_pending *out); /* not id, region */

struct bytes stream_last_put(uint8_t room[24], struct stream_last v);
struct bytes stream_gone_put(uint8_t room[16], struct stream_id id);
struct bytes stream_delivered_put(uint8_t room[24], struct stream_delivered v);
void stream_pending_put(struct buf *out, int64_t time_ms, uint64_t count, struct bytes consumer);
void stream_consumer_put(struct buf *out, int64_t seen_ms, struct bytes name);

/* Fields of an entry: written by stream_fields_begin and 2 * pairs times stream_fields_add; read by
 * stream_fields, which returns the number of pairs and leaves *fields behind it, and
 * stream_field_take, which takes one field or value off *fields. */
void stream_fields_begin(struct buf *out, size_t pairs);
void stream_fields_add(struct buf *out, struct bytes s);
size_t stream_fields(struct bytes *fields);
struct bytes stream_field_take(struct bytes *fields);

/* OP_XADD's value: how many entries its actor has added, with this one; behind it the fields.
 * Reading: false when malformed. */
void stream_added_begin(struct buf *out, uint64_t added);
bool stream_added_read(struct bytes val, uint64_t *added, struct bytes *fields);

/* Bits of numbers in their order, for values. */
static inline uint64_t stream_u64(const uint8_t *p) { return __builtin_bswap64(load_u64(p)); }

static inline void stream_put_u64(uint8_t *p, uint64_t v) { store_u64(p, __builtin_bswap64(v)); }

#endif
