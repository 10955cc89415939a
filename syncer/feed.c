/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <stdio.h>

/* A connection on which a peer region pulls from us: its opening, and what the puller says. What is
 * sent is pump.c's. */

static void feed_step(struct conn_owner *self, struct port *port, const struct event *ev);

void feed_put(struct feed *f, struct port *port, uint8_t kind, struct bytes body)
{
    struct buf *out = port->ops->out(port, f->conn);
    if (out == NULL)
        return;
    size_t before = buf_len(out);
    wire_put(out, kind, body);
    f->sent += buf_len(out) - before;
    f->s->peers[f->puller.region].totals.bytes_out += buf_len(out) - before;
}

/* Forgets the marks that the puller has passed; what lies behind the last of them is its lag. */
void feed_acked(struct feed *f)
{
    while (f->marks_n > 0) {
        unsigned next = (f->marks_at + 1) % FEED_MARKS;
        if (f->marks[next].sent > f->acked)
            break;
        f->marks_at = next;
        f->marks_n--;
    }
}

uint64_t feed_behind_us(const struct feed *f)
{
    return f->marks_n > 0 ? f->marks[(f->marks_at + 1) % FEED_MARKS].at_us : f->late_us;
}

/* The connection is gone; the peer's lag goes on from where it was. */
static void feed_ended(struct feed *f)
{
    struct peer *peer = &f->s->peers[f->puller.region];
    f->conn = 0;
    if (f->transfer != NULL)
        transfer_end(f->transfer);
    f->transfer = NULL;
    past_end(f);
    if (f->proven) {
        peer->acked_ops = f->marks[f->marks_at].ops;
        peer->behind_us = feed_behind_us(f);
    }
}

void feed_close(struct feed *f, struct port *port, const char *why)
{
    if (f->conn == 0)
        return;
    if (why != NULL)
        port_log(port, 'W', "link to region %u is down: %s", f->puller.region, why);
    port->ops->close(port, f->conn, false);
    feed_ended(f);
}

void feed_free(struct feed *f)
{
    if (f->transfer != NULL)
        transfer_end(f->transfer);
    for (uint32_t i = 0; f->parts != NULL && i < f->count; i++) {
        context_deinit(&f->parts[i].known);
        context_deinit(&f->parts[i].acked);
        context_deinit(&f->parts[i].claimed);
        context_deinit(&f->parts[i].relays);
        elision_free(f->parts[i].run);
    }
    mem_free(f->parts);
    wire_coder_deinit(&f->coder);
    buf_deinit(&f->in);
    mem_free(f);
}

/* ------------------------------------------------------------ opening */

/* Why a puller is turned away; ERR_OK: it is not. */
static enum err hello_fault(const struct syncer *s, const struct wire_hello *h, char *text,
                            size_t size)
{
    const struct syncer_config *config = &s->config;
    if (h->protocol != SYNCER_PROTOCOL) {
        snprintf(text, size, "link protocol %u is not spoken here (%u is): run the same release",
                 h->protocol, SYNCER_PROTOCOL);
        return ERR_VERSION;
    }
    if (strcmp(h->guid, config->guid) != 0) {
        snprintf(text, size, "no geo-distributed database %s here", h->guid);
        return ERR_NOT_FOUND;
    }
    if (h->region == config->region) {
        snprintf(text, size, "region %u is this region itself: correct its address", h->region);
        return ERR_CONFIG;
    }
    if (s->peers[h->region].member) {
        if (h->partitions != config->partitions) {
            snprintf(text, size, "%u partitions there, %u here", h->partitions, config->partitions);
            return ERR_CONFIG;
        }
        if (!syncer_owns(s, h->first)) {
            snprintf(text, size, "partition %u is not served by this shard", h->first);
            return ERR_BUSY;
        }
        return ERR_OK;
    }
    if (s->removed >> h->region & 1 || h->version < config->version) {
        snprintf(text, size,
                 "region %u was removed from this database by configuration version %llu: it can "
                 "only rejoin as new",
                 h->region, (unsigned long long)config->version);
        return ERR_STOPPED;
    }
    snprintf(text, size, "region %u is not known here yet: configuration version %llu", h->region,
             (unsigned long long)config->version);
    return ERR_BUSY;
}

static void refuse(struct port *port, conn_id conn, enum err why, const char *text)
{
    struct buf *out = port->ops->out(port, conn);
    if (out != NULL)
        wire_put_refuse(out, why, text);
    port->ops->close(port, conn, true);
}

static struct feed *feed_new(struct syncer *s, conn_id conn, const struct wire_hello *h)
{
    struct feed *f = mem_zalloc(sizeof *f);
    f->owner.step = feed_step;
    f->s = s;
    f->conn = conn;
    f->puller = *h;
    f->first = h->first;
    uint32_t end = s->first + s->count;
    f->count = h->count < end - h->first ? h->count : end - h->first;
    f->next = s->feeds;
    s->feeds = f;
    return f;
}

static struct wire_hello welcome_for(const struct syncer *s, struct port *port,
                                     const struct wire_hello *h)
{
    uint32_t end = s->first + s->count;
    struct wire_hello mine = {.protocol = SYNCER_PROTOCOL,
                              .version = s->config.version,
                              .region = s->config.region,
                              .actor = s->config.actor,
                              .incarnation = s->config.incarnation,
                              .stale = !s->caught_up,
                              .free = s->config.kept,
                              .newest = claims_newest(s, h),
                              .first = h->first,
                              .count = h->count < end - h->first ? h->count : end - h->first};
    port->ops->random(port, mine.nonce, sizeof mine.nonce);
    wire_prove(mine.proof, s->config.secret, 'F', h, &mine);
    return mine;
}

void syncer_accept(struct syncer *s, struct port *port, conn_id conn, struct bytes first,
                   struct moment now)
{
    struct wire_hello h;
    size_t used = 0;
    char text[128];
    enum handshake_result r = wire_get_hello(first, &h, &used);
    if (r != HANDSHAKE_OK) {
        refuse(port, conn, ERR_BAD_BYTES, "malformed greeting: run the same release");
        return;
    }
    enum err fault = hello_fault(s, &h, text, sizeof text);
    if (fault != ERR_OK) {
        port_log(port, 'W', "a link from region %u is refused: %s", h.region, text);
        refuse(port, conn, fault, text);
        return;
    }
    struct wire_hello mine = welcome_for(s, port, &h);
    if (claims_outlived(s, &h)) { /* it does not go on: it hears who came after it */
        port_log(port, 'W',
                 "a link from region %u is refused: its incarnation %u was replaced, by %u at last",
                 h.region, h.incarnation, mine.newest);
        struct buf *out = port->ops->out(port, conn);
        if (out != NULL)
            wire_put_welcome(out, &mine);
        port->ops->close(port, conn, true);
        return;
    }
    struct feed *f = feed_new(s, conn, &h);
    f->heard_us = f->sent_us = now.mono_us;
    f->pos = log_end(shard_log(s->shard));
    f->mine = mine;
    f->stale_sent = f->mine.stale;
    port->ops->own(port, conn, &f->owner);
    struct buf *out = port->ops->out(port, conn);
    if (out != NULL)
        wire_put_welcome(out, &f->mine);
    if (used < first.n)
        buf_put(&f->in, first.p + used, first.n - used);
}

static bool take_proof(struct feed *f, struct port *port, struct bytes body, struct moment now)
{
    struct syncer *s = f->s;
    uint8_t want[WIRE_PROOF_LEN];
    wire_prove(want, s->config.secret, 'P', &f->puller, &f->mine);
    struct mp m = mp_read(body);
    struct bytes proof = mp_bin(&m);
    if (!mp_done(&m) || proof.n != WIRE_PROOF_LEN || !wire_same(proof.p, want, WIRE_PROOF_LEN)) {
        port_log(port, 'W', "a link from region %u could not prove that it is a member",
                 f->puller.region);
        refuse(port, f->conn, ERR_AUTH,
               "the proof of membership is wrong: both regions need the database's secret");
        f->conn = 0;
        return false;
    }
    f->proven = true;
    f->parts = mem_zalloc(f->count * sizeof *f->parts);
    wire_coder_init(&f->coder, f->first, f->count);
    for (struct feed *other = s->feeds; other != NULL; other = other->next)
        if (other != f && other->proven && other->puller.region == f->puller.region &&
            other->puller.first == f->puller.first)
            feed_close(other, port, "the peer dialled again");
    struct peer *peer = &s->peers[f->puller.region];
    f->marks[0].ops = peer->acked_ops;
    f->late_us = peer->behind_us;
    f->waits = !claims_life(s, port, &f->puller, now);
    port_log(port, 'I', "link to region %u (%s): partitions %u..%u", peer->region,
             s->config.regions[peer->region].name, f->first, f->first + f->count - 1);
    s->dirty = true;
    pull_hurry(peer, now);
    return f->conn != 0;
}

/* ------------------------------------------------------------ what the puller says */

static struct feed_part *part_at(struct feed *f, uint64_t partition)
{
    return partition - f->first < f->count ? &f->parts[partition - f->first] : NULL;
}

void feed_want(struct feed *f, struct feed_part *part)
{
    if (!part->want)
        f->wants++;
    part->want = true;
}

/* Where does it stand, and can the log serve it from there? */
static void subscribe(struct feed *f, struct port *port, uint32_t partition, bool whole,
                      struct hash128 digest)
{
    struct syncer *s = f->s;
    struct feed_part *part = &f->parts[partition - f->first];
    const struct context *ours = shard_context(s->shard, partition);
    part->subscribed = part->announce = true;
    part->whole = whole;
    part->forced = false;
    if (part->want)
        f->wants--;
    part->want = false;
    past_forget(f, partition);
    if (f->transfer != NULL && f->transfer_partition == partition) {
        /* It asks from elsewhere now, but waits for the end of what has been begun. */
        transfer_end(f->transfer);
        f->transfer = NULL;
        part->forced = true;
        feed_want(f, part);
        return;
    }
    if (context_le(ours, &part->known)) {
        part->forced = context_eq(ours, &part->known) &&
                       !hash128_eq(digest, shard_digest(s->shard, partition));
        if (part->forced) {
            port_log(port, 'E', "partition %u differs from region %u's at the same context",
                     partition, f->puller.region);
            feed_want(f, part);
        }
        return;
    }
    if (whole)
        feed_want(f, part);
    else if (feed_lacks(f, partition))
        past_want(f, partition);
    else
        f->pos = log_begin(shard_log(s->shard));
}

/* Has the puller's region said that it had more than it has now, or has it written more? Then its
 * files may be an older copy. */
static void recall(struct feed *f, uint32_t partition, struct buf *out)
{
    struct context had = {0};
    const struct context *ours = shard_context(f->s->shard, partition);
    stability_recall(syncer_part(f->s, partition)->stability, f->puller.region, ours, &had);
    if (context_get(ours, f->puller.actor) != 0)
        context_raise(&had, context_get(ours, f->puller.actor));
    if (!context_le(&had, &f->parts[partition - f->first].known)) {
        mp_put_uint(out, partition);
        context_encode(out, &had);
    }
    context_deinit(&had);
}

/* What a region that catches up has to have: all that is here, not only what would survive, since
 * all of it that everybody else once claimed to have may have been compacted here. */
static void target(struct feed *f, uint32_t partition, struct buf *out)
{
    mp_put_uint(out, partition);
#ifdef MUTANT_target_is_durable
    /* the planted bug: what the disk does not have yet is not waited for */
    const struct syncer *s = f->s;
    const struct context *kept = s->lasting ? s->lasting(s->lasting_arg, partition) : NULL;
    context_encode(out, kept != NULL ? kept : shard_context(s->shard, partition));
#else
    context_encode(out, shard_context(f->s->shard, partition));
#endif
}

static bool take_subscribe(struct feed *f, struct port *port, struct bytes body, struct moment now)
{
    struct mp m = mp_read(body);
    struct buf *recalled = &f->s->scratch, *targets = &f->s->batch;
    shard_close_frames(f->s->shard, now);
    buf_clear(recalled);
    buf_clear(targets);
    while (!m.bad && m.p < m.end) {
        uint64_t partition = mp_uint(&m);
        bool whole = mp_bool(&m);
        struct hash128 digest = wire_get_digest(&m);
        struct feed_part *part = part_at(f, partition);
        if (m.bad || part == NULL || !context_decode(&m, &part->known))
            return false;
        context_copy(&part->acked, &part->known);
        copies_look(f->s, port, f->puller.region, (uint32_t)partition, &part->known);
        f->s->learnt++;
        subscribe(f, port, (uint32_t)partition, whole, digest);
        if (whole)
            target(f, (uint32_t)partition, targets);
        else
            recall(f, (uint32_t)partition, recalled);
    }
    if (buf_len(recalled) > 0)
        feed_put(f, port, WIRE_RECALL, buf_bytes(recalled));
#ifndef MUTANT_stale_donor /* the planted bug: its word counts as that of one that has all */
    if (buf_len(targets) > 0 && feed_stale_changed(f))
        feed_send_mark(f, port, false, now); /* how far the answer can be relied on */
#endif
    if (buf_len(targets) > 0)
        feed_put(f, port, WIRE_TARGET, buf_bytes(targets));
    buf_reuse(targets, 0);
    f->claim_now = f->unmarked = true;
    return !m.bad;
}

static bool take_ack(struct feed *f, struct bytes body)
{
    struct context theirs = {0};
    struct mp m = mp_read(body);
    uint64_t received = mp_uint(&m);
    bool good = !m.bad && received >= f->acked && received <= f->sent;
    while (good && !m.bad && m.p < m.end) {
        struct feed_part *part = part_at(f, mp_uint(&m));
        good = !m.bad && part != NULL && context_decode(&m, &theirs);
        if (good) {
            context_join(&part->known, &theirs);
            context_join(&part->acked, &theirs);
            f->s->learnt++;
        }
    }
    context_deinit(&theirs);
    if (!good || m.bad)
        return false;
    f->acked = received;
    feed_acked(f);
    return true;
}

/* `on` false: UNRELAY. */
static bool take_relay(struct feed *f, struct bytes body, bool on)
{
    struct syncer *s = f->s;
    struct mp m = mp_read(body);
    while (!m.bad && m.p < m.end) {
        uint64_t partition = mp_uint(&m);
        uint64_t actor = mp_uint(&m);
        stamp_t from = on ? mp_uint(&m) : 0;
        struct feed_part *part = part_at(f, partition);
        bool good = !m.bad && part != NULL && part->subscribed && actor <= STAMP_ACTOR_MAX &&
                    (stamp_is_zero(from) || stamp_actor(from) == actor);
        if (!good)
            return false;
        if (!on) {
            context_drop(&part->relays, (uint32_t)actor);
            continue;
        }
        context_raise(&part->relays, stamp_make(0, 1, (uint32_t)actor));
        context_drop(&part->known, (uint32_t)actor); /* it knows best what it has */
        context_raise(&part->known, from);
        if (feed_lacks(f, (uint32_t)partition))
            past_want(f, (uint32_t)partition);
        else
            f->pos = log_begin(shard_log(s->shard));
    }
    f->unmarked = true;
    return !m.bad;
}

static bool take_hold(struct feed *f, struct bytes body)
{
    struct mp m = mp_read(body);
    f->held = mp_bool(&m);
    f->unmarked = true;
    return mp_done(&m);
}

static bool take_message(struct feed *f, struct port *port, uint8_t kind, struct bytes body,
                         struct moment now)
{
    if (!f->proven)
        return kind == WIRE_PROOF && (take_proof(f, port, body, now) || true);
    if (f->waits && kind != WIRE_ACK && kind != WIRE_HOLD)
        return true; /* it will ask again on its next connection */
    switch (kind) {
    case WIRE_SUBSCRIBE:
        return take_subscribe(f, port, body, now);
    case WIRE_ACK:
        return take_ack(f, body);
    case WIRE_RELAY:
        return take_relay(f, body, true);
    case WIRE_UNRELAY:
        return take_relay(f, body, false);
    case WIRE_HOLD:
        return take_hold(f, body);
    case WIRE_VERIFY:
        return verify_answer(f, port, body, now);
    default:
        return false;
    }
}

/* ------------------------------------------------------------ events */

/* A puller speaks little: a subscription to every partition is the longest that it may say. */
#define PULLER_MESSAGE_MAX ((size_t)64 << 20)

static void receive(struct feed *f, struct port *port, struct bytes data, struct moment now)
{
    buf_put_bytes(&f->in, data);
    if (syncer_rests(f->s)) {
        f->s->rested = true;
        port->ops->pause(port, f->conn, true);
        return;
    }
    while (f->conn != 0) {
        uint8_t kind;
        struct bytes body;
        size_t used;
        enum wire_result r = wire_get(buf_bytes(&f->in), &kind, &body, &used);
        size_t max = f->proven ? PULLER_MESSAGE_MAX : WIRE_HELLO_MAX;
        if (r == WIRE_MORE && buf_len(&f->in) <= max)
            return;
        if (r != WIRE_OK || !take_message(f, port, kind, body, now)) {
            feed_close(f, port, err_text(ERR_BAD_BYTES));
            return;
        }
        if (f->conn != 0)
            buf_consume(&f->in, used);
    }
}

static void feed_step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct feed *f = (struct feed *)(void *)self;
    if (f->conn == 0)
        return;
    if (ev->kind == EV_DATA) {
        if (f->proven) /* who has not proven itself gets no more time by sending */
            f->heard_us = ev->now.mono_us;
        receive(f, port, ev->data, ev->now);
    } else if (ev->kind == EV_CLOSED) {
        feed_ended(f);
        if (f->proven)
            port_log(port, 'W', "link to region %u is down: %s", f->puller.region,
                     ev->detail != NULL ? ev->detail : err_text(ev->err));
    }
}

void feed_rested(struct feed *f, struct port *port, struct moment now)
{
    if (f->conn == 0)
        return;
    f->heard_us = now.mono_us;
    port->ops->pause(port, f->conn, false);
    receive(f, port, bytes_of(NULL, 0), now);
}

void feed_tick(struct feed *f, struct port *port, struct moment now)
{
    if (f->conn == 0)
        return;
    if (now.mono_us > f->heard_us + SILENCE) {
        feed_close(f, port, "nothing was heard of the peer for 10 s");
        return;
    }
    if (!f->proven)
        return;
    if (f->waits && claims_life(f->s, port, &f->puller, now)) {
        feed_close(f, port, "its number is free now: it may dial again");
        return;
    }
    if (f->conn == 0)
        return;
    f->claim_now = true;
    if (now.mono_us >= f->sent_us + HEARTBEAT - BEAT)
        f->unmarked = true;
}
