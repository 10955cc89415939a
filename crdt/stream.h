/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STREAM_H
#define MERIDIAN_CRDT_STREAM_H

#include "crdt/stamp.h"
#include "crdt/stream_name.h"
#include "crdt/value.h"

/*
 * Reading streams: entries in the order of (ID, region), metadata, consumer groups with their
 * consumers and pending entries. `key` may be NULL or without a stream: that is an empty one. What
 * is returned borrows from the key: valid until it changes. Writing: shard/stream_write.h.
 */

/* ------------------------------------------------------------ entries */

struct stream_entry {
    struct stream_id id;
    uint8_t region;
    struct bytes fields; /* for stream_fields */
};

/* What is left of one region's entries, by rank; `head` is the next of them. */
struct stream_run {
    size_t at, first, end;
    struct stream_entry head;
};

struct stream_iter {
    const struct cell *key;
    struct order_iter only; /* of the one run, when there is but one */
    size_t left;            /* entries still to come */
    bool reverse;
    uint8_t n;
    struct stream_run run[REGION_MAX];
};

size_t stream_len(const struct cell *key);
/* Entries with IDs from `from` to `to`, both included, upwards or downwards; it->left says how
 * many.
 */
void stream_range(struct stream_iter *it, const struct cell *key, struct stream_id from,
                  struct stream_id to, bool reverse);
struct stream_group;
/* Entries that the group has not had, upwards. */
void stream_news(struct stream_iter *it, const struct cell *key, const struct stream_group *g);
bool stream_next(struct stream_iter *it, struct stream_entry *out); /* false at the end */
/* The first or last entry; false when there is none. */
bool stream_edge(const struct cell *key, bool last, struct stream_entry *out);
bool stream_entry_find(const struct cell *key, struct stream_id id, uint8_t region,
                       struct stream_entry *out);
/* How many entries have this ID (several only when regions gave the same one); *regions, unless
 * NULL, gets a bit for each: bit r = region r. */
unsigned stream_count_id(const struct cell *key, struct stream_id id, uint64_t *regions);

/* The entry with so many before it; false past the end. */
bool stream_entry_at(const struct cell *key, size_t index, struct stream_entry *out);

/* ------------------------------------------------------------ metadata */

/* What XADD needs: the last ID of all, and what the actor itself wrote last (zeros: nothing). */
struct stream_id stream_last_id(const struct cell *key, uint32_t actor, struct stream_last *own);

struct stream_info {
    size_t len;
    struct stream_id first;              /* of the entries; 0-0 when there is none */
    struct stream_id last;               /* the greatest ID ever generated */
    struct stream_id gone;               /* the greatest ID deleted */
    uint64_t added;                      /* entries ever added */
    unsigned regions;                    /* how many ever added */
    struct stream_id by[REGION_MAX + 1]; /* the last ID of each; 0-0 none */
};
void stream_info(const struct cell *key, struct stream_info *out);
/* The actors with metadata of a kind (STREAM_LAST, STREAM_GONE), ascending; returns how many. */
unsigned stream_actors(const struct cell *key, enum stream_kind kind,
                       uint16_t out[STAMP_ACTOR_MAX + 1]);

/* ------------------------------------------------------------ groups */

struct stream_group {
    struct bytes name;
    struct stream_id last; /* the greatest ID delivered */
    int64_t read;          /* entries read as of `last`; -1 unknown. In use while one region adds */
    struct stream_id delivered[REGION_MAX + 1]; /* by the entry's region */
};
/* False: there is no such group. */
bool stream_group(const struct cell *key, struct bytes name, struct stream_group *out);
/* Groups in the order of their names: start with *rank 0; false at the end. */
bool stream_group_next(const struct cell *key, size_t *rank, struct stream_group *out);
size_t stream_groups(const struct cell *key); /* how many; O(groups) */

/* Elements of one kind in a group, in their order. `prefix` (stream_group_prefix) is borrowed while
 * the walk lasts. */
struct stream_walk {
    struct order_iter it;
    struct bytes prefix;
    uint8_t kind;
};
struct stream_consumer {
    struct bytes name;
    int64_t seen_ms;
};
void stream_consumers(struct stream_walk *w, const struct cell *key, struct bytes prefix);
bool stream_consumer_next(struct stream_walk *w, struct stream_consumer *out);
/* By (ID, region), from `from` on. */
void stream_pendings(struct stream_walk *w, const struct cell *key, struct bytes prefix,
                     struct stream_id from);
bool stream_pending_next(struct stream_walk *w, struct stream_pending *out);
size_t stream_count(const struct cell *key, struct bytes prefix, enum stream_kind kind);
bool stream_consumer_find(const struct cell *key, struct bytes prefix, struct bytes name,
                          struct stream_consumer *out);
bool stream_pending_find(const struct cell *key, struct bytes prefix, struct stream_id id,
                         uint8_t region, struct stream_pending *out);
/*
 * The number of entries read up to an ID, and the lag behind the end. One region can mostly tell
 * them from a few numbers, and does as Redis does
 * (https://redis.io/docs/latest/commands/xinfo-groups/); with several the lag is counted.
 */
/* The counter after the group was given the entry `id`, which is above all it had; -1 unknown. */
int64_t stream_read_on(const struct stream_info *info, int64_t read, struct stream_id id);
/* *read -1: unknown. False: *lag is. */
bool stream_progress(const struct cell *key, const struct stream_info *info,
                     const struct stream_group *g, int64_t *read, int64_t *lag);

#endif
