/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_OPENING_H
#define MERIDIAN_STORAGE_OPENING_H

#include "base/port.h"
#include "shard/shard.h"
#include "storage/format.h"

/*
 * Brings a shard back from its folder: the newest snapshot, then the log. A torn end, which only
 * unsynced bytes can be, is cut off and reported; damage anywhere else stops with the file and the
 * offset, since going on would lose what was promised to be kept.
 */
struct opening_opts {
    struct shard *shard; /* empty, not durable, of an actor that wrote nothing here; kept */
    const char *folder;  /* copied; made if it is not there, its parent must be */
    struct file_header
        id;            /* db_uid, shard, partitions, first, count: files of others are refused */
    void *owner;       /* of its requests */
    size_t read_bytes; /* at a time; 0: 1 MiB */
};

struct opening;
enum opening_state { OPENING_RUNS, OPENING_DONE, OPENING_FAILED };

struct opening *opening_new(const struct opening_opts *o);
void opening_free(struct opening *o); /* no request may be under way, or its answer is dropped */
void opening_start(struct opening *o, struct port *port, struct moment now);
/* file_req.tag is STORAGE_OPENING. Taken. */
void opening_answer(struct opening *o, struct port *port, struct file_req *taken,
                    struct moment now);
enum opening_state opening_state(const struct opening *o);
const char *opening_error(const struct opening *o); /* names file and offset, says what to do */

struct opening_result {
    uint64_t next;     /* number of the segment to go on with, a new file ... */
    uint64_t last;     /* ... and of the last that is there; 0 none ... */
    uint64_t last_end; /* ... and where that one ends */
    uint64_t snapshot; /* the one that was read; 0 none */
    bool found;        /* there was anything */
    bool orderly;      /* the last segment ends with an orderly end */
    bool kept;         /* all that earlier lives claimed to have is here */
    uint64_t cut;      /* bytes cut off at the torn end */
    uint64_t read, total, records;
    uint64_t log; /* bytes read of segments, behind the snapshot */
};
void opening_result(const struct opening *o, struct opening_result *out); /* also while it runs */

#endif
