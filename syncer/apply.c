/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <stdio.h>
#include <zstd.h>

/* What arrives on a connection on which we pull: frames, claims, news and states are taken in. */

enum outcome {
    OUT_NEXT, /* the message is done with */
    OUT_HELD, /* it stays where it is until the link is released */
    OUT_ENDED /* the connection is gone */
};

static enum outcome bad(struct pull *p, struct port *port, struct moment now, const char *what)
{
    char line[128];
    snprintf(line, sizeof line, "the peer sent a malformed %s: run the same release on both sides",
             what);
    pull_fail(p, port, now, line);
    return OUT_ENDED;
}

/* ------------------------------------------------------------ clocks */

/* Stops listening until the clocks are mended; nothing is dropped. */
static void quarantine(struct pull *p, struct port *port, stamp_t stamp, struct moment now)
{
    struct peer *peer = p->peer;
    int64_t ahead = stamp_wall_ms(stamp) - now.wall_ms;
    snprintf(peer->totals.error, sizeof peer->totals.error,
             "clock out of bounds: region %u stamps %lld ms ahead of ours: synchronise the clocks",
             actor_region(stamp_actor(stamp)), (long long)ahead);
    if (!p->quarantined)
        port_log(port, 'E', "link from region %u is held: %s", peer->region, peer->totals.error);
    p->quarantined = true;
    p->ahead = stamp;
    p->try_us = now.mono_us + SECOND;
    port->ops->pause(port, p->conn, true);
}

static void release(struct pull *p, struct port *port)
{
    p->quarantined = false;
    p->peer->totals.error[0] = 0;
    port_log(port, 'I', "link from region %u: clocks are within bounds again", p->peer->region);
    port->ops->pause(port, p->conn, pull_held(p));
}

/* ------------------------------------------------------------ frames */

static enum outcome apply_frame(struct pull *p, struct port *port, const struct frame *f,
                                struct moment now)
{
    struct syncer *s = p->peer->s;
    struct pull_part *part = &p->parts[f->partition - p->first];
    bool direct = stamp_actor(f->last) == p->actor;
    switch (syncer_take(s, f, direct, now)) {
    case TAKEN_DONE:
        ack_touch(p, f->partition);
        if (s->waiting_frames > 0)
            wait_retry(s, f->partition, now);
        break;
    case TAKEN_COVERED:
        break;
    case TAKEN_WAITS:
        /* after a gap there is no point in keeping what can only wait for the gap to be filled */
        if (part->gap || !wait_add(s, f, direct, p->peer->region))
            part->gap = true;
        break;
    case TAKEN_BASELESS:
        part->gap = part->baseless = true;
        break;
    case TAKEN_FENCED:
        part->gap = true; /* until the reports say how far its writer got */
        break;
    case TAKEN_BAD:
        p->distrusted = true;
        return bad(p, port, now, "operation");
    }
    s->dirty = true;
    return OUT_NEXT;
}

static enum outcome take_frame(struct pull *p, struct port *port, uint8_t kind, struct bytes body,
                               struct moment now)
{
    struct frame f;
    if (!wire_get_frame(&p->coder, kind, body, &f))
        return bad(p, port, now, "frame");
    p->all = false;
    p->peer->totals.frames_in++;
    p->peer->totals.ops_in += f.ops_count;
    if (syncer_drifts(p->peer->s, f.last, now)) {
        p->stuck = waiting_new(&f, false, p->peer->region);
        quarantine(p, port, f.last, now);
        return OUT_NEXT;
    }
    return apply_frame(p, port, &f, now);
}

/* ------------------------------------------------------------ states */

static enum outcome take_transfer(struct pull *p, struct port *port, struct bytes body,
                                  struct moment now)
{
    struct stage *stage = &p->stage;
    struct mp m = mp_read(body);
    uint64_t partition = mp_uint(&m);
    struct hash128 digest = wire_get_digest(&m);
    bool good = context_decode(&m, &stage->context) && mp_done(&m);
    if (!good || partition - p->first >= p->count)
        return bad(p, port, now, "state");
    for (unsigned i = 0; i < stage->context.n; i++) {
        if (!syncer_drifts(p->peer->s, stage->context.at[i], now))
            continue;
        quarantine(p, port, stage->context.at[i], now);
        return OUT_HELD;
    }
    stage->active = true;
    stage->partition = (uint32_t)partition;
    stage->digest = digest;
    buf_clear(&stage->bytes);
    p->all = false;
    return OUT_NEXT;
}

static enum outcome take_slice(struct pull *p, struct port *port, struct bytes body,
                               struct moment now)
{
    struct syncer *s = p->peer->s;
    size_t max = s->config.transfer_max ? s->config.transfer_max : TRANSFER_MAX;
    if (!p->stage.active)
        return bad(p, port, now, "state");
    if (body.n > max || buf_len(&p->stage.bytes) > max - body.n) {
        p->distrusted = true;
        pull_fail(p, port, now,
                  "the state of one partition is larger than the limit: use more "
                  "partitions, or raise the limit");
        return OUT_ENDED;
    }
    buf_put_bytes(&p->stage.bytes, body);
    return OUT_NEXT;
}

/* Equal contexts must give equal digests: the proof of convergence. */
static void check_digest(struct pull *p, struct port *port)
{
    struct syncer *s = p->peer->s;
    const struct stage *stage = &p->stage;
    if (context_eq(shard_context(s->shard, stage->partition), &stage->context) &&
        !hash128_eq(shard_digest(s->shard, stage->partition), stage->digest))
        port_log(port, 'E', "partition %u differs from region %u's at the same context",
                 stage->partition, p->peer->region);
}

static enum outcome take_join(struct pull *p, struct port *port, struct bytes body,
                              struct moment now)
{
    struct syncer *s = p->peer->s;
    struct stage *stage = &p->stage;
    struct mp m = mp_read(body);
    uint64_t partition = mp_uint(&m);
    if (!mp_done(&m) || !stage->active || partition != stage->partition)
        return bad(p, port, now, "state");
    stage->active = false;
    if (!syncer_may_join(s, stage->partition, &stage->context)) {
        p->parts[partition - p->first].gap = true; /* ask again when the reports are here */
    } else if (!shard_join(s->shard, stage->partition, buf_bytes(&stage->bytes), &stage->context,
                           now)) {
        p->distrusted = true;
        return bad(p, port, now, "state");
    } else {
        p->peer->totals.transfers_in++;
        check_digest(p, port);
        feeds_joined(s, stage->partition);
        wait_retry(s, stage->partition, now);
    }
    buf_deinit(&stage->bytes);
    s->dirty = true;
    return OUT_NEXT;
}

/* ------------------------------------------------------------ messages */

static enum outcome take_mark(struct pull *p, struct port *port, struct bytes body,
                              struct moment now)
{
    struct syncer *s = p->peer->s;
    struct mp m = mp_read(body);
    uint64_t flags = mp_uint(&m);
    if (!mp_done(&m))
        return bad(p, port, now, "mark");
    bool stale = flags & WIRE_MARK_STALE;
    s->dirty |= stale != p->stale;
    p->stale = stale;
    p->all = flags & WIRE_MARK_ALL;
    if (p->all) {
        p->failures = 0;
        p->distrusted = false;
        p->peer->synced_us = now.mono_us;
        p->peer->totals.error[0] = 0;
    }
    return OUT_NEXT;
}

static enum outcome take_message(struct pull *p, struct port *port, uint8_t kind, struct bytes body,
                                 struct moment now)
{
    if (kind >= WIRE_FRAME)
        return take_frame(p, port, kind, body, now);
    switch (kind) {
    case WIRE_REFUSE:
        pull_refused(p, port, body, now);
        return OUT_ENDED;
    case WIRE_MARK:
        return take_mark(p, port, body, now);
    case WIRE_CLAIM:
        return claims_take(p, body) ? OUT_NEXT : bad(p, port, now, "claim");
    case WIRE_NEWS:
        if (!claims_take_news(p, port, body, now))
            return bad(p, port, now, "report");
        return p->conn != 0 ? OUT_NEXT : OUT_ENDED;
    case WIRE_TRANSFER:
        return take_transfer(p, port, body, now);
    case WIRE_SLICE:
        return take_slice(p, port, body, now);
    case WIRE_JOIN:
        return take_join(p, port, body, now);
    case WIRE_VERIFIED:
        return verify_taken(p, port, body) ? OUT_NEXT : bad(p, port, now, "comparison");
    case WIRE_RECALL:
        return catchup_recalled(p, port, body) ? OUT_NEXT : bad(p, port, now, "recollection");
    case WIRE_PUBLISH:
        return messages_take(p, body) ? OUT_NEXT : bad(p, port, now, "message of a client");
    default:
        return bad(p, port, now, "message");
    }
}

/* Puts a batch's messages in front of what followed it. */
static bool inflate(struct pull *p, struct bytes body, struct bytes rest)
{
    uint64_t size = 0;
    size_t at = 0;
    for (unsigned shift = 0; at < body.n && shift < 35; shift += 7) {
        size |= (uint64_t)(body.p[at] & 0x7f) << shift;
        if (body.p[at++] < 0x80)
            break;
    }
    if (size == 0 || size > WIRE_BATCH_MAX || p->inflated > 0)
        return false;
    struct buf in = {0};
    uint8_t *to = buf_reserve(&in, (size_t)size + rest.n);
    if (ZSTD_decompress(to, (size_t)size, body.p + at, body.n - at) != size) {
        buf_deinit(&in);
        return false;
    }
    buf_added(&in, (size_t)size);
    buf_put_bytes(&in, rest);
    buf_deinit(&p->in);
    p->in = in;
    p->inflated = (size_t)size;
    return true;
}

/* Counts `n` bytes as taken; what came out of a batch was counted with it. False: a message that
 * reaches out of its batch. */
static bool count_taken(struct pull *p, size_t n)
{
    if (p->inflated == 0)
        p->received += n;
    else if (n > p->inflated)
        return false;
    else
        p->inflated -= n;
    return true;
}

/* ------------------------------------------------------------ looking ahead */

#define AHEAD 32u

struct ahead {
    unsigned n;
    uint32_t slot[AHEAD];
    uint64_t hash[AHEAD];
};

/* Finds the keys of a frame's operations. */
static void look_at(const struct syncer *s, struct bytes ops, struct ahead *a)
{
    struct mp m = mp_read(ops);
    while (a->n < AHEAD && m.p < m.end) {
        uint32_t elements = mp_array(&m); /* [stamp, kind, key, ...]: see crdt/op.h */
        if (elements < 3)
            return;
        mp_uint(&m);
        mp_uint(&m);
        struct bytes key = mp_bin(&m);
        for (; elements > 3; elements--)
            mp_skip(&m);
        if (m.bad)
            return;
        uint32_t slot = hash_slot(key);
        if (!syncer_owns(s, slot_partition(slot, s->config.partitions)))
            return;
        a->slot[a->n] = slot;
        a->hash[a->n] = shard_hash(s->shard, key);
        a->n++;
    }
}

/* A remote write costs mostly the misses of its key's cache lines. The next frames' keys are looked
 * up together, so that their misses overlap. Returns how far it looked. */
static size_t look_ahead(const struct syncer *s, struct bytes data, size_t at)
{
    struct ahead a = {.n = 0};
    uint8_t kind;
    struct bytes body;
    size_t used;
    while (a.n < AHEAD &&
           wire_get(bytes_of(data.p + at, data.n - at), &kind, &body, &used) == WIRE_OK) {
        if (kind >= WIRE_FRAME)
            look_at(s, wire_peek_ops(kind, body), &a);
        else if (kind == WIRE_BATCH)
            break;
        at += used;
    }
    for (unsigned i = 0; i < a.n; i++)
        shard_prefetch(s->shard, a.slot[i], a.hash[i]);
    for (unsigned i = 0; i < a.n; i++)
        shard_prefetch_item(s->shard, a.slot[i], a.hash[i]);
    return at;
}

/* Takes whole messages off the front; returns how many bytes they had. *again: `in` was replaced.
 */
static size_t take_messages(struct pull *p, struct port *port, struct bytes data, struct moment now,
                            bool *again)
{
    size_t done = 0, looked = 0;
    *again = false;
    while (!pull_held(p)) {
        if (done >= looked)
            looked = look_ahead(p->peer->s, data, done);
        uint8_t kind;
        struct bytes body;
        size_t used;
        enum wire_result r = wire_get(bytes_of(data.p + done, data.n - done), &kind, &body, &used);
        if (r == WIRE_MORE)
            break;
        if (r == WIRE_BAD) {
            bad(p, port, now, "message");
            break;
        }
        if (kind == WIRE_BATCH) {
            size_t next = done + used;
            if (!inflate(p, body, bytes_of(data.p + next, data.n - next))) {
                bad(p, port, now, "batch");
                break;
            }
            p->received += used;
            *again = true;
            break;
        }
        enum outcome out = take_message(p, port, kind, body, now);
        if (out != OUT_NEXT)
            break;
        if (!count_taken(p, used)) {
            bad(p, port, now, "batch");
            break;
        }
        done += used;
    }
    return done;
}

/* The frame or state that was held for its clock first. False: still held. */
static bool retry_stuck(struct pull *p, struct port *port, struct moment now)
{
    if (!p->quarantined)
        return true;
    struct waiting *w = p->stuck;
    if (syncer_drifts(p->peer->s, p->ahead, now)) {
        quarantine(p, port, p->ahead, now);
        return false;
    }
    p->stuck = NULL;
    release(p, port);
    bool on = w == NULL || apply_frame(p, port, &w->frame, now) != OUT_ENDED;
    mem_free(w);
    return on;
}

void pull_receive(struct pull *p, struct port *port, struct bytes data, struct moment now)
{
    if (p->paused || !(data.n > 0 || buf_len(&p->in) > 0 || p->stuck != NULL || p->quarantined)) {
        buf_put_bytes(&p->in, data);
        return;
    }
    if (data.n > 0 && p->quarantined) {
        buf_put_bytes(&p->in, data); /* read before the pause took effect */
        return;
    }
    if (!retry_stuck(p, port, now))
        return;
    bool again = true;
    while (again && p->conn != 0) {
        bool kept = buf_len(&p->in) > 0;
        if (kept) {
            buf_put_bytes(&p->in, data);
            data = buf_bytes(&p->in);
        }
        size_t done = take_messages(p, port, data, now, &again);
        if (p->conn == 0)
            return;
        if (!again && kept)
            buf_consume(&p->in, done);
        else if (!again)
            buf_put(&p->in, data.p + done, data.n - done);
        data = bytes_of(NULL, 0);
    }
    if (buf_len(&p->in) == 0 && p->in.cap > PUMP_BYTES)
        buf_deinit(&p->in);
}
