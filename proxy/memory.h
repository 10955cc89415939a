/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_MEMORY_H
#define MERIDIAN_PROXY_MEMORY_H

#include "base/bytes.h"
#include "base/port.h"

/*
 * What a database holds, over all workers: shards, clients' buffers, scripts. While it has a limit
 * the workers tell each other what they hold, at ticks and at the end of a turn in which that has
 * moved by a 256th of the limit divided by their number. So each knows the sum but for half a
 * percent, and what the others have written within their last turn.
 */
struct front;

struct memory_sums {
    uint64_t *others; /* owned; by worker, as it last said */
    uint64_t mine;    /* of this worker, when last looked at */
    uint64_t told;
    uint64_t peak;    /* of this worker, as of its ticks */
    uint64_t buffers; /* of it: clients' buffers and scripts, as of the last tick */
};

void memory_init(struct front *f);
void memory_deinit(struct front *f);
/* The end of a turn: tells the others, and the shards here, when there is something to tell. */
void memory_turn(struct front *f, struct port *port);
void memory_tick(struct front *f, struct port *port);
/* The limit has changed. */
void memory_configure(struct front *f);
/* JOB_MEMORY */
void memory_hear(struct front *f, struct bytes arg);
/* Are commands that need memory refused? Makes room on the shards here, as their commands do. */
bool memory_is_full(struct front *f);
bool memory_forgets(const struct front *f); /* is there a policy of eviction? */
/* What counts against the limit now. */
uint64_t memory_counted(const struct front *f);

#endif
