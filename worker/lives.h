/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_WORKER_LIVES_H
#define MERIDIAN_WORKER_LIVES_H

#include "base/buf.h"

/*
 * The file `lives` of a shard's folder; settle.c says what for.
 *
 *   0  "MERLIFE2"   8  u64 process: the incarnation under which the last process was started
 *  16  u64 life: the incarnation under which it wrote; of a former older copy maybe a greater one
 *  24  u64 settled: lives before this one are over for good (crdt/stability.h)
 *  32  u64 sum of 1: of that life nothing has left the process that the log does not have;
 *      2: it went on from an older copy, and is split; 4: it has not caught up
 *  40  u64 XXH3 of the 40 bytes before
 * With 2 or 4 the first eight bytes are "MERLIFE3", so that a release that does not know them
 * begins a new life (and of what it cannot read it takes that it has not caught up). Before it was
 * "MERLIVES", u64 settled, u64 XXH3 of these 16 bytes. It is read, never written.
 */
/* What a shard's folder says of its lives (settle.c); incarnations. */
struct life_note {
    uint32_t process; /* of the last process that had it */
    uint32_t life;    /* as which it wrote */
    uint32_t settled; /* lives before that one are over for good */
    bool complete;    /* peers have got nothing of that life that is not in the log */
    bool split;       /* it went on from an older copy, beside the life that had gone on */
    bool lacks;       /* not all is here that the region had claimed to have */
};

static inline bool life_note_eq(const struct life_note *a, const struct life_note *b)
{
    return a->process == b->process && a->life == b->life && a->settled == b->settled &&
           a->complete == b->complete && a->split == b->split && a->lacks == b->lacks;
}

/* Appends the file's bytes. */
void life_note_put(struct buf *out, const struct life_note *n);
/* Reads them; `process` is the one that reads, for what the oldest form leaves out. False: they say
 * nothing (damaged, cut short, of a later form). */
bool life_note_get(struct bytes in, uint32_t process, struct life_note *out);

#endif
