/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_UNIT_REGIONS_H
#define MERIDIAN_TESTS_UNIT_REGIONS_H

#include "sim/world.h"
#include "storage/storage.h"
#include "syncer/syncer.h"

/*
 * Regions made of nothing but shards and their syncers, in the virtual world: for tests of the
 * links without clients, workers and managers.
 */
#define REGIONS_MAX 4u
#define REGION_SHARDS_MAX 4u

/* A shard of a region, for its archive's callbacks. */
struct shelf {
    struct region *region;
    uint32_t i;
};

struct region {
    struct regions *all;
    struct syncer_config config;
    struct shard_opts opts;
    uint32_t host, shards_n;
    struct port *port;
    struct shard *shards[REGION_SHARDS_MAX];
    struct syncer *syncers[REGION_SHARDS_MAX];   /* NULL: its storage is being opened */
    struct storage *storages[REGION_SHARDS_MAX]; /* NULL: nothing is on disk */
    uint64_t retention;
    struct shelf shelves[REGION_SHARDS_MAX];
    struct shard_opts shard_opts[REGION_SHARDS_MAX];
    bool on_disk;
    unsigned wiped; /* its folder's number */
    uint64_t tick_us;
    bool alive;
};

struct regions {
    struct world *world;
    uint32_t n, partitions;
    struct region at[REGIONS_MAX + 1]; /* by number */
    struct buf log;                    /* lines of all machines */
};

struct regions_opts {
    uint32_t n, partitions;
    uint32_t shards[REGIONS_MAX + 1]; /* 0: one */
    size_t log_bytes, send_max, wait_max;
    uint32_t compression;
    uint64_t seed;
    uint64_t off;   /* bit r: region r is not started */
    uint64_t disks; /* bit r: region r keeps its log on disk */
    uint64_t retention;
    size_t elide_max;
};

struct regions *regions_new(const struct regions_opts *o);
void regions_free(struct regions *g);
void regions_start(struct regions *g, uint32_t r,
                   bool reborn); /* reborn: as the next incarnation */
void regions_kill(struct regions *g, uint32_t r);
void regions_wipe(struct regions *g, uint32_t r); /* of a killed one: its disk is empty */
void regions_configure(struct regions *g,
                       uint32_t r); /* its config was changed: tell the syncers */
void regions_pause(struct regions *g, uint32_t r, uint32_t from, bool paused);
void regions_cut(struct regions *g, uint32_t a, uint32_t b, bool cut); /* both ways */
void regions_run(struct regions *g, uint64_t ms);
/* A command given in words; its reply as RESP2 text, valid until the next one. */
const char *regions_do(struct regions *g, uint32_t r, const char *words);
/* Runs until all living regions agree and are quiet; false after `ms`. */
bool regions_agree(struct regions *g, uint64_t ms);
/* Contexts and digests are equal everywhere now. */
bool regions_equal(const struct regions *g);
struct link_stats regions_stats(const struct regions *g, uint32_t r, uint32_t peer);
/* What stands in the way of agreement, for people; valid until the next one. */
const char *regions_describe(const struct regions *g);
bool regions_logged(const struct regions *g, const char *text);

#endif
