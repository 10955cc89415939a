/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_STREAM_ROSTER_H
#define MERIDIAN_SHARD_STREAM_ROSTER_H

#include "shard/stream_args.h"
#include "shard/tally.h"

/*
 * The consumers of a group with how many entries wait for each, in the order of their names. One
 * that was deleted while another region gave it entries stands behind them as long as those wait.
 * Costs a walk over all that waits. The key must not change meanwhile.
 */
struct stream_roster {
    struct tally tally;
    struct stream_walk walk;
    bool walking;
    size_t rest;           /* the next row of those behind */
    size_t n, busy;        /* consumers; those for which something waits */
    size_t pending;        /* entries that wait */
    struct stream_id last; /* of them */
};
void stream_roster_init(struct stream_roster *r, struct call *c, const struct stream_at *at);
bool stream_roster_next(struct stream_roster *r, struct stream_consumer *out, size_t *pending);
void stream_roster_deinit(struct stream_roster *r);

#endif
