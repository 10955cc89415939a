/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_SINK_CONN_H
#define MERIDIAN_MIGRATE_SINK_CONN_H

#include "migrate/sink.h"

/*
 * The inside of a sink: one of its connections.
 *
 *   DOWN --again_us--> DIALLING --EV_OPEN--> GREETING --all answered--> READY
 *    ^                     |                    |                         |
 *    +------- EV_CLOSED, or an answer that says "later" (LOADING ..) -----+
 *
 * `sent` holds the requests that are not answered yet, `waiting` a struct waiting for each of them,
 * both in order. Only READY are they on their way; becoming READY sends them all.
 */
enum sink_state { SINK_DOWN, SINK_DIALLING, SINK_GREETING, SINK_READY };

enum greeting { GREET_AUTH, GREET_NAME, GREET_RUN, GREET_LENGTH };

struct waiting {
    size_t bytes;  /* of the request */
    size_t key_at; /* the key in it */
    size_t key_n;
    uint64_t length, items; /* MIGRATE_PUSH: before it, and how many it adds */
    uint64_t tag;
    uint8_t again, kind;
    bool under_way; /* on the present connection, or on one that broke */
    bool twice;     /* sent before, on one that broke */
};

struct sink_conn {
    struct conn_owner owner; /* first */
    struct migrate_sink *sink;
    conn_id id;
    enum sink_state state;
    enum greeting greetings[3];
    unsigned greetings_n, greeted;
    struct buf in, sent, waiting;
    uint64_t again_us;
    unsigned tries;
};

struct migrate_sink {
    struct migrate_sink_opts opts;
    struct moment now;
    struct sink_conn *conns; /* owned */
    unsigned n;
    bool held_up;     /* it said last that it takes no writes for now */
    bool reached;     /* some connection was READY once */
    uint64_t good_us; /* the last good answer or connection */
    struct migrate_sink_stats stats;
    struct migrate_error *errors; /* owned */
    size_t nerrors;
    char run[64]; /* the target's run and process, at the first connection; "": not known */
    char fatal[512];
    char last[256]; /* why the last connection broke */
};

void sink_conn_dial(struct sink_conn *c, struct port *port);
/* Sends what waits; READY. */
void sink_conn_put(struct sink_conn *c, struct port *port, const struct waiting *w,
                   struct bytes request);
void sink_conn_deinit(struct sink_conn *c, struct port *port);
/* Ends everything: `why` says what to do. */
void sink_die(struct migrate_sink *s, struct port *port, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static inline size_t sink_conn_count(const struct sink_conn *c)
{
    return buf_len(&c->waiting) / sizeof(struct waiting);
}

#endif
