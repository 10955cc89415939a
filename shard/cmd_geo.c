/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_geo.h"

#include "base/num.h"
#include "shard/cmd_zset.h"
#include "shard/events.h"

#include <math.h>
#include <stdio.h>

/* Redis commands of the group "geo": https://redis.io/docs/latest/commands/?group=geo. Positions
 * are members of sorted sets, so they merge as these do. */

bool geo_point_arg(struct call *c, uint32_t i, struct geo_point *out)
{
    if (!arg_double(c, c->argv[i], &out->lon) || !arg_double(c, c->argv[i + 1], &out->lat))
        return false;
    if (geo_valid(*out))
        return true;
    reply_errorf(c->reply, "ERR invalid longitude,latitude pair %f,%f", out->lon, out->lat);
    return false;
}

bool geo_unit_arg(struct call *c, struct bytes arg, double *metres)
{
    if (bytes_is_nocase(arg, "m"))
        *metres = 1;
    else if (bytes_is_nocase(arg, "km"))
        *metres = 1000;
    else if (bytes_is_nocase(arg, "ft"))
        *metres = 0.3048;
    else if (bytes_is_nocase(arg, "mi"))
        *metres = 1609.34;
    else {
        reply_error(c->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
        return false;
    }
    return true;
}

void geo_reply_distance(struct reply *r, double distance)
{
    char text[64];
    long long units = llrint(distance * 10000);
    int n = snprintf(text, sizeof text, "%lld.%04lld", units / 10000, units % 10000);
    reply_bulk(r, bytes_of(text, (size_t)n));
}

void geo_reply_point(struct reply *r, struct geo_point p)
{
    reply_array(r, 2);
    reply_real(r, (long double)p.lon);
    reply_real(r, (long double)p.lat);
}

/* ------------------------------------------------------------ GEOADD */

struct geoadd {
    bool nx, xx, ch;
    uint32_t first;         /* argument of the first longitude */
    int64_t added, updated; /* so far */
};

static bool geoadd_option(struct bytes arg, struct geoadd *g)
{
    bool *flag = bytes_is_nocase(arg, "nx")   ? &g->nx
                 : bytes_is_nocase(arg, "xx") ? &g->xx
                 : bytes_is_nocase(arg, "ch") ? &g->ch
                                              : NULL;
    if (flag != NULL)
        *flag = true;
    return flag != NULL;
}

/* As ZADD: a member that stays where it was is written again, so that it survives a removal made
 * elsewhere meanwhile. */
static void geoadd_one(struct call *c, struct key *k, struct geoadd *g, uint32_t i)
{
    struct geo_point p = {0};
    struct bytes member = c->argv[i + 2];
    const struct cell *old = coll_find(k->cell, TYPE_ZSET, member);
    if (old == NULL ? g->xx : g->nx)
        return;
    geo_point_arg(c, i, &p); /* was read before, without an error */
    double score = geo_score(p);
    g->added += old == NULL;
    g->updated += old != NULL && cell_score(old) != score;
    key_elem_real(c, k, OP_ZADD, member, (long double)score);
}

static void geoadd(struct call *c)
{
    struct geoadd g = {.first = 2};
    struct geo_point p;
    struct key k;
    while (g.first < c->argc && geoadd_option(c->argv[g.first], &g))
        g.first++;
    if ((c->argc - g.first) % 3 != 0 || (g.nx && g.xx)) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    for (uint32_t i = g.first; i < c->argc; i += 3)
        if (!geo_point_arg(c, i, &p))
            return;
    if (g.first == c->argc) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (!zset_write(c, &k))
        return;
    for (uint32_t i = g.first; i < c->argc; i += 3)
        geoadd_one(c, &k, &g, i);
    if (g.added + g.updated > 0)
        key_event(c, EVENT_ZSET, "zadd", k.name);
    reply_int(c->reply, g.ch ? g.added + g.updated : g.added);
}

/* ------------------------------------------------------------ single members */

static void geopos(struct call *c)
{
    struct key k;
    if (!zset_read(c, &k))
        return;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        const struct cell *e = coll_find(k.cell, TYPE_ZSET, c->argv[i]);
        if (e == NULL)
            reply_nil_array(c->reply);
        else
            geo_reply_point(c->reply, geo_point(cell_score(e)));
    }
}

static void geohash(struct call *c)
{
    struct key k;
    char text[GEO_TEXT];
    if (!zset_read(c, &k))
        return;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        const struct cell *e = coll_find(k.cell, TYPE_ZSET, c->argv[i]);
        if (e == NULL) {
            reply_nil(c->reply);
            continue;
        }
        geo_text(geo_point(cell_score(e)), text);
        reply_bulk(c->reply, bytes_of(text, sizeof text));
    }
}

static void geodist(struct call *c)
{
    struct key k;
    double unit = 1;
    if (c->argc > 5) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if ((c->argc == 5 && !geo_unit_arg(c, c->argv[4], &unit)) || !zset_read(c, &k))
        return;
    const struct cell *a = coll_find(k.cell, TYPE_ZSET, c->argv[2]);
    const struct cell *b = coll_find(k.cell, TYPE_ZSET, c->argv[3]);
    if (a == NULL || b == NULL) {
        reply_nil(c->reply);
        return;
    }
    double metres = geo_distance(geo_point(cell_score(a)), geo_point(cell_score(b)));
    geo_reply_distance(c->reply, metres / unit);
}

#define SEARCH_ARGS                                                                                \
    "<FROMMEMBER member|FROMLONLAT longitude latitude> <BYRADIUS radius <M|KM|FT|MI>|BYBOX width " \
    "height <M|KM|FT|MI>> [ASC|DESC] [COUNT count [ANY]]"
#define RADIUS_ARGS "[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]"
#define SEARCH_COST                                                                                \
    "O(N+log(M)) with N the number of members in the cells around the area and M that in the area"

const struct command cmd_geo_table[] = {
    {"geoadd", -5, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE, geoadd, NULL, "geo",
     "3.2.0", "O(log(N)) for each member", "Sets positions of members, adding what is not there",
     "key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]"},
    {"geodist", -4, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, geodist, NULL, "geo", "3.2.0",
     "O(1)", "Returns the distance of two members", "key member1 member2 [M|KM|FT|MI]"},
    {"geohash", -2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, geohash, NULL, "geo", "3.2.0",
     "O(1) for each member", "Returns members' positions as geohash texts",
     "key [member [member ...]]"},
    {"geopos", -2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, geopos, NULL, "geo", "3.2.0",
     "O(1) for each member", "Returns members' longitudes and latitudes",
     "key [member [member ...]]"},
    {"georadius", -6, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE, georadius,
     georadius_keys, "geo", "3.2.0", SEARCH_COST, "Finds or stores members near a position",
     "key longitude latitude radius <M|KM|FT|MI> " RADIUS_ARGS " [STORE key|STOREDIST key]"},
    {"georadius_ro", -6, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, georadius_ro, NULL, "geo",
     "3.2.10", SEARCH_COST, "Finds members near a position",
     "key longitude latitude radius <M|KM|FT|MI> " RADIUS_ARGS},
    {"georadiusbymember", -5, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE,
     georadiusbymember, georadius_keys, "geo", "3.2.0", SEARCH_COST,
     "Finds or stores members near another one",
     "key member radius <M|KM|FT|MI> " RADIUS_ARGS " [STORE key|STOREDIST key]"},
    {"georadiusbymember_ro", -5, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, georadiusbymember_ro,
     NULL, "geo", "3.2.10", SEARCH_COST, "Finds members near another one",
     "key member radius <M|KM|FT|MI> " RADIUS_ARGS},
    {"geosearch", -7, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, geosearch, NULL, "geo", "6.2.0",
     SEARCH_COST, "Finds members inside a circle or a box",
     "key " SEARCH_ARGS " [WITHCOORD] [WITHDIST] [WITHHASH]"},
    {"geosearchstore", -8, CMD_WRITE | CMD_DENYOOM, 1, 2, 1, AT_SHARD, MERGE_NONE, geosearchstore,
     NULL, "geo", "6.2.0", SEARCH_COST, "Stores members inside a circle or a box",
     "destination source " SEARCH_ARGS " [STOREDIST]"},
    {.name = NULL},
};
