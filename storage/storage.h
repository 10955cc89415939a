/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_STORAGE_H
#define MERIDIAN_STORAGE_STORAGE_H

#include "storage/archive.h"
#include "storage/journal.h"
#include "storage/opening.h"
#include "storage/snapshot.h"

/*
 * A shard's folder on disk as a whole: opens it, then writes the log, takes snapshots when the log
 * has grown (or when asked), and removes what no snapshot and no reader needs any more.
 */
struct storage_opts {
    struct shard *shard;   /* empty; kept */
    const char *folder;    /* copied; its parent exists */
    struct file_header id; /* db_uid, shard, partitions, first, count */
    enum sync_policy policy;
    uint64_t segment_bytes;  /* 0: 64 MiB */
    uint64_t snapshot_bytes; /* of log since the last snapshot that make the next; 0: 256 MiB */
    size_t slice_bytes;      /* of a snapshot; 0: 256 KiB */
    bool
        filled; /* the shard holds what the folder, which is empty, does not: see storage_founded */
    void *owner;            /* of its requests: their file_req.owner; NULL: the storage */
    uint64_t log_retention; /* bytes of segments kept for whoever lacks them; 0: 1 GiB */
};

struct storage;
enum storage_state {
    STORAGE_OPENS, /* the shard is being brought back: nobody else may use it */
    STORAGE_RUNS,
    STORAGE_BROKEN, /* it could not be opened: storage_error says why and what to do */
    STORAGE_CLOSES,
    STORAGE_CLOSED,
};

struct storage *storage_new(const struct storage_opts *o);
/* Requests under way (storage_requests) are answered to nobody: whoever hands answers out by
 * file_req.owner must know so many of them as nobody's. */
void storage_free(struct storage *s);
unsigned storage_requests(const struct storage *s); /* under way */
void storage_start(struct storage *s, struct port *port, struct moment now);
/* Instead: it cannot be opened, since there is no place for its folder. */
void storage_refuse(struct storage *s, struct port *port, const char *why);
/* EV_FILE of one of its requests. Taken. */
void storage_answer(struct storage *s, struct port *port, struct file_req *taken,
                    struct moment now);
/* At the end of each turn, when frames are closed, and at the deadline. */
void storage_step(struct storage *s, struct port *port, struct moment now);
uint64_t storage_deadline(const struct storage *s); /* mono_us */
/* The orderly end: writes what is left; STORAGE_CLOSED when it is done. */
void storage_close(struct storage *s, struct port *port, struct moment now);
/* After opening: all that earlier lives claimed to have is here. False: a life that promised
 * nothing came before, or none. */
bool storage_kept(const struct storage *s);
/* ... and the last of them came to an orderly end. */
bool storage_orderly(const struct storage *s);
bool storage_busy(const struct storage *s); /* requests are under way */

/* Is what the files promise true? Not before the first snapshot of a shard that was filled already:
 * until then nothing but that snapshot is written, and nothing is promised. */
bool storage_founded(const struct storage *s);
/* ... and the policy's promise holds for all that was ever answered: what came in while the first
 * snapshot was taken, or before the policy promised so much, has followed. */
bool storage_in_force(const struct storage *s);
/* What holds for all that was ever answered; false: nothing yet. */
bool storage_promises(const struct storage *s, enum sync_policy *out);
enum storage_state storage_state(const struct storage *s);
const char *
storage_error(const struct storage *s); /* also while it runs: the disk fails; "" well */
enum sync_policy storage_policy(const struct storage *s); /* as set, in force or not yet */
/* What is promised counts once it is in the file, behind all that was claimed before. */
void storage_set_policy(struct storage *s, enum sync_policy policy);
void storage_set_snapshot_bytes(struct storage *s, uint64_t bytes); /* 0: 256 MiB */
/* Position in the shard's log up to which all is durable (SYNC_NONE: written). */
uint64_t storage_durable(const struct storage *s);
/* Position up to which it is synced, whatever the policy. */
uint64_t storage_synced(const struct storage *s);
/* As journal_context. */
const struct context *storage_context(const struct storage *s, uint32_t partition);
/* Asks for a snapshot now. False: one is being taken, or the state is another. */
bool storage_snapshot(struct storage *s, struct port *port, struct moment now);
/* Reads the log back, for peers that were away; NULL until it runs. Whoever reads has to be made
 * known (archive_set_readers); segments below the newest snapshot go when nobody reads them and
 * either nobody lacks them or there are more than log_retention bytes. */
struct archive *storage_archive(const struct storage *s);
void storage_set_retention(struct storage *s, uint64_t log_retention); /* 0: 1 GiB */

/* Why the last snapshot failed; "" it did not. */
const char *storage_snapshot_error(const struct storage *s);

struct storage_stats {
    struct opening_result opening;
    struct journal_stats journal;
    uint64_t snapshots, snapshot_failures;
    int64_t snapshot_wall_ms; /* when the last one was done; 0 never */
    bool snapshot_runs;
    double snapshot_progress;
    uint64_t log_bytes; /* since the last snapshot */
    struct archive_stats archive;
};
void storage_stats(const struct storage *s, struct storage_stats *out);

#endif
