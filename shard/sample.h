/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_SAMPLE_H
#define MERIDIAN_SHARD_SAMPLE_H

#include "shard/keys.h"

/*
 * Random elements of a collection, for HRANDFIELD, SRANDMEMBER, ZRANDMEMBER, SPOP: `count`
 * different ones (all, if there are not more), or -count with repetition when it is negative.
 * Appends pointers to their cells, valid until the key changes, and returns how many. With
 * repetition a reply could outgrow any memory: false and an error reply when the names and values
 * would take more than SAMPLE_BYTES_MAX.
 */
#define SAMPLE_BYTES_MAX (512u << 20)
bool sample(struct call *c, const struct cell *key, enum type type, int64_t count,
            struct buf *cells);

static inline size_t sample_count(const struct buf *cells)
{
    return buf_len(cells) / sizeof(struct cell *);
}

static inline const struct cell *sample_at(const struct buf *cells, size_t i)
{
    const struct cell *elem;
    memcpy(&elem, cells->p + cells->head + i * sizeof elem, sizeof elem);
    return elem;
}

#endif
