/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_STATS_H
#define MERIDIAN_PROXY_STATS_H

#include "base/port.h"
#include "shard/command.h"

/*
 * How often each command ran, how long it took, which errors were answered: one such table for each
 * worker's front; INFO and LATENCY HISTOGRAM add those of all workers up.
 *
 * Reading a clock costs as much as a cheap command's tenth. So commands that run in constant time
 * on a shard here (`!timed`) are only counted; the clock is read once for all of them that stand
 * together in a pipeline, and each gets an equal share. Any other is measured by itself, and all
 * are while the slow log asks for less than a millisecond (`precise`).
 */

/* Counts of durations: eight steps for each power of two, in nanoseconds. */
#define HISTOGRAM_STEPS 352u
struct histogram {
    uint64_t n;
    uint32_t at[HISTOGRAM_STEPS];
};
void histogram_add(struct histogram *h, uint64_t ns, uint32_t n);
/* The duration below which that share (0 to 100) of all lie, in nanoseconds. */
uint64_t histogram_percentile(const struct histogram *h, double share);
/* How many took up to 2^power microseconds, to a step's width (and more than 2^(power - 1)). */
uint64_t histogram_below(const struct histogram *h, unsigned power);

struct command_use {
    uint64_t calls, rejected, failed;
    uint64_t ns;
    struct histogram *histogram; /* owned; NULL: nothing yet */
    bool timed;
    bool unlogged; /* never in the slow log: EXEC, whose commands are */
};

#define ERROR_CODES_MAX 128u
#define ERROR_CODE_BYTES 32u
struct error_use {
    char code[ERROR_CODE_BYTES];
    uint64_t n;
};

struct stats {
    struct command_use *uses; /* owned; by command_number */
    struct error_use *errors; /* owned; in order of appearance */
    uint32_t errors_count;
    bool tracking; /* latency-tracking: keep histograms */
    bool precise;
};

void stats_init(struct stats *s);
void stats_deinit(struct stats *s);
void stats_reset(struct stats *s);
static inline struct command_use *stats_use(const struct stats *s, const struct command *cmd)
{
    return &s->uses[command_number(cmd)];
}
/* n calls took so long together. */
void stats_took(struct stats *s, struct command_use *u, uint64_t ns, uint32_t n);
/* An error was answered; `reply` begins with its code (without the '-'). */
void stats_error(struct stats *s, struct bytes reply);
uint64_t stats_calls(const struct stats *s);
uint64_t stats_errors(const struct stats *s);

/* Commands a second, over the last one or two seconds. */
#define RATE_SAMPLES 16u
struct rate {
    uint64_t calls[RATE_SAMPLES], at_us[RATE_SAMPLES]; /* a ring: what had been counted when */
    uint32_t next;
};
void rate_sample(struct rate *r, uint64_t calls, uint64_t now_us);
uint64_t rate_per_second(const struct rate *r);

/* To another worker: appends all, with the histograms of the commands named (of none: of all);
 * containers stand for their subcommands. */
void stats_put(const struct stats *s, uint32_t names_count, const struct bytes *names,
               struct buf *out);
/* Adds what another worker appended; it must be whole. */
void stats_add(struct stats *sum, struct bytes in);

#endif
