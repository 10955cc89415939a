/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SIM_DEPLOY_H
#define MERIDIAN_SIM_DEPLOY_H

#include "sim/driver.h"
#include "worker/worker.h"

/*
 * A geo-distributed database in the virtual world: regions 1..n, each a host with some workers,
 * configured through the same control channel that the manager uses. Whoever deploys plays the
 * manager.
 */
#define DEPLOY_PORT 6379u
#define DEPLOY_REGIONS_MAX 8u
#define DEPLOY_WORKERS_MAX 4u

struct deploy_opts {
    unsigned regions;                          /* 1..DEPLOY_REGIONS_MAX */
    const char *names[DEPLOY_REGIONS_MAX + 1]; /* host names by region number */
    unsigned workers[DEPLOY_REGIONS_MAX + 1], shards[DEPLOY_REGIONS_MAX + 1];
    uint32_t partitions;
    uint64_t seed;
    uint64_t members; /* bit r: region r belongs to the database from the start; 0: all */
    uint64_t
        paused; /* links held from the start: bits of every region's `paused`; own bit ignored */
    uint64_t backlog_bytes;                      /* 0: the default */
    uint64_t memory_max[DEPLOY_REGIONS_MAX + 1]; /* 0: none */
    uint32_t eviction, oom_percent;              /* as in struct plane_db */
    int64_t clock_drift_max_ms;
    size_t patch_min, kept_bytes_max;             /* of the shards; 0: the defaults */
    uint32_t xadd_ids;                            /* enum xadd_ids (shard/shard.h) */
    uint32_t persistence[DEPLOY_REGIONS_MAX + 1]; /* enum persistence, by region; on the host's disk
                                                     (world_disk) */
    uint64_t snapshot_bytes, segment_bytes;       /* 0: the defaults */
    uint32_t pour_min;                            /* likewise */
    uint32_t defrag_slices;                       /* as in struct worker_opts */
    size_t reply_bytes_max;                       /* as in struct worker_opts */
    size_t slice_bytes;                           /* of states; 0: the defaults */
};

struct deploy;
struct deploy *deploy_new(struct world *w, struct driver *d, const struct deploy_opts *o);
void deploy_free(struct deploy *d);

/* Starts region r's process: as its first life, or (after a crash) as the next incarnation, with
 * what its disk has kept. */
void deploy_start(struct deploy *d, unsigned r);
void deploy_crash(struct deploy *d, unsigned r, bool silent);
void deploy_power_loss(struct deploy *d, unsigned r); /* world_power_loss */
/* Region r is kept on disk like this from now on (enum persistence). */
void deploy_persist(struct deploy *d, unsigned r, uint32_t persistence);
/* Asks a region that runs whether it could be, as a manager does before it changes anything. */
enum deploy_wish { DEPLOY_NO_WISH, DEPLOY_ASKED, DEPLOY_AGREED, DEPLOY_REFUSED };
void deploy_ask(struct deploy *d, unsigned r, uint32_t persistence);
/* What became of that; gone when the region dies. */
enum deploy_wish deploy_wish(const struct deploy *d, unsigned r, uint32_t *persistence);
const char *deploy_refusal(const struct deploy *d, unsigned r);
void deploy_forget(struct deploy *d, unsigned r); /* there is no wish any more */
uint32_t deploy_persistence(const struct deploy *d, unsigned r);
/* The folder of shard i of region r, as it is kept now. */
void deploy_folder(const struct deploy *d, unsigned r, unsigned i, char *out, size_t size);
/* Begins an orderly end (CONTROL_STOP); deploy_crash it once it has had the time for it. */
void deploy_stop(struct deploy *d, unsigned r);
/* How many lives region r has had; and: its next start is that of life `incarnation`, as of a
 * manager whose files are an older copy. */
uint32_t deploy_incarnation(const struct deploy *d, unsigned r);
void deploy_put_back(struct deploy *d, unsigned r, uint32_t incarnation);
bool deploy_running(const struct deploy *d, unsigned r);
bool deploy_open(const struct deploy *d, unsigned r); /* ... and brought back from its disk */
/* After deploy_stop: it has ended. */
bool deploy_stopped(const struct deploy *d, unsigned r);
/* Region r holds (or releases) its pull from region `from`. */
void deploy_pause(struct deploy *d, unsigned r, unsigned from, bool paused);
/* Who belongs to the database from now on: a newer configuration for every running region. */
void deploy_members(struct deploy *d, uint64_t members);
uint64_t deploy_members_now(const struct deploy *d);
/* Region r has answered all that it was told: it is configured as it is to be. */
bool deploy_heard(const struct deploy *d, unsigned r);
/* Every request so far has been answered; false and a text when one was refused. */
bool deploy_settled(const struct deploy *d);
const char *deploy_error(const struct deploy *d); /* "" none */

const struct deploy_opts *deploy_options(const struct deploy *d);
uint32_t deploy_host(const struct deploy *d, unsigned r);
unsigned deploy_shards(const struct deploy *d, unsigned r, struct worker_shard *out, unsigned max);
/* The shard of region r that owns a partition; NULL when the region is down. */
struct shard *deploy_shard(const struct deploy *d, unsigned r, uint32_t partition);
/* Nothing is under way between the running members: contexts are equal in every partition and all
 * syncers are quiet. */
bool deploy_converged(const struct deploy *d);
uint32_t deploy_partitions(const struct deploy *d);
/* With the hidden one (shard/catalog.h). */
uint32_t deploy_partitions_all(const struct deploy *d);

#endif
