/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_REFUSALS_H
#define MERIDIAN_PROXY_REFUSALS_H

#include "base/buf.h"

/*
 * Why shards refuse writes just now (-MISCONF, -STALE, -READONLY), also those of other workers:
 * what is queued by MULTI is refused as it comes, as in Redis. Workers tell each other at ticks,
 * when it changes and once a second while it lasts (a word to a front that does not exist yet is
 * lost). What a shard elsewhere says when EXEC comes there is what counts.
 */
struct front;
struct job;
struct port;

struct refusals {
    struct buf *said; /* owned; by shard: what a shard here last told, one elsewhere last said */
    uint32_t ticks;
};

void refusals_init(struct front *f);
void refusals_deinit(struct front *f);
void refusals_tick(struct front *f, struct port *port);
/* JOB_REFUSAL */
void refusals_hear(struct front *f, const struct job *job);
/* Why that shard (-1: any of the database) takes no writes; empty: it does. Borrowed, until the
 * next turn. */
struct bytes refusals_find(const struct front *f, int32_t shard);

#endif
