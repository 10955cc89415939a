/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_FRONT_H
#define MERIDIAN_PROXY_FRONT_H

#include "base/resp.h"
#include "proxy/acl.h"
#include "proxy/blocked.h"
#include "proxy/courier.h"
#include "proxy/dataset.h"
#include "proxy/durable.h"
#include "proxy/figures.h"
#include "proxy/keep.h"
#include "proxy/latency.h"
#include "proxy/memory.h"
#include "proxy/observe.h"
#include "proxy/refusals.h"
#include "proxy/scripting.h"
#include "proxy/settings.h"
#include "proxy/slowlog.h"
#include "proxy/stats.h"
#include "proxy/topic.h"
#include "proxy/tracking_table.h"

/*
 * The client side of one database on one worker: its sessions, its settings, and where its shards
 * are. Sessions live in session.c, their commands in cmd_*.c; a front is what they share.
 */
struct front_shard {
    struct shard *local; /* NULL: on another worker */
    uint32_t worker;
    uint32_t first_partition, count;
};

/* What clients may see and change (CONFIG). */
struct front_settings {
    uint64_t clients_max; /* of all workers; 0: 10,000 */
    uint64_t memory_max;  /* 0: none */
    uint64_t out_max;     /* client-output-buffer-limit normal; 0: 1 GiB */
    uint64_t bulk_max;    /* proto-max-bulk-len; 0: 512 MiB */
    uint64_t query_max;   /* client-query-buffer-limit; 0: 1 GiB */
    uint64_t timeout_s;   /* idle clients are closed after; 0: never */
    uint64_t push_max;    /* client-output-buffer-limit pubsub, at once; 0: none ... */
    uint64_t push_soft;   /* ... and for so long; 0: none */
    uint32_t push_soft_s;
    uint32_t events;    /* notify-keyspace-events: enum event_class */
    bool across;        /* PUBLISH reaches the other regions */
    char password[256]; /* "" none */
    uint16_t port;
    bool on_disk;         /* snapshots can be taken */
    bool logged;          /* appendonly */
    uint32_t fsync;       /* appendfsync, as a place among its words */
    char save[256];       /* save: "3600 1 60 10000" */
    uint32_t eviction;    /* maxmemory-policy, as a place among its words */
    uint32_t oom_percent; /* of memory_max, from which on clients' writes are refused; 0: 100 */
};

/* What the worker does for its fronts. */
struct front_host {
    void *arg;
    /* This connection is a peer's link: taken over, with the bytes it has sent so far. */
    void (*link)(void *arg, struct front *f, struct port *port, conn_id conn, struct bytes first,
                 struct moment now);
    /* Fills in shards and links of this worker. */
    void (*figures)(void *arg, struct front *f, struct figures *out, struct moment now);
    void (*describe)(void *arg, const struct front *f, struct figures_db *out);
    /* Which regions (bit r) have the stamp of a partition that is here; see syncer_have. `learnt`
     * changes when that may have. */
    uint64_t (*have)(void *arg, const struct front *f, uint32_t partition, stamp_t stamp,
                     bool durable);
    uint64_t (*learnt)(void *arg, const struct front *f);
    uint64_t (*peers)(void *arg, const struct front *f);
    /* Compares this worker's partitions with a region's (0: all): syncer_verify. Records go to
     * front_compared. */
    void (*compare)(void *arg, const struct front *f, struct port *port, uint64_t session,
                    uint32_t region, uint32_t keys_max);
    /* To the other regions' subscribers, over the links of the partition's shard, which is here. */
    void (*publish)(void *arg, struct front *f, uint32_t partition, struct bytes channel,
                    struct bytes text, bool sharded);
    /* The files of this worker's shards: adds its figures. */
    void (*keep)(void *arg, const struct front *f, struct figures_keep *out);
    /* Asks for a snapshot of each. Returns how many take one now, or when the one under way is
     * done. */
    uint32_t (*snapshot)(void *arg, struct front *f, struct port *port, struct moment now);
};

struct front_opts {
    uint32_t db_uid, partitions;
    uint64_t seed;
    struct courier *courier; /* kept */
    struct front_host host;
    struct front_settings settings;
    const struct front_shard *shards; /* copied */
    uint32_t shards_count;
    struct moment now;
};

#define BATCH_MAX 64u
#define STRANGERS_MAX                                                                              \
    64u /* of all workers, but at least 4 on each, that wait beyond the limit ... */
#define STRANGERS_US 5000000u /* ... so long */
#define CROWDED_TEXT "-ERR max number of clients reached\r\n"

/* One parsed command of a batch. */
struct request {
    const struct command *command; /* NULL unknown */
    struct command_use *use;       /* of the command; NULL unknown */
    const struct bytes *argv;
    size_t first;
    uint64_t hash;
    uint32_t argc, slot;
    struct shard *shard;     /* one key, on this local shard: slot and hash are set */
    const struct coll *coll; /* of a command on an element, while it is brought near */
    uint64_t elem_hash;
};

/* A command's name as a client wrote it, and what it means. */
#define LOOKUPS 8u /* power of two */
struct lookup {
    const struct command *command;
    struct command_use *use;
    size_t name_n;
    uint8_t name[32];
};

struct front {
    uint32_t db_uid, partitions;
    struct front_settings settings;
    uint32_t defrag_percent; /* of this worker's time that defragmentation may take now */
    struct settings kept;    /* CONFIG: the values of all settings that `settings` does not have */
    struct resp_limits limits;
    struct courier *courier;
    struct front_host host;
    struct front_shard *shards; /* owned */
    uint32_t shards_count;
    struct rng rng;
    struct moment born;

    struct catalog catalog; /* copy */
    struct acl acl;         /* its users */
    struct dataset dataset;
    struct durable durable;
    struct scripting scripting;

    struct session *first; /* all sessions of this worker, newest first */
    uint32_t sessions;
    uint32_t dead;      /* of them killed, not yet freed */
    uint32_t strangers; /* of them beyond the limit: a peer's link may be among them */
    uint32_t *others;   /* owned: sessions of each worker, as it last said */
    uint32_t told;      /* what the others were last told of ours */
    struct memory_sums memory;
    struct refusals refusals;
    uint64_t ids;           /* client ids given so far on this worker */
    int64_t pause_until_ms; /* CLIENT PAUSE, wall clock; 0 none */
    bool pause_all;
    struct session *held; /* those that hold input back: pause, output, answers under way */
    struct blocked_sessions blocked;
    struct observers observers;
    struct keep_waits keep;
    uint64_t connections, refused, net_in, net_out; /* INFO stats */
    uint64_t cut_output;                            /* clients closed at the output limit */
    struct rate rate_in, rate_out;
    struct stats stats;
    struct rate rate;
    struct slowlog slowlog;
    struct latency latency;
    struct port *port; /* kept: of this worker */

    struct topics topics; /* who listens to what */
    struct tracking tracking;
    bool ending;             /* front_end */
    bool monitored;          /* somebody monitors: all commands take the slow way */
    struct session *running; /* runs a command just now: what is pushed to it goes into `after` */
    struct buf after;
    uint64_t tick_us;      /* when the last tick was */
    uint32_t late;         /* sessions above the soft output limit */
    struct buf event_name; /* scratch: a channel's name */

    /* Room used within one step, kept between steps so that commands need no allocation. */
    struct resp_args args;
    struct request batch[BATCH_MAX];
    struct buf scratch, sink;
    uint32_t *at; /* owned: argument indexes of keys */
    uint32_t at_max;
    struct lookup lookups[LOOKUPS];
};

struct front *front_new(const struct front_opts *o);
/* Once it can be found by the other workers. */
void front_start(struct front *f, struct port *port);
/* Closes all sessions' connections. */
void front_free(struct front *f, struct port *port);
/* No command runs any more: sessions are closed, those whose replies wait for the disk once they
 * have got them. */
void front_end(struct front *f, struct port *port, struct moment now);
/* Password, limits. Sessions that are authenticated stay so. */
void front_configure(struct front *f, const struct front_settings *s);
/* A client connected, or a peer: a new session owns the connection. `scarce`: there is no room for
 * more clients, whatever the limit is. */
void front_accept(struct front *f, struct port *port, conn_id conn, bool scarce, struct moment now);
/* About ten times a second: idle clients, pauses that end. */
void front_tick(struct front *f, struct port *port, struct moment now);
/* Is there a session whose hold has ended without an event? Then front_resume wants to be called.
 */
bool front_ready(const struct front *f, struct port *port);
void front_resume(struct front *f, struct port *port, struct moment now);
bool front_has_password(const struct front *f);
/* This worker's share of INFO. */
void front_figures(struct front *f, struct figures *out, struct moment now);

/* Which shard (an index) owns the key's slot. */
static inline uint32_t front_shard_of(const struct front *f, unsigned slot)
{
    if (f->shards_count == 1)
        return 0;
    uint32_t p = slot_partition(slot, f->partitions);
    uint32_t i = (uint32_t)(((uint64_t)p * f->shards_count) / f->partitions);
    /* Integer division may put the border one off: shard i owns [i*P/n, (i+1)*P/n). */
    while (p < f->shards[i].first_partition)
        i--;
    while (p >= f->shards[i].first_partition + f->shards[i].count)
        i++;
    return i;
}

/* What a name means, kept until another of its kind is looked up; NULL unknown. */
const struct lookup *front_lookup(struct front *f, struct bytes name);
/* What a call means: command_resolve with a memory. *use gets its place in the statistics. */
static inline const struct command *
front_resolve(struct front *f, uint32_t argc, const struct bytes *argv, struct command_use **use)
{
    const struct lookup *l = front_lookup(f, argv[0]);
    *use = l != NULL ? l->use : NULL;
    if (l == NULL)
        return NULL;
    const struct command *c = l->command, *sub;
    if (!(c->flags & CMD_CONTAINER) || argc < 2)
        return c;
    sub = command_sub(c, argv[1]);
    if (sub == NULL)
        return c;
    *use = stats_use(&f->stats, sub);
    return sub;
}
/* A command with one key on a local shard: its shard, slot and hash. NULL: not so simple. */
struct shard *front_locate(struct front *f, const struct command *c, uint32_t argc,
                           const struct bytes *argv, uint32_t *slot, uint64_t *hash);
/* Room for n argument indexes. */
uint32_t *front_indexes(struct front *f, uint32_t n);

/* Records of a comparison for a session of any worker (cmd_verify.c). */
void front_compared(struct front *f, struct port *port, uint64_t session, struct bytes records);
/* Runs a job of another worker's session here: appends the reply. */
void front_run(struct front *f, struct port *port, struct job *job, struct buf *out,
               struct moment now);

#endif
