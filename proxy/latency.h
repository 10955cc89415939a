/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_LATENCY_H
#define MERIDIAN_PROXY_LATENCY_H

#include "base/buf.h"

/*
 * Delays worth remembering (latency-monitor-threshold): of each event the newest samples, one for a
 * second, and the longest ever.
 * https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/latency-monitor/
 */
#define LATENCY_SAMPLES 160u

enum latency_kind { LATENCY_COMMAND, LATENCY_FAST_COMMAND, LATENCY_EXPIRE, LATENCY_KINDS };

struct latency_sample {
    int64_t time_s;
    uint32_t ms;
};

struct latency_event {
    struct latency_sample samples[LATENCY_SAMPLES]; /* a ring; time_s 0: none yet */
    uint32_t next;
    uint32_t max_ms;
};

struct latency {
    struct latency_event *events[LATENCY_KINDS]; /* owned; NULL: never happened */
};

const char *latency_name(enum latency_kind kind);
/* By name, ignoring case; LATENCY_KINDS: none. */
enum latency_kind latency_find(struct bytes name);
void latency_add(struct latency *l, enum latency_kind kind, int64_t time_s, uint32_t ms);
/* Forgets an event; true if there was one. */
bool latency_reset(struct latency *l, enum latency_kind kind);
void latency_deinit(struct latency *l);
/* Samples of the event, oldest first; returns how many. */
uint32_t latency_samples(const struct latency *l, enum latency_kind kind,
                         struct latency_sample out[LATENCY_SAMPLES]);
/* To another worker, and from it (whole). */
void latency_put(const struct latency *l, struct buf *out);
void latency_merge(struct latency *sum, struct bytes in);
/* A picture of the samples, the longest delay three rows high. */
void latency_graph(const struct latency *l, enum latency_kind kind, int64_t now_s, struct buf *out);
/* What there is to say to a person. threshold_ms 0: nothing is watched. */
void latency_doctor(const struct latency *l, int64_t threshold_ms, struct buf *out);

#endif
