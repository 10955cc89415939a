/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_DISCOVERY_H
#define MERIDIAN_MANAGER_DISCOVERY_H

#include "base/port.h"

/*
 * The discovery service: what Sentinel clients ask to find a database by its name, and to be told
 * when it moves (redis.io, "Guidelines for Redis clients with support for Redis Sentinel").
 * Read-only and without passwords: it tells where databases are, nothing of what is in them.
 */
#define DISCOVERY_CONNS_MAX 1000u
#define DISCOVERY_IDLE_US 300000000u

struct manager;
struct discovery;

struct discovery *discovery_new(struct manager *m);
void discovery_free(struct discovery *d);
void discovery_open(struct discovery *d, const struct event *ev); /* EV_OPEN of its listener */
/* Publishes what has moved; ends idle connections. Once a second. */
void discovery_tick(struct discovery *d);

#endif
