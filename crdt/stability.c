/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/stability.h"

#include "base/mem.h"

#include <assert.h>

/* What is known of a retired actor. */
struct retired {
    uint32_t actor;
    stamp_t record; /* how far this region had got when it learnt */
    struct report {
        uint32_t reporter; /* an actor: a report dies with the life that made it */
        stamp_t record;    /* how far its region had got; 0: nothing */
    } * reports;           /* owned; at most one a reporter */
    unsigned reports_n;
};

struct claim {
    uint32_t actor;
    struct context seen;
};

struct stability {
    uint32_t region, actor;
    uint64_t members; /* bit r: region r */
    struct context base;
    struct context lives;    /* actors whose number was used again: the cut of the life before */
    struct claim *claims;    /* owned */
    struct retired *retired; /* owned; in the order learnt */
    unsigned claims_n, retired_n;
};

struct stability *stability_new(uint32_t region)
{
    struct stability *s = mem_zalloc(sizeof *s);
    s->region = region;
    s->members = UINT64_C(1) << region;
    return s;
}

void stability_free(struct stability *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->claims_n; i++)
        context_deinit(&s->claims[i].seen);
    for (unsigned i = 0; i < s->retired_n; i++)
        mem_free(s->retired[i].reports);
    mem_free(s->claims);
    mem_free(s->retired);
    context_deinit(&s->base);
    context_deinit(&s->lives);
    mem_free(s);
}

static bool is_member(const struct stability *s, uint32_t region)
{
    return s->members >> region & 1;
}

/* ------------------------------------------------------------ retired actors */

static struct retired *retired_find(const struct stability *s, uint32_t actor)
{
    for (unsigned i = 0; i < s->retired_n; i++)
        if (s->retired[i].actor == actor)
            return &s->retired[i];
    return NULL;
}

static struct report *report_find(const struct retired *x, uint32_t reporter)
{
    for (unsigned i = 0; i < x->reports_n; i++)
        if (x->reports[i].reporter == reporter)
            return &x->reports[i];
    return NULL;
}

/* Has the region's present life reported? */
static const struct report *report_of(const struct stability *s, const struct retired *x,
                                      uint32_t region)
{
    for (unsigned i = 0; i < x->reports_n; i++)
        if (actor_region(x->reports[i].reporter) == region &&
            retired_find(s, x->reports[i].reporter) == NULL)
            return &x->reports[i];
    return NULL;
}

static void drop_reports(struct retired *x, bool (*gone)(const struct report *r, uint64_t arg),
                         uint64_t arg)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < x->reports_n; i++)
        if (!gone(&x->reports[i], arg))
            x->reports[kept++] = x->reports[i];
    x->reports_n = kept;
}

static bool is_by(const struct report *r, uint64_t reporter) { return r->reporter == reporter; }

static void retired_drop(struct stability *s, struct retired *x)
{
    mem_free(x->reports);
    size_t behind = (size_t)(s->retired + s->retired_n - x) - 1;
    memmove(x, x + 1, behind * sizeof *x);
    s->retired_n--;
}

static bool reported_by_all_but(const struct stability *s, const struct retired *x, uint32_t region)
{
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (r != region && is_member(s, r) && report_of(s, x, r) == NULL)
            return false;
    return true;
}

static bool reported_by_all(const struct stability *s, const struct retired *x)
{
    return reported_by_all_but(s, x, 0);
}

/*
 * The greatest record that a member has reported, and whether all have. Reports of lives that ended
 * themselves do not count: what such a life had and nobody took over in time is lost, and nobody
 * may wait for it. Then the cut holds once all know of that end, too: from there on nobody takes
 * more on the strength of such a report, and whoever did reports it in its own name.
 */
static stamp_t retired_cut(const struct stability *s, const struct retired *x, bool *all)
{
    stamp_t cut = 0;
    *all = reported_by_all(s, x);
    for (unsigned i = 0; i < x->reports_n; i++) {
        const struct report *r = &x->reports[i];
        if (!is_member(s, actor_region(r->reporter)))
            continue;
        const struct retired *ended = retired_find(s, r->reporter);
        if (ended != NULL)
            *all = *all && reported_by_all(s, ended);
        else if (r->record > cut)
            cut = r->record;
    }
    return cut;
}

/* Cut, and everything up to the cut is here. */
static bool retired_ended(const struct stability *s, const struct retired *x,
                          const struct context *vv)
{
    bool all;
    stamp_t cut = retired_cut(s, x, &all);
    return all && context_get(vv, x->actor) >= cut;
}

/* All retired actors of the region have ended; with `actor` among them, all before that one. */
static bool earlier_ended(const struct stability *s, uint32_t region, uint32_t actor,
                          const struct context *vv)
{
    for (unsigned i = 0; i < s->retired_n; i++) {
        const struct retired *x = &s->retired[i];
        if (x->actor == actor)
            return true;
        if (actor_region(x->actor) == region && !retired_ended(s, x, vv))
            return false;
    }
    return true;
}

bool stability_retire(struct stability *s, uint32_t actor, const struct context *vv)
{
    if (actor == s->actor || retired_find(s, actor) != NULL)
        return false;
    s->retired = mem_realloc(s->retired, (s->retired_n + 1) * sizeof *s->retired);
    s->retired[s->retired_n++] = (struct retired){
        .actor = actor,
        .record = context_get(vv, actor),
    };
    return true;
}

/*
 * As retired_ended, whatever the actor's own region has reported: its lives may have ended before
 * they could, and the one that begins has seen to it that it has all of the old one. What it alone
 * has of that comes from itself, as the beginning of the new life.
 */
static bool ended_elsewhere(const struct stability *s, const struct retired *x,
                            const struct context *vv)
{
    uint32_t own = actor_region(x->actor);
    stamp_t cut = 0;
    if (!reported_by_all_but(s, x, own))
        return false;
    for (unsigned i = 0; i < x->reports_n; i++) {
        const struct report *r = &x->reports[i];
        const struct retired *ended = retired_find(s, r->reporter);
        if (!is_member(s, actor_region(r->reporter)) || actor_region(r->reporter) == own)
            continue;
        /* Nor is its word needed on who else has ended: what it still takes of the old life it has.
         */
        if (ended != NULL && !reported_by_all_but(s, ended, own))
            return false;
        if (ended == NULL && r->record > cut)
            cut = r->record;
    }
    return context_get(vv, x->actor) >= cut;
}

bool stability_reuse(struct stability *s, uint32_t actor, const struct context *vv, bool known)
{
    struct retired *x = retired_find(s, actor);
    if (x == NULL)
        return true;
    if (!known && !ended_elsewhere(s, x, vv))
        return false;
    stamp_t cut = context_get(vv, actor); /* all that is known of it is old news from now on */
    for (unsigned i = 0; i < x->reports_n; i++)
        cut = x->reports[i].record > cut ? x->reports[i].record : cut;
    context_raise(&s->lives, cut ? cut : stamp_make(0, 1, actor)); /* no stamp is below that one */
    retired_drop(s, x);
    for (unsigned i = 0; i < s->retired_n; i++)
        drop_reports(&s->retired[i], is_by, actor); /* the number's next life speaks for itself */
    return true;
}

static bool report(struct stability *s, uint32_t actor, uint32_t reporter, stamp_t record)
{
    struct retired *x = retired_find(s, actor);
    if (x == NULL)
        return false;
    struct report *r = report_find(x, reporter);
    if (r != NULL) {
        bool news = record > r->record;
        if (news)
            r->record = record;
        return news;
    }
    x->reports = mem_realloc(x->reports, (x->reports_n + 1) * sizeof *x->reports);
    x->reports[x->reports_n++] = (struct report){.reporter = reporter, .record = record};
    return true;
}

void stability_report(struct stability *s, uint32_t retired, uint32_t reporter, stamp_t record)
{
    report(s, retired, reporter, record);
}

bool stability_save(struct stability *s, const struct context *durable)
{
    bool news = false;
    for (unsigned i = 0; i < s->retired_n; i++) {
        stamp_t had = context_get(durable, s->retired[i].actor);
        if (had >= s->retired[i].record) /* else it was recorded after the durable state */
            news |= report(s, s->retired[i].actor, s->actor, had);
    }
    return news;
}

bool stability_may_take(const struct stability *s, uint32_t actor, stamp_t last, bool direct)
{
    const struct retired *x = retired_find(s, actor);
    if (x == NULL)
        return true;
    bool all;
    return !direct && last <= retired_cut(s, x, &all);
}

/* ------------------------------------------------------------ members and actors */

static bool is_from(const struct report *r, uint64_t regions)
{
    return regions >> actor_region(r->reporter) & 1;
}

void stability_regions(struct stability *s, const uint8_t *regions, unsigned n)
{
    uint64_t members = UINT64_C(1) << s->region;
    for (unsigned i = 0; i < n; i++) {
        assert(regions[i] >= 1 && regions[i] <= REGION_MAX);
        members |= UINT64_C(1) << regions[i];
    }
    uint64_t gone = s->members & ~members;
    s->members = members;
    for (unsigned i = 0; gone != 0 && i < s->retired_n; i++)
        drop_reports(&s->retired[i], is_from, gone); /* a number may go to a new region later */
}

void stability_begin(struct stability *s, uint32_t actor, const struct context *base)
{
    struct retired *old = retired_find(s, actor);
    if (old != NULL)
        retired_drop(s, old);
    s->actor = actor;
    context_clear(&s->base);
    if (base != NULL)
        context_copy(&s->base, base);
}

void stability_claim(struct stability *s, uint32_t actor, const struct context *claim)
{
    unsigned i = 0;
    while (i < s->claims_n && s->claims[i].actor != actor)
        i++;
    if (i == s->claims_n) {
        s->claims = mem_realloc(s->claims, (s->claims_n + 1) * sizeof *s->claims);
        s->claims[s->claims_n++] = (struct claim){.actor = actor};
    }
    context_join(&s->claims[i].seen, claim);
}

/* ------------------------------------------------------------ stable */

void stability_seen(const struct stability *s, const struct context *vv, struct context *out)
{
    context_copy(out, earlier_ended(s, s->region, s->actor, vv) ? vv : &s->base);
}

/* What every operation still to come from that region has seen. */
static void region_view(const struct stability *s, uint32_t region, const struct context *vv,
                        struct context *out)
{
    context_clear(out);
    for (unsigned i = 0; i < s->claims_n; i++) {
        const struct claim *c = &s->claims[i];
        if (actor_region(c->actor) == region && earlier_ended(s, region, c->actor, vv))
            context_join(out, &c->seen);
    }
}

/* Members, and who is no member any more but has last words under way. */
static bool region_counts(const struct stability *s, uint32_t region, const struct context *vv)
{
    return region != s->region && (is_member(s, region) || !earlier_ended(s, region, 0, vv));
}

void stability_stable(const struct stability *s, const struct context *vv, struct context *out)
{
    struct context view = {0};
    stability_seen(s, vv, out);
    for (uint32_t r = 1; r <= REGION_MAX && out->n > 0; r++) {
        if (!region_counts(s, r, vv))
            continue;
        region_view(s, r, vv, &view);
        context_meet(out, &view);
    }
    context_meet(out, vv);
    context_deinit(&view);
}

/* How far the region holds stability back, in milliseconds; who owes a report stands before all
 * others. */
static uint64_t region_lag(const struct stability *s, uint32_t region, const struct context *vv,
                           struct context *view)
{
    for (unsigned i = 0; i < s->retired_n; i++)
        if (is_member(s, region) && report_of(s, &s->retired[i], region) == NULL)
            return UINT64_MAX;
    uint64_t lag = 0;
    region_view(s, region, vv, view);
    for (unsigned i = 0; i < vv->n; i++) {
        stamp_t theirs = context_get(view, stamp_actor(vv->at[i]));
        if (theirs >= vv->at[i])
            continue;
        uint64_t behind = stamp_ms(vv->at[i]) - stamp_ms(theirs) + 1;
        lag = behind > lag ? behind : lag;
    }
    return lag;
}

uint32_t stability_laggard(const struct stability *s, const struct context *vv)
{
    struct context view = {0};
    uint64_t worst = 0;
    uint32_t laggard = 0;
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        if (!region_counts(s, r, vv))
            continue;
        uint64_t lag = region_lag(s, r, vv, &view);
        if (lag > worst) {
            worst = lag;
            laggard = r;
        }
    }
    context_deinit(&view);
    return laggard;
}

void stability_known(const struct stability *s, struct context *out)
{
    context_clear(out);
    for (unsigned i = 0; i < s->claims_n; i++)
        context_join(out, &s->claims[i].seen);
    for (unsigned i = 0; i < s->retired_n; i++) {
        bool all;
        context_drop(out, s->retired[i].actor);
        context_raise(out, retired_cut(s, &s->retired[i], &all));
    }
}

bool stability_settled(const struct stability *s, const struct context *vv)
{
    return earlier_ended(s, s->region, s->actor, vv);
}

bool stability_claimed(const struct stability *s, uint32_t actor, stamp_t stamp)
{
    for (unsigned i = 0; i < s->claims_n; i++)
        if (s->claims[i].actor == actor)
            return context_covers(&s->claims[i].seen, stamp);
    return false;
}

void stability_recall(const struct stability *s, uint32_t region, const struct context *vv,
                      struct context *out)
{
    context_clear(out);
    for (unsigned i = 0; i < s->claims_n; i++)
        if (actor_region(s->claims[i].actor) == region)
            context_join(out, &s->claims[i].seen);
    context_meet(out, vv);
}

bool stability_has(const struct stability *s, uint32_t region, stamp_t stamp)
{
    for (unsigned i = 0; i < s->claims_n; i++)
        if (actor_region(s->claims[i].actor) == region && context_covers(&s->claims[i].seen, stamp))
            return true;
    const struct retired *x = retired_find(s, stamp_actor(stamp));
    const struct report *r = x ? report_of(s, x, region) : NULL;
    return r != NULL && stamp <= r->record;
}

/* ------------------------------------------------------------ news */

void stability_encode_news(struct buf *out, const struct stability *s)
{
    mp_put_array(out, s->retired_n);
    for (unsigned i = 0; i < s->retired_n; i++) {
        const struct retired *x = &s->retired[i];
        mp_put_array(out, 2);
        mp_put_uint(out, x->actor);
        mp_put_array(out, x->reports_n);
        for (unsigned j = 0; j < x->reports_n; j++) {
            mp_put_array(out, 2);
            mp_put_uint(out, x->reports[j].reporter);
            mp_put_uint(out, x->reports[j].record);
        }
    }
}

static bool actor_valid(uint64_t actor)
{
    return actor <= STAMP_ACTOR_MAX && actor_region((uint32_t)actor) != 0;
}

/* Reads one actor's reports: only to check them (s == NULL; then *greatest gets the greatest
 * record), or to take them. */
static bool read_reports(struct mp *m, uint32_t actor, struct stability *s, stamp_t *greatest,
                         bool *news)
{
    for (uint32_t n = mp_array(m); n > 0; n--) {
        if (mp_array(m) != 2)
            return false;
        uint64_t reporter = mp_uint(m);
        stamp_t record = mp_uint(m);
        if (m->bad || !actor_valid(reporter) || (record != 0 && stamp_actor(record) != actor))
            return false;
        if (record > *greatest)
            *greatest = record;
        if (s != NULL)
            *news |= report(s, actor, (uint32_t)reporter, record);
    }
    return !m->bad;
}

static bool check_news(struct mp m)
{
    for (uint32_t n = mp_array(&m); n > 0; n--) {
        stamp_t greatest = 0;
        if (mp_array(&m) != 2)
            return false;
        uint64_t actor = mp_uint(&m);
        if (m.bad || !actor_valid(actor) ||
            !read_reports(&m, (uint32_t)actor, NULL, &greatest, NULL))
            return false;
    }
    return !m.bad;
}

bool stability_decode_news(struct mp *m, struct stability *s, const struct context *vv, bool *news)
{
    *news = false;
    if (!check_news(*m)) {
        m->bad = true;
        m->p = m->end;
        return false;
    }
    for (uint32_t n = mp_array(m); n > 0; n--) {
        stamp_t greatest = 0;
        mp_array(m);
        uint32_t actor = (uint32_t)mp_uint(m);
        struct mp ahead = *m;
        read_reports(&ahead, actor, NULL, &greatest, NULL);
        stamp_t before = context_get(&s->lives, actor);
        bool stale = before != 0 && greatest <= before && retired_find(s, actor) == NULL;
        if (!stale)
            *news |= stability_retire(s, actor, vv);
        read_reports(m, actor, s, &greatest, news); /* without effect when not retired here */
    }
    return true;
}
