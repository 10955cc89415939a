/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

/* What people, tests and the management plane see of the links. */

const char *link_state_name(enum link_state s)
{
    switch (s) {
    case LINK_DOWN:
        return "down";
    case LINK_CONNECTING:
        return "connecting";
    case LINK_HANDSHAKE:
        return "handshake";
    case LINK_TRANSFER:
        return "transfer";
    case LINK_UP:
        return "up";
    case LINK_PAUSED:
        return "paused";
    case LINK_QUARANTINED:
        return "quarantined";
    case LINK_REFUSED:
        return "refused";
    }
    return "unknown";
}

/* The worst of several connections is the one that needs attention most. */
static unsigned badness(enum link_state s)
{
    static const uint8_t order[] = {
        [LINK_UP] = 0,   [LINK_TRANSFER] = 1, [LINK_HANDSHAKE] = 2,   [LINK_CONNECTING] = 3,
        [LINK_DOWN] = 4, [LINK_PAUSED] = 5,   [LINK_QUARANTINED] = 6, [LINK_REFUSED] = 7,
    };
    return order[s];
}

/* How far the region lags behind our own writes. */
static void fill_lag(const struct syncer *s, const struct peer *peer, struct link_stats *out,
                     struct moment now)
{
    uint64_t acked = peer->acked_ops, since = peer->behind_us;
    for (const struct feed *f = s->feeds; f != NULL; f = f->next) {
        if (f->conn == 0 || !f->proven || f->puller.region != peer->region)
            continue;
        uint64_t passed = f->marks[f->marks_at].ops, behind = feed_behind_us(f);
        out->parts_disk += f->behinds;
        out->disk_left += past_left(f);
        out->parts_state += f->wants + (f->transfer != NULL);
        acked = out->feeding && acked < passed ? acked : passed;
        if (!out->feeding || since == 0 || (behind != 0 && behind < since))
            since = behind;
        out->feeding = true;
    }
    out->lag_ops = s->ops_own > acked ? s->ops_own - acked : 0;
    if (out->lag_ops > 0 && since != 0 && now.mono_us > since)
        out->lag_ms = (int64_t)((now.mono_us - since) / MS);
}

static void fill_state(const struct peer *peer, struct link_stats *out, struct moment now)
{
    bool synced = peer->pulls != NULL && out->waiting_bytes == 0;
    out->state = peer->pulls != NULL ? LINK_UP : LINK_DOWN;
    for (const struct pull *p = peer->pulls; p != NULL; p = p->next) {
        enum link_state state = pull_state(p);
        if (badness(state) > badness(out->state))
            out->state = state;
        synced = synced && state == LINK_UP && p->all &&
                 now.mono_us < p->heard_us + HEARTBEAT + HEARTBEAT / 2;
    }
    if (!synced)
        out->behind_ms =
            now.mono_us > peer->synced_us ? (int64_t)((now.mono_us - peer->synced_us) / MS) : 0;
}

unsigned syncer_stats(const struct syncer *s, struct link_stats *out, unsigned max,
                      struct moment now)
{
    unsigned n = 0;
    for (uint32_t r = 1; r <= REGION_MAX && n < max; r++) {
        const struct peer *peer = &s->peers[r];
        if (!peer->member)
            continue;
        out[n] = peer->totals;
        fill_state(peer, &out[n], now);
        fill_lag(s, peer, &out[n], now);
        n++;
    }
    return n;
}

bool syncer_caught_up(const struct syncer *s) { return s->caught_up; }

/* ------------------------------------------------------------ quiet */

static bool pull_quiet(const struct pull *p)
{
    const struct syncer *s = p->peer->s;
    if (p->paused || (p->phase == PHASE_DOWN && p->failures > 1))
        return true; /* not connected, on purpose or because nobody is there */
    if (p->phase != PHASE_LIVE || p->quarantined || !p->all || buf_len(&p->in) > 0 ||
        p->stage.active || p->claims_waiting > 0 || p->received != p->acked)
        return false;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct pull_part *part = &p->parts[i];
        const struct context *mine = shard_context(s->shard, p->first + i);
        if (part->gap || !part->has_claim || !context_le(&part->announced, mine) ||
            !context_eq(&part->acked, mine))
            return false;
    }
    return true;
}

static bool feed_quiet(const struct feed *f)
{
    const struct syncer *s = f->s;
    if (f->conn == 0 || f->held)
        return true;
    if (!f->proven || f->transfer != NULL || f->wants > 0 || f->behinds > 0 ||
        f->sent != f->acked || f->pos != log_end(shard_log(s->shard)))
        return false;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct feed_part *part = &f->parts[i];
        if (!part->subscribed || part->news != syncer_part(s, f->first + i)->news ||
            !context_eq(&part->claimed, shard_context(s->shard, f->first + i)))
            return false;
    }
    return true;
}

/* Every member is linked both ways: then compaction can get through. */
static bool all_linked(const struct syncer *s)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        bool fed = !s->peers[r].member;
        for (const struct feed *f = s->feeds; f != NULL; f = f->next)
            fed |= f->proven && !f->held && f->conn != 0 && f->puller.region == r;
        if (!fed)
            return false;
        for (const struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            if (!pull_works(p))
                return false;
    }
    return true;
}

bool syncer_quiet(const struct syncer *s)
{
    if (!s->caught_up || s->pouring.active || s->waiting_frames > 0 ||
        s->log_seen != log_end(shard_log(s->shard)))
        return false;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        for (const struct pull *p = s->peers[r].pulls; p != NULL; p = p->next)
            if (!pull_quiet(p))
                return false;
    for (const struct feed *f = s->feeds; f != NULL; f = f->next)
        if (!feed_quiet(f))
            return false;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->parts[i].restable ||
            !context_eq(&s->parts[i].seen, shard_context(s->shard, s->first + i)))
            return false;
    return !all_linked(s) || shard_unsettled(s->shard) == 0;
}
