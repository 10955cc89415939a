/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/stability.h"

#include "base/mem.h"

#include <assert.h>

/* What is known of a number whose life has ended. */
struct retired {
    life_t life;    /* the newest one with this number that has ended */
    stamp_t record; /* how far this region had got when it learnt */
    struct report {
        life_t reporter; /* a report dies with the life that made it */
        stamp_t record;  /* how far its region had got; 0: nothing */
    } * reports;         /* owned; at most one a reporter */
    unsigned reports_n;
    life_t next; /* a later one has the number: `life` and all before it ended at `cut`, and nobody
                    else has more of them; LIFE_NONE */
    stamp_t cut;
    bool uncut; /* ... or so it says itself, and has not told yet where they were cut */
};

struct claim {
    life_t life; /* the newest with its number; all of them have claimed it */
    struct context seen;
    struct context counts; /* of this, what may be relied on: see end_claims */
};

struct stability {
    uint32_t region;
    life_t life;      /* this region's */
    uint64_t members; /* bit r: region r */
    struct context base;
    struct context stable;   /* as last given */
    struct claim *claims;    /* owned; one a number */
    struct retired *retired; /* owned; one a number, in the order learnt */
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
    for (unsigned i = 0; i < s->claims_n; i++) {
        context_deinit(&s->claims[i].seen);
        context_deinit(&s->claims[i].counts);
    }
    for (unsigned i = 0; i < s->retired_n; i++)
        mem_free(s->retired[i].reports);
    mem_free(s->claims);
    mem_free(s->retired);
    context_deinit(&s->stable);
    context_deinit(&s->base);
    mem_free(s);
}

static bool is_member(const struct stability *s, uint32_t region)
{
    return s->members >> region & 1;
}

/* ------------------------------------------------------------ lives that have ended */

static struct retired *retired_find(const struct stability *s, uint32_t actor)
{
    for (unsigned i = 0; i < s->retired_n; i++)
        if (life_actor(s->retired[i].life) == actor)
            return &s->retired[i];
    return NULL;
}

/* The newest life that is known to have, or to have had, the number. */
static life_t newest(const struct stability *s, uint32_t actor)
{
    const struct retired *x = retired_find(s, actor);
    life_t life = actor; /* its first */
    for (unsigned i = 0; i < s->claims_n; i++)
        if (life_actor(s->claims[i].life) == actor)
            life = s->claims[i].life;
    if (x != NULL && x->life > life)
        life = x->life;
    return x != NULL && x->next > life ? x->next : life;
}

bool stability_outlived(const struct stability *s, life_t life)
{
    const struct retired *x = retired_find(s, life_actor(life));
    return x != NULL && (life <= x->life || life < x->next);
}

static void raise_newest(life_t *newest, life_t life, uint32_t region)
{
    if (life_region(life) == region && (*newest == LIFE_NONE || life > *newest))
        *newest = life;
}

life_t stability_newest(const struct stability *s, uint32_t region)
{
    life_t newest = LIFE_NONE;
    for (unsigned i = 0; i < s->claims_n; i++)
        raise_newest(&newest, s->claims[i].life, region);
    for (unsigned i = 0; i < s->retired_n; i++) {
        raise_newest(&newest, s->retired[i].life, region);
        raise_newest(&newest, s->retired[i].next, region);
        for (unsigned k = 0; k < s->retired[i].reports_n; k++)
            raise_newest(&newest, s->retired[i].reports[k].reporter, region);
    }
    return newest;
}

static struct report *report_find(const struct retired *x, life_t reporter)
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
        if (life_region(x->reports[i].reporter) == region &&
            !stability_outlived(s, x->reports[i].reporter))
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

/* By a life that had the number of `life` before it. */
static bool is_before(const struct report *r, uint64_t life)
{
    return life_actor(r->reporter) == life_actor(life) && r->reporter < life;
}

static struct retired *retired_add(struct stability *s, life_t life)
{
    s->retired = mem_realloc(s->retired, (s->retired_n + 1) * sizeof *s->retired);
    s->retired[s->retired_n] = (struct retired){.life = life};
    return &s->retired[s->retired_n++];
}

static void retired_drop(struct stability *s, struct retired *x)
{
    mem_free(x->reports);
    size_t behind = (size_t)(s->retired + s->retired_n - x) - 1;
    memmove(x, x + 1, behind * sizeof *x);
    s->retired_n--;
}

static bool reported_by_all_but(const struct stability *s, const struct retired *x, uint32_t region)
{
    for (uint32_t r = 1; x->next == LIFE_NONE && r <= REGION_MAX; r++)
        if (r != region && is_member(s, r) && report_of(s, x, r) == NULL)
            return false;
    return true;
}

static bool reported_by_all(const struct stability *s, const struct retired *x)
{
    return reported_by_all_but(s, x, 0);
}

/* The end of a life that reported, when it has ended itself; what is known of a later one with its
 * number says as much: who fences that one fences this one. */
static const struct retired *end_of(const struct stability *s, life_t reporter)
{
    return stability_outlived(s, reporter) ? retired_find(s, life_actor(reporter)) : NULL;
}

/*
 * The greatest record that a member has reported, and whether all have. Reports of lives that ended
 * themselves do not count: what such a life had and nobody took over in time is lost, and nobody
 * may wait for it. Then the cut holds once all know of that end, too: from there on nobody takes
 * more on the strength of such a report, and whoever did reports it in its own name.
 */
static stamp_t retired_cut(const struct stability *s, const struct retired *x, bool *all)
{
    stamp_t cut = x->cut;
    *all = reported_by_all(s, x);
    for (unsigned i = 0; i < x->reports_n; i++) {
        const struct report *r = &x->reports[i];
        if (!is_member(s, life_region(r->reporter)))
            continue;
        const struct retired *ended = end_of(s, r->reporter);
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
    return all && !x->uncut && context_get(vv, life_actor(x->life)) >= cut;
}

/* All lives of the region before `life` that have ended are over. */
static bool earlier_ended(const struct stability *s, uint32_t region, life_t life,
                          const struct context *vv)
{
    for (unsigned i = 0; i < s->retired_n; i++) {
        const struct retired *x = &s->retired[i];
        if (life_region(x->life) == region && x->life < life && !retired_ended(s, x, vv))
            return false;
    }
    return true;
}

/*
 * A life before `next` has ended. Where its region kept nothing on disk the next life has what the
 * region that it caught up with had, and not all that was claimed to others, or to that one before
 * it had it itself: this is forgotten and may still come, so nobody may rely on it any more. What
 * has been relied on here all had, also the region that was caught up with: it had told so before
 * it told of the end. What the next life has it claims again.
 */
static void end_claims(struct stability *s, uint32_t actor, life_t next)
{
#ifdef MUTANT_old_claims
    return; /* the planted bug */
#endif
    for (unsigned i = 0; i < s->claims_n; i++)
        if (life_actor(s->claims[i].life) == actor && s->claims[i].life < next)
            context_meet(&s->claims[i].counts, &s->stable);
}

bool stability_retire(struct stability *s, life_t life, const struct context *vv)
{
    uint32_t actor = life_actor(life);
    struct retired *x = retired_find(s, actor);
#ifdef MUTANT_old_news
    if (x != NULL && x->next != LIFE_NONE)
        life =
            x->next; /* the planted bug: news of the number's old life are taken for this one's */
#endif
    if (actor == life_actor(s->life) || stability_outlived(s, life))
        return false;
    end_claims(s, actor, life + 1);
    if (x == NULL)
        x = retired_add(s, life);
    /* What was reported of an earlier life with this number does not say that this one is fenced
     * there; what is reported of this one will. */
    x->life = life;
    x->reports_n = 0;
    x->next = LIFE_NONE;
    x->cut = 0;
    x->uncut = false;
    x->record = context_get(vv, actor);
    return true;
}

void stability_retire_actor(struct stability *s, uint32_t actor, const struct context *vv)
{
    stability_retire(s, newest(s, actor), vv);
}

void stability_retire_region(struct stability *s, uint32_t region, const struct context *vv)
{
    for (unsigned i = 0; i < s->claims_n; i++)
        if (life_region(s->claims[i].life) == region)
            stability_retire(s, newest(s, life_actor(s->claims[i].life)), vv);
    for (unsigned i = 0; i < vv->n; i++)
        if (actor_region(stamp_actor(vv->at[i])) == region)
            stability_retire(s, newest(s, stamp_actor(vv->at[i])), vv);
}

/*
 * As retired_ended, whatever the life's own region has reported: its lives may have ended before
 * they could, and the one that begins has seen to it that it has all of the old one. What it alone
 * has of that comes from itself, as the beginning of the new life.
 */
static bool ended_elsewhere(const struct stability *s, const struct retired *x,
                            const struct context *vv)
{
    uint32_t own = life_region(x->life);
    stamp_t cut = 0;
    if (!reported_by_all_but(s, x, own))
        return false;
    for (unsigned i = 0; i < x->reports_n; i++) {
        const struct report *r = &x->reports[i];
        const struct retired *ended = end_of(s, r->reporter);
        if (!is_member(s, life_region(r->reporter)))
            continue;
        /* What such a life alone had is lost, or has been taken from it by somebody who has since
         * reported. Nor is the region's word needed on who else has ended: what it still takes of
         * the old life it has. */
        if (ended != NULL && !reported_by_all_but(s, ended, own))
            return false;
        if (ended == NULL && life_region(r->reporter) != own && r->record > cut)
            cut = r->record;
    }
    return context_get(vv, life_actor(x->life)) >= cut;
}

/* Where the lives before the present one of this number ended, as far as anybody has told. */
static stamp_t cut_of(const struct retired *x, const struct context *vv)
{
    stamp_t cut = context_get(vv, life_actor(x->life));
    for (unsigned i = 0; i < x->reports_n; i++)
        cut = x->reports[i].record > cut ? x->reports[i].record : cut;
    return cut;
}

/* The number is `life`'s: the lives before it are over, and were cut there. */
static void give_number(struct stability *s, struct retired *x, life_t life, stamp_t cut)
{
    x->life = life_before(life);
    x->next = life;
    x->cut = cut;
    x->uncut = false;
    x->reports_n = 0;
    for (unsigned i = 0; i < s->retired_n; i++)
        drop_reports(&s->retired[i], is_before, life); /* the new life speaks for itself */
}

bool stability_admit(struct stability *s, life_t life, const struct context *vv, bool known,
                     bool *news)
{
    uint32_t actor = life_actor(life);
    bool own = actor == life_actor(s->life);
    if (life_before(life) == LIFE_NONE || (own && !known))
        return true;
    *news |= stability_retire(s, life_before(life), vv);
    struct retired *x = retired_find(s, actor);
    if (x == NULL) /* our own */
        x = retired_add(s, life_before(life));
    if (x->next == life)
        return known || (!x->uncut && context_get(vv, actor) >= x->cut);
    bool over = own || ended_elsewhere(s, x, vv);
    if (!known && !over)
        return false;
    /* What its own region's lives alone have reported counts only where it still has it. */
    give_number(s, x, life, known ? cut_of(x, vv) : context_get(vv, actor));
    x->uncut = !over;
    *news = true;
    return true;
}

static bool report(struct stability *s, life_t ended, life_t reporter, stamp_t record)
{
    struct retired *x = retired_find(s, life_actor(ended));
    const struct retired *y = retired_find(s, life_actor(reporter));
    if (x == NULL || x->life != ended || x->next != LIFE_NONE)
        return false;
    if (y != NULL && reporter < y->next)
        return false; /* everybody knows that it has ended */
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

void stability_report(struct stability *s, life_t ended, life_t reporter, stamp_t record)
{
    report(s, ended, reporter, record);
}

bool stability_save(struct stability *s, const struct context *durable)
{
    bool news = false;
    for (unsigned i = 0; i < s->retired_n; i++) {
        stamp_t had = context_get(durable, life_actor(s->retired[i].life));
        if (had >= s->retired[i].record) /* else it was recorded after the durable state */
            news |= report(s, s->retired[i].life, s->life, had);
    }
    return news;
}

bool stability_may_take(const struct stability *s, uint32_t actor, stamp_t last, bool direct)
{
    const struct retired *x = retired_find(s, actor);
    if (x == NULL || x->next != LIFE_NONE)
        return true; /* of the lives before, `prev` says what must be here first */
    bool all;
    return !direct && last <= retired_cut(s, x, &all);
}

/* ------------------------------------------------------------ members and lives */

static bool is_from(const struct report *r, uint64_t regions)
{
    return regions >> life_region(r->reporter) & 1;
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

void stability_begin(struct stability *s, life_t life, const struct context *base)
{
    struct retired *old = retired_find(s, life_actor(life));
    if (old != NULL)
        retired_drop(s, old);
    s->life = life;
    context_clear(&s->base);
    if (base != NULL)
        context_copy(&s->base, base);
}

void stability_claim(struct stability *s, life_t life, const struct context *claim)
{
    unsigned i = 0;
    while (i < s->claims_n && life_actor(s->claims[i].life) != life_actor(life))
        i++;
    if (i == s->claims_n) {
        s->claims = mem_realloc(s->claims, (s->claims_n + 1) * sizeof *s->claims);
        s->claims[s->claims_n++] = (struct claim){.life = life};
    }
    if (life > s->claims[i].life)
        s->claims[i].life = life;
    context_join(&s->claims[i].seen, claim);
    context_join(&s->claims[i].counts, claim);
}

/* ------------------------------------------------------------ stable */

void stability_seen(const struct stability *s, const struct context *vv, struct context *out)
{
    context_copy(out, earlier_ended(s, s->region, s->life, vv) ? vv : &s->base);
}

/* What every operation still to come from that region has seen. */
static void region_view(const struct stability *s, uint32_t region, const struct context *vv,
                        struct context *out)
{
    context_clear(out);
    for (unsigned i = 0; i < s->claims_n; i++) {
        const struct claim *c = &s->claims[i];
        if (life_region(c->life) == region && earlier_ended(s, region, c->life, vv))
            context_join(out, &c->counts);
    }
}

/* Members, and who is no member any more but has last words under way. */
static bool region_counts(const struct stability *s, uint32_t region, const struct context *vv)
{
    return region != s->region && (is_member(s, region) || !earlier_ended(s, region, LIFE_MAX, vv));
}

void stability_stable(struct stability *s, const struct context *vv, struct context *out)
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
    context_copy(&s->stable, out);
    context_deinit(&view);
}

/* How far the region holds stability back, in milliseconds; who owes a report stands before all
 * others. */
static uint64_t region_lag(const struct stability *s, uint32_t region, const struct context *vv,
                           struct context *view)
{
    for (unsigned i = 0; i < s->retired_n; i++)
        if (is_member(s, region) && s->retired[i].next == LIFE_NONE &&
            report_of(s, &s->retired[i], region) == NULL)
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
        const struct retired *x = &s->retired[i];
        bool all;
        if (x->next == LIFE_NONE)
            context_drop(out, life_actor(x->life));
        context_raise(out, retired_cut(s, x, &all));
    }
}

bool stability_settled(const struct stability *s, const struct context *vv)
{
    return earlier_ended(s, s->region, s->life, vv);
}

uint32_t stability_owes(const struct stability *s, const struct context *vv)
{
    uint32_t owes = 0;
    for (unsigned i = 0; i < s->retired_n; i++) {
        const struct retired *x = &s->retired[i];
        if (life_region(x->life) != s->region || x->life >= s->life || retired_ended(s, x, vv))
            continue;
        for (uint32_t r = owes + 1; r <= REGION_MAX; r++)
            if (is_member(s, r) && report_of(s, x, r) == NULL)
                owes = r;
    }
    return owes;
}

bool stability_claimed(const struct stability *s, uint32_t region, stamp_t stamp)
{
    for (unsigned i = 0; i < s->claims_n; i++)
        if (life_region(s->claims[i].life) == region && !stability_outlived(s, s->claims[i].life) &&
            context_covers(&s->claims[i].seen, stamp))
            return true;
    return false;
}

void stability_recall(const struct stability *s, uint32_t region, const struct context *vv,
                      struct context *out)
{
    context_clear(out);
    for (unsigned i = 0; i < s->claims_n; i++)
        if (life_region(s->claims[i].life) == region)
            context_join(out, &s->claims[i].seen);
    context_meet(out, vv);
}

bool stability_has(const struct stability *s, uint32_t region, stamp_t stamp)
{
    for (unsigned i = 0; i < s->claims_n; i++)
        if (life_region(s->claims[i].life) == region && context_covers(&s->claims[i].seen, stamp))
            return true;
    const struct retired *x = retired_find(s, stamp_actor(stamp));
    const struct report *r = x ? report_of(s, x, region) : NULL;
    return r != NULL && stamp <= r->record;
}

/* ------------------------------------------------------------ news */

void stability_encode_news(struct buf *out, const struct stability *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->retired_n; i++)
        n += !s->retired[i].uncut;
    mp_put_array(out, n);
    for (unsigned i = 0; i < s->retired_n; i++) {
        const struct retired *x = &s->retired[i];
        if (x->uncut)
            continue; /* it will say itself */
        mp_put_array(out, 4);
        mp_put_uint(out, x->life);
        mp_put_uint(out, x->next);
        mp_put_uint(out, x->cut);
        mp_put_array(out, x->reports_n);
        for (unsigned j = 0; j < x->reports_n; j++) {
            mp_put_array(out, 2);
            mp_put_uint(out, x->reports[j].reporter);
            mp_put_uint(out, x->reports[j].record);
        }
    }
}

static bool life_valid(uint64_t life) { return life <= LIFE_MAX && life_region(life) != 0; }

static bool record_valid(stamp_t record, life_t life)
{
    return record == 0 || stamp_actor(record) == life_actor(life);
}

/* Reads one life's reports: only to check them (s == NULL), or to take them. */
static bool read_reports(struct mp *m, life_t life, struct stability *s, bool *news)
{
    for (uint32_t n = mp_array(m); n > 0; n--) {
        if (mp_array(m) != 2)
            return false;
        uint64_t reporter = mp_uint(m);
        stamp_t record = mp_uint(m);
        if (m->bad || !life_valid(reporter) || !record_valid(record, life))
            return false;
        if (s != NULL)
            *news |= report(s, life, reporter, record);
    }
    return !m->bad;
}

static bool check_news(struct mp m)
{
    for (uint32_t n = mp_array(&m); n > 0; n--) {
        if (mp_array(&m) != 4)
            return false;
        uint64_t life = mp_uint(&m), next = mp_uint(&m);
        stamp_t cut = mp_uint(&m);
        if (m.bad || !life_valid(life) || !record_valid(cut, life) ||
            !read_reports(&m, life, NULL, NULL))
            return false;
        if (next != LIFE_NONE && (!life_valid(next) || life_before(next) != life))
            return false;
    }
    return !m.bad;
}

/* Somebody has seen that all lives before `next` are over, and where they were cut. */
static bool hear_admitted(struct stability *s, life_t next, stamp_t cut)
{
    struct retired *x = retired_find(s, life_actor(next));
    if (life_actor(next) == life_actor(s->life) || (x != NULL && x->life >= next))
        return false; /* it has ended since */
    if (x != NULL && x->next >= next) {
        bool news = x->next == next && (x->uncut || cut > x->cut);
        x->cut = news && cut > x->cut ? cut : x->cut;
        x->uncut &= x->next != next;
        return news;
    }
    end_claims(s, life_actor(next), next);
    give_number(s, x != NULL ? x : retired_add(s, life_before(next)), next, cut);
    return true;
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
        mp_array(m);
        life_t life = mp_uint(m), next = mp_uint(m);
        stamp_t cut = mp_uint(m);
        *news |= next != LIFE_NONE ? hear_admitted(s, next, cut) : stability_retire(s, life, vv);
        read_reports(m, life, s, news); /* without effect when old */
    }
    return true;
}
