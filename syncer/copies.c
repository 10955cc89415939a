/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * An older copy of a region's files (a backup, a machine's snapshot) that was started as if it were
 * the newest goes on as the life that the newest was, which has written more since. Two processes
 * then write as one actor, and whoever has a stamp of one of them takes what the other one wrote
 * before that stamp for known. Nothing in the copy tells. But what an actor wrote comes from its
 * own region: stamps of our actor that a peer has and that we never gave say that we are the copy.
 * So each context that a peer tells of is looked at before anything is sent on the strength of it.
 *
 * COPY_OLD     the peer has later stamps than ours, and we have written none since we were opened:
 *              nothing overlaps. No write is taken from here on, and the region goes on as another
 *              actor that catches up first.
 * COPY_SPLIT   we have written since: the peer's stamp is none of ours, or lies within what we
 * wrote in one go. Nothing is sent or taken any more, since each side would drop as known what it
 * lacks.
 *
 * Where the later life did not end in order, its region has gone on as another actor since: peers
 * know that the life of the copy has ended, and say so instead (copies_outlived). All that it
 * writes is lost on them, whether it overlaps or not.
 *
 * A region that goes on as another actor may have written in partitions of which it had not heard
 * by then, or the process before it may have: so what peers have of the actor that it was is looked
 * at further.
 *
 * What can't be seen here: a copy that meets only peers which know nothing of the other life. That
 * a copy does not write before it meets them, where they can be reached, is the worker's (greet.c).
 */

static void fall(struct syncer *s, enum syncer_copy copy)
{
    s->copy = copy;
    s->dirty = true;
    if (copy == COPY_OLD) { /* whether they recall it or not */
        for (uint32_t i = 0; s->caught_up && i < s->count; i++)
            s->parts[i].caught_up = false;
        s->caught_up = false;
    }
    shard_set_stale(s->shard, true);
}

static void found(struct syncer *s, struct port *port, enum syncer_copy copy, uint32_t region,
                  uint32_t partition)
{
    if (copy <= s->copy)
        return;
    fall(s, copy);
    port_log(port, copy == COPY_SPLIT ? 'E' : 'W',
             copy == COPY_SPLIT
                 ? "region %u has writes of this region in partition %u that our files, an older "
                   "copy, have not, and this region has written since under the same numbers: its "
                   "links are closed"
                 : "region %u has writes of this region in partition %u that our files have not: "
                   "they are an older copy. Writes wait until this region has caught up",
             region, partition);
}

void copies_outlived(struct syncer *s, struct port *port, uint32_t region, uint32_t newest)
{
    bool wrote = shard_written(s->shard) > 0;
    enum syncer_copy copy = wrote ? COPY_SPLIT : COPY_OLD;
#if defined(MUTANT_copy_unseen) || defined(MUTANT_outlived_unheard)
    return; /* the planted bugs */
#endif
    if (wrote && s->lasting == NULL) /* nobody's files: it is a process beside a newer one */
        return;
    if (newest > s->newest)
        s->newest = newest;
    if (copy <= s->copy)
        return;
    fall(s, copy);
    port_log(port, wrote ? 'E' : 'W',
             wrote
                 ? "region %u knows a later incarnation of this region, %u: our files are an older "
                   "copy, and this region has written since. Its links are closed"
                 : "region %u knows a later incarnation of this region, %u: our files are an older "
                   "copy. Writes wait until this region has caught up",
             region, newest);
}

void copies_look(struct syncer *s, struct port *port, uint32_t region, uint32_t partition,
                 const struct context *theirs)
{
    stamp_t stamp = context_get(theirs, s->config.actor);
    enum shard_origin origin = shard_origin(s->shard, partition, stamp);
#ifdef MUTANT_copy_unseen
    return; /* the planted bug */
#endif
    stamp_t before = s->config.was != 0 ? context_get(theirs, s->config.was) : 0;
    if (before != 0 && shard_began_across(s->shard, partition, before))
        found(s, port, COPY_SPLIT, region, partition);
    if (s->config.sole && origin != ORIGIN_OWN)
        found(s, port, origin == ORIGIN_BESIDE ? COPY_SPLIT : COPY_OLD, region, partition);
}

/* What a peer knows of the actor lies within what was written in one go: the rest of what it knows
 * was written by another process. */
static bool lies_within(const struct context *known, const struct frame *frame)
{
    stamp_t stamp = context_get(known, stamp_actor(frame->last));
    return stamp > frame->prev && stamp < frame->last;
}

bool copies_splits(const struct feed *f, struct port *port, const struct frame *frame)
{
    struct syncer *s = f->s;
    const struct context *known = &f->parts[frame->partition - f->first].known;
    uint32_t actor = stamp_actor(frame->last);
    /* Contexts point to where frames end. What came over a link may be cut differently. */
    bool first_numbers = s->config.incarnation < INCARNATIONS;
    bool ours = s->config.sole && actor == s->config.actor &&
                (first_numbers || frame->prev >= syncer_part(s, frame->partition)->own);
    /* As it was before it went on as another one: processes before this one may have written. */
    bool before = first_numbers && s->config.was != 0 && actor == s->config.was &&
                  frame->last <= syncer_part(s, frame->partition)->was;
#ifdef MUTANT_copy_unseen
    ours = before = false; /* the planted bug */
#endif
    if ((ours || before) && lies_within(known, frame))
        found(s, port, COPY_SPLIT, f->puller.region, frame->partition);
    return s->copy == COPY_SPLIT;
}

/* It has said what it has, and what it recalls before that; or nothing can be expected of it. */
static bool is_heard(const struct pull *p)
{
    if (p->phase != PHASE_LIVE)
        return p->paused || (p->failures > 0 && !p->busy);
    for (uint32_t i = 0; !p->waits && !pull_held(p) && i < p->count; i++)
        if (!p->parts[i].has_claim)
            return false;
    return true;
}

bool syncer_greeted(const struct syncer *s)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (const struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            if (!is_heard(p))
                return false;
    return true;
}

uint32_t syncer_newest(const struct syncer *s) { return s->newest; }

uint32_t syncer_actor(const struct syncer *s) { return s->config.actor; }

enum syncer_copy syncer_copy(const struct syncer *s) { return s->copy; }
