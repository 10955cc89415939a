/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_EVICT_H
#define MERIDIAN_SHARD_EVICT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a shard forgets when its database grows beyond its memory, in the order of control_wire.h's
 * enum eviction. An evicted key is removed by an ordinary operation, which the other regions get.
 */
enum forget {
    FORGET_NOTHING,
    FORGET_ALL_LRU,
    FORGET_ALL_LFU,
    FORGET_ALL_RANDOM,
    FORGET_VOLATILE_LRU,
    FORGET_VOLATILE_LFU,
    FORGET_VOLATILE_RANDOM,
    FORGET_VOLATILE_TTL,
    FORGET_KINDS
};

struct evict_settings {
    enum forget policy;
    uint32_t samples;           /* maxmemory-samples; 0: 5 */
    uint32_t lfu_log_factor;    /* how many uses it takes to be counted as often used */
    uint32_t lfu_decay_minutes; /* after which a use less counts; 0: never */
    uint32_t refuse_percent;    /* of the limit, from which on commands that need memory are refused
                                   when nothing can be evicted; 0: 100 */
};

struct shard;
struct moment;
void shard_set_eviction(struct shard *s, const struct evict_settings *set);

/*
 * Eviction begins at EVICT_GEO_PERCENT of the limit where other regions must hear of it before all
 * of the memory comes back, else at the limit. What commands find above the limit they make room
 * for, up to EVICT_BUDGET keys each; shard_tick goes on. Beyond EVICT_MARGIN_PERCENT of the limit
 * they go on up to EVICT_BUDGET_MOST, some milliseconds; a command that is still beyond it then is
 * refused although there is something left to evict.
 */
#define EVICT_GEO_PERCENT 80u
#define EVICT_MARGIN_PERCENT 106u
#define EVICT_BUDGET 512u
#define EVICT_BUDGET_MOST 4096u

/* LFU's first count of a key: those that were never used again do not go before all others. */
#define LFU_FIRST 5u

bool evict_is_lfu(const struct shard *s);
/* What a key's access bits (crdt/access.h) say: seconds since it was last used (LRU), how often it
 * is used, on a logarithmic scale of 0 to 255 (LFU). */
uint32_t evict_idle_s(const struct shard *s, uint32_t access);
uint32_t evict_frequency(const struct shard *s, uint32_t access);
/* The reverse, for RESTORE. */
uint32_t evict_access_of_idle(const struct shard *s, uint64_t idle_s);
uint32_t evict_access_of_frequency(const struct shard *s, uint32_t frequency);

#endif
