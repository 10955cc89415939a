/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_JOURNAL_H
#define MERIDIAN_STORAGE_JOURNAL_H

#include "base/port.h"
#include "shard/shard.h"
#include "storage/format.h"

/*
 * Writes a shard's log to segment files: one more reader of the log
 * (../shared/design/replication.md). One request to the disk is under way at a time, so bytes reach
 * the file in order. What is not yet durable is held in the log's memory; when the disk fails, it
 * is written again from there.
 */
struct journal_opts {
    struct shard *shard;   /* kept */
    const char *folder;    /* copied; exists */
    struct file_header id; /* db_uid, shard, partitions, first, count */
    void *owner;           /* of its requests: their file_req.owner */
    enum sync_policy policy;
    uint64_t segment_bytes; /* a segment is closed beyond; 0: 64 MiB */
    /* A segment is about to be written (again, after a failure): the one before ends at
     * `before_end` (FORMAT_END_UNKNOWN: nobody knows), and what the log so far covers is `begin`,
     * by partition. May be NULL. */
    void (*began)(void *arg, uint64_t number, uint64_t before_end, const struct context *begin);
    void *arg;
    bool
        unpromised; /* nothing of it has been promised to be durable: it begins as with SYNC_NONE */
};

struct journal;

/* Goes on with segment id.number, a new file after id.before, which ends at id.before_end, from the
 * log's position `pos`. What the shard holds by then is durable already: it was read from disk, or
 * there is nothing. */
struct journal *journal_new(const struct journal_opts *o, uint64_t pos);
void journal_free(struct journal *j); /* no request may be under way, or its answer is dropped */
/* Writes nothing until it is let go; what is in the log by then is held. */
void journal_pause(struct journal *j, bool paused);
void journal_set_policy(struct journal *j, enum sync_policy policy);
/* Takes what is new in the log and asks for what is due. Frames must have been closed. Call it at
 * the end of each turn, and at the deadline. */
void journal_step(struct journal *j, struct port *port, struct moment now);
uint64_t journal_deadline(const struct journal *j); /* mono_us; UINT64_MAX: none */
/* An answer to one of its requests (file_req.tag is STORAGE_JOURNAL). Taken. */
void journal_answer(struct journal *j, struct port *port, struct file_req *taken,
                    struct moment now);

/* Up to here the log is durable; with SYNC_NONE: written. */
uint64_t journal_durable(const struct journal *j);
uint64_t journal_synced(const struct journal *j); /* whatever the policy */
/* What of a partition is durable: claims of having seen may say no more. NULL: nothing is promised
 * (SYNC_NONE, and that is on the disk, so that the next life knows). */
const struct context *journal_context(const struct journal *j, uint32_t partition);
/* Where in the files what is durable ends: a snapshot that is begun now goes on there. Also with
 * SYNC_NONE: what is not durable may be written anew, in other records. */
void journal_place(const struct journal *j, uint64_t *number, uint64_t *offset);
/* "" when all is well; else what is wrong and since when nothing gets to the disk. */
const char *journal_error(const struct journal *j);
/* Writes and syncs what is left, then that it was an orderly end. */
void journal_close(struct journal *j, struct port *port, struct moment now);
bool journal_closed(const struct journal *j);
bool journal_busy(const struct journal *j); /* a request is under way */

struct journal_stats {
    enum sync_policy policy;
    enum sync_policy promised; /* what the next life will be told of this one, durably */
    uint64_t segment, bytes_written, appends, syncs, failures;
    uint64_t behind; /* bytes of the log that are not durable */
    uint64_t sync_us_max;
    bool state_cut;    /* a long state is in the file in part */
    uint64_t waits_us; /* mono_us since when a request has been under way; UINT64_MAX: none is */
};
void journal_stats(const struct journal *j, struct journal_stats *out);

#endif
