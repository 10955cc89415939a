/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_WORKER_WORKER_H
#define MERIDIAN_WORKER_WORKER_H

#include "base/port.h"
#include "manager/control_wire.h"
#include "shard/shard.h"
#include "storage/storage.h"
#include "syncer/syncer.h"

/*
 * A worker: one thread of the data plane as one machine. It owns its client sessions (proxy/), its
 * shards (shard/) and their links (syncer/), and passes requests for shards of other workers on as
 * messages. Worker 0 also listens for the manager and hands configuration to the others.
 */
struct worker;

struct worker_opts {
    uint32_t index, count;
    const char *control; /* worker 0: where to listen for the manager ("unix:/path" or "host:port");
                            NULL: nowhere */
    char control_token[65];
    const char *data; /* the databases' folder, which exists; kept. NULL: nothing is on disk, and
                         databases that want to be are refused */
    uint64_t seed;
    uint32_t pid;                     /* of the process: told to the manager */
    size_t patch_min, kept_bytes_max; /* of the shards: see struct shard_opts; 0: the defaults */
    uint64_t segment_bytes;           /* of their logs on disk; 0: the default */
    uint32_t pour_min;                /* shard_opts.pour_min */
    uint32_t defrag_slices; /* > 0: so many slices of defragmentation a tenth of a second, which
                               move all they see; 0: as CONFIG and the allocator say */
    size_t reply_bytes_max; /* courier_opts.reply_bytes_max */
    size_t slice_bytes;     /* states are written in slices of so many bytes; 0: the defaults */
    /* Certificates for databases with TLS, read when the worker starts; borrowed until then.
     * Without a certificate such databases are refused. A CA makes links check their peers'
     * certificates. */
    struct tls_opts tls;
};

struct worker *worker_new(const struct worker_opts *o);
void worker_free(struct worker *w, struct port *port);
struct machine worker_machine(struct worker *w);
/* Once its machine has stopped: something that was to be on disk is not. Its log says what. */
bool worker_lost(const struct worker *w);

/* Looking inside (simulator's checkers, tests): the shards this worker owns. */
struct worker_shard {
    uint32_t db_uid;
    uint32_t first_partition, count;
    struct shard *shard;
    struct syncer *syncer; /* NULL: single-region, or not open */
    bool open;             /* else it is being brought back from disk (not all is there yet), or
                              listens to its peers: clients are not let in */
    const struct storage *storage; /* NULL: nothing is on disk */
    bool lacked; /* what was on disk when it was opened did not have, or may not have had, all that
                    the region had claimed */
};
unsigned worker_shards(struct worker *w, struct worker_shard *out, unsigned max);
/* Shard i of n lives on worker i % count; it owns partitions [i*P/n, (i+1)*P/n). */

#endif
