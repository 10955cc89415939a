/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_UNIT_PEERS_H
#define MERIDIAN_TESTS_UNIT_PEERS_H

#include "base/rng.h"
#include "crdt/apply.h"
#include "crdt/position.h"

/*
 * A few regions' copies of one partition, for tests of the value layer: operations with frames,
 * causal delivery, joins, compaction with in-band knowledge. A small sibling of the model's
 * Replica, in terms of the C interface.
 */
#define PEERS_REGIONS 4
#define PEERS_KEYS 2
#define PEERS_OPS 6000

struct peers_op {
    struct op op;
    struct context deps; /* the writer's, others only */
    stamp_t prev;
    unsigned frame;
    struct buf room; /* owns key, elem, val */
};

struct peers_region {
    uint32_t actor;
    struct context vv;
    struct context seen_by[PEERS_REGIONS]; /* as learnt from each region's own stream */
    struct cell *keys[PEERS_KEYS];
    struct hash128 digest;
    struct clock clock;
    stamp_t closed; /* of the last closed frame */
    unsigned frame; /* the open one */
    struct position_runs *runs;
    uint64_t unsettled;
};

struct peers {
    struct rng rng;
    unsigned n;
    struct peers_region at[PEERS_REGIONS];
    struct peers_op ops[PEERS_OPS]; /* all, in the order of writing */
    unsigned nops;
    struct conflicts conflicts;
};

struct peers *peers_new(uint64_t seed, unsigned regions);
void peers_free(struct peers *w);
struct surroundings peers_around(struct peers *w, struct peers_region *r);

/* Writes one operation at region r (number from 0): op without stamp; flags for increments and
 * FRESH are found here. Returns the value's cell. */
const struct cell *peers_write(struct peers *w, unsigned r, unsigned key, struct op op);
/* Delivers all of region a's closed operations to b that are ready; `limit` operations at most,
 * whole frames. */
void peers_deliver(struct peers *w, unsigned a, unsigned b, unsigned limit);
void peers_deliver_all(struct peers *w);
void peers_join(struct peers *w, unsigned from, unsigned to);
void peers_compact(struct peers *w, unsigned r);
/* Adds an entry to the stream at the key, as XADD would. */
void peers_xadd(struct peers *w, unsigned at, unsigned key);
/* One random operation at region r. */
void peers_random_write(struct peers *w, unsigned r);
/* The sum recomputed from scratch. */
struct hash128 peers_digest(const struct peers_region *r);

/* A copy of a region's state through its encoding. */
struct peers_region peers_copy(const struct peers_region *r);
void peers_region_deinit(struct peers_region *r);
void peers_join_region(struct peers *w, struct peers_region *to, const struct peers_region *from);
/* The text that key 0 .. shows as a string; "(none)" when it is no string. */
const char *peers_text(struct peers_region *r, unsigned key, char *room);

#endif
