/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/refusals.h"

#include "base/mem.h"
#include "proxy/session.h"

#define AGAIN_TICKS 10u

void refusals_init(struct front *f)
{
    f->refusals.said = mem_zalloc(f->shards_count * sizeof f->refusals.said[0]);
}

void refusals_deinit(struct front *f)
{
    for (uint32_t i = 0; i < f->shards_count; i++)
        buf_deinit(&f->refusals.said[i]);
    mem_free(f->refusals.said);
}

static struct bytes of_shard(const struct front *f, uint32_t shard)
{
    struct shard *local = f->shards[shard].local;
    if (local == NULL)
        return buf_bytes(&f->refusals.said[shard]);
    const char *why = shard_refusal(local, CMD_WRITE);
    return why != NULL ? bytes_str(why) : bytes_of(NULL, 0);
}

struct bytes refusals_find(const struct front *f, int32_t shard)
{
    if (shard >= 0)
        return of_shard(f, (uint32_t)shard);
    struct bytes why = {0};
    for (uint32_t i = 0; i < f->shards_count && why.n == 0; i++)
        why = of_shard(f, i);
    return why;
}

static void tell(struct front *f, struct port *port, uint32_t shard, struct bytes why)
{
    struct bytes argv[2] = {bytes_of(&shard, sizeof shard), why};
    struct job job = {.kind = JOB_REFUSAL, .db_uid = f->db_uid, .argc = 2, .argv = argv};
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            courier_send(f->courier, port, i, &job, NULL, 0);
}

void refusals_tick(struct front *f, struct port *port)
{
    bool again = f->refusals.ticks++ % AGAIN_TICKS == 0;
    for (uint32_t i = 0; i < f->shards_count; i++) {
        struct buf *said = &f->refusals.said[i];
        struct bytes why = of_shard(f, i);
        if (f->shards[i].local == NULL)
            continue;
        if (bytes_eq(why, buf_bytes(said)) && (why.n == 0 || !again))
            continue;
        tell(f, port, i, why);
        buf_clear(said);
        buf_put_bytes(said, why);
    }
}

void refusals_hear(struct front *f, const struct job *job)
{
    uint32_t shard;
    memcpy(&shard, job->argv[0].p, sizeof shard);
    buf_clear(&f->refusals.said[shard]);
    buf_put_bytes(&f->refusals.said[shard], job->argv[1]);
}
