/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <zstd.h>

/*
 * From the log to the wire. A feed reads the log from its position and sends the frames that its
 * puller is to have and has not. Where the log does not reach, it sends the partition's state
 * instead, one partition at a time and between two of them the log, so that nothing waits long.
 */

size_t feed_send_max(const struct syncer *s)
{
    return s->config.send_max ? s->config.send_max : SEND_MAX;
}

bool feed_blocked(const struct feed *f) { return f->sent - f->acked >= feed_send_max(f->s); }

bool feeds_actor(const struct feed *f, const struct feed_part *part, uint32_t actor)
{
    return actor_region(actor) == f->s->config.region ||
           (part->relays.n > 0 && context_get(&part->relays, actor) != 0);
}

bool feed_lacks(const struct feed *f, uint32_t partition)
{
    const struct feed_part *part = &f->parts[partition - f->first];
    const struct context *floor = log_floor(shard_log(f->s->shard), partition);
    for (unsigned i = 0; i < floor->n; i++)
        if (feeds_actor(f, part, stamp_actor(floor->at[i])) &&
            !context_covers(&part->known, floor->at[i]))
            return true;
    return false;
}

void feeds_joined(struct syncer *s, uint32_t partition)
{
    for (struct feed *f = s->feeds; f != NULL; f = f->next) {
        uint32_t index = partition - f->first;
        if (f->conn != 0 && f->proven && index < f->count && f->parts[index].subscribed &&
            !f->parts[index].behind && feed_lacks(f, partition))
            feed_want(f, &f->parts[index]);
    }
}

/* The ring has dropped what had not been read yet. */
static void overrun(struct feed *f)
{
    f->pos = log_begin(shard_log(f->s->shard));
    for (uint32_t i = 0; i < f->count; i++)
        if (f->parts[i].subscribed && !f->parts[i].behind && feed_lacks(f, f->first + i))
            past_want(f, f->first + i);
}

/* ------------------------------------------------------------ frames */

bool feed_send_frame(struct feed *f, struct buf *out, const struct frame *frame)
{
    struct feed_part *part = &f->parts[frame->partition - f->first];
    if (!part->subscribed || part->want || !feeds_actor(f, part, stamp_actor(frame->last)) ||
        context_covers(&part->known, frame->last))
        return false;
    if (!context_covers(&part->known, frame->prev)) {
        part->forced = true; /* what lies between came here as a state */
        feed_want(f, part);
        return false;
    }
    wire_put_frame(out, &f->coder, frame);
    f->unmarked = true;
    context_raise(&part->known, frame->last);
    struct link_stats *stats = &f->s->peers[f->puller.region].totals;
    stats->frames_out++;
    stats->ops_out += frame->ops_count;
    return true;
}

/* Batches are compressed one by one: each is small, and a lost link leaves no state behind. */
static void flush_batch(struct feed *f, struct buf *out)
{
    struct syncer *s = f->s;
    size_t n = buf_len(&s->batch);
    if (n < 256 || n > WIRE_BATCH_MAX) {
        buf_put_bytes(out, buf_bytes(&s->batch));
        return;
    }
    struct buf *body = &s->scratch;
    buf_clear(body);
    wire_put_varint(body, n);
    size_t room = ZSTD_compressBound(n);
    size_t got = ZSTD_compress(buf_reserve(body, room), room, s->batch.p + s->batch.head, n,
                               (int)s->config.compression);
    if (ZSTD_isError(got)) {
        buf_put_bytes(out, buf_bytes(&s->batch));
        return;
    }
    buf_added(body, got);
    wire_put(out, WIRE_BATCH, buf_bytes(body));
}

struct buf *feed_frames_begin(struct feed *f, struct port *port)
{
    struct buf *wire = port->ops->out(port, f->conn);
    if (wire == NULL)
        return NULL;
    f->wire_before = buf_len(wire);
    return f->s->config.compression > 0 ? &f->s->batch : wire;
}

void feed_frames_end(struct feed *f, struct port *port)
{
    struct syncer *s = f->s;
    struct buf *wire = port->ops->out(port, f->conn);
    if (s->config.compression > 0)
        flush_batch(f, wire);
    buf_reuse(&s->batch, SCRATCH_KEPT_MAX);
    f->sent += buf_len(wire) - f->wire_before;
    s->peers[f->puller.region].totals.bytes_out += buf_len(wire) - f->wire_before;
}

/* Up to where in the log peers may get it. */
static uint64_t limit_of(const struct syncer *s)
{
    return s->limit != NULL ? s->limit(s->limit_arg) : UINT64_MAX;
}

/* Reads on in the log, within a turn's share. True when its end, or that of what peers may get, was
 * reached. */
static bool send_frames(struct feed *f, struct port *port)
{
    struct syncer *s = f->s;
    struct log *log = shard_log(s->shard);
    struct buf *out = feed_frames_begin(f, port);
    if (out == NULL)
        return false;
    if (f->pos < log_begin(log))
        overrun(f);
    size_t start = buf_len(out);
    size_t room = feed_send_max(s) - (f->sent - f->acked);
    size_t most = s->config.compression > 0 ? PUMP_PACKED_BYTES : PUMP_BYTES;
    if (room > most)
        room = most;
    struct share_slice slice = {0};
    bool end = false, bulk = false;
    uint64_t limit = limit_of(s);
    struct frame frame;
    for (unsigned n = 0; n < PUMP_FRAMES && buf_len(out) - start < room; n++) {
        if (n == PUMP_AT_ONCE) {
            slice = share_begin(s->share, port);
            bulk = true;
        }
        if (bulk && n % 64 == 0 && !share_left(&slice, port))
            break;
        if (f->pos >= limit || !log_read(log, &f->pos, &frame)) {
            end = true;
            break;
        }
        if (frame.partition - f->first >= f->count || f->parts[frame.partition - f->first].behind)
            continue;
        if (copies_splits(f, port, &frame))
            break;
        feed_send_frame(f, out, &frame);
    }
    feed_frames_end(f, port);
    return end;
}

/* ------------------------------------------------------------ states */

static void begin_transfer(struct feed *f, struct port *port, uint32_t index, struct moment now)
{
    struct syncer *s = f->s;
    struct feed_part *part = &f->parts[index];
    uint32_t partition = f->first + index;
    const struct context *ours = shard_context(s->shard, partition);
    part->want = false;
    f->wants--;
    /* meanwhile it may have got it elsewhere */
    if (!part->forced && context_le(ours, &part->known))
        return;
    if (!part->forced && !part->whole && !feed_lacks(f, partition)) {
        f->pos = log_begin(shard_log(s->shard));
        return;
    }
    part->forced = part->whole = false;
    f->transfer = transfer_begin(s->shard, partition, now);
    f->transfer_partition = partition;
    f->transfer_pos = log_end(shard_log(s->shard));
    struct buf *body = &s->scratch;
    buf_clear(body);
    mp_put_uint(body, partition);
    wire_put_digest(body, shard_digest(s->shard, partition));
    context_encode(body, transfer_context(f->transfer));
    feed_put(f, port, WIRE_TRANSFER, buf_bytes(body));
    s->peers[f->puller.region].totals.transfers_out++;
}

static void end_transfer(struct feed *f, struct port *port)
{
    struct syncer *s = f->s;
    context_join(&f->parts[f->transfer_partition - f->first].known, transfer_context(f->transfer));
    transfer_end(f->transfer);
    f->transfer = NULL;
    buf_clear(&s->scratch);
    mp_put_uint(&s->scratch, f->transfer_partition);
    feed_put(f, port, WIRE_JOIN, buf_bytes(&s->scratch));
}

/* Sends slices of the state under way until the turn's share is used up. */
static void send_slices(struct feed *f, struct port *port)
{
    struct buf *bytes = &f->s->scratch;
    size_t slice_bytes = f->s->config.slice_bytes ? f->s->config.slice_bytes : SLICE_BYTES;
    uint64_t stop = f->sent + PUMP_SLICES * slice_bytes;
    struct share_slice slice = share_begin(f->s->share, port);
    bool more = true;
    if (f->transfer_pos > limit_of(f->s))
        return; /* syncer_durable brings us back */
    while (more && f->sent < stop && !feed_blocked(f) && share_left(&slice, port)) {
        buf_clear(bytes);
        more = transfer_next(f->transfer, bytes, slice_bytes);
        if (buf_len(bytes) > 0)
            feed_put(f, port, WIRE_SLICE, buf_bytes(bytes));
    }
    buf_reuse(bytes, SCRATCH_KEPT_MAX); /* it holds at least one whole item */
    f->unmarked = true;
    if (!more)
        end_transfer(f, port);
}

/* The puller is too slow for the rate at which the partition changes: begin again when it is ready.
 */
static void limit_transfer(struct feed *f)
{
    if (f->transfer == NULL || transfer_buffered(f->transfer) <= TRANSFER_HELD_MAX)
        return;
    transfer_end(f->transfer);
    f->transfer = NULL;
    struct feed_part *part = &f->parts[f->transfer_partition - f->first];
    part->forced = true;
    feed_want(f, part);
}

static void next_transfer(struct feed *f, struct port *port, struct moment now)
{
    for (uint32_t i = 0; f->wants > 0 && f->transfer == NULL && i < f->count; i++)
        if (f->parts[i].want)
            begin_transfer(f, port, i, now);
}

/* ------------------------------------------------------------ the end of a turn */

/* Once the puller took `sent` bytes it has all operations made here so far. */
static void push_mark(struct feed *f)
{
    struct syncer *s = f->s;
    unsigned newest = (f->marks_at + f->marks_n) % FEED_MARKS;
    if (f->marks[newest].ops == s->ops_own)
        return;
    if (f->marks_n + 1 < FEED_MARKS) {
        newest = (newest + 1) % FEED_MARKS;
        f->marks_n++;
        f->marks[newest].at_us = f->late_us;
    }
    f->marks[newest].ops = s->ops_own;
    f->marks[newest].sent = f->sent;
    f->late_us = 0;
    feed_acked(f);
}

bool feed_stale_changed(const struct feed *f) { return f->stale_sent == f->s->caught_up; }

void feed_send_mark(struct feed *f, struct port *port, bool all, struct moment now)
{
    uint8_t flags = (uint8_t)((f->s->caught_up ? 0 : WIRE_MARK_STALE) | (all ? WIRE_MARK_ALL : 0));
    feed_put(f, port, WIRE_MARK, bytes_of(&flags, 1));
    f->unmarked = false;
    f->stale_sent = !f->s->caught_up;
    f->sent_us = now.mono_us;
}

/* Whatever is left to send has to be synced or read first; the disk's answer brings us back. */
static bool waits_for_disk(const struct feed *f, bool served)
{
    if (f->transfer != NULL)
        return f->transfer_pos > limit_of(f->s);
    return served && (f->behinds == 0 || past_waits(f));
}

void feed_pump(struct feed *f, struct port *port, struct moment now)
{
    struct syncer *s = f->s;
    if (f->conn == 0 || !f->proven || s->copy == COPY_SPLIT ||
        port->ops->out(port, f->conn) == NULL)
        return;
    if (f->late_us == 0 && f->marks[(f->marks_at + f->marks_n) % FEED_MARKS].ops != s->ops_own)
        f->late_us = now.mono_us;
    limit_transfer(f);
    if (f->held || feed_blocked(f))
        return; /* an acknowledgement brings us back */
    if (f->claim_now) {
        claims_send_news(f, port);
        claims_send(f, port);
        f->claim_now = false;
    }
    bool end = false;
    if (f->waits) {
        if (feed_stale_changed(f) || now.mono_us >= f->sent_us + HEARTBEAT)
            feed_send_mark(f, port, false, now);
        return;
    }
    if (f->transfer != NULL)
        send_slices(f, port);
    if (f->transfer == NULL && !feed_blocked(f)) {
        end = send_frames(f, port);
        next_transfer(f, port, now);
    }
    if (f->behinds > 0 && !feed_blocked(f))
        past_pump(f, port, now);
    bool served = end && f->transfer == NULL && f->wants == 0;
    bool all = served && f->behinds == 0 && limit_of(s) >= log_end(shard_log(s->shard));
    if (all)
        push_mark(f);
    else if (!feed_blocked(f) && !waits_for_disk(f, served))
        s->turn_us = 0; /* the rest in the next turn */
    if ((f->unmarked && all) || feed_stale_changed(f) || now.mono_us >= f->sent_us + HEARTBEAT)
        feed_send_mark(f, port, all, now);
}
