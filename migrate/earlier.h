/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_EARLIER_H
#define MERIDIAN_MIGRATE_EARLIER_H

#include "migrate/mark.h"

/*
 * What a geo-distributed target says of its earlier lives (INFO crdt). A region that lost power may
 * have sent to others what its own disk never got: the elements and increments of a copy that was
 * being made. They come back when those regions are heard again, and whatever was emptied before
 * has not removed them, so they would stay on top of a new copy. Hence:
 *
 *   before the target is emptied for a copy, this is waited for (follow_opts.earlier_us);
 *   where that takes too long (a region is away) the copy is made all the same, is not called in
 *   sync as long as something may come, and is made once more if something does.
 *
 * The second needs no more than a name for the target that changes when something comes: the mark
 * (mark.h) counts only under the name it was written under.
 */
#define EARLIER_WAIT_US UINT64_C(10000000)
#define EARLIER_LOOK_US UINT64_C(500000)

struct earlier {
    uint64_t open;     /* partitions in which something may come; 0: what is there is all */
    char seen[17];     /* changes when something comes; "" or zeros: nothing has */
    char waits[64];    /* the region that has not said what it has; "" none, or the target */
    uint64_t since_us; /* the caller waits since then; 0: it does not */
    char name[MARK_RUN_MAX + 1]; /* of the target, as marks have it */
};

/* Reads INFO's text; what is not there (another server, one region) is nothing. `run` is the
 * target's run id. since_us stays, unless nothing is open. */
void earlier_read(struct earlier *e, struct bytes info, const char *run);
/* Is it to be waited for? No longer than most_us (0: EARLIER_WAIT_US) after the first time that it
 * was asked while something was open. */
bool earlier_waits(struct earlier *e, uint64_t now_us, uint64_t most_us);
/* Why the copy waits, or is not called in sync; what can be done. */
void earlier_explain(const struct earlier *e, char *out, size_t size);

#endif
