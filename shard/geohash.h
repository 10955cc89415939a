/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_GEOHASH_H
#define MERIDIAN_SHARD_GEOHASH_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Places on the globe as scores of a sorted set, the way Redis keeps them: longitude and latitude
 * as 26-bit fractions of their ranges, bits interleaved (longitude first), 52 bits that a double
 * holds exactly. Places near each other mostly share their upper bits, so a search reads a few
 * ranges of scores. https://redis.io/docs/latest/commands/geoadd/ ; the calculations keep Redis'
 * order of steps, so that scores, distances and the order of results agree to the bit.
 */
#define GEO_LON_MAX 180.0
#define GEO_LAT_MAX 85.05112878 /* beyond it the Mercator projection has no square any more */
#define GEO_TEXT 11

struct geo_point {
    double lon, lat; /* degrees */
};

bool geo_valid(struct geo_point p);
double geo_score(struct geo_point p); /* p is valid */
/* The middle of a score's cell. Any double has one: sorted sets hold what others put there. */
struct geo_point geo_point(double score);
/* The common geohash text (base 32, latitudes from -90 to 90), not terminated. */
void geo_text(struct geo_point p, char out[GEO_TEXT]);
/* Metres along the great circle, on a sphere of Redis' radius. */
double geo_distance(struct geo_point a, struct geo_point b);

/* What is searched: a circle, or a box whose sides are parallel to those of the map. */
struct geo_area {
    struct geo_point center;
    bool is_box;
    double radius, width, height; /* in units */
    double unit;                  /* metres */
};
/* Whether the point lies inside; *distance from the centre, in metres, is set only then. */
bool geo_inside(const struct geo_area *a, struct geo_point p, double *distance);

/* The ranges of scores, from `min` to below `max`, that hold all points inside an area: its
 * centre's cell first, then neighbours. Returns how many; no two are equal. */
struct geo_range {
    double min, max;
};
#define GEO_RANGES 9
unsigned geo_cover(const struct geo_area *a, struct geo_range out[GEO_RANGES]);

#endif
