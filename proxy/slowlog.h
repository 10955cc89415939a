/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_SLOWLOG_H
#define MERIDIAN_PROXY_SLOWLOG_H

#include "shard/reply.h"

/*
 * The newest commands that took long, of this worker's clients. Arguments are cut as in Redis: at
 * most 32, of at most 128 bytes each.
 */
#define SLOW_ARGS_MAX 32u
#define SLOW_ARG_BYTES_MAX 128u

struct slow_entry;
struct slowlog {
    struct slow_entry *newest, *oldest;
    uint32_t n;
    uint64_t given; /* entries so far: numbers them, also across resets */
};

struct slow_call {
    uint64_t number; /* unique among all workers */
    int64_t time_s;
    uint64_t took_us;
    uint32_t argc;
    const struct bytes *argv;
    struct bytes client, name; /* address and name of the client */
};

/* Adds a call (copied) and drops what is beyond `max` entries. */
void slowlog_add(struct slowlog *l, const struct slow_call *call, uint64_t max);
void slowlog_trim(struct slowlog *l, uint64_t max);
void slowlog_clear(struct slowlog *l);
/* Appends the newest `max` entries in a form for slowlog_reply. */
void slowlog_put(const struct slowlog *l, uint64_t max, struct buf *out);
/* Replies the newest `max` of what several workers have put. */
void slowlog_reply(struct reply *r, const struct buf *parts, uint32_t parts_count, uint64_t max);

#endif
