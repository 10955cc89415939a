/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_INSPECT_H
#define MERIDIAN_STORAGE_INSPECT_H

#include "storage/format.h"

/*
 * Looks at the bytes of a file without a shard: what is in it, whether it is as it was written, and
 * what the next opening will make of it. Goes by the same rules as opening.h, and says more.
 */
enum inspect_state {
    INSPECT_WHOLE,
    INSPECT_TORN,    /* of the last segment: ends in what had never been synced, which goes */
    INSPECT_DAMAGED, /* the opening stops here */
    INSPECT_VERSION, /* of a version that is not known */
};

struct inspection {
    enum inspect_state state;
    struct file_header header; /* when headed */
    bool headed;
    uint64_t end;     /* behind the last good record */
    char what[160];   /* DAMAGED, VERSION: what is wrong at `end` */
    uint64_t resumes; /* DAMAGED: where a good record stands again; 0: nowhere */
    uint64_t records[RECORD_KIND_MAX];
    uint64_t total, ops, keys;
    uint64_t skipped;        /* as inspect_opts.from said, when records before it were left out */
    uint64_t synced;         /* the file says itself that it was durable up to here */
    int64_t oldest, newest;  /* Unix ms, of frames; 0: there are none */
    enum sync_policy policy; /* at its end */
    bool closed;             /* its last record is an orderly end */
};

struct inspect_opts {
    struct bytes content; /* borrowed */
    enum file_kind kind;  /* by its name */
    uint64_t number;
    bool last;            /* the last segment of its folder */
    struct context *seen; /* by partition held: what the files before hold; is added to. NULL:
                             frames are not checked for their causes */
    uint64_t from;        /* of a segment: what stands before is not needed and not looked at */
    /* Each good record; may be NULL. */
    void (*visit)(void *arg, const struct record *r, uint64_t offset);
    void *arg;
};

void inspect(const struct inspect_opts *o, struct inspection *out);

/* Reads states as transfer_next writes them, key by key (kept strings are left out). False:
 * malformed. `visit` gets each key with what it holds, a large one with its first elements only;
 * may be NULL. */
struct cell;
bool inspect_keys(struct bytes states, void (*visit)(void *arg, const struct cell *key), void *arg);
/* The same of a KEYS record's payload; `cut` keeps the beginning of a state that goes on in the
 * next one, is empty before a partition's first one and should be after its last. */
bool inspect_piece(struct buf *cut, struct bytes payload,
                   void (*visit)(void *arg, const struct cell *key), void *arg);
/* The whole states at the beginning of these; the rest is cut short. */
struct bytes inspect_whole(struct bytes states);
/* The same for a frame's operations. */
bool inspect_ops(const struct frame *f, void (*visit)(void *arg, const struct op *op), void *arg);

#endif
