/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STAMP_H
#define MERIDIAN_CRDT_STAMP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A stamp: ms:41 | seq:13 | actor:10, milliseconds since 2020-01-01 UTC. Unique, totally ordered by
 * one integer comparison, names its writer. 0 is "before everything".
 */
typedef uint64_t stamp_t;

#define STAMP_EPOCH_MS INT64_C(1577836800000)
#define STAMP_ACTOR_MAX 1023u
#define STAMP_SEQ_MAX 8191u

static inline stamp_t stamp_make(uint64_t ms, uint32_t seq, uint32_t actor)
{
    return ms << 23 | (uint64_t)seq << 10 | actor;
}

static inline uint32_t stamp_actor(stamp_t s) { return (uint32_t)(s & 1023u); }

/* Before everything its actor wrote (or 0, which names no actor). */
static inline bool stamp_is_zero(stamp_t s) { return s >> 10 == 0; }

static inline uint64_t stamp_ms(stamp_t s) { return s >> 23; }

static inline uint32_t stamp_seq(stamp_t s) { return (uint32_t)(s >> 10) & 8191u; }

static inline int64_t stamp_wall_ms(stamp_t s) { return (int64_t)stamp_ms(s) + STAMP_EPOCH_MS; }

/* Covers all that its actor may have issued before. */
static inline stamp_t stamp_before(stamp_t s) { return s - (STAMP_ACTOR_MAX + 1); }

/*
 * Actors are numbered region + 64 * incarnation mod 16: a region that loses its memory goes on as
 * its next incarnation. Regions are 1..63 (0 is never used), so 16 incarnations of one region can
 * be told apart at a time.
 */
#define REGION_MAX 63u
#define INCARNATIONS 16u

static inline uint32_t actor_make(uint32_t region, uint32_t incarnation)
{
    return region | (incarnation % INCARNATIONS) << 6;
}

static inline uint32_t actor_region(uint32_t actor) { return actor & 63u; }

/*
 * A life: one incarnation of a region, told apart from those that had its number before and will
 * have it again. region + 64 * incarnation, without the rounding: its low bits are the actor. What
 * is told of actors (claims, retirements, reports, cuts) is told of lives; stamps name actors only.
 */
typedef uint64_t life_t;
#define LIFE_NONE ((life_t)0) /* no region is numbered 0 */
#define LIFE_MAX ((UINT64_C(1) << 38) - 1)
#define LIFE_ROUND ((life_t)(STAMP_ACTOR_MAX + 1)) /* to the next life that has the number */

static inline life_t life_make(uint32_t region, uint32_t incarnation)
{
    return region | (life_t)incarnation << 6;
}

static inline uint32_t life_actor(life_t life) { return (uint32_t)life & STAMP_ACTOR_MAX; }

static inline uint32_t life_region(life_t life) { return (uint32_t)life & 63u; }

static inline uint32_t life_incarnation(life_t life) { return (uint32_t)(life >> 6); }

/* The life that had its number before; NONE: it is the number's first. */
static inline life_t life_before(life_t life)
{
    return life < LIFE_ROUND ? LIFE_NONE : life - LIFE_ROUND;
}

/* Hybrid logical clock (Kulkarni et al. 2014): a new stamp is greater than the wall clock's
 * millisecond, than every stamp issued and than every stamp seen. One per shard. */
struct clock {
    uint64_t ms;
    uint32_t seq;
    uint32_t actor;
};

static inline stamp_t clock_tick(struct clock *c, int64_t wall_ms)
{
    uint64_t now = wall_ms > STAMP_EPOCH_MS ? (uint64_t)(wall_ms - STAMP_EPOCH_MS) : 0;
    if (now > c->ms) {
        c->ms = now;
        c->seq = 0;
    } else if (c->seq < STAMP_SEQ_MAX) {
        c->seq++;
    } else {
        c->ms++;
        c->seq = 0;
    }
    return stamp_make(c->ms, c->seq, c->actor);
}

static inline void clock_seen(struct clock *c, stamp_t s)
{
    uint64_t ms = stamp_ms(s);
    uint32_t seq = stamp_seq(s);
    if (ms > c->ms || (ms == c->ms && seq > c->seq)) {
        c->ms = ms;
        c->seq = seq;
    }
}

#endif
