/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/syncer.h"

#include "base/mem.h"
#include "syncer/link.h"

/* The unit's public face: making, configuring, and what happens each turn and each tick. */

/* ------------------------------------------------------------ making */

static void parts_new(struct syncer *s)
{
    static const struct context nothing;
    bool kept = s->config.kept;
    s->parts = mem_zalloc(s->count * sizeof *s->parts);
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *part = &s->parts[i];
        part->stability = stability_new(s->config.region);
        stability_begin(part->stability, life_make(s->config.region, s->config.incarnation),
                        !s->config.reborn        ? NULL
                        : kept && s->config.sure ? shard_context(s->shard, s->first + i)
                                                 : &nothing);
        part->restable = true;
        part->own = context_get(shard_context(s->shard, s->first + i), s->config.actor);
        if (s->config.was != 0)
            part->was = context_get(shard_context(s->shard, s->first + i), s->config.was);
    }
}

static bool is_member(const struct syncer_config *config, uint32_t region)
{
    return region != 0 && region != config->region && config->regions[region].id == region;
}

static void add_peer(struct syncer *s, uint32_t region)
{
    struct peer *peer = &s->peers[region];
    peer->member = true;
    s->removed &= ~(UINT64_C(1) << region);
    pull_new(peer, s->first);
}

static void own_life(struct syncer *s, struct port *port, struct moment now)
{
    struct wire_hello me = {.region = s->config.region,
                            .incarnation = s->config.incarnation,
                            .first = s->first,
                            .count = s->count,
                            .free = s->config.kept};
    claims_life(s, port, &me, now);
}

struct syncer *syncer_new(struct shard *shard, uint32_t first_partition, uint32_t count,
                          const struct syncer_config *config, uint64_t seed)
{
    struct syncer *s = mem_zalloc(sizeof *s);
    s->shard = shard;
    s->config = *config;
    s->first = first_partition;
    s->count = count;
    s->wake_us = s->turn_us = 0;
    s->disk_owes_us = UINT64_MAX;
    s->caught_up = !config->reborn || config->kept;
    rng_init(&s->rng, seed);
    s->elision_key = seed;
    parts_new(s);
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        s->peers[r].s = s;
        s->peers[r].region = s->peers[r].totals.region = r;
        if (is_member(config, r))
            add_peer(s, r);
    }
    claims_members(s);
    own_life(s, NULL, (struct moment){0});
    if (!s->caught_up)
        shard_set_stale(shard, true);
    return s;
}

static void drop_pulls(struct peer *peer, struct port *port)
{
    while (peer->pulls != NULL) {
        struct pull *p = peer->pulls;
        peer->pulls = p->next;
        pull_free(p, port);
    }
}

static void reap_feeds(struct syncer *s)
{
    struct feed **at = &s->feeds;
    while (*at != NULL) {
        struct feed *f = *at;
        if (f->conn != 0) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        feed_free(f);
    }
}

void syncer_free(struct syncer *s, struct port *port)
{
    if (s == NULL)
        return;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        drop_pulls(&s->peers[r], port);
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        feed_close(f, port, NULL);
    reap_feeds(s);
    shard_pour_drop(s->shard);
    shard_pour_end(s->shard);
    wait_deinit(s);
    for (uint32_t i = 0; i < s->count; i++) {
        stability_free(s->parts[i].stability);
        context_deinit(&s->parts[i].seen);
        context_deinit(&s->parts[i].stable);
    }
    mem_free(s->parts);
    buf_deinit(&s->scratch);
    buf_deinit(&s->batch);
    buf_deinit(&s->messages);
    mem_free(s);
}

/* ------------------------------------------------------------ membership */

/* Its history ends where the members agree, like that of a process that died: what one of them had
 * of it the others still get from that one. */
static void retire_region(struct syncer *s, struct port *port, uint32_t region, struct moment now)
{
    for (const struct pull *p = s->peers[region].pulls; p != NULL; p = p->next)
        for (uint32_t i = 0; p->phase == PHASE_LIVE && i < p->count; i++)
            stability_retire(syncer_part(s, p->first + i)->stability, p->life,
                             shard_context(s->shard, p->first + i));
    claims_leave(s, region, now);
    drop_pulls(&s->peers[region], port);
}

static void remove_peer(struct syncer *s, struct port *port, uint32_t region, struct moment now)
{
    struct peer *peer = &s->peers[region];
    port_log(port, 'I', "region %u is no longer a member", region);
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        if (f->puller.region == region)
            feed_close(f, port, "the region was removed");
    retire_region(s, port, region, now);
    peer->member = false;
    s->removed |= UINT64_C(1) << region;
}

static bool has_moved(const struct syncer_config *a, const struct syncer_config *b, uint32_t region)
{
    const struct syncer_region *x = &a->regions[region], *y = &b->regions[region];
    return strcmp(x->host, y->host) != 0 || x->port != y->port;
}

/* All connections begin anew: who we are or how we talk has changed. */
static void reconnect(struct syncer *s, struct port *port, uint32_t region, struct moment now)
{
    for (struct pull *p = s->peers[region].pulls; p != NULL; p = p->next) {
        if (p->phase != PHASE_DOWN)
            pull_fail(p, port, now, NULL);
        p->failures = 0;
        p->retry_us = now.mono_us;
    }
}

static void new_life(struct syncer *s, struct port *port, struct moment now)
{
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        feed_close(f, port, "this region goes on as another incarnation");
    struct context seen = {0};
    for (uint32_t i = 0; i < s->count; i++) { /* nothing was lost: all of it goes on */
        stability_seen(s->parts[i].stability, shard_context(s->shard, s->first + i), &seen);
        stability_begin(s->parts[i].stability, life_make(s->config.region, s->config.incarnation),
                        &seen);
    }
    context_deinit(&seen);
    own_life(s, port, now);
}

void syncer_configure(struct syncer *s, struct port *port, const struct syncer_config *config,
                      struct moment now)
{
    if (config->version < s->config.version)
        return;
    struct syncer_config old = s->config;
    s->config = *config;
    s->config.reborn = old.reborn;
    s->config.kept = old.kept;
    s->config.sure = old.sure;
    bool anew = old.actor != config->actor || old.tls != config->tls ||
                strcmp(old.secret, config->secret) != 0;
    if (old.actor != config->actor)
        new_life(s, port, now);
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        bool member = is_member(config, r);
        if (member && !s->peers[r].member)
            add_peer(s, r);
        else if (!member && s->peers[r].member)
            remove_peer(s, port, r, now);
        else if (member && (anew || has_moved(&old, config, r)))
            reconnect(s, port, r, now);
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            pull_pause(p, port, config->paused >> r & 1, now);
    }
    claims_members(s);
    syncer_wake(s, 0);
}

/* ------------------------------------------------------------ taking */

bool syncer_drifts(const struct syncer *s, stamp_t stamp, struct moment now)
{
    int64_t max = s->config.clock_drift_max_ms ? s->config.clock_drift_max_ms : DRIFT_MAX_MS;
    return stamp_wall_ms(stamp) - now.wall_ms > max;
}

static bool may_take(const struct syncer *s, uint32_t partition, stamp_t last, bool direct)
{
#ifdef MUTANT_no_fence
    if (direct)
        return true;
#endif
    return !s->any_retired || stability_may_take(syncer_part(s, partition)->stability,
                                                 stamp_actor(last), last, direct);
}

bool syncer_may_join(const struct syncer *s, uint32_t partition, const struct context *c)
{
    const struct context *mine = shard_context(s->shard, partition);
    for (unsigned i = 0; i < c->n; i++)
        if (!context_covers(mine, c->at[i]) && !may_take(s, partition, c->at[i], false))
            return false;
    return true;
}

static enum taken fenced(const struct syncer *s, uint32_t partition, stamp_t last)
{
    return context_covers(shard_context(s->shard, partition), last) ? TAKEN_COVERED : TAKEN_FENCED;
}

static enum taken taken_as(enum take took)
{
    switch (took) {
    case TAKE_DONE:
        return TAKEN_DONE;
    case TAKE_COVERED:
        return TAKEN_COVERED;
    case TAKE_WAITS:
        return TAKEN_WAITS;
    case TAKE_BASELESS:
        return TAKEN_BASELESS;
    case TAKE_POURS:
        return TAKEN_POURS;
    case TAKE_BAD:
        break;
    }
    return TAKEN_BAD;
}

enum taken syncer_take(struct syncer *s, const struct frame *f, bool direct, struct moment now)
{
    if (!may_take(s, f->partition, f->last, direct))
        return fenced(s, f->partition, f->last);
    return taken_as(shard_take(s->shard, f, now));
}

enum taken syncer_pour(struct syncer *s, const struct frame *f, struct buf *ops, struct pull *by,
                       struct moment now)
{
    bool direct = stamp_actor(f->last) == life_actor(by->life);
    if (s->pouring.active)
        return syncer_take(s, f, direct, now);
    if (!may_take(s, f->partition, f->last, direct))
        return fenced(s, f->partition, f->last);
    enum taken took = taken_as(shard_pour(s->shard, f, ops, now));
    if (took == TAKEN_POURS)
        s->pouring = (struct pouring){
            .active = true, .direct = direct, .partition = f->partition, .last = f->last, .by = by};
    return took;
}

/* Until it has happened its writer may be fenced. */
enum taken syncer_pour_on(struct syncer *s, struct moment now)
{
    const struct pouring *r = &s->pouring;
    if (!context_covers(shard_context(s->shard, r->partition), r->last) &&
        !may_take(s, r->partition, r->last, r->direct)) {
        shard_pour_drop(s->shard);
        return TAKEN_FENCED;
    }
    return taken_as(shard_pour_on(s->shard, now));
}

/* ------------------------------------------------------------ time */

void syncer_set_share(struct syncer *s, struct share *share) { s->share = share; }

void syncer_wake(struct syncer *s, uint64_t at_us)
{
    if (at_us < s->wake_us)
        s->wake_us = at_us;
}

uint64_t syncer_deadline(const struct syncer *s)
{
    return s->wake_us < s->turn_us ? s->wake_us : s->turn_us;
}

void syncer_hold(struct syncer *s, struct port *port, bool held, struct moment now)
{
    if (s->full == held)
        return;
    s->full = held;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            pull_rested(p, port, now);
    syncer_wake(s, now.mono_us);
}

/* The script is done: what has come meanwhile is taken, and silence meant nothing. */
static void end_rest(struct syncer *s, struct port *port, struct moment now)
{
    s->rested = false;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            pull_rested(p, port, now);
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        feed_rested(f, port, now);
    syncer_wake(s, now.mono_us);
}

void syncer_turn(struct syncer *s, struct port *port, struct moment now)
{
    s->turn_us = UINT64_MAX;
    if (syncer_rests(s)) {
        s->rested = true;
        return;
    }
    if (s->rested)
        end_rest(s, port, now);
    if (s->pouring.active)
        pour_turn(s, port, now);
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            pull_turn(p, port, now);
    shard_close_frames(s->shard, now);
    uint64_t end = log_end(shard_log(s->shard));
    if (end != s->log_seen) {
        struct shard_stats stats;
        shard_stats(s->shard, &stats);
        s->ops_own = stats.ops_own;
        s->log_seen = end;
        s->dirty = true;
    }
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            ack_turn(p, port, now);
    bool dead = false;
    for (struct feed *f = s->feeds; f != NULL; f = f->next) {
        feed_pump(f, port, now);
        dead |= f->conn == 0;
    }
    if (buf_len(&s->messages) > 0)
        messages_send(s, port);
    if (dead)
        reap_feeds(s);
    if (s->dirty)
        syncer_wake(s, s->tick_us + BEAT);
}

/* From when on a peer that takes nothing from us lacks something, to a heartbeat; of those that do,
 * the feed knows. */
static void lag_begins(struct syncer *s, struct moment now)
{
    uint64_t fed = 0;
    for (const struct feed *f = s->feeds; f != NULL; f = f->next)
        if (f->conn != 0 && f->proven)
            fed |= UINT64_C(1) << f->puller.region;
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        struct peer *peer = &s->peers[r];
        if (peer->member && (fed & UINT64_C(1) << r) == 0 && peer->behind_us == 0 &&
            peer->acked_ops < s->ops_own)
            peer->behind_us = now.mono_us;
    }
}

static void tell_reachable(struct syncer *s)
{
    uint64_t reachable = UINT64_C(1) << s->config.region;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (const struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            if (pull_works(p))
                reachable |= UINT64_C(1) << r;
    if (reachable != s->reachable)
        shard_set_reachable(s->shard, reachable);
    s->reachable = reachable;
}

void syncer_tick(struct syncer *s, struct port *port, struct moment now)
{
    if (now.mono_us < s->wake_us)
        return; /* woken for a turn's left-over */
    if (syncer_rests(s) || s->rested) {
        s->rested = true;
        s->wake_us = now.mono_us + BEAT;
        return;
    }
    s->tick_us = now.mono_us;
    s->wake_us = UINT64_MAX;
    s->dirty = false;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            pull_tick(p, port, now);
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        feed_tick(f, port, now);
    catchup_tick(s, port, now);
    relay_tick(s, port, now);
    claims_stable(s, now);
    lag_begins(s, now);
    tell_reachable(s);
    s->dirty |= s->waiting_frames > 0;
    syncer_wake(s, now.mono_us + (s->dirty ? BEAT : HEARTBEAT));
}
