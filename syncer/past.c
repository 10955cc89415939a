/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

/*
 * What has left the log's memory is read from the disk. Parts whose puller lacks some of it are
 * *behind*: their frames come from one reading of the segments, all such parts at once, and the
 * memory's frames of them wait. When the disk has no more, the memory reaches back to where the
 * reading ended, since it holds what is not yet durable; a part that lacks something even then has
 * lost it in a state that was joined, and gets a state.
 *
 * What waits in memory meanwhile, up to elide_max bytes: each part's frames are joined to runs, in
 * which what later operations hide is left out (elision.h). A run is to be sent when a frame does
 * not follow on it, when it is large, and when the disk has no more. When all of them take too much
 * room, the largest is; or, where so much is written again and again that this would send much that
 * is hidden later, some parts wait for another reading. Whatever was not sent is read again:
 * nothing is *known* of the puller's before.
 *
 * A run is one frame, however large, since only so nobody sees its middle, from which something is
 * missing. It is sent in pieces, and nothing is read until it is on its way.
 */
#define PAST_BYTES ((size_t)256 << 10) /* read in one go; taken in slices */
#define PAST_SENT ((size_t)32 << 10)   /* sent in one go */
#define RUN_BYTES_MAX ((size_t)32 << 20)
#define PAST_FRAMES 8u  /* taken between two looks at the clock */
#define PAST_TAKES 128u /* ... of which there are no more in a turn */
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

static void drop_first(struct feed *f)
{
    struct past_run *first = f->past.ready;
    f->past.ready = first->next;
    elision_free(first->run);
    mem_free(first);
}

static void drop_ready(struct feed *f, uint32_t index)
{
    struct past_run **at = &f->past.ready;
    while (*at != NULL) {
        struct past_run *w = *at;
        if (w->index != index) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        elision_free(w->run);
        mem_free(w);
    }
}

void past_forget(struct feed *f, uint32_t partition)
{
    struct feed_part *part = &f->parts[partition - f->first];
    drop_run(f, part);
    drop_ready(f, partition - f->first);
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
    while (f->past.ready != NULL)
        drop_first(f);
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

/* Hardly more parts than had room the last time: what begins and is put off costs time. */
static void begin_with(struct feed *f, uint32_t fit)
{
    uint32_t n = 0;
    for (uint32_t i = 0; fit > 0 && i < f->count; i++) {
        n += f->parts[i].behind;
        f->parts[i].later = f->parts[i].behind && n > fit + fit / 8 + 1;
        f->past.postpones |= f->parts[i].later;
    }
}

/* Begins a reading where the part that is farthest behind needs it. What others have already is
 * passed over. */
static void seek(struct feed *f)
{
    const struct syncer_archive *a = &f->s->archive;
    uint64_t from = UINT64_MAX;
    uint32_t fit = f->past.fit;
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
    begin_with(f, fit);
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

/* The part's run is complete: it is to be sent. */
static void end_run(struct feed *f, struct feed_part *part)
{
    struct past_run **at = &f->past.ready, *w;
    if (part->run == NULL)
        return;
    w = mem_zalloc(sizeof *w);
    w->index = (uint32_t)(part - f->parts);
    w->last = elision_last(part->run);
    w->run = part->run;
    f->past.bytes -= elision_bytes(part->run);
    part->run = NULL;
    while (*at != NULL)
        at = &(*at)->next;
    *at = w;
}

/* Will the puller have this stamp once all that is ready has been sent? */
static bool will_know(const struct feed *f, const struct feed_part *part, stamp_t stamp)
{
    for (const struct past_run *w = f->past.ready; w != NULL; w = w->next)
        if (&f->parts[w->index] == part && stamp_actor(w->last) == stamp_actor(stamp) &&
            w->last >= stamp)
            return true;
    return context_covers(&part->known, stamp);
}

/* Appends some of the first run that is ready; when it is all, its frame. */
static void send_piece(struct feed *f, struct port *port)
{
    struct past_run *w = f->past.ready;
    struct feed_part *part = &f->parts[w->index];
    struct buf *room = &f->s->scratch, *out = feed_frames_begin(f, port);
    size_t bytes = f->s->config.slice_bytes ? f->s->config.slice_bytes : SLICE_BYTES;
    bool large = w->begun || elision_size(w->run) > bytes, sent = false, covered = false;
    if (!w->begun)
        elision_head(w->run, &w->frame);
    if (large && !w->begun)
        wire_put_large(out, elision_size(w->run));
    w->begun = true;
    buf_clear(room);
    bool more = elision_next(w->run, room, bytes);
    if (large)
        wire_put(out, WIRE_PIECE, buf_bytes(room));
    else
        w->frame.ops = buf_bytes(room);
    if (!more) {
        covered = context_covers(&part->known, w->frame.last);
        sent = feed_send_frame(f, out, &w->frame);
    }
    feed_frames_end(f, port);
    if (more)
        return;
    f->s->peers[f->puller.region].totals.ops_elided += elision_elided(w->run);
    if (!sent && !covered)
        has_gap(f, part);
    else
        drop_first(f);
}

static void end_largest(struct feed *f)
{
    struct feed_part *largest = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        struct feed_part *part = &f->parts[i];
        if (part->run != NULL &&
            (largest == NULL || elision_bytes(part->run) > elision_bytes(largest->run)))
            largest = part;
    }
    if (largest != NULL)
        end_run(f, largest);
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

static void make_room(struct feed *f)
{
    f->past.postpones = f->past.postpones || shall_postpone(f);
    if (!f->past.postpones || !postpone(f))
        end_largest(f);
}

static size_t run_max(const struct syncer *s)
{
    size_t wait_max = s->config.wait_max ? s->config.wait_max : WAIT_MAX;
    return wait_max / 2 < RUN_BYTES_MAX ? wait_max / 2 : RUN_BYTES_MAX;
}

static void add_to_run(struct feed *f, struct feed_part *part, const struct frame *frame)
{
    struct syncer *s = f->s;
    size_t max = s->config.elide_max ? s->config.elide_max : ELIDE_MAX;
    if (part->run != NULL && !elision_fits(part->run, frame))
        end_run(f, part);
    if (part->run == NULL && !will_know(f, part, frame->prev)) {
        has_gap(f, part);
        return;
    }
    if (part->run == NULL)
        part->run =
            elision_new((struct hash_key){.k0 = s->elision_key, .k1 = s->config.actor}, run_max(s));
    else
        f->past.bytes -= elision_bytes(part->run);
    uint64_t elided = elision_elided(part->run);
    bool good = elision_add(part->run, frame);
    f->past.bytes += elision_bytes(part->run);
    f->past.ops += frame->ops_count;
    f->past.elided += elision_elided(part->run) - elided;
    if (!good)
        has_gap(f, part);
    while (f->past.bytes > max)
        make_room(f);
}

static bool waits_for_next(const struct feed *f)
{
    for (uint32_t i = 0; f->past.postpones && i < f->count; i++)
        if (f->parts[i].later)
            return true;
    return false;
}

static void send_ready(struct feed *f, struct port *port, const struct share_slice *slice)
{
    uint64_t stop = f->sent + PAST_SENT;
    while (f->past.ready != NULL && f->sent < stop && !feed_blocked(f) && share_left(slice, port) &&
           port->ops->out(port, f->conn) != NULL)
        send_piece(f, port);
    buf_reuse(&f->s->scratch, SCRATCH_KEPT_MAX);
}

/* The disk has no more: what waits is sent; then the log's memory may reach back to it. */
static void end_reading(struct feed *f)
{
    bool served = false;
    uint32_t complete = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        complete += f->parts[i].run != NULL;
        end_run(f, &f->parts[i]);
    }
    if (f->past.postpones && complete > 0)
        f->past.fit = complete;
    if (f->past.ready != NULL)
        return;
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
    return f->behinds > 0 && f->past.ready == NULL &&
           ((f->past.asked && !f->past.more) || !a->ready(a->arg));
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
static void go_on(struct feed *f, struct port *port)
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
            end_reading(f);
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
    while (more && takes-- > 0 && f->past.ready == NULL && !feed_blocked(f) &&
           share_left(slice, port))
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
    send_ready(f, port, slice);
    if (f->past.asked)
        take_some(f, port, slice, now);
    if (f->past.ready != NULL || f->past.asked || f->behinds == 0)
        return;
    uint64_t since = f->past.since_us;
    if (f->past.seek || f->past.ticket == 0)
        seek_and_tell(f, port, now);
    if (f->behinds > 0)
        go_on(f, port);
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
    (void)port;
    if (f == NULL || frame->partition - f->first >= f->count)
        return;
    struct feed_part *part = &f->parts[frame->partition - f->first];
    if (!part->behind || part->later || !feeds_actor(f, part, stamp_actor(frame->last)) ||
        context_covers(&part->known, frame->last))
        return;
    if (copies_splits(f, port, frame))
        return;
    s->peers[f->puller.region].totals.ops_disk += frame->ops_count;
    add_to_run(f, part, frame);
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
    if (!good)
        serve_otherwise(f);
    else if (!f->past.postpones) /* else there will be another reading */
        s->archive.keep(s->archive.arg, ticket, next.segment);
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
