/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

#include "manager/control_wire.h"

#include <stdio.h>

/*
 * A limit of memory and a policy of eviction, in half of the runs in which FLUSHALL may empty
 * everything anyway: nothing is promised of single keys there, but that all regions agree. A client
 * in each region writes more than fits, while regions die, come back and are cut off.
 */
#define EVERY_US 20000u
#define GIVE_UP_US 4000000u
#define BATCH 8u
#define KEYS 400u
#define BASE_BYTES 200000u /* of shards that hold nothing */

/* --limited: each policy of eviction with each policy of disks comes up in 32 seeds, with losses of
 * power; in a quarter of those, regions are away for so long that the others count on without them.
 */
void fill_draw(struct run *r)
{
    rng_init(&r->filling, r->seed ^ UINT64_C(0x6d656d6f7279));
    if (r->weather != WEATHER_LIMITED)
        return;
    r->plan.flush = r->plan.crashes = true;
    r->disk_plan.used = r->disk_plan.power = true;
    r->disk_plan.blackout |= r->seed % 3 == 0;
    r->away = r->seed / 32 % 4 == 3;
    if (r->away)
        r->plan.fault_until_us += 2 * AWAY_US;
}

void fill_opts(struct run *r, struct deploy_opts *o)
{
    r->limited = r->plan.flush && (rng_below(&r->filling, 2) == 0 || r->weather == WEATHER_LIMITED);
    if (!r->limited)
        return;
    o->eviction = (uint32_t)rng_below(&r->filling, EVICTION_KINDS);
    o->oom_percent = 95;
    for (unsigned g = 1; g <= o->regions; g++)
        o->memory_max[g] = BASE_BYTES * o->shards[g] + (50000u << rng_below(&r->filling, 4));
    if (r->weather != WEATHER_LIMITED)
        return;
    o->eviction = (uint32_t)(r->seed % EVICTION_KINDS);
    o->segment_bytes *= 16; /* a slow disk is to keep up with what is filled in */
    o->snapshot_bytes *= 16;
    for (unsigned g = 1; g <= o->regions && r->seed % 3 != 1; g++)
        o->persistence[g] = (uint32_t)(r->seed / EVICTION_KINDS % PERSIST_KINDS);
}

static void event(struct vconn *conn, enum vconn_event what, struct buf *in, void *arg)
{
    struct filler *f = arg;
    struct resp_reply reply;
    size_t used;
    (void)conn;
    if (what == VCONN_CLOSED) {
        f->conn = NULL;
        return;
    }
    while (what == VCONN_DATA && resp_reply_read(buf_bytes(in), &reply, &used) == RESP_REPLY_OK) {
        f->waiting--;
        resp_reply_deinit(&reply);
        buf_consume(in, used);
    }
}

static void write_some(struct filler *f)
{
    struct rng *g = &f->run->filling;
    static const char value[4000] = "";
    struct buf out = {0};
    char key[32], seconds[16];
    for (unsigned i = 0; i < BATCH; i++) {
        struct bytes argv[5] = {
            bytes_str("set"), bytes_str(key),
            bytes_of((const uint8_t *)value, 100 + rng_below(g, sizeof value - 100)),
            bytes_str("ex"), bytes_str(seconds)};
        snprintf(key, sizeof key, "fill:%u", (unsigned)rng_below(g, KEYS));
        snprintf(seconds, sizeof seconds, "%u", 5 + (unsigned)rng_below(g, 1000));
        argv[1] = bytes_str(key);
        argv[4] = bytes_str(seconds);
        resp_request_put(&out, rng_below(g, 2) == 0 ? 5 : 3, argv);
        f->waiting++;
    }
    vconn_send(f->conn, buf_bytes(&out));
    buf_deinit(&out);
}

void fill_tick(struct run *r)
{
    uint64_t now = world_now_us(r->world);
    for (unsigned g = 1; g <= r->plan.regions && r->limited && !r->calm; g++) {
        struct filler *f = &r->fillers[g];
        char name[8];
        if (!deploy_running(r->deploy, g) || !(deploy_members_now(r->deploy) >> g & 1))
            continue;
        snprintf(name, sizeof name, "r%u", g);
        f->run = r;
        if (f->conn != NULL && f->waiting > 0 && now > f->next_us + GIVE_UP_US)
            fill_forget(r, g);
        if (f->conn == NULL) {
            f->waiting = 0;
            f->conn = driver_dial(r->driver, name, DEPLOY_PORT, event, f);
        }
        if (f->conn == NULL || f->waiting > 0 || now < f->next_us)
            continue;
        f->next_us = now + EVERY_US;
        write_some(f);
    }
}

uint64_t fill_evicted(const struct run *r)
{
    uint64_t evicted = 0;
    struct worker_shard s[64];
    for (unsigned g = 1; g <= r->plan.regions && r->limited; g++) {
        unsigned n = deploy_shards(r->deploy, g, s, 64);
        for (unsigned i = 0; i < n; i++) {
            struct shard_stats stats;
            shard_stats(s[i].shard, &stats);
            evicted += stats.evicted;
        }
    }
    return evicted;
}

void fill_describe(const struct run *r, struct buf *out)
{
    if (r->limited)
        buf_putf(out, "memory is limited, policy %u: %llu keys evicted\n",
                 deploy_options(r->deploy)->eviction, (unsigned long long)fill_evicted(r));
}

void fill_forget(struct run *r, unsigned region)
{
    struct filler *f = &r->fillers[region];
    if (f->conn != NULL)
        vconn_close(f->conn);
    f->conn = NULL;
}
