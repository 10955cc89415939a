/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_KEEP_H
#define MERIDIAN_PROXY_KEEP_H

#include "proxy/courier.h"

/*
 * What clients see and ask of a database's files: figures of its shards' storage for INFO, and
 * snapshots on request (BGSAVE, SAVE, LASTSAVE). A front knows nothing of files: it asks its host.
 */

/* Sums over shards; plain numbers, so that they travel as they are between the workers. */
struct figures_keep {
    uint32_t shards;      /* that are on disk; 0: the database is not, or has no shard here */
    uint32_t opens;       /* of them: being brought back */
    uint32_t broken;      /* could not be opened */
    uint32_t failing;     /* the disk takes nothing just now */
    uint32_t taking;      /* a snapshot is being taken */
    uint32_t asked;       /* somebody asked for one, and it is not done */
    uint32_t failed;      /* the last snapshot did not come to an end */
    uint64_t read, total; /* bytes of those that are being brought back */
    uint64_t log_bytes;   /* of log since the last snapshots */
    uint64_t kept_bytes;  /* of log on disk, also for regions that are away */
    uint64_t behind;      /* bytes of log that are not durable */
    uint64_t written, syncs, write_failures, sync_us_max;
    uint32_t
        in_force;     /* 0 nothing (yet), 1 no syncs, 2 one a second, 3 always: where it is least */
    uint64_t changes; /* since the last snapshots */
    uint64_t snapshots, snapshot_failures;
    int64_t saved_ms; /* wall clock: every shard's last snapshot, or opening, is no older; 0 none */
    int64_t took_ms;  /* the longest of the last snapshots; -1: none yet */
    int64_t begun_ms; /* wall clock: the oldest snapshot under way; 0 none */
    int64_t opens_ms; /* wall clock: since when the first of `opens` is; 0 none */
    char error[256];  /* of one that is broken or failing */
};
#define FIGURES_KEEP_NONE                                                                          \
    {                                                                                              \
        .took_ms = -1                                                                              \
    }
void figures_keep_add(struct figures_keep *sum, const struct figures_keep *one);

/* Those who wait in SAVE for the shards of this worker. */
struct keep_waits {
    struct keep_wait *first; /* owned */
    uint64_t serials;
};
void keep_deinit(struct keep_waits *w);
/* Ten times a second: are snapshots done that somebody waits for? */
void keep_turn(struct front *f, struct port *port);
/* JOB_KEEP, JOB_SAVE, JOB_SAVED. */
void keep_job(struct front *f, struct port *port, const struct job *job, struct reply *r,
              struct moment now);

#endif
