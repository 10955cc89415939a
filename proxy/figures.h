/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_FIGURES_H
#define MERIDIAN_PROXY_FIGURES_H

#include "proxy/keep.h"
#include "shard/shard.h"

/*
 * What INFO shows of one database: each worker fills its own share, the asking session adds them
 * up. Plain numbers, so that they travel as they are between the workers of one process.
 */
struct figures_link {
    char name[64];     /* of the region; "" = not a member */
    const char *state; /* the worst of this database's links from that region; static text */
    uint32_t rank;     /* how bad that is: greater is worse */
    bool feeding;
    uint64_t bytes_in, bytes_out, ops_in, ops_out, lag_ops, reconnects, transfers_in, transfers_out,
        relays, parts_disk, disk_left, parts_state, ops_disk, ops_elided, messages_in, messages_out,
        messages_dropped;
    int64_t lag_ms, behind_ms;
};

struct figures {
    uint64_t clients, input_bytes, output_bytes; /* sessions, and what is buffered for them */
    uint64_t blocked; /* sessions that wait in a command, or for CLIENT PAUSE to end */
    uint64_t tracking_keys, tracking_items; /* CLIENT TRACKING */
    uint64_t connections, refused, commands, errors, net_in, net_out, cut_output;
    uint64_t rate, rate_in, rate_out; /* commands, bytes a second */
    uint64_t peak;                    /* of memory */
    uint64_t lua_bytes;               /* held by the scripts' engines */
    uint64_t shards;
    struct shard_stats shard; /* sums */
    uint64_t stale;           /* shards that refuse writes until they have caught up */
    uint64_t log_bytes;
    struct figures_keep keep; /* the files */
    uint64_t scripts_bytes;   /* of the scripts themselves */
    uint64_t links_bytes;     /* of other regions' frames that wait for their causes */
    struct memory_use memory; /* of the shards */
    uint64_t stamp_max;       /* the newest stamp of any partition */
    bool exact; /* asked for: the digest of all that has been seen, whatever it takes */
    uint64_t digest_lo, digest_hi; /* sum over all partitions */
    uint64_t lives;                /* sum of a hash of (shard, the incarnation it writes as) */
    uint64_t context_hash;         /* likewise, of a hash of (partition, context) */
    uint64_t earlier_open; /* partitions in which something of earlier lives of this region may
                              still come from others (syncer_earlier) */
    uint64_t earlier_seen; /* changes when it comes */
    uint32_t earlier_waits[REGION_MAX + 1]; /* partitions, by the region that has not told */
    struct figures_link links[REGION_MAX + 1];
    uint32_t
        lagging[REGION_MAX + 1]; /* partitions whose compaction waits for that region; 0: none */
};

/* What is the same on every worker. */
struct figures_db {
    char guid[64];
    uint64_t version;
    uint32_t region, actor, incarnation, partitions;
};

/* What the database holds in memory. */
uint64_t figures_used(const struct figures *f);
/* The region for which compaction waits in most partitions; 0: in none. */
uint32_t figures_laggard(const struct figures *f);
/* The region that has not told in most partitions what it has of this region's earlier lives; 0:
 * none. */
uint32_t figures_untold(const struct figures *f);
void figures_add(struct figures *sum, const struct figures *one);
void figures_shard_add(struct shard_stats *sum, const struct shard_stats *one);
/* Counters add up; of states the worst, of delays the longest. */
void figures_link_add(struct figures_link *sum, const struct figures_link *one);

#endif
