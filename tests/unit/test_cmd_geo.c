/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rng.h"
#include "shard/geohash.h"
#include "tests/unit/run.h"

#include <math.h>
#include <stdio.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_geo, .init = start, .fini = stop);

static void sicily(void)
{
    expect(&r, "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "2");
}

/* What redis-server 7.0.15 answers. */
Test(cmd_geo, scores_and_texts_are_those_of_redis)
{
    sicily();
    expect(&r, "ZSCORE g Palermo", "3479099956230698");
    expect(&r, "ZSCORE g Catania", "3479447370796909");
    expect(&r, "GEOHASH g Palermo nobody Catania", "[sqc8b49rny0 nil sqdtr74hyu0]");
    expect(&r, "GEOPOS g Palermo nobody", "[[13.36138933897018433 38.11555639549629859] nil]");
    r.resp = 3;
    expect_raw(&r, "GEOPOS g Palermo",
               "*1\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n");
}

Test(cmd_geo, distances_have_four_digits)
{
    sicily();
    expect(&r, "GEODIST g Palermo Catania", "166274.1516");
    expect(&r, "GEODIST g Palermo Catania km", "166.2742");
    expect(&r, "GEODIST g Palermo Catania MI", "103.3182");
    expect(&r, "GEODIST g Palermo Catania ft", "545518.8700");
    expect(&r, "GEODIST g Palermo Palermo", "0.0000");
    expect(&r, "GEODIST g Palermo nobody", "nil");
    expect(&r, "GEODIST none Palermo Catania", "nil");
    expect(&r, "GEODIST g Palermo Catania parsec",
           "error ERR unsupported unit provided. please use M, KM, FT, MI");
}

Test(cmd_geo, adding_says_what_it_did)
{
    sicily();
    expect(&r, "GEOADD g NX 1 1 Palermo", "0");
    expect(&r, "GEOADD g XX 1 1 nobody", "0");
    expect(&r, "GEOADD g XX CH 1 1 Palermo 1 2 nobody", "1");
    expect(&r, "GEOADD g NX XX 1 1 Palermo", "error ERR syntax error");
    expect(&r, "GEOADD g CH NX XX", "error ERR syntax error");
    expect(&r, "GEOADD g 200 100 x",
           "error ERR invalid longitude,latitude pair 200.000000,100.000000");
    expect(&r, "GEOADD g 1 1 a 1 x b", "error ERR value is not a valid float");
    expect(&r, "ZCARD g", "2");
}

Test(cmd_geo, a_search_finds_what_is_inside)
{
    sicily();
    expect(&r, "GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2", "2");
    expect(&r, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC", "[Catania Palermo]");
    expect(&r, "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC WITHDIST",
           "[[edge1 279.7405] [edge2 279.7403] [Palermo 190.4424] [Catania 56.4413]]");
    expect(&r, "GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 m WITHHASH WITHCOORD",
           "[[Palermo 3479099956230698 [13.36138933897018433 38.11555639549629859]]]");
    expect(&r, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1", "[Catania]");
    expect(&r, "GEORADIUS g 15 37 200 km DESC", "[Palermo Catania]");
    expect(&r, "GEORADIUSBYMEMBER_RO g Catania 100 km", "[Catania]");
    expect(&r, "GEOSEARCH none FROMMEMBER x BYRADIUS 1 m", "[]");
}

Test(cmd_geo, a_search_is_stored)
{
    sicily();
    expect(&r, "GEOSEARCHSTORE near g FROMLONLAT 15 37 BYRADIUS 100 km", "1");
    expect(&r, "ZRANGE near 0 -1 WITHSCORES", "[Catania 3479447370796909]");
    expect(&r, "GEORADIUS g 15 37 200 km STOREDIST near", "2");
    expect(&r, "ZRANGE near 0 -1", "[Catania Palermo]");
    expect(&r, "GEOSEARCHSTORE g g FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST", "1");
    expect(&r, "ZCARD g", "1");
    expect(&r, "GEOSEARCHSTORE near none FROMLONLAT 15 37 BYRADIUS 100 km", "0");
    expect(&r, "EXISTS near", "0");
}

Test(cmd_geo, wrong_searches_are_refused)
{
    sicily();
    expect(&r, "GEOSEARCH g FROMLONLAT 1 1 FROMMEMBER Palermo ASC", "error ERR syntax error");
    expect(&r, "GEOSEARCH g BYRADIUS 1 km ASC WITHDIST WITHCOORD",
           "error ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH");
    expect(&r, "GEOSEARCH g FROMLONLAT 1 1 ASC WITHDIST",
           "error ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH");
    expect(&r, "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 km ANY",
           "error ERR the ANY argument requires COUNT argument");
    expect(&r, "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 km COUNT 0", "error ERR COUNT must be > 0");
    expect(&r, "GEOSEARCH g FROMMEMBER nobody BYRADIUS 1 km",
           "error ERR could not decode requested zset member");
    expect(&r, "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS -1 km", "error ERR radius cannot be negative");
    expect(&r, "GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 km",
           "error ERR height or width cannot be negative");
    expect(&r, "GEORADIUS g 1 1 1 km STORE x WITHDIST",
           "error ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and "
           "WITHCOORD options");
    expect(&r, "GEORADIUS_RO g 1 1 1 km STORE x", "error ERR syntax error");
}

static double spot(struct rng *rng, double max)
{
    return ((double)(rng_next(rng) % 2000001) / 1000000 - 1) * max;
}

/* The cells that are searched hold every point inside, anywhere on the map. */
Test(geohash, cover_misses_nothing)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 3000; i++) {
        struct geo_area a = {.unit = 1,
                             .center = {.lon = spot(&rng, 170), .lat = spot(&rng, 75)},
                             .is_box = i % 2 == 1,
                             .radius = exp((double)(rng_next(&rng) % 1300) / 100)};
        a.width = a.height = a.radius;
        struct geo_range ranges[GEO_RANGES];
        unsigned n = geo_cover(&a, ranges);
        for (int j = 0; j < 20; j++) {
            double reach = a.radius / 80000; /* degrees, roughly */
            struct geo_point p = {.lon = a.center.lon + spot(&rng, reach),
                                  .lat = a.center.lat + spot(&rng, reach)};
            double score, distance;
            bool found = false;
            if (!geo_valid(p))
                continue;
            score = geo_score(p);
            if (!geo_inside(&a, geo_point(score), &distance))
                continue;
            for (unsigned k = 0; k < n; k++)
                found |= score >= ranges[k].min && score < ranges[k].max;
            cr_assert(found, "centre %.17g %.17g radius %.17g misses %.17g %.17g", a.center.lon,
                      a.center.lat, a.radius, p.lon, p.lat);
        }
    }
}

Test(geohash, a_score_is_within_a_metre)
{
    struct rng rng;
    rng_init(&rng, 8);
    for (int i = 0; i < 1000; i++) {
        struct geo_point p = {.lon = spot(&rng, 180), .lat = spot(&rng, 85)};
        cr_expect(geo_distance(p, geo_point(geo_score(p))) < 1);
    }
    cr_expect(geo_valid(geo_point(-1)) && geo_valid(geo_point(INFINITY)) &&
              geo_valid(geo_point(-INFINITY)) && geo_valid(geo_point(1e300)));
}
