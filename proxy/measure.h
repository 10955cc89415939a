/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_MEASURE_H
#define MERIDIAN_PROXY_MEASURE_H

#include "proxy/front.h"

/* Measuring what runs on this front: counts, times, errors, the slow log, delays. See stats.h. */

static inline uint64_t measure_now(const struct front *f)
{
    return f->port->ops->clock_us(f->port);
}

/* What ran, for whom. */
struct measured {
    const struct command *command;
    uint64_t session;
    uint32_t argc;
    const struct bytes *argv;
};

/* The commands of a pipeline that ran since `since_us` share the time. Returns the time now (or
 * since_us when there are none). */
uint64_t measure_shared(struct front *f, const struct request *batch, unsigned n,
                        uint64_t since_us);
/* One command ran since then. Returns the time now. */
uint64_t measure_one(struct front *f, struct command_use *u, const struct measured *m,
                     uint64_t since_us, struct moment now);
/* A reply in which errors were counted: takes note of the last and clears the count. */
void measure_errors(struct front *f, struct reply *r);
static inline void measure_failed(struct front *f, struct command_use *u, struct reply *r)
{
    if (__builtin_expect(r->errors == 0, 1))
        return;
    u->failed++;
    measure_errors(f, r);
}
/* A command of a client, on any worker, that waited at a shard here ends in that error. */
void measure_late(struct front *f, const struct command *command, struct bytes reply);
/* A script has run a command: it counts as any other, its time is in the script's. */
void measure_script(struct front *f, const struct call *c);
/* Settings have changed. */
void measure_configure(struct front *f);
/* JOB_INFO, JOB_STATS, JOB_SLOW, JOB_SLOWLOG, JOB_LATENCY. */
void measure_job(struct front *f, const struct job *job, struct reply *r, struct moment now);

#endif
