/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_MEMORY_H
#define MERIDIAN_SHARD_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a shard holds, in bytes as the allocator counts them: `held` is exact, and the sum of all
 * that follows but for `metadata`, which is a part of it.
 */
struct memory_use {
    uint64_t held;
    uint64_t values;    /* keys, collections, their tables; what waits to be freed */
    uint64_t unsettled; /* the queue of what compaction will look at */
    uint64_t deadlines; /* the index of what expires */
    uint64_t log;       /* the ring for other regions and the disk, frames being written */
    uint64_t kept;      /* strings that patches to come may be based on */
    uint64_t catalog;   /* users, libraries, scripts: what all regions share */
    uint64_t contexts;  /* of partitions: what has been seen of every actor */
    uint64_t
        metadata; /* estimate, from a sample of keys: what of all this only replication needs */
};

struct shard;
void shard_memory(const struct shard *s, struct memory_use *out);
void memory_use_add(struct memory_use *sum, const struct memory_use *one);
uint64_t shard_held(const struct shard *s); /* memory_use.held alone: cheap */

/*
 * The limit is the database's: what counts against it are all its shards, on all workers, and the
 * buffers of its clients. What is not this shard's is told to it from time to time.
 */
void shard_set_memory_max(struct shard *s, size_t bytes); /* 0: none */
void shard_set_memory_elsewhere(struct shard *s, uint64_t bytes);

#endif
