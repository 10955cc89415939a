/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * What has left the log's memory is read from the disk. Parts whose puller lacks some of it are
 * *behind*: their frames come from one reading of the segments, all such parts at once, and the
 * memory's frames of them wait. When the disk has no more, the memory reaches back to where the
 * reading ended, since it holds what is not yet durable; a part that lacks something even then has
 * lost it in a state that was joined, and gets a state.
 */
#define PAST_BYTES ((size_t)256 << 10) /* read and sent in one go: about a millisecond */

static bool reaches(void *reader, uint32_t partition, const struct context *begin)
{
    const struct feed *f = reader;
    const struct feed_part *part = &f->parts[partition - f->first];
    for (unsigned i = 0; i < begin->n; i++)
        if (feeds_actor(f, part, stamp_actor(begin->at[i])) &&
            !context_covers(&part->known, begin->at[i]))
            return false;
    return true;
}

static uint64_t find(const struct feed *f, uint32_t partition)
{
    const struct syncer_archive *a = &f->s->archive;
    union {
        const struct feed *in;
        void *out;
    } reader = {.in = f};
    return a->find(a->arg, partition, reaches, reader.out);
}

void past_want(struct feed *f, uint32_t partition)
{
    const struct syncer_archive *a = &f->s->archive;
    struct feed_part *part = &f->parts[partition - f->first];
    if (part->want)
        return;
    if (a->find == NULL || (a->ready(a->arg) && find(f, partition) == 0)) {
        past_forget(f, partition);
        feed_want(f, part);
        return;
    }
    f->behinds += !part->behind;
    part->behind = true;
    f->past.seek = true;
}

void past_forget(struct feed *f, uint32_t partition)
{
    struct feed_part *part = &f->parts[partition - f->first];
    f->behinds -= part->behind;
    part->behind = false;
    if (f->behinds == 0)
        past_end(f);
}

void past_end(struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    if (f->past.ticket != 0)
        a->keep(a->arg, f->past.ticket, 0);
    f->past = (struct past){0};
}

/* All parts that are behind are served in other ways from here on: by the log's memory where that
 * reaches back, unless the disk has `failed`, and by states. */
static void serve_otherwise(struct feed *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (!f->parts[i].behind)
            continue;
        past_forget(f, f->first + i);
        if (feed_lacks(f, f->first + i))
            feed_want(f, &f->parts[i]);
    }
    f->pos = log_begin(shard_log(f->s->shard));
}

/* Begins a reading where the part that is farthest behind needs it. What others have already is
 * passed over. */
static void seek(struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    uint64_t from = UINT64_MAX;
    past_end(f);
    for (uint32_t i = 0; i < f->count; i++) {
        if (!f->parts[i].behind)
            continue;
        uint64_t segment = find(f, f->first + i);
        if (segment == 0) {
            past_forget(f, f->first + i);
            feed_want(f, &f->parts[i]);
        } else if (segment < from) {
            from = segment;
        }
    }
    if (f->behinds == 0)
        return;
    f->past.ticket = ++f->s->tickets;
    f->past.place.segment = from;
    a->keep(a->arg, f->past.ticket, from);
}

bool past_waits(const struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    return f->behinds > 0 && (f->past.asked || !a->ready(a->arg));
}

void past_pump(struct feed *f, struct port *port)
{
    const struct syncer_archive *a = &f->s->archive;
    if (past_waits(f))
        return;
    if (f->past.seek || f->past.ticket == 0)
        seek(f);
    if (f->behinds == 0)
        return;
    switch (a->read(a->arg, port, f->past.ticket, f->past.place, PAST_BYTES)) {
    case SYNCER_ASKED:
        f->past.asked = true;
        break;
    case SYNCER_END:
    case SYNCER_GONE:
        serve_otherwise(f);
        break;
    }
}

/* ------------------------------------------------------------ answers */

static struct feed *reader_of(const struct syncer *s, uint64_t ticket)
{
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        if (f->conn != 0 && f->past.ticket == ticket)
            return f;
    return NULL; /* it has gone, or reads elsewhere now */
}

void syncer_archive_frame(struct syncer *s, struct port *port, uint64_t ticket,
                          const struct frame *frame)
{
    struct feed *f = reader_of(s, ticket);
    if (f == NULL || frame->partition - f->first >= f->count ||
        !f->parts[frame->partition - f->first].behind)
        return;
    struct buf *out = feed_frames_begin(f, port);
    if (out == NULL)
        return;
    feed_send_frame(f, out, frame);
    feed_frames_end(f, port);
}

void syncer_archive_done(struct syncer *s, struct port *port, uint64_t ticket,
                         struct syncer_place next, bool good, struct moment now)
{
    struct feed *f = reader_of(s, ticket);
    (void)port;
    (void)now;
    if (f == NULL)
        return;
    f->past.asked = false;
    f->past.place = next;
    if (good)
        s->archive.keep(s->archive.arg, ticket, next.segment);
    else
        serve_otherwise(f);
}

/* ------------------------------------------------------------ what is needed */

void syncer_set_archive(struct syncer *s, const struct syncer_archive *archive)
{
    s->archive = *archive;
}

bool syncer_lacks(const struct syncer *s, uint32_t partition, const struct context *seen)
{
    uint64_t members = 0;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        members |= (uint64_t)s->peers[r].member << r;
    for (unsigned i = 0; members != 0 && i < seen->n; i++)
        if (actor_region(stamp_actor(seen->at[i])) == s->config.region &&
            (members & ~syncer_have(s, partition, seen->at[i], false)) != 0)
            return true;
    return false;
}
