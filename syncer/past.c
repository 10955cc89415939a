/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/*
 * What has left the log's memory is read from the disk. Parts whose puller lacks some of it are
 * *behind*: their frames come from one reading of the segments, all such parts at once, and the
 * memory's frames of them wait. When the disk has no more, the memory reaches back to where the
 * reading ended, since it holds what is not yet durable; a part that lacks something even then has
 * lost it in a state that was joined, and gets a state.
 *
 * What waits in memory meanwhile, up to elide_max bytes: each part's frames are joined to runs, in
 * which what later operations hide is left out (elision.h). A run is sent when a frame does not
 * follow on it, when it is large, and when the disk has no more. When all of them take too much
 * room, the largest is sent; or, where so much is written again and again that this would send much
 * that is hidden later, some parts wait for another reading. Whatever was not sent is read again:
 * nothing is *known* of the puller's before.
 */
#define PAST_BYTES ((size_t)256 << 10) /* read in one go; taken in slices */
#define PAST_SENT ((size_t)32 << 10)   /* sent in one go */
#define PAST_FRAMES 8u                 /* taken between two looks at the clock */
#define PAST_TAKES 128u                /* ... of which there are no more in a turn */
#define LOOK_EVERY SECOND

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

static void drop_run(struct feed *f, struct feed_part *part)
{
    if (part->run == NULL)
        return;
    f->past.bytes -= elision_bytes(part->run);
    elision_free(part->run);
    part->run = NULL;
}

void past_forget(struct feed *f, uint32_t partition)
{
    struct feed_part *part = &f->parts[partition - f->first];
    drop_run(f, part);
    part->later = false;
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
    for (uint32_t i = 0; f->parts != NULL && i < f->count; i++)
        drop_run(f, &f->parts[i]), f->parts[i].later = false;
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
    f->past.from_left = a->left(a->arg, f->past.place);
    a->keep(a->arg, f->past.ticket, from);
}

/* ------------------------------------------------------------ runs */

/* It is sent in another way: what is on disk has a gap for this puller. */
static void has_gap(struct feed *f, struct feed_part *part)
{
    part->forced = true;
    past_forget(f, f->first + (uint32_t)(part - f->parts));
    feed_want(f, part);
}

static void send_run(struct feed *f, struct port *port, struct feed_part *part)
{
    struct frame frame;
    struct buf *out = feed_frames_begin(f, port);
    if (out == NULL || part->run == NULL || elision_empty(part->run))
        return;
    elision_frame(part->run, &f->s->scratch, &frame);
    bool covered = context_covers(&part->known, frame.last);
    bool sent = feed_send_frame(f, out, &frame);
    feed_frames_end(f, port);
    f->s->peers[f->puller.region].totals.ops_elided += elision_elided(part->run);
    if (!sent && !covered)
        has_gap(f, part);
    else
        drop_run(f, part);
}

static void send_largest(struct feed *f, struct port *port)
{
    struct feed_part *largest = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        struct feed_part *part = &f->parts[i];
        if (part->run != NULL &&
            (largest == NULL || elision_bytes(part->run) > elision_bytes(largest->run)))
            largest = part;
    }
    if (largest != NULL)
        send_run(f, port, largest);
}

/* Were the keys written evenly, then of so many operations as were read the share e was left out
 * because a key came twice: with D keys, e is about ops / 2D. All that is on disk, N operations of
 * D keys, would then hold x / (1 - exp(-x)) times what changed, where x = N / D = 2 e N / ops. From
 * x = 1/2 on, 1.27 times, it is worth while to read again instead of sending what is hidden later.
 */
static bool shall_postpone(const struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    const struct past *past = &f->past;
    uint64_t left = a->left(a->arg, past->place);
    uint64_t read = past->from_left > left ? past->from_left - left : 1;
    double e = (double)past->elided / (double)(past->ops + 1);
    return 2 * e * (double)past->from_left / (double)read > 0.5;
}

/* The last part that has a run waits for the next reading. False: it is the only one. */
static bool postpone(struct feed *f)
{
    uint32_t runs = 0;
    struct feed_part *last = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        runs += f->parts[i].run != NULL;
        last = f->parts[i].run != NULL ? &f->parts[i] : last;
    }
    if (runs < 2)
        return false;
    drop_run(f, last);
    last->later = true;
    return true;
}

/* False: nothing can be sent, since the connection has broken; it ends soon. */
static bool make_room(struct feed *f, struct port *port)
{
    size_t before = f->past.bytes;
    f->past.postpones = f->past.postpones || shall_postpone(f);
    if (!f->past.postpones || !postpone(f))
        send_largest(f, port);
    return f->past.bytes < before;
}

static void add_to_run(struct feed *f, struct port *port, struct feed_part *part,
                       const struct frame *frame)
{
    struct syncer *s = f->s;
    size_t max = s->config.elide_max ? s->config.elide_max : ELIDE_MAX;
    if (part->run != NULL && !elision_fits(part->run, frame)) {
        send_run(f, port, part);
        if (part->run != NULL) /* the connection has broken */
            return;
    }
    if (part->want)
        return;
    if (part->run == NULL && !context_covers(&part->known, frame->prev)) {
        has_gap(f, part);
        return;
    }
    if (part->run == NULL)
        part->run = elision_new((struct hash_key){.k0 = s->elision_key, .k1 = s->config.actor});
    else
        f->past.bytes -= elision_bytes(part->run);
    uint64_t elided = elision_elided(part->run);
    bool good = elision_add(part->run, frame);
    f->past.bytes += elision_bytes(part->run);
    f->past.ops += frame->ops_count;
    f->past.elided += elision_elided(part->run) - elided;
    if (!good)
        has_gap(f, part);
    while (f->past.bytes > max && make_room(f, port))
        continue;
}

static bool waits_for_next(const struct feed *f)
{
    for (uint32_t i = 0; f->past.postpones && i < f->count; i++)
        if (f->parts[i].later)
            return true;
    return false;
}

/* The disk has no more: what waits is sent, some at a time; then the log's memory may
 * reach back to it. */
static void send_rest(struct feed *f, struct port *port, const struct share_slice *slice)
{
    uint64_t stop = f->sent + PAST_SENT;
    bool served = false;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->parts[i].run == NULL)
            continue;
        if (f->sent >= stop || feed_blocked(f) || !share_left(slice, port))
            return;
        send_run(f, port, &f->parts[i]);
    }
    for (uint32_t i = 0; i < f->count; i++) {
        f->past.seek |= f->parts[i].later;
        if (!f->parts[i].behind || f->parts[i].later || feed_lacks(f, f->first + i))
            continue;
        past_forget(f, f->first + i);
        served = true;
    }
    if (served)
        f->pos = log_begin(shard_log(f->s->shard));
}

/* ------------------------------------------------------------ reading */

bool past_waits(const struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    return f->behinds > 0 && ((f->past.asked && !f->past.more) || !a->ready(a->arg));
}

uint64_t past_left(const struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    return f->past.ticket != 0 ? a->left(a->arg, f->past.place) : 0;
}

static void seek_and_tell(struct feed *f, struct port *port, struct moment now)
{
    uint64_t since = f->past.since_us;
    seek(f);
    if (f->behinds == 0)
        return;
    f->past.since_us = since != 0 ? since : now.mono_us;
    port_log(port, 'I', "region %u is served from the log on disk: %u partitions, %llu MB to read",
             f->puller.region, f->behinds, (unsigned long long)(past_left(f) >> 20));
}

/* Reads on, or ends. */
static void go_on(struct feed *f, struct port *port, const struct share_slice *slice)
{
    const struct syncer_archive *a = &f->s->archive;
    switch (a->read(a->arg, port, f->past.ticket, f->past.place, PAST_BYTES)) {
    case SYNCER_ASKED:
        f->past.asked = true;
        break;
    case SYNCER_END:
        if (f->past.bytes == 0 && !waits_for_next(f))
            serve_otherwise(f);
        else
            send_rest(f, port, slice);
        break;
    case SYNCER_GONE:
        serve_otherwise(f);
        break;
    }
}

/* Takes what has been read, as long as the slice lasts. */
static void take_some(struct feed *f, struct port *port, const struct share_slice *slice,
                      struct moment now)
{
    const struct syncer_archive *a = &f->s->archive;
    unsigned takes = PAST_TAKES;
    uint64_t ticket = f->past.ticket;
    bool more = true;
    while (more && takes-- > 0 && !feed_blocked(f) && share_left(slice, port))
        more = a->take(a->arg, port, ticket, PAST_FRAMES, now) && f->past.ticket == ticket;
    f->past.more = more;
}

/* Once in a while: does what is left get less? Whoever writes faster than we read slows us down
 * no further. */
static void look(struct feed *f, struct moment now)
{
    struct past *past = &f->past;
    if (now.mono_us < past->look_us)
        return;
    uint64_t left = past_left(f);
    if (past->look_us != 0 && left > past->look_left - past->look_left / 128)
        share_press(f->s->share, now);
    past->look_us = now.mono_us + LOOK_EVERY;
    past->look_left = left;
}

static void read_on(struct feed *f, struct port *port, const struct share_slice *slice,
                    struct moment now)
{
    if (f->past.asked)
        take_some(f, port, slice, now);
    if (f->past.asked || f->behinds == 0)
        return;
    uint64_t since = f->past.since_us;
    if (f->past.seek || f->past.ticket == 0)
        seek_and_tell(f, port, now);
    if (f->behinds > 0)
        go_on(f, port, slice);
    if (f->behinds == 0 && since != 0)
        port_log(port, 'I',
                 "region %u has got what the log on disk has for it, after %llu ms; %u partitions "
                 "need states",
                 f->puller.region, (unsigned long long)((now.mono_us - since) / MS), f->wants);
}

void past_pump(struct feed *f, struct port *port, struct moment now)
{
    const struct syncer_archive *a = &f->s->archive;
    if (!a->ready(a->arg))
        return;
    struct share_slice slice = share_begin(f->s->share, port);
    if (share_left(&slice, port))
        read_on(f, port, &slice, now);
    else
        f->past.more = f->past.asked; /* it may be */
    look(f, now);
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
    if (f == NULL || frame->partition - f->first >= f->count)
        return;
    struct feed_part *part = &f->parts[frame->partition - f->first];
    if (!part->behind || part->later || !feeds_actor(f, part, stamp_actor(frame->last)) ||
        context_covers(&part->known, frame->last))
        return;
    if (copies_splits(f, port, frame))
        return;
    s->peers[f->puller.region].totals.ops_disk += frame->ops_count;
    add_to_run(f, port, part, frame);
}

void syncer_archive_done(struct syncer *s, struct port *port, uint64_t ticket,
                         struct syncer_place next, bool good, struct moment now)
{
    struct feed *f = reader_of(s, ticket);
    (void)port;
    (void)now;
    if (f == NULL)
        return;
    f->past.asked = f->past.more = false;
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
