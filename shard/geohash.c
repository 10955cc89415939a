/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/geohash.h"

#include <math.h>

#define STEPS_MAX 26u /* bits of each coordinate in a score */
#define EARTH_RADIUS 6372797.560856
#define MERCATOR_MAX 20037726.37 /* half the map's width in metres */
#define DEGREE (M_PI / 180.0)

/* ------------------------------------------------------------ cells */

/* A square of the map: the coordinates' first `steps` bits. An x or y at the far edge of its range
 * has one bit more. */
struct cell {
    uint32_t x, y;
    unsigned steps;
};

struct box {
    struct geo_point min, max;
};

/* Latitudes of the map end near 85 degrees, those of geohash texts at the poles. */
static struct cell cell_of(struct geo_point p, double lat_max, unsigned steps)
{
    double x = (p.lon - -GEO_LON_MAX) / (GEO_LON_MAX - -GEO_LON_MAX);
    double y = (p.lat - -lat_max) / (lat_max - -lat_max);
    double scale = (double)(UINT64_C(1) << steps);
    return (struct cell){.x = (uint32_t)(x * scale), .y = (uint32_t)(y * scale), .steps = steps};
}

static double edge(double max, uint64_t at, unsigned steps)
{
    return -max + ((double)at * 1.0 / (double)(UINT64_C(1) << steps)) * (max - -max);
}

static struct box box_of(struct cell c)
{
    return (struct box){
        .min = {.lon = edge(GEO_LON_MAX, c.x, c.steps), .lat = edge(GEO_LAT_MAX, c.y, c.steps)},
        .max = {.lon = edge(GEO_LON_MAX, (uint64_t)c.x + 1, c.steps),
                .lat = edge(GEO_LAT_MAX, (uint64_t)c.y + 1, c.steps)}};
}

/* Bit i of v goes to bit 2 * i. */
static uint64_t spread(uint32_t v)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < 32; i++)
        out |= (uint64_t)(v >> i & 1u) << (2 * i);
    return out;
}

static uint32_t gather(uint64_t v)
{
    uint32_t out = 0;
    for (unsigned i = 0; i < 32; i++)
        out |= (uint32_t)(v >> (2 * i) & 1u) << i;
    return out;
}

static uint64_t cell_bits(struct cell c) { return spread(c.x) << 1 | spread(c.y); }

/* The cell so many to the east and to the north; round the globe where the map ends. */
static struct cell cell_beside(struct cell c, int east, int north)
{
    uint32_t mask = (UINT32_C(1) << c.steps) - 1;
    if (east != 0)
        c.x = (c.x + (uint32_t)east) & mask;
    if (north != 0)
        c.y = (c.y + (uint32_t)north) & mask;
    return c;
}

/* ------------------------------------------------------------ points */

bool geo_valid(struct geo_point p)
{
    return p.lon >= -GEO_LON_MAX && p.lon <= GEO_LON_MAX && p.lat >= -GEO_LAT_MAX &&
           p.lat <= GEO_LAT_MAX;
}

double geo_score(struct geo_point p)
{
    return (double)cell_bits(cell_of(p, GEO_LAT_MAX, STEPS_MAX));
}

/* A double as the 64 bits that x86-64 makes of it, for scores that GEOADD did not write. */
static uint64_t score_bits(double score)
{
    const double half = 9223372036854775808.0; /* 2^63 */
    if (score >= half)
        return score < 2 * half ? (uint64_t)score : 0;
    return score >= -half ? (uint64_t)(int64_t)score : UINT64_C(1) << 63;
}

static double clamp(double v, double max) { return v > max ? max : v < -max ? -max : v; }

struct geo_point geo_point(double score)
{
    uint64_t bits = score_bits(score);
    struct box b =
        box_of((struct cell){.x = gather(bits >> 1), .y = gather(bits), .steps = STEPS_MAX});
    return (struct geo_point){.lon = clamp((b.min.lon + b.max.lon) / 2, GEO_LON_MAX),
                              .lat = clamp((b.min.lat + b.max.lat) / 2, GEO_LAT_MAX)};
}

void geo_text(struct geo_point p, char out[GEO_TEXT])
{
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = cell_bits(cell_of(p, 90.0, STEPS_MAX));
    for (unsigned i = 0; i < GEO_TEXT - 1; i++)
        out[i] = alphabet[bits >> (2 * STEPS_MAX - 5 * (i + 1)) & 31u];
    out[GEO_TEXT - 1] = '0'; /* 52 bits are ten characters; Redis' answers have eleven */
}

static double lat_distance(double a, double b)
{
    return EARTH_RADIUS * fabs(b * DEGREE - a * DEGREE);
}

/* Haversine: https://en.wikipedia.org/wiki/Haversine_formula */
double geo_distance(struct geo_point a, struct geo_point b)
{
    double v = sin((b.lon * DEGREE - a.lon * DEGREE) / 2);
    if (v == 0)
        return lat_distance(a.lat, b.lat);
    double lat_a = a.lat * DEGREE, lat_b = b.lat * DEGREE;
    double u = sin((lat_b - lat_a) / 2);
    double h = u * u + cos(lat_a) * cos(lat_b) * v * v;
    return 2.0 * EARTH_RADIUS * asin(sqrt(h));
}

/* ------------------------------------------------------------ areas */

static bool inside_box(const struct geo_area *a, struct geo_point p, double *distance)
{
    struct geo_point same_lat = {.lon = a->center.lon, .lat = p.lat};
    if (lat_distance(p.lat, a->center.lat) > a->height * a->unit / 2 ||
        geo_distance(p, same_lat) > a->width * a->unit / 2)
        return false;
    *distance = geo_distance(a->center, p);
    return true;
}

bool geo_inside(const struct geo_area *a, struct geo_point p, double *distance)
{
    if (a->is_box)
        return inside_box(a, p, distance);
    double d = geo_distance(a->center, p);
    if (d > a->radius * a->unit)
        return false;
    *distance = d;
    return true;
}

/* The steps at which a cell and its eight neighbours mostly cover a circle. */
static unsigned steps_for(double metres, double lat)
{
    int steps = 1;
    if (metres == 0)
        return STEPS_MAX;
    for (; metres < MERCATOR_MAX; metres *= 2)
        steps++;
    steps -= 2;
    if (lat > 66 || lat < -66) /* cells are narrower towards the poles */
        steps -= lat > 80 || lat < -80 ? 2 : 1;
    return steps < 1 ? 1 : steps > (int)STEPS_MAX ? STEPS_MAX : (unsigned)steps;
}

/* What surrounds the area in degrees: as wide as its side nearest to the equator's far side. */
static struct box bounds_of(const struct geo_area *a)
{
    struct geo_point c = a->center;
    double height = a->unit * (a->is_box ? a->height / 2 : a->radius);
    double width = a->unit * (a->is_box ? a->width / 2 : a->radius);
    double lat = height / EARTH_RADIUS / DEGREE;
    double widest = c.lat < 0 ? c.lat - lat : c.lat + lat;
    double lon = width / EARTH_RADIUS / cos(widest * DEGREE) / DEGREE;
    return (struct box){.min = {.lon = c.lon - lon, .lat = c.lat - lat},
                        .max = {.lon = c.lon + lon, .lat = c.lat + lat}};
}

/* The outer edges of the neighbours reach as far as the area does. */
static bool reaches(struct cell c, const struct box *bounds)
{
    return !(box_of(cell_beside(c, 0, 1)).max.lat < bounds->max.lat ||
             box_of(cell_beside(c, 0, -1)).min.lat > bounds->min.lat ||
             box_of(cell_beside(c, 1, 0)).max.lon < bounds->max.lon ||
             box_of(cell_beside(c, -1, 0)).min.lon > bounds->min.lon);
}

static struct geo_range range_of(struct cell c)
{
    unsigned shift = 2 * (STEPS_MAX - c.steps);
    uint64_t bits = cell_bits(c);
    return (struct geo_range){.min = (double)(bits << shift), .max = (double)((bits + 1) << shift)};
}

/* The area ends within its centre's cell on the side of such a neighbour. Two steps and more only:
 * below, the cells on both sides are the same. */
static bool is_beyond(struct cell c, const struct box *bounds, int east, int north)
{
    struct box own = box_of(c);
    return c.steps >= 2 && ((north < 0 && own.min.lat < bounds->min.lat) ||
                            (north > 0 && own.max.lat > bounds->max.lat) ||
                            (east < 0 && own.min.lon < bounds->min.lon) ||
                            (east > 0 && own.max.lon > bounds->max.lon));
}

static bool is_there(const struct geo_range *all, unsigned n, struct geo_range r)
{
    for (unsigned i = 0; i < n; i++)
        if (all[i].min == r.min)
            return true;
    return false;
}

unsigned geo_cover(const struct geo_area *a, struct geo_range out[GEO_RANGES])
{
    /* in the order in which Redis searches, which shows in unsorted replies */
    static const struct {
        int8_t east, north;
    } around[GEO_RANGES] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                            {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct box bounds = bounds_of(a);
    double half_w = a->width / 2, half_h = a->height / 2;
    double reach = a->is_box ? sqrt(half_w * half_w + half_h * half_h) : a->radius;
    unsigned n = 0, steps = steps_for(reach * a->unit, a->center.lat);
    struct cell c = cell_of(a->center, GEO_LAT_MAX, steps);
    if (steps > 1 && !reaches(c, &bounds))
        c = cell_of(a->center, GEO_LAT_MAX, steps - 1);
    for (unsigned i = 0; i < GEO_RANGES; i++) {
        int east = around[i].east, north = around[i].north;
        struct geo_range r = range_of(cell_beside(c, east, north));
        if (!is_beyond(c, &bounds, east, north) && !is_there(out, n, r))
            out[n++] = r;
    }
    return n;
}
