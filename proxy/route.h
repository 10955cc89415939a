/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_ROUTE_H
#define MERIDIAN_PROXY_ROUTE_H

#include "proxy/session.h"

/*
 * Which shard a command runs on, and running it there. Over several shards: scatter, then merge
 * (merge.c).
 */
enum route_result { ROUTE_ONE, ROUTE_SPLIT, ROUTE_EACH, ROUTE_CROSS };

/* Where the command's keys live: ROUTE_ONE sets *shard. A command without keys runs on a local
 * shard, else on 0. */
enum route_result route_find(struct front *f, const struct command *command, uint32_t argc,
                             const struct bytes *argv, uint32_t *shard);
/* Remembers where the session writes; also of what it queues. */
void route_note_writes(struct ask *a);
/* Runs a data command for the session, wherever it has to. */
void route_run(struct ask *a);
/* Runs the job on that shard: at once when it is here (the reply goes to a->reply), else as an
 * answer to come. */
void route_shard(struct ask *a, enum job_kind kind, uint32_t shard, uint32_t argc,
                 const struct bytes *argv);
/* Runs a job on every worker's side of the database; `finish` gets a part per worker. */
void route_workers(struct ask *a, enum job_kind kind, uint32_t argc, const struct bytes *argv,
                   answer_finish *finish, uint64_t aux);

#define CROSSSLOT "CROSSSLOT Keys in request don't hash to the same slot"

/* How the parts of a scattered command become one reply. */
answer_finish *merge_of(enum command_merge merge);
/* The sum of its parts' integer replies. */
int64_t answer_sum(const struct answer *a);

#endif
