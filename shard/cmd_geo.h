/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_GEO_H
#define MERIDIAN_SHARD_CMD_GEO_H

#include "shard/geohash.h"
#include "shard/keys.h"

/* What the files of geo commands share; the table of all stands in cmd_geo.c. */

/* "longitude latitude" from argument i on; false when an error was replied. */
bool geo_point_arg(struct call *c, uint32_t i, struct geo_point *out);
/* Metres of "m", "km", "ft" or "mi"; false when an error was replied. */
bool geo_unit_arg(struct call *c, struct bytes arg, double *metres);
void geo_reply_distance(struct reply *r, double distance); /* four digits behind the point */
void geo_reply_point(struct reply *r, struct geo_point p);

/* cmd_geo_search.c */
void georadius(struct call *c);
void georadius_ro(struct call *c);
void georadiusbymember(struct call *c);
void georadiusbymember_ro(struct call *c);
void geosearch(struct call *c);
void geosearchstore(struct call *c);
/* `command.keys` of GEORADIUS and GEORADIUSBYMEMBER: the source, and the last STORE's key. */
unsigned georadius_keys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max);

#endif
