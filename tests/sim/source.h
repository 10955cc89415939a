/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_SIM_SOURCE_H
#define MERIDIAN_TESTS_SIM_SOURCE_H

#include "base/resp_reply.h"
#include "base/rng.h"
#include "sim/respond.h"

/*
 * A Redis as those see it who follow it: keys of its own that it changes, a stream of what it did,
 * snapshots, a backlog; it restarts, fails over to a replica that lagged, and loses what it had not
 * saved. Small and plain, so that what it has is beyond doubt.
 */
#define SOURCE_KEYS 15u
#define SOURCE_ITEMS 16u
#define SOURCE_TEXT 60u
#define SOURCE_CONNS 16u
#define SOURCE_PORT 6379u

enum source_kind {
    SOURCE_COUNTER,
    SOURCE_STRING,
    SOURCE_LIST,
    SOURCE_SET,
    SOURCE_HASH,
    SOURCE_KINDS
};

struct source_key { /* of the kind that its index mod 5 says */
    bool there;     /* counters and strings */
    int64_t number;
    char text[SOURCE_TEXT + 1];
    unsigned n; /* the others: items, without order but in lists */
    int32_t items[SOURCE_ITEMS], values[SOURCE_ITEMS];
};

/* What a process would have. */
struct source_state {
    struct source_key keys[SOURCE_KEYS];
    char id[41];
    uint64_t offset;
};

struct source_conn {
    struct respond_conn link; /* first */
    bool replica;
    uint64_t ready_us; /* its snapshot is made until then; 0: it is */
    bool waits;        /* it has to acknowledge before the stream begins */
    struct buf held;   /* what it gets then */
};

struct source {
    struct rng rng;
    struct world *world;
    uint32_t host;
    struct port *port;
    struct source_conn conns[SOURCE_CONNS];
    struct respond respond;
    unsigned number;
    struct source_state now, saved; /* saved: what a restart that loses comes back with */
    struct buf log;                 /* the backlog: what stands before now.offset */
    size_t backlog_bytes;
    char before[41]; /* the id that it, or the one before it, had up to this offset */
    uint64_t before_until;
    int64_t selected;          /* of the stream; -1: nobody knows */
    const struct buf *cluster; /* the reply to CLUSTER SLOTS; NULL: none of a cluster */
    bool marked;               /* snapshots end with a mark; else their size is told */
    uint64_t snapshot_us;      /* what making one takes at most */
    unsigned ids, fulls, partials;
};

void source_init(struct source *s, struct world *w, unsigned number, uint64_t seed);
void source_deinit(struct source *s);
void source_start(struct source *s); /* its process, on its host */
/* What it does: a command, or some in a transaction. */
void source_write(struct source *s);
void source_save(struct source *s);
enum source_end {
    SOURCE_SAME,       /* it comes back as what it was, but for the backlog */
    SOURCE_NEW,        /* ... with another id */
    SOURCE_LOST,       /* ... without what it did since it was saved */
    SOURCE_TAKEN_OVER, /* by a replica that was so far behind, and knows the old id */
    SOURCE_ENDS,
};
/* Its process dies and another begins at once. */
void source_restart(struct source *s, enum source_end how);
unsigned source_keys_now(const struct source *s);
/* The request that asks for key i, and what is to be answered, as source_answer writes it. */
void source_question(const struct source *s, unsigned i, struct buf *out);
void source_expected(const struct source *s, unsigned i, struct buf *out);
void source_answer(unsigned i, const struct resp_reply *r, struct buf *out);

#endif
