/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_BDB_H
#define MERIDIAN_MANAGER_BDB_H

#include "manager/cluster.h"

struct manager;

#define BDB_PARTITIONS 256u /* of each new database; the same in all regions */

/*
 * The databases of this cluster: making, changing and dropping them in the cluster's state and in
 * the data plane. A change is answered when the plane has taken it and the state file holds it.
 */
struct bdb_spec {
    char name[64];
    struct db_config config;
    /* For an instance of a geo-distributed database; zero otherwise. */
    char guid[40];
    uint32_t region;
    uint32_t partitions;
    bool reborn;
};

/* Can this node keep a database of these settings? False: *why tells (406). */
bool bdb_can_keep(const struct manager *m, const struct db_config *c, struct refusal *why);
/* Done's uid is the new database's. Refusals: 400, 409 name or port taken, 406, 503. */
void bdb_create(struct manager *m, const struct bdb_spec *spec, struct done done);
/* These are its settings from now on. One that was not on disk and will be gets folders of its own:
 * what an earlier time may have left, in whatever state, is never read again. */
void bdb_configure(struct bdb *b, const struct db_config *next);
/* Applies what is set in `change`. */
void bdb_update(struct manager *m, uint32_t uid, const struct db_config *change, struct done done);
void bdb_delete(struct manager *m, uint32_t uid, struct done done);
void bdb_flush(struct manager *m, uint32_t uid, struct done done);
/* Holds or releases the pull from a region. */
void bdb_pause(struct manager *m, uint32_t uid, uint32_t region, bool paused, struct done done);
/* Sends the database's present configuration to the plane. */
void bdb_send(struct manager *m, const struct bdb *b, struct done done);
/* What the plane is told about it. */
void bdb_describe(const struct manager *m, const struct bdb *b, struct plane_db *out);

/* ------------------------------------------------------------ health, from the plane's newest
 * statistics */

enum bdb_health {
    BDB_HEALTHY,
    BDB_PORT_UNBOUND = 1,
    BDB_SHARD_UNREACHABLE = 2, /* a shard is stale, or not reported */
    BDB_LAGGING = 4,
    BDB_NO_PLANE = 8,
    BDB_LOADING = 16,    /* a shard is being brought back from disk; also SHARD_UNREACHABLE */
    BDB_BROKEN = 32,     /* a shard could not be; likewise */
    BDB_DISK_FAILS = 64, /* writes do not get to disk; of geo-distributed ones, where clients have
                            another region to go to */
};
/* How a region stands to the others. By itself it lags when it is behind one that it hears, or
 * hears none: that another one is gone, or slow, is not its fault, and its clients stay. */
struct lag_check {
    int64_t tolerance_ms; /* < 0: links are not looked at */
    bool peers_too;       /* also when a link is not up, or a peer is behind it */
};
/* Bits of enum bdb_health; *lag_ms (may be NULL) is the worst lag over its links, -1 when they are
 * down. */
unsigned bdb_health(const struct manager *m, const struct bdb *b, struct lag_check check,
                    int64_t *lag_ms);

/* One peer's links, summed over shards (worst state, greatest lag). False: no statistics. */
struct link_summary {
    uint32_t region;
    char state[16];
    bool feeding;
    uint64_t bytes_in, bytes_out, ops_in, ops_out, lag_ops, reconnects;
    uint64_t transfers_in, transfers_out, parts_disk, disk_left, parts_state; /* see plane_link */
    int64_t lag_ms, behind_ms;
    char error[160];
};
bool bdb_link(const struct manager *m, const struct bdb *b, uint32_t region,
              struct link_summary *out);
/* Its files, over all shards. */
struct keep_summary {
    uint32_t shards; /* on disk; 0: none, or no statistics */
    uint32_t opens, begins, runs, fails, broken;
    uint32_t in_force; /* enum persistence: what the one promises that promises least */
    uint32_t snapshots_run, snapshots_failed;
    uint32_t percent; /* brought back, where `opens` */
    uint32_t snapshot_percent;
    uint64_t log_bytes, kept_bytes, behind, cut, changes, snapshots, snapshot_failures,
        write_failures, sync_us_max;
    int64_t snapshot_ms; /* the oldest of the shards' last ones; 0: one has none in this life */
    char error[256];     /* of the first that has one */
};
void bdb_keep(const struct manager *m, const struct bdb *b, struct keep_summary *out);
/* "disabled", "loading", "initializing", "ok", "failing" or "broken": the worst of its shards. */
const char *keep_status(const struct keep_summary *k);
/* enum persistence, as aof_policy has it; "disabled": nothing is promised. */
const char *keep_policy(uint32_t in_force);
/* Every shard takes a snapshot, soon. 404, 409. */
void bdb_snapshot(struct manager *m, uint32_t uid, struct done done);
/* How many of its shards refuse writes until they have what another region has. */
uint32_t bdb_stale_shards(const struct manager *m, const struct bdb *b);
const struct plane_db_stats *bdb_stats(const struct manager *m, uint32_t uid);

#endif
