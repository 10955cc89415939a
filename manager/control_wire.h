/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_CONTROL_WIRE_H
#define MERIDIAN_MANAGER_CONTROL_WIRE_H

#include "base/mp.h"

/*
 * The manager's channel to its data plane: a local stream socket to worker 0. Each message is a
 * uint32 length (big endian, of what follows) and one MessagePack array [id, kind, body...].
 * Requests go from the manager to the plane and each gets exactly one answer with the same id.
 */
/* 2: persistence, eviction; 3: limits, founding; 4: laggards; 5: CONTROL_DB_CHECK */
#define CONTROL_PROTOCOL 5u
#define CONTROL_MESSAGE_MAX (16u << 20)
#define PLANE_REGIONS_MAX 63u

enum control_kind {
    CONTROL_HELLO =
        1, /* request: protocol, token -> answer: protocol, pid, workers, database uids present */
    CONTROL_DB_SET,   /* request: struct plane_db -> answer: ok or error text (port in use, ...) */
    CONTROL_DB_DROP,  /* uid */
    CONTROL_DB_FLUSH, /* uid: removes what was seen, as FLUSHALL */
    CONTROL_DB_SNAPSHOT, /* uid: every shard takes one, soon */
    CONTROL_LINK,        /* uid, region, paused: holds the pull from that region */
    CONTROL_STATS,       /* -> struct plane_stats */
    CONTROL_STOP,        /* orderly end of the plane */
    CONTROL_ANSWER,      /* ok: bool, text, body */
    /* request: struct plane_db -> answer: would CONTROL_DB_SET be carried out by every worker, and
     * would its disk take it? Changes nothing. */
    CONTROL_DB_CHECK,
};

/* What of a database is on disk (docs/durability.md). */
enum persistence {
    PERSIST_OFF,      /* nothing */
    PERSIST_SNAPSHOT, /* snapshots; the log is written, never synced for its own sake */
    PERSIST_SECOND,   /* the log, synced once a second */
    PERSIST_ALWAYS,   /* the log, synced before a write is answered */
    PERSIST_KINDS
};
/* A snapshot after so many seconds in which there were at least so many writes. */
struct snapshot_rule {
    uint32_t seconds;
    uint64_t writes;
};
#define SNAPSHOT_RULES_MAX 8u

/* What is forgotten when a database grows beyond its memory (docs/memory.md). */
enum eviction {
    EVICT_NOTHING,
    EVICT_ALL_LRU,
    EVICT_ALL_LFU,
    EVICT_ALL_RANDOM,
    EVICT_VOLATILE_LRU,
    EVICT_VOLATILE_LFU,
    EVICT_VOLATILE_RANDOM,
    EVICT_VOLATILE_TTL,
    EVICTION_KINDS
};

struct plane_region {
    uint32_t id;
    char name[64]; /* cluster's FQDN */
    char host[256];
    uint16_t port;
};

struct plane_db {
    uint32_t uid;
    char name[64];
    char guid[64]; /* "" for a single-region database */
    char secret[128];
    char host[64]; /* listen address */
    uint16_t port;
    char password[256]; /* "" none */
    uint32_t partitions, shards;
    uint64_t hash_k0, hash_k1, seed;
    uint32_t region, incarnation;
    bool reborn;  /* memory was lost since the last incarnation */
    bool leaving; /* being removed: takes no client writes while its last ones reach the others */
    uint64_t version;
    uint64_t paused; /* bit r: link from region r */
    bool link_tls, client_tls;
    uint32_t compression;
    uint64_t memory_max, backlog_bytes, clients_max;
    int64_t clock_drift_max_ms;
    bool messages_stay; /* PUBLISH reaches this region's subscribers only */
    uint32_t xadd_ids;  /* enum xadd_ids (shard/shard.h): 0 default, strict, semi-strict, liberal */
    uint32_t persistence; /* enum persistence */
    uint32_t founding;    /* how often it was put on disk anew: each time has folders of its own */
    uint64_t snapshot_bytes; /* of log since the last snapshot that make the next; 0: the default */
    uint64_t log_retention;  /* bytes of log kept on disk for regions that are away; 0: the greater
                                of 1 GiB and 10 % of memory_max */
    uint32_t eviction;       /* enum eviction */
    uint32_t oom_percent;    /* of memory_max beyond which only peers' writes are taken: 100 less
                                replication_oom_threshold_percent; 0: the default */
    uint32_t snapshot_rules_count;
    struct snapshot_rule snapshot_rules[SNAPSHOT_RULES_MAX];
    uint32_t regions_count;
    struct plane_region regions[PLANE_REGIONS_MAX];
};

struct plane_link {
    uint32_t region;
    char state[16]; /* link_state_name */
    bool feeding;
    uint64_t bytes_in, bytes_out, ops_in, ops_out, lag_ops, reconnects, transfers_in, transfers_out,
        relays;
    int64_t lag_ms, behind_ms;
    /* What that region lacks of us and where it comes from: partitions that are read from the log
     * on disk, with the bytes left, and those whose state is sent. */
    uint64_t parts_disk, disk_left, parts_state;
    char error[160];
};

/* A shard's files. */
enum keep_state {
    KEEP_OFF,    /* nothing is on disk */
    KEEP_OPENS,  /* the shard is being brought back */
    KEEP_BEGINS, /* it runs, but its first snapshot is not done: nothing is promised yet */
    KEEP_RUNS,
    KEEP_FAILS,  /* it runs, but the disk takes nothing just now: `error` */
    KEEP_BROKEN, /* it could not be opened: `error` */
    KEEP_STATES
};
struct plane_keep {
    uint32_t state;       /* enum keep_state */
    uint32_t in_force;    /* enum persistence: what is promised of all that was answered */
    uint64_t read, total; /* OPENS: bytes */
    uint64_t cut;         /* bytes of a torn end that opening cut off */
    uint64_t log_bytes;   /* of log since the last snapshot */
    uint64_t kept_bytes;  /* of log on disk */
    uint64_t behind;      /* bytes of log that are not durable */
    uint64_t written, syncs, sync_us_max, write_failures;
    uint64_t changes; /* since the last snapshot */
    uint64_t snapshots, snapshot_failures;
    bool snapshot_runs, snapshot_failed; /* the last one */
    uint32_t snapshot_percent;
    int64_t snapshot_ms; /* wall clock: when the last one was done; 0: none in this life */
    char error[256];
};

struct plane_shard {
    uint32_t db_uid, shard, worker, first_partition, count;
    uint64_t keys, used_memory, commands;
    bool stale;
    struct plane_keep keep;
    uint64_t digest_lo, digest_hi; /* sum over its partitions */
    uint32_t links_count;
    struct plane_link links[PLANE_REGIONS_MAX];
};

/* Where a database's memory goes: bytes, as of some seconds ago. The sum, but for `metadata`, which
 * is a part of it: an estimate of what only replication needs. */
struct plane_memory {
    uint64_t values, unsettled, deadlines, log, kept, catalog, contexts, clients, metadata;
};

struct plane_db_stats {
    uint32_t uid;
    bool listening;
    uint64_t expires, writes, hits, misses, expired, evicted;
    uint64_t memory_max; /* in force, CONFIG SET may have changed it; likewise ... */
    uint32_t eviction;   /* enum eviction */
    struct plane_memory memory;
    uint64_t keys, commands, connections, used_memory, unsettled, conflicts;
    uint32_t laggard, laggard_partitions; /* the region that compaction waits for most; 0 none */
};

struct plane_stats {
    uint32_t dbs_count, shards_count;
    struct plane_db_stats *dbs; /* owned */
    struct plane_shard *shards; /* owned */
};
void plane_stats_deinit(struct plane_stats *s);

/* Framing: appends a whole message with length; `body` is one MessagePack value (or may be
 * empty). */
void control_put(struct buf *out, uint64_t id, enum control_kind kind, struct bytes body);
enum control_result { CONTROL_MORE, CONTROL_OK, CONTROL_BAD };
/* Takes one message off the front of `in`; body points into it. *used tells how many bytes to
 * consume afterwards. */
enum control_result control_get(struct bytes in, uint64_t *id, enum control_kind *kind,
                                struct bytes *body, size_t *used);
void plane_db_encode(struct buf *out, const struct plane_db *db);
bool plane_db_decode(struct bytes in, struct plane_db *db);
void plane_stats_encode(struct buf *out, const struct plane_stats *s);
bool plane_stats_decode(struct bytes in, struct plane_stats *s);
void control_answer_encode(struct buf *out, bool ok, const char *text, struct bytes body);
bool control_answer_decode(struct bytes in, bool *ok, char *text, size_t text_size,
                           struct bytes *body);

/* Small bodies, each one MessagePack value (control_hello.c). CONTROL_DB_DROP and CONTROL_DB_FLUSH
 * carry a uid alone; CONTROL_STATS and CONTROL_STOP nothing. */
#define CONTROL_TOKEN_MAX 64u
#define CONTROL_DBS_MAX 4096u
#define CONTROL_SHARDS_MAX 4096u
struct control_hello {
    uint32_t protocol;
    char token[CONTROL_TOKEN_MAX + 1];
};
struct control_welcome { /* body of the answer to CONTROL_HELLO */
    uint32_t protocol;
    uint32_t pid, workers;
    bool keeps; /* has a folder: databases can be on disk */
    uint32_t uids_count;
    uint32_t *uids; /* databases the plane has; owned: mem_free */
};
struct control_link {
    uint32_t uid, region;
    bool paused;
};
void control_hello_encode(struct buf *out, const struct control_hello *h);
bool control_hello_decode(struct bytes in, struct control_hello *h);
void control_welcome_encode(struct buf *out, const struct control_welcome *w);
bool control_welcome_decode(struct bytes in, struct control_welcome *w); /* false: nothing owned */
void control_uid_encode(struct buf *out, uint32_t uid);
bool control_uid_decode(struct bytes in, uint32_t *uid);
void control_link_encode(struct buf *out, const struct control_link *l);
bool control_link_decode(struct bytes in, struct control_link *l);

#endif
