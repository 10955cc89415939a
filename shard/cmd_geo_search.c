/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_geo.h"

#include "base/num.h"
#include "shard/combine.h"

#include <stdlib.h>

/* GEOSEARCH, GEOSEARCHSTORE, and GEORADIUS and its kin, which they replace. */

enum geo_command { GEO_RADIUS, GEO_RADIUS_MEMBER, GEO_SEARCH };

struct search {
    enum geo_command by;
    bool read_only;     /* no STORE */
    bool is_store_form; /* GEOSEARCHSTORE: STOREDIST takes no key */
    struct key source;
    struct geo_area area;
    bool from_member, from_point, by_radius, by_box;
    bool with_distance, with_hash, with_point, any, store_distance, sorted, descending;
    int64_t count;             /* 0: all */
    const struct bytes *store; /* NULL: reply the members */
};

struct found {
    struct bytes member; /* borrowed from the source */
    double score, distance;
    struct geo_point at;
    size_t order; /* in which it was found */
};

/* ------------------------------------------------------------ arguments */

/* A member's position; of an absent key only the syntax matters. */
static bool member_arg(struct call *c, struct search *s, struct bytes member)
{
    if (s->source.cell == NULL)
        return true;
    const struct cell *e = coll_find(s->source.cell, TYPE_ZSET, member);
    if (e != NULL)
        s->area.center = geo_point(cell_score(e));
    else
        reply_error(c->reply, "ERR could not decode requested zset member");
    return e != NULL;
}

static bool length_arg(struct call *c, uint32_t i, const char *message, double *out)
{
    bool ok = num_parse_double(c->argv[i], out);
    if (!ok)
        reply_error(c->reply, message);
    return ok;
}

static bool radius_arg(struct call *c, uint32_t i, struct geo_area *a)
{
    a->is_box = false;
    if (!length_arg(c, i, "ERR need numeric radius", &a->radius))
        return false;
    if (a->radius < 0) {
        reply_error(c->reply, "ERR radius cannot be negative");
        return false;
    }
    return geo_unit_arg(c, c->argv[i + 1], &a->unit);
}

static bool box_arg(struct call *c, uint32_t i, struct geo_area *a)
{
    a->is_box = true;
    if (!length_arg(c, i, "ERR need numeric width", &a->width) ||
        !length_arg(c, i + 1, "ERR need numeric height", &a->height))
        return false;
    if (a->width < 0 || a->height < 0) {
        reply_error(c->reply, "ERR height or width cannot be negative");
        return false;
    }
    return geo_unit_arg(c, c->argv[i + 2], &a->unit);
}

static bool count_arg(struct call *c, struct search *s, struct bytes arg)
{
    if (!arg_i64(c, arg, &s->count))
        return false;
    if (s->count <= 0)
        reply_error(c->reply, "ERR COUNT must be > 0");
    return s->count > 0;
}

/* An option that takes nothing; false when it is none. */
static bool flag_option(struct search *s, struct bytes arg)
{
    bool *flag = bytes_is_nocase(arg, "withdist")                        ? &s->with_distance
                 : bytes_is_nocase(arg, "withhash")                      ? &s->with_hash
                 : bytes_is_nocase(arg, "withcoord")                     ? &s->with_point
                 : bytes_is_nocase(arg, "any")                           ? &s->any
                 : s->is_store_form && bytes_is_nocase(arg, "storedist") ? &s->store_distance
                                                                         : NULL;
    bool descending = bytes_is_nocase(arg, "desc");
    if (flag != NULL) {
        *flag = true;
    } else if (descending || bytes_is_nocase(arg, "asc")) {
        s->sorted = true;
        s->descending = descending;
    } else {
        return false;
    }
    return true;
}

/* GEOSEARCH's FROM and BY. Returns how many arguments it took, 0: it is no such option, -1: an
 * error was replied. */
static int shape_option(struct call *c, struct search *s, uint32_t i)
{
    struct bytes arg = c->argv[i];
    uint32_t rest = c->argc - i;
    if (rest > 1 && !s->from_point && bytes_is_nocase(arg, "frommember")) {
        s->from_member = true;
        return member_arg(c, s, c->argv[i + 1]) ? 2 : -1;
    }
    if (rest > 2 && !s->from_member && bytes_is_nocase(arg, "fromlonlat")) {
        s->from_point = true;
        return geo_point_arg(c, i + 1, &s->area.center) ? 3 : -1;
    }
    if (rest > 2 && !s->by_box && bytes_is_nocase(arg, "byradius")) {
        s->by_radius = true;
        return radius_arg(c, i + 1, &s->area) ? 3 : -1;
    }
    if (rest > 3 && !s->by_radius && bytes_is_nocase(arg, "bybox")) {
        s->by_box = true;
        return box_arg(c, i + 1, &s->area) ? 4 : -1;
    }
    return 0;
}

/* As shape_option, of all options that take something. */
static int option(struct call *c, struct search *s, uint32_t i)
{
    struct bytes arg = c->argv[i];
    bool last = i + 1 == c->argc, distance = bytes_is_nocase(arg, "storedist");
    if (!last && bytes_is_nocase(arg, "count"))
        return count_arg(c, s, c->argv[i + 1]) ? 2 : -1;
    if (s->by == GEO_SEARCH)
        return shape_option(c, s, i);
    if (!last && !s->read_only && (distance || bytes_is_nocase(arg, "store"))) {
        s->store = &c->argv[i + 1];
        s->store_distance = distance;
        return 2;
    }
    return 0;
}

static bool options(struct call *c, struct search *s, uint32_t i)
{
    while (i < c->argc) {
        int took = flag_option(s, c->argv[i]) ? 1 : option(c, s, i);
        if (took == 0)
            reply_error(c->reply, ERR_SYNTAX);
        if (took <= 0)
            return false;
        i += (uint32_t)took;
    }
    return true;
}

/* What fits together; false when an error was replied. */
static bool consistent(struct call *c, const struct search *s)
{
    int n = c->argv[0].n < 64 ? (int)c->argv[0].n : 64;
    const char *name = (const char *)c->argv[0].p;
    if (s->store != NULL && (s->with_distance || s->with_hash || s->with_point))
        reply_errorf(c->reply,
                     "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                     s->is_store_form ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
    else if (s->by == GEO_SEARCH && !s->from_member && !s->from_point)
        reply_errorf(c->reply,
                     "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s", n,
                     name);
    else if (s->by == GEO_SEARCH && !s->by_radius && !s->by_box)
        reply_errorf(c->reply, "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s", n,
                     name);
    else if (s->any && s->count == 0)
        reply_error(c->reply, "ERR the ANY argument requires COUNT argument");
    else
        return true;
    return false;
}

/* Reads all arguments but the source's key; false when an error was replied. */
static bool parse(struct call *c, struct search *s)
{
    uint32_t first = s->is_store_form ? 3 : 2;
    if (s->is_store_form)
        s->store = &c->argv[1];
    if (s->by == GEO_RADIUS) {
        first = 6;
        if (!geo_point_arg(c, 2, &s->area.center) || !radius_arg(c, 4, &s->area))
            return false;
    } else if (s->by == GEO_RADIUS_MEMBER) {
        first = 5;
        if (s->source.cell != NULL &&
            (!member_arg(c, s, c->argv[2]) || !radius_arg(c, 3, &s->area)))
            return false;
    }
    return options(c, s, first) && consistent(c, s);
}

/* ------------------------------------------------------------ finding */

/* Adds what a range of scores holds of the area; false when COUNT ANY has enough. */
static bool find_in(const struct search *s, const struct geo_range *range, struct buf *out,
                    size_t *n)
{
    size_t len = coll_len(s->source.cell, TYPE_ZSET);
    size_t first = zset_rank_score(s->source.cell, range->min, false);
    struct order_iter it;
    if (first == len)
        return true;
    order_iter(&it, s->source.cell, TYPE_ZSET, first);
    for (const struct cell *e; (e = order_next(&it)) != NULL;) {
        struct found f = {.score = cell_score(e), .order = *n};
        if (f.score >= range->max)
            break;
        f.at = geo_point(f.score);
        if (!geo_inside(&s->area, f.at, &f.distance))
            continue;
        f.member = cell_name(e);
        f.distance /= s->area.unit;
        buf_put(out, &f, sizeof f);
        if (++*n == (size_t)s->count && s->any)
            return false;
    }
    return true;
}

static int nearer(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int farther(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance > y->distance ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Fills `out` with struct found, as many as shall be replied; returns how many. */
static size_t find(const struct search *s, struct buf *out)
{
    struct geo_range ranges[GEO_RANGES];
    unsigned count = geo_cover(&s->area, ranges);
    size_t n = 0;
    for (unsigned i = 0; i < count; i++)
        if (!find_in(s, &ranges[i], out, &n))
            break;
    /* the nearest are meant where no order is asked for, unless any will do */
    if (n > 1 && (s->sorted || (s->count > 0 && !s->any)))
        qsort(out->p, n, sizeof(struct found), s->descending ? farther : nearer);
    return s->count > 0 && n > (size_t)s->count ? (size_t)s->count : n;
}

/* ------------------------------------------------------------ answering */

static void answer(struct call *c, const struct search *s, const struct found *at, size_t n)
{
    size_t extra = (size_t)s->with_distance + s->with_hash + s->with_point;
    reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++) {
        if (extra > 0)
            reply_array(c->reply, 1 + extra);
        reply_bulk(c->reply, at[i].member);
        if (s->with_distance)
            geo_reply_distance(c->reply, at[i].distance);
        if (s->with_hash)
            reply_int(c->reply, (int64_t)at[i].score);
        if (s->with_point)
            geo_reply_point(c->reply, at[i].at);
    }
}

static void store(struct call *c, const struct search *s, const struct found *at, size_t n)
{
    struct tally rows;
    tally_init(&rows, NULL);
    for (size_t i = 0; i < n; i++)
        tally_push(&rows, at[i].member)->score = s->store_distance ? at[i].distance : at[i].score;
    combine_store(c, *s->store, TYPE_ZSET,
                  s->by == GEO_SEARCH ? "geosearchstore" : "georadiusstore", &rows);
    tally_deinit(&rows);
}

static void search_run(struct call *c, struct search *s)
{
    struct buf out = {0};
    size_t n = 0;
    key_read(c, c->argv[s->is_store_form ? 2 : 1], &s->source);
    if (!key_is(c, &s->source, TYPE_ZSET) || !parse(c, s))
        return;
    if (s->source.cell != NULL)
        n = find(s, &out);
    union {
        uint8_t *bytes;
        const struct found *found;
    } at = {.bytes = out.p};
    if (s->store != NULL)
        store(c, s, at.found, n);
    else
        answer(c, s, at.found, n);
    buf_deinit(&out);
}

void georadius(struct call *c) { search_run(c, &(struct search){.by = GEO_RADIUS}); }

void georadius_ro(struct call *c)
{
    search_run(c, &(struct search){.by = GEO_RADIUS, .read_only = true});
}

void georadiusbymember(struct call *c) { search_run(c, &(struct search){.by = GEO_RADIUS_MEMBER}); }

void georadiusbymember_ro(struct call *c)
{
    search_run(c, &(struct search){.by = GEO_RADIUS_MEMBER, .read_only = true});
}

void geosearch(struct call *c) { search_run(c, &(struct search){.by = GEO_SEARCH}); }

void geosearchstore(struct call *c)
{
    search_run(c, &(struct search){.by = GEO_SEARCH, .is_store_form = true});
}

unsigned georadius_keys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    unsigned n = 0;
    uint32_t target = 0;
    if (argc < 2 || max == 0)
        return 0;
    at[n++] = 1;
    for (uint32_t i = 5; i + 1 < argc; i++)
        if (bytes_is_nocase(argv[i], "store") || bytes_is_nocase(argv[i], "storedist"))
            target = ++i;
    if (target > 0 && n < max)
        at[n++] = target;
    return n;
}
