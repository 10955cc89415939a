/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <stdio.h>

/* The life of a connection on which we pull: dialling, greeting, subscribing, ending. What arrives
 * on it is apply.c's. */

static void pull_step(struct conn_owner *self, struct port *port, const struct event *ev);

void pull_new(struct peer *peer, uint32_t want_first)
{
    struct pull *p = mem_zalloc(sizeof *p);
    p->owner.step = pull_step;
    p->peer = peer;
    p->want_first = want_first;
    p->paused = peer->s->config.paused >> peer->region & 1;
    struct pull **at = &peer->pulls;
    while (*at != NULL && (*at)->want_first < want_first)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    syncer_wake(peer->s, 0);
}

/* Forgets everything that belongs to the connection. */
static void pull_reset(struct pull *p)
{
    struct syncer *s = p->peer->s;
    for (uint32_t i = 0; p->parts != NULL && i < p->count; i++) {
        struct pull_part *part = &p->parts[i];
        context_deinit(&part->announced);
        context_deinit(&part->watch);
        context_deinit(&part->target);
        context_deinit(&part->acked);
        context_deinit(&part->relays);
    }
    mem_free(p->parts);
    p->parts = NULL;
    p->count = 0;
    wire_coder_deinit(&p->coder);
    buf_deinit(&p->in);
    p->inflated = 0;
    p->more = false;
    if (s->pouring.by == p) {
        s->pouring.by = NULL;
        shard_pour_drop(s->shard);
        s->pouring.active = shard_pours(s->shard);
    }
    p->claims_waiting = 0;
    mem_free(p->stuck);
    p->stuck = NULL;
    p->quarantined = false;
    p->stage.active = false;
    context_deinit(&p->stage.context);
    joiner_free(p->stage.joiner);
    p->stage.joiner = NULL;
    p->stage.unproven = false;
    p->pieces.active = false;
    buf_deinit(&p->pieces.bytes);
    p->all = p->stale = p->waits = false;
    p->received = p->acked = 0;
    p->touched_n = 0;
    listing_deinit(&p->listing);
    p->conn = 0;
    p->phase = PHASE_DOWN;
}

void pull_free(struct pull *p, struct port *port)
{
    if (p->conn != 0)
        port->ops->close(port, p->conn, false);
    pull_reset(p);
    mem_free(p);
}

/* Doubling from RETRY_MIN to RETRY_MAX, half of it at random: regions that lost each other at the
 * same moment do not come back in step. */
static uint64_t retry_delay(struct pull *p)
{
    unsigned doublings = p->failures < 8 ? p->failures : 8;
    uint64_t delay = RETRY_MIN << doublings;
    if (delay > RETRY_MAX)
        delay = RETRY_MAX;
    return delay / 2 + rng_below(&p->peer->s->rng, delay / 2 + 1);
}

static void pull_down(struct pull *p, struct port *port, struct moment now, const char *why)
{
    struct peer *peer = p->peer;
    bool lived = p->phase == PHASE_LIVE;
    peer->s->losses += lived;
    if (lived && p->live_us + RETRY_MAX < now.mono_us && !p->quarantined)
        p->failures = 0;
    if (why != NULL)
        snprintf(peer->totals.error, sizeof peer->totals.error, "%s", why);
    if (lived || p->failures == 0)
        port_log(port, 'W', "link from region %u (%s) is down: %s", peer->region,
                 peer->s->config.regions[peer->region].name, why != NULL ? why : "closed here");
    pull_reset(p);
    p->retry_us = now.mono_us + retry_delay(p);
    p->failures++;
    if (lived)
        peer->totals.reconnects++;
    peer->s->dirty = true;
    syncer_wake(peer->s, p->retry_us);
}

void pull_fail(struct pull *p, struct port *port, struct moment now, const char *why)
{
    if (p->conn != 0)
        port->ops->close(port, p->conn, false);
    pull_down(p, port, now, why);
}

void pull_hurry(struct peer *peer, struct moment now)
{
    for (struct pull *p = peer->pulls; p != NULL; p = p->next) {
        if (p->phase != PHASE_DOWN)
            continue;
        p->failures = 0;
        p->retry_us = now.mono_us;
        syncer_wake(peer->s, now.mono_us);
    }
}

struct pull *peer_pull(const struct peer *peer, uint32_t partition)
{
    for (struct pull *p = peer->pulls; p != NULL; p = p->next)
        if (p->phase == PHASE_LIVE && partition - p->first < p->count)
            return p;
    return NULL;
}

/* ------------------------------------------------------------ opening */

static void pull_dial(struct pull *p, struct port *port, struct moment now)
{
    const struct syncer_config *config = &p->peer->s->config;
    const struct syncer_region *region = &config->regions[p->peer->region];
    struct dial_opts o = {.host = region->host,
                          .port = region->port,
                          .tls = config->tls,
                          .owner = &p->owner,
                          .timeout_ms = 5000};
    p->heard_us = now.mono_us;
    p->busy = false;
    p->phase = PHASE_DIALLING;
    if (p->peer->synced_us == 0) /* in this life nothing is known of before */
        p->peer->synced_us = now.mono_us;
    p->conn = port->ops->dial(port, &o);
    if (p->conn == 0)
        pull_down(p, port, now, err_text(ERR_ADDRESS));
}

static void pull_greet(struct pull *p, struct port *port)
{
    struct syncer *s = p->peer->s;
    p->phase = PHASE_HELLO;
    p->hello = (struct wire_hello){.protocol = SYNCER_PROTOCOL,
                                   .version = s->config.version,
                                   .region = s->config.region,
                                   .actor = s->config.actor,
                                   .incarnation = s->config.incarnation,
                                   .stale = !s->caught_up,
                                   .free = s->config.kept,
                                   .partitions = s->config.partitions,
                                   .first = p->want_first,
                                   .count = s->first + s->count - p->want_first};
    memcpy(p->hello.guid, s->config.guid, sizeof p->hello.guid);
    port->ops->random(port, p->hello.nonce, sizeof p->hello.nonce);
    struct buf *out = port->ops->out(port, p->conn);
    if (out != NULL)
        wire_put_hello(out, &p->hello);
}

/* The chain of pulls that covers our partitions: each serves from where the one before ended. */
static void cover_rest(struct pull *p, struct port *port)
{
    struct peer *peer = p->peer;
    uint32_t end = p->first + p->count;
    bool found = end >= peer->s->first + peer->s->count;
    struct pull **at = &peer->pulls;
    while (*at != NULL) {
        struct pull *other = *at;
        bool inside = other != p && other->want_first >= p->first && other->want_first < end;
        if (inside || other->want_first >= peer->s->first + peer->s->count) {
            *at = other->next;
            pull_free(other, port);
            continue;
        }
        found |= other->want_first == end;
        at = &other->next;
    }
    if (!found)
        pull_new(peer, end);
}

static const char *welcome_fault(const struct pull *p, const struct wire_hello *w)
{
    const struct syncer *s = p->peer->s;
    uint8_t proof[WIRE_PROOF_LEN];
    struct wire_hello mine = p->hello;
    wire_prove(proof, s->config.secret, 'F', &mine, w);
    if (w->protocol != SYNCER_PROTOCOL)
        return err_text(ERR_VERSION);
    if (!wire_same(proof, w->proof, WIRE_PROOF_LEN))
        return "the peer could not prove that it belongs to this database: check its address, and "
               "that both regions have the same secret";
    if (w->region != p->peer->region)
        return "another region answers at this address: correct the database's configuration";
    if (w->first != p->want_first || w->count > p->hello.count)
        return "the peer offers partitions that were not asked for: run the same release on both "
               "sides";
    return NULL;
}

/* Asks the feeder to stop or go on, and stops listening meanwhile. */
static void tell_hold(struct pull *p, struct port *port)
{
    struct buf *out = port->ops->out(port, p->conn);
    if (out == NULL)
        return;
    buf_clear(&p->peer->s->scratch);
    mp_put_bool(&p->peer->s->scratch, p->paused);
    wire_put(out, WIRE_HOLD, buf_bytes(&p->peer->s->scratch));
}

static bool every_part(const struct pull_part *part)
{
    (void)part;
    return true;
}

static void pull_welcome(struct pull *p, struct port *port, struct bytes body, struct moment now)
{
    struct syncer *s = p->peer->s;
    struct wire_hello w;
    if (!wire_get_welcome(body, &w)) {
        pull_fail(p, port, now, "malformed welcome: run the same release on both sides");
        return;
    }
    const char *fault = welcome_fault(p, &w);
    if (fault != NULL) {
        p->refused = true;
        pull_fail(p, port, now, fault);
        return;
    }
    if (claims_outlived(s, &w)) {
        p->refused = true;
        pull_fail(
            p, port, now,
            "an incarnation of the region answers there that was replaced by a newer one: two "
            "processes, or an older copy of its files");
        return;
    }
    if (w.newest > s->config.incarnation) {
        p->refused = true;
        copies_outlived(s, port, w.region, w.newest);
        pull_fail(p, port, now,
                  "this incarnation of our region was replaced by a newer one, as is known there");
        return;
    }
    p->waits = !claims_life(s, port, &w, now);
    p->phase = PHASE_LIVE;
    p->refused = false;
    p->live_us = p->heard_us = p->ack_us = now.mono_us;
    p->life = wire_life(&w);
    p->welcome = w;
    p->stale = w.stale;
    p->first = w.first;
    p->count = w.count;
    p->parts = mem_zalloc(p->count * sizeof *p->parts);
    wire_coder_init(&p->coder, p->first, p->count);
    cover_rest(p, port);
    port_log(port, 'I', "link from region %u (%s): partitions %u..%u", w.region,
             s->config.regions[w.region].name, p->first, p->first + p->count - 1);

    uint8_t proof[WIRE_PROOF_LEN];
    struct wire_hello mine = p->hello;
    wire_prove(proof, s->config.secret, 'P', &mine, &w);
    buf_clear(&s->scratch);
    mp_put_bin(&s->scratch, bytes_of(proof, sizeof proof));
    struct buf *out = port->ops->out(port, p->conn);
    if (out == NULL)
        return;
    wire_put(out, WIRE_PROOF, buf_bytes(&s->scratch));
    if (p->waits)
        port_log(port, 'I',
                 "link from region %u: incarnation %u has the number of an earlier one, which is "
                 "not over everywhere as far as is known here: only news count until it is",
                 w.region, w.incarnation);
    else
        pull_subscribe(p, port, every_part);
    if (p->paused) {
        tell_hold(p, port);
        port->ops->pause(port, p->conn, true);
    }
    s->dirty = true;
}

void pull_refused(struct pull *p, struct port *port, struct bytes body, struct moment now)
{
    enum err why;
    char text[128], line[160];
    if (!wire_get_refuse(body, &why, text, sizeof text)) {
        pull_fail(p, port, now, "malformed refusal: run the same release on both sides");
        return;
    }
    snprintf(line, sizeof line, "refused: %s", text);
    p->refused = why != ERR_BUSY;
    p->busy = why == ERR_BUSY;
    if (why == ERR_BUSY && p->failures > 3)
        p->failures = 3; /* it passes soon: a configuration that has not arrived there yet */
    pull_fail(p, port, now, line);
}

/* The answer to HELLO is one message; what follows it is the link's. */
static void pull_answer(struct pull *p, struct port *port, struct bytes data, struct moment now)
{
    buf_put_bytes(&p->in, data);
    uint8_t kind;
    struct bytes body;
    size_t used;
    enum wire_result r = wire_get(buf_bytes(&p->in), &kind, &body, &used);
    if (r == WIRE_MORE && buf_len(&p->in) <= WIRE_HELLO_MAX)
        return;
    if (r == WIRE_OK && kind == WIRE_REFUSE) {
        pull_refused(p, port, body, now);
        return;
    }
    if (r != WIRE_OK || kind != WIRE_WELCOME) {
        pull_fail(p, port, now,
                  "whoever answers there does not speak the link protocol: check "
                  "the region's address and port");
        return;
    }
    pull_welcome(p, port, body, now);
    if (p->phase != PHASE_LIVE)
        return;
    buf_consume(&p->in, used);
    pull_receive(p, port, bytes_of(NULL, 0), now);
}

void pull_subscribe(struct pull *p, struct port *port, bool (*chosen)(const struct pull_part *))
{
    struct syncer *s = p->peer->s;
    struct buf *body = &s->scratch;
    buf_clear(body);
    for (uint32_t i = 0; i < p->count; i++) {
        struct pull_part *part = &p->parts[i];
        uint32_t partition = p->first + i;
        if (!chosen(part))
            continue;
        bool catches_up = part->want_target || catchup_wants(p, partition);
        const struct context *mine = shard_context(s->shard, partition);
        mp_put_uint(body, partition);
        mp_put_bool(body, catches_up || part->baseless);
        wire_put_digest(body, shard_digest(s->shard, partition));
        context_encode(body, mine);
        context_copy(&part->acked, mine);
        part->gap = part->baseless = false;
        part->want_target |= catches_up;
        part->losses = s->losses;
    }
    struct buf *out = port->ops->out(port, p->conn);
    if (out != NULL && buf_len(body) > 0)
        wire_put(out, WIRE_SUBSCRIBE, buf_bytes(body));
    p->all = false;
}

/* ------------------------------------------------------------ events */

static void pull_step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct pull *p = (struct pull *)(void *)self;
    struct peer *peer = p->peer;
    switch (ev->kind) {
    case EV_OPEN:
        p->heard_us = ev->now.mono_us;
        pull_greet(p, port);
        break;
    case EV_DATA:
        if (p->phase == PHASE_LIVE &&
            syncer_rests(peer->s)) { /* up to the socket's buffers: then it waits there */
            peer->s->rested = true;
            port->ops->pause(port, p->conn, true);
        }
        p->heard_us = ev->now.mono_us;
        peer->totals.bytes_in += ev->data.n;
        if (p->phase == PHASE_LIVE)
            pull_receive(p, port, ev->data, ev->now);
        else
            pull_answer(p, port, ev->data, ev->now);
        break;
    case EV_CLOSED:
        p->conn = 0;
        p->refused = false;
        pull_down(p, port, ev->now, ev->detail != NULL ? ev->detail : err_text(ev->err));
        break;
    default:
        break;
    }
}

void pull_rested(struct pull *p, struct port *port, struct moment now)
{
    p->heard_us = now.mono_us;
    if (p->phase != PHASE_LIVE)
        return;
    pull_listen(p, port);
    if (!pull_held(p))
        pull_receive(p, port, bytes_of(NULL, 0), now);
}

void pull_pause(struct pull *p, struct port *port, bool paused, struct moment now)
{
    if (p->paused == paused)
        return;
    p->paused = paused;
    if (p->phase == PHASE_LIVE) {
        tell_hold(p, port);
        pull_listen(p, port);
        p->heard_us = now.mono_us;
        if (!pull_held(p))
            pull_receive(p, port, bytes_of(NULL, 0), now);
    } else if (!paused) {
        p->failures = 0; /* whoever releases a link wants it now */
        if (p->phase == PHASE_DOWN)
            p->retry_us = now.mono_us;
    }
    syncer_wake(p->peer->s, 0);
}

/* ------------------------------------------------------------ time */

static bool has_gap(const struct pull_part *part) { return part->gap; }

/* Asks again for what had to be dropped. Also while there is little room to wait: what comes next
 * of some actor has its causes here, needs no room, and makes some. */
static void fill_gaps(struct pull *p, struct port *port, struct moment now)
{
    struct syncer *s = p->peer->s;
    size_t max = s->config.wait_max ? s->config.wait_max : WAIT_MAX;
    bool any = false;
    for (uint32_t i = 0; i < p->count; i++)
        any |= p->parts[i].gap;
    if (!any)
        return;
    s->dirty = true;
    if (now.mono_us < p->try_us)
        return;
    p->try_us = now.mono_us + (s->waiting_bytes > max / 2 ? 2 * ASK_EVERY : ASK_EVERY);
    pull_subscribe(p, port, has_gap);
}

/* Is the life before the feeder's with its number over by now? */
static void pull_admit(struct pull *p, struct port *port, struct moment now)
{
    struct wire_hello h = p->welcome;
    h.first = p->first;
    h.count = p->count;
    p->waits = !claims_life(p->peer->s, port, &h, now);
    if (!p->waits && p->phase == PHASE_LIVE)
        pull_subscribe(p, port, every_part);
}

static void pull_tick_live(struct pull *p, struct port *port, struct moment now)
{
    if (p->waits) {
        pull_admit(p, port, now);
        if (p->phase != PHASE_LIVE)
            return;
    }
    if (p->quarantined && now.mono_us >= p->try_us) {
        p->try_us = now.mono_us + SECOND;
        pull_receive(p, port, bytes_of(NULL, 0), now);
        if (p->phase != PHASE_LIVE)
            return;
    }
    if (pull_held(p)) {
        p->heard_us = now.mono_us; /* we do not listen, so its silence means nothing */
    } else if (now.mono_us > p->heard_us + SILENCE) {
        pull_fail(p, port, now, "nothing was heard of the peer for 10 s");
        return;
    }
    pull_prove(p, port);
    claims_count(p);
    if (!pull_held(p))
        fill_gaps(p, port, now);
    ack_tick(p, port, now);
}

void pull_tick(struct pull *p, struct port *port, struct moment now)
{
    if (p->phase == PHASE_LIVE) {
        pull_tick_live(p, port, now);
    } else if (p->phase == PHASE_DOWN) {
        if (now.mono_us >= p->retry_us)
            pull_dial(p, port, now);
        else
            syncer_wake(p->peer->s, p->retry_us);
    } else if (now.mono_us > p->heard_us + SILENCE) {
        pull_fail(p, port, now, "the peer did not answer within 10 s");
    }
}

static bool in_transfer(const struct pull *p)
{
    if (p->stage.active || p->waits)
        return true;
    for (uint32_t i = 0; i < p->count; i++)
        if (!p->parts[i].has_claim)
            return true;
    return false;
}

enum link_state pull_state(const struct pull *p)
{
    if (p->paused)
        return LINK_PAUSED;
    if (p->quarantined || p->distrusted)
        return LINK_QUARANTINED;
    switch (p->phase) {
    case PHASE_DOWN:
        return p->refused ? LINK_REFUSED : LINK_DOWN;
    case PHASE_DIALLING:
        return p->refused ? LINK_REFUSED : LINK_CONNECTING;
    case PHASE_HELLO:
        return p->refused ? LINK_REFUSED : LINK_HANDSHAKE;
    case PHASE_LIVE:
        break;
    }
    return in_transfer(p) ? LINK_TRANSFER : LINK_UP;
}
