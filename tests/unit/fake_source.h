/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_UNIT_FAKE_SOURCE_H
#define MERIDIAN_TESTS_UNIT_FAKE_SOURCE_H

#include "sim/respond.h"

/*
 * A Redis as its replicas see it, in the virtual world on port 6379 of its host: handshake,
 * snapshot of string keys, stream with backlog. The test writes its snapshot and its stream.
 */
#define FAKE_CONNS 8u
#define FAKE_BASE 5000u /* the stream's first offset */

struct fake_conn {
    struct respond_conn link; /* first */
    bool replica;             /* it gets the stream, from `sent` on */
    bool waits;               /* ... when it has acknowledged (snapshot without a file) */
    bool authenticated;
    size_t sent;
};

struct fake_source {
    struct fake_conn conns[FAKE_CONNS];
    struct respond respond;
    struct port *port;
    char id[41], id_before[41];
    const char *password; /* NULL none */
    const char *mode;     /* redis_mode in INFO; NULL standalone */
    const char *refuses;  /* what PSYNC is answered; NULL: properly */
    bool marked;          /* snapshots are sent up to a mark, not with a size */
    bool silent;          /* nothing is answered any more */
    bool busy;            /* newlines only: the snapshot is not ready */
    struct buf keys;      /* of the snapshot: as in the file */
    struct buf log;       /* the stream from FAKE_BASE on */
    size_t backlog_from;  /* what lies before cannot be had any more */
    size_t snapshot_at;   /* where in the log the snapshot stands */
    uint64_t acked;
    unsigned fulls, partials, newlines;
};

void fake_source_init(struct fake_source *s);
void fake_source_deinit(struct fake_source *s);
/* Puts it on a host of the world. */
void fake_source_start(struct fake_source *s, struct world *w, uint32_t host);
/* A key of the snapshots to come; deadline 0: none. */
void fake_source_key(struct fake_source *s, const char *key, const char *value,
                     uint64_t deadline_ms);
/* The snapshots to come hold what has been written, so far: the keys given replace the others. */
void fake_source_snapshot(struct fake_source *s);
/* A command of words into the stream. */
void fake_source_write(struct fake_source *s, const char *words);
/* Bytes as they are. */
void fake_source_write_raw(struct fake_source *s, const char *text);
uint64_t fake_source_offset(const struct fake_source *s);

#endif
