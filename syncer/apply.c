/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <stdio.h>

/* What a message on a connection on which we pull does: frames, claims, news and states are taken
 * in. */

enum outcome pull_bad(struct pull *p, struct port *port, struct moment now, const char *what)
{
    char line[128];
    snprintf(line, sizeof line, "the peer sent a malformed %s: run the same release on both sides",
             what);
    pull_fail(p, port, now, line);
    return OUT_ENDED;
}

/* ------------------------------------------------------------ clocks */

/* Stops listening until the clocks are mended; nothing is dropped. */
void pull_quarantine(struct pull *p, struct port *port, stamp_t stamp, struct moment now)
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

void pull_release(struct pull *p, struct port *port)
{
    p->quarantined = false;
    p->peer->totals.error[0] = 0;
    port_log(port, 'I', "link from region %u: clocks are within bounds again", p->peer->region);
    pull_listen(p, port);
}

/* ------------------------------------------------------------ frames */

enum outcome pull_took(struct pull *p, struct port *port, uint32_t partition, enum taken took,
                       struct moment now)
{
    struct syncer *s = p->peer->s;
    struct pull_part *part = &p->parts[partition - p->first];
    s->dirty = true;
    switch (took) {
    case TAKEN_DONE:
        ack_touch(p, partition);
        break;
    case TAKEN_COVERED:
    case TAKEN_POURS:
        break;
    case TAKEN_BASELESS:
        part->gap = part->baseless = true;
        break;
    case TAKEN_WAITS:
    case TAKEN_FENCED:
        part->gap = true; /* until the reports say how far its writer got */
        break;
    case TAKEN_BAD:
        p->distrusted = true;
        return pull_bad(p, port, now, "operation");
    }
    return OUT_NEXT;
}

enum outcome pull_apply(struct pull *p, struct port *port, const struct frame *f, struct buf *ops,
                        struct moment now)
{
    struct syncer *s = p->peer->s;
    bool direct = stamp_actor(f->last) == life_actor(p->life);
    enum taken took = syncer_pour(s, f, ops, p, now);
    /* after a gap there is no point in keeping what can only wait for the gap to be filled */
    if (took == TAKEN_WAITS && !p->parts[f->partition - p->first].gap &&
        wait_add(s, f, direct, p->peer->region)) {
        s->dirty = true;
        return OUT_NEXT;
    }
    enum outcome out = pull_took(p, port, f->partition, took, now);
    if (took == TAKEN_DONE && s->waiting_frames > 0)
        wait_retry(s, f->partition, now);
    return out;
}

static enum outcome take_frame(struct pull *p, struct port *port, uint8_t kind, struct bytes body,
                               struct moment now)
{
    struct frame f;
    bool ahead = kind & WIRE_AHEAD;
    if (!wire_get_frame(&p->coder, kind, body, &f))
        return pull_bad(p, port, now, "frame");
    if (ahead) {
        f.ops = buf_bytes(&p->pieces.bytes);
        if (!p->pieces.active || f.ops_count > f.ops.n)
            return pull_bad(p, port, now, "frame in pieces");
    }
    p->all = false;
    p->peer->totals.frames_in++;
    p->peer->totals.ops_in += f.ops_count;
    if (syncer_drifts(p->peer->s, f.last, now)) {
        p->stuck = waiting_new(&f, false, p->peer->region);
        pull_quarantine(p, port, f.last, now);
        return OUT_NEXT;
    }
    enum outcome out = pull_apply(p, port, &f, ahead ? &p->pieces.bytes : NULL, now);
    if (ahead) {
        p->pieces.active = false;
        buf_reuse(&p->pieces.bytes, 0);
    }
    return out;
}

/* Operations of a frame to come, as many bytes as were announced at most. */
static enum outcome take_large(struct pull *p, struct port *port, struct bytes body,
                               struct moment now)
{
    struct pieces *pieces = &p->pieces;
    uint64_t max;
    if (!wire_get_large(body, &max))
        return pull_bad(p, port, now, "announcement");
    *pieces = (struct pieces){.active = true, .max = (size_t)max, .bytes = pieces->bytes};
    buf_clear(&pieces->bytes);
    buf_reserve(&pieces->bytes, pieces->max);
    p->all = false;
    return OUT_NEXT;
}

static enum outcome take_piece(struct pull *p, struct port *port, struct bytes body,
                               struct moment now)
{
    struct pieces *pieces = &p->pieces;
    if (!pieces->active || body.n > pieces->max)
        return pull_bad(p, port, now, "piece");
    pieces->max -= body.n;
#ifdef MUTANT_last_piece_only
    buf_clear(&pieces->bytes);
#endif
    buf_put_bytes(&pieces->bytes, body);
    return OUT_NEXT;
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
        return pull_bad(p, port, now, "state");
    for (unsigned i = 0; i < stage->context.n; i++) {
        if (!syncer_drifts(p->peer->s, stage->context.at[i], now))
            continue;
        pull_quarantine(p, port, stage->context.at[i], now);
        return OUT_HELD;
    }
    stage->active = true;
    stage->partition = (uint32_t)partition;
    stage->digest = digest;
    stage->unproven = false;
    joiner_free(stage->joiner);
    stage->joiner = joiner_new(p->peer->s->shard, stage->partition);
    p->all = false;
    return OUT_NEXT;
}

static enum outcome take_slice(struct pull *p, struct port *port, struct bytes body,
                               struct moment now)
{
    struct syncer *s = p->peer->s;
    size_t max = s->config.transfer_max ? s->config.transfer_max : TRANSFER_MAX;
    if (!p->stage.active)
        return pull_bad(p, port, now, "state");
    if (body.n > max || joiner_bytes(p->stage.joiner) > max - body.n) {
        p->distrusted = true;
        pull_fail(p, port, now,
                  "the state of one partition is larger than the limit: use more "
                  "partitions, or raise the limit");
        return OUT_ENDED;
    }
    if (!joiner_add(p->stage.joiner, body)) {
        p->distrusted = true;
        return pull_bad(p, port, now, "state");
    }
    return OUT_NEXT;
}

/* Equal contexts must give equal digests: the proof of convergence, once all keys are joined. */
void pull_prove(struct pull *p, struct port *port)
{
    struct syncer *s = p->peer->s;
    struct stage *stage = &p->stage;
    if (!stage->unproven || shard_is_joining(s->shard, stage->partition))
        return;
    stage->unproven = false;
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
        return pull_bad(p, port, now, "state");
    struct joiner *joiner = stage->joiner;
    stage->active = false;
    stage->joiner = NULL;
    if (!syncer_may_join(s, stage->partition, &stage->context)) {
        p->parts[partition - p->first].gap = true; /* ask again when the reports are here */
        joiner_free(joiner);
    } else if (!joiner_join(joiner, &stage->context, now)) {
        p->distrusted = true;
        return pull_bad(p, port, now, "state");
    } else {
        p->peer->totals.transfers_in++;
        stage->unproven = true;
        pull_prove(p, port);
        feeds_joined(s, stage->partition);
        wait_retry(s, stage->partition, now);
    }
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
        return pull_bad(p, port, now, "mark");
    bool stale = flags & WIRE_MARK_STALE;
    s->dirty |= stale != p->stale;
    p->stale = stale;
    p->all = flags & WIRE_MARK_ALL;
    if (p->all) {
        p->pieces.active = false; /* of a frame that was given up for a state */
        buf_deinit(&p->pieces.bytes);
        p->failures = 0;
        p->distrusted = false;
        p->peer->synced_us = now.mono_us;
        p->peer->totals.error[0] = 0;
    }
    return OUT_NEXT;
}

enum outcome pull_take(struct pull *p, struct port *port, uint8_t kind, struct bytes body,
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
        return claims_take(p, port, body) ? OUT_NEXT : pull_bad(p, port, now, "claim");
    case WIRE_NEWS:
        if (!claims_take_news(p, port, body, now))
            return pull_bad(p, port, now, "report");
        return p->conn != 0 ? OUT_NEXT : OUT_ENDED;
    case WIRE_LARGE:
        return take_large(p, port, body, now);
    case WIRE_PIECE:
        return take_piece(p, port, body, now);
    case WIRE_TRANSFER:
        return take_transfer(p, port, body, now);
    case WIRE_SLICE:
        return take_slice(p, port, body, now);
    case WIRE_JOIN:
        return take_join(p, port, body, now);
    case WIRE_VERIFIED:
        return verify_taken(p, port, body) ? OUT_NEXT : pull_bad(p, port, now, "comparison");
    case WIRE_RECALL:
        return catchup_recalled(p, port, body) ? OUT_NEXT : pull_bad(p, port, now, "recollection");
    case WIRE_TARGET:
        return catchup_target(p, port, body) ? OUT_NEXT : pull_bad(p, port, now, "target");
    case WIRE_PUBLISH:
        return messages_take(p, body) ? OUT_NEXT : pull_bad(p, port, now, "message of a client");
    default:
        return pull_bad(p, port, now, "message");
    }
}
