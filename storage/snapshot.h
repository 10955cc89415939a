/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_SNAPSHOT_H
#define MERIDIAN_STORAGE_SNAPSHOT_H

#include "base/port.h"
#include "shard/shard.h"
#include "storage/format.h"

/*
 * Writes the state of every partition of a shard to a file, without fork and without pause: one
 * partition after the other, in slices, of what is about to change first (shard.h, transfer). The
 * partitions are as of different moments; the log, read from where it stood at the beginning, makes
 * them one. Written beside, synced, renamed.
 */
struct snapshot_opts {
    struct shard *shard;   /* kept */
    const char *folder;    /* copied */
    struct file_header id; /* number and from: where the log goes on (journal_place) */
    void *owner;           /* of its requests */
    size_t slice_bytes;    /* serialised at a time; 0: 256 KiB */
};

struct snapshot;
enum snapshot_state { SNAPSHOT_RUNS, SNAPSHOT_DONE, SNAPSHOT_FAILED };

struct snapshot *snapshot_new(const struct snapshot_opts *o);
/* Gives up what is not done; the file beside stays until the next opening. No request may be under
 * way, or its answer is dropped. */
void snapshot_free(struct snapshot *s);
/* Asks for the next slice to be written, if none is under way. */
void snapshot_step(struct snapshot *s, struct port *port, struct moment now);
/* file_req.tag is STORAGE_SNAPSHOT. Taken. */
void snapshot_answer(struct snapshot *s, struct port *port, struct file_req *taken,
                     struct moment now);
enum snapshot_state snapshot_state(const struct snapshot *s);
bool snapshot_waits(const struct snapshot *s); /* a request is under way */
const char *snapshot_error(const struct snapshot *s);
uint64_t snapshot_number(const struct snapshot *s);
uint64_t snapshot_bytes(const struct snapshot *s);  /* written so far */
double snapshot_progress(const struct snapshot *s); /* 0..1, by partitions */

#endif
